# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests and connections a task takes: the one place where tests pin the calls."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Recorded
from tests.integration.playbook import GROUP, MODULE, AnsibleSandbox, Finished
from tests.support import (
    MISSING_ID,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    public_key,
    seed,
    service_account,
)

# Each task is one of these; they run one after the other, so that requests tell whose they are.
DIGEST = key_pair("atlas")
ACCOUNT = service_account("atlas")
TASKS: dict[str, dict[str, Any]] = {
    "digest, by id": {"api_user_id": key_id("atlas", 2), **DIGEST},
    "digest, missing": {"api_user_id": MISSING_ID, **DIGEST},
    "digest, by id, check mode": {"api_user_id": key_id("atlas", 3), **DIGEST},
    "digest, by public key": {"public_key": public_key("atlas", 101), **DIGEST},
    "digest, by description, missing": {"description": "no such key", **DIGEST},
    "service account, by id": {"api_user_id": key_id("atlas", 102), **ACCOUNT},
    "service account, missing": {"api_user_id": MISSING_ID, **ACCOUNT},
    "token, by description": {"description": "extra 3"},
    "token, missing": {"api_user_id": MISSING_ID},
}
# How paths end; that of one key ends in its id.
KEY, KEYS, TOKEN, REVOKE = "key", "apiKeys", "token", "revoke"
EXPECTED = {
    "digest, by id": [("GET", KEY, 401), ("GET", KEY, 200), ("DELETE", KEY, 204)],
    "digest, missing": [("GET", KEY, 401), ("GET", KEY, 400)],
    "digest, by id, check mode": [("GET", KEY, 401), ("GET", KEY, 200)],
    "digest, by public key": [("GET", KEYS, 401), ("GET", KEYS, 200), ("DELETE", KEY, 204)],
    "digest, by description, missing": [("GET", KEYS, 401), ("GET", KEYS, 200)],
    "service account, by id": [
        ("POST", TOKEN, 200),
        ("GET", KEY, 200),
        ("DELETE", KEY, 204),
        ("POST", REVOKE, 200),
    ],
    "service account, missing": [("POST", TOKEN, 200), ("GET", KEY, 400), ("POST", REVOKE, 200)],
    "token, by description": [("GET", KEYS, 200), ("DELETE", KEY, 204)],
    "token, missing": [("GET", KEY, 400)],
}
TWO_PAGES = "digest, by public key, two pages"


@dataclass(frozen=True)
class Counted:
    """The run, the calls of each connection, and the requests of the task that takes two pages."""

    run: Finished
    connections: list[list[tuple[str, str, int | None]]]
    two_pages: list[Recorded]


def _play(url: str, token: str, url_of_many: str) -> dict[str, Any]:
    tasks = [
        {
            "name": name,
            "check_mode": "check mode" in name,
            MODULE: {
                "state": "absent",
                **options,
                **({"access_token": token} if name.startswith("token") else {}),
            },
        }
        for name, options in TASKS.items()
    ]
    options = {"state": "absent", "base_url": url_of_many, "public_key": public_key("atlas", 650)}
    return {
        "hosts": "localhost",
        "module_defaults": {GROUP: {"base_url": url, "org_id": org_id("atlas")}},
        "tasks": [*tasks, {"name": TWO_PAGES, MODULE: {**options, **DIGEST}}],
    }


def _call(recorded: Recorded) -> tuple[str, str, int | None]:
    last = recorded.path.rpartition("/")[2]
    return recorded.method, last if last in {KEYS, TOKEN, REVOKE} else KEY, recorded.status


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Counted:
    workshop = AnsibleSandbox(tmp_path_factory.mktemp("counts") / "run", collections)
    with Emulator(seed(extra_keys=4)) as emulator, Emulator(seed(extra_keys=600)) as of_many:
        token = fetch_token(emulator.url, "atlas")
        emulator.requests.clear()
        run = workshop.playbook([_play(emulator.url, token, of_many.url)])
        groups = groupby(emulator.requests, key=lambda recorded: recorded.connection)
        connections = [[_call(recorded) for recorded in group] for _connection, group in groups]
    assert run.code == 0, run.output
    return Counted(run, connections, of_many.requests)


@pytest.mark.parametrize("number", range(len(TASKS)), ids=list(TASKS))
def test_task_makes_these_requests_on_one_connection(counted: Counted, number: int) -> None:
    assert len(counted.connections) == len(TASKS)
    name = list(TASKS)[number]
    assert counted.connections[number] == EXPECTED[name]
    assert counted.run.result(name).changed is ("missing" not in name)


def test_every_page_is_read_on_one_connection_with_one_challenge(counted: Counted) -> None:
    """How often a listing of several pages is read is not a matter of this test."""
    assert counted.run.result(TWO_PAGES).changed
    requests = counted.two_pages
    assert {recorded.connection for recorded in requests} == {requests[0].connection}
    assert [recorded.status for recorded in requests].count(401) == 1
    listed = [r for r in requests if r.method == "GET" and r.status == 200]
    assert {(r.query["pageNum"], r.query["itemsPerPage"]) for r in listed} == {
        ("1", "500"),
        ("2", "500"),
    }
    assert [r.method for r in requests].count("DELETE") == 1
