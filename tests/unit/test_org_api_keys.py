# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of absence, of the own key, and of waiting."""

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
    LostAnswerError,
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
    _compare,
    check_public_keys_told,
    create,
    find_by_public_key,
    parse,
    parse_created,
    update,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    ORPHAN_PATIENCE,
    SECOND_LOOK,
    SETTLE_TIME,
)
from tests.support import VirtualClock

ORG = "5980cfdf0b6d97029d82f86e"
ID = "32b6e34b3d91647abb20e7b8"
OTHER = "32b6e34b3d91647abb20e7b9"


def key(key_id: str = ID, description: str = "d", public_key: str | None = "abcdefgh") -> OrgApiKey:
    return OrgApiKey(key_id, description, public_key, ("ORG_MEMBER",), ())


def data(key_: OrgApiKey) -> dict[str, Any]:
    return {
        "id": key_.id,
        "desc": key_.description,
        "publicKey": key_.public_key,
        "roles": [{"roleName": role, "orgId": ORG} for role in key_.roles],
    }


def api_error(
    status: int, code: str | None, *parameters: Any, outcome_unknown: bool = False
) -> ApiError:
    request = Request("GET", "https://h", "/p", "do it")
    error = ApiError("x", request=request, status=status, code=code, parameters=parameters)
    error.outcome_unknown = outcome_unknown
    return error


class FakeApi:
    """A client that gives what it is told, an exception or a value, one after the other."""

    def __init__(self, *answers: Any, keys: Any = (), own: str | None = None) -> None:
        self.virtual = VirtualClock()
        self.clock = Clock(self.virtual.now, self.virtual.sleep, self.virtual.random)
        self.cancellation = Cancellation(self.clock)
        self.answers = list(answers)
        self.keys = keys
        self.endpoint = SimpleNamespace(public_key=own)
        self.listed = 0

    def _next(self) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, _call: Call, parse: Any, _until: float | None = None) -> Any:
        value = parse(data(self._next()))
        assert value is not None, "an answer about something else"
        return value

    def delete(self, _call: Call) -> None:
        self._next()

    def pages(self, call: Call, parse: Any, _identity: Any) -> list[Any]:
        assert call.path == f"/orgs/{ORG}/apiKeys"
        self.listed += 1
        return [parse(data(item)) for item in self.keys]


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("parameters", [(ID,), (), ("x", ID)])
def test_missing_is_what_the_api_says_of_this_key(status: int, parameters: Any) -> None:
    api: Any = FakeApi(api_error(status, "API_KEY_NOT_FOUND", *parameters))
    assert _resource.find_by_id(api, API_KEYS.of(ORG), ID) is None
    assert api.listed == 0


@pytest.mark.parametrize(
    "error",
    [
        api_error(400, "API_KEY_NOT_FOUND", OTHER),
        api_error(404, "RESOURCE_NOT_FOUND", ID),
        api_error(404, "INVALID_KEY_ID", ID),
    ],
)
def test_a_hint_is_proved_by_the_whole_listing(error: ApiError) -> None:
    api: Any = FakeApi(error, keys=[key(OTHER)])
    assert _resource.find_by_id(api, API_KEYS.of(ORG), ID) is None
    assert api.listed == 1
    with pytest.raises(ApiError) as raised:
        _resource.find_by_id(FakeApi(error, keys=[key(OTHER), key(ID)]), API_KEYS.of(ORG), ID)  # type: ignore[arg-type]
    assert raised.value.code == error.code


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
        _resource.find_by_id(api, API_KEYS.of(ORG), ID)
    assert caught.value is error
    assert api.listed == 0


def test_an_answer_about_another_key_finds_none() -> None:
    api: Any = FakeApi(key(OTHER))
    with pytest.raises(AssertionError, match="something else"):
        _resource.find_by_id(api, API_KEYS.of(ORG), ID)
    assert _resource.find_by_id(api, API_KEYS.of(ORG), OTHER) == key(OTHER)


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("ORG_MEMBER", "roles[1] is a string of another form"),
        (None, "roles[1] is missing"),
        ({}, "roles[1].roleName is missing"),
        ({"roleName": 5}, "roles[1].roleName is a number"),
        ({"roleName": None, "groupId": ID}, "roles[1].roleName is missing"),
        (
            {"roleName": "GROUP_OWNER", "groupId": "no id"},
            "roles[1].groupId is a string of another form",
        ),
        ({"roleName": "GROUP_OWNER", "groupId": 5}, "roles[1].groupId is a number"),
        ({"roleName": "ORG_OWNER", "orgId": True}, "roles[1].orgId is a boolean"),
    ],
)
def test_a_role_that_cannot_be_read_is_named_with_its_key(role: Any, told: str) -> None:
    member = {"roleName": "ORG_MEMBER", "orgId": ORG}
    with pytest.raises(UnreadableError) as caught:
        parse({**data(key()), "roles": [member, role]}, ORG)
    assert str(caught.value) == f"API key {ID}: {told}"
    assert parse({**data(key()), "roles": [member, {**member, "groupId": OTHER}]}) is not None


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("desc", 5, "desc is a number"),
        ("desc", ["x"], "desc is a list of another form"),
        ("publicKey", {}, "publicKey is an object"),
        ("publicKey", "55c3 bb6", "publicKey is a string of another form"),
        ("roles", "ORG_OWNER", "roles is a string of another form"),
        ("roles", {}, "roles is an object"),
    ],
)
def test_a_field_that_cannot_be_read_is_named_with_its_key(
    field: str, value: Any, told: str
) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse({**data(key()), field: value}, ORG)
    assert str(caught.value) == f"API key {ID}: {told}"


@pytest.mark.parametrize(
    ("value", "told"), [(None, "is missing"), ("x", "is a string of another form")]
)
def test_a_key_without_an_id_cannot_be_read(value: Any, told: str) -> None:
    with pytest.raises(UnreadableError, match=f"an API key without a readable ID: id {told}"):
        parse({**data(key()), "id": value}, ORG)


@pytest.mark.parametrize("shape", [{"desc": None}, {"roles": None}, {"desc": None, "roles": None}])
@pytest.mark.parametrize("is_null", [True, False])
def test_a_key_may_lack_description_and_roles(shape: dict[str, None], is_null: bool) -> None:
    given = {**data(key()), **shape}
    if not is_null:
        given = {name: value for name, value in given.items() if name not in shape}
    found = parse(given, ORG)
    assert found is not None
    assert found.result() == {
        "id": ID,
        "public_key": "abcdefgh",
        "description": "" if "desc" in shape else "d",
        "roles": [] if "roles" in shape else ["ORG_MEMBER"],
        "projects": [],
    }


def test_only_roles_of_this_organization_count() -> None:
    roles = [
        {"roleName": "ORG_MEMBER", "orgId": ORG},
        {"roleName": "ORG_OWNER", "orgId": OTHER},
        {"roleName": "GLOBAL_OWNER"},
        {"roleName": "GLOBAL_READ_ONLY", "orgId": None, "groupId": None},
        {"roleName": "GROUP_OWNER", "groupId": OTHER, "orgId": None},
    ]
    found = parse({**data(key()), "roles": roles}, ORG)
    assert found is not None
    assert (found.roles, found.projects) == (("ORG_MEMBER",), ((OTHER, ("GROUP_OWNER",)),))
    # Whose listing it is may not be known.
    of_any = parse({**data(key()), "roles": roles})
    assert of_any is not None
    assert of_any.roles == ("ORG_MEMBER", "ORG_OWNER")


def test_a_key_without_a_description_looks_like_no_other() -> None:
    bare = key(description="")
    for description in ("d", " ", "\u200b"):
        _resource.check_look_alikes([bare], API_KEYS.of(ORG), description)
        assert _resource.pick_by_text([bare], API_KEYS.of(ORG), description) is None
    assert _resource.by_normalized([bare, key(OTHER)], API_KEYS) == {"d": [key(OTHER)]}


def test_a_key_is_found_by_public_key_and_by_description() -> None:
    api: Any = FakeApi(keys=[key(ID, "a", "aaaaaaaa"), key(OTHER, "b", "cccccccc")])
    assert find_by_public_key(api, ORG, "aaaaaaaa") == key(ID, "a", "aaaaaaaa")
    found = _resource.find_by_text(api, API_KEYS.of(ORG), "b")
    assert found is not None
    assert found.id == OTHER
    assert find_by_public_key(api, ORG, "bbbbbbbb") is None
    assert _resource.find_by_text(api, API_KEYS.of(ORG), "B", look_alikes="ignore") is None
    with pytest.raises(AmbiguousError, match="'b'"):
        _resource.find_by_text(api, API_KEYS.of(ORG), "B")


def test_a_shared_public_key_names_all_who_share_it() -> None:
    api: Any = FakeApi(keys=[key(OTHER), key(ID)])
    with pytest.raises(AmbiguousError) as caught:
        find_by_public_key(api, ORG, "abcdefgh")
    assert caught.value.summary == (
        f"2 API keys of organization {ORG} have the public key abcdefgh: {ID} (abcdefgh), "
        f"{OTHER} (abcdefgh)"
    )


def test_all_public_keys_that_are_not_told_are_named() -> None:
    keys = [key(), key(OTHER, public_key=None)]
    with pytest.raises(AmbiguousError, match="aaaaaaaa, bbbbbbbb"):
        check_public_keys_told(ORG, keys, ["aaaaaaaa", "abcdefgh", "bbbbbbbb"], "Do it.")


def test_a_shared_description_names_all_who_share_it() -> None:
    api: Any = FakeApi(
        keys=[key(OTHER, "a", "bbbbbbbb"), key("c" * 24, "x"), key(ID, "a", "aaaaaaaa")]
    )
    with pytest.raises(AmbiguousError) as caught:
        _resource.find_by_text(api, API_KEYS.of(ORG), "a")
    assert f"{ID} (aaaaaaaa), {OTHER} (bbbbbbbb)" in caught.value.message()


@pytest.mark.parametrize(
    ("own", "public_key", "allowed", "expected"),
    [
        ("abcdefgh", "abcdefgh", False, OwnKeyError),
        ("abcdefgh", "abcdefgh", True, True),
        ("abcdefgh", "hgfedcba", False, False),
        ("abcdefgh", None, False, OwnKeyError),
        ("abcdefgh", None, True, True),
        (None, "abcdefgh", False, False),
        (None, None, False, False),
    ],
)
def test_the_own_key_is_guarded(
    own: str | None, public_key: str | None, allowed: bool, expected: Any
) -> None:
    api: Any = FakeApi(own=own)
    if isinstance(expected, bool):
        assert (
            _resource.check_not_own(
                api, API_KEYS, key(public_key=public_key), allowed=allowed, loss="this"
            )
            is expected
        )
        return
    with pytest.raises(expected) as caught:
        _resource.check_not_own(
            api, API_KEYS, key(public_key=public_key), allowed=allowed, loss="this"
        )
    assert "allow_own_key" in caught.value.message()
    assert "nothing was changed" in caught.value.message()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, True),
        # An earlier try's answer was lost: that try did it.
        (api_error(400, "API_KEY_NOT_FOUND", ID, outcome_unknown=True), True),
        # Somebody else was faster.
        (api_error(400, "API_KEY_NOT_FOUND", ID), False),
    ],
)
def test_a_revocation_tells_whether_it_did_it(answer: Any, expected: bool) -> None:
    api: Any = FakeApi(answer)
    assert _resource.delete(api, API_KEYS.of(ORG), key()) is expected


@pytest.mark.parametrize(
    "error",
    [
        api_error(404, "ORG_NOT_FOUND"),
        api_error(400, "API_KEY_NOT_FOUND", OTHER),
        api_error(404, "RESOURCE_NOT_FOUND", ID),
    ],
)
def test_a_revocation_fails_with_any_other_error(error: ApiError) -> None:
    with pytest.raises(ApiError) as raised:
        _resource.delete(FakeApi(error, keys=[key()]), API_KEYS.of(ORG), key())  # type: ignore[arg-type]
    assert raised.value.code == error.code


@pytest.mark.parametrize("outcome_unknown", [True, False])
def test_a_hint_at_the_revocation_is_proved_by_the_whole_listing(outcome_unknown: bool) -> None:
    api: Any = FakeApi(
        api_error(404, "RESOURCE_NOT_FOUND", ID, outcome_unknown=outcome_unknown), keys=[]
    )
    assert _resource.delete(api, API_KEYS.of(ORG), key()) is outcome_unknown
    # Both looks say the same.
    assert api.listed == 2
    assert api.virtual.sleeps == [SECOND_LOOK]


def test_a_key_that_is_shown_again_is_revoked_again() -> None:
    missing = api_error(400, "API_KEY_NOT_FOUND", ID)
    api: Any = FakeApi(missing, key(), None)
    assert _resource.delete(api, API_KEYS.of(ORG), key()) is True
    assert api.virtual.sleeps == [SECOND_LOOK]
    # Looks that never agree are no proof.
    api = FakeApi(missing, key(), missing, key(), missing, key())
    with pytest.raises(ApiError) as caught:
        _resource.delete(api, API_KEYS.of(ORG), key())
    assert caught.value.code == "API_KEY_NOT_FOUND"
    assert "it still exists" in caught.value.message()


def test_a_revocation_that_may_have_been_carried_out_stays_so() -> None:
    missing = api_error(400, "API_KEY_NOT_FOUND", ID)
    for later in (
        # The second look fails.
        [api_error(403, "X")],
        # It shows the key, and the second DELETE is refused.
        [key(), api_error(403, "X")],
    ):
        lost = api_error(400, "API_KEY_NOT_FOUND", ID)
        lost.outcome_unknown = True
        with pytest.raises(ApiError) as caught:
            _resource.delete(FakeApi(lost, *later), API_KEYS.of(ORG), key())  # type: ignore[arg-type]
        assert caught.value.outcome_unknown
    with pytest.raises(ApiError) as clear:
        _resource.delete(FakeApi(missing, api_error(403, "X")), API_KEYS.of(ORG), key())  # type: ignore[arg-type]
    assert not clear.value.outcome_unknown


def test_a_second_look_that_fails_or_is_not_taken_is_told() -> None:
    missing = api_error(400, "API_KEY_NOT_FOUND", ID)
    with pytest.raises(ApiError) as caught:
        _resource.delete(FakeApi(missing, api_error(403, "X")), API_KEYS.of(ORG), key())  # type: ignore[arg-type]
    assert "Whether that is final was not checked" in caught.value.message()
    api: Any = FakeApi(missing)
    api.cancellation.set_limit(1)
    with pytest.raises(TimeLimitError) as stopped:
        _resource.delete(api, API_KEYS.of(ORG), key())
    assert stopped.value.message().startswith("Could not do it: the time limit was reached")
    assert "Whether that is final was not checked" in stopped.value.message()


def test_a_key_whose_public_key_is_not_told_may_be_the_one() -> None:
    api: Any = FakeApi(keys=[key(ID, "a", "aaaaaaaa"), key(OTHER, "b", None)])
    with pytest.raises(AmbiguousError) as caught:
        find_by_public_key(api, ORG, "bbbbbbbb")
    assert OTHER in caught.value.message()
    assert find_by_public_key(api, ORG, "aaaaaaaa") is not None


@pytest.mark.parametrize("description", ["a b\n", " a b", "a  b"])
def test_a_description_that_differs_in_blanks_only_is_told(description: str) -> None:
    api: Any = FakeApi(keys=[key(ID, "a b")])
    with pytest.raises(AmbiguousError) as caught:
        _resource.find_by_text(api, API_KEYS.of(ORG), description)
    assert ID in caught.value.message()


@pytest.mark.parametrize(("given", "there"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_description_that_differs_in_how_letters_are_composed_only_is_told(
    given: Any, there: Any
) -> None:
    api: Any = FakeApi(keys=[key(ID, unicodedata.normalize(there, "clé ü"))])
    with pytest.raises(AmbiguousError, match=ID):
        _resource.find_by_text(api, API_KEYS.of(ORG), unicodedata.normalize(given, "clé ü"))


def test_waiting_ends_when_the_api_forgets_the_key() -> None:
    missing = api_error(400, "API_KEY_NOT_FOUND", ID)
    api: Any = FakeApi(key(), key(), missing, missing)
    _resource.await_absence(api, API_KEYS.of(ORG), key(), 60)
    assert api.virtual.sleeps == [0.25, 0.5, 1.0]


def test_waiting_does_not_end_with_a_look_that_the_next_one_denies() -> None:
    missing = api_error(400, "API_KEY_NOT_FOUND", ID)
    api: Any = FakeApi(missing, key(), missing, missing)
    _resource.await_absence(api, API_KEYS.of(ORG), key(), 60)
    assert api.virtual.sleeps == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("listed", [[], [key()]])
def test_where_no_time_is_left_for_a_second_look_the_listing_decides(listed: Any) -> None:
    api: Any = FakeApi(api_error(400, "API_KEY_NOT_FOUND", ID), keys=listed)
    if not listed:
        _resource.await_absence(api, API_KEYS.of(ORG), key(), 0.1)
        return
    with pytest.raises(WaitTimeoutError, match=f"still shows the API key {ID}"):
        _resource.await_absence(api, API_KEYS.of(ORG), key(), 0.1)


def test_waiting_has_an_end_that_says_what_was_done() -> None:
    api: Any = FakeApi(key())
    start = api.virtual.time
    with pytest.raises(WaitTimeoutError) as caught:
        _resource.await_absence(api, API_KEYS.of(ORG), key(), 7)
    assert api.virtual.time - start <= 7
    assert "accepted the revocation. Whether the API key still works is not known." in (
        caught.value.message()
    )
    assert "7 s after" in caught.value.message()


def test_an_error_while_waiting_says_that_the_revocation_stands() -> None:
    with pytest.raises(ApiError) as caught:
        _resource.await_absence(FakeApi(api_error(403, "X")), API_KEYS.of(ORG), key(), 7)  # type: ignore[arg-type]
    assert "accepted the revocation" in caught.value.message()


@pytest.mark.parametrize(
    ("differing", "is_one"),
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
def test_a_created_key_has_both_its_keys_in_clear(differing: dict[str, Any], is_one: bool) -> None:
    answer = {**data(key()), "privateKey": "55c3bbb6-b4bb-40be-8e66-d20841f3e000", **differing}
    created = parse_created(answer)
    assert (created is not None) is is_one
    if created:
        assert (created.key, created.private_key) == (key(), answer["privateKey"])


@pytest.mark.parametrize("answer", [None, [], "x", {}])
def test_an_answer_of_another_shape_is_no_created_key(answer: Any) -> None:
    assert parse_created(answer) is None


class CreatingApi(FakeApi):
    """A client whose POST ends in an error."""

    def __init__(self, error: Exception, **more: Any) -> None:
        super().__init__(None, **more)
        self.error = error

    def post(self, *_arguments: Any, **_more: Any) -> Any:
        raise self.error


def test_a_creation_in_doubt_tells_the_error_and_what_is_new() -> None:
    error = api_error(500, "UNEXPECTED_ERROR", outcome_unknown=True)
    error.detail = "later"
    api: Any = CreatingApi(error, keys=[key(), key(OTHER)])
    with pytest.raises(OrphanError) as caught:
        create(api, ORG, "d", ["ORG_MEMBER"], {ID})
    fields = caught.value.fields()
    assert (fields["status"], fields["code"]) == (500, "UNEXPECTED_ERROR")
    assert (fields["detail"], fields["parameters"]) == ("later", [OTHER])
    assert caught.value.results == {"changed": True}


def test_a_created_key_is_told_of_each_twin_and_of_no_other() -> None:
    api: Any = FakeApi(keys=[key(), key(OTHER), key("c" * 24, "x"), key("a" * 24)])
    (warning,) = _resource.duplicate_warnings(api, API_KEYS.of(ORG), [key()], {"a" * 24})
    assert warning == (
        f"API key {ID} (abcdefgh) was created, and another run created {OTHER} (abcdefgh) with "
        "the same description in the meantime: revoke one of them by its ID."
    )
    # As soon as the API shows the new key.
    assert api.virtual.sleeps == []


def test_new_keys_are_waited_for_until_the_api_shows_all_of_them() -> None:
    api: Any = FakeApi(keys=[key(OTHER)])
    assert len(_resource.duplicate_warnings(api, API_KEYS.of(ORG), [key()], ())) == 1
    assert sum(api.virtual.sleeps) <= ORPHAN_PATIENCE
    pauses = api.virtual.sleeps
    assert len(pauses) > 3
    assert pauses == [min(pauses[0] * 2**n, max(pauses)) for n in range(len(pauses))]


class ChangedApi(FakeApi):
    """A client whose PATCH ends in an error, or is answered with a key; and what is read then."""

    def __init__(self, patched: Any, *read: Any) -> None:
        super().__init__(*read)
        self.patched = patched
        self.asked: list[Any] = []

    def patch(self, call: Call, body: Any, parse: Any) -> Any:
        self.asked.append((call.path, body, call.operation, call.required_role))
        if isinstance(self.patched, Exception):
            raise self.patched
        return parse(data(self.patched))


CHANGES = {"description": "new", "roles": ("ORG_READ_ONLY",)}
CHANGED = replace(key(description="new"), roles=("ORG_READ_ONLY",))


def lost_change() -> LostAnswerError:
    error = LostAnswerError("lost", request=Request("PATCH", "https://h", "/p", "change it"))
    error.outcome_unknown = True
    return error


def test_a_change_sends_what_differs_and_returns_the_key() -> None:
    api: Any = ChangedApi(CHANGED)
    assert update(api, ORG, key(), CHANGES).description == "new"
    body = {"desc": "new", "roles": ("ORG_READ_ONLY",)}
    operation = f"change the API key {ID} (abcdefgh)"
    assert api.asked == [(f"/orgs/{ORG}/apiKeys/{ID}", body, operation, "Organization Owner")]


def test_an_answer_about_another_key_is_none_to_a_change() -> None:
    api: Any = ChangedApi(key(OTHER, "new"))
    assert update(api, ORG, key(), CHANGES) is None


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        (CHANGES, CHANGED),
        ({"roles": ("ORG_READ_ONLY",)}, replace(CHANGED, description="d")),
        ({"description": "new"}, key(description="new")),
    ],
)
def test_a_lost_answer_to_a_change_that_was_made_is_none_lost(
    changes: dict[str, Any], now: OrgApiKey
) -> None:
    assert update(ChangedApi(lost_change(), now), ORG, key(), changes) == now  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "now", "state"),
    [
        (CHANGES, key(), "'d' with the roles ORG_MEMBER"),
        (CHANGES, key(description="new"), "'new' with the roles ORG_MEMBER"),
        (CHANGES, replace(CHANGED, description="d"), "'d' with the roles ORG_READ_ONLY"),
        # Somebody else has renamed it meanwhile.
        (
            {"roles": ("ORG_READ_ONLY",)},
            replace(CHANGED, roles=("ORG_MEMBER", "ORG_READ_ONLY")),
            "'new' with the roles ORG_MEMBER, ORG_READ_ONLY",
        ),
        (CHANGES, api_error(400, "API_KEY_NOT_FOUND", ID), "missing"),
    ],
)
def test_a_lost_answer_to_a_change_that_was_not_made_tells_what_there_is(
    changes: dict[str, Any], now: Any, state: str
) -> None:
    with pytest.raises(LostAnswerError) as caught:
        update(ChangedApi(lost_change(), now), ORG, key(), changes)  # type: ignore[arg-type]
    assert caught.value.message() == (
        f"Could not change it: lost. The API shows it as {state} now."
    )


def test_a_lost_answer_to_a_change_of_a_key_that_cannot_be_read_is_told_as_such() -> None:
    with pytest.raises(LostAnswerError, match="lost") as caught:
        update(ChangedApi(lost_change(), api_error(503, None)), ORG, key(), CHANGES)  # type: ignore[arg-type]
    assert "may have been carried out" in caught.value.message()


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("parameters", [(), (ID,)])
def test_a_change_of_a_key_that_is_gone_meanwhile_tells_that(status: int, parameters: Any) -> None:
    gone = api_error(status, "API_KEY_NOT_FOUND", *parameters)
    with pytest.raises(MissingError) as caught:
        update(ChangedApi(gone), ORG, key(), CHANGES)  # type: ignore[arg-type]
    message = caught.value.message()
    assert f"The API does not find the API key {ID} (abcdefgh), which this task has seen" in message
    assert "(8 attempts, 10 s of waiting)" in message
    assert "somebody" not in message


def test_a_change_of_a_key_that_is_gone_after_a_lost_answer_tells_both() -> None:
    gone = api_error(400, "API_KEY_NOT_FOUND", ID)
    lost = api_error(400, "API_KEY_NOT_FOUND", ID)
    lost.outcome_unknown = True
    with pytest.raises(MissingError) as caught:
        update(ChangedApi(lost, gone), ORG, key(), CHANGES)  # type: ignore[arg-type]
    assert caught.value.outcome_unknown
    assert "The API shows it as missing now." in caught.value.message()


def test_a_change_of_another_key_that_is_gone_proves_nothing() -> None:
    with pytest.raises(ApiError, match="x"):
        update(ChangedApi(api_error(400, "API_KEY_NOT_FOUND", OTHER)), ORG, key(), CHANGES)  # type: ignore[arg-type]


def test_a_refused_change_is_not_looked_up() -> None:
    refused = api_error(403, "X")
    api: Any = ChangedApi(refused, AssertionError("it was read"))
    with pytest.raises(ApiError) as caught:
        update(api, ORG, key(), CHANGES)
    assert caught.value is refused


@pytest.mark.parametrize("refusals", [1, 4])
def test_a_change_of_a_key_that_is_not_known_yet_is_sent_again(refusals: int) -> None:
    api: Any = ChangedApi(None)
    answers = [api_error(400, "API_KEY_NOT_FOUND", ID)] * refusals

    def patch(_call: Call, body: Any, parse: Any) -> Any:
        api.asked.append(body)
        if answers:
            raise answers.pop()
        return parse(data(CHANGED))

    api.patch = patch
    assert update(api, ORG, key(), CHANGES) == CHANGED
    assert len(api.asked) == refusals + 1
    assert sum(api.virtual.sleeps) <= SETTLE_TIME


def test_a_stop_ends_the_retries_and_says_what_was_not_done() -> None:
    error = api_error(400, "API_KEY_NOT_FOUND", ID)
    api: Any = ChangedApi(error)
    api.cancellation.set_limit(1)
    with pytest.raises(TimeLimitError) as caught:
        update(api, ORG, key(), CHANGES)
    assert caught.value.request is error.request
    assert "nothing was changed" in caught.value.message()
    assert api.virtual.time <= 1001


@pytest.mark.parametrize(
    ("shown", "is_seen_late"),
    [
        (replace(CHANGED, description="d"), True),
        (replace(CHANGED, roles=("ORG_OWNER",)), True),
        (replace(CHANGED, roles=("ORG_OWNER", "ORG_READ_ONLY")), False),
        (replace(CHANGED, description="other"), False),
    ],
)
def test_an_answer_that_contradicts_a_change_is_checked(
    shown: OrgApiKey, is_seen_late: bool
) -> None:
    """The key is read for some seconds; if it never is as asked, the task says what exists."""
    api: Any = ChangedApi(shown, shown, shown, CHANGED if is_seen_late else shown)
    if is_seen_late:
        assert update(api, ORG, key(), CHANGES) == CHANGED
        return
    with pytest.raises(UnexpectedResponseError) as caught:
        update(api, ORG, key(), CHANGES)
    error = caught.value
    assert error.type == "unexpected_response"
    assert error.results == {"changed": True, "org_api_key": shown.result()}
    roles = ", ".join(shown.roles)
    assert f"shows the key as '{shown.description}' with the roles {roles}" in error.message()
    assert "instead of 'new' with the roles ORG_READ_ONLY" in error.message()
    assert sum(api.virtual.sleeps) <= SETTLE_TIME


@pytest.mark.parametrize(
    ("differing", "shown"),
    [
        ({"desc": None}, replace(CHANGED, description="")),
        ({"roles": None}, replace(CHANGED, roles=())),
        ({}, replace(CHANGED, roles=("ORG_MEMBER", "ORG_READ_ONLY"))),
    ],
)
def test_what_an_answer_leaves_out_or_adds_by_itself_is_no_contradiction(
    differing: dict[str, Any], shown: OrgApiKey
) -> None:
    key_, contradiction = _compare({**data(shown), **differing}, shown, CHANGES)
    assert not contradiction
    # What is left out is as the task asked.
    assert (key_.description, set(key_.roles) - {"ORG_MEMBER"}) == ("new", {"ORG_READ_ONLY"})


def new_answer(key_: OrgApiKey) -> dict[str, Any]:
    return {**data(key_), "privateKey": "55c3bbb6-b4bb-40be-8e66-d20841f3e000"}


WRONG = replace(key(), roles=("ORG_MEMBER", "ORG_OWNER"))


class NewApi(FakeApi):
    """A client that creates a key, and a list of what happens to it."""

    def __init__(self, created: OrgApiKey, *looks: Any, delete: Any = None) -> None:
        super().__init__(*looks)
        self.created = created
        self.delete_answer = delete
        self.deleted = 0

    def post(self, _path: str, _body: Any, parse: Any, **_more: Any) -> Any:
        return parse(new_answer(self.created))

    def delete(self, _call: Call) -> None:
        self.deleted += 1
        if self.delete_answer:
            raise self.delete_answer


def test_a_created_key_that_is_as_wanted_after_all_is_kept() -> None:
    api: Any = NewApi(WRONG, WRONG, key())
    created = create(api, ORG, "d", ["ORG_MEMBER"], ())
    assert created.key == key()
    assert created.private_key
    assert not api.deleted


def test_a_created_key_with_other_roles_is_revoked_and_told() -> None:
    api: Any = NewApi(WRONG, WRONG)
    with pytest.raises(UnexpectedResponseError) as caught:
        create(api, ORG, "d", ["ORG_MEMBER"], ())
    error = caught.value
    assert api.deleted == 1
    assert (error.type, error.results) == ("unexpected_response", {})
    assert ID in error.message()
    assert "the roles ORG_MEMBER, ORG_OWNER, but the task asked for" in error.message()
    assert "was revoked to clean up: nothing is left" in error.message()


@pytest.mark.parametrize(
    "refusal", [api_error(403, "X"), api_error(400, "API_KEY_NOT_FOUND", ID)], ids=str
)
def test_a_created_key_with_other_roles_that_cannot_be_revoked_is_left_and_told(
    refusal: ApiError,
) -> None:
    """That the API does not know a key that was just created does not mean that it is gone."""
    api: Any = NewApi(WRONG, WRONG, delete=refusal)
    with pytest.raises(OrphanError) as caught:
        create(api, ORG, "d", ["ORG_MEMBER"], ())
    error = caught.value
    assert (error.type, error.parameters) == ("orphan", [ID])
    assert error.results == {"changed": True, "org_api_key": WRONG.result()}
    assert f"API key {WRONG} may be left" in error.message()
    assert api.deleted == (1 if refusal.code == "X" else 8)


def test_a_created_key_whose_revocation_was_lost_and_then_missing_is_gone() -> None:
    refusal = api_error(400, "API_KEY_NOT_FOUND", ID, outcome_unknown=True)
    with pytest.raises(UnexpectedResponseError, match="but the task asked for"):
        create(NewApi(WRONG, WRONG, delete=refusal), ORG, "d", ["ORG_MEMBER"], ())  # type: ignore[arg-type]


def test_a_created_key_that_is_in_a_project_is_not_as_wanted() -> None:
    wrong = replace(key(), projects=(("5e2211c17a3e5a48f5497de3", ("GROUP_OWNER",)),))
    answer = new_answer(wrong)
    answer["roles"] += [{"roleName": "GROUP_OWNER", "groupId": "5e2211c17a3e5a48f5497de3"}]
    api: Any = NewApi(wrong, wrong)
    api.post = lambda _path, _body, parse, **_more: parse(answer)
    # It is read before it is judged, and shown without projects there.
    assert create(api, ORG, "d", ["ORG_MEMBER"], ()).key.projects == ()
    api.get = lambda *_arguments, **_more: wrong
    with pytest.raises(UnexpectedResponseError, match="but the task asked for"):
        create(api, ORG, "d", ["ORG_MEMBER"], ())
    assert api.deleted == 1


def test_a_plan_of_absence_is_a_change_where_something_is() -> None:
    assert absent({"description": "x"}).is_change
    assert absent({"description": "x"}).diff() == {"before": {"description": "x"}, "after": {}}
    assert not absent(None).is_change
