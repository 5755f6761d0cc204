# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module through Apache's mod_auth_digest, whose nonces expire during each task.

Each case is a host of one ansible-playbook run with its own organization and key, so the user in
Apache's log identifies the case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.emulator import Emulator, Fault, Organization
from tests.integration.playbook import (
    ACCESS_LIST,
    CONNECTION,
    KEYS,
    KEYS_INFO,
    MODULE,
    OPTIONS,
    ORGS_INFO,
    PROJECT_KEY,
    AnsibleSandbox,
    from_variables,
)
from tests.samples import VICTIM, others
from tests.trust.peers.servers import CHECKED_USER, Server, apache

LEAKED = 8
# The latency is longer than the lifetime of a nonce, so every later request finds an old one.
LATENCY, LIFETIME = 1.2, 1


def described(organization: Organization) -> list[str]:
    return sorted(key.description for key in organization.api_keys.values())


def victim(organization: Organization) -> Any:
    return next(key for key in organization.api_keys.values() if key.description == "victim")


@dataclass(frozen=True)
class Case:
    """A task, and a check of the organization and the task's result."""

    module: str
    options: dict[str, Any]
    is_done: Callable[[Organization, dict[str, Any]], bool]
    platform: str = "atlas"
    threads: int = 1
    is_read: bool = False
    more: dict[str, Any] = field(default_factory=dict)


PROJECT = "{{ project }}"
REVOKE = {"description": "victim", "state": "absent", "wait": True}
REVOKE_LEAKED = {"description_match": ["leaked *"], "state": "absent", "concurrency": 4}
ENTRIES = {"description": "victim", "entries": ["192.0.2.0/24", "2001:db8::1"], "purge": True}
ASSIGN = {"description": "victim", "roles": ["GROUP_READ_ONLY"]}
DONE = {
    "revoke": Case(MODULE, REVOKE, lambda o, _v: "victim" not in described(o)),
    "revoke-ops-manager": Case(
        MODULE, REVOKE, lambda o, _v: "victim" not in described(o), "ops_manager"
    ),
    "create": Case(
        MODULE,
        {"description": "new one", "roles": ["ORG_MEMBER"]},
        lambda o, v: "new one" in described(o) and v["org_api_key"]["id"] in o.api_keys,
    ),
    "change": Case(
        MODULE,
        {"description": "victim", "roles": ["ORG_READ_ONLY"]},
        lambda o, _v: victim(o).roles == ["ORG_READ_ONLY"],
        "ops_manager",
    ),
    "info": Case(
        KEYS_INFO,
        {"description": "victim", "access_list": True},
        lambda o, v: [k["id"] for k in v["org_api_keys"]] == [victim(o).id],
        is_read=True,
    ),
    "access-list": Case(
        ACCESS_LIST, ENTRIES, lambda o, _v: sorted(victim(o).access_list) == ENTRIES["entries"]
    ),
    "many": Case(KEYS, REVOKE_LEAKED, lambda o, _v: described(o) == ["signs", "victim"], threads=4),
    "project": Case(
        PROJECT_KEY,
        ASSIGN,
        lambda o, _v: list(victim(o).projects.values()) == [["GROUP_READ_ONLY"]],
    ),
    # When its only request is retried after a 503, the nonce has expired.
    "organizations": Case(
        ORGS_INFO, {}, lambda o, v: [x["id"] for x in v["orgs"]] == [o.id], is_read=True
    ),
}
# These key pairs have a wrong password, so Apache rejects them.
REFUSED = {
    "refused-key": Case(MODULE, REVOKE, lambda o, _v: "victim" in described(o)),
    "refused-info": Case(KEYS_INFO, {"description": "victim"}, lambda _o, _v: True),
    "refused-access-list": Case(
        ACCESS_LIST,
        {**ENTRIES, "purge": False, "state": "absent"},
        lambda o, _v: victim(o).access_list == [],
    ),
    "refused-many": Case(KEYS, REVOKE_LEAKED, lambda o, _v: len(described(o)) == LEAKED + 2),
    "refused-project": Case(
        PROJECT_KEY,
        {"description": "victim", "state": "absent"},
        lambda o, _v: victim(o).projects == {},
    ),
    "refused-organizations": Case(ORGS_INFO, {}, lambda _o, _v: True),
}


def of_samples(cases: dict[str, Case]) -> dict[str, Case]:
    """Return cases for the modules without one; only their result is checked."""
    missing = others(case.module.rpartition(".")[2] for case in cases.values())
    return {
        module.replace("_", "-"): Case(
            f"keysmith.mongodb.{module}",
            sample.options(VICTIM, PROJECT),
            lambda o, _v: "victim" in described(o),
            is_read=not sample.writes,
        )
        for module, sample in missing.items()
    }


# Apache does not know new keys, so no rotation can begin.
DONE |= of_samples(DONE)
REFUSED |= {f"refused-{name}": case for name, case in of_samples(REFUSED).items()}
CASES = DONE | REFUSED
NUMBERS = {name: number for number, name in enumerate(CASES, 1)}
PRIVATE = "c0ffee00-0000-4000-8000-{:012d}"


def org_id(name: str) -> str:
    return f"5f{NUMBERS[name]:022d}"


def project_id(name: str) -> str:
    return f"6f{NUMBERS[name]:022d}"


def public_key_of(name: str, number: int = 0) -> str:
    letters = f"{NUMBERS[name]:03d}{number:03d}"
    return "ap" + "".join(chr(ord("a") + int(digit)) for digit in letters)


def private_key(name: str) -> str:
    return PRIVATE.format(NUMBERS[name])


def organization(name: str) -> dict[str, Any]:
    """Return the organization of a case: a signing credential, victims and some leaked keys."""
    descriptions = ["signs", "victim", *(f"leaked {number}" for number in range(LEAKED))]
    return {
        "id": org_id(name),
        "name": f"Organization of {name}",
        "product": CASES[name].platform,
        "projects": [{"id": project_id(name), "name": "shop"}],
        "api_keys": [
            {
                "id": f"{NUMBERS[name]:04d}{number:020d}",
                "description": description,
                "public_key": public_key_of(name, number),
                "private_key": private_key(name) if number == 0 else f"private {number}",
                "roles": ["ORG_OWNER" if number == 0 else "ORG_MEMBER"],
            }
            for number, description in enumerate(descriptions)
        ],
        "service_accounts": [
            {
                "client_id": f"mdb_sa_id_{org_id(name)}",
                "name": "victim",
                "roles": ["ORG_MEMBER"],
            }
        ],
    }


def options(name: str, url: str) -> dict[str, Any]:
    case = CASES[name]
    is_in_project = ".project_" in case.module
    more = {"project_id": project_id(name)} if is_in_project else {}
    return {
        "platform": case.platform,
        "base_url": url,
        "org_id": org_id(name),
        "api_public_key": public_key_of(name),
        "api_private_key": private_key(name),
        **case.options,
        **more,
    }


def tasks() -> list[dict[str, Any]]:
    """Return one task per module, for the hosts with a case of this module."""
    return [
        {
            "name": module,
            "when": f"module == '{module}'",
            "ignore_errors": True,
            module: from_variables(
                [*CONNECTION, *names, *(["wait"] if module == MODULE else [])]
                if module != ORGS_INFO
                else [*(option for option in CONNECTION if option != "org_id"), *names]
            ),
        }
        for module, names in OPTIONS.items()
    ]


def lines_of(server: Server, name: str) -> list[list[str]]:
    """Return status, user, method, path and challenge of the requests that a case signed."""
    lines = [line.split("\t") for line in server.lines()]
    return [line for line in lines if line[1] == public_key_of(name)]


def test_every_module_through_apache(tmp_path: Path, collections: Path) -> None:
    users = {
        public_key_of(name): private_key(name) if name in DONE else "another password"
        for name in CASES
    }
    seed = {"organizations": [organization(name) for name in CASES]}
    sandbox = AnsibleSandbox(tmp_path / "run", collections)
    with (
        Emulator(seed, latency=LATENCY, checked_user_header=CHECKED_USER) as emulator,
        apache(tmp_path, emulator.port, users, lifetime=LIFETIME) as server,
    ):
        path = "/api/atlas/v2/orgs"
        emulator.add_fault(Fault("status", "GET", path, status=503, retry_after=LIFETIME + 1))
        hosts = {
            name: {"module": case.module, "options": options(name, server.url)}
            for name, case in CASES.items()
        }
        play = {"hosts": "all", "strategy": "free", "tasks": tasks()}
        run = sandbox.playbook([play], f"--forks={len(CASES)}", "-vvv", hosts=hosts)
        assert run.code == 0, run.output
        for name, case in CASES.items():
            result = run.result(case.module, name)
            after = emulator.state.organizations[org_id(name)]
            assert case.is_done(after, result.values), (name, result.msg, after)
            assert private_key(name) not in run.output
            if name in REFUSED:
                assert result.failed, name
                assert not result.changed
                assert result.error["status"] == 401
                assert f"Check the API key {public_key_of(name)}" in result.msg
            else:
                assert (result.failed, result.changed) == (False, not case.is_read), result
            check_requests(server, emulator, name)
        complaints = [line for line in server.complaints() if "nonce expired" in line]
        stale = [line for line in server.lines() if "stale=true" in line]
        assert len(complaints) == len(stale)
        # Unsigned requests are challenged, once per task.
        assert len([line for line in server.lines() if line.startswith("401\t-")]) == len(CASES)


def check_requests(server: Server, emulator: Emulator, name: str) -> None:
    lines = lines_of(server, name)
    arrived = [request for request in emulator.requests if request.caller == public_key_of(name)]
    refused = [line for line in lines if line[0] == "401"]
    if name in REFUSED:
        # A rejected signature is not retried, because that could lock the key.
        assert len(refused) == len(lines) == 1, lines
        assert not arrived
        return
    assert all("stale=true" in line[4] for line in refused), lines
    # The nonce of a task's only request cannot expire.
    assert min(1, len(arrived) - 1) <= len(refused) <= len(arrived), lines
    assert len(lines) - len(refused) == len(arrived)
    # Only Apache has checked the Digest.
    assert not any("Authorization" in request.headers for request in arrived)
