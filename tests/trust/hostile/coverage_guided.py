# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A target for atheris: bytes become an answer, and all that reads answers has to survive it.

coverage_guided.py FOLDER-OF-COLLECTIONS [arguments of libFuzzer]; started by the test beside it.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress

import atheris

sys.path.insert(0, sys.argv.pop(1))
with atheris.instrument_imports(include=["ansible_collections.keysmith"]):
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
        _resource,
    )
    from ansible_collections.keysmith.mongodb.plugins.module_utils._text import is_id

KEY_ID = "deadbeefdeadbeefdeadbeef"
REQUEST = _errors.Request("DELETE", "https://h", f"/api/{KEY_ID}", "revoke it")
PAIR = _credential.KeyPair("abcdefgh", "private")
STATUSES = (200, 204, 400, 401, 403, 404, 429, 500, 503, 101, 304, 999)
HEADERS = ("Retry-After", "WWW-Authenticate", "Content-Type", "RateLimit-Limit")


def one(data: bytes) -> None:
    """The first byte picks the status, the second how many more are a header's value."""
    if len(data) < 2:
        return
    status, length = STATUSES[data[0] % len(STATUSES)], data[1]
    value = data[2 : 2 + length].decode("latin-1")
    headers = dict.fromkeys(HEADERS, value)
    answer = _responses.parse_response(_http.Response(status, value, headers, data[2 + length :]))
    assert _http.retry_after(answer) >= 0
    for challenge in _auth.find_challenges(value):
        if challenge.algorithm in _auth._HASHES:
            signed = _auth.digest_header(PAIR, challenge, "GET", "/x", count=1, cnonce="c")
            assert signed.isprintable()
    error = _responses.as_error(answer, REQUEST)
    assert error.message().isprintable()
    json.dumps(error.fields(), ensure_ascii=False).encode()
    if isinstance(error, _errors.ApiError) and _resource.says_missing(
        error, _org_api_keys.API_KEYS, KEY_ID
    ):
        assert b"API_KEY_NOT_FOUND" in answer.body.replace(b"\\u", b"") or b"\\" in answer.body
    items = [answer.payload]
    with suppress(_errors.UnexpectedResponseError):
        items += _responses.page(answer, REQUEST).items
    for item in items:
        with suppress(_responses.UnreadableError):
            key = _org_api_keys.parse(item, KEY_ID)
            assert key is None or (str(key).isprintable() and is_id(key.id))
            created = _org_api_keys.parse_created(item, KEY_ID)
            assert created is None or created.key == key
        with suppress(_responses.UnreadableError):
            org = _orgs.parse(item)
            assert org is None or is_id(org.id)
        with suppress(_responses.UnreadableError):
            entry = _access_lists.parse_entry(item)
            assert entry is None or ".." not in entry[1]


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
