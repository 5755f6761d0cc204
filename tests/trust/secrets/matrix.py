# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module with every kind of failure, each case in its own organization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from urllib.parse import quote

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AmbiguousError,
    ApiError,
    ConnectError,
    CredentialsFileError,
    DeadlineError,
    GuardError,
    InternalError,
    KeysmithError,
    LimitError,
    LostResponseError,
    MissingError,
    OptionError,
    OrphanError,
    OwnKeyError,
    PartialError,
    ProxyError,
    RedirectError,
    TimeLimitError,
    TlsError,
    UnexpectedResponseError,
    WaitTimeoutError,
)
from tests.emulator import Fault
from tests.integration.playbook import (
    ACCESS_LIST,
    ACCESS_TOKEN,
    ACCOUNT_LIST,
    ACCOUNT_PROJECT,
    ACCOUNT_SECRET,
    ACCOUNTS_INFO,
    API_REQUEST,
    KEYS,
    KEYS_INFO,
    MODULE,
    ORGS_INFO,
    PROJECT_KEY,
    ROTATION,
    SERVICE_ACCOUNT,
)
from tests.support import MISSING_ID, fetch_token
from tests.trust.secrets.world import (
    ATLAS,
    BODY_SECRET,
    CREATED,
    ECHO,
    LOST,
    MARK_KEY,
    QUERY_SECRET,
    Case,
    Home,
    World,
)

Options = dict[str, Any]
SECRETS = ("api_private_key", "client_secret", "access_token")
KINDS = ("pair", "account", "token", "token and secret")


def new_key(home: Home, **more: Any) -> Options:
    return {"description": f"{CREATED}{home.number}", "roles": ["ORG_MEMBER"], **more}


def of_key(**more: Any) -> Callable[[Home], Options]:
    return lambda home: {"api_user_id": home.key_id(2), **more}


def of_account(**more: Any) -> Callable[[Home], Options]:
    """Return the options of a task for an account. A token is opaque, so it may belong to it."""
    return lambda home: {
        "service_account_id": home.account_id,
        "allow_own_account": True,
        **more,
    }


# A task of each module.
TASKS: dict[str, tuple[str, Callable[[Home], Options]]] = {
    "revoke": (MODULE, of_key(state="absent")),
    "make": (MODULE, new_key),
    "revoke-many": (KEYS, lambda home: {"state": "absent", "api_user_ids": [home.key_id(2)]}),
    "list-access": (ACCESS_LIST, of_key(entries=["192.0.2.7"])),
    "assign": (
        PROJECT_KEY,
        lambda home: {
            "api_user_id": home.key_id(2),
            "project_id": home.id("aa"),
            "roles": ["GROUP_OWNER"],
        },
    ),
    "roll-back": (ROTATION, of_key(phase="roll_back", mark_key=MARK_KEY)),
    "send": (
        API_REQUEST,
        lambda home: {
            "method": "POST",
            "path": "/groups",
            "query": {"token": QUERY_SECRET},
            "body": {
                "name": "new",
                "orgId": home.org_id,
                "ldap": [{"bindPassword": BODY_SECRET}, {"credentials": {"of": [BODY_SECRET]}}],
            },
        },
    ),
    "read-keys": (KEYS_INFO, lambda home: {"access_list": True}),
    "read-organizations": (ORGS_INFO, lambda home: {}),
}
READING = {"roll-back", "read-keys", "read-organizations", "read-accounts"}
ACCOUNT_TASKS: dict[str, tuple[str, Callable[[Home], Options]]] = {
    "delete-account": (SERVICE_ACCOUNT, of_account(state="absent")),
    "make-account": (
        SERVICE_ACCOUNT,
        lambda home: {
            "name": f"{CREATED}account {home.number}",
            "roles": ["ORG_MEMBER"],
            "secret_expires_after_hours": 720,
        },
    ),
    "make-secret": (
        ACCOUNT_SECRET,
        lambda home: {"name": home.account_name, "secret_expires_after_hours": 720},
    ),
    "list-account-access": (ACCOUNT_LIST, of_account(entries=["192.0.2.7"])),
    "assign-account": (
        ACCOUNT_PROJECT,
        lambda home: {"project_id": home.id("aa"), **of_account(roles=["GROUP_OWNER"])(home)},
    ),
    "read-accounts": (ACCOUNTS_INFO, lambda home: {"access_list": True, "projects": True}),
}


@dataclass(frozen=True)
class Trouble:
    """A failure, the class of error that it causes, and texts in the message.

    ``fault`` affects all requests and gets the secret of their credential.
    """

    name: str
    error: type[KeysmithError]
    messages: tuple[str, ...]
    fault: Callable[[str], Fault] | None = None
    options: Callable[[World, Options], Options] = lambda _world, _options: {}
    is_broken: bool = False


def _misplaced(_world: World, options: Options) -> Options:
    """Return a credential with a typical mistake: swapped halves, a line break, a scheme."""
    if "api_private_key" in options:
        halves = options["api_public_key"], options["api_private_key"]
        return {"api_private_key": halves[0], "api_public_key": halves[1]}
    if "client_secret" in options:
        return {"client_secret": options["client_secret"] + "\n"}
    return {"access_token": f"Bearer {options['access_token']}"}


MISPLACED = {
    "pair": ("looks like a private key",),
    "account": ("line breaks",),
    "token": ("Remove the word Bearer",),
    "token and secret": ("line breaks",),
}


AWAY = "https://sso.example.com/{0}?token={0}"
TROUBLES = (
    Trouble("echo", ApiError, ECHO, lambda _secret: Fault("echo")),
    Trouble("echo-500", ApiError, ECHO, lambda _secret: Fault("echo", status=500)),
    Trouble(
        "page", UnexpectedResponseError, ("HTML page",), lambda _secret: Fault("html", status=200)
    ),
    Trouble(
        "elsewhere",
        RedirectError,
        ("sso.example.com",),
        lambda secret: Fault("redirect", location=AWAY.format(quote(secret, safe=""))),
    ),
    Trouble("lost", LostResponseError, ("broke",), lambda _secret: Fault("lost_before")),
    Trouble(
        "late",
        DeadlineError,
        ("in time",),
        lambda _secret: Fault("slow", seconds=3),
        options=lambda _world, _options: {"timeout": 0.3},
    ),
    Trouble(
        "nobody",
        ConnectError,
        ("refuses connections",),
        options=lambda world, _options: {"base_url": world.dead_server},
    ),
    Trouble(
        "no-tls",
        TlsError,
        ("does not use TLS",),
        options=lambda world, _options: {"base_url": world.emulator.url.replace("http:", "https:")},
    ),
    Trouble(
        "proxy",
        ProxyError,
        ("refused to connect",),
        options=lambda world, _options: {
            "base_url": world.emulator.url.replace("http:", "https:"),
            "http_proxy": world.refusing_proxy,
        },
    ),
    # The text depends on the kind of credential.
    Trouble("misplaced", OptionError, (), options=_misplaced),
    # The public key makes Digest fail.
    Trouble("mistake", InternalError, ("Internal error", "LookupError"), is_broken=True),
)

# The other statuses that the client handles specially.
REFUSALS = tuple(
    Trouble(
        f"echo-{status}", ApiError, ECHO, lambda _secret, code=status: Fault("echo", status=code)
    )
    for status in (401, 403, 404, 429, 503)
)
# One task that writes and one that reads: all modules share the client.
REFUSED = ("revoke", "read-keys")


@dataclass(frozen=True)
class Special:
    """An error of a single module."""

    name: str
    error: type[KeysmithError]
    messages: tuple[str, ...]
    module: str
    options: Callable[[World, Home], Options]
    fault: Callable[[Home], Fault] | None = None
    is_changed: bool = False


def _both(home: Home, **more: Any) -> Options:
    return {"state": "absent", "api_user_ids": [home.key_id(2), home.key_id(3)], **more}


def _victim(home: Home) -> dict[str, Any]:
    key = home.seed()["api_keys"][1]
    names = {"desc": key["description"], "publicKey": key["public_key"]}
    return {"id": key["id"], **names, "roles": [{"orgId": home.org_id, "roleName": "ORG_MEMBER"}]}


FULL_DISK = "full-disk.json"  # see sitecustomize.py
SPECIALS = (
    Special(
        "twins",
        AmbiguousError,
        ("twin",),
        MODULE,
        lambda _world, _home: {"state": "absent", "description": "twin"},
    ),
    Special(
        "missing",
        MissingError,
        (MISSING_ID,),
        MODULE,
        lambda _world, _home: {"api_user_id": MISSING_ID, "new_description": "new"},
    ),
    Special(
        "own",
        OwnKeyError,
        ("this task authenticates with",),
        MODULE,
        lambda _world, home: {"state": "absent", "api_user_id": home.key_id(1)},
    ),
    Special(
        "orphan",
        OrphanError,
        LOST,
        MODULE,
        lambda _world, home: new_key(home),
        lambda _home: Fault("lost_after", "POST"),
        is_changed=True,
    ),
    Special(
        "alive",
        ApiError,
        ECHO,
        ACCESS_TOKEN,
        # The emulator echoes each revocation.
        lambda world, home: {
            **home.account(),
            "token": fetch_token(world.emulator.url, **home.account()),
            "state": "absent",
        },
    ),
    Special(
        "no-room",
        LimitError,
        ("has 2 secrets",),
        ACCOUNT_SECRET,
        lambda _world, _home: {"name": "full", "force": True, "secret_expires_after_hours": 8},
    ),
    Special(
        "full-disk-for-a-secret",
        CredentialsFileError,
        ("was deleted to clean up",),
        ACCOUNT_SECRET,
        lambda world, home: {
            "name": home.account_name,
            "secret_expires_after_hours": 8,
            "credentials_file": str(world.files / f"account-{FULL_DISK}"),
        },
    ),
    Special(
        "full-disk",
        CredentialsFileError,
        ("nothing is left",),
        MODULE,
        lambda world, home: new_key(home, credentials_file=str(world.files / FULL_DISK)),
    ),
    Special(
        "stopped",
        TimeLimitError,
        ("time_limit",),
        KEYS,
        # The first access list arrives after the time limit.
        lambda _world, home: {
            "api_keys": [
                {"description": name, "roles": [role], "access_list": ["192.0.2.7"]}
                for name, role in (("victim", "ORG_MEMBER"), ("signs", "ORG_OWNER"))
            ],
            "concurrency": 1,
            "time_limit": 1,
        },
        lambda home: Fault("slow", "GET", seconds=1.2),
    ),
    Special(
        "partial",
        PartialError,
        ("2 failed", *ECHO),
        KEYS,
        lambda _world, home: _both(home),
        lambda _home: Fault("echo", "DELETE"),
    ),
    Special(
        "too-many",
        GuardError,
        ("max_revocations is 1",),
        KEYS,
        lambda _world, home: _both(home, max_revocations=1),
    ),
    Special(
        "still-there",
        WaitTimeoutError,
        ("after the task revoked it",),
        MODULE,
        lambda _world, home: {
            "state": "absent",
            "api_user_id": home.key_id(2),
            "wait": True,
            "wait_timeout": 1,
        },
        # After the signed GET and the DELETE, the key is still shown.
        lambda home: Fault("json", "GET", after=2, body=_victim(home)),
        is_changed=True,
    ),
)
PLAN = [
    *[(task, trouble) for task in TASKS for trouble in (None, *TROUBLES)],
    *[(task, refusal) for task in REFUSED for refusal in REFUSALS],
    # All modules share the client, so one or two failures per task are enough.
    *[(task, None) for task in ACCOUNT_TASKS],
    *zip(cycle(ACCOUNT_TASKS), TROUBLES),
]
HOMES = [
    Home(number, is_broken=bool(trouble and trouble.is_broken))
    for number, (_task, trouble) in enumerate(PLAN)
]
SPECIAL_HOMES = [Home(len(PLAN) + number) for number in range(len(SPECIALS))]


def credentials(world: World, home: Home, kind: str) -> Options:
    if "token" in kind:
        token = {"access_token": fetch_token(world.emulator.url, **home.account())}
        return token | (home.account() if "secret" in kind else {})
    return home.pair() if kind == "pair" else home.account()


def secret_of(options: Options) -> str:
    return next(str(options[name]) for name in SECRETS if name in options)


def matrix(world: World) -> dict[str, Case]:
    cases = {}
    for (task, trouble), home in zip(PLAN, HOMES):
        # Each failure is combined with every kind of credential, in one module or another.
        number = home.number + home.number // (len(TROUBLES) + 1)
        kind = "pair" if home.is_broken else KINDS[number % len(KINDS)]
        case = troubled(world, home, task, trouble, kind)
        if trouble and trouble.fault:
            world.faults |= dict.fromkeys(home.callers, trouble.fault(secret_of(case.options)))
        cases[f"{task}-meets-{trouble.name if trouble else 'nothing'}"] = case
    for special, home in zip(SPECIALS, SPECIAL_HOMES):
        own = special.options(world, home)
        pair = {} if "client_id" in own else home.pair()
        options = base(world, home) | pair | own
        cases[f"ends-in-{special.name}"] = Case(
            options,
            special.messages,
            module=special.module,
            error=special.error,
            is_changed=special.is_changed,
        )
        if special.fault:
            world.faults |= dict.fromkeys(home.callers, special.fault(home))
    return cases


def base(world: World, home: Home) -> Options:
    return {
        "platform": ATLAS,
        "base_url": world.emulator.url,
        "org_id": home.org_id,
        "retries": 0,
    }


def troubled(world: World, home: Home, task: str, trouble: Trouble | None, kind: str) -> Case:
    module, asked = (TASKS | ACCOUNT_TASKS)[task]
    options = base(world, home) | asked(home) | credentials(world, home, kind)
    if trouble is None:
        return Case(options, module=module, is_changed=task not in READING)
    options |= trouble.options(world, options)
    messages = trouble.messages or MISPLACED[kind]
    return Case(options, messages, module=module, error=trouble.error)
