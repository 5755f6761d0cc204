# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server dies in the middle of a task, at each of its requests, and comes back a while later.

Unlike a single lost answer, all connections break at once, nobody listens for a while, and what the
server knew of challenges is gone. What it has stored stays.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.emulator.state import ApiKey
from tests.integration.test_flows import FLOWS, Flow, run, state
from tests.support import (
    PLATFORMS,
    PRIVATE_KEYS,
    VirtualClock,
    key_pair,
    org_id,
    run_module,
    seed,
)


class Mortal:
    """A server that dies at a request, before or after it is carried out, and can come back."""

    def __init__(self, first: dict[str, Any]) -> None:
        self.server = Emulator(first).start()
        self.url, self._port = self.server.url, self.server.port
        self._is_dead = threading.Event()
        self._lock = threading.Lock()

    @property
    def is_dead(self) -> bool:
        return self._is_dead.is_set()

    def die_at(self, number: int, *, done: bool) -> None:
        self.server.add_fault(_Death(self, number, done))

    def die(self) -> None:
        with self._lock:
            self._is_dead.set()
            self.server.stop()

    def come_back(self) -> None:
        """Start a new server where the old one was, with what that one has stored."""
        with self._lock:
            if self.is_dead:
                stored = self.server.state.to_seed()
                self.server = Emulator(stored, port=self._port).start()
                self._is_dead.clear()

    def keys(self, platform: str) -> dict[str, ApiKey]:
        return dict(self.server.state.organizations[org_id(platform)].api_keys)


class _Death(Fault):
    def __init__(self, mortal: Mortal, number: int, done: bool) -> None:
        super().__init__("slow", after=number)
        self._mortal, self._done = mortal, done

    def play(self, exchange: Any) -> None:
        exchange.perform_if(self._done)
        self._mortal.die()
        raise ConnectionAbortedError("the server dies")


@contextmanager
def mortal(first: dict[str, Any]) -> Iterator[Mortal]:
    server = Mortal(first)
    try:
        yield server
    finally:
        server.server.stop()


class Resurrection(VirtualClock):
    """Time in which the server comes back at the third sleep after its death."""

    def __init__(self, server: Mortal, sleeps: int = 3) -> None:
        super().__init__()
        self._server, self._left = server, sleeps
        # Whoever sleeps while it comes back has slept long enough.
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            super().sleep(seconds)
            if self._server.is_dead:
                self._left -= 1
                if self._left == 0:
                    self._server.come_back()


def task(flow: Flow, platform: str, url: str) -> dict[str, Any]:
    common = {"platform": platform, "base_url": url, "org_id": org_id(platform)}
    concurrency = {"concurrency": 1} if flow.module == "org_api_keys" else {}
    return {**common, **key_pair(platform), **concurrency, **flow.options(platform)}


def platform_of(flow: Flow) -> str:
    return PLATFORMS[FLOWS.index(flow) % 3]


@pytest.mark.parametrize("flow", FLOWS, ids=str)
def test_a_task_outlives_its_server_or_tells_what_is_left(emulator: Emulator, flow: Flow) -> None:
    platform = platform_of(flow)
    started = state(emulator, platform)
    assert run(emulator, platform, flow).changed is flow.writes
    wanted = state(emulator, platform)
    requests = len([item for item in emulator.requests if item.status != 401])
    survived = 0
    for number in range(requests):
        for done in (False, True):
            survived += one_death(flow, number, done=done, started=started, wanted=wanted)
    # Whatever is only read or revoked outlives it each time.
    if flow.options(platform).get("state") == "absent" or not flow.writes:
        assert survived == 2 * requests
    assert survived > 0


def one_death(
    flow: Flow, number: int, *, done: bool, started: list[Any], wanted: list[Any]
) -> bool:
    """Return whether the task ended well; if not, its words are true and a rerun does the rest."""
    platform = platform_of(flow)
    with mortal(seed()) as server:
        before = server.keys(platform)
        server.die_at(number, done=done)
        options = task(flow, platform, server.url)
        first = run_module(flow.module, options, clock=Resurrection(server))
        if server.is_dead:  # the task did not wait so long
            server.come_back()
        assert PRIVATE_KEYS[platform] not in first.output
        assert "Internal error" not in first.msg
        new = {name: key for name, key in server.keys(platform).items() if name not in before}
        now = state(server.server, platform)
        assert first.changed is (now != started) or is_unknown(first.msg), first.msg
        if first.failed and new:
            (left,) = new
            is_named = left in first.msg and left in first.result["error"]["parameters"]
            assert is_named or is_unknown(first.msg), first.msg
            assert new[left].private_key not in first.output
            del server.server.state.organizations[org_id(platform)].api_keys[left]
        elif not first.failed:
            assert now == wanted
        again = run_module(flow.module, options)
        assert not again.failed, again.msg
        assert state(server.server, platform) == wanted
        if not first.failed:
            assert not again.changed
        return not first.failed


def is_unknown(msg: str) -> bool:
    """Whether a message says that what has happened could not be checked."""
    return "could not be checked" in msg or "is not known" in msg
