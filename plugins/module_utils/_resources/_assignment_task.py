# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the assignment of an object of any kind to a project match a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from ansible_collections.keysmith.mongodb.plugins.module_utils import _plan
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    KeysmithError,
    MissingError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _adoption,
    _assignments,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._assignments import (
    Assignment,
    Assignments,
    Roles,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import Obj


@dataclass(frozen=True)
class Task(Generic[Obj]):
    """What a task asks for. ``warn_of_first``: returns warnings about a new assignment."""

    api: Client
    kind: Assignments[Obj]
    params: Mapping[str, Any]
    warn_of_first: Callable[[Obj], Sequence[str]] = lambda _found: ()

    @property
    def project_id(self) -> str:
        return str(self.params["project_id"])

    @property
    def roles(self) -> Roles:
        is_absent = self.params["state"] == "absent"
        return None if is_absent else tuple(sorted(set(self.params["roles"])))

    def plan(self, found: Obj, before: Roles) -> dict[str, Any]:
        """Return the result of the task. Raises OwnKeyError if the change is refused."""
        current = None if before is None else {"roles": list(before)}
        plan = _plan.absent(current)
        if self.roles is not None:
            plan = _plan.present(current, {"roles": list(self.roles)})
        resource = self.kind.resource
        is_absent = self.roles is None
        warnings = [] if is_absent or before is not None else [*self.warn_of_first(found)]
        if self.params[resource.text_name]:
            gains = set(self.roles or ()) - set(before or ())
            in_project = {(self.project_id, role) for role in gains}
            warnings += _adoption.owner_warnings(resource, found, in_project)
        # A listing may show an object without its roles.
        is_loss = before is not None and (is_absent or set(before) - set(self.roles or ()))
        if is_loss:
            loss = "removing it from the project" if is_absent else "removing a role from it"
            _resource.check_not_own(self.api, resource, found, self.params, loss=loss)
        return {
            "changed": plan.is_change,
            self.kind.result_name: self.kind.of(self.project_id, found).result(self.roles),
            "diff": plan.diff(),
            "warnings": warnings,
        }

    def unassigned(self, *warnings: str) -> dict[str, Any]:
        """Return the result for an object that was not assigned to the project."""
        result = {"changed": False, self.kind.result_name: None}
        return {**result, "diff": _plan.absent(None).diff(), "warnings": [*warnings]}


def ensure(
    task: Task[Obj],
    find: Callable[[Mapping[str, Obj]], Obj],
    check_mode: bool,
) -> dict[str, Any]:
    """Change the assignment, and return the result of the task.

    ``find``: takes the objects of the project, and returns the one that the task identifies, or
    raises MissingError.
    """
    try:
        assigned = _assignments.list_all(task.api, task.kind, task.project_id)
        try:
            found = find(assigned)
        except MissingError:
            if task.roles is not None:
                raise
            return task.unassigned()
        at = task.kind.of(task.project_id, found)
        before = at.roles(assigned)
        result = task.plan(found, before)
        if check_mode or not result["changed"]:
            return result
        return _apply(task, at, before, result)
    except ApiError as error:
        # After a lost response, it is not known whether this task removed the object.
        is_missing = _assignments.is_project_missing(error, task.project_id)
        if task.roles is not None or not is_missing or error.outcome_unknown:
            raise
        return task.unassigned(
            _assignments.missing_project_warning(task.kind.resource, task.project_id)
        )


def _apply(
    task: Task[Obj], at: Assignment[Obj], before: Roles, result: dict[str, Any]
) -> dict[str, Any]:
    api, roles = task.api, task.roles
    try:
        if roles is None:
            return result if _assignments.unassign(api, at) else task.unassigned()
        if before is not None:
            _assignments.change(api, at, roles)
            return result
        existing = _assignments.assign(api, at, roles)
        if existing is not None:
            # Another task assigned the object first: continue from its roles.
            result = task.plan(at.found, existing)
            if result["changed"]:
                _assignments.change(api, at, roles)
        return result
    except KeysmithError as error:
        if task.kind.result_name not in error.results:
            raise
        old, new = result["diff"]["before"], {} if error.now is None else {"roles": [*error.now]}
        shown = {"changed": old != new, "diff": {"before": old, "after": new}}
        raise error.with_context(results={**error.results, **shown}) from None
