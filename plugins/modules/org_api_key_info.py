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
    Manager, with their roles, their projects and, where asked for, their access lists.
  - Every page of the listing is read, and nothing is changed. Private keys cannot be read, not even
    masked ones are returned.
  - Only keys that fit all of the options given are returned. That there are none is no error; a
    listing that cannot be had whole is one.
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
  api_user_id:
    description:
      - Return only the key with this id, 24 hexadecimal digits. The APIs call it C(apiUserId) and
        C(API-KEY-ID). The listing is not read then, which is faster.
    type: str
    aliases: [id]
  public_key:
    description:
      - Return only the key with this public key, 8 visible ASCII characters.
      - When no key is known to have it, but the API does not tell the public key of some, the task
        fails.
    type: str
  description:
    description:
      - Return only keys with exactly this description. Descriptions are not unique.
    type: str
    aliases: [desc]
  description_match:
    description:
      - Return only keys whose description as a whole fits this pattern. V(*) stands for any text,
        V(?) for any one character, V([ab]) for one of these and V([!ab]) for any other; upper and
        lower case differ.
      - A key without a description is not returned, whatever the pattern; the task warns about a
        key that only this excludes.
    type: str
  roles:
    description:
      - Return only keys that have at least one of these roles in the organization, such as
        C(ORG_OWNER). With an empty list no key is returned.
      - Roles in projects begin with C(GROUP_) and are refused here; use O(project_id).
    type: list
    elements: str
  project_id:
    description:
      - Return only keys that are assigned to the project with this id, 24 hexadecimal digits.
    type: str
    aliases: [group_id]
  access_list:
    description:
      - Whether to return the access list of each key too. This takes one more request a key, at
        most 8 at the same time; filters keep them few.
      - Access lists can be read with the role C(ORG_OWNER), and the own one of the key that signs.
    type: bool
    default: false
  look_alikes:
    description:
      - What to do if no key has exactly the description, and one looks like it. Look-alikes differ
        only in case, whitespace of any kind, invisible characters or Unicode compatibility forms
        (NFKC).
      - V(refuse) fails the task and lists the look-alikes. V(ignore) treats them as different keys,
        for organizations that have both C(CI) and C(ci). An exact match always wins.
    type: str
    choices: [refuse, ignore]
    default: refuse
    version_added: 2.0.0
  time_limit:
    description:
      - After how many seconds the task stops waiting and sends no more requests, more than 0 and up
        to 86400. It then fails with C(error.type=limit) and returns no keys, because a list that is
        not complete does not show what is missing. Requests in progress are completed.
      - Reading the access lists of many keys may exceed a rate limit, which is refilled about once
        a minute.
    type: float
    version_added: 3.0.0
seealso:
  - module: keysmith.mongodb.org_api_key
  - module: keysmith.mongodb.org_info
  - name: Atlas Administration API, programmatic API keys
    description: The API that is called for O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-programmatic-api-keys
  - name: Ops Manager, organization API keys
    description: The API that is called for O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/api-keys/org/
"""

EXAMPLES = r"""
- name: List all API keys of an organization of Atlas
  keysmith.mongodb.org_api_key_info:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
  register: found

- name: Show who owns the organization
  ansible.builtin.debug:
    msg: "{{ item.id }} {{ item.description }}"
  loop: "{{ found.org_api_keys }}"
  loop_control:
    label: "{{ item.id }}"
  when: "'ORG_OWNER' in item.roles"

- name: List the powerful keys with their access lists
  keysmith.mongodb.org_api_key_info:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    roles: [ORG_OWNER, ORG_GROUP_CREATOR]
    access_list: true
  register: powerful

- name: Show those that may be used from anywhere
  ansible.builtin.debug:
    msg: "{{ powerful.org_api_keys | rejectattr('access_list') | map(attribute='id') }}"

- name: Find the keys that continuous integration has left in a project of Ops Manager
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
  description:
    - The keys, sorted by description and then by id; an empty list when there are none.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 32b6e34b3d91647abb20e7b8
      public_key: zmmrboas
      description: backup of the billing cluster
      roles: [ORG_MEMBER]
      projects:
        - project_id: 5e2211c17a3e5a48f5497de3
          roles: [GROUP_READ_ONLY]
      access_list: [192.0.2.7, 198.51.100.0/24]
  contains:
    id:
      description: The id of the key.
      returned: success
      type: str
      sample: 32b6e34b3d91647abb20e7b8
    public_key:
      description: The public key, V(none) where the API does not tell it.
      returned: success
      type: str
      sample: zmmrboas
    description:
      description: The description of the key, an empty string if it has none.
      returned: success
      type: str
      sample: backup of the billing cluster
    roles:
      description: The names of its roles in this organization, sorted.
      returned: success
      type: list
      elements: str
      sample: [ORG_MEMBER]
    projects:
      description: The projects the key is assigned to, sorted by id.
      returned: success
      type: list
      elements: dict
      sample:
        - project_id: 5e2211c17a3e5a48f5497de3
          roles: [GROUP_READ_ONLY]
      contains:
        project_id:
          description: The id of the project. The APIs call it group too.
          returned: success
          type: str
          sample: 5e2211c17a3e5a48f5497de3
        roles:
          description: The names of the key's roles in the project, sorted.
          returned: success
          type: list
          elements: str
          sample: [GROUP_READ_ONLY]
    access_list:
      description:
        - The addresses and the networks (CIDR) that the key may be used from, IPv4 first and then
          by number. A single address is given without its length.
        - With an empty list the key may be used from anywhere, unless the organization requires
          access lists.
      returned: when O(access_list=true)
      type: list
      elements: str
      sample: [192.0.2.7, 198.51.100.0/24]
error:
  description: What went wrong, for C(rescue) blocks. A value that is not known is V(none).
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
      sample: 401
    code:
      description: The API's own error code.
      returned: failure
      type: str
      sample: USER_UNAUTHORIZED
    reason:
      description: The HTTP reason phrase, or what broke where there was no answer.
      returned: failure
      type: str
      sample: Unauthorized
    detail:
      description: The API's own words.
      returned: failure
      type: str
      sample: Current user is not authorized to perform this action.
    parameters:
      description: What the API's words speak of, such as an id or a path.
      returned: failure
      type: list
      elements: raw
      sample: []
    method:
      description: The method of the request that failed.
      returned: failure
      type: str
      sample: GET
    path:
      description: The path of the request that failed.
      returned: failure
      type: str
      sample: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys
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
    # A single key shows nothing about look-alikes.
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
        _org_api_keys.check_public_keys_told(
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
        return [found for found in _workers.each(result, keys, threads=THREADS) if found]
    except CancelledError as error:
        error.state_after = (
            f"The access lists of {len(read)} of {len(keys)} keys were read. No keys are returned, "
            "because an incomplete list does not show what is missing."
        )
        raise


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, filters=FILTERS)


if __name__ == "__main__":
    main()
