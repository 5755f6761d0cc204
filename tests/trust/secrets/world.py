# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulators, proxies and canary secrets for tasks whose output is searched."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import KeysmithError
from tests.emulator import Emulator, Fault
from tests.integration.peers import LOOPBACK, ForwardProxy, dead_port
from tests.integration.playbook import ACCOUNT_SECRET, KEYS, MODULE
from tests.integration.rotations import keep_private_keys
from tests.support import (
    PRIVATE_KEYS,
    client_id,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    seed,
)

ATLAS, CLOUD, OPS = "atlas", "cloud_manager", "ops_manager"
MASK = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
# If possible, they have characters that are escaped in URLs.
CLIENT_SECRET = "mdb_sa_sk_canary+sign/of=the&mine?0123456789"
PROXY_PASSWORD = "pr0xy/c&nary+0123456789"
URL_PASSWORD = "b4se-url-c&nary-0123456789"
WRONG_PRIVATE_KEY = "ca11ab1e-dead-4ead-8ead-00000000dead"
MEMBER_PRIVATE_KEY = "ca11ab1e-6666-4666-8666-00006666feed"
MARK_KEY = "canary-of-the-marks-0123456789"
BODY_SECRET = 'b0dy-c&nary+0123456789 "in quotes"'
QUERY_SECRET = "qu3ry/c&nary+0123456789"
CANARIES = {
    "the private key of Atlas": PRIVATE_KEYS[ATLAS],
    "the private key of Cloud Manager": PRIVATE_KEYS[CLOUD],
    "the private key of Ops Manager": PRIVATE_KEYS[OPS],
    "the wrong private key": WRONG_PRIVATE_KEY,
    "the private key of the member": MEMBER_PRIVATE_KEY,
    "the client secret": CLIENT_SECRET,
    "the key of marks": MARK_KEY,
    "the secret in a body": BODY_SECRET,
    "the secret in a query": QUERY_SECRET,
    "the password of the proxy": PROXY_PASSWORD,
    "the password in base_url": URL_PASSWORD,
    "a masked client secret": "mdb_sa_sk_****",
    "the service account's Basic value": f"{client_id(ATLAS)}:{CLIENT_SECRET}",
    "the service account's quoted Basic value": f"{client_id(ATLAS)}:{quote_plus(CLIENT_SECRET)}",
    "the proxy's Basic value": f"user:{PROXY_PASSWORD}",
}


@dataclass(frozen=True)
class Case:
    """A task: its options, the faults for its key, and texts in its message.

    Without such texts, it must succeed.
    """

    options: dict[str, Any]
    messages: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    module: str = MODULE
    no_log: bool = False
    # The class of its error, if the case is for this class.
    error: type[KeysmithError] | None = None
    is_changed: bool = False

    @property
    def play(self) -> tuple[str, bool]:
        """What the cases of a play have in common."""
        return self.module, self.no_log


@dataclass(frozen=True)
class Home:
    """The organization of a case. Key 1 authenticates; keys 3 and 4 are duplicates.

    Account 1 authenticates. Account 2 has no secret and no project. Account 3 has two secrets.
    """

    number: int
    is_broken: bool = False

    def id(self, end: str) -> str:
        return f"5d{self.number:06d}{end:0>16}"

    @property
    def org_id(self) -> str:
        return self.id("0")

    def key_id(self, number: int) -> str:
        return self.id(f"e{number}")

    @property
    def account_name(self) -> str:
        return f"{CREATED}secret {self.number}"

    @property
    def account_id(self) -> str:
        return f"mdb_sa_id_{self.id('a2')}"

    def public_key(self, number: int) -> str:
        """See sitecustomize.py for the prefix that makes requests fail."""
        letters = "".join(chr(ord("a") + int(digit)) for digit in f"{self.number:03d}{number}")
        return ("brok" if self.is_broken else "home") + letters

    @property
    def callers(self) -> set[str]:
        return {self.public_key(1), client_id(ATLAS).replace(org_id(ATLAS), self.org_id)}

    def pair(self) -> dict[str, str]:
        return {"api_public_key": self.public_key(1), "api_private_key": PRIVATE_KEYS[ATLAS]}

    def account(self) -> dict[str, str]:
        return {"client_id": f"mdb_sa_id_{self.org_id}", "client_secret": CLIENT_SECRET}

    def seed(self) -> dict[str, Any]:
        keys = [("signs", "ORG_OWNER"), ("victim", "ORG_MEMBER"), *[("twin", "ORG_MEMBER")] * 2]
        return {
            "id": self.org_id,
            "name": f"Home {self.number}",
            "projects": [{"id": self.id("aa"), "name": "shop"}],
            "api_keys": [
                {
                    "id": self.key_id(number),
                    "description": description,
                    "public_key": self.public_key(number),
                    "private_key": PRIVATE_KEYS[ATLAS] if number == 1 else f"{number:032d}",
                    "roles": [role],
                }
                for number, (description, role) in enumerate(keys, 1)
            ],
            "service_accounts": [
                {**self.account(), "roles": ["ORG_OWNER"]},
                {
                    "client_id": self.account_id,
                    "name": self.account_name,
                    "roles": ["ORG_MEMBER"],
                },
                {
                    "client_id": f"mdb_sa_id_{self.id('a3')}",
                    "name": "full",
                    "roles": ["ORG_MEMBER"],
                    "secrets": [
                        {"id": self.id(f"5e{number}"), "value": f"{CLIENT_SECRET}{number}"}
                        for number in range(2)
                    ],
                },
            ],
        }


class ByCaller(Fault):
    """Has a fault for each caller, which skips its first ``after`` requests."""

    def __init__(self, faults: Mapping[str, Fault]) -> None:
        super().__init__("echo", path="/api/atlas/*", times=None)
        self._faults = faults
        self._seen: Counter[str] = Counter()

    def play(self, exchange: Any) -> None:
        caller = exchange.recorded.caller
        fault = self._faults.get(caller)
        self._seen[caller] += 1
        is_due = fault and fault.method in {"*", exchange.recorded.method}
        if fault and is_due and self._seen[caller] > fault.after:
            fault.play(exchange)
        else:
            exchange.send(exchange.perform())


@dataclass
class World:
    """Two emulators, one with a token endpoint that echoes, and two proxies."""

    emulator: Emulator
    echoing: Emulator
    refusing_proxy: str
    dead_proxy: str
    dead_server: str
    token: str
    # All private keys that were created, including those of deleted keys.
    made: Mapping[str, str]
    # The directory for created key pairs, which is not searched.
    files: Path
    # By caller, for ByCaller.
    faults: dict[str, Fault] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(100, 1000)))

    def options(self, **more: Any) -> dict[str, Any]:
        """Return the options of a revocation; the key pair comes from the environment."""
        number = next(self.numbers)
        return {
            "base_url": self.emulator.url,
            "org_id": org_id(ATLAS),
            "api_user_id": key_id(ATLAS, number),
            "retries": 0,
            "state": "absent",
            **more,
        }

    def other(self, module: str, platform: str = ATLAS, *messages: str, **more: Any) -> Case:
        """Return a case other than a revocation."""
        options: dict[str, Any] = {"base_url": self.emulator.url, "retries": 0}
        options |= {"platform": platform, "org_id": org_id(platform)}
        if platform != ATLAS:
            options |= key_pair(platform)
        return Case({**options, **more}, messages, module=module)

    def creation(self, platform: str, name: str, *messages: str, **more: Any) -> Case:
        """Return a case that creates a key with this description, or is supposed to."""
        new = {"description": name, "roles": ["ORG_MEMBER"], "state": "present"}
        return self.other(MODULE, platform, *messages, **new, **more)

    def many(self, platform: str, name: str, *messages: str, **more: Any) -> Case:
        """Return a case that creates such a key as one of many, or is supposed to."""
        api_keys = [{"description": name, "roles": ["ORG_MEMBER"]}]
        return self.other(KEYS, platform, *messages, api_keys=api_keys, **more)

    def new_secret(self, name: str, *messages: str, **more: Any) -> Case:
        """Return a case that creates a secret of the account with this name."""
        return self.other(
            ACCOUNT_SECRET, ATLAS, *messages, name=name, secret_expires_after_hours=720, **more
        )

    def file(self, name: str) -> dict[str, str]:
        return {"credentials_file": str(self.files / name)}

    def faulty(self, fault: Fault, *messages: str, **more: Any) -> Case:
        options = self.options(**more)
        fault.path = f"*/apiKeys/{options['api_user_id']}"
        return Case(options, messages, (fault,))


ACCOUNT = {"client_id": client_id(ATLAS), "client_secret": CLIENT_SECRET}
ECHO = ("UNEXPECTED_ERROR", "Authorization: ")
LOST = ("private key is lost",)
CREATED = "create "
# Accounts of Atlas that get a secret.
SHOWN, FILED, UNSEEN = (f"{CREATED}secret {end}" for end in ("shown", "in a file", "lost"))


def _add_faults_of_life(emulator: Emulator) -> None:
    for name, platform in (("lost_after", OPS), ("echo", CLOUD)):
        emulator.add_fault(Fault(name, "POST", f"*/orgs/{org_id(platform)}/apiKeys", times=None))
    accounts = f"*/orgs/{org_id(CLOUD)}/serviceAccounts"
    emulator.add_fault(Fault("echo", "POST", accounts, times=None))
    secrets = f"*/serviceAccounts/{_new_account(UNSEEN)['client_id']}/secrets"
    emulator.add_fault(Fault("lost_after", "POST", secrets, times=None))


def _new_account(name: str) -> dict[str, Any]:
    client = f"{client_id(ATLAS)[:-2]}e{(SHOWN, FILED, UNSEEN).index(name)}"
    return {"client_id": client, "name": name, "roles": ["ORG_MEMBER"]}


def _seed(homes: Sequence[Home]) -> dict[str, Any]:
    value = seed(extra_keys=60)
    for organization in value["organizations"]:
        if organization["product"] != ATLAS:
            continue
        organization["service_accounts"][0]["client_secret"] = CLIENT_SECRET
        organization["service_accounts"] += map(_new_account, (SHOWN, FILED, UNSEEN))
        for key in organization["api_keys"]:
            if key["description"] == "member":
                key["private_key"] = MEMBER_PRIVATE_KEY
            if key["id"] == key_id(ATLAS, 3):
                key["description"] = f"goes with {PRIVATE_KEYS[ATLAS]}"
    value["organizations"] += [home.seed() for home in homes]
    return value


@contextlib.contextmanager
def open_world(files: Path, homes: Sequence[Home] = ()) -> Iterator[World]:
    files.mkdir()
    refusing = ForwardProxy(refusal="407 Proxy Authentication Required")
    user = f"//user:{quote(PROXY_PASSWORD, safe='')}@"
    with (
        refusing,
        keep_private_keys() as made,
        Emulator(_seed(homes), token_requests_per_minute=None) as emulator,
        Emulator(_seed(())) as echoing,
        dead_port() as port,
    ):
        echoing.add_fault(Fault("echo", "POST", "/api/oauth/token", times=None))
        # Revoking the token fails, without a message.
        emulator.add_fault(Fault("echo", "POST", "/api/oauth/revoke", times=None))
        _add_faults_of_life(emulator)
        yield World(
            emulator,
            echoing,
            refusing_proxy=refusing.url.replace("//", user),
            dead_proxy=f"http:{user}{LOOPBACK}:{port}",
            dead_server=f"http://{LOOPBACK}:{port}",
            token=fetch_token(emulator.url, **ACCOUNT),
            made=made,
            files=files,
        )


def canaries(world: World) -> dict[str, str]:
    """Return all secrets, including the tokens that tasks fetched."""
    tokens = set(world.emulator.state.tokens) | {world.token}
    for recorded in [*world.emulator.requests, *world.echoing.requests]:
        scheme, _blank, value = recorded.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer":
            tokens.add(value)
        tokens.update(parse_qs(recorded.body.decode()).get("token", []))
    return {
        **CANARIES,
        **{f"token {number}": token for number, token in enumerate(tokens)},
        **world.made,
    }


def created_keys(world: World) -> dict[str, str]:
    """Return what was created: private keys by description, client secrets by account name."""
    created: dict[str, str] = {}
    for organization in world.emulator.state.organizations.values():
        created |= {key.description: key.private_key for key in organization.api_keys.values()}
        accounts = organization.service_accounts.values()
        created |= {
            account.name: secret.value for account in accounts for secret in account.secrets
        }
    return {name: secret for name, secret in created.items() if name.startswith(CREATED)}
