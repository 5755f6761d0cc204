# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clocks that jump: the one that only goes on, and the one that people set."""

from __future__ import annotations

import importlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from unittest import mock

from tests.support import COLLECTION, VirtualClock

# What stands for never: a task that looks at the clock, or sleeps, so often, does not end.
MOST_LOOKS, MOST_SLEEPS = 200_000, 20_000
# How far time jumps, in seconds: a hiccup, a night, years.
JUMPS = (1.0, 45.0, 4000.0, 90_000.0, 1e8)


@dataclass
class JumpingClock(VirtualClock):
    """Time that jumps ahead or stands still for a while, now and then, and a calendar beside it."""

    chance: random.Random = field(default_factory=random.Random)
    # How likely a jump is, at each look and each sleep.
    share: float = 0.0
    looks: int = 0
    jumps: int = 0
    stuck: int = 0
    # The seconds of sleep that the clock has not seen.
    missed: float = 0.0
    calendar: datetime = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> float:
        with self.lock:
            self.looks += 1
            assert self.looks < MOST_LOOKS, "it looks at the clock for ever"
            if self.chance.random() < self.share:
                self._jump()
            return self.time

    def sleep(self, seconds: float) -> None:
        with self.lock:
            assert seconds > 0
            self.sleeps.append(seconds)
            assert len(self.sleeps) < MOST_SLEEPS, "it sleeps for ever"
            if self.chance.random() < self.share:
                self._jump()
            self.calendar += timedelta(seconds=seconds)
            if self.stuck:
                self.stuck -= 1
                self.missed += seconds
            else:
                self.time += seconds

    def _jump(self) -> None:
        self.jumps += 1
        far = self.chance.choice(JUMPS)
        kind = self.chance.randrange(4)
        if kind == 0:
            self.time += far  # a sleep of the machine that its clock counts
        elif kind == 1:
            self.stuck = self.chance.randrange(1, 30)  # one that it does not
        else:
            # Somebody sets the calendar, or a time server does.
            self.calendar += timedelta(seconds=far if kind == 2 else -far)


@contextmanager
def calendar_of(clock: JumpingClock) -> Iterator[None]:
    """Have the transport see the calendar of a clock."""

    class Calendar(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return clock.calendar.astimezone(tz)

    http = importlib.import_module(f"{COLLECTION}.plugins.module_utils._client._http")
    with mock.patch.object(http, "datetime", Calendar):
        yield
