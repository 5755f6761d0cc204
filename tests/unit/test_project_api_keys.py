# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Assignments: refusals, lost responses and concurrent changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Call
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import (
    UnreadableError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    ATLAS,
    OPS_MANAGER,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    KeysmithError,
    LostResponseError,
    Request,
    UnexpectedResponseError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._assignments import (
    PROJECT_OWNER,
    PROJECT_READ_ONLY,
    assign,
    assign_all,
    change,
    is_project_missing,
    list_all,
    missing_project_warning,
    unassign,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._project_api_keys import (
    PROJECT_API_KEYS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    SECOND_LOOK,
    SETTLE_TIME,
)
from tests.support import VirtualClock

PROJECT = "5e2211c17a3e5a48f5497de3"
OTHER_PROJECT = "5e2211c17a3e5a48f5497de4"
KEY = OrgApiKey("32b6e34b3d91647abb20e7b8", "d", "abcdefgh", ("ORG_MEMBER",), ())
WANTED = ("GROUP_OWNER", "GROUP_READ_ONLY")
BELOW = ("GROUP_READ_ONLY",)
AT = PROJECT_API_KEYS.of(PROJECT, KEY)
PATH = f"/groups/{PROJECT}/apiKeys/{KEY.id}"


def shown(roles: tuple[str, ...] | None) -> list[dict[str, Any]]:
    """The project's listing: another key, and KEY if it has roles. Both are in a second project."""
    keys = {"f" * 24: ("GROUP_OWNER",), **({} if roles is None else {KEY.id: roles})}
    return [
        {
            "id": key_id,
            "desc": "d",
            "publicKey": "abcdefgh",
            "roles": [
                {"roleName": "GROUP_ELSEWHERE", "groupId": OTHER_PROJECT},
                {"roleName": "ORG_MEMBER", "orgId": "0" * 24},
                *({"roleName": role, "groupId": PROJECT} for role in names),
            ],
        }
        for key_id, names in keys.items()
    ]


def refusal(
    status: int, code: str | None, *parameters: Any, outcome_unknown: bool = False
) -> ApiError:
    request = Request("POST", "https://h", "/p", "do it")
    error = ApiError("x", request=request, status=status, code=code, parameters=parameters)
    error.outcome_unknown = outcome_unknown
    return error


def lost() -> KeysmithError:
    error = LostResponseError("gone", request=Request("POST", "https://h", "/p", "do it"))
    error.outcome_unknown = True
    return error


class FakeApi:
    """A client whose writes end as specified, and whose listing shows a series of states."""

    def __init__(self, write: Any = None, *listings: Any, method: str = "POST") -> None:
        self.virtual = VirtualClock()
        self.clock = Clock(self.virtual.now, self.virtual.sleep, self.virtual.random)
        self.cancellation = Cancellation(self.clock)
        self.endpoint = SimpleNamespace(platform=replace(ATLAS, assign_method=method))
        self.write = write
        self.listings = list(listings)
        self.calls: list[tuple[str, str, Any]] = []

    def _do(self, method: str, path: str, body: Any, parse: Callable[[Any], Any]) -> Any:
        self.calls.append((method, path, body))
        write = self.write.popleft() if isinstance(self.write, deque) else self.write
        if isinstance(write, Exception):
            raise write
        value = parse(write)
        assert value is not None
        return value

    def post(self, call: Call, body: Any, parse: Any) -> Any:
        assert (call.required_role, bool(call.operation)) == (PROJECT_OWNER, True)
        return self._do("POST", call.path, body, parse)

    def patch(self, call: Call, body: Any, parse: Any) -> Any:
        is_new = call.operation.startswith("assign")
        assert call.required_role == (PROJECT_OWNER if is_new else ATLAS.assignment_role)
        return self._do("PATCH", call.path, body, parse)

    def delete(self, call: Call) -> None:
        assert (call.required_role, bool(call.operation)) == (ATLAS.assignment_role, True)
        self._do("DELETE", call.path, None, lambda _data: True)

    def pages(self, call: Call, parse: Any, _identity: Any) -> list[Any]:
        assert call.required_role == PROJECT_READ_ONLY
        self.calls.append(("GET", call.path, None))
        listing = self.listings.pop(0) if len(self.listings) > 1 else self.listings[0]
        if isinstance(listing, Exception):
            raise listing
        return [parse(item) for item in shown(listing)]

    @property
    def writes(self) -> list[tuple[str, str, Any]]:
        return [call for call in self.calls if call[0] != "GET"]


@pytest.mark.parametrize("roles", [None, (), BELOW, WANTED])
def test_the_listing_has_the_roles_in_this_project(roles: tuple[str, ...] | None) -> None:
    api: Any = FakeApi(None, roles)
    listed = list_all(api, PROJECT_API_KEYS, PROJECT)
    assert AT.roles(listed) == roles
    assert "f" * 24 in listed


@pytest.mark.parametrize("response", [{}, shown(WANTED)[1]])
def test_each_platform_assigns_with_its_own_method(response: dict[str, Any]) -> None:
    atlas: Any = FakeApi(response)
    assert assign(atlas, AT, WANTED) is None
    assert atlas.calls == [("POST", PATH, [{"roles": list(WANTED)}])]
    other: Any = FakeApi(response, method="PATCH")
    assert assign(other, AT, WANTED) is None
    assert other.calls == [("PATCH", PATH, {"roles": list(WANTED)})]


@pytest.mark.parametrize("response", [None, [], "x", {"results": []}, shown(WANTED)[0]])
def test_a_response_about_another_key_is_refused(response: Any) -> None:
    for do in (assign, change):
        with pytest.raises((AssertionError, UnreadableError)):
            do(FakeApi(response), AT, WANTED)  # type: ignore


@pytest.mark.parametrize("met", [WANTED, BELOW, ()])
@pytest.mark.parametrize("lag", [0, 3])
def test_an_existing_assignment_is_returned(met: tuple[str, ...], lag: int) -> None:
    api: Any = FakeApi(refusal(400, "API_KEY_ALREADY_IN_GROUP"), *[None] * lag, met)
    assert assign(api, AT, WANTED) == met
    assert len(api.writes) == 1
    assert len(api.virtual.sleeps) == lag


@pytest.mark.parametrize(
    ("met", "is_done", "methods"),
    [
        (None, True, ["POST"]),
        (WANTED, False, ["POST"]),
        # Another run has assigned it with other roles.
        (BELOW, True, ["POST", "PATCH"]),
    ],
)
def test_all_roles_are_assigned_after_a_concurrent_assignment(
    met: tuple[str, ...] | None, is_done: bool, methods: list[str]
) -> None:
    found = shown(WANTED)[1]
    api: Any = FakeApi(refusal(400, "API_KEY_ALREADY_IN_GROUP") if met else found, met)
    api.patch = lambda call, body, parse: api.calls.append(("PATCH", call.path, body))
    assert assign_all(api, AT, WANTED) is is_done
    assert [call[0] for call in api.writes] == methods
    assert api.writes[-1] == (methods[-1], PATH, api.writes[-1][2])
    assert "GROUP_OWNER" in str(api.writes[-1][2])


def test_an_assignment_that_is_not_shown_is_not_changed_blindly() -> None:
    api: Any = FakeApi(refusal(400, "API_KEY_ALREADY_IN_GROUP"), None)
    with pytest.raises(ApiError) as caught:
        assign(api, AT, WANTED)
    assert "Run the task again later" in caught.value.message()
    assert len(api.writes) == 1
    assert sum(api.virtual.sleeps) <= SETTLE_TIME


def changes() -> list[Any]:
    def assign_with(method: str) -> Callable[[Any], Any]:
        def assign_by(api: Any) -> Any:
            api.endpoint.platform = replace(ATLAS, assign_method=method)
            return assign(api, AT, WANTED)

        return assign_by

    return [
        pytest.param(assign_with("POST"), WANTED, None, id="POST"),
        pytest.param(assign_with("PATCH"), WANTED, None, id="PATCH"),
        pytest.param(lambda api: change(api, AT, WANTED), WANTED, BELOW, id="change"),
        pytest.param(lambda api: unassign(api, AT), None, BELOW, id="DELETE"),
    ]


@pytest.mark.parametrize(("do", "wanted", "before"), changes())
@pytest.mark.parametrize("lag", [0, 3])
def test_after_a_lost_response_the_listing_decides(
    do: Any, wanted: Any, before: Any, lag: int
) -> None:
    api: Any = FakeApi(lost(), *[before] * lag, wanted)
    assert do(api) in {None, True}
    assert len(api.writes) == 1
    assert len(api.virtual.sleeps) == lag


@pytest.mark.parametrize(("do", "_wanted", "before"), changes())
def test_a_lost_request_that_changed_nothing_fails_with_what_exists(
    do: Any, _wanted: Any, before: Any
) -> None:
    api: Any = FakeApi(lost(), before)
    with pytest.raises(LostResponseError) as caught:
        do(api)
    state = "not assigned to it" if before is None else "assigned with the roles GROUP_READ_ONLY"
    assert f"shows the API key {KEY.id} as {state} now" in caught.value.message()
    assert len(api.writes) == 1
    assert sum(api.virtual.sleeps) <= SETTLE_TIME


@pytest.mark.parametrize(("do", "_wanted", "before"), changes())
def test_a_lost_request_that_cannot_be_looked_up_fails(do: Any, _wanted: Any, before: Any) -> None:
    api: Any = FakeApi(lost(), before, refusal(503, None))
    with pytest.raises(LostResponseError) as caught:
        do(api)
    assert caught.value.message().startswith(
        "Could not do it: gone. Whether it was done anyway could not be checked: Could not"
    )
    assert "It is safe to run the task again." in caught.value.message()
    assert len(api.writes) == 1


REFUSALS = [
    refusal(401, "USER_UNAUTHORIZED"),
    refusal(403, "API_KEY_NOT_FOUND", KEY.id),
    refusal(400, None),
    refusal(404, None),
    refusal(404, "RESOURCE_NOT_FOUND"),
    refusal(404, "RESOURCE_NOT_FOUND", "/api/atlas/v2/groups/x"),
]
HINTS = [
    refusal(400, "API_KEY_NOT_FOUND", KEY.id),
    refusal(404, "API_KEY_NOT_FOUND", KEY.id),
    refusal(404, "RESOURCE_NOT_FOUND", KEY.id),
    refusal(404, "INVALID_KEY_ID"),
    refusal(400, "API_KEY_NOT_IN_GROUP"),
]


def name(error: ApiError) -> str:
    return f"{error.status} {error.code} {len(error.parameters)}"


@pytest.mark.parametrize(("do", "_wanted", "_before"), changes())
@pytest.mark.parametrize("error", REFUSALS, ids=name)
def test_a_refusal_is_raised_immediately(
    do: Any, _wanted: Any, _before: Any, error: ApiError
) -> None:
    api: Any = FakeApi(error)
    with pytest.raises(ApiError) as caught:
        do(api)
    assert caught.value.fields() == error.fields()
    assert "in the meantime" not in caught.value.message()
    assert len(api.calls) == 1


@pytest.mark.parametrize("error", HINTS, ids=name)
@pytest.mark.parametrize("outcome_unknown", [True, False])
@pytest.mark.parametrize("lag", [0, 2])
def test_the_listing_proves_that_a_key_is_not_assigned(
    error: ApiError, outcome_unknown: bool, lag: int
) -> None:
    again = refusal(
        error.status or 0, error.code, *error.parameters, outcome_unknown=outcome_unknown
    )
    api: Any = FakeApi(again, *[BELOW] * lag, None)
    # True if an earlier attempt of this very call may have done it.
    assert unassign(api, AT) is outcome_unknown


@pytest.mark.parametrize("error", HINTS, ids=name)
def test_a_hint_that_the_listing_contradicts_is_raised(error: ApiError) -> None:
    api: Any = FakeApi(error, WANTED)
    with pytest.raises(ApiError) as caught:
        unassign(api, AT)
    assert caught.value.fields() == error.fields()
    assert "it still exists" in caught.value.message()


@pytest.mark.parametrize("error", HINTS[:3], ids=name)
def test_a_change_of_a_key_that_was_removed_in_the_meantime_says_so(error: ApiError) -> None:
    api: Any = FakeApi(error)
    with pytest.raises(ApiError) as caught:
        change(api, AT, WANTED)
    assert "revoked or removed from the project in the meantime, or" in caught.value.message()
    # Only API_KEY_NOT_FOUND about this key is sent again.
    assert len(api.calls) == (8 if error.code == "API_KEY_NOT_FOUND" else 1)


@pytest.mark.parametrize(("do", "_wanted", "_before"), changes()[:3])
def test_a_request_about_a_key_that_is_not_known_yet_is_retried(
    do: Any, _wanted: Any, _before: Any
) -> None:
    unknown = refusal(400, "API_KEY_NOT_FOUND", KEY.id)
    api: Any = FakeApi(deque([unknown, unknown, {}]))
    do(api)
    assert len(api.writes) == 3
    assert api.virtual.sleeps == [0.25, 0.5]


@pytest.mark.parametrize(("do", "_wanted", "_before"), changes()[:3])
@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize(
    ("response", "state"),
    [
        (shown(BELOW)[1], "assigned with the roles GROUP_READ_ONLY"),
        (shown(())[1], "not assigned to it"),
    ],
    ids=["other", "none"],
)
def test_a_response_that_contradicts_the_roles_is_checked(
    do: Any, _wanted: Any, _before: Any, late: bool, response: dict[str, Any], state: str
) -> None:
    api: Any = FakeApi(response, BELOW, WANTED if late else BELOW)
    if late:
        assert do(api) is None
        assert len(api.writes) == 1
        return
    with pytest.raises(UnexpectedResponseError, match="not with the roles") as caught:
        do(api)
    assert caught.value.type == "unexpected_response"
    assert caught.value.results["project_api_key"]["roles"] == list(BELOW)
    assert f"shows the API key {KEY.id} as assigned with" in caught.value.message()
    assert f"as {state}, not with the roles {', '.join(WANTED)}." in caught.value.message()
    assert len(api.writes) == 1


def test_a_removal_is_sent_again_if_the_project_shows_the_key_again() -> None:
    api: Any = FakeApi(deque([refusal(400, "API_KEY_NOT_FOUND", KEY.id), None]), BELOW)
    assert unassign(api, AT) is True
    assert len(api.writes) == 2
    assert api.virtual.sleeps == [SECOND_LOOK]


@pytest.mark.parametrize(
    ("status", "parameters", "is_missing"),
    [
        (404, (PROJECT,), True),
        (404, (), True),
        (400, (PROJECT,), True),
        (404, (OTHER_PROJECT,), False),
        (403, (), False),
    ],
)
def test_a_code_about_this_project_proves_that_it_is_missing(
    status: int, parameters: Any, is_missing: bool
) -> None:
    error = refusal(status, "GROUP_NOT_FOUND", *parameters)
    assert is_project_missing(error, PROJECT) is is_missing
    assert PROJECT in missing_project_warning(API_KEYS, PROJECT)
    if is_missing:
        api: Any = FakeApi(error)
        with pytest.raises(ApiError) as caught:
            unassign(api, AT)
        assert caught.value.fields() == error.fields()
        assert len(api.calls) == 1


def test_the_required_role_depends_on_the_platform() -> None:
    api: Any = FakeApi({}, BELOW)
    api.endpoint.platform = OPS_MANAGER
    roles: list[str] = []
    api.patch = lambda call, *_arguments: roles.append(call.required_role)
    change(api, AT, WANTED)
    api.endpoint.platform = ATLAS
    change(api, AT, WANTED)
    assert roles == [PROJECT_OWNER, ATLAS.assignment_role]
