# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Map a function concurrently: each item once, in order, and none after a failure."""

from __future__ import annotations

import threading
import time

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk._workers import map_concurrent

TIMEOUT = 20


@pytest.mark.parametrize("threads", [1, 2, 8, 16])
@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_every_item_is_done_once_and_results_keep_the_order(threads: int, count: int) -> None:
    done: list[int] = []

    def do(number: int) -> int:
        done.append(number)
        time.sleep(0.0001 * (number % 3))
        return number * 2

    assert map_concurrent(do, range(count), threads=threads) == [
        number * 2 for number in range(count)
    ]
    assert sorted(done) == list(range(count))


@pytest.mark.parametrize("threads", [1, 8])
def test_no_more_threads_are_used_than_allowed(threads: int) -> None:
    together = threading.Barrier(threads)
    names = set()

    def do(number: int) -> None:
        # No thread passes before all of them are here.
        if number < threads:
            together.wait(TIMEOUT)
        names.add(threading.get_ident())

    map_concurrent(do, range(40), threads=threads)
    assert len(names) == threads
    assert threading.get_ident() in names


def test_calls_in_flight_finish_and_nothing_new_starts() -> None:
    started: list[int] = []
    finished: list[int] = []

    def do(number: int) -> str:
        started.append(number)
        time.sleep(0.01)
        finished.append(number)
        return "done"

    results = map_concurrent(do, range(50), threads=4, should_continue=lambda: len(started) < 10)
    assert sorted(finished) == sorted(started)
    assert 10 <= len(started) <= 13
    assert [index for index, result in enumerate(results) if result] == sorted(started)


@pytest.mark.parametrize("threads", [1, 8])
def test_an_exception_stops_all_threads_and_is_raised(threads: int) -> None:
    started: list[int] = []
    before = set(threading.enumerate())

    def do(number: int) -> None:
        started.append(number)
        time.sleep(0.001)
        if number == 10:
            raise KeyError(number)

    with pytest.raises(KeyError, match="10"):
        map_concurrent(do, range(1000), threads=threads)
    assert 11 <= len(started) < 1000
    assert set(threading.enumerate()) <= before
