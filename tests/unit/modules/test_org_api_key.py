# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key through its main(), against the emulator over real sockets."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _requests,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _http
from ansible_collections.keysmith.mongodb.plugins.modules import org_api_key
from tests.emulator import Emulator, Fault
from tests.support import (
    API_PATHS,
    MISSING_ID,
    PLATFORMS,
    Outcome,
    VirtualClock,
    client_id,
    created_at,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_as_owner,
    service_account,
)

VICTIM = {
    platform: {
        "description": "victim",
        "roles": ["ORG_GROUP_CREATOR", "ORG_MEMBER"],
        "projects": [
            {"project_id": project_id(platform), "roles": ["GROUP_OWNER", "GROUP_READ_ONLY"]}
        ],
    }
    for platform in PLATFORMS
}


def run(emulator: Emulator, platform: str = "atlas", **options: Any) -> Outcome:
    return run_as_owner("org_api_key", emulator, platform, {"state": "absent", **options})


def keys(emulator: Emulator, platform: str = "atlas") -> set[str]:
    return set(emulator.state.organizations[org_id(platform)].api_keys)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_key_is_revoked_once(emulator: Emulator, platform: str) -> None:
    victim = key_id(platform, 2)
    everything = keys(emulator, platform)
    checked = run(emulator, platform, api_user_id=victim, check=True, diff=True)
    assert emulator.writes == []
    real = run(emulator, platform, api_user_id=victim, diff=True)
    again = run(emulator, platform, api_user_id=victim, diff=True)
    assert [checked.changed, real.changed, again.changed] == [True, True, False]
    identity = {"id": victim, "public_key": public_key(platform, 2)}
    expected = {**identity, "created_at": created_at(victim), **VICTIM[platform]}
    assert checked.result["org_api_key"] == real.result["org_api_key"] == expected
    assert (
        checked.result["diff"] == real.result["diff"] == {"before": VICTIM[platform], "after": {}}
    )
    assert again.result["org_api_key"] is None
    assert again.result["diff"] == {"before": {}, "after": {}}
    assert everything - keys(emulator, platform) == {victim}
    assert [write.path for write in emulator.writes] == [
        f"{API_PATHS[platform]}/orgs/{org_id(platform)}/apiKeys/{victim}"
    ]


def test_a_diff_is_returned_if_requested(emulator: Emulator) -> None:
    assert "diff" not in run(emulator, api_user_id=key_id("atlas", 2), check=True).result


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("option", ["api_user_id", "id", "public_key", "description", "desc"])
def test_a_key_is_identified_in_each_way(emulator: Emulator, platform: str, option: str) -> None:
    name = {"api_user_id": key_id(platform, 3), "public_key": public_key(platform, 3)}
    name |= {"id": name["api_user_id"], "description": "ünïcode ☃ key", "desc": "ünïcode ☃ key"}
    outcome = run(emulator, platform, **{option: name[option]})
    assert outcome.changed
    assert key_id(platform, 3) not in keys(emulator, platform)


@pytest.mark.parametrize(
    "name", [{"api_user_id": MISSING_ID}, {"public_key": "zzzzzzzz"}, {"description": "nobody"}]
)
@pytest.mark.parametrize("check", [True, False])
def test_a_missing_key_is_unchanged(emulator: Emulator, name: dict[str, str], check: bool) -> None:
    outcome = run(emulator, **name, check=check)
    assert not outcome.failed
    assert not outcome.changed
    assert outcome.result["org_api_key"] is None
    assert emulator.writes == []


@pytest.mark.parametrize("kind", ["service account", "token"])
@pytest.mark.parametrize("platform", ["atlas", "cloud_manager"])
def test_other_kinds_of_credentials_can_revoke_a_key(
    emulator: Emulator, platform: str, kind: str
) -> None:
    credential_name = service_account(platform)
    if kind == "token":
        credential_name = {"access_token": fetch_token(emulator.url, platform)}
    outcome = run(emulator, platform, api_user_id=key_id(platform, 1), **credential_name)
    # Here, the owner's key is not the signing credential.
    assert outcome.changed


@pytest.mark.parametrize(
    ("credential_name", "name", "expected"),
    [
        ("pair", {"api_user_id": key_id("atlas", 2)}, ["GET 401", "GET 200", "DELETE 204"]),
        ("pair", {"api_user_id": MISSING_ID}, ["GET 401", "GET 400"]),
        ("pair", {"public_key": public_key("atlas", 2)}, ["GET 401", "GET 200", "DELETE 204"]),
        ("pair", {"description": "nobody"}, ["GET 401", "GET 200"]),
        (
            "account",
            {"api_user_id": key_id("atlas", 2)},
            ["POST 200", "GET 200", "DELETE 204", "POST 200"],
        ),
        ("account", {"api_user_id": MISSING_ID}, ["POST 200", "GET 400", "POST 200"]),
    ],
)
def test_few_requests_are_sent_over_one_connection(
    emulator: Emulator, credential_name: str, name: dict[str, str], expected: list[str]
) -> None:
    credentials = key_pair("atlas") if credential_name == "pair" else service_account("atlas")
    assert not run(emulator, **name, **credentials).failed
    assert [f"{request.method} {request.status}" for request in emulator.requests] == expected
    assert emulator.connections == 1


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", [{"api_user_id": key_id("atlas", 1)}, {"description": "signs"}])
def test_revoking_the_signing_credential_is_refused(
    emulator: Emulator, name: dict[str, str], check: bool
) -> None:
    outcome = run(emulator, **name, check=check)
    assert outcome.failed
    assert "this task authenticates with" in outcome.msg
    assert "allow_own_key" in outcome.msg
    assert emulator.writes == []


def test_the_signing_credential_is_revoked_if_allowed(emulator: Emulator) -> None:
    own = key_id("atlas", 1)
    checked = run(emulator, api_user_id=own, allow_own_key=True, check=True)
    outcome = run(emulator, api_user_id=own, allow_own_key=True)
    assert checked.changed
    assert outcome.changed
    assert own not in keys(emulator)


def test_a_401_after_revoking_the_signing_credential_is_not_retried(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_after", "DELETE"))
    outcome = run(
        emulator, api_user_id=key_id("atlas", 1), allow_own_key=True, clock=VirtualClock()
    )
    assert outcome.failed
    assert "accepted before" not in outcome.msg
    assert "may have been carried out" in outcome.msg
    # The second DELETE is refused, and so is its response to the new challenge.
    deletes = [request.status for request in emulator.requests if request.method == "DELETE"]
    assert deletes.count(401) <= 2


@pytest.mark.parametrize("check", [True, False])
def test_the_task_cannot_wait_until_the_signing_credential_is_gone(
    emulator: Emulator, check: bool
) -> None:
    own = key_id("atlas", 1)
    outcome = run(emulator, api_user_id=own, allow_own_key=True, wait=True, check=check)
    assert outcome.failed
    assert "wait" in outcome.msg
    assert emulator.writes == []


def test_revoking_a_key_whose_public_key_is_hidden_is_refused(emulator: Emulator) -> None:
    body = {"id": key_id("atlas", 2), "desc": "victim", "publicKey": None, "roles": []}
    for allowed in (False, True):
        emulator.add_fault(Fault("json", "GET", body=body))
        outcome = run(emulator, api_user_id=key_id("atlas", 2), allow_own_key=allowed)
        assert outcome.failed is not allowed
        assert (key_id("atlas", 2) in keys(emulator)) is not allowed


def test_a_lost_revocation_of_a_key_whose_public_key_is_hidden_is_checked_with_another(
    emulator: Emulator,
) -> None:
    own = key_id("atlas", 1)
    body = {"id": own, "desc": "signs", "publicKey": None, "roles": []}
    emulator.add_fault(Fault("json", "GET", body=body))
    emulator.add_fault(Fault("lost_after", "DELETE"))
    outcome = run(emulator, api_user_id=own, allow_own_key=True, clock=VirtualClock())
    assert outcome.failed
    assert "check with another one" in outcome.msg
    assert own not in keys(emulator)


def test_waiting_ends_when_the_key_is_gone(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 5.0
    outcome = run(emulator, api_user_id=key_id("atlas", 2), wait=True, clock=clock)
    assert outcome.changed
    assert clock.time - 1000 >= 5.0
    assert emulator.requests[-1].status == 400


def test_without_wait_a_delay_does_not_matter(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 5.0
    assert run(emulator, api_user_id=key_id("atlas", 2), clock=clock).changed
    assert clock.sleeps == []
    # The API still lists the key, but the DELETE finds that it is gone: nothing is left to do.
    again = run(emulator, api_user_id=key_id("atlas", 2), clock=clock)
    assert not again.failed
    assert not again.changed


def test_waiting_times_out(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 500.0
    name = {"api_user_id": key_id("atlas", 2)}
    outcome = run(emulator, **name, wait=True, wait_timeout=30, clock=clock)
    assert outcome.failed
    assert "Whether the API key still works is not known" in outcome.msg
    assert "30 s after" in outcome.msg
    assert outcome.changed
    assert outcome.result["org_api_key"]["id"] == key_id("atlas", 2)
    assert clock.time - 1000 <= 30


def test_waiting_through_errors_times_out(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", "GET", status=503, after=1, times=None))
    clock = VirtualClock()
    name = {"api_user_id": key_id("atlas", 2)}
    outcome = run(emulator, **name, wait=True, wait_timeout=4, clock=clock)
    assert outcome.failed
    assert "Whether the API key still works is not known" in outcome.msg
    assert clock.time - 1000 <= 4


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("always", [True, False])
def test_envelopes_are_requested_and_unwrapped(
    emulator: Emulator, platform: str, always: bool
) -> None:
    emulator.settings.envelope_always = always
    victim = {"description": "victim", "envelope": not always}
    assert run(emulator, platform, **victim).changed
    assert not run(emulator, platform, **victim).changed
    assert not run(emulator, platform, api_user_id=MISSING_ID, envelope=not always).changed
    wrong = run(emulator, platform, api_user_id=key_id(platform, 3), **key_pair(platform, 6))
    assert wrong.code == "USER_UNAUTHORIZED"
    assert key_id(platform, 3) in keys(emulator, platform)
    assert any("envelope" in request.query for request in emulator.requests) is not always


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "one of the following is required"),
        (
            {"api_user_id": "", "public_key": "", "description": ""},
            "one of the following is required",
        ),
        ({"api_user_id": MISSING_ID, "description": "x"}, "mutually exclusive"),
        ({"public_key": "abcdefgh", "description": "x"}, "mutually exclusive"),
        ({"api_user_id": "abcdefgh"}, "looks like a public key: use public_key"),
        ({"api_user_id": client_id("atlas")}, "client ID of a service account"),
        ({"api_user_id": "DEADBEEF0"}, "24 lowercase hexadecimal digits"),
        ({"api_user_id": MISSING_ID, "timeout": 1e10}, "timeout"),
        ({"api_user_id": MISSING_ID, "org_id": ""}, "org_id is empty"),
        ({"api_user_id": MISSING_ID, "org_id": "x"}, "org_id"),
        ({"api_user_id": MISSING_ID, "wait_timeout": 0}, "wait_timeout"),
        ({"api_user_id": MISSING_ID, "wait_timeout": "nan"}, "wait_timeout"),
        ({"api_user_id": MISSING_ID, "platform": "ops_manager", "base_url": ""}, "base_url"),
        ({"api_user_id": MISSING_ID, "access_token": "other-token"}, "Two kinds"),
        ({"api_user_id": MISSING_ID, "state": "gone"}, "absent"),
    ],
)
def test_bad_input_is_refused_before_any_request(
    emulator: Emulator, options: dict[str, Any], text: str
) -> None:
    outcome = run(emulator, **{**key_pair("atlas"), **options})
    assert outcome.failed
    assert text in outcome.msg
    assert emulator.requests == []


def test_a_service_account_fetches_no_token_for_bad_input(emulator: Emulator) -> None:
    outcome = run(emulator, **service_account("atlas"))
    assert outcome.result["error"]["type"] == "options"
    assert emulator.requests == []


def test_empty_strings_count_as_unset(emulator: Emulator) -> None:
    empty = ("public_key", "description", "client_id", "client_secret", "access_token", "ca_path")
    empty += ("client_cert", "client_key", "http_proxy")
    outcome = run(
        emulator, **key_pair("atlas"), api_user_id=key_id("atlas", 2), **dict.fromkeys(empty, "")
    )
    assert outcome.changed


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (
            {**key_pair("atlas"), "api_private_key": "nonsense"},
            "UNEXPECTED_ERROR",
            "expired or revoked",
        ),
        (
            {**key_pair("atlas"), "api_public_key": "wrongone"},
            "UNEXPECTED_ERROR",
            "expired or revoked",
        ),
        (key_pair("atlas", 6), "USER_UNAUTHORIZED", "required role (Organization Owner)"),
        (
            key_pair("atlas", 7),
            "IP_ADDRESS_NOT_ON_ACCESS_LIST",
            "come from 127.0.0.1. Before you add this address",
        ),
        (key_pair("cloud_manager"), "USER_CANNOT_ACCESS_ORG", "Check org_id"),
        ({"org_id": "f" * 24, **key_pair("atlas")}, "ORG_NOT_FOUND", "no active organization"),
        (
            {**service_account("atlas"), "client_secret": "mdb_sa_sk_wrong"},
            "invalid_client",
            "the service account mdb_sa_id_",
        ),
        ({"access_token": "expired-token"}, "UNEXPECTED_ERROR", "has expired or was revoked"),
        (
            {"platform": "cloud_manager", "org_id": org_id("atlas"), **key_pair("atlas")},
            "EXPECTED_NON_ATLAS_ORG",
            "set platform to atlas",
        ),
        (
            {"org_id": org_id("cloud_manager"), **key_pair("cloud_manager")},
            "NOT_ATLAS_ORG",
            "set platform to cloud_manager or ops_manager",
        ),
    ],
)
def test_a_refusal_says_what_to_check(
    emulator: Emulator, options: dict[str, Any], code: str, text: str
) -> None:
    outcome = run(emulator, api_user_id=key_id("atlas", 2), **options)
    assert outcome.failed
    assert outcome.code == code
    assert text in outcome.msg
    assert emulator.writes == []
    assert key_id("atlas", 2) in keys(emulator)


def test_an_organization_that_requires_an_access_list_is_reported(emulator: Emulator) -> None:
    emulator.state.organizations[org_id("atlas")].requires_access_list = True
    outcome = run(emulator, api_user_id=key_id("atlas", 2))
    assert outcome.code == "ORG_REQUIRES_ACCESS_LIST"
    assert "no API access list" in outcome.msg


def test_all_pages_of_a_listing_are_read(emulator: Emulator) -> None:
    from tests.support import seed

    emulator.reset(seed(extra_keys=899))
    assert run(emulator, description="extra 898").changed
    listed = [request for request in emulator.requests if request.status == 200]
    # Two pages, each read twice: other users may change keys between two pages.
    assert len(listed) == 4


def test_a_missing_library_is_reported_in_ansibles_words(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_requests, "HAS_REQUESTS", False)
    monkeypatch.setattr(_requests, "WHY_NOT", "ImportError: cannot import name 'x' from 'urllib3'")
    outcome = run(emulator, api_user_id=MISSING_ID)
    assert outcome.failed
    assert outcome.result["error"]["type"] == "options"
    assert re.search(r"Failed to import the required Python library \(requests\)", outcome.msg)
    assert "The import failed: ImportError: cannot import name 'x' from 'urllib3'." in outcome.msg


def test_a_password_in_base_url_is_hidden_if_ansible_refuses_the_task(
    emulator: Emulator,
) -> None:
    url = "https://admin:canary@host"
    outcome = run(emulator, api_user_id=MISSING_ID, state="nonsense", base_url=url)
    assert outcome.failed
    assert "canary" not in outcome.output


def test_a_bug_shows_no_traceback_and_no_value(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: Any) -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr(org_api_key, "run", broken)
    outcome = run(emulator, api_user_id=MISSING_ID)
    assert outcome.failed
    assert "Internal error of keysmith.mongodb: RuntimeError at test_org_api_key.py" in outcome.msg
    assert "canary" not in outcome.output
    assert "Traceback" not in outcome.output


def test_the_size_limit_of_responses_is_enforced(emulator: Emulator) -> None:
    assert _http.MAX_BODY == 16 * 1024 * 1024
    emulator.add_fault(Fault("gzip_bomb", "GET", megabytes=40))
    outcome = run(emulator, api_user_id=MISSING_ID)
    assert "longer than 16 MiB" in outcome.msg
