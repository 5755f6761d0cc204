# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random walks of rotations under attack, with runs that are killed anywhere.

The attacker administers every project and knows every description that there ever was. They rename
keys, move them between projects and create new ones. Runs see only the list of keys.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import KeysmithError
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import (
    _marks,
    _rotation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation._marks import Mark
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation._rotation import (
    Pair,
    Target,
)

ORG = "5a" + "0" * 22
SECRET, STRANGE = (_marks.key_of(letter * 20) for letter in "ab")
ENTRIES = frozenset({ipaddress.ip_network("192.0.2.0/24")})
PROJECTS = tuple("5a" + "0" * 21 + end for end in ("aaa", "bbb"))
DAY = 86400
WALKS, STEPS = 60, 40
# One key has a role in the organization, which only organization owners can remove. The other has
# only roles in projects, which project owners can remove.
KINDS = [("ORG_MEMBER", "ORG_READ_ONLY"), ("ORG_MEMBER",)]


class KilledError(Exception):
    """A run is killed."""


@dataclass
class World:
    """The keys, and facts that a run cannot read."""

    chance: random.Random
    roles: tuple[str, ...]
    now: int = 1_764_308_123
    number: int = 0
    keys: dict[str, OrgApiKey] = field(default_factory=dict)
    old_id: str = ""
    other_id: str = ""
    # Every description that there ever was.
    texts: list[str] = field(default_factory=list)
    strangers: set[str] = field(default_factory=set)
    # The description of the old key when a replacement was created.
    names: dict[str, str] = field(default_factory=dict)
    # Keys whose pair was handed over; keys whose pair was verified, with the end of the old key.
    issued: set[str] = field(default_factory=set)
    verified: dict[str, int] = field(default_factory=dict)
    rotations: int = 0
    revoked: int = 0
    lost: int = 0

    def create(self, description: str, **values: Any) -> OrgApiKey:
        self.number += 1
        key_id = f"{self.now:08x}{self.number:016x}"
        values = {"roles": ("ORG_MEMBER",), "projects": (), **values}
        key = OrgApiKey(key_id, description, f"publ{self.number:04d}", **values)
        self.set(key)
        return key

    def set(self, key: OrgApiKey) -> OrgApiKey:
        self.keys[key.id] = key
        self.texts.append(key.description)
        return key

    def start(self) -> None:
        """Create the key to be rotated, and a stranger's key with the same rights."""
        projects = ((PROJECTS[0], ("GROUP_OWNER",)),)
        self.old_id = self.create("victim", roles=self.roles, projects=projects).id
        self.other_id = self.create("other", roles=self.roles, projects=projects).id
        self.strangers.add(self.other_id)

    def maybe_die(self) -> None:
        if self.chance.random() < 0.12:
            raise KilledError

    # Runs.

    def survey(self, *, may_be_by_name: bool = True) -> _rotation.State:
        by_name = may_be_by_name and self.chance.random() < 0.3
        target = Target(description="victim") if by_name else Target(api_user_id=self.old_id)
        found = _rotation.survey([*self.keys.values()], ORG, target, [SECRET], self.now)
        return replace(found, entries=ENTRIES)

    def mark(self, key: OrgApiKey, phase: str, old: OrgApiKey, **values: Any) -> OrgApiKey:
        tag = _rotation.tag(SECRET, old, ENTRIES)
        facts = {"time": self.now, "base": old.description, **values}
        mark = Mark(phase, ORG, old.id, key.id, facts["time"], tag, facts["base"])
        return self.set(replace(key, description=_marks.describe(mark, SECRET)))

    def begin(self) -> None:
        # With a description, an attacker who renames keys chooses the key that is rotated.
        state = self.survey(may_be_by_name=False)
        ignoring = self.chance.random() < 0.5
        plan = _rotation.plan_begin(state, ignore_marks=ignoring)
        for action, key in plan.steps:
            self.maybe_die()
            if action == _rotation.REVOKE_LEFTOVER:
                self.revoke_leftover(key)
            else:
                self.replace(key)

    def revoke_leftover(self, key: OrgApiKey) -> None:
        assert key.id != self.other_id
        assert key.id not in self.issued
        if key.id in self.strangers:
            # A copied mark of a POST verifies on a key that was created in the same minutes.
            self.lost += 1
            assert not _rotation.rights(key)
            assert ": creating " in key.description
        # Without a role in the organization, no key is certainly a leftover.
        assert len(self.roles) > 1
        assert self.old_id in self.keys
        del self.keys[key.id]
        self.revoked += 1

    def replace(self, old: OrgApiKey) -> None:
        """Create a replacement in the steps of the module."""
        nonce = self.chance.randbytes(8)
        mark = Mark("creating", ORG, old.id, None, self.now - 60, nonce, old.description)
        key = self.create(_marks.describe(mark, SECRET))
        self.names[key.id] = old.description
        self.maybe_die()
        key = self.mark(key, "created", old)
        self.maybe_die()
        key = self.set(replace(key, projects=old.projects))
        self.maybe_die()
        key = self.mark(replace(key, roles=old.roles), "issued", old)
        self.issued.add(key.id)
        self.maybe_die()

    def finish(self) -> None:
        state = self.survey()
        pair = Pair("x", self.chance.choice(sorted(self.issued))) if self.issued else None
        if self.chance.random() < 0.5:
            pair = None
        found = _rotation.choose(state, None, pair)
        grace = self.chance.choice([0, DAY])
        plan = _rotation.plan_finish(state, found, has_pair=bool(pair), grace_period=grace)
        if found and plan.includes(_rotation.RECORD_VERIFICATION, _rotation.REVOKE_OLD):
            _rotation.check_same(state, found, ENTRIES)
        for action, key in plan.steps:
            self.maybe_die()
            if action == _rotation.VERIFY_PAIR:
                if pair is None or pair.api_user_id != key.id:
                    return
            elif action == _rotation.RECORD_VERIFICATION:
                assert key.id in self.issued
                assert state.old
                assert plan.deadline
                self.mark(self.keys[key.id], "verified", state.old, time=plan.deadline)
                self.verified[key.id] = plan.deadline
            elif action == _rotation.REVOKE_OLD:
                self.revoke_old(key, plan)
            else:
                assert key.id in self.issued
                assert plan.base == self.names[key.id]
                self.set(replace(self.keys[key.id], description=plan.base))
                self.rotations += 1

    def revoke_old(self, old: OrgApiKey, plan: _rotation.Plan) -> None:
        assert old.id == self.old_id
        assert plan.new is not None
        new = self.keys[plan.new.id]
        assert self.verified[new.id] <= self.now
        assert _rotation.rights(new) == _rotation.rights(old)
        assert new.id not in self.strangers
        del self.keys[old.id]

    def roll_back(self) -> None:
        for action, key in _rotation.plan_roll_back(self.survey(), None).steps:
            self.maybe_die()
            assert action == _rotation.REVOKE_LEFTOVER
            self.revoke_leftover(key)

    # The attacker and the clock.

    def attack(self) -> None:
        key = self.chance.choice([*self.keys.values()])
        kind = self.chance.randrange(5)
        if kind < 2:
            self.set(replace(key, description=self.text()))
        elif kind == 2:
            roles = self.chance.choice([(), ("GROUP_OWNER",), ("GROUP_READ_ONLY",)])
            projects = {**dict(key.projects), self.chance.choice(PROJECTS): roles}
            kept = tuple((name, roles) for name, roles in sorted(projects.items()) if roles)
            self.set(replace(key, projects=kept))
        elif kind == 3:
            self.strangers.add(self.create(self.text()).id)
        else:
            # Undo all changes to the old key.
            old = self.keys.get(self.old_id)
            if old:
                projects = ((PROJECTS[0], ("GROUP_OWNER",)),)
                self.set(replace(old, description="victim", projects=projects))

    def text(self) -> str:
        """Return an earlier description, an old kind of mark, or a mark of another secret."""
        old_id = self.old_id
        return self.chance.choice(
            [
                *self.texts * 3,
                f"victim (successor of {old_id}: created)",
                f"victim (successor of {old_id}: old until 2020-01-01T00:00:00Z)",
                _marks.describe(
                    Mark("creating", ORG, old_id, None, self.now, bytes(8), "victim"), STRANGE
                ),
            ]
        )

    def step(self) -> None:
        runs = (self.begin, self.finish, self.roll_back)
        act = self.chance.choice([*runs, self.finish, self.attack, self.attack, self.wait])
        # A run that fails or is killed has taken some of its steps.
        with suppress(KeysmithError, KilledError):
            act()

    def wait(self) -> None:
        self.now += self.chance.choice([1, 60, 700, 5000, DAY])


def walks(number: int, roles: tuple[str, ...]) -> Iterator[World]:
    for seed in range(number):
        world = World(random.Random(seed), roles)
        world.start()
        yield world


@pytest.mark.parametrize("roles", KINDS, ids=["with a role", "projects only"])
def test_no_attack_revokes_a_key_in_use(roles: tuple[str, ...]) -> None:
    rotations = revoked = 0
    for world in walks(WALKS, roles):
        for _step in range(STEPS):
            world.step()
            # The old key or a verified replacement exists.
            assert world.other_id in world.keys
            assert world.old_id in world.keys or world.verified.keys() & world.keys.keys()
        rotations += world.rotations
        revoked += world.revoked - world.lost
    # Enough walks were successful.
    assert rotations > WALKS / 10
    assert revoked > WALKS / 10 if len(roles) > 1 else revoked == 0
