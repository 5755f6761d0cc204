# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch and revoke the access tokens of the signing service account."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Call, Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    AccessToken,
    KeyPair,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    KeysmithError,
    OptionError,
    UnexpectedResponseError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _account_secrets,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import to_date

# The root of the API. It needs no role.
_ROOT = Call("", "check whether the access token works", "", "2023-01-01")


def check_signer(api: Client) -> None:
    """Refuse a signing credential that has no tokens. Raises OptionError."""
    what = {
        KeyPair: "An API key cannot fetch or revoke access tokens",
        AccessToken: "An access token cannot fetch another one",
    }.get(type(api.endpoint.credentials))
    if what:
        raise OptionError(
            what,
            hint="Set client_id and client_secret in this task. If module_defaults or the "
            "environment sets another credential, remove it for this task.",
        )


def fetch(api: Client) -> dict[str, Any]:
    """Fetch a token, and return the result of the task, which contains it."""
    token = api.issue_token()
    expires_at = None
    if token.expires_in is not None:
        issued_at = token.issued_at or _account_secrets.wall_clock()
        expires_at = to_date(issued_at + token.expires_in)
    return {
        "changed": True,
        "access_token": token.value,
        "token_type": token.token_type,
        "expires_in": token.expires_in,
        "expires_at": expires_at,
        "client_id": api.endpoint.client_id,
    }


def identify(api: Client) -> dict[str, Any]:
    """Return a fingerprint of the signing account and its secret. Sends nothing.

    The secret counts, because a host with a wrong secret must not use another host's token.
    """
    endpoint = api.endpoint
    parts = [endpoint.platform.name, endpoint.base_url, endpoint.client_id, endpoint.client_secret]
    fingerprint = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return {"changed": False, "client_id": endpoint.client_id, "fingerprint": fingerprint}


def revoke(api: Client, value: str, check_mode: bool) -> dict[str, Any]:
    """Revoke a token unless it no longer works, and return the result of the task."""
    token = AccessToken(value)

    def is_valid() -> bool:
        return api.is_valid(token, _ROOT)

    result = {"changed": is_valid(), "client_id": api.endpoint.client_id}
    if check_mode or not result["changed"]:
        return result
    lost: KeysmithError | None = None
    try:
        api.revoke_token(value)
    except KeysmithError as error:
        if not error.outcome_unknown:
            raise
        lost = error
    try:
        still_works = _resource.poll_after(api, is_valid, lambda works: not works)
    except KeysmithError as error:
        raise (lost or error).with_context(
            state_after="The token may have been revoked. Run the task again to find out."
        ) from None
    if still_works:
        state = "The token still works. It expires within an hour."
        if lost:
            raise lost.with_context(state_after=state)
        raise UnexpectedResponseError(
            "Could not revoke the access token: the API accepted the request, but the token still "
            "works",
            hint=f"Check that {api.endpoint.credentials} fetched it: another account cannot revoke "
            "it.",
            state_after=state,
        )
    return result
