# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rate limiter for all threads of a task, on a virtual clock."""

from __future__ import annotations

import heapq

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._rate_limiter import (
    RateLimiter,
)
from tests.support import VirtualClock


def limiter(clock: VirtualClock) -> RateLimiter:
    return RateLimiter(clock.now)


def test_a_429_pauses_every_request() -> None:
    clock = VirtualClock()
    limits = limiter(clock)
    limits.pause(limits.acquire()[1], 7)
    assert [limits.acquire()[0] for _request in range(2)] == [7, 7]
    clock.sleep(7)
    assert limits.acquire()[0] == 0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    limits = limiter(VirtualClock())
    generations = [limits.acquire()[1] for _request in range(3)]
    for generation, wait in zip(generations, (5, 9, 1), strict=True):
        limits.pause(generation, wait)
    assert limits.acquire()[0] == 9


def test_concurrent_429s_count_as_one() -> None:
    clock = VirtualClock()
    limits = limiter(clock)
    generations = [limits.acquire()[1] for _request in range(8)]
    for generation in generations:
        assert limits.throttle_count(generation) == 1
        limits.pause(generation, 1)
    clock.sleep(1)
    again = limits.acquire()[1]
    assert limits.throttle_count(again) == 2
    assert [limits.is_outdated(sent) for sent in (generations[0], again)] == [True, False]
    # A request sent before the pause, whose response arrives now.
    assert limits.throttle_count(generations[0]) == 1
    # Each pause starts a new generation.
    limits.pause(again, 1)
    clock.sleep(1)
    assert len({generations[0], again, limits.acquire()[1]}) == 3


def test_an_accepted_request_resets_the_count() -> None:
    clock = VirtualClock()
    limits = limiter(clock)
    limits.pause(limits.acquire()[1], 1)
    clock.sleep(1)
    assert limits.throttle_count(limits.acquire()[1]) == 2
    limits.note_accepted()
    assert limits.throttle_count(limits.acquire()[1]) == 1


@pytest.mark.parametrize("threads", [1, 8, 16])
def test_a_bucket_refilled_all_at_once_serves_all_requests(threads: int) -> None:
    """A bucket of 500 tokens, refilled a minute after its first use, and 1,600 requests."""
    clock = VirtualClock()
    limits = limiter(clock)
    started, tokens, refill_at, left = clock.time, 500, 0.0, 1600
    queue: list[tuple[float, int]] = [(clock.time, number) for number in range(threads)]
    generations: dict[int, tuple[bool, int]] = {}
    while queue:
        clock.time, number = heapq.heappop(queue)
        if number in generations:
            is_accepted, generation = generations.pop(number)
            if is_accepted:
                limits.note_accepted()
                left -= 1
            else:
                limits.pause(generation, min(0.5 * 2 ** limits.throttle_count(generation), 20.0))
        if left - len(generations) <= 0:
            continue
        wait, generation = limits.acquire()
        if wait:
            heapq.heappush(queue, (clock.time + wait, number))
            continue
        if clock.time >= refill_at:
            tokens, refill_at = 500, clock.time + 60
        generations[number] = (tokens > 0, generation)
        tokens -= tokens > 0
        heapq.heappush(queue, (clock.time + 0.03, number))
    assert left == 0
    # Three refills, each noticed at most one maximum pause late.
    assert 180 <= clock.time - started <= 3 * 80 + 48 / threads
