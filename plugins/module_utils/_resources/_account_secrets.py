# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets of a service account: which one is valid, create one, delete one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import (
    Call,
    Client,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    KeysmithError,
    LimitError,
    OrphanError,
    OwnKeyError,
    internal_error,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _account_files,
    _resource,
    _service_accounts,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._service_accounts import (
    SERVICE_ACCOUNTS,
    Secret,
    ServiceAccount,
    clear_value,
    parse_secret,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._secret_file import SecretFile
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import to_date

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


def wall_clock() -> float:
    """Return the time, in seconds since 1970. Tests replace it."""
    return time.time()


def ensure(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    """Make sure that an account has a valid secret, and return the result of the task."""
    account = _service_accounts.find(api, params)
    if account is None:
        raise _service_accounts.not_found(params, "Create it with service_account first.")
    _service_accounts.check_not_managed(account)
    file = None
    if params["credentials_file"]:
        file = _account_files.inspect(params["credentials_file"])
        _secret_file.check_free(file, (), org_id=params["org_id"], client_id=account.id)
    now = wall_clock()
    wanted = plan(
        account.secrets,
        now,
        held_id=_account_files.held_id(file, account, params["org_id"]) if file else None,
        is_filed=file is not None,
        renew_before=params["renew_before_hours"] * HOUR,
        force=params["force"],
        make_room=params["make_room"],
    )
    if wanted.kept:
        warnings = []
        if file is None:
            warnings = [
                f"Service account {account} has a valid secret, {wanted.kept.id}, whose value "
                "cannot be read again. To create another one, set force to true."
            ]
        return _result(account, wanted.kept, wanted.others, changed=False, warnings=warnings)
    if wanted.is_full:
        raise _full(account, params["make_room"])
    if wanted.deleted:
        _check_not_signing(api, account, wanted.deleted, allowed=False)
    if file:
        _secret_file.check_writable(file.path, check_mode=check_mode)
    warnings = shortening_warnings(account.secrets, wanted.others)
    if check_mode:
        return _result(account, None, wanted.others, changed=True, warnings=warnings)
    if wanted.deleted:
        delete(api, params["org_id"], account, wanted.deleted)
    secret, value = _create(api, params, account)
    if file:
        _keep(api, params["org_id"], account, (secret, value), file, wanted.others)
    others = _others(api, params["org_id"], account, secret, wanted.others)
    warnings = shortening_warnings(account.secrets, others)
    result = _result(account, secret, others, changed=True, warnings=warnings)
    return result if file else {**result, "client_secret": value}


def ensure_absent(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    """Make sure that a secret does not exist, and return the result of the task."""
    account = _service_accounts.find(api, params)
    secrets = {secret.id: secret for secret in account.secrets} if account else {}
    secret = secrets.pop(params["secret_id"], None)
    if account is None or secret is None:
        return _result(account, None, tuple(secrets.values()), changed=False)
    _service_accounts.check_not_managed(account)
    is_own = _check_not_signing(api, account, secret, allowed=params["allow_own_account"])
    result = _result(account, secret, tuple(secrets.values()), changed=True)
    if not check_mode:
        if is_own:
            api.expect_revocation()
        result["changed"] = delete(api, params["org_id"], account, secret)
        if is_own:
            api.forget_credential()
    return result


def _result(
    account: ServiceAccount | None,
    secret: Secret | None,
    others: Sequence[Secret],
    *,
    changed: bool,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    shown = None
    if account and (secret or changed):
        empty = dict.fromkeys(("id", "created_at", "expires_at", "last_used_at"))
        shown = {"client_id": account.id, **(secret.result() if secret else empty)}
    return {
        "changed": changed,
        "service_account_secret": shown,
        "other_secrets": [other.result() for other in others],
        "warnings": [*warnings],
    }


def _full(account: ServiceAccount, make_room: str) -> LimitError:
    secrets = "; ".join(
        f"{secret.id} expires at {secret.expires_at}, last used "
        f"{f'at {secret.last_used_at}' if secret.last_used_at else 'never'}"
        for secret in account.secrets
    )
    hint = "Delete one with state absent and secret_id, or set make_room to oldest."
    if make_room == "none":
        hint = "Delete one with state absent and secret_id, or change make_room."
    return LimitError(
        f"Service account {account} has {len(account.secrets)} secrets, and there is no room for "
        f"another one: {secrets}. Nothing was changed",
        hint=hint,
        parameters=[secret.id for secret in account.secrets],
    )


def _check_not_signing(
    api: Client, account: ServiceAccount, secret: Secret, *, allowed: bool
) -> bool:
    """Return whether a secret may be the one that signs. Raises OwnKeyError unless allowed.

    The API does not say which one it is. Only the visible end of a masked value can prove that it
    is another one.
    """
    endpoint = api.endpoint
    if not endpoint.is_account_unknown and endpoint.client_id != account.id:
        return False
    value = endpoint.client_secret
    if value is not None and is_other_value(secret, value):
        return False
    if not allowed:
        raise OwnKeyError(
            f"Secret {secret.id} of service account {account} may be the one that this task "
            "authenticates with, and nothing was changed",
            hint="Use another credential, or set client_id next to an access token of another "
            "account. With state absent, you can also set allow_own_account to true.",
            parameters=[secret.id],
        )
    return True


def _call(org_id: str, account: ServiceAccount, operation: str, *parts: str) -> Call:
    objects = SERVICE_ACCOUNTS.of(org_id)
    return objects.call(operation, _resource.ORG_OWNER, account.id, "secrets", *parts)


def _find(api: Client, org_id: str, account: ServiceAccount) -> tuple[Secret, ...]:
    found = _resource.find_by_id(api, SERVICE_ACCOUNTS.of(org_id), account.id)
    return found.secrets if found else ()


def delete(api: Client, org_id: str, account: ServiceAccount, secret: Secret) -> bool:
    """Delete a secret that this task has seen, and return whether this call did it."""
    call = _call(org_id, account, f"delete secret {secret.id} of {account}", secret.id)
    return _resource.delete_known(
        api,
        lambda: api.delete(call),
        lambda error: (
            isinstance(error, ApiError)
            and error.status == 404
            and secret.id not in {found.id for found in _find(api, org_id, account)}
        ),
        lambda: secret.id in {found.id for found in _find(api, org_id, account)},
    )


def _create(api: Client, params: Mapping[str, Any], account: ServiceAccount) -> tuple[Secret, str]:
    """Create a secret, and return it and its value. Raises OrphanError after a lost response.

    A concurrent creation is refused with DATA_CONCURRENCY_ERROR, and nothing was done.
    """
    known_ids = {secret.id for secret in account.secrets}
    call = _call(params["org_id"], account, f"create a secret of {account}")
    body = {"secretExpiresAfterHours": params["secret_expires_after_hours"]}

    def parse(data: Any) -> tuple[Secret, str] | None:
        value = clear_value(data) if isinstance(data, dict) else None
        secret = parse_secret(data, f"service account {account.id}")
        return (secret, value) if value and secret.id not in known_ids else None

    backoff = _resource.Backoff(api, deadline=api.clock.now())
    attempts, waited = 1, 0.0
    while True:
        try:
            return api.post(call, body, parse)
        except KeysmithError as error:
            if error.outcome_unknown:
                raise _lost(api, params["org_id"], account, known_ids, error) from None
            if error.code != "DATA_CONCURRENCY_ERROR" or attempts > params["retries"]:
                error.attempts, error.waited = max(attempts, error.attempts), waited
                raise
        waited += backoff.pause_now()
        attempts += 1


def _lost(
    api: Client, org_id: str, account: ServiceAccount, known_ids: set[str], cause: KeysmithError
) -> OrphanError:
    """Return the error of a creation whose response was lost. Nothing is deleted: another run may
    have created the new secret and be about to use it."""
    error = _resource.as_orphan(cause)
    try:
        with api.cancellation.completing():
            now = _resource.poll(
                api,
                lambda: [s for s in _find(api, org_id, account) if s.id not in known_ids],
                bool,
            )
    except KeysmithError as failure:
        error.state_after = (
            f"Whether a secret was created could not be checked: {failure.message()} Look at the "
            "secrets of the account before you run the task again."
        )
        return error
    error.parameters = [secret.id for secret in now]
    error.results = {"changed": True} if now else {}
    error.state_after = "No new secret has appeared. Run the task again."
    if now:
        error.state_after = (
            f"New secrets of the account: {', '.join(error.parameters)}. Unless another run created "
            "it, this task did, and its value is lost: delete it with state absent and secret_id, "
            "then run the task again. The other secret now expires within seven days."
        )
    return error


def _keep(
    api: Client,
    org_id: str,
    account: ServiceAccount,
    created: tuple[Secret, str],
    file: SecretFile,
    others: Sequence[Secret],
) -> None:
    """Write a new secret to a file, or delete it."""
    secret, value = created
    api.add_no_log(value)
    try:
        with api.cancellation.completing():
            content = _account_files.content(org_id, account, secret, value)
            _secret_file.write(file, content, f"secret {secret.id} of {account}")
    except Exception as failure:
        # Any exception: a secret whose value is lost must not be left without being reported.
        error = failure if isinstance(failure, KeysmithError) else internal_error(failure)
        shortened_ids = ", ".join(f"{other.id} at {other.expires_at}" for other in others)
        rest = f" The other secret still expires sooner: {shortened_ids}." if others else ""
        try:
            with api.cancellation.completing():
                delete(api, org_id, account, secret)
        except KeysmithError as undone:
            error = error if error.type == "orphan" else _resource.as_orphan(error)
            error.parameters, error.results = [secret.id], {"changed": True}
            error.state_after = (
                f"The new secret {secret.id} could not be deleted to clean up, and its value is "
                f"lost. Delete it with state absent and secret_id. {undone.message()}{rest}"
            )
        else:
            error.state_after = f"The new secret {secret.id} was deleted to clean up.{rest}"
        raise error from None


def _others(
    api: Client,
    org_id: str,
    account: ServiceAccount,
    created: Secret,
    expected: Sequence[Secret],
) -> tuple[Secret, ...]:
    """Return the other secrets as they are after the creation, as expected if that is unknown."""
    try:
        with api.cancellation.completing():
            secrets = _find(api, org_id, account)
    except KeysmithError:
        return tuple(expected)
    if created.id not in {secret.id for secret in secrets}:
        return tuple(expected)
    return tuple(secret for secret in secrets if secret.id != created.id)
