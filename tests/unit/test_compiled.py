# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/site/compiled.py: what modules run is what their archive has, however often it is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT

SITE = ROOT / "tests" / "site"
TELL = "import thing; print(thing.value())"


def run(archive: Path, kept: Path | str) -> str:
    environ = {"PYTHONPATH": f"{SITE}{os.pathsep}{archive}", "COMPILED_FOLDER": str(kept)}
    command = [sys.executable, "-c", TELL]
    return subprocess.run(command, env=environ, capture_output=True, check=True, text=True).stdout


def pack(archive: Path, value: int) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("thing.py", f"def value():\n    return {value}\n")
    return archive


def test_source_is_compiled_once_for_all_archives(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    assert run(pack(tmp_path / "first.zip", 1), kept) == "1\n"
    (file,) = kept.iterdir()
    made = file.stat().st_mtime_ns
    assert run(pack(tmp_path / "second.zip", 1), kept) == "1\n"
    assert [path.stat().st_mtime_ns for path in kept.iterdir()] == [made]


def test_another_source_is_compiled_anew(tmp_path: Path) -> None:
    assert [run(pack(tmp_path / "one.zip", value), tmp_path) for value in (1, 2)] == ["1\n", "2\n"]


@pytest.mark.parametrize("kept", ["/nonesuch", ""])
def test_modules_run_without_a_place_to_keep_anything(tmp_path: Path, kept: str) -> None:
    assert run(pack(tmp_path / "one.zip", 1), kept) == "1\n"
