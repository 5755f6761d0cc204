# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the collection importable from a checkout in any directory, and start emulators."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

from tests import installed
from tests.emulator import Emulator, Settings
from tests.support import ROOT, seed
from tests.tools.versions import is_for_each_core


def _collections_directory() -> Path:
    """Return the directory for ANSIBLE_COLLECTIONS_PATH, with the checkout or a link to it."""
    if ROOT.parts[-3:] == ("ansible_collections", "keysmith", "mongodb"):
        return ROOT.parents[2]
    folder = ROOT / ".cache" / "linked"
    link = folder / "ansible_collections" / "keysmith" / "mongodb"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or link.resolve() != ROOT:
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT, target_is_directory=True)
    return folder


COLLECTIONS = _collections_directory()
sys.path.insert(0, str(COLLECTIONS))

# Settings of the machine must not affect tests, and no test may use the network.
for _name in list(os.environ):
    if _name.startswith(("ANSIBLE_", "MONGODB_ATLAS_", "MCLI_", "KEYSMITH_MONGODB_")) or (
        _name.lower().endswith("_proxy") or _name in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    ):
        del os.environ[_name]


# Tests also read playbooks, which use Ansible's tag for text that is not a template.
yaml.SafeLoader.add_constructor("!unsafe", yaml.SafeLoader.construct_scalar)

# Hypothesis must not fail on a slow machine, or leave a directory of examples.
hypothesis.settings.register_profile("quiet", deadline=None, database=None)
hypothesis.settings.load_profile("quiet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests to run on each ansible-core, and begin with the files that take longest.

    Slow tests are marked explicitly. Files that start Ansible take longer than others, above all
    those with few tests. At the end of a run, they would leave the other processors idle.
    """
    starting = {i.path for i in items if "collections" in getattr(i, "fixturenames", ())}
    tests = Counter(item.path for item in items)
    items.sort(key=lambda i: (0, tests[i.path]) if i.path in starting else (1, -tests[i.path]))
    for item in items:
        is_slow = item.get_closest_marker("slow") is not None
        if is_for_each_core(item.path, getattr(item, "fixturenames", ()), is_slow=is_slow):
            item.add_marker("each_core")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    report = yield
    installed.hold(report)
    return report


@pytest.fixture(scope="session")
def collections() -> Path:
    """Return the directory for ANSIBLE_COLLECTIONS_PATH."""
    return COLLECTIONS


@pytest.fixture(scope="session")
def _emulator() -> Iterator[Emulator]:
    with Emulator(seed()) as emulator:
        yield emulator


@pytest.fixture
def emulator(_emulator: Emulator) -> Iterator[Emulator]:
    """Yield an emulator with the organizations of ``tests.support`` and default settings."""
    for field in fields(Settings):
        setattr(_emulator.settings, field.name, field.default)
    _emulator.reset(seed())
    clock, sleep = _emulator.clock, _emulator.sleep
    yield _emulator
    # A test may have replaced these.
    _emulator.clock, _emulator.sleep = clock, sleep
