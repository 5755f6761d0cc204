#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: org_api_key
short_description: Manage a programmatic API key of an organization
version_added: 1.0.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Creates, changes and revokes a programmatic API key of an organization, in MongoDB Atlas, Cloud
    Manager or Ops Manager.
  - A key is reported as absent only if the API confirms it. The proof is the error code
    C(API_KEY_NOT_FOUND) for this key, or the full list of the organization's keys without it.
  - Any other error fails the task, such as a rejected credential, an unknown organization or a
    login page.
  - Revoking a key also removes it from all its projects. RV(org_api_key.projects) and the diff list
    them.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
  - keysmith.mongodb.look_alikes
options:
  state:
    description:
      - The state that the key should have.
      - V(present) makes sure that the key exists with the specified roles, description and access
        list. A missing key is created only if O(description) identifies it.
      - V(absent) makes sure that the key does not exist.
      - Before version 1.1.0, this option was required.
    type: str
    choices: [present, absent]
    default: present
  api_user_id:
    description:
      - The ID of the key, 24 lowercase hexadecimal digits. The APIs call it C(apiUserId) and
        C(API-KEY-ID).
      - Exactly one of O(api_user_id), O(public_key) and O(description) identifies the key.
      - Prefer the ID for keys with the role C(ORG_OWNER). Anyone who can create keys in a project
        can give a key the same description.
    type: str
    aliases: [id]
  public_key:
    description:
      - The public key of the key, 8 visible ASCII characters. The module looks it up in the full
        list of the organization's keys.
    type: str
  description:
    description:
      - The full description of the key, 1 to 250 characters. The module looks it up in the full
        list of the organization's keys.
      - Descriptions are not unique. If several keys have this one, the task changes nothing and
        fails with their IDs and public keys.
    type: str
    aliases: [desc]
  new_description:
    description:
      - The new description of the key, 1 to 250 characters.
      - If no key has O(description) but one has O(new_description), that key is used, so a second
        run changes nothing. If both exist, or neither, the task fails.
      - If this option is set, the task never creates a key.
      - Rejected with O(state=absent), because the task would report a renamed key as absent.
    type: str
    version_added: 1.1.0
  roles:
    description:
      - All roles of the key in the organization, at least one. The order does not matter.
      - A new key requires roles. If this option is unset, an existing key keeps its roles.
      - C(ORG_OWNER), C(ORG_MEMBER), C(ORG_GROUP_CREATOR) and C(ORG_READ_ONLY) exist on all
        platforms.
      - C(ORG_BILLING_ADMIN) and C(ORG_BILLING_READ_ONLY) exist on Atlas and Cloud Manager.
      - C(ORG_STREAM_PROCESSING_ADMIN) exists on Atlas.
      - The API may add C(ORG_MEMBER). The module does not treat this as a difference.
      - Roles in projects are never changed. Ignored with O(state=absent).
    type: list
    elements: str
    version_added: 1.1.0
  access_list:
    description:
      - All IP addresses and CIDR blocks on the key's access list, such as V(192.0.2.7) and
        V(2001:db8::/32). The task removes other entries.
      - V([]) means no entries. The key then works from any address, unless the organization
        requires access lists.
      - If this option is unset, the list is neither read nor changed.
      - A new key is created with the role C(ORG_MEMBER), then gets its access list, and then its
        roles. If setting the list or the roles fails, the key is revoked and O(credentials_file) is
        deleted. The error says so, or identifies the key that is left.
      - An existing key gets its access list before its roles and its description.
      - To add or remove single entries, use M(keysmith.mongodb.org_api_key_access_list).
      - Ignored with O(state=absent).
    type: list
    elements: str
    version_added: 3.0.0
  credentials_file:
    description:
      - A file on the host where the module runs, for the key pair of a new key. The result then has
        no RV(private_key).
      - The file contains a JSON object with C(org_id), C(api_user_id), C(description),
        C(public_key) and C(private_key). Only its owner can read it.
      - Before creating the key, the module checks that the directory is writable.
      - An existing file is overwritten only if it holds the key pair of a deleted key with the same
        description. Any other file might be the only copy of a key pair.
      - If the file cannot be written, or another run has written a key pair to it in the meantime,
        the new key is revoked.
      - If the key exists and the file does not hold its key pair, the task warns, because a private
        key cannot be read again.
      - Ignored with O(state=absent).
    type: path
    version_added: 1.1.0
  adopt:
    description:
      - Whether the task may add roles to an existing key that O(description) identifies if
        O(credentials_file) does not hold its key pair.
      - By default, such a task fails before any change. A project administrator could have created
        a key with this description.
      - The file must match the key's ID, its public key and, if the file has one, the
        organization.
      - Ignored with O(state=absent).
    type: bool
    default: false
    version_added: 2.0.0
  allow_own_key:
    description:
      - Whether the task may revoke its signing credential, remove a role from it, or change its
        access list.
      - By default, such a task fails, even in check mode, because you would lock yourself out.
      - It also fails if the API does not return the key's public key, because the key could then be
        the signing credential.
      - Only a key pair (O(api_public_key)) is an API key, so this option has no effect with other
        credentials. The task then lists the keys again and warns if the last one with
        C(ORG_OWNER) loses that role.
    type: bool
    default: false
  wait:
    description:
      - Whether to wait, with O(state=absent), until two consecutive requests confirm that the key
        is gone. The APIs report a deletion with a delay.
      - Not possible for the signing credential, because the API rejects it once it is revoked.
      - Ignored with O(state=present).
    type: bool
    default: false
  wait_timeout:
    description:
      - The maximum number of seconds to wait, more than 0 and up to 86400.
      - After this time, the task fails. The API has then accepted the deletion, but the key might
        still work.
      - Ignored with O(state=present).
    type: float
    default: 60
seealso:
  - module: keysmith.mongodb.org_api_keys
  - module: keysmith.mongodb.org_api_key_rotation
  - name: Atlas Administration API, programmatic API keys
    description: The API of O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-programmatic-api-keys
  - name: Ops Manager, organization API keys
    description: The API of O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/api-keys/org/
notes:
  - The signing credential needs the role Organization Owner (C(ORG_OWNER)). In check mode, a
    revocation needs only Organization Member (C(ORG_MEMBER)).
  - Which roles exist depends on the platform. See O(roles). Ops Manager before version 5.0 calls
    access lists whitelists. The module uses C(/whitelist) if the path C(/accessList) does not
    exist.
  - The APIs are eventually consistent. If the API does not find a key that the task has just read
    or created, the change is retried for up to 10 seconds. If it does not find a key to revoke, the
    module checks again after 3 seconds.
  - If the response to a change contradicts the task, the module keeps reading the key for up to 10
    seconds. If the key still differs, the task fails with C(error.type=unexpected_response), and a
    key that it has just created is revoked. The result and the diff show what exists.
"""

EXAMPLES = r"""
- name: Revoke an API key by its ID
  keysmith.mongodb.org_api_key:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    api_user_id: "{{ api_user_id }}"
    state: absent

- name: Create an API key and save its key pair to a file
  keysmith.mongodb.org_api_key:
    org_id: "{{ org_id }}"
    description: "{{ description }}"
    roles: [ORG_MEMBER, ORG_GROUP_CREATOR]
    credentials_file: "{{ credentials_file }}"

- name: Create an owner key that works only from two networks
  keysmith.mongodb.org_api_key:
    org_id: "{{ org_id }}"
    description: "{{ description }}"
    roles: [ORG_OWNER]
    access_list: [192.0.2.0/24, "2001:db8::/32"]
    credentials_file: "{{ credentials_file }}"

- name: Change the roles and the description of a key
  keysmith.mongodb.org_api_key:
    org_id: "{{ org_id }}"
    api_user_id: "{{ api_user_id }}"
    new_description: "{{ new_description }}"
    roles: [ORG_READ_ONLY]

- name: Revoke a leaked key of Ops Manager and wait until it is gone
  keysmith.mongodb.org_api_key:
    platform: ops_manager
    base_url: "{{ ops_manager_url }}"
    ca_path: "{{ ops_manager_ca }}"
    api_public_key: "{{ ops_manager_public_key }}"
    api_private_key: "{{ ops_manager_private_key }}"
    org_id: "{{ ops_manager_org_id }}"
    public_key: "{{ leaked_public_key }}"
    state: absent
    wait: true

- name: Revoke a key with a service account and handle a failure
  block:
    - name: Revoke the key of a retired service
      keysmith.mongodb.org_api_key:
        client_id: "{{ client_id }}"
        client_secret: "{{ client_secret }}"
        org_id: "{{ org_id }}"
        description: "{{ description }}"
        state: absent
  rescue:
    - name: Show the type of the failure and the API's error code
      ansible.builtin.fail:
        msg: >-
          {{ error.type | default('no type') }}, {{ error.code | default('no code', true) }}:
          {{ ansible_failed_result.msg }}
      vars:
        error: "{{ ansible_failed_result.error | default({}) }}"

- name: Create a key without a file and report keys that a failure leaves
  block:
    - name: Create the key
      keysmith.mongodb.org_api_key:
        org_id: "{{ org_id }}"
        description: "{{ description }}"
        roles: [ORG_READ_ONLY]
      register: created
      no_log: true
  rescue:
    - name: Show the IDs of keys whose private keys are lost
      ansible.builtin.fail:
        msg: "Revoke these keys if they exist: {{ ansible_failed_result.error.parameters }}"
      when: (ansible_failed_result.error | default({})).type | default('') == 'orphan'
    - name: Fail with the original message
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result.msg }}"
"""

RETURN = r"""
org_api_key:
  description:
    - With O(state=present), the key as it is now, or as it would be in check mode. A task that
      fails after a change returns the key as it is at that point.
    - With O(state=absent), the key as it was before the task revoked it. V(none) if the key did not
      exist.
  returned: success, and if a task fails after a change
  type: dict
  sample:
    id: 6718e34b3d91647abb20e7b8
    public_key: zmmrboas
    created_at: "2024-10-23T11:51:07Z"
    description: backup of the billing cluster
    roles: [ORG_MEMBER]
    projects:
      - project_id: 5e2211c17a3e5a48f5497de3
        roles: [GROUP_READ_ONLY]
  contains:
    id:
      description: The ID of the key. In check mode, V(none) for a new key.
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
        - In check mode, V(none) for a new key.
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
    access_list:
      description: The entries of the key's access list, IPv4 first, in numerical order.
      returned: with O(state=present), if O(access_list) is set
      type: list
      elements: str
      sample: [192.0.2.0/24]
      version_added: 3.0.0
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
private_key:
  description:
    - The private key of a new key, which cannot be read again. Set C(no_log), or use
      O(credentials_file) instead.
  returned: when a key was created without O(credentials_file), not in check mode
  type: str
  sample: 55c3bbb6-b4bb-40be-8e66-d20841f3e000
  version_added: 1.1.0
error:
  description: Why the task failed, for C(rescue) blocks. An unknown value is V(none).
  returned: failure
  type: dict
  sample:
    type: api
    status: 401
    code: USER_UNAUTHORIZED
    reason: Unauthorized
    detail: Current user is not authorized to perform this action.
    parameters: []
    method: DELETE
    path: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/6718e34b3d91647abb20e7b8
  contains:
    type:
      description:
        - The kind of failure. One of C(own_credential), C(ambiguous), C(missing), C(orphan),
          C(options), C(api), C(transport), C(unexpected_response), C(timeout), C(cancelled),
          C(limit), C(guard) and C(internal).
      returned: failure
      type: str
      sample: api
      version_added: 2.0.0
    status:
      description: The HTTP status. V(none) if there was no response.
      returned: failure
      type: int
      sample: 401
    code:
      description: The API's error code.
      returned: failure
      type: str
      sample: USER_UNAUTHORIZED
    reason:
      description: The HTTP reason phrase, or the cause if there was no response.
      returned: failure
      type: str
      sample: Unauthorized
    detail:
      description: The API's error message.
      returned: failure
      type: str
      sample: Current user is not authorized to perform this action.
    parameters:
      description: What the error is about, such as IDs or a path.
      returned: failure
      type: list
      elements: raw
      sample: []
    method:
      description: The HTTP method of the failed request.
      returned: failure
      type: str
      sample: DELETE
    path:
      description: The path of the failed request.
      returned: failure
      type: str
      sample: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/6718e34b3d91647abb20e7b8
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
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _absence,
    _org_api_keys,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)

ARGUMENT_SPEC: _argspec.Spec = {
    **_argspec.STATE,
    **_argspec.KEY,
    "new_description": {"type": "str"},
    "roles": {"type": "list", "elements": "str"},
    "access_list": {"type": "list", "elements": "str"},
    "credentials_file": {"type": "path", "no_log": False},
    "adopt": {"type": "bool", "default": False},
    **_argspec.ALLOW_OWN_KEY,
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "float", "default": 60},
}


def check(params: Mapping[str, Any]) -> None:
    """Refuse options that no key can have."""
    if params["state"] == "absent":
        if params["new_description"] is not None:
            raise OptionError(
                "new_description is set with state absent, which would report a renamed key as "
                "missing",
                hint="To revoke a key, identify it by api_user_id or by its current description.",
            )
        return
    for name in ("description", "new_description"):
        if params[name] is not None:
            _argspec.check_description(name, params[name])
    if params["roles"] is not None:
        _argspec.check_roles(params["platform"], params["roles"])
    present().wanted_entries(params)


def present() -> Any:
    """Import the code for state present, which revoking a key does not need."""
    from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _key_present

    return _key_present


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    if params["state"] == "present":
        return dict(present().ensure(params, api, check_mode))
    return _absence.ensure(
        api,
        API_KEYS.of(params["org_id"]),
        _org_api_keys.find(api, params["org_id"], params),
        params,
        check_mode=check_mode,
        writable=OrgApiKey.writable,
        warn=lambda key: _org_api_keys.warn_if_last_owner(api, params["org_id"], key),
    )


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, **_argspec.ONE_KEY)


if __name__ == "__main__":
    main()
