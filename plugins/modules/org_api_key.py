#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: org_api_key
short_description: Revoke a programmatic API key of an organization
version_added: 1.0.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Makes sure that a programmatic API key of an organization does not exist, in MongoDB Atlas,
    Cloud Manager or Ops Manager.
  - A key is called missing only when the API says so (error code C(API_KEY_NOT_FOUND)), or when the
    complete listing of the organization's keys lacks it. Every other answer, such as a refused
    credential, a missing organization or a sign-on page, fails the task.
  - Revoking a key also takes it from all projects it is assigned to. The return value
    RV(org_api_key.projects) and the diff name them.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
options:
  state:
    description:
      - V(absent) makes sure that the key does not exist.
    type: str
    choices: [absent]
    required: true
  api_user_id:
    description:
      - The id of the key, 24 hexadecimal digits. The APIs call it C(apiUserId) and C(API-KEY-ID).
      - Exactly one of O(api_user_id), O(public_key) and O(description) names the key. An empty
        string counts as not given.
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
  allow_own_key:
    description:
      - Whether the key that signs the requests may be revoked.
      - By default such a task fails, in check mode too, because it would lock out its own user. It
        also fails when the API does not tell the public key of the key, so that it cannot be
        compared.
      - Only a key pair (O(api_public_key)) is an API key. A service account or an access token has
        no API key of its own, and so nothing is refused.
    type: bool
    default: false
  wait:
    description:
      - Whether to return only when the API itself answers that the revoked key is missing. The
        APIs forget a key with a delay.
      - This cannot be done for the key that signs the requests, since the API can no longer be
        asked then.
    type: bool
    default: false
  wait_timeout:
    description:
      - How long to wait at most, in seconds, more than 0. When the time is over, the task fails
        and says that the revocation was accepted.
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

- name: Revoke by description with a service account, and say why it failed if it did
  block:
    - name: Revoke the key of a service that is no more
      keysmith.mongodb.org_api_key:
        client_id: "{{ client_id }}"
        client_secret: "{{ client_secret }}"
        org_id: "{{ org_id }}"
        description: "{{ description }}"
        state: absent
  rescue:
    - name: Tell the API's own error code
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result.error.code | default('no answer', true) }}"
"""

RETURN = r"""
org_api_key:
  description:
    - The key as it was before it was revoked, or as it would be revoked in check mode.
    - V(none) when there was no such key.
  returned: success
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
      description: The description of the key.
      returned: success
      type: str
      sample: backup of the billing cluster
    roles:
      description: The names of its roles in the organization, sorted.
      returned: success
      type: list
      elements: str
      sample: [ORG_MEMBER]
    projects:
      description: The projects that lose the key, sorted by id.
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
error:
  description: What went wrong, for C(rescue) blocks. A value that is not known is V(none).
  returned: failure
  type: dict
  sample:
    status: 401
    code: USER_UNAUTHORIZED
    reason: Unauthorized
    detail: Current user is not authorized to perform this action.
    parameters: []
    method: DELETE
    path: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/32b6e34b3d91647abb20e7b8
  contains:
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

from collections.abc import Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _module,
    _options,
    _org_api_keys,
    _plan,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    KeysmithError,
    OptionError,
    OwnKeyError,
)

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["absent"], "required": True},
    "api_user_id": {"type": "str", "aliases": ["id"]},
    "public_key": {"type": "str", "no_log": False},
    "description": {"type": "str", "aliases": ["desc"]},
    "allow_own_key": {"type": "bool", "default": False, "no_log": False},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "float", "default": 60},
}


def check(params: Mapping[str, Any]) -> None:
    """Refuse parameters that name no key, or more than one."""
    _module.require_org_id(params)
    names = [name for name in ("api_user_id", "public_key", "description") if params[name]]
    if len(names) != 1:
        raise OptionError(
            f"{' and '.join(names)} are given" if names else "No key is named",
            check="Name the key by exactly one of api_user_id, public_key and description.",
        )
    if params["api_user_id"]:
        _options.check_id("api_user_id", params["api_user_id"])
    if params["public_key"]:
        _options.check_public_key(params["public_key"])
    _options.check_seconds("wait_timeout", params["wait_timeout"], zero=False)


def find(params: Mapping[str, Any], api: Client) -> _org_api_keys.OrgApiKey | None:
    """Return the key that the task names, None where it is proved missing."""
    org_id = params["org_id"]
    if params["api_user_id"]:
        return _org_api_keys.find_by_id(api, org_id, params["api_user_id"])
    if params["public_key"]:
        return _org_api_keys.find_by_public_key(api, org_id, params["public_key"])
    return _org_api_keys.find_by_description(api, org_id, params["description"])


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    key = find(params, api)
    if key is None:
        return {"changed": False, "org_api_key": None, "diff": _plan.absent(None).diff()}
    is_own = _org_api_keys.check_not_own(
        api, key, allowed=params["allow_own_key"], loss="revoking it and losing this access"
    )
    if is_own and params["wait"]:
        raise OwnKeyError(
            f"The API key {key} signs the requests, or may do so. Once it is revoked, the API "
            "cannot be asked whether it is gone, and nothing was changed",
            check="Set wait to false, or use another credential.",
        )
    plan = _plan.absent(key.writable())
    result = {"changed": plan.is_change, "org_api_key": key.result(), "diff": plan.diff()}
    if check_mode:
        return result
    if not _org_api_keys.revoke(api, params["org_id"], key):
        # Somebody else was faster: there is nothing that this task has changed.
        return {"changed": False, "org_api_key": None, "diff": _plan.absent(None).diff()}
    if params["wait"]:
        try:
            _org_api_keys.await_absence(api, params["org_id"], key, params["wait_timeout"])
        except KeysmithError as error:
            error.results = result
            raise
    return result


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run)


if __name__ == "__main__":
    main()
