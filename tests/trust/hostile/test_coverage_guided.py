# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hypothesis does not think of: inputs that atheris finds by the code they reach.

There is no atheris for every Python and every machine. So it is skipped where it is not
installed, also where nothing else may be wanting: the same code is tried by test_values.py.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trust import figures
from tests.trust.hostile.answers import ESCAPES
from tests.trust.hostile.servers import (
    CHALLENGE,
    ENTRIES,
    FACTOR,
    KEY,
    NOT_FOUND,
    ORGANIZATION,
    PRIVATE_KEY,
    page,
)

TARGET = Path(__file__).parent / "coverage_guided.py"
RUNS = 40_000
SEED = 20_260_101
# To begin with: one of each kind, with a header and without.
CORPUS = [
    NOT_FOUND,
    {"status": 400, "content": NOT_FOUND},
    {**KEY, "privateKey": PRIVATE_KEY},
    page([KEY]),
    page(ENTRIES),
    page([ORGANIZATION]),
    {"error": "invalid_client", "error_description": ESCAPES},
    {"error": 400, "errorCode": "X", "parameters": [10**30, -1.5, None, "x"]},
]


@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris is not installed")
def test_inputs_found_by_coverage_are_survived(tmp_path: Path, collections: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, data in enumerate(CORPUS):
        for header in (b"", CHALLENGE.encode(), b"Fri, 31 Dec 1999 23:59:59 GMT"):
            content = bytes([2, len(header)]) + header + json.dumps(data).encode()
            (corpus / f"{number}-{len(header)}").write_bytes(content)
    runs = int(RUNS * FACTOR)
    limits = [f"-runs={runs}", f"-seed={SEED}", "-max_len=600", "-timeout=20", "-rss_limit_mb=2000"]
    command = [sys.executable, str(TARGET), str(collections), *limits, str(corpus)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    found = re.search(r"Done (\d+) runs", done.stderr)
    assert found, done.stderr[-2000:]
    assert int(found[1]) >= runs
    figures.count("hostile", "inputs that atheris found by coverage", int(found[1]))
