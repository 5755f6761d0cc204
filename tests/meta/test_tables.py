# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of tests have every module, with a specific task or with its sample."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.integration import playbook, test_flows
from tests.meta.test_collection import PREFIX
from tests.samples import ONLY_ACCOUNTS, SAMPLES
from tests.support import COLLECTION, MODULES
from tests.trust.hostile import test_modules
from tests.trust.peers import test_apache, test_prism


def of_targets() -> list[str]:
    targets = importlib.import_module("tests.versions.test_targets")
    return in_playbook(targets.TASKS.values())


def in_playbook(tasks: Iterable[dict[str, Any]]) -> list[str]:
    return [name.removeprefix(PREFIX) for task in tasks for name in task if PREFIX in name]


def in_cases(cases: dict[str, test_apache.Case]) -> list[str]:
    return in_playbook({case.module: {}} for case in cases.values())


TABLES: dict[str, Callable[[], Iterable[str]]] = {
    "samples.SAMPLES": lambda: SAMPLES,
    "test_flows.FLOWS": lambda: [flow.module for flow in test_flows.FLOWS],
    "test_apache.DONE": lambda: in_cases(test_apache.DONE),
    "test_apache.REFUSED": lambda: in_cases(test_apache.REFUSED),
    "test_prism": lambda: [s.module for s in (*test_prism.STORY, *test_prism.OTHERS)],
    "hostile test_modules.TASKS": lambda: [task.module for task in test_modules.TASKS],
    "test_targets.TASKS": of_targets,
}
# A key pair or a ready token signs the tasks of the other tables. The unit tests of modules that
# need a client secret have the faults.
WITH_SECRETS = {"samples.SAMPLES", "hostile test_modules.TASKS", "test_targets.TASKS"}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_tests_has_every_module(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests of targets read it on import.
    monkeypatch.setenv("VERSIONS_TARGETS", os.environ.get("VERSIONS_TARGETS", "{}"))
    missing = set() if name in WITH_SECRETS else ONLY_ACCOUNTS
    assert set(TABLES[name]()) == {*MODULES} - missing


def test_the_options_of_the_connection_are_those_of_playbooks() -> None:
    connection = importlib.import_module(f"{COLLECTION}.plugins.module_utils._argspec")
    assert sorted(playbook.CONNECTION) == sorted(connection.CONNECTION_OPTIONS)
