# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs that tests need: if one is missing, its tests are skipped."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any

import pytest

# If this is set, as in `.ci/run`, everything must be installed, and skipped tests fail.
VARIABLE = "TESTS_STRICT"
# These cannot be installed: licenses do not allow it, or the machine lacks a feature.
_ALLOWED = re.compile(
    "the specification of the Atlas Administration API is missing"
    "|the recorded responses of Atlas are missing"
    "|this machine, or its file system, has no nameless files"
    "|this curl does not know SHA-256"
)
# Some servers are only on root's PATH.
_FOLDERS = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def find(program: str) -> str:
    """Return the path of a program, or skip the test."""
    found = shutil.which(program, path=_FOLDERS)
    return found if found else pytest.skip(f"{program} is not installed")


def hold(report: Any) -> None:
    """Turn a skipped test into a failed one if everything must be installed."""
    if VARIABLE not in os.environ or not report.skipped or hasattr(report, "wasxfail"):
        return
    _path, _line, reason = report.longrepr
    if not _ALLOWED.search(reason):
        report.outcome = "failed"
        report.longrepr = f"{reason}, and {VARIABLE} is set"
