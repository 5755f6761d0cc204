# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Map a function over items in several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_concurrent(
    do: Callable[[T], R],
    items: Sequence[T],
    *,
    threads: int,
    should_continue: Callable[[], bool] = lambda: True,
) -> list[R | None]:
    """Return ``do(item)`` for each item, in order; None for items that were not started.

    Items are started in order while ``should_continue()`` is true; calls in flight finish.
    The calling thread works too, so its connection and challenge are reused. After an exception,
    no more items are started, and the first exception is raised.
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
        pass  # The system allows no more threads; the existing ones do all the work.
    work()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
    return results
