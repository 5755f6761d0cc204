# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Doing the same to many things, several at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(
    do: Callable[[T], R],
    items: Sequence[T],
    *,
    threads: int,
    should_continue: Callable[[], bool] = lambda: True,
) -> list[R | None]:
    """Return ``do(item)`` for each item, in their order; None for those that were never begun.

    Items are begun in their order, as long as ``goes_on()``; what has begun is always ended. The
    calling thread is one of the threads, so that its connection and its challenge serve on. After
    an exception nothing more is begun, and the first one is raised.
    """
    results: list[R | None] = [None] * len(items)
    numbers = iter(range(len(items)))
    failures: list[BaseException] = []
    lock = threading.Lock()

    def work() -> None:
        try:
            while not failures and should_continue():
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                results[number] = do(items[number])
        except BaseException as error:
            failures.append(error)

    helpers: list[threading.Thread] = []
    try:
        for _helper in range(min(threads, len(items)) - 1):
            helper = threading.Thread(target=work)
            helper.start()
            helpers.append(helper)
    except RuntimeError:
        pass  # The machine gives no more threads: those that there are do all the work.
    work()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
    return results
