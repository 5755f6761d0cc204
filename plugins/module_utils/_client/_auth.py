# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Implement the three kinds of credentials as auth objects for requests.

Digest is implemented here because requests reads the body of a challenge without a limit, does not
retry with a new nonce if the server marks the old one as stale, and (before requests 2.34) calls
MD5 in a way that FIPS hosts reject.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _responses
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import (
    Auth,
    Http,
    Response,
    server_time,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    Credentials,
    KeyPair,
    ServiceAccount,
    is_header_safe,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    TOKEN_PATH,
    UNSPECIFIC_401,
    KeysmithError,
    Request,
    UnexpectedResponseError,
    sanitize,
)

# Seconds. Revoking the token at the end is a best effort.
REVOKE_TIMEOUT = 5.0
# Seconds. A longer lifetime is an error of the server; the API's tokens are valid for an hour.
MAX_LIFETIME = 366 * 24 * 3600
REVOKE_PATH = "/api/oauth/revoke"


def choose_auth(
    credentials: Credentials,
    http: Http,
    base_url: str,
    platform: str,
    add_no_log: Callable[[str], None],
) -> Auth:
    """Return the auth object for a credential. ``add_no_log`` receives each new secret."""
    if isinstance(credentials, KeyPair):
        return DigestAuth(credentials)
    if isinstance(credentials, ServiceAccount):
        return ServiceAccountAuth(credentials, http, base_url, platform, add_no_log)
    if credentials.owner:
        return ServiceAccountAuth(
            credentials.owner,
            http,
            base_url,
            platform,
            add_no_log,
            ready_token=credentials.token,
        )
    return BearerAuth(credentials.token)


class BearerAuth(Auth):
    """An existing access token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, prepared: Any) -> Any:
        prepared.headers["Authorization"] = f"Bearer {self._token}"
        return prepared


@dataclass(frozen=True)
class IssuedToken:
    """A new access token.

    ``expires_in``: its lifetime in seconds, None if the API does not say. ``issued_at``: the API's
    time, in seconds since 1970, None if the response does not have it.
    """

    value: str = field(repr=False)
    token_type: str
    expires_in: int | None
    issued_at: float | None


class ServiceAccountAuth(BearerAuth):
    """Fetches an access token for the task and revokes it at the end.

    A token may expire during the task. Then all threads share one new token. ``ready_token`` is
    used first. It belongs to other tasks too, so it is not revoked.
    """

    def __init__(
        self,
        account: ServiceAccount,
        http: Http,
        base_url: str,
        platform: str,
        add_no_log: Callable[[str], None],
        *,
        ready_token: str = "",
    ) -> None:
        super().__init__(ready_token)
        self._ready_token = ready_token
        self._account = account
        self._http = http
        self._base_url = base_url
        self._platform = platform
        self.token_request = self._request(TOKEN_PATH, f"get an access token for {account}")
        self.revoke_request = self._request(REVOKE_PATH, "revoke the access token")
        self._add_no_log = add_no_log
        self._lock = threading.Lock()
        # A token that was rejected when it was new; another one would not help.
        self._rejected = ""
        self._may_be_deleted = False

    def acquire(self) -> str:
        with self._lock:
            before = self._token
            self._token = self._token or self._fetch()
        return before

    def replace_token(self, token: str, response: Response) -> bool:
        if response.status != 401 or not is_unspecific(response) or self._may_be_deleted:
            return False
        with self._lock:
            if not token:
                self._rejected = self._token
            if not token or token == self._rejected:
                return False
            if token == self._token:
                try:
                    self._token = self._fetch()
                except KeysmithError as error:
                    if error.fields()["type"] in {"limit", "cancelled"}:
                        raise
                    # Report that the request was rejected, not that there is no other token.
                    return False
        return True

    def _fetch(self) -> str:
        token = self.fetch_token().value
        self._add_no_log(token)
        return token

    def fetch_token(self) -> IssuedToken:
        """Return a new token, which the caller must mask and revoke."""
        request = self.token_request
        try:
            response = self._post(request, {"grant_type": "client_credentials"})
            if not _responses.is_success(response):
                raise _responses.as_error(response, request)
            payload = response.payload if isinstance(response.payload, dict) else {}
            token = payload.get("access_token")
            if not isinstance(token, str) or not is_header_safe(token):
                raise _responses.unexpected(response, request, "contains no access token")
        except KeysmithError as error:
            if not error.outcome_unknown:
                raise
            state = (
                "A token may have been issued; it expires within an hour. Nothing else was changed."
            )
            raise error.with_context(state_after=state) from None
        token_type, lifetime = payload.get("token_type"), payload.get("expires_in")
        is_number = isinstance(lifetime, int) and not isinstance(lifetime, bool)
        if not is_number or not 0 <= int(lifetime or 0) <= MAX_LIFETIME:
            lifetime = None
        return IssuedToken(
            token,
            token_type if isinstance(token_type, str) and is_header_safe(token_type) else "Bearer",
            lifetime,
            server_time(response),
        )

    def revoke_token(self, token: str, timeout: float | None = None) -> None:
        """Revoke a token. The API also accepts the request if the token does not exist."""
        request = self.revoke_request
        form = {"token": token, "token_type_hint": "access_token"}
        response = self._post(request, form, timeout)
        if not _responses.is_success(response):
            raise _responses.as_error(response, request)
        _responses.check_empty(response, request, "revocation")

    def distrust(self) -> None:
        self._may_be_deleted = True

    def forget(self) -> None:
        with self._lock:
            self._token = ""

    def release(self) -> None:
        if self._token in {"", self._ready_token}:
            return
        token, self._token = self._token, ""
        # Best effort: the token expires within an hour.
        with suppress(Exception):
            self.revoke_token(token, REVOKE_TIMEOUT)

    def _request(self, path: str, operation: str) -> Request:
        return Request(
            "POST",
            self._base_url,
            path,
            operation,
            credential_name=str(self._account),
            platform=self._platform,
        )

    def _post(
        self, request: Request, form: dict[str, str], timeout: float | None = None
    ) -> Response:
        return self._http.send(
            request,
            Auth(),
            parse_response=_responses.parse_response,
            headers={
                "Accept": "application/json",
                "Authorization": f"Basic {self._account.basic()}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(form).encode(),
            deadline=None if timeout is None else self._http.clock.now() + timeout,
        )


@dataclass(frozen=True)
class Challenge:
    """A Digest challenge of a WWW-Authenticate header."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: str | None = None
    opaque: str | None = None
    is_stale: bool = False


class _Nonce:
    """A challenge, the counter of its nonce, and the cookies that route requests to its server."""

    def __init__(self, challenge: Challenge, cookies: Any) -> None:
        self.challenge = challenge
        self.cookies = cookies
        self.counter = itertools.count(1)


class _Current(threading.local):
    """The nonce that a thread uses, and the last count that it used."""

    nonce: _Nonce | None = None
    count = 0


class DigestAuth(Auth):
    """Digest access authentication, RFC 7616: MD5 and SHA-256, qop "auth" or none.

    All threads share one challenge as long as the server accepts its nonce, and each request
    increments its counter. A thread whose request is rejected, for example because it arrived out
    of order, gets its own challenge.
    """

    def __init__(self, pair: KeyPair) -> None:
        self._pair = pair
        self._latest: _Nonce | None = None
        self._current = _Current()
        self._lock = threading.Lock()
        self._is_trusted = False
        self._may_be_revoked = False
        self._refusals = 0

    def __call__(self, prepared: Any) -> Any:
        current = self._current
        current.nonce = current.nonce or self._latest
        if current.nonce:
            current.count = next(current.nonce.counter)
            prepared.headers["Authorization"] = digest_header(
                self._pair,
                current.nonce.challenge,
                prepared.method,
                prepared.path_url,
                count=current.count,
                cnonce=os.urandom(8).hex(),
            )
        return prepared

    @property
    def cookies(self) -> Any:
        nonce = self._current.nonce
        return nonce.cookies if nonce else None

    def handle_challenge(self, response: Response) -> bool:
        """Use the challenge of a 401, unless the 401 means that the key pair is wrong.

        Raises UnexpectedResponseError if the server does not offer a supported challenge.
        """
        current = self._current
        usable = _usable_challenges(response)
        if not current.nonce and not usable:
            offered = find_challenges(response.headers.get("WWW-Authenticate", ""))
            hint = "Check base_url: it may not be the address of the API."
            if _responses.is_of_api(response) and not offered:
                hint = (
                    "The API sent this response, but its WWW-Authenticate header is missing: check "
                    "whether a gateway or proxy removes or renames it."
                )
            raise UnexpectedResponseError(
                "the server returned 401 without a supported Digest challenge"
                + (f" (algorithm {sanitize(offered[0].algorithm, 40)})" if offered else ""),
                status=401,
                reason=response.reason,
                hint=hint,
            )
        if current.nonce and not (
            usable and (usable[0].is_stale or (current.count > 1 and is_unspecific(response)))
        ):
            # The nonce was new, or the 401 has another reason.
            return False
        self._use(usable[0], response)
        return True

    def unexplained_refusals(self, response: Response) -> int:
        """Count a 401 without a reason after the API has accepted this key pair in this task.

        The APIs mistake some concurrent digest requests for replays although no pair of nonce and
        count was sent twice. Such a 401 is not counted if the key may have been revoked.
        """
        if _responses.is_success(response) and self._current.nonce:
            # A load balancer may renew its cookie with each response.
            self._current.nonce.cookies = response.cookies
        with self._lock:
            if response.status != 401 or not is_unspecific(response):
                if _is_signature_accepted(response):
                    self._is_trusted, self._refusals = True, 0
                return 0
            if not self._is_trusted or self._may_be_revoked:
                return 0
            self._refusals += 1
            refusals = self._refusals
        for challenge in _usable_challenges(response)[:1]:
            self._use(challenge, response)
        return refusals

    def distrust(self) -> None:
        with self._lock:
            self._may_be_revoked = True

    def _use(self, challenge: Challenge, response: Response) -> None:
        """Sign the next requests with a new challenge."""
        self._current.nonce = self._latest = _Nonce(challenge, response.cookies)


def _is_signature_accepted(response: Response) -> bool:
    """Return whether a response shows that the API accepted the credential."""
    if _responses.is_success(response):
        return True
    return 400 <= response.status < 500 and response.status != 429 and not is_unspecific(response)


def _usable_challenges(response: Response) -> list[Challenge]:
    offered = find_challenges(response.headers.get("WWW-Authenticate", ""))
    return [challenge for challenge in offered if challenge.algorithm in _HASHES]


def is_unspecific(response: Response) -> bool:
    """Return whether an error has no code, or one that says no more than its status."""
    payload = response.payload if isinstance(response.payload, dict) else {}
    code = payload.get("errorCode")
    return code is None or (isinstance(code, str) and code in UNSPECIFIC_401)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


_HASHES: dict[str, Callable[[bytes], str]] = {"MD5": _md5, "SHA-256": _sha256}

_PARAMETER = re.compile(
    r"""(?:(?P<scheme>[A-Za-z][\w-]*)\s+)?"""
    r"""(?P<name>[A-Za-z][\w-]*)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s",]*))"""
)


def find_challenges(header: str) -> list[Challenge]:
    """Return the valid Digest challenges of a WWW-Authenticate header.

    Unknown parameters are ignored; the Ops Manager documentation shows one.
    """
    groups: list[tuple[str, dict[str, str]]] = []
    for match in _PARAMETER.finditer(header[:2048]):
        if match["scheme"] or not groups:
            groups.append(((match["scheme"] or "").lower(), {}))
        quoted = match["quoted"]
        value = match["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        groups[-1][1].setdefault(match["name"].lower(), value)
    challenges = []
    for scheme, values in groups:
        qops = [qop.strip().lower() for qop in values.get("qop", "").split(",") if qop.strip()]
        fits = not qops or "auth" in qops
        # A value that is not printable, such as a folded line, cannot be sent back in a header.
        fits = fits and all(value.isprintable() for value in values.values())
        if scheme != "digest" or not fits or not {"realm", "nonce"} <= values.keys():
            continue
        challenges.append(
            Challenge(
                realm=values["realm"],
                nonce=values["nonce"],
                algorithm=values.get("algorithm", "MD5").upper(),
                qop="auth" if qops else None,
                opaque=values.get("opaque"),
                is_stale=values.get("stale", "").lower() == "true",
            )
        )
    return challenges


def digest_header(
    pair: KeyPair, challenge: Challenge, method: str, uri: str, *, count: int, cnonce: str
) -> str:
    """Return the Authorization value for one request. ``uri`` is path and query."""
    digest = _HASHES[challenge.algorithm]

    def hashed(*parts: str) -> str:
        return digest(":".join(parts).encode())

    secret = hashed(pair.public_key, challenge.realm, pair.private_key)
    subject = hashed(method, uri)
    fields = {
        "username": _quote(pair.public_key),
        "realm": _quote(challenge.realm),
        "nonce": _quote(challenge.nonce),
        "uri": _quote(uri),
        "algorithm": challenge.algorithm,
    }
    if challenge.qop:
        nc = f"{count:08x}"
        response = hashed(secret, challenge.nonce, nc, cnonce, challenge.qop, subject)
        fields |= {"qop": challenge.qop, "nc": nc, "cnonce": _quote(cnonce)}
    else:
        response = hashed(secret, challenge.nonce, subject)
    fields["response"] = _quote(response)
    if challenge.opaque is not None:
        fields["opaque"] = _quote(challenge.opaque)
    return "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items())


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
