# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An empty string, the unanswered question of a survey, is an option that is not given."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.support import (
    COLLECTION,
    MODULES,
    key_id,
    key_pair,
    org_id,
    project_id,
    run_module,
)

# What a task needs at least; everything else is given as an empty string.
LEAST: dict[str, dict[str, Any]] = {
    "org_api_key": {"api_user_id": key_id("atlas", 3)},
    "org_api_key_access_list": {"api_user_id": key_id("atlas", 3), "entries": ["192.0.2.1"]},
    "org_api_key_info": {},
    "org_api_keys": {"state": "absent", "api_user_ids": [key_id("atlas", 3)]},
    "org_info": {},
    "project_api_key": {
        "api_user_id": key_id("atlas", 3),
        "project_id": project_id("atlas"),
        "roles": ["GROUP_OWNER"],
    },
}


@pytest.mark.parametrize("module", MODULES)
def test_an_empty_string_is_as_not_given(emulator: Emulator, module: str) -> None:
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
    connection = importlib.import_module(f"{COLLECTION}.plugins.module_utils._options")
    least = {
        "base_url": emulator.url,
        "org_id": org_id("atlas"),
        **key_pair("atlas"),
        **LEAST[module],
    }
    names = connection.CONNECTION_OPTIONS.keys() | source.ARGUMENT_SPEC.keys()
    expected = run_module(module, least, check=True).result
    result = run_module(module, {**dict.fromkeys(names, ""), **least}, check=True).result
    # Left out since ansible-core 2.21.
    for returned in (expected, result):
        returned.pop("invocation", None)
    assert result == expected
    assert not result.get("failed")
