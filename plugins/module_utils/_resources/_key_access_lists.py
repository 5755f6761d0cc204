# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The access lists of API keys."""

from __future__ import annotations

from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._access_lists import (
    AccessLists,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)

API_KEY_LISTS: AccessLists[OrgApiKey] = AccessLists(
    resource=API_KEYS,
    result_name="org_api_key_access_list",
    identity=lambda key: {"api_user_id": key.id, "public_key": key.public_key},
    missing=frozenset(
        {
            "API_KEY_ACCESS_LIST_ENTRY_NOT_FOUND",
            "API_KEY_ACCESS_LIST_NOT_FOUND",
            "API_KEY_WHITELIST_ENTRY_NOT_FOUND",
            "API_KEY_WHITELIST_NOT_FOUND",
        }
    ),
    old_name="whitelist",
)
