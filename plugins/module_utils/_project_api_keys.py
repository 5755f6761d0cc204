# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API keys of a project: those of its organization that are assigned to it, with roles there.

Absence is proved by the project's complete listing. It also decides, after an error that leaves
open what has happened, what is the case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    API_KEY_NOT_FOUND,
    ApiError,
    KeysmithError,
    is_about_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._org_api_keys import (
    FIRST_POLL,
    LONGEST_POLL,
    OrgApiKey,
    parse,
)

PROJECT_OWNER = "Project Owner"
PROJECT_READ_ONLY = "Project Read Only"
# How long a change may take to show up in the listing.
PATIENCE = 10.0
_NOT_FOUND = frozenset({API_KEY_NOT_FOUND, "RESOURCE_NOT_FOUND"})

# The roles in a project, sorted; None where the key is not assigned to it.
Roles = Union[tuple[str, ...], None]


def list_all(api: Client, project_id: str) -> dict[str, OrgApiKey]:
    """Return every key that is assigned to the project, by id."""
    doing = f"list the API keys of project {project_id}"
    keys = api.pages(
        _path(project_id), parse, lambda key: key.id, doing=doing, role=PROJECT_READ_ONLY
    )
    return {key.id: key for key in keys}


def roles_in(project_id: str, listed: OrgApiKey | None) -> Roles:
    """Return the roles that a key has in the project; ``listed`` is None where it lacks the key."""
    return None if listed is None else dict(listed.projects).get(project_id, ())


def assign(
    api: Client, project_id: str, key: OrgApiKey, roles: tuple[str, ...], method: str
) -> Roles:
    """Assign a key that the listing lacks. ``method``: of the platform.

    Return None, or, where the API says that somebody else was faster, the roles of the key now;
    those are not changed.
    """
    doing = f"assign the API key {key} to project {project_id}"
    if method == "PATCH":
        _patch(api, project_id, key, roles, doing)
        return None

    def send() -> None:
        path, body = _path(project_id, key.id), [{"roles": list(roles)}]
        api.post(path, body, _parse_write(key), doing=doing, role=PROJECT_OWNER)

    try:
        _write(api, project_id, key, roles, send)
    except ApiError as error:
        if error.code != "API_KEY_ALREADY_IN_GROUP":
            raise
        with api.stop.completing():
            now = _await(api, project_id, key, lambda roles: roles is not None)
        if now is None:
            error.check = "The project's listing does not show it yet: run the task again later."
            raise
        return now
    return None


def assign_all(
    api: Client, project_id: str, key: OrgApiKey, roles: tuple[str, ...], method: str
) -> bool:
    """Assign a key with exactly these roles; return whether this call did anything.

    Somebody else may be faster, with the same roles or with others, which are changed then.
    """
    met = assign(api, project_id, key, roles, method)
    if met == roles:
        return False
    if met is not None:
        change(api, project_id, key, roles)
    return True


def change(api: Client, project_id: str, key: OrgApiKey, roles: tuple[str, ...]) -> None:
    """Give an assigned key exactly these roles in the project."""
    doing = f"change the roles of the API key {key} in project {project_id}"
    _patch(api, project_id, key, roles, doing)


def unassign(api: Client, project_id: str, key: OrgApiKey) -> bool:
    """Take a key out of the project; return whether this call did it.

    When an earlier try's answer was lost, this call did it; otherwise somebody else did before.
    """
    doing = f"take the API key {key} out of project {project_id}"
    try:
        api.delete(_path(project_id, key.id), doing=doing, role=PROJECT_OWNER)
    except KeysmithError as error:
        if not error.unclear and not _may_mean_unassigned(error):
            raise
        if not _is_confirmed(api, project_id, key, None, error):
            raise
        return error.unclear
    return True


def _patch(
    api: Client, project_id: str, key: OrgApiKey, roles: tuple[str, ...], doing: str
) -> None:
    def send() -> None:
        path, body = _path(project_id, key.id), {"roles": list(roles)}
        api.patch(path, body, _parse_write(key), doing=doing, role=PROJECT_OWNER)

    _write(api, project_id, key, roles, send)


def _write(
    api: Client,
    project_id: str,
    key: OrgApiKey,
    roles: tuple[str, ...],
    send: Callable[[], None],
) -> None:
    """Send once; after a lost answer the key may have these roles all the same."""
    try:
        send()
    except KeysmithError as error:
        if _may_mean_unassigned(error) and error.code in _NOT_FOUND:
            error.check = (
                "Others have revoked the key or taken it out of the project a moment ago, it seems:"
                " run the task again."
            )
        if not error.unclear or not _is_confirmed(api, project_id, key, roles, error):
            raise


def _parse_write(key: OrgApiKey) -> Callable[[Any], bool | None]:
    """Accept no content (Atlas, POST), and the key as it is now (PATCH)."""

    def parse_this(data: Any) -> bool | None:
        changed = parse(data)
        return True if data == {} or (changed and changed.id == key.id) else None

    return parse_this


def _is_confirmed(
    api: Client, project_id: str, key: OrgApiKey, expected: Roles, error: KeysmithError
) -> bool:
    """Whether the listing shows what was asked for, after an error that leaves it open.

    If not, the error is told what it shows.
    """
    try:
        with api.stop.completing():
            now = _await(api, project_id, key, lambda roles: roles == expected)
    except KeysmithError as failure:
        error.aftermath = (
            "Whether it was done all the same could not be found out: "
            f"{failure.message()} Run the task again; that is safe."
        )
        return False
    if now == expected:
        return True
    state = "not assigned to it" if now is None else f"assigned with the roles {', '.join(now)}"
    error.aftermath = (
        f"The project's listing shows the API key {key.id} as {state} now. Run the task "
        "again; that is safe."
    )
    return False


def _await(
    api: Client, project_id: str, key: OrgApiKey, is_expected: Callable[[Roles], bool]
) -> Roles:
    """Return the roles that the listing shows, as soon as they are expected, or in the end."""
    clock = api.clock
    until = clock.now() + PATIENCE
    pause = FIRST_POLL
    while True:
        roles = roles_in(project_id, list_all(api, project_id).get(key.id))
        if is_expected(roles) or clock.now() + pause > until:
            return roles
        api.stop.pause(pause)
        pause = min(pause * 2, LONGEST_POLL)


def _may_mean_unassigned(error: KeysmithError) -> bool:
    """Whether an error may say that the key is not in the project.

    Which code does is documented nowhere (api-facts 3), so every one that may is looked into.
    """
    return (
        isinstance(error, ApiError)
        and error.status in {400, 404}
        and error.code is not None
        and not (error.code == "RESOURCE_NOT_FOUND" and is_about_path(error.parameters))
    )


def _path(project_id: str, api_user_id: str = "") -> str:
    return f"/groups/{project_id}/apiKeys" + (f"/{api_user_id}" if api_user_id else "")
