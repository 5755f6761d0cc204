# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canceled task ends its waits immediately."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    COMPLETION_TIME,
    SIGNALS,
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CancelledError,
    Request,
)
from tests.support import VirtualClock


@contextmanager
def armed(
    stop: Cancellation, time_limit: float | None = None, *, is_default: bool = True
) -> Iterator[None]:
    """Install the signal handlers, and restore the previous ones afterwards."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    if is_default:
        # A shell that runs the tests in the background may start them with SIGINT ignored.
        for number in handlers:
            signal.signal(number, signal.SIG_DFL)
    try:
        stop.install_signal_handlers()
        if time_limit is not None:
            stop.set_limit(time_limit)
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def stop_of(virtual: VirtualClock, sleep: Callable[[float], None] | None = None) -> Cancellation:
    return Cancellation(Clock(virtual.now, sleep or virtual.sleep, virtual.random))


def test_an_undisturbed_pause_is_one_sleep() -> None:
    virtual = VirtualClock()
    stop_of(virtual).pause(7.25)
    assert virtual.sleeps == [7.25]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_pause(number: signal.Signals) -> None:
    virtual = VirtualClock()

    def sleep(seconds: float) -> None:
        virtual.sleep(seconds)
        if len(virtual.sleeps) == 3:
            os.kill(os.getpid(), number)

    stop = stop_of(virtual, sleep)
    with armed(stop):
        assert stop.reason == ""
        with pytest.raises(CancelledError, match=f"stopped by {number.name}") as caught:
            stop.pause(60)
        assert caught.value.fields()["type"] == "cancelled"
        with pytest.raises(CancelledError):
            stop.pause(60)
    assert len(virtual.sleeps) == 3


@pytest.mark.parametrize("number", SIGNALS)
def test_completing_allows_limited_waits_after_a_signal(number: signal.Signals) -> None:
    virtual = VirtualClock()
    stop = stop_of(virtual)
    with armed(stop):
        os.kill(os.getpid(), number)
        # The time counts from the first signal.
        os.kill(os.getpid(), signal.SIGTERM)
        with stop.completing():
            with stop.completing():
                stop.check()
            stop.pause(COMPLETION_TIME - 5)
            os.kill(os.getpid(), number)
            with pytest.raises(CancelledError):
                stop.pause(60)
            stop.check()
        with pytest.raises(CancelledError):
            stop.check()
    assert sum(virtual.sleeps) == pytest.approx(COMPLETION_TIME, abs=0.2)


def test_completing_applies_to_its_thread_only() -> None:
    stop = stop_of(VirtualClock())
    stop.set_limit(0)
    with stop.completing():
        failures = []

        def check() -> None:
            try:
                stop.check()
            except CancelledError as error:
                failures.append(error)

        thread = threading.Thread(target=check)
        thread.start()
        thread.join()
    assert len(failures) == 1


def test_the_time_limit_ends_every_wait() -> None:
    virtual = VirtualClock()
    stop = stop_of(virtual)
    with armed(stop, 5), stop.completing():
        with pytest.raises(CancelledError):
            stop.pause(60)
        stop.check()
    assert virtual.time == pytest.approx(1005)


def test_the_time_limit_ends_a_pause() -> None:
    virtual = VirtualClock()
    stop = stop_of(virtual)
    with armed(stop, 5):
        stop.pause(3)
        with pytest.raises(CancelledError, match=r"time_limit: 5 s") as caught:
            stop.pause(3)
    assert caught.value.fields()["type"] == "limit"
    assert virtual.time == pytest.approx(1005)
    assert stop.reason


def test_signal_handlers_are_installed_on_request_only() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    stop = stop_of(VirtualClock())
    stop.pause(1)
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with armed(stop):
        assert all(signal.getsignal(number) not in before for number in SIGNALS)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stop = stop_of(VirtualClock())
        with armed(stop, is_default=False):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason == ""
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("has_signal", [False, True])
def test_the_error_names_the_request_that_is_not_sent(has_signal: bool) -> None:
    request = Request("GET", "https://h", "/x", "read it")
    stop = stop_of(VirtualClock())
    with armed(stop, 9 if has_signal else 0):
        if has_signal:
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(CancelledError) as caught:
            stop.check(request)
    assert caught.value.request == request


def test_a_time_limit_works_in_another_thread() -> None:
    reasons = []

    def run() -> None:
        virtual = VirtualClock()
        stop = stop_of(virtual)
        with armed(stop, 1, is_default=False):
            virtual.sleep(1)
            reasons.append(stop.reason)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert reasons == ["the time limit was reached (time_limit: 1 s)"]
