# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API keys of a project: keys of its organization that are assigned to it."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _org_api_keys
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._assignments import (
    PROJECT_READ_ONLY,
    Assignments,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)

PROJECT_API_KEYS: Assignments[OrgApiKey] = Assignments(
    # The listing has the keys with their roles in the organization and in all projects.
    listed=replace(
        API_KEYS,
        path="/groups/{}/apiKeys",
        scope="project",
        reader=PROJECT_READ_ONLY,
        parse=lambda data, _project_id: _org_api_keys.parse(data),
    ),
    roles_in=lambda key, project_id: dict(key.projects).get(project_id, ()),
    taken="API_KEY_ALREADY_IN_GROUP",
    result_name="project_api_key",
    identity=lambda key: {
        "api_user_id": key.id,
        "public_key": key.public_key,
        "description": key.description,
    },
)
