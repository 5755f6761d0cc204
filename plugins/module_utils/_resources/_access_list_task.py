# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the access list of an object of any kind match a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import _plan
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    MissingError,
    OptionError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _resource,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._access_lists import (
    AccessLists,
    Goal,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import Obj


def goal_of(params: Mapping[str, Any]) -> Goal:
    """Return the change to the list that a task asks for. Raises OptionError."""
    entries = _access_lists.normalize(params["entries"])
    if params["purge"] and params["state"] == "absent":
        raise OptionError(
            "purge is set with state absent",
            hint="With state present, it removes all entries except those of the task.",
        )
    return Goal(entries, is_present=params["state"] == "present", purge=params["purge"])


def ensure(
    api: Client,
    lists: AccessLists[Obj],
    params: Mapping[str, Any],
    find: Callable[[], Obj],
    check_mode: bool,
) -> dict[str, Any]:
    """Change the list, and return the result of the task.

    ``find``: returns the object, or raises MissingError.
    """
    goal, resource, owner = goal_of(params), lists.resource, None
    objects = resource.of(params["org_id"])
    try:
        owner = find()
        found = _access_lists.read(api, lists, params["org_id"], owner)
        planned = replace(found, now=goal.of(found.now))
        if planned.is_changed:
            loss = "changing its own access list"
            _resource.check_not_own(api, resource, owner, params, loss=loss)
        _access_lists.check_size(planned)
        _access_lists.warn_of_opening(api, resource, str(owner), found.now, planned.now)
        if check_mode or not planned.is_changed:
            return planned.result()
        return _access_lists.change(api, found, goal).result()
    except MissingError as error:
        if goal.is_present or error.results.get("changed"):
            raise
        if owner is not None and not _resource.is_gone(api, objects, owner):
            raise
        # An object that does not exist has no access list.
        diff = _plan.absent(None).diff()
        return {"changed": False, lists.result_name: None, "diff": diff}
