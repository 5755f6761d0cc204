# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing and quoting text."""

from __future__ import annotations

import ast
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.keysmith.mongodb.plugins.module_utils._text import (
    creation_time,
    is_ignorable,
    normalize_description,
    quoted,
    to_date,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CI runner", "ci runner"),
        ("STRASSE", "straße"),
        ("key 3", "key  3"),
        ("key 3", " key\t3\r\n"),
        ("key 3", "key\u00a03"),
        ("key 3", "key\u2003\u30003"),
        ("key 3", "key\u28003"),
        ("deploy", "de\u200bploy"),
        ("deploy", "de\u00adploy\ufeff"),
        ("deploy", "\u202edeploy\u202c"),
        ("deploy", "deploy\ufe0f"),
        ("deploy", "deploy\U000e0101"),
        ("deploy", "dep\u034floy\u3164"),
        ("deploy", "\u115fdeploy\u1160\uffa0"),
        ("deploy", "\u200e\u2066deploy\u2069\u200f"),
        ("deploy", "de\u2060pl\u180eoy\u061c"),
        ("key 3", "key\u200b \u00ad3"),
        ("clé", "cle\u200b\u0301"),
        ("deploy", "dep\x08loy\x00"),
        ("deploy", "deploy\ud800"),
        ("ﬁle", "file"),
        ("deploy", "".join(chr(0xFEE0 + ord(char)) for char in "deploy")),
        ("clé", unicodedata.normalize("NFD", "clé")),
        ("①", "1"),
    ],
)
def test_look_alikes_have_one_normal_form(one: str, other: str) -> None:
    assert one != other
    assert normalize_description(one) == normalize_description(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("key 3", "key3"),
        ("key 1", "key 2"),
        ("cle", "clé"),
        ("a-b", "a_b"),
        ("a-b", "a\u2013b"),
        # Similar letters of different scripts are not compatibility forms.
        ("a", "\u0430"),
        ("", "x"),
    ],
)
def test_other_texts_have_different_normal_forms(one: str, other: str) -> None:
    assert normalize_description(one) != normalize_description(other)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key  3", "'key  3'"),
        ("it's", '"it\'s"'),
        ("a\tb\n", r"'a\tb\n'"),
        ("a\u00a0b", r"'a\xa0b'"),
        ("a\u200bb", r"'a\u200bb'"),
        ("a\ufe0fb", r"'a\ufe0fb'"),
        ("a\u00adb\u202e", r"'a\xadb\u202e'"),
        (r"a\b", r"'a\\b'"),
        ("ünïcode ☃", "'ünïcode ☃'"),
        ("", "''"),
        ("a\u3164\uffa0\u2800b", r"'a\u3164\uffa0\u2800b'"),
    ],
)
def test_quoted_text_shows_invisible_characters(text: str, shown: str) -> None:
    assert quoted(text) == shown


@given(st.text())
def test_normal_form_has_no_invisible_characters(text: str) -> None:
    normal = normalize_description(text)
    assert normal == " ".join(normal.split())
    assert not any(map(is_ignorable, normal))


@given(st.text(), st.integers(0, 40))
def test_quoted_text_is_one_line_of_whole_words(text: str, limit: int) -> None:
    shown = quoted(text, limit)
    assert shown.isprintable()
    if shown.endswith("…") and shown != "…" and len(text) > limit:
        assert text.startswith(f"{ast.literal_eval(shown.removesuffix(' …'))} ")


def test_truncates_long_text_at_a_space() -> None:
    assert quoted("first second third", 12) == "'first' …"
    assert quoted("first second", 12) == "'first second'"
    assert quoted("x" * 500, 400) == "…"


@pytest.mark.parametrize(
    ("object_id", "moment"),
    [
        ("6928f1c03d91647abb20e7b9", "2025-11-28T00:50:08Z"),
        ("00000000" + 16 * "f", "1970-01-01T00:00:00Z"),
        # The seconds are unsigned.
        ("80000000" + 16 * "0", "2038-01-19T03:14:08Z"),
        ("ffffffff" + 16 * "0", "2106-02-07T06:28:15Z"),
        ("", None),
        ("6928f1c0", None),
        ("6928F1C03D91647ABB20E7B9", None),
        (24 * "\u0663", None),
        ("mdb_sa_id_6928f1c03d91647abb20e7b9", None),
    ],
)
def test_an_id_contains_the_time_of_its_creation(object_id: str, moment: str | None) -> None:
    assert creation_time(object_id) == moment


def test_dates_are_in_utc_without_fractions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert to_date(1764308123.9) == "2025-11-28T05:35:23Z"
    monkeypatch.undo()
    time.tzset()
