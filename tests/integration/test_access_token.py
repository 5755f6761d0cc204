# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One token for a task of each module, through module_defaults, in one ansible-playbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.integration.playbook import GROUP, AnsibleSandbox
from tests.samples import others
from tests.support import CLIENT_SECRETS, key_id, org_id, project_id, seed, service_account

ACCOUNT = {name: f"{{{{ account.{name} }}}}" for name in ("client_id", "client_secret")}
TOKEN = "{{ token.access_token }}"
TASKS = {
    module: sample.options({"api_user_id": key_id("atlas", 3)}, project_id("atlas"))
    for module, sample in others(()).items()
}


def play(url: str) -> dict[str, Any]:
    common = {"base_url": url, "org_id": org_id("atlas")}
    revoke = {"token": TOKEN, "state": "absent", **ACCOUNT}
    defaults = {**common, "access_token": TOKEN, "client_id": ACCOUNT["client_id"]}
    return {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"account": service_account("atlas")},
        "tasks": [
            {
                "name": "fetch",
                "keysmith.mongodb.access_token": {**common, **ACCOUNT},
                "register": "token",
                "no_log": True,
            },
            {
                "module_defaults": {GROUP: defaults},
                "block": [
                    {"name": module, f"keysmith.mongodb.{module}": options}
                    for module, options in TASKS.items()
                ],
                "always": [
                    {
                        "name": "revoke",
                        "keysmith.mongodb.access_token": revoke,
                        "check_mode": False,
                        "no_log": True,
                    },
                ],
            },
            {"name": "revoke again", "keysmith.mongodb.access_token": {**common, **revoke}},
            {
                "name": "use it",
                "keysmith.mongodb.org_info": {**common, "access_token": TOKEN},
                "ignore_errors": True,
            },
        ],
    }


@pytest.mark.slow
@pytest.mark.parametrize("check", [True, False])
def test_one_token_serves_all_modules(tmp_path: Path, collections: Path, check: bool) -> None:
    with Emulator(seed()) as emulator:
        arguments = ["-vvv", *(["--check"] if check else [])]
        sandbox = AnsibleSandbox(tmp_path, collections)
        run = sandbox.playbook([play(emulator.url)], *arguments)
        assert bool(emulator.writes) is not check
        asked = list(emulator.requests)
    assert run.code == 0, run.output
    assert [one.path.rpartition("/")[2] for one in asked if "/oauth/" in one.path] == [
        "token",
        "revoke",
    ]
    for module in TASKS:
        assert run.result(module).status == "ok", module
    changed = {name: run.result(name).changed for name in ("fetch", "revoke", "revoke again")}
    assert changed == {"fetch": True, "revoke": True, "revoke again": False}
    assert "The access token has expired or was revoked" in run.result("use it").msg
    signed = {one.headers["Authorization"] for one in asked if "/v2" in one.path}
    (token,) = {header.removeprefix("Bearer ") for header in signed}
    shown = [str(result.values) for result in run.results]
    assert not [text for text in (run.output, *shown) if token in text]
    assert CLIENT_SECRETS["atlas"] not in run.output
