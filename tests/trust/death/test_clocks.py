# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each flow of each module under clocks that jump, while the API refuses and breaks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from tests.emulator import Emulator, Fault, Settings
from tests.integration.test_flows import FLOWS, Flow, state
from tests.support import (
    CLIENT_SECRETS,
    PLATFORMS,
    Outcome,
    key_id,
    key_pair,
    org_id,
    run_module,
    seed,
    service_account,
)
from tests.trust.death.clocks import JumpingClock, calendar_of

SEEDS = 24
# What a task sleeps at most: its budget for retries, and what it waits for of its own accord, each
# with a quarter of chance.
RETRY_MAX_WAIT, WAIT_TIMEOUT = 20.0, 30.0
MOST_SLEEP = 1.25 * (RETRY_MAX_WAIT + WAIT_TIMEOUT + 4 * 10)


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator(seed()) as emulator:
        yield emulator


def run(
    emulator: Emulator, platform: str, flow: Flow, clock: JumpingClock, has_account: bool
) -> Outcome:
    credentials = service_account if has_account else key_pair
    common = {"platform": platform, "base_url": emulator.url, "org_id": org_id(platform)}
    limits = {"retry_max_wait": RETRY_MAX_WAIT, "timeout": 5}
    options = {**common, **credentials(platform), **limits, **flow.options(platform)}
    if flow.module == "org_api_keys":
        options["concurrency"] = 1  # so that chance comes in the same order each time
    if options.get("wait"):
        options["wait_timeout"] = WAIT_TIMEOUT
    with calendar_of(clock):
        return run_module(flow.module, options, clock=clock)


def date_in(seconds: float) -> str:
    """Return a date by the server's calendar, which is right."""
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


def faults(chance: random.Random) -> list[Fault]:
    """Draw up to three faults that make a task wait, or look again."""

    def retry_after() -> Any:
        seconds = chance.choice([0, 2, 15, 3600])
        if chance.random() < 0.5:
            return seconds
        return date_in(seconds)

    def fault() -> Fault:
        name = chance.choice(["429", "429", "503", "503", "lost_after", "lost_before"])
        place: dict[str, Any] = {"after": chance.randrange(8), "times": chance.choice([1, 1, 2, 9])}
        if name.isdigit():
            return Fault("status", status=int(name), retry_after=retry_after(), **place)
        return Fault(name, **place)

    return [fault() for number in range(chance.randrange(4))]


def prepare(emulator: Emulator, clock: JumpingClock, chance: random.Random) -> None:
    # The server's tokens, nonces and memory age by the same time, which it does not set off.
    emulator.clock = lambda: clock.time
    emulator.settings = Settings(visibility_delay=chance.choice([0.0, 0.0, 0.3, 5.0]))
    emulator.settings.max_active_tokens = None
    emulator.reset(seed())
    for fault in faults(chance):
        emulator.add_fault(fault)


@pytest.mark.parametrize("flow", FLOWS, ids=str)
def test_a_task_ends_and_tells_the_truth_whatever_its_clocks_do(
    server: Emulator, flow: Flow
) -> None:
    jumps = 0
    for number in range(SEEDS):
        chance = random.Random(f"{flow} {number}")
        platform = PLATFORMS[number % 3]
        clock = JumpingClock(chance=chance, share=chance.choice([0.02, 0.1, 0.4]))
        has_account = platform in CLIENT_SECRETS and chance.random() < 0.4
        prepare(server, clock, chance)
        started = state(server, platform)
        outcome = run(server, platform, flow, clock, has_account)
        check(server, platform, flow, outcome, started)
        # A clock that stands still makes it sleep on, until the clock has seen it.
        assert sum(clock.sleeps) - clock.missed < MOST_SLEEP, f"seed {number}: {clock.sleeps}"
        assert max(clock.sleeps, default=0) < 1.25 * max(RETRY_MAX_WAIT, WAIT_TIMEOUT)
        jumps += clock.jumps
        converge(server, platform, flow, has_account)
    assert jumps


def check(
    emulator: Emulator, platform: str, flow: Flow, outcome: Outcome, started: list[Any]
) -> None:
    """Assert that a task says of what it has done what the server knows of it."""
    now = state(emulator, platform)
    assert "Internal error" not in outcome.msg
    if not outcome.failed:
        assert outcome.changed is flow.writes
        assert (now != started) is flow.writes
    elif outcome.changed:
        assert now != started, outcome.msg
    if "was changed" in outcome.msg and "othing was changed" in outcome.msg:
        assert now == started, outcome.msg


def converge(emulator: Emulator, platform: str, flow: Flow, has_account: bool) -> None:
    """Assert that after it, with clocks that go, the task reaches what it is to reach."""
    emulator.clear_faults()
    emulator.settings.visibility_delay = 0.0
    emulator.state.organizations[org_id(platform)].unseen.clear()
    again = run(emulator, platform, flow, JumpingClock(), has_account)
    assert not again.failed, again.msg
    once_more = run(emulator, platform, flow, JumpingClock(), has_account)
    assert not once_more.failed, once_more.msg
    assert not once_more.changed


@pytest.mark.parametrize("years", [-50, -3, 0, 3, 900])
def test_a_date_to_wait_for_means_the_same_whatever_the_calendar_says(
    server: Emulator, years: int
) -> None:
    server.add_fault(Fault("status", "DELETE", status=429, retry_after=date_in(8)))
    clock = JumpingClock()
    clock.calendar = datetime.now(timezone.utc) + timedelta(days=365.25 * years)
    outcome = run(server, "atlas", FLOWS[0], clock, False)
    assert outcome.changed, outcome.msg
    assert 6 < sum(clock.sleeps) < 11


def test_a_token_that_ends_while_the_machine_sleeps_is_followed_by_another(
    server: Emulator,
) -> None:
    """And by two more: what is waited for is seen in the end, by two looks."""
    shortest_pause = 0.25
    clock = JumpingClock()
    server.clock = lambda: clock.time
    server.settings = Settings(visibility_delay=5000)
    server.reset(seed())

    class Sleepy(JumpingClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            # For the server only: the machine was suspended, 4000 s in the shortest pause, which is
            # slept in several parts.
            clock.time += 4000 * seconds / shortest_pause

    outcome = run(server, "atlas", FLOWS[1], Sleepy(), True)
    assert not outcome.failed, outcome.msg
    assert outcome.changed
    assert [request.path for request in server.requests].count("/api/oauth/token") == 4
    assert key_id("atlas", 2) not in server.state.organizations[org_id("atlas")].api_keys
