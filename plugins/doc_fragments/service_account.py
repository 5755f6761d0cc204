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
      - The client ID of the service account to manage. It consists of C(mdb_sa_id_) and
        24 hexadecimal digits.
      - To set the account that the task authenticates with, use O(client_id) instead.
      - To identify the account, set exactly one of O(service_account_id) and O(name).
    type: str
  name:
    description:
      - The name of the service account to manage. The module looks it up in the full list of the
        organization's service accounts.
      - Names are not unique. If several accounts have this name, the task changes nothing and lists
        their client IDs in the error.
    type: str
  look_alikes:
    description:
      - What to do if no account has exactly this O(name), but one has a name that looks like it.
      - Look-alikes differ only in case, whitespace, invisible characters or Unicode compatibility
        forms (NFKC).
      - V(refuse) fails the task and lists the look-alikes. V(ignore) treats them as different
        accounts. An exact match always wins.
    type: str
    choices: [refuse, ignore]
    default: refuse
  allow_own_account:
    description:
      - Whether the task may reduce the access of its signing credential, if that is a service
        account. By default, such a task fails, even in check mode, and changes nothing.
      - An O(access_token) does not show which account it belongs to. To identify that account, set
        O(client_id) as well. Otherwise, a task with a token needs this option for every change of
        this kind.
    type: bool
    default: false
notes:
  - Works with Atlas and with the preview of service accounts in Cloud Manager. Ops Manager has no
    service accounts.
  - Tested against an emulator and the public specification of Atlas, not against the real API.
"""
