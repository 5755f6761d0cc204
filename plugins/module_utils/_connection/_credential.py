# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials that a task can authenticate with, and what their parts look like."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any, Union
from urllib.parse import quote_plus

# The APIs create 8 lowercase letters, but document only that there are 8 characters.
_PUBLIC_KEY = re.compile(r"[!-~]{8}")
# A UUID, or the prefix of a service account's secret.
_SECRET = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|mdb_sa_sk_.*")
_CLIENT_ID = re.compile(r"mdb_sa_id_[a-fA-F0-9]{24}")


@dataclass(frozen=True)
class KeyPair:
    """An API key: a public key and its private key."""

    public_key: str
    private_key: str = field(repr=False)

    def __str__(self) -> str:
        return f"the API key {self.public_key}"


@dataclass(frozen=True)
class ServiceAccount:
    client_id: str
    client_secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"the service account {self.client_id}"

    def basic(self) -> str:
        """Return the value for HTTP Basic. OAuth requires form-encoding of both parts first."""
        parts = (self.client_id, self.client_secret)
        pair = ":".join(quote_plus(part, errors="surrogateescape") for part in parts)
        return base64.b64encode(pair.encode()).decode()


@dataclass(frozen=True)
class AccessToken:
    """``client_id``: the service account that it belongs to, None if that is not known.

    With ``client_secret``, the task can fetch another token when this one expires.
    """

    token: str = field(repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)

    @property
    def owner(self) -> ServiceAccount | None:
        """The account that can fetch another token, None if the task does not know its secret."""
        if self.client_id is None or self.client_secret is None:
            return None
        return ServiceAccount(self.client_id, self.client_secret)

    def __str__(self) -> str:
        return "the access token"


Credentials = Union[KeyPair, ServiceAccount, AccessToken]


def is_header_safe(value: str) -> bool:
    """Return whether a header can carry a value: one or more visible ASCII characters."""
    return bool(value) and all("!" <= char <= "~" for char in value)


def is_public_key(value: str) -> bool:
    return bool(_PUBLIC_KEY.fullmatch(value))


def is_client_id(value: str) -> bool:
    return bool(_CLIENT_ID.fullmatch(value))


def is_client_secret(value: Any) -> bool:
    return isinstance(value, str) and value.strip().startswith("mdb_sa_sk_")


def looks_secret(value: Any) -> bool:
    """Return whether a value looks like a private key or a client secret."""
    return isinstance(value, str) and bool(_SECRET.fullmatch(value.strip()))


def contains_secret(value: Any) -> bool:
    """Return whether any part of a value looks like a private key or a client secret."""
    return isinstance(value, str) and bool(_SECRET.search(value))
