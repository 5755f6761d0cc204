# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access lists of service accounts. The tests of API keys cover the behavior that both share."""

from __future__ import annotations

from functools import partial

import pytest

from tests.accounts import BUILDS, GONE, accounts, emulator_with_accounts, run_task
from tests.emulator import Emulator, Fault

A, B = "192.0.2.1", "2001:db8::/32"
emulator = emulator_with_accounts
run_list = partial(run_task, "service_account_access_list", entries=[A, B])


def test_entries_are_added(emulator: Emulator) -> None:
    outcome = run_list(emulator)
    assert outcome.result["service_account_access_list"] == {"client_id": BUILDS, "entries": [A, B]}
    assert accounts(emulator)[BUILDS].access_list == [A, B]


def test_an_entry_that_is_removed_in_the_meantime_is_not_an_error(emulator: Emulator) -> None:
    """The API's error code for this is not known, so the list decides."""
    accounts(emulator)[BUILDS].access_list = [A]
    emulator.add_fault(Fault("lost_after", method="DELETE", path="*accessList*"))
    assert run_list(emulator, entries=[A], state="absent").changed


@pytest.mark.parametrize("status", [400, 404])
def test_an_entry_that_someone_else_removes_first_is_not_an_error(
    emulator: Emulator, status: int
) -> None:
    accounts(emulator)[BUILDS].access_list = [A]
    removed = Fault("status", "DELETE", "*accessList*", status=status, code="X", after_write=True)
    emulator.add_fault(removed)
    outcome = run_list(emulator, entries=[A], state="absent")
    assert (outcome.failed, outcome.changed) == (False, False)


def test_an_account_that_is_still_listed_has_an_access_list(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", path=f"*{BUILDS}/accessList", times=None, **GONE))
    assert run_list(emulator, state="absent").result["error"]["type"] == "missing"
    assert run_task("service_account_info", emulator, name="builds", access_list=True).failed
    del accounts(emulator)[BUILDS]
    assert not run_list(emulator, state="absent").failed


def test_a_list_that_cannot_be_read_proves_nothing(emulator: Emulator) -> None:
    accounts(emulator)[BUILDS].access_list = [A]
    missing = {"status": 404, "code": "RESOURCE_NOT_FOUND", "parameters": [A]}
    emulator.add_fault(Fault("status", method="DELETE", **missing))
    emulator.add_fault(Fault("status", "GET", "*accessList", after=1, times=None, status=403))
    outcome = run_list(emulator, entries=[A], state="absent")
    assert (outcome.failed, outcome.code) == (True, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize("check", [True, False])
def test_a_list_does_not_grow_beyond_two_hundred(emulator: Emulator, check: bool) -> None:
    accounts(emulator)[BUILDS].access_list = [f"192.0.2.{n}" for n in range(150)]
    entries = [f"198.51.100.{n}" for n in range(51)]
    for purge in (False, True):
        outcome = run_list(emulator, entries=entries, purge=purge, check=check)
        assert outcome.result["error"]["type"] == "limit"
    assert emulator.writes == []
    assert run_list(emulator, entries=entries[1:], purge=True, check=check).changed
