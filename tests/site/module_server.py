# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Ansible modules in forks of a process that has already imported what they import.

module_server.py SOCKET COLLECTIONS: a module spends most of its time on importing the standard
library, requests and ansible.module_utils. Here, this happens once for many modules. The code of
the collection still comes from Ansible's archive, each time. module_client.py is the program that
Ansible starts as the interpreter.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import marshal
import os
import pkgutil
import signal
import socket
import sys
import types
from contextlib import suppress

COLLECTION = "ansible_collections.keysmith.mongodb"
# The prefixes of variables that Python, or the sitecustomize.py of the tests, reads at start.
AT_START = ("PYTHON", "LC_", "LANG", "COMPILED_FOLDER")


def preload(collections: str) -> None:
    """Import what modules import, but nothing of the collection itself."""
    sys.path.insert(0, collections)
    modules = importlib.import_module(f"{COLLECTION}.plugins.modules")
    for found in pkgutil.iter_modules(modules.__path__):
        importlib.import_module(f"{modules.__name__}.{found.name}")
    for name in [name for name in sys.modules if name.startswith("ansible_collections")]:
        del sys.modules[name]
    sys.path.remove(collections)


def end_with(descriptor: int) -> None:
    """Let the system end this process when the other end of a pipe or socket is closed."""
    # This sends SIGIO, whose default action is to end the process.
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)


def choose(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(AT_START)}


class Server:
    """Accepts modules, and reports how they ended to their clients."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(128)
        self._clients: dict[int, socket.socket] = {}
        signal.signal(signal.SIGCHLD, lambda *_: self._reap())

    def serve(self) -> socket.socket:
        """Fork for each client; return only in the forked processes, with their clients."""
        while True:
            client = self._listener.accept()[0]
            # Otherwise, a process may end before its client is known.
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            else:
                self._clients[pid] = client
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            if pid == 0:
                return client

    def _reap(self) -> None:
        # Another signal may interrupt this between any two lines, and reap the last process.
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                with self._clients.pop(pid) as client, suppress(OSError):
                    client.sendall(status.to_bytes(4, sys.byteorder))


def become(client: socket.socket) -> types.CodeType:
    """Make this process the one that Ansible wanted to start, and return the code to run."""
    head, descriptors, _flags, _address = socket.recv_fds(client, 4, 3)
    size = int.from_bytes(head, sys.byteorder)
    request = client.recv(size, socket.MSG_WAITALL)
    end_with(client.fileno())
    arguments, environ, folder, umask = marshal.loads(request)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.umask(umask)
    is_like_this = choose(environ) == choose(dict(os.environ))
    os.environ.clear()
    os.environ.update(environ)
    if arguments or not is_like_this:
        os.execv(sys.executable, [sys.executable, *arguments])
    sys.argv[:] = [""]
    sys.path[0] = ""
    return compile(sys.stdin.buffer.read(), "<stdin>", "exec")


def main(path: str, collections: str) -> None:
    preload(collections)
    # The garbage collector would touch, and so copy, the memory that forked processes share.
    gc.collect()
    gc.freeze()
    server = Server(path)
    # The process that started this one keeps the other end of standard input.
    end_with(sys.stdin.fileno())
    os.write(sys.stdout.fileno(), b"ready\n")
    code = become(server.serve())
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


if __name__ == "__main__":
    main(*sys.argv[1:])
