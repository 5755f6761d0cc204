# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role rotate_org_api_key is killed in the middle of a step, and run again.

The answer to one request never comes, when what it asks for is done. Then the process and all that
it has started are killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.integration.playbook import PATIENCE, Finished, Workshop
from tests.integration.rotations import (
    OLD,
    By,
    Case,
    Organization,
    Step,
    essence,
    keep_private_keys,
    new_workshop,
    play,
    variables,
)
from tests.integration.secret_search import search

pytestmark = pytest.mark.slow

RUN = "First"
KEYS, KEY = "*/orgs/{org_id}/apiKeys", "*/orgs/{org_id}/apiKeys/*"
DONE = {"seconds": 600, "after_write": True}


def hang(method: str, path: str, skip: int = 0, by_new_pair: bool = False) -> tuple[Step, ...]:
    return (Step(method, path, skip, 1, by_new_pair, "slow", DONE),)


# Where it is killed, and what the description of its successor ends in then.
STOPS = [
    (Case("when it is created", steps=hang("POST", KEYS)), ": created)"),
    (Case("when it is assigned", steps=hang("POST", "*/groups/{project_id}/*")), ": created)"),
    (Case("before it is stored", steps=hang("PATCH", KEY)), ": storing)"),
    (Case("when it is stored", steps=hang("GET", KEY, 1, by_new_pair=True)), ": storing)"),
    (Case("when it is proved", steps=hang("PATCH", KEY, 1)), "Z)"),
    (Case("when the old key is revoked", steps=hang("DELETE", KEY)), "Z)"),
    (Case("when it has its name", steps=hang("PATCH", KEY, 2)), ""),
]
CASES = [case for case, _end in STOPS]
each_stop = pytest.mark.parametrize(
    ("case", "end"), [pytest.param(case, end, id=str(case)) for case, end in STOPS]
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Iterator[dict[str, Any]]:
    """The keys of each organization at the kill and after the run that follows, and that run."""
    folder = tmp_path_factory.mktemp("interrupted")
    files = folder / "files"
    files.mkdir()
    organizations = {case.host: case.organization(n) for n, case in enumerate(CASES)}
    seed = {"organizations": [organization.seed() for organization in organizations.values()]}
    with keep_private_keys() as secrets, Emulator(seed) as emulator:
        faults = [s.fault(organizations[case.host]) for case in CASES for s in case.steps]
        for fault in faults:
            emulator.add_fault(fault)
        hosts = {
            case.host: variables(case, organizations[case.host], emulator.url, files)
            for case in CASES
        }

        def keys() -> dict[str, list[dict[str, Any]]]:
            every = emulator.state.to_seed()["organizations"]
            return {
                host: [key for key in found["api_keys"] if key["description"] != "signs"]
                for host, found in zip(organizations, every)
            }

        killed = new_workshop(folder / "killed", collections)
        _run_until_all_hang(killed, hosts, faults)
        at_kill = keys()
        emulator.clear_faults()
        run = new_workshop(folder / "again", collections).playbook(
            [play(RUN, list(hosts))], "--forks=4", hosts=hosts
        )
        yield {
            "organizations": organizations,
            "at_kill": at_kill,
            "run": run,
            "keys": keys(),
            "files": files,
            "left": dict(_files(folder)),
            "secrets": secrets,
        }


def _run_until_all_hang(workshop: Workshop, hosts: dict[str, Any], faults: list[By]) -> None:
    playbook, inventory = workshop.write([play(RUN, list(hosts))], hosts)
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory)]
    with (workshop.folder / "output").open("w") as output:
        process = subprocess.Popen(
            [*command, f"--forks={len(hosts)}", "-vvv", str(playbook)],
            cwd=workshop.folder,
            env=workshop.environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            until = time.monotonic() + PATIENCE
            while not all(fault.is_played for fault in faults):
                assert process.poll() is None, (workshop.folder / "output").read_text("utf-8")
                assert time.monotonic() < until
                time.sleep(0.1)
            # What was asked for is done by then.
            time.sleep(1)
        finally:
            for pid in [process.pid, *_descendants(process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def _descendants(pid: int) -> list[int]:
    """All that a process has started; Ansible's workers are in sessions of their own."""
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=", "-o", "ppid="], capture_output=True, check=True, text=True
    )
    pairs = [tuple(map(int, line.split())) for line in listing.stdout.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, of in pairs if of == parent]
    return found[1:]


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.parent.name != "files":
            yield str(path), path.read_bytes().decode("utf-8", "replace")


@each_stop
def test_a_killed_run_leaves_what_the_next_one_knows(
    ran: dict[str, Any], case: Case, end: str
) -> None:
    organization: Organization = ran["organizations"][case.host]
    found = {key["id"]: key for key in ran["at_kill"][case.host]}
    old = found.pop(organization.key_id(OLD), None)
    is_revoked = case.name in {"when the old key is revoked", "when it has its name"}
    assert (old is None) is is_revoked
    assert old is None or essence(old) == essence(organization.expected())
    (successor,) = found.values()
    assert successor["description"].endswith(end)
    assert ("(successor of" in successor["description"]) is bool(end)


@each_stop
def test_the_next_run_finishes(ran: dict[str, Any], case: Case, end: str) -> None:
    run: Finished = ran["run"]
    told = run.result(f"{RUN} run ended", case.host).values["msg"]
    assert told["state"] == ("rotated" if end else "absent"), told
    (key,) = ran["keys"][case.host]
    assert essence(key) == essence(ran["organizations"][case.host].expected())
    stored = json.loads((ran["files"] / f"{case.host}.json").read_text("utf-8"))
    assert (stored["api_user_id"], stored["private_key"]) == (key["id"], key["private_key"])


def test_what_was_proved_is_kept(ran: dict[str, Any]) -> None:
    """And what was not is another key now."""
    for case, end in STOPS:
        (key,) = ran["keys"][case.host]
        is_kept = key["id"] in {found["id"] for found in ran["at_kill"][case.host]}
        assert is_kept is (end in {"Z)", ""}), case


def test_no_private_key_is_left_on_the_machine(ran: dict[str, Any]) -> None:
    """Not even by a process that could not clean up after itself."""
    places = ran["left"]
    secrets = {name: text for name, text in ran["secrets"].items() if "private key" in name}
    assert any(name.endswith("/output") for name in places)
    assert not search(places, secrets)
