# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and stop third-party servers as foreground processes."""

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

# The deadline for starting on a busy machine.
TIMEOUT = 60


def free_port() -> int:
    """Return a free port.

    It is below the ephemeral ports of the system, so that no connection or other server takes
    it in the meantime.
    """
    while True:
        port = random.randint(20000, 29999)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            return port


@contextmanager
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """Create a directory for the files of a server.

    A server that root starts changes to another user, who cannot enter pytest's directories.
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
        # pytest removes its own directories.
        if folder.parent != tmp_path:
            shutil.rmtree(folder)


@contextmanager
def serving(
    command: Sequence[str | Path], ports: Sequence[int], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in the foreground, and wait until it listens on each of its ports.

    Its output goes to the file ``output`` in its directory.
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
            # It stays in the process group of the tests, so that a signal to the group ends it too.
        )
    try:
        for port in ports:
            _await(process, port, folder)
        yield process
    finally:
        _end(process)


def _await(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    ends = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < ends:
        with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=5):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not listen on port {port}:\n{logs(folder)}")


def logs(folder: Path) -> str:
    """Return the output and logs of a server, for the message of a failed test."""
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
