# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key_rotation step by step: its requests, and what it reports if one of them fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _assignments,
    _org_api_keys,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import _rotation_steps
from tests.emulator import Fault
from tests.rotation_world import (
    DAY,
    KEY,
    KEYS,
    MARK_KEY,
    OLD,
    World,
    authenticate_with_old_key,
    essence,
    private_key,
    refused,
    succeeded,
)
from tests.support import Outcome, key_pair, org_id, project_id

PATHS = {
    "keys": f"/api/atlas/v2/orgs/{org_id('atlas')}/apiKeys",
    "project": f"/api/atlas/v2/groups/{project_id('atlas')}/apiKeys",
}
# The requests of each phase.
BEGIN = (
    "GET {keys}",
    "GET {keys}/{old}/accessList",
    "POST {keys}",
    "PATCH {keys}/{new}",
    "POST {keys}/{new}/accessList",
    "GET {keys}/{new}",
    "POST {project}/{new}",
    "GET {keys}/{old}",
    "PATCH {keys}/{new}",
    "GET {keys}",
)
FINISH = (
    "GET {keys}",
    "GET {keys}/{old}/accessList",
    "GET {keys}/{new}/accessList",
    "GET {keys}/{new}",
    "PATCH {keys}/{new}",
    "DELETE {keys}/{old}",
    "GET {keys}/{old}",
    "GET {keys}/{old}",
    "PATCH {keys}/{new}",
)
CLEAN_UP = ("DELETE {keys}/{new}", "GET {keys}/{new}", "GET {keys}/{new}")
ROLL_BACK = ("GET {keys}", *CLEAN_UP)
CLEAN_UP_LEFTOVER = ("GET {keys}", "GET {keys}/{old}/accessList", "GET {keys}/{new}", *CLEAN_UP)
FAILURE: dict[str, Any] = {"status": 400, "code": "EMULATED", "parameters": ["a parameter"]}
# The number of the request that creates the replacement.
POST = BEGIN.index("POST {keys}")
# The number of the request that records that the pair was verified.
VERIFIED = FINISH.index("PATCH {keys}/{new}")
OTHER_PROJECT = "5a00000000000000000000bb"


def requests(world: World) -> list[str]:
    """Return the requests so far except challenges."""
    return [f"{r.method} {r.path}" for r in world.emulator.requests if r.status != 401]


def new_id(world: World) -> str:
    """Return the ID of the only replacement that requests were about, which may be gone."""
    named = set(re.findall(r"/apiKeys/([0-9a-f]{24})\b", " ".join(requests(world))))
    (found,) = named - {world.old_id}
    return str(found)


def paths(world: World, templates: Sequence[str], new: str = "") -> list[str]:
    """Return requests as ``requests`` does. ``new``: the ID of the replacement."""
    return [template.format(**PATHS, old=world.old_id, new=new) for template in templates]


def fail(world: World, *faults: Fault) -> None:
    """Forget the requests so far, and let some of the next ones fail."""
    world.emulator.requests.clear()
    for fault in faults:
        world.emulator.add_fault(fault)


def failure_of(number: int) -> Fault:
    return Fault("status", after=number, **FAILURE)


def not_revoked() -> Fault:
    return Fault("status", "DELETE", KEY, status=403, code="NOT_ORG_OWNER")


def check_error(outcome: Outcome, kind: str, request: str | None = None, **values: Any) -> None:
    """Check all values of ``error``, which are None unless they are given."""
    method, path = request.split(" ") if request else (None, None)
    assert outcome.failed
    assert outcome.result["error"] == {
        "type": kind,
        "status": None,
        "code": None,
        "reason": None,
        "detail": None,
        "parameters": [],
        "method": method,
        "path": path,
        **values,
    }, outcome.msg


def check_failure(outcome: Outcome, request: str, **values: Any) -> None:
    """Check the values of ``error`` after a FAILURE of a request."""
    details = {"reason": "Bad Request", "detail": "Emulated failure.", **FAILURE, **values}
    check_error(outcome, "api", request, **details)


def leave_behind(world: World) -> str:
    """Let begin fail and leave a replacement that was not handed over. Return its ID."""
    refusal = Fault("status", "POST", "*/accessList", **FAILURE)
    fail(world, refusal, not_revoked())
    assert world.run("begin").failed
    world.emulator.requests.clear()
    world.emulator.clear_faults()
    return world.new_key().id


@contextmanager
def before(owner: Any, function: str, act: Callable[[], Any]) -> Iterator[None]:
    """Call ``act`` before each call of a function of a module or class."""
    real = getattr(owner, function)

    def acting(*arguments: Any, **more: Any) -> Any:
        act()
        return real(*arguments, **more)

    with mock.patch.object(owner, function, acting):
        yield


@contextmanager
def shown(world: World, *views: Callable[[OrgApiKey], OrgApiKey | None]) -> Iterator[None]:
    """Change how lists show the new key, one after another."""
    real, rest = _resource.list_all, [*views]

    def list_all(*arguments: Any) -> Any:
        keys = real(*arguments)
        if not world.new_keys() or not rest:
            return keys
        view = rest.pop(0)
        shown_keys = (view(key) if key.id == world.new_key().id else key for key in keys)
        return [key for key in shown_keys if key]

    with mock.patch.object(_resource, "list_all", list_all):
        yield


# begin.


@pytest.mark.parametrize("number", range(len(BEGIN)))
def test_a_failure_of_begin_names_its_request_and_leaves_nothing(world: World, number: int) -> None:
    expected = essence(world.old)
    fail(world, failure_of(number))
    outcome = world.run("begin")
    is_created = number > POST
    new = new_id(world) if is_created else ""
    sent = paths(world, BEGIN[: number + 1], new)
    assert requests(world) == [*sent, *paths(world, CLEAN_UP if is_created else (), new)]
    check_failure(outcome, sent[-1])
    assert not outcome.changed
    assert "org_api_key" not in outcome.result
    assert ("was revoked to clean up" in outcome.msg) == is_created
    assert new in outcome.msg
    assert world.new_keys() == []
    assert essence(world.old) == expected


@pytest.mark.parametrize("number", range(POST + 1, len(BEGIN)))
def test_a_failure_of_begin_names_a_key_that_it_leaves(world: World, number: int) -> None:
    fail(world, failure_of(number), not_revoked())
    outcome = world.run("begin")
    new = world.new_key()
    request = paths(world, BEGIN, new.id)[number]
    check_failure(outcome, request, parameters=[*FAILURE["parameters"], new.id])
    assert outcome.changed
    assert outcome.result["org_api_key"]["id"] == new.id
    for text in (new.id, new.public_key, "NOT_ORG_OWNER", "Could not confirm", "old key"):
        assert text in outcome.msg


def test_a_failure_after_leftovers_were_revoked_is_a_change(world: World) -> None:
    left = leave_behind(world)
    fail(world, Fault("status", "POST", "*/accessList", **FAILURE))
    outcome = world.run("begin")
    assert outcome.code == "EMULATED"
    assert outcome.changed
    assert world.new_keys() == []
    assert f"DELETE {PATHS['keys']}/{left}" in requests(world)


def test_a_bug_is_reported_and_leaves_nothing(world: World) -> None:
    def fail_to_await() -> None:
        raise RuntimeError

    with before(_rotation_steps._Creation, "_await_shown", fail_to_await):
        outcome = world.run("begin")
    check_error(outcome, "internal")
    for text in ("RuntimeError", new_id(world), "was revoked to clean up"):
        assert text in outcome.msg
    assert world.new_keys() == []


def test_a_key_whose_creation_was_not_confirmed_is_revoked(world: World) -> None:
    fail(world, Fault("lost_after", "POST", KEYS))
    outcome = world.run("begin")
    new = new_id(world)
    (request,) = paths(world, [BEGIN[POST]])
    check_error(outcome, "orphan", request, parameters=[new], reason="connection broken")
    assert f"API key {new}" in outcome.msg
    assert "was revoked to clean up" in outcome.msg
    assert not outcome.changed
    assert world.new_keys() == []


@pytest.mark.parametrize(
    "change",
    [
        None,
        {"description": "another"},
        {"roles": ["ORG_OWNER"]},
        {"projects": {OTHER_PROJECT: ["GROUP_OWNER"]}},
    ],
    ids=str,
)
def test_a_key_that_may_be_of_another_run_is_not_revoked(
    world: World, change: dict[str, Any] | None
) -> None:
    """It was changed or revoked after the list showed it, so this run may not have created it."""

    def interfere() -> None:
        for key in world.new_keys():
            if change is None:
                del world.keys[key.id]
            for name, value in (change or {}).items():
                setattr(key, name, value)

    fail(world, Fault("lost_after", "POST", KEYS))
    with before(_resource, "find_by_id", interfere):
        outcome = world.run("begin")
    new = new_id(world)
    (request,) = paths(world, [BEGIN[POST]])
    check_error(outcome, "orphan", request, parameters=[new], reason="connection broken")
    assert "was revoked" not in outcome.msg
    assert not [sent for sent in requests(world) if sent.startswith("DELETE")]
    assert len(world.new_keys()) == (change is not None)


def test_a_new_key_gets_only_the_entries_of_the_old_one(world: World) -> None:
    """The API or another user has added an entry to its access list."""

    def add_entries() -> None:
        world.new_key().access_list = ["203.0.113.9", "192.0.2.7"]

    taken: dict[str, Any] = {"status": 400, "code": "ADDRESS_ALREADY_IN_ACCESS_LIST"}
    world.emulator.add_fault(Fault("status", "POST", "*/accessList", **taken))
    with before(_access_lists, "change", add_entries):
        world.begin()
    assert essence(world.new_key())[1:] == essence(world.old)[1:]


def test_the_new_access_list_is_not_read_to_verify_the_pair(world: World) -> None:
    world.old.access_list = ["192.0.2.0/24"]
    begun = world.begin()
    assert begun.result["verification"]["refusal"] == "IP_ADDRESS_NOT_ON_ACCESS_LIST"
    assert requests(world) == paths(world, BEGIN, world.new_key().id)


@pytest.mark.parametrize(
    ("roles", "sent"),
    [
        ([], None),
        (["ORG_MEMBER"], None),
        (["ORG_READ_ONLY"], ["ORG_READ_ONLY"]),
        (["ORG_READ_ONLY", "ORG_MEMBER"], ["ORG_MEMBER", "ORG_READ_ONLY"]),
    ],
)
def test_only_roles_that_the_new_key_lacks_are_set(
    world: World, roles: list[str], sent: list[str] | None
) -> None:
    world.old.roles = roles
    world.begin()
    created, issued = (json.loads(w.body) for w in world.emulator.writes if w.method == "PATCH")
    assert created.keys() == {"desc"}
    assert issued.pop("roles", None) == sent
    assert issued == {"desc": world.new_key().description}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"description": "renamed"}, "changed"),
        ({"roles": ["ORG_MEMBER"]}, "changed"),
        ({"projects": {}}, "changed"),
        (None, "revoked"),
    ],
    ids=str,
)
def test_an_old_key_that_changes_during_begin_is_not_replaced(
    world: World, change: dict[str, Any] | None, word: str
) -> None:
    def interfere() -> None:
        for name, value in (change or {}).items():
            setattr(world.old, name, value)
        if change is None:
            del world.keys[world.old_id]

    with before(_assignments, "assign_all", interfere):
        outcome = world.run("begin")
    check_error(outcome, "guard", parameters=[world.old_id])
    assert re.search(rf"old API key {world.old_id} \(\w+\) was {word} while", outcome.msg)
    assert new_id(world) in outcome.msg
    assert not outcome.changed
    assert world.new_keys() == []


def test_rights_that_someone_adds_to_the_new_key_are_reported(world: World) -> None:
    def add_rights() -> None:
        new = world.new_key()
        new.roles = [*new.roles, "ORG_READ_ONLY"]
        new.projects[OTHER_PROJECT] = ["GROUP_OWNER"]

    with before(_rotation_steps._Creation, "_await_shown", add_rights):
        outcome = world.run("begin")
    new = new_id(world)
    check_error(outcome, "guard", parameters=[new])
    for text in (new, world.old_id, f": ORG_READ_ONLY, GROUP_OWNER {OTHER_PROJECT}."):
        assert text in outcome.msg
    assert world.new_keys() == []


def test_marks_of_another_mark_key_may_be_ignored(world: World) -> None:
    world.begin()
    other = {"mark_key": "another mark key", "check": True}
    refused(world.run("begin", **other), "guard", world.new_key().id)
    assert world.begin(**other, ignore_marks=True).result["state"] == "begun"


def test_begin_waits_until_the_list_shows_everything(world: World) -> None:
    views: list[Callable[[OrgApiKey], OrgApiKey | None]] = [
        lambda _key: None,
        lambda key: replace(key, description="the last one"),
        lambda key: replace(key, roles=()),
        lambda key: replace(key, projects=()),
    ]
    with shown(world, *views):
        begun = world.begin()
    assert begun.clock.time - 1000 == pytest.approx(0.25 + 0.5 + 1 + 2)
    assert "warnings" not in begun.result
    assert begun.result["org_api_key"]["description"] == world.new_key().description


def test_a_key_that_is_listed_too_late_is_handed_over(world: World) -> None:
    real = _org_api_keys.update

    def update(*arguments: Any) -> OrgApiKey:
        """Return the key as a response that does not show its projects yet."""
        return replace(real(*arguments), projects=())

    late = mock.patch.object(_org_api_keys, "update", update)
    with late, shown(world, *[lambda _key: None] * 99):
        begun = world.begin()
    new, result = world.new_key(), begun.result["org_api_key"]
    (warning,) = begun.result["warnings"]
    assert new.id in str(warning)
    assert 8 < begun.clock.time - 1000 <= 10
    assert result["id"] == begun.result["key_pair"]["api_user_id"] == new.id
    assert result["roles"] == sorted(world.old.roles)
    assert {item["project_id"] for item in result["projects"]} == {*world.old.projects}


def test_a_key_that_is_revoked_during_begin_is_not_handed_over(world: World) -> None:
    def revoke() -> None:
        del world.keys[world.new_key().id]

    with before(_rotation_steps._Creation, "_await_shown", revoke):
        outcome = world.run("begin")
    new = new_id(world)
    check_error(outcome, "guard", parameters=[new])
    assert re.search(rf"new API key {new} \(\w+\) was revoked while", outcome.msg)
    assert not outcome.changed


@pytest.mark.parametrize("phase", ["begin", "roll_back"])
def test_a_leftover_that_has_just_changed_is_not_revoked(world: World, phase: str) -> None:
    left = leave_behind(world)

    def change() -> None:
        world.keys[left].roles = ["ORG_MEMBER", "ORG_READ_ONLY"]

    with before(_resource, "find_by_id", change):
        outcome = world.run(phase)
    check_error(outcome, "guard", parameters=[left])
    assert left in outcome.msg
    assert not outcome.changed
    assert left in world.keys


# finish.


@pytest.mark.parametrize("number", range(len(FINISH)))
def test_a_failure_of_finish_names_its_request_and_what_is_left(world: World, number: int) -> None:
    expected = essence(world.old)
    pair = {"new_private_key": private_key(world.begin())}
    new = world.new_key().id
    fail(world, failure_of(number))
    outcome = world.run("finish", **pair)
    sent = paths(world, FINISH[: number + 1], new)
    assert requests(world) == sent
    check_failure(outcome, sent[-1])
    is_verified = number > VERIFIED
    assert outcome.changed == is_verified
    assert (f"The replacement {new} " in outcome.msg) == is_verified
    finished = world.finish(**pair)
    assert finished.result["state"] == "rotated"
    assert essence(world.new_key()) == expected


def test_the_failure_to_revoke_a_key_that_is_due_is_no_change(world: World) -> None:
    pair = {"new_private_key": private_key(world.begin())}
    world.finish(**pair, grace_period=DAY)
    world.now += DAY
    fail(world, not_revoked())
    outcome = world.run("finish")
    assert outcome.code == "NOT_ORG_OWNER"
    assert not outcome.changed
    assert "run phase finish again" not in outcome.msg


def test_a_replacement_for_more_addresses_is_not_finished(world: World) -> None:
    begun = world.begin()
    new = world.new_key()
    new.access_list.append("198.51.100.0/24")
    outcome = world.run("finish", new_private_key=private_key(begun))
    check_error(outcome, "guard", parameters=[world.old_id, new.id])
    for text in (world.old_id, new.id, "198.51.100.0/24"):
        assert text in outcome.msg
    assert not outcome.changed
    assert world.old_id in world.keys


def test_the_rename_of_the_replacement_is_a_change(world: World) -> None:
    pair = {"new_private_key": private_key(world.begin())}
    world.finish(**pair, grace_period=DAY)
    del world.keys[world.old_id]
    finished = world.finish()
    assert finished.changed
    assert finished.result["org_api_key"]["description"] == "victim"


def test_check_mode_of_finish_reports_what_it_would_change(world: World) -> None:
    pair = {"new_private_key": private_key(world.begin())}

    def check(state: str, **more: Any) -> bool:
        checked = world.finish(**more, check=True)
        assert checked.result["state"] == state
        # Only the last step of a rotation changes the description for users.
        description = "victim" if state == "rotated" else world.new_key().description
        assert checked.result["org_api_key"]["description"] == description
        return checked.changed

    assert check("waiting", **pair, grace_period=DAY)
    world.finish(**pair, grace_period=DAY)
    assert not check("waiting", **pair)
    assert not check("waiting")
    world.now += DAY
    assert check("rotated", **pair)
    assert check("rotated")


def test_the_file_of_a_key_pair_identifies_the_replacement(world: World, tmp_path: Any) -> None:
    file = {"credentials_file": str(tmp_path / "new.json")}
    first = world.begin(**file).result["org_api_key"]["id"]
    world.begin()
    refused(world.run("finish"), "ambiguous")
    finished = world.finish(**file)
    assert finished.result["org_api_key"]["id"] == first
    assert world.keys[first].description == "victim"


def test_a_signing_credential_that_is_not_rotated_needs_no_permission(world: World) -> None:
    authenticate_with_old_key(world)
    finished = world.finish(**key_pair("atlas", OLD), description="victim")
    assert (finished.changed, finished.result["state"]) == (False, "none")


# roll_back.


@pytest.mark.parametrize("number", range(len(ROLL_BACK)))
def test_a_failure_of_roll_back_names_its_request(world: World, number: int) -> None:
    world.begin()
    new = world.new_key().id
    fail(world, failure_of(number))
    outcome = world.run("roll_back", successor_id=new)
    sent = paths(world, ROLL_BACK[: number + 1], new)
    assert requests(world) == sent
    check_failure(outcome, sent[-1])
    is_revoked = number > ROLL_BACK.index("DELETE {keys}/{new}")
    assert outcome.changed == is_revoked
    assert (new in world.keys) != is_revoked


def test_the_requests_of_roll_back(world: World) -> None:
    """It reads the old access list only to tell whether a key pair was handed over."""
    none = succeeded(world.run("roll_back"))
    assert (none.changed, none.result["state"]) == (False, "none")
    assert requests(world) == paths(world, ["GET {keys}"])
    cases: list[tuple[bool, Sequence[str]]] = [(True, ROLL_BACK), (False, CLEAN_UP_LEFTOVER)]
    for is_by_id, expected in cases:
        new = leave_behind(world)
        more = {"successor_id": new} if is_by_id else {}
        checked = succeeded(world.run("roll_back", **more, check=True))
        assert new in world.keys
        world.emulator.requests.clear()
        done = succeeded(world.run("roll_back", **more))
        assert requests(world) == paths(world, expected, new)
        for outcome in (checked, done):
            assert (outcome.changed, outcome.result["state"]) == (True, "rolled_back")
        assert new not in world.keys


def test_roll_back_does_not_revoke_its_own_credential(world: World) -> None:
    own = {**authenticate_with_old_key(world), "mark_key": MARK_KEY}
    begun = world.begin(**own)
    new = world.new_key()
    pair = {"api_public_key": new.public_key, "api_private_key": private_key(begun)}
    outcome = world.run("roll_back", **pair, allow_own_key=True, successor_id=new.id)
    check_error(outcome, "own_credential")
    for text in (new.id, "rolling it back"):
        assert text in outcome.msg
    assert new.id in world.keys
