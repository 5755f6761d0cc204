# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client that every module shares: requests in, JSON or errors out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _responses
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import (
    MAX_BODY,
    Auth,
    Http,
    Response,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    Credentials,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import Platform
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CancelledError,
    DeadlineError,
    Request,
    UnexpectedResponseError,
)

# The most that both APIs give at once (docs/apis.md: Lists).
ITEMS_PER_PAGE = 500
# No organization has so many keys (Atlas and Ops Manager stop at 500).
MAX_PAGES = 200
# All pages together, since all of them are kept until the last has come.
MAX_LISTING = 4 * MAX_BODY
LISTING_TRIES = 4
LISTING_PAUSE = 0.5

T = TypeVar("T")


class Signer(Auth, Protocol):
    """An auth object that may need a request of its own before it can sign."""

    def begin(self) -> None:
        """Get ready to sign."""

    def end(self) -> None:
        """Give back what ``begin`` took."""

    def distrust(self) -> None:
        """Take every 401 from now on for the end of the credential, which may be gone."""


@dataclass(frozen=True)
class Endpoint:
    """Where the API is and who asks."""

    base_url: str
    platform: Platform
    credentials: Credentials
    envelope: bool

    @property
    def public_key(self) -> str | None:
        """Return the public key of the signing key, None if another credential signs."""
        return getattr(self.credentials, "public_key", None)

    @property
    def client_id(self) -> str | None:
        """Return the client ID of the service account, None if another credential signs."""
        return getattr(self.credentials, "client_id", None)


@dataclass(frozen=True)
class Call:
    """What a request is about.

    ``path`` follows the API's own path (``/orgs/…``). ``operation`` completes "Could not …" in
    errors. ``required_role`` is the role that the caller needs. ``version`` is the version of the
    Atlas Administration API; the other APIs have only one.
    """

    path: str
    operation: str
    required_role: str
    version: str


class Client:
    """Calls of one API with one credential over one session.

    ``parse`` turns JSON into a value, returns None if it is something else, or raises
    UnreadableError to name what is wrong. Every call raises what ``_errors`` has, and StoppedError
    before a request if the task is to stop.
    """

    def __init__(
        self, http: Http, auth: Signer, endpoint: Endpoint, add_no_log: Callable[[str], None]
    ) -> None:
        self._http = http
        self._auth = auth
        self.endpoint = endpoint
        # To be told each secret that an answer brings and that nobody is to see.
        self.add_no_log = add_no_log
        # What a user should know even if the task fails later on.
        self.warnings: list[str] = []
        self._has_written = False

    @property
    def clock(self) -> Clock:
        return self._http.clock

    @property
    def cancellation(self) -> Cancellation:
        return self._http.cancellation

    def expect_own_end(self) -> None:
        """Be told that the task is about to revoke the key that signs its requests."""
        self._auth.distrust()

    def close(self) -> None:
        self._auth.end()
        self._http.close()

    def get(self, call: Call, parse: Callable[[Any], T | None], deadline: float | None = None) -> T:
        """Return what is at a path. ``until`` (of the clock) ends retries early."""
        request = self._request("GET", call)
        answer = self._send(request, call, deadline=deadline)
        return _parsed(answer, request, parse, answer.payload)

    def post(self, call: Call, body: Any, parse: Callable[[Any], T | None]) -> T:
        """Send JSON and return what comes back; ``parse`` gets {} where nothing does.

        It is sent again only where nothing can have been done; after an error whose ``unclear``
        is true, something may have been. ``parse`` raises UnexpectedAnswerError for an answer that
        contradicts the request.
        """
        return self._write("POST", call, body, parse)

    def patch(self, call: Call, body: Any, parse: Callable[[Any], T | None]) -> T:
        """Send JSON with what differs and return what comes back; sent again as ``post`` is."""
        return self._write("PATCH", call, body, parse)

    def _write(self, method: str, call: Call, body: Any, parse: Callable[[Any], T | None]) -> T:
        request = self._request(method, call)
        answer = self._send(request, call, body=body)
        data = {} if _responses.is_empty(answer) else answer.payload
        try:
            return _parsed(answer, request, parse, data)
        except UnexpectedResponseError as error:
            if error.request is None:
                # The response contradicts the request.
                error.request, error.status, error.reason = request, answer.status, answer.reason
                error.attempts, error.waited = answer.attempts, answer.waited
            raise

    def delete(self, call: Call) -> None:
        """Delete what is at a path; only an empty 2xx is a success.

        Products differ in the status (docs/apis.md: Deletion and change).

        An ApiError whose ``unclear`` is true follows a try whose outcome is not known.
        """
        request = self._request("DELETE", call)
        answer = self._send(request, call)
        if not _responses.is_empty(answer):
            _responses.unexpected(
                answer, request, f"is {_responses.kind(answer)}, where a deletion is answered empty"
            )

    def pages(
        self,
        call: Call,
        parse: Callable[[Any], T | None],
        identity: Callable[[T], str],
    ) -> list[T]:
        """Return everything in a listing, proved complete: what is not in it does not exist.

        ``identity`` tells two values apart, so that one that comes twice is noticed.

        A change made by others between two pages moves objects across their border. So a listing
        whose pages do not fit together is read again, and one that takes several requests until it
        comes out the same twice, in whatever order. Raises UnexpectedAnswerError where no complete
        listing can be had, and DeadlineError where it takes too long.
        """
        request = self._request("GET", call)
        patience = self._http.listing_time
        ends = self._http.busy_time + patience

        def go_on() -> None:
            if self._http.busy_time >= ends:
                raise DeadlineError(
                    f"the listing was not complete within {patience:g} s",
                    request=request,
                    reason="timeout",
                    hint="Check the network to the API, or raise timeout.",
                )

        def read(paging: Mapping[str, str]) -> Response:
            return self._send(request, call, paging)

        before: dict[str, T] | None = None
        for attempts in range(LISTING_TRIES):
            if attempts and before is None:
                self.cancellation.pause(LISTING_PAUSE)
            if attempts:
                go_on()
            items, requests = self._listing(request, parse, identity, read, go_on)
            if items is not None and (requests == 1 or items == before):
                return list(items.values())
            before = items
        raise _responses.incomplete(request, LISTING_TRIES)

    def _listing(
        self,
        request: Request,
        parse: Callable[[Any], T | None],
        identity: Callable[[T], str],
        read: Callable[[Mapping[str, str]], Response],
        go_on: Callable[[], None],
    ) -> tuple[dict[str, T] | None, int]:
        """Read every page once, and count the requests; None where they do not fit together.

        The API's count is an estimate, and may differ from page to page. So a full page is never
        the last one, and an empty page ends the listing unless a whole page or more is missing;
        nor may the first page be empty if the count says otherwise. ``go_on`` may raise something
        before a further page.
        """
        items: dict[str, T] = {}
        total = size = first = 0
        page_size = ITEMS_PER_PAGE
        for number in range(1, MAX_PAGES + 1):
            if number > 1:
                go_on()
            answer = read({"itemsPerPage": str(ITEMS_PER_PAGE), "pageNum": str(number)})
            page = _responses.page(answer, request)
            size += len(answer.body)
            if size > MAX_LISTING:
                break
            total = max(total, page.total)
            known = len(items)
            for item in page.items:
                value = _parsed(answer, request, parse, item)
                items[identity(value)] = value
            if len(items) != known + len(page.items):
                return None, 0
            if not page.items:
                is_complete = total == 0 if number == 1 else total - len(items) < page_size
                return (items if is_complete else None), number
            is_full = len(page.items) >= ITEMS_PER_PAGE
            if not page.has_next and not is_full and len(items) >= total:
                return items, number
            first = first or len(page.items)
            if page.has_next or number > 1:
                # Some servers give fewer than they are asked for.
                page_size = min(ITEMS_PER_PAGE, first)
        # To begin once more would be in vain.
        raise _responses.endless(request, number)

    def _request(self, method: str, call: Call) -> Request:
        return Request(
            method=method,
            base_url=self.endpoint.base_url,
            path=self.endpoint.platform.api_path + call.path,
            operation=call.operation,
            required_role=call.required_role,
            credential_name=str(self.endpoint.credentials),
            platform=self.endpoint.platform.title,
        )

    def _check_stop(self, request: Request) -> None:
        """Raise StoppedError before a request that a task which is to end must not send."""
        try:
            self.cancellation.check(request)
        except CancelledError as error:
            if not self._has_written:
                error.hint = "Nothing was changed."
            raise

    def _send(
        self,
        request: Request,
        call: Call,
        query: Mapping[str, str] | None = None,
        deadline: float | None = None,
        body: Any = None,
    ) -> Response:
        self._check_stop(request)
        if self.endpoint.envelope:
            query = {**(query or {}), "envelope": "true"}
        media_type = self.endpoint.platform.media_type.format(call.version)
        headers = {"Accept": media_type}
        if body is not None:
            headers["Content-Type"] = media_type
        self._auth.begin()
        self._has_written = self._has_written or request.method != "GET"
        answer = self._http.send(
            request,
            self._auth,
            read=_responses.read,
            headers=headers,
            query=query,
            body=None if body is None else json.dumps(body).encode(),
            deadline=deadline,
        )
        if not _responses.is_success(answer):
            raise _responses.as_error(answer, request)
        return answer


def _parsed(answer: Response, request: Request, parse: Callable[[Any], T | None], data: Any) -> T:
    """Return what ``parse`` makes of JSON from an answer. Raises UnexpectedAnswerError."""
    try:
        value = parse(data)
    except _responses.UnreadableError as error:
        _responses.unreadable(answer, request, error)
    if value is None:
        _responses.unexpected(answer, request, f"is {_responses.kind(answer)}")
    return value
