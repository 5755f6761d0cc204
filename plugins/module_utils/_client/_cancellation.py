# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stop a task early: work in progress finishes, and nothing new starts.

A signal handler only records the signal, because the code that it interrupts may hold a lock. So
waiting code polls.
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
# How often a wait checks for a signal, in seconds.
POLL_INTERVAL = 0.1
# How many seconds after a signal a task may still wait for the outcome of a change. A new key may
# take 10 s to be listed.
COMPLETION_TIME = 15.0


class _Completion(threading.local):
    """The nesting level of ``completing`` in this thread."""

    depth = 0


class Cancellation:
    """Return whether a task must stop early: after a signal, or when its time limit is reached."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._handles_signals = False
        self._signal = ""
        self._signaled_at = float("inf")
        self._completion = _Completion()
        self._limit = 0.0
        self._until = float("inf")

    @property
    def reason(self) -> str:
        """Return why the task must stop, or "" if it may continue."""
        if self._signal:
            return f"the task was stopped by {self._signal}"
        if self._clock.now() >= self._until:
            return f"the time limit was reached (time_limit: {self._limit:g} s)"
        return ""

    def set_limit(self, seconds: float) -> None:
        """Stop the task after this many seconds."""
        self._limit = seconds
        self._until = self._clock.now() + seconds

    def install_signal_handlers(self) -> None:
        """Let SIGNALS stop the task, until the process ends.

        A signal must not lose a result that is not printed yet.
        """
        self._handles_signals = True
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # Keep ignoring a signal that was ignored when the task started.
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._note)

    def error(self, request: Request | None = None) -> CancelledError:
        """Return the error of a stopped task. ``request``: the request that is not sent."""
        if self._signal:
            return CancelledError(self.reason, request=request)
        hint = "Increase time_limit, or run the task again to continue."
        return TimeLimitError(self.reason, request=request, hint=hint)

    @contextmanager
    def completing(self) -> Iterator[None]:
        """Let this thread finish: requests and, for a limited time, waits continue.

        Use it to look up the outcome of a change that was sent, or to undo it.
        """
        self._completion.depth += 1
        try:
            yield
        finally:
            self._completion.depth -= 1

    def check(self, request: Request | None = None) -> None:
        """Raise CancelledError if the task must not start anything new."""
        if self.reason and not self._completion.depth:
            raise self.error(request)

    def _note(self, number: int, _frame: Any) -> None:
        self._signal = signal.Signals(number).name
        self._signaled_at = min(self._signaled_at, self._clock.now())

    def pause(self, seconds: float) -> None:
        """Wait. Raises CancelledError as soon as the task must stop."""
        ends = self._clock.now() + seconds
        while True:
            self._check_wait()
            left = min(ends, self._until) - self._clock.now()
            if left <= 0:
                return
            self._clock.sleep(min(left, POLL_INTERVAL) if self._handles_signals else left)

    def _check_wait(self) -> None:
        """Raise CancelledError if a wait must end. A time limit ends every wait."""
        now = self._clock.now()
        may_complete = self._completion.depth and now < min(
            self._until, self._signaled_at + COMPLETION_TIME
        )
        if self.reason and not may_complete:
            raise self.error()
