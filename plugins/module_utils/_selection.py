# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which keys of a complete listing a task means. Pure: no I/O, no Ansible."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import AmbiguousError, clean
from ansible_collections.keysmith.mongodb.plugins.module_utils._options import is_public_key
from ansible_collections.keysmith.mongodb.plugins.module_utils._org_api_keys import (
    OrgApiKey,
    names,
    similar_to,
)

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Selection:
    """Selectors; None is one that is not given. A key has to fit one value of each that is."""

    api_user_ids: Collection[str] | None = None
    public_keys: Collection[str] | None = None
    descriptions: Collection[str] | None = None
    description_match: Collection[str] | None = None
    roles: Collection[str] | None = None
    project_id: str | None = None

    def fits(self, key: OrgApiKey) -> bool:
        return (
            (self.api_user_ids is None or key.id in self.api_user_ids)
            and (self.public_keys is None or key.public_key in self.public_keys)
            and (self.descriptions is None or key.description in self.descriptions)
            and (self.description_match is None or _fits_any(key, self.description_match))
            and (self.roles is None or not set(self.roles).isdisjoint(key.roles))
            and (self.project_id is None or self.project_id in dict(key.projects))
        )

    def missing(self, keys: Collection[OrgApiKey]) -> list[str]:
        """Return what names a key and is had by none of the listing, in the task's order."""
        known = {name for key in keys for name in (key.id, key.public_key)}
        descriptions = {key.description for key in keys}
        named = [*(self.api_user_ids or ()), *(self.public_keys or ())]
        missing = [name for name in named if name not in known]
        missing += [name for name in self.descriptions or () if name not in descriptions]
        return list(dict.fromkeys(missing))


def check_provable(selection: Selection, org_id: str, keys: Collection[OrgApiKey]) -> None:
    """Refuse to take for missing what may be there under another guise. Raises AmbiguousError.

    That is a public key, where the API does not tell all of them, and a description that differs
    in blanks only from one that is there.
    """
    untold = [key for key in keys if key.public_key is None]
    told = {key.public_key for key in keys}
    lost = [name for name in selection.public_keys or () if name not in told]
    if lost and untold:
        raise AmbiguousError(
            f"No API key of organization {org_id} is known to have the public key "
            f"{', '.join(lost)}, but the API does not tell the public key of {names(untold)}",
            check="Nothing was changed. Name those that are meant with api_user_ids.",
        )
    for description in selection.descriptions or ():
        similar = similar_to(keys, description)
        if similar and all(key.description != description for key in similar):
            raise AmbiguousError(
                f"No API key of organization {org_id} has the description {clean(description)!r} "
                f"exactly, but with other blanks or line ends {names(similar)} has",
                check="Nothing was changed. Give the description exactly, or use api_user_ids.",
            )


def is_kept(key: OrgApiKey, keep: Iterable[str]) -> bool:
    """Whether an id, a public key or a glob of descriptions keeps a key from being touched."""
    return any(_keeps(item, key) for item in keep)


def check_keep(keep: Collection[str], org_id: str, keys: Collection[OrgApiKey]) -> None:
    """Refuse a public key to keep that may be that of a key whose own the API does not tell."""
    untold = [key for key in keys if key.public_key is None]
    told = {key.public_key for key in keys}
    lost = [item for item in keep if is_public_key(item) and item not in told]
    if lost and untold:
        raise AmbiguousError(
            f"keep names {', '.join(lost)}, which no API key of organization {org_id} is known to "
            f"have as its public key, but the API does not tell the public key of {names(untold)}",
            check="Nothing was changed. Name those that are to be kept by their ids.",
        )


def idle(keep: Iterable[str], keys: Collection[OrgApiKey]) -> list[str]:
    """Return what is to be kept by its name and is not there: a slip of the pen, perhaps."""
    return [
        item
        for item in keep
        if not _WILDCARDS & set(item) and not any(_keeps(item, key) for key in keys)
    ]


def _keeps(item: str, key: OrgApiKey) -> bool:
    return item in {key.id, key.public_key} or fnmatchcase(key.description, item)


def _fits_any(key: OrgApiKey, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(key.description, pattern) for pattern in patterns)
