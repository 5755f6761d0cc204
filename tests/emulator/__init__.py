# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emulator of the MongoDB Atlas Admin API v2, and of the Public API v1.0 of Ops Manager and
Cloud Manager. It is a real HTTP server on loopback. `python -m tests.emulator --help` starts it;
in tests: `with Emulator(seed) as emulator: ...`. It shares no code with the collection.

It follows recorded responses of Atlas, with these deliberate differences:

- It speaks HTTP/1.1 instead of HTTP/2. The client's library, requests, speaks nothing else, so
  Atlas also serves the collection HTTP/1.1. Both treat header names as case-insensitive.
- Only the fault `closing` sends `Connection: close`. Atlas sends it with about one response in
  fifty, which would make counts of connections unpredictable.
- Entries of access lists have a constant date and no count of uses.
- It ignores `pretty=true`, which the collection never sends.
- Ops Manager and Cloud Manager have the rate limits of Atlas.
- Only the fault `spurious_401` sends a spurious 401. Atlas sends one to some of the Digest requests
  that arrive at the same time.
- The value of Vary, in a challenge, is invented. Only its name was recorded.
- Some codes for service accounts are invented: those for a missing account, secret or access list
  entry, for a third secret and for invalid fields. The form of masked secrets is invented too. No
  response was recorded.
- Every 404 except GROUP_NOT_FOUND takes a token. How Atlas counts them is not known.
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
