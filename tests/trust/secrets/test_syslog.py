# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syslog socket itself, where this machine has none: canary secrets do not come out of it.

The other tests listen to Python's `syslog.syslog`, which works everywhere. The C library always
sends to /dev/log, so this one has to be that socket for a while.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.playbook import AnsibleSandbox
from tests.integration.secret_search import search
from tests.support import public_key
from tests.trust.figures import count
from tests.trust.secrets.cases import revocations
from tests.trust.secrets.matrix import HOMES, SPECIAL_HOMES, TASKS, matrix
from tests.trust.secrets.runs import act, plays, prepare, secret_variables
from tests.trust.secrets.world import ATLAS, canaries, open_world

DEV_LOG = Path("/dev/log")
OTHERS = "role-too-low password-in-base-url secret-of-the-environment-in-a-name".split()


def test_nothing_secret_comes_out_of_the_syslog_socket(tmp_path: Path, collections: Path) -> None:
    workshop = AnsibleSandbox(tmp_path / "run", collections)
    with _socket() as said, open_world(tmp_path / "files", [*HOMES, *SPECIAL_HOMES]) as world:
        every = {**revocations(world), **matrix(world)}
        names = [
            f"{task}-meets-{trouble}" for task in TASKS for trouble in ("nothing", "misplaced")
        ]
        cases = {name: every[name] for name in [*OTHERS, *names]}
        playbook, inventory = workshop.write(plays(cases), prepare(world, cases))
        arguments = ["-m", "ansible", "playbook", "-i", str(inventory), str(playbook)]
        run = workshop.python(*arguments, environ=secret_variables(world))
        secrets = canaries(world)
    assert run.code == 0, run.output
    for name, case in cases.items():
        assert act(run, name).failed is bool(case.words), run.output
    text = "\n".join(said)
    # Others may log at the same time, tests next to this one.
    assert text.count("Invoked with ") >= len(cases)
    for module in {case.module for case in cases.values()}:
        assert f"ansible-{module}: Invoked with " in text
    assert f"api_public_key={public_key(ATLAS, 6)}" in text
    hits = search({"syslog": text}, secrets)
    assert not hits, "\n".join(hits)
    count("secrets", "tasks whose words to the syslog socket were read", len(cases))


@contextlib.contextmanager
def _socket() -> Iterator[list[str]]:
    """Be /dev/log, and give back what is sent to it."""
    # No failure anywhere: a machine's own logger is left in peace, and the other tests have a
    # stand-in that hears the same words.
    if DEV_LOG.exists() and not _is_left_over():
        pytest.skip("somebody else listens at /dev/log")
    if not os.access(DEV_LOG.parent, os.W_OK):
        pytest.skip("only root can make /dev/log")
    said: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        DEV_LOG.unlink(missing_ok=True)
        server.bind(str(DEV_LOG))

        def listen() -> None:
            while data := server.recv(65536):
                said.append(data.decode("utf-8", "replace"))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield said
        finally:
            DEV_LOG.unlink()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _is_left_over() -> bool:
    """Whether its owner was killed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        try:
            client.connect(str(DEV_LOG))
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
    return False
