# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Empty values, such as unanswered survey questions, count as not set or are refused."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any
from unittest import mock

import pytest

from tests.emulator import Emulator
from tests.samples import SAMPLES
from tests.support import (
    COLLECTION,
    MODULES,
    key_id,
    org_id,
    project_id,
    run_module,
)

# Options that would widen the scope of a task if an empty value counted as not set.
WIDENING = {"state", "keep", "credentials_file", "credentials_dir", "grace_period"}
WIDENING |= {"body", "query", "dest", "unique_by"}
FILTERS = {
    "org_api_key_info": (
        "api_user_id public_key description description_match roles project_id".split()
    ),
    "org_api_keys": (
        "api_user_ids public_keys descriptions description_match roles project_id".split()
    ),
    "org_info": ["name", "org_id"],
}


def options(module: str) -> set[str]:
    """Return all options of a module, including those of the connection."""
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
    connection = importlib.import_module(f"{COLLECTION}.plugins.module_utils._argspec")
    return connection.CONNECTION_OPTIONS.keys() | source.ARGUMENT_SPEC.keys()


def refusing(module: str) -> set[str]:
    """Return the options that refuse an empty value if the task sets a credential."""
    # In org_api_key_info, it is a boolean.
    lists = {"access_list"} if module == "org_api_key" else set()
    return (WIDENING & options(module)) | lists | {"org_id", *filters(module)}


def filters(module: str) -> Iterable[str]:
    """Return the filters listed above, or those that a new module passes to execute."""
    if module in FILTERS:
        return FILTERS[module]
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
    with mock.patch.object(source._module, "execute") as execute:
        source.main()
    return execute.call_args.kwargs.get("filters", ())


def minimal_task(emulator: Emulator, module: str) -> dict[str, Any]:
    connection = {"base_url": emulator.url, "org_id": org_id("atlas")}
    sample = SAMPLES[module]
    options = sample.options({"api_user_id": key_id("atlas", 3)}, project_id("atlas"))
    return {**connection, **sample.signer("atlas"), **options}


@pytest.mark.parametrize("module", [name for name in MODULES if name.endswith("_info")])
def test_every_option_that_narrows_a_list_is_a_filter(module: str) -> None:
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
    narrowing = {
        name
        for name, option in source.ARGUMENT_SPEC.items()
        if option["type"] != "bool" and "default" not in option and "choices" not in option
    }
    assert narrowing - {"time_limit"} <= set(filters(module))


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize("module", MODULES)
def test_an_empty_value_counts_as_not_set(emulator: Emulator, module: str, empty: Any) -> None:
    task = minimal_task(emulator, module)
    names = options(module) - refusing(module)
    expected = run_module(module, task, check=True).result
    result = run_module(module, {**dict.fromkeys(names, empty), **task}, check=True).result
    # ansible-core 2.21 and newer omit it.
    for returned in (expected, result):
        returned.pop("invocation", None)
        # They count the requests that are left.
        returned.pop("headers", None)
    assert result == expected
    assert not result.get("failed")


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in MODULES for name in sorted(refusing(module))]
)
def test_an_empty_value_never_widens_a_task(
    emulator: Emulator, module: str, name: str, empty: Any
) -> None:
    outcome = run_module(module, {**minimal_task(emulator, module), name: empty})
    assert outcome.failed
    assert outcome.result["error"]["type"] == "options"
    assert outcome.msg.startswith(f"{name} is empty")
    assert "default(omit, true)" in outcome.msg
    assert emulator.requests == []
