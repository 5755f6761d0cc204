# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: visible
short_description: Show characters that cannot be seen
version_added: 1.2.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Replaces each character that cannot be seen by its number, such as C(⟨U+202E⟩), so that a
    text looks like what it is and does nothing to the page, the table or the terminal it is put
    into.
  - These are control characters, line breaks among them, marks that turn the direction of writing,
    characters without width, blanks other than the usual one, and what Unicode does not know or
    leaves to private use.
  - It escapes nothing. Use the filter P(ansible.builtin.to_json#filter) or Jinja's C(e) for that.
options:
  _input:
    description: The text.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show descriptions that nobody has checked
  ansible.builtin.debug:
    msg: "{{ found.org_api_keys | map(attribute='description') | map('keysmith.mongodb.visible') }}"
"""

RETURN = r"""
_value:
  description: The text, of printable characters only.
  type: str
  sample: invoice⟨U+202E⟩fdp.exe
"""

from collections.abc import Callable
from typing import Any


def visible(text: str) -> str:
    """Replace each unprintable character with its number."""
    return "".join(char if char.isprintable() else f"⟨U+{ord(char):04X}⟩" for char in str(text))


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"visible": visible}
