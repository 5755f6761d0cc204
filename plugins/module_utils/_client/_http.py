# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Transport: one session, TLS, proxy, time limits, retries and waiting.

Every status is an answer; only the lack of a complete answer is an error, of the family
``TransportError``. Redirects are answers that are refused.
"""

from __future__ import annotations

import http.client
import io
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._rate_limiter import (
    RateLimiter,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._transport_errors import (
    client_certificate_hint,
    is_of_proxy,
    proxy_refusal,
    redirect,
    transport_error,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._http_settings import (
    DEADLINE_FACTOR,
    HttpSettings,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    CancelledError,
    KeysmithError,
    LostAnswerError,
    Request,
    TransportError,
    UnexpectedResponseError,
    sanitize,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._requests import (
    requests,
    urllib3,
)

VERSION = "3.0.0"

# A page of 500 keys is about 0.3 MB; what is far beyond is not an answer of the API.
MAX_BODY = 16 * 1024 * 1024
# A listing of several pages, read again or not, this many times as long as ``timeout``. What the
# task waits before it sends requests again does not count.
LISTING_FACTOR = 10
# How often to send a request again that was refused (401) for no reason. The APIs do this now and
# then when digest requests are sent concurrently.
MAX_UNEXPLAINED_REFUSALS = 4
MAX_RETRIES_OF_500 = 2
MAX_THREADS = 16
INITIAL_BACKOFF = 0.5
# Seconds. Below every pause that a task makes between two requests, of which FIRST_WAIT is the
# shortest, and above what it takes to compute the next request.
MAX_IDLE = 0.4
MAX_BACKOFF = 20.0
TOKEN_PATH = "/api/oauth/token"  # noqa: S105  a path
# Bytes of a compressed body that are decoded at a time.
_PART = 1024
_RETRIED_METHODS = frozenset({"GET", "DELETE"})
_RETRIED_STATUSES = frozenset({500, 502, 503, 504})


@dataclass(frozen=True)
class Response:
    """A complete answer. ``payload`` is what the body says once a reader has read it.

    ``unclear``: an earlier try of the same request may have been carried out. ``was_accepted``: a
    401 without a reason, although the API accepted the credential earlier in this task.
    ``cookies`` lead the next request to the server that sent this answer, if a balancer set any.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    payload: Any = None
    is_json: bool = False
    attempts: int = 1
    waited: float = 0.0
    outcome_unknown: bool = False
    was_accepted: bool = False
    cookies: Any = field(default=None, repr=False, compare=False)


class Auth(Protocol):
    """A ``requests`` auth object that can also answer a challenge."""

    def __call__(self, prepared: Any) -> Any:
        """Sign a prepared request."""

    @property
    def cookies(self) -> Any:
        """Return the cookies that belong to the challenge this thread answers, None without one."""

    def renew(self, answer: Response) -> bool:
        """Whether signing the same request anew may turn this 401 into something better."""

    def unexplained_refusals(self, answer: Response) -> int:
        """Take in a final answer, and count it if it is a 401 that is not the credential's fault.

        Returns how many there were in a row, in all threads, and 0 for every other answer.
        """


Reader = Callable[[Response], Response]


class Http:
    """Sends requests over one session and decides when to send one again.

    Threads may share it: each has a connection of its own from the session's pool.
    """

    def __init__(self, settings: HttpSettings, clock: Clock, base_url: str) -> None:
        self.clock = clock
        self.cancellation = Cancellation(clock)
        self._settings = settings
        self._limiter = RateLimiter(clock.now)
        # Seconds waited since the last request that was accepted, and since the task began.
        self._waited = 0.0
        self._waited_in_all = 0.0
        self._wait_ends = 0.0
        self._lock = threading.Lock()
        self._lines = _Lines(clock.now)
        self._session = _session(settings, self._lines)
        self._has_answered = False
        proxy = settings.proxy
        if proxy and requests.utils.should_bypass_proxies(base_url, settings.no_proxy or ""):
            proxy = None
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}

    @property
    def listing_time(self) -> float:
        """Return how many seconds a listing of several pages may take, not counting waits."""
        return LISTING_FACTOR * self._settings.timeout

    @property
    def busy_time(self) -> float:
        """Return the time of the clock less all waits before requests were sent again."""
        return self.clock.now() - self._waited_in_all

    def close(self) -> None:
        self._session.close()

    def send(
        self,
        request: Request,
        auth: Auth | None,
        *,
        read: Reader,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        deadline: float | None = None,
    ) -> Response:
        """Send a request, again where that is safe and useful, and return the last answer.

        ``read`` unwraps an answer before its status is judged. ``until`` (of the clock) ends the
        retries early. Raises TransportError (its ``unclear`` tells whether the request may have
        been carried out) and UnexpectedAnswerError.
        """

        def exchange() -> Response:
            prepared = self._prepare(request, headers, query, body)
            return self._exchange(prepared, request, auth, read, deadline)

        outcome_unknown = False
        attempts = failures = errors_500 = spurious = 0
        waited = 0.0
        while True:
            generation = self._await_turn(request, outcome_unknown)
            attempts += 1
            sent_at = self.clock.now()
            try:
                outcome = self._try(request, exchange)
            except UnexpectedResponseError as error:
                error.request = error.request or request
                error.outcome_unknown = outcome_unknown or may_have_happened(request.method, error)
                raise
            except (ApiError, CancelledError) as error:
                # The request was refused (401), and no new token was to be had for it.
                error.outcome_unknown = outcome_unknown
                raise
            is_refused = isinstance(outcome, Response) and outcome.status == 429
            unexplained = 0
            if auth and isinstance(outcome, Response):
                unexplained = auth.unexplained_refusals(outcome)
                outcome = replace(outcome, was_accepted=unexplained > 0)
            wait = None
            if is_refused or unexplained:
                # A rate limit may take its time, counted in all threads together; retry_max_wait is
                # what bounds it. Of the refusals without a reason, several requests may get one
                # each at the same time, but not ever more.
                spurious += unexplained > 0
                count = spurious or self._limiter.refused(generation)
                # A request that was on its way when another was refused has waited with that one.
                served = 0.0
                if is_refused and self._limiter.is_outdated(generation):
                    served = self.clock.now() - sent_at
                is_hopeless = (
                    spurious > MAX_UNEXPLAINED_REFUSALS
                    or unexplained > MAX_UNEXPLAINED_REFUSALS + MAX_THREADS
                )
                if self._settings.retries and not is_hopeless:
                    wait = self._affordable_wait(count, request, outcome, deadline, served)
            else:
                failures += 1
                errors_500 += isinstance(outcome, Response) and outcome.status == 500
                if (
                    failures <= self._settings.retries
                    and errors_500 <= MAX_RETRIES_OF_500
                    and may_retry(request.method, outcome)
                ):
                    wait = self._affordable_wait(failures, request, outcome, deadline)
            if wait is None:
                return _finish(outcome, attempts, waited, outcome_unknown)
            outcome_unknown = outcome_unknown or may_have_happened(request.method, outcome)
            self._book(wait)
            waited += wait
            if is_refused:
                self._limiter.pause(generation, wait)
            else:
                self._pause(wait, request, outcome_unknown, outcome)

    def _await_turn(self, request: Request, outcome_unknown: bool) -> int:
        """Return when the request may be sent, with what the limiter wants to know of it later."""
        while True:
            wait, generation = self._limiter.wait()
            if not wait:
                return generation
            self._pause(wait, request, outcome_unknown)

    def _pause(
        self,
        wait: float,
        request: Request,
        outcome_unknown: bool,
        outcome: Response | TransportError | None = None,
    ) -> None:
        try:
            self.cancellation.pause(wait)
        except CancelledError as error:
            error.request, error.outcome_unknown = request, outcome_unknown
            if isinstance(outcome, Response):
                error.status, error.reason = outcome.status, outcome.reason
                error.hint = f"The last answer was {outcome.status} {outcome.reason}.".strip()
            elif outcome:
                error.reason = outcome.reason
                error.hint = f"Before that, {outcome.summary}."
            raise

    def _try(self, request: Request, exchange: Callable[[], Response]) -> Response | TransportError:
        try:
            with self._transport_errors(request):
                answer = exchange()
        except TransportError as error:
            return error
        if answer.status < 500 and answer.status not in {401, 407, 429}:
            self._limiter.accepted()
            with self._lock:
                # What other threads have begun to wait for counts for the next time.
                self._waited = max(0.0, self._wait_ends - self.clock.now())
        return answer

    def _book(self, wait: float) -> None:
        """Count a wait towards the task's budget, time that several threads wait only once."""
        with self._lock:
            now = self.clock.now()
            more = max(0.0, now + wait - max(now, self._wait_ends))
            self._waited += more
            self._waited_in_all += more
            self._wait_ends = max(self._wait_ends, now + wait)

    def _affordable_wait(
        self,
        attempts: int,
        request: Request,
        outcome: Response | TransportError,
        deadline: float | None,
        served: float = 0.0,
    ) -> float | None:
        """Return how long to wait before the next try, or None if that would be too long.

        ``served`` are the seconds of it that have passed.
        """
        least = max(INITIAL_BACKOFF, retry_after(outcome) or _window(request, outcome))
        least = max(0.0, least - served)
        now = self.clock.now()
        # What other threads are waiting for already costs nothing more.
        left = self._settings.retry_max_wait - self._waited + max(0.0, self._wait_ends - now)
        if deadline is not None:
            left = min(left, deadline - now)
        if least > left:
            return None
        backoff = min(INITIAL_BACKOFF * 2 ** min(attempts - 1, 10), MAX_BACKOFF)
        # Jitter, so that tasks refused together do not come back together.
        wait: float = max(least, backoff - served) * (1 + 0.25 * self.clock.random())
        return min(wait, left)

    def _prepare(
        self,
        request: Request,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None,
        body: bytes | None,
    ) -> Any:
        return self._session.prepare_request(
            requests.Request(
                request.method, request.url, headers=dict(headers), params=query, data=body
            )
        )

    def _exchange(
        self,
        prepared: Any,
        request: Request,
        auth: Auth | None,
        read: Reader,
        deadline: float | None,
    ) -> Response:
        """Send once; answer a challenge, and once more a challenge that calls ours stale."""
        timeout = self._settings.timeout
        if deadline is not None:
            timeout = min(timeout, max(deadline - self.clock.now(), INITIAL_BACKOFF))
        for renewals_left in (2, 1, 0):
            signed = auth(prepared.copy()) if auth else prepared.copy()
            # A challenge may have come with a cookie that leads to the server that knows it. If the
            # balancer has moved the threads of the task to several servers, each answers its own.
            cookies = ((auth.cookies if auth else None) or self._session.cookies).copy()
            signed.headers.pop("Cookie", None)
            signed.prepare_cookies(cookies)
            answer = self._send_once(signed, request, timeout)
            cookies.update(answer.cookies or {})
            answer = read(replace(answer, cookies=cookies))
            if answer.status != 401 or not renewals_left or not auth or not auth.renew(answer):
                break
        return answer

    def _send_once(self, prepared: Any, request: Request, timeout: float) -> Response:
        with self._lines.take(request.method):
            try:
                response = self._session.send(
                    prepared,
                    stream=True,
                    timeout=timeout,
                    verify=self._settings.verify,
                    cert=self._settings.cert,
                    proxies=self._proxies,
                    allow_redirects=False,
                )
                try:
                    return self._receive(response, request)
                finally:
                    # A body that was read to its end has given its connection back already.
                    response.close()
            except KeysmithError:
                raise
            except Exception as error:
                # Of any kind: whatever goes wrong in a library may have come after sending.
                raise self._failure(error, request) from None

    def _receive(self, response: Any, request: Request) -> Response:
        location = response.headers.get("Location")
        if 300 <= response.status_code < 400 and location:
            raise redirect(response.status_code, location, request)
        body = _read_body(response, request)
        self._has_answered = True
        if self._proxies and is_of_proxy(response, request):
            refusal = f"{response.status_code} {sanitize(response.reason or '', 60)}".strip()
            failure = proxy_refusal("the request", refusal, request, self._settings)
            failure.status = response.status_code
            raise failure
        return Response(
            status=response.status_code,
            reason=sanitize(response.reason or "", 60),
            headers=response.headers,
            body=body,
            cookies=response.cookies,
        )

    @contextmanager
    def _transport_errors(self, request: Request) -> Iterator[None]:
        """Turn what requests, urllib3, ssl and sockets raise into the family TransportError."""
        try:
            yield
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            http.client.HTTPException,
            OSError,
            ValueError,
        ) as error:
            raise self._failure(error, request) from None

    def _failure(self, error: BaseException, request: Request) -> TransportError:
        failure = transport_error(error, request, self._settings, bool(self._proxies))
        if isinstance(failure, LostAnswerError) and not self._has_answered:
            # Under TLS 1.3 a missing client certificate may show as a broken connection.
            failure.hint += client_certificate_hint(request, self._settings)
        return failure


def may_retry(method: str, outcome: Response | TransportError) -> bool:
    """Whether sending again is safe and may help (design, rule 3)."""
    if isinstance(outcome, TransportError):
        return outcome.transient and (outcome.never_sent or method in _RETRIED_METHODS)
    if outcome.status == 429:
        return True  # refused before anything was done
    return outcome.status in _RETRIED_STATUSES and method in _RETRIED_METHODS


def may_have_happened(method: str, outcome: Response | KeysmithError) -> bool:
    """Whether a request that ended like this may have changed something all the same."""
    if method == "GET":
        return False
    if isinstance(outcome, TransportError):
        return not outcome.never_sent
    if isinstance(outcome, KeysmithError):
        # Of the answers nobody expects, only a refusal shows that nothing was done.
        return outcome.status != 401
    return outcome.status >= 500 or outcome.status < 200 or outcome.status == 408


def _finish(
    outcome: Response | TransportError, attempts: int, waited: float, outcome_unknown: bool
) -> Response:
    if isinstance(outcome, Response):
        return replace(outcome, attempts=attempts, waited=waited, outcome_unknown=outcome_unknown)
    outcome.attempts = attempts
    outcome.waited = waited
    method = outcome.request.method if outcome.request else "GET"
    outcome.outcome_unknown = outcome_unknown or may_have_happened(method, outcome)
    raise outcome


def retry_after(outcome: Response | TransportError) -> float:
    """Return the seconds an answer asks to wait, 0 where it does not or cannot be read."""
    value = outcome.headers.get("Retry-After", "") if isinstance(outcome, Response) else ""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    date = _date(value)
    if date is None or not isinstance(outcome, Response):
        return 0.0
    # By the server's clock, where it tells the time: this machine's may be wrong by years.
    now = _date(outcome.headers.get("Date", "")) or datetime.now(timezone.utc)
    return max(0.0, (date - now).total_seconds())


def _window(request: Request, outcome: Response | TransportError) -> float:
    """Return the seconds of the window that a 429 of the token endpoint names, 0 without one.

    Its parameters are the path, the number of requests, and the minutes in which they may be sent.
    """
    payload = outcome.payload if isinstance(outcome, Response) else None
    parameters = payload.get("parameters") if isinstance(payload, dict) else None
    if not (
        isinstance(outcome, Response)
        and outcome.status == 429
        and request.path == TOKEN_PATH
        and isinstance(parameters, list)
        and len(parameters) == 3
        and isinstance(parameters[2], int)
        and not isinstance(parameters[2], bool)
    ):
        return 0.0
    return max(0.0, 60.0 * parameters[2])


def _date(value: str) -> datetime | None:
    """Return the time in a header, None where it cannot be read."""
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=timezone.utc) if date.tzinfo is None else date


def _session(settings: HttpSettings, lines: _Lines) -> Any:
    for name in ("urllib3.connection", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(_quotes_no_headers)
    session = requests.Session()
    # Nothing from the environment: netrc would replace a bearer token, and the environment's
    # CA bundle and proxies would override options. They are resolved with the options instead.
    session.trust_env = False
    # Even where redirects are not allowed, requests looks where they lead, and reads the body
    # without a limit for that.
    session.get_redirect_target = lambda _response: None
    for prefix in ("http://", "https://"):
        session.mount(prefix, lines)
    session.headers.clear()
    session.headers.update(
        {"User-Agent": f"keysmith.mongodb/{VERSION}", "Accept-Encoding": "identity"}
    )
    if settings.verify is False:
        # The user said so; a warning in the module's stderr tells nobody.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return session


def _quotes_no_headers(record: logging.LogRecord) -> bool:
    """Keep out of logs what urllib3 quotes of a head that it cannot read.

    A server may have put into it what it was sent, the token or the client secret.
    """
    return "parse headers" not in str(record.msg)


class _Line:
    """One connection at a time to the API, or to the proxy on the way to it."""

    def __init__(self, now: float) -> None:
        self.adapter = requests.adapters.HTTPAdapter(pool_maxsize=1)
        _equip(self.adapter)
        self.idle_since = now


class _Lines:
    """What the session sends with: a line for each thread that sends at the same time.

    Each connection has a line of its own, so that it is known how long it was idle. A server may
    close an idle connection, and a firewall may forget it, just when the next request is sent. For
    a request that must not be sent twice, that would look like a lost response.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._idle: list[_Line] = []
        self._lock = threading.Lock()
        self._thread = threading.local()

    @contextmanager
    def take(self, method: str) -> Iterator[None]:
        """Use a line in this thread until its response has been read: the one used last."""
        with self._lock:
            line = self._idle.pop() if self._idle else _Line(self._now())
        if method not in _RETRIED_METHODS and self._now() - line.idle_since > MAX_IDLE:
            line.adapter.close()
        self._thread.line = line
        try:
            yield
        finally:
            self._thread.line = None
            line.idle_since = self._now()
            with self._lock:
                self._idle.append(line)

    def send(self, prepared: Any, **settings: Any) -> Any:
        """Send a prepared request, as an adapter of requests does."""
        return self._thread.line.adapter.send(prepared, **settings)

    def close(self) -> None:
        with self._lock:
            for line in self._idle:
                line.adapter.close()


def _equip(adapter: Any) -> None:
    """Make the adapter's responses end in time.

    The time limit of sockets counts from byte to byte, so a response that drips would never end.
    """
    managers_of_proxies = adapter.proxy_manager_for

    def proxy_manager_for(*args: Any, **kwargs: Any) -> Any:
        manager = managers_of_proxies(*args, **kwargs)
        manager.pool_classes_by_scheme = classes
        return manager

    classes = {}
    for scheme, pool in adapter.poolmanager.pool_classes_by_scheme.items():
        base = pool.ConnectionCls
        connection = type(base.__name__, (base,), {"response_class": _DeadlineResponse})
        classes[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": connection})
    adapter.poolmanager.pool_classes_by_scheme = classes
    # Where requests itself looks for the manager: before, it spells the proxy in its own way.
    adapter.proxy_manager_for = proxy_manager_for


class _DeadlineResponse(http.client.HTTPResponse):
    """An answer that has to be complete within DEADLINE_FACTOR times the socket's time limit."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self._reader = _DeadlineReader(sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        # http.client passes over 100 alone; 101 is the last in HTTP.
        while 102 <= self.status < 200 and not self._reader.is_at_end:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        if self._reader.is_at_end:
            # http.client takes a head that is cut off for a whole one, with fewer headers.
            raise http.client.IncompleteRead(b"")


class _DeadlineReader(io.RawIOBase):
    is_at_end = False

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._timeout = sock.gettimeout()
        self._deadline = time.monotonic() + DEADLINE_FACTOR * (self._timeout or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._timeout is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout("the answer did not end in time")
            self._sock.settimeout(min(self._timeout, left))
        count = self._raw.readinto(buffer)
        self.is_at_end = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _read_body(response: Any, request: Request) -> bytes:
    """Read a body, whole and not beyond MAX_BODY; one that is compressed is decoded by urllib3.

    Raises LostAnswerError where it ends early, UnexpectedAnswerError where it does not end.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    is_packed = encoding not in {"", "identity"}
    if is_packed and encoding in _decodable():
        body = _decode(response.raw, encoding, request)
        received = response.raw.tell()
    else:
        body = response.raw.read(MAX_BODY + 1, decode_content=False) or b""
        received = len(body)
    if len(body) > MAX_BODY:
        raise _too_long(response, request)
    if received < _announced_length(response):
        raise LostAnswerError("the connection broke in the middle of the answer", request=request)
    if is_packed and body and encoding not in _decodable():
        raise UnexpectedResponseError(
            f"the response ({response.status_code}) has the Content-Encoding "
            f"{sanitize(encoding, 40)}, which was not requested and cannot be decoded",
            request=request,
            status=response.status_code,
            hint=(
                "Check the proxy or gateway in between: it must not compress responses. Check that "
                f"base_url, {request.base_url}, is {request.platform}."
            ),
        )
    return body


def _decode(raw: Any, encoding: str, request: Request) -> bytes:
    """Return a body as urllib3 decodes it, but not much more of it than MAX_BODY.

    It is read in parts so small that none of them can become a large one, because no version of
    urllib3 limits what it decodes of a part by what it is asked for, except the latest ones.
    """
    body = bytearray()
    try:
        while len(body) <= MAX_BODY:
            before = raw.tell()
            part = raw.read(_PART, decode_content=True)
            # A part may have nothing to show yet, such as the head of a gzip member.
            if not part and raw.tell() == before:
                break
            body += part
    except urllib3.exceptions.DecodeError:
        raise LostAnswerError(
            f"the answer is damaged ({sanitize(encoding, 40)})", request=request
        ) from None
    return bytes(body)


def _decodable() -> frozenset[str]:
    """Return the encodings that this urllib3 decodes without expanding a small part to gigabytes.

    Before urllib3 2.6, nothing limits that but the encoding itself: about 1,000 times its size
    for gzip and deflate, and no limit for the others.
    """
    known = frozenset(urllib3.response.HTTPResponse.CONTENT_DECODERS)
    version = tuple(int(part) for part in re.findall(r"\d+", urllib3.__version__)[:2])
    return known if version >= (2, 6) else known & {"gzip", "x-gzip", "deflate"}


def _announced_length(response: Any) -> int:
    """Return how many bytes the head promised; older urllib3 does not miss what is lacking."""
    length = response.headers.get("Content-Length", "").strip()
    is_chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    if response.status_code in {204, 304} or is_chunked:
        return 0
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0


def _too_long(response: Any, request: Request) -> UnexpectedResponseError:
    return UnexpectedResponseError(
        f"the answer ({response.status_code}) is longer than {MAX_BODY // 1024 // 1024} MiB, "
        "which no answer of the API is",
        request=request,
        status=response.status_code,
        hint=f"Check that base_url, {request.base_url}, is {request.platform}.",
    )
