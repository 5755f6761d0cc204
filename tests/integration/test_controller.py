# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs tests/controller in its own process.

ansible-core 2.19 and newer run modules differently in a process that has loaded controller code.
So these tests must not share a process with the tests of modules.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support import ROOT


@pytest.mark.each_core
def test_the_plugins_of_the_controller_pass_their_tests() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "tests/controller"]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(re.findall(r"(\d+) passed", run.stdout)[0]) > 100
