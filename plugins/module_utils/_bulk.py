# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes to many keys: what each is to become, bringing it about, and what has become of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _access_lists,
    _credentials_file,
    _org_api_keys,
    _plan,
    _project_api_keys,
    _workers,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    KeysmithError,
    PartialError,
    StoppedError,
    internal_error,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._org_api_keys import (
    OrgApiKey,
    Projects,
)

KINDS = ("revoked", "created", "updated", "unchanged")


@dataclass(frozen=True)
class Declared:
    """What a task wants a key to be. None leaves that part as it is."""

    description: str
    roles: tuple[str, ...] | None
    access_list: _access_lists.Networks | None
    projects: Projects | None


@dataclass(frozen=True)
class Change:
    """A key as it is and as it shall be.

    ``key`` is None for one that does not exist, ``declared`` for one that shall not; ``found`` is
    the access list of a key that exists, where ``declared`` has one. ``is_own``: it is the key
    that signs the requests, or may be, and what is done to it may end that.
    """

    key: OrgApiKey | None
    declared: Declared | None
    found: _access_lists.AccessList | None
    plan: _plan.Plan
    is_own: bool = False

    @property
    def kind(self) -> str:
        """Return the result that the key belongs to when the change is made, one of KINDS."""
        if not self.plan.is_change:
            return "unchanged"
        if self.declared is None:
            return "revoked"
        return "created" if self.key is None else "updated"

    @property
    def description(self) -> str:
        return str((self.plan.before or self.plan.after)["description"])

    @property
    def order(self) -> tuple[str, str]:
        return self.description, self.key.id if self.key else ""

    def name(self) -> dict[str, Any]:
        """Return what tells the key from others."""
        return {**_ids(self.key), "description": self.description}

    def planned(self) -> dict[str, Any]:
        """Return the key as it will be, or, where it will not be any more, as it is."""
        return {**_ids(self.key), **(self.plan.after or self.plan.before)}

    def has_losses(self) -> bool:
        """Whether the key may get less far: it loses a role, or its access list changes."""
        before, after = _rights(self.plan.before), _rights(self.plan.after)
        lists = (plan.get("access_list") for plan in (self.plan.before, self.plan.after))
        return bool(before - after) or next(lists) != next(lists)


def _ids(key: OrgApiKey | None) -> dict[str, Any]:
    return {"id": key.id if key else None, "public_key": key.public_key if key else None}


def _rights(writable: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return every role of a key, with the project where it has it."""
    rights = {("", role) for role in writable.get("roles", ())}
    for project in writable.get("projects", ()):
        rights |= {(project["project_id"], role) for role in project["roles"]}
    return rights


def revocation(key: OrgApiKey) -> Change:
    return Change(key, None, None, _plan.absent(key.writable()))


def declaration(
    declared: Declared, key: OrgApiKey | None, found: _access_lists.AccessList | None
) -> Change:
    """Return what a declared key needs; ``found`` is given where the key and its list exist."""
    desired: dict[str, Any] = {"description": declared.description}
    if key is None or not _org_api_keys.has_roles(key, declared.roles):
        desired["roles"] = list(declared.roles or ())
    if key is None or declared.projects is not None:
        desired["projects"] = _org_api_keys.show_projects(declared.projects or ())
    current = key.writable() if key else None
    if declared.access_list is not None:
        desired["access_list"] = _access_lists.in_order(declared.access_list)
    if current is not None and found:
        current["access_list"] = _access_lists.in_order(found.now)
    return Change(key, declared, found, _plan.present(current, desired))


@dataclass(frozen=True)
class Outcome:
    """What has become of a change: the key as it is now, and the error, if there was one.

    ``is_made``: something was changed, if not everything, so it may be both made and failed.
    ``extra`` is what results have beside the key; a private key may be in it.
    """

    change: Change
    key: OrgApiKey | None
    is_made: bool
    extra: Mapping[str, Any] = field(repr=False)
    error: KeysmithError | None

    def result(self) -> dict[str, Any]:
        return {**(self.key.result() if self.key else {}), **self.extra}


@dataclass(frozen=True)
class Work:
    """How to bring changes about. ``known_ids``: of the complete listing before."""

    api: Client
    org_id: str
    known_ids: Collection[str]
    assign_method: str
    access_list_name: str
    credentials_dir: str | None
    concurrency: int
    fail_fast: bool

    def do(self, changes: Sequence[Change]) -> tuple[list[Outcome | None], list[str]]:
        """Bring changes about; return what has become of each (None: not begun), and warnings.

        Creations and changes begin before revocations; the key that signs comes last, and only when
        all else is done. What happens to a single key raises nothing.
        """
        outcomes: list[Outcome | None] = [
            None if change.plan.is_change else Outcome(change, change.key, False, {}, None)
            for change in changes
        ]
        errors: list[KeysmithError] = []

        def goes_on() -> bool:
            return not (self.fail_fast and errors) and not self.api.stop.reason

        def do_one(number: int) -> None:
            outcome = _Progress(self, changes[number]).run()
            outcomes[number] = outcome
            if outcome.error:
                errors.append(outcome.error)

        def do_all(numbers: Sequence[int]) -> None:
            _workers.each(do_one, numbers, threads=self.concurrency, goes_on=goes_on)

        todo = [number for number, change in enumerate(changes) if change.plan.is_change]
        others = [number for number in todo if not changes[number].is_own]
        # Revocations after all the rest: a stable sort keeps the order otherwise.
        others.sort(key=lambda number: changes[number].declared is None)
        do_all(others)
        warnings = self._twin_warnings(outcomes)
        if all(outcomes[number] for number in others) and not errors:
            do_all([number for number in todo if changes[number].is_own])
        return outcomes, warnings

    def _twin_warnings(self, outcomes: Iterable[Outcome | None]) -> list[str]:
        created = [o.key for o in outcomes if o and o.key and o.change.key is None]
        if not created:
            return []
        return _org_api_keys.twin_warnings(self.api, self.org_id, created, self.known_ids)

    def why_not_all(self) -> str:
        """Say why some changes were not begun."""
        if self.api.stop.reason:
            return self.api.stop.reason
        if self.fail_fast:
            return "fail_fast is true"
        return "the key that signs the requests goes last, when all else is done"


class _Progress:
    """One change on its way: what has been done so far."""

    def __init__(self, work: Work, change: Change) -> None:
        self._work = work
        self._change = change
        self._key = change.key
        self._is_made = False
        self._extra: dict[str, Any] = {}

    def run(self) -> Outcome:
        error: KeysmithError | None = None
        try:
            self._run()
        except KeysmithError as failure:
            error = failure
        except Exception as failure:
            # The results of the other keys must not be lost with this one's.
            error = internal_error(failure)
        return Outcome(self._change, self._key, self._is_made, self._extra, error)

    def _run(self) -> None:
        change, work = self._change, self._work
        if change.declared is None:
            self._is_made = _org_api_keys.revoke(work.api, work.org_id, self._current)
            return
        if change.key is None:
            self._create(change.declared)
        elif change.plan.before["roles"] != change.plan.after["roles"]:
            roles = {"roles": change.plan.after["roles"]}
            self._key = _org_api_keys.update(work.api, work.org_id, change.key, roles)
            self._is_made = True
        if change.declared.access_list is not None:
            self._set_access_list(change.declared.access_list)
        if change.declared.projects is not None:
            self._set_projects(dict(change.declared.projects))

    def _create(self, declared: Declared) -> None:
        work = self._work
        created = _org_api_keys.create(
            work.api, work.org_id, declared.description, declared.roles or (), work.known_ids
        )
        self._key, self._is_made = created.key, True
        if not work.credentials_dir:
            self._extra["private_key"] = created.private_key
            return
        work.api.conceal(created.private_key)
        path = _credentials_file.path_in(work.credentials_dir, created.key.id)
        try:
            _credentials_file.store(work.api, work.org_id, created, path)
        except KeysmithError as error:
            if not error.results.get("changed"):
                self._key, self._is_made = None, False
            raise
        self._extra["credentials_file"] = path

    def _set_access_list(self, entries: _access_lists.Networks) -> None:
        work, found = self._work, self._change.found
        if found is None:
            found = _access_lists.of_new_key(work.org_id, self._current, work.access_list_name)
        self._extra["access_list"] = _access_lists.in_order(found.now)
        if found.now == entries:
            return
        self._check_stop()
        goal = _access_lists.Goal(entries, purge=True)
        try:
            self._take(_access_lists.change(work.api, found, goal).result())
        except KeysmithError as error:
            self._take(error.results)
            raise

    def _take(self, results: Mapping[str, Any]) -> None:
        if "org_api_key_access_list" in results:
            self._extra["access_list"] = results["org_api_key_access_list"]["entries"]
        self._is_made = self._is_made or bool(results.get("changed"))

    def _set_projects(self, goal: Mapping[str, tuple[str, ...]]) -> None:
        work, now = self._work, dict(self._current.projects)
        for project_id in sorted(goal.keys() | now.keys()):
            before, roles = now.get(project_id), goal.get(project_id)
            if before == roles:
                continue
            self._check_stop()
            if roles is None:
                _project_api_keys.unassign(work.api, project_id, self._current)
            elif before is None:
                _project_api_keys.assign_all(
                    work.api, project_id, self._current, roles, work.assign_method
                )
            else:
                _project_api_keys.change(work.api, project_id, self._current, roles)
            self._key = _org_api_keys.with_project(self._current, project_id, roles)
            self._is_made = True

    @property
    def _current(self) -> OrgApiKey:
        return cast("OrgApiKey", self._key)

    def _check_stop(self) -> None:
        if self._work.api.stop.reason:
            raise StoppedError(self._work.api.stop.reason)


def planned(changes: Iterable[Change]) -> dict[str, Any]:
    """Return the results and the diff of changes that are all made, or would be."""
    changes = sorted(changes, key=lambda change: change.order)
    lists: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for change in changes:
        lists[change.kind].append(change.planned())
    has_changes = any(change.plan.is_change for change in changes)
    return {"changed": has_changes, **lists, "diff": diff(changes)}


def diff(changes: Iterable[Change]) -> dict[str, Any]:
    """Return the diff of changes: writable fields of keys that change, in their order."""
    plans = [change.plan for change in changes if change.plan.is_change]
    return {
        "before": {"api_keys": [plan.before for plan in plans if plan.before]},
        "after": {"api_keys": [plan.after for plan in plans if plan.after]},
    }


def reported(
    work: Work,
    changes: Sequence[Change],
    outcomes: Sequence[Outcome | None],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the results and the diff, and ``more``; raises PartialError where not all is done."""
    lists: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    failures: list[dict[str, Any]] = []
    pending: list[dict[str, Any]] = []
    errors: list[KeysmithError] = []
    made: list[Change] = []
    for change, outcome in sorted(zip(changes, outcomes), key=lambda pair: pair[0].order):
        if outcome is None:
            pending.append(change.name())
            continue
        if outcome.is_made:
            made.append(change)
            lists[change.kind].append(outcome.result())
        elif not outcome.error:
            lists["unchanged"].append(change.planned())
        if outcome.error:
            errors.append(outcome.error)
            error = {"msg": outcome.error.message(), "error": outcome.error.fields()}
            failures.append({**change.name(), **_ids(outcome.key), **error})
    results = {"changed": bool(made), **lists, **more}
    if errors or pending:
        raise _partial(work, {**results, "failures": failures, "pending": pending}, errors)
    return {**results, "diff": diff(made)}


def _partial(work: Work, results: dict[str, Any], errors: list[KeysmithError]) -> PartialError:
    made = sum(len(results[kind]) for kind in KINDS if kind != "unchanged")
    parts = [f"{made} made", f"{len(errors)} failed"]
    if results["pending"]:
        parts.append(f"{len(results['pending'])} not begun, because {work.why_not_all()}")
    error = PartialError(
        f"Not all changes to the API keys of organization {work.org_id} are done: "
        f"{', '.join(parts)}",
        check=(
            "The results failures and pending tell which, and what to check. Then run the task "
            "again, to do the rest."
        ),
    )
    if errors:
        first = errors[0]
        error.status, error.code, error.reason = first.status, first.code, first.reason
        error.detail, error.parameters, error.request = first.detail, first.parameters, None
        error.aftermath = f"The first failure: {first.message()}"
    error.results = results
    return error
