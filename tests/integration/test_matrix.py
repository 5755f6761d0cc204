# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platforms x credentials x ways to name a key x (there, missing) x (check mode, real, again).

All of them run through the module's main() in this process; each test looks at its part of what
came out. One ansible-playbook process has to come to the same with a platform in full and a row of
each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Recorded
from tests.integration.playbook import (
    CONNECTION,
    GROUP,
    KEY,
    MODULE,
    AnsibleSandbox,
    from_variables,
)
from tests.support import (
    API_PATHS,
    MISSING_ID,
    PLATFORMS,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_module,
    seed,
    service_account,
)

CREDENTIALS = {
    "atlas": ("key_pair", "service_account", "access_token"),
    "cloud_manager": ("key_pair", "service_account", "access_token"),
    "ops_manager": ("key_pair",),
}
NAMES = ("api_user_id", "public_key", "description")
CHECK, REAL, AGAIN = RUNS = ("In check mode", "For real", "Once more")
ORG_ROLES = ["ORG_READ_ONLY", "ORG_MEMBER"]
PROJECT_ROLES = ["GROUP_READ_ONLY", "GROUP_DATA_ACCESS_ADMIN"]


@dataclass(frozen=True)
class Case:
    """``number`` is that of a key which no other case touches."""

    platform: str
    credentials: str
    name: str
    exists: bool
    number: int

    def __str__(self) -> str:
        start = "there" if self.exists else "missing"
        return f"{self.platform}-{self.credentials}-{self.name}-{start}"

    @property
    def key_id(self) -> str:
        return key_id(self.platform, self.number) if self.exists else MISSING_ID

    @property
    def public_key(self) -> str:
        return public_key(self.platform, self.number) if self.exists else "zzzzzzzz"

    @property
    def description(self) -> str:
        return f"extra {self.number - 100}" if self.exists else "no such key"

    @property
    def path(self) -> str:
        return f"{API_PATHS[self.platform]}/orgs/{org_id(self.platform)}/apiKeys/{self.key_id}"

    def options(self, url: str, tokens: dict[str, str]) -> dict[str, Any]:
        if self.credentials == "access_token":
            credentials = {"access_token": tokens[self.platform]}
        elif self.credentials == "service_account":
            credentials = service_account(self.platform)
        else:
            credentials = key_pair(self.platform)
        name = {
            "api_user_id": self.key_id,
            "public_key": self.public_key,
            "description": self.description,
        }[self.name]
        return {
            "platform": self.platform,
            "base_url": url,
            "org_id": org_id(self.platform),
            **credentials,
            self.name: name,
        }


def _cases() -> Iterator[Case]:
    for platform in PLATFORMS:
        combinations = product(CREDENTIALS[platform], NAMES, (True, False))
        for number, combination in enumerate(combinations, 100):
            yield Case(platform, *combination, number)


CASES = list(_cases())
# What ansible-playbook runs.
PLAYED = [
    case
    for case in CASES
    if str(case).startswith("atlas-key_pair-") or str(case).endswith("-api_user_id-there")
]
SIGNING_SURVIVORS = range(1, 8)
PRESENT = [case for case in CASES if case.exists]

each_case = pytest.mark.parametrize("case", CASES, ids=str)


@dataclass(frozen=True)
class Matrix:
    """Results by case and run, and what the emulator saw; ``requests`` by run."""

    results: dict[tuple[str, str], dict[str, Any]]
    requests: dict[str, list[Recorded]]
    left: dict[str, set[str]]

    def of(self, case: Case, task: str) -> dict[str, Any]:
        return self.results[str(case), task]


def _seed() -> dict[str, Any]:
    """The organizations, with a key for each case that has roles in a project too."""
    value = seed(extra_keys=max(case.number for case in CASES) - 99)
    for organization in value["organizations"]:
        project = project_id(organization["product"])
        for key in organization["api_keys"]:
            if key["description"].startswith("extra"):
                key["roles"] = ORG_ROLES
                key["projects"] = [{"project_id": project, "roles": PROJECT_ROLES}]
    return value


def _started() -> dict[str, set[str]]:
    return {o["product"]: {k["id"] for k in o["api_keys"]} for o in _seed()["organizations"]}


def _plays(url: str) -> Iterator[dict[str, Any]]:
    for task in RUNS:
        yield {
            "name": task,
            "hosts": "all:!localhost",
            "strategy": "free",
            "module_defaults": {GROUP: from_variables(CONNECTION)},
            "tasks": [
                {
                    "name": task,
                    "check_mode": task == CHECK,
                    MODULE: {"state": "absent", **from_variables(KEY)},
                }
            ],
        }
        yield {
            "name": "Count the requests so far",
            "hosts": "localhost",
            "tasks": [
                {"name": f"After {task}", "ansible.builtin.uri": {"url": f"{url}/_emulator/stats"}}
            ],
        }


def _left(emulator: Emulator) -> dict[str, set[str]]:
    return {p: set(emulator.state.organizations[org_id(p)].api_keys) for p in PLATFORMS}


def _tokens(emulator: Emulator) -> dict[str, str]:
    tokens = {platform: fetch_token(emulator.url, platform) for platform in PLATFORMS[:2]}
    emulator.requests.clear()
    return tokens


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    results: dict[tuple[str, str], dict[str, Any]] = {}
    requests: dict[str, list[Recorded]] = {}
    with Emulator(_seed(), token_requests_per_minute=None) as emulator:
        tokens = _tokens(emulator)
        for task in RUNS:
            start = len(emulator.requests)
            for case in CASES:
                options = {"state": "absent", **case.options(emulator.url, tokens)}
                outcome = run_module("org_api_key", options, hint=task == CHECK, diff=True)
                results[str(case), task] = outcome.result
            requests[task] = emulator.requests[start:]
        return Matrix(results, requests, _left(emulator))


def test_playbook_has_the_same_results(matrix: Matrix, tmp_path: Path, collections: Path) -> None:
    with Emulator(_seed(), token_requests_per_minute=None) as emulator:
        tokens = _tokens(emulator)
        hosts = {str(case): {"options": case.options(emulator.url, tokens)} for case in PLAYED}
        run = AnsibleSandbox(tmp_path / "run", collections).playbook(
            list(_plays(emulator.url)),
            "--diff",
            "--forks=4",
            hosts={"localhost": {}, **hosts},
        )
        left = _left(emulator)
        paths = [r.path for r in emulator.writes]
    assert run.code == 0, run.output
    for case, task in product(PLAYED, RUNS):
        values = run.result(task, str(case)).values
        names = ("changed", "org_api_key", "diff")
        assert {n: values[n] for n in names} == {n: matrix.of(case, task)[n] for n in names}
    revoked = {case.key_id for case in PLAYED if case.exists}
    assert left == {p: ids - revoked for p, ids in _started().items()}
    assert sorted(paths) == sorted(case.path for case in PLAYED if case.exists)
    assert run.result(f"After {CHECK}").values["json"]["writes"] == 0
    assert run.result(f"After {REAL}").values["json"]["writes"] == len(revoked)


@each_case
@pytest.mark.parametrize("task", [CHECK, REAL])
def test_task_reports_the_key_and_a_change_where_it_is_there(
    matrix: Matrix, case: Case, task: str
) -> None:
    result = matrix.of(case, task)
    assert not result.get("failed"), result
    expected = {
        "id": case.key_id,
        "public_key": case.public_key,
        "description": case.description,
        "roles": sorted(ORG_ROLES),
        "projects": [{"project_id": project_id(case.platform), "roles": sorted(PROJECT_ROLES)}],
    }
    assert result["changed"] is case.exists
    assert result["org_api_key"] == (expected if case.exists else None)


@each_case
def test_second_run_changes_nothing(matrix: Matrix, case: Case) -> None:
    result = matrix.of(case, AGAIN)
    assert (result["changed"], result["org_api_key"]) == (False, None)
    assert result["diff"] == {"before": {}, "after": {}}
    assert not [r for r in matrix.requests[AGAIN] if r.path == case.path and r.method != "GET"]


@each_case
def test_diff_is_the_same_in_check_mode_and_for_real(matrix: Matrix, case: Case) -> None:
    before = {
        "description": case.description,
        "roles": sorted(ORG_ROLES),
        "projects": [{"project_id": project_id(case.platform), "roles": sorted(PROJECT_ROLES)}],
    }
    expected = {"before": before if case.exists else {}, "after": {}}
    assert matrix.of(case, CHECK)["diff"] == expected
    assert matrix.of(case, REAL)["diff"] == expected


@each_case
def test_real_run_revokes_the_key_with_one_delete(matrix: Matrix, case: Case) -> None:
    deletes = [
        r.status for r in matrix.requests[REAL] if (r.method, r.path) == ("DELETE", case.path)
    ]
    success = 200 if case.platform == "ops_manager" else 204
    assert deletes == ([success] if case.exists else [])
    assert case.key_id not in matrix.left[case.platform]


def test_check_mode_writes_nothing(matrix: Matrix) -> None:
    methods = {(r.method, r.path) for r in matrix.requests[CHECK] if r.method != "GET"}
    assert methods == {("POST", "/api/oauth/token"), ("POST", "/api/oauth/revoke")}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_other_keys_stay(matrix: Matrix, platform: str) -> None:
    revoked = {case.key_id for case in PRESENT if case.platform == platform}
    assert matrix.left[platform] == _started()[platform] - revoked
    assert len(matrix.left[platform]) > len(SIGNING_SURVIVORS)
