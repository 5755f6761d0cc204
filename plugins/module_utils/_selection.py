# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which keys of a complete listing a task means. Pure: no I/O, no Ansible."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import AmbiguousError, clean
from ansible_collections.keysmith.mongodb.plugins.module_utils._options import is_public_key
from ansible_collections.keysmith.mongodb.plugins.module_utils._org_api_keys import (
    OTHERWISE,
    OrgApiKey,
    by_words,
    check_public_keys_told,
    first_names,
    names,
    words_of,
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

    @classmethod
    def of(cls, selectors: Mapping[str, Any]) -> Selection:
        """Return the selection of a task; lists become what is quick to look up, in their order."""
        values: dict[str, Any] = {
            name: dict.fromkeys(value) if isinstance(value, list) else value
            for name, value in selectors.items()
        }
        return cls(**values)

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
        """Return what names a key or a project and is had by none of the listing."""
        known = {name for key in keys for name in (key.id, key.public_key)}
        known |= {project_id for key in keys for project_id, _roles in key.projects}
        descriptions = {key.description for key in keys}
        named = [*(self.api_user_ids or ()), *(self.public_keys or ())]
        named += [self.project_id] if self.project_id else []
        missing = [name for name in named if name not in known]
        missing += [name for name in self.descriptions or () if name not in descriptions]
        return list(dict.fromkeys(missing))


def check_provable(selection: Selection, org_id: str, keys: Collection[OrgApiKey]) -> None:
    """Refuse to take for missing what may be there under another guise. Raises AmbiguousError.

    That is a public key, where the API does not tell all of them, and a description that looks
    like one that is there.
    """
    check_public_keys_told(
        org_id, keys, selection.public_keys or (), "Name those that are meant with api_user_ids."
    )
    groups = by_words(keys)
    for description in selection.descriptions or ():
        similar = groups.get(words_of(description), [])
        if similar and all(key.description != description for key in similar):
            raise AmbiguousError(
                f"No API key of organization {org_id} has the description {clean(description)!r} "
                f"exactly, but {OTHERWISE} {names(similar)} has",
                check="Nothing was changed. Give the description exactly, or use api_user_ids.",
            )


def is_kept(key: OrgApiKey, keep: Iterable[str]) -> bool:
    """Whether an id, a public key, a description or a glob of it keeps a key from being touched."""
    return any(_keeps(item, key) for item in keep)


def keeps_description(keep: Iterable[str], description: str) -> bool:
    """Whether every key of a description is kept."""
    return any(item == description or fnmatchcase(description, item) for item in keep)


def check_keep(keep: Collection[str], org_id: str, keys: Collection[OrgApiKey]) -> list[str]:
    """Refuse what is to be kept, is not found, and may be there under another guise.

    What is not kept may be revoked. Raises AmbiguousError. Return warnings of what else is named
    and not there: a slip of the pen, perhaps.
    """
    idle = [item for item in keep if not any(_keeps(item, key) for key in keys)]
    check_public_keys_told(
        org_id,
        keys,
        [item for item in map(_folded, idle) if is_public_key(item)],
        "keep has it: name those that are to be kept by their ids.",
    )
    pairs = [(key, _folded_names(key)) for key in keys] if idle else []
    for item in idle:
        similar = [key for key, folded in pairs if _keeps(_folded(item), folded)]
        if similar:
            raise AmbiguousError(
                f"keep has {clean(repr(item))}, which no API key of organization {org_id} has "
                "exactly, but with other blanks, line ends or letters "
                f"{first_names(similar)} has",
                check="Nothing was changed. Name it exactly, so that it is kept.",
            )
    return [
        f"keep has {clean(item)!r}, which no API key of organization {org_id} fits."
        for item in idle
        if not _WILDCARDS & set(item)
    ]


def _folded(text: str) -> str:
    """Return what texts have in common that a slip of the pen makes differ."""
    return " ".join(words_of(text.casefold()))


def _folded_names(key: OrgApiKey) -> OrgApiKey:
    public_key = key.public_key and _folded(key.public_key)
    return replace(key, public_key=public_key, description=_folded(key.description))


def _keeps(item: str, key: OrgApiKey) -> bool:
    return item in {key.id, key.public_key} or keeps_description([item], key.description)


def _fits_any(key: OrgApiKey, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(key.description, pattern) for pattern in patterns)
