# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions that parse responses, with thousands of values each."""

from __future__ import annotations

import ipaddress
import json
import math
from contextlib import suppress
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.keysmith.mongodb.plugins.module_utils import _errors
from ansible_collections.keysmith.mongodb.plugins.module_utils._client import (
    _auth,
    _http,
    _responses,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection import _credential
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _org_api_keys,
    _orgs,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import is_id
from tests.trust.hostile.responses import ERRORS, ESCAPES, HEADERS, JSON, LINES, STATUSES, TEXTS
from tests.trust.hostile.servers import ENTRIES, KEY, KEY_ID, ORG, ORGANIZATION, examples

REQUEST = _errors.Request(
    "DELETE", "https://h", f"/api/{KEY_ID}", "revoke it", required_role="Owner"
)


def response(status: int, body: bytes, headers: list[str]) -> _http.Response:
    pairs = (line.partition(": ") for line in headers)
    named = {name: value for name, _colon, value in pairs}
    return _responses.parse_response(_http.Response(status, "Reason", named, body))


def test_any_response_gives_a_result_or_an_error() -> None:
    bodies = (
        st.binary(max_size=300)
        | (ERRORS | JSON).map(lambda data: json.dumps(data).encode())
        | st.builds(lambda s, d: json.dumps({"status": s, "content": d}).encode(), STATUSES, ERRORS)
    )

    @examples(3000)
    @given(STATUSES, bodies, st.lists(HEADERS, max_size=3))
    @example(400, json.dumps({"error": 1, "parameters": [10**400]}).encode(), [])
    @example(400, b'{"error": 1, "parameters": [1e999, -1e999]}', [])
    @example(400, b'{"error": 1, "parameters": [' + b"9" * 39 + b"]}", [])
    def attempt(status: int, body: bytes, headers: list[str]) -> None:
        read = response(status, body, headers)
        if _responses.is_success(read):
            with suppress(_errors.UnexpectedResponseError):
                assert _responses.page(read, REQUEST).total >= 0
            return
        error = _responses.as_error(read, REQUEST)
        assert error.message().isprintable()
        assert len(error.message()) < 4000
        assert json.dumps(error.fields(), ensure_ascii=False).encode()

    attempt()


def test_any_retry_after_is_a_finite_time() -> None:
    @examples(2000)
    @given(LINES | HEADERS.map(lambda line: line.partition(": ")[2]))
    @example("1 " * 30_000)
    def attempt(value: str) -> None:
        wait = _http.retry_after(_http.Response(503, "", {"Retry-After": value}, b""))
        assert wait >= 0
        assert math.isfinite(wait)

    attempt()


# Parts of challenges, and characters that could break them.
PARTS = [
    *"realm= nonce= qop= algorithm= opaque= stale=true MD5 SHA-256".split(),
    *["Digest ", "Basic ", '"auth"', '"x"', '"', "\\", ",", "="],
    *[" ", "\t", "\r\n", "\x00", "\xff", "é"],
]


def test_the_response_to_any_challenge_is_one_line() -> None:
    parts = st.sampled_from(PARTS)
    pair = _credential.KeyPair("abcdefgh", "private")

    @examples(3000)
    @given(st.lists(parts, max_size=30).map("".join) | LINES)
    @example("a" * 30_000)
    @example("a " * 30_000)
    @example('a="\\' * 30_000)
    def attempt(header: str) -> None:
        for challenge in _auth.find_challenges(header):
            if challenge.algorithm not in _auth._HASHES:
                continue
            signed = _auth.digest_header(pair, challenge, "GET", "/x", count=1, cnonce="c")
            assert signed.isprintable()
            signed.encode("latin-1")

    attempt()


def fields_of(data: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Draw an object of the API, each field right, of any type, or missing."""
    return st.fixed_dictionaries(
        {}, optional={name: st.just(value) | JSON for name, value in data.items()}
    )


ROLES = st.lists(
    fields_of({"roleName": "ORG_OWNER", "groupId": ORG, "orgId": ORG}) | JSON, max_size=3
)


def test_any_object_is_a_key_or_rejected() -> None:
    @examples(2500)
    @given(fields_of({**KEY, "privateKey": "p"}), ROLES | JSON, st.booleans())
    @example({**KEY, "publicKey": ESCAPES}, [], True)
    @example({**KEY, "id": KEY_ID + "\n"}, [], True)
    def attempt(data: dict[str, Any], roles: Any, has_roles: bool) -> None:
        data = {**data, "roles": roles} if has_roles else data
        key = created = problem = None
        try:
            key = _org_api_keys.parse(data, ORG)
            created = _org_api_keys.parse_created(data, ORG)
        except _responses.UnreadableError as error:
            problem = str(error)
        assert problem is None or (problem.isprintable() and len(problem) < 120)
        assert (created is None) or created.found == key
        if key is not None:
            assert key.id == data["id"]
            assert is_id(key.id)
            assert str(key).isprintable()
            assert len(str(key)) < 120
            assert all(is_id(project) for project, _roles in key.projects)

    attempt()


def test_any_object_is_an_organization_or_rejected() -> None:
    @examples(1000)
    @given(fields_of(ORGANIZATION) | JSON)
    def attempt(data: Any) -> None:
        found = None
        with suppress(_responses.UnreadableError):
            found = _orgs.parse(data)
        assert found is None or (is_id(found.id) and isinstance(found.name, str))

    attempt()


def test_any_entry_is_safe_in_a_path_or_rejected() -> None:
    """The address becomes part of a path, where ".." would be the key of the access list."""
    parts = TEXTS | st.sampled_from(["..", ".", "198.51.100.7/32", "2001:db8::1", "::1%../.."])

    @examples(2500)
    @given(
        st.fixed_dictionaries({}, optional={"cidrBlock": parts | JSON, "ipAddress": parts | JSON})
        | st.sampled_from(ENTRIES)
        | JSON
    )
    @example({"cidrBlock": "198.51.100.7/32", "ipAddress": ".."})
    @example({"cidrBlock": "198.51.100.7/32", "ipAddress": "198.51.100.8"})
    @example({"ipAddress": "fe80::1%../.."})
    def attempt(data: Any) -> None:
        found = None
        with suppress(_responses.UnreadableError):
            found = _access_lists.parse_entry(data)
        if found:
            network, word = found
            assert ipaddress.ip_network(word, strict=False) == network
            assert set(word) <= set("0123456789abcdefABCDEF.:/")

    attempt()


def test_any_text_is_sanitized() -> None:
    @examples(1500)
    @given(st.text(max_size=300), st.integers(1, 80))
    @example("\x1b]0;title\x07" * 20, 40)
    def attempt(text: str, limit: int) -> None:
        for shown in (_errors.sanitize(text, limit), _errors.printable(text)):
            assert shown.isprintable()
        assert len(_errors.sanitize(text, limit)) <= limit + 2
        assert len(_errors.printable(text)) == len(text)

    attempt()
