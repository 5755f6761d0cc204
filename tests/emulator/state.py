# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the emulated service knows: organizations, their API keys and service accounts, tokens."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

PRODUCTS = ("atlas", "cloud_manager", "ops_manager")
ID = re.compile(r"[a-f0-9]{24}")
# Fields of a key that need not be there.
UNSETTABLE = ("desc", "roles", "publicKey")


class Seed(TypedDict, total=False):
    """What an emulator starts with, as JSON; `State.to_seed()` writes the same form.

    An organization has id, name, product (atlas, cloud_manager, ops_manager),
    requires_access_list, delete_status (200 or 204), also_visible_to [public key or client id:
    callers of other organizations that may read its name], projects [{id, name}],
    api_keys [{id, description, public_key, private_key, roles, projects, access_list, unset,
    foreign_roles}] with projects [{project_id, roles}], unset (the fields desc, roles and publicKey
    that the APIs do not show of this key) and foreign_roles (roles as JSON that the APIs show
    besides, such as {roleName: GLOBAL_OWNER}), and
    service_accounts [{client_id, client_secret, roles, access_list}].
    Needed are an id, both halves of a key pair and of a service account; the rest has defaults.
    """

    organizations: list[dict[str, Any]]


class SeedError(ValueError):
    """A seed that can't be loaded; the message names the place."""


@dataclass
class ApiKey:
    id: str
    description: str
    public_key: str
    private_key: str
    roles: list[str] = field(default_factory=list)
    projects: dict[str, list[str]] = field(default_factory=dict)
    access_list: list[str] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)
    foreign_roles: list[dict[str, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.public_key


@dataclass
class ServiceAccount:
    client_id: str
    client_secret: str
    roles: list[str] = field(default_factory=list)
    access_list: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.client_id


@dataclass
class Organization:
    id: str
    name: str = ""
    product: str = "atlas"
    requires_access_list: bool = False
    delete_status: int | None = None
    also_visible_to: list[str] = field(default_factory=list)
    projects: dict[str, str] = field(default_factory=dict)
    api_keys: dict[str, ApiKey] = field(default_factory=dict)
    service_accounts: dict[str, ServiceAccount] = field(default_factory=dict)
    # Changes that reads do not see yet: when they will, the key, what it was before.
    unseen: list[tuple[float, str, ApiKey | None]] = field(default_factory=list, repr=False)

    def change(self, key_id: str, after: ApiKey | None, now: float, seen_at: float) -> None:
        """Put or remove a key; reads before `seen_at` still get what was there."""
        before = deepcopy(self.api_keys.get(key_id))
        self.unseen = [entry for entry in self.unseen if entry[0] > now]
        if seen_at > now:
            self.unseen.append((seen_at, key_id, before))
        if after is None:
            self.api_keys.pop(key_id, None)
        else:
            self.api_keys[key_id] = after

    def visible_keys(self, now: float) -> dict[str, ApiKey]:
        keys = dict(self.api_keys)
        for seen_at, key_id, before in reversed(self.unseen):
            if seen_at > now:
                if before is None:
                    keys.pop(key_id, None)
                else:
                    keys[key_id] = before
        return keys


@dataclass
class Token:
    client_id: str
    expires_at: float


@dataclass
class State:
    organizations: dict[str, Organization] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)

    def find_key(self, public_key: str) -> tuple[Organization, ApiKey] | None:
        for organization in self.organizations.values():
            for key in organization.api_keys.values():
                if key.public_key == public_key:
                    return organization, key
        return None

    def find_account(self, client_id: str) -> tuple[Organization, ServiceAccount] | None:
        for organization in self.organizations.values():
            account = organization.service_accounts.get(client_id)
            if account:
                return organization, account
        return None

    def to_seed(self) -> Seed:
        organizations = []
        for organization in self.organizations.values():
            values = asdict(organization)
            del values["unseen"]
            values["projects"] = [{"id": i, "name": n} for i, n in values["projects"].items()]
            values["api_keys"] = list(values["api_keys"].values())
            for key in values["api_keys"]:
                key["projects"] = [
                    {"project_id": i, "roles": roles} for i, roles in key["projects"].items()
                ]
            values["service_accounts"] = list(values["service_accounts"].values())
            organizations.append(values)
        return {"organizations": organizations}


class _Part:
    """One object of a seed, and its place in it for error messages."""

    def __init__(self, value: Any, place: str, allowed: str) -> None:
        self.place = place
        if not isinstance(value, Mapping):
            raise SeedError(f"{place}: must be an object, not {type(value).__name__}")
        self.value = value
        unknown = sorted(str(name) for name in set(value) - set(allowed.split()))
        if unknown:
            raise SeedError(f"{place}: unknown {', '.join(unknown)} (known: {allowed})")

    def fail(self, name: str, problem: str) -> SeedError:
        return SeedError(f"{self.place}.{name}: {problem}")

    def text(self, name: str, pattern: str | None = None, default: str | None = None) -> str:
        value = self.value.get(name, default)
        if not isinstance(value, str):
            raise self.fail(name, "missing" if value is None else "must be a string")
        if pattern and not re.fullmatch(pattern, value):
            raise self.fail(name, f"{value!r} does not match {pattern}")
        return value

    def texts(self, name: str, check: Callable[[str], object] | None = None) -> list[str]:
        value = self.value.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(name, "must be a list of strings")
        for item in value:
            try:
                if check and not check(item):
                    raise ValueError("not one of these")
            except ValueError as error:
                raise self.fail(name, f"{item!r}: {error}") from error
        return list(value)

    def parts(self, name: str, allowed: str) -> Iterator[_Part]:
        value = self.value.get(name, [])
        if not isinstance(value, list):
            raise self.fail(name, "must be a list")
        for index, item in enumerate(value):
            yield _Part(item, f"{self.place}.{name}[{index}]", allowed)


def _is_org_role(role: str) -> bool:
    return role.startswith("ORG_")


def _is_project_role(role: str) -> bool:
    return role.startswith("GROUP_")


def load(seed: Mapping[str, Any] | None) -> State:
    """The state that a seed describes, or a SeedError that says what is wrong with it."""
    state = State()
    taken: set[str] = set()
    top = _Part(seed or {}, "seed", "organizations")
    allowed = (
        "id name product requires_access_list delete_status also_visible_to projects api_keys "
        "service_accounts"
    )
    for part in top.parts("organizations", allowed):
        organization = _load_organization(part, taken)
        state.organizations[organization.id] = organization
    return state


def _claim(taken: set[str], part: _Part, name: str, value: str) -> str:
    if value in taken:
        raise part.fail(name, f"{value!r} is there twice")
    taken.add(value)
    return value


def _load_organization(part: _Part, taken: set[str]) -> Organization:
    organization = Organization(
        id=_claim(taken, part, "id", part.text("id", ID.pattern)),
        name=part.text("name", default=""),
        product=part.text("product", "|".join(PRODUCTS), "atlas"),
        requires_access_list=part.value.get("requires_access_list", False),
        delete_status=part.value.get("delete_status"),
        also_visible_to=part.texts("also_visible_to"),
    )
    if not isinstance(organization.requires_access_list, bool):
        raise part.fail("requires_access_list", "must be true or false")
    if organization.delete_status not in (None, 200, 204):
        raise part.fail("delete_status", "must be 200 or 204")
    for item in part.parts("projects", "id name"):
        project_id = _claim(taken, item, "id", item.text("id", ID.pattern))
        organization.projects[project_id] = item.text("name", default="")
    allowed = "id description public_key private_key roles projects access_list unset foreign_roles"
    for item in part.parts("api_keys", allowed):
        key = _load_key(item, taken)
        organization.api_keys[key.id] = key
    for item in part.parts("service_accounts", "client_id client_secret roles access_list"):
        if organization.product == "ops_manager":
            raise SeedError(f"{item.place}: Ops Manager has no service accounts")
        client_id = item.text("client_id", "mdb_sa_id_[a-fA-F0-9]{24}")
        account = ServiceAccount(
            client_id=_claim(taken, item, "client_id", client_id),
            client_secret=item.text("client_secret", "mdb_sa_sk_.+"),
            roles=item.texts("roles", _is_org_role),
            access_list=item.texts("access_list", ipaddress.ip_network),
        )
        organization.service_accounts[client_id] = account
    return organization


def _load_key(part: _Part, taken: set[str]) -> ApiKey:
    return ApiKey(
        id=_claim(taken, part, "id", part.text("id", ID.pattern)),
        description=part.text("description", default=""),
        public_key=_claim(taken, part, "public_key", part.text("public_key", "[!-~]{8}")),
        private_key=part.text("private_key", ".+"),
        roles=part.texts("roles", _is_org_role),
        projects={
            item.text("project_id", ID.pattern): item.texts("roles", _is_project_role)
            for item in part.parts("projects", "project_id roles")
        },
        access_list=part.texts("access_list", ipaddress.ip_network),
        unset=part.texts("unset", UNSETTABLE.__contains__),
        foreign_roles=[
            {name: item.text(name) for name in item.value}
            for item in part.parts("foreign_roles", "roleName orgId groupId")
        ],
    )
