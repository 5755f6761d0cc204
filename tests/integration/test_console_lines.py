# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The console lines of README and guides, run as they are shown, each document in one shell.

A command either runs or is in NOT_RUN with the reason. The output shown below a command must be in
its real output, in the same order; a line with only an ellipsis represents omitted lines.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.documents import DOCUMENTS, Command, commands, yaml_blocks
from tests.emulator import Emulator
from tests.integration.playbook import AnsibleSandbox
from tests.support import ROOT
from tests.tools.sanity import copy_project, project_files

REPOSITORY = "https://github.com/keysmith/keysmith.mongodb"
VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text("utf-8"))["version"]
NOT_RUN = {
    r"make ": "It installs packages from PyPI, and CI runs the targets.",
    r"ansible-galaxy collection install (awx\.awx )?keysmith\.mongodb": "It needs Galaxy.",
    r"(pip|pipx|sudo) ": "It needs PyPI or a system package, and changes the machine.",
    r"\.venv/bin/python -m tests\.emulator": "It never exits. The test starts its own emulator.",
    r"ansible-playbook keysmith\.mongodb\.awx_setup": "It needs AWX; see test_awx_setup.py.",
}
# Their documents say that they fail.
REFUSED = re.compile("# refused$")
# Documents whose commands expect the credential in the environment; the others set it themselves.
SETS_CREDENTIAL = ("README.md", "guide_quick_start.rst")
SEED = json.loads((ROOT / "playbooks" / "demo_seed.json").read_text("utf-8"))
PROJECT_ID = SEED["organizations"][0]["projects"][0]["id"]
CONTRACTOR = {
    "id": "5f0d9a4e1c2b3a00112233a2",
    "description": "contractor",
    "public_key": "zmmrboas",
    "private_key": "5a1f0c9e-7d2b-4f4e-9c1d-0e6b7a8c9d05",
    "roles": ["ORG_MEMBER"],
    "projects": [{"project_id": PROJECT_ID, "roles": ["GROUP_READ_ONLY"]}],
}
SECRETS = {
    "MONGODB_ATLAS_PRIVATE_API_KEY": "5a1f0c9e-7d2b-4f4e-9c1d-0e6b7a8c9d01",
    "MCLI_PRIVATE_API_KEY": "5a1f0c9e-7d2b-4f4e-9c1d-0e6b7a8c9d02",
    "CONTROLLER_OAUTH_TOKEN": "token",
}
# Values that the inventories in the documents read from a vault.
VAULT = {
    "shop_public_key": "ownerkey",
    "shop_private_key": SECRETS["MONGODB_ATLAS_PRIVATE_API_KEY"],
    "warehouse_public_key": "opsowner",
    "warehouse_private_key": SECRETS["MCLI_PRIVATE_API_KEY"],
    "vault_finance_api_private_key": "5a1f0c9e-7d2b-4f4e-9c1d-0e6b7a8c9d06",
    "vault_retail_client_secret": f"mdb_sa_sk_{'retail' * 6}",
    "vault_datacenter_api_private_key": "5a1f0c9e-7d2b-4f4e-9c1d-0e6b7a8c9d07",
}
EXAMPLE = ROOT / "docs" / "examples" / "organizations.yml"

ALL = {document: commands(document) for document in DOCUMENTS}


def reason(command: Command) -> str | None:
    """Return why a command is not run."""
    return next((why for form, why in NOT_RUN.items() if re.match(form, command.text)), None)


RUN = {d: [c for c in found if not reason(c)] for d, found in ALL.items()}
RUN = {document: found for document, found in RUN.items() if found}
each_document = pytest.mark.parametrize("document", RUN, ids=lambda path: path.name)


def test_each_reason_is_needed() -> None:
    texts = [command.text for found in ALL.values() for command in found]
    assert not [form for form in NOT_RUN if not any(re.match(form, text) for text in texts)]
    assert {"README.md", "guide_quick_start.rst"} <= {document.name for document in RUN}


def test_make_has_the_targets_shown() -> None:
    texts = "\n".join(command.text for found in ALL.values() for command in found)
    shown = set(re.findall(r"^make ([\w-]+)", texts, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert {"demo", "test"} <= shown <= set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))


def inventory_hosts(group: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the hosts of an inventory with their variables and those of their groups."""
    for name, variables in (group.get("hosts") or {}).items():
        yield name, {**group.get("vars", {}), **variables}
    for child in (group.get("children") or {}).values():
        for name, variables in inventory_hosts(child):
            yield name, {**group.get("vars", {}), **child.get("vars", {}), **variables}


def organization(variables: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return the organization that a host of an inventory represents."""

    def value(name: str) -> str:
        return re.sub(r"{{ (\w+) }}", lambda match: VAULT[match[1]], variables.get(name, ""))

    owner = {"roles": ["ORG_OWNER"], "access_list": ["127.0.0.0/8"]}
    names = ("client_id", "client_secret")
    accounts = [{**{name: value(name) for name in names}, **owner}]
    key = {
        "id": f"{0x5E000000 + number:08x}{'0' * 16}",
        "description": "Ansible",
        "public_key": value("api_public_key"),
        "private_key": value("api_private_key"),
        **owner,
    }
    has_account = "client_id" in variables
    return {
        "id": variables["org_id"],
        "name": f"Organization {number}",
        "product": variables.get("platform", "atlas"),
        "projects": [],
        "service_accounts": accounts if has_account else [],
        "api_keys": [] if has_account else [key],
    }


def write_files(document: Path, folder: Path, url: str) -> list[dict[str, Any]]:
    """Write the files that a document has the reader save; return the emulator's organizations."""
    organizations = json.loads(json.dumps(SEED))["organizations"]
    texts = {}
    for text in yaml_blocks(document):
        saved_as = re.match(r"# ([\w/]+\.yml)\n", text)
        if saved_as:
            texts[saved_as[1]] = text
        elif text.startswith("all:"):
            texts["organizations.yml"] = text
    if any("-i organizations.yml" in command.text for command in ALL[document]):
        text = texts.setdefault("organizations.yml", EXAMPLE.read_text("utf-8"))
        hosts = dict(inventory_hosts(yaml.safe_load(text)["all"]))
        (folder / "host_vars").mkdir()
        for name in hosts:
            place = {"base_url": url, "ca_path": ""}
            (folder / "host_vars" / f"{name}.yml").write_text(json.dumps(place), "utf-8")
        (folder / "group_vars").mkdir()
        (folder / "group_vars" / "all.yml").write_text(json.dumps(VAULT), "utf-8")
        organizations = [organization(hosts[h], n) for n, h in enumerate(hosts)]
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    organizations[-1 if len(organizations) > 2 else 0]["api_keys"].append(CONTRACTOR)
    return list(organizations)


def make_repository(folder: Path) -> dict[str, str]:
    """Create a repository with the release's tag; return the settings that lead git to it."""
    copy_project(project_files(), folder)
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for arguments in (["add", "--all"], ["commit", "-qm", "x"], ["tag", VERSION]):
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{folder.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": REPOSITORY,
    }


def script(found: list[Command], folder: Path, replaced: Mapping[str, str]) -> str:
    """Return the commands for one shell, with a line between their outputs that has the status.

    A reader goes back to the same directory for each block.
    """
    lines = []
    for number, command in enumerate(found):
        text = command.text
        for shown, real in replaced.items():
            text = text.replace(shown, real)
        typed = re.search(r"read -rs (\w+)", text)
        galaxy = f"ANSIBLE_COLLECTIONS_PATH={folder}/installed{number} "
        text = re.sub("^(?=ansible-galaxy )", shlex.quote(galaxy)[1:-1], text)
        secret = SECRETS[typed[1]] if typed else ""
        if command.block != found[number - 1].block:
            lines.append(f"cd {folder}")
        lines.append(f"{{\n{text}\n}} <<< {shlex.quote(secret)}\nprintf '\\n@@ %d\\n' $?")
    return "\n".join(lines)


@pytest.mark.slow
@each_document
def test_commands_print_the_output_shown(document: Path, tmp_path: Path, collections: Path) -> None:
    sandbox = AnsibleSandbox(tmp_path / "run", collections)
    folder = sandbox.folder
    found = RUN[document]
    texts = "\n".join(command.text for command in found)
    environ = {}
    if REPOSITORY in texts:
        if not shutil.which("git"):
            pytest.skip("git is not installed")
        checkout = tmp_path / "repository" / "keysmith.mongodb"
        environ = make_repository(checkout)
        build = sandbox.python("-m", "ansible", "galaxy", "collection", "build", str(checkout))
        assert build.code == 0, build.output
    with Emulator() as emulator:
        emulator.reset({"organizations": write_files(document, folder, emulator.url)})
        environ["MONGODB_ATLAS_BASE_URL"] = emulator.url
        if document.name not in SETS_CREDENTIAL:
            environ["MONGODB_ATLAS_PUBLIC_API_KEY"] = "ownerkey"
            environ |= {name: SECRETS[name] for name in ["MONGODB_ATLAS_PRIVATE_API_KEY"]}
            environ["MONGODB_ATLAS_ORG_ID"] = SEED["organizations"][0]["id"]
        replaced = {
            "http://127.0.0.1:8080": emulator.url,
            "https://opsmanager.example.com:8443": emulator.url,
            "/etc/pki/example-ca.pem": requests.certs.where(),
            "/etc/shop/": f"{folder}/",
        }
        text = script(found, folder, replaced)
        process = sandbox.spawn(["bash", "-c", f"exec 2>&1\n{text}"], environ)
        run = sandbox.finish(process)
    outputs = re.split(r"\n@@ (\d+)\n", run.stdout)
    assert len(outputs) == 2 * len(found) + 1, run.output
    for command, output, status in zip(found, outputs[::2], outputs[1::2], strict=False):
        assert (status != "0") is bool(REFUSED.search(command.text)), (command.text, output)
        real = iter(line.rstrip() for line in output.splitlines())
        for line in command.shown:
            assert line == "…" or line.rstrip() in real, (command.text, line, output)
