# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of every module with hostile values: nothing leaks into a request.

The options come from the argument specs of the modules, so new ones are included.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from tests.emulator import Emulator, Recorded
from tests.samples import SAMPLES
from tests.support import (
    API_PATHS,
    COLLECTION,
    MODULES,
    Outcome,
    account_id,
    key_id,
    org_id,
    project_id,
    run_module,
    secret_id,
    service_account,
)

BY_ID = {"api_user_id": key_id("atlas", 3)}
# Tasks to run with each hostile value in each option.
TASKS: dict[str, list[dict[str, Any]]] = {
    module: [sample.options(BY_ID, project_id("atlas"))] for module, sample in SAMPLES.items()
}
TASKS |= {
    "api_request": [
        {"path": "/orgs"},
        {"method": "POST", "path": "/groups", "body": {"name": "x"}, "unique_by": ["name"]},
    ],
    "org_api_key": [
        {**BY_ID, "state": "absent"},
        {"description": "new", "roles": ["ORG_MEMBER"]},
    ],
    "org_api_key_rotation": [
        {**BY_ID, "phase": "begin"},
        {**BY_ID, "phase": "roll_back", "successor_id": key_id("atlas", 2)},
    ],
    "org_api_keys": [
        {"state": "absent", "api_user_ids": [key_id("atlas", 3)]},
        {"api_keys": [{"description": "new", "roles": ["ORG_MEMBER"]}]},
    ],
    "service_account": [
        {"service_account_id": account_id("atlas", 2), "state": "absent"},
        {"name": "new", "roles": ["ORG_MEMBER"]},
    ],
    "service_account_secret": [
        *TASKS["service_account_secret"],
        {"name": "busy", "secret_id": secret_id("atlas"), "state": "absent"},
    ],
}
MARK = "x-evil"
VALUES = {
    "CR LF": f"a\r\n{MARK}: 1",
    "CR LF at the end": f"a {MARK}\r\n",
    "LF": f"a\n{MARK}: 1",
    "NUL": f"a\x00{MARK}",
    "a lone surrogate": f"\ud800{MARK}",
    "invalid UTF-8": f"\udcff{MARK}",
    "Unicode line breaks": f"a\u2028{MARK}\u2029\x85",
    "escapes": f"\x1b[31m{MARK}\x1b]0;x\x07\x9b",
    "writing direction": f"\u202e{MARK}\u2066",
    "a parent directory": f"../../../{MARK}",
    "a quoted parent directory": f"%2e%2e%2f%2e%2e/{MARK}",
    "a path": f"a/{MARK}",
    "a parameter": f"a;{MARK}",
    "a query": f"a?{MARK}=1",
    "a fragment": f"a#{MARK}",
    "quoted line breaks": f"a%0d%0a{MARK}: 1",
    "a template": f"{{{{ {MARK} }}}}",
    "an ID with extra text": f"{key_id('atlas', 3)}/{MARK}",
    "an ID of an account with more": f"{account_id('atlas', 2)}/{MARK}",
    "an ID with a line break": key_id("atlas", 3) + f"\n{MARK}",
    "digits in another script": "\u0665" * 24 + MARK,
    # Longer than any limit of a header or a line.
    "a long text": "A" * 100_000 + MARK,
    "a quote": f'a", {MARK}="1',
}
HEADERS = {"Host", "Accept", "Accept-Encoding", "User-Agent", "Content-Type", "Content-Length"}
UNSENDABLE = ("a lone surrogate", "invalid UTF-8")


@pytest.fixture(autouse=True)
def _deep_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a directory so deep that no hostile path leads out of it."""
    folder = tmp_path / "a" / "b" / "c" / "d"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)


def spec(module: str) -> dict[str, dict[str, Any]]:
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
    options = importlib.import_module(f"{COLLECTION}.plugins.module_utils._argspec")
    return {**options.CONNECTION_OPTIONS, **source.ARGUMENT_SPEC}


def filled(option: Mapping[str, Any], text: str) -> Iterator[Any]:
    """Yield values of an option that contain the text: a string, a list, a dictionary in a list."""
    if option["type"] in {"dict", "raw"}:
        yield from ({"name": text}, {"name": {text: [text]}}, {text: "name"})
        yield [{"name": text}]
    elif option["type"] != "list":
        yield text
    elif "options" not in option:
        yield [text]
    else:
        for name, inner in option["options"].items():
            for value in filled(inner, text):
                yield [{**_minimal(option["options"]), name: value}]


def _minimal(options: Mapping[str, Any]) -> dict[str, Any]:
    known = {"description": "new", "project_id": project_id("atlas"), "roles": ["GROUP_OWNER"]}
    minimal = {name: known[name] for name, option in options.items() if option.get("required")}
    return {**minimal, "roles": ["ORG_MEMBER"]} if "access_list" in options else minimal


def tasks(module: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in spec(module).items():
        # Ansible itself validates the other types.
        if option["type"] not in {"str", "path", "list", "dict", "raw"}:
            continue
        values = [*filled(option, text), *([f"/orgs/{text}"] if name == "path" else [])]
        for value in values:
            for task in TASKS[module]:
                given = {**task, name: value}
                if name in {"public_key", "description"} and "api_user_id" in given:
                    del given["api_user_id"]
                if {"name", "service_account_id"} <= given.keys():
                    del given["name" if name == "service_account_id" else "service_account_id"]
                yield name, given


def run(emulator: Emulator, module: str, options: Mapping[str, Any]) -> Outcome:
    credentials = SAMPLES[module].signer("atlas")
    if {"client_id", "client_secret"} & options.keys():
        credentials = service_account("atlas")
    elif "access_token" in options:
        credentials = {}
    common = {"base_url": emulator.url, "org_id": org_id("atlas"), "retries": 0, "timeout": 5}
    return run_module(module, {**common, **credentials, **options}, diff=True)


def check(outcome: Outcome, requests: list[Recorded], own: Collection[str] = ()) -> None:
    """Check a result and the requests, in which ``own`` texts are intended."""
    assert "Internal error" not in outcome.output
    assert "Traceback" not in outcome.output
    # Ansible itself rejects values that are not one of an option's choices.
    if not outcome.msg.startswith("value of "):
        assert outcome.msg.isprintable(), outcome.msg
        assert len(outcome.msg) < 10_000
    for warning in outcome.result.get("warnings", ()):
        assert str(warning).isprintable()
    for request in requests:
        paths = [*API_PATHS.values(), "/api/oauth"]
        assert any(request.path.startswith(path) for path in paths), request.path
        # A hostile credential may be in its own header.
        others = [pair for pair in request.headers if pair[0] != "Authorization"]
        shown = [*unquote(request.path).split("/", 5), *chain(*request.query.items())]
        text = json.dumps([part for part in shown if part not in own]) + str(others)
        assert MARK not in text.lower(), text
        assert {name for name, _value in others} <= HEADERS
        assert request.headers.get("Authorization", "").count("response=") <= 1
        assert ".." not in request.path
        if request.headers.get("Content-Type", "").endswith("json"):
            json.loads(request.body)
        elif request.body:
            assert {name for name, _value in parse_qsl(request.body.decode())} <= {
                *("grant_type", "token", "token_type_hint")
            }


def own_texts(options: Mapping[str, Any]) -> set[str]:
    """Return what a request to any endpoint is supposed to contain."""
    query = options["query"] if isinstance(options.get("query"), dict) else {}
    texts = {*query, *(value for value in query.values() if isinstance(value, str))}
    return texts | {unquote(options.get("path", "")).rpartition("/orgs/")[2]}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("kind", VALUES)
def test_a_hostile_value_stays_a_value(emulator: Emulator, module: str, kind: str) -> None:
    tried = 0
    for name, options in tasks(module, VALUES[kind]):
        emulator.requests.clear()
        emulator.writes.clear()
        outcome = run(emulator, module, options)
        check(outcome, emulator.requests, own_texts(options))
        if kind in UNSENDABLE:
            assert outcome.failed, (name, outcome.output)
            assert emulator.requests == []
            assert name in outcome.msg
        tried += 1
    assert tried >= 12


SECRET = "s3cret-of-base-url"
URLS = {
    "credentials": f"http://user:{SECRET}@127.0.0.1",
    "a user": f"http://{SECRET}@127.0.0.1",
    "a fragment": "http://127.0.0.1/#top",
    "an empty fragment": "http://127.0.0.1#",
    "a query": "http://127.0.0.1/?a=b",
    "another scheme": "ftp://127.0.0.1",
    "a file": "file:///etc/passwd",
    "a script": "javascript:alert(1)",
    "no scheme": "127.0.0.1:8080",
    "no host": "http:///x",
    "a newline": "http://127.0.0.1\r\nX-Evil: 1",
    "a newline in the path": "http://127.0.0.1/a\nb",
    "a tab": "http://127.0\t.0.1",
    "a space": "http://127.0.0.1/a b",
    "NUL": "http://127.0.0.1\x00.example",
    "a control character": "http://127.0.0.1\x1b[31m",
    "full-width digits": "http://\uff11\uff12\uff17.0.0.1",
    "a non-ASCII name": "http://münchen.example",
    "an ideographic full stop": "http://127\u30020.0.1",
    "a port out of range": "http://127.0.0.1:65536",
    "port zero": "http://127.0.0.1:0",
    "a negative port": "http://127.0.0.1:-1",
    "a port of letters": "http://127.0.0.1:http",
    "an incomplete IPv6 address": "http://[::1",
    "an invalid IPv6 address": "http://[::g]",
    "two hosts": "http://127.0.0.1\\.example",
    "a user behind a backslash": "http://127.0.0.1\\@example.com",
    "a host of spaces": "http:// ",
    "quotes": 'http://127.0.0.1"',
    "a percent": "http://127.0.0.1%00",
    "quoted line breaks": "http://127.0.0.1%0d%0aX-Evil",
    "a lone surrogate": "http://\ud800",
    "a host name of one megabyte": "http://" + "a" * 1_000_000,
    "many dots": "http://" + "." * 300,
    "a long label": "http://" + "a" * 64 + ".example",
}


@pytest.mark.parametrize("kind", URLS)
@pytest.mark.parametrize("option", ["base_url", "http_proxy"])
def test_an_invalid_url_is_rejected(emulator: Emulator, kind: str, option: str) -> None:
    # Some of these are valid proxy addresses, but no server responds there.
    given = {option: URLS[kind]}
    outcome = run(emulator, "org_info", given)
    assert outcome.failed, outcome.output
    check(outcome, emulator.requests)
    assert SECRET not in outcome.output
    assert emulator.requests == []
    assert "Could not" in outcome.msg or option in outcome.msg, outcome.msg
