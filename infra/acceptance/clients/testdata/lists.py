"""Pages through long lists with python-gitlab, and prints for each walk: its name, and how many entries and ids it saw."""

import os

import gitlab

root = gitlab.Gitlab(os.environ["LATCHKEY_URL"], private_token=os.environ["LATCHKEY_TOKEN"], retry_transient_errors=False)


def walk(name, listed):
    try:
        ids = [entry.id for entry in listed()]
        print(f"{name}\t{len(ids)} {len(set(ids))}", flush=True)
    except gitlab.GitlabError as error:
        print(f"{name}\t{error.response_code}", flush=True)


for pagination in ("offset", "keyset"):
    for direction in ("asc", "desc"):
        for order in ("id", "created_at", "updated_at", "name", "username"):
            walk(
                f"users {order} {direction} {pagination}",
                lambda: root.users.list(iterator=True, per_page=100, order_by=order, sort=direction, pagination=pagination),
            )
        for order in ("id", "created", "updated", "expires", "name", "last_used"):
            walk(
                f"tokens {order} {direction} {pagination}",
                lambda: root.personal_access_tokens.list(iterator=True, per_page=100, sort=f"{order}_{direction}", pagination=pagination),
            )
