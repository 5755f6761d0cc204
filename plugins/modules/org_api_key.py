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
  - A key is called missing only when the API says so (error code C(API_KEY_NOT_FOUND)), or when the
    complete listing of the organization's keys lacks it. Every other answer, such as a refused
    credential, a missing organization or a sign-on page, fails the task.
  - Revoking a key also takes it from all projects it is assigned to. The return value
    RV(org_api_key.projects) and the diff name them.
  - The APIs are eventually consistent. If one does not know a key that the task has just read or
    created, changes are tried again for up to 10 seconds, and a key that cannot be revoked because
    it is missing is looked up again after 3 seconds.
  - If the response to a change contradicts the task, the key is read for up to 10 seconds. If it is
    not as the task asks, the task fails with C(error.type=unexpected_response), and a key that was
    just created is revoked. The result and the diff show what exists.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
options:
  state:
    description:
      - V(present) makes sure that the key exists, with the roles and the description given. A key
        that is missing is created only when it is named by O(description).
      - V(absent) makes sure that the key does not exist.
      - The default was added in version 1.1.0; before, V(absent) had to be given.
    type: str
    choices: [present, absent]
    default: present
  api_user_id:
    description:
      - The ID of the key, 24 hexadecimal digits. The APIs call it C(apiUserId) and C(API-KEY-ID).
      - Exactly one of O(api_user_id), O(public_key) and O(description) identifies the key. Prefer
        the ID for keys with the role C(ORG_OWNER), since anyone who may create keys in a project
        can give a key the same description.
    type: str
    aliases: [id]
  public_key:
    description:
      - The public key of the key, 8 visible ASCII characters. It is looked up in the complete
        listing of the organization's keys.
    type: str
  description:
    description:
      - The description of the key, in full, 1 to 250 characters. It is looked up in the complete
        listing of the organization's keys.
      - Descriptions are not unique. If several keys have this one, or only look-alikes of it exist
        (see O(look_alikes)), the task fails with their IDs and public keys, and changes nothing.
    type: str
    aliases: [desc]
  new_description:
    description:
      - The new description of the key, 1 to 250 characters. Refused with O(state=absent), which
        would report a renamed key as missing.
      - If no key has O(description) but one has O(new_description), that key is used, so a second
        run changes nothing. If both exist, or neither, the task fails. No key is ever created.
    type: str
    version_added: 1.1.0
  roles:
    description:
      - All roles of the key in the organization, at least one. Their order does not matter. Roles
        in projects are never changed. Ignored with O(state=absent).
      - C(ORG_OWNER), C(ORG_MEMBER), C(ORG_GROUP_CREATOR) and C(ORG_READ_ONLY) are known to all
        platforms, C(ORG_BILLING_ADMIN) and C(ORG_BILLING_READ_ONLY) to Atlas and Cloud Manager, and
        C(ORG_STREAM_PROCESSING_ADMIN) to Atlas.
      - A new key needs roles. Where they are not given, those of an existing key are left alone.
      - The APIs may add C(ORG_MEMBER) by themselves; that is not taken for a difference.
    type: list
    elements: str
    version_added: 1.1.0
  access_list:
    description:
      - The IP addresses and CIDR blocks in the access list of the key, in full, such as
        V(192.0.2.7) and V(2001:db8::/32). The task removes other entries. V([]) stands for no
        entries, with which the key works from any address, unless the organization requires a list.
      - If this option is not set, the list is neither read nor changed.
      - A new key is created with the role C(ORG_MEMBER), then gets its access list, and then its
        roles. If the list or the roles fail, the key is revoked and O(credentials_file) deleted.
        The error says so, or which key is left.
      - The list of an existing key is changed before its roles and its description.
      - To add or remove single entries, use M(keysmith.mongodb.org_api_key_access_list). Ignored
        with O(state=absent).
    type: list
    elements: str
    version_added: 3.0.0
  credentials_file:
    description:
      - A file on the machine where the module runs. The pair of a key that is created is written
        there as JSON (C(org_id), C(api_user_id), C(description), C(public_key), C(private_key)),
        readable by its owner only, and RV(private_key) is left out of the result.
      - Before anything is created, the folder is proved to be writable, and the path not to hold
        anything but the pair of a key of the same description that exists no longer. It may be the
        only copy of another.
      - If the file cannot be written after all, or another run has written a pair there in the
        meantime, the new key is revoked to clean up.
      - When the key exists and the file does not, the task warns, as a private key cannot be read
        again.
      - Ignored with O(state=absent).
    type: path
    version_added: 1.1.0
  adopt:
    description:
      - Whether the task may add roles to an existing key that O(description) identifies, although
        O(credentials_file) does not hold its key pair.
      - By default such a task fails before any change, because a project's administrator can create
        a key with this description. The file must match in the ID, the public key and, if it has
        one, the organization. Ignored with O(state=absent).
    type: bool
    default: false
    version_added: 2.0.0
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
      - Whether the key that signs the requests may be revoked, lose a role, or have its access list
        changed.
      - By default such a task fails, in check mode too, because it would lock out its own user. It
        also fails when the API does not tell the public key of the key, so that it cannot be
        compared.
      - Only a key pair (O(api_public_key)) is an API key. A service account or an access token has
        no API key of its own, and so nothing is refused. The task warns if the key is the last one
        with C(ORG_OWNER), which it finds out by one more listing.
    type: bool
    default: false
  wait:
    description:
      - Whether to return only when two requests in a row confirm that the revoked key is missing,
        with O(state=absent). The APIs forget a key with a delay. Ignored with O(state=present).
      - This cannot be done for the key that signs the requests, since the API can no longer be
        asked then.
    type: bool
    default: false
  wait_timeout:
    description:
      - How long to wait at most, in seconds, more than 0 and up to 86400. When the time has
        expired, the task fails. The API has accepted the revocation then, but it is not known
        whether the key still works. Ignored with O(state=present).
    type: float
    default: 60
seealso:
  - name: Atlas Administration API, programmatic API keys
    description: The API that is called for O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-programmatic-api-keys
  - name: Ops Manager, organization API keys
    description: The API that is called for O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/api-keys/org/
"""

EXAMPLES = r"""
- name: Create an API key, and keep its pair in a file that only its owner can read
  keysmith.mongodb.org_api_key:
    org_id: "{{ org_id }}"
    description: "{{ description }}"
    roles: [ORG_MEMBER, ORG_GROUP_CREATOR]
    credentials_file: "{{ credentials_file }}"

- name: Create an owner key that works from two networks only, from the start
  keysmith.mongodb.org_api_key:
    org_id: "{{ org_id }}"
    description: "{{ description }}"
    roles: [ORG_OWNER]
    access_list: [192.0.2.0/24, "2001:db8::/32"]
    credentials_file: "{{ credentials_file }}"

- name: Create an API key, use its pair at once, and see what is left when that fails
  block:
    - name: Create the key
      keysmith.mongodb.org_api_key:
        org_id: "{{ org_id }}"
        description: "{{ description }}"
        roles: [ORG_READ_ONLY]
      register: created
      no_log: true
  rescue:
    - name: Show the IDs of keys that may be left, whose private keys are lost
      ansible.builtin.fail:
        msg: "Revoke these keys if they exist: {{ ansible_failed_result.error.parameters }}"
      when: (ansible_failed_result.error | default({})).type | default('') == 'orphan'
    - name: Fail as before
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result.msg }}"

- name: Change the roles and the description of a key
  keysmith.mongodb.org_api_key:
    org_id: "{{ org_id }}"
    api_user_id: "{{ api_user_id }}"
    new_description: "{{ new_description }}"
    roles: [ORG_READ_ONLY]

- name: Revoke an API key of Atlas by its id
  keysmith.mongodb.org_api_key:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    api_user_id: "{{ api_user_id }}"
    state: absent

- name: Revoke a leaked key of Ops Manager by its public key, and wait until it is gone
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

- name: Revoke by description with a service account, and explain a failure
  block:
    - name: Revoke the key of a service that is no more
      keysmith.mongodb.org_api_key:
        client_id: "{{ client_id }}"
        client_secret: "{{ client_secret }}"
        org_id: "{{ org_id }}"
        description: "{{ description }}"
        state: absent
  rescue:
    - name: Show the type of the failure and the API's own error code
      ansible.builtin.fail:
        msg: >-
          {{ error.type | default('no type') }}, {{ error.code | default('no code', true) }}:
          {{ ansible_failed_result.msg }}
      vars:
        error: "{{ ansible_failed_result.error | default({}) }}"
"""

RETURN = r"""
org_api_key:
  description:
    - With O(state=present), the key as it is now, or would be in check mode. A task that fails
      after a change returns the key as it is then.
    - With O(state=absent), the key as it was before it was revoked, or as it would be revoked in
      check mode; V(none) when there was no such key.
  returned: success, and if a task fails after a change
  type: dict
  sample:
    id: 32b6e34b3d91647abb20e7b8
    public_key: zmmrboas
    description: backup of the billing cluster
    roles: [ORG_MEMBER]
    projects:
      - project_id: 5e2211c17a3e5a48f5497de3
        roles: [GROUP_READ_ONLY]
  contains:
    id:
      description: The id of the key, V(none) for one that would be created in check mode.
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
    access_list:
      description: The entries of its access list, IPv4 first, in the order of their numbers.
      returned: with O(state=present), if O(access_list) is set
      type: list
      elements: str
      sample: [192.0.2.0/24]
      version_added: 3.0.0
    projects:
      description: The projects the key is assigned to, sorted by id; a revoked key loses them.
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
private_key:
  description:
    - The private key of a key that was just created, which cannot be read again later. Use
      C(no_log), or O(credentials_file), with which it is left out.
  returned: when a key was created without O(credentials_file), not in check mode
  type: str
  sample: 55c3bbb6-b4bb-40be-8e66-d20841f3e000
  version_added: 1.1.0
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
    method: DELETE
    path: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/32b6e34b3d91647abb20e7b8
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
      sample: DELETE
    path:
      description: The path of the request that failed.
      returned: failure
      type: str
      sample: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/32b6e34b3d91647abb20e7b8
"""

# Must come first: a Python that is too old cannot import the rest.
from ansible_collections.keysmith.mongodb.plugins.module_utils import _python  # pylint: disable=unused-import  # noqa: F401  isort: skip

from collections.abc import Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _module,
    _plan,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    KeysmithError,
    OptionError,
    OwnKeyError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _org_api_keys,
    _resource,
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
    if params["state"] == "present":
        present().check(params)
    elif params["new_description"] is not None:
        raise OptionError(
            "new_description is set with state absent, which would report a renamed key as missing",
            hint="To revoke a key, identify it by api_user_id or by its current description.",
        )


def present() -> Any:
    """Import the code for state present, which revoking a key does not need."""
    from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _key_present

    return _key_present


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    if params["state"] == "absent":
        return ensure_absent(params, api, check_mode)
    return dict(present().ensure(params, api, check_mode))


def ensure_absent(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    key = _org_api_keys.find(api, params["org_id"], params)
    if key is None:
        return {"changed": False, "org_api_key": None, "diff": _plan.absent(None).diff()}
    is_own = _resource.check_not_own(
        api,
        _org_api_keys.API_KEYS,
        key,
        allowed=params["allow_own_key"],
        loss="revoking it and losing this access",
    )
    if is_own and params["wait"]:
        raise OwnKeyError(
            f"This task authenticates, or may authenticate, with the API key {key}. Once the key "
            "is revoked, the task cannot verify that it is gone. Nothing was changed",
            hint="Set wait to false, or use another credential.",
        )
    _org_api_keys.warn_if_last_owner(api, params["org_id"], key)
    plan = _plan.absent(key.writable())
    result = {"changed": plan.is_change, "org_api_key": key.result(), "diff": plan.diff()}
    if check_mode:
        return result
    if not _resource.delete(api, _org_api_keys.API_KEYS.of(params["org_id"]), key):
        # Another task revoked it first.
        return {"changed": False, "org_api_key": None, "diff": _plan.absent(None).diff()}
    if params["wait"]:
        try:
            _resource.await_absence(
                api, _org_api_keys.API_KEYS.of(params["org_id"]), key, params["wait_timeout"]
            )
        except KeysmithError as error:
            error.results = result
            raise
    return result


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, **_argspec.ONE_KEY)


if __name__ == "__main__":
    main()
