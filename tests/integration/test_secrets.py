# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in what a server says back, cut off or in the wrong place; and the search for them.

Whole runs of all that ships, with every failure there is, are in tests/trust/secrets.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock
from urllib.parse import quote, quote_plus

import pytest
from ansible.module_utils import basic

from tests.emulator import Emulator, Fault
from tests.integration.playbook import MODULE, AnsibleSandbox
from tests.integration.secret_search import PLANTED, SPELLINGS, files, search, without_documented
from tests.support import PRIVATE_KEYS, fetch_token, key_id, key_pair, org_id, run_module

ATLAS = "atlas"
CLIENT_SECRET = "mdb_sa_sk_canary+sign/of=the&mine?0123456789"


@pytest.mark.parametrize("text", ['"msg": "{}"', '"private_key": "{}x"', '"private_keys": "{}"'])
def test_private_key_anywhere_else_is_found(text: str) -> None:
    secret = PRIVATE_KEYS[ATLAS]
    assert secret in without_documented(text.format(secret), {"a": secret})
    for documented in (f'{{"private_key": "{secret}"}}', f'{{\\"private_key\\": \\"{secret}\\"}}'):
        assert secret not in without_documented(documented, {"a": secret})


def test_search_finds_what_is_left_in_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_text(f"a {quote_plus(CLIENT_SECRET)} b", "utf-8")
    assert search(dict(files(tmp_path)), {"the secret": CLIENT_SECRET})


def _wrapped(text: str) -> str:
    return "\n  ".join(text[at : at + 7] for at in range(0, len(text), 7))


# What a text goes through on its way out, besides how it may be written by itself.
WAYS: dict[str, Callable[[str], str]] = {
    **SPELLINGS,
    "url twice": lambda text: quote(quote(text, safe=""), safe=""),
    "form twice in lower case": lambda text: quote_plus(SPELLINGS["form in lower case"](text)),
    "json": json.dumps,
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "json for browsers": lambda text: json.dumps(text).replace("/", "\\/").replace("&", "\\u0026"),
    "json without letters": lambda text: "".join(f"\\u{ord(letter):04X}" for letter in text),
    "python": lambda text: repr(text.encode()),
    "html": html.escape,
    "lines": _wrapped,
    "lines in json": lambda text: json.dumps(_wrapped(text)),
    "lines in json in json": lambda text: json.dumps(json.dumps(_wrapped(text))),
    "lines that go on": lambda text: _wrapped(text).replace("\n", "\\\n"),
    "lines of a url": lambda text: _wrapped(quote(text, safe="")),
    "lines of base64": lambda text: base64.encodebytes(text.encode()).decode(),
    "lines of base64 in python": lambda text: repr(base64.encodebytes(text.encode())),
    "base64 in a url": lambda text: quote_plus(base64.b64encode(text.encode())),
}
# Base64 takes three bytes at a time, so that these are of each length that counts.
SECRETS = [PRIVATE_KEYS[ATLAS], CLIENT_SECRET, PLANTED, "eyJhbGciOi.c2VjcmV0/c2ln+" + "x_-" * 40]


@pytest.mark.parametrize("way", WAYS)
def test_search_finds_a_secret_whatever_stands_around_it(way: str) -> None:
    missed = [
        (secret, before, after)
        for secret in SECRETS
        for before in ("", "u", "u:", "us:", "use:", "user:")
        for after in ("", "x", "\n", ", y", ":80", "@host/?a=b&c")
        if not search({"text": WAYS[way](before + secret + after)}, {"the secret": secret})
    ]
    assert not missed


def test_secrets_are_of_each_length_that_base64_knows() -> None:
    assert {len(secret) % 3 for secret in SECRETS} == {0, 1, 2}


@pytest.mark.parametrize("part", [slice(16), slice(-16, None)], ids=["first", "last"])
@pytest.mark.parametrize("way", WAYS)
def test_search_finds_half_a_secret(way: str, part: slice) -> None:
    for secret in SECRETS:
        text = WAYS[way](f"cut: {secret[part]}…")
        assert search({"text": text}, {"the secret": secret})


@pytest.mark.parametrize("way", [way for way in WAYS if "base64" not in way])
def test_search_finds_a_pair_whose_other_half_is_public(way: str) -> None:
    pair = f"user:{CLIENT_SECRET}"
    text = WAYS[way](f"Basic {base64.b64encode(pair.encode()).decode()}, it says")
    assert search({"text": text}, {"the pair": pair})
    assert not search({"text": WAYS[way]("user: and nothing else")}, {"the pair": pair})


@pytest.mark.parametrize("way", WAYS)
def test_search_finds_nothing_where_nothing_is(way: str) -> None:
    canaries = {str(number): secret for number, secret in enumerate(SECRETS)}
    harmless = [
        # Too little of it, and what cannot be turned back.
        *[f"{secret[:12]}…{secret[-12:]}" for secret in SECRETS],
        *[hashlib.md5(secret.encode()).hexdigest() for secret in SECRETS],
        *[secret[::-1] for secret in SECRETS],
        *["0ther-k1nd-of-secret/9876543210", key_id(ATLAS, 1), "mdb_sa_sk_", "VALUE_SPECIFIED"],
        Path(__file__).parent.joinpath("playbook.py").read_text("utf-8"),
    ]
    assert not search({str(n): WAYS[way](text) for n, text in enumerate(harmless)}, canaries)


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
    for words in ("the API returned", "redirects"):
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
