# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run pytest with a time limit, after which it is killed with all its processes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.tools.sanity import ROOT

_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Ended:
    """``summary`` is pytest's summary, such as ``5 passed, 1 skipped``."""

    code: int
    summary: str
    seconds: float


def run_tests(command: Sequence[str], log: Path, environ: Mapping[str, str], limit: float) -> Ended:
    """Run pytest in the checkout. Threads may do so in parallel."""
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        _running.add(process)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            _end(process)
            code = process.wait()
        _running.discard(process)
    found = re.findall(r"^=* ?(\d+ (?:passed|failed|error).*?) in ", log.read_text("utf-8"), re.M)
    summary = found[-1] if found else "cut off" if code < 0 else "no tests"
    return Ended(code, summary, time.monotonic() - started)


def exit_on_sigterm() -> None:
    """Let SIGTERM raise SystemExit, so that this process can kill its children.

    pytest has its own process group, which `timeout` does not reach.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        # Ignore the second signal, which make sends.
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def end_all() -> None:
    """Kill all running tests."""
    for process in list(_running):
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
