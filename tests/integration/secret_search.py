# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search output for canary secrets in every form in which they may appear."""

from __future__ import annotations

import base64
import functools
import html
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

# A canary that is printed on purpose, to prove that the search works.
PLANTED = "pl4nted/on&purpose+9876543210"
PLANTED_FORMS = [PLANTED, quote(PLANTED, safe=""), base64.b64encode(PLANTED.encode()).decode()]


# How a secret may be written, alone or within other text.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "url": lambda text: quote(text, safe=""),
    "path": quote,
    "form": quote_plus,
    "url in lower case": lambda text: _lower(quote(text, safe="")),
    "path in lower case": lambda text: _lower(quote(text)),
    "form in lower case": lambda text: _lower(quote_plus(text)),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 bare": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 for urls bare": lambda text: (
        base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    ),
}


def _lower(text: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), text)


# Escapes in URLs, JSON, Python literals and HTML.
_ESCAPE = re.compile(r"%([0-9a-f]{2})|\\+(?:x|u00)([0-9a-f]{2})|&#?\w{2,8};", re.IGNORECASE)
# An escaped line break, an escaped quote, or a continued line.
_BACKSLASH = re.compile(r"\\+[nrt]?")


def forms(canary: str) -> set[str]:
    """Return the forms of a canary that may be in one of a text's `copies`."""
    if ":" in canary:
        # Half of a pair is public: search for both halves together, as they are sent.
        return _in_base64(canary)
    # Half a secret is a leak too, for example if a length limit cuts it off.
    halves = {canary[:16], canary[-16:]}
    return {_packed(half) for half in halves}.union(*map(_in_base64, halves))


def _in_base64(text: str) -> set[str]:
    """Return the Base64 of a text, whatever precedes or follows it.

    A character encodes six bits. Only characters whose bits all belong to the text count.
    """
    found, data = set(), text.encode()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        found.add(_packed(encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]))
    return found


# A test searches the same thousands of texts several times.
@functools.lru_cache(maxsize=10_000)
def copies(text: str) -> frozenset[str]:
    """Return a text with and without its escapes, on one line.

    Escapes may be escaped again, and may contain line breaks.
    """
    found = {text, _packed(text)}
    for _round in range(2):
        found |= {_ESCAPE.sub(_character, copy) for copy in found}
    return frozenset(_packed(copy) for copy in found)


def _character(escape: re.Match[str]) -> str:
    digits = escape[1] or escape[2]
    return chr(int(digits, 16)) if digits else html.unescape(escape[0])


def _packed(text: str) -> str:
    """Return a text without whitespace, in the standard alphabet of Base64."""
    packed = "".join(_BACKSLASH.sub("", text).split())
    return packed.replace("-", "+").replace("_", "/")


def search(places: Mapping[str, str], canaries: Mapping[str, str]) -> list[str]:
    """Return which canary is in which place."""
    wanted = {name: forms(canary) for name, canary in canaries.items()}
    hits = []
    for place, text in places.items():
        found = copies(text)
        for name, known in wanted.items():
            shown = next((_around(c, form) for form in known for c in found if form in c), "")
            if shown:
                hits.append(f"{name} is in {place}: …{shown!r}…")
    return hits


def _around(text: str, form: str) -> str:
    return text[max(0, text.index(form) - 80) : text.index(form) + 80]


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the path and content of every file below a directory."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes().decode("utf-8", "replace")


def without_documented(text: str, shown: Mapping[str, str]) -> str:
    """Remove the documented secret of a creation: ``"private_key": "…"`` or a client secret.

    In the JSON of events, the quotes are escaped.
    """
    for secret in shown.values():
        name = r"(?:private_key|client_secret)"
        text = re.sub(rf'(\\*"{name}\\*": ?\\*")({re.escape(secret)})\\*"', r"\1(shown)", text)
    return text
