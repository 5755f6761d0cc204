# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill a module, or ansible-playbook and its descendants, at a request or at a point in time."""

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

# The request at which a process is killed is never carried out, is carried out after the kill, is
# carried out before it without a response, or gets a response shortly before it. The last mode
# kills at a point in time.
MODES = LOST, LATE, DONE, ANSWERED, MOMENT = ("lost", "late", "done", "answered", "moment")


@dataclass(frozen=True)
class Point:
    """The matching request, or for MOMENT the delay, at which to kill.

    ``delay`` is the time from the response, or from the start, to the kill.
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
    """Announces a request and holds it until its sender is dead."""

    def __init__(self, point: Point) -> None:
        super().__init__("slow", point.method, point.path, after=point.number)
        self.mode = point.mode
        self.has_arrived, self.is_over = threading.Event(), threading.Event()

    def play(self, exchange: Any) -> None:
        if self.mode == ANSWERED:
            exchange.send(exchange.perform())
            self.has_arrived.set()
            return
        exchange.perform_if(self.mode == DONE)
        self.has_arrived.set()
        self.is_over.wait(PATIENCE)
        exchange.perform_if(self.mode == LATE)
        exchange.close()


def run_until_killed(
    sandbox: AnsibleSandbox, plays: list[dict[str, Any]], emulator: Emulator, point: Point
) -> int:
    """Start a playbook and kill it; return the number of writes until then.

    When it returns, no process of the playbook is running and no request is in progress.
    """
    held = _Held(point)
    if point.mode != MOMENT:
        emulator.add_fault(held)
    process = sandbox.start(plays)
    try:
        if point.mode == MOMENT:
            with suppress(subprocess.TimeoutExpired):
                process.wait(point.delay)
        else:
            deadline = time.monotonic() + PATIENCE
            while not held.has_arrived.wait(0.05):
                assert process.poll() is None, sandbox.finish(process).output
                assert time.monotonic() < deadline, f"{point} was not reached"
            time.sleep(point.delay)
    finally:
        kill_all(process, sandbox)
        writes = len(emulator.writes)
        held.is_over.set()
        emulator.clear_faults()
    settle(emulator)
    return writes


def module_until_killed(
    collections: Path, module: str, options: Mapping[str, Any], emulator: Emulator, point: Point
) -> None:
    """Start a module without Ansible, and kill it at a request."""
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
        while not held.has_arrived.wait(0.02):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, f"{point} was not reached"
    finally:
        kill(process)
        held.is_over.set()
        emulator.clear_faults()
    assert process.returncode == -signal.SIGKILL
    settle(emulator)


def kill_all(process: subprocess.Popen[str], sandbox: AnsibleSandbox) -> None:
    """Kill a process and its descendants, including those it starts in the meantime."""
    kill(process)
    mark = f"RESULT_LINES={sandbox.lines}".encode()
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
    """Wait until the emulator has completed the requests of dead processes."""
    deadline = time.monotonic() + patience
    quiet = 0
    while quiet < 3:
        quiet = quiet + 1 if emulator.open_connections == 0 else 0
        assert time.monotonic() < deadline, "connections of dead processes stay open"
        time.sleep(0.01)


def kill_at_lines(
    collections: Path, module: str, options: str, file: str = "_secret_file.py"
) -> int:
    """Kill a module before each line of the code that writes files; return the number of lines.

    ``options``: as JSON, with {point} for the number of the kill. ``file``: by default, the code
    that writes secrets.
    """
    script = Path(__file__).parent / "killed_at_lines.py"
    ended = subprocess.run(
        [sys.executable, script, collections, module, file, options],
        cwd=ROOT,
        check=False,
        env={"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)
