# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Select keys from the full list, and keep others. Pure: no I/O, no Ansible."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    is_public_key,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    GuardError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _resource
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
    check_hidden_public_keys,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import (
    normalize_description,
    quoted,
)


@dataclass(frozen=True)
class Selection:
    """Selectors, None if unset. A key must match one value of each selector that is set."""

    api_user_ids: Collection[str] | None = None
    public_keys: Collection[str] | None = None
    descriptions: Collection[str] | None = None
    description_match: Collection[str] | None = None
    roles: Collection[str] | None = None
    project_id: str | None = None

    @classmethod
    def of(cls, selectors: Mapping[str, Any]) -> Selection:
        """Return the selection of a task, with lists as dictionaries for quick lookups."""
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
            and (self.description_match is None or self.matches_pattern(key))
            and (self.roles is None or not set(self.roles).isdisjoint(key.roles))
            and (self.project_id is None or self.project_id in dict(key.projects))
        )

    def identifies(self, key: OrgApiKey) -> bool:
        """Return whether a key is listed by its ID, its public key or its exact description."""
        return (
            key.id in (self.api_user_ids or ())
            or key.public_key in (self.public_keys or ())
            or key.description in (self.descriptions or ())
        )

    def matches_pattern(self, key: OrgApiKey) -> bool:
        """Return whether a pattern matches. Not even ``*`` matches a key without a description."""
        patterns = self.description_match or ()
        return bool(key.description) and any(fnmatchcase(key.description, p) for p in patterns)

    def would_fit_described(self, key: OrgApiKey) -> bool:
        """Return whether a pattern such as ``*`` would select the key if it had a description."""
        patterns = self.description_match or ()
        if key.description or not any(fnmatchcase("", item) for item in patterns):
            return False
        return replace(self, description_match=None).fits(key)

    def missing(self, keys: Collection[OrgApiKey]) -> list[str]:
        """Return the IDs, public keys, descriptions and project that no key in the list has."""
        known = {name for key in keys for name in (key.id, key.public_key)}
        known |= {project_id for key in keys for project_id, _roles in key.projects}
        descriptions = {key.description for key in keys}
        listed = [*(self.api_user_ids or ()), *(self.public_keys or ())]
        listed += [self.project_id] if self.project_id else []
        missing = [name for name in listed if name not in known]
        missing += [name for name in self.descriptions or () if name not in descriptions]
        return list(dict.fromkeys(missing))


def check_provable(
    selection: Selection, org_id: str, keys: Collection[OrgApiKey], *, look_alikes: str
) -> None:
    """Refuse to report a key as missing if it may exist. Raises AmbiguousError.

    A public key may exist if the API hides some, and a description may have a look-alike.
    """
    check_hidden_public_keys(org_id, keys, selection.public_keys or (), "Use api_user_ids instead.")
    if look_alikes != "refuse":
        return
    known = {key.description for key in keys}
    for description in selection.descriptions or ():
        if description not in known:
            _resource.check_look_alikes(keys, API_KEYS.of(org_id), description)


def pattern_warnings(
    selection: Selection, org_id: str, keys: Collection[OrgApiKey], *, look_alikes: str
) -> list[str]:
    """Return warnings about patterns that match no key, and about look-alikes of matches."""
    warnings = [
        f"description_match: {quoted(item)} matches no API key of organization {org_id}."
        for item in selection.description_match or ()
        if not any(key.description and fnmatchcase(key.description, item) for key in keys)
    ]
    if look_alikes != "refuse" or not selection.description_match:
        return warnings
    patterns = [normalize_description(item) for item in selection.description_match]
    similar = [
        key
        for key in keys
        if not selection.matches_pattern(key) and _matches_normalized(key, patterns)
    ]
    if similar:
        warnings.append(
            f"description_match does not match these API keys of organization {org_id} exactly, so "
            f"they were not selected: {_resource.described(similar, API_KEYS)}. "
            f"{_resource.LOOK_ALIKES} Set look_alikes to ignore if they are different keys."
        )
    return warnings


def no_description_warnings(org_id: str, keys: Sequence[OrgApiKey]) -> list[str]:
    """Return a warning about keys that are not selected because they have no description."""
    if not keys:
        return []
    return [
        f"These API keys of organization {org_id} have no description, so neither a pattern nor "
        f"purge selects them: {_resource.summarize(keys)}. Use their IDs to select them."
    ]


def is_kept(key: OrgApiKey, keep: Iterable[str]) -> bool:
    """Return whether an item is the key's ID, public key or description, or a pattern for it."""
    return any(_keeps(item, key) for item in keep)


def keeps_description(keep: Iterable[str], description: str) -> bool:
    """Return whether an item keeps every key with this description."""
    return any(item == description or fnmatchcase(description, item) for item in keep)


def check_kept_exactly(
    keep: Collection[str],
    org_id: str,
    keys: Collection[OrgApiKey],
    touched: Sequence[OrgApiKey],
) -> None:
    """Refuse to change keys that ``keep`` matches only as look-alikes. Raises AmbiguousError.

    An item that is exactly the ID, public key or description of a key refers only to that key.
    """
    exact = {text for key in keys for text in (key.id, key.public_key, key.description)}
    for item in keep:
        if item in exact:
            continue
        normalized = normalize_description(item)
        similar = [
            key
            for key in touched
            if normalized in {key.id, normalize_description(key.public_key or "")}
            or _matches_normalized(key, [normalized])
            # Normalizing would change the whitespace that a pattern counts.
            or fnmatchcase(key.description.casefold(), item.casefold())
        ]
        if similar:
            raise AmbiguousError(
                f"keep: {quoted(item)} does not match these API keys of organization {org_id} "
                f"exactly, but they look like it: {_resource.described(similar, API_KEYS)}",
                hint=f"Nothing was changed. {_resource.LOOK_ALIKES} Correct the item or use the "
                "key's ID to keep the key, or set look_alikes to ignore if they are different "
                "keys.",
            )


def check_keep(
    keep: Collection[str],
    org_id: str,
    keys: Collection[OrgApiKey],
    revoked: Sequence[OrgApiKey],
    *,
    on_missing: str,
) -> list[str]:
    """Refuse to revoke keys if an item of ``keep`` matches no key of the organization.

    Raises GuardError, or AmbiguousError if an item may be a public key that the API hides.
    Returns a warning for each such item if no key would be revoked, or ``on_missing`` is ``warn``.
    """
    unmatched = [item for item in keep if not any(_keeps(item, key) for key in keys)]
    check_hidden_public_keys(
        org_id,
        keys,
        [item for item in map(normalize_description, unmatched) if is_public_key(item)],
        "Use the IDs of the keys in keep.",
    )
    if unmatched and revoked and on_missing == "fail":
        items = ", ".join(quoted(item) for item in unmatched)
        raise GuardError(
            f"keep: {items} matches no API key of organization {org_id}, and {len(revoked)} API "
            f"keys would be revoked: {_resource.described(revoked, API_KEYS)}",
            hint="Nothing was changed. Correct or remove the item, or set on_keep_missing to warn "
            "if one list serves many organizations.",
            parameters=[key.id for key in revoked],
        )
    return [
        f"keep: {quoted(item)} matches no API key of organization {org_id}." for item in unmatched
    ]


def _keeps(item: str, key: OrgApiKey) -> bool:
    return item in {key.id, key.public_key} or keeps_description([item], key.description)


def _matches_normalized(key: OrgApiKey, patterns: Iterable[str]) -> bool:
    """Return whether a key's description matches one of the normalized patterns as a look-alike."""
    normalized = normalize_description(key.description)
    return bool(key.description) and any(
        normalized == item or fnmatchcase(normalized, item) for item in patterns
    )
