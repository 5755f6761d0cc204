# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a request may be sent, for all threads of a task together.

A refusal (429) holds back all of them, and an answer that says that a limit is nearly used up
makes them take turns, at the rate at which the API fills it up again. Tells times only: nobody
sleeps in here, and so nobody does with the lock in his hand. Seconds.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# Of its capacity; below that, requests take turns.
NEARLY_USED_UP = 0.05
# What the API documents of its token buckets: requests that are refilled each minute, by the
# capacity that RateLimit-Limit tells (api-facts 6). What another capacity means, of a gateway's own
# say, is not known, and changes nothing.
_REFILLS = {300: 100, 500: 250, 1200: 500}
_SCOPE = re.compile(r"/(?:orgs|groups)/[^/]+")


@dataclass
class _Bucket:
    """The limit of one organization or project: seconds between two requests, and the next's."""

    interval: float = 0.0
    next_turn: float = 0.0


class RateLimiter:
    """The limits that the answers to one task have told of. ``now``: of the clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}
        self._pause_ends = 0.0
        self._pauses = 0
        self._refusals_in_a_row = 0

    def take_turn(self, path: str) -> tuple[float, int]:
        """Return how long a request has to wait; when that is 0 it has its turn, and is sent.

        Otherwise it has to ask again after the wait. The second value is for ``refused``.
        """
        with self._lock:
            now = self._now()
            bucket = self._buckets.get(_scope(path))
            wait = self._pause_ends - now
            if bucket and bucket.interval:
                wait = max(wait, bucket.next_turn - now)
                if wait <= 0:
                    bucket.next_turn = now + bucket.interval
            return max(0.0, wait), self._pauses

    def answered(self, path: str, status: int, headers: Mapping[str, str]) -> None:
        """Take in what an answer tells of the limit; headers may lack, or be of no use."""
        limit, left = (_number(headers, f"RateLimit-{name}") for name in ("Limit", "Remaining"))
        with self._lock:
            if status != 429 and status < 500:
                self._refusals_in_a_row = 0
            if limit not in _REFILLS or left is None:
                return
            bucket = self._buckets.setdefault(_scope(path), _Bucket())
            bucket.interval = 60 / _REFILLS[limit] if left < limit * NEARLY_USED_UP else 0.0

    def refused(self, ticket: int) -> int:
        """Return how many refusals there were in a row, this one included.

        Requests that were on their way together and are refused together count as one.
        """
        with self._lock:
            return self._refusals_in_a_row + (ticket == self._pauses)

    def pause(self, ticket: int, wait: float) -> None:
        """Hold back all requests, after a refusal."""
        with self._lock:
            if ticket == self._pauses:
                self._pauses += 1
                self._refusals_in_a_row += 1
            self._pause_ends = max(self._pause_ends, self._now() + wait)


def _scope(path: str) -> str:
    """Return what shares a limit: an organization, a project, or what is beside them."""
    match = _SCOPE.search(path)
    return match.group() if match else ""


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
