# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by tests: the organizations of emulators, and a function that runs a module's main()."""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import requests
from ansible.module_utils.common import warnings

from tests import returns

CORE = tuple(int(part) for part in importlib.metadata.version("ansible-core").split(".")[:2])
ROOT = Path(__file__).resolve().parents[1]
COLLECTION = "ansible_collections.keysmith.mongodb"
ACTIONS = sorted(path.stem for path in (ROOT / "plugins" / "action").glob("*.py"))
# Modules with code; the module of an action is only documentation.
MODULES = sorted({path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")} - {*ACTIONS})

# One organization per platform, which differ only in IDs.
PLATFORMS = ("atlas", "cloud_manager", "ops_manager")
ORG_IDS = {
    "atlas": "5a0000000000000000000001",
    "cloud_manager": "5b0000000000000000000001",
    "ops_manager": "5c0000000000000000000001",
}
API_PATHS = {
    "atlas": "/api/atlas/v2",
    "cloud_manager": "/api/public/v1.0",
    "ops_manager": "/api/public/v1.0",
}
MISSING_ID = "deadbeefdeadbeefdeadbeef"
# No output may contain these; each is unique, so that a hit identifies its source.
PRIVATE_KEYS = {
    "atlas": "ca11ab1e-0000-4000-8000-0000000000a1",
    "cloud_manager": "ca11ab1e-0000-4000-8000-0000000000b1",
    "ops_manager": "ca11ab1e-0000-4000-8000-0000000000c1",
}
CLIENT_SECRETS = {
    "atlas": "mdb_sa_sk_canary-atlas-0123456789abcdefghijklmnopq",
    "cloud_manager": "mdb_sa_sk_canary-cloud-0123456789abcdefghijklmnopq",
}
# The first letter of public keys, by platform.
_LETTERS = {"atlas": "a", "cloud_manager": "c", "ops_manager": "o"}


def org_id(platform: str) -> str:
    return ORG_IDS[platform]


def project_id(platform: str) -> str:
    return ORG_IDS[platform][:2] + "00000000000000000000aa"


def key_id(platform: str, number: int) -> str:
    """Return the ID of a key: 1 authenticates, 2 and 3 are victims, 4 and 5 are duplicates."""
    return f"{ORG_IDS[platform][:2]}e{number:021d}"


def created_at(object_id: str) -> str:
    """Return the time in an ID, as results show it."""
    moment = datetime(1970, 1, 1) + timedelta(seconds=int(object_id[:8], 16))
    return f"{moment.isoformat()}Z"


def public_key(platform: str, number: int) -> str:
    letters = "".join(chr(ord("a") + int(digit)) for digit in f"{number:04d}")
    return _LETTERS[platform] + "key" + letters


def client_id(platform: str) -> str:
    return "mdb_sa_id_" + ORG_IDS[platform]


def account_id(platform: str, number: int) -> str:
    """Return the ID of an account: 1 authenticates, 2 has no secret and no project, 3 has both."""
    return f"{client_id(platform)[:-1]}{number}"


def secret_id(platform: str) -> str:
    """Return the ID of the secret of account 3."""
    return ORG_IDS[platform][:2] + "5e" + "0" * 20


def seed(extra_keys: int = 0) -> dict[str, Any]:
    """Return three organizations, each with an owner, a member, victims and duplicates."""
    return {"organizations": [_organization(platform, extra_keys) for platform in PLATFORMS]}


def _organization(platform: str, extra_keys: int) -> dict[str, Any]:
    def key(number: int, description: str, roles: list[str], **more: Any) -> dict[str, Any]:
        return {
            "id": key_id(platform, number),
            "description": description,
            "public_key": public_key(platform, number),
            "private_key": (
                PRIVATE_KEYS[platform] if number == 1 else f"{number:08d}-1111-4111-8111-{'0' * 12}"
            ),
            "roles": roles,
            "access_list": [],
            **more,
        }

    project = {"project_id": project_id(platform), "roles": ["GROUP_READ_ONLY", "GROUP_OWNER"]}
    organization = {
        "id": org_id(platform),
        "name": f"The {platform} organization",
        "product": platform,
        "projects": [{"id": project_id(platform), "name": "shop"}],
        "api_keys": [
            key(1, "signs", ["ORG_OWNER"]),
            key(2, "victim", ["ORG_MEMBER", "ORG_GROUP_CREATOR"], projects=[project]),
            key(3, "ünïcode ☃ key", ["ORG_READ_ONLY"]),
            key(4, "twin", ["ORG_MEMBER"]),
            key(5, "twin", ["ORG_MEMBER"]),
            key(6, "member", ["ORG_MEMBER"]),
            key(7, "listed elsewhere", ["ORG_OWNER"], access_list=["192.0.2.0/24"]),
            *(key(100 + n, f"extra {n}", ["ORG_MEMBER"]) for n in range(extra_keys)),
        ],
        "service_accounts": [],
    }
    if platform in CLIENT_SECRETS:
        organization["service_accounts"] = [
            {
                "client_id": client_id(platform),
                "client_secret": CLIENT_SECRETS[platform],
                "roles": ["ORG_OWNER"],
                "access_list": [],
            },
            {"client_id": account_id(platform, 2), "name": "victim", "roles": ["ORG_MEMBER"]},
            {
                "client_id": account_id(platform, 3),
                "name": "busy",
                "roles": ["ORG_MEMBER"],
                "secrets": [{"id": secret_id(platform), "value": "mdb_sa_sk_canary-of-busy"}],
                "projects": [project],
                "access_list": ["192.0.2.0/24"],
            },
        ]
    return organization


def key_pair(platform: str, number: int = 1) -> dict[str, str]:
    """Return the options of a key pair, by default the signing credential."""
    private = PRIVATE_KEYS[platform] if number == 1 else f"{number:08d}-1111-4111-8111-{'0' * 12}"
    return {"api_public_key": public_key(platform, number), "api_private_key": private}


def service_account(platform: str) -> dict[str, str]:
    return {"client_id": client_id(platform), "client_secret": CLIENT_SECRETS[platform]}


def fetch_token(url: str, platform: str = "", **account: str) -> str:
    """Get an access token from an emulator, as another tool would."""
    account = account or service_account(platform)
    response = requests.post(
        f"{url}/api/oauth/token",
        auth=(account["client_id"], account["client_secret"]),
        data={"grant_type": "client_credentials"},
        timeout=10,
    )
    response.raise_for_status()
    return str(response.json()["access_token"])


@dataclass
class VirtualClock:
    """A clock that only sleeping advances."""

    time: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.sleeps.append(seconds)
        self.time += seconds

    def random(self) -> float:
        return 0.5


class RealClock(VirtualClock):
    """The real time, for modules in their own process."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class Outcome:
    """The result of a module run, its output, and its clock."""

    result: dict[str, Any]
    output: str
    clock: VirtualClock

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed"))

    @property
    def changed(self) -> bool:
        return bool(self.result.get("changed"))

    @property
    def msg(self) -> str:
        return str(self.result.get("msg", ""))

    @property
    def code(self) -> str | None:
        error = self.result.get("error") or {}
        return error.get("code")


def run_module(
    name: str,
    options: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    check: bool = False,
    diff: bool | None = None,
    clock: VirtualClock | None = None,
) -> Outcome:
    """Run a module's main() in this process, and return what Ansible would read.

    Without ``diff``, the difference is only checked, and not returned.
    """
    module = importlib.import_module(f"{COLLECTION}.plugins.modules.{name}")
    utils = importlib.import_module(f"{COLLECTION}.plugins.module_utils._module")
    clocks = importlib.import_module(f"{COLLECTION}.plugins.module_utils._client._clock")
    clock = clock or VirtualClock()
    arguments = {
        **options,
        "_ansible_check_mode": check,
        "_ansible_diff": diff is not False,
        "_ansible_remote_tmp": "/tmp",
        "_ansible_no_log": False,
        "_ansible_syslog_facility": "LOG_USER",
    }
    ticking = clocks.Clock(now=clock.now, sleep=clock.sleep, random=clock.random)
    output = io.StringIO()
    # Warnings are kept for the whole process, which for Ansible is one module.
    warnings._global_warnings.clear()
    with (
        # AnsibleModule sets the locale of the whole process from the environment.
        mock.patch.dict(os.environ, {"LC_ALL": "C.UTF-8", **(environ or {})}, clear=True),
        mock.patch.object(utils, "Clock", return_value=ticking),
        _arguments(arguments),
        _same_signals(),
        redirect_stdout(output),
    ):
        try:
            module.main()
        except SystemExit:
            pass
        else:
            raise AssertionError("main() must end with exit_json or fail_json")
    text = output.getvalue()
    outcome = Outcome(json.loads(text), text, clock)
    check_words(outcome.result, f"{options} {environ or {}}")
    # The example of a guide has no documentation.
    if hasattr(module, "RETURN"):
        returns.check(name, outcome.result)
    if diff is None:
        outcome.result.pop("diff", None)
    return outcome


def check_words(result: Mapping[str, Any], given: str) -> None:
    """Fail if a message or a warning shows a value that is not there, unless the user gave it."""
    shown = [result.get("msg", ""), *result.get("warnings", ()), *result.get("deprecations", ())]
    assert "None" in given or not re.search(r"\bNone\b", " ".join(map(str, shown))), shown


def run_as_owner(module: str, emulator: Any, platform: str, options: Any) -> Outcome:
    """Run a module with the owner's key pair, unless the options set another credential.

    ``options`` may have arguments of ``run_module``, such as ``check``.
    """
    arguments = ("check", "diff", "clock", "environ")
    is_signed = {"api_public_key", "client_id", "access_token"} & options.keys()
    base = {"platform": platform, "base_url": emulator.url, "org_id": org_id(platform)}
    credential = {} if is_signed else key_pair(platform)
    own = {name: value for name, value in options.items() if name not in arguments}
    more = {name: options[name] for name in arguments if name in options}
    return run_module(module, {**base, **credential, **own}, **more)


@contextmanager
def _same_signals() -> Iterator[None]:
    """Restore the signal handlers, which a module never resets."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _arguments(arguments: dict[str, Any]) -> Any:
    """Pass a module its arguments as its ansible-core reads them."""
    try:
        from ansible.module_utils.testing import patch_module_args
    except ImportError:  # before ansible-core 2.19
        data = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
        return mock.patch("ansible.module_utils.basic._ANSIBLE_ARGS", data)
    return patch_module_args(arguments)
