# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many keys in one task: which are selected, declared, kept, refused and reported."""

from __future__ import annotations

import importlib
import json
import os
import stat
import threading
import unicodedata
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from tests.emulator import Emulator, Fault
from tests.support import (
    COLLECTION,
    MISSING_ID,
    PLATFORMS,
    Outcome,
    VirtualClock,
    client_id,
    created_at,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_module,
    seed,
    service_account,
)

EXTRA = [key_id("atlas", 100 + number) for number in range(20)]
# The description of the seed, but with "u" and a combining diaeresis instead of "ü".
DECOMPOSED = unicodedata.normalize("NFD", "ünïcode ☃ key")
ALL_EXTRA = {"state": "absent", "description_match": ["extra *"]}


def run(emulator: Emulator, platform: str = "atlas", **options: Any) -> Outcome:
    check = options.pop("check", False)
    diff = options.pop("diff", False)
    clock = options.pop("clock", None)
    if not {"client_id", "access_token", "api_public_key"} & options.keys():
        options |= key_pair(platform)
    base = {"platform": platform, "base_url": emulator.url, "org_id": org_id(platform)}
    given = {name: value for name, value in {**base, **options}.items() if value is not None}
    return run_module("org_api_keys", given, check=check, diff=diff, clock=clock)


@pytest.fixture
def crowd(emulator: Emulator) -> Emulator:
    """An emulator whose organizations have 20 more keys."""
    emulator.reset(seed(extra_keys=20))
    return emulator


def keys(emulator: Emulator, platform: str = "atlas") -> dict[str, dict[str, Any]]:
    """Return the keys of an organization by ID."""
    organizations = emulator.state.to_seed()["organizations"]
    (found,) = (o["api_keys"] for o in organizations if o["id"] == org_id(platform))
    return {key["id"]: key for key in found}


def ids(values: Any) -> list[str]:
    return [value["id"] for value in values]


def warnings(outcome: Outcome) -> str:
    return json.dumps(outcome.result.get("warnings", []), ensure_ascii=False)


# Absent


@pytest.mark.parametrize("platform", PLATFORMS)
def test_all_selected_keys_are_revoked_and_nothing_else(crowd: Emulator, platform: str) -> None:
    before = keys(crowd, platform)
    planned = run(crowd, platform, check=True, diff=True, **ALL_EXTRA)
    assert not crowd.writes
    outcome = run(crowd, platform, diff=True, **ALL_EXTRA)
    assert outcome.changed
    extra = [key["id"] for key in before.values() if key["description"].startswith("extra")]
    assert sorted(ids(outcome.result["revoked"])) == extra
    assert keys(crowd, platform).keys() == before.keys() - set(extra)
    for name in ("changed", "revoked", "kept", "missing", "diff"):
        assert planned.result[name] == outcome.result[name]
    again = run(crowd, platform, diff=True, **ALL_EXTRA)
    assert not again.changed
    assert again.result["revoked"] == []
    assert again.result["diff"]["before"] == again.result["diff"]["after"]


def test_each_key_takes_one_request(crowd: Emulator) -> None:
    run(crowd, concurrency=4, **ALL_EXTRA)
    statuses = [request.status for request in crowd.requests]
    assert statuses.count(204) == 20
    assert statuses.count(200) == 1  # the listing
    assert statuses.count(401) == 1  # one challenge for all threads
    assert len(statuses) == 22
    assert crowd.connections <= 4


@pytest.mark.parametrize(
    ("selectors", "numbers"),
    [
        ({"api_user_ids": [EXTRA[0], EXTRA[1], MISSING_ID]}, [100, 101]),
        ({"public_keys": [public_key("atlas", 103), "zzzzzzzz"]}, [103]),
        ({"description_match": ["extra 1?", "*☃*"]}, [3, *range(110, 120)]),
        ({"group_id": project_id("atlas")}, [2]),
        (
            {"description_match": ["extra *"], "roles": ["ORG_MEMBER"], "keep": ["extra ?"]},
            list(range(110, 120)),
        ),
        ({"api_user_ids": [], "description_match": ["*"]}, []),
        ({"description_match": "extra 0"}, [100]),
        ({"api_user_ids": ",".join(EXTRA[:2])}, [100, 101]),
    ],
)
def test_a_selection_revokes_the_matching_keys(
    crowd: Emulator, selectors: dict[str, Any], numbers: list[int]
) -> None:
    before = keys(crowd)
    outcome = run(crowd, state="absent", **selectors)
    expected = {key_id("atlas", number) for number in numbers}
    assert set(ids(outcome.result["revoked"])) == expected
    assert before.keys() - keys(crowd).keys() == expected
    assert outcome.changed is bool(numbers)


def test_the_signing_credential_is_kept_with_a_warning(crowd: Emulator) -> None:
    before = keys(crowd)
    outcome = run(crowd, state="absent", description_match=["*"])
    assert keys(crowd).keys() == {key_id("atlas", 1)}
    assert len(outcome.result["revoked"]) == len(before) - 1
    (kept,) = outcome.result["kept"]
    assert (kept["id"], kept["reason"]) == (key_id("atlas", 1), "own_key")
    assert "is the key that this task authenticates with" in warnings(outcome)


def test_an_unknown_role_is_selected_with_a_warning(crowd: Emulator) -> None:
    outcome = run(crowd, state="absent", roles=["ORG_EMPEROR", "ORG_READ_ONLY"])
    assert ids(outcome.result["revoked"]) == [key_id("atlas", 3)]
    message = "roles has 'ORG_EMPEROR', which is not a known role of MongoDB Atlas."
    assert f'"{message}"' in warnings(outcome)


def test_the_signing_credential_is_kept_if_another_change_failed(crowd: Emulator) -> None:
    crowd.add_fault(Fault("status", "DELETE", f"*{EXTRA[3]}", status=403))
    outcome = run(crowd, state="absent", description_match=["*"], allow_own_key=True)
    assert outcome.failed
    assert ids(outcome.result["failures"]) == [EXTRA[3]]
    assert ids(outcome.result["pending"]) == [key_id("atlas", 1)]
    for key in outcome.result["failures"] + outcome.result["pending"]:
        assert key["created_at"] == created_at(key["id"])
    assert "1 not started (the signing credential comes last)" in outcome.msg
    assert keys(crowd).keys() == {key_id("atlas", 1), EXTRA[3]}
    again = run(crowd, state="absent", description_match=["*"], allow_own_key=True)
    assert not again.failed
    assert not keys(crowd)


def test_a_service_account_can_revoke_all_keys(crowd: Emulator) -> None:
    account = service_account("atlas")
    assert run(crowd, state="absent", description_match=["*"], **account).changed
    assert not keys(crowd)


@pytest.mark.parametrize("options", [{"check": True}, {}])
def test_no_more_are_revoked_than_allowed(crowd: Emulator, options: dict[str, Any]) -> None:
    outcome = run(crowd, max_revocations=19, **ALL_EXTRA, **options)
    assert outcome.failed
    assert not crowd.writes
    assert "20 API keys of organization" in outcome.msg
    assert "max_revocations is 19" in outcome.msg
    assert sorted(outcome.result["error"]["parameters"]) == EXTRA
    assert not run(crowd, max_revocations=20, **ALL_EXTRA, **options).failed


def test_an_error_lists_some_of_many_keys(emulator: Emulator) -> None:
    emulator.reset(seed(extra_keys=60))
    outcome = run(emulator, **ALL_EXTRA)
    assert "60 API keys" in outcome.msg
    assert " and 40 more" in outcome.msg
    assert len(outcome.result["error"]["parameters"]) == 60


def test_a_failure_does_not_stop_the_other_changes(crowd: Emulator) -> None:
    for number in (2, 7):
        crowd.add_fault(
            Fault("status", "DELETE", f"*{EXTRA[number]}", status=403, code="ACCESS_FORBIDDEN")
        )
    outcome = run(crowd, **ALL_EXTRA)
    assert outcome.failed
    assert outcome.changed
    assert outcome.code == "ACCESS_FORBIDDEN"
    assert len(outcome.result["revoked"]) == 18
    assert sorted(ids(outcome.result["failures"])) == [EXTRA[2], EXTRA[7]]
    for failure in outcome.result["failures"]:
        assert failure["error"]["code"] == "ACCESS_FORBIDDEN"
        assert failure["id"] in failure["msg"]
    assert outcome.result["pending"] == []
    assert "18 done, 2 failed" in outcome.msg
    again = run(crowd, **ALL_EXTRA)
    assert sorted(ids(again.result["revoked"])) == [EXTRA[2], EXTRA[7]]


def test_fail_fast_starts_no_more_changes(crowd: Emulator) -> None:
    crowd.add_fault(Fault("status", "DELETE", status=403, after=4))
    outcome = run(crowd, concurrency=1, fail_fast=True, **ALL_EXTRA)
    assert len(outcome.result["revoked"]) == 4
    assert len(outcome.result["failures"]) == 1
    assert len(outcome.result["pending"]) == 15
    assert "15 not started (fail_fast is true)" in outcome.msg
    assert len(keys(crowd)) == 7 + 16


def test_keys_revoked_in_the_meantime_are_unchanged(crowd: Emulator) -> None:
    gone = {"status": 400, "code": "API_KEY_NOT_FOUND", "parameters": [EXTRA[5]]}
    for method in ("DELETE", "GET"):
        crowd.add_fault(Fault("status", method, f"*{EXTRA[5]}", times=None, **gone))
    outcome = run(crowd, diff=True, **ALL_EXTRA)
    assert not outcome.failed
    assert len(outcome.result["revoked"]) == 19
    assert ids(outcome.result["unchanged"]) == [EXTRA[5]]
    assert len(outcome.result["diff"]["before"]["api_keys"]) == 19


def test_a_time_limit_stops_the_task_and_keeps_its_results(crowd: Emulator) -> None:
    crowd.add_fault(Fault("status", "DELETE", f"*{EXTRA[0]}", times=None, status=503))
    outcome = run(crowd, concurrency=1, time_limit=3, retries=100, diff=True, **ALL_EXTRA)
    assert outcome.failed
    assert outcome.result["error"]["type"] == "limit"
    assert outcome.result["diff"]["before"] == outcome.result["diff"]["after"]
    assert outcome.clock.time <= 1003.01
    (failure,) = outcome.result["failures"]
    assert failure["id"] == EXTRA[0]
    assert "time_limit" in failure["msg"]
    assert len(outcome.result["pending"]) == 19
    assert "19 not started (the time limit" in outcome.msg


def test_a_change_that_was_only_rate_limited_is_pending(crowd: Emulator) -> None:
    """The API rejects such a request before it does anything."""
    crowd.add_fault(Fault("status", "DELETE", times=None, status=429, retry_after=60))
    outcome = run(crowd, concurrency=1, time_limit=3, **ALL_EXTRA)
    assert outcome.failed
    assert outcome.result["error"]["type"] == "limit"
    assert outcome.result["failures"] == []
    assert sorted(ids(outcome.result["pending"])) == sorted(EXTRA)
    assert outcome.msg.endswith("Run the task again to finish.")


def test_a_time_limit_stops_the_listing_between_two_pages(emulator: Emulator) -> None:
    emulator.reset(seed(extra_keys=1400))
    clock = VirtualClock()
    emulator.clock = clock.now
    emulator.sleep = lambda _seconds: clock.sleep(2)
    emulator.add_fault(Fault("slow", "GET", "*/apiKeys", times=None))
    victim = {"state": "absent", "api_user_ids": [key_id("atlas", 2)]}
    outcome = run(emulator, **victim, time_limit=1, clock=clock)
    assert outcome.failed
    assert outcome.result["error"]["type"] == "limit"
    assert org_id("atlas") in outcome.msg
    assert sum(request.status == 200 for request in emulator.requests) == 1
    assert not emulator.writes


def test_a_lost_creation_is_looked_up_on_all_pages_after_the_time_limit(
    emulator: Emulator,
) -> None:
    emulator.reset(seed(extra_keys=600))
    emulator.settings.max_api_keys = None
    clock = VirtualClock()
    emulator.clock = clock.now
    emulator.sleep = lambda _seconds: clock.sleep(2)
    # The listing before the creation has two pages, which are read twice.
    emulator.add_fault(Fault("slow", "GET", "*/apiKeys", after=4, times=None))
    emulator.add_fault(Fault("lost_after", "POST", "*/apiKeys"))
    outcome = run(emulator, api_keys=[NEW], time_limit=1, clock=clock)
    assert outcome.failed
    (made,) = [key.id for key in keys_of(emulator).values() if key.description == "new one"]
    assert made in outcome.msg


def test_a_time_limit_stops_the_reading_of_access_lists(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock = clock.now
    # Each response takes 2 s, so no wait of the module notices that the limit is reached.
    emulator.sleep = lambda _seconds: clock.sleep(2)
    emulator.add_fault(Fault("slow", "GET", "*/accessList", times=None))
    api_keys = [{"description": name, "access_list": []} for name in ("victim", "member")]
    outcome = run(emulator, api_keys=api_keys, concurrency=1, time_limit=1, clock=clock)
    assert "Not all access lists were read, because the time limit was reached" in outcome.msg
    assert "Nothing was changed." in outcome.msg
    assert not outcome.changed
    read = [r for r in emulator.requests if r.path.endswith("/accessList") and r.status == 200]
    assert len(read) == 1


# Present

NEW = {
    "description": "new one",
    "roles": ["ORG_MEMBER"],
    "access_list": ["192.0.2.1", "10.0.0.0/8"],
}


def in_project(*roles: str) -> dict[str, Any]:
    return {"project_id": MISSING_ID, "roles": list(roles)}


def declared(platform: str) -> list[dict[str, Any]]:
    """Declare a new key, three keys with one change each, and one without a change."""
    project = {"project_id": project_id(platform), "roles": ["GROUP_READ_ONLY"]}
    return [
        {**NEW, "projects": [project]},
        {"description": "victim", "projects": [project]},
        {"description": "member", "roles": ["ORG_READ_ONLY"]},
        {"description": "listed elsewhere", "access_list": ["198.51.100.0/24"]},
        {"description": "ünïcode ☃ key", "roles": ["ORG_READ_ONLY"], "access_list": []},
    ]


@pytest.mark.parametrize("purge", [False, True])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_organization_becomes_as_declared(
    emulator: Emulator, platform: str, purge: bool
) -> None:
    before = keys(emulator, platform)
    options = {"api_keys": declared(platform), "purge": purge, "diff": True}
    planned = run(emulator, platform, check=True, **options)
    assert not emulator.writes
    outcome = run(emulator, platform, **options)
    assert outcome.changed
    after = {key["description"]: key for key in keys(emulator, platform).values()}
    assert after["new one"]["roles"] == ["ORG_MEMBER"]
    assert sorted(after["new one"]["access_list"]) == ["10.0.0.0/8", "192.0.2.1"]
    project = {"project_id": project_id(platform), "roles": ["GROUP_READ_ONLY"]}
    assert after["new one"]["projects"] == after["victim"]["projects"] == [project]
    assert after["member"]["roles"] == ["ORG_READ_ONLY"]
    assert after["listed elsewhere"]["access_list"] == ["198.51.100.0/24"]
    assert ("twin" in after) is not purge
    assert key_id(platform, 1) in keys(emulator, platform)
    assert sorted(ids(outcome.result["updated"])) == [key_id(platform, n) for n in (2, 6, 7)]
    assert ids(outcome.result["unchanged"]) == [key_id(platform, 3)]
    (created,) = outcome.result["created"]
    assert created["private_key"]
    assert created["access_list"] == ["10.0.0.0/8", "192.0.2.1"]
    assert created["projects"] == [project]
    assert sorted(ids(outcome.result["revoked"])) == [key_id(platform, n) for n in (4, 5) if purge]
    for name in ("changed", "revoked", "updated", "unchanged", "kept", "diff"):
        assert planned.result[name] == outcome.result[name], name
    assert planned.result["created"] == [
        {
            "id": None,
            "public_key": None,
            "created_at": None,
            "description": "new one",
            "roles": ["ORG_MEMBER"],
            "projects": [project],
            "access_list": ["10.0.0.0/8", "192.0.2.1"],
        }
    ]
    writes = len(emulator.writes)
    again = run(emulator, platform, **options)
    assert not again.changed
    assert len(again.result["unchanged"]) == 5
    assert len(emulator.writes) == writes
    assert before[key_id(platform, 1)] == keys(emulator, platform)[key_id(platform, 1)]


def test_undeclared_parts_of_a_key_are_not_changed(emulator: Emulator) -> None:
    before = keys(emulator)
    api_keys = [{"description": "victim"}, {"description": "listed elsewhere", "roles": ""}]
    outcome = run(emulator, api_keys=api_keys)
    assert not outcome.changed
    assert keys(emulator) == before
    # The challenge and the listing.
    assert len(emulator.requests) == 2


def test_an_empty_list_removes_all_projects_or_addresses(emulator: Emulator) -> None:
    api_keys = [
        {"description": "victim", "projects": []},
        {"description": "listed elsewhere", "access_list": []},
    ]
    outcome = run(emulator, api_keys=api_keys, diff=True)
    assert outcome.changed
    diff = outcome.result["diff"]
    lists = [[k.get("access_list") for k in diff[when]["api_keys"]] for when in ("before", "after")]
    assert lists == [[["192.0.2.0/24"], None], [[], None]]
    assert keys(emulator)[key_id("atlas", 2)]["projects"] == []
    assert keys(emulator)[key_id("atlas", 7)]["access_list"] == []


def test_purge_of_an_empty_list_revokes_all_except_the_signing_credential(
    emulator: Emulator,
) -> None:
    outcome = run(emulator, api_keys=[], purge=True, max_revocations=50)
    assert keys(emulator).keys() == {key_id("atlas", 1)}
    assert outcome.result["kept"][0]["reason"] == "own_key"
    # Otherwise, every run for a declared organization would repeat the warning.
    assert "authenticates" not in warnings(outcome)


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("limit", [{}, {"max_revocations": ""}, {"max_revocations": None}])
def test_an_empty_list_purges_only_with_a_limit_that_the_task_sets(
    emulator: Emulator, limit: dict[str, Any], check: bool
) -> None:
    before = set(keys(emulator))
    outcome = run(emulator, api_keys=[], purge=True, check=check, **limit)
    assert outcome.failed
    assert outcome.result["error"]["type"] == "options"
    assert "api_keys is an empty list, so purge would revoke every API key" in outcome.msg
    assert emulator.requests == []
    # 0 is a limit too, and so is the default if the task sets it.
    for number in (0, 50):
        outcome = run(
            emulator, api_keys=[], purge=True, check=True, **{**limit, "max_revocations": number}
        )
        assert outcome.result.get("error", {}).get("type") != "options"
    # Without purge, an empty list changes nothing.
    assert not run(emulator, api_keys=[], check=check).changed
    assert set(keys(emulator)) == before


def test_a_role_that_the_api_adds_is_not_a_difference(emulator: Emulator) -> None:
    emulator.settings.adds_org_member = True
    api_keys = [{"description": "new one", "roles": ["ORG_READ_ONLY"]}]
    assert run(emulator, api_keys=api_keys).changed
    assert not run(emulator, api_keys=api_keys).changed


def test_keys_of_an_old_ops_manager_get_their_whitelist(emulator: Emulator) -> None:
    emulator.settings.legacy_whitelist = True
    assert not run(emulator, "ops_manager", api_keys=[NEW]).failed
    (new,) = (k for k in keys(emulator, "ops_manager").values() if k["description"] == "new one")
    assert sorted(new["access_list"]) == ["10.0.0.0/8", "192.0.2.1"]


def test_each_new_key_pair_is_stored_in_its_own_file(emulator: Emulator, tmp_path: Path) -> None:
    api_keys = [{"description": f"new {number}", "roles": ["ORG_MEMBER"]} for number in range(12)]
    outcome = run(emulator, api_keys=api_keys, credentials_dir=str(tmp_path))
    created = outcome.result["created"]
    assert len(created) == 12
    for key in created:
        assert "private_key" not in key
        path = Path(key["credentials_file"])
        assert path == tmp_path / f"{key['id']}.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        pair = json.loads(path.read_text("utf-8"))
        assert pair["description"] == key["description"]
        assert pair["private_key"] == keys(emulator)[key["id"]]["private_key"]
        assert pair["private_key"] not in outcome.output
    again = run(emulator, api_keys=api_keys, credentials_dir=str(tmp_path))
    assert not again.changed
    assert "warnings" not in again.result
    path.unlink()
    warned = run(emulator, api_keys=api_keys, credentials_dir=str(tmp_path))
    assert f"credentials_dir {tmp_path} has no key pairs of" in warnings(warned)
    path.symlink_to("/etc/hostname")
    warned = run(emulator, api_keys=api_keys, credentials_dir=str(tmp_path))
    assert path.stem in warnings(warned)


def test_check_mode_checks_the_directory_and_returns_all_warnings(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_secret_file.tempfile, "TemporaryFile", None)
    api_keys = [NEW, {"description": "victim"}]
    more = {"purge": True, "keep": ["no key"], "on_keep_missing": "warn", "max_revocations": 50}
    outcome = run(emulator, api_keys=api_keys, credentials_dir=str(tmp_path), check=True, **more)
    assert not outcome.failed, outcome.msg
    assert "no key" in warnings(outcome)
    assert f"existing API keys: {key_id('atlas', 2)}" in warnings(outcome)


def test_a_key_whose_pair_cannot_be_written_is_revoked(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = keys(emulator)
    outcome = run(emulator, api_keys=[NEW], credentials_dir=str(tmp_path))
    assert outcome.failed
    assert keys(emulator) == before
    assert list(tmp_path.iterdir()) == []
    assert outcome.result["created"] == []
    (failure,) = outcome.result["failures"]
    assert failure["id"] is None
    assert "The new API key was revoked to clean up: nothing is left." in failure["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_a_missing_directory_is_refused_before_any_write(
    emulator: Emulator, tmp_path: Path, check: bool
) -> None:
    folder = tmp_path / "none"
    outcome = run(emulator, api_keys=[NEW], credentials_dir=str(folder), check=check)
    assert outcome.failed
    assert f"credentials_dir {folder} is not a directory, and nothing was created" in outcome.msg
    assert not emulator.writes


def test_a_partly_changed_key_is_reported_as_changed_and_failed(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", "POST", "*/groups/*", status=403))
    new = {**NEW, "projects": [{"project_id": project_id("atlas"), "roles": ["GROUP_READ_ONLY"]}]}
    outcome = run(emulator, api_keys=[new, {"description": "member", "roles": ["ORG_READ_ONLY"]}])
    assert outcome.failed
    assert outcome.changed
    (created,) = outcome.result["created"]
    assert created["private_key"]
    assert created["projects"] == []
    (failure,) = outcome.result["failures"]
    assert failure["id"] == created["id"]
    assert failure["error"]["status"] == 403
    assert ids(outcome.result["updated"]) == [key_id("atlas", 6)]
    again = run(emulator, api_keys=[new])
    assert ids(again.result["updated"]) == [created["id"]]


def test_a_duplicate_from_another_run_is_reported(emulator: Emulator) -> None:
    duplicate = {
        "id": MISSING_ID,
        "desc": "new one",
        "publicKey": "othersxx",
        "roles": [{"roleName": "ORG_MEMBER", "orgId": org_id("atlas")}],
    }
    listing = {"results": [duplicate], "totalCount": 1}
    emulator.add_fault(Fault("json", "GET", "*/apiKeys", after=1, times=None, body=listing))
    outcome = run(emulator, api_keys=[NEW])
    assert outcome.result["created"][0]["private_key"]
    assert MISSING_ID in warnings(outcome)


def test_new_keys_need_one_more_listing_in_total(emulator: Emulator) -> None:
    api_keys = [{"description": f"new {number}", "roles": ["ORG_MEMBER"]} for number in range(12)]
    run(emulator, api_keys=api_keys)
    asked = [(request.method, request.status) for request in emulator.requests]
    assert asked.count(("POST", 200)) == 12
    assert asked.count(("GET", 200)) == 2
    assert all(status == 401 for _method, status in asked if status not in {200})


# Refused before any write


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_keys": [{"description": "twin"}]}, "2 API keys of organization"),
        ({"api_keys": [{"description": "victim\n"}]}, "look like it"),
        (
            {"api_keys": [{"description": "no key"}, NEW, {"description": "no other"}]},
            "new keys need roles: 'no key', 'no other'",
        ),
        (
            {"api_keys": [NEW, {"description": "victim"}], "keep": ["vic*", "new*"]},
            "In both api_keys and keep: 'new one', 'victim'",
        ),
        (
            {"api_keys": [NEW, {"description": "victim"}], "keep": [key_id("atlas", 2)]},
            "In both api_keys and keep: 'victim'",
        ),
        (
            {"api_keys": [{"description": "victim", "roles": ["ORG_OWNER"]}], "keep": ["VIC*"]},
            "keep: 'VIC*' does not match",
        ),
        ({"api_keys": [{"description": "signs", "roles": ["ORG_MEMBER"]}]}, "allow_own_key"),
        ({"api_keys": [{"description": "signs", "access_list": ["10.0.0.1"]}]}, "allow_own_key"),
        ({"api_keys": [NEW], "purge": True, "max_revocations": 5}, "max_revocations is 5"),
        ({"state": "absent", "descriptions": ["victim "]}, "look like it"),
        ({"state": "absent", "descriptions": [DECOMPOSED]}, "look like it"),
        ({"api_keys": [{**NEW, "description": DECOMPOSED}]}, "look like it"),
    ],
)
def test_ambiguous_or_dangerous_tasks_change_nothing(
    emulator: Emulator, options: dict[str, Any], message: str, check: bool
) -> None:
    outcome = run(emulator, check=check, **options)
    assert outcome.failed
    assert message in outcome.msg
    assert "othing was changed" in outcome.msg
    assert not emulator.writes


def test_a_harmless_change_of_the_signing_credential_is_allowed(emulator: Emulator) -> None:
    project = {"project_id": project_id("atlas"), "roles": ["GROUP_OWNER"]}
    signs = {"description": "signs", "roles": ["ORG_OWNER", "ORG_MEMBER"], "projects": [project]}
    outcome = run(emulator, api_keys=[signs])
    assert ids(outcome.result["updated"]) == [key_id("atlas", 1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": "absent"}, "No key is selected"),
        ({"state": "absent", "roles": "", "descriptions": ""}, "descriptions"),
        # A variable without a value must not widen a selection, or narrow what is kept.
        *(
            ({"state": "absent", "roles": ["ORG_OWNER"], name: [""]}, f"{name} has an empty item")
            for name in (
                "api_user_ids",
                "public_keys",
                "descriptions",
                "description_match",
                "roles",
                "keep",
            )
        ),
        ({"state": "absent", "api_user_ids": ["x"]}, "api_user_ids is 'x'"),
        ({"state": "absent", "api_user_ids": [client_id("atlas")]}, "service account"),
        ({"state": "absent", "public_keys": ["ABC"]}, "public_keys"),
        (
            {"state": "absent", "public_keys": ["dddddddd-0000-4000-8000-0000000000a1"]},
            "looks like a private key",
        ),
        ({"state": "absent", "roles": ["GROUP_OWNER"]}, "GROUP_OWNER"),
        ({"state": "absent", "project_id": "x"}, "project_id is 'x'"),
        (
            {"state": "absent", "description_match": "*, twin"},
            "Write ['*, twin'] if the comma is part of it, or ['*', 'twin'].",
        ),
        ({"state": "absent", "descriptions": "extra 0,extra 1"}, "descriptions"),
        ({"state": "absent", "roles": ["ORG_OWNER"], "keep": "a,b"}, "keep"),
        ({"api_keys": [NEW], "purge": True, "keep": "ünï, b"}, "Write ['ünï, b'] if"),
        ({"state": "absent", "api_keys": [NEW]}, "set with state absent"),
        ({"state": "absent", "roles": ["ORG_OWNER"], "purge": True}, "set with state absent"),
        ({}, "No keys are declared"),
        ({"api_keys": [NEW], "roles": ["ORG_OWNER"]}, "Set with state present: roles"),
        ({"api_keys": [NEW, NEW]}, "or with look-alikes: 'new one'"),
        (
            {"api_keys": [{**NEW, "description": text} for text in (DECOMPOSED, "ünïcode ☃ key")]},
            "'ünïcode ☃ key'",
        ),
        ({"api_keys": [{**NEW, "roles": []}]}, "roles"),
        ({"api_keys": [{**NEW, "roles": ["ORG_EMPEROR"]}]}, "ORG_EMPEROR"),
        ({"api_keys": [{**NEW, "description": "x" * 251}]}, ": description has 251"),
        ({"api_keys": [{**NEW, "description": ""}]}, "description found in api_keys"),
        ({"api_keys": [NEW, {**NEW, "description": "new  one "}]}, "'new one', 'new  one '"),
        # Some versions of ansible-core treat it as an empty text, others as no text.
        ({"api_keys": [{**NEW, "access_list": [None]}]}, "access_list"),
        ({"api_keys": [{**NEW, "access_list": [""]}]}, "access_list"),
        ({"api_keys": [{**NEW, "roles": [""]}]}, "In api_keys, 'new one': "),
        ({"api_keys": [{**NEW, "access_list": ["here"]}]}, "access_list has 'here'"),
        (
            {"api_keys": [{**NEW, "projects": [{"project_id": "x", "roles": ["GROUP_OWNER"]}]}]},
            "In api_keys, 'new one': project_id",
        ),
        ({"api_keys": [{**NEW, "projects": [in_project()]}]}, "roles"),
        ({"api_keys": [{**NEW, "projects": [in_project("ORG_OWNER")]}]}, "ORG_OWNER"),
        (
            {"api_keys": [{**NEW, "projects": [in_project("GROUP_OWNER")] * 2}]},
            "lists a project twice",
        ),
        ({"api_keys": [NEW], "concurrency": 0}, "concurrency"),
        ({"api_keys": [NEW], "concurrency": 17}, "concurrency"),
        ({"api_keys": [NEW], "max_revocations": -1}, "max_revocations"),
        ({"api_keys": [NEW], "time_limit": 0}, "time_limit"),
        ({"api_keys": [NEW], "org_id": ""}, "org_id"),
        ({"api_keys": [NEW], "access_token": "other-token", **key_pair("atlas")}, "Two kinds"),
    ],
)
def test_bad_input_is_refused_before_any_request(
    emulator: Emulator, options: dict[str, Any], message: str
) -> None:
    outcome = run(emulator, **options)
    assert outcome.failed
    assert message in outcome.msg
    assert "dddddddd" not in outcome.output
    assert not emulator.requests


def hide_public_keys(emulator: Emulator, *numbers: int) -> None:
    for number in numbers:
        keys_of(emulator)[key_id("atlas", number)].public_key = ""


def keys_of(emulator: Emulator) -> dict[str, Any]:
    return emulator.state.organizations[org_id("atlas")].api_keys


# Limits, look-alikes and failures


def test_existing_threads_do_all_the_work_if_no_more_can_start(
    crowd: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    start = threading.Thread.start

    def limited(self: threading.Thread) -> None:
        nonlocal count
        if "work" in getattr(self._target, "__name__", ""):
            count += 1
            if count > 3:
                raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    outcome = run(crowd, **ALL_EXTRA)
    assert count == 4
    assert len(outcome.result["revoked"]) == 20


@pytest.mark.parametrize("keep", ["ci [prod]", "ci [[]prod]", "ci*", "pipeline"])
def test_an_item_of_keep_is_a_description_or_a_pattern(emulator: Emulator, keep: str) -> None:
    # "pipeline" looks like a public key, but is not one.
    for number, description in ((2, "ci [prod]"), (3, "pipeline")):
        keys_of(emulator)[key_id("atlas", number)].description = description
    outcome = run(emulator, state="absent", description_match=["ci*", "pipeline"], keep=[keep])
    kept = key_id("atlas", 3 if keep == "pipeline" else 2)
    assert ids(outcome.result["kept"]) == [kept]
    assert kept in keys(emulator)


@pytest.mark.parametrize(
    ("keep", "number"),
    [
        ("victim\n", 2),
        ("Vic*", 2),
        (key_id("atlas", 2).upper(), 2),
        (public_key("atlas", 2).upper(), 2),
        (DECOMPOSED, 3),
    ],
)
def test_an_item_of_keep_that_matches_a_look_alike_fails(
    emulator: Emulator, keep: str, number: int
) -> None:
    outcome = run(emulator, state="absent", description_match=["*"], keep=[keep])
    assert outcome.failed
    assert f"keep: {keep!r} does not match" in outcome.msg
    assert key_id("atlas", number) in outcome.msg
    assert not emulator.writes


def test_a_time_limit_during_the_look_up_reports_the_lost_request(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 60.0
    emulator.add_fault(Fault("lost_after", "POST", "*/accessList"))
    api_keys = [{"description": "victim", "access_list": ["192.0.2.1"]}]
    outcome = run(emulator, api_keys=api_keys, time_limit=1, clock=clock)
    assert outcome.failed
    (failure,) = outcome.result["failures"]
    assert failure["error"]["method"] == "POST"
    assert "read again and now has no entries" in failure["msg"]


def test_no_entry_is_removed_after_the_time_limit(emulator: Emulator) -> None:
    entries = [f"192.0.2.{number}" for number in range(60)]
    keys_of(emulator)[key_id("atlas", 2)].access_list.extend(entries)
    clock = VirtualClock()
    emulator.clock = clock.now
    emulator.sleep = lambda _seconds: clock.sleep(1)
    emulator.add_fault(Fault("slow", "DELETE", times=None))
    api_keys = [{"description": "victim", "access_list": []}]
    outcome = run(emulator, api_keys=api_keys, time_limit=5, clock=clock)
    assert "time_limit" in outcome.msg
    assert outcome.changed
    assert len(emulator.writes) == 5
    (updated,) = outcome.result["updated"]
    assert len(updated["access_list"]) == 55


def test_a_new_key_gets_its_access_list_after_the_time_limit(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock = clock.now
    emulator.sleep = lambda _seconds: clock.sleep(5)
    emulator.add_fault(Fault("slow", "POST", "*/apiKeys"))
    outcome = run(emulator, api_keys=[NEW], time_limit=1, clock=clock)
    # A key must not be left without its access list.
    written = [request.path.rpartition("/")[2] for request in emulator.writes]
    assert written == ["apiKeys", "accessList"]
    (created,) = outcome.result["created"]
    assert created["private_key"]
    assert not outcome.failed
    assert "was not checked" in warnings(outcome) or "could not be checked" in warnings(outcome)


def test_hidden_public_keys_do_not_matter_if_the_signing_credential_is_listed(
    crowd: Emulator,
) -> None:
    hide_public_keys(crowd, *range(100, 112))
    refused = run(crowd, state="absent", description_match=["*"], api_keys=None)
    assert not refused.failed
    assert keys(crowd).keys() == {key_id("atlas", 1)}


def test_a_key_that_may_be_the_signing_credential_is_not_revoked(crowd: Emulator) -> None:
    # The emulator needs the public key to authenticate the task, so only the response hides it.
    listing = [
        {"id": EXTRA[0], "desc": "extra 0", "roles": []},
        {"id": EXTRA[1], "desc": "extra 1", "publicKey": "elsewhre", "roles": []},
    ]
    body = {"results": listing, "totalCount": 2}
    crowd.add_fault(Fault("json", "GET", times=None, body=body))
    outcome = run(crowd, **ALL_EXTRA)
    assert "nothing was changed" in outcome.msg
    assert not crowd.writes
    allowed = run(crowd, allow_own_key=True, **ALL_EXTRA)
    assert [request.path[-24:] for request in crowd.writes] == [EXTRA[1], EXTRA[0]]
    assert not allowed.failed


def test_a_lost_revocation_of_what_may_be_the_signing_credential_is_checked_with_another(
    crowd: Emulator,
) -> None:
    own = {"id": key_id("atlas", 1), "desc": "extra 0", "roles": []}
    body = {"results": [own], "totalCount": 1}
    crowd.add_fault(Fault("json", "GET", times=None, body=body))
    crowd.add_fault(Fault("lost_after", "DELETE"))
    outcome = run(crowd, allow_own_key=True, **ALL_EXTRA)
    assert outcome.failed
    assert "check with another one" in outcome.output
    assert key_id("atlas", 1) not in keys(crowd)


def test_a_hidden_key_may_lose_a_role_if_the_signing_credential_is_listed(
    emulator: Emulator,
) -> None:
    hide_public_keys(emulator, 2)
    victim = {"description": "victim", "roles": ["ORG_READ_ONLY"]}
    assert run(emulator, api_keys=[victim]).changed


def test_a_hidden_key_that_may_be_the_signing_credential_loses_no_role(emulator: Emulator) -> None:
    roles = [{"orgId": org_id("atlas"), "roleName": "ORG_MEMBER"}]
    hidden = {"id": key_id("atlas", 2), "desc": "victim", "roles": roles}
    body = {"results": [hidden], "totalCount": 1}
    emulator.add_fault(Fault("json", "GET", times=None, body=body))
    outcome = run(emulator, api_keys=[{"description": "victim", "roles": ["ORG_READ_ONLY"]}])
    assert "nothing was changed" in outcome.msg
    assert not emulator.writes


def test_the_signing_credential_loses_its_roles_last(emulator: Emulator) -> None:
    project = {"project_id": project_id("atlas"), "roles": ["GROUP_OWNER"]}
    signs = {"description": "signs", "roles": ["ORG_MEMBER"], "projects": [project]}
    signs["access_list"] = ["127.0.0.1"]
    outcome = run(emulator, api_keys=[signs], allow_own_key=True)
    assert not outcome.failed, outcome.msg
    assert emulator.writes[-1].method == "PATCH"
    assert not run(emulator, api_keys=[signs], allow_own_key=True).changed


def test_removing_a_project_role_from_the_signing_credential_is_refused(emulator: Emulator) -> None:
    keys_of(emulator)[key_id("atlas", 1)].projects[project_id("atlas")] = ["GROUP_OWNER"]
    outcome = run(emulator, api_keys=[{"description": "signs", "projects": []}])
    assert outcome.result["error"]["type"] == "own_credential"
    assert not emulator.writes


def test_a_rate_limit_that_lasts_too_long_stops_the_task(crowd: Emulator) -> None:
    crowd.add_fault(Fault("status", "DELETE", times=None, status=429, retry_after=300))
    outcome = run(crowd, concurrency=2, **ALL_EXTRA)
    assert sum(request.status == 429 for request in crowd.requests) <= 2
    assert "not started (the API's rate limit lasts longer than retry_max_wait)" in outcome.msg
    assert len(outcome.result["pending"]) >= 18


def test_an_assignment_removed_in_the_meantime_is_not_a_change(emulator: Emulator) -> None:
    gone = {"status": 400, "code": "API_KEY_NOT_FOUND", "parameters": [key_id("atlas", 2)]}
    emulator.add_fault(Fault("status", "DELETE", "*/groups/*", after_write=True, **gone))
    outcome = run(emulator, api_keys=[{"description": "victim", "projects": []}])
    assert not outcome.failed
    assert not outcome.changed
    assert ids(outcome.result["unchanged"]) == [key_id("atlas", 2)]


@pytest.mark.parametrize("created_id", ["../evil", key_id("atlas", 2)])
def test_a_new_key_needs_a_valid_and_new_id(
    emulator: Emulator, tmp_path: Path, created_id: str
) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    body = {
        "id": created_id,
        "desc": "new one",
        "publicKey": "newonexx",
        "privateKey": "ca11ab1e-4e44-4e44-8e44-000000004e44",
        "roles": [],
    }
    emulator.add_fault(Fault("json", "POST", body=body))
    outcome = run(emulator, api_keys=[NEW], credentials_dir=str(folder))
    assert outcome.failed
    assert list(tmp_path.iterdir()) == [folder]
    assert list(folder.iterdir()) == []
    assert "ca11ab1e" not in outcome.output


def test_a_lost_creation_is_a_change(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_after", "POST", "*/apiKeys"))
    outcome = run(emulator, api_keys=[NEW])
    assert outcome.result["error"]["type"] == "orphan"
    (left,) = [key.id for key in keys_of(emulator).values() if key.description == "new one"]
    assert outcome.result["error"]["parameters"] == [left]
    assert left in outcome.msg
    assert outcome.changed
    assert outcome.result["created"] == []


def test_a_failed_guard_returns_the_kept_keys(crowd: Emulator) -> None:
    outcome = run(crowd, state="absent", description_match=["*"], keep=["twin"], max_revocations=1)
    assert outcome.result["error"]["type"] == "guard"
    assert {key["reason"] for key in outcome.result["kept"]} == {"keep", "own_key"}


def test_a_bug_with_one_key_does_not_lose_the_other_results(
    crowd: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    utils = importlib.import_module(f"{COLLECTION}.plugins.module_utils._resources._resource")
    delete = utils.delete

    def broken(api: Any, org: Any, key: Any, **options: Any) -> bool:
        if key.id == EXTRA[4]:
            raise ZeroDivisionError
        return bool(delete(api, org, key, **options))

    monkeypatch.setattr(utils, "delete", broken)
    outcome = run(crowd, **ALL_EXTRA)
    assert len(outcome.result["revoked"]) == 19
    (failure,) = outcome.result["failures"]
    assert "Internal error of keysmith.mongodb: ZeroDivisionError" in failure["msg"]


def test_many_descriptions_are_looked_up_quickly(emulator: Emulator) -> None:
    """The list of keys is not searched for each description."""
    emulator.reset(seed(extra_keys=400))
    descriptions = [f"extra {number}" for number in range(400)]
    calls = 0
    utils = importlib.import_module(f"{COLLECTION}.plugins.module_utils._resources._resource")
    normalize = utils.normalize_description

    def counting(description: str) -> Any:
        nonlocal calls
        calls += 1
        return normalize(description)

    with mock.patch.object(utils, "normalize_description", counting):
        api_keys = [{"description": description} for description in descriptions]
        assert not run(emulator, api_keys=api_keys).failed
    assert calls < 10 * 400


LISTED_OWNER = {**NEW, "roles": ["ORG_OWNER"]}


def test_a_new_key_gets_its_access_list_before_its_roles(emulator: Emulator) -> None:
    outcome = run(emulator, api_keys=[LISTED_OWNER], diff=True)
    assert [write.method for write in emulator.writes] == ["POST", "POST", "PATCH"]
    assert json.loads(emulator.writes[0].body)["roles"] == ["ORG_MEMBER"]
    (created,) = outcome.result["created"]
    assert created["roles"] == ["ORG_OWNER"]
    assert created["private_key"]
    assert created["access_list"] == ["10.0.0.0/8", "192.0.2.1"]
    assert not run(emulator, api_keys=[LISTED_OWNER]).changed


def test_an_existing_key_gets_its_access_list_before_its_roles(emulator: Emulator) -> None:
    assert run(emulator, api_keys=[{**LISTED_OWNER, "description": "victim"}]).changed
    assert [write.method for write in emulator.writes] == ["POST", "PATCH"]


@pytest.mark.parametrize("revoking_fails", [False, True])
@pytest.mark.parametrize("with_dir", [False, True])
@pytest.mark.parametrize("request_", [("POST", "*/accessList"), ("PATCH", "*/apiKeys/*")])
def test_a_new_key_is_revoked_if_its_access_list_or_roles_cannot_be_set(
    emulator: Emulator,
    tmp_path: Path,
    request_: tuple[str, str],
    with_dir: bool,
    revoking_fails: bool,
) -> None:
    method, path = request_
    before = keys(emulator)
    emulator.add_fault(Fault("status", method, path, status=403, code="X", times=None))
    if revoking_fails:
        emulator.add_fault(Fault("status", "DELETE", status=503, times=None))
    more = {"credentials_dir": str(tmp_path)} if with_dir else {}
    outcome = run(emulator, api_keys=[LISTED_OWNER], diff=True, **more)
    assert outcome.failed
    assert outcome.changed is revoking_fails
    left = keys(emulator).keys() - before.keys()
    assert len(left) == int(revoking_fails)
    (failure,) = outcome.result["failures"]
    assert failure["error"]["parameters"] == [*left]
    assert {item["id"] for item in outcome.result["created"]} == left
    assert len(list(tmp_path.iterdir())) == int(revoking_fails and with_dir)
    for api_user_id in left:
        assert failure["error"]["type"] == "orphan"
        assert api_user_id in failure["msg"]
        (after,) = outcome.result["diff"]["after"]["api_keys"]
        assert after["roles"] == ["ORG_MEMBER"]


def test_a_missing_project_gives_a_warning_and_is_not_a_change(emulator: Emulator) -> None:
    """A deleted project may remain in the roles of a key, and the API cannot remove it."""
    gone = "5a00000000000000000000ff"
    for number in (2, 6):
        keys_of(emulator)[key_id("atlas", number)].projects[gone] = ["GROUP_OWNER"]
    declared = [
        {"description": name, "projects": [{"project_id": project_id("atlas"), "roles": roles}]}
        for name, roles in (("victim", ["GROUP_READ_ONLY"]), ("member", ["GROUP_OWNER"]))
    ]
    declared.append({"description": "listed elsewhere"})
    assert run(emulator, api_keys=declared, check=True).changed
    for check in (False, False, True):
        outcome = run(emulator, api_keys=declared, check=check)
        assert not outcome.failed, outcome.msg
        (warning,) = [text for text in outcome.result["warnings"] if gone in str(text)]
        assert "GROUP_NOT_FOUND" in str(warning)
        still = [key_id("atlas", number) for number in (7, 6, 2)]
        assert outcome.changed or ids(outcome.result["unchanged"]) == still
    assert not outcome.changed
    assert not run(emulator, api_keys=declared).changed


def test_a_key_that_gets_other_roles_fails_and_shows_them(
    emulator: Emulator,
) -> None:
    body = {
        "id": key_id("atlas", 6),
        "desc": "member",
        "publicKey": public_key("atlas", 6),
        "roles": [{"orgId": org_id("atlas"), "roleName": "ORG_OWNER"}],
    }
    emulator.add_fault(Fault("json", "PATCH", body=body))
    emulator.add_fault(Fault("json", "GET", f"*{key_id('atlas', 6)}", body=body, times=None))
    declared = [{"description": "member", "roles": ["ORG_READ_ONLY"]}]
    outcome = run(emulator, api_keys=declared, diff=True)
    assert outcome.failed
    assert outcome.changed
    assert outcome.result["error"]["type"] == "unexpected_response"
    (updated,) = outcome.result["updated"]
    assert updated["roles"] == ["ORG_OWNER"]
    (after,) = outcome.result["diff"]["after"]["api_keys"]
    assert after["roles"] == ["ORG_OWNER"]


def test_a_new_key_that_its_project_does_not_know_yet_is_assigned(emulator: Emulator) -> None:
    def unknown(*_arguments: Any) -> dict[str, Any]:
        return {"status": 400, "code": "API_KEY_NOT_FOUND", "parameters": []}

    emulator.add_fault(Fault("status", "POST", "*/groups/*", times=3, **unknown()))
    emulator.add_fault(Fault("status", "POST", "*/accessList", times=3, **unknown()))
    project = {"project_id": project_id("atlas"), "roles": ["GROUP_OWNER"]}
    outcome = run(emulator, api_keys=[{**LISTED_OWNER, "projects": [project]}])
    assert not outcome.failed, outcome.msg
    (created,) = outcome.result["created"]
    assert created["projects"] == [project]
