# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of others that tests want: where one is missing its tests are skipped by name."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

# Set where everything has to be there, as in `.ci/run`: then what is missing fails.
VARIABLE = "TRUST_STRICT"
# Servers are often there that only root has on the PATH.
_FOLDERS = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def find(program: str) -> str:
    """Return where a program is; where it is not, the test is skipped, or fails if strict."""
    found = shutil.which(program, path=_FOLDERS)
    return found if found else lack(f"{program} is not installed")


def lack(what: str) -> NoReturn:
    """Skip a test for want of something, or fail if nothing may be wanting."""
    if os.environ.get(VARIABLE):
        pytest.fail(f"{what}, and {VARIABLE} is set")
    pytest.skip(what)
