# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of tests/tools/english.py."""

from __future__ import annotations

import pytest

from tests.tools import english


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("x is no id.", "x is no id"),
        ("Each has a file of its own.", "of its own"),
        ("It has\n    # to wait.", "has to"),
        ('"is sent at "\n    "once"', "at once"),
        ("The API answered 401.", "API answered"),
    ],
)
def test_finds_a_phrase(text: str, phrase: str) -> None:
    assert [found for _line, found, _advice in english.found_in(text)] == [phrase]


@pytest.mark.parametrize(
    "text",
    [
        "If there\n    is no key, it is no longer listed.",
        "From an address of its own network.",
        "This option is meant for tests.",
        "Answer the question.",
    ],
)
def test_accepts_correct_text(text: str) -> None:
    assert list(english.found_in(text)) == []


def test_reports_the_line() -> None:
    ((line, _phrase, _advice),) = english.found_in("first\nsecond\nthis shall not pass")
    assert line == 3


def test_accepts_allowed_phrases() -> None:
    assert list(english.found_in("It is over.", ("is over",))) == []
