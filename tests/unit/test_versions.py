# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/tools/versions.py: what is run with which ansible-core, and what it tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tools import versions
from tests.tools.sanity import CORES, ROOT, TARGETS
from tests.tools.timed_tests import Ended

TESTS = ROOT / versions.TESTS


@pytest.mark.parametrize("version", CORES)
def test_every_file_is_run_or_named_with_a_reason(version: str) -> None:
    picked = versions.pick_tests(version)
    reasons = {**versions.ONLY_MAKE_TEST, **versions.ONLY_OLDEST}
    missing = {p.name for p in TESTS.glob("test_*.py")} - {Path(name).name for name in picked}
    assert missing <= reasons.keys()
    assert all(reasons.values())
    assert ("tests/versions" in picked) is (version in versions.ENDS)


@pytest.mark.parametrize("version", CORES)
def test_nothing_is_left_out_of_both_halves(version: str) -> None:
    halves = [versions.pick_tests(version, is_rest=is_rest) for is_rest in (False, True)]
    files = {name for names in halves for name in names if "::" not in name}
    assert files >= {f"{versions.TESTS}/{path.name}" for path in TESTS.glob("test_*.py")}
    assert not set(halves[0]) & set(halves[1])


def test_what_is_left_out_with_most_is_run_with_the_oldest() -> None:
    picked = versions.pick_tests("2.16")
    for name in versions.ONLY_OLDEST:
        assert f"{versions.TESTS}/{name}" in picked


def test_what_is_gone_may_not_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(versions.ONLY_OLDEST, "test_nonesuch.py", "there was one")
    with pytest.raises(SystemExit, match=r"test_nonesuch\.py"):
        versions.pick_tests("2.16")


@pytest.mark.parametrize("test", versions.ALL_THE_SAME)
def test_what_is_run_all_the_same_is_there(test: str) -> None:
    name, _separator, function = test.partition("::")
    assert f"\ndef {function}(" in (TESTS / name).read_text("utf-8")
    assert f"{versions.TESTS}/{test}" in versions.pick_tests("2.18")
    assert f"{versions.TESTS}/{test}" not in versions.pick_tests("2.16")


def test_targets_are_those_that_the_core_takes() -> None:
    targets = versions.make_targets({version: Path("python") for version in TARGETS})
    oldest, newest = (versions.choose_targets(v, targets) for v in versions.ENDS)
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
