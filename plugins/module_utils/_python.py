# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prepares Python for what a module imports. Every module imports this before all else.

Refuses a Python that is too old, and makes imports from Ansible's archive cheaper.

This file, and the modules themselves, are written so that Python 3.6 can compile them: otherwise,
the user would get a syntax error. Importing anything else of the collection would fail there.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Optional
from zipimport import zipimporter

OLDEST = (3, 9)


def refusal(version: "Sequence[int]", executable: str) -> "Optional[dict[str, Any]]":
    """Return the result of a module for a Python of this version, None if it is new enough."""
    if tuple(version[:2]) >= OLDEST:
        return None
    found = ".".join(str(number) for number in version[:3])
    return {
        "failed": True,
        "msg": (
            f"keysmith.mongodb needs Python 3.9 or newer on the host that runs the module, and "
            f"{executable} is Python {found}. Nothing was changed. Set ansible_python_interpreter "
            "to a newer Python that has requests, or delegate the task to another host."
        ),
        "error": {
            "type": "options",
            "status": None,
            "code": None,
            "reason": None,
            "detail": None,
            "parameters": [],
            "method": None,
            "path": None,
        },
    }


_refusal = refusal(tuple(sys.version_info[:3]), sys.executable)
if _refusal:
    sys.stdout.write(json.dumps(_refusal) + "\n")
    raise SystemExit(1)


class _Importer(zipimporter):
    """Imports from the archive that Ansible sends, and compiles each file once.

    Python's own importer compiles a file to find out its path, and again to run it. In a task that
    revokes one key, that second time would be a tenth of the CPU time of the module's process.
    """

    def get_filename(self, fullname: str) -> str:
        path = os.path.join(self.archive, self.prefix, fullname.rpartition(".")[2])
        return os.path.join(path, "__init__.py") if self.is_package(fullname) else f"{path}.py"


def _compile_once(directory: str) -> None:
    """Use that importer for a directory and all below it, if they are in an archive."""
    if not isinstance(sys.path_importer_cache.get(directory), zipimporter):
        return

    def hook(path: str) -> _Importer:
        if path != directory and not path.startswith(directory + os.sep):
            raise ImportError(path)
        return _Importer(path)

    sys.path_hooks.insert(0, hook)
    del sys.path_importer_cache[directory]


_compile_once(os.path.dirname(__file__))
