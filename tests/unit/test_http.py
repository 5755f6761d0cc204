# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests are retried, after how long, and what is known after the last attempt."""

from __future__ import annotations

import http.client
import logging
import re
import socket
import ssl
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from types import FunctionType
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
    Auth,
    Http,
    Receiver,
    Response,
    may_have_happened,
    may_retry,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import as_error
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._transport_errors import (
    is_of_proxy,
    redact_url,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._http_settings import (
    HttpSettings,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CancelledError,
    ConnectError,
    DeadlineError,
    LostResponseError,
    ProxyError,
    Request,
    TlsError,
    TransportError,
    UnexpectedResponseError,
)
from tests.support import VirtualClock

URL = "https://host.example:8443"
GET, DELETE, POST = (Request(method, URL, "/path", "do it") for method in ("GET", "DELETE", "POST"))


def response(status: int, **headers: str) -> Response:
    return Response(
        status, "", {name.replace("_", "-"): text for name, text in headers.items()}, b""
    )


def lost() -> TransportError:
    return LostResponseError("lost", request=DELETE, reason="connection broken")


def never_sent() -> TransportError:
    error = ConnectError("refused", request=DELETE)
    error.never_sent = True
    return error


def final() -> TransportError:
    return TlsError("expired", request=DELETE)


class ScriptedHttp(Http):
    """Http with scripted outcomes instead of a network. No thread sleeps while holding a lock."""

    def __init__(self, outcomes: Iterable[Any], **settings: Any) -> None:
        self.virtual = VirtualClock()
        clock = Clock(self.virtual.now, self._sleep, self.virtual.random)
        super().__init__(HttpSettings(**settings), clock, URL)
        self.outcomes = list(outcomes)
        self.timeouts: list[float] = []

    def _send_once(
        self, prepared: Any, request: Request, timeout: float, _receiver: Receiver | None
    ) -> Response:
        self.timeouts.append(timeout)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            with self._library_errors(request):
                raise outcome
        return outcome

    def _sleep(self, seconds: float) -> None:
        assert not self._lock.locked()
        assert not self._limiter._lock.locked()
        self.virtual.sleep(seconds)

    def call(self, request: Request, deadline: float | None = None) -> Response:
        return self.send(request, Auth(), parse_response=lambda a: a, headers={}, deadline=deadline)


@pytest.mark.parametrize(
    ("request_", "outcomes", "status", "outcome_unknown"),
    [
        (GET, [response(200)], 200, False),
        (GET, [lost(), response(200)], 200, False),
        (
            GET,
            [response(429), response(502), response(503), response(504), response(200)],
            200,
            False,
        ),
        (GET, [response(500), response(500), response(200)], 200, False),
        (GET, [response(500), response(500), response(500), response(200)], 500, False),
        (GET, [response(404)], 404, False),
        (GET, [response(501)], 501, False),
        (DELETE, [lost(), response(400)], 400, True),
        (DELETE, [response(502), response(400)], 400, True),
        (DELETE, [response(500), response(204)], 204, True),
        # Throttled or never sent: the outcome is known.
        (DELETE, [response(429), response(400)], 400, False),
        (DELETE, [never_sent(), response(400)], 400, False),
        # A POST is only retried if nothing can have been created.
        (POST, [response(429), response(200)], 200, False),
        (POST, [never_sent(), response(200)], 200, False),
        (POST, [response(503), response(200)], 503, False),
        (POST, [response(500), response(200)], 500, False),
    ],
)
def test_a_request_is_retried_if_that_is_safe(
    request_: Request, outcomes: list[Any], status: int, outcome_unknown: bool
) -> None:
    http_ = ScriptedHttp(outcomes)
    last = http_.call(request_)
    assert (last.status, last.outcome_unknown) == (status, outcome_unknown)
    assert last.waited == sum(http_.virtual.sleeps)
    assert last.attempts == len(outcomes) - len(http_.outcomes)


@pytest.mark.parametrize(
    ("request_", "outcomes", "attempts", "outcome_unknown"),
    [
        (POST, [lost(), response(200)], 1, True),
        (POST, [never_sent()] * 6, 6, False),
        (POST, [never_sent(), lost(), response(200)], 2, True),
        (DELETE, [final(), response(204)], 1, True),
        (DELETE, [lost()] * 6, 6, True),
        (DELETE, [lost(), *[never_sent()] * 5], 6, True),
        (DELETE, [never_sent()] * 6, 6, False),
        (GET, [lost()] * 6, 6, False),
    ],
)
def test_a_lost_response_sets_outcome_unknown(
    request_: Request, outcomes: list[Any], attempts: int, outcome_unknown: bool
) -> None:
    for outcome in outcomes:
        if isinstance(outcome, TransportError):
            outcome.request = request_
    http_ = ScriptedHttp(outcomes)
    with pytest.raises(TransportError) as caught:
        http_.call(request_)
    assert (caught.value.attempts, caught.value.outcome_unknown) == (attempts, outcome_unknown)
    assert caught.value.waited == sum(http_.virtual.sleeps)
    assert ("may have been carried out" in caught.value.message()) == outcome_unknown


def test_backoff_doubles_with_jitter() -> None:
    http_ = ScriptedHttp([response(503)] * 9, retries=8, retry_max_wait=1000)
    http_.call(GET)
    expected = [0.5, 1, 2, 4, 8, 16, 20, 20]
    assert http_.virtual.sleeps == [seconds * 1.125 for seconds in expected]


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("7", 7 * 1.125),
        ("0", 0.5 * 1.125),
        ("-3", 0.5 * 1.125),
        ("soon", 0.5 * 1.125),
        ("²", 0.5625),
    ],
)
def test_retry_after_is_respected_with_a_minimum(value: str, wait: float) -> None:
    for status in (429, 503):
        http_ = ScriptedHttp([response(status, Retry_After=value), response(200)])
        http_.call(GET)
        assert http_.virtual.sleeps == [wait]


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=30), usegmt=True)
    http_ = ScriptedHttp([response(429, Retry_After=date), response(200)])
    http_.call(GET)
    assert 25 < http_.virtual.sleeps[0] < 40


@pytest.mark.parametrize("days", [-10_000, 10_000])
@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000"])
def test_a_retry_after_date_uses_the_servers_clock(days: int, zone: str) -> None:
    """The response's Date wins, because this machine's clock may be wrong."""
    now = datetime.now(timezone.utc) + timedelta(days=days)
    # The same time in another zone; -0000 means an unknown zone.
    there = (now + timedelta(seconds=8)).astimezone(timezone(timedelta(hours=-5)))
    deadline = format_datetime(now + timedelta(seconds=8), usegmt=True).replace("GMT", zone)
    deadline = format_datetime(there) if zone == "+0000" else deadline
    refusal = response(429, Retry_After=deadline, Date=format_datetime(now, usegmt=True))
    http_ = ScriptedHttp([refusal, response(200)])
    http_.call(GET)
    assert http_.virtual.sleeps == [9.0]


def test_a_retry_after_date_in_the_past_is_ignored() -> None:
    date = format_datetime(datetime.now(timezone.utc) - timedelta(seconds=30), usegmt=True)
    http_ = ScriptedHttp([response(429, Retry_After=date), response(200)])
    http_.call(GET)
    assert http_.virtual.sleeps == [0.5625]


def test_retry_max_wait_limits_the_whole_task() -> None:
    http_ = ScriptedHttp([response(429, Retry_After="50")] * 9, retry_max_wait=120)
    assert http_.call(GET).attempts == 3
    assert http_.virtual.sleeps == [56.25, 56.25]
    assert http_.call(GET).attempts == 1


def test_a_wait_beyond_retry_max_wait_does_not_start() -> None:
    http_ = ScriptedHttp([response(429, Retry_After="3600")])
    assert http_.call(GET).status == 429
    assert http_.virtual.sleeps == []


def test_waits_do_not_count_as_busy_time() -> None:
    http_ = ScriptedHttp([*[response(429, Retry_After="50")] * 2, response(200)], timeout=7)
    assert http_.listing_time == 70
    began = http_.busy_time
    http_.call(GET)
    assert http_.virtual.sleeps == [56.25, 56.25]
    assert http_.busy_time == began


def test_retries_can_be_disabled() -> None:
    assert ScriptedHttp([response(503)], retries=0).call(GET).attempts == 1
    assert ScriptedHttp([response(503)], retry_max_wait=0).call(GET).attempts == 1
    assert ScriptedHttp([response(429)], retries=0).call(GET).attempts == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_deadline_ends_retries_and_shortens_the_timeout(status: int) -> None:
    http_ = ScriptedHttp([response(status)] * 9, timeout=30)
    assert http_.call(GET, deadline=http_.virtual.time + 4).attempts == 4
    assert http_.timeouts[0] == 4
    assert sum(http_.virtual.sleeps) <= 4


def test_a_429_does_not_count_while_other_requests_are_accepted() -> None:
    refused = [response(429), response(429), response(204)] * 20
    http_ = ScriptedHttp(refused, retries=2, retry_max_wait=1000)
    assert [http_.call(DELETE).status for _request in range(20)] == [204] * 20


def test_retries_does_not_limit_waiting_for_a_rate_limit() -> None:
    http_ = ScriptedHttp([response(429)] * 8 + [response(204)], retries=1)
    assert http_.call(DELETE).status == 204
    assert sum(http_.virtual.sleeps) > 60


def test_progress_renews_the_budget_for_waits() -> None:
    # Nine refills of a bucket, each a minute after the last.
    lump = [response(429, Retry_After="48"), *[response(204)] * 2]
    http_ = ScriptedHttp(lump * 9, retry_max_wait=54)
    assert [http_.call(DELETE).status for _request in range(18)] == [204] * 18
    assert sum(http_.virtual.sleeps) == 9 * 54


@pytest.mark.parametrize("status", [401, 407, 500, 501])
def test_a_refusal_does_not_renew_the_budget_for_waits(status: int) -> None:
    throttled = [response(429, Retry_After=seconds) for seconds in ("48", "9")]
    http_ = ScriptedHttp([throttled[0], response(status), throttled[1]], retry_max_wait=60)
    assert [http_.call(POST).status for _request in range(2)] == [status, 429]


@pytest.mark.parametrize(
    ("answer", "is_outdated", "seconds", "wait"),
    [
        (response(429, Retry_After="30"), True, 10, 22.5),
        (response(429, Retry_After="30"), True, 40, 0),
        (response(429), True, 0.25, 0.28125),
        # The request began after the latest pause.
        (response(429, Retry_After="30"), False, 10, 33.75),
        # Not throttled.
        (response(401), True, 10, 0.5625),
    ],
)
def test_a_throttled_request_has_waited_since_it_was_sent(
    answer: Response, is_outdated: bool, seconds: float, wait: float
) -> None:
    """Another request was throttled in the meantime, and all wait together."""
    http_ = ScriptedHttp([answer, response(200)])
    send = http_._send_once

    def send_slowly(prepared: Any, request: Request, timeout: float, receiver: Any) -> Response:
        http_.virtual.time += seconds
        if is_outdated and len(http_.outcomes) == 2:
            http_._limiter.pause(http_._limiter.acquire()[1], 0)
        return send(prepared, request, timeout, receiver)

    http_._send_once = send_slowly  # type: ignore[method-assign]
    assert call_signed(http_, GET).status == 200
    assert sum(http_.virtual.sleeps) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("parameters", "path", "wait"),
    [
        (["/api/oauth/token", 50, 1], "/api/oauth/token", 67.5),
        (["/api/oauth/token", 50, 0.01], "/api/oauth/token", 0.5625),
        (["/api/oauth/token", 50, 1], "/api/atlas/v2/orgs", 0.5625),
        (["/api/oauth/token", 50, -1], "/api/oauth/token", 0.5625),
        (["/api/oauth/token", 50, True], "/api/oauth/token", 0.5625),
        (["/api/oauth/token", 50], "/api/oauth/token", 0.5625),
        (None, "/api/oauth/token", 0.5625),
    ],
)
def test_a_throttled_token_request_waits_for_the_window(
    parameters: Any, path: str, wait: float
) -> None:
    refused = replace(
        response(429), payload={"errorCode": "RATE_LIMITED", "parameters": parameters}
    )
    http_ = ScriptedHttp([refused, response(200)])
    assert http_.call(Request("POST", URL, path, "get a token")).status == 200
    assert http_.virtual.sleeps == [wait]


def test_a_window_is_in_minutes_and_belongs_to_a_429() -> None:
    payload = {"parameters": ["/api/oauth/token", 50, 2]}
    for status, wait in ((429, 135), (503, 0.5625)):
        answers = [replace(response(status), payload=payload), response(200)]
        http_ = ScriptedHttp(answers, retry_max_wait=1000)
        http_.call(Request("GET", URL, "/api/oauth/token", "get a token"))
        assert http_.virtual.sleeps == [wait]


def test_a_window_beyond_retry_max_wait_fails_immediately() -> None:
    payload = {"errorCode": "RATE_LIMITED", "parameters": ["/api/oauth/token", 50, 1]}
    http_ = ScriptedHttp([replace(response(429), payload=payload)], retry_max_wait=59)
    assert http_.call(Request("POST", URL, "/api/oauth/token", "get a token")).status == 429
    assert http_.virtual.sleeps == []


def test_simultaneous_waits_count_once() -> None:
    http_ = ScriptedHttp([response(429, Retry_After="100")] * 2, retry_max_wait=120)
    http_._count_wait(100)
    assert http_.call(DELETE).attempts == 2
    http_ = ScriptedHttp([])
    for wait in (100, 50, 101):
        http_._count_wait(wait)
    assert http_._waited == 101


def test_cancellation_ends_a_wait() -> None:
    bad = replace(response(502), reason="Bad Gateway")
    http_ = ScriptedHttp([bad, response(204)], retries=5)
    http_.cancellation.set_limit(0.2)
    with pytest.raises(CancelledError) as caught:
        http_.call(DELETE)
    assert http_.virtual.time == pytest.approx(1000.2)
    assert len(http_.outcomes) == 1
    assert caught.value.outcome_unknown
    assert caught.value.message().startswith(
        "Could not do it: the time limit was reached (time_limit: 0.2 s). The last "
        "response was 502 Bad Gateway. Increase time_limit"
    )
    assert (caught.value.status, caught.value.reason) == (502, "Bad Gateway")


def test_a_cancellation_reports_the_last_failure() -> None:
    http_ = ScriptedHttp([lost(), response(204)])
    http_.cancellation.set_limit(0.2)
    with pytest.raises(CancelledError) as caught:
        http_.call(DELETE)
    assert "(time_limit: 0.2 s). Before that, lost. Increase time_limit" in caught.value.message()
    assert caught.value.reason == "connection broken"


def test_a_cancellation_in_a_shared_wait_keeps_outcome_unknown() -> None:
    http_ = ScriptedHttp([response(502)])
    send = http_._send_once

    def send_and_refuse(prepared: Any, request: Request, timeout: float, receiver: Any) -> Response:
        _wait, generation = http_._limiter.acquire()
        http_._limiter.pause(generation, 60)
        return send(prepared, request, timeout, receiver)

    http_._send_once = send_and_refuse  # type: ignore[method-assign]
    http_.cancellation.set_limit(30)
    with pytest.raises(CancelledError) as caught:
        http_.call(DELETE)
    assert http_.virtual.time == pytest.approx(1030)
    assert caught.value.outcome_unknown is True
    assert caught.value.request is DELETE


def test_a_canceled_wait_after_a_429_has_a_known_outcome() -> None:
    http_ = ScriptedHttp([response(429), response(204)])
    http_.cancellation.set_limit(0.2)
    with pytest.raises(CancelledError) as caught:
        http_.call(DELETE)
    assert not caught.value.outcome_unknown


def test_an_unexpected_response_is_not_retried() -> None:
    for request in (GET, DELETE):
        error = UnexpectedResponseError("too long")
        with pytest.raises(UnexpectedResponseError) as caught:
            ScriptedHttp([error, response(204)]).call(request)
        assert caught.value.request is request
        assert caught.value.outcome_unknown is (request is DELETE)


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PATCH"])
@pytest.mark.parametrize(
    "status", [200, 204, 302, 400, 401, 403, 404, 405, 409, 429, *range(500, 512)]
)
def test_a_write_that_may_have_happened_is_never_retried(method: str, status: int) -> None:
    outcome = response(status)
    if may_retry(method, outcome) and method in {"POST", "PATCH"}:
        assert not may_have_happened(method, outcome)
    if may_retry(method, outcome):
        assert status in {500, 502, 503, 504}


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        *((response(status), False) for status in (200, 204, 302, 400, 401, 404, 429, 499)),
        *((response(status), True) for status in (100, 199, 408, 500, 599)),
        (never_sent(), False),
        (lost(), True),
        (UnexpectedResponseError("x", status=401), False),
        (UnexpectedResponseError("x", status=402), True),
        (UnexpectedResponseError("x"), True),
    ],
)
def test_may_have_happened(outcome: Any, expected: bool) -> None:
    assert may_have_happened("DELETE", outcome) is expected
    assert not may_have_happened("GET", outcome)


def long(limit: int) -> str:
    """Two words of which only the first fits; with one more character, both would fit."""
    return f"{'x' * (limit // 2)} {'x' * (limit // 2)}"


def wrapped(cause: BaseException) -> Exception:
    """An exception from requests that wraps one from urllib3."""
    return requests.exceptions.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", cause))  # type: ignore[arg-type]


def new_connection(cause: OSError) -> Exception:
    error = urllib3.exceptions.NewConnectionError(None, "failed")  # type: ignore[arg-type]
    error.__cause__ = cause
    return wrapped(error)


def aborted(cause: BaseException) -> Exception:
    return requests.exceptions.ConnectionError(
        urllib3.exceptions.ProtocolError("Connection aborted.", cause)
    )


def named(name: str) -> Exception:
    """An error identified by its name, because not every urllib3 has it."""
    return wrapped(type(name, (urllib3.exceptions.HTTPError,), {})("x"))


def certificate(number: int, why: str = "in other words") -> Exception:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = number, why
    return requests.exceptions.SSLError(urllib3.exceptions.SSLError(error))


def old_certificate(why: str) -> Exception:
    """The exception of urllib3 1.26, which checks host names itself."""
    error = ssl.SSLCertVerificationError(why)
    return requests.exceptions.SSLError(urllib3.exceptions.SSLError(error))


def tls(reason: str) -> Exception:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return requests.exceptions.SSLError(urllib3.exceptions.SSLError(error))


def in_tunnel(error: Exception) -> Exception:
    """An exception that http.client raises while a proxy opens a connection."""

    def _tunnel() -> None:
        raise error

    with pytest.raises(type(error)):
        FunctionType(_tunnel.__code__, {"__name__": "http.client"}, closure=_tunnel.__closure__)()
    return error


def refused_tunnel(text: str) -> Exception:
    """The exception that http.client raises for a refused CONNECT, with any text."""
    return in_tunnel(OSError(text))


def proxy(cause: Exception) -> Exception:
    error = urllib3.exceptions.ProxyError("Unable to connect", cause)
    return requests.exceptions.ProxyError(urllib3.exceptions.MaxRetryError(None, "/", error))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind", "transient", "words"),
    [
        (
            new_connection(ConnectionRefusedError(111, "refused")),
            ConnectError,
            True,
            "refuses connections",
        ),
        (new_connection(socket.gaierror(socket.EAI_NONAME, "x")), ConnectError, False, "host name"),
        (new_connection(socket.gaierror(socket.EAI_AGAIN, "x")), ConnectError, True, "host name"),
        (new_connection(OSError(113, "No route to host")), ConnectError, True, "No route to host"),
        (new_connection(OSError(1, long(80))), ConnectError, True, "(x{40} …)"),
        (new_connection(OSError()), ConnectError, True, r"host.example:8443\. Check"),
        (
            requests.exceptions.ConnectTimeout(),
            ConnectError,
            True,
            "no connection to .*within 30 s. Check base_url, the firewall",
        ),
        (
            requests.exceptions.ReadTimeout(),
            DeadlineError,
            True,
            "timeout is 30 s, and 90 s for the whole response.*or raise timeout",
        ),
        (socket.timeout("x"), DeadlineError, True, "in time"),
        (
            aborted(http.client.RemoteDisconnected("x")),
            LostResponseError,
            True,
            "broke before the response",
        ),
        (
            aborted(ConnectionResetError(104, "x")),
            LostResponseError,
            True,
            "broke before the response",
        ),
        (aborted(http.client.BadStatusLine("x")), LostResponseError, True, "HTTP. Check the port"),
        (http.client.IncompleteRead(b""), LostResponseError, True, "broke before the response"),
        (requests.exceptions.SSLError(ssl.SSLEOFError(8, "EOF")), LostResponseError, True, "broke"),
        (certificate(18), TlsError, False, "self-signed.*ca_path"),
        *((certificate(n), TlsError, False, "ca_path to the file") for n in (2, 19, 20, 21, 27)),
        *((certificate(n), TlsError, False, "renewed") for n in (9, 10)),
        *(
            (certificate(n), TlsError, False, "too weak, or it lacks an extension")
            for n in (24, 32, 66, 67, 68, 78, 85, 92, 94)
        ),
        *((certificate(n), TlsError, False, "base_url.*subjectAltName") for n in (62, 64)),
        (certificate(23), TlsError, False, "words. Check the server's certificate"),
        # The number decides, not the text.
        (certificate(20, "hostname mismatch, expired"), TlsError, False, "ca_path to the file"),
        (certificate(20, long(200)), TlsError, False, " x{100} …"),
        (
            old_certificate("hostname 'a' doesn't match 'b'."),
            TlsError,
            False,
            "'b'. Check base_url",
        ),
        (proxy(certificate(20)), ProxyError, False, "proxy .*not accepted: in other.*ca_path"),
        (proxy(certificate(62)), ProxyError, False, "Check http_proxy: .*subjectAltName"),
        (tls("WRONG_VERSION_NUMBER"), TlsError, False, "does not use TLS"),
        (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), TlsError, False, "may require a client cert"),
        (tls("SSLV3_ALERT_HANDSHAKE_FAILURE"), TlsError, False, "may require a client cert"),
        (tls("DECRYPTION_FAILED"), TlsError, False, "decryption failed"),
        (tls("UNSUPPORTED_PROTOCOL"), TlsError, False, "too old.*TLS 1.2 or newer"),
        (tls("TLSV1_ALERT_PROTOCOL_VERSION"), TlsError, False, "too old.*TLS 1.2 or newer"),
        (tls("NO_PROTOCOLS_AVAILABLE"), TlsError, False, "too old.*TLS 1.2 or newer"),
        (tls("CA_MD_TOO_WEAK"), TlsError, False, "ca md too weak. Check .*client_cert"),
        (OSError(2, "Could not find the TLS certificate file"), TlsError, False, "ca_path"),
        (OSError(long(200)), TlsError, False, "set up: x{100} …"),
        (named("ConnectTimeoutError"), ConnectError, True, "no connection to .*within 30 s"),
        (named("NameResolutionError"), ConnectError, True, "no connection to host.example:8443"),
        (named("ReadTimeoutError"), DeadlineError, True, "in time"),
        (requests.exceptions.InvalidURL("x"), ConnectError, False, "not a valid address. Check"),
        (requests.exceptions.InvalidHeader("x"), LostResponseError, True, "broke"),
        (ValueError("chunk size"), LostResponseError, True, "broke"),
    ],
)
def test_every_failure_has_a_message(
    error: Exception, kind: type[TransportError], transient: bool, words: str
) -> None:
    with pytest.raises(kind) as caught:
        ScriptedHttp([error], retries=0).call(DELETE)
    assert re.search(words, caught.value.message())
    assert caught.value.transient == transient
    assert caught.value.fields()["method"] == "DELETE"
    assert caught.value.reason
    assert (caught.value.reason == "timeout") is (kind is DeadlineError)


@pytest.mark.parametrize(
    ("error", "cert", "words"),
    [
        (
            tls("TLSV1_ALERT_UNKNOWN_CA"),
            "c.pem",
            "unknown ca. The server does not accept the client",
        ),
        (
            tls("TLSV1_ALERT_UNKNOWN_CA"),
            None,
            "unknown ca. Check base_url, ca_path, client_cert and",
        ),
        (
            tls("UNEXPECTED_RECORD"),
            "c.pem",
            "unexpected record. Check base_url, ca_path, client_cert",
        ),
        (tls("HTTP_REQUEST"), None, "http request. The server does not use TLS on this port"),
        (tls(""), None, "TLS with host.example:8443 failed. Check base_url, ca_path, client_cert"),
        (
            requests.exceptions.SSLError("x"),
            None,
            "TLS with host.example:8443 failed. Check base_url",
        ),
        (
            aborted(OSError()),
            "c.pem",
            "network to the API. The server may not accept the client cert",
        ),
        (
            aborted(OSError()),
            None,
            "network to the API. The server may require a client certificate",
        ),
    ],
)
def test_client_certificate_problems_have_advice(
    error: Exception, cert: str | None, words: str
) -> None:
    with pytest.raises(TransportError) as caught:
        ScriptedHttp([error], retries=0, cert=cert).call(GET)
    assert words in caught.value.message()


@pytest.mark.parametrize("cert", [None, "c.pem"])
def test_plain_http_gets_no_certificate_advice(cert: str | None) -> None:
    http_ = ScriptedHttp([aborted(OSError())], retries=0, cert=cert)
    with pytest.raises(LostResponseError) as caught:
        http_.call(Request("GET", "http://host.example", "/path", "do it"))
    assert caught.value.message().endswith("Check the network to the API.")


class Renewing(Auth):
    """An auth object that handles a number of challenges."""

    def __init__(self, times: int) -> None:
        self.times = times

    def handle_challenge(self, _answer: Response) -> bool:
        self.times -= 1
        return self.times >= 0


@pytest.mark.parametrize(("renewals", "sent"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_a_challenge_and_a_stale_nonce_are_handled(renewals: int, sent: int) -> None:
    http_ = ScriptedHttp([response(401)] * 9)
    auth = Renewing(renewals)
    last = http_.send(GET, auth, parse_response=lambda a: a, headers={})
    assert (last.status, last.attempts) == (401, 1)
    assert len(http_.timeouts) == sent


def test_a_success_is_not_a_challenge() -> None:
    http_ = ScriptedHttp([response(200), response(200)])
    auth = Renewing(1)
    http_.send(GET, auth, parse_response=lambda a: a, headers={})
    assert (auth.times, len(http_.timeouts)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "transient", "words"),
    [
        (
            "Tunnel connection failed: 407 Proxy Authentication Required",
            False,
            "user and password",
        ),
        # The response of tinyproxy to a wrong password.
        ("Tunnel connection failed: 401 Unauthorized", False, "user and password"),
        ("Tunnel connection failed: 403 Forbidden", False, "403 Forbidden"),
        ("Tunnel connection failed: 503 Service Unavailable", True, "503"),
    ],
)
def test_a_proxy_refusal_hides_the_password(text: str, transient: bool, words: str) -> None:
    error = proxy(refused_tunnel(text))
    http_ = ScriptedHttp([error], retries=0, proxy="http://user:hidden@proxy:3128")
    with pytest.raises(ProxyError) as caught:
        http_.call(DELETE)
    message = caught.value.message()
    assert words in message
    assert "the proxy proxy:3128" in message
    assert "hidden" not in message
    assert caught.value.transient == transient
    assert not caught.value.outcome_unknown


@pytest.mark.parametrize(
    ("url", "status", "challenge", "media_type", "expected"),
    [
        ("http://h", 407, "", "text/html", True),
        ("http://h", 401, 'Basic realm="Tinyproxy"', "text/html", True),
        ("http://h", 401, 'Basic realm="x"', "", True),
        # From the API, or from a server in front of it.
        ("http://h", 401, 'Basic realm="x"', "application/json", False),
        ("http://h", 401, 'Digest realm="x", nonce="y"', "text/html", False),
        ("http://h", 401, "", "text/html", False),
        ("http://h", 403, 'Basic realm="x"', "text/html", False),
        # No proxy can respond to a request inside a tunnel.
        ("https://h", 407, "", "text/html", False),
        ("https://h", 401, 'Basic realm="x"', "text/html", False),
    ],
)
def test_a_response_of_the_proxy_is_recognized(
    url: str, status: int, challenge: str, media_type: str, expected: bool
) -> None:
    response = requests.Response()
    response.status_code = status
    response.headers.update({"WWW-Authenticate": challenge, "Content-Type": media_type})
    request = Request("DELETE", url, "/", "revoke")
    assert is_of_proxy(response, request) is expected


@pytest.mark.parametrize(
    ("refusal", "is_tried_again"),
    [
        ("407 No", False),
        ("403 No", False),
        *((f"{status} Not now", True) for status in (500, 502, 503, 504)),
        ("501 Never", False),
    ],
)
def test_a_request_refused_by_a_proxy_was_not_sent(refusal: str, is_tried_again: bool) -> None:
    failure = _transport_errors.proxy_refusal(
        "the request", refusal, DELETE, HttpSettings(proxy="http://p")
    )
    assert not may_have_happened("DELETE", failure)
    assert may_retry("DELETE", failure) == is_tried_again


@pytest.mark.parametrize(
    ("cause", "is_tried_again", "words"),
    [
        (certificate(20, "no issuer."), False, "accepted: no issuer. Set ca_path"),
        (urllib3.exceptions.NewConnectionError(None, "x"), True, "cannot be reached"),  # type: ignore[arg-type]
        (urllib3.exceptions.ConnectTimeoutError(None, "x"), True, "cannot be reached"),
        (refused_tunnel("Tunnel connection failed: 418 " + long(80)), False, ": 418 x{40} …"),
        (refused_tunnel("Tunnel connection failed: 418 A: B"), False, ": 418 A: B"),
        (refused_tunnel("In other words: 418 A: B"), False, ": 418 A: B"),
        (refused_tunnel("No"), False, r"refused to connect: No\."),
        (type("NameResolutionError", (Exception,), {})("x"), True, "cannot be reached"),
    ],
)
def test_proxy_failures_name_the_proxy(cause: Exception, is_tried_again: bool, words: str) -> None:
    http_ = ScriptedHttp([proxy(cause)], retries=0, proxy="http://user:hidden@proxy:3128")
    with pytest.raises(ProxyError) as caught:
        http_.call(DELETE)
    assert "proxy:3128" in caught.value.message()
    assert re.search(words, caught.value.message())
    assert caught.value.transient == is_tried_again


@pytest.mark.parametrize("error", [OSError(104, "reset"), http.client.LineTooLong("header")])
def test_another_failure_of_a_connect_is_not_a_refusal(error: Exception) -> None:
    settings = HttpSettings(proxy="http://proxy:3128")
    failure = _transport_errors.transport_error(in_tunnel(error), POST, settings, via_proxy=True)
    assert not failure.never_sent


def test_a_proxy_connect_timeout_names_the_proxy() -> None:
    timeout = requests.exceptions.ConnectTimeout()
    settings = HttpSettings(proxy="http://user:hidden@proxy:3128")
    via, past = (
        _transport_errors.transport_error(timeout, DELETE, settings, way) for way in (True, False)
    )
    assert via.summary == "no connection to proxy:3128 within 30 s"
    assert past.summary == "no connection to host.example:8443 within 30 s"


def test_all_causes_are_found_even_in_cycles() -> None:
    first, reason, cause, context = (OSError(str(number)) for number in range(4))
    argument = OSError("argument", first)
    error = urllib3.exceptions.MaxRetryError(None, "/", reason)  # type: ignore[arg-type]
    error.args = (argument, *error.args)
    error.__cause__, error.__context__ = cause, context
    context.__cause__ = error
    found = list(_transport_errors._causes(error))
    assert found[0] is error
    assert {id(one) for one in found} == {
        id(one) for one in (error, argument, first, reason, cause, context)
    }
    assert len(found) == 6


def test_only_warnings_that_quote_headers_are_filtered() -> None:
    quoting, other = (
        logging.makeLogRecord({"msg": text})
        for text in ("Failed to parse headers (url=%s): %s", "Connection pool is full")
    )
    assert not _http._without_secrets(quoting)
    assert _http._without_secrets(other)


def test_queries_are_not_logged() -> None:
    arguments = ("GET", "/orgs?token=canary", 200)
    record = logging.makeLogRecord({"msg": '"%s %s" %s', "args": arguments})
    assert _http._without_secrets(record)
    assert record.getMessage() == '"GET /orgs" 200'


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pw@sso.example:444/login?token=x#y", "https://sso.example:444/login"),
        ("/login?token=x", "/login"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("http://x:99999/", "an invalid address"),
        ("https://h/\x1b[31mred", "https://h/ [31mred"),
        ("https://h/" + "x" * 99, "https://h/" + "x" * 99),
        ("https://h/" + "x" * 100, "https://h/…"),
    ],
)
def test_redact_url(url: str, expected: str) -> None:
    assert redact_url(url) == expected


def test_no_proxy_is_respected() -> None:
    settings = HttpSettings(proxy="http://proxy:1", no_proxy="host.example")
    assert Http(settings, Clock(), URL)._proxies == {}
    assert Http(HttpSettings(proxy="http://proxy:1", no_proxy="other"), Clock(), URL)._proxies


def test_the_version_is_that_of_the_collection() -> None:
    from pathlib import Path

    import yaml

    galaxy = yaml.safe_load((Path(__file__).parents[2] / "galaxy.yml").read_text())
    assert galaxy["version"] == _http.VERSION


class Refusing(Auth):
    """An auth object that counts every 401 and handles no challenge."""

    def __init__(self) -> None:
        self.refusals = 0

    def unexplained_refusals(self, response_: Response) -> int:
        self.refusals = self.refusals + 1 if response_.status == 401 else 0
        return self.refusals


def call_signed(http_: ScriptedHttp, request: Request) -> Response:
    return http_.send(request, Refusing(), parse_response=lambda a: a, headers={})


@pytest.mark.parametrize("request_", [GET, DELETE, POST])
def test_an_unexplained_401_is_retried_with_backoff(request_: Request) -> None:
    http_ = ScriptedHttp([response(401)] * 4 + [response(200)])
    found = call_signed(http_, request_)
    assert (found.status, found.attempts, found.outcome_unknown, found.was_accepted) == (
        200,
        5,
        False,
        False,
    )
    assert http_.virtual.sleeps == [0.5625, 1.125, 2.25, 4.5]


def test_unexplained_401s_are_retried_a_limited_number_of_times() -> None:
    http_ = ScriptedHttp([response(401)] * 9)
    found = call_signed(http_, POST)
    assert (found.status, found.attempts, found.outcome_unknown, found.was_accepted) == (
        401,
        5,
        False,
        True,
    )
    assert call_signed(ScriptedHttp([response(401)], retries=0), GET).attempts == 1
    assert call_signed(ScriptedHttp([response(401)], retry_max_wait=0), GET).attempts == 1


def test_an_unexplained_401_has_its_own_advice() -> None:
    http_ = ScriptedHttp([response(401)])
    http_._settings = replace(http_._settings, retries=0)
    request = replace(GET, credential_name="the API key abcdefgh")
    message = as_error(call_signed(http_, request), request).message()
    assert "The API key abcdefgh was accepted before in this task." in message
    for word in ("%2F", "nocanon", "AllowEncodedSlashes", "concurrency"):
        assert word in message
    assert "accepted before" not in as_error(response(401), request).message()


def test_concurrent_unexplained_401s_are_all_retried() -> None:
    auth, outcomes = Refusing(), [response(401), response(200)]
    # Eight threads: this request gets its 401 after seven others.
    auth.refusals = 7
    http_ = ScriptedHttp(outcomes)
    found = http_.send(GET, auth, parse_response=lambda a: a, headers={})
    assert (found.status, found.attempts) == (200, 2)
    assert http_.virtual.sleeps == [0.5625]
    auth.refusals = 19
    http_ = ScriptedHttp([response(401), response(200)])
    assert http_.send(GET, auth, parse_response=lambda a: a, headers={}).attempts == 2
    auth.refusals = 20
    found = ScriptedHttp([response(401)]).send(GET, auth, parse_response=lambda a: a, headers={})
    assert (found.status, found.attempts) == (401, 1)
