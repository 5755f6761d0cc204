# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what a task says of many keys, and a complete listing, to the change that each needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _access_lists,
    _changes,
    _credentials_file,
    _options,
    _org_api_keys,
    _selection,
    _workers,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._changes import Change, Declared
from ansible_collections.keysmith.mongodb.plugins.module_utils._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    OptionError,
    StoppedError,
    TooManyError,
    clean,
    shown,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._org_api_keys import OrgApiKey
from ansible_collections.keysmith.mongodb.plugins.module_utils._platform import ATLAS, PLATFORMS
from ansible_collections.keysmith.mongodb.plugins.module_utils._selection import Selection

SELECTORS = (
    "api_user_ids",
    "public_keys",
    "descriptions",
    "description_match",
    "roles",
    "project_id",
)


@dataclass(frozen=True)
class KeySet:
    """The changes that a task comes to, and what else its result tells: kept, missing, warnings."""

    changes: list[Change]
    kept: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] | None = None
    warnings: list[str] = field(default_factory=list)

    def more(self) -> dict[str, Any]:
        """Return the part of the result that is not about changes."""
        missing = {} if self.missing is None else {"missing": self.missing}
        return {"kept": self.kept, **missing, "warnings": self.warnings}


def check_selection(params: Mapping[str, Any]) -> None:
    """Refuse selectors that no key can fit, and none at all. Raises OptionError."""
    if params["api_keys"] is not None or params["purge"]:
        raise OptionError(
            "api_keys or purge is given with state absent",
            check=f"They go with state present. Keys to be revoked are selected by "
            f"{', '.join(SELECTORS)}.",
        )
    if all(params[name] is None for name in SELECTORS):
        raise OptionError(
            "No key is selected",
            check=f"Give at least one of {', '.join(SELECTORS)}. For all keys, set "
            'description_match to "*".',
        )
    for name in SELECTORS[:-1]:
        _options.check_items(name, params[name] or [])
    for api_user_id in params["api_user_ids"] or ():
        _options.check_id("api_user_ids", api_user_id)
    for public_key in params["public_keys"] or ():
        _options.check_public_key(public_key, "public_keys")
    if params["project_id"]:
        _options.check_id("project_id", params["project_id"])
    _options.check_org_role_names(params["roles"] or [])


def check_declaration(params: Mapping[str, Any]) -> None:
    """Refuse declared keys that cannot be. Raises OptionError."""
    given = [name for name in SELECTORS if params[name] is not None]
    if given:
        raise OptionError(
            f"Given with state present: {', '.join(given)}",
            check="Such options select keys to be revoked: set state to absent, or leave them out.",
        )
    if params["api_keys"] is None:
        raise OptionError(
            "No keys are declared",
            check="Set api_keys; [] together with purge means an organization without any.",
        )
    keys = declared(params)
    counts = Counter(_org_api_keys.words_of(key.description) for key in keys)
    doubles = [words for words, count in counts.items() if count > 1]
    if doubles:
        raise OptionError(
            "api_keys has several keys with the description "
            f"{', '.join(clean(repr(' '.join(words))) for words in doubles)}",
            check="Each key is known by its description, so it has to be its own, and by more than "
            "blanks or how letters are composed.",
        )


def declared(params: Mapping[str, Any]) -> list[Declared]:
    """Return the keys that a task declares. Raises OptionError."""
    return [_declared(params["platform"], item) for item in params["api_keys"]]


def _declared(platform: str, item: Mapping[str, Any]) -> Declared:
    description = item["description"]
    roles, entries, projects = item["roles"], item["access_list"], item["projects"]
    with _told_of(description):
        _options.check_description("description", description)
        if roles is not None:
            _options.check_roles(platform, roles)
        for project in projects or ():
            _options.check_id("project_id", project["project_id"])
            _options.check_project_roles(project["roles"])
        ids = [project["project_id"] for project in projects or ()]
        if len(set(ids)) < len(ids):
            raise OptionError("projects has a project twice", check="Give all its roles at once.")
        networks = None if entries is None else _access_lists.normalize(entries, "access_list")
    pairs = [(p["project_id"], tuple(sorted(set(p["roles"])))) for p in projects or ()]
    return Declared(
        description=description,
        roles=None if roles is None else tuple(sorted(set(roles))),
        access_list=networks,
        projects=None if projects is None else tuple(sorted(pairs)),
    )


@contextmanager
def _told_of(description: str) -> Iterator[None]:
    """Have an error say which of many keys it is about."""
    try:
        yield
    except OptionError as error:
        error.what = f"In api_keys, {clean(description, 60)!r}: {error.what}"
        raise


def selected(params: Mapping[str, Any], api: Client, keys: Sequence[OrgApiKey]) -> KeySet:
    """Return the revocation of all keys that are selected, but for those that are kept."""
    org_id = params["org_id"]
    selection = Selection.of({name: params[name] for name in SELECTORS})
    _selection.check_provable(selection, org_id, keys)
    found = _revocations(params, api, keys, [key for key in keys if selection.fits(key)])
    known = PLATFORMS[params["platform"]].org_roles
    warnings = [
        f"roles has {clean(role)!r}, which is no role that {PLATFORMS[params['platform']].title} "
        "is known to have."
        for role in params["roles"] or ()
        if role not in known
    ]
    return replace(found, missing=selection.missing(keys), warnings=[*found.warnings, *warnings])


def _revocations(
    params: Mapping[str, Any],
    api: Client,
    keys: Sequence[OrgApiKey],
    doomed: Sequence[OrgApiKey],
) -> KeySet:
    own, keep = api.endpoint.public_key, params["keep"] or ()
    is_own_seen = any(key.public_key == own for key in keys)
    found = KeySet([])
    for key in sorted(doomed, key=lambda key: (key.description, key.id)):
        change = _changes.revocation(key)
        if _selection.is_kept(key, keep):
            found.kept.append({**change.name(), "reason": "keep"})
        elif own and key.public_key == own and not params["allow_own_key"]:
            found.kept.append({**change.name(), "reason": "own_key"})
            if params["state"] == "absent":
                found.warnings.append(
                    f"API key {key} is selected too, but it signs the requests, and is left: use "
                    "another credential of the organization, or set allow_own_key to true."
                )
        else:
            is_own = _org_api_keys.check_not_own(
                api,
                key,
                allowed=params["allow_own_key"],
                loss="revoking it and losing this access",
                is_own_seen=is_own_seen,
            )
            found.changes.append(replace(change, is_own=is_own))
    return found


def as_declared(
    params: Mapping[str, Any], api: Client, keys: Sequence[OrgApiKey], check_mode: bool
) -> KeySet:
    """Return what each declared key needs, and the revocation of all others where that is asked."""
    groups = _org_api_keys.by_words(keys)
    pairs = [(key, _match(params["org_id"], groups, key)) for key in declared(params)]
    _check_pairs(params, pairs)
    lists = _read_access_lists(params, api, pairs)
    is_own_seen = any(key.public_key == api.endpoint.public_key for key in keys)
    changes = []
    for key, existing in pairs:
        found = lists.get(existing.id) if existing else None
        change = _changes.declaration(key, existing, found)
        changes.append(_with_own(params, api, change, is_own_seen))
    existing_ids = [existing.id for _key, existing in pairs if existing]
    surplus = KeySet([])
    if params["purge"]:
        others = [key for key in keys if key.id not in set(existing_ids)]
        surplus = _revocations(params, api, keys, others)
    warnings, folder = list(surplus.warnings), params["credentials_dir"]
    if folder:
        if any(change.kind == "created" for change in changes):
            what = f"credentials_dir {shown(folder)}"
            _credentials_file.check_folder(what, folder, check_mode)
        warnings += _credentials_file.folder_warnings(folder, existing_ids)
    return KeySet([*changes, *surplus.changes], kept=surplus.kept, warnings=warnings)


def _match(
    org_id: str, groups: Mapping[tuple[str, ...], Sequence[OrgApiKey]], key: Declared
) -> OrgApiKey | None:
    """Return the existing key with the description; raises AmbiguousError."""
    group = groups.get(_org_api_keys.words_of(key.description), [])
    try:
        return _org_api_keys.pick_by_description(group, org_id, key.description)
    except AmbiguousError as error:
        error.check = (
            "Nothing was changed. A declared key is known by its description: give every key one "
            "of its own, or revoke those that are too many by their ids, with org_api_key."
        )
        raise


def _check_pairs(
    params: Mapping[str, Any], pairs: Sequence[tuple[Declared, OrgApiKey | None]]
) -> None:
    """Refuse declared keys that are to be kept, and new ones without roles."""
    keep = params["keep"] or ()
    kept = [
        key.description
        for key, existing in pairs
        if _selection.keeps_description(keep, key.description)
        or (existing and _selection.is_kept(existing, keep))
    ]
    if kept:
        raise AmbiguousError(
            f"api_keys declares what keep says is not to be touched: {_quoted(kept)}",
            check="Nothing was changed. Leave the key out of one of them.",
        )
    bare = [key.description for key, existing in pairs if existing is None and key.roles is None]
    if bare:
        raise OptionError(
            f"New API keys need roles, and none exists yet with the description {_quoted(bare)}",
            check="Nothing was changed. Set roles for each of them in api_keys.",
        )


def _quoted(descriptions: Sequence[str]) -> str:
    return clean(", ".join(map(repr, descriptions)))


def _read_access_lists(
    params: Mapping[str, Any],
    api: Client,
    pairs: Sequence[tuple[Declared, OrgApiKey | None]],
) -> dict[str, _access_lists.AccessList]:
    """Return the access lists of the existing keys that one is declared for, by the key's id."""
    keys = [existing for key, existing in pairs if existing and key.access_list is not None]
    lists = _workers.each(
        lambda key: _access_lists.read(api, params["org_id"], key),
        keys,
        threads=params["concurrency"],
        goes_on=lambda: not api.stop.reason,
    )
    found = {access_list.key.id: access_list for access_list in lists if access_list}
    if len(found) < len(keys):
        raise StoppedError(
            f"Not all access lists were read, because {api.stop.reason}",
            check="Nothing was changed.",
        )
    return found


def _with_own(params: Mapping[str, Any], api: Client, change: Change, is_own_seen: bool) -> Change:
    if change.key is None or not change.has_losses():
        return change
    is_own = _org_api_keys.check_not_own(
        api,
        change.key,
        allowed=params["allow_own_key"],
        loss="taking roles from it or changing its own access list",
        is_own_seen=is_own_seen,
    )
    return replace(change, is_own=is_own)


def check_limit(params: Mapping[str, Any], changes: Sequence[Change]) -> None:
    """Refuse to revoke more keys than the task allows. Raises TooManyError."""
    doomed = [change.key for change in changes if change.key and change.kind == "revoked"]
    if len(doomed) <= params["max_revocations"]:
        return
    raise TooManyError(
        f"{len(doomed)} API keys of organization {params['org_id']} would be revoked, and "
        f"max_revocations is {params['max_revocations']}: {_org_api_keys.first_names(doomed)}",
        check=(
            "Nothing was changed. Select fewer, or raise max_revocations if all of them are meant; "
            "error.parameters has the ids of all."
        ),
        parameters=[key.id for key in doomed],
    )


def access_list_name(
    params: Mapping[str, Any],
    api: Client,
    keys: Sequence[OrgApiKey],
    changes: Sequence[Change],
) -> str:
    """Return what the API calls the access lists of new keys; old Ops Managers differ."""
    for change in changes:
        if change.found:
            return change.found.name
    is_needed = any(c.kind == "created" and c.plan.after.get("access_list") for c in changes)
    if is_needed and keys and params["platform"] != ATLAS.name:
        return _access_lists.read(api, params["org_id"], keys[0]).name
    return _access_lists.ACCESS_LIST
