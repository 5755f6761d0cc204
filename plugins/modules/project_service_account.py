#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: project_service_account
short_description: Assign a service account to a project
version_added: 3.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Assigns a service account of the organization to a project, changes its roles there, or removes
    it from the project. The account, its secrets and its other projects are never changed.
  - B(Owners of a project can create and delete the secrets of an assigned account and change its
    access list.) The task that assigns the account warns about this.
  - An account is reported as not assigned only if the full list of the project's accounts does not
    contain it.
  - With O(state=absent), a project that does not exist (error code C(GROUP_NOT_FOUND)) counts as a
    project without accounts. The task warns and shows the ID, because O(project_id) could be wrong.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
  - keysmith.mongodb.service_account
options:
  project_id:
    description:
      - The ID of the project, 24 lowercase hexadecimal digits.
    type: str
    required: true
    aliases: [group_id]
  roles:
    description:
      - All roles of the account in the project, at least one. The order does not matter. Roles in
        projects begin with C(GROUP_).
      - If O(name) identifies the account, the task warns when the account gains C(GROUP_OWNER).
        Anyone who can create accounts in a project can give an account this name.
      - Required with O(state=present), ignored with O(state=absent).
    type: list
    elements: str
  state:
    description:
      - The state that the assignment should have.
      - V(present) makes sure that the account is assigned to the project with exactly O(roles). If
        the account does not exist in the organization, the task fails.
      - V(absent) makes sure that the account is not assigned to the project.
    type: str
    choices: [present, absent]
    default: present
notes:
  - To assign an account, the signing credential needs the role Organization Owner (C(ORG_OWNER)).
  - To change the roles of an assigned account or to remove it, the signing credential needs two
    roles. They are Project Owner (C(GROUP_OWNER)) in the project and Organization Read Only
    (C(ORG_READ_ONLY)).
seealso:
  - name: Atlas Administration API, service accounts
    description: The API that the module calls.
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-service-accounts
"""

EXAMPLES = r"""
- name: Allow a service account to read a project
  keysmith.mongodb.project_service_account:
    org_id: "{{ org_id }}"
    project_id: "{{ project_id }}"
    service_account_id: "{{ service_account_id }}"
    roles: [GROUP_READ_ONLY]

- name: Remove a service account from a project
  keysmith.mongodb.project_service_account:
    org_id: "{{ org_id }}"
    project_id: "{{ project_id }}"
    service_account_id: "{{ service_account_id }}"
    state: absent
"""

RETURN = r"""
project_service_account:
  description:
    - The assignment after the task. In check mode, the assignment as it would be.
    - V(none) if the account is not assigned to the project.
  returned: success, and if a task fails after a change
  type: dict
  sample:
    project_id: 5e2211c17a3e5a48f5497de3
    client_id: mdb_sa_id_6718e34b3d91647abb20e7b8
    name: deploy
    roles: [GROUP_READ_ONLY]
  contains:
    project_id:
      description: The ID of the project.
      returned: success
      type: str
      sample: 5e2211c17a3e5a48f5497de3
    client_id:
      description: The client ID of the account.
      returned: success
      type: str
      sample: mdb_sa_id_6718e34b3d91647abb20e7b8
    name:
      description: The name of the account.
      returned: success
      type: str
      sample: deploy
    roles:
      description: The roles in the project, sorted.
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
    status: 401
    code: USER_UNAUTHORIZED
    reason: Unauthorized
    detail: Current user is not authorized to perform this action.
    parameters: []
    method: GET
    path: /api/atlas/v2/groups/5e2211c17a3e5a48f5497de3/serviceAccounts
"""

# Must come first: a Python that is too old cannot import the rest.
from ansible_collections.keysmith.mongodb.plugins.module_utils import _python  # pylint: disable=unused-import  # noqa: F401  isort: skip

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _module,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _assignment_task,
    _project_service_accounts,
    _service_accounts,
)

ARGUMENT_SPEC: _argspec.Spec = {
    **_argspec.SERVICE_ACCOUNT,
    "project_id": {"type": "str", "required": True, "aliases": ["group_id"]},
    "roles": {"type": "list", "elements": "str"},
    **_argspec.STATE,
}
RULES = [("state", "present", ("roles",))]


def check(params: Mapping[str, Any]) -> None:
    """Refuse parameters that do not identify one account, and roles that no project has."""
    _argspec.check_account(params)
    if params["state"] == "present":
        account = {"noun": "service account", "in_org": "service_account"}
        _argspec.check_project_roles(params["roles"], **account)


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    def warnings(account: _service_accounts.ServiceAccount) -> Sequence[str]:
        project_id = params["project_id"]
        return [
            f"Owners of project {project_id} can create and delete the secrets of service account "
            f"{account} and change its access list, because it is assigned to the project."
        ]

    kind = _project_service_accounts.PROJECT_SERVICE_ACCOUNTS
    task = _assignment_task.Task(api, kind, params, warnings)
    return _assignment_task.ensure(
        task, lambda _assigned: _service_accounts.get(api, params), check_mode
    )


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, required_if=RULES, **_argspec.ONE_ACCOUNT)


if __name__ == "__main__":
    main()
