# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles what modules import from Ansible's archives once for all tests, not once per task.

Python does not cache code from an archive, and compiles each file twice: to find it and to run it.
The code is the same, but its tracebacks name the archive of an earlier task.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import sys
import types
import zipimport

# The variable with the directory for compiled code. Without it, nothing is saved.
VARIABLE = "COMPILED_FOLDER"


def keep(folder: str) -> None:
    """Compile files in archives only if their code is not in the directory yet."""
    compile_source = zipimport._compile_source  # type: ignore[attr-defined]

    def compile_once(pathname: str, source: bytes) -> types.CodeType:
        tag = f"{sys.implementation.cache_tag} {os.path.basename(pathname)}\n".encode()
        path = os.path.join(folder, hashlib.sha256(tag + source).hexdigest())
        with contextlib.suppress(OSError), open(path, "rb") as kept:
            return marshal.load(kept)
        code: types.CodeType = compile_source(pathname, source)
        own = f"{path}.{os.getpid()}"
        # No process finds a partial file, even if this one is killed: only complete files get the
        # name.
        with contextlib.suppress(OSError):
            with open(own, "wb") as file:
                marshal.dump(code, file)
            os.replace(own, path)
        return code

    zipimport._compile_source = compile_once  # type: ignore[attr-defined]


def begin() -> None:
    """Save all code that is compiled from now on, if the directory is set."""
    if os.environ.get(VARIABLE):
        keep(os.environ[VARIABLE])
