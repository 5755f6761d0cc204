# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook in which every module for keys writes: its initial state, and what it declares."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.emulator import Emulator
from tests.emulator.state import ApiKey
from tests.integration.playbook import (
    ACCESS_LIST,
    GROUP,
    KEYS,
    MODULE,
    PROJECT_KEY,
    ROTATION,
    TaskResult,
)
from tests.support import (
    ORG_IDS,
    PRIVATE_KEYS,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    seed,
    service_account,
)

SINGLE = "made alone"
MADE = ["made 0", "made 1", "made 2"]
CREATED = [SINGLE, *MADE]
BULK = [f"bulk {n}" for n in range(6)]
SURPLUS = [f"surplus {n}" for n in range(4)]
GUARDED, JOINING, PARTING, CHANGING = "guarded", "joining", "parting", "changing"
LEAVER, OLD, BYSTANDER, SIGNS = "leaver", "declared before", "bystander", "signs"
NETWORKS = ["192.0.2.0/24", "2001:db8::/32"]
CREATE, DECLARE = "Create one", "Declare many"


@dataclass(frozen=True)
class Kind:
    """The platform of the playbook, and the kind of its credential."""

    platform: str
    has_account: bool = False

    def __str__(self) -> str:
        return f"{self.platform} by {'service account' if self.has_account else 'key pair'}"

    @property
    def org_id(self) -> str:
        return org_id(self.platform)

    @property
    def project(self) -> str:
        return project_id(self.platform)

    @property
    def other_project(self) -> str:
        return self.project[:-2] + "bb"

    def connection(self, url: str) -> dict[str, Any]:
        credentials = service_account if self.has_account else key_pair
        where = {"platform": self.platform, "base_url": url, "org_id": self.org_id}
        return {**where, **credentials(self.platform)}


KINDS = [
    Kind("atlas"),
    Kind("ops_manager"),
    Kind("atlas", has_account=True),
    Kind("cloud_manager", has_account=True),
]


@dataclass(frozen=True)
class Key:
    """A key without its ID and key pair."""

    roles: tuple[str, ...]
    projects: tuple[tuple[str, tuple[str, ...]], ...] = ()
    access_list: tuple[str, ...] = ()

    @classmethod
    def of(cls, key: ApiKey) -> Key:
        projects = sorted((name, tuple(sorted(roles))) for name, roles in key.projects.items())
        return cls(tuple(sorted(key.roles)), tuple(projects), tuple(sorted(key.access_list)))


def started(kind: Kind) -> dict[str, Key]:
    """Return the initial keys by description."""
    member = Key(("ORG_MEMBER",))
    in_both = ((kind.project, ("GROUP_READ_ONLY",)), (kind.other_project, ("GROUP_OWNER",)))
    return {
        SIGNS: Key(("ORG_OWNER",)),
        BYSTANDER: Key(("ORG_OWNER",), in_both, ("198.51.100.0/24",)),
        CHANGING: Key(("ORG_GROUP_CREATOR", "ORG_MEMBER"), in_both),
        LEAVER: Key(("ORG_MEMBER",), in_both),
        OLD: Key(("ORG_MEMBER",), in_both, ("198.51.100.7/32", "192.0.2.0/24")),
        GUARDED: Key(("ORG_MEMBER",), (), ("198.51.100.7/32", "203.0.113.0/24")),
        JOINING: member,
        PARTING: Key(("ORG_MEMBER",), in_both),
        **{description: replace(member, projects=in_both) for description in BULK},
        **dict.fromkeys(SURPLUS, member),
    }


def declared(kind: Kind) -> dict[str, Key]:
    """Return the keys that the playbook declares."""
    keys = started(kind)
    for description in [LEAVER, *BULK, *SURPLUS]:
        del keys[description]
    networks = tuple(NETWORKS)
    new = Key(("ORG_READ_ONLY",), ((kind.project, ("GROUP_OWNER",)),), networks)
    return {
        **keys,
        SINGLE: Key(("ORG_GROUP_CREATOR", "ORG_MEMBER")),
        **dict.fromkeys([*MADE, OLD], new),
        CHANGING: replace(keys[CHANGING], roles=("ORG_READ_ONLY",)),
        GUARDED: replace(keys[GUARDED], access_list=networks),
        JOINING: replace(keys[JOINING], projects=((kind.project, ("GROUP_READ_ONLY",)),)),
        PARTING: replace(keys[PARTING], projects=((kind.other_project, ("GROUP_OWNER",)),)),
    }


def start(kind: Kind) -> dict[str, Any]:
    """Return the seed of an emulator with the initial keys."""
    organizations = {item["id"]: item for item in seed()["organizations"]}
    organization = organizations[ORG_IDS[kind.platform]]
    organization["projects"].append({"id": kind.other_project, "name": "depot"})
    organization["api_keys"] = [
        {
            "id": key_id(kind.platform, number),
            "description": description,
            "public_key": public_key(kind.platform, number),
            "private_key": PRIVATE_KEYS[kind.platform]
            if description == SIGNS
            else f"{number:08d}-3333-4333-8333-{'0' * 12}",
            "roles": list(key.roles),
            "access_list": list(key.access_list),
            "projects": [{"project_id": p, "roles": list(roles)} for p, roles in key.projects],
        }
        for number, (description, key) in enumerate(started(kind).items(), start=1)
    ]
    return {"organizations": [organization]}


@dataclass(frozen=True)
class Files:
    """The files for the key pairs of created keys."""

    single: Path
    folder: Path

    @classmethod
    def below(cls, folder: Path) -> Files:
        (folder / "pairs").mkdir(parents=True)
        (folder / "pair").mkdir()
        return cls(folder / "pair" / "pair.json", folder / "pairs")

    def path_of(self, key: ApiKey) -> Path:
        return self.single if key.description == SINGLE else self.folder / f"{key.id}.json"

    def all(self) -> list[Path]:
        """Return everything in the directories of the files, except files without content.

        A process that is killed between the creation of a file and the write leaves such a file.
        """
        found = [*self.single.parent.iterdir(), *self.folder.iterdir()]
        return sorted(path for path in found if path.stat().st_size)


def tasks(kind: Kind, files: Files) -> list[dict[str, Any]]:
    """Return the tasks, whose order does not matter."""
    goal = declared(kind)
    keys = [
        {
            "description": description,
            # A killed run may have left a key without its file.
            "adopt": True,
            "roles": list(goal[description].roles),
            "access_list": list(goal[description].access_list),
            "projects": [
                {"project_id": p, "roles": list(roles)} for p, roles in goal[description].projects
            ],
        }
        for description in [*MADE, OLD]
    ]
    bulk = {"state": "absent", "description_match": ["bulk *"], "concurrency": 4}
    # With a service account, no key is kept as the signing credential.
    others = [SIGNS, SINGLE, "bulk *", GUARDED, JOINING, PARTING, CHANGING, LEAVER, BYSTANDER]
    whole = {"api_keys": keys, "purge": True, "keep": others, "concurrency": 4}
    # Other tasks may revoke some of these before, after or at the same time.
    whole["on_keep_missing"] = "warn"
    return [
        {
            "name": CREATE,
            MODULE: {
                "description": SINGLE,
                "roles": list(goal[SINGLE].roles),
                "credentials_file": str(files.single),
            },
        },
        {
            "name": "Change roles",
            MODULE: {"description": CHANGING, "roles": list(goal[CHANGING].roles)},
        },
        {"name": "Revoke one", MODULE: {"description": LEAVER, "state": "absent"}},
        {"name": DECLARE, KEYS: {**whole, "credentials_dir": str(files.folder)}},
        {"name": "Revoke many", KEYS: bulk},
        {
            "name": "Roll back what has not begun",
            ROTATION: {"description": BYSTANDER, "phase": "roll_back"},
        },
        {
            "name": "Let in",
            ACCESS_LIST: {"description": GUARDED, "entries": NETWORKS, "purge": True},
        },
        {
            "name": "Assign",
            PROJECT_KEY: {
                "description": JOINING,
                "project_id": kind.project,
                "roles": ["GROUP_READ_ONLY"],
            },
        },
        {
            "name": "Take out",
            PROJECT_KEY: {
                "description": PARTING,
                "project_id": kind.project,
                "state": "absent",
            },
        },
    ]


def play(kind: Kind, url: str, files: Files, chance: random.Random) -> dict[str, Any]:
    """Return the only play of the playbook, with its tasks in random order."""
    shuffled = tasks(kind, files)
    chance.shuffle(shuffled)
    return {
        "hosts": "localhost",
        "module_defaults": {GROUP: kind.connection(url)},
        "tasks": shuffled,
    }


def keys_in(emulator: Emulator, kind: Kind) -> list[ApiKey]:
    return list(emulator.state.organizations[kind.org_id].api_keys.values())


def check_state(emulator: Emulator, kind: Kind) -> None:
    """Assert that exactly the declared keys exist."""
    found = sorted((key.description, Key.of(key)) for key in keys_in(emulator, kind))
    assert found == sorted(declared(kind).items())
    # Initial keys must be the same keys, not others with the same description.
    before = {item["description"]: item for item in start(kind)["organizations"][0]["api_keys"]}
    for key in keys_in(emulator, kind):
        was = before.get(key.description)
        assert was is None or (was["id"], was["private_key"]) == (key.id, key.private_key)


def check_files(
    emulator: Emulator, kind: Kind, files: Files, results: Iterable[TaskResult]
) -> list[ApiKey]:
    """Return the created keys whose key pair is lost, and assert that the results warn of them.

    Also assert that the other key pairs are complete in their files, and that nothing else is.
    """
    warnings = {r.task: " ".join(r.values.get("warnings", [])) for r in results}
    lost, expected, stored = [], [], files.all()
    for key in keys_in(emulator, kind):
        if key.description not in CREATED:
            continue
        path = files.path_of(key)
        warning = warnings[CREATE if key.description == SINGLE else DECLARE]
        has_warning = key.id in warning and "cannot be read again" in warning
        assert has_warning is (path not in stored), (key, warning)
        if path not in stored:
            lost.append(key)
            continue
        expected.append(path)
        assert json.loads(path.read_text("utf-8")) == {
            "org_id": kind.org_id,
            "api_user_id": key.id,
            "description": key.description,
            "public_key": key.public_key,
            "private_key": key.private_key,
        }
        assert path.stat().st_mode & 0o777 == 0o600
    assert stored == sorted(expected)
    return lost
