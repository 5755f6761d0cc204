#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: service_account_secret
short_description: Manage the secrets of a service account
version_added: 3.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Makes sure that a service account has a valid secret, or deletes a secret.
  - The API returns the value of a secret only once. With O(credentials_file), the task creates a
    secret only if the file does not hold one that is valid for long enough. To renew the secret
    before it expires, run the same task regularly.
  - An account has at most two secrets. An expired secret counts until it is deleted. The API's
    clock determines whether a secret has expired.
  - A new secret shortens the lifetime of the other one to seven days at most. This cannot be
    undone. The task warns and shows the new expiry time in RV(other_secrets).
  - If the response to a create request is lost, the request is not repeated. The task fails with
    the IDs of any secrets that it may have left behind.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
  - keysmith.mongodb.service_account
options:
  state:
    description:
      - What the task does.
      - V(present) makes sure that the account has a valid secret. If the account does not exist,
        the task fails.
      - V(absent) makes sure that the secret O(secret_id) does not exist.
    type: str
    choices: [present, absent]
    default: present
  secret_id:
    description:
      - The ID of the secret to delete, 24 hexadecimal digits. Required with O(state=absent),
        rejected with O(state=present).
    type: str
  secret_expires_after_hours:
    description:
      - The lifetime of a new secret, 8 to 8760 hours. The organization can lower the maximum.
      - Required with O(state=present). The expiry time of an existing secret cannot be changed.
    type: int
  credentials_file:
    description:
      - A file on the host where the module runs. A new secret is written to this file, and the
        result does not contain RV(client_secret).
      - The file contains a JSON object with C(org_id), C(client_id), C(name), C(secret_id),
        C(client_secret) and C(expires_at). Only its owner can read it.
      - The task changes nothing if the account still has the secret in the file and this secret
        expires in more than O(renew_before_hours) hours. Otherwise, it creates a secret and
        replaces the file in one step.
      - A file that holds anything other than a secret of this account is never replaced.
      - If the file cannot be written, the new secret is deleted.
      - If this option is unset, any valid secret of the account is enough. The task then warns that
        its value cannot be read again.
    type: path
  renew_before_hours:
    description:
      - How many hours before its expiry a secret is replaced, 0 or more. With V(0), it is replaced
        only after it has expired.
      - It must be less than O(secret_expires_after_hours), and should be at most half of it.
        Otherwise, the old secret may still be valid when the next one is needed.
      - The old secret stays valid until it expires, but for no longer than seven days. All
        consumers must read the file again within that time.
    type: float
    default: 0
  force:
    description:
      - Whether to create a secret even if there is a valid one. With V(true), every run creates a
        secret.
    type: bool
    default: false
  make_room:
    description:
      - Which secret to delete if the task must create one and the account already has two.
      - V(expired) deletes an expired secret. V(oldest) deletes an expired secret or, if there is
        none, the older one. V(none) deletes nothing.
      - If there is no room, the task changes nothing and fails with a list of the secrets.
      - A secret that the task may be authenticating with is never deleted to make room, even if
        O(allow_own_account) is set. The only exception is one that expired more than an hour ago.
    type: str
    choices: [expired, oldest, none]
    default: expired
notes:
  - The signing credential needs the role Organization Owner (C(ORG_OWNER)). In check mode, or if
    the task changes nothing, Organization Read Only (C(ORG_READ_ONLY)) is enough.
  - The API does not show which secret an access token was fetched with. A task with O(client_id)
    compares O(client_secret) with the visible ends of the masked secrets, if the API returns them.
    A secret that expired more than an hour ago cannot be the one in use.
  - If the API's responses contain the time, that time determines whether a secret has expired.
seealso:
  - name: Atlas Administration API, service accounts
    description: The API that the module calls.
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-service-accounts
"""

EXAMPLES = r"""
- name: Keep a valid secret in a file and replace it a week before it expires
  keysmith.mongodb.service_account_secret:
    org_id: "{{ org_id }}"
    service_account_id: "{{ service_account_id }}"
    secret_expires_after_hours: 2160
    renew_before_hours: 168
    credentials_file: "{{ credentials_file }}"

- name: Replace a leaked secret in the file
  keysmith.mongodb.service_account_secret:
    org_id: "{{ org_id }}"
    service_account_id: "{{ service_account_id }}"
    secret_expires_after_hours: 2160
    credentials_file: "{{ credentials_file }}"
    force: true

- name: Delete the leaked secret
  keysmith.mongodb.service_account_secret:
    org_id: "{{ org_id }}"
    service_account_id: "{{ service_account_id }}"
    secret_id: "{{ secret_id }}"
    state: absent
"""

RETURN = r"""
service_account_secret:
  description:
    - The valid secret, without its value. With O(state=absent), the deleted secret as it was, or
      V(none) if there was nothing to delete.
  returned: success
  type: dict
  sample:
    client_id: mdb_sa_id_6718e34b3d91647abb20e7b8
    id: 32b6e34b3d91647abb20e7b9
    created_at: "2026-11-28T12:00:00Z"
    expires_at: "2027-02-26T12:00:00Z"
    last_used_at: null
  contains:
    client_id:
      description: The client ID of the account.
      returned: success
      type: str
      sample: mdb_sa_id_6718e34b3d91647abb20e7b8
    id:
      description: The ID of the secret. In check mode, V(none) for a new secret.
      returned: success
      type: str
      sample: 32b6e34b3d91647abb20e7b9
    created_at:
      description: When the secret was created. In check mode, V(none) for a new secret.
      returned: success
      type: str
      sample: "2026-11-28T12:00:00Z"
    expires_at:
      description: When the secret expires. In check mode, V(none) for a new secret.
      returned: success
      type: str
      sample: "2027-02-26T12:00:00Z"
    last_used_at:
      description: When a token was last fetched with the secret. V(none) if it was never used.
      returned: success
      type: str
      sample: "2026-12-01T06:30:00Z"
other_secrets:
  description:
    - The other secrets of the account, with their expiry times after the task. Each has C(id),
      C(created_at), C(expires_at) and C(last_used_at).
  returned: success
  type: list
  elements: dict
  sample: []
client_secret:
  description:
    - The value of a new secret. It cannot be read again. Set C(no_log=true), or use
      O(credentials_file), which keeps the value out of the result.
  returned: if the task created a secret and O(credentials_file) is unset
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
    _account_secrets,
)

ARGUMENT_SPEC: _argspec.Spec = {
    **_argspec.SERVICE_ACCOUNT,
    **_argspec.STATE,
    "secret_id": {"type": "str", "no_log": False},
    "secret_expires_after_hours": {"type": "int", "no_log": False},
    "credentials_file": {"type": "path", "no_log": False},
    "renew_before_hours": {"type": "float", "default": 0},
    "force": {"type": "bool", "default": False},
    "make_room": {"type": "str", "choices": ["expired", "oldest", "none"], "default": "expired"},
}
RULES = [
    ("state", "present", ("secret_expires_after_hours",)),
    ("state", "absent", ("secret_id",)),
]


def check(params: Mapping[str, Any]) -> None:
    """Refuse parameters that do not identify one account, and times that no secret can have."""
    _argspec.check_account(params)
    hours, renew_before = params["secret_expires_after_hours"], params["renew_before_hours"]
    if params["state"] == "absent":
        _argspec.check_id("secret_id", params["secret_id"])
        return
    if params["secret_id"] is not None:
        raise OptionError(
            "secret_id is set with state present",
            hint="The API chooses the ID of a new secret. To delete one, set state to absent.",
        )
    _argspec.check_hours("secret_expires_after_hours", hours)
    if not 0 <= renew_before < hours:
        raise OptionError(
            f"renew_before_hours is {renew_before:g}",
            hint="It must be 0 or more, and less than secret_expires_after_hours "
            f"({hours}). Otherwise each run would create a secret.",
        )


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    if params["state"] == "absent":
        return _account_secrets.ensure_absent(params, api, check_mode)
    return _account_secrets.ensure(params, api, check_mode)


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, required_if=RULES, **_argspec.ONE_ACCOUNT)


if __name__ == "__main__":
    main()
