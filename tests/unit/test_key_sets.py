# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that a task leaves unchanged, its warnings, and the names of access lists."""

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


def change(
    key: OrgApiKey | None, entries: Any, found: str = "", role: str = "ORG_MEMBER"
) -> Change:
    declared = DesiredKey(key.description if key else "new", (role,), entries, None)
    access_list = _access_lists.of_new(API_KEY_LISTS, ORG, key, found) if key and found else None
    return _changes.declaration(declared, key, access_list)


SIGNS = OrgApiKey(f"5ae{9:021d}", "signs", "signskey", ("ORG_OWNER",), ())


@pytest.mark.parametrize(
    ("selectors", "kept", "unselected"),
    [
        ({"api_user_ids": [SIGNS.id]}, [], [(SIGNS, "own_key")]),
        ({"public_keys": [SIGNS.public_key]}, [], [(SIGNS, "own_key")]),
        ({"descriptions": ["signs"]}, [], [(SIGNS, "own_key")]),
        ({"description_match": ["s*"]}, [(SIGNS, "own_key")], []),
        (
            {"api_user_ids": [SIGNS.id, KEYS[0].id], "keep": ["key 0"]},
            [(KEYS[0], "keep")],
            [(SIGNS, "own_key")],
        ),
    ],
)
def test_the_signing_credential_is_unselected_if_the_task_identifies_it(
    selectors: dict[str, Any], kept: list[Any], unselected: list[Any]
) -> None:
    params = dict.fromkeys((*_key_sets.SELECTORS, "keep", "allow_own_key"))
    params |= {"org_id": ORG, "platform": "atlas", "look_alikes": "refuse", "state": "absent"}
    api: Any = SimpleNamespace(endpoint=SimpleNamespace(public_key=SIGNS.public_key))
    found = _key_sets.selected({**params, **selectors}, api, [*KEYS, SIGNS])
    assert found.changes == []
    assert (found.kept, found.unselected) == (kept, unselected)


def warnings_of(
    *changes: Change, base_url: str = "https://h", public_key: str | None = None
) -> str:
    endpoint = SimpleNamespace(base_url=base_url, public_key=public_key)
    api: Any = SimpleNamespace(endpoint=endpoint, warnings=[])
    wanted = _key_sets.PlannedChanges([*changes])
    _key_sets.warn_of_dangers({"org_id": ORG}, api, [*KEYS, SIGNS], wanted)
    return "\n".join(api.warnings)


def test_an_opened_access_list_gives_a_warning_that_names_the_key() -> None:
    assert f"API key {KEYS[0]} becomes empty" in warnings_of(change(KEYS[0], frozenset()))
    assert "API key 'new' becomes empty" in warnings_of(change(None, frozenset()))
    # This list stays empty, while the roles of the key change.
    was_empty = change(KEYS[0], frozenset(), "accessList", "ORG_READ_ONLY")
    assert was_empty.kind == "updated"
    assert warnings_of(was_empty) == ""


def test_only_a_new_key_pair_that_is_sent_in_clear_gives_a_warning() -> None:
    created, updated = change(None, None), change(KEYS[0], None, role="ORG_READ_ONLY")
    assert "private key" in warnings_of(created, base_url="http://h")
    assert warnings_of(updated, base_url="http://h") == ""
    assert warnings_of(created) == ""


def test_a_new_owner_replaces_the_last_one() -> None:
    demoted = change(SIGNS, None)
    for other in (change(None, None, role="ORG_OWNER"), change(KEYS[0], None, role="ORG_OWNER")):
        assert warnings_of(demoted, other) == ""
    for others in ([], [change(None, None)]):
        assert SIGNS.id in warnings_of(demoted, *others)
    assert warnings_of(demoted, public_key=SIGNS.public_key) == ""


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
