#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: service_account_info
short_description: List the service accounts of an organization
version_added: 3.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Lists the service accounts of an organization that match all filters, with their roles and the
    expiry times of their secrets.
  - The values of secrets are never returned, not even masked.
  - An empty result is not an error. If the list is incomplete, the task fails.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
options:
  service_account_id:
    description:
      - Returns only the account with this client ID, even if MongoDB manages it.
    type: str
  name:
    description:
      - Returns only accounts with exactly this name. Names are not unique.
    type: str
  name_match:
    description:
      - Returns only accounts whose whole name matches this pattern. Case matters.
      - V(*) matches any text, V(?) one character, and V([ab]) one of these characters.
    type: str
  roles:
    description:
      - Returns only accounts with at least one of these roles in the organization.
    type: list
    elements: str
  project_id:
    description:
      - Returns only accounts that are assigned to this project. This takes one more request and
        requires the role Project Read Only.
    type: str
    aliases: [group_id]
  expires_within_hours:
    description:
      - Returns only accounts with a secret that has expired or will expire within this number of
        hours, 0 or more. Accounts without a secret never match.
      - The task fails if the API does not list the secrets of an account.
    type: float
  include_system_managed:
    description:
      - Whether to also return accounts that MongoDB manages.
    type: bool
    default: false
  access_list:
    description:
      - Whether to return the access list of each account. This takes one request per account.
    type: bool
    default: false
  projects:
    description:
      - Whether to return the projects that each account is assigned to. This takes one request per
        account.
    type: bool
    default: false
notes:
  - The signing credential needs the role Organization Read Only (C(ORG_READ_ONLY)). For
    O(project_id), it also needs Project Read Only (C(GROUP_READ_ONLY)) in that project.
  - Works with Atlas and with the preview of service accounts in Cloud Manager. Ops Manager has no
    service accounts.
  - Tested against an emulator and the public specification of Atlas, not against the real API.
seealso:
  - name: Atlas Administration API, service accounts
    description: The API that the module calls.
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-service-accounts
"""

EXAMPLES = r"""
- name: Find service accounts with a secret that has expired or will expire within 30 days
  keysmith.mongodb.service_account_info:
    org_id: "{{ org_id }}"
    expires_within_hours: 720
  register: expiring

- name: Show their names
  ansible.builtin.debug:
    msg: "{{ expiring.service_accounts | map(attribute='name') }}"

- name: List owners with their access lists
  keysmith.mongodb.service_account_info:
    org_id: "{{ org_id }}"
    roles: [ORG_OWNER]
    access_list: true

- name: Show the projects and the secrets of a service account
  keysmith.mongodb.service_account_info:
    org_id: "{{ org_id }}"
    service_account_id: "{{ service_account_id }}"
    projects: true
"""

RETURN = r"""
service_accounts:
  description:
    - The accounts that match all filters, sorted by name and client ID.
  returned: success
  type: list
  elements: dict
  sample:
    - client_id: mdb_sa_id_6718e34b3d91647abb20e7b8
      name: deploy
      description: Deploys the shop
      roles: [ORG_READ_ONLY]
      created_at: "2026-11-28T12:00:00Z"
      system_managed: false
      secrets:
        - id: 32b6e34b3d91647abb20e7b9
          created_at: "2026-11-28T12:00:00Z"
          expires_at: "2027-02-26T12:00:00Z"
          last_used_at: null
  contains:
    client_id:
      description: The client ID.
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
      description: When the account was created.
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
    system_managed:
      description: Whether MongoDB manages the account. V(none) if the API does not say.
      returned: success
      type: bool
      sample: false
    access_list:
      description: The entries of the account's access list, IPv4 first, in numerical order.
      returned: when O(access_list=true)
      type: list
      elements: str
      sample: [192.0.2.0/24]
    projects:
      description:
        - The projects that the account is assigned to, each with C(project_id) and C(roles).
      returned: when O(projects=true)
      type: list
      elements: dict
      sample: []
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
from fnmatch import fnmatchcase
from typing import Any, Optional

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _module,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk import _workers
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    MissingError,
    OptionError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _account_secrets,
    _assignments,
    _project_service_accounts,
    _resource,
    _service_accounts,
)

# The maximum number of requests that are sent at the same time.
THREADS = 8

ARGUMENT_SPEC: _argspec.Spec = {
    "service_account_id": {"type": "str"},
    "name": {"type": "str"},
    "name_match": {"type": "str"},
    "roles": {"type": "list", "elements": "str"},
    "project_id": {"type": "str", "aliases": ["group_id"]},
    "expires_within_hours": {"type": "float"},
    "include_system_managed": {"type": "bool", "default": False},
    "access_list": {"type": "bool", "default": False},
    "projects": {"type": "bool", "default": False},
}
FILTERS = (
    "service_account_id",
    "name",
    "name_match",
    "roles",
    "project_id",
    "expires_within_hours",
)


def check(params: Mapping[str, Any]) -> None:
    """Refuse filters that no account can match."""
    _argspec.check_account(params)
    _argspec.check_org_role_names(params["roles"] or [], noun="account")
    hours = params["expires_within_hours"]
    if hours is not None and not hours >= 0:
        raise OptionError(f"expires_within_hours is {hours:g}", hint="It must be 0 or more.")


def run(params: Mapping[str, Any], api: Client, _check_mode: bool) -> dict[str, Any]:
    found = find(params, api)
    now = _account_secrets.time_of(api)
    accounts = [account for account in found if matches(params, account, now)]
    objects = _service_accounts.SERVICE_ACCOUNTS.of(params["org_id"])
    if params["project_id"]:
        kind = _project_service_accounts.PROJECT_SERVICE_ACCOUNTS
        assigned = _assignments.list_all(api, kind, params["project_id"])
        accounts = [account for account in accounts if account.id in assigned]
    accounts.sort(key=lambda account: (account.name, account.id))

    def result(account: _service_accounts.ServiceAccount) -> Optional[dict[str, Any]]:
        shown = {**account.result(), "system_managed": account.is_system_managed}
        try:
            if params["access_list"]:
                lists = _project_service_accounts.ACCOUNT_LISTS
                entries = _access_lists.read(api, lists, params["org_id"], account).now
                shown["access_list"] = _access_lists.in_order(entries)
            if params["projects"]:
                shown["projects"] = _service_accounts.projects(api, params["org_id"], account)
        except MissingError:
            if not _resource.is_gone(api, objects, account):
                raise
            return None
        return shown

    shown = _workers.map_concurrent(result, accounts, threads=THREADS)
    return {"changed": False, "service_accounts": [item for item in shown if item]}


def find(params: Mapping[str, Any], api: Client) -> list[_service_accounts.ServiceAccount]:
    """Return the account that the task identifies, or all accounts if it identifies none."""
    objects = _service_accounts.SERVICE_ACCOUNTS.of(params["org_id"])
    if not params["service_account_id"]:
        if params["include_system_managed"]:
            return _resource.list_all(api, objects)
        return _service_accounts.list_own(api, params["org_id"])
    account = _resource.find_by_id(api, objects, params["service_account_id"])
    return [account] if account else []


def matches(
    params: Mapping[str, Any], account: _service_accounts.ServiceAccount, now: float
) -> bool:
    """Return whether all filters match. ``now``: seconds since 1970.

    Raises UnexpectedResponseError if that depends on secrets that the API did not list.
    """
    name, pattern, roles = params["name"], params["name_match"], params["roles"]
    hours = params["expires_within_hours"]
    deadline = now + (hours or 0) * _account_secrets.HOUR
    return bool(
        (name is None or account.name == name)
        and (pattern is None or fnmatchcase(account.name, pattern))
        and (roles is None or set(roles) & set(account.roles))
        and (
            hours is None
            or any(secret.expiry <= deadline for secret in _account_secrets.listed_secrets(account))
        )
    )


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, filters=FILTERS)


if __name__ == "__main__":
    main()
