# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to any endpoint. Checks of path, query and body have their own tables."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _download
from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _http
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    KeysmithError,
    LostResponseError,
    OptionError,
    UnexpectedResponseError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _any_object
from tests.emulator import Emulator, Fault
from tests.support import (
    API_PATHS,
    MISSING_ID,
    PLATFORMS,
    Outcome,
    VirtualClock,
    account_id,
    client_id,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_as_owner,
    seed,
    service_account,
)

KEYS = f"/orgs/{org_id('atlas')}/apiKeys"
VICTIM = f"{KEYS}/{key_id('atlas', 2)}"
OWN = f"{KEYS}/{key_id('atlas', 1)}"
OWN_ACCOUNT = f"/orgs/{org_id('atlas')}/serviceAccounts/{client_id('atlas')}"
ATLAS = API_PATHS["atlas"]
CANARY = "canary-of-a-body"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(seed()) as running:
        yield running


def send(emulator: Emulator, platform: str = "atlas", **options: Any) -> Outcome:
    return run_as_owner("api_request", emulator, platform, options)


def respond(emulator: Emulator, body: str, status: int = 200, **match: Any) -> None:
    emulator.add_fault(Fault("status", status=status, body=body, **{"times": None, **match}))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("envelope", [False, True])
def test_a_request_is_sent_as_it_is_on_every_platform(
    emulator: Emulator, platform: str, envelope: bool
) -> None:
    path = f"/orgs/{org_id(platform)}/apiKeys/{key_id(platform, 2)}"
    options = {"envelope": envelope, "path": API_PATHS[platform] + path}
    read = send(emulator, platform, **options)
    assert (read.changed, read.result["status"]) == (False, 200)
    assert read.result["json"]["desc"] == "victim"
    changed = send(emulator, platform, **options, method="PATCH", body={"desc": "x"}, diff=True)
    assert (changed.changed, changed.result["json"]["desc"]) == (True, "x")
    assert changed.result["diff"] == {"before": {}, "after": {"desc": "x"}}
    gone = send(emulator, platform, **options, method="DELETE", diff=True)
    assert gone.changed
    assert gone.result["json"] == ({} if envelope or platform == "ops_manager" else None)
    assert gone.result["diff"] == {"before": {"path": path}, "after": {}}
    assert send(emulator, platform, **options).code == "API_KEY_NOT_FOUND"


@pytest.mark.parametrize(
    "options",
    [
        {"path": KEYS, "method": "POST", "body": {"desc": "a", "roles": ["ORG_MEMBER"]}},
        {"path": VICTIM, "method": "PATCH", "body": {"desc": "a"}},
        {"path": VICTIM, "method": "PATCH", "body": {"desc": "a"}, "compare": True},
        {"path": VICTIM, "method": "DELETE"},
        {"path": VICTIM, "method": "DELETE", "missing_codes": ["API_KEY_NOT_FOUND"]},
        {
            "path": KEYS,
            "method": "POST",
            "body": {"desc": "a", "roles": ["ORG_MEMBER"]},
            "unique_by": ["desc"],
        },
    ],
    ids=str,
)
def test_check_mode_sends_only_gets_and_predicts(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    checked = send(emulator, **options, check=True, diff=True)
    assert {request.method for request in emulator.requests} <= {"GET"}
    real = send(emulator, **options, diff=True)
    assert (checked.changed, real.changed) == (True, True)
    assert checked.result["diff"] == real.result["diff"]
    assert (checked.result["status"], checked.result["json"]) == (None, None)
    assert len(emulator.writes) == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"path": ""}, "path"),
        ({"path": "/orgs//x"}, "//"),
        ({"path": "/orgs", "api_version": "soon"}, "api_version"),
        ({"path": "/orgs", "query": {"a": None}}, "null"),
        ({"path": "/orgs", "query": "a=b"}, "query is text"),
        ({"path": "/orgs", "body": {"a": 1}}, "method is GET"),
        (
            {"path": "/orgs", "method": "POST", "body": f'{{"password": "{CANARY}"}}'},
            "body is text",
        ),
        ({"path": "/orgs", "method": "POST", "body": ""}, "body is empty"),
        ({"path": "/orgs", "method": "POST", "all_pages": True}, "all_pages"),
        ({"path": "/orgs", "compare": True}, "compare"),
        ({"path": "/orgs", "method": "PUT", "body": {}, "ignore": ["a"]}, "ignore"),
        ({"path": "/orgs", "unique_by": ["a"]}, "unique_by"),
        ({"path": "/orgs", "method": "POST", "body": {}, "unique_by": ["a"]}, "not a field"),
        ({"path": "/orgs", "method": "POST", "body": {}, "unique_by": []}, "empty list"),
        ({"path": "/orgs", "missing_codes": ["A"]}, "missing_codes"),
        ({"path": "/orgs", "all_pages": True, "query": {"pageNum": 2}}, "pageNum"),
        ({"path": "/orgs", "accept_format": "csv"}, "accept_format"),
        ({"path": "/orgs", "all_pages": True, "dest": "/tmp/x"}, "all_pages and dest"),
        ({"path": "/orgs", "method": "DELETE", "dest": "/tmp/x"}, "dest is set"),
        (
            {"path": "/orgs", "dest": "/missing/x"},
            "dest /missing/x is in /missing, which is not a directory",
        ),
        ({"path": "/orgs", "dest": "/"}, "dest / is not a regular file"),
        (
            {"path": "/orgs", "dest": "/missing/"},
            "dest /missing/ is not the path of a file. Use the path of a file",
        ),
    ],
    ids=str,
)
def test_refuses_options_before_any_request(
    emulator: Emulator, options: dict[str, Any], why: str
) -> None:
    outcome = send(emulator, **options)
    assert outcome.result["error"]["type"] == "options"
    assert why in outcome.msg
    assert emulator.requests == []
    assert CANARY not in outcome.output


def test_a_version_is_requested(emulator: Emulator) -> None:
    send(emulator, path="/orgs", api_version="2024-08-05")
    assert emulator.requests[-1].headers["Accept"] == "application/vnd.atlas.2024-08-05+json"
    send(emulator, path="/orgs")
    assert emulator.requests[-1].headers["Accept"] == "application/vnd.atlas.2025-03-12+json"


@pytest.mark.parametrize(
    ("dates", "shown"),
    [
        (
            {"Deprecation": "Sat, 1 Aug 2026 00:00:00 GMT", "Sunset": "2027-01-01"},
            "Deprecation: Sat, 1 Aug 2026 00:00:00 GMT and Sunset: 2027-01-01",
        ),
        ({"Deprecation": "true"}, "Deprecation: true"),
        ({"Sunset": "2027-01-01"}, "Sunset: 2027-01-01"),
        ({}, None),
    ],
)
def test_headers_are_returned_and_a_deprecation_is_reported(
    emulator: Emulator, dates: dict[str, str], shown: str | None
) -> None:
    headers = {**dates, "RateLimit-Limit": "100 " * 99, "X-Other": "1"}
    emulator.add_fault(Fault("status", status=200, body="{}", headers=headers))
    result = send(emulator, path="/orgs", api_version="2024-08-05").result
    limit = result["headers"].pop("ratelimit_limit")
    assert limit.startswith("100 " * 40)
    assert len(limit) <= 201
    assert result["headers"] == {name.lower(): date for name, date in dates.items()}
    warned = (
        "The API marks GET /api/atlas/v2/orgs (version 2024-08-05) as deprecated: its response has "
        f"{shown}. Set api_version to a later version, or use another path."
    )
    warnings = result.get("warnings", [])
    assert len(warnings) == bool(shown)
    assert all(warned in str(warning) for warning in warnings)


DEPRECATED = {"Deprecation": "true"}


@pytest.mark.parametrize(
    ("options", "fault", "method"),
    [
        # Only the response to the read has the header.
        ({"method": "PATCH", "body": {"desc": "a"}, "compare": True}, {"method": "GET"}, "GET"),
        ({"method": "PATCH", "body": {"desc": "a"}, "compare": True, "check": True}, {}, "GET"),
        ({"method": "DELETE"}, {"method": "DELETE", "status": 403}, "DELETE"),
        (
            {"method": "DELETE", "missing_codes": ["X"]},
            {"method": "DELETE", "status": 404, "code": "X"},
            "DELETE",
        ),
        (
            {"method": "DELETE", "missing_codes": ["X"], "check": True},
            {"status": 404, "code": "X"},
            "GET",
        ),
    ],
    ids=str,
)
def test_every_response_may_report_a_deprecation(
    emulator: Emulator, options: dict[str, Any], fault: dict[str, Any], method: str
) -> None:
    status = fault.get("status", 200)
    body = {"body": '{"desc": "b"}'} if status == 200 else {}
    seen = {"status": status, "headers": DEPRECATED, **body, **fault}
    emulator.add_fault(Fault("status", path=f"*{VICTIM}", **seen))
    result = send(emulator, path=VICTIM, allow_own_key=True, **options).result
    (warning,) = result["warnings"]
    assert f"marks {method} {ATLAS}{VICTIM}" in str(warning)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": 401, "reason": "Unauthorized", "detail": "You are not authorized."}, "api"),
        ({"error": 409, "errorCode": "X", "detail": "no"}, "api"),
        ({"errorCode": "X", "detail": "no"}, "unexpected_response"),
        ({"errorCode": "X", "reason": "no"}, "unexpected_response"),
        ({"errorCode": "X", "parameters": []}, "unexpected_response"),
        ({"errorCode": "X"}, "unexpected_response"),
        ({"status": 200, "content": {"error": 401, "reason": "no", "detail": "no"}}, "api"),
        # Not an error, but a field with this name.
        ({"errorCode": "X", "name": "x"}, None),
        ({"errorCode": 1, "detail": "x"}, None),
        ({"error": 400, "detail": "x"}, None),
        ({"error": "none", "reason": "x", "detail": "x"}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_error_is_not_a_success_even_if_its_status_is_hidden(
    emulator: Emulator, method: str, body: dict[str, Any], code: str | None
) -> None:
    respond(emulator, json.dumps(body))
    options = {"body": {}} if method == "POST" else {}
    outcome = send(emulator, path="/groups", method=method, **options)
    assert outcome.result.get("error", {}).get("type") == code
    assert outcome.changed is (method != "GET" and code is None)
    if code == "unexpected_response":
        assert "contains the error X" in outcome.msg
        assert body.get("detail", "") in outcome.msg
        assert TO_FILE not in outcome.msg


@pytest.mark.parametrize("error", [{"errorCode": "X", "detail": "no"}, {"error": 403}])
def test_an_error_does_not_replace_a_file(
    emulator: Emulator, tmp_path: Path, error: dict[str, Any]
) -> None:
    (tmp_path / "x").write_text("old")
    respond(emulator, json.dumps({"detail": "no", "reason": "no", **error}))
    assert send(emulator, path="/x", dest=str(tmp_path / "x")).failed
    assert files(tmp_path) == {"x": b"old"}


def test_a_query_is_sent_with_its_types(emulator: Emulator) -> None:
    send(emulator, path="/orgs", query={"includeCount": False, "n": 1, "name": ["a b"]})
    sent = emulator.requests[-1].query
    assert sent == {"includeCount": "false", "n": "1", "name": "a b"}


def test_the_guard_reads_the_key_in_the_path_without_the_query(emulator: Emulator) -> None:
    options = {"path": f"{VICTIM}/accessList/192.0.2.7", "method": "DELETE", "query": {"n": 1}}
    # The read may be repeated.
    emulator.add_fault(Fault("status", "GET", status=503))
    send(emulator, **options)
    read, written = emulator.requests[-2:]
    assert (read.method, read.path, read.query) == ("GET", f"{ATLAS}{VICTIM}", {})
    assert (written.method, written.path) == ("DELETE", ATLAS + options["path"])
    assert written.query == {"n": "1"}


def test_a_202_is_reported(emulator: Emulator) -> None:
    respond(emulator, '{"state": "PENDING"}', 202, method="POST")
    assert send(emulator, path=VICTIM, method="POST").result["status"] == 202


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "GET", "DELETE"])
def test_retries_follow_the_policy(emulator: Emulator, method: str) -> None:
    """A request that may have been carried out is sent again only if that is harmless."""
    emulator.add_fault(Fault("status", method=method, path=f"*{project_id('atlas')}*", status=503))
    body = {"body": {}} if method in {"PATCH", "PUT"} else {}
    outcome = send(emulator, path=f"/groups/{project_id('atlas')}/x", method=method, **body)
    count = sum(request.status == 503 for request in emulator.requests)
    sent = [request for request in emulator.requests if request.status not in {401, None}]
    assert count == 1
    assert len(sent) == (2 if method in {"GET", "DELETE"} else 1)
    is_open = method in {"POST", "PATCH"}
    assert ("Check what exists" in outcome.msg) == is_open


def test_secret_texts_are_hidden_and_sent(emulator: Emulator) -> None:
    body = {"desc": "a", "roles": ["ORG_MEMBER"], "notify": [{"apiToken": CANARY}]}
    respond(emulator, f'{{"error": 400, "errorCode": "X", "detail": "bad {CANARY}"}}', 400)
    options = {"method": "POST", "body": body, "query": {"token": CANARY}, "diff": True}
    outcome = send(emulator, path=KEYS, **options)
    assert outcome.code == "X"
    assert CANARY not in outcome.output
    # ansible-core 2.21 and newer omit the invocation.
    assert outcome.result.get("invocation", {}).get("module_args", options)["body"]["desc"] == "a"
    assert CANARY.encode() in emulator.requests[-1].body
    emulator.clear_faults()
    emulator.add_fault(Fault("json", method="POST", body={}))
    outcome = send(emulator, path=KEYS, **options)
    assert outcome.result["diff"]["after"]["notify"] == [{"apiToken": "hidden"}]
    assert CANARY not in outcome.output


@pytest.mark.parametrize(
    "spelling",
    [str, quote, lambda text: json.dumps(text)[1:-1], lambda text: text.splitlines()[1]],
    ids=["plain", "url", "json", "line"],
)
def test_a_quoted_secret_is_hidden_in_every_form(
    emulator: Emulator, spelling: Callable[[str], str]
) -> None:
    secret = f'{{\n{CANARY} in quotes: "ü?"\n}}'
    said = spelling(secret)
    error = {"error": 400, "errorCode": "X", "detail": f"Bad value {said}!", "parameters": [said]}
    respond(emulator, json.dumps(error), 400)
    outcome = send(emulator, path="/x", method="POST", body={"serviceAccountKey": secret})
    assert "Bad value" in outcome.msg
    assert CANARY not in outcome.output


def test_a_response_that_is_not_json_is_an_error(emulator: Emulator) -> None:
    respond(emulator, "id,name\n")
    outcome = send(emulator, path="/orgs")
    assert outcome.result["error"]["type"] == "unexpected_response"


def test_a_uuid_in_a_body_is_not_a_secret(emulator: Emulator) -> None:
    """A private key is a UUID, but so are many IDs."""
    uuid, secret = "ca11ab1e-1111-4111-8111-000000000001", "mdb_sa_sk_canary-of-a-body"
    emulator.add_fault(Fault("json", method="POST", body={"jobId": uuid, "said": secret}))
    outcome = send(emulator, path="/x", method="POST", body={"jobId": uuid, "name": secret})
    assert outcome.result["json"]["jobId"] == uuid
    assert secret not in outcome.output


def test_a_secret_in_a_name_is_masked(emulator: Emulator) -> None:
    token = fetch_token(emulator.url, "atlas")
    body = {"a": {f"of {token}": 1}, "b": [[{token: 2}], 3], f"_ansible_{token}": 4}
    emulator.add_fault(Fault("json", method="GET", body=body))
    outcome = send(emulator, path="/x", access_token=token)
    assert outcome.result["status"] == 200
    assert list(outcome.result["json"]["a"].values()) == [1]
    assert outcome.result["json"]["b"][1] == 3
    assert token not in outcome.output
    emulator.clear_faults()
    respond(emulator, "{}")
    task = {"path": "/x", "access_token": token, "body": {token: 1}, "query": {token: 1}}
    outcome = send(emulator, method="PATCH", diff=True, **task)
    assert list(outcome.result["diff"]["after"].values()) == [1]
    assert token not in outcome.output
    assert json.loads(emulator.requests[-1].body) == {token: 1}
    assert emulator.requests[-1].query == {token: "1"}
    # Ansible itself rejects this value.
    refused = send(emulator, method="MOVE", **task)
    assert refused.failed
    assert token not in refused.output


@pytest.mark.parametrize(
    "path",
    [
        OWN,
        f"{OWN}/accessList",
        OWN.replace("apiKeys", "%61piKeys"),
        OWN.replace("apiKeys", "%2561piKeys"),
        OWN.replace("apiKeys/", "apiKeys%2F"),
        OWN.replace("apiKeys/", "apiKeys\\"),
        OWN.replace("apiKeys/", "apiKeys;a=b/"),
        f"{OWN};a=b",
        f"{OWN}%2FaccessList",
        f"{OWN}%3Aaction",
        f"/groups/{project_id('atlas')}/apiKeys/{key_id('atlas', 1)}",
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_the_signing_key_is_not_changed(emulator: Emulator, path: str, check: bool) -> None:
    """A list of a project's keys shows it too."""
    keys = emulator.state.organizations[org_id("atlas")].api_keys
    keys[key_id("atlas", 1)].projects = {project_id("atlas"): ["GROUP_OWNER"]}
    outcome = send(emulator, path=path, method="DELETE", check=check)
    assert outcome.result["error"]["type"] == "own_credential", outcome.msg
    assert f"path refers to the API key {public_key('atlas', 1)}, which" in outcome.msg
    assert "or set allow_own_key to true" in outcome.msg
    assert emulator.writes == []


def test_a_global_key_does_not_delete_itself(emulator: Emulator) -> None:
    organization = emulator.state.organizations[org_id("ops_manager")]
    own, other = (organization.api_keys[key_id("ops_manager", n)] for n in (1, 2))
    own.foreign_roles, other.foreign_roles = (
        [{"roleName": role}] for role in ("GLOBAL_OWNER", "GLOBAL_READ_ONLY")
    )
    options = {"method": "DELETE", "missing_codes": ["API_KEY_NOT_FOUND"]}
    outcome = send(emulator, "ops_manager", path=f"/admin/apiKeys/{own.id}", **options)
    assert outcome.result["error"]["type"] == "own_credential", outcome.msg
    for changed in (True, False):
        outcome = send(emulator, "ops_manager", path=f"/admin/apiKeys/{other.id}", **options)
        assert (outcome.failed, outcome.changed) == (False, changed), outcome.msg


def test_the_signing_key_is_changed_if_allowed(emulator: Emulator) -> None:
    assert send(emulator, path=OWN, method="DELETE", allow_own_key=True).changed


def test_a_key_with_a_hidden_public_key_may_be_the_signing_key(emulator: Emulator) -> None:
    key = json.dumps({"id": key_id("atlas", 2)})
    keys = f'{{"results": [{key}], "totalCount": 1}}'
    respond(emulator, keys, path="*/apiKeys")
    respond(emulator, key, path="*/apiKeys/*", method="GET")
    outcome = send(emulator, path=VICTIM, method="DELETE")
    assert outcome.result["error"]["type"] == "own_credential"
    assert f"public key of {key_id('atlas', 2)}, so it may be the one" in outcome.msg
    assert "or set allow_own_key to true" in outcome.msg


def test_a_key_that_cannot_be_read_may_be_the_signing_key(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", method="GET", path="*/apiKeys/*", status=403, code="X"))
    outcome = send(emulator, path=VICTIM, method="DELETE")
    assert outcome.code == "X"
    assert f"Could not send GET {ATLAS}{VICTIM}:" in outcome.msg
    assert emulator.writes == []


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_key_that_cannot_be_read_is_looked_up_in_the_list(
    emulator: Emulator, status: int
) -> None:
    fault = Fault("status", "GET", "*/apiKeys/*", status=status, code="X", times=None)
    emulator.add_fault(fault)
    assert send(emulator, path=OWN, method="DELETE").result["error"]["type"] == "own_credential"
    assert send(emulator, path=VICTIM, method="DELETE").changed


def test_the_guard_checks_every_key_in_a_path(emulator: Emulator) -> None:
    """The first one does not exist."""
    outer, inner = "*/apiKeys/other", "*/apiKeys/other/apiKeys"
    keys = [{"id": key_id("atlas", 1), "publicKey": public_key("atlas", 1)}]
    emulator.add_fault(Fault("json", "GET", inner, body=keys))
    emulator.add_fault(Fault("status", "GET", f"{outer}*", status=404, times=None))
    path = f"{KEYS}/other/apiKeys/{key_id('atlas', 1)}"
    outcome = send(emulator, path=path, method="DELETE")
    assert outcome.result["error"]["type"] == "own_credential", outcome.msg


@pytest.mark.parametrize(
    ("options", "path", "after"),
    [
        ({"path": VICTIM, "method": "PATCH", "body": {"desc": "a"}, "compare": True}, VICTIM, 1),
        (
            {"path": VICTIM, "method": "DELETE", "missing_codes": ["Y"], "check": True},
            VICTIM,
            1,
        ),
        (
            {"path": OWN_ACCOUNT, "method": "DELETE", "allow_own_account": True},
            OWN_ACCOUNT,
            0,
        ),
    ],
    ids=["compare", "missing_codes", "own account"],
)
def test_a_failed_read_before_a_write_is_reported_as_one(
    emulator: Emulator, options: dict[str, Any], path: str, after: int
) -> None:
    signer = service_account("atlas") if path == OWN_ACCOUNT else {}
    emulator.add_fault(Fault("status", "GET", f"*{path}", after=after, status=403, code="X"))
    outcome = send(emulator, **options, **signer)
    error = outcome.result["error"]
    assert (error["method"], error["path"], error["code"]) == ("GET", ATLAS + path, "X")
    assert f"Could not send GET {ATLAS}{path}:" in outcome.msg
    assert emulator.writes == []


@pytest.mark.parametrize("suffix", ["", "/secrets", "/accessList"])
def test_the_signing_account_is_not_changed(emulator: Emulator, suffix: str) -> None:
    path = f"{OWN_ACCOUNT}{suffix}"
    outcome = send(emulator, path=path, method="DELETE", **service_account("atlas"))
    assert outcome.result["error"]["type"] == "own_credential"
    assert f"path refers to the service account {client_id('atlas')}, which" in outcome.msg
    assert "or set allow_own_account to true" in outcome.msg
    assert emulator.writes == []


def test_the_signing_account_is_deleted_if_allowed(emulator: Emulator) -> None:
    options = {**service_account("atlas"), "allow_own_account": True}
    assert send(emulator, path=OWN_ACCOUNT, method="DELETE", **options).changed
    assert [request.path for request in emulator.requests][-1].endswith(OWN_ACCOUNT)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (OWN_ACCOUNT, "PATCH"),
        (f"{OWN_ACCOUNT}/secrets/{MISSING_ID}", "DELETE"),
        (f"/orgs/{org_id('atlas')}/serviceAccounts/{account_id('atlas', 2)}", "DELETE"),
        (f"/groups/{project_id('atlas')}/serviceAccounts/{client_id('atlas')}", "DELETE"),
    ],
)
def test_only_the_deletion_of_the_own_account_is_preceded_by_a_get(
    emulator: Emulator, path: str, method: str
) -> None:
    """Its token is still needed after all other requests, to revoke it."""
    body = {"body": {"name": "a"}} if method == "PATCH" else {}
    options = {**service_account("atlas"), "allow_own_account": True, **body}
    send(emulator, path=path, method=method, **options)
    methods = [request.method for request in emulator.requests]
    assert methods == ["POST", method, "POST"]
    assert emulator.state.tokens == {}


def own_secret(emulator: Emulator) -> str:
    """Return the path of the secret that signs."""
    accounts = emulator.state.organizations[org_id("atlas")].service_accounts
    return f"{OWN_ACCOUNT}/secrets/{accounts[client_id('atlas')].secrets[0].id}"


@pytest.mark.parametrize("signer", ["key", "account", "secret", "unknown account"])
@pytest.mark.parametrize("is_encoded", [False, True])
def test_a_lost_deletion_of_what_may_be_the_own_credential_is_checked_with_another(
    emulator: Emulator, signer: str, is_encoded: bool
) -> None:
    path, options = OWN_ACCOUNT, {"allow_own_account": True, **service_account("atlas")}
    if signer == "key":
        path, options = OWN, {"allow_own_key": True}
    if signer == "secret":
        path = own_secret(emulator)
    if signer == "unknown account":
        token = fetch_token(emulator.url, "atlas")
        options = {"allow_own_account": True, "access_token": token}
    if is_encoded:
        path = path.replace("Keys", "%4Beys").replace("Accounts", "%41ccounts")
    emulator.add_fault(Fault("lost_after", "DELETE"))
    outcome = send(emulator, path=path, method="DELETE", **options)
    assert outcome.failed
    assert "may have been carried out" in outcome.msg
    assert "check with another one" in outcome.msg
    assert "Run the task again" not in outcome.msg
    # Without its client ID, the account need not be the one that signs, but it may be.
    reads = [request for request in emulator.requests if request.method == "GET"]
    assert len(reads) == (signer == "account")


def test_the_token_is_revoked_after_the_deletion_of_another_secret(emulator: Emulator) -> None:
    accounts = emulator.state.organizations[org_id("atlas")].service_accounts
    own = accounts[client_id("atlas")]
    other = dataclasses.replace(own.secrets[0], id=MISSING_ID, value="other")
    own.secrets.append(other)
    emulator.add_fault(Fault("lost_after", "DELETE"))
    options = {**service_account("atlas"), "allow_own_account": True}
    path = f"{OWN_ACCOUNT}/secrets/{MISSING_ID}"
    outcome = send(emulator, path=path, method="DELETE", **options)
    assert outcome.failed
    assert "check with another one" not in outcome.msg
    assert emulator.state.tokens == {}


@pytest.mark.parametrize("times", [1, None])
@pytest.mark.parametrize(
    "key", [VICTIM, OWN.replace(KEYS, f"/groups/{project_id('atlas')}/apiKeys")]
)
def test_a_lost_deletion_of_another_object_can_be_repeated(
    emulator: Emulator, key: str, times: int | None
) -> None:
    emulator.add_fault(Fault("lost_after", "DELETE", times=times))
    outcome = send(emulator, path=key, method="DELETE", allow_own_key=True)
    assert outcome.failed
    assert "check with another one" not in outcome.msg


def test_the_own_account_is_deleted_after_its_token_has_expired(emulator: Emulator) -> None:
    options = {**service_account("atlas"), "access_token": "expired", "allow_own_account": True}
    outcome = send(emulator, path=OWN_ACCOUNT, method="DELETE", **options)
    assert outcome.changed, outcome.msg
    deletions = [request for request in emulator.requests if request.method == "DELETE"]
    assert len(deletions) == 1


def test_a_token_may_belong_to_any_account(emulator: Emulator) -> None:
    other = f"/orgs/{org_id('atlas')}/serviceAccounts/{account_id('atlas', 2)}"
    token = {"access_token": fetch_token(emulator.url, "atlas")}
    for path in (other, other.replace("Accounts/", "Accounts%2F")):
        refused = send(emulator, path=path, method="DELETE", **token)
        assert refused.result["error"]["type"] == "own_credential"
        assert "because client_id is not set" in refused.msg
        assert "Set client_id to" in refused.msg
    token["client_id"] = client_id("atlas")
    assert send(emulator, path=other, method="DELETE", **token).changed


def test_compare_sends_nothing_if_the_body_is_there(emulator: Emulator) -> None:
    options = {"path": VICTIM, "method": "PATCH", "compare": True, "diff": True}
    first = send(emulator, **options, body={"desc": "new"})
    again = send(emulator, **options, body={"desc": "new", "token": "x"}, ignore=["token"])
    assert (first.changed, again.changed) == (True, False)
    assert first.result["diff"] == {"before": {"desc": "victim"}, "after": {"desc": "new"}}
    assert again.result["json"]["desc"] == "new"
    assert again.result["diff"] == {"before": {"desc": "new"}, "after": {"desc": "new"}}
    assert len(emulator.writes) == 1


def test_an_ignored_field_is_not_in_the_diff(emulator: Emulator) -> None:
    options = {"path": VICTIM, "method": "PATCH", "compare": True, "ignore": ["id"]}
    outcome = send(emulator, **options, body={"desc": "a", "id": "b"}, diff=True, check=True)
    assert outcome.result["diff"] == {"before": {"desc": "victim"}, "after": {"desc": "a"}}


def test_an_ignored_field_does_not_matter_after_a_lost_change(emulator: Emulator) -> None:
    emulator.add_fault(Fault("json", "GET", body={"a": 1, "b": 1}))
    emulator.add_fault(Fault("json", "GET", body={"a": 2, "b": 1}, times=None))
    emulator.add_fault(Fault("lost_before", "PUT"))
    options = {"path": "/x", "method": "PUT", "compare": True, "ignore": ["b"]}
    assert send(emulator, **options, body={"a": 2, "b": 2}).changed


def test_a_creation_may_have_no_body(emulator: Emulator) -> None:
    outcome = send(emulator, path="/x", method="POST", check=True, diff=True)
    assert outcome.result["diff"] == {"before": {}, "after": {}}


def test_a_lost_change_is_looked_up(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_after", method="PATCH"))
    # The read that follows may be repeated.
    emulator.add_fault(Fault("status", "GET", "*/apiKeys/*", after=2, status=503))
    options = {"path": VICTIM, "method": "PATCH", "body": {"desc": "new"}}
    found = send(emulator, **options, compare=True)
    assert found.changed
    assert found.result["json"]["desc"] == "new"
    assert [request.status for request in emulator.requests].count(503) == 1
    emulator.add_fault(Fault("lost_after", method="PATCH"))
    assert "Check what exists" in send(emulator, **options).msg


@pytest.mark.parametrize(
    "options",
    [
        {"path": VICTIM, "method": "PATCH", "body": {"desc": "new"}, "compare": True},
        {
            "path": KEYS,
            "method": "POST",
            "body": {"desc": "new", "roles": ["ORG_MEMBER"]},
            "unique_by": ["desc"],
        },
    ],
    ids=lambda options: str(options["method"]),
)
def test_a_lost_request_may_not_be_looked_up(emulator: Emulator, options: dict[str, Any]) -> None:
    """The task reads the path before the request, and cannot read it afterwards."""
    emulator.add_fault(Fault("lost_after", method=options["method"]))
    readings = 1 if options["method"] == "POST" else 2
    emulator.add_fault(
        Fault("status", method="GET", path="*/apiKeys*", after=readings, status=403, times=None)
    )
    outcome = send(emulator, **options)
    assert outcome.result["error"]["type"] == "transport", outcome.msg
    assert "may have been carried out" in outcome.msg
    assert "Check what exists" not in outcome.msg
    assert not outcome.changed
    assert len(emulator.writes) == 1


def test_items_without_ids_are_compared_as_a_whole() -> None:
    """The order of lists in them may differ from one response to the next."""
    one, same, other = (
        _any_object._Item.of({"a": inner})
        for inner in ([1, {"b": [2, 3]}], [{"b": [3, 2]}, 1], [1, {"b": [2, 2]}])
    )
    assert one == same
    assert one != other


def test_items_with_ids_are_equal_if_their_ids_are() -> None:
    one, changed, other = (
        _any_object._Item.of({"id": name, "a": value})
        for name, value in (("x", 1), ("x", 2), ("y", 1))
    )
    assert one == changed
    assert one != other


def test_unique_by_creates_once(emulator: Emulator) -> None:
    body = {"desc": "new", "roles": ["ORG_MEMBER"]}
    options = {"path": KEYS, "method": "POST", "unique_by": ["desc"]}
    first, again = (send(emulator, **options, body=body) for _round in range(2))
    assert (first.changed, again.changed) == (True, False)
    assert again.result["json"]["id"] == first.result["json"]["id"]
    several = send(emulator, **options, body={**body, "desc": "twin"})
    assert several.result["error"]["type"] == "ambiguous"
    assert f"2 items of GET {ATLAS}{KEYS} have" in several.msg
    assert f"in 'desc': '{key_id('atlas', 4)}', '{key_id('atlas', 5)}'." in several.msg
    fields = {"x": 1, "y": 2}
    unknown = send(emulator, **{**options, "unique_by": [*fields]}, body={**body, **fields})
    assert unknown.result["error"]["type"] == "ambiguous"
    assert f"no item of GET {ATLAS}{KEYS} has the field 'x', 'y'. Nothing" in unknown.msg
    assert len(emulator.writes) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_items_may_have_no_ids(emulator: Emulator, count: int) -> None:
    options = {"path": "/x", "method": "POST", "unique_by": ["a"], "body": {"a": 1}}
    items = {"results": [{"a": 1}] * count, "totalCount": count}
    emulator.add_fault(Fault("json", "GET", body={"results": [], "totalCount": 0}))
    emulator.add_fault(Fault("json", "GET", body=items, times=None))
    emulator.add_fault(Fault("lost_before", "POST"))
    outcome = send(emulator, **options)
    error = outcome.result["error"]
    if count == 1:
        assert (error["type"], error["parameters"]) == ("orphan", [])
        # The list is read only until it shows the item.
        assert [request.method for request in emulator.requests][-3:] == ["GET", "POST", "GET"]
        assert "exists now: 'without id'." in outcome.msg
        outcome = send(emulator, **options)
        assert not outcome.failed
        return
    assert error["type"] == "transport"
    assert "in 'a': 'without id', 'without id'." in send(emulator, **options).msg


def test_long_names_are_not_shown(emulator: Emulator) -> None:
    long = "x" * 300
    assert _any_object._name({"id": long}) == _any_object._fields([long]) == "…"
    response: Any = SimpleNamespace(headers={f"RateLimit-{long}": "1"})
    assert dict(_any_object._shown_headers(response)) == {"…": "1"}
    item = {"id": long, "a": 1}
    emulator.add_fault(Fault("json", "GET", body=[]))
    emulator.add_fault(Fault("json", "GET", body=[item], times=None))
    emulator.add_fault(Fault("lost_before", "POST"))
    lost = send(emulator, path="/x", method="POST", unique_by=["a"], body={"a": 1})
    assert lost.result["error"]["parameters"] == ["…"]
    hidden = send(emulator, path=f"/x/apiKeys/{long}", method="DELETE")
    assert "does not return the public key of …, so" in hidden.msg


def test_a_lost_creation_is_looked_up(emulator: Emulator) -> None:
    """The item is listed only seconds later, and the response may have had its secret."""
    body = {"desc": "new", "roles": ["ORG_MEMBER"]}
    options = {"path": KEYS, "method": "POST", "unique_by": ["desc"], "body": body}
    emulator.add_fault(Fault("lost_after", method="POST"))
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 5.0
    lost = send(emulator, **options, clock=clock)
    (made,) = [
        key.id
        for key in emulator.state.organizations[org_id("atlas")].api_keys.values()
        if key.description == "new"
    ]
    assert (lost.failed, lost.changed) == (True, True)
    assert lost.result["error"]["type"] == "orphan"
    assert lost.result["error"]["parameters"] == [made]
    emulator.add_fault(Fault("lost_before", method="POST"))
    options["body"] = {**body, "desc": "newer"}
    unsent = send(emulator, **options)
    assert (unsent.failed, unsent.changed) == (True, False)
    assert "Run the task again to find out" in unsent.msg
    assert len(emulator.writes) == 1


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"path": "/nowhere"}, "Check path"),
        ({"path": f"{KEYS}/{MISSING_ID}"}, "Check path"),
        ({"path": "/nowhere", "dest": "/tmp/x"}, "Check path"),
        (
            {"path": f"{KEYS}/{MISSING_ID}", "method": "DELETE", "allow_own_key": True},
            "add API_KEY_NOT_FOUND to missing_codes",
        ),
        ({"path": VICTIM, "all_pages": True}, "all_pages needs a path that returns a list"),
        (
            {"path": VICTIM, "method": "POST", "body": {"desc": "a"}, "unique_by": ["desc"]},
            "unique_by needs a path that returns a list",
        ),
    ],
    ids=str,
)
def test_advice_is_about_the_options_of_the_task(
    emulator: Emulator, options: dict[str, Any], advice: str
) -> None:
    outcome = send(emulator, **options)
    assert outcome.failed
    assert advice in outcome.msg
    method = "DELETE" if options.get("method") == "DELETE" else "GET"
    assert f"Could not send {method} {ATLAS}{options['path']}:" in outcome.msg


NOT_FOUND, TO_FILE = "Check path, and also platform and base_url", "set dest"
READ = {"method": "GET", "dest": None, "all_pages": False, "unique_by": None}


@pytest.mark.parametrize(
    ("error", "status", "code", "params", "advice"),
    [
        (UnexpectedResponseError, 200, None, {}, TO_FILE),
        (UnexpectedResponseError, 299, None, {}, TO_FILE),
        (UnexpectedResponseError, 200, None, {"all_pages": True}, "all_pages needs a path"),
        (UnexpectedResponseError, 200, None, {"unique_by": ["a"]}, "unique_by needs a path"),
        (UnexpectedResponseError, 200, None, {"dest": "/x"}, None),
        (UnexpectedResponseError, 200, None, {"method": "POST"}, None),
        (UnexpectedResponseError, 200, "html", {}, None),
        (UnexpectedResponseError, 300, None, {}, None),
        (UnexpectedResponseError, None, None, {}, None),
        (LostResponseError, 200, None, {}, None),
        (ApiError, 404, None, {}, NOT_FOUND),
        (ApiError, 400, "X_NOT_FOUND", {}, NOT_FOUND),
        (ApiError, 400, "X", {}, None),
        (ApiError, 403, "X_NOT_FOUND", {}, None),
        (ApiError, 404, None, {"method": "DELETE"}, NOT_FOUND),
        (ApiError, 404, "X", {"method": "DELETE"}, "add X to missing_codes"),
        (ApiError, 405, None, {}, "Check path and method"),
        (ApiError, 406, None, {}, "accept_format"),
        (ApiError, 410, None, {}, "Set api_version"),
    ],
)
def test_advice_follows_from_the_error_and_the_options(
    error: type[KeysmithError],
    status: int | None,
    code: str | None,
    params: dict[str, Any],
    advice: str | None,
) -> None:
    body = b"<html>" if code == "html" else b"a,b"
    api: Any = SimpleNamespace(
        last_response=SimpleNamespace(body=body, headers={}, is_json=False),
        endpoint=SimpleNamespace(base_url="https://h"),
    )
    task = _any_object.Task(api, {**READ, **params}, "/x", "")
    hint = _any_object._advice(task, error("x", hint="As before.", status=status, code=code))
    assert advice in hint if advice else hint == "As before."
    assert ("missing_codes" in hint) == ("missing_codes" in (advice or ""))


@pytest.mark.parametrize("check", [False, True])
def test_only_the_codes_of_the_task_mean_missing(emulator: Emulator, check: bool) -> None:
    options = {"path": f"{KEYS}/{MISSING_ID}", "method": "DELETE", "check": check}
    codes = ["API_KEY_NOT_FOUND"]
    assert send(emulator, **options, missing_codes=["OTHER"]).failed
    outcome = send(emulator, **options, missing_codes=codes)
    assert (outcome.failed, outcome.changed) == (False, False)
    respond(emulator, '{"error": 403, "errorCode": "API_KEY_NOT_FOUND"}', 403, path="*dead*")
    assert send(emulator, **options, missing_codes=codes, allow_own_key=True).failed


@pytest.mark.parametrize("check", [False, True])
def test_the_guard_may_find_that_something_is_missing(emulator: Emulator, check: bool) -> None:
    """It reads the keys of the project before the request is sent."""
    path = f"/groups/{MISSING_ID}/apiKeys/{key_id('atlas', 2)}"
    options = {"path": path, "method": "DELETE", "check": check}
    assert send(emulator, **options).code == "GROUP_NOT_FOUND"
    expected = {
        "changed": False,
        "status": 404,
        "json": None,
        "headers": {},
        "diff": {"before": {}, "after": {}},
    }
    outcome = send(emulator, **options, missing_codes=["GROUP_NOT_FOUND"], diff=True)
    assert not outcome.failed, outcome.msg
    assert {name: outcome.result[name] for name in expected} == expected
    assert emulator.writes == []


@pytest.mark.parametrize("check", [False, True])
def test_a_path_that_the_api_does_not_have_is_not_a_missing_object(
    emulator: Emulator, check: bool
) -> None:
    """The code is the same, but the parameter is the path."""
    options = {"path": "/groupz/x", "method": "DELETE", "missing_codes": ["RESOURCE_NOT_FOUND"]}
    outcome = send(emulator, **options, check=check)
    assert outcome.code == "RESOURCE_NOT_FOUND"
    assert "Check path" in outcome.msg
    assert "missing_codes" not in outcome.msg
    respond(emulator, '{"error": 404, "errorCode": "RESOURCE_NOT_FOUND", "parameters": []}', 404)
    assert send(emulator, **options, check=check).code == "RESOURCE_NOT_FOUND"
    emulator.clear_faults()
    respond(emulator, '{"error": 404, "errorCode": "RESOURCE_NOT_FOUND", "parameters": ["x"]}', 404)
    outcome = send(emulator, **options, check=check)
    assert (outcome.failed, outcome.changed) == (False, False)


def test_a_lost_deletion_is_a_change(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_after", method="DELETE"))
    options = {"path": VICTIM, "method": "DELETE", "missing_codes": ["API_KEY_NOT_FOUND"]}
    assert send(emulator, **options).changed
    assert not send(emulator, **options).changed


def test_check_mode_warns_if_a_path_cannot_be_read(emulator: Emulator) -> None:
    path = f"/groups/{project_id('atlas')}/apiKeys/{key_id('atlas', 2)}"
    options = {"path": path, "method": "DELETE", "missing_codes": ["X"], "check": True}
    outcome = send(emulator, **options)
    assert outcome.changed
    warnings = str(outcome.result["warnings"])
    assert f"Could not check whether DELETE {ATLAS}{path} would" in warnings


@pytest.mark.parametrize(("check", "codes"), [(False, ["X"]), (True, []), (True, None)], ids=str)
def test_a_deletion_is_checked_only_if_its_object_may_be_missing(
    emulator: Emulator, check: bool, codes: list[str] | None
) -> None:
    path = f"/groups/{project_id('atlas')}/apiKeys/{key_id('atlas', 2)}"
    options = {"missing_codes": codes, "allow_own_key": True}
    assert send(emulator, path=path, method="DELETE", check=check, **options).changed
    assert "GET" not in {request.method for request in emulator.requests}


@pytest.mark.parametrize("envelope", [False, True])
def test_all_pages_are_read(envelope: bool) -> None:
    with Emulator(seed(extra_keys=600)) as emulator:
        outcome = send(emulator, path=KEYS, all_pages=True, envelope=envelope)
        assert not outcome.failed, outcome.msg
        assert len(outcome.result["json"]) == 607
        assert outcome.result["status"] == 200


@pytest.mark.parametrize("all_pages", [False, True])
@pytest.mark.parametrize("envelope", [False, True])
def test_a_plain_list_is_returned(emulator: Emulator, envelope: bool, all_pages: bool) -> None:
    items = "[1, 1, {}]"
    respond(emulator, f'{{"status": 200, "content": {items}}}' if envelope else items)
    outcome = send(emulator, path="/x", all_pages=all_pages, envelope=envelope)
    assert outcome.result["json"] == [1, 1, {}]


@pytest.mark.parametrize("all_pages", [False, True])
def test_a_status_in_an_envelope_counts(emulator: Emulator, all_pages: bool) -> None:
    error = {"error": 404, "errorCode": "GROUP_NOT_FOUND", "detail": "none"}
    respond(emulator, json.dumps({"status": 404, "content": error}), method="GET")
    outcome = send(emulator, path="/x", all_pages=all_pages, envelope=True)
    assert (outcome.code, outcome.result["error"]["status"]) == ("GROUP_NOT_FOUND", 404)
    respond(emulator, '{"status": 202, "content": {"id": 1}}', method="POST")
    outcome = send(emulator, path="/x", method="POST", envelope=True)
    assert (outcome.result["status"], outcome.result["json"]) == (202, {"id": 1})
    respond(emulator, '{"status": 204, "content": null}', method="DELETE")
    outcome = send(emulator, path="/x", method="DELETE", envelope=True)
    assert (outcome.result["status"], outcome.result["json"]) == (204, None)


def test_items_of_a_list_may_be_equal(emulator: Emulator) -> None:
    respond(emulator, '{"results": [{"a": 1}, {"a": 1}], "totalCount": 2}')
    assert send(emulator, path="/x", all_pages=True).result["json"] == [{"a": 1}, {"a": 1}]


def test_a_member_sees_what_the_api_says(emulator: Emulator) -> None:
    outcome = send(emulator, path="/orgs", method="PUT", body={}, **key_pair("atlas", 6))
    assert outcome.result["error"]["status"] == 405
    assert "Check path and method" in outcome.msg
    outcome = send(emulator, path=VICTIM, method="PATCH", body={}, **key_pair("atlas", 6))
    assert outcome.code == "USER_UNAUTHORIZED"
    # This module does not know which role the path needs.
    assert "does not have the required role" in outcome.msg
    assert "required role (" not in outcome.msg


# Files.


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_is_written_only_if_it_differs(emulator: Emulator, tmp_path: Path) -> None:
    """Even if its name is as long as possible."""
    name = "x" * 255
    options = {"path": "/x", "dest": str(tmp_path / name), "envelope": True}
    respond(emulator, "id,name\n", times=4)
    with mock.patch("tempfile.TemporaryFile", side_effect=AssertionError):
        checked = send(emulator, **options, check=True)
    assert (checked.changed, files(tmp_path)) == (True, {})
    first, again, known = (send(emulator, **options, check=n == 2) for n in range(3))
    assert [first.changed, again.changed, known.changed] == [True, False, False]
    assert (first.result["dest"], first.result["status"]) == (options["dest"], 200)
    assert files(tmp_path) == {name: b"id,name\n"}
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    (tmp_path / name).chmod(0o640)
    respond(emulator, "other")
    assert send(emulator, **options).changed
    assert files(tmp_path) == {name: b"other"}
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640


def test_a_changed_file_keeps_its_owner(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    owner = (tmp_path / "x").stat()
    respond(emulator, "{}")
    with mock.patch("os.fchown", side_effect=PermissionError) as chown:
        assert send(emulator, path="/x", dest=str(tmp_path / "x")).changed
    # Only root may change the owner, but others may choose one of their groups.
    asked = [call.args[1:] for call in chown.call_args_list]
    assert asked == [(-1, owner.st_gid), (owner.st_uid, -1)]
    assert files(tmp_path) == {"x": b"{}"}


def test_the_new_file_is_next_to_the_old_one(emulator: Emulator, tmp_path: Path) -> None:
    """Elsewhere, it could be on another file system."""
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")
    respond(emulator, "{}")
    with mock.patch("os.replace", side_effect=os.replace) as replaced:
        assert send(emulator, path="/x", dest=str(tmp_path / "link" / ".." / "x")).changed
    new = Path(replaced.call_args.args[0])
    assert new.parent == tmp_path / "real"
    assert re.fullmatch(r"\.x\.[0-9a-f]{8}", new.name)
    assert (tmp_path / "real" / "x").read_bytes() == b"{}"


def test_a_file_may_be_deleted_during_a_download(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}")
    respond(emulator, "{}")

    def write(self: _download.Download, part: bytes) -> None:
        (tmp_path / "x").unlink(missing_ok=True)
        original(self, part)

    original = _download.Download.write
    with mock.patch.object(_download.Download, "write", write):
        assert send(emulator, path="/x", dest=str(tmp_path / "x")).changed
    assert files(tmp_path) == {"x": b"{}"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=404, code="X", times=None),
        Fault("html", status=200, times=None),
        Fault("truncated", times=None),
        Fault("garbage", times=None),
    ],
    ids=lambda fault: str(fault.name),
)
def test_a_file_is_written_completely_or_not_at_all(
    emulator: Emulator, tmp_path: Path, fault: Fault
) -> None:
    (tmp_path / "x").write_text("old")
    emulator.add_fault(fault)
    assert send(emulator, path=KEYS, dest=str(tmp_path / "x")).failed
    assert files(tmp_path) == {"x": b"old"}


def test_a_file_is_compared_in_parts_and_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file may be large, and another process may put a pipe in its place."""
    (tmp_path / "x").write_bytes(b"0123456789")
    checksum = mock.Mock()
    monkeypatch.setattr(_download, "_AT_ONCE", 4)
    monkeypatch.setattr(_download.hashlib, "sha256", lambda: checksum)
    with mock.patch("os.open", side_effect=os.open) as opened:
        assert _download._checksum(str(tmp_path / "x")) == checksum.digest()
    parts = [call.args[0] for call in checksum.update.call_args_list]
    assert parts == [b"0123", b"4567", b"89"]
    (call,) = opened.call_args_list
    assert call.args[1] & os.O_NONBLOCK


def test_a_path_with_a_nul_character_is_refused() -> None:
    """In a task, the syslog may refuse the character first, depending on Python's version."""
    with pytest.raises(OptionError) as caught:
        _download.Download("/x\0y", check_mode=False)
    message = caught.value.message()
    assert message.startswith("dest /x y cannot be accessed. Check the path, and the permissions")


def test_a_file_that_cannot_be_closed_is_deleted(tmp_path: Path) -> None:
    """The last bytes are written when the file is closed."""
    download = _download.Download(str(tmp_path / "x"), check_mode=False)
    download.restart()
    assert download._file is not None
    with (
        download._file as file,
        mock.patch.object(download, "_file") as full,
    ):
        full.close.side_effect = OSError(28, "No space left")
        download.close()
        assert not file.closed
    assert files(tmp_path) == {}


def test_a_download_starts_again(emulator: Emulator, tmp_path: Path) -> None:
    emulator.add_fault(Fault("truncated", keep=20))
    emulator.add_fault(Fault("json", after=1, body={"a": 1}))
    assert send(emulator, path="/x", dest=str(tmp_path / "x")).changed
    assert json.loads((tmp_path / "x").read_text()) == {"a": 1}


def test_other_formats_follow_a_406(emulator: Emulator, tmp_path: Path) -> None:
    options = {"path": "/x", "dest": str(tmp_path / "x")}
    emulator.add_fault(Fault("status", status=406, code="X", times=2))
    respond(emulator, "a,b")
    assert send(emulator, **options).changed
    accepted = [
        request.headers["Accept"].rpartition("+")[2]
        for request in emulator.requests
        if request.status in {200, 406}
    ]
    assert accepted == ["json", "gzip", "csv"]
    emulator.clear_faults()
    emulator.add_fault(Fault("status", status=406, code="X", times=None))
    refused = send(emulator, **options, accept_format="gzip")
    assert "accept_format" in refused.msg
    assert emulator.requests[-1].headers["Accept"] == "application/vnd.atlas.2025-03-12+gzip"
    send(emulator, "ops_manager", **options, accept_format="csv")
    assert emulator.requests[-1].headers["Accept"] == "text/csv"


def test_a_file_that_is_not_ready_is_not_saved(emulator: Emulator, tmp_path: Path) -> None:
    respond(emulator, '{"state": "PENDING"}', 202)
    outcome = send(emulator, path="/x", dest=str(tmp_path / "x"))
    assert (outcome.changed, outcome.result["status"]) == (False, 202)
    assert outcome.result["json"] == {"state": "PENDING"}
    assert outcome.result["dest"] is None
    assert files(tmp_path) == {}


def test_a_large_file_is_never_in_memory(emulator: Emulator, tmp_path: Path) -> None:
    """A response that is not saved has a limit of 16 MiB."""
    respond(emulator, "0123456789abcdef" * 2**21)
    assert "longer than 16 MiB" in send(emulator, path="/x").msg
    parts = _http._STREAMED_AT_ONCE
    read = []
    with mock.patch.object(_download.Download, "write", lambda _self, part: read.append(len(part))):
        send(emulator, path="/x", dest=str(tmp_path / "x"), check=True)
    assert sum(read) == 2**25
    assert max(read) <= parts
