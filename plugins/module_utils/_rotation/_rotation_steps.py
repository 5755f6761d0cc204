# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a phase of a rotation: read its state, plan the steps and take them.

The process can be killed after each request, so each step leaves a state that ``_rotation``
recognizes.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _errors,
    _secret_file,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._auth import DigestAuth
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import Http
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection import _resolve
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    AccessToken,
    Credentials,
    KeyPair,
    ServiceAccount,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._resolve import (
    Connection,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    IP_NOT_LISTED,
    LIST_REQUIRED,
    UNSPECIFIC_401,
    ApiError,
    GuardError,
    KeysmithError,
    OptionError,
    OrphanError,
    OwnKeyError,
    WaitTimeoutError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _assignments,
    _key_files,
    _org_api_keys,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._key_access_lists import (
    API_KEY_LISTS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._project_api_keys import (
    PROJECT_API_KEYS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    Objects,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._writes import Created
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import (
    _marks,
    _rotation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation._marks import Mark
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation._rotation import (
    Pair,
    Plan,
    State,
    Target,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import to_date

MIN_MARK_KEY = 16
# The API returns these codes only after it has accepted the signature of a request.
_ROLE_REFUSALS = frozenset(
    {
        "ACCESS_FORBIDDEN",
        "NOT_API_KEY_ADMIN",
        "NOT_ORG_ADMIN",
        "NOT_ORG_OWNER",
        "NOT_ORG_USER_ADMIN",
        "USER_UNAUTHORIZED",
    }
)
_REVOCATIONS = {_rotation.REVOKE_LEFTOVER, _rotation.REVOKE_OLD, _rotation.REVOKE_REPLACEMENT}
_OLD_WORKS = "The old key was not changed."


def wall_clock() -> int:
    """Return the seconds since 1970, since other machines read the marks."""
    return int(time.time())


@dataclass
class _Task:
    """A task, and its result so far."""

    params: Mapping[str, Any]
    api: Client
    connection: Connection
    environ: Mapping[str, str]
    check_mode: bool
    pair: Pair | None = None
    # The key of new marks.
    mark_key: bytes = field(default=b"", repr=False)
    is_changed: bool = False
    verification: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def org_id(self) -> str:
        return str(self.params["org_id"])

    @property
    def keys(self) -> Objects[OrgApiKey]:
        return API_KEYS.of(self.org_id)


def run(
    params: Mapping[str, Any],
    api: Client,
    connection: Connection,
    environ: Mapping[str, str],
    check_mode: bool,
) -> dict[str, Any]:
    """Run the phase of a task and return its result."""
    for name in ("mark_key", "new_private_key"):
        if params[name]:
            api.add_no_log(params[name])
    phases = {"begin": _begin, "finish": _finish, "roll_back": _roll_back}
    task = _Task(params, api, connection, environ, check_mode)
    try:
        return phases[params["phase"]](task)
    except KeysmithError as error:
        if task.is_changed:
            results = {**error.results, "changed": True}
            raise error.with_context(results=results) from None
        raise


@dataclass(frozen=True)
class _Secret:
    """The secret that marks are made with. ``public_key``: of a private key."""

    text: str = field(repr=False)
    public_key: str | None = None

    def may_be_of(self, state: State) -> bool:
        """Return whether it may be the private key of the old key."""
        if state.old:
            return state.old.public_key in {self.public_key, None}
        # The old key does not exist, so an existing key is another one.
        return self.public_key not in {key.public_key for key in state.keys}


def _secret(task: _Task) -> _Secret:
    """Return ``mark_key``, or the secret of the credential that it defaults to. Raises OptionError.

    An access token changes, so the task or the environment must have a lasting secret too.
    """
    params, environ, connection = task.params, task.environ, task.connection
    if params["mark_key"]:
        return _Secret(params["mark_key"])
    credentials: Credentials = connection.credentials
    if isinstance(credentials, AccessToken) and credentials.owner:
        credentials = credentials.owner
    elif isinstance(credentials, AccessToken):
        with suppress(OptionError):
            credentials = _resolve.resolve(params, environ, ignores_token=True).credentials
    if isinstance(credentials, ServiceAccount):
        return _Secret(credentials.client_secret)
    if isinstance(credentials, KeyPair):
        return _Secret(credentials.private_key, credentials.public_key)
    raise OptionError(
        "The task authenticates with an access token, so the rotation has no secret for its marks",
        hint="Set mark_key, or client_id and client_secret. Or set the environment variables of a "
        "key pair or of a service account on the host where the module runs.",
    )


def _survey(task: _Task) -> State:
    """Return the state of the rotation, and set the key of new marks."""
    params = task.params
    target = Target(
        params["api_user_id"], params["public_key"], params["description"], params["look_alikes"]
    )
    secret = _secret(task)
    key = task.mark_key = _marks.key_of(secret.text)
    keys = _resource.list_all(task.api, task.keys)
    now = wall_clock()
    state = _rotation.survey(keys, task.org_id, target, (key,), now)
    if not task.pair or secret.public_key is None:
        return state
    # If the old key's own secret makes the marks, the new key pair must be able to verify and
    # make them too. In other rotations it must not, because an application has that key pair.
    new_key = _marks.key_of(task.pair.private_key)
    both = _rotation.survey(keys, task.org_id, target, (key, new_key), now)
    if not secret.may_be_of(both):
        return state
    task.mark_key = new_key
    return both


def _read_entries(task: _Task, state: State) -> tuple[State, str]:
    """Add the old key's access list; also return the path segment of access lists."""
    if state.old is None:
        return state, API_KEY_LISTS.name
    found = _access_lists.read(task.api, API_KEY_LISTS, task.org_id, state.old)
    return replace(state, entries=found.now), found.name


def _read_new_entries(task: _Task, state: State, new: OrgApiKey) -> _access_lists.Networks:
    """Return the replacement's access list. The API may show the new entries late."""
    limits = state.entries or frozenset()
    return _resource.poll(
        task.api,
        lambda: _access_lists.read(task.api, API_KEY_LISTS, task.org_id, new).now,
        lambda now: _access_lists.beyond(now, limits) is None,
    )


def _result(task: _Task, state: State, plan: Plan, **more: Any) -> dict[str, Any]:
    return {
        "changed": task.is_changed,
        "state": plan.state,
        "old_api_user_id": state.old_id,
        "old_until": None if plan.deadline is None else to_date(plan.deadline),
        "org_api_key": plan.new.result() if plan.new else None,
        "actions": plan.actions(),
        "left": [
            {
                **_org_api_keys.identity(key),
                "description": key.description,
                "reason": reason,
            }
            for key, reason in plan.left
        ],
        "verification": task.verification,
        "diff": _diff(state, plan),
        "warnings": [*plan.warnings(), *task.warnings],
        **more,
    }


def _diff(state: State, plan: Plan) -> dict[str, Any]:
    """Return the keys that the plan creates, changes or revokes, before and after it."""
    before: list[dict[str, Any]] = []
    after: list[dict[str, Any]] = []
    written: OrgApiKey | None = None
    for action, key in plan.steps:
        if action in _REVOCATIONS:
            before.append(key.writable())
        elif action in {_rotation.RECORD_VERIFICATION, _rotation.RENAME}:
            written = key
    created = plan.new or state.old
    if plan.includes(_rotation.CREATE_REPLACEMENT) and created:
        after.append(created.writable())
    if written and plan.new:
        before.append(written.writable())
        after.append({**written.writable(), "description": plan.new.description})
    return {"before": {"api_keys": before}, "after": {"api_keys": after}}


def _begin(task: _Task) -> dict[str, Any]:
    params = task.params
    file = None
    if params["credentials_file"]:
        file = _key_files.inspect(params["credentials_file"])
    state = _survey(task)
    if state.old:
        _check_own(task, state.old)
    list_name = API_KEY_LISTS.name
    if not state.of_phase(_marks.VERIFIED):
        state, list_name = _read_entries(task, state)
    plan = _rotation.plan_begin(state, ignore_marks=params["ignore_marks"])
    if not plan.steps or state.old is None:
        return _result(task, state, plan)
    if file:
        existing_ids = {key.id for key in state.keys}
        _secret_file.check_free(
            file, existing_ids, org_id=task.org_id, description=state.old.description
        )
        _secret_file.check_writable(file.path, check_mode=task.check_mode)
    if task.check_mode:
        task.is_changed = True
        planned = {**state.old.result(), **_org_api_keys.identity(None)}
        return {**_result(task, state, plan), "org_api_key": planned}
    _org_api_keys.warn_of_new_private_key(task.api)
    for action, key in plan.steps:
        if action == _rotation.REVOKE_LEFTOVER:
            _revoke_leftover(task, key)
    creation = _Creation(task, state, state.old, list_name)
    created = creation.run(file)
    task.is_changed = True
    more = {} if file else {"key_pair": creation.key_pair(created)}
    return _result(task, state, replace(plan, new=created.found), **more)


def _check_own(task: _Task, old: OrgApiKey) -> bool:
    """Return whether the old key is the signing credential. Raises OwnKeyError unless allowed."""
    is_own = _resource.check_not_own(task.api, API_KEYS, old, task.params, loss="rotating it")
    if old.public_key is None and _secret(task).public_key is not None:
        raise OptionError(
            f"The API does not return the public key of API key {old.id}, so the rotation's marks "
            "may depend on its private key",
            hint="Nothing was changed. Set mark_key.",
        )
    return is_own


def _revoke_leftover(task: _Task, key: OrgApiKey) -> None:
    """Revoke a replacement that was never handed over, unless another run is changing it."""
    now = _resource.find_by_id(task.api, task.keys, key.id)
    if now is None:
        return
    if now != key:
        raise GuardError(
            f"API key {now} was to be rolled back, but it was just changed: another run may be "
            "rotating the same key",
            hint=f"{_OLD_WORKS} Make sure that no other run is active, and run the task again.",
            parameters=[now.id],
        )
    _revoke(task, key)


def _revoke(task: _Task, key: OrgApiKey, api: Client | None = None) -> None:
    """Revoke a key and wait until the API confirms that it is gone."""
    api = api or task.api
    if _resource.delete(api, task.keys, key):
        task.is_changed = True
    _resource.await_absence(api, task.keys, key, task.params["wait_timeout"])


@dataclass
class _Creation:
    """The creation of a replacement. Its key pair is not handed over before ``run`` returns."""

    task: _Task
    state: State
    old: OrgApiKey
    list_name: str

    @property
    def entries(self) -> _access_lists.Networks:
        return self.state.entries or frozenset()

    def run(self, file: _secret_file.SecretFile | None) -> Created[OrgApiKey]:
        created = self._create()
        if file:
            self.task.api.add_no_log(created.secret)
        key = created.found
        try:
            created = replace(created, found=self._complete(created))
            if file:
                self._store(created, file)
        except Exception as error:
            # The key pair was not handed over, not even after a bug in this collection.
            self.task.api.add_no_log(created.secret)
            failure = error if isinstance(error, KeysmithError) else _errors.internal_error(error)
            raise _undo(self.task, key, failure) from None
        return created

    def key_pair(self, created: Created[OrgApiKey]) -> dict[str, str]:
        """Return the new key pair as results and files contain it, without the mark."""
        key = replace(created.found, description=self.old.description)
        return _key_files.content(self.task.org_id, replace(created, found=key))

    def _create(self) -> Created[OrgApiKey]:
        task, old = self.task, self.old
        moment = wall_clock() - _rotation.CLOCK_TOLERANCE
        nonce = secrets.token_bytes(_marks.TAG_SIZE)
        mark = Mark(_marks.CREATING, task.org_id, old.id, None, moment, nonce, old.description)
        known_ids = {key.id for key in self.state.keys}
        description = _marks.describe(mark, self.task.mark_key)
        try:
            return _org_api_keys.create(
                task.api, task.org_id, description, [_rotation.MEMBER], known_ids
            )
        except OrphanError as error:
            raise self._undo_orphan(description, error) from None

    def _undo_orphan(self, description: str, error: OrphanError) -> KeysmithError:
        """Revoke the key of a POST whose response was lost, if the mark identifies it.

        Returns the error with what exists now.
        """
        if len(error.parameters) != 1:
            return error
        try:
            with self.task.api.cancellation.completing():
                key = _resource.find_by_id(self.task.api, self.task.keys, error.parameters[0])
        except KeysmithError:
            return error
        if key and key.description == description and not _rotation.rights(key):
            return _undo(self.task, key, error)
        return error

    def _complete(self, created: Created[OrgApiKey]) -> OrgApiKey:
        """Give a new key its access list, verify its key pair, and then give it its rights."""
        task, api, old = self.task, self.task.api, self.old
        key = self._describe(created.found, _marks.CREATED)
        if self.entries:
            new_list = _access_lists.of_new(API_KEY_LISTS, task.org_id, key, self.list_name)
            _access_lists.change(api, new_list, _access_lists.Goal(self.entries, purge=True))
        pair = KeyPair(str(key.public_key), created.secret)
        task.verification = _verify(task, key, pair, self.entries)
        for project_id, roles in old.projects:
            _assignments.assign_all(api, PROJECT_API_KEYS.of(project_id, key), roles)
        self._check_unchanged()
        # The mark and the last roles are written in one request: see _rotation.
        wanted = set(old.roles)
        changes = {"roles": sorted(wanted)} if wanted and wanted != set(key.roles) else {}
        key = self._describe(key, _marks.ISSUED, **changes)
        return self._await_shown(key)

    def _describe(self, key: OrgApiKey, phase: str, **changes: Any) -> OrgApiKey:
        moment, base = wall_clock(), self.old.description
        return _write_mark(self.task, self.state, key, phase, moment=moment, base=base, **changes)

    def _check_unchanged(self) -> None:
        """Refuse to copy rights that the old key no longer has."""
        now = _resource.find_by_id(self.task.api, self.task.keys, self.old.id)
        if (
            now is None
            or now.description != self.old.description
            or _rotation.rights(now) != _rotation.rights(self.old)
        ):
            raise GuardError(
                f"The old API key {self.old} was {'changed' if now else 'revoked'} while its "
                "replacement was being created",
                hint="To rotate the key as it is now, run the task again.",
                parameters=[self.old.id],
            )

    def _await_shown(self, key: OrgApiKey) -> OrgApiKey:
        """Return the key when the list of keys shows it with all its rights."""
        api = self.task.api
        wanted = _rotation.rights(self.old)
        backoff = _resource.Backoff(api, deadline=api.clock.now() + _resource.SETTLE_TIME)
        while True:
            listed = {k.id: k for k in _resource.list_all(api, self.task.keys)}
            found = listed.get(key.id)
            more = _rotation.rights(found) - wanted if found else None
            if found and more:
                in_order = (f"{role} {project}".strip() for project, role in sorted(more))
                raise GuardError(
                    f"The new API key {key} has rights that the old key {self.old} does not have: "
                    f"{', '.join(in_order)}",
                    hint="Find out who added them.",
                    parameters=[key.id],
                )
            if found and found.description == key.description and _rotation.rights(found) == wanted:
                return found
            if backoff.is_over:
                if found is None and not _resource.find_by_id(api, self.task.keys, key.id):
                    raise GuardError(
                        f"The new API key {key} was revoked while it was being created",
                        hint="Make sure that no other run rotates the same key, and run the task "
                        "again.",
                        parameters=[key.id],
                    )
                self.task.warnings.append(
                    f"The API does not list API key {key} with all its rights yet. Wait before you "
                    "run phase finish."
                )
                return replace(key, projects=self.old.projects)
            backoff.wait()

    def _store(self, created: Created[OrgApiKey], file: _secret_file.SecretFile) -> None:
        _secret_file.write(file, self.key_pair(created), f"the new API key {created.found}")


def _write_mark(
    task: _Task,
    state: State,
    key: OrgApiKey,
    phase: str,
    *,
    moment: int,
    base: str,
    **changes: Any,
) -> OrgApiKey:
    """Write a mark to the description of a replacement, together with other changes."""
    old = cast("OrgApiKey", state.old)
    tag = _rotation.tag(task.mark_key, old, state.entries or frozenset())
    mark = Mark(phase, task.org_id, old.id, key.id, moment, tag, base)
    description = _marks.describe(mark, task.mark_key)
    return _org_api_keys.update(task.api, task.org_id, key, {"description": description, **changes})


def _undo(task: _Task, key: OrgApiKey, error: KeysmithError) -> KeysmithError:
    """Revoke a replacement that was not handed over. Return the error with what exists now."""
    was_changed = task.is_changed
    try:
        with task.api.cancellation.completing():
            _revoke(task, key)
    except KeysmithError as failure:
        return error.with_context(
            parameters=[*error.parameters, *({key.id} - {*error.parameters})],
            results={"changed": True, "org_api_key": key.result()},
            state_after=f"Could not confirm that the new API key {key} was revoked: "
            f"{failure.message()} {_OLD_WORKS} Run the task again; it recognizes the new key.",
        )
    task.is_changed = was_changed
    state = f"The new API key {key} was revoked to clean up. {_OLD_WORKS}"
    return error.with_context(results={}, state_after=state)


def _finish(task: _Task) -> dict[str, Any]:
    params = task.params
    task.pair = _pair(task)
    state = _survey(task)
    found = _rotation.choose(state, params["successor_id"], task.pair)
    pair = _key_pair(found.key, task.pair) if found else None
    is_own = bool(found and state.old and _check_own(task, state.old))
    plan = _rotation.plan_finish(
        state, found, has_pair=pair is not None, grace_period=params["grace_period"]
    )
    if found is None:
        return _result(task, state, plan)
    if plan.includes(_rotation.RECORD_VERIFICATION, _rotation.REVOKE_OLD):
        state, _name = _read_entries(task, state)
        new_entries = None
        if found.phase != _marks.VERIFIED:
            new_entries = _read_new_entries(task, state, found.key)
        _rotation.check_same(state, found, new_entries)
    if is_own and not pair and plan.includes(_rotation.REVOKE_OLD):
        raise OwnKeyError(
            f"The task authenticates with the old API key {state.old}, so it cannot revoke the key "
            f"and then rename the replacement {found.key}",
            hint="Nothing was changed. Use the new key pair for the task, or set new_private_key "
            "or credentials_file.",
        )
    new = _take_steps(task, state, plan, pair, is_own=is_own)
    return _result(task, state, replace(plan, new=new))


def _take_steps(
    task: _Task, state: State, plan: Plan, pair: KeyPair | None, *, is_own: bool
) -> OrgApiKey:
    """Take the steps of phase finish, and return the replacement.

    The old key is revoked before its replacement is renamed. Otherwise, no mark would show that it
    is still to be revoked.
    """
    new = cast("OrgApiKey", plan.new)
    if pair:
        task.verification = _verify(task, new, pair, None)
    if task.check_mode:
        task.is_changed = any(action != _rotation.VERIFY_PAIR for action, _key in plan.steps)
        return replace(new, description=plan.base) if plan.includes(_rotation.RENAME) else new
    signer: AbstractContextManager[Client] = nullcontext(task.api)
    if pair and is_own:
        signer = closing(client_of(task.api, task.connection, pair))
    with signer as api:
        for action, key in plan.steps:
            try:
                if action == _rotation.RECORD_VERIFICATION:
                    moment, base = plan.deadline or 0, plan.base
                    new = _write_mark(task, state, new, _marks.VERIFIED, moment=moment, base=base)
                    task.is_changed = True
                elif action == _rotation.REVOKE_OLD:
                    _revoke(task, key, api)
                elif action == _rotation.RENAME:
                    new = _org_api_keys.update(api, task.org_id, new, {"description": plan.base})
                    task.is_changed = True
            except KeysmithError as error:
                if not task.is_changed:
                    raise
                after = (
                    f"{error.state_after} The replacement {new} is verified; run phase finish "
                    "again to do the rest."
                ).strip()
                raise error.with_context(state_after=after) from None
    return new


def _pair(task: _Task) -> Pair | None:
    """Return the new key pair of the task, None if it has none. Raises CredentialsFileError."""
    params = task.params
    if params["new_private_key"]:
        return Pair(params["new_private_key"])
    if not params["credentials_file"]:
        return None
    owner = _key_files.inspect(params["credentials_file"]).content
    if owner is None or owner["org_id"] not in {"", task.org_id}:
        return None
    task.api.add_no_log(owner["private_key"])
    return Pair(owner["private_key"], owner["api_user_id"], owner["public_key"])


def _key_pair(new: OrgApiKey, pair: Pair | None) -> KeyPair | None:
    """Return the key pair to verify, None if the task has none. Raises OptionError."""
    if pair is None:
        return None
    if pair.api_user_id not in {None, new.id}:
        raise OptionError(
            f"credentials_file holds the key pair of API key {pair.api_user_id}, but the "
            f"replacement is API key {new}",
            hint="Nothing was changed. Use the file that phase begin wrote.",
        )
    public_key = new.public_key or pair.public_key
    if public_key is None:
        raise OptionError(
            f"The API does not return the public key of the replacement {new.id}",
            hint="Nothing was changed. Set credentials_file to a file that has both keys.",
        )
    return KeyPair(public_key, pair.private_key)


def _roll_back(task: _Task) -> dict[str, Any]:
    successor_id = task.params["successor_id"]
    state = _survey(task)
    if successor_id is None and state.of_phase(_marks.CREATED):
        state, _name = _read_entries(task, state)
    plan = _rotation.plan_roll_back(state, successor_id)
    for action, key in plan.steps:
        if action == _rotation.REVOKE_REPLACEMENT:
            never, loss = {"allow_own_key": False}, "rolling it back"
            _resource.check_not_own(task.api, API_KEYS, key, never, loss=loss)
        if task.check_mode:
            task.is_changed = True
        elif action == _rotation.REVOKE_LEFTOVER:
            _revoke_leftover(task, key)
        else:
            _revoke(task, key)
    return _result(task, state, plan)


def client_of(api: Client, connection: Connection, pair: KeyPair) -> Client:
    """Return a client that authenticates with another key pair of the organization."""
    http = Http(connection.http, api.clock, connection.base_url)
    http.cancellation = api.cancellation
    endpoint = replace(api.endpoint, credentials=pair)
    return Client(http, DigestAuth(pair), endpoint, api.add_no_log)


def _verify(
    task: _Task, key: OrgApiKey, pair: KeyPair, entries: _access_lists.Networks | None
) -> dict[str, Any]:
    """Wait until the API accepts a new key pair, and return the result ``verification``.

    The API rejects a new key for a short time. An error that follows from the key's own role or
    access list confirms the key pair as well, because a key for another machine cannot be used from
    this one. ``entries`` is the key's access list, which is read if None. Raises WaitTimeoutError
    after ``verify_timeout`` seconds.
    """
    api = task.api
    clock, started = api.clock, api.clock.now()
    deadline = started + task.params["verify_timeout"]
    backoff = _resource.Backoff(api, deadline=deadline)

    def verified(refusal: str | None = None) -> dict[str, Any]:
        return {"waited": round(clock.now() - started, 1), "refusal": refusal}

    with closing(client_of(api, task.connection, pair)) as other:
        while True:
            last: KeysmithError | None = None
            try:
                if _resource.find_by_id(other, task.keys, key.id, deadline):
                    return verified()
            except ApiError as error:
                if entries is None and error.code in IP_NOT_LISTED:
                    entries = _access_lists.read(api, API_KEY_LISTS, task.org_id, key).now
                if _is_own_refusal(error, entries or frozenset()):
                    return verified(error.code)
                if not _may_pass(error):
                    raise
                last = error
            if not backoff.wait():
                raise _not_accepted(key, clock.now() - started, last)


def _is_own_refusal(error: ApiError, entries: _access_lists.Networks) -> bool:
    """Return whether the key's role or access list explains an error, which confirms the pair."""
    if error.code in _ROLE_REFUSALS:
        return True
    if error.code not in IP_NOT_LISTED or not entries:
        return False
    # An address on the list will be accepted soon.
    return not any(_is_in(address, entries) for address in error.parameters)


def _is_in(address: Any, entries: _access_lists.Networks) -> bool:
    try:
        return any(ipaddress.ip_address(address) in network for network in entries)
    except ValueError:
        return False


def _may_pass(error: ApiError) -> bool:
    """Return whether the error may be temporary because the key is new."""
    is_unknown_key = error.status == 401 and error.code in UNSPECIFIC_401
    return is_unknown_key or error.code in IP_NOT_LISTED | LIST_REQUIRED


def _not_accepted(key: OrgApiKey, waited: float, last: KeysmithError | None) -> WaitTimeoutError:
    error = WaitTimeoutError(
        f"The API did not accept the key pair of API key {key} within {waited:.0f} s",
        hint="If new keys take longer in your environment, increase verify_timeout.",
    )
    if last is None:
        return error
    response = " ".join(str(part) for part in (last.status, last.code) if part)
    return error.with_context(
        summary=f"{error.summary}; its last response was {response}",
        hint=f"{last.hint} {error.hint}".strip(),
        status=last.status,
        code=last.code,
        reason=last.reason,
        detail=last.detail,
        parameters=last.parameters,
    )


def check(params: Mapping[str, Any]) -> None:
    """Refuse options that do not fit a phase or each other. Raises OptionError."""
    if params["successor_id"]:
        _argspec.check_id("successor_id", params["successor_id"])
        if params["phase"] == "begin":
            raise OptionError(
                "successor_id is set with phase begin, which creates a new key",
                hint="Remove it, or set phase to finish or roll_back.",
            )
        if params["successor_id"] == params["api_user_id"]:
            raise OptionError(
                "successor_id and api_user_id are the same",
                hint="Set api_user_id to the old key, and successor_id to its replacement.",
            )
    if params["description"] is not None:
        _argspec.check_description("description", params["description"])
    _check_grace_period(params["grace_period"])
    _check_secrets(params)


def _check_grace_period(seconds: int) -> None:
    longest = 366 * 24 * 3600
    # Ansible accepts yes and no as the numbers 1 and 0.
    if isinstance(seconds, bool) or not 0 <= seconds <= longest:
        raise OptionError(
            f"grace_period is {seconds}",
            hint=f"It must be a number of seconds from 0 to {longest}.",
        )


def _check_secrets(params: Mapping[str, Any]) -> None:
    mark_key, private_key = params["mark_key"], params["new_private_key"]
    if mark_key is not None and len(mark_key.strip()) < MIN_MARK_KEY:
        raise OptionError(
            f"mark_key has fewer than {MIN_MARK_KEY} characters",
            hint="Anyone who may list the keys can guess short values. Use a random value, for "
            "example from `openssl rand -base64 24`.",
        )
    if private_key is None:
        return
    if params["phase"] != "finish":
        raise OptionError(
            "new_private_key is set, but only phase finish uses it", hint="Remove it."
        )
    if params["credentials_file"]:
        raise OptionError(
            "Both new_private_key and credentials_file are set", hint="Set one of them."
        )
