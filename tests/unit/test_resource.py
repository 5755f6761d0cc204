# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kind of object that no module manages gets all functions from a short description."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Call
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import ATLAS
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    ApiError,
    GuardError,
    KeysmithError,
    LostResponseError,
    MissingError,
    OptionError,
    OrphanError,
    OwnKeyError,
    Request,
    UnexpectedResponseError,
    WaitTimeoutError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _absence,
    _access_list_task,
    _access_lists,
    _adoption,
    _assignment_task,
    _assignments,
    _resource,
    _writes,
)
from tests.support import VirtualClock

ORG, PROJECT = "5980cfdf0b6d97029d82f86e", "5e2211c17a3e5a48f5497de3"
ID, OTHER = "32b6e34b3d91647abb20e7b8", "32b6e34b3d91647abb20e7b9"


@dataclass(frozen=True)
class Robot:
    id: str
    name: str
    roles: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.id} ({self.name})"

    def result(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "roles": list(self.roles)}


ROBOTS: _resource.Resource[Robot] = _resource.Resource(
    noun="robot",
    path="/orgs/{}/robots",
    version="2030-02-03",
    parse=lambda data, _org_id: Robot(data["id"], data["name"], tuple(data.get("roles", ()))),
    text=lambda robot: robot.name,
    missing=frozenset({"ROBOT_NOT_FOUND"}),
    result_name="robot",
    hints=frozenset({"ROBOT_ASLEEP"}),
    identity=_resource.SigningIdentity(
        name="serial number",
        of=lambda robot: robot.id,
        signing=lambda endpoint: endpoint.client_id,
        option="allow_own_robot",
    ),
)
ROBOT_LISTS: _access_lists.AccessLists[Robot] = _access_lists.AccessLists(
    resource=ROBOTS,
    result_name="robot_list",
    identity=lambda robot: {"robot_id": robot.id},
    missing=frozenset({"ROBOT_ENTRY_NOT_FOUND"}),
)
PROJECT_ROBOTS: _assignments.Assignments[Robot] = _assignments.Assignments(
    resource=ROBOTS,
    path="/groups/{}/robots",
    parse=lambda data: ROBOTS.parse(data, ORG),
    roles_in=lambda robot, _project_id: robot.roles,
    taken="ROBOT_ALREADY_IN_GROUP",
    result_name="project_robot",
    identity=lambda robot: {"robot_id": robot.id},
)
ROBOT = Robot(ID, "cleaner")
IN_ORG = ROBOTS.of(ORG)


def refusal(code: str, *parameters: Any, status: int = 404) -> ApiError:
    request = Request("GET", "https://h", "/p", "do it")
    return ApiError("x", request=request, status=status, code=code, parameters=parameters)


def lost() -> KeysmithError:
    error = LostResponseError("gone", request=Request("POST", "https://h", "/p", "do it"))
    error.outcome_unknown = True
    return error


@dataclass
class FakeApi:
    """A client for one organization with robots. ``errors``: raised by method before a change."""

    robots: list[Robot] = field(default_factory=lambda: [ROBOT])
    errors: dict[str, list[Exception]] = field(default_factory=dict)
    entries: list[str] = field(default_factory=list)
    assigned: list[Robot] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.virtual = VirtualClock()
        self.clock = Clock(self.virtual.now, self.virtual.sleep, self.virtual.random)
        self.cancellation = Cancellation(self.clock)
        self.endpoint = SimpleNamespace(client_id=None, platform=ATLAS)

    def _take(self, method: str, call: Call) -> None:
        assert (call.version, bool(call.required_role)) == ("2030-02-03", True)
        assert "key" not in call.operation
        self.calls.append(f"{method} {call.path}")
        if self.errors.get(method):
            raise self.errors[method].pop(0)

    def get(self, call: Call, parse: Callable[[Any], Any], _until: Any = None) -> Any:
        self._take("GET", call)
        for robot in self.robots:
            if call.path == f"/orgs/{ORG}/robots/{robot.id}":
                return parse(vars(robot))
        raise refusal("ROBOT_NOT_FOUND", call.path.rpartition("/")[2])

    def pages(self, call: Call, parse: Callable[[Any], Any], _identity: Any) -> list[Any]:
        self._take("LIST", call)
        if call.path.endswith("/accessList"):
            return [parse({"ipAddress": entry}) for entry in self.entries]
        return [parse(vars(r)) for r in (self.assigned if "groups" in call.path else self.robots)]

    def post(self, call: Call, body: Any, parse: Callable[[Any], Any]) -> Any:
        self._take("POST", call)
        if call.path.endswith("/accessList"):
            self.entries += [item["ipAddress"] for item in body]
            return parse({"results": [{"ipAddress": entry} for entry in self.entries]})
        if "groups" in call.path:
            self.assigned.append(Robot(ID, "cleaner", tuple(body[0]["roles"])))
            return parse({})
        self.robots.append(Robot(OTHER, body["name"], tuple(body.get("roles", ()))))
        return parse({**vars(self.robots[-1]), "secret": "s"})

    def patch(self, call: Call, body: Any, parse: Callable[[Any], Any]) -> Any:
        self._take("PATCH", call)
        robots = self.assigned if "groups" in call.path else self.robots
        robots[0] = dataclasses.replace(robots[0], **body)
        return parse(vars(robots[0]))

    def delete(self, call: Call) -> None:
        self._take("DELETE", call)
        if "/accessList/" in call.path:
            self.entries.remove(call.path.rpartition("/")[2])
        elif "groups" in call.path:
            self.assigned.clear()
        else:
            self.robots.clear()


def test_it_is_found_by_id_and_by_text() -> None:
    api: Any = FakeApi()
    assert _resource.find_by_id(api, IN_ORG, ID) == ROBOT
    assert _resource.find_by_id(api, IN_ORG, OTHER) is None
    assert _resource.pick_by_text(api.robots, IN_ORG, "cleaner") == ROBOT
    assert _resource.pick_by_text(api.robots, IN_ORG, "Cleaner", look_alikes="ignore") is None
    with pytest.raises(AmbiguousError) as caught:
        _resource.pick_by_text(api.robots, IN_ORG, "Cleaner ")
    message = caught.value.message()
    assert f"No robot of organization {ORG} has exactly the name 'Cleaner '" in message
    assert "Use the exact name or the robot's ID" in message


def test_it_is_read_as_part_of_its_organization() -> None:
    robots = dataclasses.replace(ROBOTS, parse=lambda data, org_id: Robot(data["id"], org_id))
    assert robots.of(ORG).parse({"id": ID}) == Robot(ID, ORG)


def test_absence_is_proved_by_its_own_codes() -> None:
    api: Any = FakeApi([], {"GET": [refusal("ROBOT_ASLEEP")]})
    assert _resource.find_by_id(api, IN_ORG, ID) is None
    # The hint alone is not proof.
    assert api.calls[-1] == f"LIST /orgs/{ORG}/robots"
    api = FakeApi([], {"GET": [refusal("API_KEY_NOT_FOUND", ID)]})
    with pytest.raises(ApiError):
        _resource.find_by_id(api, IN_ORG, ID)


def test_a_deletion_waits_until_the_object_is_gone() -> None:
    api: Any = FakeApi()
    assert _resource.delete(api, IN_ORG, ROBOT) is True
    _resource.await_absence(api, IN_ORG, ROBOT, 60)
    # It had been deleted before this request.
    api = FakeApi([], {"DELETE": [refusal("ROBOT_NOT_FOUND", ID)]})
    assert _resource.delete(api, IN_ORG, ROBOT) is False
    with pytest.raises(WaitTimeoutError, match="still shows the robot") as caught:
        _resource.await_absence(FakeApi(), IN_ORG, ROBOT, 30)  # type: ignore[arg-type]
    assert "Whether the robot still works is not known" in caught.value.message()


def test_a_lost_creation_reports_what_is_left() -> None:
    api: Any = FakeApi()
    cause = lost().with_context(attempts=3, waited=7.0)
    error = _resource.lost_creation(api, IN_ORG, "cleaner", {OTHER}, cause)
    assert (error.type, error.parameters) == ("orphan", [ID])
    assert (error.attempts, error.waited) == (3, 7.0)
    assert "New robots with this name" in error.message()
    assert "key" not in error.message()
    api.errors["LIST"] = [refusal("X", status=403)]
    error = _resource.lost_creation(api, IN_ORG, "cleaner", {OTHER}, lost())
    assert (error.parameters, error.results) == ([], {})
    assert "could not be checked either: Could not do it: x. " in error.state_after
    assert "Look for robots with this name before" in error.state_after


def test_a_creation_is_undone() -> None:
    api: Any = FakeApi()
    failure = KeysmithError("It failed").with_context(now=ROBOT, results={"changed": True})
    error = _resource.undo_creation(api, IN_ORG, ROBOT, failure)
    assert (api.robots, error.results, error.now) == ([], {}, None)
    # An attempt whose response was lost may have deleted this robot, and no other.
    for robot_id, is_left in ((ID, False), (OTHER, True)):
        gone = refusal("ROBOT_NOT_FOUND", robot_id).with_context(outcome_unknown=True)
        api = FakeApi([], {"DELETE": [gone]})
        error = _resource.undo_creation(api, IN_ORG, ROBOT, failure)
        assert isinstance(error, OrphanError) is is_left
    api = FakeApi([ROBOT], {"DELETE": [refusal("X", status=403)]})
    left = _resource.undo_creation(api, IN_ORG, ROBOT, KeysmithError("It failed"))
    assert isinstance(left, OrphanError)
    assert left.parameters == [ID]
    assert "its secret is lost" in left.message().lower()


def test_the_signing_credential_is_guarded() -> None:
    api: Any = FakeApi()
    allowed, refused = {"allow_own_robot": True}, {"allow_own_robot": False}
    assert _resource.check_not_own(api, ROBOTS, ROBOT, refused, loss="this") is False
    api.endpoint.client_id = ID
    assert _resource.check_not_own(api, ROBOTS, ROBOT, allowed, loss="this") is True
    with pytest.raises(OwnKeyError) as caught:
        _resource.check_not_own(api, ROBOTS, ROBOT, refused, loss="this")
    assert "set allow_own_robot to true to allow this" in caught.value.message()
    assert "client_id" not in caught.value.message()
    anonymous = dataclasses.replace(ROBOTS, identity=None)
    assert _resource.check_not_own(api, anonymous, ROBOT, refused, loss="this") is False


def test_the_signing_credential_may_be_unknown() -> None:
    api: Any = FakeApi()
    assert ROBOTS.identity
    identity = dataclasses.replace(ROBOTS.identity, is_unknown=lambda _endpoint: True)
    robots = dataclasses.replace(ROBOTS, identity=identity)
    assert _resource.check_not_own(api, robots, ROBOT, {"allow_own_robot": True}, loss="this")
    with pytest.raises(OwnKeyError) as caught:
        _resource.check_not_own(api, robots, ROBOT, {"allow_own_robot": False}, loss="this")
    assert f"may belong to the robot {ROBOT}, because client_id" in caught.value.summary
    assert "Set client_id" in caught.value.hint


def test_the_access_list_is_changed() -> None:
    api: Any = FakeApi(entries=["192.0.2.7"])
    found = _access_lists.read(api, ROBOT_LISTS, ORG, ROBOT)
    goal = _access_lists.Goal(_access_lists.normalize(["198.51.100.7"]), purge=True)
    result = _access_lists.change(api, found, goal).result()
    assert result["robot_list"] == {"robot_id": ID, "entries": ["198.51.100.7"]}
    assert api.entries == ["198.51.100.7"]
    path = f"/orgs/{ORG}/robots/{ID}/accessList"
    assert api.calls == [f"LIST {path}", f"POST {path}", f"DELETE {path}/192.0.2.7"]


def test_it_is_assigned_to_a_project() -> None:
    api: Any = FakeApi()
    at = PROJECT_ROBOTS.of(PROJECT, ROBOT)
    assert _assignments.assign(api, at, ("GROUP_OWNER",)) is None
    roles = at.roles(_assignments.list_all(api, PROJECT_ROBOTS, PROJECT))
    assert at.result(roles) == {
        "project_id": PROJECT,
        "robot_id": ID,
        "roles": ["GROUP_OWNER"],
    }
    api.errors["DELETE"] = [lost()]
    api.assigned.clear()
    assert _assignments.unassign(api, at) is True
    assert "no robot is assigned" in _assignments.missing_project_warning(ROBOTS, PROJECT)


def test_a_missing_entry_has_its_own_codes() -> None:
    api: Any = FakeApi(
        entries=["192.0.2.7"], errors={"DELETE": [refusal("ROBOT_ENTRY_NOT_FOUND", status=404)]}
    )
    found = _access_lists.read(api, ROBOT_LISTS, ORG, ROBOT)
    goal = _access_lists.Goal(_access_lists.normalize(["192.0.2.7"]), is_present=False)
    assert _access_lists.change(api, found, goal).is_changed is False
    _access_lists.warn_of_opening(api, ROBOTS, "5", None, frozenset())
    assert "access list of robot 5 becomes empty" in api.warnings[0]
    assert "key" not in api.warnings[0]


def test_a_code_may_count_only_if_the_full_list_agrees() -> None:
    careful = dataclasses.replace(ROBOTS, topic="ROBOT").of(ORG)
    gone = refusal("ROBOT_NOT_FOUND", ID)
    assert _resource.find_by_id(FakeApi([], {"GET": [gone]}), careful, ID) is None  # type: ignore[arg-type]
    api: Any = FakeApi([ROBOT], {"GET": [gone]})
    with pytest.raises(ApiError):
        _resource.find_by_id(api, careful, ID)
    assert api.calls[-1] == f"LIST /orgs/{ORG}/robots"
    for code in ("ROBOT_ASLEEP", "OTHER_NOT_FOUND"):
        assert not _resource.says_missing(refusal(code, ID), careful.resource, ID)


@pytest.mark.parametrize(
    ("topic", "status", "code", "is_hint"),
    [
        ("", 400, "ROBOT_ASLEEP", True),
        ("", 404, "ROBOT_ASLEEP", True),
        ("", 400, "ROBOT_NOT_FOUND", True),
        ("", 401, "ROBOT_ASLEEP", False),
        ("", 404, "OTHER", False),
        ("ROBOT", 400, "NO_ROBOT", True),
        ("ROBOT", 404, "NO_ROBOT", True),
        ("ROBOT", 401, "NO_ROBOT", False),
        ("ROBOT", 404, "OTHER", True),
        ("ROBOT", 400, "OTHER", False),
        ("ROBOT", 404, "Not Found", False),
        ("ROBOT", 404, "", True),
        ("ROBOT", 400, "", False),
    ],
)
def test_an_error_may_hint_at_absence(topic: str, status: int, code: str, is_hint: bool) -> None:
    objects = dataclasses.replace(ROBOTS, topic=topic).of(ORG)
    error = refusal(code, ID, status=status)
    assert _resource.is_missing(FakeApi([]), objects, ID, error) is is_hint  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("topic", "parameters", "says_it"),
    [
        ("", [], True),
        ("", [ID], True),
        ("", [f"robot {ID}"], False),
        ("", [OTHER], False),
        ("ROBOT", [], True),
        ("ROBOT", ["of", f"robot {ID.upper()}", 1], True),
        ("ROBOT", [ID[:12], ID[12:]], False),
        ("ROBOT", [OTHER], False),
    ],
)
def test_an_error_about_another_object_says_nothing(
    topic: str, parameters: list[Any], says_it: bool
) -> None:
    resource = dataclasses.replace(ROBOTS, topic=topic)
    error = refusal("ROBOT_NOT_FOUND", *parameters)
    assert _resource.says_missing(error, resource, ID) is says_it


def test_a_listed_object_is_named_by_the_error_about_it() -> None:
    careful = dataclasses.replace(ROBOTS, topic="ROBOT").of(ORG)
    with pytest.raises(ApiError) as caught:
        _resource.is_missing(FakeApi(), careful, ID, refusal("ROBOT_NOT_FOUND"))  # type: ignore[arg-type]
    assert str(ROBOT) in caught.value.hint


def test_a_response_about_another_object_is_none() -> None:
    api: Any = FakeApi()
    api.get = lambda _call, parse, _until: parse(vars(Robot(OTHER, "cook")))
    assert _resource.find_by_id(api, IN_ORG, ID) is None
    assert _resource.find_by_id(api, IN_ORG, OTHER.upper()) == Robot(OTHER, "cook")


def test_reading_needs_the_role_of_a_reader_and_has_a_deadline() -> None:
    api, calls = FakeApi(), []

    def get(call: Call, _parse: Any, until: Any) -> None:
        calls.append((call.required_role, until))

    def pages(call: Call, _parse: Any, _identity: Any) -> list[Any]:
        calls.append((call.required_role, call.query))
        return []

    api.get, api.pages = get, pages  # type: ignore[method-assign, assignment]
    _resource.find_by_id(api, IN_ORG, ID, 7.0)  # type: ignore[arg-type]
    listing = dataclasses.replace(PROJECT_ROBOTS, query={"flat": "true"}).listing(PROJECT)
    _resource.list_all(api, listing)  # type: ignore[arg-type]
    assert calls == [(IN_ORG.reader, 7.0), (listing.reader, {"flat": "true"})]
    assert (IN_ORG.reader, listing.reader) == ("Organization Member", "Project Read Only")
    assert listing.title == f"robots of project {PROJECT}"


def test_a_noun_has_its_article() -> None:
    assert ROBOTS.a_noun == "a robot"
    assert dataclasses.replace(ROBOTS, noun="API key").a_noun == "an API key"


@pytest.mark.parametrize(("count", "rest"), [(20, ""), (21, " and 1 more"), (23, " and 3 more")])
def test_a_message_lists_twenty_objects(count: int, rest: str) -> None:
    robots = [Robot(f"{number:024}", "cook") for number in range(count)]
    text = _resource.described(robots, ROBOTS)
    assert text.count("(cook)") == 20
    assert text.endswith(ROBOTS.with_text(robots[19]) + rest)


def test_a_contradicted_change_gives_advice() -> None:
    error = _resource.contradicted(ROBOTS, "shows nothing")
    assert error.hint == _resource.contradiction_advice(ROBOTS)


@pytest.mark.parametrize(
    "error", [OrphanError("not stored", parameters=["x"]), KeysmithError("no list", code="C")]
)
def test_an_object_that_cannot_be_deleted_is_named(error: KeysmithError) -> None:
    api: Any = FakeApi([ROBOT], {"DELETE": [refusal("FORBIDDEN", status=403)]})
    left = _resource.undo_creation(api, IN_ORG, ROBOT, error, "Its token is in /f.")
    assert isinstance(left, OrphanError)
    assert (left.summary, left.code, left.parameters) == (error.summary, error.code, [ID])
    assert left.results == {"changed": True, "robot": ROBOT.result()}
    assert left.now == ROBOT
    assert str(ROBOT) in left.state_after
    assert "Its token is in /f." in left.state_after


def test_a_lost_change_is_read_again_until_it_shows() -> None:
    api: Any = FakeApi()
    cook = dataclasses.replace(ROBOT, name="cook")
    reads = iter([ROBOT, ROBOT, cook])

    def send() -> Robot:
        raise lost()

    api.get = lambda _call, _parse, _until: next(reads)
    assert _resource.change(api, IN_ORG, ROBOT, send, lambda now: now == cook) == (cook, None)


def has_name(name: str) -> _writes.Wanted[Robot]:
    return _writes.Wanted(
        is_met=lambda robot: robot.name == name,
        text=repr(name),
        state=lambda robot: repr(robot.name),
        values=lambda robot: robot.name,
        fill=lambda data, robot: robot if "name" in data else dataclasses.replace(robot, name=name),
    )


def create(api: Any, name: str, wanted: _writes.Wanted[Robot]) -> _writes.Created[Robot]:
    return _writes.create(
        api,
        IN_ORG,
        name,
        {"name": name},
        lambda data: _writes.Created(ROBOTS.parse(data, ORG), data["secret"]),  # type: ignore[arg-type]
        wanted,
        {ID},
    )


def test_an_object_is_created_and_changed() -> None:
    api: Any = FakeApi()
    created = create(api, "cook", has_name("cook"))
    assert (created.found, created.secret) == (Robot(OTHER, "cook"), "s")
    now = _writes.update(api, IN_ORG, ROBOT, {"name": "welder"}, has_name("welder"))
    assert now == Robot(ID, "welder")
    api = FakeApi()
    with pytest.raises(
        UnexpectedResponseError, match="shows the robot as 'b' instead of 'a'"
    ) as caught:
        _writes.update(api, IN_ORG, ROBOT, {"name": "b"}, has_name("a"))
    assert caught.value.now == Robot(ID, "b")
    api = FakeApi([])
    with pytest.raises(
        UnexpectedResponseError, match=r"created the robot .* but the task asked for"
    ) as caught:
        create(api, "b", has_name("a"))
    assert caught.value.hint == _resource.contradiction_advice(ROBOTS)
    assert api.robots == []


def test_a_creation_does_not_return_an_object_that_existed() -> None:
    def post(_call: Call, _body: Any, parse: Callable[[Any], Any]) -> Any:
        assert parse({**vars(ROBOT), "secret": "s"}) is None
        raise refusal("X")

    api: Any = FakeApi()
    api.post = post
    with pytest.raises(ApiError):
        create(api, "cleaner", has_name("cleaner"))


def test_values_that_a_response_leaves_out_are_the_requested_ones() -> None:
    values = {"name": "cook", "roles": ["B", "A"]}
    assert _writes.left_out({"name": "welder"}, values) == {"roles": ("A", "B")}
    assert _writes.left_out({"title": None, "roles": []}, values, {"name": "title"}) == {
        "name": "cook"
    }
    api: Any = FakeApi()
    wanted = dataclasses.replace(
        has_name("cook"), fill=lambda _data, robot: dataclasses.replace(robot, roles=("A",))
    )
    assert create(api, "cook", wanted).found == Robot(OTHER, "cook", ("A",))


def test_an_object_may_already_be_renamed() -> None:
    def pick(
        old: str, new: str | None, *robots: Robot, look_alikes: str = "refuse"
    ) -> Robot | None:
        params = {"name": old, "new_name": new, "look_alikes": look_alikes}
        return _resource.pick_renamed(robots, IN_ORG, params)

    other = Robot(OTHER, "cook")
    assert pick("cleaner", "cook", ROBOT) == pick("cook", "cleaner", ROBOT) == ROBOT
    assert pick("cook", None, ROBOT) is None
    assert pick("Cleaner", None, ROBOT, look_alikes="ignore") is None
    assert pick("Cleaner", "cook", ROBOT, other, look_alikes="ignore") == other
    assert pick("cook", "Cleaner", ROBOT, other, look_alikes="ignore") == other
    with pytest.raises(AmbiguousError, match=r"Robot .* has the old name and robot .* the new one"):
        pick("cleaner", "cook", ROBOT, other)
    with pytest.raises(MissingError, match=r"No robot of .* has the name 'x' or 'y'") as caught:
        pick("x", "y", ROBOT)
    assert caught.value.hint == (
        "new_name renames an existing robot. To create a robot, leave it unset."
    )


def test_others_may_copy_the_name_of_an_object() -> None:
    secret = _secret_file.SecretFormat("token", "robot", "id", ("id", "token"))
    file = _secret_file.SecretFile("/f", secret)

    def check(file: Any, *gains: str, is_held: bool = False) -> list[str]:
        params = {"name": "cleaner", "adopt": False}
        return _adoption.check(ROBOTS, ROBOT, gains, params, file, is_held=is_held)

    assert check(file, "ORG_OWNER", is_held=True) == check(None, "ORG_MEMBER") == []
    with pytest.raises(GuardError) as caught:
        check(file, "ORG_OWNER", "ORG_MEMBER")
    assert caught.value.parameters == [ID]
    assert caught.value.message() == (
        f"credentials_file /f does not hold the token of robot {ROBOT} 'cleaner', which would gain "
        "the roles ORG_MEMBER, ORG_OWNER. Nothing was changed. Anyone who may create robots in a "
        "project can give a robot this name. Check that the robot is yours; then restore its file, "
        "use the robot's ID, or set adopt to true."
    )
    assert check(None, "ORG_OWNER") == [
        f"Robot {ROBOT} is identified by its name, 'cleaner', and gains ORG_OWNER. Anyone who may "
        "create robots in a project can give a robot this name: identify owner robots by ID."
    ]
    gains = [("", "ORG_OWNER"), (PROJECT, "GROUP_OWNER"), (PROJECT, "GROUP_READ_ONLY")]
    (warning,) = _adoption.owner_warnings(ROBOTS, ROBOT, gains)
    assert f"and gains ORG_OWNER, GROUP_OWNER in project {PROJECT}. " in warning


@pytest.mark.parametrize(
    ("robot_id", "org_id", "name", "is_free"),
    [
        # The file holds the token of a robot that no longer exists.
        (OTHER, ORG, "cleaner", True),
        (ID, ORG, "cleaner", False),
        (OTHER, PROJECT, "cleaner", False),
        (OTHER, ORG, "cook", False),
    ],
)
def test_a_creation_does_not_replace_a_secret_that_may_be_needed(
    tmp_path: Path, robot_id: str, org_id: str, name: str, is_free: bool
) -> None:
    secret = _secret_file.SecretFormat("token", "robot", "id", ("id", "org_id", "name"))
    content = {"id": robot_id, "org_id": org_id, "name": name}
    file = _secret_file.SecretFile(str(tmp_path / "f"), secret, content)
    params = {"name": "cleaner", "roles": []}
    if is_free:
        with mock.patch("os.open", side_effect=AssertionError):
            assert _adoption.check_creation(IN_ORG, params, [ROBOT], file, True) == {ID}
        return
    with pytest.raises(OptionError, match=f"holds the token of another robot, {robot_id}"):
        _adoption.check_creation(IN_ORG, params, [ROBOT], file, True)


def test_a_task_deletes_an_object() -> None:
    api: Any = FakeApi()

    def ensure(
        found: Robot | None, *, check_mode: bool = False, allowed: bool = False
    ) -> dict[str, Any]:
        params = {"wait": True, "wait_timeout": 60, "allow_own_robot": allowed}
        return _absence.ensure(
            api,
            IN_ORG,
            found,
            params,
            check_mode=check_mode,
            writable=lambda robot: {"name": robot.name},
            warn=lambda robot: api.warnings.append(f"bye {robot}"),
        )

    result = ensure(ROBOT, check_mode=True)
    assert (result["changed"], result["robot"], api.robots) == (True, ROBOT.result(), [ROBOT])
    assert ensure(ROBOT) == result
    assert result["diff"] == {"before": {"name": "cleaner"}, "after": {}}
    result = ensure(None)
    assert (result["changed"], result["robot"], api.robots) == (False, None, [])
    assert api.warnings == [f"bye {ROBOT}"] * 2
    api.endpoint.client_id, requests = ID, len(api.calls)
    with pytest.raises(OwnKeyError) as caught:
        ensure(ROBOT)
    assert "allow_own_robot to true to allow deleting it and losing" in caught.value.message()
    with pytest.raises(OwnKeyError, match="Once the robot is deleted, the task cannot verify"):
        ensure(ROBOT, allowed=True)
    assert (len(api.calls), len(api.warnings)) == (requests, 2)


def test_a_task_changes_the_access_list_of_an_object() -> None:
    api: Any = FakeApi(entries=["192.0.2.7"])
    params = {
        "org_id": ORG,
        "entries": ["192.0.2.7"],
        "state": "absent",
        "purge": False,
        "allow_own_robot": False,
    }

    def missing() -> Robot:
        raise MissingError("There is no such robot", hint="Build it.")

    result = _access_list_task.ensure(api, ROBOT_LISTS, params, lambda: ROBOT, False)
    assert (result["changed"], result["robot_list"]["entries"], api.entries) == (True, [], [])
    assert "access list of robot" in api.warnings[0]
    # The list is empty already.
    result = _access_list_task.ensure(api, ROBOT_LISTS, params, lambda: ROBOT, False)
    assert (result["changed"], len(api.warnings)) == (False, 1)
    result = _access_list_task.ensure(api, ROBOT_LISTS, params, missing, False)
    assert (result["changed"], result["robot_list"]) == (False, None)
    with pytest.raises(MissingError):
        _access_list_task.ensure(api, ROBOT_LISTS, {**params, "state": "present"}, missing, False)
    api.entries, api.endpoint.client_id = ["192.0.2.7"], ID
    with pytest.raises(OwnKeyError, match="authenticates with"):
        _access_list_task.ensure(api, ROBOT_LISTS, params, lambda: ROBOT, False)


def test_a_task_assigns_an_object_to_a_project() -> None:
    api: Any = FakeApi()

    def ensure(*roles: str, state: str = "present") -> dict[str, Any]:
        params = {"project_id": PROJECT, "state": state, "roles": roles, "name": "cleaner"}
        params["allow_own_robot"] = False
        task = _assignment_task.Task(api, PROJECT_ROBOTS, params, lambda found: [f"Mind {found}"])
        return _assignment_task.ensure(task, lambda _assigned: ROBOT, False)

    result = ensure("A", "B")
    assert (result["project_robot"]["roles"], result["warnings"]) == (["A", "B"], [f"Mind {ROBOT}"])
    assert ensure("B", "A")["changed"] is False
    assert ensure("A")["diff"] == {"before": {"roles": ["A", "B"]}, "after": {"roles": ["A"]}}
    api.endpoint.client_id = ID
    with pytest.raises(OwnKeyError, match="authenticates with") as own:
        ensure(state="absent")
    assert own.value.hint.endswith("to allow removing it from the project.")
    with pytest.raises(OwnKeyError, match="authenticates with") as own:
        ensure("B")
    assert own.value.hint.endswith("to allow removing a role from it.")
    api.endpoint.client_id = None
    result = ensure(state="absent")
    assert (result["changed"], result["project_robot"], api.assigned) == (True, None, [])
    assert result["warnings"] == []
    result = ensure(state="absent")
    assert (result["changed"], result["warnings"]) == (False, [])
    gone = refusal("GROUP_NOT_FOUND", PROJECT)
    api.errors["LIST"] = [gone]
    assert "no robot is assigned" in ensure(state="absent")["warnings"][0]
    # Nothing else proves that the robot is not assigned.
    maybe = gone.with_context(outcome_unknown=True)
    for error in (refusal("X", PROJECT, status=403), maybe):
        api.errors["LIST"] = [error]
        with pytest.raises(ApiError) as caught:
            ensure(state="absent")
        assert caught.value.code == error.code


def test_an_object_may_be_deleted_while_its_access_list_is_changed() -> None:
    api: Any = FakeApi(entries=["192.0.2.7", "192.0.2.8"])
    delete = api.delete

    def delete_once(call: Call) -> None:
        delete(call)
        api.delete = mock.Mock(side_effect=refusal("ROBOT_NOT_FOUND", ID))

    api.delete = delete_once
    params: dict[str, Any] = {"org_id": ORG, "entries": [*api.entries], "state": "absent"}
    params |= {"purge": False, "allow_own_robot": False}
    with pytest.raises(MissingError) as caught:
        _access_list_task.ensure(api, ROBOT_LISTS, params, lambda: ROBOT, False)
    assert caught.value.results["changed"]
    assert caught.value.results["robot_list"]["entries"] == ["192.0.2.8"]


def assign(api: Any, *roles: str, state: str = "present") -> dict[str, Any]:
    params = {"project_id": PROJECT, "state": state, "roles": roles, "name": None}
    task = _assignment_task.Task(api, PROJECT_ROBOTS, {**params, "allow_own_robot": False})
    return _assignment_task.ensure(task, lambda _assigned: ROBOT, False)


@pytest.mark.parametrize("left", [None, ("A",), ("C",)])
def test_a_lost_change_is_reported_as_the_project_shows_it(left: tuple[str, ...] | None) -> None:
    api: Any = FakeApi(assigned=[dataclasses.replace(ROBOT, roles=("A",))])

    def change_and_lose(*_arguments: Any) -> None:
        api.assigned = [] if left is None else [dataclasses.replace(ROBOT, roles=left)]
        raise lost()

    api.patch = change_and_lose
    with pytest.raises(LostResponseError) as caught:
        assign(api, "B")
    results = caught.value.results
    assert (results["project_robot"] is None) is (left is None)
    assert results["changed"] is (left != ("A",))
    after = {} if left is None else {"roles": [*left]}
    assert results["diff"] == {"before": {"roles": ["A"]}, "after": after}


@pytest.mark.parametrize("theirs", ["A", "B"])
def test_another_task_may_assign_the_object_first(theirs: str) -> None:
    api: Any = FakeApi()

    def post(*_arguments: Any) -> None:
        api.assigned.append(dataclasses.replace(ROBOT, roles=(theirs,)))
        raise refusal("ROBOT_ALREADY_IN_GROUP", status=409)

    api.post = post
    result = assign(api, "A")
    assert result["changed"] is (theirs != "A")
    assert result["diff"] == {"before": {"roles": [theirs]}, "after": {"roles": ["A"]}}
    assert [*api.assigned[0].roles] == ["A"]
    assert any("PATCH" in call for call in api.calls) is (theirs != "A")


def test_another_task_may_remove_the_object_first() -> None:
    api: Any = FakeApi(assigned=[ROBOT])

    def delete(_call: Call) -> None:
        api.assigned.clear()
        raise refusal("ROBOT_NOT_FOUND", ID)

    api.delete = delete
    result = assign(api, state="absent")
    assert (result["changed"], result["project_robot"]) == (False, None)
    assert result["diff"] == {"before": {}, "after": {}}


def test_the_signing_credential_may_gain_a_role() -> None:
    api: Any = FakeApi(assigned=[dataclasses.replace(ROBOT, roles=("A",))])
    api.endpoint.client_id = ID
    assert assign(api, "A", "B")["changed"]
