# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create or update one API key as a task describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import _plan
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import KeysmithError
from ansible_collections.keysmith.mongodb.plugins.module_utils._plan import Plan
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _adoption,
    _key_files,
    _new_keys,
    _org_api_keys,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._access_lists import (
    AccessList,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._key_access_lists import (
    API_KEY_LISTS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._secret_file import SecretFile
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted


def wanted_entries(params: Mapping[str, Any]) -> _access_lists.Networks | None:
    """Return the desired entries of the access list, None to leave it alone."""
    entries = params["access_list"]
    return None if entries is None else _access_lists.normalize(entries, "access_list")


def ensure(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    file = None
    if params["credentials_file"]:
        file = _key_files.inspect(params["credentials_file"])
    if not params["description"]:
        key = _org_api_keys.find(api, params["org_id"], params)
        if key is None:
            hint = "To create a key, identify it by description."
            raise _org_api_keys.not_found(params["org_id"], params, hint)
        return change(params, api, key, file, check_mode)
    objects = API_KEYS.of(params["org_id"])
    keys = _resource.list_all(api, objects)
    key = _resource.pick_renamed(keys, objects, params)
    if key is None:
        return create(params, api, keys, file, check_mode)
    return change(params, api, key, file, check_mode)


def change(
    params: Mapping[str, Any],
    api: Client,
    key: OrgApiKey,
    file: SecretFile | None,
    check_mode: bool,
) -> dict[str, Any]:
    roles, entries = params["roles"], wanted_entries(params)
    found = (
        None if entries is None else _access_lists.read(api, API_KEY_LISTS, params["org_id"], key)
    )
    current = writable(key, found)
    plan = _plan.present(
        current,
        {
            "description": params["new_description"],
            "roles": None if _org_api_keys.has_roles(key, roles) else sorted(set(roles)),
            "access_list": None if entries is None else _access_lists.in_order(entries),
        },
    )
    warnings = _key_files.warnings(file, key, params["org_id"])
    result = {**changed_key(key, plan), "warnings": warnings}
    if not plan.is_change:
        return result
    gains = set(plan.after["roles"]) - set(current["roles"])
    is_held = file is not None and _key_files.holds(file, key, params["org_id"])
    warnings += _adoption.check(API_KEYS, key, gains, params, file, is_held=is_held)
    loss = "taking a role from it" if set(current["roles"]) - set(plan.after["roles"]) else ""
    if "access_list" in plan.changes():
        loss = "changing its own access list"
    if loss:
        _resource.check_not_own(api, API_KEYS, key, params, loss=loss)
    if found:
        _access_lists.warn_of_opening(api, API_KEYS, str(key), found.now, entries or frozenset())
    if "ORG_OWNER" not in plan.after["roles"]:
        _org_api_keys.warn_if_last_owner(api, params["org_id"], key)
    if check_mode:
        return result
    return {**apply(params["org_id"], api, key, found, plan), "warnings": warnings}


def writable(key: OrgApiKey, found: AccessList[OrgApiKey] | None) -> dict[str, Any]:
    """Return the attributes of a key that this module sets, for plans and diffs."""
    values: dict[str, Any] = {"description": key.description, "roles": list(key.roles)}
    return {**values, "access_list": _access_lists.in_order(found.now)} if found else values


def apply(
    org_id: str, api: Client, key: OrgApiKey, found: AccessList[OrgApiKey] | None, plan: Plan
) -> dict[str, Any]:
    """Make a change, and return what exists afterwards, not what was sent.

    The access list comes first, so that no role is gained before the key is limited to it. If
    something fails after a change, the error's results say what exists.
    """

    def result() -> dict[str, Any]:
        before = dict(plan.before)
        if found:
            # Include changes that others made in the meantime.
            before["access_list"] = _access_lists.in_order(found.before)
        return changed_key(key, Plan(before, writable(key, found)))

    changes = plan.changes()
    entries = changes.pop("access_list", None)
    try:
        if found and entries is not None:
            goal = _access_lists.Goal(_access_lists.normalize(entries), purge=True)
            found = _access_lists.change(api, found, goal)
        if changes:
            key = _org_api_keys.update(api, org_id, key, changes)
    except KeysmithError as error:
        if isinstance(error.now, AccessList):
            found = error.now
        elif isinstance(error.now, OrgApiKey):
            key = error.now
        shown = result()
        raise error.with_context(results=shown if shown["changed"] else {}) from None
    return result()


def changed_key(key: OrgApiKey, plan: Plan) -> dict[str, Any]:
    shown = {**key.result(), **plan.after}
    return {"changed": plan.is_change, "org_api_key": shown, "diff": plan.diff()}


def create(
    params: Mapping[str, Any],
    api: Client,
    keys: list[OrgApiKey],
    file: SecretFile | None,
    check_mode: bool,
) -> dict[str, Any]:
    org_id, description, entries = params["org_id"], params["description"], wanted_entries(params)
    objects = API_KEYS.of(org_id)
    known_ids = _adoption.check_creation(objects, params, keys, file, check_mode)
    _org_api_keys.warn_of_new_private_key(api)
    if entries is not None:
        _access_lists.warn_of_opening(api, API_KEYS, quoted(description), None, entries)
    listed = None if entries is None else _access_lists.in_order(entries)
    roles = sorted(set(params["roles"]))
    plan = _plan.present(None, {"description": description, "roles": roles, "access_list": listed})
    if check_mode:
        planned = {**_org_api_keys.identity(None), **plan.after, "projects": []}
        return {"changed": True, "org_api_key": planned, "diff": plan.diff()}
    list_name = API_KEY_LISTS.name
    if entries:
        list_name = _access_lists.name_for_new(api, API_KEY_LISTS, org_id, keys)
    wanted = _new_keys.Wanted(description, roles, entries, list_name)
    new = _new_keys.create(api, org_id, wanted, known_ids, lambda _key: file)
    warnings = _resource.duplicate_warnings(api, objects, [new.found], known_ids)
    plan = _plan.present(None, {**writable(new.found, None), "access_list": listed})
    private_key = {"private_key": new.secret} if new.secret else {}
    return {**changed_key(new.found, plan), **private_key, "warnings": warnings}
