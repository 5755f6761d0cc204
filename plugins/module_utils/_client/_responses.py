# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parse responses: JSON, the envelope around it, and the error in it. No I/O."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import (
    Response,
    may_have_happened,
    retry_after,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    KeysmithError,
    Request,
    UnexpectedResponseError,
    api_advice,
    sanitize,
    unexplained_401_advice,
)

# Gateways and proxies return these with their own text.
_GATEWAY_STATUSES = frozenset({401, 407, 429, 500, 502, 503, 504})
# Web servers return these if a client certificate is missing or not accepted.
_CLIENT_CERTIFICATE_STATUSES = frozenset({400, 403})
_MAX_DETAIL = 2000
# Some errors list every address of an access list.
_MAX_PARAMETERS = 1000
_MAX_DIGITS = 40
# With more levels, code that handles JSON, such as Ansible's, exceeds Python's recursion limit.
_MAX_DEPTH = 100


def parse_response(response: Response) -> Response:
    """Return the response with its JSON as ``payload`` and the status that the API meant.

    Removes an envelope, requested or not: ``{"status", "content"}`` around an object or an error,
    or ``status`` next to the ``results`` of a list (docs/apis.md: Lists). If the body is not JSON,
    ``is_json`` stays false, and the caller decides.
    """
    try:
        payload = json.loads(
            response.body.removeprefix(codecs.BOM_UTF8).decode(),
            parse_constant=_refuse_constant,
            parse_int=_int,
            parse_float=_float,
        )
        if _is_deeper(payload, _MAX_DEPTH):
            return response
        if b"\\ud" in response.body.lower():
            payload = _without_lone_surrogates(payload)
    except (ValueError, RecursionError):
        return response
    status, body = response.status, response.body
    if isinstance(payload, dict):
        enveloped = _status(payload.get("status"))
        if enveloped and (payload.keys() == {"status", "content"} or "results" in payload):
            if "results" in payload:
                payload = {key: value for key, value in payload.items() if key != "status"}
            else:
                payload = payload["content"]
                if payload is None or payload == "":
                    payload, body = {}, b""
            # Any other HTTP status, for example of a gateway, takes precedence over the envelope.
            status = enveloped if _is_successful(status) else status
    if isinstance(payload, dict) and _is_successful(status) and _is_error(payload):
        # A proxy or gateway hid the status, but the error repeats it.
        status = _status(payload.get("error")) or status
    return replace(response, status=status, body=body, payload=payload, is_json=True)


def is_success(response: Response) -> bool:
    return _is_successful(response.status)


def _is_successful(status: int) -> bool:
    return 200 <= status < 300


def is_empty(response: Response) -> bool:
    """Return whether there is no content: no body, or an empty object, plain or enveloped."""
    return not response.body.strip() or (response.is_json and response.payload == {})


def _is_error(payload: Mapping[str, Any]) -> bool:
    """Return whether JSON is an error of the API. Older errors have no code."""
    has_texts = all(isinstance(payload.get(name), str) for name in ("reason", "detail"))
    is_old = has_texts and (_status(payload.get("error")) or 0) >= 400
    return "errorCode" in payload or is_old


def is_of_api(response: Response) -> bool:
    """Return whether a response is an error in the API's own JSON."""
    return isinstance(response.payload, dict) and (
        "error" in response.payload or "errorCode" in response.payload
    )


def as_error(response: Response, request: Request) -> KeysmithError:
    """Return the error of an unsuccessful response: the API's own, or an unexpected response."""
    if not is_of_api(response) and response.status not in _GATEWAY_STATUSES:
        advice = (
            f"There seems to be no {request.platform} API at {request.url}. Check base_url, "
            "platform, and any proxy or firewall in between. This does not prove that anything is "
            f"missing.{_client_certificate_hint(response, request)}"
        )
        error = unexpected(
            response, request, f"is {describe_body(response)}, not an API error", advice
        )
        return error.with_context(
            outcome_unknown=response.outcome_unknown or may_have_happened(request.method, error)
        )
    payload = response.payload if isinstance(response.payload, dict) else {}
    code = _str_or_none(payload.get("errorCode"), 80)
    detail = _str_or_none(payload.get("detail"), _MAX_DETAIL)
    if code is None and isinstance(payload.get("error"), str):
        # The OAuth endpoints use other fields.
        code = _str_or_none(payload["error"], 80)
        detail = _str_or_none(payload.get("error_description"))
    given = payload.get("parameters")
    listed = given if isinstance(given, list) else [] if given is None else [given]
    parameters = [_parameter(item) for item in listed[:_MAX_PARAMETERS]]
    return ApiError(
        f"the API returned {response.status} {code or response.reason}".rstrip()
        + (f', "{sanitize(detail).rstrip(".")}"' if detail else "")
        + _retry_after_note(response),
        request=request,
        status=response.status,
        code=code,
        reason=_str_or_none(payload.get("reason")) or response.reason,
        detail=detail,
        parameters=parameters,
        hint=unexplained_401_advice(request)
        if response.was_accepted
        else api_advice(response.status, code, parameters, request),
        attempts=response.attempts,
        waited=response.waited,
        outcome_unknown=response.outcome_unknown or may_have_happened(request.method, response),
    )


def _parameter(item: Any) -> str | float | None:
    """Return a parameter of an error, None for anything but text and numbers.

    None holds its place, so that the error does not look like one without parameters.
    """
    if isinstance(item, str):
        return sanitize(item, 200)
    return item if isinstance(item, (int, float)) and math.isfinite(item) else None


class UnreadableError(Exception):
    """Part of an object in a response does not have the expected form.

    ``owner`` identifies the object, and ``name`` is the field. The value is never quoted, because
    it may be a secret.
    """

    def __init__(self, owner: str, name: str, value: Any) -> None:
        super().__init__(f"{owner}: {name} {_shape(value)}")


def _shape(value: Any) -> str:
    """Describe the type of an unreadable field without its content."""
    if value is None:
        return "is missing"
    kinds: dict[type, str] = {
        bool: "is a boolean",
        str: "is an unexpected string",
        list: "is an unexpected list",
        dict: "is an object",
    }
    return kinds.get(type(value), "is a number")


def unreadable(
    response: Response, request: Request, error: UnreadableError
) -> UnexpectedResponseError:
    """Return the error of a response with an unreadable field."""
    return unexpected(
        response,
        request,
        f"cannot be read: {error}",
        f"Check that base_url ({request.base_url}) is the address of {request.platform}. If it is, "
        "the API may have changed: look for a newer version of this collection, or report this as "
        "a bug.",
    )


def unexpected(
    response: Response, request: Request, what: str, hint: str = ""
) -> UnexpectedResponseError:
    """Return the error of a response that the API would not return.

    ``what`` completes "the response (200 OK) …". The default ``hint`` is about base_url.
    """
    status_line = f"{response.status} {response.reason}".strip()
    return UnexpectedResponseError(
        f"the response ({status_line}) {what}",
        request=request,
        status=response.status,
        reason=response.reason,
        hint=hint
        or (
            f"Check that base_url ({request.base_url}) is the address of {request.platform}, and "
            "that no login page or proxy intercepts the request."
        ),
        attempts=response.attempts,
        waited=response.waited,
        outcome_unknown=request.method != "GET",
    )


def check_no_error(response: Response, request: Request) -> None:
    """Refuse a successful response with an error of the API. Raises UnexpectedResponseError."""
    payload = response.payload if isinstance(response.payload, dict) else {}
    code, detail = (_str_or_none(payload.get(name)) for name in ("errorCode", "detail"))
    others = ("detail", "error", "parameters", "reason")
    if code and (len(payload) == 1 or any(name in payload for name in others)):
        said = f', "{detail}"' if detail else ""
        raise unexpected(response, request, f"contains the error {code}{said}")


def check_empty(response: Response, request: Request, operation: str) -> None:
    """Refuse a successful response with content. Raises UnexpectedResponseError.

    ``operation``: what returns an empty body if it is successful, such as "deletion".
    """
    if not is_empty(response):
        what = f"is {describe_body(response)}; a successful {operation} returns an empty body"
        raise unexpected(response, request, what)


@dataclass(frozen=True)
class Page:
    """One page of a list. ``total``: how many items the API counts on all pages."""

    items: list[dict[str, Any]]
    total: int
    has_next: bool


def page(response: Response, request: Request) -> Page:
    """Return a page of objects. Raises UnexpectedResponseError.

    ``totalCount`` is required: without it, no list can be confirmed to be complete.
    """
    payload = response.payload if isinstance(response.payload, dict) else {}
    items: Any = payload.get("results")
    total = payload.get("totalCount")
    links = payload.get("links", [])
    is_page = (
        isinstance(items, list)
        and all(isinstance(item, dict) for item in items)
        and isinstance(total, int)
        and not isinstance(total, bool)
        and total >= 0
        and isinstance(links, list)
        and "errorCode" not in payload
    )
    if not is_page:
        raise unexpected(response, request, f"is {describe_body(response)}, not the expected list")
    return Page(
        items=items,
        total=int(total or 0),
        has_next=any(isinstance(link, dict) and link.get("rel") == "next" for link in links),
    )


def incomplete(request: Request, attempts: int) -> UnexpectedResponseError:
    """Return the error of a list whose pages were never consistent."""
    return UnexpectedResponseError(
        f"the list was read {attempts} times, and its pages were never consistent",
        request=request,
        hint=(
            "It may be changing at the moment: try again later. Without the full list, nothing can "
            "be reported as missing."
        ),
    )


def endless(request: Request, pages: int) -> UnexpectedResponseError:
    """Return the error of a list that does not end."""
    return UnexpectedResponseError(
        f"the list did not end after {pages} pages, more than the API ever returns",
        request=request,
        hint=f"Check that base_url ({request.base_url}) is the address of {request.platform}.",
    )


def describe_body(response: Response) -> str:
    """Describe the kind of a body for messages."""
    if not response.body.strip():
        return "empty"
    if response.is_json:
        return "JSON"
    if is_html(response) or response.body.lstrip()[:1] == b"<":
        return "an HTML page"
    media_type = _media_type(response)
    if "json" in media_type:
        return "invalid JSON"
    return f"not JSON ({sanitize(media_type, 60)})" if media_type else "not JSON"


def is_html(response: Response) -> bool:
    start = response.body.lstrip()[:20].lower()
    return _media_type(response) == "text/html" or start.startswith((b"<html", b"<!doctype html"))


def _media_type(response: Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _client_certificate_hint(response: Response, request: Request) -> str:
    if response.status not in _CLIENT_CERTIFICATE_STATUSES:
        return ""
    if not request.base_url.startswith("https://"):
        return ""
    return (
        " The server may require a client certificate: set client_cert and client_key, or check "
        "them."
    )


def _retry_after_note(response: Response) -> str:
    wait = retry_after(response)
    if wait > 86400:
        return ", and asks to wait more than a day"
    return f", and asks to wait {wait:.0f} s" if wait else ""


def _status(value: Any) -> int | None:
    is_status = isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599
    return value if is_status else None


def _str_or_none(value: Any, limit: int = 200) -> str | None:
    return sanitize(value, limit) or None if isinstance(value, str) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _int(digits: str) -> int:
    """Parse an integer of limited length: old Pythons take hours to parse millions of digits."""
    if len(digits) > _MAX_DIGITS:
        raise ValueError("too many digits")
    return int(digits)


def _float(digits: str) -> float:
    """Parse a number. Raises ValueError if JSON cannot represent it, as 1e999."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("the number is too large")
    return number


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether JSON has more nested lists and objects than this."""
    found = [value]
    for _level in range(levels + 1):
        found = [item for item in found if isinstance(item, (dict, list))]
        if not found:
            return False
        found = [
            part for item in found for part in (item.values() if isinstance(item, dict) else item)
        ]
    return True


def _without_lone_surrogates(value: Any) -> Any:
    """Replace lone surrogates, which JSON can contain and no output can encode."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {
            _without_lone_surrogates(key): _without_lone_surrogates(item)
            for key, item in value.items()
        }
    return value
