# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ending a task early and in order: what has begun is brought to its end, and nothing more begins.

A signal handler does no more than to write down the signal, since whatever it interrupts may
hold a lock. So whoever waits looks again every now and then.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import StoppedError

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# How often a wait looks whether it is to end, in seconds.
LOOK = 0.1


class Stop:
    """Whether a task is to end early. Until it is ``armed``, signals do what they always do."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_armed = False
        self._signal = ""
        self._limit = 0.0
        self._until = float("inf")

    @property
    def reason(self) -> str:
        """Return why the task is to end, "" where it is not."""
        if self._signal:
            return f"the task was told to stop ({self._signal})"
        if self._clock.now() >= self._until:
            return f"time_limit, {self._limit:g} s, is over"
        return ""

    @contextmanager
    def armed(self, time_limit: float | None) -> Iterator[None]:
        """Take SIGTERM, SIGINT and the end of ``time_limit`` (seconds) as a wish to stop."""
        if time_limit is not None:
            self._limit = time_limit
            self._until = self._clock.now() + time_limit
        self._is_armed = True
        handlers = {}
        if threading.current_thread() is threading.main_thread():
            # Who started the task with a signal ignored, does not want it to end by it.
            wanted = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            handlers = {number: signal.signal(number, self._note) for number in wanted}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._is_armed = False

    def _note(self, number: int, _frame: Any) -> None:
        self._signal = signal.Signals(number).name

    def pause(self, seconds: float) -> None:
        """Wait. Raises StoppedError as soon as the task is to end."""
        ends = self._clock.now() + seconds
        while True:
            if self.reason:
                raise StoppedError(self.reason)
            left = min(ends, self._until) - self._clock.now()
            if left <= 0:
                return
            self._clock.sleep(min(left, LOOK) if self._is_armed else left)
