# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every request of every module, and every response of the emulator, against the specification.

Prism stands between them and rejects what the specification does not allow. The license of the
specification keeps it out of this collection: TRUST_SPEC names the file, or several files separated
by colons. The last one takes precedence. Without it, the test is skipped, even in CI.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.emulator import Emulator
from tests.installed import find
from tests.integration.peers import LOOPBACK
from tests.samples import VICTIM, others
from tests.support import (
    ROOT,
    account_id,
    client_id,
    fetch_token,
    key_id,
    org_id,
    project_id,
    public_key,
    run_module,
    secret_id,
    seed,
)
from tests.trust.peers.processes import free_port, open_folder, serving

VARIABLE = "TRUST_SPEC"
REFERENCE = ROOT.parent / "shared" / "reference"
BESIDE = [REFERENCE / name for name in ("atlas-admin-api.yaml", "atlas-service-accounts.yaml")]
# Where `make trust` installs it.
OWN_PRISM = ROOT / ".cache" / "prism" / "node_modules" / ".bin" / "prism"
ATLAS = "atlas"
PREFIX = "/api/atlas/v2"

# Parts of the specification that recorded responses of the API contradict.
CORRECTIONS = {
    # An address from which no request has come yet has "count":0.
    ("UserAccessListResponse", "count"): ("minimum", 1),
    # Names of organizations may contain spaces.
    ("AtlasOrganization", "name"): ("pattern", r"^[\w\-.(),:&@+']{1,64}$"),
}

# All operations of the modules, except those for tokens, which the specification lacks.
KEY = "/orgs/{id}/apiKeys/{id}"
PROJECT_KEY = "/groups/{id}/apiKeys/{id}"
ACCOUNT = "/orgs/{id}/serviceAccounts/{account}"
PROJECT_ACCOUNT = "/groups/{id}/serviceAccounts/{account}"
OPERATIONS = {
    "GET /orgs",
    "GET /orgs/{id}/apiKeys",
    "POST /orgs/{id}/apiKeys",
    f"GET {KEY}",
    f"PATCH {KEY}",
    f"DELETE {KEY}",
    f"GET {KEY}/accessList",
    f"POST {KEY}/accessList",
    f"DELETE {KEY}/accessList/{{address}}",
    "GET /groups/{id}/apiKeys",
    f"POST {PROJECT_KEY}",
    f"PATCH {PROJECT_KEY}",
    f"DELETE {PROJECT_KEY}",
    "GET /orgs/{id}/serviceAccounts",
    "POST /orgs/{id}/serviceAccounts",
    f"GET {ACCOUNT}",
    f"PATCH {ACCOUNT}",
    f"DELETE {ACCOUNT}",
    f"POST {ACCOUNT}/secrets",
    f"DELETE {ACCOUNT}/secrets/{{id}}",
    f"GET {ACCOUNT}/accessList",
    f"POST {ACCOUNT}/accessList",
    f"DELETE {ACCOUNT}/accessList/{{address}}",
    f"GET {ACCOUNT}/groups",
    "GET /groups/{id}/serviceAccounts",
    f"POST {PROJECT_ACCOUNT}:invite",
    f"PATCH {PROJECT_ACCOUNT}",
    f"DELETE {PROJECT_ACCOUNT}",
    "GET /groups",
    "GET /groups/{id}",
    "GET /orgs/{id}/settings",
    "PATCH /orgs/{id}/settings",
}


@dataclass(frozen=True)
class Step:
    """A task; each step depends on the state that the previous ones left."""

    module: str
    options: dict[str, Any] = field(default_factory=dict)
    is_write: bool = True


PROJECT = {"project_id": project_id(ATLAS)}
ROLES = {"roles": ["GROUP_READ_ONLY", "GROUP_DATA_ACCESS_ADMIN"]}
STORY = [
    Step("org_info", is_write=False),
    Step("org_info", {"name": "The atlas organization"}, is_write=False),
    Step("org_api_key_info", {"access_list": True}, is_write=False),
    Step("org_api_key_info", {"api_user_id": key_id(ATLAS, 2)}, is_write=False),
    Step("org_api_key_info", {"public_key": public_key(ATLAS, 2)}, is_write=False),
    Step("org_api_key_info", PROJECT, is_write=False),
    Step("org_api_key", {"description": "new one", "roles": ["ORG_MEMBER", "ORG_READ_ONLY"]}),
    Step("org_api_key", {"description": "ünïcode ☃ key", "roles": ["ORG_BILLING_ADMIN"]}),
    Step("org_api_key", {"api_user_id": key_id(ATLAS, 6), "new_description": "renamed"}),
    Step("org_api_key", {"api_user_id": key_id(ATLAS, 2), "roles": ["ORG_MEMBER"]}),
    Step("org_api_key", {"description": "new one", "state": "absent"}),
    Step("org_api_key", {"api_user_id": key_id(ATLAS, 6), "state": "absent"}),
    Step(
        "org_api_key_access_list",
        {
            "description": "victim",
            "entries": ["192.0.2.1", "10.0.0.0/8", "2001:db8::1", "2001:db8::/32"],
        },
    ),
    Step(
        "org_api_key_access_list",
        {"description": "victim", "entries": ["10.0.0.0/8", "192.0.2.0/24"], "purge": True},
    ),
    Step(
        "org_api_key_access_list",
        {"description": "victim", "entries": ["192.0.2.0/24"], "state": "absent"},
    ),
    Step("project_api_key", {**PROJECT, **ROLES, "api_user_id": key_id(ATLAS, 3)}),
    Step("project_api_key", {**PROJECT, **ROLES, "description": "victim"}),
    Step("project_api_key", {**PROJECT, "description": "victim", "state": "absent"}),
    Step(
        "org_api_keys",
        {
            "api_keys": [
                {"description": "made", "roles": ["ORG_MEMBER"], "access_list": ["192.0.2.7"]},
                {"description": "victim", "projects": [{**PROJECT, **ROLES}]},
                {"description": "listed elsewhere", "roles": ["ORG_MEMBER"]},
            ]
        },
    ),
    Step("org_api_keys", {"description_match": ["*"], "keep": ["signs"], "state": "absent"}),
    Step("service_account_info", {"access_list": True, "projects": True}, is_write=False),
    Step("service_account_info", {"service_account_id": account_id(ATLAS, 3)}, is_write=False),
    Step("service_account_info", PROJECT, is_write=False),
    Step("service_account", {"name": "new one", "roles": ["ORG_MEMBER"]}),
    Step(
        "service_account",
        {"name": "another", "roles": ["ORG_READ_ONLY"], "secret_expires_after_hours": 8},
    ),
    Step("service_account", {"name": "victim", "new_name": "renamed", "roles": ["ORG_READ_ONLY"]}),
    Step("service_account", {"service_account_id": account_id(ATLAS, 3), "description": "It's"}),
    Step("service_account_secret", {"name": "new one", "secret_expires_after_hours": 720}),
    Step(
        "service_account_secret", {"name": "busy", "force": True, "secret_expires_after_hours": 8}
    ),
    Step(
        "service_account_secret",
        {"name": "busy", "secret_id": secret_id(ATLAS), "state": "absent"},
    ),
    Step(
        "service_account_access_list",
        {"name": "busy", "entries": ["192.0.2.1", "10.0.0.0/8", "2001:db8::1", "2001:db8::/32"]},
    ),
    Step(
        "service_account_access_list",
        {"name": "busy", "entries": ["10.0.0.0/8", "192.0.2.0/24"], "purge": True},
    ),
    Step("project_service_account", {**PROJECT, **ROLES, "name": "new one"}),
    Step("project_service_account", {**PROJECT, **ROLES, "name": "busy"}),
    Step("project_service_account", {**PROJECT, "name": "busy", "state": "absent"}),
    Step("service_account_info", {"access_list": True, "projects": True}, is_write=False),
    Step("service_account", {"name": "another", "state": "absent"}),
    Step("service_account", {"service_account_id": account_id(ATLAS, 2), "state": "absent"}),
    Step("api_request", {"path": "/groups", "all_pages": True}, is_write=False),
    Step("api_request", {"path": f"/groups/{project_id(ATLAS)}"}, is_write=False),
    Step(
        "api_request",
        {
            "method": "PATCH",
            "path": f"/orgs/{org_id(ATLAS)}/settings",
            "body": {"maxServiceAccountSecretValidityInHours": 720},
            "compare": True,
            # The specification has no later version, and Prism does not map versions.
            "api_version": "2023-01-01",
        },
    ),
]
# The other modules. Prism does not pass Digest on, so no new key pair can be verified and no
# rotation begun.
OTHERS = [
    Step(module, sample.options(VICTIM, project_id(ATLAS)), is_write=sample.writes)
    for module, sample in others(step.module for step in STORY).items()
]


def specification(folder: Path) -> Path:
    """Write the corrected specification and return its path, or skip the test."""
    named = os.environ.get(VARIABLE)
    paths = [*map(Path, named.split(os.pathsep))] if named else BESIDE
    if not named and not all(path.exists() for path in paths):
        pytest.skip(f"the specification of the Atlas Administration API is missing ({VARIABLE})")
    document, *parts = [yaml.safe_load(path.read_text("utf-8")) for path in paths]
    for part in parts:
        document["paths"] |= part["paths"]
        for kind, components in part["components"].items():
            document["components"].setdefault(kind, {}).update(components)
    for (schema, name), (keyword, value) in CORRECTIONS.items():
        # If this fails, the specification has changed, and the corrections must change too.
        described = document["components"]["schemas"][schema]["properties"][name]
        assert described.pop(keyword) == value, (schema, name)
    written = folder / "specification.json"
    # Dates in examples are strings in JSON.
    written.write_text(json.dumps(document, default=str), "utf-8")
    return written


@contextmanager
def prism(tmp_path: Path, upstream: str) -> Iterator[tuple[str, Path]]:
    """Run Prism in front of a server, and yield its URL and log file."""
    spec = specification(tmp_path)
    program = str(OWN_PRISM) if OWN_PRISM.exists() else find("prism")
    node = find("node")
    port = free_port()
    with open_folder(tmp_path) as folder:
        options = ["--errors", "--host", LOOPBACK, "--port", str(port)]
        command = [node, str(Path(program).resolve()), "proxy", *options, str(spec), upstream]
        with serving(command, [port], folder):
            yield f"http://{LOOPBACK}:{port}", folder / "output"


# In an envelope, the status of an empty response, 204, becomes 200, which the specification does
# not allow. So these are only the steps whose responses have content.
ENVELOPED = [
    step
    for step in STORY
    if (step.module.startswith(("org_", "service_account_info")) or "all_pages" in step.options)
    and not {"state", "purge", "api_keys"} & step.options.keys()
]
# Enough keys for a second page. Digest is not tested: Prism itself rejects the first request,
# which has no credential, and the specification has no response with a challenge.
EXTRA = 520


def test_every_request_is_one_of_the_specification(tmp_path: Path) -> None:
    asked: list[str] = []
    with Emulator(seed()) as emulator, prism(tmp_path, emulator.url) as (url, log):
        for story, envelope in (([*OTHERS, *STORY], False), (ENVELOPED, True)):
            emulator.reset(seed())
            common = {**begin(emulator, url), "envelope": envelope}
            for step in story:
                place = {} if step.module == "org_info" else {"org_id": org_id(ATLAS)}
                for check in (True, False) if step.is_write else (False,):
                    options = {**common, **place, **step.options}
                    outcome = run_module(step.module, options, check=check)
                    assert not outcome.failed, (step, outcome.msg)
                    assert outcome.changed == step.is_write, step
            statuses = {request.status for request in emulator.requests}
            assert statuses == ({200} if envelope else {200, 201, 204})
            asked += operations(emulator)
        assert {*asked} == OPERATIONS
        emulator.reset(seed(EXTRA))
        common = begin(emulator, url)
        outcome = run_module("org_api_key_info", {**common, "org_id": org_id(ATLAS)})
        assert len(outcome.result["org_api_keys"]) > EXTRA
        assert len(operations(emulator)) > 1
        asked += operations(emulator)
        logged = log.read_text("utf-8")
        assert logged.count("Request received") == len(asked)
        assert not re.search("violation|terminated with error", logged, re.IGNORECASE), logged
        check_that_prism_validates(url, common["access_token"], emulator)


def begin(emulator: Emulator, url: str) -> dict[str, Any]:
    """Return the options of all tasks, with a token of the emulator."""
    token = fetch_token(emulator.url, ATLAS)
    emulator.requests.clear()
    # The token is opaque, so the guards need to know which account owns it.
    return {
        "base_url": url,
        "access_token": token,
        "client_id": client_id(ATLAS),
        "retries": 0,
    }


def operations(emulator: Emulator) -> list[str]:
    return [operation(request.method, request.path) for request in emulator.requests]


def operation(method: str, path: str) -> str:
    """Return the operation of a request, without IDs."""
    place = re.sub("/[0-9a-f]{24}", "/{id}", path.removeprefix(PREFIX))
    place = re.sub("mdb_sa_id_[0-9a-f]{24}", "{account}", place)
    return f"{method} {re.sub('accessList/.+', 'accessList/{address}', place)}"


def check_that_prism_validates(url: str, token: str, emulator: Emulator) -> None:
    """Check that Prism rejects a wrong request and a wrong response."""
    arrived = len(emulator.requests)
    headers = {"Authorization": f"Bearer {token}"}
    for listing, version, wrong in (
        ("apiKeys", "2023-01-01", {"desc": "no roles"}),
        ("serviceAccounts", "2024-08-05", {"name": "no roles"}),
    ):
        media_type = f"application/vnd.atlas.{version}+json"
        headers |= {"Accept": media_type, "Content-Type": media_type}
        path = f"{url}{PREFIX}/orgs/{org_id(ATLAS)}/{listing}"
        response = requests.post(path, json=wrong, headers=headers, timeout=60)
        assert response.status_code == 422, response.text
        assert len(emulator.requests) == arrived
    headers["Accept"] = "application/vnd.atlas.2023-01-01+json"
    # The response to a token lacks the required apiKey.
    response = requests.get(f"{url}{PREFIX}", headers=headers, timeout=60)
    assert response.status_code == 500
    assert "apiKey" in response.text
    assert len(emulator.requests) == arrived + 1
