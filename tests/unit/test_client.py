# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client over a scripted transport: success, pages, and incomplete lists."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._auth import (
    BearerAuth,
    ServiceAccountAuth,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import (
    ITEMS_PER_PAGE,
    LISTING_ATTEMPTS,
    LISTING_PAUSE,
    MAX_PAGES,
    Call,
    Client,
    Endpoint,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import (
    MAX_BODY,
    Receiver,
    Response,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import (
    UnreadableError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    AccessToken,
    ServiceAccount,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    ATLAS,
    CLOUD_MANAGER,
    Platform,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    CancelledError,
    DeadlineError,
    KeysmithError,
    Request,
    UnexpectedResponseError,
)
from tests.support import VirtualClock


class FakeHttp:
    """Responds with a function of the query, and records the requests."""

    listing_time = 420.0

    def __init__(self, respond: Callable[[dict[str, str]], tuple[int, Any]]) -> None:
        self.virtual = VirtualClock()
        self.clock = Clock(self.virtual.now, self.virtual.sleep, self.virtual.random)
        self.cancellation = Cancellation(self.clock)
        self.respond = respond
        self.asked: list[dict[str, Any]] = []

    @property
    def busy_time(self) -> float:
        return self.clock.now()

    def send(
        self,
        request: Request,
        _auth: Any,
        *,
        parse_response: Callable[[Response], Response],
        headers: Mapping[str, str],
        query: Mapping[str, str] | None,
        deadline: float | None,
        body: bytes | None,
        outcome_unknown: bool,
        receiver: Receiver | None,
    ) -> Response:
        assert receiver is None
        asked = {"path": request.path, "query": query, "headers": headers}
        if deadline is not None:
            asked["deadline"] = deadline
        self.asked.append(asked if body is None else {**asked, "body": json.loads(body)})
        status, body = self.respond(dict(query or {}))
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return parse_response(Response(status, "", {}, raw))

    def close(self) -> None:
        pass


def to(operation: str, role: str = "") -> Call:
    return Call("/x", operation, role, "2023-01-01")


def client(respond: Callable[[dict[str, str]], tuple[int, Any]], *, envelope: bool = False) -> Any:
    endpoint = Endpoint("https://h", ATLAS, AccessToken("t"), envelope)
    return Client(FakeHttp(respond), BearerAuth("t"), endpoint, print)  # type: ignore[arg-type]


def pages(respond: Callable[[dict[str, str]], tuple[int, Any]]) -> list[Any]:
    return client(respond).pages(to("list"), lambda item: item["id"], str)


def listing(count: int, *, cap: int = ITEMS_PER_PAGE, total: int = -1, links: bool = True) -> Any:
    """A server with ``count`` objects and at most ``cap`` per page."""

    def respond(query: dict[str, str]) -> tuple[int, Any]:
        assert query["itemsPerPage"] == "500"
        start = (int(query["pageNum"]) - 1) * cap
        items = [{"id": str(n)} for n in range(count)][start : start + cap]
        page: dict[str, Any] = {"results": items, "totalCount": count if total == -1 else total}
        if links and start + cap < count:
            page["links"] = [{"rel": "next", "href": "/"}]
        return 200, page

    return respond


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1000, 1001])
@pytest.mark.parametrize("links", [True, False])
def test_every_page_is_read(count: int, links: bool) -> None:
    assert len(pages(listing(count, links=links))) == count


def test_smaller_pages_are_read_to_the_end() -> None:
    assert len(pages(listing(250, cap=100))) == 250
    assert len(pages(listing(250, cap=100, links=False))) == 250


def test_one_page_is_one_request() -> None:
    api = client(listing(7))
    api.pages(to("list"), lambda item: item["id"], str)
    assert len(api._http.asked) == 1


def test_a_low_count_does_not_cause_an_extra_request() -> None:
    api = client(listing(7, total=5, links=False))
    api.pages(to("list"), lambda item: item["id"], str)
    assert len(api._http.asked) == 1


@pytest.mark.parametrize(
    "respond",
    [
        listing(3, total=503),  # a whole page is missing
        listing(500, total=1000),
        listing(501, total=1001, links=False),
        listing(150, cap=100, total=250),  # a page of this server's size is missing
        listing(150, cap=100, total=250, links=False),
        listing(0, total=1),
        lambda query: (
            200,
            {"results": [{"id": "1"}, {"id": "1"}], "totalCount": 2},
        ),  # the same object twice
        lambda query: (200, {"results": [{"id": "1"}], "totalCount": 9}),  # the same page forever
    ],
)
def test_an_incomplete_list_is_an_error(respond: Any) -> None:
    api = client(respond)
    with pytest.raises(UnexpectedResponseError, match="never consistent") as caught:
        api.pages(to("list"), lambda item: item["id"], str)
    assert "try again later" in caught.value.message()
    assert f"read {LISTING_ATTEMPTS} times" in caught.value.message()
    assert caught.value.fields()["method"] == "GET"
    assert api._http.virtual.sleeps == [LISTING_PAUSE] * (LISTING_ATTEMPTS - 1)


@pytest.mark.parametrize(
    ("respond", "count"),
    [
        # It has a next link.
        (listing(150, cap=100, total=100), 150),
        # A page is full, perhaps by coincidence.
        (listing(700, total=400, links=False), 700),
    ],
)
@pytest.mark.parametrize("may_be_bare", [False, True])
def test_a_low_count_does_not_end_the_list(respond: Any, count: int, may_be_bare: bool) -> None:
    assert len(listed(client(respond), may_be_bare=may_be_bare)) == count


@pytest.mark.parametrize("respond", [lambda _query: (200, [{"id": "1"}]), listing(1)])
def test_a_list_without_pages_is_one_request(respond: Any) -> None:
    api = client(respond)
    assert len(listed(api, may_be_bare=True)) == 1
    assert len(api._http.asked) == 1


@pytest.mark.parametrize(
    ("respond", "count", "asked"),
    [
        (listing(3, total=5, links=False), 3, 4),
        (listing(3, total=502, links=False), 3, 4),
        (listing(500, total=501), 500, 4),
        (listing(501, total=1000), 501, 6),
        (listing(150, cap=100, total=249, links=False), 150, 6),
        # A full page is never the last one, despite the count.
        (listing(501, total=500, links=False), 501, 4),
        (listing(500), 500, 4),
    ],
)
def test_the_count_is_an_estimate(respond: Any, count: int, asked: int) -> None:
    api = client(respond)
    assert len(listed(api)) == count
    # Two readings of several pages must be equal. There is no pause between them.
    assert len(api._http.asked) == asked
    assert api._http.virtual.sleeps == []


@pytest.mark.parametrize("totals", [[501, 502, 503] * 2, [0, 501, 3, 0], [499, 0, 0, 500]])
def test_the_count_may_differ_from_page_to_page(totals: list[int]) -> None:
    def respond(query: dict[str, str]) -> tuple[int, Any]:
        return listing(501, total=totals.pop(0))(query)

    assert len(pages(respond)) == 501
    assert totals == []


def test_the_order_of_a_list_may_change() -> None:
    ids = [str(number) for number in range(600)]
    asked = []

    def respond(query: dict[str, str]) -> tuple[int, Any]:
        asked.append(query["pageNum"])
        if query["pageNum"] == "1":
            ids.append(ids.pop(0))
        start = (int(query["pageNum"]) - 1) * 500
        page = [{"id": key_id} for key_id in ids[start : start + 500]]
        return 200, {"results": page, "totalCount": len(ids)}

    assert sorted(pages(respond)) == sorted(ids)
    assert asked == ["1", "2"] * 2


def test_an_unreadable_field_is_identified() -> None:
    def parse(item: Any) -> Any:
        raise UnreadableError("API key 5a", "desc", item["desc"])

    api = client(lambda _query: (200, {"results": [{"desc": 5}], "totalCount": 1, "desc": 5}))
    calls = (
        lambda: api.get(to("list"), parse),
        lambda: api.pages(to("list"), parse, str),
        lambda: api.post(to("list"), {}, parse),
        lambda: api.patch(to("list"), {}, parse),
    )
    for number, call in enumerate(calls):
        with pytest.raises(UnexpectedResponseError) as caught:
            call()
        assert caught.value.message().startswith(
            "Could not list: the response (200) cannot be read: API key 5a: desc is a number."
        )
        # A write may still have happened.
        assert caught.value.outcome_unknown is (number > 1)


def test_an_invalid_page_is_reported_with_the_operation() -> None:
    with pytest.raises(UnexpectedResponseError, match="not the expected list") as caught:
        pages(lambda _query: (200, {"results": 1}))
    assert caught.value.message().startswith("Could not list: ")


@pytest.mark.parametrize("size", [1, MAX_BODY // 2])
def test_an_endless_list_fails_without_a_second_reading(size: int) -> None:
    def respond(query: dict[str, str]) -> tuple[int, Any]:
        items = [{"id": query["pageNum"] + "x" * size}]
        return 200, {"results": items, "totalCount": 9999, "links": [{"rel": "next"}]}

    api = client(respond)
    with pytest.raises(UnexpectedResponseError, match="did not end after") as caught:
        api.pages(to("list"), lambda item: item["id"], str)
    assert "Check that base_url" in caught.value.message()
    assert f"after {len(api._http.asked)} pages" in caught.value.message()
    assert caught.value.fields()["method"] == "GET"
    # The number of pages is limited, and so is their total size.
    assert len(api._http.asked) == (MAX_PAGES if size == 1 else 8)


def test_two_readings_of_several_pages_must_be_equal() -> None:
    # After page 1 was read, a new key replaces one on that page. The count stays the same, and
    # the first key on page 2 moves to page 1.
    ids = [str(number) for number in range(600)]
    asked = []

    def respond(query: dict[str, str]) -> tuple[int, Any]:
        asked.append(query["pageNum"])
        if len(asked) == 2:
            ids.remove("7")
            ids.append("new")
        start = (int(query["pageNum"]) - 1) * 500
        page = [{"id": key_id} for key_id in ids[start : start + 500]]
        return 200, {"results": page, "totalCount": len(ids)}

    api = client(respond)
    found = api.pages(to("list"), lambda item: item["id"], str)
    assert sorted(found) == sorted(ids)
    assert asked == ["1", "2"] * 3
    # The pages are consistent, so there is no pause.
    assert api._http.virtual.sleeps == []


def test_a_list_whose_count_changes_is_read_again() -> None:
    # While page 2 is read, an object on page 1 disappears, and one moves from page 2 to page 1.
    ids = [str(number) for number in range(501)]
    asked = []

    def respond(query: dict[str, str]) -> tuple[int, Any]:
        asked.append(query["pageNum"])
        if len(asked) == 2:
            ids.remove("7")
        start = (int(query["pageNum"]) - 1) * 500
        page = [{"id": key_id} for key_id in ids[start : start + 500]]
        return 200, {"results": page, "totalCount": len(ids)}

    # The first reading misses the moved object, and the count is off by only one.
    assert sorted(pages(respond)) == sorted(ids)
    assert asked == ["1", "2"] * 3


def timed(respond: Any, seconds: float) -> Any:
    """A client whose responses take ``seconds`` each."""
    api = client(respond)

    def slowly(query: dict[str, str]) -> tuple[int, Any]:
        api._http.virtual.time += seconds
        return respond(query)

    api._http.respond = slowly
    return api


def listed(api: Any, **how: Any) -> list[Any]:
    return api.pages(to("list"), lambda item: item["id"], str, **how)


@pytest.mark.parametrize(
    ("respond", "seconds", "asked"),
    [
        (listing(5000), 60, 7),  # of 10 pages
        (listing(1000), 140, 3),  # the second page of the second reading
        (listing(1000), 210, 2),  # the second reading
        (listing(1000), 420, 1),  # the second page of the first reading
        (listing(0, total=5), 210, 2),  # one inconsistent page, read twice
    ],
)
def test_a_list_must_be_complete_in_time(respond: Any, seconds: float, asked: int) -> None:
    api = timed(respond, seconds)
    with pytest.raises(DeadlineError) as caught:
        listed(api)
    assert len(api._http.asked) == asked
    assert caught.value.message() == (
        "Could not list: the list was not complete within 420 s. Check the network to the API, "
        "or raise timeout."
    )
    assert (caught.value.fields()["reason"], caught.value.fields()["path"]) == (
        "timeout",
        "/api/atlas/v2/x",
    )


@pytest.mark.parametrize(
    ("count", "seconds"),
    [
        (499, 9999),  # one page, however long it takes
        (5000, 0.03),
        (4999, 20),  # each page fails from time to time
        (999, 139),
    ],
)
def test_a_list_within_the_time_is_read_to_the_end(count: int, seconds: float) -> None:
    assert len(listed(timed(listing(count), seconds))) == count


@pytest.mark.parametrize(("count", "limit", "asked"), [(1500, 15, 2), (1000, 15, 2), (1000, 25, 3)])
def test_cancellation_stops_a_list_between_pages(count: int, limit: float, asked: int) -> None:
    api = timed(listing(count), 10)
    api.cancellation.set_limit(limit)
    with pytest.raises(CancelledError) as caught:
        listed(api)
    assert len(api._http.asked) == asked
    assert caught.value.message() == (
        f"Could not list: the time limit was reached (time_limit: {limit} s). Increase time_limit, "
        "or run the task again to continue. Nothing was changed."
    )


def test_completing_reads_a_list_to_the_end() -> None:
    api = timed(listing(1500), 10)
    api.cancellation.set_limit(15)
    with api.cancellation.completing():
        assert len(listed(api)) == 1500
    # A list of one page is complete before the limit is checked again.
    one = timed(listing(7), 10)
    one.cancellation.set_limit(5)
    assert len(listed(one)) == 7


@pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
def test_no_request_starts_after_cancellation(method: str) -> None:
    api = timed(lambda _query: (200, {}), 10)
    values: list[Any] = {"get": [parse], "delete": []}.get(method, [{}, parse])
    send = functools.partial(getattr(api, method), to("try"), *values)
    send()
    api.cancellation.set_limit(0)
    with pytest.raises(CancelledError) as caught:
        send()
    assert len(api._http.asked) == 1
    # Nothing was changed if the task has not sent a write.
    is_known = caught.value.state_after == "Nothing was changed."
    assert is_known == (method == "get")
    with api.cancellation.completing():
        send()
    assert len(api._http.asked) == 2


def parse(data: Any) -> bool:
    return isinstance(data, dict)


def test_unexpected_json_is_an_error() -> None:
    with pytest.raises(
        UnexpectedResponseError, match=r"the response \(200\) is JSON, not the expected object"
    ):
        client(lambda _query: (200, {"id": 1})).get(to("x"), lambda _data: None)


def test_an_error_on_a_later_page_is_an_error() -> None:
    def respond(query: dict[str, str]) -> tuple[int, Any]:
        return listing(501)(query) if query["pageNum"] == "1" else (403, {"error": 403})

    with pytest.raises(ApiError) as raised:
        pages(respond)
    assert (raised.value.status, raised.value.type) == (403, "api")


def test_requests_carry_version_and_envelope() -> None:
    api = client(lambda _query: (200, {"status": 200, "content": {"id": 1}}), envelope=True)
    assert api.get(to("read"), lambda data: data) == {"id": 1}
    assert api._http.asked == [
        {
            "path": "/api/atlas/v2/x",
            "query": {"envelope": "true"},
            "headers": {"Accept": "application/vnd.atlas.2023-01-01+json"},
        }
    ]


@pytest.mark.parametrize("method", ["post", "patch"])
def test_a_body_is_json_of_the_versioned_type(method: str) -> None:
    api = client(lambda _query: (200, {"id": "x"}))
    call = getattr(api, method)
    assert call(to("do it"), [{"a": "ü"}], lambda data: data["id"]) == "x"
    media_type = "application/vnd.atlas.2023-01-01+json"
    assert api._http.asked[0]["headers"] == {"Accept": media_type, "Content-Type": media_type}
    assert api._http.asked[0]["body"] == [{"a": "ü"}]


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("GET", lambda api, call: api.get(call, dict)),
        ("GET", lambda api, call: api.pages(call, dict, str)),
        ("POST", lambda api, call: api.post(call, {}, dict)),
        ("PATCH", lambda api, call: api.patch(call, {}, dict)),
        ("DELETE", lambda api, call: api.delete(call)),
        ("GET", lambda api, call: api.is_valid(AccessToken("other"), call)),
    ],
)
def test_an_error_names_the_request_and_the_required_role(method: str, call: Any) -> None:
    api = client(lambda _query: (403, {"error": 403, "errorCode": "X"}))
    with pytest.raises(ApiError) as caught:
        call(api, to("do it", "Organization Owner"))
    message = caught.value.message()
    assert message.startswith("Could not do it: ")
    assert "has the required role (Organization Owner)" in message
    assert caught.value.request == Request(
        method,
        "https://h",
        "/api/atlas/v2/x",
        "do it",
        "Organization Owner",
        credential_name="the access token",
        platform="MongoDB Atlas",
        has_ready_token=True,
    )


def test_a_post_may_return_an_empty_body() -> None:
    api = client(lambda _query: (204, b""))
    assert api.post(to("do it"), {}, lambda data: data == {}) is True


def test_unexpected_json_after_a_post_leaves_the_outcome_unknown() -> None:
    api = client(lambda _query: (200, b"<html>"))
    with pytest.raises(UnexpectedResponseError) as caught:
        api.post(to("x"), {}, lambda data: data if isinstance(data, dict) else None)
    assert caught.value.outcome_unknown


def test_a_contradiction_in_a_response_is_reported_with_its_request() -> None:
    def parse(_data: Any) -> None:
        raise UnexpectedResponseError("it has another name", hint="Check it.")

    api = client(lambda _query: (201, {}))
    response = Response(201, "Created", {}, b"{}", attempts=3, waited=2.5)
    api._http.send = lambda *_args, parse_response, **_more: parse_response(response)
    with pytest.raises(UnexpectedResponseError) as caught:
        api.patch(to("rename it"), {}, parse)
    error = caught.value
    assert (error.status, error.reason, error.attempts, error.waited) == (201, "Created", 3, 2.5)
    assert error.request is not None
    assert error.request.method == "PATCH"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (204, b"", None),
        (200, {}, None),
        (202, b"", None),
        (200, {"status": 204, "content": {}}, None),
        (200, b"<html>sign on</html>", UnexpectedResponseError),
        (200, {"id": "1"}, UnexpectedResponseError),
        (300, b"", UnexpectedResponseError),
        (302, b"", UnexpectedResponseError),
        (200, {"status": 400, "content": {"error": 400, "errorCode": "X"}}, ApiError),
        (500, b"", ApiError),
    ],
)
def test_only_an_empty_success_deletes(
    status: int, body: Any, error: type[Exception] | None
) -> None:
    api = client(lambda _query: (status, body))
    if error is None:
        api.delete(to("revoke it"))
        return
    with pytest.raises(error) as caught:
        api.delete(to("revoke it"))
    message = caught.value.message()  # type: ignore[attr-defined]
    assert "Could not revoke it" in message
    has_content = status == 200 and error is UnexpectedResponseError
    assert ("a successful deletion" in message) is has_content


class Expiring(BearerAuth):
    """A token that is replaced once, or fails to be."""

    def __init__(self, error: KeysmithError | None = None) -> None:
        super().__init__("t")
        self.error = error
        self.calls: list[str] = []

    def acquire(self) -> str:
        return "old"

    def replace_token(self, token: str, _response: Response) -> bool:
        self.calls.append(token)
        if self.error:
            raise self.error
        return token == "old"


def expiring(responses: list[Response], auth: Expiring) -> tuple[Client, list[bool]]:
    http, known = FakeHttp(lambda _query: (200, {})), []

    def send(*_arguments: Any, outcome_unknown: bool, **_more: Any) -> Response:
        known.append(outcome_unknown)
        return responses.pop(0)

    http.send = send  # type: ignore[method-assign]
    endpoint = Endpoint("https://h", ATLAS, AccessToken("t"), envelope=False)
    return Client(http, auth, endpoint, print), known  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome_unknown", [False, True])
def test_a_request_is_sent_again_with_a_new_token(outcome_unknown: bool) -> None:
    refused = Response(401, "", {}, b"", outcome_unknown=outcome_unknown)
    auth = Expiring()
    api, known = expiring([refused, Response(204, "", {}, b"")], auth)
    api.delete(to("revoke it"))
    assert known == [False, outcome_unknown]
    # The second call reports that the new token was used; another one is not fetched.
    assert auth.calls == ["old", ""]


@pytest.mark.parametrize("kind", [ApiError, CancelledError])
@pytest.mark.parametrize("outcome_unknown", [False, True])
def test_a_failed_token_keeps_the_outcome_of_earlier_attempts(
    kind: type[KeysmithError], outcome_unknown: bool
) -> None:
    refused = Response(401, "", {}, b"", outcome_unknown=outcome_unknown)
    api, _known = expiring([refused], Expiring(kind("no token", status=429)))
    with pytest.raises(kind) as caught:
        api.delete(to("revoke it"))
    assert caught.value.outcome_unknown is outcome_unknown


@pytest.mark.parametrize(
    ("platform", "media", "accepted"),
    [
        (ATLAS, "json", "application/vnd.atlas.2023-01-01+json"),
        (ATLAS, "gzip", "application/vnd.atlas.2023-01-01+gzip"),
        (ATLAS, "csv", "application/vnd.atlas.2023-01-01+csv"),
        (CLOUD_MANAGER, "json", "application/json"),
        (CLOUD_MANAGER, "gzip", "application/gzip"),
        (CLOUD_MANAGER, "csv", "text/csv"),
    ],
)
def test_the_format_of_a_response_is_requested(
    platform: Platform, media: str, accepted: str
) -> None:
    api = client(lambda _query: (200, {}))
    api.endpoint = replace(api.endpoint, platform=platform)
    api.call("GET", replace(to("read it"), media=media))
    assert api._http.asked[0]["headers"] == {"Accept": accepted}


def test_a_get_passes_its_deadline_on() -> None:
    api = client(lambda _query: (200, {}))
    api.get(to("read it"), parse, deadline=7.5)
    assert api._http.asked[0]["deadline"] == 7.5


def test_a_download_of_something_else_is_described() -> None:
    api = client(lambda _query: (200, {}))
    response = Response(200, "", {}, b"<html>")
    api._http.send = lambda *_args, parse_response, **_more: parse_response(response)
    with pytest.raises(UnexpectedResponseError, match="an HTML page, not the expected file"):
        api.download(to("download it"), None)


def test_the_last_known_time_of_the_api_is_kept() -> None:
    headers = [{"Date": "Thu, 01 Jan 1970 00:01:40 GMT"}, {}]
    api = client(lambda _query: (200, {}))
    api._http.send = lambda *_args, **_more: Response(204, "", headers.pop(0), b"")
    assert (api.server_time, api.last_response) == (None, None)
    for _request in range(2):
        api.delete(to("revoke it"))
        assert api.server_time == 100


def of_account(*responses: tuple[int, Any]) -> Any:
    """A client whose signing credential is a service account."""
    account, left = ServiceAccount("mdb_sa_id_1", "hidden"), list(responses)
    http = FakeHttp(lambda _query: left.pop(0))

    def send(request: Request, _auth: Any, *, parse_response: Any, **_more: Any) -> Response:
        http.asked.append({"path": request.path})
        status, body = left.pop(0)
        return parse_response(Response(status, "", {}, json.dumps(body).encode()))

    http.send = send  # type: ignore[method-assign]
    auth = ServiceAccountAuth(account, http, "https://h", ATLAS.title, print)  # type: ignore[arg-type]
    endpoint = Endpoint("https://h", ATLAS, account, envelope=False)
    return Client(http, auth, endpoint, print)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "path", "call"),
    [
        ({"access_token": "t0ken"}, "/api/oauth/token", lambda api: api.issue_token().value),
        ({}, "/api/oauth/revoke", lambda api: api.revoke_token("t0ken") or "t0ken"),
    ],
)
def test_a_token_is_neither_issued_nor_revoked_after_cancellation(
    body: Any, path: str, call: Callable[[Any], str]
) -> None:
    api = of_account((200, body))
    assert call(api) == "t0ken"
    for changed, stopped in ((True, api), (False, of_account())):
        stopped.cancellation.set_limit(0)
        with pytest.raises(CancelledError) as caught:
            call(stopped)
        assert (caught.value.fields()["method"], caught.value.fields()["path"]) == ("POST", path)
        assert (caught.value.state_after != "Nothing was changed.") is changed
    assert api._http.asked == [{"path": path}]


def test_the_response_to_a_revocation_must_be_empty() -> None:
    with pytest.raises(UnexpectedResponseError, match="a successful revocation") as caught:
        of_account((200, {"id": 1})).revoke_token("t0ken")
    assert caught.value.fields()["path"] == "/api/oauth/revoke"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {}, True),
        (401, b"", False),
        (401, {"error": 401, "errorCode": "UNEXPECTED_ERROR"}, False),
        (403, {"error": 403, "errorCode": "IP_ADDRESS_NOT_ON_ACCESS_LIST"}, True),
        (403, {"error": 403, "errorCode": "ORG_REQUIRES_ACCESS_LIST"}, True),
    ],
)
def test_only_the_api_decides_whether_a_token_is_valid(
    status: int, body: Any, expected: bool
) -> None:
    api = client(lambda _query: (status, body))
    assert api.is_valid(AccessToken("other"), to("check it")) is expected


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, [], UnexpectedResponseError),
        (200, b"<html>sign on</html>", UnexpectedResponseError),
        (401, b"<html>Unauthorized", ApiError),
        (401, {"error": 401, "errorCode": "USER_UNAUTHORIZED"}, ApiError),
    ],
)
def test_an_unclear_response_about_a_token_is_an_error(
    status: int, body: Any, error: type[KeysmithError]
) -> None:
    api = client(lambda _query: (status, body))
    api.endpoint = replace(api.endpoint, credentials=ServiceAccount("mdb_sa_id_1", "hidden"))
    with pytest.raises(error) as caught:
        api.is_valid(AccessToken("other"), to("check it"))
    assert caught.value.status == status
    assert caught.value.request is not None
    assert caught.value.request.method == "GET"
    # The error is about the token, not about the credential of the task.
    assert caught.value.request.credential_name == "the access token"


def test_an_unreadable_item_of_a_list_without_pages_is_reported() -> None:
    item = [{"id": "1"}]
    for body in (item, {"results": item, "totalCount": 1}):
        api = client(lambda _query, body=body: (200, body))
        with pytest.raises(UnexpectedResponseError, match="not the expected object") as caught:
            api.pages(to("list"), lambda _item: None, str, may_be_bare=True)
        assert caught.value.fields()["path"] == "/api/atlas/v2/x"
