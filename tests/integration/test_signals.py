# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that gets a signal completes and reports what it has begun, and starts nothing new.

Each module is a separate process that gets a signal while it reads and while it writes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.integration.playbook import MODULE, AnsibleSandbox, wait_for
from tests.support import ROOT, key_id, key_pair, org_id, project_id

pytestmark = pytest.mark.slow

PLATFORM = "atlas"
ORG = org_id(PLATFORM)
VICTIM = key_id(PLATFORM, 2)
SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")
SLOW = 1.0
NEW = {"description": "new one", "roles": ["ORG_MEMBER"]}
REVOKE = {"api_user_id": VICTIM, "state": "absent"}

MODULE_PROCESS = """
import json, signal, sys
# The process that runs the tests may ignore some signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.path.insert(0, sys.argv[1])
from tests.support import RealClock, run_module
print(run_module(sys.argv[2], json.loads(sys.argv[3]), clock=RealClock()).output)
"""
WITH_CONTROL_C = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "ansible", "playbook", *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Case:
    """A task, the first request that changes something, and a check of the result."""

    name: str
    module: str
    options: dict[str, Any]
    write: tuple[str, str]
    is_done: Callable[[dict[str, Any]], bool]
    # The number of writes of the whole task, of which only the first has begun.
    writes: int = 1
    read: str = "*/apiKeys*"


CASES = [
    Case(
        "create",
        "org_api_key",
        {**NEW, "state": "present"},
        ("POST", "*/apiKeys"),
        lambda result: bool(result["private_key"] and result["org_api_key"]["id"]),
    ),
    Case(
        "revoke",
        "org_api_key",
        REVOKE,
        ("DELETE", "*/apiKeys/*"),
        lambda result: bool(result["org_api_key"]["id"] == VICTIM),
    ),
    Case(
        "replace",
        "org_api_key_access_list",
        {"api_user_id": key_id(PLATFORM, 7), "entries": ["192.0.2.1"], "purge": True},
        ("POST", "*/accessList"),
        lambda result: bool(
            result["org_api_key_access_list"]["entries"] == ["192.0.2.0/24", "192.0.2.1"]
        ),
        writes=2,
    ),
    Case(
        "unassign",
        "project_api_key",
        {"api_user_id": VICTIM, "project_id": project_id(PLATFORM), "state": "absent"},
        ("DELETE", "*/groups/*/apiKeys/*"),
        lambda result: bool(result["changed"]),
    ),
    Case(
        "declare",
        "org_api_keys",
        {"api_keys": [NEW, {**NEW, "description": "new two"}], "concurrency": 1},
        ("POST", "*/apiKeys"),
        lambda result: bool(result["created"][0]["private_key"] and len(result["pending"]) == 1),
        writes=2,
    ),
    Case(
        "delete",
        "service_account",
        {"name": "victim", "state": "absent"},
        ("DELETE", "*/serviceAccounts/*"),
        lambda result: bool(result["changed"]),
        read="*/serviceAccounts*",
    ),
    Case(
        "fill",
        "service_account_secret",
        {"name": "victim", "secret_expires_after_hours": 8},
        ("POST", "*/secrets"),
        lambda result: bool(result["client_secret"] and result["service_account_secret"]["id"]),
        read="*/serviceAccounts*",
    ),
    Case(
        "post",
        "api_request",
        {
            "method": "POST",
            "path": f"/orgs/{ORG}/apiKeys",
            "body": {"desc": "new one", "roles": ["ORG_MEMBER"]},
            "unique_by": ["desc"],
        },
        ("POST", "*/apiKeys"),
        lambda result: bool(result["json"]["id"] and result["status"] == 200),
    ),
]


# Every case gets one signal; the case with two writes gets the others too.
each_case = pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(case, name, id=f"{case.module}-{case.name}-{name}")
        for case in CASES
        for name in (SIGNALS if case.name == "replace" else SIGNALS[:1])
    ],
)


def start(
    collections: Path, emulator: Emulator, module: str, options: dict[str, Any]
) -> subprocess.Popen[str]:
    base = {"base_url": emulator.url, "org_id": ORG, **key_pair(PLATFORM)}
    options = {**base, **options}
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            MODULE_PROCESS,
            str(collections),
            module,
            json.dumps(options),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = process.communicate(timeout=60)
    assert stderr == ""
    result: dict[str, Any] = json.loads(stdout)
    return result


def accepted(emulator: Emulator) -> list[Any]:
    """Return the accepted requests; slow ones are listed as soon as they arrive."""
    return [request for request in emulator.requests if request.caller]


@each_case
def test_a_signal_before_the_first_change_prevents_it(
    collections: Path, emulator: Emulator, case: Case, name: str
) -> None:
    emulator.add_fault(Fault("slow", "GET", case.read, seconds=SLOW))
    process = start(collections, emulator, case.module, case.options)
    wait_for(lambda: accepted(emulator), process)
    process.send_signal(signal.Signals[name])
    result = result_of(process)
    assert result["failed"]
    assert result["error"]["type"] == "cancelled"
    assert f"the task was stopped by {name}" in result["msg"]
    assert not result.get("changed")
    assert emulator.writes == []
    # The request in progress was completed, and no other was sent.
    assert len(accepted(emulator)) == 1


@each_case
def test_a_change_that_has_begun_is_completed_and_reported(
    collections: Path, emulator: Emulator, case: Case, name: str
) -> None:
    emulator.add_fault(Fault("slow", *case.write, seconds=SLOW, after_write=True))
    process = start(collections, emulator, case.module, case.options)
    wait_for(lambda: emulator.writes, process)
    process.send_signal(signal.Signals[name])
    result = result_of(process)
    assert result["changed"]
    assert case.is_done(result)
    assert len(emulator.writes) == 1
    assert bool(result.get("failed")) == (case.writes > 1)
    if case.writes > 1:
        assert result["error"]["type"] == "cancelled"


def test_a_lost_response_is_still_looked_up(collections: Path, emulator: Emulator) -> None:
    """The new key becomes visible only seconds after the signal."""
    emulator.settings.visibility_delay = 2.0
    emulator.add_fault(Fault("lost_after", "POST", "*/apiKeys"))
    process = start(collections, emulator, "org_api_key", NEW)
    wait_for(lambda: emulator.writes, process)
    process.send_signal(signal.SIGTERM)
    result = result_of(process)
    (made,) = [
        key.id
        for key in emulator.state.organizations[ORG].api_keys.values()
        if key.description == NEW["description"]
    ]
    assert result["error"]["type"] == "orphan"
    assert result["error"]["parameters"] == [made]
    assert result["changed"]


def test_the_credentials_file_of_a_created_key_is_written(
    collections: Path, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.add_fault(Fault("slow", "POST", "*/apiKeys", seconds=SLOW, after_write=True))
    path = tmp_path / "key.json"
    options = {**NEW, "credentials_file": str(path)}
    process = start(collections, emulator, "org_api_key", options)
    wait_for(lambda: emulator.writes, process)
    process.send_signal(signal.SIGTERM)
    result = result_of(process)
    assert json.loads(path.read_text("utf-8"))["api_user_id"] == result["org_api_key"]["id"]


def test_a_signal_ends_the_wait_before_a_retry(collections: Path, emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", "DELETE", status=429, retry_after=50))
    process = start(collections, emulator, "org_api_key", REVOKE)
    wait_for(lambda: any(r.status == 429 for r in emulator.requests), process)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    result = result_of(process)
    assert time.monotonic() - began < 20
    assert result["error"]["type"] == "cancelled"
    assert not result.get("changed")


def test_a_creation_still_writes_its_file_after_control_c(
    collections: Path, emulator: Emulator, tmp_path: Path
) -> None:
    """The terminal signals both Ansible and the module, and Ansible does not wait."""
    emulator.add_fault(Fault("slow", "POST", "*/apiKeys", seconds=SLOW, after_write=True))
    path = tmp_path / "key.json"
    base = {"base_url": emulator.url, "org_id": ORG, **key_pair(PLATFORM)}
    task = {"name": "Create", MODULE: {**base, **NEW, "credentials_file": str(path)}}
    sandbox = AnsibleSandbox(tmp_path / "shop", collections, own_python=True)
    playbook, inventory = sandbox.write([{"hosts": "all", "tasks": [task]}])
    process = subprocess.Popen(
        [sys.executable, "-c", WITH_CONTROL_C, "-i", str(inventory), str(playbook)],
        cwd=sandbox.folder,
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: emulator.writes, process)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    (made,) = [
        key.id
        for key in emulator.state.organizations[ORG].api_keys.values()
        if key.description == NEW["description"]
    ]
    assert json.loads(path.read_text("utf-8"))["api_user_id"] == made
