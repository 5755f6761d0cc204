# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill a request to any endpoint; the next run completes the task.

A write is carried out without a response, or not at all. A file is the old one or the new one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.support import key_id, key_pair, org_id, run_module, seed
from tests.trust.death.kills import DONE, LOST, Point, kill_at_lines, module_until_killed

PLATFORM, MODULE = "atlas", "api_request"
KEYS = f"/orgs/{org_id(PLATFORM)}/apiKeys"
VICTIM = f"{KEYS}/{key_id(PLATFORM, 2)}"
WRITES: list[dict[str, Any]] = [
    {
        "method": "POST",
        "path": KEYS,
        "body": {"desc": "new one", "roles": ["ORG_MEMBER"]},
        "unique_by": ["desc"],
    },
    {"method": "PATCH", "path": VICTIM, "body": {"desc": "renamed"}, "compare": True},
    {"method": "DELETE", "path": VICTIM, "missing_codes": ["API_KEY_NOT_FOUND"]},
]
# More than the number of lines that a run executes in the code that writes files.
MOST = 200

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="kills processes through /proc"
)


def connection(emulator: Emulator) -> dict[str, Any]:
    return {"platform": PLATFORM, "base_url": emulator.url, **key_pair(PLATFORM)}


def descriptions(emulator: Emulator) -> list[str]:
    keys = emulator.state.organizations[org_id(PLATFORM)].api_keys.values()
    return sorted(key.description for key in keys)


@pytest.mark.parametrize("mode", [DONE, LOST])
@pytest.mark.parametrize("write", WRITES, ids=lambda write: str(write["method"]))
def test_the_next_run_completes_a_killed_request(
    emulator: Emulator, collections: Path, write: dict[str, Any], mode: str
) -> None:
    options = {**connection(emulator), **write}
    assert run_module(MODULE, options).changed
    whole = descriptions(emulator)
    emulator.reset(seed())
    assert descriptions(emulator) != whole
    module_until_killed(collections, MODULE, options, emulator, Point(mode, 0, write["method"]))
    runs = [run_module(MODULE, options) for _run in range(2)]
    assert [run.msg for run in runs if run.failed] == []
    assert [run.changed for run in runs] == [mode == LOST, False]
    assert descriptions(emulator) == whole
    assert len(emulator.writes) == 1


@pytest.mark.parametrize("before", [None, "old"])
def test_a_kill_at_any_line_leaves_the_old_file_or_the_new_one(
    emulator: Emulator, collections: Path, tmp_path: Path, before: str | None
) -> None:
    new = "0123456789abcdef" * 10_000
    emulator.add_fault(Fault("status", status=200, body=new, times=None))
    for point in range(MOST):
        folder = tmp_path / str(point)
        folder.mkdir()
        if before is not None:
            (folder / "file").write_text(before)
            (folder / "file").chmod(0o640)
    options = {**connection(emulator), "path": "/x", "dest": f"{tmp_path}/{{point}}/file"}
    text = json.dumps(options)
    points = kill_at_lines(collections, MODULE, text, "_download.py")
    assert 30 < points < MOST
    ends = {
        check_file(tmp_path / str(point), text.replace("{point}", str(point)), before, new)
        for point in range(points)
    }
    # Some kills came before the file was replaced, and some after.
    assert ends == {before, new}


def check_file(folder: Path, text: str, before: str | None, new: str) -> str | None:
    """Return the content of the file, and check that the next run completes it."""
    file = folder / "file"
    hidden = [path for path in folder.iterdir() if path != file]
    # The new content is in a hidden file first, which only a kill leaves.
    assert len(hidden) <= 1
    for path in hidden:
        assert path.name.startswith(".file.")
        # Just before it becomes the file, it gets the mode of the old one.
        assert path.stat().st_mode & 0o777 in {0o600, 0o640}
        path.unlink()
    content = file.read_text() if file.exists() else None
    again = run_module(MODULE, json.loads(text))
    assert not again.failed, again.msg
    assert again.changed is (content != new)
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert file.read_text() == new
    return content
