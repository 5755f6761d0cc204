# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an emulator can be told to do otherwise; every field may be changed while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Settings:
    """All knobs. Times are in seconds."""

    # One round trip: each request waits one, each new connection two more.
    latency: float = 0.0
    # A change is seen by reads only after this time; writes know it at once.
    visibility_delay: float = 0.0
    # Envelope every answer, also where `envelope=true` was not asked for.
    envelope_always: bool = False

    # Digest: "MD5" or "SHA-256"; a nonce used up or too old is answered with stale=true, a count
    # used twice with stale=false.
    digest_algorithm: str = "MD5"
    nonce_uses: int | None = 1024
    nonce_lifetime: float | None = 60.0
    # A server in front has asked for the digest already, and names whom it let in in this header;
    # without the header it is asked for here.
    checked_user_header: str | None = None

    # OAuth; None lifts a limit.
    token_lifetime: float = 3600.0
    token_requests_per_minute: int | None = 50
    max_active_tokens: int | None = 100

    # The token buckets (see limits.py). Atlas always tells what is left; requests are refused only
    # when rate_limit is on. None leaves each bucket its own capacity and refill.
    rate_limit: bool = False
    rate_capacity: int | None = None
    rate_refill: int | None = None
    rate_period: float = 60.0

    # Creating more keys than this in one organization is refused; None lifts the limit.
    max_api_keys: int | None = 500
    # A key that is created or updated gets ORG_MEMBER too.
    adds_org_member: bool = False
    # What changing or removing an assignment that is not there meets; RESOURCE_NOT_FOUND (404)
    # names the key.
    unassigned_code: str = "API_KEY_NOT_FOUND"

    # Codes about access lists: ..._ACCESS_LIST_... or ..._WHITELIST_...
    code_spelling: str = "access_list"
    # Ops Manager before 5.0: access lists are found at /whitelist only.
    legacy_whitelist: bool = False

    # How far totalCount, an estimate, is off; the first pages get the first of several values.
    count_errors: tuple[int, ...] = (0,)
    # Fields of a key that are unset are null instead of missing.
    has_null_fields: bool = False
