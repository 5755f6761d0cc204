# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new module is registered by hand only in the places that CONTRIBUTING.md lists.

The tests add a module to a copy of the project. If a place lacks the module, another test fails;
otherwise all pass.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.tools.sanity import copy_project, project_files

OLD, NEW = "org_info", "org_thing"
VARIABLE = "name_of_thing"
# A file of module_utils has one more place, which the tests of layers check.
OF_UTILS = "tests/meta/test_collection.py"
EXAMPLE = f"""\
- name: Use a variable that no other example has
  keysmith.mongodb.{OLD}:
    name: "{{{{ {VARIABLE} }}}}"
"""


@dataclass(frozen=True)
class Place:
    """How a module is registered, and the test that fails if it is not."""

    register: Callable[[str], str]
    test: str


PLACES = {
    "meta/runtime.yml": Place(
        lambda text: text.replace(f"    - {OLD}\n", f"    - {OLD}\n    - {NEW}\n"),
        "test_the_action_group_has_modules_only",
    ),
    "README.md": Place(
        lambda text: re.sub(
            rf"(?m)^\| \[`{OLD}`\].*\n", lambda row: row[0] + row[0].replace(OLD, NEW), text
        ),
        "test_the_readme_lists_every_module",
    ),
    "tests/samples.py": Place(
        lambda text: re.sub(
            rf'(?m)^    "{OLD}": .*\n', lambda row: row[0] + row[0].replace(OLD, NEW), text
        ),
        "test_a_table_of_tests_has_every_module",
    ),
    "tests/integration/test_examples.py": Place(
        lambda text: text.replace(
            '        "wait": True,\n', f'        "wait": True,\n        "{VARIABLE}": "x",\n'
        ),
        "test_table_has_each_variable",
    ),
}
TESTS = [
    "tests/meta/test_collection.py",
    "tests/meta/test_readme.py",
    "tests/meta/test_tables.py",
    "tests/unit/modules/test_empty_strings.py",
    "tests/integration/test_flows.py",
    "tests/integration/test_examples.py::test_table_has_each_variable",
]


def failures(folder: Path, registered: Iterable[str]) -> list[str]:
    """Add the module to a copy of the project, and return the tests that fail."""
    copy_project(project_files(), folder)
    own = (f"plugins/modules/{OLD}.py", f"tests/unit/modules/test_{OLD}.py")
    for path in own:
        text = (folder / path).read_text("utf-8")
        text = text.replace('EXAMPLES = r"""\n', f'EXAMPLES = r"""\n{EXAMPLE}')
        (folder / path.replace(OLD, NEW)).write_text(text.replace(OLD, NEW), "utf-8")
    test = f'"""An integration test of keysmith.mongodb.{NEW} would be here."""\n'
    (folder / "tests" / "integration" / f"test_{NEW}.py").write_text(test, "utf-8")
    for path in registered:
        text = (folder / path).read_text("utf-8")
        changed = PLACES[path].register(text)
        assert changed != text, path
        (folder / path).write_text(changed, "utf-8")
    picked = [NEW, *{place.test for place in PLACES.values()}]
    command = [sys.executable, "-m", "pytest", "-q", "-k", " or ".join(picked)]
    ended = subprocess.run(
        [*command, *TESTS], cwd=folder, capture_output=True, check=False, text=True
    )
    assert " passed" in ended.stdout, ended.stdout + ended.stderr
    return re.findall(r"(?m)^(?:FAILED|ERROR) \S+::(\w+)", ended.stdout)


@pytest.mark.slow
def test_a_new_module_registers_in_these_places(tmp_path: Path) -> None:
    assert failures(tmp_path / "keysmith", PLACES) == []


@pytest.mark.slow
def test_a_new_module_that_is_not_registered_fails_a_test_for_each_place(tmp_path: Path) -> None:
    found = failures(tmp_path / "keysmith", [])
    assert {place.test for place in PLACES.values()} <= {*found}


def test_contributing_lists_the_places() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = text.partition("### Where a module registers\n")[2].partition("\n#")[0]
    listed = re.findall(r"(?m)^\| .* `([\w./]+)` \|$", section)
    assert sorted(listed) == sorted([*PLACES, OF_UTILS])
    assert len(listed) <= 5
