# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_account through its main(), against the emulator over real sockets."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from tests.accounts import (
    ACCOUNTS,
    BUILDS,
    MISSING_ACCOUNT,
    accounts,
    emulator_with_accounts,
    hide,
    run_task,
)
from tests.emulator import Emulator, Fault, service_accounts
from tests.support import client_id, fetch_token, org_id, service_account

PRESENT = {"name": "deploy", "description": "Deploys", "roles": ["ORG_READ_ONLY"]}
HOURS = {"secret_expires_after_hours": 8}
emulator = emulator_with_accounts
run = partial(run_task, "service_account")


def test_an_account_is_created_once(emulator: Emulator) -> None:
    checked, real = (run(emulator, **PRESENT, check=check, diff=True) for check in (True, False))
    again = run(emulator, **PRESENT)
    after = {**PRESENT, "secrets": []}
    assert checked.result["diff"] == real.result["diff"] == {"before": {}, "after": PRESENT}
    shown = real.result["service_account"]
    assert {name: shown[name] for name in after} == after
    assert checked.result["service_account"] == {**shown, "client_id": None, "created_at": None}
    assert again.result["service_account"] == shown
    assert json.loads(emulator.writes[0].body)["withoutInitialSecret"] is True
    assert "client_secret" not in real.result


def test_the_description_of_a_new_account_is_its_name(emulator: Emulator) -> None:
    outcome = run(emulator, name="deploy", roles=["ORG_MEMBER"])
    assert outcome.result["service_account"]["description"] == "deploy"


def test_a_first_secret_is_returned(emulator: Emulator) -> None:
    outcome = run(emulator, **PRESENT, **HOURS)
    secret = outcome.result["client_secret"]
    created = outcome.result["service_account"]
    assert fetch_token(emulator.url, client_id=created["client_id"], client_secret=secret)
    assert [sorted(item) for item in created["secrets"]] == [
        ["created_at", "expires_at", "id", "last_used_at"]
    ]


def test_a_first_secret_is_written_to_a_file(emulator: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "deploy.json"
    options = {**PRESENT, **HOURS, "credentials_file": str(file)}
    outcome = run(emulator, **options)
    assert "client_secret" not in outcome.result
    written = json.loads(file.read_text("utf-8"))
    assert file.stat().st_mode & 0o777 == 0o600
    account = outcome.result["service_account"]
    (secret,) = account["secrets"]
    assert written["client_secret"] not in outcome.output
    assert written == {
        "org_id": org_id("atlas"),
        "client_id": account["client_id"],
        "name": "deploy",
        "secret_id": secret["id"],
        "client_secret": written["client_secret"],
        "expires_at": secret["expires_at"],
    }
    assert run(emulator, **options).result.get("warnings", []) == []


@pytest.mark.parametrize("check", [True, False])
def test_only_differences_are_changed(emulator: Emulator, check: bool) -> None:
    options = {"new_name": "build", "description": "new", "roles": ["ORG_MEMBER"]}
    outcome = run(emulator, **options, check=check, diff=True)
    expected = {"name": "build", "description": "new", "roles": ["ORG_MEMBER"]}
    assert outcome.result["diff"]["after"] == expected
    assert len(emulator.writes) == (0 if check else 1)
    if not check:
        assert not run(emulator, name="builds", **options).changed


def test_roles_are_compared_exactly(emulator: Emulator) -> None:
    """Unlike a key, an account does not get ORG_MEMBER from the API."""
    before = accounts(emulator)[BUILDS].roles
    outcome = run(emulator, roles=[*before, "ORG_MEMBER"])
    assert outcome.changed


def test_a_missing_organization_is_not_a_missing_account(emulator: Emulator) -> None:
    missing = "deadbeefdeadbeefdeadbeef"
    outcome = run(emulator, org_id=missing, service_account_id=BUILDS, state="absent")
    assert outcome.failed


def test_a_lost_creation_without_a_secret_is_looked_up_and_succeeds(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_after", method="POST", path=ACCOUNTS))
    outcome = run(emulator, **PRESENT)
    assert outcome.changed
    assert len(emulator.writes) == 1
    assert outcome.result["service_account"]["client_id"] in accounts(emulator)


def test_a_lost_creation_whose_secrets_are_not_listed_is_reported(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account may have a secret whose value is lost."""
    hide(monkeypatch, "secrets")
    emulator.add_fault(Fault("lost_after", method="POST", path=ACCOUNTS))
    assert run(emulator, **PRESENT).result["error"]["type"] == "orphan"


def test_an_api_without_the_field_fails_and_suggests_the_option(emulator: Emulator) -> None:
    emulator.settings.knows_without_initial_secret = False
    outcome = run(emulator, **PRESENT)
    assert outcome.failed
    assert "cannot create an account without a secret" in outcome.msg
    assert "secret_expires_after_hours" in outcome.msg


def test_an_account_gains_no_roles_by_name_without_its_file(
    emulator: Emulator, tmp_path: Path
) -> None:
    """Anyone who can create accounts can give one this name."""
    file = {"credentials_file": str(tmp_path / "x.json"), **HOURS}
    options = {"name": "builds", "roles": ["ORG_OWNER"], **file}
    assert run(emulator, **options).result["error"]["type"] == "guard"
    assert emulator.writes == []
    adopted = run(emulator, **options, adopt=True)
    assert adopted.changed
    assert "no secret was created for it" in str(adopted.result["warnings"])


def test_an_account_may_gain_roles_if_the_file_holds_it(emulator: Emulator, tmp_path: Path) -> None:
    options = {**PRESENT, **HOURS, "credentials_file": str(tmp_path / "deploy.json")}
    assert run(emulator, **options).changed
    more = run(emulator, **{**options, "roles": ["ORG_MEMBER", "ORG_READ_ONLY"]})
    assert (more.changed, more.failed) == (True, False), more.msg


@pytest.mark.parametrize("check", [True, False])
def test_the_signing_account_keeps_its_roles(emulator: Emulator, check: bool) -> None:
    own = {"service_account_id": client_id("atlas"), **service_account("atlas")}
    roles = accounts(emulator)[client_id("atlas")].roles
    outcome = run(emulator, **own, roles=["ORG_READ_ONLY"], check=check)
    assert outcome.result["error"]["type"] == "own_credential"
    assert "taking a role from it" in outcome.msg
    assert accounts(emulator)[client_id("atlas")].roles == roles


def test_an_account_is_not_created_by_id(emulator: Emulator) -> None:
    outcome = run(emulator, service_account_id=MISSING_ACCOUNT, roles=["ORG_MEMBER"])
    assert outcome.result["error"]["type"] == "missing"
    assert "To create an account, identify it by name." in outcome.msg


@pytest.mark.parametrize("is_undone", [True, False])
def test_an_account_whose_file_cannot_be_written_is_deleted_or_reported(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_undone: bool
) -> None:
    known = set(accounts(emulator))
    if not is_undone:
        emulator.add_fault(Fault("status", method="DELETE", times=None, status=403, code="X"))
    monkeypatch.setattr(_secret_file, "_create", Mock(side_effect=OSError(28, "No space")))
    outcome = run(emulator, **PRESENT, **HOURS, credentials_file=str(tmp_path / "deploy.json"))
    new = set(accounts(emulator)) - known
    assert (outcome.failed, outcome.changed) == (True, not is_undone)
    assert len(new) == (not is_undone)
    assert outcome.result["error"]["type"] == "orphan"
    assert all(account in outcome.msg for account in new)
    assert "the new service account" in outcome.msg


def test_an_owner_identified_by_name_gives_a_warning(emulator: Emulator) -> None:
    outcome = run(emulator, name="builds", roles=["ORG_OWNER"])
    assert outcome.changed
    assert BUILDS in str(outcome.result["warnings"])


UPPER = f"mdb_sa_id_{BUILDS.removeprefix('mdb_sa_id_').upper()}"


@pytest.mark.parametrize(
    "refusal",
    [
        {"status": 404, "code": "SERVICE_ACCOUNT_NOT_FOUND"},
        {"status": 400, "code": "SERVICE_ACCOUNT_NOT_FOUND"},
        {"status": 404, "code": "RESOURCE_NOT_FOUND", "parameters": [f"with ID {MISSING_ACCOUNT}"]},
        {"status": 404, "code": "NO_SUCH_CLIENT", "parameters": [MISSING_ACCOUNT]},
        {"status": 404, "code": "NO_SUCH_CLIENT"},
        {"status": 404, "code": "RESOURCE_NOT_FOUND"},
        {"status": 404},
    ],
    ids=str,
)
def test_any_refusal_about_the_account_needs_the_full_list(
    emulator: Emulator, refusal: dict[str, Any]
) -> None:
    """The codes are not published. Each of these is proof only together with the full list."""
    target = {"service_account_id": MISSING_ACCOUNT, "state": "absent"}
    path = f"{ACCOUNTS}/{MISSING_ACCOUNT}"
    emulator.add_fault(Fault("status", path=path, times=None, **refusal))
    assert (run(emulator, **target).failed, emulator.requests[-1].path) == (False, ACCOUNTS)
    for fault in (
        Fault("status", path=ACCOUNTS, status=403, code="USER_UNAUTHORIZED"),
        Fault("lost_before", path=ACCOUNTS, times=None),
        Fault("redirect", path=ACCOUNTS),
        Fault("json", path=ACCOUNTS, body={"results": []}),
    ):
        emulator.add_fault(fault)
        assert run(emulator, **target).failed, fault


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("status", {"status": 404, "code": "Not Found"}),
        ("status", {"status": 404, "code": "RESOURCE_NOT_FOUND", "parameters": ["/api/atlas/v2"]}),
        ("status", {"status": 400, "code": "INVALID_ATTRIBUTE", "parameters": [MISSING_ACCOUNT]}),
        ("status", {"status": 410, "code": "SERVICE_ACCOUNT_NOT_FOUND"}),
        ("html", {}),
        ("redirect", {}),
    ],
    ids=str,
)
def test_nothing_else_proves_absence(emulator: Emulator, name: str, refusal: Any) -> None:
    path = f"{ACCOUNTS}/{MISSING_ACCOUNT}"
    emulator.add_fault(Fault(name, path=path, times=None, **refusal))
    assert run(emulator, service_account_id=MISSING_ACCOUNT, state="absent").failed


def test_an_id_in_uppercase_is_the_same_account(emulator: Emulator) -> None:
    refused = run(emulator, service_account_id=UPPER, state="absent")
    assert refused.failed
    assert f"list has the service account {BUILDS}" in refused.msg
    token = {"access_token": fetch_token(emulator.url, "atlas"), "client_id": UPPER}
    outcome = run(emulator, state="absent", **token)
    assert outcome.result["error"]["type"] == "own_credential"
    assert BUILDS in accounts(emulator)


@pytest.mark.parametrize("identity", [{"name": "builds"}, {"service_account_id": BUILDS}], ids=str)
def test_an_existing_account_without_its_file_is_reported(
    emulator: Emulator, tmp_path: Path, identity: dict[str, str]
) -> None:
    """The task suggests that a file holds a secret of this account, but no file does."""
    file = {"credentials_file": str(tmp_path / "x.json"), **HOURS}
    outcome = run(emulator, **identity, **file)
    assert (outcome.changed, outcome.failed) == (False, False)
    assert "service_account_secret" in str(outcome.result["warnings"])


@pytest.mark.parametrize(
    ("hours", "expected", "not_expected"),
    [
        (8, ("its client secret is lost", "service_account_secret"), "x.json"),
        (None, ("may have created",), "is lost"),
    ],
)
def test_what_a_lost_creation_left_behind_is_reported(
    emulator: Emulator, hours: int | None, expected: tuple[str, ...], not_expected: str
) -> None:
    """The account may exist, but it cannot be read."""
    known = set(accounts(emulator))
    emulator.add_fault(Fault("lost_after", method="POST", path=ACCOUNTS))
    failure = {"status": 500, "code": "UNEXPECTED_ERROR"}
    emulator.add_fault(Fault("status", path=f"{ACCOUNTS}/*", times=None, **failure))
    outcome = run(emulator, **PRESENT, secret_expires_after_hours=hours, retries=0)
    assert outcome.result["error"]["type"] == "orphan"
    assert {*outcome.result["error"]["parameters"]} == set(accounts(emulator)) - known
    assert all(text in outcome.msg for text in expected)
    assert not_expected not in outcome.msg


@pytest.mark.parametrize("hours", [8, None])
def test_a_creation_that_left_nothing_behind_is_reported(
    emulator: Emulator, hours: int | None
) -> None:
    emulator.add_fault(Fault("lost_before", method="POST", path=ACCOUNTS))
    outcome = run(emulator, **PRESENT, secret_expires_after_hours=hours, retries=0)
    error = outcome.result["error"]
    assert (error["type"], error["parameters"]) == ("orphan", [])
    assert "No new service account" in outcome.msg
    assert "New service accounts" not in outcome.msg


def test_an_account_whose_first_secret_is_not_returned_is_reported(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "secrets")
    outcome = run(emulator, **PRESENT, **HOURS)
    error = outcome.result["error"]
    assert (error["type"], len(error["parameters"])) == ("orphan", 1)
    assert outcome.changed


def test_an_account_with_a_secret_that_the_task_did_not_request_is_reported(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = service_accounts._create

    def create_with_secret(call: Any, organization: Any, body: dict[str, Any]) -> Any:
        return create(call, organization, {**body, "secretExpiresAfterHours": 8})

    monkeypatch.setattr(service_accounts, "_create", create_with_secret)
    outcome = run(emulator, **PRESENT)
    error = outcome.result["error"]
    assert (error["type"], len(error["parameters"])) == ("orphan", 1)
    assert outcome.changed


def test_a_full_organization_is_not_an_old_api(emulator: Emulator) -> None:
    emulator.settings.max_service_accounts = 1
    outcome = run(emulator, **PRESENT)
    assert outcome.code == "MAX_SERVICE_ACCOUNTS_PER_ORG_EXCEEDED"
    assert "delete unused ones" in outcome.msg
    assert "secret_expires_after_hours" not in outcome.msg


def test_a_new_account_never_replaces_the_file_of_another_one(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "deploy.json"
    options = {**PRESENT, **HOURS, "credentials_file": str(file)}
    monkeypatch.setattr(tempfile, "TemporaryFile", Mock(side_effect=OSError(28, "No space")))
    assert run(emulator, **options, check=True).changed
    assert run(emulator, **options).result["error"]["type"] == "options"
    monkeypatch.undo()
    assert run(emulator, **options).changed
    before = file.read_text("utf-8")
    outcome = run(emulator, **{**options, "name": "other"})
    assert outcome.result["error"]["type"] == "options"
    assert "other" not in [account.name for account in accounts(emulator).values()]
    assert file.read_text("utf-8") == before


def test_a_lost_change_shows_what_the_account_is_like(emulator: Emulator) -> None:
    """Another task may have changed it at the same time."""
    account = {"name": "builds", "description": "Builds", "roles": ["ORG_READ_ONLY"]}
    now = {**account, "description": "other"}
    body = {"clientId": BUILDS, **now, "systemManaged": False, "secrets": []}
    emulator.add_fault(Fault("lost_before", method="PATCH"))
    emulator.add_fault(Fault("json", method="GET", after=1, times=None, body=body))
    outcome = run(emulator, description="new", diff=True)
    assert outcome.failed
    assert outcome.result["diff"] == {"before": account, "after": now}
    assert outcome.result["service_account"]["description"] == "other"
