# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make trust`: run the tests of tests/trust, section by section.

trust.py [-k EXPRESSION] [SECTION...]: the output of each section goes to .cache/trust.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests.tools.sanity import ROOT
from tests.tools.timed_tests import end_all, exit_on_sigterm, run_tests

CACHE = ROOT / ".cache" / "trust"
# The directories of tests/trust, and the seconds after which a section fails.
SECTIONS = {"peers": 480, "secrets": 720, "hostile": 480, "death": 1200}


def run(section: str, arguments: list[str]) -> tuple[str, bool]:
    """Run the tests of a section; return a line of the report and whether they passed."""
    print(f"== {section}", flush=True)
    log = CACHE / f"{section}.log"
    # One process more than processors, because these tests often wait.
    processes = (os.cpu_count() or 1) + 1
    command = [sys.executable, "-m", "pytest", "-n", str(processes), "--dist", "worksteal", "-rs"]
    command += [f"tests/trust/{section}", *arguments]
    limit = SECTIONS[section]
    ended = run_tests(command, log, os.environ, limit)
    text = log.read_text("utf-8")
    if ended.code:
        print(text, flush=True)
    for skipped in (line for line in text.splitlines() if line.startswith("SKIPPED")):
        print(skipped, flush=True)
    verdict = "FAILED" if ended.code else "ok"
    line = f"{section:8} {verdict:7} {ended.seconds:4.0f} of {limit} s  {ended.summary}"
    return line, not ended.code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=" ".join(SECTIONS))
    parser.add_argument("-k", metavar="EXPRESSION", help="which tests to run")
    given = parser.parse_args()
    unknown = [name for name in given.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {' '.join(unknown)}; there are: {' '.join(SECTIONS)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    arguments = ["-k", given.k] if given.k else []
    exit_on_sigterm()
    try:
        results = [run(section, arguments) for section in given.sections or SECTIONS]
    finally:
        end_all()
    for line, _passed in results:
        print(line)
    return int(not all(passed for _line, passed in results))


if __name__ == "__main__":
    sys.exit(main())
