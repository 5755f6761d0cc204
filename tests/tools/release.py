# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make release`: check that everything is ready for a release, and print how to make it.

Without arguments, it checks; with the path of the archive, it prints the commands.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
VERSION = re.compile(r"\d+\.\d+\.\d+")
CLIENT = Path("plugins") / "module_utils" / "_client" / "_http.py"


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8")) if path.exists() else {}


def version_of(root: Path) -> str:
    return str(load(root / "galaxy.yml").get("version", ""))


def problems(root: Path) -> Iterator[str]:
    """Yield the problems that prevent a release, each with advice."""
    version = version_of(root)
    if not VERSION.fullmatch(version):
        yield f"galaxy.yml has the version {version!r}: it must be three numbers, such as 1.2.0."
    yield from _version_problems(root, version)
    yield from _changelog_problems(root, version)
    yield from _git_problems(root, version)


def _version_problems(root: Path, version: str) -> Iterator[str]:
    match = re.search(r'^VERSION = "(.*)"$', (root / CLIENT).read_text("utf-8"), re.MULTILINE)
    client = match[1] if match else "none"
    if client != version:
        yield f"{CLIENT} has the version {client} and galaxy.yml {version}: make them equal."


def _changelog_problems(root: Path, version: str) -> Iterator[str]:
    folder = root / "changelogs" / "fragments"
    left = sorted(path.name for pattern in ("*.yml", "*.yaml") for path in folder.glob(pattern))
    if left:
        yield f"changelogs/fragments has {', '.join(left)}: run antsibull-changelog release."
    releases = load(root / "changelogs" / "changelog.yaml").get("releases") or {}
    if version not in releases:
        yield f"changelogs/changelog.yaml has no {version}: run antsibull-changelog release."
        return
    newest = max(releases, key=_order)
    if newest != version:
        yield f"changelogs/changelog.yaml has {newest}, which is newer than {version}."
    # antsibull-changelog escapes nearly everything in Markdown.
    changelog = (root / "CHANGELOG.md").read_text("utf-8").replace("\\", "")
    if f"## v{version}\n" not in changelog:
        yield f"CHANGELOG.md has no v{version}: run antsibull-changelog generate."


def _order(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _git_problems(root: Path, version: str) -> Iterator[str]:
    branch = git(root, "branch", "--show-current")
    if branch != "main":
        yield f"The branch is {branch or 'none'}: a release is made from main."
    changed = git(root, "status", "--porcelain").splitlines()
    if changed:
        names = ", ".join(line.split(maxsplit=1)[1] for line in changed)
        yield f"The working tree is not clean: {names}. Commit or remove it."
    if git(root, "tag", "--list", version):
        yield f"The tag {version} already exists: choose the next version."


def commands(root: Path, archive: str) -> str:
    """Return the next commands."""
    version = version_of(root)
    return f"""
{version} is ready. Nothing was tagged or published; these commands do it:

  git push origin main
  git tag --annotate --message "keysmith.mongodb {version}" {version}
  git push origin {version}
  ansible-galaxy collection publish {archive}

The last one needs an Ansible Galaxy token in the file ~/.ansible/galaxy_token.
"""


def main() -> int:
    if len(sys.argv) > 1:
        print(commands(ROOT, sys.argv[1]), end="")
        return 0
    found = list(problems(ROOT))
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
