# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of the Atlas Admin API v2 and of the Public API v1.0."""

from __future__ import annotations

import ipaddress
import json
import random
import re
import secrets
import string
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from werkzeug.routing import Rule
from werkzeug.wrappers import Request

from .auth import Caller, is_listed
from .responses import ApiError, Response, api_error
from .settings import Settings
from .state import ApiKey, Organization, State

ATLAS = "/api/atlas/v2"
PUBLIC = "/api/public/v1.0"
ATLAS_JSON = "application/vnd.atlas.2023-01-01+json;charset=utf-8"
OAUTH_PATHS = ("/api/oauth/token", "/api/oauth/revoke")

BILLING_ROLES = {"ORG_BILLING_ADMIN", "ORG_BILLING_READ_ONLY"}
COMMON_ROLES = {"ORG_OWNER", "ORG_MEMBER", "ORG_GROUP_CREATOR", "ORG_READ_ONLY"}
ORG_ROLES = {
    "ops_manager": COMMON_ROLES,
    "cloud_manager": COMMON_ROLES | BILLING_ROLES,
    "atlas": COMMON_ROLES | BILLING_ROLES | {"ORG_STREAM_PROCESSING_ADMIN"},
}
PUBLIC_PROJECT_ROLES = {
    "GROUP_AUTOMATION_ADMIN",
    "GROUP_BACKUP_ADMIN",
    "GROUP_DATA_ACCESS_ADMIN",
    "GROUP_DATA_ACCESS_READ_ONLY",
    "GROUP_DATA_ACCESS_READ_WRITE",
    "GROUP_MONITORING_ADMIN",
    "GROUP_OWNER",
    "GROUP_READ_ONLY",
    "GROUP_USER_ADMIN",
}
PROJECT_ROLES = {
    "ops_manager": PUBLIC_PROJECT_ROLES,
    "cloud_manager": PUBLIC_PROJECT_ROLES,
    "atlas": {
        "GROUP_BACKUP_MANAGER",
        "GROUP_CLUSTER_MANAGER",
        "GROUP_DATABASE_ACCESS_ADMIN",
        "GROUP_DATA_ACCESS_ADMIN",
        "GROUP_DATA_ACCESS_READ_ONLY",
        "GROUP_DATA_ACCESS_READ_WRITE",
        "GROUP_OBSERVABILITY_VIEWER",
        "GROUP_OWNER",
        "GROUP_READ_ONLY",
        "GROUP_SEARCH_INDEX_EDITOR",
        "GROUP_STREAM_PROCESSING_OWNER",
    },
}
READ_ONLY_FIELDS = {"id", "publicKey", "privateKey", "links", "userId"}
APP_NAMES = {
    "atlas": "MongoDB Atlas",
    "cloud_manager": "MongoDB Cloud Manager",
    "ops_manager": "MongoDB Ops Manager",
}

ACCESS_LIST = "/orgs/<org_id>/apiKeys/<key_id>/<any(accessList, whitelist):list_name>"
ENDPOINTS = [
    Rule("/", endpoint="root"),
    Rule("/orgs", endpoint="orgs"),
    Rule("/orgs/<org_id>", endpoint="org"),
    Rule("/orgs/<org_id>/apiKeys", endpoint="keys"),
    Rule("/orgs/<org_id>/apiKeys/<key_id>", endpoint="key"),
    Rule(ACCESS_LIST, endpoint="access_list"),
    Rule(f"{ACCESS_LIST}/<address>", endpoint="entry"),
    Rule("/groups/<group_id>/apiKeys", endpoint="project_keys"),
    Rule("/groups/<group_id>/apiKeys/<key_id>", endpoint="project_key"),
]
Handler = Callable[..., Response]


@dataclass
class Call:
    """An authenticated request, and what its handler needs."""

    request: Request
    path: str  # as sent: "%2F" is not a separator
    caller: Caller
    state: State
    settings: Settings
    now: float
    wall: float  # seconds since 1970

    @property
    def is_atlas(self) -> bool:
        return is_below(self.path, ATLAS)

    @property
    def is_write(self) -> bool:
        return self.request.method != "GET"

    @property
    def host_url(self) -> str:
        return self.request.host_url.rstrip("/")

    @property
    def address(self) -> str:
        return self.request.remote_addr or ""

    def fail(self, code: str, *parameters: object) -> ApiError:
        is_old = self.settings.code_spelling == "whitelist"
        return ApiError(code, *parameters, is_public=not self.is_atlas, is_old=is_old)

    def url(self, path: str) -> str:
        return f"{self.host_url}{ATLAS if self.is_atlas else PUBLIC}{path}"

    def json(self) -> Any:
        try:
            return json.loads(self.request.get_data())
        except ValueError as error:
            raise self.fail("INVALID_JSON") from error

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.request.args.get(name)
        return default if value is None else value.lower() == "true"

    def number(self, name: str, default: int, maximum: int | None = None) -> int:
        value = self.request.args.get(name, str(default))
        if not re.fullmatch("[0-9]{1,9}", value) or not 1 <= int(value) <= (maximum or int(value)):
            raise self.fail("INVALID_QUERY_PARAMETER", name)
        return int(value)


def is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def is_api(path: str) -> bool:
    return is_below(path, ATLAS) or is_below(path, PUBLIC)


def list_names(call: Call) -> set[str]:
    """Return the names of access lists; the public API still knows the old name."""
    if call.is_atlas:
        return {"accessList"}
    is_old = call.settings.legacy_whitelist
    if is_old and call.caller.organization.product == "ops_manager":
        return {"whitelist"}
    return {"accessList", "whitelist"}


def _enter_organization(call: Call, org_id: str) -> Organization:
    """Return the organization in the path, if the caller belongs to it."""
    organization = call.state.organizations.get(org_id)
    if organization is None:
        raise call.fail("ORG_NOT_FOUND", org_id)
    if organization is not call.caller.organization:
        if call.is_atlas:
            raise call.fail("USER_CANNOT_ACCESS_ORG")
        raise call.fail("NOT_ORG_ADMIN", org_id)
    if not _is_served(call, organization):
        raise call.fail("NOT_ATLAS_ORG" if call.is_atlas else "EXPECTED_NON_ATLAS_ORG", org_id)
    _check_requirement(call, organization)
    return organization


def find_organization(call: Call, org_id: str) -> Organization:
    """Return the organization in the path, if the caller's roles allow this request."""
    organization = _enter_organization(call, org_id)
    roles = call.caller.holder.roles
    if not roles or (call.is_write and "ORG_OWNER" not in roles):
        raise call.fail("USER_UNAUTHORIZED")
    return organization


def enter_project(call: Call, group_id: str) -> Organization:
    """Return the organization of the project in the path, if the caller's roles allow it."""
    for organization in call.state.organizations.values():
        if group_id in organization.projects:
            break
    else:
        raise call.fail("GROUP_NOT_FOUND", group_id)
    holder = call.caller.holder
    roles = holder.projects.get(group_id, [])
    is_owner = "ORG_OWNER" in holder.roles
    if organization is not call.caller.organization or not (roles or is_owner):
        raise call.fail("NOT_IN_GROUP")
    if not _is_served(call, organization):
        raise call.fail("NOT_ATLAS_GROUP" if call.is_atlas else "ATLAS_GROUP", group_id)
    _check_requirement(call, organization)
    if call.is_write and not (is_owner or "GROUP_OWNER" in roles):
        raise call.fail("USER_UNAUTHORIZED")
    return organization


def _is_served(call: Call, organization: Organization) -> bool:
    return (organization.product == "atlas") == call.is_atlas


def _check_requirement(call: Call, organization: Organization) -> None:
    if organization.requires_access_list and not call.caller.holder.access_list:
        raise call.fail("ORG_REQUIRES_ACCESS_LIST", call.address)


def root(call: Call) -> Response:
    caller = call.caller
    content: dict[str, Any] = {
        "appName": APP_NAMES[caller.organization.product],
        "build": "83be55e140f493c88e7f578aae96548dd881587b",
        "links": [{"href": call.url(""), "rel": "self"}],
        "throttling": False,
    }
    if call.is_atlas and isinstance(caller.holder, ApiKey):
        visible = caller.organization.visible_keys(call.now)
        key = visible.get(caller.holder.id, caller.holder)
        shown = show(call, caller.organization, key)
        content["apiKey"] = {
            "accessList": [show_entry(call, entry) for entry in key.access_list],
            "id": shown["id"],
            "publicKey": shown.get("publicKey"),
            "roles": shown.get("roles"),
        }
    return Response(200, content)


def show_entry(call: Call, entry: str) -> dict[str, str]:
    """Return an access list entry. Atlas does not shorten IPv6 addresses."""
    network = ipaddress.ip_network(entry)
    address = str(network.network_address)
    if call.is_atlas and network.version == 6:
        groups = network.network_address.exploded.split(":")
        address = ":".join(f"{int(group, 16):x}" for group in groups)
    shown = {"cidrBlock": f"{address}/{network.prefixlen}"}
    return shown if "/" in entry else {**shown, "ipAddress": address}


def show(
    call: Call, organization: Organization, key: ApiKey, clear: bool = False
) -> dict[str, Any]:
    """Return a key as the APIs show it: private key masked, roles in random order."""
    roles = [{"orgId": organization.id, "roleName": role} for role in key.roles]
    for project_id, names in key.projects.items():
        roles += [{"groupId": project_id, "roleName": name} for name in names]
    roles += key.foreign_roles
    href = call.url(f"/orgs/{organization.id}/apiKeys/{key.id}")
    shown: dict[str, Any] = {
        "desc": key.description,
        "id": key.id,
        "links": [{"href": href, "rel": "self"}],
        "privateKey": key.private_key if clear else f"********-****-****-{key.private_key[-12:]}",
        "publicKey": key.public_key,
        "roles": random.sample(roles, len(roles)),
    }
    for name in key.unset:
        if call.settings.has_null_fields:
            shown[name] = None
        else:
            del shown[name]
    return shown


def page(call: Call, items: list[dict[str, Any]], **query: str) -> Response:
    """Return a page of a listing; its links repeat ``query``."""
    number = call.number("pageNum", 1)
    size = call.number("itemsPerPage", 100, maximum=500)
    start = (number - 1) * size

    def link(rel: str, page_number: int) -> dict[str, str]:
        paging = {"pageNum": str(page_number), "itemsPerPage": str(size)}
        is_counted = str(call.flag("includeCount", True)).lower()
        shown = {"includeCount": is_counted, **query, **paging}
        shown |= {k: v for k, v in call.request.args.items() if k not in shown}
        return {"href": f"{call.host_url}{call.path}?{urlencode(shown)}", "rel": rel}

    links = [link("self", number)]
    if number > 1:
        links.append(link("previous", number - 1))
    if start + size < len(items):
        links.append(link("next", number + 1))
    content: dict[str, Any] = {"links": links, "results": items[start : start + size]}
    if call.flag("includeCount", True):
        errors = call.settings.count_errors
        content["totalCount"] = max(0, len(items) + errors[min(number, len(errors)) - 1])
    return Response(200, content)


def _show_organization(call: Call, organization: Organization) -> dict[str, Any]:
    href = call.url(f"/orgs/{organization.id}")
    shown = {
        "id": organization.id,
        "isDeleted": False,
        "links": [{"href": href, "rel": "self"}],
        "name": organization.name,
    }
    return {**shown, "skipDefaultAlertsSettings": False} if call.is_atlas else shown


def _other_organizations(call: Call) -> list[Organization]:
    """Return the other organizations whose names the caller may read."""
    return [
        organization
        for organization in call.state.organizations.values()
        if call.caller.holder.login in organization.also_visible_to
        and _is_served(call, organization)
    ]


def list_organizations(call: Call) -> Response:
    found = {organization.id: organization for organization in _other_organizations(call)}
    if _is_served(call, call.caller.organization):
        found[call.caller.organization.id] = call.caller.organization
    start = call.request.args.get("name", "")
    shown = [
        _show_organization(call, found[org_id])
        for org_id in sorted(found)
        if found[org_id].name.lower().startswith(start.lower())
    ]
    # Atlas repeats the filter in its links, even an empty one.
    return page(call, shown, **({"name": start} if call.is_atlas else {}))


def get_organization(call: Call, org_id: str) -> Response:
    for organization in _other_organizations(call):
        if organization.id == org_id:
            break
    else:
        organization = find_organization(call, org_id)
    return Response(200, _show_organization(call, organization))


def list_keys(call: Call, org_id: str) -> Response:
    organization = find_organization(call, org_id)
    return _list(call, organization, organization.visible_keys(call.now).values())


def _list(call: Call, organization: Organization, keys: Iterable[ApiKey]) -> Response:
    in_order = sorted(keys, key=lambda key: key.public_key)
    return page(call, [show(call, organization, key) for key in in_order])


def get_key(call: Call, org_id: str, key_id: str) -> Response:
    organization = find_organization(call, org_id)
    return Response(200, show(call, organization, _find_key(call, organization, key_id)))


def create_key(call: Call, org_id: str) -> Response:
    organization = find_organization(call, org_id)
    body = _key_body(call, organization.product, required=("desc", "roles"))
    key = new_key(call, organization, body["desc"])
    key.roles = _with_member(call, body["roles"])
    _change(call, organization, key.id, key)
    return Response(200, show(call, organization, key, clear=True), changed=True)


def new_key(call: Call, organization: Organization, description: str) -> ApiKey:
    limit = call.settings.max_api_keys
    if limit is not None and len(organization.api_keys) >= limit:
        raise call.fail("MAX_API_KEYS_PER_ORG_EXCEEDED", limit)
    public_key = ""
    while not public_key or call.state.find_key(public_key):
        public_key = "".join(secrets.choice(string.ascii_lowercase) for _round in range(8))
    return ApiKey(
        # An ObjectId starts with the seconds since 1970.
        id=f"{int(call.wall):08x}{secrets.token_hex(8)}",
        description=description,
        public_key=public_key,
        private_key=str(uuid.uuid4()),
    )


def update_key(call: Call, org_id: str, key_id: str) -> Response:
    organization = find_organization(call, org_id)
    body = _key_body(call, organization.product)
    key = _find_key(call, organization, key_id)
    key = replace(
        key,
        description=body.get("desc", key.description),
        roles=_with_member(call, body.get("roles", key.roles)),
        unset=[name for name in key.unset if name not in body],
    )
    _change(call, organization, key_id, key)
    return Response(200, show(call, organization, key), changed=True)


def delete_key(call: Call, org_id: str, key_id: str) -> Response:
    organization = find_organization(call, org_id)
    _find_key(call, organization, key_id)
    _change(call, organization, key_id, None)
    return _deleted(200 if organization.product == "ops_manager" else 204)


def list_entries(call: Call, org_id: str, key_id: str, list_name: str) -> Response:
    _organization, key = _find_listed(call, org_id, key_id)
    return page(call, _show_entries(call, key, list_name, org_id))


def get_entry(call: Call, org_id: str, key_id: str, list_name: str, address: str) -> Response:
    _organization, key = _find_listed(call, org_id, key_id)
    found = replace(key, access_list=[_find_entry(call, key, address)])
    return Response(200, _show_entries(call, found, list_name, org_id)[0])


def add_entries(call: Call, org_id: str, key_id: str, list_name: str) -> Response:
    organization, key = _find_listed(call, org_id, key_id)
    added = entries_body(call)
    taken = {ipaddress.ip_network(entry) for entry in key.access_list}
    for entry in added:
        if ipaddress.ip_network(entry) in taken:
            raise call.fail("ADDRESS_ALREADY_IN_ACCESS_LIST", entry)
    key = replace(key, access_list=[*key.access_list, *added])
    response = page(call, _show_entries(call, key, list_name, org_id))
    response.changed = True
    _change(call, organization, key_id, key)
    return response


def remove_entry(call: Call, org_id: str, key_id: str, list_name: str, address: str) -> Response:
    organization, key = _find_listed(call, org_id, key_id)
    entry = _find_entry(call, key, address)
    left = [other for other in key.access_list if other != entry]
    is_caller = call.caller.holder.login == key.login
    if is_caller and is_listed(call.address, [entry]) and not is_listed(call.address, left):
        raise call.fail("CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST", call.address)
    _change(call, organization, key_id, replace(key, access_list=left))
    return _deleted(204)


def list_project_keys(call: Call, group_id: str) -> Response:
    organization = enter_project(call, group_id)
    keys = organization.visible_keys(call.now).values()
    return _list(call, organization, [key for key in keys if group_id in key.projects])


def assign_key(call: Call, group_id: str, key_id: str) -> Response:
    """Assign a key to a project of Atlas; the public API assigns with PATCH."""
    if not call.is_atlas:
        raise call.fail("METHOD_NOT_ALLOWED", call.request.method)
    organization = enter_project(call, group_id)
    roles = _assignment_body(call, organization.product)
    key = _find_key(call, organization, key_id)
    if group_id in key.projects:
        raise call.fail("API_KEY_ALREADY_IN_GROUP")
    _assign(call, organization, key, group_id, roles)
    return Response(204, changed=True)


def update_project_key(call: Call, group_id: str, key_id: str) -> Response:
    organization = enter_project(call, group_id)
    body = _key_body(call, organization.product, required=("roles",), is_project=True)
    key = _find_key(call, organization, key_id)
    if call.is_atlas:
        _check_assigned(call, key, group_id)
        key = replace(key, description=body.get("desc", key.description))
    key = _assign(call, organization, key, group_id, body["roles"])
    return Response(200, show(call, organization, key), changed=True)


def unassign_key(call: Call, group_id: str, key_id: str) -> Response:
    organization = enter_project(call, group_id)
    key = _find_key(call, organization, key_id)
    _check_assigned(call, key, group_id)
    _assign(call, organization, key, group_id, None)
    return _deleted(204 if call.is_atlas else 200)


HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", "orgs"): list_organizations,
    ("GET", "org"): get_organization,
    ("GET", "keys"): list_keys,
    ("POST", "keys"): create_key,
    ("GET", "key"): get_key,
    ("PATCH", "key"): update_key,
    ("DELETE", "key"): delete_key,
    ("GET", "access_list"): list_entries,
    ("POST", "access_list"): add_entries,
    ("GET", "entry"): get_entry,
    ("DELETE", "entry"): remove_entry,
    ("GET", "project_keys"): list_project_keys,
    ("POST", "project_key"): assign_key,
    ("PATCH", "project_key"): update_project_key,
    ("DELETE", "project_key"): unassign_key,
}


def _find_key(call: Call, organization: Organization, key_id: str) -> ApiKey:
    """Return the key in the path: its real state for a write, its visible state for a read."""
    keys = organization.api_keys if call.is_write else organization.visible_keys(call.now)
    key = keys.get(key_id)
    if key is None:
        raise call.fail("API_KEY_NOT_FOUND", key_id)
    return key


def _find_listed(call: Call, org_id: str, key_id: str) -> tuple[Organization, ApiKey]:
    """Return the key in the path, if the caller is this key or an owner."""
    organization = _enter_organization(call, org_id)
    key = _find_key(call, organization, key_id)
    holder = call.caller.holder
    if holder.login != key.login and "ORG_OWNER" not in holder.roles:
        raise call.fail("API_KEY_ACCESS_LIST_ACCESS_DENIED")
    return organization, key


def _find_entry(call: Call, key: ApiKey, address: str) -> str:
    block = ipaddress.ip_network(normalize(call, address))
    for entry in key.access_list:
        if ipaddress.ip_network(entry) == block:
            return entry
    name = (
        "API_KEY_ACCESS_LIST_ENTRY_NOT_FOUND" if call.is_atlas else "API_KEY_ACCESS_LIST_NOT_FOUND"
    )
    raise call.fail(name, address, key.id)


def normalize(call: Call, text: str) -> str:
    """Return an address or block as Python writes it, and reject host bits."""
    try:
        if not re.fullmatch(r"[0-9A-Fa-f.:]+(/[0-9]+)?", text):
            raise ValueError(text)  # Python would accept a netmask or a zone
        return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError as error:
        raise call.fail("INVALID_IP_ADDRESS_OR_CIDR_NOTATION", text) from error


def _show_entries(call: Call, key: ApiKey, list_name: str, org_id: str) -> list[dict[str, Any]]:
    base = call.url(f"/orgs/{org_id}/apiKeys/{key.id}/{list_name}")
    absent = {} if call.is_atlas else {"ipAddress": None}
    return [
        {
            "cidrBlock": shown.pop("cidrBlock"),
            "count": 0,
            "created": "2026-01-01T00:00:00Z",
            **absent,
            **shown,
            "links": [{"href": f"{base}/{quote(entry, safe='')}", "rel": "self"}],
        }
        for entry in key.access_list
        for shown in [show_entry(call, entry)]
    ]


def _check_assigned(call: Call, key: ApiKey, group_id: str) -> None:
    if group_id not in key.projects:
        raise call.fail(call.settings.unassigned_code, key.id)


def _assign(
    call: Call, organization: Organization, key: ApiKey, group_id: str, roles: list[str] | None
) -> ApiKey:
    """Store the key with these roles in the project; None removes it from the project."""
    projects = {name: names for name, names in key.projects.items() if name != group_id}
    if roles is not None:
        projects[group_id] = list(dict.fromkeys(roles))
    key = replace(key, projects=projects)
    _change(call, organization, key.id, key)
    return key


def _with_member(call: Call, roles: list[str]) -> list[str]:
    is_added = call.settings.adds_org_member and "ORG_MEMBER" not in roles
    return [*roles, "ORG_MEMBER"] if is_added else roles


def _change(call: Call, organization: Organization, key_id: str, after: ApiKey | None) -> None:
    organization.change(key_id, after, call.now, call.now + call.settings.visibility_delay)


def _deleted(status: int) -> Response:
    return Response(status, {} if status == 200 else None, changed=True)


def _key_body(
    call: Call,
    product: str,
    required: tuple[str, ...] = (),
    is_project: bool = False,
) -> dict[str, Any]:
    """Return the valid body of a request that creates or updates a key or its project roles."""
    body = call.json()
    if not isinstance(body, dict):
        raise call.fail("INVALID_JSON")
    # The public API accepts only roles in a project.
    known = ("roles",) if is_project and not call.is_atlas else ("desc", "roles")
    check_names(call, body, known)
    if not call.is_atlas and not body:
        raise call.fail("MISSING_ATTRIBUTE", known[0])
    if "desc" in required or "desc" in body:
        _check_description(call, body.get("desc"))
    if "roles" in required or "roles" in body:
        check_roles(call, product, body.get("roles"), is_project)
    return body


def _assignment_body(call: Call, product: str) -> list[str]:
    roles: list[str] = []
    for item in _array_body(call):
        check_names(call, item, ("roles",))
        check_roles(call, product, item.get("roles"), is_project=True)
        roles += item["roles"]
    if not roles:
        raise call.fail("MISSING_API_KEY_ROLES")
    return roles


def entries_body(call: Call) -> list[str]:
    entries: list[str] = []
    for item in _array_body(call):
        check_names(call, item, ("ipAddress", "cidrBlock"))
        given = [(name, value) for name, value in item.items() if value is not None]
        if len(given) != 1:
            raise call.fail("BAD_ACCESS_LIST_ADD_REQUEST")
        name, value = given[0]
        if not isinstance(value, str):
            raise call.fail("INVALID_JSON_ATTRIBUTE", name)
        if ("/" in value) != (name == "cidrBlock"):
            raise call.fail("INVALID_IP_ADDRESS_OR_CIDR_NOTATION", value)
        entry = normalize(call, value)
        if any(ipaddress.ip_network(entry) == ipaddress.ip_network(other) for other in entries):
            raise call.fail("DUPLICATE_ADDRESSES_IN_INPUT", value)
        entries.append(entry)
    if not entries:
        raise call.fail("BAD_ACCESS_LIST_ADD_REQUEST")
    return entries


def _array_body(call: Call) -> list[dict[str, Any]]:
    body = call.json()
    if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
        raise call.fail("INVALID_JSON")
    return body


def check_names(call: Call, body: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in body:
        if name in READ_ONLY_FIELDS:
            raise call.fail("ATTRIBUTE_READ_ONLY", name)
        if name not in known:
            raise call.fail("INVALID_ATTRIBUTE", name)


def _check_description(call: Call, description: object) -> None:
    if description is None:
        if call.is_atlas:
            raise call.fail("API_KEY_REQUIRES_DESCRIPTION")
        raise call.fail("MISSING_ATTRIBUTE", "desc")
    if not isinstance(description, str) or not 1 <= len(description) <= 250:
        if call.is_atlas:
            raise call.fail("INVALID_API_KEY_DESC")
        raise call.fail("INVALID_ATTRIBUTE", "desc")


def check_roles(call: Call, product: str, roles: object, is_project: bool) -> None:
    if not roles:
        if call.is_atlas:
            raise call.fail("MISSING_API_KEY_ROLES")
        raise call.fail("MISSING_ATTRIBUTE", "roles")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise call.fail("INVALID_JSON_ATTRIBUTE", "roles")
    for role in roles:
        if is_project and role.startswith("ORG_"):
            raise call.fail("INVALID_ROLE_FOR_GROUP", role)
        if not is_project and call.is_atlas and role.startswith("GROUP_"):
            raise call.fail("INVALID_ROLE_FOR_ORG", role)
        if role not in (PROJECT_ROLES if is_project else ORG_ROLES)[product]:
            raise call.fail("INVALID_ENUM_VALUE", role)


def not_found(path: str) -> Response:
    """Return the response for a URL outside both APIs."""
    return api_error(404, "RESOURCE_NOT_FOUND", f"Cannot find resource {path}.", [path])
