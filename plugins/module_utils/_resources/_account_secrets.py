# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets of a service account: find a valid one, create one, delete one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import (
    Call,
    Client,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CONCURRENT,
    ApiError,
    CancelledError,
    KeysmithError,
    LimitError,
    OrphanError,
    OwnKeyError,
    UnexpectedResponseError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _account_files,
    _resource,
    _service_accounts,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._service_accounts import (
    SECRET_FIELDS,
    SERVICE_ACCOUNTS,
    Secret,
    ServiceAccount,
    clear_value,
    parse_secret,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import to_date

T = TypeVar("T")

MAX_SECRETS = 2
HOUR = 3600
# A new secret shortens the lifetime of all others to at most this.
SHORTENED = 7 * 24 * HOUR
# The visible end of a masked value.
_VISIBLE_END = re.compile(r"[*.]([A-Za-z0-9_-]{4,})")


def listed_secrets(account: ServiceAccount | None) -> tuple[Secret, ...]:
    """Return the secrets of an account, none if it is missing.

    Raises UnexpectedResponseError if the API did not list them. Then no secret is proved to be
    missing, so none may be created in its place.
    """
    if account and not account.shows_secrets:
        raise UnexpectedResponseError(
            f"The API returned service account {account} without a list of its secrets, so it is "
            "not known which ones exist",
            hint="Look at the account in the web interface.",
        )
    return account.secrets if account else ()


@dataclass(frozen=True)
class Owner:
    """The account of a task, as the task found it."""

    api: Client
    objects: _resource.Objects[ServiceAccount]
    account: ServiceAccount

    def call(self, operation: str, *parts: str) -> Call:
        role, account_id = _resource.ORG_OWNER, self.account.id
        return self.objects.call(operation, role, account_id, "secrets", *parts)

    def secrets(self) -> tuple[Secret, ...]:
        """Return the secrets that the account has now."""
        return listed_secrets(_resource.find_by_id(self.api, self.objects, self.account.id))


@dataclass(frozen=True)
class SecretPlan:
    """What a task does to have a valid secret.

    ``kept``: the valid secret, if none is created. ``deleted``: the secret that is deleted first.
    ``others``: the other secrets, as they are afterwards.
    """

    kept: Secret | None
    deleted: Secret | None = None
    others: tuple[Secret, ...] = ()


def plan(
    account: ServiceAccount, now: float, params: Mapping[str, Any], held_id: str | None
) -> SecretPlan:
    """Decide whether to create a secret, and what to delete first.

    ``now``: seconds since 1970. ``held_id``: the secret in the file of the task. If the task has a
    file, only that one can be the valid one. Raises UnexpectedResponseError if the API did not list
    the secrets, and LimitError if there is no room, and nothing may be deleted.
    """
    secrets, make_room = listed_secrets(account), params["make_room"]
    valid = [secret for secret in secrets if secret.expiry > _deadline(now, params)]
    if params["credentials_file"]:
        valid = [secret for secret in valid if secret.id == held_id]
    if valid and not params["force"]:
        kept = max(valid, key=lambda secret: secret.expiry)
        return SecretPlan(kept, others=tuple(other for other in secrets if other != kept))
    deleted = None
    if len(secrets) >= MAX_SECRETS:
        deleted = _replaceable(secrets, now, make_room)
        if deleted is None:
            raise _full(account, now, make_room, held_id)
    # Every other secret now expires within seven days.
    soon = now + SHORTENED
    others = tuple(
        replace(other, expires_at=to_date(min(other.expiry, soon)))
        for other in secrets
        if other != deleted
    )
    return SecretPlan(None, deleted, others)


def _deadline(now: float, params: Mapping[str, Any]) -> float:
    """Return until when a valid secret must not expire, in seconds since 1970."""
    return now + float(params["renew_before_hours"]) * HOUR


def _replaceable(secrets: Sequence[Secret], now: float, make_room: str) -> Secret | None:
    expired = [secret for secret in secrets if secret.expiry <= now]
    if make_room != "none" and expired:
        return min(expired, key=lambda secret: secret.expiry)
    if make_room == "oldest":
        return min(secrets, key=lambda secret: secret.created_at)
    return None


def shortening_warnings(before: Sequence[Secret], after: Sequence[Secret]) -> list[str]:
    """Return warnings about the secrets that now expire sooner than before."""
    expiries = {secret.id: secret for secret in before}
    return [
        f"Secret {secret.id} now expires at {secret.expires_at} instead of "
        f"{expiries[secret.id].expires_at}, because a new secret shortens the lifetime of "
        "the other one to seven days. This cannot be undone."
        for secret in after
        if secret.id in expiries and secret.expiry < expiries[secret.id].expiry
    ]


def is_other_value(secret: Secret, secrets: Sequence[Secret], value: str) -> bool:
    """Whether masked values prove that a value belongs to another secret of the account.

    The visible end of the other secret must match. It is not enough that the end of this one
    differs, because a mask may show characters that are not part of the value.
    """

    def end(of: Secret) -> str:
        match = _VISIBLE_END.search(of.masked)
        return match[1] if match and of.masked.endswith(match[1]) else ""

    own, ends = end(secret), filter(None, map(end, secrets))
    return bool(own) and not value.endswith(own) and any(map(value.endswith, ends))


def wall_clock() -> float:
    """Return this machine's time, in seconds since 1970. Tests replace it."""
    return time.time()


def time_of(api: Client) -> float:
    """Return the API's time, which determines what has expired. The local clock may be wrong."""
    return api.server_time or wall_clock()


def ensure(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    """Make sure that an account has a valid secret, and return the result of the task."""
    gone: list[Secret] = []
    try:
        result = _repeat(api, params["retries"], lambda: _ensure(params, api, gone, check_mode))
    except KeysmithError as error:
        if gone:
            left = "" if isinstance(error, LimitError) else error.state_after
            ids = ", ".join(secret.id for secret in gone)
            which = f"Secret {ids} was" if len(gone) == 1 else f"Secrets {ids} were"
            state = f"{which} deleted first to make room. {left}".strip()
            results = {**error.results, "changed": True}
            raise error.with_context(state_after=state, results=results) from None
        raise
    # Another run may have created the secret after this one made room.
    return {**result, "changed": result["changed"] or bool(gone)}


def _repeat(api: Client, retries: int, run: Callable[[], T]) -> T:
    """Run again from the beginning after each DATA_CONCURRENCY_ERROR, up to ``retries`` times.

    The other request may have done what this task wants.
    """
    backoff = _resource.Backoff(api, deadline=api.clock.now())
    attempts, waited = 1, 0.0
    while True:
        try:
            return run()
        except ApiError as error:
            if error.code != CONCURRENT or error.outcome_unknown or attempts > retries:
                raise error.with_context(
                    attempts=max(attempts, error.attempts), waited=waited + error.waited
                ) from None
        try:
            waited += backoff.pause_now()
        except CancelledError as error:
            state = "The API refused the request, so it changed nothing."
            raise error.with_context(state_after=state) from None
        attempts += 1


def _ensure(
    params: Mapping[str, Any], api: Client, gone: list[Secret], check_mode: bool
) -> dict[str, Any]:
    """Read the account and change what differs. ``gone``: receives the secret that made room."""
    org_id = params["org_id"]
    account = _service_accounts.get(api, params)
    owner, now = Owner(api, SERVICE_ACCOUNTS.of(org_id), account), time_of(api)
    file = _account_files.inspect(params)
    if file:
        _secret_file.check_free(file, (), org_id=org_id, client_id=account.id)
    held_id = _account_files.held_id(file, account, org_id)
    wanted = plan(account, now, params, held_id)
    if wanted.kept:
        warnings = []
        if file is None:
            warnings = [
                f"Service account {account} has a valid secret, {wanted.kept.id}, whose value "
                "cannot be read again. To create another one, set force to true."
            ]
        return _result(_shown(account, wanted.kept), wanted.others, warnings=warnings)
    if wanted.deleted:
        _check_not_signing(api, account, wanted.deleted, allowed=False)
    if file:
        _secret_file.check_writable(file.path, check_mode=check_mode)
    warnings = shortening_warnings(account.secrets, wanted.others)
    diff = _diff(account, wanted.others, params["secret_expires_after_hours"])
    if check_mode:
        return _result(_shown(account, None), wanted.others, diff, warnings)
    if wanted.deleted:
        delete(owner, wanted.deleted)
        gone.append(wanted.deleted)
    secret, value = _create(owner, params["secret_expires_after_hours"], wanted.others)
    if file:
        api.add_no_log(value)
        with _resource.undoing(api, partial(_undo, owner, secret, params["retries"], warnings)):
            content = _account_files.content(org_id, account, secret, value)
            _secret_file.write(file, content, f"service account {account}")
    others = _others(owner, secret, wanted.others)
    warnings = shortening_warnings(account.secrets, others)
    if secret.expiry <= _deadline(now, params):
        warnings.append(
            f"The API lets secret {secret.id} expire at {secret.expires_at}, which is within "
            "renew_before_hours: the next run creates another one. Lower renew_before_hours."
        )
    result = _result(_shown(account, secret), others, diff, warnings)
    return result if file else {**result, "client_secret": value}


def ensure_absent(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    """Make sure that a secret does not exist, and return the result of the task."""
    return _repeat(api, params["retries"], lambda: _ensure_absent(params, api, check_mode))


def _ensure_absent(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    account = _service_accounts.find(api, params)
    secrets = {secret.id: secret for secret in listed_secrets(account)}
    secret = secrets.pop(params["secret_id"], None)
    others = tuple(secrets.values())
    missing = _result(None, others)
    if account is None or secret is None:
        return missing
    _service_accounts.check_not_managed(api, params["org_id"], account)
    is_own = _check_not_signing(api, account, secret, allowed=params["allow_own_account"])
    result = _result(_shown(account, secret), others, _diff(account, others))
    if check_mode:
        return result
    with _resource.ending_credential(api, is_own=is_own):
        is_done = delete(Owner(api, SERVICE_ACCOUNTS.of(params["org_id"]), account), secret)
    # Otherwise, another run or user deleted it in the meantime.
    return result if is_done else missing


def _diff(
    account: ServiceAccount, others: Sequence[Secret], new_hours: int | None = None
) -> dict[str, Any]:
    """Return the secrets before and after. A new one has no ID yet in check mode."""
    before = {"secret_ids": [secret.id for secret in account.secrets]}
    after: dict[str, Any] = {"secret_ids": [secret.id for secret in others]}
    if new_hours is not None:
        after["secret_expires_after_hours"] = new_hours
    return {"before": before, "after": after}


def _shown(account: ServiceAccount, secret: Secret | None) -> dict[str, Any]:
    """Return a secret for the result. A new one has no fields yet in check mode."""
    fields = secret.result() if secret else dict.fromkeys(SECRET_FIELDS)
    return {"client_id": account.id, **fields}


def _result(
    shown: Mapping[str, Any] | None,
    others: Sequence[Secret],
    diff: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the result of a task. ``diff``: None if nothing is changed."""
    return {
        "changed": diff is not None,
        "service_account_secret": shown,
        "other_secrets": [other.result() for other in others],
        "diff": diff or {"before": {}, "after": {}},
        "warnings": [*warnings],
    }


def _full(account: ServiceAccount, now: float, make_room: str, held_id: str | None) -> LimitError:
    secrets = "; ".join(
        f"{secret.id}{' (in credentials_file)' if secret.id == held_id else ''} "
        f"{'expired' if secret.expiry <= now else 'expires'} at {secret.expires_at}, "
        f"last used {f'at {secret.last_used_at}' if secret.last_used_at else 'never'}"
        for secret in account.secrets
    )
    hint = "Delete one with state absent and secret_id, or set make_room to oldest."
    if make_room == "none":
        hint = "Delete one with state absent and secret_id, or change make_room."
    return LimitError(
        f"Service account {account} has {len(account.secrets)} secrets, and there is no room for "
        f"another one: {secrets}",
        hint=hint,
        parameters=[secret.id for secret in account.secrets],
        state_after="Nothing was changed.",
    )


def _check_not_signing(
    api: Client, account: ServiceAccount, secret: Secret, *, allowed: bool
) -> bool:
    """Return whether a secret could be the signing one. Raises OwnKeyError unless allowed.

    The API does not say which secret that is. A secret is ruled out if the masked values
    show that another one is in use. It is also ruled out if its last token has expired.
    """
    endpoint, identity = api.endpoint, SERVICE_ACCOUNTS.identity
    if not endpoint.is_account_unknown and not (identity and identity.is_own(api, account)):
        return False
    # A token is valid for an hour.
    if secret.expiry + HOUR < time_of(api):
        return False
    value = endpoint.client_secret
    if value is not None and is_other_value(secret, account.secrets, value):
        return False
    if not allowed:
        other = "Use another credential."
        if endpoint.is_account_unknown:
            other = "Set client_id to the account that the access token belongs to."
        raise OwnKeyError(
            f"Secret {secret.id} of service account {account} may be the one that this task "
            "authenticates with, and nothing was changed",
            hint=f"{other} With state absent, you can also set allow_own_account to true.",
            parameters=[secret.id],
        )
    return True


def delete(owner: Owner, secret: Secret) -> bool:
    """Delete a secret that this task has seen, and return whether this call did it."""

    def is_shown() -> bool:
        return secret.id in {found.id for found in owner.secrets()}

    def says_missing(error: KeysmithError) -> bool:
        return isinstance(error, ApiError) and error.status in {400, 404} and not is_shown()

    return _resource.delete_known(owner.api, lambda: _delete(owner, secret), says_missing, is_shown)


def _delete(owner: Owner, secret: Secret) -> None:
    owner.api.delete(owner.call(f"delete secret {secret.id} of {owner.account}", secret.id))


def _create(owner: Owner, hours: int, others: Sequence[Secret]) -> tuple[Secret, str]:
    """Create a secret, and return it and its value. Raises OrphanError after a lost response."""
    account, known_ids = owner.account, {secret.id for secret in owner.account.secrets}

    def parse(data: Any) -> tuple[Secret, str] | None:
        secret, value = parse_secret(data, f"service account {account.id}"), clear_value(data)
        return (secret, value) if value and secret.id not in known_ids else None

    call, body = owner.call(f"create a secret of {account}"), {"secretExpiresAfterHours": hours}
    try:
        return owner.api.post(call, body, parse)
    except KeysmithError as error:
        if not error.outcome_unknown:
            raise
        raise _lost(owner, others, error) from None


def _lost(owner: Owner, others: Sequence[Secret], cause: KeysmithError) -> OrphanError:
    """Return the error about a creation whose response was lost.

    Nothing is deleted: another run may have created the new secret and be about to use it.
    """
    error, known_ids = _resource.as_orphan(cause), {secret.id for secret in owner.account.secrets}

    def read() -> list[str]:
        return [secret.id for secret in owner.secrets() if secret.id not in known_ids]

    try:
        new_ids = _resource.poll_after(owner.api, read, bool)
    except KeysmithError as failure:
        return error.with_context(
            state_after=f"Whether a secret was created could not be checked: {failure.message()} "
            "Check the account's secrets before you run the task again."
        )
    state = (
        f"No new secret has appeared within {_resource.SETTLE_TIME:.0f} s. Check the account's "
        "secrets before you run the task again."
    )
    if new_ids:
        state = (
            f"New secrets of the account: {', '.join(new_ids)}. Unless another run created it, "
            "this task did, and its value is lost: delete it with state absent and secret_id, "
            "then run the task again."
        )
        if others:
            state += " The other secret expires within seven days."
    results = {"changed": True} if new_ids else {}
    return error.with_context(parameters=new_ids, results=results, state_after=state)


def _undo(
    owner: Owner, secret: Secret, retries: int, shortenings: Sequence[str], error: KeysmithError
) -> KeysmithError:
    """Delete a secret that this task has created, and return the error that says what is left.

    ``shortenings``: warnings about other secrets.
    """
    results = {"changed": True} if shortenings else {}
    state = f"The new secret {secret.id} was deleted to clean up."
    try:
        with owner.api.cancellation.completing():
            send = partial(_delete, owner, secret)
            delete_new = partial(
                _resource.delete_created, owner.api, SERVICE_ACCOUNTS, secret.id, send
            )
            _repeat(owner.api, retries, delete_new)
    except KeysmithError as undone:
        error = _resource.as_orphan(error).with_context(parameters=[secret.id])
        results = {"changed": True}
        state = (
            f"The new secret {secret.id} could not be deleted to clean up, and its value is lost. "
            f"Delete it with state absent and secret_id. {undone.message()}"
        )
    return error.with_context(results=results, state_after=" ".join([state, *shortenings]))


def _others(owner: Owner, created: Secret, expected: Sequence[Secret]) -> tuple[Secret, ...]:
    """Return the other secrets after the creation, or the expected ones if they cannot be read.

    Waits until the API shows the new secret, so that the next task finds it.
    """
    try:
        secrets = _resource.poll_after(
            owner.api, owner.secrets, lambda found: created.id in {secret.id for secret in found}
        )
    except KeysmithError:
        return tuple(expected)
    others = tuple(secret for secret in secrets if secret.id != created.id)
    return others if others != secrets else tuple(expected)
