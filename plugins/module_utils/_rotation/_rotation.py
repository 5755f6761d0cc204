# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a rotation stands, and what comes next. Pure: no I/O, no Ansible.

Marks that verify, IDs and rights decide; text by itself decides nothing. A mark can be put back by
anyone who may rename its key, so a phase never allows more than the key's rights confirm:

- A replacement gets its last rights together with the mark ``issued``. One that still lacks them
  was never handed over, whatever its mark says, and only such a one is revoked automatically.
  Rights in projects can be taken away by those who administer the projects, so that they are
  missing counts only for a while.
- ``verified`` is written once, so a time that was put back is the time that was set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Union

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

# The role that every key may have, and that the APIs add by themselves.
MEMBER = "ORG_MEMBER"
# How many seconds after a POST's mark the key that it created can have got its ID.
CREATION_TIME = 600
# A mark of a POST is dated back by this, since the API's clock may be behind this machine's.
CLOCK_TOLERANCE = 60
LONGEST_BASE = MAX_DESCRIPTION - _marks.LENGTH


@dataclass(frozen=True)
class Marked:
    """A key whose description looks like that of a replacement; ``mark`` is None if not ours."""

    key: OrgApiKey
    raw: RawMark
    mark: Mark | None = None
    made_with: bytes = field(default=b"", repr=False)

    @property
    def phase(self) -> str:
        """Return the phase that its mark proves, "" for none."""
        return self.mark.phase if self.mark else ""


@dataclass(frozen=True)
class Target:
    """How a task identifies the old key: by exactly one of these."""

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
    """Where a rotation stands.

    ``old_id`` is None if nothing tells the ID of the old key, ``old`` if there is no such key.
    ``ours`` are replacements whose marks verify and state this old key; ``unverified`` are keys
    that look like its replacements. ``stale`` are replacements, by verified marks, of other keys
    with this description that are gone. ``old_marked`` is the old key if it looks like a
    replacement itself. ``entries`` is the old key's access list, and ``new_entries`` that of the
    replacement, None if it was not read. ``now`` is the time of the list of keys.
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
    new_entries: _access_lists.Networks | None = None

    def of_phase(self, *phases: str) -> list[Marked]:
        return [found for found in self.ours if found.phase in phases]

    def find(self, key_id: str) -> OrgApiKey | None:
        return next((key for key in self.keys if key.id == key_id), None)


@dataclass(frozen=True)
class RevokeLeftover:
    """Revoke a replacement that was never handed over."""

    found: Marked


@dataclass(frozen=True)
class CreateReplacement:
    """Create the replacement, give it all that the old key has, and hand it over."""

    old: OrgApiKey


@dataclass(frozen=True)
class VerifyPair:
    """Sign a request with the new key pair."""

    new: OrgApiKey


@dataclass(frozen=True)
class RecordVerified:
    """Write down that the new key pair was verified, and until when the old key is kept."""

    old: OrgApiKey
    new: OrgApiKey
    base: str
    deadline: int


@dataclass(frozen=True)
class RevokeOld:
    """Revoke the old key."""

    old: OrgApiKey


@dataclass(frozen=True)
class Rename:
    """Give the replacement the description of the old key."""

    new: OrgApiKey
    base: str


@dataclass(frozen=True)
class RevokeReplacement:
    """Revoke a replacement because the task asks for it."""

    new: OrgApiKey


Step = Union[
    RevokeLeftover,
    CreateReplacement,
    VerifyPair,
    RecordVerified,
    RevokeOld,
    Rename,
    RevokeReplacement,
]


@dataclass(frozen=True)
class Plan:
    """The steps to take, and how the rotation stands after them.

    ``new`` is the replacement so far as it exists, ``until`` the end of the old key if that is set.
    ``left`` are keys that stay although they look like replacements, with the reason.
    """

    steps: tuple[Step, ...]
    state: str
    new: OrgApiKey | None = None
    deadline: int | None = None
    left: tuple[tuple[OrgApiKey, str], ...] = ()
    warnings: tuple[str, ...] = ()

    def actions(self) -> list[dict[str, Any]]:
        """Return the steps as results have them."""
        return [_action(step) for step in self.steps]


def _action(step: Step) -> dict[str, Any]:
    if isinstance(step, RevokeLeftover):
        return {"action": "revoke_leftover", "api_user_id": step.found.key.id}
    if isinstance(step, CreateReplacement):
        return {"action": "create_replacement", "api_user_id": None}
    if isinstance(step, VerifyPair):
        return {"action": "verify_key_pair", "api_user_id": step.new.id}
    if isinstance(step, RecordVerified):
        return {"action": "record_verification", "api_user_id": step.new.id}
    if isinstance(step, RevokeOld):
        return {"action": "revoke_old_key", "api_user_id": step.old.id}
    if isinstance(step, Rename):
        return {"action": "rename_replacement", "api_user_id": step.new.id}
    return {"action": "revoke_replacement", "api_user_id": step.new.id}


def survey(
    keys: Sequence[OrgApiKey], org_id: str, target: Target, mark_keys: Sequence[bytes], now: int
) -> State:
    """Find the old key and everything that looks like its replacement.

    ``mark_keys`` are those that may have made marks of this rotation. Raises AmbiguousError if the
    target does not tell which key is meant.
    """
    marked = [found for key in keys if (found := _marked(key, org_id, mark_keys))]
    old_id, old = _identify(keys, org_id, target, marked)
    base = target.description if old is None else old.description
    state = State(org_id, target, tuple(keys), old_id, old, now)

    def concerns(found: Marked) -> bool:
        return found.raw.old_id == old_id or (
            target.description is not None and found.raw.base == target.description
        )

    others = {key.id for key in keys}

    def may_be_meant(found: Marked) -> bool:
        # A public key does not lead to a key that is gone, so every replacement may be meant.
        return found.raw.base == base or (old is None and target.public_key is not None)

    return replace(
        state,
        ours=tuple(f for f in marked if f.mark and f.mark.old_id == old_id),
        unverified=tuple(f for f in marked if not f.mark and concerns(f) and f.key.id != old_id),
        stale=tuple(
            f
            for f in marked
            if f.mark and f.raw.old_id != old_id and f.raw.old_id not in others and may_be_meant(f)
        ),
        old_marked=next((f for f in marked if f.key.id == old_id), None),
    )


def _marked(key: OrgApiKey, org_id: str, mark_keys: Sequence[bytes]) -> Marked | None:
    raw = _marks.read(key.description)
    if raw is None:
        return None
    for mark_key in mark_keys:
        mark = _marks.verify(raw, mark_key, org_id, key.id)
        # A key cannot replace itself, whatever was copied to it.
        if mark and mark.old_id != key.id:
            return Marked(key, raw, mark, mark_key)
    return Marked(key, raw)


def _identify(
    keys: Sequence[OrgApiKey], org_id: str, target: Target, marked: Sequence[Marked]
) -> tuple[str | None, OrgApiKey | None]:
    """Return the ID of the old key, if anything tells it, and the key, if it exists."""
    if target.api_user_id is not None:
        found = [key for key in keys if key.id == target.api_user_id]
        return target.api_user_id, found[0] if found else None
    if target.public_key is not None:
        found = [key for key in keys if key.public_key == target.public_key]
        if not found:
            _org_api_keys.check_hidden_public_keys(
                org_id, keys, [target.public_key], "Identify the old key with api_user_id."
            )
        return (found[0].id, found[0]) if found else (None, None)
    return _identify_by_description(keys, org_id, target, marked)


def _identify_by_description(
    keys: Sequence[OrgApiKey], org_id: str, target: Target, marked: Sequence[Marked]
) -> tuple[str | None, OrgApiKey | None]:
    """Return the old key by the marks that verify, and without any by its description.

    The old key may have been renamed, and another key may have got its description.
    """
    description = str(target.description)
    old_ids = {f.mark.old_id for f in marked if f.mark and f.mark.base == description}
    if not old_ids:
        key = _resource.pick_by_text(
            keys, API_KEYS.of(org_id), description, look_alikes=target.look_alikes
        )
        return (key.id, key) if key else (None, None)
    exact = [key for key in keys if key.description == description]
    existing = [key for key in keys if key.id in old_ids]
    if len(exact) > 1:
        raise _ambiguous(org_id, target, exact)
    if exact:
        # Replacements of keys that are gone do not say that this key is not meant, unless they
        # wait for this description.
        waiting = [
            f.key
            for f in marked
            if f.mark
            and f.mark.base == description
            and f.mark.old_id != exact[0].id
            and (f.phase == VERIFIED or f.mark.old_id in {key.id for key in existing})
        ]
        if waiting:
            raise _ambiguous(org_id, target, [*exact, *waiting])
        return exact[0].id, exact[0]
    if len(old_ids) > 1:
        candidates = [f.key for f in marked if f.mark and f.mark.base == description]
        raise _ambiguous(org_id, target, candidates)
    (old_id,) = old_ids
    return old_id, existing[0] if existing else None


def _ambiguous(org_id: str, target: Target, keys: Sequence[OrgApiKey]) -> AmbiguousError:
    return AmbiguousError(
        f"Several API keys of organization {org_id} could be meant by the {target}: "
        f"{_resource.described(keys, API_KEYS)}",
        hint="Nothing was changed. Identify the old key with api_user_id.",
        parameters=sorted(key.id for key in keys),
    )


def rights(key: OrgApiKey) -> frozenset[tuple[str, str]]:
    """Return what a key may do: pairs of a project's ID ("" for none) and a role.

    ORG_MEMBER is left out, since the APIs add it by themselves.
    """
    of_projects = {(project, role) for project, roles in key.projects for role in roles}
    return frozenset({("", role) for role in key.roles if role != MEMBER} | of_projects)


def tag(key: bytes, old: OrgApiKey, entries: _access_lists.Networks) -> bytes:
    """Return the tag that stands for what the old key is like."""
    facts = (f"{project} {role}" for project, role in sorted(rights(old)))
    lists = _access_lists.in_order(entries)
    return _marks.tag_of(key, old.description, *facts, "addresses", *lists)


def created_at(key_id: str) -> int:
    """Return when a key was created: its ID begins with the seconds since 1970."""
    return int(key_id[:8], 16)


def is_never_issued(found: Marked, state: State) -> bool:
    """Whether it is certain that nobody can have the replacement's key pair.

    The mark alone does not say so, since it may be put back later. A replacement that was handed
    over has the rights of the old key. Only an owner of the organization can take roles in the
    organization away from it. Those who administer its projects can take all others, so nothing is
    certain if the old key has no others.
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
    # The mark was made for one key, which may have a later mark by now.
    is_only_one = not any(
        other.mark == found.mark or (other.phase != CREATING and _is_in_time(found.mark, other))
        for other in state.ours
        if other != found
    )
    return is_only_one and _is_in_time(found.mark, found) and not has


def _has_org_role(these: frozenset[tuple[str, str]]) -> bool:
    """Whether there is a role in the organization besides ORG_MEMBER among rights."""
    return any(not project for project, _role in these)


def _is_in_time(mark: Mark, found: Marked) -> bool:
    """Whether a key was created when a POST with this mark was sent."""
    return 0 <= created_at(found.key.id) - mark.time <= CREATION_TIME


def plan_begin(state: State, *, ignore_marks: bool) -> Plan:
    """Plan what creates a replacement; raises if anything speaks against it."""
    if not ignore_marks:
        own = (state.old_marked,) if state.old_marked and not state.old_marked.mark else ()
        check_marks(
            replace(state, unverified=(*state.unverified, *own)),
            "Nothing was changed. Set ignore_marks to true to start all the same; these keys are "
            "not revoked then.",
        )
    verified = _verified(state)
    left = [*((f.key, "unverified_mark") for f in state.unverified), *_stale(state)]
    if verified and verified.mark:
        deadline = verified.mark.time
        name = "due" if state.old is None or deadline <= state.now else "waiting"
        left += [(f.key, _why_kept(f)) for f in state.ours if f.key != verified.key]
        return Plan((), name, verified.key, deadline, tuple(left), _warnings(left))
    if state.old is None:
        raise _no_old_key(state)
    _check_name(state, state.old)
    _check_unmarked(state)
    _check_room(state.old)
    leftovers = [f for f in state.ours if is_never_issued(f, state)]
    left += [(f.key, _why_kept(f)) for f in state.ours if f not in leftovers]
    steps: list[Step] = [*map(RevokeLeftover, leftovers), CreateReplacement(state.old)]
    return Plan(tuple(steps), "begun", None, None, tuple(left), _warnings(left))


def plan_roll_back(state: State, successor_id: str | None) -> Plan:
    """Plan what revokes a replacement and keeps the old key."""
    if successor_id is None:
        check_marks(
            state, "Nothing was changed. Set successor_id to the replacement that is to be revoked."
        )
        verified = _verified(state)
        if verified:
            raise _too_late(verified.key)
        issued = state.of_phase(ISSUED)
        if issued:
            raise GuardError(
                f"The key pair of {_listed(issued)} was handed over, and may be in use",
                hint="Nothing was changed. Set successor_id to the replacement that is to be "
                "revoked.",
                parameters=[found.key.id for found in issued],
            )
        leftovers = [f for f in state.ours if is_never_issued(f, state)]
        left = [(f.key, _why_kept(f)) for f in state.ours if f not in leftovers]
        left += _stale(state)
        steps = tuple(map(RevokeLeftover, leftovers))
        name = "rolled_back" if steps else "none"
        return Plan(steps, name, None, None, tuple(left), _warnings(left))
    new = state.find(successor_id)
    left = [(f.key, _why_kept(f)) for f in (*state.ours, *state.unverified) if f.key != new]
    left += _stale(state)
    if new is None:
        return Plan((), "none", None, None, tuple(left), _warnings(left))
    if state.old is None:
        raise GuardError(
            f"The old API key does not exist, so API key {new} may be the only one left",
            hint="Nothing was changed. If it is not needed, revoke it with org_api_key.",
            parameters=[new.id],
        )
    found = _explicit(state, new)
    if found.phase == VERIFIED:
        raise _too_late(new)
    return Plan((RevokeReplacement(new),), "rolled_back", new, None, tuple(left), _warnings(left))


@dataclass(frozen=True)
class Pair:
    """What a task says of the new key pair: the ID and the public key are known from a file."""

    private_key: str = field(repr=False)
    api_user_id: str | None = None
    public_key: str | None = None


def choose(state: State, successor_id: str | None, pair: Pair | None) -> Marked | None:
    """Return the replacement that a rotation is to be finished with, None if there is none."""
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
                f"credentials_file holds the key pair of API key {pair.api_user_id}, which is not "
                f"that of a replacement that was handed over: {_listed(others)}",
                hint="Nothing was changed. Use the file that phase begin has written.",
            )
    if len(issued) > 1:
        raise AmbiguousError(
            f"Several replacements of API key {state.old_id} were handed over: {_listed(issued)}",
            hint="Nothing was changed. Set successor_id to the one whose key pair is in use.",
            parameters=[found.key.id for found in issued],
        )
    if issued:
        return issued[0]
    # By its ID, a key that is still there is one that was not rotated.
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


def plan_finish(
    state: State,
    found: Marked | None,
    *,
    has_pair: bool,
    grace_period: int,
) -> Plan:
    """Plan what ends the old key. ``state`` has the access lists that were read."""
    others = [f for f in (*state.ours, *state.unverified) if found is None or f.key != found.key]
    left = [*((f.key, _why_kept(f)) for f in others), *_stale(state, found)]
    if found is None:
        return Plan((), "none", None, None, tuple(left), _warnings(left))
    new, old = found.key, state.old
    base = found.mark.base if found.mark else (old.description if old else found.raw.base)
    steps: list[Step] = [VerifyPair(new)] if has_pair else []
    deadline = found.mark.time if found.mark and found.phase == VERIFIED else None
    if deadline is None:
        if not has_pair:
            raise OptionError(
                f"The key pair of API key {new} is not verified yet, and the task does not have it",
                hint="Nothing was changed. Set new_private_key, or credentials_file to the file "
                "that phase begin has written.",
            )
        if old:
            deadline = state.now + grace_period
            steps.append(RecordVerified(old, new, base, deadline))
    if old and deadline is not None and deadline > state.now:
        if found.phase != VERIFIED:
            _check_same(state, found)
        return Plan(tuple(steps), "waiting", new, deadline, tuple(left), _warnings(left))
    if old:
        _check_same(state, found)
        steps.append(RevokeOld(old))
    steps.append(Rename(new, base))
    return Plan(tuple(steps), "rotated", new, deadline, tuple(left), _warnings(left))


def check_marks(state: State, hint: str) -> None:
    """Refuse to go on if something looks like a mark and is not ours. Raises GuardError."""
    if state.unverified:
        raise GuardError(
            f"Descriptions look like those of replacements of the API key with {state.target}, but "
            f"their marks do not verify: {_listed(state.unverified)}",
            hint="They were made with another mark_key, by another credential or by a version "
            "before 3.0.0, or someone else has written them. If the old key is the key that signed "
            f"the requests, use the new key pair. {hint}",
            parameters=[found.key.id for found in state.unverified],
        )


def _check_name(state: State, old: OrgApiKey) -> None:
    """Refuse a key that a mark has led to, and that has another description by now."""
    wanted = state.target.description
    if wanted is not None and old.description != wanted:
        raise GuardError(
            f"API key {old} was to be replaced as {quoted(wanted)}, and its description is "
            f"{quoted(old.description)} now",
            hint="Nothing was changed. Check whether it is still the key that is meant, and "
            "identify it with api_user_id.",
            parameters=[old.id],
        )


def _check_unmarked(state: State) -> None:
    found = state.old_marked
    if found and found.mark:
        raise GuardError(
            f"API key {found.key} is itself the replacement of API key {found.mark.old_id} in a "
            "rotation that is not finished",
            hint="Nothing was changed. Finish that rotation first, or give the key another "
            "description with new_description of org_api_key.",
            parameters=[found.key.id],
        )


def _check_room(old: OrgApiKey) -> None:
    excess = len(old.description) - LONGEST_BASE
    if excess > 0:
        raise GuardError(
            f"The description of API key {old} has {len(old.description)} characters, which is "
            f"{excess} too many: a rotation needs room for its mark and allows {LONGEST_BASE}",
            hint="Nothing was changed. Shorten it with new_description of org_api_key.",
            parameters=[old.id],
        )
    if not old.description:
        raise GuardError(
            f"API key {old} has no description, which its replacement would get",
            hint="Nothing was changed. Give it one with new_description of org_api_key.",
            parameters=[old.id],
        )


def _check_same(state: State, found: Marked) -> None:
    """Refuse to end an old key that was changed, or whose replacement has other rights."""
    old, new = state.old, found.key
    if old is None or state.entries is None:
        return
    if rights(old) != rights(new):
        raise GuardError(
            f"The replacement {new} does not have the rights of the old API key {old}: "
            f"{_difference(rights(old), rights(new))}",
            hint="The old key was not touched. Find out who has changed which of them. Make the "
            "rights equal, or revoke the old key with org_api_key, and run the task again.",
            parameters=[old.id, new.id],
        )
    wider = _access_lists.beyond(state.new_entries or frozenset(), state.entries)
    if state.new_entries is not None and wider is not None:
        raise GuardError(
            f"The replacement {new} can be used from addresses from which the old API key {old} "
            f"cannot: {', '.join(_access_lists.in_order(wider)) or 'its access list is empty'}",
            hint="The old key was not touched. Find out who has changed which access list. Make "
            "them equal with org_api_key_access_list, and run the task again.",
            parameters=[old.id, new.id],
        )
    # The mark of a POST has no tag.
    if (
        found.phase in {"", CREATING}
        or not found.mark
        or found.mark.tag == tag(found.made_with, old, state.entries)
    ):
        return
    what = "its roles, projects or access list are not what they were"
    if old.description != found.raw.base:
        what = f"its description is {quoted(old.description)} now"
    raise GuardError(
        f"The old API key {old} was changed after its rotation began: {what}",
        hint="It was not touched. Check whether it is still the key that is meant. Then undo the "
        "change, or revoke the key yourself with org_api_key, and run the task again.",
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
    """Return a replacement that the task identifies by ID; its text must at least state so."""
    if state.old_id == new.id:
        raise OptionError("successor_id and the task's old key are the same API key")
    raw = _marks.read(new.description)
    wanted = state.target.description
    if (
        raw is None
        or (state.old_id is not None and raw.old_id != state.old_id)
        or (state.old_id is None and wanted not in {None, raw.base})
    ):
        raise GuardError(
            f"API key {new} {quoted(new.description)} does not claim to be a replacement of the "
            f"API key with {state.target}",
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
            hint="Nothing was changed. Find out whose key pair is in use, revoke the others by "
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
    error = MissingError(
        f"Organization {state.org_id} has no API key with the {state.target}, and no replacement "
        "of it",
        hint="Nothing was changed. It was rotated already, or the task identifies it wrongly.",
        parameters=[found.key.id for found in state.stale],
    )
    if state.stale:
        error.hint += (
            f" Replacements of other keys that do not exist: {_listed(state.stale)}. To finish "
            "one, run phase finish with successor_id."
        )
    return error


def _lost_old_key(state: State) -> GuardError:
    return GuardError(
        f"API key {state.old_id} was revoked before its replacement was verified: "
        f"{_listed(state.ours)}",
        hint="Nothing was changed. If you have the replacement's key pair, run phase finish with "
        "successor_id and the pair. Otherwise revoke the replacement with org_api_key.",
        parameters=[found.key.id for found in state.ours],
    )


def _why_kept(found: Marked) -> str:
    if not found.mark:
        return "unverified_mark"
    if found.phase == CREATING:
        return "unclear_origin"
    return "may_be_in_use"


def _stale(state: State, chosen: Marked | None = None) -> list[tuple[OrgApiKey, str]]:
    return [(found.key, "old_key_missing") for found in state.stale if found != chosen]


_REASONS: Mapping[str, str] = {
    "unverified_mark": "its mark was not made with this mark_key",
    "unclear_origin": "it is not certain that an interrupted run has created it",
    "may_be_in_use": "its key pair may be in use",
    "old_key_missing": "the key that it was to replace does not exist, and phase finish was not "
    "run for that key to the end",
}


def _warnings(left: Sequence[tuple[OrgApiKey, str]]) -> tuple[str, ...]:
    return tuple(
        f"API key {key} {quoted(key.description)} is left, because {_REASONS[reason]}. If nobody "
        "needs it, revoke it by its ID."
        for key, reason in left
    )


def _listed(found: Sequence[Marked]) -> str:
    return _resource.described([item.key for item in found], API_KEYS)
