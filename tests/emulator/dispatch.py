# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Map the path of an authenticated request to the function that handles it."""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import unquote

from requests.exceptions import InvalidURL
from requests.utils import unquote_unreserved
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Submount

from . import api, others, service_accounts
from .api import ATLAS, ATLAS_JSON, PUBLIC, Call
from .auth import is_listed
from .responses import ApiError, Response
from .state import ID

HANDLERS = {**api.HANDLERS, **service_accounts.HANDLERS, **others.HANDLERS}
RULES = (*api.ENDPOINTS, *service_accounts.ENDPOINTS, *others.ENDPOINTS)
ROUTES = Map(
    [Submount(prefix, [rule.empty() for rule in RULES]) for prefix in (ATLAS, PUBLIC)],
    strict_slashes=False,
    merge_slashes=False,
)
# The oldest versions of the Atlas Administration API that have an endpoint.
OLDEST = "2023-01-01"
VERSIONS = {rule.endpoint: service_accounts.VERSION for rule in service_accounts.ENDPOINTS}
INVALID_IDS = {
    "org_id": "INVALID_ORG_ID",
    "group_id": "INVALID_GROUP_ID",
    "key_id": "INVALID_KEY_ID",
}


def response(call: Call) -> Response:
    """Return the response to an authenticated call."""
    version = VERSIONS.get(find_endpoint(call)[0], OLDEST)
    try:
        result = _dispatch(call)
        if call.is_atlas and result.raw is None:
            result.content_type = ATLAS_JSON.replace(OLDEST, version)
    except ApiError as failure:
        result = failure.response
    return result


def find_endpoint(call: Call) -> tuple[str, dict[str, str]]:
    """Return the endpoint that a call is for ("" if there is none), and the IDs in its path."""
    try:
        path = unquote_unreserved(call.path)
        name, values = ROUTES.bind("").match(path, call.request.method)
    except (HTTPException, InvalidURL):
        return "", {}
    return name, dict(values)


def _dispatch(call: Call) -> Response:
    method = call.request.method
    endpoint, values = find_endpoint(call)
    if not endpoint:
        raise call.fail("RESOURCE_NOT_FOUND", call.path)
    if "list_name" in values and values["list_name"] not in api.list_names(call):
        raise call.fail("RESOURCE_NOT_FOUND", call.path)
    if call.is_atlas and not _accepts(call, endpoint):
        raise call.fail("INVALID_VERSION_DATE")
    entries = call.caller.holder.access_list
    if entries and not is_listed(call.address, entries):
        raise call.fail("IP_ADDRESS_NOT_ON_ACCESS_LIST", call.address)
    if endpoint == "root" and method == "GET":
        return api.root(call)
    ids = {name: unquote(value) for name, value in values.items()}
    handler = HANDLERS.get((method, endpoint))
    if handler is None:
        raise call.fail("METHOD_NOT_ALLOWED", method)
    _check_ids(call, ids)
    return handler(call, **ids)


def _accepts(call: Call, endpoint: str) -> bool:
    """Return whether a call accepts a version that has the endpoint; later dates map to it."""
    oldest = VERSIONS.get(endpoint, OLDEST)
    accepted = call.request.headers.get("Accept", "")
    form = rf"application/vnd\.atlas\.(\d{{4}}-\d\d-\d\d)\+{others.FORMATS.get(endpoint, 'json')}"
    for found in re.findall(form, accepted):
        try:
            return date.fromisoformat(found) >= date.fromisoformat(oldest)
        except ValueError:
            continue
    return False


def _check_ids(call: Call, ids: dict[str, str]) -> None:
    for name, code in INVALID_IDS.items():
        if name in ids and not ID.fullmatch(ids[name]):
            if call.is_atlas:
                raise call.fail("PATH_PARAM_PARSE_ERROR", call.path)
            raise call.fail(code, ids[name])
