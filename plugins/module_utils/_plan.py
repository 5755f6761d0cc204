# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the current state with the desired state. Pure: no I/O, no Ansible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """The writable fields before and after, for comparison, check mode and diff."""

    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def is_change(self) -> bool:
        return self.before != self.after

    def changes(self) -> dict[str, Any]:
        """Return the fields that change, with their new values."""
        return {name: value for name, value in self.after.items() if self.before.get(name) != value}

    def diff(self) -> dict[str, Any]:
        """Return the ``diff`` of a task."""
        return {"before": self.before, "after": self.after}


def present(current: dict[str, Any] | None, desired: dict[str, Any]) -> Plan:
    """Plan to create or change an object. A desired field that is None stays as it is."""
    given = {name: value for name, value in desired.items() if value is not None}
    return Plan(before=current or {}, after={**(current or {}), **given})


def absent(current: dict[str, Any] | None) -> Plan:
    """Plan to delete an object. ``current``: None if it does not exist."""
    return Plan(before=current or {}, after={})
