# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents (README, CONTRIBUTING and the guides) and the code in them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

GUIDES = sorted((ROOT / "docs" / "docsite" / "rst").glob("*.rst"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *GUIDES]

_IN_MARKDOWN = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_IN_RST = re.compile(r"^ *\.\. code-block:: (\S+)\n\n((?: {3}.*\n|\n)+)", re.MULTILINE)


def blocks(document: Path, *languages: str) -> list[str]:
    """Return the code blocks in a document that are in one of these languages."""
    pattern = _IN_RST if document.suffix == ".rst" else _IN_MARKDOWN
    found = pattern.findall(document.read_text("utf-8"))
    return [textwrap.dedent(text).strip() + "\n" for name, text in found if name in languages]


def yaml_blocks(document: Path) -> list[str]:
    return blocks(document, "yaml", "yaml+jinja")


@dataclass(frozen=True)
class Command:
    """A command in a block of console lines, and the output shown below it."""

    document: Path
    block: int
    text: str
    shown: tuple[str, ...]


def commands(document: Path) -> list[Command]:
    """Return the console lines of a document; without ``$``, each line is a command."""
    found = []
    for number, block in enumerate(blocks(document, "console")):
        text = block if re.search(r"^\$ ", block, re.MULTILINE) else re.sub("(?m)^", "$ ", block)
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command = re.match(r"(.*\\\n)*.*", part)
            if command and command[0].strip():
                shown = part[command.end() :].strip("\n").splitlines()
                found.append(Command(document, number, command[0], tuple(shown)))
    return found
