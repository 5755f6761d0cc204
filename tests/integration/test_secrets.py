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
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, quote, quote_plus

import pytest

from tests.emulator import Emulator, Fault
from tests.integration.peers import LOOPBACK, ForwardProxy, dead_port
from tests.integration.playbook import (
    CONNECTION,
    KEY,
    MODULE,
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
    public_key,
    run_module,
    seed,
)

ATLAS, OPS = "atlas", "ops_manager"
MASK = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
# Each kind with characters that look different in a URL, where it may have them.
CLIENT_SECRET = "mdb_sa_sk_canary+sign/of=the&mine?0123456789"
PROXY_PASSWORD = "pr0xy/c&nary+0123456789"
URL_PASSWORD = "b4se-url-c&nary-0123456789"
WRONG_PRIVATE_KEY = "ca11ab1e-dead-4ead-8ead-00000000dead"
MEMBER_PRIVATE_KEY = "ca11ab1e-6666-4666-8666-00006666feed"
CANARIES = {
    "the private key of Atlas": PRIVATE_KEYS[ATLAS],
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


@dataclass
class World:
    """What the tasks meet: two emulators (one whose token endpoint echoes) and two proxies."""

    emulator: Emulator
    echoing: Emulator
    refusing_proxy: str
    dead_proxy: str
    token: str
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(100, 1000)))

    def options(self, **more: Any) -> dict[str, Any]:
        """A task's options: the key pair comes from the environment."""
        number = next(self.numbers)
        return {
            "base_url": self.emulator.url,
            "org_id": org_id(ATLAS),
            "api_user_id": key_id(ATLAS, number),
            "retries": 0,
            **more,
        }

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
def _world() -> Iterator[World]:
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
        answer = fetch_seeded_token(emulator)
        emulator.requests.clear()
        yield World(
            emulator,
            echoing,
            refusing_proxy=refusing.url.replace("//", user),
            dead_proxy=f"http:{user}{LOOPBACK}:{port}",
            token=answer,
        )


def fetch_seeded_token(emulator: Emulator) -> str:
    """A ready token that the emulator knows."""
    with mock.patch.dict("tests.support.CLIENT_SECRETS", {ATLAS: CLIENT_SECRET}):
        return fetch_token(emulator.url, ATLAS)


def _play() -> dict[str, Any]:
    planted = [PLANTED, quote(PLANTED, safe=""), base64.b64encode(PLANTED.encode()).decode()]
    return {
        "hosts": "all",
        "strategy": "free",
        "tasks": [
            {
                "name": "Revoke",
                "register": "outcome",
                "ignore_errors": True,
                MODULE: {"state": "absent", **from_variables([*CONNECTION, *KEY])},
            },
            {"name": "Show", "ansible.builtin.debug": {"var": "outcome"}},
            {
                "name": "Plant",
                "ansible.builtin.debug": {"msg": planted},
                "when": "inventory_hostname == 'revoke'",
            },
        ],
    }


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
    return {**CANARIES, **{f"token {number}": token for number, token in enumerate(tokens)}}


@dataclass(frozen=True)
class Searched:
    """A run, and every place in which nothing secret may be."""

    run: Finished
    cases: dict[str, Case]
    canaries: dict[str, str]
    places: dict[str, str]

    def result(self, name: str) -> TaskResult:
        return self.run.result("Revoke", name)


def _prepare(world: World, cases: dict[str, Case]) -> dict[str, dict[str, Any]]:
    for case in cases.values():
        for fault in case.faults:
            world.emulator.add_fault(fault)
    return {name: {"options": case.options} for name, case in cases.items()}


@pytest.fixture(scope="module")
def playbook(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Searched:
    """All cases with ansible-playbook."""
    workshop = Workshop(tmp_path_factory.mktemp("secrets") / "run", collections)
    with _world() as world:
        cases = _cases(world)
        hosts = _prepare(world, cases)
        # Tracebacks have secrets in them easily; ansible-core shows them since 2.19 when asked to.
        environ = {**_environ(world), "ANSIBLE_DISPLAY_TRACEBACK": "always"}
        run = workshop.playbook(
            [_play()], "-vvvv", "--diff", "--forks=4", hosts=hosts, environ=environ
        )
        canaries = _canaries(world)
    assert run.code == 0, run.output
    places = {
        "stdout": run.stdout,
        "stderr": run.stderr,
        "the callback's lines": workshop.lines.read_text("utf-8"),
        **dict(files(workshop.home)),
        **dict(files(workshop.tmp)),
    }
    return Searched(run, cases, canaries, places)


# Those of which a runner's events might tell more than ansible-playbook does.
OF_RUNNER = (
    "revoke revoke-service-account wrong-private-key role-too-low echo-key-pair "
    "echo-service-account redirect lost-after dead-proxy refusing-proxy two-kinds "
    "password-in-base-url"
).split()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Searched:
    """Some cases with ansible-runner, which AWX uses: its events, artifacts and own output."""
    folder = tmp_path_factory.mktemp("runner")
    workshop = Workshop(folder / "run", collections)
    with _world() as world:
        cases = {name: case for name, case in _cases(world).items() if name in OF_RUNNER}
        playbook, inventory = workshop.write([_play()], _prepare(world, cases))
        job = folder / "job"
        (job / "env").mkdir(parents=True)
        # Temporary files are part of what is searched.
        environ = {**_environ(world), "ANSIBLE_PIPELINING": "0"}
        (job / "env" / "envvars").write_text(json.dumps(environ), "utf-8")
        command = [sys.executable, "-m", "ansible_runner", "run", str(job), "--ident", "job", "-j"]
        command += ["-p", str(playbook), "--inventory", str(inventory), "-vvvv"]
        command += ["--cmdline", "--diff --forks=4"]
        run = workshop.finish(workshop.spawn(command))
        canaries = _canaries(world)
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
    return Searched(run, cases, canaries, places)


@pytest.fixture(params=["playbook", "runner"])
def searched(request: pytest.FixtureRequest) -> Searched:
    value: Searched = request.getfixturevalue(request.param)
    return value


def test_nothing_secret_comes_out(searched: Searched) -> None:
    hits = search(searched.places, searched.canaries)
    assert not hits, "\n".join(hits)


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
        expected = (bool(case.words), name.startswith("revoke"))
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
        arguments = searched.result(name).values["invocation"]["module_args"]
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
