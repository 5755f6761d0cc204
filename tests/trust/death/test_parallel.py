# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same and contrary tasks at the same moment: each tells the truth, and nothing is lost.

Nothing is said of who comes first, only of what has to hold whoever does.
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
    SINGLE,
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
from tests.trust.figures import count
from tests.unit.test_agreed_messages import CASES

SECTION = "death"
LATENCY = 0.01
# What a task may fail of when others act on the same keys: whole messages. That not all is done of
# many keys is none; there each failure needs an excuse of its own.
EXCUSES = (
    r"The new API key .* could not be written to .*: something else, such as another run of this "
    r"task, has written there in the meantime\. It may be the only copy of a key pair\. Run the "
    r"task again\. The new API key was revoked to clean up: nothing is left\.",
    r"\d+ API keys of organization [^:]+ have the description .*",
    r"The API does not find the API key .*, which this task has seen.*",
    r"Could not .*: the API returned 4\d\d \w+_NOT_FOUND.* The API key was revoked or removed from "
    r"the project in the meantime, or a recent change is still propagating\. Run the task again\.",
    r"credentials_file .* holds the key pair of another API key, \w+, and nothing was created\. .*",
)


def is_excused(msg: str) -> bool:
    return any(re.fullmatch(excuse, msg) for excuse in EXCUSES)


def two_processes(kind: Kind, url: str, files: Files, shop: Path, collections: Path) -> Any:
    workshops = [AnsibleSandbox(shop / str(number), collections) for number in range(2)]
    running = []
    for number, workshop in enumerate(workshops):
        one = play(kind, url, files, random.Random(number))
        for item in one["tasks"]:
            item["ignore_errors"] = True
        running.append((workshop, workshop.start([one])))
    return [result for workshop, p in running for result in workshop.finish(p).results]


def free_hosts(kind: Kind, url: str, files: Files, shop: Path, collections: Path) -> Any:
    workshop = AnsibleSandbox(shop, collections)
    one = {**play(kind, url, files, random.Random(9)), "hosts": "all", "strategy": "free"}
    for item in one["tasks"]:
        item["ignore_errors"] = True
    hosts: dict[str, dict[str, Any]] = {name: {} for name in ("first", "second")}
    return workshop.playbook([one], "--forks=2", hosts=hosts).results


def background_jobs(kind: Kind, url: str, files: Files, shop: Path, collections: Path) -> Any:
    """Every task twice, all as jobs in the background of one play."""
    workshop = AnsibleSandbox(shop, collections)
    one = play(kind, url, files, random.Random(5))
    twice = [(number, item) for number in (1, 2) for item in one["tasks"]]
    begun = [
        {**item, "name": "Begin", "async": 300, "poll": 0, "register": f"job_{n}_{number}"}
        for n, (number, item) in enumerate(twice)
    ]
    ended = [
        {
            "name": item["name"],
            "ansible.builtin.async_status": {"jid": f"{{{{ job_{n}_{number}.ansible_job_id }}}}"},
            "register": "job",
            "deadline": "job is finished",
            "retries": 600,
            "delay": 0.2,
            "ignore_errors": True,
        }
        for n, (number, item) in enumerate(twice)
    ]
    # Where jobs are is asked of HOME by one side, and of the user's entry by the other.
    jobs = {"ANSIBLE_ASYNC_DIR": str(shop / "jobs")}
    results = workshop.playbook([{**one, "tasks": [*begun, *ended]}], environ=jobs).results
    return [result for result in results if result.task != "Begin"]


@pytest.mark.parametrize("crowd", [two_processes, free_hosts, background_jobs])
def test_the_same_tasks_at_the_same_moment_tell_the_truth(
    tmp_path: Path, collections: Path, crowd: Any
) -> None:
    kind = KINDS[["free_hosts", "two_processes", "background_jobs"].index(crowd.__name__)]
    files = Files.below(tmp_path / "files")
    with Emulator(start(kind), LATENCY) as emulator:
        results = crowd(kind, emulator.url, files, tmp_path / "shop", collections)
        assert len(results) == 2 * len(tasks(kind, files)), results
        check_failures(results)
        check_creations(emulator, kind, files, results)
        check_revocations(results)
        remove_twins(emulator, kind, results)
        # What two of them have left undone, each for the other's sake, one alone does.
        plays = [play(kind, emulator.url, files, random.Random(0))]
        last = AnsibleSandbox(tmp_path / "last", collections).playbook(plays)
        assert last.code == 0, last.output
        check_state(emulator, kind)
    count(SECTION, "tasks that met others at the same keys", len(results))


def check_failures(results: Sequence[TaskResult]) -> None:
    """Assert that nothing fails but for what another did meanwhile."""
    for result in results:
        failures = result.values.get("failures") or [{"msg": result.msg}]
        for failure in failures if result.failed else ():
            assert is_excused(failure["msg"]), (result.task, failure)


def test_no_trouble_with_the_api_is_an_excuse() -> None:
    """Of all messages that are agreed on."""
    messages = [case.text for case in CASES]
    excused = [msg for msg in messages if is_excused(msg)]
    assert excused
    troubles = ("returned 5", "returned 401", "returned 403", "connection", "Internal", "Not all")
    assert [msg for msg in excused if any(trouble in msg for trouble in troubles)] == []


def test_what_is_left_undone_needs_an_excuse_for_each_key() -> None:
    organization = f"the API keys of organization {org_id('atlas')}"
    excuse = "The API does not find the API key x, which this task has seen: it was revoked."
    trouble = f"Could not list {organization}: the API returned 500 X."

    def check(*messages: str, msg: str = f"Not all changes to {organization} are done.") -> None:
        values = {"msg": msg, "failures": [{"msg": message} for message in messages]}
        check_failures([TaskResult("localhost", DECLARE, "failed", values)])

    check(excuse, excuse)
    check(msg=excuse)
    for wrong in (check, lambda: check(excuse, trouble), lambda: check(msg=trouble)):
        with pytest.raises(AssertionError):
            wrong()


def check_creations(
    emulator: Emulator, kind: Kind, files: Files, results: Sequence[TaskResult]
) -> None:
    """Assert that each key was created by one task, says so, and has its pair in its file."""
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
    """Assert that each key that is gone was revoked by one task."""
    claimed = Counter[str]()
    for result in results:
        if result.task == "Revoke one" and result.changed:
            claimed[result.values["org_api_key"]["description"]] += 1
        claimed.update(key["description"] for key in result.values.get("revoked", ()))
    assert claimed == Counter([LEAVER, *BULK, *SURPLUS])


def remove_twins(emulator: Emulator, kind: Kind, results: Sequence[TaskResult]) -> None:
    """Assert that twins are told, and take away all but one, as the words tell."""
    told = " ".join(json.dumps(result.values, default=str) for result in results)
    keys = emulator.state.organizations[kind.org_id].api_keys
    by_description: dict[str, list[str]] = {}
    for key in keys.values():
        by_description.setdefault(key.description, []).append(key.id)
    for ids in by_description.values():
        for twin in ids[1:]:
            assert twin in told
            assert ids[0] in told
            del keys[twin]


@dataclass(frozen=True)
class Pair:
    """Two runs of one play each, and how they ended."""

    results: list[TaskResult]
    codes: list[int]


def run_two(url: str, plays: list[dict[str, Any]], folder: Path, collections: Path) -> Pair:
    workshops = [AnsibleSandbox(folder / str(number), collections) for number in range(len(plays))]
    processes = [workshop.start([one]) for workshop, one in zip(workshops, plays)]
    runs = [workshop.finish(p) for workshop, p in zip(workshops, processes)]
    return Pair([run.results[-1] for run in runs], [run.code for run in runs])


def test_two_creations_for_one_file_come_to_one_key(tmp_path: Path, collections: Path) -> None:
    """Both have seen no key and no file before either creates; nobody writes over the other."""
    kind = KINDS[0]
    files = Files.below(tmp_path / "files")
    both = threading.Barrier(2, timeout=60)
    with Emulator(start(kind), sleep=lambda _seconds: both.wait()) as emulator:
        emulator.add_fault(Fault("slow", "POST", "*/orgs/*/apiKeys", times=2))
        one = {**play(kind, emulator.url, files, random.Random(0)), "tasks": tasks(kind, files)[:1]}
        pair = run_two(emulator.url, [one, one], tmp_path, collections)
        failed, made = sorted(pair.results, key=lambda result: not result.failed)
        assert failed.failed
        assert not failed.changed
        check_failures([failed])
        assert made.changed
        (key,) = [key for key in keys_in(emulator, kind) if key.description == SINGLE]
        assert made.values["org_api_key"]["id"] == key.id
        assert json.loads(files.single.read_text("utf-8"))["private_key"] == key.private_key
        assert files.all() == [files.single]
    count(SECTION, "tasks that met others at the same keys", 2)


def test_two_revocations_of_the_same_keys_share_them(tmp_path: Path, collections: Path) -> None:
    """One by purge and one by selection; both have seen all keys before either revokes one."""
    platform = "ops_manager"
    extra = 16
    both = threading.Barrier(2, timeout=60)
    with Emulator(seed(extra), sleep=lambda _seconds: both.wait()) as emulator:
        # A thread of each: more would be two of the same process.
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
    count(SECTION, "tasks that met others at the same keys", 2)


class _AfterWrites(Fault):
    """Lets a caller's listing wait until others have written so often."""

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
def test_what_is_revoked_while_it_is_made_is_told(
    tmp_path: Path, collections: Path, writes: int
) -> None:
    """One run makes keys, with access lists and projects; another revokes what it finds of them."""
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
    count(SECTION, "tasks that met others at the same keys", 2)
    count(SECTION, "keys that were revoked while they were made", len(failures))
