# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an answer says: JSON, the envelope around it, and the error in it. No I/O."""

from __future__ import annotations

import codecs
import json
import math
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
    refused_for_no_reason,
    sanitize,
)

# Gateways and proxies answer these in words of their own, and mean what the status says.
_STATUSES_OF_GATEWAYS = frozenset({401, 407, 429, 500, 502, 503, 504})
# What web servers answer over TLS to a client certificate that is missing or not accepted.
_STATUSES_OF_CLIENT_CERTIFICATES = frozenset({400, 403})
_MAX_DETAIL = 2000
# More than any error speaks of; some name each address of a list.
_MAX_PARAMETERS = 1000
_MAX_DIGITS = 40


def read(answer: Response) -> Response:
    """Return the answer with its body as ``payload`` and the status that the API meant.

    An envelope is taken off wherever one comes: ``{"status", "content"}`` around a single object or
    an error, ``status`` beside the ``results`` of a list (docs/apis.md: Lists). A body that is not
    JSON leaves ``is_json`` false; that is for the caller to judge.
    """
    try:
        payload = json.loads(
            answer.body.removeprefix(codecs.BOM_UTF8).decode(),
            parse_constant=_refuse_constant,
            parse_int=_int,
        )
        if b"\\ud" in answer.body.lower():
            payload = _without_lone_surrogates(payload)
    except (ValueError, RecursionError):
        return answer
    status, body = answer.status, answer.body
    if isinstance(payload, dict):
        enveloped = _status(payload.get("status"))
        if enveloped and (payload.keys() == {"status", "content"} or "results" in payload):
            if "results" in payload:
                payload = {key: value for key, value in payload.items() if key != "status"}
            else:
                payload = payload["content"]
                if payload is None or payload == "":
                    payload, body = {}, b""
            # A refusal that the transport reports, of a gateway for one, is not undone by it.
            status = status if status >= 400 else enveloped
        elif status < 300 and "errorCode" in payload:
            # A network in between has hidden the status, and the error still says it.
            status = _status(payload.get("error")) or status
    return replace(answer, status=status, body=body, payload=payload, is_json=True)


def is_success(answer: Response) -> bool:
    return 200 <= answer.status < 300


def is_empty(answer: Response) -> bool:
    """Whether an answer has no content: no body, or an empty object, plain or enveloped."""
    return not answer.body.strip() or (answer.is_json and answer.payload == {})


def is_of_api(answer: Response) -> bool:
    """Whether an answer is an error in the JSON of the API itself."""
    return isinstance(answer.payload, dict) and (
        "error" in answer.payload or "errorCode" in answer.payload
    )


def as_error(answer: Response, request: Request) -> KeysmithError:
    """Return the error that an unsuccessful answer is: the API's own, or an unexpected answer."""
    payload = answer.payload if isinstance(answer.payload, dict) else {}
    code = _str_or_none(payload.get("errorCode"), 80)
    detail = _str_or_none(payload.get("detail"), _MAX_DETAIL)
    if code is None and isinstance(payload.get("error"), str):
        # The OAuth endpoints have a shape of their own.
        code, detail = (
            _str_or_none(payload["error"], 80),
            _str_or_none(payload.get("error_description")),
        )
    if not is_of_api(answer) and answer.status not in _STATUSES_OF_GATEWAYS:
        error: KeysmithError = UnexpectedResponseError(
            f"the answer ({_status_line(answer)}) is {kind(answer)}, not an error of the API",
            request=request,
            status=answer.status,
            reason=answer.reason,
            hint=(
                f"There seems to be no {request.platform} API at {request.url}: check base_url "
                "and platform, and any proxy or firewall in between. This does not show that "
                f"anything is missing.{_client_certificate_hint(answer, request)}"
            ),
        )
    else:
        given = payload.get("parameters")
        listed = given if isinstance(given, list) else [] if given is None else [given]
        parameters = [_parameter(item) for item in listed[:_MAX_PARAMETERS]]
        error = ApiError(
            f"the API answered {answer.status} {code or answer.reason}".rstrip()
            + (f', "{sanitize(detail).rstrip(".")}"' if detail else "")
            + _retry_after_note(answer),
            request=request,
            status=answer.status,
            code=code,
            reason=_str_or_none(payload.get("reason")) or answer.reason,
            detail=detail,
            parameters=parameters,
            hint=refused_for_no_reason(request)
            if answer.was_accepted
            else api_advice(answer.status, code, parameters, request),
        )
    error.attempts, error.waited = answer.attempts, answer.waited
    error.outcome_unknown = answer.outcome_unknown or may_have_happened(
        request.method, answer if isinstance(error, ApiError) else error
    )
    return error


def _parameter(item: Any) -> str | float | None:
    """Return what an error speaks of, None for what is neither text nor number.

    It is not left out: an error that speaks of something unknown is not one that speaks of nothing.
    """
    if isinstance(item, str):
        return sanitize(item, 200)
    return item if isinstance(item, (int, float)) and math.isfinite(item) else None


class UnreadableError(Exception):
    """Part of an object in an answer does not have its shape.

    ``owner`` identifies the object, and ``name`` is the field. The field's value is never quoted:
    a secret may have ended up there.
    """

    def __init__(self, owner: str, name: str, value: Any) -> None:
        super().__init__(f"{owner}: {name} {_shape(value)}")


def _shape(value: Any) -> str:
    """Say what a field holds that cannot be read, without its content."""
    if value is None:
        return "is missing"
    kinds: dict[type, str] = {
        bool: "is a boolean",
        str: "is a string of another form",
        list: "is a list of another form",
        dict: "is an object",
    }
    return kinds.get(type(value), "is a number")


def unreadable(answer: Response, request: Request, error: UnreadableError) -> NoReturn:
    """Raise UnexpectedAnswerError that names the object and its field."""
    unexpected(
        answer,
        request,
        f"cannot be read: {error}",
        hint=f"Check that base_url, {request.base_url}, is {request.platform}. If it is, the API "
        "may have changed: look for a newer version of this collection, or report this as a bug.",
    )


def unexpected(answer: Response, request: Request, what: str, hint: str = "") -> NoReturn:
    """Raise UnexpectedAnswerError for a successful answer that is not what it should be.

    ``what`` completes "the answer (200 OK) …". Without ``check``, the advice is about base_url.
    """
    error = UnexpectedResponseError(
        f"the answer ({_status_line(answer)}) {what}",
        request=request,
        status=answer.status,
        reason=answer.reason,
        hint=hint
        or (
            f"Check that base_url, {request.base_url}, is {request.platform}, and that no sign-on "
            "page or proxy answers in its place."
        ),
    )
    error.attempts, error.waited = answer.attempts, answer.waited
    error.outcome_unknown = request.method != "GET"
    raise error


@dataclass(frozen=True)
class Page:
    """One page of a listing; ``total`` is what the API counts in all."""

    items: list[dict[str, Any]]
    total: int
    has_next: bool


def page(answer: Response, request: Request) -> Page:
    """Return a page of objects; raises UnexpectedAnswerError.

    Without ``totalCount``, which both APIs give, no listing could be called complete.
    """
    payload = answer.payload if isinstance(answer.payload, dict) else {}
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
        unexpected(answer, request, f"is {kind(answer)}, not a page of a listing")
    return Page(
        items=items,
        total=int(total or 0),
        has_next=any(isinstance(link, dict) and link.get("rel") == "next" for link in links),
    )


def incomplete(request: Request, attempts: int) -> UnexpectedResponseError:
    """Return the error of a listing that cannot be had whole."""
    return UnexpectedResponseError(
        f"the listing was read {attempts} times and its pages never fit together",
        request=request,
        hint=(
            "Others may be changing keys at this moment: try again later. Without a complete "
            "listing nothing can be called missing."
        ),
    )


def endless(request: Request, pages: int) -> UnexpectedResponseError:
    """Return the error of a listing that does not end."""
    return UnexpectedResponseError(
        f"the listing has not ended after {pages} pages, which is more than the API ever gives",
        request=request,
        hint=f"Check that base_url, {request.base_url}, is {request.platform}.",
    )


def kind(answer: Response) -> str:
    """Say in words what a body is, for messages."""
    if not answer.body.strip():
        return "empty"
    if answer.is_json:
        return "JSON of another shape"
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type == "text/html" or answer.body.lstrip()[:1] == b"<":
        return "an HTML page"
    if "json" in media_type:
        return "broken JSON"
    return f"not JSON ({sanitize(media_type, 60)})" if media_type else "not JSON"


def _client_certificate_hint(answer: Response, request: Request) -> str:
    if answer.status not in _STATUSES_OF_CLIENT_CERTIFICATES:
        return ""
    if not request.base_url.startswith("https://"):
        return ""
    return (
        " A server that asks for a client certificate may answer so too: set client_cert and "
        "client_key, or check them."
    )


def _retry_after_note(answer: Response) -> str:
    wait = retry_after(answer)
    if wait > 86400:
        return ", and asks to wait more than a day"
    return f", and asks to wait {wait:.0f} s" if wait else ""


def _status_line(answer: Response) -> str:
    return f"{answer.status} {answer.reason}".strip()


def _status(value: Any) -> int | None:
    is_status = isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599
    return value if is_status else None


def _str_or_none(value: Any, limit: int = 200) -> str | None:
    return sanitize(value, limit) or None if isinstance(value, str) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _int(digits: str) -> int:
    """Read a number of a sane length: older Pythons take hours for millions of digits."""
    if len(digits) > _MAX_DIGITS:
        raise ValueError("no number of an API has so many digits")
    return int(digits)


def _without_lone_surrogates(value: Any) -> Any:
    """Replace halves of UTF-16 pairs, which JSON can name and no output can encode."""
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
