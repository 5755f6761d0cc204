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
    hide,
    run_task,
)
from tests.emulator import Emulator, Fault
from tests.support import project_id, run_as_owner

A, PROJECT = "192.0.2.1", project_id("atlas")
OTHER_PROJECT = f"{PROJECT[:-2]}bb"
OWNER = ["GROUP_OWNER"]
emulator = emulator_with_accounts


def run_info(emulator: Emulator, **options: Any) -> list[dict[str, Any]]:
    outcome = run_as_owner("service_account_info", emulator, "atlas", options)
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
        ({"project_id": PROJECT}, 0),
        ({"expires_within_hours": 48}, 1),
        ({"expires_within_hours": 8}, 0),
    ],
    ids=str,
)
def test_accounts_are_filtered(emulator: Emulator, filters: dict[str, Any], expected: int) -> None:
    assert len(run_info(emulator, **filters)) == expected


def test_secrets_that_are_not_listed_are_not_taken_for_missing(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "secrets")
    assert [account["secrets"] for account in run_info(emulator, name="builds")] == [None]
    options = {"name": "builds", "expires_within_hours": 48}
    outcome = run_as_owner("service_account_info", emulator, "atlas", options)
    assert outcome.result["error"]["type"] == "unexpected_response"
    assert BUILDS in outcome.msg


def test_access_lists_and_projects_take_one_request_per_account(emulator: Emulator) -> None:
    accounts(emulator)[BUILDS].access_list = [A]
    accounts(emulator)[BUILDS].projects = {OTHER_PROJECT: OWNER, PROJECT: OWNER}
    (found,) = run_info(emulator, project_id=PROJECT, access_list=True, projects=True)
    assert (found["client_id"], found["access_list"]) == (BUILDS, [A])
    assert found["projects"] == [
        {"project_id": project, "roles": OWNER} for project in (PROJECT, OTHER_PROJECT)
    ]
    assert found["secrets"][0]["id"] == SECRET_IDS[0]
    paths = [request.path for request in emulator.requests[1:]]
    own = f"{ACCOUNTS}/{BUILDS}"
    assert sorted(paths) == [IN_PROJECT, ACCOUNTS, f"{own}/accessList", f"{own}/groups"]


@pytest.mark.parametrize(
    ("fault", "arguments", "texts"),
    [
        (
            "json",
            {"body": [{"groupId": 1}]},
            [f"a project of service account {BUILDS}: groupId is a number"],
        ),
        ("json", {"body": [{"groupId": "x"}]}, ["groupId is an unexpected string"]),
        (
            "json",
            {"body": [{"groupId": PROJECT, "roles": "GROUP_OWNER"}]},
            [f"project {PROJECT}: roles is an unexpected string"],
        ),
        (
            "status",
            {"status": 403, "code": "USER_UNAUTHORIZED"},
            [f"Could not list the projects of {BUILDS}", "Organization Read Only"],
        ),
    ],
)
def test_projects_that_cannot_be_read_are_an_error(
    emulator: Emulator, fault: str, arguments: dict[str, Any], texts: list[str]
) -> None:
    if "body" in arguments:
        arguments = {"body": {"results": arguments["body"], "totalCount": 1}}
    emulator.add_fault(Fault(fault, path=f"*{BUILDS}/groups", **arguments))
    outcome = run_task("service_account_info", emulator, projects=True)
    assert outcome.failed
    for text in texts:
        assert text in outcome.msg


def test_an_account_deleted_in_the_meantime_is_left_out(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_fault(Fault("status", path=f"*{BUILDS}/groups", **GONE))
    assert run_task("service_account_info", emulator, name="builds", projects=True).failed
    read = _service_accounts.projects

    def read_late(*args: Any) -> Any:
        accounts(emulator).pop(BUILDS, None)
        return read(*args)

    monkeypatch.setattr(_service_accounts, "projects", read_late)
    assert run_info(emulator, name="builds", projects=True) == []


def test_listings_are_complete(emulator: Emulator) -> None:
    """By default, a project's list does not contain system-managed accounts either."""
    run_task("project_service_account", emulator, project_id=PROJECT, roles=OWNER)
    run_info(emulator)
    run_info(emulator, include_system_managed=True, project_id=PROJECT)
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
