# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare and quote text, recognize IDs, and format times."""

from __future__ import annotations

import re
import time
import unicodedata

_MAX_QUOTED = 400
_ID = re.compile(r"[a-f0-9]{24}")
# Unicode's Default_Ignorable_Code_Point, except category Cf, which is_ignorable checks.
_IGNORABLE_RANGES = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers; NFKC maps the other two to these
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors and vowel separator
    (0x2065, 0x2065),
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),  # tags, variation selectors, and reserved code points
)
# The Braille pattern without dots looks like a space, but Unicode does not count it as one.
_BLANK_PATTERN = "\u2800"
# Characters that look blank but are not ignorable before NFKC: Hangul fillers.
_BLANKS = frozenset({_BLANK_PATTERN, "\u3164", "\uffa0"})


def is_ignorable(char: str) -> bool:
    """Return whether a character is invisible."""
    if unicodedata.category(char) in {"Cc", "Cf", "Cs"}:
        return not char.isspace()
    return any(first <= ord(char) <= last for first, last in _IGNORABLE_RANGES)


def normalize_description(text: str) -> str:
    """Return a normal form that is the same for all descriptions that look alike.

    It ignores differences in case, whitespace, invisible characters and compatibility forms (NFKC).
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.casefold().split())
    visible = "".join(
        " " if char == _BLANK_PATTERN else char
        for char in unicodedata.normalize("NFKC", text)
        if not is_ignorable(char)
    )
    return " ".join(unicodedata.normalize("NFKC", visible.casefold()).split())


def quoted(text: str, limit: int = _MAX_QUOTED) -> str:
    """Quote text exactly: keep spaces and escape invisible characters.

    Text longer than ``limit`` characters is cut at a space, because half a secret would not be
    recognized and masked.
    """
    if len(text) <= limit:
        return _escaped(text)
    head = text[:limit].rpartition(" ")[0]
    return f"{_escaped(head)} …" if head else "…"


def _escaped(text: str) -> str:
    # repr() does not escape variation selectors and fillers.
    return "".join(
        char.encode("unicode_escape").decode() if char in _BLANKS or is_ignorable(char) else char
        for char in repr(text)
    )


def is_id(value: str) -> bool:
    """Return whether a text is an ID: 24 lowercase hexadecimal digits."""
    return bool(_ID.fullmatch(value))


def creation_time(object_id: str) -> str | None:
    """Return when an object was created, from its ID; None if the text is not an ID.

    IDs are ObjectIds, whose first 8 digits are seconds since 1970.
    """
    return to_date(int(object_id[:8], 16)) if is_id(object_id) else None


def to_date(moment: float) -> str:
    """Format seconds since 1970 as the API formats times, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
