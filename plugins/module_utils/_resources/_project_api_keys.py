# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API keys of a project: keys of its organization that are assigned to it."""

from __future__ import annotations

from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._assignments import (
    Assignments,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
    parse,
)

PROJECT_API_KEYS: Assignments[OrgApiKey] = Assignments(
    resource=API_KEYS,
    path="/groups/{}/apiKeys",
    # This listing shows the roles in the organization and in all projects.
    parse=parse,
    roles_in=lambda key, project_id: dict(key.projects).get(project_id, ()),
    taken="API_KEY_ALREADY_IN_GROUP",
    result_name="project_api_key",
    identity=lambda key: {
        "api_user_id": key.id,
        "public_key": key.public_key,
        "created_at": key.created_at,
        "description": key.description,
    },
)
