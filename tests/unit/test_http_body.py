# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a body: completely, in time, and within a limit, compressed or not."""

from __future__ import annotations

import gzip
import io
import re
import socket
import tracemalloc
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import urllib3

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _http
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    KeysmithError,
    LostResponseError,
    Request,
    UnexpectedResponseError,
)

REQUEST = Request("GET", "https://h", "/x", "read it", platform="MongoDB Atlas")
MIB = 1024 * 1024
PACKED = gzip.compress(b"hello")
FULL, BOMB = gzip.compress(b"x" * MIB), gzip.compress(b"x" * (MIB + 1))


@pytest.fixture(autouse=True)
def _one_mebibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "MAX_BODY", MIB)


def response(body: bytes, status: int = 200, **headers: str) -> requests.Response:
    found = requests.Response()
    found.status_code = status
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    found.headers.update(named)
    # Like old urllib3 versions, it does not check Content-Length.
    packed = {name: value for name, value in named.items() if name == "Content-Encoding"}
    found.raw = urllib3.HTTPResponse(io.BytesIO(body), headers=packed, preload_content=False)
    return found


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (response(b""), b""),
        (response(b"hello"), b"hello"),
        (response(b"hello", Content_Length="5"), b"hello"),
        (response(b"hello", Content_Length=" 3 "), b"hello"),
        # Not a plausible number.
        (response(b"hello", Content_Length="-7"), b"hello"),
        (response(b"hello", Content_Length="²"), b"hello"),
        (response(b"hello", Content_Length="9" * 20), b"hello"),
        # Lengths that do not apply to this body.
        (response(b"", 204, Content_Length="7"), b""),
        (response(b"", 304, Content_Length="7"), b""),
        (response(b"hello", Content_Length="7", Transfer_Encoding="gzip, Chunked"), b"hello"),
        (response(b"x" * MIB), b"x" * MIB),
        (response(b"hello", Content_Encoding=" Identity "), b"hello"),
        (response(b"hello", Content_Encoding=""), b"hello"),
        (response(b"", Content_Encoding="br"), b""),
        (response(PACKED, Content_Encoding="gzip", Content_Length=str(len(PACKED))), b"hello"),
        (response(FULL, Content_Encoding="gzip"), b"x" * MIB),
        (response(PACKED, Content_Encoding="GZIP"), b"hello"),
        (response(PACKED * 3, Content_Encoding="gzip", Content_Length="75"), b"hello" * 3),
        (response(gzip.compress(b"") * 999 + PACKED, Content_Encoding="gzip"), b"hello"),
        # Like other clients, urllib3 ignores data after the last member.
        (response(PACKED + b"x", Content_Encoding="gzip"), b"hello"),
        (response(zlib.compress(b"hello"), Content_Encoding="deflate"), b"hello"),
        (response(zlib.compress(b"hello")[2:-4], Content_Encoding="deflate"), b"hello"),
        (response(zlib.compress(b"x" * MIB), Content_Encoding="deflate"), b"x" * MIB),
    ],
    ids=range(23),
)
def test_a_body_is_read(answer: requests.Response, body: bytes) -> None:
    assert _http._read_body(answer, REQUEST) == body


class Raw:
    """A body with these parts, which records how they were asked for."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = [*parts, b""]
        self.asked: set[tuple[int, bool]] = set()

    def tell(self) -> int:
        return 100 - len(self.parts) if self.parts else 99

    def read(self, size: int, decode_content: bool) -> bytes:
        self.asked.add((size, decode_content))
        return self.parts.pop(0)


@pytest.mark.parametrize(
    ("encoding", "asked"), [("", (9999, False)), ("gzip", (_http._DECODED_AT_ONCE, True))]
)
def test_a_part_may_decode_to_nothing(encoding: str, asked: tuple[int, bool]) -> None:
    answer = response(b"", Content_Encoding=encoding)
    answer.raw = raw = Raw(b"", b"hello")
    assert b"".join(_http._parts(answer, REQUEST, 9999)) == b"hello"
    assert raw.asked == {asked}


@pytest.mark.parametrize(
    ("bomb", "encoding"),
    [
        (lambda: gzip.compress(bytes(64 * MIB)), "gzip"),
        (lambda: gzip.compress(bytes(MIB // 2)) * 128, "gzip"),
        (lambda: zlib.compress(bytes(64 * MIB)), "deflate"),
    ],
    ids=["one member", "many members", "deflate"],
)
def test_a_decompression_bomb_uses_limited_memory(bomb: Callable[[], bytes], encoding: str) -> None:
    answer = response(bomb(), Content_Encoding=encoding)
    tracemalloc.start()
    try:
        with pytest.raises(UnexpectedResponseError, match="longer than 1 MiB"):
            _http._read_body(answer, REQUEST)
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * MIB


TOO_LONG = r"the response \(200\) is longer than 1 MiB, more than the API ever returns\. Check that"
BROKEN = r"broke in the middle of the response\. Check the network to the API"
DAMAGED = r"the response is damaged \(gzip\)\. Check the proxy or gateway in between"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (response(b"x" * (MIB + 1)), UnexpectedResponseError, TOO_LONG),
        (response(BOMB, Content_Encoding="gzip"), UnexpectedResponseError, TOO_LONG),
        (response(b"hello", Content_Length="6"), LostResponseError, BROKEN),
        (response(b"", 500, Content_Length="1"), LostResponseError, BROKEN),
        (response(b"hello", Content_Length="9" * 19), LostResponseError, BROKEN),
        (
            response(PACKED[:-1], Content_Encoding="gzip", Content_Length="25"),
            LostResponseError,
            BROKEN,
        ),
        (
            response(zlib.compress(bytes(2 * MIB)), Content_Encoding="deflate"),
            UnexpectedResponseError,
            TOO_LONG,
        ),
        (response(b"hello", Content_Encoding="gzip"), LostResponseError, DAMAGED),
        (response(PACKED[:-4] + b"abcd", Content_Encoding="gzip"), LostResponseError, DAMAGED),
        (
            response(b"hello", 201, Content_Encoding="BR, gzip"),
            UnexpectedResponseError,
            r"the response \(201\) has an unexpected Content-Encoding: br, gzip\. Check the "
            "proxy or gateway in between",
        ),
        (
            response(b"hello", Content_Encoding=f"{'x' * 20} {'x' * 20}"),
            UnexpectedResponseError,
            "has an unexpected Content-Encoding: x{20} …\\.",
        ),
    ],
    ids=range(11),
)
def test_an_unreadable_body_is_an_error(
    answer: requests.Response, kind: type[KeysmithError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        _http._read_body(answer, REQUEST)
    assert re.search(words, caught.value.message())
    assert caught.value.request is REQUEST
    reasons = {BROKEN: "connection broken", DAMAGED: "damaged response"}
    assert caught.value.reason == reasons.get(words)
    if kind is UnexpectedResponseError:
        assert caught.value.status == answer.status_code


@pytest.mark.parametrize("proxy", [None, "http://proxy.example:3128"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_every_response_has_a_deadline(proxy: str | None, scheme: str) -> None:
    adapter = requests.adapters.HTTPAdapter()
    _http.instrument_adapter(adapter)
    manager = adapter.proxy_manager_for(proxy) if proxy else adapter.poolmanager
    pool = manager.connection_from_url(f"{scheme}://host.example")
    assert pool.ConnectionCls.response_class is _http._DeadlineResponse


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_an_informational_response_is_skipped(status: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        sent = f"HTTP/1.1 {status} Wait\r\nX-Y: z\r\n\r\nHTTP/1.1 204 No\r\n\r\n"
        theirs.sendall(sent.encode())
        found = _http._DeadlineResponse(ours)
        found.begin()
        assert (found.status, found.getheader("X-Y")) == (204, None)
        found.close()


class Pair:
    """Two ends of a connection, and a clock."""

    def __init__(self, timeout: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(_http, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(timeout)
        self.reader = _http._DeadlineReader(self.ours)

    def read(self) -> bytes:
        buffer = bytearray(8)
        return bytes(buffer[: self.reader.readinto(buffer)])

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.reader.close()
        self.ours.close()
        self.theirs.close()


def test_a_response_may_take_three_times_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    with Pair(2.0, monkeypatch) as pair:
        assert pair.reader.readable()
        for now, wait in ((100.0, 2.0), (104.0, 2.0), (105.5, 0.5)):
            pair.now = now
            pair.theirs.sendall(b"hello")
            assert pair.read() == b"hello"
            assert pair.ours.gettimeout() == wait
            assert not pair.reader.is_at_end
        pair.now = 106.0
        pair.theirs.sendall(b"hello")
        with pytest.raises(socket.timeout, match=r"^the response was not complete in time$"):
            pair.read()


def test_a_socket_without_a_timeout_has_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with Pair(None, monkeypatch) as pair:
        pair.now = 100_000.0
        pair.theirs.sendall(b"hello")
        assert pair.read() == b"hello"
        assert pair.ours.gettimeout() is None
        pair.theirs.close()
        assert pair.read() == b""
        assert pair.reader.is_at_end
