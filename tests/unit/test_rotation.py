# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state and the next steps of a rotation, from a list of keys alone."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    GuardError,
    KeysmithError,
    MissingError,
    OptionError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import (
    _marks,
    _rotation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation._marks import Mark
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation._rotation import (
    CREATE_REPLACEMENT,
    RECORD_VERIFICATION,
    RENAME,
    REVOKE_LEFTOVER,
    REVOKE_OLD,
    REVOKE_REPLACEMENT,
    VERIFY_PAIR,
    Pair,
    State,
    Step,
    Target,
)

ORG, PROJECT = "5a" + "0" * 22, "5a" + "0" * 20 + "aa"
SECRET = _marks.key_of("canary-of-the-marks-0123456789")
NOW = 1_764_308_123
ENTRIES = frozenset({ipaddress.ip_network("192.0.2.0/24")})
RIGHTS: dict[str, Any] = {
    "roles": ("ORG_READ_ONLY",),
    "projects": ((PROJECT, ("GROUP_OWNER",)),),
}
PAIR = Pair("the private key")


def key_id(number: int, created: int = NOW) -> str:
    return f"{created:08x}{number:016x}"


OLD_ID, NEW_ID, NEWER_ID = key_id(1, NOW - 9999), key_id(2), key_id(3)


def key(key_id: str = OLD_ID, description: str = "backup", **values: Any) -> OrgApiKey:
    rights = {"roles": ("ORG_MEMBER",), "projects": (), **values}
    return OrgApiKey(key_id, description, f"publ{int(key_id[-4:], 16):04d}", **rights)


OLD = key(**RIGHTS)


def marked(phase: str, key_id: str = NEW_ID, **values: Any) -> OrgApiKey:
    """Return a replacement of the old key."""
    facts = {
        "org_id": ORG,
        "old_id": OLD_ID,
        "new_id": None if phase == "creating" else key_id,
        "time": NOW,
        "tag": _rotation.tag(SECRET, OLD, ENTRIES),
        "base": "backup",
    }
    facts |= {name: values.pop(name) for name in [*facts] if name in values}
    rights = {**RIGHTS, **values} if phase in {"issued", "verified"} else values
    return key(key_id, _marks.describe(Mark(phase, **facts), SECRET), **rights)


def survey(*keys: OrgApiKey, **target: Any) -> State:
    found = _rotation.survey(
        keys, ORG, Target(**(target or {"api_user_id": OLD_ID})), [SECRET], NOW
    )
    return replace(found, entries=ENTRIES if found.old else None)


def begin(*keys: OrgApiKey, ignore_marks: bool = False, **target: Any) -> _rotation.Plan:
    return _rotation.plan_begin(survey(*keys, **target), ignore_marks=ignore_marks)


def finish(
    *keys: OrgApiKey, pair: Pair | None = None, successor_id: str | None = None, **more: Any
) -> _rotation.Plan:
    grace = more.pop("grace_period", 0)
    state = survey(*keys, **more)
    found = _rotation.choose(state, successor_id, pair)
    return _rotation.plan_finish(state, found, has_pair=bool(pair), grace_period=grace)


def left(plan: _rotation.Plan) -> dict[str, str]:
    return {key.id: reason for key, reason in plan.left}


def test_a_rotation_from_begin_to_end() -> None:
    assert begin(OLD).steps == (Step(CREATE_REPLACEMENT, OLD),)
    new = marked("issued")
    plan = finish(OLD, new, pair=PAIR)
    assert plan.steps == (
        Step(VERIFY_PAIR, new),
        Step(RECORD_VERIFICATION, new),
        Step(REVOKE_OLD, OLD),
        Step(RENAME, new),
    )
    assert (plan.base, plan.deadline) == ("backup", NOW)
    assert plan.state == "rotated"


@pytest.mark.parametrize(
    ("keys", "state", "steps"),
    [
        ([OLD], "begun", 1),
        ([OLD, marked("creating")], "begun", 2),
        ([OLD, marked("created")], "begun", 2),
        ([OLD, marked("issued")], "begun", 1),
        ([OLD, marked("verified", time=NOW + 1)], "waiting", 0),
        ([OLD, marked("verified")], "due", 0),
        ([marked("verified", time=NOW + 1)], "due", 0),
    ],
    ids=["nothing", "creating", "created", "issued", "waiting", "due", "without the old key"],
)
def test_begin_in_each_state(keys: list[OrgApiKey], state: str, steps: int) -> None:
    plan = begin(*keys)
    assert (plan.state, len(plan.steps)) == (state, steps)
    # Only a key that was never handed over is revoked.
    assert plan.includes(REVOKE_LEFTOVER) is (steps == 2)
    found = survey(*keys).of_phase("verified")
    assert plan.new == (found[0].key if found else None)
    assert plan.deadline == (found[0].raw.time if found else None)
    assert left(plan) == ({NEW_ID: "may_be_in_use"} if survey(*keys).of_phase("issued") else {})


@pytest.mark.parametrize(
    ("keys", "pair", "grace", "expected"),
    [
        ([OLD, marked("issued")], True, 60, (VERIFY_PAIR, RECORD_VERIFICATION)),
        ([OLD, marked("verified", time=NOW + 60)], False, 0, ()),
        ([OLD, marked("verified", time=NOW + 60)], True, 0, (VERIFY_PAIR,)),
        ([OLD, marked("verified")], False, 60, (REVOKE_OLD, RENAME)),
        ([marked("verified", time=NOW + 60)], False, 0, (RENAME,)),
        ([marked("issued")], True, 60, (VERIFY_PAIR, RENAME)),
        ([key(NEW_ID)], False, 0, ()),
    ],
)
def test_finish_in_each_state(
    keys: list[OrgApiKey], pair: bool, grace: int, expected: tuple[str, ...]
) -> None:
    plan = finish(*keys, pair=PAIR if pair else None, grace_period=grace)
    assert tuple(action for action, _key in plan.steps) == expected


@pytest.mark.parametrize(
    ("keys", "base"),
    [
        ([replace(OLD, description="renamed"), marked("issued")], "backup"),
        # The mark of this replacement does not verify.
        ([OLD, key(NEW_ID, f"forged (successor of {OLD_ID}: created)")], "backup"),
        ([key(NEW_ID, f"forged (successor of {OLD_ID}: created)")], "forged"),
    ],
)
def test_the_description_that_a_replacement_finally_gets(keys: list[OrgApiKey], base: str) -> None:
    assert finish(*keys, pair=PAIR, successor_id=NEW_ID).base == base


def test_finish_needs_the_key_pair_of_an_unverified_replacement() -> None:
    with pytest.raises(OptionError, match=NEW_ID):
        finish(OLD, marked("issued"))
    with pytest.raises(MissingError, match=OLD_ID):
        finish(OLD, marked("created"), pair=PAIR)
    with pytest.raises(GuardError, match=OLD_ID):
        finish(marked("created"), pair=PAIR)


def test_one_of_several_replacements_must_be_identified() -> None:
    one, other = marked("issued"), marked("issued", NEWER_ID)
    with pytest.raises(AmbiguousError, match=f"{NEW_ID}.*{NEWER_ID}"):
        finish(OLD, one, other, pair=PAIR)
    by_file = replace(PAIR, api_user_id=NEWER_ID)
    for plan in (
        finish(OLD, one, other, pair=by_file),
        finish(OLD, one, other, pair=PAIR, successor_id=NEWER_ID),
    ):
        assert plan.new == other
        assert left(plan) == {NEW_ID: "may_be_in_use"}
    with pytest.raises(OptionError, match=NEWER_ID):
        finish(OLD, one, pair=by_file)
    with pytest.raises(AmbiguousError, match=f"{NEW_ID}.*{NEWER_ID}"):
        finish(OLD, marked("verified"), marked("verified", NEWER_ID))


def test_a_verified_replacement_is_preferred() -> None:
    plan = finish(OLD, marked("issued", NEWER_ID), marked("verified"))
    assert plan.new is not None
    assert plan.new.id == NEW_ID


# Keys that were never handed over.


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (marked("creating"), True),
        (marked("creating", time=NOW - 600), True),
        (marked("creating", time=NOW - 601), False),
        (marked("creating", time=NOW + 1), False),
        (marked("creating", projects=RIGHTS["projects"]), False),
        (marked("creating", roles=("ORG_READ_ONLY",)), False),
        (marked("created"), True),
        # The run was killed before it gave the key its role in the organization.
        (marked("created", projects=RIGHTS["projects"]), True),
        (marked("created", roles=("ORG_READ_ONLY",)), False),
        (marked("created", tag=b"another1"), False),
        (marked("issued", roles=("ORG_MEMBER",), projects=()), False),
        (marked("verified", roles=("ORG_MEMBER",), projects=()), False),
    ],
)
def test_only_a_key_that_lacks_the_last_rights_was_never_issued(
    found: OrgApiKey, expected: bool
) -> None:
    state = survey(OLD, found)
    assert _rotation.is_never_issued(state.ours[0], state) is expected


def test_two_keys_with_one_mark_are_not_revoked() -> None:
    plan = begin(OLD, marked("creating"), marked("creating", NEWER_ID))
    assert left(plan) == {NEW_ID: "unclear_origin", NEWER_ID: "unclear_origin"}


@pytest.mark.parametrize("phase", ["creating", "created"])
@pytest.mark.parametrize(
    ("rights", "is_certain"),
    [
        (RIGHTS, True),
        ({"roles": ("ORG_MEMBER", "ORG_READ_ONLY")}, True),
        # Project owners can remove these roles from a key in use.
        ({"projects": RIGHTS["projects"]}, False),
        ({}, False),
    ],
)
def test_only_roles_in_the_organization_show_that_a_key_was_not_handed_over(
    phase: str, rights: dict[str, Any], is_certain: bool
) -> None:
    old = key(**rights)
    state = survey(old, marked(phase, tag=_rotation.tag(SECRET, old, ENTRIES)))
    assert _rotation.is_never_issued(state.ours[0], state) is is_certain
    later = replace(state, now=state.now + 30 * 86400)
    assert _rotation.is_never_issued(state.ours[0], later) is is_certain


@pytest.mark.parametrize("phase", ["created", "issued", "verified"])
def test_a_copied_mark_is_recognized_by_a_later_mark(phase: str) -> None:
    copied = marked("creating", NEWER_ID)
    plan = begin(OLD, marked(phase), copied)
    assert left(plan)[NEWER_ID] == "unclear_origin"
    # A replacement that was created at another time does not matter.
    early = marked(phase, key_id(9, NOW - 1))
    assert NEWER_ID not in left(begin(OLD, early, copied)) or phase == "verified"


def test_without_an_old_key_nothing_is_revoked() -> None:
    state = survey(marked("created"))
    assert not _rotation.is_never_issued(state.ours[0], state)
    with pytest.raises(GuardError, match=OLD_ID):
        begin(marked("created"))
    assert _rotation.plan_roll_back(state, None).steps == ()


# By description.


def test_a_description_leads_to_the_key_by_the_mark() -> None:
    renamed = replace(OLD, description="renamed")
    state = survey(renamed, marked("verified"), description="backup")
    assert (state.old_id, state.old) == (OLD_ID, renamed)
    assert survey(marked("verified"), description="backup").old_id == OLD_ID
    # Without a mark that verifies, no ID is taken from a text.
    forged = key(NEW_ID, f"backup (successor of {OLD_ID}: old until 2020-01-01T00:00:00Z)")
    assert survey(renamed, forged, description="backup").old_id is None
    assert survey(OLD, description="Backup", look_alikes="ignore").old is None


def test_a_description_may_identify_two_keys() -> None:
    other = key(NEWER_ID)
    renamed = replace(OLD, description="renamed")
    for keys in (
        [renamed, marked("issued"), other],
        [marked("verified"), other],
        [OLD, other],
        [OLD, marked("issued"), other],
        [marked("verified"), marked("verified", NEWER_ID, old_id=key_id(9))],
    ):
        with pytest.raises(AmbiguousError, match=NEWER_ID) as caught:
            survey(*keys, description="backup")
        assert ORG in caught.value.summary
        assert "description 'backup'" in caught.value.summary


@pytest.mark.parametrize(
    ("target", "description", "expected"),
    [
        ({"description": "backup"}, f"backup (successor of {key_id(9)}: created)", True),
        ({"description": "backup"}, f"other (successor of {key_id(9)}: created)", False),
        ({"description": "backup"}, f"other (successor of {OLD_ID}: created)", True),
        ({"api_user_id": OLD_ID}, f"other (successor of {OLD_ID}: created)", True),
        ({"api_user_id": OLD_ID}, f"backup (successor of {key_id(9)}: created)", False),
        ({"public_key": OLD.public_key}, f"other (successor of {OLD_ID}: created)", True),
        ({"public_key": OLD.public_key}, f"backup (successor of {key_id(9)}: created)", False),
    ],
)
def test_an_unverified_mark_matters_if_it_names_the_old_key(
    target: dict[str, str], description: str, expected: bool
) -> None:
    state = survey(OLD, key(NEW_ID, description), **target)
    assert bool(state.unverified) is expected


def test_leftovers_of_missing_keys_are_reported() -> None:
    stale = marked("issued", NEWER_ID, old_id=key_id(9))
    for target in ({"api_user_id": OLD_ID}, {"description": "backup"}):
        plan = begin(OLD, stale, **target)
        assert left(plan) == {NEWER_ID: "old_key_missing"}
        assert plan.state == "begun"


def test_a_public_key_does_not_lead_to_a_missing_key() -> None:
    new, other = marked("verified"), marked("issued", NEWER_ID, base="something else")
    state = survey(new, other, public_key="nosuchke")
    assert (state.old_id, {f.key.id for f in state.stale}) == (None, {NEW_ID, NEWER_ID})
    with pytest.raises(MissingError) as caught:
        begin(new, other, public_key="nosuchke")
    assert caught.value.parameters == [NEW_ID, NEWER_ID]
    assert left(finish(new, other, public_key="nosuchke")) == dict.fromkeys(
        (NEW_ID, NEWER_ID), "old_key_missing"
    )
    plan = finish(new, other, public_key="nosuchke", successor_id=NEW_ID)
    assert plan.steps == (Step(RENAME, new),)
    assert left(plan) == {NEWER_ID: "old_key_missing"}
    # An existing key leads to its own replacements only.
    assert survey(OLD, marked("verified", old_id=key_id(9)), public_key=OLD.public_key).stale
    stranger = marked("issued", NEWER_ID, old_id=key_id(9), base="something else")
    assert not survey(OLD, stranger, public_key=OLD.public_key).stale
    assert not survey(stranger, api_user_id=OLD_ID).stale


def test_a_replacement_is_not_replaced() -> None:
    new = marked("verified", time=NOW + 60)
    with pytest.raises(GuardError, match=NEW_ID):
        begin(OLD, new, api_user_id=NEW_ID)
    looks = key(NEW_ID, f"backup (successor of {NEWER_ID}: created)")
    with pytest.raises(GuardError, match=NEW_ID):
        begin(looks, api_user_id=NEW_ID)
    assert begin(looks, api_user_id=NEW_ID, ignore_marks=True).state == "begun"


def test_a_mark_on_the_old_key_itself_does_not_count() -> None:
    """It was copied there. The mark of a POST has no ID, so it verifies."""
    old = replace(OLD, description=marked("creating").description)
    state = survey(old)
    assert state.ours == ()
    with pytest.raises(GuardError, match=OLD_ID):
        begin(old)


# Rolling back.


def test_roll_back_revokes_an_issued_replacement_only_if_it_is_identified() -> None:
    issued, verified = marked("issued"), marked("verified")
    state = survey(OLD, issued)
    with pytest.raises(GuardError, match=OLD_ID):
        _rotation.plan_roll_back(state, None)
    plan = _rotation.plan_roll_back(state, NEW_ID)
    assert plan.steps == (Step(REVOKE_REPLACEMENT, issued),)
    assert (plan.new, left(plan)) == (issued, {})
    for successor_id in (None, NEW_ID):
        with pytest.raises(GuardError, match=NEW_ID):
            _rotation.plan_roll_back(survey(OLD, verified), successor_id)
    assert _rotation.plan_roll_back(survey(OLD), NEW_ID).state == "none"
    plan = _rotation.plan_roll_back(survey(OLD, marked("created")), None)
    assert (plan.state, left(plan)) == ("rolled_back", {})
    assert plan.includes(REVOKE_LEFTOVER)


def test_successor_id_must_identify_a_possible_replacement() -> None:
    other = key(NEWER_ID, "something else", **RIGHTS)
    of_another = key(NEWER_ID, f"x (successor of {key_id(9)}: created)", **RIGHTS)
    for stranger in (other, of_another):
        state = survey(OLD, stranger)
        with pytest.raises(GuardError, match=OLD_ID):
            _rotation.plan_roll_back(state, NEWER_ID)
        with pytest.raises(GuardError, match=OLD_ID):
            _rotation.choose(state, NEWER_ID, PAIR)
    with pytest.raises(MissingError, match=NEWER_ID):
        _rotation.choose(survey(OLD), NEWER_ID, PAIR)


def test_every_action_has_a_name() -> None:
    names = [action["action"] for action in finish(OLD, marked("issued"), pair=PAIR).actions()]
    assert names == [
        "verify_key_pair",
        "record_verification",
        "revoke_old_key",
        "rename_replacement",
    ]
    assert begin(OLD, marked("created")).actions() == [
        {"action": "revoke_leftover", "api_user_id": NEW_ID},
        {"action": "create_replacement", "api_user_id": None},
    ]
    plan = _rotation.plan_roll_back(survey(OLD, marked("issued")), NEW_ID)
    assert plan.actions() == [{"action": "revoke_replacement", "api_user_id": NEW_ID}]


def test_a_key_has_room_for_every_mark() -> None:
    assert _rotation.LONGEST_BASE == 148
    begin(replace(OLD, description="d" * 148))
    for description in ("d" * 149, ""):
        with pytest.raises(GuardError, match=OLD_ID):
            begin(replace(OLD, description=description))


# Comparing the old key with its replacement.


def check_same(
    old: OrgApiKey, new: OrgApiKey, new_entries: str | None = None, entries: str = "192.0.2.0/24"
) -> None:
    state = replace(survey(old, new), entries=networks(entries))
    lists = None if new_entries is None else networks(new_entries)
    _rotation.check_same(state, state.ours[0], lists)


def networks(text: str) -> frozenset[Any]:
    return frozenset(map(ipaddress.ip_network, text.split()))


@pytest.mark.parametrize("new_entries", [None, "192.0.2.0/24", "192.0.2.7"])
def test_a_replacement_with_the_same_rights_and_no_more_addresses_is_accepted(
    new_entries: str | None,
) -> None:
    check_same(OLD, marked("issued"), new_entries)


@pytest.mark.parametrize(
    ("old", "new", "lists", "named"),
    [
        (
            OLD,
            marked("issued", roles=("ORG_OWNER", "ORG_MEMBER"), projects=()),
            {},
            f"also has ORG_OWNER; it lacks ORG_READ_ONLY, GROUP_OWNER in {PROJECT}",
        ),
        (
            key(),
            marked("issued", projects=RIGHTS["projects"], roles=()),
            {},
            f"also has GROUP_OWNER in {PROJECT}",
        ),
        (
            OLD,
            marked("issued"),
            {"new_entries": "192.0.2.7 203.0.113.9 198.51.100.0/24"},
            "198.51.100.0/24, 203.0.113.9",
        ),
        (OLD, marked("issued"), {"new_entries": ""}, "access list is empty"),
        (replace(OLD, description="renamed"), marked("issued"), {}, "description is now 'renamed'"),
        (OLD, marked("issued"), {"entries": "192.0.2.0/25"}, "access list"),
        (replace(OLD, roles=()), marked("issued", roles=()), {}, "roles"),
    ],
)
def test_a_refusal_says_how_the_old_key_and_its_replacement_differ(
    old: OrgApiKey, new: OrgApiKey, lists: dict[str, str], named: str
) -> None:
    with pytest.raises(GuardError) as caught:
        check_same(old, new, **lists)
    assert named in caught.value.summary
    assert OLD_ID in caught.value.summary
    assert "org_api_key" in caught.value.hint
    assert ("org_api_key_access_list" in caught.value.hint) is ("new_entries" in lists)
    assert caught.value.parameters == [OLD_ID, NEW_ID]


# What refusals name.


def roll_back(*keys: OrgApiKey, successor_id: str | None = None) -> _rotation.Plan:
    return _rotation.plan_roll_back(survey(*keys), successor_id)


FORGED = key(NEW_ID, f"backup (successor of {OLD_ID}: created)")
ISSUED, NEWER = marked("issued"), marked("issued", NEWER_ID)
VERIFIED = marked("verified")
STALE = marked("issued", old_id=key_id(9))


@pytest.mark.parametrize(
    ("call", "error", "named", "hint", "parameters"),
    [
        (
            lambda: survey(replace(OLD, public_key=None), public_key="nosuchke"),
            AmbiguousError,
            (ORG, OLD_ID, "nosuchke"),
            "api_user_id",
            [],
        ),
        (
            lambda: survey(OLD, description="Backup"),
            AmbiguousError,
            (ORG, OLD_ID, "Backup"),
            "look_alikes",
            [],
        ),
        (lambda: begin(OLD, FORGED), GuardError, (OLD_ID, NEW_ID), "ignore_marks", [NEW_ID]),
        (lambda: finish(OLD, FORGED), GuardError, (OLD_ID, NEW_ID), "successor_id", [NEW_ID]),
        (lambda: roll_back(OLD, FORGED), GuardError, (OLD_ID, NEW_ID), "successor_id", [NEW_ID]),
        (
            lambda: begin(OLD, VERIFIED, marked("verified", NEWER_ID)),
            AmbiguousError,
            (OLD_ID, NEW_ID, NEWER_ID),
            "by ID",
            [NEW_ID, NEWER_ID],
        ),
        # Without an old key.
        (
            lambda: begin(STALE),
            MissingError,
            (ORG, f"ID {OLD_ID}"),
            "^(?!.*successor_id)",
            [],
        ),
        (
            lambda: begin(STALE, description="something else"),
            MissingError,
            (ORG, "description 'something else'"),
            "^(?!.*successor_id)",
            [],
        ),
        (
            lambda: begin(STALE, public_key="nosuchke"),
            MissingError,
            (ORG, "public key nosuchke"),
            f"Nothing was changed.*{NEW_ID}.*successor_id",
            [NEW_ID],
        ),
        (lambda: begin(ISSUED), GuardError, (OLD_ID, NEW_ID), "successor_id", [NEW_ID]),
        # The old key cannot be rotated.
        (
            lambda: begin(replace(OLD, description="renamed"), ISSUED, description="backup"),
            GuardError,
            (OLD_ID, "backup", "renamed"),
            "api_user_id",
            [OLD_ID],
        ),
        (
            lambda: begin(OLD, ISSUED, api_user_id=NEW_ID),
            GuardError,
            (OLD_ID, NEW_ID),
            "new_description",
            [NEW_ID],
        ),
        (
            lambda: begin(replace(OLD, description="d" * 151)),
            GuardError,
            (OLD_ID, "151", "3", "148"),
            "new_description",
            [OLD_ID],
        ),
        (
            lambda: begin(replace(OLD, description="")),
            GuardError,
            (OLD_ID,),
            "new_description",
            [OLD_ID],
        ),
        # The replacement is missing, or there are several.
        (
            lambda: finish(OLD, ISSUED, NEWER, pair=PAIR),
            AmbiguousError,
            (OLD_ID, NEW_ID, NEWER_ID),
            "successor_id",
            [NEW_ID, NEWER_ID],
        ),
        (lambda: finish(OLD), MissingError, (OLD_ID,), "begin", [OLD_ID]),
        (
            lambda: finish(OLD, marked("created")),
            MissingError,
            (OLD_ID, NEW_ID),
            "begin",
            [OLD_ID, NEW_ID],
        ),
        (
            lambda: finish(OLD, pair=PAIR, successor_id=OLD_ID),
            OptionError,
            ("successor_id",),
            "successor_id",
            [],
        ),
        (
            lambda: finish(OLD, key(NEW_ID), pair=PAIR, successor_id=NEW_ID),
            GuardError,
            (NEW_ID, f"ID {OLD_ID}"),
            "successor_id",
            [NEW_ID],
        ),
        # The replacement is or may be in use.
        (lambda: roll_back(OLD, ISSUED), GuardError, (NEW_ID,), "successor_id", [NEW_ID]),
        (
            lambda: roll_back(ISSUED, successor_id=NEW_ID),
            GuardError,
            (NEW_ID,),
            "org_api_key",
            [NEW_ID],
        ),
        (lambda: roll_back(OLD, VERIFIED), GuardError, (NEW_ID,), "phase finish", [NEW_ID]),
    ],
)
def test_a_refusal_names_the_keys_and_the_way_out(
    call: Callable[[], object],
    error: type[KeysmithError],
    named: tuple[str, ...],
    hint: str,
    parameters: list[str],
) -> None:
    with pytest.raises(error) as caught:
        call()
    assert [text for text in named if text not in caught.value.summary] == []
    assert re.search(hint, caught.value.hint)
    assert caught.value.parameters == parameters
