# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rate limiter for all threads of a task, on a virtual clock."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._rate_limiter import RateLimiter
from tests.support import VirtualClock

ORG = "/api/atlas/v2/orgs/5a0000000000000000000001/apiKeys"
KEY = f"{ORG}/deadbeefdeadbeefdeadbeef"
OTHER_ORG = "/api/atlas/v2/orgs/5a0000000000000000000002/apiKeys"
PROJECT = "/api/atlas/v2/groups/5a00000000000000000000aa/apiKeys"


def told(limit: int | str, remaining: int | str) -> Mapping[str, str]:
    return {"RateLimit-Limit": str(limit), "RateLimit-Remaining": str(remaining)}


def limiter(clock: VirtualClock) -> RateLimiter:
    return RateLimiter(clock.now)


@pytest.mark.parametrize(
    ("limit", "remaining", "interval"),
    [
        (500, 500, 0),
        (500, 25, 0),
        (500, 24, 60 / 250),
        (500, 0, 60 / 250),
        (1200, 59, 60 / 500),
        (300, 14, 60 / 100),
        # Nobody knows how such a bucket is refilled.
        (90, 0, 0),
        (1, 0, 0),
        (0, 0, 0),
        ("", "", 0),
        ("many", "0", 0),
        (500, "-1", 0),
        ("²", "0", 0),
        ("9" * 5000, "0", 0),
    ],
)
def test_requests_take_turns_where_a_limit_is_nearly_used_up(
    limit: int | str, remaining: int | str, interval: float
) -> None:
    clock = VirtualClock()
    limits = limiter(clock)
    limits.answered(ORG, 200, told(limit, remaining))
    assert limits.take_turn(KEY)[0] == 0
    assert limits.take_turn(KEY)[0] == pytest.approx(interval)
    clock.sleep(interval or 1)
    assert limits.take_turn(ORG)[0] == 0


def test_turns_end_when_the_limit_has_recovered() -> None:
    limits = limiter(VirtualClock())
    limits.answered(ORG, 200, told(500, 3))
    limits.take_turn(ORG)
    assert limits.take_turn(ORG)[0] > 0
    limits.answered(ORG, 200, told(500, 30))
    assert limits.take_turn(ORG)[0] == 0


def test_an_answer_without_headers_changes_nothing() -> None:
    limits = limiter(VirtualClock())
    limits.answered(ORG, 200, told(500, 3))
    limits.answered(ORG, 500, {})
    limits.take_turn(ORG)
    assert limits.take_turn(ORG)[0] > 0


@pytest.mark.parametrize("path", [OTHER_ORG, PROJECT, "/api/atlas/v2/orgs", "/api/oauth/token"])
def test_what_has_a_limit_of_its_own_does_not_wait(path: str) -> None:
    limits = limiter(VirtualClock())
    limits.answered(ORG, 200, told(500, 0))
    limits.take_turn(ORG)
    assert limits.take_turn(path)[0] == 0


def test_a_refusal_holds_back_every_request() -> None:
    clock = VirtualClock()
    limits = limiter(clock)
    ticket = limits.take_turn(ORG)[1]
    limits.pause(ticket, 7)
    assert [limits.take_turn(path)[0] for path in (ORG, PROJECT)] == [7, 7]
    clock.sleep(7)
    assert limits.take_turn(ORG)[0] == 0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    limits = limiter(VirtualClock())
    tickets = [limits.take_turn(ORG)[1] for _request in range(3)]
    for ticket, wait in zip(tickets, (5, 9, 1), strict=True):
        limits.pause(ticket, wait)
    assert limits.take_turn(ORG)[0] == 9


def test_requests_that_are_refused_together_are_one_refusal() -> None:
    clock = VirtualClock()
    limits = limiter(clock)
    tickets = [limits.take_turn(ORG)[1] for _request in range(8)]
    for ticket in tickets:
        assert limits.refused(ticket) == 1
        limits.pause(ticket, 1)
    clock.sleep(1)
    again = limits.take_turn(ORG)[1]
    assert limits.refused(again) == 2
    # One that was sent before the pause, and comes back only now.
    assert limits.refused(tickets[0]) == 1
    # Each pause has a ticket of its own.
    limits.pause(again, 1)
    clock.sleep(1)
    assert len({tickets[0], again, limits.take_turn(ORG)[1]}) == 3


@pytest.mark.parametrize(("status", "count"), [(204, 1), (400, 1), (500, 2), (429, 2)])
def test_refusals_count_in_a_row_while_nobody_gets_through(status: int, count: int) -> None:
    clock = VirtualClock()
    limits = limiter(clock)
    limits.pause(limits.take_turn(ORG)[1], 1)
    clock.sleep(1)
    limits.answered(ORG, status, {})
    assert limits.refused(limits.take_turn(ORG)[1]) == count


def simulate(requests: int, threads: int, *, has_headers: bool) -> tuple[int, float]:
    """Send requests to a token bucket of Atlas; return how many it refuses and how long it takes.

    Threads are told apart by the time at which each acts next; an answer takes 0.03 s.
    """
    clock = VirtualClock()
    limits = limiter(clock)
    capacity, refill, tokens, filled_at = 500, 250 / 60, 500.0, clock.time
    started, refusals, sent = clock.time, 0, 0
    queue: list[tuple[float, int]] = [(clock.time, number) for number in range(threads)]
    answers: dict[int, tuple[int, int]] = {}
    while queue:
        clock.time, number = heapq.heappop(queue)
        tokens = min(capacity, tokens + (clock.time - filled_at) * refill)
        filled_at = clock.time
        if number in answers:
            status, ticket = answers.pop(number)
            headers = told(capacity, int(tokens)) if has_headers else {}
            limits.answered(ORG, status, headers)
            if status == 429:
                refusals += 1
                limits.pause(ticket, 1.0)
            else:
                requests -= 1
        if requests - len(answers) <= 0:
            continue
        wait, ticket = limits.take_turn(ORG)
        if wait:
            heapq.heappush(queue, (clock.time + wait, number))
            continue
        sent += 1
        status = 204 if tokens >= 1 else 429
        tokens -= status == 204
        answers[number] = (status, ticket)
        heapq.heappush(queue, (clock.time + 0.03, number))
    assert requests == 0
    return refusals, clock.time - started


@pytest.mark.parametrize("threads", [1, 8, 16])
def test_a_bucket_that_tells_what_is_left_never_has_to_refuse(threads: int) -> None:
    refusals, seconds = simulate(1000, threads, has_headers=True)
    assert refusals == 0
    # Not slower than the bucket is refilled, but for the reserve that is left in it.
    assert seconds < (1000 - 500 + 25) / (250 / 60) + 2


def test_a_bucket_that_tells_nothing_is_served_in_the_end() -> None:
    refusals, seconds = simulate(1000, 8, has_headers=False)
    assert refusals > 0
    assert seconds < (1000 - 500) / (250 / 60) * 1.5
