# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same or conflicting tasks at the same time: each reports the truth, and nothing is lost.

The checks hold whichever run is first.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.integration.playbook import KEYS, AnsibleSandbox, TaskResult
from tests.support import client_id, key_pair, org_id, project_id, seed, service_account
from tests.trust.death.mixed import (
    BULK,
    CREATE,
    CREATED,
    DECLARE,
    KINDS,
    LEAVER,
    SURPLUS,
    Files,
    Key,
    Kind,
    check_state,
    keys_in,
    play,
    start,
    tasks,
)

LATENCY = 0.01
# The messages with which a task may fail if others change the same keys. A partial failure of many
# keys is allowed only if each of its failures has one of these messages.
EXCUSES = (
    r"The key pair of the new API key .* could not be written to .*: another process wrote "
    r"to it in the meantime, so it was not overwritten\. Run the task again\. The new API key was "
    r"revoked to clean up: nothing is left\.",
    r"\d+ API keys of organization [^:]+ have the description .*",
    r"The API does not find the API key .*, which this task has seen.*",
    r"Could not .*: the API returned 4\d\d \w+_NOT_FOUND.* The API key was revoked or "
    r"removed from the project in the meantime, or a recent change is still propagating\. Run the "
    r"task again\.",
    r"credentials_file .* holds the key pair of another API key, \w+, and nothing was created\. .*",
)


def is_excused(msg: str) -> bool:
    return any(re.fullmatch(excuse, msg) for excuse in EXCUSES)


def two_processes(kind: Kind, url: str, files: Files, shop: Path, collections: Path) -> Any:
    sandboxes = [
        AnsibleSandbox(shop / str(number), collections, own_python=True) for number in range(2)
    ]
    running = []
    for number, sandbox in enumerate(sandboxes):
        one = play(kind, url, files, random.Random(number))
        for item in one["tasks"]:
            item["ignore_errors"] = True
        running.append((sandbox, sandbox.start([one])))
    return [result for sandbox, p in running for result in sandbox.finish(p).results]


@pytest.mark.parametrize("kind", KINDS[:2], ids=str)
def test_the_same_tasks_at_the_same_time_report_the_truth(
    tmp_path: Path, collections: Path, kind: Kind
) -> None:
    files = Files.below(tmp_path / "files")
    with Emulator(start(kind), LATENCY) as emulator:
        results = two_processes(kind, emulator.url, files, tmp_path / "shop", collections)
        assert len(results) == 2 * len(tasks(kind, files)), results
        check_failures(results)
        check_creations(emulator, kind, files, results)
        check_revocations(results)
        remove_duplicates(emulator, kind, results)
        # A single run completes what each of the two left to the other.
        plays = [play(kind, emulator.url, files, random.Random(0))]
        last = AnsibleSandbox(tmp_path / "last", collections).playbook(plays)
        assert last.code == 0, last.output
        check_state(emulator, kind)


def check_failures(results: Sequence[TaskResult]) -> None:
    """Assert that failures are only caused by the other run."""
    for result in results:
        failures = result.values.get("failures") or [{"msg": result.msg}]
        for failure in failures if result.failed else ():
            assert is_excused(failure["msg"]), (result.task, failure)


def check_creations(
    emulator: Emulator, kind: Kind, files: Files, results: Sequence[TaskResult]
) -> None:
    """Assert that one task created and reported each key, whose key pair is in its file."""
    claimed = Counter[str]()
    for result in results:
        if result.task == CREATE and result.changed and not result.failed:
            claimed[result.values["org_api_key"]["id"]] += 1
        if result.task == DECLARE:
            claimed.update(key["id"] for key in result.values.get("created", ()))
    there = {key.id: key for key in keys_in(emulator, kind) if key.description in CREATED}
    assert claimed == Counter(list(there))
    for key in there.values():
        pair = json.loads(files.path_of(key).read_text("utf-8"))
        assert (pair["api_user_id"], pair["private_key"]) == (key.id, key.private_key)
    assert len(files.all()) == len(there)


def check_revocations(results: Sequence[TaskResult]) -> None:
    """Assert that one task revoked and reported each missing key."""
    claimed = Counter[str]()
    for result in results:
        if result.task == "Revoke one" and result.changed:
            claimed[result.values["org_api_key"]["description"]] += 1
        claimed.update(key["description"] for key in result.values.get("revoked", ()))
    assert claimed == Counter([LEAVER, *BULK, *SURPLUS])


def remove_duplicates(emulator: Emulator, kind: Kind, results: Sequence[TaskResult]) -> None:
    """Assert that duplicates are reported, and remove all but one."""
    shown = " ".join(json.dumps(result.values, default=str) for result in results)
    keys = emulator.state.organizations[kind.org_id].api_keys
    by_description: dict[str, list[str]] = {}
    for key in keys.values():
        by_description.setdefault(key.description, []).append(key.id)
    for ids in by_description.values():
        for duplicate in ids[1:]:
            assert duplicate in shown
            assert ids[0] in shown
            del keys[duplicate]


@dataclass(frozen=True)
class Pair:
    """The results of two runs of one play each."""

    results: list[TaskResult]
    codes: list[int]


def run_two(url: str, plays: list[dict[str, Any]], folder: Path, collections: Path) -> Pair:
    sandboxes = [AnsibleSandbox(folder / str(number), collections) for number in range(len(plays))]
    processes = [sandbox.start([one]) for sandbox, one in zip(sandboxes, plays)]
    runs = [sandbox.finish(p) for sandbox, p in zip(sandboxes, processes)]
    return Pair([run.results[-1] for run in runs], [run.code for run in runs])


def test_two_revocations_of_the_same_keys_share_them(tmp_path: Path, collections: Path) -> None:
    """One purges and one selects; both have seen all keys before either revokes one."""
    platform = "ops_manager"
    extra = 16
    both = threading.Barrier(2, timeout=60)
    with Emulator(seed(extra), sleep=lambda _seconds: both.wait()) as emulator:
        # One thread per process: with more, both held requests could come from the same process.
        emulator.add_fault(Fault("slow", "DELETE", times=2))
        common = {"platform": platform, "base_url": emulator.url, "org_id": org_id(platform)}
        connection = {**common, **key_pair(platform), "concurrency": 1}
        keep = {"keep": [key["description"] for key in seed()["organizations"][2]["api_keys"]]}
        purge = {"api_keys": [], "purge": True, "max_revocations": 50, **keep}
        select = {"state": "absent", "description_match": ["extra *"]}
        plays = [
            {"hosts": "localhost", "tasks": [{"name": "Keys", KEYS: {**connection, **options}}]}
            for options in (purge, select)
        ]
        pair = run_two(emulator.url, plays, tmp_path, collections)
        assert pair.codes == [0, 0], pair.results
        revoked = [{key["id"] for key in r.values["revoked"]} for r in pair.results]
        assert not revoked[0] & revoked[1]
        assert len(revoked[0] | revoked[1]) == extra
        assert [r.changed for r in pair.results] == [bool(ids) for ids in revoked]
        assert len([r for r in emulator.writes if r.method == "DELETE"]) == extra
        assert len(emulator.state.organizations[org_id(platform)].api_keys) == 7


class _AfterWrites(Fault):
    """Delays a caller's listing until this many writes have been made."""

    def __init__(self, caller: str, writes: int) -> None:
        super().__init__("slow", "GET", "*/orgs/*/apiKeys", times=None)
        self._caller, self._writes = caller, writes

    def play(self, exchange: Any) -> None:
        if exchange.recorded.caller == self._caller:
            for _look in range(6000):
                if len(exchange.emulator.writes) >= self._writes:
                    break
                exchange.sleep(0.01)
        exchange.send(exchange.perform())


@pytest.mark.parametrize("writes", [1, 4, 9, 20])
def test_keys_revoked_while_they_are_created_are_reported(
    tmp_path: Path, collections: Path, writes: int
) -> None:
    """One run creates keys with access lists and projects; another revokes those it finds."""
    platform = "atlas"
    wanted = Key(("ORG_MEMBER",), ((project_id(platform), ("GROUP_OWNER",)),), ("192.0.2.1",))
    fleet = [
        {
            "description": f"fleet {number}",
            "roles": list(wanted.roles),
            "access_list": ["192.0.2.1"],
            "projects": [{"project_id": p, "roles": list(r)} for p, r in wanted.projects],
        }
        for number in range(10)
    ]
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    with Emulator(seed(), LATENCY) as emulator:
        emulator.add_fault(_AfterWrites(client_id(platform), writes))
        common = {"platform": platform, "base_url": emulator.url, "org_id": org_id(platform)}
        make = {"api_keys": fleet, "credentials_dir": str(pairs), "concurrency": 2}
        revoke = {"state": "absent", "description_match": ["fleet *"], "concurrency": 2}
        plays = [
            {"hosts": "localhost", "tasks": [{"name": "Keys", KEYS: {**common, **options}}]}
            for options in (
                {**key_pair(platform), **make},
                {**service_account(platform), **revoke},
            )
        ]
        made, revoked = run_two(emulator.url, plays, tmp_path, collections).results
        keys = emulator.state.organizations[org_id(platform)].api_keys
    assert not revoked.failed, revoked.msg
    gone = {key["id"] for key in revoked.values["revoked"]}
    created = {key["id"]: key for key in made.values["created"]}
    assert len(created) == len(fleet)
    assert gone <= created.keys()
    check_failures([made])
    failures = {failure["id"] for failure in made.values.get("failures", ())}
    assert failures <= gone
    assert made.failed is bool(failures)
    left = {key.id: key for key in keys.values() if key.description.startswith("fleet ")}
    assert left.keys() == created.keys() - gone
    for key in left.values():
        assert Key.of(key) == wanted
        assert json.loads((pairs / f"{key.id}.json").read_text("utf-8"))["api_user_id"] == key.id
