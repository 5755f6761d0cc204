# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking for canary secrets in what comes out: in every form in which they may turn up."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

# A canary that is printed on purpose, so that a search which finds nothing can be believed.
PLANTED = "pl4nted/on&purpose+9876543210"
PLANTED_FORMS = [PLANTED, quote(PLANTED, safe=""), base64.b64encode(PLANTED.encode()).decode()]


def forms(canary: str) -> set[str]:
    """A canary as it may turn up: as it is, quoted, in base64, and its two ends."""
    encoded = base64.b64encode(canary.encode()).decode()
    safe = base64.urlsafe_b64encode(canary.encode()).decode()
    found = {canary, quote(canary), quote(canary, safe=""), quote_plus(canary), encoded, safe}
    found |= {json.dumps(form)[1:-1] for form in found}
    found |= {encoded.rstrip("="), safe.rstrip("=")}
    # Behind other characters it looks another way in base64: what is the same in all of these.
    for before in (1, 2):
        shifted = base64.b64encode(b"\0" * before + canary.encode()).decode().rstrip("=")
        found.add(shifted[before + 1 : -1])
    # Half a secret is a leak too: what is cut off at a limit, say.
    return found | {canary[:16], canary[-16:]} if ":" not in canary else found - {canary}


def search(places: Mapping[str, str], canaries: Mapping[str, str]) -> list[str]:
    """Which canary is in which place."""
    return [
        f"{name} is in {place}: …{text[max(0, text.index(form) - 80) : text.index(form) + 80]!r}…"
        for place, text in places.items()
        for name, canary in canaries.items()
        for form in forms(canary)
        if form in text
    ]


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder, by name and content."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes().decode("utf-8", "replace")


def without_documented(text: str, shown: Mapping[str, str]) -> str:
    """A text without the one thing that a creation shows: ``"private_key": "…"`` in its result.

    Within the JSON of events the quotes have backslashes before them.
    """
    for secret in shown.values():
        text = re.sub(rf'(\\*"private_key\\*": ?\\*")({re.escape(secret)})\\*"', r"\1(shown)", text)
    return text
