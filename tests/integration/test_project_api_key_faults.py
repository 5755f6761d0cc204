# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trouble at any request of project_api_key: it ends right or is told, and a rerun converges."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.support import Outcome, key_id, seed
from tests.unit.modules.test_project_api_key import IN_ORDER, WANTED, rest, roles_of, run, start

# Trouble on the way, at each request of each flow

FLOWS: dict[str, tuple[str, Any, dict[str, Any], int]] = {
    "atlas assigns": ("atlas", None, {}, 3),
    "atlas assigns by description": ("atlas", None, {"description": "ünïcode ☃ key"}, 3),
    "atlas changes": ("atlas", ["GROUP_OWNER"], {}, 2),
    "atlas takes out": ("atlas", WANTED, {"state": "absent"}, 2),
    "ops_manager assigns": ("ops_manager", None, {}, 3),
    "ops_manager takes out": ("ops_manager", WANTED, {"state": "absent"}, 2),
}
TROUBLE: dict[str, tuple[str, dict[str, Any]]] = {
    "lost before": ("lost_before", {}),
    "lost after": ("lost_after", {}),
    "reset": ("reset", {}),
    "reset after": ("reset", {"after_write": True}),
    "garbage": ("garbage", {}),
    "garbage after": ("garbage", {"after_write": True}),
    "429": ("status", {"status": 429, "retry_after": 1}),
    "500": ("status", {"status": 500}),
    "500 after": ("status", {"status": 500, "after_write": True}),
    "503": ("status", {"status": 503}),
    "503 after": ("status", {"status": 503, "after_write": True}),
    "html 404": ("html", {"status": 404}),
    "html 200": ("html", {"status": 200}),
    "html 200 after": ("html", {"status": 200, "after_write": True}),
    "json of another shape after": ("json", {"body": {"a": 1}, "after_write": True}),
    "redirect": ("redirect", {}),
    "redirect after": ("redirect", {"after_write": True}),
}


@pytest.mark.parametrize("times", [1, None], ids=["once", "for ever"])
@pytest.mark.parametrize(
    ("flow", "number", "trouble"),
    # Atlas meets all of it, and the other platform the one that is the hardest to see through.
    [
        (flow, number, trouble)
        for flow, values in FLOWS.items()
        for number in range(values[3])
        for trouble in (TROUBLE if values[0] == "atlas" else ["lost after"])
    ],
)
def test_trouble_at_any_request_ends_right_or_is_told(
    emulator: Emulator, flow: str, number: int, trouble: str, times: int | None
) -> None:
    platform, before, options, _requests = FLOWS[flow]
    wanted = None if options.get("state") == "absent" else IN_ORDER
    untouched = start(emulator, platform, before)
    name, arguments = TROUBLE[trouble]
    emulator.add_fault(Fault(name, after=number, times=times, **arguments))
    outcome = run(emulator, platform, **options)
    assert len(emulator.writes) <= 1
    now = roles_of(emulator, platform)
    if outcome.failed:
        check_failure(emulator, platform, outcome, before, now)
    else:
        assert outcome.changed
        assert now == wanted
    # Whatever it was, another run ends well, and the next finds nothing to do.
    emulator.clear_faults()
    again = run(emulator, platform, **options)
    assert not again.failed
    assert again.changed is (now != wanted)
    assert roles_of(emulator, platform) == wanted
    assert not run(emulator, platform, **options).changed
    assert rest(emulator, platform) == untouched
    assert [write.method for write in emulator.writes].count("POST") <= 1


def check_failure(
    emulator: Emulator, platform: str, outcome: Outcome, before: Any, now: list[str] | None
) -> None:
    """A failure tells what exists, where something may have been changed."""
    sent = [request for request in emulator.requests if request.method != "GET"]
    was = None if before is None else sorted(before)
    if not sent:
        assert now == was
        assert "now" not in outcome.msg
        return
    state = f"assigned with the roles {', '.join(now)}" if now else "not assigned to it"
    is_refused = sent[-1].status == 429
    assert (
        f"shows the API key {key_id(platform, 3)} as {state} now" in outcome.msg
        or "could not be checked" in outcome.msg
        or (is_refused and now == was)
    ), outcome.msg
    assert is_refused or "It is safe to run the task again." in outcome.msg


def test_trouble_is_mostly_overcome(emulator: Emulator) -> None:
    """Of one lost answer nothing is seen in the result, at whatever request."""
    for number in range(3):
        emulator.reset(seed())
        emulator.add_fault(Fault("lost_after", after=number))
        outcome = run(emulator)
        assert outcome.changed
        assert not outcome.failed
        assert len(emulator.writes) == 1


def test_a_deletion_whose_answer_was_lost_was_ours(emulator: Emulator) -> None:
    for code in ("API_KEY_NOT_FOUND", "RESOURCE_NOT_FOUND"):
        start(emulator, "atlas", WANTED)
        emulator.settings.unassigned_code = code
        emulator.add_fault(Fault("lost_after", "DELETE"))
        outcome = run(emulator, state="absent")
        assert outcome.changed
        assert not outcome.failed


# Refusals
