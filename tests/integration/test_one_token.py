# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role and the playbooks with several module calls fetch one token for each service account."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.integration.playbook import GROUP, AnsibleSandbox, Finished, from_variables
from tests.integration.rotations import OLD, OWNER, ROLE, Organization
from tests.support import fetch_token

pytestmark = pytest.mark.slow

FETCH, REVOKE = "/api/oauth/token", "/api/oauth/revoke"
CONNECTION = (
    "platform base_url org_id api_public_key api_private_key client_id client_secret access_token"
).split()
VARIABLES = {"client_id": "MONGODB_ATLAS_CLIENT_ID", "client_secret": "MONGODB_ATLAS_CLIENT_SECRET"}
STORE = """
- name: Let an hour pass
  ansible.builtin.set_fact:
    __rotate_org_api_key_token: "{{ __rotate_org_api_key_token | combine(past) }}"
    __rotate_org_api_key_shared_token:
      msg: "{{ __rotate_org_api_key_shared_token.msg | default({}) | combine(past) }}"
  when: case.is_late | default(false)
  vars:
    past: {expires_at: "2026-01-01T00:00:00Z"}
  no_log: true
- name: Break
  ansible.builtin.fail:
    msg: The key pair cannot be stored.
  when: case.is_broken | default(false)
"""


@dataclass(frozen=True)
class Case:
    """``tokens``: how many tokens a host fetches, revokes, and leaves valid."""

    tokens: tuple[int, int, int]
    # A key pair, a wrong secret, or the account: in options, in the environment, or with a token.
    signer: str = "options"
    product: str = "atlas"
    has_failed: bool = False
    variables: dict[str, Any] = field(default_factory=dict)
    # Another host represents the same organization, and comes first.
    same_as: str = ""


ROTATIONS = {
    "options": Case((1, 1, 0)),
    "environment": Case((1, 1, 0), "environment"),
    "check": Case((1, 1, 0), product="cloud_manager", variables={"check": True}),
    "broken": Case((1, 1, 0), has_failed=True, variables={"is_broken": True}),
    # The first token is still valid, because no hour has passed for the emulator.
    "late": Case((2, 1, 1), variables={"is_late": True}),
    "late-environment": Case((2, 1, 1), "environment", variables={"is_late": True}),
    "missing": Case((1, 1, 0), has_failed=True, variables={"description": "no such key"}),
    "token": Case((0, 0, 1), "token"),
    # The next task of the role tries again, and reports the failure.
    "wrong-secret": Case((2, 0, 0), "wrong secret", has_failed=True),
    "key-pair": Case((0, 0, 0), "key pair", "ops_manager"),
}
# Hosts with the same account share one token, even if the first one fails.
SHARED = {
    "missing": Case((1, 1, 0), has_failed=True, variables={"description": "no such key"}),
    "not-missing": Case((1, 1, 0), same_as="missing"),
    "broken": Case((1, 1, 0), has_failed=True, variables={"is_broken": True}),
    "not-broken": Case((1, 1, 0), "environment", same_as="broken"),
    "late": Case((2, 1, 1), variables={"is_late": True}),
    "late-too": Case((2, 1, 1), same_as="late", variables={"is_late": True}),
    # A host with a wrong secret must not use the token of another host.
    "wrong-secret": Case((3, 1, 0), "wrong secret", has_failed=True),
    "right-secret": Case((3, 1, 0), same_as="wrong-secret"),
    # The first request for a token is refused, so each task of this host fetches one.
    "unlucky": Case((5, 4, 0)),
    "lucky": Case((5, 4, 0), same_as="unlucky"),
}
AUDITS = {
    "options": Case((1, 1, 0)),
    "options-again": Case((1, 1, 0), has_failed=True, same_as="options"),
    "environment": Case((1, 1, 0), "environment"),
    "environment-again": Case((1, 1, 0), "environment", has_failed=True, same_as="environment"),
    "preview": Case((1, 1, 0), product="cloud_manager"),
    "no-organization": Case((1, 1, 0), has_failed=True, variables={"org_id": "0" * 24}),
    "token": Case((0, 0, 1), "token"),
    # Each task tries again.
    "wrong-secret": Case((3, 0, 0), "wrong secret", has_failed=True),
    "key-pair": Case((0, 0, 0), "key pair", "ops_manager"),
}


@dataclass(frozen=True)
class World:
    """An emulator with an organization for each case, and the tokens of the cases."""

    cases: Mapping[str, Case]
    organizations: Mapping[str, Organization]
    emulator: Emulator
    tokens: Mapping[str, str]

    def credential(self, name: str) -> dict[str, str]:
        organization = self.organizations[name]
        account = organization.account()
        return {
            "options": account,
            "environment": {},
            "key pair": organization.pair(OWNER),
            "wrong secret": {**account, "client_secret": account["client_secret"] + "x"},
            "token": {**account, "access_token": self.tokens.get(name, "")},
        }[self.cases[name].signer]

    def environ(self, name: str) -> dict[str, str]:
        account = self.organizations[name].account()
        if self.cases[name].signer != "environment":
            return {}
        return {variable: account[option] for option, variable in VARIABLES.items()}

    def check(self, run: Finished) -> None:
        """Assert how many tokens each host has fetched and revoked, and that none is shown."""
        sent: Counter[tuple[str, str]] = Counter()
        seen = {*self.tokens.values()}
        for request in self.emulator.requests:
            kind, _space, value = request.headers.get("Authorization", "").partition(" ")
            if kind == "Bearer":
                seen.add(value)
            if request.path in {FETCH, REVOKE}:
                account = base64.b64decode(value).decode().partition(":")[0]
                sent[account, request.path] += 1
        valid = Counter(token.client_id for token in self.emulator.state.tokens.values())
        found = {
            name: (sent[account, FETCH], sent[account, REVOKE], valid[account])
            for name in self.cases
            for account in [self.organizations[name].account()["client_id"]]
        }
        assert found == {name: case.tokens for name, case in self.cases.items()}
        texts = [run.output, *(str(result.values) for result in run.results)]
        # At -vvv, Ansible shows the values of the keyword environment.
        shown_by_ansible = {
            self.organizations[name].account()["client_secret"]
            for name, case in self.cases.items()
            if case.signer == "environment"
        }
        secrets = {o.account()["client_secret"] for o in self.organizations.values()}
        secrets -= shown_by_ansible
        assert seen
        shown = [text for secret in {*seen, *secrets} for text in texts if secret in text]
        assert not shown, shown[0]


def old_key(cases: Mapping[str, Case], name: str) -> int:
    """Return the number of the key that a host rotates: each host has its own."""
    return OLD + [*cases].index(name) if cases[name].same_as else OLD


@contextmanager
def world_of(cases: Mapping[str, Case]) -> Iterator[World]:
    organizations = {
        name: Organization(n, case.product, f"the key of {name}", {}, ())
        for n, (name, case) in enumerate(cases.items())
    }
    organizations |= {n: organizations[c.same_as] for n, c in cases.items() if c.same_as}
    seeds = {o.org_id: o.seed() for o in organizations.values()}
    for name, case in cases.items():
        if case.same_as:
            organization = organizations[name]
            description = f"the key of {name}"
            seeds[organization.org_id]["api_keys"].append(
                organization.key(old_key(cases, name), description=description)
            )
    with Emulator({"organizations": [*seeds.values()]}) as emulator:
        tokens = {
            name: fetch_token(emulator.url, **organizations[name].account())
            for name, case in cases.items()
            if case.signer == "token"
        }
        emulator.requests.clear()
        yield World(cases, organizations, emulator, tokens)


def rotate(
    world: World,
    folder: Path,
    collections: Path,
    before: Sequence[dict[str, Any]] = (),
    **keywords: Any,
) -> Finished:
    """Run the role for each host in one play, and assert which hosts succeed.

    ``before`` are tasks of the play before the role, and ``keywords`` are those of the play.
    """
    (folder / "store.yml").write_text(STORE, "utf-8")
    hosts = {
        name: {
            "connection": {
                "platform": case.product,
                "base_url": world.emulator.url,
                "org_id": world.organizations[name].org_id,
                **world.credential(name),
            },
            "environ": world.environ(name),
            "old_id": ""
            if "description" in case.variables
            else world.organizations[name].key_id(old_key(world.cases, name)),
            "case": case.variables,
        }
        for name, case in world.cases.items()
    }
    role = {
        "name": "Rotate",
        "ansible.builtin.include_role": {
            "name": ROLE,
            "apply": {"check_mode": "{{ case.check | default(false) }}"},
        },
        "vars": {
            "rotate_org_api_key_api_user_id": "{{ old_id }}",
            "rotate_org_api_key_description": "{{ case.description | default('') }}",
            "rotate_org_api_key_store_tasks": str(folder / "store.yml"),
        },
    }
    play = {
        "hosts": "all",
        "environment": "{{ environ }}",
        "module_defaults": {GROUP: from_variables(CONNECTION, "connection")},
        **keywords,
        "tasks": [*before, role, {"name": "End", "ansible.builtin.debug": {"msg": "Rotated"}}],
    }
    sandbox = AnsibleSandbox(folder / "run", collections)
    run = sandbox.playbook([play], "-vvv", "--forks=4", hosts=hosts)
    world.check(run)
    ended = {result.host for result in run.results if result.task == "End"}
    assert ended == {name for name, case in world.cases.items() if not case.has_failed}
    return run


def test_the_role_fetches_one_token_and_revokes_it(tmp_path: Path, collections: Path) -> None:
    with world_of(ROTATIONS) as world:
        run = rotate(world, tmp_path, collections, strategy="free")
    # In check mode and after the rotation, the tasks with the token report no change.
    changed = {r.task for r in run.results if r.changed and r.host in {"options", "missing"}}
    assert not [task for task in changed if "token" in task]
    refused = [r.msg for r in run.results if r.host == "wrong-secret" and r.failed]
    assert len(refused) == 1
    assert "invalid_client" in refused[0]


class RefusedOnce(Fault):
    """A fault for the first token request of an account."""

    def __init__(self, client_id: str) -> None:
        super().__init__("status", "POST", FETCH, times=None, status=400, code="EMULATED")
        self.client_id = client_id
        self.is_due = True

    def play(self, exchange: Any) -> None:
        value = exchange.recorded.headers["Authorization"].partition(" ")[2]
        if self.is_due and base64.b64decode(value).decode().startswith(self.client_id):
            self.is_due = False
            super().play(exchange)
            return
        exchange.send(exchange.perform())


@pytest.mark.each_core
def test_hosts_of_a_play_share_one_token(tmp_path: Path, collections: Path) -> None:
    with world_of(SHARED) as world:
        client_id = world.organizations["unlucky"].account()["client_id"]
        world.emulator.add_fault(RefusedOnce(client_id))
        rotate(world, tmp_path, collections)


@pytest.mark.each_core
def test_a_host_may_be_missing_from_the_batch(tmp_path: Path, collections: Path) -> None:
    """If hosts fail and are rescued in such a play, Ansible drops the others from the batch."""
    check: dict[str, Any] = {"variables": {"check": True}}
    hosts = {
        "failed": Case((1, 1, 0), **check),
        "failed-too": Case((1, 1, 0), same_as="failed", **check),
        "dropped": Case((1, 1, 0), **check),
    }
    fail = {
        "ansible.builtin.fail": {"msg": "To be rescued."},
        "when": "inventory_hostname != 'dropped'",
    }
    rescued = {"block": [fail], "rescue": [{"ansible.builtin.debug": {}}]}
    with world_of(hosts) as world:
        rotate(world, tmp_path, collections, [rescued], any_errors_fatal=True)


@pytest.mark.each_core
def test_a_playbook_fetches_one_token_and_revokes_it(tmp_path: Path, collections: Path) -> None:
    with world_of({"environment": Case((1, 1, 0), "environment")}) as world:
        organization = world.organizations["environment"]
        variables = {
            "base_url": world.emulator.url,
            "org_id": organization.org_id,
            "api_user_id": organization.key_id(OLD),
            "rotate_org_api_key_file": str(tmp_path / "pair.json"),
        }
        sandbox = AnsibleSandbox(tmp_path / "run", collections)
        environ = world.environ("environment")
        run = playbook(sandbox, "rotate_org_api_key", variables, environ=environ)
        world.check(run)
    assert run.code == 0, run.output


@pytest.mark.parametrize("name", ["rotate_org_api_key", "audit_org_api_keys"])
def test_a_failed_revocation_is_shown_after_success(
    tmp_path: Path, collections: Path, name: str
) -> None:
    with world_of({"options": Case((1, 1, 1))}) as world:
        fault = Fault("status", "POST", REVOKE, times=None, status=400, code="EMULATED")
        world.emulator.add_fault(fault)
        organization = world.organizations["options"]
        variables = {
            "base_url": world.emulator.url,
            "org_id": organization.org_id,
            **organization.account(),
            "api_user_id": organization.key_id(OLD),
            "rotate_org_api_key_file": str(tmp_path / "pair.json"),
            "audit_org_api_keys_dest": str(tmp_path / "audit"),
        }
        run = playbook(AnsibleSandbox(tmp_path / "run", collections), name, variables, environ={})
        world.check(run)
    assert run.code == 0, run.output
    (revoked,) = [r for r in run.results if r.task.endswith("Revoke the access token")]
    assert (revoked.status, revoked.error["code"]) == ("failed", "EMULATED")


def test_an_audit_fetches_one_token_for_each_account(tmp_path: Path, collections: Path) -> None:
    with world_of(AUDITS) as world:
        hosts = {
            name: {
                "platform": case.product,
                "base_url": world.emulator.url,
                "org_id": world.organizations[name].org_id,
                **world.credential(name),
                **case.variables,
            }
            for name, case in AUDITS.items()
        }
        variables = {
            "audit_org_api_keys_hosts": "all",
            "audit_org_api_keys_dest": str(tmp_path / "to"),
        }
        sandbox = AnsibleSandbox(tmp_path / "run", collections)
        inventory = sandbox.write([], hosts)[1]
        arguments = ["-i", str(inventory), "--forks=4"]
        environ = world.environ("environment")
        run = playbook(sandbox, "audit_org_api_keys", variables, *arguments, environ=environ)
        world.check(run)
    last = [result for result in run.results if result.task == "Fail if anything could not be read"]
    assert {result.host: result.failed for result in last} == {
        name: case.has_failed for name, case in AUDITS.items()
    }


def playbook(
    sandbox: AnsibleSandbox,
    name: str,
    variables: Mapping[str, Any],
    *arguments: str,
    environ: Mapping[str, str],
) -> Finished:
    command = ["-m", "ansible", "playbook", "-vvv", f"keysmith.mongodb.{name}"]
    return sandbox.python(*command, *arguments, "-e", json.dumps(variables), environ=environ)
