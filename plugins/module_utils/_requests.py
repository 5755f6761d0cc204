# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guarded import of requests: the one place that imports it.

``requests`` and ``urllib3`` are ``None`` if they are not installed or broken, and ``WHY_NOT`` says
why. No class may derive from
theirs at import time, because ansible-test imports every file on Pythons that do not have them.
"""

from __future__ import annotations

from typing import Any

requests: Any
urllib3: Any
WHY_NOT = ""
try:
    import requests  # pylint: disable=unused-import
    import urllib3  # pylint: disable=unused-import  # comes with requests, which is built on it
except Exception as error:
    # Of any kind: a broken installation raises whatever its files happen to do.
    requests = urllib3 = None
    WHY_NOT = f"{type(error).__name__}: {error}"

HAS_REQUESTS = requests is not None
