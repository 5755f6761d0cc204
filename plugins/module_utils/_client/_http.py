# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Send requests over one session, with TLS, a proxy, deadlines and retries.

A response with any status is returned. A missing or incomplete response, or a redirect, raises
``TransportError``.
"""

from __future__ import annotations

import http.client
import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

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
    TOKEN_PATH,
    CancelledError,
    KeysmithError,
    LostResponseError,
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

# A page of 500 keys is about 0.3 MB.
MAX_BODY = 16 * 1024 * 1024
# A list of several pages may take this many times ``timeout``, not counting waits before retries.
LISTING_FACTOR = 10
# The APIs sometimes reject concurrent digest requests (401) without a reason.
MAX_UNEXPLAINED_REFUSALS = 4
MAX_RETRIES_OF_500 = 2
MAX_THREADS = 16
INITIAL_BACKOFF = 0.5
# Seconds. Shorter than every pause between two requests (the shortest is INITIAL_BACKOFF), and
# longer than it takes to compute the next request.
MAX_IDLE = 0.4
MAX_BACKOFF = 20.0
_RETRIED_METHODS = frozenset({"GET", "DELETE"})
_RETRIED_STATUSES = frozenset({500, 502, 503, 504})
# The encodings in which a small body can expand at most about 1,000 times. Other encodings have no
# limit before urllib3 2.6. None is requested, but some gateways compress anyway.
_DECODED = frozenset({"gzip", "deflate"})
_DECODED_AT_ONCE = 1024
_STREAMED_AT_ONCE = 64 * 1024
# What the path of a URL may contain besides letters, digits and -._~ (RFC 3986).
_PATH_CHARACTERS = "/%:@!$&'()*+,;="


@dataclass(frozen=True)
class Response:
    """A complete response. ``parse_response`` sets ``payload`` to the JSON of the body.

    ``outcome_unknown``: an earlier attempt of the same request may have been carried out.
    ``was_accepted``: a 401 without a reason, although the API accepted the credential earlier in
    this task. ``is_received``: a receiver has the body. ``cookies`` route the next request to the
    same server if a load balancer set any.
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
    is_received: bool = False
    cookies: Any = field(default=None, repr=False, compare=False)


class Receiver(Protocol):
    """Takes the body of a response, of any size, in parts.

    It raises only KeysmithErrors, because others would be mistaken for network errors.
    """

    def restart(self) -> None:
        """Discard the parts received so far, and expect a body from its beginning."""

    def write(self, part: bytes) -> None:
        """Take the next part of the body."""


class Auth:
    """Signs requests. This base class signs nothing."""

    @property
    def cookies(self) -> Any:
        """Return the cookies that belong to the challenge that this thread responds to."""
        return None

    def __call__(self, prepared: Any) -> Any:
        """Sign a prepared request."""
        return prepared

    def acquire(self) -> str:
        """Prepare to sign. Return the existing token, or "" if there was none."""
        return ""

    def release(self) -> None:
        """Release what ``acquire`` obtained; never raises."""

    def forget(self) -> None:
        """Forget a token that became invalid with its secret, so that it is not revoked."""

    def handle_challenge(self, _response: Response) -> bool:
        """Return whether signing the same request again may resolve this 401. Sends nothing."""
        return False

    def replace_token(self, _token: str, _response: Response) -> bool:
        """Return whether a request that got this 401 can be retried with a new token."""
        return False

    def unexplained_refusals(self, _response: Response) -> int:
        """Count a 401 that is not the credential's fault; return how many came in a row."""
        return 0

    def distrust(self) -> None:
        """Expect the credential to be revoked, and blame it for every 401 from now on."""


@dataclass
class SendState:
    """The progress of one request through its attempts."""

    outcome_unknown: bool
    attempts: int = 0
    waited: float = 0.0
    failures: int = 0
    errors_500: int = 0
    unexplained: int = 0


Parser = Callable[[Response], Response]


class Http:
    """Sends requests over one session and retries them.

    Threads can share it: each uses its own connection.
    """

    def __init__(self, settings: HttpSettings, clock: Clock, base_url: str) -> None:
        self.clock = clock
        self.cancellation = Cancellation(clock)
        self._settings = settings
        self._limiter = RateLimiter(clock.now)
        # Seconds waited since a request was last accepted, and since the task started.
        self._waited = 0.0
        self._total_waited = 0.0
        self._wait_ends = 0.0
        self._lock = threading.Lock()
        self._connections = _Connections(clock.now)
        self._session = _session(settings, self._connections)
        self._has_response = False
        proxy = settings.proxy
        if proxy and requests.utils.should_bypass_proxies(base_url, settings.no_proxy or ""):
            proxy = None
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}

    @property
    def listing_time(self) -> float:
        """Return how many seconds a list of several pages may take, not counting waits."""
        return LISTING_FACTOR * self._settings.timeout

    @property
    def busy_time(self) -> float:
        """Return the time of the clock minus all waits before retries."""
        return self.clock.now() - self._total_waited

    def close(self) -> None:
        self._session.close()

    def send(
        self,
        request: Request,
        auth: Auth,
        *,
        parse_response: Parser,
        headers: Mapping[str, str],
        query: Mapping[str, str | Sequence[str]] | None = None,
        body: bytes | None = None,
        deadline: float | None = None,
        outcome_unknown: bool = False,
        receiver: Receiver | None = None,
    ) -> Response:
        """Send a request, retry it if that is safe and useful, and return the last response.

        ``parse_response`` unwraps a response before its status is judged. ``deadline`` (of the
        clock) ends the retries early. ``outcome_unknown``: the request was sent before and may have
        been carried out. ``receiver`` takes the body of a response with status 200, unless it is an
        HTML page; the returned one has it too if it is short. Raises TransportError and
        UnexpectedResponseError.
        """
        state = SendState(outcome_unknown)
        while True:
            generation = self._acquire(request, state)
            state.attempts += 1
            sent_at = self.clock.now()
            try:
                prepared = self._prepare(request, headers, query, body)
                outcome: Response | TransportError = self._exchange(
                    prepared, request, auth, parse_response, deadline=deadline, receiver=receiver
                )
            except TransportError as error:
                outcome = error
            except UnexpectedResponseError as error:
                raise error.with_context(
                    request=request,
                    outcome_unknown=state.outcome_unknown
                    or may_have_happened(request.method, error),
                ) from None
            is_throttled = isinstance(outcome, Response) and outcome.status == 429
            unexplained = 0
            if isinstance(outcome, Response):
                self._note_progress(outcome)
                unexplained = auth.unexplained_refusals(outcome)
                outcome = replace(outcome, was_accepted=unexplained > 0)
            wait = None
            if is_throttled or unexplained:
                # Only retry_max_wait limits how long to wait for a rate limit, so 429s are counted
                # across threads. Concurrent requests may each get an unexplained 401.
                state.unexplained += unexplained > 0
                count = state.unexplained or self._limiter.throttle_count(generation)
                # A request in flight when another was throttled has waited along with it.
                served = 0.0
                if is_throttled and self._limiter.is_outdated(generation):
                    served = self.clock.now() - sent_at
                is_hopeless = (
                    state.unexplained > MAX_UNEXPLAINED_REFUSALS
                    or unexplained > MAX_UNEXPLAINED_REFUSALS + MAX_THREADS
                )
                if self._settings.retries and not is_hopeless:
                    wait = self._affordable_wait(count, request, outcome, deadline, served)
            else:
                state.failures += 1
                state.errors_500 += isinstance(outcome, Response) and outcome.status == 500
                if (
                    state.failures <= self._settings.retries
                    and state.errors_500 <= MAX_RETRIES_OF_500
                    and may_retry(request.method, outcome)
                ):
                    wait = self._affordable_wait(state.failures, request, outcome, deadline)
            if wait is None:
                return _finish(outcome, request, state)
            state.outcome_unknown |= may_have_happened(request.method, outcome)
            self._count_wait(wait)
            state.waited += wait
            if is_throttled:
                self._limiter.pause(generation, wait)
            else:
                self._pause(wait, request, state, outcome)

    def _acquire(self, request: Request, state: SendState) -> int:
        """Wait until the request may be sent; return the limiter's generation."""
        while True:
            wait, generation = self._limiter.acquire()
            if not wait:
                return generation
            self._pause(wait, request, state)

    def _pause(
        self,
        wait: float,
        request: Request,
        state: SendState,
        outcome: Response | TransportError | None = None,
    ) -> None:
        try:
            self.cancellation.pause(wait)
        except CancelledError as error:
            context: dict[str, Any] = {}
            if isinstance(outcome, Response):
                last = f"{outcome.status} {outcome.reason}".strip()
                context = {
                    "status": outcome.status,
                    "reason": outcome.reason,
                    "hint": f"The last response was {last}. {error.hint}".strip(),
                }
            elif outcome:
                context = {
                    "reason": outcome.reason,
                    "hint": f"Before that, {outcome.summary}. {error.hint}".strip(),
                }
            raise error.with_context(
                request=request, outcome_unknown=state.outcome_unknown, **context
            ) from None

    def _note_progress(self, response: Response) -> None:
        """Renew the budget for waits once the API accepts a request."""
        if response.status < 500 and response.status not in {401, 407, 429}:
            self._limiter.note_accepted()
            with self._lock:
                # The waits of other threads count towards the new budget.
                self._waited = max(0.0, self._wait_ends - self.clock.now())

    def _count_wait(self, wait: float) -> None:
        """Count a wait towards the task's budget; time that several threads wait counts once."""
        with self._lock:
            now = self.clock.now()
            more = max(0.0, now + wait - max(now, self._wait_ends))
            self._waited += more
            self._total_waited += more
            self._wait_ends = max(self._wait_ends, now + wait)

    def _affordable_wait(
        self,
        attempts: int,
        request: Request,
        outcome: Response | TransportError,
        deadline: float | None,
        served: float = 0.0,
    ) -> float | None:
        """Return how long to wait before the next attempt, or None if that would be too long.

        ``served``: how many seconds of it have passed.
        """
        least = max(INITIAL_BACKOFF, retry_after(outcome) or _token_window(request, outcome))
        least = max(0.0, least - served)
        now = self.clock.now()
        # Waiting at the same time as other threads costs nothing.
        left = self._settings.retry_max_wait - self._waited + max(0.0, self._wait_ends - now)
        if deadline is not None:
            left = min(left, deadline - now)
        if least > left:
            return None
        backoff = min(INITIAL_BACKOFF * 2 ** min(attempts - 1, 10), MAX_BACKOFF)
        # Jitter, so that tasks throttled together do not retry together.
        wait: float = max(least, backoff - served) * (1 + 0.25 * self.clock.random())
        return min(wait, left)

    def _prepare(
        self,
        request: Request,
        headers: Mapping[str, str],
        query: Mapping[str, str | Sequence[str]] | None,
        body: bytes | None,
    ) -> Any:
        with self._library_errors(request):
            prepared = self._session.prepare_request(
                requests.Request(
                    request.method, request.url, headers=dict(headers), params=query, data=body
                )
            )
            prepared.url = _with_path_of(request.url, prepared.url)
            return prepared

    def _exchange(
        self,
        prepared: Any,
        request: Request,
        auth: Auth,
        parse_response: Parser,
        *,
        deadline: float | None,
        receiver: Receiver | None,
    ) -> Response:
        """Send a request, and send it again after a challenge or a stale nonce."""
        timeout = self._settings.timeout
        if deadline is not None:
            timeout = min(timeout, max(deadline - self.clock.now(), INITIAL_BACKOFF))
        for challenges_left in (2, 1, 0):
            signed = auth(prepared.copy())
            # A challenge may come with a cookie that routes to the server that sent it. If a load
            # balancer sends threads to different servers, each thread needs its own cookie.
            cookies = (auth.cookies or self._session.cookies).copy()
            signed.headers.pop("Cookie", None)
            signed.prepare_cookies(cookies)
            response = self._send_once(signed, request, timeout, receiver)
            cookies.update(response.cookies or {})
            response = parse_response(replace(response, cookies=cookies))
            if response.status != 401 or not challenges_left or not auth.handle_challenge(response):
                break
        return response

    def _send_once(
        self, prepared: Any, request: Request, timeout: float, receiver: Receiver | None
    ) -> Response:
        with self._connections.take(request.method), self._library_errors(request):
            raw = self._session.send(
                prepared,
                stream=True,
                timeout=timeout,
                verify=self._settings.verify,
                cert=self._settings.cert,
                proxies=self._proxies,
                allow_redirects=False,
            )
            try:
                return self._receive(raw, request, receiver)
            finally:
                # A body that was read completely has already returned its connection.
                raw.close()

    def _receive(self, raw: Any, request: Request, receiver: Receiver | None) -> Response:
        location = raw.headers.get("Location")
        if 300 <= raw.status_code < 400 and location:
            raise redirect(raw.status_code, location, request)
        is_received = receiver is not None and raw.status_code == 200 and not _is_html(raw)
        if receiver and is_received:
            body = self._stream(raw, request, receiver)
        else:
            body = _read_body(raw, request)
        self._has_response = True
        reason = sanitize(raw.reason or "", 60)
        if self._proxies and is_of_proxy(raw, request):
            refusal = f"{raw.status_code} {reason}".strip()
            failure = proxy_refusal("the request", refusal, request, self._settings)
            raise failure.with_context(status=raw.status_code)
        return Response(
            status=raw.status_code,
            reason=reason,
            headers=raw.headers,
            body=body,
            is_received=is_received,
            cookies=raw.cookies,
        )

    def _stream(self, raw: Any, request: Request, receiver: Receiver) -> bytes:
        """Pass a body to the receiver, and return it if it is as short as that of an error."""
        _check_has_end(raw)
        receiver.restart()
        start = bytearray()
        for part in _parts(raw, request, _STREAMED_AT_ONCE):
            self.cancellation.check(request)
            receiver.write(part)
            if len(start) <= _STREAMED_AT_ONCE:
                start += part
        return bytes(start) if len(start) <= _STREAMED_AT_ONCE else b""

    @contextmanager
    def _library_errors(self, request: Request) -> Iterator[None]:
        """Turn any exception of requests, urllib3, ssl and sockets into a TransportError.

        An unknown exception counts too: the library may have raised it after sending.
        """
        try:
            yield
        except KeysmithError:
            raise
        except Exception as error:
            failure = transport_error(error, request, self._settings, bool(self._proxies))
            if isinstance(failure, LostResponseError) and not self._has_response:
                hint = failure.hint + client_certificate_hint(request, self._settings)
                failure = failure.with_context(hint=hint)
            raise failure from None


def may_retry(method: str, outcome: Response | TransportError) -> bool:
    """Return whether a retry is safe and may help. A 429 is not judged here."""
    if isinstance(outcome, TransportError):
        return outcome.transient and (outcome.never_sent or method in _RETRIED_METHODS)
    return outcome.status in _RETRIED_STATUSES and method in _RETRIED_METHODS


def may_have_happened(method: str, outcome: Response | KeysmithError) -> bool:
    """Return whether a request with this outcome may have changed something."""
    if method == "GET":
        return False
    if isinstance(outcome, TransportError):
        return not outcome.never_sent
    if isinstance(outcome, KeysmithError):
        # Of the unexpected responses, only a 401 proves that nothing was done.
        return outcome.status != 401
    return outcome.status >= 500 or outcome.status < 200 or outcome.status == 408


def _finish(outcome: Response | TransportError, request: Request, state: SendState) -> Response:
    if isinstance(outcome, Response):
        return replace(
            outcome,
            attempts=state.attempts,
            waited=state.waited,
            outcome_unknown=state.outcome_unknown,
        )
    raise outcome.with_context(
        attempts=state.attempts,
        waited=state.waited,
        outcome_unknown=state.outcome_unknown or may_have_happened(request.method, outcome),
    ) from None


def retry_after(outcome: Response | TransportError) -> float:
    """Return how many seconds Retry-After asks to wait, or 0 if it is missing or invalid."""
    if not isinstance(outcome, Response):
        return 0.0
    value = outcome.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    date = _date(value)
    if date is None:
        return 0.0
    # Prefer the server's clock: this machine's may be wrong by years.
    now = _date(outcome.headers.get("Date", "")) or datetime.now(timezone.utc)
    return max(0.0, (date - now).total_seconds())


def _token_window(request: Request, outcome: Response | TransportError) -> float:
    """Return the window in seconds that a 429 of the token endpoint reports, otherwise 0.

    Its parameters are the path, the number of requests, and the window in minutes.
    """
    if (
        not isinstance(outcome, Response)
        or outcome.status != 429
        or request.path != TOKEN_PATH
        or not isinstance(outcome.payload, dict)
    ):
        return 0.0
    parameters = outcome.payload.get("parameters")
    if not isinstance(parameters, list) or len(parameters) != 3:
        return 0.0
    minutes = parameters[2]
    is_number = isinstance(minutes, int) and not isinstance(minutes, bool)
    return max(0.0, 60.0 * minutes) if is_number else 0.0


def server_time(response: Response) -> float | None:
    """Return the server's time in seconds since 1970, None if the response does not contain it."""
    date = _date(response.headers.get("Date", ""))
    return date.timestamp() if date else None


def _date(value: str) -> datetime | None:
    """Return the date in a header, or None if it is missing or invalid."""
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=timezone.utc) if date.tzinfo is None else date


def _session(settings: HttpSettings, connections: _Connections) -> Any:
    for name in ("urllib3.connection", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(_without_secrets)
    session = requests.Session()
    # Ignore the environment: netrc would replace a bearer token, and the CA bundle and proxies of
    # the environment would override options. They are resolved together with the options.
    session.trust_env = False
    # requests looks for the target of a redirect even if it must not follow it, and reads the body
    # without a limit.
    session.get_redirect_target = lambda _raw: None
    for prefix in ("http://", "https://"):
        session.mount(prefix, connections)
    session.headers.clear()
    session.headers.update(
        {"User-Agent": f"keysmith.mongodb/{VERSION}", "Accept-Encoding": "identity"}
    )
    if settings.verify is False:
        # The user disabled verification; the warning would only clutter stderr.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return session


def _without_secrets(record: logging.LogRecord) -> bool:
    """Remove the queries of URLs, which may contain secrets, from a log record of urllib3.

    Filter out records with headers that urllib3 cannot parse, because a server may have echoed the
    token or the client secret in them.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(
            part.partition("?")[0] if isinstance(part, str) else part for part in record.args
        )
    return "parse headers" not in str(record.msg)


class _Connection:
    """One connection to the API, or to the proxy on the way to it."""

    def __init__(self, now: float) -> None:
        self.adapter = requests.adapters.HTTPAdapter(pool_maxsize=1)
        instrument_adapter(self.adapter)
        self.idle_since = now


class _Connections:
    """The adapter of the session: one connection for each thread that sends at the same time.

    They are separate so that each connection's idle time is known. A server may close an idle
    connection, and a firewall may drop it, just when the next request is sent. For a request that
    must not be sent twice, that would look like a lost response.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()
        self._thread = threading.local()

    @contextmanager
    def take(self, method: str) -> Iterator[None]:
        """Reserve the most recently used connection until this thread has read its response."""
        with self._lock:
            connection = self._idle.pop() if self._idle else _Connection(self._now())
        if method not in _RETRIED_METHODS and self._now() - connection.idle_since > MAX_IDLE:
            connection.adapter.close()
        self._thread.connection = connection
        try:
            yield
        finally:
            self._thread.connection = None
            connection.idle_since = self._now()
            with self._lock:
                self._idle.append(connection)

    def send(self, prepared: Any, **settings: Any) -> Any:
        """Send a prepared request. This is the interface of adapters in requests."""
        adapter = self._thread.connection.adapter
        target = adapter.request_url(prepared, settings["proxies"])
        # For a proxy, requests would drop a semicolon at the end of the path.
        adapter.request_target = target if target.startswith("/") else prepared.url
        return adapter.send(prepared, **settings)

    def close(self) -> None:
        with self._lock:
            for connection in self._idle:
                connection.adapter.close()


def _with_path_of(url: str, prepared_url: str) -> str:
    """Return the URL that requests has prepared, with the percent-encoding of the original path.

    requests decodes characters that did not need to be encoded, but a server may treat the two
    forms differently. Characters that no URL may contain are encoded.
    """
    path = quote(urlsplit(url).path, safe=_PATH_CHARACTERS)
    return urlunsplit(urlsplit(prepared_url)._replace(path=path))


def instrument_adapter(adapter: Any) -> None:
    """Give all responses of an adapter a deadline, and send its ``request_target`` unchanged.

    The timeout of a socket restarts with each byte, so a trickling response would never time out.
    urllib3 would change the case of percent-encoding, and the signature would not match.
    """
    proxy_manager_for = adapter.proxy_manager_for

    def instrumented_proxy_manager_for(*args: Any, **kwargs: Any) -> Any:
        manager = proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = classes
        return manager

    # Built here, because urllib3 may be missing when this file is imported.
    classes = {}
    for scheme, pool in adapter.poolmanager.pool_classes_by_scheme.items():
        base = pool.ConnectionCls

        def put_request(
            self: Any,
            method: str,
            _url: str,
            *args: Any,
            _put: Any = base.putrequest,
            **kwargs: Any,
        ) -> None:
            _put(self, method, adapter.request_target, *args, **kwargs)

        members = {"response_class": _DeadlineResponse, "putrequest": put_request}
        connection = type(base.__name__, (base,), members)
        classes[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": connection})
    adapter.poolmanager.pool_classes_by_scheme = classes
    adapter.proxy_manager_for = instrumented_proxy_manager_for


class _DeadlineResponse(http.client.HTTPResponse):
    """A response that must be complete within DEADLINE_FACTOR times the socket's timeout."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self._reader = _DeadlineReader(sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        # http.client skips 100 only. 101 is the last response in HTTP.
        while 102 <= self.status < 200 and not self._reader.is_at_end:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        if self._reader.is_at_end:
            # http.client accepts a truncated head as one with fewer headers.
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
                raise socket.timeout("the response was not complete in time")
            self._sock.settimeout(min(self._timeout, left))
        count = self._raw.readinto(buffer)
        self.is_at_end = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _read_body(raw: Any, request: Request) -> bytes:
    """Return a complete body of at most MAX_BODY bytes. Raises the same errors as _parts."""
    body = bytearray()
    for part in _parts(raw, request, MAX_BODY):
        body += part
        if len(body) > MAX_BODY:
            raise UnexpectedResponseError(
                f"the response ({raw.status_code}) is longer than {MAX_BODY // 1024 // 1024} MiB, "
                "more than the API ever returns",
                request=request,
                status=raw.status_code,
                hint=_check_base_url(request),
            )
    return bytes(body)


def _check_base_url(request: Request) -> str:
    return f"Check that base_url ({request.base_url}) is the address of {request.platform}."


def _is_html(raw: Any) -> bool:
    return "text/html" in raw.headers.get("Content-Type", "").lower()


def _check_has_end(raw: Any) -> None:
    """Refuse a response without a length, which may have been cut off."""
    if not _is_chunked(raw) and not raw.headers.get("Content-Length"):
        raise UnexpectedResponseError(
            f"the response ({raw.status_code}) does not contain its length, so part of it may be "
            "missing",
            status=raw.status_code,
            hint="Check the proxy or gateway in between: it must send Content-Length or use "
            "chunked transfer encoding.",
        )


def _is_chunked(raw: Any) -> bool:
    return "chunked" in raw.headers.get("Transfer-Encoding", "").lower()


def _parts(raw: Any, request: Request, at_once: int) -> Iterator[bytes]:
    """Yield a complete body in parts of at most ``at_once`` bytes, unless they are compressed.

    Compressed bodies are decoded in small parts: only the newest versions of urllib3 limit the size
    of a decoded part. Raises LostResponseError for an incomplete or damaged body, and
    UnexpectedResponseError for a body with another encoding.
    """
    encoding = raw.headers.get("Content-Encoding", "").strip().lower()
    is_decoded = encoding in _DECODED
    size = _DECODED_AT_ONCE if is_decoded else at_once
    try:
        while True:
            before = raw.raw.tell()
            part = raw.raw.read(size, decode_content=is_decoded)
            # A part may decode to nothing, such as the header of a gzip member.
            if not part and raw.raw.tell() == before:
                break
            yield part or b""
    except urllib3.exceptions.DecodeError:
        raise LostResponseError(
            f"the response is damaged ({encoding})",
            request=request,
            reason="damaged response",
            hint="Check the proxy or gateway in between.",
        ) from None
    length = raw.raw.tell()
    if length < _announced_length(raw):
        raise LostResponseError(
            "the connection broke in the middle of the response",
            request=request,
            reason="connection broken",
            hint="Check the network to the API.",
        )
    if length and not is_decoded and encoding not in {"", "identity"}:
        raise UnexpectedResponseError(
            f"the response ({raw.status_code}) has an unexpected Content-Encoding: "
            f"{sanitize(encoding, 40)}",
            request=request,
            status=raw.status_code,
            hint="Check the proxy or gateway in between: it must not compress responses. "
            f"{_check_base_url(request)}",
        )


def _announced_length(raw: Any) -> int:
    """Return the Content-Length that applies to the body; old urllib3 versions do not check it."""
    length = raw.headers.get("Content-Length", "").strip()
    if raw.status_code in {204, 304} or _is_chunked(raw):
        return 0
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0
