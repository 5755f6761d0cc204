# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what modules import from Ansible's archive: each file slows down each task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.support import COLLECTION, MISSING_ID, ROOT, key_id, key_pair, org_id

UTILS = f"{COLLECTION}.plugins.module_utils"
# Like Ansible's wrapper, this puts the archive first on the path, and ends with main().
RUN = """
import atexit, importlib, json, sys, zipimport
options, name = json.loads(sys.argv[1]), sys.argv[2]
from ansible.module_utils import basic
import requests
before = set(sys.modules)
compiled = []
compile_source = zipimport._compile_source
zipimport._compile_source = lambda *a: (compiled.append(a[0]), compile_source(*a))[1]
basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
basic._ANSIBLE_PROFILE = "legacy"
def tell():
    print()
    print(json.dumps({"imported": sorted(set(sys.modules) - before), "compiled": compiled}))
atexit.register(tell)
importlib.import_module(name).main()
"""
# The files that revoking a missing key needs.
REVOKING = {
    "_argspec",
    "_client",
    "_client._responses",
    "_client._auth",
    "_client._client",
    "_client._clock",
    "_client._http",
    "_client._rate_limiter",
    "_client._cancellation",
    "_client._transport_errors",
    "_connection",
    "_connection._credential",
    "_connection._http_settings",
    "_connection._platform",
    "_connection._resolve",
    "_connection._secrets",
    "_errors",
    "_input",
    "_module",
    "_plan",
    "_python",
    "_requests",
    "_resources",
    "_resources._absence",
    "_resources._org_api_keys",
    "_resources._resource",
    "_resources._writes",
    "_text",
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack all files that modules may import, as Ansible packs them."""
    path = tmp_path_factory.mktemp("packed") / "payload.zip"
    folders = COLLECTION.split(".")
    with zipfile.ZipFile(path, "w") as file:
        for number in range(len(folders)):
            file.writestr("/".join([*folders[: number + 1], "__init__.py"]), "")
        root = "/".join(folders)
        file.writestr(f"{root}/plugins/__init__.py", "")
        for part in ("modules", "module_utils"):
            directories = {ROOT / "plugins" / part}
            for source in sorted((ROOT / "plugins" / part).rglob("*.py")):
                file.write(source, f"{root}/{source.relative_to(ROOT)}")
                directories.add(source.parent)
            for directory in directories:
                if not (directory / "__init__.py").exists():
                    file.writestr(f"{root}/{directory.relative_to(ROOT)}/__init__.py", "")
    return path


def run(archive: Path, module: str, options: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Run a module from an archive; return its result, imports and compiled files."""
    name = f"{COLLECTION}.plugins.modules.{module}"
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(options), name],
        env={"PYTHONPATH": str(archive), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    assert len(lines) >= 2, done.stderr
    return json.loads(lines[0]), json.loads(lines[-1])


def options_for(emulator: Emulator, **more: Any) -> dict[str, Any]:
    own = {"base_url": emulator.url, "org_id": org_id("atlas"), "platform": "atlas"}
    return {**own, **key_pair("atlas"), **more}


def test_revoking_a_key_imports_no_more_than_it_needs(archive: Path, emulator: Emulator) -> None:
    options = options_for(emulator, api_user_id=MISSING_ID, state="absent")
    result, seen = run(archive, "org_api_key", options)
    assert result["changed"] is False, result
    own = {name for name in seen["imported"] if name.startswith(f"{UTILS}.")}
    assert {name.removeprefix(f"{UTILS}.") for name in own} == REVOKING


@pytest.mark.parametrize("module", ["org_api_key", "org_api_keys"])
def test_a_module_imports_only_what_ansible_and_requests_import_too(
    archive: Path, emulator: Emulator, module: str
) -> None:
    keys: dict[str, Any] = {"api_user_id": key_id("atlas", 2)}
    if module == "org_api_keys":
        keys = {"api_user_ids": [key_id("atlas", 2)], "max_revocations": 1}
    result, seen = run(archive, module, options_for(emulator, **keys, state="absent"))
    assert result["changed"] is True, result
    # The collection itself, and what AnsibleModule and requests import at run time.
    expected = {COLLECTION.partition(".")[0], "ansible", "requests", "urllib3"}
    assert [name for name in seen["imported"] if name.split(".")[0] not in expected] == []


def test_a_file_in_the_archive_is_compiled_once(archive: Path, emulator: Emulator) -> None:
    options = options_for(emulator, api_user_id=MISSING_ID, state="absent")
    _result, seen = run(archive, "org_api_key", options)
    compiled = [Path(path).stem for path in seen["compiled"] if "/module_utils/" in path]
    # Python's own importer compiled _python, which contains ours, and the directory.
    others = [name for name in compiled if name not in {"_python", "__init__"}]
    directories = {name.partition(".")[0] for name in REVOKING if "." in name}
    files = REVOKING - {"_python", *directories}
    assert sorted(others) == sorted(name.rpartition(".")[2] for name in files)


def test_directories_in_the_archive_are_imported_too(tmp_path: Path, archive: Path) -> None:
    copy = tmp_path / "payload.zip"
    copy.write_bytes(archive.read_bytes())
    directory = f"{UTILS.replace('.', '/')}/_part"
    with zipfile.ZipFile(copy, "a") as file:
        file.writestr(f"{directory}/__init__.py", "whole = __file__\n")
        file.writestr(f"{directory}/_piece.py", "piece = __file__\n")
    code = (
        f"from {UTILS} import _python\nfrom {UTILS} import _part\n"
        f"from {UTILS}._part import _piece\nprint(_part.whole, _piece.piece)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [
        f"{copy}/{directory}/__init__.py",
        f"{copy}/{directory}/_piece.py",
    ]


def test_a_file_that_the_archive_lacks_is_not_found(archive: Path) -> None:
    code = f"from {UTILS} import _python\nimport {UTILS}._nonesuch"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(archive)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"ModuleNotFoundError: No module named '{UTILS}._nonesuch'" in done.stderr
