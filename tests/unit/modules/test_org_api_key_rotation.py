# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key_rotation through its main(): phases, options, marks, verification and output.

Kills and attacks are in test_rotation_interrupted.py and test_rotation_attacked.py of
tests/integration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import (
    _rotation_steps,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import to_date
from tests.emulator import Emulator, Fault
from tests.integration.peers import ForwardProxy
from tests.rotation_world import (
    DAY,
    KEY,
    KEYS,
    MARK_KEY,
    OLD,
    OWNER,
    World,
    authenticate_with_old_key,
    check_end,
    essence,
    fresh,
    private_key,
    refused,
    succeeded,
    world_of,
)
from tests.support import (
    CLIENT_SECRETS,
    MISSING_ID,
    PLATFORMS,
    PRIVATE_KEYS,
    Outcome,
    VirtualClock,
    created_at,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    service_account,
)


@pytest.fixture(params=PLATFORMS)
def any_world(emulator: Emulator, request: pytest.FixtureRequest) -> Iterator[World]:
    with world_of(emulator, request.param) as world:
        yield world


def write_pair(path: Path, values: dict[str, str]) -> Path:
    """Write the file of a key pair. By default, it is the pair of a key that does not exist."""
    content = {
        "org_id": org_id("atlas"),
        "api_user_id": MISSING_ID,
        "description": "",
        "public_key": "nosuchke",
        "private_key": "ca11ab1e-0000-4000-8000-ffffffffffff",
        **values,
    }
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_a_key_is_replaced(any_world: World) -> None:
    world = any_world
    before = essence(world.old)
    begun = world.begin()
    new = world.new_key()
    assert begun.changed
    assert begun.result["state"] == "begun"
    assert begun.result["old_until"] is None
    assert begun.result["key_pair"] == {
        "org_id": org_id(world.platform),
        "api_user_id": new.id,
        "description": "victim",
        "public_key": new.public_key,
        "private_key": new.private_key,
    }
    assert essence(new)[1:] == before[1:]
    assert begun.result["org_api_key"]["description"] == new.description
    finished = world.finish(new_private_key=private_key(begun))
    assert finished.changed
    assert finished.result["state"] == "rotated"
    assert world.old_id not in world.keys
    assert essence(world.new_key()) == before
    for more in ({}, {"successor_id": new.id}):
        again = world.finish(**more)
        assert (again.changed, again.result["state"]) == (False, "none")
    assert new.private_key not in finished.output


def test_the_access_list_is_set_before_the_rights(world: World) -> None:
    world.begin()
    requests = [f"{w.method} {w.path.rpartition('/')[2]}" for w in world.emulator.writes]
    new_id = world.new_key().id
    assert requests == [
        "POST apiKeys",
        f"PATCH {new_id}",
        "POST accessList",
        f"POST {new_id}",
        f"PATCH {new_id}",
    ]
    assert '"roles": ["ORG_MEMBER"]' in world.emulator.writes[0].body.decode()


def test_the_old_key_is_kept_for_the_grace_period(world: World) -> None:
    begun = world.begin()
    waiting = world.finish(new_private_key=private_key(begun), grace_period=DAY)
    assert waiting.changed
    assert waiting.result["state"] == "waiting"
    deadline = to_date(world.now + DAY)
    assert waiting.result["old_until"] == deadline
    world.now += DAY - 1
    # Neither a different value nor another run changes the time later.
    again = world.finish(grace_period=0)
    assert (again.changed, again.result["state"]) == (False, "waiting")
    assert again.result["old_until"] == deadline
    assert world.begin().result["state"] == "waiting"
    world.now += 1
    assert world.begin().result["state"] == "due"
    assert world.old_id in world.keys
    due = world.finish()
    assert (due.changed, due.result["state"]) == (True, "rotated")
    assert due.result["verification"] is None
    assert world.old_id not in world.keys
    assert world.new_key().description == "victim"


def test_check_mode_reports_the_plan(world: World) -> None:
    checked = world.begin(check=True, diff=True)
    assert world.emulator.writes == []
    assert checked.changed
    new = checked.result["org_api_key"]
    assert (new["id"], new["public_key"], new["created_at"]) == (None, None, None)
    assert [a["action"] for a in checked.result["actions"]] == ["create_replacement"]
    assert checked.result["diff"]["after"]["api_keys"][0]["description"] == "victim"
    begun = world.begin()
    count = len(world.emulator.writes)
    checked = world.finish(check=True, diff=True, new_private_key=private_key(begun))
    assert len(world.emulator.writes) == count
    assert checked.changed
    assert checked.result["state"] == "rotated"
    actions = [action["action"] for action in checked.result["actions"]]
    assert actions == [
        "verify_key_pair",
        "record_verification",
        "revoke_old_key",
        "rename_replacement",
    ]
    real = world.finish(diff=True, new_private_key=private_key(begun))
    for name in ("state", "actions", "org_api_key", "diff", "old_api_user_id"):
        assert real.result[name] == checked.result[name], name


def test_the_difference_shows_each_key_of_a_phase(world: World) -> None:
    def shown(description: str) -> dict[str, Any]:
        assert world.old.projects
        projects = [{"project_id": p, "roles": sorted(r)} for p, r in world.old.projects.items()]
        roles = sorted(world.old.roles)
        return {"description": description, "roles": roles, "projects": projects}

    def difference(outcome: Outcome) -> Any:
        before, after = (outcome.result["diff"][name] for name in ("before", "after"))
        assert before.keys() == after.keys() == {"api_keys"}
        return before["api_keys"], after["api_keys"]

    old = shown("victim")
    assert difference(world.begin(check=True, diff=True)) == ([], [old])
    begun = world.begin(diff=True)
    issued = shown(world.new_key().description)
    assert difference(begun) == ([], [issued])
    pair = {"new_private_key": private_key(begun)}
    checked = world.finish(**pair, check=True, diff=True)
    assert difference(checked) == ([old, issued], [old])
    waiting = world.finish(**pair, grace_period=DAY, diff=True)
    verified = shown(world.new_key().description)
    assert verified != issued
    assert difference(waiting) == ([issued], [verified])
    assert difference(world.begin(diff=True)) == ([], [])
    world.now += DAY
    assert difference(world.finish(diff=True)) == ([old, verified], [old])


def test_the_difference_of_a_rollback_is_the_replacement(world: World) -> None:
    world.begin()
    new = world.new_key()
    done = succeeded(world.run("roll_back", successor_id=new.id, diff=True))
    (before,) = done.result["diff"]["before"]["api_keys"]
    assert before["description"] == new.description
    assert done.result["diff"]["after"]["api_keys"] == []


def test_roll_back_keeps_the_old_key(world: World) -> None:
    before = essence(world.old)
    begun = world.begin()
    new = world.new_key()
    refused(world.run("roll_back"), "guard", new.id)
    checked = succeeded(world.run("roll_back", successor_id=new.id, check=True))
    assert checked.changed
    assert new.id in world.keys
    done = succeeded(world.run("roll_back", successor_id=new.id))
    assert (done.changed, done.result["state"]) == (True, "rolled_back")
    assert world.new_keys() == []
    assert essence(world.old) == before
    again = succeeded(world.run("roll_back", successor_id=new.id))
    assert (again.changed, again.result["state"]) == (False, "none")
    refused(world.run("finish", new_private_key=private_key(begun)), "missing", world.old_id)


def test_the_key_pair_can_be_passed_in_a_file(world: World, tmp_path: Any) -> None:
    file = tmp_path / "new.json"
    begun = world.begin(credentials_file=str(file))
    assert "key_pair" not in begun.result
    new = world.new_key()
    assert new.private_key not in begun.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert '"description": "victim"' in file.read_text("utf-8")
    finished = world.finish(credentials_file=str(file))
    assert finished.result["state"] == "rotated"
    assert new.private_key not in finished.output
    again = world.finish(credentials_file=str(file))
    assert again.result["state"] == "none"
    # The file is the only copy of a key pair in use, so it is not overwritten.
    other = world.run("begin", api_user_id=new.id, credentials_file=str(file))
    refused(other, "options")
    assert world.new_key() == replace(new, description="victim")


@pytest.mark.parametrize(
    ("change", "is_replaced"),
    [
        ({}, True),
        ({"org_id": MISSING_ID}, False),
        ({"description": "another"}, False),
        ({"api_user_id": key_id("atlas", OWNER)}, False),
    ],
    ids=str,
)
def test_only_a_file_of_an_earlier_rotation_is_replaced(
    world: World, tmp_path: Path, change: dict[str, str], is_replaced: bool
) -> None:
    file = write_pair(tmp_path / "new.json", {"description": "victim", **change})
    before = file.read_text("utf-8")
    outcome = world.run("begin", credentials_file=str(file))
    if is_replaced:
        assert world.new_key().id in file.read_text("utf-8")
    else:
        refused(outcome, "options")
        assert str(file) in outcome.msg
        assert world.emulator.writes == []
        assert file.read_text("utf-8") == before


def test_check_mode_does_not_try_to_write_the_file(world: World, tmp_path: Path) -> None:
    file = {"credentials_file": str(tmp_path / "new.json")}
    full = OSError(28, "No space left on device")
    with mock.patch("tempfile.TemporaryFile", side_effect=full):
        assert world.begin(**file, check=True).changed
        outcome = refused(world.run("begin", **file), "options")
    assert "No space left" in outcome.msg
    assert world.emulator.writes == []


def test_finish_does_not_use_the_file_of_another_organization(world: World, tmp_path: Path) -> None:
    new_pair = world.begin().result["key_pair"]
    other = write_pair(tmp_path / "other.json", {**new_pair, "org_id": MISSING_ID})
    refused(world.run("finish", credentials_file=str(other)), "options")
    assert world.old_id in world.keys
    # The role may leave the organization out.
    file = write_pair(tmp_path / "new.json", {**new_pair, "org_id": ""})
    assert world.finish(credentials_file=str(file)).result["state"] == "rotated"


def test_a_file_that_cannot_be_written_leaves_no_key(world: World, tmp_path: Any) -> None:
    file = tmp_path / "new.json"
    full = OSError(28, "No space left on device")
    with mock.patch.object(_rotation_steps._secret_file, "_create", side_effect=full):
        outcome = refused(world.run("begin", credentials_file=str(file)), "orphan")
    assert "No space left" in outcome.msg
    assert world.new_keys() == []
    assert not outcome.changed


@pytest.mark.parametrize(
    "target",
    [{"api_user_id": MISSING_ID}, {"public_key": "nosuchke"}, {"description": "no key has it"}],
)
def test_a_key_that_does_not_exist_is_reported_and_nothing_is_written(
    world: World, target: dict[str, str]
) -> None:
    refused(world.run("begin", **target), "missing")
    for phase in ("finish", "roll_back"):
        outcome = succeeded(world.run(phase, **target))
        assert (outcome.changed, outcome.result["state"]) == (False, "none")
    assert world.emulator.writes == []


def test_a_key_is_identified_by_its_description(world: World) -> None:
    for _round in range(2):
        old_ids = {key.id for key in world.keys.values() if key.description == "victim"}
        begun = world.begin(description="victim")
        finished = world.finish(description="victim", new_private_key=private_key(begun))
        assert finished.result["state"] == "rotated"
        assert {finished.result["old_api_user_id"]} == old_ids
        again = world.finish(description="victim")
        assert (again.changed, again.result["state"]) == (False, "none")


def test_a_description_that_looks_like_the_one_of_the_task_is_refused(world: World) -> None:
    outcome = refused(world.run("begin", description="Victim"), "ambiguous")
    assert world.old_id in outcome.msg
    refused(world.run("begin", description="Victim", look_alikes="ignore"), "missing")


def test_rotating_the_signing_credential_needs_allow_own_key(world: World) -> None:
    own = key_pair("atlas", OLD)
    world.old.roles = ["ORG_OWNER"]
    refused(world.run("begin", **own), "own_credential")
    assert world.emulator.writes == []


def test_the_new_pair_revokes_the_signing_credential(world: World) -> None:
    own = authenticate_with_old_key(world)
    begun = world.begin(**own)
    new = world.new_key()
    finished = world.finish(**own, new_private_key=private_key(begun))
    assert finished.result["state"] == "rotated"
    assert world.old_id not in world.keys
    deleted = [w for w in world.emulator.writes if w.method == "DELETE"]
    assert [w.caller for w in deleted] == [new.public_key]
    assert world.new_key().description == "victim"


def test_after_finish_only_the_new_pair_can_verify_the_marks(world: World) -> None:
    own = authenticate_with_old_key(world)
    begun = world.begin(**own)
    new = world.new_key()
    waiting = world.finish(**own, new_private_key=private_key(begun), grace_period=DAY)
    assert waiting.result["state"] == "waiting"
    # The old key pair can no longer verify that mark.
    refused(world.run("finish", **own), "guard", new.id)
    world.now += DAY
    refused(world.run("begin", **own), "guard", new.id)
    assert world.finish(**own, new_private_key=private_key(begun), check=True).changed
    pair = {"api_public_key": new.public_key, "api_private_key": new.private_key}
    finished = world.finish(**pair, mark_key=None)
    assert finished.result["state"] == "rotated"
    assert essence(world.new_key())[0] == "victim"


def test_the_signing_credential_does_not_revoke_itself(world: World) -> None:
    own = {**authenticate_with_old_key(world), "mark_key": MARK_KEY}
    begun = world.begin(**own)
    world.finish(**own, new_private_key=private_key(begun), grace_period=DAY)
    world.now += DAY
    refused(world.run("finish", **own), "own_credential")
    assert world.old_id in world.keys
    assert world.finish(**own, new_private_key=private_key(begun)).result["state"] == "rotated"


@pytest.mark.parametrize("owner", [{}, {"client_id": service_account("atlas")["client_id"]}])
def test_marks_are_made_with_the_secret_that_is_set_with_a_token(
    world: World, owner: dict[str, str]
) -> None:
    token = fetch_token(world.emulator.url, "atlas")
    by_token = {"access_token": token, "mark_key": None, **owner}
    refused(world.run("begin", **by_token), "options")
    assert world.emulator.writes == []
    environ = {
        "MONGODB_ATLAS_CLIENT_ID": service_account("atlas")["client_id"],
        "MONGODB_ATLAS_CLIENT_SECRET": CLIENT_SECRETS["atlas"],
    }
    begun = world.begin(**by_token, environ=environ)
    # The service account itself verifies the mark, and so does a run with another token.
    finished = world.finish(
        **service_account("atlas"), mark_key=None, new_private_key=private_key(begun)
    )
    assert finished.result["state"] == "rotated"
    for secret in (token, CLIENT_SECRETS["atlas"]):
        assert secret not in begun.output + finished.output


@pytest.mark.parametrize("with_token", ["begin", "finish"])
def test_marks_are_made_with_the_secret_of_the_owner_of_a_token(
    world: World, with_token: str
) -> None:
    account = {**service_account("atlas"), "mark_key": None}
    token = {"access_token": fetch_token(world.emulator.url, "atlas")}
    begun = world.begin(**account, **(token if with_token == "begin" else {}))
    finished = world.finish(
        **account,
        **(token if with_token == "finish" else {}),
        new_private_key=private_key(begun),
    )
    assert finished.result["state"] == "rotated"
    for secret in (token["access_token"], CLIENT_SECRETS["atlas"]):
        assert secret not in begun.output + finished.output


def test_a_key_pair_and_a_service_account_in_addition_to_a_token_are_refused(world: World) -> None:
    environ = {
        "MONGODB_ATLAS_CLIENT_ID": service_account("atlas")["client_id"],
        "MONGODB_ATLAS_CLIENT_SECRET": CLIENT_SECRETS["atlas"],
        "MONGODB_ATLAS_PUBLIC_API_KEY": public_key("atlas", OWNER),
        "MONGODB_ATLAS_PRIVATE_API_KEY": PRIVATE_KEYS["atlas"],
    }
    token = fetch_token(world.emulator.url, "atlas")
    refused(world.run("begin", access_token=token, mark_key=None, environ=environ), "options")


def test_another_credential_does_not_trust_the_marks(world: World) -> None:
    begun = world.begin(mark_key=None)
    new = world.new_key()
    other = {**key_pair("atlas", 7), "mark_key": None}
    world.keys[key_id("atlas", 7)].access_list = []
    refused(world.run("begin", **other), "guard", new.id)
    refused(world.run("finish", **other, new_private_key=private_key(begun)), "guard", new.id)
    refused(world.run("roll_back", **other), "guard", new.id)
    assert world.begin(**other, ignore_marks=True, check=True).result["state"] == "begun"
    assert len(world.new_keys()) == 1
    finished = world.finish(**other, new_private_key=private_key(begun), successor_id=new.id)
    assert finished.result["state"] == "rotated"


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"mark_key": "fifteen letters"}, ["mark_key"]),
        ({"mark_key": "  twelve letters     "}, ["mark_key", "16"]),
        ({"phase": "begin", "successor_id": MISSING_ID}, ["successor_id", "begin", "roll_back"]),
        ({"successor_id": "nonsense"}, ["successor_id", "nonsense"]),
        (
            {"api_user_id": MISSING_ID, "successor_id": MISSING_ID},
            ["successor_id", "api_user_id", "the same"],
        ),
        ({"phase": "begin", "new_private_key": "x" * 36}, ["new_private_key", "finish"]),
        ({"phase": "roll_back", "new_private_key": "x" * 36}, ["new_private_key", "finish"]),
        (
            {"new_private_key": "x" * 36, "credentials_file": "/tmp/x"},
            ["new_private_key", "credentials_file"],
        ),
        ({"grace_period": -1}, ["grace_period", "-1", str(366 * DAY)]),
        ({"grace_period": 366 * DAY + 1}, ["grace_period", str(366 * DAY + 1), str(366 * DAY)]),
        ({"verify_timeout": 0}, ["verify_timeout"]),
        ({"wait_timeout": 90000}, ["wait_timeout"]),
        ({"description": "victim", "public_key": "abcdefgh"}, ["description"]),
        ({"description": "d" * 251}, ["description", "251"]),
    ],
)
def test_options_are_checked(world: World, more: dict[str, Any], names: list[str]) -> None:
    more = dict(more)
    outcome = refused(world.run(more.pop("phase", "finish"), **more), "options")
    for name in names:
        assert re.search(rf"(?<!\w){name}(?!\w)", outcome.msg), name
    assert world.emulator.requests == []


def test_the_longest_grace_period_and_the_shortest_mark_key_are_accepted(world: World) -> None:
    limits = {"grace_period": 366 * DAY, "mark_key": "sixteen letters!"}
    begun = world.begin(**limits)
    waiting = world.finish(**limits, new_private_key=private_key(begun))
    assert waiting.result["old_until"] == to_date(world.now + 366 * DAY)


def test_an_empty_mark_key_counts_as_unset(world: World) -> None:
    begun = world.begin(mark_key="")
    finished = world.finish(mark_key=None, new_private_key=private_key(begun))
    assert finished.result["state"] == "rotated"


@pytest.mark.parametrize(
    "value",
    [
        "********",
        f"{'*' * 8} and sixteen more letters",
        "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER",
        " " * 40,
        1234567890123456,
        True,
        ["canary-in-a-list-of-mark-keys"],
        {"a": "canary-in-a-list-of-mark-keys"},
    ],
    ids=str,
)
def test_a_mark_key_that_is_masked_or_not_text_is_refused(world: World, value: Any) -> None:
    for phase in ("begin", "finish", "roll_back"):
        outcome = refused(world.run(phase, mark_key=value), "options")
        assert "mark_key" in outcome.msg
        for hidden in ("1234567890123456", "canary-in-a-list"):
            assert hidden not in outcome.output
    assert world.emulator.requests == []


@pytest.mark.parametrize("value", ["", True, "1 day", 0.5])
def test_a_grace_period_must_be_a_number_of_seconds(world: World, value: Any) -> None:
    """An empty grace period would revoke the old key immediately."""
    pair = {"new_private_key": private_key(world.begin())}
    count = len(world.emulator.requests)
    outcome = refused(world.run("finish", **pair, grace_period=value), "options")
    assert "grace_period" in outcome.msg
    assert len(world.emulator.requests) == count


def test_the_secret_that_is_set_with_a_token_may_be_the_old_private_key(world: World) -> None:
    """New marks are made with the new private key, although the token authenticates the task."""
    names = ("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PRIVATE_API_KEY")
    token = {"access_token": fetch_token(world.emulator.url, "atlas"), "mark_key": None}
    old = dict(zip(names, key_pair("atlas", OLD).values(), strict=True))
    begun = world.begin(**token, environ=old)
    new = dict(zip(names, (world.new_key().public_key, private_key(begun)), strict=True))
    pair = {"new_private_key": private_key(begun)}
    world.finish(**token, environ=old, **pair, grace_period=DAY)
    world.now += DAY
    world.emulator.add_fault(Fault("status", "PATCH", KEY, status=403, code="EMULATED"))
    outcome = world.run("finish", **token, environ=new)
    assert (outcome.code, outcome.changed) == ("EMULATED", True)
    assert world.old_id not in world.keys
    # The private key of a key that does not exist may be the old one, but that of another may not.
    assert world.finish(**token, environ=old, **pair, check=True).result["state"] == "rotated"
    other = dict(zip(names, key_pair("atlas", 7).values(), strict=True))
    refused(world.run("finish", **token, environ=other, **pair), "guard", world.new_key().id)
    assert world.finish(**token, environ=new).result["state"] == "rotated"
    check_end(world, ("victim", *essence(world.new_key())[1:]))


def new_pair_refused(count: int, **more: Any) -> Fault:
    """Refuse requests for the new key, which only the new key pair sends."""
    response = {"status": 401, "code": "UNEXPECTED_ERROR", **more}
    path = f"{KEYS}/6{23 * '?'}"
    return Fault("status", "GET", path, times=count, **response)


def test_begin_waits_until_the_new_pair_works(world: World) -> None:
    world.emulator.add_fault(new_pair_refused(3))
    begun = world.begin()
    # 0.25 + 0.5 + 1
    assert begun.result["verification"] == {"waited": 1.8, "refusal": None}


def test_a_pair_that_does_not_work_is_not_handed_over(world: World) -> None:
    real = _rotation_steps.client_of

    def client_of(api: Any, connection: Any, pair: Any) -> Any:
        return real(api, connection, replace(pair, private_key="not the private key of this key"))

    with mock.patch.object(_rotation_steps, "client_of", client_of):
        outcome = refused(world.run("begin", verify_timeout=30), "timeout")
    assert outcome.result["error"]["status"] == 401
    assert re.search(r"within (28|29|30) s", outcome.msg)
    assert 28 <= outcome.clock.time - 1000 <= 31
    assert world.new_keys() == []
    assert not outcome.changed


def test_a_key_for_other_machines_is_verified(world: World) -> None:
    world.old.access_list = ["192.0.2.0/24", "2001:db8::1"]
    begun = world.begin()
    assert begun.result["verification"]["refusal"] == "IP_ADDRESS_NOT_ON_ACCESS_LIST"
    finished = world.finish(new_private_key=private_key(begun))
    assert finished.result["state"] == "rotated"


def test_begin_waits_until_a_listed_address_is_accepted(world: World) -> None:
    refusal = {"status": 403, "code": "IP_ADDRESS_NOT_ON_ACCESS_LIST", "parameters": ["127.0.0.1"]}
    world.emulator.add_fault(new_pair_refused(2, **refusal))
    begun = world.begin()
    assert begun.result["verification"]["refusal"] is None
    world.emulator.add_fault(new_pair_refused(99, **refusal))
    outcome = world.run("finish", new_private_key=private_key(begun), verify_timeout=5)
    assert outcome.code == "IP_ADDRESS_NOT_ON_ACCESS_LIST"
    refused(outcome, "timeout")
    assert "127.0.0.1" in outcome.msg


@pytest.mark.parametrize("address", [[], ["an internal address"], ["198.51.100.1"]], ids=str)
def test_an_address_that_is_not_listed_verifies_the_pair(world: World, address: list[str]) -> None:
    code = "IP_ADDRESS_NOT_ON_ACCESS_LIST"
    refusal = new_pair_refused(1, status=403, code=code, parameters=address)
    world.emulator.add_fault(refusal)
    assert world.begin().result["verification"] == {"waited": 0, "refusal": code}


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "EMULATED"), (403, None), (403, "UNEXPECTED_ERROR"), (403, "USER_CANNOT_ACCESS_ORG")],
)
def test_other_errors_of_the_new_pair_are_not_waited_for(
    world: World, status: int, code: str | None
) -> None:
    begun = world.begin()
    new = world.new_key()
    world.emulator.add_fault(new_pair_refused(99, status=status, code=code))
    outcome = refused(world.run("finish", new_private_key=private_key(begun)), "api")
    assert (outcome.result["error"]["status"], outcome.code) == (status, code)
    assert f"/apiKeys/{new.id}" in outcome.result["error"]["path"]
    assert new.public_key in outcome.msg
    assert outcome.clock.sleeps == []
    assert world.old_id in world.keys


def test_a_timeout_shows_the_last_response(world: World) -> None:
    begun = world.begin()
    new = world.new_key()
    pair = {"new_private_key": private_key(begun), "verify_timeout": 4}
    world.emulator.requests.clear()
    world.emulator.add_fault(new_pair_refused(99, detail="Not yet.", parameters=["one", 2]))
    outcome = refused(world.run("finish", **pair), "timeout")
    assert outcome.result["error"] == {
        "type": "timeout",
        "status": 401,
        "code": "UNEXPECTED_ERROR",
        "reason": "Unauthorized",
        "detail": "Not yet.",
        "parameters": ["one", 2],
        "method": None,
        "path": None,
    }
    for name in (new.id, "within 4 s", "401 UNEXPECTED_ERROR", new.public_key, "verify_timeout"):
        assert re.search(rf"(?<!\w){name}(?!\w)", outcome.msg), name
    # Only the access list of the replacement that phase finish compares was read.
    paths = [request.path for request in world.emulator.requests if request.status != 401]
    assert sum(f"{new.id}/accessList" in path for path in paths) == 1
    # The API may not show the new key to its own pair either.
    world.emulator.clear_faults()
    world.emulator.add_fault(new_pair_refused(99, status=404, code="API_KEY_NOT_FOUND"))
    outcome = refused(world.run("finish", **pair), "timeout")
    assert outcome.result["error"]["status"] is None
    assert new.id in outcome.msg
    assert "verify_timeout" in outcome.msg
    assert world.old_id in world.keys


def test_retries_end_with_the_verification(world: World) -> None:
    begun = world.begin()
    busy = {"status": 503, "code": None, "retry_after": 20}
    world.emulator.add_fault(new_pair_refused(99, **busy))
    outcome = world.run("finish", new_private_key=private_key(begun), verify_timeout=5)
    assert outcome.result["error"]["status"] == 503
    assert outcome.clock.time - 1000 <= 5


def test_the_new_pair_is_verified_through_the_proxy(world: World) -> None:
    elsewhere = {"base_url": "http://api.invalid"}
    with ForwardProxy(world.emulator.port) as proxy:
        begun = world.begin(**elsewhere, http_proxy=proxy.url)
        new_id = world.new_key().id
        assert any("GET http://api.invalid/" in head and new_id in head for head in proxy.heads)
    assert begun.result["verification"]["refusal"] is None


def test_a_pair_without_the_role_to_read_is_verified(world: World) -> None:
    world.emulator.add_fault(new_pair_refused(1, status=403, code="USER_UNAUTHORIZED"))
    assert world.begin().result["verification"]["refusal"] == "USER_UNAUTHORIZED"


@pytest.mark.parametrize("entries", [["127.0.0.0/8"], ["192.0.2.0/24"]])
def test_a_wrong_private_key_revokes_no_key(world: World, entries: list[str]) -> None:
    """This also holds if the key may only be used from other machines."""
    world.old.access_list = entries
    world.begin()
    wrong = "ca11ab1e-0000-4000-8000-ffffffffffff"
    outcome = world.run("finish", new_private_key=wrong, verify_timeout=2)
    refused(outcome, "timeout")
    assert world.old_id in world.keys
    assert wrong not in outcome.output


def test_the_file_must_hold_the_pair_of_the_replacement(world: World, tmp_path: Any) -> None:
    file = {"credentials_file": str(tmp_path / "new.json")}
    world.begin(**file)
    replaced = world.new_key().id
    other = world.begin().result["org_api_key"]["id"]
    outcome = refused(world.run("finish", **file, successor_id=other), "options")
    assert replaced in outcome.msg
    assert other in outcome.msg
    assert world.old_id in world.keys


def test_hidden_public_keys_need_a_mark_key_and_a_file(world: World, tmp_path: Path) -> None:
    """Without them, the task cannot be sure of the secret for marks or of the new key pair."""
    own = {"allow_own_key": True}
    public_key, world.old.public_key = world.old.public_key, ""
    outcome = refused(world.run("begin", **own, mark_key=None), "options")
    assert world.old_id in outcome.msg
    assert "mark_key" in outcome.msg
    assert world.emulator.writes == []
    new_pair = world.begin(**own).result["key_pair"]
    world.old.public_key, world.new_key().public_key = public_key, ""
    pair = {"new_private_key": new_pair["private_key"]}
    outcome = refused(world.run("finish", **own, **pair), "options")
    assert new_pair["api_user_id"] in outcome.msg
    assert "credentials_file" in outcome.msg
    assert world.old_id in world.keys
    file = write_pair(tmp_path / "new.json", new_pair)
    world.new_key().public_key = new_pair["public_key"]
    real = _rotation_steps._resource.list_all

    def list_all(*arguments: Any) -> list[Any]:
        keys = real(*arguments)
        return [replace(k, public_key=None) if k.id == world.new_key().id else k for k in keys]

    with mock.patch.object(_rotation_steps._resource, "list_all", list_all):
        finished = world.finish(**own, credentials_file=str(file))
    assert finished.result["state"] == "rotated"


def test_finish_needs_a_pair_that_is_not_verified_yet(world: World) -> None:
    world.begin()
    refused(world.run("finish"), "options")
    assert world.old_id in world.keys


@pytest.mark.parametrize(
    ("change", "grace"),
    [
        ({"description": "renamed"}, 0),
        ({"roles": ["ORG_MEMBER"]}, 0),
        ({"roles": ["ORG_MEMBER", "ORG_GROUP_CREATOR", "ORG_READ_ONLY"]}, DAY),
        ({"projects": {}}, 0),
        ({"access_list": ["127.0.0.0/8"]}, 0),
        ({"access_list": ["127.0.0.0/8"]}, DAY),
    ],
    ids=str,
)
def test_an_old_key_that_was_changed_is_reported(
    world: World, change: dict[str, Any], grace: int
) -> None:
    begun = world.begin()
    pair = {"new_private_key": private_key(begun)}
    if grace:
        world.finish(**pair, grace_period=grace)
        world.now += grace
        pair = {}
    for name, value in change.items():
        setattr(world.old, name, value)
    changed = replace(world.old)
    count = len(world.emulator.writes)
    outcome = refused(world.run("finish", **pair), "guard", world.old_id)
    assert len(world.emulator.writes) == count
    assert world.old == changed
    # Follow the advice in the message.
    assert "org_api_key" in outcome.msg
    del world.keys[world.old_id]
    assert world.finish(**pair).result["state"] == "rotated"
    assert world.new_key().description == "victim"


def test_a_replacement_with_more_rights_is_not_finished(world: World) -> None:
    begun = world.begin()
    world.new_key().roles.append("ORG_OWNER")
    pair = {"new_private_key": private_key(begun)}
    outcome = refused(world.run("finish", **pair), "guard", world.new_key().id)
    assert "ORG_OWNER" in outcome.msg
    assert world.old_id in world.keys
    world.new_key().roles.remove("ORG_OWNER")
    assert world.finish(**pair).result["state"] == "rotated"


def test_finish_waits_for_an_access_list_that_is_shown_late(world: World) -> None:
    begun = world.begin()
    empty = {"results": [], "totalCount": 0}
    path = f"*/apiKeys/{world.new_key().id}/accessList"
    world.emulator.add_fault(Fault("json", "GET", path, times=2, status=200, body=empty))
    finished = world.finish(new_private_key=private_key(begun))
    assert finished.result["state"] == "rotated"
    assert finished.clock.time - 1000 >= 0.25 + 0.5


def test_begin_only_lists_the_keys_during_the_grace_period(world: World) -> None:
    begun = world.begin()
    world.finish(new_private_key=private_key(begun), grace_period=DAY)
    requests_sent(world)
    assert world.begin().result["state"] == "waiting"
    assert requests_sent(world) == ["GET apiKeys"]


def test_leftovers_are_reported_while_the_old_key_is_kept(world: World) -> None:
    world.begin()
    first = world.new_key()
    begun = world.begin()
    new_id = begun.result["org_api_key"]["id"]
    finish = {"new_private_key": private_key(begun), "successor_id": new_id}
    for waiting in (world.finish(**finish, grace_period=DAY), world.begin()):
        assert waiting.result["state"] == "waiting"
        assert waiting.result["left"] == [
            {
                "id": first.id,
                "public_key": first.public_key,
                "created_at": created_at(first.id),
                "description": first.description,
                "reason": "may_be_in_use",
            }
        ]


def test_a_role_that_the_api_adds_is_not_a_difference(world: World) -> None:
    world.emulator.settings.adds_org_member = True
    world.old.roles = ["ORG_READ_ONLY"]
    begun = world.begin()
    assert sorted(world.new_key().roles) == ["ORG_MEMBER", "ORG_READ_ONLY"]
    assert world.finish(new_private_key=private_key(begun)).result["state"] == "rotated"


@pytest.mark.parametrize("by", ["api_user_id", "public_key", "description"])
def test_the_last_request_of_a_rotation_may_fail(world: World, by: str) -> None:
    """After the old key is revoked, its public key does not lead to the mark."""
    values = {
        "api_user_id": world.old_id,
        "public_key": public_key("atlas", OLD),
        "description": "victim",
    }
    target = {by: values[by]}
    begun = world.begin(**target)
    new = world.new_key()
    world.emulator.add_fault(Fault("status", "PATCH", KEY, after=1, status=403, code="EMULATED"))
    pair = {"new_private_key": private_key(begun)}
    outcome = world.run("finish", **target, **pair)
    assert (outcome.code, outcome.changed) == ("EMULATED", True)
    world.emulator.clear_faults()
    assert world.old_id not in world.keys
    again = world.finish(**target)
    if by == "public_key":
        assert again.result["state"] == "none"
        assert [item["reason"] for item in again.result["left"]] == ["old_key_missing"]
        refused(world.run("begin", **target), "missing", new.id)
        again = world.finish(**target, successor_id=new.id)
        assert again.result["left"] == []
    assert again.result["state"] == "rotated"
    assert world.new_key().description == "victim"


def test_a_rollback_that_fails_says_what_is_left(world: World) -> None:
    world.emulator.add_fault(Fault("status", "POST", "*/accessList", status=400, code="EMULATED"))
    world.emulator.add_fault(Fault("status", "DELETE", KEY, status=403, code="NOT_ORG_OWNER"))
    outcome = world.run("begin")
    new = world.new_key()
    assert outcome.failed
    assert outcome.changed
    assert new.id in outcome.result["error"]["parameters"]
    assert new.id in outcome.msg
    # The next run recognizes it.
    begun = world.begin()
    assert new.id not in world.keys
    assert begun.result["left"] == []


def test_the_api_may_show_changes_late(world: World) -> None:
    """The emulator uses the clock of the module."""
    clock = VirtualClock()
    world.emulator.clock = clock.now
    world.emulator.settings.visibility_delay = 3.0
    begun = world.begin(clock=clock)
    assert "warnings" not in begun.result
    finished = world.finish(clock=clock, new_private_key=private_key(begun))
    assert finished.result["state"] == "rotated"
    assert world.old_id not in world.keys


def test_a_rollback_by_id_does_not_read_the_old_access_list(world: World) -> None:
    new_id = world.begin().result["org_api_key"]["id"]
    refusal = Fault("status", "GET", "*/accessList", status=403, code="EMULATED")
    world.emulator.add_fault(refusal)
    done = succeeded(world.run("roll_back", successor_id=new_id))
    assert done.result["state"] == "rolled_back"


def requests_sent(world: World) -> list[str]:
    """Return the requests so far except challenges, and forget them."""
    names = {world.old_id: "old", **{key.id: "new" for key in world.new_keys()}}
    shown = []
    for request in world.emulator.requests:
        if request.status != 401:
            parts = request.path.split("?")[0].split("/")
            place = "/".join(names.get(part, part) for part in parts if part in names)
            shown.append(f"{request.method} {place} {parts[-1]}".replace("  ", " "))
    world.emulator.requests.clear()
    return [names_of(line, names) for line in shown]


def names_of(line: str, names: dict[str, str]) -> str:
    for key, name in names.items():
        line = line.replace(f"{name} {key}", name)
    return line


def test_the_requests_of_a_rotation(world: World) -> None:
    world.emulator.state.organizations[org_id("atlas")].projects[
        project_id("atlas")[:-2] + "bb"
    ] = "b"
    world.old.projects[project_id("atlas")[:-2] + "bb"] = ["GROUP_READ_ONLY"]
    world.old.access_list.append("198.51.100.0/24")
    begun = world.begin()
    assert requests_sent(world) == [
        "GET apiKeys",
        "GET old accessList",
        "POST apiKeys",
        "PATCH new",
        "POST new accessList",
        "GET new",
        "POST new",
        "POST new",
        "GET old",
        "PATCH new",
        "GET apiKeys",
    ]
    world.finish(new_private_key=private_key(begun))
    assert requests_sent(world) == [
        "GET apiKeys",
        "GET old accessList",
        "GET new accessList",
        "GET new",
        "PATCH new",
        "DELETE old",
        "GET old",
        "GET old",
        "PATCH new",
    ]


TEXTS = {
    "parentheses": "backup (nightly) (successor of nobody: x)",
    "line breaks": " one\ntwo\r\nthree\n",
    "lone surrogate": "a \ud83d of a pair",
    "beyond the BMP": "\U0001f511" * 148,
    "decomposed": "e\u0301" * 74,
    "template": "{{ 1 + 1 }} {% raw %}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_description_may_be_any_text(world: World, name: str) -> None:
    world.old.description = TEXTS[name]
    # The client replaces lone surrogates when it reads them.
    text = TEXTS[name].replace("\ud83d of", "\ufffd of")
    expected = (text, *essence(world.old)[1:])
    begun = world.begin()
    world.finish(new_private_key=private_key(begun), grace_period=DAY)
    assert world.begin().result["state"] == "waiting"
    world.now += DAY
    finished = world.finish()
    assert finished.result["state"] == "rotated"
    assert finished.result["org_api_key"]["description"] == text
    check_end(world, expected)


def test_a_description_that_the_api_finds_too_long_leaves_nothing(world: World) -> None:
    """The mark of the POST has the maximum length, so no later request is too long."""
    lengths = {len(world.mark(phase, new_id=world.old_id)) for phase in ("creating", "verified")}
    assert len(lengths) == 1
    world.old.description = "\U0001f511" * 148
    too_long = Fault("status", "POST", KEYS, status=400, code="INVALID_API_KEY_DESC")
    world.emulator.add_fault(too_long)
    outcome = world.run("begin")
    assert outcome.code == "INVALID_API_KEY_DESC"
    assert not outcome.changed
    assert world.new_keys() == []


@pytest.mark.parametrize("now", [0, 2**31 + 5, 253402214400])
def test_any_system_time_is_accepted(world: World, now: int) -> None:
    """The clock may be wrong."""
    expected = essence(world.old)
    world.now = now
    begun = world.begin()
    waiting = world.finish(new_private_key=private_key(begun), grace_period=60)
    assert waiting.result["state"] == "waiting"
    assert waiting.result["old_until"] == to_date(now + 60)
    world.now = now + 59
    assert world.finish().result["state"] == "waiting"
    world.now = now + 60
    assert world.finish().result["state"] == "rotated"
    check_end(world, expected)


def test_no_time_depends_on_the_time_zone(world: World) -> None:
    """This includes the hour that daylight saving time skips, and the one that it repeats."""
    zone = {"TZ": "America/New_York"}
    for moment in (1_793_494_800, 1_772_953_200):
        world = fresh(world)
        world.now = moment
        begun = world.begin(environ=zone)
        waiting = world.finish(new_private_key=private_key(begun), grace_period=3600, environ=zone)
        assert waiting.result["old_until"] == to_date(moment + 3600)
        world.now += 3599
        assert world.finish(environ={"TZ": "UTC"}).result["state"] == "waiting"
        world.now += 1
        assert world.finish(environ={"TZ": "UTC"}).result["state"] == "rotated"


def test_no_secret_is_in_the_output_of_a_failure(world: World) -> None:
    """This holds even if a bug in this collection quotes a secret."""
    real = _rotation_steps._Creation._await_shown
    secrets: list[str] = []

    def broken(self: Any, key: Any) -> Any:
        secrets.append(world.new_key().private_key)
        raise RuntimeError(f"{secrets[-1]} {MARK_KEY} {real(self, key)}")

    with mock.patch.object(_rotation_steps._Creation, "_await_shown", broken):
        outcomes = [world.run("begin", diff=True)]
    assert outcomes[0].failed
    assert world.new_keys() == []
    begun = world.begin()
    secrets.append(private_key(begun))
    pair = {"new_private_key": secrets[-1]}
    echo = {"status": 400, "code": "EMULATED", "detail": f"{secrets[-1]} {MARK_KEY}"}
    for method in ("PATCH", "DELETE"):
        world.emulator.add_fault(Fault("status", method, KEY, times=1, **echo))
        outcomes.append(world.run("finish", **pair, diff=True))
        assert outcomes[-1].code == "EMULATED"

    def broken_end(*_arguments: Any) -> Any:
        raise RuntimeError(f"{secrets[-1]} {MARK_KEY}")

    with mock.patch.object(_rotation_steps, "_take_steps", broken_end):
        outcomes.append(world.run("finish", **pair, diff=True))
    for outcome in outcomes:
        assert outcome.failed
        for private in (*secrets, MARK_KEY, PRIVATE_KEYS["atlas"]):
            assert private not in outcome.output
            assert "Traceback" not in outcome.output


def test_no_secret_is_in_any_output(world: World) -> None:
    outputs = []
    begun = world.begin(diff=True)
    secret = private_key(begun)
    outputs.append(begun.output.replace(secret, "", 1))
    for more in ({"new_private_key": secret, "grace_period": DAY}, {}):
        outputs.append(world.finish(**more, diff=True).output)
    outputs.append(world.run("roll_back", diff=True).output)
    for output in outputs:
        for private in (secret, MARK_KEY, PRIVATE_KEYS["atlas"]):
            assert private not in output
