# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How to reach a server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# One read may take ``timeout``; the whole response may take this many times as long.
DEADLINE_FACTOR = 3


@dataclass(frozen=True)
class HttpSettings:
    """How to reach a server. Times are in seconds; ``proxy`` may contain a password."""

    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None
    timeout: float = 30.0
    retries: int = 5
    retry_max_wait: float = 120.0


def is_sent_in_clear(base_url: str) -> bool:
    """Return whether requests to an address leave this host unencrypted."""
    return base_url.startswith("http://") and not _is_loopback(urlsplit(base_url).hostname or "")


def _is_loopback(host: str) -> bool:
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
