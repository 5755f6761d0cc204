# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys without a description or roles, with roles in other organizations, or invalid fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.support import (
    PLATFORMS,
    Outcome,
    created_at,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_as_owner,
    run_module,
    seed,
)

ATLAS = "atlas"
BARE = key_id(ATLAS, 6)
FOREIGN = [{"roleName": "GLOBAL_OWNER"}, {"roleName": "ORG_OWNER", "orgId": "5f" + "0" * 22}]


@pytest.fixture(params=[True, False], ids=["null", "missing"])
def sparse(request: pytest.FixtureRequest, emulator: Emulator) -> Emulator:
    """An emulator in which the sixth key of each organization has no description and no roles."""
    emulator.settings.has_null_fields = request.param
    reset(emulator, unset=["desc", "roles"], roles=[], description="")
    return emulator


def reset(emulator: Emulator, **values: Any) -> None:
    data = seed()
    for organization in data["organizations"]:
        organization["api_keys"][5].update(values)
    emulator.reset(data)


def run(emulator: Emulator, module: str, platform: str = ATLAS, **options: Any) -> Outcome:
    return run_as_owner(module, emulator, platform, options)


def remaining(emulator: Emulator, platform: str = ATLAS) -> list[str]:
    return sorted(emulator.state.organizations[org_id(platform)].api_keys)


def warnings(outcome: Outcome) -> str:
    return json.dumps(outcome.result.get("warnings", []))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_it_is_listed_with_empty_values(sparse: Emulator, platform: str) -> None:
    outcome = run(sparse, "org_api_key_info", platform, access_list=True)
    listed = outcome.result["org_api_keys"]
    assert len(listed) == 7
    assert listed[0] == {
        "id": key_id(platform, 6),
        "public_key": public_key(platform, 6),
        "created_at": created_at(key_id(platform, 6)),
        "description": "",
        "roles": [],
        "projects": [],
        "access_list": [],
    }
    for name, value in (
        ("api_user_id", key_id(platform, 6)),
        ("public_key", public_key(platform, 6)),
    ):
        found = run(sparse, "org_api_key_info", platform, **{name: value}).result["org_api_keys"]
        assert [key["description"] for key in found] == [""]


@pytest.mark.parametrize(
    "options", [{"api_user_id": BARE}, {"public_key": public_key(ATLAS, 6)}], ids=["id", "public"]
)
def test_it_is_revoked_by_its_id_and_by_its_public_key(
    sparse: Emulator, options: dict[str, Any]
) -> None:
    outcome = run(sparse, "org_api_key", state="absent", **options)
    assert outcome.changed
    assert outcome.result["org_api_key"]["description"] == ""
    assert BARE not in remaining(sparse)


def test_it_does_not_affect_other_keys(sparse: Emulator) -> None:
    victim = {"description": "victim", "state": "absent"}
    assert run(sparse, "org_api_key", **victim).changed
    assert run(sparse, "org_api_key", description="new", roles=["ORG_MEMBER"]).changed
    # Invisible, but not the same as no description.
    assert run(sparse, "org_api_key", description="\u200b", roles=["ORG_MEMBER"]).changed
    roles = {"project_id": project_id(ATLAS), "roles": ["GROUP_READ_ONLY"]}
    assert run(sparse, "project_api_key", description="new", **roles).changed
    assert run(sparse, "project_api_key", api_user_id=BARE, **roles).changed
    entries = {"entries": ["192.0.2.1"]}
    assert run(sparse, "org_api_key_access_list", api_user_id=BARE, **entries).changed
    declared = [{"description": "newer", "roles": ["ORG_MEMBER"]}]
    assert run(sparse, "org_api_keys", api_keys=declared).changed
    assert BARE in remaining(sparse)


def test_it_can_be_given_a_description_and_roles(sparse: Emulator) -> None:
    options = {"api_user_id": BARE, "new_description": "named", "roles": ["ORG_READ_ONLY"]}
    assert run(sparse, "org_api_key", **options).changed
    again = run(sparse, "org_api_key", **options)
    assert not again.changed
    key = again.result["org_api_key"]
    assert (key["description"], key["roles"]) == ("named", ["ORG_READ_ONLY"])


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("is_purge", [True, False])
def test_no_pattern_and_no_purge_selects_it(
    sparse: Emulator, *, check: bool, is_purge: bool
) -> None:
    how: dict[str, Any] = {"state": "absent", "description_match": ["*"]}
    if is_purge:
        how = {"api_keys": [{"description": "twin one", "roles": ["ORG_MEMBER"]}], "purge": True}
    outcome = run(sparse, "org_api_keys", check=check, **how)
    assert not outcome.failed, outcome.msg
    kept = {(item["id"], item["reason"]) for item in outcome.result["kept"]}
    assert (BARE, "no_description") in kept
    assert BARE not in [key["id"] for key in outcome.result["revoked"]]
    assert len(outcome.result["revoked"]) == 5
    assert BARE in warnings(outcome)
    assert "no description" in warnings(outcome)
    if not check:
        assert {BARE, key_id(ATLAS, 1)} <= {*remaining(sparse)}
        assert key_id(ATLAS, 2) not in remaining(sparse)


def test_a_selection_that_excludes_it_does_not_mention_it(sparse: Emulator) -> None:
    for how in (
        {"description_match": ["vic*"]},
        {"description_match": ["*"], "roles": ["ORG_READ_ONLY"]},
        {"description_match": ["*"], "project_id": project_id(ATLAS)},
    ):
        outcome = run(sparse, "org_api_keys", state="absent", check=True, **how)
        assert not outcome.failed
        assert outcome.result["kept"] == []
        assert BARE not in warnings(outcome)


def test_no_pattern_lists_it_and_a_warning_says_so(sparse: Emulator) -> None:
    outcome = run(sparse, "org_api_key_info", description_match="*")
    assert BARE not in [key["id"] for key in outcome.result["org_api_keys"]]
    assert len(outcome.result["org_api_keys"]) == 6
    assert BARE in warnings(outcome)
    assert warnings(run(sparse, "org_api_key_info", description_match="vic*")) == "[]"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_roles_in_other_organizations_do_not_count(emulator: Emulator, platform: str) -> None:
    reset(emulator, foreign_roles=FOREIGN)
    how = {"api_user_id": key_id(platform, 6)}
    found = run(emulator, "org_api_key_info", platform, **how).result["org_api_keys"]
    assert [key["roles"] for key in found] == [["ORG_MEMBER"]]
    same = run(emulator, "org_api_key", platform, roles=["ORG_MEMBER"], **how)
    assert not same.changed
    owners = run(emulator, "org_api_key_info", platform, roles=["ORG_OWNER"])
    assert len(owners.result["org_api_keys"]) == 2
    revoked = run(
        emulator, "org_api_keys", platform, state="absent", check=True, roles=["ORG_OWNER"]
    )
    assert [key["id"] for key in revoked.result["revoked"]] == [key_id(platform, 7)]


def listing(*keys: Any) -> dict[str, Any]:
    return {"results": keys, "totalCount": len(keys)}


WRONG = {"id": BARE, "desc": "x", "publicKey": "abcdefgh", "roles": [{"roleName": 5}]}
SECRET = "ca11ab1e-0000-4000-8000-0000000000ff"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (WRONG, f"API key {BARE}: roles[0].roleName is a number"),
        ({**WRONG, "desc": 5}, f"API key {BARE}: desc is a number"),
        (
            {**WRONG, "publicKey": f"x {SECRET}"},
            f"API key {BARE}: publicKey is an unexpected string",
        ),
        ({**WRONG, "id": SECRET}, "an API key without a readable ID: id is an unexpected string"),
    ],
)
def test_an_unreadable_key_is_reported(emulator: Emulator, key: Any, text: str) -> None:
    calls = {
        "org_api_key_info": {},
        "org_api_key": {"description": "victim", "state": "absent"},
        "org_api_keys": {"state": "absent", "description_match": ["victim"]},
        "project_api_key": {"description": "victim", "project_id": project_id(ATLAS)},
    }
    for module, options in calls.items():
        emulator.reset()
        emulator.add_fault(Fault("json", "GET", times=None, body=listing(key)))
        state = {"state": "absent"} if module == "project_api_key" else {}
        outcome = run(emulator, module, **options, **state)
        assert outcome.result["error"]["type"] == "unexpected_response"
        assert text in outcome.msg
        assert SECRET not in outcome.output
        assert emulator.writes == []


def test_other_unreadable_objects_are_reported(emulator: Emulator) -> None:
    wrong = {"id": "5a" * 12, "name": None}
    emulator.add_fault(Fault("json", "GET", times=None, body=listing(wrong)))
    options = {"base_url": emulator.url, **key_pair(ATLAS)}
    outcome = run_module("org_info", options)
    assert f"organization {'5a' * 12}: name is missing" in outcome.msg
    emulator.clear_faults()
    entry = {"cidrBlock": 8}
    emulator.add_fault(Fault("json", "GET", "*/accessList", times=None, body=listing(entry)))
    for module, more in (
        ("org_api_key_info", {"access_list": True}),
        ("org_api_key_access_list", {"entries": ["192.0.2.1"]}),
    ):
        outcome = run(emulator, module, api_user_id=BARE, **more)
        assert outcome.result["error"]["type"] == "unexpected_response"
        assert BARE in outcome.msg
        assert "an entry of the access list: cidrBlock is a number" in outcome.msg


def test_an_unreadable_new_key_is_reported(emulator: Emulator) -> None:
    body = {**WRONG, "privateKey": SECRET}
    emulator.add_fault(Fault("json", "POST", body=body, after_write=True))
    outcome = run(emulator, "org_api_key", description="new", roles=["ORG_MEMBER"])
    assert outcome.result["error"]["type"] == "orphan"
    assert f"API key {BARE}: roles[0].roleName is a number" in outcome.msg
    assert SECRET not in outcome.output
