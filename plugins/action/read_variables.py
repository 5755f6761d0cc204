# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the variables of a playbook as its description says, and refuses what is not one of them.

Variables have no types of their own: YAML, Jinja, ``-e`` and surveys turn a text such as ``0042``
or ``no`` into another value. A module would be given the text of that value, and look for another
key.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import ansible.template
import yaml
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils import unsafe_proxy
from ansible.utils.display import Display
from jinja2 import Environment, TemplateError, Undefined, nodes
from jinja2.nativetypes import NativeCodeGenerator

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    contains_secret,
)

CONNECTION = "connection.yml"
# Names that templates use and that are not variables, or hold those of all hosts.
_FUNCTIONS = frozenset(
    {"lookup", "query", "q", "now", "undef", "range", "dict", "namespace"}
    | {"hostvars", "vars", "groups"}
)
_LONGEST_VALUE = 100
_LONGEST_NUMBER = 400
_TEXT = frozenset({"str", "path"})
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# The first that fits: a boolean is a number to Python.
_NOUNS: tuple[tuple[Any, str], ...] = (
    (bool, "boolean"),
    ((int, float), "number"),
    (datetime.date, "date"),
    (str, "text"),
    (list, "list"),
    (dict, "dictionary"),
)
_QUOTES = (
    "Put it in quotes where you set it; if a template computes it, add `| string` at its source."
)
_SURVEY = (
    "If the value is the answer to a question of an AWX survey: ansible-core 2.19 and newer turn "
    "answers such as yes or 0755 into other values before a playbook sees them. Use an ID instead, "
    "or set the variable in quotes in the job template's extra variables."
)


class _UnusableError(Exception):
    """Why the value of a variable cannot be used; its text follows the name of the variable."""

    def __init__(self, what: str, *advice: str) -> None:
        super().__init__(what)
        self.advice = advice


class ActionModule(ActionBase):  # type: ignore[misc]
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"spec", "secrets", "deprecated"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        spec = self._load(str(self._task.args["spec"]))
        (entry,) = spec["argument_specs"].values()
        options: dict[str, Any] = dict(entry.get("options", {}))
        if spec.get("connection"):
            shared = self._load(self._beside(str(self._task.args["spec"]), CONNECTION))
            options = {**shared["options"], **options}
        for name in self._task.args.get("secrets") or []:
            options[name] = {**options[name], "no_log": True}
        variables = task_vars or {}

        problems = [
            f"{wrong} is not a variable of this playbook. Use {right} instead."
            for wrong, right in spec.get("misspellings", {}).items()
            if wrong in variables
        ]
        # Once, however many variables it is about.
        advice: dict[str, None] = {}
        found: dict[str, Any] = {}
        for name, option in options.items():
            try:
                value = self._read(name, option, variables)
            except _UnusableError as error:
                problems.append(f"{name} {error}")
                advice.update(dict.fromkeys(error.advice))
                continue
            if value is not None:
                found[name] = value
        if problems:
            unknown = dict.fromkeys(
                ("status", "code", "reason", "detail", "parameters", "method", "path")
            )
            return {
                **result,
                "failed": True,
                "msg": " ".join([*problems, *advice]),
                "error": {"type": "options", **unknown},
            }
        for name, advice_text in (self._task.args.get("deprecated") or {}).items():
            if name in found:
                Display().deprecated(
                    f"The variable {name} is deprecated. {advice_text}",
                    version="4.0.0",
                    collection_name="keysmith.mongodb",
                )
        result["variables"] = _untouched(found)
        # Unlike the variable ansible_check_mode, with the keyword check_mode of a task too.
        result["check_mode"] = bool(self._task.check_mode)
        if any(options[name].get("no_log") for name in found):
            # The result has secrets; a failure has none, and has to be shown.
            result["_ansible_no_log"] = True
        return result

    def _load(self, name: str) -> dict[str, Any]:
        with open(self._find_needle("vars", name), encoding="utf-8") as file:  # noqa: PTH123
            loaded: dict[str, Any] = yaml.safe_load(file)
        return loaded

    @staticmethod
    def _beside(path: str, name: str) -> str:
        return os.path.join(os.path.dirname(path), name)  # noqa: PTH118, PTH120

    def _read(self, name: str, option: dict[str, Any], variables: dict[str, Any]) -> Any:
        """Return the value of a variable, its default, or None if there is neither."""
        is_secret = bool(option.get("no_log"))
        value = self._value(variables[name], variables, is_secret) if name in variables else None
        if value is not None:
            value = _convert(value, option, is_secret)
        if value is None:
            value = option.get("default")
            if value is None and option.get("required"):
                raise _UnusableError("is required, and is not set.")
            return value
        choices = option.get("choices") or []
        for item in (value if isinstance(value, list) else [value]) if choices else []:
            if item not in choices:
                allowed = ", ".join(str(choice) for choice in choices)
                raise _UnusableError(f"must be one of {allowed}{_got(item, is_secret)}.")
        return value

    def _value(self, raw: Any, variables: dict[str, Any], is_secret: bool) -> Any:
        """Resolve the templates in a value; None stands for a value that is not set."""
        try:
            # In a list, because ansible-core 2.19 and newer drop omitted items, and refuse an
            # omitted value.
            values = _templar(self._templar).template([raw])
            value = _plain(_without_omitted(list(values), variables))
        except AnsibleUndefinedVariable as error:
            missing = sorted(_undefined(raw, variables, set()))
            if missing:
                raise _UnusableError(
                    f"uses a variable that is not defined: {', '.join(missing)}."
                ) from None
            reason = "" if is_secret else f" {_first_line(error)}"
            raise _UnusableError(f"uses a value that is not defined.{reason}") from None
        except AnsibleError as error:
            reason = "" if is_secret else f": {_first_line(error)}"
            raise _UnusableError(f"has a value that cannot be read{reason}") from None
        return None if value in ([], [""]) else value[0]


def _templar(templar: Any) -> Any:
    """Return a templar that keeps the types of values.

    Before ansible-core 2.19, a template makes a list of a text that looks like one, and a text of
    a number.
    """
    base = getattr(ansible.template, "AnsibleEnvironment", None)
    if base is None:
        return templar

    # pylint: disable-next=inherit-non-class
    class TypedEnvironment(base):  # type: ignore[misc,valid-type]
        code_generator_class = _TypedCodeGenerator
        concat = staticmethod(_keep_type)

    return templar.copy_with_new_env(environment_class=TypedEnvironment)


class _TypedCodeGenerator(NativeCodeGenerator):
    """Leaves constants as they are; Jinja would make text of a list that a template spells out."""

    def _output_child_to_const(self, node: Any, frame: Any, finalize: Any) -> Any:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


def _keep_type(parts: Iterator[Any]) -> Any:
    found = list(parts)
    if len(found) == 1:
        if isinstance(found[0], Undefined):
            str(found[0])  # raises the error that tells what is undefined
        return found[0]
    return "".join(str(part) for part in found)


def _without_omitted(values: list[Any], variables: dict[str, Any]) -> list[Any]:
    """Drop what is omitted; before ansible-core 2.19, a text stands for it."""
    omit = variables.get("omit")
    if omit is None:
        return values
    return [
        _without_omitted(value, variables) if isinstance(value, list) else value
        for value in values
        if not (isinstance(value, str) and value == omit)
    ]


def _plain(value: Any) -> Any:
    """Decrypt texts, and take off what Ansible adds to its types."""
    if isinstance(value, str) or getattr(value, "__ENCRYPTED__", False):
        return str(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _untouched(value: Any) -> Any:
    """Return a value whose texts are no templates, and stay texts in templates that use them."""
    if isinstance(value, dict):
        return {key: _untouched(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_untouched(item) for item in value]
    if isinstance(value, str) and hasattr(ansible.template, "AnsibleEnvironment"):
        # Before ansible-core 2.19, the template of a text such as [1,2] would give a list.
        return unsafe_proxy.NativeJinjaUnsafeText(value)
    return unsafe_proxy.wrap_var(value)


def _undefined(raw: Any, variables: dict[str, Any], seen: set[str]) -> set[str]:
    """Return the names of undefined variables in a value, and in variables that it uses."""
    if isinstance(raw, Mapping):
        raw = list(raw.values())
    if isinstance(raw, (list, tuple)):
        return {name for item in raw for name in _undefined(item, variables, seen)}
    if not isinstance(raw, str):
        return set()
    try:
        names = list(Environment(autoescape=True).parse(raw).find_all(nodes.Name))
    except TemplateError:
        return set()
    own = {node.name for node in names if node.ctx != "load"}
    used = {node.name for node in names} - own - seen - _FUNCTIONS
    seen |= used
    missing = {name for name in used if name not in variables}
    for name in used - missing:
        missing |= _undefined(variables[name], variables, seen)
    return missing


def _convert(value: Any, option: dict[str, Any], is_secret: bool) -> Any:
    """Return a value that is set as its type, or None if it is a list written as an empty text."""
    kind = option.get("type", "str")
    if kind == "list":
        return _items(value, option.get("elements", "str"), is_secret)
    return _scalar(value, kind, is_secret)


def _items(value: Any, kind: str, is_secret: bool) -> list[Any] | None:
    if isinstance(value, str) and kind in _TEXT:
        return [line.strip() for line in value.splitlines() if line.strip()] or None
    if not isinstance(value, list):
        one_a_line = ", or a text with one item per line" if kind in _TEXT else ""
        raise _UnusableError(f"must be a list{one_a_line}{_got(value, is_secret)}.")
    items = []
    for number, item in enumerate(value, 1):
        if item is None or item == "":
            raise _UnusableError(f"has an empty item, number {number}. Remove it.")
        try:
            items.append(_scalar(item, kind, is_secret))
        except _UnusableError as error:
            raise _UnusableError(f"(item {number}) {error}", *error.advice) from None
    return items


def _scalar(value: Any, kind: str, is_secret: bool) -> Any:
    got = _got(value, is_secret)
    if kind in _TEXT:
        if isinstance(value, str):
            return value
        if isinstance(value, (list, dict)):
            raise _UnusableError(f"must be one text{got}.")
        raise _UnusableError(f"must be text{got}.", _QUOTES, _SURVEY)
    if kind == "bool":
        try:
            if isinstance(value, (bool, int, str)):
                return boolean(value)
        except TypeError:
            pass
        raise _UnusableError(f"must be true or false{got}.")
    if kind == "int":
        if isinstance(value, int) and not isinstance(value, bool):
            return int(value)
        if isinstance(value, str) and _is_whole_number(value):
            return int(value)
        raise _UnusableError(f"must be a whole number{got}.")
    if kind == "float":
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number or (isinstance(value, str) and _NUMBER.fullmatch(value.strip())):
            with suppress(OverflowError):
                number = float(value)
                if math.isfinite(number):
                    return number
        raise _UnusableError(f"must be a number{got}.")
    if kind == "dict" and not isinstance(value, dict):
        raise _UnusableError(f"must be a dictionary{got}.")
    return value


def _is_whole_number(text: str) -> bool:
    return len(text) < _LONGEST_NUMBER and bool(_WHOLE_NUMBER.fullmatch(text.strip()))


def _got(value: Any, is_secret: bool) -> str:
    """Say which value it is instead, unless that may show a secret.

    The result of another task may hold one, and half a secret would not be recognized and hidden.
    """
    noun = next((noun for types, noun in _NOUNS if isinstance(value, types)), "value")
    items = value if isinstance(value, list) else [value]
    is_plain = not any(isinstance(item, (list, dict)) or contains_secret(item) for item in items)
    shown = _shown(value) if is_plain and not is_secret else ""
    if not shown or len(shown) > _LONGEST_VALUE:
        return f", but its value is a {noun}"
    return f", but its value is the {noun} {shown}"


def _shown(value: Any) -> str:
    if isinstance(value, datetime.date):
        return str(value)
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # a number of thousands of digits
        return ""


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split("\n", 1)[0].split())
