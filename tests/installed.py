# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of others that tests want: where one is missing its tests are skipped by name."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any

import pytest

# Set where everything has to be there, as in `.ci/run`: then a test that is skipped has failed.
VARIABLE = "TESTS_STRICT"
# But for what nobody can install: a licence keeps the specification out, and a machine is as it is.
_ALLOWED = re.compile(
    "the specification of the Atlas Administration API is not there"
    "|the recorded responses of Atlas are not there"
    "|this machine, or its file system, has no nameless files"
    "|this curl does not know SHA-256"
)
# Servers are often there that only root has on the PATH.
_FOLDERS = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def find(program: str) -> str:
    """Return where a program is; where it is not, the test is skipped."""
    found = shutil.which(program, path=_FOLDERS)
    return found if found else pytest.skip(f"{program} is not installed")


def hold(report: Any) -> None:
    """Make a failure of a test that was skipped, where nothing may be wanting."""
    if VARIABLE not in os.environ or not report.skipped or hasattr(report, "wasxfail"):
        return
    _path, _line, reason = report.longrepr
    if not _ALLOWED.search(reason):
        report.outcome = "failed"
        report.longrepr = f"{reason}, and {VARIABLE} is set"
