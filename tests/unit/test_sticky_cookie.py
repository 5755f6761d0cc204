# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers behind a load balancer with a sticky cookie; each knows only its own nonces."""

from __future__ import annotations

import itertools
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._auth import DigestAuth
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import (
    Auth,
    Http,
    Response,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    KeyPair,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._http_settings import (
    HttpSettings,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import Request

SECRET = "node-cookie-value"


class Balancer(ThreadingHTTPServer):
    """Sends each request without a cookie to the next node, and the others to their node."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.turns = itertools.count()
        self.nodes = [0, 1]
        # Whether each response sets a new cookie and invalidates the old one.
        self.is_renewing = False
        self.renewals = 0
        self.attributes = "Path=/; HttpOnly"
        self.seen: list[tuple[str, str, int]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Balancer

    def do_GET(self) -> None:
        server = self.server
        cookie = self.headers.get("Cookie", "")
        found = re.fullmatch(rf"ROUTE={SECRET}-(\d)-(\d+)", cookie)
        if found and (int(found[1]) not in server.nodes or int(found[2]) < server.renewals):
            found = None
        node = int(found[1]) if found else server.nodes[next(server.turns) % len(server.nodes)]
        signed = self.headers.get("Authorization", "")
        is_accepted = f'nonce="of-node-{node}"' in signed
        server.seen.append((cookie, signed, node))
        self.send_response(200 if is_accepted else 401)
        if not found or server.is_renewing:
            server.renewals += server.is_renewing
            value = f"ROUTE={SECRET}-{node}-{server.renewals}; {server.attributes}"
            self.send_header("Set-Cookie", value)
        if not is_accepted:
            challenge = f'Digest realm="r", nonce="of-node-{node}", qop="auth"'
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def balancer() -> Iterator[Balancer]:
    with Balancer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def call(http: Http, auth: DigestAuth, url: str, path: str = "/path") -> Response:
    return http.send(
        Request("GET", url, path, "read it"), auth, parse_response=lambda answer: answer, headers={}
    )


def test_a_challenge_is_handled_by_the_node_that_sent_it(balancer: Balancer) -> None:
    http = Http(HttpSettings(retries=0), Clock(), balancer.url)
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    statuses = [call(http, auth, balancer.url).status for _request in range(5)]
    assert statuses == [200] * 5
    # One challenge for all requests, and the cookie with each request after it.
    assert len(balancer.seen) == 6
    assert {node for _cookie, _signed, node in balancer.seen} == {0}
    assert [bool(cookie) for cookie, _signed, _node in balancer.seen] == [False] + [True] * 5
    http.close()


def test_all_threads_use_one_node(balancer: Balancer) -> None:
    http = Http(HttpSettings(retries=0), Clock(), balancer.url)
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    assert call(http, auth, balancer.url).status == 200
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _number: call(http, auth, balancer.url).status, range(40))
        assert set(answers) == {200}
    assert {node for _cookie, _signed, node in balancer.seen} == {0}
    http.close()


class Together(DigestAuth):
    """Waits at each challenge until all threads have one."""

    def __init__(self, pair: KeyPair) -> None:
        super().__init__(pair)
        self.barrier = threading.Barrier(1)

    def handle_challenge(self, response: Response) -> bool:
        is_renewed = super().handle_challenge(response)
        self.barrier.wait(10)
        return is_renewed


def test_each_thread_keeps_the_node_of_its_challenge(balancer: Balancer) -> None:
    http = Http(HttpSettings(retries=0), Clock(), balancer.url)
    auth = Together(KeyPair("abcdefgh", "x"))
    assert call(http, auth, balancer.url).status == 200
    # Their node fails, and the balancer sends them to different ones.
    balancer.nodes = [2, 3]
    auth.barrier = threading.Barrier(2)
    statuses: list[int] = []
    work = threading.Barrier(2)

    def run() -> None:
        for _request in range(3):
            statuses.append(call(http, auth, balancer.url).status)
            work.wait(10)

    threads = [threading.Thread(target=run) for _number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    # A thread that starts later uses one of them.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(call, http, auth, balancer.url).result().status == 200
    assert len(balancer.seen) == 2 + 2 + 6 + 1
    assert {node for _cookie, _signed, node in balancer.seen[2:]} == {2, 3}
    http.close()


def test_a_renewed_cookie_is_used(balancer: Balancer) -> None:
    balancer.is_renewing = True
    http = Http(HttpSettings(retries=0), Clock(), balancer.url)
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    assert [call(http, auth, balancer.url).status for _request in range(5)] == [200] * 5
    assert len(balancer.seen) == 6
    http.close()


def test_a_request_without_digest_keeps_the_cookie(balancer: Balancer) -> None:
    http = Http(HttpSettings(retries=0), Clock(), balancer.url)
    request = Request("GET", balancer.url, "/api/oauth/token", "get a token")
    for _request in range(3):
        http.send(request, Auth(), parse_response=lambda answer: answer, headers={})
    assert [bool(cookie) for cookie, _signed, _node in balancer.seen] == [False, True, True]
    http.close()


def test_the_cookie_is_not_logged(balancer: Balancer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    http = Http(HttpSettings(retries=0), Clock(), balancer.url)
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    assert [call(http, auth, balancer.url).status for _request in range(2)] == [200] * 2
    assert SECRET in balancer.seen[-1][0]
    assert "127.0.0.1" in caplog.text
    assert SECRET not in caplog.text
    http.close()


@pytest.mark.parametrize("attributes", ["Path=/elsewhere", "Domain=other.example", "Secure"])
def test_a_cookie_for_another_host_or_path_is_not_sent(balancer: Balancer, attributes: str) -> None:
    balancer.attributes = attributes
    http = Http(HttpSettings(retries=0), Clock(), balancer.url)
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    answer = call(http, auth, balancer.url)
    assert {cookie for cookie, _signed, _node in balancer.seen} == {""}
    # The negative control: without the cookie, the other node refuses.
    assert answer.status == 401
    http.close()
