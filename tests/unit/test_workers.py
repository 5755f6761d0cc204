# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many things at the same time: in order, all of them, and no more after a failure."""

from __future__ import annotations

import threading
import time

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk._workers import each

PATIENCE = 20


@pytest.mark.parametrize("threads", [1, 2, 8, 16])
@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_every_item_is_done_once_and_results_keep_the_order(threads: int, count: int) -> None:
    done: list[int] = []

    def do(number: int) -> int:
        done.append(number)
        time.sleep(0.0001 * (number % 3))
        return number * 2

    assert each(do, range(count), threads=threads) == [number * 2 for number in range(count)]
    assert sorted(done) == list(range(count))


@pytest.mark.parametrize("threads", [1, 8])
def test_no_more_threads_are_used_than_allowed(threads: int) -> None:
    together = threading.Barrier(threads)
    names = set()

    def do(number: int) -> None:
        # Nobody gets past it before all threads are here: so they are there, and work.
        if number < threads:
            together.wait(PATIENCE)
        names.add(threading.get_ident())

    each(do, range(40), threads=threads)
    assert len(names) == threads
    assert threading.get_ident() in names


def test_what_has_begun_is_ended_and_nothing_more_begins() -> None:
    begun: list[int] = []
    ended: list[int] = []

    def do(number: int) -> str:
        begun.append(number)
        time.sleep(0.01)
        ended.append(number)
        return "done"

    results = each(do, range(50), threads=4, should_continue=lambda: len(begun) < 10)
    assert sorted(ended) == sorted(begun)
    assert 10 <= len(begun) <= 13
    assert [index for index, result in enumerate(results) if result] == sorted(begun)


@pytest.mark.parametrize("threads", [1, 8])
def test_an_exception_ends_it_and_is_raised_in_the_caller(threads: int) -> None:
    begun: list[int] = []
    before = threading.active_count()

    def do(number: int) -> None:
        begun.append(number)
        time.sleep(0.001)
        if number == 10:
            raise KeyError(number)

    with pytest.raises(KeyError, match="10"):
        each(do, range(1000), threads=threads)
    assert 11 <= len(begun) < 200
    assert threading.active_count() == before
