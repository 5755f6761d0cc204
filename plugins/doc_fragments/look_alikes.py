# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The option of modules that identify keys by description; mirrors ``LOOK_ALIKES``."""

    DOCUMENTATION = r"""
options:
  look_alikes:
    description:
      - What to do if no key has exactly the given description, but one looks like it.
      - Look-alikes differ only in case, whitespace, invisible characters or Unicode compatibility
        forms (NFKC).
      - V(refuse) fails the task and lists the look-alikes.
      - V(ignore) treats them as different keys, for organizations that have both C(CI) and C(ci).
      - An exact match always wins.
    type: str
    choices: [refuse, ignore]
    default: refuse
    version_added: 2.0.0
"""
