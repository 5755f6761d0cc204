# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kind of object that describes itself, and what is done in the same way with every kind.

Find, prove absence, delete, wait, look up what a lost response has left, guard the signing
credential. The functions raise what ``_errors`` has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import (
    Call,
    Client,
    Endpoint,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    ApiError,
    CancelledError,
    KeysmithError,
    MissingError,
    OrphanError,
    OwnKeyError,
    UnexpectedResponseError,
    WaitTimeoutError,
    is_about_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import (
    normalize_description,
    quoted,
)

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 2.0
# How long a new object may take to appear in the listing.
ORPHAN_PATIENCE = 10.0
# How long the API may take to know an object that it has shown, and to show a change.
SETTLE_TIME = 10.0
# How long after the first look a second one decides that something is gone.
SECOND_LOOK = 3.0
_DELETE_ATTEMPTS = 3
# How many objects a message names if there may be very many.
SHOWN = 20
# What look-alikes are, in messages.
LOOK_ALIKES = "Look-alikes differ only in case, whitespace, invisible characters or Unicode forms."


class Object(Protocol):
    """What the functions need to know of an object. Messages identify it by its ``str``."""

    @property
    def id(self) -> str:
        """The ID, a part of paths."""


T = TypeVar("T")
Obj = TypeVar("Obj", bound=Object)


@dataclass(frozen=True)
class Credential(Generic[Obj]):
    """How an object can be the signing credential.

    ``name``: what identifies it as a credential, such as "public key". ``of``: that of an object,
    None if the API hides it. ``signing``: that of the signing credential, None if this is of
    another kind. ``option``: the option that lets a task lose its own credential.
    """

    name: str
    of: Callable[[Obj], str | None]
    signing: Callable[[Endpoint], str | None]
    option: str


@dataclass(frozen=True)
class Resource(Generic[Obj]):
    """A kind of object.

    ``noun``: as messages call one, with "s" for many. ``path``: of the listing, below the API's own
    path, with {} for the ID of the scope. ``version``: of the Atlas Administration API. ``parse``:
    takes the API's JSON and the ID of the scope; see ``Client``. ``text``: the text by which people
    select one, which is not unique. ``missing``: the codes that say, if they are about an
    object, that it does not exist. ``is_proof``: whether such a code proves it; otherwise, the
    complete listing must agree. ``hints``: further codes after which the complete listing decides.
    ``text_name``: the API's word for the text. ``id_option``: the option that takes an ID.
    ``scope``: what the path's ID belongs to. ``reader`` and ``manager``: the roles that reading and
    changing take. ``results``: what results say of an object. ``issued``: what messages call that
    which only the response to a creation has.
    """

    noun: str
    path: str
    version: str
    parse: Callable[[Any, str], Obj | None]
    text: Callable[[Obj], str]
    missing: frozenset[str]
    hints: frozenset[str] = frozenset()
    is_proof: bool = True
    text_name: str = "name"
    id_option: str = "id"
    scope: str = "organization"
    reader: str = "Organization Member"
    manager: str = "Organization Owner"
    credential: Credential[Obj] | None = None
    results: Callable[[Obj], Mapping[str, Any]] = field(default=lambda _found: {})
    issued: str = "secret"

    @property
    def a_noun(self) -> str:
        return f"an {self.noun}" if self.noun[0].lower() in "aeiou" else f"a {self.noun}"

    def of(self, scope_id: str) -> Objects[Obj]:
        """Return the objects of an organization or a project."""
        return Objects(self, scope_id)


@dataclass(frozen=True)
class Objects(Generic[Obj]):
    """All objects of a kind in one organization or project."""

    resource: Resource[Obj]
    scope_id: str

    def __str__(self) -> str:
        return f"{self.resource.noun}s" + (f" of {self.scope}" if self.scope_id else "")

    @property
    def scope(self) -> str:
        """Return the organization or project, as messages name it."""
        return f"{self.resource.scope} {self.scope_id}"

    def parse(self, data: Any) -> Obj | None:
        return self.resource.parse(data, self.scope_id)

    def call(self, operation: str, role: str, *parts: str) -> Call:
        """Return a call of the listing's path, or of one below it."""
        path = "/".join([self.resource.path.format(self.scope_id), *parts])
        return Call(path, operation, role, self.resource.version)


class Backoff:
    """The pauses between looks: 0.25 s, then twice as long each time, up to 2 s."""

    def __init__(self, api: Client, *, deadline: float) -> None:
        self._api = api
        self._until = deadline
        self.pause = _FIRST_PAUSE

    @property
    def is_over(self) -> bool:
        """Whether the next pause would end after ``until``, a time of the clock."""
        return self._api.clock.now() + self.pause > self._until

    def pause_now(self) -> float:
        """Wait, even if the time is over, and return the seconds. Raises StoppedError."""
        seconds, self.pause = self.pause, min(self.pause * 2, _LONGEST_PAUSE)
        self._api.cancellation.pause(seconds)
        return seconds

    def wait(self) -> bool:
        """Wait, and return whether there was time for another look. Raises StoppedError."""
        if self.is_over:
            return False
        self.pause_now()
        return True


def poll(
    api: Client,
    look: Callable[[], T],
    is_done: Callable[[T], bool],
) -> T:
    """Return what a look shows, as soon as it is as expected, or after SETTLE_TIME.

    If the task is to stop, that is what the last look showed.
    """
    backoff = Backoff(api, deadline=api.clock.now() + SETTLE_TIME)
    while True:
        seen = look()
        try:
            if is_done(seen) or not backoff.wait():
                return seen
        except CancelledError:
            return seen


# Find.


def list_all(api: Client, objects: Objects[Obj]) -> list[Obj]:
    """Return every object of a scope, in the API's order."""
    return api.pages(
        objects.call(f"list the {objects}", objects.resource.reader),
        objects.parse,
        lambda found: found.id,
    )


def find_by_id(
    api: Client,
    objects: Objects[Obj],
    object_id: str,
    deadline: float | None = None,
) -> Obj | None:
    """Return the object with this ID, None if the API proves that there is none."""

    def parse_this(data: Any) -> Obj | None:
        found = objects.parse(data)
        return found if found and found.id == object_id else None

    resource = objects.resource
    call = objects.call(f"read the {resource.noun} {object_id}", resource.reader, object_id)
    try:
        return api.get(call, parse_this, deadline)
    except ApiError as error:
        if not is_missing(api, objects, object_id, error):
            raise
        return None


def find_by_text(
    api: Client, objects: Objects[Obj], text: str, *, look_alikes: str = "refuse"
) -> Obj | None:
    """Return the object with exactly this text, None if the complete listing lacks it.

    Raises what ``pick_by_text`` does.
    """
    listed = list_all(api, objects)
    return pick_by_text(listed, objects, text, look_alikes=look_alikes)


def pick_by_text(
    listed: Sequence[Obj],
    objects: Objects[Obj],
    text: str,
    *,
    look_alikes: str = "refuse",
) -> Obj | None:
    """Return the one of the objects that has exactly this text.

    Raises AmbiguousError if several have it, or, unless ``look_alikes`` is ``ignore``, if none has
    it and others look like it.
    """
    resource = objects.resource
    which = f"{resource.text_name} {quoted(text)}"
    exact = [item for item in listed if resource.text(item) == text]
    found = only(objects, which, exact)
    if found is None and look_alikes == "refuse":
        check_look_alikes(listed, objects, text)
    return found


def check_look_alikes(listed: Iterable[Obj], objects: Objects[Obj], text: str) -> None:
    """Refuse a text that no object has if objects look like it. Raises AmbiguousError."""
    resource = objects.resource
    similar = by_normalized(listed, resource).get(normalize_description(text))
    if similar:
        raise AmbiguousError(
            f"No {resource.noun} of {objects.scope} has exactly the "
            f"{resource.text_name} {quoted(text)}, but these look like it: "
            f"{described(similar, resource)}",
            hint=f"Nothing was changed. {LOOK_ALIKES} Use the exact {resource.text_name} or "
            f"the {resource.noun}'s ID, or set look_alikes to ignore if they are different "
            f"{resource.noun}s.",
        )


def by_normalized(listed: Iterable[Obj], resource: Resource[Obj]) -> dict[str, list[Obj]]:
    """Return the objects by what their look-alikes have in common, to look up many quickly.

    Those without a text are left out.
    """
    groups: dict[str, list[Obj]] = {}
    for item in filter(resource.text, listed):
        groups.setdefault(normalize_description(resource.text(item)), []).append(item)
    return groups


def only(objects: Objects[Obj], which: str, found: Sequence[Obj]) -> Obj | None:
    """Return the only one of the objects, None if there is none. Raises AmbiguousError."""
    resource = objects.resource
    if len(found) > 1:
        raise AmbiguousError(
            f"{len(found)} {objects} have the {which}: {names(found)}",
            hint=f"Nothing was changed. Use {resource.id_option} to pick one.",
        )
    return found[0] if found else None


def names(found: Iterable[Object]) -> str:
    """Return the objects as errors list them."""
    return ", ".join(str(item) for item in sorted(found, key=lambda item: item.id))


def summarize(found: Sequence[Object]) -> str:
    """Return as many of the objects as errors have room for."""
    return names(found[:SHOWN]) + _rest(found)


def described(found: Iterable[Obj], resource: Resource[Obj]) -> str:
    """Return as many of the objects as errors have room for, with their texts."""
    shown = sorted(found, key=lambda item: item.id)
    parts = (f"{item} {quoted(resource.text(item))}" for item in shown[:SHOWN])
    return ", ".join(parts) + _rest(shown)


def _rest(found: Sequence[Object]) -> str:
    return f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""


# Prove absence.


def says_missing(error: ApiError, resource: Resource[Obj], object_id: str) -> bool:
    """Whether an error says that this object does not exist (docs/apis.md: Absence).

    The code says so, with 400 as the APIs send it, or 404, if it is about this object.
    """
    return (
        error.code in resource.missing
        and error.status in {400, 404}
        and (not error.parameters or object_id in error.parameters)
    )


def is_missing(api: Client, objects: Objects[Obj], object_id: str, error: ApiError) -> bool:
    """Whether an object is missing. The error may prove it, hint at it, or say nothing about it.

    After a hint the complete listing decides. An object that is listed was not found for another
    reason, which the error gives.
    """
    resource = objects.resource
    if resource.is_proof and says_missing(error, resource, object_id):
        return True
    if not _hints_at_absence(error, resource):
        return False
    return all(item.id != object_id for item in list_all(api, objects))


def _hints_at_absence(error: ApiError, resource: Resource[Obj]) -> bool:
    if error.status == 404 and error.code == "RESOURCE_NOT_FOUND":
        return not is_about_path(error.parameters)
    return error.code in resource.missing | resource.hints and error.status in {400, 404}


def missing_if_proved(
    error: KeysmithError, resource: Resource[Obj], found: Obj, hint: str
) -> KeysmithError:
    """Return MissingError if the API does not find an object that this task has seen.

    That does not prove that another user has deleted it. Any other error is returned as it is.
    """
    if not isinstance(error, ApiError) or not says_missing(error, resource, found.id):
        return error
    missing = MissingError(
        f"The API does not find the {resource.noun} {found}, which this task has seen: it was "
        "revoked in the meantime, or is still propagating",
        hint=hint,
    )
    missing.outcome_unknown = error.outcome_unknown
    missing.attempts, missing.waited = error.attempts, error.waited
    return missing


def await_absence(api: Client, objects: Objects[Obj], found: Obj, timeout: float) -> None:
    """Return when two looks in a row agree that a deleted object is missing.

    Raises WaitTimeoutError after ``timeout`` seconds. Every error says what is known.
    """
    resource = objects.resource
    deadline = api.clock.now() + timeout
    backoff = Backoff(api, deadline=deadline)
    was_missing = False
    try:
        while True:
            gone = find_by_id(api, objects, found.id, deadline) is None
            if gone and was_missing:
                return
            if backoff.is_over:
                if gone and all(i.id != found.id for i in list_all(api, objects)):
                    return
                raise WaitTimeoutError(
                    f"The API still shows the {resource.noun} {found} {timeout:g} s after its "
                    "revocation",
                    hint="Run the task again to see whether it is gone, or raise wait_timeout.",
                )
            was_missing = gone
            backoff.pause_now()
    except KeysmithError as error:
        error.state_after = (
            f"The API accepted the revocation. Whether the {resource.noun} still works is not "
            "known."
        )
        raise


# Change, and find out what became of a change.


def retry_unknown(api: Client, resource: Resource[Obj], found: Obj, send: Callable[[], T]) -> T:
    """Send a request about an object that this task has seen, until the API knows the object.

    The APIs are eventually consistent: what shows an object and what takes a change may differ for
    some seconds. That the object is not found is a refusal, so nothing was done, and sending again
    is safe.
    """
    backoff = Backoff(api, deadline=api.clock.now() + SETTLE_TIME)
    attempts, waited = 1, 0.0
    while True:
        try:
            return send()
        except ApiError as error:
            if error.outcome_unknown or not says_missing(error, resource, found.id):
                raise
            if backoff.is_over:
                error.attempts, error.waited = attempts, waited
                raise
            state = "The API refused the request, and nothing was changed by it."
            with _explaining_stop(error, state):
                waited += backoff.pause_now()
            attempts += 1


def delete_known(
    api: Client,
    send: Callable[[], None],
    says_missing: Callable[[KeysmithError], bool],
    is_shown: Callable[[], bool],
) -> bool:
    """Delete something that this task has seen; return whether this call did it.

    The APIs are eventually consistent. So that something is missing which was there counts only if
    a second look some seconds later agrees; if it is shown again, it is deleted again.
    """
    is_done, attempts = False, 0
    while True:
        attempts += 1
        try:
            send()
        except KeysmithError as error:
            # An earlier DELETE may have done it, whatever becomes of this one.
            error.outcome_unknown = is_done = is_done or error.outcome_unknown
            with api.cancellation.completing():
                if not _carrying(error, partial(says_missing, error)):
                    raise
                open_ = "The API does not find it any more. Whether that is final was not checked."
                with _explaining_stop(error, open_):
                    api.cancellation.pause(SECOND_LOOK)
                try:
                    is_there = _carrying(error, is_shown)
                except KeysmithError as failure:
                    failure.state_after = failure.state_after or open_
                    raise
            if is_there and attempts == _DELETE_ATTEMPTS:
                error.state_after = "Read again, it still exists. Run the task again later."
                raise
            if not is_there:
                return is_done
        else:
            return True


def delete(api: Client, objects: Objects[Obj], found: Obj) -> bool:
    """Delete an object that this task has seen; return whether this call did it.

    If the response to an earlier attempt was lost and a later one finds no such object, this call
    did it. Otherwise it was gone before.
    """
    resource = objects.resource
    credential = resource.credential
    own = credential.signing(api.endpoint) if credential else None
    if credential and own is not None and credential.of(found) == own:
        api.expect_own_end()
    return delete_known(
        api,
        lambda: _delete(api, objects, found),
        lambda error: isinstance(error, ApiError) and is_missing(api, objects, found.id, error),
        lambda: find_by_id(api, objects, found.id) is not None,
    )


def _delete(api: Client, objects: Objects[Obj], found: Obj) -> None:
    resource = objects.resource
    operation = f"revoke the {resource.noun} {found}"
    api.delete(objects.call(operation, resource.manager, found.id))


@contextmanager
def _explaining_stop(error: KeysmithError, state: str) -> Iterator[None]:
    """Let a task that is told to stop while it waits say what it was about, and what is known."""
    try:
        yield
    except CancelledError as stopped:
        stopped.request, stopped.state_after = error.request, state
        stopped.outcome_unknown = error.outcome_unknown
        raise


def _carrying(error: KeysmithError, look: Callable[[], T]) -> T:
    """Return what a look shows; if it fails, that error is as unclear as the one before."""
    try:
        return look()
    except KeysmithError as failure:
        failure.outcome_unknown = failure.outcome_unknown or error.outcome_unknown
        raise


def contradicted(resource: Resource[Obj], what: str) -> UnexpectedResponseError:
    """Return the error of a response that accepts a change and shows something else.

    The change may have been made all the same.
    """
    error = UnexpectedResponseError(
        f"the API accepted the request, but its response {what}",
        hint=contradiction_advice(resource),
    )
    error.outcome_unknown = True
    return error


def contradiction_advice(resource: Resource[Obj]) -> str:
    return (
        f"Another task may have changed the {resource.noun} at the same time, or something between "
        "this task and the API may have changed the request or the response."
    )


def change(
    api: Client,
    objects: Objects[Obj],
    found: Obj,
    send: Callable[[], Obj],
    is_as_wanted: Callable[[Obj], bool],
) -> tuple[Obj, KeysmithError | None]:
    """Send a change and return the object as it is then.

    If the response is lost or contradicts the request, the object is read again, since it may be
    as wanted. If it is not, the error is returned too. Raises other errors, and that error if the
    object cannot be read.
    """
    resource = objects.resource
    try:
        return retry_unknown(api, resource, found, send), None
    except KeysmithError as failure:
        error = missing_if_proved(
            failure, resource, found, f"Only {resource.a_noun} that exists can be changed."
        )
        if not error.outcome_unknown:
            raise error from None
        try:
            with api.cancellation.completing():
                now = poll(
                    api,
                    lambda: find_by_id(api, objects, found.id),
                    lambda now: now is not None and is_as_wanted(now),
                )
        except KeysmithError:
            # That the object cannot be read now says less than that it may have been changed.
            raise error from None
        if now is None:
            error.state_after = "The API shows it as missing now."
            raise error from None
        return now, None if is_as_wanted(now) else error


# Create, or leave nothing behind.


def undo_creation(
    api: Client,
    objects: Objects[Obj],
    created: Obj,
    error: KeysmithError,
    loss: str = "",
) -> KeysmithError:
    """Delete an object that this task has created, and return the error that says what is left.

    Only a DELETE that the API carries out counts: that it does not find the object may mean that
    it does not know it yet. An error about an object that is left has the type ``orphan``.
    ``loss`` says what has become of its secret.
    """
    resource = objects.resource
    try:
        with api.cancellation.completing():
            _delete_created(api, objects, created)
    except KeysmithError as failure:
        left = error if error.type == "orphan" else as_orphan(error)
        left.parameters = [created.id]
        left.results, left.now = {"changed": True, **resource.results(created)}, created
        left.state_after = (
            f"The new {resource.noun} could not be revoked to clean up, so {resource.noun} "
            f"{created} may be left. {loss or f'Its {resource.issued} is lost.'} Revoke it by its "
            f"ID. {failure.message()}"
        )
        return left
    error.results, error.now = {}, None
    error.state_after = f"The new {resource.noun} was revoked to clean up: nothing is left."
    return error


def _delete_created(api: Client, objects: Objects[Obj], created: Obj) -> None:
    resource = objects.resource
    try:
        retry_unknown(api, resource, created, lambda: _delete(api, objects, created))
    except ApiError as error:
        # An attempt whose response was lost has done it.
        if not (error.outcome_unknown and says_missing(error, resource, created.id)):
            raise


def find_created(
    api: Client,
    objects: Objects[Obj],
    texts: Collection[str],
    known_ids: Collection[str],
    expected_ids: Collection[str] = (),
) -> list[Obj]:
    """Return the new objects with these texts: as soon as any, or all expected ones, are listed.

    ``known_ids``: of a complete listing before. Returns what there is after ORPHAN_PATIENCE.
    Raises StoppedError if the task is to stop.
    """
    resource = objects.resource
    backoff = Backoff(api, deadline=api.clock.now() + ORPHAN_PATIENCE)
    while True:
        found = [
            item
            for item in list_all(api, objects)
            if resource.text(item) in texts and item.id not in known_ids
        ]
        if found and {item.id for item in found}.issuperset(expected_ids):
            return found
        if not backoff.wait():
            return found


def lost_creation(
    api: Client,
    objects: Objects[Obj],
    text: str,
    known_ids: Collection[str],
    cause: KeysmithError,
) -> OrphanError:
    """Return the error of a creation whose response was lost; it names what was left behind."""
    resource = objects.resource
    found: list[Obj] = []
    try:
        with api.cancellation.completing():
            found = find_created(api, objects, {text}, known_ids)
    except KeysmithError as failure:
        left = (
            f"Whether it was created could not be found out either: {failure.message()} Look for "
            f"{resource.noun}s with this {resource.text_name} before you run the task again."
        )
    else:
        left = (
            f"No new {resource.noun} with this {resource.text_name} has appeared within "
            f"{ORPHAN_PATIENCE:.0f} s. Look again before you run the task again."
        )
        if found:
            left = (
                f"New {resource.noun}s with this {resource.text_name}: {names(found)}. Unless "
                "another run created it, this is what the task has left, and its "
                f"{resource.issued} is lost: revoke it by its ID, and run the task again."
            )
    error = as_orphan(cause)
    error.parameters, error.state_after = [item.id for item in found], left
    error.results = {"changed": True} if found else {}
    return error


def as_orphan(cause: KeysmithError) -> OrphanError:
    """Return an error as one about an object that is left, or may be."""
    error = OrphanError(
        cause.summary,
        hint=cause.hint,
        request=cause.request,
        status=cause.status,
        code=cause.code,
        reason=cause.reason,
        detail=cause.detail,
    )
    error.attempts, error.waited = cause.attempts, cause.waited
    return error


def duplicate_warnings(
    api: Client,
    objects: Objects[Obj],
    created: Collection[Obj],
    known_ids: Collection[str],
) -> list[str]:
    """Say which objects with the same texts others have created in the meantime; never raises.

    The secrets of the new objects must reach their user, whatever happens here.
    """
    resource = objects.resource
    ids = {item.id for item in created}
    texts = {resource.text(item) for item in created}
    try:
        # Not before the API lists the new objects, so that what follows this task finds them.
        found = find_created(api, objects, texts, known_ids, ids)
    except KeysmithError as error:
        return [
            f"Created: {names(created)}. Whether another run created the same in the meantime "
            f"could not be checked: {error.message()}"
        ]
    return [
        f"{resource.noun} {item} was created, and another run created {twin} with the same "
        f"{resource.text_name} in the meantime: revoke one of them by its ID."
        for item in created
        for twin in found
        if resource.text(twin) == resource.text(item) and twin.id not in ids
    ]


# Guard the signing credential.


def check_not_own(
    api: Client,
    resource: Resource[Obj],
    found: Obj,
    *,
    allowed: bool,
    loss: str,
    is_own_seen: bool = False,
) -> bool:
    """Return whether an object is the signing credential. Raises OwnKeyError unless allowed.

    ``loss`` completes "if … is meant". ``is_own_seen``: a listing shows the signing credential, so
    that no object whose identity as a credential is hidden can be it.
    """
    credential = resource.credential
    if credential is None:
        return False
    own, identity = credential.signing(api.endpoint), credential.of(found)
    if own is None or (is_own_seen and identity != own):
        return False
    if identity is None and not allowed:
        raise OwnKeyError(
            f"The API does not return the {credential.name} of the {resource.noun} "
            f"{found.id}, so it may be the one that signs the requests, and nothing was changed",
            hint=f"Set {credential.option} to true if {loss} is meant all the same.",
        )
    if identity == own and not allowed:
        raise OwnKeyError(
            f"The {resource.noun} {found} is the one that signs the requests, and nothing was "
            "changed",
            hint=f"Use another credential of the {resource.scope}, or set "
            f"{credential.option} to true if {loss} is meant.",
        )
    return identity in {own, None}
