# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill a task for a service account at a write; the next run completes the task or warns.

The write is carried out without a response, or not at all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.accounts import accounts
from tests.emulator import Emulator, ServiceAccount
from tests.emulator.state import Secret
from tests.integration import test_flows
from tests.integration.test_flows import BUSY, FLOWS, Flow
from tests.support import (
    account_id,
    fetch_token,
    key_pair,
    org_id,
    run_as_owner,
    run_module,
    seed,
    service_account,
)
from tests.trust.death.kills import DONE, LOST, Point, kill_at_lines, module_until_killed

PLATFORM = "atlas"
SECRET = "service_account_secret"
# This one has two writes.
MAKE_ROOM = Flow(
    "make room for a secret",
    SECRET,
    lambda _p: {**BUSY, "secret_expires_after_hours": 720, "make_room": "oldest"},
)
TASKS = [*(flow for flow in FLOWS if flow.is_about_accounts and flow.writes), MAKE_ROOM]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="kills processes through /proc"
)


@pytest.mark.parametrize("mode", [DONE, LOST])
def test_the_next_run_completes_a_killed_revocation_of_a_token(
    emulator: Emulator, collections: Path, mode: str
) -> None:
    options = {"base_url": emulator.url, **service_account(PLATFORM), "state": "absent"}
    options["token"] = fetch_token(emulator.url, PLATFORM)
    point = Point(mode, 0, "POST", "*/revoke")
    module_until_killed(collections, "access_token", options, emulator, point)
    runs = [run_module("access_token", options) for _run in range(2)]
    assert [run.msg for run in runs if run.failed] == []
    assert [run.changed for run in runs] == [mode == LOST, False]
    assert emulator.state.tokens == {}


def start(emulator: Emulator) -> None:
    """Start with an account that has two secrets."""
    emulator.reset(seed())
    newer = Secret("5a5f" + "0" * 20, "mdb_sa_sk_canary-of-room", created_at=1777777777.0)
    accounts(emulator)[account_id(PLATFORM, 3)].secrets.append(newer)


def connection(emulator: Emulator) -> dict[str, str]:
    where = {"platform": PLATFORM, "base_url": emulator.url, "org_id": org_id(PLATFORM)}
    return {**where, **key_pair(PLATFORM)}


def state(emulator: Emulator) -> list[Any]:
    """Return the accounts without the number of their secrets."""
    return [row[:-1] for row in test_flows.state(emulator, PLATFORM)]


def secrets_of(emulator: Emulator, name: str) -> dict[str, str]:
    found = [account for account in accounts(emulator).values() if account.name == name]
    return {secret.id: secret.value for account in found for secret in account.secrets}


@pytest.mark.parametrize("mode", [DONE, LOST])
@pytest.mark.parametrize("flow", TASKS, ids=str)
def test_the_next_run_completes_a_killed_one(
    emulator: Emulator, collections: Path, tmp_path: Path, flow: Flow, mode: str
) -> None:
    options, file = {**flow.options(PLATFORM)}, tmp_path / "secret.json"
    has_secret = "secret_expires_after_hours" in options
    if has_secret:
        options["credentials_file"] = str(file)
    start(emulator)
    assert run_as_owner(flow.module, emulator, PLATFORM, options).changed
    whole, writes = state(emulator), emulator.writes
    killed = {**connection(emulator), **options}
    # The value of a new secret is lost. service_account_secret creates another one.
    is_repeated = has_secret and flow.module == SECRET
    is_lost = has_secret and not is_repeated and mode == DONE
    count = 2 if flow is MAKE_ROOM or (is_repeated and mode == DONE) else 1
    for write in writes:
        file.unlink(missing_ok=True)
        start(emulator)
        point = Point(mode, 0, write.method, write.path)
        module_until_killed(collections, flow.module, killed, emulator, point)
        assert not file.exists()
        left = state(emulator)
        again = run_as_owner(flow.module, emulator, PLATFORM, options)
        assert not again.failed, again.msg
        assert again.changed is (is_repeated or mode == LOST or left != whole)
        third = run_as_owner(flow.module, emulator, PLATFORM, options)
        assert (third.failed, third.changed) == (False, False), third.msg
        assert state(emulator) == whole
        assert ("no secret was created" in str(third.result.get("warnings"))) is is_lost
        assert file.exists() is (has_secret and not is_lost)
        if has_secret:
            secrets = secrets_of(emulator, options["name"])
            assert len(secrets) == count
        if file.exists():
            content = json.loads(file.read_text("utf-8"))
            assert secrets[content["secret_id"]] == content["client_secret"]


# More than the number of lines that a run executes in the code that writes files.
MOST = 200


def test_a_kill_at_any_line_leaves_a_file_with_a_valid_secret(
    emulator: Emulator, collections: Path, tmp_path: Path
) -> None:
    """Readers of the file find the old secret or the new one."""
    begun = accounts(emulator)
    for point in range(MOST):
        secret = Secret(f"5a5e{point:020d}", f"mdb_sa_sk_canary-of-point-{point}")
        client = f"mdb_sa_id_5a{point:022d}"
        begun[client] = ServiceAccount(
            client, f"point {point}", secrets=[secret], roles=["ORG_MEMBER"]
        )
        content = {
            "org_id": org_id(PLATFORM),
            "client_id": client,
            "name": f"point {point}",
            "secret_id": secret.id,
            "client_secret": secret.value,
            "expires_at": "2100-01-01T00:00:00Z",
        }
        (tmp_path / f"{point}.json").write_text(json.dumps(content), "utf-8")
    task = {
        **connection(emulator),
        "name": "point {point}",
        "secret_expires_after_hours": 8,
        "credentials_file": f"{tmp_path}/{{point}}.json",
        "force": True,
    }
    points = kill_at_lines(collections, SECRET, json.dumps(task))
    assert 20 < points < MOST
    ends = set()
    for point in range(points):
        content = json.loads((tmp_path / f"{point}.json").read_text("utf-8"))
        secrets = {one.id: one.value for one in accounts(emulator)[content["client_id"]].secrets}
        assert secrets[content["secret_id"]] == content["client_secret"]
        is_new = content["secret_id"] != f"5a5e{point:020d}"
        ends.add((len(secrets), is_new))
    # Some kills came before the creation, some between it and the file, and some after.
    assert ends == {(1, False), (2, False), (2, True)}
