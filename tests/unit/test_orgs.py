# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Organizations: parsing the API's JSON, and selecting some of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import (
    UnreadableError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._orgs import (
    Organization,
    list_all,
    parse,
    select,
)

ONE, TWO = "a" * 23 + "1", "a" * 23 + "2"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"id": ONE, "name": "a"}, Organization(ONE, "a")),
        ({"id": ONE, "name": "a", "isDeleted": False, "links": []}, Organization(ONE, "a")),
        ({"id": ONE, "name": "", "isDeleted": None}, Organization(ONE, "")),
        ({"id": ONE, "name": "a", "isDeleted": True}, Organization(ONE, "a", is_deleted=True)),
        (None, None),
        ("a", None),
        ([], None),
    ],
)
def test_an_organization_has_an_id_and_a_name(data: Any, expected: Any) -> None:
    assert parse(data) == expected


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"id": 1, "name": "a"}, "id is a number"),
        ({"id": "1", "name": "a"}, "id is an unexpected string"),
        ({"id": ONE.upper(), "name": "a"}, "id is an unexpected string"),
        ({"id": f"{ONE}/../{TWO}", "name": "a"}, "id is an unexpected string"),
        ({"id": ONE, "name": None}, f"organization {ONE}: name is missing"),
        ({"id": ONE, "name": {}}, f"organization {ONE}: name is an object"),
        ({"name": "a"}, "id is missing"),
        ({}, "id is missing"),
    ],
)
def test_an_unreadable_field_of_an_organization_is_reported(data: Any, text: str) -> None:
    with pytest.raises(UnreadableError, match=text):
        parse(data)


def test_deleted_organizations_are_left_out() -> None:
    class FakeApi:
        def pages(self, call: Any, parse_: Any, identity: Any) -> list[Any]:
            assert call.path == "/orgs"
            items = [{"id": ONE, "name": "a", "isDeleted": True}, {"id": TWO, "name": "a"}]
            found = [parse_(item) for item in items]
            assert [identity(org) for org in found] == [ONE, TWO]
            return found

    api: Any = FakeApi()
    assert list_all(api) == [Organization(TWO, "a")]


@given(
    st.lists(st.builds(Organization, st.text("12", min_size=1, max_size=2), st.text("ab"))),
    st.none() | st.text("ab", max_size=2),
    st.none() | st.text("12", min_size=1, max_size=2),
)
def test_a_selection_is_a_sorted_filter(
    orgs: list[Organization], name: str | None, org_id: str | None
) -> None:
    expected = []
    for org in sorted(orgs, key=lambda org: org.id):
        if (name is None or org.name == name) and (org_id is None or org.id == org_id):
            expected.append(org)
    expected.sort(key=lambda org: org.name)
    assert select(orgs, name=name, org_id=org_id) == expected
