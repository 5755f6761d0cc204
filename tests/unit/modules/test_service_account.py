# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_account through its main(), against the emulator over real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.accounts import ACCOUNTS, BUILDS, MANAGED, MISSING_ACCOUNT, accounts, world
from tests.emulator import Emulator, Fault, service_accounts
from tests.support import Outcome, client_id, fetch_token, key_pair, org_id, run_module

SECRET = "mdb_sa_sk_0123456789"
PRESENT = {"name": "deploy", "description": "Deploys", "roles": ["ORG_READ_ONLY"]}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(world()) as running:
        yield running


def run(emulator: Emulator, **options: Any) -> Outcome:
    ours = {name: options.pop(name) for name in ("check", "diff", "clock") if name in options}
    credential = {} if {"client_id", "access_token"} & options.keys() else key_pair("atlas")
    base = {"base_url": emulator.url, "org_id": org_id("atlas"), **credential}
    return run_module("service_account", {**base, **options}, **ours)


def test_an_account_is_created_once(emulator: Emulator) -> None:
    checked = run(emulator, **PRESENT, check=True, diff=True)
    assert emulator.writes == []
    real = run(emulator, **PRESENT, diff=True)
    again = run(emulator, **PRESENT, diff=True)
    assert [checked.changed, real.changed, again.changed] == [True, True, False]
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


def test_a_first_secret_is_returned_once(emulator: Emulator) -> None:
    outcome = run(emulator, **PRESENT, secret_expires_after_hours=8)
    secret = outcome.result["client_secret"]
    created = outcome.result["service_account"]
    assert fetch_token(emulator.url, client_id=created["client_id"], client_secret=secret)
    assert [sorted(item) for item in created["secrets"]] == [
        ["created_at", "expires_at", "id", "last_used_at"]
    ]
    again = run(emulator, **PRESENT, secret_expires_after_hours=24)
    assert not again.changed
    assert "client_secret" not in again.result


def test_a_first_secret_is_written_to_a_file(emulator: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "deploy.json"
    options = {**PRESENT, "secret_expires_after_hours": 8, "credentials_file": str(file)}
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
    outcome = run(emulator, service_account_id=BUILDS, **options, check=check, diff=True)
    expected = {"name": "build", "description": "new", "roles": ["ORG_MEMBER"]}
    assert outcome.result["diff"]["after"] == expected
    assert len(emulator.writes) == (0 if check else 1)
    if not check:
        assert not run(emulator, name="builds", **options).changed


def test_unset_options_are_not_compared(emulator: Emulator) -> None:
    outcome = run(emulator, service_account_id=BUILDS, description="Builds")
    assert (outcome.changed, outcome.failed) == (False, False)


def test_roles_are_compared_exactly(emulator: Emulator) -> None:
    """Unlike a key, an account does not get ORG_MEMBER from the API."""
    before = accounts(emulator)[BUILDS].roles
    outcome = run(emulator, service_account_id=BUILDS, roles=[*before, "ORG_MEMBER"])
    assert outcome.changed


@pytest.mark.parametrize("form", ["RESOURCE_NOT_FOUND", "SERVICE_ACCOUNT_NOT_FOUND_400"])
@pytest.mark.parametrize("identity", [{"service_account_id": BUILDS}, {"name": "builds"}], ids=str)
def test_an_account_is_deleted_once(
    emulator: Emulator, identity: dict[str, str], form: str
) -> None:
    emulator.settings.missing_account = form
    checked = run(emulator, **identity, state="absent", check=True, diff=True)
    assert emulator.writes == []
    real = run(emulator, **identity, state="absent", wait=True, diff=True)
    again = run(emulator, **identity, state="absent", diff=True)
    assert [checked.changed, real.changed, again.changed] == [True, True, False]
    assert real.result["service_account"]["client_id"] == BUILDS
    assert checked.result["diff"] == real.result["diff"]
    assert again.result["service_account"] is None
    assert BUILDS not in accounts(emulator)


def test_only_the_full_list_proves_absence(emulator: Emulator) -> None:
    """A system-managed account is listed only on request, but must not count as missing."""
    run(emulator, service_account_id=MISSING_ACCOUNT, state="absent")
    queries = [request.query for request in emulator.requests if request.path == ACCOUNTS]
    assert [query["includeSystemManaged"] for query in queries] == ["true"]


def test_a_404_for_a_listed_account_is_an_error(emulator: Emulator) -> None:
    code = {"status": 404, "code": "RESOURCE_NOT_FOUND", "parameters": [BUILDS]}
    emulator.add_fault(Fault("status", path=f"{ACCOUNTS}/{BUILDS}", **code))
    outcome = run(emulator, service_account_id=BUILDS, state="absent")
    assert (outcome.failed, outcome.code) == (True, "RESOURCE_NOT_FOUND")
    assert BUILDS in accounts(emulator)


def test_a_missing_organization_is_not_a_missing_account(emulator: Emulator) -> None:
    missing = "deadbeefdeadbeefdeadbeef"
    outcome = run(emulator, org_id=missing, service_account_id=BUILDS, state="absent")
    assert outcome.failed


@pytest.mark.parametrize("options", [{"state": "absent"}, {"new_name": "mine"}], ids=str)
def test_system_managed_accounts_are_never_changed(
    emulator: Emulator, options: dict[str, str]
) -> None:
    outcome = run(emulator, service_account_id=MANAGED, **options)
    assert outcome.result["error"]["type"] == "guard"
    assert emulator.writes == []


def test_an_id_never_creates_an_account(emulator: Emulator) -> None:
    outcome = run(emulator, service_account_id=MISSING_ACCOUNT, roles=["ORG_MEMBER"])
    assert outcome.result["error"]["type"] == "missing"
    assert emulator.writes == []


def test_an_ambiguous_name_is_refused(emulator: Emulator) -> None:
    outcome = run(emulator, name="twin", state="absent")
    assert outcome.result["error"]["type"] == "ambiguous"
    twins = [key for key, account in accounts(emulator).items() if account.name == "twin"]
    assert len(twins) == 2
    assert all(twin in outcome.msg for twin in twins)


def test_a_look_alike_of_a_name_is_refused_unless_ignored(emulator: Emulator) -> None:
    outcome = run(emulator, name="Builds", state="absent")
    assert outcome.result["error"]["type"] == "ambiguous"
    assert BUILDS in outcome.msg
    assert not run(emulator, name="Builds", state="absent", look_alikes="ignore").changed


@pytest.mark.parametrize("options", [{"state": "absent"}, {"roles": ["ORG_MEMBER"]}], ids=str)
def test_the_signing_account_is_guarded(emulator: Emulator, options: dict[str, Any]) -> None:
    own = client_id("atlas")
    account = {"client_id": own, "client_secret": accounts(emulator)[own].secrets[0].value}
    outcome = run(emulator, service_account_id=own, **options, **account)
    assert outcome.result["error"]["type"] == "own_credential"
    assert emulator.writes == []
    allowed = run(emulator, service_account_id=own, **options, **account, allow_own_account=True)
    assert (allowed.changed, allowed.failed) == (True, False)


def test_a_token_does_not_identify_its_account(emulator: Emulator) -> None:
    token = {"access_token": fetch_token(emulator.url, "atlas")}
    target = {"service_account_id": BUILDS, "state": "absent"}
    outcome = run(emulator, **target, **token)
    assert outcome.result["error"]["type"] == "own_credential"
    assert "client_id" in outcome.msg
    for wrong in ({"client_id": "x"}, {"client_id": BUILDS, "client_secret": SECRET}):
        refused = run(emulator, **target, **token, **wrong)
        assert refused.result["error"]["type"] == "options"
        assert "access_token" in refused.msg
        assert "client_id" in refused.msg
    # With a token, client_id identifies the account.
    own = run(emulator, **target, **token, client_id=BUILDS)
    assert own.result["error"]["type"] == "own_credential"
    assert run(emulator, **target, **token, client_id=client_id("atlas")).changed


def test_a_lost_creation_without_a_secret_is_looked_up_and_succeeds(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_after", method="POST", path=ACCOUNTS))
    outcome = run(emulator, **PRESENT)
    assert outcome.changed
    assert len(emulator.writes) == 1
    assert outcome.result["service_account"]["client_id"] in accounts(emulator)


def test_a_lost_creation_with_a_secret_reports_what_is_left(emulator: Emulator) -> None:
    known = set(accounts(emulator))
    emulator.add_fault(Fault("lost_after", method="POST", path=ACCOUNTS))
    outcome = run(emulator, **PRESENT, secret_expires_after_hours=8)
    assert outcome.result["error"]["type"] == "orphan"
    assert {*outcome.result["error"]["parameters"]} == set(accounts(emulator)) - known


def test_a_lost_deletion_counts_as_a_change(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_after", method="DELETE", path=f"{ACCOUNTS}/{BUILDS}"))
    assert run(emulator, service_account_id=BUILDS, state="absent").changed


def test_an_api_without_the_field_fails_and_suggests_the_option(emulator: Emulator) -> None:
    emulator.settings.knows_without_initial_secret = False
    outcome = run(emulator, **PRESENT)
    assert outcome.failed
    assert "secret_expires_after_hours" in outcome.msg


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "name"),
        ({"name": "x", "service_account_id": BUILDS}, "service_account_id"),
        ({"service_account_id": "abcdefgh"}, "org_api_key"),
        ({"service_account_id": "32b6e34b3d91647abb20e7b8"}, "org_api_key"),
        ({"service_account_id": "x"}, "mdb_sa_id_"),
        ({"name": "a:b"}, "name"),
        ({"name": "x" * 65}, "64"),
        ({"name": "deploy", "description": "x" * 251}, "250"),
        ({"name": "deploy", "secret_expires_after_hours": 7}, "8"),
        ({"name": "deploy", "secret_expires_after_hours": 8761}, "8760"),
        ({"name": "deploy", "credentials_file": "/tmp/x"}, "secret_expires_after_hours"),
        ({"name": "deploy", "new_name": "x", "state": "absent"}, "new_name"),
        ({"name": "deploy", "platform": "ops_manager"}, "Ops Manager"),
        ({"name": SECRET}, "secret"),
        ({"service_account_id": SECRET}, "mdb_sa_id_"),
        ({"name": SECRET, "state": "absent"}, "secret"),
        ({"name": "a:b", "state": "absent"}, "name"),
        ({"name": " "}, "space"),
        ({"name": "deploy", "new_name": "x "}, "space"),
        ({"name": "deploy", "roles": ["GROUP_OWNER"]}, "project_service_account"),
        ({"name": "deploy", "roles": []}, "service account"),
        ({"name": "x", "credentials_file": ""}, "client secret"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_any_request(
    emulator: Emulator, options: dict[str, Any], word: str
) -> None:
    outcome = run(emulator, **options)
    assert outcome.result["error"]["type"] == "options"
    assert word in outcome.msg
    assert SECRET not in outcome.output
    assert emulator.requests == []


def test_a_new_account_needs_roles(emulator: Emulator) -> None:
    outcome = run(emulator, name="deploy")
    assert outcome.result["error"]["type"] == "options"
    assert emulator.writes == []


def test_an_account_gains_no_roles_by_name_without_its_file(
    emulator: Emulator, tmp_path: Path
) -> None:
    """Anyone who can create accounts can give one this name."""
    file = {"credentials_file": str(tmp_path / "x.json"), "secret_expires_after_hours": 8}
    options = {"name": "builds", "roles": ["ORG_OWNER"], **file}
    assert run(emulator, **options).result["error"]["type"] == "guard"
    assert emulator.writes == []
    assert run(emulator, **options, adopt=True).changed


def test_an_owner_identified_by_name_gives_a_warning(emulator: Emulator) -> None:
    outcome = run(emulator, name="builds", roles=["ORG_OWNER"])
    assert outcome.changed
    assert BUILDS in str(outcome.result["warnings"])


def test_few_requests_are_sent(emulator: Emulator) -> None:
    """With a key pair, only the first request gets a challenge."""
    for state, expected in (("present", 2), ("absent", 3), ("absent", 3)):
        before = len(emulator.requests)
        options = {"state": state, "service_account_id": BUILDS}
        run(emulator, **options)
        assert len(emulator.requests) - before == expected, state


UPPER = f"mdb_sa_id_{BUILDS.removeprefix('mdb_sa_id_').upper()}"


@pytest.mark.parametrize(
    "refusal",
    [
        {"status": 404, "code": "SERVICE_ACCOUNT_NOT_FOUND"},
        {"status": 400, "code": "SERVICE_ACCOUNT_NOT_FOUND"},
        {"status": 404, "code": "RESOURCE_NOT_FOUND", "parameters": [f"with ID {MISSING_ACCOUNT}"]},
        {"status": 404, "code": "NO_SUCH_CLIENT", "parameters": [MISSING_ACCOUNT]},
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
        ("status", {"status": 404}),
        ("status", {"status": 404, "code": "Not Found"}),
        ("status", {"status": 404, "code": "RESOURCE_NOT_FOUND"}),
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
    outcome = run(emulator, service_account_id=BUILDS, state="absent", **token)
    assert outcome.result["error"]["type"] == "own_credential"
    assert BUILDS in accounts(emulator)


def test_an_old_api_does_not_say_which_accounts_are_managed(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = service_accounts._show

    def show_less(*args: Any, **more: Any) -> dict[str, Any]:
        shown = show(*args, **more)
        del shown["systemManaged"]
        return shown

    monkeypatch.setattr(service_accounts, "_show", show_less)
    outcome = run(emulator, service_account_id=MANAGED, state="absent")
    assert outcome.result["error"]["type"] == "guard"
    assert run(emulator, service_account_id=BUILDS, state="absent").changed


def test_an_existing_account_without_its_file_is_reported(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The task suggests that a file holds a secret of this account, but no file does."""
    file = {"credentials_file": str(tmp_path / "x.json"), "secret_expires_after_hours": 8}
    outcome = run(emulator, name="builds", **file)
    assert (outcome.changed, outcome.failed) == (False, False)
    assert "service_account_secret" in str(outcome.result["warnings"])


@pytest.mark.parametrize(
    ("hours", "expected", "not_expected"),
    [(8, "service_account_secret", "x.json"), (None, "may have created", "is lost")],
)
def test_what_a_lost_creation_left_behind_is_reported(
    emulator: Emulator, hours: int | None, expected: str, not_expected: str
) -> None:
    """The account may exist, but it cannot be read."""
    known = set(accounts(emulator))
    emulator.add_fault(Fault("lost_after", method="POST", path=ACCOUNTS))
    failure = {"status": 500, "code": "UNEXPECTED_ERROR"}
    emulator.add_fault(Fault("status", path=f"{ACCOUNTS}/*", times=None, **failure))
    outcome = run(emulator, **PRESENT, secret_expires_after_hours=hours, retries=0)
    assert outcome.result["error"]["type"] == "orphan"
    assert {*outcome.result["error"]["parameters"]} == set(accounts(emulator)) - known
    assert expected in outcome.msg
    assert not_expected not in outcome.msg


def test_a_full_organization_is_not_an_old_api(emulator: Emulator) -> None:
    emulator.settings.max_service_accounts = 1
    outcome = run(emulator, **PRESENT)
    assert outcome.code == "MAX_SERVICE_ACCOUNTS_PER_ORG_EXCEEDED"
    assert "delete unused ones" in outcome.msg
    assert "secret_expires_after_hours" not in outcome.msg


def test_no_request_follows_a_lost_deletion_of_the_signing_account(emulator: Emulator) -> None:
    own = client_id("atlas")
    account = {"client_id": own, "client_secret": accounts(emulator)[own].secrets[0].value}
    emulator.add_fault(Fault("lost_after", method="DELETE", path=f"{ACCOUNTS}/{own}"))
    target = {"service_account_id": own, "state": "absent", "allow_own_account": True}
    outcome = run(emulator, **target, **account)
    assert outcome.failed
    assert "may have been carried out" in outcome.msg
    oauth = [request.path for request in emulator.requests if "/oauth/" in request.path]
    assert oauth == ["/api/oauth/token"]


def test_a_look_alike_is_quoted_once(emulator: Emulator) -> None:
    assert run(emulator, name="Builds", state="absent").msg.count("'builds'") == 1
