# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Service accounts of an organization: parse, create, change."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import (
    UnreadableError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    is_client_id,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    FULL_ORGANIZATION,
    ApiError,
    GuardError,
    KeysmithError,
    MissingError,
    OrphanError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _resource,
    _writes,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    Resource,
    SigningIdentity,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._writes import (
    Created,
    Wanted,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import (
    is_id,
    quoted,
    to_date,
)

READER = "Organization Read Only"
# The fields of a secret in results.
SECRET_FIELDS = ("id", "created_at", "expires_at", "last_used_at")
_DATE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|[+-]00:?00)")
# The API has had this field since September 2026.
_WITHOUT_SECRET = "withoutInitialSecret"  # noqa: S105  a field's name


@dataclass(frozen=True)
class Secret:
    """A secret of an account. Times are as the API returns them, in UTC.

    ``masked``: the value as the API masks it. It is never returned.
    """

    id: str
    created_at: str
    expires_at: str
    last_used_at: str | None = None
    masked: str = field(default="", repr=False)

    @property
    def expiry(self) -> float:
        """Return when the secret expires, in seconds since 1970."""
        return seconds(self.expires_at)

    def result(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SECRET_FIELDS}


@dataclass(frozen=True)
class ServiceAccount:
    """An account. ``roles``: those in the organization or, in a project's list, in the project.

    ``is_system_managed``: None if the API does not say. ``shows_secrets``: whether the response
    contained a list of secrets, which the specification does not require.
    """

    id: str
    name: str
    description: str
    roles: tuple[str, ...]
    created_at: str | None = None
    secrets: tuple[Secret, ...] = ()
    is_system_managed: bool | None = None
    shows_secrets: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        return f"{self.id} ({quoted(self.name)})"

    def writable(self) -> dict[str, Any]:
        """Return what a task can set, for plans and diffs."""
        return {"name": self.name, "description": self.description, "roles": list(self.roles)}

    def result(self) -> dict[str, Any]:
        return {
            "client_id": self.id or None,
            **self.writable(),
            "created_at": self.created_at,
            # An empty list would mean that there are none.
            "secrets": [secret.result() for secret in self.secrets] if self.shows_secrets else None,
        }


def seconds(date: str) -> float:
    """Return a time of the API in seconds since 1970."""
    match = _DATE.fullmatch(date)
    moment = datetime.strptime(match[1] if match else "", "%Y-%m-%dT%H:%M:%S")
    return moment.replace(tzinfo=timezone.utc).timestamp()


def parse(data: Any) -> ServiceAccount | None:
    """Return the account that the API's JSON describes, None unless it is a non-empty object.

    Schemas: OrgServiceAccount, GroupServiceAccount. Values of secrets are not read. Raises
    UnreadableError.
    """
    if not isinstance(data, dict) or not data:
        return None
    account_id = data.get("clientId")
    if not (isinstance(account_id, str) and is_client_id(account_id)):
        raise UnreadableError("a service account without a readable ID", "clientId", account_id)
    owner = f"service account {account_id}"
    texts = {name: data.get(name) or "" for name in ("name", "description")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise UnreadableError(owner, name, value)
    is_managed = data.get("systemManaged")
    secrets = data.get("secrets")
    if not isinstance(secrets, (list, type(None))):
        raise UnreadableError(owner, "secrets", secrets)
    found = [parse_secret(item, owner) for item in secrets or ()]
    return ServiceAccount(
        id=account_id,
        **texts,
        roles=_roles(owner, data),
        created_at=_date(owner, data, "createdAt"),
        # The order of the API is not known.
        secrets=tuple(sorted(found, key=lambda secret: (secret.created_at, secret.id))),
        is_system_managed=is_managed if isinstance(is_managed, bool) else None,
        shows_secrets=secrets is not None,
    )


def parse_secret(data: Any, owner: str) -> Secret:
    """Return the secret that JSON describes, without its value. Raises UnreadableError."""
    secret_id = data.get("id") if isinstance(data, dict) else None
    if not (isinstance(secret_id, str) and is_id(secret_id)):
        raise UnreadableError(f"a secret of {owner}", "id", secret_id)
    owner = f"secret {secret_id} of {owner}"
    created_at, expires_at = _date(owner, data, "createdAt"), _date(owner, data, "expiresAt")
    if created_at is None:
        raise UnreadableError(owner, "createdAt", None)
    if expires_at is None:
        raise UnreadableError(owner, "expiresAt", None)
    masked = data.get("maskedSecretValue")
    last_used_at = _date(owner, data, "lastUsedAt")
    text = masked if isinstance(masked, str) else ""
    return Secret(secret_id, created_at, expires_at, last_used_at, text)


def _roles(owner: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    roles = data.get("roles")
    is_list = isinstance(roles, list) and all(isinstance(role, str) for role in roles)
    if roles is not None and not is_list:
        raise UnreadableError(owner, "roles", roles)
    return tuple(sorted(set(roles or ())))


def _date(owner: str, data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is None:
        return None
    try:
        return to_date(seconds(value))
    except (TypeError, ValueError):
        raise UnreadableError(owner, name, value) from None


def clear_value(data: Mapping[str, Any]) -> str | None:
    """Return the value in a secret's JSON, None if it is missing or masked."""
    value = data.get("secret")
    is_clear = isinstance(value, str) and value and "*" not in value and "..." not in value
    return value if is_clear else None


def check_not_managed(api: Client, org_id: str, account: ServiceAccount) -> None:
    """Refuse to change an account that MongoDB manages. Raises GuardError."""
    is_managed = account.is_system_managed
    if is_managed is None:
        is_managed = all(other.id != account.id for other in list_own(api, org_id))
    if is_managed:
        raise GuardError(
            f"The service account {account} is managed by MongoDB, and nothing was changed",
            hint="Use another account. System-managed accounts can only be listed.",
            parameters=[account.id],
        )


def list_own(api: Client, org_id: str) -> list[ServiceAccount]:
    """Return the accounts that MongoDB does not manage."""
    return _resource.list_all(api, replace(SERVICE_ACCOUNTS.of(org_id), query={}))


def find(api: Client, params: Mapping[str, Any]) -> ServiceAccount | None:
    """Return the account that a task identifies, None if the API proves that it is missing."""
    objects = SERVICE_ACCOUNTS.of(params["org_id"])
    if params["service_account_id"]:
        return _resource.find_by_id(api, objects, params["service_account_id"])
    accounts = _resource.list_all(api, objects)
    return _resource.pick_by_text(
        accounts, objects, params["name"], look_alikes=params["look_alikes"]
    )


def get(api: Client, params: Mapping[str, Any]) -> ServiceAccount:
    """Return the account that a task changes. Raises MissingError and GuardError."""
    account = find(api, params)
    if account is None:
        raise not_found(params, "Create it with service_account first.")
    check_not_managed(api, params["org_id"], account)
    return account


def projects(api: Client, org_id: str, account: ServiceAccount) -> list[dict[str, Any]]:
    """Return the projects that an account is assigned to, sorted by ID, with its roles there."""
    objects = SERVICE_ACCOUNTS.of(org_id)

    def parse_project(data: Any) -> tuple[str, tuple[str, ...]] | None:
        if not isinstance(data, dict):
            return None
        project_id = data.get("groupId")
        if not (isinstance(project_id, str) and is_id(project_id)):
            raise UnreadableError(
                f"a project of service account {account.id}", "groupId", project_id
            )
        return project_id, _roles(f"project {project_id}", data)

    call = objects.call(f"list the projects of {account}", READER, account.id, "groups")
    try:
        found = api.pages(call, parse_project, lambda project: project[0])
    except ApiError as error:
        hint = "Only an account that exists has projects."
        raise _resource.as_missing_error(error, SERVICE_ACCOUNTS, account, hint) from None
    return [{"project_id": item[0], "roles": list(item[1])} for item in sorted(found)]


def not_found(params: Mapping[str, Any], hint: str) -> MissingError:
    """Return the error about an account that a task identifies but that does not exist."""
    which = params["service_account_id"] or quoted(params["name"])
    return MissingError(
        f"Service account {which} does not exist in organization {params['org_id']}, and nothing "
        "was changed",
        hint=hint,
    )


def create(
    api: Client,
    org_id: str,
    wanted: Mapping[str, Any],
    hours: int | None,
    known_ids: Collection[str],
) -> Created[ServiceAccount]:
    """Create an account; ``wanted``: its name, description and roles.

    ``hours``: the lifetime of its first secret, None for an account without one. An account without
    a secret is complete even if the response is lost, so the new account with these values is
    returned. Raises the same errors as ``_writes.create``.
    """
    objects = SERVICE_ACCOUNTS.of(org_id)
    secret = {_WITHOUT_SECRET: True} if hours is None else {"secretExpiresAfterHours": hours}
    asked = _wanted(wanted)

    def parse_new(data: Any) -> Created[ServiceAccount] | None:
        account = parse(data)
        if account is None:
            return None
        values = [clear_value(item) for item in data.get("secrets") or ()]
        if hours is None:
            return Created(account) if not values else None
        return Created(account, values[0]) if len(values) == 1 and values[0] else None

    try:
        return _writes.create(
            api, objects, wanted["name"], {**wanted, **secret}, parse_new, asked, known_ids
        )
    except OrphanError as error:
        account = None
        if hours is None and len(error.parameters) == 1:
            with suppress(KeysmithError), api.cancellation.completing():
                account = _resource.find_by_id(api, objects, error.parameters[0])
        if account and account.shows_secrets and not account.secrets and asked.is_met(account):
            return Created(account)
        if error.results.get("changed") and SERVICE_ACCOUNTS.result_name not in error.results:
            loss = "If this task created it, its client secret is lost: create another one with "
            loss += "service_account_secret, or delete the account by its ID."
            if hours is None:
                loss = "This task may have created one. Check them, then run the task again."
            state = f"New service accounts with this name: {', '.join(error.parameters)}. {loss}"
            raise error.with_context(state_after=state) from None
        raise
    except ApiError as error:
        if hours is None and error.status == 400 and error.code not in FULL_ORGANIZATION:
            hint = "If this version of the API cannot create an account without a secret, set "
            hint += f"secret_expires_after_hours. {error.hint}".strip()
            raise error.with_context(hint=hint) from None
        raise


def update(
    api: Client, org_id: str, account: ServiceAccount, changes: Mapping[str, Any]
) -> ServiceAccount:
    """Set the name, description or roles of an account, and return it as it is afterwards."""
    asked = _wanted({**account.writable(), **changes})
    return _writes.update(api, SERVICE_ACCOUNTS.of(org_id), account, changes, asked)


def _wanted(values: Mapping[str, Any]) -> Wanted[ServiceAccount]:
    return Wanted(
        is_met=lambda account: account.writable() == values,
        text=_described(values),
        state=lambda account: _described(account.writable()),
        values=ServiceAccount.writable,
        fill=lambda data, account: replace(account, **_writes.left_out(data, values)),
    )


def _described(values: Mapping[str, Any]) -> str:
    return (
        f"{quoted(values['name'])}, described as {quoted(values['description'])}, with the roles "
        f"{', '.join(values['roles']) or 'none'}"
    )


SERVICE_ACCOUNTS: Resource[ServiceAccount] = Resource(
    noun="service account",
    path="/orgs/{}/serviceAccounts",
    version="2024-08-05",
    reader=READER,
    # Without this, a listing leaves out accounts that exist.
    query={"includeSystemManaged": "true"},
    parse=lambda data, _org_id: parse(data),
    text=lambda account: account.name,
    text_name="name",
    id_option="service_account_id",
    missing=frozenset(),
    result_name="service_account",
    topic="SERVICE_ACCOUNT",
    identity=SigningIdentity(
        name="client ID",
        # Some servers may ignore the case of an ID.
        of=lambda account: account.id.lower(),
        signing=lambda endpoint: endpoint.client_id and endpoint.client_id.lower(),
        option="allow_own_account",
        is_unknown=lambda endpoint: endpoint.is_account_unknown,
    ),
    issued="client secret",
)
