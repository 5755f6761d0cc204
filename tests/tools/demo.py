# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run playbooks/demo.yml against the emulator, for `make demo`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
READY = "listening on "
CLOSING = """
To use the collection with your own Atlas organization, copy a task from playbooks/demo.yml. Set
org_id and the key to revoke, and remove base_url. Set your key pair in the environment variables
MONGODB_ATLAS_PUBLIC_API_KEY and MONGODB_ATLAS_PRIVATE_API_KEY.
"""


def clean_environment() -> dict[str, str]:
    """Return the environment without settings that would affect the demo."""
    settings = ("ANSIBLE_", "MONGODB_ATLAS_", "MCLI_", "KEYSMITH_MONGODB_", "PYTHONPATH")
    colors = ("ANSIBLE_NOCOLOR", "ANSIBLE_FORCE_COLOR")
    env = {k: v for k, v in os.environ.items() if k in colors or not k.startswith(settings)}
    env["ANSIBLE_CONFIG"] = str(ROOT / "tests" / "tools" / "ansible.cfg")
    # The emulator runs on this machine, so no proxy must be used.
    env["NO_PROXY"] = env["no_proxy"] = "127.0.0.1,localhost"
    return env


def stop(signum: int, frame: Any) -> NoReturn:
    """Turn a signal into an exception, so that `finally` runs."""
    sys.exit(128 + signum)


@contextlib.contextmanager
def emulator(env: dict[str, str]) -> Iterator[str]:
    """Run the emulator during the block, and yield its address."""
    command = [sys.executable, "-m", "tests.emulator"]
    options = ["--port", "0", "--seed", "playbooks/demo_seed.json"]
    process = subprocess.Popen(
        [*command, *options], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline().strip() if process.stdout else ""
        if not line.startswith(READY):
            sys.exit(f"The emulator did not start. {line}".strip())
        yield line[len(READY) :].split()[0]
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(command: list[str], env: dict[str, str]) -> int:
    """Run Ansible, and stop its workers when the demo ends."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        # The demo does not depend on a terminal.
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def main() -> int:
    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), stop)
    env = clean_environment()
    playbook = [sys.executable, "-m", "ansible", "playbook", "playbooks/demo.yml"]
    try:
        with emulator(env) as url:
            print(f"The emulator listens on {url}. All requests stay on this machine.", flush=True)
            code = run([*playbook, "-e", f"emulator_url={url}"], env)
    except KeyboardInterrupt:
        return 130
    if code == 0:
        print(CLOSING, end="")
    return code


if __name__ == "__main__":
    sys.exit(main())
