# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts: which look alike, how messages quote one exactly, and what is an ID."""

from __future__ import annotations

import re
import unicodedata

_MAX_QUOTED = 400
_ID = re.compile(r"[a-f0-9]{24}")
# Unicode's Default_Ignorable_Code_Point, except for the category Cf, which is looked up.
_IGNORABLE_RANGES = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers; NFKC maps the other two to these
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors and vowel separator
    (0x2065, 0x2065),
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),  # tags, variation selectors, and what Unicode reserves for more of them
)
# A pattern of Braille without dots, which looks like a space and is none to Unicode.
_BLANK_PATTERN = "\u2800"
# What else looks blank without being ignorable: Hangul fillers that only NFKC makes so.
_BLANKS = frozenset({_BLANK_PATTERN, "\u3164", "\uffa0"})


def is_ignorable(char: str) -> bool:
    """Whether a character leaves no trace where a text is displayed."""
    if unicodedata.category(char) in {"Cc", "Cf", "Cs"}:
        return not char.isspace()
    return any(first <= ord(char) <= last for first, last in _IGNORABLE_RANGES)


def normalize_description(text: str) -> str:
    """Return what descriptions have in common that people cannot tell apart.

    They differ at most in case, in whitespace of any kind, in invisible characters, and in
    compatibility forms (NFKC).
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
    """Return a text in quotes as it is: spaces are kept, and what nobody sees is escaped.

    A text longer than ``limit`` characters ends at a space and an ellipsis, so that half a secret,
    which would not be recognized and hidden, is never quoted.
    """
    if len(text) <= limit:
        return _escaped(text)
    head = text[:limit].rpartition(" ")[0]
    return f"{_escaped(head)} …" if head else "…"


def _escaped(text: str) -> str:
    # Python escapes only what is not printable, and counts marks and fillers as printable.
    return "".join(
        char.encode("unicode_escape").decode() if char in _BLANKS or is_ignorable(char) else char
        for char in repr(text)
    )


def is_id(value: str) -> bool:
    """Whether a text is an ID: 24 hexadecimal digits. IDs become parts of paths and file names."""
    return bool(_ID.fullmatch(value))
