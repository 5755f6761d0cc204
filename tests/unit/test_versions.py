# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/tools/versions.py: what is run with which ansible-core, and what it tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tools import versions
from tests.tools.sanity import CORES, DEVEL, ENDS, ROOT, TARGETS, Core, command_of
from tests.tools.timed_tests import Ended

INTEGRATION, UNIT = (ROOT / "tests" / name / "test_x.py" for name in ("integration", "unit"))


@pytest.mark.parametrize(
    ("path", "fixtures", "is_slow", "expected"),
    [
        (INTEGRATION, ("collections",), False, True),
        (INTEGRATION, ("matrix", "collections", "tmp_path"), False, True),
        (INTEGRATION, ("collections",), True, False),
        (INTEGRATION, ("emulator",), False, False),
        (UNIT, (), False, True),
        (UNIT, ("collections",), True, False),
    ],
)
def test_each_core_runs_what_starts_ansible_and_is_not_slow(
    path: Path, fixtures: tuple[str, ...], is_slow: bool, expected: bool
) -> None:
    assert versions.is_for_each_core(path, fixtures, is_slow=is_slow) is expected


def test_tests_are_marked_by_that(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("each_core")


def test_the_ends_run_the_unit_tests_too() -> None:
    folders = {version: versions.pick_folders(version) for version in CORES}
    assert {v for v, names in folders.items() if "tests/unit" in names} == {*ENDS}
    assert all("tests/integration" in names for names in folders.values())


@pytest.mark.parametrize("version", [*CORES, DEVEL])
def test_sanity_is_tried_on_every_python_with_the_ends(version: str) -> None:
    command = command_of(Core(version, "3.12", Path("python3.12")))
    assert ("--python" in command) is (version not in {*ENDS, DEVEL})


def test_targets_are_those_that_the_core_takes() -> None:
    targets = versions.make_targets({version: Path("python") for version in TARGETS})
    oldest, newest = (versions.choose_targets(v, targets) for v in ENDS)
    assert {name.partition("-")[0] for name in newest} == set(TARGETS)
    assert "3.12-oldest" in oldest
    assert "3.13-oldest" not in oldest


def test_oldest_requests_is_that_of_the_requirements() -> None:
    assert versions.oldest_requests()[0] == "requests==2.25"


@pytest.mark.usefixtures("no_processes")
def test_environment_is_kept_until_what_it_is_made_of_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(versions, "CACHE", tmp_path)
    environment = versions.Environment("target-3.9-none", Path("python3.9"), ())
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    (tmp_path / "target-3.9-none" / "ready").write_text(json.dumps(["python3.9"]), "utf-8")
    versions.prepare(environment)
    other = versions.Environment("target-3.9-none", Path("python3.9"), ("requests",))
    with pytest.raises(AssertionError, match="a process"):
        versions.prepare(other)
    assert not (tmp_path / "target-3.9-none").exists()


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a process")

    monkeypatch.setattr("subprocess.run", run)


def test_failure_of_many_versions_is_told_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(versions, "CACHE", tmp_path)
    results = []
    for version in ("2.17", "2.16"):
        core = versions.make_core(version, "3.11", Path("python3.11"))
        core.log.write_text("FAILED test_x.py::test_y - no\n=== 1 failed in 2.00s ===\n", "utf-8")
        results.append(versions.Result(core, Ended(1, "1 failed", 2.0)))
    found = versions.gather(results, ("FAILED ",))
    assert found == {"FAILED test_x.py::test_y - no": ["2.17", "2.16"]}
