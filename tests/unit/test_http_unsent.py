# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What proves that a request was not sent, over real sockets; and a fresh connection after pauses.

A request counts as sent after any exception from requests or urllib3 that does not prove this.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import urllib3

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import (
    _http,
    _transport_errors,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import (
    MAX_IDLE,
    Auth,
    Http,
    Response,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._transport_errors import (
    proves_unsent,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._http_settings import (
    HttpSettings,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ConnectError,
    DeadlineError,
    LostResponseError,
    ProxyError,
    Request,
    TlsError,
    TransportError,
)
from tests.integration.peers import LOOPBACK, Authority, dead_port
from tests.support import VirtualClock

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Play = Callable[[socket.socket], None]


class Server:
    """Runs one play per connection; ``heads`` are the request heads that the plays read."""

    def __init__(self, *plays: Play) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self._plays = plays
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._listener.close()

    def _serve(self) -> None:
        for play in self._plays:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                play(connection)

    def read(self, connection: socket.socket) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = connection.recv(1024)
            if not part:
                return b""
            head += part
        self.heads.append(head)
        return head


def call(url: str, method: str = "POST", **settings: Any) -> Response:
    time = VirtualClock()
    clock = Clock(time.now, time.sleep, time.random)
    settings = {"retries": 2, "timeout": 5.0, **settings}
    http = Http(HttpSettings(**settings), clock, url)
    request = Request(method, url, "/path", "create it", platform="MongoDB Atlas")
    try:
        return http.send(request, Auth(), parse_response=lambda answer: answer, headers={})
    finally:
        http.close()


def fail(url: str, **settings: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        call(url, **settings)
    assert caught.value.outcome_unknown is not caught.value.never_sent
    return caught.value


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    authority.issue("server")
    authority.issue("wrong-host", "opsmanager.example.com")
    return authority


def tls(authority: Authority, play: Play, name: str = "server") -> Play:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / f"{name}.pem", authority.folder / f"{name}.key")

    def play_within(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            play(secure)

    return play_within


def test_connection_refused_is_proof() -> None:
    with dead_port() as port:
        error = fail(f"http://{LOOPBACK}:{port}")
        assert (type(error), error.never_sent, error.attempts) == (ConnectError, True, 3)
        proxied = fail("https://host.invalid", proxy=f"http://{LOOPBACK}:{port}")
        assert (type(proxied), proxied.never_sent, proxied.attempts) == (ProxyError, True, 3)


def test_a_host_name_that_is_not_resolved_is_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_arguments: Any, **_more: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "again")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    error = fail("https://host.invalid")
    assert (type(error), error.never_sent, error.attempts) == (ConnectError, True, 3)


@pytest.mark.parametrize("message", ["timed out", "110"])
def test_a_timeout_while_connecting_is_proof(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    def connect(_self: Any, _address: Any) -> None:
        raise socket.timeout(message)

    monkeypatch.setattr(socket.socket, "connect", connect)
    error = fail("https://127.0.0.1:1")
    assert (type(error), error.never_sent, error.attempts) == (ConnectError, True, 3)


def test_another_error_while_connecting_is_not_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(_self: Any, _address: Any) -> None:
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket.socket, "connect", connect)
    error = fail("https://127.0.0.1:1")
    assert (type(error), error.never_sent, error.attempts) == (ConnectError, False, 1)
    assert "No route to host" in error.message()


# urllib3 1.26 has its own text for a host name.
@pytest.mark.parametrize("name", ["server", "wrong-host"])
def test_a_certificate_that_is_not_accepted_is_proof(authority: Authority, name: str) -> None:
    verify = str(authority.file) if name == "wrong-host" else True
    with Server(tls(authority, lambda _connection: None, name)) as server:
        error = fail(f"https://{LOOPBACK}:{server.port}", verify=verify)
    assert (type(error), error.never_sent) == (TlsError, True)


def test_a_proxy_whose_certificate_is_not_accepted_is_proof(authority: Authority) -> None:
    with Server(tls(authority, lambda _connection: None)) as server:
        error = fail("https://host.invalid", proxy=f"https://{LOOPBACK}:{server.port}")
    if isinstance(error, LostResponseError):
        # Early versions of urllib3 1.26 do not use TLS with a proxy, so they prove nothing.
        assert urllib3.__version__.startswith("1.26.")
        assert not error.never_sent
        return
    # urllib3 1.26 does not say that it is the certificate of the proxy.
    assert isinstance(error, (ProxyError, TlsError))
    assert error.never_sent


@pytest.mark.parametrize("status", [b"403 Forbidden", b"503 Later"])
def test_a_refused_connect_is_proof(status: bytes) -> None:
    def refuse(connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    with Server(*[refuse] * 3) as server:
        error = fail("https://host.invalid", proxy=f"http://{LOOPBACK}:{server.port}")
    assert (type(error), error.never_sent) == (ProxyError, True)
    assert status.decode() in error.message()
    assert error.attempts == (3 if b"503" in status else 1)


def test_bad_tls_files_and_addresses_are_proof(tmp_path: Path) -> None:
    error = fail("https://127.0.0.1:1", verify=str(tmp_path / "none.pem"))
    assert (type(error), error.never_sent) == (TlsError, True)
    error = fail(f"http://{'x' * 64}.invalid")
    assert (type(error), error.never_sent) == (ConnectError, True)


def test_a_broken_handshake_is_not_proof(authority: Authority) -> None:
    with Server(lambda connection: connection.close()) as server:
        error = fail(f"https://{LOOPBACK}:{server.port}")
    assert (error.never_sent, error.attempts) == (False, 1)
    with Server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")) as server:
        error = fail(f"https://{LOOPBACK}:{server.port}")
    assert (type(error), error.never_sent, error.attempts) == (TlsError, False, 1)


def test_a_broken_connect_is_not_proof() -> None:
    def break_off(connection: socket.socket) -> None:
        server.read(connection)

    with Server(break_off) as server:
        error = fail("https://host.invalid", proxy=f"http://{LOOPBACK}:{server.port}")
    assert (error.never_sent, error.attempts) == (False, 1)


def test_a_proxy_error_after_the_request_has_arrived_is_not_proof() -> None:
    def lose(connection: socket.socket) -> None:
        server.read(connection)

    with Server(lose) as server:
        seen = raised_by_requests(
            "http://host.invalid", {"http": f"http://{LOOPBACK}:{server.port}"}
        )
    assert isinstance(seen, requests.exceptions.ProxyError)
    with Server(*[lose] * 3) as server:
        error = fail("http://host.invalid", proxy=f"http://{LOOPBACK}:{server.port}")
    assert (type(error), error.never_sent, error.attempts) == (LostResponseError, False, 1)
    assert [head.split(b" ")[0] for head in server.heads] == [b"POST"]


def test_a_tls_error_after_the_request_has_arrived_is_not_proof(authority: Authority) -> None:
    def spoil(secure: Any) -> None:
        server.read(secure)
        # Not a TLS record.
        secure.unwrap = lambda: None
        with socket.socket(fileno=secure.detach()) as plain:
            plain.sendall(b"x" * 64)
            plain.recv(1024)

    verify = str(authority.file)
    with Server(tls(authority, spoil)) as server:
        url = f"https://{LOOPBACK}:{server.port}"
        assert isinstance(raised_by_requests(url, {}, verify), requests.exceptions.SSLError)
    with Server(*[tls(authority, spoil)] * 3) as server:
        error = fail(f"https://{LOOPBACK}:{server.port}", verify=verify)
    assert (type(error), error.never_sent, error.attempts) == (TlsError, False, 1)
    assert len(server.heads) == 1


def raised_by_requests(url: str, proxies: dict[str, str], verify: Any = True) -> Exception:
    with requests.Session() as session:
        session.trust_env = False
        with pytest.raises(requests.RequestException) as caught:
            session.post(url, proxies=proxies, verify=verify, timeout=5)
    return caught.value


class UnknownError(Exception):
    """An exception that no version of a library raises."""


EMPTY = (
    requests.exceptions.ConnectionError(),
    requests.exceptions.ConnectTimeout(),
    requests.exceptions.InvalidHeader("of the response"),
    requests.exceptions.ProxyError(),
    requests.exceptions.RequestException(),
    requests.exceptions.SSLError(),
    requests.exceptions.Timeout(),
    urllib3.exceptions.HTTPError(),
    urllib3.exceptions.NewConnectionError(None, "wraps nothing"),  # type: ignore[arg-type]
    urllib3.exceptions.SSLError(),
    ssl.SSLError(),
    OSError(),
    OSError("Tunnel connection failed: 403 Forbidden"),
    ConnectionRefusedError(),
    TimeoutError(),
    ValueError(),
    AttributeError(),
    UnknownError(),
)


@pytest.mark.parametrize("error", EMPTY, ids=lambda error: type(error).__name__)
def test_an_exception_that_wraps_nothing_is_not_proof(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disable everything that the client relies on in requests and urllib3."""
    send = requests.adapters.HTTPAdapter.send

    def send_and_hide(*arguments: Any, **more: Any) -> Any:
        with contextlib.suppress(Exception):
            return send(*arguments, **more)
        raise error.with_traceback(None) from None

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send_and_hide)
    monkeypatch.setattr(_http, "instrument_adapter", lambda *_arguments: None)

    def lose(connection: socket.socket) -> None:
        server.read(connection)

    with Server(*[lose] * 3) as server:
        failure = fail(f"http://{LOOPBACK}:{server.port}")
    assert (failure.never_sent, failure.attempts) == (False, 1)
    assert len(server.heads) == 1
    assert "may have been carried out" in failure.message()


def test_a_refusal_reported_by_an_open_connection_is_not_proof() -> None:
    refused = ConnectionRefusedError(111, "refused")
    assert not proves_unsent(refused)
    assert not proves_unsent(urllib3.exceptions.ProtocolError("Connection aborted.", refused))
    lost = ConnectionResetError(104, "reset")
    lost.__cause__ = socket.gaierror(socket.EAI_AGAIN, "again")
    both = requests.exceptions.ConnectionError(lost.__cause__, ConnectionResetError(104, "reset"))
    assert not proves_unsent(both)


def test_the_context_of_an_exception_is_not_proof() -> None:
    error = requests.exceptions.ConnectionError()
    error.__context__ = socket.gaierror(socket.EAI_AGAIN, "of another request")
    assert not proves_unsent(error)


def test_urllib3_1_26_sets_only_the_context_of_a_failed_connection() -> None:
    error = urllib3.exceptions.NewConnectionError(None, "in other words")  # type: ignore[arg-type]
    error.__context__ = ConnectionRefusedError(111, "refused")
    assert proves_unsent(error)
    error.__cause__ = OSError(113, "No route to host")
    assert not proves_unsent(error)


def test_the_host_name_error_of_urllib3_is_proof() -> None:
    kind: Any = urllib3.connection.CertificateError  # type: ignore[attr-defined]
    assert proves_unsent(requests.exceptions.SSLError(urllib3.exceptions.SSLError(kind("x"))))


def test_a_cycle_of_exceptions_is_not_proof() -> None:
    error = OSError()
    error.__cause__ = other = OSError()
    other.__cause__ = error
    assert not proves_unsent(error)


def test_a_urllib3_without_its_own_host_name_error_is_supported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        _transport_errors, "urllib3", SimpleNamespace(exceptions=urllib3.exceptions, util=None)
    )
    assert not proves_unsent(OSError())


def test_a_gateway_that_reports_the_server_as_down_is_not_proof() -> None:
    """A proxy that forwards a request may have lost the response to it."""

    def report(connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    with Server(*[report] * 3) as server:
        answer = call("http://host.invalid", proxy=f"http://{LOOPBACK}:{server.port}")
    assert (answer.status, answer.attempts) == (502, 1)
    assert _http.may_have_happened("POST", answer)


def test_a_timeout_of_the_response_is_not_proof() -> None:
    def wait(connection: socket.socket) -> None:
        server.read(connection)
        connection.recv(1)

    with Server(wait) as server:
        error = fail(f"http://{LOOPBACK}:{server.port}", timeout=0.2)
    assert (type(error), error.never_sent, error.attempts) == (DeadlineError, False, 1)


class Idle:
    """A client, and a server that responds to each request and keeps its connections open."""

    def __init__(self) -> None:
        self.time = VirtualClock()
        self.used: list[int] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self._url = f"http://{LOOPBACK}:{self._listener.getsockname()[1]}"
        clock = Clock(self.time.now, self.time.sleep, self.time.random)
        self._http = Http(HttpSettings(retries=0, timeout=5.0), clock, self._url)
        self._lock = threading.Lock()
        self.open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                self.open.append(connection)
                arguments = (connection, len(self.open))
                threading.Thread(target=self._answer, args=arguments, daemon=True).start()

    def _answer(self, connection: socket.socket, number: int) -> None:
        head = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(1024):
                head += part
                if head.endswith(b"\r\n\r\n"):
                    with self._lock:
                        self.used.append(number)
                    head = b""
                    connection.sendall(FINE)

    def call(self, method: str) -> int:
        """Send a request, and return the number of its connection."""
        request = Request(method, self._url, "/path", "do it")
        assert (
            self._http.send(request, Auth(), parse_response=lambda a: a, headers={}).status == 200
        )
        return self.used[-1]

    def close(self) -> None:
        self._http.close()
        self._listener.close()
        for connection in self.open:
            connection.close()


@pytest.fixture
def idle() -> Iterator[Idle]:
    idle = Idle()
    yield idle
    idle.close()


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_write_after_a_pause_uses_a_new_connection(idle: Idle, method: str) -> None:
    assert [idle.call("GET"), idle.call(method), idle.call(method)] == [1, 1, 1]
    idle.time.sleep(MAX_IDLE / 2)
    assert idle.call(method) == 1
    idle.time.sleep(MAX_IDLE * 1.5)
    assert [idle.call(method), idle.call("GET"), idle.call(method)] == [2, 2, 2]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_retriable_request_reuses_an_idle_connection(idle: Idle, method: str) -> None:
    idle.call("GET")
    idle.time.sleep(3600)
    assert idle.call(method) == 1


def test_every_pause_is_longer_than_max_idle() -> None:
    assert MAX_IDLE < _http.INITIAL_BACKOFF


def test_an_idle_connection_of_another_thread_is_not_used(idle: Idle) -> None:
    """Two threads send at the same time; then one continues, with the connection used last."""
    meeting = threading.Barrier(2)
    lines = idle._http._connections

    def use() -> None:
        with lines.take("GET"):
            meeting.wait(10)
        idle.call("GET")

    threads = [threading.Thread(target=use) for _number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines._idle) == 2
    for line in lines._idle:
        line.idle_since = idle.time.now()
    first = idle.call("GET")
    idle.time.sleep(MAX_IDLE * 1.5)
    assert idle.call("GET") == first
    # A POST can use the connection used last, but not the other one.
    with lines.take("GET"):
        before = len(idle.open)
        assert idle.call("POST") == before + 1 != first
    assert idle.call("POST") == first


def test_each_thread_keeps_its_connection(idle: Idle) -> None:
    lines = idle._http._connections
    with lines.take("GET"), lines.take("GET"):
        assert lines._idle == []
    assert len(lines._idle) == 2
    with lines.take("GET"):
        assert len(lines._idle) == 1
    assert set(idle._http._session.adapters) == {"http://", "https://"}
