#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: org_info
short_description: List the organizations a credential can see
version_added: 1.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Lists the organizations that a credential can see, in MongoDB Atlas, Cloud Manager or Ops
    Manager, with their ids and names. This is where the O(org_id) of other modules comes from.
  - An API key or a service account belongs to one organization, and mostly sees no other.
  - Every page of the listing is read, and nothing is changed. Organizations that the API calls
    deleted are left out.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
attributes:
  check_mode:
    description: Only reads, and so does the same in check mode.
    support: full
  diff_mode:
    description: Only reads, and so has no diff.
    support: N/A
options:
  name:
    description:
      - Return only organizations with exactly this name, in upper and lower case too. Names are
        not unique.
    type: str
  org_id:
    description:
      - Return only the organization with this id, 24 hexadecimal digits.
      - It is taken from the task and from C(module_defaults) only. Other than in the other modules,
        no environment variable stands in for it, because this module finds organizations out.
    type: str
seealso:
  - module: keysmith.mongodb.org_api_key_info
  - name: Atlas Administration API, organizations
    description: The API that is called for O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-organizations
  - name: Ops Manager, organizations
    description: The API that is called for O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/organizations/
"""

EXAMPLES = r"""
- name: Find out which organization a key belongs to
  keysmith.mongodb.org_info:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
  register: found

- name: Show the ids
  ansible.builtin.debug:
    msg: "{{ found.orgs | map(attribute='id') | join(', ') }}"

- name: Find an organization of Ops Manager by its name
  keysmith.mongodb.org_info:
    platform: ops_manager
    base_url: "{{ ops_manager_url }}"
    ca_path: "{{ ops_manager_ca }}"
    api_public_key: "{{ ops_manager_public_key }}"
    api_private_key: "{{ ops_manager_private_key }}"
    name: "{{ ops_manager_org_name }}"
  register: found

- name: Go on only where exactly one has this name
  ansible.builtin.assert:
    that: found.orgs | length == 1
"""

RETURN = r"""
orgs:
  description: The organizations, sorted by name and then by id; an empty list when there are none.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 5980cfdf0b6d97029d82f86e
      name: Example Inc.
  contains:
    id:
      description: The id of the organization.
      returned: success
      type: str
      sample: 5980cfdf0b6d97029d82f86e
    name:
      description: The name of the organization.
      returned: success
      type: str
      sample: Example Inc.
error:
  description: What went wrong, for C(rescue) blocks. A value that is not known is V(none).
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
  contains:
    type:
      description:
        - The kind of failure, for programs. One of C(own_credential), C(ambiguous), C(missing),
          C(orphan), C(options), C(api), C(transport), C(unexpected_response), C(timeout),
          C(cancelled), C(limit), C(guard) and C(internal).
      returned: failure
      type: str
      sample: api
      version_added: 2.0.0
    status:
      description: The HTTP status, V(none) where there was no answer.
      returned: failure
      type: int
      sample: 403
    code:
      description: The API's own error code.
      returned: failure
      type: str
      sample: IP_ADDRESS_NOT_ON_ACCESS_LIST
    reason:
      description: The HTTP reason phrase, or what broke where there was no answer.
      returned: failure
      type: str
      sample: Forbidden
    detail:
      description: The API's own words.
      returned: failure
      type: str
      sample: IP address 203.0.113.7 is not allowed to access this resource.
    parameters:
      description: What the API's words speak of, such as an id or a path.
      returned: failure
      type: list
      elements: raw
      sample: [203.0.113.7]
    method:
      description: The method of the request that failed.
      returned: failure
      type: str
      sample: GET
    path:
      description: The path of the request that failed.
      returned: failure
      type: str
      sample: /api/atlas/v2/orgs
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
