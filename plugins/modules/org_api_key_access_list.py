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
  - Adds addresses to the access list of a programmatic API key of an organization, removes them
    from it, or sets the whole list, in MongoDB Atlas, Cloud Manager or Ops Manager.
  - Only requests from an address on its access list may be signed with a key. An empty list lets
    every address in, unless the organization requires a list; then it lets none in.
  - What is missing is added before anything is removed, in one request, so that the key is never
    cut off in between.
  - The APIs are eventually consistent. If one does not know a key that the task has just read,
    additions are tried again for up to 10 seconds. If the response to additions does not show them,
    the list is read again for some seconds, and the task fails unless it shows them then.
  - This is the list of the key itself. The IP access list of a project of Atlas, which lets
    clients reach its clusters, is another one.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
options:
  api_user_id:
    description:
      - The id of the key, 24 hexadecimal digits. The APIs call it C(apiUserId) and C(API-KEY-ID).
      - Exactly one of O(api_user_id), O(public_key) and O(description) names the key. An empty
        string counts as not given.
      - A key that does not exist fails the task with O(state=present). With O(state=absent)
        nothing is to be done then, since an access list goes with its key.
    type: str
    aliases: [id]
  public_key:
    description:
      - The public key of the key. It is looked up in the complete listing of the organization's
        keys.
    type: str
  description:
    description:
      - The description of the key, in full. It is looked up in the complete listing of the
        organization's keys.
      - Descriptions are not unique. When several keys have this one, the task fails with their ids
        and public keys, and changes nothing.
    type: str
    aliases: [desc]
  entries:
    description:
      - IPv4 and IPv6 addresses, and blocks of them in CIDR notation, such as V(192.0.2.7),
        V(192.0.2.0/24) and V(2001:db8::/32).
      - Entries are compared by what they mean. V(192.0.2.7) and V(192.0.2.7/32) are the same, and
        so are two ways to write an IPv6 address; one that is given twice counts once.
      - A block whose address has bits beyond its length, such as V(192.0.2.7/24), is refused, and
        the task names the network that it belongs to.
      - V([]) with O(purge=true) means a list without entries. Without O(purge) there is nothing to
        do then.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(present) makes sure that O(entries) are on the list.
      - V(absent) makes sure that they are not. A larger block that covers an entry is not that
        entry, and stays.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - Whether all entries other than O(entries) are removed, with O(state=present) only.
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
  allow_own_key:
    description:
      - Whether the list of the key that signs the requests may be changed.
      - By default such a task fails where there is something to change, in check mode too, because
        it could lock out its own user. It also fails when the API does not tell the public key of
        the key, so that it cannot be compared.
      - With V(true), have the address of the machine where the module runs in O(entries). The first
        entries on an empty list shut out all other addresses at once, those of the task's own next
        requests too.
      - Only a key pair (O(api_public_key)) is an API key. A service account or an access token has
        no API key of its own, and so nothing is refused.
    type: bool
    default: false
seealso:
  - module: keysmith.mongodb.org_api_key
  - name: Atlas Administration API, programmatic API keys
    description: The API that is called for O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-programmatic-api-keys
  - name: Ops Manager, access lists of organization API keys
    description: The API that is called for O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/api-keys/org/
notes:
  - The list of another key can be read and changed by an Organization Owner only.
  - The module warns if the list becomes empty or comes to allow every IPv4 or IPv6 address, also by
    several entries together. A key with an empty list can be used from any address, unless the
    organization requires an API access list, or applies its UI access list to API keys.
  - Before version 5.0, Ops Manager calls access lists whitelists. Where it does not know the path
    C(/accessList), the module takes C(/whitelist).
"""

EXAMPLES = r"""
- name: Lock a key to the networks of the office, and to nothing else
  keysmith.mongodb.org_api_key_access_list:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    api_user_id: "{{ api_user_id }}"
    entries: "{{ office_networks }}"
    purge: true

- name: Take a machine that is no more from the list of a key of Ops Manager
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

- name: Let the key of each application in from the application's own networks
  keysmith.mongodb.org_api_key_access_list:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    description: "{{ item.key }}"
    entries: "{{ item.value }}"
  loop: "{{ application_networks | dict2items }}"
  loop_control:
    label: "{{ item.key }}"
"""

RETURN = r"""
org_api_key_access_list:
  description:
    - The access list after the task, or as it would be in check mode.
    - V(none) when there is no such key, with O(state=absent).
    - When a change fails, the list as it is then, so far as it can be known. Of several changes
      some may have been made; C(changed) and the message tell.
  returned: success, and when a change fails
  type: dict
  sample:
    api_user_id: 32b6e34b3d91647abb20e7b8
    public_key: zmmrboas
    entries: [192.0.2.7, 198.51.100.0/24, "2001:db8::/32"]
  contains:
    api_user_id:
      description: The id of the key.
      returned: success, and when a change fails
      type: str
      sample: 32b6e34b3d91647abb20e7b8
    public_key:
      description: The public key, V(none) where the API does not tell it.
      returned: success, and when a change fails
      type: str
      sample: zmmrboas
    entries:
      description:
        - The addresses and blocks on the list, a single address without its length. IPv4 comes
          first, and both are in the order of their numbers.
      returned: success, and when a change fails
      type: list
      elements: str
      sample: [192.0.2.7, 198.51.100.0/24, "2001:db8::/32"]
error:
  description: What went wrong, for C(rescue) blocks. A value that is not known is V(none).
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
      /apiKeys/32b6e34b3d91647abb20e7b8/accessList/192.0.2.7"
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
      sample: 400
    code:
      description: The API's own error code.
      returned: failure
      type: str
      sample: CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST
    reason:
      description: The HTTP reason phrase, or what broke where there was no answer.
      returned: failure
      type: str
      sample: Bad Request
    detail:
      description: The API's own words.
      returned: failure
      type: str
      sample: Cannot remove caller's IP address 192.0.2.7 from access list
    parameters:
      description: What the API's words speak of, such as an address or a path.
      returned: failure
      type: list
      elements: raw
      sample: [192.0.2.7]
    method:
      description: The method of the request that failed.
      returned: failure
      type: str
      sample: DELETE
    path:
      description: The path of the request that failed.
      returned: failure
      type: str
      sample: "/api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e\
        /apiKeys/32b6e34b3d91647abb20e7b8/accessList/192.0.2.7"
"""

# Must come first: a Python that is too old cannot import the rest.
from ansible_collections.keysmith.mongodb.plugins.module_utils import _python  # pylint: disable=unused-import  # noqa: F401  isort: skip

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _module,
    _plan,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    MissingError,
    OptionError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _key_access_lists,
    _org_api_keys,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted

ARGUMENT_SPEC: _argspec.Spec = {
    **_argspec.KEY,
    "entries": {"type": "list", "elements": "str", "required": True},
    **_argspec.STATE,
    "purge": {"type": "bool", "default": False},
    **_argspec.ALLOW_OWN_KEY,
}


def check(params: Mapping[str, Any]) -> None:
    _access_lists.normalize(params["entries"])
    if params["purge"] and params["state"] == "absent":
        raise OptionError(
            "purge is set with state absent",
            hint="With state present, it removes all entries except those of the task.",
        )


def find(params: Mapping[str, Any], api: Client) -> _org_api_keys.OrgApiKey:
    """Return the key of the task. Raises MissingError if it does not exist."""
    key = _org_api_keys.find(api, params["org_id"], params)
    if key is None:
        identity = params["api_user_id"] or params["public_key"] or quoted(params["description"])
        raise MissingError(
            f"Organization {params['org_id']} has no API key {identity}, and nothing was changed",
            hint="Create the key with org_api_key first.",
        )
    return key


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    goal = _access_lists.Goal(
        _access_lists.normalize(params["entries"]),
        is_present=params["state"] == "present",
        purge=params["purge"],
    )
    try:
        key = find(params, api)
        found = _access_lists.read(api, _key_access_lists.API_KEY_LISTS, params["org_id"], key)
        planned = replace(found, now=goal.of(found.now))
        if planned.is_changed:
            _resource.check_not_own(
                api,
                _org_api_keys.API_KEYS,
                key,
                allowed=params["allow_own_key"],
                loss="changing its own access list",
            )
        _access_lists.warn_of_opening(api, _org_api_keys.API_KEYS, str(key), found.now, planned.now)
        if check_mode or not planned.is_changed:
            return planned.result()
        return _access_lists.change(api, found, goal).result()
    except MissingError as error:
        if goal.is_present or error.results.get("changed"):
            raise
        # Without the key, there is no access list.
        return {
            "changed": False,
            "org_api_key_access_list": None,
            "diff": _plan.absent(None).diff(),
        }


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, **_argspec.ONE_KEY)


if __name__ == "__main__":
    main()
