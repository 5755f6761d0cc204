# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make docs` lets pass what comes of having no network, and nothing else."""

from __future__ import annotations

import pytest

from tests.tools.docs_warnings import unexpected

OURS = "ansible_collections.keysmith.mongodb"
BUILTIN = "ansible_collections.ansible.builtin"


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: failed to reach any of the inventories with the following issues:",
        "/x/a.rst:11: WARNING: undefined label: 'ansible_configuration_settings' [ref.ref]",
        "/x/a.rst:11: WARNING: undefined label: 'common_return_values' [ref.ref]",
        f"/x/a.rst:2: WARNING: undefined label: '{BUILTIN}.uri_module' [ref.ref]",
        "build succeeded, 11 warnings.",
    ],
)
def test_what_a_network_would_mend_is_expected(line: str) -> None:
    assert unexpected(f"reading sources\n{line}\n") == []


@pytest.mark.parametrize(
    "line",
    [
        f"/x/a.rst:11: WARNING: undefined label: '{OURS}.docsite.nowhere' [ref.ref]",
        f"/x/a.rst:11: WARNING: undefined label: '{OURS}.nosuch_module' [ref.ref]",
        "/x/a.rst:11: WARNING: undefined label: 'common_return_value' [ref.ref]",
        "/x/a.rst:11: WARNING: Inline emphasis start-string without end-string. [docutils]",
        "/x/a.rst:3: ERROR: Unknown directive type 'lst-table'. [docutils]",
        "/x/a.rst: WARNING: document isn't included in any toctree [toc.not_included]",
    ],
)
def test_what_is_wrong_in_a_page_is_told(line: str) -> None:
    assert unexpected(f"reading sources\n  {line}\ndone\n") == [line]
