# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the README's picture of the audit report: `python -m tests.tools.audit_picture`.

Run it after a change to the report. It audits a sample organization in the emulator, and saves a
screenshot of the page as docs/audit.png. It needs the environment of `make test`, and Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from tests import conftest
from tests.emulator import Emulator
from tests.tools.sanity import ROOT

PICTURE = ROOT / "docs" / "audit.png"
WIDTH = 1280
ORG_ID, PROJECT_ID = "5f0d9a4e1c2b3a0011223301", "5f0d9a4e1c2b3a00112233b1"
OFFICE = "192.0.2.0/28"
ACCOUNT = {
    "client_id": "mdb_sa_id_5f0d9a4e1c2b3a0011223381",
    "client_secret": f"mdb_sa_sk_{'audit-picture' * 3}",
}


def make_key(
    number: int, public_key: str, description: str, roles: tuple[str, str], *addresses: str
) -> dict[str, Any]:
    """Return a key for the seed, with a role in the organization and one in the project."""
    role, project_role = roles
    return {
        "id": f"6{number}c09a4e1c2b3a00112233a{number}",
        "public_key": public_key,
        "private_key": f"00000000-1111-4111-8111-{number:012d}",
        "description": description,
        "roles": [role],
        "access_list": list(addresses),
        "projects": [{"project_id": PROJECT_ID, "roles": [project_role]}],
    }


READS = ("ORG_READ_ONLY", "GROUP_READ_ONLY")
SEED = {
    "id": ORG_ID,
    "name": "Acme Retail",
    "projects": [{"id": PROJECT_ID, "name": "shop"}],
    "service_accounts": [{**ACCOUNT, "roles": ["ORG_OWNER"], "access_list": []}],
    "api_keys": [
        make_key(1, "wbbytrgs", "CI", ("ORG_MEMBER", "GROUP_OWNER"), "203.0.113.0/24"),
        make_key(2, "hutgjjjh", "contractor laptop", READS),
        make_key(3, "izoiurcx", "metrics exporter", READS, "198.51.100.20", "198.51.100.21"),
        make_key(4, "jlmimhug", "nightly backup", ("ORG_MEMBER", "GROUP_BACKUP_MANAGER"), OFFICE),
        make_key(5, "zhykfjbv", "terraform", ("ORG_OWNER", "GROUP_OWNER"), OFFICE),
    ],
}


def main() -> None:
    # These import the collection, which conftest has made importable.
    from tests.integration.chromium import Chromium, find
    from tests.integration.playbook import AnsibleSandbox

    command = find()
    if command is None:
        sys.exit("Chromium is not installed.")
    with tempfile.TemporaryDirectory() as name, Emulator({"organizations": [SEED]}) as emulator:
        sandbox = AnsibleSandbox(Path(name), conftest.COLLECTIONS)
        playbook = "keysmith.mongodb.audit_org_api_keys"
        environ = {
            "MONGODB_ATLAS_BASE_URL": emulator.url,
            **{f"MONGODB_ATLAS_{option.upper()}": ACCOUNT[option] for option in ACCOUNT},
            "USER": "anna",
        }
        run = sandbox.python(
            *("-m", "ansible", "playbook", playbook, "-e", f"audit_org_api_keys_dest={name}"),
            environ=environ,
        )
        if run.code:
            sys.exit(run.output)
        with Chromium(command) as page:
            page.resize(WIDTH, 600)
            page.open(Path(name) / "org_api_keys.html")
            page.resize(WIDTH, page.evaluate("document.querySelector('footer').offsetTop"))
            page.screenshot(PICTURE)
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
