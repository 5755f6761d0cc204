# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The marks of rotations: text that counts only if its HMAC verifies."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import _marks
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation._marks import (
    PHASES,
    Mark,
    RawMark,
    describe,
    key_of,
    read,
    tag_of,
    verify,
)

SECRET = "canary-of-the-marks-0123456789"
KEY = key_of(SECRET)
ORG, OLD, NEW = "5a" + "0" * 22, "5b" + "0" * 22, "5c" + "0" * 22
OTHER = "5d" + "0" * 22
MARK = Mark("issued", ORG, OLD, NEW, 1_764_308_123, b"12345678", "nightly backup")

marks = st.builds(
    Mark,
    phase=st.sampled_from(PHASES),
    org_id=st.just(ORG),
    old_id=st.just(OLD),
    new_id=st.just(NEW),
    time=st.integers(0, 253_402_300_799),
    tag=st.binary(min_size=8, max_size=8),
    base=st.text(min_size=1, max_size=148),
).map(lambda mark: replace(mark, new_id=None) if mark.phase == "creating" else mark)


def raw(description: str) -> RawMark:
    found = read(description)
    assert found is not None
    return found


@given(marks)
def test_a_written_mark_is_read_and_verified(mark: Mark) -> None:
    text = describe(mark, KEY)
    assert len(text) <= len(mark.base) + _marks.LENGTH
    assert verify(raw(text), KEY, ORG, NEW) == mark


def test_a_mark_of_another_release_is_verified() -> None:
    """A task may continue a rotation that a task of an earlier release started."""
    text = (
        f"nightly backup (successor of {OLD}: issued 20251128T053523Z "
        "1.MTIzNDU2NzhtxbqoY4qB5z9aC85XCZAv)"
    )
    key = key_of(SECRET)
    assert verify(raw(text), key, ORG, NEW) == MARK
    assert tag_of(key, "a", "b").hex() == "72804ae08bd467aa"


def test_no_mark_is_longer_than_stated() -> None:
    longest = max(len(describe(replace(MARK, phase=phase), KEY)) for phase in PHASES)
    assert longest - len(MARK.base) == _marks.LENGTH == 102


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "verified"},
        {"phase": "created"},
        {"org_id": OTHER},
        {"old_id": OTHER},
        {"new_id": OTHER},
        {"new_id": None},
        {"time": MARK.time + 1},
        {"tag": b"12345679"},
        {"base": "nightly backup "},
    ],
    ids=str,
)
def test_every_field_is_authenticated(change: dict[str, Any]) -> None:
    other = replace(MARK, **change)
    mac = raw(describe(MARK, KEY)).mac
    assert raw(describe(other, KEY)).mac != mac
    forged = RawMark(other.base, other.old_id, other.phase, other.time, other.tag, mac)
    assert verify(forged, KEY, other.org_id, other.new_id or OTHER) is None


def test_a_mark_verifies_only_for_its_key_organization_and_carrier() -> None:
    found = raw(describe(MARK, KEY))
    assert verify(found, KEY, ORG, NEW) == MARK
    assert verify(found, key_of("another secret of someone"), ORG, NEW) is None
    assert verify(found, KEY, OTHER, NEW) is None
    assert verify(found, KEY, ORG, OTHER) is None


def test_the_mark_of_a_creation_verifies_on_any_carrier() -> None:
    creating = replace(MARK, phase="creating", new_id=None)
    assert verify(raw(describe(creating, KEY)), KEY, ORG, OTHER) == creating


def test_fields_cannot_run_together() -> None:
    macs = {_marks._hmac(KEY, *parts) for parts in ((b"ab", b"c"), (b"a", b"bc"), (b"abc", b""))}
    assert len(macs) == 3


def test_a_mac_has_16_bytes_and_a_tag_has_8() -> None:
    assert _marks.MAC_SIZE * 8 >= 128
    found = raw(describe(MARK, KEY))
    assert (len(found.tag), len(found.mac)) == (8, 16)


@pytest.mark.parametrize("bit", [0, 63, 127])
def test_each_bit_of_the_mac_counts(bit: int) -> None:
    found = raw(describe(MARK, KEY))
    mac = bytearray(found.mac)
    mac[bit // 8] ^= 1 << bit % 8
    assert verify(replace(found, mac=bytes(mac)), KEY, ORG, NEW) is None


@pytest.mark.parametrize(
    "rest",
    ["created", "storing", "old until 2020-01-01T00:00:00Z", "", "anything at all"],
)
def test_texts_of_other_versions_look_like_marks_and_never_verify(rest: str) -> None:
    found = raw(f"nightly backup (successor of {OLD}: {rest})")
    assert (found.base, found.old_id, found.phase) == ("nightly backup", OLD, "")
    assert verify(found, KEY, ORG, NEW) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nightly backup",
        f"(successor of {OLD}: created)",
        f"x (successor of {OLD[:-1]}: created)",
        f"x (successor of {OLD.upper()}: created)",
        f"x (successor of {OLD}: created) ",
        f"x (successor of {OLD}: created)\n",
        f"x (successor of {OLD}: (created))",
        f"x (Successor of {OLD}: created)",
    ],
)
def test_other_texts_are_not_marks(text: str) -> None:
    assert read(text) is None


def test_the_last_mark_counts() -> None:
    inner = describe(MARK, KEY)
    outer = replace(MARK, base=inner, old_id=OTHER)
    assert verify(raw(describe(outer, KEY)), KEY, ORG, NEW) == outer


SHAPED = st.builds(
    "{} (successor of {}: {} {} 1.{})".format,
    st.text(max_size=8),
    st.text("0123456789abcdef", min_size=23, max_size=25),
    st.sampled_from([*PHASES, "old until"]),
    st.from_regex(r"[0-9]{8}T[0-9]{6}Z", fullmatch=True),
    st.text(string.ascii_letters + string.digits + "-_=", min_size=31, max_size=33),
)


def test_a_lone_surrogate_is_accepted() -> None:
    mark = replace(MARK, base="\ud800")
    assert verify(raw(describe(mark, KEY)), KEY, ORG, NEW) == mark
    assert tag_of(KEY, "\ud800")


@given(st.one_of(st.text(), SHAPED))
def test_any_text_is_read_without_an_error(text: str) -> None:
    found = read(text)
    assert found is None or verify(found, KEY, ORG, NEW) is None


@pytest.mark.parametrize("moment", ["99999999T999999Z", "00000000T000000Z", "20261399T000000Z"])
def test_marks_with_invalid_times_do_not_count(moment: str) -> None:
    text = describe(MARK, KEY)
    found = raw(text.replace("20251128T053523Z", moment))
    assert found.phase == ""


def test_the_key_of_marks_does_not_show_the_secret() -> None:
    secret = "ca11ab1e-0000-4000-8000-0000000000a1"
    assert secret.encode() not in key_of(secret)
    assert key_of(secret) != key_of(secret + " ")
    assert len(key_of(secret)) == 32
    # The environment may hold bytes that are not valid text.
    assert key_of("\udcff")


def test_a_tag_depends_on_every_fact_and_on_the_key() -> None:
    tags = {
        tag_of(KEY, "a", "b"),
        tag_of(KEY, "ab"),
        tag_of(KEY, "b", "a"),
        tag_of(KEY, "a", "b", ""),
        tag_of(key_of("another secret of someone"), "a", "b"),
    }
    assert len(tags) == 5
    assert tag_of(KEY, "a", "b") == tag_of(KEY, "a", "b")
