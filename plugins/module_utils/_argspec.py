# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Define and check the options that modules share. The doc fragments mirror them.

Connection options that the environment may set have no default here, because a default would be
indistinguishable from a value that the task sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    is_client_id,
    is_public_key,
    looks_secret,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    PLATFORMS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import (
    is_id,
    quoted,
)

Spec = dict[str, dict[str, Any]]

CONNECTION_OPTIONS: Spec = {
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
    # May contain a password, which Ansible would log before the module can register it.
    "http_proxy": {"type": "str", "no_log": True},
    "timeout": {"type": "float", "default": 30},
    "retries": {"type": "int", "default": 5},
    "retry_max_wait": {"type": "float", "default": 120},
    "envelope": {"type": "bool", "default": False},
}
STATE: Spec = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}
LOOK_ALIKES: Spec = {
    "look_alikes": {"type": "str", "choices": ["refuse", "ignore"], "default": "refuse"}
}
KEY: Spec = {
    "api_user_id": {"type": "str", "aliases": ["id"]},
    "public_key": {"type": "str", "no_log": False},
    "description": {"type": "str", "aliases": ["desc"]},
    **LOOK_ALIKES,
}
_KEY_NAMES = [["api_user_id", "public_key", "description"]]
# Rules for modules whose tasks identify exactly one key.
ONE_KEY: dict[str, Any] = {"mutually_exclusive": _KEY_NAMES, "required_one_of": _KEY_NAMES}
ALLOW_OWN_KEY: Spec = {"allow_own_key": {"type": "bool", "default": False, "no_log": False}}
TIME_LIMIT: Spec = {"time_limit": {"type": "float"}}

MAX_SECONDS = 86400
MAX_DESCRIPTION = 250


def check_shared(params: Mapping[str, Any]) -> None:
    """Check the options that have the same meaning in all modules. Raises OptionError."""
    for name in ("timeout", "time_limit", "wait_timeout", "verify_timeout"):
        if params.get(name) is not None:
            check_seconds(name, params[name], zero=False)
    check_seconds("retry_max_wait", params["retry_max_wait"], zero=True)
    if params["retries"] < 0:
        raise OptionError(f"retries is {params['retries']}", hint="It must be 0 or more.")
    for name in ("api_user_id", "project_id"):
        if params.get(name):
            check_id(name, params[name])
    if params.get("public_key"):
        check_public_key(params["public_key"])


def check_id(name: str, value: str) -> None:
    """Refuse a value that is not a valid ID. Raises OptionError."""
    if is_id(value):
        return
    hint = "An ID is 24 lowercase hexadecimal digits; quote one that is all digits."
    if name.startswith("api_user_id") and is_public_key(value):
        hint = f"That looks like a public key: use {name.replace('api_user_id', 'public_key')}."
    elif is_client_id(value):
        hint = "That is the client ID of a service account, not of an API key."
    value = "hidden" if looks_secret(value) else quoted(value, 80)
    raise OptionError(f"{name} is {value}, which is not a valid ID", hint=hint)


def check_public_key(value: str, name: str = "public_key") -> None:
    """Refuse a value that is not a public key, without showing it: it may be a private key."""
    if is_public_key(value):
        return
    hint = "A public key has 8 visible ASCII characters."
    if looks_secret(value):
        hint = "It looks like a private key, which is a secret and cannot identify a key."
    elif is_client_id(value.strip()):
        hint = "It looks like the client ID of a service account, which is not an API key."
    elif is_id(value.strip().lower()):
        hint = f"It looks like an ID: use {name.replace('public_key', 'api_user_id')}."
    raise OptionError(f"{name} is not a valid public key", hint=hint)


def check_description(name: str, value: str, longest: int = MAX_DESCRIPTION) -> None:
    """Refuse a description that the APIs do not accept. Raises OptionError."""
    if not 1 <= len(value) <= longest:
        raise OptionError(
            f"{name} has {len(value)} characters", hint=f"It must have 1 to {longest}."
        )


def check_items(name: str, items: Iterable[str | None]) -> None:
    """Refuse an empty item in a list, usually caused by an empty variable. Raises OptionError."""
    if any(item is None or not item.strip() for item in items):
        raise OptionError(
            f"{name} has an empty item",
            hint="Check whether a variable that should have a value is empty.",
        )


def check_roles(
    platform: str, roles: list[str], *, noun: str = "key", in_project: str = "project_api_key"
) -> None:
    """Refuse roles that a key cannot have in an organization. Raises OptionError.

    ``noun``: what has the roles. ``in_project``: the module that sets its roles in projects.
    """
    if not roles:
        raise OptionError(
            f"roles is an empty list, but a {noun} must have at least one role",
            hint="Leave roles out to keep the roles as they are.",
        )
    check_items("roles", roles)
    known = PLATFORMS[platform].org_roles
    unknown = [role for role in roles if role not in known]
    if unknown:
        raise OptionError(
            f"{', '.join(map(quoted, unknown))} in roles is not an organization role of "
            f"{PLATFORMS[platform].title}",
            hint=f"The roles are {', '.join(known)}. Set roles in projects, which begin with "
            f"GROUP_, with {in_project}.",
        )


def check_project_roles(
    roles: list[str], *, noun: str = "key", in_org: str = "org_api_key"
) -> None:
    """Refuse roles that a key cannot have in a project. Raises OptionError.

    ``noun``: what has the roles. ``in_org``: the module that sets its roles in organizations.
    """
    if not roles:
        module = in_org.replace("org_", "")
        raise OptionError(
            f"roles is an empty list, but a {noun} in a project must have at least one role",
            hint=f"To remove the {noun} from the project, use project_{module} with state absent.",
        )
    _check_prefix(
        roles,
        "GROUP_",
        "a project role",
        f"Such roles begin with GROUP_. Set organization roles with {in_org}.",
    )


def check_org_role_names(roles: list[str], *, noun: str = "key") -> None:
    """Refuse role names that no organization role can have. Raises OptionError."""
    _check_prefix(
        roles,
        "ORG_",
        "an organization role",
        f"Such roles begin with ORG_. To find the {noun}s of a project, use project_id.",
    )


def _check_prefix(roles: list[str], prefix: str, noun: str, hint: str) -> None:
    wrong = [role for role in roles if not role.startswith(prefix)]
    if wrong:
        raise OptionError(f"{', '.join(map(quoted, wrong))} in roles is not {noun}", hint=hint)


def check_seconds(name: str, value: float, *, zero: bool) -> None:
    """Refuse a number of seconds that is out of range; ``zero`` allows 0. Raises OptionError."""
    if not 0 <= value <= MAX_SECONDS or (value == 0 and not zero):
        least = "from 0" if zero else "more than 0 and"
        raise OptionError(
            f"{name} is {value:g}",
            hint=f"It must be a number of seconds, {least} up to {MAX_SECONDS}.",
        )


# Service accounts.

SERVICE_ACCOUNT: Spec = {
    "service_account_id": {"type": "str"},
    "name": {"type": "str"},
    **LOOK_ALIKES,
    "allow_own_account": {"type": "bool", "default": False, "no_log": False},
}
_ACCOUNT_NAMES = [["service_account_id", "name"]]
# Rules for modules whose tasks identify exactly one service account.
ONE_ACCOUNT: dict[str, Any] = {
    "mutually_exclusive": _ACCOUNT_NAMES,
    "required_one_of": _ACCOUNT_NAMES,
}
MAX_NAME = 64
HOURS = (8, 8760)
_ACCOUNT_TEXT = re.compile(r"[^\W_]|[-_.,' ]")


def check_has_accounts(params: Mapping[str, Any]) -> None:
    """Refuse a platform without service accounts. Raises OptionError."""
    platform = PLATFORMS[params["platform"]]
    if not platform.has_service_accounts:
        raise OptionError(
            f"{platform.title} has no service accounts",
            hint="Use the modules for API keys, or set platform to atlas.",
        )


def check_account(params: Mapping[str, Any]) -> None:
    """Refuse a platform without service accounts, and an invalid client ID. Raises OptionError."""
    check_has_accounts(params)
    check_account_text("name", params["name"], MAX_NAME)
    value = params["service_account_id"]
    if not value or is_client_id(value):
        return
    hint = "A client ID consists of mdb_sa_id_ and 24 hexadecimal digits. To use a name, set name."
    if is_id(value) or is_public_key(value):
        hint += " For an API key, use the modules for API keys, such as org_api_key."
    shown = "hidden" if looks_secret(value) else quoted(value, 80)
    raise OptionError(f"service_account_id is {shown}, which is not a valid client ID", hint=hint)


def check_account_text(name: str, value: str | None, longest: int) -> None:
    """Refuse a name or description that the API does not accept. Raises OptionError."""
    if value is None:
        return
    if looks_secret(value):
        raise OptionError(
            f"{name} looks like a secret",
            hint="A name is visible to everyone who can list service accounts. Use another text.",
        )
    check_description(name, value, longest)
    if value != value.strip():
        raise OptionError(
            f"{name} is {quoted(value)}, which begins or ends with a space",
            hint="Check whether a variable that should have a value is empty.",
        )
    wrong = sorted({char for char in value if not _ACCOUNT_TEXT.fullmatch(char)})
    if wrong:
        raise OptionError(
            f"{name} contains {', '.join(map(quoted, wrong))}",
            hint="It can contain letters, digits, spaces and the characters - _ . , and '.",
        )


def check_hours(name: str, value: int | None) -> None:
    """Refuse a lifetime that no secret can have. Raises OptionError."""
    least, most = HOURS
    if value is not None and not least <= value <= most:
        hint = f"It must be a number of hours from {least} to {most}."
        raise OptionError(f"{name} is {value}", hint=hint)
