# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the options of a task and the full list of keys into the change that each key needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

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
    _adoption,
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


class SkippedKey(NamedTuple):
    """A key that the task does not change, and the reason."""

    key: OrgApiKey
    reason: str

    def result(self) -> dict[str, Any]:
        return {
            **_org_api_keys.identity(self.key),
            "description": self.key.description,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class PlannedChanges:
    """The changes that a task makes, and the keys that it leaves unchanged.

    ``missing`` and ``unselected`` are None unless keys are selected.
    """

    changes: list[Change]
    kept: list[SkippedKey] = field(default_factory=list)
    missing: list[str] | None = None
    unselected: list[SkippedKey] | None = None
    warnings: list[str] = field(default_factory=list)

    def extra_results(self) -> dict[str, Any]:
        """Return the part of the result that is not about changes."""
        results: dict[str, Any] = {"kept": [left.result() for left in self.kept]}
        if self.missing is not None:
            results["missing"] = self.missing
        if self.unselected is not None:
            results["unselected"] = [left.result() for left in self.unselected]
        return {**results, "warnings": self.warnings}

    def existing(self, *kinds: str) -> list[OrgApiKey]:
        """Return the existing keys with changes of these kinds."""
        return [change.key for change in self.changes if change.key and change.kind in kinds]


def check_selection(params: Mapping[str, Any]) -> None:
    """Refuse invalid selectors, and a task without any. Raises OptionError."""
    if params["api_keys"] is not None or params["purge"]:
        raise OptionError(
            "api_keys or purge is set with state absent",
            hint=f"They need state present. To select keys to revoke, use {', '.join(SELECTORS)}.",
        )
    if all(params[name] is None for name in SELECTORS):
        raise OptionError(
            "No key is selected",
            hint=f"Set at least one of {', '.join(SELECTORS)}. For all keys, set "
            'description_match to "*".',
        )
    for name in SELECTORS[:-1]:
        _argspec.check_items(name, params[name] or [])
    for api_user_id in params["api_user_ids"] or ():
        _argspec.check_id("api_user_ids", api_user_id)
    for public_key in params["public_keys"] or ():
        _argspec.check_public_key(public_key, "public_keys")
    _argspec.check_org_role_names(params["roles"] or [])


def check_declaration(params: Mapping[str, Any]) -> None:
    """Refuse invalid declared keys. Raises OptionError."""
    selectors = [name for name in SELECTORS if params[name] is not None]
    if selectors:
        raise OptionError(
            f"Set with state present: {', '.join(selectors)}",
            hint="These options select keys to revoke: set state to absent, or remove them.",
        )
    if params["api_keys"] is None:
        raise OptionError(
            "No keys are declared",
            hint="Set api_keys. For an organization without keys, set it to [] together with "
            "purge and max_revocations.",
        )
    if (
        params["purge"]
        and not params["api_keys"]
        and "max_revocations" not in params["task_options"]
    ):
        raise OptionError(
            "api_keys is an empty list, so purge would revoke every API key of the organization "
            "that keep does not protect",
            hint="Check whether a variable that should list keys is empty. To revoke these keys, "
            "set max_revocations to the number of keys that may be revoked.",
        )
    normalize = normalize_description if params["look_alikes"] == "refuse" else str
    descriptions = [key.description for key in declared(params)]
    counts = Counter(map(normalize, descriptions))
    duplicates = dict.fromkeys(text for text in descriptions if counts[normalize(text)] > 1)
    if duplicates:
        raise OptionError(
            "api_keys has several keys with the same description, or with look-alikes: "
            f"{', '.join(map(quoted, duplicates))}",
            hint="Keys are identified by description, so each must be unique. "
            f"{_resource.LOOK_ALIKES}",
        )


def declared(params: Mapping[str, Any]) -> list[DesiredKey]:
    """Return the keys that a task declares. Raises OptionError."""
    keys = []
    for item in params["api_keys"]:
        try:
            keys.append(_declared(params["platform"], item))
        except OptionError as error:
            shown = quoted(item["description"])
            summary = f"In api_keys, {shown}: {error.summary}"
            raise error.with_context(summary=summary) from None
    return keys


def _declared(platform: str, item: Mapping[str, Any]) -> DesiredKey:
    roles, entries, projects = item["roles"], item["access_list"], item["projects"]
    _argspec.check_description("description", item["description"])
    if roles is not None:
        _argspec.check_roles(platform, roles)
    for project in projects or ():
        _argspec.check_id("project_id", project["project_id"])
        _argspec.check_project_roles(project["roles"])
    pairs = {p["project_id"]: tuple(sorted(set(p["roles"]))) for p in projects or ()}
    if len(pairs) < len(projects or ()):
        raise OptionError("projects lists a project twice", hint="List all its roles together.")
    return DesiredKey(
        description=item["description"],
        roles=None if roles is None else tuple(sorted(set(roles))),
        access_list=None if entries is None else _access_lists.normalize(entries, "access_list"),
        projects=None if projects is None else tuple(sorted(pairs.items())),
        may_adopt=item["adopt"],
    )


def selected(params: Mapping[str, Any], api: Client, keys: Sequence[OrgApiKey]) -> PlannedChanges:
    """Plan to revoke all selected keys except those that are kept."""
    org_id, look_alikes = params["org_id"], params["look_alikes"]
    platform = PLATFORMS[params["platform"]]
    selection = Selection.of({name: params[name] for name in SELECTORS})
    _selection.check_provable(selection, org_id, keys, look_alikes=look_alikes)
    found = _revocations(
        params,
        api,
        keys,
        to_revoke=[key for key in keys if selection.fits(key)],
        undescribed=[key for key in keys if selection.would_fit_described(key)],
    )
    unselected = [
        SkippedKey(key, "not_selected")
        for key in _in_order(keys)
        if selection.identifies(key)
        and not selection.fits(key)
        and not _selection.is_kept(key, params["keep"] or ())
    ]
    # A task that identifies the signing credential must not seem to have revoked it.
    own = [
        left for left in found.kept if left.reason == "own_key" and selection.identifies(left.key)
    ]
    warnings = _selection.pattern_warnings(selection, org_id, keys, look_alikes=look_alikes)
    warnings += [
        f"roles has {quoted(role)}, which is not a known role of {platform.title}."
        for role in params["roles"] or ()
        if role not in platform.org_roles
    ]
    return replace(
        found,
        kept=[left for left in found.kept if left not in own],
        missing=selection.missing(keys),
        unselected=[*unselected, *own],
        warnings=[*found.warnings, *warnings],
    )


def _in_order(keys: Iterable[OrgApiKey]) -> list[OrgApiKey]:
    return sorted(keys, key=lambda key: (key.description, key.id))


def _check_all_selected(params: Mapping[str, Any], wanted: PlannedChanges) -> None:
    """Refuse to continue if the task lists keys that it would not revoke. Raises GuardError."""
    if not wanted.unselected or params["on_unselected"] != "fail":
        return
    listed = [left.key for left in wanted.unselected]
    raise GuardError(
        f"The task lists {len(listed)} API keys of organization {params['org_id']} that it would "
        f"not revoke: {_resource.described(listed, API_KEYS)}",
        hint="Nothing was changed. A key must match every selector that is set, and the task's "
        "own key needs allow_own_key: the result unselected has the reasons. Correct the "
        "selectors, add the keys to keep, or set on_unselected to report.",
        parameters=[key.id for key in listed],
    )


def _revocations(
    params: Mapping[str, Any],
    api: Client,
    keys: Sequence[OrgApiKey],
    to_revoke: Sequence[OrgApiKey],
    undescribed: Sequence[OrgApiKey],
) -> PlannedChanges:
    """Plan to revoke keys except those that are kept.

    ``undescribed``: keys that would be revoked too if they had a description.
    """
    own, keep = api.endpoint.public_key, params["keep"] or ()
    found = PlannedChanges([])
    for key in _in_order([*to_revoke, *undescribed]):
        if _selection.is_kept(key, keep):
            found.kept.append(SkippedKey(key, "keep"))
        elif key in undescribed:
            found.kept.append(SkippedKey(key, "no_description"))
        elif own and key.public_key == own and not params["allow_own_key"]:
            found.kept.append(SkippedKey(key, "own_key"))
            if params["state"] == "absent":
                found.warnings.append(
                    f"API key {key} was selected too, but it is the key that this task "
                    "authenticates with, so it was not revoked. Use another credential of the "
                    "organization, or set allow_own_key to true."
                )
        else:
            loss = "revoking it and losing this access"
            change = _changes.revocation(key)
            found.changes.append(_with_own(params, api, keys, change, loss))
    left_alone = [key for key, reason in found.kept if reason == "no_description"]
    found.warnings.extend(_selection.no_description_warnings(params["org_id"], left_alone))
    return found


def as_declared(
    params: Mapping[str, Any], api: Client, keys: Sequence[OrgApiKey], check_mode: bool
) -> PlannedChanges:
    """Plan the change to each declared key and, with ``purge``, the revocation of all others."""
    groups = _resource.by_normalized(keys, API_KEYS)
    pairs = [(key, _match(params, groups, key)) for key in declared(params)]
    _check_pairs(params, pairs)
    lists = _read_access_lists(params, api, pairs)
    loss = "taking roles from it or changing its own access list"
    changes = []
    for key, existing in pairs:
        found = lists.get(existing.id) if existing else None
        change = _changes.declaration(key, existing, found)
        is_harmless = existing is None or not change.has_losses()
        changes.append(change if is_harmless else _with_own(params, api, keys, change, loss))
    missing: list[str] = []
    if check_mode:
        missing = _missing_projects(api, changes)
        changes = [_without_removals(change, missing) for change in changes]
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
    directory = params["credentials_dir"]
    if directory:
        if any(change.kind == "created" for change in changes):
            what = f"credentials_dir {truncate_path(directory)}"
            _secret_file.check_directory(what, directory, check_mode=check_mode)
        warnings += _key_files.directory_warnings(directory, known, params["org_id"])
    return PlannedChanges([*changes, *surplus.changes], kept=surplus.kept, warnings=warnings)


def _without_removals(change: Change, project_ids: Sequence[str]) -> Change:
    """Return a change that leaves its key in these projects, which no longer exist."""
    target = change.target
    for project_id in change.lost_projects() & {*project_ids}:
        if change.key and target:
            roles = dict(change.key.projects)[project_id]
            target = _org_api_keys.with_project(target, project_id, roles)
    return replace(change, target=target)


def _missing_projects(api: Client, changes: Sequence[Change]) -> list[str]:
    """Return the projects that keys would be removed from and that no longer exist.

    Only a request to a project shows that it is missing, so check mode sends one too.
    """
    missing = []
    for project_id in sorted(set[str]().union(*(change.lost_projects() for change in changes))):
        try:
            _assignments.list_all(api, PROJECT_API_KEYS, project_id)
        except ApiError as error:
            # A real run reports all other errors.
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
        raise error.with_context(
            hint="Nothing was changed. Declared keys are identified by description. "
            f"{_resource.LOOK_ALIKES} Declare the exact description, give every key its own "
            "with new_description of org_api_key, or set look_alikes to ignore if only look-alikes "
            "are in the way."
        ) from None


def _check_not_replaced(
    params: Mapping[str, Any], changes: Sequence[Change], revocations: Sequence[Change]
) -> None:
    """Refuse to create a key and revoke its look-alike in one task. Raises AmbiguousError.

    A typo in a description would otherwise revoke a key in use, so ``look_alikes`` does not
    turn this off.
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
    """Refuse to add roles to keys whose key pair is not in ``credentials_dir``.

    Anyone who may create keys in a project can give a key a declared description. Raises
    GuardError; without ``credentials_dir``, returns a warning for each key that becomes an owner.
    """
    directory, org_id = params["credentials_dir"], params["org_id"]
    adopting = [
        (change.key, change.gains())
        for change in changes
        if change.key and change.declared and not change.declared.may_adopt and change.gains()
    ]
    if not directory:
        return [
            warning
            for key, gains in adopting
            for warning in _adoption.owner_warnings(API_KEYS, key, gains)
        ]
    unknown = [key for key, _gains in adopting if not _key_files.is_in(directory, key, org_id)]
    if unknown:
        raise GuardError(
            f"credentials_dir {truncate_path(directory)} does not hold the key pairs of these API "
            f"keys, and they would gain roles: {_resource.described(unknown, API_KEYS)}",
            hint=_adoption.advice(API_KEYS),
            parameters=[key.id for key in unknown],
        )
    return []


def _check_pairs(
    params: Mapping[str, Any], pairs: Sequence[tuple[DesiredKey, OrgApiKey | None]]
) -> None:
    """Refuse declared keys that ``keep`` protects, and new keys without roles."""
    keep = params["keep"] or ()
    kept = [
        key.description
        for key, existing in pairs
        if _selection.keeps_description(keep, key.description)
        or (existing and _selection.is_kept(existing, keep))
    ]
    if kept:
        raise AmbiguousError(
            f"In both api_keys and keep: {', '.join(map(quoted, kept))}",
            hint="Nothing was changed. Remove each key from one of them.",
        )
    missing_roles = [key.description for key, found in pairs if found is None and key.roles is None]
    if missing_roles:
        raise OptionError(
            "These API keys do not exist, and new keys need roles: "
            f"{', '.join(map(quoted, missing_roles))}",
            hint="Nothing was changed. Set roles for each of them in api_keys.",
        )


def _read_access_lists(
    params: Mapping[str, Any],
    api: Client,
    pairs: Sequence[tuple[DesiredKey, OrgApiKey | None]],
) -> dict[str, _access_lists.AccessList[OrgApiKey]]:
    """Return the access lists of existing keys with a declared access list, by key ID."""
    keys = [existing for key, existing in pairs if existing and key.access_list is not None]
    lists = _workers.map_concurrent(
        lambda key: _access_lists.read(api, API_KEY_LISTS, params["org_id"], key),
        keys,
        threads=params["concurrency"],
        should_continue=lambda: not api.cancellation.reason,
    )
    found = {access_list.owner.id: access_list for access_list in lists if access_list}
    if len(found) < len(keys):
        summary = f"Not all access lists were read, because {api.cancellation.reason}"
        raise api.cancellation.error().with_context(summary=summary, hint="Nothing was changed.")
    return found


def _with_own(
    params: Mapping[str, Any], api: Client, keys: Sequence[OrgApiKey], change: Change, loss: str
) -> Change:
    """Return the change of an existing key with ``is_own``. Raises OwnKeyError unless allowed."""
    is_own = _resource.check_not_own(
        api,
        API_KEYS,
        cast("OrgApiKey", change.key),
        params,
        loss=loss,
        is_own_seen=any(key.public_key == api.endpoint.public_key for key in keys),
    )
    return replace(change, is_own=is_own)


def check_guards(
    params: Mapping[str, Any], keys: Sequence[OrgApiKey], wanted: PlannedChanges
) -> list[str]:
    """Check the guards of the task and return their warnings.

    Raises GuardError, or AmbiguousError if it is unclear which keys ``keep`` protects.
    """
    org_id, keep = params["org_id"], params["keep"] or ()
    _check_all_selected(params, wanted)
    if params["look_alikes"] == "refuse":
        _selection.check_kept_exactly(keep, org_id, keys, wanted.existing("revoked", "updated"))
    revoked = wanted.existing("revoked")
    warnings = _selection.check_keep(
        keep, org_id, keys, revoked, on_missing=params["on_keep_missing"]
    )
    if len(revoked) > params["max_revocations"]:
        raise GuardError(
            f"{len(revoked)} API keys of organization {org_id} would be revoked, and "
            f"max_revocations is {params['max_revocations']}: {_resource.summarize(revoked)}",
            hint="Nothing was changed. Select fewer keys, or increase max_revocations if you want "
            "to revoke all of them; error.parameters lists all IDs.",
            parameters=[key.id for key in revoked],
        )
    return warnings


def warn_of_dangers(
    params: Mapping[str, Any], api: Client, keys: Sequence[OrgApiKey], wanted: PlannedChanges
) -> None:
    """Warn about opened access lists, the last owner, and private keys sent without TLS."""
    changes = [change for change in wanted.changes if change.is_change]
    for change in changes:
        if change.new_access_list is not None:
            which = str(change.key or quoted(change.description))
            _access_lists.warn_of_opening(
                api, API_KEYS, which, change.access_list, change.new_access_list
            )
    if any(change.kind == "created" for change in changes):
        _org_api_keys.warn_of_new_private_key(api)
    if any(change.target and "ORG_OWNER" in change.target.roles for change in changes):
        return
    changed = [change.key for change in changes if change.key]
    owner_ids = {key.id for key in keys if "ORG_OWNER" in key.roles}
    _org_api_keys.warn_of_last_owner(
        api, params["org_id"], changed, owner_ids - {key.id for key in changed}
    )


def access_list_name(
    params: Mapping[str, Any],
    api: Client,
    keys: Sequence[OrgApiKey],
    changes: Sequence[Change],
) -> str:
    """Return the path segment of the access lists of new keys, which differs on old Ops Manager."""
    for change in changes:
        if change.found:
            return change.found.name
    if any(change.kind == "created" and change.new_access_list for change in changes):
        return _access_lists.name_for_new(api, API_KEY_LISTS, params["org_id"], keys)
    return API_KEY_LISTS.name
