# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run Ansible as real processes: playbooks with cases as hosts, ad-hoc commands, ansible-runner."""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import COLLECTIONS
from tests.support import COLLECTION, MODULES, ROOT

MODULE = "keysmith.mongodb.org_api_key"
ACCESS_LIST = "keysmith.mongodb.org_api_key_access_list"
KEYS = "keysmith.mongodb.org_api_keys"
PROJECT_KEY = "keysmith.mongodb.project_api_key"
KEYS_INFO = "keysmith.mongodb.org_api_key_info"
ROTATION = "keysmith.mongodb.org_api_key_rotation"
ORGS_INFO = "keysmith.mongodb.org_info"
SERVICE_ACCOUNT = "keysmith.mongodb.service_account"
ACCOUNT_SECRET = "keysmith.mongodb.service_account_secret"
ACCOUNT_LIST = "keysmith.mongodb.service_account_access_list"
ACCOUNT_PROJECT = "keysmith.mongodb.project_service_account"
ACCOUNTS_INFO = "keysmith.mongodb.service_account_info"
ACCESS_TOKEN = "keysmith.mongodb.access_token"
API_REQUEST = "keysmith.mongodb.api_request"
GROUP = "group/keysmith.mongodb.all"
CALLBACKS = Path(__file__).resolve().parent / "callbacks"
# Its sitecustomize.py runs in every Python process, modules included.
SITE = ROOT / "tests" / "site"
COMPILED = ROOT / ".cache" / "compiled"
# What Python processes depend on when they start.
START = {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": str(SITE),
    "COMPILED_FOLDER": str(COMPILED),
}
# The deadline of a process, even on a busy machine.
PATIENCE = 600

# The options of the module and of its connection. A task takes them from the variables of its
# host, and omits those that are not set there.
CONNECTION = (
    "platform base_url org_id api_public_key api_private_key client_id client_secret access_token "
    "validate_certs ca_path client_cert client_key http_proxy timeout retries retry_max_wait "
    "envelope"
).split()
KEY = "api_user_id public_key description allow_own_key wait wait_timeout".split()


def own_options(module: str) -> list[str]:
    """Return the options of a module, except those of the connection."""
    spec = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}").ARGUMENT_SPEC
    return [name for name in spec if name not in CONNECTION]


OPTIONS = {f"keysmith.mongodb.{module}": own_options(module) for module in MODULES}


def from_variables(names: Sequence[str], variable: str = "options") -> dict[str, str]:
    """Return options whose values come from a variable of the host, by default ``options``."""
    return {name: f"{{{{ {variable}.{name} | default(omit) }}}}" for name in names}


@dataclass(frozen=True)
class TaskResult:
    """The result of one task on one host, as the callback saw it."""

    host: str
    task: str
    status: str
    values: dict[str, Any]

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    @property
    def changed(self) -> bool:
        return bool(self.values.get("changed"))

    @property
    def msg(self) -> str:
        return str(self.values.get("msg", ""))

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.values.get("error") or {})

    @property
    def items(self) -> list[dict[str, Any]]:
        """Return the results of a loop, or the single result of a task without a loop."""
        return list(self.values["results"]) if "results" in self.values else [self.values]

    @property
    def key(self) -> dict[str, Any] | None:
        """The value of ``org_api_key``; raises KeyError if the module did not return it."""
        value: dict[str, Any] | None = self.values["org_api_key"]
        return value


@dataclass(frozen=True)
class Finished:
    """A finished process."""

    code: int
    stdout: str
    stderr: str
    results: tuple[TaskResult, ...]

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def result(self, task: str, host: str = "localhost") -> TaskResult:
        """Return the only result of a task on a host."""
        found = [r for r in self.results if (r.task, r.host) == (task, host)]
        assert len(found) == 1, f"{task} on {host}: {len(found)} results\n{self.output}"
        return found[0]


def wait_for(
    is_so: Callable[[], Any], process: subprocess.Popen[Any] | None = None, seconds: float = 60
) -> None:
    """Wait until something is so, while the process runs. Raises AssertionError after a time."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and its descendants at the same time, as a power failure would."""
    pids = [process.pid]
    parents = [_stat(path) for path in Path("/proc").glob("[0-9]*")]
    for pid in pids:
        pids += [child for child, parent in parents if parent == pid]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def _stat(path: Path) -> tuple[int, int]:
    """Return the IDs of a process and its parent."""
    try:
        # The name, in parentheses, may contain spaces.
        parent = int((path / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0, 0
    return int(path.name), parent


def _short(folder: Path) -> Path:
    """Return a path that is short enough for the sockets that ansible-core 2.21 creates below it.

    The path of a socket has at most 107 characters, and pytest's directories have long names.
    """
    if len(str(folder)) <= 107 - len("/pymp-xxxxxxxx/listener-xxxxxxxx"):
        return folder
    link = Path(tempfile.mkdtemp(prefix="keysmith-", dir="/tmp")) / "tmp"
    link.symlink_to(folder)
    atexit.register(shutil.rmtree, link.parent)
    return link


@functools.cache
def _shared() -> Path:
    """Create a directory for what all Ansible processes that this process starts share."""
    folder = Path(tempfile.mkdtemp(prefix="keysmith-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder)
    return folder


@functools.cache
def start_module_server() -> str:
    """Start a server that runs modules fast, and return the interpreter that uses it.

    It ends with this process.
    """
    interpreter, path = _shared() / "python", _shared() / "socket"
    client = (SITE / "module_client.py").read_text("utf-8")
    interpreter.write_text(f"#!{sys.executable} -IS\n{client}", "utf-8")
    interpreter.chmod(0o700)
    server = subprocess.Popen(
        [sys.executable, str(SITE / "module_server.py"), str(path), str(COLLECTIONS)],
        env=START,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(_end, server)
    assert server.stdout
    assert server.stdout.readline() == b"ready\n"
    return str(interpreter)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.communicate()


class AnsibleSandbox:
    """A directory with its own home, temporary directory and settings for Ansible processes.

    Modules run in forks of one process, which is fast. With ``own_python``, each starts its own
    Python: for tests that send signals to modules, or depend on how Python starts.
    """

    def __init__(self, folder: Path, collections: Path, *, own_python: bool = False) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.tmp = folder / "tmp"
        self.lines = folder / "results.jsonl"
        for path in (self.home, self.tmp, COMPILED):
            path.mkdir(parents=True, exist_ok=path is COMPILED)
        config = folder / "ansible.cfg"
        # By default, Ansible looks for results every millisecond, which takes much of a processor.
        settings = ["retry_files_enabled = false", "internal_poll_interval = 0.01"]
        config.write_text("\n".join(["[defaults]", *settings, ""]), "utf-8")
        self.environ = {
            **START,
            "HOME": str(self.home),
            "TMPDIR": str(_short(self.tmp)),
            "TERM": "dumb",
            "no_proxy": "*",
            # Otherwise Ansible would look in the current directory.
            "ANSIBLE_CONFIG": str(config),
            "ANSIBLE_HOME": str(self.home / ".ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.tmp / "local"),
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "result_lines",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_NOCOWS": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
            "ANSIBLE_DEPRECATION_WARNINGS": "0",
            "ANSIBLE_DEVEL_WARNING": "0",
            "RESULT_LINES": str(self.lines),
            "ARCHIVES_FOLDER": str(_shared() / "archives"),
        }
        if not own_python:
            self.environ["MODULE_PYTHON"] = start_module_server()

    def playbook(
        self,
        plays: Sequence[Mapping[str, Any]],
        *arguments: str,
        hosts: Mapping[str, Mapping[str, Any]] | None = None,
        environ: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
    ) -> Finished:
        """Run ansible-playbook and wait for it."""
        process = self.start(plays, *arguments, hosts=hosts, environ=environ)
        return self.finish(process, patience)

    def start(
        self,
        plays: Sequence[Mapping[str, Any]],
        *arguments: str,
        hosts: Mapping[str, Mapping[str, Any]] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start ansible-playbook. Each host has its own variables and is this machine."""
        playbook, inventory = self.write(plays, hosts)
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory)]
        return self.spawn([*command, *arguments, str(playbook)], environ)

    def write(
        self,
        plays: Sequence[Mapping[str, Any]],
        hosts: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> tuple[Path, Path]:
        """Write the playbook and the inventory, and return their paths."""
        # JSON is valid YAML.
        playbook = self.folder / "playbook.yml"
        playbook.write_text(
            json.dumps([{"gather_facts": False, **p} for p in plays], indent=1), "utf-8"
        )
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        }
        inventory = self.folder / "inventory.json"
        everything = {"hosts": hosts or {"localhost": {}}, "vars": common}
        inventory.write_text(json.dumps({"all": everything}), "utf-8")
        return playbook, inventory

    def python(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Finished:
        """Run Python and wait for it."""
        return self.finish(self.spawn([sys.executable, *arguments], environ))

    def ad_hoc(
        self, module: str, arguments: str, *more: str, environ: Mapping[str, str] | None = None
    ) -> Finished:
        """Run `ansible localhost -m MODULE -a ARGUMENTS`, whose results are only in its output."""
        command = [sys.executable, "-m", "ansible", "adhoc", "localhost", "-m", module]
        return self.finish(self.spawn([*command, "-a", arguments, *more], environ))

    def spawn(
        self, command: Sequence[str], environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**self.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )

    def finish(self, process: subprocess.Popen[str], patience: float = PATIENCE) -> Finished:
        try:
            stdout, stderr = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            raise AssertionError(f"{process.args!r} did not end:\n{stdout}\n{stderr}") from None
        return Finished(process.returncode, stdout, stderr, self.results())

    def results(self) -> tuple[TaskResult, ...]:
        """Return what the callback has written so far."""
        if not self.lines.exists():
            return ()
        lines = map(json.loads, self.lines.read_text("utf-8").splitlines())
        return tuple(TaskResult(x["host"], x["task"], x["status"], x["result"]) for x in lines)
