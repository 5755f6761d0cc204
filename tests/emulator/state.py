# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the emulated service: organizations, API keys, service accounts, tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

PRODUCTS = ("atlas", "cloud_manager", "ops_manager")
ID = re.compile(r"[a-f0-9]{24}")


class Seed(TypedDict, total=False):
    """The initial state of an emulator, as JSON. `State.to_seed()` returns the same form.

    An organization has id, name, product (atlas, cloud_manager, ops_manager), requires_access_list,
    projects [{id, name}] and:

    - settings, as the API returns them
    - others: objects of other kinds, as the API returns them, by kind and then by ID or name. The
      kinds are invoices, accessList (of Ops Manager), <project ID>/alertConfigs and
      <project ID>/clusters.
    - also_visible_to: the public keys or client IDs of other organizations that may read its name
    - api_keys [{id, description, public_key, private_key, roles, projects [{project_id, roles}],
      access_list, unset, foreign_roles}]. The APIs do not return the fields in unset (desc, roles,
      publicKey), and also return foreign_roles (roles as JSON, such as {roleName: GLOBAL_OWNER}).
    - service_accounts [{client_id, client_secret, name, description, created_at, secrets [{id,
      value, created_at, expires_at, last_used_at}], roles, projects [{project_id, roles}],
      access_list, is_system_managed}]. client_secret stands for one secret that does not expire.
      Times are seconds since 1970.

    IDs and key pairs are required.
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
    def login(self) -> str:
        return self.public_key


@dataclass
class Secret:
    """A secret of a service account. Times are seconds since 1970."""

    id: str
    value: str
    created_at: float = 1767225600.0
    # 2100-01-01.
    expires_at: float = 4102444800.0
    last_used_at: float | None = None


@dataclass
class ServiceAccount:
    client_id: str
    name: str = "an account"
    description: str = "an account"
    # 2026-01-01.
    created_at: float = 1767225600.0
    secrets: list[Secret] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    projects: dict[str, list[str]] = field(default_factory=dict)
    access_list: list[str] = field(default_factory=list)
    is_system_managed: bool = False

    @property
    def login(self) -> str:
        return self.client_id


@dataclass
class Organization:
    id: str
    name: str = ""
    product: str = "atlas"
    requires_access_list: bool = False
    also_visible_to: list[str] = field(default_factory=list)
    projects: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    # Objects of other kinds, as the API returns them: by kind, and then by ID or name.
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    api_keys: dict[str, ApiKey] = field(default_factory=dict)
    service_accounts: dict[str, ServiceAccount] = field(default_factory=dict)
    # Changes that reads do not show yet: when they will, the ID, and the previous object.
    unseen: list[tuple[float, str, Any]] = field(default_factory=list, repr=False)

    def change(self, object_id: str, after: Any, now: float, seen_at: float) -> None:
        """Store or remove (None) a key or an account; earlier reads return the old one."""
        table = self._table(object_id)
        before = deepcopy(table.get(object_id))
        self.unseen = [entry for entry in self.unseen if entry[0] > now]
        if seen_at > now:
            self.unseen.append((seen_at, object_id, before))
        if after is None:
            table.pop(object_id, None)
        else:
            table[object_id] = after

    def visible_keys(self, now: float) -> dict[str, ApiKey]:
        return self._visible(self.api_keys, now)

    def visible_accounts(self, now: float) -> dict[str, ServiceAccount]:
        return self._visible(self.service_accounts, now)

    def _visible(self, table: dict[str, Any], now: float) -> dict[str, Any]:
        visible = dict(table)
        for seen_at, object_id, before in reversed(self.unseen):
            if seen_at > now and self._table(object_id) is table:
                if before is None:
                    visible.pop(object_id, None)
                else:
                    visible[object_id] = before
        return visible

    def _table(self, object_id: str) -> dict[str, Any]:
        is_key = ID.fullmatch(object_id)
        return self.api_keys if is_key else self.service_accounts


@dataclass
class Token:
    client_id: str
    secret_id: str
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

    def forget_tokens(self, client_id: str, secret_id: str | None = None) -> None:
        """Revoke the tokens of an account, or those requested with a secret, when it is deleted."""
        for value, token in list(self.tokens.items()):
            if token.client_id == client_id and secret_id in (None, token.secret_id):
                del self.tokens[value]

    def to_seed(self) -> Seed:
        organizations = []
        for organization in self.organizations.values():
            values = asdict(organization)
            del values["unseen"]
            values["projects"] = [{"id": i, "name": n} for i, n in values["projects"].items()]
            values["api_keys"] = list(values["api_keys"].values())
            for key in values["api_keys"]:
                key["projects"] = _projects_to_seed(key["projects"])
            values["service_accounts"] = list(values["service_accounts"].values())
            for account in values["service_accounts"]:
                account["projects"] = _projects_to_seed(account["projects"])
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
    accounts = [_load_account(dict(item)) for item in values.pop("service_accounts", [])]
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
    projects = _load_projects(values)
    return ApiKey(**values, projects=projects)


def _load_account(values: dict[str, Any]) -> ServiceAccount:
    secrets = [Secret(**item) for item in values.pop("secrets", [])]
    if "client_secret" in values:
        secret_id = values["client_id"][-24:].lower()
        secrets.append(Secret(secret_id, values.pop("client_secret")))
    projects = _load_projects(values)
    return ServiceAccount(**values, projects=projects, secrets=secrets)


def _load_projects(values: dict[str, Any]) -> dict[str, list[str]]:
    """Remove the projects of a key or an account from its seed."""
    return {item["project_id"]: item["roles"] for item in values.pop("projects", [])}


def _projects_to_seed(projects: dict[str, list[str]]) -> list[dict[str, Any]]:
    return [{"project_id": i, "roles": roles} for i, roles in projects.items()]
