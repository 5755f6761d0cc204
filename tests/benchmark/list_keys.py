# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the keys of an organization with org_api_key_info, and print seconds and peak MB."""

from __future__ import annotations

import json
import resource
import sys
import time

from tests.conftest import COLLECTIONS
from tests.support import key_pair, org_id, run_module


def main() -> None:
    url, expected = sys.argv[1], int(sys.argv[2])
    sys.path.insert(0, str(COLLECTIONS))
    started = time.monotonic()
    options = {"base_url": url, "org_id": org_id("atlas"), **key_pair("atlas")}
    outcome = run_module("org_api_key_info", options)
    seconds = time.monotonic() - started
    found = len(json.loads(outcome.output)["org_api_keys"])
    if found != expected:
        sys.exit(f"{found} keys instead of {expected}")
    # Linux counts in KB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{seconds:.3f} {peak / (1024 if sys.platform != 'darwin' else 1024**2):.1f}")


if __name__ == "__main__":
    main()
