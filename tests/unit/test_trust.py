# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/tools/trust.py: what it tells of a run's figures."""

from __future__ import annotations

from tests.tools import trust

PRISM = f"requests held against {trust.OPTIONAL[0]} by prism"
SUMS = {"peers": {PRISM: 80, "tasks through proxies": 16}, "death": {"keys that were lost": 0}}


def test_a_run_that_has_every_figure_lacks_none() -> None:
    assert trust.lacking(SUMS, trust.render(SUMS)) == []
    assert trust.lacking({**SUMS, "secrets": {"runs": 1}}, trust.render(SUMS)) == []


def test_a_figure_that_a_run_lacks_is_told() -> None:
    table = trust.render({**SUMS, "hostile": {"values": 12_345}})
    assert trust.lacking(SUMS, table) == ["hostile: values"]
    assert trust.lacking({"death": SUMS["death"]}, table) == [
        "peers: tasks through proxies",
        "hostile: values",
    ]


def test_a_figure_of_a_specification_that_is_not_there_is_not_missed() -> None:
    sums = {**SUMS, "peers": {"tasks through proxies": 16}}
    assert trust.lacking(sums, trust.render(SUMS)) == []


def test_the_published_table_is_read() -> None:
    assert len(trust.lacking({}, trust.PUBLISHED.read_text("utf-8"))) > 40
