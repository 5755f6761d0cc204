# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables that tests run through have every module: one that is in none of them is tried by none."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.integration import playbook, test_flows
from tests.meta.test_collection import MODULES, PREFIX
from tests.support import COLLECTION
from tests.trust.death import mixed
from tests.trust.hostile import test_modules
from tests.trust.peers import test_apache, test_prism

WRITERS = [module for module in MODULES if not module.endswith("_info")]


def of_targets() -> list[str]:
    targets = importlib.import_module("tests.versions.test_targets")
    return in_playbook(targets.TASKS.values())


def in_playbook(tasks: Iterable[dict[str, Any]]) -> list[str]:
    return [name.removeprefix(PREFIX) for task in tasks for name in task if PREFIX in name]


def in_cases(cases: dict[str, test_apache.Case]) -> list[str]:
    return in_playbook({case.module: {}} for case in cases.values())


def of_mixed() -> list[str]:
    files = mixed.Files(Path("pair.json"), Path("pairs"))
    return in_playbook(mixed.tasks(mixed.KINDS[0], files))


TABLES: dict[str, tuple[Callable[[], Iterable[str]], list[str]]] = {
    "playbook.OPTIONS": (lambda: in_playbook([playbook.OPTIONS]), MODULES),
    "test_flows.FLOWS": (lambda: [flow.module for flow in test_flows.FLOWS], MODULES),
    "test_apache.DONE": (lambda: in_cases(test_apache.DONE), MODULES),
    "test_apache.REFUSED": (lambda: in_cases(test_apache.REFUSED), MODULES),
    "test_prism.STORY": (lambda: [step.module for step in test_prism.STORY], MODULES),
    "hostile test_modules.TASKS": (lambda: [task.module for task in test_modules.TASKS], MODULES),
    "mixed.tasks": (of_mixed, WRITERS),
    "test_targets.TASKS": (of_targets, MODULES),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_tests_has_every_module(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Read as the tests of targets are imported; `make versions` says more.
    monkeypatch.setenv("VERSIONS_TARGETS", os.environ.get("VERSIONS_TARGETS", "{}"))
    found, wanted = TABLES[name]
    assert sorted(set(found())) == wanted


@pytest.mark.parametrize("module", MODULES)
def test_the_options_of_playbooks_are_those_of_the_module(module: str) -> None:
    """A task that takes them from variables would leave out one that the table does not know."""
    spec = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}").ARGUMENT_SPEC
    connection = importlib.import_module(f"{COLLECTION}.plugins.module_utils._options")
    assert sorted(playbook.CONNECTION) == sorted(connection.CONNECTION_OPTIONS)
    listed = {*playbook.OPTIONS[PREFIX + module]}
    # Those beside it are for tasks that only name a key.
    listed |= {*playbook.KEY} if PREFIX + module == playbook.MODULE else set()
    assert sorted(listed) == sorted(spec.keys() - {*playbook.CONNECTION})
