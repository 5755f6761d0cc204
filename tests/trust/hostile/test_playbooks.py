# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile texts through real ansible-playbook processes, with many cases in each."""

from __future__ import annotations

import csv
import io
import json
import random
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.filter.visible import visible
from tests.emulator import Emulator
from tests.integration.playbook import (
    GROUP,
    KEYS_INFO,
    MODULE,
    AnsibleSandbox,
)
from tests.integration.test_audit import Page
from tests.support import PRIVATE_KEYS, key_id, key_pair, org_id, public_key

NUMBER = 150
# Unicode blocks with effects: controls, marks, directions, private use, tags, emoji.
RANGES = [
    *((0x00, 0x20), (0x7F, 0xA0), (0x2000, 0x2070), (0xFE00, 0xFE10), (0xFFF0, 0x10000)),
    *((0xE000, 0xE010), (0xE0000, 0xE0080), (0x1F600, 0x1F610), (0x0590, 0x0700), (0x300, 0x310)),
]
WORDS = """<script> </bdi> </table> <!-- --> &lt; " ' javascript: onerror= {{7*7}} {%raw%} {#
    =cmd| @SUM +1 -1 \\x1b[2J \\u202e !unsafe %0d%0a ../../ $HOME `id` ; || x ☃""".split()


def texts(number: int) -> list[str]:
    """Return distinct random descriptions from a fixed seed."""
    chance = random.Random(20_260_101)

    def piece() -> str:
        if chance.random() < 0.5:
            return chance.choice(WORDS)
        low, high = chance.choice(RANGES)
        return "".join(chr(chance.randrange(low, high)) for _char in range(chance.randint(1, 4)))

    return [
        "".join(piece() for _part in range(chance.randint(1, 12))) + f" {n}" for n in range(number)
    ]


def seed(descriptions: list[str]) -> dict[str, Any]:
    keys = [
        {
            "id": key_id("atlas", 100 + n),
            "description": description,
            "public_key": public_key("atlas", 100 + n),
            "private_key": f"{n:08d}-1111-4111-8111-{'0' * 12}",
            "roles": ["ORG_MEMBER"],
            "access_list": ["192.0.2.0/24"],
        }
        for n, description in enumerate(descriptions)
    ]
    owner = {
        "id": key_id("atlas", 1),
        "description": "signs",
        "public_key": public_key("atlas", 1),
        "private_key": PRIVATE_KEYS["atlas"],
        "roles": ["ORG_OWNER"],
    }
    name = "Shop " + "".join(texts(5))
    return {"organizations": [{"id": org_id("atlas"), "name": name, "api_keys": [owner, *keys]}]}


def controls(text: str, *categories: str) -> set[str]:
    """Return the characters that affect a terminal, except line breaks.

    By default, this includes invisible ones, such as those that change the writing direction.
    """
    wanted = categories or ("Cc", "Cf")
    return {char for char in text if unicodedata.category(char) in wanted} - {"\n"}


def test_hostile_text_does_not_affect_the_audit_report(tmp_path: Path, collections: Path) -> None:
    descriptions, folder = texts(NUMBER), tmp_path / "report"
    sandbox = AnsibleSandbox(tmp_path / "run", collections)
    with Emulator(seed(descriptions)) as emulator:
        variables = {
            **key_pair("atlas"),
            "base_url": emulator.url,
            "org_id": org_id("atlas"),
            "audit_org_api_keys_dest": str(folder),
        }
        command = [sys.executable, "-m", "ansible", "playbook"]
        command += ["keysmith.mongodb.audit_org_api_keys", "-e", json.dumps(variables)]
        run = sandbox.finish(sandbox.spawn(command))
    assert run.code == 0, run.output
    assert not controls(run.output), controls(run.output)
    shown = (folder / "org_api_keys.html").read_text("utf-8")
    page = Page(shown)
    assert sorted(page.descriptions) == sorted(visible(text) for text in ["signs", *descriptions])
    assert len([tag for tag, _attributes in page.elements if tag == "script"]) == 1
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert page.comments == []
    assert "onerror" not in {name for _tag, attributes in page.elements for name in attributes}
    rows = list(csv.reader(io.StringIO((folder / "org_api_keys.csv").read_text("utf-8"))))
    assert len(rows) == NUMBER + 2
    assert all(value.isprintable() for row in rows for value in row)
    assert not [v for row in rows for v in row if v.strip()[:1] in "=+-@" and v.strip()]


@pytest.mark.parametrize("result_format", ["json", "yaml"])
def test_hostile_text_does_not_affect_a_terminal(
    tmp_path: Path, collections: Path, result_format: str
) -> None:
    """Some keys are renamed from one hostile text to another, with a diff."""
    descriptions = texts(40)
    environ = {"ANSIBLE_CALLBACK_RESULT_FORMAT": result_format}
    sandbox = AnsibleSandbox(tmp_path / "run", collections)
    with Emulator(seed(descriptions)) as emulator:
        connection = {"base_url": emulator.url, "org_id": org_id("atlas"), **key_pair("atlas")}
        hosts = {
            f"key{n}": {"number": key_id("atlas", 100 + n), "wish": descriptions[n][::-1][:200]}
            for n in range(0, 40, 4)
        }
        rename = {"api_user_id": "{{ number }}", "new_description": "{{ wish }}"}
        tasks = [
            {"name": "List", KEYS_INFO: {}},
            {"name": "Rename", MODULE: rename},
        ]
        # Text in inventories is a template; text from an API never is.
        hosts = {n: {**h, "wish": h["wish"].replace("{", "(")} for n, h in hosts.items()}
        play = {"hosts": "all", "module_defaults": {GROUP: connection}, "tasks": tasks}
        run = sandbox.playbook([play], "--diff", hosts=hosts, environ=environ)
        written = len(emulator.writes)
    assert run.code == 0, run.output
    assert written == len(hosts)
    # Messages and warnings have no invisible characters. Return values and diffs have the text of
    # the API, for playbooks to pass on: Ansible escapes control characters, and a filter makes
    # others visible.
    assert not controls(run.output, "Cc"), controls(run.output, "Cc")
    listed = run.result("List", next(iter(hosts))).values["org_api_keys"]
    assert {key["description"] for key in listed} >= set(descriptions) - {"signs"} - _renamed(
        descriptions
    )
    assert run.stdout.count("--- before") == len(hosts)


def _renamed(descriptions: list[str]) -> set[str]:
    return {descriptions[n] for n in range(0, 40, 4)}
