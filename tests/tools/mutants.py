# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make mutants`: put small mistakes into plugins/module_utils, which the tests must find.

mutants.py [--again | --resume] [--seconds S] [NAME...]: --again tries only new ones and those that
were not found last time and are not in mutants.txt, --resume those that an interrupted run did not
try. Each is tried with tests that take 5 seconds, or S. A NAME is the name of a mutant and may
contain * and ?.

mutmut creates the mutants in .cache/mutants and learns which tests reach which function;
mutant_tests.py runs these tests. It fails if fewer than 95% are found, or if one that is not found
has no line in mutants.txt. It prints these and the lines that are no longer needed. With a NAME, it
only prints them.

Mutants that change only the text of a message are not tried: the tests check the most frequent
messages, and of the others `error.type` and the names they contain.
"""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import json
import os
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tests.tools.sanity import ROOT, copy_project, project_files

CACHE = ROOT / ".cache" / "mutants"
COLLECTION = Path("ansible_collections/keysmith/mongodb")
# Mutants that may survive: a reason and Mutant.line for each.
ALLOWED = ROOT / "tests" / "tools" / "mutants.txt"
REASONS = ("same", "default", "limit", "unmet", "edge", "unseen", "machine")
UTILS = COLLECTION / "plugins" / "module_utils"
GOAL = 95.0
# Tests that run in one process; other processes have no mutants.
TESTS = (
    "tests/unit",
    "tests/integration/test_access_list_matrix.py",
    "tests/integration/test_account_matrix.py",
    "tests/integration/test_dangers.py",
    "tests/integration/test_faults.py",
    "tests/integration/test_flows.py",
    "tests/integration/test_hostile_server.py",
    "tests/integration/test_masking.py",
    "tests/integration/test_org_api_key_info_faults.py",
    "tests/integration/test_org_api_key_info_pages.py",
    "tests/integration/test_org_api_key_present_faults.py",
    "tests/integration/test_project_api_key_matrix.py",
    "tests/integration/test_recordings.py",
    "tests/integration/test_rotation_attacked.py",
    "tests/integration/test_rotation_interrupted.py",
    "tests/integration/test_rotation_walks.py",
    "tests/integration/test_tls.py",
)
# Not a mutant: all tests must pass with it, or the other verdicts mean nothing.
CONTROL = "no.mutant.x_at_all__mutmut_0"
# mutmut tries these itself, because it must run to create all mutants and learn.
FEW = "*._plan.*"
# Verdicts: a mutant's name, its change, and its status.
RESULTS = CACHE / "results.jsonl"
FOUND = ("killed", "timeout")
LITERAL = re.compile(r"""(?P<quote>['"])(?P<text>.*?)(?P=quote)""")
# Two consecutive words, or the last word of a sentence.
PHRASE = re.compile(r"[A-Za-z]{2,} +[A-Za-z]{2,}|[a-z]{2,}\.$")
OPTIONS = ["-pimport_plugins", "-pno:xdist", "-knot playbook and not slow"]
# pytest would create a package from the directories above the tests, without the plugins; and
# mutmut has looked into them before they were filled.
PLUGIN = """import importlib

importlib.invalidate_caches()
importlib.import_module("ansible_collections.keysmith.mongodb.plugins")
"""


@dataclass(frozen=True)
class Mutant:
    """``diff`` is the change, as lines that begin with - and +."""

    name: str
    status: str
    diff: tuple[str, ...]

    @property
    def file(self) -> str:
        return self.name.split(".")[-2]

    @property
    def line(self) -> str:
        """Return file and function, and the differing words before and after."""
        function = re.sub(r"^x(?:_|ǁ)|__mutmut_\d+$", "", self.name.split(".")[-1])
        was, now = (
            " ".join(line[1:] for line in self.diff if line[0] == sign).split() for sign in "-+"
        )
        while was and now and was[0] == now[0]:
            del was[0], now[0]
        while was and now and was[-1] == now[-1]:
            del was[-1], now[-1]
        texts = (" ".join(words) or "nothing" for words in (was, now))
        shown = (textwrap.shorten(text, 70, placeholder=" …") for text in texts)
        return f"{self.file}.{function.replace('ǁ', '.')}: {' → '.join(shown)}"

    @property
    def is_of_words(self) -> bool:
        """Return whether it only changes the letters of a message."""
        was, now = (
            [
                text
                for line in self.diff
                if line[0] == sign
                for _quote, text in LITERAL.findall(line)
            ]
            for sign in "-+"
        )
        changed = [(a, b) for a, b in zip(was, now) if a != b]
        return (
            len(was) == len(now)
            and bool(changed)
            and all(PHRASE.search(a) and _letters(a) == _letters(b) for a, b in changed)
        )


def _letters(text: str) -> str:
    return text.replace("XX", "").casefold()


def prepare() -> None:
    """Copy the project to where Ansible expects it. Unchanged files are not mutated again."""
    CACHE.mkdir(parents=True, exist_ok=True)
    copy_project(project_files(), CACHE / COLLECTION)
    copied = [COLLECTION / path.name for path in sorted((CACHE / COLLECTION).iterdir())]
    copied += sorted(p.relative_to(CACHE) for p in (CACHE / COLLECTION / "plugins").iterdir())
    options = {
        "source_paths": [str(UTILS)],
        # Not the mutated files, which a copy would replace.
        "also_copy": [str(p) for p in copied if p.name not in {"plugins", "module_utils", ".git"}],
        "pytest_add_cli_args_test_selection": [str(COLLECTION / test) for test in TESTS],
        "pytest_add_cli_args": OPTIONS,
    }
    lines = ["[mutmut]"]
    for name, values in options.items():
        lines += (
            [f"{name}={values[0]}"]
            if len(values) == 1
            else [f"{name}=", *(f"  {v}" for v in values)]
        )
    (CACHE / "setup.cfg").write_text("\n".join(lines) + "\n", "utf-8")
    # mutmut removes its own directory from Python's path.
    (CACHE / "plugin").mkdir(exist_ok=True)
    (CACHE / "plugin" / "import_plugins.py").write_text(PLUGIN, "utf-8")


def make() -> None:
    """Let mutmut write the mutants and learn which tests reach which function."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", FEW]
    run(command, CACHE, [CACHE / "plugin", CACHE / "mutants" / COLLECTION])


def try_out(mutants: list[Mutant], seconds: float) -> None:
    """Run tests with each mutant, up to some seconds, and record the verdicts."""
    to_try = {
        "control": CONTROL,
        "mutants": [(mutant.name, mutant.diff) for mutant in mutants],
        "stats": str(CACHE / "mutants" / "mutmut-stats.json"),
        "results": str(RESULTS),
        "seconds": seconds,
    }
    (CACHE / "to-try.json").write_text(json.dumps(to_try), "utf-8")
    options = [*OPTIONS, "-ptests.tools.mutant_tests", *(str(COLLECTION / test) for test in TESTS)]
    place = CACHE / "mutants"
    run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir=.", *options],
        place,
        [CACHE / "plugin", place, place / COLLECTION],
        MUTANTS_TO_TRY=str(CACHE / "to-try.json"),
    )
    if verdicts().get((CONTROL, ())) != "survived":
        sys.exit("The tests fail without any mutant: run make test")


def run(command: list[str], place: Path, paths: list[Path], **more: str) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "PYTHON"))}
    environ["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    with (CACHE / "log").open("w", encoding="utf-8") as log:
        process = subprocess.run(
            command, cwd=place, env={**environ, **more}, stdout=log, stderr=log, check=False
        )
    if process.returncode:
        tail = (CACHE / "log").read_text("utf-8").replace("\r", "\n").splitlines()[-40:]
        sys.exit("\n".join([*tail, f"{command[0]} ended with {process.returncode}"]))


def verdicts() -> dict[tuple[str, tuple[str, ...]], str]:
    """Return the last verdict on each mutant, by name and change."""
    recorded = RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else []
    return {(name, tuple(diff)): verdict for name, diff, verdict in map(json.loads, recorded)}


def read() -> list[Mutant]:
    """Return all mutants with their last verdict."""
    known = verdicts()
    found = []
    for meta in sorted((CACHE / "mutants" / UTILS).rglob("*.py.meta")):
        names = json.loads(meta.read_text("utf-8"))["exit_code_by_key"]
        bodies = functions(meta.with_suffix("").read_text("utf-8"))
        for name in names:
            function = name.rpartition(".")[2]
            original = bodies.get(re.sub(r"\d+$", "orig", function), [])
            changes = difflib.unified_diff(original, bodies.get(function, []), lineterm="", n=0)
            lines = [f"{x[0]}{x[1:].strip()}" for x in changes if x[:3] not in ("---", "+++")]
            diff = tuple(line for line in lines if line[0] in "+-" and len(line) > 1)
            found.append(Mutant(name, known.get((name, diff), "not tried"), diff))
    return found


def functions(source: str) -> dict[str, list[str]]:
    """Return the lines of each of mutmut's functions, without its name."""
    found: dict[str, list[str]] = {}
    body: list[str] = []
    depth = 0
    for line in source.splitlines():
        start = re.match(r"(\s*)def (x\S*?__mutmut_\w+)\(", line)
        if start:
            body, depth = [line[start.end() :]], len(start[1])
            found[start[2]] = body
        elif line.strip() and len(line) - len(line.lstrip()) <= depth and line.strip()[0] != ")":
            # The function has ended.
            body, depth = [], 0
        else:
            body.append(line)
    return found


def report(mutants: list[Mutant]) -> tuple[str, float]:
    """Return the table by file, and the percentage found."""
    lines = ["| file | mutants | found | % | not found |", "|---|---:|---:|---:|---:|"]
    files = sorted({mutant.file for mutant in mutants})
    percentage = 0.0
    for name in [*files, "all"]:
        counted = Counter(m.status for m in mutants if name in (m.file, "all"))
        total = counted.total()
        caught = sum(counted[status] for status in FOUND)
        percentage = 100 * caught / total
        lines.append(f"| `{name}` | {total} | {caught} | {percentage:.0f} | {total - caught} |")
    return "\n".join(lines) + "\n", percentage


def parse_allowed(text: str) -> dict[str, str]:
    """Return the reason for each mutant that may survive, by its line."""
    allowed = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            reason, mutant = line.split(maxsplit=1)
            assert reason in REASONS, line
            assert mutant not in allowed, line
            allowed[mutant] = reason
    return allowed


def compare(mutants: list[Mutant], allowed: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the lines of unexpected survivors, and the allowed lines without a survivor."""
    lines = dict.fromkeys(mutant.line for mutant in mutants if mutant.status not in FOUND)
    return (
        [line for line in lines if line not in allowed],
        [line for line in allowed if line not in lines],
    )


def survivors(mutants: list[Mutant]) -> str:
    """Return the survivors with their changes."""
    lines = []
    for mutant in mutants:
        lines += [f"{mutant.name} ({mutant.status})", *(f"    {line}" for line in mutant.diff)]
    return "\n".join(lines) + "\n"


def choose(
    mutants: list[Mutant], given: argparse.Namespace, allowed: Collection[str]
) -> list[Mutant]:
    """Return the mutants to try, those first that were not tried last time."""
    return sorted(
        (
            mutant
            for mutant in mutants
            if (not given.names or any(fnmatch.fnmatchcase(mutant.name, n) for n in given.names))
            and not (given.resume and mutant.status != "not tried")
            and not (given.again and (mutant.status in FOUND or mutant.line in allowed))
        ),
        key=lambda mutant: mutant.status != "not tried",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--again", action="store_true", help="only those not found last time")
    parser.add_argument("--resume", action="store_true", help="only those not tried last time")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long tests try each mutant")
    parser.add_argument("--report", action="store_true", help="only report the last run")
    given = parser.parse_args()
    allowed = parse_allowed(ALLOWED.read_text("utf-8"))
    if not given.report:
        prepare()
        make()
        # Before read(), or all would count as tried.
        if not (given.names or given.again or given.resume):
            RESULTS.unlink(missing_ok=True)
        tried = [mutant for mutant in read() if not mutant.is_of_words]
        try_out(choose(tried, given, allowed), given.seconds)
    every = read()
    mutants = [mutant for mutant in every if not mutant.is_of_words]
    table, percentage = report(mutants)
    others = [mutant for mutant in mutants if mutant.status not in FOUND]
    (CACHE / "survivors.txt").write_text(survivors(others), "utf-8")
    print(table)
    print(f"{percentage:.1f}% found; the others are in {CACHE.relative_to(ROOT)}/survivors.txt")
    print(f"{len(every) - len(mutants)} that change only the text of a message were not tried")
    unexplained, outdated = compare(mutants, allowed)
    place = ALLOWED.relative_to(ROOT)
    for line in unexplained:
        print(f"Not in {place}: {line}")
    for line in outdated:
        print(f"No longer needed in {place}: {line}")
    return int(percentage < GOAL or (bool(unexplained) and not given.names))


if __name__ == "__main__":
    sys.exit(main())
