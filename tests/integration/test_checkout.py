# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkout is good in any folder, and what is built from it holds what belongs there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.integration.playbook import PATIENCE, Workshop
from tests.support import ROOT

# What tools leave in a checkout, by the path of a file of theirs.
LITTER = (
    ".ansible/collections/x.py",
    ".cache/linked/x.py",
    ".coverage",
    ".git/HEAD",
    ".hypothesis/unicode_data/x",
    ".mypy_cache/x.json",
    ".nox/lint/x",
    ".pytest_cache/x",
    ".ruff_cache/x",
    ".venv/pyvenv.cfg",
    ".vscode/settings.json",
    "ansible_collections/keysmith/mongodb/x",
    "collections/ansible_collections/x/y/MANIFEST.json",
    "keysmith-mongodb-0.9.0.tar.gz",
    "plugins/modules/__pycache__/x.cpython-312.pyc",
    "tests/output/x.log",
    "tests/unit/__pycache__/x.cpython-312.pyc",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that git has or would take, in a folder of another name."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout, or there is no git")
    folder = tmp_path / "a checkout of mine"
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        # One that is deleted, and not yet so for git, is still listed.
        if source.is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


@pytest.mark.slow
def test_pytest_works_in_a_checkout_of_another_name(checkout: Path) -> None:
    tests = [
        "tests/integration/test_tls.py::test_server_is_trusted_with_ca_file",
        "tests/integration/test_environment.py::"
        "test_ad_hoc_call_revokes_with_credentials_of_its_environment",
    ]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests],
        cwd=checkout,
        env=environ,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "2 passed" in process.stdout


def test_built_collection_has_no_litter(checkout: Path, tmp_path: Path, collections: Path) -> None:
    for name in LITTER:
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("litter", "utf-8")
    workshop = Workshop(tmp_path / "build", collections)
    command = [sys.executable, "-m", "ansible", "galaxy", "collection", "build", str(checkout)]
    run = workshop.finish(workshop.spawn([*command, "--output-path", str(tmp_path)]))
    assert run.code == 0, run.output
    (archive,) = tmp_path.glob("keysmith-mongodb-*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {member.name for member in tar.getmembers() if member.isfile()}
    assert not names & set(LITTER)
    assert not {name for name in names if "__pycache__" in name or name.endswith(".pyc")}
    assert {
        "MANIFEST.json",
        "COPYING",
        "docs/docsite/extra-docs.yml",
        "docs/docsite/rst/guide_errors.rst",
        "meta/runtime.yml",
        "playbooks/templates/org_api_keys.html.j2",
        "plugins/doc_fragments/connection.py",
        "plugins/modules/org_api_key.py",
        "plugins/module_utils/_client.py",
    } <= names
