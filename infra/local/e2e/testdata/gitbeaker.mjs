// Drives a running Latchkey through @gitbeaker/rest and prints a line for each check: "ok NAME", or "not ok
// NAME" and after a tab what is wrong.
//
// node gitbeaker.mjs FOLDER SECTION, where FOLDER holds package.json and node_modules. LATCHKEY_URL is where it
// runs, LATCHKEY_TOKEN the bearer of an administrator with every scope. Its day must be before 2026-04-01.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const [folder, section] = process.argv.slice(2);
const { Gitlab } = createRequire(path.join(path.resolve(folder), "package.json"))("@gitbeaker/rest");
const host = process.env.LATCHKEY_URL;

const calls = new Set();

// client makes a client that notes which methods of its resources were called.
function client(token, options = {}) {
  const api = new Gitlab({ host, token, rateLimits: { "**": 100_000 }, ...options });
  const watch = (resource, name) =>
    new Proxy(resource, {
      get(target, method) {
        const value = target[method];
        return typeof value !== "function" ? value : (...args) => (calls.add(`${name}.${method}`), value.apply(target, args));
      },
    });
  return new Proxy(api, { get: (target, name) => watch(target[name], name) });
}

// everyMethod fails when a method of the resource was not called: a newer client may bring some.
function everyMethod(resource) {
  const missing = [];
  for (let level = Object.getPrototypeOf(new Gitlab({ host, token: "x" })[resource]); ; level = Object.getPrototypeOf(level)) {
    const names = Object.getOwnPropertyNames(level).filter((name) => name !== "constructor");
    missing.push(...names.filter((name) => !calls.has(`${resource}.${name}`)));
    if (names.length > 0) break;
  }
  assert.deepEqual(missing, [], "methods without a check");
}

async function check(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`not ok ${name}\t${error.stack.replaceAll("\n", " | ").replaceAll("\t", " ")}`);
  }
}

// refused expects a call to fail with this status, and with this text of the reply's body.
async function refused(call, status, description) {
  const error = await call.then(
    (value) => assert.fail(`not refused: ${JSON.stringify(value)}`),
    (reason) => reason,
  );
  assert.equal(error.name, "GitbeakerRequestError", error.message);
  assert.deepEqual([error.cause.response.status, error.cause.description], [status, description]);
}

// has expects these fields among an object's.
function has(object, fields) {
  for (const [name, want] of Object.entries(fields)) assert.deepEqual(object[name], want, name);
}

const admin = client(process.env.LATCHKEY_TOKEN);
const ids = (tokens) => tokens.map((token) => token.id);
const notThere = 4_194_399; // a number that no owner's counter has reached

async function newUser(username) {
  return admin.Users.create({ username, name: `${username} of ${section}`, email: `${username}@example.test`, forceRandomPassword: true });
}

// newToken makes a personal token.
async function newToken(user, scopes = ["api"], name = "token") {
  return admin.PersonalAccessTokens.create(user.id, name, scopes, { expiresAt: "2026-09-01" });
}

async function personal() {
  const gita = await newUser("gita");
  const hugo = await newUser("hugo");
  const make = (name, scopes) => newToken(gita, scopes, name);

  await check("create", async () => {
    const made = await admin.PersonalAccessTokens.create(gita.id, "nightly export", ["read_api", "self_rotate"], { expiresAt: "2026-06-02" });
    has(made, { name: "nightly export", scopes: ["read_api", "self_rotate"], user_id: gita.id, active: true, revoked: false, expires_at: "2026-06-02", last_used_at: null });
    assert.match(made.token, /^lkpat_[0-9A-Za-z]{36}$/);
    has(await client(made.token).Users.showCurrentUser(), { id: gita.id, username: "gita" });
  });
  await check("create by somebody who may not", async () => {
    const own = client((await make("own")).token);
    await refused(own.PersonalAccessTokens.create(hugo.id, "for another", ["api"]), 403, "403 Forbidden");
  });
  await check("create against the rules", async () => {
    await refused(admin.PersonalAccessTokens.create(gita.id, "x", ["everything"]), 400, "scopes does not have a valid value");
    await refused(admin.PersonalAccessTokens.create(gita.id, "", ["api"]), 422, "Name can't be blank");
    await refused(admin.PersonalAccessTokens.create(notThere, "x", ["api"]), 404, "404 User Not Found");
    await refused(admin.PersonalAccessTokens.create(gita.id, "x", ["api"], { expiresAt: "soon" }), 400, "expires_at is invalid");
  });

  await check("show one", async () => {
    const { token, ...made } = await make("to show");
    const shown = await admin.PersonalAccessTokens.show({ tokenId: made.id });
    has(shown, { ...made, last_used_ips: shown.last_used_ips });
    assert.equal(shown.token, undefined);
  });
  await check("show oneself", async () => {
    const made = await make("self", ["k8s_proxy"]);
    has(await client(made.token).PersonalAccessTokens.show(), { id: made.id, scopes: ["k8s_proxy"], token: undefined });
  });
  await check("show oneself with an Authorization header", async () => {
    const made = await make("bearer");
    has(await client(undefined, { oauthToken: made.token }).PersonalAccessTokens.show(), { id: made.id });
  });
  await check("show in camel case", async () => {
    const made = await make("camel");
    has(await client(made.token, { camelize: true }).PersonalAccessTokens.show(), { id: made.id, userId: gita.id, expiresAt: "2026-09-01" });
  });
  await check("show what is not there", async () => {
    const own = client((await make("curious")).token);
    const others = await newToken(hugo);
    await refused(admin.PersonalAccessTokens.show({ tokenId: notThere }), 404, "404 Not Found");
    await refused(own.PersonalAccessTokens.show({ tokenId: notThere }), 401, "401 Unauthorized");
    await refused(own.PersonalAccessTokens.show({ tokenId: others.id }), 401, "401 Unauthorized");
  });
  await check("refuse bearers that are none", async () => {
    await refused(client("lkpat_nothing-of-ours-at-all").PersonalAccessTokens.show(), 401, "401 Unauthorized");
    await refused(client("").PersonalAccessTokens.show(), 401, "401 Unauthorized");
  });

  await check("list page by page", async () => {
    const iris = await newUser("iris");
    const made = [];
    for (let n = 0; n < 5; n += 1) made.push(await newToken(iris, ["api"], `page ${n}`));
    assert.deepEqual(ids(await admin.PersonalAccessTokens.all({ userId: iris.id, perPage: 2 })), ids(made));
    const { data, paginationInfo } = await admin.PersonalAccessTokens.all({ userId: iris.id, perPage: 2, page: 2, showExpanded: true });
    assert.deepEqual(ids(data), ids(made.slice(2, 4)));
    assert.deepEqual(paginationInfo, { total: 5, next: 3, current: 2, previous: 1, perPage: 2, totalPages: 3 });
    assert.deepEqual(ids(await admin.PersonalAccessTokens.all({ userId: iris.id, perPage: 2, maxPages: 2 })), ids(made.slice(0, 4)));
    assert.deepEqual(await admin.PersonalAccessTokens.all({ userId: iris.id, page: 9 }), []);
  });
  await check("list with filters", async () => {
    const jana = await newUser("jana");
    const deploy = await newToken(jana, ["api"], "deploy");
    const ended = await newToken(jana, ["api"], "export, deployed");
    const other = await newToken(jana, ["api"], "other");
    await admin.PersonalAccessTokens.remove({ tokenId: ended.id });
    const list = async (filter) => ids(await admin.PersonalAccessTokens.all({ userId: jana.id, ...filter }));
    assert.deepEqual(await list({}), ids([deploy, ended, other]));
    assert.deepEqual(await list({ state: "active" }), ids([deploy, other]));
    assert.deepEqual(await list({ state: "inactive" }), ids([ended]));
    assert.deepEqual(await list({ revoked: true }), ids([ended]));
    assert.deepEqual(await list({ revoked: false, search: "deploy" }), ids([deploy]));
    assert.deepEqual(await list({ createdAfter: "2026-04-01" }), []);
    assert.deepEqual(await list({ createdBefore: "2026-04-01", sort: "name_desc" }), ids([other, ended, deploy]));
    await refused(list({ state: "dormant" }), 400, "state does not have a valid value");
  });
  await check("list one's own only", async () => {
    const kurt = await newUser("kurt");
    const own = await newToken(kurt);
    await newToken(hugo);
    assert.deepEqual(ids(await client(own.token).PersonalAccessTokens.all()), [own.id]);
    await refused(client(own.token).PersonalAccessTokens.all({ userId: hugo.id }), 401, "401 Unauthorized");
    assert.deepEqual(ids(await admin.PersonalAccessTokens.all({ sudo: "kurt" })), [own.id]);
  });

  await check("rotate", async () => {
    const old = await make("to rotate");
    const next = await admin.PersonalAccessTokens.rotate(old.id, { expiresAt: "2026-05-01" });
    has(next, { name: "to rotate", scopes: ["api"], user_id: gita.id, active: true, expires_at: "2026-05-01" });
    assert.notEqual(next.id, old.id);
    has(await client(next.token).PersonalAccessTokens.show(), { id: next.id });
    has(await admin.PersonalAccessTokens.show({ tokenId: old.id }), { active: false, revoked: true });
    await refused(client(old.token).PersonalAccessTokens.show(), 401, "invalid_token");
    await refused(admin.PersonalAccessTokens.rotate(old.id), 400, "400 Bad request - Token already revoked");
  });
  await check("rotate oneself", async () => {
    const old = await make("rotates itself", ["self_rotate"]);
    const next = await client(old.token).PersonalAccessTokens.rotate("self");
    has(next, { scopes: ["self_rotate"], active: true });
    has(await client(next.token).PersonalAccessTokens.show(), { id: next.id, expires_at: next.expires_at });
  });
  await check("rotate oneself twice ends the successor", async () => {
    const old = await make("stolen");
    const next = await client(old.token).PersonalAccessTokens.rotate("self");
    await refused(client(old.token).PersonalAccessTokens.rotate("self"), 401, "invalid_token");
    await refused(client(next.token).PersonalAccessTokens.show(), 401, "invalid_token");
  });
  await check("rotate against the rules", async () => {
    const mine = await make("mine");
    const others = await newToken(hugo);
    await refused(admin.PersonalAccessTokens.rotate(mine.id, { expiresAt: "2027-03-20" }), 400, "400 Bad request - Expiration date must be before 2027-03-19");
    await refused(client(mine.token).PersonalAccessTokens.rotate(others.id), 401, "401 Unauthorized");
    await refused(client((await make("reads", ["read_api"])).token).PersonalAccessTokens.rotate("self"), 403, "insufficient_scope");
    await refused(admin.PersonalAccessTokens.rotate(notThere), 404, "404 Not Found");
    has(await client(mine.token).PersonalAccessTokens.show(), { id: mine.id, active: true });
  });

  await check("revoke", async () => {
    const made = await make("to revoke");
    assert.equal((await admin.PersonalAccessTokens.remove({ tokenId: made.id, showExpanded: true })).status, 204);
    assert.equal((await admin.PersonalAccessTokens.remove({ tokenId: made.id, showExpanded: true })).status, 204, "again");
    has(await admin.PersonalAccessTokens.show({ tokenId: made.id }), { active: false, revoked: true });
    await refused(client(made.token).PersonalAccessTokens.show(), 401, "invalid_token");
  });
  await check("revoke oneself", async () => {
    const made = await make("ends itself", ["read_user"]);
    assert.equal((await client(made.token).PersonalAccessTokens.remove({ showExpanded: true })).status, 204);
    await refused(client(made.token).PersonalAccessTokens.remove(), 401, "invalid_token");
  });
  await check("revoke what is not there", async () => {
    const own = client((await make("curious")).token);
    const others = await newToken(hugo);
    await refused(own.PersonalAccessTokens.remove({ tokenId: others.id }), 404, "404 Not found");
    await refused(own.PersonalAccessTokens.remove({ tokenId: notThere }), 404, "404 Not found");
    await refused(client((await make("reads", ["read_api"])).token).PersonalAccessTokens.remove({ tokenId: others.id }), 403, "insufficient_scope");
    has(await client(others.token).PersonalAccessTokens.show(), { id: others.id });
  });
  await check("every method", () => everyMethod("PersonalAccessTokens"));
}

async function impersonation() {
  const lena = await newUser("lena");
  const make = (name, scopes = ["api"]) => admin.UserImpersonationTokens.create(lena.id, name, scopes, { expiresAt: "2026-06-02" });

  await check("create", async () => {
    const made = await make("support visit", ["read_user", "api"]);
    has(made, { name: "support visit", scopes: ["read_user", "api"], user_id: lena.id, active: true, revoked: false, impersonation: true, expires_at: "2026-06-02" });
    assert.match(made.token, /^lkimp_[0-9A-Za-z]{36}$/);
    has(await client(made.token).Users.showCurrentUser(), { id: lena.id, username: "lena" });
  });
  await check("create against the rules", async () => {
    await refused(admin.UserImpersonationTokens.create(lena.id, "x", []), 400, `{"scopes":["can't be blank"]}`);
    await refused(admin.UserImpersonationTokens.create(lena.id, "x", ["everything"]), 400, `{"scopes":["can only contain available scopes"]}`);
    await refused(make("x", ["api"]).then(() => admin.UserImpersonationTokens.create(lena.id, "x", ["api"], { expiresAt: "2027-03-20" })),
      400, `{"expires_at":["must be before 2027-03-19"]}`);
    await refused(admin.UserImpersonationTokens.create(notThere, "x", ["api"]), 404, "404 User Not Found");
  });
  await check("show", async () => {
    const { token, ...made } = await make("to show");
    const shown = await admin.UserImpersonationTokens.show(lena.id, made.id);
    has(shown, { ...made, last_used_ips: shown.last_used_ips });
    assert.equal(shown.token, undefined);
  });
  await check("list", async () => {
    const mona = await newUser("mona");
    const create = (name) => admin.UserImpersonationTokens.create(mona.id, name, ["api"], { expiresAt: "2026-06-02" });
    const made = [await create("first"), await create("second"), await create("third")];
    const ordinary = await newToken(mona);
    await admin.UserImpersonationTokens.revoke(mona.id, made[1].id);
    const list = async (options) => ids(await admin.UserImpersonationTokens.all(mona.id, options));
    assert.deepEqual(await list(), ids(made));
    assert.deepEqual(await list({ state: "all", perPage: 1 }), ids(made));
    assert.deepEqual(await list({ state: "active" }), ids([made[0], made[2]]));
    assert.deepEqual(await list({ state: "inactive" }), ids([made[1]]));
    assert.deepEqual(ids(await client(ordinary.token).PersonalAccessTokens.all()), [ordinary.id], "what the user sees");
    await refused(admin.UserImpersonationTokens.show(mona.id, ordinary.id), 404, "404 Impersonation Token Not Found");
  });
  for (const method of ["revoke", "remove"]) {
    await check(method, async () => {
      const made = await make(`to ${method}`);
      assert.equal((await admin.UserImpersonationTokens[method](lena.id, made.id, { showExpanded: true })).status, 204);
      has(await admin.UserImpersonationTokens.show(lena.id, made.id), { active: false, revoked: true });
      await refused(client(made.token).Users.showCurrentUser(), 401, "invalid_token");
    });
  }
  await check("keep to administrators and to the user", async () => {
    const made = await make("mine");
    const own = client((await newToken(lena)).token);
    const nora = await newUser("nora");
    await refused(own.UserImpersonationTokens.all(lena.id), 403, "403 Forbidden");
    await refused(own.UserImpersonationTokens.create(lena.id, "x", ["api"]), 403, "403 Forbidden");
    await refused(own.UserImpersonationTokens.revoke(lena.id, made.id), 403, "403 Forbidden");
    await refused(admin.UserImpersonationTokens.show(nora.id, made.id), 404, "404 Impersonation Token Not Found");
    await refused(admin.UserImpersonationTokens.remove(nora.id, made.id), 404, "404 Impersonation Token Not Found");
    await refused(admin.UserImpersonationTokens.all(notThere), 404, "404 User Not Found");
    has(await client(made.token).Users.showCurrentUser(), { id: lena.id });
  });
  await check("every method", () => everyMethod("UserImpersonationTokens"));
}

await { personal, impersonation }[section]();
