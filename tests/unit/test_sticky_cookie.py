# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers behind a balancer with a sticky cookie: each knows only its own nonces."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._auth import DigestAuth, KeyPair
from ansible_collections.keysmith.mongodb.plugins.module_utils._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import Request
from ansible_collections.keysmith.mongodb.plugins.module_utils._http import Answer, Http
from ansible_collections.keysmith.mongodb.plugins.module_utils._http_settings import HttpSettings

SECRET = "node-cookie-value"


class Balancer(ThreadingHTTPServer):
    """Sends each request without a cookie to the next node, and the others to their node."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.turns = itertools.count()
        self.attributes = "Path=/; HttpOnly"
        self.seen: list[tuple[str, str, int]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Balancer

    def do_GET(self) -> None:
        cookie = self.headers.get("Cookie", "")
        found = re.fullmatch(rf"ROUTE={SECRET}-(\d)", cookie)
        node = int(found[1]) if found else next(self.server.turns) % 2
        signed = self.headers.get("Authorization", "")
        is_accepted = f'nonce="of-node-{node}"' in signed
        self.server.seen.append((cookie, signed, node))
        self.send_response(200 if is_accepted else 401)
        if not found:
            value = f"ROUTE={SECRET}-{node}; {self.server.attributes}"
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
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def call(http: Http, auth: DigestAuth, url: str, path: str = "/path") -> Answer:
    return http.send(
        Request("GET", url, path, "read it"), auth, read=lambda answer: answer, headers={}
    )


def test_a_challenge_is_answered_at_the_node_that_made_it(balancer: Balancer) -> None:
    http = Http(HttpSettings(retries=0), Clock(), balancer.url)
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    statuses = [call(http, auth, balancer.url).status for _request in range(5)]
    assert statuses == [200] * 5
    # One challenge for all requests, and the cookie with each after it.
    assert len(balancer.seen) == 6
    assert {node for _cookie, _signed, node in balancer.seen} == {0}
    assert [bool(cookie) for cookie, _signed, _node in balancer.seen] == [False] + [True] * 5
    http.close()


def test_all_threads_stay_at_one_node(balancer: Balancer) -> None:
    http = Http(HttpSettings(retries=0), Clock(), balancer.url)
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    assert call(http, auth, balancer.url).status == 200
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _number: call(http, auth, balancer.url).status, range(40))
        assert set(answers) == {200}
    assert {node for _cookie, _signed, node in balancer.seen} == {0}
    http.close()


@pytest.mark.parametrize("attributes", ["Path=/elsewhere", "Domain=other.example", "Secure"])
def test_a_cookie_for_elsewhere_is_not_sent(balancer: Balancer, attributes: str) -> None:
    balancer.attributes = attributes
    http = Http(HttpSettings(retries=0), Clock(), balancer.url)
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    answer = call(http, auth, balancer.url)
    assert {cookie for cookie, _signed, _node in balancer.seen} == {""}
    # The negative control: without the cookie, the other node refuses.
    assert answer.status == 401
    http.close()
