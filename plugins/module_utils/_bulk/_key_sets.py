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
    _argspec,
    _secret_file,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk import (
    _changes,
    _selection,
    _workers,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk._changes import (
    Change,
    DesiredKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk._selection import Selection
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    PLATFORMS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    ApiError,
    GuardError,
    OptionError,
    truncate_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _assignments,
    _key_files,
    _org_api_keys,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._key_access_lists import (
    API_KEY_LISTS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._project_api_keys import (
    PROJECT_API_KEYS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import (
    normalize_description,
    quoted,
)

SELECTORS = (
    "api_user_ids",
    "public_keys",
    "descriptions",
    "description_match",
    "roles",
    "project_id",
)


@dataclass(frozen=True)
class PlannedChanges:
    """The changes that a task comes to, and the rest of its result.

    ``missing`` and ``unselected`` are None unless keys are selected.
    """

    changes: list[Change]
    kept: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] | None = None
    unselected: list[dict[str, Any]] | None = None
    warnings: list[str] = field(default_factory=list)

    def more(self) -> dict[str, Any]:
        """Return the part of the result that is not about changes."""
        selected = {"missing": self.missing, "unselected": self.unselected}
        lists = {name: value for name, value in selected.items() if value is not None}
        return {"kept": self.kept, **lists, "warnings": self.warnings}

    def touched(self) -> list[OrgApiKey]:
        """Return the existing keys that the changes would touch."""
        return [change.key for change in self.changes if change.key and change.plan.is_change]


def check_selection(params: Mapping[str, Any]) -> None:
    """Refuse selectors that no key can fit, and none at all. Raises OptionError."""
    if params["api_keys"] is not None or params["purge"]:
        raise OptionError(
            "api_keys or purge is given with state absent",
            hint=f"They go with state present. Keys to be revoked are selected by "
            f"{', '.join(SELECTORS)}.",
        )
    if all(params[name] is None for name in SELECTORS):
        raise OptionError(
            "No key is selected",
            hint=f"Give at least one of {', '.join(SELECTORS)}. For all keys, set "
            'description_match to "*".',
        )
    for name in SELECTORS[:-1]:
        _argspec.check_items(name, params[name] or [])
    for api_user_id in params["api_user_ids"] or ():
        _argspec.check_id("api_user_ids", api_user_id)
    for public_key in params["public_keys"] or ():
        _argspec.check_public_key(public_key, "public_keys")
    if params["project_id"]:
        _argspec.check_id("project_id", params["project_id"])
    _argspec.check_org_role_names(params["roles"] or [])


def check_declaration(params: Mapping[str, Any]) -> None:
    """Refuse declared keys that cannot be. Raises OptionError."""
    given = [name for name in SELECTORS if params[name] is not None]
    if given:
        raise OptionError(
            f"Given with state present: {', '.join(given)}",
            hint="Such options select keys to be revoked: set state to absent, or leave them out.",
        )
    if params["api_keys"] is None:
        raise OptionError(
            "No keys are declared",
            hint="Set api_keys; [] together with purge and max_revocations means an organization "
            "without any.",
        )
    if (
        params["purge"]
        and not params["api_keys"]
        and "max_revocations" not in params["task_options"]
    ):
        raise OptionError(
            "api_keys is an empty list, so purge would revoke every API key of the organization "
            "that keep does not protect",
            hint="Is a variable empty that should list keys? If the organization is to have no "
            "other keys, set max_revocations to the number of keys that may be revoked.",
        )
    keys = declared(params)
    is_strict = params["look_alikes"] == "refuse"
    names = [(key.description, _identity(key.description, is_strict)) for key in keys]
    counts = Counter(identity for _description, identity in names)
    doubles = dict.fromkeys(description for description, name in names if counts[name] > 1)
    if doubles:
        raise OptionError(
            "api_keys has several keys with the same description, or with look-alikes: "
            f"{', '.join(map(quoted, doubles))}",
            hint="Keys are identified by description, so each must be unique. "
            f"{_resource.LOOK_ALIKES}",
        )


def _identity(description: str, is_strict: bool) -> str:
    return normalize_description(description) if is_strict else description


def declared(params: Mapping[str, Any]) -> list[DesiredKey]:
    """Return the keys that a task declares. Raises OptionError."""
    return [_declared(params["platform"], item) for item in params["api_keys"]]


def _declared(platform: str, item: Mapping[str, Any]) -> DesiredKey:
    description = item["description"]
    roles, entries, projects = item["roles"], item["access_list"], item["projects"]
    with _error_context(description):
        _argspec.check_description("description", description)
        if roles is not None:
            _argspec.check_roles(platform, roles)
        for project in projects or ():
            _argspec.check_id("project_id", project["project_id"])
            _argspec.check_project_roles(project["roles"])
        ids = [project["project_id"] for project in projects or ()]
        if len(set(ids)) < len(ids):
            raise OptionError("projects has a project twice", hint="Give all its roles at once.")
        networks = None if entries is None else _access_lists.normalize(entries, "access_list")
    pairs = [(p["project_id"], tuple(sorted(set(p["roles"])))) for p in projects or ()]
    return DesiredKey(
        description=description,
        roles=None if roles is None else tuple(sorted(set(roles))),
        access_list=networks,
        projects=None if projects is None else tuple(sorted(pairs)),
        may_adopt=item["adopt"],
    )


@contextmanager
def _error_context(description: str) -> Iterator[None]:
    """Have an error say which of many keys it is about."""
    try:
        yield
    except OptionError as error:
        error.summary = (
            f"In api_keys, {quoted(description, _argspec.MAX_DESCRIPTION)}: {error.summary}"
        )
        raise


def selected(params: Mapping[str, Any], api: Client, keys: Sequence[OrgApiKey]) -> PlannedChanges:
    """Return the revocation of all selected keys, except for those that are kept."""
    org_id, look_alikes = params["org_id"], params["look_alikes"]
    selection = Selection.of({name: params[name] for name in SELECTORS})
    _selection.check_provable(selection, org_id, keys, look_alikes=look_alikes)
    undescribed = [key for key in keys if selection.would_fit_described(key)]
    to_revoke = [key for key in keys if selection.fits(key)]
    found = _revocations(params, api, keys, to_revoke, undescribed)
    unselected = [
        {**_changes.revocation(key).name(), "reason": "not_selected"}
        for key in sorted(keys, key=lambda key: (key.description, key.id))
        if selection.identifies(key)
        and not selection.fits(key)
        and not _selection.is_kept(key, params["keep"] or ())
    ]
    # A task that names the signing credential's key must not seem to have revoked it.
    own_ids = {key.id for key in keys if selection.identifies(key)}
    own = [item for item in found.kept if item["reason"] == "own_key" and item["id"] in own_ids]
    known = PLATFORMS[params["platform"]].org_roles
    warnings = _selection.pattern_warnings(selection, org_id, keys, look_alikes=look_alikes)
    warnings += [
        f"roles has {quoted(role)}, which {PLATFORMS[params['platform']].title} is not known to "
        "have."
        for role in params["roles"] or ()
        if role not in known
    ]
    return replace(
        found,
        kept=[item for item in found.kept if item not in own],
        missing=selection.missing(keys),
        unselected=[*unselected, *own],
        warnings=[*found.warnings, *warnings],
    )


def _check_all_selected(params: Mapping[str, Any], wanted: PlannedChanges) -> None:
    """Refuse to go on if the task lists keys that it would not revoke. Raises GuardError."""
    if not wanted.unselected or params["on_unselected"] != "fail":
        return
    reasons = {
        "not_selected": "excluded by another selector",
        "own_key": "the key that this task authenticates with",
    }
    listed = ", ".join(
        f"{item['id']} ({item['public_key']}) {quoted(item['description'])}, "
        f"{reasons[item['reason']]}"
        for item in wanted.unselected[: _resource.SHOWN]
    )
    more = len(wanted.unselected) - _resource.SHOWN
    raise GuardError(
        f"The task lists {len(wanted.unselected)} API keys of organization {params['org_id']} that "
        f"it would not revoke: {listed}{f' and {more} more' if more > 0 else ''}",
        hint="Nothing was changed. A key must match every selector that is set, and the task's "
        "own key needs allow_own_key. Correct the selectors, add the keys to keep, or set "
        "on_unselected to report.",
        parameters=[item["id"] for item in wanted.unselected],
    )


def _revocations(
    params: Mapping[str, Any],
    api: Client,
    keys: Sequence[OrgApiKey],
    to_revoke: Sequence[OrgApiKey],
    undescribed: Sequence[OrgApiKey],
) -> PlannedChanges:
    """Return the revocation of keys, except for those that are kept.

    ``undescribed``: keys that would be revoked too if they had a description.
    """
    own, keep = api.endpoint.public_key, params["keep"] or ()
    is_own_seen = any(key.public_key == own for key in keys)
    found = PlannedChanges([])
    left_alone = []
    for key in sorted([*to_revoke, *undescribed], key=lambda key: (key.description, key.id)):
        change = _changes.revocation(key)
        if _selection.is_kept(key, keep):
            found.kept.append({**change.name(), "reason": "keep"})
        elif key in undescribed:
            found.kept.append({**change.name(), "reason": "no_description"})
            left_alone.append(key)
        elif own and key.public_key == own and not params["allow_own_key"]:
            found.kept.append({**change.name(), "reason": "own_key"})
            if params["state"] == "absent":
                found.warnings.append(
                    f"API key {key} was selected too, but it is the key that this task "
                    "authenticates with, so it was not revoked. Use another credential of the "
                    "organization, or set allow_own_key to true."
                )
        else:
            is_own = _resource.check_not_own(
                api,
                API_KEYS,
                key,
                allowed=params["allow_own_key"],
                loss="revoking it and losing this access",
                is_own_seen=is_own_seen,
            )
            found.changes.append(replace(change, is_own=is_own))
    found.warnings.extend(_selection.no_description_warnings(params["org_id"], left_alone))
    return found


def as_declared(
    params: Mapping[str, Any], api: Client, keys: Sequence[OrgApiKey], check_mode: bool
) -> PlannedChanges:
    """Return what each declared key needs, and the revocation of all others where that is asked."""
    groups = _resource.by_normalized(keys, API_KEYS)
    pairs = [(key, _match(params, groups, key)) for key in declared(params)]
    _check_pairs(params, pairs)
    lists = _read_access_lists(params, api, pairs)
    is_own_seen = any(key.public_key == api.endpoint.public_key for key in keys)
    changes = []
    for key, existing in pairs:
        found = lists.get(existing.id) if existing else None
        change = _changes.declaration(key, existing, found)
        changes.append(_with_own(params, api, change, is_own_seen))
    missing: list[str] = []
    if check_mode:
        missing = _missing_projects(api, changes)
        changes = [
            _changes.keeping_projects(change, missing) if change.leaves() else change
            for change in changes
        ]
    known = [existing for _key, existing in pairs if existing]
    surplus = PlannedChanges([])
    if params["purge"]:
        known_ids = {key.id for key in known}
        others = [key for key in keys if key.id not in known_ids]
        surplus = _revocations(
            params,
            api,
            keys,
            to_revoke=[key for key in others if key.description],
            undescribed=[key for key in others if not key.description],
        )
    _check_not_replaced(params, changes, surplus.changes)
    warnings = [*surplus.warnings, *_adoption_warnings(params, changes)]
    warnings += [_assignments.missing_project_warning(API_KEYS, name) for name in missing]
    folder = params["credentials_dir"]
    if folder:
        if any(change.kind == "created" for change in changes):
            what = f"credentials_dir {truncate_path(folder)}"
            _secret_file.check_directory(what, folder, check_mode=check_mode)
        warnings += _key_files.directory_warnings(folder, known, params["org_id"])
    return PlannedChanges([*changes, *surplus.changes], kept=surplus.kept, warnings=warnings)


def _missing_projects(api: Client, changes: Sequence[Change]) -> list[str]:
    """Return the projects that keys are to be removed from and that do not exist.

    Only a request to such a project tells, so check mode has to ask what a run for real is told.
    """
    missing = []
    for project_id in sorted(set[str]().union(*(change.leaves() for change in changes))):
        try:
            _assignments.list_all(api, PROJECT_API_KEYS, project_id)
        except ApiError as error:
            # Whatever else is wrong is for the run for real to report.
            if _assignments.is_project_missing(error, project_id):
                missing.append(project_id)
    return missing


def _match(
    params: Mapping[str, Any], groups: Mapping[str, Sequence[OrgApiKey]], key: DesiredKey
) -> OrgApiKey | None:
    """Return the existing key with the description; raises AmbiguousError."""
    group = groups.get(normalize_description(key.description), [])
    try:
        return _resource.pick_by_text(
            group, API_KEYS.of(params["org_id"]), key.description, look_alikes=params["look_alikes"]
        )
    except AmbiguousError as error:
        error.hint = (
            "Nothing was changed. Declared keys are identified by description. "
            f"{_resource.LOOK_ALIKES} Declare the exact description, give every key its own "
            "with new_description of org_api_key, or set look_alikes to ignore if only look-alikes "
            "are in the way."
        )
        raise


def _check_not_replaced(
    params: Mapping[str, Any], changes: Sequence[Change], revocations: Sequence[Change]
) -> None:
    """Refuse to create a key and revoke its look-alike in one task. Raises AmbiguousError.

    It would take the rights from a key in use because of a slip in its description. So this holds
    whatever ``look_alikes`` says.
    """
    created = {
        normalize_description(change.description): change.description
        for change in changes
        if change.kind == "created"
    }
    for change in revocations:
        declared_as = created.get(normalize_description(change.description))
        if declared_as is not None and change.key:
            raise AmbiguousError(
                f"purge would revoke API key {change.key} {quoted(change.description)} of "
                f"organization {params['org_id']}, and a new key would be created with the "
                f"look-alike {quoted(declared_as)}",
                hint=f"Nothing was changed. {_resource.LOOK_ALIKES} Declare the exact "
                "description, or rename or revoke the old key first, by its ID.",
            )


def _adoption_warnings(params: Mapping[str, Any], changes: Sequence[Change]) -> list[str]:
    """Refuse to add rights to keys whose key pair this task's user does not hold.

    Anyone who may create keys in a project can give one a declared description. Raises GuardError;
    without ``credentials_dir``, returns a warning for each key that becomes an owner.
    """
    folder, org_id = params["credentials_dir"], params["org_id"]
    adopting = [
        (change.key, change.gains())
        for change in changes
        if change.key and change.declared and not change.declared.may_adopt and change.gains()
    ]
    if not folder:
        return [
            _org_api_keys.owner_warning(key, gains)
            for key, gains in adopting
            if _org_api_keys.is_owner(gains)
        ]
    strange = [key for key, _gains in adopting if not _key_files.is_in(folder, key, org_id)]
    if strange:
        raise GuardError(
            f"credentials_dir {truncate_path(folder)} holds no key pair for these API keys, and their "
            f"rights would be extended: {_resource.described(strange, API_KEYS)}",
            hint=_org_api_keys.ADOPTION_ADVICE,
            parameters=[key.id for key in strange],
        )
    return []


def _check_pairs(
    params: Mapping[str, Any], pairs: Sequence[tuple[DesiredKey, OrgApiKey | None]]
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
            hint="Nothing was changed. Leave the key out of one of them.",
        )
    bare = [key.description for key, existing in pairs if existing is None and key.roles is None]
    if bare:
        raise OptionError(
            f"New API keys need roles, and none exists yet with the description {_quoted(bare)}",
            hint="Nothing was changed. Set roles for each of them in api_keys.",
        )


def _quoted(descriptions: Sequence[str]) -> str:
    return ", ".join(map(quoted, descriptions))


def _read_access_lists(
    params: Mapping[str, Any],
    api: Client,
    pairs: Sequence[tuple[DesiredKey, OrgApiKey | None]],
) -> dict[str, _access_lists.AccessList[OrgApiKey]]:
    """Return the access lists of the existing keys that one is declared for, by the key's id."""
    keys = [existing for key, existing in pairs if existing and key.access_list is not None]
    lists = _workers.each(
        lambda key: _access_lists.read(api, API_KEY_LISTS, params["org_id"], key),
        keys,
        threads=params["concurrency"],
        should_continue=lambda: not api.cancellation.reason,
    )
    found = {access_list.owner.id: access_list for access_list in lists if access_list}
    if len(found) < len(keys):
        error = api.cancellation.error()
        error.summary = f"Not all access lists were read, because {api.cancellation.reason}"
        error.hint = "Nothing was changed."
        raise error
    return found


def _with_own(params: Mapping[str, Any], api: Client, change: Change, is_own_seen: bool) -> Change:
    if change.key is None or not change.has_losses():
        return change
    is_own = _resource.check_not_own(
        api,
        API_KEYS,
        change.key,
        allowed=params["allow_own_key"],
        loss="taking roles from it or changing its own access list",
        is_own_seen=is_own_seen,
    )
    return replace(change, is_own=is_own)


def check_guards(
    params: Mapping[str, Any], keys: Sequence[OrgApiKey], wanted: PlannedChanges
) -> list[str]:
    """Hold the changes against all guards of the task, and return their warnings.

    Raises GuardError, and AmbiguousError if ``keep`` or the API is not clear.
    """
    org_id, keep = params["org_id"], params["keep"] or ()
    _check_all_selected(params, wanted)
    if params["look_alikes"] == "refuse":
        _selection.check_kept_exactly(keep, org_id, keys, wanted.touched())
    revoked = [change.key for change in wanted.changes if change.key and change.kind == "revoked"]
    warnings = _selection.check_keep(
        keep, org_id, keys, revoked, on_missing=params["on_keep_missing"]
    )
    _check_limit(params, revoked)
    return warnings


def warn_of_dangers(
    params: Mapping[str, Any], api: Client, keys: Sequence[OrgApiKey], wanted: PlannedChanges
) -> None:
    """Warn of access lists that are opened, of the last owner, and of private keys in clear."""
    changes = [change for change in wanted.changes if change.plan.is_change]
    for change in changes:
        if change.declared and change.declared.access_list is not None:
            which = str(change.key or quoted(change.description))
            before = change.found.now if change.found else None
            after = change.declared.access_list
            _access_lists.warn_of_opening(api, API_KEYS, which, before, after)
    if any(change.kind == "created" for change in changes):
        _org_api_keys.warn_of_new_private_key(api)
    owner_ids = {key.id for key in keys if "ORG_OWNER" in key.roles}
    if any(_is_owner(change.plan.after) for change in changes):
        return
    losers = {change.key.id for change in changes if change.key}
    _org_api_keys.warn_of_last_owner(
        api, params["org_id"], [key for key in keys if key.id in losers], owner_ids - losers
    )


def _is_owner(writable: Mapping[str, Any]) -> bool:
    return "ORG_OWNER" in writable.get("roles", ())


def _check_limit(params: Mapping[str, Any], revoked: Sequence[OrgApiKey]) -> None:
    """Refuse to revoke more keys than the task allows. Raises GuardError."""
    if len(revoked) <= params["max_revocations"]:
        return
    raise GuardError(
        f"{len(revoked)} API keys of organization {params['org_id']} would be revoked, and "
        f"max_revocations is {params['max_revocations']}: {_resource.summarize(revoked)}",
        hint=(
            "Nothing was changed. Select fewer keys, or raise max_revocations if all of them are "
            "meant; error.parameters has all IDs."
        ),
        parameters=[key.id for key in revoked],
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
    if any(c.kind == "created" and c.plan.after.get("access_list") for c in changes):
        return _access_lists.name_for_new(api, API_KEY_LISTS, params["org_id"], keys)
    return API_KEY_LISTS.name
