# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changelog has every difference in options and results since the last release."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.meta.interfaces import FILE, current
from tests.support import ROOT

RECORDED = json.loads(FILE.read_text("utf-8"))


def differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the module and the option or key of each difference, except for new modules."""
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
    """Return the changelog entries since the last release."""
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


def unnamed(found: Iterator[tuple[str, str]], known: list[str]) -> list[str]:
    """Return the differences that no entry names. An entry may be about all modules."""
    return [
        f"{module}: {name}"
        for module, name in found
        if not any(
            re.search(rf"\b({module}|all modules)\b", entry) and re.search(rf"\b{name}\b", entry)
            for entry in known
        )
    ]


def test_the_changelog_names_every_difference() -> None:
    assert unnamed(differences(RECORDED, current()), entries()) == []
