# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server and a proxy that return a credential in every spelling, wherever possible.

Base64 of a longer text with the secret is not tested, because only the server knows the text around
it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulator import Fault
from tests.integration.peers import ForwardProxy
from tests.integration.secret_search import SPELLINGS, search
from tests.support import run_module
from tests.trust.secrets.matrix import KINDS, TASKS, base, credentials, secret_of
from tests.trust.secrets.world import (
    PROXY_PASSWORD,
    ByCaller,
    Home,
    World,
    canaries,
    open_world,
)

# An account has at most a hundred tokens, and no revocation succeeds here.
HOMES = {task: Home(number) for number, task in enumerate(TASKS)}


class Echo(Fault):
    """Sends a text in every place where a response can have free text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__("status", times=None)
        self._status, self._text = status, text

    def play(self, exchange: Any) -> None:
        said = f"it says {self._text}"
        error = {"errorCode": self._text, "detail": said, "reason": said, "error": self._status}
        body = json.dumps({**error, "parameters": [self._text, said, {said: said}]})
        # An unescaped question mark would end the path.
        path = "" if "?" in self._text else self._text
        head = [
            f"HTTP/1.1 {self._status} {said}",
            "Content-Type: application/json",
            f"Location: https://sso.example.com/{path}?token={self._text}",
            f"Content-Length: {len(body)}",
        ]
        exchange.record_status(self._status)
        exchange.write("\r\n".join([*head, "", body]).encode())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("spellings") / "files", list(HOMES.values())) as opened:
        opened.emulator.add_fault(ByCaller(opened.faults))
        yield opened


@pytest.mark.parametrize(("status", "word"), [(400, "it says"), (302, "sso.example.com")])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_a_credential_in_a_response_is_not_shown(
    world: World, task: str, kind: str, status: int, word: str
) -> None:
    home = HOMES[task]
    options = base(world, home) | TASKS[task][1](home) | credentials(world, home, kind)
    outputs = {}
    for name, spell in SPELLINGS.items():
        response = Echo(status, spell(secret_of(options)))
        world.faults |= dict.fromkeys(home.callers, response)
        outputs[name] = _run(task, options, word)
    _check(outputs, world)


@pytest.mark.parametrize("task", TASKS)
def test_a_password_in_the_response_of_a_proxy_is_not_shown(world: World, task: str) -> None:
    home = HOMES[task]
    options = base(world, home) | TASKS[task][1](home) | home.pair()
    options["base_url"] = world.emulator.url.replace("http:", "https:")
    user = world.refusing_proxy.rpartition("@")[0]
    outputs = {}
    with contextlib.ExitStack() as stack:
        for name, spell in SPELLINGS.items():
            refusal = f"407 it says {spell(PROXY_PASSWORD)}"
            proxy = stack.enter_context(ForwardProxy(refusal=refusal))
            options["http_proxy"] = f"{user}@{proxy.url.partition('//')[2]}"
            outputs[name] = _run(task, options, "it says")
    _check(outputs, world)


def _run(task: str, options: dict[str, Any], word: str) -> str:
    outcome = run_module(TASKS[task][0].rpartition(".")[2], options)
    assert outcome.failed
    # Otherwise the search would prove little.
    assert word in outcome.msg
    return outcome.output


def _check(outputs: dict[str, str], world: World) -> None:
    hits = search(outputs, canaries(world))
    assert not hits, "\n".join(hits)
