# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys a selection means, and where it must not guess."""

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
        ({"description_match": ["laptop *", "nobody"]}, [0, 1]),
        ({"description_match": ["?ackup*"]}, [2, 3, 4]),
        ({"description_match": ["*[[]old]"]}, [4]),
        ({"description_match": ["laptop"]}, []),
        ({"roles": ["ORG_OWNER", "ORG_READ_ONLY"]}, [0, 3]),
        ({"project_id": PROJECT}, [1, 3]),
        ({"project_id": PROJECT, "roles": ["ORG_MEMBER"]}, [1]),
        ({"descriptions": ["backup"], "api_user_ids": [IDS[3], IDS[4]]}, [3]),
        # Given and empty: any of none.
        ({"api_user_ids": []}, []),
        ({"roles": [], "project_id": PROJECT}, []),
    ],
)
def test_selectors_are_joined_with_or_within_and_with_and_between(
    selectors: dict[str, Any], numbers: list[int]
) -> None:
    selection = Selection(**selectors)
    assert [key for key in KEYS if selection.fits(key)] == [KEYS[number] for number in numbers]


def test_names_that_nothing_has_are_told_once_and_in_order() -> None:
    selection = Selection(
        api_user_ids=["f" * 24, IDS[0], "e" * 24, "f" * 24],
        public_keys=["zzzzzzzz"],
        descriptions=["gone", "backup"],
        description_match=["none *"],
    )
    assert selection.missing(KEYS) == ["f" * 24, "e" * 24, "zzzzzzzz", "gone"]


@pytest.mark.parametrize(
    "selection",
    [
        Selection(public_keys=["zzzzzzzz"]),
        Selection(descriptions=["backup", "laptop of  anna"]),
        Selection(descriptions=["backup\n"]),
    ],
)
def test_what_may_be_there_under_another_guise_is_not_missing(selection: Selection) -> None:
    with pytest.raises(AmbiguousError) as caught:
        check_provable(selection, ORG, [HIDDEN, *KEYS[1:]], look_alikes="refuse")
    assert "Nothing was changed." in caught.value.message()


def test_a_proof_needs_no_more_than_what_is_named() -> None:
    known = Selection(public_keys=[str(KEYS[1].public_key)])
    check_provable(known, ORG, [HIDDEN, *KEYS[1:]], look_alikes="refuse")
    check_provable(Selection(public_keys=["zzzzzzzz"]), ORG, KEYS, look_alikes="refuse")
    check_provable(Selection(descriptions=["BACKUP"]), ORG, KEYS, look_alikes="ignore")
    # Two keys whose descriptions differ in blanks are two keys.
    twin = replace(KEYS[1], description="back up")
    keys = [twin, replace(twin, description=" ")]
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
def test_a_key_is_kept_by_its_id_its_public_key_or_its_description(
    item: str, numbers: list[int]
) -> None:
    kept = [key for key in KEYS if is_kept(key, ["unknown", item])]
    assert kept == [KEYS[number] for number in numbers]


def test_a_public_key_to_keep_that_cannot_be_found_is_not_passed_over() -> None:
    check_keep(["zzzzzzzz", "laptop *"], ORG, KEYS, [], on_missing="fail")
    known = [str(KEYS[1].public_key), "laptop *"]
    check_keep(known, ORG, [HIDDEN, *KEYS[1:]], KEYS[2:], on_missing="fail")
    for item in ("zzzzzzzz", " ZZZZZZZZ\n"):
        with pytest.raises(AmbiguousError, match="public key zzzzzzzz"):
            check_keep([item], ORG, [HIDDEN, *KEYS[1:]], [], on_missing="warn")


@pytest.mark.parametrize("item", ["nightly backup", "NIGHTLY *", "shouting"])
def test_a_slip_of_the_pen_may_be_on_the_side_of_the_key(item: str) -> None:
    loud = replace(key(0, "Nightly  Backup"), public_key="SHOUTING")
    with pytest.raises(AmbiguousError, match="keep has"):
        check_kept_exactly([item], ORG, [loud], [loud])
    check_kept_exactly([item], ORG, KEYS, KEYS)


@pytest.mark.parametrize(
    ("description", "item"),
    [(" CI", "* ci"), ("Prod  key", "prod??key"), ("CI", "c*"), ("C  I", "c i*")],
)
def test_a_pattern_may_count_whitespace_or_not(description: str, item: str) -> None:
    keys = [key(0, description)]
    with pytest.raises(AmbiguousError, match=f"only as look-alikes: {keys[0].id}"):
        check_kept_exactly([item], ORG, keys, keys)


def test_an_exact_item_keeps_only_its_own_key() -> None:
    keys = [key(0, "ci"), key(1, "CI")]
    check_kept_exactly(["ci"], ORG, keys, keys[1:])
    with pytest.raises(AmbiguousError, match=f"only as look-alikes: {keys[1].id}"):
        check_kept_exactly(["Ci"], ORG, keys, keys[1:])


def test_items_that_keep_nothing_stop_revocations_only() -> None:
    keep = ["bakcup", "gone *", IDS[0], "backup", "f" * 24]
    expected = ["keep has 'bakcup'", "keep has 'gone *'", f"keep has '{'f' * 24}'"]
    for revoked, on_missing in (([], "fail"), (KEYS[1:2], "warn")):
        told = check_keep(keep, ORG, KEYS, revoked, on_missing=on_missing)
        assert [warning.partition(",")[0] for warning in told] == expected
    with pytest.raises(GuardError, match="'bakcup', 'gone \\*'") as caught:
        check_keep(keep, ORG, KEYS, KEYS[1:2], on_missing="fail")
    assert caught.value.parameters == [IDS[1]]


def test_patterns_warn_about_nothing_and_about_look_alikes() -> None:
    selection = Selection(description_match=["backup*", "gone *"])
    warnings = pattern_warnings(selection, ORG, KEYS, look_alikes="refuse")
    assert len(warnings) == 2
    assert "'gone *'" in warnings[0]
    assert IDS[4] in warnings[1]
    assert IDS[2] not in warnings[1]
    assert len(pattern_warnings(selection, ORG, KEYS, look_alikes="ignore")) == 1
