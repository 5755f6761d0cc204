# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role rotate_org_api_key: each state it may start from, each store, the playbook.

One ansible-playbook process runs all cases. Failures are in test_rotation_faults, interrupted runs
in test_rotation_interrupted.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from tests.emulator import Emulator
from tests.integration.playbook import Workshop
from tests.integration.rotations import (
    ABSENT,
    BEGUN,
    IMAGINED,
    LAST_YEAR,
    NEXT_YEAR,
    OLD,
    OWNER,
    ROTATED,
    UNTOUCHED,
    VAULT_PASSWORD,
    WAITING,
    Case,
    Ran,
    check_end,
    check_secrets,
    check_stored,
    check_words,
    rotate,
)
from tests.support import ROOT, key_id, key_pair, org_id, seed

pytestmark = pytest.mark.slow

BY_DESCRIPTION = {"api_user_id": "", "description": "<description>"}
OVERDUE, PROVED = f"old until {LAST_YEAR}", f"old until {NEXT_YEAR}"
SERVICE_ACCOUNT = 0
ROLE_FOLDER = ROOT / "roles" / "rotate_org_api_key"

STATES = [
    Case("atlas", (ROTATED, ABSENT)),
    # Its successor has the description then, so that each run is another rotation.
    Case(
        "by description",
        (ROTATED, ROTATED),
        options=BY_DESCRIPTION,
        old={"description": "[1] a.*b (x: ü"},
    ),
    # Before ansible-core 2.19 a template that gives one of these gives no text.
    Case("described by a list", old={"description": '[1,{"a":"b"}]'}),
    Case("described by a truth", old={"description": "True"}),
    Case("described by a template", old={"description": "{{ 1 + 1 }}"}),
    Case("long description", (UNTOUCHED,), ("179", "178"), old={"description": "d" * 179}),
    Case("no such id", (ABSENT,), has_old_key=False),
    Case(
        "no such description",
        (UNTOUCHED,),
        ("There is no API key",),
        options=BY_DESCRIPTION,
        has_old_key=False,
    ),
    Case("not named", (UNTOUCHED,), ("exactly one",), options={"api_user_id": ""}),
    Case("named twice", (UNTOUCHED,), ("exactly one",), options={"description": "<description>"}),
    Case(
        "ambiguous",
        (UNTOUCHED,),
        ("Several API keys",),
        options=BY_DESCRIPTION,
        successors=("",),
    ),
    # Of store tasks that come with the role, before a key is created.
    Case(
        "awx credential not answered",
        (UNTOUCHED,),
        ("needs rotate_org_api_key_awx_credential. Nothing was changed.",),
        options={"store_tasks": "store_awx.yml", "awx_credential": ""},
    ),
    Case(
        "awx inputs not resolved",
        (UNTOUCHED,),
        ("not resolved: platform. Nothing was changed.",),
        options={
            "store_tasks": "store_awx.yml",
            "awx_inputs": {"platform": {"__ansible_unsafe": "{{ lookup('env', 'X') }}"}},
        },
    ),
    Case(
        "awx not reachable",
        (UNTOUCHED,),
        ('credential "refused"', "has a credential for AWX itself", "AWX is not reachable."),
        options={"store_tasks": "store_awx.yml", "awx_credential": "refused"},
    ),
    Case("store tasks missing", (UNTOUCHED,), options={"store_tasks": "nonesuch.yml"}),
    Case("grace", (WAITING, WAITING), options={"grace_period": "86400"}),
    # What earlier runs have left.
    Case("left created and storing", successors=("created", "storing")),
    Case("left proved", (WAITING,), options=BY_DESCRIPTION, successors=(PROVED,)),
    Case("left overdue", successors=("storing", OVERDUE)),
    Case("left overdue by description", options=BY_DESCRIPTION, successors=(OVERDUE,)),
    Case("left to be named", (ROTATED, ABSENT), successors=(PROVED,), has_old_key=False),
    Case(
        "left to be named by description",
        options=BY_DESCRIPTION,
        successors=(OVERDUE,),
        has_old_key=False,
    ),
    Case(
        "left storing without an old key",
        (UNTOUCHED,),
        ("is gone", "storing"),
        successors=("storing",),
        has_old_key=False,
    ),
    # Its successor tells its id, and has the description that is asked for.
    Case(
        "renamed and overdue",
        options=BY_DESCRIPTION,
        old={"description": "[1] a.*b (x: ü"},
        successors=(OVERDUE,),
        renamed="it was a.*b",
    ),
    Case(
        "renamed within its grace period",
        (WAITING, WAITING),
        options=BY_DESCRIPTION,
        successors=(PROVED,),
        renamed="to be revoked",
    ),
    Case(
        "renamed before its successor was proved",
        options=BY_DESCRIPTION,
        successors=("created", "storing"),
        renamed="False",
    ),
    Case(
        "renamed own key overdue",
        (UNTOUCHED,),
        ("signs the requests", "the successor's pair"),
        options={**BY_DESCRIPTION, "allow_own_key": True},
        successors=(OVERDUE,),
        renamed="it signs",
        signer=OLD,
    ),
    Case("left two proved", (UNTOUCHED,), ("cannot be told",), successors=(OVERDUE, PROVED)),
    Case(
        "successor named",
        (UNTOUCHED,),
        ("Finish that rotation first",),
        options={"api_user_id": "<successor>"},
        successors=(PROVED,),
    ),
    # The key that signs.
    Case("own key", (UNTOUCHED,), ("signs the requests", "allow_own_key"), signer=OLD),
    Case(
        "own key allowed",
        options={"allow_own_key": "true"},
        old={"access_list": [], "projects": []},
        signer=OLD,
    ),
    Case(
        "own key with grace",
        (WAITING, WAITING),
        options={"allow_own_key": True, "grace_period": 86400},
        signer=OLD,
    ),
    Case(
        "own key overdue",
        (UNTOUCHED,),
        ("signs the requests", "the successor's pair"),
        options={"allow_own_key": True},
        successors=(OVERDUE,),
        signer=OLD,
    ),
    Case("own key overdue with the new pair", successors=(OVERDUE,), signer=BEGUN),
    Case("check", (IMAGINED, ROTATED), first={"check": True}),
    Case("check own key", (IMAGINED,), first={"check": True, "allow_own_key": True}, signer=OLD),
    Case("check left overdue", (IMAGINED,), first={"check": True}, successors=("created", OVERDUE)),
    Case(
        "check left created",
        (IMAGINED,),
        first={"check": True, "grace_period": 9},
        successors=("created", "storing"),
    ),
]
# With the other products, the other credential and what else is independent of the store.
VAULT, HASHI, AWX = STORES = [
    Case(
        "ansible vault on ops manager",
        options={"store_tasks": "store_ansible_vault.yml"},
        product="ops_manager",
    ),
    Case(
        "hashi vault on cloud manager",
        options={"store_tasks": "store_hashi_vault.yml"},
        product="cloud_manager",
        old={"description": "d" * 178},
    ),
    Case(
        "awx with a service account",
        options={"store_tasks": "store_awx.yml"},
        # It lets in other machines only.
        old={"access_list": ["192.0.2.0/24", "2001:db8::1"]},
        signer=SERVICE_ACCOUNT,
    ),
]
CASES = {case.name: case for case in [*STATES, *STORES]}
RUNS = [
    pytest.param(case, run, id=f"{case}-{run + 1}")
    for case in CASES.values()
    for run in range(len(case.ends))
]
STORED = [case for case in STATES if case.ends[-1] == ROTATED and not set(case.successors) & {
    OVERDUE, PROVED
}]  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Iterator[Ran]:
    with rotate(list(CASES.values()), tmp_path_factory.mktemp("rotation"), collections) as done:
        yield done


@pytest.mark.parametrize(("case", "run"), RUNS)
def test_a_run_ends_as_it_should(ran: Ran, case: Case, run: int) -> None:
    check_end(ran, case, run)


@pytest.mark.parametrize("case", [case for case in STATES if case.words], ids=str)
def test_a_refusal_says_why(ran: Ran, case: Case) -> None:
    check_words(ran, case)


@pytest.mark.parametrize("case", STORED, ids=str)
def test_the_stored_pair_is_that_of_the_successor(ran: Ran, case: Case) -> None:
    check_stored(ran, case)


def test_ansible_vault_can_read_what_was_stored(ran: Ran, tmp_path: Path) -> None:
    # In a process of its own: a process that has loaded Ansible's controller warns otherwise.
    path, password = ran.files / f"{VAULT}.json", tmp_path / "password"
    password.write_text(VAULT_PASSWORD, "utf-8")
    command = [sys.executable, "-m", "ansible", "vault", "view", str(path)]
    view = subprocess.run(
        [*command, "--vault-password-file", str(password)],
        env={**os.environ, "PAGER": "cat", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
        text=True,
    )
    variables = yaml.safe_load(view.stdout)
    (key,) = ran.left(VAULT, 0)
    assert variables["mongodb_api_key"]["api_user_id"] == key["id"]
    assert variables["mongodb_api_key"]["private_key"] == key["private_key"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_hashi_vault_gets_the_pair(ran: Ran) -> None:
    (key,) = ran.left(HASHI, 0)
    given = json.loads((ran.files / "hashi.json").read_text("utf-8"))
    assert (given["engine_mount_point"], given["path"]) == ("secret", "mongodb/key")
    assert given["data"]["private_key"] == key["private_key"]
    assert given["data"]["api_user_id"] == key["id"]


def test_awx_gets_the_pair(ran: Ran) -> None:
    (key,) = ran.left(AWX, 0)
    given = json.loads((ran.files / "awx.json").read_text("utf-8"))
    pair = {"public_key": key["public_key"], "private_key": key["private_key"]}
    # AWX takes these for all inputs there are.
    assert given["inputs"] == {"platform": "atlas", **pair}
    names = ("name", "credential_type", "organization", "update_secrets")
    assert [given[name] for name in names] == ["the key", "MongoDB key", "Default", True]


def test_grace_period_is_noted_on_the_successor(ran: Ran) -> None:
    case = CASES["grace"]
    (noted,) = [
        found.group(1)
        for key in ran.left(case, 0)
        if (found := re.search(r": old until (.*)\)$", key["description"]))
    ]
    assert ran.told(case, 0)["old_until"] == ran.told(case, 1)["old_until"] == noted
    end = datetime.strptime(noted, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    left = end - datetime.now(timezone.utc)
    assert timedelta(hours=23) < left <= timedelta(hours=24)


def test_a_successor_that_nobody_saw_goes_first_and_one_that_may_be_in_use_last(ran: Ran) -> None:
    case = CASES["left created and storing"]
    organization = ran.organizations[case.host]
    written = [write.rpartition("/apiKeys/")[2] for write in ran.written(case, 0)]
    unseen, in_use = organization.key_id(BEGUN), organization.key_id(BEGUN + 1)
    assert written[0] == unseen
    # After them the successor gets its description.
    assert written[-3:-1] == [in_use, organization.key_id(OLD)]
    assert [w.partition(" ")[0] for w in ran.written(case, 0)].count("POST") == 4


def test_the_new_pair_revokes_the_key_that_made_it(ran: Ran) -> None:
    case = CASES["own key allowed"]
    organization = ran.organizations[case.host]
    deleted = next(w for w in ran.writes[0] if w.path.endswith(organization.key_id(OLD)))
    assert deleted.method == "DELETE"
    assert deleted.caller == ran.left(case, 0)[0]["public_key"]


def test_no_private_key_is_shown(ran: Ran) -> None:
    check_secrets(ran)


@pytest.mark.each_core
def test_playbook_takes_the_answers_of_a_survey(tmp_path: Path, collections: Path) -> None:
    """Questions left unanswered are empty strings; the connection is in the environment."""
    # A text, whatever it looks like.
    organization = Case("playbook", old={"description": "[1,2]"}).organization(0)
    workshop = Workshop(tmp_path / "run", collections)
    file = tmp_path / "pair.json"
    answers = {
        "org_id": organization.org_id,
        "api_user_id": "",
        "description": organization.description,
        "grace_period": "",
        "allow_own_key": "",
        "store_tasks": "",
        "rotate_org_api_key_file": str(file),
    }
    pair = organization.pair(OWNER)
    with Emulator({"organizations": [organization.seed()]}) as emulator:
        environ = {
            "MONGODB_ATLAS_PUBLIC_API_KEY": pair["api_public_key"],
            "MONGODB_ATLAS_PRIVATE_API_KEY": pair["api_private_key"],
            "MONGODB_ATLAS_BASE_URL": emulator.url,
        }
        command = ["-m", "ansible", "playbook", "keysmith.mongodb.rotate_org_api_key"]
        run = workshop.python(*command, "-e", json.dumps(answers), environ=environ)
        left = emulator.state.organizations[organization.org_id].api_keys.values()
    assert run.code == 0, run.output
    (key,) = [key for key in left if key.description == organization.description]
    assert json.loads(file.read_text("utf-8"))["private_key"] == key.private_key
    assert key.private_key not in run.output


@pytest.mark.each_core
def test_play_in_the_readme_of_the_role_runs(tmp_path: Path, collections: Path) -> None:
    readme = (ROLE_FOLDER / "README.md").read_text("utf-8")
    playbook = tmp_path / "readme.yml"
    playbook.write_text(readme.partition("```yaml\n")[2].partition("```")[0], "utf-8")
    organization = Case("readme").organization(0)
    variables = {
        "atlas_public_key": organization.pair(OWNER)["api_public_key"],
        "atlas_private_key": organization.pair(OWNER)["api_private_key"],
        "org_id": organization.org_id,
        "api_user_id": organization.key_id(OLD),
        "credentials_file": str(tmp_path / "pair.json"),
    }
    workshop = Workshop(tmp_path / "run", collections)
    with Emulator({"organizations": [organization.seed()]}) as emulator:
        run = workshop.python(
            *("-m", "ansible", "playbook", str(playbook), "-e", json.dumps(variables)),
            environ={"MONGODB_ATLAS_BASE_URL": emulator.url},
        )
        left = emulator.state.organizations[organization.org_id].api_keys.values()
    assert run.code == 0, run.output
    assert len([key for key in left if ": old until " in key.description]) == 1
    assert organization.key_id(OLD) in {key.id for key in left}


def test_readme_of_the_role_names_every_variable() -> None:
    specs = yaml.safe_load((ROLE_FOLDER / "meta" / "argument_specs.yml").read_text("utf-8"))
    options = specs["argument_specs"]["main"]["options"]
    readme = (ROLE_FOLDER / "README.md").read_text("utf-8")
    assert not [name for name in options if f"`{name}`" not in readme]
    defaults = yaml.safe_load((ROLE_FOLDER / "defaults" / "main.yml").read_text("utf-8"))
    assert {
        name: spec["default"] for name, spec in options.items() if "default" in spec
    } == defaults


def test_a_successor_whose_private_key_is_not_known_is_never_counted_as_one(
    tmp_path: Path, collections: Path
) -> None:
    """Nothing is revoked for it: here a default of the play has kept the pair elsewhere."""
    with Emulator(seed()) as emulator:
        connection = {"base_url": emulator.url, "org_id": org_id("atlas"), **key_pair("atlas")}
        play = {
            "hosts": "localhost",
            "module_defaults": {
                "group/keysmith.mongodb.all": connection,
                "keysmith.mongodb.org_api_key": {"credentials_file": str(tmp_path / "pair.json")},
            },
            "roles": [
                {
                    "role": "keysmith.mongodb.rotate_org_api_key",
                    "vars": {
                        "rotate_org_api_key_api_user_id": key_id("atlas", 2),
                        "rotate_org_api_key_store_tasks": "store_file.yml",
                        "rotate_org_api_key_file": str(tmp_path / "stored.json"),
                    },
                }
            ],
        }
        keys = emulator.state.organizations[org_id("atlas")].api_keys
        before = set(keys)
        run = Workshop(tmp_path / "run", collections).playbook([play])
        assert run.code == 2
        assert "its private key is not known here" in run.output
        assert "was revoked again. The old key works as before." in run.output, run.output
        assert set(keys) == before
    assert not (tmp_path / "stored.json").exists()


def test_what_is_no_id_is_refused(tmp_path: Path, collections: Path) -> None:
    """It would be found missing, and look like a rotation that is over."""
    names = ["ABC", key_id("atlas", 2).upper(), "akeyaaac", ".*", " ", key_id("atlas", 2) + "\n"]
    hosts = {f"host{number}": {"named": name} for number, name in enumerate(names)}
    variables = {
        "rotate_org_api_key_api_user_id": "{{ named }}",
        "rotate_org_api_key_store_tasks": "store_file.yml",
    }
    role = {"role": "keysmith.mongodb.rotate_org_api_key", "vars": variables}
    with Emulator(seed()) as emulator:
        connection = {"base_url": emulator.url, "org_id": org_id("atlas"), **key_pair("atlas")}
        defaults = {"group/keysmith.mongodb.all": connection}
        play = {"hosts": "all", "module_defaults": defaults, "roles": [role]}
        run = Workshop(tmp_path / "run", collections).playbook([play], hosts=hosts)
        assert emulator.requests == []
    for host in hosts:
        refused = run.result(
            "keysmith.mongodb.rotate_org_api_key : Refuse what names no key, or two", host
        )
        assert "24 hexadecimal digits" in refused.msg


def test_a_key_without_a_description_is_refused(tmp_path: Path, collections: Path) -> None:
    data = seed()
    data["organizations"][0]["api_keys"][1] |= {"description": "", "unset": ["desc"]}
    variables = {
        "rotate_org_api_key_api_user_id": key_id("atlas", 2),
        "rotate_org_api_key_store_tasks": "store_file.yml",
        "rotate_org_api_key_file": str(tmp_path / "stored.json"),
    }
    role = {"role": "keysmith.mongodb.rotate_org_api_key", "vars": variables}
    with Emulator(data) as emulator:
        connection = {"base_url": emulator.url, "org_id": org_id("atlas"), **key_pair("atlas")}
        defaults = {"group/keysmith.mongodb.all": connection}
        play = {"hosts": "localhost", "module_defaults": defaults, "roles": [role]}
        run = Workshop(tmp_path / "run", collections).playbook([play])
        assert run.code == 2
        assert emulator.writes == []
    assert "has no description" in " ".join(run.output.split())
