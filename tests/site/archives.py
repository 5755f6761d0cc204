# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets Ansible build the archive of each module once, not once per process.

Finding what a module imports takes as much time as running it.
"""

from __future__ import annotations

import os
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
# The variable with the directory for archives. Without it, each process builds its own.
VARIABLE = "ARCHIVES_FOLDER"


def share(folder: str) -> None:
    """Keep archives in the directory, if Ansible uses the collection in this checkout.

    Other copies of the collection may change between processes.
    """
    import hashlib
    import tempfile

    paths = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "")
    first = os.path.join(paths.split(os.pathsep)[0], "ansible_collections", "keysmith", "mongodb")
    if os.path.realpath(first) != ROOT:
        return
    # The other collections also matter.
    own = os.path.join(folder, hashlib.sha256(paths.encode()).hexdigest())
    os.makedirs(own, exist_ok=True)
    make = tempfile.mkdtemp

    def make_with_archives(*arguments: Any, **options: Any) -> str:
        path = make(*arguments, **options)
        if str(options.get("prefix")).startswith("ansible-local-"):
            os.symlink(own, os.path.join(path, "ansiballz_cache"))
        return path

    tempfile.mkdtemp = make_with_archives  # type: ignore[assignment]


def begin() -> None:
    if os.environ.get(VARIABLE):
        share(os.environ[VARIABLE])
