# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the path, query and body of ``api_request``, and compare JSON. Pure.

The other modules build their own paths and bodies, and do not need these checks.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any, Union
from urllib.parse import unquote

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    contains_secret,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import Platform
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._secrets import leaves
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted

DEFAULT_VERSION = "2025-03-12"
PREVIEW = "preview"
HIDDEN = "hidden"
_WRITES_WITH_BODY = frozenset({"PATCH", "PUT"})
_MAX_DECODINGS = 5
# Web servers accept about 8,000 characters.
_MAX_PATH = 4000
_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
# The names of secret fields in requests and responses of the APIs.
_SECRET_NAME = re.compile(
    r"pass[-_ ]?(word|wd|phrase)|pwd|secret|token|private|cred(s$|ential)|webhook[-_ ]?url"
    r"|(?-i:(^|[-_])(pass|PASS)$|Pass$)|authorization$|jwt$"
    r"|(api|service|routing|license|account|access|auth|shared|encryption|stored|server|ssl|tls"
    r"|ssh|master|signing|hmac|integration|subscription)[-_ ]?keys?$",
    re.IGNORECASE,
)
# A user name and a password in a URL.
_URL_LOGIN = re.compile(r"://[^\s/@:]*:([^\s/@]+)@")
_EMPTY_VARIABLE = "Check whether a variable that should have a value is empty."

QueryValue = Union[str, list[str]]


def relative_path(path: str, platform: Platform) -> str:
    """Return a task's path without the API's own path in front of it. Raises OptionError."""
    for why, hint in _faults(path):
        shown = HIDDEN if contains_secret(path) else quoted(path, 200)
        raise OptionError(f"path is {shown}, which {why}", hint=hint)
    own = platform.api_path
    if path == own or path.startswith(f"{own}/"):
        path = path[len(own) :]
    elif re.match("/api(/|$)", path, re.IGNORECASE):
        raise OptionError(
            f"path is {quoted(path, 200)}, which is not below {own}, the path of the API of "
            f"{platform.title}",
            hint="Check platform, or leave out the beginning of the path, as in /orgs.",
        )
    return "" if path == "/" else path


def _faults(path: str) -> Iterator[tuple[str, str]]:
    """Yield each fault of a path, as the end of a sentence, and a hint."""
    options = "Set the host with base_url and parameters with query."
    if len(path) > _MAX_PATH:
        yield f"is longer than {_MAX_PATH} characters", "Check the variables in it."
    if not path.startswith("/"):
        yield "does not begin with /", options
    if "//" in path:
        yield "contains //", _EMPTY_VARIABLE
    for char in "?#":
        if char in path:
            code = f"%{ord(char):02X}"
            yield f"contains {char}", f"{options} In a name, write {code} instead."
    if path.endswith("/") and path != "/":
        yield "ends with /", _EMPTY_VARIABLE
    if _BAD_PERCENT.search(path):
        yield (
            "contains a % that is not part of an encoded character",
            "Encode names with the filter urlencode, and then replace / with %2F.",
        )
    for number, form in enumerate(_decoded(path)):
        if number == _MAX_DECODINGS:
            yield "is encoded five times or more", "Encode names in it only once."
        if "\N{REPLACEMENT CHARACTER}" in form:
            # Some servers read such bytes as other characters.
            yield "contains bytes that are not valid UTF-8", "Encode names with urlencode."
        if not form.isprintable() or form != form.strip():
            yield "contains a control character, or a space at its end", _EMPTY_VARIABLE
        # Servers may read look-alikes, such as full-width dots, as dots.
        usual = unicodedata.normalize("NFKC", form)
        if any(part.partition(";")[0] in {".", ".."} for part in re.split(r"[/\\]", usual)):
            yield "contains . or .. as one of its parts", "Write the complete path."


def _decoded(path: str) -> Iterator[str]:
    """Yield a path and its decoded forms, because some servers decode it more than once."""
    for _round in range(_MAX_DECODINGS + 1):
        yield path
        decoded = unquote(path)
        if decoded == path:
            return
        path = decoded


def path_parts(path: str) -> list[str]:
    """Return the decoded parts of a path that ``relative_path`` has accepted.

    These are what a server may read that decodes a path more than once, takes a backslash for a
    slash, or ignores what follows a semicolon.
    """
    *_others, decoded = _decoded(path)
    usual = unicodedata.normalize("NFKC", decoded)
    parts = (part.partition(";")[0].strip() for part in re.split(r"[/\\]", usual))
    return [part for part in parts if part]


def query_texts(query: Mapping[str, Any] | None) -> dict[str, QueryValue]:
    """Return query parameters as text; a list repeats a parameter. Raises OptionError."""
    texts: dict[str, QueryValue] = {}
    for name, value in (query or {}).items():
        place = f"{quoted(str(name), 80)} in query"
        if name == "envelope":
            raise OptionError(f"{place} is not allowed", hint="Use the option envelope.")
        if isinstance(value, (list, tuple)) and value:
            texts[str(name)] = [_query_text(f"an item of {place}", item) for item in value]
        else:
            texts[str(name)] = _query_text(place, value)
    return texts


def _query_text(place: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if is_number or (isinstance(value, str) and value):
        return str(value)
    kind = "null" if value is None else "not text, a number or a boolean"
    # A filter without a value matches everything.
    kind = "empty" if value in ("", []) else kind
    raise OptionError(f"{place} is {kind}", hint=f"Leave it out. {_EMPTY_VARIABLE}")


def check_body(method: str, body: Any) -> None:
    """Refuse a body that a request with this method cannot have. Raises OptionError."""
    if body is None:
        if method in _WRITES_WITH_BODY:
            raise OptionError(f"body is not set, but method is {method}", hint=_EMPTY_VARIABLE)
        return
    if method == "GET":
        raise OptionError(
            "body is set, but method is GET", hint="Set parameters with query, or another method."
        )
    if not isinstance(body, (Mapping, list)):
        raise OptionError(
            "body is not a dictionary or a list",
            hint="Write the JSON as YAML, without quotes and without the filter to_json.",
        )
    if any(isinstance(leaf, float) and not math.isfinite(leaf) for leaf in leaves(body)):
        raise OptionError(
            "body contains a number that JSON does not support", hint="Remove .inf or .nan."
        )


def check_version(version: str | None, platform: Platform) -> str:
    """Return the version of the API to request. Raises OptionError."""
    if version is None:
        return DEFAULT_VERSION
    if "{}" not in platform.media_type:
        raise OptionError(
            f"api_version is set, but the API of {platform.title} has no versions",
            hint="Leave it out, or set platform to atlas.",
        )
    if version != PREVIEW and not _is_date(version):
        raise OptionError(
            f"api_version is {quoted(version, 40)}",
            hint=f"It must be a date, such as '{DEFAULT_VERSION}', or {PREVIEW}.",
        )
    return version


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def redacted(value: Any, *, is_secret: bool = False) -> Any:
    """Return JSON with the texts in secret fields, and URLs with a password, hidden.

    Numbers and booleans are kept.
    """
    if isinstance(value, Mapping):
        return {
            name: redacted(item, is_secret=is_secret or _is_secret_name(name, value))
            for name, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redacted(item, is_secret=is_secret) for item in value]
    return HIDDEN if _is_hidden(value, is_secret) else value


def secret_texts(value: Any, *, is_secret: bool = False) -> Iterator[str]:
    """Yield the texts that ``redacted`` hides, and the passwords in URLs."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            is_hidden = is_secret or _is_secret_name(name, value)
            yield from secret_texts(item, is_secret=is_hidden)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secret_texts(item, is_secret=is_secret)
    elif _is_hidden(value, is_secret):
        yield value
        yield from map(unquote, _URL_LOGIN.findall(value))


def _is_secret_name(name: Any, siblings: Mapping[str, Any]) -> bool:
    # In the automation configuration, this is the content of the key file.
    return bool(_SECRET_NAME.search(str(name))) or (name == "key" and "keyfile" in siblings)


def _is_hidden(value: Any, is_secret: bool) -> bool:
    return isinstance(value, str) and bool(value if is_secret else _URL_LOGIN.search(value))


def is_there(wanted: Any, current: Any, ignored: Collection[str] = ()) -> bool:
    """Return whether JSON already has the wanted values.

    A dictionary may have other fields, unless the wanted one is empty; a list must be equal as a
    whole. Fields with names in ``ignored`` are not compared, at any depth.
    """
    if isinstance(wanted, Mapping) and wanted:
        return isinstance(current, Mapping) and all(
            name in current and is_there(item, current[name], ignored)
            for name, item in wanted.items()
            if name not in ignored
        )
    return is_same(without(wanted, ignored), without(current, ignored))


def is_same(one: Any, other: Any) -> bool:
    """Return whether JSON is equal. In Python, ``True`` equals 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def without(value: Any, ignored: Collection[str]) -> Any:
    """Return JSON without the fields with these names, at any depth."""
    if isinstance(value, Mapping):
        return {name: without(item, ignored) for name, item in value.items() if name not in ignored}
    return [without(item, ignored) for item in value] if isinstance(value, list) else value


def shared_part(wanted: Any, current: Any, ignored: Collection[str] = ()) -> Any:
    """Return the current values of the fields in a wanted body, for a diff."""
    if not wanted or not isinstance(wanted, Mapping) or not isinstance(current, Mapping):
        return without(current, ignored)
    return {
        name: shared_part(item, current[name], ignored)
        for name, item in wanted.items()
        if name in current and name not in ignored
    }
