# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/installed.py turns skips into failures if everything must be installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import installed
from tests.support import ROOT

pytestmark = pytest.mark.slow

SKIPPING = """import pytest

@pytest.mark.skipif(True, reason="{reason}")
def test_it():
    pass
"""


@pytest.mark.parametrize(
    ("strict", "reason", "expected"),
    [
        ("1", "nonesuch is not installed", 1),
        ("1", "the recorded responses of Atlas are missing (KEYSMITH_RECORDINGS)", 0),
        ("", "nonesuch is not installed", 0),
    ],
)
def test_skipped_test_fails_if_strict(
    tmp_path: Path, strict: str, reason: str, expected: int
) -> None:
    (tmp_path / "test_it.py").write_text(SKIPPING.format(reason=reason), "utf-8")
    environ = {k: v for k, v in os.environ.items() if k != installed.VARIABLE}
    if strict:
        environ[installed.VARIABLE] = strict
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", tmp_path]
    command += [tmp_path / "test_it.py"]
    environ["PYTHONPATH"] = str(ROOT)
    ended = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, check=False, text=True
    )
    assert ended.returncode == expected, ended.stdout
    assert (reason in ended.stdout) == bool(expected)
