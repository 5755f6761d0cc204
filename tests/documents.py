# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents for readers, and the code in them: README, CONTRIBUTING, the guides."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from tests.support import ROOT

GUIDES = sorted((ROOT / "docs" / "docsite" / "rst").glob("*.rst"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *GUIDES]

_IN_MARKDOWN = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_IN_RST = re.compile(r"^\.\. code-block:: (\S+)\n\n((?: {3}.*\n|\n)+)", re.MULTILINE)


def blocks(document: Path, *languages: str) -> list[str]:
    """The blocks of code in a document, of these languages."""
    pattern = _IN_RST if document.suffix == ".rst" else _IN_MARKDOWN
    found = pattern.findall(document.read_text("utf-8"))
    return [textwrap.dedent(text).strip() + "\n" for name, text in found if name in languages]


def yaml_blocks(document: Path) -> list[str]:
    return blocks(document, "yaml", "yaml+jinja")
