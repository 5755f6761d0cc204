# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debug settings that an administrator may use, for every Python process with this on PYTHONPATH.

This includes modules, whose code is not changed. All logging goes to stderr. Ansible discards the
stderr of successful modules, so it also goes to the directory $SPY_FOLDER, with everything sent to
syslog, or to the journal if $SPY_JOURNAL is set.

`http.client.HTTPConnection.debuglevel` stays off: its purpose is to print the head of requests,
including Authorization, to stdout, and no module can prevent that.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import sys
import syslog
import types
from pathlib import Path
from typing import Any

import archives
import compiled

# The Digest of a public key with this prefix fails unexpectedly.
BROKEN = "brok"
# Writing a file with this in its name fails as if the disk were full.
FULL = "full-disk"


def _note(kind: str, text: str) -> None:
    with Path(os.environ["SPY_FOLDER"], f"{kind}.{os.getpid()}").open(
        "a", encoding="utf-8"
    ) as file:
        file.write(text)


def _tee_stderr() -> None:
    write = sys.stderr.write

    def tee(text: str) -> int:
        _note("stderr", text)
        return write(text)

    sys.stderr.write = tee  # type: ignore[method-assign]


def _listen_to_syslog() -> None:
    send = syslog.syslog

    def listening(*arguments: Any) -> None:
        _note("syslog", f"{arguments}\n")
        send(*arguments)

    syslog.syslog = listening  # type: ignore[assignment]


def _be_a_journal() -> None:
    """Imitate python-systemd on a machine with systemd."""
    package: Any = types.ModuleType("systemd")
    package.journal, package.daemon = types.SimpleNamespace(), types.SimpleNamespace()
    package.journal.send = lambda **fields: _note("journal", f"{fields}\n")
    package.journal.sendv = package.journal.send
    package.daemon.booted = lambda: True
    sys.modules["systemd"] = package


def _break() -> None:
    """Fail like a library with a bug whose errors contain everything it knows."""
    md5 = hashlib.md5

    def breaking(data: bytes = b"", **options: Any) -> Any:
        if BROKEN.encode() in data:
            raise LookupError(f"no digest of {data!r} with {dict(os.environ)}")
        return md5(data, **options)

    fsync = os.fsync

    def on_a_full_disk(descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if FULL in path:
            content = Path(path).read_text("utf-8")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), content)
        fsync(descriptor)

    hashlib.md5 = breaking  # type: ignore[assignment]
    os.fsync = on_a_full_disk  # type: ignore[assignment]


archives.begin()
compiled.begin()
if os.environ.get("SPY_FOLDER"):
    _tee_stderr()
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    if os.environ.get("SPY_JOURNAL"):
        _be_a_journal()
    _listen_to_syslog()
    _break()
