# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases for the playbooks that ship: each is a host with its own organization and failure.

Most playbooks run on `localhost`, which is here a group with a host for each case. If a playbook
takes its credential from the environment, each host has a Python with its own environment.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    DeadlineError,
)
from tests.emulator import Fault
from tests.trust.secrets.matrix import KINDS, MISPLACED, TROUBLES, Trouble, credentials, secret_of
from tests.trust.secrets.world import MARK_KEY, Home, World

Variables = dict[str, Any]
# The variables of options that a playbook takes only from the environment.
NAMES = {
    "base_url": "MONGODB_ATLAS_BASE_URL",
    "api_public_key": "MONGODB_ATLAS_PUBLIC_API_KEY",
    "api_private_key": "MONGODB_ATLAS_PRIVATE_API_KEY",
    "client_id": "MONGODB_ATLAS_CLIENT_ID",
    "client_secret": "MONGODB_ATLAS_CLIENT_SECRET",
    "access_token": "MONGODB_ATLAS_ACCESS_TOKEN",
    "http_proxy": "https_proxy",
}
# Playbooks cannot set a shorter timeout: a late response would take 30 seconds per request, and
# they report all errors alike.
USUAL = tuple(trouble for trouble in TROUBLES if trouble.error is not DeadlineError)
IN_THE_MIDDLE = Trouble(
    "unmade",
    ApiError,
    ("UNEXPECTED_ERROR", "The old key works as before."),
    lambda _secret: Fault("echo", "POST"),
)


@dataclass(frozen=True)
class Playbook:
    """``asks`` returns the answers to a survey."""

    name: str
    asks: Callable[[Home, Path], Variables]
    # Whether the credential is in the environment, or in variables of the host.
    by_environment: bool = True
    troubles: tuple[Trouble, ...] = USUAL

    @property
    def homes(self) -> dict[str, tuple[Home, Trouble | None]]:
        """The organization and failure of each host."""
        troubles = (None, *self.troubles)
        return {
            f"meets-{trouble.name if trouble else 'nothing'}": (
                Home(number, is_broken=bool(trouble and trouble.is_broken)),
                trouble,
            )
            for number, trouble in enumerate(troubles)
        }


PLAYBOOKS = {
    playbook.name: playbook
    for playbook in (
        Playbook(
            "revoke_org_api_key",
            lambda home, _files: {"org_id": home.org_id, "api_user_id": home.key_id(2)},
        ),
        Playbook(
            "revoke_org_api_keys",
            lambda home, _files: {"org_id": home.org_id, "descriptions": ["twin"]},
        ),
        Playbook(
            "rotate_org_api_key",
            lambda home, files: {
                "org_id": home.org_id,
                "api_user_id": home.key_id(2),
                "rotate_org_api_key_file": str(files / f"{home.number}.json"),
                # A token cannot sign marks.
                "rotate_org_api_key_mark_key": MARK_KEY,
            },
            troubles=(*USUAL, IN_THE_MIDDLE),
        ),
        Playbook(
            "audit_org_api_keys",
            lambda home, files: {
                "org_id": home.org_id,
                "audit_org_api_keys_hosts": "all",
                "audit_org_api_keys_dest": str(files / "audit"),
            },
            by_environment=False,
        ),
        Playbook(
            "revoke_leaked_key",
            lambda home, _files: {
                "org_id": home.org_id,
                "leaked_public_key": home.public_key(2),
                "wait_timeout": "",
            },
            by_environment=False,
        ),
    )
}


@dataclass(frozen=True)
class Host:
    variables: Variables
    messages: tuple[str, ...]


def hosts(playbook: Playbook, world: World, folder: Path) -> dict[str, Host]:
    """Return the hosts of an inventory, and add their faults."""
    found = {}
    # Each failure is combined with every kind of credential, in one playbook or another.
    first = list(PLAYBOOKS).index(playbook.name)
    for number, (name, (home, trouble)) in enumerate(playbook.homes.items(), first):
        kind = "pair" if home.is_broken else KINDS[number % len(KINDS)]
        given = {"base_url": world.emulator.url, **credentials(world, home, kind)}
        if trouble:
            given |= trouble.options(world, given)
        if trouble and trouble.fault:
            world.faults |= dict.fromkeys(home.callers, trouble.fault(secret_of(given)))
        variables = playbook.asks(home, world.files)
        if playbook.by_environment:
            variables["python_of_case"] = str(_python(folder / name, given))
        else:
            variables |= {**given, "python_of_case": sys.executable}
        messages = (trouble.messages or MISPLACED[kind]) if trouble else ()
        found[name] = Host(variables, messages)
    return found


def _python(path: Path, given: Variables) -> Path:
    """Write a Python with its own environment."""
    path.parent.mkdir(exist_ok=True)
    exports = [f"export {NAMES[name]}={shlex.quote(value)}" for name, value in given.items()]
    lines = [
        "#!/bin/sh",
        "unset no_proxy",
        *exports,
        f'exec {shlex.quote(sys.executable)} "$@"',
        "",
    ]
    path.write_text("\n".join(lines), "utf-8")
    path.chmod(0o700)
    return path


def write_inventory(path: Path, found: dict[str, Host]) -> list[str]:
    """Write an inventory, and return the arguments that it needs."""
    group = {"hosts": {name: host.variables for name, host in found.items()}}
    path.write_text(json.dumps({"all": {"children": {"localhost": group}}}), "utf-8")
    # Extra variables override those of the playbooks.
    return ["-e", '{"ansible_python_interpreter":"{{python_of_case}}"}']
