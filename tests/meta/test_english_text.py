# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing depends on the text of a message: messages change, ``error.type`` and codes do not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support import ROOT

YAML = sorted(path for folder in ("playbooks", "roles") for path in (ROOT / folder).rglob("*.yml"))
PYTHON = sorted((ROOT / "plugins").rglob("*.py"))
# Two consecutive words.
PHRASE = re.compile(r"[A-Za-z]{2,}['\u2019]? +[A-Za-z]{2,}")
_MSG = r"[\w.\[\]'()]*(?:\.msg|\['msg'\])"
# How a template may search for a text: in the message of a result, or by a phrase.
ASKS_A_MESSAGE = re.compile(
    rf"{_MSG}[^{{}}\n]*?\s(?:is\s+(?:not\s+)?(?:ansible\.builtin\.)?(?:search|match|regex)\b|[=!]=)"
    rf"|\bin\s+\(?{_MSG}"
    rf"|\bselectattr\('msg'|\brejectattr\('msg'"
    rf"|{_MSG}[^{{}}\n]*?\|\s*regex_(?:search|findall)"
)
ASKS_FOR_A_PHRASE = re.compile(
    r"(?:search|match|regex|regex_search|regex_findall|startswith|endswith|find)\(\s*"
    r"(?P<quote>['\"])(?P<text>.*?)(?P=quote)"
    r"|(?P<other>['\"])(?P<member>[^'\"]*?)(?P=other)\s+(?:not\s+)?in\b"
)
# Texts of other libraries, whose errors have no other distinction.
OF_LIBRARIES = {"_http.py": {"parse headers"}}
_CALLS = {"search", "match", "fullmatch", "findall", "startswith", "endswith", "find", "index"}


def found_in_yaml(text: str) -> list[str]:
    """Return the places of a template that depend on a text."""
    code = "\n".join(line for line in text.split("\n") if not line.strip().startswith("#"))
    # Expressions may span several lines.
    code = re.sub(r"\n\s+", " ", code)
    found = [match.group() for match in ASKS_A_MESSAGE.finditer(code)]
    for match in ASKS_FOR_A_PHRASE.finditer(code):
        asked = match.group("text") or match.group("member") or ""
        if PHRASE.search(asked):
            found.append(match.group())
    return found


def found_in_python(source: str) -> list[str]:
    """Return the comparisons and searches whose text is a phrase."""
    found = []
    for node in ast.walk(ast.parse(source)):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            is_asking = any(
                isinstance(op, (ast.In, ast.NotIn, ast.Eq, ast.NotEq)) for op in node.ops
            )
            asked = [node.left, *node.comparators] if is_asking else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked = list(node.args) if node.func.attr in _CALLS else []
        for value in asked:
            if (
                isinstance(value, ast.Constant)
                and isinstance(value.value, str)
                and PHRASE.search(value.value)
            ):
                found.append(f"line {node.lineno}: {value.value}")
    return found


@pytest.mark.parametrize("path", YAML, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_playbook_or_role_depends_on_a_message(path: Path) -> None:
    assert found_in_yaml(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_plugin_depends_on_a_message(path: Path) -> None:
    found = found_in_python(path.read_text("utf-8"))
    texts = {place.partition(": ")[2] for place in found}
    assert texts == OF_LIBRARIES.get(path.name, set())


def test_a_decision_by_text_is_found() -> None:
    for text in (
        "failed_when: \"'signs the requests' not in result.msg\"",
        "that: result.msg | default('') is\n  not match('^CODE')",
        "x: \"{{ reason is search('the one that signs') }}\"",
        "x: \"{{ results | selectattr('msg', 'search', 'x') }}\"",
    ):
        assert found_in_yaml(text)
    for text in (
        "# 'signs the requests' in result.msg",
        "that: result.error.type == 'own_credential'",
        'msg: "{{ result.msg }} in the organization"',
    ):
        assert found_in_yaml(text) == []
    assert found_in_python("re.search('not found', x)")
    assert not found_in_python("'CODE' in text or print('no such key')")
