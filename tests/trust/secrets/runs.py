# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ansible-playbook and ansible-runner that are listened to wherever something comes out.

Secrets reach the tasks by variables and by the environment of the process. On an ad-hoc command
line, and in the keyword `environment` of a task at -vvv, Ansible itself shows them.
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

# See sitecustomize.py in there.
# A section of the trust tests has 480 s in all.
PATIENCE = 450
SPY = Path(__file__).resolve().parent / "python"
# What every run is told on purpose, before anything else.
PLANT = {
    "hosts": "localhost",
    "gather_facts": False,
    "tasks": [{"name": "Plant", "ansible.builtin.debug": {"msg": PLANTED_FORMS}, "run_once": True}],
}


@dataclass(frozen=True)
class Listened:
    """A run, and every place in which nothing secret may be."""

    run: Finished
    places: dict[str, str]

    def heard(self, kind: str) -> str:
        """What came in stderr of modules and others, in the syslog or in the journal."""
        return "".join(text for place, text in self.places.items() if f"/spy/{kind}." in place)


def switched_on(folder: Path, *, journal: bool = False) -> dict[str, str]:
    """The environment in which everything is told, and noted down in ``spy`` of a run's folder.

    Not ANSIBLE_KEEP_REMOTE_FILES: what it keeps is Ansible's own copy of a task's arguments.
    """
    spy = folder / "spy"
    spy.mkdir(parents=True)
    return {
        # Since ansible-core 2.21 it is left out otherwise.
        "ANSIBLE_INJECT_INVOCATION": "1",
        # Tracebacks have secrets in them easily; ansible-core shows them since 2.19 when asked to.
        "ANSIBLE_DISPLAY_TRACEBACK": "always",
        "PYTHONPATH": f"{SPY}{os.pathsep}{SITE}",
        "PYTHONWARNINGS": "always",
        "PYTHONFAULTHANDLER": "1",
        "SPY_FOLDER": str(spy),
        **({"SPY_JOURNAL": "1"} if journal else {}),
    }


def secret_variables(world: World) -> dict[str, str]:
    """What comes to tasks by the environment of the process."""
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
    patience: float = PATIENCE,
) -> Listened:
    """Run `ansible-playbook ARGUMENTS`, the playbook first, as loudly as it can."""
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
    patience: float = PATIENCE,
) -> Listened:
    """Run ansible-runner, which AWX uses: its events, artifacts and own output count too."""
    job = sandbox.folder.parent / f"job-{sandbox.folder.name}"
    (job / "env").mkdir(parents=True)
    # Temporary files are part of what is searched.
    (job / "env" / "envvars").write_text(
        json.dumps({**environ, "ANSIBLE_PIPELINING": "0"}), "utf-8"
    )
    command = [sys.executable, "-m", "ansible_runner", "run", str(job), "--ident", "job", "-j"]
    # All options are in `cmdline`, since its last word has to come right before the playbook.
    options = f"--diff -i {shlex.quote(str(inventory))} -vvvv --forks=4 {arguments}"
    command += ["-p", playbook, "--cmdline", f"{options} {shlex.quote(_plant(sandbox))}"]
    # The runner itself is none of ours; what it starts has all of this by `envvars`.
    run = sandbox.finish(sandbox.spawn(command), patience)
    # The runner writes the whole environment into `command`; that file is its own.
    artifacts = {
        name: text for name, text in files(job / "artifacts") if not name.endswith("/command")
    }
    assert any("/job_events/" in name for name in artifacts), run.output
    return Listened(run, {**places(sandbox, run), **artifacts})


def _plant(sandbox: AnsibleSandbox) -> str:
    """Write the playbook that goes before the others."""
    path = sandbox.folder / "plant.yml"
    path.write_text(json.dumps([PLANT]), "utf-8")
    return str(path)


def check_planted(listened: Listened) -> None:
    """Check that what was told on purpose is found wherever results come out, in each form."""
    for is_one in (
        lambda place: place == "stdout",
        lambda place: place == "the callback's lines",
        lambda place: "/job_events/" in place,
        lambda place: place.endswith("/job/stdout"),
    ):
        texts = {place: text for place, text in listened.places.items() if is_one(place)}
        # Of the runner's there are none in a run without it.
        missing = [f for f in PLANTED_FORMS if not any(f in text for text in texts.values())]
        assert not (texts and missing), missing
        assert not texts or search(texts, {"what was planted": PLANTED})


def places(sandbox: AnsibleSandbox, run: Finished, listened: Path | None = None) -> dict[str, str]:
    """Where a run's words come out; ``listened`` is what `switched_on` was given."""
    return {
        "stdout": run.stdout,
        "stderr": run.stderr,
        "the callback's lines": sandbox.lines.read_text("utf-8"),
        **dict(files(sandbox.home)),
        **dict(files(sandbox.tmp)),
        **dict(files((listened or sandbox.folder) / "spy")),
    }


def plays(cases: Mapping[str, Case]) -> list[dict[str, Any]]:
    """A play for each module, and one for what has no_log, whose result is not shown either."""
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
    """Set the cases' faults, and return their hosts."""
    for case in cases.values():
        for fault in case.faults:
            world.emulator.add_fault(fault)
    # It fits every path, and the first fault that fits is taken.
    world.emulator.add_fault(ByCaller(world.faults))
    return {name: {"options": case.options} for name, case in cases.items()}


def act(run: Finished, name: str) -> TaskResult:
    return run.result("Act", name)


def description(case: Case) -> Any:
    """What the key of a case is called."""
    (key,) = case.options.get("api_keys") or [case.options]
    return key.get("description")


def shown_keys(world: World, cases: Mapping[str, Case]) -> dict[str, str]:
    """The private keys that results show: no file took them, and no_log was not set."""
    created = created_keys(world)
    return {
        name: created[str(description(case))]
        for name, case in cases.items()
        if not case.words
        and description(case) in created
        and not case.no_log
        and not {"credentials_file", "credentials_dir"} & case.options.keys()
    }
