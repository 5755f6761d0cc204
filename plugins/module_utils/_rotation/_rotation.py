# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the state of a rotation and plan its next steps. Pure: no I/O, no Ansible.

Plans depend on marks that verify, IDs and rights, never on text alone. Anyone who may rename a key
can restore an earlier mark of it, so a phase never allows more than the key's rights confirm:

- A replacement gets its last rights together with the mark ``issued``. A key that lacks them was
  never handed over, whatever its mark says, and only such a key is revoked automatically. Project
  owners can take rights in their projects from a key, so only roles in the organization count.
- ``verified`` is written once, so restoring it cannot change the end of the grace period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ansible_collections.keysmith.mongodb.plugins.module_utils._argspec import MAX_DESCRIPTION
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    GuardError,
    KeysmithError,
    MissingError,
    OptionError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _org_api_keys,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import _marks
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation._marks import (
    CREATED,
    CREATING,
    ISSUED,
    VERIFIED,
    Mark,
    RawMark,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted

# The role that the APIs add to keys.
MEMBER = "ORG_MEMBER"
# The longest time in seconds from the mark of a POST to the creation of its key.
CREATION_TIME = 600
# The mark of a POST is backdated by this many seconds, because the API's clock may be slow.
CLOCK_TOLERANCE = 60
LONGEST_BASE = MAX_DESCRIPTION - _marks.LENGTH

# The actions of a rotation, as results name them.
REVOKE_LEFTOVER = "revoke_leftover"
CREATE_REPLACEMENT = "create_replacement"
VERIFY_PAIR = "verify_key_pair"
RECORD_VERIFICATION = "record_verification"
REVOKE_OLD = "revoke_old_key"
RENAME = "rename_replacement"
REVOKE_REPLACEMENT = "revoke_replacement"


@dataclass(frozen=True)
class Marked:
    """A key that looks like a replacement. ``mark`` is None unless it verifies."""

    key: OrgApiKey
    raw: RawMark
    mark: Mark | None = None
    made_with: bytes = field(default=b"", repr=False)

    @property
    def phase(self) -> str:
        """Return the phase of a mark that verifies, "" without one."""
        return self.mark.phase if self.mark else ""


@dataclass(frozen=True)
class Target:
    """How a task identifies the old key: by one of the first three fields."""

    api_user_id: str | None = None
    public_key: str | None = None
    description: str | None = None
    look_alikes: str = "refuse"

    def __str__(self) -> str:
        if self.description is not None:
            return f"description {quoted(self.description)}"
        if self.public_key is not None:
            return f"public key {self.public_key}"
        return f"ID {self.api_user_id}"


@dataclass(frozen=True)
class State:
    """The state of a rotation.

    ``old_id`` is None if the ID of the old key is unknown, ``old`` if the key does not exist.
    ``ours`` are replacements of this old key whose marks verify. ``unverified`` look like its
    replacements. ``stale`` are replacements, by verified marks, of other keys with this description
    that no longer exist. ``old_marked`` is the old key if it looks like a replacement itself.
    ``entries`` is the old key's access list if it was read. ``now`` is the time of the list of
    keys.
    """

    org_id: str
    target: Target
    keys: tuple[OrgApiKey, ...]
    old_id: str | None
    old: OrgApiKey | None
    now: int
    ours: tuple[Marked, ...] = ()
    unverified: tuple[Marked, ...] = ()
    stale: tuple[Marked, ...] = ()
    old_marked: Marked | None = None
    entries: _access_lists.Networks | None = None

    def of_phase(self, *phases: str) -> list[Marked]:
        return [found for found in self.ours if found.phase in phases]

    def find(self, key_id: str) -> OrgApiKey | None:
        return next((key for key in self.keys if key.id == key_id), None)


class Step(NamedTuple):
    """An action and its key; for CREATE_REPLACEMENT, the old key."""

    action: str
    key: OrgApiKey


@dataclass(frozen=True)
class Plan:
    """The steps to take, and the state of the rotation after them.

    ``new`` is the replacement if it exists, and ``base`` the description that it finally gets.
    ``deadline`` is the end of the grace period if it is set. ``left`` are other keys that look like
    replacements, with the reason why they are kept.
    """

    steps: tuple[Step, ...]
    state: str
    left: tuple[tuple[OrgApiKey, str], ...]
    new: OrgApiKey | None = None
    deadline: int | None = None
    base: str = ""

    def includes(self, *actions: str) -> bool:
        return any(step.action in actions for step in self.steps)

    def actions(self) -> list[dict[str, Any]]:
        """Return the steps for results."""
        return [
            {"action": action, "api_user_id": None if action == CREATE_REPLACEMENT else key.id}
            for action, key in self.steps
        ]

    def warnings(self) -> list[str]:
        return [
            f"API key {key} {quoted(key.description)} was not revoked, because {_REASONS[reason]}. "
            "If it is not needed, revoke it by its ID."
            for key, reason in self.left
        ]


def survey(
    keys: Sequence[OrgApiKey], org_id: str, target: Target, mark_keys: Sequence[bytes], now: int
) -> State:
    """Find the old key and all keys that look like its replacements.

    ``mark_keys``: the keys that may have made marks of this rotation. Raises AmbiguousError if
    several keys may be the old key.
    """
    marked = [found for key in keys if (found := _marked(key, org_id, mark_keys))]
    old_id, old = _identify(keys, org_id, target, marked)
    existing_ids = {key.id for key in keys}
    base = target.description if old is None else old.description
    # The public key of a missing key does not reveal its ID, so any replacement may be right.
    is_any_base = old is None and target.public_key is not None

    def concerns(found: Marked) -> bool:
        is_named = target.description is not None and found.raw.base == target.description
        return found.raw.old_id == old_id or is_named

    return State(
        org_id,
        target,
        tuple(keys),
        old_id,
        old,
        now,
        ours=tuple(f for f in marked if f.mark and f.mark.old_id == old_id),
        unverified=tuple(f for f in marked if not f.mark and concerns(f) and f.key.id != old_id),
        stale=tuple(
            f
            for f in marked
            if f.mark
            and f.mark.old_id not in {old_id, *existing_ids}
            and (is_any_base or f.mark.base == base)
        ),
        old_marked=next((f for f in marked if f.key.id == old_id), None),
    )


def _marked(key: OrgApiKey, org_id: str, mark_keys: Sequence[bytes]) -> Marked | None:
    raw = _marks.read(key.description)
    if raw is None:
        return None
    for mark_key in mark_keys:
        mark = _marks.verify(raw, mark_key, org_id, key.id)
        # A mark that was copied to the old key itself does not count.
        if mark and mark.old_id != key.id:
            return Marked(key, raw, mark, mark_key)
    return Marked(key, raw)


def _identify(
    keys: Sequence[OrgApiKey], org_id: str, target: Target, marked: Sequence[Marked]
) -> tuple[str | None, OrgApiKey | None]:
    """Return the ID of the old key, if it is known, and the key, if it exists."""
    if target.api_user_id is not None:
        return target.api_user_id, next((k for k in keys if k.id == target.api_user_id), None)
    if target.public_key is not None:
        found = next((key for key in keys if key.public_key == target.public_key), None)
        if not found:
            _org_api_keys.check_hidden_public_keys(
                org_id, keys, [target.public_key], "Identify the old key with api_user_id."
            )
        return (found.id, found) if found else (None, None)
    return _identify_by_description(keys, org_id, target, marked)


def _identify_by_description(
    keys: Sequence[OrgApiKey], org_id: str, target: Target, marked: Sequence[Marked]
) -> tuple[str | None, OrgApiKey | None]:
    """Return the old key by the marks that verify, or by its description if there are none.

    The old key may have been renamed, and another key may have been given its description.
    """
    description = str(target.description)
    replacements = [(f.key, f.mark) for f in marked if f.mark and f.mark.base == description]
    old_ids = {mark.old_id for _key, mark in replacements}
    if not old_ids:
        key = _resource.pick_by_text(
            keys, API_KEYS.of(org_id), description, look_alikes=target.look_alikes
        )
        return (key.id, key) if key else (None, None)
    exact = [key for key in keys if key.description == description]
    existing = {key.id: key for key in keys if key.id in old_ids}
    if len(exact) > 1:
        raise _ambiguous(org_id, target, exact)
    if exact:
        # A replacement of another key is ambiguous if that key exists, or if the replacement is
        # verified and so gets this description next.
        waiting = [
            key
            for key, mark in replacements
            if mark.old_id != exact[0].id and (mark.phase == VERIFIED or mark.old_id in existing)
        ]
        if waiting:
            raise _ambiguous(org_id, target, [*exact, *waiting])
        return exact[0].id, exact[0]
    if len(old_ids) > 1:
        raise _ambiguous(org_id, target, [key for key, _mark in replacements])
    (old_id,) = old_ids
    return old_id, existing.get(old_id)


def _ambiguous(org_id: str, target: Target, keys: Sequence[OrgApiKey]) -> AmbiguousError:
    return AmbiguousError(
        f"The {target} does not identify one API key of organization {org_id}: "
        f"{_resource.described(keys, API_KEYS)}",
        hint="Nothing was changed. Identify the old key with api_user_id.",
        parameters=sorted(key.id for key in keys),
    )


def rights(key: OrgApiKey) -> frozenset[tuple[str, str]]:
    """Return the roles of a key as pairs of a project ID or "" and a role.

    ORG_MEMBER does not count, because the APIs add it.
    """
    of_projects = {(project, role) for project, roles in key.projects for role in roles}
    return frozenset({("", role) for role in key.roles if role != MEMBER} | of_projects)


def tag(key: bytes, old: OrgApiKey, entries: _access_lists.Networks) -> bytes:
    """Return a tag of the old key's description, rights and access list."""
    facts = (f"{project} {role}" for project, role in sorted(rights(old)))
    lists = _access_lists.in_order(entries)
    return _marks.tag_of(key, old.description, *facts, "addresses", *lists)


def created_at(key_id: str) -> int:
    """Return when a key was created: an ID starts with the seconds since 1970."""
    return int(key_id[:8], 16)


def is_never_issued(found: Marked, state: State) -> bool:
    """Return whether the replacement's key pair was certainly never handed over.

    The mark alone is not enough, because it may have been restored. A replacement that was handed
    over has the rights of the old key. Only an owner of the organization can take organization
    roles from it. Project owners can take all other rights, so nothing is certain if the old key
    has no organization role.
    """
    if found.mark is None or state.old is None or found.phase not in {CREATING, CREATED}:
        return False
    if not _has_org_role(rights(state.old)):
        return False
    has = rights(found.key)
    if found.phase == CREATED:
        is_unchanged = state.entries is not None and (
            found.mark.tag == tag(found.made_with, state.old, state.entries)
        )
        return is_unchanged and not _has_org_role(has)
    # The mark belongs to one key, which may have a later mark now.
    is_only_one = not any(
        other.mark == found.mark or (other.phase != CREATING and _is_in_time(found.mark, other))
        for other in state.ours
        if other != found
    )
    return is_only_one and _is_in_time(found.mark, found) and not has


def _has_org_role(these: frozenset[tuple[str, str]]) -> bool:
    """Return whether rights include a role in the organization."""
    return any(not project for project, _role in these)


def _is_in_time(mark: Mark, found: Marked) -> bool:
    """Return whether a key was created by a POST with this mark, according to its creation time."""
    return 0 <= created_at(found.key.id) - mark.time <= CREATION_TIME


def plan_begin(state: State, *, ignore_marks: bool) -> Plan:
    """Plan the steps of phase begin. Raises KeysmithError if a replacement cannot be created."""
    if not ignore_marks:
        own = (state.old_marked,) if state.old_marked and not state.old_marked.mark else ()
        check_marks(
            replace(state, unverified=(*state.unverified, *own)),
            "Nothing was changed. To start the rotation and keep these keys, set ignore_marks to "
            "true.",
        )
    verified = _verified(state)
    if verified and verified.mark:
        deadline = verified.mark.time
        name = "due" if state.old is None or deadline <= state.now else "waiting"
        return Plan((), name, _left(state, verified.key), verified.key, deadline)
    if state.old is None:
        raise _no_old_key(state)
    _check_old(state, state.old)
    leftovers = _leftovers(state)
    steps = (*leftovers, Step(CREATE_REPLACEMENT, state.old))
    return Plan(steps, "begun", _left(state, *(step.key for step in leftovers)))


def _leftovers(state: State) -> tuple[Step, ...]:
    """Return the steps that revoke replacements that were never handed over."""
    return tuple(Step(REVOKE_LEFTOVER, f.key) for f in state.ours if is_never_issued(f, state))


def plan_roll_back(state: State, successor_id: str | None) -> Plan:
    """Plan the steps of phase roll_back, which keeps the old key."""
    if successor_id is None:
        return _plan_clean_up(state)
    new = state.find(successor_id)
    if new is None:
        return Plan((), "none", _left(state))
    if state.old is None:
        raise GuardError(
            f"The old API key does not exist, so API key {new} may be the only one left",
            hint="Nothing was changed. If it is not needed, revoke it with org_api_key.",
            parameters=[new.id],
        )
    if _explicit(state, new).phase == VERIFIED:
        raise _too_late(new)
    return Plan((Step(REVOKE_REPLACEMENT, new),), "rolled_back", _left(state, new), new)


def _plan_clean_up(state: State) -> Plan:
    hint = "Nothing was changed. To revoke one of them, set successor_id to its ID."
    check_marks(state, hint)
    verified = _verified(state)
    if verified:
        raise _too_late(verified.key)
    issued = state.of_phase(ISSUED)
    if issued:
        raise GuardError(
            f"These key pairs were handed over and may be in use: {_listed(issued)}",
            hint=hint,
            parameters=[found.key.id for found in issued],
        )
    steps = _leftovers(state)
    return Plan(
        steps, "rolled_back" if steps else "none", _left(state, *(step.key for step in steps))
    )


@dataclass(frozen=True)
class Pair:
    """The new key pair of a task. A file also holds the ID and the public key."""

    private_key: str = field(repr=False)
    api_user_id: str | None = None
    public_key: str | None = None


def choose(state: State, successor_id: str | None, pair: Pair | None) -> Marked | None:
    """Return the replacement for phase finish, None if there is none."""
    if successor_id is not None:
        new = state.find(successor_id)
        if new is None:
            raise MissingError(
                f"Organization {state.org_id} has no API key {successor_id}",
                hint="Nothing was changed. Check successor_id.",
            )
        if state.old is None and _marks.read(new.description) is None:
            return None
        return _explicit(state, new)
    check_marks(
        state,
        "Nothing was changed. If one of them is the replacement, set successor_id to its ID and "
        "pass its key pair.",
    )
    verified = _verified(state)
    if verified:
        return verified
    issued = state.of_phase(ISSUED)
    if pair and pair.api_user_id:
        others = issued
        issued = [found for found in others if found.key.id == pair.api_user_id]
        if others and not issued:
            raise OptionError(
                f"credentials_file holds the key pair of API key {pair.api_user_id}, but these "
                f"replacements were handed over: {_listed(others)}",
                hint="Nothing was changed. Use the file that phase begin wrote.",
            )
    if len(issued) > 1:
        raise AmbiguousError(
            f"Several replacements of API key {state.old_id} were handed over: {_listed(issued)}",
            hint="Nothing was changed. Set successor_id to the one whose key pair is in use.",
            parameters=[found.key.id for found in issued],
        )
    if issued:
        return issued[0]
    # An existing key that is identified by its ID or public key was not rotated.
    if state.old and state.target.description is None:
        rest = f", only {_listed(state.ours)}" if state.ours else ""
        raise MissingError(
            f"API key {state.old} has no replacement whose key pair was handed over{rest}",
            hint="Nothing was changed. Run phase begin first.",
            parameters=[state.old.id, *(found.key.id for found in state.ours)],
        )
    if state.old is None and state.ours:
        raise _lost_old_key(state)
    return None


def plan_finish(state: State, found: Marked | None, *, has_pair: bool, grace_period: int) -> Plan:
    """Plan the steps of phase finish. ``check_same`` must pass before the old key is revoked."""
    left = _left(state, found.key if found else None)
    if found is None:
        return Plan((), "none", left)
    new, old = found.key, state.old
    base = found.mark.base if found.mark else (old.description if old else found.raw.base)
    steps = [Step(VERIFY_PAIR, new)] if has_pair else []
    deadline = found.mark.time if found.mark and found.phase == VERIFIED else None
    if deadline is None and not has_pair:
        raise OptionError(
            f"The key pair of API key {new} is not verified yet, and the task does not have it",
            hint="Nothing was changed. Set new_private_key, or credentials_file to the file "
            "that phase begin wrote.",
        )
    if deadline is None and old:
        deadline = state.now + grace_period
        steps.append(Step(RECORD_VERIFICATION, new))
    is_waiting = bool(old and deadline is not None and deadline > state.now)
    if not is_waiting:
        steps += [Step(REVOKE_OLD, old)] if old else []
        steps.append(Step(RENAME, new))
    name = "waiting" if is_waiting else "rotated"
    return Plan(tuple(steps), name, left, new, deadline, base)


def check_marks(state: State, hint: str) -> None:
    """Refuse to continue if a mark does not verify. Raises GuardError."""
    if state.unverified:
        raise GuardError(
            f"These API keys look like replacements of the API key with {state.target}, but their "
            f"marks do not verify: {_listed(state.unverified)}",
            hint="The marks were made with another mark_key, by another credential or by a version "
            "before 3.0.0, or someone else has written them. If the task authenticated with the "
            f"old key, use the new key pair. {hint}",
            parameters=[found.key.id for found in state.unverified],
        )


def _check_old(state: State, old: OrgApiKey) -> None:
    """Refuse an old key that cannot be replaced. Raises GuardError."""
    wanted, marked = state.target.description, state.old_marked
    excess = len(old.description) - LONGEST_BASE
    if wanted is not None and old.description != wanted:
        raise GuardError(
            f"The task identifies API key {old} as {quoted(wanted)}, but its description is now "
            f"{quoted(old.description)}",
            hint="Nothing was changed. If it is still the right key, identify it with api_user_id.",
            parameters=[old.id],
        )
    if marked and marked.mark:
        raise GuardError(
            f"API key {old} is itself the replacement of API key {marked.mark.old_id} in a "
            "rotation that is not finished",
            hint="Nothing was changed. Finish that rotation first, or give the key another "
            "description with new_description of org_api_key.",
            parameters=[old.id],
        )
    if excess > 0:
        raise GuardError(
            f"The description of API key {old} has {len(old.description)} characters, which is "
            f"{excess} too many: a rotation needs room for its mark and allows {LONGEST_BASE}",
            hint="Nothing was changed. Shorten it with new_description of org_api_key.",
            parameters=[old.id],
        )
    if not old.description:
        raise GuardError(
            f"API key {old} has no description, so its replacement would not get one either",
            hint="Nothing was changed. Give it one with new_description of org_api_key.",
            parameters=[old.id],
        )


def check_same(
    state: State, found: Marked, new_entries: _access_lists.Networks | None = None
) -> None:
    """Refuse to revoke an old key that was changed, or whose replacement has other rights.

    ``new_entries``: the access list of the replacement if its key pair is not verified yet. Raises
    GuardError.
    """
    old, new, entries = state.old, found.key, state.entries or frozenset()
    if old is None:
        return
    if rights(old) != rights(new):
        raise GuardError(
            f"The replacement {new} does not have the rights of the old API key {old}: "
            f"{_difference(rights(old), rights(new))}",
            hint="The old key was not changed. Find out who changed one of them. Make the rights "
            "equal, or revoke the old key with org_api_key, and run the task again.",
            parameters=[old.id, new.id],
        )
    wider = None if new_entries is None else _access_lists.beyond(new_entries, entries)
    if wider is not None:
        raise GuardError(
            f"The replacement {new} can be used from addresses that the old API key {old} does not "
            f"allow: {', '.join(_access_lists.in_order(wider)) or 'its access list is empty'}",
            hint="The old key was not changed. Find out who changed the access list. Make both "
            "lists equal with org_api_key_access_list, and run the task again.",
            parameters=[old.id, new.id],
        )
    # The mark of a POST has no tag.
    if found.phase == CREATING or not found.mark:
        return
    if found.mark.tag == tag(found.made_with, old, entries):
        return
    change = "its roles, projects or access list are different"
    if old.description != found.raw.base:
        change = f"its description is now {quoted(old.description)}"
    raise GuardError(
        f"The old API key {old} was changed after its rotation began: {change}",
        hint="The old key was not changed by this task. Check that it is still the right key. Then "
        "undo the change, or revoke the key with org_api_key, and run the task again.",
        parameters=[old.id, new.id],
    )


def _difference(old: frozenset[tuple[str, str]], new: frozenset[tuple[str, str]]) -> str:
    parts = [
        f"{word} {', '.join(f'{role} in {project}' if project else role for project, role in some)}"
        for word, some in (("it also has", sorted(new - old)), ("it lacks", sorted(old - new)))
        if some
    ]
    return "; ".join(parts)


def _explicit(state: State, new: OrgApiKey) -> Marked:
    """Return a replacement that the task identifies by ID. Its description must look like one."""
    if state.old_id == new.id:
        raise OptionError(
            "successor_id and the task's old key are the same API key",
            hint="Set successor_id to the ID of the new key, or leave it unset.",
        )
    raw = _marks.read(new.description)
    wanted = state.target.description
    if (
        raw is None
        or (state.old_id is not None and raw.old_id != state.old_id)
        or (state.old_id is None and wanted not in {None, raw.base})
    ):
        raise GuardError(
            f"API key {new} {quoted(new.description)} does not look like a replacement of the API "
            f"key with {state.target}",
            hint="Nothing was changed. Check successor_id.",
            parameters=[new.id],
        )
    known = [found for found in (*state.ours, *state.stale) if found.key == new]
    return known[0] if known else Marked(new, raw)


def _verified(state: State) -> Marked | None:
    verified = state.of_phase(VERIFIED)
    if len(verified) > 1:
        raise AmbiguousError(
            f"Several replacements of API key {state.old_id} are verified: {_listed(verified)}",
            hint="Nothing was changed. Find out which key pair is in use, revoke the other keys by "
            "ID, and run the task again.",
            parameters=[found.key.id for found in verified],
        )
    return verified[0] if verified else None


def _too_late(new: OrgApiKey) -> GuardError:
    return GuardError(
        f"The key pair of the replacement {new} was verified, so it is in use",
        hint="Nothing was changed. Run phase finish. To keep the old key instead, revoke the "
        "replacement with org_api_key.",
        parameters=[new.id],
    )


def _no_old_key(state: State) -> KeysmithError:
    if state.ours:
        return _lost_old_key(state)
    hint = "Nothing was changed. It was rotated before, or the task does not identify it correctly."
    if state.stale:
        hint += (
            f" Replacements of other keys that do not exist: {_listed(state.stale)}. To finish "
            "one, run phase finish with successor_id."
        )
    return MissingError(
        f"Organization {state.org_id} has no API key with the {state.target}, and no replacement "
        "of it",
        hint=hint,
        parameters=[found.key.id for found in state.stale],
    )


def _lost_old_key(state: State) -> GuardError:
    return GuardError(
        f"API key {state.old_id} was revoked before its replacement was verified: "
        f"{_listed(state.ours)}",
        hint="Nothing was changed. If you have the replacement's key pair, run phase finish with "
        "successor_id and the pair. Otherwise revoke the replacement with org_api_key.",
        parameters=[found.key.id for found in state.ours],
    )


def _left(state: State, *handled: OrgApiKey | None) -> tuple[tuple[OrgApiKey, str], ...]:
    """Return the keys that look like replacements and that a plan does not handle."""
    others = [f for f in (*state.unverified, *state.stale, *state.ours) if f.key not in handled]
    return tuple((found.key, _reason(state, found)) for found in others)


def _reason(state: State, found: Marked) -> str:
    if not found.mark:
        return "unverified_mark"
    if found in state.stale:
        return "old_key_missing"
    return "unclear_origin" if found.phase == CREATING else "may_be_in_use"


_REASONS: Mapping[str, str] = {
    "unverified_mark": "its mark was not made with this mark_key",
    "unclear_origin": "it is not certain that an interrupted run created it",
    "may_be_in_use": "its key pair may be in use",
    "old_key_missing": "the key that it was to replace does not exist, and phase finish did not "
    "complete for that key",
}


def _listed(found: Sequence[Marked]) -> str:
    return _resource.described([item.key for item in found], API_KEYS)
