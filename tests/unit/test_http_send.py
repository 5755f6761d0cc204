# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of each request, and the responses that are refused unread."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _http
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import (
    VERSION,
    Auth,
    Http,
    Receiver,
    Response,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._http_settings import (
    HttpSettings,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CancelledError,
    ConnectError,
    ProxyError,
    RedirectError,
    Request,
    TransportError,
    UnexpectedResponseError,
)
from tests.support import VirtualClock

PROXY = "http://user:pass@proxy.example:3128"
REQUEST = Request("GET", "https://host.example", "/path", "read it", platform="MongoDB Atlas")
PLAIN = Request("GET", "http://host.example", "/path", "read it", platform="MongoDB Atlas")


class OneResponse(Http):
    """Http whose session returns one response and records its arguments."""

    def __init__(self, answer: requests.Response, **settings: Any) -> None:
        time = VirtualClock()
        clock = Clock(time.now, time.sleep, time.random)
        super().__init__(HttpSettings(**settings), clock, "https://host.example")
        self.answer = answer
        self.told: dict[str, Any] = {}
        self._session.send = self._take

    def _take(self, prepared: Any, **told: Any) -> requests.Response:
        self.told = {"prepared": prepared, **told}
        return self.answer

    def call(
        self,
        request: Request = REQUEST,
        auth: Auth | None = None,
        query: Mapping[str, str | Sequence[str]] | None = None,
        receiver: Receiver | None = None,
    ) -> Response:
        return self.send(
            request,
            auth or Auth(),
            parse_response=lambda answer: answer,
            headers={"Accept": "text/json"},
            query=query,
            receiver=receiver,
        )


class Collector:
    """A receiver that keeps the parts of a body."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.restarts = 0

    def restart(self) -> None:
        self.restarts += 1

    def write(self, part: bytes) -> None:
        self.parts.append(part)


def response(
    status: int, reason: Any = "Fine", body: bytes = b"hello", **headers: str
) -> requests.Response:
    found = requests.Response()
    found.status_code, found.reason = status, reason
    found.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    found.raw = urllib3.HTTPResponse(io.BytesIO(body), preload_content=False)
    return found


def test_the_session_gets_all_settings() -> None:
    http = OneResponse(
        response(200), verify="/ca.pem", cert=("/c.pem", "/k.pem"), proxy=PROXY, timeout=7
    )
    answer = http.call()
    prepared = http.told.pop("prepared")
    assert http.told == {
        "stream": True,
        "timeout": 7,
        "verify": "/ca.pem",
        "cert": ("/c.pem", "/k.pem"),
        "proxies": {"http": PROXY, "https": PROXY},
        "allow_redirects": False,
    }
    assert (prepared.method, prepared.url) == ("GET", "https://host.example/path")
    assert dict(prepared.headers) == {
        "User-Agent": f"keysmith.mongodb/{VERSION}",
        "Accept-Encoding": "identity",
        "Accept": "text/json",
    }
    assert (answer.status, answer.reason, answer.body) == (200, "Fine", b"hello")
    assert answer.headers is http.answer.headers
    assert answer.is_received is False


@pytest.mark.parametrize("has_answered", [True, False])
def test_certificate_advice_ends_with_the_first_response(has_answered: bool) -> None:
    def break_off(*_arguments: Any, **_more: Any) -> None:
        raise requests.exceptions.ConnectionError(ConnectionResetError(104, "reset"))

    http = OneResponse(response(200), retries=0)
    if has_answered:
        http.call()
    http._session.send = break_off
    with pytest.raises(TransportError) as caught:
        http.call()
    assert ("require a client certificate" in caught.value.message()) is not has_answered


@pytest.mark.parametrize("reason", [None, ""])
def test_a_response_may_have_no_reason(reason: str | None) -> None:
    assert OneResponse(response(200, reason)).call().reason == ""


def test_a_long_reason_is_truncated() -> None:
    assert OneResponse(response(200, "x" * 30 + " " + "y" * 30)).call().reason == "x" * 30 + " …"
    assert OneResponse(response(200, "x" * 30 + " " + "y" * 29)).call().reason.endswith("y")


@pytest.mark.parametrize("status", [300, 302, 399])
def test_a_redirect_is_refused_and_its_connection_returned(status: int) -> None:
    http = OneResponse(response(status, Location="https://elsewhere.example/sign-on?user=x"))
    with pytest.raises(
        RedirectError, match=rf"\({status}\) to https://elsewhere\.example/sign-on$"
    ) as caught:
        http.call()
    assert (caught.value.status, caught.value.reason) == (status, "redirect")
    assert http.answer.raw.closed


@pytest.mark.parametrize(
    "answer", [response(299, Location="/x"), response(400, Location="/x"), response(304)]
)
def test_only_a_3xx_with_a_location_is_a_redirect(answer: requests.Response) -> None:
    assert OneResponse(answer).call().body == b"hello"


def test_a_refusal_of_the_proxy_is_a_proxy_error() -> None:
    reason = "Proxy\tAuthentication Required " + "x" * 60
    http = OneResponse(response(407, reason), proxy=PROXY)
    with pytest.raises(ProxyError) as caught:
        http.call(PLAIN)
    text = "the proxy proxy.example:3128 refused the request: 407 Proxy"
    assert text in caught.value.message()
    assert "x" * 60 not in caught.value.message()
    assert caught.value.status == 407
    assert caught.value.request is PLAIN
    assert OneResponse(response(407, reason)).call(PLAIN).status == 407


def test_a_query_is_sent() -> None:
    http = OneResponse(response(200))
    http.call(query={"a": ["1", "2"], "b": "x y"})
    assert http.told["prepared"].url == "https://host.example/path?a=1&a=2&b=x+y"


def test_an_invalid_address_is_reported_with_its_request() -> None:
    request = Request("GET", "https://*.example", "/path", "read it")
    with pytest.raises(ConnectError) as caught:
        OneResponse(response(200)).call(request)
    assert caught.value.request is request


def test_the_environment_adds_no_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine host.example login user password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    http = OneResponse(response(200))
    http.call()
    assert "Authorization" not in http.told["prepared"].headers


class Routed(Auth):
    """An auth object with the cookie of its challenge."""

    cookies = requests.cookies.cookiejar_from_dict({"ROUTE": "2"})


def test_the_cookie_of_a_challenge_replaces_that_of_the_session() -> None:
    http = OneResponse(response(200))
    http._session.cookies.set("ROUTE", "1")
    answer = http.call()
    assert http.told["prepared"].headers["Cookie"] == "ROUTE=1"
    assert dict(answer.cookies) == {"ROUTE": "1"}
    answer = http.call(auth=Routed())
    assert http.told["prepared"].headers["Cookie"] == "ROUTE=2"
    assert dict(answer.cookies) == {"ROUTE": "2"}


@pytest.mark.parametrize(
    ("answer", "is_received"),
    [
        (response(200, Content_Length="5"), True),
        (response(200, Transfer_Encoding="Chunked"), True),
        (response(201, Content_Length="5"), False),
        (response(404, Content_Length="5"), False),
        (response(200, Content_Length="5", Content_Type="Text/HTML; charset=utf-8"), False),
    ],
    ids=range(5),
)
def test_a_receiver_gets_only_a_file(answer: requests.Response, is_received: bool) -> None:
    receiver = Collector()
    found = OneResponse(answer).call(receiver=receiver)
    assert (found.body, found.is_received) == (b"hello", is_received)
    assert receiver.parts == ([b"hello"] if is_received else [])
    assert receiver.restarts == is_received


@pytest.mark.parametrize(
    ("body", "parts", "is_kept"),
    [
        (b"", [], True),
        (b"abcd", [b"abcd"], True),
        (b"abcde", [b"abcd", b"e"], False),
        (b"abcdefghi", [b"abcd", b"efgh", b"i"], False),
    ],
)
def test_only_a_short_file_is_returned_too(
    body: bytes, parts: list[bytes], is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_http, "_STREAMED_AT_ONCE", 4)
    receiver = Collector()
    answer = response(200, body=body, Content_Length=str(len(body)))
    assert OneResponse(answer).call(receiver=receiver).body == (body if is_kept else b"")
    assert receiver.parts == parts


def test_a_file_without_a_length_is_refused() -> None:
    receiver = Collector()
    with pytest.raises(UnexpectedResponseError) as caught:
        OneResponse(response(200)).call(receiver=receiver)
    assert (caught.value.status, caught.value.request) == (200, REQUEST)
    assert "(200) does not contain its length" in caught.value.message()
    assert "may be missing. Check the proxy or gateway" in caught.value.message()
    assert receiver.restarts == 0


def test_a_stopped_task_ends_a_download() -> None:
    http, receiver = OneResponse(response(200, Content_Length="5")), Collector()
    http.cancellation.set_limit(0)
    with pytest.raises(CancelledError) as caught:
        http.call(receiver=receiver)
    assert caught.value.request is REQUEST
    assert receiver.parts == []


@pytest.mark.parametrize("verify", [True, "/ca.pem"])
def test_insecure_request_warnings_are_kept_by_default(
    verify: bool | str,
) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        OneResponse(response(200), verify=verify)
        warnings.warn("unchecked", urllib3.exceptions.InsecureRequestWarning, stacklevel=1)
    assert len(seen) == 1


def test_disabled_verification_suppresses_the_warning() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        OneResponse(response(200), verify=False)
        warnings.warn("unchecked", urllib3.exceptions.InsecureRequestWarning, stacklevel=1)
        warnings.warn("another", urllib3.exceptions.HTTPWarning, stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["another"]


@pytest.mark.parametrize("name", ["urllib3.connection", "urllib3.connectionpool"])
def test_urllib3_does_not_log_unreadable_headers(name: str) -> None:
    OneResponse(response(200))
    logger = logging.getLogger(name)
    record = logger.makeRecord(name, 30, "f", 1, "Failed to parse headers (url=%s)", ("x",), None)
    assert not logger.filter(record)
