# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/tools/mutants.py: mutants that are not found are held against the reasons for it."""

from __future__ import annotations

from tests.tools.mutants import REASONS, Mutant, compare


def mutant(function: str, status: str = "survived") -> Mutant:
    return Mutant(f"plugins._plan.x_{function}__mutmut_1", status, ("-x = 1", "+x = 2"))


DOCUMENT = """# Mutants

Some text, and a → in it.

```text
_plan.first: 1 → 2
_plan.gone: strict=False) → strict=None)
```
"""


def test_a_mutant_without_a_reason_is_told_once() -> None:
    mutants = [mutant("first"), mutant("second"), mutant("second", "not tried")]
    assert compare(mutants, DOCUMENT)[0] == ["_plan.second: 1 → 2"]


def test_a_reason_that_is_no_longer_needed_is_told() -> None:
    gone = "_plan.gone: strict=False) → strict=None)"
    assert compare([mutant("first")], DOCUMENT)[1] == [gone]
    assert compare([mutant("first", "killed")], DOCUMENT)[1] == ["_plan.first: 1 → 2", gone]


def test_every_reason_of_the_document_is_read() -> None:
    document = REASONS.read_text("utf-8")
    assert compare([], document)[1] == [line for line in document.splitlines() if "→" in line]
