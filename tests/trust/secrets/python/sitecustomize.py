# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a curious administrator switches on, for every Python process that has this on PYTHONPATH.

Modules run by Ansible are such processes, and nothing of theirs is touched. All logging goes to
stderr, and stderr, which Ansible throws away where a module succeeds, to the folder $SPY_FOLDER.
So does what goes to syslog, or to the journal where $SPY_JOURNAL is set.

The one thing left off is `http.client.HTTPConnection.debuglevel`: it prints the head of a request
as it is sent, Authorization and all, to stdout. That is what it is for, and no module can help it.
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

import compiled

# A request signed by a public key that begins so meets a mistake that nobody has foreseen.
BROKEN = "brok"
# A file whose name has this meets a full disk.
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
    """Stand in for the python-systemd of a machine that systemd has booted."""
    package: Any = types.ModuleType("systemd")
    package.journal, package.daemon = types.SimpleNamespace(), types.SimpleNamespace()
    package.journal.send = lambda **fields: _note("journal", f"{fields}\n")
    package.journal.sendv = package.journal.send
    package.daemon.booted = lambda: True
    sys.modules["systemd"] = package


def _break() -> None:
    """Fail like a library with a mistake in it, which tells all it knows when it fails."""
    md5 = hashlib.md5

    def breaking(data: bytes = b"", **options: Any) -> Any:
        if BROKEN.encode() in data:
            raise LookupError(f"no digest of {data!r} with {dict(os.environ)}")
        return md5(data, **options)

    def on_a_full_disk(act: Any) -> Any:
        def full(source: Any, target: Any, **options: Any) -> None:
            if FULL in str(target):
                content = Path(source).read_text("utf-8")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), content)
            act(source, target, **options)

        return full

    hashlib.md5 = breaking  # type: ignore[assignment]
    os.link, os.replace = on_a_full_disk(os.link), on_a_full_disk(os.replace)


compiled.begin()
if os.environ.get("SPY_FOLDER"):
    _tee_stderr()
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    if os.environ.get("SPY_JOURNAL"):
        _be_a_journal()
    _listen_to_syslog()
    _break()
