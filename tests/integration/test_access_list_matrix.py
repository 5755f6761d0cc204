# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key_access_list: every goal from every start, in check mode, for real and again."""

from __future__ import annotations

import pytest

from tests.emulator import Emulator
from tests.support import PLATFORMS, key_id, public_key
from tests.unit.modules.test_org_api_key_access_list import (
    GOALS,
    OLD,
    OLDER,
    STARTS,
    VALUE,
    A,
    B,
    C,
    D,
    entries,
    run,
    start,
)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("beginning", STARTS)
def test_each_goal_is_reached_once(
    emulator: Emulator, platform: str, goal: str, beginning: str
) -> None:
    options, expected = GOALS[goal]
    before = STARTS[beginning]
    after = expected(set(before))
    start(emulator, *before, platform=platform)
    checked = run(emulator, platform, **options, check=True, diff=True)
    assert emulator.writes == []
    assert entries(emulator, platform) == before
    real = run(emulator, platform, **options, diff=True)
    posts = [write.method for write in emulator.writes].count("POST")
    deletions = len(emulator.writes) - posts
    again = run(emulator, platform, **options, diff=True)
    is_change = set(before) != after
    outcomes = (checked, real, again)
    assert [outcome.changed for outcome in outcomes] == [is_change, is_change, False]
    assert not any(outcome.failed for outcome in outcomes)
    assert set(entries(emulator, platform)) == after
    in_order = [entry for entry in (OLD, OLDER, A, B, C, D) if entry in after]
    for outcome in outcomes:
        assert outcome.result[VALUE] == {
            "api_user_id": key_id(platform, 2),
            "public_key": public_key(platform, 2),
            "entries": in_order,
        }
        assert outcome.result["diff"]["after"] == {"entries": in_order}
    assert checked.result["diff"] == real.result["diff"]
    assert set(real.result["diff"]["before"]["entries"]) == set(before)
    assert again.result["diff"]["before"] == again.result["diff"]["after"]
    # All additions come first, in one request; then one request for each removal.
    assert posts == bool(after - set(before))
    assert deletions == len(set(before) - after)
    assert "POST" not in [write.method for write in emulator.writes[1:]]
