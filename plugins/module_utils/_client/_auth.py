# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The three credentials, as requests auth objects that can also answer a challenge.

Digest is our own: requests' reads a challenge's body without any limit, gives up on a nonce that
the server calls stale, and uses MD5 in a way that FIPS hosts refuse.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _responses
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import (
    TOKEN_PATH,
    Http,
    Response,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    Credentials,
    KeyPair,
    ServiceAccount,
    is_header_safe,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    UNSPECIFIC_401,
    KeysmithError,
    Request,
    UnexpectedResponseError,
    sanitize,
)

# Revoking the token at the end is a courtesy; nobody should wait long for it.
REVOKE_PATIENCE = 5.0
REVOKE_PATH = "/api/oauth/revoke"
# The values of error.type that say why there is no new token, although nothing is wrong with the
# account: a rate limit or the end of the task.
_NO_FAULT = frozenset({"limit", "cancelled"})


def choose_auth(
    credentials: Credentials,
    http: Http,
    base_url: str,
    platform: str,
    add_no_log: Callable[[str], None],
) -> DigestAuth | BearerAuth | ServiceAccountAuth:
    """Return the auth object for a credential. ``conceal`` is told each secret met on the way."""
    if isinstance(credentials, KeyPair):
        return DigestAuth(credentials)
    if isinstance(credentials, ServiceAccount):
        return ServiceAccountAuth(credentials, http, base_url, platform, add_no_log)
    return BearerAuth(credentials.token)


class _Signer:
    """What most credentials have in common: nothing to begin or end, no answer to a challenge."""

    def begin(self) -> None:
        """Get ready to sign; raises what a request raises."""

    def end(self) -> None:
        """Give back what ``begin`` took; never raises."""

    @property
    def cookies(self) -> Any:
        return None

    def renew(self, _answer: Response) -> bool:
        return False

    def unexplained_refusals(self, _answer: Response) -> int:
        return 0

    def distrust(self) -> None:
        """Expect the credential to end; nothing to do for what cannot be refused for no reason."""


class BearerAuth(_Signer):
    """A ready token."""

    def __init__(self, token: str = "") -> None:
        self._token = token

    def __call__(self, prepared: Any) -> Any:
        prepared.headers["Authorization"] = f"Bearer {self._token}"
        return prepared


class _Begun(threading.local):
    """The token that was there when a thread's request began, "" where it was fetched for it."""

    token = ""


class ServiceAccountAuth(BearerAuth):
    """Fetches an access token for the task's time and revokes it at the end.

    A token may end before the task does: then all threads go on with one new token.
    """

    def __init__(
        self,
        account: ServiceAccount,
        http: Http,
        base_url: str,
        platform: str,
        add_no_log: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._account = account
        self._http = http
        self._base_url = base_url
        self._platform = platform
        self._conceal = add_no_log
        self._lock = threading.Lock()
        self._begun = _Begun()
        # The token that was refused when it was new: there is no use in another.
        self._refused = ""

    def begin(self) -> None:
        with self._lock:
            self._begun.token = self._token
            self._token = self._token or self._fetch()

    def renew(self, answer: Response) -> bool:
        """Fetch another token where one that was there before the request may have ended."""
        begun, self._begun.token = self._begun.token, ""
        if not _is_unspecific(answer):
            return False
        with self._lock:
            if not begun:
                self._refused = self._token
            if not begun or begun == self._refused:
                return False
            if begun == self._token:
                try:
                    self._token = self._fetch()
                except KeysmithError as error:
                    if error.fields()["type"] in _NO_FAULT:
                        raise
                    # The request was refused and nothing else: that is what there is to tell.
                    return False
        return True

    def _fetch(self) -> str:
        request = self._request(TOKEN_PATH, f"get an access token for {self._account}")
        try:
            answer = self._post(request, {"grant_type": "client_credentials"})
            if not _responses.is_success(answer):
                raise _responses.as_error(answer, request)
            payload = answer.payload if isinstance(answer.payload, dict) else {}
            token = payload.get("access_token")
            if not isinstance(token, str) or not is_header_safe(token):
                _responses.unexpected(answer, request, "has no access token in it")
        except KeysmithError as error:
            if error.outcome_unknown:
                error.state_after = (
                    "A token may have been made; nobody has it, and it ends by itself within the "
                    "hour. Nothing else was changed."
                )
            raise
        self._conceal(token)
        return token

    def end(self) -> None:
        if not self._token:
            return
        form = {"token": self._token, "token_type_hint": "access_token"}
        self._token = ""
        # Best effort, whatever comes back: the token ends by itself within the hour.
        with suppress(Exception):
            self._post(self._request(REVOKE_PATH, "revoke the access token"), form, REVOKE_PATIENCE)

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
        self, request: Request, form: dict[str, str], patience: float | None = None
    ) -> Response:
        return self._http.send(
            request,
            None,
            read=_responses.read,
            headers={
                "Accept": "application/json",
                "Authorization": f"Basic {self._account.basic()}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(form).encode(),
            deadline=None if patience is None else self._http.clock.now() + patience,
        )


@dataclass(frozen=True)
class Challenge:
    """What a server says in WWW-Authenticate: Digest."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: str | None = None
    opaque: str | None = None
    is_stale: bool = False


class _Nonce:
    """A challenge, and the numbers of the requests that answer it: no two have the same.

    ``cookies`` lead to the server that sent it.
    """

    def __init__(self, challenge: Challenge, cookies: Any) -> None:
        self.challenge = challenge
        self.cookies = cookies
        self.numbers = itertools.count(1)


class _Current(threading.local):
    """What a thread answers, and the number of its last answer."""

    nonce: _Nonce | None = None
    number = 0


class DigestAuth(_Signer):
    """Digest access authentication, RFC 7616: MD5 and SHA-256, qop "auth" or none.

    One challenge serves all threads of a task for the whole task: the nonce is reused, counted up,
    while the server takes it. A thread whose answer is refused, for coming out of turn say, gets
    a challenge of its own.
    """

    def __init__(self, pair: KeyPair) -> None:
        self._pair = pair
        self._latest: _Nonce | None = None
        self._current = _Current()
        self._lock = threading.Lock()
        self._is_trusted = False
        self._may_be_gone = False
        self._refusals = 0

    def __call__(self, prepared: Any) -> Any:
        current = self._current
        current.nonce = current.nonce or self._latest
        if current.nonce:
            current.number = next(current.nonce.numbers)
            prepared.headers["Authorization"] = digest_header(
                self._pair,
                current.nonce.challenge,
                prepared.method,
                prepared.path_url,
                count=current.number,
                cnonce=os.urandom(8).hex(),
            )
        return prepared

    @property
    def cookies(self) -> Any:
        nonce = self._current.nonce
        return nonce.cookies if nonce else None

    def renew(self, answer: Response) -> bool:
        """Take up the challenge of a 401, unless it says that the key pair is wrong.

        Raises UnexpectedAnswerError where the server asks for no Digest that can be given.
        """
        current = self._current
        usable = _usable_challenges(answer)
        if not current.nonce and not usable:
            offered = find_challenges(answer.headers.get("WWW-Authenticate", ""))
            hint = "Check base_url: it seems to lead to something else than the API."
            if _responses.is_of_api(answer) and not offered:
                hint = (
                    "The response is the API's own, but its header WWW-Authenticate is missing: "
                    "check whether a gateway or proxy in between removes or renames it."
                )
            raise UnexpectedResponseError(
                "the server answers 401 and asks for no Digest authentication"
                + (f" but with {sanitize(offered[0].algorithm, 40)}" if offered else ""),
                status=401,
                reason=answer.reason,
                hint=hint,
            )
        if current.nonce and not (
            usable and (usable[0].is_stale or (current.number > 1 and _is_unspecific(answer)))
        ):
            # Signed with a fresh nonce and refused, or refused for a reason that is told.
            return False
        current.nonce = self._latest = _Nonce(usable[0], answer.cookies)
        return True

    def unexplained_refusals(self, answer: Response) -> int:
        """Count a 401 without a reason after the API has accepted this key pair in this task.

        Under concurrent digest requests, the APIs take some for replays although no nonce and
        count was sent twice. Such a 401 is not counted once the key itself may be gone.
        """
        is_refused = answer.status == 401 and _is_unspecific(answer)
        if _responses.is_success(answer) and self._current.nonce:
            # A balancer may renew its cookie with each response.
            self._current.nonce.cookies = answer.cookies
        with self._lock:
            if not is_refused:
                if _is_signature_accepted(answer):
                    self._is_trusted, self._refusals = True, 0
                return 0
            if not self._is_trusted or self._may_be_gone:
                return 0
            self._refusals += 1
            refusals = self._refusals
        self._take_up(answer)
        return refusals

    def distrust(self) -> None:
        with self._lock:
            self._may_be_gone = True

    def _take_up(self, answer: Response) -> None:
        """Sign this thread's next request with the challenge that an answer offers."""
        usable = _usable_challenges(answer)
        if usable:
            self._current.nonce = self._latest = _Nonce(usable[0], answer.cookies)


def _is_signature_accepted(answer: Response) -> bool:
    """Whether an answer shows that the API knows the credential: a success, or a reason."""
    if _responses.is_success(answer):
        return True
    return 400 <= answer.status < 500 and answer.status != 429 and not _is_unspecific(answer)


def _usable_challenges(answer: Response) -> list[Challenge]:
    offered = find_challenges(answer.headers.get("WWW-Authenticate", ""))
    return [challenge for challenge in offered if challenge.algorithm in _HASHES]


def _is_unspecific(answer: Response) -> bool:
    payload = answer.payload if isinstance(answer.payload, dict) else {}
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
    """Return the Digest challenges of a WWW-Authenticate header that can be answered in form.

    Parameters that are not known are passed over, as Ops Manager's documentation has one.
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
        # What cannot be printed (a folded line, say) cannot be sent back in a header either.
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
