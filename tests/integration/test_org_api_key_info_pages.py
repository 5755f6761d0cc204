# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key_info: long listings, and responses that are not listings."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _client
from tests.emulator import Emulator, Fault
from tests.support import PLATFORMS, VirtualClock, seed
from tests.unit.modules.test_org_api_key_info import PLACES, WRONG, expected, numbers, run


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_page_is_read(emulator: Emulator, platform: str) -> None:
    emulator.reset(seed(extra_keys=899))
    outcome = run(emulator, platform)
    assert len(outcome.result["org_api_keys"]) == 906
    assert outcome.result["org_api_keys"] == expected(emulator, platform)
    assert [request.status for request in emulator.requests] == [401, 200, 200, 200, 200]
    assert numbers(run(emulator, platform, description="extra 898"), platform) == [998]


@pytest.mark.parametrize(("path", "after"), PLACES)
@pytest.mark.parametrize(("name", "arguments"), WRONG)
def test_an_invalid_listing_is_not_treated_as_empty(
    emulator: Emulator, path: str, after: int, name: str, arguments: dict[str, Any]
) -> None:
    emulator.add_fault(Fault(name, path=f"*{path}", after=after, **arguments))
    outcome = run(emulator, access_list=True)
    if path == "/accessList" and arguments.get("code") == "RESOURCE_NOT_FOUND":
        # Only Ops Manager has the old name of the path.
        assert "whitelist" not in str([request.path for request in emulator.requests])
    assert outcome.failed
    assert outcome.code == arguments.get("code")
    assert "org_api_keys" not in outcome.result


def test_a_listing_of_slow_pages_has_a_deadline(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page arrives in time: a response may take 60 s here, and the listing 600 s."""
    monkeypatch.setattr(_client, "ITEMS_PER_PAGE", 1)
    emulator.reset(seed(extra_keys=93))
    clock = VirtualClock()
    emulator.sleep = clock.sleep
    emulator.settings.latency = 40.0
    outcome = run(emulator, timeout=60, clock=clock)
    assert outcome.failed
    assert "the list was not complete within 600 s" in outcome.msg
    assert "raise timeout" in outcome.msg
    assert outcome.result["error"]["reason"] == "timeout"
    assert sum(request.status == 200 for request in emulator.requests) == 12
