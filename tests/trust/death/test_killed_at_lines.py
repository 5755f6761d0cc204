# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that creates keys is killed before each line of the code that writes files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.support import MISSING_ID, key_pair, org_id, run_module
from tests.trust.death.kills import kill_at_lines

PLATFORM = "atlas"
MOST = 500
NEW = {"description": "point {point}", "roles": ["ORG_MEMBER"]}


@dataclass(frozen=True)
class Creation:
    """A task, and the initial content of its file."""

    name: str
    module: str
    options: dict[str, Any]
    before: str | None = None

    def __str__(self) -> str:
        return self.name


def worthless(description: str) -> str:
    """Return the key pair of a deleted key with this description."""
    pair = {"api_user_id": MISSING_ID, "public_key": "goneaway", "private_key": "gone"}
    return json.dumps({"org_id": org_id(PLATFORM), "description": description, **pair})


FILE = {**NEW, "credentials_file": "{folder}/{point}/pair.json"}
CREATIONS = [
    Creation("into no file", "org_api_key", FILE),
    Creation("into an empty file", "org_api_key", FILE, ""),
    Creation("over a worthless key pair", "org_api_key", FILE, worthless("point {point}")),
    Creation(
        "into a directory",
        "org_api_keys",
        {"api_keys": [NEW], "credentials_dir": "{folder}/{point}"},
    ),
]


@pytest.mark.parametrize("creation", CREATIONS, ids=str)
def test_a_kill_at_any_line_leaves_no_partial_file(
    emulator: Emulator, collections: Path, tmp_path: Path, creation: Creation
) -> None:
    emulator.settings.max_api_keys = None
    for point in range(MOST):
        (tmp_path / str(point)).mkdir()
        if creation.before is not None:
            before = creation.before.replace("{point}", str(point))
            (tmp_path / str(point) / "pair.json").write_text(before, "utf-8")
    common = {"platform": PLATFORM, "base_url": emulator.url, "org_id": org_id(PLATFORM)}
    options = {**common, **key_pair(PLATFORM), **creation.options}
    text = json.dumps(options).replace("{folder}", str(tmp_path))
    points = kill_at_lines(collections, creation.module, text)
    assert 20 < points < MOST
    lost = 0
    for point in range(points):
        lost += check(emulator, creation, tmp_path / str(point), text, point)
    # Some kills came between the creation of the key and the file, others before or after.
    assert 0 < lost < points


def check(emulator: Emulator, creation: Creation, folder: Path, text: str, point: int) -> bool:
    """Return whether the key pair is lost, and check that the next run warns or creates the key."""
    before = None if creation.before is None else creation.before.replace("{point}", str(point))
    started = {} if before is None else {"pair.json": before}

    def files() -> dict[str, str]:
        found = sorted(folder.iterdir())
        # A file is replaced by a hidden one next to it, and an empty file is hidden before it is
        # deleted. Only a kill in between leaves either of them.
        hidden = [path for path in found if path.name.startswith(".pair.json.")]
        assert len(hidden) <= (before is not None)
        for status in (path.stat() for path in hidden):
            assert status.st_size == 0 or status.st_mode & 0o777 == 0o600
        return {path.name: path.read_text("utf-8") for path in found if path not in hidden}

    def keys() -> list[Any]:
        every = emulator.state.organizations[org_id(PLATFORM)].api_keys.values()
        return [key for key in every if key.description == f"point {point}"]

    def has_pair() -> bool:
        """Return whether the only key has its key pair in the only file."""
        found = files()
        # A file that was created but not written counts as missing.
        if found == started or not any(found.values()):
            return False
        (content,), (key,) = found.values(), keys()
        pair = json.loads(content)
        assert (pair["api_user_id"], pair["private_key"]) == (key.id, key.private_key)
        return True

    had_pair, had_key = has_pair(), bool(keys())
    again = run_module(creation.module, json.loads(text.replace("{point}", str(point))))
    assert not again.failed, again.msg
    assert again.changed is not had_key
    (key,) = keys()
    is_lost = had_key and not had_pair
    warnings = json.dumps(again.result.get("warnings", []))
    assert (key.id in warnings and "cannot be read again" in warnings) is is_lost
    assert has_pair() is not is_lost
    return is_lost
