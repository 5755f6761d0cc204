# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""keysmith.mongodb.org_api_keys: random selections, faults in eight threads, and kills."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.emulator import Emulator, Fault
from tests.integration.playbook import GROUP, KEYS, AnsibleSandbox, kill, wait_for
from tests.support import (
    PLATFORMS,
    ROOT,
    Outcome,
    VirtualClock,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_module,
    seed,
    service_account,
)

PLATFORM = "atlas"
SIGNER = key_id(PLATFORM, 1)
EXTRA = {"state": "absent", "description_match": ["extra *"], "max_revocations": 500}


def run(emulator: Emulator, **options: Any) -> Outcome:
    check = options.pop("check", False)
    diff = options.pop("diff", False)
    base = {"base_url": emulator.url, "org_id": org_id(PLATFORM), **key_pair(PLATFORM)}
    return run_module("org_api_keys", {**base, **options}, check=check, diff=diff)


def keys(emulator: Emulator) -> dict[str, Any]:
    return emulator.state.organizations[org_id(PLATFORM)].api_keys


def extra(emulator: Emulator) -> list[str]:
    return [key.id for key in keys(emulator).values() if key.description.startswith("extra")]


# Random organizations and selections

PROJECTS = [project_id(PLATFORM), project_id(PLATFORM)[:-1] + "b"]
WORDS = ["a", "b", "ab", "a b", "laptop", "abcdefgh", "ä*", "[x]"]
ROLES = ["ORG_OWNER", "ORG_MEMBER", "ORG_READ_ONLY"]
NUMBERS = st.integers(0, 11)
GLOBS = st.sampled_from([*WORDS, "*", "a*", "*b", "?", "[ab]", "[!a]*", "nobody"])
KEY_IDS = [SIGNER, *(key_id(PLATFORM, number) for number in range(20, 31))]
PUBLIC_KEYS = [public_key(PLATFORM, number) for number in (1, *range(20, 31))]


@st.composite
def organizations(draw: st.DrawFn) -> dict[str, Any]:
    """An organization with up to 12 keys. The first is the signing credential."""
    world = seed()
    world["organizations"] = [o for o in world["organizations"] if o["id"] == org_id(PLATFORM)]
    (organization,) = world["organizations"]
    organization["projects"] = [{"id": project, "name": project} for project in PROJECTS]
    (credential_name,) = (key for key in organization["api_keys"] if key["id"] == SIGNER)
    organization["api_keys"] = [credential_name]
    for number in range(draw(NUMBERS)):
        projects = draw(st.sets(st.sampled_from(PROJECTS)))
        organization["api_keys"].append(
            {
                "id": KEY_IDS[number + 1],
                "public_key": PUBLIC_KEYS[number + 1],
                "private_key": f"{number:08d}-1111-4111-8111-{'0' * 12}",
                "description": draw(st.sampled_from(WORDS)),
                "roles": sorted(draw(st.sets(st.sampled_from(ROLES), min_size=1))),
                "projects": [{"project_id": p, "roles": ["GROUP_OWNER"]} for p in projects],
                "access_list": [],
            }
        )
    return world


def bracketed() -> dict[str, Any]:
    """An organization with a description that is also a pattern, and one that it matches."""
    world = seed()
    (credential_name, *others) = world["organizations"][0]["api_keys"]
    keys_ = [{**key, "description": text} for key, text in zip(others, ("[x]", "x"))]
    world["organizations"][0]["api_keys"] = [credential_name, *keys_]
    return world


SELECTORS = st.fixed_dictionaries(
    {},
    optional={
        "api_user_ids": st.lists(st.sampled_from(KEY_IDS), max_size=6),
        "public_keys": st.lists(st.sampled_from(PUBLIC_KEYS), max_size=6),
        "descriptions": st.lists(st.sampled_from([*WORDS, "nobody"]), max_size=3),
        "description_match": st.lists(GLOBS, max_size=3),
        "roles": st.lists(st.sampled_from(ROLES), max_size=2),
        "project_id": st.sampled_from(PROJECTS),
    },
).filter(bool)
KEEP = st.lists(st.sampled_from(KEY_IDS) | st.sampled_from(PUBLIC_KEYS) | GLOBS, max_size=3)


def is_selected(key: dict[str, Any], selectors: dict[str, Any]) -> bool:
    """Implement the selection again, as the documentation describes it."""
    tests = {
        "api_user_ids": lambda wanted: key["id"] in wanted,
        "public_keys": lambda wanted: key["public_key"] in wanted,
        "descriptions": lambda wanted: key["description"] in wanted,
        "description_match": lambda wanted: any(
            fnmatchcase(key["description"], glob) for glob in wanted
        ),
        "roles": lambda wanted: any(role in wanted for role in key["roles"]),
        "project_id": lambda wanted: any(p["project_id"] == wanted for p in key["projects"]),
    }
    return all(tests[name](value) for name, value in selectors.items())


# Each example resets the emulator. A description also counts as exact text: one with brackets does
# not match itself as a pattern.
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=organizations(), selectors=SELECTORS, keep=KEEP, allow=st.booleans())
@example(world=bracketed(), selectors={"description_match": ["*"]}, keep=["[x]"], allow=False)
def test_all_selected_keys_except_kept_and_own_ones_are_revoked(
    emulator: Emulator,
    world: dict[str, Any],
    selectors: dict[str, Any],
    keep: list[str],
    allow: bool,
) -> None:
    emulator.reset(world)
    doomed = {
        key["id"]
        for key in (world["organizations"][0]["api_keys"])
        if is_selected({"projects": [], **key}, selectors)
        and not any(
            item in {key["id"], key["public_key"], key["description"]}
            or fnmatchcase(key["description"], item)
            for item in keep
        )
        and (allow or key["id"] != SIGNER)
    }
    before = set(keys(emulator))
    # Other tests cover the guards, which are off here.
    guards = {"look_alikes": "ignore", "on_unselected": "report", "on_keep_missing": "warn"}
    options = {"state": "absent", "keep": keep, "allow_own_key": allow, **guards, **selectors}
    planned = run(emulator, check=True, diff=True, **options)
    assert not planned.failed, planned.msg
    assert set(keys(emulator)) == before
    outcome = run(emulator, diff=True, **options)
    assert not outcome.failed, outcome.msg
    assert before - set(keys(emulator)) == doomed
    for name in ("changed", "revoked", "kept", "missing", "diff"):
        assert planned.result[name] == outcome.result[name]
    assert {key["id"] for key in outcome.result["revoked"]} == doomed
    assert outcome.changed is bool(doomed)


# Rate limits and faults, with eight concurrent requests


@pytest.mark.parametrize("retry_after", [None, 0, 2])
def test_many_rate_limit_errors_are_retried(emulator: Emulator, retry_after: int | None) -> None:
    emulator.reset(seed(extra_keys=200))
    arguments = {} if retry_after is None else {"retry_after": retry_after}
    emulator.add_fault(Fault("status", every=3, times=None, status=429, **arguments))
    outcome = run(emulator, retry_max_wait=1000, **EXTRA)
    assert not outcome.failed, outcome.msg
    assert len(outcome.result["revoked"]) == 200
    assert extra(emulator) == []
    statuses = [request.status for request in emulator.requests]
    refused = statuses.count(429)
    assert refused >= 100
    # A listing, 200 revocations, a retry of each request that was rate limited, and one challenge.
    assert len(statuses) == 201 + refused + 1


@pytest.mark.parametrize("platform", PLATFORMS)
def test_more_keys_than_the_limit_are_revoked_in_time(emulator: Emulator, platform: str) -> None:
    emulator.reset(seed(extra_keys=600))
    emulator.settings.rate_limit = True
    clock = VirtualClock()
    emulator.clock = clock.now
    base = {"platform": platform, "base_url": emulator.url, "org_id": org_id(platform)}
    options = {**base, **key_pair(platform), **EXTRA, "max_revocations": 600}
    outcome = run_module("org_api_keys", options, clock=clock)
    assert not outcome.failed, outcome.msg
    assert len(outcome.result["revoked"]) == 600
    refused = sum(request.status == 429 for request in emulator.requests)
    # Once for each request in flight.
    assert 1 <= refused <= 8
    # The limit resets a minute after its first use.
    assert clock.time - 1000 >= 60


FAULTS: dict[str, dict[str, Any]] = {
    "lost_before": {},
    "lost_after": {},
    "reset": {"after_write": True},
    "truncated": {},
    "garbage": {"after_write": True},
    "html": {"status": 404},
    "redirect": {},
    "429": {"status": 429, "retry_after": 1},
    "403": {"status": 403},
    "500": {"status": 500},
    "500-done": {"status": 500, "after_write": True},
    "503": {"status": 503},
}


@pytest.mark.parametrize("times", [1, 5, None])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_at_revocations_are_retried_or_reported(
    emulator: Emulator, fault: str, times: int | None
) -> None:
    emulator.reset(seed(extra_keys=24))
    name = fault if fault.isidentifier() else "status"
    emulator.add_fault(Fault(name, "DELETE", every=4, times=times, **FAULTS[fault]))
    before = set(extra(emulator))
    first = run(emulator, **EXTRA)
    assert "Internal error" not in first.msg
    gone = before - set(extra(emulator))
    told = {key["id"] for key in first.result["revoked"]}
    # Every key reported as revoked is revoked. A revoked key that is not reported is a failure.
    assert told <= gone
    failed = {key["id"]: key for key in first.result.get("failures", [])}
    assert told | failed.keys() == before
    assert first.failed is bool(failed)
    for key_id_ in gone & failed.keys():
        assert "may have been carried out" in failed[key_id_]["msg"]
    emulator.clear_faults()
    again = run(emulator, **EXTRA)
    assert not again.failed
    assert extra(emulator) == []
    assert told | {key["id"] for key in again.result["revoked"]} | (gone & failed.keys()) == before


@pytest.mark.parametrize("fault", FAULTS)
# One listing, two requests for each key, and a listing to find duplicates.
@pytest.mark.parametrize("number", range(8))
def test_a_fault_at_any_request_of_many_creations_loses_no_key(
    emulator: Emulator, tmp_path: Path, fault: str, number: int
) -> None:
    name = fault if fault.isidentifier() else "status"
    emulator.add_fault(Fault(name, after=number, **FAULTS[fault]))
    api_keys = [
        {
            "description": f"new {n}",
            "roles": ["ORG_MEMBER"],
            "access_list": ["192.0.2.1"],
        }
        for n in range(3)
    ]
    options = {"api_keys": api_keys, "credentials_dir": str(tmp_path)}
    first = run(emulator, **options)
    assert "Internal error" not in first.msg
    made = {key.id: key for key in keys(emulator).values() if key.description.startswith("new ")}
    assert len({key.description for key in made.values()}) == len(made)
    pairs = {path.stem: json.loads(path.read_text("utf-8")) for path in tmp_path.iterdir()}
    for api_user_id, pair in pairs.items():
        assert made[api_user_id].private_key == pair["private_key"]
    # A key whose pair is lost is listed, so that it can be revoked.
    orphans = made.keys() - pairs.keys()
    named = {id_ for f in first.result.get("failures", []) for id_ in f["error"]["parameters"]}
    assert orphans <= named
    for orphan in orphans:
        del keys(emulator)[orphan]
    again = run(emulator, **options)
    assert not again.failed, again.msg
    made = {key.id: key for key in keys(emulator).values() if key.description.startswith("new ")}
    assert sorted(key.description for key in made.values()) == [f"new {n}" for n in range(3)]
    assert {path.stem for path in tmp_path.iterdir()} == made.keys()
    assert all(key.access_list for key in made.values())


# Playbooks


def play(url: str, **options: Any) -> dict[str, Any]:
    connection = {"base_url": url, "org_id": org_id(PLATFORM), **key_pair(PLATFORM)}
    return {
        "hosts": "localhost",
        "module_defaults": {GROUP: connection},
        "tasks": [{"name": "Keys", KEYS: options}],
    }


def test_a_playbook_declares_the_keys_of_an_organization(tmp_path: Path, collections: Path) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    declared = {
        "api_keys": [
            {
                "description": "nightly backup",
                "roles": ["ORG_MEMBER"],
                "access_list": ["192.0.2.0/24"],
                "projects": [{"project_id": project_id(PLATFORM), "roles": ["GROUP_OWNER"]}],
            },
            {"description": "victim", "roles": ["ORG_MEMBER"]},
        ],
        "purge": True,
        "keep": ["twin"],
        "credentials_dir": str(folder),
    }
    with Emulator(seed()) as emulator:
        once = play(emulator.url, **declared)
        shop = AnsibleSandbox(tmp_path / "check", collections)
        planned = shop.playbook([once], "--check", "--diff")
        assert not emulator.writes
        twice = {**once, "tasks": [*once["tasks"], {"name": "Keys again", KEYS: declared}]}
        done = AnsibleSandbox(tmp_path / "do", collections).playbook([twice], "--diff")
        assert sorted(key.description for key in keys(emulator).values()) == [
            "nightly backup", "signs", "twin", "twin", "victim",
        ]  # fmt: skip
    assert [run.code for run in (planned, done)] == [0, 0], planned.output + done.output
    results = [planned.result("Keys"), done.result("Keys"), done.result("Keys again")]
    assert [result.changed for result in results] == [True, True, False]
    assert results[0].values["diff"] == results[1].values["diff"]
    (created,) = results[1].values["created"]
    pair = json.loads(Path(created["credentials_file"]).read_text("utf-8"))
    assert pair["private_key"] not in done.output
    assert '+            "description": "nightly backup",' in done.stdout
    assert '-            "description": "listed elsewhere",' in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes through /proc")
@pytest.mark.parametrize("moment", [5, 60, 120])
def test_the_run_after_a_killed_one_finishes_its_work(
    tmp_path: Path, collections: Path, moment: int
) -> None:
    with Emulator(seed(extra_keys=200)) as emulator:
        # This is far from the end even on a slow machine.
        emulator.settings.latency = 0.05
        plays = [play(emulator.url, **EXTRA)]
        shop = AnsibleSandbox(tmp_path / "killed", collections, own_python=True)
        process = shop.start(plays)
        wait_for(lambda: len(emulator.writes) >= moment, process, seconds=120)
        kill(process)
        settle(emulator)
        left = extra(emulator)
        assert 0 < len(left) < 200
        again = AnsibleSandbox(tmp_path / "again", collections).playbook(plays)
        assert again.code == 0, again.output
        assert sorted(k["id"] for k in again.result("Keys").values["revoked"]) == sorted(left)
        assert extra(emulator) == []
        assert len(emulator.writes) >= 200


def test_a_variable_that_is_empty_by_accident_purges_nothing(
    tmp_path: Path, collections: Path, emulator: Emulator
) -> None:
    declared = {"api_keys": "{{ keys_by_stage['test'] | default([]) }}", "purge": True}
    variables = {"keys_by_stage": {"prod": [{"description": "victim"}]}}
    plays = [{**play(emulator.url, **declared), "vars": variables}]
    refused = AnsibleSandbox(tmp_path / "run", collections).playbook(plays)
    assert refused.code == 2
    assert refused.result("Keys").error["type"] == "options"
    assert emulator.requests == []
    # A limit confirms that the list is empty on purpose.
    meant = run(emulator, api_keys=[], purge=True, max_revocations=6)
    assert not meant.failed, meant.msg
    assert keys(emulator).keys() == {SIGNER}


def settle(emulator: Emulator) -> None:
    """Wait until the emulator has handled all requests."""
    count = -1
    while count != len(emulator.requests):
        count = len(emulator.requests)
        time.sleep(0.3)


MODULE_PROCESS = """
import json, signal, sys
# A process that runs in the background may ignore this signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[1])
from tests.support import RealClock, run_module
print(run_module("org_api_keys", json.loads(sys.argv[2]), clock=RealClock()).output)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "words"), [
    ("SIGTERM", "the task was stopped by SIGTERM"),
    ("SIGINT", "the task was stopped by SIGINT"),
    ("time_limit", "time_limit: 2 s"),
])  # fmt: skip
def test_a_canceled_run_finishes_requests_in_flight_and_lists_the_rest(
    collections: Path, ending: str, words: str
) -> None:
    with Emulator(seed(extra_keys=200)) as emulator:
        emulator.settings.latency = 0.1
        base = {"base_url": emulator.url, "org_id": org_id(PLATFORM), **key_pair(PLATFORM)}
        options = {**base, **EXTRA, "concurrency": 4}
        if ending == "time_limit":
            options["time_limit"] = 2
        process = subprocess.Popen(
            [sys.executable, "-c", MODULE_PROCESS, str(collections), json.dumps(options)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if ending != "time_limit":
            wait_for(lambda: len(emulator.writes) >= 20, process, seconds=120)
            process.send_signal(signal.Signals[ending])
        stdout, stderr = process.communicate(timeout=60)
        result = json.loads(stdout)
        settle(emulator)
        left = extra(emulator)
    assert stderr == ""
    assert result["failed"]
    assert words in result["msg"]
    assert "failures" in result
    assert result["failures"] == []
    # Each key is either revoked or pending.
    assert sorted(key["id"] for key in result["pending"]) == sorted(left)
    assert len(result["revoked"]) + len(left) == 200
    assert len(left) > 100


@pytest.mark.slow
def test_a_signal_after_the_work_does_not_lose_the_result(collections: Path) -> None:
    """Revoking the token takes another request after all keys are created."""
    with Emulator(seed()) as emulator:
        emulator.add_fault(Fault("slow", "POST", "/api/oauth/revoke", seconds=2.0))
        base = {"base_url": emulator.url, "org_id": org_id(PLATFORM), **service_account(PLATFORM)}
        api_keys = [{"description": f"new {n}", "roles": ["ORG_MEMBER"]} for n in range(3)]
        options = json.dumps({**base, "api_keys": api_keys})
        process = subprocess.Popen(
            [sys.executable, "-c", MODULE_PROCESS, str(collections), options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(
            lambda: emulator.requests[-1:] and "revoke" in emulator.requests[-1].path,
            process,
            seconds=120,
        )
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    assert stderr == ""
    created = json.loads(stdout)["created"]
    assert len([key["private_key"] for key in created]) == 3
