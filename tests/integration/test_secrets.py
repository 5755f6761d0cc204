# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Canary secrets are looked for in everything that comes out, at the highest verbosity.

Secrets reach the tasks by variables and by the environment of the process. On an ad-hoc command
line, and in the keyword `environment` of a task at -vvv, Ansible itself shows them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, quote, quote_plus

import pytest

from tests.emulator import Emulator, Fault
from tests.integration.peers import LOOPBACK, ForwardProxy, dead_port
from tests.integration.playbook import (
    ACCESS_LIST,
    CONNECTION,
    KEY,
    KEYS,
    KEYS_INFO,
    MODULE,
    OPTIONS,
    ORGS_INFO,
    PROJECT_KEY,
    Finished,
    TaskResult,
    Workshop,
    from_variables,
)
from tests.support import (
    MISSING_ID,
    PRIVATE_KEYS,
    client_id,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    run_module,
    seed,
)

ATLAS, CLOUD, OPS = "atlas", "cloud_manager", "ops_manager"
MASK = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
# Each kind with characters that look different in a URL, where it may have them.
CLIENT_SECRET = "mdb_sa_sk_canary+sign/of=the&mine?0123456789"
PROXY_PASSWORD = "pr0xy/c&nary+0123456789"
URL_PASSWORD = "b4se-url-c&nary-0123456789"
WRONG_PRIVATE_KEY = "ca11ab1e-dead-4ead-8ead-00000000dead"
MEMBER_PRIVATE_KEY = "ca11ab1e-6666-4666-8666-00006666feed"
CANARIES = {
    "the private key of Atlas": PRIVATE_KEYS[ATLAS],
    "the private key of Cloud Manager": PRIVATE_KEYS[CLOUD],
    "the private key of Ops Manager": PRIVATE_KEYS[OPS],
    "the wrong private key": WRONG_PRIVATE_KEY,
    "the private key of the member": MEMBER_PRIVATE_KEY,
    "the client secret": CLIENT_SECRET,
    "the password of the proxy": PROXY_PASSWORD,
    "the password in base_url": URL_PASSWORD,
    "the service account's Basic value": f"{client_id(ATLAS)}:{CLIENT_SECRET}",
    "the service account's quoted Basic value": f"{client_id(ATLAS)}:{quote_plus(CLIENT_SECRET)}",
    "the proxy's Basic value": f"user:{PROXY_PASSWORD}",
}
# A canary that is printed on purpose, so that a search which finds nothing can be believed.
PLANTED = "pl4nted/on&purpose+9876543210"


def forms(canary: str) -> set[str]:
    """A canary as it may turn up: as it is, quoted, in base64, and its two ends."""
    encoded = base64.b64encode(canary.encode()).decode()
    safe = base64.urlsafe_b64encode(canary.encode()).decode()
    found = {canary, quote(canary), quote(canary, safe=""), quote_plus(canary), encoded, safe}
    found |= {json.dumps(form)[1:-1] for form in found}
    found |= {encoded.rstrip("="), safe.rstrip("=")}
    # Half a secret is a leak too: what is cut off at a limit, say.
    return found | {canary[:16], canary[-16:]} if ":" not in canary else found - {canary}


def search(places: Mapping[str, str], canaries: Mapping[str, str]) -> list[str]:
    """Which canary is in which place."""
    return [
        f"{name} is in {place}: …{text[max(0, text.index(form) - 80) : text.index(form) + 80]!r}…"
        for place, text in places.items()
        for name, canary in canaries.items()
        for form in forms(canary)
        if form in text
    ]


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder, by name and content."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes().decode("utf-8", "replace")


@dataclass(frozen=True)
class Case:
    """A task: its options, the faults for its key, and words that its message has to have.

    Without words it has to succeed.
    """

    options: dict[str, Any]
    words: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    module: str = MODULE
    no_log: bool = False

    @property
    def play(self) -> tuple[str, bool]:
        """What the cases of one play have in common."""
        return self.module, self.no_log


@dataclass
class World:
    """What the tasks meet: two emulators (one whose token endpoint echoes) and two proxies."""

    emulator: Emulator
    echoing: Emulator
    refusing_proxy: str
    dead_proxy: str
    token: str
    # Where created pairs are kept, which are not searched.
    files: Path
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(100, 1000)))

    def options(self, **more: Any) -> dict[str, Any]:
        """A task's options: the key pair comes from the environment."""
        number = next(self.numbers)
        return {
            "base_url": self.emulator.url,
            "org_id": org_id(ATLAS),
            "api_user_id": key_id(ATLAS, number),
            "retries": 0,
            "state": "absent",
            **more,
        }

    def other(self, module: str, platform: str = ATLAS, *words: str, **more: Any) -> Case:
        """A case that needs more options than a revocation."""
        options: dict[str, Any] = {"base_url": self.emulator.url, "retries": 0}
        options |= {"platform": platform, "org_id": org_id(platform)}
        if platform != ATLAS:
            options |= key_pair(platform)
        return Case({**options, **more}, words, module=module)

    def creation(self, platform: str, name: str, *words: str, **more: Any) -> Case:
        """A case that creates, or is to create, a key of this description."""
        new = {"description": name, "roles": ["ORG_MEMBER"], "state": "present"}
        return self.other(MODULE, platform, *words, **new, **more)

    def many(self, platform: str, name: str, *words: str, **more: Any) -> Case:
        """A case that creates, or is to create, a key of this description as one of many."""
        api_keys = [{"description": name, "roles": ["ORG_MEMBER"]}]
        return self.other(KEYS, platform, *words, api_keys=api_keys, **more)

    def file(self, name: str) -> dict[str, str]:
        return {"credentials_file": str(self.files / name)}

    def faulty(self, fault: Fault, *words: str, **more: Any) -> Case:
        options = self.options(**more)
        fault.path = f"*/apiKeys/{options['api_user_id']}"
        return Case(options, words, (fault,))


ACCOUNT = {"client_id": client_id(ATLAS), "client_secret": CLIENT_SECRET}
SECRETS_OF_A_TASK = {"api_private_key", "client_secret", "access_token", "http_proxy"}
ECHO = ("UNEXPECTED_ERROR", "Authorization: ")


def _cases(world: World) -> dict[str, Case]:
    token = {"access_token": world.token}
    # A server that sends the credential along to where it redirects.
    away = f"https://sso.example.com/{PRIVATE_KEYS[ATLAS]}?token={PRIVATE_KEYS[ATLAS]}"
    with_user = world.emulator.url.replace("//", f"//user:{quote(URL_PASSWORD)}@")
    https = world.emulator.url.replace("http:", "https:")
    return {
        "revoke": Case(world.options()),
        "revoke-key-pair-of-variables": Case(
            world.options(
                platform=OPS,
                org_id=org_id(OPS),
                api_user_id=key_id(OPS, 2),
                **key_pair(OPS),
            )
        ),
        "revoke-service-account": Case(world.options(**ACCOUNT)),
        "revoke-token": Case(world.options(**token)),
        "revoke-key-whose-description-is-secret": Case(world.options(api_user_id=key_id(ATLAS, 3))),
        "revoke-by-description": Case(
            {**world.options(**ACCOUNT, api_user_id=""), "description": "victim"}
        ),
        "missing": Case(world.options(api_user_id=MISSING_ID)),
        "missing-service-account": Case(world.options(api_user_id=MISSING_ID, **ACCOUNT)),
        "wrong-private-key": Case(
            world.options(api_public_key=public_key(ATLAS, 1), api_private_key=WRONG_PRIVATE_KEY),
            ("Check the API key",),
        ),
        "wrong-client-secret": Case(
            world.options(client_id=client_id(ATLAS), client_secret=CLIENT_SECRET + "x"),
            ("invalid_client",),
        ),
        "wrong-token": Case(world.options(access_token=world.token + "x"), ("401",)),
        "role-too-low": Case(
            world.options(api_public_key=public_key(ATLAS, 6), api_private_key=MEMBER_PRIVATE_KEY),
            ("USER_UNAUTHORIZED", "Organization Owner"),
        ),
        "echo-key-pair": world.faulty(Fault("echo", "GET"), *ECHO),
        "echo-delete": world.faulty(Fault("echo", "DELETE"), *ECHO),
        "echo-service-account": world.faulty(Fault("echo", "GET"), *ECHO, **ACCOUNT),
        "echo-token": world.faulty(Fault("echo", "DELETE"), *ECHO, **token),
        "echo-of-token-endpoint": Case(world.options(base_url=world.echoing.url, **ACCOUNT), ECHO),
        "echo-unauthorized": world.faulty(Fault("echo", "GET", status=401), *ECHO, **token),
        "key-that-echoes": world.faulty(
            Fault("json", "GET", body={"id": world.token, "desc": CLIENT_SECRET}),
            "JSON of another shape",
            **ACCOUNT,
        ),
        "redirect": world.faulty(Fault("redirect", "GET", location=away), "sso.example.com"),
        "redirect-delete": world.faulty(Fault("redirect", "DELETE"), "sso.example.com"),
        "lost-before": world.faulty(Fault("lost_before", "GET"), "broke"),
        "lost-after": world.faulty(Fault("lost_after", "DELETE"), "may have been carried out"),
        "reset": world.faulty(Fault("reset", "GET"), "broke", **ACCOUNT),
        "garbage": world.faulty(Fault("garbage", "GET"), "not HTTP", **token),
        "html": world.faulty(Fault("html", "GET"), "HTML page"),
        "sign-on-page": world.faulty(Fault("html", "DELETE", status=200), "HTML page", **ACCOUNT),
        "no-tls": Case(world.options(base_url=https, **ACCOUNT), ("does not speak TLS",)),
        "dead-proxy": Case(world.options(http_proxy=world.dead_proxy), ("cannot be reached",)),
        "refusing-proxy": Case(
            world.options(base_url=https, http_proxy=world.refusing_proxy), ("refused to connect",)
        ),
        "refusing-plain-proxy": Case(world.options(http_proxy=world.refusing_proxy), ("407",)),
        "broken-proxy": Case(
            world.options(
                http_proxy=f"socks5://user:{quote(PROXY_PASSWORD, safe='')}@{LOOPBACK}:9"
            ),
            ("http_proxy",),
        ),
        "two-kinds": Case(
            world.options(**key_pair(ATLAS), **ACCOUNT, **token), ("Two kinds of credentials",)
        ),
        "half-a-pair": Case(
            world.options(api_private_key=PRIVATE_KEYS[ATLAS]), ("api_public_key is not",)
        ),
        "private-key-with-a-line-end": Case(
            world.options(
                api_public_key=public_key(ATLAS, 1), api_private_key=PRIVATE_KEYS[ATLAS] + "\n"
            ),
            ("line ends",),
        ),
        "token-with-its-scheme": Case(
            world.options(access_token=f"Bearer {world.token}"), ("without the word Bearer",)
        ),
        "password-in-base-url": Case(world.options(base_url=with_user), ("user or a password",)),
        "no-id": Case(world.options(api_user_id="x", **ACCOUNT), ("api_user_id",)),
        "no-number": Case(world.options(timeout="soon", **ACCOUNT), ("timeout",)),
    }


LOST = ("private key is lost",)
CREATED = "create "


def _life(world: World) -> dict[str, Case]:
    """Creations, and what else belongs to a key's whole life.

    All creations of Ops Manager lose their answer, all those of Cloud Manager meet an echo.
    """
    unlucky = key_id(ATLAS, 2)
    project = {"project_id": project_id(ATLAS)}
    return {
        "change-create": world.creation(ATLAS, CREATED + "shown"),
        "change-create-account": world.creation(
            ATLAS, CREATED + "shown with an account", **ACCOUNT
        ),
        "change-create-no-log": replace(
            world.creation(ATLAS, CREATED + "with no_log"), no_log=True
        ),
        "change-create-file": world.creation(
            ATLAS, CREATED + "with a file", **world.file("kept.json")
        ),
        "create-lost": world.creation(OPS, CREATED + "lost", *LOST),
        "create-lost-file": world.creation(
            OPS, CREATED + "lost with a file", *LOST, **world.file("lost.json")
        ),
        "create-echo": world.creation(CLOUD, CREATED + PRIVATE_KEYS[CLOUD], *ECHO),
        "create-echo-file": world.creation(
            CLOUD, CREATED + "and meet an echo", *ECHO, **world.file("echo.json")
        ),
        "change-create-many": world.many(ATLAS, CREATED + "shown as one of many"),
        "change-create-many-files": world.many(
            ATLAS, CREATED + "with a folder", credentials_dir=str(world.files), **ACCOUNT
        ),
        "create-many-lost": world.many(OPS, CREATED + "lost as one of many", *LOST),
        "create-many-echo": world.many(CLOUD, CREATED + "as one of many, meeting an echo", *ECHO),
        "revoke-many": world.other(
            KEYS, state="absent", api_user_ids=[key_id(ATLAS, next(world.numbers))]
        ),
        "change-roles": world.other(
            MODULE, roles=["ORG_READ_ONLY"], api_user_id=key_id(ATLAS, next(world.numbers))
        ),
        "change-access-list": world.other(
            ACCESS_LIST, entries=["192.0.2.7"], api_user_id=key_id(ATLAS, next(world.numbers))
        ),
        "access-list-echo": world.other(
            ACCESS_LIST, ATLAS, *ECHO, entries=["192.0.2.7"], api_user_id=unlucky, **ACCOUNT
        ),
        "change-project": world.other(
            PROJECT_KEY,
            roles=["GROUP_OWNER"],
            api_user_id=key_id(ATLAS, next(world.numbers)),
            **project,
        ),
        "project-echo": world.other(
            PROJECT_KEY, ATLAS, *ECHO, roles=["GROUP_OWNER"], api_user_id=unlucky, **project
        ),
        "read-keys": world.other(KEYS_INFO, access_list=True, **ACCOUNT),
        "read-keys-echo": world.other(KEYS_INFO, ATLAS, *ECHO, api_user_id=unlucky),
        "read-organizations": world.other(ORGS_INFO, **ACCOUNT),
    }


def _add_faults_of_life(emulator: Emulator) -> None:
    unlucky = key_id(ATLAS, 2)
    for fault in (
        Fault("lost_after", "POST", f"*/orgs/{org_id(OPS)}/apiKeys", times=None),
        Fault("echo", "POST", f"*/orgs/{org_id(CLOUD)}/apiKeys", times=None),
        Fault("echo", "GET", f"*/apiKeys/{unlucky}", times=None),
        Fault("echo", "PATCH", f"*/groups/*/apiKeys/{unlucky}", times=None),
    ):
        emulator.add_fault(fault)


def _seed() -> dict[str, Any]:
    value = seed(extra_keys=60)
    for organization in value["organizations"]:
        if organization["product"] != ATLAS:
            continue
        organization["service_accounts"][0]["client_secret"] = CLIENT_SECRET
        for key in organization["api_keys"]:
            if key["description"] == "member":
                key["private_key"] = MEMBER_PRIVATE_KEY
            if key["id"] == key_id(ATLAS, 3):
                key["description"] = f"goes with {PRIVATE_KEYS[ATLAS]}"
    return value


@contextlib.contextmanager
def _world(files: Path) -> Iterator[World]:
    files.mkdir()
    refusing = ForwardProxy(refusal="407 Proxy Authentication Required")
    user = f"//user:{quote(PROXY_PASSWORD, safe='')}@"
    with (
        refusing,
        Emulator(_seed()) as emulator,
        Emulator(_seed()) as echoing,
        dead_port() as port,
    ):
        echoing.add_fault(Fault("echo", "POST", "/api/oauth/token", times=None))
        # Revoking the token fails, and nobody is to hear of it.
        emulator.add_fault(Fault("echo", "POST", "/api/oauth/revoke", times=None))
        _add_faults_of_life(emulator)
        answer = fetch_seeded_token(emulator)
        emulator.requests.clear()
        yield World(
            emulator,
            echoing,
            refusing_proxy=refusing.url.replace("//", user),
            dead_proxy=f"http:{user}{LOOPBACK}:{port}",
            token=answer,
            files=files,
        )


def fetch_seeded_token(emulator: Emulator) -> str:
    """A ready token that the emulator knows."""
    with mock.patch.dict("tests.support.CLIENT_SECRETS", {ATLAS: CLIENT_SECRET}):
        return fetch_token(emulator.url, ATLAS)


def _plays(cases: Mapping[str, Case]) -> list[dict[str, Any]]:
    """A play for each module, and one for what has no_log, whose result is not shown either."""
    planted = [PLANTED, quote(PLANTED, safe=""), base64.b64encode(PLANTED.encode()).decode()]
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
            {
                "name": "Plant",
                "ansible.builtin.debug": {"msg": planted},
                "when": "inventory_hostname == 'revoke'",
            },
        ]
        found.append(
            {
                "hosts": [n for n, case in cases.items() if case.play == (module, no_log)],
                "strategy": "free",
                "tasks": tasks[:1] if no_log else tasks,
            }
        )
    return found


def _environ(world: World) -> dict[str, str]:
    pair = key_pair(ATLAS)
    return {
        "MONGODB_ATLAS_PUBLIC_API_KEY": pair["api_public_key"],
        "MONGODB_ATLAS_PRIVATE_API_KEY": pair["api_private_key"],
        "https_proxy": world.refusing_proxy,
        # Since ansible-core 2.21 it is left out otherwise.
        "ANSIBLE_INJECT_INVOCATION": "1",
    }


def _canaries(world: World) -> dict[str, str]:
    """All secrets, those among them that tasks fetched for themselves."""
    tokens = {world.token}
    for recorded in [*world.emulator.requests, *world.echoing.requests]:
        scheme, _blank, value = recorded.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer":
            tokens.add(value)
        tokens.update(parse_qs(recorded.body.decode()).get("token", []))
    assert len(tokens) > 2
    return {
        **CANARIES,
        **{f"token {number}": token for number, token in enumerate(tokens)},
        **{f"the private key of {name!r}": key for name, key in created_keys(world).items()},
    }


def created_keys(world: World) -> dict[str, str]:
    """The private keys of what tasks have created, by description."""
    organizations = world.emulator.state.organizations.values()
    return {
        key.description: key.private_key
        for organization in organizations
        for key in organization.api_keys.values()
        if key.description.startswith(CREATED)
    }


def without_documented(text: str, shown: Mapping[str, str]) -> str:
    """A text without the one thing that a creation shows: ``"private_key": "…"`` in its result.

    Within the JSON of events the quotes have backslashes before them.
    """
    for secret in shown.values():
        text = re.sub(rf'(\\*"private_key\\*": ?\\*")({re.escape(secret)})\\*"', r"\1(shown)", text)
    return text


def description(case: Case) -> Any:
    """What the key of a case is called."""
    (key,) = case.options.get("api_keys") or [case.options]
    return key.get("description")


def shown_keys(world: World, cases: Mapping[str, Case]) -> dict[str, str]:
    """The private keys that results show: no file took them, and no_log was not set."""
    created = created_keys(world)
    return {
        name: created[description(case)]
        for name, case in cases.items()
        if description(case) in created
        and not case.words
        and not case.no_log
        and not {"credentials_file", "credentials_dir"} & case.options.keys()
    }


@dataclass(frozen=True)
class Searched:
    """A run, and every place in which nothing secret may be."""

    run: Finished
    cases: dict[str, Case]
    canaries: dict[str, str]
    places: dict[str, str]
    shown: dict[str, str]
    created: dict[str, str]

    def result(self, name: str) -> TaskResult:
        return self.run.result("Act", name)


def _prepare(world: World, cases: dict[str, Case]) -> dict[str, dict[str, Any]]:
    for case in cases.values():
        for fault in case.faults:
            world.emulator.add_fault(fault)
    return {name: {"options": case.options} for name, case in cases.items()}


@pytest.fixture(scope="module")
def playbook(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Searched:
    """All cases with ansible-playbook."""
    workshop = Workshop(tmp_path_factory.mktemp("secrets") / "run", collections)
    with _world(workshop.folder / "files") as world:
        cases = {**_cases(world), **_life(world)}
        hosts = _prepare(world, cases)
        # Tracebacks have secrets in them easily; ansible-core shows them since 2.19 when asked to.
        environ = {**_environ(world), "ANSIBLE_DISPLAY_TRACEBACK": "always"}
        run = workshop.playbook(
            _plays(cases), "-vvvv", "--diff", "--forks=4", hosts=hosts, environ=environ
        )
        canaries, shown, created = _canaries(world), shown_keys(world, cases), created_keys(world)
    assert run.code == 0, run.output
    places = {
        "stdout": run.stdout,
        "stderr": run.stderr,
        "the callback's lines": workshop.lines.read_text("utf-8"),
        **dict(files(workshop.home)),
        **dict(files(workshop.tmp)),
    }
    return Searched(run, cases, canaries, places, shown, created)


# Those of which a runner's events might tell more than ansible-playbook does.
OF_RUNNER = (
    "revoke revoke-service-account wrong-private-key role-too-low echo-key-pair "
    "echo-service-account redirect lost-after dead-proxy refusing-proxy two-kinds "
    "password-in-base-url change-create change-create-no-log change-create-file create-lost "
    "create-echo change-create-many change-create-many-files create-many-echo"
).split()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Searched:
    """Some cases with ansible-runner, which AWX uses: its events, artifacts and own output."""
    folder = tmp_path_factory.mktemp("runner")
    workshop = Workshop(folder / "run", collections)
    with _world(folder / "files") as world:
        every = {**_cases(world), **_life(world)}
        cases = {name: case for name, case in every.items() if name in OF_RUNNER}
        playbook, inventory = workshop.write(_plays(cases), _prepare(world, cases))
        job = folder / "job"
        (job / "env").mkdir(parents=True)
        # Temporary files are part of what is searched.
        environ = {**_environ(world), "ANSIBLE_PIPELINING": "0"}
        (job / "env" / "envvars").write_text(json.dumps(environ), "utf-8")
        command = [sys.executable, "-m", "ansible_runner", "run", str(job), "--ident", "job", "-j"]
        command += ["-p", str(playbook), "--inventory", str(inventory), "-vvvv"]
        command += ["--cmdline", "--diff --forks=4"]
        run = workshop.finish(workshop.spawn(command))
        canaries, shown, created = _canaries(world), shown_keys(world, cases), created_keys(world)
    assert run.code == 0, run.output
    # The runner writes the whole environment into `command`; that file is its own.
    artifacts = {
        name: text for name, text in files(job / "artifacts") if not name.endswith("/command")
    }
    assert sum("/job_events/" in name for name in artifacts) > 3 * len(cases)
    places = {
        "stdout": run.stdout,
        "stderr": run.stderr,
        "the callback's lines": workshop.lines.read_text("utf-8"),
        **artifacts,
        **dict(files(workshop.home)),
        **dict(files(workshop.tmp)),
    }
    return Searched(run, cases, canaries, places, shown, created)


@pytest.fixture(params=["playbook", "runner"])
def searched(request: pytest.FixtureRequest) -> Searched:
    value: Searched = request.getfixturevalue(request.param)
    return value


def test_nothing_secret_comes_out(searched: Searched) -> None:
    places = {
        place: without_documented(text, searched.shown) for place, text in searched.places.items()
    }
    hits = search(places, searched.canaries)
    assert not hits, "\n".join(hits)


SHOWING = {"change-create", "change-create-account", "change-create-many"}


def test_private_key_is_shown_by_a_creation_that_neither_hides_nor_keeps_it(
    searched: Searched,
) -> None:
    """Otherwise the search would have looked for what was nowhere to be seen."""
    assert set(searched.shown) == {name for name in searched.cases if name in SHOWING}
    for name, secret in searched.shown.items():
        values = searched.result(name).values
        (key,) = values.get("created") or [values]
        assert key["private_key"] == secret
        assert search(searched.places, {name: secret})
    # What was created in vain counts too.
    assert {"create with no_log", "create with a file", "create lost"} <= set(searched.created)


@pytest.mark.parametrize("text", ['"msg": "{}"', '"private_key": "{}x"', '"private_keys": "{}"'])
def test_private_key_anywhere_else_is_found(text: str) -> None:
    secret = PRIVATE_KEYS[ATLAS]
    assert secret in without_documented(text.format(secret), {"a": secret})
    for documented in (f'{{"private_key": "{secret}"}}', f'{{\\"private_key\\": \\"{secret}\\"}}'):
        assert secret not in without_documented(documented, {"a": secret})


def test_search_finds_what_is_planted(searched: Searched) -> None:
    """In each place where a task's words come out, and in each form."""
    planted = [PLANTED, quote(PLANTED, safe=""), base64.b64encode(PLANTED.encode()).decode()]
    for form in planted:
        found = [place for place, text in searched.places.items() if form in text]
        assert {"stdout", "the callback's lines"} <= set(found)
    hits = search(searched.places, {"what was planted": PLANTED})
    places = {hit.partition(" is in ")[2].partition(":")[0] for hit in hits}
    # The verbosity is there too.
    assert any("ESTABLISH LOCAL CONNECTION" in text for text in searched.places.values())
    if any("/job_events/" in place for place in searched.places):
        assert any("/job_events/" in place for place in places)
        assert any(place.endswith("/stdout") for place in places)


def test_search_finds_what_is_left_in_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_text(f"a {quote_plus(CLIENT_SECRET)} b", "utf-8")
    assert search(dict(files(tmp_path)), CANARIES)


@pytest.mark.parametrize("form", sorted(forms(PLANTED)))
def test_search_finds_each_form(form: str) -> None:
    assert search({"text": f"a {form} b"}, {"what was planted": PLANTED})


def test_tasks_end_as_they_should(searched: Searched) -> None:
    """Otherwise the search would have been through something else."""
    wrong = []
    for name, case in searched.cases.items():
        result = searched.result(name)
        # A creation whose answer is lost has made a key all the same.
        is_changed = name.startswith(("revoke", "change-")) or case.words == LOST
        expected = (bool(case.words), is_changed)
        if (result.failed, result.changed) != expected:
            wrong.append(f"{name}: {result.status}, changed={result.changed}: {result.msg}")
        wrong += [f"{name}: no {w!r} in {result.msg!r}" for w in case.words if w not in result.msg]
        if "Traceback" in result.msg or "Internal error" in result.msg:
            wrong.append(f"{name}: {result.msg}")
    assert not wrong, "\n".join(wrong)


def test_failure_shows_no_traceback_that_nobody_asked_for(runner: Searched) -> None:
    """Before ansible-core 2.19, failing from within an `except` shows one at -vvv."""
    failed = [name for name, case in runner.cases.items() if case.words]
    shown = [n for n in failed if " File " in str(runner.result(n).values.get("exception", ""))]
    assert not shown


def test_invocation_masks_secret_options(searched: Searched) -> None:
    seen = set()
    for name, case in searched.cases.items():
        values = searched.result(name).values
        if case.no_log:
            assert "invocation" not in values
            continue
        arguments = values["invocation"]["module_args"]
        for option in SECRETS_OF_A_TASK & set(case.options):
            assert arguments[option] == MASK, f"{name}: {option}"
            seen.add(option)
    assert {"client_secret", "http_proxy"} <= seen


def test_public_halves_are_shown(playbook: Searched) -> None:
    """What is no secret stays readable: masking it would blank results."""
    result = playbook.result("role-too-low")
    assert public_key(ATLAS, 6) in result.msg
    assert result.values["invocation"]["module_args"]["api_public_key"] == public_key(ATLAS, 6)
    account = playbook.result("wrong-client-secret")
    assert client_id(ATLAS) in account.msg


# How much of the secret stands before a limit that messages or fields are cut at.
@pytest.mark.parametrize("part", [12, 32])
@pytest.mark.parametrize("limit", [60, 200, 400, 2000])
def test_secret_that_is_cut_off_at_a_limit_of_length_stays_in(
    emulator: Emulator, limit: int, part: int
) -> None:
    """Half a secret is not masked by a search for the whole one."""
    secret = PRIVATE_KEYS[ATLAS]
    text = "x" * (limit - part) + secret + "y" * 3000
    location = f"https://sso.example.com/{text[len('https://sso.example.com/') :]}"
    emulator.add_fault(
        Fault("status", "GET", status=400, code=text, detail=text, parameters=[text])
    )
    emulator.add_fault(Fault("redirect", "GET", location=location))
    for words in ("the API answered", "redirects"):
        options = {
            "state": "absent",
            "base_url": emulator.url,
            "org_id": org_id(ATLAS),
            "api_user_id": key_id(ATLAS, 2),
            **key_pair(ATLAS),
        }
        outcome = run_module("org_api_key", options)
        assert words in outcome.msg
        assert secret[:10] not in outcome.output


CREATED_PRIVATE_KEY = "ca11ab1e-4e44-4e44-8e44-000000004e44"
# Without `roles` it is no key; its end is cut off; or what has the private key is no success.
BROKEN_CREATION = {
    "id": "5a00000000000000000000d1",
    "desc": CREATED + "broken",
    "publicKey": "brokenky",
    "privateKey": CREATED_PRIVATE_KEY,
}


@pytest.mark.parametrize("with_file", [False, True], ids=["shown", "file"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("json", "POST", body=BROKEN_CREATION, after_write=True),
        Fault("json", "POST", body=[BROKEN_CREATION], after_write=True),
        Fault("json", "POST", body=BROKEN_CREATION, status=202, after_write=True),
        Fault("status", "POST", body=json.dumps(BROKEN_CREATION), after_write=True),
        Fault("status", "POST", status=500, body=CREATED_PRIVATE_KEY, after_write=True),
        Fault("status", "POST", status=200, body=json.dumps(BROKEN_CREATION)[:-3]),
        Fault("truncated", "POST"),
    ],
    ids=["no roles", "list", "202", "500 object", "500 text", "cut off", "truncated"],
)
def test_private_key_in_an_answer_that_is_no_success_stays_in(
    emulator: Emulator, tmp_path: Path, fault: Fault, with_file: bool
) -> None:
    fault.path = "*/apiKeys"
    emulator.add_fault(fault)
    options = {
        "base_url": emulator.url,
        "org_id": org_id(ATLAS),
        "description": CREATED + "broken",
        "roles": ["ORG_MEMBER"],
        **key_pair(ATLAS),
    }
    if with_file:
        options["credentials_file"] = str(tmp_path / "pair.json")
    outcome = run_module("org_api_key", options)
    assert outcome.failed
    keys = emulator.state.organizations[org_id(ATLAS)].api_keys.values()
    secrets = {key.id: key.private_key for key in keys} | {"made up": CREATED_PRIVATE_KEY}
    assert not search({"output": outcome.output}, secrets)
