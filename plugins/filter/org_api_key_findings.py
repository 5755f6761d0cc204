# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: org_api_key_findings
short_description: Add audit findings to the API keys of an organization
version_added: 1.2.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Adds the names of audit findings to the API keys of one organization, as
    M(keysmith.mongodb.org_api_key_info) returns them.
  - C(org_owner) - the key has the role C(ORG_OWNER).
  - C(no_access_list) - the key's access list is empty, so the key works from any address, unless
    the organization requires access lists.
  - C(any_address) - the access list allows every IPv4 or every IPv6 address. Examples are
    V(0.0.0.0/0), V(::/0), and V(0.0.0.0/1) together with V(128.0.0.0/1).
  - C(same_description) - another key has exactly the same description. Keys without a description
    do not count.
  - C(no_project) - the key is assigned to no project.
options:
  _input:
    description:
      - All keys of the organization. With only some of them, C(same_description) is incomplete.
      - To get C(no_access_list) and C(any_address), read the keys with
        O(keysmith.mongodb.org_api_key_info#module:access_list=true).
    type: list
    elements: dict
    required: true
seealso:
  - module: keysmith.mongodb.org_api_key_info
"""

EXAMPLES = r"""
- name: Read the keys with their access lists
  keysmith.mongodb.org_api_key_info:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    access_list: true
  register: found

- name: Show the owner keys that work from any address
  ansible.builtin.debug:
    msg: >-
      {{ found.org_api_keys | keysmith.mongodb.org_api_key_findings
      | selectattr('findings', 'contains', 'org_owner')
      | selectattr('findings', 'contains', 'no_access_list')
      | map(attribute='description') }}
"""

RETURN = r"""
_value:
  description:
    - The keys in their original order. Each also has C(findings), a list of names in the order
      above. The list is empty if there are none.
  type: list
  elements: dict
  sample:
    - id: 6718e34b3d91647abb20e7b8
      public_key: zmmrboas
      created_at: "2024-10-23T11:51:07Z"
      description: backup of the billing cluster
      roles: [ORG_OWNER]
      projects: []
      access_list: [192.0.2.7, 198.51.100.0/24]
      findings: [org_owner, no_project]
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

ALL_V4 = ipaddress.IPv4Network("0.0.0.0/0")
ALL_V6 = ipaddress.IPv6Network("::/0")


def findings(keys: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add ``findings`` to each key."""
    if isinstance(keys, (str, Mapping)) or not isinstance(keys, Sequence):
        raise TypeError("org_api_key_findings takes a list of keys, as org_api_key_info returns it")
    # Missing descriptions are not equal.
    descriptions = Counter(key["description"] for key in keys if key["description"])
    return [
        {**key, "findings": list(_of(key, is_duplicate=descriptions[key["description"]] > 1))}
        for key in keys
    ]


def _of(key: Mapping[str, Any], is_duplicate: bool) -> Iterator[str]:
    access_list = key.get("access_list")
    if "ORG_OWNER" in key["roles"]:
        yield "org_owner"
    if access_list is not None and not access_list:
        yield "no_access_list"
    if access_list and allows_all(access_list):
        yield "any_address"
    if is_duplicate:
        yield "same_description"
    if not key["projects"]:
        yield "no_project"


def allows_all(access_list: Sequence[str]) -> bool:
    """Return whether the entries together allow every IPv4 or every IPv6 address."""
    networks = [ipaddress.ip_network(entry, strict=False) for entry in access_list]
    v4 = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    v6 = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    return ALL_V4 in ipaddress.collapse_addresses(v4) or ALL_V6 in ipaddress.collapse_addresses(v6)


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"org_api_key_findings": findings}
