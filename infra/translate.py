"""Prints template.yaml as the plain CloudFormation that the SAM transform makes of it.

The transform normally runs in the cloud, at deployment, so its complaints come late. This runs the
same library offline; `make lint` fails when it does. Needs `pip install aws-sam-translator`.
"""

import json
import logging
import os
import re
import sys
from pathlib import Path

from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse


def check_definition(name: str, path: Path, properties: dict) -> list[str]:
    """Compares the names in a state machine's file with the substitutions that it is given.

    Without a substitution the name would stay in the text, which nothing else notices before AWS does.
    """
    text = path.read_text(encoding="utf-8")
    try:
        json.loads(text)
    except ValueError as error:
        return [f"{name}: {path}: {error}"]
    wanted = set(re.findall(r"\$\{(\w+)\}", text))
    given = set(properties.get("DefinitionSubstitutions", {}))
    return [f"{name}: {path}: {key} has no substitution" for key in sorted(wanted - given)] + [
        f"{name}: {path}: {key} is not used" for key in sorted(given - wanted)
    ]


def main() -> int:
    logging.disable(logging.WARNING)  # the library reports its missing feature flags; errors still show
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "template.yaml"
    template = yaml_parse(path.read_text(encoding="utf-8"))
    complaints = []
    for name, resource in template["Resources"].items():
        properties = resource["Properties"]
        # `sam build` and `sam deploy` put an uploaded file in the place of the folder or the file.
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = "s3://offline/code.zip"
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            complaints += check_definition(name, path.parent / properties["DefinitionUri"], properties)
            properties["DefinitionUri"] = "s3://offline/definition.json"
    if complaints:
        print("\n".join(complaints), file=sys.stderr)
        return 1
    try:
        # The empty map would hold the ARNs of managed policies that functions name; none does.
        plain = Translator({}, Parser()).translate(template, {})
    except InvalidDocumentException as error:
        for cause in error.causes:
            print(cause.message, file=sys.stderr)
        return 1
    json.dump(plain, sys.stdout, indent=2, default=str)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
