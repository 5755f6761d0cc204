# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parse, find, create and change the API keys of an organization, and warn about risks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import (
    UnreadableError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._http_settings import (
    is_sent_in_clear,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    API_KEY_NOT_FOUND,
    AmbiguousError,
    CancelledError,
    KeysmithError,
    MissingError,
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
    creation_time,
    is_id,
    quoted,
)

# Messages show it, so it must be short and printable. (The APIs create 8 letters.)
_PUBLIC_KEY = re.compile(r"[!-~]{0,64}")
CREATE_FIRST = (
    "Create the key with org_api_key first. In check mode, a key that an earlier task would create "
    "does not exist."
)
_JSON_NAMES = {"description": "desc", "roles": "roles"}

# Pairs of a project's ID and the roles there, sorted.
Projects = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class OrgApiKey:
    """A programmatic API key.

    The description and the roles may be empty. No description and no pattern selects a key without
    a description.
    """

    id: str
    description: str
    public_key: str | None
    roles: tuple[str, ...]
    projects: Projects

    @property
    def created_at(self) -> str | None:
        """Return the creation time, derived from the ID. The API does not return it."""
        return creation_time(self.id)

    def __str__(self) -> str:
        return f"{self.id} ({self.public_key or 'public key not readable'})"

    def writable(self) -> dict[str, Any]:
        """Return what a user can set, for plans and diffs."""
        return {
            "description": self.description,
            "roles": list(self.roles),
            "projects": [
                {"project_id": name, "roles": list(roles)} for name, roles in self.projects
            ],
        }

    def result(self) -> dict[str, Any]:
        """Return the value of ``org_api_key``."""
        return {**identity(self), **self.writable()}


def identity(key: OrgApiKey | None) -> dict[str, Any]:
    """Return a key's read-only fields for results. They are None if the key does not exist yet."""
    return {name: getattr(key, name, None) for name in ("id", "public_key", "created_at")}


def with_project(key: OrgApiKey, project_id: str, roles: tuple[str, ...] | None) -> OrgApiKey:
    """Return the key with these roles in a project; with None, not assigned to it."""
    projects = {**dict(key.projects), project_id: roles}
    kept = ((name, roles) for name, roles in sorted(projects.items()) if roles is not None)
    return replace(key, projects=tuple(kept))


def parse(data: Any, org_id: str | None = None) -> OrgApiKey | None:
    """Return the key that the API's JSON describes, None if it is not an object with content.

    Schema: ApiKeyUserDetails; ``desc`` and ``roles`` may be missing. A role belongs to an
    organization, a project, or neither. Only roles in the organization ``org_id`` count as roles of
    the key; None stands for any. Raises UnreadableError.
    """
    if not isinstance(data, dict) or not data:
        return None
    key_id, description, public_key = data.get("id"), data.get("desc"), data.get("publicKey")
    if not (isinstance(key_id, str) and is_id(key_id)):
        raise UnreadableError("an API key without a readable ID", "id", key_id)
    owner = f"API key {key_id}"
    if not isinstance(description, (str, type(None))):
        raise UnreadableError(owner, "desc", description)
    is_text = isinstance(public_key, str) and _PUBLIC_KEY.fullmatch(public_key)
    if not (public_key is None or is_text):
        raise UnreadableError(owner, "publicKey", public_key)
    org_roles, projects = _parse_roles(owner, data.get("roles"), org_id)
    return OrgApiKey(
        id=key_id,
        description=description or "",
        public_key=public_key or None,
        roles=tuple(sorted(org_roles)),
        projects=tuple((group, tuple(sorted(names))) for group, names in sorted(projects.items())),
    )


def _parse_roles(
    owner: str, roles: Any, org_id: str | None
) -> tuple[set[str], dict[str, set[str]]]:
    """Return the roles in the organization, and those in each project. Raises UnreadableError."""
    if not isinstance(roles, (list, type(None))):
        raise UnreadableError(owner, "roles", roles)
    org_roles: set[str] = set()
    projects: dict[str, set[str]] = {}
    for number, role in enumerate(roles or ()):
        place = f"roles[{number}]"
        if not isinstance(role, dict):
            raise UnreadableError(owner, place, role)
        name, role_org, group_id = role.get("roleName"), role.get("orgId"), role.get("groupId")
        if not isinstance(name, str):
            raise UnreadableError(owner, f"{place}.roleName", name)
        for field_name, value in (("orgId", role_org), ("groupId", group_id)):
            if not (value is None or (isinstance(value, str) and is_id(value))):
                raise UnreadableError(owner, f"{place}.{field_name}", value)
        if group_id is not None:
            projects.setdefault(group_id, set()).add(name)
        elif role_org is not None and org_id in {None, role_org}:
            org_roles.add(name)
    return org_roles, projects


def find_by_public_key(api: Client, org_id: str, public_key: str) -> OrgApiKey | None:
    """Return the key with this public key, None if the full list proves that none has it."""
    objects = API_KEYS.of(org_id)
    keys = _resource.list_all(api, objects)
    same = [key for key in keys if key.public_key == public_key]
    found = _resource.expect_one(objects, f"public key {public_key}", same)
    if not found:
        check_hidden_public_keys(org_id, keys, [public_key], "Use api_user_id instead.")
    return found


def check_hidden_public_keys(
    org_id: str, keys: Collection[OrgApiKey], public_keys: Collection[str], advice: str
) -> None:
    """Refuse public keys that no key has if the API hides those of some keys.

    Raises AmbiguousError. ``advice``: what to do about it.
    """
    known = {key.public_key for key in keys}
    unknown = [name for name in public_keys if name not in known]
    if unknown and None in known:
        hidden = _resource.names(key for key in keys if key.public_key is None)
        raise AmbiguousError(
            f"Cannot tell whether an API key of organization {org_id} has the public key "
            f"{', '.join(unknown)}, because the API did not return the public key of {hidden}",
            hint=f"Nothing was changed. {advice}",
        )


def find(api: Client, org_id: str, params: Mapping[str, Any]) -> OrgApiKey | None:
    """Return the key that a task identifies, or None if it is proven to be missing."""
    objects = API_KEYS.of(org_id)
    if params["api_user_id"]:
        return _resource.find_by_id(api, objects, params["api_user_id"])
    if params["public_key"]:
        return find_by_public_key(api, org_id, params["public_key"])
    keys = _resource.list_all(api, objects)
    return _resource.pick_by_text(
        keys, objects, params["description"], look_alikes=params["look_alikes"]
    )


def not_found(org_id: str, params: Mapping[str, Any], hint: str) -> MissingError:
    """Return the error about the key that a task identifies, which does not exist."""
    description = params["description"]
    which = f"description {quoted(description)}" if description else f"ID {params['api_user_id']}"
    if params["public_key"]:
        which = f"public key {params['public_key']}"
    return MissingError(
        f"No API key of organization {org_id} has the {which}", hint=f"Nothing was changed. {hint}"
    )


def create(
    api: Client, org_id: str, description: str, roles: Collection[str], known_ids: Collection[str]
) -> Created[OrgApiKey]:
    """Create a key. ``known_ids``: the IDs in the full list before the creation.

    See ``_writes.create``.
    """
    values = {"description": description, "roles": sorted(roles)}
    wanted = _wanted(values, values)
    wanted = replace(
        wanted,
        is_met=lambda key: not key.projects and _is_as_wanted(key, values),
        state=lambda key: f"{_state(key)}, and projects" if key.projects else _state(key),
    )
    return _writes.create(
        api,
        API_KEYS.of(org_id),
        description,
        _to_api(values),
        lambda data: parse_created(data, org_id),
        wanted,
        known_ids,
    )


def parse_created(data: Any, org_id: str | None = None) -> Created[OrgApiKey] | None:
    """Return the created key that the API's JSON describes, None without a private key.

    See ``parse``.
    """
    key = parse(data, org_id)
    private_key = data.get("privateKey") if key else None
    if key is None or key.public_key is None or not isinstance(private_key, str):
        return None
    return Created(key, private_key) if private_key and "*" not in private_key else None


def update(api: Client, org_id: str, key: OrgApiKey, changes: Mapping[str, Any]) -> OrgApiKey:
    """Set the description or the roles of a key, and return the key afterwards.

    See ``_writes.update``.
    """
    # A field that the response leaves out and the task did not set is unchanged.
    wanted = _wanted(changes, {**_settable(key), **changes})
    return _writes.update(api, API_KEYS.of(org_id), key, _to_api(changes), wanted)


def _to_api(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_JSON_NAMES[name]: value for name, value in values.items()}


def _wanted(asked: Mapping[str, Any], expected: Mapping[str, Any]) -> Wanted[OrgApiKey]:
    """Return what a task asks of a key. ``expected``: all values that it sets or keeps."""

    return Wanted(
        is_met=lambda key: _is_as_wanted(key, asked),
        text=_described(asked),
        state=_state,
        values=_settable,
        fill=lambda data, key: replace(key, **_writes.left_out(data, expected, _JSON_NAMES)),
    )


def _is_as_wanted(key: OrgApiKey, wanted: Mapping[str, Any]) -> bool:
    description = wanted.get("description", key.description)
    return has_roles(key, wanted.get("roles")) and key.description == description


def _settable(key: OrgApiKey) -> dict[str, Any]:
    return {"description": key.description, "roles": key.roles}


def _state(key: OrgApiKey) -> str:
    return _described(_settable(key))


def _described(values: Mapping[str, Any]) -> str:
    parts = []
    if "description" in values:
        parts.append(quoted(values["description"]))
    if "roles" in values:
        parts.append(f"the roles {', '.join(sorted(values['roles'])) or 'none'}")
    return " with ".join(parts)


def warn_of_new_private_key(api: Client) -> None:
    """Warn if the private key of a new API key would be returned without TLS."""
    if is_sent_in_clear(api.endpoint.base_url):
        api.warnings.append(
            "The private key of each new API key is sent unencrypted, because base_url uses "
            "http, not https."
        )


def warn_of_last_owner(
    api: Client, org_id: str, before: Iterable[OrgApiKey], owner_ids: Collection[str]
) -> None:
    """Warn if no API key would still have ORG_OWNER, unless a key pair is the credential.

    ``owner_ids``: the keys that would still have ORG_OWNER. A signing key pair that may change keys
    is one of them, unless the task allows it to lose its access.
    """
    last = [key for key in before if "ORG_OWNER" in key.roles]
    if api.endpoint.public_key is None and last and not owner_ids:
        api.warnings.append(
            f"No API key of organization {org_id} would have the role ORG_OWNER after this change. "
            f"The last one is {_resource.described(last, API_KEYS)}. Only users and service "
            "accounts would then own the organization."
        )


def warn_if_last_owner(api: Client, org_id: str, key: OrgApiKey) -> None:
    """Warn if a key that will lose ORG_OWNER is the last one, which the listing shows."""
    if api.endpoint.public_key is not None or "ORG_OWNER" not in key.roles:
        return
    try:
        keys = _resource.list_all(api, API_KEYS.of(org_id))
    except CancelledError:
        raise
    except KeysmithError as error:
        # A leaked key must be revocable even if the list cannot be read.
        api.warnings.append(
            f"Could not check whether API key {key} is the last one with the role ORG_OWNER: "
            f"{error.message()}"
        )
        return
    owner_ids = [other.id for other in keys if "ORG_OWNER" in other.roles and other.id != key.id]
    warn_of_last_owner(api, org_id, [key], owner_ids)


def has_roles(key: OrgApiKey, roles: Collection[str] | None) -> bool:
    """Return whether a key has these roles in its organization; None stands for any.

    The API adds ORG_MEMBER automatically, so this extra role does not count as a difference.
    """
    return roles is None or set(roles) <= set(key.roles) <= {*roles, "ORG_MEMBER"}


API_KEYS: Resource[OrgApiKey] = Resource(
    noun="API key",
    path="/orgs/{}/apiKeys",
    version="2023-01-01",
    parse=parse,
    text=lambda key: key.description,
    verb="revoke",
    text_name="description",
    id_option="api_user_id",
    missing=frozenset({API_KEY_NOT_FOUND}),
    result_name="org_api_key",
    hints=frozenset({"INVALID_KEY_ID"}),
    identity=SigningIdentity(
        name="public key",
        of=lambda key: key.public_key,
        signing=lambda endpoint: endpoint.public_key,
        option="allow_own_key",
    ),
    issued="private key",
)
