# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirements for every module, and for the collection as a whole."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.keysmith.mongodb.plugins.module_utils import _errors
from tests.documents import DOCUMENTS, yaml_blocks
from tests.support import ACTIONS, COLLECTION, MODULES, ROOT

PLUGINS = ROOT / "plugins"
# As imports name them, below module_utils.
UTILS = sorted(
    ".".join(path.relative_to(PLUGINS / "module_utils").with_suffix("").parts)
    for path in (PLUGINS / "module_utils").rglob("_*.py")
    if path.name != "__init__.py"
)
FILTERS = sorted(path.stem for path in (PLUGINS / "filter").glob("*.py"))
PREFIX = "keysmith.mongodb."
# From the top down; a file imports only from files below it.
LAYERS = (
    "_module",
    "_rotation._rotation_steps",
    "_rotation._rotation",
    "_rotation._marks",
    "_bulk._bulk",
    "_bulk._key_sets",
    "_bulk._selection",
    "_bulk._changes",
    "_bulk._workers",
    "_input",
    "_resources._any_object",
    "_resources._key_present",
    "_resources._account_present",
    "_resources._access_tokens",
    "_resources._account_secrets",
    "_resources._account_files",
    "_resources._project_service_accounts",
    "_resources._new_keys",
    "_resources._key_files",
    "_resources._project_api_keys",
    "_resources._key_access_lists",
    "_resources._orgs",
    "_resources._org_api_keys",
    "_resources._service_accounts",
    "_resources._assignment_task",
    "_resources._assignments",
    "_resources._access_list_task",
    "_resources._access_lists",
    "_resources._absence",
    "_resources._adoption",
    "_resources._writes",
    "_resources._resource",
    "_download",
    "_secret_file",
    "_plan",
    "_client._client",
    "_client._auth",
    "_client._responses",
    "_client._http",
    "_client._transport_errors",
    "_client._rate_limiter",
    "_client._cancellation",
    "_client._clock",
    "_endpoints",
    "_argspec",
    "_connection._resolve",
    "_connection._secrets",
    "_connection._platform",
    "_connection._credential",
    "_connection._http_settings",
    "_errors",
    "_requests",
    "_text",
    "_python",
)


@functools.cache
def syntax_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def documentation(module: str) -> dict[str, Any]:
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
    return dict(yaml.safe_load(source.DOCUMENTATION))


@functools.cache
def documented_options(module: str, *without: str) -> dict[str, Any]:
    """Return the options in a module's documentation and its fragments, except some fragments."""
    known: dict[str, Any] = {}
    for name in documentation(module).get("extends_documentation_fragment", []):
        if name.removeprefix(PREFIX) not in without:
            fragment = importlib.import_module(
                f"{COLLECTION}.plugins.doc_fragments.{name.removeprefix(PREFIX)}"
            )
            known |= yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"]
    return known | documentation(module)["options"]


def options(module: str) -> set[str]:
    """Return every option a task may set, with all aliases."""
    known = documented_options(module)
    return known.keys() | {
        alias for option in known.values() for alias in option.get("aliases", [])
    }


def tasks(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every task in plays, blocks or task lists."""
    for item in value if isinstance(value, list) else []:
        nested = [name for name in ("tasks", "block", "rescue", "always") if name in item]
        for name in nested:
            yield from tasks(item[name])
        if not nested:
            yield item


def imports(path: Path) -> set[str]:
    """Return the files of module_utils that a file imports."""
    found = set()
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(COLLECTION):
            name = str(node.module).removeprefix(f"{COLLECTION}.plugins.module_utils").strip(".")
            if name in UTILS:
                found.add(name)
            else:
                found |= {f"{name}.{alias.name}".strip(".") for alias in node.names}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_unit_and_integration_tests(module: str) -> None:
    assert (ROOT / "tests" / "unit" / "modules" / f"test_{module}.py").is_file()
    integration = [
        path.read_text(encoding="utf-8") for path in (ROOT / "tests/integration").glob("*.py")
    ]
    assert any(f"{PREFIX}{module}" in text for text in integration)


def test_the_action_group_has_modules_only() -> None:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert sorted(runtime["action_groups"]["all"]) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_documents_itself(module: str) -> None:
    text = documentation(module)
    assert text["module"] == module
    assert {f"{PREFIX}attributes", f"{PREFIX}connection"} <= set(
        text["extends_documentation_fragment"]
    )
    for name, option in text["options"].items():
        assert option["description"], name


@pytest.mark.parametrize("module", MODULES)
def test_a_module_documents_its_specification(module: str) -> None:
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")

    def without(options: dict[str, Any], nested: str, *left_out: str) -> dict[str, Any]:
        return {
            name: {key: value for key, value in option.items() if key not in {nested, *left_out}}
            | ({"options": without(option[nested], nested, *left_out)} if nested in option else {})
            for name, option in options.items()
        }

    documented = documented_options(module, "connection")
    assert without(documented, "suboptions", "description", "version_added") == without(
        source.ARGUMENT_SPEC, "options", "no_log"
    )


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_documented_by_a_module_without_code(action: str) -> None:
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{action}")
    text = documentation(action)
    assert text["module"] == action
    assert text["attributes"]["action"]["support"] == "full"
    assert all(option["description"] for option in text["options"].values())
    assert not hasattr(source, "main")
    assert (ROOT / "tests" / "controller" / f"test_{action}.py").is_file()


@pytest.mark.parametrize("module", [*MODULES, *ACTIONS])
def test_every_return_value_has_a_sample(module: str) -> None:
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")

    def check(values: dict[str, Any]) -> None:
        for name, value in values.items():
            assert "sample" in value, name
            check(value.get("contains", {}))

    check(yaml.safe_load(source.RETURN))


def test_the_fields_of_an_error_are_described_once() -> None:
    for module in MODULES:
        source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
        error = yaml.safe_load(source.RETURN)["error"]
        fields = set(_errors.KeysmithError("").fields())
        assert set(error["sample"]) == fields, module
        if module == "org_api_key":
            assert set(error["contains"]) == fields
            types = re.findall(r"C\((\w+)\)", str(error["contains"]["type"]["description"]))
            assert tuple(types) == _errors.ERROR_TYPES
        else:
            assert "contains" not in error, module
            assert "RV(keysmith.mongodb.org_api_key#module:error)" in str(error["description"])


@pytest.mark.parametrize("module", [*MODULES, *ACTIONS])
def test_examples_parse_and_use_full_names_and_real_options(module: str) -> None:
    source = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
    examples = list(tasks(yaml.safe_load(source.EXAMPLES)))
    assert any(PREFIX + module in task for task in examples)
    check_tasks(examples)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_documents_itself_and_has_a_unit_test(name: str) -> None:
    source = importlib.import_module(f"{COLLECTION}.plugins.filter.{name}")
    assert yaml.safe_load(source.DOCUMENTATION)["name"] == name
    assert list(source.FilterModule().filters()) == [name]
    assert yaml.safe_load(source.RETURN)["_value"]["sample"]
    assert PREFIX + name in source.EXAMPLES
    check_tasks(list(tasks(yaml.safe_load(source.EXAMPLES))))
    assert (ROOT / "tests" / "unit" / "filter" / f"test_{name}.py").is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_yaml_in_a_document_uses_real_options(document: Path) -> None:
    for block in yaml_blocks(document):
        check_tasks(list(tasks(yaml.safe_load(block))))


@pytest.mark.parametrize(
    "playbook", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.name
)
def test_a_playbook_uses_real_options(playbook: Path) -> None:
    found = list(tasks(yaml.safe_load(playbook.read_text(encoding="utf-8"))))
    assert found
    check_tasks(found)


def check_tasks(found: list[dict[str, Any]]) -> None:
    for task in found:
        ours = [name for name in task if name.removeprefix(PREFIX) in {*MODULES, *ACTIONS}]
        for name in ours:
            assert name.startswith(PREFIX), name
            assert (task[name] or {}).keys() <= options(name.removeprefix(PREFIX)), task


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_are_absolute_and_lead_to_files(document: Path) -> None:
    """Galaxy does not resolve relative links. A picture may be relative if it is linked too."""
    text = document.read_text(encoding="utf-8")
    pattern = r"`[^`<]+<([^>]+)>`__" if document.suffix == ".rst" else r"\]\(([^)]+)\)"
    anchors = {re.sub(r"\W+", "-", head.lower()) for head in re.findall("(?m)^#+ (.+)$", text)}
    for link in re.findall(pattern, re.sub(r"!\[[^\]]*\]\([^)]+\)", "picture", text)):
        if link.startswith("#"):
            assert link[1:] in anchors, link
            continue
        assert link.startswith("https://"), link
        _own, _slash, path = link.partition("/keysmith.mongodb/blob/main/")
        if path:
            assert (ROOT / path.partition("#")[0]).exists(), path


def test_every_file_has_a_layer() -> None:
    assert sorted(LAYERS) == UTILS


def test_contributing_lists_every_layer() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = "".join(re.findall(r"^\| (`_[\w/]+\.py`.*?) \|", text, re.MULTILINE))
    named = re.findall(r"`(_[\w/]+)\.py`", rows)
    assert sorted(name.replace("/", ".") for name in named) == UTILS


@pytest.mark.parametrize("name", UTILS)
def test_imports_point_down(name: str) -> None:
    below = LAYERS[LAYERS.index(name) + 1 :]
    path = PLUGINS / "module_utils" / f"{name.replace('.', '/')}.py"
    assert imports(path) <= set(below)


def test_directories_do_not_import_each_other() -> None:
    """Since imports point down, it is enough that the files of a directory are neighbors."""
    nodes = [node for node, _files in groupby(LAYERS, lambda name: name.partition(".")[0])]
    assert len(nodes) == len(set(nodes))


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: path.name)
def test_only_their_own_files_import_requests_and_ansible(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.stem != "_requests":
        assert not re.search(r"^\s*(import|from) (requests|urllib3)\b", text, re.MULTILINE)
    # An action is part of Ansible's own process.
    if path.stem != "_module" and path.parent.name != "action":
        assert not re.search(r"^\s*(import|from) ansible\.", text, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: path.name)
def test_no_error_is_changed_after_its_construction(path: Path) -> None:
    attributes = vars(_errors.KeysmithError("It failed"))
    changed = [
        node.lineno
        for node in ast.walk(syntax_tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        # The state of a request that is retried has some of the same attributes.
        if node.attr in attributes and getattr(node.value, "id", "") not in {"self", "state"}
    ]
    assert not changed, "Use with_context."


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: path.name)
def test_the_emulator_and_the_plugins_share_nothing(path: Path) -> None:
    assert "tests" not in {
        (node.module or "").split(".")[0]
        for node in ast.walk(syntax_tree(path))
        if isinstance(node, ast.ImportFrom)
    }


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "emulator").glob("*.py")), ids=lambda p: p.name
)
def test_the_emulator_imports_nothing_from_the_collection(path: Path) -> None:
    assert COLLECTION not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    sorted([*PLUGINS.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]),
    ids=lambda path: path.name,
)
def test_no_name_is_a_single_underscore(path: Path) -> None:
    """ansible-test rejects it, but only after minutes."""
    tree = syntax_tree(path)
    stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "_"]
    assert [node.lineno for node in stored if isinstance(node.ctx, ast.Store)] == []


def test_the_changelog_has_the_version_or_a_fragment() -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    changelog = (ROOT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8")
    fragments = list((ROOT / "changelogs" / "fragments").glob("*.yml"))
    assert fragments or version in yaml.safe_load(changelog)["releases"]


@pytest.mark.parametrize("folder", ["unit", "integration", "meta"])
def test_tests_of_modules_load_nothing_from_the_controller(folder: str) -> None:
    """A process that has loaded it runs modules differently; tests/controller has its own."""
    for path in (ROOT / "tests" / folder).rglob("*.py"):
        if path.parent.name == "callbacks":
            continue
        for node in ast.walk(syntax_tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            loaded = [name for name in names if name.split(".")[0] == "ansible"]
            assert all(name.startswith("ansible.module_utils") for name in loaded), (path, loaded)


def test_references_to_the_page_about_the_apis_are_valid() -> None:
    page = (ROOT / "docs" / "apis.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (.*)$", page, re.MULTILINE))
    files = [*PLUGINS.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in files if path != Path(__file__)]
    cited = [name for text in texts for name in re.findall(r"docs/apis\.md: ([\w ]+)", text)]
    assert len(cited) > 5
    assert set(cited) <= sections
