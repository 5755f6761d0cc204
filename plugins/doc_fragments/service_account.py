# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options that identify a service account; mirrors ``SERVICE_ACCOUNT`` of ``_argspec``."""

    DOCUMENTATION = r"""
options:
  service_account_id:
    description:
      - The client ID of the service account to manage, which begins with C(mdb_sa_id_).
      - It is not the account that the task authenticates with. That one is set by O(client_id).
      - Set exactly one of O(service_account_id) and O(name).
    type: str
  name:
    description:
      - The name of the service account to manage, 1 to 64 characters.
      - It is looked up in the full list of the organization's service accounts.
      - Names are not unique. If several accounts have this name, the task fails and lists their
        client IDs.
    type: str
  look_alikes:
    description:
      - What to do if no account has exactly this name, but an account has one that looks like it.
      - Look-alikes differ only in case, whitespace, invisible characters or Unicode compatibility
        forms (NFKC).
      - V(refuse) fails the task and lists the look-alikes. V(ignore) treats them as different
        accounts. An exact match always wins.
    type: str
    choices: [refuse, ignore]
    default: refuse
  allow_own_account:
    description:
      - Whether the task may take access from the service account that it authenticates with.
      - By default such a task fails before any change, in check mode too.
      - An O(access_token) does not show which account it belongs to. Set O(client_id) next to it,
        or this option.
    type: bool
    default: false
notes:
  - Service accounts exist in Atlas and, as a preview, in Cloud Manager. Ops Manager has none.
  - Reading takes the role Organization Read Only. Changes take the role Organization Owner.
"""
