# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as a task has them: what YAML has changed, and what must not be empty."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._input import (
    drop_empty,
    drop_refused,
    drop_url_user,
    refuse,
)

SPEC: dict[str, dict[str, Any]] = {
    "state": {"type": "str"},
    "description": {"type": "str", "aliases": ["desc"]},
    "credentials_file": {"type": "path"},
    "credentials_dir": {"type": "path"},
    "keep": {"type": "list", "elements": "str"},
    "org_id": {"type": "str"},
    "api_public_key": {"type": "str"},
    "api_private_key": {"type": "str", "no_log": True},
    "client_id": {"type": "str"},
    "client_secret": {"type": "str", "no_log": True},
    "access_token": {"type": "str", "no_log": True},
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
        ({"keep": [{"private_key": "x"}]}, "item 1 of keep is a dictionary, and must be text"),
        ({"api_private_key": [SECRET]}, "api_private_key is a list, and must be text"),
        ({"access_token": {"x": "y"}}, "access_token is a dictionary, and must be text"),
        ({"api_private_key": 1234}, "api_private_key is a number, and must be text"),
        (
            {"api_keys": [{}, {"description": 34}]},
            "description in item 2 of api_keys is a number (34), and must be text",
        ),
        (
            {"api_keys": [{"roles": ["a", True]}]},
            "item 2 of roles in item 1 of api_keys is a boolean (True), and must be text",
        ),
        ({"api_keys": [{"roles": [None]}]}, "item 1 of roles in item 1 of api_keys is null"),
    ],
)
def test_what_is_not_text_is_refused(params: dict[str, Any], start: str) -> None:
    told = message(params)
    assert told.startswith(start + ".")
    assert SECRET not in told


@pytest.mark.parametrize(
    ("value", "start"),
    [
        (5, "api_keys is a number, and must be a list of dictionaries"),
        ({"description": "key 1"}, "api_keys is a dictionary, and must be a list"),
        # Ansible would parse these after the check.
        ('{"description": 34}', "api_keys is text, and must be a list of dictionaries"),
        (['{"description": 34}'], "item 1 of api_keys is text, and must be a dictionary"),
        ([{}, None], "item 2 of api_keys is null, and must be a dictionary"),
    ],
)
def test_only_a_list_of_dictionaries_is_one(value: Any, start: str) -> None:
    told = message({"api_keys": value})
    assert told.startswith(start)
    assert "put it in quotes" not in told


def test_refused_values_are_removed_before_ansible_shows_them() -> None:
    params = {
        "_ansible_diff": True,
        "description": {"private_key": SECRET},
        "keep": [SECRET],
        "api_keys": [{"description": 5}],
        "api_private_key": "x",
        "unknown": {"a": SECRET},
    }
    drop_refused(params, SPEC)
    assert params == {"_ansible_diff": True, "api_private_key": "x"}


MASKS = ["********", "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"]
MASKED = ["{}", "nightly {}", "{} key", "a {} b", "*{}"]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("text", MASKED)
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("description", "{}"),
        ("desc", "{}"),
        ("credentials_file", "{}"),
        ("keep", ["fine", "{}"]),
        ("api_keys", [{"description": "fine"}, {"description": "{}"}]),
        ("api_keys", [{"description": "fine", "roles": ["{}"]}]),
        ("api_keys", [{"description": "fine", "access_list": ["192.0.2.1", "{}"]}]),
        ("api_keys", [{"description": "fine", "{}": 1}]),
        ("api_private_key", "{}"),
    ],
)
def test_text_that_ansible_has_masked_is_refused(
    name: str, place: Any, text: str, mask: str
) -> None:
    value = json.loads(json.dumps(place).replace("{}", text.replace("{}", mask)))
    told = message({name: value})
    assert told.startswith(f"{name} contains ******** or VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")
    assert "not the original text" in told


@pytest.mark.parametrize("text", ["*******", "laptop *", "* * * * * * * *", "NO_LOG"])
def test_text_that_is_no_mask_is_accepted(text: str) -> None:
    params = {"description": text, "keep": [text], "api_keys": [{"description": text}]}
    assert refuse(params, SPEC, ()) is None


@pytest.mark.parametrize(
    "url", ["https://user:pass@host", "https://user:pa/ss@host", "user:pass@host", "http:u@host"]
)
def test_a_url_with_a_user_is_refused_and_not_shown(url: str) -> None:
    params = {"base_url": url, "description": "key 1"}
    assert message(params).startswith("base_url has a user or a password in it")
    drop_url_user(params)
    assert params == {"description": "key 1"}
    drop_url_user(params)
    other = {"base_url": "https://host"}
    drop_url_user(other)
    assert other


@pytest.mark.parametrize("value", [34, True, ["a"], {"a": 1}])
def test_the_advice_is_to_quote_and_to_convert_at_the_source(value: Any) -> None:
    told = message({"description": value})
    assert "put it in quotes" in told
    assert "`| string` at its source, not here" in told


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize(
    "name", ["state", "keep", "credentials_file", "credentials_dir", "description", "desc"]
)
def test_an_empty_value_that_would_widen_the_task_is_refused(name: str, empty: Any) -> None:
    told = message({name: empty}, "description")
    assert told.startswith(f"{name} is empty")
    assert "default(omit, true)" in told


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize(
    "credential",
    ["api_public_key", "api_private_key", "client_id", "client_secret", "access_token"],
)
def test_an_empty_organization_beside_a_credential_is_refused(credential: str, empty: Any) -> None:
    assert refuse({"org_id": empty}, SPEC, ()) is None
    assert refuse({"org_id": empty, credential: empty}, SPEC, ()) is None
    told = message({"org_id": empty, credential: SECRET})
    assert SECRET not in told
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
