# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access lists of service accounts. The tests of API keys cover the behavior that both share."""

from __future__ import annotations

from typing import Any

import pytest

from tests.accounts import (
    BUILDS,
    GONE,
    MISSING_ACCOUNT,
    accounts,
    emulator_with_accounts,
    own_account,
    run_for_accounts,
)
from tests.emulator import Emulator, Fault
from tests.support import (
    Outcome,
    client_id,
)

A, B = "192.0.2.1", "2001:db8::/32"
# Its account BUILDS has one secret, which expires in a day.
emulator = emulator_with_accounts


def run_list(emulator: Emulator, **options: Any) -> Outcome:
    options = {"service_account_id": BUILDS, "entries": [A, B], **options}
    return run_for_accounts(emulator, "service_account_access_list", **options)


def test_entries_are_added_and_removed_once(emulator: Emulator) -> None:
    checked = run_list(emulator, check=True, diff=True)
    assert emulator.writes == []
    real, again = run_list(emulator, diff=True), run_list(emulator, diff=True)
    assert [checked.changed, real.changed, again.changed] == [True, True, False]
    assert real.result["service_account_access_list"] == {"client_id": BUILDS, "entries": [A, B]}
    assert checked.result["diff"] == real.result["diff"]
    purged = run_list(emulator, entries=[A], purge=True)
    assert purged.result["service_account_access_list"]["entries"] == [A]
    removed, gone = (run_list(emulator, entries=[A], state="absent") for _round in range(2))
    assert [removed.changed, gone.changed] == [True, False]
    assert accounts(emulator)[BUILDS].access_list == []


def test_an_entry_that_is_removed_in_the_meantime_is_not_an_error(emulator: Emulator) -> None:
    """The API's error code for this is not known, so the list decides."""
    accounts(emulator)[BUILDS].access_list = [A]
    emulator.add_fault(Fault("lost_after", method="DELETE", path="*accessList*"))
    assert run_list(emulator, entries=[A], state="absent").changed


def test_more_than_two_hundred_entries_are_refused(emulator: Emulator) -> None:
    outcome = run_list(emulator, entries=[f"192.0.2.{n % 250}/32" for n in range(150)])
    assert not outcome.failed
    entries = [f"10.0.{n // 250}.{n % 250}" for n in range(201)]
    before = len(emulator.requests)
    refused = run_list(emulator, entries=entries)
    assert refused.result["error"]["type"] == "options"
    assert "200" in refused.msg
    assert len(emulator.requests) == before


def test_the_list_of_the_signing_account_is_guarded(emulator: Emulator) -> None:
    options = {
        "service_account_id": client_id("atlas"),
        "entries": ["127.0.0.1"],
        **own_account(emulator),
    }
    assert run_list(emulator, **options).result["error"]["type"] == "own_credential"
    assert run_list(emulator, **options, allow_own_account=True).changed


def test_a_missing_account_fails_unless_state_is_absent(emulator: Emulator) -> None:
    outcome = run_list(emulator, service_account_id=MISSING_ACCOUNT)
    assert outcome.result["error"]["type"] == "missing"
    absent = run_list(emulator, service_account_id=MISSING_ACCOUNT, state="absent")
    assert (absent.changed, absent.failed) == (False, False)


def test_an_account_that_is_still_listed_has_an_access_list(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", path=f"*{BUILDS}/accessList", times=None, **GONE))
    assert run_list(emulator, state="absent").result["error"]["type"] == "missing"
    assert run_for_accounts(
        emulator, "service_account_info", name="builds", access_list=True
    ).failed
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
