# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make trust`: the tests of tests/trust, section by section, and the figures of the run.

trust.py [--out FILE] [SECTION...]: the figures go to .cache/trust/figures.md as well. A run of all
tells which figures of docs/trust-figures.md it lacks; where nothing may be wanting, it has failed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import installed
from tests.tools.sanity import ROOT
from tests.tools.timed_tests import Ended, end_all, exit_on_sigterm, run_tests
from tests.trust import figures

CACHE = ROOT / ".cache" / "trust"
PUBLISHED = ROOT / "docs" / "trust-figures.md"
# In figures of what no run has to have: its licence keeps the specification out of this project,
# and a machine's own logger is left in peace.
OPTIONAL = ("the specification of Atlas", "the syslog socket")

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
    """Return the figures as a table in Markdown."""
    lines = ["| section | what was tried | how often |", "|---|---|---:|"]
    for section in sorted(sums, key=[*SECTIONS, *sums].index):
        for what, number in sorted(sums[section].items()):
            shown = f"{number:,}".replace(",", " ")
            lines.append(f"| {section} | {what} | {shown} |")
    return "\n".join(lines) + "\n"


def lacking(sums: Mapping[str, Mapping[str, int]], table: str) -> list[str]:
    """Return the rows of a table of which a run has no figure: what they tell of has not run."""
    rows = re.findall(r"^\| (\w+) \| (.+) \| [\d ]+ \|$", table, re.MULTILINE)
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
    sums = figures.add_up(recorded.read_text("utf-8").splitlines())
    table = render(sums)
    for path in [CACHE / "figures.md", *([given.out] if given.out else [])]:
        path.write_text(table, "utf-8")
    print(table)
    for result in results:
        print(result.line)
    is_whole = not given.k and {*(given.sections or SECTIONS)} == {*SECTIONS}
    lost = lacking(sums, PUBLISHED.read_text("utf-8")) if is_whole else []
    for row in lost:
        print(f"No figure, as in {PUBLISHED.relative_to(ROOT)}, of {row}")
    has_failed = any(result.ended.code for result in results)
    return int(has_failed or (bool(lost) and installed.VARIABLE in os.environ))


if __name__ == "__main__":
    sys.exit(main())
