# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access lists: entries, goals, and what happens after concurrent changes."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    CancelledError,
    LimitError,
    LostResponseError,
    MissingError,
    OptionError,
    Request,
    UnexpectedResponseError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _project_service_accounts,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._access_lists import (
    AccessList,
    Goal,
    beyond,
    change,
    in_order,
    normalize,
    parse_entry,
    read,
    to_api,
    to_display,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._key_access_lists import (
    API_KEY_LISTS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    SECOND_LOOK,
)
from tests.support import VirtualClock

ORG = "5980cfdf0b6d97029d82f86e"
KEY = OrgApiKey("32b6e34b3d91647abb20e7b8", "d", "abcdefgh", ("ORG_MEMBER",), ())
A, B, C = "192.0.2.7", "198.51.100.0/24", "2001:db8::/32"
# As sent in requests.
C_SENT = "2001:db8:0:0:0:0:0:0/32"


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("0.0.0.0", "0.0.0.0"),
        ("::/0", "::/0"),
        ("::1/128", "::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:0db8::/32", "2001:db8::/32"),
    ],
)
def test_an_entry_is_normalized(entry: str, shown: str) -> None:
    assert in_order(normalize([entry])) == [shown]


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        " 10.0.0.1",
        "10.0.0.1\n",
        "10.0.0.1 ",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/",
        "10.0.0.0/8/8",
        "10.0.0.1-10.0.0.9",
        "2001:db8::/129",
        "fe80::1%eth0",
        "fe80::%eth0/64",
        "office.example.com",
        "167772161",
        "None",
        "1\u0660.0.0.1",
    ],
)
def test_an_invalid_entry_is_refused(entry: str) -> None:
    with pytest.raises(OptionError) as caught:
        normalize(["192.0.2.1", entry])
    assert "not an IP address or CIDR block" in caught.value.message()
    assert entry.strip() in caught.value.message()


@pytest.mark.parametrize(
    ("entry", "network", "address"),
    [
        ("10.0.0.1/24", "10.0.0.0/24", "10.0.0.1"),
        ("10.0.0.1/0", "0.0.0.0/0", "10.0.0.1"),
        ("2001:db8::1/64", "2001:db8::/64", "2001:db8::1"),
        ("10.0.0.1/255.255.255.0", "10.0.0.0/24", "10.0.0.1"),
    ],
)
def test_host_bits_are_refused_and_the_network_is_suggested(
    entry: str, network: str, address: str
) -> None:
    with pytest.raises(OptionError) as caught:
        normalize([entry])
    message = caught.value.message()
    assert f"'{entry}'" in message
    assert f"has host bits set. Use {network} or {address}." in message


def test_a_long_entry_is_not_shown() -> None:
    with pytest.raises(OptionError, match="entries has …, which is not an IP address"):
        normalize(["1" * 100])


def test_duplicates_are_dropped_and_the_order_is_numerical() -> None:
    entries = ["::1", "10.0.0.10", "10.0.0.9", "10.0.0.9/32", "9.0.0.0/8", "9.0.0.0/16", "0::1/128"]
    assert in_order(normalize(entries)) == [
        "9.0.0.0/8",
        "9.0.0.0/16",
        "10.0.0.9",
        "10.0.0.10",
        "::1",
    ]


@given(st.ip_addresses())
def test_every_address_is_accepted_in_every_form(address: Any) -> None:
    forms = [str(address), address.exploded, f"{address}/{address.max_prefixlen}"]
    assert in_order(normalize(forms)) == [str(address)]


@given(st.ip_addresses(), st.data())
def test_a_block_is_accepted_only_without_host_bits(address: Any, data: Any) -> None:
    length = data.draw(st.integers(0, address.max_prefixlen - 1))
    network = ipaddress.ip_network((address, length), strict=False)
    assert normalize([str(network)]) == {network}
    assert to_display(network) == str(network)
    if address != network.network_address:
        with pytest.raises(OptionError, match="host bits set"):
            normalize([f"{address}/{length}"])


@given(st.one_of(st.text(), st.text("0123456789abcdef.:/%", max_size=20)))
def test_any_text_is_accepted_or_refused(text: str) -> None:
    try:
        networks = normalize([text])
    except OptionError:
        return
    assert normalize(in_order(networks)) == networks


networks = st.frozensets(
    st.sampled_from([A, "192.0.2.8", B, "198.51.0.0/16", C, "2001:db8::1", "0.0.0.0/0"]).map(
        ipaddress.ip_network
    )
)


@given(networks, networks, st.booleans(), st.booleans())
def test_a_goal_is_idempotent(current: Any, entries: Any, is_present: bool, purge: bool) -> None:
    goal = Goal(entries, is_present, purge)
    after = goal.of(current)
    assert goal.of(after) == after
    if is_present:
        assert entries <= after
        assert after <= (entries if purge else entries | current)
    else:
        assert not entries & after
        assert after == current - entries


@pytest.mark.parametrize(
    ("data", "network", "word"),
    [
        ({"ipAddress": A}, A, A),
        ({"ipAddress": A, "cidrBlock": f"{A}/32"}, A, A),
        ({"ipAddress": None, "cidrBlock": f"{A}/32"}, A, f"{A}/32"),
        ({"ipAddress": None, "cidrBlock": B}, B, B),
        ({"cidrBlock": B}, B, B),
        ({"ipAddress": "198.51.100.0", "cidrBlock": B}, B, B),
        ({"ipAddress": B}, B, B),
        # Created by another tool, and written in an unusual way.
        ({"cidrBlock": "198.51.100.9/24"}, B, "198.51.100.9/24"),
        ({"ipAddress": "2001:db8:0:0:0:0:0:1"}, "2001:db8::1", "2001:db8:0:0:0:0:0:1"),
    ],
)
def test_an_entry_is_parsed_and_its_text_is_kept(data: Any, network: str, word: str) -> None:
    assert parse_entry(data) == (ipaddress.ip_network(network), word)


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (A, A),
        (B, B),
        (f"{A}/32", A),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("::/0", "0:0:0:0:0:0:0:0/0"),
        ("2001:db8::10/124", "2001:db8:0:0:0:0:0:10/124"),
        ("2001:DB8:0000::0001/128", "2001:db8:0:0:0:0:0:1"),
    ],
)
def test_ipv6_addresses_are_sent_in_full(entry: str, word: str) -> None:
    (network,) = normalize([entry])
    assert to_api(network) == word
    assert normalize([word]) == {network}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "ipAddress is missing"),
        ({"ipAddress": None}, "ipAddress is missing"),
        ({"ipAddress": 5}, "ipAddress is a number"),
        ({"cidrBlock": ["10.0.0.0/8"]}, "cidrBlock is an unexpected list"),
        ({"cidrBlock": "everywhere"}, "cidrBlock is an unexpected string"),
        ({"ipAddress": "", "cidrBlock": ""}, "ipAddress is an unexpected string"),
        ({"ipAddress": A, "cidrBlock": 8}, "cidrBlock is a number"),
        ({"ipAddress": "x", "cidrBlock": f"{A}/32"}, "ipAddress is an unexpected string"),
    ],
)
def test_an_unreadable_field_of_an_entry_is_reported(data: Any, text: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse_entry(data)
    assert str(caught.value) == f"an entry of the access list: {text}"


def test_a_result_shows_before_and_after() -> None:
    before, now = normalize([A, C]), normalize([B, A])
    result = AccessList(
        API_KEY_LISTS, API_KEYS.of(ORG), KEY, "accessList", {}, before, now
    ).result()
    assert result == {
        "changed": True,
        "org_api_key_access_list": {
            "api_user_id": KEY.id,
            "public_key": "abcdefgh",
            "entries": [A, B],
        },
        "diff": {"before": {"entries": [A, C]}, "after": {"entries": [A, B]}},
    }
    assert not _access_lists.of_new(API_KEY_LISTS, ORG, KEY, "accessList").result()["changed"]


def api_error(
    status: int, code: str | None, *parameters: Any, outcome_unknown: bool = False
) -> ApiError:
    request = Request("GET", "https://h", "/p", "do it")
    error = ApiError("x", request=request, status=status, code=code, parameters=parameters)
    error.outcome_unknown = outcome_unknown
    return error


def lost() -> LostResponseError:
    error = LostResponseError("lost", request=Request("POST", "https://h", "/p", "do it"))
    error.outcome_unknown = True
    return error


class FakeApi:
    """A client with an access list. ``script``: what each write raises or does.

    An error is raised. "stop" stops the task after the write. A list of entries replaces the access
    list just before the write, as if by another user. A pair does both. ``shown`` contains the
    lists that the next reads return instead of the real one.
    """

    def __init__(
        self, *entries: str, script: Any = (), shown: Any = (), platform: Any = OPS_MANAGER
    ) -> None:
        self.virtual = VirtualClock()
        self.clock = Clock(self.virtual.now, self.virtual.sleep, self.virtual.random)
        self.cancellation = Cancellation(self.clock)
        self.endpoint = SimpleNamespace(platform=platform, public_key=None)
        self.entries = list(entries)
        self.script = list(script)
        self.shown = list(shown)
        self.key_looks: list[bool] = []
        self.calls: list[str] = []

    def pages(self, call: Call, parse: Any, identity: Any) -> list[Any]:
        operation = f"read the access list of the API key {KEY}"
        assert (call.operation, call.required_role) == (operation, "Organization Member")
        self.calls.append(f"GET {call.path.rpartition('/')[2]}")
        shown = self.shown.pop(0) if self.shown else self.entries
        if isinstance(shown, Exception):
            raise shown
        found = [parse({"cidrBlock" if "/" in entry else "ipAddress": entry}) for entry in shown]
        assert len({identity(entry) for entry in found}) == len(found)
        return found

    def post(self, call: Call, body: Any, parse: Any) -> Any:
        assert call.operation.endswith(f" to the access list of the API key {KEY}")
        assert call.required_role == "Organization Owner"
        added = [next(iter(item.values())) for item in body]
        assert all(("cidrBlock" in item) == ("/" in next(iter(item.values()))) for item in body)
        self.calls.append(f"POST {' '.join(added)}")
        self._next(lambda: self.entries.extend(added))
        shown = [{"cidrBlock" if "/" in entry else "ipAddress": entry} for entry in self.entries]
        return parse({"results": shown})

    def get(self, call: Call, *_arguments: Any) -> Any:
        """Return the key itself for a second look, or report that it is missing."""
        assert call.path == f"/orgs/{ORG}/apiKeys/{KEY.id}"
        self.calls.append("GET key")
        if self.key_looks and self.key_looks.pop(0):
            return KEY
        raise api_error(400, "API_KEY_NOT_FOUND", KEY.id)

    def delete(self, call: Call) -> None:
        assert call.operation.endswith(f" from the access list of the API key {KEY}")
        assert call.required_role == "Organization Owner"
        word = call.path.rpartition("/")[2].replace("%2F", "/").replace("%3A", ":")
        self.calls.append(f"DELETE {word}")
        self._next(lambda: self.entries.remove(word))

    def _next(self, write: Any) -> None:
        step = self.script.pop(0) if self.script else None
        others, error = step if isinstance(step, tuple) else (step, step)
        failure: Exception | None = error if isinstance(error, Exception) else None
        if isinstance(others, list):
            self.entries = others
        if others == "stop":
            self.cancellation.set_limit(0)
        if others == "done":
            write()
        if failure is not None:
            raise failure
        write()


def work(api: Any, goal: Goal) -> AccessList[OrgApiKey]:
    return change(api, read(api, API_KEY_LISTS, ORG, KEY), goal)


def entries(networks: Any) -> list[str]:
    return in_order(networks)


def test_additions_are_sent_in_one_request_before_removals() -> None:
    api = FakeApi(A, "10.0.0.0/8")
    done = work(api, Goal(normalize([C, B, A]), purge=True))
    assert api.calls == ["GET accessList", f"POST {B} {C_SENT}", "DELETE 10.0.0.0/8"]
    assert done.is_changed
    assert entries(done.now) == [A, B, C]


def test_an_entry_is_removed_by_the_text_that_the_api_shows() -> None:
    api = FakeApi("198.51.100.9/24", "2001:db8:0:0:0:0:0:1")
    work(api, Goal(normalize([B, "2001:db8::1"]), is_present=False))
    assert api.calls[1:] == ["DELETE 198.51.100.9/24", "DELETE 2001:db8:0:0:0:0:0:1"]
    assert api.entries == []


SPELLINGS = [["198.51.100.9/24", B], [B, "198.51.100.9/24"], ["2001:db8:0::1", "2001:db8::1"]]


@pytest.mark.parametrize("spellings", SPELLINGS)
def test_an_entry_with_two_spellings_is_removed_completely(spellings: Any) -> None:
    api = FakeApi(A, *spellings)
    done = work(api, Goal(normalize([A]), purge=True))
    assert api.entries == [A]
    assert entries(done.now) == [A]
    assert len(entries(done.before)) == 2


GONE = api_error(404, "API_KEY_ACCESS_LIST_NOT_FOUND", B, KEY.id)


@pytest.mark.parametrize(
    ("script", "is_changed"),
    [
        ([([B], GONE), None], True),
        # Or the API removes both in response to one request.
        ([None, ([], GONE)], True),
        ([([], GONE), GONE], False),
    ],
)
def test_removing_two_spellings_is_a_change_unless_others_removed_both(
    script: Any, is_changed: bool
) -> None:
    api = FakeApi(*SPELLINGS[0], script=script)
    done = work(api, Goal(normalize([B]), is_present=False))
    assert done.is_changed is is_changed
    assert entries(done.now) == []
    assert api.entries == []


def test_an_entry_still_exists_if_one_of_its_spellings_cannot_be_removed() -> None:
    api = FakeApi(*SPELLINGS[0], script=[None, lost()])
    with pytest.raises(LostResponseError) as caught:
        work(api, Goal(normalize([B]), is_present=False))
    assert caught.value.results["org_api_key_access_list"]["entries"] == [B]
    assert api.entries == [B]


CONFLICTS = ["ADDRESS_ALREADY_IN_ACCESS_LIST", "ADDRESS_ALREADY_IN_WHITELIST"]


@pytest.mark.parametrize("code", CONFLICTS)
def test_a_conflict_loses_no_other_addition(code: str) -> None:
    api = FakeApi(script=[([A], api_error(409, code, A))])
    done = work(api, Goal(normalize([A, B, C])))
    assert api.calls == [
        "GET accessList",
        f"POST {A} {B} {C_SENT}",
        "GET accessList",
        f"POST {B} {C_SENT}",
    ]
    assert entries(done.before) == [A]
    assert entries(done.now) == [A, B, C]
    assert sorted(api.entries) == [A, B, C_SENT]


def test_a_conflict_without_an_address_is_retried_for_a_few_seconds() -> None:
    error = api_error(409, CONFLICTS[0])
    api = FakeApi(script=[error] * 2, shown=[[], [], [A]])
    done = work(api, Goal(normalize([A, B])))
    assert api.calls[-1] == f"POST {B}"
    assert entries(done.now) == [A, B]
    api = FakeApi(script=[error] * 99)
    with pytest.raises(ApiError) as caught:
        work(api, Goal(normalize([A])))
    assert caught.value.code == CONFLICTS[0]
    assert caught.value.results["changed"] is False
    assert sum(api.virtual.sleeps) < 10


@pytest.mark.parametrize(
    "code",
    [
        "API_KEY_ACCESS_LIST_NOT_FOUND",
        "API_KEY_ACCESS_LIST_ENTRY_NOT_FOUND",
        "API_KEY_WHITELIST_NOT_FOUND",
    ],
)
@pytest.mark.parametrize("outcome_unknown", [True, False])
def test_a_missing_entry_is_a_change_only_if_this_task_may_have_removed_it(
    code: str, outcome_unknown: bool
) -> None:
    api = FakeApi(
        A, script=[([], api_error(404, code, A, KEY.id, outcome_unknown=outcome_unknown))]
    )
    done = work(api, Goal(normalize([A]), is_present=False))
    assert done.is_changed is outcome_unknown
    assert entries(done.now) == []


@pytest.mark.parametrize(
    "error",
    [
        api_error(404, "RESOURCE_NOT_FOUND", A),
        api_error(404, None),
        api_error(404, "ORG_NOT_FOUND"),
        api_error(401, "API_KEY_ACCESS_LIST_NOT_FOUND"),
        api_error(403, "API_KEY_ACCESS_LIST_NOT_FOUND"),
    ],
)
def test_nothing_else_means_that_an_entry_is_missing(error: ApiError) -> None:
    with pytest.raises(ApiError) as caught:
        work(FakeApi(A, script=[error]), Goal(normalize([A]), is_present=False))
    assert caught.value.results["org_api_key_access_list"]["entries"] == [A]


@pytest.mark.parametrize(
    ("error", "others", "is_gone"),
    [
        (api_error(404, "X", A), [B], True),
        (api_error(404, None), [B], True),
        (api_error(404, "X", A), [A, B], False),
        (api_error(400, "X", A), [B], True),
        (api_error(400, "X", A), [A, B], False),
        (api_error(403, "X", A), [B], False),
        (api_error(404, "RESOURCE_NOT_FOUND", "/api/x"), [B], False),
    ],
)
def test_without_known_codes_the_list_shows_whether_an_entry_exists(
    error: ApiError, others: list[str], is_gone: bool
) -> None:
    lists = replace(API_KEY_LISTS, missing=frozenset())
    api: Any = FakeApi(A, B, script=[(others, error)])
    found, goal = read(api, lists, ORG, KEY), Goal(normalize([A]), is_present=False)
    if is_gone:
        done = change(api, found, goal)
        assert (done.is_changed, entries(done.now)) == (False, [B])
        return
    with pytest.raises(ApiError) as caught:
        change(api, found, goal)
    assert (caught.value.status, caught.value.code) == (error.status, error.code)


def test_a_task_that_is_stopped_between_two_requests_reports_the_list() -> None:
    api = FakeApi(A, script=["stop"])
    with pytest.raises(CancelledError) as caught:
        work(api, Goal(normalize([B]), purge=True))
    assert api.calls == ["GET accessList", f"POST {B}"]
    assert caught.value.results["changed"] is True
    assert caught.value.results["org_api_key_access_list"]["entries"] == [A, B]
    assert entries(caught.value.now.now) == [A, B]
    assert f"now has {A}, {B}. Run the task again" in caught.value.message()


def test_an_unreadable_list_after_a_conflict_is_reported() -> None:
    conflict = api_error(409, CONFLICTS[0], A)
    api = FakeApi(C, script=[(["10.0.0.0/8"], conflict)], shown=[[C], api_error(503, "X")])
    with pytest.raises(ApiError) as caught:
        work(api, Goal(normalize([A, B])))
    assert caught.value.status == 503
    assert caught.value.results["changed"] is False
    assert caught.value.results["org_api_key_access_list"]["entries"] == [C]
    assert [call for call in api.calls if call.startswith("POST")] == [f"POST {A} {B}"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [({"results": []}, True), ({"results": {}}, None), ({}, None), ([], None), (None, None)],
)
def test_the_response_to_additions_must_be_a_list(data: Any, expected: bool | None) -> None:
    assert _access_lists._parse_list(data, API_KEYS, frozenset()) is expected


@pytest.mark.parametrize(
    ("shown", "more", "is_contradiction"),
    [
        ([A, B], {}, False),
        ([A], {}, True),
        ([A], {"totalCount": 1}, True),
        # The entry may be on another page.
        ([A], {"totalCount": 2}, False),
        ([A], {"totalCount": "1"}, False),
        ([A, None], {}, False),
    ],
)
def test_the_response_to_additions_must_show_them(
    shown: list[Any], more: dict[str, Any], is_contradiction: bool
) -> None:
    data = {"results": [entry and {"cidrBlock": entry} for entry in shown], **more}
    added = networks(A, B)
    if not is_contradiction:
        assert _access_lists._parse_list(data, API_KEYS, added) is True
        return
    with pytest.raises(UnexpectedResponseError) as caught:
        _access_lists._parse_list(data, API_KEYS, added)
    assert f"shows a list without {B}" in caught.value.message()


def networks(*entries: str) -> frozenset[Any]:
    return frozenset(map(ipaddress.ip_network, entries))


HALVES = ("0.0.0.0/1", "128.0.0.0/1")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (None, (), "becomes empty"),
        ((A,), (), "becomes empty"),
        ((), (), None),
        ((A,), (B,), None),
        (None, (A, C), None),
        ((), ("0.0.0.0/0",), "will allow every IPv4 address"),
        ((A,), ("::/0", A), "will allow every IPv6 address"),
        ((A,), ("::/0", "0.0.0.0/0"), "will allow every IPv4 and IPv6 address"),
        (None, HALVES, "will allow every IPv4 address"),
        (HALVES, ("0.0.0.0/0",), None),
        (("0.0.0.0/0",), ("0.0.0.0/0", "::/0"), "will allow every IPv6 address"),
        (("0.0.0.0/0",), (A,), None),
        ((), ("0.0.0.0/1",), None),
    ],
)
def test_a_list_that_no_longer_limits_anything_is_reported(
    before: tuple[str, ...] | None, after: tuple[str, ...], words: str | None
) -> None:
    api: Any = SimpleNamespace(warnings=[])
    old = None if before is None else networks(*before)
    _access_lists.warn_of_opening(api, API_KEYS, KEY.id, old, networks(*after))
    if words is None:
        assert api.warnings == []
        return
    (warning,) = api.warnings
    assert f"The access list of API key {KEY.id} {words}" in warning


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (198, 200, None),
        (0, 201, "would have 201 entries, but the API allows 200. Nothing was changed"),
        # Nothing is added.
        (300, 300, None),
        (300, 299, None),
    ],
)
def test_a_list_must_not_become_too_long(before: int, now: int, words: str | None) -> None:
    check_size(planned(range(before), range(now)), words)


def test_entries_that_will_be_removed_count() -> None:
    words = "would have 201 entries until others are removed, but the API allows 200"
    check_size(planned(range(101), range(100, 201)), words)
    check_size(planned(range(101), range(100, 200)), None)


def planned(before: range, now: range) -> AccessList[Any]:
    lists: list[Any] = [
        frozenset(ipaddress.ip_network(f"192.0.{n // 256}.{n % 256}") for n in numbers)
        for numbers in (before, now)
    ]
    return AccessList(
        _project_service_accounts.ACCOUNT_LISTS, API_KEYS.of(ORG), KEY, "accessList", {}, *lists
    )


def check_size(planned: AccessList[Any], words: str | None) -> None:
    if words is None:
        _access_lists.check_size(planned)
        return
    with pytest.raises(LimitError) as caught:
        _access_lists.check_size(planned)
    assert f"The access list of API key {KEY} {words}" in caught.value.message()
    assert "Use CIDR blocks" in caught.value.message()


def test_after_a_lost_response_additions_are_looked_up_and_not_sent_again() -> None:
    api = FakeApi(C, script=[("done", lost())], shown=[[C], [C], [C]])
    done = work(api, Goal(normalize([A, B])))
    # The list shows it late.
    assert [call[:4] for call in api.calls] == ["GET ", "POST", "GET ", "GET ", "GET "]
    assert done.is_changed
    assert entries(done.now) == [A, B, C]


@pytest.mark.parametrize("shown", [[C], [A, C]])
def test_lost_additions_that_were_not_made_fail_and_report_the_list(shown: Any) -> None:
    api = FakeApi(C, script=[(shown, lost())])
    with pytest.raises(LostResponseError) as caught:
        work(api, Goal(normalize([A, B])))
    assert [call for call in api.calls if call.startswith("POST")] == [f"POST {A} {B}"]
    assert caught.value.results["org_api_key_access_list"]["entries"] == shown
    assert caught.value.results["changed"] is (A in shown)
    assert f"read again and now has {', '.join(shown)}." in caught.value.message()


@pytest.mark.parametrize(
    "failure", [api_error(503, None), CancelledError("the time limit was reached")]
)
def test_lost_additions_and_an_unreadable_list_are_reported(failure: Any) -> None:
    api = FakeApi(C, script=[lost()], shown=[[C], failure])
    with pytest.raises(LostResponseError) as caught:
        work(api, Goal(normalize([A])))
    message = caught.value.message()
    assert message == (
        f"Could not do it: lost. Before this request the access list had {C}. Whether {A} was "
        "changed is not known, because the list cannot be read now. Run the task again to find "
        "out; that is safe."
    )
    assert caught.value.results["org_api_key_access_list"]["entries"] == [C]
    assert entries(caught.value.now.now) == [C]


def test_a_lost_removal_is_looked_up() -> None:
    goal = Goal(normalize([A, B]), is_present=False)
    api = FakeApi(A, B, C, script=[None, ("done", lost())])
    assert entries(work(api, goal).now) == [C]
    api = FakeApi(A, B, C, script=[None, lost()])
    with pytest.raises(LostResponseError) as caught:
        work(api, goal)
    assert caught.value.results["changed"] is True
    assert caught.value.results["org_api_key_access_list"]["entries"] == [B, C]


def test_a_failed_removal_reports_earlier_changes_that_are_not_shown_yet() -> None:
    old = ["10.0.0.0/8", "10.1.0.0/16"]
    api = FakeApi(
        *old, script=[None, None, api_error(500, None, outcome_unknown=True)], shown=[old] * 9
    )
    with pytest.raises(ApiError) as caught:
        work(api, Goal(normalize([A]), purge=True))
    results = caught.value.results
    assert results["org_api_key_access_list"]["entries"] == ["10.1.0.0/16", A]
    assert results["diff"]["before"]["entries"] == old


@pytest.mark.parametrize("outcome_unknown", [True, False])
@pytest.mark.parametrize("missing", ["POST", "DELETE", "GET"])
def test_a_key_that_is_revoked_in_the_meantime_is_reported_as_missing(
    missing: str, outcome_unknown: bool
) -> None:
    error = api_error(400, "API_KEY_NOT_FOUND", KEY.id, outcome_unknown=outcome_unknown)
    api: Any = FakeApi(
        A,
        script=[None] * (missing == "DELETE") + [error] * 20,
        shown=[error] if missing == "GET" else [],
    )
    with pytest.raises(MissingError, match="does not find") as caught:
        work(api, Goal(normalize([B]), purge=True))
    assert caught.value.results.get("changed", False) is (missing == "DELETE")
    assert caught.value.outcome_unknown is outcome_unknown
    assert f"the API key {KEY}" in caught.value.message()


def test_a_second_read_confirms_that_a_key_was_revoked_in_the_meantime() -> None:
    api: Any = FakeApi(A, script=[api_error(400, "API_KEY_NOT_FOUND", KEY.id)])
    with pytest.raises(MissingError) as caught:
        work(api, Goal(normalize([A]), is_present=False))
    assert api.calls[1:] == [f"DELETE {A}", "GET key"]
    assert f"does not find the API key {KEY}, " in caught.value.message()
    assert caught.value.state_after.startswith("A second read some seconds later")


@pytest.mark.parametrize("refusals", [1, 4])
def test_additions_for_a_key_that_is_not_known_yet_are_sent_again(refusals: int) -> None:
    error = api_error(400, "API_KEY_NOT_FOUND", KEY.id)
    api = FakeApi(script=[error] * refusals)
    assert entries(work(api, Goal(normalize([A]))).now) == [A]
    assert [call for call in api.calls if call[:4] == "POST"] == [f"POST {A}"] * (refusals + 1)


def test_a_removal_is_sent_again_if_the_key_is_shown_again() -> None:
    api = FakeApi(A, script=[api_error(400, "API_KEY_NOT_FOUND", KEY.id)])
    api.key_looks = [True]
    assert work(api, Goal(normalize([A]), is_present=False)).is_changed
    assert api.calls[1:] == [f"DELETE {A}", "GET key", f"DELETE {A}"]
    assert api.virtual.sleeps == [SECOND_LOOK]


@pytest.mark.parametrize("shown", [[], [[], [A]]])
def test_a_list_that_contradicts_the_additions_is_read_again(shown: Any) -> None:
    """The task succeeds if the list shows them then. Otherwise it fails and reports the list."""
    api = FakeApi()
    api.post = lambda _path, _body, parse, **_more: parse({"results": [], "totalCount": 0})  # type: ignore[method-assign]
    api.shown = shown
    if shown:
        assert work(api, Goal(normalize([A]))).is_changed
        return
    with pytest.raises(UnexpectedResponseError, match=f"a list without {A}") as caught:
        work(api, Goal(normalize([A])))
    assert caught.value.results["changed"] is False
    assert "read again and now has no entries" in caught.value.message()
    assert caught.value.type == "unexpected_response"


PATH = "/api/public/v1.0/orgs/x/apiKeys/y/accessList"


@pytest.mark.parametrize("parameters", [(PATH,), ()])
def test_the_old_name_is_used_if_the_new_one_is_unknown(parameters: Any) -> None:
    unknown = api_error(404, "RESOURCE_NOT_FOUND", *parameters)
    api: Any = FakeApi(A, shown=[unknown])
    found = read(api, API_KEY_LISTS, ORG, KEY)
    assert api.calls == ["GET accessList", "GET whitelist"]
    assert found.name == "whitelist"
    # The name is looked up only once.
    change(api, found, Goal(normalize([B])))
    assert len(api.calls) == 3


@pytest.mark.parametrize(
    ("error", "platform"),
    [
        (api_error(404, "RESOURCE_NOT_FOUND", PATH), ATLAS),
        (api_error(404, "RESOURCE_NOT_FOUND", KEY.id), OPS_MANAGER),
        (api_error(404, None), OPS_MANAGER),
        (api_error(403, "RESOURCE_NOT_FOUND", PATH), OPS_MANAGER),
        (api_error(404, "ORG_NOT_FOUND"), OPS_MANAGER),
    ],
)
def test_the_old_name_is_not_used_otherwise(error: ApiError, platform: Any) -> None:
    api: Any = FakeApi(A, shown=[error], platform=platform)
    with pytest.raises(ApiError) as caught:
        read(api, API_KEY_LISTS, ORG, KEY)
    assert caught.value is error
    assert api.calls == ["GET accessList"]


def test_if_neither_name_is_known_the_first_error_is_reported() -> None:
    first, second = (api_error(404, "RESOURCE_NOT_FOUND", PATH) for _round in range(2))
    with pytest.raises(ApiError) as caught:
        read(FakeApi(shown=[first, second]), API_KEY_LISTS, ORG, KEY)  # type: ignore[arg-type]
    assert caught.value is first
    other = api_error(401, "USER_UNAUTHORIZED")
    with pytest.raises(ApiError) as caught:
        read(FakeApi(shown=[first, other]), API_KEY_LISTS, ORG, KEY)  # type: ignore[arg-type]
    assert caught.value is other


@pytest.mark.parametrize(
    ("entries", "limits", "expected"),
    [
        ([], [], None),
        (["0.0.0.0/0"], [], None),
        ([], ["192.0.2.0/24"], []),
        (["192.0.2.0/24"], ["192.0.2.0/24"], None),
        (["192.0.2.7", "192.0.2.128/25"], ["192.0.2.0/24", "::1"], None),
        # Two halves make up the whole.
        (["192.0.2.0/24"], ["192.0.2.0/25", "192.0.2.128/25"], None),
        (["192.0.2.0/23"], ["192.0.2.0/24"], ["192.0.2.0/23"]),
        (["192.0.2.7", "192.0.3.7"], ["192.0.2.0/24"], ["192.0.3.7"]),
        # IPv4 and IPv6 do not limit each other.
        (["::/0"], ["0.0.0.0/0"], ["::/0"]),
        (["10.0.0.1"], ["::/0"], ["10.0.0.1"]),
    ],
)
def test_the_networks_beyond_another_list_are_found(
    entries: list[str], limits: list[str], expected: list[str] | None
) -> None:
    lists = [frozenset(map(ipaddress.ip_network, entry)) for entry in (entries, limits)]
    wider = beyond(*lists)
    assert (wider if wider is None else in_order(wider)) == expected
