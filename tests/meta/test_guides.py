# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guides say what the code does: each error has its section, each example runs."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _errors,
    _input,
    _module,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection import _resolve
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _access_lists,
    _adoption,
    _assignments,
    _key_access_lists,
    _org_api_keys,
    _resource,
)
from tests.documents import DOCUMENTS, GUIDES, blocks, yaml_blocks
from tests.emulator import Emulator
from tests.support import (
    COLLECTION,
    MISSING_ID,
    ROOT,
    key_id,
    key_pair,
    org_id,
    run_module,
    seed,
)

RST = ROOT / "docs" / "docsite" / "rst"
ERRORS = (RST / "guide_errors.rst").read_text("utf-8")
PREFIX = "ansible_collections.keysmith.mongodb.docsite."
CODE = re.compile(r"[A-Z]+(_[A-Z]+)+")

# Sections about failures that share an error type with others.
TOPICS = (
    "value_not_text",
    "empty_value",
    "masked_value",
    "playbook_variables",
    "look_alikes",
    "max_revocations",
    "unselected",
    "rotation_marks",
    "rotation_changed",
    "keep_missing",
    "adoption",
    "contradicted",
    "account_text",
    "initial_secret",
    "invalid_client",
    "system_managed",
)

# The request in the messages that the guide quotes.
REQUEST = _errors.Request(
    "DELETE",
    "https://cloud.mongodb.com",
    "/api/atlas/v2/orgs/5f0d9a4e1c2b3a0011223301/apiKeys/5f0d9a4e1c2b3a00112233a2",
    "revoke the API key 5f0d9a4e1c2b3a00112233a2 (zmmrboas)",
    required_role="Organization Owner",
    credential_name="the API key ownerkey",
    platform="MongoDB Atlas",
)

OF_PROJECT = replace(REQUEST, required_role=_assignments.PROJECT_OWNER)


def classes() -> dict[str, type[_errors.KeysmithError]]:
    """Return the errors that users see, without base classes, by the last part of their labels."""
    every = [
        value
        for _name, value in inspect.getmembers(_errors, inspect.isclass)
        if issubclass(value, _errors.KeysmithError)
        and value not in {_errors.KeysmithError, _errors.TransportError, _errors.AdvisedError}
    ]
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in every}


def codes() -> set[str]:
    """Return the API's error codes to which the collection adds advice."""
    tree = ast.parse(inspect.getsource(_errors))
    values = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    found = {value for value in values if isinstance(value, str) and CODE.fullmatch(value)}
    return found | _access_lists._CALLER_STAYS


def statuses() -> set[int]:
    """Return the HTTP statuses to which the collection adds advice."""
    tree = ast.parse(inspect.getsource(_errors._advice_by_status))
    return {
        node.comparators[0].value  # type: ignore[attr-defined]
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
    }


def sections() -> dict[str, str]:
    """Return the text of each section about errors, without markup, by each of its labels."""
    found: dict[str, str] = {}
    labels: list[str] = []
    for part in re.split(r"^(?=\.\. _)", ERRORS, flags=re.MULTILINE):
        label = re.match(rf"\.\. _{re.escape(PREFIX)}errors\.(\w+):\n", part)
        if not label:
            continue
        assert label[1] not in found, f"{label[1]} is there twice"
        labels.append(label[1])
        text = " ".join(part[label.end() :].replace("\\", "").split())
        if text:
            found.update(dict.fromkeys(labels, text))
            labels = []
    return found


def test_every_error_has_a_section_and_every_section_an_error() -> None:
    expected = {*classes(), *(code.lower() for code in codes())}
    expected |= {f"status_{status}" for status in statuses()}
    assert sections().keys() == {*expected, *TOPICS}


def test_every_type_of_error_has_one_row() -> None:
    label = re.escape(f"{PREFIX}errors.")
    row = rf"^   \* - :ref:`(\w+) <{label}\w+>`\n     - "
    assert re.findall(row, ERRORS, re.MULTILINE) == list(_errors.ERROR_TYPES)


def test_the_types_of_errors_are_those_of_the_classes() -> None:
    every = [kind for _name, kind in inspect.getmembers(_errors, inspect.isclass)]
    types = {kind.type for kind in every if issubclass(kind, _errors.KeysmithError)}
    assert types == {*_errors.ERROR_TYPES}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples_compare_types_that_exist(document: Path) -> None:
    """A rescue that compares any other type never runs, and no test would notice."""
    comparison = r"type\b[^\n]*? (?:==|in) ('\w+'|\[[^\]]+\])"
    compared = " ".join(re.findall(comparison, document.read_text("utf-8")))
    assert {*re.findall(r"'(\w+)'", compared)} <= {*_errors.ERROR_TYPES}
    if document.name == "guide_errors.rst":
        assert compared


def test_sections_are_found() -> None:
    assert {"own_key_error", "user_unauthorized", "status_429"} <= sections().keys()
    assert len({*sections().values()}) > 30


def advice() -> Iterator[tuple[str, str]]:
    """Yield the label of each section that must repeat advice, and the advice."""
    for code in sorted(codes() - _access_lists._CALLER_STAYS):
        parameters = [REQUEST.path] if code == "RESOURCE_NOT_FOUND" else ["192.0.2.7"]
        request = OF_PROJECT if code in _errors._PROJECT_MISSING else REQUEST
        yield code.lower(), _errors.api_advice(401, code, parameters, request)
    for status in sorted(statuses()):
        yield f"status_{status}", _errors.api_advice(status, None, [], REQUEST)
    yield "value_not_text", _input._QUOTE_IT
    environ = {"ALL_PROXY": "socks5://proxy:1080"}
    with pytest.raises(_errors.OptionError) as refused:
        _resolve._proxy({"http_proxy": None}, environ, "https://cloud.mongodb.com")
    yield "option_error", refused.value.message()
    yield "look_alikes", _resource.LOOK_ALIKES
    yield "adoption", _adoption.advice(_org_api_keys.API_KEYS)
    caller = _errors.ApiError("refused", code="CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST")
    key = _org_api_keys.OrgApiKey("5f0d9a4e1c2b3a00112233a2", "shop", "zmmrboas", (), ())
    lists = _key_access_lists.API_KEY_LISTS
    found = _access_lists.of_new(lists, "5f0d9a4e1c2b3a0011223301", key, lists.name)
    yield "cannot_remove_caller_from_access_list", _access_lists._explained(caller, found).hint


@pytest.mark.parametrize(
    ("label", "text"), list(advice()), ids=lambda value: value.partition(" ")[0]
)
def test_a_section_quotes_the_advice(label: str, text: str) -> None:
    assert text in sections()[label]


def test_a_message_of_the_api_ends_in_the_advice() -> None:
    messages = [" ".join(part.split()) for part in ERRORS.split("\n\n")]
    found = [re.search(r'the API returned (\d+) (\w+), "[^"]+"\. (.+)', text) for text in messages]
    told = [(int(m[1]), m[2], m[3]) for m in found if m]
    assert len(told) == 2
    for status, code, text in told:
        assert text == _errors.api_advice(status, code, [], REQUEST)


@pytest.mark.parametrize("label", sorted(sections()))
def test_a_section_says_what_to_check_and_what_exists_afterwards(label: str) -> None:
    text = sections()[label]
    assert "**Check** " in text
    assert "**Afterwards** " in text


def test_every_reference_has_a_label() -> None:
    """Sphinx checks this too, but only when it builds the site."""
    texts = [path.read_text("utf-8") for path in GUIDES]
    defined = {label for text in texts for label in re.findall(r"^\.\. _(\S+):$", text, re.M)}
    referenced = {
        label for text in texts for label in re.findall(r":ref:`(?:[^`<]+<)?([^`<>]+)>?`", text)
    }
    assert referenced <= defined
    assert all(label.startswith(PREFIX) for label in defined)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that loads source code as a module that run_module can run."""

    def _load(source: str) -> ModuleType:
        name = f"{COLLECTION}.plugins.modules.of_a_guide"
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(source, module.__dict__)
        return module

    return _load


def test_the_module_in_the_guide_works(emulator: Emulator, load: Any) -> None:
    load(blocks(RST / "guide_writing_a_module.rst", "python")[0])
    options = {
        "base_url": emulator.url,
        "org_id": org_id("atlas"),
        "api_user_id": key_id("atlas", 2),
        "description": "another name",
        **key_pair("atlas"),
    }
    checked = run_module("of_a_guide", options, check=True, diff=True)
    assert emulator.writes == []
    real = run_module("of_a_guide", options, diff=True)
    assert real.changed
    assert real.result == checked.result
    assert real.result["org_api_key"]["description"] == "another name"
    again = run_module("of_a_guide", options)
    assert (again.changed, again.failed) == (False, False)
    assert len(emulator.writes) == 1
    missing = run_module("of_a_guide", {**options, "api_user_id": MISSING_ID})
    assert missing.failed
    assert "not created" in missing.msg


def test_the_call_in_the_guide_works(emulator: Emulator, load: Any) -> None:
    module = load(blocks(RST / "guide_writing_a_module.rst", "python")[1])

    def run(params: Any, api: Any, _check_mode: bool) -> dict[str, Any]:
        return {"changed": False, "org": module.read(api, params["org_id"]).result()}

    module.main = lambda: _module.execute({}, lambda _params: None, run)
    options = {"base_url": emulator.url, "org_id": org_id("atlas"), **key_pair("atlas")}
    outcome = run_module("of_a_guide", options)
    assert outcome.result["org"] == {"id": org_id("atlas"), "name": "The atlas organization"}


def test_the_test_in_the_guide_passes(emulator: Emulator, load: Any) -> None:
    (source,) = blocks(RST / "guide_tests.rst", "python")
    load(source).test_a_lost_response_counts_as_a_change(emulator)


PORTING = [text for number in (2, 3) for text in yaml_blocks(RST / f"guide_porting_{number}.rst")]
# Keys of the porting guide's organization, in addition to those of the seed.
CI = {
    "id": f"5ac{21 * '0'}",
    "description": "CI",
    "public_key": "cicicici",
    "roles": ["ORG_MEMBER"],
}
LAPTOP = {
    "id": f"5ad{21 * '0'}",
    "description": "laptop of Anna",
    "public_key": "laptopan",
    "roles": ["ORG_OWNER"],
}


def ported(task: dict[str, Any], variables: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the module of a task and its options, once for each item of its loop."""
    (name,) = (key for key in task if key.startswith("keysmith.mongodb."))
    environment = NativeEnvironment()
    for item in variables["team_keys"] if "loop" in task else [None]:
        options = {
            option: environment.from_string(value).render({**variables, "item": item})
            if isinstance(value, str) and "{{" in value
            else value
            for option, value in task[name].items()
        }
        yield name.rpartition(".")[2], {k: v for k, v in options.items() if v != "omitted"}


@pytest.mark.parametrize("text", PORTING, ids=lambda text: text.splitlines()[1].strip())
def test_the_porting_guide_says_what_is_refused(
    text: str, emulator: Emulator, tmp_path: Path
) -> None:
    comment = text.splitlines()[0]
    if comment not in {"# Refused", "# Accepted"} or "api_user_id" in text:
        return
    organizations = seed()
    organizations["organizations"][0]["api_keys"] += [
        {**key, "private_key": f"{number:08d}-1111-4111-8111-{'0' * 12}", "access_list": []}
        for number, key in enumerate([CI, LAPTOP], 900)
    ]
    emulator.reset(organizations)
    pair = key_pair("atlas")
    variables = {
        "omit": "omitted",
        "org_id": org_id("atlas"),
        "atlas_public_key": pair["api_public_key"],
        "atlas_private_key": pair["api_private_key"],
        "credentials_file": str(tmp_path / "key.json"),
        "team_keys": ["key 1", "key 2"],
    }
    environ = {
        "MONGODB_ATLAS_BASE_URL": emulator.url,
        "MONGODB_ATLAS_ORG_ID": org_id("atlas"),
    }
    for module, options in ported(yaml.safe_load(text)[0], variables):
        own = (
            {}
            if "api_public_key" in options
            else {
                "MONGODB_ATLAS_PUBLIC_API_KEY": pair["api_public_key"],
                "MONGODB_ATLAS_PRIVATE_API_KEY": pair["api_private_key"],
            }
        )
        outcome = run_module(module, options, environ={**environ, **own}, check=True)
        if comment == "# Accepted":
            assert not outcome.failed, outcome.msg
        else:
            assert outcome.failed
            assert outcome.result["error"]["type"] in {"options", "ambiguous", "guard"}
    assert emulator.writes == []


def test_the_porting_guide_has_both_sides_of_each_change() -> None:
    comments = [text.splitlines()[0] for text in PORTING]
    assert comments.count("# Refused") > 12
    for before, after in zip(comments, comments[1:], strict=False):
        assert before != "# Refused" or after == "# Accepted"


def found_account(*last_used_at: str | None) -> dict[str, Any]:
    return {"service_accounts": [{"secrets": [{"last_used_at": date} for date in last_used_at]}]}


def revocation() -> list[dict[str, Any]]:
    """Return the tasks of the guide that revoke the key of a consumer that was moved."""
    plays = [yaml.safe_load(text)[0] for text in yaml_blocks(RST / "guide_service_accounts.rst")]
    (steps,) = [play["tasks"] for play in plays if play["name"].startswith("Revoke the key")]
    return list(steps)


@pytest.mark.parametrize(
    ("moved_at", "is_comparable"),
    [
        ("2026-12-01T06:00:00Z", True),
        ("2026-12-01 06:00:00", False),
        ("2026-12-01T06:00:00+01:00", False),
        ("2026-12-01", False),
        ("", False),
    ],
)
def test_the_guide_compares_only_times_of_one_format(moved_at: str, is_comparable: bool) -> None:
    environment = NativeEnvironment()
    environment.tests["match"] = lambda value, pattern: bool(re.match(pattern, value))
    expression = environment.compile_expression(revocation()[0]["ansible.builtin.assert"]["that"])
    assert expression(moved_at=moved_at) is is_comparable


@pytest.mark.parametrize(
    ("found", "is_moved"),
    [
        (found_account("2026-12-01T06:00:01Z", None), True),
        (found_account("2026-12-01T05:59:59Z", None), False),
        (found_account(), False),
        ({"service_accounts": [{"secrets": None}]}, False),
        ({"service_accounts": []}, False),
    ],
)
def test_the_guide_revokes_a_key_only_after_its_consumer_was_moved(
    found: dict[str, Any], is_moved: bool
) -> None:
    *_others, check, last = revocation()
    assert last["keysmith.mongodb.org_api_key"]["state"] == "absent"
    expression = NativeEnvironment().compile_expression(check["ansible.builtin.assert"]["that"])
    assert expression(found=found, moved_at="2026-12-01T06:00:00Z") is is_moved
