# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make versions`: run the tests that start Ansible with every available ansible-core.

versions.py [CORE...]: by default all except the one of `make test`, two at a time. Each has an
environment with the oldest or newest requests. Only the oldest and the newest ansible-core run all
of these tests, because those between differ little from them or from the one of `make test`. Each
Python of TARGETS has three environments for modules: with the oldest, with the newest, and without
requests. They stay in .cache/versions.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from tests.tools.sanity import (
    CORES,
    ENDS,
    NEWEST_TARGET,
    ROOT,
    TARGETS,
    WORKERS,
    create_environment,
    find_pythons,
)
from tests.tools.timed_tests import Ended, end_all, exit_on_sigterm, run_tests

CACHE = ROOT / ".cache" / "versions"
REQUIREMENTS = [ROOT / name for name in ("requirements.txt", "tests/requirements-demo.txt")]
REQUIREMENTS.append(ROOT / "tests/requirements.txt")

# RHEL 9 and Debian 11 have this urllib3 with the oldest requests in requirements.txt.
OLDEST_URLLIB3 = "urllib3==1.26.5"
# The others have the newest.
WITH_OLDEST = ("2.16", "2.18")
# What ENDS run. tests/versions runs modules on each Python of TARGETS.
OF_ENDS = ("tests/integration", "tests/versions", "tests/unit")
# The EXAMPLES of every module.
_EXAMPLES = "tests/integration/test_examples.py"
OF_OTHERS = tuple(
    f"{_EXAMPLES}::test_{name}"
    for name in ("all_examples_succeed", "example_succeeds", "example_does_something")
)
# Seconds after which a run has failed and is killed. On a slow machine, it takes up to 450 s.
LIMIT = 1200


@dataclasses.dataclass(frozen=True)
class Environment:
    """A virtual environment and its packages."""

    name: str
    interpreter: Path
    wanted: tuple[str, ...]

    @property
    def python(self) -> Path:
        return CACHE / self.name / "bin" / "python"


@dataclasses.dataclass(frozen=True)
class Core:
    version: str
    python: str
    environment: Environment

    @property
    def requests(self) -> str:
        return "oldest" if self.version in WITH_OLDEST else "newest"

    @property
    def log(self) -> Path:
        return CACHE / f"{self.environment.name}.log"


@dataclasses.dataclass(frozen=True)
class Result:
    core: Core
    ended: Ended


def oldest_requests() -> tuple[str, str]:
    """Return the oldest requests that requirements.txt allows, and its urllib3."""
    text = (ROOT / "requirements.txt").read_text("utf-8")
    return re.findall(r"^requests>=\S+", text, re.M)[0].replace(">=", "=="), OLDEST_URLLIB3


def make_core(version: str, python: str, interpreter: Path) -> Core:
    requests = oldest_requests() if version in WITH_OLDEST else ()
    wanted = (f"ansible-core=={version}.*", "-r", str(REQUIREMENTS[-1]), *requests)
    return Core(version, python, Environment(f"core-{version}", interpreter, wanted))


def make_targets(pythons: dict[str, Path]) -> dict[str, list[Environment]]:
    """Return the environments for modules of each Python."""
    kinds = {"oldest": oldest_requests(), "newest": ("requests",), "none": ()}
    return {
        version: [
            Environment(f"target-{version}-{kind}", path, wanted) for kind, wanted in kinds.items()
        ]
        for version, path in pythons.items()
    }


def prepare(environment: Environment) -> None:
    """Create an environment, unless it exists and its recipe has not changed."""
    folder = CACHE / environment.name
    made_of = [str(environment.interpreter), *environment.wanted]
    made_of += [path.read_text("utf-8") for path in REQUIREMENTS if "-r" in environment.wanted]
    ready = folder / "ready"
    recipe = json.dumps(made_of)
    if environment.python.exists() and ready.exists() and ready.read_text("utf-8") == recipe:
        return
    shutil.rmtree(folder, ignore_errors=True)
    create_environment(folder, environment.interpreter, environment.wanted)
    ready.write_text(recipe, "utf-8")


def is_for_each_core(path: Path, fixtures: Collection[str], *, is_slow: bool) -> bool:
    """Return whether a test depends on the version of ansible-core, and so is marked ``each_core``.

    Integration tests that start Ansible do, and use the fixture ``collections``. Tables of modules
    that run in pytest's own process do not.
    """
    is_integration = ROOT / "tests" / "integration" in path.parents
    return not is_slow and (not is_integration or "collections" in fixtures)


def choose_targets(core: Core, targets: dict[str, list[Environment]]) -> dict[str, str]:
    """Return the Pythons for modules of an ansible-core, by environment.

    Modules run there with the same requests as on the control node. On a Python that the oldest
    ansible-core does not support, they run with the oldest and the newest.
    """
    newest = TARGETS.index(NEWEST_TARGET.get(core.version, TARGETS[-1]))
    shared = TARGETS.index(NEWEST_TARGET[ENDS[0]])
    return {
        environment.name.removeprefix("target-"): str(environment.python)
        for n, python in enumerate(TARGETS[: newest + 1])
        for environment in targets.get(python, [])
        if n > shared or environment.name.endswith((f"-{core.requests}", "-none"))
    }


def run(core: Core, processes: int, targets: dict[str, str]) -> Result:
    command = [str(core.environment.python), "-m", "pytest", "-q", "-rsfE", "--tb=short"]
    command += ["-n", str(processes), "--dist", "loadfile"] if processes > 1 else []
    if core.version in ENDS:
        command += ["-m", "each_core", *OF_ENDS]
    else:
        command += OF_OTHERS
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environ["VERSIONS_TARGETS"] = json.dumps(targets)
    # Print each failed test on one line, however narrow the terminal.
    environ["COLUMNS"] = "1000"
    return Result(core, run_tests(command, core.log, environ, LIMIT))


def report(result: Result) -> None:
    core, ended = result.core, result.ended
    verdict = "FAILED" if ended.code else "ok"
    print(
        f"{core.version:5} Python {core.python:5} {core.requests} requests  {verdict:7}"
        f"{ended.seconds:5.0f} s  {ended.summary}",
        flush=True,
    )


def gather(results: Iterable[Result], words: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the lines of the logs with this prefix, each with its versions."""
    found: dict[str, list[str]] = {}
    for result in results:
        for line in dict.fromkeys(result.core.log.read_text("utf-8").splitlines()):
            if line.startswith(words):
                found.setdefault(line, []).append(result.core.version)
    return found


def report_all(results: list[Result]) -> None:
    """Print each skipped and failed test once, and the logs of failed versions."""
    lines = gather(results, ("SKIPPED ", "FAILED ", "ERROR "))
    for line, versions in lines.items():
        print(f"{line} [{' '.join(sorted(versions))}]")
    for result in results:
        if result.ended.code:
            log = result.core.log
            print(f"-- {result.core.version}: the end of {log.relative_to(ROOT)}")
            print("\n".join(log.read_text("utf-8").splitlines()[-200:]))


def prepare_all(environments: list[Environment]) -> dict[str, str]:
    """Create environments, two at a time, and return the errors of those that failed."""
    problems = {}
    CACHE.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        tasks = {e.name: pool.submit(prepare, e) for e in environments}
        for name, task in tasks.items():
            try:
                task.result()
            except subprocess.CalledProcessError as error:
                problems[name] = f"{error.stdout}{error.stderr}"
    return problems


def find_cores(wanted: list[str], pythons: dict[str, Path]) -> tuple[list[Core], list[str]]:
    """Return the ansible-cores to run, and those without a Python."""
    cores, skipped = [], []
    for version in wanted:
        python = next((p for p in CORES[version] if p in pythons), None)
        if python:
            cores.append(make_core(version, python, pythons[python]))
        else:
            skipped.append(f"{version} (needs Python {' or '.join(sorted(CORES[version]))})")
    # The slowest run first.
    cores.sort(key=lambda core: (core.version not in ENDS, core.version))
    return cores, skipped


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wanted", nargs="*", metavar="CORE")
    given = parser.parse_args(arguments)
    unknown = [version for version in given.wanted if version not in CORES]
    if unknown:
        print(f"Unknown: {' '.join(unknown)}. There are: {' '.join(CORES)}")
        return 2
    of_make_test = importlib.metadata.version("ansible-core").rpartition(".")[0]
    pythons = find_pythons()
    missing = [version for version in TARGETS if version not in pythons]
    print(f"Modules run on Python {' '.join(pythons)}", end="")
    print(f"; not installed: {' '.join(missing)}" if missing else "", flush=True)
    wanted = given.wanted or [v for v in CORES if v != of_make_test]
    cores, skipped = find_cores(wanted, pythons)

    has_targets = any(core.version in ENDS for core in cores)
    targets = make_targets(pythons if has_targets else {})
    started = time.monotonic()
    environments = [core.environment for core in cores]
    environments += [environment for three in targets.values() for environment in three]
    problems = prepare_all(environments)
    for name, problem in problems.items():
        print(f"{name} could not be installed:\n{problem}")
    print(f"environments: {time.monotonic() - started:.0f} s", flush=True)

    results = []
    cores = [core for core in cores if core.environment.name not in problems]
    at_once = min(WORKERS, len(cores)) or 1
    exit_on_sigterm()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        tasks = [
            pool.submit(run, core, WORKERS // at_once, choose_targets(core, targets))
            for core in cores
        ]
        try:
            for task in concurrent.futures.as_completed(tasks):
                results.append(task.result())
                report(results[-1])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()

    report_all(results)
    if skipped:
        print(f"Skipped because a suitable Python is missing: ansible-core {', '.join(skipped)}")
    failed = sum(1 for result in results if result.ended.code)
    print(f"versions: {len(results) - failed} passed, {failed} failed, {len(skipped)} skipped")
    return 1 if failed or problems or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
