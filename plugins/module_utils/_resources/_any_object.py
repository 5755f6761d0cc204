# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Send the request that a task describes, to any endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Optional
from urllib.parse import quote

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _download,
    _endpoints,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import (
    Call,
    Client,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import Response
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import is_html
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    ApiError,
    KeysmithError,
    OwnKeyError,
    is_about_path,
    sanitize,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _resource
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted

FORMATS = ("json", "gzip", "csv")
_HEADERS = ("deprecation", "sunset")
_RATE_LIMIT = "ratelimit"
# The advice in ``_errors`` is for modules that set the method and the version themselves.
_HINTS = {
    405: "The path may not support this method, or the API accepts no changes at the moment. Check "
    "path and method.",
    406: "The API does not support this version or format for the path. Check api_version and "
    "accept_format.",
    410: "The API has withdrawn this version of the path. Set api_version to a later one.",
}
# With these codes, the object exists, but in another product.
_OF_ANOTHER_PRODUCT = frozenset(
    {"NOT_ATLAS_ORG", "NOT_ATLAS_GROUP", "EXPECTED_NON_ATLAS_ORG", "EXPECTED_NON_ATLAS_GROUP"}
)
_SEND_AGAIN = (
    "The request may have been carried out. Check what exists before you run the task again, "
    "because the task would send the request again."
)


@dataclass(frozen=True)
class _Item:
    """An item of any kind in a list.

    Two items are equal if they have the same identity, even if their other fields differ. Changed
    fields therefore do not make two reads of a list inconsistent.
    """

    identity: str
    data: Any = field(compare=False)

    @classmethod
    def of(cls, data: Any) -> _Item:
        name = data.get("id") if isinstance(data, Mapping) else None
        return cls(name if isinstance(name, str) else _sorted_json(data), data)


def _sorted_json(value: Any) -> str:
    """Return JSON as text with sorted lists, because the API may change their order."""
    if isinstance(value, Mapping):
        return json.dumps({name: _sorted_json(item) for name, item in sorted(value.items())})
    if isinstance(value, list):
        return json.dumps(sorted(map(_sorted_json, value)))
    return json.dumps(value)


@dataclass(frozen=True)
class Task:
    """A request whose options ``check`` of the module has accepted."""

    api: Client
    params: Mapping[str, Any]
    path: str
    version: str

    @property
    def method(self) -> str:
        return str(self.params["method"])

    def where(self, method: str) -> str:
        """Return a request to the task's path, as shown in messages."""
        return f"{method} {self.api.endpoint.platform.api_path}{self.path}"

    @property
    def body(self) -> Any:
        return self.params["body"]

    def call(self, method: str, path: str | None = None) -> Call:
        """Return a call to the task's path with the query, or to another path without it."""
        query = _endpoints.query_texts(self.params["query"]) if path is None else {}
        path = self.path if path is None else path
        operation = f"send {method} {self.api.endpoint.platform.api_path}{path}"
        return Call(path, operation, "", self.version, query)

    def send(self, method: str, body: Any = None) -> Response:
        """Send a request to the task's path. Raises KeysmithError with advice for this module."""
        with _advised(self), _warned(self, method):
            return self.api.call(method, self.call(method), body)

    def listing(self, path: str | None = None) -> list[Any]:
        """Return all items of the list at a path, which has pages or is a plain array."""
        with _advised(self), nullcontext() if path else _warned(self, "GET"):
            call = self.call("GET", path)
            items = self.api.pages(call, _Item.of, lambda item: item.identity, may_be_bare=True)
        return [item.data for item in items]


@contextmanager
def _advised(task: Task) -> Iterator[None]:
    try:
        yield
    except KeysmithError as error:
        raise error.with_context(hint=_advice(task, error)) from None


def _advice(task: Task, error: KeysmithError) -> str:
    """Return what to check after an error, in terms of the options of this module."""
    status, code = error.status or 0, error.code or ""
    response = task.api.last_response
    if error.type == "unexpected_response" and 200 <= status < 300:
        if task.params["all_pages"] or task.params["unique_by"]:
            option = "all_pages" if task.params["all_pages"] else "unique_by"
            return f"{error.hint} {option} needs a path that returns a list."
        is_other = response is not None and not response.is_json and not is_html(response)
        if task.method == "GET" and not task.params["dest"] and is_other:
            return f"{error.hint} To save a response that is not JSON in a file, set dest."
    is_missing = status == 404 or (status == 400 and code.endswith("_NOT_FOUND"))
    if isinstance(error, ApiError) and is_missing and code not in _OF_ANOTHER_PRODUCT:
        hint = (
            "The path or something in it does not exist, or the credential has no access to it. "
            f"Check path, and also platform and base_url ({task.api.endpoint.base_url})."
        )
        if task.method == "DELETE" and code and not _is_wrong_path(error):
            hint += f" To accept that the object does not exist, add {code} to missing_codes."
        return hint
    return _HINTS.get(status, error.hint)


def perform(task: Task, check_mode: bool) -> dict[str, Any]:
    """Send the request if it is needed, and return the result of the task."""
    if task.params["dest"]:
        return _save(task, check_mode)
    if task.method == "GET":
        return _result(task, changed=False, data=_read(task))
    try:
        check_not_own(task)
    except ApiError as error:
        # The guard reads objects along the path, and one of them may be missing.
        if not _says_missing(task, error):
            raise
        missing = _result(task, changed=False, data=None)
        return {**missing, "diff": {"before": {}, "after": {}}}
    plan = _PLANS.get(task.method, _plan_delete)
    unchanged, before, after = plan(task, check_mode)
    diff = {"before": _endpoints.redacted(before), "after": _endpoints.redacted(after)}
    if unchanged is not None:
        return {**unchanged, "diff": {"before": diff["before"], "after": diff["before"]}}
    if check_mode:
        return {"changed": True, "status": None, "json": None, "headers": {}, "diff": diff}
    return {**_write(task), "diff": diff}


def _save(task: Task, check_mode: bool) -> dict[str, Any]:
    """Save the response in a file."""
    wanted = task.params["accept_format"]
    formats = (wanted,) if wanted else FORMATS
    path = task.params["dest"]
    with closing(_download.Download(path, check_mode=check_mode)) as receiver:
        for media in formats:
            try:
                with _advised(task), _warned(task, "GET"):
                    response = task.api.download(replace(task.call("GET"), media=media), receiver)
                break
            except KeysmithError as error:
                if error.status != 406 or media == formats[-1]:
                    raise
        if response.status != 200:
            # The API has not created the file yet.
            return {**_result(task, changed=False, data=_json(response)), "dest": None}
        is_changed = receiver.finish()
    result = _result(task, changed=is_changed, data=None)
    return {**result, "dest": path}


def _read(task: Task) -> Any:
    return task.listing() if task.params["all_pages"] else _json(task.send("GET"))


def _json(response: Response | None) -> Any:
    return response.payload if response and response.body.strip() else None


# The result if nothing must be sent, None otherwise; and what the diff shows before and after.
Plan = tuple[Optional[dict[str, Any]], Any, Any]


def _plan_change(task: Task, _check_mode: bool) -> Plan:
    if not task.params["compare"]:
        return None, {}, task.body
    ignored = task.params["ignore"] or ()
    current = _json(task.send("GET"))
    before = _endpoints.shared_part(task.body, current, ignored)
    if not _endpoints.is_there(task.body, current, ignored):
        return None, before, _endpoints.without(task.body, ignored)
    return _result(task, changed=False, data=current), before, before


def _plan_creation(task: Task, _check_mode: bool) -> Plan:
    body = {} if task.body is None else task.body
    if not task.params["unique_by"]:
        return None, {}, body
    found = _same_items(task)
    if found is None:
        return None, {}, body
    return _result(task, changed=False, data=found), found, found


def _same_items(task: Task) -> Any:
    """Return the only item that has the values of the body, None if no item has them."""
    fields, items = task.params["unique_by"], task.listing()
    hidden = [
        name
        for name in fields
        if items and not any(isinstance(item, Mapping) and name in item for item in items)
    ]
    if hidden:
        raise AmbiguousError(
            "Cannot tell whether the object that the task would create exists: no item of "
            f"{task.where('GET')} has the field {_fields(hidden)}",
            hint="Nothing was changed. Set unique_by to fields that the list contains.",
        )
    wanted = {name: task.body[name] for name in fields}
    found = [item for item in items if _endpoints.is_there(wanted, item)]
    if len(found) > 1:
        ids = ", ".join(map(_name, found[:20]))
        raise AmbiguousError(
            f"{len(found)} items of {task.where('GET')} have the same values as body in "
            f"{_fields(fields)}: {ids}",
            hint="Nothing was changed. Delete the items that are not needed, or set unique_by to "
            "fields that distinguish them.",
        )
    return found[0] if found else None


def _fields(names: Iterable[str]) -> str:
    return ", ".join(quoted(name, 80) for name in names)


def _plan_delete(task: Task, check_mode: bool) -> Plan:
    before = {"path": task.path}
    if not (check_mode and task.params["missing_codes"]):
        return None, before, {}
    try:
        task.send("GET")
    except ApiError as error:
        if _says_missing(task, error):
            return _result(task, changed=False, data=None), {}, {}
        if error.status != 405:
            raise
        task.api.warnings.append(
            f"Could not check whether {task.where('DELETE')} would delete anything, because the "
            "path cannot be read."
        )
    return None, before, {}


def _says_missing(task: Task, error: ApiError) -> bool:
    codes = task.params["missing_codes"] or ()
    return error.status in {400, 404} and error.code in codes and not _is_wrong_path(error)


def _is_wrong_path(error: ApiError) -> bool:
    """Return whether the API does not have the path."""
    return error.code == "RESOURCE_NOT_FOUND" and is_about_path(error.parameters)


_PLANS: dict[str, Callable[[Task, bool], Plan]] = {
    "PATCH": _plan_change,
    "PUT": _plan_change,
    "POST": _plan_creation,
}


def _write(task: Task) -> dict[str, Any]:
    is_own = _ends_own_account(task)
    try:
        if is_own and task.api.endpoint.client_id:
            # Replaces an expired token. Later, a 401 could mean that the account is gone.
            task.send("GET")
        if _may_end_own_key(task):
            task.api.expect_revocation()
        with _resource.ending_credential(task.api, is_own=is_own):
            response = task.send(task.method, task.body)
    except KeysmithError as error:
        if isinstance(error, ApiError) and _says_missing(task, error):
            # If the response to an earlier attempt was lost, that attempt deleted the object.
            return _result(task, changed=error.outcome_unknown, data=None)
        if not error.outcome_unknown:
            raise
        if task.params["compare"] and _is_changed(task):
            return _result(task, changed=True, data=_json(task.api.last_response))
        if task.params["unique_by"]:
            raise _lost_creation(task, error) from None
        if error.status == 401 and task.method == "DELETE":
            # An earlier attempt may have deleted the signing key, or the secret that signs.
            raise error.with_context(state_after=_resource.CREDENTIAL_MAY_BE_GONE) from None
        if not error.state_after and not _is_safe_again(task):
            raise error.with_context(state_after=_SEND_AGAIN) from None
        raise
    return _result(task, changed=True, data=_json(response))


def _is_changed(task: Task) -> bool:
    """Read the object after a lost response, and return whether it has the values of the body."""
    ignored = task.params["ignore"] or ()
    try:
        return _resource.poll_after(
            task.api,
            lambda: _endpoints.is_there(task.body, _json(task.send("GET")), ignored),
            bool,
        )
    except KeysmithError:
        return False


def _lost_creation(task: Task, error: KeysmithError) -> KeysmithError:
    """Return the error for a lost response to a creation, with the item that it left behind."""
    try:
        found = _resource.poll_after(
            task.api, lambda: _same_items(task), lambda item: item is not None
        )
    except KeysmithError:
        return error
    if found is None:
        return error
    item_id = found.get("id")
    return _resource.as_orphan(error).with_context(
        parameters=[sanitize(item_id, 200)] if isinstance(item_id, str) else [],
        results={"changed": True},
        state_after=f"An item with these values exists now: {_name(found)}. Unless another run "
        "created it, this task did. If the response contained a secret that is shown only once, "
        "the secret is lost: delete the item, then run the task again.",
    )


def _name(item: Mapping[str, Any]) -> str:
    return quoted(str(item.get("id", "without id")), 80)


def _is_safe_again(task: Task) -> bool:
    return task.method in {"DELETE", "PUT"} or bool(task.params["compare"])


def _result(task: Task, *, changed: bool, data: Any) -> dict[str, Any]:
    """Return the result of a task, with the status and headers of the last response."""
    response = task.api.last_response
    status = response.status if response else None
    headers = dict(_shown_headers(response))
    return {"changed": changed, "status": status, "json": data, "headers": headers}


def _shown_headers(response: Response | None) -> Iterator[tuple[str, str]]:
    for name, value in response.headers.items() if response else ():
        key = name.lower().replace("-", "_")
        if key in _HEADERS or key.startswith(_RATE_LIMIT):
            yield sanitize(key, 60), sanitize(value, 200)


@contextmanager
def _warned(task: Task, method: str) -> Iterator[None]:
    """Warn if the response, even an error, marks the request as deprecated."""
    try:
        yield
    finally:
        headers = dict(_shown_headers(task.api.last_response))
        dates = " and ".join(
            f"{name.capitalize()}: {headers[name]}" for name in _HEADERS if name in headers
        )
        if dates:
            task.api.warnings.append(
                f"The API marks {task.where(method)} (version {task.version}) as deprecated: its "
                f"response has {dates}. Set api_version to a later version, or use another path."
            )


# Guard the signing credential.


def check_not_own(task: Task) -> None:
    """Refuse a write to the path of the signing credential, unless the task allows it.

    Raises OwnKeyError.
    """
    endpoint, parts = task.api.endpoint, _endpoints.path_parts(task.path)
    if not task.params["allow_own_account"]:
        own = endpoint.client_id
        if own and any(own.lower() in part.lower() for part in parts):
            raise _own_error(f"the service account {own}", "allow_own_account")
        if endpoint.is_account_unknown and "serviceaccounts" in map(str.lower, parts[:-1]):
            raise OwnKeyError(
                "The access token may belong to the service account in path, because client_id is "
                "not set, and nothing was changed",
                hint="Set client_id to the account that the token belongs to, or set "
                "allow_own_account to true to allow the request.",
            )
    if endpoint.public_key and not task.params["allow_own_key"]:
        _check_not_own_key(task)


def _own_error(which: str, option: str) -> OwnKeyError:
    return OwnKeyError(
        f"path refers to {which}, which this task authenticates with, and nothing was changed",
        hint=f"Use another credential, or set {option} to true to allow the request.",
    )


def _check_not_own_key(task: Task) -> None:
    parts = _endpoints.path_parts(task.path)
    for place, name in enumerate(parts[:-1], start=1):
        if name.lower() != "apikeys":
            continue
        # No part contains a slash.
        listing = "".join(f"/{quote(part)}" for part in parts[:place])
        # A colon separates the ID from an action.
        key_id = parts[place].partition(":")[0]
        found = _key_at(task, listing, f"{listing}/{quote(key_id)}", key_id.lower())
        if found is None:
            continue
        public_key = found.get("publicKey")
        if public_key == task.api.endpoint.public_key:
            raise _own_error(f"the API key {public_key}", "allow_own_key")
        if not public_key or not isinstance(public_key, str):
            raise OwnKeyError(
                f"The API does not return the public key of {sanitize(key_id, 40)}, so it may be "
                "the one that this task authenticates with, and nothing was changed",
                hint="Use another credential, or set allow_own_key to true to allow the request.",
            )


def _key_at(task: Task, listing: str, path: str, key_id: str) -> Mapping[str, Any] | None:
    """Return the key at a path, None if the full list of keys does not contain it."""

    def is_it(item: Any) -> bool:
        return isinstance(item, Mapping) and str(item.get("id")).lower() == key_id

    try:
        found = task.api.call("GET", task.call("GET", path)).payload
    except ApiError as error:
        # The key may not exist, or the path may only support listing.
        if error.status not in {400, 404, 405}:
            raise
        found = None
    if is_it(found) and found.get("publicKey"):
        return dict(found)
    return next(filter(is_it, task.listing(listing)), None)


def _ends_own_account(task: Task) -> bool:
    """Return whether the request may delete the signing account, and its token with it."""
    endpoint, parts = task.api.endpoint, _path_names(task)
    own = parts[-1:] if endpoint.is_account_unknown else [(endpoint.client_id or "").lower()]
    is_own = parts[:1] == ["orgs"] and parts[2:] == ["serviceaccounts", *own]
    return task.method == "DELETE" and is_own


def _may_end_own_key(task: Task) -> bool:
    """Return whether the request deletes a key, which may be the signing one."""
    is_key = _path_names(task)[-2:-1] == ["apikeys"]
    return task.method == "DELETE" and is_key and bool(task.params["allow_own_key"])


def _path_names(task: Task) -> list[str]:
    return [part.lower() for part in _endpoints.path_parts(task.path)]
