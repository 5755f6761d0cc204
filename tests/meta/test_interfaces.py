# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and results do not change behind the users' backs: the changelog has every difference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.meta.interfaces import FILE, as_text, current
from tests.support import ROOT

RECORDED = json.loads(FILE.read_text("utf-8"))


def differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the module and the option or key of each difference; a new module is none."""
    for module, parts in before.items():
        if module not in after:
            yield module, module
            continue
        for part, values in parts.items():
            now = after[module][part]
            for name in sorted({*values, *now}):
                if values.get(name) != now.get(name):
                    yield module, name.rpartition(".")[2]


def entries() -> list[str]:
    """The entries of the changelog since the last release."""
    fragments = sorted((ROOT / "changelogs" / "fragments").glob("*.y*ml"))
    contents = [yaml.safe_load(path.read_text("utf-8")) for path in fragments]
    lists = [value for content in contents for value in content.values()]
    found = [
        str(entry) for value in lists for entry in (value if isinstance(value, list) else [value])
    ]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text("utf-8"))
    releases = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text("utf-8"))
    changes = releases["releases"].get(galaxy["version"], {}).get("changes", {})
    return found + [str(entry) for value in changes.values() for entry in value]


def unnamed(found: Iterator[tuple[str, str]], told: list[str]) -> list[str]:
    """Return the differences that no entry names; one may be about all modules."""
    return [
        f"{module}: {name}"
        for module, name in found
        if not any(
            re.search(rf"\b({module}|all modules)\b", entry) and re.search(rf"\b{name}\b", entry)
            for entry in told
        )
    ]


def test_the_changelog_names_every_difference() -> None:
    assert unnamed(differences(RECORDED, current()), entries()) == []


def test_every_module_of_the_last_record_has_options_and_results() -> None:
    assert len(RECORDED) >= 7
    assert all(parts["options"] and parts["returns"] for parts in RECORDED.values())
    assert json.loads(as_text(RECORDED)) == RECORDED


@pytest.mark.parametrize("part", ["options", "returns"])
def test_differences_are_found(part: str) -> None:
    module = "org_api_key"
    name = next(iter(RECORDED[module][part]))
    for after in ({}, {name: "another"}, {**RECORDED[module][part], "new": {}}):
        changed = {**RECORDED, module: {**RECORDED[module], part: after}}
        found = {*differences(RECORDED, changed)}
        assert (module, "new" if "new" in after else name) in found
        assert {module for module, _name in found} == {module}
    without = {other: parts for other, parts in RECORDED.items() if other != module}
    assert [*differences(RECORDED, without)] == [(module, module)]
    assert [*differences(without, RECORDED)] == []


def test_an_entry_has_to_name_both_module_and_option() -> None:
    told = ["org_api_key - the option adopt is new.", "all modules - timeout is in seconds."]
    found = [("org_api_key", "adopt"), ("org_api_keys", "adopt"), ("org_info", "timeout")]
    assert unnamed(iter(found), told) == ["org_api_keys: adopt"]
