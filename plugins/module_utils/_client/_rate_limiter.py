# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide when to send requests: once the API throttles one (429), all threads wait.

The APIs refill a limit all at once, about a minute after its first use, and no response shows when
that was. So requests are not paced: they are sent until one is throttled. This class only computes
times in seconds; no thread sleeps while holding the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class RateLimiter:
    """Tracks the 429 responses of one task. ``now``: the clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._pause_ends = 0.0
        self._pauses = 0
        self._throttled_in_a_row = 0

    def acquire(self) -> tuple[float, int]:
        """Return how long to wait before asking again, 0 to send now; and the generation.

        The generation identifies the request for the other methods.
        """
        with self._lock:
            return max(0.0, self._pause_ends - self._now()), self._pauses

    def note_accepted(self) -> None:
        """Note that a request was not throttled."""
        with self._lock:
            self._throttled_in_a_row = 0

    def throttle_count(self, generation: int) -> int:
        """Return how many 429s came in a row, including this one.

        Requests of the same generation count as one.
        """
        with self._lock:
            return self._throttled_in_a_row + (generation == self._pauses)

    def is_outdated(self, generation: int) -> bool:
        """Return whether a request was sent before the latest pause began."""
        with self._lock:
            return generation != self._pauses

    def pause(self, generation: int, wait: float) -> None:
        """Hold back all requests after a 429."""
        with self._lock:
            if generation == self._pauses:
                self._pauses += 1
                self._throttled_in_a_row += 1
            self._pause_ends = max(self._pause_ends, self._now() + wait)
