# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key_access_list through its main(), against the emulator over real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from tests.emulator import Emulator, Fault
from tests.support import (
    API_PATHS,
    MISSING_ID,
    PLATFORMS,
    Outcome,
    VirtualClock,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    run_as_owner,
    service_account,
)

A, B, C, D = "192.0.2.7", "198.51.100.0/24", "2001:db8::1", "2001:db8:1::/48"
OLD, OLDER = "10.0.0.0/8", "10.1.2.3"
VALUE = "org_api_key_access_list"


def run(emulator: Emulator, platform: str = "atlas", **options: Any) -> Outcome:
    """Run the module with the owner's key pair on key 2, unless another key is identified."""
    if not {"api_user_id", "id", "public_key", "description", "desc"} & options.keys():
        options["api_user_id"] = key_id(platform, 2)
    return run_as_owner("org_api_key_access_list", emulator, platform, options)


def entries(emulator: Emulator, platform: str = "atlas", number: int = 2) -> list[str]:
    keys = emulator.state.organizations[org_id(platform)].api_keys
    return list(keys[key_id(platform, number)].access_list)


def start(emulator: Emulator, *found: str, platform: str = "atlas", number: int = 2) -> None:
    keys = emulator.state.organizations[org_id(platform)].api_keys
    keys[key_id(platform, number)].access_list = list(found)


def path(platform: str, list_name: str = "accessList") -> str:
    return (
        f"{API_PATHS[platform]}/orgs/{org_id(platform)}/apiKeys/{key_id(platform, 2)}/{list_name}"
    )


def methods(emulator: Emulator) -> list[str]:
    return [f"{request.method} {request.status}" for request in emulator.requests]


GOALS: dict[str, tuple[dict[str, Any], Callable[[set[str]], set[str]]]] = {
    "present": ({"entries": [A, C, D]}, lambda now: now | {A, C, D}),
    "purge": ({"entries": [A, C, D], "purge": True}, lambda _now: {A, C, D}),
    "empty": ({"entries": []}, lambda now: now),
    "purge-empty": ({"entries": [], "purge": True}, lambda _now: set()),
    "absent": ({"entries": [A, C, D], "state": "absent"}, lambda now: now - {A, C, D}),
    "absent-empty": ({"entries": [], "state": "absent"}, lambda now: now),
}
STARTS = {
    "nothing": [],
    "same": [D, A, C],
    "some": [A],
    "others": [OLD, B],
    "mixed": [D, OLDER, OLD, C],
}


def test_few_requests_are_sent_over_one_connection(emulator: Emulator) -> None:
    start(emulator, OLD, A)
    assert run(emulator, entries=[A, B, C], purge=True).changed
    assert methods(emulator) == ["GET 401", "GET 200", "GET 200", "POST 200", "DELETE 204"]
    assert emulator.connections == 1
    sent = json.loads(emulator.writes[0].body)
    assert sent == [{"cidrBlock": B}, {"ipAddress": "2001:db8:0:0:0:0:0:1"}]
    assert emulator.writes[1].path == f"{path('atlas')}/10.0.0.0%2F8"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_entries_are_compared_in_normal_form(emulator: Emulator, platform: str) -> None:
    start(emulator, "192.0.2.7/32", "2001:db8::1/128", B, platform=platform)
    same = ["192.0.2.7", "192.0.2.7/32", "2001:0DB8:0:0:0:0:0:1", "198.51.100.0/255.255.255.0"]
    assert not run(emulator, platform, entries=same, purge=True).changed
    removed = run(emulator, platform, entries=same[:3], state="absent")
    assert removed.result[VALUE]["entries"] == entries(emulator, platform) == [B]


def test_all_pages_of_a_list_are_read(emulator: Emulator) -> None:
    many = [f"10.{number // 250}.{number % 250}.1" for number in range(700)]
    start(emulator, *many)
    outcome = run(emulator, entries=[*many, A], purge=True)
    assert outcome.changed
    assert len(emulator.writes) == 1
    assert outcome.result[VALUE]["entries"] == [*many, A]


@pytest.mark.parametrize(
    "name", [{"api_user_id": MISSING_ID}, {"public_key": "zzzzzzzz"}, {"description": "nobody"}]
)
@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_missing_key_fails_unless_state_is_absent(
    emulator: Emulator, platform: str, name: dict[str, str], check: bool
) -> None:
    for more in ({"entries": [A]}, {"entries": [], "purge": True}):
        outcome = run(emulator, platform, **name, **more, check=check)
        assert outcome.failed
        assert not outcome.changed
        assert "No API key of organization" in outcome.msg
        assert next(iter(name.values())) in outcome.msg
    absent = run(emulator, platform, **name, entries=[A], state="absent", check=check, diff=True)
    assert not absent.failed
    assert not absent.changed
    assert absent.result[VALUE] is None
    assert absent.result["diff"] == {"before": {}, "after": {}}
    assert emulator.writes == []


@pytest.mark.parametrize("kind", ["service account", "token"])
@pytest.mark.parametrize("platform", ["atlas", "cloud_manager"])
def test_with_other_credentials_no_key_is_the_signing_credential(
    emulator: Emulator, platform: str, kind: str
) -> None:
    credential_name = service_account(platform)
    if kind == "token":
        credential_name = {"access_token": fetch_token(emulator.url, platform)}
    own = {"api_user_id": key_id(platform, 1)}
    assert run(emulator, platform, **own, entries=[A], **credential_name).changed
    assert entries(emulator, platform, 1) == [A]


OWN = {"api_user_id": key_id("atlas", 1)}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("found", "options"),
    [
        ([], {"entries": [A]}),
        (["127.0.0.1", A], {"entries": [A], "state": "absent"}),
        (["127.0.0.1", A], {"entries": ["127.0.0.1"], "purge": True}),
        (["127.0.0.1"], {"entries": [], "purge": True}),
    ],
)
def test_the_list_of_the_signing_credential_is_guarded(
    emulator: Emulator, found: list[str], options: dict[str, Any], check: bool
) -> None:
    start(emulator, *found, number=1)
    outcome = run(emulator, **OWN, **options, check=check)
    assert outcome.failed
    assert "this task authenticates with" in outcome.msg
    assert "changing its own access list" in outcome.msg
    assert emulator.writes == []
    assert entries(emulator, number=1) == found


def test_the_list_of_the_signing_credential_may_stay_unchanged(emulator: Emulator) -> None:
    start(emulator, "127.0.0.0/8", number=1)
    for options in (
        {"entries": ["127.0.0.0/8"], "purge": True},
        {"entries": [A], "state": "absent"},
        {"entries": []},
    ):
        outcome = run(emulator, **OWN, **options)
        assert not outcome.failed
        assert not outcome.changed


def test_the_list_of_the_signing_credential_is_changed_if_allowed(emulator: Emulator) -> None:
    start(emulator, OLD, "127.0.0.1", number=1)
    own = {**OWN, "entries": ["127.0.0.0/8"], "purge": True, "allow_own_key": True}
    assert run(emulator, **own, check=True).changed
    assert emulator.writes == []
    # The address of this request is on the list at all times.
    assert run(emulator, **own).changed
    assert entries(emulator, number=1) == ["127.0.0.0/8"]


def test_a_key_whose_public_key_is_hidden_is_guarded(emulator: Emulator) -> None:
    body = {"id": key_id("atlas", 2), "desc": "victim", "publicKey": None, "roles": []}
    for allowed in (False, True):
        emulator.add_fault(Fault("json", "GET", body=body))
        outcome = run(emulator, entries=[A], allow_own_key=allowed)
        error = outcome.result.get("error") or {"type": None}
        assert error["type"] == (None if allowed else "own_credential"), outcome.msg
    assert outcome.result[VALUE]["public_key"] is None


SPELLINGS = pytest.mark.parametrize("spelling", ["access_list", "whitelist"])


@SPELLINGS
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_address_of_the_caller_stays_and_the_error_says_why(
    emulator: Emulator, platform: str, spelling: str
) -> None:
    emulator.settings.code_spelling = spelling
    start(emulator, OLD, "127.0.0.1", platform=platform, number=1)
    own = {"api_user_id": key_id(platform, 1), "allow_own_key": True}
    outcome = run(emulator, platform, **own, entries=[A], purge=True, diff=True)
    assert outcome.failed
    assert outcome.code == f"CANNOT_REMOVE_CALLER_FROM_{spelling.upper()}"
    assert "does not let an API key remove its own access" in outcome.msg
    # Earlier changes are kept and reported.
    assert outcome.changed
    assert outcome.result[VALUE]["entries"] == ["127.0.0.1", A]
    assert outcome.result["diff"]["before"] == {"entries": [OLD, "127.0.0.1"]}
    assert set(entries(emulator, platform, 1)) == {"127.0.0.1", A}
    assert f"access list now has 127.0.0.1, {A}." in outcome.msg


@pytest.fixture
def before_write(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], None]], None]:
    """Act as another user just before the module's first request with this method."""

    def arrange(method: str, act: Callable[[], None]) -> None:
        original = getattr(Client, method)
        acts = [act]

        def late(self: Client, *arguments: Any, **more: Any) -> Any:
            if acts:
                acts.pop()()
            return original(self, *arguments, **more)

        monkeypatch.setattr(Client, method, late)

    return arrange


@SPELLINGS
@pytest.mark.parametrize("platform", PLATFORMS)
def test_concurrent_additions_do_not_lose_others(
    emulator: Emulator, platform: str, spelling: str, before_write: Any
) -> None:
    emulator.settings.code_spelling = spelling
    before_write("post", lambda: start(emulator, OLD, C, A, platform=platform))
    outcome = run(emulator, platform, entries=[A, B, C], purge=True, diff=True)
    assert outcome.changed
    # Entries that others added in the meantime are purged.
    assert set(entries(emulator, platform)) == {A, B, C}
    assert outcome.result["diff"] == {
        "before": {"entries": [OLD, A, C]},
        "after": {"entries": [A, B, C]},
    }
    assert [json.loads(write.body) for write in emulator.writes if write.body] == [
        [{"cidrBlock": B}]
    ]


@pytest.mark.parametrize("options", [{"entries": [B]}, {"entries": [A], "state": "absent"}])
def test_a_key_that_is_revoked_in_the_meantime_is_reported_as_missing(
    emulator: Emulator, options: dict[str, Any], before_write: Any
) -> None:
    start(emulator, A)
    keys = emulator.state.organizations[org_id("atlas")].api_keys
    is_absent = "state" in options
    before_write("delete" if is_absent else "post", lambda: keys.pop(key_id("atlas", 2)))
    outcome = run(emulator, **options)
    assert outcome.failed is not is_absent
    assert not outcome.changed
    assert outcome.msg == "" if is_absent else "does not find the API key" in outcome.msg


@SPELLINGS
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_second_run_changes_nothing_before_changes_are_shown(
    emulator: Emulator, platform: str, spelling: str
) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 5.0
    emulator.settings.code_spelling = spelling
    start(emulator, OLD, OLDER, platform=platform)
    goal = {"entries": [A, B, C], "purge": True}
    first = run(emulator, platform, **goal, clock=clock)
    second = run(emulator, platform, **goal, clock=clock)
    assert [first.changed, second.changed] == [True, False]
    assert first.result[VALUE] == second.result[VALUE]
    assert set(entries(emulator, platform)) == {A, B, C}
    assert clock.time - 1000 <= 10


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("delay", "is_seen"), [(5.0, True), (60.0, False)])
def test_a_lost_response_is_looked_up_until_changes_are_shown(
    emulator: Emulator, platform: str, delay: float, is_seen: bool
) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, delay
    emulator.add_fault(Fault("lost_after", "POST"))
    outcome = run(emulator, platform, entries=[A, B], clock=clock)
    assert outcome.failed is not is_seen
    assert outcome.changed is is_seen
    if not is_seen:
        assert "The access list was read again and now has no entries." in outcome.msg
    clock.time += delay
    again = run(emulator, platform, entries=[A, B], clock=clock)
    assert not again.failed
    assert not again.changed
    # There is never a second POST.
    assert [write.method for write in emulator.writes] == ["POST"]


@pytest.mark.parametrize("goal", ["purge", "absent"])
def test_the_old_path_of_ops_manager_is_discovered_once(emulator: Emulator, goal: str) -> None:
    emulator.settings.legacy_whitelist = True
    emulator.settings.code_spelling = "whitelist"
    start(emulator, OLD, A, platform="ops_manager")
    options, expected = GOALS[goal]
    assert run(emulator, "ops_manager", **options).changed
    assert set(entries(emulator, "ops_manager")) == expected({OLD, A})
    names = [
        request.path.partition(key_id("ops_manager", 2))[2].split("/")[1]
        for request in emulator.requests[2:]
    ]
    assert names[:2] == ["accessList", "whitelist"]
    assert set(names[2:]) == {"whitelist"}
    assert not run(emulator, "ops_manager", **options).changed


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_role_that_may_not_read_the_list_is_reported(emulator: Emulator, platform: str) -> None:
    outcome = run(emulator, platform, entries=[A], **key_pair(platform, 6))
    assert outcome.code == "API_KEY_ACCESS_LIST_ACCESS_DENIED"
    assert "Only the key itself and an Organization Owner can" in outcome.msg
    assert "Could not read the access list of the API key" in outcome.msg
    assert emulator.writes == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"api_user_id": ""}, "one of the following is required"),
        ({"description": "x"}, "mutually exclusive"),
        ({"api_user_id": "abcdefgh"}, "looks like a public key: use public_key"),
        ({"org_id": ""}, "org_id is empty"),
        ({"entries": None}, "entries"),
        ({"entries": ""}, "missing required arguments: entries"),
        ({"entries": [""], "purge": True}, "entries has '', which is not an IP address"),
        ({"entries": [A, ""]}, "entries has '', which is not an IP address"),
        ({"entries": [f" {A}"]}, "without spaces"),
        ({"entries": ["office"]}, "entries has 'office', which is not an IP address"),
        ({"entries": ["fe80::1%eth0"]}, "'fe80::1%eth0'"),
        ({"entries": [None]}, "entries"),
        ({"entries": [5]}, "item 1 of entries is a number (5)"),
        ({"entries": ["10.0.0.1/24"]}, "Use 10.0.0.0/24 or 10.0.0.1"),
        ({"entries": ["2001:db8::1/32"]}, "Use 2001:db8::/32 or 2001:db8::1"),
        ({"entries": [A], "state": "absent", "purge": True}, "purge is set with state absent"),
        ({"state": "gone"}, "present, absent"),
    ],
)
def test_bad_input_is_refused_before_any_request(
    emulator: Emulator, options: dict[str, Any], text: str
) -> None:
    given = {"api_user_id": MISSING_ID, "entries": [A], **key_pair("atlas"), **options}
    outcome = run(emulator, **given)
    assert outcome.failed
    assert text in outcome.msg
    assert emulator.requests == []
