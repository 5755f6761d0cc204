# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations under attack: marks and rights that someone else has written or restored."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _org_api_keys
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import (
    _marks,
    _rotation,
    _rotation_steps,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import to_date
from tests.emulator import Emulator
from tests.emulator.state import ApiKey
from tests.rotation_world import (
    ADDRESSES,
    DAY,
    STRANGER,
    World,
    private_key,
    refused,
    succeeded,
    world_of,
)
from tests.support import MISSING_ID, key_id, org_id

LAST_YEAR = "2025-11-22T12:00:00Z"


@pytest.fixture
def world(emulator: Emulator) -> Iterator[World]:
    with world_of(emulator) as world:
        yield world


def looks_like(world: World) -> dict[str, str]:
    """Return descriptions of a stranger's key, none of which this credential has written."""
    creating = world.mark("creating", secret="another secret of someone")
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
    """The stranger's key pair is passed as that of the replacement."""
    text = f"victim (successor of {world.old_id}: old until {LAST_YEAR})"
    stranger = world.put(0, description=text)
    outcome = world.run("finish", successor_id=stranger.id, new_private_key=stranger.private_key)
    # Even if the task identifies it, it does not have the rights of the old key.
    refused(outcome, "guard", stranger.id)
    assert world.old_id in world.keys
    assert world.keys[stranger.id].description == text


def history(world: World) -> tuple[str, list[str], ApiKey]:
    """Rotate with a grace period; return the private key, all descriptions and the new key."""
    begun = world.begin()
    issued = world.new_key().description
    world.finish(new_private_key=private_key(begun), grace_period=DAY)
    bodies = [w.body.decode() for w in world.emulator.writes if b"successor of" in w.body]
    found = [json.loads(body)["desc"] for body in bodies]
    assert found[2] == issued
    assert len(found) == 4
    return private_key(begun), found, world.new_key()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_restored_mark_revokes_no_key(world: World, number: int) -> None:
    """Someone who may rename keys restores it while the replacement is in use."""
    _secret, found, new = history(world)
    new.description = found[number]
    if number == 2:
        refused(world.run("roll_back"), "guard", new.id)
    else:
        refused(world.run("finish"), "missing")
    begun = world.begin()
    assert new.id in world.keys
    assert [item["id"] for item in begun.result["left"]] == [new.id]
    succeeded(world.run("roll_back", successor_id=begun.result["org_api_key"]["id"]))
    assert {new.id, world.old_id} <= world.keys.keys()


def test_a_mark_that_was_moved_to_another_key_revokes_no_key(world: World) -> None:
    """Each mark of the rotation is put on a stranger's key that has the same rights."""
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
    ("roles", "age"), [(["ORG_MEMBER", "ORG_GROUP_CREATOR"], 7200), (["ORG_MEMBER"], 1)]
)
def test_a_mark_restored_on_a_key_without_its_projects_revokes_no_key(
    world: World, number: int, roles: list[str], age: int
) -> None:
    """Project owners can remove all roles that a key has in their projects."""
    world.old.roles = roles
    _secret, found, new = history(world)
    new.projects.clear()
    new.description = found[number]
    world.now = int(new.id[:8], 16) + age
    begun = world.begin()
    assert [item["id"] for item in begun.result["left"]] == [new.id]
    assert {world.old_id, new.id} <= world.keys.keys()


def test_an_application_with_the_new_pair_cannot_make_marks(world: World) -> None:
    """The application is helped by someone who may rename its key."""
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
    # The owner identifies the key, and its grace period begins now.
    finished = world.finish(**finish, successor_id=new.id)
    assert finished.result["state"] == "waiting"
    assert finished.result["old_until"] == to_date(world.now + DAY)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_mark_restored_after_the_rotation_revokes_no_key(world: World, number: int) -> None:
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
            # This mark says that the pair was verified. It can only cause the key to be renamed.
            assert world.new_key().description == "victim"
    # The replacement is now the old key of the next rotation.
    world.new_key().description = found[number]
    refused(world.run("begin", api_user_id=new.id), "guard", new.id)


def test_the_end_of_the_grace_period_is_written_once(world: World) -> None:
    """So an earlier time cannot be restored."""
    secret, _found, _new = history(world)
    for grace in (0, 3 * DAY):
        world.finish(new_private_key=secret, grace_period=grace)
    bodies = [w.body.decode() for w in world.emulator.writes]
    assert sum(": verified " in body for body in bodies) == 1
    assert world.old_id in world.keys


@pytest.mark.parametrize("by", ["api_user_id", "description"])
def test_a_renamed_old_key_is_found_by_its_id(world: World, by: str) -> None:
    """Another key that has its description now is not rotated instead."""
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


@pytest.mark.parametrize(
    ("entries", "is_refused", "has_mark"),
    [
        ([], True, True),
        ([*ADDRESSES, "198.51.100.1"], True, True),
        (["126.0.0.0/7"], True, True),
        ([*ADDRESSES, "::/0"], True, True),
        (["127.0.0.1", "192.0.2.7/32"], False, True),
        ([], True, False),
        (["127.0.0.1"], False, False),
    ],
    ids=str,
)
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


def test_begin_does_not_replace_a_renamed_key(world: World) -> None:
    """A mark leads to the key, and states its former description."""
    world.begin()
    new = world.new_key()
    world.old.description = "renamed"
    count = len(world.emulator.writes)
    refused(world.run("begin", description="victim"), "guard", world.old_id)
    assert len(world.emulator.writes) == count
    assert world.begin().result["left"][0]["id"] == new.id


def test_successor_id_must_match_the_description_of_the_task(world: World) -> None:
    del world.keys[world.old_id]
    text = f"other (successor of {world.old_id}: storing)"
    stranger = world.put(0, description=text)
    pair = {"successor_id": stranger.id, "new_private_key": stranger.private_key}
    refused(world.run("finish", description="victim", **pair), "guard", stranger.id)
    assert world.keys[stranger.id].description == text


def test_rights_taken_in_the_meantime_are_not_copied(world: World) -> None:
    """The old key loses its role when the replacement is assigned to a project."""
    real = _rotation_steps._assignments.assign_all

    def assign(*arguments: Any) -> bool:
        world.old.roles = ["ORG_MEMBER"]
        return bool(real(*arguments))

    with mock.patch.object(_rotation_steps._assignments, "assign_all", assign):
        refused(world.run("begin"), "guard", world.old_id)
    assert world.new_keys() == []


def test_a_new_key_that_got_more_rights_is_not_handed_over(world: World) -> None:
    real = _org_api_keys.update

    def update(*arguments: Any) -> Any:
        changed = real(*arguments)
        world.new_key().projects["5a00000000000000000000bb"] = ["GROUP_OWNER"]
        return changed

    with mock.patch.object(_org_api_keys, "update", update):
        outcome = world.run("begin")
    refused(outcome, "guard")
    assert world.new_keys() == []


def test_a_key_cannot_replace_itself(world: World) -> None:
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
