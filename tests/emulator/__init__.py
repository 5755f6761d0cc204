# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emulator of the MongoDB Atlas Admin API v2 and of the Public API v1.0 of Ops Manager and
Cloud Manager, as a real HTTP server on loopback. `python -m tests.emulator --help` starts it;
in tests: `with Emulator(seed) as emulator: ...`. It shares no code with the collection.
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
