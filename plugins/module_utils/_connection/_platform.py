# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between Atlas, Cloud Manager and Ops Manager."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Platform:
    """One of the products, as this collection sees it.

    ``env_key_pairs`` are the names of the environment variables (public, private) that the
    product's own tools read, the preferred pair first. ``media_type`` has {} for the version of
    the API that a call needs, if the product's API has versions. ``assign_method`` is the HTTP
    method that assigns a key to a project, and ``assignment_role`` the least role that may change
    and remove assignments.
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
    env_key_pairs: tuple[tuple[str, str], ...]
    env_service_account: tuple[str, str] | None
    env_access_token: str | None
    env_base_url: str
    env_org_id: str


# What each product takes as the role of a key in an organization (docs/apis.md: Keys).
_OPS_MANAGER_ROLES = ("ORG_OWNER", "ORG_MEMBER", "ORG_GROUP_CREATOR", "ORG_READ_ONLY")
_CLOUD_MANAGER_ROLES = (*_OPS_MANAGER_ROLES, "ORG_BILLING_ADMIN", "ORG_BILLING_READ_ONLY")
_ATLAS_ROLES = (*_CLOUD_MANAGER_ROLES, "ORG_STREAM_PROCESSING_ADMIN")

_PUBLIC_API_PATH = "/api/public/v1.0"
_MCLI_KEY_PAIRS = (("MCLI_PUBLIC_API_KEY", "MCLI_PRIVATE_API_KEY"),)

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
    env_key_pairs=(
        ("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PRIVATE_API_KEY"),
        ("MONGODB_ATLAS_PUBLIC_KEY", "MONGODB_ATLAS_PRIVATE_KEY"),
    ),
    env_service_account=("MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET"),
    env_access_token="MONGODB_ATLAS_ACCESS_TOKEN",  # noqa: S106  a variable's name
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
    env_key_pairs=_MCLI_KEY_PAIRS,
    env_service_account=None,
    env_access_token=None,
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
