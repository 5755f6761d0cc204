# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API keys of a project: those of its organization that are assigned to it, with roles there.

Absence is proved by the project's complete listing, or by GROUP_NOT_FOUND about this project. The
listing also decides, after an error that leaves open what has happened, what is the case.
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
    OrgApiKey,
    contradicted,
    delete_known,
    parse,
    poll,
    retry_unknown_key,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._platform import ATLAS

PROJECT_OWNER = "Project Owner"
# Of Atlas: enough to change and to remove an assignment, but not to add one.
PROJECT_ACCESS_MANAGER = "Project Access Manager"
PROJECT_READ_ONLY = "Project Read Only"
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
        _patch(api, project_id, key, roles, doing, role=PROJECT_OWNER)
        return None

    def send() -> None:
        path, body = _path(project_id, key.id), [{"roles": list(roles)}]
        parse_this = _parse_write(project_id, key, roles)
        api.post(path, body, parse_this, doing=doing, role=PROJECT_OWNER)

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
    _patch(api, project_id, key, roles, doing, role=_manager(api))


def unassign(api: Client, project_id: str, key: OrgApiKey) -> bool:
    """Remove a key from the project; return whether this call did it.

    If the response to an earlier attempt was lost, this call did it. Otherwise the key was not
    assigned any more. That the project is missing is for the caller to judge: see
    ``is_project_missing``.
    """
    path = _path(project_id, key.id)
    doing = f"remove the API key {key} from project {project_id}"

    seen: Roles = None

    def is_assigned() -> bool:
        nonlocal seen
        seen = _now(api, project_id, key)
        return seen is not None

    try:
        return delete_known(
            api,
            lambda: api.delete(path, doing=doing, role=_manager(api)),
            lambda error: _may_mean_unassigned(error) and not is_project_missing(error, project_id),
            is_assigned,
        )
    except KeysmithError as error:
        if seen is not None:
            error.aftermath = _shown_as(project_id, key, seen)
        if not error.unclear or not _is_confirmed(api, project_id, key, None, error):
            raise
    return True


def is_project_missing(error: KeysmithError, project_id: str) -> bool:
    """Whether an error says that this project does not exist, so that no key is assigned to it."""
    return (
        isinstance(error, ApiError)
        and error.code == "GROUP_NOT_FOUND"
        and error.status in {400, 404}
        and (not error.parameters or project_id in error.parameters)
    )


def missing_project_warning(project_id: str) -> str:
    """Say why a key counts as not assigned to a project that may be a slip of the task."""
    return (
        f"Project {project_id} does not exist (GROUP_NOT_FOUND), so no API key is assigned to it. "
        "Check project_id."
    )


def _patch(
    api: Client, project_id: str, key: OrgApiKey, roles: tuple[str, ...], doing: str, *, role: str
) -> None:
    def send() -> None:
        path, body = _path(project_id, key.id), {"roles": list(roles)}
        api.patch(path, body, _parse_write(project_id, key, roles), doing=doing, role=role)

    _write(api, project_id, key, roles, send)


def _write(
    api: Client,
    project_id: str,
    key: OrgApiKey,
    roles: tuple[str, ...],
    send: Callable[[], None],
) -> None:
    """Send until the API knows the key; after a lost answer the key may have the roles anyway."""
    try:
        retry_unknown_key(api, key, send)
    except KeysmithError as error:
        if _may_mean_unassigned(error) and error.code in _NOT_FOUND:
            error.check = (
                "The key was revoked or removed from the project in the meantime, or a recent "
                "change is still propagating. Run the task again."
            )
        if not error.unclear or not _is_confirmed(api, project_id, key, roles, error):
            raise


def _parse_write(
    project_id: str, key: OrgApiKey, roles: tuple[str, ...]
) -> Callable[[Any], bool | None]:
    """Accept no content (Atlas, POST), and the key with these roles (PATCH)."""

    def parse_this(data: Any) -> bool | None:
        if data == {}:
            return True
        changed = parse(data)
        if changed is None or changed.id != key.id:
            return None
        now = dict(changed.projects).get(project_id)
        if data.get("roles") is not None and set(now or ()) != set(roles):
            raise contradicted(
                f"shows the key as {_state(now)}, not with the roles {', '.join(roles)}"
            )
        return True

    return parse_this


def _is_confirmed(
    api: Client, project_id: str, key: OrgApiKey, expected: Roles, error: KeysmithError
) -> bool:
    """Whether the listing shows what was asked for, after an error that leaves it open.

    If not, the error is told what it shows.
    """
    try:
        with api.stop.completing():
            now = _await(api, project_id, key, lambda now: now == expected)
    except KeysmithError as failure:
        error.aftermath = (
            "Whether it was done all the same could not be found out: "
            f"{failure.message()} Run the task again; that is safe."
        )
        return False
    if now == expected:
        return True
    error.aftermath = _shown_as(project_id, key, now)
    error.results = {"project_api_key": result(project_id, key, now)}
    return False


def _shown_as(project_id: str, key: OrgApiKey, now: Roles) -> str:
    return (
        f"The listing of project {project_id} shows the API key {key.id} as {_state(now)} now. Run "
        "the task again; that is safe."
    )


def _state(roles: Roles) -> str:
    return "not assigned to it" if roles is None else f"assigned with the roles {', '.join(roles)}"


def result(project_id: str, key: OrgApiKey, roles: Roles) -> dict[str, Any] | None:
    """Return the value of ``project_api_key``."""
    if roles is None:
        return None
    return {
        "project_id": project_id,
        "api_user_id": key.id,
        "public_key": key.public_key,
        "description": key.description,
        "roles": list(roles),
    }


def _await(
    api: Client, project_id: str, key: OrgApiKey, is_expected: Callable[[Roles], bool]
) -> Roles:
    """Return the roles that the listing shows, as soon as they are expected, or in the end."""
    return poll(api, lambda: _now(api, project_id, key), is_expected)


def _now(api: Client, project_id: str, key: OrgApiKey) -> Roles:
    return roles_in(project_id, list_all(api, project_id).get(key.id))


def _manager(api: Client) -> str:
    """Return the least role that may change and remove assignments."""
    is_atlas = api.endpoint.api_path == ATLAS.api_path
    return PROJECT_ACCESS_MANAGER if is_atlas else PROJECT_OWNER


def _may_mean_unassigned(error: KeysmithError) -> bool:
    """Whether an error may say that the key is not in the project.

    Which code does is not documented, so the list decides for each (docs/apis.md: Absence).
    """
    return (
        isinstance(error, ApiError)
        and error.status in {400, 404}
        and error.code is not None
        and not (error.code == "RESOURCE_NOT_FOUND" and is_about_path(error.parameters))
    )


def _path(project_id: str, api_user_id: str = "") -> str:
    return f"/groups/{project_id}/apiKeys" + (f"/{api_user_id}" if api_user_id else "")
