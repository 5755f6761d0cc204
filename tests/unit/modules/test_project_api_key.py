# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""project_api_key through its main(), against the emulator over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.support import (
    MISSING_ID,
    PLATFORMS,
    PRIVATE_KEYS,
    Outcome,
    VirtualClock,
    created_at,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_as_owner,
    service_account,
)

WANTED = ["GROUP_READ_ONLY", "GROUP_DATA_ACCESS_READ_ONLY"]
IN_ORDER = sorted(WANTED)
SECRETS = (*PRIVATE_KEYS.values(), "mdb_sa_sk_")
# The roles that the key has in the project before a task.
STARTS: dict[str, list[str] | None] = {
    "not assigned": None,
    "the same in another order": ["GROUP_DATA_ACCESS_READ_ONLY", "GROUP_READ_ONLY"],
    "fewer roles": ["GROUP_READ_ONLY"],
    "more roles": [*WANTED, "GROUP_OWNER"],
    "other roles": ["GROUP_OWNER"],
}


def run(emulator: Emulator, platform: str = "atlas", **options: Any) -> Outcome:
    """Run the module for key 3, unless the options say otherwise."""
    options = {"project_id": project_id(platform), **options}
    if not {"api_user_id", "id", "public_key", "description", "desc"} & options.keys():
        options["api_user_id"] = key_id(platform, 3)
    if options.get("state") != "absent":
        options.setdefault("roles", WANTED)
    outcome = run_as_owner("project_api_key", emulator, platform, options)
    for secret in SECRETS:
        assert secret not in outcome.output
    return outcome


def other_project(platform: str) -> str:
    return project_id(platform)[:-2] + "bb"


def start(
    emulator: Emulator, platform: str, roles: list[str] | None, number: int = 3
) -> dict[str, Any]:
    """Give a key these roles in the project and others elsewhere; return the state of the rest."""
    organization = emulator.state.organizations[org_id(platform)]
    organization.projects[other_project(platform)] = "elsewhere"
    here = {} if roles is None else {project_id(platform): roles}
    organization.api_keys[key_id(platform, number)].projects = {
        other_project(platform): ["GROUP_OWNER"],
        **here,
    }
    return rest(emulator, platform, number)


def rest(emulator: Emulator, platform: str, number: int = 3) -> dict[str, Any]:
    """Return everything except the assignment of one key to the project, and times of use."""
    state = emulator.state.to_seed()
    for organization in state["organizations"]:
        for account in organization["service_accounts"]:
            for secret in account["secrets"]:
                del secret["last_used_at"]
        for key in organization["api_keys"]:
            if key["id"] == key_id(platform, number):
                key["projects"] = [
                    item for item in key["projects"] if item["project_id"] != project_id(platform)
                ]
    return dict(state)


def roles_of(emulator: Emulator, platform: str = "atlas", number: int = 3) -> list[str] | None:
    key = emulator.state.organizations[org_id(platform)].api_keys[key_id(platform, number)]
    roles = key.projects.get(project_id(platform))
    return None if roles is None else sorted(roles)


def assignment(platform: str, number: int = 3) -> dict[str, Any]:
    return {
        "project_id": project_id(platform),
        "api_user_id": key_id(platform, number),
        "public_key": public_key(platform, number),
        "created_at": created_at(key_id(platform, number)),
        "description": "ünïcode ☃ key",
        "roles": IN_ORDER,
    }


def signers() -> list[Any]:
    return [
        *(pytest.param(platform, key_pair, id=f"{platform}-pair") for platform in PLATFORMS),
        *(
            pytest.param(platform, service_account, id=f"{platform}-account")
            for platform in ("atlas", "cloud_manager")
        ),
    ]


MISSING = [{"api_user_id": MISSING_ID}, {"public_key": "zzzzzzzz"}, {"description": "nobody"}]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("check", [True, False])
def test_a_missing_key_fails_unless_state_is_absent(
    emulator: Emulator, platform: str, name: dict[str, str], check: bool
) -> None:
    outcome = run(emulator, platform, **name, check=check)
    assert outcome.failed
    assert f"No API key of organization {org_id(platform)} has the" in outcome.msg
    assert next(iter(name.values())) in outcome.msg
    assert "Nothing was changed" in outcome.msg
    gone = run(emulator, platform, **name, check=check, state="absent", diff=True)
    assert not gone.failed
    assert not gone.changed
    assert gone.result["project_api_key"] is None
    assert gone.result["diff"] == {"before": {}, "after": {}}
    assert emulator.writes == []


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_shared_description_is_refused_even_if_one_key_is_assigned(
    emulator: Emulator, state: str
) -> None:
    start(emulator, "atlas", ["GROUP_OWNER"], number=4)
    outcome = run(emulator, description="twin", state=state)
    assert outcome.failed
    for number in (4, 5):
        assert key_id("atlas", number) in outcome.msg
    assert emulator.writes == []


def test_roles_do_not_matter_with_state_absent(emulator: Emulator) -> None:
    start(emulator, "atlas", WANTED)
    assert run(emulator, state="absent", roles=["GROUP_OWNER"]).changed
    assert roles_of(emulator) is None


@pytest.mark.parametrize(
    ("before", "options", "expected"),
    [
        (None, {}, ["GET 401", "GET 200", "GET 200", "POST 204"]),
        (WANTED, {}, ["GET 401", "GET 200"]),
        (["GROUP_OWNER"], {}, ["GET 401", "GET 200", "PATCH 200"]),
        (WANTED, {"public_key": public_key("atlas", 3)}, ["GET 401", "GET 200"]),
        (WANTED, {"state": "absent"}, ["GET 401", "GET 200", "DELETE 204"]),
        (WANTED, {"description": "ünïcode ☃ key"}, ["GET 401", "GET 200", "GET 200"]),
        (None, {"api_user_id": MISSING_ID}, ["GET 401", "GET 200", "GET 400"]),
    ],
)  # fmt: skip
def test_few_requests_are_sent_over_one_connection(
    emulator: Emulator, before: Any, options: dict[str, Any], expected: list[str]
) -> None:
    start(emulator, "atlas", before)
    run(emulator, **options)
    assert [f"{request.method} {request.status}" for request in emulator.requests] == expected
    assert emulator.connections == 1


# The signing credential


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("options", [{"state": "absent"}, {"roles": ["GROUP_OWNER"]}])
def test_the_signing_credential_keeps_its_roles(
    emulator: Emulator, platform: str, options: dict[str, Any], check: bool
) -> None:
    start(emulator, platform, WANTED, number=1)
    own = {"api_user_id": key_id(platform, 1), **options}
    refused = run(emulator, platform, **own, check=check)
    assert refused.failed
    assert "this task authenticates with" in refused.msg
    assert "allow_own_key" in refused.msg
    assert emulator.writes == []
    allowed = run(emulator, platform, **own, allow_own_key=True, check=check)
    assert allowed.changed
    assert len(emulator.writes) is not check


@pytest.mark.parametrize("before", [None, ["GROUP_READ_ONLY"]])
def test_the_signing_credential_may_gain_roles(
    emulator: Emulator, before: list[str] | None
) -> None:
    start(emulator, "atlas", before, number=1)
    assert run(emulator, api_user_id=key_id("atlas", 1)).changed
    assert not run(emulator, api_user_id=key_id("atlas", 1)).changed
    assert roles_of(emulator, number=1) == IN_ORDER


def test_the_signing_credential_may_stay_unassigned(emulator: Emulator) -> None:
    outcome = run(emulator, api_user_id=key_id("atlas", 1), state="absent")
    assert not outcome.failed
    assert not outcome.changed


def test_with_a_service_account_no_key_is_the_signing_credential(emulator: Emulator) -> None:
    start(emulator, "atlas", WANTED, number=1)
    own = {"api_user_id": key_id("atlas", 1), "state": "absent"}
    assert run(emulator, **own, **service_account("atlas")).changed


@pytest.mark.parametrize("allowed", [True, False])
def test_a_key_whose_public_key_is_hidden_may_be_the_signing_credential(
    emulator: Emulator, allowed: bool
) -> None:
    start(emulator, "atlas", WANTED)
    roles = [{"groupId": project_id("atlas"), "roleName": "GROUP_OWNER"}]
    key = {"id": key_id("atlas", 3), "desc": "x", "publicKey": None, "roles": roles}
    emulator.add_fault(Fault("json", "GET", body={"results": [key], "totalCount": 1}))
    outcome = run(emulator, allow_own_key=allowed)
    error = outcome.result.get("error") or {"type": None}
    assert error["type"] == (None if allowed else "own_credential"), outcome.msg
    assert len(emulator.writes) == allowed


# Concurrent changes by others, and changes that the API shows late


@pytest.mark.parametrize("met", [["GROUP_OWNER"], WANTED])
def test_a_concurrent_assignment_is_updated(emulator: Emulator, met: list[str]) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 5.0
    assert run(emulator, roles=met, clock=clock).changed
    # The listing does not show the assignment yet, but the POST finds that it exists.
    late = run(emulator, clock=clock, diff=True)
    assert not late.failed
    assert late.changed is (met != WANTED)
    assert late.result["diff"] == {
        "before": {"roles": sorted(met)},
        "after": {"roles": IN_ORDER},
    }
    assert roles_of(emulator) == IN_ORDER
    methods = [write.method for write in emulator.writes]
    assert methods == ["POST", "PATCH"][: 1 + late.changed]


def test_a_concurrent_assignment_of_the_signing_credential_is_guarded(emulator: Emulator) -> None:
    clock = VirtualClock()
    own = {"api_user_id": key_id("atlas", 1), "clock": clock}
    emulator.clock, emulator.settings.visibility_delay = clock.now, 5.0
    assert run(emulator, **own, roles=["GROUP_OWNER"]).changed
    late = run(emulator, **own)
    assert late.failed
    assert "this task authenticates with" in late.msg
    assert roles_of(emulator, number=1) == ["GROUP_OWNER"]


@pytest.mark.parametrize("code", ["API_KEY_NOT_FOUND", "RESOURCE_NOT_FOUND"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_concurrent_removal_is_unchanged(emulator: Emulator, platform: str, code: str) -> None:
    clock = VirtualClock()
    emulator.settings.unassigned_code = code
    emulator.clock, emulator.settings.visibility_delay = clock.now, 5.0
    # The key is assigned before the first read, so the delay does not hide the assignment.
    emulator.state.organizations[org_id(platform)].api_keys[key_id(platform, 3)].projects = {
        project_id(platform): WANTED
    }
    assert run(emulator, platform, state="absent", clock=clock).changed
    # The listing still shows the assignment, but the DELETE finds that it is gone.
    again = run(emulator, platform, state="absent", clock=clock, diff=True)
    assert not again.failed
    assert not again.changed
    assert again.result["diff"] == {"before": {}, "after": {}}
    assert len(emulator.writes) == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"project_id": ""}, "missing required arguments: project_id"),
        ({"project_id": "x"}, "project_id is 'x', which is not a valid ID"),
        ({"group_id": "X" * 24, "project_id": None}, "project_id"),
        ({"api_user_id": ""}, "one of the following is required"),
        ({"api_user_id": MISSING_ID, "description": "x"}, "mutually exclusive"),
        ({"api_user_id": "abcdefgh"}, "looks like a public key: use public_key"),
        ({"roles": None}, "missing: roles"),
        ({"roles": []}, "roles is an empty list"),
        ({"roles": ""}, "role"),
        ({"roles": ["GROUP_OWNER", "ORG_OWNER"]}, "'ORG_OWNER' in roles is not a project role"),
        ({"roles": ["Project Owner"]}, "is not a project role"),
        ({"roles": [""]}, "is not a project role"),
        ({"roles": ["GROUP_OWNER", ""]}, "is not a project role"),
        ({"roles": ["group_owner"]}, "is not a project role"),
        ({"org_id": ""}, "org_id is empty"),
        ({"org_id": "", "state": "absent"}, "org_id is empty"),
        ({"project_id": "x", "state": "absent"}, "project_id"),
        ({"api_user_id": "", "state": "absent"}, "one of the following is required"),
        ({"state": "purged"}, "present, absent"),
        ({"access_token": "other-token"}, "Two kinds"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_bad_input_is_refused_before_any_request(
    emulator: Emulator, options: dict[str, Any], text: str
) -> None:
    outcome = run(emulator, **{**key_pair("atlas"), **options})
    assert outcome.failed
    assert text in outcome.msg
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"project_id": MISSING_ID}, "GROUP_NOT_FOUND", "Check project_id"),
        (key_pair("atlas", 6), "NOT_IN_GROUP", "Check project_id"),
        (key_pair("atlas", 7), "IP_ADDRESS_NOT_ON_ACCESS_LIST", "from 127.0.0.1. Before"),
        ({"project_id": project_id("cloud_manager")}, "NOT_IN_GROUP", "Check project_id"),
        ({"org_id": "f" * 24}, "ORG_NOT_FOUND", "no active organization"),
        ({"org_id": org_id("cloud_manager")}, "USER_CANNOT_ACCESS_ORG", "Check org_id"),
        ({"roles": ["GROUP_EMPEROR"]}, "INVALID_ENUM_VALUE", "GROUP_EMPEROR"),
        (
            {**key_pair("atlas"), "api_private_key": "nonsense"},
            "UNEXPECTED_ERROR",
            "expired or revoked",
        ),
        (
            {
                "platform": "cloud_manager",
                "org_id": org_id("atlas"),
                "project_id": project_id("atlas"),
                **key_pair("atlas"),
            },
            "ATLAS_GROUP",
            "set platform to atlas",
        ),
        (
            {"project_id": project_id("cloud_manager"), **key_pair("cloud_manager")},
            "NOT_ATLAS_GROUP",
            "set platform to cloud_manager or ops_manager",
        ),
    ],
)
def test_a_refusal_says_what_to_check(
    emulator: Emulator, options: dict[str, Any], code: str, text: str
) -> None:
    outcome = run(emulator, **options)
    assert outcome.failed
    assert outcome.code == code
    assert text in outcome.msg
    assert emulator.writes == []


@pytest.mark.parametrize("check", [True, False])
def test_a_missing_project_is_unchanged_with_a_warning(emulator: Emulator, check: bool) -> None:
    gone = "5a00000000000000000000ff"
    outcome = run(emulator, state="absent", project_id=gone, check=check)
    assert not outcome.failed, outcome.msg
    assert not outcome.changed
    assert outcome.result["project_api_key"] is None
    assert gone in str(outcome.result["warnings"])
    assert emulator.writes == []
    # Assigning a key to it fails.
    assert run(emulator, project_id=gone, check=check).code == "GROUP_NOT_FOUND"


def test_a_project_that_is_deleted_in_the_meantime_gives_a_warning(emulator: Emulator) -> None:
    start(emulator, "atlas", WANTED)
    gone = {"status": 404, "code": "GROUP_NOT_FOUND", "parameters": [project_id("atlas")]}
    emulator.add_fault(Fault("status", "DELETE", **gone))
    outcome = run(emulator, state="absent")
    assert not outcome.failed, outcome.msg
    assert not outcome.changed
    assert project_id("atlas") in str(outcome.result["warnings"])


def test_a_response_with_other_roles_fails_with_what_exists(emulator: Emulator) -> None:
    start(emulator, "atlas", ["GROUP_OWNER"])
    body = {
        "id": key_id("atlas", 3),
        "desc": "x",
        "publicKey": "abcdefgh",
        "roles": [{"groupId": project_id("atlas"), "roleName": "GROUP_OWNER"}],
    }
    emulator.add_fault(Fault("json", "PATCH", body=body))
    outcome = run(emulator, diff=True)
    assert outcome.failed
    assert not outcome.changed
    assert outcome.result["error"]["type"] == "unexpected_response"
    assert outcome.result["project_api_key"]["roles"] == ["GROUP_OWNER"]
    assert outcome.result["diff"]["before"] == outcome.result["diff"]["after"]
    emulator.add_fault(Fault("json", "PATCH", body=body, after_write=True))
    assert run(emulator).changed
    assert roles_of(emulator) == IN_ORDER
