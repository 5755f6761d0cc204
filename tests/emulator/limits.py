# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rate limits: token buckets by endpoint and scope, each refilled once per period."""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import api, dispatch, service_accounts
from .responses import ApiError, Response
from .settings import Settings


@dataclass(frozen=True)
class Limit:
    """The requests that an organization, project or caller may make, and the refill."""

    name: str
    scope: str
    capacity: int
    refill: int


ROUNDING = 1e-6
_KEYS = Limit("keys", "org_id", 500, 250)
_PROJECT_KEYS = Limit("project keys", "group_id", 1200, 500)
_ACCOUNTS = Limit("service accounts", "org_id", 500, 250)
_PROJECT_ACCOUNTS = Limit("project service accounts", "group_id", 1200, 500)
LIMITS = {
    "root": Limit("root", "caller", 300, 100),
    "orgs": Limit("organizations", "caller", 300, 100),
    "org": Limit("organization", "org_id", 500, 250),
    **dict.fromkeys(("keys", "key", "access_list", "entry"), _KEYS),
    **dict.fromkeys(("project_keys", "project_key"), _PROJECT_KEYS),
    **{
        rule.endpoint: _PROJECT_ACCOUNTS if "group_id" in rule.arguments else _ACCOUNTS
        for rule in service_accounts.ENDPOINTS
    },
}


class Bucket:
    """A bucket whose first refill comes one period after its first use."""

    def __init__(self, limit: Limit, settings: Settings, now: float) -> None:
        self._limit = limit
        self._settings = settings
        self._filled_at = now
        self.tokens = self.capacity

    @property
    def capacity(self) -> int:
        given = self._settings.rate_capacity
        return self._limit.capacity if given is None else given

    @property
    def refill(self) -> int:
        given = self._settings.rate_refill
        return self._limit.refill if given is None else given

    def wait(self, now: float) -> int:
        """Add due refills, and return the seconds to the next one, or 0 if tokens are left."""
        period = self._settings.rate_period
        # Rounding must not deny the refill to a client that waits exactly as long as advised.
        lumps = int((now - self._filled_at + ROUNDING) // period)
        self._filled_at += lumps * period
        self.tokens = min(self.capacity, self.tokens + lumps * self.refill)
        return 0 if self.tokens else max(1, math.ceil(self._filled_at + period - now))


class Limits:
    """All buckets. The emulator calls it while holding its lock."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buckets: dict[tuple[Limit, str], Bucket] = {}

    def response(self, call: api.Call) -> Response:
        """Respond to a call, or reject it if its bucket is empty."""
        bucket = self._find(call)
        if bucket is None:
            return dispatch.response(call)
        wait = bucket.wait(call.now)
        is_refused = bool(wait) and self._settings.rate_limit
        response = _refusal(call, bucket, wait) if is_refused else dispatch.response(call)
        if not _is_counted(response):
            return response
        bucket.tokens = max(0, bucket.tokens - 1)
        if call.is_atlas:
            response.headers["Ratelimit-Limit"] = str(bucket.capacity)
            response.headers["Ratelimit-Remaining"] = str(bucket.tokens)
        return response

    def _find(self, call: api.Call) -> Bucket | None:
        endpoint, values = dispatch.find_endpoint(call)
        limit = LIMITS.get(endpoint)
        if limit is None:
            return None
        scope = values.get(limit.scope, call.caller.holder.login)
        return self._buckets.setdefault((limit, scope), Bucket(limit, self._settings, call.now))


def _is_counted(response: Response) -> bool:
    """Return whether a request takes a token, and its response shows how many are left."""
    if response.status == 401:
        return False
    content = response.content if isinstance(response.content, dict) else {}
    return content.get("errorCode") != "GROUP_NOT_FOUND"


def _refusal(call: api.Call, bucket: Bucket, wait: int) -> Response:
    period = int(call.settings.rate_period)
    if call.is_atlas:
        failure = ApiError(
            "RATE_LIMITED_TOKEN_BUCKET", call.path, wait, bucket.capacity, bucket.refill, period
        )
    else:
        failure = ApiError("RATE_LIMITED", call.path, bucket.capacity, max(1, period // 60))
    failure.response.headers["Retry-After"] = str(wait)
    return failure.response
