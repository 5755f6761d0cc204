# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: org_api_key against ansible.builtin.uri, with ansible.builtin.ping as the floor.

Each way is one task that loops over the keys, in an ansible-playbook process of its own, against
an emulator in another process. The ways take turns, and the table shows medians.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import COLLECTIONS
from tests.support import PRIVATE_KEYS, ROOT, key_id, org_id, public_key, seed
from tests.tools.demo import stop

FIRST = 100  # the number of the first extra key of a seed
FIRST_KEYS = range(1, 8)  # the keys that every seed has


@dataclass(frozen=True)
class Way:
    name: str
    tag: str
    expect_change: bool
    exists: bool


@dataclass
class Figures:
    seconds: list[float] = field(default_factory=list)
    requests: float = 0
    connections: float = 0


WAYS = (
    Way("org_api_key, key exists", "org_api_key", expect_change=True, exists=True),
    Way("uri, key exists", "uri", expect_change=True, exists=True),
    Way("org_api_key, key is missing", "org_api_key", expect_change=False, exists=False),
    Way("uri, key is missing", "uri", expect_change=False, exists=False),
    Way("ping (the floor of any task)", "ping", expect_change=False, exists=True),
)
RIVALS = {0: 1, 1: 1, 2: 3, 3: 3}


@contextmanager
def emulator(latency: float) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.emulator", "--port", "0", "--latency", str(latency)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


def control(url: str, name: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/_emulator/{name}", data=data)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def measure(way: Way, url: str, count: int, folder: Path) -> tuple[float, dict[str, int]]:
    """Return the seconds of the task and what the emulator counted."""
    control(url, "reset", seed(extra_keys=count if way.exists else 0))
    variables = {
        "url": url,
        "org_id": org_id("atlas"),
        "public_key": public_key("atlas", 1),
        "private_key": PRIVATE_KEYS["atlas"],
        "key_ids": [key_id("atlas", FIRST + number) for number in range(count)],
        "expect_change": way.expect_change,
    }
    durations = folder / "durations.json"
    environ = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "tests" / "tools" / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "durations",
        "BENCHMARK_DURATIONS": str(durations),
        "no_proxy": "127.0.0.1",
    }
    # As on a user's machine: Python keeps its bytecode.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    playbook = ["playbook", str(Path(__file__).with_name("playbook.yml"))]
    run = subprocess.run(
        [sys.executable, "-m", "ansible", *playbook, "-t", way.tag, "-e", json.dumps(variables)],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        sys.exit(f"{way.name} failed:\n{run.stdout[-3000:]}{run.stderr[-1000:]}")
    (seconds,) = json.loads(durations.read_text()).values()
    return seconds, control(url, "stats")


def table(latency: float, count: int, runs: int) -> list[str]:
    figures = [Figures() for _way in WAYS]
    with emulator(latency) as url, tempfile.TemporaryDirectory() as folder:
        for _run in range(runs):
            for way, row in zip(WAYS, figures, strict=True):
                seconds, stats = measure(way, url, count, Path(folder))
                row.seconds.append(seconds / count)
                row.requests = stats["requests"] / count
                row.connections = stats["connections"] / count
    lines = [
        "",
        f"{latency * 1000:.0f} ms a round trip, {count} keys a loop, median of {runs} runs",
        "",
        "| way | s a task | times uri | requests a task | connections a task |",
        "|---|---:|---:|---:|---:|",
    ]
    medians = [statistics.median(row.seconds) for row in figures]
    for index, (way, row) in enumerate(zip(WAYS, figures, strict=True)):
        rival = RIVALS.get(index)
        ratio = "" if rival is None else f"{medians[index] / medians[rival]:.2f}"
        counts = f"{row.requests:.1f} | {row.connections:.1f}"
        lines.append(f"| {way.name} | {medians[index]:.3f} | {ratio} | {counts} |")
    return lines


def listing_table(counts: tuple[int, ...]) -> list[str]:
    """Show what it costs to list an organization of so many keys, without Ansible around it."""
    lines = ["", "org_api_key_info listing one organization, in one process", ""]
    lines += ["| keys | s | ms a key | peak MB | requests |", "|---:|---:|---:|---:|---:|"]
    with emulator(0.03) as url:
        for count in counts:
            control(url, "reset", seed(extra_keys=count - len(FIRST_KEYS)))
            command = [sys.executable, "-m", "tests.benchmark.list_keys", url, str(count)]
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            seconds, megabytes = map(float, run.stdout.split())
            requests = control(url, "stats")["requests"]
            each = seconds / count * 1000
            lines.append(f"| {count} | {seconds:.2f} | {each:.2f} | {megabytes:.0f} | {requests} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--keys", type=int, default=20, help="keys a loop (default: 20)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each way (default: 5)")
    parser.add_argument(
        "--latency",
        type=float,
        nargs="+",
        default=[0.03, 0.1],
        help="seconds of one round trip, one table each (default: 0.03 0.1)",
    )
    options = parser.parse_args()
    # So that the emulator is stopped too.
    signal.signal(signal.SIGTERM, stop)
    for latency in options.latency:
        print("\n".join(table(latency, options.keys, options.runs)), flush=True)
    print("\n".join(listing_table((500, 1000, 2500, 5000))), flush=True)


if __name__ == "__main__":
    main()
