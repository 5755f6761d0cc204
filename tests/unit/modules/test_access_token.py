# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""access_token through its main(), against the emulator over real sockets."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._auth import IssuedToken
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_tokens,
    _account_secrets,
)
from tests.emulator import Emulator, Fault
from tests.integration.test_flows import FAULTS
from tests.samples import WITH_ACCOUNTS
from tests.support import (
    API_PATHS,
    CLIENT_SECRETS,
    Outcome,
    VirtualClock,
    account_id,
    client_id,
    fetch_token,
    key_pair,
    org_id,
    run_module,
    service_account,
)

DEAD = "t0ken-of-yesterday-0123456789"
ENVIRON = {"MONGODB_ATLAS_CLIENT_ID": "client_id", "MONGODB_ATLAS_CLIENT_SECRET": "client_secret"}
BUSY = {"client_id": account_id("atlas", 3), "client_secret": "mdb_sa_sk_canary-of-busy"}


def run(emulator: Emulator, platform: str = "atlas", **options: Any) -> Outcome:
    """Run the module with the service account, unless ``options`` have another credential."""
    ours = {n: options.pop(n) for n in ("check", "diff", "environ", "clock") if n in options}
    is_signed = {"api_public_key", "client_id", "access_token"} & options.keys()
    credential = {} if is_signed or "environ" in ours else service_account(platform)
    base = {"platform": platform, "base_url": emulator.url}
    outcome = run_module("access_token", {**base, **credential, **options}, **ours)
    assert all(secret not in outcome.output for secret in CLIENT_SECRETS.values())
    return outcome


def revoke(emulator: Emulator, token: str, platform: str = "atlas", **more: Any) -> Outcome:
    outcome = run(emulator, platform, state="absent", token=token, **more)
    assert token not in outcome.output
    return outcome


def sent(emulator: Emulator) -> list[str]:
    return [f"{request.method} {request.path}" for request in emulator.requests]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("platform", WITH_ACCOUNTS)
def test_a_token_is_fetched_and_revoked(emulator: Emulator, platform: str, check: bool) -> None:
    before = datetime.now(timezone.utc)
    fetched = run(emulator, platform, check=check, diff=True)
    assert not fetched.failed, fetched.msg
    token = fetched.result["access_token"]
    # Neither masked nor revoked.
    assert token in emulator.state.tokens
    names = "access_token token_type expires_in expires_at client_id changed".split()
    assert {*names} <= {*fetched.result} <= {*names, "invocation"}
    assert [fetched.result[name] for name in ("token_type", "expires_in", "client_id")] == [
        "Bearer",
        3600,
        client_id(platform),
    ]
    expires_at = datetime.fromisoformat(fetched.result["expires_at"].replace("Z", "+00:00"))
    assert abs((expires_at - before).total_seconds() - 3600) < 30
    assert fetched.changed
    assert sent(emulator) == ["POST /api/oauth/token"]
    emulator.requests.clear()
    revoked = revoke(emulator, token, platform, check=check)
    assert (revoked.changed, revoked.failed) == (True, False), revoked.msg
    assert (token in emulator.state.tokens) is check
    root = f"GET {API_PATHS[platform]}"
    assert sent(emulator) == [root, *([] if check else ["POST /api/oauth/revoke", root])]
    again = revoke(emulator, token, platform, check=check)
    assert (again.changed, again.failed) == (check, False)


def test_tasks_that_can_share_a_token_have_the_same_fingerprint(emulator: Emulator) -> None:
    account = service_account("atlas")

    def identify(**more: Any) -> str:
        outcome = run(emulator, state="identified", **more)
        assert not outcome.changed
        assert outcome.result["client_id"] == more.get("client_id", client_id("atlas"))
        return str(outcome.result["fingerprint"])

    first = identify()
    environ = {name: account[option] for name, option in ENVIRON.items()}
    for same in ({"environ": environ}, {"check": True}, {"base_url": f"{emulator.url}/"}):
        assert identify(**same) == first, same
    others = [
        {**account, "client_secret": account["client_secret"] + "x"},
        {**account, "client_id": account_id("atlas", 3)},
        {"platform": "cloud_manager", **account},
        {"base_url": f"{emulator.url}/gateway"},
    ]
    assert len({first, *(identify(**other) for other in others)}) == 1 + len(others)
    assert emulator.requests == []


WRONG: list[Any] = [None, True, -1, 10**30, 1e308, "", "a\r\nb", "é", [], {}]


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize("name", ["access_token", "token_type", "expires_in"])
def test_a_field_of_the_response_may_be_wrong(emulator: Emulator, name: str, value: Any) -> None:
    """Without a lifetime, there is no expiry time. Without a token, the task fails."""
    right = {"access_token": DEAD, "token_type": "Bearer", "expires_in": 3600}
    emulator.add_fault(Fault("json", path="/api/oauth/token", body={**right, name: value}))
    outcome = run(emulator)
    if name == "access_token":
        assert outcome.result["error"]["type"] == "unexpected_response"
        return
    assert not outcome.failed, outcome.msg
    expected = right | ({"expires_in": None} if name == "expires_in" else {})
    assert {field: outcome.result[field] for field in right} == expected
    assert (outcome.result["expires_at"] is None) is (name == "expires_in")


@pytest.mark.parametrize(
    ("issued_at", "expires_at"),
    [(1_000_000.0, "1970-01-12T14:46:40Z"), (None, "1970-01-12T14:47:40Z")],
    ids=["time of the API", "time of this machine"],
)
def test_a_lifetime_begins_when_the_token_is_issued(
    monkeypatch: pytest.MonkeyPatch, issued_at: float | None, expires_at: str
) -> None:
    monkeypatch.setattr(_account_secrets, "wall_clock", lambda: 1_000_060.0)
    token = IssuedToken("t", "Bearer", 3600, issued_at)
    api: Any = SimpleNamespace(issue_token=lambda: token, endpoint=SimpleNamespace(client_id="c"))
    assert _access_tokens.fetch(api)["expires_at"] == expires_at


ABSENT = {"state": "absent", "token": DEAD}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a key pair": (key_pair("atlas"), "An API key cannot fetch or revoke access tokens"),
    "a key pair, absent": ({**ABSENT, **key_pair("atlas")}, "An API key cannot fetch or revoke"),
    "a token": ({"access_token": DEAD}, "An access token cannot fetch another one"),
    "a token with its owner": (
        {"access_token": DEAD, "client_id": client_id("atlas")},
        "An access token cannot fetch another one",
    ),
    "a token and a secret": (
        {"access_token": DEAD, **service_account("atlas")},
        "An access token cannot fetch another one",
    ),
    "only a token, absent": (
        {**ABSENT, "access_token": DEAD},
        "No client ID and client secret are set",
    ),
    "Ops Manager": (
        {"platform": "ops_manager", **service_account("atlas")},
        "MongoDB Ops Manager has no service accounts",
    ),
    "Ops Manager, key pair": (
        {"platform": "ops_manager", **key_pair("ops_manager")},
        "MongoDB Ops Manager has no service accounts",
    ),
    "present with token": ({"token": DEAD}, "token is set with state present"),
    "identified with token": (
        {"state": "identified", "token": DEAD},
        "token is set with state identified",
    ),
    "identified, a key pair": (
        {"state": "identified", **key_pair("atlas")},
        "An API key cannot fetch or revoke access tokens",
    ),
    "identified, a token": (
        {"state": "identified", "access_token": DEAD, **service_account("atlas")},
        "An access token cannot fetch another one",
    ),
    "absent without token": ({"state": "absent"}, "state is absent but all of the following"),
    "absent, empty token": ({"state": "absent", "token": ""}, "state is absent but all of the"),
    "Bearer": ({"state": "absent", "token": f"Bearer {DEAD}"}, "token: the token is not valid"),
    "a secret as token": (
        {"state": "absent", "token": "mdb_sa_sk_in-the-wrong-place"},
        "token: the token looks like the client secret of a service account",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_credentials_and_options_are_refused(emulator: Emulator, case: str) -> None:
    options, message = REFUSED[case]
    outcome = run(emulator, **options)
    assert outcome.failed
    assert outcome.result["error"]["type"] == "options"
    assert message in outcome.msg
    for secret in (DEAD, "mdb_sa_sk_in-the-wrong-place"):
        assert secret not in outcome.output
    assert emulator.requests == []


@pytest.mark.parametrize("place", ["options", "environment"])
@pytest.mark.parametrize("secret", ["options", "environment"])
@pytest.mark.parametrize("owner", [True, False])
def test_absent_ignores_a_ready_token(
    emulator: Emulator, place: str, secret: str, owner: bool
) -> None:
    """It may come from module_defaults or the environment, next to the client ID of its owner."""
    account = service_account("atlas")
    ready = {"access_token": DEAD, **({"client_id": account["client_id"]} if owner else {})}
    options: dict[str, Any] = dict(ready) if place == "options" else {}
    environ = {f"MONGODB_ATLAS_{name.upper()}": value for name, value in ready.items()}
    environ = environ if place == "environment" else {}
    if secret == "options":
        options |= account
    else:
        environ |= {name: account[part] for name, part in ENVIRON.items()}
    outcome = revoke(emulator, fetch_token(emulator.url, "atlas"), environ=environ, **options)
    assert (outcome.changed, outcome.failed) == (True, False), outcome.msg
    assert emulator.state.tokens == {}


@pytest.mark.parametrize("code", ["IP_ADDRESS_NOT_ON_ACCESS_LIST", "ORG_REQUIRES_ACCESS_LIST"])
def test_a_token_that_may_not_be_used_here_is_revoked(emulator: Emulator, code: str) -> None:
    token = fetch_token(emulator.url, "atlas")
    organization = emulator.state.organizations[org_id("atlas")]
    if code.startswith("IP"):
        organization.service_accounts[client_id("atlas")].access_list.append("192.0.2.1")
        outcome = revoke(emulator, token)
    else:
        emulator.add_fault(Fault("status", method="GET", status=403, code=code))
        outcome = revoke(emulator, token)
    assert (outcome.changed, outcome.failed) == (True, False), outcome.msg
    assert token not in emulator.state.tokens


UNCLEAR: dict[str, Fault] = {
    "another 403": Fault("status", status=403, code="USER_UNAUTHORIZED"),
    "a 500": Fault("status", times=None, status=500),
    "a login page": Fault("html", status=200),
    "a gateway's 401": Fault("html", status=401),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_an_unclear_response_is_an_error(emulator: Emulator, name: str) -> None:
    token = fetch_token(emulator.url, "atlas")
    emulator.add_fault(UNCLEAR[name])
    outcome = revoke(emulator, token)
    assert outcome.failed
    assert not outcome.changed
    assert "/api/oauth/revoke" not in {request.path for request in emulator.requests}
    assert token in emulator.state.tokens


def test_another_account_cannot_revoke_a_token(emulator: Emulator) -> None:
    """The API accepts the request, but the token still works."""
    token = fetch_token(emulator.url, "atlas")
    outcome = revoke(emulator, token, **BUSY)
    assert outcome.failed
    assert not outcome.changed
    assert outcome.result["error"]["type"] == "unexpected_response"
    assert "the token still works" in outcome.msg
    assert outcome.msg.endswith(
        f"Check that the service account {BUSY['client_id']} fetched it: another account cannot "
        "revoke it. The token still works. It expires within an hour."
    )
    assert token in emulator.state.tokens


def test_a_wrong_secret_fails_the_revocation(emulator: Emulator) -> None:
    token = fetch_token(emulator.url, "atlas")
    wrong = {**service_account("atlas"), "client_secret": "mdb_sa_sk_wrong-0123456789"}
    outcome = revoke(emulator, token, **wrong)
    assert outcome.failed
    assert outcome.code == "invalid_client"
    assert outcome.msg.startswith("Could not revoke the access token: ")
    assert token in emulator.state.tokens


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("fault", FAULTS)
def test_each_request_of_a_revocation_may_fail(emulator: Emulator, fault: Any, number: int) -> None:
    """The task revokes the token or fails. It never reports a wrong result."""
    token = fetch_token(emulator.url, "atlas")
    emulator.add_fault(fault(number))
    outcome = revoke(emulator, token)
    assert "Internal error" not in outcome.msg
    is_revoked = token not in emulator.state.tokens
    assert is_revoked or outcome.failed
    assert is_revoked or not outcome.changed
    emulator.clear_faults()
    again = revoke(emulator, token)
    assert (again.changed, again.failed) == (not is_revoked, False), again.msg


def test_a_lost_revocation_says_whether_the_token_works(emulator: Emulator) -> None:
    token = fetch_token(emulator.url, "atlas")
    emulator.add_fault(Fault("lost_before", path="*/oauth/revoke", times=None, anonymous=True))
    outcome = revoke(emulator, token)
    assert outcome.failed
    assert outcome.result["error"]["type"] == "transport"
    assert outcome.result["error"]["path"] == "/api/oauth/revoke"
    assert outcome.msg.endswith("The token still works. It expires within an hour.")


def test_a_lost_revocation_may_stay_unknown(emulator: Emulator) -> None:
    token = fetch_token(emulator.url, "atlas")
    emulator.add_fault(Fault("lost_before", path="*/oauth/revoke", times=None, anonymous=True))
    emulator.add_fault(Fault("status", "GET", after=1, times=None, status=403, anonymous=True))
    outcome = revoke(emulator, token)
    assert outcome.failed
    assert outcome.result["error"]["path"] == "/api/oauth/revoke"
    assert outcome.msg.endswith("The token may have been revoked. Run the task again to find out.")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_fetch_leaves_at_most_one_token(emulator: Emulator, fault: Any) -> None:
    emulator.add_fault(fault(0))
    outcome = run(emulator)
    assert "Internal error" not in outcome.msg
    assert len(emulator.state.tokens) <= 1
    if outcome.failed:
        assert not {*emulator.state.tokens} & {*outcome.output.split('"')}
        assert not emulator.state.tokens or "A token may have been issued" in outcome.msg
    else:
        assert [outcome.result["access_token"]] == [*emulator.state.tokens]


def test_a_hundred_tasks_need_one_token(emulator: Emulator) -> None:
    token = run(emulator).result["access_token"]
    defaults = {"base_url": emulator.url, "org_id": org_id("atlas"), "access_token": token}
    for module in ["org_info", "service_account_info"] * 50:
        outcome = run_module(module, defaults)
        assert not outcome.failed, outcome.msg
    assert revoke(emulator, **{**defaults, **service_account("atlas"), "token": token}).changed
    asked = [request.path for request in emulator.requests]
    assert [path for path in asked if "oauth" in path] == ["/api/oauth/token", "/api/oauth/revoke"]
    assert len(asked) == 1 + 100 + 3


def test_without_a_ready_token_tasks_wait_and_explain(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock = clock.now
    emulator.settings.token_requests_per_minute = 2
    options = {"base_url": emulator.url, "org_id": org_id("atlas"), **service_account("atlas")}
    for _task in range(3):
        assert not run_module("org_info", options, clock=clock).failed
    assert clock.now() - 1000 >= 60
    run_module("org_info", options, clock=clock)
    for module in ("org_info", "access_token"):
        outcome = run_module(module, {**options, "retry_max_wait": 30}, clock=clock)
        assert outcome.result["error"]["type"] == "limit"
        assert "The API reports a limit of 2 tokens in 1 min. " in outcome.msg
        assert "set the option access_token in all other tasks" in outcome.msg


@pytest.mark.parametrize("reason", ["expired", "revoked", "unknown"])
@pytest.mark.parametrize("module", ["org_info", "service_account_info"])
def test_an_error_explains_that_the_token_has_expired(
    emulator: Emulator, module: str, reason: str
) -> None:
    clock = VirtualClock()
    emulator.clock = clock.now
    token = run(emulator).result["access_token"]
    options = {"base_url": emulator.url, "org_id": org_id("atlas"), "access_token": token}
    assert not run_module(module, options, clock=clock).failed
    if reason == "expired":
        clock.time += 3600
    elif reason == "revoked":
        assert revoke(emulator, token).changed
    else:
        options["access_token"] = DEAD
    outcome = run_module(module, options, clock=clock)
    assert outcome.failed
    assert outcome.result["error"]["status"] == 401
    assert "The access token has expired or was revoked" in outcome.msg
    assert "access_token." in outcome.msg


@pytest.mark.parametrize("source", ["options", "environment"])
def test_a_task_that_knows_the_secret_continues_with_its_own_token(
    emulator: Emulator, source: str
) -> None:
    clock = VirtualClock()
    emulator.clock = clock.now
    token = run(emulator).result["access_token"]
    account = service_account("atlas")
    environ = {name: account[option] for name, option in ENVIRON.items()}
    if source == "options":
        environ = {}
    else:
        del account["client_secret"]
    options = {
        "base_url": emulator.url,
        "org_id": org_id("atlas"),
        "access_token": token,
        **account,
    }
    run_module("service_account_info", options, clock=clock, environ=environ)
    assert len([path for path in sent(emulator) if "oauth" in path]) == 1
    clock.time += 3600
    emulator.requests.clear()
    outcome = run_module("service_account_info", options, clock=clock, environ=environ)
    assert not outcome.failed, outcome.msg
    oauth = [f"POST /api/oauth/{name}" for name in ("token", "revoke")]
    assert [request for request in sent(emulator) if "oauth" in request] == oauth
    assert emulator.state.tokens == {}
    assert not [text for text in (token, CLIENT_SECRETS["atlas"]) if text in outcome.output]


def test_the_secret_next_to_a_token_may_be_wrong(emulator: Emulator) -> None:
    options = {
        "base_url": emulator.url,
        "org_id": org_id("atlas"),
        "access_token": DEAD,
        "client_id": client_id("atlas"),
        "client_secret": "mdb_sa_sk_of-another-account",
    }
    outcome = run_module("org_info", options)
    assert outcome.result["error"]["status"] == 401
    assert "The access token has expired or was revoked" in outcome.msg
