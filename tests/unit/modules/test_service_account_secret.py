# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_account_secret through its main(), against the emulator over real sockets."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _account_secrets,
    _resource,
    _service_accounts,
)
from tests.accounts import ACCOUNTS, BUILDS, DAY, MISSING_ACCOUNT, SECRET_IDS, accounts, world
from tests.emulator import Emulator, Fault, service_accounts
from tests.support import (
    Outcome,
    VirtualClock,
    client_id,
    fetch_token,
    key_pair,
    org_id,
    run_module,
)

SECRETS = f"{ACCOUNTS}/{BUILDS}/secrets"
VALUES = ("mdb_sa_sk_first-0123456789aaaa", "mdb_sa_sk_second-0123456789bbbb")
HOURS = {"secret_expires_after_hours": 8760}


def secret(number: int, days: float, used: float | None = None) -> dict[str, Any]:
    """Return a secret that expires after this number of days."""
    now = time.time()
    times = {"created_at": now - 10 * DAY + number, "expires_at": now + days * DAY}
    return {"id": SECRET_IDS[number], "value": VALUES[number], **times, "last_used_at": used}


@pytest.fixture
def start() -> Iterator[Callable[..., Emulator]]:
    """Start an emulator whose account BUILDS has these secrets."""
    running: list[Emulator] = []

    def start_with(*secrets: dict[str, Any]) -> Emulator:
        running.append(Emulator(world(*secrets)).start())
        return running[-1]

    yield start_with
    for emulator in running:
        emulator.stop()


def run(emulator: Emulator, **options: Any) -> Outcome:
    ours = {name: options.pop(name) for name in ("check", "diff", "clock") if name in options}
    credential = {} if {"client_id", "access_token"} & options.keys() else key_pair("atlas")
    if not {"service_account_id", "name"} & options.keys():
        options["service_account_id"] = BUILDS
    base = {"base_url": emulator.url, "org_id": org_id("atlas"), **credential}
    return run_module("service_account_secret", {**base, **options}, **ours)


def left(emulator: Emulator) -> list[str]:
    return [found.id for found in accounts(emulator)[BUILDS].secrets]


def test_an_account_without_a_secret_gets_one(start: Callable[..., Emulator]) -> None:
    emulator = start()
    assert run(emulator, **HOURS, check=True).changed
    assert emulator.writes == []
    outcome = run(emulator, name="builds", **HOURS)
    assert outcome.changed
    value = outcome.result["client_secret"]
    assert fetch_token(emulator.url, client_id=BUILDS, client_secret=value)
    shown = outcome.result["service_account_secret"]
    assert (shown["client_id"], [shown["id"]]) == (BUILDS, left(emulator))
    assert outcome.result["other_secrets"] == []


def test_no_secret_is_created_if_one_is_valid(start: Callable[..., Emulator]) -> None:
    """A warning says that the value of the secret cannot be read again."""
    emulator = start(secret(0, 30))
    outcome = run(emulator, **HOURS)
    assert (outcome.changed, outcome.failed) == (False, False)
    assert "client_secret" not in outcome.result
    assert outcome.result["service_account_secret"]["id"] == SECRET_IDS[0]
    assert len(outcome.result["warnings"]) == 1
    assert emulator.writes == []
    assert run(emulator, **HOURS, force=True).changed


def test_an_expired_secret_is_deleted_first_to_make_room(start: Callable[..., Emulator]) -> None:
    emulator = start(secret(0, -1), secret(1, -2))
    outcome = run(emulator, **HOURS)
    assert outcome.changed
    assert [write.method for write in emulator.writes] == ["DELETE", "POST"]
    assert left(emulator) == [SECRET_IDS[0], outcome.result["service_account_secret"]["id"]]


def test_a_file_is_written_once_and_renewed_in_time(
    start: Callable[..., Emulator], tmp_path: Path
) -> None:
    emulator, file = start(), tmp_path / "builds.json"
    options = {**HOURS, "credentials_file": str(file), "renew_before_hours": 24}
    first = run(emulator, **options)
    assert first.changed
    assert "client_secret" not in first.result
    written = json.loads(file.read_text("utf-8"))
    assert written["secret_id"] == first.result["service_account_secret"]["id"]
    assert written["client_secret"] not in first.output
    assert not run(emulator, **options).changed
    # Shortly before the secret expires, a new one replaces it in the file. The old one still works.
    held = accounts(emulator)[BUILDS].secrets[0]
    held.expires_at = time.time() + 23 * 3600
    second = run(emulator, **options)
    assert second.changed
    assert [item["id"] for item in second.result["other_secrets"]] == [held.id]
    assert json.loads(file.read_text("utf-8"))["secret_id"] != held.id
    assert len(left(emulator)) == 2


def test_a_file_whose_secret_is_gone_is_replaced(
    start: Callable[..., Emulator], tmp_path: Path
) -> None:
    emulator, file = start(), tmp_path / "builds.json"
    options = {**HOURS, "credentials_file": str(file)}
    run(emulator, **options)
    accounts(emulator)[BUILDS].secrets = []
    assert run(emulator, **options).changed


def test_a_file_of_another_account_is_never_replaced(
    start: Callable[..., Emulator], tmp_path: Path
) -> None:
    emulator, file = start(), tmp_path / "builds.json"
    options = {**HOURS, "credentials_file": str(file)}
    run(emulator, **options, service_account_id=client_id("atlas"))
    before = file.read_text("utf-8")
    outcome = run(emulator, **options)
    assert outcome.result["error"]["type"] == "options"
    assert (file.read_text("utf-8"), left(emulator)) == (before, [])


def test_two_valid_secrets_leave_no_room_unless_make_room_is_oldest(
    start: Callable[..., Emulator],
) -> None:
    emulator = start(secret(0, 30), secret(1, 5))
    outcome = run(emulator, **HOURS, force=True)
    assert outcome.result["error"]["type"] == "limit"
    assert all(secret_id in outcome.msg for secret_id in SECRET_IDS)
    assert emulator.writes == []
    oldest = run(emulator, **HOURS, force=True, make_room="oldest")
    assert oldest.changed
    assert SECRET_IDS[0] not in left(emulator)
    assert SECRET_IDS[1] in left(emulator)


def test_make_room_none_keeps_an_expired_secret(start: Callable[..., Emulator]) -> None:
    emulator = start(secret(0, 30), secret(1, -5))
    outcome = run(emulator, **HOURS, force=True, make_room="none")
    assert outcome.result["error"]["type"] == "limit"
    assert emulator.writes == []


@pytest.mark.parametrize("check", [True, False])
def test_a_lifetime_that_the_api_shortens_is_reported(
    start: Callable[..., Emulator], check: bool
) -> None:
    emulator = start(secret(0, 90))
    outcome = run(emulator, **HOURS, force=True, check=check)
    (other,) = outcome.result["other_secrets"]
    soon = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 7 * DAY))
    assert other["expires_at"].startswith(soon)
    (warning,) = outcome.result["warnings"]
    assert SECRET_IDS[0] in str(warning)
    assert soon in str(warning)


def test_a_secret_that_expires_sooner_anyway_is_not_reported(
    start: Callable[..., Emulator],
) -> None:
    outcome = run(start(secret(0, 3)), **HOURS, force=True)
    assert outcome.result.get("warnings", []) == []


def test_a_secret_is_deleted_once(start: Callable[..., Emulator]) -> None:
    emulator = start(secret(0, 30), secret(1, 30))
    target = {"state": "absent", "secret_id": SECRET_IDS[0]}
    checked, real, again = (run(emulator, **target, check=check) for check in (True, False, False))
    assert [checked.changed, real.changed, again.changed] == [True, True, False]
    assert left(emulator) == [SECRET_IDS[1]]


def test_a_response_without_secrets_does_not_prove_that_one_is_missing(
    start: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = start(secret(0, 30))
    show = service_accounts._show

    def show_no_secrets(*args: Any, **options: Any) -> dict[str, Any]:
        return {name: value for name, value in show(*args, **options).items() if name != "secrets"}

    monkeypatch.setattr(service_accounts, "_show", show_no_secrets)
    outcome = run(emulator, state="absent", secret_id=SECRET_IDS[0])
    assert outcome.result["error"]["type"] == "unexpected_response"
    assert left(emulator) == [SECRET_IDS[0]]


def test_a_missing_account_fails_unless_state_is_absent(start: Callable[..., Emulator]) -> None:
    emulator = start()
    target = {"state": "absent", "secret_id": SECRET_IDS[0]}
    outcome = run(emulator, **target, service_account_id=MISSING_ACCOUNT)
    assert (outcome.changed, outcome.failed) == (False, False)
    assert ACCOUNTS in [request.path for request in emulator.requests]
    present = run(emulator, **HOURS, service_account_id=MISSING_ACCOUNT)
    assert present.result["error"]["type"] == "missing"


@pytest.mark.parametrize("form", ["end", "nothing"])
def test_the_signing_secret_is_guarded(start: Callable[..., Emulator], form: str) -> None:
    """A masked value may identify the signing secret. Otherwise, neither secret can be deleted."""
    emulator = start(secret(0, 30), secret(1, 30))
    emulator.settings.masked_secret = form
    accounts(emulator)[BUILDS].roles = ["ORG_OWNER"]
    own = {"client_id": BUILDS, "client_secret": VALUES[0]}
    outcomes = {
        secret_id: run(emulator, state="absent", secret_id=secret_id, **own)
        for secret_id in SECRET_IDS
    }
    assert outcomes[SECRET_IDS[0]].result["error"]["type"] == "own_credential"
    assert outcomes[SECRET_IDS[1]].changed == (form == "end")
    before = len(emulator.requests)
    options = {"state": "absent", "secret_id": SECRET_IDS[0], "allow_own_account": True}
    allowed = run(emulator, **options, **own)
    assert allowed.changed
    # The token became invalid with its secret, so nothing is sent after the DELETE.
    assert emulator.requests[-1].method == "DELETE"
    assert len(emulator.requests) - before == 3


def test_the_signing_account_may_get_another_secret(start: Callable[..., Emulator]) -> None:
    emulator = start(secret(0, 90))
    accounts(emulator)[BUILDS].roles = ["ORG_OWNER"]
    own = {"client_id": BUILDS, "client_secret": VALUES[0]}
    outcome = run(emulator, **HOURS, force=True, **own)
    assert (outcome.changed, len(outcome.result["warnings"])) == (True, 1)


def test_make_room_never_deletes_the_signing_secret(start: Callable[..., Emulator]) -> None:
    emulator = start(secret(0, 30), secret(1, 30))
    accounts(emulator)[BUILDS].roles = ["ORG_OWNER"]
    own = {"client_id": BUILDS, "client_secret": VALUES[0]}
    outcome = run(emulator, **HOURS, force=True, make_room="oldest", **own)
    assert outcome.result["error"]["type"] in {"limit", "own_credential"}
    assert left(emulator) == list(SECRET_IDS)


def test_a_token_does_not_identify_its_secret(start: Callable[..., Emulator]) -> None:
    emulator = start(secret(0, 30), secret(1, 30))
    token = {"access_token": fetch_token(emulator.url, "atlas")}
    target = {"state": "absent", "secret_id": SECRET_IDS[0]}
    assert run(emulator, **target, **token).result["error"]["type"] == "own_credential"
    assert run(emulator, **target, **token, client_id=client_id("atlas")).changed


def test_a_lost_creation_reports_the_secret_that_is_left(start: Callable[..., Emulator]) -> None:
    """The new secret takes a slot and shortens the other. Another run may have created it."""
    emulator = start(secret(0, 30))
    emulator.add_fault(Fault("lost_after", method="POST", path=SECRETS))
    outcome = run(emulator, **HOURS, force=True)
    assert outcome.result["error"]["type"] == "orphan"
    (new,) = set(left(emulator)) - {SECRET_IDS[0]}
    assert outcome.result["error"]["parameters"] == [new]
    assert [write.method for write in emulator.writes] == ["POST"]


def test_a_refusal_after_a_concurrent_creation_is_retried(start: Callable[..., Emulator]) -> None:
    emulator = start()
    fault = {"status": 409, "code": "DATA_CONCURRENCY_ERROR"}
    emulator.add_fault(Fault("status", method="POST", path=SECRETS, times=2, **fault))
    outcome = run(emulator, **HOURS)
    assert outcome.changed
    assert len(left(emulator)) == 1
    emulator.add_fault(Fault("status", method="POST", path=SECRETS, times=None, **fault))
    again = run(emulator, **HOURS, force=True, retries=2)
    assert (again.failed, again.code) == (True, "DATA_CONCURRENCY_ERROR")
    assert len([r for r in emulator.requests if r.method == "POST"]) == 3 + 3


def test_a_file_that_cannot_be_written_leaves_no_secret(
    start: Callable[..., Emulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator, file = start(secret(0, 90)), tmp_path / "builds.json"

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_secret_file, "_create", fail)
    outcome = run(emulator, **HOURS, force=True, credentials_file=str(file))
    assert outcome.failed
    assert left(emulator) == [SECRET_IDS[0]]
    # The shorter lifetime of the other secret cannot be undone, and the message says so.
    assert SECRET_IDS[0] in outcome.msg
    assert not file.exists()


def test_masked_values_are_never_returned(start: Callable[..., Emulator]) -> None:
    outcome = run(start(secret(0, 30)), **HOURS, diff=True)
    assert "mdb_sa_sk" not in outcome.output
    assert VALUES[0][-4:] not in outcome.output


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "secret_expires_after_hours"),
        ({"state": "absent"}, "secret_id"),
        ({**HOURS, "secret_id": SECRET_IDS[0]}, "secret_id"),
        ({"state": "absent", "secret_id": "x"}, "24"),
        ({"state": "absent", "secret_id": VALUES[0]}, "secret_id"),
        ({**HOURS, "renew_before_hours": 8760}, "renew_before_hours"),
        ({**HOURS, "renew_before_hours": -1}, "renew_before_hours"),
        ({**HOURS, "renew_before_hours": "nan"}, "renew_before_hours"),
        ({**HOURS, "name": VALUES[0], "service_account_id": None}, "secret"),
        ({**HOURS, "make_room": "all"}, "make_room"),
        ({**HOURS, "credentials_file": ""}, "credentials_file"),
        ({"secret_expires_after_hours": 8761}, "8760"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_any_request(
    start: Callable[..., Emulator], options: dict[str, Any], word: str
) -> None:
    emulator = start()
    outcome = run(emulator, **options)
    assert outcome.result["error"]["type"] == "options"
    assert word in outcome.msg
    assert VALUES[0] not in outcome.output
    assert emulator.requests == []


def signing(emulator: Emulator, form: str = "nothing") -> dict[str, str]:
    """Make BUILDS an owner that authenticates with its first secret. Return this credential."""
    emulator.settings.masked_secret = form
    accounts(emulator)[BUILDS].roles = ["ORG_OWNER"]
    return {"client_id": BUILDS, "client_secret": VALUES[0]}


def test_the_clock_of_the_api_determines_what_has_expired(
    start: Callable[..., Emulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if this machine's clock is a year off, nothing is deleted, and renewal is on time."""
    emulator = start(secret(0, 30), secret(1, 30))
    for days in (-400, 400):
        monkeypatch.setattr(
            _account_secrets, "wall_clock", lambda days=days: time.time() + days * DAY
        )
        assert not run(emulator, **HOURS).changed
    assert left(emulator) == list(SECRET_IDS)
    emulator, file = start(), {"credentials_file": str(tmp_path / "builds.json")}
    monkeypatch.setattr(_account_secrets, "wall_clock", lambda: time.time() - 400 * DAY)
    assert run(emulator, **HOURS, **file).changed
    emulator.wall = lambda: time.time() + 366 * DAY
    assert run(emulator, **HOURS, **file).changed


@pytest.mark.parametrize(
    ("masked", "other", "expected"),
    [
        ("mdb_sa_sk_****bbbb", "mdb_sa_sk_****aaaa", True),
        ("mdb_sa_sk_...bbbb", "mdb_sa_sk_...aaaa", True),
        ("mdb_sa_sk_****aaaa", "mdb_sa_sk_****aaaa", False),
        ("mdb_sa_sk_****bbbb", "mdb_sa_sk_****cccc", False),
        ("mdb_sa_sk_****aa", "mdb_sa_sk_****bb", False),
        ("mdb_sa_sk_****\u2026", "mdb_sa_sk_****\u2026", False),
        ("mdb_sa_sk_****", "mdb_sa_sk_****aaaa", False),
        ("mdb_sa_sk_...", "mdb_sa_sk_...", False),
        ("****hidden", "****hidden", False),
        ("", "", False),
    ],
)
def test_what_a_mask_proves(masked: str, other: str, expected: bool) -> None:
    """The value in use must match the other mask, and both masks must show enough of the end."""
    dates = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
    secrets = [
        _service_accounts.Secret(secret_id, *dates, masked=text)
        for secret_id, text in zip(SECRET_IDS, (masked, other))
    ]
    assert _account_secrets.is_other_value(secrets[0], secrets, VALUES[0]) == expected


@pytest.mark.parametrize(("hours", "is_deleted"), [(2, True), (0.5, False)])
def test_an_account_renews_its_own_secret(
    start: Callable[..., Emulator], hours: float, is_deleted: bool
) -> None:
    """An hour after a secret has expired, no token fetched with it is valid."""
    emulator = start(secret(0, 3), secret(1, -hours / 24))
    outcome = run(emulator, **HOURS, renew_before_hours=168, **signing(emulator))
    assert (outcome.changed, SECRET_IDS[1] not in left(emulator)) == (is_deleted, is_deleted)


def test_no_request_follows_a_lost_deletion_of_the_signing_secret(
    start: Callable[..., Emulator],
) -> None:
    emulator = start(secret(0, 30))
    emulator.add_fault(Fault("lost_after", method="DELETE"))
    target = {"state": "absent", "secret_id": SECRET_IDS[0], "allow_own_account": True}
    outcome = run(emulator, **target, **signing(emulator))
    assert outcome.failed
    assert "may have been carried out" in outcome.msg
    oauth = [request.path for request in emulator.requests if "/oauth/" in request.path]
    assert oauth == ["/api/oauth/token"]


def test_a_secret_deleted_to_make_room_is_reported(start: Callable[..., Emulator]) -> None:
    emulator = start(secret(0, 30), secret(1, -5))
    refusal = {"status": 400, "code": "VALIDATION_ERROR"}
    emulator.add_fault(Fault("status", method="POST", **refusal))
    outcome = run(emulator, **HOURS, force=True)
    assert (outcome.failed, outcome.changed, outcome.code) == (True, True, "VALIDATION_ERROR")
    assert f"{SECRET_IDS[1]} was deleted" in outcome.msg


def test_without_room_the_error_describes_each_secret(
    start: Callable[..., Emulator], tmp_path: Path
) -> None:
    emulator, file = start(secret(0, -5)), {"credentials_file": str(tmp_path / "builds.json")}
    held = run(emulator, **HOURS, **file).result["service_account_secret"]["id"]
    outcome = run(emulator, **HOURS, **file, force=True, make_room="none")
    assert f"{SECRET_IDS[0]} expired at" in outcome.msg
    assert f"{held} (in credentials_file) expires at" in outcome.msg
    assert "Nothing was changed." in outcome.msg


def test_the_second_of_two_runs_finds_the_file(
    start: Callable[..., Emulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After DATA_CONCURRENCY_ERROR, the other run has done what this one wants."""
    emulator, file = start(), {"credentials_file": str(tmp_path / "builds.json")}
    conflict = {"status": 409, "code": "DATA_CONCURRENCY_ERROR"}
    emulator.add_fault(Fault("status", method="POST", path=SECRETS, **conflict))

    def pause(_backoff: object) -> float:
        assert run(emulator, **HOURS, **file).changed
        return 0.0

    monkeypatch.setattr(_resource.Backoff, "pause_now", pause)
    outcome = run(emulator, **HOURS, **file)
    assert (outcome.changed, outcome.failed, len(left(emulator))) == (False, False, 1)


def test_the_api_must_accept_the_deletion_of_a_new_secret(
    start: Callable[..., Emulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the API does not find the secret, it may not know it yet."""
    emulator, clock = start(secret(0, 3)), VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 8.0
    missing = {"status": 404, "code": "SERVICE_ACCOUNT_SECRET_NOT_FOUND"}
    emulator.add_fault(Fault("status", method="DELETE", **missing))
    monkeypatch.setattr(_secret_file, "_create", Mock(side_effect=OSError(28, "No space")))
    file = str(tmp_path / "builds.json")
    outcome = run(emulator, **HOURS, force=True, credentials_file=file, clock=clock)
    assert (outcome.failed, left(emulator)) == (True, [SECRET_IDS[0]])
    # The other secret expires earlier anyway.
    assert SECRET_IDS[0] not in outcome.msg


def test_a_killed_run_does_not_block_the_next_one(
    start: Callable[..., Emulator], tmp_path: Path
) -> None:
    """In a container, the process may have the same ID each time."""
    emulator, file = start(), {"credentials_file": str(tmp_path / "builds.json")}
    run(emulator, **HOURS, **file)
    (tmp_path / f".builds.json.{os.getpid()}").write_text("half a secr")
    assert run(emulator, **HOURS, **file, force=True).changed


def test_the_next_task_finds_the_new_secret(start: Callable[..., Emulator], tmp_path: Path) -> None:
    emulator, clock = start(), VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 2.0
    options = {**HOURS, "credentials_file": str(tmp_path / "builds.json"), "clock": clock}
    assert [run(emulator, **options).changed for _round in range(2)] == [True, False]


@pytest.mark.parametrize("status", [404, 400])
def test_a_secret_that_another_run_deleted_is_not_a_change(
    start: Callable[..., Emulator], status: int
) -> None:
    emulator = start(secret(0, 30))
    missing = {"status": status, "code": "RESOURCE_NOT_FOUND", "after_write": True}
    emulator.add_fault(Fault("status", method="DELETE", **missing))
    outcome = run(emulator, state="absent", secret_id=SECRET_IDS[0])
    assert (outcome.changed, outcome.failed) == (False, False)
    assert outcome.result["service_account_secret"] is None


def test_a_lifetime_within_renew_before_hours_is_reported(
    start: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, each run would create another one."""
    new = service_accounts._new_secret
    monkeypatch.setattr(service_accounts, "_new_secret", lambda call, _hours: new(call, 100))
    outcome = run(start(), **HOURS, renew_before_hours=168)
    assert outcome.changed
    assert "Lower renew_before_hours" in str(outcome.result["warnings"])


def test_a_lost_creation_reports_only_what_is_known(start: Callable[..., Emulator]) -> None:
    emulator = start()
    emulator.add_fault(Fault("lost_after", method="POST", path=SECRETS))
    assert "seven days" not in run(emulator, **HOURS).msg


@pytest.mark.parametrize(
    ("options", "after"),
    [
        (
            {**HOURS, "force": True},
            {"secret_ids": [SECRET_IDS[0]], "secret_expires_after_hours": 8760},
        ),
        ({"state": "absent", "secret_id": SECRET_IDS[1]}, {"secret_ids": [SECRET_IDS[0]]}),
    ],
    ids=str,
)
def test_check_mode_shows_the_same_diff(
    start: Callable[..., Emulator], options: dict[str, Any], after: dict[str, Any]
) -> None:
    emulator = start(secret(0, 30), secret(1, -5))
    checked = run(emulator, **options, check=True, diff=True)
    accounts(emulator)[BUILDS].secrets.reverse()
    real = run(emulator, **options, diff=True)
    assert checked.result["diff"] == real.result["diff"]
    assert real.result["diff"] == {"before": {"secret_ids": list(SECRET_IDS)}, "after": after}
