# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Describe kinds of API objects, and implement the operations that all kinds share.

The functions find, change and delete objects, prove absence, find what a lost response left behind,
and guard the signing credential. They raise the errors of ``_errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
    contains_path,
    internal_error,
    is_about_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import (
    normalize_description,
    quoted,
)

ORG_MEMBER = "Organization Member"
ORG_OWNER = "Organization Owner"
CREDENTIAL_MAY_BE_GONE = (
    "The request may have been carried out. If so, the signing credential may no longer work: "
    "check with another one."
)
_INITIAL_BACKOFF = 0.25
_MAX_BACKOFF = 2.0
# How many seconds the API may take to find an object that it has returned, to list a new one, and
# to show a change.
SETTLE_TIME = 10.0
# Seconds between two reads that must agree that something is gone.
SECOND_LOOK = 3.0
_DELETE_ATTEMPTS = 3
# The maximum number of objects that a message lists if there may be very many.
SHOWN = 20
LOOK_ALIKES = "Look-alikes differ only in case, whitespace, invisible characters or Unicode forms."


class Object(Protocol):
    """An object of the API. Messages identify it by its ``str``."""

    @property
    def id(self) -> str:
        """The ID, a part of paths."""

    def result(self) -> dict[str, Any]:
        """Return the object as results show it."""


T = TypeVar("T")
Obj = TypeVar("Obj", bound=Object)


@dataclass(frozen=True)
class Listing(Generic[Obj]):
    """A list that the API offers.

    ``title``: the term for the list in messages. ``path``: below the API's base path. ``version``:
    of the Atlas Administration API. ``reader``: the role that reading requires. ``parse``: takes
    the API's JSON; see ``Client``. ``query``: the parameters that the full list needs besides
    paging.
    """

    title: str
    path: str
    version: str
    reader: str
    parse: Callable[[Any], Obj | None] = field(compare=False)
    query: Mapping[str, str]

    def call(self, operation: str, role: str, *parts: str) -> Call:
        """Return a call to the listing's path or a path below it."""
        return Call("/".join([self.path, *parts]), operation, role, self.version)


@dataclass(frozen=True)
class SigningIdentity(Generic[Obj]):
    """How guards recognize the object that is the signing credential.

    ``name``: what identifies it, such as "public key". ``of``: returns the value of an object, None
    if the API hides it. ``signing``: the value of the signing credential, None if it is of another
    kind. ``option``: the option that lets a task lose its own access. ``is_unknown``: whether the
    signing credential is of this kind, but which one is unknown.
    """

    name: str
    of: Callable[[Obj], str | None]
    signing: Callable[[Endpoint], str | None]
    option: str
    is_unknown: Callable[[Endpoint], bool] = field(default=lambda _endpoint: False)

    def is_own(self, api: Client, found: Obj) -> bool:
        own = self.signing(api.endpoint)
        return own is not None and self.of(found) == own


@dataclass(frozen=True)
class Resource(Generic[Obj]):
    """A kind of object that belongs to an organization.

    ``noun``: the term for one in messages; the plural adds "s". ``verb``: the term for a deletion,
    which ends in "e". ``path``: of the listing, with {} for the organization's ID.
    ``parse``: takes the API's JSON and that ID. ``text``: the text by which people select one,
    which is not unique.
    ``missing``: the codes that say, if they are about an object, that it does not exist.
    ``hints``: further codes after which the full list decides. ``text_name``: the API's word for
    the text. ``id_option``: the option that takes an ID. ``result_name``: the name of an object in
    results. ``issued``: the term for the part that only the response to a creation has.
    ``reader``: the role that reading requires. ``query``: as in ``Listing``. ``topic``: a part of
    all codes about such an object if the exact codes are not known. The full list must then agree.
    """

    noun: str
    path: str
    version: str
    parse: Callable[[Any, str], Obj | None]
    text: Callable[[Obj], str]
    missing: frozenset[str]
    result_name: str
    hints: frozenset[str] = frozenset()
    verb: str = "delete"
    text_name: str = "name"
    id_option: str = "id"
    identity: SigningIdentity[Obj] | None = None
    issued: str = "secret"
    reader: str = ORG_MEMBER
    query: Mapping[str, str] = field(default_factory=dict)
    topic: str = ""

    @property
    def a_noun(self) -> str:
        return _with_article(self.noun)

    @property
    def capital_noun(self) -> str:
        """Return the term for one at the start of a message."""
        return self.noun[:1].upper() + self.noun[1:]

    @property
    def short_noun(self) -> str:
        """Return the term for one that a message has already described."""
        return self.noun.split()[-1]

    @property
    def a_short_noun(self) -> str:
        return _with_article(self.short_noun)

    def with_text(self, found: Obj) -> str:
        """Return an object with its text as messages show it."""
        text = quoted(self.text(found))
        return str(found) if text in str(found) else f"{found} {text}"

    def of(self, org_id: str) -> Objects[Obj]:
        """Return the objects of an organization."""
        return Objects(
            title=f"{self.noun}s of organization {org_id}",
            path=self.path.format(org_id),
            version=self.version,
            reader=self.reader,
            parse=lambda data: self.parse(data, org_id),
            query=self.query,
            resource=self,
            org_id=org_id,
        )


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


@dataclass(frozen=True)
class Objects(Listing[Obj]):
    """All objects of a kind in one organization."""

    resource: Resource[Obj]
    org_id: str


class Backoff:
    """The pauses of a poll: 0.25 s, then twice as long each time, up to 2 s."""

    def __init__(self, api: Client, *, deadline: float) -> None:
        self._api = api
        self._deadline = deadline
        self.pause = _INITIAL_BACKOFF

    @property
    def is_over(self) -> bool:
        """Return whether the next pause would end after the deadline, a time of the clock."""
        return self._api.clock.now() + self.pause > self._deadline

    def pause_now(self) -> float:
        """Wait, even past the deadline, and return the seconds. Raises CancelledError."""
        seconds, self.pause = self.pause, min(self.pause * 2, _MAX_BACKOFF)
        self._api.cancellation.pause(seconds)
        return seconds

    def wait(self) -> bool:
        """Wait if there is time left, and return whether there was. Raises CancelledError."""
        if self.is_over:
            return False
        self.pause_now()
        return True


def poll(api: Client, read: Callable[[], T], is_done: Callable[[T], bool]) -> T:
    """Read until the value is as expected, or for SETTLE_TIME, and return the last value.

    If the task is canceled while it waits, return the last value too.
    """
    backoff = Backoff(api, deadline=api.clock.now() + SETTLE_TIME)
    while True:
        value = read()
        try:
            if is_done(value) or not backoff.wait():
                return value
        except CancelledError:
            return value


def poll_after(api: Client, read: Callable[[], T], is_done: Callable[[T], bool]) -> T:
    """Poll to find out what a request has led to, even if the task was canceled."""
    with api.cancellation.completing():
        return poll(api, read, is_done)


# Find.


def list_all(api: Client, listing: Listing[Obj]) -> list[Obj]:
    """Return every object of a listing, in the API's order."""
    call = listing.call(f"list the {listing.title}", listing.reader)
    call = replace(call, query=listing.query)
    return api.pages(call, listing.parse, lambda found: found.id)


def find_by_id(
    api: Client,
    objects: Objects[Obj],
    object_id: str,
    deadline: float | None = None,
) -> Obj | None:
    """Return the object with this ID, None if the API proves that it does not exist."""

    def parse_this(data: Any) -> Obj | None:
        found = objects.parse(data)
        return found if found and found.id.lower() == object_id.lower() else None

    resource = objects.resource
    call = objects.call(f"read the {resource.noun} {object_id}", objects.reader, object_id)
    try:
        return api.get(call, parse_this, deadline)
    except ApiError as error:
        if not is_missing(api, objects, object_id, error):
            raise
        return None


def pick_by_text(
    listed: Sequence[Obj],
    objects: Objects[Obj],
    text: str,
    *,
    look_alikes: str = "refuse",
) -> Obj | None:
    """Return the object that has exactly this text, None if no object has it.

    Raises AmbiguousError if several have it, or if none has it and others look like it, unless
    ``look_alikes`` is ``ignore``.
    """
    resource = objects.resource
    which = f"{resource.text_name} {quoted(text)}"
    exact = [item for item in listed if resource.text(item) == text]
    found = expect_one(objects, which, exact)
    if found is None and look_alikes == "refuse":
        check_look_alikes(listed, objects, text)
    return found


def pick_renamed(
    listed: Sequence[Obj], objects: Objects[Obj], params: Mapping[str, Any]
) -> Obj | None:
    """Return the object with the old text or, if it has already been renamed, with the new one.

    Raises AmbiguousError if both exist, and MissingError if neither does and a new text is set.
    """
    resource, text = objects.resource, objects.resource.text
    old, new = params[resource.text_name], params[f"new_{resource.text_name}"]
    look_alikes = params["look_alikes"]
    if new is None:
        return pick_by_text(listed, objects, old, look_alikes=look_alikes)
    # The two may look alike. An object that has one exactly is not a look-alike of the other.
    others = [item for item in listed if text(item) != new or new == old]
    found = pick_by_text(others, objects, old, look_alikes=look_alikes)
    others = [item for item in listed if item is not found]
    renamed = None
    if new != old:
        renamed = pick_by_text(others, objects, new, look_alikes=look_alikes)
    if found and renamed:
        raise AmbiguousError(
            f"{resource.capital_noun} {found} has the old {resource.text_name} and {resource.noun} "
            f"{renamed} has the new one",
            hint=f"Nothing was changed. Use {resource.id_option} to pick one.",
        )
    if not found and not renamed:
        raise MissingError(
            f"No {resource.noun} of organization {objects.org_id} has the {resource.text_name} "
            f"{quoted(old)} or {quoted(new)}",
            hint=f"new_{resource.text_name} renames an existing {resource.short_noun}. To create "
            f"{resource.a_short_noun}, leave it unset.",
        )
    return found or renamed


def check_look_alikes(listed: Iterable[Obj], objects: Objects[Obj], text: str) -> None:
    """Refuse a text that no object has exactly if the texts of some objects look like it."""
    resource = objects.resource
    similar = by_normalized(listed, resource).get(normalize_description(text))
    if similar:
        raise AmbiguousError(
            f"No {resource.noun} of organization {objects.org_id} has exactly the "
            f"{resource.text_name} {quoted(text)}, but these look like it: "
            f"{described(similar, resource)}",
            hint=f"Nothing was changed. {LOOK_ALIKES} Use the exact {resource.text_name} or "
            f"the {resource.noun}'s ID, or set look_alikes to ignore if they are different "
            f"{resource.noun}s.",
        )


def by_normalized(listed: Iterable[Obj], resource: Resource[Obj]) -> dict[str, list[Obj]]:
    """Group the objects that have a text by its normalized form."""
    groups: dict[str, list[Obj]] = {}
    for item in filter(resource.text, listed):
        groups.setdefault(normalize_description(resource.text(item)), []).append(item)
    return groups


def expect_one(objects: Objects[Obj], which: str, found: Sequence[Obj]) -> Obj | None:
    """Return the only one of the objects, None if there is none. Raises AmbiguousError."""
    resource = objects.resource
    if len(found) > 1:
        raise AmbiguousError(
            f"{len(found)} {objects.title} have the {which}: {names(found)}",
            hint=f"Nothing was changed. Use {resource.id_option} to pick one.",
        )
    return found[0] if found else None


def names(found: Iterable[Object]) -> str:
    """Return the objects as errors list them."""
    return ", ".join(str(item) for item in sorted(found, key=lambda item: item.id))


def summarize(found: Sequence[Object]) -> str:
    """Return the objects as errors list them, up to SHOWN."""
    return names(found[:SHOWN]) + _rest(found)


def described(found: Iterable[Obj], resource: Resource[Obj]) -> str:
    """Return the objects with their texts as errors list them, up to SHOWN."""
    shown = sorted(found, key=lambda item: item.id)
    return ", ".join(map(resource.with_text, shown[:SHOWN])) + _rest(shown)


def _rest(found: Sequence[Object]) -> str:
    return f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""


# Prove absence.


def says_missing(error: KeysmithError, resource: Resource[Obj], object_id: str) -> bool:
    """Return whether an error says that this object does not exist (docs/apis.md: Absence).

    The status is 400 or 404, and the parameters, if any, contain the ID.
    """
    if not isinstance(error, ApiError) or error.status not in {400, 404} or not error.code:
        return False
    is_code = error.code in resource.missing
    if resource.topic:
        is_about = resource.topic in error.code or _is_not_found(error)
        is_code = is_about and error.code.endswith("NOT_FOUND")
        # A parameter may be the ID or text that contains it.
        words = " ".join(map(str, error.parameters)).lower()
        return is_code and (not error.parameters or object_id.lower() in words)
    return is_code and (not error.parameters or object_id in error.parameters)


def is_missing(api: Client, objects: Objects[Obj], object_id: str, error: ApiError) -> bool:
    """Return whether an error proves, by itself or with the list, that an object is missing.

    If the list still has the object, the error has another cause, which its message explains. If
    the codes are not known, raises the error with advice instead.
    """
    resource = objects.resource
    if not resource.topic and says_missing(error, resource, object_id):
        return True
    if not _hints_at_absence(error, resource):
        return False
    # An object whose ID differs only in case is the same one for some servers.
    same = [item for item in list_all(api, objects) if item.id.lower() == object_id.lower()]
    if same and resource.topic:
        raise error.with_context(
            hint=f"The full list has the {resource.noun} {same[0]}, so it is not missing. Check "
            "its ID, or run the task again later."
        )
    return not same


def is_gone(api: Client, objects: Objects[Obj], found: Obj) -> bool:
    """Return whether an object that an error reports as missing is really missing.

    If the codes are not known exactly, the error alone proves nothing.
    """
    return not objects.resource.topic or find_by_id(api, objects, found.id) is None


def _hints_at_absence(error: ApiError, resource: Resource[Obj]) -> bool:
    if resource.topic:
        code = error.code or ""
        if resource.topic in code:
            return error.status in {400, 404}
        # Codes of web frameworks are not in uppercase.
        is_code = error.status == 404 and (code.isupper() or not code)
        return is_code and not contains_path(error.parameters)
    is_code = error.code in resource.missing | resource.hints and error.status in {400, 404}
    return is_code or _is_not_found(error)


def _is_not_found(error: ApiError) -> bool:
    """Whether an error says that something other than the path is missing."""
    is_code = error.status == 404 and error.code == "RESOURCE_NOT_FOUND"
    return is_code and not is_about_path(error.parameters)


def as_missing_error(
    error: KeysmithError, resource: Resource[Obj], found: Obj, hint: str
) -> KeysmithError:
    """Return MissingError if the API does not find an object that this task has seen.

    Any other error is returned unchanged.
    """
    if not says_missing(error, resource, found.id):
        return error
    return missing_error(resource, found, hint).with_context(
        outcome_unknown=error.outcome_unknown, attempts=error.attempts, waited=error.waited
    )


def missing_error(resource: Resource[Obj], found: Obj, hint: str) -> MissingError:
    """Return the error about an object that this task has seen. It may still exist."""
    return MissingError(
        f"The API does not find the {resource.noun} {found}, which this task has seen: it was "
        f"{resource.verb}d in the meantime, or is still propagating",
        hint=hint,
    )


def await_absence(api: Client, objects: Objects[Obj], found: Obj, timeout: float) -> None:
    """Return when two reads in a row agree that a deleted object is missing.

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
                if gone and all(item.id != found.id for item in list_all(api, objects)):
                    return
                raise WaitTimeoutError(
                    f"The API still shows the {resource.noun} {found} {timeout:g} s after the task "
                    f"{resource.verb}d it",
                    hint="Run the task again to check whether it is gone, or increase "
                    "wait_timeout.",
                )
            was_missing = gone
            backoff.pause_now()
    except KeysmithError as error:
        raise error.with_context(
            state_after=f"The API accepted the request to {resource.verb} it. Whether the "
            f"{resource.noun} still works is not known."
        ) from None


# Change, and find out what became of a change.


def retry_unknown(api: Client, resource: Resource[Obj], known_id: str, send: Callable[[], T]) -> T:
    """Send a request about an object that this task has seen until the API knows the object.

    The APIs are eventually consistent. An error that says that the object is missing is a refusal,
    so nothing was changed, and repeating the request is safe. ``known_id``: the ID of the object,
    or of the part of it that the request is about.
    """
    backoff = Backoff(api, deadline=api.clock.now() + SETTLE_TIME)
    attempts, waited = 1, 0.0
    while True:
        try:
            return send()
        except ApiError as error:
            if error.outcome_unknown or not says_missing(error, resource, known_id):
                raise
            if backoff.is_over:
                raise error.with_context(attempts=attempts, waited=waited) from None
            with _following(error, "The API refused the request, so it changed nothing."):
                waited += backoff.pause_now()
            attempts += 1


def delete_known(
    api: Client,
    send: Callable[[], None],
    says_missing: Callable[[KeysmithError], bool],
    is_shown: Callable[[], bool],
) -> bool:
    """Delete something that this task has seen, and return whether this call did it.

    The APIs are eventually consistent. A missing object counts as deleted only if a second
    read some seconds later confirms it. If it reappears, it is deleted again.
    """
    is_done = False
    for _attempt in range(_DELETE_ATTEMPTS):
        try:
            send()
        except KeysmithError as failure:
            # Remember that an earlier attempt may have done it.
            is_done = is_done or failure.outcome_unknown
            error = failure.with_context(outcome_unknown=is_done)
        else:
            return True
        with api.cancellation.completing():
            with _following(error):
                if not says_missing(error):
                    raise error
            state = "The API no longer finds it, but the task did not check whether that is final."
            with _following(error, state):
                api.cancellation.pause(SECOND_LOOK)
                if not is_shown():
                    return is_done
    state = "A second read shows that it still exists. Run the task again later."
    raise error.with_context(state_after=state)


def delete(api: Client, objects: Objects[Obj], found: Obj, *, may_be_own: bool = False) -> bool:
    """Delete an object that this task has seen, and return whether this call did it.

    If the response to an earlier attempt was lost and a later one finds no such object, this call
    did it. Otherwise, another run or user did. ``may_be_own``: whether the object may be the
    signing credential although that cannot be seen.
    """
    identity = objects.resource.identity
    is_own = may_be_own or (identity is not None and identity.is_own(api, found))
    with ending_credential(api, is_own=is_own):
        return delete_known(
            api,
            lambda: _delete(api, objects, found),
            lambda error: isinstance(error, ApiError) and is_missing(api, objects, found.id, error),
            lambda: find_by_id(api, objects, found.id) is not None,
        )


@contextmanager
def ending_credential(api: Client, *, is_own: bool) -> Iterator[None]:
    """Use the signing credential for the last time, if the block deletes it.

    Its access token becomes invalid with it, so the token is not revoked later. The same applies
    if it is not known whether the credential was deleted.
    """
    if is_own:
        api.expect_revocation()
    try:
        yield
    except KeysmithError as error:
        if is_own and error.outcome_unknown:
            api.forget_credential()
            state = error.state_after or CREDENTIAL_MAY_BE_GONE
            raise error.with_context(state_after=state) from None
        raise
    if is_own:
        api.forget_credential()


def _delete(api: Client, objects: Objects[Obj], found: Obj) -> None:
    operation = f"{objects.resource.verb} the {objects.resource.noun} {found}"
    api.delete(objects.call(operation, ORG_OWNER, found.id))


@contextmanager
def _following(error: KeysmithError, state: str = "") -> Iterator[None]:
    """Carry over what an earlier error left unknown to an error that follows it."""
    try:
        yield
    except KeysmithError as failure:
        earlier = error.request if isinstance(failure, CancelledError) else None
        raise failure.with_context(
            outcome_unknown=failure.outcome_unknown or error.outcome_unknown,
            state_after=failure.state_after or state,
            request=failure.request or earlier,
        ) from None


def contradicted(resource: Resource[Obj], what: str) -> UnexpectedResponseError:
    """Return the error about a success whose response does not show what the task asked for.

    The change may have been made anyway.
    """
    return UnexpectedResponseError(
        f"the API accepted the request, but its response {what}",
        hint=contradiction_advice(resource),
        outcome_unknown=True,
    )


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
    """Send a change and return the object afterwards.

    If the response is lost or contradicts the request, the object is read again. If it is not
    as wanted, the error is returned too. Raises other errors, and also that error if the object
    cannot be read.
    """
    resource = objects.resource
    try:
        return retry_unknown(api, resource, found.id, send), None
    except KeysmithError as failure:
        error = as_missing_error(
            failure, resource, found, f"Only {resource.a_noun} that exists can be changed."
        )
        if not error.outcome_unknown:
            raise error from None
        try:
            now = poll_after(
                api,
                lambda: find_by_id(api, objects, found.id),
                lambda now: now is not None and is_as_wanted(now),
            )
        except KeysmithError:
            raise error from None
        if now is None:
            state = "The API shows it as missing now."
            raise error.with_context(state_after=state) from None
        return now, None if is_as_wanted(now) else error


# Create, or leave nothing behind.


@contextmanager
def undoing(api: Client, undo: Callable[[KeysmithError], KeysmithError]) -> Iterator[None]:
    """Finish the block even if the task is canceled. If it fails, raise what ``undo`` returns.

    This applies to every exception: what was created must not be left behind unreported, because
    its secret is lost.
    """
    try:
        with api.cancellation.completing():
            yield
    except Exception as failure:
        error = failure if isinstance(failure, KeysmithError) else internal_error(failure)
        raise undo(error) from None


def undo_creation(
    api: Client,
    objects: Objects[Obj],
    created: Obj,
    error: KeysmithError,
    loss: str = "",
) -> KeysmithError:
    """Delete an object that this task has created, and return the error that says what is left.

    The API must accept a DELETE. If it does not find the object, it may not know it yet. An error
    about an object that is left has the type ``orphan``. ``loss``: what happened to its secret.
    """
    resource = objects.resource
    noun, verb = resource.noun, resource.verb
    try:
        with api.cancellation.completing():
            delete_created(api, resource, created.id, lambda: _delete(api, objects, created))
    except KeysmithError as failure:
        return as_orphan(error).with_context(
            parameters=[created.id],
            results={"changed": True, resource.result_name: created.result()},
            now=created,
            state_after=f"The new {noun} could not be {verb}d to clean up, so {noun} {created} may "
            f"still exist. {loss or f'Its {resource.issued} is lost.'} {verb.capitalize()} it by "
            f"its ID. {failure.message()}",
        )
    state = f"The new {noun} was {verb}d to clean up: nothing is left."
    return error.with_context(results={}, now=None, state_after=state)


def delete_created(
    api: Client, resource: Resource[Obj], new_id: str, send: Callable[[], None]
) -> None:
    """Delete a new object, or a new part of one. The API must accept the request.

    If it does not find the object, it may not know it yet.
    """
    try:
        retry_unknown(api, resource, new_id, send)
    except ApiError as error:
        # An attempt whose response was lost may have done it.
        if not (error.outcome_unknown and says_missing(error, resource, new_id)):
            raise


def find_created(
    api: Client,
    objects: Objects[Obj],
    texts: Collection[str],
    known_ids: Collection[str],
    expected_ids: Collection[str] = (),
) -> list[Obj]:
    """Return the new objects with these texts, as soon as any, or all expected ones, are listed.

    ``known_ids``: the IDs in the full list before the creation.
    """
    text = objects.resource.text

    def read() -> list[Obj]:
        listed = list_all(api, objects)
        return [item for item in listed if text(item) in texts and item.id not in known_ids]

    return poll(
        api,
        read,
        lambda found: bool(found) and {item.id for item in found}.issuperset(expected_ids),
    )


def lost_creation(
    api: Client,
    objects: Objects[Obj],
    text: str,
    known_ids: Collection[str],
    cause: KeysmithError,
) -> OrphanError:
    """Return the error about a creation whose response was lost, with what it may have left."""
    resource = objects.resource
    found: list[Obj] = []
    try:
        with api.cancellation.completing():
            found = find_created(api, objects, {text}, known_ids)
    except KeysmithError as failure:
        left = (
            f"Whether it was created could not be checked either: {failure.message()} Look for "
            f"{resource.noun}s with this {resource.text_name} before you run the task again."
        )
    else:
        left = (
            f"No new {resource.noun} with this {resource.text_name} has appeared within "
            f"{SETTLE_TIME:.0f} s. Look again before you run the task again."
        )
        if found:
            left = (
                f"New {resource.noun}s with this {resource.text_name}: {names(found)}. Unless "
                f"another run created it, this task did, and its {resource.issued} is lost: "
                f"{resource.verb} it by its ID, then run the task again."
            )
    return as_orphan(cause).with_context(
        parameters=[item.id for item in found],
        state_after=left,
        results={"changed": True} if found else {},
    )


def as_orphan(cause: KeysmithError) -> OrphanError:
    """Return an error as one about an object that may be left."""
    return OrphanError(
        cause.summary,
        hint=cause.hint,
        request=cause.request,
        status=cause.status,
        code=cause.code,
        reason=cause.reason,
        detail=cause.detail,
        attempts=cause.attempts,
        waited=cause.waited,
    )


def duplicate_warnings(
    api: Client,
    objects: Objects[Obj],
    created: Collection[Obj],
    known_ids: Collection[str],
) -> list[str]:
    """Return warnings about objects with the same texts that other runs created in the meantime.

    Never raises: the secrets of the new objects must be returned. Waits until the API lists
    the new objects, so that the next task finds them.
    """
    resource = objects.resource
    ids = {item.id for item in created}
    texts = {resource.text(item) for item in created}
    try:
        found = find_created(api, objects, texts, known_ids, ids)
    except KeysmithError as error:
        return [
            f"Created: {names(created)}. Whether another run created the same in the meantime "
            f"could not be checked: {error.message()}"
        ]
    return [
        f"{resource.capital_noun} {item} was created, and another run created {duplicate} with the "
        f"same {resource.text_name} in the meantime: {resource.verb} one of them by its ID."
        for item in created
        for duplicate in found
        if resource.text(duplicate) == resource.text(item) and duplicate.id not in ids
    ]


# Guard the signing credential.


def check_not_own(
    api: Client,
    resource: Resource[Obj],
    found: Obj,
    params: Mapping[str, Any],
    *,
    loss: str,
    is_own_seen: bool = False,
) -> bool:
    """Return whether an object may be the signing credential. Raises OwnKeyError unless allowed.

    ``params``: the options of the task. ``loss`` completes "to allow". ``is_own_seen``: whether a
    listing shows the signing credential, so an object whose identity is hidden is another one.
    """
    identity = resource.identity
    if identity is None:
        return False
    is_unknown = identity.is_unknown(api.endpoint)
    if not is_unknown and identity.signing(api.endpoint) is None:
        return False
    is_own, is_hidden = identity.is_own(api, found), identity.of(found) is None and not is_own_seen
    if not (is_own or is_hidden or is_unknown):
        return False
    if not params[identity.option]:
        which = f"The {resource.noun} {found} is the one that this task authenticates with"
        if is_hidden:
            which = (
                f"The API does not return the {identity.name} of the {resource.noun} {found.id}, "
                "so it may be the one that this task authenticates with"
            )
        instead = "Use another credential of the organization"
        if is_unknown:
            which = (
                f"The access token may belong to the {resource.noun} {found}, because client_id is "
                "not set"
            )
            instead = "Set client_id to the account that the token belongs to"
        raise OwnKeyError(
            f"{which}, and nothing was changed",
            hint=f"{instead}, or set {identity.option} to true to allow {loss}.",
        )
    return True
