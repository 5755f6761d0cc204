# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server, on loopback only: sockets, TLS, latency, the record of requests."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Union
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers
from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Request

from . import api
from .auth import Authenticator, Caller
from .faults import Fault, Faults
from .limits import Limits
from .responses import ApiError, Response, api_error
from .settings import Settings
from .state import Seed, State, load

LOOPBACK = "127.0.0.1"
CONTROL = "/_emulator/"

TlsFiles = tuple[Union[str, Path], ...]


@dataclass
class Recorded:
    """A recorded request; `status` is None if no response was sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: Headers  # case-insensitive
    body: bytes
    status: int | None
    connection: int
    caller: str | None  # public key or client ID, if authenticated


class Emulator:
    """The emulated service: `with Emulator(seed, latency=0.03) as emulator: emulator.url`.

    `tls` is a server-side ssl.SSLContext or the paths (certificate, key[, CA of the clients]).
    `clock` and `sleep` can be replaced, so that tests need not wait. All other arguments are
    Settings.
    """

    def __init__(
        self,
        seed: Seed | Mapping[str, Any] | None = None,
        latency: float = 0.0,
        tls: ssl.SSLContext | TlsFiles | None = None,
        *,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings(latency=latency, **settings)
        self.tls = _server_context(tls) if isinstance(tls, tuple) else tls
        self.clock = clock
        self.lock = threading.RLock()
        self._seed = seed
        self._port = port
        self._stopping = threading.Event()
        self.wall = time.time
        self.sleep = sleep or self._stopping.wait
        self._server: _Server | None = None
        self._connection_ids = itertools.count(1)
        self.reset()

    def reset(self, seed: Seed | Mapping[str, Any] | None = None) -> None:
        """Start over with this seed, or the first one. The server and its settings remain."""
        state = load(self._seed if seed is None else seed)
        with self.lock:
            self.state: State = state
            self.requests: list[Recorded] = []
            self.writes: list[Recorded] = []
            self.connections = 0
            self._faults = Faults()
            self._limits = Limits(self.settings)
            self._auth = Authenticator(state, self.settings, self._now, self._wall)

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the emulator is not running")
        return self._server.port

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{LOOPBACK}:{self.port}"

    def start(self) -> Emulator:
        self._stopping.clear()
        self._server = _Server(self, self._port)
        run = partial(self._server.serve_forever, poll_interval=0.05)
        threading.Thread(target=run, name="emulator", daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._server is not None:
            self._stopping.set()
            _cut(self._server.socket)  # wakes the accepting thread immediately
            self._server.shutdown()
            self._server.cut_connections()
            self._server = None

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add_fault(self, fault: Fault) -> None:
        with self.lock:
            self._faults.add(fault)

    def clear_faults(self) -> None:
        with self.lock:
            self._faults.clear()

    def forget_challenges(self) -> None:
        with self.lock:
            self._auth.nonces.clear()

    def challenge(self, request: Request) -> Response:
        return self._auth.challenge(request)

    @property
    def open_connections(self) -> int:
        """The number of open connections. If it is 0, no request is in progress."""
        return len(self._server.open) if self._server else 0

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def accept(self) -> int:
        with self.lock:
            self.connections += 1
            return next(self._connection_ids)

    def serve(self, handler: _Handler, request: Request, target: str) -> None:
        """Respond to a request on its connection."""
        path = target.partition("?")[0]
        is_first, handler.is_new = handler.is_new, False
        if path.startswith(CONTROL):
            if is_first:
                with self.lock:
                    self.connections = max(0, self.connections - 1)
            response = self._control(request, path[len(CONTROL) :])
            handler.write(response, request.method)
            return
        recorded = Recorded(
            method=request.method,
            path=path,
            query=request.args.to_dict(),
            headers=Headers(list(handler.headers.items())),
            body=request.get_data(),
            status=None,
            connection=handler.connection_id,
            caller=None,
        )
        with self.lock:
            self.requests.append(recorded)
        latency = self.settings.latency
        if latency:
            if is_first:
                self.sleep(2 * latency)
            self.sleep(latency)
        exchange = Exchange(self, handler, request, recorded)
        with self.lock:
            fault = self._prepare(exchange, target)
        if fault:
            fault.play(exchange)
        else:
            exchange.send(exchange.perform())

    def _prepare(self, exchange: Exchange, target: str) -> Fault | None:
        """Find the caller, the action and the fault of a request."""
        request, recorded = exchange.request, exchange.recorded
        is_anonymous = False
        if recorded.path in api.OAUTH_PATHS and request.method == "POST":
            client = self._auth.client(request)
            recorded.caller = client[0].login if client else None
            exchange.action = partial(self._auth.oauth, request, client)
        elif api.is_api(recorded.path):
            who = self._auth.identify(request, target)
            if isinstance(who, Caller):
                recorded.caller = who.holder.login
                exchange.call = api.Call(
                    request,
                    recorded.path,
                    who,
                    self.state,
                    self.settings,
                    self.clock(),
                    self.wall(),
                )
                exchange.action = partial(self._answer, exchange.call)
            else:
                is_anonymous = True
                exchange.action = partial(_same, who)
        else:
            is_anonymous = True
            exchange.action = partial(api.not_found, recorded.path)
        return self._faults.pick(request.method, recorded.path, is_anonymous)

    def _now(self) -> float:
        return self.clock()  # a test may have replaced it

    def _wall(self) -> float:
        return self.wall()

    def _answer(self, call: api.Call) -> Response:
        call.now = self._now()
        return self._limits.response(call)

    def _control(self, request: Request, name: str) -> Response:
        """Serve tools in other processes, without a record or latency."""
        try:
            with self.lock:
                return self._control_locked(request, name)
        except (TypeError, ValueError) as error:
            return Response(400, {"error": str(error)})

    def _control_locked(self, request: Request, name: str) -> Response:
        what = f"{request.method} {name}"
        body = request.get_data()
        if what == "GET state":
            return Response(200, self.state.to_seed())
        if what == "GET stats":
            counts = {
                "requests": len(self.requests),
                "connections": self.connections,
                "writes": len(self.writes),
            }
            return Response(200, counts)
        if what == "POST reset":
            self.reset(json.loads(body) if body.strip() else None)
            return Response(200, {})
        return api.not_found(request.path)


class Exchange:
    """A request, and the means to respond or fail."""

    def __init__(
        self, emulator: Emulator, handler: _Handler, request: Request, recorded: Recorded
    ) -> None:
        self.emulator = emulator
        self.handler = handler
        self.request = request
        self.recorded = recorded
        self.call: api.Call | None = None
        self.performed: Response | None = None
        self.action: Callable[[], Response] = partial(api.not_found, recorded.path)

    def perform(self) -> Response:
        """Carry out the request once; the response is not sent yet."""
        if self.performed is None:
            self.performed = self._perform()
        return self.performed

    def _perform(self) -> Response:
        with self.emulator.lock:
            try:
                response = self.action()
            except ApiError as failure:
                response = failure.response
            if response.changed:
                self.emulator.writes.append(self.recorded)
        return self.wrap(response)

    def challenge(self) -> Response:
        """Return a 401 with a new nonce, whatever the credentials."""
        with self.emulator.lock:
            return self.emulator.challenge(self.request)

    def perform_if(self, wanted: bool) -> None:
        if wanted:
            self.perform()

    def wrap(self, response: Response) -> Response:
        """Add an envelope if one was requested, but never to a challenge or an OAuth response."""
        if self.call is None or response.raw is not None:
            return response
        is_wanted = self.emulator.settings.envelope_always or self.call.flag("envelope")
        return response.in_envelope() if is_wanted else response

    def record_status(self, status: int) -> None:
        self.recorded.status = status

    def send(self, response: Response) -> None:
        self.record_status(response.status)
        self.handler.write(response, self.request.method)

    def write(self, data: bytes) -> None:
        self.handler.connection.sendall(data)

    def drip(self, data: bytes, interval: float) -> None:
        for index in range(len(data)):
            self.sleep(interval)
            self.write(data[index : index + 1])

    def sleep(self, seconds: float) -> None:
        self.emulator.sleep(seconds)
        if self.emulator.is_stopping:
            raise ConnectionAbortedError("the emulator is stopping")

    def close(self) -> None:
        self.handler.close_connection = True
        _cut(self.handler.connection)

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        self.handler.close_connection = True
        connection = self.handler.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())


class _Server(ThreadedWSGIServer):
    """A threaded server of werkzeug that tracks its connections."""

    def __init__(self, emulator: Emulator, port: int) -> None:
        self.emulator = emulator
        self.open: set[socket.socket] = set()
        super().__init__(LOOPBACK, port, _no_application, _Handler)
        self.ssl_context = emulator.tls  # each connection's thread does the handshake

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer would resolve the host name
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def cut_connections(self) -> None:
        for connection in list(self.open):
            _cut(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        traceback.print_exc(file=sys.stderr)


class _Handler(WSGIRequestHandler):
    """A connection. Werkzeug's own run_wsgi would close it after each response."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.is_new = True
        self.connection_id = self.server.emulator.accept()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.server.ssl_context:
            self.request = self.server.ssl_context.wrap_socket(
                self.request, server_side=True, do_handshake_on_connect=False
            )
        self.server.open.add(self.request)
        super().setup()

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # either side closed the connection
            if isinstance(self.connection, ssl.SSLSocket):
                self.connection.do_handshake()
            super().handle()

    def finish(self) -> None:
        self.server.open.discard(self.request)
        super().finish()
        _cut(self.request)
        self.request.close()

    def run_wsgi(self) -> None:
        request = Request(self.make_environ())
        try:
            request.get_data()  # otherwise the rest would be read as the next request
        except (ClientDisconnected, OSError):
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        target = self.path
        if parts.scheme and parts.netloc:
            target = self.path.split(parts.netloc, 1)[1] or "/"
        try:
            self.server.emulator.serve(self, request, target)
        except OSError:
            self.close_connection = True
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self.close_connection = True
            self.write(api_error(500, None, "The emulator has a bug; see its standard error."))

    def write(self, response: Response, method: str = "GET") -> None:
        body = response.body()
        head = response.head(len(body), self.close_connection, Date=self._date())
        has_body = method != "HEAD" and response.status not in (
            HTTPStatus.NO_CONTENT,
            HTTPStatus.NOT_MODIFIED,
        )
        self.connection.sendall(head + body if has_body else head)

    def _date(self) -> str:
        return self.date_time_string(self.server.emulator.wall())

    def log(self, *_: Any, **__: Any) -> None:
        """Log nothing, because requests are recorded."""


def _no_application(environ: object, start_response: object) -> list[bytes]:
    raise NotImplementedError("the handler responds itself")


def _same(response: Response) -> Response:
    return response


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not SSLSocket's, which would remove the TLS layer while another thread reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _server_context(files: TlsFiles) -> ssl.SSLContext:
    certificate, key, *client_ca = files
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.load_verify_locations(client_ca[0])
        context.verify_mode = ssl.CERT_REQUIRED
    return context
