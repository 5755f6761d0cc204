# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emulator of the MongoDB Atlas Admin API v2 and of the Public API v1.0 of Ops Manager and
Cloud Manager, as a real HTTP server on loopback. `python -m tests.emulator --help` starts it;
in tests: `with Emulator(seed) as emulator: ...`. It shares no code with the collection.

It follows recorded responses of Atlas. What it does differently, on purpose:

- HTTP/1.1 instead of HTTP/2: requests, the client's library, speaks nothing else, so Atlas serves
  the collection HTTP/1.1 as well. Names of headers are in any case the same to both.
- `Connection: close` comes only with the fault `closing`. Atlas sends it with about one response
  of fifty; by chance, it would make counts of connections useless.
- Keys and entries are created with one constant date, and an access list counts no uses.
- `pretty=true` is ignored, as the collection never asks for it.
- The rate limits of Ops Manager and Cloud Manager have the buckets of Atlas.
- A spurious 401 comes only with the fault `spurious_401`. Atlas sends it by chance, to some of the
  digest requests that arrive at the same time.
- The value of Vary, which comes with a challenge, is made up. Only its name is known.
- Which 404s other than GROUP_NOT_FOUND cost no token is not known: all of them cost one.
"""

from __future__ import annotations

from .faults import FAULTS, Fault
from .server import Emulator, Recorded
from .settings import Settings
from .state import ApiKey, Organization, Seed, SeedError, ServiceAccount, State

__all__ = [
    "FAULTS",
    "ApiKey",
    "Emulator",
    "Fault",
    "Organization",
    "Recorded",
    "Seed",
    "SeedError",
    "ServiceAccount",
    "Settings",
    "State",
]
