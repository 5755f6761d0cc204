# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""awx_setup.yml with the real modules of awx.awx, against a stand-in for AWX.

AWX's own code (awx_plugins.interfaces), if it is installed, turns credentials of the new types
into the environment of a job.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.emulator import Emulator
from tests.integration.awx_stand_in import AwxStandIn, check_survey
from tests.integration.peers import Authority
from tests.integration.playbook import AnsibleSandbox, Finished
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

pytestmark = pytest.mark.slow

AWX_COLLECTION = ROOT / ".cache" / "awx"
TOKEN = "ca11ab1e-awx-token"
PLAYBOOKS = {
    "revoke_org_api_key.yml",
    "revoke_leaked_key.yml",
    "revoke_org_api_keys.yml",
    "rotate_org_api_key.yml",
    "audit_org_api_keys.yml",
}
OWN_REPOSITORY = "https://git.example.com/automation.git"
KEY_PAIR, ACCOUNT = "MongoDB API key pair", "MongoDB service account"
CHECK = "Check the organization and the execution environment"
SYNC = "Update the project from its repository"
TEMPLATES = "Create the job templates"
INCOMPLETE = "Fail if a credential type is not up to date"
SPEC = yaml.safe_load((ROOT / "playbooks" / "awx_setup.yml").read_text("utf-8"))[-1]
# By the file of the playbook.
DEFINED = {item["playbook"]: item for item in SPEC["vars"]["awx_setup_default_job_templates"]}


@dataclass
class SetUp:
    """A stand-in after some runs, with their results."""

    awx: AwxStandIn
    folder: Path
    collections: Path
    runs: dict[str, Finished]
    # The writes of each run.
    writes: dict[str, list[Any]]

    def run(self, name: str, *arguments: str, **variables: Any) -> Finished:
        begin = len(self.awx.writes)
        sandbox = AnsibleSandbox(self.folder / name, self.collections)
        file = sandbox.folder / "variables.json"
        file.write_text(json.dumps(variables), "utf-8")
        command = [sys.executable, "-m", "ansible", "playbook", *arguments, "-e", f"@{file}"]
        command.append("keysmith.mongodb.awx_setup")
        paths = os.pathsep.join([str(self.collections), str(AWX_COLLECTION)])
        environ = {"CONTROLLER_HOST": self.awx.url, "CONTROLLER_OAUTH_TOKEN": TOKEN}
        environ["ANSIBLE_COLLECTIONS_PATH"] = paths
        self.runs[name] = sandbox.finish(sandbox.spawn(command, environ))
        self.writes[name] = self.awx.writes[begin:]
        return self.runs[name]

    def credential_type(self, name: str) -> dict[str, Any]:
        return self.awx.named("credential_types", name)

    def project(self) -> dict[str, Any]:
        (found,) = self.awx.objects["projects"].values()
        return found

    def job_templates(self) -> dict[str, dict[str, Any]]:
        """By the file of the playbook."""
        items = self.awx.objects["job_templates"].values()
        return {item["playbook"].removeprefix("playbooks/"): item for item in items}

    def survey(self, playbook: str) -> list[dict[str, Any]]:
        return list(self.awx.surveys[self.job_templates()[playbook]["id"]]["spec"])


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Iterator[Any]:
    """Create stand-ins, by default with two organizations and one execution environment."""
    if not (AWX_COLLECTION / "ansible_collections").is_dir():
        pytest.skip("awx.awx is not installed (run make .cache/awx)")
    made: list[AwxStandIn] = []

    def make(awx: AwxStandIn | None = None) -> SetUp:
        if awx is None:
            awx = AwxStandIn(TOKEN, {f"playbooks/{name}" for name in PLAYBOOKS})
            awx.add("organizations", name="Default")
            awx.add("organizations", name="Another")
            awx.add("execution_environments", name="mongodb-ee")
        made.append(awx)
        return SetUp(awx, tmp_path_factory.mktemp("awx_setup"), collections, {}, {})

    yield make
    for awx in made:
        awx.__exit__()


@pytest.fixture(scope="module")
def done(empty: Any) -> SetUp:
    """Set up an empty AWX."""
    done: SetUp = empty()
    done.run("check", "--check")
    done.run("first")
    # The branch has moved in the meantime.
    done.awx.revision = "2" * 40
    done.run("second", "--diff")
    return done


@pytest.fixture(scope="module")
def upgraded(empty: Any, done: SetUp) -> SetUp:
    """Upgrade an AWX that has a credential of a type with older inputs."""
    upgraded: SetUp = empty(done.awx.copy())
    awx = upgraded.awx
    kind = upgraded.credential_type(KEY_PAIR)
    kind["inputs"] = {"fields": kind["inputs"]["fields"][:3], "required": ["public_key"]}
    awx.add("credentials", name="key", credential_type=kind["id"])
    upgraded.credential_type(ACCOUNT)["inputs"] = {}
    upgraded.project()["scm_branch"] = "1.2.0"
    template = upgraded.job_templates()["audit_org_api_keys.yml"]
    template["forks"] = 1
    upgraded.run("check", "--check")
    upgraded.run("second", awx_setup_execution_environment="mongodb-ee")
    return upgraded


@pytest.fixture(scope="module")
def limited(empty: Any) -> SetUp:
    """Set up AWX with the user's own repository, as an administrator of the organization only."""
    limited: SetUp = empty()
    limited.awx.is_administrator = False
    template = {
        "name": "only",
        "description": "Revokes one.",
        "playbook": "revoke_org_api_key.yml",
        "survey": [{**DEFINED["revoke_org_api_key.yml"]["survey"][0], "required": True}],
    }
    variables = {"awx_setup_scm_url": OWN_REPOSITORY, "awx_setup_job_templates": [template]}
    limited.awx.has_repository = False
    limited.run("unreachable", **variables)
    limited.awx.has_repository = True
    limited.run("again", **variables)
    return limited


def test_the_first_run_creates_everything(done: SetUp) -> None:
    assert done.runs["first"].code == 0, done.runs["first"].output
    names = {
        kind: [item["name"] for item in items.values()] for kind, items in done.awx.objects.items()
    }
    assert names["credential_types"] == [KEY_PAIR, ACCOUNT]
    assert names["projects"] == ["keysmith.mongodb"]
    assert names["inventories"] == ["MongoDB organizations"]
    assert len(names["job_templates"]) == 5
    assert all(name.startswith("MongoDB API keys: ") for name in names["job_templates"])
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text("utf-8"))["version"]
    assert done.project()["scm_branch"] == version
    assert "changed=4" in done.runs["first"].stdout
    # Deprecated options, for example.
    assert "WARN" not in done.runs["first"].output.upper()


def test_second_run_syncs_and_changes_nothing_else(done: SetUp) -> None:
    assert done.runs["second"].code == 0, done.runs["second"].output
    (sync,) = done.writes["second"]
    assert sync[:2] == ("POST", f"{done.project()['url']}update/")
    assert done.project()["scm_revision"] == done.awx.revision
    assert [r.task for r in done.runs["second"].results if r.changed] == [SYNC]


def test_check_mode_writes_nothing_and_succeeds(done: SetUp) -> None:
    assert done.runs["check"].code == 0, done.runs["check"].output
    assert done.writes["check"] == []
    items = done.runs["check"].result(TEMPLATES).items
    assert [item["changed"] for item in items] == [True] * len(PLAYBOOKS)


def test_check_mode_shows_the_job_templates_if_the_project_would_change(upgraded: SetUp) -> None:
    run = upgraded.runs["check"]
    assert upgraded.writes["check"] == []
    assert run.result("Create the project").changed
    changed = {item["item"]["name"]: item["changed"] for item in run.result(TEMPLATES).items}
    assert [name for name, is_changed in changed.items() if is_changed] == ["audit"]
    assert len(changed) == len(PLAYBOOKS)


def test_the_inputs_of_a_type_in_use_stay_and_the_rest_is_updated(upgraded: SetUp) -> None:
    for name in ("check", "second"):
        run = upgraded.runs[name]
        assert run.code != 0
        msg = run.result(INCOMPLETE).msg
        assert f'Credential type "{KEY_PAIR}" was not changed' in msg
        assert "Set awx_setup_api_key_type to a new name" in msg
        assert ACCOUNT not in msg
        # No earlier task has failed.
        assert [result.task for result in run.results if result.failed] == [INCOMPLETE]
    assert len(upgraded.credential_type(KEY_PAIR)["inputs"]["fields"]) == 3
    (account,) = (kind for kind in SPEC["vars"]["awx_setup_credential_types"][1:])
    assert upgraded.credential_type(ACCOUNT)["inputs"] == account["inputs"]
    assert upgraded.job_templates()["audit_org_api_keys.yml"]["forks"] == 20
    assert upgraded.project()["scm_branch"] != "1.2.0"


def test_type_that_the_user_may_not_create_does_not_stop_the_rest(limited: SetUp) -> None:
    run = limited.runs["again"]
    assert run.code != 0
    assert limited.awx.objects["credential_types"] == {}
    for name in (KEY_PAIR, ACCOUNT):
        assert f'Credential type "{name}" could not be created' in run.result(INCOMPLETE).msg
    assert limited.job_templates().keys() == {"revoke_org_api_key.yml"}


def test_failed_sync_is_reported_and_recovers(limited: SetUp) -> None:
    run = limited.runs["unreachable"]
    assert run.code != 0
    failed = run.result("Fail if the project cannot be synced")
    assert OWN_REPOSITORY in failed.msg
    assert "default branch" in failed.msg
    # The project itself is up to date, so only a sync is needed.
    projects = [write[1] for write in limited.writes["again"] if "/projects/" in write[1]]
    assert projects == [f"{limited.project()['url']}update/"]
    assert limited.project()["scm_revision"] == limited.awx.revision


@pytest.mark.parametrize(
    ("variables", "task", "messages"),
    [
        (
            {"awx_setup_organization": "Nonesuch", "awx_setup_execution_environment": "nothing"},
            CHECK,
            {
                'AWX has no organization "Nonesuch"',
                "Correct awx_setup_organization",
                'AWX has no execution environment "nothing"',
                "Correct awx_setup_execution_environment",
            },
        ),
        (
            {"awx_setup_credentials": ["here", "Nonesuch"]},
            "Fail if a credential cannot be identified",
            {"names: Nonesuch. Nothing was changed. Correct awx_setup_credentials"},
        ),
    ],
    ids=["organization and execution environment", "credential"],
)
def test_wrong_name_stops_before_anything_is_created(
    empty: Any, variables: Mapping[str, Any], task: str, messages: set[str]
) -> None:
    wrong: SetUp = empty()
    wrong.awx.add("credentials", name="here", credential_type=1)
    run = wrong.run("wrong", **variables)
    assert run.code != 0
    assert wrong.writes["wrong"] == []
    shown = " ".join(str(item.get("msg")) for item in run.result(task).items)
    assert not {text for text in messages if text not in shown}, shown


def test_job_templates_prompt_for_what_users_choose(done: SetUp) -> None:
    templates = done.job_templates()
    assert templates.keys() == PLAYBOOKS
    for item in templates.values():
        assert item["survey_enabled"]
        # Check mode, and the credential of the organization.
        assert item["ask_job_type_on_launch"]
        assert item["ask_credential_on_launch"]
        assert not item["allow_simultaneous"]
    limited = {name for name, item in templates.items() if item["ask_limit_on_launch"]}
    assert limited == {"revoke_leaked_key.yml", "audit_org_api_keys.yml"}
    assert templates["revoke_leaked_key.yml"]["forks"] == 20
    assert templates["revoke_leaked_key.yml"]["job_slice_count"] == 1


@pytest.mark.parametrize("playbook", sorted(PLAYBOOKS))
def test_each_survey_asks_for_variables_of_its_playbook(done: SetUp, playbook: str) -> None:
    questions = done.survey(playbook)
    text = (ROOT / "playbooks" / playbook).read_text("utf-8")
    described = ROOT / "playbooks" / "vars" / playbook
    known = described.read_text("utf-8") if described.exists() else text
    known += (described.parent / "connection.yml").read_text("utf-8")
    for question in questions:
        # The role takes its own variables.
        if question["variable"].startswith("rotate_org_api_key_"):
            continue
        assert re.search(rf"\b{question['variable']}\b", known), question
    # AWX only lists playbooks with such a line.
    assert re.search(r"^\s*?-?\s*?(?:hosts|import_playbook):", text, re.MULTILINE)


@pytest.mark.parametrize("playbook", sorted(PLAYBOOKS))
def test_survey_can_be_answered_through_the_api(playbook: str) -> None:
    """The API ignores the default of a required question and rejects the launch."""
    questions = DEFINED[playbook]["survey"]
    check_survey({"name": "n", "description": "d", "spec": questions})
    for question in questions:
        assert question["variable"].isidentifier(), question
        assert not (question["required"] and "default" in question), question
        if question["type"] in {"text", "textarea"}:
            # API clients may send an empty string for an unanswered question.
            assert question["required"] or question["min"] == 0 or question["default"], question


def test_surveys_ask_for_no_secret(done: SetUp) -> None:
    asked = {question["variable"] for name in PLAYBOOKS for question in done.survey(name)}
    assert not {name for name in asked if re.search("private|secret|token|password", name)}


@dataclass(frozen=True)
class Injected:
    """The environment of a job, and the part of it that AWX shows to users."""

    environ: dict[str, str]
    shown: dict[str, str]


def inject(credential_type: dict[str, Any], inputs: dict[str, Any], folder: Path) -> Injected:
    """Inject a credential with AWX's own code."""
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
    # In a container, the directory is /runner.
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
def test_key_pair_of_a_credential_authenticates(
    done: SetUp, emulator: Emulator, tmp_path: Path, platform: str
) -> None:
    inputs = inputs_of(platform, base_url=emulator.url)
    injected = inject(done.credential_type(KEY_PAIR), inputs, tmp_path)
    outcome = revoke(platform, injected.environ)
    assert outcome.changed, outcome.msg
    assert emulator.writes[0].caller == public_key(platform, 1)
    # Nothing is set for the other platforms.
    other = "MCLI_" if platform == "atlas" else "MONGODB_ATLAS_"
    assert {v for name, v in injected.environ.items() if name.startswith(other)} == {""}


def test_service_account_of_a_credential_authenticates(
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
    """AWX always writes the file; an empty one must not replace the system's certificates."""
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
            # This replaces the system's bundle.
            environ["SSL_CERT_FILE"] = str(authority.file)
        outcome = revoke("ops_manager", environ)
    assert outcome.changed, outcome.msg


def test_secrets_of_credentials_are_hidden_because_their_inputs_are_secret(
    done: SetUp, tmp_path: Path
) -> None:
    secrets = {"private_key": PRIVATE_KEYS["atlas"], "client_secret": CLIENT_SECRETS["atlas"]}
    seen = set()
    for name in (KEY_PAIR, ACCOUNT):
        (tmp_path / name).mkdir()
        made = done.credential_type(name)
        fields = {field["id"]: field for field in made["inputs"]["fields"]}
        assert {name for name, field in fields.items() if field.get("secret")} == (
            secrets.keys() & fields.keys()
        )
        inputs = {**inputs_of("atlas"), **secrets, "client_id": client_id("atlas")}
        inputs = {name: value for name, value in inputs.items() if name in fields}
        injected = inject(made, inputs, tmp_path / name)
        seen |= {name for name, value in injected.environ.items() if value in secrets.values()}
        assert not set(injected.shown.values()) & set(secrets.values())
    assert seen == {"MONGODB_ATLAS_PRIVATE_API_KEY", "MONGODB_ATLAS_CLIENT_SECRET"}


def test_runs_show_no_token(done: SetUp, upgraded: SetUp, limited: SetUp) -> None:
    runs = [run for setup in (done, upgraded, limited) for run in setup.runs.values()]
    assert not [run for run in runs if TOKEN in run.output]


def test_playbook_has_no_secret_and_awx_is_not_needed_to_read_it() -> None:
    text = (ROOT / "playbooks" / "awx_setup.yml").read_text("utf-8")
    modules = set(re.findall(r"^ +(awx\.awx\.\w+):$", text, re.MULTILINE))
    listed = (ROOT / ".ansible-lint").read_text("utf-8")
    assert modules == {f"awx.awx.{name}" for name in re.findall(r"- awx\.awx\.(\w+)", listed)}
    assert not re.search(r"password:|token:", text)
