# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of `make lint` that antsibull-nox.toml does not configure."""

from __future__ import annotations

import sys
from pathlib import Path

import nox
from antsibull_nox import load_antsibull_nox_toml

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

load_antsibull_nox_toml()


@nox.session(name="changelog")
def changelog(session: nox.Session) -> None:
    """Check the changelog's fragments and its record of releases."""
    session.install("antsibull-changelog>=0.31")
    session.run("antsibull-changelog", "lint")
    if Path("changelogs/changelog.yaml").exists():
        session.run("antsibull-changelog", "lint-changelog-yaml", "changelogs/changelog.yaml")


@nox.session(name="english", venv_backend="none")
def english(session: nox.Session) -> None:
    """Check for phrases that read like a translation."""
    session.run(sys.executable, "tests/tools/english.py")


# Support `python noxfile.py`.
if __name__ == "__main__":
    nox.main()
