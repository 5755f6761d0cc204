# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life cycle of a key in one ansible-playbook process: in check mode, for real, and again.

A host is a platform with a credential. Atlas with a key pair runs every flow, each on its own key;
the others run one flow.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.integration.playbook import (
    ACCESS_LIST,
    GROUP,
    KEYS_INFO,
    MODULE,
    OPTIONS,
    ORGS_INFO,
    PROJECT_KEY,
    AnsibleSandbox,
    Finished,
    from_variables,
)
from tests.support import (
    PRIVATE_KEYS,
    created_at,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    seed,
    service_account,
)

pytestmark = pytest.mark.slow

CHECK, REAL, AGAIN = RUNS = ("In check mode", "For real", "Once more")
# Other options of the connection are not set here.
CONNECTION = (
    "platform base_url org_id api_public_key api_private_key client_id client_secret"
).split()
GROUP_ROLES = ["GROUP_OWNER", "GROUP_READ_ONLY"]
# An existing key, with roles in another order than in results.
START: dict[str, Any] = {
    "roles": ["ORG_READ_ONLY", "ORG_MEMBER"],
    "project_roles": None,
    "access_list": [],
}
SORTED_ROLES = sorted(START["roles"])
DESCRIBED = "<description>"


@dataclass(frozen=True)
class Flow:
    """A task: the key at the start, the options, and the key and diff at the end.

    ``start`` is None if there is no key before, ``end`` if there is none after. ``before`` and
    ``after`` are those of the diff, with DESCRIBED in place of the description.
    """

    name: str
    module: str
    options: dict[str, Any]
    named_by: str = "api_user_id"
    start: dict[str, Any] | None = field(default_factory=dict)
    end: dict[str, Any] | None = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    # Whether the private key is in the result instead of a file.
    shows_private_key: bool = False
    # The number of requests that make the change.
    writes: int = 1

    @property
    def is_reader(self) -> bool:
        return self.module in {KEYS_INFO, ORGS_INFO}

    @property
    def runs(self) -> tuple[str, ...]:
        """Reading a third time would show nothing new."""
        return RUNS[:2] if self.is_reader else RUNS

    @property
    def creates(self) -> bool:
        return self.start is None


NEW_ROLES = ["ORG_MEMBER", "ORG_GROUP_CREATOR"]
DESCRIBED_ROLES = {"description": DESCRIBED, "roles": SORTED_ROLES}
NEW = {"description": DESCRIBED, "roles": sorted(NEW_ROLES)}
IN_PROJECT = {"project_roles": GROUP_ROLES}
LISTED = {"access_list": ["198.51.100.7", "192.0.2.0/24"]}
IN_ORDER = {"access_list": ["192.0.2.0/24", "198.51.100.7"]}
PURGED = ["198.51.100.7", "2001:db8::1"]
FLOWS = [
    Flow(
        "create with a file and an access list",
        MODULE,
        {"roles": NEW_ROLES, "credentials_file": "<file>", **LISTED},
        named_by="description",
        start=None,
        end={"roles": NEW_ROLES, **LISTED},
        after={**NEW, **IN_ORDER},
        # The key with the lowest role, its access list, its roles.
        writes=3,
    ),
    Flow(
        "create",
        MODULE,
        {"roles": NEW_ROLES},
        named_by="description",
        start=None,
        end={"roles": NEW_ROLES},
        after=NEW,
        shows_private_key=True,
    ),
    Flow(
        "change roles and the access list",
        MODULE,
        {"roles": NEW_ROLES, "access_list": PURGED[::-1]},
        start=LISTED,
        end={"roles": NEW_ROLES, "access_list": PURGED},
        before={**DESCRIBED_ROLES, **IN_ORDER},
        after={**NEW, "access_list": PURGED},
        # An addition, a removal, and the roles.
        writes=3,
    ),
    Flow(
        "rename",
        MODULE,
        {"new_description": f"{DESCRIBED} now"},
        named_by="description",
        start=LISTED,
        end={**LISTED, "description": f"{DESCRIBED} now"},
        before=DESCRIBED_ROLES,
        after={**DESCRIBED_ROLES, "description": f"{DESCRIBED} now"},
    ),
    Flow(
        "set the access list",
        ACCESS_LIST,
        {"entries": ["2001:0db8::1/128", "198.51.100.7/32"], "purge": True},
        named_by="public_key",
        start=LISTED,
        end={"access_list": PURGED},
        before={"entries": ["192.0.2.0/24", "198.51.100.7"]},
        after={"entries": PURGED},
        # An addition and a removal.
        writes=2,
    ),
    Flow(
        "assign",
        PROJECT_KEY,
        {"roles": GROUP_ROLES[::-1]},
        named_by="public_key",
        end=IN_PROJECT,
        after={"roles": GROUP_ROLES},
    ),
    Flow(
        "change roles in the project",
        PROJECT_KEY,
        {"roles": ["GROUP_DATA_ACCESS_READ_ONLY"]},
        named_by="description",
        start=IN_PROJECT,
        end={"project_roles": ["GROUP_DATA_ACCESS_READ_ONLY"]},
        before={"roles": GROUP_ROLES},
        after={"roles": ["GROUP_DATA_ACCESS_READ_ONLY"]},
    ),
    Flow(
        "unassign",
        PROJECT_KEY,
        {"state": "absent"},
        start=IN_PROJECT,
        before={"roles": GROUP_ROLES},
    ),
    Flow(
        "read keys",
        KEYS_INFO,
        {
            "description_match": "read ?eys *",
            "roles": ["ORG_OWNER", "ORG_READ_ONLY"],
            "access_list": True,
        },
        named_by="project_id",
        start={**IN_PROJECT, **LISTED},
        end={**IN_PROJECT, **LISTED},
    ),
    Flow("read organizations", ORGS_INFO, {}, named_by="name"),
    Flow(
        "revoke",
        MODULE,
        {"state": "absent"},
        start=IN_PROJECT,
        end=None,
        before={
            **DESCRIBED_ROLES,
            "projects": [{"project_id": "<project>", "roles": GROUP_ROLES}],
        },
    ),
]


@dataclass(frozen=True)
class Case:
    """``number`` identifies the key of this case."""

    platform: str
    credentials: str
    flow: Flow
    number: int

    @property
    def host(self) -> str:
        return f"{self.platform}-{self.credentials}"

    @property
    def description(self) -> str:
        return f"{self.flow.name} with a {self.credentials} on {self.platform}"

    @property
    def file(self) -> str:
        return f"{self.host}.json"

    def fill(self, value: Any) -> Any:
        """Replace the placeholders of the flow with the values of this case."""
        text = json.dumps(value).replace(DESCRIBED, self.description)
        return json.loads(text.replace("<project>", project_id(self.platform)))

    def options(self, files: Path) -> dict[str, Any]:
        name = {
            "api_user_id": key_id(self.platform, self.number),
            "public_key": public_key(self.platform, self.number),
            "description": self.description,
            "project_id": project_id(self.platform),
            "name": f"The {self.platform} organization",
        }[self.flow.named_by]
        options = {self.flow.named_by: name, **self.fill(self.flow.options)}
        if self.flow.module == PROJECT_KEY:
            options["project_id"] = project_id(self.platform)
        if "credentials_file" in options:
            options["credentials_file"] = str(files / self.file)
        return options

    def key(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the key with these changes, as in a seed."""
        changed = self.fill({**START, **changes})
        roles = changed["project_roles"]
        project = {"project_id": project_id(self.platform), "roles": roles}
        return {
            "description": changed.get("description", self.description),
            "roles": changed["roles"],
            "projects": [project] if roles else [],
            "access_list": changed["access_list"],
        }

    def seeded(self) -> dict[str, Any]:
        """Return the key that this case starts with."""
        return {
            "id": key_id(self.platform, self.number),
            "public_key": public_key(self.platform, self.number),
            "private_key": f"{self.number:08d}-1111-4111-8111-{'0' * 12}",
            **self.key(self.flow.start or {}),
        }


CASES = [
    *(Case("atlas", "key_pair", flow, number) for number, flow in enumerate(FLOWS, 100)),
    Case("atlas", "service_account", FLOWS[0], 200),
    Case("cloud_manager", "key_pair", FLOWS[0], 200),
    Case("ops_manager", "key_pair", FLOWS[0], 200),
]
WRITERS = [case for case in CASES if not case.flow.is_reader]
CREATIONS = [case for case in CASES if case.flow.creates]
WITH_A_FILE = [case for case in CREATIONS if "credentials_file" in case.flow.options]
RESULTS = {
    MODULE: "org_api_key",
    ACCESS_LIST: "org_api_key_access_list",
    PROJECT_KEY: "project_api_key",
    KEYS_INFO: "org_api_keys",
    ORGS_INFO: "orgs",
}


@dataclass(frozen=True)
class Life:
    """The run of the playbook, and the keys that exist after it."""

    run: Finished
    files: Path
    keys: dict[str, list[dict[str, Any]]]

    def of(self, case: Case, run: str) -> dict[str, Any]:
        if case.flow.shows_private_key:
            return dict(self.run.result(f"{run}: shown", case.host).values["msg"])
        loop = self.run.result(f"{run}: {case.flow.module}", case.host).items
        (item,) = [item for item in loop if item["case"]["name"] == case.flow.name]
        return item

    def left(self, case: Case) -> list[dict[str, Any]]:
        """Return the keys with the description that this case must end with."""
        wanted = case.key(case.flow.end or {})["description"]
        return [key for key in self.keys[case.platform] if key["description"] == wanted]


def _seed() -> dict[str, Any]:
    value = seed()
    for organization in value["organizations"]:
        organization["api_keys"] += [
            case.seeded()
            for case in CASES
            if case.platform == organization["product"] and not case.flow.creates
        ]
    return value


def _tasks(run: str) -> Iterator[dict[str, Any]]:
    """Yield a loop over the cases of each module, and a hidden task for the private key."""
    common = {"check_mode": run == CHECK}
    for module, names in OPTIONS.items():
        if not any(run in flow.runs for flow in FLOWS if flow.module == module):
            continue
        yield {
            "name": f"{run}: {module}",
            "loop": f"{{{{ cases | selectattr('module', 'eq', '{module}') | list }}}}",
            "loop_control": {"loop_var": "case", "label": "{{ case.name }}"},
            module: from_variables(names, "case.options"),
            **common,
        }
    yield {
        "name": f"{run}: hidden",
        "when": "hidden is defined",
        "no_log": True,
        "register": "outcome",
        MODULE: from_variables(OPTIONS[MODULE], "hidden"),
        **common,
    }
    # The whole result, with a digest in place of the private key.
    safe = "dict2items | rejectattr('key', 'in', ['private_key', 'invocation']) | items2dict"
    digest = "{'digest': (outcome.private_key | default('')) | hash('sha256')}"
    yield {
        "name": f"{run}: shown",
        "when": "hidden is defined",
        "ansible.builtin.debug": {"msg": f"{{{{ outcome | {safe} | combine({digest}) }}}}"},
    }


def _plays(url: str, files: Path) -> Iterator[dict[str, Any]]:
    for run in RUNS:
        yield {
            "name": run,
            "hosts": "all:!localhost",
            "strategy": "free",
            "module_defaults": {GROUP: from_variables(CONNECTION)},
            "tasks": list(_tasks(run)),
        }
        listed = f"{{{{ query('fileglob', '{files}/*') }}}}"
        yield {
            "name": "Count requests and files",
            "hosts": "localhost",
            "tasks": [
                {
                    "name": f"Requests {run}",
                    "ansible.builtin.uri": {"url": f"{url}/_emulator/stats"},
                },
                {"name": f"Files {run}", "ansible.builtin.debug": {"msg": listed}},
            ],
        }


def _hosts(url: str, files: Path) -> dict[str, dict[str, Any]]:
    hosts: dict[str, dict[str, Any]] = {"localhost": {}}
    for case in CASES:
        credentials = key_pair if case.credentials == "key_pair" else service_account
        place = {"platform": case.platform, "base_url": url, "org_id": org_id(case.platform)}
        start = {"options": {**place, **credentials(case.platform)}, "cases": []}
        host = hosts.setdefault(case.host, start)
        if case.flow.shows_private_key:
            host["hidden"] = case.options(files)
        else:
            what = {"name": case.flow.name, "module": case.flow.module}
            host["cases"].append({**what, "options": case.options(files)})
    return hosts


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Life:
    folder = tmp_path_factory.mktemp("life")
    files = folder / "files"
    files.mkdir()
    with Emulator(_seed()) as emulator:
        run = AnsibleSandbox(folder / "run", collections).playbook(
            list(_plays(emulator.url, files)),
            "--diff",
            "--forks=4",
            hosts=_hosts(emulator.url, files),
        )
        organizations = emulator.state.to_seed()["organizations"]
    assert run.code == 0, run.output
    return Life(run, files, {item["product"]: item["api_keys"] for item in organizations})


def test_each_task_changes_what_it_should_and_then_nothing(life: Life) -> None:
    for case in CASES:
        results = [life.of(case, run) for run in case.flow.runs]
        assert not [result.get("warnings") for result in results if result.get("warnings")]
        changed = [result["changed"] for result in results]
        assert changed == ([False, False] if case.flow.is_reader else [True, True, False]), case


def test_only_the_real_run_writes_and_as_little_as_possible(life: Life) -> None:
    writes = [life.run.result(f"Requests {run}").values["json"]["writes"] for run in RUNS]
    wanted = sum(case.flow.writes for case in WRITERS)
    assert writes == [0, wanted, wanted]
    files = [life.run.result(f"Files {run}").values["msg"] for run in RUNS]
    made = sorted(str(life.files / case.file) for case in WITH_A_FILE)
    assert [sorted(names) for names in files] == [[], made, made]


def test_the_diff_is_the_same_in_check_mode_and_for_real(life: Life) -> None:
    for case in CASES:
        if case.flow.is_reader:
            assert "diff" not in life.of(case, REAL)
            continue
        expected = {"before": case.fill(case.flow.before), "after": case.fill(case.flow.after)}
        assert life.of(case, CHECK)["diff"] == life.of(case, REAL)["diff"] == expected, case
        again = life.of(case, AGAIN)["diff"]
        assert again == {"before": expected["after"], "after": expected["after"]}, case


def test_each_key_ends_as_its_task_says(life: Life) -> None:
    for case in WRITERS:
        if case.flow.end is None:
            assert not life.left(case)
            continue
        (found,) = life.left(case)
        expected = case.key(case.flow.end)
        assert sorted(found["roles"]) == sorted(expected["roles"]), case
        assert sorted(found["access_list"]) == sorted(expected["access_list"]), case
        assert [(p["project_id"], sorted(p["roles"])) for p in found["projects"]] == [
            (p["project_id"], sorted(p["roles"])) for p in expected["projects"]
        ], case
        if not case.flow.creates:
            assert found["id"] == key_id(case.platform, case.number)


def test_other_keys_stay_as_they_were(life: Life) -> None:
    for organization in seed()["organizations"]:
        platform = organization["product"]
        now = {key["id"]: key for key in life.keys[platform]}
        for key in organization["api_keys"]:
            assert now[key["id"]] == {"projects": [], "foreign_roles": [], "unset": [], **key}
        own = [case for case in CASES if case.platform == platform and case.flow.end is not None]
        assert len(now) == len(organization["api_keys"]) + len(own)


def _shown(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return a key of the emulator as in results."""
    projects = [
        {"project_id": project["project_id"], "roles": sorted(project["roles"])}
        for project in key["projects"]
    ]
    shown = {name: key[name] for name in ("id", "public_key", "description")}
    shown["created_at"] = created_at(key["id"])
    return {**shown, "roles": sorted(key["roles"]), "projects": projects}


def _expected(life: Life, case: Case, run: str) -> Any:
    """Return the expected value in the result of a task."""
    flow, own = case.flow, case.seeded()
    identity = {"api_user_id": own["id"], "public_key": own["public_key"]}
    if flow.module == ORGS_INFO:
        name = f"The {case.platform} organization"
        return [{"id": org_id(case.platform), "name": name}]
    if flow.module == KEYS_INFO:
        return [{**_shown(own), "access_list": sorted(own["access_list"])}]
    if flow.module == ACCESS_LIST:
        return {**identity, **flow.after}
    if flow.module == PROJECT_KEY:
        place = {"project_id": project_id(case.platform), "description": case.description}
        place["created_at"] = created_at(own["id"])
        return {**identity, **place, **flow.after} if flow.after else None
    if flow.end is None:
        return None if run == AGAIN else _shown(own)
    found = life.left(case)[0]
    shown = _shown(found)
    if "access_list" in flow.options:
        shown["access_list"] = flow.after["access_list"]
    if flow.creates and run == CHECK:
        shown |= {"id": None, "public_key": None, "created_at": None}
    return shown


def test_results_are_as_expected(life: Life) -> None:
    for case in CASES:
        for run in case.flow.runs:
            result = life.of(case, run)[RESULTS[case.flow.module]]
            assert result == _expected(life, case, run), (case, run)


def test_new_key_pairs_are_in_their_file_or_result_and_in_no_output(life: Life) -> None:
    for case in CREATIONS:
        (key,) = life.left(case)
        result, path = life.of(case, REAL), life.files / case.file
        if case in WITH_A_FILE:
            assert json.loads(path.read_text("utf-8")) == {
                "org_id": org_id(case.platform),
                "api_user_id": key["id"],
                "description": case.description,
                "public_key": key["public_key"],
                "private_key": key["private_key"],
            }
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert "private_key" not in result
        else:
            digests = [life.of(case, run)["digest"] for run in RUNS]
            digest, nothing = (
                hashlib.sha256(text).hexdigest() for text in (key["private_key"].encode(), b"")
            )
            assert digests == [nothing, digest, nothing]
            assert "censored" in life.run.result(f"{REAL}: hidden", case.host).values
    created = [life.left(case)[0]["private_key"] for case in CREATIONS]
    lines = life.run.output + json.dumps([result.values for result in life.run.results])
    assert not [secret for secret in [*created, *PRIVATE_KEYS.values()] if secret in lines]
