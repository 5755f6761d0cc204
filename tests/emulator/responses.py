# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Responses before they are serialized, and the errors of both APIs by code."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

JSON = "application/json"

# errorCode: the HTTP status and the text, in which each %s is replaced by a parameter, in order.
ERRORS: dict[str, tuple[int, str]] = {
    "ADDRESS_ALREADY_IN_ACCESS_LIST": (409, "Address %s is already on the access list."),
    "ALERT_CONFIG_NOT_FOUND": (404, "No alert configuration with ID %s exists in group %s."),
    "API_KEY_ACCESS_LIST_ACCESS_DENIED": (
        401,
        "API key access lists are only accessible by the API key or by a user administrator.",
    ),
    "API_KEY_ACCESS_LIST_ENTRY_NOT_FOUND": (
        404,
        "IP address %s not on access list for API key %s.",
    ),
    "API_KEY_ACCESS_LIST_NOT_FOUND": (404, "IP address %s not on access list for API key %s."),
    "API_KEY_ALREADY_IN_GROUP": (400, "API key is already in the group."),
    "API_KEY_NOT_FOUND": (400, "No API key with ID %s exists."),
    "API_KEY_REQUIRES_DESCRIPTION": (400, "An API key must have a description."),
    "ATLAS_GROUP": (404, "Group %s is an Atlas group."),
    "ATTRIBUTE_READ_ONLY": (400, "Attribute %s is read-only and cannot be changed by the user."),
    "BAD_ACCESS_LIST_ADD_REQUEST": (
        400,
        "An entry of an access list is either an IP address or a CIDR block.",
    ),
    "CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST": (
        400,
        "Cannot remove caller's IP address %s from access list",
    ),
    "CLUSTER_NOT_FOUND": (404, "No cluster named %s exists in group %s."),
    "DUPLICATE_ADDRESSES_IN_INPUT": (400, "Address %s is in the input more than once."),
    "EXPECTED_NON_ATLAS_ORG": (404, "Organization %s is an Atlas organization."),
    "GROUP_NOT_FOUND": (404, "No group with ID %s exists."),
    "INVALID_API_KEY_DESC": (400, "An API key description must have 1 to 250 characters."),
    "INVALID_ATTRIBUTE": (400, "Invalid attribute %s specified."),
    "INVALID_ENUM_VALUE": (400, "An invalid enumeration value %s was specified."),
    "INVALID_GROUP_ID": (404, "An invalid group ID %s was specified."),
    "INVALID_IP_ADDRESS_OR_CIDR_NOTATION": (400, "%s is not an IP address or CIDR block."),
    "INVALID_JSON": (400, "Received JSON is malformed."),
    "INVALID_JSON_ATTRIBUTE": (400, "Received JSON for the %s attribute is malformed."),
    "INVALID_KEY_ID": (404, "An invalid API key ID %s was specified."),
    "INVALID_ORG_ID": (404, "An invalid organization ID %s was specified."),
    "INVALID_QUERY_PARAMETER": (400, "Invalid query parameter %s specified."),
    "INVALID_ROLE_ASSIGNMENT": (400, "Invalid role assignment: %s."),
    "INVALID_ROLE_FOR_GROUP": (400, "Role %s is invalid for groups."),
    "INVALID_ROLE_FOR_ORG": (400, "Role %s is invalid for organizations."),
    "INVALID_VERSION_DATE": (406, "Invalid accept header or version date."),
    "IP_ADDRESS_NOT_ON_ACCESS_LIST": (
        403,
        "IP address %s is not allowed to access this resource.",
    ),
    "MAX_API_KEYS_PER_ORG_EXCEEDED": (400, "The organization has its maximum of %s API keys."),
    "MAX_SERVICE_ACCOUNTS_PER_ORG_EXCEEDED": (
        400,
        "Maximum number of Service Accounts per org (%s) in %s exceeded when trying to add a new "
        "Service Account.",
    ),
    "METHOD_NOT_ALLOWED": (405, "Method %s is not allowed for this resource."),
    "MISSING_API_KEY_ROLES": (400, "An API key must have at least one role."),
    "MISSING_ATTRIBUTE": (400, "The required attribute %s was not specified."),
    # Only some words of this text are known.
    "MUTUALLY_EXCLUSIVE": (400, "%s and %s are mutually exclusive."),
    "NOT_ATLAS_GROUP": (404, "Group %s is not an Atlas group."),
    "NOT_ATLAS_ORG": (404, "Organization %s is not an Atlas organization."),
    "NOT_IN_GROUP": (
        401,
        "The current user is not in the group, or the group does not exist.",
    ),
    "NOT_ORG_ADMIN": (
        401,
        "The current user does not have the administrator role in organization %s.",
    ),
    "ORG_NOT_FOUND": (404, "No organization with ID %s exists."),
    "ORG_REQUIRES_ACCESS_LIST": (
        403,
        "This organization requires access through an access list of ip ranges.",
    ),
    "PATH_PARAM_PARSE_ERROR": (
        400,
        "One or more path parameter in the request URI %s is malformed.",
    ),
    "RATE_LIMITED": (429, "Resource %s is limited to %s requests every %s minutes."),
    "RATE_LIMITED_TOKEN_BUCKET": (
        429,
        "Resource %s is rate limited: retry after %s seconds. "
        "The capacity is %s requests, refilled by %s every %s seconds.",
    ),
    "RESOURCE_NOT_FOUND": (404, "Cannot find resource %s."),
    # The real codes of a missing account and of invalid fields are not known; these are invented.
    "SERVICE_ACCOUNT_NOT_FOUND": (404, "No service account with ID %s exists."),
    "UNEXPECTED_ERROR": (500, "Unexpected error."),
    "USER_CANNOT_ACCESS_ORG": (401, "User cannot access this organization."),
    "VALIDATION_ERROR": (400, "Invalid value of %s."),
    "USER_UNAUTHORIZED": (401, "Current user is not authorized to perform this action."),
}
# Errors for which the public API has another status or text.
PUBLIC_ERRORS = {
    "API_KEY_ACCESS_LIST_ACCESS_DENIED": (400, ERRORS["API_KEY_ACCESS_LIST_ACCESS_DENIED"][1]),
    "API_KEY_NOT_FOUND": (400, "No API Key with ID %s exists."),
}
# Codes that had, and sometimes still have, an older name. "access list" changes in their texts too.
OLD_CODES = {
    "ADDRESS_ALREADY_IN_ACCESS_LIST": "ADDRESS_ALREADY_IN_WHITELIST",
    "API_KEY_ACCESS_LIST_ACCESS_DENIED": "API_KEY_WHITELIST_ACCESS_DENIED",
    "API_KEY_ACCESS_LIST_ENTRY_NOT_FOUND": "API_KEY_WHITELIST_NOT_FOUND",
    "API_KEY_ACCESS_LIST_NOT_FOUND": "API_KEY_WHITELIST_NOT_FOUND",
    "BAD_ACCESS_LIST_ADD_REQUEST": "BAD_WHITELIST_ADD_REQUEST",
    "CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST": "CANNOT_REMOVE_CALLER_FROM_WHITELIST",
    "IP_ADDRESS_NOT_ON_ACCESS_LIST": "IP_ADDRESS_NOT_ON_WHITELIST",
}


@dataclass
class Response:
    """A status with a JSON value (None for no body), or with `raw` bytes."""

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON
    raw: bytes | None = None
    changed: bool = False  # whether a write changed the state

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        compact = (",", ":")
        return (
            b"" if self.content is None else json.dumps(self.content, separators=compact).encode()
        )

    def head(self, length: int | None, close: bool = False, **extra: str) -> bytes:
        """Return the status line and headers. Without a length, there is no Content-Length."""
        headers = {**self.headers, **extra}
        if self.content_type:
            headers = {"Content-Type": self.content_type, **headers}
        if length is not None and self.status != HTTPStatus.NO_CONTENT:
            headers["Content-Length"] = str(length)
        if close:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {self.status} {reason(self.status)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def in_envelope(self) -> Response:
        """Return the response with its status in the body, as the APIs do with `envelope=true`."""
        content = {} if self.content is None else self.content
        if isinstance(content, dict) and "results" in content:
            content = {"status": self.status, **content}
        else:
            content = {"status": self.status, "content": content}
        return Response(200, content, self.headers, self.content_type, changed=self.changed)


class ApiError(Exception):
    """An error of the API that ends the handling of a request."""

    def __init__(
        self, code: str, *parameters: object, is_public: bool = False, is_old: bool = False
    ) -> None:
        status, text = (is_public and PUBLIC_ERRORS.get(code)) or ERRORS[code]
        if is_old and code in OLD_CODES:
            code, text = OLD_CODES[code], text.replace("access list", "whitelist")
        super().__init__(code)
        detail = text % parameters if "%s" in text else text
        self.response = api_error(status, code, detail, list(parameters), is_public=is_public)


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def api_error(
    status: int,
    code: str | None,
    detail: str,
    parameters: list[Any] | None = None,
    *,
    is_public: bool = False,
) -> Response:
    """Return an error of an API. Atlas repeats the code in a header."""
    content: dict[str, Any] = {"detail": detail, "error": status}
    if code:
        content["errorCode"] = code
    if parameters is not None:
        content["parameters"] = parameters
    content["reason"] = reason(status)
    return Response(status, content, {"X-Error-Code": code} if code and not is_public else {})
