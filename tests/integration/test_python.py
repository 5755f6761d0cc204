# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules on a Python that is too old, and with a broken requests library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import MODULES, ROOT

COLLECTIONS = ROOT / ".cache" / "linked"
OLD = {
    version: next(iter(sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))), None)
    for version in ("3.6", "3.7", "3.8")
}


def run(python: str, module: str, *paths: Path) -> Any:
    path = ROOT / "plugins" / "modules" / f"{module}.py"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*paths, COLLECTIONS]))}
    return subprocess.run([python, path], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("version", OLD)
def test_an_old_python_gets_a_clear_error(version: str, module: str) -> None:
    python = OLD[version]
    if python is None:
        pytest.skip(f"Python {version} is not in ~/.pyenv")
    done = run(str(python), module)
    assert done.returncode == 1
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert result["failed"] is True
    assert result["error"]["type"] == "options"
    assert "needs Python 3.9" in result["msg"]
    assert f"is Python {version}." in result["msg"]


@pytest.mark.parametrize("module", MODULES)
def test_the_python_is_checked_before_anything_else_is_imported(module: str) -> None:
    lines = (ROOT / "plugins" / "modules" / f"{module}.py").read_text("utf-8").splitlines()
    ours = [line for line in lines if line.startswith("from ansible")]
    assert " import _python " in ours[0]
    # Python 3.6 does not know this import.
    assert "from __future__ import annotations" not in lines


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_part", "ModuleNotFoundError: No module named 'no_such_part'"),
        ("raise AttributeError('x has no y')", "AttributeError: x has no y"),
    ],
)
def test_the_reason_why_requests_cannot_be_imported_is_shown(
    tmp_path: Path, source: str, why: str
) -> None:
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / "__init__.py").write_text(source + "\n", encoding="utf-8")
    code = "from ansible_collections.keysmith.mongodb.plugins.module_utils import _requests as r"
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{COLLECTIONS}"}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(r.HAS_REQUESTS, r.WHY_NOT)"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"False {why}\n"
