# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make sure that an object of any kind does not exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import _plan
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    KeysmithError,
    OwnKeyError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _resource
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    Obj,
    Objects,
)


def ensure(
    api: Client,
    objects: Objects[Obj],
    found: Obj | None,
    params: Mapping[str, Any],
    *,
    check_mode: bool,
    writable: Callable[[Obj], dict[str, Any]],
    warn: Callable[[Obj], None] = lambda _found: None,
) -> dict[str, Any]:
    """Delete an object, unless it is missing, and return the result of the task.

    ``params``: ``wait``, ``wait_timeout`` and the option that allows deleting the signing
    credential. ``writable``: returns what a task can set, for the diff. ``warn``: warns about what
    the organization loses with the object.
    """
    resource = objects.resource
    missing = {"changed": False, resource.result_name: None, "diff": _plan.absent(None).diff()}
    if found is None:
        return missing
    verb = resource.verb
    loss = f"{verb[:-1]}ing it and losing this access"
    may_be_own = _resource.check_not_own(api, resource, found, params, loss=loss)
    if may_be_own and params["wait"]:
        raise OwnKeyError(
            f"This task authenticates, or may authenticate, with the {resource.noun} {found}. Once "
            f"the {resource.short_noun} is {verb}d, the task cannot verify that it is gone. "
            "Nothing was changed",
            hint="Set wait to false, or use another credential.",
        )
    warn(found)
    plan = _plan.absent(writable(found))
    result = {
        "changed": plan.is_change,
        resource.result_name: found.result(),
        "diff": plan.diff(),
    }
    if check_mode:
        return result
    if not _resource.delete(api, objects, found, may_be_own=may_be_own):
        # Another task deleted it first.
        return missing
    if params["wait"]:
        try:
            _resource.await_absence(api, objects, found, params["wait_timeout"])
        except KeysmithError as error:
            raise error.with_context(results=result) from None
    return result
