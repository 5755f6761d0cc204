# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of an emulator, which may be changed while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Settings:
    """All settings. Times are in seconds."""

    # One round trip. Each request waits for one, and each new connection for two more.
    latency: float = 0.0
    # Reads show a change only after this time; writes see it immediately.
    visibility_delay: float = 0.0
    # Put every response in an envelope, even without `envelope=true`.
    envelope_always: bool = False

    # Digest: "MD5" or "SHA-256". A nonce used too often or too old gets stale=true, a repeated
    # count gets stale=false.
    digest_algorithm: str = "MD5"
    nonce_uses: int | None = 1024
    nonce_lifetime: float | None = 60.0
    # The header in which a server in front passes on the user that it has authenticated by Digest.
    # Without this header, the emulator authenticates the request itself.
    checked_user_header: str | None = None

    # OAuth; None means no limit.
    token_lifetime: float = 3600.0
    token_requests_per_minute: int | None = 50
    max_active_tokens: int | None = 100

    # The token buckets (see limits.py). Atlas always reports the remaining tokens; requests are
    # only rejected if rate_limit is on. None means the capacity and refill of each bucket.
    rate_limit: bool = False
    rate_capacity: int | None = None
    rate_refill: int | None = None
    rate_period: float = 60.0

    # The maximum number in an organization; None means no limit.
    max_api_keys: int | None = 500
    max_service_accounts: int | None = 500
    # A key that is created or updated also gets ORG_MEMBER.
    adds_org_member: bool = False
    # The error code if an assignment to change or remove does not exist. RESOURCE_NOT_FOUND (404)
    # has the ID of the key as parameter.
    unassigned_code: str = "API_KEY_NOT_FOUND"

    # The code of a missing service account: RESOURCE_NOT_FOUND, SERVICE_ACCOUNT_NOT_FOUND (404)
    # or SERVICE_ACCOUNT_NOT_FOUND_400 (the same with status 400).
    missing_account: str = "RESOURCE_NOT_FOUND"
    # What masked secrets show: their last characters ("end") or "nothing".
    masked_secret: str = "end"
    # The longest lifetime of a secret in an organization, in hours.
    max_secret_hours: int = 8760
    # Whether the API has the new field withoutInitialSecret.
    knows_without_initial_secret: bool = True

    # How codes about access lists are spelled: "access_list" or "whitelist".
    code_spelling: str = "access_list"
    # Ops Manager before 5.0 has access lists only at /whitelist.
    legacy_whitelist: bool = False

    # How far totalCount, an estimate, is off, page by page. The last value is for all other pages.
    count_errors: tuple[int, ...] = (0,)
    # Unset fields of a key are null instead of missing.
    has_null_fields: bool = False
