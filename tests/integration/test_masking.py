# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Masking hides secrets and never changes what is written to the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.integration.peers import ForwardProxy
from tests.integration.playbook import GROUP, KEYS_INFO, MODULE, AnsibleSandbox
from tests.support import Outcome, key_id, key_pair, org_id, project_id, run_module

ORG = org_id("atlas")
VICTIM = key_id("atlas", 2)
MASKS = ["********", "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"]
# A word that is also in descriptions.
SHORT, LONG = "backup", "production"


def run(emulator: Emulator, module: str, **options: Any) -> Outcome:
    environ, check = options.pop("environ", {}), options.pop("check", False)
    base = {"base_url": emulator.url, "org_id": ORG, **key_pair("atlas")}
    return run_module(module, {**base, **options}, environ=environ, check=check)


def with_proxy(password: str) -> dict[str, str]:
    return {"HTTPS_PROXY": f"http://user:{password}@proxy.invalid:3128", "no_proxy": "*"}


def description(emulator: Emulator) -> str:
    return emulator.state.organizations[ORG].api_keys[VICTIM].description


@pytest.mark.slow
@pytest.mark.each_core
@pytest.mark.parametrize("password", [SHORT, LONG])
def test_a_masked_description_is_not_written_back(
    tmp_path: Path, collections: Path, emulator: Emulator, password: str
) -> None:
    """The playbook writes back what it read, while the password of a proxy is such a word."""
    emulator.state.organizations[ORG].api_keys[VICTIM].description = f"nightly {password}"
    connection = {"base_url": emulator.url, "org_id": ORG, **key_pair("atlas")}
    old = "{{ found.org_api_keys[0].description }}"
    plays = [
        {
            "hosts": "localhost",
            "module_defaults": {GROUP: connection},
            "tasks": [
                {"name": "Read", KEYS_INFO: {"api_user_id": VICTIM}, "register": "found"},
                {
                    "name": "Rename",
                    MODULE: {"api_user_id": VICTIM, "new_description": f"old {old}"},
                },
            ],
        }
    ]
    done = AnsibleSandbox(tmp_path / "shop", collections).playbook(
        plays, environ=with_proxy(password)
    )
    if password == SHORT:
        assert done.code == 0, done.output
        assert description(emulator) == f"old nightly {password}"
        return
    assert done.result("Rename").error["type"] == "options"
    assert "not the original text" in done.result("Rename").msg
    assert emulator.writes == []
    assert description(emulator) == f"nightly {password}"


BY_ID = {"api_user_id": VICTIM}
ASSIGN = {"project_id": project_id("atlas"), "roles": ["GROUP_OWNER"]}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("org_api_key", {"description": "a {}", "roles": ["ORG_MEMBER"]}),
        ("org_api_key", {"description": "a {}", "state": "absent"}),
        ("org_api_key", {**BY_ID, "new_description": "{}"}),
        ("org_api_key", {**BY_ID, "roles": ["{}"]}),
        ("org_api_key", {"description": "a", "roles": ["ORG_MEMBER"], "credentials_file": "/{}"}),
        ("org_api_key_access_list", {**BY_ID, "entries": ["192.0.2.1", "{}"]}),
        ("org_api_key_access_list", {"description": "{}", "entries": ["192.0.2.1"]}),
        ("project_api_key", {**ASSIGN, "description": "a {} b"}),
        ("project_api_key", {**ASSIGN, **BY_ID, "roles": ["{}"]}),
        ("org_api_keys", {"api_keys": [{"description": "{} a", "roles": ["ORG_MEMBER"]}]}),
        ("org_api_keys", {"api_keys": [{"description": "a", "access_list": ["{}"]}]}),
        ("org_api_keys", {"state": "absent", "descriptions": ["{}"]}),
        ("org_api_keys", {"state": "absent", "description_match": ["nightly {}"]}),
        ("org_api_keys", {"state": "absent", "description_match": ["a*"], "keep": ["a {}"]}),
        ("org_api_key_info", {"description": "{}"}),
        ("org_api_key_info", {"description_match": "a {}"}),
        ("org_info", {"name": "{}"}),
    ],
)
def test_a_masked_value_is_rejected(
    emulator: Emulator, module: str, options: dict[str, Any], mask: str, check: bool
) -> None:
    outcome = run(emulator, module, check=check, **fill(options, mask))
    assert outcome.failed
    assert outcome.result["error"]["type"] == "options"
    assert "not the original text" in outcome.msg
    assert emulator.requests == []


def fill(value: Any, mask: str) -> Any:
    if isinstance(value, str):
        return value.replace("{}", mask)
    if isinstance(value, list):
        return [fill(item, mask) for item in value]
    return {name: fill(item, mask) for name, item in value.items()}


@pytest.mark.parametrize("mask", MASKS)
def test_a_key_whose_description_has_a_mask_is_revoked_by_id(emulator: Emulator, mask: str) -> None:
    key = emulator.state.organizations[ORG].api_keys[VICTIM]
    key.description = f"nightly {mask}"
    # An option that is not set is not written.
    assert run(emulator, "org_api_key", **BY_ID, roles=["ORG_READ_ONLY"]).changed
    assert key.description == f"nightly {mask}"
    outcome = run(emulator, "org_api_key", **BY_ID, state="absent")
    assert outcome.changed
    assert VICTIM not in emulator.state.organizations[ORG].api_keys


def test_a_short_password_is_removed_from_the_response_of_its_proxy() -> None:
    with ForwardProxy(refusal=f"407 it says {SHORT} and backups and YmFja3Vw") as proxy:
        options = {"base_url": "http://api.invalid", "org_id": ORG, **key_pair("atlas")}
        environ = {"HTTP_PROXY": proxy.url.replace("//", f"//user:{SHORT}@")}
        outcome = run_module("org_api_key_info", options, environ=environ)
    assert outcome.failed
    assert "407 it says … and …s and …" in outcome.msg
    assert SHORT not in outcome.output
    assert "YmFja3Vw" not in outcome.output


@pytest.mark.parametrize("password", [SHORT, "secret1"])
def test_a_short_password_in_base_url_is_not_shown(emulator: Emulator, password: str) -> None:
    """Ansible shows the options of every task, and does not hide base_url."""
    url = emulator.url.replace("//", f"//user:{password}@")
    for options in ({}, {"description": 5}, {"state": "nonsense"}):
        outcome = run(
            emulator, "org_api_key", **{"api_user_id": VICTIM, **options, "base_url": url}
        )
        assert outcome.failed
        assert outcome.result["error"]["type"] == "options"
        assert password not in outcome.output
    assert emulator.requests == []


def test_a_value_masked_by_a_short_secret_is_not_written_back(emulator: Emulator) -> None:
    """Ansible masks secret options in the whole result, however short they are."""
    owner = emulator.state.organizations[ORG].api_keys[key_id("atlas", 1)]
    owner.private_key = "victim"
    task = {**BY_ID, "api_private_key": "victim"}
    (found,) = run(emulator, "org_api_key_info", **task).result["org_api_keys"]
    assert found["description"] in MASKS
    outcome = run(emulator, "org_api_key", **task, new_description=found["description"])
    assert outcome.result["error"]["type"] == "options"
    assert emulator.writes == []
    assert description(emulator) == "victim"
