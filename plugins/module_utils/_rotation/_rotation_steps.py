# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The three phases of a rotation: read where it stands, plan, and take the steps of the plan.

Every request may be the last one before the process is killed, so each step leaves a state that
``_rotation`` recognizes.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _credentials_file,
    _errors,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._auth import choose_auth
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
    CredentialsFileError,
    GuardError,
    KeysmithError,
    OptionError,
    OrphanError,
    OwnKeyError,
    WaitTimeoutError,
    truncate_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _assignments,
    _org_api_keys,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._key_access_lists import (
    API_KEY_LISTS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    CreatedKey,
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._project_api_keys import (
    PROJECT_API_KEYS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import (
    _marks,
    _rotation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation._marks import Mark
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation._rotation import (
    CreateReplacement,
    Marked,
    Pair,
    Plan,
    RecordVerified,
    Rename,
    RevokeLeftover,
    RevokeOld,
    RevokeReplacement,
    State,
    Target,
    VerifyPair,
)

MIN_MARK_KEY = 16
# Refusals that only requests with a valid signature get: the API has looked up the key's rights.
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
_OLD_WORKS = "The old key was not changed."


def wall_clock() -> int:
    """Return the seconds since 1970. Marks are read by other machines."""
    return int(time.time())


@dataclass
class _Verification:
    """How the API accepted the new key pair, and after how many seconds."""

    waited: float
    # Why the key may not do what was asked, although its signature was accepted.
    refusal: str | None = None

    def result(self) -> dict[str, Any]:
        return {"waited": round(self.waited, 1), "refusal": self.refusal}


@dataclass
class _Task:
    """What a task is to do, and what has become of it so far."""

    params: Mapping[str, Any]
    api: Client
    connection: Connection
    environ: Mapping[str, str]
    check_mode: bool
    pair: Pair | None = None
    is_changed: bool = False
    verification: _Verification | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def org_id(self) -> str:
        return str(self.params["org_id"])


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
            error.results = {**error.results, "changed": True}
        raise


@dataclass(frozen=True)
class _Secret:
    """What marks are made with. ``public_key``: if it is the private key of a pair."""

    text: str = field(repr=False)
    public_key: str | None = None

    def may_be_of(self, state: State) -> bool:
        """Whether it is the secret of the old key, as far as the API tells."""
        if self.public_key is None:
            return False
        if state.old:
            return state.old.public_key in {self.public_key, None}
        # The old key is gone, so a pair whose key is there is another one.
        return self.public_key not in {key.public_key for key in state.keys}


def _secret(task: _Task) -> _Secret:
    """Return ``mark_key``, or the secret that it defaults to. Raises OptionError.

    An access token is not one, because it changes. The secret may be in the environment beside it.
    """
    params, environ, connection = task.params, task.environ, task.connection
    if params["mark_key"]:
        return _Secret(params["mark_key"])
    credentials: Credentials | None = connection.credentials
    if isinstance(credentials, AccessToken):
        tokens = [n for kind, n in connection.platform.env_credentials if kind is AccessToken]
        without = {name: value for name, value in environ.items() if (name,) not in tokens}
        try:
            credentials = _resolve.resolve({**params, "access_token": None}, without).credentials
        except OptionError:
            credentials = None
    if isinstance(credentials, ServiceAccount):
        return _Secret(credentials.client_secret)
    if isinstance(credentials, KeyPair):
        return _Secret(credentials.private_key, credentials.public_key)
    raise OptionError(
        "An access token signs the requests, and there is no secret for the rotation's marks",
        hint="Set mark_key. Or set the environment variables of the key pair or the service "
        "account where the module runs, of only one of them.",
    )


def _survey(task: _Task) -> tuple[State, bytes]:
    """Return where the rotation stands, and the key that makes new marks."""
    params = task.params
    target = Target(
        params["api_user_id"], params["public_key"], params["description"], params["look_alikes"]
    )
    secret = _secret(task)
    key = _marks.key_of(secret.text)
    keys = _resource.list_all(task.api, API_KEYS.of(task.org_id))
    now = wall_clock()
    state = _rotation.survey(keys, task.org_id, target, (key,), now)
    if not task.pair or secret.public_key is None:
        return state, key
    # The rotation of the secret's own key goes on to the secret of the new pair. In no other one
    # may who has that pair, such as the application that uses it, make a mark.
    new_key = _marks.key_of(task.pair.private_key)
    both = _rotation.survey(keys, task.org_id, target, (key, new_key), now)
    return (both, new_key) if secret.may_be_of(both) else (state, key)


def _with_entries(task: _Task, state: State) -> tuple[State, str]:
    """Add the old key's access list; also return what the path of such lists is called."""
    if state.old is None:
        return state, API_KEY_LISTS.name
    found = _access_lists.read(task.api, API_KEY_LISTS, task.org_id, state.old)
    return replace(state, entries=found.now), found.name


def _with_new_entries(task: _Task, state: State, new: OrgApiKey) -> State:
    """Add the replacement's access list; what phase begin has added may be shown late."""
    limits = state.entries or frozenset()
    entries = _resource.poll(
        task.api,
        lambda: _access_lists.read(task.api, API_KEY_LISTS, task.org_id, new).now,
        lambda now: _access_lists.beyond(now, limits) is None,
    )
    return replace(state, new_entries=entries)


def _result(task: _Task, state: State, plan: Plan, **more: Any) -> dict[str, Any]:
    return {
        "changed": task.is_changed,
        "state": plan.state,
        "old_api_user_id": state.old_id,
        "old_until": None if plan.deadline is None else _marks.shown(plan.deadline),
        "org_api_key": plan.new.result() if plan.new else None,
        "actions": plan.actions(),
        "left": [
            {
                "id": key.id,
                "public_key": key.public_key,
                "description": key.description,
                "reason": reason,
            }
            for key, reason in plan.left
        ],
        "verification": task.verification.result() if task.verification else None,
        "diff": _diff(state, plan, plan.new),
        "warnings": [*plan.warnings, *task.warnings],
        **more,
    }


def _diff(state: State, plan: Plan, new: OrgApiKey | None) -> dict[str, Any]:
    """Return the keys that the plan creates, changes or revokes, before and after it."""
    before: list[dict[str, Any]] = []
    after: list[dict[str, Any]] = []
    written: dict[str, Any] | None = None
    for step in plan.steps:
        if isinstance(step, RevokeLeftover):
            before.append(step.found.key.writable())
        elif isinstance(step, RevokeOld):
            before.append(step.old.writable())
        elif isinstance(step, RevokeReplacement):
            before.append(step.new.writable())
        elif isinstance(step, CreateReplacement):
            after.append((new or _imagined(step.old)).writable())
        elif isinstance(step, (RecordVerified, Rename)):
            was = state.find(step.new.id) or step.new
            written = was.writable()
            description = step.base if isinstance(step, Rename) else (new or was).description
            after = [{**written, "description": description}]
    if written is not None:
        before.append(written)
    return {"before": {"api_keys": before}, "after": {"api_keys": after}}


def _imagined(old: OrgApiKey) -> OrgApiKey:
    return replace(old, id="", public_key=None)


def _begin(task: _Task) -> dict[str, Any]:
    params = task.params
    file = None
    if params["credentials_file"]:
        file = _credentials_file.inspect(params["credentials_file"])
    state, mark_key = _survey(task)
    if state.old:
        _check_own(task, state.old)
    list_name = API_KEY_LISTS.name
    if not state.of_phase(_marks.VERIFIED):
        state, list_name = _with_entries(task, state)
    plan = _rotation.plan_begin(state, ignore_marks=params["ignore_marks"])
    if not plan.steps or state.old is None:
        return _result(task, state, plan)
    if file:
        existing_ids = {key.id for key in state.keys}
        _credentials_file.check_free(file, task.org_id, state.old.description, existing_ids)
        _credentials_file.check_writable(file.path, check_mode=task.check_mode)
    if task.check_mode:
        task.is_changed = True
        planned = {**_imagined(state.old).result(), "id": None}
        return {**_result(task, state, plan), "org_api_key": planned}
    _org_api_keys.warn_of_new_private_key(task.api)
    for step in plan.steps:
        if isinstance(step, RevokeLeftover):
            _revoke_leftover(task, step.found)
    creation = _Creation(task, state, state.old, mark_key, list_name)
    created = creation.run(file)
    task.is_changed = True
    pair = {
        "org_id": task.org_id,
        "api_user_id": created.key.id,
        "description": state.old.description,
        "public_key": created.key.public_key,
        "private_key": created.private_key,
    }
    more: dict[str, Any] = {} if file else {"key_pair": pair}
    return _result(task, state, replace(plan, new=created.key), **more)


def _check_own(task: _Task, old: OrgApiKey) -> bool:
    """Return whether the old key is the one that signs; raises OwnKeyError unless allowed."""
    is_own = _resource.check_not_own(
        task.api, API_KEYS, old, allowed=task.params["allow_own_key"], loss="rotating it"
    )
    if old.public_key is None and _secret(task).public_key is not None:
        raise OptionError(
            f"The API does not return the public key of API key {old.id}, so marks may be made "
            "with its private key",
            hint="Nothing was changed. Set mark_key, so that the marks do not depend on that.",
        )
    return is_own


def _revoke_leftover(task: _Task, found: Marked) -> None:
    """Revoke what a run has left, unless it is not as it was a moment ago."""
    now = _resource.find_by_id(task.api, API_KEYS.of(task.org_id), found.key.id)
    if now is None:
        return
    if now != found.key:
        raise GuardError(
            f"API key {now} was to be rolled back, and it is being changed: another run may rotate "
            "the same key",
            hint=f"{_OLD_WORKS} Make sure that no other run is active, and run the task again.",
            parameters=[now.id],
        )
    _revoke(task, found.key)


def _revoke(task: _Task, key: OrgApiKey, api: Client | None = None) -> None:
    """Revoke a key and wait until the API confirms that it is gone."""
    api = api or task.api
    if _resource.delete(api, API_KEYS.of(task.org_id), key):
        task.is_changed = True
    _resource.await_absence(api, API_KEYS.of(task.org_id), key, task.params["wait_timeout"])


class _Creation:
    """A replacement on its way. Nobody has its key pair before ``run`` returns."""

    def __init__(
        self, task: _Task, state: State, old: OrgApiKey, mark_key: bytes, list_name: str
    ) -> None:
        self._task = task
        self._api = task.api
        self._state = state
        self._old = old
        self._entries = state.entries or frozenset()
        self._key = mark_key
        self._list_name = list_name

    def run(self, file: _credentials_file.CredentialsFile | None) -> CreatedKey:
        created = self._create()
        if file:
            self._api.add_no_log(created.private_key)
        key = created.key
        try:
            created = replace(created, key=self._complete(created))
            if file:
                self._store(created, file)
        except Exception as error:
            # Also after a mistake of ours, nobody has the key pair.
            self._api.add_no_log(created.private_key)
            failure = error if isinstance(error, KeysmithError) else _errors.internal_error(error)
            _undo(self._task, key, failure)
            raise failure from None
        return created

    def _create(self) -> CreatedKey:
        moment = wall_clock() - _rotation.CLOCK_TOLERANCE
        nonce = secrets.token_bytes(_marks.TAG_SIZE)
        mark = Mark(
            _marks.CREATING,
            self._task.org_id,
            self._old.id,
            None,
            moment,
            nonce,
            self._old.description,
        )
        known_ids = {key.id for key in self._state.keys}
        description = _marks.describe(mark, self._key)
        try:
            return _org_api_keys.create(
                self._api, self._task.org_id, description, [_rotation.MEMBER], known_ids
            )
        except OrphanError as error:
            self._undo_orphan(description, known_ids, error)
            raise

    def _undo_orphan(self, description: str, known_ids: set[str], error: OrphanError) -> None:
        """Revoke what a POST has created whose response was lost, if it is certain what that is."""
        if len(error.parameters) != 1:
            return
        try:
            with self._api.cancellation.completing():
                keys = _resource.list_all(self._api, API_KEYS.of(self._task.org_id))
        except KeysmithError:
            return
        found = [k for k in keys if k.description == description and k.id not in known_ids]
        if len(found) == 1 and not _rotation.rights(found[0]):
            _undo(self._task, found[0], error)

    def _complete(self, created: CreatedKey) -> OrgApiKey:
        """Give a new key the access list, then the rights; verify that it signs in between."""
        task, api, old = self._task, self._api, self._old
        key = self._describe(created.key, _marks.CREATED)
        if self._entries:
            new_list = _access_lists.of_new(API_KEY_LISTS, task.org_id, key, self._list_name)
            _access_lists.change(api, new_list, _access_lists.Goal(self._entries, purge=True))
        pair = KeyPair(str(key.public_key), created.private_key)
        task.verification = _verify(task, key, pair, self._entries)
        for project_id, roles in old.projects:
            _assignments.assign_all(api, PROJECT_API_KEYS.of(project_id, key), roles)
        self._check_unchanged()
        # Only now, and in one request with its last roles: see _rotation.
        wanted = set(old.roles)
        changes = {"roles": sorted(wanted)} if wanted and wanted != set(key.roles) else {}
        key = self._describe(key, _marks.ISSUED, **changes)
        return self._await_shown(key)

    def _describe(self, key: OrgApiKey, phase: str, **changes: Any) -> OrgApiKey:
        mark = Mark(
            phase,
            self._task.org_id,
            self._old.id,
            key.id,
            wall_clock(),
            _rotation.tag(self._key, self._old, self._entries),
            self._old.description,
        )
        description = _marks.describe(mark, self._key)
        return _org_api_keys.update(
            self._api, self._task.org_id, key, {"description": description, **changes}
        )

    def _check_unchanged(self) -> None:
        """Refuse to copy rights that were taken from the old key in the meantime."""
        now = _resource.find_by_id(self._api, API_KEYS.of(self._task.org_id), self._old.id)
        if (
            now is None
            or now.description != self._old.description
            or _rotation.rights(now) != _rotation.rights(self._old)
        ):
            raise GuardError(
                f"The old API key {self._old} was {'changed' if now else 'revoked'} while its "
                "replacement was being created",
                hint="Run the task again if the key is still to be rotated.",
                parameters=[self._old.id],
            )

    def _await_shown(self, key: OrgApiKey) -> OrgApiKey:
        """Return the key as the API lists it, complete, so that the next task finds it so."""
        api = self._api
        wanted = _rotation.rights(self._old)
        backoff = _resource.Backoff(api, deadline=api.clock.now() + _resource.ORPHAN_PATIENCE)
        while True:
            listed = {k.id: k for k in _resource.list_all(api, API_KEYS.of(self._task.org_id))}
            found = listed.get(key.id)
            more = _rotation.rights(found) - wanted if found else None
            if found and more:
                shown_rights = ", ".join(f"{role} {project}".strip() for project, role in more)
                raise GuardError(
                    f"The new API key {key} has rights that the old key {self._old} does not have: "
                    f"{shown_rights}",
                    hint="Find out who has added them.",
                    parameters=[key.id],
                )
            if found and found.description == key.description and _rotation.rights(found) == wanted:
                return found
            if backoff.is_over:
                if found is None and not _resource.find_by_id(
                    api, API_KEYS.of(self._task.org_id), key.id
                ):
                    raise GuardError(
                        f"The new API key {key} was revoked while it was being created",
                        hint="Make sure that no other run rotates the same key, and run the task "
                        "again.",
                        parameters=[key.id],
                    )
                self._task.warnings.append(
                    f"The API does not list API key {key} with all its rights yet. Wait before you "
                    "run phase finish."
                )
                return replace(key, projects=self._old.projects)
            backoff.wait()

    def _store(self, created: CreatedKey, file: _credentials_file.CredentialsFile) -> None:
        key = created.key
        why = "another process has written to it in the meantime"
        try:
            _credentials_file.write(
                file,
                {
                    "org_id": self._task.org_id,
                    "api_user_id": key.id,
                    "description": self._old.description,
                    "public_key": str(key.public_key),
                    "private_key": created.private_key,
                },
            )
            return
        except FileExistsError:
            pass
        except OSError as failure:
            why = str(failure.strerror)
        raise CredentialsFileError(
            f"The key pair of the new API key {key} could not be written to {truncate_path(file.path)}: "
            f"{why}",
            hint="Check the directory and its disk, and run the task again.",
        )


def _undo(task: _Task, key: OrgApiKey, error: KeysmithError) -> None:
    """Revoke a replacement whose key pair nobody has, and have the error say what exists."""
    was_changed = task.is_changed
    try:
        with task.api.cancellation.completing():
            _revoke(task, key)
    except KeysmithError as failure:
        error.parameters = [*error.parameters, *({key.id} - {*error.parameters})]
        error.results = {"changed": True, "org_api_key": key.result()}
        error.state_after = (
            f"The new API key {key} could not be confirmed to be revoked: {failure.message()} "
            f"{_OLD_WORKS} Run the task again; it recognizes the new key."
        )
        return
    error.results = {}
    task.is_changed = was_changed
    error.state_after = f"The new API key {key} was revoked to clean up. {_OLD_WORKS}"


def _finish(task: _Task) -> dict[str, Any]:
    params = task.params
    task.pair = _pair(task)
    state, mark_key = _survey(task)
    found = _rotation.choose(state, params["successor_id"], task.pair)
    is_own = False
    if found:
        _check_pair(found.key, task.pair)
        if state.old:
            is_own = _check_own(task, state.old)

    def plan() -> Plan:
        return _rotation.plan_finish(
            state,
            found,
            has_pair=task.pair is not None,
            grace_period=params["grace_period"],
        )

    planned = plan()
    if any(isinstance(step, (RecordVerified, RevokeOld)) for step in planned.steps):
        # What the old key is like now decides.
        state, _name = _with_entries(task, state)
        if found and found.phase != _marks.VERIFIED:
            state = _with_new_entries(task, state, found.key)
        planned = plan()
    if is_own and not task.pair and any(isinstance(s, RevokeOld) for s in planned.steps):
        raise OwnKeyError(
            f"The old API key {state.old} signs the requests, and cannot revoke itself and then "
            f"rename its replacement {planned.new}",
            hint="Nothing was changed. Use the new key pair for the task, or set new_private_key "
            "or credentials_file.",
        )
    return _apply_finish(task, state, planned, mark_key, is_own)


def _apply_finish(
    task: _Task, state: State, plan: Plan, mark_key: bytes, is_own: bool
) -> dict[str, Any]:
    new = plan.new
    if new is None:
        return _result(task, state, plan)
    pair = _key_pair(new, task.pair)
    for step in plan.steps:
        if isinstance(step, VerifyPair) and pair:
            task.verification = _verify(task, new, pair, None)
        elif task.check_mode:
            task.is_changed = True
        elif isinstance(step, RecordVerified):
            new = _record(task, state, step, mark_key)
    if task.check_mode:
        renamed = [step for step in plan.steps if isinstance(step, Rename)]
        new = replace(new, description=renamed[0].base) if renamed else new
    else:
        with _signer(task, pair if is_own else None) as api:
            new = _end(task, plan, new, api)
    return _result(task, state, replace(plan, new=new))


def _end(task: _Task, plan: Plan, new: OrgApiKey, api: Client) -> OrgApiKey:
    """Revoke the old key and rename its replacement, in this order.

    In the other, nothing would tell that the old key is still to be revoked.
    """
    for step in plan.steps:
        try:
            if isinstance(step, RevokeOld):
                _revoke(task, step.old, api)
            elif isinstance(step, Rename):
                changes = {"description": step.base}
                new = _org_api_keys.update(api, task.org_id, new, changes)
                task.is_changed = True
        except KeysmithError as error:
            if task.is_changed:
                error.state_after = (
                    f"{error.state_after} The replacement {new} is verified; run phase finish again "
                    "to do the rest."
                ).strip()
            raise
    return new


def _record(task: _Task, state: State, step: RecordVerified, mark_key: bytes) -> OrgApiKey:
    old = step.old
    tag = _rotation.tag(mark_key, old, state.entries or frozenset())
    mark = Mark(_marks.VERIFIED, task.org_id, old.id, step.new.id, step.deadline, tag, step.base)
    changes = {"description": _marks.describe(mark, mark_key)}
    new = _org_api_keys.update(task.api, task.org_id, step.new, changes)
    task.is_changed = True
    return new


def _pair(task: _Task) -> Pair | None:
    """Return the new key pair that the task has. Raises OptionError."""
    params = task.params
    if params["new_private_key"]:
        return Pair(params["new_private_key"])
    if not params["credentials_file"]:
        return None
    owner = _credentials_file.inspect(params["credentials_file"]).owner
    if owner is None or owner["org_id"] not in {"", task.org_id}:
        return None
    task.api.add_no_log(owner["private_key"])
    return Pair(owner["private_key"], owner["api_user_id"], owner["public_key"])


def _key_pair(new: OrgApiKey, pair: Pair | None) -> KeyPair | None:
    if pair is None:
        return None
    public_key = new.public_key or pair.public_key
    if public_key is None:
        raise OptionError(
            f"The API does not return the public key of the replacement {new.id}",
            hint="Nothing was changed. Set credentials_file to a file that has both keys.",
        )
    return KeyPair(public_key, pair.private_key)


def _check_pair(new: OrgApiKey, pair: Pair | None) -> None:
    if pair and pair.api_user_id not in {None, new.id}:
        raise OptionError(
            f"credentials_file holds the key pair of API key {pair.api_user_id}, and the "
            f"replacement is API key {new}",
            hint="Nothing was changed. Use the file that phase begin has written.",
        )


def _roll_back(task: _Task) -> dict[str, Any]:
    successor_id = task.params["successor_id"]
    state, _key = _survey(task)
    if successor_id is None and state.of_phase(_marks.CREATED):
        state, _name = _with_entries(task, state)
    plan = _rotation.plan_roll_back(state, successor_id)
    for step in plan.steps:
        if isinstance(step, RevokeReplacement):
            _resource.check_not_own(
                task.api, API_KEYS, step.new, allowed=False, loss="rolling it back"
            )
        if task.check_mode:
            task.is_changed = True
        elif isinstance(step, RevokeLeftover):
            _revoke_leftover(task, step.found)
        elif isinstance(step, RevokeReplacement):
            _revoke(task, step.new)
    return _result(task, state, plan)


@contextmanager
def _signer(task: _Task, pair: KeyPair | None) -> Iterator[Client]:
    """Yield a client that signs with a key pair, or the task's own client."""
    if pair is None:
        yield task.api
        return
    client = client_of(task.api, task.connection, pair)
    try:
        yield client
    finally:
        client.close()


def client_of(api: Client, connection: Connection, pair: KeyPair) -> Client:
    """Return a client like another one that signs with a key pair of the same organization."""
    http = Http(connection.http, api.clock, connection.base_url)
    http.cancellation = api.cancellation
    auth = choose_auth(pair, http, connection.base_url, api.endpoint.platform.title, api.add_no_log)
    endpoint = replace(api.endpoint, credentials=pair)
    return Client(http, auth, endpoint, api.add_no_log)


def _verify(
    task: _Task, key: OrgApiKey, pair: KeyPair, entries: _access_lists.Networks | None
) -> _Verification:
    """Return when the API accepts requests that a new key pair signs.

    APIs know a new key with a delay, and reject it until then. A refusal that follows from the
    key's own role or access list confirms the signature as well: a key for another machine cannot
    be used from this one. ``entries`` is the key's access list, which is read if None. Raises
    WaitTimeoutError after ``verify_timeout`` seconds.
    """
    api = task.api
    clock, began = api.clock, api.clock.now()
    deadline = began + task.params["verify_timeout"]
    backoff = _resource.Backoff(api, deadline=deadline)
    other = client_of(api, task.connection, pair)
    try:
        while True:
            last: KeysmithError | None = None
            try:
                if _resource.find_by_id(other, API_KEYS.of(task.org_id), key.id, deadline):
                    return _Verification(clock.now() - began)
            except ApiError as error:
                if entries is None and error.code in IP_NOT_LISTED:
                    entries = _access_lists.read(api, API_KEY_LISTS, task.org_id, key).now
                if _is_own_refusal(error, entries or frozenset()):
                    return _Verification(clock.now() - began, error.code)
                if not _may_pass(error):
                    raise
                last = error
            if not backoff.wait():
                raise _not_accepted(key, clock.now() - began, last)
    finally:
        other.close()


def _is_own_refusal(error: ApiError, entries: _access_lists.Networks) -> bool:
    """Whether an error says that the signature is right, and the key may not do this from here."""
    if error.code in _ROLE_REFUSALS:
        return True
    if error.code not in IP_NOT_LISTED or not entries:
        return False
    addresses = [_address(item) for item in error.parameters]
    known = [address for address in addresses if address is not None]
    # An address that is on the list is let in soon.
    return not any(address in network for address in known for network in entries)


def _address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


def _may_pass(error: ApiError) -> bool:
    """Whether an error may be one that new keys meet for a while."""
    if error.status == 401 and error.code in UNSPECIFIC_401:
        return True
    # A new list may not be known everywhere yet.
    return error.code in IP_NOT_LISTED | LIST_REQUIRED


def _not_accepted(key: OrgApiKey, waited: float, last: KeysmithError | None) -> WaitTimeoutError:
    error = WaitTimeoutError(
        f"The API did not accept the key pair of API key {key} within {waited:.0f} s",
        hint="Raise verify_timeout if new keys take longer here.",
    )
    if last is None:
        return error
    answer = " ".join(str(part) for part in (last.status, last.code) if part)
    error.summary += f"; its last response was {answer}"
    error.hint = f"{last.hint} {error.hint}".strip()
    error.status, error.code, error.reason = last.status, last.code, last.reason
    error.detail, error.parameters = last.detail, list(last.parameters)
    return error


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
                hint="api_user_id is the old key, and successor_id its replacement.",
            )
    if params["description"] is not None:
        _argspec.check_description("description", params["description"])
    _check_grace_period(params["grace_period"])
    _check_secrets(params)


def _check_grace_period(seconds: int) -> None:
    longest = 366 * 24 * 3600
    # Ansible takes yes and no for the numbers 1 and 0.
    if isinstance(seconds, bool) or not 0 <= seconds <= longest:
        raise OptionError(
            f"grace_period is {seconds}; it must be a number of seconds from 0 to {longest}"
        )


def _check_secrets(params: Mapping[str, Any]) -> None:
    mark_key, private_key = params["mark_key"], params["new_private_key"]
    if mark_key is not None and len(mark_key.strip()) < MIN_MARK_KEY:
        raise OptionError(
            f"mark_key has fewer than {MIN_MARK_KEY} characters",
            hint="Everyone who may list the keys can test guesses of it. Use a random value, such "
            "as that of `openssl rand -base64 24`.",
        )
    if private_key is None:
        return
    if params["phase"] != "finish":
        raise OptionError(
            "new_private_key is set, and only phase finish uses it", hint="Remove it."
        )
    if params["credentials_file"]:
        raise OptionError(
            "Both new_private_key and credentials_file are set", hint="Set one of them."
        )
