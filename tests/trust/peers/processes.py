# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers of others as processes in the foreground: started, awaited, and ended with all theirs."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.integration.peers import LOOPBACK

# A machine that is busy with other tests takes its time.
PATIENCE = 60


def free_port() -> int:
    """Return a port that nobody listens on.

    It is below those that the system gives to connections and to servers that take any port, so
    that none of them can come between.
    """
    while True:
        port = random.randint(20000, 29999)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            return port


@contextmanager
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for the files of a server.

    A server that root starts goes on as another user, who cannot go into pytest's own folders.
    """
    if os.geteuid():
        folder = tmp_path / f"server-{random.getrandbits(32):08x}"
        folder.mkdir()
    else:
        folder = Path(tempfile.mkdtemp(prefix="keysmith-peer-"))
        folder.chmod(0o777)
    try:
        yield folder
    finally:
        # Its own folders pytest clears itself.
        if folder.parent != tmp_path:
            shutil.rmtree(folder)


@contextmanager
def serving(
    command: Sequence[str | Path], ports: Sequence[int], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in the foreground; it is ready once it listens on each of its ports.

    What it prints goes to ``output`` in its folder.
    """
    output = folder / "output"
    with output.open("ab") as stream:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env={"PATH": os.defpath, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            # Not in a group of its own: what ends all of the tests at once ends it too.
        )
    try:
        for port in ports:
            _await(process, port, folder)
        yield process
    finally:
        _end(process)


def _await(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < ends:
        with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=5):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not listen on port {port}:\n{logs(folder)}")


def logs(folder: Path) -> str:
    """Return what a server has printed and logged, for the message of a test that fails."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix == ".log"]
    texts = [
        f"-- {path.name}\n{path.read_text('utf-8', 'replace')}"
        for path in [folder / "output", *paths]
    ]
    return "\n".join(texts)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
