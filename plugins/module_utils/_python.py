# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuses a Python that is too old. Every module imports this before all else.

This file, and the modules themselves, are written so that Python 3.6 can compile them: otherwise,
the user would get a syntax error. Importing anything else here would fail there.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any, Optional

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


_refusal = refusal(sys.version_info, sys.executable)
if _refusal:
    sys.stdout.write(json.dumps(_refusal) + "\n")
    raise SystemExit(1)
