# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module handles invalid options, internal errors and secrets in warnings."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    OptionError,
    internal_error,
)
from tests.emulator import Emulator
from tests.support import key_id, key_pair, org_id, project_id, run_module


def test_internal_error_has_its_location_and_no_values() -> None:
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


def test_names_options_that_are_not_valid_text(emulator: Emulator) -> None:
    options = {
        "base_url": emulator.url,
        **key_pair("atlas"),
        "org_id": org_id("atlas"),
        "description": "a\udc00z",
        "public_key": "\udc01",
    }
    outcome = run_module("org_api_key", options)
    assert outcome.failed
    assert "description, public_key: the value is not valid UTF-8 text" in outcome.msg
    given = outcome.result.get("invocation", {}).get("module_args", {"description": "a?z"})
    assert given["description"] == "a?z"
    assert not emulator.requests


def test_the_time_limit_applies_to_all_requests(emulator: Emulator, tmp_path: Path) -> None:
    options = {
        "base_url": emulator.url,
        **key_pair("atlas"),
        "org_id": org_id("atlas"),
        "api_keys": [{"description": "declared", "roles": ["ORG_MEMBER"]}],
        "credentials_dir": str(tmp_path),
        "time_limit": 60,
    }
    stop = OptionError("not in this test", hint="y")
    with mock.patch.object(Cancellation, "set_limit", side_effect=stop) as set_limit:
        outcome = run_module("org_api_keys", options)
    assert outcome.failed
    assert set_limit.mock_calls == [mock.call(60)]
    assert not emulator.requests


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"project_id": ""}, "missing required arguments: project_id"),
        ({"api_user_id": ""}, "one of the following is required: api_user_id"),
        ({"description": "x"}, "mutually exclusive: api_user_id"),
        ({"rolls": ["GROUP_OWNER"]}, "Unsupported parameters"),
        ({"state": "gone"}, "value of state must be one of: present, absent, got: gone"),
        ({"envelope": "perhaps"}, "perhaps"),
        ({"retries": "many"}, "retries"),
    ],
)
def test_arguments_that_ansible_refuses_have_an_error_type(
    emulator: Emulator, options: dict[str, Any], message: str
) -> None:
    task = {"base_url": emulator.url, **key_pair("atlas"), "project_id": project_id("atlas")}
    task |= {"api_user_id": key_id("atlas", 2), "roles": ["GROUP_OWNER"]}
    outcome = run_module("project_api_key", {**task, **options})
    assert outcome.failed
    assert message in outcome.msg
    assert outcome.result["error"] == OptionError("x", hint="y").fields()
    assert emulator.requests == []


def test_value_that_ansible_refuses_is_truncated_and_without_secrets(
    emulator: Emulator,
) -> None:
    secret = key_pair("atlas")["api_private_key"]
    task = {"base_url": emulator.url, **key_pair("atlas"), "state": f"{secret} " + "x " * 5000}
    outcome = run_module("org_api_key", task)
    assert 1900 < len(outcome.msg) < 2100
    assert secret not in outcome.output
    assert outcome.result["error"]["type"] == "options"


def test_checks_original_values_before_ansible_does(emulator: Emulator) -> None:
    task = {"base_url": emulator.url, **key_pair("atlas"), "description": 34, "state": "gone"}
    outcome = run_module("org_api_key", task)
    assert outcome.msg.startswith("description is a number (34), and must be text")
    assert outcome.result["error"]["type"] == "options"


def test_uses_the_organization_of_the_environment(
    emulator: Emulator,
) -> None:
    options = {"base_url": emulator.url, **key_pair("atlas")}
    environ = {"MONGODB_ATLAS_ORG_ID": org_id("atlas")}
    outcome = run_module("org_api_key_info", options, environ=environ)
    assert not outcome.failed, outcome.msg
    assert all(org_id("atlas") in request.path for request in emulator.requests)


def test_an_organization_is_needed_unless_it_is_a_filter(emulator: Emulator) -> None:
    options = {"base_url": emulator.url, **key_pair("atlas")}
    outcome = run_module("org_api_key_info", options)
    assert outcome.msg.startswith("No organization is set. Set org_id, or the environment variable")
    assert "MONGODB_ATLAS_ORG_ID" in outcome.msg
    assert outcome.result["error"]["type"] == "options"
    assert not emulator.requests
    assert not run_module("org_info", options).failed


def test_an_invalid_organization_is_reported_with_its_source(emulator: Emulator) -> None:
    options = {"base_url": emulator.url, **key_pair("atlas")}
    environ = {"MONGODB_ATLAS_ORG_ID": "x"}
    outcome = run_module("org_api_key_info", options, environ=environ)
    assert outcome.msg.startswith("MONGODB_ATLAS_ORG_ID is 'x'")
    outcome = run_module("org_api_key_info", {**options, "org_id": "y"}, environ=environ)
    assert outcome.msg.startswith("org_id is 'y'")


@pytest.mark.parametrize("form", ["{}", "goes with {}, it says"])
def test_masks_secrets_in_warnings(emulator: Emulator, form: str) -> None:
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


@pytest.mark.parametrize("diff", [True, False])
def test_a_difference_is_returned_only_if_it_is_asked_for(emulator: Emulator, diff: bool) -> None:
    options = {"base_url": emulator.url, **key_pair("atlas"), "org_id": org_id("atlas")}
    change = {"api_user_id": key_id("atlas", 2), "new_description": "new"}
    outcome = run_module("org_api_key", {**options, **change}, diff=diff)
    assert outcome.changed
    assert ("diff" in outcome.result) is diff
