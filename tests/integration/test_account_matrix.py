# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All tasks for service accounts with each kind of credential: in check mode, for real and again.

The request counts exclude requests that get a challenge, and requests for tokens.
"""

from __future__ import annotations

import pytest

from tests.emulator import Emulator
from tests.integration.test_flows import FLOWS, Flow
from tests.samples import WITH_ACCOUNTS
from tests.support import (
    account_id,
    client_id,
    fetch_token,
    key_pair,
    run_as_owner,
    seed,
    service_account,
)

# How many requests a task sends in check mode, for real and again.
COUNTS = {
    "delete an account by id": (1, 2, 2),
    "delete an account and wait": (1, 6, 1),
    "change an account by id": (1, 2, 1),
    "change an account": (1, 2, 1),
    # The list is read again to find another account with this name.
    "create an account": (1, 3, 1),
    "create an account and a secret": (1, 3, 1),
    "create a secret": (1, 3, 1),
    "delete a secret": (1, 2, 1),
    "set an account's access list": (2, 4, 2),
    "assign an account to a project": (2, 3, 2),
    "change an account's roles in a project": (2, 3, 2),
    "remove an account from a project": (2, 3, 2),
    # The list, and two requests for each of three accounts.
    "read accounts, their access lists and projects": (7, 7, 7),
}
BY_ID = [
    Flow(
        "delete an account by id",
        "service_account",
        lambda p: {"service_account_id": account_id(p, 2), "state": "absent"},
    ),
    Flow(
        "change an account by id",
        "service_account",
        lambda p: {"service_account_id": account_id(p, 2), "roles": ["ORG_READ_ONLY"]},
    ),
]
TASKS = [*BY_ID, *(flow for flow in FLOWS if flow.is_about_accounts)]
CREDENTIALS = ("pair", "account", "token")


def credential_of(emulator: Emulator, platform: str, kind: str) -> dict[str, str]:
    if kind == "token":
        # A token is opaque, so the guards need to know which account owns it.
        token = fetch_token(emulator.url, platform)
        return {"access_token": token, "client_id": client_id(platform)}
    return key_pair(platform) if kind == "pair" else service_account(platform)


@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize("platform", WITH_ACCOUNTS)
@pytest.mark.parametrize("flow", TASKS, ids=str)
def test_a_task_for_accounts_makes_its_change_once(
    emulator: Emulator, flow: Flow, platform: str, kind: str
) -> None:
    emulator.reset(seed())
    task = {**credential_of(emulator, platform, kind), **flow.options(platform), "diff": True}
    emulator.writes.clear()
    outcomes, counts = [], []
    for check in (True, False, False):
        before = len(emulator.requests)
        options = {**task, "check": check}
        outcomes.append(run_as_owner(flow.module, emulator, platform, options))
        sent = [one for one in emulator.requests[before:] if one.status != 401]
        counts.append(len([one for one in sent if "/oauth/" not in one.path]))
        assert not (check and emulator.writes)
        # Only a client secret is exchanged for a token, and only once.
        assert len(sent) - counts[-1] == 2 * (kind == "account")
    checked, real, again = outcomes
    assert [outcome.msg for outcome in outcomes if outcome.failed] == []
    assert [outcome.changed for outcome in outcomes] == [flow.writes, flow.writes, False]
    assert bool(emulator.writes) is flow.writes
    if flow.writes:
        assert checked.result["diff"] == real.result["diff"]
        assert again.result["diff"]["before"] == again.result["diff"]["after"]
    assert tuple(counts) == COUNTS[flow.name]
