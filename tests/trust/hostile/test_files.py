# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are not what they are taken for: nothing is read out, nothing lost, nothing waits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.support import ROOT, Outcome, VirtualClock, key_id, key_pair, org_id, run_module
from tests.trust import figures
from tests.trust.hostile.servers import (
    KEY_ID,
    NEW_ID,
    ORG,
    PRIVATE_KEY,
    Asked,
    encoded,
    faithful,
    serving,
)

CANARY = "s3cret-of-somebody-else"
PATIENCE = 60


@contextmanager
def in_time() -> Iterator[None]:
    """End what waits for a pipe, by an error."""

    def ring(*_: object) -> None:
        raise TimeoutError("the module waits for a file")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
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
        # Short: the path of a socket has about a hundred bytes.
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


# What is no file to be read from, whoever asks.
PLACES: dict[str, Callable[[Path], str]] = {
    "a link to nowhere": lambda folder: _link(folder / "link", "nowhere"),
    "a link to itself": lambda folder: _link(folder / "loop", "loop"),
    "a link to a pipe": lambda folder: _link(folder / "link", _pipe(folder)),
    "a link to a device": lambda folder: _link(folder / "link", "/dev/zero"),
    "a folder": str,
    "a pipe": _pipe,
    "a socket": _socket,
    "a device without end": lambda _folder: "/dev/zero",
    "a device that is full": lambda _folder: "/dev/full",
    "a terminal": lambda _folder: "/dev/tty",
    "a name too long": lambda folder: str(folder / ("x" * 300)),
    "a path too long": lambda folder: str(folder) + "/x" * 4000,
    "NUL": lambda folder: f"{folder}/a\x00b",
    "below a file": lambda folder: _text(folder) + "/below",
    "line ends": lambda folder: f"{folder}/a\r\n\x1b[31mb",
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("option", ["ca_path", "client_cert", "client_key"])
def test_what_is_no_file_is_not_read(
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
    figures.count("hostile", "paths that are no file of the kind")


@pytest.mark.parametrize("option", ["ca_path", "client_cert", "client_key", "credentials_file"])
def test_a_link_to_a_secret_tells_nothing_of_it(
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
    figures.count("hostile", "paths that are no file of the kind")


OWN = {"org_id": org_id("atlas"), "api_user_id": key_id("atlas", 2), "description": "other"}
PAIR = {**OWN, "public_key": "zzzzzzzz", "private_key": CANARY}
UNFIT: dict[str, Callable[[Path], str]] = {
    **PLACES,
    "a link to a pair": lambda folder: _link(folder / "link", _text(folder, json.dumps(PAIR))),
    "the pair of another key": lambda folder: _text(folder, json.dumps(PAIR)),
    "something else": _text,
    "a pair with an id that is none": lambda folder: _text(
        folder, json.dumps({**PAIR, "api_user_id": "\x1b[31m../.."})
    ),
    "deep JSON": lambda folder: _text(folder, "[" * 50_000),
    "a folder to come": lambda folder: f"{folder}/new/",
    "a folder by a dot": lambda folder: f"{folder}/new/.",
    "nothing in a folder to come": lambda folder: f"{folder}/new/pair.json",
}
del UNFIT["line ends"]  # a strange name, but a name
UNFIT_FOLDERS: dict[str, Callable[[Path], str]] = {
    **PLACES,
    "something else": _text,
    "a folder to come": lambda folder: f"{folder}/new/",
    "a link to a text": lambda folder: _link(folder / "link", _text(folder)),
}
del UNFIT_FOLDERS["a folder"]
UNFIT_FIGURES = {
    "credentials_file": "credentials files that cannot be",
    "credentials_dir": "folders for credentials that cannot be",
}
UNFIT_PATHS = [
    *[("credentials_file", name) for name in UNFIT],
    *[("credentials_dir", name) for name in UNFIT_FOLDERS],
]


NEW: dict[str, Any] = {"description": "new", "roles": ["ORG_MEMBER"]}


def new_key(**options: Any) -> tuple[str, dict[str, Any]]:
    """Return the module that creates a key with such options, and all its options."""
    common = {"org_id": org_id("atlas"), **key_pair("atlas"), "retries": 0}
    if "credentials_dir" in options:
        return "org_api_keys", {**common, "api_keys": [NEW], **options}
    return "org_api_key", {**common, **NEW, **options}


def create(emulator_url: str, **options: Any) -> Outcome:
    check = bool(options.pop("check", False))
    module, options = new_key(base_url=emulator_url, **options)
    return run_module(module, options, check=check)


def left(folder: Path) -> dict[str, str]:
    """What is in a folder, by name, with the text of files."""
    return {
        path.name: path.read_text("utf-8") if stat.S_ISREG(path.lstat().st_mode) else "-"
        for path in folder.iterdir()
    }


@pytest.mark.parametrize(("option", "name"), UNFIT_PATHS)
@pytest.mark.parametrize("check", [True, False])
def test_nothing_is_created_for_a_path_that_cannot_take_its_pair(
    emulator: Emulator, tmp_path: Path, option: str, name: str, check: bool
) -> None:
    places = UNFIT if option == "credentials_file" else UNFIT_FOLDERS
    path = places[name](tmp_path)
    before = left(tmp_path)
    with in_time():
        outcome = create(emulator.url, check=check, **{option: path})
    check_nothing_created(emulator, outcome)
    assert left(tmp_path) == before
    figures.count("hostile", UNFIT_FIGURES[option])


def check_nothing_created(emulator: Emulator, outcome: Outcome) -> None:
    assert outcome.failed, outcome.output
    assert "nothing was created" in outcome.msg
    assert outcome.msg.isprintable()
    assert CANARY not in outcome.output
    assert emulator.writes == []


# Where permissions say yes to root, and the kernel says no.
IN_PROC = [
    ("credentials_file", "/proc/pair.json"),
    ("credentials_file", "/proc/self/fd/pair.json"),
    ("credentials_dir", "/proc"),
    ("credentials_dir", "/proc/self/fd"),
]


@pytest.mark.parametrize(("option", "path"), IN_PROC)
def test_nothing_is_created_for_a_place_in_proc(emulator: Emulator, option: str, path: str) -> None:
    check_nothing_created(emulator, create(emulator.url, **{option: path}))
    figures.count("hostile", UNFIT_FIGURES[option])


@pytest.mark.parametrize(("option", "path"), IN_PROC)
def test_check_mode_believes_what_it_is_told_of_a_place_in_proc(
    emulator: Emulator, option: str, path: str
) -> None:
    """It does not try, so that it knows no more than the permissions say."""
    folder = path if option == "credentials_dir" else Path(path).parent
    outcome = create(emulator.url, check=True, **{option: path})
    may = os.access(folder, os.W_OK | os.X_OK)
    assert (outcome.changed, outcome.failed) == (may, not may), outcome.output
    assert emulator.writes == []


# Runs tasks as a user who may nothing. The last is one that goes well, and comes first as well, in
# check mode: Python itself may be in a folder that this user cannot look into.
AS_NOBODY = """
import json, os, sys
from tests import conftest
from tests.support import run_module
tasks = json.loads(sys.argv[1])
run_module(*tasks[-1][:2], check=True)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(json.dumps([run_module(m, options, check=check).result for m, options, check in tasks]))
"""


def in_child(program: str, given: Any) -> Any:
    """Return what a program prints in a process of its own; both are JSON."""
    child = subprocess.run(
        [sys.executable, "-c", program, json.dumps(given)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(child.stdout)


def as_nobody(*tasks: tuple[str, dict[str, Any], bool]) -> list[Outcome]:
    """Return how tasks end that have to fail, for a user who may nothing; the last may not."""
    results = in_child(AS_NOBODY, tasks)
    *outcomes, last = (Outcome(result, json.dumps(result), VirtualClock()) for result in results)
    assert not last.failed, last.msg
    return outcomes


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody can reach, unlike those that pytest makes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path
        # Otherwise only root could take it away.
        for inner in path.iterdir():
            inner.chmod(0o700)


def _closed(path: Path, mode: int = 0, text: str | None = None) -> str:
    if text is None:
        path.mkdir()
    else:
        path.write_text(text, "utf-8")
    path.chmod(mode)
    return str(path)


def test_nothing_is_created_where_a_user_may_not_write_or_look(
    emulator: Emulator, public: Path
) -> None:
    own = json.dumps({**PAIR, "description": "new", "api_user_id": KEY_ID})
    fixed, hidden = public / "fixed", public / "hidden"
    for folder in (fixed, hidden):
        folder.mkdir()
        (folder / "pair.json").write_text(own, "utf-8")
        (folder / "pair.json").chmod(0o644)
    fixed.chmod(0o555)
    hidden.chmod(0)
    _closed(public / "open", 0o777)
    places = [
        ("credentials_file", _closed(public / "secret.json", text=own)),
        ("credentials_file", str(fixed / "pair.json")),
        ("credentials_file", str(fixed / "new.json")),
        ("credentials_file", str(hidden / "pair.json")),
        ("credentials_file", str(hidden / "new.json")),
        ("credentials_dir", str(fixed)),
        ("credentials_dir", str(hidden)),
        ("credentials_dir", str(hidden / "below")),
    ]
    refused = [
        (*new_key(base_url=emulator.url, **{option: path}), check)
        for option, path in places
        for check in (True, False)
    ]
    # What is refused there is right elsewhere.
    path = str(public / "open" / "pair.json")
    right = (*new_key(base_url=emulator.url, credentials_file=path), False)
    outcomes = as_nobody(*refused, right)
    assert json.loads(Path(path).read_text("utf-8"))["private_key"]
    assert [recorded.method for recorded in emulator.writes] == ["POST"]
    for (_module, options, check), outcome in zip(refused, outcomes):
        option = next(name for name in UNFIT_FIGURES if name in options)
        assert outcome.failed, options
        assert "nothing was created" in outcome.msg
        # Check mode asks and does not try.
        assert "Permission denied" in outcome.msg or (check and "cannot be" in outcome.msg)
        assert CANARY not in outcome.output
        figures.count("hostile", UNFIT_FIGURES[option])
    assert sorted(path.name for path in fixed.iterdir()) == ["pair.json"]
    assert (fixed / "pair.json").read_text("utf-8") == own


def test_a_file_that_a_user_may_not_read_is_named(emulator: Emulator, public: Path) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\n"
    secret = _closed(public / "secret.pem", text=f"{CANARY}\n{pem}")
    good = _closed(public / "good.pem", 0o644, pem)
    hidden = _closed(public / "hidden")
    choices: list[dict[str, str]] = [
        *[{"ca_path": path} for path in (secret, f"{hidden}/ca.pem", hidden)],
        *[{"client_cert": path} for path in (secret, f"{hidden}/cert.pem", hidden)],
        *[{"client_cert": good, "client_key": path} for path in (secret, f"{hidden}/key.pem")],
    ]
    common = {"base_url": emulator.url, **key_pair("atlas"), "retries": 0}
    tasks = [("org_info", {**common, **chosen}, False) for chosen in [*choices, {}]]
    for chosen, outcome in zip(choices, as_nobody(*tasks)):
        assert outcome.failed, chosen
        assert f"{[*chosen][-1]} is " in outcome.msg
        assert [*chosen.values()][-1] in outcome.msg
        # A folder is no certificate, whoever may look into it.
        assert ("Permission denied" in outcome.msg) is (chosen != {"client_cert": hidden})
        assert CANARY not in outcome.output
        figures.count("hostile", "paths that are no file of the kind")


@pytest.mark.parametrize(
    "path", ["{0}/missing/../pair.json", "{0}/link/../pair.json", "{0}/link/pair.json", "{0}/./p"]
)
def test_a_way_with_dots_and_links_leads_where_it_leads(
    emulator: Emulator, tmp_path: Path, path: str
) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    _link(tmp_path / "link", str(tmp_path / "far" / "away"))
    outcome = create(emulator.url, credentials_file=path.format(tmp_path))
    assert not outcome.failed, outcome.msg
    written = [found for found in tmp_path.rglob("*") if found.is_file() and not found.is_symlink()]
    assert len(written) == 1
    assert stat.S_IMODE(written[0].stat().st_mode) == 0o600
    assert json.loads(written[0].read_text("utf-8"))["private_key"]
    # Every other call finds it there too.
    again = create(emulator.url, credentials_file=path.format(tmp_path))
    assert (again.changed, again.result.get("warnings")) == (False, None)


@contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own that takes names, but not one byte more."""
    place = folder / "disk"
    place.mkdir()
    mount = shutil.which("mount", path="/usr/bin:/bin:/usr/sbin:/sbin") or "false"
    command = [mount, "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a disk can be mounted by root only, who may not do so here")
    try:
        with (place / "filler").open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 1024):
                    pass
            except OSError:
                yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("can_revoke", [True, False])
@pytest.mark.parametrize("option", ["credentials_file", "credentials_dir"])
def test_a_key_is_not_lost_on_a_full_disk(
    emulator: Emulator, tmp_path: Path, can_revoke: bool, option: str
) -> None:
    if not can_revoke:
        emulator.add_fault(Fault("status", "DELETE", status=403))
    with full_disk(tmp_path) as disk:
        path = disk / "pair.json" if option == "credentials_file" else disk
        outcome = create(emulator.url, **{option: str(path)})
        assert sorted(path.name for path in disk.iterdir()) == ["filler"]
    assert "No space left on device" in outcome.msg
    told_as_it_is(emulator, outcome, can_revoke)


LIMITED = """
import json, resource, sys
from tests import conftest
from tests.support import run_module
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
print(run_module(*json.loads(sys.argv[1])).output)
"""


@pytest.mark.parametrize("can_revoke", [True, False])
@pytest.mark.parametrize("option", ["credentials_file", "credentials_dir"])
def test_a_key_is_not_lost_where_files_may_not_grow(
    emulator: Emulator, tmp_path: Path, can_revoke: bool, option: str
) -> None:
    if not can_revoke:
        emulator.add_fault(Fault("status", "DELETE", status=403))
    path = tmp_path / "pair.json" if option == "credentials_file" else tmp_path
    task = new_key(base_url=emulator.url, **{option: str(path)})
    result = in_child(LIMITED, task)
    assert list(tmp_path.iterdir()) == []
    assert "File too large" in result["msg"]
    told_as_it_is(emulator, Outcome(result, json.dumps(result), VirtualClock()), can_revoke)


def told_as_it_is(emulator: Emulator, outcome: Outcome, can_revoke: bool) -> None:
    """The task failed, and says of the new key what is the case."""
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
    figures.count("hostile", "created keys whose file could not be written")


RACES: dict[str, Callable[[Path], object]] = {
    "a pair": lambda path: path.write_text(json.dumps(PAIR), "utf-8"),
    "a text": lambda path: path.write_text(CANARY, "utf-8"),
    "a link to a pair": lambda path: path.symlink_to(_text(path.parent, json.dumps(PAIR))),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("name", RACES)
@pytest.mark.parametrize("option", ["credentials_file", "credentials_dir"])
def test_what_appears_meanwhile_is_not_written_over(tmp_path: Path, option: str, name: str) -> None:
    """Another run, of another organization, may name the same file at the same moment."""
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
    figures.count("hostile", "files that appear between the look and the writing")


def test_a_pair_proved_worthless_and_replaced_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "pair.json"
    path.write_text(json.dumps({**PAIR, "org_id": ORG, "description": "new"}), "utf-8")

    def respond(asked: Asked) -> bytes:
        if asked.method == "POST":
            path.write_text(json.dumps(PAIR), "utf-8")
        return encoded(*faithful(asked))

    with serving(respond) as server:
        outcome = create(server.url, org_id=ORG, credentials_file=str(path))
    assert outcome.failed
    assert json.loads(path.read_text("utf-8")) == PAIR
    figures.count("hostile", "files that appear between the look and the writing")


def test_a_pair_proved_worthless_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pair.json"
    path.write_text(json.dumps({**PAIR, "org_id": ORG, "description": "new"}), "utf-8")
    with serving(lambda asked: encoded(*faithful(asked))) as server:
        outcome = create(server.url, org_id=ORG, credentials_file=str(path))
    assert not outcome.failed, outcome.msg
    assert json.loads(path.read_text("utf-8"))["private_key"] == PRIVATE_KEY
    assert [found.name for found in tmp_path.iterdir()] == ["pair.json"]


def test_a_folder_of_pairs_keeps_what_an_api_names_twice(tmp_path: Path) -> None:
    """An API that gives a new key the id of one whose pair is kept there, of elsewhere."""
    path = tmp_path / f"{NEW_ID}.json"
    path.write_text(json.dumps({**PAIR, "api_user_id": KEY_ID}), "utf-8")
    key = {"description": "new", "roles": ["ORG_MEMBER"]}
    with serving(lambda asked: encoded(*faithful(asked))) as server:
        options = {"base_url": server.url, "org_id": ORG, "access_token": "t0ken-0123456789"}
        options |= {"api_keys": [key], "credentials_dir": str(tmp_path)}
        outcome = run_module("org_api_keys", options)
    assert outcome.failed
    assert CANARY in path.read_text("utf-8")
    figures.count("hostile", "files that appear between the look and the writing")
