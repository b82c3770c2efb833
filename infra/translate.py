"""Runs the SAM transform on template.yaml and on every template that it nests.

The transform normally runs in the cloud, at deployment, so its complaints come late. This runs the
same library offline. It prints one line per fault, and nothing if there is none. `make lint` fails
when it does. With a folder as the second argument, it writes the results there as JSON, for checkov. Needs
`pip install aws-sam-translator`.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

# The property of each kind of nested stack that holds the template's path.
NESTED = {"AWS::CloudFormation::Stack": "TemplateURL", "AWS::Serverless::Application": "Location"}


def locate(path: Path, target: object) -> Path:
    """Returns where a path leads that a template names; one that is missing leads to no file."""
    return Path(os.path.normpath(path.parent / str(target)))


def check_definition(path: Path, properties: dict) -> Iterator[str]:
    """Compares the names in a state machine's file with the substitutions that it is given.

    Without a substitution the name would stay in the text, which nothing else notices before AWS does.
    """
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError) as error:
        yield f"{path.name}: {error}"
        return
    wanted = set(re.findall(r"\$\{(\w+)\}", text))
    given = set(properties.get("DefinitionSubstitutions", {}))
    yield from (f"{path.name}: {key} has no substitution" for key in sorted(wanted - given))
    yield from (f"{path.name}: {key} is not used" for key in sorted(given - wanted))


def check_code(package: Path, root: Path) -> Iterator[str]:
    """Finds a CodeUri that is no package of `make build`, of which there may be none yet."""
    if package.parent != root / "build" or package.suffix != ".zip" or not (root / "functions" / package.stem).is_dir():
        yield f"CodeUri: {package} is not build/<function>.zip"


def check(path: Path, root: Path, seen: set[Path], output: Path | None) -> Iterator[str]:
    """Yields the faults of a template and of those that it nests, each template once."""
    if path in seen:
        return
    seen.add(path)
    file = os.path.relpath(path, root)
    try:
        template = yaml_parse(path.read_text(encoding="utf-8"))
        resources = list(template["Resources"].items())
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        yield f"{file}: not a template: {' '.join(str(error).split())}"
        return
    faults = []
    for name, resource in resources:
        kind, properties = resource.get("Type"), resource.get("Properties", {})
        found: Iterable[str] = ()
        # `sam build` and `sam deploy` put an uploaded file in the place of the folder or the file.
        if kind == "AWS::Serverless::Function":
            found = check_code(locate(path, properties.get("CodeUri")), root)
            properties["CodeUri"] = "s3://offline/code.zip"
        elif kind == "AWS::Serverless::StateMachine":
            found = check_definition(locate(path, properties.get("DefinitionUri")), properties)
            properties["DefinitionUri"] = "s3://offline/definition.json"
        elif kind in NESTED:
            nested = properties.get(NESTED[kind])
            if locate(path, nested).is_file():
                yield from check(locate(path, nested), root, seen, output)
            else:
                found = [f"{NESTED[kind]}: {nested} is no file"]
        faults += [f"{file}: {name}: {fault}" for fault in found]
    if faults:
        yield from faults
        return
    try:
        # The empty map would hold the ARNs of AWS's managed policies that functions name; none does.
        translated = Translator({}, Parser()).translate(template, {})
    except InvalidDocumentException as error:
        yield from (f"{file}: {cause.message}" for cause in error.causes)
        return
    if output:
        (output / file.replace("/", "-")).with_suffix(".json").write_text(json.dumps(translated, indent=1), encoding="utf-8")


def main() -> int:
    logging.disable(logging.WARNING)  # the library reports its missing feature flags; errors still show
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "template.yaml"
    path = path.resolve()
    output = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    faults = list(check(path, path.parent, set(), output))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
