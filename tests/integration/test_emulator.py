# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The behavior of the emulator that other tests rely on, seen by clients of other projects."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import requests
from requests.auth import HTTPDigestAuth

from tests.emulator import FAULTS, Emulator, Fault, SeedError
from tests.support import (
    API_PATHS,
    MISSING_ID,
    ORG_IDS,
    PLATFORMS,
    PRIVATE_KEYS,
    ROOT,
    VirtualClock,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    seed,
)

pytestmark = pytest.mark.slow

ATLAS, CLOUD, OPS = PLATFORMS
ACCEPT = "application/vnd.atlas.2023-01-01+json"
VICTIM = key_id(ATLAS, 2)
KEYS = f"/orgs/{org_id(ATLAS)}/apiKeys"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def emulator(clock: VirtualClock) -> Iterator[Emulator]:
    with Emulator(seed(), clock=clock.now, sleep=clock.sleep) as running:
        yield running


def send(
    emulator: Emulator,
    method: str,
    path: str,
    platform: str = ATLAS,
    body: Any = None,
    *,
    number: int = 1,
    token: str = "",
    headers: dict[str, str] | None = None,
) -> requests.Response:
    """Send a request that a key pair or a token authenticates."""
    pair = key_pair(platform, number)
    signed = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request(
        method,
        f"{emulator.url}{API_PATHS[platform]}{path}",
        auth=None if token else HTTPDigestAuth(pair["api_public_key"], pair["api_private_key"]),
        headers={"Accept": ACCEPT, **signed, **(headers or {})},
        json=body,
        timeout=10,
    )


def keys_of(platform: str, number: int | None = None) -> str:
    path = f"/orgs/{org_id(platform)}/apiKeys"
    return path if number is None else f"{path}/{key_id(platform, number)}"


def code(response: requests.Response) -> Any:
    return response.json().get("errorCode")


def has_victim(emulator: Emulator) -> bool:
    return VICTIM in emulator.state.organizations[org_id(ATLAS)].api_keys


@pytest.mark.parametrize("platform", PLATFORMS)
def test_keys_are_created_changed_listed_and_deleted(emulator: Emulator, platform: str) -> None:
    path = keys_of(platform)
    created = send(emulator, "POST", path, platform, {"desc": "x", "roles": ["ORG_MEMBER"]}).json()
    one = f"{path}/{created['id']}"
    assert "*" not in created["privateKey"]
    changed = send(emulator, "PATCH", one, platform, {"desc": "y"}).json()
    assert changed["desc"] == "y"
    assert changed["privateKey"] == "********-****-****-" + created["privateKey"][-12:]
    listed = send(emulator, "GET", path, platform).json()
    names = [key["publicKey"] for key in listed["results"]]
    assert names == sorted(names)
    assert listed["totalCount"] == len(names) == 8
    deleted = send(emulator, "DELETE", one, platform)
    expected = (200, b"{}") if platform == OPS else (204, b"")
    assert (deleted.status_code, deleted.content) == expected
    for method in ("GET", "DELETE"):
        missing = send(emulator, method, one, platform)
        assert (missing.status_code, code(missing)) == (400, "API_KEY_NOT_FOUND")
        assert missing.json()["parameters"] == [created["id"]]
        name = code(missing) if platform == ATLAS else None
        assert missing.headers.get("X-Error-Code") == name
    assert [write.method for write in emulator.writes] == ["POST", "PATCH", "DELETE"]
    assert emulator.requests[-1].caller == public_key(platform, 1)


def test_pages_cover_each_key_once(emulator: Emulator) -> None:
    seen, number, more = [], 0, True
    while more:
        number += 1
        page = send(emulator, "GET", f"{KEYS}?itemsPerPage=3&pageNum={number}").json()
        assert page["totalCount"] == 7
        seen += [key["id"] for key in page["results"]]
        more = "next" in [link["rel"] for link in page["links"]]
    assert number == 3
    assert sorted(seen) == sorted(emulator.state.organizations[org_id(ATLAS)].api_keys)
    emulator.settings.count_errors = (2, -9)
    path = f"{KEYS}?itemsPerPage=3&pageNum="
    totals = [send(emulator, "GET", f"{path}{n}").json()["totalCount"] for n in (1, 2, 3)]
    assert totals == [9, 0, 0]


# A row is the number of the signing key, the platform, the request, and the response.
REFUSALS = [
    (1, ATLAS, "GET", f"{KEYS}/abcdefgh", 400, "PATH_PARAM_PARSE_ERROR"),
    (1, OPS, "GET", f"{keys_of(OPS)}/abcdefgh", 404, "INVALID_KEY_ID"),
    (1, OPS, "GET", "/orgs/nope/apiKeys", 404, "INVALID_ORG_ID"),
    (1, ATLAS, "GET", f"/orgs/{MISSING_ID}/apiKeys", 404, "ORG_NOT_FOUND"),
    (1, ATLAS, "DELETE", keys_of(OPS, 2), 401, "USER_CANNOT_ACCESS_ORG"),
    (1, OPS, "DELETE", keys_of(CLOUD, 2), 401, "NOT_ORG_ADMIN"),
    (1, ATLAS, "GET", f"/orgs/{org_id(ATLAS)}/nothing", 404, "RESOURCE_NOT_FOUND"),
    (1, ATLAS, "PUT", KEYS, 405, "METHOD_NOT_ALLOWED"),
    (6, ATLAS, "DELETE", keys_of(ATLAS, 2), 401, "USER_UNAUTHORIZED"),
    (6, OPS, "DELETE", keys_of(OPS, 2), 401, "USER_UNAUTHORIZED"),
    (7, ATLAS, "GET", KEYS, 403, "IP_ADDRESS_NOT_ON_ACCESS_LIST"),
    (6, ATLAS, "GET", f"{keys_of(ATLAS, 2)}/accessList", 401, "API_KEY_ACCESS_LIST_ACCESS_DENIED"),
    (1, ATLAS, "GET", f"{keys_of(ATLAS, 2)}/whitelist", 404, "RESOURCE_NOT_FOUND"),
    (
        1,
        ATLAS,
        "DELETE",
        f"{keys_of(ATLAS, 2)}/accessList/10.0.0.0%2F8",
        404,
        "API_KEY_ACCESS_LIST_ENTRY_NOT_FOUND",
    ),
    (1, ATLAS, "GET", f"/groups/{MISSING_ID}/apiKeys", 404, "GROUP_NOT_FOUND"),
    (1, ATLAS, "GET", f"/groups/{project_id(OPS)}/apiKeys", 401, "NOT_IN_GROUP"),
    (
        1,
        ATLAS,
        "DELETE",
        f"/groups/{project_id(ATLAS)}/apiKeys/{key_id(ATLAS, 3)}",
        400,
        "API_KEY_NOT_FOUND",
    ),
]


@pytest.mark.parametrize("row", REFUSALS)
def test_a_request_is_refused(emulator: Emulator, row: tuple[int, str, str, str, int, str]) -> None:
    number, platform, method, path, status, expected = row
    response = send(emulator, method, path, platform, number=number)
    assert (response.status_code, code(response)) == (status, expected)
    assert sorted(response.json()) == ["detail", "error", "errorCode", "parameters", "reason"]
    assert not emulator.writes


def test_an_api_serves_only_its_own_platforms(emulator: Emulator) -> None:
    """Request the organization of one platform through the API of the other."""
    for platform, other, expected in (
        (OPS, ATLAS, "NOT_ATLAS_ORG"),
        (ATLAS, OPS, "EXPECTED_NON_ATLAS_ORG"),
    ):
        pair = key_pair(platform)
        response = requests.get(
            f"{emulator.url}{API_PATHS[other]}{keys_of(platform)}",
            auth=HTTPDigestAuth(pair["api_public_key"], pair["api_private_key"]),
            headers={"Accept": ACCEPT},
            timeout=10,
        )
        assert (response.status_code, code(response)) == (404, expected)


@pytest.mark.parametrize("accept", ["application/json", "application/vnd.atlas.2022-12-31+json"])
def test_atlas_requires_a_version(emulator: Emulator, accept: str) -> None:
    response = send(emulator, "GET", KEYS, headers={"Accept": accept})
    assert (response.status_code, code(response)) == (406, "INVALID_VERSION_DATE")


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("always", [False, True])
def test_an_envelope_hides_the_status(emulator: Emulator, platform: str, always: bool) -> None:
    emulator.settings.envelope_always = always
    query = "" if always else "?envelope=true"
    page = send(emulator, "GET", keys_of(platform) + query, platform)
    deleted = send(emulator, "DELETE", keys_of(platform, 2) + query, platform)
    missing = send(emulator, "DELETE", keys_of(platform, 2) + query, platform)
    assert {r.status_code for r in (page, deleted, missing)} == {200}
    assert (page.json()["status"], page.json()["totalCount"]) == (200, 7)
    assert deleted.json() == {"status": 200 if platform == OPS else 204, "content": {}}
    assert missing.json()["status"] == 400
    assert missing.json()["content"]["errorCode"] == "API_KEY_NOT_FOUND"


def test_reads_show_a_change_only_after_the_delay(emulator: Emulator, clock: VirtualClock) -> None:
    emulator.settings.visibility_delay = 5
    assert send(emulator, "DELETE", f"{KEYS}/{VICTIM}").status_code == 204
    send(emulator, "PATCH", keys_of(ATLAS, 3), body={"desc": "new"})
    clock.sleep(4.9)
    assert send(emulator, "GET", f"{KEYS}/{VICTIM}").status_code == 200
    assert send(emulator, "DELETE", f"{KEYS}/{VICTIM}").status_code == 400
    assert send(emulator, "GET", keys_of(ATLAS, 3)).json()["desc"] != "new"
    clock.sleep(0.1)
    assert send(emulator, "GET", f"{KEYS}/{VICTIM}").status_code == 400
    assert send(emulator, "GET", keys_of(ATLAS, 3)).json()["desc"] == "new"


def test_requests_beyond_the_rate_limit_are_refused(
    emulator: Emulator, clock: VirtualClock
) -> None:
    settings = emulator.settings
    settings.rate_limit, settings.rate_capacity, settings.rate_refill = True, 2, 1
    statuses = [send(emulator, "GET", KEYS).status_code for _round in range(3)]
    assert statuses == [200, 200, 429]
    clock.sleep(20)
    refused = send(emulator, "GET", KEYS)
    assert (code(refused), refused.headers["Retry-After"]) == ("RATE_LIMITED_TOKEN_BUCKET", "40")
    assert refused.headers["Ratelimit-Remaining"] == "0"
    clock.sleep(40)
    assert [send(emulator, "GET", KEYS).status_code for _round in range(2)] == [200, 429]
    assert code(send(emulator, "GET", f"/groups/{MISSING_ID}/apiKeys")) == "GROUP_NOT_FOUND"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_entries_are_added_to_and_removed_from_an_access_list(
    emulator: Emulator, platform: str
) -> None:
    path = f"{keys_of(platform, 2)}/accessList"

    def blocks(response: requests.Response) -> list[str]:
        return [item["cidrBlock"] for item in response.json()["results"]]

    body = [{"ipAddress": "192.0.2.1"}, {"cidrBlock": "2001:db8::/32"}]
    zeros = "2001:db8:0:0:0:0:0:0/32" if platform == ATLAS else "2001:db8::/32"
    assert blocks(send(emulator, "POST", path, platform, body)) == ["192.0.2.1/32", zeros]
    again = send(emulator, "POST", path, platform, body[:1])
    assert (again.status_code, code(again)) == (409, "ADDRESS_ALREADY_IN_ACCESS_LIST")
    for entry in ("192.0.2.1%2F32", "2001:db8::%2F32"):
        assert send(emulator, "DELETE", f"{path}/{entry}", platform).status_code == 204
        assert send(emulator, "DELETE", f"{path}/{entry}", platform).status_code == 404
    assert blocks(send(emulator, "GET", path, platform)) == []
    emulator.settings.code_spelling = "whitelist"
    bad = send(emulator, "POST", path, platform, [{"ipAddress": "192.0.2.1"}] * 2)
    assert code(bad) == "DUPLICATE_ADDRESSES_IN_INPUT"
    emulator.settings.legacy_whitelist = True
    assert send(emulator, "GET", path, platform).ok is (platform != OPS)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_keys_are_assigned_to_and_removed_from_a_project(emulator: Emulator, platform: str) -> None:
    listing = f"/groups/{project_id(platform)}/apiKeys"
    path = f"{listing}/{key_id(platform, 3)}"
    body: Any = {"roles": ["GROUP_OWNER"]}

    def members() -> list[str]:
        found = send(emulator, "GET", listing, platform).json()["results"]
        return [key["id"] for key in found]

    method, body = ("POST", [body]) if platform == ATLAS else ("PATCH", body)
    assert send(emulator, method, path, platform, body).ok
    assert key_id(platform, 3) in members()
    if platform == ATLAS:
        assert code(send(emulator, "POST", path, platform, body)) == "API_KEY_ALREADY_IN_GROUP"
    assert send(emulator, "DELETE", path, platform).ok
    assert key_id(platform, 3) not in members()
    emulator.settings.unassigned_code = "RESOURCE_NOT_FOUND"
    assert send(emulator, "DELETE", path, platform).status_code == 404


def challenge(response: requests.Response) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="?([^",]*)"?', response.headers["WWW-Authenticate"]))


def digest(method: str, path: str, asked: dict[str, str], **changes: str) -> str:
    """Answer a challenge by hand."""
    pair = key_pair(ATLAS)

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()

    values = {"nonce": asked["nonce"], "uri": path, "nc": "00000001", "cnonce": "c"}
    values |= {"qop": "auth", **changes}
    secret = md5(pair["api_public_key"], asked["realm"], pair["api_private_key"])
    parts = [values[name] for name in ("nonce", "nc", "cnonce", "qop")]
    values |= {"username": pair["api_public_key"], "realm": asked["realm"]}
    values["response"] = md5(secret, *parts, md5(method, values["uri"]))
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in values.items())


def test_nonces_expire_and_counts_are_used_once(emulator: Emulator, clock: VirtualClock) -> None:
    path = API_PATHS[ATLAS] + KEYS

    def signed(**changes: str) -> requests.Response:
        headers = {"Accept": ACCEPT, "Authorization": digest("GET", path, asked, **changes)}
        return requests.get(f"{emulator.url}{path}", headers=headers, timeout=10)

    first = requests.get(f"{emulator.url}{path}", timeout=10)
    asked = challenge(first)
    assert (asked["algorithm"], asked["stale"]) == ("MD5", "false")
    assert first.json()["errorCode"] == "UNEXPECTED_ERROR"
    assert signed().status_code == 200
    for changes, stale in (
        ({}, "false"),
        ({"nc": "00000002", "uri": "/"}, "false"),
        ({"nc": "00000003", "qop": "auth-int"}, "false"),
        ({"nonce": "A" * 32}, "true"),
        ({"nc": "00000401"}, "true"),
    ):
        response = signed(**changes)
        assert (response.status_code, challenge(response)["stale"]) == (401, stale), changes
    clock.sleep(61)
    assert challenge(signed(nc="00000004"))["stale"] == "true"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_curl_agrees_about_digest(emulator: Emulator, algorithm: str) -> None:
    emulator.settings.digest_algorithm = algorithm
    statuses = []
    for password in (PRIVATE_KEYS[ATLAS], "wrong"):
        user = f"{public_key(ATLAS, 1)}:{password}"
        command = ["curl", "-q", "-s", "--noproxy", "*", "--digest", "-u", user, "-H"]
        command += [f"Accept: {ACCEPT}", "-o", "-", "-w", "\n%{http_code}"]
        target = f"{emulator.url}{API_PATHS[ATLAS]}{KEYS}?pageNum=1"
        done = subprocess.run(
            [*command, target], capture_output=True, check=True, text=True, timeout=10
        )
        if algorithm == "SHA-256" and len(emulator.requests) == 1:
            pytest.skip("this curl does not know SHA-256")
        statuses.append(done.stdout.rpartition("\n")[2])
    assert statuses == ["200", "401"]


def test_a_path_with_a_wrong_percent_sign_is_unknown(emulator: Emulator) -> None:
    bearer = {"Authorization": f"Bearer {fetch_token(emulator.url, ATLAS)}"}
    # requests would correct the path.
    with closing(http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=5)) as connection:
        connection.request("GET", f"{API_PATHS[ATLAS]}/%zz", headers=bearer)
        response = connection.getresponse()
        body = json.load(response)
    assert (response.status, body["errorCode"]) == (404, "RESOURCE_NOT_FOUND")


def test_tokens_expire_and_can_be_revoked(emulator: Emulator, clock: VirtualClock) -> None:
    first, second = fetch_token(emulator.url, ATLAS), fetch_token(emulator.url, ATLAS)
    account = (f"mdb_sa_id_{ORG_IDS[ATLAS]}", "mdb_sa_sk_wrong")
    for endpoint in ("token", "revoke"):
        refused = requests.post(f"{emulator.url}/api/oauth/{endpoint}", auth=account, timeout=10)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    good = (account[0], emulator.state.find_account(account[0])[1].secrets[0].value)  # type: ignore[index]
    data = {"token": first}
    url = f"{emulator.url}/api/oauth/revoke"
    assert requests.post(url, auth=good, data=data, timeout=10).status_code == 200
    statuses = [send(emulator, "GET", KEYS, token=t).status_code for t in (first, second)]
    assert statuses == [401, 200]
    clock.sleep(3600)
    assert send(emulator, "GET", KEYS, token=second).status_code == 401


def test_latency_is_one_per_request_and_two_per_connection(
    emulator: Emulator, clock: VirtualClock
) -> None:
    emulator.settings.latency = 0.5
    with requests.Session() as session:
        for _round in range(2):
            session.get(f"{emulator.url}{API_PATHS[ATLAS]}", timeout=10)
    assert clock.sleeps == [1.0, 0.5, 0.5]
    assert emulator.connections == 1


Check = Callable[[Any, VirtualClock], bool]
AFTER = {"after_write": True}
# A fault, its arguments, how a DELETE ends (an exception or a check), and whether it was done.
FAULT_CASES: list[tuple[str, dict[str, Any], type[Exception] | Check, bool]] = [
    ("lost_before", {}, http.client.RemoteDisconnected, False),
    ("lost_after", {}, http.client.RemoteDisconnected, True),
    ("reset", {}, ConnectionResetError, False),
    ("reset", AFTER, ConnectionResetError, True),
    ("garbage", {}, http.client.BadStatusLine, False),
    ("garbage", AFTER, http.client.BadStatusLine, True),
    ("html", {}, lambda r, _: r.status == 404 and b"Not Found" in r.body, False),
    ("html", {"status": 200}, lambda r, _: r.status == 200 and b"<form" in r.body, False),
    ("redirect", {}, lambda r, _: "access_token=" in r.headers["Location"], False),
    ("redirect", AFTER, lambda r, _: r.status == 302, True),
    ("slow", {"seconds": 7}, lambda r, c: r.status == 204 and c.sleeps == [7], True),
    ("drip", {"interval": 2}, lambda r, c: r.body == b"{}" and c.sleeps == [2, 2], True),
    ("drip", {"headers": True}, lambda r, c: r.body == b"{}" and len(c.sleeps) > 50, True),
    ("truncated", {}, http.client.IncompleteRead, True),
    (
        "gzip_bomb",
        {"megabytes": 2},
        lambda r, _: len(zlib.decompress(r.body, wbits=31)) > 2 * 2**20 > 100 * len(r.body),
        False,
    ),
    ("status", {}, lambda r, _: r.status == 500, False),
    (
        "status",
        {"status": 429, "code": "X", "parameters": [1], "retry_after": 0, **AFTER},
        lambda r, _: r.headers["Retry-After"] == "0" and b'"errorCode":"X"' in r.body,
        True,
    ),
    ("spurious_401", {}, lambda r, _: "stale=false" in r.headers["Www-Authenticate"], False),
    ("json", {"body": [1, None]}, lambda r, _: json.loads(r.body) == [1, None], False),
    ("echo", {}, lambda r, _: b"Authorization: Digest" in r.body, False),
    ("null_error", {}, lambda r, _: b'"errorCode":null,"parameters":null' in r.body, False),
    ("closing", {}, lambda r, _: (r.status, r.headers["Connection"]) == (204, "close"), True),
]


@pytest.mark.parametrize(("name", "arguments", "expected", "is_done"), FAULT_CASES)
def test_a_fault_occurs_at_the_request(
    emulator: Emulator,
    clock: VirtualClock,
    *,
    name: str,
    arguments: dict[str, Any],
    expected: Any,
    is_done: bool,
) -> None:
    path = f"{API_PATHS[ATLAS]}{KEYS}/{VICTIM}"
    emulator.add_fault(Fault(name, "DELETE", "/api/atlas/*", **arguments))
    asked = challenge(requests.delete(f"{emulator.url}{path}", timeout=10))
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=5)
    headers = {"Accept": ACCEPT, "Authorization": digest("DELETE", path, asked)}

    def response() -> Any:
        connection.request("DELETE", path, headers=headers)
        received = connection.getresponse()
        received.body = received.read()  # type: ignore[attr-defined]
        return received

    if isinstance(expected, type):
        with pytest.raises(expected) as caught:
            response()
        # RemoteDisconnected is a ConnectionResetError too.
        assert caught.type == expected
    else:
        assert expected(response(), clock)
    connection.close()
    assert has_victim(emulator) is not is_done
    assert len(emulator.writes) == is_done


def test_every_fault_has_a_case() -> None:
    assert {case[0] for case in FAULT_CASES} | {"endless"} == set(FAULTS)


def test_faults_are_counted_separately(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", "GET", "*/apiKeys/*", after=1, times=2))
    emulator.add_fault(Fault("status", status=503, times=1))
    path = f"{KEYS}/{VICTIM}"
    statuses = [send(emulator, "GET", path).status_code for _round in range(4)]
    assert statuses == [503, 500, 500, 200]
    emulator.add_fault(Fault("status", times=None))
    emulator.reset()
    assert send(emulator, "GET", path).status_code == 200
    assert len(emulator.requests) == 2


def test_mistakes_in_seeds_and_faults_are_refused() -> None:
    with pytest.raises(SeedError, match="id"):
        Emulator({"organizations": [{"name": "no id"}]})
    with pytest.raises(ValueError, match="unknown fault 'nope'"):
        Fault("nope")
    with pytest.raises(ValueError, match="unknown seconds"):
        Fault("reset", seconds=1)
    with pytest.raises(TypeError, match="nonsense"):
        Emulator(nonsense=1)


def test_the_command_serves_and_is_controlled() -> None:
    options = ["--seed", "playbooks/demo_seed.json", "--set", "envelope_always=true"]
    options += ["--fault", "html GET anonymous=true times=null"]
    command = [sys.executable, "-m", "tests.emulator", *options]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+\n", line)
        url = line.split()[-1]
        assert requests.get(f"{url}/api/atlas/v2", timeout=10).status_code == 404
        control = f"{url}/_emulator"
        assert requests.post(f"{control}/reset", json=seed(), timeout=10).status_code == 200
        assert requests.get(f"{url}/api/atlas/v2", timeout=10).status_code == 401
        stats = requests.get(f"{control}/stats", timeout=10).json()
        assert stats == {"requests": 1, "connections": 1, "writes": 0}
        state = requests.get(f"{control}/state", timeout=10).json()
        assert [item["product"] for item in state["organizations"]] == list(PLATFORMS)
        process.terminate()
        assert process.wait(10) == 0
