# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make sure that an object of any kind does not exist."""

from __future__ import annotations

from collections.abc import Mapping
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


def ensure(  # noqa: PLR0917  each one is of another kind
    api: Client,
    objects: Objects[Obj],
    found: Obj | None,
    current: Mapping[str, Any],
    params: Mapping[str, Any],
    check_mode: bool,
) -> dict[str, Any]:
    """Delete an object, unless it is missing, and return the result of the task.

    ``current``: the writable fields, for the diff. ``params``: ``wait``, ``wait_timeout`` and the
    option that allows to delete the signing credential.
    """
    resource = objects.resource
    missing = {"changed": False, resource.result_name: None, "diff": _plan.absent(None).diff()}
    if found is None:
        return missing
    verb, noun, identity = resource.verb, resource.noun, resource.identity
    is_own = identity is not None and _resource.check_not_own(
        api, resource, found, allowed=params[identity.option], loss=f"this task to {verb} it"
    )
    if is_own and params["wait"]:
        raise OwnKeyError(
            f"This task authenticates, or may authenticate, with the {noun} {found}. Once the "
            f"{noun} is {verb}d, the task cannot verify that it is gone. Nothing was changed",
            hint="Set wait to false, or use another credential.",
        )
    plan = _plan.absent(dict(current))
    result = {"changed": True, resource.result_name: found.result(), "diff": plan.diff()}
    if check_mode:
        return result
    if not _resource.delete(api, objects, found):
        # Another run or user has deleted it in the meantime.
        return missing
    if params["wait"]:
        try:
            _resource.await_absence(api, objects, found, params["wait_timeout"])
        except KeysmithError as error:
            error.results = result
            raise
    return result
