# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors that a task reports. Each one builds its own message and its ``error`` fields.

A message says what was tried, what happened, what to check and, if something may have been changed,
what exists now. An error cannot hold a secret: it describes a request by method and path, never by
headers or body.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

# The values of ``error.type``, which programs use to distinguish failures.
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
# The limit of Linux.
_MAX_PATH = 4096
# Secrets to remove from quoted server text, longest first. A process runs one task.
_withheld: list[str] = []

E = TypeVar("E", bound="KeysmithError")


def withhold(secrets: Iterable[str]) -> None:
    """Remove secrets from all server and proxy text that is quoted from now on.

    Ansible does not mask these secrets in results: they are so short that they would match parts of
    ordinary words.
    """
    _withheld[:] = sorted(secrets, key=len, reverse=True)


def sanitize(text: str, limit: int = _MAX_QUOTED) -> str:
    """Sanitize and truncate server text: one line, no control characters.

    Words are kept whole or dropped, because masking would miss half a secret.
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
    """Replace control characters, line breaks and zero-width characters with spaces."""
    return "".join(char if char.isprintable() else " " for char in text)


def truncate_path(path: str) -> str:
    """Shorten a path that is too long for a message."""
    return path if len(path) <= _MAX_PATH else f"{path[:40]} … ({len(path)} characters)"


@dataclass(frozen=True)
class Request:
    """The parts of a request that errors may show.

    ``path`` starts at the host's root and has no query. ``operation`` completes "Could not …".
    ``required_role`` is the role that the caller needs, ``credential_name`` describes the signing
    credential, and ``platform`` is the product's name. ``has_ready_token``: the task got its access
    token from elsewhere.
    """

    method: str
    base_url: str
    path: str
    operation: str
    required_role: str = ""
    credential_name: str = "the credential"
    platform: str = "the API"
    has_ready_token: bool = False

    @property
    def url(self) -> str:
        return self.base_url + self.path


class KeysmithError(Exception):
    """Base of all errors that a task reports. ``type`` is one of ERROR_TYPES."""

    type = "internal"

    def __init__(
        self,
        summary: str,
        *,
        hint: str = "",
        request: Request | None = None,
        status: int | None = None,
        code: str | None = None,
        reason: str | None = None,
        detail: str | None = None,
        parameters: Sequence[Any] = (),
        attempts: int = 1,
        waited: float = 0.0,
        outcome_unknown: bool = False,
        state_after: str = "",
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.hint = hint
        self.request = request
        self.status = status
        self.code = code
        self.reason = reason
        self.detail = detail
        self.parameters = list(parameters)
        self.attempts = attempts
        self.waited = waited
        # This or an earlier attempt of the same request may have been carried out.
        self.outcome_unknown = outcome_unknown
        # What exists now, as text and as results, if the error leaves something behind.
        self.state_after = state_after
        self.results: dict[str, Any] = {}
        # The object that ``results`` show, if there is one.
        self.now: Any = None

    def with_context(self: E, **context: Any) -> E:
        """Return a copy of this error with some of its attributes replaced."""
        error = type(self).__new__(type(self), *self.args)
        vars(error).update({**vars(self), **context})
        return error

    def message(self) -> str:
        """Return the complete message for the user."""
        summary = self.summary
        if self.attempts > 1:
            summary += f" ({self.attempts} attempts, {self.waited:.0f} s of waiting)"
        parts = [
            f"Could not {self.request.operation}: {summary}." if self.request else f"{summary}."
        ]
        if self.hint:
            parts.append(self.hint)
        if self.state_after:
            parts.append(self.state_after)
        elif self.outcome_unknown:
            parts.append(
                "The request may have been carried out. Run the task again to find out; that is "
                "safe."
            )
        # A path from the task or a text from the API may contain control characters.
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


class AdvisedError(KeysmithError):
    """Base of the errors that the modules detect themselves. Each says what to do."""

    def __init__(self, summary: str, *, hint: str, **details: Any) -> None:
        super().__init__(summary, hint=hint.strip(), **details)


class OptionError(AdvisedError):
    """Options or environment variables are wrong. No request was sent."""

    type = "options"


class TransportError(KeysmithError):
    """There is no complete response. Base of the errors that ``_http`` raises.

    ``never_sent``: the request certainly did not reach the API. ``transient``: a retry may
    succeed.
    """

    type = "transport"

    never_sent = False
    transient = True


class ConnectError(TransportError):
    """No connection: refused, unreachable, unknown host, or too slow to connect."""


class TlsError(TransportError):
    """The TLS handshake failed, a certificate was not accepted, or a record was broken."""

    transient = False


class ProxyError(TransportError):
    """The proxy could not be reached or refused to connect."""


class DeadlineError(TransportError):
    """The response did not arrive, or was not complete, in time."""

    type = "timeout"


class LostResponseError(TransportError):
    """The connection broke before the response was complete, or the response is not HTTP."""


class RedirectError(TransportError):
    """The server redirects; redirects are never followed."""

    type = "unexpected_response"

    transient = False


class UnexpectedResponseError(KeysmithError):
    """A response that the API would not return, such as HTML or unexpected JSON."""

    type = "unexpected_response"


class ApiError(KeysmithError):
    """The API returned an error."""

    type = "api"

    def fields(self) -> dict[str, Any]:
        # The request itself is fine if a rate limit outlasts the retries.
        return {**super().fields(), "type": "limit" if self.status == 429 else self.type}


class AmbiguousError(AdvisedError):
    """Several keys match, but the task needs exactly one."""

    type = "ambiguous"


class MissingError(AdvisedError):
    """Something that the task identifies does not exist, and the task does not create it."""

    type = "missing"


class OwnKeyError(AdvisedError):
    """The task would revoke the signing credential, or take roles or addresses from it."""

    type = "own_credential"


class OrphanError(KeysmithError):
    """A key was or may have been created, and its private key is lost; ``parameters`` has IDs."""

    type = "orphan"


class CredentialsFileError(KeysmithError):
    """A new key pair could not be saved; ``parameters`` has the ID if the key still exists."""

    type = "orphan"


class CancelledError(KeysmithError):
    """A signal stopped the task."""

    type = "cancelled"


class TimeLimitError(CancelledError):
    """The task reached its ``time_limit``."""

    type = "limit"


class PartialError(KeysmithError):
    """Some of many changes were not made; ``results`` lists them, and those that were.

    ``error`` describes ``cause``: the first failure, or why the task stopped.
    """

    cause: KeysmithError

    def fields(self) -> dict[str, Any]:
        return self.cause.fields()


class LimitError(AdvisedError):
    """A limit of the API is reached, and the task is not allowed to make room."""

    type = "limit"


class GuardError(AdvisedError):
    """A safety rule stopped the task before any change; ``parameters`` has the IDs of the keys."""

    type = "guard"


class WaitTimeoutError(KeysmithError):
    """The API accepted a change but did not show it in time."""

    type = "timeout"


class InternalError(KeysmithError):
    """A bug in this collection."""


def internal_error(error: Exception) -> InternalError:
    """Describe a bug without its traceback, which may contain values of variables."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return InternalError(
        f"Internal error of keysmith.mongodb: {type(error).__name__} at "
        f"{os.path.basename(where.filename)}:{where.lineno}",
        hint=(
            "Something may have been changed; run the task again to find out. Please report this."
        ),
    )


API_KEY_NOT_FOUND = "API_KEY_NOT_FOUND"
# The API did nothing, because it was handling another request about the same object.
CONCURRENT = "DATA_CONCURRENCY_ERROR"

# The APIs use WHITELIST and ACCESS_LIST for the same thing, depending on their age.
IP_NOT_LISTED = frozenset({"IP_ADDRESS_NOT_ON_ACCESS_LIST", "IP_ADDRESS_NOT_ON_WHITELIST"})
LIST_REQUIRED = frozenset(
    {
        "ORG_REQUIRES_ACCESS_LIST",
        "ORG_REQUIRES_WHITELIST",
        "RESOURCE_REQUIRES_ACCESS_LIST",
        "RESOURCE_REQUIRES_WHITELIST",
    }
)
# The organization has too many objects of a kind.
FULL_ORGANIZATION = frozenset({"MAX_SERVICE_ACCOUNTS_PER_ORG_EXCEEDED"})
_PROJECT_MISSING = frozenset({"GROUP_NOT_FOUND", "INVALID_GROUP_ID", "NOT_IN_GROUP"})
# Codes of a 401 that add nothing to the status (docs/apis.md: Authentication).
UNSPECIFIC_401 = frozenset({None, "NO_CURRENT_USER", "UNEXPECTED_ERROR"})

# Advice by error code of the API. ``_fill`` replaces the placeholders.
_ADVICE_BY_CODE: dict[frozenset[str], str] = {
    frozenset(
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
    ): "{Credential} does not have the required role{role}.",
    # On Ops Manager, NOT_ORG_ADMIN means both "wrong organization" and "role too low".
    frozenset({"USER_CANNOT_ACCESS_ORG", "NOT_IN_ORG", "NOT_ORG_ADMIN"}): (
        "Check org_id: {credential} belongs to another organization, or does not have the "
        "required role{role}."
    ),
    frozenset({"ORG_NOT_FOUND", "INVALID_ORG_ID", "INACTIVE_ORG"}): (
        "Check org_id: there is no active organization with this ID at {base_url}. This does not "
        "prove that anything is missing."
    ),
    _PROJECT_MISSING: (
        "Check project_id: there is no project with this ID at {base_url}, or {credential} does "
        "not have the required role in it{role}."
    ),
    IP_NOT_LISTED: (
        "The API saw the request come from {address}. Before you add this address to a list, check "
        "whose it is: an internal or shared address may be that of a load balancer or proxy, and "
        "listing it admits every host behind it. If it is this host's own, add it to the API "
        "access list of {credential} (a project's IP access list does not count here). Otherwise, "
        "run the task from a listed address."
    ),
    LIST_REQUIRED: (
        "The organization requires API access lists, and {credential} has no API access list. Add "
        "this host's address to it."
    ),
    frozenset({"NOT_ATLAS_ORG", "NOT_ATLAS_GROUP"}): (
        "This organization or project does not belong to Atlas: set platform to cloud_manager or "
        "ops_manager."
    ),
    frozenset({"EXPECTED_NON_ATLAS_ORG", "ATLAS_GROUP"}): (
        "This organization or project belongs to Atlas: set platform to atlas."
    ),
    frozenset(
        {"INVALID_KEY_ID", "INVALID_PATH_PARAMETER", "INVALID_USER_ID", "PATH_PARAM_PARSE_ERROR"}
    ): "Check the IDs in the path: each has 24 hexadecimal digits.",
    frozenset({"API_KEY_ACCESS_LIST_ACCESS_DENIED", "API_KEY_WHITELIST_ACCESS_DENIED"}): (
        "Only the key itself and an Organization Owner can read an access list."
    ),
    frozenset({"MAX_API_KEYS_PER_ORG_EXCEEDED", "MAX_PUBLIC_API_KEY_REACHED"}): (
        "The organization has reached its maximum number of API keys: revoke unused ones."
    ),
    FULL_ORGANIZATION: (
        "The organization has reached its maximum number of service accounts: delete unused ones."
    ),
    frozenset({"invalid_client"}): (
        "Check the client ID and the secret of {credential}. The secret may be wrong, expired or "
        "deleted: the API does not say which. If it is new, wait a few seconds and try again. Also "
        "check base_url ({base_url})."
    ),
    frozenset({"FEATURE_UNSUPPORTED", "UNSUPPORTED_FOR_CURRENT_PLAN"}): (
        "The organization's plan does not include this feature."
    ),
    frozenset({CONCURRENT}): (
        "The API was handling another request about the same object. Run only one task at a time "
        "that changes this object."
    ),
    frozenset({"ACCOUNT_SUSPENDED"}): "The account is suspended. Settle its billing first.",
}
_WRONG_ADDRESS = (
    "There is no {platform} API at {url}. Check base_url and platform. This does not prove "
    "that anything is missing."
)
TOKEN_PATH = "/api/oauth/token"  # noqa: S105  a path
_REJECTED_BEARER = (
    "The access token has expired or was revoked, or it is not valid for the API at {base_url}. A "
    "token is valid for one hour. Fetch a new one with the module access_token."
)
_FETCH_FEWER = (
    "Each task with client_id and client_secret fetches an access token. Fetch one token with the "
    "module access_token, and set the option access_token in all other tasks, for example with "
    "module_defaults."
)


def is_about_path(parameters: Sequence[Any]) -> bool:
    """Return whether RESOURCE_NOT_FOUND refers to the URL, not to an object (its parameter)."""
    return not parameters or contains_path(parameters)


def contains_path(parameters: Sequence[Any]) -> bool:
    """Return whether a parameter of an error is a path."""
    return any(str(item).startswith("/") for item in parameters)


def api_advice(status: int, code: str | None, parameters: Sequence[Any], request: Request) -> str:
    """Return what to check for an error of the API."""
    if code == API_KEY_NOT_FOUND:
        return _unproved_absence(status, parameters, request)
    if code == "RESOURCE_NOT_FOUND" and is_about_path(parameters):
        advice = _WRONG_ADDRESS
    elif status == 401 and code in UNSPECIFIC_401 and request.has_ready_token:
        advice = _REJECTED_BEARER
    elif status == 429 and request.path == TOKEN_PATH:
        advice = _token_limit(parameters) + _FETCH_FEWER
    else:
        found = (text for codes, text in _ADVICE_BY_CODE.items() if code in codes)
        advice = next(found, None) or _advice_by_status(status, code)
    return _fill(advice, request, parameters)


def _token_limit(parameters: Sequence[Any]) -> str:
    """Return the limit in a 429 of the token endpoint: the path, a number, and minutes."""
    numbers = [item for item in parameters[1:] if isinstance(item, (int, float)) and item > 0]
    if len(parameters) != 3 or len(numbers) != 2:
        return ""
    return "The API reports a limit of {:g} tokens in {:g} min. ".format(*numbers)


def _fill(advice: str, request: Request, parameters: Sequence[Any] = ()) -> str:
    """Replace the placeholders in advice with values of the request and the API's error."""
    name, role = request.credential_name, request.required_role
    addresses = (sanitize(item, 60) for item in parameters if isinstance(item, str))
    return advice.format(
        credential=name,
        Credential=name[:1].upper() + name[1:],
        role=f" ({role})" if role else "",
        address=next(addresses, "an address that is not on the list"),
        base_url=request.base_url,
        url=request.url,
        platform=request.platform,
    )


def _unproved_absence(status: int, parameters: Sequence[Any], request: Request) -> str:
    """Explain why this API_KEY_NOT_FOUND does not prove that the key does not exist."""
    _before, _name, key_path = request.path.partition("/apiKeys/")
    key_id = key_path.partition("/")[0]
    if parameters and key_id not in map(str, parameters):
        # A parameter that is neither a text nor a number is None.
        named = [sanitize(str(item), 60) for item in parameters if item is not None]
        about = ", ".join(named) or "something else"
        return f"The error is about {about}, not about this key, so it does not prove anything."
    if status not in {400, 404}:
        return (
            f"The API reports a missing key with status 400 or 404. With status {status}, this "
            "does not prove that the key is gone."
        )
    return "This does not prove that the key is gone. Run the task again."


def unexplained_401_advice(request: Request) -> str:
    """Return what to check for a 401 without a reason after the credential was accepted."""
    return _fill(
        "{Credential} was accepted before in this task. Unless it was revoked in the meantime, "
        "there are two possible causes. The API refuses some requests if many are sent "
        "concurrently: run fewer tasks at the same time, or lower concurrency. Or a proxy between "
        "this host and the API rewrites %2F or other parts of the path, so that the signature does "
        "not match (in Apache httpd, check nocanon and AllowEncodedSlashes).",
        request,
    )


def _advice_by_status(status: int, code: str | None) -> str:
    if status == 401:
        return (
            "Check {credential}: it may be wrong, expired or revoked, or belong to another "
            "organization. If it is new, wait a few seconds and try again. Also check base_url "
            "({base_url})."
        )
    if status == 403:
        return (
            "Check that {credential} has the required role{role}, and that its API access list "
            "contains the address of this host."
        )
    if status == 404:
        # The API's own codes are uppercase. Web frameworks return JSON of a similar shape.
        if code and not code.isupper():
            return _WRONG_ADDRESS
        return (
            "Something in the path does not exist at {base_url}, or {credential} has no access to "
            "it: check org_id, project_id and the other IDs. This does not prove that anything is "
            "missing."
        )
    if status == 405:
        return (
            "The API does not accept changes now, for example during an upgrade. Try again later."
        )
    if status == 406:
        return (
            "The server does not support the API version that this collection uses. Check that "
            "base_url is the address of {platform} and that no proxy changes the Accept header."
        )
    if status == 407:
        return "Check the user and password of the proxy, in http_proxy or the environment."
    if status == 410:
        return "The API has withdrawn this version: update the collection keysmith.mongodb."
    if status == 429:
        return (
            "The rate limit was exceeded. It resets about once a minute: run fewer tasks at "
            "the same time, try again later, or raise retry_max_wait."
        )
    if status >= 500:
        return "The API has an internal problem. Try again later."
    return "Compare the task's options with the API's message."
