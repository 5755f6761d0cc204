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

from ansible_collections.keysmith.mongodb.plugins.module_utils._argspec import has_secret
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError

Spec = Mapping[str, Mapping[str, Any]]

_TEXTS = frozenset({"str", "path"})
_MAX_SHOWN = 120
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
    "grace_period": "the old key would be revoked immediately",
}
_OPEN = "the key could be used from any address"
# What Ansible puts in place of a secret in a text, and of a text that is a secret as a whole.
_MASKS = ("********", "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")
_CREDENTIALS = ("api_public_key", "api_private_key", "client_id", "client_secret", "access_token")


def refuse(params: Mapping[str, Any], spec: Spec, filters: Collection[str]) -> OptionError | None:
    """Return the error of a task whose options are not what its author wrote or meant.

    ``params`` are the options as received, under names or aliases; ``filters`` those that select
    what the task is about. Returns None if there is nothing to refuse.
    """
    try:
        _check_texts(params, spec, "")
        _check_masks(params, spec)
        _check_url(params)
        _check_empty(params, spec, filters)
    except OptionError as error:
        return error
    return None


def drop_refused(params: dict[str, Any], spec: Spec) -> None:
    """Remove all values that are not text for an option for text.

    Ansible prints and logs the options of a failed task, and would hide no secret in these.
    """
    texts = {
        name for name, _canonical, option in _options(params, spec) if option.get("type") in _TEXTS
    }
    for name in [name for name in params if not name.startswith("_ansible_")]:
        if name not in texts or not isinstance(params[name], str):
            del params[name]


def drop_url_user(params: dict[str, Any]) -> None:
    """Remove a URL with a user, which is refused: Ansible shows the options of every task."""
    if _has_user(params.get("base_url")):
        del params["base_url"]


def drop_empty(params: dict[str, Any], spec: Spec) -> None:
    """Remove options that are null or empty strings: they are not set, whatever their type."""
    for name in [name for name, value in params.items() if value in (None, "")]:
        del params[name]
    for name, _canonical, option in _options(params, spec):
        items = params[name] if "options" in option else None
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                drop_empty(item, option["options"])


def _options(params: Mapping[str, Any], spec: Spec) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield each option that is received: as the task has it, its name, and its specification."""
    for name, option in spec.items():
        for known in (name, *option.get("aliases", ())):
            if known in params:
                yield known, name, option


def _check_texts(params: Mapping[str, Any], spec: Spec, place: str) -> None:
    for name, _canonical, option in _options(params, spec):
        value, kind = params[name], option.get("type", "str")
        if "options" in option:
            _check_items(name, place, value, option["options"])
            continue
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
            if item is None:
                raise OptionError(
                    f"{where} is null",
                    hint="Is a variable empty that should have a value? Text such as null or ~ "
                    "must be put in quotes.",
                )
            if not isinstance(item, str):
                raise _not_text(where, item, is_secret)


def _check_items(name: str, place: str, value: Any, spec: Spec) -> None:
    """Refuse anything but a list of dictionaries: Ansible would parse a text, unchecked."""
    if value in (None, ""):
        return
    if not isinstance(value, list):
        raise OptionError(
            f"{name}{place} is {_kind(value)}, and must be a list of dictionaries",
            hint="Begin each item with a dash. In an ad-hoc command, write all arguments as JSON.",
        )
    for number, item in enumerate(value, 1):
        where = f"item {number} of {name}{place}"
        if not isinstance(item, Mapping):
            raise OptionError(
                f"{where} is {_kind(item)}, and must be a dictionary",
                hint="Write its options below it, each with a name and a value.",
            )
        _check_texts(item, spec, f" in {where}")


def _kind(value: Any) -> str:
    kinds = (
        (type(None), "null"),
        (bool, "a boolean"),
        ((int, float), "a number"),
        (str, "text"),
        (list, "a list"),
    )
    return next((name for types, name in kinds if isinstance(value, types)), "a dictionary")


def _not_text(where: str, value: Any, is_secret: bool, what: str = "text") -> OptionError:
    shown = f" ({value})" if not is_secret and _is_plain(value) else ""
    hint = _ONE_TEXT if isinstance(value, (list, dict)) and what == "text" else _QUOTE_IT
    return OptionError(f"{where} is {_kind(value)}{shown}, and must be {what}", hint=hint)


def _is_plain(value: Any) -> bool:
    """Whether a value can be shown: short, and not of a task whose results may hold secrets."""
    items = value if isinstance(value, list) else [value]
    return len(str(value)) <= _MAX_SHOWN and not any(
        isinstance(item, (list, dict)) or has_secret(item) for item in items
    )


def _is_masked(text: str) -> bool:
    """Whether Ansible has put a mask in place of a secret that was in a text, or was the text."""
    return any(mask in text for mask in _MASKS)


def _check_masks(params: Mapping[str, Any], spec: Spec) -> None:
    """Refuse text of a result in which Ansible has masked something, wherever it is."""
    for name, _canonical, _option in _options(params, spec):
        if any(_is_masked(text) for text in _texts_in(params[name])):
            raise OptionError(
                f"{name} contains {' or '.join(_MASKS)}, which Ansible puts in place of a secret, "
                "so it is not the original text",
                hint="A password or another secret occurs in the original text, and Ansible "
                "masked it in a result. Write the text itself. If a key really has this "
                "description, identify it by its ID.",
            )


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts_in(item)
    elif isinstance(value, Mapping):
        yield from _texts_in([*value.keys(), *value.values()])


def _check_url(params: Mapping[str, Any]) -> None:
    if _has_user(params.get("base_url")):
        raise OptionError(
            "base_url has a user or a password in it",
            hint="Give credentials by their own options.",
        )


def _has_user(url: Any) -> bool:
    # Wherever it is: a password may have what ends the host in a URL.
    return isinstance(url, str) and "@" in url


def _check_empty(params: Mapping[str, Any], spec: Spec, filters: Collection[str]) -> None:
    for name, canonical, option in _options(params, spec):
        if params[name] in (None, ""):
            if canonical in filters:
                raise _empty(name, "everything would be selected that the other options match")
            if canonical in _WIDENING:
                raise _empty(name, _WIDENING[canonical])
            # That of org_api_key_info is a boolean.
            if canonical == "access_list" and option.get("type") == "list":
                raise _empty(name, _OPEN)
            if canonical == "org_id" and any(params.get(other) for other in _CREDENTIALS):
                raise _empty(
                    name, "the environment's organization would be used with this credential"
                )
        items = params[name] if "options" in option else None
        for number, item in enumerate(items if isinstance(items, list) else (), 1):
            if isinstance(item, Mapping) and item.get("access_list", []) in (None, ""):
                raise _empty(f"access_list in item {number} of {name}", _OPEN)


def _empty(where: str, consequence: str) -> OptionError:
    return OptionError(
        f"{where} is empty, and {consequence} if it counted as not set",
        hint="Set a value. If a variable may be empty and that is what you want, use "
        "`default(omit, true)`.",
    )
