# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets of a service account: which one is valid, and which one a new one replaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._service_accounts import (
    Secret,
    to_date,
)

MAX_SECRETS = 2
HOUR = 3600
# A new secret shortens the lifetime of all others to this.
SHORTENED = 7 * 24 * HOUR


@dataclass(frozen=True)
class SecretPlan:
    """What a task does to have a valid secret.

    ``kept``: the secret that is valid, if none is created. ``deleted``: the secret that is deleted
    first. ``others``: the other secrets, as they are afterwards. ``is_full``: there is no room, and
    nothing may be deleted.
    """

    kept: Secret | None
    deleted: Secret | None = None
    others: tuple[Secret, ...] = ()
    is_full: bool = False


def plan(
    secrets: Sequence[Secret],
    now: float,
    *,
    held_id: str | None,
    is_filed: bool,
    renew_before: float = 0,
    force: bool = False,
    make_room: str = "expired",
) -> SecretPlan:
    """Decide whether to create a secret, and what to delete first.

    ``now``: seconds since 1970. ``is_filed``: whether a file keeps the secret; then only the secret
    ``held_id``, which is in the file, can be the valid one. ``renew_before``: seconds.
    """
    valid = [secret for secret in secrets if secret.expiry > now + renew_before]
    if is_filed:
        valid = [secret for secret in valid if secret.id == held_id]
    if valid and not force:
        kept = max(valid, key=lambda secret: secret.expiry)
        return SecretPlan(kept, others=tuple(other for other in secrets if other != kept))
    deleted = None
    if len(secrets) >= MAX_SECRETS:
        deleted = _replaceable(secrets, now, make_room)
        if deleted is None:
            return SecretPlan(None, others=tuple(secrets), is_full=True)
    others = tuple(shortened(other, now) for other in secrets if other != deleted)
    return SecretPlan(None, deleted, others)


def _replaceable(secrets: Sequence[Secret], now: float, make_room: str) -> Secret | None:
    expired = [secret for secret in secrets if secret.expiry <= now]
    if make_room != "none" and expired:
        return min(expired, key=lambda secret: secret.expiry)
    if make_room == "oldest":
        return min(secrets, key=lambda secret: secret.created_at)
    return None


def shortened(secret: Secret, now: float) -> Secret:
    """Return a secret as it is after another one was created."""
    return replace(secret, expires_at=to_date(min(secret.expiry, now + SHORTENED)))


def shortening_warnings(before: Sequence[Secret], after: Sequence[Secret]) -> list[str]:
    """Say which secrets now expire sooner than before."""
    expiries = {secret.id: secret for secret in before}
    return [
        f"Secret {secret.id} now expires at {secret.expires_at} instead of "
        f"{expiries[secret.id].expires_at}, because a second secret shortens the first to seven "
        "days. This cannot be undone."
        for secret in after
        if secret.id in expiries and secret.expiry < expiries[secret.id].expiry
    ]


def is_other_value(secret: Secret, value: str) -> bool:
    """Whether the visible end of a masked secret proves that its value is another one."""
    end = secret.masked.rpartition("*")[2].rpartition(".")[2]
    return bool(end) and secret.masked != end and not value.endswith(end)
