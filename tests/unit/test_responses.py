# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsing responses: envelopes, hidden statuses, errors, and proof of absence."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import Response
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import (
    UnreadableError,
    as_error,
    is_empty,
    is_html,
    is_success,
    page,
    parse_response,
    unreadable,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    KeysmithError,
    Request,
    UnexpectedResponseError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _resource
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
    parse,
)

KEY_ID = "32b6e34b3d91647abb20e7b8"
OTHER_ID = "5d1d143c87d9d63e6d694746"
REQUEST = Request(
    "DELETE",
    "https://cloud.mongodb.com",
    "/api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/" + KEY_ID,
    "revoke the API key",
    required_role="Organization Owner",
    credential_name="the API key abcdefgh",
    platform="MongoDB Atlas",
)
NOT_FOUND = {"error": 400, "errorCode": "API_KEY_NOT_FOUND", "parameters": [KEY_ID]}


def response(status: int, body: Any = b"", content_type: str = "application/json") -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_response(Response(status, "Reason", {"Content-Type": content_type}, raw))


@pytest.mark.parametrize(
    ("http_status", "body", "status", "payload"),
    [
        (200, {"a": 1}, 200, {"a": 1}),
        (200, {"status": 400, "content": NOT_FOUND}, 400, NOT_FOUND),
        (200, {"status": 200, "content": {"a": 1}}, 200, {"a": 1}),
        (200, {"status": 204, "content": {}}, 204, {}),
        (200, {"status": 204, "content": None}, 204, {}),
        (200, {"status": 204, "content": ""}, 204, {}),
        (
            200,
            {"status": 200, "results": [], "totalCount": 0},
            200,
            {"results": [], "totalCount": 0},
        ),
        # The network hid the status, and there is no envelope: the error repeats the status.
        (200, NOT_FOUND, 400, NOT_FOUND),
        # Any HTTP status but a successful one wins over an envelope.
        (502, {"status": 200, "content": {}}, 502, {}),
        (400, {"status": 404, "content": NOT_FOUND}, 400, NOT_FOUND),
        (503, NOT_FOUND, 503, NOT_FOUND),
        (401, {"status": 400, "content": NOT_FOUND}, 401, NOT_FOUND),
        (502, {"status": 400, "content": NOT_FOUND}, 502, NOT_FOUND),
        (404, {"status": 400, "content": NOT_FOUND}, 404, NOT_FOUND),
        (300, NOT_FOUND, 300, NOT_FOUND),
        (199, NOT_FOUND, 199, NOT_FOUND),
        (199, {"status": 200, "content": {}}, 199, {}),
        (300, {"status": 200, "content": {}}, 300, {}),
        (302, {"status": 204, "content": None}, 302, {}),
        (304, {"status": 400, "content": NOT_FOUND}, 304, NOT_FOUND),
        (300, {"status": 200, "results": []}, 300, {"results": []}),
        # Not envelopes.
        (200, {"status": 204}, 200, {"status": 204}),
        (200, {"status": 200, "other": 1}, 200, {"status": 200, "other": 1}),
        (200, {"status": True, "content": {}}, 200, {"status": True, "content": {}}),
        (200, {"status": 9999, "content": {}}, 200, {"status": 9999, "content": {}}),
        (200, {"status": "400", "content": {}}, 200, {"status": "400", "content": {}}),
        (200, b"\xef\xbb\xbf{}", 200, {}),
    ],
)
def test_envelopes_are_removed(http_status: int, body: Any, status: int, payload: Any) -> None:
    parsed = response(http_status, body)
    assert (parsed.status, parsed.payload) == (status, payload)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
        b"NaN",
        b'{"a": Infinity}',
        b"{",
        b"1" * 5000 + b"x",
        b"1" * 41,
        b"1e999",
        b"[" * 101 + b"]" * 101,
        b'{"a": ' * 101 + b"1" + b"}" * 101,
    ],
)
def test_invalid_json_is_not_parsed(body: bytes) -> None:
    assert not response(200, body).is_json


@pytest.mark.parametrize("body", [b"[" * 100 + b"]" * 100, b'{"a": ' * 100 + b"1" + b"}" * 100])
def test_json_of_a_hundred_levels_is_parsed(body: bytes) -> None:
    assert response(200, body).is_json


def test_lone_surrogates_are_replaced() -> None:
    parsed = response(200, rb'{"desc": ["\ud800", {"\udc00": "ok \ud83d\ude00"}]}')
    assert json.dumps(parsed.payload, ensure_ascii=False).encode()
    assert parsed.payload["desc"][1] == {"\ufffd": "ok 😀"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", True),
        (b" \r\n", True),
        ({}, True),
        ({"status": 204, "content": {}}, True),
        ({"status": 200}, False),
        (b"<html>sign in</html>", False),
        (b"null", False),
        ([], False),
        ({"id": "x"}, False),
        ({"status": 200, "content": "<html>"}, False),
        ({"status": 200, "content": {"id": 1}}, False),
    ],
)
def test_a_body_is_empty_only_without_any_data(body: Any, expected: bool) -> None:
    assert is_empty(response(200, body)) is expected


# Codes and parameters of the API's own 404s, which are not about the address.
OF_API: list[tuple[str | None, list[Any]]] = [
    (None, []),
    (None, [KEY_ID]),
    ("UNEXPECTED_ERROR", []),
    ("RESOURCE_NOT_FOUND", [KEY_ID]),
    ("RESOURCE_NOT_FOUND", ["mdb_sa_id_0"]),
    ("SOMETHING_NEW", []),
]


@pytest.mark.parametrize(
    ("status", "code", "parameters", "words"),
    [
        (
            401,
            "UNEXPECTED_ERROR",
            [],
            "Check the API key abcdefgh: it may be wrong, expired or revoked",
        ),
        (401, None, [], "Check the API key abcdefgh"),
        (401, "NO_CURRENT_USER", [], "Check the API key abcdefgh"),
        (
            401,
            "USER_UNAUTHORIZED",
            [],
            r"\. The API key abcdefgh does not have the required role \(Organization Owner\)\.",
        ),
        (401, "NOT_ORG_OWNER", [], r"required role \(Organization Owner\)"),
        (403, "ACCESS_FORBIDDEN", [], "does not have the required role"),
        (
            401,
            "USER_CANNOT_ACCESS_ORG",
            [],
            "Check org_id: the API key abcdefgh belongs to another organization",
        ),
        (401, "NOT_ORG_ADMIN", [], "Check org_id"),
        (
            404,
            "ORG_NOT_FOUND",
            [],
            "no active organization with this ID at https://cloud.mongodb.com",
        ),
        (404, "INVALID_ORG_ID", [], "no active organization"),
        (
            403,
            "IP_ADDRESS_NOT_ON_ACCESS_LIST",
            ["192.0.2.7"],
            "192.0.2.7. Before.*balancer or proxy.*add it to the API access list.*project's",
        ),
        (403, "IP_ADDRESS_NOT_ON_WHITELIST", [], "come from an address that is not on the list. B"),
        (403, "IP_ADDRESS_NOT_ON_WHITELIST", [None], "from an address that is not on the list. B"),
        (403, "IP_ADDRESS_NOT_ON_WHITELIST", [f"{'x' * 30} {'x' * 30}"], "come from x{30} …. Bef"),
        (403, "ORG_REQUIRES_ACCESS_LIST", ["192.0.2.7"], "has no API access list"),
        (
            403,
            "RESOURCE_REQUIRES_WHITELIST",
            [],
            "has no API access list",
        ),
        (404, "NOT_ATLAS_ORG", [], "platform to cloud_manager or ops_manager"),
        (404, "NOT_ATLAS_GROUP", [], "platform to cloud_manager or ops_manager"),
        (404, "EXPECTED_NON_ATLAS_ORG", [], "platform to atlas"),
        (404, "ATLAS_GROUP", [], "platform to atlas"),
        (
            404,
            "RESOURCE_NOT_FOUND",
            ["/api/x"],
            "Check base_url and platform.*not prove that anything is missing",
        ),
        (500, "RESOURCE_NOT_FOUND", ["/api/x"], "Check base_url and platform"),
        (500, "RESOURCE_NOT_FOUND", ["5b"], "internal problem"),
        (400, "PATH_PARAM_PARSE_ERROR", [], "24 hexadecimal digits"),
        (
            403,
            "API_KEY_ACCESS_LIST_ACCESS_DENIED",
            [],
            "Only the key itself and an Organization Owner",
        ),
        (
            403,
            "API_KEY_WHITELIST_ACCESS_DENIED",
            [],
            "Only the key itself and an Organization Owner",
        ),
        (400, "MAX_API_KEYS_PER_ORG_EXCEEDED", [], "reached its maximum"),
        (400, "MAX_PUBLIC_API_KEY_REACHED", [], "reached its maximum"),
        (400, "API_KEY_NOT_FOUND", [OTHER_ID], f"about {OTHER_ID}, not about this key"),
        (403, "API_KEY_NOT_FOUND", [OTHER_ID], f"about {OTHER_ID}, not about this key"),
        (404, "API_KEY_NOT_FOUND", [None, OTHER_ID], f"about {OTHER_ID}, not about this key"),
        (404, "API_KEY_NOT_FOUND", [None], "about something else, not about this key"),
        (403, "API_KEY_NOT_FOUND", [KEY_ID], "status 400 or 404. With status 403"),
        (500, "API_KEY_NOT_FOUND", [], "status 400 or 404. With status 500"),
        (400, "API_KEY_NOT_FOUND", [OTHER_ID, KEY_ID], "does not prove that the key is gone"),
        (404, "API_KEY_NOT_FOUND", [], "does not prove that the key is gone"),
        (402, "ACCOUNT_SUSPENDED", [], "suspended"),
        (403, "UNSUPPORTED_FOR_CURRENT_PLAN", [], "plan"),
        (403, "FEATURE_UNSUPPORTED", [], "plan"),
        (403, "SOMETHING_NEW", [], "has the required role .*and that its API access list contains"),
        *(
            (404, code, thing, "in the path does not exist at .*check org_id")
            for code, thing in OF_API
        ),
        (405, "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES", [], "Try again later"),
        (406, "INVALID_VERSION_DATE", [], "does not support the API version"),
        (407, None, [], "proxy"),
        (410, "VERSION_GONE", [], "update the collection"),
        (429, "RATE_LIMITED_TOKEN_BUCKET", [], "rate limit was exceeded"),
        (500, "UNEXPECTED_ERROR", [], "internal problem"),
        (400, "SOMETHING_NEW", [], "Compare the task's options"),
    ],
)
def test_an_error_says_what_to_check(
    status: int, code: str | None, parameters: list[Any], words: str
) -> None:
    import re

    body = {"error": status, "detail": "The API's words.", "parameters": parameters}
    error = as_error(response(status, {**body, **({"errorCode": code} if code else {})}), REQUEST)
    assert isinstance(error, ApiError)
    message = error.message()
    assert re.search(words, message), message
    assert message.startswith(f"Could not revoke the API key: the API returned {status}")
    assert "The API's words" in message
    assert error.fields() == {
        "type": "limit" if status == 429 else "api",
        "status": status,
        "code": code,
        "reason": "Reason",
        "detail": "The API's words.",
        "parameters": parameters,
        "method": "DELETE",
        "path": REQUEST.path,
    }


def test_a_404_of_a_web_framework_means_a_wrong_address() -> None:
    body = {"status": 404, "error": "Not Found", "path": "/api/atlas/v2/orgs"}
    assert "Check base_url and platform" in as_error(response(404, body), REQUEST).message()


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        ("0", "returned 429 X."),
        ("7", "returned 429 X, and asks to wait 7 s."),
        ("86400", "returned 429 X, and asks to wait 86400 s."),
        ("86401", "returned 429 X, and asks to wait more than a day."),
    ],
)
def test_an_error_quotes_retry_after(wait: str, words: str) -> None:
    body = json.dumps({"error": 429, "errorCode": "X"}).encode()
    error = as_error(parse_response(Response(429, "", {"Retry-After": wait}, body)), REQUEST)
    assert words in error.message()


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        (["a", 1, 1.5, True, None, ["b"], {"c": 1}], ["a", 1, 1.5, True, *[None] * 3]),
        ([f"{'x' * 100} {'x' * 100}"], [f"{'x' * 100} …"]),
        ("a", ["a"]),
        ({"c": 1}, [None]),
        ([], []),
        (None, []),
    ],
)
def test_parameters_other_than_text_and_numbers_become_none(
    parameters: Any, shown: list[Any]
) -> None:
    error = as_error(response(400, {"errorCode": "X", "parameters": parameters}), REQUEST)
    assert error.parameters == shown


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ([], False),
        ([{"rel": "self"}, {"rel": "next"}], True),
        ([{"rel": "self"}, "next", {"REL": "next"}, {"rel": "NEXT"}], False),
    ],
)
def test_a_next_link_means_another_page(links: Any, expected: bool) -> None:
    found = page(response(200, {"results": [], "totalCount": 0, "links": links}), REQUEST)
    assert found.has_next is expected


def test_an_oauth_error_is_parsed() -> None:
    body = {"error": "invalid_client", "error_description": "Invalid credentials provided."}
    error = as_error(response(401, body), REQUEST)
    assert (error.code, error.detail) == ("invalid_client", "Invalid credentials provided.")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b"<!DOCTYPE html><p>not here", UnexpectedResponseError),
        (404, b"", UnexpectedResponseError),
        (400, b"Bad Request", UnexpectedResponseError),
        (403, b"<html>blocked", UnexpectedResponseError),
        (404, {"message": "no Route matched"}, UnexpectedResponseError),
        (404, [NOT_FOUND], UnexpectedResponseError),
        (302, b"", UnexpectedResponseError),
        (304, b"", UnexpectedResponseError),
        # Gateways return these with their own text.
        (401, b"<html>Unauthorized", ApiError),
        (502, b"<html>Bad Gateway", ApiError),
        (429, b"slow down", ApiError),
    ],
)
def test_errors_other_than_the_apis_are_unexpected(
    status: int, body: Any, kind: type[KeysmithError]
) -> None:
    error = as_error(response(status, body, "text/html"), REQUEST)
    assert isinstance(error, kind)
    assert isinstance(error, ApiError) is (kind is ApiError)
    assert error.status == status


@pytest.mark.parametrize(
    ("media_type", "body", "kind"),
    [
        ("Text/HTML; charset=utf-8", b"sign on", "an HTML page"),
        ("", b" \n<p>", "an HTML page"),
        ("Application/JSON;v=1", b"{", "invalid JSON"),
        ("application/json", b"[1]", "JSON"),
        ("text/plain; charset=utf-8", b"no <p>", "not JSON (text/plain)"),
        ("", b"no", "not JSON"),
        (f"{'x' * 30} {'x' * 30}", b"no", f"not JSON ({'x' * 30} …)"),
        ("application/json", b" ", "empty"),
        ("application/json", b'{"status": 404, "content": null}', "empty"),
    ],
)
def test_an_unexpected_body_is_described(media_type: str, body: bytes, kind: str) -> None:
    message = as_error(response(404, body, media_type), REQUEST).message()
    assert f"the response (404 Reason) is {kind}, not an API error." in message


@pytest.mark.parametrize(
    ("status", "base_url", "is_named"),
    [
        (400, "https://h", True),
        (403, "https://h", True),
        (404, "https://h", False),
        (400, "http://h", False),
    ],
)
def test_a_400_or_403_over_tls_suggests_a_client_certificate(
    status: int, base_url: str, is_named: bool
) -> None:
    """nginx returns 400 "No required SSL certificate was sent"."""
    error = as_error(response(status, b"<html>", "text/html"), replace(REQUEST, base_url=base_url))
    message = error.message()
    assert ("client_cert and client_key" in message) is is_named
    assert is_named or "anything is missing. The request may" in message


@pytest.mark.parametrize("before", range(0, 2100, 50))
def test_a_word_is_never_cut_in_half(before: int) -> None:
    """Ansible does not mask half of a secret."""
    secret = "ca11ab1e-0000-4000-8000-0000000000a1"
    for text in ("x" * before + f" {secret} " + "y" * 3000, "x " * before + secret + " y" * 3000):
        body = {"error": 400, "errorCode": text, "detail": text, "parameters": [text]}
        error = as_error(response(400, body), REQUEST)
        shown = (error.message() + json.dumps(error.fields())).replace(secret, "")
        assert "ca11" not in shown
        assert "00a1" not in shown


@pytest.mark.parametrize("name", ["error", "errorCode"])
def test_a_code_is_shorter_than_a_detail(name: str) -> None:
    text = "x " * 500
    error = as_error(response(400, {name: text, "detail": text}), REQUEST)
    assert len(error.fields()["code"]) < 150
    assert name == "error" or len(error.fields()["detail"]) > 500


def test_a_body_without_a_type_is_described() -> None:
    message = as_error(Response(404, "", {}, b"no"), REQUEST).message()
    assert "is not JSON, not an API error." in message


def test_hostile_text_is_sanitized() -> None:
    body = {"error": 400, "errorCode": "X\x1b[31m", "detail": "a\r\nb\x00" + "c" * 9999}
    error = as_error(response(400, body), REQUEST)
    assert error.message().isprintable()
    assert len(error.message()) < 1000


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=8,
)
CODES = st.sampled_from(["API_KEY_NOT_FOUND", "ORG_NOT_FOUND", "RESOURCE_NOT_FOUND"]) | st.text()
ERRORS = st.fixed_dictionaries(
    {},
    optional={
        "error": SCALARS | st.sampled_from([400, 404, 401]),
        "errorCode": CODES | JSON,
        "detail": JSON,
        "reason": JSON,
        "parameters": st.lists(st.just(KEY_ID) | SCALARS) | JSON,
        "status": st.sampled_from([200, 204, 400, 404, 500]) | SCALARS,
        "results": JSON,
    },
)
ENVELOPES = st.builds(
    lambda status, content: {"status": status, "content": content},
    st.sampled_from([200, 204, 400, 401, 404, 500]) | SCALARS,
    ERRORS | JSON,
)
BODIES = (
    st.binary(max_size=200)
    | (ERRORS | ENVELOPES | JSON).map(lambda value: json.dumps(value).encode())
    | ERRORS.map(lambda value: json.dumps(value).encode()[:-1])
)
STATUSES = st.sampled_from([200, 204, 301, 400, 401, 403, 404, 429, 500, 503]) | st.integers(
    100, 599
)


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def says_missing(status: int, body: bytes) -> bool:
    """The oracle: whether the raw bytes are the API's own error for a missing key."""
    try:
        data = json.loads(body.decode("utf-8-sig"))
    except ValueError:
        return False
    if isinstance(data, dict) and set(data) == {"status", "content"} and is_int(data["status"]):
        status, data = data["status"] if 200 <= status < 300 else status, data["content"]
    if not isinstance(data, dict) or data.get("errorCode") != "API_KEY_NOT_FOUND":
        return False
    parameters = data.get("parameters")
    speaks_of_another = parameters not in (None, [], KEY_ID) and not (
        isinstance(parameters, list) and KEY_ID in parameters
    )
    # The status in the error wins over a successful status.
    statuses = {status}
    if 200 <= status < 300:
        statuses |= {n for n in (data.get("error"), data.get("status")) if is_int(n)}
    return not speaks_of_another and bool(statuses & {400, 404})


@given(STATUSES, BODIES)
@example(200, b'{"status": 404, "content": {"errorCode": "API_KEY_NOT_FOUND"}}')
@example(300, b'{"status": 200, "results": null, "error": 400, "errorCode": "API_KEY_NOT_FOUND"}')
@example(404, b"<html>")
@example(400, b'{"errorCode": ["API_KEY_NOT_FOUND"]}')
@example(400, b'{"error": 400, "errorCode": "API_KEY_NOT_FOUND", "parameters": [null]}')
@example(400, b'{"error": 400, "errorCode": "API_KEY_NOT_FOUND", "parameters": {"id": "x"}}')
def test_any_response_can_be_reported_without_guessing(status: int, body: bytes) -> None:
    parsed = response(status, body)
    if is_success(parsed):
        is_empty(parsed)
        return
    error = as_error(parsed, REQUEST)
    assert error.message().isprintable()
    assert json.dumps(error.fields())
    if isinstance(error, ApiError) and _resource.says_missing(error, API_KEYS, KEY_ID):
        assert says_missing(status, body)


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("enveloped", [False, True])
@pytest.mark.parametrize("parameters", [[KEY_ID], [], None])
def test_the_apis_own_error_proves_absence(status: int, enveloped: bool, parameters: Any) -> None:
    body = {"error": status, "errorCode": "API_KEY_NOT_FOUND", "parameters": parameters}
    sent = (200, {"status": status, "content": body}) if enveloped else (status, body)
    error = as_error(response(*sent), REQUEST)
    assert isinstance(error, ApiError)
    assert _resource.says_missing(error, API_KEYS, KEY_ID)
    assert says_missing(sent[0], json.dumps(sent[1]).encode())


KEYS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just(KEY_ID) | JSON,
        "desc": st.text() | JSON,
        "publicKey": st.text() | JSON,
        "roles": st.lists(
            st.fixed_dictionaries(
                {},
                optional={"roleName": st.text() | JSON, "orgId": JSON, "groupId": st.text() | JSON},
            )
            | JSON
        )
        | JSON,
    },
)


@given(KEYS | JSON)
def test_any_json_can_be_parsed_as_a_key(data: Any) -> None:
    key, told = None, "none"
    try:
        key = parse(data)
    except UnreadableError as error:
        told = str(error)
    assert re.fullmatch(r"[ -~]{1,120}", told)
    if key is not None:
        assert isinstance(key, OrgApiKey)
        assert data["id"] == key.id
        assert (data.get("desc") or "") == key.description
        assert json.dumps(key.result())


def test_a_key_is_read_with_its_roles_sorted() -> None:
    key = parse(
        {
            "id": KEY_ID,
            "desc": "backup",
            "publicKey": "zmmrboas",
            "privateKey": "********-****-****-db2c132ca78d",
            "roles": [
                {"roleName": "ORG_OWNER", "orgId": "5980cfdf0b6d97029d82f86e"},
                {"roleName": "GROUP_OWNER", "groupId": "b" * 24},
                {"roleName": "GROUP_READ_ONLY", "groupId": "a" * 24},
                {"roleName": "GROUP_DATA_ACCESS_ADMIN", "groupId": "b" * 24},
                {"roleName": "ORG_MEMBER", "orgId": "5980cfdf0b6d97029d82f86e"},
            ],
            "links": [],
        }
    )
    assert key is not None
    assert key.result() == {
        "id": KEY_ID,
        "public_key": "zmmrboas",
        "created_at": "1996-12-17T18:15:39Z",
        "description": "backup",
        "roles": ["ORG_MEMBER", "ORG_OWNER"],
        "projects": [
            {"project_id": "a" * 24, "roles": ["GROUP_READ_ONLY"]},
            {"project_id": "b" * 24, "roles": ["GROUP_DATA_ACCESS_ADMIN", "GROUP_OWNER"]},
        ],
    }
    assert "db2c132ca78d" not in repr(key)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"results": {}},
        {"results": [1]},
        {"results": [], "totalCount": "0"},
        {"results": [], "totalCount": True},
        {"results": [], "totalCount": 0, "links": {}},
        {"results": []},
        {"results": [], "totalCount": -3},
        {"results": [], "totalCount": 0, "errorCode": "UNEXPECTED_ERROR"},
        [],
        "x",
    ],
)
def test_an_invalid_page_is_unexpected(payload: Any) -> None:
    with pytest.raises(UnexpectedResponseError, match=r"the response \(200.*not the expected list"):
        page(response(200, payload), REQUEST)


@pytest.mark.parametrize(
    ("media_type", "body", "expected"),
    [
        ("text/html", b"sign on", True),
        ("", b" \n<HTML>", True),
        ("", b"\n<!DOCTYPE html>", True),
        ("", b"<html lang='en'> \n", True),
        ("", b"<p>", False),
        ("text/plain", b"an <html> page", False),
    ],
)
def test_html_is_recognized(media_type: str, body: bytes, expected: bool) -> None:
    assert is_html(response(200, body, media_type)) is expected


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("status", "body"),
    [(500, {"error": 500, "errorCode": "X", "reason": "Its reason"}), (404, b"<html>")],
)
def test_an_error_keeps_the_attempts_and_the_reason(method: str, status: int, body: Any) -> None:
    found = replace(response(status, body), attempts=3, waited=2.5)
    error = as_error(found, replace(REQUEST, method=method))
    reason = "Reason" if isinstance(body, bytes) else "Its reason"
    assert (error.attempts, error.waited, error.reason) == (3, 2.5, reason)
    assert error.outcome_unknown is (method == "DELETE")


@pytest.mark.parametrize(
    ("code", "detail", "words"),
    [
        (None, None, "returned 500 Reason."),
        ("X", None, "returned 500 X."),
        ("X", "The words.", 'returned 500 X, "The words".'),
        ("X", "The words...", 'returned 500 X, "The words".'),
        ("X", "It has an X.", 'returned 500 X, "It has an X".'),
    ],
)
def test_an_error_quotes_the_api(code: str | None, detail: str | None, words: str) -> None:
    body = {"error": 500, "errorCode": code, "detail": detail}
    assert words in as_error(response(500, body), REQUEST).message()


def test_an_error_without_any_reason_has_only_a_status() -> None:
    error = as_error(parse_response(Response(500, "", {}, b"{}")), REQUEST)
    assert "returned 500." in error.message()


def test_an_unreadable_field_leads_to_the_address_and_the_platform() -> None:
    cause = UnreadableError("API key 5a", "desc", 5)
    message = unreadable(response(200, {}), REQUEST, cause).message()
    assert f"base_url ({REQUEST.base_url}) is the address of MongoDB Atlas" in message
    assert "newer version of this collection" in message
