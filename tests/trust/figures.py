# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has tried, as figures: the tests count, and `make trust` adds up."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable

from tests import json_lines

# Names the file that figures go to; without it they go nowhere.
VARIABLE = "TRUST_FIGURES"


def count(section: str, what: str, number: int = 1) -> None:
    """Add to a figure. Processes may do so at the same time."""
    path = os.environ.get(VARIABLE)
    if path:
        json_lines.append(path, {"section": section, "what": what, "number": number})


def add_up(lines: Iterable[str]) -> dict[str, Counter[str]]:
    """Return the sums by section."""
    sums: dict[str, Counter[str]] = {}
    for line in lines:
        entry = json.loads(line)
        sums.setdefault(entry["section"], Counter())[entry["what"]] += entry["number"]
    return sums
