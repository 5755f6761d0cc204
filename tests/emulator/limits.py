# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rate limits: token buckets by endpoint and scope, each refilled in one lump a period."""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import api
from .answers import ApiError, Response
from .settings import Settings


@dataclass(frozen=True)
class Limit:
    """Requests that one organization, project or caller may make, and how many are refilled."""

    name: str
    scope: str
    capacity: int
    refill: int


ROUNDING = 1e-6
_KEYS = Limit("keys", "org_id", 500, 250)
_PROJECT_KEYS = Limit("project keys", "group_id", 1200, 500)
LIMITS = {
    "root": Limit("root", "caller", 300, 100),
    "orgs": Limit("organizations", "caller", 300, 100),
    "org": Limit("organization", "org_id", 500, 250),
    **dict.fromkeys(("keys", "key", "access_list", "entry"), _KEYS),
    **dict.fromkeys(("project_keys", "project_key"), _PROJECT_KEYS),
}


class Bucket:
    """Between two lumps its tokens only fall. The first lump comes a period after its first use."""

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
        """Put in the lumps that are due; the seconds to the next where no token is left, else 0."""
        period = self._settings.rate_period
        # A client that waits as long as it was told gets the lump: sums of times are rounded.
        lumps = int((now - self._filled_at + ROUNDING) // period)
        self._filled_at += lumps * period
        self.tokens = min(self.capacity, self.tokens + lumps * self.refill)
        return 0 if self.tokens else max(1, math.ceil(self._filled_at + period - now))


class Limits:
    """All buckets; the emulator calls it under its lock."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buckets: dict[tuple[Limit, str], Bucket] = {}

    def answer(self, call: api.Call) -> Response:
        """Answer a call, or refuse it where its bucket is empty."""
        bucket = self._find(call)
        if bucket is None:
            return api.answer(call)
        wait = bucket.wait(call.now)
        is_refused = bool(wait) and self._settings.rate_limit
        answer = _refusal(call, bucket, wait) if is_refused else api.answer(call)
        if not _is_counted(answer):
            return answer
        bucket.tokens = max(0, bucket.tokens - 1)
        if call.is_atlas:
            answer.headers["Ratelimit-Limit"] = str(bucket.capacity)
            answer.headers["Ratelimit-Remaining"] = str(bucket.tokens)
        return answer

    def _find(self, call: api.Call) -> Bucket | None:
        endpoint, values = api.find_endpoint(call)
        limit = LIMITS.get(endpoint)
        if limit is None:
            return None
        scope = values.get(limit.scope, call.caller.holder.name)
        return self._buckets.setdefault((limit, scope), Bucket(limit, self._settings, call.now))


def _is_counted(answer: Response) -> bool:
    """Whether a request takes a token, and its answer tells how many are left."""
    if answer.status == 401:
        return False
    content = answer.content if isinstance(answer.content, dict) else {}
    return content.get("errorCode") != "GROUP_NOT_FOUND"


def _refusal(call: api.Call, bucket: Bucket, wait: int) -> Response:
    period = int(call.settings.rate_period)
    if call.is_atlas:
        failure = ApiError(
            "RATE_LIMITED_TOKEN_BUCKET", call.path, wait, bucket.capacity, bucket.refill, period
        )
    else:
        failure = ApiError("RATE_LIMITED", call.path, bucket.capacity, max(1, period // 60))
    failure.answer.headers["Retry-After"] = str(wait)
    return failure.answer
