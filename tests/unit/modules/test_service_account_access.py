# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access lists, projects and lists of service accounts, against the emulator over real sockets.

What these modules share with those of API keys is tested there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _service_accounts
from tests.accounts import (
    ACCOUNTS,
    BUILDS,
    DAY,
    IN_PROJECT,
    MANAGED,
    MISSING_ACCOUNT,
    SECRET_IDS,
    accounts,
    world,
)
from tests.emulator import Emulator, Fault
from tests.support import (
    Outcome,
    VirtualClock,
    client_id,
    key_pair,
    org_id,
    project_id,
    run_module,
)

A, B = "192.0.2.1", "2001:db8::/32"
OWNER = ["GROUP_OWNER"]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    soon = {"id": SECRET_IDS[0], "value": "mdb_sa_sk_soon", "expires_at": time.time() + DAY}
    with Emulator(world(soon)) as running:
        yield running


def run(emulator: Emulator, module: str, **options: Any) -> Outcome:
    ours = {name: options.pop(name) for name in ("check", "diff", "clock") if name in options}
    credential = {} if "client_id" in options else key_pair("atlas")
    base = {"base_url": emulator.url, "org_id": org_id("atlas"), **credential}
    return run_module(module, {**base, **options}, **ours)


def own(emulator: Emulator) -> dict[str, str]:
    account = accounts(emulator)[client_id("atlas")]
    return {"client_id": account.client_id, "client_secret": account.secrets[0].value}


# service_account_access_list


def run_list(emulator: Emulator, **options: Any) -> Outcome:
    options = {"service_account_id": BUILDS, "entries": [A, B], **options}
    return run(emulator, "service_account_access_list", **options)


def test_entries_are_added_and_removed_once(emulator: Emulator) -> None:
    checked = run_list(emulator, check=True, diff=True)
    assert emulator.writes == []
    real, again = run_list(emulator, diff=True), run_list(emulator, diff=True)
    assert [checked.changed, real.changed, again.changed] == [True, True, False]
    assert real.result["service_account_access_list"] == {"client_id": BUILDS, "entries": [A, B]}
    assert checked.result["diff"] == real.result["diff"]
    purged = run_list(emulator, entries=[A], purge=True)
    assert purged.result["service_account_access_list"]["entries"] == [A]
    removed, gone = (run_list(emulator, entries=[A], state="absent") for _round in range(2))
    assert [removed.changed, gone.changed] == [True, False]
    assert accounts(emulator)[BUILDS].access_list == []


def test_an_entry_that_is_gone_meanwhile_is_not_an_error(emulator: Emulator) -> None:
    """Which code the API sends is not known: the list decides."""
    accounts(emulator)[BUILDS].access_list = [A]
    emulator.add_fault(Fault("lost_after", method="DELETE", path="*accessList*"))
    assert run_list(emulator, entries=[A], state="absent").changed


def test_more_than_two_hundred_entries_are_refused(emulator: Emulator) -> None:
    outcome = run_list(emulator, entries=[f"192.0.2.{n % 250}/32" for n in range(150)])
    assert not outcome.failed
    entries = [f"10.0.{n // 250}.{n % 250}" for n in range(201)]
    before = len(emulator.requests)
    refused = run_list(emulator, entries=entries)
    assert refused.result["error"]["type"] == "options"
    assert "200" in refused.msg
    assert len(emulator.requests) == before


def test_the_list_of_the_own_account_is_guarded(emulator: Emulator) -> None:
    options = {"service_account_id": client_id("atlas"), "entries": ["127.0.0.1"], **own(emulator)}
    assert run_list(emulator, **options).result["error"]["type"] == "own_credential"
    assert run_list(emulator, **options, allow_own_account=True).changed


def test_a_missing_account_has_no_list(emulator: Emulator) -> None:
    outcome = run_list(emulator, service_account_id=MISSING_ACCOUNT)
    assert outcome.result["error"]["type"] == "missing"
    absent = run_list(emulator, service_account_id=MISSING_ACCOUNT, state="absent")
    assert (absent.changed, absent.failed) == (False, False)


# project_service_account


def run_project(emulator: Emulator, **options: Any) -> Outcome:
    base = {"service_account_id": BUILDS, "project_id": project_id("atlas")}
    if options.get("state") != "absent":
        base["roles"] = OWNER
    return run(emulator, "project_service_account", **{**base, **options})


def assigned(emulator: Emulator) -> dict[str, list[str]]:
    return accounts(emulator)[BUILDS].projects


def test_an_account_is_assigned_changed_and_removed_once(emulator: Emulator) -> None:
    checked = run_project(emulator, check=True, diff=True)
    assert emulator.writes == []
    real, again = run_project(emulator, diff=True), run_project(emulator)
    assert [checked.changed, real.changed, again.changed] == [True, True, False]
    assert emulator.writes[0].path == f"{IN_PROJECT}/{BUILDS}:invite"
    assert real.result["project_service_account"] == {
        "project_id": project_id("atlas"),
        "client_id": BUILDS,
        "name": "builds",
        "roles": OWNER,
    }
    assert checked.result["diff"] == real.result["diff"]
    other = run_project(emulator, roles=["GROUP_READ_ONLY"])
    assert other.changed
    assert assigned(emulator) == {project_id("atlas"): ["GROUP_READ_ONLY"]}
    removed, gone = (run_project(emulator, state="absent") for _round in range(2))
    assert [removed.changed, gone.changed] == [True, False]
    assert BUILDS in accounts(emulator)


def test_a_first_assignment_warns_of_the_projects_owner(emulator: Emulator) -> None:
    """Who owns the project may then rotate the account's secrets."""
    assert project_id("atlas") in str(run_project(emulator).result["warnings"])
    assert run_project(emulator).result.get("warnings", []) == []


def test_an_assignment_by_another_run_is_changed(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock = clock.now
    emulator.settings.visibility_delay = 2.0
    run_project(emulator, roles=["GROUP_READ_ONLY"], clock=clock)
    outcome = run_project(emulator, clock=clock)
    assert outcome.changed
    assert assigned(emulator) == {project_id("atlas"): OWNER}


def test_a_lost_assignment_is_looked_up(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_after", method="POST", path="*:invite"))
    outcome = run_project(emulator)
    assert (outcome.changed, outcome.failed) == (True, False)


def test_the_own_account_stays_in_the_project(emulator: Emulator) -> None:
    """Even if the project's list does not show its roles."""
    accounts(emulator)[client_id("atlas")].projects = {project_id("atlas"): []}
    target = {"service_account_id": client_id("atlas"), "state": "absent", **own(emulator)}
    assert run_project(emulator, **target).result["error"]["type"] == "own_credential"
    assert run_project(emulator, **target, allow_own_account=True).changed


def test_an_invitation_without_an_account_in_the_response_is_looked_up(
    emulator: Emulator,
) -> None:
    emulator.add_fault(Fault("json", method="POST", body={}))
    assert run_project(emulator).failed
    emulator.add_fault(Fault("json", method="POST", body={}, after_write=True))
    assert run_project(emulator).changed


def test_a_missing_project_is_named(emulator: Emulator) -> None:
    outcome = run_project(emulator, project_id="deadbeefdeadbeefdeadbeef", state="absent")
    assert (outcome.changed, outcome.failed) == (False, False)
    assert "deadbeefdeadbeefdeadbeef" in str(outcome.result["warnings"])


# service_account_info


def run_info(emulator: Emulator, **options: Any) -> list[dict[str, Any]]:
    outcome = run(emulator, "service_account_info", **options)
    assert not outcome.failed, outcome.msg
    assert not outcome.changed
    assert "mdb_sa_sk" not in outcome.output
    return list(outcome.result["service_accounts"])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, 4),
        ({"include_system_managed": True}, 5),
        ({"service_account_id": BUILDS}, 1),
        ({"service_account_id": MISSING_ACCOUNT}, 0),
        ({"service_account_id": MANAGED}, 1),
        ({"name": "builds"}, 1),
        ({"name": "twin"}, 2),
        ({"name_match": "b*"}, 1),
        ({"roles": ["ORG_OWNER"]}, 1),
        ({"project_id": project_id("atlas")}, 0),
        ({"expires_within_hours": 48}, 1),
        ({"expires_within_hours": 8}, 0),
    ],
    ids=str,
)
def test_accounts_are_filtered(emulator: Emulator, filters: dict[str, Any], expected: int) -> None:
    assert len(run_info(emulator, **filters)) == expected


def test_lists_and_projects_cost_a_request_each(emulator: Emulator) -> None:
    accounts(emulator)[BUILDS].access_list = [A]
    accounts(emulator)[BUILDS].projects = {project_id("atlas"): OWNER}
    (found,) = run_info(emulator, name="builds", access_list=True, projects=True)
    assert found["access_list"] == [A]
    assert found["projects"] == [{"project_id": project_id("atlas"), "roles": OWNER}]
    assert found["secrets"][0]["id"] == SECRET_IDS[0]
    paths = [request.path for request in emulator.requests[1:]]
    assert sorted(paths) == [
        ACCOUNTS,
        f"{ACCOUNTS}/{BUILDS}/accessList",
        f"{ACCOUNTS}/{BUILDS}/groups",
    ]


def test_a_project_filter_finds_its_accounts(emulator: Emulator) -> None:
    accounts(emulator)[BUILDS].projects = {project_id("atlas"): OWNER}
    assert [found["client_id"] for found in run_info(emulator, project_id=project_id("atlas"))] == [
        BUILDS
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"service_account_id": "x"},
        {"name": ""},
        {"roles": ["GROUP_OWNER"]},
        {"project_id": "x"},
        {"expires_within_hours": -1},
        {"expires_within_hours": "nan"},
    ],
    ids=str,
)
def test_filters_that_no_account_can_match_are_refused(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    outcome = run(emulator, "service_account_info", **options)
    assert outcome.result["error"]["type"] == "options"
    assert emulator.requests == []


# What a refusal does not prove


GONE = {"status": 404, "code": "SERVICE_ACCOUNT_NOT_FOUND", "parameters": [BUILDS]}


def test_an_account_that_is_listed_still_has_a_list(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", path=f"*{BUILDS}/accessList", times=None, **GONE))
    assert run_list(emulator, state="absent").result["error"]["type"] == "missing"
    assert run(emulator, "service_account_info", name="builds", access_list=True).failed
    del accounts(emulator)[BUILDS]
    assert not run_list(emulator, state="absent").failed


def test_an_account_that_is_deleted_meanwhile_is_left_out(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_fault(Fault("status", path=f"*{BUILDS}/groups", **GONE))
    assert run(emulator, "service_account_info", name="builds", projects=True).failed
    read = _service_accounts.projects

    def read_late(*args: Any) -> Any:
        accounts(emulator).pop(BUILDS, None)
        return read(*args)

    monkeypatch.setattr(_service_accounts, "projects", read_late)
    assert run_info(emulator, name="builds", projects=True) == []


def test_a_list_that_cannot_be_read_proves_nothing(emulator: Emulator) -> None:
    accounts(emulator)[BUILDS].access_list = [A]
    missing = {"status": 404, "code": "RESOURCE_NOT_FOUND", "parameters": [A]}
    emulator.add_fault(Fault("status", method="DELETE", **missing))
    emulator.add_fault(Fault("status", "GET", "*accessList", after=1, times=None, status=403))
    outcome = run_list(emulator, entries=[A], state="absent")
    assert (outcome.failed, outcome.code) == (True, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize("check", [True, False])
def test_a_list_does_not_grow_beyond_two_hundred(emulator: Emulator, check: bool) -> None:
    accounts(emulator)[BUILDS].access_list = [f"192.0.2.{n}" for n in range(150)]
    entries = [f"198.51.100.{n}" for n in range(51)]
    for purge in (False, True):
        outcome = run_list(emulator, entries=entries, purge=purge, check=check)
        assert outcome.result["error"]["type"] == "limit"
    assert emulator.writes == []
    assert run_list(emulator, entries=entries[1:], purge=True, check=check).changed


@pytest.mark.parametrize(
    ("identity", "roles", "expected"),
    [
        ({"name": "builds", "service_account_id": None}, OWNER, True),
        ({"name": "builds", "service_account_id": None}, ["GROUP_READ_ONLY"], False),
        ({}, OWNER, False),
    ],
    ids=str,
)
def test_an_owner_by_name_is_reported(
    emulator: Emulator, identity: dict[str, Any], roles: list[str], expected: bool
) -> None:
    """Who may create accounts in any project can give one this name."""
    warnings = str(run_project(emulator, **identity, roles=roles).result["warnings"])
    assert ("gains GROUP_OWNER in project" in warnings) == expected


def test_other_causes_have_the_code_of_an_assignment(emulator: Emulator) -> None:
    refusal = {"status": 400, "code": "INVALID_ROLE_ASSIGNMENT"}
    emulator.add_fault(Fault("status", method="POST", **refusal))
    outcome = run_project(emulator, roles=["GROUP_UNKNOWN"])
    assert outcome.code == "INVALID_ROLE_ASSIGNMENT"
    assert "Check the roles" in outcome.msg


def test_listings_are_complete(emulator: Emulator) -> None:
    """By default, a project's list lacks system-managed accounts, too."""
    run_project(emulator)
    run_info(emulator)
    run_info(emulator, include_system_managed=True, project_id=project_id("atlas"))
    flags = [
        (request.path, request.query.get("includeSystemManaged"))
        for request in emulator.requests
        if request.path in {IN_PROJECT, ACCOUNTS} and request.caller
    ]
    assert flags == [
        (IN_PROJECT, "true"),
        (ACCOUNTS, None),
        (ACCOUNTS, "true"),
        (IN_PROJECT, "true"),
    ]
