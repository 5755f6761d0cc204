# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service accounts in projects. The tests of API keys cover the behavior that both share."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.accounts import BUILDS, IN_PROJECT, accounts, emulator_with_accounts, run_task
from tests.emulator import Emulator, Fault
from tests.support import VirtualClock, project_id

PROJECT = project_id("atlas")
OWNER = ["GROUP_OWNER"]
emulator = emulator_with_accounts
run_project = partial(run_task, "project_service_account", project_id=PROJECT, roles=OWNER)


def assigned(emulator: Emulator) -> dict[str, list[str]]:
    return accounts(emulator)[BUILDS].projects


def test_an_account_is_invited_and_changed(emulator: Emulator) -> None:
    outcome = run_project(emulator)
    assert emulator.writes[0].path == f"{IN_PROJECT}/{BUILDS}:invite"
    assert outcome.result["project_service_account"] == {
        "project_id": PROJECT,
        "client_id": BUILDS,
        "name": "builds",
        "roles": OWNER,
    }
    assert run_project(emulator, roles=["GROUP_READ_ONLY"]).changed
    assert assigned(emulator) == {PROJECT: ["GROUP_READ_ONLY"]}


def test_a_first_assignment_warns_about_project_owners(emulator: Emulator) -> None:
    """An owner of the project can then rotate the account's secrets."""
    assert PROJECT in str(run_project(emulator).result["warnings"])
    assert run_project(emulator).result.get("warnings", []) == []


def test_an_assignment_by_another_run_is_changed(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock = clock.now
    emulator.settings.visibility_delay = 2.0
    run_project(emulator, roles=["GROUP_READ_ONLY"], clock=clock)
    outcome = run_project(emulator, clock=clock)
    assert outcome.changed
    assert assigned(emulator) == {PROJECT: OWNER}


def test_an_invitation_without_an_account_in_the_response_is_looked_up(
    emulator: Emulator,
) -> None:
    emulator.add_fault(Fault("json", method="POST", body={}))
    assert run_project(emulator).failed
    emulator.add_fault(Fault("json", method="POST", body={}, after_write=True))
    assert run_project(emulator).changed


@pytest.mark.parametrize(
    ("identity", "roles", "expected"),
    [
        ({"name": "builds"}, OWNER, True),
        ({"name": "builds"}, ["GROUP_READ_ONLY"], False),
        ({}, OWNER, False),
    ],
    ids=str,
)
def test_an_owner_identified_by_name_is_reported(
    emulator: Emulator, identity: dict[str, Any], roles: list[str], expected: bool
) -> None:
    """Anyone who can create accounts in any project can give one this name."""
    warnings = str(run_project(emulator, **identity, roles=roles).result["warnings"])
    assert ("gains GROUP_OWNER in project" in warnings) == expected


@pytest.mark.parametrize(
    ("method", "options", "role"),
    [
        ("POST", {}, "Organization Owner"),
        ("PATCH", {"roles": ["GROUP_READ_ONLY"]}, "Project Owner"),
        ("DELETE", {"state": "absent"}, "Project Owner"),
    ],
)
def test_a_refusal_names_the_required_role(
    emulator: Emulator, method: str, options: dict[str, Any], role: str
) -> None:
    if method != "POST":
        accounts(emulator)[BUILDS].projects = {PROJECT: OWNER}
    emulator.add_fault(Fault("status", method=method, status=403, code="USER_UNAUTHORIZED"))
    outcome = run_project(emulator, **options)
    assert outcome.result["error"]["method"] == method
    assert f"({role})" in outcome.msg


def test_the_code_of_an_existing_assignment_has_other_causes_too(emulator: Emulator) -> None:
    refusal = {"status": 400, "code": "INVALID_ROLE_ASSIGNMENT"}
    emulator.add_fault(Fault("status", method="POST", **refusal))
    outcome = run_project(emulator, roles=["GROUP_UNKNOWN"])
    assert outcome.code == "INVALID_ROLE_ASSIGNMENT"
    assert "Check the roles" in outcome.msg
