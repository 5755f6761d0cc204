# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that only a broken or hostile web server sends.

A plain socket responds to the GET like the API, and to the DELETE with raw bytes. The task must
neither report success nor claim that nothing was done.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support import MISSING_ID, Outcome, org_id, run_module

KEY = {"id": MISSING_ID, "desc": "victim", "publicKey": "abcdefgh", "roles": []}
NOT_FOUND = {"error": 400, "errorCode": "API_KEY_NOT_FOUND", "parameters": [MISSING_ID]}


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


FOUND = http("200 OK", json.dumps(KEY).encode())
MISSING = http("400 Bad Request", json.dumps(NOT_FOUND).encode())


class RawServer:
    """Responds to each request with the next bytes for its method; closes after a DELETE.

    ``then``: the response to a later GET, if it differs.
    """

    def __init__(self, *deletes: bytes, get: bytes = FOUND, then: bytes | None = None) -> None:
        self._then = then
        self._deletes = list(deletes)
        self._get = get
        self.asked: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError):
                self._respond_all(connection)

    def _respond_all(self, connection: socket.socket) -> None:
        while True:
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            method = head.split(b" ", 1)[0].decode()
            self.asked.append(method)
            if method == "DELETE":
                connection.sendall(self._deletes.pop(0) if self._deletes else b"")
                return
            is_late = "DELETE" in self.asked
            connection.sendall(self._then if self._then and is_late else self._get)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def server(*deletes: bytes, get: bytes = FOUND, then: bytes | None = None) -> Iterator[RawServer]:
    raw = RawServer(*deletes, get=get, then=then)
    try:
        yield raw
    finally:
        raw.close()


def revoke(raw: RawServer, **options: object) -> Outcome:
    common = {"base_url": raw.url, "org_id": org_id("atlas"), "state": "absent"}
    common |= {"access_token": "token", "api_user_id": MISSING_ID, "retries": 0, "timeout": 2}
    return run_module("org_api_key", {**common, **options})


HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
DEEP = b"[" * 700 + b'"\\ud800"' + b"]" * 700
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CUT_SHORT = {
    "a status line without an end": b"HTTP/1.1 200 OK\r\n",
    "a head cut off in a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a head without its blank line": b"HTTP/1.1 204 No Content\r\nServer: x\r\n",
    "a body that does not arrive": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nabcde",
    "a chunk with a negative length": CHUNKED + b"-5\r\n\r\n",
    "chunks without an end": CHUNKED,
    "an early hint without a response": HINT,
    "an early hint that is cut off": HINT + b"HTTP/1.1 103 Early Hints\r\nLink: </x",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
    "a gateway timeout": http("408 Request Timeout", b"<html>"),
    "a page from a gateway": http("404 Not Found", b"<html>"),
    "a redirect that cannot be read": http("302 Found", b"", "Location: http://["),
    "a redirect that is not text": http("302 Found", b"", "Location: http://\xff\xfe/"),
    "deep JSON": http("200 OK", DEEP),
    "a page behind an empty one": http(
        "200 OK", gzip.compress(b"") + gzip.compress(b"<html>"), "Content-Encoding: gzip"
    ),
    "an unrequested encoding": http("200 OK", b"x", "Content-Encoding: br"),
    "a status without content": http("200 OK", b'{"status": 200}'),
    "nothing": b"",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "headers without an end": b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 5000 + b"\r\n",
}


@pytest.mark.parametrize("answer", CUT_SHORT.values(), ids=CUT_SHORT)
def test_a_broken_response_proves_neither_success_nor_failure(answer: bytes) -> None:
    with server(answer) as raw:
        outcome = revoke(raw)
    assert outcome.failed, outcome.output
    assert not outcome.changed
    assert "Internal error" not in outcome.msg
    assert "may have been carried out" in outcome.msg


PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("before", [HINT, PROCESSING * 9 + HINT, CONTINUE + HINT + CONTINUE])
def test_interim_responses_are_skipped(before: bytes) -> None:
    denied = http("403 Forbidden", b'{"error": 403, "errorCode": "ACCESS_FORBIDDEN"}')
    with server(before + http("204 No Content"), get=before + FOUND) as raw:
        assert revoke(raw).changed
        assert raw.asked == ["GET", "DELETE"]
    with server(before + denied) as raw:
        outcome = revoke(raw)
    assert outcome.failed
    assert outcome.result["error"]["status"] == 403


def test_endless_interim_responses_time_out() -> None:
    class Hints(RawServer):
        def _respond_all(self, connection: socket.socket) -> None:
            while True:
                connection.sendall(HINT)

    raw = Hints()
    try:
        outcome = revoke(raw, timeout=0.1)
    finally:
        raw.close()
    assert outcome.failed
    assert "did not arrive in time" in outcome.msg


@pytest.mark.parametrize(
    "name", ["nothing", "a head cut off in a header", "two lengths", "not HTTP"]
)
def test_a_key_that_is_missing_after_a_broken_response_counts_as_revoked(name: str) -> None:
    with server(CUT_SHORT[name], MISSING, then=MISSING) as raw:
        outcome = revoke(raw, retries=3)
        assert raw.asked.count("DELETE") == 2
    assert outcome.changed, outcome.msg


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "502 Bad Gateway"])
def test_an_envelope_does_not_undo_a_refusal(status: str) -> None:
    content = json.dumps({"status": 400, "content": NOT_FOUND}).encode()
    with server(http(status, content)) as raw:
        outcome = revoke(raw)
    assert outcome.failed
    assert "Internal error" not in outcome.msg


@pytest.mark.parametrize(
    "form", ["t0ken/?>", "t0ken%2F%3F%3E", "t0ken/%3f%3e", "dDBrZW4vPz4=", "dDBrZW4vPz4"]
)
def test_a_token_that_is_quoted_in_another_form_is_hidden(form: str) -> None:
    detail = {"error": 403, "errorCode": "X", "detail": f"Bearer {form} is of no use"}
    with server(http("403 Forbidden", json.dumps(detail).encode())) as raw:
        outcome = revoke(raw, access_token="t0ken/?>")
    assert outcome.failed
    assert "is of no use" in outcome.msg
    assert form.rstrip("=") not in outcome.output


def test_a_truncated_response_to_the_get_does_not_mean_missing() -> None:
    for answer in (MISSING[:-20], b"HTTP/1.1 400 Bad Request\r\nContent-Le", b""):
        with server(get=answer) as raw:
            # The server keeps the connection open, so that only the time limit ends this.
            outcome = revoke(raw, timeout=0.2)
        assert outcome.failed, outcome.output


def test_a_redirect_is_not_decompressed() -> None:
    """requests reads a redirect's body without a limit, even if it must not follow it."""
    bomb = gzip.compress(b" " * 200_000_000, compresslevel=1)
    # The peak memory of the process cannot show this: creating the bomb has just raised it.
    tracemalloc.start()
    try:
        with server(get=http("302 Found", bomb, "Location: /x", "Content-Encoding: gzip")) as raw:
            outcome = revoke(raw)
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "redirects (302) to /x" in outcome.msg
    assert most < 50_000_000


def test_a_request_that_a_proxy_loses_is_not_reported_as_unsent() -> None:
    with server(get=FOUND) as raw:
        # As a proxy, the raw server gets the same requests, responds to the GET and loses the
        # DELETE.
        outcome = revoke(raw, http_proxy=raw.url, base_url="http://api.example")
    assert outcome.failed
    assert "may have been carried out" in outcome.msg


def test_a_lost_token_behind_a_proxy_is_not_requested_again() -> None:
    with server(get=b"") as raw:
        outcome = revoke(
            raw,
            http_proxy=raw.url,
            base_url="http://api.example",
            access_token=None,
            client_id="mdb_sa_id_5980cfdf0b6d97029d82f86e",
            client_secret="mdb_sa_sk_x",
            retries=3,
            timeout=1,
        )
        assert raw.asked == ["POST"]
    assert outcome.failed
    assert "A token may have been issued" in outcome.msg


@pytest.mark.parametrize("shown", ["proxy.invalid:3128", "user:passw0rd@proxy.invalid:3128"])
def test_a_proxy_without_a_scheme_is_refused(shown: str) -> None:
    with server() as raw:
        outcome = revoke(raw, http_proxy=shown, base_url="http://api.example")
    assert outcome.failed
    assert outcome.result["error"]["type"] == "options"
    assert "http_proxy is not the address of an http or https proxy" in outcome.msg
    assert "passw0rd" not in outcome.output
    assert raw.asked == []


# Responses to a GET that are neither JSON that can be returned nor a file that can be saved.
GZIP = "Content-Encoding: gzip"
UNFIT = {
    "an error with status 200": http("200 OK", json.dumps({**NOT_FOUND, "error": 404}).encode()),
    "an error in an envelope": http("200 OK", b'{"status": 404, "content": {"errorCode": "X"}}'),
    "a page": http("200 OK", b"<html>", "Content-Type: text/HTML; charset=utf-8"),
    "a page without a type": http("200 OK", b"\n<!DOCTYPE HTML><html></html>"),
    "a part": http("206 Partial Content", b"id,na"),
    "a redirect": http("302 Found", b"id,name", "Location: /files/1"),
    "another encoding": http("200 OK", b"id,name", "Content-Encoding: br"),
    "two encodings": http("200 OK", gzip.compress(gzip.compress(b"id")), f"{GZIP}, gzip"),
    "a damaged encoding": http("200 OK", b"id,name", GZIP),
    "two lengths": CUT_SHORT["two lengths"],
    "a chunk with a negative length": CUT_SHORT["a chunk with a negative length"],
    "a body without a length": b"HTTP/1.1 200 OK\r\n\r\nid,name",
    "not HTTP": CUT_SHORT["not HTTP"],
}
PATCH = {"method": "PATCH", "body": {"a": 1}, "compare": True}
UNREADABLE = {
    "deep lists": b"[" * 500 + b"]" * 500,
    "deep objects": b'{"a":' * 200 + b"1" + b"}" * 200,
    "a number that is too large": b'{"a": -1e999}',
    "a number with too many digits": b"9" * 100_000,
    "a number that JSON does not have": b"[NaN]",
    "no text": b'"\xff"',
}


def read(raw: RawServer, **options: object) -> Outcome:
    common = {"base_url": raw.url, "access_token": "token", "retries": 0, "timeout": 2}
    return run_module("api_request", {**common, "path": "/x", **options})


@pytest.mark.parametrize("answer", UNFIT.values(), ids=UNFIT)
def test_a_response_that_is_not_a_file_is_not_saved(answer: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with server(get=answer) as raw:
        outcome = read(raw, dest=str(file))
    assert outcome.failed, outcome.output
    assert not outcome.changed
    assert "Internal error" not in outcome.msg
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a\x00b"])
def test_a_server_does_not_choose_the_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file"
    disposition = f'Content-Disposition: attachment; filename="{name}"'
    with server(get=http("200 OK", b"id,name", disposition)) as raw:
        assert read(raw, dest=str(file)).changed
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "id,name")]


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("options", [{}, {"all_pages": True}, PATCH], ids=["get", "all", "patch"])
def test_json_that_cannot_be_returned_is_an_error(body: bytes, options: dict[str, Any]) -> None:
    with server(get=http("200 OK", body)) as raw:
        outcome = read(raw, **options)
        assert set(raw.asked) == {"GET"}
    assert outcome.failed
    assert outcome.result["error"]["type"] == "unexpected_response"
