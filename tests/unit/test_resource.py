# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kind of object that no module manages gets all functions from a short description."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Call
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import ATLAS
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    ApiError,
    KeysmithError,
    LostResponseError,
    OrphanError,
    OwnKeyError,
    Request,
    WaitTimeoutError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _assignments,
    _resource,
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
        return vars(self)


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
    """A client of one organization with robots. ``errors``: by method, before it does anything."""

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
        assert call.version == "2030-02-03"
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
        self.assigned.append(Robot(ID, "cleaner", tuple(body[0]["roles"])))
        return parse({})

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


def test_absence_is_proved_by_its_own_codes() -> None:
    api: Any = FakeApi([], {"GET": [refusal("ROBOT_ASLEEP")]})
    assert _resource.find_by_id(api, IN_ORG, ID) is None
    # The hint alone was not a proof.
    assert api.calls[-1] == f"LIST /orgs/{ORG}/robots"
    api = FakeApi([], {"GET": [refusal("API_KEY_NOT_FOUND", ID)]})
    with pytest.raises(ApiError):
        _resource.find_by_id(api, IN_ORG, ID)


def test_it_is_deleted_and_waited_for() -> None:
    api: Any = FakeApi()
    assert _resource.delete(api, IN_ORG, ROBOT) is True
    _resource.await_absence(api, IN_ORG, ROBOT, 60)
    # It was gone when its turn came.
    api = FakeApi([], {"DELETE": [refusal("ROBOT_NOT_FOUND", ID)]})
    assert _resource.delete(api, IN_ORG, ROBOT) is False
    with pytest.raises(WaitTimeoutError, match="still shows the robot") as caught:
        _resource.await_absence(FakeApi(), IN_ORG, ROBOT, 30)  # type: ignore[arg-type]
    assert "Whether the robot still works is not known" in caught.value.message()


def test_a_lost_creation_reports_what_is_left() -> None:
    api: Any = FakeApi()
    error = _resource.lost_creation(api, IN_ORG, "cleaner", {OTHER}, lost())
    assert (error.type, error.parameters) == ("orphan", [ID])
    assert "New robots with this name" in error.message()
    assert "key" not in error.message()


def test_a_creation_is_undone() -> None:
    api: Any = FakeApi()
    error = _resource.undo_creation(api, IN_ORG, ROBOT, KeysmithError("It failed"))
    assert (api.robots, error.results) == ([], {})
    api = FakeApi([ROBOT], {"DELETE": [refusal("X", status=403)]})
    left = _resource.undo_creation(api, IN_ORG, ROBOT, KeysmithError("It failed"))
    assert isinstance(left, OrphanError)
    assert left.parameters == [ID]
    assert "its secret is lost" in left.message().lower()


def test_the_signing_credential_is_guarded() -> None:
    api: Any = FakeApi()
    assert _resource.check_not_own(api, ROBOTS, ROBOT, allowed=False, loss="this") is False
    api.endpoint.client_id = ID
    assert _resource.check_not_own(api, ROBOTS, ROBOT, allowed=True, loss="this") is True
    with pytest.raises(OwnKeyError) as caught:
        _resource.check_not_own(api, ROBOTS, ROBOT, allowed=False, loss="this")
    assert "set allow_own_robot to true to allow this" in caught.value.message()


def test_its_access_list_is_changed() -> None:
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


def test_a_code_may_need_the_listing_as_well() -> None:
    careful = dataclasses.replace(ROBOTS, topic="ROBOT").of(ORG)
    gone = refusal("ROBOT_NOT_FOUND", ID)
    assert _resource.find_by_id(FakeApi([], {"GET": [gone]}), careful, ID) is None  # type: ignore[arg-type]
    api: Any = FakeApi([ROBOT], {"GET": [gone]})
    with pytest.raises(ApiError):
        _resource.find_by_id(api, careful, ID)
    assert api.calls[-1] == f"LIST /orgs/{ORG}/robots"
