# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-builder reads from the collection, and what it generates from the example in docs.

Building the image would need a container engine and a registry.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.integration.playbook import PATIENCE
from tests.support import ROOT

EXAMPLE = ROOT / "docs" / "execution-environment.yml"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not importlib.util.find_spec("ansible_builder"), reason="ansible-builder is not installed"
    ),
]


def builder(*arguments: str) -> str:
    command = [sys.executable, "-m", "ansible_builder", *arguments]
    process = subprocess.run(command, capture_output=True, check=False, text=True, timeout=PATIENCE)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_introspection_finds_what_the_modules_need(collections: Path) -> None:
    found = yaml.safe_load(builder("introspect", str(collections)))
    (text,) = found["python"]
    requirement = Requirement(text.partition("#")[0])
    assert requirement.name == "requests"
    # There is no upper bound: other contents of the image may need a newer version.
    assert {specifier.operator for specifier in requirement.specifier} == {">="}
    assert not found.get("system")


def test_example_is_suitable_for_an_image(tmp_path: Path) -> None:
    arguments = ["--context", str(tmp_path / "context"), "--output-filename", "Containerfile"]
    builder("create", "--file", str(EXAMPLE), *arguments)
    recipe = (tmp_path / "context" / "Containerfile").read_text("utf-8")
    example = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    assert example["images"]["base_image"]["name"] in recipe
    assert example["dependencies"]["ansible_core"]["package_pip"] in recipe
    required = (tmp_path / "context" / "_build" / "requirements.yml").read_text("utf-8")
    names = [item["name"] for item in yaml.safe_load(required)["collections"]]
    assert names == ["keysmith.mongodb", "awx.awx", "community.hashi_vault"]
