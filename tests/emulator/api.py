# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of the Atlas Admin API v2 and of the Public API v1.0."""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import unquote, urlencode

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule, Submount
from werkzeug.wrappers import Request

from .answers import Answer, ApiError, api_error
from .auth import Caller, check_address
from .settings import Settings
from .state import ID, ApiKey, Organization, State

ATLAS = "/api/atlas/v2"
PUBLIC = "/api/public/v1.0"
ATLAS_JSON = "application/vnd.atlas.2023-01-01+json;charset=utf-8"
OAUTH_PATHS = ("/api/oauth/token", "/api/oauth/revoke")

COMMON_ROLES = {"ORG_OWNER", "ORG_MEMBER", "ORG_GROUP_CREATOR", "ORG_READ_ONLY"}
ORG_ROLES = {
    "ops_manager": COMMON_ROLES,
    "cloud_manager": COMMON_ROLES | {"ORG_BILLING_ADMIN"},
    "atlas": COMMON_ROLES
    | {"ORG_BILLING_ADMIN", "ORG_BILLING_READ_ONLY", "ORG_STREAM_PROCESSING_ADMIN"},
}
READ_ONLY_FIELDS = {"id", "publicKey", "privateKey", "links"}
APP_NAMES = {
    "atlas": "MongoDB Atlas",
    "cloud_manager": "MongoDB Cloud Manager",
    "ops_manager": "MongoDB Ops Manager",
}

ENDPOINTS = [
    Rule("/", endpoint="root"),
    Rule("/orgs/<org_id>/apiKeys", endpoint="keys"),
    Rule("/orgs/<org_id>/apiKeys/<key_id>", endpoint="key"),
]
ROUTES = Map(
    [Submount(prefix, [rule.empty() for rule in ENDPOINTS]) for prefix in (ATLAS, PUBLIC)],
    strict_slashes=False,
    merge_slashes=False,
)


@dataclass
class Call:
    """One authenticated request and what its handler may look at."""

    request: Request
    path: str  # as it was sent: a "%2F" in it is no separator
    caller: Caller
    state: State
    settings: Settings
    now: float

    @property
    def is_atlas(self) -> bool:
        return is_below(self.path, ATLAS)

    def fail(self, code: str, *parameters: object) -> ApiError:
        return ApiError(code, *parameters, ops_manager=not self.is_atlas)

    def url(self, path: str) -> str:
        return f"{self.request.host_url.rstrip('/')}{ATLAS if self.is_atlas else PUBLIC}{path}"

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


def answer(call: Call) -> Answer:
    """What the API says to an authenticated call."""
    try:
        result = _dispatch(call)
        if call.is_atlas:
            result.content_type = ATLAS_JSON
    except ApiError as failure:
        result = failure.answer
    return result


def _dispatch(call: Call) -> Answer:
    method = call.request.method
    try:
        endpoint, values = ROUTES.bind("").match(call.path, method)
    except HTTPException as error:
        raise call.fail("RESOURCE_NOT_FOUND", call.path) from error
    if call.is_atlas and not _accepts_version(call.request.headers.get("Accept", "")):
        raise call.fail("INVALID_VERSION_DATE")
    check_address(call.caller, call.request.remote_addr or "")
    if endpoint == "root" and method == "GET":
        return _root(call)
    ids = {name: unquote(value) for name, value in values.items()}
    handler = HANDLERS.get((method, endpoint))
    if handler is None:
        raise call.fail("METHOD_NOT_ALLOWED", method)
    _check_ids(call, ids)
    organization = _find_organization(call, ids.pop("org_id"), writes=method != "GET")
    return handler(call, organization, **ids)


def _accepts_version(accept: str) -> bool:
    for found in re.findall(r"application/vnd\.atlas\.(\d{4}-\d\d-\d\d)\+json", accept):
        try:
            return date.fromisoformat(found) >= date(2023, 1, 1)
        except ValueError:
            continue
    return False


def _check_ids(call: Call, ids: dict[str, str]) -> None:
    codes = {"org_id": "INVALID_ORG_ID", "key_id": "INVALID_KEY_ID"}
    for name, value in ids.items():
        if not ID.fullmatch(value):
            if call.is_atlas:
                raise call.fail("PATH_PARAM_PARSE_ERROR", call.path)
            raise call.fail(codes[name], value)


def _find_organization(call: Call, org_id: str, writes: bool) -> Organization:
    """The organization in the path, if the caller may do this there."""
    organization = call.state.organizations.get(org_id)
    if organization is None:
        raise call.fail("ORG_NOT_FOUND", org_id)
    if organization is not call.caller.organization:
        if call.is_atlas:
            raise call.fail("USER_CANNOT_ACCESS_ORG")
        raise call.fail("NOT_ORG_ADMIN", org_id)
    if call.is_atlas and organization.product != "atlas":
        raise call.fail("NOT_ATLAS_ORG", org_id)
    if not call.is_atlas and organization.product == "atlas":
        raise call.fail("EXPECTED_NON_ATLAS_ORG", org_id)
    holder = call.caller.holder
    if organization.requires_access_list and not holder.access_list:
        raise call.fail("ORG_REQUIRES_ACCESS_LIST", call.request.remote_addr)
    if not holder.roles or (writes and "ORG_OWNER" not in holder.roles):
        raise call.fail("USER_UNAUTHORIZED")
    return organization


def _root(call: Call) -> Answer:
    caller = call.caller
    content: dict[str, Any] = {
        "appName": APP_NAMES[caller.organization.product],
        "build": "83be55e140f493c88e7f578aae96548dd881587b",
        "links": [{"href": call.url(""), "rel": "self"}],
        "throttling": False,
    }
    if call.is_atlas and isinstance(caller.holder, ApiKey):
        shown = show(call, caller.organization, caller.holder)
        content["apiKey"] = {
            "accessList": [show_entry(entry) for entry in caller.holder.access_list],
            "id": shown["id"],
            "publicKey": shown["publicKey"],
            "roles": shown["roles"],
        }
    return Answer(200, content)


def show_entry(entry: str) -> dict[str, str]:
    """An access list entry; a single address comes as a block too."""
    shown = {"cidrBlock": str(ipaddress.ip_network(entry))}
    return shown if "/" in entry else {**shown, "ipAddress": entry}


def show(
    call: Call, organization: Organization, key: ApiKey, clear: bool = False
) -> dict[str, Any]:
    """A key as the APIs show it: private key masked, roles in an order of their own."""
    roles = [{"orgId": organization.id, "roleName": role} for role in key.roles]
    for project_id, names in key.projects.items():
        roles += [{"groupId": project_id, "roleName": name} for name in names]
    href = call.url(f"/orgs/{organization.id}/apiKeys/{key.id}")
    return {
        "desc": key.description,
        "id": key.id,
        "links": [{"href": href, "rel": "self"}],
        "privateKey": key.private_key if clear else f"********-****-****-{key.private_key[-12:]}",
        "publicKey": key.public_key,
        "roles": roles[::-1],
    }


def list_keys(call: Call, organization: Organization) -> Answer:
    page = call.number("pageNum", 1)
    size = call.number("itemsPerPage", 100, maximum=500)
    keys = sorted(organization.visible_keys(call.now).values(), key=lambda key: key.id)
    start = (page - 1) * size

    def link(rel: str, number: int) -> dict[str, str]:
        query = {
            "includeCount": str(call.flag("includeCount", True)).lower(),
            "pageNum": str(number),
            "itemsPerPage": str(size),
        }
        href = call.url(f"/orgs/{organization.id}/apiKeys?{urlencode(query)}")
        return {"href": href, "rel": rel}

    links = [link("self", page)]
    if page > 1:
        links.append(link("previous", page - 1))
    if start + size < len(keys):
        links.append(link("next", page + 1))
    results = [show(call, organization, key) for key in keys[start : start + size]]
    content: dict[str, Any] = {"links": links, "results": results}
    if call.flag("includeCount", True):
        content["totalCount"] = len(keys)
    return Answer(200, content)


def get_key(call: Call, organization: Organization, key_id: str) -> Answer:
    key = organization.visible_keys(call.now).get(key_id)
    if key is None:
        raise call.fail("API_KEY_NOT_FOUND", key_id)
    return Answer(200, show(call, organization, key))


def create_key(call: Call, organization: Organization) -> Answer:
    body = _key_body(call, organization.product, required=True)
    limit = call.settings.max_api_keys
    if limit is not None and len(organization.api_keys) >= limit:
        raise call.fail("MAX_API_KEYS_PER_ORG_EXCEEDED", limit)
    public_key = ""
    while not public_key or call.state.find_key(public_key):
        public_key = "".join(secrets.choice(string.ascii_lowercase) for _round in range(8))
    key = ApiKey(
        id=secrets.token_hex(12),
        description=body["desc"],
        public_key=public_key,
        private_key=str(uuid.uuid4()),
        roles=body["roles"],
    )
    _change(call, organization, key.id, key)
    return Answer(200, show(call, organization, key, clear=True), changed=True)


def update_key(call: Call, organization: Organization, key_id: str) -> Answer:
    body = _key_body(call, organization.product, required=False)
    key = _writable(call, organization, key_id)
    key = replace(
        key,
        description=body.get("desc", key.description),
        roles=body.get("roles", key.roles),
    )
    _change(call, organization, key_id, key)
    return Answer(200, show(call, organization, key), changed=True)


def delete_key(call: Call, organization: Organization, key_id: str) -> Answer:
    _writable(call, organization, key_id)
    _change(call, organization, key_id, None)
    default = 200 if organization.product == "ops_manager" else 204
    status = organization.delete_status or default
    return Answer(status, {} if status == 200 else None, changed=True)


Handler = Callable[..., Answer]
HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", "keys"): list_keys,
    ("POST", "keys"): create_key,
    ("GET", "key"): get_key,
    ("PATCH", "key"): update_key,
    ("DELETE", "key"): delete_key,
}


def _writable(call: Call, organization: Organization, key_id: str) -> ApiKey:
    key = organization.api_keys.get(key_id)
    if key is None:
        raise call.fail("API_KEY_NOT_FOUND", key_id)
    return key


def _change(call: Call, organization: Organization, key_id: str, after: ApiKey | None) -> None:
    organization.change(key_id, after, call.now, call.now + call.settings.visibility_delay)


def _key_body(call: Call, product: str, required: bool) -> dict[str, Any]:
    """The checked body of a POST (`required`: both attributes) or PATCH."""
    try:
        body = json.loads(call.request.get_data())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise call.fail("INVALID_JSON")
    for name in body:
        if name in READ_ONLY_FIELDS:
            raise call.fail("ATTRIBUTE_READ_ONLY", name)
        if name not in ("desc", "roles"):
            raise call.fail("INVALID_ATTRIBUTE", name)
    if not call.is_atlas and not body:
        raise call.fail("MISSING_ATTRIBUTE", "desc")
    if required or "desc" in body:
        _check_description(call, body.get("desc"))
    if required or "roles" in body:
        _check_roles(call, product, body.get("roles"))
    return body


def _check_description(call: Call, description: object) -> None:
    if description is None:
        if call.is_atlas:
            raise call.fail("API_KEY_REQUIRES_DESCRIPTION")
        raise call.fail("MISSING_ATTRIBUTE", "desc")
    if not isinstance(description, str) or not 1 <= len(description) <= 250:
        if call.is_atlas:
            raise call.fail("INVALID_API_KEY_DESC")
        raise call.fail("INVALID_ATTRIBUTE", "desc")


def _check_roles(call: Call, product: str, roles: object) -> None:
    if not roles:
        if call.is_atlas:
            raise call.fail("MISSING_API_KEY_ROLES")
        raise call.fail("MISSING_ATTRIBUTE", "roles")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise call.fail("INVALID_JSON_ATTRIBUTE", "roles")
    for role in roles:
        if call.is_atlas and role.startswith("GROUP_"):
            raise call.fail("INVALID_ROLE_FOR_ORG", role)
        if role not in ORG_ROLES[product]:
            raise call.fail("INVALID_ENUM_VALUE", role)


def not_found(path: str) -> Answer:
    """For a URL outside of both APIs."""
    return api_error(404, "RESOURCE_NOT_FOUND", f"Cannot find resource {path}.", [path])
