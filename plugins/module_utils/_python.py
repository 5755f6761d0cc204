# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuse Python versions that are too old, and speed up imports from Ansible's archive.

Every module imports this file first. Python 3.6 must be able to compile this file and the modules,
or the user would get a syntax error instead of the message.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Optional
from zipimport import zipimporter

OLDEST = (3, 9)


def refusal(version: "Sequence[int]", executable: str) -> "Optional[dict[str, Any]]":
    """Return the result of a module if this Python version is too old, otherwise None."""
    if tuple(version) >= OLDEST:
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
    """Imports from the archive that Ansible sends, and compiles each file only once.

    Python's own importer compiles a file to determine its path, and again to run it. The second
    compilation would take a tenth of the CPU time of a module that revokes one key.
    """

    def get_filename(self, fullname: str) -> str:
        path = os.path.join(self.archive, self.prefix, fullname.rpartition(".")[2])
        return os.path.join(path, "__init__.py") if self.is_package(fullname) else f"{path}.py"


def _compile_once(directory: str) -> None:
    """Use this importer for a directory and everything below it, if it is in an archive."""
    if not isinstance(sys.path_importer_cache.get(directory), zipimporter):
        return

    def hook(path: str) -> _Importer:
        if path != directory and not path.startswith(directory + os.sep):
            raise ImportError(path)
        return _Importer(path)

    sys.path_hooks.insert(0, hook)
    del sys.path_importer_cache[directory]


_compile_once(os.path.dirname(__file__))
