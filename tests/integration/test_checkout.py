# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkout works in any directory, and its archive holds only what users run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.integration.playbook import PATIENCE, AnsibleSandbox
from tests.support import ROOT

# Exactly these files are in the archive.
ALLOWED = re.compile(
    r"CHANGELOG\.md|COPYING|README\.md|requirements\.txt|LICENSES/GPL-3\.0-or-later\.txt"
    r"|changelogs/changelog\.yaml"
    r"|docs/[\w-]+\.(md|png|svg|yml)|docs/docsite/[\w-]+\.yml|docs/docsite/rst/\w+\.rst"
    r"|docs/examples/[\w./-]+\.(md|yml)"
    r"|meta/(execution-environment|runtime)\.yml"
    r"|playbooks/((tasks|vars)/)?\w+\.yml|playbooks/demo_seed\.json|playbooks/templates/[\w.]+\.j2"
    r"|plugins/(action|doc_fragments|filter|modules)/\w+\.py|plugins/module_utils/(\w+/)*\w+\.py"
    r"|roles/\w+/README\.md|roles/\w+/(defaults|handlers|meta|tasks|vars)/\w+\.yml"
)
# Written by ansible-galaxy itself.
OF_GALAXY = {"FILES.json", "MANIFEST.json"}
# These must not get in, whatever their directory.
STRAY = (
    ".coverage",
    ".env",
    ".idea/workspace.xml",
    ".venv/pyvenv.cfg",
    ".vscode/settings.json",
    "__pycache__/x.cpython-312.pyc",
    "client.key",
    "client.pem",
    "credentials.json",
    "credentials.yml",
    "id_ed25519",
    "id_rsa",
    "id_rsa.pub",
    "keysmith-mongodb-0.9.0.tar.gz",
    "notes.orig",
    "pair.json",
    "production.env",
    "vault_password.txt",
    "x.log",
    "x.py~",
)
FOLDERS = ("", "docs", "playbooks", "plugins/modules", "roles/rotate_org_api_key/tasks")
AT_THE_TOP = (
    ".cache/linked/x.py",
    ".git/HEAD",
    ".hypothesis/unicode_data/x",
    ".nox/lint/x",
    "ansible.cfg",
    "ansible_collections/keysmith/mongodb/x",
    "collections/ansible_collections/x/y/MANIFEST.json",
    "group_vars/all.yml",
    "hosts",
    "inventory.yml",
    "secrets.yml",
    "tests/output/x.log",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy the files that git tracks or would add to a directory with another name."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout, or git is not installed")
    folder = tmp_path / "a checkout of mine"
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        # git still lists deleted files until they are staged.
        if source.is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


@pytest.mark.slow
def test_pytest_works_in_a_checkout_with_another_name(checkout: Path) -> None:
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


def test_the_archive_has_what_users_run_and_nothing_else(
    checkout: Path, tmp_path: Path, collections: Path
) -> None:
    files = (path.relative_to(checkout).as_posix() for path in checkout.rglob("*"))
    expected = {name for name in files if ALLOWED.fullmatch(name)}
    assert len(expected) > 100
    strays = [checkout / folder / name for folder in FOLDERS for name in STRAY]
    for path in (*strays, *(checkout / name for name in AT_THE_TOP)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("stray", "utf-8")
    sandbox = AnsibleSandbox(tmp_path / "build", collections)
    command = [sys.executable, "-m", "ansible", "galaxy", "collection", "build", str(checkout)]
    run = sandbox.finish(sandbox.spawn([*command, "--output-path", str(tmp_path)]))
    assert run.code == 0, run.output
    (archive,) = tmp_path.glob("keysmith-mongodb-*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {member.name for member in tar.getmembers() if member.isfile()}
    assert names == expected | OF_GALAXY
