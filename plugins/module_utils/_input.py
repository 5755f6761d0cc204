# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the options of a task before Ansible converts them. No I/O, no Ansible.

Ansible converts any value of a text option to text: ``0042`` becomes "34", and a list becomes
its printed form. That text may identify another key, so such values are refused here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    contains_secret,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    CREDENTIAL_OPTIONS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted

Spec = Mapping[str, Mapping[str, Any]]

_TEXTS = frozenset({"str", "path"})
# Options that are sent as they are.
_STRUCTURED = {"dict": (Mapping,), "raw": (Mapping, list)}
_NOT_STRUCTURED = {
    "dict": "It must be a dictionary. Write each name and value below it.",
    "raw": "It must be a dictionary or a list. Write it as YAML, without quotes and without the "
    "filter to_json, or parse JSON with the filter from_json. In an ad-hoc command, write all "
    "arguments as JSON.",
}
_MAX_SHOWN = 120
_QUOTE_IT = (
    "YAML and Jinja turn unquoted text such as 0042, 1.10, yes or 2026-01-31 into values of other "
    "types: put it in quotes. If it comes from a template, use `| string` at its source, not here, "
    "where the original text is already lost."
)
_ONE_TEXT = (
    "A single string is expected here: to use each item, write a loop. If this is the text, put "
    "it in quotes; in a template, use `| string` at its source, not here."
)
# Options that must not be empty, and what would happen without them.
_WIDENING = {
    "state": "the task would create or change something (present)",
    "keep": "no key would be kept",
    "credentials_file": "the private key would become part of the result",
    "credentials_dir": "the private keys would become part of the result",
    "body": "the request would be sent without it",
    "query": "the request would be sent without it",
    "dest": "the response would become part of the result",
    "unique_by": "the task would create another object each time it runs",
    "grace_period": "the old key would be revoked immediately",
}
_OPEN = "the key could be used from any address"
# Ansible's replacements for a secret within a string, and for a string that is a secret.
_MASKS = ("********", "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")
# Lists whose items may contain commas. Ansible would split a string at them.
_LISTS_WITH_COMMAS = frozenset({"descriptions", "description_match", "keep"})


def refuse(params: Mapping[str, Any], spec: Spec, filters: Collection[str]) -> OptionError | None:
    """Return the error if options are not what the author of the task wrote or meant.

    ``params`` are the options as received, under their names or aliases. ``filters`` are the
    options that select objects, and so must not be empty.
    """
    try:
        _check_texts(params, spec, "")
        _check_surrogates(params)
        _check_masks(params, spec)
        _check_url(params)
        _check_empty(params, spec, filters)
    except OptionError as error:
        return error
    return None


def drop_refused(params: dict[str, Any], spec: Spec) -> None:
    """Remove values that Ansible must not print or log with a failed task.

    These are values of the wrong type, in which Ansible would not mask secrets, and a URL with
    a password. Other text is kept, but without lone surrogates, which Ansible cannot log.
    """
    texts = {
        name for name, _canonical, option in _options(params, spec) if option.get("type") in _TEXTS
    }
    for name in [name for name in params if not name.startswith("_ansible_")]:
        value = params[name]
        if name not in texts or not isinstance(value, str) or (name == "base_url" and "@" in value):
            del params[name]
        else:
            params[name] = _strip_surrogates(value)


def drop_empty(params: dict[str, Any], spec: Spec) -> None:
    """Remove options that are null or empty strings, which count as not set."""
    for name in [name for name, value in params.items() if value in (None, "")]:
        del params[name]
    for name, _canonical, option in _options(params, spec):
        items = params[name] if "options" in option else None
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                drop_empty(item, option["options"])


def _options(params: Mapping[str, Any], spec: Spec) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield each option that is set: the name or alias used, the name, and the specification."""
    for name, option in spec.items():
        for known in (name, *option.get("aliases", ())):
            if known in params:
                yield known, name, option


def _check_texts(params: Mapping[str, Any], spec: Spec, place: str) -> None:
    for name, canonical, option in _options(params, spec):
        value, kind = params[name], option.get("type", "str")
        if "options" in option:
            _check_items(name, place, value, option["options"])
            continue
        if canonical in _LISTS_WITH_COMMAS and kind == "list":
            _check_not_split(name, value)
        # Ansible would parse text and change the types of the values in it.
        expected = (*_STRUCTURED.get(kind, (object,)), type(None))
        if value != "" and not isinstance(value, expected):
            raise OptionError(f"{name} is {_describe(value)}", hint=_NOT_STRUCTURED[kind])
        if value is None or isinstance(value, str):
            continue
        is_secret = bool(option.get("no_log"))
        if kind in _TEXTS:
            raise _not_text(f"{name}{place}", value, is_secret)
        if kind != "list":
            continue
        if not isinstance(value, list):
            raise _not_text(f"{name}{place}", value, is_secret, what="a list of strings")
        for number, item in enumerate(value, 1):
            where = f"item {number} of {name}{place}"
            if item is None:
                raise OptionError(
                    f"{where} is null",
                    hint="Check whether a variable that should have a value is empty. Text such as "
                    "null or ~ must be put in quotes.",
                )
            if not isinstance(item, str):
                raise _not_text(where, item, is_secret)


def _check_items(name: str, place: str, value: Any, spec: Spec) -> None:
    """Refuse anything but a list of dictionaries: Ansible would parse text without checks."""
    if value in (None, ""):
        return
    if not isinstance(value, list):
        raise OptionError(
            f"{name}{place} is {_describe(value)}, and must be a list of dictionaries",
            hint="Begin each item with a dash. In an ad-hoc command, write all arguments as JSON.",
        )
    for number, item in enumerate(value, 1):
        where = f"item {number} of {name}{place}"
        if not isinstance(item, Mapping):
            raise OptionError(
                f"{where} is {_describe(item)}, and must be a dictionary",
                hint="Write its options below it, each with a name and a value.",
            )
        _check_texts(item, spec, f" in {where}")


def _check_not_split(name: str, value: Any) -> None:
    if isinstance(value, str) and "," in value:
        parts = [part.strip() for part in value.split(",")]
        one, many = (f"[{', '.join(map(quoted, items))}]" for items in ([value], parts))
        raise OptionError(
            f"{name} must be a list, got text with a comma",
            hint=f"Write {one} if the comma is part of it, or {many}.",
        )


def _describe(value: Any) -> str:
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
    if isinstance(value, dict) and "changed" in value:
        hint = "It is the result of another task. Use one of its fields, such as result.name."
    return OptionError(f"{where} is {_describe(value)}{shown}, and must be {what}", hint=hint)


def _is_plain(value: Any) -> bool:
    """Return whether a value can be shown: short, and not a result that may contain secrets."""
    items = value if isinstance(value, list) else [value]
    return len(str(value)) <= _MAX_SHOWN and not any(
        isinstance(item, (list, dict)) or contains_secret(item) for item in items
    )


def _check_surrogates(params: Mapping[str, Any]) -> None:
    invalid = sorted(
        name
        for name, value in params.items()
        if any(text != _strip_surrogates(text) for text in _texts_in(value))
    )
    if invalid:
        raise OptionError(
            f"{', '.join(invalid)}: the value is not valid UTF-8 text",
            hint="Is it binary data, or in an encoding other than UTF-8?",
        )


def _strip_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _check_masks(params: Mapping[str, Any], spec: Spec) -> None:
    """Refuse text of a result in which Ansible has masked a secret."""
    for name, _canonical, _option in _options(params, spec):
        if any(mask in text for text in _texts_in(params[name]) for mask in _MASKS):
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
    # Search the whole URL, because a password may contain characters that end the host.
    if "@" in str(params.get("base_url")):
        raise OptionError(
            "base_url contains a username or password",
            hint="Set credentials with their own options.",
        )


def _check_empty(params: Mapping[str, Any], spec: Spec, filters: Collection[str]) -> None:
    for name, canonical, option in _options(params, spec):
        if params[name] in (None, ""):
            if canonical in filters:
                raise _empty(name, "everything that the other options match would be selected")
            if canonical in _WIDENING:
                consequence = _WIDENING[canonical]
                if "service_account_id" in spec:
                    consequence = consequence.replace("private key", "client secret")
                raise _empty(name, consequence)
            # In org_api_key_info, it is a boolean.
            if canonical == "access_list" and option.get("type") == "list":
                raise _empty(name, _OPEN)
            if canonical == "org_id" and any(
                params.get(part) for _kind, names in CREDENTIAL_OPTIONS for part in names
            ):
                raise _empty(
                    name, "the environment's organization would be used with this credential"
                )
        items = params[name] if "options" in option else None
        for number, item in enumerate(items if isinstance(items, list) else (), 1):
            if isinstance(item, Mapping) and item.get("access_list", []) in (None, ""):
                raise _empty(f"access_list in item {number} of {name}", _OPEN)


def _empty(where: str, consequence: str) -> OptionError:
    return OptionError(
        f"{where} is empty. If it counted as unset, {consequence}",
        hint="Set a value. If a variable may be empty and that is what you want, use "
        "`default(omit, true)`.",
    )
