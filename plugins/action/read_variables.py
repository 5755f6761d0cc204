# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the variables of a playbook, and refuse values that do not match their description.

Variables have no types: YAML, Jinja, ``-e`` and surveys turn text such as ``0042`` or ``no`` into
other values. A module would convert such a value back to other text, and look for another key.
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
from jinja2 import Environment, TemplateError, Undefined, meta, nodes
from jinja2.nativetypes import NativeCodeGenerator

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    contains_secret,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError

CONNECTION = "connection.yml"
# Names in templates that are functions, or contain the variables of all hosts.
_FUNCTIONS = frozenset(
    {"lookup", "query", "q", "now", "undef", "range", "dict", "namespace"}
    | {"hostvars", "vars", "groups"}
)
_MAX_SHOWN = 100
_TEXT = frozenset({"str", "path"})
_NUMBERS: dict[str, tuple[str, Any, str]] = {
    "int": (r"\s*[+-]?[0-9]{1,400}\s*", int, "a whole number"),
    "float": (r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", float, "a number"),
}
# The first match counts: a boolean is also an int.
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
    "If the value comes from an AWX survey: ansible-core 2.19 and newer turn "
    "answers such as yes or 0755 into other values before a playbook sees them. Use an ID instead, "
    "or set the variable in quotes in the job template's extra variables."
)


class _UnusableError(Exception):
    """Says why the value of a variable cannot be used.

    ``shown`` completes the message, and ``hidden`` that of a variable with a secret.
    """

    def __init__(self, what: str, *advice: str, shown: str = ".", hidden: str = ".") -> None:
        super().__init__(what)
        self.what, self.advice, self.shown, self.hidden = what, advice, shown, hidden


class ActionModule(ActionBase):  # type: ignore[misc]
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"spec", "secrets", "deprecated"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables, path = task_vars or {}, str(self._task.args["spec"])
        spec = self._load(path)
        (entry,) = spec["argument_specs"].values()
        options: dict[str, Any] = dict(entry.get("options", {}))
        if spec.get("connection"):
            shared = os.path.join(os.path.dirname(path), CONNECTION)  # noqa: PTH118, PTH120
            options = {**self._load(shared)["options"], **options}
        for name in self._task.args.get("secrets") or []:
            options[name] = {**options[name], "no_log": True}

        problems = [
            f"{wrong} is not a variable of this playbook. Use {right} instead."
            for wrong, right in spec.get("misspellings", {}).items()
            if wrong in variables
        ]
        # Shown once for all variables.
        advice: dict[str, None] = {}
        found: dict[str, Any] = {}
        for name, option in options.items():
            try:
                value = self._read(name, option, variables)
            except _UnusableError as error:
                end = error.hidden if option.get("no_log") else error.shown
                problems.append(f"{name} {error.what}{end}")
                advice.update(dict.fromkeys(error.advice))
                continue
            if value is not None:
                found[name] = value
        if problems:
            refusal = OptionError(" ".join(problems), hint=" ".join(advice))
            return {
                **result,
                "failed": True,
                "msg": " ".join([*problems, *advice]),
                "error": refusal.fields(),
            }
        for name, replacement in (self._task.args.get("deprecated") or {}).items():
            if name in found:
                Display().deprecated(
                    f"The variable {name} is deprecated. {replacement}",
                    version="4.0.0",
                    collection_name="keysmith.mongodb",
                )
        result["variables"] = _untouched(found)
        # The variable ansible_check_mode ignores the task keyword check_mode.
        result["check_mode"] = bool(self._task.check_mode)
        result["strategy"] = str(self._task.get_play().strategy)
        if any(options[name].get("no_log") for name in found):
            # Not set for failures, which contain no secret and must be shown.
            result["_ansible_no_log"] = True
        return result

    def _load(self, name: str) -> dict[str, Any]:
        with open(self._find_needle("vars", name), encoding="utf-8") as file:  # noqa: PTH123
            loaded: dict[str, Any] = yaml.safe_load(file)
        return loaded

    def _read(self, name: str, option: dict[str, Any], variables: dict[str, Any]) -> Any:
        """Return the value of a variable, its default, or None if it has neither."""
        value = self._value(variables[name], variables) if name in variables else None
        if value is not None:
            value = _convert(value, option)
        if value is None:
            value = option.get("default")
            if value is None and option.get("required"):
                raise _UnusableError("is required but not set")
            return value
        choices = option.get("choices") or []
        for item in (value if isinstance(value, list) else [value]) if choices else []:
            if item not in choices:
                raise _wrong(f"must be one of {', '.join(map(str, choices))}", item)
        return value

    def _value(self, raw: Any, variables: dict[str, Any]) -> Any:
        """Resolve the templates in a value; None means that it is not set."""
        try:
            # In a list, because ansible-core 2.19 and newer drop omitted items, but refuse an
            # omitted value.
            values = _templar(self._templar).template([raw])
            value = _plain(_without_omitted(list(values), variables))
        except AnsibleUndefinedVariable as error:
            missing = ", ".join(sorted(_undefined(raw, variables, set())))
            if missing:
                raise _UnusableError(f"uses a variable that is not defined: {missing}") from None
            reason = f". {_first_line(error)}"
            raise _UnusableError("uses a value that is not defined", shown=reason) from None
        except AnsibleError as error:
            reason = f": {_first_line(error)}"
            raise _UnusableError("has a value that cannot be read", shown=reason) from None
        return None if value in ([], [""]) else value[0]


def _templar(templar: Any) -> Any:
    """Return a templar that keeps the types of values.

    Before ansible-core 2.19, templates turn text that looks like a list into a list, and numbers
    into text.
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
    """Keeps the types of constants; Jinja would turn a list in a template into text."""

    def _output_child_to_const(self, node: Any, frame: Any, finalize: Any) -> Any:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


def _keep_type(parts: Iterator[Any]) -> Any:
    found = list(parts)
    if len(found) == 1:
        if isinstance(found[0], Undefined):
            str(found[0])  # raises the error that names the undefined variable
        return found[0]
    return "".join(str(part) for part in found)


def _without_omitted(values: list[Any], variables: dict[str, Any]) -> list[Any]:
    """Drop omitted values, for which ansible-core before 2.19 uses a placeholder."""
    omit = variables.get("omit")
    if omit is None:
        return values
    return [
        _without_omitted(value, variables) if isinstance(value, list) else value
        for value in values
        if not (isinstance(value, str) and value == omit)
    ]


def _plain(value: Any) -> Any:
    """Decrypt text, and convert Ansible's own types to plain ones."""
    if isinstance(value, str) or getattr(value, "__ENCRYPTED__", False):
        return str(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _untouched(value: Any) -> Any:
    """Return a value in which Ansible will not evaluate or convert text."""
    if isinstance(value, dict):
        return {key: _untouched(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_untouched(item) for item in value]
    if isinstance(value, str) and hasattr(ansible.template, "AnsibleEnvironment"):
        # Before ansible-core 2.19, a template with text such as [1,2] would return a list.
        return unsafe_proxy.NativeJinjaUnsafeText(value)
    return unsafe_proxy.wrap_var(value)


def _undefined(raw: Any, variables: dict[str, Any], seen: set[str]) -> set[str]:
    """Return the undefined variables that a value uses, also through other variables."""
    if isinstance(raw, Mapping):
        raw = list(raw.values())
    if isinstance(raw, (list, tuple)):
        return {name for item in raw for name in _undefined(item, variables, seen)}
    try:
        parsed = Environment(autoescape=True).parse(raw if isinstance(raw, str) else "")
    except TemplateError:
        return set()
    used = meta.find_undeclared_variables(parsed) - seen - _FUNCTIONS
    seen |= used
    missing = used - variables.keys()
    for name in used - missing:
        missing |= _undefined(variables[name], variables, seen)
    return missing


def _convert(value: Any, option: dict[str, Any]) -> Any:
    """Convert a value to the type of its option; text with only empty lines becomes None."""
    kind = option.get("type", "str")
    if kind != "list":
        return _scalar(value, kind)
    elements = option.get("elements", "str")
    if isinstance(value, str) and elements in _TEXT:
        return [line.strip() for line in value.splitlines() if line.strip()] or None
    if not isinstance(value, list):
        lines = ", or text with one item per line" if elements in _TEXT else ""
        raise _wrong(f"must be a list{lines}", value)
    items = []
    for number, item in enumerate(value, 1):
        if item is None or item == "":
            raise _UnusableError(f"has an empty item, number {number}. Remove it")
        try:
            items.append(_scalar(item, elements))
        except _UnusableError as error:
            error.what = f"(item {number}) {error.what}"
            raise
    return items


def _scalar(value: Any, kind: str) -> Any:
    if kind in _TEXT:
        if isinstance(value, str):
            return value
        if isinstance(value, (list, dict)):
            raise _wrong("must be a single string", value)
        raise _wrong("must be text", value, _QUOTES, _SURVEY)
    if kind == "bool":
        with suppress(TypeError):
            if isinstance(value, (bool, int, str)):
                return boolean(value)
        raise _wrong("must be true or false", value)
    if kind in _NUMBERS:
        pattern, convert, noun = _NUMBERS[kind]
        is_number = isinstance(value, (int, convert)) and not isinstance(value, bool)
        with suppress(OverflowError):
            if is_number or (isinstance(value, str) and re.fullmatch(pattern, value)):
                number = convert(value)
                if kind == "int" or math.isfinite(number):
                    return number
        raise _wrong(f"must be {noun}", value)
    if kind == "dict" and not isinstance(value, dict):
        raise _wrong("must be a dictionary", value)
    return value


def _wrong(what: str, value: Any, *advice: str) -> _UnusableError:
    """Return an error that shows the value, unless it may contain a secret.

    The result of another task may contain one, and a truncated secret would not be masked.
    """
    noun = next((noun for types, noun in _NOUNS if isinstance(value, types)), "value")
    hidden = shown = f", but its value is a {noun}."
    items = value if isinstance(value, list) else [value]
    if not any(isinstance(item, (list, dict)) or contains_secret(item) for item in items):
        text = ""
        with suppress(ValueError):  # a number with thousands of digits
            is_date = isinstance(value, datetime.date)
            text = str(value) if is_date else json.dumps(value, ensure_ascii=False, default=str)
        if 0 < len(text) <= _MAX_SHOWN:
            shown = f", but its value is the {noun} {text}."
    return _UnusableError(what, *advice, shown=shown, hidden=hidden)


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split("\n", 1)[0].split())
