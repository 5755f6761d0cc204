# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor: list an organization's keys and revoke some, with nothing but requests and threads.

It sends the requests of org_api_keys, with the Digest of the library requests, and only checks the
status. Prints the seconds after its imports.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth


def main() -> None:
    call = json.loads(sys.argv[1])
    started = time.monotonic()
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=call["threads"]))
    session.auth = HTTPDigestAuth(call["public_key"], call["private_key"])
    session.headers["Accept"] = "application/vnd.atlas.2023-01-01+json"
    session.trust_env = False
    keys = f"{call['url']}/api/atlas/v2/orgs/{call['org_id']}/apiKeys"

    def revoke(key_id: str) -> int:
        return session.delete(f"{keys}/{key_id}", timeout=30).status_code

    wanted = set(call["key_ids"])
    response = session.get(keys, params={"itemsPerPage": 500, "pageNum": 1}, timeout=30)
    found = [key["id"] for key in response.json()["results"] if key["id"] in wanted]
    with ThreadPoolExecutor(call["threads"]) as pool:
        statuses = list(pool.map(revoke, found))
    seconds = time.monotonic() - started
    if statuses != [204] * len(wanted):
        sys.exit(f"not all keys were revoked: {statuses}")
    print(seconds)


if __name__ == "__main__":
    main()
