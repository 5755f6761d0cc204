#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: project_api_key
short_description: Assign a programmatic API key to a project
version_added: 1.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Assigns an organization's programmatic API key to a project, changes its roles there, or removes
    it from the project. Works with MongoDB Atlas, Cloud Manager and Ops Manager.
  - The key itself, its roles in the organization and its other projects are never changed. To
    create or revoke a key, use M(keysmith.mongodb.org_api_key).
  - A key is reported as not assigned only if the full list of the project's keys does not contain
    it.
  - With O(state=absent), a project that does not exist (error code C(GROUP_NOT_FOUND)) counts as a
    project without keys. The task warns and shows the ID, because O(project_id) could be wrong.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
  - keysmith.mongodb.look_alikes
options:
  project_id:
    description:
      - The ID of the project, 24 lowercase hexadecimal digits. The APIs call it C(groupId) and
        C(PROJECT-ID).
    type: str
    required: true
    aliases: [group_id]
  state:
    description:
      - The state that the assignment should have.
      - V(present) makes sure that the key is assigned to the project with exactly O(roles). If the
        key does not exist in the organization, the task fails.
      - V(absent) makes sure that the key is not assigned to the project. The key stays in the
        organization.
    type: str
    choices: [present, absent]
    default: present
  api_user_id:
    description:
      - The ID of the key, 24 lowercase hexadecimal digits. The APIs call it C(apiUserId) and
        C(API-KEY-ID).
      - Exactly one of O(api_user_id), O(public_key) and O(description) identifies the key.
    type: str
    aliases: [id]
  public_key:
    description:
      - The public key of the key, 8 visible ASCII characters. The module looks it up in the full
        list of the project's keys, and then in the full list of the organization's keys.
    type: str
  description:
    description:
      - The full description of the key. The module looks it up in the full list of the
        organization's keys.
      - Descriptions are not unique. If several keys have this one, the task changes nothing and
        fails with their IDs and public keys.
    type: str
    aliases: [desc]
  roles:
    description:
      - All roles of the key in the project, at least one. The order does not matter.
      - Each begins with C(GROUP_), such as C(GROUP_READ_ONLY) and C(GROUP_OWNER). Which roles exist
        depends on O(platform).
      - Required with O(state=present), ignored with O(state=absent).
    type: list
    elements: str
  allow_own_key:
    description:
      - Whether the task may remove its signing credential, or one of its roles, from the project.
      - By default, such a task fails, even in check mode, because you would lock yourself out.
      - It also fails if the API does not return the key's public key, because the key could then be
        the signing credential.
      - Only a key pair (O(api_public_key)) is an API key, so this option has no effect with other
        credentials.
    type: bool
    default: false
seealso:
  - module: keysmith.mongodb.org_api_key
  - module: keysmith.mongodb.org_api_key_info
  - name: Atlas Administration API, programmatic API keys
    description: The API of O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-programmatic-api-keys
  - name: Ops Manager, project API keys
    description: The API of O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/api-keys/project/
notes:
  - The signing credential needs the role Project Owner in the project to assign a key. On Atlas, it
    needs Project Access Manager to change a key's roles or to remove the key. On Cloud Manager and
    Ops Manager, it needs Project Owner for this too.
  - To find a key in the organization's list, it also needs Organization Member (C(ORG_MEMBER)).
  - The APIs are eventually consistent. If the API does not find a key that the task has just read,
    the change is retried for up to 10 seconds.
  - If the response to a change is lost or contradicts the task, the change is not sent again. The
    module keeps reading the project's list for up to 10 seconds. If the list still differs from the
    task, the task fails and reports what the list shows.
"""

EXAMPLES = r"""
- name: Allow an API key to read a project
  keysmith.mongodb.project_api_key:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    project_id: "{{ project_id }}"
    api_user_id: "{{ api_user_id }}"
    roles: [GROUP_READ_ONLY]

- name: Remove a key from a project but keep it in the organization
  keysmith.mongodb.project_api_key:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    project_id: "{{ project_id }}"
    public_key: "{{ public_key }}"
    state: absent

- name: Set the roles of a key in a project of Ops Manager
  keysmith.mongodb.project_api_key:
    platform: ops_manager
    base_url: "{{ ops_manager_url }}"
    ca_path: "{{ ops_manager_ca }}"
    api_public_key: "{{ ops_manager_public_key }}"
    api_private_key: "{{ ops_manager_private_key }}"
    org_id: "{{ ops_manager_org_id }}"
    project_id: "{{ ops_manager_project_id }}"
    description: "{{ ops_manager_description }}"
    roles:
      - GROUP_READ_ONLY
      - GROUP_DATA_ACCESS_READ_ONLY
"""

RETURN = r"""
project_api_key:
  description:
    - The assignment after the task, or as it would be in check mode. V(none) if the key is not
      assigned to the project.
  returned: success
  type: dict
  sample:
    project_id: 5e2211c17a3e5a48f5497de3
    api_user_id: 6718e34b3d91647abb20e7b8
    public_key: zmmrboas
    created_at: "2024-10-23T11:51:07Z"
    description: backup of the billing cluster
    roles: [GROUP_READ_ONLY]
  contains:
    project_id:
      description: The ID of the project.
      returned: success
      type: str
      sample: 5e2211c17a3e5a48f5497de3
    api_user_id:
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
        - When the key was created, in UTC. The key may have been assigned later.
        - The API does not return it. The module derives it from the key's ID, whose first 8 digits
          encode it in seconds since 1970.
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
      description: The key's roles in the project, sorted.
      returned: success
      type: list
      elements: str
      sample: [GROUP_READ_ONLY]
error:
  description:
    - Why the task failed, for C(rescue) blocks. RV(keysmith.mongodb.org_api_key#module:error)
      describes the fields.
  returned: failure
  type: dict
  sample:
    type: api
    status: 400
    code: INVALID_ENUM_VALUE
    reason: Bad Request
    detail: An invalid enumeration value GROUP_READER was specified.
    parameters: [GROUP_READER]
    method: POST
    path: /api/atlas/v2/groups/5e2211c17a3e5a48f5497de3/apiKeys/6718e34b3d91647abb20e7b8
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
    _assignment_task,
    _org_api_keys,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._project_api_keys import (
    PROJECT_API_KEYS,
)

ARGUMENT_SPEC: _argspec.Spec = {
    "project_id": {"type": "str", "required": True, "aliases": ["group_id"]},
    **_argspec.STATE,
    **_argspec.KEY,
    "roles": {"type": "list", "elements": "str"},
    **_argspec.ALLOW_OWN_KEY,
}


def check(params: Mapping[str, Any]) -> None:
    if params["state"] == "present":
        _argspec.check_project_roles(params["roles"])


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    def find(assigned: Mapping[str, OrgApiKey]) -> OrgApiKey:
        """Return the key, from the project's keys if possible."""
        named = params["api_user_id"] or params["public_key"]
        for key in assigned.values():
            if named and named in {key.id, key.public_key}:
                return key
        found = _org_api_keys.find(api, params["org_id"], params)
        if found is None:
            raise _org_api_keys.not_found(params["org_id"], params, _org_api_keys.CREATE_FIRST)
        return found

    task = _assignment_task.Task(api, PROJECT_API_KEYS, params)
    return _assignment_task.ensure(task, find, check_mode)


def main() -> None:
    _module.execute(
        ARGUMENT_SPEC,
        check,
        run,
        **_argspec.ONE_KEY,
        required_if=[("state", "present", ["roles"])],
    )


if __name__ == "__main__":
    main()
