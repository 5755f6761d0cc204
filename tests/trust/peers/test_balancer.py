# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes that do not know each other's nonces, behind Apache's balancer with a sticky cookie.

Each node is an Apache with its own secret for mod_auth_digest. So the response to a challenge must
reach the node that sent the challenge. The modules run in this process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.support import (
    PLATFORMS,
    PRIVATE_KEYS,
    Outcome,
    RealClock,
    key_id,
    key_pair,
    org_id,
    public_key,
    run_module,
    seed,
)
from tests.trust.peers.processes import TIMEOUT
from tests.trust.peers.servers import CHECKED_USER, STICKY_COOKIE, Server, apache, balancer

EXTRA = 12


@dataclass(frozen=True)
class World:
    emulator: Emulator
    front: Server
    nodes: Sequence[Server]

    def lines(self, number: int) -> list[list[str]]:
        """Status, method, path, node, cookie received and cookie set, for each request.

        Apache writes them after it has sent the responses.
        """
        ends = time.monotonic() + TIMEOUT
        while len(lines := self.front.lines()) < number and time.monotonic() < ends:
            time.sleep(0.01)
        return [line.split("\t") for line in lines]

    def run(self, module: str, platform: str, **options: Any) -> Outcome:
        base = {"platform": platform, "base_url": self.front.url, "org_id": org_id(platform)}
        return run_module(module, {**base, **key_pair(platform), **options}, clock=RealClock())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    users = {public_key(platform, 1): PRIVATE_KEYS[platform] for platform in PLATFORMS}
    with (
        Emulator(seed(extra_keys=EXTRA), checked_user_header=CHECKED_USER) as emulator,
        apache(tmp_path, emulator.port, users, lifetime=300) as one,
        apache(tmp_path, emulator.port, users, lifetime=300) as other,
        balancer(tmp_path, [one, other]) as front,
    ):
        yield World(emulator, front, [one, other])


def extra(world: World, platform: str) -> list[str]:
    keys = world.emulator.state.organizations[org_id(platform)].api_keys.values()
    return [key.description for key in keys if key.description.startswith("extra ")]


RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "revoke by ID": ("org_api_key", {"state": "absent", "wait": True}),
    "create": ("org_api_key", {"description": "new one", "roles": ["ORG_MEMBER"]}),
    "list": ("org_api_key_info", {"access_list": True}),
    "revoke many": (
        "org_api_keys",
        {"description_match": ["extra *"], "state": "absent", "concurrency": 4},
    ),
}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", RUNS)
def test_a_module_stays_on_the_node_that_challenged_it(
    world: World, name: str, platform: str
) -> None:
    module, options = RUNS[name]
    victim = key_id(platform, 2)
    if name == "revoke by ID":
        options = {**options, "api_user_id": victim}
    outcome = world.run(module, platform, **options)
    assert not outcome.failed, outcome.msg
    if module == "org_api_key_info":
        assert len(outcome.result["org_api_keys"]) == 7 + EXTRA
    else:
        assert outcome.changed
    keys = world.emulator.state.organizations[org_id(platform)].api_keys
    assert (victim in keys) is (name != "revoke by ID")
    assert len(extra(world, platform)) == (0 if name == "revoke many" else EXTRA)

    passed_on = len(world.emulator.requests)
    lines = world.lines(passed_on + 1)
    assert len(lines) == passed_on + 1
    # One challenge, which sets the cookie. Every other request brings the cookie along.
    (challenge,) = [line for line in lines if line[0] == "401"]
    cookie = f"{STICKY_COOKIE}=.{challenge[3]}"
    assert challenge[5].startswith(cookie)
    assert {line[4] for line in lines if line != challenge} == {cookie}
    assert len({line[3] for line in lines}) == 1


def test_several_tasks_use_both_nodes(world: World) -> None:
    for _round in range(4):
        outcome = world.run("org_api_key_info", "atlas", description="victim")
        assert not outcome.failed, outcome.msg
    lines = world.lines(len(world.emulator.requests) + 4)
    challenges = [line[3] for line in lines if line[0] == "401"]
    assert challenges == ["1", "2", "1", "2"]
    assert all(node.lines() for node in world.nodes)
