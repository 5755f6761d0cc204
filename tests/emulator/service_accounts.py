# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of service accounts: accounts, secrets, access lists and projects."""

from __future__ import annotations

import re
import secrets as random
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from werkzeug.routing import Rule

from . import api
from .api import Call
from .auth import is_listed
from .responses import ApiError, Response
from .state import Organization, Secret, ServiceAccount

HOUR = 3600
# A new secret shortens the lifetime of the other one to at most this.
SHORTENED = 7 * 24 * HOUR
HOURS = (8, 8760)
MAX_SECRETS = 2
MAX_ENTRIES = 200
TEXT = re.compile(r"[\w\-.,' ]*")

_ACCOUNT = "/orgs/<org_id>/serviceAccounts/<client_id>"
_IN_PROJECT = "/groups/<group_id>/serviceAccounts"
ENDPOINTS = [
    Rule("/orgs/<org_id>/serviceAccounts", endpoint="accounts"),
    Rule(_ACCOUNT, endpoint="account"),
    Rule(f"{_ACCOUNT}/secrets", endpoint="secrets"),
    Rule(f"{_ACCOUNT}/secrets/<secret_id>", endpoint="secret"),
    Rule(f"{_ACCOUNT}/accessList", endpoint="account_entries"),
    Rule(f"{_ACCOUNT}/accessList/<address>", endpoint="account_entry"),
    Rule(f"{_ACCOUNT}/groups", endpoint="account_projects"),
    Rule(_IN_PROJECT, endpoint="project_accounts"),
    Rule(f"{_IN_PROJECT}/<client_id>", endpoint="project_account"),
    Rule(f"{_IN_PROJECT}/<client_id>:invite", endpoint="invitation"),
]
# The version of these endpoints; the API maps a later date to it.
VERSION = "2024-08-05"


# Accounts.


def list_accounts(call: Call, org_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    return _page_of_accounts(call, organization.visible_accounts(call.now).values())


def get_account(call: Call, org_id: str, client_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    return Response(200, _show(call, _find(call, organization, client_id)))


def create_account(call: Call, org_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    body = _account_body(call, organization, is_new=True)
    account = _create(call, organization, body)
    account.roles = body["roles"]
    return _created(call, organization, account)


def update_account(call: Call, org_id: str, client_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    body = _account_body(call, organization)
    account = _find(call, organization, client_id, is_changed=True)
    account = replace(account, **{name: value for name, value in body.items() if value is not None})
    _change(call, organization, client_id, account)
    return Response(200, _show(call, account), changed=True)


def delete_account(call: Call, org_id: str, client_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    _find(call, organization, client_id, is_changed=True)
    _change(call, organization, client_id, None)
    call.state.forget_tokens(client_id)
    return Response(204, changed=True)


def _create(call: Call, organization: Organization, body: dict[str, Any]) -> ServiceAccount:
    limit = call.settings.max_service_accounts
    if limit is not None and len(organization.service_accounts) >= limit:
        raise call.fail("MAX_SERVICE_ACCOUNTS_PER_ORG_EXCEEDED", limit, organization.id)
    account = ServiceAccount(
        client_id=f"mdb_sa_id_{int(call.wall):08x}{random.token_hex(8)}",
        name=body["name"],
        description=body["description"],
        created_at=call.wall,
    )
    if "secretExpiresAfterHours" in body:
        account.secrets = [_new_secret(call, body["secretExpiresAfterHours"])]
    return account


def _created(call: Call, organization: Organization, account: ServiceAccount) -> Response:
    _change(call, organization, account.client_id, account)
    return Response(201, _show(call, account, is_clear=True), changed=True)


def _find(
    call: Call, organization: Organization, client_id: str, *, is_changed: bool = False
) -> ServiceAccount:
    """Return the account in the path: its real state for a write, its visible state for a read."""
    accounts = organization.service_accounts
    if not call.is_write:
        accounts = organization.visible_accounts(call.now)
    account = accounts.get(client_id)
    if account is None:
        raise _missing(call, client_id)
    if is_changed and account.is_system_managed:
        raise call.fail("USER_UNAUTHORIZED")
    return account


def _missing(call: Call, client_id: str) -> ApiError:
    """Return the error for a missing account, whose undocumented code is a setting."""
    code = call.settings.missing_account
    failure = call.fail(code.removesuffix("_400"), client_id)
    if code.endswith("_400"):
        failure.response.status = 400
        failure.response.content |= {"error": 400, "reason": "Bad Request"}
    return failure


def _change(
    call: Call, organization: Organization, client_id: str, after: ServiceAccount | None
) -> None:
    seen_at = call.now + call.settings.visibility_delay
    organization.change(client_id, after, call.now, seen_at)


def _page_of_accounts(
    call: Call, accounts: Iterable[ServiceAccount], group_id: str = ""
) -> Response:
    with_managed = call.flag("includeSystemManaged")
    shown = [
        _show(call, account, group_id)
        for account in accounts
        if with_managed or not account.is_system_managed
    ]
    return api.page(call, shown)


def _show(
    call: Call, account: ServiceAccount, group_id: str = "", *, is_clear: bool = False
) -> dict[str, Any]:
    roles = account.projects[group_id] if group_id else account.roles
    return {
        "clientId": account.client_id,
        "createdAt": date(account.created_at),
        "description": account.description,
        "name": account.name,
        "roles": random.SystemRandom().sample(roles, len(roles)),
        "secrets": [_show_secret(call, secret, is_clear=is_clear) for secret in account.secrets],
        "systemManaged": account.is_system_managed,
    }


def _account_body(
    call: Call, organization: Organization, *, is_new: bool = False, is_project: bool = False
) -> dict[str, Any]:
    """Return the valid body of an account request, without ``withoutInitialSecret``."""
    body = _object_body(call)
    known = ["name", "description", "roles"]
    if is_new:
        known.append("secretExpiresAfterHours")
        if call.settings.knows_without_initial_secret:
            known.append("withoutInitialSecret")
    api.check_names(call, body, tuple(known))
    for name, longest in (("name", 64), ("description", 250)):
        if is_new or name in body:
            _check_text(call, name, body.get(name), longest, is_nullable=not is_new)
    if is_new or "roles" in body:
        api.check_roles(call, organization.product, body.get("roles"), is_project)
    if is_new:
        is_without = body.pop("withoutInitialSecret", False)
        if is_without and "secretExpiresAfterHours" in body:
            raise call.fail("MUTUALLY_EXCLUSIVE", "secretExpiresAfterHours", "withoutInitialSecret")
        if not is_without:
            _check_hours(call, body)
    return body


def _object_body(call: Call) -> dict[str, Any]:
    body = call.json()
    if not isinstance(body, dict):
        raise call.fail("INVALID_JSON")
    return body


def _check_text(call: Call, name: str, value: object, longest: int, *, is_nullable: bool) -> None:
    if value is None and is_nullable:
        return
    if value is None:
        raise call.fail("MISSING_ATTRIBUTE", name)
    is_valid = isinstance(value, str) and 1 <= len(value) <= longest and TEXT.fullmatch(value)
    if not is_valid or "_" in TEXT.sub("", str(value)):
        raise call.fail("VALIDATION_ERROR", name)


def _check_hours(call: Call, body: dict[str, Any]) -> None:
    hours = body.get("secretExpiresAfterHours")
    if hours is None:
        raise call.fail("MISSING_ATTRIBUTE", "secretExpiresAfterHours")
    least, most = HOURS[0], min(HOURS[1], call.settings.max_secret_hours)
    is_number = isinstance(hours, int) and not isinstance(hours, bool)
    if not is_number or not least <= hours <= most:
        raise call.fail("VALIDATION_ERROR", "secretExpiresAfterHours")


# Secrets.


def create_secret(call: Call, org_id: str, client_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    body = _object_body(call)
    api.check_names(call, body, ("secretExpiresAfterHours",))
    _check_hours(call, body)
    account = _find(call, organization, client_id, is_changed=True)
    if len(account.secrets) >= MAX_SECRETS:
        raise call.fail("VALIDATION_ERROR", "secrets")
    soon = call.wall + SHORTENED
    others = [replace(old, expires_at=min(old.expires_at, soon)) for old in account.secrets]
    secret = _new_secret(call, body["secretExpiresAfterHours"])
    _change(call, organization, client_id, replace(account, secrets=[*others, secret]))
    return Response(201, _show_secret(call, secret, is_clear=True), changed=True)


def delete_secret(call: Call, org_id: str, client_id: str, secret_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    account = _find(call, organization, client_id, is_changed=True)
    left = [secret for secret in account.secrets if secret.id != secret_id]
    if len(left) == len(account.secrets):
        raise call.fail("RESOURCE_NOT_FOUND", secret_id)
    _change(call, organization, client_id, replace(account, secrets=left))
    call.state.forget_tokens(client_id, secret_id)
    return Response(204, changed=True)


def _new_secret(call: Call, hours: int) -> Secret:
    return Secret(
        id=f"{int(call.wall):08x}{random.token_hex(8)}",
        value=f"mdb_sa_sk_{random.token_urlsafe(30)}",
        created_at=call.wall,
        expires_at=call.wall + hours * HOUR,
    )


def _show_secret(call: Call, secret: Secret, *, is_clear: bool = False) -> dict[str, Any]:
    masked = "mdb_sa_sk_..."
    if call.settings.masked_secret == "end":
        masked = f"mdb_sa_sk_****{secret.value[-4:]}"
    return {
        "createdAt": date(secret.created_at),
        "expiresAt": date(secret.expires_at),
        "id": secret.id,
        "lastUsedAt": None if secret.last_used_at is None else date(secret.last_used_at),
        **({"secret": secret.value} if is_clear else {"maskedSecretValue": masked}),
    }


def date(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


# Access lists.


def list_entries(call: Call, org_id: str, client_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    return api.page(call, _show_entries(call, _find(call, organization, client_id), org_id))


def add_entries(call: Call, org_id: str, client_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    added = api.entries_body(call)
    account = _find(call, organization, client_id, is_changed=True)
    for entry in added:
        if entry in account.access_list:
            raise call.fail("ADDRESS_ALREADY_IN_ACCESS_LIST", entry)
    if len(account.access_list) + len(added) > MAX_ENTRIES:
        raise call.fail("VALIDATION_ERROR", "accessList")
    account = replace(account, access_list=[*account.access_list, *added])
    _change(call, organization, client_id, account)
    response = api.page(call, _show_entries(call, account, org_id))
    response.changed = True
    return response


def remove_entry(call: Call, org_id: str, client_id: str, address: str) -> Response:
    organization = api.find_organization(call, org_id)
    account = _find(call, organization, client_id, is_changed=True)
    entry = api.normalize(call, address)
    if entry not in account.access_list:
        raise call.fail("RESOURCE_NOT_FOUND", address)
    left = [other for other in account.access_list if other != entry]
    is_caller = call.caller.holder is account
    if is_caller and is_listed(call.address, [entry]) and not is_listed(call.address, left):
        raise call.fail("CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST", call.address)
    _change(call, organization, client_id, replace(account, access_list=left))
    return Response(204, changed=True)


def _show_entries(call: Call, account: ServiceAccount, org_id: str) -> list[dict[str, Any]]:
    base = call.url(f"/orgs/{org_id}/serviceAccounts/{account.client_id}/accessList")
    return [
        {
            **api.show_entry(call, entry),
            "createdAt": date(account.created_at),
            "links": [{"href": f"{base}/{quote(entry, safe='')}", "rel": "self"}],
            "requestCount": 0,
        }
        for entry in account.access_list
    ]


# Projects.


def list_account_projects(call: Call, org_id: str, client_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    account = _find(call, organization, client_id)
    items = account.projects.items()
    return api.page(call, [{"groupId": group_id, "roles": roles} for group_id, roles in items])


def list_project_accounts(call: Call, group_id: str) -> Response:
    organization = api.enter_project(call, group_id)
    accounts = organization.visible_accounts(call.now).values()
    found = [account for account in accounts if group_id in account.projects]
    return _page_of_accounts(call, found, group_id)


def get_project_account(call: Call, group_id: str, client_id: str) -> Response:
    organization = api.enter_project(call, group_id)
    account = _find_assigned(call, organization, client_id, group_id)
    return Response(200, _show(call, account, group_id))


def create_project_account(call: Call, group_id: str) -> Response:
    """Create an account in the project; it becomes a member of the organization."""
    organization = api.enter_project(call, group_id)
    body = _account_body(call, organization, is_new=True, is_project=True)
    account = _create(call, organization, body)
    account.roles, account.projects = ["ORG_MEMBER"], {group_id: body["roles"]}
    return _created(call, organization, account)


def invite(call: Call, group_id: str, client_id: str) -> Response:
    organization = api.enter_project(call, group_id)
    if "ORG_OWNER" not in call.caller.holder.roles:
        raise call.fail("USER_UNAUTHORIZED")
    body = _object_body(call)
    api.check_names(call, body, ("roles",))
    api.check_roles(call, organization.product, body.get("roles"), is_project=True)
    account = _find(call, organization, client_id, is_changed=True)
    if group_id in account.projects:
        raise call.fail("INVALID_ROLE_ASSIGNMENT", "SERVICE_ACCOUNT_ALREADY_IN_GROUP")
    return _assign(call, organization, account, group_id, body["roles"])


def update_project_account(call: Call, group_id: str, client_id: str) -> Response:
    organization = api.enter_project(call, group_id)
    body = _account_body(call, organization, is_project=True)
    account = _find_assigned(call, organization, client_id, group_id)
    texts = {name: body[name] for name in ("name", "description") if body.get(name)}
    roles = body.get("roles") or account.projects[group_id]
    return _assign(call, organization, replace(account, **texts), group_id, roles)


def remove_project_account(call: Call, group_id: str, client_id: str) -> Response:
    """Remove the account from the project, but not from the organization."""
    organization = api.enter_project(call, group_id)
    account = _find_assigned(call, organization, client_id, group_id)
    left = {name: roles for name, roles in account.projects.items() if name != group_id}
    _change(call, organization, client_id, replace(account, projects=left))
    return Response(204, changed=True)


def _find_assigned(
    call: Call, organization: Organization, client_id: str, group_id: str
) -> ServiceAccount:
    account = _find(call, organization, client_id, is_changed=call.is_write)
    if group_id not in account.projects:
        raise _missing(call, client_id)
    return account


def _assign(
    call: Call,
    organization: Organization,
    account: ServiceAccount,
    group_id: str,
    roles: list[str],
) -> Response:
    account = replace(account, projects={**account.projects, group_id: list(dict.fromkeys(roles))})
    _change(call, organization, account.client_id, account)
    return Response(200, _show(call, account, group_id), changed=True)


HANDLERS: dict[tuple[str, str], api.Handler] = {
    ("GET", "accounts"): list_accounts,
    ("POST", "accounts"): create_account,
    ("GET", "account"): get_account,
    ("PATCH", "account"): update_account,
    ("DELETE", "account"): delete_account,
    ("POST", "secrets"): create_secret,
    ("DELETE", "secret"): delete_secret,
    ("GET", "account_entries"): list_entries,
    ("POST", "account_entries"): add_entries,
    ("DELETE", "account_entry"): remove_entry,
    ("GET", "account_projects"): list_account_projects,
    ("GET", "project_accounts"): list_project_accounts,
    ("POST", "project_accounts"): create_project_account,
    ("GET", "project_account"): get_project_account,
    ("PATCH", "project_account"): update_project_account,
    ("DELETE", "project_account"): remove_project_account,
    ("POST", "invitation"): invite,
}
