# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that a server returns, that are cut off, or that are in the wrong place.

tests/trust/secrets runs everything that ships, with every kind of failure.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import quote_plus

import pytest
from ansible.module_utils import basic

from tests.emulator import Emulator, Fault
from tests.integration.playbook import MODULE, AnsibleSandbox
from tests.integration.secret_search import SPELLINGS, files, search
from tests.support import (
    PRIVATE_KEYS,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    run_as_owner,
    run_module,
)

ATLAS = "atlas"
CLIENT_SECRET = "mdb_sa_sk_canary+sign/of=the&mine?0123456789"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_search_finds_a_secret_or_half_of_it_in_each_spelling(spelling: str) -> None:
    for text in (CLIENT_SECRET, CLIENT_SECRET[:16], CLIENT_SECRET[-16:]):
        for around in ("{}", "user:{}@host", "cut: {}…"):
            written = SPELLINGS[spelling](around.format(text))
            for form in (written, json.dumps(written), quote_plus(written)):
                assert search({"text": form}, {"the secret": CLIENT_SECRET}), form
    harmless = f"{CLIENT_SECRET[:12]}…{CLIENT_SECRET[-12:]} {CLIENT_SECRET[::-1]}"
    assert not search({"text": SPELLINGS[spelling](harmless)}, {"the secret": CLIENT_SECRET})


# How much of the secret precedes the limit at which messages or fields are truncated.
@pytest.mark.parametrize("part", [12, 32])
@pytest.mark.parametrize("limit", [60, 200, 400, 2000])
def test_a_truncated_secret_is_not_shown(emulator: Emulator, limit: int, part: int) -> None:
    """Masking the whole secret would not mask half of it."""
    secret = PRIVATE_KEYS[ATLAS]
    text = "x" * (limit - part) + secret + "y" * 3000
    location = f"https://sso.example.com/{text[len('https://sso.example.com/') :]}"
    emulator.add_fault(
        Fault("status", "GET", status=400, code=text, detail=text, parameters=[text])
    )
    emulator.add_fault(Fault("redirect", "GET", location=location))
    for status in (400, 302):
        options = {
            "state": "absent",
            "base_url": emulator.url,
            "org_id": org_id(ATLAS),
            "api_user_id": key_id(ATLAS, 2),
            **key_pair(ATLAS),
        }
        outcome = run_module("org_api_key", options)
        assert outcome.result["error"]["status"] == status
        assert secret[:10] not in outcome.output


CREATED_PRIVATE_KEY = "ca11ab1e-4e44-4e44-8e44-000000004e44"
# The roles are not valid, the end is cut off, or the response is not a success.
BROKEN_CREATION = {
    "id": "5a00000000000000000000d1",
    "desc": "broken",
    "publicKey": "brokenky",
    "privateKey": CREATED_PRIVATE_KEY,
    "roles": [{"roleName": 5}],
}


@pytest.mark.parametrize("with_file", [False, True], ids=["shown", "file"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("json", "POST", body=BROKEN_CREATION, after_write=True),
        Fault("json", "POST", body=[BROKEN_CREATION], after_write=True),
        Fault("json", "POST", body=BROKEN_CREATION, status=202, after_write=True),
        Fault("status", "POST", body=json.dumps(BROKEN_CREATION), after_write=True),
        Fault("status", "POST", status=500, body=CREATED_PRIVATE_KEY, after_write=True),
        Fault("status", "POST", status=200, body=json.dumps(BROKEN_CREATION)[:-3]),
        Fault("truncated", "POST"),
    ],
    ids=["broken roles", "list", "202", "500 object", "500 text", "cut off", "truncated"],
)
def test_a_private_key_in_an_invalid_response_is_not_shown(
    emulator: Emulator, tmp_path: Path, fault: Fault, with_file: bool
) -> None:
    fault.path = "*/apiKeys"
    emulator.add_fault(fault)
    options = {
        "base_url": emulator.url,
        "org_id": org_id(ATLAS),
        "description": "broken",
        "roles": ["ORG_MEMBER"],
        **key_pair(ATLAS),
    }
    if with_file:
        options["credentials_file"] = str(tmp_path / "pair.json")
    outcome = run_module("org_api_key", options)
    assert outcome.failed
    keys = emulator.state.organizations[org_id(ATLAS)].api_keys.values()
    secrets = {key.id: key.private_key for key in keys} | {"made up": CREATED_PRIVATE_KEY}
    assert not search({"output": outcome.output}, secrets)


NEW_CLIENT_SECRET = "mdb_sa_sk_canary-of-an-invalid-response"
DATES = {"createdAt": "2026-01-01T00:00:00Z", "expiresAt": "2027-01-01T00:00:00Z"}
NEW_SECRET = {**DATES, "id": "5a00000000000000000000d1", "secret": NEW_CLIENT_SECRET}
BROKEN_SECRETS = [
    [{**NEW_SECRET, "id": 5}],
    [{**NEW_SECRET, "createdAt": "yesterday"}],
    {"new": NEW_SECRET},
    NEW_CLIENT_SECRET,
    [NEW_CLIENT_SECRET],
    [[NEW_SECRET]],
    [NEW_SECRET, NEW_SECRET],
]


@pytest.mark.parametrize("status", [201, 500])
@pytest.mark.parametrize("secrets", BROKEN_SECRETS)
@pytest.mark.parametrize("module", ["service_account", "service_account_secret"])
def test_a_client_secret_in_an_invalid_response_is_not_shown(
    emulator: Emulator, module: str, secrets: Any, status: int
) -> None:
    body: Any = {"clientId": f"mdb_sa_id_{NEW_SECRET['id']}", "secrets": secrets}
    task: dict[str, Any] = {"name": "broken", "roles": ["ORG_MEMBER"]}
    if module == "service_account_secret":
        body = secrets[0] if isinstance(secrets, list) and len(secrets) == 1 else secrets
        task = {"name": "victim"}
    emulator.add_fault(Fault("json", "POST", body=body, status=status, after_write=True))
    outcome = run_as_owner(module, emulator, ATLAS, {**task, "secret_expires_after_hours": 8})
    assert outcome.failed
    assert not search({"output": outcome.output}, {"made up": NEW_CLIENT_SECRET})


@pytest.mark.parametrize("has_journal", [False, True], ids=["syslog", "journal"])
@pytest.mark.parametrize(
    ("options", "environ"),
    [
        (
            {
                "api_user_id": key_id(ATLAS, 2),
                "api_public_key": PRIVATE_KEYS[ATLAS],
                "api_private_key": "akeyaaab",
            },
            {},
        ),
        (
            {"description": f"goes with {PRIVATE_KEYS[ATLAS]}, it says"},
            {
                "MONGODB_ATLAS_PUBLIC_API_KEY": "akeyaaab",
                "MONGODB_ATLAS_PRIVATE_API_KEY": PRIVATE_KEYS[ATLAS],
            },
        ),
    ],
    ids=["swapped", "of the environment"],
)
def test_a_secret_in_a_public_option_is_not_logged(
    emulator: Emulator, options: dict[str, str], environ: dict[str, str], has_journal: bool
) -> None:
    logged: list[str] = []
    journal = SimpleNamespace(send=lambda **fields: logged.append(str(fields)))
    with (
        mock.patch("syslog.syslog", lambda *arguments: logged.append(str(arguments))),
        mock.patch.multiple(basic, has_journal=has_journal, journal=journal, create=True),
    ):
        connection = {"base_url": emulator.url, "org_id": org_id(ATLAS), "state": "absent"}
        outcome = run_module("org_api_key", {**connection, **options}, environ=environ)
    assert "Invoked with" in logged[0]
    assert emulator.url in logged[0]
    secret = {"the private key": PRIVATE_KEYS[ATLAS]}
    assert not search({"log": "".join(logged), "output": outcome.output}, secret)


def test_an_invalid_head_is_not_logged(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """A server may echo a token there, and urllib3 logs what it received."""
    token = fetch_token(emulator.url, ATLAS)
    emulator.add_fault(Fault("status", "GET", headers={"X": f"1\r\nno header but {token}"}))
    options = {
        "base_url": emulator.url,
        "org_id": org_id(ATLAS),
        "api_user_id": key_id(ATLAS, 2),
        "state": "absent",
        "access_token": token,
        "timeout": 0.2,
        "retries": 0,
    }
    with caplog.at_level(logging.DEBUG):
        outcome = run_module("org_api_key", options)
    assert outcome.failed
    assert "Starting new HTTP connection" in caplog.text
    assert not search({"log": caplog.text, "output": outcome.output}, {"the token": token})


def test_a_token_that_a_server_echoes_into_a_warning_is_masked(
    emulator: Emulator, tmp_path: Path, collections: Path
) -> None:
    """The warning of a creation quotes the response to the listing that follows it."""
    token = fetch_token(emulator.url, ATLAS)
    emulator.add_fault(Fault("echo", "GET", "*/apiKeys", after=1, times=None, status=400))
    options = {
        "base_url": emulator.url,
        "org_id": org_id(ATLAS),
        "access_token": token,
        "description": "new",
        "roles": ["ORG_MEMBER"],
        "credentials_file": str(tmp_path / "pair.json"),
    }
    sandbox = AnsibleSandbox(tmp_path / "sandbox", collections)
    play = {"hosts": "localhost", "tasks": [{"name": "create", MODULE: options}]}
    # At this verbosity, Ansible shows whole results.
    finished = sandbox.playbook([play], "-vvvv")
    result = finished.result("create")
    assert result.changed
    assert "Authorization: Bearer ********" in " ".join(finished.output.split())
    places = {"output": finished.output, "result": json.dumps(result.values)}
    # The playbook itself contains the token.
    assert not search({**places, **dict(files(sandbox.tmp))}, {"the token": token})
