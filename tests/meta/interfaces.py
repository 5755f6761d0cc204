# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks rely on: the options of each module, and the keys of its result.

`python -m tests.meta.interfaces` writes them to interfaces.json, after a release. Until then,
test_interfaces.py requires every difference in the changelog.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import yaml

from tests.support import COLLECTION, MODULES

FILE = Path(__file__).with_name("interfaces.json")
# The traits of an option, without Ansible's defaults.
TRAITS = ("type", "elements", "default", "choices", "aliases", "required", "no_log")


def options(spec: dict[str, dict[str, Any]], prefix: str = "") -> dict[str, Any]:
    """Return the traits of each option, including suboptions such as ``api_keys.roles``."""
    found: dict[str, Any] = {}
    for name, option in spec.items():
        traits = {trait: option[trait] for trait in TRAITS if option.get(trait) not in (None, [])}
        found[prefix + name] = json.loads(json.dumps(traits))
        found |= options(option.get("options", {}), f"{prefix}{name}.")
    return found


def interface(module: str) -> dict[str, Any]:
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
    connection = importlib.import_module(f"{COLLECTION}.plugins.module_utils._argspec")
    return {
        "options": options({**connection.CONNECTION_OPTIONS, **source.ARGUMENT_SPEC}),
        "returns": {name: value["type"] for name, value in yaml.safe_load(source.RETURN).items()},
    }


def current() -> dict[str, Any]:
    return {module: interface(module) for module in MODULES}


def as_text(interfaces: dict[str, Any]) -> str:
    """Write one line per option and key, so that a difference is one line."""
    modules = []
    for module, parts in interfaces.items():
        lines = [
            f'    "{part}": {{\n'
            + ",\n".join(f"      {json.dumps(n)}: {json.dumps(v)}" for n, v in values.items())
            + "\n    }"
            for part, values in parts.items()
        ]
        modules.append(f'  "{module}": {{\n' + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(modules) + "\n}\n"


if __name__ == "__main__":
    importlib.import_module("tests.conftest")
    FILE.write_text(as_text(current()), "utf-8")
