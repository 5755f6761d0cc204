# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a new secret never replaces another's only copy. Only its owner can read it."""

from __future__ import annotations

import json
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CredentialsFileError,
    OptionError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _key_files
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._key_files import KEY_PAIR
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._secret_file import (
    SecretFile,
    SecretFormat,
    discard,
    inspect,
    write,
)

ORG = "5980cfdf0b6d97029d82f86e"
PAIR = {
    "org_id": ORG,
    "api_user_id": "32b6e34b3d91647abb20e7b8",
    "description": "backup ☃",
    "public_key": "zmmrboas",
    "private_key": "55c3bbb6-b4bb-40be-8e66-d20841f3e000",
}
KEY = OrgApiKey(PAIR["api_user_id"], PAIR["description"], PAIR["public_key"], (), ())


def free(path: Path) -> SecretFile:
    return SecretFile(str(path), KEY_PAIR)


def stored(path: Path) -> SecretFile:
    return write(free(path), PAIR, "it")


def test_a_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "pair.json"
    previous = os.umask(0)
    try:
        written = stored(path)
    finally:
        os.umask(previous)
    pair = json.dumps(PAIR, indent=2, ensure_ascii=False)
    assert path.read_text(encoding="utf-8") == f"{pair}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["pair.json"]
    assert inspect(str(path), KEY_PAIR) == written


def test_any_secret_can_be_stored(tmp_path: Path) -> None:
    token = SecretFormat("token", "robot", "robot_id", ("robot_id", "token"))
    path = str(tmp_path / "token.json")
    content = {"robot_id": PAIR["api_user_id"], "token": "t"}
    written = write(SecretFile(path, token), content, "it")
    assert inspect(path, token) == written
    assert written.state == f"holds the token of another robot, {PAIR['api_user_id']}"
    with pytest.raises(OptionError, match="holds something other than a key pair"):
        inspect(path, KEY_PAIR)


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", mock.Mock(side_effect=OSError(28, "No space left")))
    with pytest.raises(CredentialsFileError) as caught:
        stored(tmp_path / "pair.json")
    assert "The key pair of it could not be written to" in caught.value.message()
    assert "(No space left). Check the directory" in caught.value.message()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("before", "now", "is_written"),
    [
        (None, None, True),
        (None, "", False),
        (None, PAIR, False),
        ("", PAIR, False),
        (PAIR, PAIR, True),
        (PAIR, "", False),
        (PAIR, None, True),
        (PAIR, {**PAIR, "private_key": "other"}, False),
        (PAIR, [1], False),
    ],
)
def test_only_what_was_inspected_is_replaced(
    tmp_path: Path, before: Any, now: Any, is_written: bool
) -> None:
    path, new = tmp_path / "pair.json", {**PAIR, "api_user_id": "a" * 24}

    def put(content: Any) -> None:
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(json.dumps(content) if content else "", encoding="utf-8")

    put(before)
    found = inspect(str(path), KEY_PAIR)
    put(now)
    if is_written:
        write(found, new, "it")
        assert json.loads(path.read_text(encoding="utf-8")) == new
        return
    with pytest.raises(CredentialsFileError, match="another process wrote to it") as caught:
        write(found, new, "it")
    assert "Run the task again." in caught.value.message()
    left = path.read_text(encoding="utf-8")
    assert (json.loads(left) if left else "") == now


def assert_is_hidden(name: str, path: Path) -> None:
    """Check that the name of another file puts it next to a file, on the same file system."""
    assert Path(name).parent == path.parent
    assert re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}", Path(name).name)


def test_an_empty_file_gives_way(tmp_path: Path) -> None:
    path = tmp_path / "pair.json"
    path.touch(0o644)
    with mock.patch("os.rename", side_effect=os.rename) as renamed:
        write(inspect(str(path), KEY_PAIR), PAIR, "it")
    assert_is_hidden(renamed.call_args.args[1], path)
    assert json.loads(path.read_text(encoding="utf-8")) == PAIR
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_that_another_process_has_just_created_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is empty until that process writes its secret, which would be lost."""
    path, rename = tmp_path / "pair.json", os.rename
    path.touch()
    found = inspect(str(path), KEY_PAIR)
    theirs = []

    def rename_late(source: str, target: str) -> None:
        monkeypatch.setattr(os, "rename", rename)
        path.unlink()
        theirs.append(path.open("x"))
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_late)
    with pytest.raises(CredentialsFileError, match="another process"):
        write(found, PAIR, "it")
    (file,) = theirs
    with file:
        file.write("theirs")
    assert path.read_text(encoding="utf-8") == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_only_one_of_several_runs_writes_a_new_file(tmp_path: Path) -> None:
    def run(path: Path, number: int) -> bool:
        try:
            write(free(path), {**PAIR, "private_key": str(number)}, "it")
        except CredentialsFileError:
            return False
        return True

    for attempt in range(25):
        path = tmp_path / f"{attempt}.json"
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(partial(run, path), range(4)))
        assert done.count(True) == 1
        assert json.loads(path.read_text("utf-8"))["private_key"] == str(done.index(True))


@pytest.mark.parametrize("had_secret", [False, True])
def test_a_file_that_appears_at_the_last_moment_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, had_secret: bool
) -> None:
    path, create = tmp_path / "pair.json", _secret_file._create

    def create_late(name: str, data: bytes) -> None:
        path.write_text("theirs")
        create(name, data)

    found = stored(path) if had_secret else free(path)
    path.unlink(missing_ok=True)
    monkeypatch.setattr(_secret_file, "_create", create_late)
    with pytest.raises(CredentialsFileError, match="another process"):
        write(found, PAIR, "it")
    assert path.read_text(encoding="utf-8") == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, new = tmp_path / "pair.json", {**PAIR, "private_key": "new"}
    found = stored(path)
    monkeypatch.setattr(os, "replace", mock.Mock(side_effect=OSError(5, "I/O error")))
    with pytest.raises(CredentialsFileError, match="I/O error"):
        write(found, new, "it")
    assert inspect(str(path), KEY_PAIR) == found
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    with mock.patch("os.replace", side_effect=os.replace) as replaced:
        written = write(found, new, "it")
    assert_is_hidden(replaced.call_args.args[0], path)
    assert inspect(str(path), KEY_PAIR) == written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x" * 255, "☃" * 85])
def test_a_file_may_have_the_longest_possible_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    found = write(inspect(str(path), KEY_PAIR), PAIR, "it")
    written = write(found, {**PAIR, "private_key": "new"}, "it")
    assert inspect(str(path), KEY_PAIR) == written
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_the_first_of_two_failures_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "pair.json"
    found = stored(path)
    with monkeypatch.context() as patched:
        patched.setattr(os, failing, mock.Mock(side_effect=OSError(5, "I/O error")))
        patched.setattr(os, "unlink", mock.Mock(side_effect=OSError(13, "Not you")))
        with pytest.raises(CredentialsFileError, match="I/O error"):
            write(found, {**PAIR, "private_key": "new"}, "it")
    assert inspect(str(path), KEY_PAIR) == found


def test_only_the_file_of_the_revoked_key_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "pair.json"
    written = stored(path)
    assert "was not changed" in discard(replace(written, content={**PAIR, "private_key": "x"}))
    assert path.exists()
    assert "was deleted" in discard(written)
    assert not path.exists()
    path.mkdir()
    assert "could not be deleted" in discard(written)


def test_anything_but_a_file_of_this_collection_is_refused(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "list").write_text("[1]", encoding="utf-8")
    (tmp_path / "deep").write_text("[" * 50_000, encoding="utf-8")
    (tmp_path / "part").write_text(json.dumps({"org_id": ORG}), encoding="utf-8")
    (tmp_path / "id").write_text(json.dumps({**PAIR, "api_user_id": "x"}), encoding="utf-8")
    (tmp_path / "long").write_text(json.dumps({**PAIR, "x": "y" * 70_000}), encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    reasons = {
        "directory": "is a directory",
        "link": "is a symbolic link",
        "pipe": "is not a regular file",
        "missing/": "is a directory that does not exist",
        "a\0b": "contains a NUL character",
    }
    other = "holds something other than a key pair of this module"
    for name in {*reasons, *(entry.name for entry in tmp_path.iterdir())}:
        with pytest.raises(OptionError) as caught:
            inspect(f"{tmp_path}/{name}", KEY_PAIR)
        reason = reasons.get(name, other)
        shown = f"credentials_file {tmp_path}/{name} {reason}, and nothing was created."
        assert caught.value.message().startswith(shown.replace("\0", " "))
    stored(tmp_path / "pair.json")
    with pytest.raises(OptionError, match=r"cannot be accessed \(Not a directory\)"):
        inspect(str(tmp_path / "pair.json" / "below"), KEY_PAIR)


def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path / "pair.json")
    refuse = mock.Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr(_secret_file, "open", refuse, raising=False)
    with pytest.raises(OptionError, match=r"cannot be read \(Permission denied\)"):
        inspect(str(tmp_path / "pair.json"), KEY_PAIR)


@pytest.mark.parametrize(
    ("org_id", "description", "existing", "is_free"),
    [
        # The key pair of a deleted key with the same description is worthless.
        (ORG, "backup ☃", [], True),
        (ORG, "backup ☃", [PAIR["api_user_id"]], False),
        (ORG, "another", [], False),
        ("f" * 24, "backup ☃", [], False),
    ],
)
def test_only_a_worthless_pair_is_free(
    tmp_path: Path, org_id: str, description: str, existing: list[str], is_free: bool
) -> None:
    same = {"org_id": org_id, "description": description}
    _secret_file.check_free(free(tmp_path / "missing"), existing, **same)
    file = stored(tmp_path / "pair.json")
    if is_free:
        _secret_file.check_free(file, existing, **same)
        return
    with pytest.raises(OptionError, match=f"holds the key pair of another API key, {KEY.id}"):
        _secret_file.check_free(file, existing, **same)


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_directory_is_checked(tmp_path: Path, check_mode: bool) -> None:
    _secret_file.check_writable(str(tmp_path / "file"), check_mode=check_mode)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for name in ("no", "file"):
        with pytest.raises(OptionError, match="not a directory, and nothing was created"):
            _secret_file.check_writable(str(tmp_path / name / "file"), check_mode=check_mode)
    with pytest.raises(OptionError, match="/proc/self, which cannot be written to"):
        # Not even root can create a file there; check mode can only look at the permissions.
        _secret_file.check_writable("/proc/self/file", check_mode=False)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(13, "Not you"), "cannot be accessed (Not you)"),
        (ValueError("a NUL"), "is not a directory"),
    ],
)
def test_a_directory_that_cannot_be_accessed_is_refused(
    monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    with monkeypatch.context() as patched:
        # pytest needs it too.
        patched.setattr(os, "stat", mock.Mock(side_effect=error))
        with pytest.raises(OptionError, match=re.escape(f"it {text}, and nothing was created")):
            _secret_file.check_directory("it", "/directory", check_mode=False)


def test_check_mode_creates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = mock.Mock(return_value=False)
    monkeypatch.setattr(os, "access", access)
    monkeypatch.setattr(_secret_file.tempfile, "TemporaryFile", None)
    with pytest.raises(OptionError, match="cannot be written to, and nothing was created"):
        _secret_file.check_writable(str(tmp_path / "file"), check_mode=True)
    assert access.mock_calls == [mock.call(str(tmp_path), os.W_OK | os.X_OK)]


@pytest.mark.parametrize(
    ("key", "org_id", "is_held"),
    [
        (KEY, ORG, True),
        (replace(KEY, id="f" * 24), ORG, False),
        (replace(KEY, public_key="stranger"), ORG, False),
        (KEY, "f" * 24, False),
    ],
)
def test_a_file_without_the_pair_of_an_existing_key_is_a_warning(
    tmp_path: Path, key: OrgApiKey, org_id: str, is_held: bool
) -> None:
    path = tmp_path / f"{KEY.id}.json"
    file = stored(path)
    assert _key_files.holds(file, key, org_id) is is_held
    for warnings, text in (
        (_key_files.warnings(file, key, org_id), f"{path} holds the key pair of another API key"),
        (_key_files.directory_warnings(str(tmp_path), [key], org_id), f"API keys: {key.id}. A"),
    ):
        assert bool(warnings) is not is_held
        assert all(text in warning and "restore" in warning for warning in warnings)
    (warning,) = _key_files.warnings(free(tmp_path / "x"), key, org_id)
    assert f"credentials_file {tmp_path}/x does not exist. A private key" in warning
    assert _key_files.warnings(None, key, org_id) == []
    path.unlink()
    path.mkdir()
    assert _key_files.directory_warnings(str(tmp_path), [key], org_id)
