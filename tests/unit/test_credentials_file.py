# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a created key pair: never over another's only copy, never readable by others."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _credentials_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._cancellation import (
    Cancellation,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CredentialsFileError,
    LostAnswerError,
    OptionError,
    Request,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    CreatedKey,
    OrgApiKey,
)
from tests.support import VirtualClock

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
    pair = json.dumps(PAIR, indent=2, ensure_ascii=False)
    assert path.read_text(encoding="utf-8") == f"{pair}\n"
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


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("by_now", "is_same"), [("", True), ("hello", False), ("[1]", False)])
def test_what_became_of_the_file_meanwhile_is_looked_at(
    tmp_path: Path, by_now: str, is_same: bool
) -> None:
    path = tmp_path / "pair.json"
    _credentials_file.write(free(path), PAIR)
    found = _credentials_file.inspect(str(path))
    path.write_text(by_now, encoding="utf-8")
    if is_same:
        _credentials_file.write(found, PAIR)
        assert json.loads(path.read_text(encoding="utf-8")) == PAIR
        return
    with pytest.raises(FileExistsError):
        _credentials_file.write(found, PAIR)
    assert path.read_text(encoding="utf-8") == by_now


def test_a_file_has_no_name_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY, 0o600))
    except (AttributeError, OSError):
        pytest.skip("this machine, or its file system, has no nameless files")

    def refuse(**_options: Any) -> None:
        raise AssertionError("a named file was made")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    path = str(tmp_path / "pair.json")
    _credentials_file.check_writable(path, check_mode=False)
    # Into a free place, and over a pair.
    _credentials_file.write(free(Path(path)), PAIR)
    _credentials_file.write(_credentials_file.inspect(path), PAIR)


def test_a_named_file_is_hidden_and_beside_the_one_it_becomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    made: list[Path] = []
    as_written = tempfile.mkstemp

    def spy(**options: Any) -> tuple[int, str]:
        found = as_written(**options)
        made.append(Path(found[1]))
        return found

    monkeypatch.setattr(tempfile, "mkstemp", spy)
    path = tmp_path / "pair.json"
    _credentials_file.check_writable(str(path), check_mode=False)
    assert list(tmp_path.iterdir()) == []
    _credentials_file.write(free(path), PAIR)
    assert [file.parent for file in made] == [tmp_path, tmp_path]
    assert all(file.name.startswith(".keysmith-") for file in made)


def created() -> CreatedKey:
    key = OrgApiKey("a" * 24, "new", "abcdefgh", ("ORG_MEMBER",), ())
    return CreatedKey(key, "55c3bbb6-b4bb-40be-8e66-d20841f3e000")


def api_with(delete: Any) -> Any:
    clock = VirtualClock()
    clocked = Clock(clock.now, clock.sleep, clock.random)
    return SimpleNamespace(clock=clocked, cancellation=Cancellation(clocked), delete=delete)


def test_a_key_whose_pair_has_lost_its_place_is_revoked(tmp_path: Path) -> None:
    revoked: list[str] = []
    path = tmp_path / "pair.json"
    _credentials_file.write(free(path), PAIR)
    api = api_with(lambda call: revoked.append(call.path))
    with pytest.raises(CredentialsFileError, match="something else") as caught:
        _credentials_file.store(api, ORG, created(), free(path))
    assert revoked == [f"/orgs/{ORG}/apiKeys/{created().key.id}"]
    assert caught.value.results == {}
    assert json.loads(path.read_text(encoding="utf-8")) == PAIR


def test_a_key_without_a_pair_that_cannot_be_revoked_is_told(tmp_path: Path) -> None:
    def refuse(*_arguments: Any, **_more: Any) -> None:
        raise LostAnswerError("lost", request=Request("DELETE", "https://h", "/x", "revoke it"))

    api = api_with(refuse)
    with pytest.raises(CredentialsFileError, match="could not be written") as caught:
        _credentials_file.store(api, ORG, created(), free(tmp_path / "no" / "pair.json"))
    key = created().key
    assert caught.value.parameters == [key.id]
    assert caught.value.results == {"changed": True, "org_api_key": key.result()}
    assert caught.value.message().endswith(
        f"so API key {key} may be left. Its private key is lost. Revoke it by its ID. Could not "
        "revoke it: lost."
    )


def test_the_file_of_a_key_that_was_revoked_is_deleted_and_no_other(tmp_path: Path) -> None:
    path, key = tmp_path / "pair.json", created().key
    pair = {**PAIR, "api_user_id": key.id, "public_key": str(key.public_key)}
    _credentials_file.write(free(path), pair)
    said = _credentials_file.discard(free(path), replace(key, id="b" * 24), ORG)
    assert "was not changed" in said
    assert json.loads(path.read_text(encoding="utf-8")) == pair
    assert "was deleted" in _credentials_file.discard(free(path), key, ORG)
    assert not path.exists()
    path.mkdir()
    assert "could not be deleted" in _credentials_file.discard(free(path), key, ORG)


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "list").write_text("[1]", encoding="utf-8")
    (tmp_path / "deep").write_text("[" * 50_000, encoding="utf-8")
    (tmp_path / "part").write_text(json.dumps({"org_id": ORG}), encoding="utf-8")
    (tmp_path / "long").write_text(json.dumps({**PAIR, "x": "y" * 70_000}), encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    for entry in tmp_path.iterdir():
        with pytest.raises(OptionError, match="nothing was created"):
            _credentials_file.inspect(str(entry))


def test_what_cannot_be_looked_at_or_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pair.json"
    _credentials_file.write(free(path), PAIR)
    with pytest.raises(OptionError, match=r"cannot be accessed \(Not a directory\)"):
        _credentials_file.inspect(str(path / "below"))

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_credentials_file, "open", refuse, raising=False)
    with pytest.raises(OptionError, match=r"cannot be read \(Permission denied\)"):
        _credentials_file.inspect(str(path))


def test_warnings_name_the_keys_and_what_to_do(tmp_path: Path) -> None:
    ids = ["a" * 24, PAIR["api_user_id"], "b" * 24]
    _credentials_file.write(_credentials_file.new_in(str(tmp_path), ids[1]), PAIR)
    (tmp_path / f"{ids[2]}.json").mkdir()
    keys = [OrgApiKey(id_, "backup ☃", PAIR["public_key"], (), ()) for id_ in ids]
    assert _credentials_file.folder_warnings(str(tmp_path), keys[1:2], ORG) == []
    (warning,) = _credentials_file.folder_warnings(str(tmp_path), keys, ORG)
    assert f"credentials_dir {tmp_path} has no key pairs of" in warning
    assert f": {ids[0]}, {ids[2]}. A private key cannot be read again" in warning
    for file, what in (
        (free(tmp_path / "x"), f"{tmp_path}/x does not exist"),
        (
            _credentials_file.inspect(_credentials_file.path_in(str(tmp_path), ids[1])),
            f"{tmp_path}/{ids[1]}.json holds the key pair of another API key, {ids[1]}",
        ),
    ):
        (warning,) = _credentials_file.warnings(file, keys[0], ORG)
        assert f"API key {ids[0]} exists, and credentials_file {what}. A private key" in warning
    assert _credentials_file.warnings(None, keys[0], ORG) == []


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
    key = OrgApiKey(PAIR["api_user_id"], PAIR["description"], PAIR["public_key"], (), ())
    assert file.holds(key, PAIR["org_id"])
    assert _credentials_file.warnings(file, key, PAIR["org_id"]) == []
    for stranger, org in (
        (replace(key, id="f" * 24), PAIR["org_id"]),
        (replace(key, public_key="stranger"), PAIR["org_id"]),
        (key, "f" * 24),
    ):
        assert not file.holds(stranger, org)
        assert PAIR["api_user_id"] in _credentials_file.warnings(file, stranger, org)[0]
    if is_free:
        _credentials_file.check_free(file, org_id, description, existing)
        return
    with pytest.raises(OptionError, match="another API key"):
        _credentials_file.check_free(file, org_id, description, existing)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("check_mode", [True, False])
def test_a_place_that_cannot_be_written_to_is_refused(tmp_path: Path, check_mode: bool) -> None:
    with pytest.raises(OptionError, match="not a directory"):
        _credentials_file.check_writable(str(tmp_path / "no" / "file"), check_mode=check_mode)
    _credentials_file.check_writable(str(tmp_path / "file"), check_mode=check_mode)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Not you"), "cannot be entered (Not you)"),
        (NotADirectoryError(20, "No"), "is not a directory"),
        (ValueError("a NUL"), "is not a directory"),
    ],
)
def test_a_folder_is_called_none_only_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str, check_mode: bool
) -> None:
    words = re.escape(f"it {words}, and nothing was created")
    with monkeypatch.context() as patched:
        # pytest needs it too.
        patched.setattr(os, "stat", mock.Mock(side_effect=error))
        with pytest.raises(OptionError, match=words):
            _credentials_file.check_folder("it", "/folder", check_mode)


def test_check_mode_asks_and_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(os, "access", lambda *given: asked.append(given))
    monkeypatch.setattr(_credentials_file, "_prove_writable", None)
    with pytest.raises(OptionError, match="which cannot be written to, and nothing was created"):
        _credentials_file.check_writable(str(tmp_path / "file"), check_mode=True)
    assert asked == [(str(tmp_path), os.W_OK | os.X_OK)]


def test_a_folder_that_takes_no_file_is_refused() -> None:
    # Even for root: nothing can be made in there.
    with pytest.raises(OptionError, match="cannot be written to"):
        _credentials_file.check_writable("/proc/self/file", check_mode=False)
