# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes to many keys: bringing them about, several at a time, and what has become of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk import _workers
from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk._changes import (
    KINDS,
    Change,
    DesiredKey,
    diff,
    ids,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    CancelledError,
    KeysmithError,
    PartialError,
    internal_error,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._plan import Plan
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _assignments,
    _key_files,
    _new_keys,
    _org_api_keys,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._project_api_keys import (
    PROJECT_API_KEYS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._secret_file import SecretFile


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
    warnings: Sequence[str] = ()

    @property
    def is_not_begun(self) -> bool:
        """Whether the task was told to stop just before the first request was accepted."""
        return (
            isinstance(self.error, CancelledError)
            and not self.error.outcome_unknown
            and not self.is_made
        )

    def result(self) -> dict[str, Any]:
        return {**(self.key.result() if self.key else {}), **self.extra}

    def done(self) -> Change:
        """Return the change as it was made, which may differ from the plan."""
        plan = self.change.plan
        if self.key is None or self.change.declared is None:
            return self.change
        lists = {name: self.extra[name] for name in ("access_list",) if name in self.extra}
        return replace(
            self.change, plan=Plan(plan.before, {**plan.before, **self.key.writable(), **lists})
        )


@dataclass(frozen=True)
class Work:
    """How to bring changes about. ``known_ids``: of the complete listing before."""

    api: Client
    org_id: str
    known_ids: Collection[str]
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

        def should_continue() -> bool:
            return not self.why_not_all(errors)

        def do_one(number: int) -> None:
            outcome = _Progress(self, changes[number]).run()
            if outcome.is_not_begun:
                return
            outcomes[number] = outcome
            if outcome.error:
                errors.append(outcome.error)

        def do_all(numbers: Sequence[int]) -> None:
            _workers.each(
                do_one, numbers, threads=self.concurrency, should_continue=should_continue
            )

        todo = [number for number, change in enumerate(changes) if change.plan.is_change]
        others = [number for number in todo if not changes[number].is_own]
        # Revocations after all the rest: a stable sort keeps the order otherwise.
        others.sort(key=lambda number: changes[number].declared is None)
        do_all(others)
        warnings = self._twin_warnings(outcomes)
        own = self.api.endpoint.public_key
        last = [number for number in todo if changes[number].is_own]
        # Of several that may be the own one, as the API hides their public keys, the one that is
        # known to be it comes last of all.
        last.sort(key=lambda number: cast("OrgApiKey", changes[number].key).public_key == own)
        for number in last:
            if all(outcomes[other] for other in others) and not errors:
                do_all([number])
        lists = [outcome.warnings for outcome in outcomes if outcome]
        # Many keys may be in the same missing project.
        return outcomes, [*warnings, *dict.fromkeys(text for texts in lists for text in texts)]

    def _twin_warnings(self, outcomes: Iterable[Outcome | None]) -> list[str]:
        created = [o.key for o in outcomes if o and o.key and o.change.key is None]
        if not created:
            return []
        return _resource.duplicate_warnings(
            self.api, API_KEYS.of(self.org_id), created, self.known_ids
        )

    def why_not_all(self, errors: Sequence[KeysmithError]) -> str:
        """Say why no more changes are begun, "" where they are."""
        if self.api.cancellation.reason:
            return self.api.cancellation.reason
        if errors and self.fail_fast:
            return "fail_fast is true"
        if any(error.status == 429 for error in errors):
            return "the API refuses more requests for longer than retry_max_wait allows"
        return ""


class _Progress:
    """One change on its way: what has been done so far."""

    def __init__(self, work: Work, change: Change) -> None:
        self._work = work
        self._change = change
        self._key = change.key
        self._is_made = False
        self._extra: dict[str, Any] = {}
        self._warnings: list[str] = []

    def run(self) -> Outcome:
        error: KeysmithError | None = None
        try:
            self._run()
        except KeysmithError as failure:
            error = failure
            self._take(failure.results)
        except Exception as failure:
            # The results of the other keys must not be lost with this one's.
            error = internal_error(failure)
        change, extra = self._change, self._extra
        return Outcome(change, self._key, self._is_made, extra, error, self._warnings)

    def _run(self) -> None:
        change, work = self._change, self._work
        if change.declared is None:
            self._is_made = _resource.delete(work.api, API_KEYS.of(work.org_id), self._current)
            return
        if change.key is None:
            self._create(change.declared)
        # A key gets its access list before its roles, so that it is never open to more than that.
        steps: list[Callable[[DesiredKey], None]] = [
            self._set_access_list,
            self._set_roles,
            self._set_projects,
        ]
        # The key that signs loses its roles last: it needs them for the rest.
        if change.is_own:
            steps = [self._set_projects, self._set_access_list, self._set_roles]
        for step in steps:
            step(change.declared)

    def _create(self, declared: DesiredKey) -> None:
        work, folder = self._work, self._work.credentials_dir
        wanted = _new_keys.Wanted(
            description=declared.description,
            roles=declared.roles or (),
            access_list=declared.access_list,
            list_name=work.access_list_name,
        )

        def file_of(key: OrgApiKey) -> SecretFile | None:
            return _key_files.new_in(folder, key) if folder else None

        new = _new_keys.create(work.api, work.org_id, wanted, work.known_ids, file_of)
        self._key, self._is_made = new.key, True
        if new.private_key is not None:
            self._extra["private_key"] = new.private_key
        if folder:
            self._extra["credentials_file"] = _key_files.new_in(folder, new.key).path
        if declared.access_list is not None:
            self._extra["access_list"] = _access_lists.in_order(declared.access_list)

    def _set_roles(self, _declared: DesiredKey) -> None:
        plan, work = self._change.plan, self._work
        if not plan.before or plan.before["roles"] == plan.after["roles"]:
            return
        work.api.cancellation.check()
        roles = {"roles": plan.after["roles"]}
        changed = _org_api_keys.update(work.api, work.org_id, self._current, roles)
        # Projects that this task has set already may not be in the answer yet.
        self._key = replace(changed, projects=self._current.projects)
        self._is_made = True

    def _set_access_list(self, declared: DesiredKey) -> None:
        entries, work, found = declared.access_list, self._work, self._change.found
        # A new key has got its list already.
        if entries is None or found is None:
            return
        self._extra["access_list"] = _access_lists.in_order(found.now)
        if found.now == entries:
            return
        work.api.cancellation.check()
        goal = _access_lists.Goal(entries, purge=True)
        self._take(_access_lists.change(work.api, found, goal).result())

    def _take(self, results: Mapping[str, Any]) -> None:
        if "org_api_key_access_list" in results:
            self._extra["access_list"] = results["org_api_key_access_list"]["entries"]
        if "org_api_key" in results:
            now = _org_api_keys.from_result(results["org_api_key"])
            self._key = replace(now, projects=self._key.projects) if self._key else now
        self._is_made = self._is_made or bool(results.get("changed"))

    def _set_projects(self, declared: DesiredKey) -> None:
        if declared.projects is None:
            return
        work, now, goal = self._work, dict(self._current.projects), dict(declared.projects)
        for project_id in sorted(goal.keys() | now.keys()):
            before, roles = now.get(project_id), goal.get(project_id)
            if before == roles:
                continue
            work.api.cancellation.check()
            key, is_made = self._current, True
            try:
                if roles is None:
                    is_made = self._unassign(project_id)
                elif before is None:
                    is_made = _assignments.assign_all(
                        work.api, PROJECT_API_KEYS.of(project_id, key), roles
                    )
                else:
                    _assignments.change(work.api, PROJECT_API_KEYS.of(project_id, key), roles)
            except KeysmithError as error:
                self._take_project(project_id, before, error)
                raise
            self._key = _org_api_keys.with_project(key, project_id, roles)
            self._is_made = self._is_made or is_made

    def _unassign(self, project_id: str) -> bool:
        try:
            return _assignments.unassign(
                self._work.api, PROJECT_API_KEYS.of(project_id, self._current)
            )
        except ApiError as error:
            if not _assignments.is_project_missing(error, project_id):
                raise
            if error.outcome_unknown:
                raise
            self._warnings.append(_assignments.missing_project_warning(API_KEYS, project_id))
            return False

    def _take_project(
        self, project_id: str, before: _assignments.Roles, error: KeysmithError
    ) -> None:
        """Take over what an error says of the assignment as it is now."""
        if "project_api_key" in error.results:
            shown = error.results["project_api_key"]
            roles = tuple(shown["roles"]) if shown else None
            self._key = _org_api_keys.with_project(self._current, project_id, roles)
            self._is_made = self._is_made or roles != before

    @property
    def _current(self) -> OrgApiKey:
        return cast("OrgApiKey", self._key)


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
            made.append(outcome.done())
        if outcome.is_made and outcome.key:
            lists[change.kind].append(outcome.result())
        elif not outcome.error:
            lists["unchanged"].append(change.planned())
        if outcome.error:
            errors.append(outcome.error)
            error = {"msg": outcome.error.message(), "error": outcome.error.fields()}
            failures.append({**change.name(), **ids(outcome.key), **error})
    results = {"changed": bool(made), **lists, **more, "diff": diff(made)}
    if errors or pending:
        raise _partial(work, {**results, "failures": failures, "pending": pending}, errors)
    return results


def _partial(work: Work, results: dict[str, Any], errors: list[KeysmithError]) -> PartialError:
    made = sum(len(results[kind]) for kind in KINDS if kind != "unchanged")
    parts = [f"{made} made", f"{len(errors)} failed"]
    if results["pending"]:
        why = work.why_not_all(errors) or "the key that signs goes last, when all else is done"
        parts.append(f"{len(results['pending'])} not begun, because {why}")
    error = PartialError(
        f"Not all changes to the API keys of organization {work.org_id} are done: "
        f"{', '.join(parts)}",
        hint=(
            "The results failures and pending tell which, and what to check. Then run the task "
            "again, to do the rest."
        ),
    )
    # Without a failure, only a signal or the time limit leaves changes undone.
    error.cause = errors[0] if errors else work.api.cancellation.error()
    if errors:
        error.state_after = f"The first failure: {errors[0].message()}"
    error.results = results
    return error
