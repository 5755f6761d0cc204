# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles what modules import out of Ansible's archives once for all tests, not once a task.

A third of the time of all tests that start Ansible went into it: Python keeps nothing of what it
compiles out of an archive, and compiles each file twice, to find out where it is and to run it.
The code that runs is the same; the file that its tracebacks name is the archive of an earlier task.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import sys
import types
import zipimport

# Names the folder that compiled code is kept in; without it nothing is kept.
VARIABLE = "COMPILED_FOLDER"


def keep(folder: str) -> None:
    """Have all archives' sources compiled only where the folder does not have the code yet."""
    compile_source = zipimport._compile_source  # type: ignore[attr-defined]

    def compile_once(pathname: str, source: bytes) -> types.CodeType:
        tag = f"{sys.implementation.cache_tag} {os.path.basename(pathname)}\n".encode()
        path = os.path.join(folder, hashlib.sha256(tag + source).hexdigest())
        with contextlib.suppress(OSError), open(path, "rb") as kept:
            return marshal.load(kept)
        code: types.CodeType = compile_source(pathname, source)
        own = f"{path}.{os.getpid()}"
        # Nobody finds half a file, even where this process is killed: only whole ones get the name.
        with contextlib.suppress(OSError):
            with open(own, "wb") as file:
                marshal.dump(code, file)
            os.replace(own, path)
        return code

    zipimport._compile_source = compile_once  # type: ignore[attr-defined]


def begin() -> None:
    """Keep what is compiled from now on, where there is a folder for it."""
    if os.environ.get(VARIABLE):
        keep(os.environ[VARIABLE])
