# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints that have no module in the collection.

Settings of organizations, projects, invoices, objects in projects (alert configurations, clusters),
and the global keys and access list of Ops Manager.
"""

from __future__ import annotations

import secrets as random
from typing import Any

from werkzeug.routing import Rule

from . import api
from .api import Call
from .responses import Response
from .state import ApiKey, Organization

ENDPOINTS = [
    Rule("/orgs/<org_id>/settings", endpoint="settings"),
    Rule("/orgs/<org_id>/invoices", endpoint="invoices"),
    Rule("/orgs/<org_id>/invoices/<name>/csv", endpoint="invoice_csv"),
    Rule("/groups", endpoint="projects"),
    Rule("/groups/<group_id>", endpoint="project"),
    Rule("/groups/<group_id>/alertConfigs", endpoint="alerts"),
    Rule("/groups/<group_id>/alertConfigs/<name>", endpoint="alert"),
    Rule("/groups/<group_id>/clusters", endpoint="clusters"),
    Rule("/groups/<group_id>/clusters/<name>", endpoint="cluster"),
    Rule("/admin/apiKeys", endpoint="global_keys"),
    Rule("/admin/apiKeys/<key_id>", endpoint="global_key"),
    Rule("/admin/accessList", endpoint="global_entries"),
    Rule("/admin/accessList/<name>", endpoint="global_entry"),
]
# The endpoints whose responses are not JSON.
FORMATS = {"invoice_csv": "csv"}
_CREATED = "2026-01-01T00:00:00Z"


def get_settings(call: Call, org_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    required = organization.requires_access_list
    return Response(200, {"apiAccessListRequired": required, **organization.settings})


def update_settings(call: Call, org_id: str) -> Response:
    organization = api.find_organization(call, org_id)
    body = call.json()
    if not isinstance(body, dict):
        raise call.fail("INVALID_JSON")
    required = body.pop("apiAccessListRequired", organization.requires_access_list)
    if required and not call.caller.holder.access_list:
        raise call.fail("ORG_REQUIRES_ACCESS_LIST", call.address)
    organization.requires_access_list = required
    organization.settings |= body
    return Response(200, get_settings(call, org_id).content, changed=True)


def _show(call: Call, organization: Organization, group_id: str) -> dict[str, object]:
    name = organization.projects[group_id]
    links = [{"href": call.url(f"/groups/{group_id}"), "rel": "self"}]
    shown: dict[str, object] = {
        "id": group_id,
        "links": links,
        "name": name,
        "orgId": organization.id,
    }
    return {**shown, "clusterCount": 0, "created": _CREATED} if call.is_atlas else shown


def list_projects(call: Call) -> Response:
    organization = api.find_organization(call, call.caller.organization.id)
    return api.page(call, [_show(call, organization, name) for name in organization.projects])


def create_project(call: Call) -> Response:
    body = call.json()
    for name in ("name", "orgId"):
        if not isinstance(body, dict) or not isinstance(body.get(name), str):
            raise call.fail("MISSING_ATTRIBUTE", name)
    organization = api.find_organization(call, body["orgId"])
    group_id = random.token_hex(12)
    organization.projects[group_id] = body["name"]
    content = _show(call, organization, group_id)
    return Response(200 if call.is_atlas else 201, content, changed=True)


def get_project(call: Call, group_id: str) -> Response:
    return Response(200, _show(call, api.enter_project(call, group_id), group_id))


def list_invoices(call: Call, org_id: str) -> Response:
    return api.page(call, list(_invoices(call, org_id).values()))


def get_invoice(call: Call, org_id: str, name: str) -> Response:
    invoice = _invoices(call, org_id).get(name)
    if invoice is None:
        raise call.fail("RESOURCE_NOT_FOUND", name)
    rows = f"Invoice,Amount\n{name},{invoice.get('amountBilledCents', 0)}\n"
    media_type = "application/vnd.atlas.2023-01-01+csv"
    return Response(200, raw=rows.encode(), content_type=media_type)


def _invoices(call: Call, org_id: str) -> dict[str, Any]:
    return api.find_organization(call, org_id).others.setdefault("invoices", {})


def list_alerts(call: Call, group_id: str) -> Response:
    return api.page(call, list(_in_project(call, group_id, "alertConfigs").values()))


def create_alert(call: Call, group_id: str) -> Response:
    alerts = _in_project(call, group_id, "alertConfigs")
    alert_id = random.token_hex(12)
    alerts[alert_id] = _alert(call, group_id, alert_id)
    return Response(201, alerts[alert_id], changed=True)


def get_alert(call: Call, group_id: str, name: str) -> Response:
    return Response(200, _find(call, group_id, "alertConfigs", name))


def replace_alert(call: Call, group_id: str, name: str) -> Response:
    _find(call, group_id, "alertConfigs", name)
    alert = _alert(call, group_id, name)
    _in_project(call, group_id, "alertConfigs")[name] = alert
    return Response(200, alert, changed=True)


def switch_alert(call: Call, group_id: str, name: str) -> Response:
    alert = _find(call, group_id, "alertConfigs", name)
    body = call.json()
    if not isinstance(body, dict) or body.keys() != {"enabled"}:
        raise call.fail("MISSING_ATTRIBUTE", "enabled")
    alert |= body
    return Response(200, alert, changed=True)


def delete_alert(call: Call, group_id: str, name: str) -> Response:
    _find(call, group_id, "alertConfigs", name)
    del _in_project(call, group_id, "alertConfigs")[name]
    return Response(204, changed=True)


def _alert(call: Call, group_id: str, alert_id: str) -> dict[str, Any]:
    """Return the alert configuration of a request. The API adds an ID to each notification."""
    body = call.json()
    if not isinstance(body, dict) or not isinstance(body.get("eventTypeName"), str):
        raise call.fail("MISSING_ATTRIBUTE", "eventTypeName")
    sent = [{**item, "notifierId": random.token_hex(12)} for item in body.get("notifications", [])]
    times = {"created": _CREATED, "updated": _CREATED}
    shown = {"enabled": True, "matchers": [], **body, "notifications": sent}
    return {**shown, "id": alert_id, "groupId": group_id, **times}


def list_clusters(call: Call, group_id: str) -> Response:
    return api.page(call, list(_in_project(call, group_id, "clusters").values()))


def get_cluster(call: Call, group_id: str, name: str) -> Response:
    return Response(200, _find(call, group_id, "clusters", name))


def delete_cluster(call: Call, group_id: str, name: str) -> Response:
    _find(call, group_id, "clusters", name)
    del _in_project(call, group_id, "clusters")[name]
    return Response(202, {}, changed=True)


def _in_project(call: Call, group_id: str, kind: str) -> dict[str, Any]:
    organization = api.enter_project(call, group_id)
    return organization.others.setdefault(f"{group_id}/{kind}", {})


def _find(call: Call, group_id: str, kind: str, name: str) -> dict[str, Any]:
    found = _in_project(call, group_id, kind).get(name)
    if found is None:
        codes = {"alertConfigs": "ALERT_CONFIG_NOT_FOUND", "clusters": "CLUSTER_NOT_FOUND"}
        raise call.fail(codes[kind], name, group_id)
    return dict(found) if call.request.method == "GET" else found


def list_global_keys(call: Call) -> Response:
    organization, keys = _enter_admin(call)
    return api.page(call, [api.show(call, organization, key) for key in keys.values()])


def create_global_key(call: Call) -> Response:
    organization, _keys = _enter_admin(call)
    body = call.json()
    for name, kind in (("desc", str), ("roles", list)):
        if not isinstance(body, dict) or not isinstance(body.get(name), kind):
            raise call.fail("MISSING_ATTRIBUTE", name)
    key = api.new_key(call, organization, body["desc"])
    key.foreign_roles = [{"roleName": role} for role in body["roles"]]
    organization.api_keys[key.id] = key
    return Response(200, api.show(call, organization, key, clear=True), changed=True)


def get_global_key(call: Call, key_id: str) -> Response:
    organization, key = _find_global_key(call, key_id)
    return Response(200, api.show(call, organization, key))


def delete_global_key(call: Call, key_id: str) -> Response:
    organization, _key = _find_global_key(call, key_id)
    del organization.api_keys[key_id]
    return Response(200, {}, changed=True)


def list_global_entries(call: Call) -> Response:
    organization, _keys = _enter_admin(call)
    return api.page(call, list(organization.others.get("accessList", {}).values()))


def add_global_entry(call: Call) -> Response:
    organization, _keys = _enter_admin(call)
    body = call.json()
    for name in ("cidrBlock", "description"):
        if not isinstance(body, dict) or not isinstance(body.get(name), str):
            raise call.fail("MISSING_ATTRIBUTE", name)
    entry = {**body, "id": random.token_hex(12), "type": "GLOBAL_ROLE"}
    organization.others.setdefault("accessList", {})[entry["id"]] = entry
    return Response(200, entry, changed=True)


def delete_global_entry(call: Call, name: str) -> Response:
    organization, _keys = _enter_admin(call)
    if organization.others.get("accessList", {}).pop(name, None) is None:
        raise call.fail("RESOURCE_NOT_FOUND", name)
    return Response(200, {}, changed=True)


def _enter_admin(call: Call) -> tuple[Organization, dict[str, ApiKey]]:
    """Return the caller's organization and its global keys, if the caller's roles allow it."""
    if call.is_atlas:
        raise call.fail("RESOURCE_NOT_FOUND", call.path)
    organization = call.caller.organization
    keys = {key.id: key for key in organization.api_keys.values() if _global_roles(key)}
    roles = _global_roles(call.caller.holder)
    if not roles or (call.is_write and "GLOBAL_OWNER" not in roles):
        raise call.fail("USER_UNAUTHORIZED")
    return organization, keys


def _find_global_key(call: Call, key_id: str) -> tuple[Organization, ApiKey]:
    organization, keys = _enter_admin(call)
    if key_id not in keys:
        raise call.fail("API_KEY_NOT_FOUND", key_id)
    return organization, keys[key_id]


def _global_roles(holder: object) -> set[str]:
    names = {role["roleName"] for role in getattr(holder, "foreign_roles", [])}
    return {name for name in names if name.startswith("GLOBAL_")}


HANDLERS: dict[tuple[str, str], api.Handler] = {
    ("GET", "settings"): get_settings,
    ("PATCH", "settings"): update_settings,
    ("GET", "invoices"): list_invoices,
    ("GET", "invoice_csv"): get_invoice,
    ("GET", "projects"): list_projects,
    ("POST", "projects"): create_project,
    ("GET", "project"): get_project,
    ("GET", "alerts"): list_alerts,
    ("POST", "alerts"): create_alert,
    ("GET", "alert"): get_alert,
    ("PUT", "alert"): replace_alert,
    ("PATCH", "alert"): switch_alert,
    ("DELETE", "alert"): delete_alert,
    ("GET", "clusters"): list_clusters,
    ("GET", "cluster"): get_cluster,
    ("DELETE", "cluster"): delete_cluster,
    ("GET", "global_keys"): list_global_keys,
    ("POST", "global_keys"): create_global_key,
    ("GET", "global_key"): get_global_key,
    ("DELETE", "global_key"): delete_global_key,
    ("GET", "global_entries"): list_global_entries,
    ("POST", "global_entries"): add_global_entry,
    ("DELETE", "global_entry"): delete_global_entry,
}
