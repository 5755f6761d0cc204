# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection from environment variables: in tasks, ad-hoc, and as AWX injects them.

The variables of TLS are in test_tls.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.integration.playbook import (
    CONNECTION,
    KEY,
    MODULE,
    AnsibleSandbox,
    from_variables,
)
from tests.support import (
    fetch_token,
    key_id,
    key_pair,
    org_id,
    public_key,
    run_module,
    seed,
    service_account,
)

# In the values of cases: what is known only when the emulator runs, or in all of them.
URL, TOKEN = "<url>", "<token>"
NOWHERE = "http://127.0.0.1:9"
ATLAS, CLOUD, OPS = "atlas", "cloud_manager", "ops_manager"


def pair(prefix: str, platform: str, infix: str = "_API") -> dict[str, str]:
    """The two variables of a key pair."""
    options = key_pair(platform)
    return {
        f"{prefix}_PUBLIC{infix}_KEY": options["api_public_key"],
        f"{prefix}_PRIVATE{infix}_KEY": options["api_private_key"],
    }


ATLAS_PAIR = pair("MONGODB_ATLAS", ATLAS)
ATLAS_OLD_PAIR = pair("MONGODB_ATLAS", ATLAS, infix="")
ATLAS_ACCOUNT = {
    "MONGODB_ATLAS_CLIENT_ID": service_account(ATLAS)["client_id"],
    "MONGODB_ATLAS_CLIENT_SECRET": service_account(ATLAS)["client_secret"],
}
ATLAS_TOKEN = {"MONGODB_ATLAS_ACCESS_TOKEN": TOKEN}
ATLAS_PLACE = {"MONGODB_ATLAS_BASE_URL": URL, "MONGODB_ATLAS_ORG_ID": org_id(ATLAS)}
OPS_PLACE = {"MCLI_OPS_MANAGER_URL": URL, "MCLI_ORG_ID": org_id(OPS)}
CLOUD_PLACE = {"MCLI_OPS_MANAGER_URL": URL, "MCLI_ORG_ID": org_id(CLOUD)}
OPS_PAIR = pair("MCLI", OPS)
# What the other platform's variables would do harm with, if they were read.
ATLAS_ALL = {**ATLAS_PAIR, "MONGODB_ATLAS_BASE_URL": NOWHERE, "MONGODB_ATLAS_ORG_ID": org_id(ATLAS)}
MCLI_ALL = {**OPS_PAIR, "MCLI_OPS_MANAGER_URL": NOWHERE, "MCLI_ORG_ID": org_id(OPS)}


@dataclass(frozen=True)
class Case:
    """A task that revokes a key; ``fails`` are words of its message where it must not.

    ``caller`` is the public key or client id that has to be the one who signed.
    """

    environ: dict[str, str]
    platform: str = ATLAS
    options: dict[str, Any] = field(default_factory=dict)
    caller: str = ""
    fails: tuple[str, ...] = ()


CASES = {
    "atlas-key-pair": Case({**ATLAS_PLACE, **ATLAS_PAIR}),
    "atlas-key-pair-by-its-older-names": Case({**ATLAS_PLACE, **ATLAS_OLD_PAIR}),
    "atlas-newer-names-before-older": Case(
        {
            **ATLAS_PLACE,
            **ATLAS_PAIR,
            "MONGODB_ATLAS_PUBLIC_KEY": "wrongkey",
            "MONGODB_ATLAS_PRIVATE_KEY": "wrong",
        }
    ),
    "atlas-service-account": Case(
        {**ATLAS_PLACE, **ATLAS_ACCOUNT}, caller=service_account(ATLAS)["client_id"]
    ),
    "atlas-access-token": Case(
        {**ATLAS_PLACE, **ATLAS_TOKEN}, caller=service_account(ATLAS)["client_id"]
    ),
    "atlas-not-from-mcli": Case({**ATLAS_PLACE, **ATLAS_PAIR, **MCLI_ALL}),
    "atlas-no-credentials-from-mcli": Case(
        {**ATLAS_PLACE, **OPS_PAIR}, fails=("No credential", "MONGODB_ATLAS_PUBLIC_API_KEY")
    ),
    "atlas-no-organization-from-mcli": Case(
        {"MONGODB_ATLAS_BASE_URL": URL, **ATLAS_PAIR, **OPS_PLACE},
        fails=("No organization", "MONGODB_ATLAS_ORG_ID"),
    ),
    "ops-manager-by-variable": Case(
        {"KEYSMITH_MONGODB_PLATFORM": OPS, **OPS_PLACE, **OPS_PAIR}, OPS
    ),
    "ops-manager-by-option": Case({**OPS_PLACE, **OPS_PAIR}, OPS, {"platform": OPS}),
    "ops-manager-not-from-atlas": Case(
        {**OPS_PLACE, **OPS_PAIR, **ATLAS_ALL}, OPS, {"platform": OPS}
    ),
    "ops-manager-no-credentials-from-atlas": Case(
        {**OPS_PLACE, **ATLAS_ALL, **ATLAS_TOKEN},
        OPS,
        {"platform": OPS},
        fails=("No credential", "MCLI_PUBLIC_API_KEY"),
    ),
    "ops-manager-no-address-from-atlas": Case(
        {**OPS_PAIR, "MCLI_ORG_ID": org_id(OPS), **ATLAS_PLACE},
        OPS,
        {"platform": OPS},
        fails=("no default address", "MCLI_OPS_MANAGER_URL"),
    ),
    "cloud-manager-by-variable": Case(
        {"KEYSMITH_MONGODB_PLATFORM": CLOUD, **CLOUD_PLACE, **pair("MCLI", CLOUD)}, CLOUD
    ),
    "cloud-manager-no-token-from-atlas": Case(
        {**CLOUD_PLACE, **ATLAS_TOKEN}, CLOUD, {"platform": CLOUD}, fails=("No credential",)
    ),
    "option-beats-platform-variable": Case(
        {"KEYSMITH_MONGODB_PLATFORM": OPS, **ATLAS_PLACE, **ATLAS_PAIR}, ATLAS, {"platform": ATLAS}
    ),
    "unknown-platform-variable": Case(
        {"KEYSMITH_MONGODB_PLATFORM": "mars", **ATLAS_PLACE, **ATLAS_PAIR},
        fails=("KEYSMITH_MONGODB_PLATFORM", "mars", "ops_manager"),
    ),
    "options-beat-place-variables": Case(
        {"MONGODB_ATLAS_BASE_URL": NOWHERE, "MONGODB_ATLAS_ORG_ID": org_id(OPS), **ATLAS_PAIR},
        options={"base_url": URL, "org_id": org_id(ATLAS)},
    ),
    "option-key-pair-beats-token-variable": Case(
        {**ATLAS_PLACE, **ATLAS_TOKEN, **ATLAS_ACCOUNT}, options=key_pair(ATLAS)
    ),
    "option-token-beats-half-a-pair-variable": Case(
        {**ATLAS_PLACE, "MONGODB_ATLAS_PUBLIC_API_KEY": public_key(ATLAS, 1)},
        options={"access_token": TOKEN},
        caller=service_account(ATLAS)["client_id"],
    ),
    "option-pair-beats-pair-variable": Case(
        {**ATLAS_PLACE, "MONGODB_ATLAS_PUBLIC_API_KEY": "a", "MONGODB_ATLAS_PRIVATE_API_KEY": "b"},
        options=key_pair(ATLAS),
    ),
    "halves-of-options-and-variables": Case(
        {**ATLAS_PLACE, **ATLAS_PAIR},
        options={"api_public_key": public_key(ATLAS, 1)},
        fails=("option api_public_key", "api_private_key is not"),
    ),
    "empty-options-leave-it-to-variables": Case(
        {**ATLAS_PLACE, **ATLAS_PAIR},
        options=dict.fromkeys(
            (
                "base_url org_id api_public_key api_private_key client_id client_secret "
                "access_token ca_path client_cert client_key http_proxy public_key description"
            ).split(),
            "",
        ),
    ),
    "empty-variables-count-as-unset": Case(
        {
            **ATLAS_PLACE,
            **ATLAS_PAIR,
            "MONGODB_ATLAS_ACCESS_TOKEN": "",
            "KEYSMITH_MONGODB_PLATFORM": "",
        }
    ),
    "half-a-pair-without-private": Case(
        {**ATLAS_PLACE, "MONGODB_ATLAS_PUBLIC_API_KEY": public_key(ATLAS, 1)},
        fails=("MONGODB_ATLAS_PRIVATE_API_KEY is not",),
    ),
    "half-a-pair-without-public": Case(
        {**OPS_PLACE, "MCLI_PRIVATE_API_KEY": OPS_PAIR["MCLI_PRIVATE_API_KEY"]},
        OPS,
        {"platform": OPS},
        fails=("MCLI_PUBLIC_API_KEY is not",),
    ),
    "half-an-account": Case(
        {**ATLAS_PLACE, "MONGODB_ATLAS_CLIENT_ID": ATLAS_ACCOUNT["MONGODB_ATLAS_CLIENT_ID"]},
        fails=("MONGODB_ATLAS_CLIENT_SECRET is not",),
    ),
    "halves-of-newer-and-older-names": Case(
        {
            **ATLAS_PLACE,
            "MONGODB_ATLAS_PUBLIC_API_KEY": public_key(ATLAS, 1),
            "MONGODB_ATLAS_PRIVATE_KEY": key_pair(ATLAS)["api_private_key"],
        },
        fails=("MONGODB_ATLAS_PRIVATE_API_KEY is not",),
    ),
    "two-kinds-pair-and-account": Case(
        {**ATLAS_PLACE, **ATLAS_PAIR, **ATLAS_ACCOUNT},
        fails=("Two kinds", "MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_CLIENT_ID"),
    ),
    "two-kinds-account-and-token": Case(
        {**ATLAS_PLACE, **ATLAS_ACCOUNT, **ATLAS_TOKEN},
        fails=("Two kinds", "MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_ACCESS_TOKEN"),
    ),
}
NUMBERS = {name: number for number, name in enumerate(CASES, 100)}


def _filled(values: dict[str, Any], url: str, token: str) -> dict[str, Any]:
    return {name: {URL: url, TOKEN: token}.get(value, value) for name, value in values.items()}


def _options(name: str, url: str, token: str) -> dict[str, Any]:
    case = CASES[name]
    key = {"api_user_id": key_id(case.platform, NUMBERS[name])}
    return {"state": "absent", "retries": 0, **key, **_filled(case.options, url, token)}


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Emulator, str]]:
    """An emulator with a key for each case, and an access token."""
    with Emulator(seed(extra_keys=len(CASES))) as emulator:
        yield emulator, fetch_token(emulator.url, ATLAS)


@pytest.mark.parametrize("name", CASES)
def test_module_takes_the_connection_of_its_environment(
    server: tuple[Emulator, str], name: str
) -> None:
    emulator, token = server
    case = CASES[name]
    del emulator.requests[:], emulator.writes[:]
    environ = _filled(case.environ, emulator.url, token)
    outcome = run_module("org_api_key", _options(name, emulator.url, token), environ=environ)
    assert outcome.failed is bool(case.fails), outcome.msg
    if case.fails:
        assert outcome.result["error"]["method"] is None
        assert not [words for words in case.fails if words not in outcome.msg]
        assert emulator.requests == []
        return
    assert outcome.changed
    (write,) = emulator.writes
    assert write.path.endswith(key_id(case.platform, NUMBERS[name]))
    assert write.caller == (case.caller or public_key(case.platform, 1))


# The keyword `environment` hands on what a host has, templated and as text.
PLAYED = (
    "atlas-key-pair",
    "atlas-service-account",
    "atlas-no-credentials-from-mcli",
    "ops-manager-by-variable",
    "cloud-manager-by-variable",
    "empty-variables-count-as-unset",
)


def test_tasks_take_the_connection_of_their_environment(tmp_path: Path, collections: Path) -> None:
    with Emulator(seed(extra_keys=len(CASES))) as emulator:
        hosts = {
            name: {
                "options": _options(name, emulator.url, ""),
                "variables": _filled(CASES[name].environ, emulator.url, ""),
            }
            for name in PLAYED
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
    for name in PLAYED:
        case, result = CASES[name], run.result("Revoke", name)
        assert (result.failed, result.changed) == (bool(case.fails), not case.fails), result.msg
        assert not [words for words in case.fails if words not in result.msg]
        if not case.fails:
            caller = case.caller or public_key(case.platform, 1)
            expected[key_id(case.platform, NUMBERS[name])] = caller
    assert callers == expected


def test_ad_hoc_call_revokes_with_credentials_of_its_environment(
    tmp_path: Path, collections: Path, emulator: Emulator
) -> None:
    workshop = AnsibleSandbox(tmp_path / "run", collections)
    environ = _filled({**ATLAS_PLACE, **ATLAS_PAIR}, emulator.url, "")
    run = workshop.ad_hoc(MODULE, f"state=absent id={key_id(ATLAS, 2)}", environ=environ)
    assert run.code == 0, run.output
    assert "localhost | CHANGED" in run.stdout
    assert key_id(ATLAS, 2) in run.stdout
    assert key_id(ATLAS, 2) not in emulator.state.organizations[org_id(ATLAS)].api_keys
    assert len(emulator.writes) == 1


# As a job template's survey has them: every text is there, answered or not.
SURVEY = {
    "key_id": key_id(OPS, 2),
    **dict.fromkeys(
        (
            "key_public_key key_description org_id base_url platform ca_path client_cert "
            "client_key http_proxy timeout wait"
        ).split(),
        "",
    ),
}


def test_runner_revokes_with_injected_credentials_and_an_empty_survey(
    tmp_path: Path, collections: Path, emulator: Emulator
) -> None:
    workshop = AnsibleSandbox(tmp_path / "run", collections)
    task = {
        "state": "absent",
        "api_user_id": "{{ key_id }}",
        "public_key": "{{ key_public_key }}",
        "description": "{{ key_description }}",
        **{
            name: f"{{{{ {name} }}}}"
            for name in "org_id base_url ca_path client_cert client_key http_proxy".split()
        },
        # Numbers, booleans and choices keep Ansible's own rules.
        **{
            name: f"{{{{ {name} | default(omit, true) }}}}"
            for name in ("platform", "timeout", "wait")
        },
    }
    play = {"hosts": "localhost", "tasks": [{"name": "Revoke", MODULE: task}]}
    playbook, inventory = workshop.write([play])
    folder = tmp_path / "job"
    (folder / "env").mkdir(parents=True)
    injected = {"KEYSMITH_MONGODB_PLATFORM": OPS, **OPS_PLACE, **OPS_PAIR}
    (folder / "env" / "envvars").write_text(
        json.dumps(_filled(injected, emulator.url, "")), "utf-8"
    )
    (folder / "env" / "extravars").write_text(json.dumps(SURVEY), "utf-8")
    command = [sys.executable, "-m", "ansible_runner", "run", str(folder), "--ident", "job"]
    process = workshop.spawn([*command, "-p", str(playbook), "--inventory", str(inventory)])
    run = workshop.finish(process)
    assert run.code == 0, run.output
    assert run.result("Revoke").changed
    assert key_id(OPS, 2) not in emulator.state.organizations[org_id(OPS)].api_keys
    artifacts = folder / "artifacts" / "job"
    assert (artifacts / "status").read_text("utf-8") == "successful"
    events = [json.loads(p.read_text("utf-8")) for p in (artifacts / "job_events").glob("*.json")]
    ended = [e for e in events if e["event"] == "runner_on_ok"]
    assert [e["event_data"]["res"]["org_api_key"]["id"] for e in ended] == [key_id(OPS, 2)]
