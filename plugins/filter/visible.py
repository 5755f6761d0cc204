# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: visible
short_description: Make invisible characters visible
version_added: 1.2.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Replaces each non-printable character with its code point, such as C(⟨U+202E⟩). The result
    cannot change how a page, a table or a terminal displays other text.
  - This includes control characters, line breaks, marks that change the text direction, and
    zero-width characters. It also includes all spaces except the ASCII space, and unassigned or
    private-use code points.
  - The filter does not escape HTML or JSON. Use P(ansible.builtin.to_json#filter) or Jinja's C(e)
    for that.
options:
  _input:
    description: The text.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show descriptions from an untrusted source
  ansible.builtin.debug:
    msg: "{{ found.org_api_keys | map(attribute='description') | map('keysmith.mongodb.visible') }}"
"""

RETURN = r"""
_value:
  description: The text with printable characters only.
  type: str
  sample: invoice⟨U+202E⟩fdp.exe
"""

from collections.abc import Callable
from typing import Any


def visible(text: str) -> str:
    """Replace each non-printable character with its code point."""
    return "".join(char if char.isprintable() else f"⟨U+{ord(char):04X}⟩" for char in str(text))


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"visible": visible}
