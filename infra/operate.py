"""Deploys Latchkey, makes its first administrator, changes the pepper, fills the directory of tokens, and ends what a
restored table has brought back: `make deploy`, `make administrator`, `make pepper`, `make directory`, `make restore`.

Needs aws-sam-cli, which brings boto3. Credentials and region come from where every tool of AWS takes
them. Answers to what `sam deploy` would ask stand in samconfig.toml.
"""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parent.parent
LOGGING = "ManageApiLogging"
MAX_GENERATIONS = 3
# How long a call of a function of the release before may still run after a deployment, in seconds.
LAST_CALLS = int(os.environ.get("LAST_CALLS", "30"))


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


def deployed(session: boto3.Session, config: dict) -> dict[str, str]:
    """Returns the parameters and outputs of the stack, or ends the program if there is none."""
    found = outputs(session, config["stack_name"])
    if found is None:
        raise SystemExit(f"There is no stack {config['stack_name']}: run `make deploy` first.")
    return found


def deploy(session: boto3.Session, config: dict, options: list[str], *more: str) -> int:
    """Packages and deploys, with more parameters than samconfig.toml has. Nothing is asked."""
    overrides = config.get("parameter_overrides", [])
    overrides = [*(overrides.split() if isinstance(overrides, str) else overrides), *more]
    # A stack that has set the role once goes on doing so.
    decided = any(override.startswith(f"{LOGGING}=") for override in overrides)
    if not decided and outputs(session, config["stack_name"]) is None and (answer := logging(session)):
        overrides.append(f"{LOGGING}={answer}")
    command = [str(Path(sys.executable).parent / "sam"), "deploy", "--template-file", "template.yaml", *options]
    if overrides:
        command += ["--parameter-overrides", *overrides]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def logging(session: boto3.Session) -> str | None:
    """Answers who sets the role with which API Gateway writes logs, or None for the stack, and says so.

    There is one role for the whole account and region, so an account that has one keeps it. Whoever may not set it
    gets a stage without access logs, because the deployment would fail.
    """
    client = session.client("apigateway")
    try:
        if role := client.get_account().get("cloudwatchRoleArn"):
            print(f"The account's API Gateway logs with the role {role}, which stays: {LOGGING}=false.")
            return "false"
        client.update_account(patchOperations=[])  # changes nothing, and needs the permission
    except ClientError as error:
        if "AccessDenied" in error.response["Error"]["Code"]:
            print(f"You may not set the role with which the account's API Gateway logs. The stage gets no access logs: {LOGGING}=none.")
            return "none"
        if error.operation_name != "UpdateAccount":
            raise
    return None


def administrator(session: boto3.Session, config: dict, _options: list[str]) -> int:
    """Makes an administrator by a console payload, and shows the bearer, which nobody can show again."""
    username, email = os.environ.get("ADMIN") or "root", os.environ.get("EMAIL", "")
    if not email:
        print("Say whose address it is: make administrator EMAIL=you@example.com [ADMIN=root]", file=sys.stderr)
        return 2
    found = deployed(session, config)
    payload = {"action": "create_administrator", "username": username, "email": email}
    made = console(session.client("lambda"), found["IssueFunctionName"], payload, "No administrator was made")
    bearer, url = made["token"]["token"], (found.get("PublicUrl") or found["ApiUrl"]).rstrip("/")
    print(f"{username} is an administrator. The bearer is shown this once; keep it as you keep a password:\n")
    print(f"  {bearer}\n\nPaste it behind this command, so that no command line and no history holds it:\n")
    print("  stty -echo; read -r LATCHKEY_TOKEN; stty echo\n\nTry it:\n")
    print(f'  curl -H "PRIVATE-TOKEN: $LATCHKEY_TOKEN" {url}/api/v4/user\n\nProve the deployment:\n')
    print(f'  URL={url} TOKEN="$LATCHKEY_TOKEN" make smoke')
    return 0


def generations(text: str) -> list[str]:
    """Returns the generations of a pepper, as pkg/secret reads them: a JSON list, or one key."""
    return json.loads(text) if text.lstrip().startswith("[") else [text]


def name_of(key: str) -> str:
    """Returns the public name of a generation, as pkg/secret derives it and records carry it."""
    return base64.urlsafe_b64encode(hmac.new(key.encode(), b"\0generation", hashlib.sha256).digest()[:6]).decode()


def console(client, function: str, payload: dict, failure: str) -> dict:
    """Returns the answer to a console payload, or ends the program with the words for a failure."""
    reply = client.invoke(FunctionName=function, Payload=json.dumps(payload))
    answer = json.loads(reply["Payload"].read())
    if "FunctionError" in reply:
        raise SystemExit(f"{failure}: {answer.get('errorMessage')}")
    return answer


def directory(session: boto3.Session, config: dict, options: list[str]) -> int:
    """Enters the tokens of an earlier release into the directory, from which administrators' lists are read.

    After a deployment ("--once") it does nothing if the directory is complete.
    """
    client, function, failure = session.client("lambda"), deployed(session, config)["IssueFunctionName"], "The directory was not filled"
    payload, entered = {"action": "fill_directory"}, 0
    if "--once" in options:
        if console(client, function, payload | {"check": True}, failure)["done"]:
            return 0
        print("The directory of tokens is being filled. Everything works meanwhile.")
        time.sleep(LAST_CALLS)  # functions of the release before may still make tokens
    while True:
        filled = console(client, function, payload, failure)
        entered += filled["entered"]
        if filled["done"]:
            print(f"The directory is complete: {entered} tokens were entered.")
            return 0
        print(f"{entered} tokens are entered.")
        payload["after"] = filled["after"]


def deploy_and_fill(session: boto3.Session, config: dict, options: list[str]) -> int:
    """Deploys, and then fills the directory if an earlier release has written the table."""
    return deploy(session, config, options) or directory(session, config, ["--once"])


def walk(client, function: str, payload: dict):
    """Yields the replies of a function to a console payload that takes several calls."""
    while True:
        told = console(client, function, payload, function)
        yield told
        if not told.get("after"):
            return
        payload = payload | {name: told[name] for name in ("after", "made_before") if name in told}


def count(session: boto3.Session, function: str) -> dict[str, int]:
    """Returns how many tokens work, by the name of their generation; "" is from before there were names."""
    total = {}
    for counted in walk(session.client("lambda"), function, {"action": "count_by_pepper"}):
        for name, working in (counted["working"] | {"": counted["unnamed"]}).items():
            total[name] = total.get(name, 0) + working
    return total


def restore(session: boto3.Session, config: dict, _options: list[str]) -> int:
    """Ends what a restored table has brought back, or counts it."""
    step, restored_to, made_before = (os.environ.get(name, "") for name in ("STEP", "RESTORED_TO", "MADE_BEFORE"))
    counts = step in ("compare", "count")
    if step in ("compare", "carry-over") and restored_to:
        payload = {"action": "carry_over", "restored_to": restored_to, "count": counts}
    elif step in ("count", "end"):
        payload = {"action": "end_every_token", "count": counts} | ({"made_before": made_before} if made_before else {})
    else:
        print("Say which step: make restore STEP=compare RESTORED_TO=2026-03-19T08:00:00Z, then STEP=carry-over with the same;", file=sys.stderr)
        print("or, without the old table, STEP=count, then STEP=end.", file=sys.stderr)
        return 2
    # One call lasts as long as the function may run. A second one beside it would do no harm and not help.
    client = session.client("lambda", config=Config(read_timeout=910, retries={"max_attempts": 0}))
    total = {}
    for told in walk(client, deployed(session, config)["LifetimeFunctionName"], payload):
        for name, value in told.items():
            if isinstance(value, int) and name not in ("after", "done"):
                total[name] = total.get(name, 0) + value
        print(f"… as far as user {told['after']}" if told.get("after") else "Done.", file=sys.stderr)
        made_before = told.get("made_before", "")
    print("Nothing was changed. This would end:" if counts else "This has ended:")
    for name, value in total.items():
        print(f"  {name.replace('_', ' ')}: {value}")
    if made_before and not counts:
        print(f"A token works from now on if it was made at {made_before} or later.")
    return 0


def pepper(session: boto3.Session, config: dict, options: list[str]) -> int:
    """Makes one step of a change of the pepper: writes the secret, and deploys that version of it."""
    step = os.environ.get("STEP", "")
    if step not in ("add", "promote", "remove", "deploy"):
        print("Say which step: make pepper STEP=add, then promote, then remove. STEP=deploy repeats a deployment.", file=sys.stderr)
        return 2
    found = deployed(session, config)
    secrets, secret = session.client("secretsmanager"), found["PepperSecretArn"]
    current = secrets.get_secret_value(SecretId=secret)
    held, version, running = generations(current["SecretString"]), current["VersionId"], found.get("PepperVersion", "")
    if step != "deploy":
        # Two steps in one deployment would make digests that functions of before do not look for.
        if running not in ("", version) or (running == "" and len(held) > 1):
            print("The last step has not been deployed: run make pepper STEP=deploy first.", file=sys.stderr)
            return 1
        if refusal := changed(session, found, held, step):
            print(refusal, file=sys.stderr)
            return 1
        text = held[0] if len(held) == 1 else json.dumps(held)
        version = secrets.put_secret_value(SecretId=secret, SecretString=text)["VersionId"]
    return deploy(session, config, options, f"PepperVersion={version}")


def changed(session: boto3.Session, found: dict[str, str], held: list[str], step: str) -> str | None:
    """Makes a step in the list of generations, or says why not."""
    if step == "add":
        if len(held) == MAX_GENERATIONS:
            return f"The pepper has {MAX_GENERATIONS} generations: remove one first."
        held.insert(1, session.client("secretsmanager").get_random_password(PasswordLength=64, ExcludePunctuation=True)["RandomPassword"])
        return None
    if len(held) == 1:
        return "The pepper has one generation: add one first."
    if step == "promote":
        held[0], held[1] = held[1], held[0]
        return None
    working = count(session, found["TokensFunctionName"])
    if (lost := working.get(name_of(held[-1]), 0) + working.get("", 0)) and os.environ.get("FORCE") != "1":
        return f"{lost} working tokens may need the last generation. Have them rotated, or end them with FORCE=1."
    held.pop()
    return None


def main() -> int:
    command, *options = sys.argv[1:]
    config = answers()
    session = boto3.Session(region_name=config.get("region"))
    try:
        return {"deploy": deploy_and_fill, "administrator": administrator, "pepper": pepper, "directory": directory, "restore": restore}[command](session, config, options)
    except (ClientError, BotoCoreError) as error:
        print(f"AWS: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
