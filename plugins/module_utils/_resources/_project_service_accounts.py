# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The access lists of service accounts, and their assignments to projects."""

from __future__ import annotations

from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._access_lists import (
    AccessLists,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._assignments import (
    Assignments,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._service_accounts import (
    SERVICE_ACCOUNTS,
    ServiceAccount,
    parse,
)

ACCOUNT_LISTS: AccessLists[ServiceAccount] = AccessLists(
    resource=SERVICE_ACCOUNTS,
    result_name="service_account_access_list",
    identity=lambda account: {"client_id": account.id},
    missing=frozenset(),
    max_entries=200,
)

PROJECT_SERVICE_ACCOUNTS: Assignments[ServiceAccount] = Assignments(
    resource=SERVICE_ACCOUNTS,
    path="/groups/{}/serviceAccounts",
    # This listing shows the roles in the project.
    parse=parse,
    roles_in=lambda account, _project_id: account.roles,
    # Other causes have the same code, so the project's listing decides.
    taken="INVALID_ROLE_ASSIGNMENT",
    result_name="project_service_account",
    identity=lambda account: {"client_id": account.id, "name": account.name},
    is_invited=True,
    query=SERVICE_ACCOUNTS.query,
)
