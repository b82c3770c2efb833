// Executes a state machine with several inputs at a time and prints what came of each, in a JSON list:
// {"result": ...} or {"error", "cause"}.
//
// node interpret.cjs FOLDER, where FOLDER holds package.json and node_modules; standard input is
// {"definition": ..., "inputs": [...], "waits": {state: ms}, "retries": {state: ms}}. Tasks call Lambda
// through the AWS SDK, which the environment points at an endpoint.
"use strict";

const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");
const path = require("node:path");

// The interpreter expects this of Node 22; it is all that it lacks in earlier versions.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new Promise((a, b) => ([resolve, reject] = [a, b]));
  return { promise, resolve, reject };
};

async function main() {
  const require = createRequire(path.join(path.resolve(process.argv[2]), "package.json"));
  const { StateMachine } = require("aws-local-stepfunctions");
  const { definition, inputs, waits, retries } = JSON.parse(readFileSync(0, "utf8"));
  const execute = (input) => {
    const machine = new StateMachine(definition);
    const execution = machine.run(input, { overrides: { waitTimeOverrides: waits, retryIntervalOverrides: retries } });
    return execution.result.then(
      (result) => ({ result }),
      (error) => ({ error: error.cause?.name ?? error.name, cause: error.cause?.message ?? error.message }),
    );
  };
  process.stdout.write(JSON.stringify(await Promise.all(inputs.map(execute))));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
