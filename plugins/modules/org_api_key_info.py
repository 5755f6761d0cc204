#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: org_api_key_info
short_description: List the programmatic API keys of an organization
version_added: 1.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Lists the programmatic API keys of an organization, in MongoDB Atlas, Cloud Manager or Ops
    Manager. The result includes their roles, their projects and, on request, their access lists.
  - A key must match all filters that are set. An empty result is not an error.
  - The module reads every page of the list. If it cannot read the whole list, the task fails.
  - Private keys are never returned, not even masked.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
  - keysmith.mongodb.look_alikes
attributes:
  check_mode:
    description: The module only reads, so check mode makes no difference.
    support: full
  diff_mode:
    description: The module only reads, so there is no diff.
    support: N/A
options:
  api_user_id:
    description:
      - The ID of the only key to return, 24 lowercase hexadecimal digits. The APIs call it
        C(apiUserId) and C(API-KEY-ID).
      - The module then reads only this key, not the list, which is faster.
    type: str
    aliases: [id]
  public_key:
    description:
      - The public key of the only key to return, 8 visible ASCII characters.
      - If no key has it and the API does not return the public keys of all keys, the task fails.
    type: str
  description:
    description:
      - The exact description of the keys to return. Descriptions are not unique.
    type: str
    aliases: [desc]
  description_match:
    description:
      - A pattern that the whole description of a key must match. It is case-sensitive.
      - V(*) matches any text, V(?) any single character, V([ab]) one of these characters, and
        V([!ab]) any other.
      - A key without a description matches no pattern. The task warns about a key that is left out
        only for this reason.
    type: str
  roles:
    description:
      - Roles in the organization, such as C(ORG_OWNER). A key must have at least one of them.
      - An empty list matches no key.
      - Roles in projects, which begin with C(GROUP_), are rejected. Use O(project_id) instead.
    type: list
    elements: str
  project_id:
    description:
      - The ID of a project that the keys must be assigned to, 24 lowercase hexadecimal digits.
    type: str
    aliases: [group_id]
  access_list:
    description:
      - Whether to return the access list of each key.
      - This takes one more request per key, up to 8 at the same time. Set filters to reduce the
        number of keys.
    type: bool
    default: false
  time_limit:
    description:
      - The maximum number of seconds that the task may take, more than 0 and up to 86400. It then
        stops waiting and sends no more requests. Requests in progress are completed.
      - The task then fails with C(error.type=limit) and returns no keys, because an incomplete list
        does not show what is missing.
      - Reading the access lists of many keys may exceed a rate limit, which is refilled about once
        a minute.
    type: float
    version_added: 3.0.0
seealso:
  - module: keysmith.mongodb.org_api_key
  - module: keysmith.mongodb.org_info
  - plugin: keysmith.mongodb.org_api_key_findings
    plugin_type: filter
  - name: Atlas Administration API, programmatic API keys
    description: The API of O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-programmatic-api-keys
  - name: Ops Manager, organization API keys
    description: The API of O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/api-keys/org/
notes:
  - The signing credential needs the role Organization Member (C(ORG_MEMBER)). To read the access
    list of another key, it needs Organization Owner (C(ORG_OWNER)).
  - The platforms return the same fields. Ops Manager before version 5.0 calls access lists
    whitelists. The module uses C(/whitelist) if the path C(/accessList) does not exist.
"""

EXAMPLES = r"""
- name: List all API keys of an organization
  keysmith.mongodb.org_api_key_info:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
  register: found

- name: Show the owner keys
  ansible.builtin.debug:
    msg: "{{ item.id }} {{ item.description }}"
  loop: "{{ found.org_api_keys }}"
  loop_control:
    label: "{{ item.id }}"
  when: "'ORG_OWNER' in item.roles"

- name: List powerful keys with their access lists
  keysmith.mongodb.org_api_key_info:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    roles: [ORG_OWNER, ORG_GROUP_CREATOR]
    access_list: true
  register: powerful

- name: Show the keys that work from any address
  ansible.builtin.debug:
    msg: "{{ powerful.org_api_keys | rejectattr('access_list') | map(attribute='id') }}"

- name: Find leftover CI keys in a project of Ops Manager
  keysmith.mongodb.org_api_key_info:
    platform: ops_manager
    base_url: "{{ ops_manager_url }}"
    ca_path: "{{ ops_manager_ca }}"
    api_public_key: "{{ ops_manager_public_key }}"
    api_private_key: "{{ ops_manager_private_key }}"
    org_id: "{{ ops_manager_org_id }}"
    project_id: "{{ ops_manager_project_id }}"
    description_match: "ci-*"
"""

RETURN = r"""
org_api_keys:
  description: The keys, sorted by description and then by ID.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 6718e34b3d91647abb20e7b8
      public_key: zmmrboas
      created_at: "2024-10-23T11:51:07Z"
      description: backup of the billing cluster
      roles: [ORG_MEMBER]
      projects:
        - project_id: 5e2211c17a3e5a48f5497de3
          roles: [GROUP_READ_ONLY]
      access_list: [192.0.2.7, 198.51.100.0/24]
  contains:
    id:
      description: The ID of the key.
      returned: success
      type: str
      sample: 6718e34b3d91647abb20e7b8
    public_key:
      description: The public key. V(none) if the API does not return it.
      returned: success
      type: str
      sample: zmmrboas
    created_at:
      description:
        - When the key was created, in UTC. The API does not return it. The module derives it from
          the key's ID, whose first 8 digits encode it in seconds since 1970.
      returned: success
      type: str
      sample: "2024-10-23T11:51:07Z"
      version_added: 3.1.0
    description:
      description: The description of the key, an empty string if it has none.
      returned: success
      type: str
      sample: backup of the billing cluster
    roles:
      description: The key's roles in the organization, sorted.
      returned: success
      type: list
      elements: str
      sample: [ORG_MEMBER]
    projects:
      description: The projects that the key is assigned to, sorted by ID.
      returned: success
      type: list
      elements: dict
      sample:
        - project_id: 5e2211c17a3e5a48f5497de3
          roles: [GROUP_READ_ONLY]
      contains:
        project_id:
          description: The ID of the project. The APIs also call it group.
          returned: success
          type: str
          sample: 5e2211c17a3e5a48f5497de3
        roles:
          description: The key's roles in the project, sorted.
          returned: success
          type: list
          elements: str
          sample: [GROUP_READ_ONLY]
    access_list:
      description:
        - The addresses and CIDR blocks that the key works from, IPv4 first, in numerical order. A
          single address has no prefix length.
        - If the list is empty, the key works from any address, unless the organization requires
          access lists.
      returned: when O(access_list=true)
      type: list
      elements: str
      sample: [192.0.2.7, 198.51.100.0/24]
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
    path: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys
"""

# Must come first: a Python that is too old cannot import the rest.
from ansible_collections.keysmith.mongodb.plugins.module_utils import _python  # pylint: disable=unused-import  # noqa: F401  isort: skip

from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _module,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk import (
    _selection,
    _workers,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CancelledError,
    MissingError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _key_access_lists,
    _org_api_keys,
    _resource,
)

# Concurrent requests for access lists.
THREADS = 8

ARGUMENT_SPEC: _argspec.Spec = {
    **_argspec.KEY,
    "description_match": {"type": "str"},
    "roles": {"type": "list", "elements": "str"},
    "project_id": {"type": "str", "aliases": ["group_id"]},
    "access_list": {"type": "bool", "default": False},
    **_argspec.TIME_LIMIT,
}
FILTERS = (
    "api_user_id",
    "public_key",
    "description",
    "description_match",
    "roles",
    "project_id",
)


def check(params: Mapping[str, Any]) -> None:
    _argspec.check_org_role_names(params["roles"] or [])


def run(params: Mapping[str, Any], api: Client, _check_mode: bool) -> dict[str, Any]:
    org_id, look_alikes = params["org_id"], params["look_alikes"]
    selection, found = filters(params), find(params, api)
    warnings: list[str] = []
    # One key is not enough to detect look-alikes.
    if not params["api_user_id"] and not params["public_key"]:
        _selection.check_provable(selection, org_id, found, look_alikes=look_alikes)
        warnings = _selection.pattern_warnings(selection, org_id, found, look_alikes=look_alikes)
        undescribed = [key for key in found if selection.would_fit_described(key)]
        warnings += _selection.no_description_warnings(org_id, undescribed)
    keys = [key for key in found if selection.fits(key)]
    keys.sort(key=lambda key: (key.description, key.id))
    if params["access_list"]:
        results = with_access_lists(api, org_id, keys)
    else:
        results = [key.result() for key in keys]
    return {"changed": False, "org_api_keys": results, "warnings": warnings}


def find(params: Mapping[str, Any], api: Client) -> list[_org_api_keys.OrgApiKey]:
    """Return the key that an ID or a public key identifies, otherwise all keys."""
    if not params["api_user_id"] and not params["public_key"]:
        return _resource.list_all(api, _org_api_keys.API_KEYS.of(params["org_id"]))
    key = _org_api_keys.find(api, params["org_id"], params)
    found = [key] if key else []
    if params["public_key"]:
        _org_api_keys.check_hidden_public_keys(
            params["org_id"],
            found,
            [params["public_key"]],
            "Use api_user_id to identify the key.",
        )
    return found


def filters(params: Mapping[str, Any]) -> _selection.Selection:
    def one(name: str) -> Optional[list[str]]:
        return None if params[name] is None else [params[name]]

    return _selection.Selection(
        public_keys=one("public_key"),
        descriptions=one("description"),
        description_match=one("description_match"),
        roles=params["roles"],
        project_id=params["project_id"],
    )


def with_access_lists(
    api: Client, org_id: str, keys: list[_org_api_keys.OrgApiKey]
) -> list[dict[str, Any]]:
    """Return the results with access lists, without keys that no longer exist."""
    read: list[str] = []

    def result(key: _org_api_keys.OrgApiKey) -> Optional[dict[str, Any]]:
        try:
            entries = _access_lists.read(api, _key_access_lists.API_KEY_LISTS, org_id, key).now
        except MissingError:
            return None
        read.append(key.id)
        return {**key.result(), "access_list": _access_lists.in_order(entries)}

    try:
        return [found for found in _workers.map_concurrent(result, keys, threads=THREADS) if found]
    except CancelledError as error:
        raise error.with_context(
            state_after=f"The access lists of {len(read)} of {len(keys)} keys were read. No keys "
            "are returned, because an incomplete list does not show what is missing."
        ) from None


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, filters=FILTERS)


if __name__ == "__main__":
    main()
