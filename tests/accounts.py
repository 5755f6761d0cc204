# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An organization of Atlas with service accounts."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.emulator import Emulator, ServiceAccount, service_accounts
from tests.support import Outcome, org_id, project_id, run_as_owner, seed

ACCOUNTS = f"/api/atlas/v2/orgs/{org_id('atlas')}/serviceAccounts"
IN_PROJECT = f"/api/atlas/v2/groups/{project_id('atlas')}/serviceAccounts"
BUILDS = "mdb_sa_id_5a000000000000000000b001"
MANAGED = "mdb_sa_id_5a000000000000000000b002"
TWINS = ("mdb_sa_id_5a000000000000000000b101", "mdb_sa_id_5a000000000000000000b102")
MISSING_ACCOUNT = "mdb_sa_id_deadbeefdeadbeefdeadbeef"
SECRET_IDS = ("5a0000000000000000005001", "5a0000000000000000005002")
DAY = 24 * 3600
# The fault of an account that the API does not find.
GONE = {"status": 404, "code": "SERVICE_ACCOUNT_NOT_FOUND", "parameters": [BUILDS]}


def world(*secrets: dict[str, Any]) -> dict[str, Any]:
    """Return the organizations of ``tests.support``; ``secrets`` are those of account BUILDS."""
    start = seed()
    account = {"description": "Builds", "roles": ["ORG_READ_ONLY"]}
    managed = {"is_system_managed": True, "secrets": [{"id": SECRET_IDS[0], "value": "managed"}]}
    signing = start["organizations"][0]["service_accounts"][0]
    start["organizations"][0]["service_accounts"] = [
        signing,
        {**account, "client_id": BUILDS, "name": "builds", "secrets": list(secrets)},
        {**account, "client_id": MANAGED, "name": "managed", **managed},
        *({**account, "client_id": twin, "name": "twin"} for twin in TWINS),
    ]
    return start


def accounts(emulator: Emulator) -> dict[str, ServiceAccount]:
    return emulator.state.organizations[org_id("atlas")].service_accounts


@pytest.fixture
def emulator_with_accounts(emulator: Emulator) -> Emulator:
    """Return an emulator whose account BUILDS has one secret, which expires in a day."""
    soon = {"id": SECRET_IDS[0], "value": "mdb_sa_sk_soon", "expires_at": time.time() + DAY}
    emulator.reset(world(soon))
    return emulator


def run_task(module: str, emulator: Emulator, **options: Any) -> Outcome:
    """Run a module for account BUILDS with the owner's key pair, unless the options say otherwise.

    ``options`` may have arguments of ``run_module``, such as ``check``.
    """
    if not {"service_account_id", "name"} & options.keys():
        options["service_account_id"] = BUILDS
    return run_as_owner(module, emulator, "atlas", options)


def signing(emulator: Emulator, client: str = BUILDS) -> dict[str, str]:
    """Make an account an owner, and return the credential with its first secret."""
    account = accounts(emulator)[client]
    account.roles = ["ORG_OWNER"]
    return {"client_id": client, "client_secret": account.secrets[0].value}


def hide(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    """Let responses leave out a field of accounts."""
    show = service_accounts._show

    def show_less(*args: Any, **more: Any) -> dict[str, Any]:
        return {name: value for name, value in show(*args, **more).items() if name != hidden}

    monkeypatch.setattr(service_accounts, "_show", show_less)
