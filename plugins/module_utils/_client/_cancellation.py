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

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CancelledError,
    Request,
    TimeLimitError,
)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# How often a wait looks whether it is to end, in seconds.
POLL_INTERVAL = 0.1
# How many seconds after a signal a task may still wait to find out what a change has led to. A new
# key may take 10 s to be listed.
COMPLETION_TIME = 15.0


class _Completion(threading.local):
    """How many nested blocks of ``completing`` a thread is in."""

    depth = 0


class Cancellation:
    """Whether a task is to end early: by a signal, if it handles them, or its time limit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heeds_signals = False
        self._signal = ""
        self._signaled_at = float("inf")
        self._completion = _Completion()
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

    def set_limit(self, seconds: float) -> None:
        """Take the end of a time limit, from now on, as a wish to stop."""
        self._limit = seconds
        self._until = self._clock.now() + seconds

    def install_signal_handlers(self) -> None:
        """Take each of SIGNALS as a wish to stop, to the end of the process.

        To its very end, since a result that is not printed yet must not be lost either.
        """
        self._heeds_signals = True
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # Who started the task with a signal ignored, does not want it to end by it.
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._note)

    def error(self, request: Request | None = None) -> CancelledError:
        """Return why the task stops as an error. ``request``: what is not sent for that reason."""
        kind = CancelledError if self._signal else TimeLimitError
        return kind(self.reason, request=request)

    @contextmanager
    def completing(self) -> Iterator[None]:
        """Let this thread complete what it has begun: requests and, for a while, waits go on.

        This is for what belongs to a change that was sent: looking up what it has led to, or
        undoing it. Without that, nobody would know what exists.
        """
        self._completion.depth += 1
        try:
            yield
        finally:
            self._completion.depth -= 1

    def check(self, request: Request | None = None) -> None:
        """Raise StoppedError if the task is to stop, before anything more is started."""
        if self.reason and not self._completion.depth:
            raise self.error(request)

    def _note(self, number: int, _frame: Any) -> None:
        self._signal = signal.Signals(number).name
        self._signaled_at = min(self._signaled_at, self._clock.now())

    def pause(self, seconds: float) -> None:
        """Wait. Raises StoppedError as soon as the task is to end."""
        ends = self._clock.now() + seconds
        while True:
            self._check_wait()
            left = min(ends, self._until) - self._clock.now()
            if left <= 0:
                return
            self._clock.sleep(min(left, POLL_INTERVAL) if self._heeds_signals else left)

    def _check_wait(self) -> None:
        """Raise StoppedError if a wait is to end. A time limit ends every wait."""
        now = self._clock.now()
        may_complete = self._completion.depth and now < min(
            self._until, self._signaled_at + COMPLETION_TIME
        )
        if self.reason and not may_complete:
            raise self.error()
