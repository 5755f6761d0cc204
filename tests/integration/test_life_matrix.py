# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key's whole life: platforms x credentials x flows x (check mode, real, again).

Each flow acts on a key of its own. All of them run through the modules' main() in this process. One
ansible-playbook process has to come to the same with a platform in full and a row of each other; a
host is a platform with a credential.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Recorded
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
    PLATFORMS,
    PRIVATE_KEYS,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_module,
    seed,
    service_account,
)

CHECK, REAL, AGAIN = RUNS = ("In check mode", "For real", "Once more")
CREDENTIALS = {
    "atlas": ("key_pair", "service_account"),
    "cloud_manager": ("key_pair",),
    "ops_manager": ("key_pair",),
}
# What is never given need not be rendered for each of many tasks.
CONNECTION = (
    "platform base_url org_id api_public_key api_private_key client_id client_secret"
).split()
GROUP_ROLES = ["GROUP_OWNER", "GROUP_READ_ONLY"]
# Of a key that others have made, in an order that is not that of results.
START: dict[str, Any] = {
    "roles": ["ORG_READ_ONLY", "ORG_MEMBER"],
    "project_roles": None,
    "access_list": [],
}
SORTED_ROLES = sorted(START["roles"])
DESCRIBED = "<description>"


@dataclass(frozen=True)
class Flow:
    """A task: what it starts from, its options, and the key and the diff that it ends with.

    ``start`` is None where there is no key before, ``end`` where there is none after. In ``before``
    and ``after``, which are those of the diff, the description stands as DESCRIBED.
    """

    name: str
    module: str
    options: dict[str, Any]
    named_by: str = "api_user_id"
    start: dict[str, Any] | None = field(default_factory=dict)
    end: dict[str, Any] | None = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    # In its result, which all others see; the other creation names a file.
    shows_private_key: bool = False
    # How many requests make the change.
    writes: int = 1

    @property
    def is_reader(self) -> bool:
        return self.module in {KEYS_INFO, ORGS_INFO}

    @property
    def runs(self) -> tuple[str, ...]:
        """Reading a third time would tell nothing new."""
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
        # The key with the least role, its access list, its roles.
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
        "change roles",
        MODULE,
        {"roles": NEW_ROLES},
        start=IN_PROJECT,
        end={**IN_PROJECT, "roles": NEW_ROLES},
        before=DESCRIBED_ROLES,
        after=NEW,
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
        "take an address away",
        ACCESS_LIST,
        {"entries": ["192.0.2.0/24", "203.0.113.9"], "state": "absent"},
        start=LISTED,
        end={"access_list": ["198.51.100.7"]},
        before={"entries": ["192.0.2.0/24", "198.51.100.7"]},
        after={"entries": ["198.51.100.7"]},
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
    """``number`` is that of the key of this case."""

    platform: str
    credentials: str
    flow: Flow
    number: int

    def __str__(self) -> str:
        return f"{self.host}-{self.flow.name.replace(' ', '-')}"

    @property
    def host(self) -> str:
        return f"{self.platform}-{self.credentials}"

    @property
    def description(self) -> str:
        return f"{self.flow.name} with a {self.credentials}"

    @property
    def file(self) -> str:
        return f"{self.host}.json"

    def fill(self, value: Any) -> Any:
        """Put what is this case's own where its flow has a placeholder."""
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
        """The key with these changes to the start, in the form of a seed."""
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
        """The key that this case starts from."""
        return {
            "id": key_id(self.platform, self.number),
            "public_key": public_key(self.platform, self.number),
            "private_key": f"{self.number:08d}-1111-4111-8111-{'0' * 12}",
            **self.key(self.flow.start or {}),
        }


def _cases() -> Iterator[Case]:
    for platform in PLATFORMS:
        for number, (credentials, flow) in enumerate(product(CREDENTIALS[platform], FLOWS), 100):
            yield Case(platform, credentials, flow, number)


CASES = list(_cases())
# What ansible-playbook runs.
PLAYED = [case for case in CASES if case.host == "atlas-key_pair" or case.flow == FLOWS[0]]
WRITERS = [case for case in CASES if not case.flow.is_reader]
READERS = [case for case in CASES if case.flow.is_reader]
CREATIONS = [case for case in CASES if case.flow.creates]
WITH_A_FILE = [case for case in CREATIONS if "credentials_file" in case.flow.options]
SHOWN = [case for case in CREATIONS if case.flow.shows_private_key]
REVOCATIONS = [case for case in WRITERS if case.flow.end is None]
SURVIVORS = [case for case in WRITERS if case.flow.end is not None]

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_writer = pytest.mark.parametrize("case", WRITERS, ids=str)


@dataclass(frozen=True)
class Matrix:
    """What came out, by run and case, and what the emulator saw and is left with."""

    files: Path
    results: dict[tuple[str, str], dict[str, Any]]
    requests: dict[str, list[Recorded]]
    writes: dict[str, list[Recorded]]
    files_after: dict[str, list[str]]
    keys: dict[str, list[dict[str, Any]]]

    def of(self, case: Case, run: str) -> dict[str, Any]:
        return self.results[run, str(case)]

    def left(self, case: Case) -> list[dict[str, Any]]:
        """The keys that have the description which this case's key is to end with."""
        wanted = case.key(case.flow.end or {})["description"]
        return [key for key in self.keys[case.platform] if key["description"] == wanted]


@dataclass(frozen=True)
class Played:
    """The playbook's run, and what the emulator is left with."""

    run: Finished
    files: Path
    writes: int
    keys: dict[str, list[dict[str, Any]]]

    def created(self, case: Case) -> list[dict[str, Any]]:
        """The key that a creation has made."""
        keys = self.keys[case.platform] if case.flow.creates else []
        return [key for key in keys if key["description"] == case.description]


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
    """A loop over the cases of each module, and apart from it what must not be shown."""
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
    # All of the result but the private key, of which the digest is enough.
    safe = "dict2items | rejectattr('key', 'in', ['private_key', 'invocation']) | items2dict"
    digest = "{'digest': (outcome.private_key | default('')) | hash('sha256')}"
    yield {
        "name": f"{run}: told",
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
        yield {
            "name": "Count what was done so far",
            "hosts": "localhost",
            "tasks": [
                {
                    "name": f"Requests {run}",
                    "ansible.builtin.uri": {"url": f"{url}/_emulator/stats"},
                },
                {
                    "name": f"Files {run}",
                    "ansible.builtin.debug": {"msg": f"{{{{ query('fileglob', '{files}/*') }}}}"},
                },
            ],
        }


def _connection(case: Case, url: str) -> dict[str, Any]:
    credentials = key_pair if case.credentials == "key_pair" else service_account
    place = {"platform": case.platform, "base_url": url, "org_id": org_id(case.platform)}
    return {**place, **credentials(case.platform)}


def _hosts(url: str, files: Path) -> dict[str, dict[str, Any]]:
    hosts: dict[str, dict[str, Any]] = {"localhost": {}}
    for case in PLAYED:
        start = {"options": _connection(case, url), "cases": []}
        host = hosts.setdefault(case.host, start)
        if case.flow.shows_private_key:
            host["hidden"] = case.options(files)
        else:
            what = {"name": case.flow.name, "module": case.flow.module}
            host["cases"].append({**what, "options": case.options(files)})
    return hosts


def _keys(emulator: Emulator) -> dict[str, list[dict[str, Any]]]:
    organizations = emulator.state.to_seed()["organizations"]
    return {organization["product"]: organization["api_keys"] for organization in organizations}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    files = tmp_path_factory.mktemp("life")
    made = Matrix(files, {}, {}, {}, {}, {})
    with Emulator(_seed(), token_requests_per_minute=None) as emulator:
        for run in RUNS:
            start = (len(emulator.requests), len(emulator.writes))
            for case in CASES:
                if run not in case.flow.runs:
                    continue
                outcome = run_module(
                    case.flow.module.rpartition(".")[2],
                    {**_connection(case, emulator.url), **case.options(files)},
                    check=run == CHECK,
                    diff=True,
                )
                made.results[run, str(case)] = outcome.result
            made.requests[run] = emulator.requests[start[0] :]
            made.writes[run] = emulator.writes[start[1] :]
            made.files_after[run] = [str(path) for path in files.iterdir()]
        made.keys.update(_keys(emulator))
    return made


@pytest.fixture(scope="module")
def played(matrix: Matrix, tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Played:
    folder = tmp_path_factory.mktemp("played")
    files = folder / "files"
    files.mkdir()
    with Emulator(_seed(), token_requests_per_minute=None) as emulator:
        run = AnsibleSandbox(folder / "run", collections).playbook(
            list(_plays(emulator.url, files)),
            "--diff",
            "--forks=4",
            hosts=_hosts(emulator.url, files),
        )
        return Played(run, files, len(emulator.writes), _keys(emulator))


def _result(run: Finished, case: Case, name: str) -> dict[str, Any]:
    if case.flow.shows_private_key:
        return dict(run.result(f"{name}: told", case.host).values["msg"])
    loop = run.result(f"{name}: {case.flow.module}", case.host).items
    (item,) = [i for i in loop if i["case"]["name"] == case.flow.name]
    return item


def _comparable(value: Any, keys: Sequence[Mapping[str, Any]], files: Path) -> Any:
    """A result without what the emulator makes up for a new key, and without paths."""
    text = json.dumps(value, sort_keys=True).replace(str(files), "")
    for key in keys:
        for name in ("id", "public_key", "private_key"):
            text = text.replace(json.dumps(key[name]), json.dumps(f"<{name}>"))
    return json.loads(text)


def test_playbook_has_the_same_results(matrix: Matrix, played: Played) -> None:
    assert played.run.code == 0, played.run.output
    for case in PLAYED:
        for run in case.flow.runs:
            expected = {
                name: value
                for name, value in matrix.of(case, run).items()
                if name not in {"invocation", "private_key"}
            }
            found = _result(played.run, case, run)
            shown = {name: found[name] for name in expected}
            new, old = played.created(case), [k for k in matrix.left(case) if case.flow.creates]
            assert _comparable(shown, new, played.files) == _comparable(expected, old, matrix.files)


def test_playbook_writes_as_much_as_it_has_to_and_for_real_only(played: Played) -> None:
    writes = [played.run.result(f"Requests {run}").values["json"]["writes"] for run in RUNS]
    wanted = sum(case.flow.writes for case in PLAYED if not case.flow.is_reader)
    assert writes == [0, wanted, wanted]
    assert played.writes == wanted
    files = [played.run.result(f"Files {run}").values["msg"] for run in RUNS]
    made = sorted(str(played.files / case.file) for case in PLAYED if case in WITH_A_FILE)
    assert [sorted(names) for names in files] == [[], made, made]


def test_playbook_shows_no_private_key(played: Played) -> None:
    """Not even of the keys whose creation shows it: those tasks have no_log."""
    created = [played.created(case)[0]["private_key"] for case in PLAYED if case.flow.creates]
    lines = played.run.output + json.dumps([result.values for result in played.run.results])
    assert not [secret for secret in [*created, *PRIVATE_KEYS.values()] if secret in lines]
    for case in [case for case in PLAYED if case in SHOWN]:
        assert "censored" in played.run.result(f"{REAL}: hidden", case.host).values
        (key,) = played.created(case)
        digest = hashlib.sha256(key["private_key"].encode()).hexdigest()
        assert _result(played.run, case, REAL)["digest"] == digest


def test_each_task_succeeds(matrix: Matrix) -> None:
    assert not [result["msg"] for result in matrix.results.values() if result.get("failed")]
    assert len(matrix.results) == sum(len(case.flow.runs) for case in CASES)


def test_nothing_warns(matrix: Matrix) -> None:
    texts = [text for result in matrix.results.values() for text in result.get("warnings", [])]
    assert set(texts) == set()


@each_case
def test_task_changes_what_is_to_change_and_then_nothing(matrix: Matrix, case: Case) -> None:
    changed = [matrix.of(case, run)["changed"] for run in case.flow.runs]
    assert changed == ([False, False] if case.flow.is_reader else [True, True, False])


@each_writer
def test_diff_is_the_same_in_check_mode_and_for_real(matrix: Matrix, case: Case) -> None:
    expected = {"before": case.fill(case.flow.before), "after": case.fill(case.flow.after)}
    assert matrix.of(case, CHECK)["diff"] == expected
    assert matrix.of(case, REAL)["diff"] == expected
    again = matrix.of(case, AGAIN)["diff"]
    assert again == {"before": expected["after"], "after": expected["after"]}


@pytest.mark.parametrize("case", READERS, ids=str)
def test_reader_has_no_diff(matrix: Matrix, case: Case) -> None:
    assert "diff" not in matrix.of(case, REAL)


@pytest.mark.parametrize("run", [CHECK, AGAIN])
def test_nothing_is_written_in_check_mode_and_the_second_time(matrix: Matrix, run: str) -> None:
    written = {(r.method, r.path) for r in matrix.requests[run] if r.method != "GET"}
    assert written == {("POST", "/api/oauth/token"), ("POST", "/api/oauth/revoke")}
    assert not matrix.writes[run]


def test_each_change_is_written_by_as_few_requests_as_can_be(matrix: Matrix) -> None:
    assert len(matrix.writes[REAL]) == sum(case.flow.writes for case in WRITERS)


@pytest.mark.parametrize("case", SURVIVORS, ids=str)
def test_key_ends_as_the_task_says(matrix: Matrix, case: Case) -> None:
    (found,) = matrix.left(case)
    expected = case.key(case.flow.end or {})
    assert sorted(found["roles"]) == sorted(expected["roles"])
    assert sorted(found["access_list"]) == sorted(expected["access_list"])
    assert [(p["project_id"], sorted(p["roles"])) for p in found["projects"]] == [
        (p["project_id"], sorted(p["roles"])) for p in expected["projects"]
    ]
    if not case.flow.creates:
        assert found["id"] == key_id(case.platform, case.number)


@pytest.mark.parametrize("case", REVOCATIONS, ids=str)
def test_revoked_key_is_gone(matrix: Matrix, case: Case) -> None:
    assert not matrix.left(case)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_other_keys_stay_as_they_were(matrix: Matrix, platform: str) -> None:
    (organization,) = [o for o in seed()["organizations"] if o["product"] == platform]
    now = {key["id"]: key for key in matrix.keys[platform]}
    for key in organization["api_keys"]:
        shown = {"projects": [], "foreign_roles": [], "unset": [], **key}
        assert now[key["id"]] == shown
    own = [case for case in CASES if case.platform == platform and case.flow.end is not None]
    assert len(now) == len(organization["api_keys"]) + len(own)


def _shown(case: Case, key: Mapping[str, Any]) -> dict[str, Any]:
    """A key of the emulator as results have it."""
    projects = [
        {"project_id": project["project_id"], "roles": sorted(project["roles"])}
        for project in key["projects"]
    ]
    shown = {name: key[name] for name in ("id", "public_key", "description")}
    return {**shown, "roles": sorted(key["roles"]), "projects": projects}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("case", [c for c in WRITERS if c.flow.module == MODULE], ids=str)
def test_result_of_org_api_key(matrix: Matrix, case: Case, run: str) -> None:
    result = matrix.of(case, run)["org_api_key"]
    if case in REVOCATIONS:
        assert result == (None if run == AGAIN else _shown(case, case.seeded()))
        return
    (found,) = matrix.left(case)
    expected = _shown(case, found)
    if "access_list" in case.flow.options:
        expected["access_list"] = case.flow.after["access_list"]
    if case.flow.creates and run == CHECK:
        expected |= {"id": None, "public_key": None}
    assert result == expected


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("case", [c for c in WRITERS if c.flow.module == ACCESS_LIST], ids=str)
def test_result_of_org_api_key_access_list(matrix: Matrix, case: Case, run: str) -> None:
    assert matrix.of(case, run)["org_api_key_access_list"] == {
        "api_user_id": key_id(case.platform, case.number),
        "public_key": public_key(case.platform, case.number),
        **case.flow.after,
    }


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("case", [c for c in WRITERS if c.flow.module == PROJECT_KEY], ids=str)
def test_result_of_project_api_key(matrix: Matrix, case: Case, run: str) -> None:
    expected = {
        "project_id": project_id(case.platform),
        "api_user_id": key_id(case.platform, case.number),
        "public_key": public_key(case.platform, case.number),
        "description": case.description,
        **case.flow.after,
    }
    assert matrix.of(case, run)["project_api_key"] == (expected if case.flow.after else None)


@pytest.mark.parametrize("run", [CHECK, REAL])
@pytest.mark.parametrize("case", READERS, ids=str)
def test_result_of_a_reader(matrix: Matrix, case: Case, run: str) -> None:
    result = matrix.of(case, run)
    if case.flow.module == ORGS_INFO:
        name = f"The {case.platform} organization"
        assert result["orgs"] == [{"id": org_id(case.platform), "name": name}]
        return
    # Both credentials of a platform see the keys of both.
    fitting = [c for c in READERS if (c.platform, c.flow) == (case.platform, case.flow)]
    expected = [
        {**_shown(c, c.seeded()), "access_list": sorted(c.seeded()["access_list"])}
        for c in sorted(fitting, key=lambda c: c.description)
    ]
    assert result["org_api_keys"] == expected


@pytest.mark.parametrize("case", WITH_A_FILE, ids=str)
def test_file_takes_the_new_pair_and_the_result_does_not(matrix: Matrix, case: Case) -> None:
    (key,) = matrix.left(case)
    path = matrix.files / case.file
    assert json.loads(path.read_text("utf-8")) == {
        "org_id": org_id(case.platform),
        "api_user_id": key["id"],
        "description": case.description,
        "public_key": key["public_key"],
        "private_key": key["private_key"],
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "private_key" not in matrix.of(case, REAL)


def test_files_are_made_for_real_only(matrix: Matrix) -> None:
    made = sorted(str(matrix.files / case.file) for case in WITH_A_FILE)
    assert matrix.files_after[CHECK] == []
    assert sorted(matrix.files_after[REAL]) == sorted(matrix.files_after[AGAIN]) == made


@pytest.mark.parametrize("case", SHOWN, ids=str)
def test_private_key_is_in_the_result_of_a_creation_without_a_file(
    matrix: Matrix, case: Case
) -> None:
    (key,) = matrix.left(case)
    shown = [matrix.of(case, run).get("private_key") for run in RUNS]
    assert shown == [None, key["private_key"], None]
