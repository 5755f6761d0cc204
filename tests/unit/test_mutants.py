# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/tools/mutants.py: which mutants are tried, and which may stay alive."""

from __future__ import annotations

import pytest

from tests.tools.mutants import ALLOWED, Mutant, compare, fits, parse_allowed


def mutant(function: str, status: str = "survived") -> Mutant:
    return Mutant(f"plugins._plan.x_{function}__mutmut_1", status, ("-x = 1", "+x = 2"))


LIST = """# A reason, and a mutant.

same    _plan.first: 1 → 2
edge    _plan.gone: strict=False) → strict=None)
"""


def test_a_mutant_that_is_not_on_the_list_is_named_once() -> None:
    mutants = [mutant("first"), mutant("second"), mutant("second", "not tried")]
    assert compare(mutants, parse_allowed(LIST))[0] == ["_plan.second: 1 → 2"]


def test_a_line_that_is_no_longer_needed_is_named() -> None:
    gone = "_plan.gone: strict=False) → strict=None)"
    allowed = parse_allowed(LIST)
    assert compare([mutant("first")], allowed)[1] == [gone]
    assert compare([mutant("first", "killed")], allowed)[1] == ["_plan.first: 1 → 2", gone]


@pytest.mark.parametrize("line", ["why     _plan.first: 1 → 2", "same    _plan.first: 1 → 2\n" * 2])
def test_a_line_without_a_known_reason_or_twice_is_refused(line: str) -> None:
    with pytest.raises(AssertionError, match=r"_plan\.first"):
        parse_allowed(line)


def test_the_list_can_be_read() -> None:
    assert len(parse_allowed(ALLOWED.read_text("utf-8"))) > 100


@pytest.mark.parametrize(
    ("status", "tried_again", "resumed"),
    [("killed", False, False), ("survived", True, False), ("not tried", True, True)],
)
def test_a_run_can_be_repeated_or_resumed(status: str, tried_again: bool, resumed: bool) -> None:
    assert fits(mutant("first", status), [])
    assert fits(mutant("first", status), [], again=True) is tried_again
    assert fits(mutant("first", status), [], resume=True) is resumed
    assert not fits(mutant("first", status), ["*second*"])


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ('raise X("No such key")', 'raise X("XXNo such keyXX")', True),
        ('f"{a} is not", check="Set it to 1."', 'f"{a} is not", check="SET IT TO 1."', True),
        ('raise X("No such key", 1)', 'raise X("No such key", 2)', False),
        ('raise X("No such key")', "raise X(None)", False),
        ('raise X("No such key", code="ONE")', 'raise X("No such key", code="one")', False),
        ('get("Location", "a b")', 'get("location", "a b")', False),
    ],
)
def test_only_the_words_of_a_message_are_left_out(was: str, now: str, expected: bool) -> None:
    found = Mutant("plugins._plan.x_a__mutmut_1", "not tried", (f"-{was}", f"+{now}"))
    assert found.is_of_words is expected
