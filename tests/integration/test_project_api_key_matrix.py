# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""project_api_key: every start, platform and credential, in check mode, for real and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.support import API_PATHS, PLATFORMS, key_id, project_id, public_key
from tests.unit.modules.test_project_api_key import (
    IN_ORDER,
    STARTS,
    assignment,
    rest,
    roles_of,
    run,
    signers,
    start,
)


@pytest.mark.parametrize(("platform", "credential"), signers())
@pytest.mark.parametrize("before", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_key_gets_exactly_these_roles_or_leaves_the_project(
    emulator: Emulator,
    platform: str,
    credential: Callable[[str], dict[str, str]],
    before: Any,
    state: str,
) -> None:
    untouched = start(emulator, platform, before)
    options = {**credential(platform), "diff": True, "state": state}
    checked = run(emulator, platform, **options, check=True)
    assert emulator.writes == []
    real = run(emulator, platform, **options)
    again = run(emulator, platform, **options)
    after = IN_ORDER if state == "present" else None
    is_change = (None if before is None else sorted(before)) != after
    assert [checked.changed, real.changed, again.changed] == [is_change, is_change, False]
    for outcome in (checked, real, again):
        assert not outcome.failed
        assert outcome.result["project_api_key"] == (assignment(platform) if after else None)
    ends = [{"roles": sorted(roles)} if roles else {} for roles in (before, after)]
    assert checked.result["diff"] == real.result["diff"] == dict(zip(("before", "after"), ends))
    assert again.result["diff"] == {"before": ends[1], "after": ends[1]}
    assert roles_of(emulator, platform) == after
    assert rest(emulator, platform) == untouched
    method = "DELETE" if after is None else "PATCH"
    if after and platform == "atlas" and before is None:
        method = "POST"
    path = f"{API_PATHS[platform]}/groups/{project_id(platform)}/apiKeys/{key_id(platform, 3)}"
    assert [(write.method, write.path) for write in emulator.writes] == [(method, path)] * is_change


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("before", [None, ["GROUP_OWNER"]])
@pytest.mark.parametrize("option", ["api_user_id", "id", "public_key", "description", "desc"])
def test_a_key_is_identified_in_each_way(
    emulator: Emulator, platform: str, before: list[str] | None, option: str
) -> None:
    start(emulator, platform, before)
    names = {"public_key": public_key(platform, 3)}
    names |= dict.fromkeys(("api_user_id", "id"), key_id(platform, 3))
    names |= dict.fromkeys(("description", "desc"), "ünïcode ☃ key")
    outcome = run(emulator, platform, **{option: names[option]})
    assert outcome.changed
    assert outcome.result["project_api_key"] == assignment(platform)
    assert roles_of(emulator, platform) == IN_ORDER
    gone = run(emulator, platform, **{option: names[option]}, state="absent")
    assert gone.changed
    assert roles_of(emulator, platform) is None
