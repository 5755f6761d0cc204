# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each of many keys is and is to become. Pure: no I/O, no Ansible."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import _plan
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _org_api_keys,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
    Projects,
)

KINDS = ("revoked", "created", "updated", "unchanged")


@dataclass(frozen=True)
class DesiredKey:
    """What a task wants a key to be. None leaves that part as it is.

    ``may_adopt``: the key may get more rights although its key pair is not at hand.
    """

    description: str
    roles: tuple[str, ...] | None
    access_list: _access_lists.Networks | None
    projects: Projects | None
    may_adopt: bool = False


@dataclass(frozen=True)
class Change:
    """A key as it is and as it shall be.

    ``key`` is None for one that does not exist, ``declared`` for one that shall not; ``found`` is
    the access list of a key that exists, where ``declared`` has one. ``is_own``: it is the key
    that signs the requests, or may be, and what is done to it may end that.
    """

    key: OrgApiKey | None
    declared: DesiredKey | None
    found: _access_lists.AccessList[OrgApiKey] | None
    plan: _plan.Plan
    is_own: bool = False

    @property
    def kind(self) -> str:
        """Return the result that the key belongs to when the change is made, one of KINDS."""
        if not self.plan.is_change:
            return "unchanged"
        if self.declared is None:
            return "revoked"
        return "created" if self.key is None else "updated"

    @property
    def description(self) -> str:
        return str((self.plan.before or self.plan.after)["description"])

    @property
    def order(self) -> tuple[str, str]:
        return self.description, self.key.id if self.key else ""

    def name(self) -> dict[str, Any]:
        """Return what tells the key from others."""
        return {**ids(self.key), "description": self.description}

    def planned(self) -> dict[str, Any]:
        """Return the key as it will be, or, where it will not be any more, as it is."""
        return {**ids(self.key), **(self.plan.after or self.plan.before)}

    def gains(self) -> set[tuple[str, str]]:
        """Return each role that the key would get, with the project ID, "" for none."""
        return _rights(self.plan.after) - _rights(self.plan.before) if self.plan.before else set()

    def leaves(self) -> set[str]:
        """Return the projects that the key is to be removed from."""
        before, after = self.plan.before, self.plan.after
        if not before or not after:
            return set()
        old, new = ({p["project_id"] for p in plan["projects"]} for plan in (before, after))
        return old - new

    def has_losses(self) -> bool:
        """Whether the key may get less far: it loses a role, or its access list changes."""
        before, after = _rights(self.plan.before), _rights(self.plan.after)
        lists = (plan.get("access_list") for plan in (self.plan.before, self.plan.after))
        return bool(before - after) or next(lists) != next(lists)


def ids(key: OrgApiKey | None) -> dict[str, Any]:
    """Return the ids of a key as results have them, None for one that does not exist yet."""
    return {"id": key.id if key else None, "public_key": key.public_key if key else None}


def _rights(writable: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return every role of a key, with the project where it has it."""
    rights = {("", role) for role in writable["roles"]}
    for project in writable["projects"]:
        rights |= {(project["project_id"], role) for role in project["roles"]}
    return rights


def revocation(key: OrgApiKey) -> Change:
    return Change(key, None, None, _plan.absent(key.writable()))


def declaration(
    declared: DesiredKey, key: OrgApiKey | None, found: _access_lists.AccessList[OrgApiKey] | None
) -> Change:
    """Return what a declared key needs; ``found`` is given where the key and its list exist."""
    desired: dict[str, Any] = {"description": declared.description}
    if key is None or not _org_api_keys.has_roles(key, declared.roles):
        desired["roles"] = list(declared.roles or ())
    if key is None or declared.projects is not None:
        desired["projects"] = _org_api_keys.show_projects(declared.projects or ())
    current = key.writable() if key else None
    if declared.access_list is not None:
        desired["access_list"] = _access_lists.in_order(declared.access_list)
    if current is not None and found:
        current["access_list"] = _access_lists.in_order(found.now)
    return Change(key, declared, found, _plan.present(current, desired))


def keeping_projects(change: Change, project_ids: Collection[str]) -> Change:
    """Return a change that leaves the key in these projects, which do not exist any more."""
    before, after = change.plan.before, change.plan.after
    stale = [p for p in before["projects"] if p["project_id"] in project_ids]
    projects = sorted([*after["projects"], *stale], key=lambda project: project["project_id"])
    return replace(change, plan=_plan.Plan(before, {**after, "projects": projects}))


def planned(changes: Iterable[Change]) -> dict[str, Any]:
    """Return the results and the diff of changes that are all made, or would be."""
    changes = sorted(changes, key=lambda change: change.order)
    lists: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for change in changes:
        lists[change.kind].append(change.planned())
    has_changes = any(change.plan.is_change for change in changes)
    return {"changed": has_changes, **lists, "diff": diff(changes)}


def diff(changes: Iterable[Change]) -> dict[str, Any]:
    """Return the diff of changes: writable fields of keys that change, in their order."""
    plans = [change.plan for change in changes if change.plan.is_change]
    return {
        "before": {"api_keys": [plan.before for plan in plans if plan.before]},
        "after": {"api_keys": [plan.after for plan in plans if plan.after]},
    }
