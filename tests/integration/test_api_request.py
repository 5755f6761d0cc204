# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to endpoints without a module, in one ansible-playbook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.integration.playbook import GROUP, AnsibleSandbox, Finished
from tests.support import key_pair, org_id, project_id, seed

ORG, CANARY = org_id("atlas"), "canary-of-a-body"
SETTINGS = {"maxServiceAccountSecretValidityInHours": 720, "notify": {"apiToken": CANARY}}
STEPS: dict[str, dict[str, Any]] = {
    "set": {
        "method": "PATCH",
        "path": "/orgs/{{ org }}/settings",
        "body": SETTINGS,
        "compare": True,
    },
    "create": {
        "method": "POST",
        "path": "/groups",
        "body": {"name": "new", "orgId": "{{ org }}"},
        "query": {"projectOwnerId": "{{ org }}", "isDryRun": "{{ false }}"},
        "unique_by": ["name"],
    },
    "list": {"path": "/groups", "all_pages": True},
}


def tasks() -> Iterator[dict[str, Any]]:
    for name, options in STEPS.items():
        task = {"keysmith.mongodb.api_request": options}
        # The settings are returned as they are.
        task = {**task, "no_log": False}
        yield {"name": f"{name}: check", **task, "check_mode": True}
        yield {"name": name, **task}
        yield {"name": f"{name}: again", **task}


CLUSTERS = f"/groups/{project_id('atlas')}/clusters"
# The API deletes a cluster later. The list shows it in two responses.
DELETION: list[dict[str, Any]] = [
    {
        "name": "delete",
        "keysmith.mongodb.api_request": {"method": "DELETE", "path": f"{CLUSTERS}/test"},
    },
    {
        "name": "wait",
        "keysmith.mongodb.api_request": {"path": CLUSTERS, "all_pages": True},
        "register": "clusters",
        "until": "'test' not in clusters.json | map(attribute='name')",
        "retries": 5,
        "delay": 0,
    },
]
BEING_DELETED = {"results": [{"name": "test", "stateName": "DELETING"}], "totalCount": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Iterator[Any]:
    with Emulator(seed()) as emulator:
        clusters = {f"{project_id('atlas')}/clusters": {"test": {"name": "test"}}}
        emulator.state.organizations[ORG].others = clusters
        emulator.add_fault(
            Fault("json", method="GET", path=f"*{CLUSTERS}", body=BEING_DELETED, times=2)
        )
        connection = {"base_url": emulator.url, "org_id": ORG, **key_pair("atlas")}
        play = {
            "hosts": "localhost",
            "vars": {"org": ORG},
            "module_defaults": {GROUP: connection},
            "tasks": [*tasks(), *DELETION],
        }
        sandbox = AnsibleSandbox(tmp_path_factory.mktemp("requests") / "run", collections)
        yield sandbox.playbook([play], "--diff", "-vvv"), emulator


@pytest.mark.slow
@pytest.mark.each_core
def test_every_step_is_done_once(finished: tuple[Finished, Emulator]) -> None:
    run, emulator = finished
    assert run.code == 0, run.output
    for name in STEPS:
        changes = [run.result(f"{name}{when}").changed for when in (": check", "", ": again")]
        assert changes == [name != "list", name != "list", False], name
        assert run.result(f"{name}: check").values.get("diff") == run.result(name).values.get(
            "diff"
        )
    assert len(emulator.writes) == 3
    assert emulator.state.organizations[ORG].settings == SETTINGS
    assert emulator.writes[1].query["isDryRun"] == "false"
    listed = run.result("list").values["json"]
    assert project_id("atlas") in [item["id"] for item in listed]


@pytest.mark.slow
@pytest.mark.each_core
def test_a_play_waits_for_what_is_carried_out_later(finished: tuple[Finished, Emulator]) -> None:
    run, _emulator = finished
    assert run.result("delete").values["status"] == 202
    assert run.result("wait").values["attempts"] == 3


@pytest.mark.slow
@pytest.mark.each_core
def test_secret_texts_are_in_the_response_only(finished: tuple[Finished, Emulator]) -> None:
    run, _emulator = finished
    for when in (": check", "", ": again"):
        values = dict(run.result(f"set{when}").values)
        values.pop("json")
        assert CANARY not in str(values)
