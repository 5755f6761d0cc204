# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The credentials that a task can authenticate with. Secrets are in no ``repr``."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Union
from urllib.parse import quote_plus


@dataclass(frozen=True)
class KeyPair:
    """An API key: the public key signs as user, the private key as password."""

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
        """Return the value of HTTP Basic; OAuth wants both parts form-encoded first."""
        parts = (self.client_id, self.client_secret)
        pair = ":".join(quote_plus(part, errors="surrogateescape") for part in parts)
        return base64.b64encode(pair.encode()).decode()


@dataclass(frozen=True)
class AccessToken:
    token: str = field(repr=False)

    def __str__(self) -> str:
        return "the access token"


Credentials = Union[KeyPair, ServiceAccount, AccessToken]


def is_header_safe(value: str) -> bool:
    """Whether a value can stand in a header: visible ASCII and nothing else, not empty."""
    return bool(value) and all("!" <= char <= "~" for char in value)
