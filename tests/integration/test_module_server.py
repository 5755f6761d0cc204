# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forked modules and shared archives behave like those that Ansible starts and builds itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.playbook import START, AnsibleSandbox, start_module_server, wait_for

STATE = """
import json, os, sys
umask = os.umask(0)
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "name": __name__, "folder": os.getcwd(),
    "umask": umask, "environ": dict(os.environ), "executable": sys.executable,
    "collection": [name for name in sys.modules if name.startswith("ansible_collections")],
}))
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def run(code: str, *arguments: str, python: str | None = None, **more: Any) -> Any:
    return subprocess.run(
        [python or start_module_server(), *arguments],
        input=code,
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
        **{"env": START, **more},
    )


def state(**more: Any) -> Any:
    done = run(STATE, umask=0o027, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("environ", [{"A": "é\udcff"}, {"PYTHONDEVMODE": "1"}], ids=str)
def test_a_process_looks_as_if_python_had_been_started(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    more = {"cwd": tmp_path, "env": {**START, **environ}}
    assert state(**more) == state(python=sys.executable, **more)


def test_only_a_module_with_the_usual_settings_of_python_is_forked() -> None:
    code = "import sys; print('requests' in sys.modules, sys.flags.dev_mode)"
    assert run(code).stdout == "True False\n"
    assert run(code, env={**START, "PYTHONDEVMODE": "1"}).stdout == "False True\n"
    assert run("", "-c", code).stdout == "False False\n"


@pytest.mark.parametrize(
    "code",
    ["import sys; sys.exit(3)", "import os; os._exit(4)", "import os; os.kill(os.getpid(), 9)"],
)
def test_the_code_of_the_end_is_reported(code: str) -> None:
    assert run(code).returncode == run(code, python=sys.executable).returncode


def test_an_exception_is_reported() -> None:
    done = run("1/0")
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_module_ends_with_its_client(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    code = f"import os, time; open({str(told)!r}, 'w').write(f'{{os.getpid()}}.'); time.sleep(60)"
    with subprocess.Popen([start_module_server()], stdin=subprocess.PIPE, env=START) as client:
        assert client.stdin
        client.stdin.write(code.encode())
        client.stdin.close()
        wait_for(lambda: told.exists() and told.read_text().endswith("."), client)
        client.kill()
    pid = int(told.read_text()[:-1])
    wait_for(lambda: not is_running(pid))


def test_modules_that_end_at_the_same_time_are_all_reported() -> None:
    codes = range(1, 41)
    with ThreadPoolExecutor(len(codes)) as pool:
        ended = pool.map(lambda code: run(f"import sys; sys.exit({code})").returncode, codes)
        assert list(ended) == list(codes)


@pytest.mark.parametrize("is_shared", [True, False], ids=["checkout", "copy"])
def test_archives_of_modules_of_the_checkout_are_shared(
    tmp_path: Path, collections: Path, is_shared: bool
) -> None:
    sandbox = AnsibleSandbox(tmp_path / "run", collections if is_shared else tmp_path)
    folder = sandbox.environ["ARCHIVES_FOLDER"] = str(tmp_path / "archives")
    done = sandbox.ad_hoc("ping", "")
    assert done.code == 0, done.output
    found = [path.name for path in Path(folder).glob("*/*") if "ping" in path.name]
    assert bool(found) is is_shared
