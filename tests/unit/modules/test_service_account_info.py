# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of service accounts, against the emulator over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _service_accounts
from tests.accounts import (
    ACCOUNTS,
    BUILDS,
    GONE,
    IN_PROJECT,
    MANAGED,
    MISSING_ACCOUNT,
    SECRET_IDS,
    accounts,
    emulator_with_accounts,
    run_for_accounts,
)
from tests.emulator import Emulator, Fault
from tests.support import (
    project_id,
)

A = "192.0.2.1"
OWNER = ["GROUP_OWNER"]
# Its account BUILDS has one secret, which expires in a day.
emulator = emulator_with_accounts


def run_info(emulator: Emulator, **options: Any) -> list[dict[str, Any]]:
    outcome = run_for_accounts(emulator, "service_account_info", **options)
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


def test_access_lists_and_projects_take_one_request_per_account(emulator: Emulator) -> None:
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
    outcome = run_for_accounts(emulator, "service_account_info", **options)
    assert outcome.result["error"]["type"] == "options"
    assert emulator.requests == []


def test_an_account_deleted_in_the_meantime_is_left_out(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_fault(Fault("status", path=f"*{BUILDS}/groups", **GONE))
    assert run_for_accounts(emulator, "service_account_info", name="builds", projects=True).failed
    read = _service_accounts.projects

    def read_late(*args: Any) -> Any:
        accounts(emulator).pop(BUILDS, None)
        return read(*args)

    monkeypatch.setattr(_service_accounts, "projects", read_late)
    assert run_info(emulator, name="builds", projects=True) == []


def test_listings_are_complete(emulator: Emulator) -> None:
    """By default, a project's list does not contain system-managed accounts either."""
    assignment = {"project_id": project_id("atlas"), "roles": ["GROUP_READ_ONLY"]}
    account = {"service_account_id": BUILDS}
    run_for_accounts(emulator, "project_service_account", **account, **assignment)
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
