"""Drives Latchkey with python-gitlab and says what came of each check: its name, a tab, and ok or what is wrong."""

import io
import os
import traceback

import gitlab

URL = os.environ["LATCHKEY_URL"]
root = gitlab.Gitlab(URL, private_token=os.environ["LATCHKEY_TOKEN"], retry_transient_errors=False)


def check(do):
    name = do.__doc__
    try:
        do()
        print(f"{name}\tok", flush=True)
    except Exception:
        print(f"{name}\t{traceback.format_exc()!r}", flush=True)


def equal(got, want):
    assert got == want, f"{got!r} is not {want!r}"


def refused(status, text, call, *args, **named):
    try:
        got = call(*args, **named)
    except gitlab.GitlabError as error:
        equal(error.response_code, status)
        assert text in str(error), str(error)
    else:
        raise AssertionError(f"not refused: {got!r}")


def works(token):
    try:
        gitlab.Gitlab(URL, private_token=token).personal_access_tokens.get("self")
    except gitlab.GitlabAuthenticationError:
        return False
    return True


@check
def _():
    "look up oneself and the version"
    root.auth()
    equal(root.user.username, "root")
    version, revision = root.version()
    assert version and revision
    equal(root.http_get("/version"), root.http_get("/metadata"))


@check
def _():
    "make an account with a picture"
    picture = io.BytesIO(b"\x89PNG" + b"\xff" * 100_000)
    picture.name = "a.png"
    ann = root.users.create({"username": "ann", "email": "ann@bücher.example", "name": "Ann", "password": "ignored ignored", "avatar": picture})
    equal((ann.avatar_url, ann.email), (None, "ann@xn--bcher-kva.example"))
    refused(400, "email", root.users.create, {"username": "x", "email": "änn@example.test", "name": "x", "reset_password": True})


@check
def _():
    "keep who may make groups"
    bob = root.users.create({"username": "bob", "email": "bob@example.test", "name": "Bob", "reset_password": True, "can_create_group": False})
    equal(bob.can_create_group, False)
    token = bob.personal_access_tokens.create({"name": "n", "scopes": ["api"]}).token
    refused(403, "403 Forbidden", gitlab.Gitlab(URL, private_token=token).groups.create, {"name": "g", "path": "g"})
    bob.can_create_group = True
    bob.save()
    equal(root.users.get(bob.id).can_create_group, True)
    gitlab.Gitlab(URL, private_token=token).groups.create({"name": "g", "path": "g"})


@check
def _():
    "make groups and projects"
    global top, low, web
    top = root.groups.create({"name": "Top", "path": "top"})
    low = root.groups.create({"name": "Low", "path": "low", "parent_id": top.id})
    web = root.projects.create({"name": "Web", "path": "web", "namespace_id": low.id})
    given = root.users.list(username="ann", get_all=True)[0].projects.create({"name": "given"})
    equal(given.path_with_namespace, "ann/given")
    equal((root.groups.get("top").shared_with_groups, root.projects.get("top/low/web").shared_with_groups), ([], []))


@check
def _():
    "change a project and a group"
    web.description = "a; b"
    web.save()
    equal(root.projects.get(web.id).description, "a; b")
    top.description = "of all"
    top.save()
    equal(root.groups.get(top.id).description, "of all")
    top.path = "other"
    refused(400, "path", top.save)


@check
def _():
    "change settings"
    settings = root.settings.get()
    settings.signup_enabled = False
    settings.save()
    settings = root.settings.get()
    settings.require_two_factor_authentication = True
    refused(400, "require_two_factor_authentication", settings.save)


@check
def _():
    "look up"
    equal([g.id for g in top.descendant_groups.list(get_all=True)], [low.id])
    equal([g.id for g in web.groups.list(get_all=True)], [top.id, low.id])
    equal([u.username for u in web.users.list(get_all=True)], ["root"])
    equal([n.full_path for n in root.namespaces.list(search="low", get_all=True)], ["top/low"])
    equal(root.namespaces.get("ann").kind, "user")
    equal((root.namespaces.exists("top").suggests, root.namespaces.exists("new").exists), (["top1"], False))
    equal(web.imports.get().import_status, "none")
    equal((web.deploytokens.list(get_all=True), top.deploytokens.list(get_all=True)), ([], []))
    me = root.users.get(1)
    equal([(m.source_type, m.access_level) for m in me.memberships.list(get_all=True)], [("Namespace", 50)] * 2)
    equal([p.id for p in root.projects.list(search="web", order_by="similarity", get_all=True)], [web.id])


@check
def _():
    "make tokens"
    made = web.access_tokens.create({"name": "ci", "scopes": ["read_api"], "access_level": 20, "expires_at": "2026-09-01T00:00:00+0000"})
    equal((made.resource_type, made.resource_id, made.granular, made.expires_at), ("project", web.id, False, "2026-09-01"))
    equal(low.access_tokens.create({"name": "g", "scopes": ["api"]}).resource_type, "group")
    refused(404, "404 project Access Token Not Found", web.access_tokens.delete, 999)
    refused(404, "404 group Access Token Not Found", low.access_tokens.delete, 999)
    ann = root.users.list(username="ann", get_all=True)[0]
    equal(ann.personal_access_tokens.create({"name": "am", "scopes": ["admin_mode"]}).scopes, ["admin_mode"])
    brief = ann.personal_access_tokens.create({"name": "brief", "scopes": ["api"], "expires_in": 3600})
    equal((brief.expires_at, brief.expires_at_time), ("2026-03-20", "2026-03-19T09:00:00.000Z"))
    refused(400, "expires_in cannot be rotated", root.personal_access_tokens.rotate, brief.id)
    old = ann.personal_access_tokens.create({"name": "old", "scopes": ["api"]})
    equal(root.personal_access_tokens.get(old.id).parent_id, root.personal_access_tokens.get("self").id)
    root.personal_access_tokens.rotate(old.id, overlap="until_used")
    equal(root.personal_access_tokens.get(old.id).superseded_until_used, True)


@check
def _():
    "refuse what is not supported"
    ann = root.users.list(username="ann", get_all=True)[0]
    fine = [{"access": "user", "permissions": ["read_job"]}]
    refused(400, "granular_scopes is not supported", ann.personal_access_tokens.create, {"name": "n", "scopes": ["api"], "granular_scopes": fine})
    refused(400, "did you mean 10.0.0.0/8", ann.personal_access_tokens.create, {"name": "n", "scopes": ["api"], "allowed_cidrs": ["10.0.0.5/8"]})
    refused(400, "YYYY-MM-DD", ann.personal_access_tokens.create, {"name": "n", "scopes": ["api"], "expires_at": "soon"})


@check
def _():
    "list in pages"
    ann = root.users.list(username="ann", get_all=True)[0]
    made = [ann.personal_access_tokens.create({"name": f"n{n}", "scopes": ["api"]}).id for n in range(3)]
    listed = [t.id for t in root.personal_access_tokens.list(user_id=ann.id, per_page=2, state="active", iterator=True)]
    equal(listed[-3:], made)


@check
def _():
    "delete a project"
    own = root.projects.create({"name": "goes"})
    token = own.access_tokens.create({"name": "n", "scopes": ["api"]}).token
    assert works(token)
    own.delete()
    assert not works(token)
    refused(404, "404 Project Not Found", root.projects.get, own.id)


@check
def _():
    "delete a group with everything in it"
    tokens = [place.access_tokens.create({"name": "n", "scopes": ["api"]}).token for place in (top, low, web) for _ in range(3)]
    assert all(works(token) for token in tokens)
    root.groups.delete(top.id)
    assert not any(works(token) for token in tokens)
    refused(404, "404 Group Not Found", root.groups.get, low.id)
    root.groups.create({"name": "Top", "path": "top"})
