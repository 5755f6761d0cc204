# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.slow

# What stands for pytest: it would live on for a while, and say so.
TESTS = """
import sys, time
with open(sys.argv[1], "w") as pipe:
    print("begun", file=pipe, flush=True)
    time.sleep(30)
    print("lived on", file=pipe)
"""
TOOL = """
import os, sys
from pathlib import Path
from tests.tools.timed_tests import end_all, exit_on_sigterm, run_tests
exit_on_sigterm()
try:
    run_tests([sys.executable, "-c", *sys.argv[2:]], Path(sys.argv[1]), os.environ, 60)
finally:
    end_all()
"""


def test_a_tool_that_is_ended_leaves_no_tests_behind(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-c", TOOL, str(tmp_path / "log"), TESTS, str(pipe)]
    with subprocess.Popen(command, cwd=ROOT) as tool, pipe.open(encoding="utf-8") as told:
        assert told.readline() == "begun\n"
        tool.terminate()
        tool.terminate()
        # The pipe ends when nobody has it open for writing any more.
        assert told.read() == ""
    assert tool.returncode == 128 + 15
