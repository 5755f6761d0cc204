# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection from environment variables, in tasks and in ad-hoc commands.

test_tls.py covers the variables for TLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.emulator import Emulator
from tests.integration.playbook import (
    CONNECTION,
    KEY,
    MODULE,
    AnsibleSandbox,
    from_variables,
)
from tests.support import (
    key_id,
    key_pair,
    org_id,
    public_key,
    seed,
    service_account,
)

URL = "<url>"
ATLAS, CLOUD, OPS = "atlas", "cloud_manager", "ops_manager"


def pair(prefix: str, platform: str) -> dict[str, str]:
    """Return the two variables of a key pair."""
    options = key_pair(platform)
    return {
        f"{prefix}_PUBLIC_API_KEY": options["api_public_key"],
        f"{prefix}_PRIVATE_API_KEY": options["api_private_key"],
    }


ATLAS_PAIR, OPS_PAIR = pair("MONGODB_ATLAS", ATLAS), pair("MCLI", OPS)
ATLAS_ACCOUNT = {
    "MONGODB_ATLAS_CLIENT_ID": service_account(ATLAS)["client_id"],
    "MONGODB_ATLAS_CLIENT_SECRET": service_account(ATLAS)["client_secret"],
}
ATLAS_PLACE = {"MONGODB_ATLAS_BASE_URL": URL, "MONGODB_ATLAS_ORG_ID": org_id(ATLAS)}
OPS_PLACE = {"MCLI_OPS_MANAGER_URL": URL, "MCLI_ORG_ID": org_id(OPS)}
CLOUD_PLACE = {"MCLI_OPS_MANAGER_URL": URL, "MCLI_ORG_ID": org_id(CLOUD)}


@dataclass(frozen=True)
class Case:
    """A task that revokes a key, or fails with a message that has all of ``fails``.

    ``caller`` is the public key or client ID that the emulator must see.
    """

    environ: dict[str, str]
    platform: str = ATLAS
    caller: str = ""
    fails: tuple[str, ...] = ()


# The keyword `environment` passes the variables of a host. The unit tests have a table of how
# variables and options combine.
CASES = {
    "atlas-key-pair": Case({**ATLAS_PLACE, **ATLAS_PAIR}),
    "atlas-service-account": Case(
        {**ATLAS_PLACE, **ATLAS_ACCOUNT}, caller=service_account(ATLAS)["client_id"]
    ),
    "atlas-no-credentials-from-mcli": Case(
        {**ATLAS_PLACE, **OPS_PAIR}, fails=("No credential", "MONGODB_ATLAS_PUBLIC_API_KEY")
    ),
    "ops-manager": Case({"KEYSMITH_MONGODB_PLATFORM": OPS, **OPS_PLACE, **OPS_PAIR}, OPS),
    "cloud-manager": Case(
        {"KEYSMITH_MONGODB_PLATFORM": CLOUD, **CLOUD_PLACE, **pair("MCLI", CLOUD)}, CLOUD
    ),
    "empty-variables": Case(
        {
            **ATLAS_PLACE,
            **ATLAS_PAIR,
            "MONGODB_ATLAS_ACCESS_TOKEN": "",
            "KEYSMITH_MONGODB_PLATFORM": "",
        }
    ),
}
NUMBERS = {name: number for number, name in enumerate(CASES, 100)}


def _filled(values: dict[str, str], url: str) -> dict[str, str]:
    return {name: url if value == URL else value for name, value in values.items()}


def test_tasks_take_the_connection_of_their_environment(tmp_path: Path, collections: Path) -> None:
    with Emulator(seed(extra_keys=len(CASES))) as emulator:
        hosts = {
            name: {
                "options": {"api_user_id": key_id(case.platform, NUMBERS[name])},
                "variables": _filled(case.environ, emulator.url),
            }
            for name, case in CASES.items()
        }
        play = {
            "hosts": "all",
            "strategy": "free",
            "tasks": [
                {
                    "name": "Revoke",
                    "environment": "{{ variables }}",
                    "ignore_errors": True,
                    MODULE: {
                        "state": "absent",
                        **from_variables([*CONNECTION, *KEY]),
                        "retries": 0,
                    },
                }
            ],
        }
        run = AnsibleSandbox(tmp_path / "run", collections).playbook(
            [play], "--forks=4", hosts=hosts
        )
        callers = {r.path.rpartition("/")[2]: r.caller for r in emulator.writes}
    assert run.code == 0, run.output
    expected = {}
    for name, case in CASES.items():
        result = run.result("Revoke", name)
        assert (result.failed, result.changed) == (bool(case.fails), not case.fails), result.msg
        assert not [words for words in case.fails if words not in result.msg]
        if not case.fails:
            caller = case.caller or public_key(case.platform, 1)
            expected[key_id(case.platform, NUMBERS[name])] = caller
    assert callers == expected


def test_ad_hoc_call_revokes_with_credentials_of_its_environment(
    tmp_path: Path, collections: Path, emulator: Emulator
) -> None:
    sandbox = AnsibleSandbox(tmp_path / "run", collections)
    environ = _filled({**ATLAS_PLACE, **ATLAS_PAIR}, emulator.url)
    run = sandbox.ad_hoc(MODULE, f"state=absent id={key_id(ATLAS, 2)}", environ=environ)
    assert run.code == 0, run.output
    assert "localhost | CHANGED" in run.stdout
    assert key_id(ATLAS, 2) in run.stdout
    assert key_id(ATLAS, 2) not in emulator.state.organizations[org_id(ATLAS)].api_keys
    assert len(emulator.writes) == 1
