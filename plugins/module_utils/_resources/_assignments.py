# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assign objects of an organization to projects, with roles there.

Only the project's full list, or GROUP_NOT_FOUND for this project, proves that an object is not
assigned. The list also decides after an error that leaves the outcome unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Union

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Call, Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    KeysmithError,
    is_about_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _resource
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    ORG_OWNER,
    Listing,
    Obj,
    Resource,
)

PROJECT_OWNER = "Project Owner"
PROJECT_READ_ONLY = "Project Read Only"

# The roles in a project, sorted; None if the object is not assigned to it.
Roles = Union[tuple[str, ...], None]


@dataclass(frozen=True)
class Assignments(Generic[Obj]):
    """How objects of a kind are assigned to projects.

    ``path``: of a project's listing, with {} for its ID. ``parse``: takes the JSON of that listing.
    ``roles_in``: the roles of an object in a project. ``taken``: the code that says that the object
    is already assigned. ``result_name``: the name of an assignment in results. ``identity``: its
    fields besides the project and the roles. ``is_invited``: whether objects are assigned by an
    invitation, on every platform. ``query``: the parameters that the full list of a project needs.
    """

    resource: Resource[Obj]
    path: str
    parse: Callable[[Any], Obj | None]
    roles_in: Callable[[Obj, str], tuple[str, ...]]
    taken: str
    result_name: str
    identity: Callable[[Obj], Mapping[str, Any]]
    is_invited: bool = False
    query: Mapping[str, str] = field(default_factory=dict)

    def of(self, project_id: str, found: Obj) -> Assignment[Obj]:
        """Return the assignment of an object to a project."""
        return Assignment(self, project_id, found)

    def listing(self, project_id: str) -> Listing[Obj]:
        return Listing(
            title=f"{self.resource.noun}s of project {project_id}",
            path=self.path.format(project_id),
            version=self.resource.version,
            reader=PROJECT_READ_ONLY,
            parse=self.parse,
            query=self.query,
        )


@dataclass(frozen=True)
class Assignment(Generic[Obj]):
    """The assignment of an object to a project, whether it exists or not."""

    kind: Assignments[Obj]
    project_id: str
    found: Obj

    def __str__(self) -> str:
        return f"the {self.kind.resource.noun} {self.found}"

    def call(self, operation: str, role: str, action: str = "") -> Call:
        listing = self.kind.listing(self.project_id)
        return listing.call(operation, role, f"{self.found.id}{action}")

    def manager(self, api: Client) -> str:
        """Return the role that changing and removing an assignment requires."""
        return PROJECT_OWNER if self.kind.is_invited else api.endpoint.platform.assignment_role

    def roles(self, listed: Mapping[str, Obj]) -> Roles:
        """Return the roles that a listing of the project shows."""
        found = listed.get(self.found.id)
        return None if found is None else self.kind.roles_in(found, self.project_id)

    def result(self, roles: Roles) -> dict[str, Any] | None:
        """Return the value of ``result_name``."""
        if roles is None:
            return None
        identity = self.kind.identity(self.found)
        return {"project_id": self.project_id, **identity, "roles": list(roles)}


def list_all(api: Client, kind: Assignments[Obj], project_id: str) -> dict[str, Obj]:
    """Return every object that is assigned to the project, by ID."""
    return {found.id: found for found in _resource.list_all(api, kind.listing(project_id))}


def assign(api: Client, at: Assignment[Obj], roles: tuple[str, ...]) -> Roles:
    """Assign an object that is not in the project's listing.

    Returns None, or the object's roles if the API says that it is already assigned. Those are not
    changed.
    """
    operation = f"assign {at} to project {at.project_id}"
    body: Any
    call, body = at.call(operation, PROJECT_OWNER), [{"roles": list(roles)}]
    if at.kind.is_invited:
        call, body = at.call(operation, ORG_OWNER, ":invite"), {"roles": list(roles)}
    elif api.endpoint.platform.assign_method == "PATCH":
        _patch(api, at, roles, operation, PROJECT_OWNER)
        return None
    try:
        _write(api, at, roles, lambda: api.post(call, body, _parse_write(at, roles)))
    except ApiError as error:
        if error.code != at.kind.taken:
            raise
        now = _resource.poll_after(api, lambda: _now(api, at), lambda now: now is not None)
        if now is None:
            hint = "The project's list does not show it yet. Run the task again later."
            if at.kind.is_invited:
                # Other causes have the same code.
                hint = (
                    f"The project's list does not show the {at.kind.resource.noun}. Check the "
                    "roles. If another run has just assigned it, run the task again later."
                )
            raise error.with_context(hint=hint) from None
        return now
    return None


def assign_all(api: Client, at: Assignment[Obj], roles: tuple[str, ...]) -> bool:
    """Assign an object with exactly these roles, and return whether this call did anything.

    If another run has assigned it in the meantime, only other roles are changed.
    """
    existing = assign(api, at, roles)
    if existing == roles:
        return False
    if existing is not None:
        change(api, at, roles)
    return True


def change(api: Client, at: Assignment[Obj], roles: tuple[str, ...]) -> None:
    """Give an assigned object exactly these roles in the project."""
    operation = f"change the roles of {at} in project {at.project_id}"
    _patch(api, at, roles, operation, at.manager(api))


def unassign(api: Client, at: Assignment[Obj]) -> bool:
    """Remove an object from the project, and return whether this call did it.

    If the response to an earlier attempt was lost, this call did it. If the project is missing, the
    error is raised: see ``is_project_missing``.
    """
    operation = f"remove {at} from project {at.project_id}"
    call = at.call(operation, at.manager(api))

    def says_unassigned(error: KeysmithError) -> bool:
        return _may_mean_unassigned(error) and not is_project_missing(error, at.project_id)

    try:
        return _resource.delete_known(
            api, lambda: api.delete(call), says_unassigned, lambda: _now(api, at) is not None
        )
    except KeysmithError as error:
        _confirm(api, at, None, error)
    return True


def is_project_missing(error: KeysmithError, project_id: str) -> bool:
    """Return whether an error says that this project does not exist."""
    return (
        isinstance(error, ApiError)
        and error.code == "GROUP_NOT_FOUND"
        and error.status in {400, 404}
        and (not error.parameters or project_id in error.parameters)
    )


def missing_project_warning(resource: Resource[Obj], project_id: str) -> str:
    """Return the warning that a project does not exist, which may be a mistake in the task."""
    return (
        f"Project {project_id} does not exist (GROUP_NOT_FOUND), so no {resource.noun} is assigned "
        "to it. Check project_id."
    )


def _patch(
    api: Client, at: Assignment[Obj], roles: tuple[str, ...], operation: str, role: str
) -> None:
    call, body = at.call(operation, role), {"roles": list(roles)}
    _write(api, at, roles, lambda: api.patch(call, body, _parse_write(at, roles)))


def _write(
    api: Client, at: Assignment[Obj], roles: tuple[str, ...], send: Callable[[], bool]
) -> None:
    """Send a request. After a lost response, the object may have the roles anyway."""
    resource = at.kind.resource
    try:
        _resource.retry_unknown(api, resource, at.found.id, send)
    except KeysmithError as failure:
        error = failure
        is_unknown = (
            _resource.says_missing(error, resource, at.found.id)
            or error.code == "RESOURCE_NOT_FOUND"
        )
        if _may_mean_unassigned(error) and is_unknown:
            error = error.with_context(
                hint=f"The {resource.noun} was {resource.verb}d or removed from the project in the "
                "meantime, or a recent change is still propagating. Run the task again."
            )
        _confirm(api, at, roles, error)


def _parse_write(at: Assignment[Obj], roles: tuple[str, ...]) -> Callable[[Any], bool | None]:
    """Accept the object with these roles, or no content, unless the object is invited."""

    def parse_this(data: Any) -> bool | None:
        if data == {} and not at.kind.is_invited:
            return True
        changed = at.kind.parse(data)
        if changed is None or changed.id != at.found.id:
            return None
        now = at.kind.roles_in(changed, at.project_id)
        if data.get("roles") is not None and set(now) != set(roles):
            resource = at.kind.resource
            what = f"shows the {resource.noun} as {_state(now or None)}, not with the roles"
            raise _resource.contradicted(resource, f"{what} {', '.join(roles)}")
        return True

    return parse_this


def _confirm(api: Client, at: Assignment[Obj], expected: Roles, error: KeysmithError) -> None:
    """Raise an error, unless it leaves the outcome unknown and the list shows the expected roles.

    If the list shows other roles, the error says so.
    """
    if not error.outcome_unknown:
        raise error from None
    try:
        now = _resource.poll_after(api, lambda: _now(api, at), lambda now: now == expected)
    except KeysmithError as failure:
        raise error.with_context(
            state_after=f"Whether it was done anyway could not be checked: {failure.message()} It "
            "is safe to run the task again."
        ) from None
    if now != expected:
        raise error.with_context(
            state_after=_shown_as(at, now),
            results={at.kind.result_name: at.result(now)},
            now=now,
        ) from None


def _shown_as(at: Assignment[Obj], now: Roles) -> str:
    return (
        f"The list of project {at.project_id} shows the {at.kind.resource.noun} {at.found.id} as "
        f"{_state(now)} now. It is safe to run the task again."
    )


def _state(roles: Roles) -> str:
    return "not assigned to it" if roles is None else f"assigned with the roles {', '.join(roles)}"


def _now(api: Client, at: Assignment[Obj]) -> Roles:
    return at.roles(list_all(api, at.kind, at.project_id))


def _may_mean_unassigned(error: KeysmithError) -> bool:
    """Return whether an error may say that the object is not in the project.

    The code is not documented, so the listing decides for any code (docs/apis.md: Absence).
    """
    return (
        isinstance(error, ApiError)
        and error.status in {400, 404}
        and error.code is not None
        and not (error.code == "RESOURCE_NOT_FOUND" and is_about_path(error.parameters))
    )
