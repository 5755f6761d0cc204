# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the EXAMPLES of every module and the plays in README and guides, unchanged.

One ansible-playbook process runs all EXAMPLES, and others run the plays. Each of these is a
host with the variables that it uses, and has its own organization with the keys that it needs.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import jinja2.nodes
import pytest
import requests
import yaml
from jinja2.nativetypes import NativeEnvironment

from tests.documents import DOCUMENTS, yaml_blocks
from tests.emulator import Emulator
from tests.integration.playbook import (
    ACCESS_TOKEN,
    GROUP,
    KEYS,
    MODULE,
    AnsibleSandbox,
    Finished,
    TaskResult,
    from_variables,
)
from tests.support import COLLECTION, CORE, MODULES

PREFIX = "keysmith.mongodb."
REQUEST = f"{PREFIX}api_request"
# An example that sets one of these has its own credential and gets none from the defaults.
CREDENTIALS = ("api_public_key", "client_id", "access_token")
CONNECTION = "platform base_url org_id api_public_key api_private_key".split()
# Task keywords whose values are expressions without braces.
EXPRESSIONS = ("when", "failed_when", "changed_when", "until", "that")
PUBLIC_KEY, PRIVATE_KEY = "sign{}", "ca11ab1e-0000-4000-8000-{:012d}"
# An item of keep is an ID or a public key if it has the form of one, and otherwise a description.
FORMS = {"api_user_id": re.compile("[0-9a-f]{24}"), "public_key": re.compile("[a-z]{8}")}
# Survey questions without an answer, by the name of the play.
UNANSWERED = {"Revoke one API key": ("description", "wait")}
# YAML in README and guides that is not run here: a pattern, and the reason.
NOT_RUN = {
    "^all:": "An inventory; test_console_lines.py uses it.",
    "^# (Refused|Accepted)": "See test_guides.py.",
    "^# Stops working when": "It shows what not to do.",
    "^# (Deprecated|Recommended)": "Variables of the role; see test_rotation.py.",
    "new_description:": "A task from a longer procedure.",
    "import_playbook": "test_awx.py runs this playbook.",
    "ansible.builtin.uri": "It needs the service that it sends the key pair to.",
}


@dataclass(frozen=True)
class Example:
    """A play, or a task of this collection with the tasks that follow it up to the next one."""

    source: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.source}-{self.content[0]['name']}".replace(" ", "-")

    @property
    def host(self) -> str:
        return f"example{self.number}"

    @cached_property
    def content(self) -> list[dict[str, Any]]:
        return list(yaml.safe_load(self.text))

    @property
    def is_play(self) -> bool:
        return "hosts" in self.content[0]

    @property
    def own_defaults(self) -> dict[str, Any]:
        return dict(self.content[0].get("module_defaults", {}).get(GROUP, {}))

    @property
    def has_credentials(self) -> bool:
        options = [self.own_defaults, *(args for _task, _module, args in ours(self.content))]
        return any(name in given for given in options for name in CREDENTIALS)

    @property
    def product(self) -> str:
        platforms = [self.own_defaults.get("platform")]
        platforms += [args.get("platform") for _task, _module, args in ours(self.content)]
        return next((str(platform) for platform in platforms if platform), "atlas")


def ours(content: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Yield the tasks of this collection, except those that run only after a failure."""
    for task in tasks(content):
        for name in task:
            if name.startswith(PREFIX):
                yield task, name, task[name] or {}


def tasks(value: list[dict[str, Any]], parts: str = "tasks block always") -> Iterator[Any]:
    """Yield every task of plays, blocks and lists of tasks."""
    for item in value:
        nested = [name for name in ("tasks", "block", "rescue", "always") if name in item]
        for name in nested:
            yield from tasks(item[name], parts) if name in parts.split() else ()
        if not nested:
            yield item


def _examples() -> Iterator[Example]:
    numbers = count(1)
    for module in MODULES:
        source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}").EXAMPLES
        group = ""
        for text in re.split(r"(?m)^(?=- )", source):
            if PREFIX in text and PREFIX in group:
                yield Example(module, next(numbers), group)
                group = ""
            group += text
        yield Example(module, next(numbers), group)
    for document in DOCUMENTS:
        for text in yaml_blocks(document):
            content = yaml.safe_load(text)
            if isinstance(content, list) and content[0].get("hosts") == "localhost":
                yield Example(document.name, next(numbers), text)


EXAMPLES = list(_examples())
TASKS = [example for example in EXAMPLES if not example.is_play]
PLAYS = [example for example in EXAMPLES if example.is_play]

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=str)
each_task = pytest.mark.parametrize("example", TASKS, ids=str)
each_play = pytest.mark.parametrize("example", PLAYS, ids=str)


def letters(number: int) -> str:
    """Return a number as four letters, for the end of a public key."""
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:04d}")


def table(example: Example, url: str, folder: Path) -> dict[str, Any]:
    """Return the values of all variables that examples use."""
    number = example.number
    start = f"{0x5D00 + number:04x}{'0' * 18}"
    org_id, project_id = f"{start}01", f"{start}aa"
    certificates = requests.certs.where()
    pair = (PUBLIC_KEY.format(letters(number)), PRIVATE_KEY.format(number))
    values = {
        "org_id": org_id,
        "project_id": project_id,
        "api_user_id": f"{start}e1",
        "public_key": f"publ{letters(number)}",
        "leaked_public_key": f"leak{letters(number)}",
        "description": "the key",
        "new_description": "the key's new name",
        "credentials_file": str(folder / f"{example.host}.json"),
        "atlas_public_key": pair[0],
        "atlas_private_key": pair[1],
        "client_id": f"mdb_sa_id_{org_id}",
        "client_secret": f"mdb_sa_sk_canary-{number:040d}",
        "service_account_id": f"mdb_sa_id_{start}5a",
        "secret_id": f"{start}5e",
        "moved_at": "2026-01-02T00:00:00Z",
        "ops_manager_url": url,
        "ops_manager_ca": certificates,
        "ops_manager_public_key": pair[0],
        "ops_manager_private_key": pair[1],
        "ops_manager_org_id": org_id,
        "ops_manager_org_name": f"Organization {number}",
        "ops_manager_project_id": project_id,
        "ops_manager_description": "the key of Ops Manager",
        "office_networks": ["192.0.2.0/24", "2001:db8::/32"],
        "old_address": "198.51.100.7",
        "application_networks": {"web": ["192.0.2.7"], "mail": ["192.0.2.8", "192.0.2.16/28"]},
        "mark_key": "canary-of-the-marks-0123456789",
        "team_keys": ["team's first", "team's second"],
        "leaked_public_keys": [f"leak{letters(number)}", "gonegone"],
        "credentials_dir": str(folder),
        "invoices_dir": str(folder),
        "invoice_id": f"{start}1f",
        "alert_id": f"{start}a1",
        "cluster_name": "a cluster",
        "wait": True,
    }
    unanswered = UNANSWERED.get(example.content[0]["name"], ())
    return {**values, **dict.fromkeys(unanswered, "")}


NATIVE = NativeEnvironment(undefined=jinja2.StrictUndefined)
NATIVE.filters["from_json"] = json.loads
NATIVE.filters["flatten"] = lambda value: [item for items in value for item in items]
NATIVE.filters["dict2items"] = lambda value: [{"key": k, "value": v} for k, v in value.items()]


def render(value: Any, variables: Mapping[str, Any]) -> Any:
    """Return the value of an option, or None if it comes from an earlier task."""
    if isinstance(value, dict):
        return {name: render(item, variables) for name, item in value.items()}
    if isinstance(value, list):
        return [render(item, variables) for item in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    try:
        rendered = NATIVE.from_string(value).render(variables)
    except jinja2.UndefinedError:
        return None
    return None if isinstance(rendered, jinja2.Undefined) else rendered


@dataclass
class Need:
    """What must exist before an example runs, derived from its options."""

    example: Example
    variables: dict[str, Any]
    org_id: str = ""
    projects: set[str] = field(default_factory=set)
    keys: list[dict[str, Any]] = field(default_factory=list)
    accounts: list[dict[str, Any]] = field(default_factory=list)
    created: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.org_id = self.variables["org_id"]
        self.projects = {self.variables["project_id"]}
        for task, module, args in ours(self.example.content):
            for item in render(task.get("loop"), self.variables) or [None]:
                variables = {**self.variables, "item": item, "omit": None}
                options = {**self.example.own_defaults, **args}
                self.add(module, {name: render(v, variables) for name, v in options.items()})

    def add(self, module: str, options: Mapping[str, Any]) -> None:
        self.org_id = options.get("org_id") or self.org_id
        self.projects |= {options["project_id"]} if options.get("project_id") else set()
        if module == REQUEST:
            return
        if "service_account" in module:
            self.add_account(module.removeprefix(PREFIX), options)
            return
        is_info = module.endswith("_info")
        if is_info and not options.get("api_user_id"):
            return
        if module == KEYS:
            self.add_many(options)
            return
        names = {name: options.get(name) for name in ("api_user_id", "public_key", "description")}
        description = names["description"]
        is_present = options.get("state", "present") == "present"
        if module == MODULE and is_present and description and "new_description" not in options:
            self.created.add(description)
        elif any(names.values()) and description not in self.created:
            is_removed = module == f"{PREFIX}project_api_key" and not is_present
            project_id = options.get("project_id") or self.variables["project_id"]
            self.seed(names, [project_id] if is_removed or is_info else [])

    def add_account(self, module: str, options: Mapping[str, Any]) -> None:
        """Seed the service account that a task identifies, unless an earlier task creates it."""
        client_id, name = options.get("service_account_id"), options.get("name")
        is_present = options.get("state", "present") == "present"
        if module == "service_account" and is_present and name and "new_name" not in options:
            self.created.add(name)
        known = {*self.created, *(account["client_id"] for account in self.accounts)}
        if not (client_id or name) or known & {client_id, name}:
            return
        used_at = 1770000000
        secret = {"id": self.variables["secret_id"], "value": f"mdb_sa_sk_seeded{self.org_id}"}
        account = {
            "client_id": client_id or self.variables["service_account_id"],
            "name": name or "shop",
            "roles": ["ORG_READ_ONLY"],
            "secrets": [{**secret, "last_used_at": used_at}],
        }
        if not is_present and options.get("project_id"):
            project = {"project_id": options["project_id"], "roles": ["GROUP_OWNER"]}
            account["projects"] = [project]
        if not is_present:
            account["access_list"] = options.get("entries") or []
        self.accounts.append(account)

    def add_many(self, options: Mapping[str, Any]) -> None:
        """Seed a key for each selector and each item of keep. Declared keys need none."""
        for item in options.get("keep") or []:
            kind = next((name for name, form in FORMS.items() if form.fullmatch(item)), None)
            self.seed({kind or "description": item.replace("*", "of berta")}, [])
        for api_user_id in options.get("api_user_ids") or []:
            self.seed({"api_user_id": api_user_id}, [])
        for public_key in options.get("public_keys") or []:
            self.seed({"public_key": public_key}, [])
        for pattern in options.get("description_match") or []:
            self.seed({"description": pattern.replace("*", "of anna")}, [])
        projects = [options["project_id"]] if "project_id" in options else []
        for role in options.get("roles") or []:
            self.seed({}, projects, role)
        for key in options.get("api_keys") or []:
            self.projects |= {project["project_id"] for project in key.get("projects") or []}

    def seed(self, names: Mapping[str, Any], projects: list[str], role: str = "ORG_MEMBER") -> None:
        number = 100 * self.example.number + len(self.keys)
        key = {
            "id": names.get("api_user_id") or f"{0x5E000000 + number:08x}{'0' * 16}",
            "public_key": names.get("public_key") or f"seed{letters(number)}",
            "description": names.get("description") or f"key {number}",
            "private_key": f"{number:08d}-1111-4111-8111-{'0' * 12}",
            "roles": [role],
            "projects": [{"project_id": p, "roles": ["GROUP_OWNER"]} for p in projects],
            "access_list": [self.variables["old_address"]],
        }
        unique = ("id", "public_key", "description")
        if not any(key[name] == other[name] for name in unique for other in self.keys):
            self.keys.append(key)

    def organization(self) -> dict[str, Any]:
        variables = self.variables
        owner = {
            "roles": ["ORG_OWNER"],
            "access_list": ["127.0.0.0/8"],
        }
        credential_name = {
            "id": f"{0x5E000000 + 100 * self.example.number + 99:08x}{'0' * 16}",
            "description": "signs",
            "public_key": variables["atlas_public_key"],
            "private_key": variables["atlas_private_key"],
            **owner,
        }
        left_by_ci = {
            **credential_name,
            "id": f"{0x5E000000 + 100 * self.example.number + 98:08x}{'0' * 16}",
            "description": "ci-1",
            "public_key": f"conti{letters(self.example.number)[1:]}",
            "roles": ["ORG_MEMBER"],
            "projects": [{"project_id": p, "roles": ["GROUP_OWNER"]} for p in self.projects],
        }
        account = {name: variables[name] for name in ("client_id", "client_secret")}
        expired = {"id": f"{left_by_ci['id'][:-1]}1", "value": "expired", "expires_at": 1770000000}
        accounts = [
            {**account, **owner},
            {"client_id": f"mdb_sa_id_{left_by_ci['id']}", "name": "ci", "secrets": [expired]},
            *self.accounts,
        ]
        product = self.example.product
        keys = [credential_name, left_by_ci, *self.keys]
        if product == "ops_manager":
            credential_name["foreign_roles"] = [{"roleName": "GLOBAL_OWNER"}]
        if self.uses_requests:
            keys.append(self.other_key())
        return {
            "id": self.org_id,
            "name": variables["ops_manager_org_name"],
            "product": product,
            "projects": [{"id": p, "name": f"project {p}"} for p in sorted(self.projects)],
            "api_keys": keys,
            "service_accounts": accounts if product != "ops_manager" else [],
            "others": self.others(),
        }

    @property
    def uses_requests(self) -> bool:
        return any(module == REQUEST for _task, module, _args in ours(self.example.content))

    def other_key(self) -> dict[str, Any]:
        """Return the key whose ID an api_request may contain: a global key of Ops Manager."""
        is_global = self.example.product == "ops_manager"
        return {
            "id": self.variables["api_user_id"],
            "public_key": self.variables["public_key"],
            "private_key": f"{self.example.number:08d}-2222-4222-8222-{'0' * 12}",
            "foreign_roles": [{"roleName": "GLOBAL_READ_ONLY"}] if is_global else [],
        }

    def others(self) -> dict[str, dict[str, Any]]:
        """Return objects without modules. The list of notifications of one alert is empty."""
        variables, kinds = self.variables, {}
        invoice_id, alert_id = variables["invoice_id"], variables["alert_id"]
        kinds["invoices"] = {invoice_id: {"id": invoice_id, "amountBilledCents": 1}}
        alerts = {
            found: {"id": found, "eventTypeName": name, "enabled": True, "notifications": []}
            for found, name in ((alert_id, "JOINED_GROUP"), (f"{alert_id[:-1]}2", "NO_PRIMARY"))
        }
        name = variables["cluster_name"]
        for project_id in self.projects:
            kinds[f"{project_id}/alertConfigs"] = alerts
            kinds[f"{project_id}/clusters"] = {name: {"name": name, "stateName": "IDLE"}}
        return kinds


World = tuple[Emulator, dict[str, Need], dict[str, Any]]


@dataclass(frozen=True)
class Examples:
    """The run, the needs of each example, and the paths and credentials of write requests."""

    run: Finished
    needs: dict[str, Need]
    written: list[str]

    def results(self, example: Example, name: str | None = None) -> list[TaskResult]:
        found = of_host(self.run, example.host)
        return [result for result in found if name in {None, result.task}]


def of_host(run: Finished, host: str) -> list[TaskResult]:
    return [result for result in run.results if result.host == host]


def unsuccessful(results: list[TaskResult]) -> list[str]:
    found = [result for result in results if result.status not in {"ok", "skipped"}]
    return [f"{result.task}: {result.msg or result.values}" for result in found]


def _play(example: Example) -> dict[str, Any]:
    """Return the play for the host of the example. Its own defaults override those of the test."""
    (play,) = example.content
    defaults = {**from_variables(CONNECTION, "connection_of_test"), **example.own_defaults}
    return {**play, "hosts": example.host, "module_defaults": {GROUP: defaults}}


@contextmanager
def _world(files: Path) -> Iterator[World]:
    """Start an emulator with everything that the examples need, and make a host for each."""
    files.mkdir(parents=True)
    with Emulator(token_requests_per_minute=None) as emulator:
        needs = {e.host: Need(e, table(e, emulator.url, files)) for e in EXAMPLES}
        emulator.reset({"organizations": [need.organization() for need in needs.values()]})
        hosts = {}
        for example in EXAMPLES:
            variables = needs[example.host].variables
            file = files / f"{example.host}.yml"
            file.write_text(example.text, "utf-8")
            if "lookup(" in example.text:
                # The example reads a file that an earlier play writes.
                secret = {name: variables[name] for name in ("client_id", "client_secret")}
                Path(variables["credentials_file"]).write_text(json.dumps(secret), "utf-8")
            connection = {"platform": example.product, "base_url": emulator.url}
            connection["org_id"] = needs[example.host].org_id
            if not example.has_credentials:
                connection["api_public_key"] = variables["atlas_public_key"]
                connection["api_private_key"] = variables["atlas_private_key"]
            hosts[example.host] = {
                **variables,
                "connection_of_test": connection,
                "file_of_test": str(file),
            }
        yield emulator, needs, hosts


def _run(folder: Path, collections: Path, world: World, plays: list[Any], *more: str) -> Examples:
    emulator, needs, hosts = world
    # For blocks with their own defaults, which replace those of the test.
    environ = {"MONGODB_ATLAS_BASE_URL": emulator.url}
    run = AnsibleSandbox(folder, collections).playbook(plays, *more, hosts=hosts, environ=environ)
    written = [f"{sent.path} {sent.headers['Authorization']}" for sent in emulator.writes]
    return Examples(run, needs, written)


def _run_plays(folder: Path, collections: Path, world: World, *more: str) -> Examples:
    return _run(folder, collections, world, [_play(example) for example in PLAYS], *more)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Examples:
    """Run the EXAMPLES."""
    folder = tmp_path_factory.mktemp("examples")
    play = {
        "hosts": [example.host for example in TASKS],
        "strategy": "free",
        "module_defaults": {GROUP: from_variables(CONNECTION, "connection_of_test")},
        "tasks": [{"name": "Include", "ansible.builtin.include_tasks": "{{ file_of_test }}"}],
    }
    with _world(folder / "files") as world:
        return _run(folder / "run", collections, world, [play], "--forks=4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plays")


@pytest.fixture(scope="module")
def world(folder: Path) -> Iterator[World]:
    """Yield the world in which the plays run twice."""
    with _world(folder / "files") as world:
        yield world


@pytest.fixture(scope="module")
def played(folder: Path, collections: Path, world: World) -> Examples:
    return _run_plays(folder / "run", collections, world)


@pytest.fixture(scope="module")
def played_again(folder: Path, collections: Path, world: World, played: Examples) -> Examples:
    return _run_plays(folder / "again", collections, world)


@pytest.fixture(scope="module")
def checked(folder: Path, collections: Path) -> Examples:
    """Run the plays in check mode, in a separate world."""
    with _world(folder / "checked files") as world:
        return _run_plays(folder / "check", collections, world, "--check", "--diff")


def strings(value: Any, keyword: str = "") -> Iterator[str]:
    """Yield every template in a YAML value."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from strings(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, keyword)
    elif isinstance(value, str):
        yield f"{{{{ {value} }}}}" if keyword in EXPRESSIONS else value


def unknown_variables(content: list[dict[str, Any]], known: Mapping[str, Any]) -> set[str]:
    """Return the variables in templates that have no known value."""
    used = set()
    for text in strings(content):
        tree = NATIVE.parse(text)
        used |= {name.name for name in tree.find_all(jinja2.nodes.Name)}
    every = list(tasks(content, "tasks block rescue always"))
    made = {task.get("register") for task in every}
    made |= {task.get("loop_control", {}).get("loop_var", "item") for task in every}
    places = [*every, *content, *content[0].get("tasks", [])]
    made |= {name for place in places for name in place.get("vars", {})}
    return {
        name
        for name in used - made - known.keys()
        if name not in {"lookup", "now", "omit"}
        and not name.startswith(("ansible_", "playbook_", "inventory_"))
    }


@each_example
def test_table_has_each_variable(example: Example) -> None:
    unknown = unknown_variables(example.content, table(example, "", Path()))
    assert not unknown, f"give a value to {', '.join(sorted(unknown))} in table()"


def test_unknown_variables_are_found() -> None:
    text = """
    - name: "{{ one }}"
      block:
        - debug:
            msg: [{a: "{{ two | nonesuch(three) }} {{ item }} {{ later.x }}"}, four]
          when: five
          register: later
    """
    found = unknown_variables(yaml.safe_load(text), {"three": 3})
    assert found == {"one", "two", "five"}


def test_every_module_has_examples() -> None:
    assert {example.source for example in TASKS} == set(MODULES)


def test_yaml_of_documents_is_run_or_listed() -> None:
    plays = {example.text for example in PLAYS}
    texts = [text for document in DOCUMENTS for text in yaml_blocks(document)]
    left = [text for text in texts if text not in plays]
    assert [text for text in left if not any(re.search(form, text) for form in NOT_RUN)] == []
    assert [form for form in NOT_RUN if not any(re.search(form, text) for text in left)] == []


@pytest.mark.slow
@pytest.mark.each_core
def test_all_examples_succeed(ran: Examples) -> None:
    assert ran.run.code == 0, ran.run.output


@pytest.mark.slow
@pytest.mark.each_core
@each_task
def test_example_succeeds(ran: Examples, example: Example) -> None:
    check_success(ran, example)


@pytest.mark.slow
@pytest.mark.each_core
@each_task
def test_example_does_something(ran: Examples, example: Example) -> None:
    check_effect(ran, example)


@pytest.mark.slow
@pytest.mark.each_core
def test_all_plays_succeed(played: Examples) -> None:
    assert played.run.code == 0, played.run.output


@pytest.mark.slow
@pytest.mark.each_core
@each_play
def test_play_succeeds_and_does_something(played: Examples, example: Example) -> None:
    check_success(played, example)
    check_effect(played, example)


@pytest.mark.slow
@each_play
def test_play_succeeds_in_check_mode_and_when_repeated(
    checked: Examples, played: Examples, played_again: Examples, example: Example
) -> None:
    predicted, first, again = (run.results(example) for run in (checked, played, played_again))
    assert predicted
    assert not unsuccessful([*predicted, *again])
    # A task is skipped in check mode if it needs an object that an earlier one creates.
    skipped = {result.task for result in predicted if result.status == "skipped"}
    assert changes(predicted, skipped) == changes(first, skipped)
    assert checked.written == []
    # A token is new each time.
    calls = ours(example.content)
    tokens = {task["name"] for task, module, _args in calls if module == ACCESS_TOKEN}
    assert {result.task for result in again if result.changed} <= tokens
    # ansible.builtin.debug prints this, and does not fail, if it cannot resolve a variable.
    texts = [str(result.values) for result in again]
    assert not [text for text in texts if "<< error" in text or "IS NOT DEFINED" in text]


def changes(results: list[TaskResult], skipped: set[str]) -> dict[str, bool]:
    return {result.task: result.changed for result in results if result.task not in skipped}


def check_success(examples: Examples, example: Example) -> None:
    assert not unsuccessful(examples.results(example))
    every = list(tasks(example.content, "tasks block rescue always"))
    rescues = [task["name"] for task in every if task not in list(tasks(example.content))]
    assert not [result.task for result in examples.results(example) if result.task in rescues]
    for task in tasks(example.content):
        assert examples.results(example, task["name"]), task["name"]


def check_effect(examples: Examples, example: Example) -> None:
    """A writer changes something with each item of its loop, and a reader finds something."""
    is_writer = False
    for task, module, args in ours(example.content):
        (result,) = examples.results(example, task["name"])
        if module == REQUEST and args.get("method", "GET") == "GET":
            # With until, the task may wait until something is gone.
            found = [item.get("dest") or item["json"] for item in result.items]
            assert any(found) or "until" in task
            continue
        if module.endswith("_info"):
            names = {"orgs", "org_api_keys", "service_accounts"}
            (found,) = [value for name, value in result.values.items() if name in names]
            assert found
            continue
        is_writer = True
        items = [result.values] if "censored" in result.values else result.items
        changed = [item["changed"] for item in items if not item.get("skipped")]
        # A loop of requests may be about objects that exist and objects that do not.
        assert any(changed) if module == REQUEST else all(changed) and changed
    need = examples.needs[example.host]
    marks = {need.org_id, *need.projects, need.variables["atlas_public_key"]}
    assert any(mark in written for written in examples.written for mark in marks) is is_writer


@pytest.mark.slow
def test_the_plays_of_the_guide_move_a_consumer(tmp_path: Path, collections: Path) -> None:
    """All plays use the account that the first one creates."""
    plays = [example for example in PLAYS if example.source == "guide_service_accounts.rst"]
    host, revocation = plays[0].host, plays[-2].content[0]["tasks"]
    runs = []
    with _world(tmp_path / "files") as (emulator, needs, hosts):
        organization = emulator.state.organizations[needs[host].org_id]
        keys, accounts = {*organization.api_keys}, {*organization.service_accounts}
        # The access list must also allow the host of the consumer.
        organization.api_keys[hosts[host]["api_user_id"]].access_list.append("127.0.0.0/8")
        variables = {
            **hosts[host],
            "service_account_id": "{{ created.service_account.client_id }}",
        }
        for moved_at in ("2999-01-01T00:00:00Z", "2026-01-01T00:00:00Z"):
            given = {host: {**variables, "moved_at": moved_at}}
            sandbox = AnsibleSandbox(tmp_path / moved_at[:4], collections)
            steps = [{**_play(example), "hosts": host} for example in plays]
            runs.append(of_host(sandbox.playbook(steps, hosts=given), host))
            left = {*organization.api_keys}
            assert keys - left == ({variables["api_user_id"]} if runs[1:] else set())
        assert {*organization.service_accounts} == accounts
    refused, moved = runs
    assert [refused[-1].task, refused[-1].status] == [revocation[-2]["name"], "failed"]
    assert not unsuccessful([*refused[:-1], *moved])
    # The second run finds everything set up.
    changed = [result.task for result in moved if result.values.get("changed")]
    assert changed == [revocation[-1]["name"], plays[-1].content[0]["tasks"][0]["name"]]


@pytest.mark.slow
def test_the_play_for_required_lists_does_not_lock_its_key_out(
    tmp_path: Path, collections: Path
) -> None:
    (play,) = [e for e in PLAYS if "apiAccessListRequired" in e.text]
    with _world(tmp_path / "files") as (emulator, needs, hosts):
        organization = emulator.state.organizations[needs[play.host].org_id]
        for key in organization.api_keys.values():
            key.access_list = []
        sandbox = AnsibleSandbox(tmp_path / "run", collections)
        run = sandbox.playbook([_play(play)], hosts={play.host: hosts[play.host]})
        assert emulator.writes == []
    last = of_host(run, play.host)[-1]
    assert (last.status, last.task) == ("failed", play.content[0]["tasks"][1]["name"])


def rescues() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the name and the tasks of each example that handles a failure."""
    for example in EXAMPLES:
        play = example.content[0]
        yield str(example), play["tasks"] if example.is_play else example.content
    for document in DOCUMENTS:
        for text in yaml_blocks(document):
            content = yaml.safe_load(text)
            if isinstance(content, list) and "block" in content[0]:
                yield f"{document.name}-{content[0]['name']}", content


RESCUES = {
    name: found
    for name, found in rescues()
    if any(PREFIX in str(task.get("block")) and "rescue" in task for task in found)
}


def test_rescues_are_found() -> None:
    assert {name.partition(".")[0] for name in RESCUES} >= {"guide_errors", "guide_rotation"}


def test_rescues_work_for_an_undefined_variable(tmp_path: Path, collections: Path) -> None:
    """Such a failure comes from Ansible, so its result has no `error`."""
    undefined = "{{ undefined_of_test }}"
    names, hosts = {}, {}
    for number, (name, content) in enumerate(RESCUES.items()):
        file = tmp_path / f"rescue{number}.yml"
        file.write_text(yaml.safe_dump(content), "utf-8")
        variables = {**table(EXAMPLES[0], "", tmp_path), "org_id": undefined}
        hosts[file.stem] = {**variables, "file_of_test": str(file)}
        names[file.stem] = name
    # One play, because ansible-playbook stops after a play in which all hosts failed.
    play = {
        "hosts": list(hosts),
        "strategy": "free",
        "module_defaults": {GROUP: {"org_id": undefined}},
        "tasks": [{"name": "Include", "ansible.builtin.include_tasks": "{{ file_of_test }}"}],
    }
    run = AnsibleSandbox(tmp_path / "run", collections).playbook([play], hosts=hosts)
    for host, name in names.items():
        last = of_host(run, host)[-1]
        expected = list(tasks(RESCUES[name], "tasks block rescue"))[-1]
        assert (last.status, last.task) == ("failed", expected["name"]), name
        text = expected["ansible.builtin.fail"]["msg"]
        # Before ansible-core 2.19, such a variable in module_defaults fails tasks of all modules.
        is_told = "{{" in text or CORE < (2, 19)
        assert last.msg == text or (is_told and "undefined_of_test" in last.msg), name
