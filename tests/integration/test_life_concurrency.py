# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same playbook twice at the same moment: a key with its file, its access list, its project."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.emulator.state import ApiKey
from tests.integration.playbook import (
    ACCESS_LIST,
    GROUP,
    MODULE,
    PROJECT_KEY,
    AnsibleSandbox,
    Finished,
)
from tests.support import key_pair, org_id, project_id, seed

pytestmark = pytest.mark.slow

# How long one process may wait for the other, in seconds.
LONGEST = 60
DESCRIPTION = "made by two"
NETWORKS = ["192.0.2.0/24", "2001:db8::/32"]
ROLES = ["GROUP_OWNER", "GROUP_READ_ONLY"]
CREATE, ASSIGN, LET_IN = "Create", "Assign", "Let in"
STARTED = {
    "id": "5a00000000000000000000d0",
    "description": DESCRIPTION,
    "public_key": "twostart",
    "private_key": "00000000-2222-4222-8222-000000000000",
    "roles": ["ORG_MEMBER"],
}


@dataclass(frozen=True)
class Round:
    """Two runs, and the requests at which one has to wait for the other.

    Where nothing waits, they meet as it happens.
    """

    name: str
    platform: str
    # Method, path, and how many such requests pass before.
    meetings: tuple[tuple[str, str, int], ...] = ()
    is_there: bool = False

    def __str__(self) -> str:
        return self.name


ROUNDS = [
    Round("as it happens", "ops_manager"),
    # Both have seen no key before either creates one, and both have before either looks again.
    Round(
        "both create", "cloud_manager", (("POST", "*/apiKeys", 0), ("GET", "*/orgs/*/apiKeys", 2))
    ),
    # Both have seen that nothing is assigned and listed yet.
    Round(
        "both change",
        "atlas",
        (("POST", "*/groups/*/apiKeys/*", 0), ("POST", "*/accessList", 0)),
        is_there=True,
    ),
]


@dataclass(frozen=True)
class Met:
    """How a round ended; ``files`` holds what the runs wrote, None where they wrote nothing."""

    round: Round
    runs: list[Finished]
    files: list[dict[str, Any] | None]
    paths: list[str]
    keys: list[ApiKey]
    # Of the requests that were held up, those that wrote.
    statuses: list[int | None]

    def results(self, task: str) -> list[Any]:
        return [run.result(task) for run in self.runs]


def _play(url: str, platform: str, file: str) -> dict[str, Any]:
    connection = {"platform": platform, "base_url": url, "org_id": org_id(platform)}
    key = "{{ made.org_api_key.id }}"
    project = {"project_id": project_id(platform), "roles": ROLES}
    return {
        "hosts": "localhost",
        "module_defaults": {GROUP: {**connection, **key_pair(platform), "timeout": LONGEST}},
        "tasks": [
            {
                "name": CREATE,
                "register": "made",
                MODULE: {
                    "description": DESCRIPTION,
                    "roles": ["ORG_MEMBER"],
                    "credentials_file": file,
                },
            },
            {"name": ASSIGN, PROJECT_KEY: {"api_user_id": key, **project}},
            {"name": LET_IN, ACCESS_LIST: {"api_user_id": key, "entries": NETWORKS}},
        ],
    }


def _meet(this: Round, folder: Path, collections: Path) -> Met:
    both = threading.Barrier(2, timeout=LONGEST)
    organization = org_id(this.platform)
    with Emulator(seed(), sleep=lambda _seconds: both.wait()) as emulator:
        if this.is_there:
            emulator.state.organizations[organization].api_keys[STARTED["id"]] = ApiKey(**STARTED)
        for method, path, after in this.meetings:
            emulator.add_fault(Fault("slow", method, path, after=after, times=2))
        workshops = [AnsibleSandbox(folder / name, collections) for name in ("first", "second")]
        paths = [workshop.folder / "pair.json" for workshop in workshops]
        processes = [
            workshop.start([_play(emulator.url, this.platform, str(path))], "-vvv")
            for workshop, path in zip(workshops, paths)
        ]
        runs = [workshop.finish(p) for workshop, p in zip(workshops, processes)]
        keys = emulator.state.organizations[organization].api_keys.values()
        made = [key for key in keys if key.description == DESCRIPTION]
        faults = [Fault("slow", method, path) for method, path, _status in this.meetings]
        statuses = [
            r.status
            for r in emulator.requests
            if r.method == "POST"
            and r.status != 401
            and any(f.matches(r.method, r.path) for f in faults)
        ]
    files = [json.loads(path.read_text("utf-8")) if path.exists() else None for path in paths]
    return Met(this, runs, files, [str(path) for path in paths], made, statuses)


@pytest.fixture(scope="module", params=ROUNDS, ids=str)
def met(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, collections: Path
) -> Met:
    return _meet(request.param, tmp_path_factory.mktemp("both"), collections)


def test_both_runs_end_well(met: Met) -> None:
    assert [run.code for run in met.runs] == [0, 0], met.runs[0].output + met.runs[1].output
    assert not [run.output for run in met.runs if "Traceback" in run.output]


def test_runs_have_met(met: Met) -> None:
    """Otherwise one would have come after the other, which other tests are about."""
    expected = {"both create": [200, 200], "both change": [200, 204, 400, 409]}
    assert sorted(met.statuses) == expected.get(met.round.name, [])


def test_no_key_is_lost(met: Met) -> None:
    """The pair of each key that was created is in a file, and in no output."""
    created = [key for key in met.keys if key.id != STARTED["id"]]
    held = {file["api_user_id"]: file["private_key"] for file in met.files if file}
    assert held == {key.id: key.private_key for key in created}
    assert not [key for key in created for run in met.runs if key.private_key in run.output]


def test_creations_are_reported_as_they_were(met: Met) -> None:
    for result, file in zip(met.results(CREATE), met.files):
        assert result.changed is (file is not None)
        assert "private_key" not in result.values
        assert result.key["id"] in {key.id for key in met.keys}
        if file:
            assert result.key["id"] == file["api_user_id"]
    assert len(met.keys) == {"both create": 2, "both change": 1}.get(met.round.name, len(met.keys))


def test_who_comes_second_tells_what_it_met(met: Met) -> None:
    """At least one of two that have created names both ids; who has not misses the file."""
    results = met.results(CREATE)
    texts = [" ".join(result.values.get("warnings", [])) for result in results]
    if len(met.keys) == 2:
        naming = [text for text in texts if all(key.id in text for key in met.keys)]
        assert len(naming) >= 1
        if met.round.meetings:
            assert len(naming) == 2
    for result, text, path in zip(results, texts, met.paths):
        if not result.changed:
            assert path in text
            assert "cannot be read again" in text


@pytest.mark.parametrize("task", [ASSIGN, LET_IN])
def test_each_key_is_changed_by_one_run(met: Met, task: str) -> None:
    """PATCH tells nobody whether he was first, so with the public API both may say so."""
    changed = [result.changed for result in met.results(task)]
    is_sure = met.round.platform == "atlas" or task == LET_IN
    assert changed.count(True) in ({len(met.keys)} if is_sure else {1, 2})


def test_both_runs_reach_the_same(met: Met) -> None:
    for key in met.keys:
        assert {name: sorted(roles) for name, roles in key.projects.items()} == {
            project_id(met.round.platform): ROLES
        }
        assert sorted(key.access_list) == NETWORKS
    for result in met.results(LET_IN):
        assert result.values["org_api_key_access_list"]["entries"] == NETWORKS
    for result in met.results(ASSIGN):
        assert result.values["project_api_key"]["roles"] == ROLES
