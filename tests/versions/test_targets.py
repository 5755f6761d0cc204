# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life cycle of a key, with every module, on each Python for modules.

`make versions` sets them in VERSIONS_TARGETS: with the oldest or the newest requests, and without
it. One ansible-playbook process runs them all. A host is a Python with its own organization.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.integration.playbook import (
    ACCESS_LIST,
    ACCESS_TOKEN,
    API_REQUEST,
    GROUP,
    KEYS,
    KEYS_INFO,
    MODULE,
    ORGS_INFO,
    PROJECT_KEY,
    AnsibleSandbox,
    Finished,
)
from tests.samples import others
from tests.support import CLIENT_SECRETS, PRIVATE_KEYS

TARGETS: dict[str, str] = json.loads(os.environ["VERSIONS_TARGETS"])
WITH_REQUESTS = sorted(name for name in TARGETS if not name.endswith("-none"))
WITHOUT = sorted(TARGETS.keys() - set(WITH_REQUESTS))
# Descriptions may look like another type, and be in any language.
NAME = "[1, 'ünïcode ☃ key']"
KEY = {"api_user_id": "{{ created.org_api_key.id }}"}
ROLES = ["ORG_MEMBER", "ORG_READ_ONLY"]
DECLARED = [{"description": f"declared {n}", "roles": ["ORG_MEMBER"]} for n in range(3)]

TASKS: dict[str, dict[str, Any]] = {
    "create": {
        MODULE: {"description": NAME, "roles": ROLES, "credentials_file": "{{ folder }}/pair.json"},
        "register": "created",
    },
    "change": {MODULE: {**KEY, "roles": ["ORG_MEMBER"], "new_description": f"{NAME} now"}},
    "list": {ACCESS_LIST: {**KEY, "entries": ["192.0.2.0/24", "2001:db8::1"]}},
    "assign": {PROJECT_KEY: {**KEY, "project_id": "{{ project }}", "roles": ["GROUP_OWNER"]}},
    "read": {KEYS_INFO: {**KEY, "access_list": True}},
    "read organizations": {ORGS_INFO: {}},
    "declare": {KEYS: {"api_keys": DECLARED, "credentials_dir": "{{ folder }}"}},
    "revoke many": {KEYS: {"state": "absent", "description_match": ["declared *"]}},
    "unassign": {PROJECT_KEY: {**KEY, "project_id": "{{ project }}", "state": "absent"}},
    "unlist": {ACCESS_LIST: {**KEY, "entries": ["192.0.2.0/24"], "state": "absent"}},
    "revoke": {MODULE: {**KEY, "state": "absent", "wait": True}},
    "revoke again": {MODULE: {**KEY, "state": "absent"}},
}
UNCHANGED = {"read", "read organizations", "revoke again"}
NO_CREDENTIAL = {"api_public_key": "", "api_private_key": ""}
ACCOUNT = {
    **NO_CREDENTIAL,
    "client_id": "mdb_sa_id_{{ connection_of_test.org_id }}",
    "client_secret": CLIENT_SECRETS["atlas"],
}
TOKEN = "{{ token.access_token }}"
TASKS |= {
    "fetch a token": {ACCESS_TOKEN: ACCOUNT, "register": "token"},
    "use the token": {ORGS_INFO: {**NO_CREDENTIAL, "access_token": TOKEN}},
    "revoke the token": {ACCESS_TOKEN: {**ACCOUNT, "token": TOKEN, "state": "absent"}},
}
UNCHANGED |= {"use the token"}
PATH = "/orgs/{{ connection_of_test.org_id }}"
POST = {
    "method": "POST",
    "path": f"{PATH}/apiKeys",
    "body": {"desc": f"{NAME} of a request", "roles": ["ORG_MEMBER"]},
    "unique_by": ["desc"],
}
OBJECT = f"{PATH}/apiKeys/{{{{ posted.json.id }}}}"
PATCH = {"method": "PATCH", "path": OBJECT, "body": {"desc": NAME}, "compare": True}
DELETE = {"method": "DELETE", "path": OBJECT, "missing_codes": ["API_KEY_NOT_FOUND"]}
SAVE = {"path": PATH, "dest": "{{ folder }}/organization.json"}
TASKS |= {
    "post": {API_REQUEST: POST, "register": "posted"},
    "post again": {API_REQUEST: POST},
    "patch": {API_REQUEST: PATCH},
    "patch again": {API_REQUEST: PATCH},
    "save": {API_REQUEST: SAVE},
    "save again": {API_REQUEST: SAVE},
    "get": {API_REQUEST: {"path": "/orgs", "all_pages": True}},
    "delete": {API_REQUEST: DELETE},
    "delete again": {API_REQUEST: DELETE},
}
UNCHANGED |= {"get", *(name for name in TASKS if name.endswith(" again"))}
_OTHERS = others(name.rpartition(".")[2] for task in TASKS.values() for name in task)
for _module, _sample in _OTHERS.items():
    _task = {f"keysmith.mongodb.{_module}": _sample.options(KEY, "{{ project }}")}
    # This precedes the revocation of the key.
    TASKS = {"create": TASKS["create"], _module: _task, **TASKS}
    UNCHANGED |= set() if _sample.writes else {_module}
# Values that differ between keys or hosts.
_OWN = re.compile(
    r"\b(?:(?:mdb_sa_id_)?[0-9a-f]{24}|mdb_sa_sk_[\w-]+|\d{4}-\d\d-\d\dT[\d:.]+Z|[a-z]{8})(?!\w)"
    r"|/\S*/folder-[\w.-]+"
    r'|(?<="privateKey": ")[^"]+'
)


@dataclass(frozen=True)
class Lives:
    run: Finished
    folders: dict[str, Path]
    keys: dict[str, list[dict[str, Any]]]


def _organization(number: int, host: str) -> dict[str, Any]:
    return {
        "id": f"5a{number:022d}",
        "name": "The organization",
        "product": "atlas",
        "projects": [{"id": f"5a{number:020d}aa", "name": f"shop of {host}"}],
        "api_keys": [
            {
                "id": f"5ae{number:021d}",
                "description": "signs",
                "public_key": "signs" + "abcdefghijklmnopqrstuvwxyz"[number] * 3,
                "private_key": PRIVATE_KEYS["atlas"],
                "roles": ["ORG_OWNER"],
                "access_list": [],
            }
        ],
        "service_accounts": [
            {
                "client_id": f"mdb_sa_id_5a{number:022d}",
                "client_secret": CLIENT_SECRETS["atlas"],
                "roles": ["ORG_READ_ONLY"],
            },
            {"client_id": f"mdb_sa_id_5b{number:022d}", "name": "victim", "roles": ["ORG_MEMBER"]},
        ],
    }


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Lives:
    folder = tmp_path_factory.mktemp("targets")
    organizations = {host: _organization(n, host) for n, host in enumerate(sorted(TARGETS))}
    folders = {host: folder / f"folder-{host}" for host in TARGETS}
    with Emulator({"organizations": list(organizations.values())}) as emulator:
        hosts = {}
        for host, organization in organizations.items():
            folders[host].mkdir()
            (owner,) = organization["api_keys"]
            hosts[host] = {
                "ansible_python_interpreter": TARGETS[host],
                "folder": str(folders[host]),
                "project": organization["projects"][0]["id"],
                "connection_of_test": {
                    "base_url": emulator.url,
                    "org_id": organization["id"],
                    "api_public_key": owner["public_key"],
                    "api_private_key": owner["private_key"],
                },
            }
        names = hosts[sorted(hosts)[0]]["connection_of_test"]
        play = {
            "hosts": "all",
            "strategy": "free",
            "module_defaults": {GROUP: {n: f"{{{{ connection_of_test.{n} }}}}" for n in names}},
            "tasks": [{"name": name, **task} for name, task in TASKS.items()],
        }
        run = AnsibleSandbox(folder / "run", collections, own_python=True).playbook(
            [play], "--diff", "--forks=2", hosts=hosts, patience=900
        )
        left = {o["id"]: o["api_keys"] for o in emulator.state.to_seed()["organizations"]}
    return Lives(run, folders, {host: left[o["id"]] for host, o in organizations.items()})


def plain(values: dict[str, Any]) -> Any:
    """Return a result without the values that differ between keys and hosts."""
    dropped = {"invocation", "ansible_facts", "access_token", "headers"}
    kept = {k: v for k, v in values.items() if k not in dropped}
    return json.loads(_OWN.sub("…", json.dumps(kept, sort_keys=True)))


def test_at_least_one_python_is_set() -> None:
    assert WITH_REQUESTS
    assert {host.split("-")[0] for host in WITH_REQUESTS} == {
        host.split("-")[0] for host in WITHOUT
    }


@pytest.mark.parametrize("host", WITH_REQUESTS)
def test_a_key_is_created_changed_and_revoked(lives: Lives, host: str) -> None:
    results = {name: lives.run.result(name, host) for name in TASKS}
    assert not {name: r.values for name, r in results.items() if r.failed}
    assert {name for name, r in results.items() if not r.changed} == UNCHANGED
    (found,) = results["read"].values["org_api_keys"]
    assert found["description"] == f"{NAME} now"
    assert found["roles"] == ["ORG_MEMBER"]
    assert found["access_list"] == ["192.0.2.0/24", "2001:db8::1"]
    assert [p["roles"] for p in found["projects"]] == [["GROUP_OWNER"]]
    assert [o["name"] for o in results["read organizations"].values["orgs"]] == ["The organization"]
    found_accounts = results["service_account_info"].values["service_accounts"]
    (account,) = [one for one in found_accounts if one["name"] == "victim"]
    secret = results["service_account_secret"].values["service_account_secret"]
    assert [item["id"] for item in account["secrets"]] == [secret["id"]]
    changed = results["service_account"].values["service_account"]
    assert (changed["client_id"], changed["roles"]) == (account["client_id"], ["ORG_READ_ONLY"])
    pair = json.loads((lives.folders[host] / "pair.json").read_text("utf-8"))
    assert pair["api_user_id"] == found["id"]
    assert pair["private_key"] not in lives.run.output
    saved = json.loads((lives.folders[host] / "organization.json").read_text("utf-8"))
    assert saved["name"] == "The organization"
    assert [item["name"] for item in results["get"].values["json"]] == [saved["name"]]
    assert len(list(lives.folders[host].iterdir())) == 2 + len(DECLARED)
    assert [key["description"] for key in lives.keys[host]] == ["signs"]


@pytest.mark.parametrize("task", TASKS)
def test_every_python_gives_the_same_result(lives: Lives, task: str) -> None:
    results = {host: plain(lives.run.result(task, host).values) for host in WITH_REQUESTS}
    first = results[WITH_REQUESTS[0]]
    assert not {host: result for host, result in results.items() if result != first}, first


@pytest.mark.parametrize("host", WITHOUT)
def test_missing_requests_is_reported(lives: Lives, host: str) -> None:
    (result,) = [r for r in lives.run.results if r.host == host]
    assert result.failed
    assert "requests" in result.msg
    assert result.msg.startswith("Failed to import the required Python library (requests)")
    assert TARGETS[host] in result.msg or str(Path(TARGETS[host]).resolve()) in result.msg
