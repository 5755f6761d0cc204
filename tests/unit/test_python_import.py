# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python versions are rejected, and how files are imported from Ansible's archive."""

from __future__ import annotations

import importlib
import sys
import zipfile
from pathlib import Path
from zipimport import zipimporter

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _python
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError


@pytest.mark.parametrize(
    ("version", "is_rejected"),
    [((3, 8, 18), True), ((2, 7), True), ((3, 9), False), ((3, 9, 0), False), ((4, 0, 0), False)],
)
def test_only_an_old_python_is_rejected(version: tuple[int, ...], is_rejected: bool) -> None:
    assert (_python.refusal(version, "/usr/bin/python3") is not None) is is_rejected


def test_a_rejection_has_the_fields_of_an_error() -> None:
    found = _python.refusal((3, 8, 18, "final", 0), "/usr/bin/python3")
    assert found is not None
    assert found.keys() == {"failed", "msg", "error"}
    assert found["failed"] is True
    assert "/usr/bin/python3 is Python 3.8.18. Nothing was changed." in found["msg"]
    assert found["error"] == OptionError("", hint="").fields()


def test_a_file_in_an_archive_is_compiled_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "sent.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("sent", "sent/deep"):
            file.writestr(f"{name}/__init__.py", "")
            file.writestr(f"{name}/one.py", "")
    monkeypatch.syspath_prepend(str(archive))
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    monkeypatch.setattr(sys, "path_importer_cache", dict(sys.path_importer_cache))
    before = importlib.import_module("sent.one")
    _python._compile_once(str(archive / "sent"))
    module = importlib.import_module("sent.deep.one")
    deep = sys.modules["sent.deep"]
    for name in ("sent", "sent.one", "sent.deep", "sent.deep.one"):
        monkeypatch.delitem(sys.modules, name)
    assert isinstance(before.__loader__, zipimporter)
    assert not isinstance(before.__loader__, _python._Importer)
    assert all(isinstance(found.__loader__, _python._Importer) for found in (deep, module))
    assert deep.__file__ == str(archive / "sent" / "deep" / "__init__.py")
    assert module.__file__ == str(archive / "sent" / "deep" / "one.py")
    # Other directories keep the importer of Python.
    with pytest.raises(ImportError):
        sys.path_hooks[0](f"{archive / 'sent'}s")


def test_a_directory_that_is_not_in_an_archive_keeps_its_importer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = list(sys.path_hooks)
    monkeypatch.setattr(sys, "path_hooks", list(hooks))
    _python._compile_once(str(tmp_path))
    assert sys.path_hooks == hooks
