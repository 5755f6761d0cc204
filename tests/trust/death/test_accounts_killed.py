# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill a task for a service account at a write; the next run completes the task or warns.

The write is carried out without a response, or not at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.accounts import accounts
from tests.emulator import Emulator, ServiceAccount
from tests.emulator.state import Secret
from tests.support import (
    account_id,
    key_pair,
    org_id,
    project_id,
    run_as_owner,
    secret_id,
    seed,
)
from tests.trust.death.kills import DONE, LOST, Point, kill_at_lines, module_until_killed

PLATFORM = "atlas"
SECOND_ID = "5a5f" + "0" * 20
VICTIM, BUSY = {"name": "victim"}, {"name": "busy"}
ABSENT = {"state": "absent"}
# ``credentials_file`` is completed with the directory of the test.
FILED = {"secret_expires_after_hours": 720, "credentials_file": "secret.json"}
NEW = {"name": "new one", "roles": ["ORG_MEMBER"]}
PROJECT = {"project_id": project_id(PLATFORM)}
ROLES = {"roles": ["GROUP_READ_ONLY"]}
ACCOUNT, SECRETS = "*/serviceAccounts/*", "*/secrets"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="kills processes through /proc"
)


@dataclass(frozen=True)
class Death:
    """A task, and the write at which it is killed.

    ``again``: whether the next run changes something even though the write was carried out.
    ``secrets``: how many secrets the account has at the end if the write was carried out, and if it
    was not. ``is_lost``: whether the value of the only secret is then lost. ``is_full``: whether
    the account starts with two secrets.
    """

    name: str
    module: str
    options: dict[str, Any]
    method: str
    path: str
    again: bool = False
    secrets: tuple[int, int] = (0, 0)
    is_lost: bool = False
    is_full: bool = False

    def __str__(self) -> str:
        return self.name


TASK, SECRET = "service_account", "service_account_secret"
ENTRIES, MEMBER = "service_account_access_list", "project_service_account"
BUSY_SECRET = {**BUSY, "secret_id": secret_id(PLATFORM), **ABSENT}
FULL = {**BUSY, **FILED, "make_room": "oldest"}
DEATHS = [
    Death("create", TASK, NEW, "POST", "*/serviceAccounts"),
    Death(
        "create with a secret",
        TASK,
        {**NEW, **FILED},
        "POST",
        "*/serviceAccounts",
        secrets=(1, 1),
        is_lost=True,
    ),
    Death("change", TASK, {**VICTIM, "roles": ["ORG_READ_ONLY"]}, "PATCH", ACCOUNT),
    Death("delete", TASK, {**VICTIM, **ABSENT}, "DELETE", ACCOUNT),
    Death("create a secret", SECRET, {**VICTIM, **FILED}, "POST", SECRETS, True, (2, 1)),
    Death("make room", SECRET, FULL, "DELETE", f"{SECRETS}/*", True, (2, 2), is_full=True),
    Death("create after making room", SECRET, FULL, "POST", SECRETS, True, (2, 2), is_full=True),
    Death("delete a secret", SECRET, BUSY_SECRET, "DELETE", f"{SECRETS}/*"),
    Death("allow an address", ENTRIES, {**VICTIM, "entries": ["192.0.2.1"]}, "POST", "*/access*"),
    Death("invite", MEMBER, {**VICTIM, **PROJECT, **ROLES}, "POST", "*:invite"),
    Death("change in a project", MEMBER, {**BUSY, **PROJECT, **ROLES}, "PATCH", ACCOUNT),
    Death("remove from a project", MEMBER, {**BUSY, **PROJECT, **ABSENT}, "DELETE", ACCOUNT),
]


def start(emulator: Emulator, death: Death) -> None:
    emulator.reset(seed())
    if death.is_full:
        newer = Secret(SECOND_ID, "mdb_sa_sk_canary-of-room", created_at=1777777777.0)
        accounts(emulator)[account_id(PLATFORM, 3)].secrets.append(newer)


def found(emulator: Emulator, death: Death) -> ServiceAccount | None:
    """Return the account of a task."""
    everyone = accounts(emulator).values()
    return next((one for one in everyone if one.name == death.options["name"]), None)


def state(emulator: Emulator) -> list[Any]:
    """Return the accounts without their IDs and secrets."""
    return sorted(
        (one.name, one.description, sorted(one.roles), one.projects, one.access_list)
        for one in accounts(emulator).values()
    )


@pytest.mark.parametrize("mode", [DONE, LOST])
@pytest.mark.parametrize("death", DEATHS, ids=str)
def test_the_next_run_completes_a_killed_one(
    emulator: Emulator, collections: Path, tmp_path: Path, death: Death, mode: str
) -> None:
    options = dict(death.options)
    file = tmp_path / "secret.json"
    if "credentials_file" in options:
        options["credentials_file"] = str(file)
    start(emulator, death)
    assert run_as_owner(death.module, emulator, PLATFORM, options).changed
    whole = state(emulator)
    file.unlink(missing_ok=True)

    start(emulator, death)
    where = {"platform": PLATFORM, "base_url": emulator.url, "org_id": org_id(PLATFORM)}
    point = Point(mode, 0, death.method, death.path)
    module_until_killed(
        collections, death.module, {**where, **key_pair(PLATFORM), **options}, emulator, point
    )
    assert not file.exists()
    again = run_as_owner(death.module, emulator, PLATFORM, options)
    assert not again.failed, again.msg
    assert again.changed is (death.again or mode == LOST)
    third = run_as_owner(death.module, emulator, PLATFORM, options)
    assert (third.failed, third.changed) == (False, False), third.msg
    assert state(emulator) == whole
    check_secrets(emulator, death, file, mode, str(third.result.get("warnings")))


def check_secrets(emulator: Emulator, death: Death, file: Path, mode: str, warnings: str) -> None:
    """Check that the file has a secret of the account, or that the task warns."""
    account = found(emulator, death)
    secrets = {secret.id: secret.value for secret in account.secrets} if account else {}
    is_lost = death.is_lost and mode == DONE
    assert ("no secret was created" in warnings) is is_lost, warnings
    if "credentials_file" not in death.options:
        return
    assert len(secrets) == death.secrets[mode == LOST]
    assert file.exists() is not is_lost
    if not is_lost:
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
        "platform": PLATFORM,
        "base_url": emulator.url,
        "org_id": org_id(PLATFORM),
        **key_pair(PLATFORM),
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
