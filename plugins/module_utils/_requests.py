# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Import requests and urllib3. No other file imports them.

If the import fails, both are ``None`` and ``WHY_NOT`` has the reason. No class may derive from
theirs at import time, because ansible-test imports every file on Python versions that lack them.
"""

from __future__ import annotations

from typing import Any

requests: Any
urllib3: Any
WHY_NOT = ""
try:
    import requests  # pylint: disable=unused-import
    import urllib3  # pylint: disable=unused-import
except Exception as error:
    # A broken installation can raise any exception.
    requests = urllib3 = None
    WHY_NOT = f"{type(error).__name__}: {error}"

HAS_REQUESTS = requests is not None
