# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a request may be sent, for all threads of a task together: after a refusal (429), later.

The APIs refill a limit in one lump, about a minute after its first use, and from outside nobody can
tell when that was. So nothing is paced: requests are sent until one is refused. This class tells
times only. Nobody sleeps in here, and so nobody does while holding the lock. Seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class RateLimiter:
    """The refusals of one task. ``now``: of the clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._pause_ends = 0.0
        self._pauses = 0
        self._refusals_in_a_row = 0

    def wait(self) -> tuple[float, int]:
        """Return how long a request has to wait before it asks again; 0 if it can be sent.

        The second value is for ``refused`` and ``pause``.
        """
        with self._lock:
            return max(0.0, self._pause_ends - self._now()), self._pauses

    def accepted(self) -> None:
        """Take in that a request was not refused."""
        with self._lock:
            self._refusals_in_a_row = 0

    def refused(self, generation: int) -> int:
        """Return how many refusals there were in a row, this one included.

        Requests that were on their way together and are refused together count as one.
        """
        with self._lock:
            return self._refusals_in_a_row + (generation == self._pauses)

    def is_outdated(self, generation: int) -> bool:
        """Whether a request was sent before the latest pause began."""
        with self._lock:
            return generation != self._pauses

    def pause(self, generation: int, wait: float) -> None:
        """Hold back all requests, after a refusal."""
        with self._lock:
            if generation == self._pauses:
                self._pauses += 1
                self._refusals_in_a_row += 1
            self._pause_ends = max(self._pause_ends, self._now() + wait)
