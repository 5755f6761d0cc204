# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role rotate_org_api_key: a failure at every step, and the run after it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.rotations import (
    LEFT,
    ROLLED_BACK,
    ROTATED,
    UNKNOWN,
    UNTOUCHED,
    Case,
    Ran,
    Step,
    check_end,
    check_secrets,
    check_stored,
    check_words,
    rotate,
)

pytestmark = pytest.mark.slow

KEYS, KEY = "*/orgs/{org_id}/apiKeys", "*/orgs/{org_id}/apiKeys/*"
OLD_KEY = "*/orgs/{org_id}/apiKeys/{old}"
PROJECT = "*/groups/{project_id}/apiKeys/*"
# Where nothing was written, the next run is no other than the first one.
NOT_BEGUN, UNDONE, STOPPED = (UNTOUCHED,), (ROLLED_BACK, ROTATED), (LEFT, ROTATED)
BREAKING = {"store_tasks": "<tasks>/store.yml"}
BROKEN = {"is_broken": "public_key"}
REVOKED = "was revoked again"


# How often the role tries the new pair in these tests.
TRIES = 4


def step(method: str, path: str, skip: int = 0) -> tuple[Step, ...]:
    return (Step(method, path, skip),)


def new_pair(code: str = "UNEXPECTED_ERROR", skip: int = 0, count: int = TRIES) -> tuple[Step, ...]:
    """Some of the requests that new pairs sign: those of one proof, unless told otherwise."""
    refusal = {**UNKNOWN, "code": code}
    return (Step("GET", KEY, skip, count, by_new_pair=True, arguments=refusal),)


LOST = (Step("POST", KEYS, name="lost_after", arguments={}),)
NO_ROLLBACK = step("DELETE", KEY)
# In the order of the role's steps.
CASES = [
    Case("list keys", NOT_BEGUN, ("EMULATED",), steps=step("GET", KEYS)),
    Case("find the signer", NOT_BEGUN, ("EMULATED",), steps=step("GET", OLD_KEY)),
    Case("read access list", NOT_BEGUN, ("EMULATED",), steps=step("GET", f"{OLD_KEY}/accessList")),
    Case("read organization", NOT_BEGUN, ("EMULATED",), steps=step("GET", "*/orgs")),
    Case(
        "roll back an earlier run",
        (UNTOUCHED, ROTATED),
        ("EMULATED",),
        steps=NO_ROLLBACK,
        successors=("created",),
    ),
    Case("create", UNDONE, ("EMULATED", "No successor is left"), steps=step("POST", KEYS)),
    Case("create with its answer lost", UNDONE, ("Create the successor", REVOKED), steps=LOST),
    Case(
        "create and roll back with an answer lost",
        STOPPED,
        ("could not be revoked either",),
        steps=(*LOST, *NO_ROLLBACK),
    ),
    Case(
        "set access list",
        UNDONE,
        ("access list", "EMULATED", REVOKED),
        steps=step("POST", f"{KEY}/accessList"),
    ),
    Case("assign", UNDONE, ("projects", "EMULATED", REVOKED), steps=step("POST", PROJECT)),
    Case("first proof", UNDONE, ("Sign a request", "401", REVOKED), steps=new_pair()),
    Case("note storing", UNDONE, ("EMULATED", REVOKED), steps=step("PATCH", KEY)),
    Case(
        "store",
        UNDONE,
        ('The store task "Break" failed', REVOKED, "put back what was there"),
        options=BREAKING,
        first=BROKEN,
    ),
    Case(
        "store and roll back",
        STOPPED,
        ("The store task", "could not be revoked either", "EMULATED", "put back"),
        options=BREAKING,
        first=BROKEN,
        steps=NO_ROLLBACK,
    ),
    Case("second proof", UNDONE, ("401", REVOKED, "put back"), steps=new_pair(skip=1)),
    Case("note proved", STOPPED, ("EMULATED",), steps=step("PATCH", KEY, skip=1)),
    Case("revoke", STOPPED, ("EMULATED",), steps=step("DELETE", OLD_KEY)),
    Case("give the description", STOPPED, ("EMULATED",), steps=step("PATCH", KEY, skip=2)),
    # What is no failure.
    Case("pair known late", steps=new_pair(count=2)),
    Case("new pair may not read", steps=new_pair("USER_UNAUTHORIZED", count=99)),
]
NAMED = {case.name: case for case in CASES}
RUNS = [
    pytest.param(case, run, id=f"{case}-{run + 1}")
    for case in CASES
    for run in range(len(case.ends))
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Iterator[Ran]:
    with rotate(CASES, tmp_path_factory.mktemp("faults"), collections) as done:
        yield done


@pytest.mark.parametrize(("case", "run"), RUNS)
def test_a_run_ends_as_it_should(ran: Ran, case: Case, run: int) -> None:
    check_end(ran, case, run)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_failure_says_what_has_failed(ran: Ran, case: Case) -> None:
    check_words(ran, case)


@pytest.mark.parametrize("case", [c for c in CASES if ROTATED in c.ends], ids=str)
def test_the_stored_pair_is_that_of_the_successor(ran: Ran, case: Case) -> None:
    check_stored(ran, case)


def test_nothing_is_stored_that_does_not_sign(ran: Ran) -> None:
    """Otherwise the second run would have found a file, and kept it."""
    assert not list(ran.files.glob(f"{NAMED['first proof']}.json.*~"))


def test_a_file_that_was_there_is_kept(ran: Ran) -> None:
    (backup,) = ran.files.glob(f"{NAMED['second proof']}.json.*~")
    assert backup.stat().st_mode & 0o777 == 0o600
    assert (
        json.loads(backup.read_text("utf-8"))["api_user_id"]
        != (ran.left(NAMED["second proof"], 1)[0]["id"])
    )


def test_the_new_pair_is_tried_again(ran: Ran) -> None:
    case = NAMED["pair known late"]
    (result, _second) = [r for r in ran.results(case, 0) if "Sign a request" in r.task]
    assert "censored" in result.values
    assert ran.process.stdout.count(f"FAILED - RETRYING: [{case}]") == 2


@pytest.mark.parametrize("told", ["private_key", "public_key"])
def test_the_role_repeats_no_output_of_a_store_task(
    tmp_path: Path, collections: Path, told: str
) -> None:
    """By the role, that is: since 2.19, ansible-core itself shows it, under no_log too."""
    telling = Case("telling", (ROLLED_BACK,), options={**BREAKING, "is_broken": told})
    with rotate([telling], tmp_path, collections) as done:
        check_end(done, telling, 0)
        message = str(done.told(telling, 0)["failed"])
        assert 'The store task "Break" failed. Its output is not repeated here' in message
        assert "The successor" in message
        assert "no store for" not in message
        assert not [secret for secret in done.secrets.values() if secret in message]


def test_no_private_key_is_shown(ran: Ran) -> None:
    check_secrets(ran)
