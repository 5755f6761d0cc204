# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guard objects that are identified by their text, which others can copy, and check creations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    GuardError,
    OptionError,
    truncate_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    Obj,
    Objects,
    Resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._secret_file import SecretFile
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted

_OWNER_ROLES = frozenset({"ORG_OWNER", "GROUP_OWNER"})


def check(
    resource: Resource[Obj],
    found: Obj,
    gains: Collection[str],
    params: Mapping[str, Any],
    file: SecretFile | None,
    *,
    is_held: bool,
) -> list[str]:
    """Refuse to add roles to an object identified by its text if the file lacks its secret.

    ``is_held``: whether the file holds the secret of exactly this object. Raises GuardError, unless
    ``params`` allow it. Without a file, returns a warning if the object becomes an owner.
    """
    if not params[resource.text_name] or not gains or params["adopt"]:
        return []
    if file is None:
        return owner_warnings(resource, found, [("", role) for role in gains])
    if not is_held:
        raise GuardError(
            f"credentials_file {truncate_path(file.path)} does not hold the {file.format.label} of "
            f"{resource.noun} {resource.with_text(found)}, which would gain the roles "
            f"{', '.join(sorted(gains))}",
            hint=advice(resource),
            parameters=[found.id],
        )
    return []


def advice(resource: Resource[Obj]) -> str:
    noun = resource.short_noun
    return (
        f"Nothing was changed. {_copies(resource)}. Check that the {noun} is yours; then restore "
        f"its file, use the {noun}'s ID, or set adopt to true."
    )


def owner_warnings(
    resource: Resource[Obj], found: Obj, gains: Collection[tuple[str, str]]
) -> list[str]:
    """Warn if an object identified by its text becomes an owner.

    ``gains``: pairs of a project ID ("" for none) and a role.
    """
    gained = ", ".join(
        f"{role} in project {project_id}" if project_id else role
        for project_id, role in sorted(gains)
        if role in _OWNER_ROLES
    )
    if not gained:
        return []
    return [
        f"{resource.capital_noun} {found} is identified by its {resource.text_name}, "
        f"{quoted(resource.text(found))}, and gains {gained}. {_copies(resource)}: identify owner "
        f"{resource.short_noun}s by ID."
    ]


def _copies(resource: Resource[Obj]) -> str:
    return (
        f"Anyone who may create {resource.short_noun}s in a project can give "
        f"{resource.a_short_noun} this {resource.text_name}"
    )


def check_creation(
    objects: Objects[Obj],
    params: Mapping[str, Any],
    listed: Sequence[Obj],
    file: SecretFile | None,
    check_mode: bool,
) -> set[str]:
    """Check that a task may create an object, and return the IDs of those that exist.

    Raises OptionError if the task sets no roles, or if the file cannot be written or holds a secret
    that may be needed.
    """
    resource, known_ids = objects.resource, {found.id for found in listed}
    text = params[resource.text_name]
    if params["roles"] is None:
        raise OptionError(
            f"{resource.capital_noun} {quoted(text)} does not exist",
            hint="To create it, set roles.",
        )
    if file:
        same = {"org_id": objects.org_id, resource.text_name: text}
        _secret_file.check_free(file, known_ids, **same)
        _secret_file.check_writable(file.path, check_mode=check_mode)
    return known_ids
