# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication by Digest key pairs and OAuth tokens of service accounts, and IP access lists."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import math
import secrets
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from werkzeug.wrappers import Request

from .responses import ApiError, Response
from .settings import Settings
from .state import ApiKey, Organization, Secret, ServiceAccount, State, Token

REALM = "MMS Public API"


@dataclass
class Caller:
    organization: Organization
    holder: ApiKey | ServiceAccount


@dataclass
class Nonce:
    created_at: float
    counts: set[int] = field(default_factory=set)  # each nc is valid once


class Authenticator:
    """Nonces and tokens. The emulator calls it while holding its lock."""

    def __init__(
        self,
        state: State,
        settings: Settings,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.state = state
        self.settings = settings
        self.clock = clock
        self.wall = wall
        self.nonces: dict[str, Nonce] = {}
        self.token_requests: dict[tuple[str, str], list[float]] = defaultdict(list)

    def identify(self, request: Request, target: str) -> Caller | Response:
        """Return the caller, or the 401 to send. `target` is the path with its query, as sent."""
        header = self.settings.checked_user_header
        if header and header in request.headers:
            found = self.state.find_key(request.headers[header])
            return Caller(*found) if found else self.challenge(request)
        authorization = request.authorization
        if authorization is None:
            return self.challenge(request)
        if authorization.type == "digest":
            return self._check_digest(request, target, authorization.parameters)
        if authorization.type == "bearer":
            return self._check_token(authorization.token or "") or self.challenge(request)
        return self.challenge(request)

    def challenge(self, request: Request, stale: bool = False) -> Response:
        nonce = base64.b64encode(secrets.token_bytes(24)).decode()
        self.nonces[nonce] = Nonce(self.clock())
        header = (
            f'Digest realm="{REALM}", domain="", nonce="{nonce}", '
            f'algorithm={self.settings.digest_algorithm}, qop="auth", '
            f"stale={'true' if stale else 'false'}"
        )
        headers = {"Www-Authenticate": header}
        if request.path.startswith("/api/atlas/"):
            headers |= {"Server": "mdbws", "Vary": "Accept-Encoding"}
        content = {
            "error": 401,
            "reason": "Unauthorized",
            "detail": "You are not authorized for this resource.",
            "errorCode": "UNEXPECTED_ERROR",
        }
        raw = json.dumps(content, indent=2, separators=(",", " : ")).encode()
        return Response(401, headers=headers, raw=raw)

    def _check_digest(
        self, request: Request, target: str, given: dict[str, str | None]
    ) -> Caller | Response:
        found = self.state.find_key(given.get("username") or "")
        try:
            count = int(given.get("nc") or "", 16)
        except ValueError:
            return self.challenge(request)
        if (
            found is None
            or given.get("realm") != REALM
            or given.get("uri") != target
            or given.get("qop") != "auth"
            or given.get("algorithm", "MD5") != self.settings.digest_algorithm
        ):
            return self.challenge(request)

        # As in Jetty, the nonce is checked before the secret, and only a nonce that is unknown,
        # too old or used too often is stale.
        nonce = self.nonces.get(given.get("nonce") or "")
        limit, lifetime = self.settings.nonce_uses, self.settings.nonce_lifetime
        if (
            nonce is None
            or (lifetime is not None and self.clock() - nonce.created_at > lifetime)
            or (limit is not None and count > limit)
        ):
            return self.challenge(request, stale=True)
        if count in nonce.counts:
            return self.challenge(request)
        nonce.counts.add(count)

        def digest(text: str) -> str:
            name = "md5" if self.settings.digest_algorithm == "MD5" else "sha256"
            return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

        organization, key = found
        secret = digest(f"{key.public_key}:{REALM}:{key.private_key}")
        parts = [secret, *(given.get(name) or "" for name in ("nonce", "nc", "cnonce", "qop"))]
        expected = digest(":".join([*parts, digest(f"{request.method}:{target}")]))
        if not hmac.compare_digest(expected.encode(), (given.get("response") or "").encode()):
            return self.challenge(request)
        return Caller(organization, key)

    def _check_token(self, value: str) -> Caller | None:
        token = self.state.tokens.get(value)
        if token is None or token.expires_at <= self.clock():
            return None
        found = self.state.find_account(token.client_id)
        return Caller(*found) if found else None

    def client(self, request: Request) -> tuple[ServiceAccount, Secret] | None:
        """Return the account and the secret in the Basic credentials of an OAuth request."""
        given = request.authorization
        if given is None or given.type != "basic":
            return None
        found = self.state.find_account(unquote(given.username or ""))
        if found is None:
            return None
        value = unquote(given.password or "").encode()
        for secret in found[1].secrets:
            is_valid = secret.expires_at > self.wall()
            if hmac.compare_digest(secret.value.encode(), value) and is_valid:
                return found[1], secret
        return None

    def oauth(self, request: Request, client: tuple[ServiceAccount, Secret] | None) -> Response:
        """Handle POST /api/oauth/token and /api/oauth/revoke."""
        if client is None:
            return _oauth_error(401, "invalid_client", "Invalid credentials provided.")
        if request.mimetype != "application/x-www-form-urlencoded":
            return _oauth_error(400, "invalid_request", "The body must be a form.")
        if request.path == "/api/oauth/revoke":
            return self._revoke(request.form.get("token"), client[0])
        grant = request.form.get("grant_type")
        if grant is None:
            return _oauth_error(400, "invalid_request", "Missing parameter grant_type.")
        if grant != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", f"Unsupported grant {grant}.")
        return self._grant(request, *client)

    def _grant(self, request: Request, client: ServiceAccount, secret: Secret) -> Response:
        now = self.clock()
        limit = self.settings.token_requests_per_minute
        recent = self.token_requests[request.remote_addr or "", client.client_id]
        recent[:] = [moment for moment in recent if moment > now - 60]
        if limit is not None and len(recent) >= limit:
            raise ApiError("RATE_LIMITED", request.path, limit, 1)
        recent.append(now)
        tokens = self.state.tokens
        for value in [value for value, token in tokens.items() if token.expires_at <= now]:
            del tokens[value]
        active = [token for token in tokens.values() if token.client_id == client.client_id]
        limit, lifetime = self.settings.max_active_tokens, self.settings.token_lifetime
        if limit is not None and len(active) >= limit:
            raise ApiError("RATE_LIMITED", request.path, limit, math.ceil(lifetime / 60))
        value = secrets.token_urlsafe(48)
        tokens[value] = Token(client.client_id, secret.id, now + lifetime)
        secret.last_used_at = self.wall()
        content = {"access_token": value, "expires_in": int(lifetime), "token_type": "Bearer"}
        return Response(200, content)

    def _revoke(self, value: str | None, client: ServiceAccount) -> Response:
        if not value:
            return _oauth_error(400, "invalid_request", "Missing parameter token.")
        token = self.state.tokens.get(value)
        if token and token.client_id == client.client_id:
            del self.state.tokens[value]
        return Response(200)


def _oauth_error(status: int, error: str, description: str) -> Response:
    return Response(status, {"error": error, "error_description": description})


def is_listed(address: str, entries: list[str]) -> bool:
    ip = ipaddress.ip_address(address)
    return any(ip in ipaddress.ip_network(entry) for entry in entries)
