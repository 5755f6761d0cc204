# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quick tests for the faults that tests/trust/hostile found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _errors,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client import (
    _http,
    _responses,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection import _resolve
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _key_files,
    _org_api_keys,
)
from tests.emulator import Emulator, Fault
from tests.support import key_pair, org_id, run_module

REQUEST = _errors.Request("GET", "https://h", "/x", "read it")
KEY = {"id": "a" * 24, "desc": "x", "publicKey": "abcdefgh", "roles": []}


def error(body: bytes) -> _errors.KeysmithError:
    return _responses.as_error(
        _responses.parse_response(_http.Response(400, "", {}, body)), REQUEST
    )


def test_a_huge_number_is_not_an_internal_error() -> None:
    body = b'{"errorCode": "X", "parameters": [' + b"9" * 400 + b"]}"
    assert isinstance(error(body), _errors.UnexpectedResponseError)


def test_the_number_of_parameters_is_limited() -> None:
    body = json.dumps({"errorCode": "X", "parameters": ["x"] * 5000}).encode()
    assert len(error(body).parameters) == 1000


def test_a_long_path_is_truncated() -> None:
    longest = "/" + "x" * (_errors._MAX_PATH - 1)
    assert _errors.truncate_path(longest) == longest
    more = _errors.truncate_path(longest + "x")
    assert more == f"/{'x' * 39} … ({_errors._MAX_PATH + 1} characters)"


def test_a_message_is_always_one_line() -> None:
    assert _errors.KeysmithError("a\r\n\x1b[31m\u202eb").message() == "a   [31m b."


@pytest.mark.parametrize("value", ["a\x1b[31m", "a b", "a" * 65, "\u202e", 1, ["a"]])
def test_an_invalid_public_key_is_unreadable(value: Any) -> None:
    with pytest.raises(_responses.UnreadableError, match="publicKey") as caught:
        _org_api_keys.parse({**KEY, "publicKey": value})
    assert len(str(caught.value)) < 120
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "entry",
    [
        {"cidrBlock": "192.0.2.1/32", "ipAddress": ".."},
        {"cidrBlock": "192.0.2.1/32", "ipAddress": "192.0.2.2"},
        {"ipAddress": "fe80::1%../.."},
        None,
    ],
)
def test_an_entry_with_another_address_is_unreadable(entry: Any) -> None:
    if entry is None:
        assert _access_lists.parse_entry(entry) is None
        return
    with pytest.raises(_responses.UnreadableError, match="ipAddress is an unexpected string"):
        _access_lists.parse_entry(entry)


@pytest.mark.parametrize(
    "url",
    [
        *("http://a\\.b", "http://a%00", "http://a%0d%0ab", "http://a..b", "http://" + "a" * 64),
        *("http://[::g]", "http://a_b-:1:2"),
    ],
)
def test_an_invalid_host_is_refused(url: str) -> None:
    assert _resolve._split(url) is None


@pytest.mark.parametrize("url", ["http://a_b.c-d.:80", "http://[::1]:80", "http://[fe80::1%25e]"])
def test_a_valid_host_is_accepted(url: str) -> None:
    assert _resolve._split(url) is not None


@pytest.mark.parametrize("path", ["{0}/new/", "{0}/new/.", "{0}/a\x00b"])
def test_an_invalid_file_path_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(_errors.OptionError, match="nothing was created"):
        _key_files.inspect(path.format(tmp_path))


def run(emulator: Emulator, **options: Any) -> Any:
    common = {"base_url": emulator.url, "org_id": org_id("atlas"), **key_pair("atlas")}
    return run_module("org_api_key", {**common, **options}, diff=True)


def test_lone_surrogates_in_options_are_refused(emulator: Emulator) -> None:
    outcome = run(emulator, description="a\ud800b", api_private_key="private\udcffkey")
    assert outcome.msg.startswith("api_private_key, description: ")
    assert emulator.requests == []


def test_a_one_letter_token_masks_nothing(emulator: Emulator) -> None:
    emulator.add_fault(Fault("json", "POST", "/api/oauth/token", body={"access_token": "e"}))
    account = {"client_id": "mdb_sa_id_" + "a" * 24, "client_secret": "mdb_sa_sk_x"}
    options = {"base_url": emulator.url, **account}
    outcome = run_module("org_info", {**options, "retries": 0})
    assert "read" in outcome.msg or "list" in outcome.msg
    assert "********" not in outcome.msg
