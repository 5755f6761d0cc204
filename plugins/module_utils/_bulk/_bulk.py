# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change many keys concurrently, and report the outcome of each change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk import (
    _changes,
    _workers,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk._changes import (
    KINDS,
    Change,
    DesiredKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    CancelledError,
    KeysmithError,
    PartialError,
    internal_error,
)
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
class Work:
    """How to apply changes. ``known_ids``: all keys of the organization before the task."""

    api: Client
    org_id: str
    known_ids: Collection[str]
    access_list_name: str
    credentials_dir: str | None
    concurrency: int
    fail_fast: bool

    def apply(self, changes: Sequence[Change]) -> tuple[list[ChangeRun], list[str]]:
        """Make the changes, and return the ``ChangeRun`` of each, and warnings.

        Creations and updates start before revocations. The signing credential comes last, and only
        if everything else was done. A change that fails raises nothing.
        """
        runs = [ChangeRun(self, change) for change in changes]
        errors: list[KeysmithError] = []

        def run_one(run: ChangeRun) -> None:
            run.run()
            if run.error and run.is_started:
                errors.append(run.error)

        def run_all(todo: Sequence[ChangeRun]) -> None:
            _workers.map_concurrent(
                run_one,
                todo,
                threads=self.concurrency,
                should_continue=lambda: not self.why_stopped(errors),
            )

        others = [run for run in runs if run.change.is_change and not run.change.is_own]
        run_all(sorted(others, key=lambda run: run.change.target is None))
        created = [run.key for run in others if run.key and run.change.key is None]
        warnings: list[str] = []
        if created:
            warnings = _resource.duplicate_warnings(
                self.api, API_KEYS.of(self.org_id), created, self.known_ids
            )
        # If the API hides public keys, several keys may be the signing credential. The key that is
        # known to be it comes last.
        own = [run for run in runs if run.change.is_change and run.change.is_own]
        own.sort(key=lambda run: run.current.public_key == self.api.endpoint.public_key)
        for run in own:
            if all(other.is_started for other in others) and not errors:
                run_all([run])
        # Many keys may be in the same missing project.
        return runs, [*warnings, *dict.fromkeys(text for run in runs for text in run.warnings)]

    def why_stopped(self, errors: Sequence[KeysmithError]) -> str:
        """Return why no more changes are started, or "" if they are."""
        if self.api.cancellation.reason:
            return self.api.cancellation.reason
        if errors and self.fail_fast:
            return "fail_fast is true"
        if any(error.status == 429 for error in errors):
            return "the API's rate limit lasts longer than retry_max_wait"
        return ""


class ChangeRun:
    """A change in progress, with the current state of its key.

    ``is_made``: at least part of the change was made, which can be true of a failed change too.
    """

    def __init__(self, work: Work, change: Change) -> None:
        self.change = change
        self.key = change.key
        self.access_list = change.access_list
        self.is_started = not change.is_change
        self.is_made = False
        self.error: KeysmithError | None = None
        self.warnings: list[str] = []
        self._secrets: dict[str, str] = {}
        self._work = work
        self._api = work.api

    def run(self) -> None:
        try:
            self._make()
        except KeysmithError as error:
            self.error = error
            self._take_over(error)
        except Exception as failure:
            # The results of the other keys must not be lost.
            self.error = internal_error(failure)
        # A canceled task may not have sent the first request.
        self.is_started = (
            self.is_made or not isinstance(self.error, CancelledError) or self.error.outcome_unknown
        )

    def result(self) -> dict[str, Any]:
        return {**_org_api_keys.identity(self.key), **self._shown(), **self._secrets}

    def after(self) -> dict[str, Any]:
        """Return the key as a diff shows it, which may differ from the plan."""
        return self._shown() if self.key and self.change.target else self.change.after()

    @property
    def current(self) -> OrgApiKey:
        return cast("OrgApiKey", self.key)

    def _shown(self) -> dict[str, Any]:
        return _changes.show(self.key, self.access_list)

    def _make(self) -> None:
        declared = self.change.declared
        if declared is None:
            objects = API_KEYS.of(self._work.org_id)
            self.is_made = _resource.delete(
                self._api, objects, self.current, may_be_own=self.change.is_own
            )
            return
        if self.key is None:
            self._create(declared)
        # An existing key gets its access list before its roles, so that no other address can use
        # them. The signing credential needs its roles for the other requests.
        steps = [self._set_access_list, self._set_roles, self._set_projects]
        if self.change.is_own:
            steps = [self._set_projects, self._set_access_list, self._set_roles]
        for step in steps:
            step()

    def _create(self, declared: DesiredKey) -> None:
        work, directory = self._work, self._work.credentials_dir
        wanted = _new_keys.Wanted(
            description=declared.description,
            roles=declared.roles or (),
            access_list=declared.access_list,
            list_name=work.access_list_name,
        )

        def file_of(key: OrgApiKey) -> SecretFile | None:
            return _key_files.new_in(directory, key) if directory else None

        new = _new_keys.create(self._api, work.org_id, wanted, work.known_ids, file_of)
        self.key, self.access_list, self.is_made = new.found, declared.access_list, True
        if new.secret:
            self._secrets["private_key"] = new.secret
        if directory:
            self._secrets["credentials_file"] = _key_files.new_in(directory, new.found).path

    def _set_access_list(self) -> None:
        found, entries = self.change.found, self.change.new_access_list
        if found is None or entries is None or found.now == entries:
            return
        self._api.cancellation.check()
        now = _access_lists.change(self._api, found, _access_lists.Goal(entries, purge=True))
        self.access_list = now.now
        self.is_made = self.is_made or now.is_changed

    def _set_roles(self) -> None:
        change = self.change
        if not change.key or not change.target or change.key.roles == change.target.roles:
            return
        self._api.cancellation.check()
        roles = {"roles": list(change.target.roles)}
        changed = _org_api_keys.update(self._api, self._work.org_id, self.current, roles)
        # The response may not show the new projects yet.
        self.key = replace(changed, projects=self.current.projects)
        self.is_made = True

    def _set_projects(self) -> None:
        declared = self.change.declared
        if declared is None or declared.projects is None:
            return
        now, goal = dict(self.current.projects), dict(declared.projects)
        for project_id in sorted(goal.keys() | now.keys()):
            if now.get(project_id) != goal.get(project_id):
                self._api.cancellation.check()
                self._set_project(project_id, now.get(project_id), goal.get(project_id))

    def _set_project(
        self, project_id: str, before: _assignments.Roles, roles: _assignments.Roles
    ) -> None:
        assignment, is_made = PROJECT_API_KEYS.of(project_id, self.current), True
        try:
            if roles is None:
                is_made = _assignments.unassign(self._api, assignment)
            elif before is None:
                is_made = _assignments.assign_all(self._api, assignment, roles)
            else:
                _assignments.change(self._api, assignment, roles)
        except KeysmithError as error:
            if roles is None and self._is_project_missing(error, project_id):
                is_made = False
            else:
                if error.results:
                    self._take_project(project_id, error.now, error.now != before)
                raise
        self._take_project(project_id, roles, is_made)

    def _is_project_missing(self, error: KeysmithError, project_id: str) -> bool:
        is_missing = (
            isinstance(error, ApiError)
            and _assignments.is_project_missing(error, project_id)
            and not error.outcome_unknown
        )
        if is_missing:
            self.warnings.append(_assignments.missing_project_warning(API_KEYS, project_id))
        return is_missing

    def _take_project(self, project_id: str, roles: _assignments.Roles, is_made: bool) -> None:
        self.key = _org_api_keys.with_project(self.current, project_id, roles)
        self.is_made = self.is_made or is_made

    def _take_over(self, error: KeysmithError) -> None:
        """Update the known state of the key from an error that describes it."""
        now = error.now
        if isinstance(now, _access_lists.AccessList):
            self.access_list = now.now
        elif isinstance(now, OrgApiKey):
            self.key = replace(now, projects=self.key.projects) if self.key else now
        self.is_made = self.is_made or bool(error.results.get("changed"))


def report(work: Work, runs: Sequence[ChangeRun], extra_results: dict[str, Any]) -> dict[str, Any]:
    """Return the result of the task. Raises PartialError unless all changes were made."""
    lists: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    failures: list[dict[str, Any]] = []
    pending: list[dict[str, Any]] = []
    errors: list[KeysmithError] = []
    made: list[ChangeRun] = []
    for run in sorted(runs, key=lambda run: run.change.order):
        change = run.change
        if not run.is_started:
            pending.append(change.identity())
            continue
        if run.is_made:
            made.append(run)
        if run.is_made and run.key:
            lists[change.kind].append(run.result())
        elif not run.error:
            lists["unchanged"].append(change.planned())
        if run.error:
            errors.append(run.error)
            error = {"msg": run.error.message(), "error": run.error.fields()}
            failures.append({**change.identity(), **_org_api_keys.identity(run.key), **error})
    diff = _changes.diff((run.change.before(), run.after()) for run in made)
    results = {"changed": bool(made), **lists, **extra_results, "diff": diff}
    if not errors and not pending:
        return results
    done = sum(len(items) for kind, items in lists.items() if kind != "unchanged")
    raise _partial(
        work, {**results, "failures": failures, "pending": pending}, errors, done, len(pending)
    )


def _partial(
    work: Work, results: dict[str, Any], errors: Sequence[KeysmithError], done: int, pending: int
) -> PartialError:
    parts = [f"{done} done", f"{len(errors)} failed"]
    if pending:
        why = work.why_stopped(errors) or "the signing credential comes last"
        parts.append(f"{pending} not started ({why})")
    error = PartialError(
        f"Only some changes were made in organization {work.org_id}: {', '.join(parts)}",
        hint='See "failures" and "pending" in the result. Run the task again to finish.',
    )
    # If nothing failed, only a signal or the time limit can have left changes unmade.
    cause = errors[0] if errors else work.api.cancellation.error()
    state = f"The first failure: {errors[0].message()}" if errors else ""
    return error.with_context(cause=cause, state_after=state, results=results)
