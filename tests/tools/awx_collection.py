# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`awx_collection.py DIRECTORY`: get the collection awx.awx for tests from PyPI's package ansible.

That package (54 MB) has the released collection, and pip is always available. If the package
is not available, this fails, and the tests that need the collection are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

INSIDE = "ansible_collections/awx/awx/"


def main() -> None:
    folder = Path(sys.argv[1])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
        options = ["--no-input", "--no-deps", "--only-binary", ":all:", "--dest", temporary]
        if subprocess.run([*command, *options, "ansible"], check=False).returncode:
            sys.exit("The collection awx.awx cannot be downloaded; tests that need it are skipped.")
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith(INSIDE)]
            if not names:
                sys.exit("PyPI's ansible no longer has awx.awx; tests that need it are skipped.")
            archive.extractall(Path(temporary) / "unpacked", names)
        # Rename it only now, so that it is never incomplete.
        shutil.rmtree(folder, ignore_errors=True)
        (Path(temporary) / "unpacked").rename(folder)


if __name__ == "__main__":
    main()
