# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of an audit in keys."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.filter.org_api_key_findings import (
    FilterModule,
    findings,
)

PROJECT = {"project_id": "5e2211c17a3e5a48f5497de3", "roles": ["GROUP_READ_ONLY"]}


def key(description: str = "a key", **changes: Any) -> dict[str, Any]:
    """Return a key without findings."""
    return {
        "id": "32b6e34b3d91647abb20e7b8",
        "public_key": "zmmrboas",
        "description": description,
        "roles": ["ORG_MEMBER"],
        "projects": [PROJECT],
        "access_list": ["192.0.2.7"],
        **changes,
    }


def names(*keys: dict[str, Any]) -> list[list[str]]:
    return [found["findings"] for found in findings(keys)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"roles": ["ORG_OWNER"]}, ["org_owner"]),
        ({"roles": ["ORG_MEMBER", "ORG_OWNER"]}, ["org_owner"]),
        ({"roles": []}, []),
        ({"access_list": []}, ["no_access_list"]),
        ({"projects": []}, ["no_project"]),
        # The role is in a project, not in the organization.
        ({"projects": [{**PROJECT, "roles": ["ORG_OWNER"]}]}, []),
        (
            {"roles": ["ORG_OWNER"], "access_list": [], "projects": []},
            ["org_owner", "no_access_list", "no_project"],
        ),
    ],
)
def test_finding_is_named(changes: dict[str, Any], expected: list[str]) -> None:
    assert names(key(**changes)) == [expected]


@pytest.mark.parametrize(
    "access_list",
    [
        ["0.0.0.0/0"],
        ["::/0"],
        ["192.0.2.7", "0.0.0.0/0"],
        ["2001:db8::1", "0.0.0.0/0"],
        ["0.0.0.0/1", "128.0.0.0/1"],
        ["::/1", "8000::/2", "c000::/2"],
    ],
)
def test_access_list_that_allows_every_address_is_a_finding(access_list: list[str]) -> None:
    assert names(key(access_list=access_list)) == [["any_address"]]


@pytest.mark.parametrize(
    "access_list",
    [["0.0.0.0"], ["::"], ["0.0.0.0/1"], ["128.0.0.0/1", "::/1"], ["10.0.0.0/8", "2001:db8::/32"]],
)
def test_access_list_that_does_not_allow_every_address_is_not_a_finding(
    access_list: list[str],
) -> None:
    assert names(key(access_list=access_list)) == [[]]


@pytest.mark.parametrize("unread", [{}, {"access_list": None}])
def test_access_list_that_was_not_read_has_no_findings(unread: dict[str, Any]) -> None:
    """The info module returns access lists only on request."""
    plain = key(projects=[], **unread)
    if not unread:
        del plain["access_list"]
    assert names(plain) == [["no_project"]]


def test_same_description_is_found_for_each_key() -> None:
    assert names(key(""), key("")) == [[], []]
    assert names(key("twin"), key("other"), key("twin"), key("Twin"), key("twin ")) == [
        ["same_description"],
        [],
        ["same_description"],
        [],
        [],
    ]


def test_keys_are_returned_unchanged_and_in_order() -> None:
    keys = [key("b"), key("a", access_list=[])]
    before = deepcopy(keys)
    found = findings(keys)
    assert keys == before
    assert [{k: v for k, v in item.items() if k != "findings"} for item in found] == before


def test_empty_list_has_no_findings() -> None:
    assert findings([]) == []


@pytest.mark.parametrize("wrong", ["text", {"org_api_keys": []}, None, 7])
def test_other_types_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="takes a list of keys"):
        findings(wrong)


def test_invalid_entry_is_an_error() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        findings([key(access_list=["nonsense"])])


def test_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"org_api_key_findings": findings}
