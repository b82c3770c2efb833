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
  await check("create with fields of Latchkey's own", async () => {
    const made = await admin.PersonalAccessTokens.create(gita.id, "brief", ["api"], { expiresIn: 3600 });
    has(made, { name: "brief", expires_at: "2026-03-20", expires_at_time: "2026-03-19T09:00:00.000Z", active: true });
    await refused(client(made.token).PersonalAccessTokens.rotate("self"), 400, "400 Bad request - A token made with expires_in cannot be rotated");
    const old = await make("until used");
    const next = await client(old.token).PersonalAccessTokens.rotate("self", { overlap: "until_used" });
    has(await admin.PersonalAccessTokens.show({ tokenId: old.id }), { active: true, superseded_until_used: true });
    has(await client(next.token).PersonalAccessTokens.show(), { id: next.id, active: true });
    has(await admin.PersonalAccessTokens.show({ tokenId: old.id }), { active: false, revoked: true });
  });
  await check("create by somebody who may not", async () => {
    const own = client((await make("own")).token);
    await refused(own.PersonalAccessTokens.create(hugo.id, "for another", ["api"]), 403, "403 Forbidden");
  });
  await check("create against the rules", async () => {
    await refused(admin.PersonalAccessTokens.create(gita.id, "x", ["everything"]), 400, "scopes does not have a valid value");
    await refused(admin.PersonalAccessTokens.create(gita.id, "", ["api"]), 422, "Name can't be blank");
    await refused(admin.PersonalAccessTokens.create(notThere, "x", ["api"]), 404, "404 User Not Found");
    await refused(admin.PersonalAccessTokens.create(gita.id, "x", ["api"], { expiresAt: "soon" }), 400, "expires_at is invalid (write a day as YYYY-MM-DD)");
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
  await check("rotate oneself twice within a moment ends nothing", async () => {
    const old = await make("stolen");
    const next = await client(old.token).PersonalAccessTokens.rotate("self");
    await refused(client(old.token).PersonalAccessTokens.rotate("self"), 409, "409 Conflict: Token already rotated. Use its successor");
    has(await client(next.token).PersonalAccessTokens.show(), { id: next.id, active: true });
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

// resources drives the tokens of a project or a group, which keeper, a level, may manage and lesser may not.
async function resources({ word, Word, keeper, lesser, path }, resource, other) {
  const [kind, membersOf] = [`${Word}AccessTokens`, `${Word}Members`];
  const tokens = admin[kind];
  const make = (name, scopes = ["api"], options = {}) => tokens.create(resource.id, name, scopes, "2026-06-02", options);
  const member = async (username, level) => {
    const user = await newUser(username);
    if (level) await admin[membersOf].add(resource.id, level, { userId: user.id });
    return client((await newToken(user)).token)[kind];
  };
  const keeping = await member("oskar", keeper);
  const looking = await member("paula", lesser);
  const stranger = await member("quirin");
  const unknown = `404 Could not find ${word} access token with token_id: ${notThere} Not Found`;

  await check("create", async () => {
    const made = await tokens.create(resource.id, "deploy", ["api", "read_repository"], "2026-06-02");
    has(made, { name: "deploy", scopes: ["api", "read_repository"], active: true, revoked: false, expires_at: "2026-06-02", last_used_at: null, access_level: 40 });
    assert.match(made.token, /^lkprj_[0-9A-Za-z]{36}$/);
    has(await client(made.token).Users.showCurrentUser(), { id: made.user_id, username: `${word}_${resource.id}_bot`, name: "deploy" });
    has(await client(made.token).PersonalAccessTokens.show(), { id: made.id, user_id: made.user_id });
    const next = await make("the next one");
    has(await client(next.token).Users.showCurrentUser(), { id: next.user_id, username: `${word}_${resource.id}_bot1` });
  });
  await check("create with a level", async () => has(await make("reports", ["read_api"], { accessLevel: 20 }), { access_level: 20, scopes: ["read_api"] }));
  await check("create by path", async () => {
    const made = await tokens.create(resource[path], "by path", ["api"], "2026-06-02");
    has(await tokens.show(resource.id, made.id), { name: "by path" });
    has(await tokens.show(resource[path], made.id), { name: "by path" });
  });
  await check("create as one who may", async () => has(await keeping.create(resource.id, "kept", ["api"], "2026-06-02"), { name: "kept", access_level: 40 }));
  await check("create against the rules", async () => {
    await refused(make(undefined), 400, "name is missing");
    await refused(make("x", ["sudo"]), 400, "scopes does not have a valid value");
    await refused(make("x", ["read_user"]), 400, "scopes does not have a valid value");
    await refused(make("x", ["api"], { accessLevel: 35 }), 400, "access_level does not have a valid value");
    await refused(tokens.create(resource.id, "x", ["api"], "2027-03-20"), 400, "400 Bad request - Expiration date must be before 2027-03-19");
    await refused(tokens.create(notThere, "x", ["api"], "2026-06-02"), 404, `404 ${Word} Not Found`);
  });
  await check("create without the right", async () => {
    const create = (as, options) => as.create(resource.id, "x", ["api"], "2026-06-02", options);
    await refused(create(looking), 400, `400 Bad request - User does not have permission to create ${word} access token`);
    await refused(create(stranger), 404, `404 ${Word} Not Found`);
    if (keeper < 50) await refused(create(keeping, { accessLevel: 50 }), 400, `400 Bad request - Could not provision owner access to ${word} access token`);
  });

  await check("show", async () => {
    const { token, ...made } = await make("to show");
    const shown = await tokens.show(resource.id, made.id);
    has(shown, { ...made, last_used_ips: shown.last_used_ips });
    assert.equal(shown.token, undefined);
    has(await keeping.show(resource.id, made.id), { id: made.id, access_level: 40 });
    await refused(looking.show(resource.id, made.id), 401, "401 Unauthorized");
    await refused(stranger.show(resource.id, made.id), 404, `404 ${Word} Not Found`);
    await refused(tokens.show(resource.id, notThere), 404, unknown);
    await refused(tokens.show(other.id, made.id), 404, unknown.replace(notThere, made.id));
  });
  await check("list", async () => {
    const create = (name) => tokens.create(other.id, name, ["api"], "2026-06-02");
    const made = [await create("first"), await create("second"), await create("third")];
    await tokens.revoke(other.id, made[1].id);
    const list = async (options) => ids(await tokens.all(other.id, options));
    assert.deepEqual(await list(), ids(made));
    assert.deepEqual(await list({ perPage: 1 }), ids(made));
    assert.deepEqual(await list({ state: "active" }), ids([made[0], made[2]]));
    assert.deepEqual(await list({ state: "inactive" }), ids([made[1]]));
    assert.deepEqual(await list({ search: "third" }), ids([made[2]]));
    await refused(looking.all(resource.id), 401, "401 Unauthorized");
    await refused(looking.all(other.id), 404, `404 ${Word} Not Found`);
  });
  await check("show the bot among the members", async () => {
    const made = await make("member", ["api"], { accessLevel: 30 });
    has(await admin[membersOf].show(resource.id, made.user_id), { id: made.user_id, access_level: 30, expires_at: "2026-06-02" });
    assert.ok(ids(await admin[membersOf].all(resource.id)).includes(made.user_id));
  });
  await check("open nothing else", async () => {
    const own = client((await make("here only")).token)[kind];
    await refused(own.all(other.id), 404, `404 ${Word} Not Found`);
    await refused(own.show(other.id, notThere), 404, `404 ${Word} Not Found`);
  });

  await check("rotate", async () => {
    const old = await make("to rotate", ["api"], { accessLevel: 30 });
    const next = await keeping.rotate(resource.id, old.id, { expiresAt: "2026-05-01" });
    has(next, { name: "to rotate", scopes: ["api"], user_id: old.user_id, access_level: 30, active: true, expires_at: "2026-05-01" });
    assert.notEqual(next.id, old.id);
    has(await client(next.token).PersonalAccessTokens.show(), { id: next.id });
    await refused(client(old.token).PersonalAccessTokens.show(), 401, "invalid_token");
    await refused(tokens.rotate(resource.id, old.id), 400, "400 Bad request - Token already revoked");
  });
  await check("rotate oneself", async () => {
    const old = await make("rotates itself", ["self_rotate"], { accessLevel: 20 });
    const next = await client(old.token)[kind].rotate(resource.id, "self");
    has(next, { scopes: ["self_rotate"], user_id: old.user_id, access_level: 20, active: true, expires_at: "2026-03-26" });
    has(await client(next.token).PersonalAccessTokens.show(), { id: next.id });
  });
  await check("rotate oneself twice within a moment ends nothing", async () => {
    const old = await make("stolen");
    const next = await client(old.token)[kind].rotate(resource.id, "self");
    await refused(client(old.token)[kind].rotate(resource.id, "self"), 409, "409 Conflict: Token already rotated. Use its successor");
    has(await client(next.token).PersonalAccessTokens.show(), { id: next.id, active: true });
  });
  await check("rotate against the rules", async () => {
    const made = await make("mine");
    await refused(tokens.rotate(resource.id, made.id, { expiresAt: "2027-03-20" }), 400, "400 Bad request - Expiration date must be before 2027-03-19");
    await refused(tokens.rotate(resource.id, notThere), 404, "404 Not Found");
    await refused(keeping.rotate(resource.id, notThere), 401, "401 Unauthorized");
    await refused(looking.rotate(resource.id, made.id), 401, "401 Unauthorized");
    await refused(keeping.rotate(resource.id, "self"), 405, "405 Method Not Allowed");
    await refused(client(made.token)[kind].rotate(other.id, "self"), 401, "401 Unauthorized");
    await refused(client((await make("reads", ["read_api"])).token)[kind].rotate(resource.id, "self"), 403, "insufficient_scope");
    has(await client(made.token).PersonalAccessTokens.show(), { id: made.id });
  });

  const gone = async (made) => {
    await refused(client(made.token).PersonalAccessTokens.show(), 401, "invalid_token");
    await refused(admin[membersOf].show(resource.id, made.user_id), 404, "404 Not found");
    has(await tokens.show(resource.id, made.id), { active: false, revoked: true });
  };
  await check("revoke", async () => {
    const made = await make("to revoke");
    const reply = await keeping.revoke(resource.id, made.id, { showExpanded: true });
    assert.equal(reply.status, 204);
    await gone(made);
  });
  await check("revoke oneself", async () => {
    const made = await make("ends itself", ["read_repository"]);
    const reply = await client(made.token).PersonalAccessTokens.remove({ showExpanded: true });
    assert.equal(reply.status, 204);
    await gone(made);
  });
  await check("revoke without the right", async () => {
    const made = await make("stays");
    await refused(looking.revoke(resource.id, made.id), 400, `400 Bad request - paula of ${section} cannot delete stays`);
    await refused(looking.revoke(resource.id, notThere), 404, `404 ${word} Access Token Not Found`);
    await refused(stranger.revoke(resource.id, made.id), 404, `404 ${Word} Not Found`);
    await refused(tokens.revoke(resource.id, notThere), 404, `404 ${word} Access Token Not Found`);
    has(await client(made.token).PersonalAccessTokens.show(), { id: made.id });
  });
  await check("every method", () => everyMethod(kind));
}

async function projects() {
  const project = (name) => admin.Projects.create({ name, path: name });
  await resources({ word: "project", Word: "Project", keeper: 40, lesser: 30, path: "path_with_namespace" }, await project("web"), await project("other"));
}

async function groups() {
  const group = (name) => admin.Groups.create(name, name);
  await resources({ word: "group", Word: "Group", keeper: 50, lesser: 40, path: "full_path" }, await group("acme"), await group("other"));
}

async function directory() {
  const top = await admin.Groups.create("Top", "top");
  const low = await admin.Groups.create("Low", "low", { parentId: top.id });
  const project = await admin.Projects.create({ name: "Web", path: "web", namespaceId: low.id });
  const user = await newUser("dora");

  await check("change a project and a group", async () => {
    has(await admin.Projects.edit(project.id, { description: "a; b" }), { description: "a; b", name: "Web", shared_with_groups: [] });
    has(await admin.Groups.edit(top.id, { name: "Topmost" }), { name: "Topmost", full_path: "top", shared_with_groups: [] });
    await refused(admin.Groups.edit(top.id, { path: "other" }), 400, '{"path":["cannot be changed"]}');
  });
  await check("look up", async () => {
    assert.deepEqual(ids(await admin.Groups.allDescendantGroups(top.id)), [low.id]);
    assert.deepEqual(ids(await admin.Projects.allGroups(project.id)), [top.id, low.id]);
    assert.deepEqual(ids(await admin.Projects.allUsers(project.id)), [1]);
    assert.deepEqual(ids(await admin.Namespaces.all({ search: "low" })), [low.id]);
    has(await admin.Namespaces.show(top.id), { kind: "group", full_path: "top" });
    assert.deepEqual(await admin.DeployTokens.all({ groupId: top.id }), []);
    assert.deepEqual(await admin.DeployTokens.all({ projectId: project.id }), []);
    has(await admin.ProjectImportExports.showImportStatus(project.id), { import_status: "none" });
    has((await admin.Users.allMemberships(1))[0], { source_id: top.id, source_type: "Namespace", access_level: 50 });
    has(await admin.Metadata.show(), { enterprise: false });
  });
  await check("make a project for somebody", async () => {
    has(await admin.Projects.create({ name: "given", userId: user.id }), { path_with_namespace: "dora/given" });
  });
  await check("delete", async () => {
    const { token } = await admin.GroupAccessTokens.create(low.id, "n", ["api"], "2026-09-01");
    assert.equal((await admin.Groups.remove(top.id, { showExpanded: true })).status, 202);
    await refused(client(token).PersonalAccessTokens.show(), 401, "invalid_token");
    await refused(admin.Projects.show(project.id), 404, "404 Project Not Found");
    const own = await admin.Projects.create({ name: "goes" });
    assert.equal((await admin.Projects.remove(own.id, { showExpanded: true })).status, 202);
  });
}

await { personal, impersonation, projects, groups, directory }[section]();
