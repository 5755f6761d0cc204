# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""API keys: what proves absence, how changes and creations end, and how long tasks wait."""

from __future__ import annotations

import unicodedata
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
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    ApiError,
    LostResponseError,
    MissingError,
    OrphanError,
    OwnKeyError,
    Request,
    TimeLimitError,
    UnexpectedResponseError,
    WaitTimeoutError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._plan import absent
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _resource
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
    _wanted,
    create,
    find,
    parse,
    parse_created,
    update,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    SECOND_LOOK,
    SETTLE_TIME,
)
from tests.support import VirtualClock

ORG = "5980cfdf0b6d97029d82f86e"
ID = "32b6e34b3d91647abb20e7b8"
OTHER = "32b6e34b3d91647abb20e7b9"
PROJECT = "5e2211c17a3e5a48f5497de3"
PRIVATE_KEY = "55c3bbb6-b4bb-40be-8e66-d20841f3e000"
IN_ORG = API_KEYS.of(ORG)


def key(key_id: str = ID, description: str = "d", public_key: str | None = "abcdefgh") -> OrgApiKey:
    return OrgApiKey(key_id, description, public_key, ("ORG_MEMBER",), ())


def data(key_: OrgApiKey) -> dict[str, Any]:
    return {
        "id": key_.id,
        "desc": key_.description,
        "publicKey": key_.public_key,
        "roles": [
            *({"roleName": role, "orgId": ORG} for role in key_.roles),
            *(
                {"roleName": role, "groupId": project_id}
                for project_id, roles in key_.projects
                for role in roles
            ),
        ],
    }


def api_error(
    status: int, code: str | None, *parameters: Any, outcome_unknown: bool = False
) -> ApiError:
    request = Request("GET", "https://h", "/p", "do it")
    error = ApiError("x", request=request, status=status, code=code, parameters=parameters)
    error.outcome_unknown = outcome_unknown
    return error


def missing(*, outcome_unknown: bool = False) -> ApiError:
    return api_error(400, "API_KEY_NOT_FOUND", ID, outcome_unknown=outcome_unknown)


class FakeApi:
    """A client whose requests end as listed, with an error or a value; the last one repeats.

    ``keys``: the full list. ``write``: how POST and PATCH end, if not like the other requests.
    """

    def __init__(self, *results: Any, keys: Any = (), own: str | None = None, write: Any = None):
        self.virtual = VirtualClock()
        self.clock = Clock(self.virtual.now, self.virtual.sleep, self.virtual.random)
        self.cancellation = Cancellation(self.clock)
        self.results = list(results)
        self.keys = keys
        self.endpoint = SimpleNamespace(public_key=own)
        self.write = write
        self.listed = 0
        self.sent: list[Any] = []

    def _next(self) -> Any:
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result

    def get(self, _call: Call, parse: Any, _until: float | None = None) -> Any:
        value = parse(data(self._next()))
        assert value is not None, "a response about something else"
        return value

    def delete(self, _call: Call) -> None:
        self._next()

    def patch(self, call: Call, body: Any, parse: Any) -> Any:
        self.sent.append((call.path, body, call.operation))
        result = self.write.pop(0) if isinstance(self.write, list) else self.write
        if isinstance(result, Exception):
            raise result
        return parse({**data(result), "privateKey": PRIVATE_KEY})

    post = patch

    def pages(self, call: Call, parse: Any, _identity: Any) -> list[Any]:
        assert call.path == f"/orgs/{ORG}/apiKeys"
        self.listed += 1
        return [parse(data(item)) for item in self.keys]


# Absence


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("parameters", [(ID,), (), ("x", ID)])
def test_a_code_about_this_key_proves_absence(status: int, parameters: Any) -> None:
    api: Any = FakeApi(api_error(status, "API_KEY_NOT_FOUND", *parameters))
    assert _resource.find_by_id(api, IN_ORG, ID) is None
    assert api.listed == 0


@pytest.mark.parametrize(
    "error",
    [
        api_error(400, "API_KEY_NOT_FOUND", OTHER),
        api_error(404, "RESOURCE_NOT_FOUND", ID),
        api_error(404, "INVALID_KEY_ID", ID),
    ],
)
def test_after_a_hint_the_full_list_decides(error: ApiError) -> None:
    api: Any = FakeApi(error, keys=[key(OTHER)])
    assert _resource.find_by_id(api, IN_ORG, ID) is None
    assert api.listed == 1
    api = FakeApi(error, keys=[key(OTHER), key(ID)])
    for request in (_resource.find_by_id, lambda *_: _resource.delete(api, IN_ORG, key())):
        with pytest.raises(ApiError) as raised:
            request(api, IN_ORG, ID)
        assert raised.value.fields() == error.fields()


@pytest.mark.parametrize(
    "error",
    [
        api_error(404, "RESOURCE_NOT_FOUND", "/api/atlas/v2/orgs/x"),
        api_error(404, "RESOURCE_NOT_FOUND"),
        api_error(404, "ORG_NOT_FOUND", ORG),
        api_error(404, "INVALID_ORG_ID"),
        api_error(400, "PATH_PARAM_PARSE_ERROR"),
        api_error(404, "NOT_ATLAS_ORG"),
        api_error(401, "API_KEY_NOT_FOUND", ID),
        api_error(403, "API_KEY_NOT_FOUND", ID),
        api_error(500, "API_KEY_NOT_FOUND", ID),
        api_error(401, "INVALID_KEY_ID"),
        api_error(404, None),
        api_error(400, None),
    ],
)
def test_nothing_else_means_missing(error: ApiError) -> None:
    api: Any = FakeApi(error, keys=[])
    with pytest.raises(ApiError) as caught:
        _resource.find_by_id(api, IN_ORG, ID)
    assert caught.value is error
    assert api.listed == 0


# Parsing

MEMBER = {"roleName": "ORG_MEMBER", "orgId": ORG}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"id": None}, "an API key without a readable ID: id is missing"),
        ({"id": "x"}, "an API key without a readable ID: id is an unexpected string"),
        ({"desc": 5}, f"API key {ID}: desc is a number"),
        ({"publicKey": {}}, f"API key {ID}: publicKey is an object"),
        ({"publicKey": "55c3 bb6"}, f"API key {ID}: publicKey is an unexpected string"),
        ({"roles": "ORG_OWNER"}, f"API key {ID}: roles is an unexpected string"),
        *(
            ({"roles": [MEMBER, role]}, f"API key {ID}: roles[1]{text}")
            for role, text in (
                ("ORG_MEMBER", " is an unexpected string"),
                (None, " is missing"),
                ({}, ".roleName is missing"),
                ({"roleName": 5}, ".roleName is a number"),
                ({"roleName": "X", "groupId": "no id"}, ".groupId is an unexpected string"),
                ({"roleName": "X", "groupId": 5}, ".groupId is a number"),
                ({"roleName": "X", "orgId": True}, ".orgId is a boolean"),
            )
        ),
    ],
)
def test_an_unreadable_field_is_reported_with_its_key(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse({**data(key()), **fields}, ORG)
    assert str(caught.value) == text


@pytest.mark.parametrize("names", [{"desc"}, {"roles"}, {"desc", "roles"}])
@pytest.mark.parametrize("is_null", [True, False])
def test_description_and_roles_may_be_missing(names: set[str], is_null: bool) -> None:
    given = {**data(key()), **dict.fromkeys(names)}
    if not is_null:
        given = {name: value for name, value in given.items() if name not in names}
    found = parse(given, ORG)
    assert found is not None
    assert found.description == ("" if "desc" in names else "d")
    assert found.roles == (() if "roles" in names else ("ORG_MEMBER",))


def test_only_roles_of_this_organization_count() -> None:
    roles = [
        MEMBER,
        {"roleName": "ORG_OWNER", "orgId": OTHER},
        {"roleName": "GLOBAL_OWNER"},
        {"roleName": "GLOBAL_READ_ONLY", "orgId": None, "groupId": None},
        {"roleName": "GROUP_OWNER", "groupId": OTHER, "orgId": None},
    ]
    found = parse({**data(key()), "roles": roles}, ORG)
    assert found is not None
    assert (found.roles, found.projects) == (("ORG_MEMBER",), ((OTHER, ("GROUP_OWNER",)),))
    of_any = parse({**data(key()), "roles": roles})
    assert of_any is not None
    assert of_any.roles == ("ORG_MEMBER", "ORG_OWNER")


@pytest.mark.parametrize(
    ("fields", "is_created"),
    [
        ({}, True),
        ({"privateKey": "********-****-****-db2c"}, False),
        ({"privateKey": "55c3*"}, False),
        ({"privateKey": ""}, False),
        ({"privateKey": None}, False),
        ({"privateKey": 5}, False),
        ({"publicKey": None}, False),
    ],
)
def test_a_created_key_has_both_keys_unmasked(fields: dict[str, Any], is_created: bool) -> None:
    created = parse_created({**data(key()), "privateKey": PRIVATE_KEY, **fields})
    assert (created is not None) is is_created
    if created:
        assert (created.found, created.secret) == (key(), PRIVATE_KEY)
    assert parse_created([]) is None


# Find


def test_a_hidden_public_key_may_be_the_one_that_the_task_looks_for() -> None:
    api: Any = FakeApi(keys=[key(public_key=None)])
    with pytest.raises(AmbiguousError) as caught:
        find(api, ORG, {"api_user_id": None, "public_key": "bbbbbbbb"})
    assert f"of organization {ORG} has the public key bbbbbbbb" in caught.value.message()
    assert "Use api_user_id instead." in caught.value.message()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ({"public_key": "aaaaaaaa"}, ID),
        # It may be the key whose public key the API hides.
        ({"public_key": "bbbbbbbb"}, f"the API did not return the public key of {OTHER}"),
        ({"public_key": "cccccccc"}, f"have the public key cccccccc: {'c' * 24}"),
        ({"description": "a b"}, ID),
        ({"description": "x"}, None),
        (
            {"description": "twin"},
            f"have the description 'twin': {'c' * 24} (cccccccc), {'d' * 24}",
        ),
        *(
            ({"description": text}, f"these look like it: {ID} (aaaaaaaa) 'a b'")
            for text in ("A b", "a b\n", " a b", "a  b")
        ),
        ({"description": unicodedata.normalize("NFD", "clé ü")}, f"look like it: {OTHER}"),
        ({"description": "A b", "look_alikes": "ignore"}, None),
    ],
)
def test_a_key_is_found_or_refused(name: dict[str, str], expected: str | None) -> None:
    keys = [
        key(ID, "a b", "aaaaaaaa"),
        key(OTHER, "clé ü", None),
        key("d" * 24, "twin", "cccccccc"),
        key("c" * 24, "twin", "cccccccc"),
        # A key without a description looks like no other.
        key("e" * 24, "", "eeeeeeee"),
    ]
    params = {"api_user_id": None, "public_key": None, "look_alikes": "refuse", **name}
    api: Any = FakeApi(keys=keys)
    if expected in {ID, None}:
        found = find(api, ORG, params)
        assert (found and found.id) == expected
        return
    with pytest.raises(AmbiguousError) as caught:
        find(api, ORG, params)
    assert expected is not None
    assert expected in caught.value.message()


def test_a_key_without_a_description_looks_like_no_other() -> None:
    bare = key(description="")
    for description in ("d", " ", "\u200b"):
        assert _resource.pick_by_text([bare], IN_ORG, description) is None
    assert _resource.by_normalized([bare, key(OTHER)], API_KEYS) == {"d": [key(OTHER)]}


@pytest.mark.parametrize(
    ("own", "public_key", "is_own"),
    [
        ("abcdefgh", "abcdefgh", True),
        ("abcdefgh", "hgfedcba", False),
        ("abcdefgh", None, True),
        (None, "abcdefgh", False),
        (None, None, False),
    ],
)
def test_the_signing_credential_is_guarded(
    own: str | None, public_key: str | None, is_own: bool
) -> None:
    api: Any = FakeApi(own=own)
    found = key(public_key=public_key)
    allowed, refused = {"allow_own_key": True}, {"allow_own_key": False}
    assert _resource.check_not_own(api, API_KEYS, found, allowed, loss="this") is is_own
    if not is_own:
        assert not _resource.check_not_own(api, API_KEYS, found, refused, loss="this")
        return
    with pytest.raises(OwnKeyError, match="nothing was changed") as caught:
        _resource.check_not_own(api, API_KEYS, found, refused, loss="this")
    assert "set allow_own_key to true to allow this" in caught.value.message()
    # If a listing shows the signing credential, a key whose public key is hidden is another one.
    if public_key is None:
        seen = {"loss": "this", "is_own_seen": True}
        assert not _resource.check_not_own(api, API_KEYS, found, refused, **seen)


# Revoke


@pytest.mark.parametrize(
    ("results", "listed", "is_done"),
    [
        ([None], 0, True),
        # The response to an earlier attempt was lost.
        ([missing(outcome_unknown=True)], 0, True),
        # Another user deleted it first.
        ([missing()], 0, False),
        ([api_error(404, "RESOURCE_NOT_FOUND", ID, outcome_unknown=True)], 2, True),
        ([api_error(404, "RESOURCE_NOT_FOUND", ID)], 2, False),
        # It is shown again.
        ([missing(), key(), None], 0, True),
    ],
)
def test_a_revocation_reports_whether_this_task_did_it(
    results: list[Any], listed: int, is_done: bool
) -> None:
    api: Any = FakeApi(*results)
    assert _resource.delete(api, IN_ORG, key()) is is_done
    assert api.listed == listed
    assert api.virtual.sleeps == [SECOND_LOOK] * (results != [None])


@pytest.mark.parametrize("outcome_unknown", [True, False])
@pytest.mark.parametrize(
    ("later", "text"),
    [
        # Reads that never agree prove nothing.
        ([key(), missing(), key(), missing(), key()], "it still exists"),
        # The second read fails.
        ([api_error(403, "X")], "did not check whether that is final"),
        # It shows the key, and the second DELETE is refused.
        ([key(), api_error(403, "X")], ""),
    ],
)
def test_a_later_error_keeps_the_unknown_outcome_of_a_revocation(
    later: list[Any], text: str, outcome_unknown: bool
) -> None:
    for error in later:
        if isinstance(error, ApiError):
            error.outcome_unknown, error.state_after = False, ""
    api: Any = FakeApi(missing(outcome_unknown=outcome_unknown), *later)
    with pytest.raises(ApiError) as caught:
        _resource.delete(api, IN_ORG, key())
    assert caught.value.outcome_unknown is outcome_unknown
    assert text in caught.value.message()


def test_a_canceled_second_read_is_reported() -> None:
    api: Any = FakeApi(missing())
    api.cancellation.set_limit(1)
    with pytest.raises(TimeLimitError) as stopped:
        _resource.delete(api, IN_ORG, key())
    assert stopped.value.message().startswith(
        "Could not do it: the time limit was reached (time_limit: 1 s)"
    )
    assert "did not check whether that is final" in stopped.value.message()


@pytest.mark.parametrize("results", [[key(), key(), missing()], [missing(), key(), missing()]])
def test_waiting_ends_when_two_reads_agree(results: list[Any]) -> None:
    api: Any = FakeApi(*results)
    _resource.await_absence(api, IN_ORG, key(), 60)
    assert api.virtual.sleeps == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("listed", [[], [key()]])
def test_without_time_for_a_second_read_the_full_list_decides(listed: Any) -> None:
    api: Any = FakeApi(missing(), keys=listed)
    if not listed:
        _resource.await_absence(api, IN_ORG, key(), 0.1)
        return
    with pytest.raises(WaitTimeoutError, match=f"still shows the API key {ID}"):
        _resource.await_absence(api, IN_ORG, key(), 0.1)


@pytest.mark.parametrize(
    ("result", "text"),
    [(key(), f"still shows the API key {ID} (abcdefgh) 7 s after"), (api_error(403, "X"), "x")],
)
def test_an_error_while_waiting_says_what_was_done(result: Any, text: str) -> None:
    api: Any = FakeApi(result)
    with pytest.raises((WaitTimeoutError, ApiError)) as caught:
        _resource.await_absence(api, IN_ORG, key(), 7)
    assert api.virtual.time <= 1007
    assert text in caught.value.message()
    assert "The API accepted the request to revoke it. Whether" in caught.value.message()


# Create


def test_a_lost_creation_reports_the_error_and_the_new_keys() -> None:
    error = api_error(500, "UNEXPECTED_ERROR", outcome_unknown=True)
    error.detail = "later"
    api: Any = FakeApi(keys=[key(), key(OTHER)], write=error)
    with pytest.raises(OrphanError) as caught:
        create(api, ORG, "d", ["ORG_MEMBER"], {ID})
    fields = caught.value.fields()
    assert (fields["status"], fields["code"]) == (500, "UNEXPECTED_ERROR")
    assert (fields["detail"], fields["parameters"]) == ("later", [OTHER])
    assert caught.value.results == {"changed": True}


def test_a_created_key_has_no_roles_of_other_organizations() -> None:
    api: Any = FakeApi()
    foreign = {"roleName": "ORG_OWNER", "orgId": "f" * 24}
    response = {**data(key()), "roles": [MEMBER, foreign], "privateKey": PRIVATE_KEY}
    api.post = lambda _call, _body, parse_new: parse_new(response)
    assert create(api, ORG, "d", ["ORG_MEMBER"], ()).found == key()


WRONG = replace(key(), roles=("ORG_MEMBER", "ORG_OWNER"))
ASSIGNED = replace(key(), projects=((PROJECT, ("GROUP_OWNER",)),))


@pytest.mark.parametrize("created", [WRONG, ASSIGNED])
def test_a_created_key_that_becomes_as_requested_is_kept(created: OrgApiKey) -> None:
    api: Any = FakeApi(created, key(), write=created)
    new = create(api, ORG, "d", ["ORG_MEMBER"], ())
    assert (new.found, new.secret) == (key(), PRIVATE_KEY)


@pytest.mark.parametrize("created", [WRONG, ASSIGNED])
@pytest.mark.parametrize(
    ("refusal", "attempts"),
    [
        (None, 1),
        (missing(outcome_unknown=True), 1),
        (api_error(403, "X"), 1),
        # The API may not know a key that was just created, so this does not mean that it is gone.
        (missing(), 8),
    ],
)
def test_a_created_key_that_contradicts_the_request_is_revoked(
    created: OrgApiKey, refusal: ApiError | None, attempts: int
) -> None:
    api: Any = FakeApi(created, write=created)
    deleted: list[Call] = []

    def delete(call: Call) -> None:
        deleted.append(call)
        if refusal:
            raise refusal

    api.delete = delete
    with pytest.raises((UnexpectedResponseError, OrphanError)) as caught:
        create(api, ORG, "d", ["ORG_MEMBER"], ())
    error = caught.value
    assert len(deleted) == attempts
    projects = ", and projects" if created.projects else ""
    assert f"as 'd' with the roles {', '.join(created.roles)}{projects}, but" in error.message()
    assert "but the task asked for 'd' with the roles ORG_MEMBER." in error.message()
    if refusal is None or refusal.outcome_unknown:
        assert (error.type, error.results) == ("unexpected_response", {})
        assert "was revoked to clean up: nothing is left" in error.message()
        return
    assert (error.type, error.parameters) == ("orphan", [ID])
    assert error.results == {"changed": True, "org_api_key": created.result()}
    assert f"API key {created} may still exist. Its private key is lost. Revoke" in error.message()


def test_each_duplicate_of_a_created_key_is_a_warning() -> None:
    api: Any = FakeApi(keys=[key(), key(OTHER), key("c" * 24, "x"), key("a" * 24)])
    (warning,) = _resource.duplicate_warnings(api, IN_ORG, [key()], {"a" * 24})
    assert warning == (
        f"API key {ID} (abcdefgh) was created, and another run created {OTHER} (abcdefgh) with "
        "the same description in the meantime: revoke one of them by its ID."
    )
    assert api.virtual.sleeps == []


def test_duplicates_are_looked_up_when_all_new_keys_are_listed() -> None:
    api: Any = FakeApi(keys=[key(OTHER)])
    assert len(_resource.duplicate_warnings(api, IN_ORG, [key()], ())) == 1
    assert sum(api.virtual.sleeps) <= SETTLE_TIME
    assert api.virtual.sleeps[:4] == [0.25, 0.5, 1.0, 2.0]


# Change

CHANGES = {"description": "new", "roles": ("ORG_READ_ONLY",)}
CHANGED = replace(key(description="new"), roles=("ORG_READ_ONLY",))


def lost() -> LostResponseError:
    error = LostResponseError("lost", request=Request("PATCH", "https://h", "/p", "change it"))
    error.outcome_unknown = True
    return error


def test_a_change_sends_the_difference_and_returns_the_key() -> None:
    api: Any = FakeApi(write=CHANGED)
    assert update(api, ORG, key(), CHANGES) == CHANGED
    body = {"desc": "new", "roles": ("ORG_READ_ONLY",)}
    assert api.sent == [(f"/orgs/{ORG}/apiKeys/{ID}", body, f"change the API key {ID} (abcdefgh)")]
    # A response about another key does not count.
    assert update(FakeApi(write=key(OTHER, "new")), ORG, key(), CHANGES) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        (CHANGES, CHANGED),
        ({"roles": ("ORG_READ_ONLY",)}, replace(CHANGED, description="d")),
        ({"description": "new"}, key(description="new")),
    ],
)
def test_a_lost_change_that_was_made_is_a_success(changes: dict[str, Any], now: OrgApiKey) -> None:
    assert update(FakeApi(now, write=lost()), ORG, key(), changes) == now  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "now", "text"),
    [
        (CHANGES, key(), "shows it as 'd' with the roles ORG_MEMBER now."),
        (CHANGES, replace(CHANGED, description="d"), "'d' with the roles ORG_READ_ONLY now."),
        # Another user has renamed it in the meantime.
        ({"roles": ("ORG_READ_ONLY",)}, CHANGED, "'new' with the roles ORG_READ_ONLY now."),
        (CHANGES, missing(), "shows it as missing now."),
        (CHANGES, api_error(503, None), "may have been carried out"),
    ],
)
def test_a_lost_change_that_was_not_made_reports_what_exists(
    changes: dict[str, Any], now: Any, text: str
) -> None:
    with pytest.raises(LostResponseError) as caught:
        update(FakeApi(now, write=lost()), ORG, key(), changes)  # type: ignore[arg-type]
    assert caught.value.message().startswith("Could not change it: lost.")
    assert text in caught.value.message()


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (api_error(400, "API_KEY_NOT_FOUND"), "(8 attempts, 10 s of waiting)"),
        (api_error(404, "API_KEY_NOT_FOUND", ID), "(8 attempts, 10 s of waiting)"),
        (missing(outcome_unknown=True), "The API shows it as missing now."),
    ],
)
def test_a_change_of_a_key_that_is_gone_reports_that(error: ApiError, attempts: str) -> None:
    api: Any = FakeApi(missing(), write=error)
    with pytest.raises(MissingError) as caught:
        update(api, ORG, key(), CHANGES)
    assert f"The API does not find the API key {ID} (abcdefgh)" in caught.value.message()
    assert attempts in caught.value.message()
    assert caught.value.outcome_unknown is error.outcome_unknown


@pytest.mark.parametrize("error", [api_error(403, "X"), api_error(400, "API_KEY_NOT_FOUND", OTHER)])
def test_after_a_refused_change_nothing_is_read(error: ApiError) -> None:
    api: Any = FakeApi(AssertionError("it was read"), write=error)
    with pytest.raises(ApiError) as caught:
        update(api, ORG, key(), CHANGES)
    assert caught.value is error


@pytest.mark.parametrize("refusals", [1, 4])
def test_a_change_of_a_key_that_is_not_known_yet_is_sent_again(refusals: int) -> None:
    api: Any = FakeApi(write=[missing()] * refusals + [CHANGED])
    assert update(api, ORG, key(), CHANGES) == CHANGED
    assert len(api.sent) == refusals + 1
    assert sum(api.virtual.sleeps) <= SETTLE_TIME


def test_canceled_retries_say_what_was_not_done() -> None:
    error = missing()
    api: Any = FakeApi(write=error)
    api.cancellation.set_limit(1)
    with pytest.raises(TimeLimitError) as caught:
        update(api, ORG, key(), CHANGES)
    assert caught.value.request is error.request
    assert "changed nothing" in caught.value.message()
    assert api.virtual.time <= 1001


@pytest.mark.parametrize("is_late", [True, False])
@pytest.mark.parametrize(
    "shown",
    [
        replace(CHANGED, description="d"),
        replace(CHANGED, description="other"),
        replace(CHANGED, roles=("ORG_OWNER",)),
        replace(CHANGED, roles=("ORG_OWNER", "ORG_READ_ONLY")),
    ],
)
def test_a_response_that_contradicts_a_change_is_checked(shown: OrgApiKey, is_late: bool) -> None:
    """The key is read for a few seconds. If it stays the same, the task reports what exists."""
    api: Any = FakeApi(shown, shown, CHANGED if is_late else shown, write=shown)
    if is_late:
        assert update(api, ORG, key(), CHANGES) == CHANGED
        return
    with pytest.raises(UnexpectedResponseError) as caught:
        update(api, ORG, key(), CHANGES)
    assert caught.value.results == {"changed": True, "org_api_key": shown.result()}
    assert (
        f"shows the key as '{shown.description}' with the roles {', '.join(shown.roles)} instead "
        "of 'new' with the roles ORG_READ_ONLY"
    ) in caught.value.message()
    assert sum(api.virtual.sleeps) <= SETTLE_TIME


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"desc": None}, replace(CHANGED, description="")),
        ({"roles": None}, replace(CHANGED, roles=())),
        ({}, replace(CHANGED, roles=("ORG_MEMBER", "ORG_READ_ONLY"))),
    ],
)
def test_missing_fields_and_an_added_role_do_not_contradict(
    fields: dict[str, Any], shown: OrgApiKey
) -> None:
    wanted = _wanted(CHANGES, CHANGES)
    found = wanted.fill({**data(shown), **fields}, shown)
    assert wanted.is_met(found)
    assert (found.description, set(found.roles) - {"ORG_MEMBER"}) == ("new", {"ORG_READ_ONLY"})


def test_absence_is_a_change_if_something_exists() -> None:
    assert absent({"description": "x"}).is_change
    assert absent({"description": "x"}).diff() == {"before": {"description": "x"}, "after": {}}
    assert not absent(None).is_change
