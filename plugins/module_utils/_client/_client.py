# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Send requests, and return parsed JSON or raise errors. All modules share this client."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, Union

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _responses
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._auth import (
    BearerAuth,
    IssuedToken,
    ServiceAccountAuth,
    is_unspecific,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import (
    MAX_BODY,
    Auth,
    Http,
    Receiver,
    Response,
    server_time,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    AccessToken,
    Credentials,
    ServiceAccount,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import Platform
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    IP_NOT_LISTED,
    LIST_REQUIRED,
    ApiError,
    CancelledError,
    DeadlineError,
    Request,
    UnexpectedResponseError,
)

# The maximum of both APIs (docs/apis.md: Lists).
ITEMS_PER_PAGE = 500
# No organization has this many keys (Atlas and Ops Manager allow at most 500).
MAX_PAGES = 200
# Limit for all pages of a list, which are held in memory together.
MAX_LISTING = 4 * MAX_BODY
LISTING_ATTEMPTS = 4
LISTING_PAUSE = 0.5

T = TypeVar("T")
# Each item of a sequence is sent as a parameter with the same name.
Query = Mapping[str, Union[str, Sequence[str]]]


@dataclass(frozen=True)
class Endpoint:
    """The address of the API and the signing credential."""

    base_url: str
    platform: Platform
    credentials: Credentials
    envelope: bool

    @property
    def public_key(self) -> str | None:
        """Return the public key if the signing credential is an API key, otherwise None."""
        return getattr(self.credentials, "public_key", None)

    @property
    def client_id(self) -> str | None:
        """Return the client ID if the signing credential is a service account, otherwise None."""
        return getattr(self.credentials, "client_id", None)

    @property
    def client_secret(self) -> str | None:
        """Return the client secret of the service account, None for other credentials.

        A token may come from another secret of its owner.
        """
        if isinstance(self.credentials, ServiceAccount):
            return self.credentials.client_secret
        return None

    @property
    def is_account_unknown(self) -> bool:
        """Whether the task authenticates with a service account, but which one is unknown."""
        return isinstance(self.credentials, AccessToken) and self.client_id is None


@dataclass(frozen=True)
class Call:
    """The purpose of a request, and what it needs.

    ``path`` follows the API's own path (``/orgs/…``). ``operation`` completes "Could not …" in
    errors. ``required_role`` is the role that the caller needs. ``version`` is the version of the
    Atlas Administration API; the other APIs have only one. ``media`` is the format of the response:
    one of ``json``, ``gzip`` and ``csv``.
    """

    path: str
    operation: str
    required_role: str
    version: str
    query: Query = field(default_factory=dict)
    media: str = "json"


class Client:
    """Calls one API with one credential over one session.

    ``parse`` turns JSON into a value. It returns None for unexpected JSON, or raises
    UnreadableError to identify the wrong field. Every call raises KeysmithError, and CancelledError
    before a request if the task must stop.
    """

    def __init__(
        self, http: Http, auth: Auth, endpoint: Endpoint, add_no_log: Callable[[str], None]
    ) -> None:
        self._http = http
        self._auth = auth
        self.endpoint = endpoint
        # Registers the secrets of responses for masking.
        self.add_no_log = add_no_log
        # Shown to the user even if the task fails later.
        self.warnings: list[str] = []
        # The API's time in its last response, in seconds since 1970; None if it is not known.
        self.server_time: float | None = None
        # The response to the last request, None if there was none.
        self.last_response: Response | None = None
        self._has_written = False

    @property
    def clock(self) -> Clock:
        return self._http.clock

    @property
    def cancellation(self) -> Cancellation:
        return self._http.cancellation

    def expect_revocation(self) -> None:
        """Note that the task is about to revoke its signing credential."""
        self._auth.distrust()

    def forget_credential(self) -> None:
        """Send nothing more with a credential that the task has deleted."""
        self._auth.forget()

    def issue_token(self) -> IssuedToken:
        """Fetch a token for other tasks. It is not masked, and ``close`` does not revoke it."""
        account = self._account
        self._check_cancelled(account.token_request)
        self._has_written = True
        return account.fetch_token()

    def revoke_token(self, token: str) -> None:
        """Revoke a token of the signing account. The token may no longer exist."""
        account = self._account
        self._check_cancelled(account.revoke_request)
        self._has_written = True
        account.revoke_token(token)

    @property
    def _account(self) -> ServiceAccountAuth:
        if not isinstance(self._auth, ServiceAccountAuth):
            raise TypeError("only a service account has tokens")
        return self._auth

    def is_valid(self, token: AccessToken, call: Call) -> bool:
        """Return whether the API accepts a token, by sending a GET that needs no role.

        A 403 because of an access list counts too: the token works from another address.
        """
        asking = copy.copy(self)
        asking._auth = BearerAuth(token.token)
        asking.endpoint = replace(self.endpoint, credentials=token)
        request = asking._request("GET", call)
        response = asking._send(request, call, may_fail=True)
        if _responses.is_success(response):
            _parsed(
                response,
                request,
                lambda data: data if isinstance(data, dict) else None,
                response.payload,
            )
            return True
        # A proxy or gateway may also return 401.
        is_of_api = _responses.is_of_api(response) or _responses.is_empty(response)
        if response.status == 401 and is_unspecific(response) and is_of_api:
            return False
        error = _responses.as_error(response, request)
        if isinstance(error, ApiError) and error.code in IP_NOT_LISTED | LIST_REQUIRED:
            return True
        raise error

    def close(self) -> None:
        self._auth.release()
        self._http.close()

    def get(self, call: Call, parse: Callable[[Any], T | None], deadline: float | None = None) -> T:
        """Return the object at a path. ``deadline`` (of the clock) ends retries early."""
        request = self._request("GET", call)
        response = self._send(request, call, deadline=deadline)
        return _parsed(response, request, parse, response.payload)

    def post(self, call: Call, body: Any, parse: Callable[[Any], T | None]) -> T:
        """Send JSON and return the parsed response; ``parse`` gets {} for an empty one.

        The request is only retried if it is certain that nothing was done. After an error with
        ``outcome_unknown``, something may have been done. ``parse`` raises UnexpectedResponseError
        for a response that contradicts the request.
        """
        return self._write("POST", call, body, parse)

    def patch(self, call: Call, body: Any, parse: Callable[[Any], T | None]) -> T:
        """Send a JSON patch and return the parsed response; retried like ``post``."""
        return self._write("PATCH", call, body, parse)

    def call(self, method: str, call: Call, body: Any = None) -> Response:
        """Send a request with any method, and return the successful response: JSON or nothing.

        It is retried like ``get``, ``post``, ``patch`` or ``delete``; PUT like PATCH.
        """
        request = self._request(method, call)
        response = self._send(request, call, body=body)
        _responses.check_no_error(response, request)
        if not response.is_json and response.body.strip():
            what = f"is {_responses.describe_body(response)}, not the expected JSON"
            raise _responses.unexpected(response, request, what)
        return response

    def download(self, call: Call, receiver: Receiver) -> Response:
        """Pass the body of a response, of any size, to a receiver, and return the response.

        The receiver may keep the body only if this returns a response with status 200. A short body
        may be an error or an HTML page, even if its headers say otherwise.
        """
        request = self._request("GET", call)
        response = self._send(request, call, receiver=receiver)
        _responses.check_no_error(response, request)
        is_file = response.is_received and not _responses.is_html(response)
        if response.body.strip() and not response.is_json and not is_file:
            what = f"is {_responses.describe_body(response)}, not the expected file"
            raise _responses.unexpected(response, request, what)
        return response

    def _write(self, method: str, call: Call, body: Any, parse: Callable[[Any], T | None]) -> T:
        request = self._request(method, call)
        response = self._send(request, call, body=body)
        data = {} if _responses.is_empty(response) else response.payload
        try:
            return _parsed(response, request, parse, data)
        except UnexpectedResponseError as error:
            if error.request:
                raise
            # ``parse`` found a contradiction, and does not know the request.
            raise error.with_context(
                request=request,
                status=response.status,
                reason=response.reason,
                attempts=response.attempts,
                waited=response.waited,
            ) from None

    def delete(self, call: Call) -> None:
        """Delete the object at a path. Only a 2xx with an empty body counts as success.

        The status differs between products (docs/apis.md: Deletion and change). If an ApiError has
        ``outcome_unknown``, an earlier attempt may have succeeded.
        """
        request = self._request("DELETE", call)
        response = self._send(request, call)
        _responses.check_empty(response, request, "deletion")

    def pages(
        self,
        call: Call,
        parse: Callable[[Any], T | None],
        identity: Callable[[T], str],
        *,
        may_be_bare: bool = False,
    ) -> list[T]:
        """Return all items of a list that is known to be complete: no other items exist.

        ``identity`` identifies a value, to detect duplicates. A concurrent change between two
        requests moves items across pages. The list is read again if its pages are
        inconsistent. A list of several pages is read until two reads are equal, in any order.
        ``may_be_bare``: the API may return a plain array without pages. Raises
        UnexpectedResponseError if no complete list can be read, and DeadlineError if it takes too
        long.
        """
        request = self._request("GET", call)
        deadline = self._http.busy_time + self._http.listing_time
        before: dict[str, T] | None = None
        for attempt in range(LISTING_ATTEMPTS):
            if attempt and before is None:
                self.cancellation.pause(LISTING_PAUSE)
            items, pages = self._listing(
                request,
                call,
                parse,
                identity,
                deadline,
                is_again=attempt > 0,
                may_be_bare=may_be_bare,
            )
            if items is not None and (pages == 1 or items == before):
                return list(items.values())
            before = items
        raise _responses.incomplete(request, LISTING_ATTEMPTS)

    def _listing(
        self,
        request: Request,
        call: Call,
        parse: Callable[[Any], T | None],
        identity: Callable[[T], str],
        deadline: float,
        *,
        is_again: bool,
        may_be_bare: bool,
    ) -> tuple[dict[str, T] | None, int]:
        """Read every page once; return the items (None if inconsistent) and the page count.

        The API's count is an estimate and may differ from page to page. So a full page is never the
        last one, and an empty page ends the list unless the count shows that at least a whole
        page is missing. The first page may only be empty if the count is 0.
        """
        items: dict[str, T] = {}
        total = size = first = 0
        page_size = ITEMS_PER_PAGE
        for number in range(1, MAX_PAGES + 1):
            if (number > 1 or is_again) and self._http.busy_time >= deadline:
                raise DeadlineError(
                    f"the list was not complete within {self._http.listing_time:g} s",
                    request=request,
                    reason="timeout",
                    hint="Check the network to the API, or raise timeout.",
                )
            query = {"itemsPerPage": str(ITEMS_PER_PAGE), "pageNum": str(number)}
            response = self._send(request, call, query)
            if may_be_bare and isinstance(response.payload, list):
                parsed = (_parsed(response, request, parse, item) for item in response.payload)
                return _by_place(parsed), 1
            page = _responses.page(response, request)
            size += len(response.body)
            if size > MAX_LISTING:
                break
            total = max(total, page.total)
            is_last = not page.has_next and len(page.items) < ITEMS_PER_PAGE
            if may_be_bare and number == 1 and is_last and len(page.items) >= total:
                # Lists of any kind may have equal items.
                return _by_place(_parsed(response, request, parse, item) for item in page.items), 1
            known = len(items)
            for item in page.items:
                value = _parsed(response, request, parse, item)
                items[identity(value)] = value
            if len(items) != known + len(page.items):
                return None, number
            if not page.items:
                is_complete = total == 0 if number == 1 else total - len(items) < page_size
                return (items if is_complete else None), number
            is_full = len(page.items) >= ITEMS_PER_PAGE
            if not page.has_next and not is_full and len(items) >= total:
                return items, number
            first = first or len(page.items)
            if page.has_next or number > 1:
                # Some servers return fewer items per page than requested.
                page_size = min(ITEMS_PER_PAGE, first)
        # Reading the list again would not help.
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
            has_ready_token=isinstance(self.endpoint.credentials, AccessToken),
        )

    def _check_cancelled(self, request: Request) -> None:
        try:
            self.cancellation.check(request)
        except CancelledError as error:
            if self._has_written:
                raise
            raise error.with_context(state_after="Nothing was changed.") from None

    def _send(
        self,
        request: Request,
        call: Call,
        more_query: Mapping[str, str] | None = None,
        *,
        deadline: float | None = None,
        body: Any = None,
        receiver: Receiver | None = None,
        may_fail: bool = False,
    ) -> Response:
        """Send a request, with a new token if necessary, and return the successful response.

        ``may_fail``: a response that is an error is returned too, instead of raised.
        """
        self.last_response = None
        self._check_cancelled(request)
        query = {**call.query, **(more_query or {})}
        # A receiver gets the body as it is, and cannot remove an envelope.
        if self.endpoint.envelope and receiver is None:
            query["envelope"] = "true"
        media_type = self.endpoint.platform.media_type.format(call.version)
        headers = {"Accept": _accepted(media_type, call.media)}
        if body is not None:
            headers["Content-Type"] = media_type

        def send(outcome_unknown: bool) -> Response:
            return self._http.send(
                request,
                self._auth,
                parse_response=_responses.parse_response,
                headers=headers,
                query=query,
                body=None if body is None else json.dumps(body).encode(),
                deadline=deadline,
                outcome_unknown=outcome_unknown,
                receiver=receiver,
            )

        token = self._auth.acquire()
        self._has_written = self._has_written or request.method != "GET"
        response = send(outcome_unknown=False)
        try:
            while self._auth.replace_token(token, response):
                token = ""
                response = send(response.outcome_unknown)
        except (ApiError, CancelledError) as error:
            # No new token is available until the rate limit is refilled, or the task must stop.
            raise error.with_context(
                outcome_unknown=error.outcome_unknown or response.outcome_unknown
            ) from None
        self.last_response = response
        if _responses.is_success(response):
            self.server_time = server_time(response) or self.server_time
        elif not may_fail:
            raise _responses.as_error(response, request)
        return response


def _by_place(values: Iterable[T]) -> dict[str, T]:
    return {str(place): value for place, value in enumerate(values)}


def _accepted(media_type: str, media: str) -> str:
    """Return the media type of a response in another format."""
    if media == "json":
        return media_type
    versioned = media_type.replace("+json", f"+{media}")
    plain = {"gzip": "application/gzip", "csv": "text/csv"}[media]
    return plain if versioned == media_type else versioned


def _parsed(response: Response, request: Request, parse: Callable[[Any], T | None], data: Any) -> T:
    """Return the value that ``parse`` extracts from JSON. Raises UnexpectedResponseError."""
    try:
        value = parse(data)
    except _responses.UnreadableError as error:
        raise _responses.unreadable(response, request, error) from None
    if value is None:
        what = f"is {_responses.describe_body(response)}, not the expected object"
        raise _responses.unexpected(response, request, what)
    return value
