# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault at each request of each flow of each module.

The requests of a flow are counted in a run without faults. Then, on Atlas, each fault affects each
request once, unless it would repeat another one. On the other platforms, only the hardest fault
does. The task reaches the same state or fails; it reports truthfully whether it changed anything;
a second run converges; no POST is repeated; no secret is shown.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.samples import ACCOUNT, WITH_ACCOUNTS, Sample, others
from tests.support import (
    PLATFORMS,
    Outcome,
    account_id,
    key_id,
    key_pair,
    org_id,
    project_id,
    run_module,
    secret_id,
    seed,
    service_account,
)


class Restart(Fault):
    """Loses a response because the server restarts, which makes it forget all challenges."""

    def __init__(self, after: int) -> None:
        super().__init__("lost_after", after=after)

    def play(self, exchange: Any) -> None:
        exchange.emulator.forget_challenges()
        super().play(exchange)


class Canceled(Fault):
    """Cancels the task before it gets the response to a request that is carried out."""

    def __init__(self, after: int) -> None:
        super().__init__("slow", after=after, seconds=0)

    def play(self, exchange: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        super().play(exchange)


# The last one is the hardest, and the only one for platforms other than Atlas.
FAULTS: list[Callable[[int], Fault]] = [
    lambda after: Fault("lost_after", after=after),
    lambda after: Fault("garbage", after=after, after_write=True),
    lambda after: Fault("status", after=after, status=429, retry_after=1),
    lambda after: Fault("status", after=after, status=500),
    lambda after: Fault("status", after=after, status=403, code="USER_UNAUTHORIZED"),
    Canceled,
    Restart,
]
# For a read, they would repeat others: they differ only in whether a write is carried out.
FAULTS_OF_WRITES: list[Callable[[int], Fault]] = [
    lambda after: Fault("lost_before", after=after),
    lambda after: Fault("status", after=after, status=500, after_write=True),
]


def faults_of(method: str, platform: str) -> list[Callable[[int], Fault]]:
    if platform != "atlas":
        return FAULTS[-1:]
    return FAULTS if method == "GET" else FAULTS_OF_WRITES + FAULTS


@dataclass(frozen=True)
class Flow:
    """A task whose second run changes nothing. ``tests.support`` explains the numbers of keys."""

    name: str
    module: str
    options: Callable[[str], dict[str, Any]]
    # If the response to a creation is lost, the secret is lost too. After the object is deleted, as
    # the error advises, a second run creates another one.
    creates: str = ""
    writes: bool = True
    signer: Callable[[str], dict[str, str]] = key_pair
    only_on: tuple[str, ...] = ()

    @property
    def is_about_accounts(self) -> bool:
        return "service_account" in self.module

    @property
    def platforms(self) -> tuple[str, ...]:
        return self.only_on or (WITH_ACCOUNTS if self.is_about_accounts else PLATFORMS)

    def __str__(self) -> str:
        return self.name


BUSY = {"name": "busy"}
NEW_ACCOUNT = {"name": "new one", "roles": ["ORG_MEMBER"]}


def viewer(platform: str) -> dict[str, Any]:
    """Return the options of an assignment to a project."""
    return {"project_id": project_id(platform), "roles": ["GROUP_READ_ONLY"]}


FLOWS = [
    Flow(
        "revoke by id",
        "org_api_key",
        lambda p: {"api_user_id": key_id(p, 2), "state": "absent"},
    ),
    Flow(
        "revoke by description and wait",
        "org_api_key",
        lambda _p: {"description": "victim", "state": "absent", "wait": True},
    ),
    Flow(
        "create",
        "org_api_key",
        lambda _p: {"description": "new one", "roles": ["ORG_MEMBER"]},
        creates="new one",
    ),
    Flow(
        "change roles",
        "org_api_key",
        lambda _p: {"description": "victim", "roles": ["ORG_READ_ONLY"]},
    ),
    Flow(
        "rename",
        "org_api_key",
        lambda _p: {"description": "victim", "new_description": "renamed"},
    ),
    Flow(
        "set an access list",
        "org_api_key_access_list",
        lambda p: {
            "api_user_id": key_id(p, 7),
            "entries": ["10.0.0.0/8", "2001:db8::1"],
            "purge": True,
        },
    ),
    Flow(
        "remove an address",
        "org_api_key_access_list",
        lambda p: {"api_user_id": key_id(p, 7), "entries": ["192.0.2.0/24"], "state": "absent"},
    ),
    Flow(
        "assign to a project",
        "project_api_key",
        lambda p: {"api_user_id": key_id(p, 3), **viewer(p)},
    ),
    Flow(
        "change roles in a project",
        "project_api_key",
        lambda p: {"description": "victim", **viewer(p)},
    ),
    Flow(
        "remove from a project",
        "project_api_key",
        lambda p: {"project_id": project_id(p), "description": "victim", "state": "absent"},
    ),
    Flow(
        "revoke many",
        "org_api_keys",
        lambda _p: {"description_match": ["*"], "keep": ["signs"], "state": "absent"},
    ),
    Flow(
        "change many",
        "org_api_keys",
        lambda p: {
            "api_keys": [
                {"description": "victim", "projects": [], "access_list": ["192.0.2.1"]},
                {"description": "member", "roles": ["ORG_READ_ONLY"]},
                {
                    "description": "ünïcode ☃ key",
                    "projects": [{"project_id": project_id(p), "roles": ["GROUP_OWNER"]}],
                },
            ],
            "purge": True,
        },
    ),
    Flow(
        "create a declared key",
        "org_api_keys",
        lambda _p: {"api_keys": [{"description": "new one", "roles": ["ORG_MEMBER"]}]},
        creates="new one",
    ),
    Flow(
        "read keys and their access lists",
        "org_api_key_info",
        lambda _p: {"access_list": True},
        writes=False,
    ),
    Flow("read organizations", "org_info", lambda _p: {}, writes=False),
    Flow(
        "delete an account and wait",
        "service_account",
        lambda _p: {**ACCOUNT, "state": "absent", "wait": True},
    ),
    Flow(
        "create an account",
        "service_account",
        lambda _p: NEW_ACCOUNT,
    ),
    Flow(
        "create an account and a secret",
        "service_account",
        lambda _p: {**NEW_ACCOUNT, "secret_expires_after_hours": 720},
        creates="new one",
    ),
    Flow(
        "change an account",
        "service_account",
        lambda _p: {**ACCOUNT, "new_name": "renamed", "roles": ["ORG_READ_ONLY"]},
    ),
    Flow(
        "delete a secret",
        "service_account_secret",
        lambda p: {**BUSY, "secret_id": secret_id(p), "state": "absent"},
    ),
    Flow(
        "create a secret",
        "service_account_secret",
        lambda _p: {**ACCOUNT, "secret_expires_after_hours": 720},
        creates="secret of victim",
    ),
    Flow(
        "set an account's access list",
        "service_account_access_list",
        lambda _p: {**BUSY, "entries": ["10.0.0.0/8", "2001:db8::1"], "purge": True},
    ),
    Flow(
        "assign an account to a project",
        "project_service_account",
        lambda p: {"service_account_id": account_id(p, 2), **viewer(p)},
    ),
    Flow(
        "change an account's roles in a project",
        "project_service_account",
        lambda p: {**BUSY, **viewer(p)},
    ),
    Flow(
        "remove an account from a project",
        "project_service_account",
        lambda p: {**BUSY, "project_id": project_id(p), "state": "absent"},
    ),
    Flow(
        "read accounts, their access lists and projects",
        "service_account_info",
        lambda _p: {"access_list": True, "projects": True},
        writes=False,
    ),
]


def keys_path(platform: str, number: int = 0) -> str:
    """Return the path of the organization's keys, or of one of them."""
    return f"/orgs/{org_id(platform)}/apiKeys" + (f"/{key_id(platform, number)}" if number else "")


FLOWS += [
    Flow(
        "read an object at a path",
        "api_request",
        lambda p: {"path": keys_path(p, 2)},
        writes=False,
    ),
    Flow(
        "read all pages at a path",
        "api_request",
        lambda p: {"path": keys_path(p), "all_pages": True},
        writes=False,
    ),
    Flow(
        "post what is unique",
        "api_request",
        lambda p: {
            "method": "POST",
            "path": keys_path(p),
            "body": {"desc": "new one", "roles": ["ORG_MEMBER"]},
            "unique_by": ["desc"],
        },
        creates="new one",
    ),
    Flow(
        "patch what differs",
        "api_request",
        lambda p: {
            "method": "PATCH",
            "path": keys_path(p, 2),
            "body": {"desc": "renamed"},
            "compare": True,
        },
    ),
    Flow(
        "delete what may be missing",
        "api_request",
        lambda p: {
            "method": "DELETE",
            "path": keys_path(p, 2),
            "missing_codes": ["API_KEY_NOT_FOUND"],
        },
    ),
]


def of_sample(module: str, sample: Sample) -> Flow:
    return Flow(
        module,
        module,
        lambda p: sample.options({"api_user_id": key_id(p, 2)}, project_id(p)),
        writes=sample.writes,
    )


# The unit tests interrupt each phase of a rotation at each request.
FLOWS += [of_sample(*item) for item in others(flow.module for flow in FLOWS).items()]


def expired_token(platform: str) -> dict[str, str]:
    """Return a token that no longer works, and the account with which a task gets another one."""
    return {"access_token": "t0ken-of-yesterday-0123456789", **service_account(platform)}


RENEWING = ("create", "change roles", "revoke by id", "post what is unique", "patch what differs")
FLOWS += [
    replace(flow, name=f"{flow.name}, renew the token", only_on=("atlas",), signer=expired_token)
    for flow in FLOWS
    if flow.name in RENEWING
]


def run(emulator: Emulator, platform: str, flow: Flow) -> Outcome:
    common = {"platform": platform, "base_url": emulator.url, "org_id": org_id(platform)}
    return run_module(flow.module, {**common, **flow.signer(platform), **flow.options(platform)})


def state(emulator: Emulator, platform: str) -> list[tuple[Any, ...]]:
    """Return the organization's keys and accounts without the values that differ between runs."""
    organization = emulator.state.organizations[org_id(platform)]
    keys, accounts = organization.api_keys.values(), organization.service_accounts.values()
    named = [(key.description, key, 0) for key in keys]
    named += [(account.name, account, len(account.secrets)) for account in accounts]
    return sorted(
        (
            name,
            tuple(sorted(found.roles)),
            tuple(sorted((p, tuple(sorted(roles))) for p, roles in found.projects.items())),
            tuple(sorted(found.access_list)),
            secrets,
        )
        for name, found, secrets in named
    )


def created(
    emulator: Emulator, platform: str, flow: Flow
) -> dict[str, tuple[str, Callable[[], Any]]]:
    """Return what a flow has created, by ID: its secret, and how to delete it."""
    organization = emulator.state.organizations[org_id(platform)]
    keys, accounts = organization.api_keys, organization.service_accounts
    made: dict[str, tuple[str, Callable[[], Any]]] = {}
    for key in keys.values():
        if key.description == flow.creates:
            made[key.id] = (key.private_key, partial(keys.pop, key.id))
    for account in accounts.values():
        for secret in account.secrets:
            if account.name == flow.creates:
                made[account.client_id] = (secret.value, partial(accounts.pop, account.client_id))
            elif f"secret of {account.name}" == flow.creates:
                made[secret.id] = (secret.value, account.secrets.clear)
    return made


@pytest.mark.parametrize(
    ("flow", "platform"),
    [(flow, platform) for flow in FLOWS for platform in flow.platforms],
    ids=str,
)
def test_each_request_of_a_flow_may_fail(
    emulator: Emulator, tmp_path: Path, flow: Flow, platform: str
) -> None:
    started = state(emulator, platform)
    undisturbed = run(emulator, platform, flow)
    assert undisturbed.changed is flow.writes, undisturbed.msg
    wanted = state(emulator, platform)
    assert (wanted != started) is flow.writes
    methods = [request.method for request in emulator.requests if request.status != 401]
    assert methods
    left: list[Any] = []
    for number, method in enumerate(methods):
        for fault in faults_of(method, platform):
            emulator.reset(seed())
            emulator.add_fault(fault(number))
            check_faulty_run(emulator, platform, flow, wanted)
            # Most faults leave one of a few states, and the second run depends on nothing else.
            if state(emulator, platform) not in left:
                left.append(state(emulator, platform))
                again = run(emulator, platform, flow)
                assert not again.failed, again.msg
                assert again.changed is (left[-1] != wanted)
                assert state(emulator, platform) == wanted


# All writes about keys and accounts, by endpoint. Modules send no others.
WRITES = """
POST /orgs/*/apiKeys
PATCH /orgs/*/apiKeys/*
DELETE /orgs/*/apiKeys/*
POST /orgs/*/apiKeys/*/accessList
DELETE /orgs/*/apiKeys/*/accessList/*
POST /groups/*/apiKeys/*
PATCH /groups/*/apiKeys/*
DELETE /groups/*/apiKeys/*
POST /orgs/*/serviceAccounts
PATCH /orgs/*/serviceAccounts/*
DELETE /orgs/*/serviceAccounts/*
POST /orgs/*/serviceAccounts/*/secrets
DELETE /orgs/*/serviceAccounts/*/secrets/*
POST /orgs/*/serviceAccounts/*/accessList
DELETE /orgs/*/serviceAccounts/*/accessList/*
POST /groups/*/serviceAccounts/*:invite
PATCH /groups/*/serviceAccounts/*
DELETE /groups/*/serviceAccounts/*
"""


def test_every_write_is_part_of_a_flow(emulator: Emulator) -> None:
    variable, sent = re.compile(r"(mdb_sa_id_)?[0-9a-f]{24}|(?<=accessList/)[^/]+"), set()
    for flow in FLOWS:
        emulator.reset(seed())
        emulator.requests.clear()
        assert run(emulator, "atlas", flow).changed is flow.writes
        for request in emulator.requests:
            path = request.path.removeprefix("/api/atlas/v2")
            sent.add(f"{request.method} {variable.sub('*', path)}")
    about = re.compile("(?!GET).*(apiKeys|serviceAccounts)")
    assert set(filter(about.match, sent)) == set(WRITES.strip().splitlines())


def check_faulty_run(
    emulator: Emulator, platform: str, flow: Flow, wanted: list[tuple[Any, ...]]
) -> None:
    """Check a run with a fault, and delete what it has created if the secret is lost."""
    started = state(emulator, platform)
    first = run(emulator, platform, flow)
    assert "Internal error" not in first.msg
    for name, value in flow.signer(platform).items():
        assert name in {"api_public_key", "client_id"} or value not in first.output
    if not first.failed:
        # A creation may succeed even if duplicates cannot be listed.
        assert state(emulator, platform) == wanted
    assert first.changed is (state(emulator, platform) != started), first.msg
    posts = [r for r in emulator.requests if r.method == "POST" and r.status not in {401, 429}]
    assert len({(r.path, r.body) for r in posts}) == len(posts), "a POST was repeated"
    made = created(emulator, platform, flow)
    assert len(made) <= 1
    if first.failed and made:
        made_id, (secret, discard) = made.popitem()
        assert secret not in first.output
        assert first.result["error"]["parameters"] == [made_id]
        discard()


# Requests to any endpoint without an option that looks up what a lost response has led to.
PLAIN: list[dict[str, Any]] = [
    {"method": "POST", "path": "", "body": {"desc": "new one", "roles": ["ORG_MEMBER"]}},
    {"method": "PATCH", "path": "/" + key_id("atlas", 2), "body": {"desc": "renamed"}},
    {"method": "DELETE", "path": "/" + key_id("atlas", 2)},
]


@pytest.mark.parametrize("options", PLAIN, ids=lambda options: str(options["method"]))
def test_a_plain_request_is_never_misreported(emulator: Emulator, options: dict[str, Any]) -> None:
    flow = Flow(
        "plain", "api_request", lambda p: {**options, "path": keys_path(p) + options["path"]}
    )
    started = state(emulator, "atlas")
    assert run(emulator, "atlas", flow).changed
    wanted = state(emulator, "atlas")
    methods = [request.method for request in emulator.requests if request.status != 401]
    for number, method in enumerate(methods):
        for fault in faults_of(method, "atlas"):
            emulator.reset(seed())
            emulator.add_fault(fault(number))
            outcome = run(emulator, "atlas", flow)
            is_done = state(emulator, "atlas") == wanted
            assert is_done or state(emulator, "atlas") == started
            assert outcome.changed is not outcome.failed
            assert is_done or outcome.failed
            assert ("may have been carried out" in outcome.msg) or not (outcome.failed and is_done)
            sent = [r for r in emulator.requests if r.method == options["method"]]
            sent = [request for request in sent if request.status not in {401, 429}]
            assert len(sent) <= (3 if options["method"] == "DELETE" else 1)


DOWNLOAD_FAULTS: list[Callable[[int], Fault]] = [
    *FAULTS,
    lambda after: Fault("truncated", after=after),
    lambda after: Fault("truncated", after=after, keep=0),
    lambda after: Fault("html", after=after, status=200),
    lambda after: Fault("redirect", after=after),
    lambda after: Fault("status", after=after, status=202, body="{}"),
    lambda after: Fault("status", after=after, status=406, code="X"),
]


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_file_is_old_or_new_after_each_fault(
    emulator: Emulator, tmp_path: Path, before: bytes | None
) -> None:
    file = tmp_path / "organization.json"
    options = {"path": f"/orgs/{org_id('atlas')}", "dest": str(file)}
    flow = Flow("save", "api_request", lambda _p: options)
    assert run(emulator, "atlas", flow).changed
    wanted = file.read_bytes()
    for fault in DOWNLOAD_FAULTS:
        file.unlink()
        if before is not None:
            file.write_bytes(before)
        emulator.reset(seed())
        emulator.add_fault(fault(0))
        outcome = run(emulator, "atlas", flow)
        content = file.read_bytes() if file.exists() else None
        assert content in (before, wanted), outcome.msg
        assert outcome.changed is (content == wanted), outcome.msg
        assert set(tmp_path.iterdir()) <= {file}
        again = run(emulator, "atlas", flow)
        assert again.changed is (content != wanted)
        assert file.read_bytes() == wanted
    assert emulator.writes == []
