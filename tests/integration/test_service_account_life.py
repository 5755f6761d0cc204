# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a service account in one playbook that uses all modules for service accounts.

Each step runs in check mode, for real, and again.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.emulator import Emulator
from tests.integration.playbook import GROUP, ORGS_INFO, AnsibleSandbox, Finished
from tests.support import PRIVATE_KEYS, key_pair, org_id, project_id, seed

pytestmark = [pytest.mark.slow, pytest.mark.each_core]

ORG, PROJECT = org_id("atlas"), project_id("atlas")
FILE = "{{ folder }}/builds.json"


def step(module: str, **options: Any) -> dict[str, Any]:
    return {f"keysmith.mongodb.{module}": {"name": "builds", **options}}


STEPS: dict[str, dict[str, Any]] = {
    "create": step("service_account", roles=["ORG_READ_ONLY"]),
    "write a secret": {
        **step("service_account_secret", secret_expires_after_hours=24, credentials_file=FILE),
        "register": "first",
    },
    "read with the secret": {
        ORGS_INFO: {
            "client_id": "{{ held.client_id }}",
            "client_secret": "{{ held.client_secret }}",
        },
        "vars": {"held": f"{{{{ lookup('file', '{FILE}') | from_json }}}}"},
    },
    "set the access list": step(
        "service_account_access_list", entries=["192.0.2.0/24", "2001:db8::1"], purge=True
    ),
    "assign": step("project_service_account", project_id=PROJECT, roles=["GROUP_READ_ONLY"]),
    "renew the secret": step(
        "service_account_secret",
        secret_expires_after_hours=48,
        renew_before_hours=36,
        credentials_file=FILE,
    ),
    "delete the old secret": step(
        "service_account_secret",
        secret_id="{{ first.service_account_secret.id }}",
        state="absent",
    ),
    "read": step("service_account_info", access_list=True, projects=True),
    "delete": step("service_account", state="absent", wait=True),
}
READING = ("read", "read with the secret")


class Life(NamedTuple):
    run: Finished
    file: Path


def tasks() -> Iterator[dict[str, Any]]:
    for name, step in STEPS.items():
        checked = {key: value for key, value in step.items() if key != "register"}
        yield {"name": f"{name}: check", **checked, "check_mode": True}
        yield {"name": name, **step}
        yield {"name": f"{name}: again", **checked}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Life:
    folder = tmp_path_factory.mktemp("life")
    pair = key_pair("atlas")
    environ = {
        "MONGODB_ATLAS_PUBLIC_API_KEY": pair["api_public_key"],
        "MONGODB_ATLAS_PRIVATE_API_KEY": pair["api_private_key"],
    }
    with Emulator(seed()) as emulator:
        play = {
            "hosts": "localhost",
            "vars": {"folder": str(folder)},
            "module_defaults": {GROUP: {"base_url": emulator.url, "org_id": ORG}},
            "tasks": list(tasks()),
        }
        sandbox = AnsibleSandbox(folder / "run", collections)
        run = sandbox.playbook([play], "--diff", "-vvv", environ=environ)
    return Life(run, folder / "builds.json")


def test_every_step_succeeds_and_leaves_nothing_to_do(life: Life) -> None:
    assert life.run.code == 0, life.run.output
    for name in STEPS:
        changes = [life.run.result(f"{name}{when}").changed for when in (": check", "", ": again")]
        is_write = name not in READING
        assert changes == [is_write, is_write, False], name


def test_the_file_has_the_renewed_secret(life: Life) -> None:
    assert stat.S_IMODE(life.file.stat().st_mode) == 0o600
    renewed = life.run.result("renew the secret").values["service_account_secret"]
    held = json.loads(life.file.read_text("utf-8"))
    first = life.run.result("write a secret").values["service_account_secret"]
    assert held["secret_id"] == renewed["id"] != first["id"]
    (account,) = life.run.result("read").values["service_accounts"]
    assert [secret["id"] for secret in account["secrets"]] == [renewed["id"]]
    assert account["client_id"] == held["client_id"]
    assert account["access_list"] == ["192.0.2.0/24", "2001:db8::1"]
    assert account["projects"] == [{"project_id": PROJECT, "roles": ["GROUP_READ_ONLY"]}]


def test_no_secret_is_in_the_output(life: Life) -> None:
    value = json.loads(life.file.read_text("utf-8"))["client_secret"]
    assert value.startswith("mdb_sa_sk_")
    assert "mdb_sa_sk_" not in life.run.output
    assert PRIVATE_KEYS["atlas"] not in life.run.output


def test_the_account_is_gone(life: Life) -> None:
    assert life.run.result("delete: again").values["service_account"] is None
