#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: access_token
short_description: Fetch or revoke an access token for many tasks
version_added: 3.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Fetches an access token of a service account, or revokes one. Set the token as O(access_token)
    in other tasks. All modules of this collection accept it.
  - A task that authenticates with O(client_id) and O(client_secret) fetches its own token. The API
    allows 50 token requests per minute for each account and address. A play with many tasks should
    therefore fetch one token and revoke it at the end.
  - A token is valid for one hour. It cannot be renewed.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
attributes:
  check_mode:
    description: In check mode, O(state=absent) revokes nothing and reports whether it would revoke
      the token.
    details:
      - O(state=present) fetches a token in check mode too, because later tasks need it to read. The
        token expires after one hour. To revoke it in check mode as well, set C(check_mode=false)
        for the task with O(state=absent).
    support: partial
  diff_mode:
    description: There is no diff, because a token has no fields that can be changed.
    support: N/A
  idempotent:
    description: O(state=absent) changes nothing when run a second time.
    details:
      - O(state=present) fetches a new token each time.
    support: partial
options:
  state:
    description:
      - What the task does.
      - V(present) fetches a new token. Unlike other tasks, it does not revoke the token at its end.
      - V(absent) revokes O(token).
      - V(identified) sends no request. It returns RV(fingerprint), which shows which hosts of a
        play can share a token.
    type: str
    choices: [present, absent, identified]
    default: present
  token:
    description:
      - The token to revoke, without the word C(Bearer). Required with O(state=absent), and not
        allowed otherwise.
      - The task first checks whether the token still works. If not, it reports no change. After it
        has revoked the token, it checks that the token no longer works.
      - Only the account that fetched a token can revoke it.
    type: str
notes:
  - Authenticate with O(client_id) and O(client_secret), or their environment variables. No role is
    required.
  - O(access_token) must not be set, not even in C(module_defaults), except with O(state=absent).
  - With O(state=absent), O(access_token) is ignored. An O(client_id) next to it is also ignored if
    O(client_secret) is not set.
  - The module does not use O(org_id).
  - The token is part of the result. The module does not mask it in the output, because other tasks
    could not use a masked token. Set C(no_log=true), as in the examples.
  - Do not store the token with M(ansible.builtin.set_fact), because a fact cache can write it to
    disk.
  - Works with Atlas and with the preview of service accounts in Cloud Manager. Ops Manager has no
    service accounts.
  - Tested with an emulator, not with the real API.
seealso:
  - name: Long plays and tokens
    description: The section of the authentication guide.
    link: https://github.com/keysmith/keysmith.mongodb/blob/main/docs/docsite/rst/guide_authentication.rst
"""

EXAMPLES = r"""
- name: Use one token for several tasks
  block:
    - name: Fetch the token
      keysmith.mongodb.access_token:
        client_id: "{{ client_id }}"
        client_secret: "{{ client_secret }}"
      register: token
      no_log: true

    - name: Use the token
      module_defaults:
        group/keysmith.mongodb.all:
          org_id: "{{ org_id }}"
          access_token: "{{ token.access_token }}"
          client_id: "{{ client_id }}"
      block:
        - name: Read the keys
          keysmith.mongodb.org_api_key_info:

        - name: Revoke the contractor's key
          keysmith.mongodb.org_api_key:
            description: "{{ description }}"
            state: absent
  always:
    - name: Revoke the token
      keysmith.mongodb.access_token:
        client_id: "{{ client_id }}"
        client_secret: "{{ client_secret }}"
        token: "{{ token.access_token }}"
        state: absent
      when: token.access_token is defined
      no_log: true
"""

RETURN = r"""
access_token:
  description: The token. It is a secret, so set C(no_log=true) for the task.
  returned: success and O(state=present)
  type: str
  sample: eyJhbGciOiJFUzUxMiIs...
token_type:
  description: The type of the token.
  returned: success and O(state=present)
  type: str
  sample: Bearer
expires_in:
  description: The lifetime of the token in seconds. V(none) if the API does not return it.
  returned: success and O(state=present)
  type: int
  sample: 3600
expires_at:
  description: When the token expires. V(none) if the API does not return its lifetime.
  returned: success and O(state=present)
  type: str
  sample: "2026-11-28T13:00:00Z"
client_id:
  description: The client ID of the task's service account.
  returned: success
  type: str
  sample: mdb_sa_id_6718e34b3d91647abb20e7b8
fingerprint:
  description:
    - A hash of the platform, its address, the client ID and the client secret. Tasks that return
      the same value can share a token.
    - It does not reveal the secret.
  returned: success and O(state=identified)
  type: str
  sample: af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf
error:
  description:
    - Why the task failed, for C(rescue) blocks. RV(keysmith.mongodb.org_api_key#module:error)
      describes the fields.
  returned: failure
  type: dict
  sample:
    type: limit
    status: 429
    code: RATE_LIMITED
    reason: Too Many Requests
    detail: Resource /api/oauth/token is limited to 50 requests every 1 minutes.
    parameters: [/api/oauth/token, 50, 1]
    method: POST
    path: /api/oauth/token
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
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    AccessToken,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    PLATFORMS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._resolve import (
    check_credential,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _access_tokens

ARGUMENT_SPEC: _argspec.Spec = {
    "state": {
        "type": "str",
        "choices": ["present", "absent", "identified"],
        "default": "present",
    },
    "token": {"type": "str", "no_log": True},
}


def is_absent(params: Mapping[str, Any]) -> bool:
    return bool(params["state"] == "absent")


def check(params: Mapping[str, Any]) -> None:
    """Refuse a platform without tokens, and a token that is invalid or not needed."""
    _argspec.check_has_accounts(params)
    if params["token"] is None:
        return
    if not is_absent(params):
        raise OptionError(
            f"token is set with state {params['state']}",
            hint="To revoke it, set state to absent. To use it, set access_token in other tasks.",
        )
    check_credential("token", AccessToken(params["token"]), PLATFORMS[params["platform"]])


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    _access_tokens.check_signer(api)
    if is_absent(params):
        return _access_tokens.revoke(api, params["token"], check_mode)
    if params["state"] == "identified":
        return _access_tokens.identify(api)
    return _access_tokens.fetch(api)


def main() -> None:
    _module.execute(
        ARGUMENT_SPEC,
        check,
        run,
        needs_org=False,
        ignores_token=is_absent,
        required_if=[("state", "absent", ("token",))],
    )


if __name__ == "__main__":
    main()
