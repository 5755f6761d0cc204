# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How playbooks read variables from inventories, surveys and the command line.

In one process each, `localhost` is a group with a host for each case, so that each has its own
variables. AWX writes answers as `!unsafe '...'` scalars.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.emulator import Emulator
from tests.integration.playbook import AnsibleSandbox, Finished, TaskResult
from tests.support import CORE, MISSING_ID, ROOT, key_id, key_pair, org_id, seed

AWX_COLLECTION = ROOT / ".cache" / "awx"
OPS = "ops_manager"
READ = "Read the variables of this playbook"
REPORT = "Report the result"
PASSWORD = "canary-of-the-vault"
ROLE = "rotate_org_api_key"
PLAYBOOKS = ("revoke_org_api_key", "revoke_org_api_keys", ROLE, "awx_setup")
# Since 2.19, ansible-core parses `!unsafe` scalars like others.
HAS_TYPED_ANSWERS = CORE >= (2, 19)
NUMBERS = {
    text: number
    for number, text in enumerate(
        ["None", "34", "True", "False", "[1,2]", "493", "1.1", "0042", "free", "vaulted"], 100
    )
}
NOT_TEXT = "must be text, but its value is the"


@dataclass(frozen=True)
class Case:
    """``variables`` are in YAML; ``revoked`` are the descriptions of the revoked keys."""

    variables: str
    # Parts of the message of the failure or, if there is none, of the last task.
    words: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    # The task that fails.
    fails: str = ""


def world() -> dict[str, Any]:
    """Return a seed with an organization whose keys have the descriptions of ``NUMBERS``."""
    made = seed(extra_keys=20)
    descriptions = {number: text for text, number in NUMBERS.items()}
    (organization,) = (o for o in made["organizations"] if o["id"] == org_id(OPS))
    for key in organization["api_keys"]:
        number = int(key["id"][-4:])
        key["description"] = descriptions.get(number, key["description"])
    return made


def encrypted(text: str) -> str:
    return "!vault |\n" + "".join(f"  {x}\n" for x in vault("encrypt", text, PASSWORD).splitlines())


def vault(action: str, text: str, password: str) -> str:
    """Encrypt or decrypt a text with ansible-vault."""
    with tempfile.TemporaryDirectory() as folder:
        file, secret = Path(folder, "text"), Path(folder, "password")
        file.write_text(text, encoding="utf-8")
        secret.write_text(password, encoding="utf-8")
        command = [sys.executable, "-m", "ansible", "vault", action, "--output", "-"]
        command += ["--vault-password-file", str(secret), str(file)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        return run.stdout


def left(emulator: Emulator) -> set[str]:
    keys = emulator.state.organizations[org_id(OPS)].api_keys.values()
    return {key.description for key in keys}


def run(
    folder: Path,
    collections: Path,
    url: str,
    playbook: str,
    cases: dict[str, Case],
) -> Finished:
    """Run a playbook for all cases, with their connection in variables."""
    workshop = AnsibleSandbox(folder / "run", collections)
    password = folder / "password"
    password.write_text(PASSWORD, "utf-8")
    connection = {"platform": OPS, "base_url": url, "org_id": org_id(OPS), **key_pair(OPS)}
    inventory = workshop.folder / "inventory"
    (inventory / "host_vars").mkdir(parents=True)
    hosts = {"hosts": {name: {} for name in cases}, "vars": connection}
    groups = {"all": {"children": {"localhost": hosts}}}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(groups), "utf-8")
    for name, case in cases.items():
        (inventory / "host_vars" / f"{name}.yml").write_text(f"---\n{case.variables}", "utf-8")
    command = [sys.executable, "-m", "ansible", "playbook", f"keysmith.mongodb.{playbook}"]
    command += ["-i", str(inventory), "--vault-password-file", str(password), "--forks", "2"]
    return workshop.finish(workshop.spawn(command))


def check(done: Finished, cases: dict[str, Case], last: str) -> None:
    for name, case in cases.items():
        mine = [result for result in done.results if result.host == name]
        assert mine, (name, done.output)
        failed = [result for result in mine if result.failed]
        assert [r.task.rpartition(" : ")[2] for r in failed] == ([case.fails] if case.fails else [])
        told = failed[0].msg if failed else _text(done.result(last, name))
        for words in case.words:
            assert words in told, (name, told)
        if case.fails:
            kind = "missing" if name == "missing" else "options"
            assert failed[0].error.get("type", kind) == kind, name
    assert key_pair(OPS)["api_private_key"] not in done.output


def _text(result: TaskResult) -> str:
    return str(result.values.get("msg", result.values))


def answer(text: str) -> str:
    """Return a text as a survey passes it."""
    return f"!unsafe {text!r}"


ID = key_id(OPS, 2)
EMPTY = "api_user_id: {0}\npublic_key: {0}\ndescription: {0}\nwait: {0}\nwait_timeout: {0}"
ONE = {
    "empty-answers": Case(EMPTY.format("!unsafe ''"), fails="Revoke the key"),
    "null-answers": Case(EMPTY.format("null"), fails="Revoke the key"),
    "empty-texts": Case(EMPTY.format("''"), fails="Revoke the key"),
    "number": Case(
        "description: 0042", ("description", NOT_TEXT, "number 34", "quotes"), fails=READ
    ),
    "decimal": Case("description: 1.10", (NOT_TEXT, "number 1.1"), fails=READ),
    "boolean": Case("description: no", (NOT_TEXT, "boolean false"), fails=READ),
    "date": Case("description: 2024-01-01", (NOT_TEXT, "date 2024-01-01"), fails=READ),
    "list": Case("description: [key 1, key 2]", ("must be a single string", "key 2"), fails=READ),
    "number-by-template": Case(
        "description: '{{ n }}'\nn: 0042", (NOT_TEXT, "number 34"), fails=READ
    ),
    "id-as-number": Case("api_user_id: 5", ("api_user_id", NOT_TEXT), fails=READ),
    "misspelled": Case("descriptions: free", ("Use description instead",), fails=READ),
    "undefined-credential": Case(
        f"api_user_id: {ID}\napi_private_key: '{{{{ vault_of_nobody }}}}'",
        ("api_private_key uses a variable that is not defined: vault_of_nobody",),
        fails=READ,
    ),
    "answer-yes": Case(
        f"description: {answer('yes')}",
        (NOT_TEXT, "AWX survey") if HAS_TYPED_ANSWERS else ('"yes"',),
        fails=READ if HAS_TYPED_ANSWERS else "",
    ),
    "answer-octal": Case(
        f"description: {answer('0755')}",
        (NOT_TEXT, "AWX survey") if HAS_TYPED_ANSWERS else ('"0755"',),
        fails=READ if HAS_TYPED_ANSWERS else "",
    ),
    "missing": Case(
        "description: no such key",
        ('There is no key with description "no such key"', org_id(OPS), OPS, "http://127.0.0.1:"),
    ),
    "missing-id": Case(f"api_user_id: {MISSING_ID}", (f'api_user_id "{MISSING_ID}"',)),
    "id-and-empty-answers": Case(
        EMPTY.format("!unsafe ''").replace("!unsafe ''", ID, 1), ("Revoked",), ("victim",)
    ),
    "id-and-nulls": Case(
        EMPTY.format("null").replace("null", key_id(OPS, 6), 1), ("Revoked",), ("member",)
    ),
    "text-like-a-list": Case(
        f"description: {answer('[1,2]')}" if not HAS_TYPED_ANSWERS else 'description: "[1,2]"',
        ('"[1,2]"',),
        ("[1,2]",),
    ),
    "text-like-a-boolean": Case(
        'description: "True"\nwait: "false"\nwait_timeout: "5"', (), ("True",)
    ),
    "quoted": Case('description: "0042"', (), ("0042",)),
    "vaulted": Case(
        f"description: vaulted\napi_private_key: {encrypted(key_pair(OPS)['api_private_key'])}",
        ("Revoked",),
        ("vaulted",),
    ),
}
LISTS = "api_user_ids public_keys descriptions description_match org_roles keep".split()
NO_LISTS = "\n".join(f"{name}: !unsafe ''" for name in LISTS)
MANY = {
    "empty-answers": Case(NO_LISTS, fails="Revoke all keys that match the selection"),
    "null-answers": Case(
        NO_LISTS.replace("!unsafe ''", "null"), fails="Revoke all keys that match the selection"
    ),
    "reserved": Case(
        "roles: [ORG_MEMBER]\ndescription_match: '*'", ("Use org_roles instead",), fails=READ
    ),
    **{
        wrong: Case(f"{wrong}: x\ndescriptions: free", (f"Use {right} instead",), fails=READ)
        for wrong, right in {
            "keeps": "keep",
            "max_revocation": "max_revocations",
            "descriptions_match": "description_match",
        }.items()
    },
    "keep-a-number": Case(
        "keep: [1.10]\ndescription_match: ['*']", ("keep (item 1)", "number 1.1"), fails=READ
    ),
    "countries": Case(
        "descriptions: [SE, no]", ("descriptions (item 2)", "boolean false"), fails=READ
    ),
    "keep-an-empty-text": Case(
        "keep: ['']\ndescription_match: ['*']", ("keep has an empty item",), fails=READ
    ),
    "lines": Case(
        NO_LISTS.replace("descriptions: !unsafe ''", 'descriptions: !unsafe "free\\n\\n[1,2] \\n"')
        + "\nmax_revocations: '2'\nkeep: []",
        ("http://127.0.0.1:",),
        ("free", "[1,2]"),
    ),
    "empty-list": Case("api_user_ids: []", ("'revoked': []",)),
}
ROTATED = {
    "empty-answers": Case(
        "api_user_id: !unsafe ''\ndescription: !unsafe ''\ngrace_period: !unsafe ''\n"
        "allow_own_key: !unsafe ''\nstore_tasks: !unsafe ''",
        ("Set exactly one",),
        fails="Check that exactly one key is identified",
    ),
    "null-answers": Case(
        "api_user_id: null\ndescription: null\ngrace_period: null\nallow_own_key: null",
        ("Set exactly one",),
        fails="Check that exactly one key is identified",
    ),
    "number": Case("description: 0042", (NOT_TEXT, "number 34"), fails=READ),
    "misspelled": Case("grace: 60\ndescription: free", ("Use grace_period",), fails=READ),
    "missing": Case(
        "description: no such key",
        ("no API key with the description", "no such key", "no replacement of it"),
        fails="Check everything and plan the rotation",
    ),
    "role-number": Case(
        "description: free\nrotate_org_api_key_awx_credential: 7",
        ("rotate_org_api_key_awx_credential", NOT_TEXT),
        fails="Read the variables of this role",
    ),
    "vault": Case(
        f"api_user_id: {key_id(OPS, 2)}\ndescription: null\ngrace_period: null\n"
        "store_tasks: store_ansible_vault.yml\nrotate_org_api_key_file: FOLDER/pair.yml\n"
        f"rotate_org_api_key_vault_password: {encrypted('the password')}",
        ("rotated",),
    ),
}


def test_only_the_selected_key_is_revoked(tmp_path: Path, collections: Path) -> None:
    with Emulator(world()) as emulator:
        before = left(emulator)
        done = run(tmp_path, collections, emulator.url, "revoke_org_api_key", ONE)
        gone = before - left(emulator)
    check(done, ONE, REPORT)
    assert gone == {text for case in ONE.values() for text in case.revoked}


def test_only_the_selected_keys_are_revoked(tmp_path: Path, collections: Path) -> None:
    with Emulator(world()) as emulator:
        before = left(emulator)
        done = run(tmp_path, collections, emulator.url, "revoke_org_api_keys", MANY)
        gone = before - left(emulator)
    check(done, MANY, REPORT)
    assert gone == {text for case in MANY.values() for text in case.revoked}


@pytest.mark.slow
def test_rotation_reads_its_variables_and_an_encrypted_password(
    tmp_path: Path, collections: Path
) -> None:
    cases = {
        name: Case(case.variables.replace("FOLDER", str(tmp_path)), case.words, (), case.fails)
        for name, case in ROTATED.items()
    }
    with Emulator(world()) as emulator:
        keys = set(emulator.state.organizations[org_id(OPS)].api_keys)
        done = run(tmp_path, collections, emulator.url, "rotate_org_api_key", cases)
        now = emulator.state.organizations[org_id(OPS)].api_keys
        (new,) = [key for number, key in now.items() if number not in keys]
    check(done, cases, "keysmith.mongodb.rotate_org_api_key : Report the result")
    text = (tmp_path / "pair.yml").read_text("utf-8")
    assert new.private_key in vault("decrypt", text, "the password")
    assert new.description == "victim"
    assert new.private_key not in done.output
    assert "the password" not in done.output


@pytest.mark.slow
@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_limit_without_localhost_fails(tmp_path: Path, collections: Path, playbook: str) -> None:
    if playbook == "awx_setup" and not (AWX_COLLECTION / "ansible_collections").is_dir():
        pytest.skip("awx.awx is not installed (run make .cache/awx)")
    paths = os.pathsep.join([str(collections), str(AWX_COLLECTION)])
    workshop = AnsibleSandbox(tmp_path / "run", collections)
    inventory = workshop.folder / "hosts.yml"
    inventory.write_text("all: {hosts: {localhost: {}, other: {}}}", "utf-8")
    done = workshop.python(
        *("-m", "ansible", "playbook", f"keysmith.mongodb.{playbook}"),
        *("-i", str(inventory), "--limit", "other"),
        environ={"ANSIBLE_COLLECTIONS_PATH": paths},
    )
    assert done.code != 0
    assert (
        "which the limit excludes"
        in done.result("Fail if the limit excludes localhost", "other").msg
    )


def test_limit_without_an_inventory_fails(tmp_path: Path, collections: Path) -> None:
    """There is no host on which a task could fail."""
    workshop = AnsibleSandbox(tmp_path / "run", collections)
    command = ("-m", "ansible", "playbook", "keysmith.mongodb.revoke_org_api_key", "--limit")
    done = workshop.python(*command, "other")
    assert done.code != 0
    assert "which the limit excludes" in done.stderr
    assert workshop.python(*command, "localhost").result(READ).status == "ok"


def test_empty_answers_of_a_survey_revoke_nothing(tmp_path: Path, collections: Path) -> None:
    """AWX passes answers as extra variables. One key has the description "None"."""
    answers = tmp_path / "answers.yml"
    names = "api_user_id public_key description wait wait_timeout allow_own_key".split()
    answers.write_text("\n".join(f"{name}: !unsafe ''" for name in names), "utf-8")
    workshop = AnsibleSandbox(tmp_path / "run", collections)
    with Emulator(world()) as emulator:
        variables = {"platform": OPS, "base_url": emulator.url, "org_id": org_id(OPS)}
        given = tmp_path / "given.yml"
        given.write_text(yaml.safe_dump({**variables, **key_pair(OPS)}), "utf-8")
        done = workshop.python(
            *("-m", "ansible", "playbook", "keysmith.mongodb.revoke_org_api_key"),
            *("-e", f"@{given}", "-e", f"@{answers}"),
        )
        assert emulator.writes == []
    assert done.code != 0
    assert done.result("Revoke the key").failed


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_documented_variables_match_the_playbook(name: str) -> None:
    """Each documented variable is used and vice versa, and misspellings lead to variables."""
    folder = ROOT / "playbooks"
    spec = yaml.safe_load((folder / "vars" / f"{name}.yml").read_text("utf-8"))
    shared = yaml.safe_load((folder / "vars" / "connection.yml").read_text("utf-8"))["options"]
    (options,) = (entry["options"] for entry in spec["argument_specs"].values())
    assert list(spec["argument_specs"]) == [name]
    assert all(option["description"] and option["type"] for option in options.values())
    known = {**options, **(shared if spec.get("connection") else {})}
    text = (folder / f"{name}.yml").read_text("utf-8")
    assert set(re.findall(rf"\b{name}_input\.variables\.(\w+)", text)) == known.keys()
    assert not spec["misspellings"].keys() & known.keys()
    role = yaml.safe_load(
        (ROOT / "roles" / ROLE / "meta" / "argument_specs.yml").read_text("utf-8")
    )
    of_role = role["argument_specs"]["main"]["options"] if name == ROLE else {}
    for right in spec["misspellings"].values():
        assert right in {*known, *of_role} or right.startswith("the playbook "), right
