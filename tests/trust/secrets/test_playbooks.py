# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every playbook and the role, with every kind of failure: no output contains a canary secret.

As in test_modules.py, all output is searched. Playbooks for job templates of AWX run through
ansible-runner, the others through ansible-playbook.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.emulator import Emulator, Fault
from tests.integration.awx_stand_in import AwxStandIn
from tests.integration.playbook import AnsibleSandbox
from tests.integration.rotations import (
    LEFT,
    ROLE,
    ROLLED_BACK,
    ROTATED,
    Case,
    Step,
    check_end,
    check_message,
    keep_private_keys,
    rotate,
)
from tests.integration.secret_search import files, search
from tests.support import ROOT
from tests.trust.secrets.playbooks import PLAYBOOKS, Playbook, hosts, write_inventory
from tests.trust.secrets.runs import (
    PLANT,
    Listened,
    check_planted,
    places,
    run_playbook,
    run_runner,
    switched_on,
)
from tests.trust.secrets.world import ByCaller, canaries, open_world

AWX_COLLECTION = ROOT / ".cache" / "awx"
AWX_TOKEN = "ca11ab1e-awx-token-0123456789"
WRONG_AWX_TOKEN = "ca11ab1e-awx-wrong-0123456789"
ELSEWHERE = {"awx_setup", "demo"}


def test_every_playbook_has_cases() -> None:
    names = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    assert names == {*PLAYBOOKS, *ELSEWHERE}


def test_every_role_has_cases() -> None:
    assert {path.name for path in (ROOT / "roles").iterdir()} == {ROLE.rpartition(".")[2]}


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_runner_run_of_a_playbook_shows_no_secret(
    tmp_path: Path, collections: Path, name: str
) -> None:
    _run(PLAYBOOKS[name], tmp_path, collections)


def _run(playbook: Playbook, folder: Path, collections: Path) -> None:
    sandbox = AnsibleSandbox(folder / "run", collections)
    path = collections / f"ansible_collections/keysmith/mongodb/playbooks/{playbook.name}.yml"
    environ = switched_on(sandbox.folder, journal=True)
    homes = [home for home, _trouble in playbook.homes.values()]
    with open_world(folder / "files", homes) as world:
        found = hosts(playbook, world, folder / "pythons")
        world.emulator.add_fault(ByCaller(world.faults))
        inventory = sandbox.folder / "inventory.json"
        arguments = write_inventory(inventory, found)
        listened = run_runner(
            sandbox, str(path), inventory, environ, arguments=shlex.join(arguments)
        )
        secrets = canaries(world)
    for name, host in found.items():
        mine = [result for result in listened.run.results if result.host == name]
        assert mine, listened.run.output
        said = " ".join(str(result.values) for result in mine)
        assert not [text for text in host.messages if text not in said], f"{name}: {said}"
        failed = [result for result in mine if result.failed]
        assert bool(failed) is bool(host.messages), f"{name}: {said}"
    # The key pairs that a rotation stores are not searched, but reports are.
    reports = dict(files(folder / "files" / "audit"))
    assert bool(reports) is (playbook.name == "audit_org_api_keys")
    _check(replace(listened, places={**listened.places, **reports}), secrets, "journal")


def _check(listened: Listened, secrets: Mapping[str, str], logs: str = "syslog") -> None:
    # Otherwise the search would prove little.
    assert any("ESTABLISH LOCAL CONNECTION" in text for text in listened.places.values())
    assert "DEBUG:urllib3.connectionpool:Starting new HTTP connection" in listened.heard("stderr")
    assert "Invoked with " in listened.heard(logs)
    check_planted(listened)
    hits = search(listened.places, secrets)
    assert not hits, f"{len(hits)} hits\n" + "\n".join(hits[:60])


# As in the role's own tests: what fails, at which step, and how the rotation is rolled back.
KEYS, KEY = "*/orgs/{org_id}/apiKeys", "*/orgs/{org_id}/apiKeys/*"
UNVERIFIED = Step("GET", KEY, 0, 99, by_new_pair=True, name="echo", arguments={"status": 401})
ROTATIONS = [
    Case("well", (ROTATED,), credential_name=0),
    Case("lost", (ROLLED_BACK,), steps=(Step("POST", KEYS, name="lost_after", arguments={}),)),
    Case(
        "unlisted",
        (ROLLED_BACK,),
        steps=(Step("POST", f"{KEY}/accessList", name="echo", arguments={}),),
    ),
    Case("unverified", (ROLLED_BACK,), ("401",), {"verify_timeout": 5}, steps=(UNVERIFIED,)),
    Case(
        "unstored",
        (ROLLED_BACK,),
        ('The store task "Break" failed',),
        options={"store_tasks": "<tasks>/store.yml", "is_broken": "public_key"},
    ),
    Case("left", (LEFT,), steps=(Step("DELETE", KEY, name="echo", arguments={}),)),
    Case(
        "own",
        (ROTATED,),
        options={"allow_own_key": True},
        old={"access_list": [], "projects": []},
        credential_name=2,
    ),
]


def test_role_shows_no_secret(tmp_path: Path, collections: Path) -> None:
    environ = switched_on(tmp_path / "listened")
    folder = tmp_path / "role"
    with rotate(ROTATIONS, folder, collections, "-vvvv", environ, before=[PLANT]) as ran:
        for case in ROTATIONS:
            check_end(ran, case, 0)
            check_message(ran, case)
        secrets = dict(ran.secrets)
        for name, organization in ran.organizations.items():
            for number in (1, 2):
                secrets[f"the pair {number} of {name}"] = organization.pair(number)[
                    "api_private_key"
                ]
            secrets[f"the account of {name}"] = organization.account()["client_secret"]
    _check(Listened(ran.process, places(ran.sandbox, ran.process, tmp_path / "listened")), secrets)


@pytest.mark.parametrize("is_echoed", [False, True], ids=["well", "echo"])
def test_demo_shows_no_secret(tmp_path: Path, collections: Path, is_echoed: bool) -> None:
    seed = json.loads((ROOT / "playbooks" / "demo_seed.json").read_text("utf-8"))
    sandbox = AnsibleSandbox(tmp_path / "run", collections)
    environ = switched_on(sandbox.folder)
    with keep_private_keys() as secrets, Emulator(seed) as emulator:
        if is_echoed:
            emulator.add_fault(Fault("echo", "POST", "*/accessList"))
        arguments = ["keysmith.mongodb.demo", "-e", f"emulator_url={emulator.url}"]
        listened = run_playbook(sandbox, arguments, environ)
    assert listened.run.code == (2 if is_echoed else 0), listened.run.output
    assert ("UNEXPECTED_ERROR" in listened.run.stdout) is is_echoed
    for organization in seed["organizations"]:
        for key in organization["api_keys"]:
            secrets[key["description"]] = key["private_key"]
    # A failed run leaves the key pair file of the playbook.
    elsewhere = {p: t for p, t in listened.places.items() if not p.endswith("/contractor.json")}
    _check(replace(listened, places=elsewhere), secrets)


@pytest.mark.parametrize("token", [AWX_TOKEN, WRONG_AWX_TOKEN], ids=["well", "refused"])
def test_set_up_of_awx_shows_no_secret(tmp_path: Path, collections: Path, token: str) -> None:
    """Neither the playbook nor the modules of awx.awx show the token."""
    if not (AWX_COLLECTION / "ansible_collections").is_dir():
        pytest.skip("awx.awx is not installed (run make .cache/awx)")
    sandbox = AnsibleSandbox(tmp_path / "run", collections)
    names = {f"playbooks/{name}.yml" for name in PLAYBOOKS}
    with AwxStandIn(AWX_TOKEN, names) as awx:
        awx.add("organizations", name="Default")
        environ = {
            **switched_on(sandbox.folder),
            "CONTROLLER_HOST": awx.url,
            "CONTROLLER_OAUTH_TOKEN": token,
            "ANSIBLE_COLLECTIONS_PATH": f"{collections}:{AWX_COLLECTION}",
        }
        listened = run_playbook(sandbox, ["keysmith.mongodb.awx_setup"], environ)
    assert (listened.run.code == 0) is (token == AWX_TOKEN), listened.run.output
    assert "Invoked with " in listened.heard("syslog")
    check_planted(listened)
    hits = search(listened.places, {"the token of AWX": token})
    assert not hits, "\n".join(hits[:60])
