#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: org_api_key_access_list
short_description: Manage the IP access list of a programmatic API key
version_added: 1.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Adds or removes entries of the access list of an organization's programmatic API key, or sets
    the whole list. Works with MongoDB Atlas, Cloud Manager and Ops Manager.
  - The API accepts a key's requests only from addresses on its access list. An empty list allows
    every address. If the organization requires access lists, an empty list allows none.
  - Missing entries are added in one request, before any are removed, so that the key never loses
    access in between.
  - Do not confuse this list with the IP access list of an Atlas project, which allows clients to
    connect to its clusters.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
  - keysmith.mongodb.look_alikes
options:
  api_user_id:
    description:
      - The ID of the key, 24 lowercase hexadecimal digits. The APIs call it C(apiUserId) and
        C(API-KEY-ID).
      - Exactly one of O(api_user_id), O(public_key) and O(description) identifies the key.
      - If the key does not exist, O(state=present) fails. O(state=absent) reports no change,
        because a deleted key has no access list.
    type: str
    aliases: [id]
  public_key:
    description:
      - The public key of the key, 8 visible ASCII characters. The module looks it up in the full
        list of the organization's keys.
    type: str
  description:
    description:
      - The full description of the key. The module looks it up in the full list of the
        organization's keys.
      - Descriptions are not unique. If several keys have this one, the task changes nothing and
        fails with their IDs and public keys.
    type: str
    aliases: [desc]
  entries:
    description:
      - IPv4 and IPv6 addresses and CIDR blocks, such as V(192.0.2.7), V(192.0.2.0/24) and
        V(2001:db8::/32).
      - Different spellings of the same entry count as one, such as V(192.0.2.7) and
        V(192.0.2.7/32), or two forms of an IPv6 address.
      - A block with host bits set, such as V(192.0.2.7/24), is rejected. The error suggests the
        network.
      - V([]) with O(purge=true) removes all entries. V([]) without O(purge) changes nothing.
    type: list
    elements: str
    required: true
  state:
    description:
      - The state that O(entries) should have.
      - V(present) makes sure that they are on the list.
      - V(absent) makes sure that they are not. A larger block that covers an entry is a different
        entry, so it is kept.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - Whether to remove all entries that are not in O(entries). Allowed with O(state=present)
        only.
    type: bool
    default: false
  allow_own_key:
    description:
      - Whether the task may change the access list of its signing credential.
      - By default, a task that would change this list fails, even in check mode, because you could
        lock yourself out.
      - It also fails if the API does not return the key's public key, because the key could then be
        the signing credential.
      - With V(true), include the address of the host where the module runs in O(entries). The first
        entries on an empty list immediately shut out all other addresses, including the one this
        task uses.
      - Only a key pair (O(api_public_key)) is an API key, so this option has no effect with other
        credentials.
    type: bool
    default: false
seealso:
  - module: keysmith.mongodb.org_api_key
  - name: Atlas Administration API, programmatic API keys
    description: The API of O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-programmatic-api-keys
  - name: Ops Manager, access lists of organization API keys
    description: The API of O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/api-keys/org/
notes:
  - The signing credential needs the role Organization Owner (C(ORG_OWNER)), even to read the list
    of another key.
  - Ops Manager before version 5.0 calls access lists whitelists. The module uses C(/whitelist) if
    the path C(/accessList) does not exist.
  - The module warns if the list becomes empty, or if its entries together allow every IPv4 or IPv6
    address. The organization may also apply its UI access list to API keys, which the module cannot
    see.
  - The APIs are eventually consistent. If the API does not find a key that the task has just read,
    the module retries additions for up to 10 seconds. If the response to an addition lacks the new
    entries, it reads the list again for several seconds, and then fails.
"""

EXAMPLES = r"""
- name: Allow a key only from the office networks
  keysmith.mongodb.org_api_key_access_list:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    api_user_id: "{{ api_user_id }}"
    entries: "{{ office_networks }}"
    purge: true

- name: Allow each application's key from the application's networks
  keysmith.mongodb.org_api_key_access_list:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    description: "{{ item.key }}"
    entries: "{{ item.value }}"
  loop: "{{ application_networks | dict2items }}"
  loop_control:
    label: "{{ item.key }}"

- name: Remove the address of a retired host on Ops Manager
  keysmith.mongodb.org_api_key_access_list:
    platform: ops_manager
    base_url: "{{ ops_manager_url }}"
    ca_path: "{{ ops_manager_ca }}"
    api_public_key: "{{ ops_manager_public_key }}"
    api_private_key: "{{ ops_manager_private_key }}"
    org_id: "{{ ops_manager_org_id }}"
    public_key: "{{ public_key }}"
    entries:
      - "{{ old_address }}"
    state: absent
"""

RETURN = r"""
org_api_key_access_list:
  description:
    - The access list after the task, or as it would be in check mode.
    - V(none) if the key does not exist, with O(state=absent).
    - If a change fails, this is the list as far as it is known. Some of the changes may have been
      made. See C(changed) and the message.
  returned: success, and when a change fails
  type: dict
  sample:
    api_user_id: 6718e34b3d91647abb20e7b8
    public_key: zmmrboas
    entries: [192.0.2.7, 198.51.100.0/24, "2001:db8::/32"]
  contains:
    api_user_id:
      description: The ID of the key.
      returned: success, and when a change fails
      type: str
      sample: 6718e34b3d91647abb20e7b8
    public_key:
      description: The public key. V(none) if the API does not return it.
      returned: success, and when a change fails
      type: str
      sample: zmmrboas
    entries:
      description:
        - The addresses and CIDR blocks on the list, IPv4 first, in numerical order. A single
          address has no prefix length.
      returned: success, and when a change fails
      type: list
      elements: str
      sample: [192.0.2.7, 198.51.100.0/24, "2001:db8::/32"]
error:
  description:
    - Why the task failed, for C(rescue) blocks. RV(keysmith.mongodb.org_api_key#module:error)
      describes the fields.
  returned: failure
  type: dict
  sample:
    type: api
    status: 400
    code: CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST
    reason: Bad Request
    detail: Cannot remove caller's IP address 192.0.2.7 from access list
    parameters: [192.0.2.7]
    method: DELETE
    path: "/api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e\
      /apiKeys/6718e34b3d91647abb20e7b8/accessList/192.0.2.7"
"""

# Must come first: a Python that is too old cannot import the rest.
from ansible_collections.keysmith.mongodb.plugins.module_utils import _python  # pylint: disable=unused-import  # noqa: F401  isort: skip

from collections.abc import Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _module,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_list_task,
    _org_api_keys,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._key_access_lists import (
    API_KEY_LISTS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
)

ARGUMENT_SPEC: _argspec.Spec = {
    **_argspec.KEY,
    "entries": {"type": "list", "elements": "str", "required": True},
    **_argspec.STATE,
    "purge": {"type": "bool", "default": False},
    **_argspec.ALLOW_OWN_KEY,
}


def check(params: Mapping[str, Any]) -> None:
    _access_list_task.goal_of(params)


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    def find() -> OrgApiKey:
        key = _org_api_keys.find(api, params["org_id"], params)
        if key is None:
            raise _org_api_keys.not_found(params["org_id"], params, _org_api_keys.CREATE_FIRST)
        return key

    return _access_list_task.ensure(api, API_KEY_LISTS, params, find, check_mode)


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, **_argspec.ONE_KEY)


if __name__ == "__main__":
    main()
