# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a created key pair: never over another's only copy, never readable by others."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _credentials_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError

ORG = "5980cfdf0b6d97029d82f86e"
PAIR = {
    "org_id": ORG,
    "api_user_id": "32b6e34b3d91647abb20e7b8",
    "description": "backup ☃",
    "public_key": "zmmrboas",
    "private_key": "55c3bbb6-b4bb-40be-8e66-d20841f3e000",
}


def free(path: Path) -> _credentials_file.CredentialsFile:
    return _credentials_file.CredentialsFile(str(path), None)


@pytest.fixture(params=["nameless", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to write: files without a name are not to be had everywhere."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_pair_is_written_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "pair.json"
    previous = os.umask(0)
    try:
        _credentials_file.write(_credentials_file.inspect(str(path)), PAIR)
    finally:
        os.umask(previous)
    assert json.loads(path.read_text(encoding="utf-8")) == PAIR
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["pair.json"]


@pytest.mark.usefixtures("way")
def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pair.json"
    path.write_text("old", encoding="utf-8")

    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _credentials_file.write(free(path), PAIR)
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["pair.json"]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("before", [None, "", "worthless"])
def test_what_another_run_has_written_meanwhile_is_not_written_over(
    tmp_path: Path, before: str | None
) -> None:
    path = tmp_path / "pair.json"
    other, new = ({**PAIR, "api_user_id": digit * 24} for digit in "ab")
    if before is not None:
        path.write_text(json.dumps(PAIR) if before else "", encoding="utf-8")
    found = _credentials_file.inspect(str(path))
    _credentials_file.write(found, other)
    with pytest.raises(FileExistsError):
        _credentials_file.write(found, new)
    assert json.loads(path.read_text(encoding="utf-8")) == other
    assert [entry.name for entry in tmp_path.iterdir()] == ["pair.json"]


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "list").write_text("[1]", encoding="utf-8")
    (tmp_path / "deep").write_text("[" * 50_000, encoding="utf-8")
    (tmp_path / "part").write_text(json.dumps({"org_id": ORG}), encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    for entry in tmp_path.iterdir():
        with pytest.raises(OptionError, match="nothing was created"):
            _credentials_file.inspect(str(entry))


def test_no_file_and_an_empty_file_are_free(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "missing"):
        file = _credentials_file.inspect(str(tmp_path / name))
        assert file.owner is None
        _credentials_file.check_free(file, ORG, "backup ☃", [])


@pytest.mark.parametrize(
    ("org_id", "description", "existing", "is_free"),
    [
        # The pair of a key that is gone, of the same name: worthless.
        (ORG, "backup ☃", [], True),
        (ORG, "backup ☃", [PAIR["api_user_id"]], False),
        (ORG, "another", [], False),
        ("f" * 24, "backup ☃", [], False),
    ],
)
def test_only_a_worthless_pair_is_written_over(
    tmp_path: Path, org_id: str, description: str, existing: list[str], is_free: bool
) -> None:
    path = tmp_path / "pair.json"
    _credentials_file.write(free(path), PAIR)
    file = _credentials_file.inspect(str(path))
    assert file.holds(PAIR["api_user_id"])
    assert _credentials_file.warnings(file, PAIR["api_user_id"]) == []
    assert PAIR["api_user_id"] in _credentials_file.warnings(file, "other")[0]
    if is_free:
        _credentials_file.check_free(file, org_id, description, existing)
        return
    with pytest.raises(OptionError, match="another API key"):
        _credentials_file.check_free(file, org_id, description, existing)


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_place_that_cannot_be_written_to_is_refused(tmp_path: Path, check_mode: bool) -> None:
    with pytest.raises(OptionError, match="no folder"):
        _credentials_file.check_writable(str(tmp_path / "no" / "file"), check_mode=check_mode)
    _credentials_file.check_writable(str(tmp_path / "file"), check_mode=check_mode)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_file_is_refused() -> None:
    # Even for root: nothing can be made in there.
    with pytest.raises(OptionError, match="cannot be written to"):
        _credentials_file.check_writable("/proc/self/file", check_mode=False)
