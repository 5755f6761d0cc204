# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks through squid and tinyproxy, set by option or environment, with http and https.

Each case is a host of one ansible-playbook run, and revokes its own key.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.emulator import Emulator
from tests.integration.peers import LOOPBACK, Authority
from tests.integration.playbook import (
    CONNECTION,
    KEY,
    MODULE,
    AnsibleSandbox,
    TaskResult,
    from_variables,
)
from tests.support import key_id, key_pair, org_id, seed
from tests.trust.peers.servers import Server, squid, tinyproxy

PLATFORM = "ops_manager"
USER = "staff"
# The password for squid has characters that URLs escape; tinyproxy does not accept any.
PASSWORDS = {"squid": "pr0xy/c@nary", "tinyproxy": "pr0xy-canary"}
WRONG = "wr0ng:canary"


@dataclass(frozen=True)
class Case:
    """``known`` is the password: none, right or wrong. ``number`` identifies the key."""

    proxy: str
    scheme: str
    source: str
    known: str
    number: int

    def __str__(self) -> str:
        return f"{self.proxy}-{self.scheme}-{self.source}-{self.known}"

    @property
    def password(self) -> str:
        return {"none": "", "right": PASSWORDS[self.proxy], "wrong": WRONG}[self.known]

    def options(self, urls: dict[str, str], port: int) -> dict[str, Any]:
        options = {
            "platform": PLATFORM,
            "base_url": urls[self.scheme],
            "org_id": org_id(PLATFORM),
            "api_user_id": key_id(PLATFORM, self.number),
            "retries": 1,
            **key_pair(PLATFORM),
        }
        return {**options, "http_proxy": self.address(port)} if self.source == "option" else options

    def environ(self, port: int, ca_path: Path) -> dict[str, str]:
        environ = {"KEYSMITH_MONGODB_CA_PATH": str(ca_path), "no_proxy": ""}
        if self.source == "environment":
            environ[f"{self.scheme}_proxy"] = self.address(port)
        return environ

    def address(self, port: int) -> str:
        known = f"{USER}:{quote(self.password, safe='')}@" if self.password else ""
        return f"http://{known}{LOOPBACK}:{port}"


def _cases() -> Iterator[Case]:
    combinations = product(
        ("squid", "tinyproxy"),
        ("http", "https"),
        ("option", "environment"),
        ("none", "right", "wrong"),
    )
    for number, combination in enumerate(combinations, 100):
        yield Case(*combination, number)


CASES = {str(case): case for case in _cases()}


def test_tasks_through_proxies(tmp_path: Path, collections: Path) -> None:
    (tmp_path / "tls").mkdir()
    authority = Authority(tmp_path / "tls")
    sandbox = AnsibleSandbox(tmp_path / "run", collections)
    with ExitStack() as stack:
        keys = seed(extra_keys=len(CASES))
        plain = stack.enter_context(Emulator(keys))
        secure = stack.enter_context(Emulator(keys, tls=authority.issue("server")))
        emulators = {"http": plain, "https": secure}
        open_tiny = stack.enter_context(tinyproxy(tmp_path))
        closed_tiny = stack.enter_context(tinyproxy(tmp_path, USER, PASSWORDS["tinyproxy"]))
        tinies = (open_tiny, closed_tiny)
        both = stack.enter_context(squid(tmp_path, USER, PASSWORDS["squid"]))
        ports = {
            ("squid", False): both.ports["open"],
            ("squid", True): both.ports["closed"],
            ("tinyproxy", False): open_tiny.port,
            ("tinyproxy", True): closed_tiny.port,
        }
        urls = {scheme: emulator.url for scheme, emulator in emulators.items()}
        hosts = {}
        for name, case in CASES.items():
            port = ports[case.proxy, case.known != "none"]
            variables = case.environ(port, authority.file)
            hosts[name] = {"options": case.options(urls, port), "variables": variables}
        task = {
            "name": "Revoke",
            "environment": "{{ variables }}",
            "ignore_errors": True,
            MODULE: {"state": "absent", **from_variables([*CONNECTION, *KEY])},
        }
        play = {"hosts": "all", "strategy": "free", "tasks": [task]}
        run = sandbox.playbook([play], "--forks=4", hosts=hosts)
        assert run.code == 0, run.output
        for name, case in CASES.items():
            port = ports[case.proxy, case.known != "none"]
            check(case, run.result("Revoke", name), emulators[case.scheme], port)
        check_requests(plain, {"squid": both.lines(), "tinyproxy": tiny_lines(tinies)})
        check_tunnels(secure, both, tinies, ports)
        # The passwords of proxies do not reach the API.
        for request in [*plain.requests, *secure.requests]:
            assert "Proxy-Authorization" not in request.headers
    seen = run.output + sandbox.lines.read_text("utf-8")
    for password in (*PASSWORDS.values(), WRONG):
        forms = (password, quote(password, safe=""), basic(password))
        assert not [form for form in forms if form in seen]


def basic(password: str) -> str:
    return base64.b64encode(f"{USER}:{password}".encode()).decode()


def check(case: Case, result: TaskResult, emulator: Emulator, port: int) -> None:
    keys = emulator.state.organizations[org_id(PLATFORM)].api_keys
    if case.known != "wrong":
        assert (result.failed, result.changed) == (False, True), (case, result)
        assert key_id(PLATFORM, case.number) not in keys
        return
    assert result.failed, case
    assert f"the proxy {LOOPBACK}:{port} refused" in result.msg
    assert "Check the proxy's user and password, in http_proxy or the environment." in result.msg
    assert key_id(PLATFORM, case.number) in keys


def tiny_lines(servers: Sequence[Server]) -> list[str]:
    """Return method and URL of the requests in tinyproxy's log, which has no user or status."""
    lines = [line for server in servers for line in server.lines()]
    found = [re.search(r"Request \(file descriptor \d+\): (\S+ \S+) HTTP", line) for line in lines]
    return [match[1] for match in found if match]


def check_requests(emulator: Emulator, lines: dict[str, list[str]]) -> None:
    """Check that the log of each proxy has every plain request."""
    assert all("Via" in request.headers for request in emulator.requests)
    for case in CASES.values():
        if case.scheme == "http":
            end = f"/apiKeys/{key_id(PLATFORM, case.number)}"
            logged = [line for line in lines[case.proxy] if line.endswith(end)]
            arrived = [r.method for r in emulator.requests if r.path.endswith(end)]
            # A wrong password is not retried, because that could lock the user out.
            expected = ["GET", "GET", "DELETE"] if case.known != "wrong" else []
            assert arrived == expected, case
            assert len(logged) == max(1, len(arrived)), (case, logged)
            if case.proxy == "squid":
                user = USER if case.known != "none" else "-"
                assert {line.split()[1] for line in logged} == {user}, (case, logged)


def check_tunnels(
    emulator: Emulator, both: Server, tinies: Sequence[Server], ports: dict[tuple[str, bool], int]
) -> None:
    """Check that there is one tunnel per task."""
    of_squid = Counter(line.rpartition(" ")[0] for line in both.lines() if " CONNECT " in line)
    assert of_squid == {
        f"{ports['squid', False]} - 200 CONNECT": 2,
        f"{ports['squid', True]} {USER} 200 CONNECT": 2,
        f"{ports['squid', True]} {USER} 407 CONNECT": 2,
    }
    # The last two have a wrong password.
    tunnels = [tiny_lines([server]) for server in tinies]
    assert [len([x for x in lines if x.startswith("CONNECT ")]) for lines in tunnels] == [2, 2 + 2]
    assert emulator.connections == 8
