# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reject phrases that read like a translation: english.py [PATH...]

Checks documentation, code, messages and tests, also across line breaks. General prose linters have
no rules for these phrases.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ("CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "Makefile", "README.md", "SECURITY.md")
PLACES = (
    *FILES,
    ".ci",
    ".github",
    "changelogs/fragments",
    "docs",
    "playbooks",
    "plugins",
    "roles",
    "tests",
)
SUFFIXES = {"", ".j2", ".md", ".py", ".rst", ".sh", ".toml", ".yml"}
# Generated files, and those that contain the phrases.
IGNORED = {"docs/speed-figures.md", "tests/tools/english.py", "tests/meta/test_english.py"}
# What to write instead, by a regular expression. A space matches line breaks and comment markers.
PHRASES = {
    r"\b(?!(?i:there) )\w+[^\w\s]{0,3} (?:is|are|was|were) no (?!longer\b|more\b|change\b)\w+": (
        "is not a ..., does not ..."
    ),
    r"but for (?:the|its|a|an|those|one)\b": "except",
    r"\b(?:tell|tells|told) of\b": "describe, report, mention",
    r"\b(?:is|are|was|were|be) told\b": "say, report, return",
    r"\b(?:has|have|had) to\b": "must, or an imperative",
    r"\bblanks\b": "spaces, whitespace",
    # But not in "of its own network".
    r"\bof (?:its|your|their|our|his) own\b(?! (?!(?:and|for|in|is|that|to|which|with)\b)\w)": (
        "its own ..., your own ..."
    ),
    r"\bshall\b": "must, or an imperative",
    r"\bat once\b": "immediately, at the same time",
    r"\bonce more\b": "again",
    r"\banew\b": "again",
    r"(?<!['\"])\b(?:somebody|nobody|anybody|whoever|himself)\b(?!['\"])": "name the actor",
    r", for one[,.;:)]": "for example",
    r", say[,.;:)]": "for example",
    r"\b(?:API|server|proxy|gateway|it|request) (?:has |is |was )?answer(?:s|ed)\b": "returns",
    r"\b(?:is|are|was) over\b": "has expired, has ended",
    r"\b(?:is|are) used up\b": "exceeded",
    r"\bat hand\b": "available",
    r"\bmeanwhile\b": "in the meantime",
    r"\ba moment ago\b": "just, a few seconds ago",
    r"\bin vain\b": "useless",
    r"\b(?:is|are) meant\b(?! for)": "should be, you mean",
    r"\bline ends?\b": "line break",
    r"\bsign-on page\b": "login page",
    r"\bname service\b": "DNS",
    r"\d %(?!\})": "no space before %",
}
# Correct uses.
ALLOWED = {
    "plugins/module_utils/_client/_rate_limiter.py": ("at once",),  # all at once
    "tests/integration/test_audit.py": ("blanks",),
    "tests/unit/filter/test_visible.py": ("blanks",),
    "tests/unit/modules/test_org_api_key_rotation.py": ("nobody",),
}


def _pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(phrase.replace(" ", r"""(?:\s|[#"\\])+"""))


PATTERNS = {_pattern(phrase): advice for phrase, advice in PHRASES.items()}


def found_in(text: str, allowed: tuple[str, ...] = ()) -> Iterator[tuple[int, str, str]]:
    """Yield line, phrase and advice for each rejected phrase."""
    for pattern, advice in PATTERNS.items():
        for match in pattern.finditer(text):
            phrase = " ".join(re.sub(r'[#"\\]', " ", match.group()).split())
            if phrase not in allowed:
                yield text.count("\n", 0, match.start()) + 1, phrase, advice


def files(arguments: list[str]) -> Iterator[Path]:
    for name in arguments or PLACES:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            is_text = file.is_file() and file.suffix in SUFFIXES
            if is_text and str(file.relative_to(ROOT)) not in IGNORED:
                yield file


def main() -> int:
    count = 0
    for file in files(sys.argv[1:]):
        name = str(file.relative_to(ROOT))
        for line, phrase, advice in sorted(
            found_in(file.read_text("utf-8"), ALLOWED.get(name, ()))
        ):
            print(f"{name}:{line}: {phrase!r}: {advice}")
            count += 1
    return min(count, 1)


if __name__ == "__main__":
    sys.exit(main())
