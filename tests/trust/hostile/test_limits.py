# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Responses without an end, in bytes, time or pages: the task still ends, with a clear error.

These tests use real time with a short timeout, and measure memory in a process for each case.
"""

from __future__ import annotations

import functools
import gzip
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT, key_pair, run_module, service_account
from tests.trust.hostile.servers import (
    CHALLENGE,
    KEY,
    KEY_ID,
    ORG,
    Asked,
    Pieces,
    Respond,
    as_json,
    http,
    is_challenged,
    page,
    serving,
)

TIMEOUT = 0.3
# A response may take three times the timeout; the rest allows for a busy machine.
LONGEST = 20.0
TOKEN = {"access_token": "t0ken-0123456789"}
HEAD = b"HTTP/1.1 200 OK\r\n"


def slowly(*pieces: bytes) -> Iterator[bytes]:
    """Yield the last piece repeatedly, each time before the timeout."""
    yield from pieces[:-1]
    for _turn in range(400):
        time.sleep(TIMEOUT / 4)
        yield pieces[-1]


DRIPS: dict[str, Callable[[], Pieces]] = {
    "a status line": lambda: slowly(b"H"),
    "a header": lambda: slowly(HEAD + b"X: ", b"x"),
    "headers": lambda: slowly(HEAD, b"X: x\r\n"),
    "a body": lambda: slowly(HEAD + b"Content-Length: 5000\r\n\r\n", b" "),
    "a chunk": lambda: slowly(HEAD + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n", b" "),
    "chunks": lambda: slowly(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "interim responses": lambda: slowly(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the body of an error": lambda: slowly(b"HTTP/1.1 400 X\r\nContent-Length: 5000\r\n\r\n", b" "),
    "nothing": lambda: slowly(b""),
}


def only(pieces: Callable[[], Pieces], method: str = "GET", path: str = "") -> Respond:
    """Send this response to the matching requests, and right responses to others."""

    def respond(asked: Asked) -> Pieces:
        if asked.method == method and path in asked.path:
            return pieces()
        if asked.path.startswith("/api/oauth"):
            return as_json(200, TOKEN)
        return as_json(200, KEY)

    return respond


def revoke(respond: Respond, **options: Any) -> tuple[str, float]:
    """Return the message and duration of a task that must fail."""
    with serving(respond) as server:
        common = {"base_url": server.url, "org_id": ORG, "state": "absent", "retries": 0}
        common |= {"api_user_id": KEY_ID, "timeout": TIMEOUT}
        credentials = {} if {"client_id", "api_public_key"} & options.keys() else TOKEN
        started = time.monotonic()
        outcome = run_module("org_api_key", {**common, **credentials, **options})
        took = time.monotonic() - started
    assert outcome.failed, outcome.output
    assert not outcome.changed
    assert "Internal error" not in outcome.msg
    return outcome.msg, took


@pytest.mark.parametrize("name", DRIPS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_trickling_response_has_a_deadline(name: str, method: str) -> None:
    message, took = revoke(only(DRIPS[name], method))
    assert took < LONGEST
    assert "Could not" in message
    if method == "DELETE":
        assert "may have been carried out" in message


@pytest.mark.parametrize("name", ["a header", "a body", "chunks"])
def test_a_trickling_token_has_a_deadline(name: str) -> None:
    respond = only(DRIPS[name], "POST", "/oauth/token")
    message, took = revoke(respond, **service_account("atlas"))
    assert took < LONGEST
    assert "A token may have been issued" in message


@pytest.mark.parametrize("name", ["a status line", "headers", "nothing"])
def test_a_trickling_proxy_has_a_deadline(name: str) -> None:
    """The response to CONNECT is read before any response of the API."""
    with serving(only(DRIPS[name], "CONNECT")) as proxy:
        message, took = revoke(
            only(DRIPS[name]), base_url="https://api.example", http_proxy=proxy.url
        )
    assert took < LONGEST
    assert "Could not read the API key" in message


def endless(response: Callable[[int], Any]) -> Respond:
    """Respond with a listing whose pages, by number, never end."""

    def respond(asked: Asked) -> Pieces:
        words = asked.target.replace("&", " ").replace("?", " ").split()
        number = next(int(word[8:]) for word in words if word.startswith("pageNum="))
        return as_json(200, response(number))

    return respond


def key_number(number: int) -> dict[str, Any]:
    return {**KEY, "id": f"{number:024x}"}


NEXT = {"links": [{"rel": "next", "href": "https://h/"}]}
LISTINGS: dict[str, tuple[Callable[[int], Any], int]] = {
    "a new key per page": (
        lambda n: {"results": [key_number(n)], "totalCount": 10**6, **NEXT},
        200,
    ),
    "the same page again": (lambda _n: {"results": [KEY], "totalCount": 10**6, **NEXT}, 8),
    "empty pages": (lambda _n: {"results": [], "totalCount": 5, **NEXT}, 4),
    "a key twice": (lambda _n: page([KEY, KEY]), 4),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_an_endless_listing_fails_the_task(name: str) -> None:
    response, most = LISTINGS[name]
    with serving(endless(response)) as server:
        options = {"base_url": server.url, "org_id": ORG, **TOKEN, "description": "gone"}
        outcome = run_module("org_api_key", {**options, "state": "absent"})
        assert len(server.asked) <= most
    assert outcome.failed, "only the full list proves that a key is missing"
    assert outcome.result["error"]["type"] == "unexpected_response"


# Depths near Python's own limit, far below it and far above it.
DEPTHS = (10, 900, 990, 100_000)
NESTED: dict[str, Callable[[int], bytes]] = {
    "arrays": lambda depth: b"[" * depth + b"1" + b"]" * depth,
    "objects": lambda depth: b'{"a":' * depth + b"1" + b"}" * depth,
}
# The method and status, the JSON around the deep part, and the options of the task.
DEEP: dict[str, tuple[str, str, bytes, dict[str, Any]]] = {
    "a listing": (
        "GET",
        "200 OK",
        b'{"results": [%b], "totalCount": 1}',
        {"api_user_id": None, "description": "victim"},
    ),
    "an error": ("GET", "400 X", b'{"error": 400, "errorCode": "X", "parameters": [%b]}', {}),
    "a token": (
        "POST",
        "200 OK",
        b'{"access_token": "t0ken-0123456789", "more": %b}',
        service_account("atlas"),
    ),
    "an envelope": ("GET", "200 OK", b'{"status": 200, "content": %b}', {"envelope": True}),
    "a deletion": ("DELETE", "200 OK", b"%b", {}),
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("kind", NESTED)
@pytest.mark.parametrize("depth", DEPTHS)
def test_deep_json_fails_the_task(name: str, kind: str, depth: int) -> None:
    method, status, around, options = DEEP[name]
    response = http(status, around % NESTED[kind](depth))
    message, _took = revoke(only(lambda: response, method), **options)
    assert "Could not" in message


# Runs a module in its own process, against a server in another. getrusage would not do: on Linux,
# a process starts with the peak of its parent.
CHILD = """
import json, sys
from pathlib import Path
from tests import conftest
from tests.support import run_module
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
name, options = json.loads(sys.argv[1])
run_module(name, {**options, "base_url": "http://127.0.0.1:9", "retries": 0})
before = peak()
outcome = run_module(name, options)
print(json.dumps([outcome.result, peak() - before, peak()]))
"""
MIB = 1024 * 1024


def measured(respond: Respond, options: dict[str, Any]) -> tuple[dict[str, Any], float, float]:
    """Return a module's result, the MiB it took beyond a small response, and all MiB it took."""
    with serving(respond) as server:
        options = {"base_url": server.url, "org_id": ORG, "timeout": 60, **options}
        child = subprocess.run(
            [sys.executable, "-c", CHILD, json.dumps([options.pop("module"), options])],
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
            timeout=300,
        )
    result, beyond, most = json.loads(child.stdout)
    return result, beyond / 1024, most / 1024


@functools.cache
def bomb(size: int = 256) -> bytes:
    """Compress this many MiB of spaces into a few kilobytes."""
    return gzip.compress(b" " * (size * MIB), 1)


def packed(status: str, body: bytes, *headers: str) -> bytes:
    return http(status, body, "Content-Encoding: gzip", *headers)


INFO = {"module": "org_info", **TOKEN, "retries": 0}


def after_challenge(asked: Asked) -> Pieces:
    if is_challenged(asked):
        return packed("401 X", bomb(), f"WWW-Authenticate: {CHALLENGE}")
    return as_json(200, page([]))


def forever(piece: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.chain([HEAD + b"\r\n"], itertools.repeat(piece, 4000))


HUGE: dict[str, tuple[Respond, dict[str, Any], int]] = {
    "a body without an end": (only(forever(b" " * MIB)), INFO, 120),
    "a gzip bomb": (only(lambda: packed("200 OK", bomb())), INFO, 120),
    "a gzip bomb of many members": (only(lambda: packed("200 OK", bomb(1) * 256)), INFO, 120),
    "a gzip bomb as an error": (only(lambda: packed("500 X", bomb())), INFO, 120),
    "a gzip bomb as a challenge": (
        after_challenge,
        {"module": "org_info", "retries": 0, **key_pair("atlas")},
        120,
    ),
    # Parsed JSON takes more memory than its text: this is the worst case.
    "objects without an end": (
        only(lambda: http("200 OK", b"[" + b'{"":0},' * (2 * MIB) + b"0]")),
        INFO,
        900,
    ),
    "pages of megabytes": (
        endless(
            lambda n: {"results": [{"id": f"{n:024x}", "name": "x" * 12 * MIB}], "totalCount": 999}
        ),
        INFO,
        600,
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_an_endless_response_takes_limited_memory(name: str) -> None:
    respond, options, most = HUGE[name]
    result, mib, _whole = measured(respond, dict(options))
    assert result["failed"]
    assert "Internal error" not in result["msg"]
    assert result["msg"].isprintable()
    assert len(json.dumps(result)) < MIB
    assert mib < most


SIZE = 200 * MIB
LENGTH = b"Content-Length: %d\r\n\r\n" % SIZE
# The format that the task asks for, and the response.
FILES: dict[str, tuple[str, Callable[[], Pieces]]] = {
    "json": ("json", lambda: itertools.chain([HEAD, LENGTH], itertools.repeat(b" " * MIB, 200))),
    "gzip": ("gzip", lambda: itertools.chain([HEAD, LENGTH], itertools.repeat(b"z" * MIB, 200))),
    "a compressed response": ("csv", lambda: packed("200 OK", bomb(200))),
}


@pytest.mark.parametrize("name", FILES)
def test_a_download_of_200_mib_takes_little_memory(name: str, tmp_path: Path) -> None:
    """The figure includes the tests' own libraries, which take most of it."""
    accept_format, response = FILES[name]
    options = {"module": "api_request", **TOKEN, "path": "/x", "dest": str(tmp_path / "x")}
    options["accept_format"] = accept_format
    result, beyond, whole = measured(only(response), options)
    assert result["changed"], result
    assert (tmp_path / "x").stat().st_size == SIZE
    assert beyond < 10
    assert whole < 80
