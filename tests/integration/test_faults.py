# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault at every request: the result is right, or the error says what is known.

A table has the fault, the error, and whether the key is then gone. Each fault occurs once, which a
retry may overcome, and permanently. The module runs through its main() over real sockets, with a
clock that only sleeping advances.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _http
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    DeadlineError,
    KeysmithError,
    LostResponseError,
    RedirectError,
    UnexpectedResponseError,
)
from tests.emulator import Emulator, Fault
from tests.support import (
    Outcome,
    key_id,
    key_pair,
    org_id,
    public_key,
    run_module,
    seed,
    service_account,
)

VICTIM = key_id("atlas", 2)
OTHER = key_id("atlas", 3)


@dataclass(frozen=True)
class Row:
    """A fault, and how a task ends if it is permanent.

    ``retried``: GET and DELETE are retried, so that a single fault does no harm.
    ``done``: the server carries out the request before it fails. ``post_retried``: POST is retried.
    """

    fault: str
    arguments: dict[str, Any] = field(default_factory=dict)
    error: type[KeysmithError] = ApiError
    retried: bool = False
    done: bool = False
    post_retried: bool = False
    message: str = ""
    code: str | None = None

    def __str__(self) -> str:
        shown = ",".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.fault}({shown[:60]})"


def status(number: int, code: str | None = None, message: str = "", **more: Any) -> Row:
    kept = {"retried", "done", "post_retried"}
    row = {name: more.pop(name) for name in kept & more.keys()}
    return Row(
        "status", {"status": number, "code": code, **more}, code=code, message=message, **row
    )


def shape(body: Any, message: str = "") -> Row:
    return Row("json", {"body": body}, UnexpectedResponseError, message=message)


LOST = {"error": LostResponseError, "retried": True}
SLOW = {"error": DeadlineError, "retried": True, "message": "in time"}
TABLE = [
    Row("lost_before", **LOST),
    Row("lost_after", **LOST, done=True),
    Row("reset", **LOST),
    Row("reset", {"after_write": True}, **LOST, done=True),
    Row("garbage", **LOST, message="is not HTTP"),
    Row("garbage", {"after_write": True}, **LOST, done=True, message="is not HTTP"),
    Row("truncated", **LOST, done=True),
    Row("truncated", {"keep": 0}, **LOST, done=True),
    Row("slow", {"seconds": 1.0, "after_write": True}, **SLOW, done=True),
    Row("drip", {"headers": True, "interval": 0.02, "forever": True}, **SLOW, done=True),
    Row("drip", {"interval": 0.02, "forever": True}, **SLOW, done=True),
    Row("endless", {}, UnexpectedResponseError, message="longer than"),
    Row("gzip_bomb", {"megabytes": 1}, UnexpectedResponseError, message="longer than"),
    Row("html", {"status": 404}, UnexpectedResponseError, message="an HTML page"),
    Row("html", {"status": 403}, UnexpectedResponseError, message="an HTML page"),
    Row("html", {"status": 200}, UnexpectedResponseError, message="an HTML page"),
    Row("html", {"status": 200, "after_write": True}, UnexpectedResponseError, done=True),
    Row("html", {"status": 503}, ApiError, retried=True),
    Row("redirect", {}, RedirectError, message="https://sso.example.com/login"),
    Row("redirect", {"after_write": True}, RedirectError, done=True),
    Row("echo", {"status": 400}, ApiError),
    Row("null_error", {}, ApiError),
    Row("null_error", {"code": "UNEXPECTED_ERROR"}, ApiError, code="UNEXPECTED_ERROR"),
    shape([]),
    shape(None),
    shape("text"),
    shape(5),
    shape({"id": 5, "desc": [], "roles": "x"}),
    shape({"id": VICTIM, "desc": "victim", "publicKey": 5, "roles": []}),
    shape({"id": VICTIM, "desc": "victim", "publicKey": "x", "roles": [{"roleName": 1}]}),
    shape({"results": [{"id": VICTIM, "desc": 5}], "totalCount": 1}),
    shape({"results": "none"}),
    status(500, "UNEXPECTED_ERROR", retried=True),
    status(500, "UNEXPECTED_ERROR", retried=True, done=True, after_write=True),
    status(502, retried=True),
    status(503, retried=True, retry_after=3),
    status(504, retried=True, done=True, after_write=True),
    status(429, "RATE_LIMITED_TOKEN_BUCKET", "rate limit", retried=True, post_retried=True),
    status(429, "RATE_LIMITED", retried=True, post_retried=True, retry_after=0),
    status(400, None),
    status(404, None, "check org_id"),
    status(404, "RESOURCE_NOT_FOUND", "check org_id", parameters=[VICTIM]),
    status(404, "ORG_NOT_FOUND", "Check org_id"),
    status(404, "INVALID_ORG_ID", "Check org_id"),
    status(404, "RESOURCE_NOT_FOUND", "base_url", parameters=["/api/atlas/v2/orgs"]),
    status(404, "NOT_ATLAS_ORG", "platform"),
    status(404, "EXPECTED_NON_ATLAS_ORG", "platform"),
    status(400, "PATH_PARAM_PARSE_ERROR"),
    status(401, "USER_UNAUTHORIZED", "required role"),
    status(401, "USER_CANNOT_ACCESS_ORG", "Check org_id"),
    status(401, "NOT_ORG_ADMIN", "Check org_id"),
    status(401, None, "expired or revoked"),
    status(402, "ACCOUNT_SUSPENDED"),
    status(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", "192.0.2.9", parameters=["192.0.2.9"]),
    status(403, "ORG_REQUIRES_ACCESS_LIST", "access list"),
    status(405, "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES", "later"),
    status(406, "INVALID_VERSION_DATE", "version"),
    status(410, "VERSION_GONE", "update"),
    # A response about another key proves nothing about this one.
    status(400, "API_KEY_NOT_FOUND", parameters=[OTHER]),
    status(400, "API_KEY_NOT_FOUND", parameters=[{"id": OTHER}]),
    status(403, "API_KEY_NOT_FOUND"),
    status(500, "API_KEY_NOT_FOUND", retried=True),
]


@pytest.fixture(autouse=True)
def raised(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type[KeysmithError]]]:
    """Record the classes of errors that reach the user, and set a low body limit."""
    classes: list[type[KeysmithError]] = []
    message = KeysmithError.message

    def noting(self: KeysmithError) -> str:
        classes.append(type(self))
        return message(self)

    monkeypatch.setattr(KeysmithError, "message", noting)
    monkeypatch.setattr(_http, "MAX_BODY", 200_000)
    return classes  # type: ignore[return-value]


def revoke(emulator: Emulator, row: Row, **options: Any) -> Outcome:
    is_quick = row.error is not DeadlineError
    return run_module(
        "org_api_key",
        {
            "base_url": emulator.url,
            "org_id": org_id("atlas"),
            "state": "absent",
            # Slow faults take real time. On a busy machine, a good response may be late, too.
            "timeout": 30 if is_quick else 0.2,
            "retries": 5,
            **options,
        },
    )


def is_there(emulator: Emulator) -> bool:
    return VICTIM in emulator.state.organizations[org_id("atlas")].api_keys


REQUESTS = {
    "get": ("GET", {"api_user_id": VICTIM, **key_pair("atlas")}),
    "challenge": ("GET", {"api_user_id": VICTIM, **key_pair("atlas")}),
    "list": ("GET", {"public_key": public_key("atlas", 2), **key_pair("atlas")}),
    "delete": ("DELETE", {"api_user_id": VICTIM, **key_pair("atlas")}),
    "token": ("POST", {"api_user_id": VICTIM, **service_account("atlas")}),
}


def test_without_a_fault_the_key_is_revoked(emulator: Emulator) -> None:
    for _method, options in REQUESTS.values():
        assert not revoke(emulator, TABLE[0], **options).failed
    assert not is_there(emulator)


@pytest.mark.parametrize("times", [1, None], ids=["once", "for-ever"])
@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize(
    "row",
    # Faults that take real time could fail on a busy machine.
    [
        pytest.param(row, marks=[pytest.mark.slow] * (row.error is DeadlineError), id=str(row))
        for row in TABLE
    ],
)
def test_a_fault_is_overcome_or_reported(
    emulator: Emulator,
    raised: list[type[KeysmithError]],
    row: Row,
    request_: str,
    times: int | None,
) -> None:
    method, options = REQUESTS[request_]
    emulator.add_fault(
        Fault(
            row.fault,
            method,
            "/api/oauth/token" if request_ == "token" else "/api/atlas/*",
            times=times,
            anonymous=request_ == "challenge",
            **row.arguments,
        )
    )
    outcome = revoke(emulator, row, **options)
    retried = row.post_retried if request_ == "token" else row.retried
    # The GET was accepted, so a 401 is retried.
    is_unexplained = request_ == "delete" and row.arguments == {"status": 401, "code": None}
    retried = retried or is_unexplained
    if times == 1 and retried:
        # Whatever the server did at the first attempt, this task caused it.
        assert outcome.changed, outcome.msg
        assert outcome.result["org_api_key"]["id"] == VICTIM
        assert not is_there(emulator)
        assert len(emulator.writes) == 1
        return
    assert outcome.failed, outcome.output
    assert not outcome.changed
    assert "Traceback" not in outcome.output
    expected = row.error
    if request_ == "challenge" and row.fault in {"status", "echo"} and "401" in str(row):
        expected = UnexpectedResponseError  # a 401 without a challenge
    assert raised == [expected], outcome.msg
    gone = request_ == "delete" and row.done
    assert is_there(emulator) is not gone
    assert len(emulator.writes) == int(gone)
    error = outcome.result["error"]
    assert error["method"] == method
    if expected is ApiError and row.fault == "status":
        assert error["code"] == row.code
        assert error["status"] == row.arguments["status"]
    if row.message and expected is row.error and request_ != "token":
        assert ("accepted before" if is_unexplained else row.message) in outcome.msg
    if gone:
        # The message must not claim that the key still exists.
        assert "may have been carried out" in outcome.msg
    assert outcome.clock.time - 1000 <= 120


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_a_token_that_cannot_be_revoked_fails_no_task(emulator: Emulator, row: Row) -> None:
    emulator.add_fault(Fault(row.fault, "POST", "/api/oauth/revoke", times=None, **row.arguments))
    outcome = revoke(emulator, row, api_user_id=VICTIM, **service_account("atlas"))
    assert outcome.changed
    assert outcome.clock.time - 1000 <= 10


def revoke_extra(emulator: Emulator, **options: Any) -> Outcome:
    """Revoke many keys with a service account."""
    common = {"base_url": emulator.url, "org_id": org_id("atlas"), "state": "absent"}
    many = {"description_match": ["extra *"], "concurrency": 4}
    return run_module("org_api_keys", {**common, **many, **service_account("atlas"), **options})


def oauth(emulator: Emulator, endpoint: str) -> list[str]:
    return [r.body.decode() for r in emulator.requests if r.path == f"/api/oauth/{endpoint}"]


def test_a_token_may_expire_during_the_task(emulator: Emulator) -> None:
    # The server's clock advances by a second each time it is read.
    seconds = iter(range(10_000))
    emulator.clock = lambda: float(next(seconds))
    emulator.reset(seed(extra_keys=40))
    emulator.settings.token_lifetime = 60.0
    outcome = revoke_extra(emulator)
    assert not outcome.failed, outcome.msg
    assert len(outcome.result["revoked"]) == 40
    assert len(emulator.writes) == 40
    assert 1 < len(oauth(emulator, "token")) < 20
    assert len(oauth(emulator, "revoke")) == 1
    assert not emulator.state.tokens


def test_a_token_that_is_rejected_when_fresh_is_not_fetched_again(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", "GET", times=None, status=401))
    outcome = revoke(emulator, TABLE[0], api_user_id=VICTIM, **service_account("atlas"))
    assert outcome.failed
    assert "Check the service account" in outcome.msg
    assert len(oauth(emulator, "token")) == 1


def test_a_get_may_report_that_the_key_is_missing(emulator: Emulator) -> None:
    emulator.add_fault(
        Fault("status", "GET", status=404, code="API_KEY_NOT_FOUND", parameters=[VICTIM])
    )
    outcome = revoke(emulator, TABLE[0], api_user_id=VICTIM, **key_pair("atlas"))
    assert not outcome.failed
    assert not outcome.changed
    assert emulator.writes == []


def test_a_key_revoked_by_another_client_is_not_a_change(emulator: Emulator) -> None:
    arguments = {"status": 400, "code": "API_KEY_NOT_FOUND", "parameters": [VICTIM]}
    emulator.add_fault(Fault("status", "DELETE", **arguments))
    # Reading it again confirms that.
    emulator.add_fault(Fault("status", "GET", after=1, **arguments))
    outcome = revoke(emulator, TABLE[0], api_user_id=VICTIM, **key_pair("atlas"))
    assert not outcome.failed
    assert not outcome.changed
    assert outcome.result["org_api_key"] is None


def test_a_key_that_one_delete_does_not_find_is_still_revoked(emulator: Emulator) -> None:
    arguments = {"status": 400, "code": "API_KEY_NOT_FOUND", "parameters": [VICTIM]}
    emulator.add_fault(Fault("status", "DELETE", **arguments))
    outcome = revoke(emulator, TABLE[0], api_user_id=VICTIM, **key_pair("atlas"))
    assert outcome.changed
    assert not is_there(emulator)


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_response_may_close_its_connection(emulator: Emulator, request_: str) -> None:
    emulator.add_fault(Fault("closing", times=None, anonymous=True))
    _method, options = REQUESTS[request_]
    outcome = revoke(emulator, TABLE[0], **options)
    assert outcome.changed, outcome.msg
    assert not is_there(emulator)


def test_a_spurious_401_is_overcome(emulator: Emulator) -> None:
    # The first attempt gets two, because it also answers the first challenge.
    emulator.add_fault(Fault("spurious_401", "DELETE", times=5))
    outcome = revoke(emulator, TABLE[0], api_user_id=VICTIM, **key_pair("atlas"))
    assert outcome.changed, outcome.msg
    assert len(emulator.writes) == 1
    assert 7.5 <= outcome.clock.time - 1000 <= 9.4


def test_permanent_spurious_401s_fail_the_task(emulator: Emulator) -> None:
    emulator.add_fault(Fault("spurious_401", "DELETE", times=None))
    outcome = revoke(emulator, TABLE[0], api_user_id=VICTIM, **key_pair("atlas"))
    assert outcome.failed
    assert outcome.result["error"]["status"] == 401
    assert "was accepted before in this task" in outcome.msg
    assert len([r for r in emulator.requests if r.method == "DELETE"]) == 6
    assert emulator.writes == []
