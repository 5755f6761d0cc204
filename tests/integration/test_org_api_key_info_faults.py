# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key_info: a fault at any request is overcome once, and reported if it is permanent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.unit.modules.test_org_api_key_info import PASSING, PLACES, run


@pytest.mark.parametrize(("path", "after"), PLACES)
@pytest.mark.parametrize(("name", "arguments"), PASSING)
def test_a_fault_is_overcome_once_and_reported_if_permanent(
    emulator: Emulator, path: str, after: int, name: str, arguments: dict[str, Any]
) -> None:
    whole = run(emulator, access_list=True).result["org_api_keys"]
    emulator.add_fault(Fault(name, path=f"*{path}", after=after, **arguments))
    assert run(emulator, access_list=True).result["org_api_keys"] == whole
    emulator.clear_faults()
    emulator.add_fault(Fault(name, path=f"*{path}", after=after, times=None, **arguments))
    outcome = run(emulator, access_list=True, retries=2)
    assert outcome.failed
    assert "Could not" in outcome.msg
    assert "org_api_keys" not in outcome.result
