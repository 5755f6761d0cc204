# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An organization of Atlas with service accounts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulator import Emulator, ServiceAccount
from tests.support import Outcome, client_id, key_pair, org_id, project_id, run_module, seed

ACCOUNTS = f"/api/atlas/v2/orgs/{org_id('atlas')}/serviceAccounts"
IN_PROJECT = f"/api/atlas/v2/groups/{project_id('atlas')}/serviceAccounts"
BUILDS = "mdb_sa_id_5a000000000000000000b001"
MANAGED = "mdb_sa_id_5a000000000000000000b002"
MISSING_ACCOUNT = "mdb_sa_id_deadbeefdeadbeefdeadbeef"
SECRET_IDS = ("5a0000000000000000005001", "5a0000000000000000005002")
DAY = 24 * 3600
# The fault of an account that the API does not find.
GONE = {"status": 404, "code": "SERVICE_ACCOUNT_NOT_FOUND", "parameters": [BUILDS]}


def world(*secrets: dict[str, Any]) -> dict[str, Any]:
    """Return the organizations of ``tests.support``; ``secrets`` are those of account BUILDS."""
    start = seed()
    account = {"description": "Builds", "roles": ["ORG_READ_ONLY"]}
    signing = start["organizations"][0]["service_accounts"][0]
    start["organizations"][0]["service_accounts"] = [
        signing,
        {**account, "client_id": BUILDS, "name": "builds", "secrets": list(secrets)},
        {**account, "client_id": MANAGED, "name": "managed", "is_system_managed": True},
        *({**account, "client_id": f"{BUILDS[:-4]}b10{n}", "name": "twin"} for n in (1, 2)),
    ]
    return start


def accounts(emulator: Emulator) -> dict[str, ServiceAccount]:
    return emulator.state.organizations[org_id("atlas")].service_accounts


@pytest.fixture
def emulator_with_accounts() -> Iterator[Emulator]:
    """Yield an emulator whose account BUILDS has one secret, which expires in a day."""
    soon = {"id": SECRET_IDS[0], "value": "mdb_sa_sk_soon", "expires_at": time.time() + DAY}
    with Emulator(world(soon)) as running:
        yield running


def run_for_accounts(emulator: Emulator, module: str, **options: Any) -> Outcome:
    """Run a module with the owner's key pair, unless ``options`` contains a credential."""
    ours = {name: options.pop(name) for name in ("check", "diff", "clock") if name in options}
    credential = {} if "client_id" in options else key_pair("atlas")
    base = {"base_url": emulator.url, "org_id": org_id("atlas"), **credential}
    return run_module(module, {**base, **options}, **ours)


def own_account(emulator: Emulator) -> dict[str, str]:
    """Return the credential of the signing account."""
    account = accounts(emulator)[client_id("atlas")]
    return {"client_id": account.client_id, "client_secret": account.secrets[0].value}
