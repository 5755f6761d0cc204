#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: org_info
short_description: List the organizations that a credential can access
version_added: 1.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Lists the organizations that a credential can access, in MongoDB Atlas, Cloud Manager or Ops
    Manager, with their IDs and names.
  - Use it to test a connection, and to find the O(org_id) for other modules.
  - An API key or a service account belongs to one organization and usually cannot see others.
  - The module reads every page of the list. It leaves out organizations that the API marks as
    deleted.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
attributes:
  check_mode:
    description: The module only reads, so check mode makes no difference.
    support: full
  diff_mode:
    description: The module only reads, so there is no diff.
    support: N/A
options:
  name:
    description:
      - The exact name of the organizations to return. The match is case-sensitive. Names are not
        unique.
    type: str
  org_id:
    description:
      - The ID of the only organization to return, 24 lowercase hexadecimal digits.
      - Unlike in the other modules, the environment variables for the organization ID are ignored,
        because this module is used to find it. A value in C(module_defaults) is used.
    type: str
seealso:
  - module: keysmith.mongodb.org_api_key_info
  - name: Atlas Administration API, organizations
    description: The API of O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-organizations
  - name: Ops Manager, organizations
    description: The API of O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/organizations/
notes:
  - The signing credential needs the role Organization Member (C(ORG_MEMBER)).
  - All platforms return the same fields.
"""

EXAMPLES = r"""
- name: Find the organization that a key belongs to
  keysmith.mongodb.org_info:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
  register: found

- name: Show the IDs
  ansible.builtin.debug:
    msg: "{{ found.orgs | map(attribute='id') | join(', ') }}"

- name: Find an organization of Ops Manager by name
  keysmith.mongodb.org_info:
    platform: ops_manager
    base_url: "{{ ops_manager_url }}"
    ca_path: "{{ ops_manager_ca }}"
    api_public_key: "{{ ops_manager_public_key }}"
    api_private_key: "{{ ops_manager_private_key }}"
    name: "{{ ops_manager_org_name }}"
  register: found

- name: Assert that exactly one organization has this name
  ansible.builtin.assert:
    that: found.orgs | length == 1
"""

RETURN = r"""
orgs:
  description: The organizations, sorted by name and then by ID.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 5980cfdf0b6d97029d82f86e
      name: Example Inc.
  contains:
    id:
      description: The ID of the organization.
      returned: success
      type: str
      sample: 5980cfdf0b6d97029d82f86e
    name:
      description: The name of the organization.
      returned: success
      type: str
      sample: Example Inc.
error:
  description:
    - Why the task failed, for C(rescue) blocks. RV(keysmith.mongodb.org_api_key#module:error)
      describes the fields.
  returned: failure
  type: dict
  sample:
    type: api
    status: 403
    code: IP_ADDRESS_NOT_ON_ACCESS_LIST
    reason: Forbidden
    detail: IP address 203.0.113.7 is not allowed to access this resource.
    parameters: [203.0.113.7]
    method: GET
    path: /api/atlas/v2/orgs
"""

# Must come first: a Python that is too old cannot import the rest.
from ansible_collections.keysmith.mongodb.plugins.module_utils import _python  # pylint: disable=unused-import  # noqa: F401  isort: skip

from collections.abc import Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import _module
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _orgs

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "name": {"type": "str"},
    # Here, this connection option is a filter.
    "org_id": {"type": "str"},
}


def run(params: Mapping[str, Any], api: Client, _check_mode: bool) -> dict[str, Any]:
    found = _orgs.select(_orgs.list_all(api), name=params["name"], org_id=params["task_org_id"])
    return {"changed": False, "orgs": [org.result() for org in found]}


def main() -> None:
    _module.execute(ARGUMENT_SPEC, lambda _params: None, run, filters=("name", "org_id"))


if __name__ == "__main__":
    main()
