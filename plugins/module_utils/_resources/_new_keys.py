# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create a key with its file, access list and roles, or create nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import KeysmithError
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _key_files,
    _org_api_keys,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._key_access_lists import (
    API_KEY_LISTS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._writes import Created
from ansible_collections.keysmith.mongodb.plugins.module_utils._secret_file import SecretFile

# The roles of a key until its access list is set: the minimum for a key.
_FIRST_ROLES = ("ORG_MEMBER",)


@dataclass(frozen=True)
class Wanted:
    """The desired key. ``list_name``: the path segment of access lists."""

    description: str
    roles: Sequence[str]
    access_list: _access_lists.Networks | None
    list_name: str


def create(
    api: Client,
    org_id: str,
    wanted: Wanted,
    known_ids: Collection[str],
    file_of: Callable[[OrgApiKey], SecretFile | None],
) -> Created[OrgApiKey]:
    """Create a key, write its file, and set its access list and then its roles.

    This order never lets the key be used from an address that is not on its list. If anything
    fails, the key is revoked, and the error says so, or says what is left. ``known_ids``: the IDs
    in the full list before the creation. The result contains the private key unless the file does.
    """
    is_listed = bool(wanted.access_list)
    roles = _FIRST_ROLES if is_listed else wanted.roles
    created = _org_api_keys.create(api, org_id, wanted.description, roles, known_ids)
    key, file = created.found, file_of(created.found)
    written: SecretFile | None = None

    def undo(error: KeysmithError) -> KeysmithError:
        loss = f"{written.path} has its key pair." if written else ""
        undone = _resource.undo_creation(api, API_KEYS.of(org_id), created.found, error, loss)
        if written and not undone.results:
            state = f"{undone.state_after} {_secret_file.discard(written)}"
            undone = undone.with_context(state_after=state)
        return undone

    with _resource.undoing(api, undo):
        if file:
            api.add_no_log(created.secret)
            content = _key_files.content(org_id, created)
            written = _secret_file.write(file, content, f"the new API key {key}")
        if is_listed:
            key = _complete(api, org_id, key, wanted)
    return Created(key, "" if file else created.secret)


def _complete(api: Client, org_id: str, key: OrgApiKey, wanted: Wanted) -> OrgApiKey:
    entries = wanted.access_list or frozenset()
    found = _access_lists.of_new(API_KEY_LISTS, org_id, key, wanted.list_name)
    _access_lists.change(api, found, _access_lists.Goal(entries))
    if set(wanted.roles) == set(_FIRST_ROLES):
        return key
    return _org_api_keys.update(api, org_id, key, {"roles": sorted(wanted.roles)})
