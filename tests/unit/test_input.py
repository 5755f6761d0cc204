# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options before Ansible converts them: wrong types, masked text, and empty values."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._input import (
    drop_empty,
    drop_refused,
    refuse,
)

SPEC: dict[str, dict[str, Any]] = {
    "api_keys": {
        "type": "list",
        "elements": "dict",
        "options": {
            "description": {"type": "str"},
            "roles": {"type": "list", "elements": "str"},
            "access_list": {"type": "list", "elements": "str"},
        },
    },
    "state": {"type": "str"},
    "credentials_file": {"type": "path"},
    "credentials_dir": {"type": "path"},
    "keep": {"type": "list", "elements": "str"},
    "roles": {"type": "list", "elements": "str"},
    "base_url": {"type": "str"},
    "org_id": {"type": "str"},
    "api_public_key": {"type": "str"},
    "api_private_key": {"type": "str", "no_log": True},
    "client_id": {"type": "str"},
    "client_secret": {"type": "str", "no_log": True},
    "access_token": {"type": "str", "no_log": True},
    "wait": {"type": "bool"},
    "timeout": {"type": "float"},
    "query": {"type": "dict"},
    "body": {"type": "raw"},
    "access_list": {"type": "list", "elements": "str"},
    "secrets": {"type": "list", "elements": "str", "no_log": True},
    "of_no_type": {},
    "description": {"type": "str", "aliases": ["desc"]},
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
        ({"description": 10**119}, f"description is a number ({10**119}), and must be text"),
        ({"desc": 1.1}, "desc is a number (1.1), and must be text"),
        ({"description": False}, "description is a boolean (False), and must be text"),
        ({"description": {"a": SECRET}}, "description is a dictionary, and must be text"),
        ({"description": ["key 1", 2]}, "description is a list (['key 1', 2]), and must be text"),
        ({"description": [{"private_key": "x"}]}, "description is a list, and must be text"),
        ({"description": [SECRET]}, "description is a list, and must be text"),
        ({"credentials_file": 42}, "credentials_file is a number (42), and must be text"),
        ({"keep": 1.1}, "keep is a number (1.1), and must be a list of strings"),
        ({"keep": ["a", 1.1]}, "item 2 of keep is a number (1.1), and must be text"),
        ({"keep": {"a": 1}}, "keep is a dictionary, and must be a list of strings"),
        ({"keep": [None]}, "item 1 of keep is null"),
        ({"secrets": 1234}, "secrets is a number, and must be a list of strings"),
        ({"secrets": [1234]}, "item 1 of secrets is a number, and must be text"),
        ({"of_no_type": 34}, "of_no_type is a number (34), and must be text"),
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
def test_refuses_value_that_is_not_text(params: dict[str, Any], start: str) -> None:
    refused = message(params)
    assert refused.startswith(start + ".")
    assert SECRET not in refused
    assert "`| string` at its source" in refused or "is null" in refused
    assert "in quotes" in refused
    has_parts = bool(re.search("is a (list|dictionary).* must be text$", start))
    assert ("write a loop" in refused) == has_parts


@pytest.mark.parametrize(
    "accepted",
    [{"api_keys": []}, {"state": None}, {"state": "x"}, {"wait": True}, {"query": {}}],
)
def test_each_option_is_checked(accepted: dict[str, Any]) -> None:
    for params in ({**accepted, "description": 34}, {"description": 34, **accepted}):
        assert message(params).startswith("description is a number (34)")


@pytest.mark.parametrize(
    ("name", "value", "start"),
    [
        ("query", "a=b", "query is text. It must be a dictionary. Write each name and value below"),
        ("query", [], "query is a list. It must be a dictionary. Write"),
        ("body", "{}", "body is text. It must be a dictionary or a list. Write it as YAML"),
        ("body", 1, "body is a number. It must be a dictionary or a list. Write it as YAML"),
    ],
)
def test_refuses_value_that_is_not_structured(name: str, value: Any, start: str) -> None:
    assert message({name: value}).startswith(start)


@pytest.mark.parametrize(
    "params",
    [
        {"query": {}},
        {"query": {"a": 1}},
        {"body": {}},
        {"body": {"a": 1}},
        {"body": [1]},
        {"body": [{"access_list": ""}]},
    ],
)
def test_accepts_structured_values(params: dict[str, Any]) -> None:
    assert refuse(params, SPEC, ()) is None


def test_a_result_of_a_task_is_recognized() -> None:
    """Users easily set a registered variable instead of one of its fields."""
    refused = message({"access_token": {"changed": True, "access_token": SECRET}})
    assert "Use one of its fields" in refused
    assert SECRET not in refused


@pytest.mark.parametrize(
    ("value", "start"),
    [
        (5, "api_keys is a number, and must be a list of dictionaries"),
        ({"description": "key 1"}, "api_keys is a dictionary, and must be a list"),
        ('{"description": 34}', "api_keys is text, and must be a list of dictionaries"),
        (['{"description": 34}'], "item 1 of api_keys is text, and must be a dictionary"),
        ([{}, None], "item 2 of api_keys is null, and must be a dictionary"),
    ],
)
def test_refuses_value_that_is_not_a_list_of_dictionaries(value: Any, start: str) -> None:
    refused = message({"api_keys": value})
    assert refused.startswith(start)
    assert "put it in quotes" not in refused


@pytest.mark.parametrize(
    ("value", "lists"),
    [
        ("build, prod", "Write ['build, prod'] if the comma is part of it, or ['build', 'prod']"),
        ("a,b", "Write ['a,b'] if the comma is part of it, or ['a', 'b']"),
    ],
)
def test_refuses_text_that_ansible_would_split(value: str, lists: str) -> None:
    refused = message({"keep": value})
    assert refused.startswith("keep must be a list, got text with a comma")
    assert lists in refused
    assert refuse({"keep": [value], "roles": value}, SPEC, ()) is None


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"keep": ["fine", "\udc00"], "description": "a\ud83dz"}, "description, keep"),
        ({"api_keys": [{"\udc00": "x"}]}, "api_keys"),
    ],
)
def test_refuses_lone_surrogates(params: dict[str, Any], names: str) -> None:
    assert message(params).startswith(f"{names}: the value is not valid UTF-8 text")


def test_drops_values_that_ansible_would_show() -> None:
    params = {
        "_ansible_diff": True,
        "description": {"private_key": SECRET},
        "keep": [SECRET],
        "api_keys": [{"description": 5}],
        "state": "a@b",
        "api_private_key": "x\udc00",
        "base_url": "https://user:pass@host",
        "unknown": {"a": SECRET},
    }
    drop_refused(params, SPEC)
    assert params == {"_ansible_diff": True, "state": "a@b", "api_private_key": "x?"}
    address = {"base_url": "https://host"}
    drop_refused(address, SPEC)
    assert address == {"base_url": "https://host"}


MASKS = ["********", "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"]
MASKED = ["{}", "a {} b", "*{}"]


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
def test_refuses_text_that_ansible_masked(name: str, place: Any, text: str, mask: str) -> None:
    value = json.loads(json.dumps(place).replace("{}", text.replace("{}", mask)))
    refused = message({name: value})
    assert refused.startswith(f"{name} contains ******** or VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")


@pytest.mark.parametrize("text", ["*******", "laptop *", "* * * * * * * *", "NO_LOG"])
def test_accepts_text_that_is_not_a_mask(text: str) -> None:
    params = {"description": text, "keep": [text], "api_keys": [{"description": text}]}
    assert refuse(params, SPEC, ()) is None


@pytest.mark.parametrize(
    "url", ["https://user:pass@host", "https://user:pa/ss@host", "user:pass@host", "http:u@host"]
)
def test_refuses_url_with_a_user(url: str) -> None:
    assert message({"base_url": url}).startswith("base_url contains a username or password")
    assert refuse({"base_url": "https://host"}, SPEC, ()) is None


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize(
    ("name", "consequence"),
    [
        ("state", "the task would create or change something (present)"),
        ("keep", "no key would be kept"),
        ("credentials_file", "the private key would become part of the result"),
        ("credentials_dir", "the private keys would become part of the result"),
        ("description", "everything that the other options match would be selected"),
        ("desc", "everything that the other options match would be selected"),
        ("access_list", "the key could be used from any address"),
    ],
)
def test_refuses_empty_value_that_would_widen_the_task(
    name: str, consequence: str, empty: Any
) -> None:
    refused = message({name: empty}, "description")
    assert refused.startswith(f"{name} is empty. If it counted as unset, {consequence}.")
    assert "default(omit, true)" in refused


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize(
    "credential",
    ["api_public_key", "api_private_key", "client_id", "client_secret", "access_token"],
)
def test_refuses_empty_organization_next_to_a_credential(credential: str, empty: Any) -> None:
    assert refuse({"org_id": empty}, SPEC, ()) is None
    assert refuse({"org_id": empty, credential: empty}, SPEC, ()) is None
    refused = message({"org_id": empty, credential: SECRET})
    assert SECRET not in refused
    assert refused.startswith("org_id is empty. If it counted as unset, the environment's")
    assert "default(omit, true)" in refused


@pytest.mark.parametrize("empty", ["", None])
def test_refuses_empty_access_list_of_a_declared_key(empty: Any) -> None:
    refused = message({"api_keys": [{"access_list": []}, {"access_list": empty}]})
    assert refused.startswith("access_list in item 2 of api_keys is empty. If it counted as unset,")
    assert "from any address" in refused


@pytest.mark.parametrize(
    "params",
    [
        {"description": "0042", "keep": [], "state": "present", "wait": True, "timeout": 5},
        {"description": "", "wait": None, "timeout": ""},
        {"keep": "one text"},
        {"roles": "ORG_OWNER,ORG_MEMBER"},
        {"unknown": 5},
    ],
)
def test_leaves_other_values_to_the_module(params: dict[str, Any]) -> None:
    assert refuse(params, SPEC, ()) is None


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"state": "", "wait": None, "keep": [], "_ansible_x": ""}, {"keep": []}),
        ({"keep": [""]}, {"keep": [""]}),
        ({"api_keys": ""}, {}),
        (
            {"api_keys": [{"description": "", "roles": [], "x": 1}, {}]},
            {"api_keys": [{"roles": [], "x": 1}, {}]},
        ),
        # Ansible refuses values of other types.
        ({"api_keys": ["", {"description": ""}]}, {"api_keys": ["", {}]}),
        ({"api_keys": {"description": ""}}, {"api_keys": {"description": ""}}),
        # The options of other lists are not known.
        ({"body": [{"a": ""}]}, {"body": [{"a": ""}]}),
    ],
)
def test_drops_empty_options(params: dict[str, Any], expected: dict[str, Any]) -> None:
    drop_empty(params, SPEC)
    assert params == expected
