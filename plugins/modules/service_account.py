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
  - An account is reported as absent only if the API does not find it and the full list of accounts,
    including system-managed ones, does not contain it.
  - System-managed accounts are never changed or deleted.
  - If the response to a create request is lost, a new account without a secret is looked up and
    used. With a secret, the task fails and lists the client IDs of the accounts that may be left.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
  - keysmith.mongodb.service_account
options:
  state:
    description:
      - V(present) makes sure that the account exists, with the values set. A missing account is
        created only if O(name) identifies it.
      - V(absent) makes sure that the account does not exist. Its secrets and tokens stop working.
    type: str
    choices: [present, absent]
    default: present
  new_name:
    description:
      - The new name of the account, 1 to 64 characters.
      - If no account has O(name) but one has O(new_name), that account is used, so a second run
        changes nothing. The task never creates an account then.
    type: str
  description:
    description:
      - The description of the account, 1 to 250 characters.
      - If unset, a new account gets its name as the description.
    type: str
  roles:
    description:
      - All roles of the account in the organization, at least one. The order does not matter.
      - A new account needs roles. Roles in projects are not changed.
      - One or more of C(ORG_OWNER), C(ORG_MEMBER), C(ORG_GROUP_CREATOR), C(ORG_READ_ONLY),
        C(ORG_BILLING_ADMIN), C(ORG_BILLING_READ_ONLY) and C(ORG_STREAM_PROCESSING_ADMIN).
    type: list
    elements: str
  secret_expires_after_hours:
    description:
      - The lifetime of the first secret of a new account, 8 to 8760 hours. The organization can
        lower the maximum.
      - If unset, the account is created without a secret. Use
        M(keysmith.mongodb.service_account_secret) to create one.
      - It applies only when the account is created, and is not compared later.
    type: int
  credentials_file:
    description:
      - A file for the first secret of a new account, on the machine where the module runs.
      - It is JSON with C(org_id), C(client_id), C(name), C(secret_id), C(client_secret) and
        C(expires_at). Only its owner can read it.
      - The file may exist only if it holds a secret of a deleted account with the same name.
        Otherwise it might be the only copy.
      - If the file cannot be written, the new account is deleted.
      - Needs O(secret_expires_after_hours).
    type: path
  adopt:
    description:
      - Whether the task may add roles to an existing account that O(name) identifies, although
        O(credentials_file) does not hold a secret of it.
      - By default such a task fails before any change, because anyone who may create accounts in a
        project can give an account this name.
    type: bool
    default: false
  wait:
    description:
      - Whether to return only when two requests in a row confirm that the deleted account is
        missing. Ignored with O(state=present).
    type: bool
    default: false
  wait_timeout:
    description:
      - How long to wait, in seconds, more than 0 and up to 86400. Ignored with O(state=present).
    type: float
    default: 60
seealso:
  - name: Atlas Administration API, service accounts
    description: The API that the module calls.
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-service-accounts
"""

EXAMPLES = r"""
- name: Create a service account, with its first secret in a file
  keysmith.mongodb.service_account:
    org_id: "{{ org_id }}"
    name: deploy
    description: Deploys the shop
    roles: [ORG_READ_ONLY]
    secret_expires_after_hours: 2160
    credentials_file: "{{ credentials_file }}"

- name: Change the roles of a service account
  keysmith.mongodb.service_account:
    org_id: "{{ org_id }}"
    service_account_id: "{{ service_account_id }}"
    roles: [ORG_MEMBER]

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
    - The service account as it is now, or would be in check mode.
    - With O(state=absent), the account as it was before it was deleted, or V(none) if it did not
      exist.
  returned: success, and if a task fails after a change
  type: dict
  sample:
    client_id: mdb_sa_id_32b6e34b3d91647abb20e7b8
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
      description: The client ID, V(none) for an account that check mode would create.
      returned: success
      type: str
      sample: mdb_sa_id_32b6e34b3d91647abb20e7b8
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
      description: When the account was created, V(none) for one that check mode would create.
      returned: success
      type: str
      sample: "2026-11-28T12:00:00Z"
    secrets:
      description: The secrets of the account. Their values are never returned.
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
          description: When the secret expires or expired.
          returned: success
          type: str
          sample: "2027-02-26T12:00:00Z"
        last_used_at:
          description: When the secret was last used to get a token, V(none) if it never was.
          returned: success
          type: str
          sample: "2026-12-01T06:30:00Z"
client_secret:
  description:
    - The first secret of a new account. It cannot be read again later. Set C(no_log), or use
      O(credentials_file), which leaves it out.
  returned: when an account was created with a secret and without O(credentials_file)
  type: str
  sample: mdb_sa_sk_...
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
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._service_accounts import (
    SERVICE_ACCOUNTS,
    ServiceAccount,
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
    """Refuse parameters that identify no account or several, or that no account can have."""
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
    for name in ("name", "new_name"):
        _argspec.check_account_text(name, params[name], _argspec.MAX_NAME)
    _argspec.check_account_text("description", params["description"], _argspec.MAX_DESCRIPTION)
    if params["roles"] is not None:
        _argspec.check_roles(params["platform"], params["roles"])
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
        _service_accounts.check_not_managed(account)
    return _absence.ensure(
        api,
        SERVICE_ACCOUNTS.of(params["org_id"]),
        account,
        params,
        check_mode=check_mode,
        writable=ServiceAccount.writable,
    )


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, **_argspec.ONE_ACCOUNT)


if __name__ == "__main__":
    main()
