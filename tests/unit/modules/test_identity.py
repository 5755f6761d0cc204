# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that others can write or change never decides which key is revoked, kept or promoted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import ERROR_TYPES
from tests.emulator import Emulator, Fault
from tests.support import (
    MISSING_ID,
    Outcome,
    VirtualClock,
    created_at,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_module,
)

ORG = org_id("atlas")
VICTIM, TWIN, SIGNER = key_id("atlas", 2), key_id("atlas", 4), key_id("atlas", 1)
# Each looks like "victim".
LOOK_ALIKES = ["Victim", " victim", "victim\u00a0", "vic\u200btim", "ｖictim"]  # noqa: RUF001
TARGETS: dict[str, dict[str, Any]] = {
    "org_api_key": {},
    "org_api_key_access_list": {"entries": ["192.0.2.1"]},
    "project_api_key": {"project_id": project_id("atlas"), "roles": ["GROUP_READ_ONLY"]},
}


def run(emulator: Emulator, module: str = "org_api_key", **more: Any) -> Outcome:
    """Run a module with the key pair of an owner key."""
    ours = {name: more.pop(name) for name in ("check", "diff", "clock") if name in more}
    connection = {"base_url": emulator.url, "org_id": ORG, **key_pair("atlas")}
    return run_module(module, {**connection, **more}, **ours)


def revoke_many(emulator: Emulator, **more: Any) -> Outcome:
    return run(emulator, "org_api_keys", state="absent", **more)


def keys(emulator: Emulator) -> dict[str, Any]:
    return dict(emulator.state.organizations[ORG].api_keys)


def describe(emulator: Emulator, number: int, description: str) -> None:
    emulator.state.organizations[ORG].api_keys[key_id("atlas", number)].description = description


def refused(outcome: Outcome, kind: str, emulator: Emulator) -> str:
    """Return the message of a task that failed before any change."""
    assert outcome.failed, outcome.output
    assert outcome.result["error"]["type"] == kind, outcome.msg
    assert not outcome.changed
    assert emulator.writes == []
    return outcome.msg


def warnings(outcome: Outcome) -> str:
    return json.dumps(outcome.result.get("warnings", []), ensure_ascii=False)


# Values that are not the original text


@pytest.mark.parametrize("value", [34, 3.4, True, ["34", "x"], {"34": 1}])
def test_refuses_description_that_is_not_text(emulator: Emulator, value: Any) -> None:
    describe(emulator, 3, "34")
    msg = refused(run(emulator, description=value, state="absent"), "options", emulator)
    assert "put it in quotes" in msg
    assert emulator.requests == []


@pytest.mark.parametrize(
    "options",
    [
        {"description_match": ["*"], "keep": [1.10]},
        {"descriptions": [False]},
        {"description_match": 5},
        {"api_user_ids": [10**23]},
        {"public_keys": [True]},
    ],
)
def test_refuses_items_that_are_not_text(emulator: Emulator, options: dict[str, Any]) -> None:
    refused(revoke_many(emulator, **options), "options", emulator)
    assert emulator.requests == []


def test_does_not_show_the_result_of_another_task(emulator: Emulator) -> None:
    secret = "55c3bbb6-b4bb-40be-8e66-d20841f3e000"
    for value in ({"private_key": secret}, [{"private_key": secret}], [f"the key {secret}"]):
        outcome = run(emulator, description=value)
        refused(outcome, "options", emulator)
        assert secret not in outcome.output


# Look-alikes


@pytest.mark.parametrize("description", LOOK_ALIKES)
@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("module", TARGETS)
def test_look_alike_is_ambiguous(
    emulator: Emulator, module: str, state: str, description: str
) -> None:
    options = {**TARGETS[module], "description": description, "state": state}
    if module == "org_api_key":
        options["roles"] = ["ORG_MEMBER"]
    msg = refused(run(emulator, module, **options), "ambiguous", emulator)
    assert VICTIM in msg
    assert "look_alikes" in msg


@pytest.mark.parametrize("description", LOOK_ALIKES)
def test_look_alike_is_ambiguous_when_reading_and_selecting(
    emulator: Emulator, description: str
) -> None:
    refused(run(emulator, "org_api_key_info", description=description), "ambiguous", emulator)
    refused(revoke_many(emulator, descriptions=[description]), "ambiguous", emulator)


def test_ignored_look_alikes_are_different_keys(emulator: Emulator) -> None:
    describe(emulator, 3, "VICTIM")
    exact = run(emulator, description="VICTIM", state="absent", check=True)
    assert exact.result["org_api_key"]["id"] == key_id("atlas", 3)
    other = {"description": "Victim", "look_alikes": "ignore"}
    assert run(emulator, state="absent", **other).result["org_api_key"] is None
    assert run(emulator, roles=["ORG_MEMBER"], **other).changed
    assert len(keys(emulator)) == 8


@pytest.mark.parametrize("module", ["org_api_key_access_list", "project_api_key"])
def test_ignored_look_alike_is_missing(emulator: Emulator, module: str) -> None:
    describe(emulator, 2, "Nobody")
    options = {**TARGETS[module], "description": "nobody", "look_alikes": "ignore"}
    refused(run(emulator, module, **options), "missing", emulator)
    assert not run(emulator, module, **options, state="absent").changed
    assert emulator.writes == []


def test_rename_refuses_look_alikes_of_both_descriptions(emulator: Emulator) -> None:
    for old, new in (("Victim", "x"), ("x", "Victim"), ("member", "Victim")):
        outcome = run(emulator, description=old, new_description=new)
        refused(outcome, "ambiguous", emulator)


def test_declared_keys_may_look_alike_only_if_ignored(emulator: Emulator) -> None:
    names = ("new", "New", "Victim")
    declared = [{"description": name, "roles": ["ORG_MEMBER"]} for name in names]
    outcome = run(emulator, "org_api_keys", api_keys=declared)
    refused(outcome, "options", emulator)
    outcome = run(emulator, "org_api_keys", api_keys=declared, look_alikes="ignore")
    assert len(outcome.result["created"]) == 3


@pytest.mark.parametrize("look_alikes", ["refuse", "ignore"])
def test_purge_never_replaces_a_key_with_a_look_alike(emulator: Emulator, look_alikes: str) -> None:
    declared = [{"description": "Victim", "roles": ["ORG_MEMBER"]}]
    outcome = run(emulator, "org_api_keys", api_keys=declared, purge=True, look_alikes=look_alikes)
    assert VICTIM in refused(outcome, "ambiguous", emulator)


@pytest.mark.parametrize("keep", ["VIC*", "vic?im\u00a0"])
def test_refuses_keep_item_that_only_looks_like_a_selected_key(
    emulator: Emulator, keep: str
) -> None:
    # Another key matches the item exactly.
    describe(emulator, 3, keep.replace("*", "x").replace("?", "t"))
    outcome = revoke_many(emulator, descriptions=["victim"], keep=[keep])
    assert VICTIM in refused(outcome, "ambiguous", emulator)
    outcome = revoke_many(emulator, descriptions=["victim"], keep=[keep], look_alikes="ignore")
    assert outcome.changed


def test_pattern_selects_exactly_and_warns(emulator: Emulator) -> None:
    describe(emulator, 3, "Twin")
    patterns = ["tw*", "gone *"]
    outcome = revoke_many(emulator, description_match=patterns, check=True)
    assert {key["id"] for key in outcome.result["revoked"]} == {TWIN, key_id("atlas", 5)}
    assert key_id("atlas", 3) in warnings(outcome)
    assert f"'gone *' matches no API key of organization {ORG}" in warnings(outcome)


def test_exact_keep_item_keeps_no_look_alike(emulator: Emulator) -> None:
    describe(emulator, 3, "Victim")
    outcome = revoke_many(emulator, descriptions=["victim"], keep=["Victim"])
    assert [key["id"] for key in outcome.result["revoked"]] == [VICTIM]
    outcome = revoke_many(emulator, descriptions=["Victim"], keep=["VICTIM"])
    assert outcome.result["error"]["type"] == "ambiguous"


def test_reading_one_key_does_not_check_the_others(emulator: Emulator) -> None:
    for options in ({"description_match": "twin*"}, {"description": "VICTIM"}):
        outcome = run(emulator, "org_api_key_info", api_user_id=VICTIM, **options)
        assert outcome.result["org_api_keys"] == []
        assert warnings(outcome) == "[]"


# Keys that a task lists


@pytest.mark.parametrize(
    "selectors",
    [
        {"api_user_ids": [VICTIM]},
        {"public_keys": [public_key("atlas", 2)]},
        {"descriptions": ["victim"]},
    ],
)
def test_reports_unselected_listed_key(emulator: Emulator, selectors: dict[str, Any]) -> None:
    selectors["roles"] = ["ORG_OWNER"]
    outcome = revoke_many(emulator, **selectors)
    assert VICTIM in refused(outcome, "guard", emulator)
    identity = {"id": VICTIM, "public_key": public_key("atlas", 2)}
    listed = [{**identity, "created_at": created_at(VICTIM), "description": "victim"}]
    assert outcome.result["unselected"] == [{**listed[0], "reason": "not_selected"}]
    assert outcome.result["error"]["parameters"] == [VICTIM]
    outcome = revoke_many(emulator, **selectors, on_unselected="report")
    assert not outcome.failed
    assert outcome.result["unselected"] == [{**listed[0], "reason": "not_selected"}]
    outcome = revoke_many(emulator, **selectors, keep=[VICTIM])
    assert not outcome.failed
    assert outcome.result["unselected"] == []


def test_reports_listed_signing_credential(emulator: Emulator) -> None:
    outcome = revoke_many(emulator, api_user_ids=[SIGNER, VICTIM])
    refused(outcome, "guard", emulator)
    assert [key["reason"] for key in outcome.result["unselected"]] == ["own_key"]
    outcome = revoke_many(emulator, api_user_ids=[SIGNER, VICTIM], on_unselected="report")
    assert [key["id"] for key in outcome.result["revoked"]] == [VICTIM]
    assert outcome.result["kept"] == []
    # A key that only a pattern selects is not listed by the task.
    outcome = revoke_many(emulator, description_match=["signs"])
    assert [key["reason"] for key in outcome.result["kept"]] == ["own_key"]


@pytest.mark.parametrize("item", ["bakcup", "terraform *", MISSING_ID])
def test_refuses_keep_item_that_matches_no_key(emulator: Emulator, item: str) -> None:
    outcome = revoke_many(emulator, descriptions=["victim"], keep=["twin", item])
    assert repr(item) in refused(outcome, "guard", emulator)
    purge = {"api_keys": [{"description": "victim"}], "purge": True, "keep": [item]}
    refused(run(emulator, "org_api_keys", **purge), "guard", emulator)
    nothing = revoke_many(emulator, descriptions=["gone"], keep=[item])
    assert not nothing.failed
    warned = revoke_many(emulator, descriptions=["victim"], keep=[item], on_keep_missing="warn")
    assert warned.changed
    assert repr(item) in warnings(warned)


def test_refuses_rename_with_state_absent(emulator: Emulator) -> None:
    outcome = run(emulator, description="old", new_description="victim", state="absent")
    refused(outcome, "options", emulator)
    assert emulator.requests == []


# Descriptions that others wrote


def pair_file(path: Path, **more: str) -> str:
    pair = {
        "org_id": ORG,
        "api_user_id": VICTIM,
        "description": "victim",
        "public_key": public_key("atlas", 2),
        "private_key": "x",
    }
    path.write_text(json.dumps({**pair, **more}), encoding="utf-8")
    return str(path)


OWNER = {"description": "victim", "roles": ["ORG_OWNER"]}


@pytest.mark.parametrize(
    "more",
    [None, {"api_user_id": TWIN}, {"public_key": "stranger"}, {"org_id": "f" * 24}],
)
def test_gives_no_rights_to_key_without_its_key_pair(
    emulator: Emulator, tmp_path: Path, more: dict[str, str] | None
) -> None:
    path = tmp_path / "pair.json"
    file = str(path) if more is None else pair_file(path, **more)
    for check in (True, False):
        outcome = run(emulator, **OWNER, credentials_file=file, check=check)
        assert VICTIM in refused(outcome, "guard", emulator)
        assert "adopt" in outcome.msg
    # Removing rights needs no key pair.
    fewer = {"description": "victim", "roles": ["ORG_MEMBER"], "credentials_file": file}
    assert run(emulator, **fewer).changed
    assert run(emulator, **OWNER, credentials_file=file, adopt=True).changed


@pytest.mark.parametrize("org", [ORG, ""])
def test_gives_rights_to_key_with_its_key_pair(
    emulator: Emulator, tmp_path: Path, org: str
) -> None:
    file = pair_file(tmp_path / "pair.json", org_id=org)
    outcome = run(emulator, **OWNER, credentials_file=file)
    assert outcome.changed
    assert "warnings" not in outcome.result


def test_gives_rights_to_key_identified_by_id(emulator: Emulator, tmp_path: Path) -> None:
    by_id = {"api_user_id": VICTIM, "roles": ["ORG_OWNER"]}
    assert "warnings" not in run(emulator, **by_id, check=True).result
    assert run(emulator, **by_id, credentials_file=str(tmp_path / "none")).changed


def test_key_without_new_rights_needs_no_key_pair(emulator: Emulator, tmp_path: Path) -> None:
    same = {"description": "victim", "roles": keys(emulator)[VICTIM].roles}
    outcome = run(emulator, **same, credentials_file=str(tmp_path / "none"), adopt=False)
    assert not outcome.failed, outcome.msg
    assert not outcome.changed


def test_adopts_declared_keys_individually(emulator: Emulator, tmp_path: Path) -> None:
    declared = {"api_keys": [OWNER], "credentials_dir": str(tmp_path)}
    outcome = run(emulator, "org_api_keys", **declared)
    assert VICTIM in refused(outcome, "guard", emulator)
    assert outcome.result["error"]["parameters"] == [VICTIM]
    pair_file(tmp_path / f"{VICTIM}.json")
    assert run(emulator, "org_api_keys", **declared, check=True).changed
    (tmp_path / f"{VICTIM}.json").unlink()
    adopted = {**declared, "api_keys": [{**OWNER, "adopt": True}]}
    assert run(emulator, "org_api_keys", **adopted).changed


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("org_api_key", OWNER),
        ("org_api_keys", {"api_keys": [OWNER]}),
        (
            "project_api_key",
            {"description": "victim", "project_id": project_id("atlas"), "roles": ["GROUP_OWNER"]},
        ),
    ],
)
def test_warns_of_owner_identified_by_description(
    emulator: Emulator, module: str, options: dict[str, Any]
) -> None:
    emulator.state.organizations[ORG].api_keys[VICTIM].projects.clear()
    outcome = run(emulator, module, **options, check=True)
    assert not outcome.failed, outcome.msg
    assert "identify owner keys by ID" in warnings(outcome)


# Error types


@pytest.mark.parametrize(
    ("options", "fault", "kind"),
    [
        ({"api_user_id": SIGNER, "state": "absent"}, None, "own_credential"),
        ({"description": "twin", "state": "absent"}, None, "ambiguous"),
        ({"api_user_id": MISSING_ID}, None, "missing"),
        ({"description": "new", "roles": ["ORG_OWNER"]}, Fault("lost_after", "POST"), "orphan"),
        ({"api_user_id": "x"}, None, "options"),
        ({"api_user_id": VICTIM}, Fault("status", status=403), "api"),
        ({"api_user_id": VICTIM}, Fault("status", times=None, status=429), "limit"),
        ({"api_user_id": VICTIM}, Fault("html", times=None), "unexpected_response"),
        ({"api_user_id": VICTIM}, Fault("redirect", times=None), "unexpected_response"),
    ],
)
def test_failure_has_a_type(
    emulator: Emulator, options: dict[str, Any], fault: Fault | None, kind: str
) -> None:
    if fault:
        emulator.add_fault(fault)
    outcome = run(emulator, **options)
    assert outcome.failed
    assert outcome.result["error"]["type"] == kind
    assert kind in ERROR_TYPES


def test_partly_failed_task_returns_its_diff(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", "DELETE", f"*{VICTIM}", status=403))
    outcome = revoke_many(emulator, descriptions=["victim", "member"], diff=True)
    assert outcome.failed
    assert [key["description"] for key in outcome.result["diff"]["before"]["api_keys"]] == [
        "member"
    ]
    assert outcome.result["error"]["type"] == "api"
    assert [failure["error"]["type"] for failure in outcome.result["failures"]] == ["api"]


def test_wait_that_times_out_returns_its_diff(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 500.0
    revoked = {"api_user_id": VICTIM, "state": "absent", "wait": True, "wait_timeout": 30}
    outcome = run(emulator, **revoked, clock=clock, diff=True)
    assert outcome.failed
    assert outcome.changed
    assert outcome.result["error"]["type"] == "timeout"
    assert outcome.result["diff"]["before"]["description"] == "victim"
    assert outcome.result["diff"]["after"] == {}
