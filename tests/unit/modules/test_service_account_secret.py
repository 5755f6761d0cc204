# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_account_secret through its main(), against the emulator over real sockets."""

from __future__ import annotations

import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CancelledError,
    LimitError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _account_secrets,
    _resource,
    _service_accounts,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import to_date
from tests.accounts import (
    ACCOUNTS,
    BUILDS,
    DAY,
    SECRET_IDS,
    accounts,
    hide,
    run_task,
    signing,
    world,
)
from tests.emulator import Emulator, Fault, service_accounts
from tests.support import VirtualClock, client_id, fetch_token, org_id

Options = dict[str, Any]
SECRETS = f"{ACCOUNTS}/{BUILDS}/secrets"
VALUES = ("mdb_sa_sk_first-0123456789aaaa", "mdb_sa_sk_second-0123456789bbbb")
HOURS = {"secret_expires_after_hours": 8760}
MISSING = {"status": 404, "code": "SERVICE_ACCOUNT_SECRET_NOT_FOUND"}
CONFLICT = {"status": 409, "code": "DATA_CONCURRENCY_ERROR"}
ABSENT = {"state": "absent", "secret_id": SECRET_IDS[0]}
run = partial(run_task, "service_account_secret")


def secret(number: int, days: float) -> Options:
    """Return a secret that expires after this number of days."""
    now = time.time()
    times = {"created_at": now - 10 * DAY + number, "expires_at": now + days * DAY}
    return {"id": SECRET_IDS[number], "value": VALUES[number], **times}


def start(emulator: Emulator, *secrets: Options) -> None:
    """Give account BUILDS these secrets."""
    emulator.reset(world(*secrets))


@pytest.fixture
def emulator(emulator: Emulator) -> Emulator:
    """Return an emulator whose account BUILDS has no secret."""
    start(emulator)
    return emulator


@pytest.fixture
def filed(tmp_path: Path) -> Options:
    """Return the options of a task that keeps its secret in a file."""
    return {**HOURS, "credentials_file": str(tmp_path / "builds.json")}


def left(emulator: Emulator) -> list[str]:
    return [found.id for found in accounts(emulator)[BUILDS].secrets]


def test_an_account_without_a_secret_gets_one(emulator: Emulator) -> None:
    outcome = run(emulator, name="builds", **HOURS)
    assert outcome.changed
    value = outcome.result["client_secret"]
    assert fetch_token(emulator.url, client_id=BUILDS, client_secret=value)
    shown = outcome.result["service_account_secret"]
    assert (shown["client_id"], [shown["id"]]) == (BUILDS, left(emulator))
    assert outcome.result["other_secrets"] == []


def test_no_secret_is_created_if_one_is_valid(emulator: Emulator) -> None:
    """A warning says that the value of the secret cannot be read again."""
    start(emulator, secret(0, 30))
    outcome = run(emulator, **HOURS)
    assert (outcome.changed, outcome.failed) == (False, False)
    # The API returns it masked.
    assert VALUES[0][-4:] not in outcome.output
    assert outcome.result["service_account_secret"]["id"] == SECRET_IDS[0]
    assert len(outcome.result["warnings"]) == 1
    assert emulator.writes == []
    assert run(emulator, **HOURS, force=True).changed


def test_the_secret_that_is_valid_longest_is_kept(emulator: Emulator) -> None:
    start(emulator, secret(0, 5), secret(1, 30))
    outcome = run(emulator, **HOURS)
    assert outcome.result["service_account_secret"]["id"] == SECRET_IDS[1]
    assert [other["id"] for other in outcome.result["other_secrets"]] == [SECRET_IDS[0]]
    (warning,) = outcome.result["warnings"]
    assert f"has a valid secret, {SECRET_IDS[1]}, whose value cannot be read again" in str(warning)


def test_an_expired_secret_is_deleted_first_to_make_room(emulator: Emulator) -> None:
    start(emulator, secret(0, -1), secret(1, -2))
    outcome = run(emulator, **HOURS)
    assert outcome.changed
    assert [write.method for write in emulator.writes] == ["DELETE", "POST"]
    assert left(emulator) == [SECRET_IDS[0], outcome.result["service_account_secret"]["id"]]


def test_a_file_is_written_once_and_renewed_in_time(emulator: Emulator, filed: Options) -> None:
    file, options = Path(filed["credentials_file"]), {**filed, "renew_before_hours": 24}
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
    accounts(emulator)[BUILDS].secrets = []
    assert run(emulator, **options).changed


def test_a_file_of_another_account_is_never_replaced(emulator: Emulator, filed: Options) -> None:
    run(emulator, **filed, service_account_id=client_id("atlas"))
    file = Path(filed["credentials_file"])
    before = file.read_text("utf-8")
    assert run(emulator, **filed).result["error"]["type"] == "options"
    assert (file.read_text("utf-8"), left(emulator)) == (before, [])
    other = json.dumps({**json.loads(before), "client_id": BUILDS, "org_id": org_id("ops_manager")})
    file.write_text(other)
    assert run(emulator, **filed).result["error"]["type"] == "options"
    assert (file.read_text("utf-8"), left(emulator)) == (other, [])


def test_check_mode_writes_no_file(
    emulator: Emulator, filed: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the test file that shows whether the directory can be written to."""
    monkeypatch.setattr(tempfile, "TemporaryFile", Mock(side_effect=AssertionError))
    assert run(emulator, **filed, check=True).changed
    assert run(emulator, **filed).failed


def test_two_valid_secrets_leave_no_room_unless_make_room_is_oldest(emulator: Emulator) -> None:
    start(emulator, secret(0, 30), secret(1, 5))
    outcome = run(emulator, **HOURS, force=True)
    assert outcome.result["error"]["type"] == "limit"
    assert outcome.result["error"]["parameters"] == list(SECRET_IDS)
    assert outcome.msg.count("last used never") == 2
    assert f"last used never; {SECRET_IDS[1]} expires at" in outcome.msg
    assert "or set make_room to oldest. Nothing was changed." in outcome.msg
    assert emulator.writes == []
    oldest = run(emulator, **HOURS, force=True, make_room="oldest")
    assert oldest.changed
    assert SECRET_IDS[0] not in left(emulator)
    assert SECRET_IDS[1] in left(emulator)


@pytest.mark.parametrize(
    ("case", "days"), [("check mode", 7), ("read", 3), ("unreadable", 7), ("not shown yet", 7)]
)
def test_a_lifetime_that_the_api_shortens_is_reported(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, case: str, days: int
) -> None:
    """As the API shows it, or as documented if the API does not show it."""
    start(emulator, secret(0, 90))
    monkeypatch.setattr(service_accounts, "SHORTENED", 3 * DAY)
    clock = VirtualClock()
    if case == "unreadable":
        emulator.add_fault(Fault("status", method="GET", after=1, times=None, status=403, code="X"))
    if case == "not shown yet":
        emulator.clock, emulator.settings.visibility_delay = clock.now, 1000.0
    outcome = run(emulator, **HOURS, force=True, check=case == "check mode", clock=clock)
    (other,) = outcome.result["other_secrets"]
    soon = time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * DAY))
    assert other["expires_at"].startswith(soon)
    (warning,) = outcome.result["warnings"]
    assert SECRET_IDS[0] in str(warning)
    assert soon in str(warning)


@pytest.mark.parametrize("task", [ABSENT, HOURS, {**HOURS, "force": True}], ids=str)
@pytest.mark.parametrize("check", [False, True])
def test_a_response_without_secrets_does_not_prove_that_one_is_missing(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, task: Options, check: bool
) -> None:
    """Otherwise, another secret would be created, and would shorten the lifetime of this one."""
    start(emulator, secret(0, 30))
    hide(monkeypatch, "secrets")
    outcome = run(emulator, **task, check=check)
    assert outcome.result["error"]["type"] == "unexpected_response"
    assert f"service account {BUILDS} ('builds') without a list of its secrets" in outcome.msg
    assert "Look at the account in the web interface" in outcome.msg
    assert left(emulator) == [SECRET_IDS[0]]


@pytest.mark.parametrize("form", ["end", "nothing"])
def test_the_signing_secret_is_guarded(emulator: Emulator, form: str) -> None:
    """A masked value may identify the signing secret. Otherwise, neither secret can be deleted."""
    start(emulator, secret(0, 30), secret(1, 30))
    emulator.settings.masked_secret = form
    own = signing(emulator)
    outcome = run(emulator, **ABSENT, **own)
    assert outcome.result["error"]["type"] == "own_credential"
    assert outcome.result["error"]["parameters"] == [SECRET_IDS[0]]
    assert f"Secret {SECRET_IDS[0]} of service account {BUILDS} ('builds') may be" in outcome.msg
    assert "Use another credential. With state absent, you can also set allow_own" in outcome.msg
    other = {**ABSENT, "secret_id": SECRET_IDS[1]}
    assert run(emulator, **other, **own).changed == (form == "end")
    # The token of the signing secret is still valid.
    assert emulator.requests[-1].path.endswith("/oauth/revoke")
    before = len(emulator.requests)
    assert run(emulator, **ABSENT, allow_own_account=True, **own).changed
    # The token became invalid with its secret, so nothing is sent after the DELETE.
    assert emulator.requests[-1].method == "DELETE"
    assert len(emulator.requests) - before == 3


@pytest.mark.parametrize("number", [0, 1])
def test_a_token_may_come_from_another_secret_than_the_one_next_to_it(
    emulator: Emulator, number: int
) -> None:
    """Not even a masked value that identifies the secret next to it rules another one out."""
    start(emulator, secret(0, 30), secret(1, 30))
    emulator.settings.masked_secret = "end"
    accounts(emulator)[BUILDS].roles = ["ORG_OWNER"]
    token = fetch_token(emulator.url, client_id=BUILDS, client_secret=VALUES[number])
    own = {"client_id": BUILDS, "client_secret": VALUES[0], "access_token": token}
    options = {"state": "absent", "secret_id": SECRET_IDS[1], **own}
    assert run(emulator, **options).result["error"]["type"] == "own_credential"
    emulator.requests.clear()
    assert run(emulator, **options, allow_own_account=True).changed
    # The task neither fetches a token nor revokes that of the other tasks.
    assert not [request for request in emulator.requests if "/oauth/" in request.path]


@pytest.mark.parametrize("others", [[], [secret(0, 30)]])
def test_a_lost_creation_reports_the_secret_that_is_left(
    emulator: Emulator, others: list[Options]
) -> None:
    """The new secret takes a slot and shortens the other. Another run may have created it."""
    start(emulator, *others)
    emulator.add_fault(Fault("lost_after", method="POST", path=SECRETS))
    outcome = run(emulator, **HOURS, force=True)
    assert outcome.result["error"]["type"] == "orphan"
    (new,) = set(left(emulator)) - {SECRET_IDS[0]}
    assert outcome.result["error"]["parameters"] == [new]
    assert [write.method for write in emulator.writes] == ["POST"]
    assert outcome.changed
    assert f"New secrets of the account: {new}. Unless another run created it" in outcome.msg
    assert ("seven days" in outcome.msg) == bool(others)


def test_after_a_lost_creation_no_secret_may_be_left(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_before", method="POST", path=SECRETS))
    outcome = run(emulator, **HOURS)
    assert outcome.result["error"]["type"] == "orphan"
    assert outcome.result["error"]["parameters"] == []
    assert "No new secret has appeared within" in outcome.msg
    assert not outcome.changed


def test_after_a_lost_creation_the_account_may_be_unreadable(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_after", method="POST", path=SECRETS))
    emulator.add_fault(Fault("status", method="GET", after=1, times=None, status=403, code="X"))
    outcome = run(emulator, **HOURS)
    assert outcome.result["error"]["type"] == "orphan"
    assert "Whether a secret was created could not be checked: Could not read" in outcome.msg
    assert outcome.msg.endswith("Check the account's secrets before you run the task again.")


def test_a_refusal_after_a_concurrent_creation_is_retried(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", method="POST", path=SECRETS, times=2, **CONFLICT))
    outcome = run(emulator, **HOURS)
    assert outcome.changed
    assert len(left(emulator)) == 1
    emulator.add_fault(Fault("status", method="POST", path=SECRETS, times=None, **CONFLICT))
    again = run(emulator, **HOURS, force=True, retries=3)
    assert (again.failed, again.code) == (True, "DATA_CONCURRENCY_ERROR")
    assert f"(4 attempts, {sum(again.clock.sleeps):.0f} s of waiting)" in again.msg
    assert "The API was handling another request about the same object." in again.msg
    assert len([r for r in emulator.requests if r.method == "POST"]) == 3 + 4


def test_the_pauses_of_every_attempt_count(emulator: Emulator) -> None:
    """Those between the attempts of one request, and those between requests."""
    for status in (409, 429, 429, 400):
        code = CONFLICT["code"] if status == 409 else "X"
        emulator.add_fault(Fault("status", method="POST", path=SECRETS, status=status, code=code))
    outcome = run(emulator, **HOURS)
    assert outcome.code == "X"
    assert f"(3 attempts, {sum(outcome.clock.sleeps):.0f} s of waiting)" in outcome.msg
    assert f"Could not create a secret of {BUILDS}" in outcome.msg


def test_a_refusal_after_a_concurrent_change_does_not_end_a_deletion(emulator: Emulator) -> None:
    start(emulator, secret(0, 30))
    emulator.add_fault(Fault("status", method="DELETE", times=2, **CONFLICT))
    assert run(emulator, **ABSENT).changed
    assert left(emulator) == []


def test_a_task_that_is_stopped_between_attempts_has_changed_nothing(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_fault(Fault("status", method="POST", path=SECRETS, **CONFLICT))
    stop = Mock(side_effect=CancelledError("stopped"))
    monkeypatch.setattr(_resource.Backoff, "pause_now", stop)
    outcome = run(emulator, **HOURS)
    assert outcome.result["error"]["type"] == "cancelled"
    assert "The API refused the request, so it changed nothing." in outcome.msg


def test_the_clock_of_the_api_determines_what_has_expired(
    emulator: Emulator, filed: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if this machine's clock is a year off, nothing is deleted, and renewal is on time."""
    start(emulator, secret(0, 30), secret(1, 30))
    for days in (400, -400):
        local_time = Mock(return_value=time.time() + days * DAY)
        monkeypatch.setattr(_account_secrets, "wall_clock", local_time)
        assert not run(emulator, **HOURS).changed
    assert left(emulator) == list(SECRET_IDS)
    start(emulator)
    assert run(emulator, **filed).changed
    monkeypatch.setattr(emulator, "wall", lambda: time.time() + 366 * DAY)
    assert run(emulator, **filed).changed


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
    emulator: Emulator, hours: float, is_deleted: bool
) -> None:
    """An hour after a secret has expired, no token fetched with it is valid."""
    start(emulator, secret(0, 3), secret(1, -hours / 24))
    emulator.settings.masked_secret = "nothing"
    outcome = run(emulator, **HOURS, renew_before_hours=168, **signing(emulator))
    assert (outcome.changed, SECRET_IDS[1] not in left(emulator)) == (is_deleted, is_deleted)


def test_an_expired_secret_of_the_own_account_may_be_deleted(emulator: Emulator) -> None:
    start(emulator, secret(0, 3), secret(1, -1))
    emulator.settings.masked_secret = "nothing"
    options = {**ABSENT, "secret_id": SECRET_IDS[1], **signing(emulator)}
    assert run(emulator, **options).changed
    # The token of the signing secret is still valid.
    assert emulator.requests[-1].path.endswith("/oauth/revoke")


REFUSED = Fault("status", method="POST", status=400, code="VALIDATION_ERROR")
LOST = Fault("lost_before", method="POST", path=SECRETS)


@pytest.mark.parametrize(
    ("fault", "error", "more"),
    [(REFUSED, "api", ""), (LOST, "orphan", " No new secret has appeared within")],
)
def test_a_secret_deleted_to_make_room_is_reported(
    emulator: Emulator, fault: Fault, error: str, more: str
) -> None:
    start(emulator, secret(0, 30), secret(1, -5))
    emulator.add_fault(fault)
    outcome = run(emulator, **HOURS, force=True)
    assert (outcome.failed, outcome.changed) == (True, True)
    assert outcome.result["error"]["type"] == error
    assert f"Secret {SECRET_IDS[1]} was deleted first to make room.{more}" in outcome.msg
    assert "Nothing was changed" not in outcome.msg


@pytest.mark.parametrize(
    ("make_room", "error", "deleted"),
    [
        ("expired", "limit", f"Secret {SECRET_IDS[1]} was"),
        ("oldest", "api", f"Secrets {', '.join(SECRET_IDS)} were"),
    ],
)
def test_another_run_may_take_the_room(
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    make_room: str,
    error: str,
    deleted: str,
) -> None:
    is_oldest = make_room == "oldest"
    start(emulator, secret(0, 30), secret(1, 5 if is_oldest else -5))
    emulator.add_fault(Fault("status", method="POST", path=SECRETS, **CONFLICT))

    def pause(_backoff: object) -> float:
        assert run(emulator, **HOURS, force=True).changed
        emulator.add_fault(Fault("status", method="POST", status=400, code="VALIDATION_ERROR"))
        return 0.0

    monkeypatch.setattr(_resource.Backoff, "pause_now", pause)
    outcome = run(emulator, **HOURS, force=True, make_room=make_room)
    assert outcome.changed
    assert outcome.result["error"]["type"] == error
    assert outcome.msg.endswith(f" {deleted} deleted first to make room.")
    assert "Nothing was changed" not in outcome.msg


def planned(*expiries: float, **options: Any) -> tuple[_account_secrets.SecretPlan, list[Any]]:
    """Plan for an account whose secrets expire in so many seconds, and return its secrets too."""
    now = _service_accounts.seconds("2026-01-01T00:00:00Z")
    secrets = [
        _service_accounts.Secret(name, "2025-01-01T00:00:00Z", to_date(now + expiry))
        for name, expiry in zip(SECRET_IDS, expiries)
    ]
    account = _service_accounts.ServiceAccount(BUILDS, "", "", (), secrets=tuple(secrets))
    params = {"credentials_file": None, "force": False, "make_room": "expired"}
    params |= {"renew_before_hours": 1, **options}
    return _account_secrets.plan(account, now, params, None), secrets


def test_a_secret_expires_at_an_exact_time() -> None:
    plan, (kept,) = planned(3601)
    assert plan == _account_secrets.SecretPlan(kept)
    plan, others = planned(3600)
    assert plan == _account_secrets.SecretPlan(None, None, tuple(others))
    plan, (expired, other) = planned(0, 1)
    assert plan == _account_secrets.SecretPlan(None, expired, (other,))
    with pytest.raises(LimitError, match=f"{SECRET_IDS[0]} expired at .*{SECRET_IDS[1]} expires"):
        planned(0, 1, make_room="none")


def test_without_room_the_error_describes_each_secret(emulator: Emulator, filed: Options) -> None:
    start(emulator, {**secret(0, -5), "last_used_at": time.time() - 6 * DAY})
    held = run(emulator, **filed).result["service_account_secret"]["id"]
    outcome = run(emulator, **filed, force=True, make_room="none")
    assert outcome.result["error"]["type"] == "limit"
    assert f"{SECRET_IDS[0]} expired at" in outcome.msg
    assert outcome.msg.count("last used at") == outcome.msg.count("last used never") == 1
    assert f"{held} (in credentials_file) expires at" in outcome.msg
    assert "or change make_room" in outcome.msg
    assert "Nothing was changed." in outcome.msg


@pytest.mark.parametrize("secrets", [[], [secret(0, 30), secret(1, -5)]])
def test_the_second_of_two_runs_finds_the_file(
    emulator: Emulator, filed: Options, monkeypatch: pytest.MonkeyPatch, secrets: list[Options]
) -> None:
    """After DATA_CONCURRENCY_ERROR, the other run has done what this one wants.

    But this one may have deleted a secret to make room.
    """
    start(emulator, *secrets)
    emulator.add_fault(Fault("status", method="POST", path=SECRETS, **CONFLICT))

    def pause(_backoff: object) -> float:
        assert run(emulator, **filed).changed
        return 0.0

    monkeypatch.setattr(_resource.Backoff, "pause_now", pause)
    outcome = run(emulator, **filed)
    assert (outcome.changed, outcome.failed) == (bool(secrets), False)
    assert len(left(emulator)) == (2 if secrets else 1)


@pytest.mark.parametrize("days", [3, 90])
def test_a_file_that_cannot_be_written_leaves_no_secret(
    emulator: Emulator, filed: Options, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """The deletion is repeated while the API is busy, or does not know the secret yet."""
    start(emulator, secret(0, days))
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 8.0
    emulator.add_fault(Fault("status", method="DELETE", **CONFLICT))
    emulator.add_fault(Fault("status", method="DELETE", after=1, **MISSING))
    monkeypatch.setattr(_secret_file, "_create", Mock(side_effect=OSError(28, "No space")))
    outcome = run(emulator, **filed, force=True, clock=clock)
    assert (outcome.failed, left(emulator)) == (True, [SECRET_IDS[0]])
    # A shorter lifetime of the other secret cannot be undone, and the message says so.
    shortened = f"was deleted to clean up. Secret {SECRET_IDS[0]} now expires"
    assert (shortened in outcome.msg) == outcome.changed == (days > 7)
    assert "was deleted to clean up." in outcome.msg
    assert f"The client secret of service account {BUILDS} ('builds') could not be" in outcome.msg
    assert not Path(filed["credentials_file"]).exists()


DENIED = {"status": 403, "code": "X"}
OTHER_GONE = {**MISSING, "parameters": [SECRET_IDS[0]]}


@pytest.mark.parametrize(
    ("failure", "refusal"),
    [
        (OSError(28, "No space"), DENIED),
        (RuntimeError(), DENIED),
        # The error is about another secret.
        (RuntimeError(), OTHER_GONE),
    ],
    ids=str,
)
def test_a_new_secret_that_cannot_be_deleted_is_reported(
    emulator: Emulator,
    filed: Options,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    refusal: Options,
) -> None:
    emulator.add_fault(Fault("status", method="DELETE", times=None, **refusal))
    monkeypatch.setattr(_secret_file, "_create", Mock(side_effect=failure))
    outcome = run(emulator, **filed)
    (new,) = left(emulator)
    assert (outcome.failed, outcome.changed) == (True, True)
    assert outcome.result["error"]["type"] == "orphan"
    assert outcome.result["error"]["parameters"] == [new]
    assert f"The new secret {new} could not be deleted to clean up, and its value" in outcome.msg
    assert f"Could not delete secret {new} of {BUILDS}" in outcome.msg
    cause = "No space" if isinstance(failure, OSError) else "RuntimeError"
    assert cause in outcome.msg


NEW = {
    "id": "5a0000000000000000005009",
    "createdAt": "2026-01-01T00:00:00Z",
    "expiresAt": "2099-01-01T00:00:00Z",
    "secret": VALUES[1],
}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], f"a secret of service account {BUILDS}: id"),
        ({**NEW, "id": "x/y"}, f"a secret of service account {BUILDS}: id"),
        ({**NEW, "id": SECRET_IDS[0]}, ""),
        ({**NEW, "secret": "mdb_sa_sk_****"}, ""),
    ],
    ids=["a list", "an unreadable ID", "a known ID", "a masked value"],
)
def test_a_response_without_a_new_secret_does_not_end_well(
    emulator: Emulator, body: Any, words: str
) -> None:
    start(emulator, secret(0, 30))
    emulator.add_fault(Fault("json", method="POST", path=SECRETS, body=body))
    outcome = run(emulator, **HOURS, force=True)
    assert outcome.result["error"]["type"] == "orphan"
    assert words in outcome.msg


def test_a_refused_creation_names_the_role(emulator: Emulator) -> None:
    denied = {"status": 403, "code": "USER_UNAUTHORIZED"}
    emulator.add_fault(Fault("status", method="POST", path=SECRETS, **denied))
    assert "required role (Organization Owner)" in run(emulator, **HOURS).msg


def test_a_killed_run_does_not_block_the_next_one(
    emulator: Emulator, filed: Options, tmp_path: Path
) -> None:
    """In a container, the process may have the same ID each time."""
    run(emulator, **filed)
    (tmp_path / f".builds.json.{os.getpid()}").write_text("half a secr")
    assert run(emulator, **filed, force=True).changed


def test_the_next_task_finds_the_new_secret(emulator: Emulator, filed: Options) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 2.0
    assert [run(emulator, **filed, clock=clock).changed for _round in range(2)] == [True, False]


@pytest.mark.parametrize("status", [404, 400])
def test_a_secret_that_another_run_deleted_is_not_a_change(emulator: Emulator, status: int) -> None:
    start(emulator, secret(0, 30))
    missing = {"status": status, "code": "RESOURCE_NOT_FOUND", "after_write": True}
    emulator.add_fault(Fault("status", method="DELETE", **missing))
    outcome = run(emulator, **ABSENT)
    assert (outcome.changed, outcome.failed) == (False, False)
    assert outcome.result["service_account_secret"] is None


def test_any_other_refusal_of_a_deletion_is_reported(emulator: Emulator) -> None:
    """Even if the secret does not exist afterwards."""
    start(emulator, secret(0, 30))
    denied = {"status": 403, "code": "X", "after_write": True}
    emulator.add_fault(Fault("status", method="DELETE", **denied))
    outcome = run(emulator, **ABSENT)
    assert (outcome.failed, outcome.code) == (True, "X")


@pytest.mark.parametrize(("hours", "is_reported"), [(100, True), (168, True), (169, False)])
def test_a_lifetime_within_renew_before_hours_is_reported(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, hours: int, is_reported: bool
) -> None:
    """Otherwise, each run would create another one."""
    now, new = int(time.time()), service_accounts._new_secret
    monkeypatch.setattr(emulator, "wall", lambda: now)
    monkeypatch.setattr(service_accounts, "_new_secret", lambda call, _hours: new(call, hours))
    outcome = run(emulator, **HOURS, renew_before_hours=168)
    assert outcome.changed
    assert ("Lower renew_before_hours" in str(outcome.result.get("warnings"))) == is_reported


@pytest.mark.parametrize(
    ("options", "after"),
    [
        (
            {**HOURS, "force": True},
            {"secret_ids": [SECRET_IDS[0]], "secret_expires_after_hours": 8760},
        ),
        ({**ABSENT, "secret_id": SECRET_IDS[1]}, {"secret_ids": [SECRET_IDS[0]]}),
    ],
    ids=str,
)
def test_check_mode_shows_the_same_diff(
    emulator: Emulator, options: Options, after: Options
) -> None:
    start(emulator, secret(0, 30), secret(1, -5))
    checked = run(emulator, **options, check=True, diff=True)
    shown = checked.result["service_account_secret"]
    assert (shown["client_id"], shown["id"]) == (BUILDS, options.get("secret_id"))
    accounts(emulator)[BUILDS].secrets.reverse()
    real = run(emulator, **options, diff=True)
    assert checked.result["diff"] == real.result["diff"]
    assert real.result["diff"] == {"before": {"secret_ids": list(SECRET_IDS)}, "after": after}
    assert SECRET_IDS[0] in left(emulator)
    assert SECRET_IDS[1] not in left(emulator)
