# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make trust`: the tests of tests/trust, section by section, and the figures of the run.

trust.py [--out FILE] [SECTION...]: the figures go to .cache/trust/figures.txt as well. A run of all
sections names the figures of trust_figures.txt that it lacks; in CI, where nothing may be missing,
it has failed then.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests import installed
from tests.tools.sanity import ROOT
from tests.tools.timed_tests import Ended, end_all, exit_on_sigterm, run_tests
from tests.trust import figures

CACHE = ROOT / ".cache" / "trust"
PUBLISHED = ROOT / "tests" / "tools" / "trust_figures.txt"
# In figures of what no run has to have: its licence keeps the specification out of this project,
# and a machine's own logger is left in peace.
OPTIONAL = ("the specification of Atlas", "the syslog socket")

# The first three lines of this file, and what the file of figures is.
HEADER = (
    "".join(f"{line}\n" for line in Path(__file__).read_text("utf-8").splitlines()[:3])
    + """
# What a run of `make trust` on version {} has tried, and how often. The next run names
# what it lacks of it. To replace it: make trust ARGS="--out tests/tools/trust_figures.txt".

"""
)
# The folders of tests/trust and the seconds each may take: more, and the section has failed.
SECTIONS = {"peers": 480, "secrets": 480, "hostile": 480, "death": 1200}


@dataclass(frozen=True)
class Result:
    section: str
    ended: Ended

    @property
    def line(self) -> str:
        ended, budget = self.ended, SECTIONS[self.section]
        verdict = "FAILED" if ended.code else "ok"
        return f"{self.section:8} {verdict:7} {ended.seconds:4.0f} of {budget} s  {ended.summary}"


def run(section: str, arguments: list[str]) -> Result:
    """Run the tests of a section; at the end of its time they are ended, with all they started."""
    print(f"== {section}", flush=True)
    log = CACHE / f"{section}.log"
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal", "-rs"]
    command += [f"tests/trust/{section}", *arguments]
    environ = {**os.environ, figures.VARIABLE: str(CACHE / "figures.jsonl")}
    ended = run_tests(command, log, environ, SECTIONS[section])
    text = log.read_text("utf-8")
    if ended.code:
        print(text, flush=True)
    for skipped in (line for line in text.splitlines() if line.startswith("SKIPPED")):
        print(skipped, flush=True)
    return Result(section, ended)


def render(sums: Mapping[str, Mapping[str, int]]) -> str:
    """Return the figures, one a line: the section, how often, and what was tried."""
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text("utf-8"))["version"]
    return HEADER.format(version) + "".join(
        f"{section:8}{number:6}  {what}\n"
        for section in sorted(sums, key=[*SECTIONS, *sums].index)
        for what, number in sorted(sums[section].items())
    )


def lacking(sums: Mapping[str, Mapping[str, int]], published: str) -> list[str]:
    """Return the published figures that a run does not have: what they count has not run."""
    rows = re.findall(r"^(\w+) +\d+  (.+)$", published, re.MULTILINE)
    return [
        f"{section}: {what}"
        for section, what in rows
        if what not in sums.get(section, {}) and not any(words in what for words in OPTIONAL)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=" ".join(SECTIONS))
    parser.add_argument("--out", type=Path, help="where else the figures go")
    parser.add_argument("-k", metavar="EXPRESSION", help="the tests to pick")
    given = parser.parse_args()
    unknown = [name for name in given.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {' '.join(unknown)}; there are: {' '.join(SECTIONS)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    recorded = CACHE / "figures.jsonl"
    recorded.write_text("", "utf-8")
    arguments = ["-k", given.k] if given.k else []
    exit_on_sigterm()
    try:
        results = [run(section, arguments) for section in given.sections or SECTIONS]
    finally:
        end_all()
    published = PUBLISHED.read_text("utf-8")
    sums = figures.add_up(recorded.read_text("utf-8").splitlines())
    table = render(sums)
    for path in [CACHE / "figures.txt", *([given.out] if given.out else [])]:
        path.write_text(table, "utf-8")
    print(table)
    for result in results:
        print(result.line)
    is_whole = not given.k and {*(given.sections or SECTIONS)} == {*SECTIONS}
    lost = lacking(sums, published) if is_whole else []
    for row in lost:
        print(f"Not counted, although {PUBLISHED.relative_to(ROOT)} has it: {row}")
    has_failed = any(result.ended.code for result in results)
    return int(has_failed or (bool(lost) and installed.VARIABLE in os.environ))


if __name__ == "__main__":
    sys.exit(main())
