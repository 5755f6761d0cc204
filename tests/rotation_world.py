# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation against an emulator, in this process, that can be killed before any request."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _http
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import (
    _marks,
    _rotation_steps,
)
from tests.emulator import Emulator
from tests.emulator.state import ApiKey
from tests.support import Outcome, key_id, key_pair, org_id, run_module, seed

MARK_KEY = "canary-of-the-marks-0123456789"
OWNER, OLD, STRANGER = 1, 2, 3
ADDRESSES = ["127.0.0.0/8", "192.0.2.7"]
DAY = 86400
KEYS, KEY = "*/orgs/*/apiKeys", "*/orgs/*/apiKeys/*"


class World:
    """An organization whose key ``victim`` is rotated, with its own clock."""

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
        """Return the emulator's state, so that a test can start from it again."""
        stored: dict[str, Any] = self.emulator.state.to_seed()
        return stored

    def restore(self, kept: dict[str, Any]) -> None:
        self.emulator.reset(kept)

    def new_keys(self) -> list[ApiKey]:
        """Return the keys that are not in the seed."""
        seeded = {key_id(self.platform, number) for number in range(1, 8)}
        return [key for key in self.keys.values() if key.id not in seeded]

    def new_key(self) -> ApiKey:
        (key,) = self.new_keys()
        return key

    def put(self, number: int, **values: Any) -> ApiKey:
        """Add another key to the organization."""
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
        """Return a description with a mark."""
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


@contextmanager
def world_of(emulator: Emulator, platform: str = "atlas") -> Iterator[World]:
    """Yield a world whose clock the module uses."""
    world = World(emulator, platform)
    with mock.patch.object(_rotation_steps, "wall_clock", world.clock):
        yield world


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


def authenticate_with_old_key(world: World) -> dict[str, Any]:
    """Make the old key an owner; return options that use it for requests and marks."""
    world.old.roles = ["ORG_OWNER"]
    return {**key_pair("atlas", OLD), "allow_own_key": True, "mark_key": None}


class Killed(BaseException):
    """The process is killed."""


@contextmanager
def before_request(number: int, act: Callable[[], Any]) -> Iterator[None]:
    """Call ``act`` before the request with this number, counted from 1."""
    real, count = _http.Http.send, 0

    def send(*arguments: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            act()
        return real(*arguments, **more)

    with mock.patch.object(_http.Http, "send", send):
        yield


def _die() -> None:
    raise Killed


def is_killed(world: World, number: int, phase: str, **more: Any) -> bool:
    """Run a phase and kill it before this request; return False if it ended before that."""
    with before_request(number, _die):
        try:
            succeeded(world.run(phase, **more))
        except Killed:
            return True
    return False


def check_end(world: World, expected: tuple[Any, ...], left: Collection[str] = ()) -> None:
    """Assert that one key has taken over from the old key, and that keys in use still exist."""
    assert world.old_id not in world.keys
    (key,) = (key for key in world.new_keys() if key.id not in left)
    assert essence(key) == expected
    assert {*left} <= world.keys.keys()


def fresh(world: World) -> World:
    """Reset the emulator; the world keeps its clock."""
    world.emulator.reset(seed())
    world.old.access_list = list(ADDRESSES)
    return world
