# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make trust`: the tests of tests/trust, section by section, and the figures of the run.

trust.py [--out FILE] [SECTION...]: the figures go to .cache/trust/figures.md as well.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.trust import figures

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "trust"

# The folders of tests/trust and the seconds each may take: more, and the section has failed.
SECTIONS = {"peers": 480, "secrets": 480, "hostile": 480, "death": 1200}


@dataclass(frozen=True)
class Result:
    section: str
    code: int
    summary: str
    seconds: float

    @property
    def line(self) -> str:
        verdict = "FAILED" if self.code else "ok"
        budget = SECTIONS[self.section]
        return f"{self.section:8} {verdict:7} {self.seconds:4.0f} of {budget} s  {self.summary}"


def run(section: str, arguments: list[str]) -> Result:
    """Run the tests of a section; at the end of its time they are ended, with all they started."""
    print(f"== {section}", flush=True)
    log = CACHE / f"{section}.log"
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal", "-rs"]
    command += [f"tests/trust/{section}", *arguments]
    environ = {**os.environ, figures.VARIABLE: str(CACHE / "figures.jsonl")}
    started = time.monotonic()
    with log.open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(SECTIONS[section])
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
    text = log.read_text("utf-8")
    lines = text.splitlines()
    if code:
        print(text, flush=True)
    for skipped in (line for line in lines if line.startswith("SKIPPED")):
        print(skipped, flush=True)
    found = [line.strip("= ") for line in lines if re.search(r"\d+ (passed|failed|error)", line)]
    seconds = time.monotonic() - started
    summary = found[-1] if found else "cut off" if code < 0 else "no tests"
    return Result(section, code, re.sub(r" in [0-9.]+s.*", "", summary), seconds)


def render(sums: Mapping[str, Mapping[str, int]]) -> str:
    """Return the figures as a table in Markdown."""
    lines = ["| section | what was tried | how often |", "|---|---|---:|"]
    for section in sorted(sums, key=[*SECTIONS, *sums].index):
        for what, number in sorted(sums[section].items()):
            shown = f"{number:,}".replace(",", " ")
            lines.append(f"| {section} | {what} | {shown} |")
    return "\n".join(lines) + "\n"


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
    results = [run(section, arguments) for section in given.sections or SECTIONS]
    table = render(figures.add_up(recorded.read_text("utf-8").splitlines()))
    for path in [CACHE / "figures.md", *([given.out] if given.out else [])]:
        path.write_text(table, "utf-8")
    print(table)
    for result in results:
        print(result.line)
    return int(any(result.code for result in results))


if __name__ == "__main__":
    sys.exit(main())
