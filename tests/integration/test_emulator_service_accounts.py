# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulator's service accounts, as far as the tests of the modules rely on them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import requests

from tests.emulator import Emulator
from tests.support import client_id, fetch_token, org_id, project_id, seed, service_account

ACCOUNTS = f"/api/atlas/v2/orgs/{org_id('atlas')}/serviceAccounts"
IN_PROJECT = f"/api/atlas/v2/groups/{project_id('atlas')}/serviceAccounts"
NEW = {"name": "ci", "description": "builds", "roles": ["ORG_READ_ONLY"]}
MISSING = "mdb_sa_id_deadbeefdeadbeefdeadbeef"
DAY = 24 * 3600


class Api:
    """Requests with the token of the organization's owner."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.token = fetch_token(emulator.url, "atlas")
        self.version = "2024-08-05"

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        media_type = f"application/vnd.atlas.{self.version}+json"
        headers = {"Authorization": f"Bearer {self.token}", "Accept": media_type}
        response = requests.request(
            method, self.emulator.url + path, headers=headers, json=body, timeout=10
        )
        return response.status_code, response.json() if response.content else None

    def fails(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        status, content = self(method, path, body)
        assert status >= 400, content
        return status, content["errorCode"]

    def create(self, **more: Any) -> dict[str, Any]:
        status, account = self("POST", ACCOUNTS, {**NEW, "secretExpiresAfterHours": 8, **more})
        assert status == 201, account
        return dict(account)


@pytest.fixture
def api() -> Iterator[Api]:
    with Emulator(seed()) as emulator:
        yield Api(emulator)


def days_left(api: Api, secret: dict[str, Any]) -> float:
    moment = datetime.strptime(secret["expiresAt"], "%Y-%m-%dT%H:%M:%SZ")
    return (moment.replace(tzinfo=timezone.utc).timestamp() - api.emulator.wall()) / DAY


def test_an_account_is_created_changed_and_deleted(api: Api) -> None:
    account = api.create()
    path = f"{ACCOUNTS}/{account['clientId']}"
    (secret,) = account["secrets"]
    assert secret["secret"].startswith("mdb_sa_sk_")
    assert "maskedSecretValue" not in secret
    status, found = api("GET", path)
    (masked,) = found["secrets"]
    assert status == 200
    assert "secret" not in masked
    assert masked["maskedSecretValue"].endswith(secret["secret"][-4:])
    # A partial update changes only that part.
    assert api("PATCH", path, {"name": "build"})[1]["roles"] == ["ORG_READ_ONLY"]
    assert api("GET", ACCOUNTS)[1]["results"][-1]["name"] == "build"
    assert api("DELETE", path) == (204, None)
    assert api.fails("GET", path) == (404, "RESOURCE_NOT_FOUND")


def test_an_account_may_have_no_initial_secret(api: Api) -> None:
    body = {**NEW, "withoutInitialSecret": True}
    assert api("POST", ACCOUNTS, body)[1]["secrets"] == []
    both = {**body, "secretExpiresAfterHours": 8}
    assert api.fails("POST", ACCOUNTS, both) == (400, "MUTUALLY_EXCLUSIVE")
    api.emulator.settings.knows_without_initial_secret = False
    assert api.fails("POST", ACCOUNTS, body) == (400, "INVALID_ATTRIBUTE")
    assert api.fails("POST", ACCOUNTS, NEW) == (400, "MISSING_ATTRIBUTE")


@pytest.mark.parametrize(
    "field",
    [
        {"name": "a:b"},
        {"name": "x" * 65},
        {"description": "a/b"},
        {"roles": ["GROUP_OWNER"]},
        {"secretExpiresAfterHours": 7},
        {"secretExpiresAfterHours": 8761},
    ],
    ids=str,
)
def test_invalid_fields_are_refused(api: Api, field: dict[str, Any]) -> None:
    assert api.fails("POST", ACCOUNTS, {**NEW, "secretExpiresAfterHours": 8, **field})[0] == 400


def test_a_second_secret_shortens_the_first(api: Api) -> None:
    path = f"{ACCOUNTS}/{api.create(secretExpiresAfterHours=8760)['clientId']}"
    status, second = api("POST", f"{path}/secrets", {"secretExpiresAfterHours": 8760})
    assert status == 201
    assert 364 < days_left(api, second) <= 365
    first, _second = api("GET", path)[1]["secrets"]
    assert 6.9 < days_left(api, first) <= 7
    # An account has at most two secrets, even if both have expired.
    now = api.emulator.wall()
    api.emulator.wall = lambda: now + 400 * DAY
    body = {"secretExpiresAfterHours": 8}
    assert api.fails("POST", f"{path}/secrets", body) == (400, "VALIDATION_ERROR")
    assert api("DELETE", f"{path}/secrets/{first['id']}") == (204, None)
    assert api.fails("DELETE", f"{path}/secrets/{first['id']}")[0] == 404
    assert api("POST", f"{path}/secrets", body)[0] == 201


def test_tokens_become_invalid_with_their_secret_and_their_account(api: Api) -> None:
    owner = api.token
    path = f"{ACCOUNTS}/{api.create()['clientId']}"
    value = api("POST", f"{path}/secrets", {"secretExpiresAfterHours": 8})[1]["secret"]
    account = {"client_id": path.rpartition("/")[2], "client_secret": value}
    for target in (f"{path}/secrets/{api('GET', path)[1]['secrets'][1]['id']}", path):
        token = fetch_token(api.emulator.url, **account)
        api.token = token
        assert api("GET", ACCOUNTS)[0] == 200
        api.token = owner
        assert api("GET", path)[1]["secrets"][-1]["lastUsedAt"]
        assert api("DELETE", target)[0] == 204
        api.token = token
        assert api("GET", ACCOUNTS)[0] == 401
        api.token = owner
        if target != path:
            new = api("POST", f"{path}/secrets", {"secretExpiresAfterHours": 8})[1]
            account["client_secret"] = new["secret"]


def test_an_expired_secret_gets_no_token(api: Api) -> None:
    account = api.create()
    pair = {"client_id": account["clientId"], "client_secret": account["secrets"][0]["secret"]}
    fetch_token(api.emulator.url, **pair)
    now = api.emulator.wall()
    api.emulator.wall = lambda: now + DAY
    with pytest.raises(requests.HTTPError, match="401"):
        fetch_token(api.emulator.url, **pair)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("RESOURCE_NOT_FOUND", (404, "RESOURCE_NOT_FOUND")),
        ("SERVICE_ACCOUNT_NOT_FOUND", (404, "SERVICE_ACCOUNT_NOT_FOUND")),
        ("SERVICE_ACCOUNT_NOT_FOUND_400", (400, "SERVICE_ACCOUNT_NOT_FOUND")),
    ],
)
def test_a_missing_account_has_the_error_code_of_the_settings(
    api: Api, form: str, expected: tuple[int, str]
) -> None:
    api.emulator.settings.missing_account = form
    for method in ("GET", "PATCH", "DELETE"):
        assert api.fails(method, f"{ACCOUNTS}/{MISSING}", {}) == expected
    assert api.fails("GET", f"{IN_PROJECT}/{MISSING}") == expected


def test_system_managed_accounts_are_listed_only_on_request(api: Api) -> None:
    managed = {"client_id": MISSING, "client_secret": "mdb_sa_sk_x", "is_system_managed": True}
    start = seed()
    start["organizations"][0]["service_accounts"].append(managed)
    api.emulator.reset(start)
    api.token = fetch_token(api.emulator.url, "atlas")
    assert MISSING not in str(api("GET", ACCOUNTS))
    assert MISSING in str(api("GET", f"{ACCOUNTS}?includeSystemManaged=true"))
    assert api.fails("DELETE", f"{ACCOUNTS}/{MISSING}") == (401, "USER_UNAUTHORIZED")


def test_entries_are_added_to_and_removed_from_an_access_list(api: Api) -> None:
    path = f"{ACCOUNTS}/{client_id('atlas')}/accessList"
    body = [{"ipAddress": "127.0.0.1"}, {"cidrBlock": "192.0.2.0/24"}]
    status, listed = api("POST", path, body)
    assert (status, len(listed["results"])) == (200, 2)
    assert api.fails("POST", path, body[:1]) == (409, "ADDRESS_ALREADY_IN_ACCESS_LIST")
    assert api("DELETE", f"{path}/192.0.2.0%2F24") == (204, None)
    assert api.fails("DELETE", f"{path}/192.0.2.0%2F24")[0] == 404
    own = api.fails("DELETE", f"{path}/127.0.0.1")
    assert own == (400, "CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST")


def test_accounts_are_invited_to_and_removed_from_a_project(api: Api) -> None:
    account = api.create()["clientId"]
    path, roles = f"{IN_PROJECT}/{account}", {"roles": ["GROUP_READ_ONLY"]}
    assert api("POST", f"{path}:invite", roles)[1]["roles"] == ["GROUP_READ_ONLY"]
    status, again = api("POST", f"{path}:invite", roles)
    assert status == 400
    assert "SERVICE_ACCOUNT_ALREADY_IN_GROUP" in str(again)
    assert api("PATCH", path, {"roles": ["GROUP_OWNER"]})[1]["roles"] == ["GROUP_OWNER"]
    listed = api("GET", f"{ACCOUNTS}/{account}/groups")[1]["results"]
    assert listed == [{"groupId": project_id("atlas"), "roles": ["GROUP_OWNER"]}]
    assert api("GET", IN_PROJECT)[1]["results"][-1]["clientId"] == account
    assert api("DELETE", path) == (204, None)
    assert api("GET", f"{ACCOUNTS}/{account}")[1]["roles"] == ["ORG_READ_ONLY"]
    body = {**NEW, "roles": ["GROUP_OWNER"], "secretExpiresAfterHours": 8}
    assert api("POST", IN_PROJECT, body)[0] == 201


def test_only_owners_write(api: Api) -> None:
    account = api.create()
    pair = {"client_id": account["clientId"], "client_secret": account["secrets"][0]["secret"]}
    api.token = fetch_token(api.emulator.url, **pair)
    assert api("GET", ACCOUNTS)[0] == 200
    assert api.fails("POST", ACCOUNTS, NEW) == (401, "USER_UNAUTHORIZED")


def test_the_number_of_accounts_and_the_version_are_checked(api: Api) -> None:
    api.emulator.settings.max_service_accounts = 1
    body = {**NEW, "withoutInitialSecret": True}
    assert api.fails("POST", ACCOUNTS, body) == (400, "MAX_SERVICE_ACCOUNTS_PER_ORG_EXCEEDED")
    api.version = "2025-03-12"
    assert api("GET", ACCOUNTS)[0] == 200
    api.version = "2023-01-01"
    assert api.fails("GET", ACCOUNTS) == (406, "INVALID_VERSION_DATE")


def test_state_can_be_saved_and_loaded(api: Api) -> None:
    account = api.create()["clientId"]
    api("POST", f"{IN_PROJECT}/{account}:invite", {"roles": ["GROUP_OWNER"]})
    saved = api.emulator.state.to_seed()
    api.emulator.reset(saved)
    assert api.emulator.state.to_seed() == saved
    assert service_account("atlas")["client_id"] in str(saved)
