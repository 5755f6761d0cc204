# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the results of modules with their documentation of RETURN."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping
from typing import Any

import yaml

MODULES = "ansible_collections.keysmith.mongodb.plugins.modules"
TYPES = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict}
# Those of Ansible, which modules do not document. The last line is about the file in `dest`.
COMMON = {
    *("changed", "failed", "msg", "warnings", "deprecations", "exception", "invocation", "diff"),
    *("gid", "group", "mode", "owner", "secontext", "size", "state", "uid"),
}
# What an error of a type always has, because a request was sent.
OF_REQUEST = {
    "api": ("status", "reason", "method", "path"),
    "transport": ("reason", "method", "path"),
}
# Another value, whose fields this one has too.
REFERENCE = re.compile(r"RV\(keysmith\.mongodb\.(\w+)#module:(\w+)\)")


@functools.cache
def documented(module: str) -> dict[str, Any]:
    """Return the documentation of each value, with the fields that it refers to."""
    values: dict[str, Any] = yaml.safe_load(importlib.import_module(f"{MODULES}.{module}").RETURN)
    for name, doc in values.items():
        for other, value in REFERENCE.findall(str(doc["description"])):
            if (other, value) != (module, name):
                fields = documented(other)[value]["contains"]
                doc["contains"] = {**fields, **doc.get("contains", {})}
    return values


def check(module: str, result: Mapping[str, Any]) -> None:
    """Fail if a result lacks a value that the module always returns, or has an unknown one."""
    docs = documented(module)
    values = {name: result[name] for name in result if name in docs or name not in COMMON}
    failed = result.get("failed", False)
    _check_dict(module, values, docs, is_complete=not failed)
    if failed:
        _check_error(result["error"])
        assert _has_advice(result), result["msg"]
    else:
        assert isinstance(result["changed"], bool), result
    if "diff" in result:
        assert set(result["diff"]) == {"before", "after"}, result["diff"]


def _check_error(error: Mapping[str, Any]) -> None:
    assert error.keys() == documented("org_api_key")["error"]["contains"].keys()
    assert (error["method"] is None) == (error["path"] is None), error
    unknown = [name for name in OF_REQUEST.get(error["type"], ()) if error[name] is None]
    assert not unknown, f"{unknown} of {error}"


def _has_advice(failure: Mapping[str, Any]) -> bool:
    """Return whether a message says more than what happened.

    Ansible rejects arguments without advice, and a canceled task needs none.
    """
    return failure["error"]["type"] in {"options", "cancelled"} or bool(
        re.search(r"[.?!)] \w", failure["msg"])
    )


def _check_dict(
    place: str, values: Mapping[str, Any], docs: Mapping[str, Any], *, is_complete: bool
) -> None:
    assert values.keys() <= docs.keys(), f"{place}: not documented: {values.keys() - docs.keys()}"
    for name, doc in docs.items():
        is_always = doc["returned"] == "success" or doc["returned"].startswith("success, and ")
        assert name in values or not (is_complete and is_always), f"{place}: no {name}"
        if values.get(name) is not None:
            _check(f"{place}.{name}", values[name], doc, is_complete=is_complete)


def _check(place: str, value: Any, doc: Mapping[str, Any], *, is_complete: bool) -> None:
    kind = TYPES.get(doc["type"], object)
    assert isinstance(value, kind), f"{place}: {value!r} is not of type {doc['type']}"
    items = value if doc["type"] == "list" else [value]
    if doc["type"] == "list":
        elements = TYPES.get(doc["elements"], object)
        assert all(isinstance(item, elements) for item in items), f"{place}: {value!r}"
    if "contains" in doc:
        for item in items:
            _check_dict(place, item, doc["contains"], is_complete=is_complete)
