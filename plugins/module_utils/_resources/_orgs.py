# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The organizations that a credential can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import (
    UnreadableError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _resource
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    ORG_MEMBER,
    Listing,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import is_id


@dataclass(frozen=True)
class Organization:
    id: str
    name: str
    is_deleted: bool = False

    def result(self) -> dict[str, Any]:
        """Return an item of ``orgs``."""
        return {"id": self.id, "name": self.name}


def parse(data: Any) -> Organization | None:
    """Return the organization that the API's JSON describes, None if it is not an object.

    Schema: AtlasOrganization; ``isDeleted`` may be missing. Raises UnreadableError.
    """
    if not isinstance(data, dict):
        return None
    org_id, name, is_deleted = data.get("id"), data.get("name"), data.get("isDeleted")
    if not (isinstance(org_id, str) and is_id(org_id)):
        raise UnreadableError("an organization without a readable ID", "id", org_id)
    if not isinstance(name, str):
        raise UnreadableError(f"organization {org_id}", "name", name)
    return Organization(org_id, name, is_deleted is True)


ORGANIZATIONS: Listing[Organization] = Listing(
    title="organizations",
    path="/orgs",
    version="2023-01-01",
    reader=ORG_MEMBER,
    parse=parse,
    query={},
)


def list_all(api: Client) -> list[Organization]:
    """Return every organization that the credential can see, except deleted ones.

    The API's own ``?name=`` is not used: it does not say which names it considers equal.
    """
    return [org for org in _resource.list_all(api, ORGANIZATIONS) if not org.is_deleted]


def select(orgs: list[Organization], *, name: str | None, org_id: str | None) -> list[Organization]:
    """Return the organizations with this name and this ID, sorted. None matches any."""
    found = [org for org in orgs if name in {None, org.name} and org_id in {None, org.id}]
    return sorted(found, key=lambda org: (org.name, org.id))
