# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths that are not regular files: nothing leaks, nothing is lost, nothing blocks."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _download
from tests.emulator import Emulator, Fault
from tests.support import (
    ROOT,
    Outcome,
    VirtualClock,
    key_id,
    key_pair,
    org_id,
    run_as_owner,
    run_module,
)
from tests.trust.hostile.servers import (
    NEW_ID,
    ORG,
    PRIVATE_KEY,
    Asked,
    encoded,
    faithful,
    http,
    serving,
)

CANARY = "s3cret-of-another-user"
TIMEOUT = 60


@contextmanager
def in_time() -> Iterator[None]:
    """Interrupt a read that blocks."""

    def ring(*_: object) -> None:
        raise TimeoutError("the module blocks on a file")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(TIMEOUT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _link(path: Path, target: str) -> str:
    path.symlink_to(target)
    return str(path)


def _pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return str(folder / "pipe")


def _socket(folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as server:
        # The path of a socket has at most about a hundred bytes.
        old = Path.cwd()
        os.chdir(folder)
        try:
            server.bind("socket")
        finally:
            os.chdir(old)
    return str(folder / "socket")


def _text(folder: Path, text: str = CANARY) -> str:
    (folder / "text").write_text(text, "utf-8")
    return str(folder / "text")


# Paths from which no file can be read.
PLACES: dict[str, Callable[[Path], str]] = {
    "a link to nowhere": lambda folder: _link(folder / "link", "nowhere"),
    "a link to itself": lambda folder: _link(folder / "loop", "loop"),
    "a link to a pipe": lambda folder: _link(folder / "link", _pipe(folder)),
    "a link to a device": lambda folder: _link(folder / "link", "/dev/zero"),
    "a directory": str,
    "a pipe": _pipe,
    "a socket": _socket,
    "an endless device": lambda _folder: "/dev/zero",
    "a device that is full": lambda _folder: "/dev/full",
    "a terminal": lambda _folder: "/dev/tty",
    "a name that is too long": lambda folder: str(folder / ("x" * 300)),
    "a path that is too long": lambda folder: str(folder) + "/x" * 4000,
    "NUL": lambda folder: f"{folder}/a\x00b",
    "a path below a file": lambda folder: _text(folder) + "/below",
    "line breaks": lambda folder: f"{folder}/a\r\n\x1b[31mb",
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("option", ["ca_path", "client_cert", "client_key"])
def test_a_path_that_is_not_a_file_is_rejected(
    emulator: Emulator, tmp_path: Path, option: str, name: str
) -> None:
    good = tmp_path / "good.pem"
    good.write_text("-----BEGIN PRIVATE KEY-----\n", "utf-8")
    options = {"base_url": emulator.url, **key_pair("atlas"), option: PLACES[name](tmp_path)}
    if option == "client_key":
        options["client_cert"] = str(good)
    with in_time():
        outcome = run_module("org_info", options)
    assert outcome.failed, outcome.output
    assert option in outcome.msg or "OpenSSL" in outcome.msg or "openssl" in outcome.msg
    assert outcome.msg.isprintable()
    assert len(outcome.msg) < 5000
    assert "Internal error" not in outcome.msg
    assert emulator.requests == []


@pytest.mark.parametrize("option", ["ca_path", "client_cert", "client_key", "credentials_file"])
def test_a_link_to_a_secret_does_not_reveal_it(
    emulator: Emulator, tmp_path: Path, option: str
) -> None:
    link = _link(tmp_path / "link", _text(tmp_path, f"{CANARY} PRIVATE KEY-----\n"))
    options = {"base_url": emulator.url.replace("http", "https"), **key_pair("atlas")}
    options |= {"org_id": org_id("atlas"), "description": "new", "roles": ["ORG_MEMBER"]}
    options |= {"client_cert": link} if option == "client_key" else {}
    outcome = run_module("org_api_key", {**options, option: link, "retries": 0})
    assert outcome.failed
    assert CANARY not in outcome.output
    assert "Internal error" not in outcome.msg
    assert CANARY in (tmp_path / "text").read_text("utf-8")


OWN = {"org_id": org_id("atlas"), "api_user_id": key_id("atlas", 2), "description": "other"}
PAIR = {**OWN, "public_key": "zzzzzzzz", "private_key": CANARY}
UNFIT: dict[str, Callable[[Path], str]] = {
    **PLACES,
    "a link to a key pair": lambda folder: _link(folder / "link", _text(folder, json.dumps(PAIR))),
    "the key pair of another key": lambda folder: _text(folder, json.dumps(PAIR)),
    "other text": _text,
    "a key pair with an invalid ID": lambda folder: _text(
        folder, json.dumps({**PAIR, "api_user_id": "\x1b[31m../.."})
    ),
    "deep JSON": lambda folder: _text(folder, "[" * 50_000),
    "a missing directory": lambda folder: f"{folder}/new/",
    "a missing directory with a dot": lambda folder: f"{folder}/new/.",
    "a file in a missing directory": lambda folder: f"{folder}/new/pair.json",
}
del UNFIT["line breaks"]  # this is a valid name
UNFIT_FOLDERS: dict[str, Callable[[Path], str]] = {
    **PLACES,
    "other text": _text,
    "a missing directory": lambda folder: f"{folder}/new/",
    "a link to a text": lambda folder: _link(folder / "link", _text(folder)),
}
del UNFIT_FOLDERS["a directory"]
UNFIT_PATHS = [
    *[("credentials_file", name) for name in UNFIT],
    *[("credentials_dir", name) for name in UNFIT_FOLDERS],
]


NEW: dict[str, Any] = {"description": "new", "roles": ["ORG_MEMBER"]}


def new_key(**options: Any) -> tuple[str, dict[str, Any]]:
    """Return the module that creates a key with these options, and the complete options."""
    common = {"org_id": org_id("atlas"), **key_pair("atlas"), "retries": 0}
    if "credentials_dir" in options:
        return "org_api_keys", {**common, "api_keys": [NEW], **options}
    return "org_api_key", {**common, **NEW, **options}


def create(emulator_url: str, **options: Any) -> Outcome:
    check = bool(options.pop("check", False))
    module, options = new_key(base_url=emulator_url, **options)
    return run_module(module, options, check=check)


def left(folder: Path) -> dict[str, str]:
    """Return the content of a directory, with the text of its files."""
    return {
        path.name: path.read_text("utf-8") if stat.S_ISREG(path.lstat().st_mode) else "-"
        for path in folder.iterdir()
    }


@pytest.mark.parametrize(("option", "name"), UNFIT_PATHS)
@pytest.mark.parametrize("check", [True, False])
def test_no_key_is_created_for_an_invalid_path(
    emulator: Emulator, tmp_path: Path, option: str, name: str, check: bool
) -> None:
    places = UNFIT if option == "credentials_file" else UNFIT_FOLDERS
    path = places[name](tmp_path)
    before = left(tmp_path)
    with in_time():
        outcome = create(emulator.url, check=check, **{option: path})
    check_nothing_created(emulator, outcome)
    assert left(tmp_path) == before


def check_nothing_created(emulator: Emulator, outcome: Outcome) -> None:
    assert outcome.failed, outcome.output
    assert "nothing was created" in outcome.msg
    assert outcome.msg.isprintable()
    assert CANARY not in outcome.output
    assert emulator.writes == []


def in_child(program: str, given: Any) -> Any:
    """Run a program in its own process; its argument and output are JSON."""
    child = subprocess.run(
        [sys.executable, "-c", program, json.dumps(given)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(child.stdout)


LIMITED = """
import json, resource, sys
from tests import conftest
from tests.support import run_module
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
print(run_module(*json.loads(sys.argv[1])).output)
"""


@pytest.mark.parametrize("can_revoke", [True, False])
@pytest.mark.parametrize("option", ["credentials_file", "credentials_dir"])
def test_no_key_is_lost_if_its_file_cannot_be_written(
    emulator: Emulator, tmp_path: Path, can_revoke: bool, option: str
) -> None:
    if not can_revoke:
        emulator.add_fault(Fault("status", "DELETE", status=403))
    path = tmp_path / "pair.json" if option == "credentials_file" else tmp_path
    task = new_key(base_url=emulator.url, **{option: str(path)})
    result = in_child(LIMITED, task)
    assert list(tmp_path.iterdir()) == []
    assert "File too large" in result["msg"]
    check_report(emulator, Outcome(result, json.dumps(result), VirtualClock()), can_revoke)


def check_report(emulator: Emulator, outcome: Outcome, can_revoke: bool) -> None:
    """Check that the task failed and reports what became of the new key."""
    assert outcome.failed
    keys = emulator.state.organizations[org_id("atlas")].api_keys
    new = [key for key in keys.values() if key.description == "new"]
    if can_revoke:
        assert new == []
        assert "The new API key was revoked to clean up: nothing is left." in outcome.msg
        assert not outcome.changed
    else:
        assert new[0].id in outcome.msg
        assert "Its private key is lost." in outcome.msg
        assert outcome.changed
        assert new[0].private_key not in outcome.output


RACES: dict[str, Callable[[Path], object]] = {
    "a key pair": lambda path: path.write_text(json.dumps(PAIR), "utf-8"),
    "a text": lambda path: path.write_text(CANARY, "utf-8"),
    "a link to a key pair": lambda path: path.symlink_to(_text(path.parent, json.dumps(PAIR))),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a directory": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("name", RACES)
@pytest.mark.parametrize("option", ["credentials_file", "credentials_dir"])
def test_a_file_that_appears_later_is_not_overwritten(
    tmp_path: Path, option: str, name: str
) -> None:
    """Another run may write to the same file at the same time."""
    place = tmp_path / ("pair.json" if option == "credentials_file" else f"{NEW_ID}.json")
    states: list[dict[str, str]] = []

    def respond(asked: Asked) -> bytes:
        if asked.method == "POST":
            RACES[name](place)
            states.append(left(tmp_path))
        return encoded(*faithful(asked))

    key = {"description": "new", "roles": ["ORG_MEMBER"]}
    with serving(respond) as server:
        options = {"base_url": server.url, "org_id": ORG, "access_token": "t0ken-0123456789"}
        if option == "credentials_file":
            options |= {**key, option: str(place)}
            outcome = run_module("org_api_key", options)
        else:
            options |= {"api_keys": [key], option: str(tmp_path)}
            outcome = run_module("org_api_keys", options)
        assert [asked.path.rpartition("/")[2] for asked in server.sent("DELETE")] == [NEW_ID]
    assert outcome.failed
    assert "The new API key was revoked to clean up: nothing is left." in outcome.msg
    assert PRIVATE_KEY not in outcome.output
    assert left(tmp_path) == states[0]


# A download may replace any regular file, so only these paths are refused.
NO_DESTS = {
    **PLACES,
    "a link to a text": lambda folder: _link(folder / "link", _text(folder)),
    "a missing directory": lambda folder: f"{folder}/new/",
    "a missing directory with a dot": lambda folder: f"{folder}/new/.",
    "a file in a missing directory": lambda folder: f"{folder}/new/file",
}
del NO_DESTS["line breaks"]
DOWNLOAD = {**key_pair("atlas"), "org_id": org_id("atlas"), "path": "/orgs", "retries": 0}


@pytest.mark.parametrize("name", NO_DESTS)
@pytest.mark.parametrize("check", [True, False])
def test_nothing_is_downloaded_to_an_invalid_path(
    emulator: Emulator, tmp_path: Path, name: str, check: bool
) -> None:
    options = {**DOWNLOAD, "base_url": emulator.url, "dest": NO_DESTS[name](tmp_path)}
    before = left(tmp_path)
    with in_time():
        outcome = run_module("api_request", options, check=check)
    assert outcome.failed, outcome.output
    assert outcome.result["error"]["type"] == "options"
    assert "dest" in outcome.msg
    assert outcome.msg.isprintable()
    assert CANARY not in outcome.output
    assert emulator.requests == []
    assert left(tmp_path) == before


@pytest.mark.parametrize("old", [None, "old"])
def test_a_download_that_cannot_be_written_changes_nothing(
    emulator: Emulator, tmp_path: Path, old: str | None
) -> None:
    if old:
        (tmp_path / "file").write_text(old, "utf-8")
    before = left(tmp_path)
    options = {**DOWNLOAD, "base_url": emulator.url, "dest": str(tmp_path / "file")}
    result = in_child(LIMITED, ["api_request", options])
    assert result["failed"]
    assert "File too large" in result["msg"]
    assert left(tmp_path) == before


# Files of downloads.


def download(url: str, file: Path | str, **more: Any) -> Outcome:
    options = {"base_url": url, "access_token": "t0ken-0123456789", "path": "/x", "retries": 0}
    with in_time():
        return run_module("api_request", {**options, "dest": str(file)}, **more)


@pytest.mark.parametrize("name", [name for name in PLACES if name != "line breaks"])
@pytest.mark.parametrize("check", [True, False])
def test_nothing_is_saved_in_what_is_not_a_file(
    emulator: Emulator, tmp_path: Path, name: str, check: bool
) -> None:
    path = PLACES[name](tmp_path)
    before = left(tmp_path)
    outcome = download(emulator.url, path, check=check)
    assert outcome.result["error"]["type"] == "options"
    assert "dest" in outcome.msg
    assert outcome.msg.isprintable()
    assert len(outcome.msg) < 10_000
    assert emulator.requests == []
    assert left(tmp_path) == before


@pytest.mark.parametrize("name", RACES)
def test_what_appears_during_a_download_is_not_read_or_followed(tmp_path: Path, name: str) -> None:
    """Another user may be able to write to the directory."""
    file = tmp_path / "file"
    file.write_text("old", "utf-8")

    def respond(_asked: Asked) -> bytes:
        file.unlink()
        RACES[name](file)
        (tmp_path / "text").touch()
        return http("200 OK", b"new")

    with serving(respond) as server:
        outcome = download(server.url, file)
    assert outcome.failed is (name == "a directory")
    assert outcome.changed is not outcome.failed
    found = left(tmp_path)
    assert found.pop("file") == ("-" if outcome.failed else "new")
    # The target of the link has not changed.
    assert found in ({"text": ""}, {"text": json.dumps(PAIR)})


def test_a_link_in_place_of_a_download_is_not_followed(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, root would give away one of its own files."""
    emulator.add_fault(Fault("status", status=200, body="new"))
    own, file = tmp_path / "own", tmp_path / "file"
    own.write_text(CANARY, "utf-8")
    own.chmod(0o600)
    file.write_text("old", "utf-8")
    file.chmod(0o4666)
    write = _download.Download.write

    def swapped(self: Any, part: bytes) -> None:
        write(self, part)
        (hidden,) = tmp_path.glob(".file.*")
        hidden.unlink()
        hidden.symlink_to(own)

    monkeypatch.setattr(_download.Download, "write", swapped)
    with in_time():
        run_as_owner("api_request", emulator, "atlas", {"path": "/x", "dest": str(file)})
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert own.read_text("utf-8") == CANARY


def test_a_file_that_cannot_be_saved_is_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old", "utf-8")
    with serving(lambda _asked: http("200 OK", b"new" * 100)) as server:
        options = {"base_url": server.url, "access_token": "t0ken-0123456789"}
        task = ("api_request", {**options, "path": "/x", "dest": str(file)})
        result = in_child(LIMITED, task)
    assert result["failed"]
    assert "could not be written (File too large), and was not changed" in result["msg"]
    assert left(tmp_path) == {"file": "old"}
