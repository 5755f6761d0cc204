# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as a task has them: what YAML has changed, and what must not be empty."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._input import drop_empty, refuse

SPEC: dict[str, dict[str, Any]] = {
    "state": {"type": "str"},
    "description": {"type": "str", "aliases": ["desc"]},
    "credentials_file": {"type": "path"},
    "keep": {"type": "list", "elements": "str"},
    "org_id": {"type": "str"},
    "api_private_key": {"type": "str", "no_log": True},
    "wait": {"type": "bool"},
    "timeout": {"type": "float"},
    "api_keys": {
        "type": "list",
        "elements": "dict",
        "options": {
            "description": {"type": "str"},
            "roles": {"type": "list", "elements": "str"},
            "access_list": {"type": "list", "elements": "str"},
        },
    },
}
SECRET = "5f0d9a4e-1c2b-4a00-8223-3011aabbccdd"


def message(params: dict[str, Any], *filters: str) -> str:
    error = refuse(params, SPEC, filters)
    assert error is not None
    assert error.fields()["type"] == "options"
    return error.message()


@pytest.mark.parametrize(
    ("params", "start"),
    [
        ({"description": 34}, "description is a number (34), and must be text"),
        ({"desc": 1.1}, "desc is a number (1.1), and must be text"),
        ({"description": False}, "description is a boolean (False), and must be text"),
        ({"description": {"a": SECRET}}, "description is a dictionary, and must be text"),
        ({"description": ["key 1", 2]}, "description is a list (['key 1', 2]), and must be text"),
        ({"description": [{"private_key": "x"}]}, "description is a list, and must be text"),
        ({"description": [SECRET]}, "description is a list, and must be text"),
        ({"credentials_file": 42}, "credentials_file is a number (42), and must be text"),
        ({"keep": 1.1}, "keep is a number (1.1), and must be a list of texts"),
        ({"keep": ["a", 1.1]}, "item 2 of keep is a number (1.1), and must be text"),
        ({"keep": [None]}, "item 1 of keep is null"),
        ({"api_private_key": 1234}, "api_private_key is a number, and must be text"),
        (
            {"api_keys": [{}, {"description": 34}]},
            "description in item 2 of api_keys is a number (34), and must be text",
        ),
        (
            {"api_keys": [{"roles": ["a", True]}]},
            "item 2 of roles in item 1 of api_keys is a boolean (True), and must be text",
        ),
    ],
)
def test_what_is_not_text_is_refused(params: dict[str, Any], start: str) -> None:
    told = message(params)
    assert told.startswith(start + ".")
    assert SECRET not in told


@pytest.mark.parametrize("value", [34, True, ["a"], {"a": 1}])
def test_the_advice_is_to_quote_and_to_convert_at_the_source(value: Any) -> None:
    told = message({"description": value})
    assert "put it in quotes" in told
    assert "`| string` at its source, not here" in told


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize("name", ["state", "keep", "credentials_file", "desc"])
def test_an_empty_value_that_would_widen_the_task_is_refused(name: str, empty: Any) -> None:
    assert message({name: empty}, "description").startswith(f"{name} is empty")


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_organization_beside_a_credential_is_refused(empty: Any) -> None:
    assert refuse({"org_id": empty}, SPEC, ()) is None
    assert refuse({"org_id": empty, "api_private_key": ""}, SPEC, ()) is None
    told = message({"org_id": empty, "api_private_key": SECRET})
    assert told.startswith("org_id is empty")
    assert "default(omit, true)" in told


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_access_list_of_a_declared_key_is_refused(empty: Any) -> None:
    told = message({"api_keys": [{"access_list": []}, {"access_list": empty}]})
    assert told.startswith("access_list in item 2 of api_keys is empty")


@pytest.mark.parametrize(
    "params",
    [
        {"description": "0042", "keep": [], "state": "present", "wait": True, "timeout": 5},
        {"description": "", "wait": None, "timeout": ""},
        {"keep": "one text, which becomes a list"},
        {"unknown": 5},
    ],
)
def test_everything_else_is_left_to_the_module(params: dict[str, Any]) -> None:
    assert refuse(params, SPEC, ()) is None


def test_empty_options_are_removed() -> None:
    params = {"state": "", "wait": None, "keep": [], "api_keys": [{"description": "", "roles": []}]}
    drop_empty(params, SPEC)
    assert params == {"keep": [], "api_keys": [{"roles": []}]}
