# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations by the role rotate_org_api_key: cases, plays that run them, and checks."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from tests.emulator import Emulator, Fault, Recorded, api, service_accounts
from tests.emulator.state import Secret
from tests.integration.playbook import GROUP, AnsibleSandbox, Finished, TaskResult, from_variables
from tests.integration.secret_search import search

ROLE = "keysmith.mongodb.rotate_org_api_key"
# The numbers of the keys of an organization. Existing replacements come after OLD.
OWNER, OLD, BEGUN = 1, 2, 3
VAULT_PASSWORD = "canary-of-the-vault-0123456789"
CONNECTION = (
    "platform base_url org_id api_public_key api_private_key client_id client_secret"
).split()
# The role's variables, with their defaults in template form.
OPTIONS = {
    "api_user_id": "''",
    "description": "''",
    "store_tasks": "''",
    "grace_period": "0",
    "allow_own_key": "false",
    "ignore_marks": "false",
    "mark_key": "omit",
    "verify_timeout": "60",
    "file": "pair_file",
    "awx_credential": "'the key'",
    "awx_inputs": "{'platform': 'atlas', 'public_key': 'old'}",
}


@dataclass(frozen=True)
class Organization:
    """The organization of a case, as a seed."""

    number: int
    product: str
    description: str
    old: dict[str, Any] | None
    successors: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """Return the first characters of all its IDs."""
        return f"5f{self.number:06d}"

    def _id(self, end: str) -> str:
        return f"{self.prefix}{end:0>16}"

    @property
    def org_id(self) -> str:
        return self._id("01")

    @property
    def project_id(self) -> str:
        return self._id("aa")

    def key_id(self, number: int) -> str:
        return self._id(f"e{number}")

    def public_key(self, number: int) -> str:
        digits = f"{self.number:03d}{number}"
        return "seed" + "".join(chr(ord("a") + int(digit)) for digit in digits)

    def pair(self, number: int) -> dict[str, str]:
        private_key = f"ca11ab1e-{self.number:04d}-4000-8000-{number:012d}"
        return {"api_public_key": self.public_key(number), "api_private_key": private_key}

    def account(self) -> dict[str, str]:
        # Tests also search for its last characters, which must differ from those of IDs.
        secret = f"mdb_sa_sk_{self.number:033d}-canary"
        return {"client_id": f"mdb_sa_id_{self.org_id}", "client_secret": secret}

    def expected(self) -> dict[str, Any]:
        """Return the key as it is before and after a rotation."""
        return {
            "description": self.description,
            # Only an owner can rotate keys.
            "roles": ["ORG_OWNER", "ORG_READ_ONLY"],
            "projects": [
                {"project_id": self.project_id, "roles": ["GROUP_READ_ONLY", "GROUP_OWNER"]},
                {"project_id": self._id("bb"), "roles": ["GROUP_READ_ONLY"]},
            ],
            "access_list": ["127.0.0.0/8", "192.0.2.7"],
            **(self.old or {}),
        }

    def key(self, number: int, **values: Any) -> dict[str, Any]:
        """Return the seed of a key."""
        pair = self.pair(number)
        return {
            "id": self.key_id(number),
            "public_key": pair["api_public_key"],
            "private_key": pair["api_private_key"],
            **values,
        }

    def seed(self) -> dict[str, Any]:
        keys = [self.key(OWNER, description="signs", roles=["ORG_OWNER"])]
        if self.old is not None:
            keys.append(self.key(OLD, **self.expected()))
        for number, state in enumerate(self.successors, BEGUN):
            mark = f" (successor of {self.key_id(OLD)}: {state})" if state else ""
            values = {**self.expected(), "description": self.description + mark}
            keys.append(self.key(number, **values))
        account = {**self.account(), "roles": ["ORG_OWNER"]}
        return {
            "id": self.org_id,
            "name": f"Organization {self.number}",
            "product": self.product,
            "projects": [{"id": self.project_id}, {"id": self._id("bb")}],
            "api_keys": keys,
            "service_accounts": [account] if self.product != "ops_manager" else [],
        }


RUNS = ("First", "Second")
# The possible outcomes of a run.
ROTATED = "rotated"  # only a new key exists, with the attributes of the old key
WAITING = "waiting"  # the old key and its verified replacement exist
UNTOUCHED = "untouched"  # the run failed and wrote nothing
ROLLED_BACK = "rolled back"  # the run failed, and only the old key exists
LEFT = "left"  # the run failed, and the old key and a replacement exist
ABSENT = "absent"  # the old key does not exist
IMAGINED = "imagined"  # in check mode

REFUSAL = {"status": 400, "code": "EMULATED"}
UNKNOWN = {"status": 401, "code": "UNEXPECTED_ERROR"}


class By(Fault):
    """A fault for some requests of a caller, or of new key pairs if no caller is set."""

    def __init__(self, step: Step, path: str, caller: str) -> None:
        super().__init__(step.name, step.method, path, times=None, **step.arguments)
        self.caller, self.due = caller, range(step.skip, step.skip + step.count)
        self.seen = 0

    def play(self, exchange: Any) -> None:
        caller = exchange.recorded.caller
        if caller == self.caller or (not self.caller and not caller.startswith("seed")):
            self.seen += 1
            if self.seen - 1 in self.due:
                super().play(exchange)
                return
        exchange.send(exchange.perform())


@dataclass(frozen=True)
class Step:
    """A request of an organization that fails once."""

    method: str
    path: str
    skip: int = 0
    count: int = 1
    by_new_pair: bool = False
    name: str = "status"
    arguments: dict[str, Any] = field(default_factory=lambda: dict(REFUSAL))

    def fault(self, organization: Organization) -> By:
        path = self.path.format(
            org_id=organization.org_id,
            project_id=organization.project_id,
            old=organization.key_id(OLD),
        )
        return By(self, path, "" if self.by_new_pair else organization.public_key(OWNER))


@dataclass(frozen=True)
class Case:
    """``ends`` has the outcome of each run, ``message_parts`` parts of the first message."""

    name: str
    ends: tuple[str, ...] = (ROTATED,)
    message_parts: tuple[str, ...] = ()
    # The variables of all runs, and those of the first run only.
    options: dict[str, Any] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    # Special attributes of the organization.
    product: str = "atlas"
    has_old_key: bool = True
    old: dict[str, Any] = field(default_factory=dict)
    successors: tuple[str, ...] = ()
    # The number of the signing credential, 0 for a service account.
    credential_name: int = OWNER

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def host(self) -> str:
        return str(self)

    def organization(self, number: int) -> Organization:
        description = self.old.get("description", f"the key of {self}")
        old = {**self.old, "description": description} if self.has_old_key else None
        return Organization(number, self.product, description, old, self.successors)


@dataclass(frozen=True)
class Ran:
    """The output, and the keys of each organization at the start and after each run."""

    process: Finished
    organizations: dict[str, Organization]
    keys: list[dict[str, list[dict[str, Any]]]]
    writes: list[list[Recorded]]
    files: Path
    secrets: dict[str, str]
    sandbox: AnsibleSandbox

    def results(self, case: Case, run: int) -> list[TaskResult]:
        """Return the results of the role's tasks in one run."""
        mine = [result for result in self.process.results if result.host == case.host]
        begin = next(i for i, r in enumerate(mine) if r.task == f"{RUNS[run]} run")
        end = next(i for i, r in enumerate(mine) if r.task == f"{RUNS[run]} run ended")
        return mine[begin + 1 : end]

    def outcome(self, case: Case, run: int) -> Mapping[str, Any]:
        """Return ``failed`` with the message, or the role's result."""
        found = self.process.result(f"{RUNS[run]} run ended", case.host).values["msg"]
        return dict(found)

    def left(self, case: Case, run: int) -> list[dict[str, Any]]:
        """Return the keys after a run, or before the first run (-1), except the owner's."""
        organization = self.organizations[case.host]
        every = self.keys[run + 1][organization.org_id]
        return [key for key in every if key["id"] != organization.key_id(OWNER)]

    def written(self, case: Case, run: int) -> list[str]:
        """Return method and path of each change in the organization and its projects."""
        mine = self.organizations[case.host].prefix
        return [f"{w.method} {w.path}" for w in self.writes[run] if mine in w.path]


@contextmanager
def rotate(
    cases: Sequence[Case],
    folder: Path,
    collections: Path,
    verbosity: str = "-vvv",
    environ: Mapping[str, str] | None = None,
    *,
    before: Sequence[dict[str, Any]] = (),
) -> Iterator[Ran]:
    """Run the role for all cases in one process, with the number of runs of each case.

    The plays in ``before`` run first, in the same process.
    """
    sandbox = new_sandbox(folder / "run", collections)
    files = folder / "files"
    files.mkdir()
    (files / "store.yml").write_text(STORE, "utf-8")
    (files / "verify.yml").write_text(VERIFY, "utf-8")
    organizations = {case.host: case.organization(n) for n, case in enumerate(cases)}
    seed = {"organizations": [organization.seed() for organization in organizations.values()]}
    with keep_private_keys() as secrets, Emulator(seed, token_requests_per_minute=None) as emulator:
        due = [(step, case.host) for case in cases for step in case.steps]
        # The first fault that matches is used, so faults of one organization come first.
        for step, host in sorted(due, key=lambda item: item[0].path == "*/orgs"):
            emulator.add_fault(step.fault(organizations[host]))
        hosts: dict[str, dict[str, Any]] = {
            case.host: variables(case, organizations[case.host], emulator.url, files)
            for case in cases
        }
        snapshots = [files / f"state{number}.json" for number in range(len(RUNS) + 1)]
        plays: list[dict[str, Any]] = [*before, _snapshot(emulator.url, snapshots[0])]
        for number, name in enumerate(RUNS):
            names = [case.host for case in cases if len(case.ends) > number]
            if not names:
                break
            plays += [play(name, names), _snapshot(emulator.url, snapshots[number + 1])]
        process = sandbox.playbook(
            plays,
            verbosity,
            "--diff",
            "--forks=4",
            hosts={**hosts, "localhost": {}},
            environ=environ,
            patience=600,
        )
        counts = [r.values["json"]["writes"] for r in process.results if r.task == "Count"]
        writes = [emulator.writes[a:b] for a, b in zip(counts, counts[1:])]
        keys = [
            {o["id"]: o["api_keys"] for o in json.loads(path.read_text("utf-8"))["organizations"]}
            for path in snapshots
            if path.exists()
        ]
        yield Ran(process, organizations, keys, writes, files, secrets, sandbox)


# Store tasks of a user, with a loop and a condition on the pair.
STORE = """
- name: Write the key pair to a file
  ansible.builtin.copy:
    content: "{{ rotate_org_api_key_pair | to_json }}"
    dest: "{{ rotate_org_api_key_file }}{{ item }}"
    mode: "0600"
  loop: "{{ [rotate_org_api_key_pair.private_key[:0], '.2'] }}"
- name: Break
  ansible.builtin.fail:
    msg: no store for {{ rotate_org_api_key_pair[is_broken] }}
  when: is_broken | length > 0
"""


# Another run finishes the rotation before a store task fails.
VERIFY = """
- name: Verify the pair
  keysmith.mongodb.org_api_key_rotation:
    phase: finish
    api_user_id: "{{ rotate_org_api_key_api_user_id }}"
    successor_id: "{{ rotate_org_api_key_pair.api_user_id }}"
    new_private_key: "{{ rotate_org_api_key_pair.private_key }}"
    grace_period: 86400
- name: Break
  ansible.builtin.fail:
    msg: no store for anything
"""


def variables(case: Case, org: Organization, url: str, files: Path) -> dict[str, Any]:
    """Return the variables of a host for its connection and, for each run, for the role."""
    credentials = org.pair(case.credential_name) if case.credential_name else org.account()
    usual = {"api_user_id": org.key_id(OLD), "store_tasks": "store_file.yml"}
    places = {
        "<description>": org.description,
        "<tasks>": str(files),
        "<successor>": org.key_id(BEGUN),
    }

    def fill(value: Any) -> Any:
        for place, text in places.items():
            value = value.replace(place, text) if isinstance(value, str) else value
        # A description may look like a template.
        return {"__ansible_unsafe": value} if isinstance(value, str) and "{{" in value else value

    runs = {}
    for name, more in zip(RUNS, (case.first, {})):
        runs[name] = {k: fill(v) for k, v in {**usual, **case.options, **more}.items()}
    return {
        "connection_of_test": {
            "platform": case.product,
            "base_url": url,
            "org_id": org.org_id,
            **credentials,
        },
        "runs": runs,
        "pair_file": str(files / f"{case.host}.json"),
    }


def _snapshot(url: str, path: Path) -> dict[str, Any]:
    """Return a task that saves the emulator's state, since tests search results for secrets."""
    keep = {"url": f"{url}/_emulator/state", "dest": str(path)}
    tasks = [
        {"name": "Keep", "ansible.builtin.uri": keep, "no_log": True},
        {"name": "Count", "ansible.builtin.uri": {"url": f"{url}/_emulator/stats"}},
    ]
    return {"hosts": "localhost", "tasks": tasks}


def play(name: str, hosts: Sequence[str]) -> dict[str, Any]:
    """Return a play that rotates each host's key with its variables and shows the result."""
    options = {
        f"rotate_org_api_key_{option}": f"{{{{ runs['{name}'].{option} | default({default}) }}}}"
        for option, default in OPTIONS.items()
    }
    rotate = {
        "name": "Rotate",
        # The role must neither ignore a failure nor revoke the old key if the pair was not stored.
        "ignore_errors": True,
        "ansible.builtin.include_role": {
            "name": ROLE,
            "apply": {"check_mode": f"{{{{ runs['{name}'].check | default(false) }}}}"},
        },
        "vars": {
            **options,
            "rotate_org_api_key_vault_password": VAULT_PASSWORD,
            "rotate_org_api_key_hashi_vault_path": "mongodb/key",
            "rotate_org_api_key_awx_credential_type": "MongoDB key",
            "is_broken": f"{{{{ runs['{name}'].is_broken | default('') }}}}",
        },
    }
    # A loop reports failures in its items.
    failure = (
        "{{ [ansible_failed_result | default({})] | map(attribute='msg', default='') | join }} "
        "{{ (ansible_failed_result | default({})).results | default([]) "
        "| map(attribute='msg', default='') | join(' ') }}"
    )
    outcome = (
        "{{ rotate_org_api_key_result | combine({'failed': failure} if failure else {}) "
        "| combine({'created': true} "
        "if __rotate_org_api_key_begun or __rotate_org_api_key_input else {}) }}"
    )
    folder = "{{ pair_file | dirname }}"
    return {
        "name": name,
        "hosts": list(hosts),
        "strategy": "free",
        "module_defaults": {
            GROUP: from_variables(CONNECTION, "connection_of_test"),
            "group/community.hashi_vault.vault": {"url": f"{folder}/hashi.json"},
            "group/awx.awx.controller": {"controller_host": f"{folder}/awx.json"},
        },
        "tasks": [
            {"name": f"{name} run", "ansible.builtin.set_fact": {"failure": ""}},
            {
                "name": "Rotate the key or record the failure",
                "block": [rotate],
                "rescue": [
                    {
                        "name": "Go on",
                        "ansible.builtin.set_fact": {"failure": f"Failed: {failure}"},
                    },
                ],
            },
            {"name": f"{name} run ended", "ansible.builtin.debug": {"msg": outcome}},
        ],
    }


@contextmanager
def keep_private_keys() -> Iterator[dict[str, str]]:
    """Record the private keys and client secrets that an emulator generates.

    Keys and secrets may be deleted later.
    """
    kept: dict[str, str] = {"the vault's password": VAULT_PASSWORD}

    def uuid4() -> uuid.UUID:
        value = uuid.uuid4()
        kept[f"private key {len(kept)}"] = str(value)
        return value

    def new_secret(*arguments: Any) -> Secret:
        secret = create_secret(*arguments)
        kept[f"client secret {len(kept)}"] = secret.value
        return secret

    create_secret = service_accounts._new_secret
    with (
        mock.patch.object(api, "uuid", mock.Mock(uuid4=uuid4)),
        mock.patch.object(service_accounts, "_new_secret", new_secret),
    ):
        yield kept


_MODULE = '''#!/usr/bin/python
"""Write the options of the real module to a file."""
import json
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({spec}, supports_check_mode=True)
if module.params.get("name") == "refused":
    module.fail_json(msg="AWX is not reachable.")
if module.check_mode:
    module.exit_json(changed=True)
with open(module.params["{place}"], "w") as file:
    json.dump(module.params, file)
module.exit_json(changed=True)
'''
# Names, types and defaults are those of community.hashi_vault 7.1 and awx.awx 24.6.
_STAND_INS = {
    ("community", "hashi_vault", "vault", "vault_kv2_write"): _MODULE.format(
        place="url",
        spec="""{
    "url": {"type": "str"},
    "engine_mount_point": {"type": "str", "default": "secret"},
    "path": {"type": "str", "required": True},
    "data": {"type": "dict", "required": True, "no_log": True},
    "cas": {"type": "int"},
    "read_before_write": {"type": "bool", "default": False},
}""",
    ),
    ("awx", "awx", "controller", "credential"): _MODULE.format(
        place="controller_host",
        spec="""{
    "controller_host": {"type": "str"},
    "name": {"required": True},
    "description": {},
    "organization": {},
    "credential_type": {"required": True},
    "inputs": {"type": "dict", "no_log": True},
    "update_secrets": {"type": "bool", "default": True, "no_log": False},
    "state": {"choices": ["present", "absent", "exists"], "default": "present"},
}""",
    ),
}


def new_sandbox(folder: Path, collections: Path) -> AnsibleSandbox:
    """Return a sandbox in which the modules of store tasks write their options to files."""
    sandbox = AnsibleSandbox(folder, collections)
    sandbox.environ["ANSIBLE_COLLECTIONS_PATH"] += f":{folder / 'stand-ins'}"
    for (namespace, name, group, module), source in _STAND_INS.items():
        place = folder / "stand-ins" / "ansible_collections" / namespace / name
        (place / "plugins" / "modules").mkdir(parents=True)
        (place / "meta").mkdir()
        (place / "plugins" / "modules" / f"{module}.py").write_text(source, "utf-8")
        runtime = f"requires_ansible: '>=2.16.0'\naction_groups:\n  {group}:\n    - {module}\n"
        (place / "meta" / "runtime.yml").write_text(runtime, "utf-8")
    return sandbox


def essence(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that a replacement gets from the old key."""
    return {
        "description": key["description"],
        "roles": sorted(key["roles"]),
        "projects": sorted((p["project_id"], sorted(p["roles"])) for p in key["projects"]),
        "access_list": sorted(key["access_list"]),
    }


def check_end(ran: Ran, case: Case, run: int) -> None:
    """Assert that a run ended as expected and left the expected keys."""
    outcome, end = ran.outcome(case, run), case.ends[run]
    has_failed = end in {UNTOUCHED, ROLLED_BACK, LEFT}
    assert ("failed" in outcome) is has_failed, outcome
    # No fact contains the new pair, the mark key or the vault password.
    assert "created" not in outcome
    old_id = ran.organizations[case.host].key_id(OLD)
    before, after = ran.left(case, run - 1), ran.left(case, run)
    if end in {UNTOUCHED, ABSENT, IMAGINED}:
        assert ran.written(case, run) == []
        assert after == before
    elif end == ROLLED_BACK:
        assert after == [key for key in before if key["id"] == old_id]
    elif end == ROTATED:
        (key,) = after
        assert essence(key) == essence(ran.organizations[case.host].expected())
        assert key["id"] != old_id
        assert outcome["api_user_id"] == key["id"]
    else:
        assert len([key for key in after if " (successor of " in key["description"]]) <= 1
        assert 1 <= len(after) <= 2
    if end in {ROLLED_BACK, LEFT}:
        assert outcome["state"] == ("failed" if end == LEFT else "rolled_back")
        assert outcome["msg"] in outcome["failed"]
    elif not has_failed and end != IMAGINED:
        assert outcome["state"] == end
    changed = any(result.changed for result in ran.results(case, run))
    if not has_failed:
        assert changed is (bool(ran.written(case, run)) or end == IMAGINED)
    assert ran.written(case, run) or not changed or end == IMAGINED


def check_message(ran: Ran, case: Case) -> None:
    message = str(ran.outcome(case, 0).get("failed", ""))
    assert not [part for part in case.message_parts if part not in message], message


def check_stored(ran: Ran, case: Case) -> None:
    """Assert that the file has the pair of the new key, and only its owner can read it."""
    path = ran.files / f"{case.host}.json"
    (key,) = ran.left(case, len(case.ends) - 1)
    assert json.loads(path.read_text("utf-8")) == {
        "org_id": ran.organizations[case.host].org_id,
        "api_user_id": key["id"],
        "description": key["description"],
        "public_key": key["public_key"],
        "private_key": key["private_key"],
    }
    assert path.stat().st_mode & 0o777 == 0o600


def check_secrets(ran: Ran) -> None:
    """Assert that no private key is in a result, or in the output at -vvv with --diff."""
    assert len(ran.secrets) > 10
    places = {"stdout": ran.process.stdout, "stderr": ran.process.stderr}
    for number, result in enumerate(ran.process.results):
        places[f"{result.task} {number}"] = str(result.values)
    found = search(places, ran.secrets)
    assert not found, found[:3]
