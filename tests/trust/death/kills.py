# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killing processes at a request or at a moment: a module, or ansible-playbook and all of its."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.emulator import Emulator, Fault
from tests.integration.playbook import PATIENCE, AnsibleSandbox, kill
from tests.support import ROOT

# What becomes of the request at which it is killed: it is never carried out; only after the death;
# before it, and never answered; answered, and the kill comes a moment later. Or, last, no request
# decides, but the time since the start.
MODES = LOST, LATE, DONE, ANSWERED, MOMENT = ("lost", "late", "done", "answered", "moment")


@dataclass(frozen=True)
class Point:
    """When to kill: at which of the requests that fit, or, for MOMENT, after how many seconds.

    ``delay`` is what lies between the request's answer, or the start, and the kill.
    """

    mode: str
    number: int = 0
    method: str = "*"
    path: str = "*"
    delay: float = 0.0


MODULE_PROCESS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tests.support import RealClock, run_module
print(run_module(sys.argv[2], json.loads(sys.argv[3]), clock=RealClock()).output)
"""


class _Held(Fault):
    """Tells that a request has come, and holds it until the one who sent it is dead."""

    def __init__(self, point: Point) -> None:
        super().__init__("slow", point.method, point.path, after=point.number)
        self.mode = point.mode
        self.has_come, self.is_over = threading.Event(), threading.Event()

    def play(self, exchange: Any) -> None:
        if self.mode == ANSWERED:
            exchange.send(exchange.perform())
            self.has_come.set()
            return
        exchange.perform_if(self.mode == DONE)
        self.has_come.set()
        self.is_over.wait(PATIENCE)
        exchange.perform_if(self.mode == LATE)
        exchange.close()


def run_until_killed(
    workshop: AnsibleSandbox, plays: list[dict[str, Any]], emulator: Emulator, point: Point
) -> int:
    """Start a playbook and kill it; return how many writes were done by then.

    When it returns, nothing of the playbook runs, and nothing is on its way.
    """
    held = _Held(point)
    if point.mode != MOMENT:
        emulator.add_fault(held)
    process = workshop.start(plays)
    try:
        if point.mode == MOMENT:
            with suppress(subprocess.TimeoutExpired):
                process.wait(point.delay)
        else:
            deadline = time.monotonic() + PATIENCE
            while not held.has_come.wait(0.05):
                assert process.poll() is None, workshop.finish(process).output
                assert time.monotonic() < deadline, f"{point} was not reached"
            time.sleep(point.delay)
    finally:
        kill_all(process, workshop)
        writes = len(emulator.writes)
        held.is_over.set()
        emulator.clear_faults()
    settle(emulator)
    return writes


def module_until_killed(
    collections: Path, module: str, options: Mapping[str, Any], emulator: Emulator, point: Point
) -> None:
    """Start a module in a process without Ansible around it, and kill it at a request."""
    held = _Held(point)
    emulator.add_fault(held)
    process = subprocess.Popen(
        [sys.executable, "-c", MODULE_PROCESS, str(collections), module, json.dumps(options)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "no_proxy": "*"},
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not held.has_come.wait(0.02):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, f"{point} was not reached"
    finally:
        kill(process)
        held.is_over.set()
        emulator.clear_faults()
    assert process.returncode == -signal.SIGKILL
    settle(emulator)


def kill_all(process: subprocess.Popen[str], workshop: AnsibleSandbox) -> None:
    """Kill a process and all that it has started, also what it starts meanwhile."""
    kill(process)
    mark = f"RESULT_LINES={workshop.lines}".encode()
    while survivors := [path for path in Path("/proc").glob("[0-9]*") if mark in _environ(path)]:
        for path in survivors:
            with suppress(ProcessLookupError):
                os.kill(int(path.name), signal.SIGKILL)
        time.sleep(0.01)


def _environ(path: Path) -> list[bytes]:
    try:
        return (path / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def settle(emulator: Emulator, patience: float = 60) -> None:
    """Wait until the emulator has done what it was asked for by those who are dead."""
    deadline = time.monotonic() + patience
    quiet = 0
    while quiet < 3:
        quiet = quiet + 1 if emulator.open_connections == 0 else 0
        assert time.monotonic() < deadline, "connections of the dead stay open"
        time.sleep(0.01)
