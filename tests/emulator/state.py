# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the emulated service knows: organizations, their API keys and service accounts, tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

PRODUCTS = ("atlas", "cloud_manager", "ops_manager")
ID = re.compile(r"[a-f0-9]{24}")


class Seed(TypedDict, total=False):
    """What an emulator starts with, as JSON; `State.to_seed()` writes the same form.

    An organization has id, name, product (atlas, cloud_manager, ops_manager), requires_access_list,
    projects [{id, name}] and:

    - also_visible_to: the public keys or client IDs of other organizations that may read its name
    - api_keys [{id, description, public_key, private_key, roles, projects [{project_id, roles}],
      access_list, unset, foreign_roles}]. The APIs do not return the fields in unset (desc, roles,
      publicKey), and also return foreign_roles (roles as JSON, such as {roleName: GLOBAL_OWNER}).
    - service_accounts [{client_id, client_secret, roles, access_list}]

    IDs, key pairs and client secrets are required.
    """

    organizations: list[dict[str, Any]]


class SeedError(ValueError):
    """A seed that cannot be loaded."""


@dataclass
class ApiKey:
    id: str
    public_key: str
    private_key: str
    description: str = ""
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


def load(seed: Mapping[str, Any] | None) -> State:
    """Return the state that a seed describes, or raise a SeedError."""
    state = State()
    try:
        for values in (seed or {}).get("organizations", []):
            organization = _load_organization(dict(values))
            state.organizations[organization.id] = organization
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SeedError(f"the seed cannot be loaded: {error}") from error
    return state


def _load_organization(values: dict[str, Any]) -> Organization:
    projects = {item["id"]: item.get("name", "") for item in values.pop("projects", [])}
    keys = [_load_key(dict(item)) for item in values.pop("api_keys", [])]
    accounts = [ServiceAccount(**item) for item in values.pop("service_accounts", [])]
    organization = Organization(
        **values,
        projects=projects,
        api_keys={key.id: key for key in keys},
        service_accounts={account.client_id: account for account in accounts},
    )
    if organization.product not in PRODUCTS:
        raise ValueError(f"product must be one of {', '.join(PRODUCTS)}")
    for found in (organization.id, *projects, *organization.api_keys):
        if not ID.fullmatch(found):
            raise ValueError(f"{found!r} is not a valid ID")
    return organization


def _load_key(values: dict[str, Any]) -> ApiKey:
    projects = {item["project_id"]: item["roles"] for item in values.pop("projects", [])}
    return ApiKey(**values, projects=projects)
