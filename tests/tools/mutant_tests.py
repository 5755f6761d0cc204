# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pytest plugin that tries each mutant in a fork of the process that collected the tests.

mutmut itself starts pytest for each mutant, which takes half of the time.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import shutil
import signal
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.utils.format_utils import mangled_name_from_mutant_name

from tests import json_lines

# Names a file with the mutants and their changes, the file of mutmut's stats, the file for the
# results, and how many seconds of tests try a mutant.
VARIABLE = "MUTANTS_TO_TRY"
# One more than there are processors, because some tests wait for a server.
WORKERS = (os.cpu_count() or 1) + 1
# A mutant whose tests take this much longer is considered endless.
PATIENCE = 5
LEAST_SECONDS = 10
SURVIVED, KILLED, BROKEN = 0, 1, 2
VERDICTS = {SURVIVED: "survived", KILLED: "killed", BROKEN: "not tried"}
# A file in a mutant's directory that names the test which found it.
FINDER = "finder"
# How many tests run first because they have found mutants of the same function, and how many more
# because they have found mutants of the same file.
MOST_FINDERS = 30


class Tests:
    """The tests that reach each function, and those that have found its mutants.

    ``stats`` is mutmut's, with times in seconds. A mutant is tried with tests that take up to
    ``most_seconds``.
    """

    def __init__(
        self, items: list[pytest.Item], stats: dict[str, Any], most_seconds: float
    ) -> None:
        by_name = {item.nodeid: item for item in items}
        self.seconds = defaultdict(float, stats["duration_by_test"])
        self._most_seconds = most_seconds
        self._by_function: dict[str, list[pytest.Item]] = {}
        # How many functions a test reaches.
        self._reach: Counter[str] = Counter()
        for function, names in stats["tests_by_mangled_function_name"].items():
            self._by_function[function] = [by_name[name] for name in names if name in by_name]
            self._reach.update(names)
        # The tests that have found mutants of a function, the latest last, and of a file.
        self._finders: dict[str, dict[str, None]] = defaultdict(dict)
        self._of_file: dict[str, Counter[str]] = defaultdict(Counter)

    def add_finder(self, mutant: str, test: str) -> None:
        finders = self._finders[mangled_name_from_mutant_name(mutant)]
        finders.pop(test, None)
        finders[test] = None
        self._of_file[file_of(mutant)][test] += 1

    def choose(self, mutant: str) -> list[pytest.Item]:
        """Return the most promising tests first.

        The first are those that have found mutants of the same function or file. For half of the
        time, the tests follow that reach the fewest functions, because they check most about each.
        Then comes the quickest test of each file, the next one of each, and so on, because the
        tests of a file are alike; unit tests first, because they need less time for each check.
        """
        function = mangled_name_from_mutant_name(mutant)
        left = {item.nodeid: item for item in self._by_function.get(function, ())}
        latest = list(self._finders[function])[: -MOST_FINDERS - 1 : -1]
        best = [
            test for test, _found in self._of_file[file_of(mutant)].most_common() if test in left
        ]
        names = dict.fromkeys([*latest, *best[:MOST_FINDERS]])
        chosen = [left.pop(test) for test in names if test in left]
        total = sum(self.seconds[item.nodeid] for item in chosen)
        for test in sorted(left, key=lambda test: (self._reach[test], self.seconds[test])):
            if total + self.seconds[test] > self._most_seconds / 2:
                break
            total += self.seconds[test]
            chosen.append(left.pop(test))
        by_file: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in sorted(left.values(), key=lambda item: self.seconds[item.nodeid]):
            by_file[item.path.name].append(item)
        rest = filter(None, itertools.chain(*itertools.zip_longest(*by_file.values())))
        for item in sorted(rest, key=lambda item: "unit" not in item.path.parts):
            if total + self.seconds[item.nodeid] > self._most_seconds:
                break
            total += self.seconds[item.nodeid]
            chosen.append(item)
        return chosen


@dataclass(frozen=True)
class Run:
    """A process that tries a mutant, and the directory of its tests."""

    mutant: str
    diff: list[str]
    ends: float
    folder: str


def pytest_runtestloop(session: pytest.Session) -> bool:
    given = json.loads(Path(os.environ[VARIABLE]).read_text("utf-8"))
    stats = json.loads(Path(given["stats"]).read_text("utf-8"))
    tests = Tests(session.items, stats, given["seconds"])
    del stats
    running: dict[int, Run] = {}
    control = given["control"]
    # Collecting garbage in a fork would copy almost all memory of this process.
    gc.collect()
    gc.freeze()
    for mutant, diff in [(control, []), *given["mutants"]]:
        items = session.items if mutant == control else tests.choose(mutant)
        if len(running) >= WORKERS:
            collect(running, given["results"], tests)
        folder = tempfile.mkdtemp(prefix="mutant-")
        seconds = sum(tests.seconds[item.nodeid] for item in items)
        ends = time.monotonic() + LEAST_SECONDS + PATIENCE * seconds
        pid = os.fork()
        if not pid:
            os._exit(try_mutant(session, mutant, items, folder))
        running[pid] = Run(mutant, diff, ends, folder)
    while running:
        collect(running, given["results"], tests)
    return True


def file_of(mutant: str) -> str:
    return mutant.split(".")[-2]


def try_mutant(session: pytest.Session, mutant: str, items: list[pytest.Item], folder: str) -> int:
    """Run tests up to the first failure, and return an exit code."""
    gc.disable()
    try:
        session.config.pluginmanager.unregister(name="terminalreporter")
        # Nobody reads the failures, and to show the lines of mutated files takes long.
        session.config.option.tbstyle = "line"
        # Two processes must not share a directory.
        base = Path(folder) / "pytest-of-mutants" / "pytest-0"
        base.mkdir(parents=True)
        session.config._tmp_path_factory._basetemp = base  # type: ignore[attr-defined]
        set_mutant_under_test(mutant)
        for item, following in zip(items, [*items[1:], None]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                (Path(folder) / FINDER).write_text(item.nodeid, "utf-8")
                return KILLED
    except BaseException:
        return BROKEN
    return SURVIVED


def collect(running: dict[int, Run], results: str, tests: Tests) -> None:
    """Wait for a process to end, and record its verdict."""
    while True:
        for pid, run in list(running.items()):
            is_late = time.monotonic() > run.ends
            if is_late:
                os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, 0 if is_late else os.WNOHANG)
            if ended:
                del running[pid]
                finder = Path(run.folder) / FINDER
                if finder.exists():
                    tests.add_finder(run.mutant, finder.read_text("utf-8"))
                shutil.rmtree(run.folder, ignore_errors=True)
                code = os.waitstatus_to_exitcode(status)
                # The mutant has killed the process, unless the trial itself is broken.
                verdict = "timeout" if is_late else VERDICTS.get(code, "killed")
                json_lines.append(results, [run.mutant, run.diff, verdict])
                return
        time.sleep(0.002)
