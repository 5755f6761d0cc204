# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path segment of the access lists of new keys, and the request that it may need."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk import (
    _changes,
    _key_sets,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk._changes import (
    Change,
    DesiredKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    PLATFORMS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _access_lists
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._key_access_lists import (
    API_KEY_LISTS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
)

ORG = "5a0000000000000000000001"
KEYS = [OrgApiKey(f"5ae{n:021d}", f"key {n}", None, ("ORG_MEMBER",), ()) for n in range(2)]
ENTRIES = _access_lists.normalize(["192.0.2.1"], "access_list")


def change(key: OrgApiKey | None, entries: Any, found: str = "") -> Change:
    declared = DesiredKey(key.description if key else "new", ("ORG_MEMBER",), entries, None)
    access_list = _access_lists.of_new(API_KEY_LISTS, ORG, key, found) if key and found else None
    return _changes.declaration(declared, key, access_list)


@pytest.mark.parametrize(
    ("changes", "platform", "keys", "asked"),
    [
        ([change(None, ENTRIES)], "ops_manager", KEYS, [KEYS[0]]),
        ([change(None, ENTRIES)], "cloud_manager", KEYS[1:], [KEYS[1]]),
        # Atlas has one name.
        ([change(None, ENTRIES)], "atlas", KEYS, []),
        # There is no key to send a request about. A wrong guess fails.
        ([change(None, ENTRIES)], "ops_manager", [], []),
        # No new key has an access list.
        ([change(None, frozenset())], "ops_manager", KEYS, []),
        ([change(None, None)], "ops_manager", KEYS, []),
        ([change(KEYS[0], None)], "ops_manager", KEYS, []),
        ([change(KEYS[0], ENTRIES)], "ops_manager", KEYS, []),
    ],
)
def test_the_name_is_requested_if_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, changes: Any, platform: str, keys: Any, asked: Any
) -> None:
    seen: list[OrgApiKey] = []

    def read(_api: Any, _lists: Any, org_id: str, key: OrgApiKey) -> Any:
        assert org_id == ORG
        seen.append(key)
        return _access_lists.of_new(API_KEY_LISTS, org_id, key, "whitelist")

    monkeypatch.setattr(_access_lists, "read", read)
    params = {"platform": platform, "org_id": ORG}
    api: Any = SimpleNamespace(endpoint=SimpleNamespace(platform=PLATFORMS[platform]))
    name = _key_sets.access_list_name(params, api, keys, changes)
    assert seen == asked
    assert name == ("whitelist" if asked else "accessList")


def test_the_name_is_known_if_a_list_was_read() -> None:
    changes = [change(None, ENTRIES), change(KEYS[0], ENTRIES, "whitelist")]
    params = {"platform": "ops_manager", "org_id": ORG}
    assert _key_sets.access_list_name(params, None, KEYS, changes) == "whitelist"  # type: ignore[arg-type]
