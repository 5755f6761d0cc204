# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each phase of a rotation is killed, and the next run resumes it.

The unit tests of the module interrupt every request in one process.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.emulator.state import ApiKey
from tests.support import key_id, key_pair, org_id, run_module
from tests.trust.death.kills import DONE, LATE, Point, module_until_killed

MODULE = "org_api_key_rotation"
PLATFORM = "atlas"
OLD = key_id(PLATFORM, 2)
KEYS, KEY = "*/orgs/*/apiKeys", "*/orgs/*/apiKeys/*"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="kills processes through /proc"
)


@dataclass
class World:
    """The rotation of a key whose key pair goes to a file."""

    emulator: Emulator
    file: Path

    @property
    def keys(self) -> dict[str, ApiKey]:
        return self.emulator.state.organizations[org_id(PLATFORM)].api_keys

    def new_keys(self) -> list[ApiKey]:
        return [key for key in self.keys.values() if not key.id.startswith("5ae0000000")]

    def options(self, phase: str, *, has_file: bool = True, **more: Any) -> dict[str, Any]:
        where = {"platform": PLATFORM, "base_url": self.emulator.url, "org_id": org_id(PLATFORM)}
        task = {"phase": phase, "api_user_id": OLD}
        if phase != "roll_back" and has_file:
            task["credentials_file"] = str(self.file)
        return {**where, **key_pair(PLATFORM), **task, **more}

    def run(self, phase: str, **more: Any) -> dict[str, Any]:
        outcome = run_module(MODULE, self.options(phase, **more))
        assert not outcome.failed, outcome.msg
        return outcome.result

    def check_end(self, *left: str) -> None:
        """Check that one replacement has the rights of the old key and its key pair in the file."""
        assert OLD not in self.keys
        (new,) = (key for key in self.new_keys() if key.id not in left)
        assert new.description == "victim"
        assert sorted(new.roles) == ["ORG_GROUP_CREATOR", "ORG_MEMBER"]
        assert new.access_list == ["127.0.0.0/8"]
        assert new.projects
        pair = json.loads(self.file.read_text("utf-8"))
        assert (pair["api_user_id"], pair["private_key"]) == (new.id, new.private_key)


@pytest.fixture
def world(emulator: Emulator, tmp_path: Path) -> World:
    world = World(emulator, tmp_path / "pair.json")
    world.keys[OLD].access_list = ["127.0.0.0/8"]
    return world


def died(world: World, collections: Path, point: Point, phase: str, **more: Any) -> None:
    module_until_killed(collections, MODULE, world.options(phase, **more), world.emulator, point)


@pytest.mark.parametrize(
    ("point", "mark", "is_left"),
    [
        # The key was created, but no response arrived.
        (Point(DONE, 0, "POST", KEYS), "creating", False),
        # The first step that gives the key a role is carried out only after the kill.
        (Point(LATE, 0, "POST", "*/groups/*/apiKeys/*"), "created", False),
        # The last write: the next run cannot know whether the key pair was delivered.
        (Point(DONE, 1, "PATCH", KEY), "issued", True),
    ],
    ids=["creating", "created", "issued"],
)
def test_begin_is_killed(
    world: World, collections: Path, point: Point, mark: str, is_left: bool
) -> None:
    died(world, collections, point, "begin")
    assert not world.file.exists()
    (leftover,) = world.new_keys()
    assert f": {mark} " in leftover.description
    begun = world.run("begin")
    left = [leftover.id] if is_left else []
    assert [item["id"] for item in begun["left"]] == left
    finished = world.run("finish")
    assert finished["state"] == "rotated"
    assert [item["id"] for item in finished["left"]] == left
    world.check_end(*left)


@pytest.mark.parametrize(
    "point",
    [Point(LATE, 0, "PATCH", KEY), Point(DONE, 0, "DELETE", KEY), Point(LATE, 1, "PATCH", KEY)],
    ids=["the verification", "the revocation", "the description"],
)
def test_finish_is_killed(world: World, collections: Path, point: Point) -> None:
    world.run("begin")
    died(world, collections, point, "finish")
    # The mark says that the key pair was verified, so this run does not need it.
    finished = world.run("finish", has_file=False)
    assert finished["state"] in {"rotated", "none"}
    assert finished["verification"] is None
    world.check_end()


def test_roll_back_is_killed(world: World, collections: Path) -> None:
    new_id = world.run("begin")["org_api_key"]["id"]
    point = Point(LATE, 0, "DELETE", KEY)
    died(world, collections, point, "roll_back", successor_id=new_id)
    assert world.run("roll_back", successor_id=new_id)["state"] == "none"
    assert world.new_keys() == []
    assert world.keys[OLD].description == "victim"
