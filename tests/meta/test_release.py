# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make release` reports each problem that prevents a release."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.release import commands, problems

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FILES = {
    "galaxy.yml": "namespace: keysmith\nname: mongodb\nversion: 1.2.0\n",
    "plugins/module_utils/_client/_http.py": 'X = 1\nVERSION = "1.2.0"\n',
    "changelogs/changelog.yaml": "releases:\n  1.1.0: {}\n  1.2.0: {}\n",
    "changelogs/fragments/.keep": "",
    "CHANGELOG.md": "# Notes\n\n## v1\\.2\\.0\n\n## v1\\.1\\.0\n",
}


def git(folder: Path, *arguments: str) -> None:
    # Ignore the user's own configuration, which may sign commits or run hooks.
    environ = {"PATH": str(Path(str(shutil.which("git"))).parent), "HOME": str(folder)}
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=environ)


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--message", "Change something")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is ready for a release."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--initial-branch", "main")
    for name, text in FILES.items():
        write(folder, name, text)
    commit(folder)
    git(folder, "tag", "1.1.0")
    return folder


def test_a_checkout_that_is_ready_has_no_problems(checkout: Path) -> None:
    assert list(problems(checkout)) == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("galaxy.yml", "version: 1.3.0-dev\n", "three numbers"),
        ("galaxy.yml", "version: 1.3.0\n", "has no 1.3.0"),
        ("plugins/module_utils/_client/_http.py", 'VERSION = "1.1.0"\n', "has the version 1.1.0"),
        ("plugins/module_utils/_client/_http.py", "", "has the version none"),
        ("changelogs/changelog.yaml", "releases:\n  1.1.0: {}\n", "has no 1.2.0"),
        ("changelogs/changelog.yaml", "releases: {}\n", "has no 1.2.0"),
        ("changelogs/changelog.yaml", "releases:\n  1.2.0: {}\n  1.10.0: {}\n", "has 1.10.0"),
        ("changelogs/fragments/fix.yml", "bugfixes: [x]\n", "has fix.yml"),
        ("changelogs/fragments/fix.yaml", "bugfixes: [x]\n", "has fix.yaml"),
        ("CHANGELOG.md", "## v1\\.1\\.0\n", "has no v1.2.0"),
    ],
)
def test_a_file_that_is_not_ready_is_named(
    checkout: Path, name: str, text: str, words: str
) -> None:
    write(checkout, name, text)
    commit(checkout)
    found = list(problems(checkout))
    assert any(words in problem for problem in found)
    assert all("work tree" not in problem for problem in found)


def leave_a_file(folder: Path) -> None:
    write(folder, "notes.txt", "not committed")


def change_a_file(folder: Path) -> None:
    write(folder, "CHANGELOG.md", FILES["CHANGELOG.md"] + "more\n")


def leave_main(folder: Path) -> None:
    git(folder, "switch", "--create", "fix")


def leave_every_branch(folder: Path) -> None:
    git(folder, "switch", "--detach")


def tag(folder: Path) -> None:
    git(folder, "tag", "1.2.0")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (leave_a_file, "not clean: notes.txt."),
        (change_a_file, "not clean: CHANGELOG.md."),
        (leave_main, "branch is fix"),
        (leave_every_branch, "branch is none"),
        (tag, "tag 1.2.0 already exists"),
    ],
)
def test_the_message_of_git_is_shown(
    checkout: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(checkout)
    (problem,) = problems(checkout)
    assert words in problem


def test_the_commands_name_version_and_archive(checkout: Path) -> None:
    told = commands(checkout, "x.tar.gz")
    assert "git push origin 1.2.0\n" in told
    assert "publish x.tar.gz\n" in told
