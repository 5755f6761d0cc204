#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: service_account_access_list
short_description: Manage the IP access list of a service account
version_added: 3.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Adds entries to the API access list of a service account, or removes them. The API accepts
    requests from the account only if they come from an address on this list.
  - An empty list allows every address, unless the organization requires access lists.
  - The API does not let an account remove the address that its own request comes from.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
  - keysmith.mongodb.service_account
options:
  entries:
    description:
      - IP addresses and CIDR blocks, such as V(192.0.2.7) and V(2001:db8::/32).
      - A list can have at most 200 entries. If it would have more, the task fails and changes
        nothing.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(present) adds the entries that are not on the list. V(absent) removes the entries that
        are.
      - If the account does not exist, V(present) fails and V(absent) changes nothing.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - Whether to remove all other entries. Rejected with O(state=absent).
      - Missing entries are added before other entries are removed. In between, the list can have at
        most 200 entries.
    type: bool
    default: false
notes:
  - The signing credential needs the role Organization Owner (C(ORG_OWNER)). In check mode, or if
    the task changes nothing, Organization Read Only (C(ORG_READ_ONLY)) is enough.
  - The module warns if the list becomes empty, or if its entries together allow every IPv4 or IPv6
    address.
seealso:
  - name: Atlas Administration API, service accounts
    description: The API that the module calls.
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-service-accounts
"""

EXAMPLES = r"""
- name: Restrict a service account to two networks
  keysmith.mongodb.service_account_access_list:
    org_id: "{{ org_id }}"
    service_account_id: "{{ service_account_id }}"
    entries: [192.0.2.0/24, "2001:db8::/32"]
    purge: true

- name: Remove an address from the access list
  keysmith.mongodb.service_account_access_list:
    org_id: "{{ org_id }}"
    service_account_id: "{{ service_account_id }}"
    entries: ["{{ old_address }}"]
    state: absent
"""

RETURN = r"""
service_account_access_list:
  description:
    - The access list after the task. In check mode, the list as it would be.
    - With O(state=absent), V(none) if the account does not exist.
  returned: success, and if a task fails after a change
  type: dict
  sample:
    client_id: mdb_sa_id_6718e34b3d91647abb20e7b8
    entries: [192.0.2.0/24]
  contains:
    client_id:
      description: The client ID of the account.
      returned: success
      type: str
      sample: mdb_sa_id_6718e34b3d91647abb20e7b8
    entries:
      description: The entries, IPv4 first, in numerical order.
      returned: success
      type: list
      elements: str
      sample: [192.0.2.0/24]
error:
  description:
    - Why the task failed, for C(rescue) blocks. RV(keysmith.mongodb.org_api_key#module:error)
      describes the fields.
  returned: failure
  type: dict
  sample:
    type: api
    status: 401
    code: USER_UNAUTHORIZED
    reason: Unauthorized
    detail: Current user is not authorized to perform this action.
    parameters: []
    method: GET
    path: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/serviceAccounts
"""

# Must come first: a Python that is too old cannot import the rest.
from ansible_collections.keysmith.mongodb.plugins.module_utils import _python  # pylint: disable=unused-import  # noqa: F401  isort: skip

from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _module,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_list_task,
    _project_service_accounts,
    _service_accounts,
)

ARGUMENT_SPEC: _argspec.Spec = {
    **_argspec.SERVICE_ACCOUNT,
    "entries": {"type": "list", "elements": "str", "required": True},
    **_argspec.STATE,
    "purge": {"type": "bool", "default": False},
}


def check(params: Mapping[str, Any]) -> None:
    """Refuse parameters that do not identify one account, and invalid or too many entries."""
    _argspec.check_account(params)
    entries = _access_list_task.goal_of(params).entries
    most = _project_service_accounts.ACCOUNT_LISTS.max_entries or 0
    if params["state"] == "present" and len(entries) > most:
        raise OptionError(
            f"entries has {len(entries)} entries; an access list has at most {most}",
            hint="Use CIDR blocks that cover several addresses.",
        )


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    lists = _project_service_accounts.ACCOUNT_LISTS
    find = partial(_service_accounts.get, api, params)
    return _access_list_task.ensure(api, lists, params, find, check_mode)


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, **_argspec.ONE_ACCOUNT)


if __name__ == "__main__":
    main()
