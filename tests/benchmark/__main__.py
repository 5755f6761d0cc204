# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: compare ways to revoke many keys, against an emulator in another process.

The ways alternate, and the tables show medians; a loop that takes minutes runs once. Ansible is
measured as the time of the task with its loop, the floor script after its imports, and curl as its
shell loop.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import COLLECTIONS
from tests.support import PRIVATE_KEYS, ROOT, key_id, org_id, public_key, seed
from tests.tools.demo import stop

HERE = Path(__file__).parent
FIRST = 100  # the number of the first extra key of a seed
FIRST_KEYS = range(1, 8)  # the keys that every seed has
THREADS = 8  # the default of org_api_keys
QUICK_RUNS = 9
QUICK_KEYS = 100
LONG = 50  # a loop over more keys takes minutes, and runs once


@dataclass(frozen=True)
class Way:
    """A way to revoke keys. ``tag`` is that of a task in playbook.yml, or the name of a script."""

    name: str
    tag: str
    exists: bool = True

    @property
    def is_task(self) -> bool:
        return self.tag not in {"curl", "floor"}


MANY = Way("org_api_keys, one task", "org_api_keys")
ONE = Way("org_api_key in a loop", "org_api_key")
URI = Way("ansible.builtin.uri in a loop", "uri")
CURL = Way("curl --digest in a shell loop", "curl")
FLOOR = Way(f"requests on {THREADS} threads (the floor)", "floor")
PING = Way("ping (the floor of any task)", "ping")
WAYS = (MANY, ONE, URI, CURL, FLOOR)
ONE_TASK = (
    Way("ansible.builtin.ping", "one_ping", exists=False),
    Way("ansible.builtin.uri", "one_uri", exists=False),
    Way("org_api_key", "one_org_api_key", exists=False),
)
NO_OP = tuple(Way(way.name, way.tag, exists=False) for way in (MANY, ONE, URI))


@dataclass
class Figures:
    """The measurements of one way with one number of keys."""

    seconds: list[float] = field(default_factory=list)
    requests: int = 0
    connections: int = 0
    peak: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


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
    with urllib.request.urlopen(request) as response:
        text = response.read()
    return json.loads(text) if text else None


def call_for(url: str, count: int) -> dict[str, Any]:
    """Return the variables of a task or script that revokes this number of keys."""
    return {
        "url": url,
        "org_id": org_id("atlas"),
        "public_key": public_key("atlas", 1),
        "private_key": PRIVATE_KEYS["atlas"],
        "key_ids": [key_id("atlas", FIRST + number) for number in range(count)],
        "threads": THREADS,
    }


def measure(way: Way, url: str, count: int, folder: Path, row: Figures) -> None:
    """Run a way once, and add the measurements."""
    control(url, "reset", seed(extra_keys=count if way.exists else 0))
    call = call_for(url, count)
    row.seconds.append(run_task(way, call, folder) if way.is_task else run_script(way, call))
    stats = control(url, "stats")
    row.requests, row.connections = stats["requests"], stats["connections"]
    if way.exists and stats["writes"] != count:
        sys.exit(f"{way.name} revoked {stats['writes']} of {count} keys")


def run_task(
    way: Way, call: dict[str, Any], folder: Path, environ: dict[str, str] | None = None
) -> float:
    """Return the seconds of one task in its own ansible-playbook process."""
    command, everything = task_command(way, call, folder, environ)
    run(command, everything, way)
    (seconds,) = json.loads((folder / "durations.json").read_text()).values()
    return float(seconds)


def task_command(
    way: Way, call: dict[str, Any], folder: Path, environ: dict[str, str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """Return the command and environment of an ansible-playbook process with one task."""
    everything = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "tests" / "tools" / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "durations",
        "BENCHMARK_DURATIONS": str(folder / "durations.json"),
        "no_proxy": "127.0.0.1",
        **(environ or {}),
    }
    # As on users' machines, Python caches bytecode.
    everything.pop("PYTHONDONTWRITEBYTECODE", None)
    variables = {**call, "expect_change": way.exists}
    command = [sys.executable, "-m", "ansible", "playbook", str(HERE / "playbook.yml")]
    if environ:
        variables["ansible_python_interpreter"] = str(HERE / "peak.sh")
    return [*command, "-t", way.tag, "-e", json.dumps(variables)], everything


def cpu_of(way: Way, call: dict[str, Any], folder: Path) -> float:
    """Return the CPU seconds of ansible-playbook and all its processes, for one task."""
    command, environ = task_command(way, call, folder)
    before = os.times()
    run(command, environ, way)
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def run_script(way: Way, call: dict[str, Any]) -> float:
    """Return the seconds of a script without Ansible."""
    environ = {**os.environ, "no_proxy": "127.0.0.1"}
    if way is FLOOR:
        script = [sys.executable, str(HERE / "floor.py"), json.dumps(call)]
        return float(run(script, environ, way))
    keys = f"{call['url']}/api/atlas/v2/orgs/{call['org_id']}/apiKeys"
    pair = f"{call['public_key']}:{call['private_key']}"
    started = time.monotonic()
    run([str(HERE / "curl.sh"), keys, pair, *call["key_ids"]], environ, way)
    return time.monotonic() - started


def run(command: Sequence[str], environ: dict[str, str], way: Way) -> str:
    done = subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{way.name} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return done.stdout


def peak_of(way: Way, url: str, count: int, folder: Path) -> float:
    """Return the peak memory in MB of a task's module or a script, measured in a separate run."""
    control(url, "reset", seed(extra_keys=count if way.exists else 0))
    peaks = folder / "peaks"
    peaks.unlink(missing_ok=True)
    environ = {"BENCHMARK_PYTHON": sys.executable, "BENCHMARK_PEAKS": str(peaks)}
    call = call_for(url, count)
    if way.is_task:
        run_task(way, call, folder, environ)
    else:
        command = [str(HERE / "peak.sh"), str(HERE / "floor.py"), json.dumps(call)]
        run(command, {**os.environ, **environ}, way)
    return max(map(float, peaks.read_text().split()))


def import_seconds(runs: int) -> float:
    """Return the seconds of `import requests` after Ansible's own imports."""
    text = (
        "import time, ansible.module_utils.basic\n"
        "started = time.monotonic()\n"
        "import requests\n"
        "print(time.monotonic() - started)"
    )
    command = [sys.executable, "-c", text]
    return statistics.median(float(run(command, dict(os.environ), PING)) for _run in range(runs))


Measured = dict[tuple[str, int], Figures]


def compare(latency: float, counts: Sequence[int], runs: int, folder: Path) -> Measured:
    """Measure every way with every number of keys, in turns."""
    figures: Measured = {(way.tag, count): Figures() for way in WAYS for count in counts}
    figures[PING.tag, 1] = Figures()
    with emulator(latency) as url:
        for number in range(runs):
            for count in counts:
                for way in WAYS:
                    if number == 0 or count <= LONG or way in {MANY, FLOOR}:
                        measure(way, url, count, folder, figures[way.tag, count])
            ping = run_task(PING, {"url": url, "key_ids": ["x"]}, folder)
            figures[PING.tag, 1].seconds.append(ping)
        # A loop runs one process at a time, so one key shows the peak.
        for way in (MANY, FLOOR):
            for count in counts:
                figures[way.tag, count].peak = peak_of(way, url, count, folder)
        for way in (ONE, URI):
            peak = peak_of(way, url, 1, folder)
            for count in counts:
                figures[way.tag, count].peak = peak
        figures[PING.tag, 1].peak = peak_of(PING, url, 1, folder)
    return figures


def table(figures: Measured, counts: Sequence[int]) -> list[str]:
    lines = [
        "| keys | way | runs | s | times faster than uri | requests per key | connections per key "
        "| peak MB |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for count in counts:
        for way in WAYS:
            row = figures[way.tag, count]
            faster = figures[URI.tag, count].median / row.median
            peak = f"{row.peak:.0f}" if row.peak else ""
            each = f"{row.requests / count:.2f} | {row.connections / count:.2f}"
            lines.append(
                f"| {count} | {way.name} | {len(row.seconds)} | {row.median:.3f} | {faster:.1f} "
                f"| {each} | {peak} |"
            )
    ping = figures[PING.tag, 1]
    seconds = f"{len(ping.seconds)} | {ping.median:.3f}"
    lines.append(f"| | {PING.name} | {seconds} | | | | {ping.peak:.0f} |")
    return lines


def goals(figures: Measured, counts: Sequence[int], import_cost: float) -> list[str]:
    """Show the time of org_api_keys beyond that of any task, relative to the floor and per key."""
    ping = figures[PING.tag, 1].median
    lines = [
        f"Beyond a ping ({ping:.3f} s) and `import requests` ({import_cost:.3f} s), which every "
        "such task pays:",
        "",
        "| keys | org_api_keys, s | floor, s | times the floor | ms per key |",
        "|---:|---:|---:|---:|---:|",
    ]
    for count in counts:
        own = figures[MANY.tag, count].median - ping - import_cost
        floor = figures[FLOOR.tag, count].median
        lines.append(
            f"| {count} | {own:.3f} | {floor:.3f} | {own / floor:.2f} | {own / count * 1000:.1f} |"
        )
    return lines


def no_op_table(latency: float, count: int, runs: int, folder: Path) -> list[str]:
    """Show the time of tasks that change nothing."""
    figures = [Figures() for _way in NO_OP]
    with emulator(latency) as url:
        for _run in range(runs):
            for way, row in zip(NO_OP, figures, strict=True):
                measure(way, url, count, folder, row)
    lines = ["| way | s per key | requests per key | connections per key |", "|---|---:|---:|---:|"]
    for way, row in zip(NO_OP, figures, strict=True):
        each = f"{row.requests / count:.2f} | {row.connections / count:.2f}"
        lines.append(f"| {way.name} | {row.median / count:.3f} | {each} |")
    return lines


def one_task_table(latency: float, runs: int, folder: Path) -> list[str]:
    """Show CPU time, requests and memory of one task that finds a key missing."""
    spent: dict[str, list[float]] = {way.tag: [] for way in ONE_TASK}
    requests, peaks = {}, {}
    with emulator(latency) as url:
        call = call_for(url, 1)
        for number in range(runs + 1):
            for way in ONE_TASK:
                control(url, "reset", seed())
                seconds = cpu_of(way, call, folder)
                # The first run only fills caches.
                if number:
                    spent[way.tag].append(seconds)
                requests[way.tag] = control(url, "stats")["requests"]
        for way in ONE_TASK:
            peaks[way.tag] = peak_of(way, url, 1, folder)
    ping, uri, _own = (spent[way.tag] for way in ONE_TASK)
    lines = [
        "| task | runs | CPU s | above ping, s | times uri | requests | peak MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for way in ONE_TASK:
        own = spent[way.tag]
        # Compare pairs, because the speed of the machine varies.
        above = statistics.median(one - other for one, other in zip(own, ping, strict=True))
        times = statistics.median(one / other for one, other in zip(own, uri, strict=True))
        lines.append(
            f"| {way.name} | {runs} | {statistics.median(own):.3f} | {above:.3f} | {times:.2f} "
            f"| {requests[way.tag]} | {peaks[way.tag]:.0f} |"
        )
    return lines


def bulk_table(latency: float, count: int, runs: int, folder: Path) -> list[str]:
    """Show the time of org_api_keys with this number of keys, relative to the floor."""
    figures = {way.tag: Figures() for way in (MANY, FLOOR, PING)}
    with emulator(latency) as url:
        for _run in range(runs):
            for way in (MANY, FLOOR):
                measure(way, url, count, folder, figures[way.tag])
            ping = run_task(PING, {"url": url, "key_ids": ["x"]}, folder)
            figures[PING.tag].seconds.append(ping)
        for way in (MANY, FLOOR):
            figures[way.tag].peak = peak_of(way, url, count, folder)
    imports = import_seconds(runs)
    many, floor = figures[MANY.tag], figures[FLOOR.tag]
    pairs = zip(many.seconds, figures[PING.tag].seconds, floor.seconds, strict=True)
    times = statistics.median((own - ping - imports) / least for own, ping, least in pairs)
    lines = [
        "| way | runs | s | times the floor | requests | connections | peak MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for way, text in ((MANY, f"{times:.2f}"), (FLOOR, "1.00")):
        row = figures[way.tag]
        lines.append(
            f"| {way.name} | {runs} | {row.median:.3f} | {text} | {row.requests} "
            f"| {row.connections} | {row.peak:.0f} |"
        )
    lines += ["", f"Less ping, {figures[PING.tag].median:.3f} s, and requests, {imports:.3f} s."]
    return lines


def listing_table(counts: Sequence[int]) -> list[str]:
    """Show time and memory of listing an organization of this size, without Ansible."""
    lines = ["| keys | s | ms per key | peak MB | requests |", "|---:|---:|---:|---:|---:|"]
    with emulator(0.03) as url:
        for count in counts:
            control(url, "reset", seed(extra_keys=count - len(FIRST_KEYS)))
            command = [sys.executable, "-m", "tests.benchmark.list_keys", url, str(count)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            seconds, megabytes = map(float, done.stdout.split())
            requests = control(url, "stats")["requests"]
            each = seconds / count * 1000
            lines.append(f"| {count} | {seconds:.2f} | {each:.2f} | {megabytes:.0f} | {requests} |")
    return lines


def machine() -> str:
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{platform.system()}, {time.strftime('%Y-%m-%d')}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    counts = [1, 10, 100, 400]
    parser.add_argument("--keys", type=int, nargs="+", default=counts, help="default: 1 10 100 400")
    parser.add_argument("--runs", type=int, default=3, help="runs of each way (default: 3)")
    parser.add_argument(
        "--latency",
        type=float,
        nargs="+",
        default=[0.03, 0.0],
        help="seconds of one round trip, one table each (default: 0.03 0)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / ".cache" / "bench",
        help="directory for speed-figures.md and speed.svg (default: .cache/bench)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="less than three minutes: the CPU of one task, and 100 keys against the floor",
    )
    options = parser.parse_args()
    # This also stops the emulator.
    signal.signal(signal.SIGTERM, stop)
    lines = ["# Speed: the figures", "", f"Generated by `make bench`: {machine()}. Medians.", ""]

    def show(title: str, section: list[str]) -> None:
        print("\n".join(["", title, "", *section]), flush=True)
        lines.extend([f"## {title}", "", *section, ""])

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        latency = options.latency[0]
        title = f"One task: a key that is missing, {latency * 1000:.0f} ms"
        show(title, one_task_table(latency, QUICK_RUNS, folder))
        if options.quick:
            title = f"Revoking {QUICK_KEYS} keys, {latency * 1000:.0f} ms"
            show(title, bulk_table(latency, QUICK_KEYS, QUICK_RUNS, folder))
            return
        import_cost = import_seconds(max(options.runs, 5))
        drawn: list[tuple[float, dict[str, list[float]]]] = []
        for latency in options.latency:
            figures = compare(latency, options.keys, options.runs, folder)
            title = f"{latency * 1000:.0f} ms per round trip"
            show(f"Revoking keys, {title}", table(figures, options.keys))
            show(f"Against the floor, {title}", goals(figures, options.keys, import_cost))
            curves = {w.name: [figures[w.tag, n].median for n in options.keys] for w in WAYS}
            drawn.append((latency, curves))
        few = min(10, options.keys[-1])
        title = f"Nothing to do: {few} keys that are missing, {options.latency[0] * 1000:.0f} ms"
        show(title, no_op_table(options.latency[0], few, options.runs, folder))
    sizes = (500, 1000, 2500, 5000) if options.keys[-1] >= few > 2 else (10,)
    show("Listing an organization with org_api_key_info, in one process", listing_table(sizes))
    # Imported here, because only this needs matplotlib.
    from tests.benchmark.plot import plot

    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "speed-figures.md").write_text("\n".join(lines), "utf-8")
    plot(options.keys, drawn, options.out / "speed.svg")
    print(f"\n{options.out / 'speed-figures.md'}\n{options.out / 'speed.svg'}")


if __name__ == "__main__":
    main()
