# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-playbook and ansible-runner, and collect all output, logs and files.

Tasks get secrets from variables and from the environment of the process. Ansible itself shows
those on an ad-hoc command line, and, at -vvv, in the keyword `environment` of a task.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.playbook import (
    CONNECTION,
    KEY,
    MODULE,
    OPTIONS,
    SITE,
    AnsibleSandbox,
    Finished,
    TaskResult,
    from_variables,
)
from tests.integration.secret_search import PLANTED, PLANTED_FORMS, files, search
from tests.support import key_pair
from tests.trust.secrets.world import ATLAS, ByCaller, Case, World, created_keys

# This directory has a sitecustomize.py.
# A section of the trust tests has a total of 480 s.
TIMEOUT = 450
SPY = Path(__file__).resolve().parent / "python"
# Every run first prints this on purpose.
PLANT = {
    "hosts": "localhost",
    "gather_facts": False,
    "tasks": [{"name": "Plant", "ansible.builtin.debug": {"msg": PLANTED_FORMS}, "run_once": True}],
}


@dataclass(frozen=True)
class Listened:
    """A run, and every place that must not contain a secret."""

    run: Finished
    places: dict[str, str]

    def heard(self, kind: str) -> str:
        """Return what processes wrote to stderr, syslog or the journal."""
        return "".join(text for place, text in self.places.items() if f"/spy/{kind}." in place)


def switched_on(folder: Path, *, journal: bool = False) -> dict[str, str]:
    """Return an environment with all logging on, recorded in ``spy`` of a run's directory.

    It lacks ANSIBLE_KEEP_REMOTE_FILES, which keeps Ansible's own copy of a task's arguments.
    """
    spy = folder / "spy"
    spy.mkdir(parents=True)
    return {
        # ansible-core 2.21 omits the invocation by default.
        "ANSIBLE_INJECT_INVOCATION": "1",
        # Tracebacks may contain secrets; ansible-core 2.19 and later show them on request.
        "ANSIBLE_DISPLAY_TRACEBACK": "always",
        "PYTHONPATH": f"{SPY}{os.pathsep}{SITE}",
        "PYTHONWARNINGS": "always",
        "PYTHONFAULTHANDLER": "1",
        "SPY_FOLDER": str(spy),
        **({"SPY_JOURNAL": "1"} if journal else {}),
    }


def secret_variables(world: World) -> dict[str, str]:
    """Return the secrets in the environment of the process."""
    pair = key_pair(ATLAS)
    return {
        "MONGODB_ATLAS_PUBLIC_API_KEY": pair["api_public_key"],
        "MONGODB_ATLAS_PRIVATE_API_KEY": pair["api_private_key"],
        "https_proxy": world.refusing_proxy,
    }


def run_playbook(
    sandbox: AnsibleSandbox,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    patience: float = TIMEOUT,
) -> Listened:
    """Run `ansible-playbook ARGUMENTS` at the highest verbosity."""
    command = [sys.executable, "-m", "ansible", "playbook", _plant(sandbox), *arguments]
    command += ["-vvvv", "--diff", "--forks=4"]
    run = sandbox.finish(sandbox.spawn(command, environ), patience)
    return Listened(run, places(sandbox, run))


def run_runner(
    sandbox: AnsibleSandbox,
    playbook: str,
    inventory: Path,
    environ: Mapping[str, str],
    *,
    arguments: str = "",
    patience: float = TIMEOUT,
) -> Listened:
    """Run ansible-runner, which AWX uses, and collect its events, artifacts and output too."""
    job = sandbox.folder.parent / f"job-{sandbox.folder.name}"
    (job / "env").mkdir(parents=True)
    # Without pipelining, there are temporary files to search.
    (job / "env" / "envvars").write_text(
        json.dumps({**environ, "ANSIBLE_PIPELINING": "0"}), "utf-8"
    )
    command = [sys.executable, "-m", "ansible_runner", "run", str(job), "--ident", "job", "-j"]
    # All options are in `cmdline`, because its last argument must precede the playbook.
    options = f"--diff -i {shlex.quote(str(inventory))} -vvvv --forks=4 {arguments}"
    command += ["-p", playbook, "--cmdline", f"{options} {shlex.quote(_plant(sandbox))}"]
    # The runner itself needs no logging; its processes get the environment from `envvars`.
    run = sandbox.finish(sandbox.spawn(command), patience)
    # The runner itself writes the whole environment to `command`.
    artifacts = {
        name: text for name, text in files(job / "artifacts") if not name.endswith("/command")
    }
    assert any("/job_events/" in name for name in artifacts), run.output
    return Listened(run, {**places(sandbox, run), **artifacts})


def _plant(sandbox: AnsibleSandbox) -> str:
    """Write the playbook that prints the planted text."""
    path = sandbox.folder / "plant.yml"
    path.write_text(json.dumps([PLANT]), "utf-8")
    return str(path)


def check_planted(listened: Listened) -> None:
    """Check that the planted text is found wherever results appear, in each form."""
    for is_one in (
        lambda place: place == "stdout",
        lambda place: place == "the callback's lines",
        lambda place: "/job_events/" in place,
        lambda place: place.endswith("/job/stdout"),
    ):
        texts = {place: text for place, text in listened.places.items() if is_one(place)}
        # A run without the runner has no events.
        missing = [f for f in PLANTED_FORMS if not any(f in text for text in texts.values())]
        assert not (texts and missing), missing
        assert not texts or search(texts, {"what was planted": PLANTED})


def places(sandbox: AnsibleSandbox, run: Finished, listened: Path | None = None) -> dict[str, str]:
    """Return output, logs and files of a run; ``listened`` is the directory of `switched_on`."""
    return {
        "stdout": run.stdout,
        "stderr": run.stderr,
        "the callback's lines": sandbox.lines.read_text("utf-8"),
        **dict(files(sandbox.home)),
        **dict(files(sandbox.tmp)),
        **dict(files((listened or sandbox.folder) / "spy")),
    }


def plays(cases: Mapping[str, Case]) -> list[dict[str, Any]]:
    """Return a play for each module, and one for tasks with no_log."""
    found = []
    for module, no_log in dict.fromkeys(case.play for case in cases.values()):
        options = dict.fromkeys([*CONNECTION, *OPTIONS[module], *(KEY if module == MODULE else [])])
        tasks: list[dict[str, Any]] = [
            {
                "name": "Act",
                "register": "outcome",
                "ignore_errors": True,
                "no_log": no_log,
                module: from_variables(list(options)),
            },
            {"name": "Show", "ansible.builtin.debug": {"var": "outcome"}},
        ]
        found.append(
            {
                "hosts": [n for n, case in cases.items() if case.play == (module, no_log)],
                "strategy": "free",
                "tasks": tasks[:1] if no_log else tasks,
            }
        )
    return found


def prepare(world: World, cases: Mapping[str, Case]) -> dict[str, dict[str, Any]]:
    """Add the faults of the cases, and return their hosts."""
    for case in cases.values():
        for fault in case.faults:
            world.emulator.add_fault(fault)
    # It matches every path, so it must come last.
    world.emulator.add_fault(ByCaller(world.faults))
    return {name: {"options": case.options} for name, case in cases.items()}


def act(run: Finished, name: str) -> TaskResult:
    return run.result("Act", name)


def description(case: Case) -> Any:
    """Return the description of a case's key, or the name of its account."""
    (key,) = case.options.get("api_keys") or [case.options]
    return key.get("description", key.get("name"))


def shown_keys(world: World, cases: Mapping[str, Case]) -> dict[str, str]:
    """Return the created secrets in results: those without a file or no_log."""
    created = created_keys(world)
    return {
        name: created[str(description(case))]
        for name, case in cases.items()
        if not case.messages
        and description(case) in created
        and not case.no_log
        and not {"credentials_file", "credentials_dir"} & case.options.keys()
    }
