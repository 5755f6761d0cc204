# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulator's orders, links, headers and rarely seen fields, as recorded responses have them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from requests.auth import HTTPDigestAuth

from tests.emulator import Emulator, Fault
from tests.support import (
    API_PATHS,
    PLATFORMS,
    PRIVATE_KEYS,
    key_id,
    org_id,
    project_id,
    public_key,
    seed,
)

pytestmark = pytest.mark.slow

ATLAS = "atlas"
ACCEPT = "application/vnd.atlas.2023-01-01+json"
OTHER_ORG = "5f0000000000000000000001"


def ask(
    emulator: Emulator, path: str, method: str = "GET", platform: str = ATLAS, body: Any = None
) -> requests.Response:
    return requests.request(
        method,
        f"{emulator.url}{API_PATHS[platform]}{path}",
        auth=HTTPDigestAuth(public_key(platform, 1), PRIVATE_KEYS[platform]),
        headers={"Accept": ACCEPT, "Content-Type": "application/json"},
        data=None if body is None else json.dumps(body),
        timeout=10,
    )


def reset(emulator: Emulator, number: int, **values: Any) -> None:
    """Give one key of each organization these values."""
    data = seed()
    for organization in data["organizations"]:
        organization["api_keys"][number - 1].update(values)
    emulator.reset(data)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("place", ["orgs", "groups"])
def test_listings_are_sorted_by_public_key(emulator: Emulator, platform: str, place: str) -> None:
    data = seed()
    grant = {"roles": ["GROUP_READ_ONLY"]}
    for suffix, organization in zip("xyz", data["organizations"]):
        for number, key in enumerate(reversed(organization["api_keys"][1:])):
            key["public_key"] = chr(ord("a") + number) * 7 + suffix
            key["projects"] = [{"project_id": organization["projects"][0]["id"], **grant}]
    emulator.reset(data)
    owner = org_id(platform) if place == "orgs" else project_id(platform)
    listed = ask(emulator, f"/{place}/{owner}/apiKeys", platform=platform).json()["results"]
    names = [key["publicKey"] for key in listed]
    assert len(names) > 5
    assert names == sorted(names)
    assert [key["id"] for key in listed] != sorted(key["id"] for key in listed)


def test_the_roles_of_a_key_come_in_another_order_from_call_to_call(emulator: Emulator) -> None:
    path = f"/orgs/{org_id(ATLAS)}/apiKeys/{key_id(ATLAS, 2)}"
    orders = {ask(emulator, path).content for _round in range(20)}
    assert len(orders) > 1
    assert len({len(order) for order in orders}) == 1


def test_a_listing_of_organizations_repeats_its_filter(emulator: Emulator) -> None:
    paging = "pageNum=1&itemsPerPage=100"
    for query, name in (("", ""), ("?name=the", "the"), ("?envelope=true&name=x", "x")):
        (link,) = ask(emulator, f"/orgs{query}").json()["links"]
        expected = f"{emulator.url}{API_PATHS[ATLAS]}/orgs?includeCount=true&name={name}&{paging}"
        assert link["href"].removesuffix("&envelope=true") == expected
    (link,) = ask(emulator, f"/orgs/{org_id(ATLAS)}/apiKeys?pageNum=9").json()["links"][:1]
    assert link["href"].partition("?")[2] == "includeCount=true&pageNum=9&itemsPerPage=100"


def test_an_organization_links_to_what_it_has(emulator: Emulator) -> None:
    base = f"{emulator.url}{API_PATHS[ATLAS]}/orgs/{org_id(ATLAS)}"
    links = ask(emulator, f"/orgs/{org_id(ATLAS)}").json()["links"]
    assert links == [{"href": base, "rel": "self"}] + [
        {"href": f"{base}/{name}", "rel": f"https://cloud.mongodb.com/{name}"}
        for name in ("groups", "teams", "users")
    ]
    assert len(ask(emulator, "/orgs").json()["results"][0]["links"]) == 1


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_key_may_be_created_in_a_project(emulator: Emulator, platform: str) -> None:
    path = f"/groups/{project_id(platform)}/apiKeys"
    body = {"desc": "new", "roles": ["GROUP_READ_ONLY"]}
    made = ask(emulator, path, "POST", platform, body)
    assert made.status_code == 200
    key = made.json()
    assert "*" not in key["privateKey"]
    roles = sorted(role["roleName"] for role in key["roles"])
    assert roles == ["GROUP_READ_ONLY", "ORG_MEMBER"]
    listed = ask(emulator, path, platform=platform).json()["results"]
    assert key["id"] in [item["id"] for item in listed]
    refused = ask(emulator, path, "POST", platform, {"desc": "new", "roles": ["GROUP_X"]})
    assert refused.status_code == 400
    if platform == ATLAS:
        assert "Invalid role" in refused.json()["detail"]
    else:
        assert refused.json()["errorCode"] == "INVALID_ENUM_VALUE"
    bare = ask(emulator, path, "POST", platform, {"roles": ["GROUP_READ_ONLY"]})
    assert bare.status_code == 400


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_role_is_added_in_the_organization(emulator: Emulator, platform: str) -> None:
    path = f"/orgs/{org_id(platform)}/apiKeys"
    made = ask(emulator, path, "POST", platform, {"desc": "n", "roles": ["ORG_READ_ONLY"]}).json()
    patched = ask(
        emulator, f"{path}/{made['id']}", "PATCH", platform, {"roles": ["ORG_GROUP_CREATOR"]}
    )
    for key, role in ((made, "ORG_READ_ONLY"), (patched.json(), "ORG_GROUP_CREATOR")):
        assert [item["roleName"] for item in key["roles"]] == [role]


@pytest.mark.parametrize(("platform", "status"), [("cloud_manager", 200), ("ops_manager", 400)])
def test_cloud_manager_has_a_role_that_reads_bills(
    emulator: Emulator, platform: str, status: int
) -> None:
    body = {"desc": "n", "roles": ["ORG_BILLING_READ_ONLY"]}
    made = ask(emulator, f"/orgs/{org_id(platform)}/apiKeys", "POST", platform, body)
    assert made.status_code == status


@pytest.mark.parametrize("platform", PLATFORMS)
def test_atlas_sends_the_code_of_an_error_in_a_header(emulator: Emulator, platform: str) -> None:
    path = f"/orgs/{org_id(platform)}/apiKeys/{'f' * 24}"
    for _round in range(2):
        refused = ask(emulator, path, platform=platform)
        code = refused.json()["errorCode"]
        assert refused.headers.get("X-Error-Code") == (code if platform == ATLAS else None)
        emulator.add_fault(Fault("status", status=500, code="UNEXPECTED_ERROR"))


def test_atlas_sends_headers_that_mean_nothing_to_a_client(emulator: Emulator) -> None:
    for status, path in ((200, ""), (400, f"/{'f' * 24}")):
        answer = ask(emulator, f"/orgs/{org_id(ATLAS)}/apiKeys{path}")
        assert answer.status_code == status
        assert answer.headers["Server"] == "mdbws"
        assert answer.headers["X-Java-Method"].startswith("EmulatedResource::get_key")
        for name in ("Referrer-Policy", "Strict-Transport-Security", "X-Frame-Options"):
            assert name in answer.headers
        # It is not printed for people.
        assert b", " not in answer.content.replace(b"one, ", b"")
        assert b'": ' not in answer.content


@pytest.mark.parametrize("has_null_fields", [True, False])
def test_fields_of_a_key_may_be_missing_or_null(
    emulator: Emulator, *, has_null_fields: bool
) -> None:
    emulator.settings.has_null_fields = has_null_fields
    reset(emulator, 2, unset=["desc", "roles"])
    path = f"/orgs/{org_id(ATLAS)}/apiKeys"
    (listed,) = (
        key for key in ask(emulator, path).json()["results"] if key["id"] == key_id(ATLAS, 2)
    )
    assert {"desc", "roles"} & listed.keys() == ({"desc", "roles"} if has_null_fields else set())
    assert [listed.get("desc"), listed.get("roles")] == [None, None]
    patched = ask(emulator, f"{path}/{key_id(ATLAS, 2)}", "PATCH", body={"desc": "named"}).json()
    assert (patched["desc"], patched.get("roles")) == ("named", None)


def test_roles_of_elsewhere_may_be_shown(emulator: Emulator) -> None:
    foreign = [{"roleName": "GLOBAL_OWNER"}, {"roleName": "ORG_OWNER", "orgId": OTHER_ORG}]
    reset(emulator, 6, foreign_roles=foreign)
    for platform in PLATFORMS:
        path = f"/orgs/{org_id(platform)}/apiKeys/{key_id(platform, 6)}"
        roles = ask(emulator, path, platform=platform).json()["roles"]
        assert len(roles) == 3
        assert all(role in roles for role in foreign)


def test_a_count_may_be_an_estimate(emulator: Emulator) -> None:
    emulator.settings.count_errors = (2, -9)
    path = f"/orgs/{org_id(ATLAS)}/apiKeys?itemsPerPage=3&pageNum="
    totals = [ask(emulator, f"{path}{number}").json()["totalCount"] for number in (1, 2, 3)]
    assert totals == [9, 0, 0]
