# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error family. Each error renders its own message and its safe fields.

A message says what was being tried, what happened, what to check and, where something may have
been changed, what exists now. Nothing an error holds is a secret by construction: requests are
described by method and path, never by headers or body.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# The values of ``error.type``, by which programs tell failures apart.
ERROR_TYPES = (
    "own_credential",
    "ambiguous",
    "missing",
    "orphan",
    "options",
    "api",
    "transport",
    "unexpected_response",
    "timeout",
    "cancelled",
    "limit",
    "guard",
    "internal",
)

_MAX_QUOTED = 400
# As Linux has it.
_MAX_PATH = 4096
# What a server must not be quoted with, the longest first; of the one task of this process.
_withheld: list[str] = []


def withhold(secrets: Iterable[str]) -> None:
    """Keep secrets out of what servers and proxies say, from now on.

    That is for those too short to be masked in results, where they would be parts of other words.
    """
    _withheld[:] = sorted(secrets, key=len, reverse=True)


def sanitize(text: str, limit: int = _MAX_QUOTED) -> str:
    """Return a server's words fit for a terminal: one line, no control characters, not endless.

    Words are kept whole or left out: half a secret is one that nobody recognizes and hides.
    """
    for secret in _withheld:
        text = text.replace(secret, "…")
    head = text[: limit * 4]
    words = "".join(char if char.isprintable() else " " for char in head).split()
    if len(head) < len(text):
        words = words[:-1]
    kept = ""
    for word in words:
        if len(kept) + len(word) >= limit:
            return f"{kept} …".lstrip()
        kept = f"{kept} {word}".lstrip()
    return kept if len(head) == len(text) else f"{kept} …".lstrip()


def printable(text: str) -> str:
    """Return a text with a blank for each control character, line end or mark without width."""
    return "".join(char if char.isprintable() else " " for char in text)


def truncate_path(path: str) -> str:
    """Return a path of the task fit for a message, which one of a megabyte is not."""
    return path if len(path) <= _MAX_PATH else f"{path[:40]} … ({len(path)} characters)"


@dataclass(frozen=True)
class Request:
    """Describe a request, as far as errors may show it.

    ``path`` starts at the host's root and has no query. ``operation`` completes "Could not …".
    ``required_role`` is the role that the caller needs, ``credential_name`` describes the signing
    credential, and ``platform`` is the product's name.
    """

    method: str
    base_url: str
    path: str
    operation: str
    required_role: str = ""
    credential_name: str = "the credential"
    platform: str = "the API"

    @property
    def url(self) -> str:
        return self.base_url + self.path


class KeysmithError(Exception):
    """Base of all errors that a task reports. ``type`` is one of ERROR_TYPES."""

    type = "internal"

    def __init__(
        self,
        what: str,
        *,
        hint: str = "",
        request: Request | None = None,
        status: int | None = None,
        code: str | None = None,
        reason: str | None = None,
        detail: str | None = None,
        parameters: Sequence[Any] = (),
    ) -> None:
        super().__init__(what)
        self.summary = what
        self.hint = hint
        self.request = request
        self.status = status
        self.code = code
        self.reason = reason
        self.detail = detail
        self.parameters = list(parameters)
        self.attempts = 1
        self.waited = 0.0
        # True when this or an earlier try of the same request may have been carried out.
        self.outcome_unknown = False
        # What exists now, when the error leaves something behind; and the results that tell it.
        self.state_after = ""
        self.results: dict[str, Any] = {}
        # The object that ``results`` show, if there is one.
        self.now: Any = None

    def message(self) -> str:
        """Return the whole text for the user."""
        what = self.summary
        if self.attempts > 1:
            what += f" ({self.attempts} tries, {self.waited:.0f} s of waiting)"
        parts = [f"Could not {self.request.operation}: {what}." if self.request else f"{what}."]
        if self.hint:
            parts.append(self.hint)
        if self.state_after:
            parts.append(self.state_after)
        elif self.outcome_unknown:
            parts.append(
                "The request may have been carried out all the same. Run the task again to find "
                "out; that is safe."
            )
        # Paths of the task and words of the API may have been put in as they are.
        return printable(" ".join(parts))

    def fields(self) -> dict[str, Any]:
        """Return the ``error`` value of a failed task, for ``rescue`` blocks."""
        return {
            "type": self.type,
            "status": self.status,
            "code": self.code,
            "reason": self.reason,
            "detail": self.detail,
            "parameters": self.parameters,
            "method": self.request.method if self.request else None,
            "path": self.request.path if self.request else None,
        }


class OptionError(KeysmithError):
    """Options or environment variables are wrong; found before any request."""

    type = "options"


class TransportError(KeysmithError):
    """There is no complete answer. The family of what ``_http`` raises.

    ``never_sent``: it is proved that the request has not reached the API. ``transient``: trying
    again may help.
    """

    type = "transport"

    never_sent = False
    transient = True


class ConnectError(TransportError):
    """No connection was made: refused, unreachable, unknown host, or too slow to connect."""


class TlsError(TransportError):
    """The TLS handshake failed, a certificate was not accepted, or a record was broken."""

    transient = False


class ProxyError(TransportError):
    """The proxy could not be reached or refused to connect."""


class DeadlineError(TransportError):
    """The answer did not come, or did not end, in time."""

    type = "timeout"


class LostAnswerError(TransportError):
    """The connection broke, or carried something that is not HTTP, before the answer ended."""


class RedirectError(TransportError):
    """The server points elsewhere; redirects are never followed."""

    type = "unexpected_response"

    transient = False


class UnexpectedResponseError(KeysmithError):
    """An answer that the API would not give: HTML, JSON of another shape, far too long."""

    type = "unexpected_response"


class ApiError(KeysmithError):
    """The API returned an error."""

    type = "api"

    def fields(self) -> dict[str, Any]:
        # A rate limit that has outlasted the retries is no fault of the request.
        return {**super().fields(), "type": "limit" if self.status == 429 else self.type}


class AmbiguousError(KeysmithError):
    """Several keys fit where one is meant."""

    type = "ambiguous"


class MissingError(KeysmithError):
    """What a task names does not exist, and naming it so does not create it."""

    type = "missing"


class OwnKeyError(KeysmithError):
    """The key that signs the requests would be revoked, or lose roles or addresses."""

    type = "own_credential"


class OrphanError(KeysmithError):
    """A key was created, or may have been, and its private key is lost; ``parameters``: the ids."""

    type = "orphan"


class CredentialsFileError(KeysmithError):
    """A created key pair could not be written down; ``parameters``: the id, if the key is left."""

    type = "orphan"


class CancelledError(KeysmithError):
    """A signal asked the task to stop, and it does not wait any longer."""

    type = "cancelled"


class TimeLimitError(CancelledError):
    """The task stops because its ``time_limit`` has expired."""

    type = "limit"


class PartialError(KeysmithError):
    """Some of many changes were not made; ``results`` list them, and those that were.

    ``error`` describes ``cause``: the first failure, or what stopped the task.
    """

    cause: KeysmithError

    def fields(self) -> dict[str, Any]:
        return self.cause.fields()


class GuardError(KeysmithError):
    """A safety rule stopped the task before any change; ``parameters``: the IDs of the keys."""

    type = "guard"


class WaitTimeoutError(KeysmithError):
    """A change was accepted, and the API did not show it in time."""

    type = "timeout"


class InternalError(KeysmithError):
    """A bug in this collection."""


def internal_error(error: Exception) -> InternalError:
    """Describe a mistake of ours without its traceback, which may hold values of variables."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return InternalError(
        f"Internal error of keysmith.mongodb: {type(error).__name__} at "
        f"{os.path.basename(where.filename)}:{where.lineno}",
        hint=(
            "Something may have been changed; run the task again to find out. Please report this."
        ),
    )


API_KEY_NOT_FOUND = "API_KEY_NOT_FOUND"

# The APIs write WHITELIST and ACCESS_LIST for the same thing, depending on their age.
IP_NOT_LISTED = frozenset({"IP_ADDRESS_NOT_ON_ACCESS_LIST", "IP_ADDRESS_NOT_ON_WHITELIST"})
LIST_REQUIRED = frozenset(
    {
        "ORG_REQUIRES_ACCESS_LIST",
        "ORG_REQUIRES_WHITELIST",
        "RESOURCE_REQUIRES_ACCESS_LIST",
        "RESOURCE_REQUIRES_WHITELIST",
    }
)
_ROLE_TOO_LOW = frozenset(
    {
        "USER_UNAUTHORIZED",
        "ACCESS_FORBIDDEN",
        "NOT_API_KEY_ADMIN",
        "NOT_GLOBAL_USER_ADMIN",
        "NOT_GROUP_USER_ADMIN",
        "NOT_ORG_GROUP_CREATOR",
        "NOT_ORG_OWNER",
        "NOT_ORG_USER_ADMIN",
        "NOT_USER_ADMIN",
    }
)
# On Ops Manager NOT_ORG_ADMIN means both "of another organization" and "role too low".
_NOT_YOUR_ORG = frozenset({"USER_CANNOT_ACCESS_ORG", "NOT_IN_ORG", "NOT_ORG_ADMIN"})
_ORG_MISSING = frozenset({"ORG_NOT_FOUND", "INVALID_ORG_ID", "INACTIVE_ORG"})
_PROJECT_MISSING = frozenset({"GROUP_NOT_FOUND", "INVALID_GROUP_ID", "NOT_IN_GROUP"})
_NO_MORE_KEYS = frozenset({"MAX_API_KEYS_PER_ORG_EXCEEDED", "MAX_PUBLIC_API_KEY_REACHED"})
_MALFORMED_ID = frozenset(
    {
        "INVALID_KEY_ID",
        "INVALID_PATH_PARAMETER",
        "INVALID_USER_ID",
        "PATH_PARAM_PARSE_ERROR",
    }
)
# Codes of a 401 that do not say more than the status does (docs/apis.md: Authentication).
UNSPECIFIC_401 = frozenset({None, "NO_CURRENT_USER", "UNEXPECTED_ERROR"})


def is_about_path(parameters: Sequence[Any]) -> bool:
    """Whether RESOURCE_NOT_FOUND speaks of the URL rather than of an object (its parameter)."""
    return not parameters or any(str(item).startswith("/") for item in parameters)


def api_advice(status: int, code: str | None, parameters: Sequence[Any], request: Request) -> str:
    """Return what to check for an error of the API, in one or two sentences."""
    credential_name = request.credential_name
    needs = f" (this call needs the role {request.required_role})" if request.required_role else ""
    if code in _ROLE_TOO_LOW:
        return f"The role of {credential_name} is too low for this{needs}."
    if code in _NOT_YOUR_ORG:
        return (
            f"Check org_id: a credential belongs to one organization, and {credential_name} may not act on "
            f"this one, or has too low a role there{needs}."
        )
    if code in _ORG_MISSING:
        return (
            f"Check org_id: there is no active organization with this ID at {request.base_url}. "
            "This does not show that any key is missing."
        )
    if code in _PROJECT_MISSING:
        return (
            f"Check project_id: there is no project with this id at {request.base_url}, or "
            f"{credential_name} is not in it{needs}."
        )
    if code in IP_NOT_LISTED:
        addresses = (sanitize(item, 60) for item in parameters if isinstance(item, str))
        address = next(addresses, "an address that is not on the list")
        return (
            f"The API saw the request come from {address}. Before you add this address to a list, "
            "check whose it is: an internal address, or one that several hosts share, may be that "
            "of a load balancer or proxy, and listing it admits every host behind it. If it is "
            f"this host's own, add it to the API access list of {credential_name} itself (a project's IP "
            "access list does not count here). Otherwise, run from a listed address."
        )
    if code in LIST_REQUIRED:
        return (
            f"The organization lets a credential in from listed addresses only, and {credential_name} has "
            "no API access list: add this host's address to it."
        )
    if code in {"NOT_ATLAS_ORG", "NOT_ATLAS_GROUP"}:
        return (
            "This organization or project is not one of Atlas: set platform to cloud_manager or "
            "ops_manager."
        )
    if code in {"EXPECTED_NON_ATLAS_ORG", "ATLAS_GROUP"}:
        return "This organization or project is one of Atlas: set platform to atlas."
    if code == "RESOURCE_NOT_FOUND" and is_about_path(parameters):
        return _wrong_place(request)
    if code == API_KEY_NOT_FOUND:
        return _unproved_absence(status, parameters, request)
    if code in _MALFORMED_ID:
        return "Check the ids in the path: each is 24 hexadecimal digits."
    if code in {"API_KEY_ACCESS_LIST_ACCESS_DENIED", "API_KEY_WHITELIST_ACCESS_DENIED"}:
        return "An access list can be read by its own key and by an Organization Owner only."
    if code in _NO_MORE_KEYS:
        return "The organization has as many API keys as it may have: revoke some that nobody uses."
    if code in {"FEATURE_UNSUPPORTED", "UNSUPPORTED_FOR_CURRENT_PLAN"}:
        return "The organization's plan does not include this."
    if code == "ACCOUNT_SUSPENDED":
        return "The account is suspended; its billing has to be settled first."
    return _advice_by_status(status, code, request)


def _unproved_absence(status: int, parameters: Sequence[Any], request: Request) -> str:
    """Say why API_KEY_NOT_FOUND is not taken for a proof that the key does not exist."""
    _before, _name, key_path = request.path.partition("/apiKeys/")
    key_id = key_path.partition("/")[0]
    if parameters and key_id not in map(str, parameters):
        quoted = ", ".join(sanitize(str(item), 60) for item in parameters)
        return f"The error is about {quoted}, not about this key, so it does not prove anything."
    if status not in {400, 404}:
        return (
            f"The API reports a missing key with status 400 or 404. With status {status}, this "
            "does not prove that the key is gone."
        )
    return "This does not prove that the key is gone. Run the task again."


def refused_for_no_reason(request: Request) -> str:
    """Return what to check for a 401 without a reason after the credential was accepted."""
    credential_name = request.credential_name
    return (
        f"{credential_name[:1].upper()}{credential_name[1:]} was accepted before in this task. Unless it was revoked "
        "in the meantime, there are two possible causes. The API refuses some requests if many are "
        "sent concurrently: run the task again, with fewer tasks at the same time or a lower "
        "concurrency. Or a proxy between this host and the API rewrites %2F or other parts of the "
        "path, so that the signature does not match (in Apache httpd, check nocanon and "
        "AllowEncodedSlashes)."
    )


def _advice_by_status(status: int, code: str | None, request: Request) -> str:
    credential_name = request.credential_name
    if status == 401:
        return (
            f"Check {credential_name}: wrong, expired or revoked, of another organization, or made a moment "
            f"ago and not known everywhere yet. Check base_url too: it is {request.base_url}."
        )
    if status == 403:
        needs = (
            f" (this call needs the role {request.required_role})" if request.required_role else ""
        )
        return f"Check the roles{needs} and the API access list of {credential_name}."
    if status == 404:
        # Codes of the API are in capitals. Web frameworks have JSON of a similar shape.
        if code and not code.isupper():
            return _wrong_place(request)
        return (
            f"Something in the path does not exist at {request.base_url}, or {credential_name} may not see "
            "it: check org_id, project_id and the other IDs. This does not prove that anything is "
            "missing."
        )
    if status == 405:
        return "The API takes no changes at the moment, during an upgrade for one: try again later."
    if status == 406:
        return (
            "The server does not know the API version this collection asks for. Check that "
            f"base_url is {request.platform} and that nothing in between changes the Accept header."
        )
    if status == 407:
        return "Check the user and the password of the proxy, in http_proxy or the environment."
    if status == 410:
        return "The API has withdrawn this version: update the collection keysmith.mongodb."
    if status == 429:
        return (
            "A rate limit is used up, and is refilled about once a minute: run fewer tasks at once "
            "or later, or raise retry_max_wait."
        )
    if status >= 500:
        return "The API has a problem of its own: try again later."
    return "Check the options of the task against the API's words."


def _wrong_place(request: Request) -> str:
    return (
        f"There is no {request.platform} API at {request.url}: check base_url and platform. "
        "This does not show that anything is missing."
    )
