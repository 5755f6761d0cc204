# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for Python when Ansible runs a module, and has module_server.py run it.

This starts for each module, so it imports only what is built into Python. A copy of it, with the
path of Python in the first line, is in the same directory as the server's socket.
"""

from __future__ import annotations

import _socket
import marshal
import os
import sys


def main() -> None:
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect(os.path.join(os.path.dirname(os.path.abspath(__file__)), "socket"))
    umask = os.umask(0)
    request = marshal.dumps((sys.argv[1:], dict(os.environ), os.getcwd(), umask))
    descriptors = b"".join(n.to_bytes(4, sys.byteorder) for n in range(3))
    head = len(request).to_bytes(4, sys.byteorder)
    server.sendmsg([head], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    sent = 0
    while sent < len(request):
        sent += server.send(request[sent:])
    status = server.recv(4)
    if not status:
        sys.exit("module_server.py has ended")
    code = os.waitstatus_to_exitcode(int.from_bytes(status, sys.byteorder))
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
