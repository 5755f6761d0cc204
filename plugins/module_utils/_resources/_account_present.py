# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a service account match a task: create it, or change what differs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _plan,
    _secret_file,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import KeysmithError
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _account_files,
    _adoption,
    _resource,
    _service_accounts,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._service_accounts import (
    SERVICE_ACCOUNTS,
    ServiceAccount,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._secret_file import SecretFile


def ensure(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    objects, file = SERVICE_ACCOUNTS.of(params["org_id"]), _account_files.inspect(params)
    if params["service_account_id"]:
        account = _service_accounts.find(api, params)
        if account is None:
            hint = "To create an account, identify it by name."
            raise _service_accounts.not_found(params, hint)
        return change(params, api, account, file, check_mode)
    accounts = _resource.list_all(api, objects)
    account = _resource.pick_renamed(accounts, objects, params)
    if account is None:
        return create(params, api, accounts, file, check_mode)
    return change(params, api, account, file, check_mode)


def change(
    params: Mapping[str, Any],
    api: Client,
    account: ServiceAccount,
    file: SecretFile | None,
    check_mode: bool,
) -> dict[str, Any]:
    roles = params["roles"]
    plan = _plan.present(
        account.writable(),
        {
            "name": params["new_name"],
            "description": params["description"],
            "roles": None if roles is None else sorted(set(roles)),
        },
    )
    warnings = _account_files.warnings(file, account, params["org_id"])
    if plan.is_change:
        _service_accounts.check_not_managed(api, params["org_id"], account)
        gains = set(plan.after["roles"]) - set(account.roles)
        is_held = bool(_account_files.held_id(file, account, params["org_id"]))
        warnings += _adoption.check(SERVICE_ACCOUNTS, account, gains, params, file, is_held=is_held)
        if set(account.roles) - set(plan.after["roles"]):
            loss = "taking a role from it"
            _resource.check_not_own(api, SERVICE_ACCOUNTS, account, params, loss=loss)
    result = {
        "changed": plan.is_change,
        "service_account": {**account.result(), **plan.after},
        "diff": plan.diff(),
        "warnings": warnings,
    }
    if check_mode or not plan.is_change:
        return result
    try:
        now = _service_accounts.update(api, params["org_id"], account, plan.changes())
    except KeysmithError as error:
        if isinstance(error.now, ServiceAccount):
            diff = {"before": plan.before, "after": error.now.writable()}
            raise error.with_context(results={**error.results, "diff": diff}) from None
        raise
    return {**result, "service_account": now.result()}


def create(
    params: Mapping[str, Any],
    api: Client,
    accounts: list[ServiceAccount],
    file: SecretFile | None,
    check_mode: bool,
) -> dict[str, Any]:
    org_id, name, hours = params["org_id"], params["name"], params["secret_expires_after_hours"]
    objects = SERVICE_ACCOUNTS.of(org_id)
    known_ids = _adoption.check_creation(objects, params, accounts, file, check_mode)
    wanted = {
        "name": name,
        "description": params["description"] or name,
        "roles": sorted(set(params["roles"])),
    }
    plan = _plan.present(None, wanted)
    shown = {"client_id": None, **wanted, "created_at": None, "secrets": []}
    result: dict[str, Any] = {"changed": True, "service_account": shown, "diff": plan.diff()}
    if check_mode:
        return result
    created = _service_accounts.create(api, org_id, wanted, hours, known_ids)
    account, value = created.found, created.secret
    result["service_account"] = account.result()
    if value and file:
        api.add_no_log(value)
        with _resource.undoing(api, partial(_resource.undo_creation, api, objects, account)):
            content = _account_files.content(org_id, account, account.secrets[0], value)
            _secret_file.write(file, content, f"the new service account {account}")
    elif value:
        result["client_secret"] = value
    result["warnings"] = _resource.duplicate_warnings(api, objects, [account], known_ids)
    return result
