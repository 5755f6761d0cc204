# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role rotate_org_api_key and its playbook, as real plays.

The states of a rotation, faults and attacks are those of the module org_api_key_rotation, whose
tests need no process. One ansible-playbook process runs all cases of ``CASES``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.emulator import Emulator, Fault
from tests.integration.playbook import GROUP, ROTATION, AnsibleSandbox, Finished, from_variables
from tests.integration.rotations import (
    ABSENT,
    BEGUN,
    IMAGINED,
    LEFT,
    OLD,
    OWNER,
    ROLE,
    ROLLED_BACK,
    ROTATED,
    STORE,
    UNKNOWN,
    UNTOUCHED,
    VAULT_PASSWORD,
    WAITING,
    Case,
    Organization,
    Ran,
    Step,
    check_end,
    check_message,
    check_secrets,
    check_stored,
    rotate,
)
from tests.support import ROOT, fetch_token

pytestmark = pytest.mark.slow

ROLE_FOLDER = ROOT / "roles" / "rotate_org_api_key"
KEYS, KEY = "*/orgs/{org_id}/apiKeys", "*/orgs/{org_id}/apiKeys/*"
BY_DESCRIPTION = {"api_user_id": "", "description": "<description>"}
BREAKING = {"store_tasks": "<tasks>/store.yml", "is_broken": "public_key"}
NO_ROLL_BACK = (Step("DELETE", KEY),)
SERVICE_ACCOUNT = 0

WHOLE = [
    Case("atlas", (ROTATED, ABSENT)),
    # The replacement gets the description, so each run is a new rotation.
    Case(
        "by description", (ROTATED, ROTATED), options=BY_DESCRIPTION, old={"description": "[1,2]"}
    ),
    Case("described by a template", old={"description": "{{ 1 + 1 }}"}),
]
GRACE = [
    Case("grace", (WAITING, WAITING), options={"grace_period": "86400"}),
    # The second run is after the grace period and has no key pair.
    Case("short grace", (WAITING, ROTATED), options={"grace_period": 1}),
]
FAILING = [
    Case("broken store", (ROLLED_BACK,), ('task "Break" failed',), BREAKING),
    Case(
        "broken store and failed rollback",
        (LEFT,),
        ('task "Break" failed', "could not be revoked", "EMULATED"),
        first=BREAKING,
        steps=NO_ROLL_BACK,
    ),
    # The task has no_log, and the module's own message contains no secrets.
    Case("not created", (ROLLED_BACK,), ("EMULATED",), steps=(Step("POST", KEYS),)),
    Case(
        "not verified",
        (ROLLED_BACK,),
        ("could not be replaced", "did not accept the key pair", "was revoked", "Restore"),
        options={"verify_timeout": 2},
        steps=(
            # Requests of phase finish only: phase begin would not hand the key pair over.
            Step("GET", KEY, 1, 99, by_new_pair=True, arguments=UNKNOWN),
        ),
    ),
    # The response is lost, and the created key cannot be looked up.
    Case(
        "possibly created",
        (LEFT,),
        ("A replacement may exist. The old key works as before. Run the role again",),
        steps=(
            Step("POST", KEYS, name="lost_after", arguments={}),
            Step("GET", KEYS, 2, 99),
        ),
    ),
    Case(
        "verified and not revoked",
        (LEFT, ROTATED),
        (
            "Run the role again",
            "If the old key is the signing credential, authenticate with the new key pair.",
        ),
        options={"allow_own_key": True},
        steps=NO_ROLL_BACK,
    ),
    Case(
        "verified by another run",
        (LEFT, WAITING),
        ("could not be revoked", "Run the role again."),
        options={"grace_period": 86400},
        first={"store_tasks": "<tasks>/verify.yml"},
    ),
]
STORES = [
    Case(
        "ansible vault on ops manager",
        options={"store_tasks": "store_ansible_vault.yml"},
        product="ops_manager",
    ),
    Case(
        "hashi vault on cloud manager",
        options={"store_tasks": "store_hashi_vault.yml"},
        product="cloud_manager",
    ),
    Case(
        "awx with a service account",
        options={"store_tasks": "store_awx.yml"},
        # Its access list allows other machines only.
        old={"access_list": ["192.0.2.0/24", "2001:db8::1"]},
        credential_name=SERVICE_ACCOUNT,
    ),
]
VAULT, HASHI, AWX = STORES
OWN = [
    Case("own key", (UNTOUCHED,), ("allow_own_key",), credential_name=OLD),
    Case(
        "signing credential allowed",
        options={"allow_own_key": "true"},
        old={"access_list": [], "projects": []},
        credential_name=OLD,
    ),
    # The mark is made with the new private key.
    Case(
        "signing credential with grace",
        (WAITING, UNTOUCHED),
        options={"allow_own_key": True, "grace_period": 86400},
        credential_name=OLD,
    ),
]
CHECK = [
    Case("check", (IMAGINED,), first={"check": True}),
    # The grace period has ended, and only check mode prevents the revocation.
    Case(
        "check mode after the grace period",
        (WAITING, IMAGINED),
        options={"grace_period": 1, "check": True},
        first={"check": False},
    ),
]
FILE = "/nonexistent/of/keysmith"
REFUSED = [
    Case(
        "no directory",
        (UNTOUCHED,),
        ("on the target: the directory /nonexistent/of does not",),
        {"file": FILE},
    ),
    Case("no file", (UNTOUCHED,), ("needs rotate_org_api_key_file",), {"file": ""}),
    Case("a directory", (UNTOUCHED,), ("it is a directory",), {"file": "<tasks>"}),
    Case("no directory either", (UNTOUCHED,), ("is not a directory",), {"file": f"{__file__}/x"}),
    Case(
        "no awx credential",
        (UNTOUCHED,),
        ("needs rotate_org_api_key_awx_credential. Nothing was changed.",),
        {"store_tasks": "store_awx.yml", "awx_credential": ""},
    ),
    Case(
        "awx inputs not resolved",
        (UNTOUCHED,),
        ("not resolved: platform. Nothing was changed.",),
        {
            "store_tasks": "store_awx.yml",
            "awx_inputs": {"platform": {"__ansible_unsafe": "{{ lookup('env', 'X') }}"}},
        },
    ),
    Case(
        "awx not reachable",
        (UNTOUCHED,),
        ('credential "refused"', "has a credential for AWX itself", "AWX is not reachable."),
        {"store_tasks": "store_awx.yml", "awx_credential": "refused"},
    ),
    Case("no store tasks", (UNTOUCHED,), options={"store_tasks": "nonesuch.yml"}),
    Case("no key", (UNTOUCHED,), ("exactly one",), options={"api_user_id": ""}),
    Case("long description", (UNTOUCHED,), ("148",), old={"description": "d" * 149}),
    # A mark of 1.2.x, or someone else's mark.
    Case("foreign mark", (UNTOUCHED,), ("do not verify",), successors=("storing",)),
]
CASES = [*WHOLE, *GRACE, *FAILING, *STORES, *OWN, *CHECK, *REFUSED]
NAMED = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Iterator[Ran]:
    with rotate(CASES, tmp_path_factory.mktemp("rotation"), collections) as done:
        yield done


def check(ran: Ran, cases: list[Case]) -> None:
    for case in cases:
        for run in range(len(case.ends)):
            check_end(ran, case, run)
        check_message(ran, case)


def test_key_is_rotated(ran: Ran) -> None:
    check(ran, WHOLE)
    for case in WHOLE:
        check_stored(ran, case)
    check_secrets(ran)
    # Tasks that run a module.
    control = ("Validating", "Reset", "Claim", "Show", "Record", "Report", "Clear", "Rotate")
    done = [
        result.task.rpartition(" : ")[2]
        for result in ran.results(NAMED["atlas"], 0)
        if result.status != "skipped" and "include" not in result.values
    ]
    calls = [task for task in done if not task.startswith(control)]
    assert len(calls) <= 8, calls
    assert "Show how long this may take" in done
    (backup,) = ran.files.glob("by-description.json.*~")
    assert backup.stat().st_mode & 0o777 == 0o600


def test_old_key_is_kept_for_the_grace_period(ran: Ran) -> None:
    check(ran, GRACE)
    case = NAMED["grace"]
    first, second = ran.outcome(case, 0), ran.outcome(case, 1)
    assert first == second
    deadline = datetime.strptime(first["old_until"], "%Y-%m-%dT%H:%M:%SZ").replace(
        tzinfo=timezone.utc
    )
    left = deadline - datetime.now(timezone.utc)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    # A run in the grace period changes nothing. A run after it has no key pair to store.
    assert ran.written(case, 1) == []
    assert not list(ran.files.glob("short-grace.json.*~"))
    done = {r.task for r in ran.results(NAMED["short grace"], 1) if r.status != "skipped"}
    assert f"{ROLE} : Revoke the old key after the grace period" in done
    assert f"{ROLE} : Create the replacement" not in done


def test_failure_is_rolled_back(ran: Ran, tmp_path: Path, collections: Path) -> None:
    check(ran, FAILING)
    for case in FAILING:
        outcome = ran.outcome(case, 0)
        assert "no store for" not in outcome["msg"]
        # Only if the replacement may be in use, which the next run cannot find out.
        is_unknown = case.name == "broken store and failed rollback"
        assert ("creates another replacement" in outcome["msg"]) is is_unknown
        # Programs use these results.
        kind = (outcome["error"] or {"type": ""})["type"]
        kinds = {
            "not created": "api",
            "not verified": "timeout",
            "possibly created": "orphan",
            "verified and not revoked": "api",
        }
        assert kind == kinds.get(case.name, "")
        exists = {key["id"] for key in ran.left(case, 0)}
        is_known = case.ends[0] == LEFT and kind != "orphan"
        assert (outcome["api_user_id"] in exists) is is_known
    _failure_of_another_host(tmp_path, collections)


def _failure_of_another_host(folder: Path, collections: Path) -> None:
    """With any_errors_fatal, it stops the play on hosts without a failure."""
    names = ("one", "two")
    organizations = {n: Case(f"fatal {n}").organization(i) for i, n in enumerate(names)}
    tasks = folder / "store.yml"
    tasks.write_text(STORE, "utf-8")
    seed = {"organizations": [o.seed() for o in organizations.values()]}
    with Emulator(seed) as emulator:
        two = organizations["two"]
        path = f"*/orgs/{two.org_id}/apiKeys/{two.key_id(OLD)}"
        emulator.add_fault(Fault("status", "DELETE", path, status=400, code="EMULATED"))
        hosts = {
            name: {
                "of": connection(organization, emulator.url),
                "old_id": organization.key_id(OLD),
                "break_store": "public_key" if name == "two" else "",
            }
            for name, organization in organizations.items()
        }

        def play(is_broken: str) -> dict[str, Any]:
            rotate = include(
                api_user_id="{{ old_id }}",
                store_tasks=str(tasks),
                file=f"{folder}/{{{{ inventory_hostname }}}}.json",
            )
            rotate["vars"]["is_broken"] = is_broken
            # No earlier failure is reported.
            earlier = {"name": "Earlier", "ansible.builtin.fail": {"msg": "earlier"}}
            rescued = {"block": [earlier], "rescue": [{"ansible.builtin.debug": {}}]}
            return {
                "hosts": "all",
                "any_errors_fatal": True,
                "module_defaults": {
                    GROUP: from_variables(
                        ("base_url", "org_id", "api_public_key", "api_private_key"), "of"
                    )
                },
                "tasks": [rescued, rotate],
            }

        runs = [
            AnsibleSandbox(folder / f"fatal{n}", collections).playbook([play(broken)], hosts=hosts)
            for n, broken in enumerate(("{{ break_store }}", ""))
        ]
    outcome = {
        (host, n): run.result(f"{ROLE} : Record the result", host).values["ansible_facts"][
            "rotate_org_api_key_result"
        ]
        for host in names
        for n, run in enumerate(runs)
    }
    states = {place: result["state"] for place, result in outcome.items()}
    assert states == {
        ("one", 0): "rolled_back",
        ("two", 0): "rolled_back",
        ("one", 1): "rotated",
        ("two", 1): "failed",
    }
    ended = "The play was stopped on this host because another host failed (any_errors_fatal)."
    assert outcome["one", 0]["msg"].startswith(f"{ended} The new API key ")
    assert outcome["one", 1]["msg"] == (
        f"{ended} The old API key is revoked, and its replacement has its description."
    )
    assert 'store task "Break" failed' in outcome["two", 0]["msg"]
    assert "Run the role again to finish the rotation." in outcome["two", 1]["msg"]


def test_key_pair_is_stored_by_tasks_of_the_user(ran: Ran, tmp_path: Path) -> None:
    check(ran, STORES)
    # In a separate process, because a process that has loaded Ansible's controller gives a warning.
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
    stored = yaml.safe_load(view.stdout)["mongodb_api_key"]
    (key,) = ran.left(VAULT, 0)
    assert (stored["api_user_id"], stored["private_key"]) == (key["id"], key["private_key"])
    assert path.stat().st_mode & 0o777 == 0o600

    (key,) = ran.left(HASHI, 0)
    given = json.loads((ran.files / "hashi.json").read_text("utf-8"))
    assert (given["engine_mount_point"], given["path"]) == ("secret", "mongodb/key")
    assert given["data"]["private_key"] == key["private_key"]
    assert given["data"]["api_user_id"] == key["id"]

    (key,) = ran.left(AWX, 0)
    given = json.loads((ran.files / "awx.json").read_text("utf-8"))
    pair = {"public_key": key["public_key"], "private_key": key["private_key"]}
    # These replace all inputs in AWX.
    assert given["inputs"] == {"platform": "atlas", **pair}
    names = ("name", "credential_type", "organization", "update_secrets")
    assert [given[name] for name in names] == ["the key", "MongoDB key", "Default", True]


def test_signing_credential_is_rotated_if_allowed(
    ran: Ran, tmp_path: Path, collections: Path
) -> None:
    check(ran, OWN)
    message = ran.outcome(NAMED["signing credential with grace"], 1)["failed"]
    assert "use the new key pair" in message
    case = NAMED["signing credential allowed"]
    old_id = ran.organizations[case.host].key_id(OLD)
    deleted = next(w for w in ran.writes[0] if w.path.endswith(old_id))
    assert deleted.method == "DELETE"
    assert deleted.caller == ran.left(case, 0)[0]["public_key"]

    # The play reads its credentials from the file in which the role stores them.
    organization = Case("reading").organization(0)
    file = tmp_path / "pair.json"
    pair = organization.pair(OLD)
    file.write_text(json.dumps({k.replace("api_", ""): v for k, v in pair.items()}), "utf-8")
    read = f"{{{{ (lookup('ansible.builtin.file', '{file}') | from_json).%s }}}}"
    with Emulator({"organizations": [organization.seed()]}) as emulator:
        signing = {
            **connection(organization, emulator.url),
            "api_public_key": read % "public_key",
            "api_private_key": read % "private_key",
        }
        task = include(
            api_user_id=organization.key_id(OLD),
            file=str(file),
            allow_own_key=True,
            grace_period=1,
        )
        play = {"hosts": "localhost", "module_defaults": {GROUP: signing}, "tasks": [task]}
        wait = {"hosts": "localhost", "tasks": [{"ansible.builtin.wait_for": {"timeout": 2}}]}
        run = AnsibleSandbox(tmp_path / "run", collections).playbook([play, wait, play])
        left = emulator.state.organizations[organization.org_id].api_keys
    assert run.code == 0, run.output
    outcome = [r for r in run.results if r.task == f"{ROLE} : Report the result"]
    states = [r.values["rotate_org_api_key_result"]["state"] for r in outcome]
    assert states == ["waiting", "rotated"]
    assert organization.key_id(OLD) not in left
    assert len(left) == 2


def test_check_mode_writes_nothing(ran: Ran) -> None:
    check(ran, CHECK)
    for case in CHECK:
        outcome = ran.outcome(case, len(case.ends) - 1)
        assert outcome["msg"].startswith("In check mode, nothing was changed; a real run would end")
        assert outcome["state"] == "rotated"
    assert not (ran.files / "check.json").exists()


def test_failure_before_a_key_is_created(ran: Ran, tmp_path: Path, collections: Path) -> None:
    check(ran, REFUSED)
    # Since ansible-core 2.19, a missing collection stops the whole play.
    organization = Case("no collection").organization(0)
    tasks = tmp_path / "unknown.yml"
    tasks.write_text("- keysmith.missing.module:\n", "utf-8")
    with Emulator({"organizations": [organization.seed()]}) as emulator:
        play = {
            "hosts": "localhost",
            "module_defaults": {GROUP: connection(organization, emulator.url)},
            "tasks": [include(api_user_id=organization.key_id(OLD), store_tasks=str(tasks))],
        }
        run = AnsibleSandbox(tmp_path / "run", collections).playbook([play])
        assert emulator.writes == []
    assert run.code != 0
    assert "keysmith.missing.module" in run.output


def connection(organization: Organization, url: str) -> dict[str, str]:
    return {"base_url": url, "org_id": organization.org_id, **organization.pair(OWNER)}


def include(**variables: Any) -> dict[str, Any]:
    """Return a task that runs the role."""
    options = {f"rotate_org_api_key_{name}": value for name, value in variables.items()}
    return {
        "name": "Rotate",
        "ansible.builtin.include_role": {"name": ROLE},
        "vars": {"rotate_org_api_key_store_tasks": "store_file.yml", **options},
    }


HOSTS = ("one", "two")
OTHER = "other"
# The keywords of a play, and the host of HOSTS that rotates the key, None for any one or none.
PLAYS: dict[str, tuple[dict[str, Any], set[str] | None]] = {
    "linear": ({}, set()),
    # The first host finishes before the others start, and the others still fail.
    "serial": ({"serial": 1}, {"one"}),
    "free": ({"strategy": "free"}, None),
    # All hosts of the play get registered results.
    "once": ({"run_once": True}, {"one"}),
}


def test_one_host_rotates_each_key(tmp_path: Path, collections: Path) -> None:
    """HOSTS run the role for one key, and OTHER runs it for its own key."""
    names = [*HOSTS, OTHER]
    every = {
        name: [Case(f"{name} {n}").organization(10 * m + n) for n in range(2)]
        for m, name in enumerate(PLAYS)
    }
    seed = {"organizations": [o.seed() for found in every.values() for o in found]}
    with Emulator(seed) as emulator:
        hosts: dict[str, dict[str, Any]] = {name: {"of": {}} for name in names}
        plays = []
        for name, (keywords, _rotating) in PLAYS.items():
            shared, others = every[name]
            for host, organization in zip(names, (shared, shared, others)):
                by_id = host == "two"
                hosts[host]["of"][name] = {
                    **connection(organization, emulator.url),
                    "target_id": organization.key_id(OLD) if by_id else "",
                    "target": "" if by_id else organization.description,
                }
            task = include(
                api_user_id=f"{{{{ of.{name}.target_id }}}}",
                description=f"{{{{ of.{name}.target }}}}",
                file=f"{tmp_path}/{name}.{{{{ inventory_hostname }}}}.json",
            )
            # The next play must run after a failure.
            task = {"block": [task], "rescue": [{"ansible.builtin.debug": {}}], **keywords}
            options = ("base_url", "org_id", "api_public_key", "api_private_key")
            play: dict[str, Any] = {
                "hosts": "all" if name != "once" else ":".join(HOSTS),
                "module_defaults": {GROUP: from_variables(options, f"of.{name}")},
                "tasks": [task],
            }
            for keyword in ("serial", "strategy"):
                if keyword in task:
                    play[keyword] = task.pop(keyword)
            plays.append(play)
        done = AnsibleSandbox(tmp_path / "run", collections).playbook(
            plays, "--forks=5", hosts=hosts
        )
        keys = {
            number: list(organization.api_keys.values())
            for number, organization in emulator.state.organizations.items()
        }
    for name, (_keywords, rotating) in PLAYS.items():
        stored = {path.stem.split(".")[1] for path in tmp_path.glob(f"{name}.*.json")}
        if rotating is None:
            assert len(stored & set(HOSTS)) <= 1
        else:
            assert stored & set(HOSTS) == rotating, f"{name}\n{done.output}"
        assert stored - set(HOSTS) == (set() if name == "once" else {OTHER})
        for organization in every[name]:
            # No stored key pair was revoked, and the pair of each key was stored.
            assert len(keys[organization.org_id]) == 2
            (key,) = [k for k in keys[organization.org_id] if k.id != organization.key_id(OWNER)]
            assert key.description == organization.description
            files = [
                json.loads(path.read_text("utf-8")) for path in tmp_path.glob(f"{name}.*.json")
            ]
            mine = [file for file in files if file["org_id"] == organization.org_id]
            assert [file["api_user_id"] for file in mine] == (
                [] if key.id == organization.key_id(OLD) else [key.id]
            )
    refused = [r for r in done.results if r.failed and "several hosts" in r.msg]
    assert len(refused) >= 2 + 1 + 1
    assert all("one, two" in r.msg for r in refused[:2])


def test_leftovers_of_other_runs_are_reported(tmp_path: Path, collections: Path) -> None:
    """A run was killed while it stored the key pair, and other keys look like replacements."""
    organization = Case("left", successors=("storing",)).organization(0)
    with Emulator({"organizations": [organization.seed()]}) as emulator:
        begin = {
            "name": "Begin",
            ROTATION: {
                "phase": "begin",
                "api_user_id": organization.key_id(OLD),
                "ignore_marks": True,
            },
            "register": "begun",
            "no_log": True,
        }
        play = {
            "hosts": "localhost",
            "module_defaults": {GROUP: connection(organization, emulator.url)},
            "tasks": [
                begin,
                include(
                    api_user_id=organization.key_id(OLD),
                    ignore_marks=True,
                    file=str(tmp_path / "pair.json"),
                    # The deprecated variables still work.
                    proof_retries=20,
                    proof_delay=3,
                ),
            ],
        }
        run = AnsibleSandbox(tmp_path / "run", collections).playbook(
            [play], environ={"ANSIBLE_DEPRECATION_WARNINGS": "1"}
        )
        keys = emulator.state.organizations[organization.org_id].api_keys
    assert run.code == 0, run.output
    outcome = run.result(f"{ROLE} : Report the result").values["rotate_org_api_key_result"]
    reasons = {key["id"]: key["reason"] for key in outcome["left"]}
    assert reasons.pop(organization.key_id(BEGUN)) == "unverified_mark"
    assert list(reasons.values()) == ["may_be_in_use"]
    assert {*reasons, organization.key_id(BEGUN), outcome["api_user_id"]} < set(keys)
    said = " ".join(run.output.split())
    assert "up to 60 s (rotate_org_api_key_verify_timeout)" in said
    assert "The variable rotate_org_api_key_proof_delay is deprecated." in said


@pytest.mark.each_core
def test_playbook_and_play_of_the_readme_rotate_a_key(tmp_path: Path, collections: Path) -> None:
    """Unanswered questions are empty or null. The token cannot make marks."""
    _play_of_the_readme(tmp_path / "readme", collections)
    organization = Case("playbook", old={"description": "[1,2]"}).organization(0)
    file = tmp_path / "pair.json"
    answers: dict[str, Any] = {
        "org_id": organization.org_id,
        "api_user_id": "",
        "description": organization.description,
        "grace_period": "",
        "allow_own_key": None,
        "store_tasks": "",
        "rotate_org_api_key_file": str(file),
    }
    with Emulator({"organizations": [organization.seed()]}) as emulator:
        token = fetch_token(emulator.url, **organization.account())
        environ = {"MONGODB_ATLAS_ACCESS_TOKEN": token, "MONGODB_ATLAS_BASE_URL": emulator.url}
        runs = [
            _playbook(tmp_path / name, collections, {**answers, **more}, environ)
            for name, more in (
                ("without", {}),
                ("with", {"rotate_org_api_key_mark_key": "canary of the mark key"}),
            )
        ]
        left = emulator.state.organizations[organization.org_id].api_keys.values()
    without, run = runs
    assert without.code == 2
    assert "Set mark_key" in " ".join(without.output.split())
    assert run.code == 0, run.output
    (key,) = [key for key in left if key.description == organization.description]
    assert json.loads(file.read_text("utf-8"))["private_key"] == key.private_key
    for secret in (key.private_key, token, "canary of the mark key"):
        assert secret not in run.output
    _store_tasks_that_do_not_run(tmp_path, collections)


def _store_tasks_that_do_not_run(folder: Path, collections: Path) -> None:
    """The old key is kept if the store tasks are skipped or fail on another host."""
    organization = Case("not stored").organization(0)
    tasks = folder / "delegated.yml"
    store = {"ansible.builtin.command": "true", "delegate_to": "web1", "tags": "restart"}
    tasks.write_text(json.dumps([{"name": "Restart", **store}]), "utf-8")
    # The playbook runs on this machine, whatever the inventory says about localhost.
    hosts = {
        "localhost": {"ansible_connection": "ssh", "ansible_host": "192.0.2.1"},
        "web1": {"ansible_connection": "keysmith.missing.connection"},
    }
    hosts["localhost"]["ansible_python_interpreter"] = "/nonexistent/python"
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}), "utf-8")
    answers = {
        "org_id": organization.org_id,
        "api_user_id": organization.key_id(OLD),
        "store_tasks": str(tasks),
    }
    with Emulator({"organizations": [organization.seed()]}) as emulator:
        pair = organization.pair(OWNER)
        environ = {
            "MONGODB_ATLAS_PUBLIC_API_KEY": pair["api_public_key"],
            "MONGODB_ATLAS_PRIVATE_API_KEY": pair["api_private_key"],
            "MONGODB_ATLAS_BASE_URL": emulator.url,
        }
        options = ["-i", str(inventory)]
        skipping = [*options, "--skip-tags", "restart"]
        refused = _playbook(folder / "skipped", collections, answers, environ, *skipping)
        assert emulator.writes == []
        failed = _playbook(folder / "delegated", collections, answers, environ, *options)
        created = [write for write in emulator.writes if write.path.endswith("/apiKeys")]
        left = emulator.state.organizations[organization.org_id].api_keys
    assert refused.code == 2, refused.output
    assert "Run the role without --skip-tags." in " ".join(refused.output.split())
    assert failed.code == 2, failed.output
    outcome = failed.result(f"{ROLE} : Report the failure and what exists now").msg
    assert 'store task "Restart" failed' in outcome
    assert "was revoked, and the old key works as before" in outcome
    assert len(created) == 1
    assert set(left) == {organization.key_id(OWNER), organization.key_id(OLD)}


def _playbook(
    folder: Path,
    collections: Path,
    answers: Mapping[str, Any],
    environ: Mapping[str, str],
    *arguments: str,
) -> Finished:
    sandbox = AnsibleSandbox(folder, collections)
    command = ["-m", "ansible", "playbook", "-vvv", "keysmith.mongodb.rotate_org_api_key"]
    return sandbox.python(*command, *arguments, "-e", json.dumps(answers), environ=environ)


def _play_of_the_readme(folder: Path, collections: Path) -> None:
    folder.mkdir()
    readme = (ROLE_FOLDER / "README.md").read_text("utf-8")
    playbook = folder / "readme.yml"
    playbook.write_text(readme.partition("```yaml\n")[2].partition("```")[0], "utf-8")
    organization = Case("readme").organization(0)
    variables = {
        "atlas_public_key": organization.pair(OWNER)["api_public_key"],
        "atlas_private_key": organization.pair(OWNER)["api_private_key"],
        "org_id": organization.org_id,
        "api_user_id": organization.key_id(OLD),
        "credentials_file": str(folder / "pair.json"),
    }
    sandbox = AnsibleSandbox(folder / "run", collections)
    with Emulator({"organizations": [organization.seed()]}) as emulator:
        run = sandbox.python(
            *("-m", "ansible", "playbook", str(playbook), "-e", json.dumps(variables)),
            environ={"MONGODB_ATLAS_BASE_URL": emulator.url},
        )
        left = emulator.state.organizations[organization.org_id].api_keys.values()
    assert run.code == 0, run.output
    assert len([key for key in left if ": verified " in key.description]) == 1
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
