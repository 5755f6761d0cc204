# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README agrees with what is in the repository, and with what CI tests."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import yaml

from tests.support import ACTIONS, MODULES, ROOT
from tests.tools import versions
from tests.tools.sanity import CORES, ENDS, NEWEST_TARGET, TARGETS

README = (ROOT / "README.md").read_text("utf-8")
SECTIONS = (
    "What you can do with it",
    "Quick start for Atlas",
    "Quick start for Ops Manager",
    "Try it without an account",
    "Supported platforms",
    "Compatibility",
    "Required roles",
    "Installation",
    "Modules, role, playbooks and filters",
    "Guarantees",
    "Support, versioning and security",
)


def rows(section: str) -> list[list[str]]:
    """Return the cells of the table in a section, without its head."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)[1:]
    return [re.split(r" +\| +", line) for line in lines]


def minor(python: str) -> int:
    """Return the second number of a Python version."""
    return int(python.partition(".")[2])


def test_the_sections_are_in_order() -> None:
    assert tuple(re.findall(r"^## (.*)$", README, re.MULTILINE)) == SECTIONS


def test_the_readme_lists_every_module() -> None:
    """The table also lists everything else that a user can run."""
    expected = {(name, "module") for name in (*MODULES, *ACTIONS)}
    for kind, pattern in {
        "filter": "plugins/filter/*.py",
        "playbook": "playbooks/*.yml",
        "role": "roles/*",
    }.items():
        expected |= {(path.stem, kind) for path in ROOT.glob(pattern)}
    listed = [
        (re.findall(r"`(\w+)`", name)[0], kind)
        for name, kind, _text in rows("Modules, role, playbooks and filters")
    ]
    assert sorted(listed) == sorted(expected)


def test_the_compatibility_table_is_the_matrix_of_ci() -> None:
    oldest = versions.oldest_requests()[0].partition("==")[2]
    expected = [
        [
            core,
            f"{min(pythons, key=minor)} to {max(pythons, key=minor)} (CI: {pythons[0]})",
            f"{TARGETS[0]} to {NEWEST_TARGET.get(core, TARGETS[-1])}"
            if core in ENDS
            else "the same",
            oldest if core in versions.WITH_OLDEST else "newest",
        ]
        for core, pythons in CORES.items()
    ]
    assert rows("Compatibility") == expected
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    assert ci["jobs"]["sanity"]["strategy"]["matrix"]["core"] == [*CORES, "devel"]
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text("utf-8"))
    assert runtime["requires_ansible"] == f">={min(CORES)}.0"
    section = README.partition("\n## Compatibility\n")[2].partition("\n## ")[0]
    text = " ".join(section.split())
    assert f"ansible-core {min(CORES)} or newer" in text
    assert f"Python {TARGETS[0]} or newer with `requests` {oldest} or newer" in text


def test_modules_run_on_every_python_with_the_oldest_and_newest_requests() -> None:
    pythons = {version: Path(version) for version in TARGETS}
    targets = versions.make_targets(pythons)
    chosen = {
        core: versions.choose_targets(versions.make_core(core, "3.12", Path("python")), targets)
        for core in ENDS
    }
    assert {name for names in chosen.values() for name in names} == {
        f"{version}-{kind}" for version in TARGETS for kind in ("oldest", "newest", "none")
    }
    newest = TARGETS.index(NEWEST_TARGET[ENDS[0]])
    for core, supported in zip(ENDS, (TARGETS[: newest + 1], TARGETS)):
        assert {name.partition("-")[0] for name in chosen[core]} == set(supported)


def test_the_install_lines_have_the_version() -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text("utf-8"))["version"]
    shown = re.findall(r"keysmith[.-]mongodb(?:[:,-]| *\n +version: )(\d[\d.]*\d)", README)
    assert set(shown) == {version}


def test_the_picture_has_the_right_size_and_a_description() -> None:
    ((alt, path),) = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README)
    picture = (ROOT / path).read_bytes()
    assert len(picture) < 200_000
    assert struct.unpack(">I", picture[16:20]) == (1280,)
    assert len(alt) > 50
