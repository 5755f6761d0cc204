# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of many changes, and the state of a key after one of its steps fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk import (
    _bulk,
    _changes,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk._changes import (
    Change,
    DesiredKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import ATLAS
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    OptionError,
    OrphanError,
    PartialError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _assignments,
    _new_keys,
    _org_api_keys,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._key_access_lists import (
    API_KEY_LISTS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
)
from tests.support import VirtualClock

ORG = "5a0000000000000000000001"
PROJECTS = [f"5a00000000000000000000a{number}" for number in range(3)]
MEMBER, OWNER = ("ORG_MEMBER",), ("ORG_OWNER",)
READ, WRITE = ("GROUP_READ_ONLY",), ("GROUP_OWNER",)


def key(number: int, public_key: str | None = None, **more: Any) -> OrgApiKey:
    fields = {"roles": MEMBER, "projects": (), **more}
    return OrgApiKey(f"5ae{number:021d}", f"key {number}", public_key, **fields)


def work(**more: Any) -> _bulk.Work:
    time = VirtualClock()
    api = SimpleNamespace(
        cancellation=Cancellation(Clock(time.now, time.sleep, time.random)),
        endpoint=SimpleNamespace(public_key="ownownow", platform=ATLAS),
        add_no_log=lambda _secret: None,
    )
    settings = {
        "known_ids": (),
        "access_list_name": "accessList",
        "credentials_dir": None,
        "concurrency": 1,
        "fail_fast": False,
    }
    return _bulk.Work(api, ORG, **{**settings, **more})  # type: ignore[arg-type]


def wanted(existing: OrgApiKey | None, **parts: Any) -> Change:
    """Declare a key; parts that are not set stay as they are."""
    fields: dict[str, Any] = {"roles": None, "access_list": None, "projects": None, **parts}
    description = existing.description if existing else "new one"
    return _changes.declaration(DesiredKey(description, **fields), existing, None)


def own(change: Change) -> Change:
    return replace(change, is_own=True)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the calls to the API, which all succeed."""
    calls: list[Any] = []

    def revoke(_api: Any, _keys: Any, revoked: OrgApiKey, *, may_be_own: bool) -> bool:
        calls.append(("revoke", revoked.id, may_be_own))
        return True

    def update(_api: Any, _org_id: str, changed: OrgApiKey, fields: Any) -> OrgApiKey:
        calls.append(("roles", fields["roles"]))
        # The response does not show the projects yet.
        return OrgApiKey(changed.id, changed.description, None, tuple(fields["roles"]), ())

    def do(what: str) -> Any:
        def take(_api: Any, at: Any, *more: Any) -> bool:
            calls.append((what, at.project_id, *more))
            return True

        return take

    monkeypatch.setattr(_resource, "delete", revoke)
    monkeypatch.setattr(_org_api_keys, "update", update)
    monkeypatch.setattr(_resource, "duplicate_warnings", lambda *_: ["duplicates"])
    for name in ("assign_all", "change", "unassign"):
        monkeypatch.setattr(_assignments, name, do(name))
    return calls


def test_the_known_signing_credential_is_revoked_after_keys_that_may_be_it(
    done: list[Any],
) -> None:
    keys = [key(1), key(2, "ownownow"), key(3), key(4, "otherone")]
    changes = [*(own(_changes.revocation(k)) for k in keys[:3]), _changes.revocation(keys[3])]
    runs, warnings = work().apply(changes)
    order = [(3, False), (0, True), (2, True), (1, True)]
    assert done == [("revoke", keys[number].id, may_be_own) for number, may_be_own in order]
    assert all(run.is_made for run in runs)
    assert warnings == []


def test_updates_come_before_revocations(done: list[Any]) -> None:
    work().apply([_changes.revocation(key(1)), wanted(key(2), roles=OWNER)])
    assert [call[0] for call in done] == ["roles", "revoke"]


def test_a_project_that_is_as_declared_is_skipped(done: list[Any]) -> None:
    first, second, third = PROJECTS
    existing = key(1, projects=((first, READ), (second, READ), (third, READ)))
    change = wanted(existing, projects=((first, READ), (third, WRITE)))
    ([run], _warnings) = work().apply([change])
    assert done == [("unassign", second), ("change", third, WRITE)]
    assert run.key
    assert run.key.projects == ((first, READ), (third, WRITE))


def test_an_access_list_that_is_as_declared_is_reported_and_not_changed(done: list[Any]) -> None:
    existing, entries = key(1), _access_lists.normalize(["192.0.2.1"], "access_list")
    name = API_KEY_LISTS.name
    found = replace(_access_lists.of_new(API_KEY_LISTS, ORG, existing, name), now=entries)
    declared = DesiredKey(existing.description, OWNER, entries, None)
    ([run], _warnings) = work().apply([_changes.declaration(declared, existing, found)])
    assert done == [("roles", list(OWNER))]
    assert run.result()["access_list"] == ["192.0.2.1"]
    for shown in (run.change.before(), run.change.after()):
        assert shown["access_list"] == ["192.0.2.1"]


def test_new_projects_are_kept_if_the_response_for_roles_lacks_them(done: list[Any]) -> None:
    """The roles of the signing credential are set last."""
    existing = key(1, "ownownow", roles=OWNER)
    change = own(wanted(existing, roles=MEMBER, projects=((PROJECTS[0], READ),)))
    ([run], _warnings) = work().apply([change])
    assert [call[0] for call in done] == ["assign_all", "roles"]
    assert run.key
    assert run.key.projects == ((PROJECTS[0], READ),)
    assert run.key.roles == MEMBER


def test_a_failed_change_of_roles_leaves_the_projects(
    done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    existing = key(1, projects=((PROJECTS[0], READ),))

    def fail(*_arguments: Any) -> None:
        error = ApiError("no", status=500)
        # The response does not show the projects.
        error.results, error.now = {"changed": True}, replace(existing, roles=OWNER, projects=())
        raise error

    monkeypatch.setattr(_org_api_keys, "update", fail)
    ([run], _warnings) = work().apply([wanted(existing, roles=("ORG_READ_ONLY",))])
    assert run.key == replace(existing, roles=OWNER)
    # Not the planned roles.
    assert run.after()["roles"] == list(OWNER)


@pytest.mark.parametrize(
    ("failure", "fail_fast", "started"),
    [
        (ApiError("no", status=500), False, [True, True, False]),
        (ApiError("no", status=500), True, [True, False, False]),
        (ApiError("too many", status=429), False, [True, False, False]),
        (RuntimeError(), False, [True, True, False]),
    ],
    ids=repr,
)
def test_a_failed_change_may_stop_others(
    done: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    fail_fast: bool,
    started: list[bool],
) -> None:
    """The signing credential always."""
    monkeypatch.setattr(_org_api_keys, "update", Mock(side_effect=failure))
    own_key = own(_changes.revocation(key(3, "ownownow")))
    changes = [wanted(key(1), roles=OWNER), _changes.revocation(key(2)), own_key]
    operation = work(fail_fast=fail_fast)
    runs, _warnings = operation.apply(changes)
    assert [run.is_started for run in runs] == started
    with pytest.raises(PartialError) as caught:
        _bulk.report(operation, runs, {})
    results = caught.value.results
    (failed,) = results["failures"]
    assert (str(failure) or type(failure).__name__) in failed["msg"]
    assert [item["id"] for item in results["pending"]] == [
        run.change.key.id for run in runs if run.change.key and not run.is_started
    ]
    revoked = [_changes.show(key(2), None)] if started[1] else []
    assert results["diff"] == {"before": {"api_keys": revoked}, "after": {"api_keys": []}}


@pytest.mark.parametrize("is_left", [True, False])
def test_a_key_whose_pair_cannot_be_stored_may_remain(
    done: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_left: bool
) -> None:
    created = key(1, "newnewne")

    def fail(*_arguments: Any) -> None:
        error = OrphanError("The pair is not in its file")
        if is_left:
            error.results, error.now = {"changed": True}, created
        raise error

    monkeypatch.setattr(_new_keys, "create", fail)
    change = wanted(None, roles=MEMBER)
    ([run], warnings) = work(credentials_dir=str(tmp_path)).apply([change])
    assert run.is_made is is_left
    assert run.key == (created if is_left else None)
    assert not is_left or "private_key" not in run.result()
    assert warnings == (["duplicates"] if is_left else [])


@pytest.mark.parametrize("shown", [READ, (*READ, *WRITE), None])
@pytest.mark.parametrize("roles", [WRITE, None])
def test_a_failed_project_change_leaves_what_the_api_shows(
    done: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    roles: tuple[str, ...] | None,
    shown: tuple[str, ...] | None,
) -> None:
    error = ApiError("no", status=500)
    error.now, error.results = shown, {"project_api_key": None}

    def fail(*_arguments: Any) -> bool:
        raise error

    monkeypatch.setattr(_assignments, "change", fail)
    monkeypatch.setattr(_assignments, "unassign", fail)
    existing = key(1, projects=((PROJECTS[0], READ),))
    declared = {PROJECTS[0]: roles} if roles else {}
    operation = work()
    runs, _warnings = operation.apply([wanted(existing, projects=tuple(declared.items()))])
    with pytest.raises(PartialError) as caught:
        _bulk.report(operation, runs, {})
    results = caught.value.results
    (failure,) = results["failures"]
    assert (failure["id"], failure["description"]) == (existing.id, existing.description)
    assert results["changed"] is (shown != READ)
    if results["changed"]:
        (updated,) = results["updated"]
        roles_shown = [project["roles"] for project in updated["projects"]]
        assert roles_shown == ([] if shown is None else [[*shown]])


def test_keys_that_need_no_change_are_not_counted(
    done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> bool:
        raise OptionError("no", hint="Try again.")

    monkeypatch.setattr(_assignments, "unassign", fail)
    changes = [
        wanted(key(1)),
        wanted(key(2), roles=OWNER),
        wanted(key(3, projects=((PROJECTS[0], READ),)), projects=()),
    ]
    operation = work()
    runs, _warnings = operation.apply(changes)
    with pytest.raises(PartialError, match=r": 1 done, 1 failed$") as caught:
        _bulk.report(operation, runs, {"kept": []})
    assert caught.value.results["unchanged"] == [changes[0].planned()]
    assert caught.value.message().endswith("The first failure: no. Try again.")
