# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_info against the emulator."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.keysmith.mongodb.plugins.modules import org_info
from tests.emulator import Emulator, Fault
from tests.support import (
    API_PATHS,
    MISSING_ID,
    PLATFORMS,
    PRIVATE_KEYS,
    Outcome,
    client_id,
    fetch_token,
    key_pair,
    org_id,
    public_key,
    run_module,
    seed,
    service_account,
)

ORG_ID_VARIABLES = {
    "atlas": "MONGODB_ATLAS_ORG_ID",
    "cloud_manager": "MCLI_ORG_ID",
    "ops_manager": "MCLI_ORG_ID",
}


def run(emulator: Emulator, platform: str = "atlas", **more: Any) -> Outcome:
    ours = {name: more.pop(name) for name in ("check", "diff", "environ") if name in more}
    credential_name = (
        {} if {"api_public_key", "client_id", "access_token"} & more.keys() else key_pair(platform)
    )
    options = {"platform": platform, "base_url": emulator.url, **credential_name, **more}
    outcome = run_module("org_info", options, **ours)
    assert emulator.writes == []
    assert not outcome.changed
    assert PRIVATE_KEYS[platform] not in outcome.output
    return outcome


def org(platform: str) -> dict[str, str]:
    return {"id": org_id(platform), "name": f"The {platform} organization"}


def add_orgs(emulator: Emulator, names: list[str], platform: str = "atlas") -> list[str]:
    """Add organizations that both credentials of a platform can see; return their sorted IDs."""
    seen_by = [public_key(platform, 1), client_id(platform)]
    ids = [f"{org_id(platform)[:2]}{number:022x}" for number in range(0x100, 0x100 + len(names))]
    added = [
        {"id": org_id_, "name": name, "product": platform, "also_visible_to": seen_by}
        for org_id_, name in zip(ids, names)
    ]
    emulator.reset({"organizations": [*seed()["organizations"], *added]})
    return ids


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("check", [True, False])
def test_finds_the_organization_of_the_credential(
    emulator: Emulator, platform: str, check: bool
) -> None:
    outcome = run(emulator, platform, check=check, diff=True)
    assert outcome.result["orgs"] == [org(platform)]
    assert "diff" not in outcome.result
    assert [f"{request.method} {request.path}" for request in emulator.requests] == [
        f"GET {API_PATHS[platform]}/orgs"
    ] * 2


@pytest.mark.parametrize("platform", ["atlas", "cloud_manager"])
def test_works_with_other_credentials(emulator: Emulator, platform: str) -> None:
    token = {"access_token": fetch_token(emulator.url, platform)}
    for credential_name in (service_account(platform), token):
        assert run(emulator, platform, **credential_name).result["orgs"] == [org(platform)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["B", "The atlas organization", "ab", "b", "b", "bc"]),
        ({"name": "b"}, ["b", "b"]),
        ({"name": "B"}, ["B"]),
        ({"name": "B "}, []),
        ({"name": "*"}, []),
        ({"org_id": org_id("atlas")}, ["The atlas organization"]),
        ({"org_id": org_id("atlas"), "name": "b"}, []),
        ({"org_id": MISSING_ID}, []),
    ],
)
def test_filters_exactly(emulator: Emulator, options: dict[str, str], expected: list[str]) -> None:
    ids = add_orgs(emulator, ["b", "bc", "B", "ab", "b"])
    for credential_name in (key_pair("atlas"), service_account("atlas")):
        found = run(emulator, **options, **credential_name).result["orgs"]
        assert [item["name"] for item in found] == expected
    if options == {"name": "b"}:
        assert [item["id"] for item in found] == [ids[0], ids[4]]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_ignores_the_organization_of_the_environment(emulator: Emulator, platform: str) -> None:
    environ = {ORG_ID_VARIABLES[platform]: MISSING_ID}
    assert run(emulator, platform, environ=environ).result["orgs"] == [org(platform)]
    set_too = run(emulator, platform, environ=environ, org_id=org_id(platform))
    assert set_too.result["orgs"] == [org(platform)]
    other = run(emulator, platform, environ={ORG_ID_VARIABLES[platform]: org_id(platform)},
                org_id=MISSING_ID)  # fmt: skip
    assert other.result["orgs"] == []


def test_reads_all_pages(emulator: Emulator) -> None:
    names = [f"org {number}" for number in range(1200)]
    add_orgs(emulator, names)
    found = run(emulator).result["orgs"]
    assert [item["name"] for item in found] == sorted([*names, "The atlas organization"])
    assert run(emulator, name="org 1199").result["orgs"][0]["name"] == "org 1199"


def test_omits_deleted_organizations(emulator: Emulator) -> None:
    items = [{"id": MISSING_ID, "name": "a", "isDeleted": True}, {"id": "b" * 24, "name": "a"}]
    emulator.add_fault(Fault("json", "GET", body={"results": items, "totalCount": 2}))
    assert run(emulator).result["orgs"] == [{"id": "b" * 24, "name": "a"}]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("lost_after", {}),
        ("truncated", {}),
        ("status", {"status": 429}),
        ("status", {"status": 503}),
    ],
)
def test_retries_and_reports_permanent_failures(
    emulator: Emulator, name: str, arguments: dict[str, Any]
) -> None:
    emulator.add_fault(Fault(name, **arguments))
    assert run(emulator).result["orgs"] == [org("atlas")]
    emulator.add_fault(Fault(name, times=None, **arguments))
    outcome = run(emulator)
    assert outcome.failed
    assert "Could not list the organizations" in outcome.msg
    assert "orgs" not in outcome.result
    emulator.clear_faults()
    assert run(emulator).result["orgs"] == [org("atlas")]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("html", {"status": 404}),
        ("html", {"status": 200}),
        ("redirect", {}),
        ("json", {"body": []}),
        ("json", {"body": {"results": [{"id": "x"}], "totalCount": 1}}),
        ("json", {"body": {"results": []}}),
        ("status", {"status": 404, "code": "RESOURCE_NOT_FOUND", "parameters": ["/x"]}),
        ("status", {"status": 401, "code": "USER_UNAUTHORIZED"}),
        ("status", {"status": 403, "code": "IP_ADDRESS_NOT_ON_ACCESS_LIST"}),
    ],
)
def test_fails_if_the_response_is_not_a_list(
    emulator: Emulator, name: str, arguments: dict[str, Any]
) -> None:
    emulator.add_fault(Fault(name, **arguments))
    outcome = run(emulator, name="nobody")
    assert outcome.failed
    assert "orgs" not in outcome.result
    assert outcome.code == arguments.get("code")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"org_id": "x"}, "org_id is 'x', which is not a valid ID"),
        ({"state": "present"}, "Unsupported parameters"),
        ({"access_token": "other-token"}, "Two kinds"),
    ],
)
def test_refuses_invalid_options_before_any_request(
    emulator: Emulator, options: dict[str, Any], message: str
) -> None:
    outcome = run(emulator, **{**key_pair("atlas"), **options})
    assert outcome.failed
    assert message in outcome.msg
    assert emulator.requests == []


def test_module_and_documentation_have_the_same_options() -> None:
    documented = yaml.safe_load(org_info.DOCUMENTATION)["options"]
    for option in documented.values():
        assert option.pop("description")
    assert documented == org_info.ARGUMENT_SPEC
