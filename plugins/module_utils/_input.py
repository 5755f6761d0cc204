# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task's options as the task has them, before Ansible converts them. Pure: no I/O, no Ansible.

Ansible makes a text of whatever an option for text receives: of ``0042`` the text "34", of a list
its printed form. That text may identify another key, so it is refused here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.module_utils._options import looks_secret
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted

Spec = Mapping[str, Mapping[str, Any]]

_TEXTS = frozenset({"str", "path"})
_QUOTE_IT = (
    "YAML and Jinja turn unquoted text such as 0042, 1.10, yes or 2026-01-31 into values of other "
    "types: put it in quotes. If it comes from a template, use `| string` at its source, not here, "
    "where the original text is already lost."
)
_ONE_TEXT = (
    "One text is expected here: if each item is meant, use a loop. If this is the text itself, put "
    "it in quotes; in a template, use `| string` at its source, not here."
)
# What leaving out an option means, if that is more than the task asks for.
_WIDENING = {
    "state": "the key would be created or changed (present)",
    "keep": "no key would be kept",
    "credentials_file": "the private key would become part of the result",
    "credentials_dir": "the private keys would become part of the result",
}
_CREDENTIALS = ("api_public_key", "api_private_key", "client_id", "client_secret", "access_token")


def refuse(params: Mapping[str, Any], spec: Spec, filters: Collection[str]) -> OptionError | None:
    """Return the error of a task whose options are not what its author wrote or meant.

    ``params`` are the options as received, under names or aliases; ``filters`` those that select
    what the task is about. Returns None if there is nothing to refuse.
    """
    try:
        _check_texts(params, spec, "")
        _check_empty(params, spec, filters)
    except OptionError as error:
        return error
    return None


def drop_empty(params: dict[str, Any], spec: Spec) -> None:
    """Remove options that are null or empty strings: they are not set, whatever their type."""
    for name in [name for name, value in params.items() if value in (None, "")]:
        del params[name]
    for name, option in _options(params, spec):
        items = params[name] if "options" in option else None
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                drop_empty(item, option["options"])


def _options(params: Mapping[str, Any], spec: Spec) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name or alias of each option that is received, and its specification."""
    for name, option in spec.items():
        for known in (name, *option.get("aliases", ())):
            if known in params:
                yield known, option


def _check_texts(params: Mapping[str, Any], spec: Spec, place: str) -> None:
    for name, option in _options(params, spec):
        value, kind = params[name], option.get("type", "str")
        if value is None or isinstance(value, str):
            continue
        is_secret = bool(option.get("no_log"))
        if kind in _TEXTS:
            raise _not_text(f"{name}{place}", value, is_secret)
        if kind != "list":
            continue
        if not isinstance(value, list):
            raise _not_text(f"{name}{place}", value, is_secret, what="a list of texts")
        for number, item in enumerate(value, 1):
            where = f"item {number} of {name}{place}"
            if "options" in option:
                if isinstance(item, Mapping):
                    _check_texts(item, option["options"], f" in {where}")
            elif item is None:
                raise OptionError(
                    f"{where} is null",
                    check="Is a variable empty that should have a value? Text such as null or ~ "
                    "must be put in quotes.",
                )
            elif not isinstance(item, str):
                raise _not_text(where, item, is_secret)


def _not_text(where: str, value: Any, is_secret: bool, what: str = "text") -> OptionError:
    kinds = ((bool, "a boolean"), ((int, float), "a number"), (list, "a list"))
    kind = next((name for types, name in kinds if isinstance(value, types)), "a dictionary")
    shown = "" if is_secret or not _is_plain(value) else f" ({quoted(str(value), 120)[1:-1]})"
    check = _ONE_TEXT if isinstance(value, (list, dict)) and what == "text" else _QUOTE_IT
    return OptionError(f"{where} is {kind}{shown}, and must be {what}", check=check)


def _is_plain(value: Any) -> bool:
    """Whether a value can be shown: the result of another task may hold its secrets."""
    if isinstance(value, list):
        return all(not isinstance(item, (list, dict)) and _is_plain(item) for item in value)
    return not isinstance(value, dict) and not looks_secret(value)


def _check_empty(params: Mapping[str, Any], spec: Spec, filters: Collection[str]) -> None:
    for name, option in _options(params, spec):
        canonical = next(known for known in spec if spec[known] is option)
        if params[name] in (None, ""):
            if canonical in filters:
                raise _empty(name, "everything would be selected that the other options match")
            if canonical in _WIDENING:
                raise _empty(name, _WIDENING[canonical])
            if canonical == "org_id" and any(params.get(other) for other in _CREDENTIALS):
                raise _empty(
                    name, "the environment's organization would be used with this credential"
                )
        items = params[name] if "options" in option else None
        for number, item in enumerate(items if isinstance(items, list) else (), 1):
            if isinstance(item, Mapping) and item.get("access_list", []) in (None, ""):
                raise _empty(
                    f"access_list in item {number} of {name}",
                    "the key could be used from any address",
                )


def _empty(where: str, consequence: str) -> OptionError:
    return OptionError(
        f"{where} is empty, and {consequence} if it counted as not set",
        check="Set a value. If a variable may be empty and that is what you want, use "
        "`default(omit, true)`.",
    )
