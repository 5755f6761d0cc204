# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/site/compiled.py caches compiled code without changing what modules run."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT

SITE = ROOT / "tests" / "site"
PROGRAM = "import thing; print(thing.value())"


def run(archive: Path, cache: Path | str) -> str:
    environ = {"PYTHONPATH": f"{SITE}{os.pathsep}{archive}", "COMPILED_FOLDER": str(cache)}
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, env=environ, capture_output=True, check=True, text=True).stdout


def pack(archive: Path, value: int) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("thing.py", f"def value():\n    return {value}\n")
    return archive


def test_compiles_source_once_for_all_archives(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    assert run(pack(tmp_path / "first.zip", 1), cache) == "1\n"
    (file,) = cache.iterdir()
    made = file.stat().st_mtime_ns
    assert run(pack(tmp_path / "second.zip", 1), cache) == "1\n"
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [made]


def test_compiles_changed_source(tmp_path: Path) -> None:
    assert [run(pack(tmp_path / "one.zip", value), tmp_path) for value in (1, 2)] == ["1\n", "2\n"]


@pytest.mark.parametrize("cache", ["/nonesuch", ""])
def test_works_without_cache_directory(tmp_path: Path, cache: str) -> None:
    assert run(pack(tmp_path / "one.zip", 1), cache) == "1\n"
