# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault at every request of org_api_key_access_list, on each platform."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.support import PLATFORMS, PRIVATE_KEYS
from tests.unit.modules.test_org_api_key_access_list import (
    OLD,
    OLDER,
    VALUE,
    A,
    B,
    C,
    entries,
    run,
    start,
)


@dataclass(frozen=True)
class Row:
    """A fault; ``retried``: a GET and a DELETE that meet it once are sent again, so that it does
    no harm. ``done``: the server carries out the request before it fails.
    """

    fault: str
    arguments: dict[str, Any] = field(default_factory=dict)
    retried: bool = False
    done: bool = False
    post_retried: bool = False

    def __str__(self) -> str:
        return f"{self.fault}({','.join(f'{n}={v}' for n, v in self.arguments.items())[:40]})"


DONE = {"after_write": True}
FAULTS = [
    Row("lost_before", retried=True),
    Row("lost_after", retried=True, done=True),
    Row("reset", retried=True),
    Row("reset", DONE, retried=True, done=True),
    Row("garbage", retried=True),
    Row("garbage", DONE, retried=True, done=True),
    Row("truncated", retried=True, done=True),
    Row("status", {"status": 429}, retried=True, post_retried=True),
    Row("status", {"status": 429, "retry_after": 7}, retried=True, post_retried=True),
    Row("status", {"status": 500}, retried=True),
    Row("status", {"status": 500, **DONE}, retried=True, done=True),
    Row("status", {"status": 503}, retried=True),
    Row("status", {"status": 503, **DONE}, retried=True, done=True),
    Row("status", {"status": 400}),
    Row("status", {"status": 401, "code": "USER_UNAUTHORIZED"}),
    Row("status", {"status": 403}),
    Row("html", {"status": 404}),
    Row("html", {"status": 200}),
    Row("html", {"status": 200, **DONE}, done=True),
    Row("redirect"),
    Row("redirect", DONE, done=True),
    Row("json", {"body": []}),
    Row("json", {"body": {"results": "none"}, **DONE}, done=True),
]
# Atlas meets all of them, and the other platforms these.
OF_EACH_PLATFORM = ("lost_after",)
REQUESTS = {
    "key": ("GET", "*/apiKeys/" + "[0-9a-f]" * 24, 0),
    "list": ("GET", "*/accessList", 0),
    "post": ("POST", "*", 0),
    "first-delete": ("DELETE", "*", 0),
    "second-delete": ("DELETE", "*", 1),
}


@pytest.mark.parametrize(
    ("platform", "row"),
    [
        pytest.param(platform, row, id=f"{platform}-{row}")
        for platform in PLATFORMS
        for row in FAULTS
        if platform == "atlas" or row.fault in OF_EACH_PLATFORM
    ],
)
@pytest.mark.parametrize("times", [1, None], ids=["once", "for-ever"])
@pytest.mark.parametrize("request_", REQUESTS)
def test_a_fault_at_any_request_is_survived_or_told(
    emulator: Emulator, platform: str, row: Row, request_: str, times: int | None
) -> None:
    method, pattern, after = REQUESTS[request_]
    start(emulator, OLD, OLDER, B, platform=platform)
    goal = {"entries": [A, B, C], "purge": True}
    emulator.add_fault(Fault(row.fault, method, pattern, after=after, times=times, **row.arguments))
    outcome = run(emulator, platform, **goal, diff=True)
    now = set(entries(emulator, platform))
    if method == "GET":
        works = row.retried and times == 1
    elif method == "POST":
        works = row.done or (row.post_retried and times == 1)
    else:
        works = row.done or (row.retried and times == 1)
    assert outcome.failed is not works, outcome.msg
    if method == "GET" and not works:
        assert emulator.writes == []
        assert VALUE not in outcome.result
    else:
        assert set(outcome.result[VALUE]["entries"]) == now
        assert set(outcome.result["diff"]["after"]["entries"]) == now
        assert outcome.result["diff"]["before"] == {"entries": [OLD, OLDER, B]}
    assert outcome.changed is (now != {OLD, OLDER, B})
    if works:
        assert now == {A, B, C}
    elif outcome.changed:
        assert f"access list now has {', '.join(outcome.result[VALUE]['entries'])}." in outcome.msg
    # Additions first: nobody is cut off in between.
    assert {A, C} <= now or {OLD, OLDER} <= now
    if not row.post_retried:
        # Never a second POST, whatever came of the first.
        sent = [request for request in emulator.requests if request.method == "POST"]
        assert len(sent) <= 1
    assert "Traceback" not in outcome.output
    assert PRIVATE_KEYS[platform] not in outcome.output
    assert outcome.clock.time - 1000 <= 130
    emulator.clear_faults()
    again = run(emulator, platform, **goal)
    assert not again.failed, again.msg
    assert again.changed is not works
    assert set(entries(emulator, platform)) == {A, B, C}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("fault", ["lost_before", "lost_after"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_change_that_cannot_be_looked_at_afterwards_is_told_as_unknown(
    emulator: Emulator, platform: str, fault: str, method: str
) -> None:
    start(emulator, OLD, platform=platform)
    emulator.add_fault(Fault(fault, method, times=None))
    emulator.add_fault(Fault("status", "GET", "*/accessList", after=1, times=None, status=503))
    outcome = run(emulator, platform, entries=[A], purge=True)
    assert outcome.failed
    in_question = A if method == "POST" else OLD
    assert f"Whether {in_question} was changed is not known" in outcome.msg
    assert outcome.changed is (method == "DELETE")
    emulator.clear_faults()
    assert not run(emulator, platform, entries=[A], purge=True).failed
    assert entries(emulator, platform) == [A]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_conflict_without_parameters_is_read_and_met(emulator: Emulator, platform: str) -> None:
    conflict = {"status": 409, "code": "ADDRESS_ALREADY_IN_WHITELIST"}
    emulator.add_fault(Fault("status", "POST", **conflict))
    assert run(emulator, platform, entries=[A, B]).changed
    assert entries(emulator, platform) == [A, B]
    emulator.add_fault(Fault("status", "POST", times=None, **conflict))
    outcome = run(emulator, platform, entries=[C])
    assert outcome.code == "ADDRESS_ALREADY_IN_WHITELIST"
    assert not outcome.changed
    assert outcome.clock.time - 1000 <= 10
