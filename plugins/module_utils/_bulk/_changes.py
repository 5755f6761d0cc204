# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare existing keys with declared ones. Pure: no I/O, no Ansible."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _org_api_keys,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._access_lists import (
    AccessList,
    Networks,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
    Projects,
)

KINDS = ("revoked", "created", "updated", "unchanged")


@dataclass(frozen=True)
class DesiredKey:
    """The desired state of a key. None leaves that attribute unchanged.

    ``may_adopt``: the key may gain roles although the task does not have its key pair.
    """

    description: str
    roles: tuple[str, ...] | None
    access_list: Networks | None
    projects: Projects | None
    may_adopt: bool = False


@dataclass(frozen=True)
class Change:
    """The change of a key from its current state, ``key``, to ``target``.

    ``key`` is None if it will be created, ``target`` if it will be revoked. ``found`` is the
    access list of an existing key if ``declared`` has one. ``is_own``: the key is or may be the
    signing credential, and the change may end its access.
    """

    key: OrgApiKey | None
    target: OrgApiKey | None
    declared: DesiredKey | None = None
    found: AccessList[OrgApiKey] | None = None
    is_own: bool = False

    @property
    def access_list(self) -> Networks | None:
        """Return the access list of the existing key, if it was read."""
        return self.found.now if self.found else None

    @property
    def new_access_list(self) -> Networks | None:
        """Return the declared access list, if there is one."""
        return self.declared.access_list if self.declared else None

    @property
    def is_change(self) -> bool:
        return self.key != self.target or self.access_list != self.new_access_list

    @property
    def kind(self) -> str:
        """Return the result that lists the key after the change, one of KINDS."""
        if not self.is_change:
            return "unchanged"
        if self.target is None:
            return "revoked"
        return "created" if self.key is None else "updated"

    @property
    def description(self) -> str:
        key = self.key or self.target
        return key.description if key else ""

    @property
    def order(self) -> tuple[str, str]:
        return self.description, self.key.id if self.key else ""

    def identity(self) -> dict[str, Any]:
        """Return what identifies the key in results."""
        return {**_org_api_keys.identity(self.key), "description": self.description}

    def before(self) -> dict[str, Any]:
        """Return the key as a diff shows it before the change."""
        return show(self.key, self.access_list)

    def after(self) -> dict[str, Any]:
        """Return the key as a diff shows it after the change."""
        return show(self.target, self.new_access_list)

    def planned(self) -> dict[str, Any]:
        """Return the result for the key after the change, or before it if it is revoked."""
        return {**_org_api_keys.identity(self.key), **(self.after() or self.before())}

    def gains(self) -> set[tuple[str, str]]:
        """Return the roles that the key gains, as pairs: a project ID or "", and a role."""
        return _rights(self.target) - _rights(self.key)

    def lost_projects(self) -> set[str]:
        """Return the projects that an updated key is removed from."""
        if not self.key or not self.target:
            return set()
        return dict(self.key.projects).keys() - dict(self.target.projects).keys()

    def has_losses(self) -> bool:
        """Return whether the key loses a role, or its access list changes."""
        has_fewer_rights = bool(_rights(self.key) - _rights(self.target))
        return has_fewer_rights or self.access_list != self.new_access_list


def show(key: OrgApiKey | None, access_list: Networks | None) -> dict[str, Any]:
    """Return a key as diffs show it; empty if there is no key."""
    if key is None:
        return {}
    lists = {} if access_list is None else {"access_list": _access_lists.in_order(access_list)}
    return {**key.writable(), **lists}


def _rights(key: OrgApiKey | None) -> set[tuple[str, str]]:
    if key is None:
        return set()
    of_projects = {(project, role) for project, roles in key.projects for role in roles}
    return {("", role) for role in key.roles} | of_projects


def revocation(key: OrgApiKey) -> Change:
    return Change(key, None)


def declaration(
    declared: DesiredKey, key: OrgApiKey | None, found: AccessList[OrgApiKey] | None
) -> Change:
    """Return the change to a declared key. ``found``: the access list of an existing key."""
    target = key or OrgApiKey("", declared.description, None, (), ())
    if not _org_api_keys.has_roles(target, declared.roles):
        target = replace(target, roles=declared.roles or ())
    if declared.projects is not None:
        target = replace(target, projects=declared.projects)
    return Change(key, target, declared, found)


def planned(changes: Iterable[Change]) -> dict[str, Any]:
    """Return the result of a task if all changes are made, or planned in check mode."""
    changes = sorted(changes, key=lambda change: change.order)
    lists: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for change in changes:
        lists[change.kind].append(change.planned())
    pairs = [(change.before(), change.after()) for change in changes if change.is_change]
    return {"changed": bool(pairs), **lists, "diff": diff(pairs)}


def diff(pairs: Iterable[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Return the diff for pairs of a key before and after its change."""
    pairs = list(pairs)
    return {
        "before": {"api_keys": [before for before, _after in pairs if before]},
        "after": {"api_keys": [after for _before, after in pairs if after]},
    }
