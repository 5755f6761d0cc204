# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""awx_setup.yml with the real modules of awx.awx, against a stand-in for AWX; and what it makes.

What credentials of the new types become in a job is worked out by AWX's own code, where it can be
had (awx_plugins.interfaces).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.emulator import Emulator
from tests.integration.awx_stand_in import AwxStandIn
from tests.integration.peers import Authority
from tests.integration.playbook import Finished, Workshop
from tests.support import (
    CLIENT_SECRETS,
    PLATFORMS,
    PRIVATE_KEYS,
    ROOT,
    client_id,
    key_id,
    org_id,
    public_key,
    run_module,
    seed,
)

AWX_COLLECTION = ROOT / ".cache" / "awx"
TOKEN = "ca11ab1e-awx-token"
PLAYBOOKS = {
    "revoke_org_api_key.yml",
    "revoke_leaked_key.yml",
    "revoke_org_api_keys.yml",
    "rotate_org_api_key.yml",
    "audit_org_api_keys.yml",
}
KEY_PAIR, ACCOUNT = "MongoDB API key pair", "MongoDB service account"
# What AWX hides by the name of the variable.
HIDDEN = re.compile("API|TOKEN|KEY|SECRET|PASS", re.IGNORECASE)


@dataclass
class SetUp:
    """The stand-in after three runs, and how each of them went."""

    awx: AwxStandIn
    runs: dict[str, Finished]
    # What was written in each run.
    writes: dict[str, list[Any]]

    def credential_type(self, name: str) -> dict[str, Any]:
        return self.awx.named("credential_types", name)

    def job_templates(self) -> dict[str, dict[str, Any]]:
        """By the file of the playbook."""
        items = self.awx.objects["job_templates"].values()
        return {item["playbook"].removeprefix("playbooks/"): item for item in items}

    def survey(self, playbook: str) -> list[dict[str, Any]]:
        return list(self.awx.surveys[self.job_templates()[playbook]["id"]]["spec"])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Iterator[SetUp]:
    if not (AWX_COLLECTION / "ansible_collections").is_dir():
        pytest.skip("awx.awx is not there: make .cache/awx")
    folder = tmp_path_factory.mktemp("awx_setup")
    paths = os.pathsep.join([str(collections), str(AWX_COLLECTION)])
    runs, writes = {}, {}
    with AwxStandIn(TOKEN, {f"playbooks/{name}" for name in PLAYBOOKS}) as awx:
        awx.add("organizations", name="Default")
        awx.add("organizations", name="Another")
        environ = {"CONTROLLER_HOST": awx.url, "CONTROLLER_OAUTH_TOKEN": TOKEN}
        environ["ANSIBLE_COLLECTIONS_PATH"] = paths
        for name, arguments in {"check": ["--check"], "first": [], "second": ["--diff"]}.items():
            begin = len(awx.writes)
            workshop = Workshop(folder / name, collections)
            command = [sys.executable, "-m", "ansible", "playbook", *arguments]
            command.append("keysmith.mongodb.awx_setup")
            runs[name] = workshop.finish(workshop.spawn(command, environ))
            writes[name] = awx.writes[begin:]
        yield SetUp(awx, runs, writes)


def test_first_run_makes_everything(done: SetUp) -> None:
    assert done.runs["first"].code == 0, done.runs["first"].output
    names = {
        kind: [item["name"] for item in items.values()] for kind, items in done.awx.objects.items()
    }
    assert names["credential_types"] == [KEY_PAIR, ACCOUNT]
    assert names["projects"] == ["keysmith.mongodb"]
    assert names["inventories"] == ["MongoDB organizations"]
    assert len(names["job_templates"]) == 5
    assert all(name.startswith("MongoDB API keys: ") for name in names["job_templates"])
    assert "changed=5" in done.runs["first"].stdout
    # Old names of options and the like.
    assert "WARN" not in done.runs["first"].output.upper()


def test_second_run_changes_nothing(done: SetUp) -> None:
    assert done.runs["second"].code == 0, done.runs["second"].output
    assert "changed=0" in done.runs["second"].stdout
    assert done.writes["second"] == []


def test_check_mode_writes_nothing_and_does_not_stumble(done: SetUp) -> None:
    assert done.runs["check"].code == 0, done.runs["check"].output
    assert done.writes["check"] == []


def test_job_templates_let_choose_what_has_to_be_chosen(done: SetUp) -> None:
    templates = done.job_templates()
    assert templates.keys() == PLAYBOOKS
    for item in templates.values():
        assert item["survey_enabled"]
        # The dry run, and the credential of the organization.
        assert item["ask_job_type_on_launch"]
        assert item["ask_credential_on_launch"]
        assert not item["allow_simultaneous"]
    limited = {name for name, item in templates.items() if item["ask_limit_on_launch"]}
    assert limited == {"revoke_leaked_key.yml", "audit_org_api_keys.yml"}
    assert templates["revoke_leaked_key.yml"]["forks"] == 20
    assert templates["revoke_leaked_key.yml"]["job_slice_count"] == 1


@pytest.mark.parametrize("playbook", sorted(PLAYBOOKS))
def test_survey_asks_for_what_the_playbook_takes(done: SetUp, playbook: str) -> None:
    questions = done.survey(playbook)
    text = (ROOT / "playbooks" / playbook).read_text("utf-8")
    described = ROOT / "playbooks" / "vars" / playbook
    known = described.read_text("utf-8") if described.exists() else text
    known += (described.parent / "connection.yml").read_text("utf-8")
    for question in questions:
        # That of a role is taken by the role.
        if question["variable"].startswith("rotate_org_api_key_"):
            continue
        assert re.search(rf"\b{question['variable']}\b", known), question
    # AWX shows playbooks with such a line only.
    assert re.search(r"^\s*?-?\s*?(?:hosts|import_playbook):", text, re.MULTILINE)


def test_surveys_ask_for_no_secret(done: SetUp) -> None:
    asked = {question["variable"] for name in PLAYBOOKS for question in done.survey(name)}
    assert not {name for name in asked if re.search("private|secret|token|password", name)}


@dataclass(frozen=True)
class Injected:
    """What AWX gives to a job: its environment, and what it shows of it to people."""

    environ: dict[str, str]
    shown: dict[str, str]


def inject(credential_type: dict[str, Any], inputs: dict[str, Any], folder: Path) -> Injected:
    """Let AWX's own code work out what a credential becomes."""
    injection = pytest.importorskip("awx_plugins.interfaces._temporary_private_inject_api")
    types = pytest.importorskip("awx_plugins.interfaces._temporary_private_api")
    (folder / "env").mkdir()
    made = types.ManagedCredentialType(
        namespace="custom",
        **{name: credential_type[name] for name in ("name", "kind", "inputs", "injectors")},
    )
    environ: dict[str, str] = {}
    shown: dict[str, str] = {}
    arguments: list[str] = []
    injection.inject_credential(
        made, types.Credential(inputs), environ, shown, arguments, str(folder)
    )
    assert arguments == []
    # In a container, the folder is at /runner.
    return Injected({k: v.replace("/runner", str(folder)) for k, v in environ.items()}, shown)


def inputs_of(platform: str, **more: str) -> dict[str, Any]:
    return {
        "platform": platform,
        "public_key": public_key(platform, 1),
        "private_key": PRIVATE_KEYS[platform],
        "org_id": org_id(platform),
        **more,
    }


def revoke(platform: str, environ: dict[str, str]) -> Any:
    options = {"api_user_id": key_id(platform, 2), "state": "absent", "retries": 0}
    return run_module("org_api_key", options, environ=environ)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_key_pair_of_a_credential_signs(
    done: SetUp, emulator: Emulator, tmp_path: Path, platform: str
) -> None:
    inputs = inputs_of(platform, base_url=emulator.url)
    injected = inject(done.credential_type(KEY_PAIR), inputs, tmp_path)
    outcome = revoke(platform, injected.environ)
    assert outcome.changed, outcome.msg
    assert emulator.writes[0].caller == public_key(platform, 1)
    # Nothing of it is for the other products.
    other = "MCLI_" if platform == "atlas" else "MONGODB_ATLAS_"
    assert {v for name, v in injected.environ.items() if name.startswith(other)} == {""}


def test_service_account_of_a_credential_signs(
    done: SetUp, emulator: Emulator, tmp_path: Path
) -> None:
    inputs = {
        "client_id": client_id("atlas"),
        "client_secret": CLIENT_SECRETS["atlas"],
        "org_id": org_id("atlas"),
        "base_url": emulator.url,
    }
    injected = inject(done.credential_type(ACCOUNT), inputs, tmp_path)
    outcome = revoke("atlas", injected.environ)
    assert outcome.changed, outcome.msg
    assert emulator.writes[0].caller == client_id("atlas")


@pytest.mark.parametrize("answer", ["given", "empty", "none"])
def test_certificates_of_a_credential_are_trusted(done: SetUp, tmp_path: Path, answer: str) -> None:
    """AWX writes the file in any case; an empty one must not be trusted instead of the system's."""
    folder = tmp_path / "tls"
    folder.mkdir()
    authority = Authority(folder)
    with Emulator(seed(), tls=authority.issue("server")) as server:
        inputs = inputs_of("ops_manager", base_url=server.url)
        if answer != "none":
            inputs["ca"] = authority.file.read_text("utf-8") if answer == "given" else ""
        (tmp_path / "job").mkdir()
        environ = inject(done.credential_type(KEY_PAIR), inputs, tmp_path / "job").environ
        if answer == "given":
            assert Path(environ["KEYSMITH_MONGODB_CA_PATH"]).is_file()
        else:
            assert environ["KEYSMITH_MONGODB_CA_PATH"] == ""
            assert revoke("ops_manager", environ).failed
            # What stands for the system's bundle.
            environ["SSL_CERT_FILE"] = str(authority.file)
        outcome = revoke("ops_manager", environ)
    assert outcome.changed, outcome.msg


def test_secrets_of_credentials_are_hidden_by_the_names_of_their_variables(
    done: SetUp, tmp_path: Path
) -> None:
    secrets = {"private_key": PRIVATE_KEYS["atlas"], "client_secret": CLIENT_SECRETS["atlas"]}
    seen = set()
    for name in (KEY_PAIR, ACCOUNT):
        (tmp_path / name).mkdir()
        made = done.credential_type(name)
        fields = {field["id"]: field for field in made["inputs"]["fields"]}
        assert {name for name, field in fields.items() if field.get("secret")} <= secrets.keys()
        inputs = {**inputs_of("atlas"), **secrets, "client_id": client_id("atlas")}
        inputs = {name: value for name, value in inputs.items() if name in fields}
        injected = inject(made, inputs, tmp_path / name)
        for variable, value in injected.environ.items():
            if value in secrets.values():
                seen.add(variable)
                assert HIDDEN.search(variable), variable
        assert not set(injected.shown.values()) & set(secrets.values())
    assert seen == {"MONGODB_ATLAS_PRIVATE_API_KEY", "MONGODB_ATLAS_CLIENT_SECRET"}


def test_runs_show_no_token(done: SetUp) -> None:
    assert not [name for name, run in done.runs.items() if TOKEN in run.output]


def test_playbook_has_no_secret_and_awx_is_not_needed_to_read_it() -> None:
    text = (ROOT / "playbooks" / "awx_setup.yml").read_text("utf-8")
    *_checks, play = yaml.safe_load(text)
    modules = {key for task in play["tasks"] for key in task if key.startswith("awx.awx.")}
    assert len(modules) == 4
    assert not re.search(r"password:|token:", text)
