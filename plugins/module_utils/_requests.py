# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guarded import of requests: the one place that imports it.

``requests`` is ``None`` where it is not installed; ``IMPORT_ERROR`` then holds the traceback for
``missing_required_lib``. No class may derive from its classes at import time, because
ansible-test imports every file on Pythons that do not have it.
"""

from __future__ import annotations

import traceback
from typing import Any

requests: Any
urllib3: Any
IMPORT_ERROR: str | None
try:
    import requests
    import urllib3  # comes with requests, which is built on it
except ImportError:
    requests = urllib3 = None
    IMPORT_ERROR = traceback.format_exc()
else:
    IMPORT_ERROR = None
