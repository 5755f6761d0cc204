# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The attributes that all modules share."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action_group:
    description: Set the connection once, with C(group/keysmith.mongodb.all) in C(module_defaults).
    support: full
    membership: [keysmith.mongodb.all]
  check_mode:
    description: In check mode, writes nothing and reports the same change and diff as a real run.
    support: full
  diff_mode:
    description: In diff mode, shows the writable fields before and after the change.
    support: full
  idempotent:
    description: Changes nothing when run a second time with the same options.
    support: full
"""
