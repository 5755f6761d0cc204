# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a Python interpreter with its arguments, and append its peak memory in MB to a file."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

code = subprocess.call([os.environ["BENCHMARK_PYTHON"], *sys.argv[1:]])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
with Path(os.environ["BENCHMARK_PEAKS"]).open("a", encoding="utf-8") as file:
    # Linux counts in KB, macOS in bytes.
    file.write(f"{peak / (1024 if sys.platform != 'darwin' else 1024**2):.1f}\n")
sys.exit(code)
