# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for service accounts have in common, against the emulator over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.accounts import (
    ACCOUNTS,
    BUILDS,
    MANAGED,
    MISSING_ACCOUNT,
    SECRET_IDS,
    TWINS,
    accounts,
    emulator_with_accounts,
    hide,
    run_task,
    signing,
)
from tests.emulator import Emulator, Fault
from tests.support import client_id, fetch_token, project_id

Options = dict[str, Any]
ACCOUNT, SECRET, INFO = "service_account", "service_account_secret", "service_account_info"
LIST, PROJECT = "service_account_access_list", "project_service_account"
CLIENT_SECRET = "mdb_sa_sk_0123456789"
ABSENT = {"state": "absent"}
HOURS = {"secret_expires_after_hours": 8760}
IN_PROJECT = {"project_id": project_id("atlas"), "roles": ["GROUP_OWNER"]}
TASKS: list[tuple[str, Options]] = [
    (ACCOUNT, {"roles": ["ORG_MEMBER"]}),
    (ACCOUNT, ABSENT),
    (SECRET, HOURS),
    (SECRET, {**ABSENT, "secret_id": SECRET_IDS[0]}),
    (LIST, {"entries": ["127.0.0.1"]}),
    (LIST, {"entries": ["127.0.0.1"], **ABSENT}),
    (PROJECT, IN_PROJECT),
    (PROJECT, {**IN_PROJECT, **ABSENT}),
]
DELETIONS = [TASKS[1], TASKS[3]]
each_task = pytest.mark.parametrize(("module", "options"), TASKS, ids=str)
emulator = emulator_with_accounts


@each_task
def test_a_missing_account_is_an_error_unless_state_is_absent(
    emulator: Emulator, module: str, options: Options
) -> None:
    outcome = run_task(module, emulator, service_account_id=MISSING_ACCOUNT, **options)
    expected = None if "state" in options else "missing"
    assert outcome.result.get("error", {}).get("type") == expected
    assert (outcome.changed, emulator.writes) == (False, [])
    assert ACCOUNTS in [request.path for request in emulator.requests]


@pytest.mark.parametrize(
    ("option", "value"), [("service_account_id", MISSING_ACCOUNT), ("name", "nobody")]
)
def test_an_error_about_a_missing_account_names_it(
    emulator: Emulator, option: str, value: str
) -> None:
    outcome = run_task(SECRET, emulator, **HOURS, **{option: value})
    assert outcome.result["error"]["type"] == "missing"
    assert value in outcome.msg


@pytest.mark.parametrize("hidden", ["nothing", "systemManaged"])
@each_task
def test_only_system_managed_accounts_are_never_changed(
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    options: Options,
    hidden: str,
) -> None:
    """Even if an old API does not say which accounts these are."""
    hide(monkeypatch, hidden)
    outcome = run_task(module, emulator, service_account_id=MANAGED, **options)
    error = outcome.result["error"]
    assert (error["type"], error["parameters"]) == ("guard", [MANAGED])
    assert emulator.writes == []
    assert not run_task(module, emulator, **options).failed


@pytest.mark.parametrize(("name", "found"), [("twin", TWINS), ("Builds", [BUILDS])])
@each_task
def test_a_name_must_be_the_exact_name_of_one_account(
    emulator: Emulator, module: str, options: Options, name: str, found: list[str]
) -> None:
    outcome = run_task(module, emulator, name=name, **options)
    assert outcome.result["error"]["type"] == "ambiguous"
    assert all(account in outcome.msg for account in found)
    assert outcome.msg.count("'builds'") == (name == "Builds")
    assert emulator.writes == []


@pytest.mark.parametrize(("options", "changed"), [(TASKS[0][1], True), (ABSENT, False)])
def test_look_alikes_can_be_ignored(emulator: Emulator, options: Options, changed: bool) -> None:
    outcome = run_task(ACCOUNT, emulator, name="Builds", look_alikes="ignore", **options)
    assert (outcome.changed, outcome.failed) == (changed, False)


@pytest.mark.parametrize(("module", "options"), [*TASKS[:2], TASKS[4], TASKS[7]], ids=str)
def test_the_signing_account_is_guarded(emulator: Emulator, module: str, options: Options) -> None:
    """Even if the project's list does not show its roles."""
    own = client_id("atlas")
    accounts(emulator)[own].projects = {project_id("atlas"): []}
    task = {"service_account_id": own, **options, **signing(emulator, own)}
    assert run_task(module, emulator, **task).result["error"]["type"] == "own_credential"
    assert emulator.writes == []
    assert run_task(module, emulator, **task, allow_own_account=True).changed


@pytest.mark.parametrize(("module", "options"), DELETIONS, ids=str)
def test_a_token_does_not_identify_its_account(
    emulator: Emulator, module: str, options: Options
) -> None:
    token = {"access_token": fetch_token(emulator.url, "atlas"), **options}
    outcome = run_task(module, emulator, **token)
    assert outcome.result["error"]["type"] == "own_credential"
    assert "client_id" in outcome.msg
    refused = run_task(module, emulator, **token, client_id="x")
    assert refused.result["error"]["type"] == "options"
    assert "access_token" in refused.msg
    assert "client_id" in refused.msg
    # With a token, client_id identifies the account.
    for owner in ({"client_id": BUILDS}, {"client_id": BUILDS, "client_secret": CLIENT_SECRET}):
        own = run_task(module, emulator, **token, **owner)
        assert own.result["error"]["type"] == "own_credential"
    assert run_task(module, emulator, **token, client_id=client_id("atlas")).changed


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize(("module", "options"), DELETIONS, ids=str)
def test_no_request_follows_a_lost_deletion_of_the_signing_credential(
    emulator: Emulator, module: str, options: Options, is_known: bool
) -> None:
    """A token without a client ID may belong to the account."""
    credential = signing(emulator)
    if not is_known:
        credential = {"access_token": fetch_token(emulator.url, **credential)}
    emulator.add_fault(Fault("lost_after", method="DELETE"))
    outcome = run_task(module, emulator, **options, allow_own_account=True, **credential)
    assert outcome.failed
    assert "may have been carried out" in outcome.msg
    assert "check with another one" in outcome.msg
    oauth = [request.path for request in emulator.requests if "/oauth/" in request.path]
    assert oauth == ["/api/oauth/token"]


@pytest.mark.parametrize(
    ("module", "options", "word"),
    [
        (ACCOUNT, {"service_account_id": None}, "name"),
        (ACCOUNT, {"name": "x", "service_account_id": BUILDS}, "service_account_id"),
        (ACCOUNT, {"service_account_id": "abcdefgh"}, "org_api_key"),
        (ACCOUNT, {"service_account_id": "32b6e34b3d91647abb20e7b8"}, "org_api_key"),
        (ACCOUNT, {"service_account_id": "x"}, "mdb_sa_id_"),
        (ACCOUNT, {"name": "a:b"}, "name"),
        (ACCOUNT, {"name": "x" * 65}, "64"),
        (ACCOUNT, {"name": "deploy", "description": "x" * 251}, "250"),
        (ACCOUNT, {"name": "deploy", "secret_expires_after_hours": 7}, "8"),
        (ACCOUNT, {"name": "deploy", "secret_expires_after_hours": 8761}, "8760"),
        (ACCOUNT, {"name": "deploy", "credentials_file": "/x"}, "secret_expires_after_hours"),
        (ACCOUNT, {"name": "deploy", "new_name": "x", **ABSENT}, "new_name"),
        (ACCOUNT, {"name": "deploy", "platform": "ops_manager"}, "Ops Manager"),
        (ACCOUNT, {"name": CLIENT_SECRET}, "secret"),
        (ACCOUNT, {"service_account_id": CLIENT_SECRET}, "mdb_sa_id_"),
        (ACCOUNT, {"name": "a:b", **ABSENT}, "name"),
        (ACCOUNT, {"name": " "}, "space"),
        (ACCOUNT, {"name": "deploy", "new_name": "x "}, "space"),
        (ACCOUNT, {"name": "deploy", "roles": ["GROUP_OWNER"]}, "project_service_account"),
        (ACCOUNT, {"name": "deploy", "roles": []}, "service account"),
        (ACCOUNT, {"name": "x", "credentials_file": ""}, "client secret"),
        (SECRET, {}, "secret_expires_after_hours"),
        (SECRET, ABSENT, "secret_id"),
        (SECRET, {**HOURS, "secret_id": SECRET_IDS[0]}, "secret_id"),
        (SECRET, {**ABSENT, "secret_id": "x"}, "24"),
        (SECRET, {**ABSENT, "secret_id": CLIENT_SECRET}, "secret_id"),
        (SECRET, {**HOURS, "renew_before_hours": 8760}, "renew_before_hours"),
        (SECRET, {**HOURS, "renew_before_hours": -1}, "renew_before_hours"),
        (SECRET, {**HOURS, "renew_before_hours": "nan"}, "renew_before_hours"),
        (SECRET, {**HOURS, "name": CLIENT_SECRET}, "secret"),
        (SECRET, {"secret_expires_after_hours": 8761}, "8760"),
        (LIST, {"entries": [f"10.0.{n // 250}.{n % 250}" for n in range(201)]}, "200"),
        (LIST, {"entries": ["192.0.2.1"], "service_account_id": "x"}, "mdb_sa_id_"),
        (PROJECT, {**IN_PROJECT, "service_account_id": "x"}, "mdb_sa_id_"),
        (PROJECT, {**IN_PROJECT, "roles": ["ORG_OWNER"]}, "with service_account."),
        (INFO, {"service_account_id": "x"}, "mdb_sa_id_"),
        (INFO, {"roles": ["GROUP_OWNER"]}, "project_id"),
        (INFO, {"project_id": "x"}, "project_id"),
        (INFO, {"expires_within_hours": -1}, "expires_within_hours"),
        (INFO, {"expires_within_hours": "nan"}, "expires_within_hours"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_any_request(
    emulator: Emulator, module: str, options: Options, word: str
) -> None:
    outcome = run_task(module, emulator, **options)
    assert outcome.result["error"]["type"] == "options"
    assert word in outcome.msg
    assert CLIENT_SECRET not in outcome.output
    assert emulator.requests == []
