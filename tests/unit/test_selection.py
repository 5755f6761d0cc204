# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys a selection matches, and when it must not guess."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk._selection import (
    Selection,
    check_keep,
    check_kept_exactly,
    check_provable,
    is_kept,
    pattern_warnings,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    GuardError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
)

ORG = "5a0000000000000000000001"
IDS = [f"5ae{number:021d}" for number in range(5)]
PROJECT = "5a00000000000000000000aa"


def key(number: int, description: str, *roles: str, project: str = "") -> OrgApiKey:
    projects = ((project, ("GROUP_OWNER",)),) if project else ()
    return OrgApiKey(IDS[number], description, "publick" + "abcde"[number], roles, projects)


KEYS = [
    key(0, "laptop of anna", "ORG_OWNER"),
    key(1, "laptop of bert", "ORG_MEMBER", project=PROJECT),
    key(2, "backup", "ORG_MEMBER", "ORG_GROUP_CREATOR"),
    key(3, "backup", "ORG_READ_ONLY", project=PROJECT),
    key(4, "Backup [old]", "ORG_MEMBER"),
]
HIDDEN = replace(KEYS[0], public_key=None)


@pytest.mark.parametrize(
    ("selectors", "numbers"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"api_user_ids": [IDS[3], IDS[1]]}, [1, 3]),
        ({"public_keys": [KEYS[2].public_key]}, [2]),
        ({"descriptions": ["backup"]}, [2, 3]),
        ({"descriptions": ["back", "BACKUP"]}, []),
        ({"description_match": ["laptop *", "no key"]}, [0, 1]),
        ({"description_match": ["?ackup*"]}, [2, 3, 4]),
        ({"description_match": ["*[[]old]"]}, [4]),
        ({"description_match": ["laptop"]}, []),
        ({"roles": ["ORG_OWNER", "ORG_READ_ONLY"]}, [0, 3]),
        ({"project_id": PROJECT}, [1, 3]),
        ({"project_id": PROJECT, "roles": ["ORG_MEMBER"]}, [1]),
        ({"descriptions": ["backup"], "api_user_ids": [IDS[3], IDS[4]]}, [3]),
        # An empty list matches no key.
        ({"api_user_ids": []}, []),
        ({"roles": [], "project_id": PROJECT}, []),
    ],
)
def test_a_key_must_match_one_value_of_each_selector(
    selectors: dict[str, Any], numbers: list[int]
) -> None:
    selection = Selection(**selectors)
    assert [key for key in KEYS if selection.fits(key)] == [KEYS[number] for number in numbers]


@pytest.mark.parametrize(
    ("pattern", "roles", "expected"),
    [
        ("*", None, True),
        ("?*", None, False),
        ("*", ["ORG_MEMBER"], True),
        ("*", ["ORG_OWNER"], False),
    ],
)
def test_a_key_without_a_description_may_fit_except_for_it(
    pattern: str, roles: list[str] | None, expected: bool
) -> None:
    selection = Selection(description_match=[pattern], roles=roles)
    assert selection.would_fit_described(key(0, "", "ORG_MEMBER")) is expected
    assert not selection.would_fit_described(key(0, "named", "ORG_MEMBER"))


def test_values_that_no_key_has_are_reported_once_and_in_order() -> None:
    selection = Selection(
        api_user_ids=["f" * 24, IDS[0], "e" * 24, "f" * 24],
        public_keys=["zzzzzzzz"],
        descriptions=["gone", "backup"],
        description_match=["none *"],
        project_id="d" * 24,
    )
    assert selection.missing(KEYS) == ["f" * 24, "e" * 24, "zzzzzzzz", "d" * 24, "gone"]
    assert Selection(project_id=PROJECT).missing(KEYS) == []


@pytest.mark.parametrize(
    "selection",
    [
        Selection(public_keys=["zzzzzzzz"]),
        Selection(descriptions=["backup", "laptop of  anna"]),
        Selection(descriptions=["backup\n"]),
    ],
)
def test_a_key_that_may_exist_in_another_form_is_not_missing(selection: Selection) -> None:
    with pytest.raises(AmbiguousError) as caught:
        check_provable(selection, ORG, [HIDDEN, *KEYS[1:]], look_alikes="refuse")
    message = caught.value.message()
    assert "Nothing was changed." in message
    assert ORG in message
    assert ("api_user_ids" in message) is (selection.public_keys is not None)


def test_only_the_selected_values_must_be_provable() -> None:
    known = Selection(public_keys=[str(KEYS[1].public_key)])
    check_provable(known, ORG, [HIDDEN, *KEYS[1:]], look_alikes="refuse")
    check_provable(Selection(public_keys=["zzzzzzzz"]), ORG, KEYS, look_alikes="refuse")
    check_provable(Selection(descriptions=["BACKUP"]), ORG, KEYS, look_alikes="ignore")
    # Keys whose descriptions differ in whitespace are different keys.
    first = replace(KEYS[1], description="back up")
    keys = [first, replace(first, description=" ")]
    check_provable(Selection(descriptions=["back up"]), ORG, keys, look_alikes="refuse")


@pytest.mark.parametrize(
    ("item", "numbers"),
    [
        (IDS[2], [2]),
        (KEYS[1].public_key, [1]),
        ("backup", [2, 3]),
        ("*", [0, 1, 2, 3, 4]),
        ("laptop of ?nna", [0]),
        ("nothing", []),
    ],
)
def test_a_key_is_kept_by_its_id_public_key_or_description(item: str, numbers: list[int]) -> None:
    kept = [key for key in KEYS if is_kept(key, ["unknown", item])]
    assert kept == [KEYS[number] for number in numbers]


def test_a_public_key_in_keep_that_may_be_hidden_is_refused() -> None:
    check_keep(["zzzzzzzz", "laptop *"], ORG, KEYS, [], on_missing="fail")
    known = [str(KEYS[1].public_key), "laptop *"]
    check_keep(known, ORG, [HIDDEN, *KEYS[1:]], KEYS[2:], on_missing="fail")
    for item in ("zzzzzzzz", " ZZZZZZZZ\n"):
        with pytest.raises(AmbiguousError, match=f"{ORG} has the public key zzzzzzzz") as caught:
            check_keep([item], ORG, [HIDDEN, *KEYS[1:]], [], on_missing="warn")
        assert "keep" in caught.value.hint


@pytest.mark.parametrize("item", ["nightly backup", "NIGHTLY *", "shouting"])
def test_an_item_that_only_looks_like_a_key_is_refused(item: str) -> None:
    loud = replace(key(0, "Nightly  Backup"), public_key="SHOUTING")
    with pytest.raises(AmbiguousError, match="keep: "):
        # The first item matches exactly.
        check_kept_exactly([loud.id, item], ORG, [loud], [loud])
    check_kept_exactly([item], ORG, KEYS, KEYS)


@pytest.mark.parametrize(
    ("description", "item"),
    [(" CI", "* ci"), ("Prod  key", "prod??key"), ("CI", "c*"), ("C  I", "c i*")],
)
def test_a_pattern_that_only_look_alikes_match_is_refused(description: str, item: str) -> None:
    keys = [key(0, description)]
    with pytest.raises(AmbiguousError, match=f"look like it: {keys[0].id}"):
        check_kept_exactly([item], ORG, keys, keys)


def test_an_exact_item_keeps_only_its_own_key() -> None:
    keys = [key(0, "ci"), key(1, "CI")]
    check_kept_exactly(["ci"], ORG, keys, keys[1:])
    with pytest.raises(AmbiguousError, match=f"look like it: {keys[1].id}"):
        check_kept_exactly(["Ci"], ORG, keys, keys[1:])


def test_items_of_keep_that_match_no_key_stop_revocations_only() -> None:
    keep = ["bakcup", "gone *", IDS[0], "backup", "f" * 24]
    expected = ["keep: 'bakcup'", "keep: 'gone *'", f"keep: '{'f' * 24}'"]
    for revoked, on_missing in (([], "fail"), (KEYS[1:2], "warn")):
        warnings = check_keep(keep, ORG, KEYS, revoked, on_missing=on_missing)
        assert [warning.partition(" matches")[0] for warning in warnings] == expected
    with pytest.raises(GuardError, match="'bakcup', 'gone \\*'") as caught:
        check_keep(keep, ORG, KEYS, KEYS[1:2], on_missing="fail")
    assert caught.value.parameters == [IDS[1]]


def test_patterns_that_match_no_key_or_only_look_alikes_give_warnings() -> None:
    selection = Selection(description_match=["backup*", "gone *"])
    warnings = pattern_warnings(selection, ORG, KEYS, look_alikes="refuse")
    assert len(warnings) == 2
    assert "'gone *'" in warnings[0]
    assert IDS[4] in warnings[1]
    assert IDS[2] not in warnings[1]
    assert len(pattern_warnings(selection, ORG, KEYS, look_alikes="ignore")) == 1
