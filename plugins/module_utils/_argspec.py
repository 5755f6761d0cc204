# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that modules share, with their checks. The doc fragments mirror the specs.

No connection option has a default in the spec if the environment may set it: a module cannot tell
Ansible's own values from set ones. ``_connection`` decides instead, after Ansible's validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    PLATFORMS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import (
    is_id,
    quoted,
)

# Mirrored by the doc fragment ``connection``; a test holds the two equal.
CONNECTION_OPTIONS: dict[str, dict[str, Any]] = {
    "platform": {"type": "str", "choices": list(PLATFORMS)},
    "base_url": {"type": "str"},
    "org_id": {"type": "str"},
    "api_public_key": {"type": "str", "no_log": False},
    "api_private_key": {"type": "str", "no_log": True},
    "client_id": {"type": "str"},
    "client_secret": {"type": "str", "no_log": True},
    "access_token": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool"},
    "ca_path": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    # It may hold a password, and Ansible logs options before a module can say so.
    "http_proxy": {"type": "str", "no_log": True},
    "timeout": {"type": "float", "default": 30},
    "retries": {"type": "int", "default": 5},
    "retry_max_wait": {"type": "float", "default": 120},
    "envelope": {"type": "bool", "default": False},
}
# Of every module that identifies keys by description.
LOOK_ALIKES: dict[str, Any] = {
    "type": "str",
    "choices": ["refuse", "ignore"],
    "default": "refuse",
}
MAX_SECONDS = 86400
MAX_DESCRIPTION = 250
# All that is known: the APIs make 8 lowercase letters, and promise no more than 8 characters.
_PUBLIC_KEY = re.compile(r"[!-~]{8}")
# A UUID, and what the secret of a service account begins with.
_PRIVATE_KEY = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|mdb_sa_sk_.*")
_CLIENT_ID = re.compile(r"mdb_sa_id_[a-fA-F0-9]{24}")


def given(value: Any) -> Any:
    """Return the value of an option or a variable, None for the empty string."""
    return None if value == "" else value


def check_id(name: str, value: str) -> None:
    """Refuse what is no id (24 lower-case hexadecimal digits). Raises OptionError."""
    if is_id(value):
        return
    hint = "An ID is 24 lowercase hexadecimal digits; quote one that is all digits."
    if name.startswith("api_user_id") and is_public_key(value):
        hint = f"That looks like a public key: use {name.replace('api_user_id', 'public_key')}."
    elif _CLIENT_ID.fullmatch(value):
        hint = "That is the client id of a service account, not of an API key."
    value = "hidden" if looks_secret(value) else quoted(value, 80)
    raise OptionError(f"{name} is {value}, which is not a valid ID", hint=hint)


def check_public_key(value: str, name: str = "public_key") -> None:
    """Refuse what is not a public key, without showing it: it may be a private key."""
    if is_public_key(value):
        return
    hint = "A public key has 8 visible ASCII characters."
    if looks_secret(value):
        hint = "It looks like a private key, which is a secret and identifies no key."
    elif _CLIENT_ID.fullmatch(value.strip()):
        hint = "It looks like the client ID of a service account, which is not an API key."
    elif is_id(value.strip().lower()):
        hint = f"It looks like an ID: use {name.replace('public_key', 'api_user_id')}."
    raise OptionError(f"{name} is not a valid public key", hint=hint)


def is_public_key(value: str) -> bool:
    return bool(_PUBLIC_KEY.fullmatch(value))


def looks_secret(value: Any) -> bool:
    return isinstance(value, str) and bool(_PRIVATE_KEY.fullmatch(value.strip()))


def has_secret(value: Any) -> bool:
    """Whether a value has what looks like a private key or a client secret anywhere in it."""
    return isinstance(value, str) and bool(_PRIVATE_KEY.search(value))


def check_key_name(params: Mapping[str, Any]) -> None:
    """Refuse parameters that name no key, or more than one. Raises OptionError."""
    names = [name for name in ("api_user_id", "public_key", "description") if params[name]]
    if len(names) != 1:
        raise OptionError(
            f"{' and '.join(names)} are given" if names else "No key is identified",
            hint="Set exactly one of api_user_id, public_key and description.",
        )
    if params["api_user_id"]:
        check_id("api_user_id", params["api_user_id"])
    if params["public_key"]:
        check_public_key(params["public_key"])


def check_description(name: str, value: str) -> None:
    """Refuse what the APIs do not take as a description: 1 to 250 characters."""
    if not 1 <= len(value) <= MAX_DESCRIPTION:
        raise OptionError(
            f"{name} has {len(value)} characters; it has to have 1 to {MAX_DESCRIPTION}"
        )


def check_items(name: str, items: Iterable[str | None]) -> None:
    """Refuse an empty item in a list, which a variable without a value makes."""
    if any(item is None or not item.strip() for item in items):
        raise OptionError(
            f"{name} has an empty item", hint="Is a variable empty that should name something?"
        )


def check_not_split(name: str, texts: Mapping[str, str]) -> None:
    """Refuse a text in place of a list, where Ansible splits it and a comma may be part of it."""
    text = texts.get(name, "")
    if "," in text:
        one, many = ([text], [part.strip() for part in text.split(",")])
        raise OptionError(
            f"{name} is a text with a comma, and no list",
            hint=f"Write {_flow(one)} if the comma is part of it, or {_flow(many)}.",
        )


def _flow(items: list[str]) -> str:
    return f"[{', '.join(map(quoted, items))}]"


def check_roles(platform: str, roles: list[str]) -> None:
    """Refuse an empty list, and what is no role of a key in an organization of the platform."""
    if not roles:
        raise OptionError(
            "roles is an empty list, and a key has at least one role",
            hint="Leave roles out to keep the roles as they are.",
        )
    check_items("roles", roles)
    known = PLATFORMS[platform].org_roles
    unknown = [role for role in roles if role not in known]
    if unknown:
        raise OptionError(
            f"{', '.join(map(quoted, unknown))} in roles is no role of a key in an organization of "
            f"{PLATFORMS[platform].title}",
            hint=f"The roles are {', '.join(known)}. Roles in projects begin with GROUP_ and are "
            "set by project_api_key.",
        )


def check_project_roles(roles: list[str]) -> None:
    """Refuse an empty list, and what is no role of a key in a project. Raises OptionError."""
    if not roles:
        raise OptionError(
            "A key that is assigned to a project needs roles, and none are given",
            hint="Give at least one role that begins with GROUP_.",
        )
    wrong = [role for role in roles if not role.startswith("GROUP_")]
    if wrong:
        raise OptionError(
            f"{', '.join(map(quoted, wrong))} in roles is no role in a project",
            hint="Such roles begin with GROUP_. Roles in the organization are set by org_api_key.",
        )


def check_org_role_names(roles: list[str]) -> None:
    """Refuse what is no role in an organization, where keys are looked for by their roles."""
    wrong = [role for role in roles if not role.startswith("ORG_")]
    if wrong:
        raise OptionError(
            f"{', '.join(map(quoted, wrong))} in roles is no role in an organization",
            hint="Such roles begin with ORG_. Keys of a project are found by project_id.",
        )


def check_seconds(name: str, value: float, *, zero: bool) -> None:
    """Refuse what is no time span; ``zero`` tells whether none is allowed. Raises OptionError."""
    if not 0 <= value <= MAX_SECONDS or (value == 0 and not zero):
        least = "from 0" if zero else "more than 0 and"
        raise OptionError(
            f"{name} is {value:g}; it has to be a number of seconds, {least} up to {MAX_SECONDS}"
        )
