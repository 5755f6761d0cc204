#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: service_account
short_description: Manage a service account of an organization
version_added: 3.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Creates, changes and deletes a service account of an organization.
  - An account is reported as absent only if the full list of accounts, including those that MongoDB
    manages, does not contain it.
  - Accounts that MongoDB manages are never changed or deleted.
  - If the response to a create request is lost, the request is not repeated. The module then looks
    for the new account. If it was created without a secret, the task continues with it. Otherwise,
    the task fails and reports the account, because its secret is lost.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
  - keysmith.mongodb.service_account
options:
  state:
    description:
      - The state that the account should have.
      - V(present) makes sure that the account exists with the specified name, description and
        roles. A missing account is created only if O(name) identifies it.
      - V(absent) makes sure that the account does not exist. Its secrets then stop working.
    type: str
    choices: [present, absent]
    default: present
  new_name:
    description:
      - The new name of the account, 1 to 64 characters.
      - If no account has O(name) but one has O(new_name), the task uses that account. A second run
        therefore changes nothing. If both exist, or neither does, the task fails.
      - If this option is set, the task never creates an account.
      - Rejected with O(state=absent), because the task would report a renamed account as absent.
    type: str
  description:
    description:
      - The description of the account, 1 to 250 characters.
      - If this option is unset, a new account gets O(name) as its description, and an existing one
        keeps its description.
      - Like a name, it can contain letters, digits, spaces and the characters C(-_.,').
    type: str
  roles:
    description:
      - All roles of the account in the organization, at least one. The order does not matter.
      - A new account requires roles. If this option is unset, an existing account keeps its roles.
      - C(ORG_OWNER), C(ORG_MEMBER), C(ORG_GROUP_CREATOR), C(ORG_READ_ONLY), C(ORG_BILLING_ADMIN)
        and C(ORG_BILLING_READ_ONLY) are available on Atlas and Cloud Manager.
        C(ORG_STREAM_PROCESSING_ADMIN) is available on Atlas.
      - Roles in projects are never changed.
    type: list
    elements: str
  secret_expires_after_hours:
    description:
      - The lifetime of the first secret of a new account, 8 to 8760 hours. The organization can
        lower the maximum.
      - If this option is unset, a new account has no secret. Create one with
        M(keysmith.mongodb.service_account_secret).
      - Ignored if the account exists.
    type: int
  credentials_file:
    description:
      - A file on the host where the module runs. The first secret of a new account is written to
        this file, and the result does not contain RV(client_secret). Requires
        O(secret_expires_after_hours).
      - The file contains a JSON object with C(org_id), C(client_id), C(name), C(secret_id),
        C(client_secret) and C(expires_at). Only its owner can read it.
      - Before creating the account, the module checks that the directory is writable.
      - An existing file is overwritten only if it holds a secret of a deleted account with the same
        name. Any other file might be the only copy of a secret.
      - If the file cannot be written, the new account is deleted.
      - If the account exists and the file does not hold one of its secrets, the task warns and does
        not change the file. To write a new secret to the file, use
        M(keysmith.mongodb.service_account_secret).
    type: path
  adopt:
    description:
      - Whether the task may add roles to an existing account whose secret is not in
        O(credentials_file). This applies only if O(name) identifies the account.
      - By default, such a task fails and changes nothing. Anyone who can create accounts in a
        project can give an account this name.
      - Without O(credentials_file), the task does not fail, but it warns if such an account gains
        C(ORG_OWNER).
    type: bool
    default: false
  wait:
    description:
      - Whether to wait until two consecutive requests confirm that the deleted account no longer
        exists. Ignored with O(state=present).
    type: bool
    default: false
  wait_timeout:
    description:
      - The maximum time to wait, in seconds, more than 0 and up to 86400. Ignored with
        O(state=present).
    type: float
    default: 60
notes:
  - The signing credential needs the role Organization Owner (C(ORG_OWNER)). In check mode, or if
    the task changes nothing, Organization Read Only (C(ORG_READ_ONLY)) is enough.
  - If the response to a change contradicts the task, the module keeps reading the account for up to
    10 seconds. If the account still differs, the task fails with
    C(error.type=unexpected_response). If the task has just created the account, it is deleted.
seealso:
  - name: Atlas Administration API, service accounts
    description: The API that the module calls.
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-service-accounts
"""

EXAMPLES = r"""
- name: Create a service account without a secret
  keysmith.mongodb.service_account:
    org_id: "{{ org_id }}"
    name: deploy
    description: Deploys the shop
    roles: [ORG_READ_ONLY]

- name: Create a service account and write its first secret to a file
  keysmith.mongodb.service_account:
    org_id: "{{ org_id }}"
    name: deploy
    roles: [ORG_READ_ONLY]
    secret_expires_after_hours: 2160
    credentials_file: "{{ credentials_file }}"

- name: Change the roles and the description of a service account
  keysmith.mongodb.service_account:
    org_id: "{{ org_id }}"
    service_account_id: "{{ service_account_id }}"
    roles: [ORG_MEMBER]
    description: Deploys the shop and the blog

- name: Rename a service account
  keysmith.mongodb.service_account:
    org_id: "{{ org_id }}"
    name: deploy
    new_name: shop deployment

- name: Delete a service account and wait until it is gone
  keysmith.mongodb.service_account:
    org_id: "{{ org_id }}"
    service_account_id: "{{ service_account_id }}"
    state: absent
    wait: true
"""

RETURN = r"""
service_account:
  description:
    - The account after the task. In check mode, the account as it would be.
    - With O(state=absent), the deleted account as it was. V(none) if there was nothing to delete.
  returned: success, and if a task fails after a change
  type: dict
  sample:
    client_id: mdb_sa_id_6718e34b3d91647abb20e7b8
    name: deploy
    description: Deploys the shop
    roles: [ORG_READ_ONLY]
    created_at: "2026-11-28T12:00:00Z"
    secrets:
      - id: 32b6e34b3d91647abb20e7b9
        created_at: "2026-11-28T12:00:00Z"
        expires_at: "2027-02-26T12:00:00Z"
        last_used_at: null
  contains:
    client_id:
      description: The client ID. In check mode, V(none) for a new account.
      returned: success
      type: str
      sample: mdb_sa_id_6718e34b3d91647abb20e7b8
    name:
      description: The name.
      returned: success
      type: str
      sample: deploy
    description:
      description: The description.
      returned: success
      type: str
      sample: Deploys the shop
    roles:
      description: The roles in the organization, sorted.
      returned: success
      type: list
      elements: str
      sample: [ORG_READ_ONLY]
    created_at:
      description: When the account was created. In check mode, V(none) for a new account.
      returned: success
      type: str
      sample: "2026-11-28T12:00:00Z"
    secrets:
      description:
        - The secrets of the account, without their values. C(null) if the API did not list them.
      returned: success
      type: list
      elements: dict
      sample: []
      contains:
        id:
          description: The ID of the secret.
          returned: success
          type: str
          sample: 32b6e34b3d91647abb20e7b9
        created_at:
          description: When the secret was created.
          returned: success
          type: str
          sample: "2026-11-28T12:00:00Z"
        expires_at:
          description: When the secret expires, or when it expired.
          returned: success
          type: str
          sample: "2027-02-26T12:00:00Z"
        last_used_at:
          description: When a token was last fetched with the secret. V(none) if it was never used.
          returned: success
          type: str
          sample: "2026-12-01T06:30:00Z"
client_secret:
  description:
    - The value of the first secret of a new account. It cannot be read again. Set C(no_log=true),
      or use O(credentials_file), which keeps the value out of the result.
  returned: if the task created an account with a secret and O(credentials_file) is unset
  type: str
  sample: mdb_sa_sk_...
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
    path: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/serviceAccounts
"""

# Imported first, because a Python that is too old cannot import the rest.
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
    _service_accounts,
)

ARGUMENT_SPEC: _argspec.Spec = {
    **_argspec.SERVICE_ACCOUNT,
    **_argspec.STATE,
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "float", "default": 60},
    "new_name": {"type": "str"},
    "description": {"type": "str"},
    "roles": {"type": "list", "elements": "str"},
    "secret_expires_after_hours": {"type": "int", "no_log": False},
    "credentials_file": {"type": "path", "no_log": False},
    "adopt": {"type": "bool", "default": False},
}


def check(params: Mapping[str, Any]) -> None:
    """Refuse parameters that do not identify one account, or that no account can have."""
    _argspec.check_account(params)
    if params["state"] == "absent":
        if params["new_name"] is not None:
            raise OptionError(
                "new_name is set with state absent, which would report a renamed account as "
                "missing",
                hint="To delete an account, identify it by service_account_id, or by the name that "
                "it has now.",
            )
        return
    _argspec.check_account_text("new_name", params["new_name"], _argspec.MAX_NAME)
    _argspec.check_account_text("description", params["description"], _argspec.MAX_DESCRIPTION)
    if params["roles"] is not None:
        account = {"noun": "service account", "in_project": "project_service_account"}
        _argspec.check_roles(params["platform"], params["roles"], **account)
    _argspec.check_hours("secret_expires_after_hours", params["secret_expires_after_hours"])
    if params["credentials_file"] and params["secret_expires_after_hours"] is None:
        raise OptionError(
            "credentials_file is set without secret_expires_after_hours",
            hint="Without it, a new account has no secret. Set the hours, or use "
            "service_account_secret.",
        )


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    if params["state"] == "present":
        from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
            _account_present,
        )

        return _account_present.ensure(params, api, check_mode)
    account = _service_accounts.find(api, params)
    if account:
        _service_accounts.check_not_managed(api, params["org_id"], account)
    return _absence.ensure(
        api,
        _service_accounts.SERVICE_ACCOUNTS.of(params["org_id"]),
        account,
        params,
        check_mode=check_mode,
        writable=_service_accounts.ServiceAccount.writable,
    )


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, **_argspec.ONE_ACCOUNT)


if __name__ == "__main__":
    main()
