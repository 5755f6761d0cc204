# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Responses that are partly or completely wrong, and what they still prove."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.trust.hostile.servers import (
    ACCOUNT_NOT_FOUND,
    KEY_ID,
    NOT_FOUND,
    Asked,
    as_json,
    encoded,
    http,
)

ESCAPES = "\x1b[31mred\x1b[0m \x9b2J\x07\r\n\u202eevil\u2066\u2028\x00"
TEXTS = st.sampled_from(
    [
        ESCAPES,
        "",
        " ",
        "\ud800",
        "../" * 8,
        "%2e%2e%2f",
        "a" * 24,
        KEY_ID.upper(),
        f"{KEY_ID}/../{KEY_ID}",
        KEY_ID + "\n",
        "x" * 10_000,
        "<script>alert(1)</script>",
        "{{ lookup('env', 'HOME') }}",
        "fe80::1%../..",
        "0.0.0.0/0",
        "ü☃🔑",
    ]
) | st.text(max_size=30)
NUMBERS = (
    st.sampled_from([-1, 0, 1, 2, 3, 500, 2**31, 2**63, 10**30, 10**400, 1e308]) | st.integers()
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=6,
)
CODES = st.sampled_from(
    """API_KEY_NOT_FOUND RESOURCE_NOT_FOUND ORG_NOT_FOUND GROUP_NOT_FOUND INVALID_KEY_ID
    SERVICE_ACCOUNT_NOT_FOUND DATA_CONCURRENCY_ERROR INVALID_ROLE_ASSIGNMENT
    API_KEY_ACCESS_LIST_ENTRY_NOT_FOUND ADDRESS_ALREADY_IN_ACCESS_LIST USER_UNAUTHORIZED
    API_KEY_ALREADY_IN_GROUP CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST RATE_LIMITED NO_CURRENT_USER
    IP_ADDRESS_NOT_ON_ACCESS_LIST DUPLICATE_API_KEY UNEXPECTED_ERROR""".split()
)
STATUSES = st.sampled_from([200, 201, 204, 400, 401, 403, 404, 409, 429, 500, 503]) | st.integers(
    100, 999
)
ERRORS = st.fixed_dictionaries(
    {"errorCode": CODES | JSON},
    optional={
        "error": STATUSES | JSON,
        "detail": TEXTS | JSON,
        "reason": TEXTS | JSON,
        "parameters": st.lists(st.just(KEY_ID) | SCALARS, max_size=3) | JSON,
    },
)
# Latin-1 without line breaks: each is one header line.
LINES = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60)
HEADERS = st.builds(
    lambda name, value: f"{name}: {value}",
    st.sampled_from(
        """Retry-After WWW-Authenticate RateLimit-Limit RateLimit-Remaining Content-Type Location
        Content-Encoding Transfer-Encoding Content-Length Set-Cookie Connection Date""".split()
    ),
    LINES
    | st.sampled_from(
        [
            "9" * 40,
            "-1",
            "0",
            "Fri, 31 Dec 9999 23:59:59 -2359",
            "Mon, 01 Jan 0001 00:00:00 +2359",
            "gzip",
            "gzip, gzip",
            "br",
            "chunked",
            "identity",
            "300",
            "text/html; charset=\xff",
            "http://[",
            'Digest realm="a", nonce="b", qop="auth", stale=true',
            'Digest realm="\x80\xff", nonce="' + "n" * 3000 + '", algorithm=SHA-256',
            "a=b; Max-Age=" + "9" * 400,
        ]
    ),
)


@dataclass(frozen=True)
class Sent:
    """A response: its bytes and, if it is complete, its status and body."""

    asked: Asked
    wire: bytes
    status: int | None = None
    body: bytes = b""

    def meaning(self) -> tuple[int, Any]:
        """Return status and JSON, also from an envelope; None for invalid JSON."""
        status = self.status or 0
        try:
            data = json.loads(self.body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return status, None
        if isinstance(data, dict) and _is_status(data.get("status")):
            if data.keys() == {"status", "content"}:
                return (status if status >= 400 else data["status"]), data["content"] or {}
            if "results" in data:
                return (status if status >= 400 else data["status"]), data
        if isinstance(data, dict) and status < 300 and "errorCode" in data:
            error = data.get("error")
            return (error if _is_status(error) else status), data
        return status, data

    @property
    def is_missing(self) -> bool:
        """Whether the API says that the key does not exist, and refers to no other key."""
        return self.says("API_KEY_NOT_FOUND", KEY_ID)

    def says(self, code: str, object_id: str) -> bool:
        """Whether the API says with this code that an object does not exist, and names no other."""
        status, data = self.meaning()
        if not isinstance(data, dict) or data.get("errorCode") != code:
            return False
        named = data.get("parameters")
        named = [item for item in named if _is_word(item)] if isinstance(named, list) else []
        return status in {400, 404} and (not named or object_id in named)

    @property
    def is_deletion(self) -> bool:
        if self.status is None:
            return False
        status, data = self.meaning()
        is_empty = not self.body.strip() or data == {}
        return self.asked.method == "DELETE" and 200 <= status < 300 and is_empty


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599


def _is_word(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def complete_listings(log: Iterable[Sent], path: str) -> Iterator[list[Any]]:
    """Yield the objects of complete listings of a path: as many as the API counts."""
    items: list[Any] = []
    for sent in log:
        if sent.asked.method != "GET" or not sent.asked.path.endswith(path):
            continue
        if "pageNum=1" in sent.asked.target.replace("&", " ").split("?")[-1].split():
            items = []
        status, data = sent.meaning()
        if sent.status is None or not 200 <= status < 300 or not isinstance(data, dict):
            continue
        results, total = data.get("results"), data.get("totalCount")
        if isinstance(results, list) and isinstance(total, int) and not isinstance(total, bool):
            items += results
            if len(items) >= total >= 0:
                yield list(items)


Mutation = Callable[[Asked, int, Any], Sent]


def _whole(asked: Asked, status: int, body: bytes, *headers: str) -> Sent:
    return Sent(asked, http(f"{status} Whatever", body, *headers), status, body)


# The value of a missing field.
LEFT_OUT: Any = object()
# A wrong value of each JSON type.
WRONG: tuple[Any, ...] = (LEFT_OUT, None, -1, ESCAPES, [[]], {"": None})


def replace_field(which: int, value: Any) -> Mutation:
    """Replace or remove one field, anywhere in the right response."""

    def mutate(asked: Asked, status: int, data: Any) -> Sent:
        data = copy.deepcopy(data)
        found = list(places(data))
        if found:
            container, name = found[which % len(found)]
            if value is LEFT_OUT:
                del container[name]
            else:
                container[name] = value
        return _whole(asked, status, b"" if data is None else json.dumps(data).encode())

    return mutate


def replaced_fields() -> st.SearchStrategy[Mutation]:
    return st.builds(replace_field, st.integers(0, 63), st.just(LEFT_OUT) | JSON)


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container in JSON and each name or index in it."""
    if not isinstance(data, (dict, list)):
        return
    for name in list(data) if isinstance(data, dict) else range(len(data)):
        yield data, name
        yield from places(data[name])


@st.composite
def other_responses(draw: st.DrawFn) -> Mutation:
    """Draw any status with any JSON, API error or bytes, with or without an envelope."""
    status = draw(STATUSES)
    data = draw(ERRORS | JSON)
    if draw(st.booleans()):
        data = {"status": draw(STATUSES | SCALARS), "content": data}
    plain = json.dumps(data).encode()
    body = draw(
        st.sampled_from([plain, plain, plain[:-1], b"", b"<html>"]) | st.binary(max_size=50)
    )
    is_packed = draw(st.booleans())

    def mutate(asked: Asked, _status: int, _data: Any) -> Sent:
        if not is_packed:
            return _whole(asked, status, body)
        wire = http(f"{status} X", gzip.compress(body), "Content-Encoding: gzip")
        return Sent(asked, wire, status, body)

    return mutate


@st.composite
def missing_responses(draw: st.DrawFn) -> Mutation:
    """Draw responses that almost prove that an object is missing, and some that do for keys."""
    status = draw(st.sampled_from([400, 404, 200, 401, 500, 502]))
    change = draw(st.fixed_dictionaries({}, optional={"errorCode": CODES, "parameters": JSON}))
    is_enveloped = draw(st.booleans())

    def mutate(asked: Asked, _status: int, _data: Any) -> Sent:
        usual = ACCOUNT_NOT_FOUND if "/serviceAccounts" in asked.path else NOT_FOUND
        data: Any = {**usual, "error": status, **change}
        data = {"status": status, "content": data} if is_enveloped else data
        return _whole(asked, 200 if is_enveloped else status, json.dumps(data).encode())

    return mutate


@st.composite
def listings(draw: st.DrawFn) -> Mutation:
    """Draw listings with a wrong count, endless links or repeated objects."""
    total = draw(st.integers(-1, 4) | NUMBERS)
    links = draw(st.sampled_from([[], [{"rel": "next"}], [{"rel": 1}], [None], {}]))
    repeat = draw(st.integers(0, 3))

    def mutate(asked: Asked, status: int, data: Any) -> Sent:
        if isinstance(data, dict) and "results" in data:
            data = {"results": data["results"] * repeat, "totalCount": total, "links": links}
        return _whole(asked, status, b"" if data is None else json.dumps(data).encode())

    return mutate


@st.composite
def raw_responses(draw: st.DrawFn) -> Mutation:
    """Draw the right response with other headers or cut off, or bytes that are not HTTP.

    They prove nothing, except that an empty response is empty: HTTP defines what headers do to
    a body.
    """
    headers = draw(st.lists(HEADERS, max_size=3))
    cut = draw(st.none() | st.integers(0, 400))
    noise = draw(st.none() | st.binary(max_size=80))

    def mutate(asked: Asked, status: int, data: Any) -> Sent:
        wire = encoded(status, data, *headers)
        if noise is not None and cut is None:
            wire = noise
        return Sent(asked, wire if cut is None else wire[:cut])

    return mutate


MUTATIONS = st.one_of(
    replaced_fields(),
    replaced_fields(),
    other_responses(),
    missing_responses(),
    listings(),
    listings(),
    raw_responses(),
)


def right_response(asked: Asked, status: int, data: Any) -> Sent:
    body = b"" if data is None else json.dumps(data).encode()
    wire = http(f"{status} OK", b"") if data is None else as_json(status, data)
    return Sent(asked, wire, status, body)
