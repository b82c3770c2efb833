"""Deploys Latchkey, and makes its first administrator: `make deploy`, `make administrator`.

Needs aws-sam-cli, which brings boto3. Credentials and region come from where every tool of AWS takes
them. Answers to what `sam deploy` would ask stand in samconfig.toml.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parent.parent
LOGGING = "ManageApiLogging"


def answers() -> dict:
    """Returns what samconfig.toml says about a deployment, as `sam deploy` reads it."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))["default"]
    return config.get("global", {}).get("parameters", {}) | config["deploy"]["parameters"]


def outputs(session: boto3.Session, stack: str) -> dict[str, str] | None:
    """Returns the parameters and outputs of a stack, or None if there is no such stack."""
    try:
        found = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    values = {given["ParameterKey"]: given["ParameterValue"] for given in found.get("Parameters", [])}
    return values | {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def deploy(session: boto3.Session, config: dict, options: list[str]) -> int:
    """Packages and deploys. Nothing is asked."""
    overrides = config.get("parameter_overrides", [])
    overrides = overrides.split() if isinstance(overrides, str) else list(overrides)
    # The role with which API Gateway writes logs is one for the whole account and region. An account that
    # has one keeps it; a stack that has set it once goes on doing so.
    decided = any(override.startswith(f"{LOGGING}=") for override in overrides)
    if not decided and outputs(session, config["stack_name"]) is None:
        if role := session.client("apigateway").get_account().get("cloudwatchRoleArn"):
            print(f"The account's API Gateway logs with the role {role}, which stays: {LOGGING}=false.")
            overrides.append(f"{LOGGING}=false")
    command = [str(Path(sys.executable).parent / "sam"), "deploy", "--template-file", "template.yaml", *options]
    if overrides:
        command += ["--parameter-overrides", *overrides]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def administrator(session: boto3.Session, config: dict) -> int:
    """Makes an administrator by a console payload, and shows the bearer, which nobody can show again."""
    username, email = os.environ.get("ADMIN") or "root", os.environ.get("EMAIL", "")
    if not email:
        print("Say whose address it is: make administrator EMAIL=you@example.com [ADMIN=root]", file=sys.stderr)
        return 2
    found = outputs(session, config["stack_name"])
    if found is None:
        print(f"There is no stack {config['stack_name']}: run `make deploy` first.", file=sys.stderr)
        return 1
    payload = {"action": "create_administrator", "username": username, "email": email}
    reply = session.client("lambda").invoke(FunctionName=found["IssueFunctionName"], Payload=json.dumps(payload))
    made = json.loads(reply["Payload"].read())
    if "FunctionError" in reply:
        print(f"No administrator was made: {made.get('errorMessage')}", file=sys.stderr)
        return 1
    bearer, url = made["token"]["token"], (found.get("PublicUrl") or found["ApiUrl"]).rstrip("/")
    print(f"{username} is an administrator. The bearer is shown this once; keep it as you keep a password:\n")
    print(f"  {bearer}\n\nPaste it behind this command, so that no command line and no history holds it:\n")
    print("  read -rs LATCHKEY_TOKEN\n\nTry it:\n")
    print(f'  curl -H "PRIVATE-TOKEN: $LATCHKEY_TOKEN" {url}/api/v4/user\n\nProve the deployment:\n')
    print(f'  URL={url} TOKEN="$LATCHKEY_TOKEN" make smoke')
    return 0


def main() -> int:
    command, *options = sys.argv[1:]
    config = answers()
    session = boto3.Session(region_name=config.get("region"))
    try:
        return deploy(session, config, options) if command == "deploy" else administrator(session, config)
    except (ClientError, BotoCoreError) as error:
        print(f"AWS: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
