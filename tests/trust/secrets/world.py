# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks meet whose output is searched: emulators, proxies, and canaries for secrets."""

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
from tests.integration.playbook import KEYS, MODULE
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
# Each kind with characters that look different in a URL, where it may have them.
CLIENT_SECRET = "mdb_sa_sk_canary+sign/of=the&mine?0123456789"
PROXY_PASSWORD = "pr0xy/c&nary+0123456789"
URL_PASSWORD = "b4se-url-c&nary-0123456789"
WRONG_PRIVATE_KEY = "ca11ab1e-dead-4ead-8ead-00000000dead"
MEMBER_PRIVATE_KEY = "ca11ab1e-6666-4666-8666-00006666feed"
MARK_KEY = "canary-of-the-marks-0123456789"
CANARIES = {
    "the private key of Atlas": PRIVATE_KEYS[ATLAS],
    "the private key of Cloud Manager": PRIVATE_KEYS[CLOUD],
    "the private key of Ops Manager": PRIVATE_KEYS[OPS],
    "the wrong private key": WRONG_PRIVATE_KEY,
    "the private key of the member": MEMBER_PRIVATE_KEY,
    "the client secret": CLIENT_SECRET,
    "the key of marks": MARK_KEY,
    "the password of the proxy": PROXY_PASSWORD,
    "the password in base_url": URL_PASSWORD,
    "the service account's Basic value": f"{client_id(ATLAS)}:{CLIENT_SECRET}",
    "the service account's quoted Basic value": f"{client_id(ATLAS)}:{quote_plus(CLIENT_SECRET)}",
    "the proxy's Basic value": f"user:{PROXY_PASSWORD}",
}


@dataclass(frozen=True)
class Case:
    """A task: its options, the faults for its key, and words that its message has to have.

    Without words it has to succeed.
    """

    options: dict[str, Any]
    words: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    module: str = MODULE
    no_log: bool = False
    # The class of its error, where that is what the case is there for.
    error: type[KeysmithError] | None = None
    is_changed: bool = False

    @property
    def play(self) -> tuple[str, bool]:
        """What the cases of one play have in common."""
        return self.module, self.no_log


@dataclass(frozen=True)
class Home:
    """An organization of a case's own. All its ids begin alike; 1 signs, 3 and 4 are twins."""

    number: int
    is_broken: bool = False

    def id(self, end: str) -> str:
        return f"5d{self.number:06d}{end:0>16}"

    @property
    def org_id(self) -> str:
        return self.id("0")

    def key_id(self, number: int) -> str:
        return self.id(f"e{number}")

    def public_key(self, number: int) -> str:
        """See sitecustomize.py for what breaks requests."""
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
            "service_accounts": [{**self.account(), "roles": ["ORG_OWNER"]}],
        }


class ByCaller(Fault):
    """For each caller a fault of its own, which skips its first ``after`` requests."""

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
    """What the tasks meet: two emulators (one whose token endpoint echoes) and two proxies."""

    emulator: Emulator
    echoing: Emulator
    refusing_proxy: str
    dead_proxy: str
    dead_server: str
    token: str
    # The private keys that were made up, also those of keys that are gone again.
    made: Mapping[str, str]
    # Where created pairs are kept, which are not searched.
    files: Path
    # By caller, see there.
    faults: dict[str, Fault] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(100, 1000)))

    def options(self, **more: Any) -> dict[str, Any]:
        """A task's options: the key pair comes from the environment."""
        number = next(self.numbers)
        return {
            "base_url": self.emulator.url,
            "org_id": org_id(ATLAS),
            "api_user_id": key_id(ATLAS, number),
            "retries": 0,
            "state": "absent",
            **more,
        }

    def other(self, module: str, platform: str = ATLAS, *words: str, **more: Any) -> Case:
        """A case that needs more options than a revocation."""
        options: dict[str, Any] = {"base_url": self.emulator.url, "retries": 0}
        options |= {"platform": platform, "org_id": org_id(platform)}
        if platform != ATLAS:
            options |= key_pair(platform)
        return Case({**options, **more}, words, module=module)

    def creation(self, platform: str, name: str, *words: str, **more: Any) -> Case:
        """A case that creates, or is to create, a key of this description."""
        new = {"description": name, "roles": ["ORG_MEMBER"], "state": "present"}
        return self.other(MODULE, platform, *words, **new, **more)

    def many(self, platform: str, name: str, *words: str, **more: Any) -> Case:
        """A case that creates, or is to create, a key of this description as one of many."""
        api_keys = [{"description": name, "roles": ["ORG_MEMBER"]}]
        return self.other(KEYS, platform, *words, api_keys=api_keys, **more)

    def file(self, name: str) -> dict[str, str]:
        return {"credentials_file": str(self.files / name)}

    def faulty(self, fault: Fault, *words: str, **more: Any) -> Case:
        options = self.options(**more)
        fault.path = f"*/apiKeys/{options['api_user_id']}"
        return Case(options, words, (fault,))


ACCOUNT = {"client_id": client_id(ATLAS), "client_secret": CLIENT_SECRET}
ECHO = ("UNEXPECTED_ERROR", "Authorization: ")
LOST = ("private key is lost",)
CREATED = "create "


def _add_faults_of_life(emulator: Emulator) -> None:
    for name, platform in (("lost_after", OPS), ("echo", CLOUD)):
        emulator.add_fault(Fault(name, "POST", f"*/orgs/{org_id(platform)}/apiKeys", times=None))


def _seed(homes: Sequence[Home]) -> dict[str, Any]:
    value = seed(extra_keys=60)
    for organization in value["organizations"]:
        if organization["product"] != ATLAS:
            continue
        organization["service_accounts"][0]["client_secret"] = CLIENT_SECRET
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
        # Revoking the token fails, and nobody is to hear of it.
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
    """All secrets, those among them that tasks fetched for themselves."""
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
    """The private keys of what tasks have created, by description."""
    organizations = world.emulator.state.organizations.values()
    return {
        key.description: key.private_key
        for organization in organizations
        for key in organization.api_keys.values()
        if key.description.startswith(CREATED)
    }
