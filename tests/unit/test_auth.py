# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digest with the standard's examples, and tokens: signing, challenges and replacement."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._auth import (
    MAX_LIFETIME,
    BearerAuth,
    Challenge,
    DigestAuth,
    IssuedToken,
    ServiceAccountAuth,
    choose_auth,
    digest_header,
    find_challenges,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import Auth, Response
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    AccessToken,
    KeyPair,
    ServiceAccount,
    is_header_safe,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    CancelledError,
    KeysmithError,
    LostResponseError,
    Request,
    TimeLimitError,
    UnexpectedResponseError,
)

URL = "https://host.example:8443"
# RFC 7616, section 3.9.1.
REALM = "http-auth@example.org"
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
# What Atlas and Ops Manager send (docs/apis.md: Authentication).
RECORDED = (
    'Digest realm="MMS Public API", domain="", nonce="pBvkOwxqk7a3QAKmp0aNLfXhqNEaV+1d", '
    'algorithm=MD5, qop="auth", stale=false'
)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_matches_the_standard(algorithm: str, response: str) -> None:
    challenge = Challenge(REALM, NONCE, algorithm, "auth", OPAQUE)
    header = digest_header(
        KeyPair("Mufasa", "Circle of Life"),
        challenge,
        "GET",
        "/dir/index.html",
        count=1,
        cnonce=CNONCE,
    )
    assert f'response="{response}"' in header
    assert f'opaque="{OPAQUE}"' in header
    assert "nc=00000001" in header
    assert f"algorithm={algorithm}," in header


def test_quoted_values_are_escaped() -> None:
    challenge = Challenge('a "b"', "n", opaque="c\\d")
    header = digest_header(KeyPair("u", "p"), challenge, "GET", "/", count=1, cnonce="x")
    assert header.startswith('Digest username="u", realm="a \\"b\\"", nonce="n", uri="/", ')
    assert 'opaque="c\\\\d"' in header


def test_digest_without_qop_matches_the_older_standard() -> None:
    # RFC 2617's example data, hashed as in RFC 2069.
    challenge = Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
    header = digest_header(
        KeyPair("Mufasa", "Circle Of Life"),
        challenge,
        "GET",
        "/dir/index.html",
        count=1,
        cnonce="x",
    )
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in header
    assert "qop" not in header
    assert "cnonce" not in header


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            RECORDED,
            [Challenge("MMS Public API", "pBvkOwxqk7a3QAKmp0aNLfXhqNEaV+1d", "MD5", "auth")],
        ),
        # A misprint in Ops Manager's documentation.
        ('Digest realm="r", nonce="n", op="auth"', [Challenge("r", "n")]),
        ('digest nonce=n,realm="a \\"b\\", c"', [Challenge('a "b", c', "n")]),
        ('Digest realm="r", nonce="n", stale=TRUE', [Challenge("r", "n", is_stale=True)]),
        ('Digest realm="r", nonce="n", opaque=""', [Challenge("r", "n", opaque="")]),
        ('Digest realm="r", nonce="n", qop="auth-int, auth"', [Challenge("r", "n", qop="auth")]),
        ('Digest realm="r", nonce="n", qop="Auth,auth-int"', [Challenge("r", "n", qop="auth")]),
        ('Digest realm="r", nonce="n", qop="auth-int"', []),
        (
            'Basic realm="x", Digest realm="r", nonce="1", algorithm=SHA-256, Digest realm="r", '
            'nonce="2", algorithm=MD5',
            [Challenge("r", "1", "SHA-256"), Challenge("r", "2", "MD5")],
        ),
        ('Digest realm="r", nonce="n", algorithm=MD5-sess', [Challenge("r", "n", "MD5-SESS")]),
        ('Basic realm="r", nonce="n"', []),
        ('Digest realm="r"', []),
        ('Digest realm="r", nonce="a\r\n b"', []),
        ("Negotiate", []),
        ("", []),
    ],
)
def test_challenges_are_parsed(header: str, expected: list[Challenge]) -> None:
    assert find_challenges(header) == expected


@given(st.text(max_size=300))
def test_any_challenge_header_can_be_parsed(header: str) -> None:
    for challenge in find_challenges("Digest " + header):
        assert challenge.nonce.isprintable()


def refused(header: str = RECORDED, code: str | None = None) -> Response:
    payload = None if code is None else {"errorCode": code}
    return Response(
        401, "Unauthorized", {"WWW-Authenticate": header}, b"", payload, code is not None
    )


def sign(auth: BearerAuth | DigestAuth) -> str:
    prepared: Any = SimpleNamespace(method="GET", path_url="/x?y=1", headers={})
    auth(prepared)
    return str(prepared.headers.get("Authorization", ""))


def test_a_nonce_is_reused_with_a_counter() -> None:
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    assert sign(auth) == ""
    assert auth.handle_challenge(refused())
    signed = [sign(auth), sign(auth)]
    assert "nc=00000001" in signed[0]
    assert "nc=00000002" in signed[1]
    assert 'uri="/x?y=1"' in signed[0]


def test_one_challenge_serves_all_threads() -> None:
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    auth.handle_challenge(refused())
    signed = [sign(auth)]
    thread = threading.Thread(target=lambda: signed.append(sign(auth)))
    thread.start()
    thread.join()
    assert "nc=00000002" in signed[1]


def test_a_long_algorithm_is_truncated() -> None:
    header = f'Digest realm="r", nonce="n", algorithm="{"x" * 20} {"y" * 20}"'
    with pytest.raises(UnexpectedResponseError, match=rf"algorithm {'X' * 20} …\)$"):
        DigestAuth(KeyPair("abcdefgh", "x")).handle_challenge(refused(header))


@pytest.mark.parametrize(
    ("value", "expected"), [("!~", True), ("", False), (" ", False), ("a\x7f", False), ("é", False)]
)
def test_only_visible_ascii_is_header_safe(value: str, expected: bool) -> None:
    assert is_header_safe(value) is expected


def test_a_rejected_new_nonce_means_a_wrong_key_pair() -> None:
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    auth.handle_challenge(refused())
    sign(auth)
    assert not auth.handle_challenge(refused())


def test_a_stale_nonce_is_replaced() -> None:
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    auth.handle_challenge(refused())
    sign(auth)
    assert auth.handle_challenge(refused(RECORDED.replace("stale=false", "stale=true")))
    assert "nc=00000001" in sign(auth)


def test_a_reused_nonce_is_replaced_unless_the_401_has_another_reason() -> None:
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    auth.handle_challenge(refused())
    sign(auth)
    sign(auth)
    assert not auth.handle_challenge(refused(code="USER_UNAUTHORIZED"))
    assert auth.handle_challenge(refused(code="UNEXPECTED_ERROR"))
    sign(auth)
    sign(auth)
    assert auth.handle_challenge(replace(refused(), payload=["not an error"], is_json=True))


@pytest.mark.parametrize(
    "header", ["", 'Basic realm="x"', 'Digest realm="r", nonce="n", algorithm=SHA-512-256']
)
def test_a_401_without_a_supported_digest_is_unexpected(header: str) -> None:
    with pytest.raises(UnexpectedResponseError) as caught:
        DigestAuth(KeyPair("abcdefgh", "x")).handle_challenge(refused(header))
    assert (caught.value.status, caught.value.reason) == (401, "Unauthorized")
    assert "without a supported Digest" in caught.value.message()
    assert ("SHA-512-256" in caught.value.message()) == ("SHA-512-256" in header)
    message = caught.value.message()
    assert ("Digest challenge. " in message) is ("(algorithm " not in message)


def test_an_access_token_cannot_be_replaced() -> None:
    auth = choose_auth(AccessToken("t0ken"), None, "", "", print)  # type: ignore[arg-type]
    assert sign(auth) == "Bearer t0ken"
    assert not auth.handle_challenge(refused())


class TokenServer:
    """A stand-in for Http with scripted responses, which records the requests."""

    clock = SimpleNamespace(now=lambda: 100.0)

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[Any, ...]] = []

    def send(
        self,
        request: Request,
        auth: Any,
        *,
        parse_response: Any,
        headers: Any,
        body: bytes,
        deadline: Any,
    ) -> Response:
        # The base class, which signs nothing.
        assert auth.__class__ is Auth
        self.asked.append((request, headers, parse_qs(body.decode()), deadline))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        headers = CaseInsensitiveDict({"Date": "Thu, 01 Jan 1970 00:02:03 GMT"})
        return parse_response(Response(200, "OK", headers, json.dumps(outcome).encode()))


def account_auth(server: TokenServer, concealed: list[str]) -> ServiceAccountAuth:
    account = ServiceAccount("mdb_sa_id_1", "hidden")
    return ServiceAccountAuth(account, server, URL, "MongoDB Atlas", concealed.append)  # type: ignore[arg-type]


def token_request(endpoint: str, operation: str) -> Request:
    credential_name = "the service account mdb_sa_id_1"
    path = f"/api/oauth/{endpoint}"
    return Request(
        "POST", URL, path, operation, credential_name=credential_name, platform="MongoDB Atlas"
    )


def test_a_token_is_fetched_masked_and_revoked() -> None:
    concealed: list[str] = []
    server = TokenServer({"access_token": "t0ken"}, {})
    auth = account_auth(server, concealed)
    auth.acquire()
    auth.acquire()
    assert concealed == ["t0ken"]
    assert sign(auth) == "Bearer t0ken"
    auth.release()
    auth.release()
    headers = {
        "Accept": "application/json",
        "Authorization": f"Basic {base64.b64encode(b'mdb_sa_id_1:hidden').decode()}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    get = token_request("token", "get an access token for the service account mdb_sa_id_1")
    revoke = token_request("revoke", "revoke the access token")
    revoked = {"token": ["t0ken"], "token_type_hint": ["access_token"]}
    assert server.asked == [
        (get, headers, {"grant_type": ["client_credentials"]}, None),
        (revoke, headers, revoked, 105.0),
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"token_type": "Other", "expires_in": 3600}, ("Other", 3600)),
        ({"token_type": "a b\n", "expires_in": 0}, ("Bearer", 0)),
        ({"token_type": 1, "expires_in": True}, ("Bearer", None)),
        ({"expires_in": MAX_LIFETIME}, ("Bearer", MAX_LIFETIME)),
        ({"expires_in": MAX_LIFETIME + 1}, ("Bearer", None)),
        ({"expires_in": -1}, ("Bearer", None)),
        ({}, ("Bearer", None)),
    ],
)
def test_a_token_has_its_type_and_lifetime(fields: Any, expected: tuple[str, Any]) -> None:
    server = TokenServer({"access_token": "t0ken", **fields})
    found = account_auth(server, []).fetch_token()
    # The server's time is in seconds since 1970.
    assert found == IssuedToken("t0ken", *expected, 123.0)


@pytest.mark.parametrize("secret", [None, "hidden"])
def test_an_error_of_the_token_endpoint_names_the_platform(secret: str | None) -> None:
    server = TokenServer({})
    account: Any = ServiceAccount("mdb_sa_id_1", "hidden")
    if secret:
        account = AccessToken("ready", account.client_id, secret)
    auth: Any = choose_auth(account, server, URL, "MongoDB Atlas", print)  # type: ignore[arg-type]
    with pytest.raises(UnexpectedResponseError) as caught:
        auth.fetch_token()
    operation = "get an access token for the service account mdb_sa_id_1"
    assert caught.value.request == token_request("token", operation)


def tokens(*names: str) -> list[Any]:
    return [{"access_token": name} for name in names]


def test_an_expired_token_is_replaced() -> None:
    concealed: list[str] = []
    server = TokenServer(*tokens("one", "two"), {})
    auth = account_auth(server, concealed)
    assert [auth.acquire(), auth.acquire()] == ["", "one"]
    assert auth.replace_token("one", refused(code="UNEXPECTED_ERROR"))
    assert sign(auth) == "Bearer two"
    assert concealed == ["one", "two"]
    auth.release()
    assert server.asked[-1][2]["token"] == ["two"]


def test_a_ready_token_is_replaced_but_not_revoked() -> None:
    concealed: list[str] = []
    server = TokenServer(*tokens("own"), {})
    ready = AccessToken("ready", "mdb_sa_id_1", "hidden")
    auth = choose_auth(ready, server, URL, "MongoDB Atlas", concealed.append)  # type: ignore[arg-type]
    assert auth.acquire() == "ready"
    assert sign(auth) == "Bearer ready"
    auth.release()
    assert server.asked == []
    assert auth.replace_token("ready", refused(code="UNEXPECTED_ERROR"))
    assert sign(auth) == "Bearer own"
    assert concealed == ["own"]
    auth.release()
    auth.release()
    assert [form.get("token") for _request, _headers, form, _deadline in server.asked] == [
        None,
        ["own"],
    ]


def test_a_new_token_that_is_rejected_is_not_replaced() -> None:
    server = TokenServer(*tokens("one", "two", "three"))
    auth = account_auth(server, [])
    assert not auth.replace_token(auth.acquire(), refused())
    # Nor is it replaced for the next request.
    assert not auth.replace_token(auth.acquire(), refused())
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "response", [refused(code="USER_CANNOT_ACCESS_ORG"), Response(403, "Forbidden", {}, b"")]
)
def test_a_refusal_for_another_reason_does_not_replace_the_token(response: Response) -> None:
    server = TokenServer(*tokens("one", "two"))
    auth = account_auth(server, [])
    auth.acquire()
    assert not auth.replace_token(auth.acquire(), response)
    assert len(server.asked) == 1


def test_the_401_is_reported_if_there_is_no_new_token() -> None:
    failure = LostResponseError("lost", request=token_request("token", "get it"))
    auth = account_auth(TokenServer(*tokens("one"), failure, *tokens("two")), [])
    auth.acquire()
    assert not auth.replace_token(auth.acquire(), refused())
    assert sign(auth) == "Bearer one"
    assert auth.replace_token(auth.acquire(), refused())
    assert sign(auth) == "Bearer two"


@pytest.mark.parametrize(
    "failure",
    [ApiError("refused", status=429), TimeLimitError("over"), CancelledError("stopped")],
)
def test_a_limit_that_prevents_a_new_token_is_reported(failure: KeysmithError) -> None:
    auth = account_auth(TokenServer(*tokens("one"), failure), [])
    auth.acquire()
    with pytest.raises(type(failure)):
        auth.replace_token(auth.acquire(), refused())


def test_threads_share_the_new_token() -> None:
    server = TokenServer(*tokens("one", "two"))
    auth = account_auth(server, [])
    auth.acquire()
    together = threading.Barrier(8)
    signed: list[str] = []

    def run() -> None:
        token = auth.acquire()
        together.wait(10)
        assert auth.replace_token(token, refused())
        signed.append(sign(auth))

    threads = [threading.Thread(target=run) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert signed == ["Bearer two"] * 8
    assert len(server.asked) == 2


@pytest.mark.parametrize("payload", [*({"access_token": t} for t in ("a\nb", "", 5, None)), {}, []])
def test_an_invalid_token_is_an_error(payload: Any) -> None:
    concealed: list[str] = []
    server = TokenServer(payload)
    auth = account_auth(server, concealed)
    with pytest.raises(UnexpectedResponseError) as caught:
        auth.acquire()
    assert "contains no access token" in caught.value.message()
    auth.release()
    assert (concealed, len(server.asked)) == ([], 1)


def test_a_lost_token_is_reported() -> None:
    failure = LostResponseError("lost", request=token_request("token", "get it"))
    failure.outcome_unknown = True
    with pytest.raises(LostResponseError) as caught:
        account_auth(TokenServer(failure), []).acquire()
    assert caught.value.message() == (
        "Could not get it: lost. A token may have been issued; it expires within an hour. Nothing "
        "else was changed."
    )


def test_a_failed_token_revocation_is_ignored() -> None:
    server = TokenServer({"access_token": "t0ken"}, RuntimeError("x"))
    auth = account_auth(server, [])
    auth.acquire()
    auth.release()
    assert [request.path for request, *_more in server.asked] == [
        "/api/oauth/token",
        "/api/oauth/revoke",
    ]


def test_basic_form_encodes_both_parts_first() -> None:
    basic = ServiceAccount("mdb_sa_id_1", "a+b/c:d").basic()
    assert base64.b64decode(basic) == b"mdb_sa_id_1:a%2Bb%2Fc%3Ad"


ACCEPTED = Response(200, "OK", {}, b"{}", {}, True)


def trusted() -> DigestAuth:
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    auth.handle_challenge(refused())
    assert auth.unexplained_refusals(ACCEPTED) == 0
    return auth


@pytest.mark.parametrize("code", [None, "UNEXPECTED_ERROR", "NO_CURRENT_USER"])
def test_an_unexplained_401_counts_after_a_success(code: str | None) -> None:
    auth = trusted()
    assert [auth.unexplained_refusals(refused(code=code)) for _answer in range(3)] == [1, 2, 3]
    auth.unexplained_refusals(ACCEPTED)
    assert auth.unexplained_refusals(refused(code=code)) == 1


def test_an_unexplained_401_is_followed_by_its_first_challenge() -> None:
    auth = trusted()
    first, second = (f'Digest realm="r", nonce="{nonce}"' for nonce in ("one", "two"))
    auth.unexplained_refusals(refused(f"{first}, {second}"))
    assert 'nonce="one"' in sign(auth)


def test_unexplained_401s_count_across_threads() -> None:
    auth = trusted()
    counts = []
    for _thread in range(3):
        thread = threading.Thread(
            target=lambda: counts.append(auth.unexplained_refusals(refused()))
        )
        thread.start()
        thread.join()
    assert counts == [1, 2, 3]


def test_a_401_before_any_success_is_not_unexplained() -> None:
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    auth.handle_challenge(refused())
    assert auth.unexplained_refusals(refused()) == 0
    auth.unexplained_refusals(Response(404, "Not Found", {}, b""))
    assert auth.unexplained_refusals(refused()) == 0


@pytest.mark.parametrize(
    ("status", "code", "is_accepted"),
    [
        (401, "USER_UNAUTHORIZED", True),
        (403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", True),
        (404, "API_KEY_NOT_FOUND", True),
        (400, "BAD_REQUEST", True),
        (499, "SOMETHING_NEW", True),
        (404, None, False),
        (429, "RATE_LIMITED", False),
        (500, "UNEXPECTED_ERROR", False),
        (500, "SOMETHING_NEW", False),
        (302, "SOMETHING_NEW", False),
    ],
)
def test_an_error_with_a_reason_shows_that_the_key_pair_was_accepted(
    status: int, code: str | None, is_accepted: bool
) -> None:
    auth = DigestAuth(KeyPair("abcdefgh", "x"))
    assert auth.unexplained_refusals(replace(refused(code=code), status=status)) == 0
    assert auth.unexplained_refusals(refused()) == int(is_accepted)


def test_a_401_after_revoking_the_signing_credential_is_final() -> None:
    auth = trusted()
    auth.distrust()
    assert auth.unexplained_refusals(refused()) == 0


def test_the_challenge_of_an_unexplained_401_is_used() -> None:
    auth = trusted()
    auth.unexplained_refusals(refused(RECORDED.replace("pBvk", "next")))
    assert 'nonce="next' in sign(auth)
    # A 401 without a challenge keeps the previous one.
    auth.unexplained_refusals(refused(""))
    assert 'nonce="next' in sign(auth)


@pytest.mark.parametrize(
    ("payload", "is_named"),
    [({"error": 401, "reason": "Unauthorized"}, True), ({"message": "x"}, False), (None, False)],
)
def test_a_missing_challenge_header_is_reported(payload: Any, is_named: bool) -> None:
    answer = replace(refused(""), payload=payload, is_json=payload is not None)
    with pytest.raises(UnexpectedResponseError) as caught:
        DigestAuth(KeyPair("abcdefgh", "x")).handle_challenge(answer)
    assert ("WWW-Authenticate" in caught.value.hint) == is_named
