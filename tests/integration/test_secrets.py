# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in what a server says back, cut off or in the wrong place; and the search for them.

Whole runs of all that ships, with every failure there is, are in tests/trust/secrets.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from unittest import mock
from urllib.parse import quote_plus

import pytest
from ansible.module_utils import basic

from tests.emulator import Emulator, Fault
from tests.integration.playbook import MODULE, AnsibleSandbox
from tests.integration.secret_search import SPELLINGS, files, search
from tests.support import PRIVATE_KEYS, fetch_token, key_id, key_pair, org_id, run_module

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


# How much of the secret stands before a limit that messages or fields are cut at.
@pytest.mark.parametrize("part", [12, 32])
@pytest.mark.parametrize("limit", [60, 200, 400, 2000])
def test_secret_that_is_cut_off_at_a_limit_of_length_stays_in(
    emulator: Emulator, limit: int, part: int
) -> None:
    """Half a secret is not masked by a search for the whole one."""
    secret = PRIVATE_KEYS[ATLAS]
    text = "x" * (limit - part) + secret + "y" * 3000
    location = f"https://sso.example.com/{text[len('https://sso.example.com/') :]}"
    emulator.add_fault(
        Fault("status", "GET", status=400, code=text, detail=text, parameters=[text])
    )
    emulator.add_fault(Fault("redirect", "GET", location=location))
    for words in ("the API answered", "redirects"):
        options = {
            "state": "absent",
            "base_url": emulator.url,
            "org_id": org_id(ATLAS),
            "api_user_id": key_id(ATLAS, 2),
            **key_pair(ATLAS),
        }
        outcome = run_module("org_api_key", options)
        assert words in outcome.msg
        assert secret[:10] not in outcome.output


CREATED_PRIVATE_KEY = "ca11ab1e-4e44-4e44-8e44-000000004e44"
# With such `roles` it is no key; its end is cut off; or what has the private key is no success.
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
def test_private_key_in_an_answer_that_is_no_success_stays_in(
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


@pytest.mark.parametrize("has_journal", [False, True], ids=["syslog", "journal"])
@pytest.mark.parametrize(
    ("options", "environ"),
    [
        ({"api_public_key": PRIVATE_KEYS[ATLAS], "api_private_key": "akeyaaab"}, {}),
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
def test_secret_in_an_option_that_is_none_stays_out_of_the_system_log(
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


def test_head_that_cannot_be_read_is_quoted_in_no_log(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """A server may echo a token there, too, and urllib3 tells what it got."""
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


def test_token_that_a_server_echoes_into_a_warning_stays_in(
    emulator: Emulator, tmp_path: Path, collections: Path
) -> None:
    """What a creation warns of quotes the listing that could not be read after it."""
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
    workshop = AnsibleSandbox(tmp_path / "workshop", collections)
    play = {"hosts": "localhost", "tasks": [{"name": "create", MODULE: options}]}
    # At the highest verbosity, where Ansible shows whole results.
    finished = workshop.playbook([play], "-vvvv")
    result = finished.result("create")
    assert result.changed
    assert "Authorization: Bearer ********" in " ".join(finished.output.split())
    places = {"output": finished.output, "result": json.dumps(result.values)}
    # The playbook itself has it.
    assert not search({**places, **dict(files(workshop.tmp))}, {"the token": token})
