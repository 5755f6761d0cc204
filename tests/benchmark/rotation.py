# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotation of one key, store task and all, against that of the role of version 1.2.2.

What is measured is ansible-playbook from its start to its end. The key has two projects, and an
access list of three entries.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import COLLECTIONS
from tests.support import PRIVATE_KEYS, ROOT, key_id, org_id, project_id, public_key, seed

PLATFORM = "atlas"
KEY_NUMBER = 2
OLD_VERSION = "1.2.2"
HERE = Path(__file__).parent
Control = Callable[..., Any]


@dataclass
class Rotation:
    """A way to rotate a key: its playbook, and the collections that this uses."""

    name: str
    playbook: str
    collections: Path
    seconds: list[float] = field(default_factory=list)
    requests: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def table(url: str, control: Control, runs: int) -> list[str]:
    """Measure all ways in turns. ``control``: as that of the benchmark."""
    ways = [
        Rotation("role rotate_org_api_key", "rotate_with_role.yml", COLLECTIONS),
        Rotation("org_api_key_rotation twice, and copy", "rotate_with_module.yml", COLLECTIONS),
    ]
    before = old_collections()
    if before:
        name = f"role rotate_org_api_key of {OLD_VERSION}"
        ways.append(Rotation(name, "rotate_with_role.yml", before))
    for _run in range(runs):
        for way in ways:
            rotate(way, url, control)
    lines = ["| way | runs | s | requests | part of the time |", "|---|---:|---:|---:|---:|"]
    for way in ways:
        part = f"{way.median / ways[-1].median:.2f}" if before else ""
        shown = f"{len(way.seconds)} | {way.median:.2f} | {way.requests} | {part}"
        lines.append(f"| {way.name} | {shown} |")
    if not before:
        lines += ["", f"Version {OLD_VERSION} is not in the history of this checkout."]
    return lines


def organization() -> dict[str, Any]:
    """Return the usual organizations, in which the key to be rotated has all that a key can."""
    state = seed()
    (ours,) = (part for part in state["organizations"] if part["product"] == PLATFORM)
    second = project_id(PLATFORM)[:-2] + "bb"
    ours["projects"].append({"id": second, "name": "second"})
    (key,) = (key for key in ours["api_keys"] if key["id"] == key_id(PLATFORM, KEY_NUMBER))
    key["projects"].append({"project_id": second, "roles": ["GROUP_READ_ONLY"]})
    key["access_list"] = ["127.0.0.0/8", "192.0.2.7", "198.51.100.0/24"]
    return state


def rotate(way: Rotation, url: str, control: Control) -> None:
    """Rotate the key once, and add what it took."""
    control(url, "reset", organization())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.json"
        variables = {
            "url": url,
            "org_id": org_id(PLATFORM),
            "public_key": public_key(PLATFORM, 1),
            "private_key": PRIVATE_KEYS[PLATFORM],
            "api_user_id": key_id(PLATFORM, KEY_NUMBER),
            "file": str(file),
        }
        environ = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "tests" / "tools" / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(way.collections),
            "no_proxy": "127.0.0.1",
        }
        # As on a user's machine: Python keeps its bytecode.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "ansible", "playbook", str(HERE / way.playbook)]
        started = time.monotonic()
        done = subprocess.run(
            [*command, "-e", json.dumps(variables)],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        way.seconds.append(time.monotonic() - started)
        if done.returncode or not file.exists():
            sys.exit(f"{way.name} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        pair = json.loads(file.read_text("utf-8"))
    way.requests = control(url, "stats")["requests"]
    check(way, control(url, "state"), pair)


def check(way: Rotation, state: dict[str, Any], pair: dict[str, str]) -> None:
    """Hold the rotation to its end: what ends early or does nothing is fast too."""
    (ours,) = (part for part in state["organizations"] if part["id"] == org_id(PLATFORM))
    keys = {key["id"]: key for key in ours["api_keys"]}
    new = keys.get(pair["api_user_id"], {})
    is_rotated = (
        key_id(PLATFORM, KEY_NUMBER) not in keys
        and (new.get("description"), new.get("private_key")) == ("victim", pair["private_key"])
        and len(new["projects"]) == 2
        and len(new["access_list"]) == 3
    )
    if not is_rotated:
        sys.exit(f"{way.name} did not rotate the key: {json.dumps(new)}")


def old_collections() -> Path | None:
    """Return a folder with the collection as it was released, None without the history for that."""
    folder = ROOT / ".cache" / "bench" / OLD_VERSION
    place = folder / "ansible_collections" / "keysmith" / "mongodb"
    if (place / "galaxy.yml").exists():
        return folder
    commit = _git("log", "-1", "--format=%H", "--grep", f"^Record {OLD_VERSION}$").decode().strip()
    archive = _git("archive", "--format=tar", commit) if commit else b""
    if not archive:
        return None
    shutil.rmtree(folder, ignore_errors=True)
    # Whole or not there, so that a run that is interrupted leaves nothing to be taken for it.
    part = place.with_name("mongodb.part")
    part.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(part)], input=archive, check=True)
    part.rename(place)
    return folder


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        return b""
    return b"" if done.returncode else done.stdout
