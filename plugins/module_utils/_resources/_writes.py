# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create or change an object of any kind, and check that the API did what it was asked to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    KeysmithError,
    UnexpectedResponseError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _resource
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    ORG_OWNER,
    Obj,
    Objects,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted


@dataclass(frozen=True)
class Wanted(Generic[Obj]):
    """What a task asks of an object.

    ``is_met``: whether an object is as the task asked. ``text``: what it asked, for messages.
    ``state``: describes an object, for messages. ``values``: returns what a task can set. ``fill``:
    takes a response's JSON and the object in it, and returns the object with the requested values
    that the response leaves out. Leaving them out does not contradict the request.
    """

    is_met: Callable[[Obj], bool]
    text: str
    state: Callable[[Obj], str]
    values: Callable[[Obj], Any]
    fill: Callable[[Mapping[str, Any], Obj], Obj]


@dataclass(frozen=True)
class Created(Generic[Obj]):
    """A new object and its secret, which only the response to its creation contains.

    ``secret``: empty if there is none, or if it is in a file.
    """

    found: Obj
    secret: str = field(default="", repr=False)


def left_out(
    data: Mapping[str, Any], values: Mapping[str, Any], json_names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the values that a response leaves out. ``json_names``: the API's names of the values.

    See ``Wanted.fill``.
    """
    names = json_names or {}
    missing = {
        name: item for name, item in values.items() if data.get(names.get(name, name)) is None
    }
    if "roles" in missing:
        missing["roles"] = tuple(sorted(missing["roles"]))
    return missing


def create(  # noqa: PLR0917  each has a different type
    api: Client,
    objects: Objects[Obj],
    text: str,
    body: Mapping[str, Any],
    parse: Callable[[Any], Created[Obj] | None],
    wanted: Wanted[Obj],
    known_ids: Collection[str],
) -> Created[Obj]:
    """Create an object. ``known_ids``: the IDs in the full list before the creation.

    If the response is lost, the request is not sent again, and OrphanError lists the new objects
    with this text. An object that contradicts the request is deleted, since it may have rights that
    the task did not ask for.
    """
    operation = f"create the {objects.resource.noun} {quoted(text)}"

    def parse_new(data: Any) -> Created[Obj] | None:
        created = parse(data)
        if created is None or created.found.id in known_ids:
            return None
        return replace(created, found=wanted.fill(data, created.found))

    try:
        created = api.post(objects.call(operation, ORG_OWNER), body, parse_new)
    except KeysmithError as error:
        if not error.outcome_unknown:
            raise
        raise _resource.lost_creation(api, objects, text, known_ids, error) from None
    return created if wanted.is_met(created.found) else _confirm(api, objects, created, wanted)


def _confirm(
    api: Client, objects: Objects[Obj], created: Created[Obj], wanted: Wanted[Obj]
) -> Created[Obj]:
    """Return a created object if the API shows it as requested after all. Otherwise, delete it."""
    found, noun = created.found, objects.resource.noun

    def is_done(now: Obj | None) -> bool:
        return now is not None and wanted.is_met(now)

    try:
        now = _resource.poll_after(
            api, lambda: _resource.find_by_id(api, objects, found.id), is_done
        )
    except KeysmithError:
        now = None
    if now and is_done(now):
        return replace(created, found=now)
    error = UnexpectedResponseError(
        f"The API created the {noun} {found} as {wanted.state(found)}, but the task asked for "
        f"{wanted.text}",
        hint=_resource.contradiction_advice(objects.resource),
    )
    raise _resource.undo_creation(api, objects, found, error)


def update(
    api: Client,
    objects: Objects[Obj],
    found: Obj,
    body: Mapping[str, Any],
    wanted: Wanted[Obj],
) -> Obj:
    """Change an object, and return it afterwards. See ``_resource.change``.

    An error's ``results`` and ``now`` show what exists afterwards.
    """
    resource = objects.resource
    expected = resource.text(wanted.fill({}, found))

    def parse_this(data: Any) -> Obj | None:
        shown = objects.parse(data)
        if shown is None or shown.id != found.id:
            return None
        shown = wanted.fill(data, shown)
        if not wanted.is_met(shown):
            is_shown = f"the {resource.short_noun} as {wanted.state(shown)}"
            what = f"shows {is_shown} instead of {wanted.text}"
            raise _resource.contradicted(resource, what)
        return shown

    def send() -> Obj:
        call = objects.call(f"change the {resource.noun} {found}", ORG_OWNER, found.id)
        return api.patch(call, body, parse_this)

    def is_as_wanted(now: Obj) -> bool:
        # After a lost response, another text may mean that something else also happened.
        return wanted.is_met(now) and resource.text(now) == expected

    now, error = _resource.change(api, objects, found, send, is_as_wanted)
    if error is None:
        return now
    is_changed = wanted.values(now) != wanted.values(found)
    raise error.with_context(
        state_after=f"The API shows it as {wanted.state(now)} now.",
        results={"changed": is_changed, resource.result_name: now.result()},
        now=now,
    ) from None
