# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between Atlas, Cloud Manager and Ops Manager."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    AccessToken,
    Credentials,
    KeyPair,
    ServiceAccount,
)

# For each kind of credential, the names of its parts; the preferred names come first.
CredentialNames = tuple[tuple[type[Credentials], tuple[str, ...]], ...]
CREDENTIAL_OPTIONS: CredentialNames = (
    (KeyPair, ("api_public_key", "api_private_key")),
    (ServiceAccount, ("client_id", "client_secret")),
    (AccessToken, ("access_token",)),
)


@dataclass(frozen=True)
class Platform:
    """A product.

    ``env_credentials`` names the environment variables that the product's own tools read.
    ``media_type`` has a {} for the API version that a call needs, if the API has versions.
    ``assign_method`` is the HTTP method that assigns a key to a project, and ``assignment_role``
    the lowest role that may change and remove assignments.
    """

    name: str
    title: str
    api_path: str
    media_type: str
    default_base_url: str | None
    has_service_accounts: bool
    org_roles: tuple[str, ...]
    assign_method: str
    assignment_role: str
    env_credentials: CredentialNames
    env_base_url: str
    env_org_id: str


# The organization roles of each product (docs/apis.md: Keys).
_OPS_MANAGER_ROLES = ("ORG_OWNER", "ORG_MEMBER", "ORG_GROUP_CREATOR", "ORG_READ_ONLY")
_CLOUD_MANAGER_ROLES = (*_OPS_MANAGER_ROLES, "ORG_BILLING_ADMIN", "ORG_BILLING_READ_ONLY")
_ATLAS_ROLES = (*_CLOUD_MANAGER_ROLES, "ORG_STREAM_PROCESSING_ADMIN")

_PUBLIC_API_PATH = "/api/public/v1.0"
_MCLI_CREDENTIALS: CredentialNames = ((KeyPair, ("MCLI_PUBLIC_API_KEY", "MCLI_PRIVATE_API_KEY")),)

ATLAS = Platform(
    name="atlas",
    title="MongoDB Atlas",
    api_path="/api/atlas/v2",
    # Without a version, Atlas returns 406.
    media_type="application/vnd.atlas.{}+json",
    default_base_url="https://cloud.mongodb.com",
    has_service_accounts=True,
    org_roles=_ATLAS_ROLES,
    assign_method="POST",
    assignment_role="Project Access Manager",
    env_credentials=(
        (KeyPair, ("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PRIVATE_API_KEY")),
        (KeyPair, ("MONGODB_ATLAS_PUBLIC_KEY", "MONGODB_ATLAS_PRIVATE_KEY")),
        (ServiceAccount, ("MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET")),
        (AccessToken, ("MONGODB_ATLAS_ACCESS_TOKEN",)),
    ),
    env_base_url="MONGODB_ATLAS_BASE_URL",
    env_org_id="MONGODB_ATLAS_ORG_ID",
)

CLOUD_MANAGER = Platform(
    name="cloud_manager",
    title="MongoDB Cloud Manager",
    api_path=_PUBLIC_API_PATH,
    media_type="application/json",
    default_base_url="https://cloud.mongodb.com",
    has_service_accounts=True,
    org_roles=_CLOUD_MANAGER_ROLES,
    assign_method="PATCH",
    assignment_role="Project Owner",
    env_credentials=_MCLI_CREDENTIALS,
    env_base_url="MCLI_OPS_MANAGER_URL",
    env_org_id="MCLI_ORG_ID",
)

OPS_MANAGER = replace(
    CLOUD_MANAGER,
    name="ops_manager",
    title="MongoDB Ops Manager",
    default_base_url=None,
    has_service_accounts=False,
    org_roles=_OPS_MANAGER_ROLES,
)

PLATFORMS = {platform.name: platform for platform in (ATLAS, CLOUD_MANAGER, OPS_MANAGER)}
