# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key_rotation through its main(): each state, each attack, and a kill at each request."""

from __future__ import annotations

import ipaddress
import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _http
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _org_api_keys
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import (
    _marks,
    _rotation,
    _rotation_steps,
)
from tests.emulator import Emulator, Fault
from tests.emulator.state import ApiKey
from tests.support import (
    CLIENT_SECRETS,
    MISSING_ID,
    PLATFORMS,
    PRIVATE_KEYS,
    Outcome,
    VirtualClock,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_module,
    seed,
    service_account,
)

MARK_KEY = "canary-of-the-marks-0123456789"
OWNER, OLD, STRANGER = 1, 2, 3
ADDRESSES = ["127.0.0.0/8", "192.0.2.7"]
DAY = 86400
LAST_YEAR = "2025-11-22T12:00:00Z"
KEYS, KEY = "*/orgs/*/apiKeys", "*/orgs/*/apiKeys/*"


class World:
    """An organization whose key ``victim`` is rotated, and the time of day there."""

    def __init__(self, emulator: Emulator, platform: str = "atlas") -> None:
        self.emulator = emulator
        self.platform = platform
        self.now = int(time.time())
        self.old_id = key_id(platform, OLD)
        self.old.access_list = list(ADDRESSES)

    def clock(self) -> int:
        return self.now

    @property
    def keys(self) -> dict[str, ApiKey]:
        return self.emulator.state.organizations[org_id(self.platform)].api_keys

    @property
    def old(self) -> ApiKey:
        return self.keys[self.old_id]

    def run(self, phase: str, **more: Any) -> Outcome:
        ours = {
            name: more.pop(name) for name in ("check", "diff", "clock", "environ") if name in more
        }
        credential_name = {"api_public_key", "client_id", "access_token"} & more.keys()
        target = {"api_user_id", "public_key", "description"} & more.keys()
        options = {
            "platform": self.platform,
            "base_url": self.emulator.url,
            "org_id": org_id(self.platform),
            "phase": phase,
            "mark_key": MARK_KEY,
            **({} if credential_name else key_pair(self.platform)),
            **({} if target else {"api_user_id": self.old_id}),
            **more,
        }
        options = {name: value for name, value in options.items() if value is not None}
        return run_module("org_api_key_rotation", options, **ours)

    def begin(self, **more: Any) -> Outcome:
        return succeeded(self.run("begin", **more))

    def finish(self, **more: Any) -> Outcome:
        return succeeded(self.run("finish", **more))

    def keep(self) -> dict[str, Any]:
        """What is stored now, to begin there again without the requests that led to it."""
        stored: dict[str, Any] = self.emulator.state.to_seed()
        return stored

    def restore(self, kept: dict[str, Any]) -> None:
        self.emulator.reset(kept)

    def new_keys(self) -> list[ApiKey]:
        """Keys that are not of the seed."""
        seeded = {key_id(self.platform, number) for number in range(1, 8)}
        return [key for key in self.keys.values() if key.id not in seeded]

    def new_key(self) -> ApiKey:
        (key,) = self.new_keys()
        return key

    def put(self, number: int, **values: Any) -> ApiKey:
        """Another key of the organization."""
        key = ApiKey(
            **{
                "id": f"{self.now:08x}{number:016x}",
                "description": "another",
                "public_key": "strange" + "abcdefghij"[number],
                "private_key": f"{number:08d}-2222-4222-8222-222222222222",
                "roles": ["ORG_MEMBER"],
                **values,
            }
        )
        self.keys[key.id] = key
        return key

    def mark(self, phase: str, **values: Any) -> str:
        """A description that carries a mark."""
        secret = values.pop("secret", MARK_KEY)
        facts = {
            "org_id": org_id(self.platform),
            "old_id": self.old_id,
            "new_id": None,
            "time": self.now - 5,
            "tag": b"12345678",
            "base": "victim",
            **values,
        }
        return _marks.describe(_marks.Mark(phase, **facts), _marks.key_of(secret))


def succeeded(outcome: Outcome) -> Outcome:
    assert not outcome.failed, outcome.msg
    return outcome


def refused(outcome: Outcome, kind: str, *ids: str) -> Outcome:
    assert outcome.failed
    error = outcome.result["error"]
    assert error["type"] == kind, outcome.msg
    for key in ids:
        assert key in error["parameters"], outcome.msg
        assert key in outcome.msg
    return outcome


def essence(key: ApiKey) -> tuple[Any, ...]:
    projects = {project: sorted(roles) for project, roles in key.projects.items()}
    return key.description, sorted(key.roles), projects, sorted(key.access_list)


def private_key(outcome: Outcome) -> str:
    return str(outcome.result["key_pair"]["private_key"])


@pytest.fixture
def world(emulator: Emulator) -> Iterator[World]:
    world = World(emulator)
    with mock.patch.object(_rotation_steps, "wall_clock", world.clock):
        yield world


@pytest.fixture(params=PLATFORMS)
def any_world(emulator: Emulator, request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(emulator, request.param)
    with mock.patch.object(_rotation_steps, "wall_clock", world.clock):
        yield world


def test_a_key_is_replaced(any_world: World) -> None:
    world = any_world
    before = essence(world.old)
    begun = world.begin()
    new = world.new_key()
    assert begun.changed
    assert begun.result["state"] == "begun"
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
    again = world.finish()
    assert (again.changed, again.result["state"]) == (False, "none")
    assert new.private_key not in finished.output


def test_the_list_comes_before_the_rights(world: World) -> None:
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
    deadline = _marks.shown(world.now + DAY)
    assert waiting.result["old_until"] == deadline
    world.now += DAY - 1
    # Neither a later value nor another run changes the time.
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
    assert checked.result["org_api_key"]["id"] is None
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


def test_a_verified_replacement_is_not_rolled_back(world: World) -> None:
    begun = world.begin()
    world.finish(new_private_key=private_key(begun), grace_period=DAY)
    new = world.new_key()
    refused(world.run("roll_back"), "guard", new.id)
    refused(world.run("roll_back", successor_id=new.id), "guard", new.id)
    assert new.id in world.keys


def test_the_key_pair_may_go_through_a_file(world: World, tmp_path: Any) -> None:
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
    # It is the only copy of a key pair in use.
    other = world.run("begin", api_user_id=new.id, credentials_file=str(file))
    refused(other, "options")
    assert world.new_key() == replace(new, description="victim")


def test_a_file_that_cannot_be_written_leaves_no_key(world: World, tmp_path: Any) -> None:
    file = tmp_path / "new.json"
    full = OSError(28, "No space left on device")
    with mock.patch.object(_rotation_steps._secret_file, "_create", side_effect=full):
        outcome = refused(world.run("begin", credentials_file=str(file)), "orphan")
    assert "No space left" in outcome.msg
    assert world.new_keys() == []
    assert not outcome.changed


@pytest.mark.parametrize("length", [249, 250])
def test_a_description_without_room_is_refused(world: World, length: int) -> None:
    excess = length - 148
    world.old.description = "d" * length
    outcome = refused(world.run("begin"), "guard", world.old_id)
    assert f"{excess} too many" in outcome.msg
    world.old.description = "d" * 148
    begun = world.begin()
    finished = world.finish(new_private_key=private_key(begun), grace_period=DAY)
    assert len(finished.result["org_api_key"]["description"]) == 250


@pytest.mark.parametrize(
    "target",
    [{"api_user_id": MISSING_ID}, {"public_key": "nosuchke"}, {"description": "nobody has it"}],
)
def test_a_key_that_does_not_exist(world: World, target: dict[str, str]) -> None:
    refused(world.run("begin", **target), "missing")
    for phase in ("finish", "roll_back"):
        outcome = succeeded(world.run(phase, **target))
        assert (outcome.changed, outcome.result["state"]) == (False, "none")
    assert world.emulator.writes == []


def test_by_public_key(world: World) -> None:
    begun = world.begin(api_user_id=None, public_key=public_key("atlas", OLD))
    finished = world.finish(public_key=public_key("atlas", OLD), new_private_key=private_key(begun))
    assert finished.result["state"] == "rotated"


def test_by_description(world: World) -> None:
    for _round in range(2):
        old_ids = {key.id for key in world.keys.values() if key.description == "victim"}
        begun = world.begin(description="victim")
        finished = world.finish(description="victim", new_private_key=private_key(begun))
        assert finished.result["state"] == "rotated"
        assert {finished.result["old_api_user_id"]} == old_ids
        again = world.finish(description="victim")
        assert (again.changed, again.result["state"]) == (False, "none")


def test_several_keys_of_a_description(world: World) -> None:
    for phase in ("begin", "finish", "roll_back"):
        refused(world.run(phase, description="twin"), "ambiguous")


# The signing key and its marks.


def test_the_own_key_needs_allow_own_key(world: World) -> None:
    own = key_pair("atlas", OLD)
    world.old.roles = ["ORG_OWNER"]
    refused(world.run("begin", **own), "own_credential")
    assert world.emulator.writes == []


def own_world(world: World) -> dict[str, Any]:
    world.old.roles = ["ORG_OWNER"]
    return {**key_pair("atlas", OLD), "allow_own_key": True, "mark_key": None}


def test_the_new_pair_revokes_the_signing_key(world: World) -> None:
    own = own_world(world)
    begun = world.begin(**own)
    new = world.new_key()
    finished = world.finish(**own, new_private_key=private_key(begun))
    assert finished.result["state"] == "rotated"
    assert world.old_id not in world.keys
    deleted = [w for w in world.emulator.writes if w.method == "DELETE"]
    assert [w.caller for w in deleted] == [new.public_key]
    assert world.new_key().description == "victim"


def test_the_mark_of_the_signing_key_goes_on_to_the_new_secret(world: World) -> None:
    own = own_world(world)
    begun = world.begin(**own)
    new = world.new_key()
    waiting = world.finish(**own, new_private_key=private_key(begun), grace_period=DAY)
    assert waiting.result["state"] == "waiting"
    # The old pair cannot verify that mark any more, and says so.
    refused(world.run("finish", **own), "guard", new.id)
    world.now += DAY
    refused(world.run("begin", **own), "guard", new.id)
    assert world.finish(**own, new_private_key=private_key(begun), check=True).changed
    pair = {"api_public_key": new.public_key, "api_private_key": new.private_key}
    finished = world.finish(**pair, mark_key=None)
    assert finished.result["state"] == "rotated"
    assert essence(world.new_key())[0] == "victim"


def test_the_signing_key_does_not_revoke_itself(world: World) -> None:
    own = {**own_world(world), "mark_key": MARK_KEY}
    begun = world.begin(**own)
    world.finish(**own, new_private_key=private_key(begun), grace_period=DAY)
    world.now += DAY
    refused(world.run("finish", **own), "own_credential")
    assert world.old_id in world.keys
    assert world.finish(**own, new_private_key=private_key(begun)).result["state"] == "rotated"


def test_marks_are_made_with_the_secret_beside_a_token(world: World) -> None:
    token = fetch_token(world.emulator.url, "atlas")
    by_token = {"access_token": token, "mark_key": None}
    refused(world.run("begin", **by_token), "options")
    assert world.emulator.writes == []
    environ = {
        "MONGODB_ATLAS_CLIENT_ID": service_account("atlas")["client_id"],
        "MONGODB_ATLAS_CLIENT_SECRET": CLIENT_SECRETS["atlas"],
    }
    begun = world.begin(**by_token, environ=environ)
    # The account itself reads it, and so does a run that has another token.
    finished = world.finish(
        **service_account("atlas"), mark_key=None, new_private_key=private_key(begun)
    )
    assert finished.result["state"] == "rotated"
    for secret in (token, CLIENT_SECRETS["atlas"]):
        assert secret not in begun.output + finished.output


def test_a_key_pair_and_an_account_beside_a_token_are_no_default(world: World) -> None:
    environ = {
        "MONGODB_ATLAS_CLIENT_ID": service_account("atlas")["client_id"],
        "MONGODB_ATLAS_CLIENT_SECRET": CLIENT_SECRETS["atlas"],
        "MONGODB_ATLAS_PUBLIC_API_KEY": public_key("atlas", OWNER),
        "MONGODB_ATLAS_PRIVATE_API_KEY": PRIVATE_KEYS["atlas"],
    }
    token = fetch_token(world.emulator.url, "atlas")
    refused(world.run("begin", access_token=token, mark_key=None, environ=environ), "options")


def test_another_credential_does_not_act_on_the_marks(world: World) -> None:
    begun = world.begin(mark_key=None)
    new = world.new_key()
    other = {**key_pair("atlas", 7), "mark_key": None}
    world.keys[key_id("atlas", 7)].access_list = []
    refused(world.run("begin", **other), "guard", new.id)
    refused(world.run("finish", **other, new_private_key=private_key(begun)), "guard", new.id)
    refused(world.run("roll_back", **other), "guard", new.id)
    assert len(world.new_keys()) == 1
    finished = world.finish(**other, new_private_key=private_key(begun), successor_id=new.id)
    assert finished.result["state"] == "rotated"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"mark_key": "fifteen letters"}, "mark_key"),
        ({"mark_key": "  twelve letters     "}, "mark_key"),
        ({"phase": "begin", "successor_id": MISSING_ID}, "successor_id"),
        ({"successor_id": "nonsense"}, "successor_id"),
        ({"phase": "roll_back", "new_private_key": "x" * 36}, "new_private_key"),
        ({"new_private_key": "x" * 36, "credentials_file": "/tmp/x"}, "credentials_file"),
        ({"grace_period": -1}, "grace_period"),
        ({"grace_period": 367 * DAY}, "grace_period"),
        ({"verify_timeout": 0}, "verify_timeout"),
        ({"wait_timeout": 90000}, "wait_timeout"),
        ({"description": "victim", "public_key": "abcdefgh"}, "description"),
        ({"description": "d" * 251}, "description"),
    ],
)
def test_options_are_checked(world: World, more: dict[str, Any], word: str) -> None:
    more = dict(more)
    outcome = refused(world.run(more.pop("phase", "finish"), **more), "options")
    assert word in outcome.msg
    assert world.emulator.requests == []


def test_a_mark_key_that_is_empty_counts_as_not_set(world: World) -> None:
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
def test_a_mark_key_that_nobody_can_mean_is_refused(world: World, value: Any) -> None:
    for phase in ("begin", "finish", "roll_back"):
        outcome = refused(world.run(phase, mark_key=value), "options")
        assert "mark_key" in outcome.msg
        for hidden in ("1234567890123456", "canary-in-a-list"):
            assert hidden not in outcome.output
    assert world.emulator.requests == []


@pytest.mark.parametrize("value", ["", True, "1 day", 0.5])
def test_a_grace_period_that_is_no_number_of_seconds_is_refused(world: World, value: Any) -> None:
    """An empty one would revoke the old key immediately."""
    pair = {"new_private_key": private_key(world.begin())}
    count = len(world.emulator.requests)
    outcome = refused(world.run("finish", **pair, grace_period=value), "options")
    assert "grace_period" in outcome.msg
    assert len(world.emulator.requests) == count


def test_the_secret_beside_a_token_may_be_that_of_the_old_key(world: World) -> None:
    """The marks go on to the new secret, although another credential signs."""
    names = ("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PRIVATE_API_KEY")
    token = {"access_token": fetch_token(world.emulator.url, "atlas"), "mark_key": None}
    old = dict(zip(names, key_pair("atlas", OLD).values(), strict=True))
    begun = world.begin(**token, environ=old)
    new = dict(zip(names, (world.new_key().public_key, private_key(begun)), strict=True))
    world.finish(**token, environ=old, new_private_key=private_key(begun), grace_period=DAY)
    world.now += DAY
    assert world.finish(**token, environ=new).result["state"] == "rotated"
    check_end(world, ("victim", *essence(world.new_key())[1:]))


# Verification of the new key pair.


def new_pair_refused(count: int, **more: Any) -> Fault:
    """The new key's own requests are refused; the only ones for a key that is not of the seed."""
    answer = {"status": 401, "code": "UNEXPECTED_ERROR", **more}
    path = f"{KEYS}/6{23 * '?'}"
    return Fault("status", "GET", path, times=count, **answer)


def test_it_waits_until_the_new_pair_signs(world: World) -> None:
    world.emulator.add_fault(new_pair_refused(3))
    begun = world.begin()
    assert begun.result["verification"]["waited"] == pytest.approx(0.25 + 0.5 + 1, abs=0.1)
    assert begun.result["verification"]["refusal"] is None


def test_a_pair_that_does_not_sign_is_handed_to_nobody(world: World) -> None:
    real = _rotation_steps.client_of

    def client_of(api: Any, connection: Any, pair: Any) -> Any:
        return real(api, connection, replace(pair, private_key="not the one of this key"))

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


def test_an_address_that_is_listed_is_waited_for(world: World) -> None:
    refusal = {"status": 403, "code": "IP_ADDRESS_NOT_ON_ACCESS_LIST", "parameters": ["127.0.0.1"]}
    world.emulator.add_fault(new_pair_refused(2, **refusal))
    begun = world.begin()
    assert begun.result["verification"]["refusal"] is None
    world.emulator.add_fault(new_pair_refused(99, **refusal))
    outcome = world.run("finish", new_private_key=private_key(begun), verify_timeout=5)
    assert outcome.code == "IP_ADDRESS_NOT_ON_ACCESS_LIST"
    refused(outcome, "timeout")
    assert "127.0.0.1" in outcome.msg


def test_a_wrong_pair_of_a_key_for_other_machines_is_not_verified(world: World) -> None:
    world.old.access_list = ["192.0.2.0/24"]
    world.begin()
    wrong = "ca11ab1e-0000-4000-8000-ffffffffffff"
    refused(world.run("finish", new_private_key=wrong, verify_timeout=2), "timeout")
    assert world.old_id in world.keys


def test_a_role_that_may_not_read_is_verified(world: World) -> None:
    world.emulator.add_fault(new_pair_refused(1, status=403, code="USER_UNAUTHORIZED"))
    assert world.begin().result["verification"]["refusal"] == "USER_UNAUTHORIZED"


def test_a_wrong_private_key_ends_nothing(world: World) -> None:
    world.begin()
    wrong = "ca11ab1e-0000-4000-8000-ffffffffffff"
    outcome = world.run("finish", new_private_key=wrong, verify_timeout=2)
    refused(outcome, "timeout")
    assert world.old_id in world.keys
    assert wrong not in outcome.output


def test_finish_needs_the_pair_before_it_is_verified(world: World) -> None:
    world.begin()
    refused(world.run("finish"), "options")
    assert world.old_id in world.keys


# Attacks: text that someone else has written, or put back.


def looks_like(world: World) -> dict[str, str]:
    """Descriptions of a stranger's key, none of which this credential has made."""
    creating = world.mark("creating", secret="another secret of somebody")
    return {
        "of 1.2.2, created": f"victim (successor of {world.old_id}: created)",
        "of 1.2.2, storing": f"victim (successor of {world.old_id}: storing)",
        "of 1.2.2, old until": f"victim (successor of {world.old_id}: old until {LAST_YEAR})",
        "nonsense": f"victim (successor of {world.old_id}: )",
        "another secret": creating,
        "forged": creating[:-5] + "AAAA)",
        "another organization": world.mark("creating", org_id=org_id("ops_manager")),
        "verified, for another key": world.mark("verified", new_id=MISSING_ID, time=1),
        "created, for another key": world.mark("created", new_id=MISSING_ID),
        "verified, without a key": world.mark("verified", time=1),
    }


@pytest.mark.parametrize(
    ("number", "by"),
    [*((n, "api_user_id") for n in range(10)), *((n, "description") for n in (2, 4, 6, 9))],
)
def test_a_mark_that_does_not_verify_is_never_acted_on(world: World, number: int, by: str) -> None:
    text = list(looks_like(world).values())[number]
    stranger = world.put(0, description=text)
    target = {by: {"api_user_id": world.old_id, "description": "victim"}[by]}
    for phase in ("begin", "finish", "roll_back"):
        refused(world.run(phase, **target), "guard", stranger.id)
    assert world.emulator.writes == []
    begun = world.begin(**target, ignore_marks=True)
    (new,) = (key for key in world.new_keys() if key.id != stranger.id)
    assert [item["id"] for item in begun.result["left"]] == [stranger.id]
    assert begun.result["left"][0]["reason"] == "unverified_mark"
    pair = {"new_private_key": private_key(begun)}
    refused(world.run("finish", **target, **pair), "guard", stranger.id)
    finished = world.finish(**target, **pair, successor_id=new.id)
    assert finished.result["state"] == "rotated"
    assert stranger.id in world.keys
    assert world.keys[stranger.id].description == text
    assert world.keys[new.id].description == "victim"


def test_a_squatted_replacement_gets_nothing(world: World) -> None:
    """The attack of the name: the stranger's key, instead of the old one, with its own pair."""
    text = f"victim (successor of {world.old_id}: old until {LAST_YEAR})"
    stranger = world.put(0, description=text)
    outcome = world.run("finish", successor_id=stranger.id, new_private_key=stranger.private_key)
    # Even named explicitly, it does not have the rights of the old key.
    refused(outcome, "guard", stranger.id)
    assert world.old_id in world.keys
    assert world.keys[stranger.id].description == text


def test_a_mark_that_was_copied_to_a_key_is_reported(world: World) -> None:
    """The mark of a POST has no ID, so it verifies on another key too."""
    creating = world.mark("creating")
    one, other = (world.put(n, description=creating) for n in range(2))
    begun = world.begin()
    left = {item["id"]: item["reason"] for item in begun.result["left"]}
    assert left == {one.id: "unclear_origin", other.id: "unclear_origin"}
    assert {one.id, other.id} <= world.keys.keys()


@pytest.mark.parametrize("age", [-1, 0, 600, 601])
def test_a_key_made_at_another_time_is_reported(world: World, age: int) -> None:
    creating = world.mark("creating", time=world.now - age)
    made = world.put(0, description=creating)
    begun = world.begin()
    is_revoked = 0 <= age <= 600
    assert (made.id not in world.keys) is is_revoked
    assert bool(begun.result["left"]) is not is_revoked
    assert ("revoke_leftover" in str(begun.result["actions"])) is is_revoked


@pytest.mark.parametrize(
    "rights", [{"roles": ["ORG_READ_ONLY"]}, {"projects": {project_id("atlas"): ["GROUP_OWNER"]}}]
)
def test_a_key_with_rights_is_not_one_that_was_just_created(
    world: World, rights: dict[str, Any]
) -> None:
    made = world.put(0, description=world.mark("creating"), **rights)
    begun = world.begin()
    assert [item["id"] for item in begun.result["left"]] == [made.id]
    assert made.id in world.keys


def history(world: World) -> tuple[str, list[str], ApiKey]:
    """Rotate with a grace period; return the pair's secret and every description there was."""
    begun = world.begin()
    issued = world.new_key().description
    world.finish(new_private_key=private_key(begun), grace_period=DAY)
    bodies = [w.body.decode() for w in world.emulator.writes if b"successor of" in w.body]
    found = [json.loads(body)["desc"] for body in bodies]
    assert found[2] == issued
    assert len(found) == 4
    return private_key(begun), found, world.new_key()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_mark_that_was_put_back_ends_nothing(world: World, number: int) -> None:
    """By someone who may rename keys, while the replacement is in use."""
    _secret, found, new = history(world)
    new = world.new_key()
    new.description = found[number]
    refused(
        world.run("roll_back") if number == 2 else world.run("finish"),
        *(("guard", new.id) if number == 2 else ("missing",)),
    )
    begun = world.begin()
    assert new.id in world.keys
    assert [item["id"] for item in begun.result["left"]] == [new.id]
    succeeded(world.run("roll_back", successor_id=begun.result["org_api_key"]["id"]))
    assert {new.id, world.old_id} <= world.keys.keys()


def test_a_mark_that_was_moved_to_another_key_ends_nothing(world: World) -> None:
    """Each mark that there was, on a stranger's key that has the same rights."""
    _secret, found, new = history(world)
    rights = {"roles": list(new.roles), "projects": dict(new.projects)}
    stranger = world.put(0, **rights, access_list=list(new.access_list))
    new.description = "moved"
    world.now += DAY
    for text in found[1:]:
        stranger.description = text
        for target in ({"api_user_id": world.old_id}, {"description": "victim"}):
            for phase in ("begin", "finish", "roll_back"):
                refused(world.run(phase, **target), "guard", stranger.id)
    stranger.description = found[0]
    refused(world.run("finish"), "missing")
    begun = world.begin()
    assert [item["reason"] for item in begun.result["left"]] == ["unclear_origin"]
    assert {stranger.id, new.id, world.old_id} <= world.keys.keys()


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    ("roles", "age"),
    [(["ORG_MEMBER", "ORG_GROUP_CREATOR"], 7200), (["ORG_MEMBER"], 1), (["ORG_MEMBER"], 3601)],
)
def test_a_mark_put_back_without_the_projects(
    world: World, number: int, roles: list[str], age: int
) -> None:
    """Those who administer all projects of a key can take all its rights there away."""
    world.old.roles = roles
    _secret, found, new = history(world)
    new.projects.clear()
    new.description = found[number]
    world.now = int(new.id[:8], 16) + age
    begun = world.begin()
    assert [item["id"] for item in begun.result["left"]] == [new.id]
    assert {world.old_id, new.id} <= world.keys.keys()


def test_a_leftover_with_a_role_in_the_organization_is_revoked_at_any_time(world: World) -> None:
    assert is_killed(world, 5, "begin")
    leftover = world.new_key()
    assert ": created " in leftover.description
    world.now += 30 * DAY
    begun = world.begin()
    assert begun.result["left"] == []
    assert leftover.id not in world.keys


def test_who_uses_the_new_pair_cannot_make_marks(world: World) -> None:
    """The application that has the new pair, together with someone who may rename its key."""
    begun = world.begin(mark_key=None)
    secret, new = private_key(begun), world.new_key()
    old = _org_api_keys.OrgApiKey(
        world.old_id,
        "victim",
        None,
        tuple(world.old.roles),
        tuple((project, tuple(roles)) for project, roles in world.old.projects.items()),
    )
    entries = frozenset(map(ipaddress.ip_network, ADDRESSES))
    tag = _rotation.tag(_marks.key_of(secret), old, entries)
    new.description = world.mark("verified", secret=secret, new_id=new.id, tag=tag)
    finish = {"mark_key": None, "new_private_key": secret, "grace_period": DAY}
    refused(world.run("finish", **finish), "guard", new.id)
    assert world.old_id in world.keys
    refused(world.run("begin", mark_key=None), "guard", new.id)
    # The owner knows which key it is, and the grace period begins now.
    finished = world.finish(**finish, successor_id=new.id)
    assert finished.result["state"] == "waiting"
    assert finished.result["old_until"] == _marks.shown(world.now + DAY)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_mark_that_is_put_back_after_the_rotation_ends_nothing(world: World, number: int) -> None:
    _secret, found, _new = history(world)
    world.now += DAY
    world.finish()
    new = world.new_key()
    for target in ({"api_user_id": world.old_id}, {"description": "victim"}):
        world.new_key().description = found[number]
        for phase in ("begin", "roll_back", "finish"):
            outcome = world.run(phase, **target)
            assert not outcome.changed or phase == "finish"
            assert new.id in world.keys
        if number == 3:
            # That is what the mark says, and all that it can do.
            assert world.new_key().description == "victim"
    # The replacement is now the key to be rotated.
    world.new_key().description = found[number]
    refused(world.run("begin", api_user_id=new.id), "guard", new.id)


def test_an_earlier_end_cannot_be_put_back(world: World) -> None:
    """It is written once only."""
    secret, _found, _new = history(world)
    for grace in (0, 3 * DAY):
        world.finish(new_private_key=secret, grace_period=grace)
    bodies = [w.body.decode() for w in world.emulator.writes]
    assert sum(": verified " in body for body in bodies) == 1
    assert world.old_id in world.keys


@pytest.mark.parametrize(
    "change",
    [
        {"description": "renamed"},
        {"roles": ["ORG_MEMBER"]},
        {"roles": ["ORG_MEMBER", "ORG_GROUP_CREATOR", "ORG_READ_ONLY"]},
        {"projects": {}},
        {"access_list": ["127.0.0.0/8"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("grace", [0, DAY])
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
    # The way out that the message names.
    assert "org_api_key" in outcome.msg
    del world.keys[world.old_id]
    assert world.finish(**pair).result["state"] == "rotated"
    assert world.new_key().description == "victim"


@pytest.mark.parametrize("by", ["api_user_id", "description"])
def test_an_old_key_that_was_renamed_is_found_by_its_id(world: World, by: str) -> None:
    """Another key has its description now, which is not rotated instead."""
    begun = world.begin()
    world.old.description = "renamed"
    target = {by: {"api_user_id": world.old_id, "description": "victim"}[by]}
    pair = {"new_private_key": private_key(begun)}
    refused(world.run("finish", **target, **pair), "guard", world.old_id)
    other = world.put(0, description="victim")
    for phase, more in (("begin", {}), ("finish", pair), ("roll_back", {})):
        if by == "description":
            refused(world.run(phase, **target, **more), "ambiguous", other.id)
    assert {world.old_id, other.id} <= world.keys.keys()


def test_a_replacement_with_more_rights_is_not_finished(world: World) -> None:
    begun = world.begin()
    world.new_key().roles.append("ORG_OWNER")
    pair = {"new_private_key": private_key(begun)}
    outcome = refused(world.run("finish", **pair), "guard", world.new_key().id)
    assert "ORG_OWNER" in outcome.msg
    assert world.old_id in world.keys
    world.new_key().roles.remove("ORG_OWNER")
    assert world.finish(**pair).result["state"] == "rotated"


@pytest.mark.parametrize(
    ("entries", "is_refused"),
    [
        ([], True),
        ([*ADDRESSES, "198.51.100.1"], True),
        (["0.0.0.0/0"], True),
        (["126.0.0.0/7"], True),
        ([*ADDRESSES, "::/0"], True),
        (["127.0.0.1", "192.0.2.7/32"], False),
    ],
    ids=str,
)
@pytest.mark.parametrize("has_mark", [True, False])
def test_a_replacement_with_a_wider_access_list_is_not_finished(
    world: World, entries: list[str], is_refused: bool, has_mark: bool
) -> None:
    begun = world.begin()
    new = world.new_key()
    new.access_list = entries
    pair = {"new_private_key": private_key(begun)}
    if not has_mark:
        new.description = f"victim (successor of {world.old_id}: storing)"
        pair["successor_id"] = new.id
    if not is_refused:
        assert world.finish(**pair).result["state"] == "rotated"
        return
    refused(world.run("finish", **pair), "guard", world.old_id, new.id)
    assert world.old_id in world.keys
    new.access_list = list(ADDRESSES)
    assert world.finish(**pair).result["state"] == "rotated"


def test_a_list_that_is_shown_late_is_waited_for(world: World) -> None:
    begun = world.begin()
    empty = {"results": [], "totalCount": 0}
    path = f"*/apiKeys/{world.new_key().id}/accessList"
    world.emulator.add_fault(Fault("json", "GET", path, times=2, status=200, body=empty))
    finished = world.finish(new_private_key=private_key(begun))
    assert finished.result["state"] == "rotated"
    assert finished.clock.time - 1000 >= 0.25 + 0.5


def test_a_list_may_be_as_wide_as_that_of_the_old_key(world: World) -> None:
    world.old.access_list = []
    begun = world.begin()
    world.new_key().access_list = ["127.0.0.1"]
    assert world.finish(new_private_key=private_key(begun)).result["state"] == "rotated"


def test_begin_does_not_replace_a_key_that_was_renamed(world: World) -> None:
    """By its description, a mark leads to it, and says what it was called."""
    world.begin()
    new = world.new_key()
    world.old.description = "renamed"
    count = len(world.emulator.writes)
    refused(world.run("begin", description="victim"), "guard", world.old_id)
    assert len(world.emulator.writes) == count
    assert world.begin().result["left"][0]["id"] == new.id


def test_an_explicit_id_needs_the_description_of_the_task(world: World) -> None:
    del world.keys[world.old_id]
    text = f"other (successor of {world.old_id}: storing)"
    stranger = world.put(0, description=text)
    pair = {"successor_id": stranger.id, "new_private_key": stranger.private_key}
    refused(world.run("finish", description="victim", **pair), "guard", stranger.id)
    assert world.keys[stranger.id].description == text


def test_what_is_left_is_reported_while_the_old_key_is_kept(world: World) -> None:
    world.begin()
    first = world.new_key().id
    begun = world.begin()
    new_id = begun.result["org_api_key"]["id"]
    finish = {"new_private_key": private_key(begun), "successor_id": new_id}
    for waiting in (world.finish(**finish, grace_period=DAY), world.begin()):
        assert waiting.result["state"] == "waiting"
        assert [item["id"] for item in waiting.result["left"]] == [first]


def test_rights_that_are_taken_meanwhile_are_not_copied(world: World) -> None:
    """Here by the answer to the request that assigns the replacement."""
    real = _rotation_steps._assignments.assign_all

    def assign(*arguments: Any) -> bool:
        world.old.roles = ["ORG_MEMBER"]
        return bool(real(*arguments))

    with mock.patch.object(_rotation_steps._assignments, "assign_all", assign):
        refused(world.run("begin"), "guard", world.old_id)
    assert world.new_keys() == []


def test_a_new_key_that_got_more_rights_is_not_handed_over(world: World) -> None:
    real = _rotation_steps._org_api_keys.update

    def update(*arguments: Any) -> Any:
        changed = real(*arguments)
        world.new_key().projects["5a00000000000000000000bb"] = ["GROUP_OWNER"]
        return changed

    with mock.patch.object(_rotation_steps._org_api_keys, "update", update):
        outcome = world.run("begin")
    refused(outcome, "guard")
    assert world.new_keys() == []


def test_the_role_that_the_api_adds_is_no_difference(world: World) -> None:
    world.emulator.settings.adds_org_member = True
    world.old.roles = ["ORG_READ_ONLY"]
    begun = world.begin()
    assert sorted(world.new_key().roles) == ["ORG_MEMBER", "ORG_READ_ONLY"]
    assert world.finish(new_private_key=private_key(begun)).result["state"] == "rotated"


def test_the_replacement_cannot_be_its_own_old_key(world: World) -> None:
    begun = world.begin()
    new = world.new_key()
    outcome = world.run(
        "finish",
        public_key=new.public_key,
        successor_id=new.id,
        new_private_key=private_key(begun),
    )
    refused(outcome, "options")
    refused(world.run("begin", api_user_id=new.id), "guard", new.id)
    refused(world.run("finish", successor_id=key_id("atlas", STRANGER)), "guard")
    refused(world.run("roll_back", successor_id=key_id("atlas", STRANGER)), "guard")
    assert {new.id, world.old_id} <= world.keys.keys()


def test_a_replacement_is_not_revoked_without_an_old_key(world: World) -> None:
    world.begin()
    new = world.new_key()
    del world.keys[world.old_id]
    refused(world.run("roll_back", successor_id=new.id), "guard", new.id)
    refused(world.run("begin"), "guard", new.id)
    assert new.id in world.keys


# Kills: a process that ends without a word, before any of its requests, or after the last one. That
# is also the end after the request before, since nothing happens in between.


class Killed(BaseException):
    """The end of the process."""


@contextmanager
def killed_at(number: int) -> Iterator[None]:
    """End before the request of this number."""
    real, count = _http.Http.send, 0

    def send(*arguments: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            raise Killed
        return real(*arguments, **more)

    with mock.patch.object(_http.Http, "send", send):
        yield


def is_killed(world: World, number: int, phase: str, **more: Any) -> bool:
    with killed_at(number):
        try:
            succeeded(world.run(phase, **more))
        except Killed:
            return True
    return False


def check_end(world: World, expected: tuple[Any, ...], left: Collection[str] = ()) -> None:
    """The old key is gone, and one key is like it; those that may be in use are there still."""
    assert world.old_id not in world.keys
    (key,) = (key for key in world.new_keys() if key.id not in left)
    assert essence(key) == expected
    assert {*left} <= world.keys.keys()


def test_after_a_kill_in_begin_the_next_run_replaces_the_key(world: World) -> None:
    seen: list[str] = []
    number, should_continue = 0, True
    while should_continue:
        number += 1
        world = fresh(world)
        before = essence(world.old)
        should_continue = is_killed(world, number, "begin")
        assert essence(world.old) == before
        seen += [key.description.partition(": ")[2].split(" ")[0] for key in world.new_keys()]
        # One that was issued may be in use: the killed process may have said its key pair.
        left = [key.id for key in world.new_keys() if ": issued " in key.description]
        begun = world.begin()
        assert [item["id"] for item in begun.result["left"]] == left
        finished = world.finish(
            new_private_key=private_key(begun),
            successor_id=begun.result["org_api_key"]["id"],
        )
        assert finished.result["state"] == "rotated"
        check_end(world, before, left)
    assert number > 10
    assert {*seen} == {"creating", "created", "issued"}


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("grace", [0, DAY])
def test_after_a_kill_in_finish_the_next_run_goes_on(world: World, grace: int, own: bool) -> None:
    options = own_world(world) if own else {}
    before = essence(world.old)
    pair = {"new_private_key": private_key(world.begin(**options))}
    in_use, kept = world.new_key(), world.keep()
    number, should_continue = 0, True
    while should_continue:
        number += 1
        world.restore(kept)
        more = options
        should_continue = is_killed(world, number, "finish", **more, **pair, grace_period=grace)
        if own and world.old_id not in world.keys:
            more = {"api_public_key": in_use.public_key, "mark_key": None}
            more["api_private_key"] = in_use.private_key
        again = world.run("begin", **more)
        if again.result.get("state") == "begun":
            new_id = again.result["org_api_key"]["id"]
            succeeded(world.run("roll_back", **more, successor_id=new_id))
        assert in_use.id in world.keys
        finished = world.finish(**more, **pair, grace_period=grace)
        if grace:
            assert finished.result["state"] == "waiting"
            world.now += DAY
            finished = world.finish(**more, **pair)
        assert finished.result["state"] in {"rotated", "none"}
        check_end(world, before)
    assert number > 4


def test_after_a_kill_in_the_last_run_the_next_one_ends_it(world: World) -> None:
    before = essence(world.old)
    start(world, "finish later")
    kept = world.keep()
    number, should_continue = 0, True
    while should_continue:
        number += 1
        world.restore(kept)
        should_continue = is_killed(world, number, "finish")
        assert world.finish().result["state"] in {"rotated", "none"}
        check_end(world, before)
    assert number > 3


def test_after_a_kill_in_roll_back_the_next_one_ends_it(world: World) -> None:
    before = essence(world.old)
    new_id = start(world, "roll_back")["successor_id"]
    kept = world.keep()
    number, should_continue = 0, True
    while should_continue:
        number += 1
        world.restore(kept)
        should_continue = is_killed(world, number, "roll_back", successor_id=new_id)
        succeeded(world.run("roll_back", successor_id=new_id))
        assert world.new_keys() == []
        assert essence(world.old) == before
    assert number > 2


PHASES = ("begin", "finish", "finish later", "roll_back")


def start(world: World, phase: str) -> dict[str, Any]:
    """Bring a rotation to where a phase begins; return the options of that phase."""
    if phase == "begin":
        return {}
    begun = world.begin()
    pair = {"new_private_key": private_key(begun)}
    if phase == "finish later":
        world.finish(**pair, grace_period=DAY)
        world.now += DAY
        return {}
    return pair if phase == "finish" else {"successor_id": begun.result["org_api_key"]["id"]}


@pytest.mark.parametrize("then", ["begin", "finish", "roll_back"])
@pytest.mark.parametrize("phase", PHASES)
def test_after_a_kill_any_phase_may_follow(world: World, phase: str, then: str) -> None:
    """None ends a key that may be in use, or leaves one that nobody knows of."""
    expected = essence(world.old)
    more = start(world, phase)
    in_use, kept = {key.id for key in world.new_keys()}, world.keep()
    number, should_continue = 0, True
    while should_continue:
        number += 1
        world.restore(kept)
        should_continue = is_killed(world, number, phase.partition(" ")[0], **more)
        new_ids = {key.id for key in world.new_keys()}
        had_old = world.old_id in world.keys
        outcome = world.run(then)
        if outcome.failed:
            # What is to be decided is the user's, and the message has the key.
            kind = {"finish": {"missing", "options"}}.get(then, {"missing", "guard"})
            assert outcome.result["error"]["type"] in kind, outcome.msg
            assert not outcome.changed
        if phase != "roll_back":
            assert in_use <= world.keys.keys()
        # A key with all rights is there, and none has others.
        assert (world.old_id in world.keys) or expected[1:] in [
            essence(world.keys[key])[1:] for key in in_use
        ]
        if had_old and world.old_id not in world.keys:
            assert (phase.partition(" ")[0], then) == ("finish", "finish")
        for key in world.new_keys():
            assert {*key.roles} <= {*expected[1]}
            assert not key.roles or key.access_list in ([], ADDRESSES)
        # Whatever is left is reported.
        told = outcome.output
        for key in world.new_keys():
            assert key.id in told or key.description == "victim" or key.id not in new_ids


def fresh(world: World) -> World:
    """The same world as at first; its clock is that of the test."""
    world.emulator.reset(seed())
    world.old.access_list = list(ADDRESSES)
    return world


@pytest.mark.parametrize("by", ["api_user_id", "public_key", "description"])
def test_a_kill_before_the_last_request_of_a_rotation(world: World, by: str) -> None:
    """A public key does not lead to the mark, since its key is gone."""
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
    assert world.run("finish", **target, **pair).code == "EMULATED"
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


@contextmanager
def another_run_at(number: int, act: Callable[[], Any]) -> Iterator[None]:
    """Do something before the request of this number, and before no other."""
    real, count = _http.Http.send, 0

    def send(*arguments: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            act()
        return real(*arguments, **more)

    with mock.patch.object(_http.Http, "send", send):
        yield


@pytest.mark.parametrize(
    ("phase", "other"),
    [
        ("begin", "begin"),
        ("begin", "roll_back"),
        ("finish", "begin"),
        ("finish", "finish"),
        ("finish later", "finish"),
    ],
)
def test_another_run_at_the_same_time_takes_no_working_key(
    world: World, phase: str, other: str
) -> None:
    """The other one runs as a whole, between any two requests of the first."""
    expected = essence(world.old)
    more = start(world, phase)
    others = more if other == "finish" else {}
    kept = world.keep()
    number, should_continue = 0, True
    while should_continue:
        number += 1
        world.restore(kept)
        seen: list[Outcome] = []
        run_other = partial(world.run, other, **others)
        with another_run_at(number, lambda run=run_other, to=seen: to.append(run())):
            outcome = world.run(phase.partition(" ")[0], **more)
        should_continue = bool(seen)
        pairs = [run.result["key_pair"]["api_user_id"] for run in (outcome, *seen) if is_begun(run)]
        for key in world.new_keys():
            assert {*key.roles} <= {*expected[1]}
        # Whoever was given a key pair has one that works, and somebody has all rights.
        assert {*pairs} <= world.keys.keys()
        assert expected[1:] in [essence(key)[1:] for key in (*world.keys.values(),)]
        if world.old_id not in world.keys:
            assert "finish" in (phase.partition(" ")[0], other)


def is_begun(outcome: Outcome) -> bool:
    return "key_pair" in outcome.result


# Failures: a process that goes on.


def test_after_a_failure_in_begin_nothing_is_left(world: World) -> None:
    before = essence(world.old)
    for number in range(1, 30):
        world = fresh(world)
        world.emulator.add_fault(
            Fault("status", "*", "*", after=number - 1, status=400, code="EMULATED")
        )
        outcome = world.run("begin")
        if not outcome.failed:
            break
        assert outcome.code == "EMULATED"
        assert not outcome.changed
        assert world.new_keys() == []
        assert essence(world.old) == before
    assert number > 8


@pytest.mark.parametrize("fault", ["lost_after", "lost_before"])
def test_each_response_to_begin_may_be_lost(world: World, fault: str) -> None:
    """The task ends well, or it says what is left, which the next run deals with."""
    number, should_continue = 0, True
    while should_continue:
        world = fresh(world)
        before = essence(world.old)
        world.emulator.add_fault(Fault(fault, after=number, times=1))
        begun = world.run("begin")
        number += 1
        should_continue = number <= len([r for r in world.emulator.requests if r.status != 401])
        world.emulator.clear_faults()
        assert essence(world.old) == before
        if begun.failed:
            assert world.new_keys() == []
            assert not begun.changed
        else:
            assert essence(world.new_key())[1:] == before[1:]
    assert number > 10


@pytest.mark.parametrize("fault", ["lost_after", "lost_before"])
def test_each_response_to_finish_may_be_lost(world: World, fault: str) -> None:
    for number in range(9):
        world = fresh(world)
        before = essence(world.old)
        pair = {"new_private_key": private_key(world.begin())}
        in_use = world.new_key().id
        world.emulator.add_fault(Fault(fault, after=number, times=1))
        finished = world.run("finish", **pair)
        world.emulator.clear_faults()
        assert in_use in world.keys
        if finished.failed:
            finished = world.finish(**pair)
        assert finished.result["state"] in {"rotated", "none"}
        check_end(world, before)


@pytest.mark.parametrize("fault", ["lost_after", "lost_before"])
def test_a_lost_response_to_the_creation_leaves_nothing(world: World, fault: str) -> None:
    world.emulator.add_fault(Fault(fault, "POST", KEYS))
    outcome = refused(world.run("begin"), "orphan")
    assert world.new_keys() == []
    assert not outcome.changed


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


def test_a_key_without_rights_is_reported_and_not_revoked(world: World) -> None:
    """Nothing but its mark tells whether its pair is in use."""
    world.old.roles, world.old.projects = ["ORG_MEMBER"], {}
    assert is_killed(world, 6, "begin")
    new = world.new_key()
    begun = world.begin()
    assert [item["id"] for item in begun.result["left"]] == [new.id]
    assert new.id in world.keys


def test_what_another_run_is_creating_is_not_revoked_under_its_hands(world: World) -> None:
    assert is_killed(world, 5, "begin")
    new = world.new_key()
    real = _rotation_steps._resource.find_by_id

    def find(*arguments: Any) -> Any:
        new.roles = ["ORG_MEMBER", "ORG_READ_ONLY"]
        return real(*arguments)

    with mock.patch.object(_rotation_steps._resource, "find_by_id", find):
        refused(world.run("begin"), "guard", new.id)
    assert new.id in world.keys


def test_changes_that_are_seen_late(world: World) -> None:
    """The clock of the emulator is the module's, so that waiting helps."""
    clock = VirtualClock()
    world.emulator.clock = clock.now
    world.emulator.settings.visibility_delay = 3.0
    begun = world.begin(clock=clock)
    assert "warnings" not in begun.result
    finished = world.finish(clock=clock, new_private_key=private_key(begun))
    assert finished.result["state"] == "rotated"
    assert world.old_id not in world.keys


def test_a_key_that_another_run_revokes_is_not_handed_over(world: World) -> None:
    real = _rotation_steps._org_api_keys.update

    def update(*arguments: Any) -> Any:
        changed = real(*arguments)
        if ": issued " in changed.description:
            del world.keys[changed.id]
        return changed

    with mock.patch.object(_rotation_steps._org_api_keys, "update", update):
        outcome = refused(world.run("begin"), "guard")
    assert "another" in outcome.msg or "other run" in outcome.msg
    assert not outcome.changed
    assert world.new_keys() == []


def test_a_rollback_by_id_needs_nothing_of_the_old_key(world: World) -> None:
    new_id = world.begin().result["org_api_key"]["id"]
    refusal = Fault("status", "GET", "*/accessList", status=403, code="EMULATED")
    world.emulator.add_fault(refusal)
    done = succeeded(world.run("roll_back", successor_id=new_id))
    assert done.result["state"] == "rolled_back"


def asked(world: World) -> list[str]:
    """The requests so far, without those that were only asked for a signature."""
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


def test_a_rotation_sends_no_request_in_vain(world: World) -> None:
    world.emulator.state.organizations[org_id("atlas")].projects[
        project_id("atlas")[:-2] + "bb"
    ] = "b"
    world.old.projects[project_id("atlas")[:-2] + "bb"] = ["GROUP_READ_ONLY"]
    world.old.access_list.append("198.51.100.0/24")
    begun = world.begin()
    assert asked(world) == [
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
    assert asked(world) == [
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
    "brackets at the end": "x (((",
    "line breaks": "one\ntwo\r\nthree",
    "line break at the end": "one\n",
    "separators": "a\u2028b\u2029c\x85d",
    "blanks": "  two blanks  ",
    "half of a pair": "half \ud83d of a pair",
    "beyond the BMP": "\U0001f511" * 148,
    "three bytes each": "\u20ac" * 148,
    "decomposed": "e\u0301" * 74,
    "NUL": "a\0b",
    "template": "{{ 1 + 1 }} {% raw %}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_description_may_be_any_text(world: World, name: str) -> None:
    world.old.description = TEXTS[name]
    # No database keeps half of a pair, and the client reads it as this.
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


def test_a_description_that_the_api_counts_in_another_way_leaves_nothing(world: World) -> None:
    """Here in UTF-16 units: the POST's mark is as long as the longest, so nothing fails later."""
    lengths = {len(world.mark(phase, new_id=world.old_id)) for phase in ("creating", "verified")}
    assert len(lengths) == 1
    world.old.description = "\U0001f511" * 148
    too_long = Fault("status", "POST", KEYS, status=400, code="INVALID_API_KEY_DESC")
    world.emulator.add_fault(too_long)
    outcome = world.run("begin")
    assert outcome.code == "INVALID_API_KEY_DESC"
    assert not outcome.changed
    assert world.new_keys() == []


@pytest.mark.parametrize("now", [0, 951782400, 2**31 + 5, 4102444800, 4294967295, 253402214400])
def test_any_time_of_day(world: World, now: int) -> None:
    """Of a machine whose clock is wrong, or of one in the future."""
    expected = essence(world.old)
    world.now = now
    begun = world.begin()
    waiting = world.finish(new_private_key=private_key(begun), grace_period=60)
    assert waiting.result["state"] == "waiting"
    assert waiting.result["old_until"] == _marks.shown(now + 60)
    world.now = now + 59
    assert world.finish().result["state"] == "waiting"
    world.now = now + 60
    assert world.finish().result["state"] == "rotated"
    check_end(world, expected)


# Not at the limits of 540 s back and 60 s ahead: a busy machine may take seconds in between.
@pytest.mark.parametrize("skew", [-DAY, -3600, -400, -59, 0, 50, 3600, DAY])
def test_a_clock_that_differs_from_that_of_the_api(world: World, skew: int) -> None:
    """A key that cannot be recognized as a leftover for that reason is reported."""
    real = world.now
    world.now = real + skew
    assert is_killed(world, 4, "begin")
    (leftover,) = world.new_keys()
    assert ": creating " in leftover.description
    begun = world.begin()
    is_revoked = leftover.id not in world.keys
    assert is_revoked is (-400 <= skew <= 50)
    assert ([item["id"] for item in begun.result["left"]] == [leftover.id]) is not is_revoked


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Apia"])
def test_no_time_depends_on_the_zone(world: World, zone: str) -> None:
    """Now, and in the hour that a change of the clocks takes away or repeats."""
    for moment in (1_793_494_800, 1_772_953_200):
        world = fresh(world)
        world.now = moment
        begun = world.begin(environ={"TZ": zone})
        waiting = world.finish(
            new_private_key=private_key(begun), grace_period=3600, environ={"TZ": zone}
        )
        assert waiting.result["old_until"] == _marks.shown(moment + 3600)
        world.now += 3599
        assert world.finish(environ={"TZ": "UTC"}).result["state"] == "waiting"
        world.now += 1
        assert world.finish(environ={"TZ": "UTC"}).result["state"] == "rotated"


def test_no_secret_is_in_the_output_of_a_failure(world: World) -> None:
    """Whatever goes wrong, also by a mistake of this collection that quotes what it has."""
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

    with mock.patch.object(_rotation_steps, "_end", broken_end):
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
