# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module is given: empty answers of surveys, and what is no text."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _input,
    _module,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    OptionError,
    internal_error,
)
from tests.emulator import Emulator
from tests.support import key_pair, org_id, project_id, run_module

SPEC = {
    "name": {"type": "str"},
    "plain": {"type": "list", "elements": "dict"},
    "keys": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str"},
            "inner": {"type": "list", "options": {"name": {"type": "str"}}},
        },
    },
}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"name": "", "_ansible_x": ""}, {}),
        ({"name": "x", "keys": ""}, {"name": "x"}),
        ({"name": [""]}, {"name": [""]}),
        # Within what a module describes, and nowhere else.
        ({"plain": [{"name": ""}]}, {"plain": [{"name": ""}]}),
        (
            {"keys": [{"name": "", "other": 1}, {"name": "x"}]},
            {"keys": [{"other": 1}, {"name": "x"}]},
        ),
        ({"keys": [{"inner": [{"name": ""}]}]}, {"keys": [{"inner": [{}]}]}),
        # What is of another type is left to Ansible, which refuses it.
        ({"keys": ["", {"name": ""}]}, {"keys": ["", {}]}),
        ({"keys": {"name": ""}}, {"keys": {"name": ""}}),
    ],
)
def test_empty_answers_are_not_given(params: dict[str, Any], expected: dict[str, Any]) -> None:
    _input.drop_empty(params, SPEC)
    assert params == expected


@pytest.mark.parametrize(
    ("value", "mended"),
    [
        ("a\ud83dz", "a?z"),
        ("ü😀", "ü😀"),
        (["\udc00", 1, None], ["?", 1, None]),
        ({"\udc00": {"a": ["\udc00"]}, "b": 2}, {"?": {"a": ["?"]}, "b": 2}),
        (7, 7),
    ],
)
def test_what_is_no_text_is_mended_wherever_it_is(value: Any, mended: Any) -> None:
    assert _module._strip_surrogates(value) == mended
    assert _module._is_broken(value) is (value != mended)


def test_a_mistake_of_ours_is_told_with_the_place_where_it_was_made() -> None:
    def fail() -> None:
        raise RuntimeError("secret")

    def call() -> None:
        fail()

    line = fail.__code__.co_firstlineno + 1
    with pytest.raises(RuntimeError) as caught:
        call()
    message = internal_error(caught.value).message()
    assert f"RuntimeError at test_module.py:{line}. Something may have been changed" in message
    assert "secret" not in message


def test_an_option_that_is_no_text_is_named_and_the_rest_is_as_it_was(emulator: Emulator) -> None:
    options = {
        "base_url": emulator.url,
        **key_pair("atlas"),
        "org_id": org_id("atlas"),
        "description": "a\udc00z",
        "public_key": "\udc01",
    }
    outcome = run_module("org_api_key", options)
    assert outcome.failed
    assert "description, public_key: what is given has characters that no text has" in outcome.msg
    given = outcome.result.get("invocation", {}).get("module_args", {"description": "a?z"})
    assert given["description"] == "a?z"
    assert not emulator.requests


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"project_id": ""}, "missing required arguments: project_id"),
        ({"rolls": ["GROUP_OWNER"]}, "Unsupported parameters"),
        ({"state": "gone"}, "value of state must be one of: present, absent, got: gone"),
        ({"envelope": "perhaps"}, "perhaps"),
        ({"retries": "many"}, "retries"),
    ],
)
def test_arguments_that_ansible_refuses_fail_as_other_wrong_options_do(
    emulator: Emulator, options: dict[str, Any], words: str
) -> None:
    task = {"base_url": emulator.url, **key_pair("atlas"), "project_id": project_id("atlas")}
    outcome = run_module("project_api_key", {**task, **options})
    assert outcome.failed
    assert words in outcome.msg
    assert outcome.result["error"] == OptionError("x").fields()
    assert emulator.requests == []


def test_a_value_that_ansible_refuses_is_quoted_in_part_and_without_secrets(
    emulator: Emulator,
) -> None:
    secret = key_pair("atlas")["api_private_key"]
    task = {"base_url": emulator.url, **key_pair("atlas"), "state": f"{secret} " + "x " * 5000}
    outcome = run_module("org_api_key", task)
    assert len(outcome.msg) < 2100
    assert secret not in outcome.output
    assert outcome.result["error"]["type"] == "options"


def test_what_the_task_wrote_is_judged_before_ansible_does(emulator: Emulator) -> None:
    task = {"base_url": emulator.url, **key_pair("atlas"), "description": 34, "state": "gone"}
    outcome = run_module("org_api_key", task)
    assert outcome.msg.startswith("description is a number (34), and must be text")
    assert outcome.result["error"]["type"] == "options"


def test_the_organization_of_the_environment_is_the_one_that_is_acted_on(
    emulator: Emulator,
) -> None:
    options = {"base_url": emulator.url, **key_pair("atlas")}
    environ = {"MONGODB_ATLAS_ORG_ID": org_id("atlas")}
    outcome = run_module("org_api_key_info", options, environ=environ)
    assert not outcome.failed, outcome.msg
    assert all(org_id("atlas") in request.path for request in emulator.requests)


@pytest.mark.parametrize("form", ["{}", "goes with {}, it says"])
def test_a_warning_hides_the_secret_that_it_quotes(emulator: Emulator, form: str) -> None:
    secret = key_pair("atlas")["api_private_key"]
    options = {
        "base_url": emulator.url,
        **key_pair("atlas"),
        "org_id": org_id("atlas"),
        "state": "absent",
        "api_user_ids": [],
        "keep": [form.format(secret)],
    }
    outcome = run_module("org_api_keys", options)
    assert "matches no API key of organization" in outcome.output
    assert secret not in outcome.output
