# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the JSON of service accounts and their secrets is read."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import (
    UnreadableError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _service_accounts,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._service_accounts import (
    Secret,
    ServiceAccount,
)

CLIENT_ID = "mdb_sa_id_5a0000000000000000000001"
OLDER, NEWER = "5a0000000000000000000002", "5a0000000000000000000003"
SECRET = {
    "id": NEWER,
    "createdAt": "2026-01-02T03:04:05Z",
    "expiresAt": "2027-01-02T03:04:05.678Z",
    "lastUsedAt": "2026-02-03T00:00:00+00:00",
    "maskedSecretValue": "mdb_sa_sk_****aaaa",
}
ACCOUNT = {
    "clientId": CLIENT_ID,
    "name": "builds",
    "description": "Builds",
    "roles": ["ORG_READ_ONLY", "ORG_MEMBER", "ORG_MEMBER"],
    "createdAt": "2026-01-01T00:00:00Z",
    "systemManaged": False,
    "secrets": [SECRET, {**SECRET, "id": OLDER, "createdAt": "2025-01-01T00:00:00Z"}],
}
OWNER = f"service account {CLIENT_ID}"


def test_an_account_is_read() -> None:
    dates = ("2027-01-02T03:04:05Z", "2026-02-03T00:00:00Z", "mdb_sa_sk_****aaaa")
    assert _service_accounts.parse(ACCOUNT) == ServiceAccount(
        id=CLIENT_ID,
        name="builds",
        description="Builds",
        roles=("ORG_MEMBER", "ORG_READ_ONLY"),
        created_at="2026-01-01T00:00:00Z",
        secrets=(
            Secret(OLDER, "2025-01-01T00:00:00Z", *dates),
            Secret(NEWER, "2026-01-02T03:04:05Z", *dates),
        ),
        is_system_managed=False,
    )


@pytest.mark.parametrize("data", [None, [], {}, "text", 1])
def test_something_else_is_not_an_account(data: Any) -> None:
    assert _service_accounts.parse(data) is None


def test_only_the_id_is_required() -> None:
    assert _service_accounts.parse({"clientId": CLIENT_ID}) == ServiceAccount(
        CLIENT_ID, name="", description="", roles=(), shows_secrets=False
    )


@pytest.mark.parametrize(
    ("secrets", "shows_secrets"), [(None, False), ([], True), ([SECRET], True)]
)
def test_whether_secrets_are_listed_is_known(secrets: Any, shows_secrets: bool) -> None:
    account = _service_accounts.parse({**ACCOUNT, "secrets": secrets})
    assert account is not None
    assert account.shows_secrets is shows_secrets


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("true", None), (None, None)])
def test_only_a_boolean_says_whether_an_account_is_managed(value: Any, expected: Any) -> None:
    account = _service_accounts.parse({**ACCOUNT, "systemManaged": value})
    assert account is not None
    assert account.is_system_managed is expected


UNNAMED = "a service account without a readable ID: clientId"


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("clientId", None, f"{UNNAMED} is missing"),
        ("clientId", 1, f"{UNNAMED} is a number"),
        ("clientId", "../x", f"{UNNAMED} is an unexpected string"),
        ("name", 5, f"{OWNER}: name is a number"),
        ("description", ["x"], f"{OWNER}: description is an unexpected list"),
        ("roles", "ORG_OWNER", f"{OWNER}: roles is an unexpected string"),
        ("roles", ["ORG_OWNER", 1], f"{OWNER}: roles is an unexpected list"),
        ("createdAt", "yesterday", f"{OWNER}: createdAt is an unexpected string"),
        ("createdAt", "2026-01-01T00:00:00+02:00", f"{OWNER}: createdAt is an unexpected string"),
        ("createdAt", 1770000000, f"{OWNER}: createdAt is a number"),
        ("secrets", {}, f"{OWNER}: secrets is an object"),
        ("secrets", [None], f"a secret of {OWNER}: id is missing"),
    ],
)
def test_an_unreadable_field_is_named_without_its_value(name: str, value: Any, error: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        _service_accounts.parse({**ACCOUNT, name: value})
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("id", "x/y", "a secret of the owner: id is an unexpected string"),
        ("id", None, "a secret of the owner: id is missing"),
        ("createdAt", None, f"secret {NEWER} of the owner: createdAt is missing"),
        ("createdAt", "x", f"secret {NEWER} of the owner: createdAt is an unexpected string"),
        ("expiresAt", None, f"secret {NEWER} of the owner: expiresAt is missing"),
        ("expiresAt", True, f"secret {NEWER} of the owner: expiresAt is a boolean"),
        ("lastUsedAt", {}, f"secret {NEWER} of the owner: lastUsedAt is an object"),
    ],
)
def test_an_unreadable_field_of_a_secret_is_named(name: str, value: Any, error: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        _service_accounts.parse_secret({**SECRET, name: value}, "the owner")
    assert str(caught.value) == error


@pytest.mark.parametrize(("name", "expected"), [("lastUsedAt", None), ("maskedSecretValue", "")])
def test_a_secret_may_lack_a_field(name: str, expected: Any) -> None:
    secret = _service_accounts.parse_secret({**SECRET, name: None}, "the owner")
    assert {"lastUsedAt": secret.last_used_at, "maskedSecretValue": secret.masked}[name] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mdb_sa_sk_0123", "mdb_sa_sk_0123"),
        ("mdb_sa_sk_****", None),
        ("mdb_sa_sk_...0123", None),
        ("", None),
        (None, None),
        (1, None),
    ],
)
def test_only_a_value_without_a_mask_is_clear(value: Any, expected: Any) -> None:
    assert _service_accounts.clear_value({"secret": value}) == expected


def test_a_time_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert _service_accounts.seconds("1970-01-02T00:00:01.5Z") == 86401
    assert _service_accounts.seconds("1970-01-02T00:00:01-0000") == 86401
    monkeypatch.undo()
    time.tzset()


def test_a_message_shows_what_an_account_is_and_should_be() -> None:
    roles = ("ORG_MEMBER", "ORG_READ_ONLY")
    wanted = ServiceAccount(CLIENT_ID, "builds", "Builds", roles)
    asked = _service_accounts._wanted(wanted.writable())
    for text in ("'builds'", "'Builds'", "roles ORG_MEMBER, ORG_READ_ONLY"):
        assert text in asked.text
    bare = ServiceAccount(CLIENT_ID, "other", "", ())
    assert asked.state(bare).startswith("'other', described as '', ")
    assert asked.state(bare).endswith(" the roles none")
    # Only leaving out a field does not contradict the request.
    assert asked.fill({"name": "other", "roles": None}, bare) == replace(wanted, name="other")
