# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules as processes of their own whose time is set in the middle of a task, by libfaketime.

Only the module's process has it: its interpreter is a script that sets it up. So the kernel's own
clocks, sockets' time limits among them, go on as they do where somebody sets the time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.installed import find
from tests.integration.peers import Authority
from tests.integration.playbook import GROUP, MODULE, AnsibleSandbox, TaskResult
from tests.support import key_id, key_pair, org_id, seed, service_account
from tests.trust.figures import count

SECTION = "death"
PLATFORM = "atlas"
TASK = "Task"
INTERPRETER = """#!/bin/sh
export LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={file} FAKETIME_NO_CACHE=1
export PYTHONPATH={folder}/site {more}
exec {python} "$@"
"""
# libfaketime takes the moment at which a sleep of Python's ends for one of the calendar, and the
# kernel refuses what comes out; a length it leaves alone.
SLEEP = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


def library() -> Path:
    """Return libfaketime; the test is skipped by name where it is not."""
    program = Path(find("faketime")).resolve()
    found = sorted(program.parents[1].glob("lib/**/faketime/libfaketime.so.1"))
    return found[0] if found else pytest.skip("libfaketime is not installed")


class _SetTime(Fault):
    """Sets the time when a request comes, and goes on as another fault, or as if nothing was."""

    def __init__(self, method: str, file: Path, offset: str, then: Fault | None) -> None:
        super().__init__("slow", method, "/api/*")
        self._file, self._offset, self._then = file, offset, then

    def play(self, exchange: Any) -> None:
        self._file.write_text(self._offset, "utf-8")
        if self._then:
            self._then.play(exchange)
        else:
            exchange.send(exchange.perform())


def refused(name: str = "status") -> Callable[[], Fault]:
    """A refusal until a date by the server's clock, which goes on as it does."""

    def fault() -> Fault:
        date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=2), usegmt=True)
        return Fault(name, status=429, retry_after=date)

    return fault


@dataclass(frozen=True)
class Jump:
    """How time is set at the first request of a method, and what becomes of the task."""

    name: str
    offset: str
    method: str = "DELETE"
    then: Callable[[], Fault] | None = None
    has_account: bool = False
    # Whether the clock that nobody can set jumps too, as after a sleep of the machine.
    is_monotonic: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    words: str = ""

    def __str__(self) -> str:
        return self.name


DAYS, YEARS = "86400", "315360000"
WAIT = {"wait": True, "wait_timeout": 20}
JUMPS = [
    Jump("years ahead, waits for a date", f"+{YEARS}", then=refused()),
    Jump("years back, waits for a date", f"-{YEARS}", then=refused()),
    Jump("a day ahead, by a token", f"+{DAYS}", "GET", has_account=True),
    Jump("a day back, tries again", f"-{DAYS}", "GET", lambda: Fault("reset")),
    Jump(
        "years ahead, breaks off and waits",
        f"+{YEARS}",
        then=lambda: Fault("lost_after"),
        options=WAIT,
    ),
    Jump(
        "suspended for a day, tries again",
        f"+{DAYS}",
        "GET",
        lambda: Fault("reset"),
        is_monotonic=True,
    ),
    Jump(
        "suspended for a day, waits in vain",
        f"+{DAYS}",
        is_monotonic=True,
        options=WAIT,
        words="still shows the API key",
    ),
]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_task_ends_well_or_tells_why_when_time_is_set(
    tmp_path: Path, collections: Path, jump: Jump
) -> None:
    with Emulator(seed()) as emulator:
        if jump.words:
            emulator.settings.visibility_delay = 60.0
        result = run(emulator, tmp_path, collections, jump)
        keys = emulator.state.organizations[org_id(PLATFORM)].api_keys
        assert result.failed is bool(jump.words), result.msg
        assert jump.words in result.msg
        assert result.changed
        assert key_id(PLATFORM, 2) not in keys
        assert len([write for write in emulator.writes if write.method == "DELETE"]) == 1
    count(SECTION, "module processes whose time is set in the middle")


@pytest.mark.parametrize(
    ("offset", "words"), [(YEARS, "has expired"), (f"-{YEARS}", "not yet valid")]
)
def test_a_wrong_calendar_is_named_where_a_certificate_seems_out_of_date(
    tmp_path: Path, collections: Path, offset: str, words: str
) -> None:
    (tmp_path / "authority").mkdir()
    authority = Authority(tmp_path / "authority")
    files = authority.issue("server", "127.0.0.1")
    with Emulator(seed(), tls=files) as emulator:
        jump = Jump(
            "wrong", f"+{offset}".replace("+-", "-"), options={"ca_path": str(authority.file)}
        )
        result = run(emulator, tmp_path, collections, jump, at_once=True)
        assert result.failed
        assert words in result.msg
        assert "check this host's clock too" in result.msg
        assert emulator.writes == []
    count(SECTION, "module processes whose time is set in the middle")


def run(
    emulator: Emulator, folder: Path, collections: Path, jump: Jump, at_once: bool = False
) -> TaskResult:
    """Revoke a key by a playbook; the module's time is as it is until the jump."""
    shop = AnsibleSandbox(folder / "shop", collections)
    file, interpreter = folder / "time", folder / "python"
    file.write_text(jump.offset if at_once else "+0", "utf-8")
    more = "" if jump.is_monotonic else "FAKETIME_DONT_FAKE_MONOTONIC=1"
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SLEEP, "utf-8")
    interpreter.write_text(
        INTERPRETER.format(
            library=library(), file=file, folder=folder, more=more, python=sys.executable
        )
    )
    interpreter.chmod(0o755)
    if not at_once:
        then = jump.then() if jump.then else None
        emulator.add_fault(_SetTime(jump.method, file, jump.offset, then))
    credentials = service_account if jump.has_account else key_pair
    common = {"platform": PLATFORM, "base_url": emulator.url, "org_id": org_id(PLATFORM)}
    revoke = {"api_user_id": key_id(PLATFORM, 2), "state": "absent", "timeout": 10}
    play = {
        "hosts": "localhost",
        "vars": {"ansible_python_interpreter": str(interpreter)},
        "module_defaults": {GROUP: {**common, **credentials(PLATFORM)}},
        "tasks": [{"name": TASK, MODULE: {**revoke, **jump.options}}],
    }
    # Where it hangs, this ends it.
    return shop.playbook([play], patience=120).result(TASK)
