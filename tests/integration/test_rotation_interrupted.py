# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations that are killed, lose responses or run at the same time as another, at each request.

A process is killed before one of its requests, or not at all. A kill after a request is the same as
one before the next request, since nothing happens in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import _rotation_steps
from tests.emulator import Emulator, Fault
from tests.rotation_world import (
    ADDRESSES,
    DAY,
    World,
    authenticate_with_old_key,
    before_request,
    check_end,
    essence,
    fresh,
    is_killed,
    private_key,
    refused,
    succeeded,
    world_of,
)
from tests.support import Outcome

PHASES = ("begin", "finish", "finish later", "roll_back")


@pytest.fixture
def world(emulator: Emulator) -> Iterator[World]:
    with world_of(emulator) as world:
        yield world


def start(world: World, phase: str) -> dict[str, Any]:
    """Bring a rotation to the point where a phase begins; return the options of that phase."""
    if phase == "begin":
        return {}
    begun = world.begin()
    pair = {"new_private_key": private_key(begun)}
    if phase == "finish later":
        world.finish(**pair, grace_period=DAY)
        world.now += DAY
        return {}
    return pair if phase == "finish" else {"successor_id": begun.result["org_api_key"]["id"]}


def each_kill(world: World, phase: str, **more: Any) -> Iterator[None]:
    """Kill a phase before each request, always from the same state; finally, let it complete."""
    kept, now = world.keep(), world.now
    number, was_killed = 0, True
    while was_killed:
        number += 1
        world.restore(kept)
        world.now = now
        was_killed = is_killed(world, number, phase.partition(" ")[0], **more)
        yield
    assert number > 2


# Kills.


def test_after_a_kill_in_begin_the_next_run_replaces_the_key(world: World) -> None:
    seen: list[str] = []
    before = essence(world.old)
    for _kill in each_kill(world, "begin"):
        assert essence(world.old) == before
        seen += [key.description.partition(": ")[2].split(" ")[0] for key in world.new_keys()]
        # The killed process may have returned the key pair of an issued key.
        left = [key.id for key in world.new_keys() if ": issued " in key.description]
        begun = world.begin()
        assert [item["id"] for item in begun.result["left"]] == left
        finished = world.finish(
            new_private_key=private_key(begun),
            successor_id=begun.result["org_api_key"]["id"],
        )
        assert finished.result["state"] == "rotated"
        check_end(world, before, left)
    assert {*seen} == {"creating", "created", "issued"}


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("grace", [0, DAY])
def test_after_a_kill_in_finish_the_next_run_continues(world: World, grace: int, own: bool) -> None:
    options = authenticate_with_old_key(world) if own else {}
    before = essence(world.old)
    pair = {"new_private_key": private_key(world.begin(**options))}
    in_use = world.new_key()
    for _kill in each_kill(world, "finish", **options, **pair, grace_period=grace):
        more = options
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


@pytest.mark.parametrize("phase", ["finish later", "roll_back"])
def test_after_a_kill_the_same_phase_ends_the_rotation(world: World, phase: str) -> None:
    before = essence(world.old)
    more = start(world, phase)
    for _kill in each_kill(world, phase, **more):
        outcome = succeeded(world.run(phase.partition(" ")[0], **more))
        if phase == "roll_back":
            assert world.new_keys() == []
            assert essence(world.old) == before
        else:
            assert outcome.result["state"] in {"rotated", "none"}
            check_end(world, before)


@pytest.mark.parametrize("then", ["begin", "finish", "roll_back"])
@pytest.mark.parametrize("phase", PHASES)
def test_after_a_kill_any_phase_may_follow(world: World, phase: str, then: str) -> None:
    """No phase revokes a key that may be in use, or leaves a key that it does not report."""
    expected = essence(world.old)
    more = start(world, phase)
    in_use = {key.id for key in world.new_keys()}
    for _kill in each_kill(world, phase, **more):
        new_ids = {key.id for key in world.new_keys()}
        had_old = world.old_id in world.keys
        outcome = world.run(then)
        if outcome.failed:
            kinds = {"finish": {"missing", "options"}}.get(then, {"missing", "guard"})
            assert outcome.result["error"]["type"] in kinds, outcome.msg
            assert not outcome.changed
        if phase != "roll_back":
            assert in_use <= world.keys.keys()
        # One key has all rights of the old key, and no key has others.
        assert (world.old_id in world.keys) or expected[1:] in [
            essence(world.keys[key])[1:] for key in in_use
        ]
        if had_old and world.old_id not in world.keys:
            assert (phase.partition(" ")[0], then) == ("finish", "finish")
        for key in world.new_keys():
            assert {*key.roles} <= {*expected[1]}
            assert not key.roles or key.access_list in ([], ADDRESSES)
            is_reported = key.id in outcome.output
            assert is_reported or key.description == "victim" or key.id not in new_ids


def test_a_leftover_with_an_organization_role_is_revoked_at_any_time(world: World) -> None:
    assert is_killed(world, 5, "begin")
    leftover = world.new_key()
    assert ": created " in leftover.description
    world.now += 30 * DAY
    begun = world.begin()
    assert begun.result["left"] == []
    assert leftover.id not in world.keys


def test_a_key_without_rights_is_reported_and_not_revoked(world: World) -> None:
    """Only its mark says whether its key pair is in use."""
    world.old.roles, world.old.projects = ["ORG_MEMBER"], {}
    assert is_killed(world, 6, "begin")
    new = world.new_key()
    begun = world.begin()
    assert [item["id"] for item in begun.result["left"]] == [new.id]
    assert new.id in world.keys


# These are not the limits, 540 s behind and 60 s ahead: a busy machine may take some seconds.
@pytest.mark.parametrize("skew", [-3600, -400, 50, 3600])
def test_a_leftover_is_revoked_only_if_the_clocks_differ_little(world: World, skew: int) -> None:
    """A leftover that cannot be recognized because of the clock is reported."""
    world.now += skew
    assert is_killed(world, 4, "begin")
    (leftover,) = world.new_keys()
    assert ": creating " in leftover.description
    begun = world.begin()
    is_revoked = leftover.id not in world.keys
    assert is_revoked is (-400 <= skew <= 50)
    assert ([item["id"] for item in begun.result["left"]] == [leftover.id]) is not is_revoked


# Other runs at the same time.


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
def test_another_run_at_the_same_time_revokes_no_working_key(
    world: World, phase: str, other: str
) -> None:
    """The other run takes place between two requests of the first one."""
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
        with before_request(number, lambda run=run_other, to=seen: to.append(run())):
            outcome = world.run(phase.partition(" ")[0], **more)
        should_continue = bool(seen)
        results = [run.result for run in (outcome, *seen)]
        pairs = [r["key_pair"]["api_user_id"] for r in results if "key_pair" in r]
        for key in world.new_keys():
            assert {*key.roles} <= {*expected[1]}
        # Each key pair that was returned works, and one key has all rights.
        assert {*pairs} <= world.keys.keys()
        assert expected[1:] in [essence(key)[1:] for key in world.keys.values()]
        if world.old_id not in world.keys:
            assert "finish" in (phase.partition(" ")[0], other)


def test_a_key_that_another_run_is_creating_is_not_revoked(world: World) -> None:
    assert is_killed(world, 5, "begin")
    new = world.new_key()
    real = _rotation_steps._resource.find_by_id

    def find(*arguments: Any) -> Any:
        new.roles = ["ORG_MEMBER", "ORG_READ_ONLY"]
        return real(*arguments)

    with mock.patch.object(_rotation_steps._resource, "find_by_id", find):
        refused(world.run("begin"), "guard", new.id)
    assert new.id in world.keys


def test_a_key_that_another_run_revokes_is_not_handed_over(world: World) -> None:
    real = _rotation_steps._org_api_keys.update

    def update(*arguments: Any) -> Any:
        changed = real(*arguments)
        if ": issued " in changed.description:
            del world.keys[changed.id]
        return changed

    with mock.patch.object(_rotation_steps._org_api_keys, "update", update):
        outcome = refused(world.run("begin"), "guard")
    assert not outcome.changed
    assert world.new_keys() == []


# Failures, and responses that are lost.


def test_after_a_failure_in_begin_nothing_is_left(world: World) -> None:
    before = essence(world.old)
    for number in range(1, 30):
        world = fresh(world)
        world.emulator.add_fault(Fault("status", after=number - 1, status=400, code="EMULATED"))
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
    """The task succeeds, or it fails and leaves nothing."""
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
    before = essence(world.old)
    pair = {"new_private_key": private_key(world.begin())}
    in_use, kept = world.new_key().id, world.keep()
    for number in range(9):
        world.restore(kept)
        world.emulator.add_fault(Fault(fault, after=number, times=1))
        finished = world.run("finish", **pair)
        world.emulator.clear_faults()
        assert in_use in world.keys
        if finished.failed:
            finished = world.finish(**pair)
        assert finished.result["state"] in {"rotated", "none"}
        check_end(world, before)
