# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module with wrong responses to any request: the task ends cleanly and reports the truth.

A server on a real socket sends right responses, except to one request or all from it on. The test
compares the result of a module with what these responses prove.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import WITH_ACCOUNTS, others
from tests.support import (
    API_PATHS,
    PLATFORMS,
    PRIVATE_KEYS,
    Outcome,
    client_id,
    public_key,
    run_module,
    service_account,
)
from tests.trust.hostile.responses import (
    MUTATIONS,
    WRONG,
    Mutation,
    Sent,
    complete_listings,
    places,
    replace_field,
    right_response,
)
from tests.trust.hostile.servers import (
    ACCOUNT_ID,
    ACCOUNT_NOT_FOUND,
    CHALLENGE,
    CLIENT_SECRET,
    FACTOR,
    KEY,
    KEY_ID,
    NOT_FOUND,
    ORG,
    PRIVATE_KEY,
    PROJECT,
    SECRET_ID,
    Asked,
    as_json,
    examples,
    faithful,
    is_challenged,
    serving,
)

TOKEN = "t0ken-of-another-tool-0123456789"
CREDENTIALS = {
    "key_pair": {
        "api_public_key": public_key("atlas", 1),
        "api_private_key": PRIVATE_KEYS["atlas"],
    },
    "service_account": service_account("atlas"),
    # If the token is rejected, the task fetches another one.
    "token_and_secret": {"access_token": TOKEN, **service_account("atlas")},
    # The token is opaque, so the guards need to know which account owns it.
    "access_token": {"access_token": TOKEN, "client_id": client_id("atlas")},
}
SECRETS = [
    PRIVATE_KEYS["atlas"],
    CREDENTIALS["service_account"]["client_secret"],
    TOKEN,
    "t0ken-xxxx",
    PRIVATE_KEY,
    CLIENT_SECRET,
]
ROOTS, REVOKE = {*API_PATHS.values()}, "/api/oauth/revoke"
BY_ID = {"api_user_id": KEY_ID}
NAMES = [BY_ID, {"public_key": KEY["publicKey"]}, {"description": KEY["desc"]}]


@dataclass(frozen=True)
class Task:
    """A task, and the path and property that a complete listing lacks after its success."""

    module: str
    options: dict[str, Any]
    path: str = "/apiKeys"
    absent: dict[str, Any] = field(default_factory=dict)
    is_change: bool = True
    signers: tuple[str, ...] = tuple(CREDENTIALS)

    @property
    def is_account(self) -> bool:
        return "service_account" in self.module or self.is_token

    @property
    def is_token(self) -> bool:
        return self.module == "access_token"

    def __str__(self) -> str:
        return "-".join([self.module, self.options.get("state", ""), *self.options][:3])


ABSENT, PRESENT = {"state": "absent"}, {"state": "present"}
PROJECT_PATH = f"/groups/{PROJECT}/apiKeys"
TASKS = [
    *(Task("org_api_key", {**name, **ABSENT}, absent=name) for name in NAMES),
    Task("org_api_key", {**BY_ID, **ABSENT, "wait": True, "wait_timeout": 5}, absent=BY_ID),
    Task("org_api_key", {"description": "new", "roles": ["ORG_MEMBER"]}),
    Task("org_api_key", {**BY_ID, "new_description": "renamed", "roles": ["ORG_OWNER"]}),
    *(
        Task("org_api_key_info", {**more, "access_list": True}, is_change=False)
        for more in ({}, BY_ID)
    ),
    Task("org_api_keys", {**ABSENT, "api_user_ids": [KEY_ID], "concurrency": 1}, absent=BY_ID),
    Task(
        "org_api_keys",
        {"api_keys": [], "purge": True, "max_revocations": 50, "concurrency": 2},
    ),
    Task(
        "org_api_keys",
        {
            "api_keys": [
                {"description": "victim", "roles": ["ORG_OWNER"], "access_list": ["192.0.2.9"]},
                {
                    "description": "new",
                    "roles": ["ORG_MEMBER"],
                    "projects": [{"project_id": PROJECT, "roles": ["GROUP_OWNER"]}],
                },
            ],
            "concurrency": 1,
        },
    ),
    Task("org_api_key_access_list", {**BY_ID, "entries": ["203.0.113.9"], "purge": True}),
    Task(
        "org_api_key_access_list",
        {**BY_ID, **ABSENT, "entries": ["198.51.100.7"]},
        path="List",
        absent={"entry": "198.51.100.7"},
    ),
    Task("project_api_key", {**BY_ID, "project_id": PROJECT, "roles": ["GROUP_OWNER"]}),
    Task(
        "project_api_key",
        {**BY_ID, **ABSENT, "project_id": PROJECT},
        path=PROJECT_PATH,
        absent=BY_ID,
    ),
]
BY_ACCOUNT, BY_NAME = {"service_account_id": ACCOUNT_ID}, {"name": "victim"}
ACCOUNTS = "/serviceAccounts"
TASKS += [
    Task("service_account", {**ABSENT, **BY_ACCOUNT}, ACCOUNTS, BY_ACCOUNT),
    Task("service_account", {**ABSENT, **BY_NAME}, ACCOUNTS, BY_NAME),
    Task("service_account", {"name": "new", "roles": ["ORG_MEMBER"]}),
    Task("service_account", {"new_name": "renamed", **BY_ACCOUNT, "roles": ["ORG_OWNER"]}),
    Task(
        "service_account_info",
        {**BY_ACCOUNT, "access_list": True, "projects": True},
        is_change=False,
    ),
    Task(
        "service_account_secret",
        {**ABSENT, **BY_ACCOUNT, "secret_id": SECRET_ID},
        ACCOUNTS,
        {"secret_id": SECRET_ID},
    ),
    Task("service_account_secret", {"force": True, **BY_NAME, "secret_expires_after_hours": 8}),
    Task(
        "service_account_access_list",
        {**ABSENT, **BY_ACCOUNT, "entries": ["198.51.100.7"]},
        "List",
        {"entry": "198.51.100.7"},
    ),
    Task(
        "project_service_account",
        {**ABSENT, **BY_ACCOUNT, "project_id": PROJECT},
        f"/groups/{PROJECT}/serviceAccounts",
        BY_ACCOUNT,
    ),
]
ONLY_SECRET: dict[str, Any] = {"signers": ("service_account",)}
TASKS += [
    Task("access_token", {}, **ONLY_SECRET),
    Task("access_token", {"token": TOKEN, **ABSENT}, **ONLY_SECRET),
]
KEYS_PATH = f"/orgs/{ORG}/apiKeys"
OF_KEY = {"path": f"{KEYS_PATH}/{KEY_ID}"}
CODES = ["API_KEY_NOT_FOUND"]
TASKS += [
    Task("api_request", OF_KEY, is_change=False),
    Task("api_request", {"path": KEYS_PATH, "all_pages": True}, is_change=False),
    Task(
        "api_request",
        {
            "unique_by": ["desc"],
            "path": KEYS_PATH,
            "method": "POST",
            "body": {"desc": "new", "roles": ["ORG_MEMBER"]},
        },
    ),
    Task(
        "api_request",
        {"compare": True, **OF_KEY, "method": "PATCH", "body": {"desc": "renamed"}},
    ),
    Task(
        "api_request",
        {"missing_codes": CODES, **OF_KEY, "method": "DELETE"},
        # A key pair reads the key before.
        signers=("access_token", "service_account", "key_pair"),
    ),
]
TASKS += [
    Task(module, sample.options(BY_ID, PROJECT), is_change=sample.writes)
    for module, sample in others(task.module for task in TASKS).items()
]


def has(item: Any, wanted: dict[str, Any]) -> bool:
    """Whether an object of a listing, by its JSON, is what a task wants absent."""
    if not isinstance(item, dict):
        return False
    if "entry" in wanted:
        values = [item.get("cidrBlock"), item.get("ipAddress")]
        return any(isinstance(v, str) and v.split("/")[0] == wanted["entry"] for v in values)
    if "secret_id" in wanted:
        secrets = item.get("secrets")
        return any(has(secret, {"id": SECRET_ID}) for secret in secrets or ())
    names = {"api_user_id": "id", "public_key": "publicKey", "description": "desc"}
    names |= {"service_account_id": "clientId", "name": "name", "id": "id"}
    return all(item.get(names[name]) == value for name, value in wanted.items())


def after_deletion(asked: Asked, gone: list[str]) -> tuple[int, Any]:
    """Return the right response to a request when these paths have been deleted."""
    if asked.path in ROOTS and REVOKE in gone:
        return 401, {"error": 401}
    if asked.method == "GET" and asked.path in gone:
        return (404, ACCOUNT_NOT_FOUND) if ACCOUNTS in asked.path else (400, NOT_FOUND)
    status, data = faithful(asked)
    if asked.method == "GET" and asked.path.endswith(ACCOUNTS):
        left = [one for one in data["results"] if f"{asked.path}/{one['clientId']}" not in gone]
        data = {**data, "results": left, "totalCount": len(left)}
    return status, data


def run(
    task: Task, platform: str, credentials: str, faults: dict[int, Mutation], lasting: bool
) -> tuple[Outcome, list[Sent]]:
    """Run a task with wrong responses to some requests; return its outcome and the responses."""
    log: list[Sent] = []

    def respond(asked: Asked) -> bytes:
        if credentials == "key_pair" and is_challenged(asked):
            return as_json(401, {"error": 401}, f"WWW-Authenticate: {CHALLENGE}")
        number = len(log)
        which = max((n for n in faults if n <= number), default=-1) if lasting else number
        mutate = faults.get(which, right_response)
        gone = [one.asked.path for one in log if one.asked.method == "DELETE"]
        gone += [REVOKE for one in log if one.asked.path == REVOKE]
        sent = mutate(asked, *after_deletion(asked, gone))
        log.append(sent)
        return sent.wire

    with serving(respond) as server:
        options = {
            "platform": platform,
            "base_url": server.url,
            "org_id": ORG,
            "timeout": 2,
            "retries": 2,
            **CREDENTIALS[credentials],
            **task.options,
        }
        return run_module(task.module, options, diff=True), list(log)


def check(task: Task, outcome: Outcome, log: list[Sent]) -> None:
    """Check that the responses prove what a module reports."""
    text = json.dumps(outcome.result, ensure_ascii=False)
    text.encode()
    assert "Internal error" not in text
    assert "Traceback" not in text
    # The documented exceptions: the private key of a new key, and a new client secret.
    text = re.sub(rf'"private_key": "{PRIVATE_KEY}"|"client_secret": "{CLIENT_SECRET}"', "", text)
    text = re.sub(r'"access_token": "t0ken-x+"', "", text) if task.is_token else text
    if task.module == "api_request":
        text = text.replace(f'"privateKey": "{PRIVATE_KEY}"', "")
    assert not [secret for secret in SECRETS if secret in text], text
    for words in [outcome.msg, *map(str, outcome.result.get("warnings", []))]:
        assert words.isprintable()
        assert len(words) < 20_000
    is_request = task.module == "api_request" and task.is_change
    if is_request:
        check_request(task.options, outcome, log)
    if outcome.failed:
        assert outcome.msg
        assert outcome.result["error"].keys() >= {"status", "code", "path"}
        return
    if not task.is_change:
        assert not outcome.changed
        return
    if task.is_token and task.options:
        # The last response is that to the token.
        assert log[-1].asked.path in ROOTS
        assert log[-1].meaning()[0] == 401
        assert outcome.changed is (REVOKE in {sent.asked.path for sent in log})
        return
    if not task.absent or is_request:
        return
    if outcome.changed:
        assert was_deleted(task, log), [sent.wire for sent in log]
    else:
        assert was_missing(task, log), [sent.wire for sent in log]


def check_request(options: dict[str, Any], outcome: Outcome, log: list[Sent]) -> None:
    """Check a request that changes something; the API's codes say what is missing."""
    sent = [one for one in log if one.asked.method == options["method"]]
    sent = [one for one in sent if one.asked.path.endswith(options["path"])]
    results = [one.meaning() for one in sent if one.status is not None]
    if options["method"] != "DELETE":
        # A lost response has no status.
        unrefused = [one for one in sent if one.meaning()[0] not in {401, 429}]
        assert len(unrefused) <= 1
    is_done = len(results) < len(sent) or any(200 <= status < 300 for status, _data in results)
    is_missing = bool(results) and is_missing_error(*results[-1])
    if outcome.failed:
        assert outcome.changed is (outcome.result["error"]["type"] == "orphan")
    elif options["method"] == "DELETE":
        assert is_done or (is_missing and len(sent) > 1) if outcome.changed else is_missing
    elif not outcome.changed:
        assert not sent
    elif not is_done:
        # The change was looked up.
        assert log[-1].meaning()[1]["desc"] == options["body"]["desc"]


def is_missing_error(status: int, data: Any) -> bool:
    return status in {400, 404} and isinstance(data, dict) and data.get("errorCode") in CODES


def was_missing(task: Task, log: list[Sent]) -> bool:
    project_id = task.options.get("project_id")
    if project_id and any(sent.says("GROUP_NOT_FOUND", project_id) for sent in log):
        return True
    if task.is_account:
        return was_account_missing(task, log)
    if any(sent.is_missing for sent in log):
        return True
    paths = {task.path, "/apiKeys"} if "entry" not in task.absent else {task.path}
    return any(
        not any(has(item, task.absent) for item in items)
        for path in paths
        for items in complete_listings(log, path)
    )


def was_account_missing(task: Task, log: list[Sent]) -> bool:
    """Whether a complete listing lacks the object or the account; a code proves nothing."""
    wanted = [(task.path, task.absent)]
    if "service_account_id" in task.options:
        wanted.append((ACCOUNTS, BY_ACCOUNT))
    if "secret_id" in task.absent:
        shown = [sent.meaning() for sent in log if sent.asked.path.endswith(f"/{ACCOUNT_ID}")]
        if any(
            status < 300 and has(data, BY_ACCOUNT) and not has(data, task.absent)
            for status, data in shown
        ):
            return True
    return any(
        not any(has(item, absent) for item in items)
        for path, absent in wanted
        for items in complete_listings(log, path)
    )


def was_deleted(task: Task, log: list[Sent]) -> bool:
    deletions = [sent for sent in log if sent.asked.method == "DELETE"]
    if any(sent.is_deletion or (sent.status is None and _may_be_empty(sent)) for sent in deletions):
        return True
    if task.path != "/apiKeys":  # a listing can settle an unclear response
        return bool(deletions) and was_missing(task, log)
    return len(deletions) > 1 and deletions[-1].is_missing


def _may_be_empty(sent: Sent) -> bool:
    """Whether a response has a complete head without content."""
    head, blank, _body = sent.wire.partition(b"\r\n\r\n")
    return bool(blank) and head.split(b" ")[1:2] == [b"204"]


# The number of examples per task; revocations matter most.
NUMBERS = {"org_api_key": 150, "org_api_keys": 120}


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_any_response_ends_a_task_cleanly_and_truthfully(task: Task) -> None:
    tried = 0

    @examples(50 if task.is_account else NUMBERS.get(task.module, 100))
    @given(
        st.sampled_from(WITH_ACCOUNTS if task.is_account else PLATFORMS),
        st.sampled_from(task.signers),
        st.dictionaries(st.integers(0, 4), MUTATIONS, min_size=1, max_size=2),
        st.booleans(),
    )
    def attempt(
        platform: str, credentials: str, faults: dict[int, Mutation], lasting: bool
    ) -> None:
        nonlocal tried
        if platform == "ops_manager":
            credentials = "key_pair"
        started = time.monotonic()
        outcome, log = run(task, platform, credentials, faults, lasting)
        check(task, outcome, log)
        assert time.monotonic() - started < 60
        tried += 1

    attempt()
    assert tried >= 50 * min(FACTOR, 1)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_each_field_may_be_wrong_or_missing(task: Task) -> None:
    """Random responses would miss most fields, so this test tries each of them."""
    signer = task.signers[-1]
    _outcome, right = run(task, "atlas", signer, {}, lasting=False)
    # A task that waits repeats a request; one of them is enough.
    asked = [(sent.asked.method, sent.asked.target) for sent in right]
    tried = 0
    for number, sent in enumerate(right):
        if number and asked[number] == asked[number - 1]:
            continue
        _status, data = sent.meaning()
        for which, _place in enumerate(places(data)):
            for value in WRONG:
                fault = {number: replace_field(which, value)}
                check(task, *run(task, "atlas", signer, fault, lasting=False))
                tried += 1
    assert tried


@pytest.mark.parametrize(
    ("task", "credentials"), [(task, name) for task in TASKS for name in task.signers], ids=str
)
def test_right_responses_succeed(task: Task, credentials: str) -> None:
    """Otherwise the tests above would prove little."""
    outcome, log = run(task, "atlas", credentials, {}, lasting=False)
    assert not outcome.failed, outcome.msg
    assert outcome.changed is task.is_change
    check(task, outcome, log)
