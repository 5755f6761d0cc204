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
from dataclasses import dataclass, field
from pathlib import Path

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
# How many of the tests that have found a mutant of the same function run first.
MOST_FINDERS = 30


@dataclass
class Finders:
    """The tests that have found mutants.

    ``files`` has how many mutants of a file each test file has found, and ``tests`` the tests that
    have found mutants of a function, the latest last.
    """

    files: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    tests: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, mutant: str, test: str) -> None:
        self.files[file_of(mutant)][Path(test.partition("::")[0]).name] += 1
        tests = self.tests[mangled_name_from_mutant_name(mutant)]
        tests.pop(test, None)
        tests[test] = None


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
    seconds = defaultdict(float, stats["duration_by_test"])
    by_function = stats["tests_by_mangled_function_name"]
    running: dict[int, Run] = {}
    finders = Finders()
    control = given["control"]
    by_name = {item.nodeid: item for item in session.items}
    # Collecting garbage in a fork would copy almost all memory of this process.
    gc.collect()
    gc.freeze()
    for mutant, diff in [(control, []), *given["mutants"]]:
        names = by_function.get(mangled_name_from_mutant_name(mutant), ())
        items = [by_name[name] for name in names if name in by_name]
        items = (
            session.items
            if mutant == control
            else in_order(items, mutant, seconds, finders, given["seconds"])
        )
        if len(running) >= WORKERS:
            collect(running, given["results"], finders)
        folder = tempfile.mkdtemp(prefix="mutant-")
        ends = time.monotonic() + LEAST_SECONDS + PATIENCE * sum(seconds[i.nodeid] for i in items)
        pid = os.fork()
        if not pid:
            os._exit(try_mutant(session, mutant, items, folder))
        running[pid] = Run(mutant, diff, ends, folder)
    while running:
        collect(running, given["results"], finders)
    return True


def in_order(
    items: list[pytest.Item],
    mutant: str,
    seconds: dict[str, float],
    finders: Finders,
    most_seconds: float,
) -> list[pytest.Item]:
    """Return the most promising tests first, up to ``most_seconds``.

    The first are the tests that have found mutants of the same function, and the mutant's own test
    file. Then comes the quickest test of each other file, the next one of each, and so on, because
    the tests of a file are alike. The files come first that have found most of the mutant's
    neighbors for their time.
    """
    by_test = {item.nodeid: item for item in items}
    latest = list(finders.tests[mangled_name_from_mutant_name(mutant)])[: -MOST_FINDERS - 1 : -1]
    found = [by_test.pop(test) for test in latest if test in by_test]
    total = sum(seconds[item.nodeid] for item in found)
    by_file: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in sorted(by_test.values(), key=lambda item: seconds[item.nodeid]):
        by_file[item.path.name].append(item)
    cost = {name: sum(seconds[i.nodeid] for i in items) for name, items in by_file.items()}
    own, known = by_file.pop(f"test{file_of(mutant)}.py", []), finders.files[file_of(mutant)]
    names = sorted(by_file, key=lambda name: (-known[name] / (cost[name] + 0.1), cost[name]))
    for item in itertools.chain(own, *itertools.zip_longest(*(by_file[name] for name in names))):
        if item is not None:
            total += seconds[item.nodeid]
            if total > most_seconds:
                return found
            found.append(item)
    return found


def file_of(mutant: str) -> str:
    return mutant.split(".")[-2]


def try_mutant(session: pytest.Session, mutant: str, items: list[pytest.Item], folder: str) -> int:
    """Run tests up to the first failure, and return an exit code."""
    gc.disable()
    try:
        session.config.pluginmanager.unregister(name="terminalreporter")
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


def collect(running: dict[int, Run], results: str, finders: Finders) -> None:
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
                    finders.add(run.mutant, finder.read_text("utf-8"))
                shutil.rmtree(run.folder, ignore_errors=True)
                code = os.waitstatus_to_exitcode(status)
                # The mutant has killed the process, unless the trial itself is broken.
                verdict = "timeout" if is_late else VERDICTS.get(code, "killed")
                json_lines.append(results, [run.mutant, run.diff, verdict])
                return
        time.sleep(0.002)
