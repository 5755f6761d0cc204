# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server and a proxy that say back a credential, spelled in every way, wherever they can.

Base64 of a longer text with the secret within is left out: what stands around it is the server's
own, so that nobody can know how it looks.
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

# An account has a hundred tokens at most, and here no revocation of one succeeds.
HOMES = {task: Home(number) for number, task in enumerate(TASKS)}


class Telling(Fault):
    """A text in everything that is free text in an answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__("status", times=None)
        self._status, self._text = status, text

    def play(self, exchange: Any) -> None:
        said = f"it says {self._text}"
        error = {"errorCode": self._text, "detail": said, "reason": said, "error": self._status}
        body = json.dumps({**error, "parameters": [self._text, said, {said: said}]})
        # Nobody puts a question mark into a path as it is: the rest would be no part of it.
        path = "" if "?" in self._text else self._text
        head = [
            f"HTTP/1.1 {self._status} {said}",
            "Content-Type: application/json",
            f"Location: https://sso.example.com/{path}?token={self._text}",
            f"Content-Length: {len(body)}",
        ]
        exchange.answered(self._status)
        exchange.write("\r\n".join([*head, "", body]).encode())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("spellings") / "files", list(HOMES.values())) as opened:
        opened.emulator.add_fault(ByCaller(opened.faults))
        yield opened


@pytest.mark.parametrize(("status", "word"), [(400, "it says"), (302, "sso.example.com")])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_a_credential_that_a_server_says_stays_in(
    world: World, task: str, kind: str, status: int, word: str
) -> None:
    home = HOMES[task]
    options = base(world, home) | TASKS[task][1](home) | credentials(world, home, kind)
    outputs = {}
    for name, spell in SPELLINGS.items():
        told = Telling(status, spell(secret_of(options)))
        world.faults |= dict.fromkeys(home.callers, told)
        outputs[name] = _run(task, options, word)
    _check(outputs, world)


@pytest.mark.parametrize("task", TASKS)
def test_a_password_that_a_proxy_says_stays_in(world: World, task: str) -> None:
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
    # Otherwise the search would have been through something else.
    assert word in outcome.msg
    return outcome.output


def _check(outputs: dict[str, str], world: World) -> None:
    hits = search(outputs, canaries(world))
    assert not hits, "\n".join(hits)
