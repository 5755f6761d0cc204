# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action read_variables, with variables from YAML and templates."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ansible.template
import pytest
import yaml
from ansible.parsing import vault
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar

from tests.support import COLLECTION, ROOT

TEXT = {"description": {"type": "str"}}
LIST = {"keep": {"type": "list", "elements": "str"}}
SECRET = "s3cret-canary"


def load(text: str, loader: DataLoader) -> dict[str, Any]:
    """Load variables as a playbook does; ansible-core 2.19 and newer mark trusted templates."""
    trust = getattr(ansible.template, "trust_as_template", str)
    return dict(loader.load(trust(text)) or {})


def read(
    directory: Path,
    options: dict[str, Any],
    variables: str = "",
    hidden: tuple[str, ...] = (),
    deprecated: dict[str, str] | None = None,
    *,
    check_mode: bool = False,
    **spec: Any,
) -> dict[str, Any]:
    """Run the action with variables written in YAML."""
    path = directory / "spec.yml"
    path.write_text(yaml.safe_dump({"argument_specs": {"x": {"options": options}}, **spec}))
    loader = DataLoader()
    secrets = [("default", VaultSecret(b"password"))]
    loader.set_vault_secrets(secrets)
    context = getattr(vault, "VaultSecretsContext", None)
    if context and not context.current(optional=True):  # since ansible-core 2.19
        context.initialize(context(secrets))
    found = load(variables, loader)
    plugin = importlib.import_module(f"{COLLECTION}.plugins.action.read_variables")
    task = SimpleNamespace(
        args={"spec": str(path), "secrets": list(hidden), "deprecated": deprecated or {}},
        async_val=0,
        environment=None,
        action="read_variables",
        check_mode=check_mode,
        get_play=lambda: SimpleNamespace(strategy="host_pinned"),
    )
    action = plugin.ActionModule(
        task, None, SimpleNamespace(check_mode=False), loader, Templar(loader, found), None
    )
    action._find_needle = lambda _folder, name: name
    return dict(action.run(task_vars=found))


@pytest.fixture(autouse=True)
def _base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip what Ansible itself does before an action."""
    plugin = importlib.import_module(f"{COLLECTION}.plugins.action.read_variables")
    monkeypatch.setattr(plugin.ActionBase, "run", lambda *_a, **_k: {})


def refused(result: dict[str, Any]) -> str:
    assert result["failed"] is True
    assert result["error"]["type"] == "options"
    assert "variables" not in result
    return str(result["msg"])


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("0042", "number 34"),
        ("1.10", "number 1.1"),
        ("no", "boolean false"),
        ("2024-01-01", "date 2024-01-01"),
        ("2024-01-01 10:00:00", "date 2024-01-01 10:00:00"),
        ("[key 1, key 2]", 'list ["key 1", "key 2"]'),
        ("'{{ number }}'", "number 34"),
        ("'{{ twice }}'", "number 34"),
        ("'{{ names }}'", 'list ["key 1", "key 2"]'),
        ("""'{{ ["key 1", "key 2"] }}'""", 'list ["key 1", "key 2"]'),
    ],
)
def test_refuses_value_that_is_not_text(tmp_path: Path, written: str, message: str) -> None:
    more = "\nnumber: 0042\ntwice: '{{ number }}'\nnames: [key 1, key 2]"
    msg = refused(read(tmp_path, TEXT, f"description: {written}{more}"))
    assert msg.startswith("description must be ")
    assert f"its value is the {message}" in msg
    assert ("Put it in quotes" in msg and "AWX survey" in msg) is ("[" not in message)


@pytest.mark.parametrize(
    "written",
    [
        "{private_key: 55c3bbb6-b4bb-40be-8e66-d20841f3e000}",
        "[{private_key: 55c3bbb6-b4bb-40be-8e66-d20841f3e000}]",
        "[the key 55c3bbb6-b4bb-40be-8e66-d20841f3e000]",
        "[mdb_sa_sk_55c3bbb6]",
        "'{{ created }}'",
    ],
)
def test_does_not_show_value_that_may_contain_a_secret(tmp_path: Path, written: str) -> None:
    more = "\ncreated: {private_key: 55c3bbb6}"
    msg = refused(read(tmp_path, TEXT, f"description: {written}{more}"))
    assert msg.startswith("description must be a single string, but its value is a ")
    assert "55c3bbb6" not in msg


@pytest.mark.parametrize(
    ("kind", "written"),
    [("str", "9" * 4000), ("float", "9" * 4000), ("int", f"'{'9' * 5000}'")],
)
def test_refuses_number_with_thousands_of_digits(tmp_path: Path, kind: str, written: str) -> None:
    options = {"grace_period": {"type": kind}}
    assert len(refused(read(tmp_path, options, f"grace_period: {written}"))) < 1000


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"0042"', "0042"),
        ('"no"', "no"),
        ('"[1,2]"', "[1,2]"),
        ('"True"', "True"),
        ("'{{ number }}'", "34"),
        ("'{{ like_a_list }}'", "[1,2]"),
        ("'{{ like_a_boolean }}'", "True"),
        ("'a {{ number }} b'", "a 34 b"),
        ("'{{ 34 | string }}'", "34"),
        ('!unsafe "{{ no_template }}"', "{{ no_template }}"),
        ('" spaces "', " spaces "),
    ],
)
def test_keeps_text_unchanged(tmp_path: Path, written: str, text: str) -> None:
    more = '\nnumber: "34"\nlike_a_list: "[1,2]"\nlike_a_boolean: "True"'
    result = read(tmp_path, TEXT, f"description: {written}{more}")
    assert result["variables"] == {"description": text}


@pytest.mark.parametrize(
    "written", ["", '""', "null", "!unsafe ''", "'{{ empty }}'", "'{{ nothing }}'"]
)
@pytest.mark.parametrize("kind", ["str", "bool", "int", "list"])
def test_null_and_empty_text_are_not_set(tmp_path: Path, written: str, kind: str) -> None:
    options = {"x": {"type": kind}}
    result = read(tmp_path, options, f"x: {written}\nempty: ''\nnothing: null")
    assert result["variables"] == {}
    assert read(tmp_path, LIST, 'keep: " \\n\\n"')["variables"] == {}


def test_uses_default_if_not_set(tmp_path: Path) -> None:
    options = {"a": {"default": "x"}, "b": {"type": "int", "default": 0}, "c": {}}
    assert read(tmp_path, options, "a: ''\nb: null")["variables"] == {"a": "x", "b": 0}
    assert read(tmp_path, options)["variables"] == {"a": "x", "b": 0}
    assert read(tmp_path, options, "a: y\nb: 1")["variables"] == {"a": "y", "b": 1}


def test_names_missing_required_variable(tmp_path: Path) -> None:
    for variables in ("", "description: ''", "description: null"):
        msg = refused(read(tmp_path, {"description": {"required": True}}, variables))
        assert msg == "description is required but not set."


@pytest.mark.parametrize(
    ("written", "items"),
    [
        ("[a, b]", ["a", "b"]),
        ("[]", []),
        ('["[1,2]", "True"]', ["[1,2]", "True"]),
        ("""'{{ ["a", "b"] }}'""", ["a", "b"]),
        ("'{{ names }}'", ["a", "b"]),
        ('"extra *\\n\\n  twin \\r\\n[\\"x\\"]\\n"', ["extra *", "twin", '["x"]']),
        ("""'{{ ["a "] | map("trim") }}'""", ["a"]),
        ("""['{{ names[0] }}']""", ["a"]),
    ],
)
def test_accepts_lists_and_text_with_one_item_per_line(
    tmp_path: Path, written: str, items: Any
) -> None:
    result = read(tmp_path, LIST, f"keep: {written}\nnames: [a, b]")
    assert result["variables"] == {"keep": items}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("[a, 1.10]", "keep (item 2) must be text, but its value is the number 1.1"),
        ("[no]", "keep (item 1) must be text, but its value is the boolean false"),
        ("[[a]]", "keep (item 1) must be a single string"),
        ('[""]', "keep has an empty item, number 1"),
        ("[a, null]", "keep has an empty item, number 2"),
        ("7", "keep must be a list, or text with one item per line"),
        ("{a: b}", "keep must be a list"),
    ],
)
def test_refuses_lists_of_other_values(tmp_path: Path, written: str, message: str) -> None:
    assert message in refused(read(tmp_path, LIST, f"keep: {written}"))


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("bool", "yes", True),
        ("bool", '"true"', True),
        ("bool", '"no"', False),
        ("int", "60", 60),
        ("int", '"60"', 60),
        ("int", "'{{ 30 + 30 }}'", 60),
        ("float", "0.5", 0.5),
        ("float", '"60"', 60.0),
        ("dict", "{a: 1}", {"a": 1}),
    ],
)
def test_converts_other_types(tmp_path: Path, kind: str, written: str, value: Any) -> None:
    found = read(tmp_path, {"x": {"type": kind}}, f"x: {written}")["variables"]["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "written", "message"),
    [
        ("bool", "maybe", "must be true or false"),
        ("bool", "[true]", "must be true or false"),
        ("int", "yes", "must be a whole number, but its value is the boolean true"),
        ("int", "1.5", "must be a whole number"),
        ("int", '"1_0"', "must be a whole number"),
        ("float", ".inf", "must be a number"),
        ("float", '"1e999"', "must be a number"),
        ("float", "soon", 'must be a number, but its value is the text "soon"'),
        ("dict", "[a]", "must be a dictionary"),
    ],
)
def test_other_types_refuse_other_values(
    tmp_path: Path, kind: str, written: str, message: str
) -> None:
    assert f"x {message}" in refused(read(tmp_path, {"x": {"type": kind}}, f"x: {written}"))


def test_accepts_only_choices(tmp_path: Path) -> None:
    options = {"a": {"choices": ["x", "y"]}, "b": {"type": "list", "choices": ["x"]}}
    assert read(tmp_path, options, "a: y\nb: [x]")["variables"] == {"a": "y", "b": ["x"]}
    msg = refused(read(tmp_path, options, "a: z\nb: [x, Y]"))
    assert 'a must be one of x, y, but its value is the text "z".' in msg
    assert 'b must be one of x, but its value is the text "Y".' in msg


@pytest.mark.parametrize("written", ["x", "null", "''"])
def test_refuses_misspelled_variable(tmp_path: Path, written: str) -> None:
    spec = {"misspellings": {"roles": "org_roles", "keeps": "keep"}}
    msg = refused(read(tmp_path, LIST, f"roles: {written}\nkeep: [a]", **spec))
    assert msg == "roles is not a variable of this playbook. Use org_roles instead."
    assert read(tmp_path, LIST, "keep: [a]\nkeepsake: x", **spec)["variables"] == {"keep": ["a"]}


def test_names_undefined_variables(tmp_path: Path) -> None:
    options = {**TEXT, **LIST, "secret": {"no_log": True}, "part": {}}
    variables = (
        "description: '{{ vault_one }}'\nkeep: [a, '{{ b }}']\nb: 'x {{ vault_two }}'\n"
        "secret: '{{ vault_three | default(vault_four) }}'\npart: '{{ d.e }}'\nd: {a: 1}"
    )
    msg = refused(read(tmp_path, options, variables))
    assert "description uses a variable that is not defined: vault_one." in msg
    assert "keep uses a variable that is not defined: vault_two." in msg
    assert "secret uses a variable that is not defined: vault_four, vault_three." in msg
    assert "part uses a value that is not defined." in msg


def test_reports_failed_lookup(tmp_path: Path) -> None:
    variables = 'description: \'{{ lookup("file", "/nowhere/at/all") }}\''
    msg = refused(read(tmp_path, TEXT, variables))
    assert msg.startswith("description has a value that cannot be read: ")


def encrypted(name: str, text: str) -> str:
    library = VaultLib([("default", VaultSecret(b"password"))])
    lines = library.encrypt(text.encode()).decode().splitlines()
    return f"{name}: !vault |\n" + "".join(f"  {line}\n" for line in lines)


def test_decrypts_text(tmp_path: Path) -> None:
    options = {**TEXT, "other": {}, **LIST}
    variables = f"{encrypted('description', '0042')}other: '{{{{ description }}}}'\n"
    variables += "keep: ['{{ description }}']"
    found = read(tmp_path, options, variables)["variables"]
    assert found == {"description": "0042", "other": "0042", "keep": ["0042"]}
    assert all(isinstance(found[name], str) for name in ("description", "other"))


def test_hides_secrets(tmp_path: Path) -> None:
    options = {"secret": {"no_log": True}, "n": {"type": "int", "no_log": True}, **TEXT}
    assert read(tmp_path, options, f"secret: {SECRET}")["_ansible_no_log"] is True
    assert "_ansible_no_log" not in read(tmp_path, options, "description: x")
    for variables in (
        f"secret: [{SECRET}]",
        f"secret: {{{SECRET}: 1}}",
        "secret: 4711",
        f"n: {SECRET}",
        f"secret: \"{{{{ {{}}['{SECRET}'] }}}}\"",
        f"secret: \"{{{{ lookup('file', '/{SECRET}') }}}}\"",
        f"secret: {SECRET}\ndescription: 7",
    ):
        result = read(tmp_path, options, variables)
        refused(result)
        assert SECRET not in str(result)
        assert "4711" not in str(result)


def test_task_can_declare_secrets(tmp_path: Path) -> None:
    found = read(tmp_path, TEXT, "description: x", hidden=("description",))
    assert found["_ansible_no_log"] is True
    assert "4711" not in str(read(tmp_path, TEXT, "description: 4711", hidden=("description",)))


def test_omitted_value_is_not_set(tmp_path: Path) -> None:
    """Uses the placeholder of ansible-core before 2.19."""
    variables = "omit: __omit_place_holder__1\ndescription: '{{ omit }}'\nkeep: [a, '{{ omit }}']"
    assert read(tmp_path, {**TEXT, **LIST}, variables)["variables"] == {"keep": ["a"]}


def test_does_not_show_long_values(tmp_path: Path) -> None:
    assert len(refused(read(tmp_path, LIST, f"keep: {{a: {'x' * 1000}}}"))) < 250


def test_never_evaluates_text_again(tmp_path: Path) -> None:
    result = read(tmp_path, TEXT, "description: !unsafe '{{ 6 * 7 }}'")
    value = result["variables"]["description"]
    assert Templar(DataLoader(), {}).template(value) == "{{ 6 * 7 }}"


def test_reads_connection_variables(tmp_path: Path) -> None:
    (tmp_path / "connection.yml").write_text(
        (ROOT / "playbooks" / "vars" / "connection.yml").read_text("utf-8"), "utf-8"
    )
    variables = "platform: ops_manager\nvalidate_certs: 'false'\norg_id: ''"
    result = read(tmp_path, TEXT, variables, connection=True)
    assert result["variables"] == {"platform": "ops_manager", "validate_certs": False}
    assert "org_id must be text" in refused(read(tmp_path, TEXT, "org_id: 12", connection=True))
    assert read(tmp_path, TEXT, "org_id: 12")["variables"] == {}


def test_warns_of_deprecated_variable_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    plugin = importlib.import_module(f"{COLLECTION}.plugins.action.read_variables")
    monkeypatch.setattr(
        plugin.Display, "deprecated", lambda _self, msg, **more: shown.append(f"{msg} {more}")
    )
    options = {name: {"type": "str"} for name in ("old", "empty", "null", "new")}
    deprecated = {"old": "Use new.", "empty": "Use new.", "null": "Use new."}
    variables = "old: text\nempty: ''\n'null': null"
    found = read(tmp_path, options, variables, deprecated=deprecated)
    assert found["variables"] == {"old": "text"}
    (message,) = shown
    assert "The variable old is deprecated. Use new." in message
    assert "4.0.0" in message


@pytest.mark.parametrize("check_mode", [True, False])
def test_returns_check_mode_of_the_task(tmp_path: Path, check_mode: bool) -> None:
    assert read(tmp_path, TEXT, check_mode=check_mode)["check_mode"] is check_mode


def test_returns_strategy_of_the_play(tmp_path: Path) -> None:
    assert read(tmp_path, TEXT)["strategy"] == "host_pinned"
