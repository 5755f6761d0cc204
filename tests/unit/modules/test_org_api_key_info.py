# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key_info through its main() against the emulator, and its filters against an oracle."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    ApiError,
    Request,
)
from ansible_collections.keysmith.mongodb.plugins.modules import org_api_key_info
from tests.emulator import Emulator, Fault
from tests.support import (
    API_PATHS,
    MISSING_ID,
    PLATFORMS,
    PRIVATE_KEYS,
    Outcome,
    VirtualClock,
    created_at,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_as_owner,
    seed,
    service_account,
)

# The keys of an organization in the order of the result.
IN_ORDER = [7, 6, 1, 4, 5, 2, 3]


def run(emulator: Emulator, platform: str = "atlas", **options: Any) -> Outcome:
    outcome = run_as_owner("org_api_key_info", emulator, platform, options)
    assert emulator.writes == []
    assert not outcome.changed
    for secret in ("1111-4111-8111", "-****-", *PRIVATE_KEYS.values(), "mdb_sa_sk_"):
        assert secret not in outcome.output
    return outcome


def numbers(outcome: Outcome, platform: str = "atlas") -> list[int]:
    ids = {key_id(platform, number): number for number in range(1, 1000)}
    return [ids[key["id"]] for key in outcome.result["org_api_keys"]]


def expected(emulator: Emulator, platform: str) -> list[dict[str, Any]]:
    """Every key as in the result, derived from the emulator's own state."""
    keys = emulator.state.organizations[org_id(platform)].api_keys.values()
    found = [
        {
            "id": key.id,
            "public_key": key.public_key,
            "created_at": created_at(key.id),
            "description": key.description,
            "roles": sorted(key.roles),
            "projects": [
                {"project_id": project, "roles": sorted(roles)}
                for project, roles in sorted(key.projects.items())
            ],
        }
        for key in keys
    ]
    return sorted(found, key=lambda key: (key["description"], key["id"]))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("check", [True, False])
def test_all_keys_are_listed_in_order(emulator: Emulator, platform: str, check: bool) -> None:
    outcome = run(emulator, platform, check=check, diff=True)
    assert outcome.result["org_api_keys"] == expected(emulator, platform)
    assert numbers(outcome, platform) == IN_ORDER
    assert "diff" not in outcome.result


@pytest.mark.parametrize("platform", ["atlas", "cloud_manager"])
def test_other_kinds_of_credentials_can_list_all_keys(emulator: Emulator, platform: str) -> None:
    token = {"access_token": fetch_token(emulator.url, platform)}
    for credential_name in (service_account(platform), token):
        outcome = run(emulator, platform, **credential_name, access_list=True)
        assert numbers(outcome, platform) == IN_ORDER


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({"api_user_id": 2}, [2]),
    ({"id": 2}, [2]),
    ({"api_user_id": 0}, []),
    ({"public_key": 2}, [2]),
    ({"public_key": 0}, []),
    ({"api_user_id": 2, "public_key": 2}, [2]),
    ({"api_user_id": 2, "public_key": 3}, []),
    ({"description": "twin"}, [4, 5]),
    ({"desc": "twin"}, [4, 5]),
    ({"description": "TWIN", "look_alikes": "ignore"}, []),
    ({"description": "twi*"}, []),
    ({"description": "twin ", "look_alikes": "ignore"}, []),
    ({"description": "twin", "api_user_id": 4}, [4]),
    ({"description": "twin", "api_user_id": 2}, []),
    ({"description_match": "twi*"}, [4, 5]),
    ({"description_match": "TWI*"}, []),
    ({"description_match": "wi"}, []),
    ({"description_match": "*"}, IN_ORDER),
    ({"description_match": "[ms]*"}, [6, 1]),
    ({"description_match": "[!a-z]*"}, [3]),
    ({"description_match": "????"}, [4, 5]),
    ({"description_match": "*☃*"}, [3]),
    ({"description_match": "twi*", "description": "victim"}, []),
    ({"roles": ["ORG_OWNER"]}, [7, 1]),
    ({"roles": ["ORG_OWNER", "ORG_READ_ONLY"]}, [7, 1, 3]),
    ({"roles": ["ORG_MEMBER"]}, [6, 4, 5, 2]),
    ({"roles": "ORG_GROUP_CREATOR"}, [2]),
    ({"roles": ["ORG_BILLING_ADMIN"]}, []),
    ({"roles": []}, []),
    ({"roles": ["ORG_OWNER"], "description_match": "s*"}, [1]),
    ({"project_id": project_id("atlas")}, [2]),
    ({"group_id": project_id("atlas")}, [2]),
    ({"project_id": MISSING_ID}, []),
    ({"project_id": project_id("atlas"), "roles": ["ORG_OWNER"]}, []),
    ({"project_id": project_id("atlas"), "api_user_id": 3}, []),
]


@pytest.mark.parametrize(("options", "found"), FILTERS)
def test_filters_are_combined_with_and(
    emulator: Emulator, options: dict[str, Any], found: list[int]
) -> None:
    for name in ("api_user_id", "id"):
        if isinstance(options.get(name), int):
            options = {
                **options,
                name: key_id("atlas", options[name]) if options[name] else MISSING_ID,
            }
    if isinstance(options.get("public_key"), int):
        number = options["public_key"]
        options = {**options, "public_key": public_key("atlas", number) if number else "zzzzzzzz"}
    outcome = run(emulator, **options)
    assert not outcome.failed
    assert numbers(outcome) == found


@pytest.mark.parametrize(
    ("options", "requests"),
    [
        ({}, ["401", "200"]),
        ({"api_user_id": key_id("atlas", 2)}, ["401", "200"]),
        ({"api_user_id": MISSING_ID}, ["401", "400"]),
        ({"public_key": public_key("atlas", 2)}, ["401", "200"]),
        ({"api_user_id": MISSING_ID, "access_list": True}, ["401", "400"]),
    ],
)
def test_few_requests_are_sent(emulator: Emulator, options: Any, requests: list[str]) -> None:
    assert not run(emulator, **options).failed
    assert [str(request.status) for request in emulator.requests] == requests
    key = f"/{options['api_user_id']}" if "api_user_id" in options else ""
    path = f"{API_PATHS['atlas']}/orgs/{org_id('atlas')}/apiKeys{key}"
    assert {request.path for request in emulator.requests} == {path}


# Access lists


def with_entries(emulator: Emulator, platform: str) -> None:
    keys = emulator.state.organizations[org_id(platform)].api_keys
    keys[key_id(platform, 2)].access_list = ["2001:db8::/32", "192.0.2.7", "192.0.2.0/24"]
    keys[key_id(platform, 3)].access_list = ["198.51.100.9/32"]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("is_old", [True, False])
def test_access_lists_come_with_their_keys(emulator: Emulator, platform: str, is_old: bool) -> None:
    emulator.settings.legacy_whitelist = is_old
    with_entries(emulator, platform)
    entries = {
        2: ["192.0.2.0/24", "192.0.2.7", "2001:db8::/32"],
        3: ["198.51.100.9"],
        7: ["192.0.2.0/24"],
    }
    wanted = expected(emulator, platform)
    for number, key in zip(IN_ORDER, wanted):
        key["access_list"] = entries.get(number, [])
    assert run(emulator, platform, access_list=True).result["org_api_keys"] == wanted
    few = run(emulator, platform, access_list=True, public_key=public_key(platform, 3))
    assert few.result["org_api_keys"] == [wanted[-1]]
    assert "access_list" not in run(emulator, platform).result["org_api_keys"][0]


def test_access_lists_are_read_by_a_few_threads(emulator: Emulator) -> None:
    emulator.reset(seed(extra_keys=100))
    emulator.settings.latency = 0.002
    outcome = run(emulator, access_list=True)
    assert len(outcome.result["org_api_keys"]) == 107
    reads = [request for request in emulator.requests if request.path.endswith("/accessList")]
    assert len([request for request in reads if request.status == 200]) == 107
    threads = org_api_key_info.THREADS
    # One challenge and one connection per thread, in addition to those of the listing.
    assert len([request for request in emulator.requests if request.status == 401]) <= 1 + threads
    assert 1 < emulator.connections <= 1 + threads
    counts = [
        re.search(r'nonce="([^"]+)".*nc=(\w+)', request.headers.get("Authorization", ""))
        for request in emulator.requests
    ]
    signed = [match.groups() for match in counts if match]
    assert len(set(signed)) == len(signed)


def test_a_key_that_is_revoked_in_the_meantime_is_left_out(emulator: Emulator) -> None:
    emulator.settings.visibility_delay = 0
    gone = key_id("atlas", 5)
    fault = Fault(
        "status",
        path=f"*/{gone}/accessList",
        status=400,
        code="API_KEY_NOT_FOUND",
        parameters=[gone],
    )
    emulator.add_fault(fault)
    assert numbers(run(emulator, access_list=True)) == [
        number for number in IN_ORDER if number != 5
    ]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("spelling", ["access_list", "whitelist"])
def test_access_lists_of_other_keys_need_an_owner(
    emulator: Emulator, platform: str, spelling: str
) -> None:
    emulator.settings.code_spelling = spelling
    member = key_pair(platform, 6)
    outcome = run(emulator, platform, access_list=True, **member)
    assert outcome.failed
    assert outcome.code == f"API_KEY_{spelling.upper()}_ACCESS_DENIED"
    assert "org_api_keys" not in outcome.result
    own = run(emulator, platform, access_list=True, api_user_id=key_id(platform, 6), **member)
    assert own.result["org_api_keys"][0]["access_list"] == []


# Errors while keys and access lists are read

PASSING: list[tuple[str, dict[str, Any]]] = [
    ("lost_before", {}),
    ("lost_after", {}),
    ("reset", {}),
    ("garbage", {}),
    ("truncated", {}),
    ("status", {"status": 429, "retry_after": 1}),
    ("status", {"status": 500}),
    ("status", {"status": 503}),
]
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("html", {"status": 404}),
    ("html", {"status": 200}),
    ("redirect", {}),
    ("json", {"body": {}}),
    ("json", {"body": {"results": [{}], "totalCount": 1}}),
    ("status", {"status": 404, "code": "RESOURCE_NOT_FOUND", "parameters": ["/x"]}),
    ("status", {"status": 401, "code": "USER_UNAUTHORIZED"}),
    ("status", {"status": 403, "code": "IP_ADDRESS_NOT_ON_ACCESS_LIST"}),
]
# The listing, the first and the last access list.
PLACES = [("/apiKeys", 0), ("/accessList", 0), ("/accessList", 6)]


def test_after_an_error_the_rest_is_not_read(emulator: Emulator) -> None:
    emulator.reset(seed(extra_keys=200))
    first = key_id("atlas", 100)
    emulator.add_fault(Fault("status", path=f"*/{first}/accessList", status=403, code="X"))
    outcome = run(emulator, access_list=True, description_match="extra*")
    assert outcome.code == "X"
    assert len(emulator.requests) < 150


def test_501_access_lists_are_read_within_the_rate_limit(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.reset(seed(extra_keys=494))
    emulator.clock = clock.now
    emulator.settings.rate_limit = True
    emulator.settings.rate_capacity, emulator.settings.rate_refill = 100, 50
    started = clock.now()
    outcome = run(emulator, access_list=True, clock=clock, retry_max_wait=70)
    assert not outcome.failed, outcome.msg
    assert len(outcome.result["org_api_keys"]) == 501
    assert all("access_list" in key for key in outcome.result["org_api_keys"])
    # There are 503 requests. The limit allows 100 at first, and 50 per minute after that.
    assert clock.now() - started > 8 * 60 > 70


def test_a_rate_limit_that_is_never_refilled_ends_the_task(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The virtual clock would add up the waits of several threads.
    monkeypatch.setattr(org_api_key_info, "THREADS", 1)
    clock = VirtualClock()
    emulator.reset(seed(extra_keys=20))
    emulator.clock = clock.now
    emulator.settings.rate_limit = True
    emulator.settings.rate_capacity, emulator.settings.rate_refill = 10, 0
    started = clock.now()
    outcome = run(emulator, access_list=True, clock=clock, retry_max_wait=70)
    assert outcome.failed
    assert outcome.result["error"]["status"] == 429
    assert clock.now() - started <= 70


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"org_id": ""}, "org_id is empty"),
        ({"org_id": "x"}, "org_id"),
        ({"api_user_id": "abcdefgh"}, "looks like a public key: use public_key"),
        ({"project_id": "shop"}, "project_id is 'shop', which is not a valid ID"),
        (
            {"roles": ["ORG_OWNER", "GROUP_OWNER"]},
            "'GROUP_OWNER' in roles is not an organization role",
        ),
        ({"roles": ["owner"]}, "is not an organization role"),
        ({"roles": ["ORG_OWNER", ""]}, "is not an organization role"),
        ({"access_list": "perhaps"}, "access_list"),
        ({"access_token": "other-token"}, "Two kinds"),
    ],
)
def test_bad_input_is_refused_before_any_request(
    emulator: Emulator, options: dict[str, Any], text: str
) -> None:
    outcome = run(emulator, **{**key_pair("atlas"), **options})
    assert outcome.failed
    assert text in outcome.msg
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"org_id": "f" * 24}, "ORG_NOT_FOUND"),
        ({"org_id": org_id("cloud_manager")}, "USER_CANNOT_ACCESS_ORG"),
        ({"org_id": "f" * 24, "api_user_id": MISSING_ID}, "ORG_NOT_FOUND"),
        (key_pair("atlas", 7), "IP_ADDRESS_NOT_ON_ACCESS_LIST"),
        ({**key_pair("atlas"), "api_private_key": "nonsense"}, "UNEXPECTED_ERROR"),
    ],
)
def test_a_refusal_is_not_an_empty_list(emulator: Emulator, options: Any, code: str) -> None:
    outcome = run(emulator, **options)
    assert outcome.failed
    assert outcome.code == code
    assert "org_api_keys" not in outcome.result


# The filters, compared with an oracle


class FakeApi:
    """A client for one organization, whose keys are in the API's JSON format."""

    endpoint = SimpleNamespace(public_key=None)

    def __init__(self, keys: list[dict[str, Any]]) -> None:
        self.keys = {key["id"]: key for key in keys}

    def get(self, call: Any, parse: Any, _until: Any = None) -> Any:
        key = call.path.rpartition("/")[2]
        if key not in self.keys:
            request = Request("GET", "https://h", call.path, "read")
            raise ApiError("x", request=request, status=400, code="API_KEY_NOT_FOUND")
        return parse(self.keys[key])

    def pages(self, _path: str, parse: Any, _identity: Any, **_more: Any) -> list[Any]:
        return [parse(key) for key in self.keys.values()]


def oracle(keys: list[dict[str, Any]], options: dict[str, Any]) -> list[str]:
    """Return the IDs of the matching keys, found in the simplest way."""
    found = []
    for key in keys:
        org_roles = [role["roleName"] for role in key["roles"] if "orgId" in role]
        projects = [role["groupId"] for role in key["roles"] if "groupId" in role]
        checks = [
            options["api_user_id"] is None or key["id"] == options["api_user_id"],
            options["public_key"] is None or key["publicKey"] == options["public_key"],
            options["description"] is None or key["desc"] == options["description"],
            # A pattern never selects a key without a description.
            options["description_match"] is None
            or (key["desc"] and globs(key["desc"], options["description_match"])),
            options["roles"] is None or any(role in options["roles"] for role in org_roles),
            options["project_id"] is None or options["project_id"] in projects,
        ]
        if all(checks):
            found.append((key["desc"], key["id"]))
    return [key for _description, key in sorted(found)]


def globs(text: str, pattern: str) -> bool:
    """Return whether a pattern of letters, ? and * matches."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return globs(text, pattern[1:]) or (bool(text) and globs(text[1:], pattern))
    return bool(text) and pattern[0] in {"?", text[0]} and globs(text[1:], pattern[1:])


ROLES = ["ORG_OWNER", "ORG_MEMBER", "ORG_READ_ONLY"]
PROJECTS = ["1" * 24, "2" * 24]
IDS = ["a" * 24, "b" * 24, "c" * 24, "d" * 24]
PUBLIC_KEYS = {key: key[:8] for key in IDS}


@st.composite
def keys_of_an_organization(draw: Any) -> list[dict[str, Any]]:
    def roles() -> list[dict[str, str]]:
        of_org = draw(st.lists(st.sampled_from(ROLES), max_size=3))
        of_project = draw(st.lists(st.sampled_from(PROJECTS), max_size=3))
        return [
            *({"roleName": role, "orgId": "0" * 24} for role in of_org),
            *({"roleName": "GROUP_OWNER", "groupId": project} for project in of_project),
        ]

    return [
        {
            "id": key,
            "desc": draw(st.text("aB", max_size=3)),
            "publicKey": PUBLIC_KEYS[key],
            "privateKey": "********",
            "roles": roles(),
        }
        for key in draw(st.lists(st.sampled_from(IDS), unique=True))
    ]


FITTING = st.fixed_dictionaries(
    {
        "api_user_id": st.none() | st.sampled_from(IDS),
        "public_key": st.none() | st.sampled_from(sorted(PUBLIC_KEYS.values())),
        "description": st.none() | st.text("aB", min_size=1, max_size=3),
        "description_match": st.none() | st.text("aB?*", min_size=1, max_size=4),
        "roles": st.none() | st.lists(st.sampled_from([*ROLES, "ORG_ELSE"]), max_size=3),
        "project_id": st.none() | st.sampled_from([*PROJECTS, "3" * 24]),
    }
)
NO_FILTER: dict[str, Any] = dict.fromkeys(
    ("api_user_id", "public_key", "description", "description_match", "roles", "project_id")
)


@given(keys_of_an_organization(), FITTING)
@example([{"id": IDS[0], "desc": "", "publicKey": "aaaaaaaa", "roles": []}], NO_FILTER)
@example(
    [{"id": IDS[0], "desc": "", "publicKey": "aaaaaaaa", "roles": []}],
    {**NO_FILTER, "description_match": "*"},
)
@example([], NO_FILTER)
def test_filters_find_the_same_keys_as_an_oracle(
    keys: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    guard = {"look_alikes": "ignore"}
    params = {**options, **guard, "org_id": "0" * 24, "access_list": False, "time_limit": None}
    result = org_api_key_info.run(params, FakeApi(keys), False)  # type: ignore[arg-type]
    assert [key["id"] for key in result["org_api_keys"]] == oracle(keys, options)
    assert result["changed"] is False
    assert "privateKey" not in str(result)
    assert "********" not in str(result)


def test_a_hidden_public_key_may_be_the_requested_one() -> None:
    keys = [{"id": IDS[0], "desc": "", "publicKey": None, "roles": []}]
    guard = {"look_alikes": "refuse"}
    params = {**NO_FILTER, **guard, "org_id": "0" * 24, "access_list": False, "time_limit": None}
    listed = org_api_key_info.run(params, FakeApi(keys), False)  # type: ignore[arg-type]
    assert listed["org_api_keys"][0]["public_key"] is None
    with pytest.raises(AmbiguousError, match=IDS[0]):
        org_api_key_info.run({**params, "public_key": "bbbbbbbb"}, FakeApi(keys), False)  # type: ignore[arg-type]


def test_a_time_limit_stops_reading_access_lists(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(org_api_key_info, "THREADS", 1)
    clock = VirtualClock()
    emulator.clock = clock.now
    # Each response is slow, so no wait of the module could notice that the limit is reached.
    emulator.sleep = lambda _seconds: clock.sleep(2)
    emulator.add_fault(Fault("slow", "GET", "*/accessList", times=None))
    outcome = run(emulator, access_list=True, time_limit=1, clock=clock)
    assert outcome.failed
    assert outcome.result["error"]["type"] == "limit"
    assert "time_limit: 1 s" in outcome.msg
    assert "The access lists of 1 of 7 keys were read. No keys are returned" in outcome.msg
    assert "org_api_keys" not in outcome.result
    read = [r for r in emulator.requests if r.path.endswith("/accessList") and r.status == 200]
    assert len(read) == 1


def test_the_task_waits_for_the_window_of_the_token_endpoint(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock = clock.now
    emulator.settings.token_requests_per_minute = 1
    account = service_account("atlas")
    for _task in range(2):
        outcome = run(emulator, access_list=True, clock=clock, **account)
        assert not outcome.failed, outcome.msg
    assert clock.now() - 1000 >= 60
    outcome = run(emulator, clock=clock, retry_max_wait=50, **account)
    assert outcome.result["error"]["type"] == "limit"
    assert outcome.result["error"]["path"] == "/api/oauth/token"
    assert [r.method for r in emulator.requests[-2:]] == ["POST", "POST"]


def test_threads_whose_token_has_expired_wait_for_the_window_together(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.reset(seed(extra_keys=20))
    emulator.clock = clock.now
    emulator.settings.token_requests_per_minute = 1
    emulator.settings.token_lifetime = 30
    # The rate limit keeps the task busy until its token expires, within that minute.
    emulator.settings.rate_limit, emulator.settings.rate_period = True, 40
    emulator.settings.rate_capacity, emulator.settings.rate_refill = 10, 400
    account = service_account("atlas")
    outcome = run(emulator, access_list=True, clock=clock, **account)
    assert not outcome.failed, outcome.msg
    assert len(outcome.result["org_api_keys"]) == 27
    assert clock.now() - 1000 >= 60
    tokens = [r.status for r in emulator.requests if r.path == "/api/oauth/token"]
    assert tokens == [200, 429, 200]


def test_a_task_reports_a_rate_limit_of_the_token_endpoint(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not report the 401 that made it request another token."""
    monkeypatch.setattr(org_api_key_info, "THREADS", 1)
    clock = VirtualClock()
    emulator.clock = clock.now
    emulator.settings.token_requests_per_minute = 1
    emulator.settings.token_lifetime = 30
    emulator.settings.rate_limit, emulator.settings.rate_period = True, 31
    emulator.settings.rate_capacity, emulator.settings.rate_refill = 3, 400
    account = service_account("atlas")
    outcome = run(emulator, access_list=True, clock=clock, retry_max_wait=40, **account)
    assert outcome.failed
    error = outcome.result["error"]
    assert (error["type"], error["status"], error["path"]) == ("limit", 429, "/api/oauth/token")
