# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile texts and options through real ansible-playbook processes, with many cases in each."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.filter.visible import visible
from tests.emulator import Emulator
from tests.integration.playbook import (
    CONNECTION,
    GROUP,
    KEYS_INFO,
    MODULE,
    OPTIONS,
    AnsibleSandbox,
    from_variables,
)
from tests.integration.test_audit import Page
from tests.support import PRIVATE_KEYS, key_id, key_pair, org_id, public_key
from tests.trust import figures

NUMBER = 150
# Blocks of Unicode that do something: controls, marks, directions, private use, tags, emoji.
RANGES = [
    *((0x00, 0x20), (0x7F, 0xA0), (0x2000, 0x2070), (0xFE00, 0xFE10), (0xFFF0, 0x10000)),
    *((0xE000, 0xE010), (0xE0000, 0xE0080), (0x1F600, 0x1F610), (0x0590, 0x0700), (0x300, 0x310)),
]
WORDS = """<script> </bdi> </table> <!-- --> &lt; " ' javascript: onerror= {{7*7}} {%raw%} {#
    =cmd| @SUM +1 -1 \\x1b[2J \\u202e !unsafe %0d%0a ../../ $HOME `id` ; || x ☃""".split()


def texts(number: int) -> list[str]:
    """Descriptions made by a fixed seed; each is its own, and ends in what every API keeps."""
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
    credential_name = {
        "id": key_id("atlas", 1),
        "description": "signs",
        "public_key": public_key("atlas", 1),
        "private_key": PRIVATE_KEYS["atlas"],
        "roles": ["ORG_OWNER"],
    }
    name = "Shop " + "".join(texts(5))
    return {
        "organizations": [
            {"id": org_id("atlas"), "name": name, "api_keys": [credential_name, *keys]}
        ]
    }


def controls(text: str, *categories: str) -> set[str]:
    """Characters that do something to a terminal, but for line ends.

    By default those that nobody sees too, which turn the direction of what follows, say.
    """
    wanted = categories or ("Cc", "Cf")
    return {char for char in text if unicodedata.category(char) in wanted} - {"\n"}


def test_no_text_of_an_api_does_anything_to_the_page(tmp_path: Path, collections: Path) -> None:
    descriptions, folder = texts(NUMBER), tmp_path / "report"
    workshop = AnsibleSandbox(tmp_path / "run", collections)
    with Emulator(seed(descriptions)) as emulator:
        variables = {
            **key_pair("atlas"),
            "base_url": emulator.url,
            "org_id": org_id("atlas"),
            "audit_org_api_keys_dest": str(folder),
        }
        command = [sys.executable, "-m", "ansible", "playbook"]
        command += ["keysmith.mongodb.audit_org_api_keys", "-e", json.dumps(variables)]
        run = workshop.finish(workshop.spawn(command))
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
    figures.count("hostile", "hostile texts on the page of the audit", NUMBER)


# Options of a task on a host of its own; a file is made for those that name one.
ID = key_id("atlas", 101)
CASES: dict[str, dict[str, Any]] = {
    "cr-lf-in-org-id": {"org_id": org_id("atlas") + "\r\nX-Evil: 1", "api_user_id": ID},
    "way-up-in-id": {"api_user_id": f"{ID}/../{ID}"},
    "quoted-way-up-in-id": {"api_user_id": "%2e%2e"},
    "line-end-in-public-key": {"public_key": "abcdefgh\n"},
    "line-end-in-token": {"access_token": "abcd\r\nX-Evil: 1", "api_user_id": ID},
    "credentials-in-url": {"base_url": "http://user:passw0rd@127.0.0.1", "api_user_id": ID},
    "fragment-in-url": {"base_url": "http://127.0.0.1/#x", "api_user_id": ID},
    "other-scheme": {"base_url": "gopher://127.0.0.1", "api_user_id": ID},
    "line-end-in-url": {"base_url": "http://127.0.0.1\r\nX-Evil: 1", "api_user_id": ID},
    "proxy-of-percents": {"http_proxy": "http://127.0.0.1%00", "api_user_id": ID},
    "escape-in-path": {"ca_path": "/nowhere/\x1b[31m", "api_user_id": ID},
    "pipe-as-authority": {"ca_path": "PIPE", "api_user_id": ID},
    "device-as-authority": {"ca_path": "/dev/zero", "api_user_id": ID},
    "pipe-as-certificate": {"client_cert": "PIPE", "api_user_id": ID},
    "link-as-file": {"credentials_file": "LINK"},
    "full-device-as-file": {"credentials_file": "/dev/full"},
    "folder-as-file": {"credentials_file": "/tmp/"},
    "megabyte": {"api_user_id": "a" * 100_000},
}
TASK = "Ask for it"


def test_hostile_options_are_refused_through_ansible(tmp_path: Path, collections: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    places = {"PIPE": str(tmp_path / "pipe"), "LINK": str(tmp_path / "link")}
    workshop = AnsibleSandbox(tmp_path / "run", collections)
    with Emulator(seed(texts(5))) as emulator:
        new = {"description": "new", "roles": ["ORG_MEMBER"]}
        common = {"base_url": emulator.url, "org_id": org_id("atlas"), "retries": 0}
        hosts = {}
        for name, case in CASES.items():
            credentials = {} if "access_token" in case else key_pair("atlas")
            given = {n: places.get(v, v) for n, v in case.items()}
            is_new = not {"api_user_id", "public_key"} & case.keys()
            wish = new if is_new else {"state": "absent"}
            # A value is to come as it is, and not to be taken for a template.
            hosts[name] = {"options": {**common, **credentials, **wish, **given}}
        options = {**from_variables(CONNECTION), **from_variables(OPTIONS[MODULE])}
        task = {"name": TASK, MODULE: options, "ignore_errors": True}
        run = workshop.playbook([{"hosts": "all", "tasks": [task]}], "--diff", hosts=hosts)
        assert emulator.requests == []
    assert not controls(run.output), controls(run.output)
    for name in CASES:
        result = run.result(TASK, name)
        assert result.failed, name
        assert result.error["status"] is None, (name, result.msg)
        assert "Internal error" not in result.msg
        assert "passw0rd" not in run.output
        assert result.msg.isprintable()
    figures.count("hostile", "tasks with hostile options through ansible-playbook", len(CASES))


@pytest.mark.parametrize("result_format", ["json", "yaml"])
def test_no_text_of_an_api_does_anything_to_a_terminal(
    tmp_path: Path, collections: Path, result_format: str
) -> None:
    """Some keys are renamed from one hostile text to another, with a diff."""
    descriptions = texts(40)
    environ = {"ANSIBLE_CALLBACK_RESULT_FORMAT": result_format}
    workshop = AnsibleSandbox(tmp_path / "run", collections)
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
        # What inventories say is taken for a template; what an API says never is.
        hosts = {n: {**h, "wish": h["wish"].replace("{", "(")} for n, h in hosts.items()}
        play = {"hosts": "all", "module_defaults": {GROUP: connection}, "tasks": tasks}
        run = workshop.playbook([play], "--diff", hosts=hosts, environ=environ)
        written = len(emulator.writes)
    assert run.code == 0, run.output
    assert written == len(hosts)
    # What is not seen is taken out of messages and warnings. Return values and diffs have texts as
    # the API has them, which a playbook passes on; there Ansible escapes what is a control. Others
    # are made visible by a filter.
    assert not controls(run.output, "Cc"), controls(run.output, "Cc")
    listed = run.result("List", next(iter(hosts))).values["org_api_keys"]
    assert {key["description"] for key in listed} >= set(descriptions) - {"signs"} - _renamed(
        descriptions
    )
    assert run.stdout.count("--- before") == len(hosts)
    figures.count("hostile", "diffs of hostile texts through ansible-playbook", len(hosts))


def _renamed(descriptions: list[str]) -> set[str]:
    return {descriptions[n] for n in range(0, 40, 4)}
