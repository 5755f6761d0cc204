# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For `make docs`: fail if a log has a warning other than those caused by a missing network."""

from __future__ import annotations

import re
import sys
from pathlib import Path

# The pages link to Ansible's own docs, which are unknown if their index cannot be fetched.
ANSIBLE_LABELS = (
    "action_plugins",
    "ansible_configuration_settings",
    "collections_index",
    "common_return_values",
    "module_defaults_groups",
    r"ansible_collections\.ansible\.builtin\.\w+",
)
EXPECTED = (
    re.compile(r"^WARNING: failed to reach any of the inventories with the following issues:$"),
    re.compile(rf"WARNING: undefined label: '({'|'.join(ANSIBLE_LABELS)})' \[ref\.ref\]$"),
)
WARNING = re.compile(r"\b(WARNING|ERROR|SEVERE|CRITICAL):")


def unexpected(log: str) -> list[str]:
    """Return the lines of a log that warn about the pages."""
    lines = [line.strip() for line in log.splitlines() if WARNING.search(line)]
    return [line for line in lines if not any(pattern.search(line) for pattern in EXPECTED)]


def main() -> int:
    found = unexpected(Path(sys.argv[1]).read_text("utf-8"))
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
