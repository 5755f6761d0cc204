# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks of the job templates, run by ansible-runner as AWX runs them.

The project is this checkout, whose collections/requirements.yaml the sync command of AWX
installs. Credentials are in the environment, survey answers in extra variables, with an
empty string for each unanswered question. No output may contain a secret.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.emulator import Emulator, Fault
from tests.integration.playbook import PATIENCE, AnsibleSandbox, Finished
from tests.integration.secret_search import files, search
from tests.support import (
    CLIENT_SECRETS,
    ORG_IDS,
    PRIVATE_KEYS,
    ROOT,
    client_id,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
    seed,
    service_account,
)

pytestmark = pytest.mark.slow

ATLAS, OPS = "atlas", "ops_manager"
EXAMPLE = ROOT / "docs" / "examples" / "organizations.yml"
LEAKED = "leakedky"
RECAP = "Show the results"
# The empty variables that a credential of AWX adds to the environment of a job.
UNUSED = dict.fromkeys(
    (
        "KEYSMITH_MONGODB_CA_PATH MONGODB_ATLAS_PUBLIC_API_KEY MONGODB_ATLAS_PRIVATE_API_KEY "
        "MONGODB_ATLAS_ORG_ID MONGODB_ATLAS_BASE_URL MCLI_PUBLIC_API_KEY MCLI_PRIVATE_API_KEY "
        "MCLI_ORG_ID MCLI_OPS_MANAGER_URL"
    ).split(),
    "",
)
# The secrets of the example's organizations, by the names of their variables.
VAULTED = {
    "vault_finance_api_private_key": "ca11ab1e-0000-4000-8000-00000000f1a1",
    "vault_retail_client_secret": "mdb_sa_sk_canary-retail-0123456789abcdefghijklmnop",
    "vault_datacenter_api_private_key": "ca11ab1e-0000-4000-8000-00000000da7a",
}
WRONG_PRIVATE_KEY = "ca11ab1e-dead-4ead-8ead-0000000badba"
CANARIES = {**PRIVATE_KEYS, **CLIENT_SECRETS, **VAULTED, "wrong": WRONG_PRIVATE_KEY}


def survey(playbook: str, **answers: Any) -> dict[str, Any]:
    """Return the variables of a job whose survey has these answers."""
    *_checks, play = yaml.safe_load((ROOT / "playbooks" / "awx_setup.yml").read_text("utf-8"))
    templates = play["vars"]["awx_setup_default_job_templates"]
    (template,) = (item for item in templates if item["playbook"] == f"{playbook}.yml")
    variables = {question["variable"]: "" for question in template["survey"]}
    assert answers.keys() <= variables.keys()
    return {**variables, **answers}


@dataclass(frozen=True)
class Job:
    """A job that has ended."""

    run: Finished
    events: list[dict[str, Any]]

    @property
    def recap(self) -> list[str]:
        """The lines of the final message."""
        (found,) = (r for r in self.run.results if r.task == RECAP)
        return list(found.values["msg"])

    def line(self, host: str) -> str:
        (found,) = (line for line in self.recap if line.startswith((f"{host} (", f"{host}: ")))
        return found


class Awx:
    """Runs jobs and keeps their output."""

    def __init__(self, folder: Path, collections: Path) -> None:
        self.folder = folder
        self.places: dict[str, str] = {}
        self.canaries = dict(CANARIES)
        self.installed = folder / "requirements_collections"
        self._collections = collections

    def sync(self) -> None:
        """Install the project's requirements, as AWX does after it fetches the project."""
        sandbox = AnsibleSandbox(self.folder / "sync", self.installed)
        command = [sys.executable, "-m", "ansible", "galaxy", "collection", "install"]
        command += ["-r", str(ROOT / "collections" / "requirements.yaml")]
        process = subprocess.run(
            [*command, "--collections-path", str(self.installed)],
            # The working directory of AWX is then that of the project.
            cwd=ROOT,
            env=sandbox.environ,
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE,
        )
        assert process.returncode == 0, process.stdout + process.stderr

    def job(
        self,
        name: str,
        playbook: str,
        environ: Mapping[str, str],
        variables: Mapping[str, Any],
        *,
        arguments: str = "",
        inventory: Mapping[str, Any] | Path | None = None,
    ) -> Job:
        sandbox = AnsibleSandbox(self.folder / name, self.installed)
        private = sandbox.folder / "job"
        (private / "env").mkdir(parents=True)
        (private / "inventory").mkdir()
        files_of_job = {
            "env/envvars": {"ANSIBLE_FORCE_COLOR": "False", **environ},
            # AWX adds facts about the job.
            "env/extravars": {"awx_job_id": 7, "awx_user_name": "anna", **variables},
        }
        if not isinstance(inventory, Path):
            # These variables of localhost must not matter.
            known = {"localhost": {"ansible_connection": "ssh", "ansible_host": "192.0.2.1"}}
            files_of_job["inventory/hosts.json"] = inventory or {"all": {"hosts": known}}
        for path, content in files_of_job.items():
            (private / path).write_text(json.dumps(content), "utf-8")
        command = [sys.executable, "-m", "ansible_runner", "run", str(private), "--ident", "7"]
        command += ["--project-dir", str(ROOT), "-p", f"playbooks/{playbook}.yml"]
        command += ["--inventory", str(inventory)] if isinstance(inventory, Path) else []
        command += [f"--cmdline={arguments}"] if arguments else []
        run = sandbox.finish(sandbox.spawn(command))
        artifacts = private / "artifacts" / "7"
        # The runner itself writes the whole environment to `command`.
        found = {k: v for k, v in files(artifacts) if not k.endswith("/command")}
        found |= {f"{name}: stdout": run.stdout, f"{name}: stderr": run.stderr}
        found |= {f"{name}: results": sandbox.lines.read_text("utf-8")}
        self.places |= found
        events = [json.loads(text) for path, text in found.items() if "/job_events/" in path]
        assert events
        return Job(run, sorted(events, key=lambda event: int(event["counter"])))


@pytest.fixture(scope="module")
def awx(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Awx:
    awx = Awx(tmp_path_factory.mktemp("awx"), collections)
    awx.sync()
    return awx


def of_ops_manager(url: str) -> dict[str, str]:
    pair = key_pair(OPS)
    return {
        **UNUSED,
        "KEYSMITH_MONGODB_PLATFORM": OPS,
        "MCLI_PUBLIC_API_KEY": pair["api_public_key"],
        "MCLI_PRIVATE_API_KEY": pair["api_private_key"],
        "MCLI_ORG_ID": org_id(OPS),
        "MCLI_OPS_MANAGER_URL": url,
    }


def of_service_account(url: str) -> dict[str, str]:
    account = service_account(ATLAS)
    return {
        "KEYSMITH_MONGODB_PLATFORM": ATLAS,
        "KEYSMITH_MONGODB_CA_PATH": "",
        "MONGODB_ATLAS_CLIENT_ID": account["client_id"],
        "MONGODB_ATLAS_CLIENT_SECRET": account["client_secret"],
        "MONGODB_ATLAS_ORG_ID": org_id(ATLAS),
        "MONGODB_ATLAS_BASE_URL": url,
    }


def test_project_sync_installs_the_collection_of_the_project(awx: Awx) -> None:
    installed = awx.installed / "ansible_collections" / "keysmith" / "mongodb"
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text("utf-8"))["version"]
    manifest = json.loads((installed / "MANIFEST.json").read_text("utf-8"))
    assert manifest["collection_info"]["version"] == version
    assert (installed / "playbooks" / "revoke_leaked_key.yml").is_file()
    # This directory is only for the project itself.
    assert not (installed / "collections").exists()


@pytest.mark.each_core
def test_one_key_is_revoked(awx: Awx, emulator: Emulator) -> None:
    """A description that looks like a list stays text in every ansible-core."""
    emulator.state.organizations[org_id(OPS)].api_keys[key_id(OPS, 2)].description = "[1,2]"
    variables = survey("revoke_org_api_key", description="[1,2]")
    job = awx.job("one", "revoke_org_api_key", of_ops_manager(emulator.url), variables)
    assert job.run.code == 0, job.run.output
    assert job.run.result("Revoke the key").changed
    text = job.run.result("Report the result").values["msg"]
    assert text.startswith("Revoked the key")
    assert project_id(OPS) in text
    assert "reserved name" not in job.run.output
    assert key_id(OPS, 2) not in emulator.state.organizations[org_id(OPS)].api_keys
    assert len(emulator.writes) == 1


def test_many_keys_are_revoked(awx: Awx) -> None:
    """One answer has spaces and empty lines, one looks like a list; the rest are empty."""
    name = '["extra 1"]'
    match = 'extra *\n\n  twin \r\n["extra *'
    variables = survey("revoke_org_api_keys", description_match=match, keep=f"{name}\n")
    with Emulator(seed(extra_keys=4)) as emulator:
        environ = of_service_account(emulator.url)
        keys = emulator.state.organizations[org_id(ATLAS)].api_keys
        before = set(keys)
        keys[key_id(ATLAS, 101)].description = name
        trial = awx.job("trial", "revoke_org_api_keys", environ, variables, arguments="--check")
        assert trial.run.code == 0, trial.run.output
        assert emulator.writes == []
        job = awx.job("many", "revoke_org_api_keys", environ, variables)
        assert job.run.code == 0, job.run.output
        lost = {key_id(ATLAS, number) for number in (4, 5, 100, 102, 103)}
        assert before - set(keys) == lost
    shown = {
        name: run.run.result("Report the result").values["msg"]
        for name, run in {"trial": trial, "many": job}.items()
    }
    assert {key["id"] for key in shown["many"]["revoked"]} == lost
    assert {key["id"] for key in shown["trial"]["would_be_revoked"]} == lost
    assert "reserved name" not in job.run.output
    assert shown["many"]["would_be_revoked"] == shown["trial"]["revoked"] == []
    assert [key["description"] for key in shown["many"]["kept"]] == [name]


@pytest.mark.each_core
def test_survey_without_any_answer_revokes_nothing(awx: Awx, emulator: Emulator) -> None:
    environ = of_service_account(emulator.url)
    variables = survey("revoke_org_api_keys")
    job = awx.job("nothing", "revoke_org_api_keys", environ, variables)
    assert job.run.code != 0
    assert "No key is selected" in job.run.result("Revoke all keys that match the selection").msg
    assert emulator.requests == []


def test_key_is_rotated(awx: Awx, emulator: Emulator, tmp_path: Path) -> None:
    playbook = "rotate_org_api_key"
    stored = tmp_path / "pair.json"
    variables = {
        **survey(playbook, api_user_id=key_id(OPS, 2), store_tasks="store_file.yml"),
        "rotate_org_api_key_file": str(stored),
    }
    keys = emulator.state.organizations[org_id(OPS)].api_keys
    before = set(keys)
    empty = {"all": {"hosts": {}}}
    job = awx.job("rotate", playbook, of_ops_manager(emulator.url), variables, inventory=empty)
    assert job.run.code == 0, job.run.output
    assert before - set(keys) == {key_id(OPS, 2)}
    (new,) = set(keys) - before
    assert json.loads(stored.read_text("utf-8"))["private_key"] == keys[new].private_key
    awx.canaries["the private key of the replacement"] = keys[new].private_key


def test_organization_is_audited(awx: Awx, emulator: Emulator, tmp_path: Path) -> None:
    playbook = "audit_org_api_keys"
    variables = survey(playbook, audit_org_api_keys_dest=str(tmp_path / "report"))
    job = awx.job("audit", playbook, of_ops_manager(emulator.url), variables)
    assert job.run.code == 0, job.run.output
    assert emulator.writes == []
    assert "victim" in (tmp_path / "report" / "org_api_keys.json").read_text("utf-8")


@dataclass(frozen=True)
class World:
    """The jobs that searched the example's organizations and others that cannot be checked."""

    jobs: dict[str, Job]
    revoked: list[str]
    leaked_id: str
    project: str


def organization(host: str, variables: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the seed of the organization of a host in the example."""
    owner = {"roles": ["ORG_OWNER"]}
    found: dict[str, Any] = {
        "id": variables["org_id"],
        "name": host,
        "product": OPS if "base_url" in variables else ATLAS,
        "projects": [{"id": f"5f0d9a4e1c2b3a00112{number:03d}b1", "name": "shop"}],
        "api_keys": [],
        "service_accounts": [],
    }
    if "client_id" in variables:
        secret = VAULTED[f"vault_{host}_client_secret"]
        account = {"client_id": variables["client_id"], "client_secret": secret, **owner}
        found["service_accounts"].append(account)
    else:
        owner = {
            "id": f"5f0d9a4e1c2b3a00112{number:03d}e1",
            "description": "signs",
            "public_key": variables["api_public_key"],
            "private_key": VAULTED[f"vault_{host}_api_private_key"],
            **owner,
        }
        found["api_keys"].append(owner)
    return found


@pytest.fixture(scope="module")
def world(awx: Awx) -> World:
    """Search the example inventory, unchanged except for the addresses of the servers."""
    groups = yaml.safe_load(EXAMPLE.read_text("utf-8"))["all"]["children"].values()
    hosts = {
        host: {**group["vars"], **variables}
        for group in groups
        for host, variables in group["hosts"].items()
    }
    assert len(hosts) == 3
    organizations = [organization(h, hosts[h], number) for number, h in enumerate(hosts, 100)]
    leaked = {
        "id": "5f0d9a4e1c2b3a00112233aa",
        "public_key": LEAKED,
        # It is printed, and must not be evaluated as a template.
        "description": "nightly {{ 6 * 7 }} backup",
        "private_key": "00000000-1111-4111-8111-000000000000",
        "roles": ["ORG_MEMBER"],
        "projects": [
            {"project_id": organizations[2]["projects"][0]["id"], "roles": ["GROUP_OWNER"]}
        ],
    }
    organizations[2]["api_keys"].append(leaked)
    inventory = awx.folder / "inventory"
    (inventory / "host_vars").mkdir(parents=True)
    (inventory / "group_vars").mkdir()
    (inventory / "organizations.yml").write_text(EXAMPLE.read_text("utf-8"), "utf-8")
    (inventory / "group_vars" / "all.yml").write_text(json.dumps(VAULTED), "utf-8")
    jobs = {}
    with Emulator({"organizations": organizations}) as emulator:
        # These override the variables of the example.
        for host in hosts:
            place = {"base_url": emulator.url, "ca_path": ""}
            (inventory / "host_vars" / f"{host}.yml").write_text(json.dumps(place), "utf-8")
        more = {**hosts["finance"], "base_url": emulator.url}
        broken = {
            "unreachable": {**more, "base_url": emulator.url.replace("http:", "https:")},
            "refused": {
                **more,
                "org_id": "5f0d9a4e1c2b3a0011223399",
                "api_private_key": WRONG_PRIVATE_KEY,
            },
            "half": {**more, "api_private_key": "{{ vault_that_nobody_has_set }}"},
            "unset": {**more, "org_id": "{{ that_nobody_has_set }}"},
            # None of these may fall back to the organization of the environment.
            "same": {**more, "base_url": f"{emulator.url}/api/atlas/v2/"},
            "empty": {**more, "org_id": ""},
            "null": {**more, "org_id": None},
            "bare": {"platform": ATLAS, "api_public_key": "", "api_private_key": None},
            "number": {**more, "org_id": 33},
            "misspelled": {**more, "leaked_key": LEAKED},
        }
        more_hosts = {"all": {"children": {"the_others": {"hosts": broken}}}}
        (inventory / "the_others.json").write_text(json.dumps(more_hosts), "utf-8")
        variables = survey("revoke_leaked_key", leaked_public_key=LEAKED)
        limit = f"--limit {','.join(hosts)}"
        environ = {
            "MONGODB_ATLAS_ORG_ID": hosts["finance"]["org_id"],
            "MONGODB_ATLAS_PUBLIC_API_KEY": hosts["finance"]["api_public_key"],
            "MONGODB_ATLAS_PRIVATE_API_KEY": VAULTED["vault_finance_api_private_key"],
            "MONGODB_ATLAS_BASE_URL": emulator.url,
        }
        for name, arguments in {
            "trial": f"--check {limit}",
            "search": "--forks 4 -vvvv",
            "again": limit,
        }.items():
            jobs[name] = awx.job(
                f"leaked-{name}",
                "revoke_leaked_key",
                # The failure of one host must not affect another.
                {**environ, "ANSIBLE_ANY_ERRORS_FATAL": "true"},
                variables,
                arguments=arguments,
                inventory=inventory,
            )
        revoked = [recorded.path for recorded in emulator.writes if recorded.method == "DELETE"]
    return World(jobs, revoked, leaked["id"], leaked["projects"][0]["project_id"])


def test_leaked_key_is_found_and_revoked_wherever_it_is(world: World) -> None:
    job = world.jobs["search"]
    assert "found in 1 of 13 organizations. IT MAY STILL WORK IN 10." in job.recap[0]
    assert len(job.recap) == 14
    line = job.line("datacenter")
    assert line.startswith("datacenter (5f0d9a4e1c2b3a0011223303): ")
    assert "revoked, and the API confirms that it is gone." in line
    for text in (world.leaked_id, "nightly {{ 6 * 7 }} backup", "ORG_MEMBER", world.project):
        assert text in job.line("datacenter")
    for host in ("finance", "retail"):
        assert job.line(host).endswith(": not found.")
    assert [path.rpartition("/")[2] for path in world.revoked] == [world.leaked_id]


@pytest.mark.parametrize(
    ("host", "messages"),
    [
        ("unreachable", "does not use TLS"),
        ("refused", "401"),
        ("half", "api_private_key uses a variable that is not defined: vault_that_nobody_has_set"),
        ("unset", "org_id uses a variable that is not defined: that_nobody_has_set"),
        ("same", "The host finance represents the same organization"),
        ("empty", "org_id is not set"),
        ("null", "org_id is not set"),
        ("bare", "The credential of this host is empty"),
        ("number", "org_id must be text"),
        ("misspelled", "Use leaked_public_key instead"),
    ],
)
def test_an_organization_that_cannot_be_checked_is_reported_as_such(
    world: World, host: str, messages: str
) -> None:
    job = world.jobs["search"]
    assert job.run.code != 0
    line = job.line(host)
    assert "NOT CHECKED: " in line
    assert messages in line
    result = job.run.result("Fail if the key may still work", host)
    assert result.failed
    assert messages in result.msg


def test_search_for_a_key_that_is_gone_changes_nothing(world: World) -> None:
    job = world.jobs["again"]
    assert job.run.code == 0, job.run.output
    assert job.recap[0] == f"The API key {LEAKED} was found in 0 of 3 organizations."
    assert not any(result.changed for result in job.run.results)


def test_check_mode_shows_what_would_be_revoked(world: World) -> None:
    job = world.jobs["trial"]
    assert job.run.code == 0, job.run.output
    assert "): would be revoked. Key " in job.line("datacenter")


def test_a_signing_credential_or_a_key_that_stays_is_reported(awx: Awx) -> None:
    """The key is a signing credential (protected or not), is refused, or is not gone in time."""
    owner = public_key(ATLAS, 1)
    faulty = Fault("status", "DELETE", status=403, code="USER_UNAUTHORIZED")
    names = ("refused", "allowed", "stuck", "late")
    emulators = {name: Emulator(seed()) for name in names}
    emulators["late"].settings.visibility_delay = 3600
    try:
        hosts = {}
        for name, emulator in emulators.items():
            emulator.start()
            hosts[name] = {"base_url": emulator.url, "org_id": ORG_IDS[ATLAS]}
            hosts[name] |= key_pair(ATLAS) if name in {"refused", "allowed"} else {}
        hosts["allowed"]["allow_own_key"] = True
        hosts["late"]["wait_timeout"] = 0.5
        hosts["never"] = {"org_id": ORG_IDS[OPS], "wait_timeout": "a minute"}
        emulators["stuck"].add_fault(faulty)
        # The other hosts take their credential from the environment.
        environ = {**of_service_account(""), "ANSIBLE_FORKS": "4"}
        job = awx.job(
            "leaked-own",
            "revoke_leaked_key",
            environ,
            {"leaked_public_key": owner},
            inventory={"all": {"hosts": hosts}},
        )
        left = {
            name: key_id(ATLAS, 1) in emulator.state.organizations[org_id(ATLAS)].api_keys
            for name, emulator in emulators.items()
        }
    finally:
        for emulator in emulators.values():
            emulator.stop()
    assert job.run.code != 0
    assert "found in 4 of 5 organizations. IT MAY STILL WORK IN 4." in job.recap[0]
    assert "NOT CHECKED: wait_timeout must be a number" in job.line("never")
    assert left == {"refused": True, "allowed": False, "stuck": True, "late": False}
    assert "revoked with its own credentials" in job.line("allowed")
    for name, messages in {
        "refused": "set allow_own_key",
        "stuck": "USER_UNAUTHORIZED",
        "late": "accepted",
    }.items():
        assert "FOUND, BUT NOT CONFIRMED AS REVOKED: " in job.line(name)
        assert messages in job.line(name)


GROUPS = {"all": {"children": {"here": {"hosts": {"a": {}}}, "there": {"hosts": {"b": {}}}}}}


@pytest.mark.parametrize(
    ("variables", "place", "messages"),
    [
        (
            {"leaked_public_key": PRIVATE_KEYS[ATLAS]},
            {"inventory": GROUPS},
            "8 characters",
        ),
        (
            {"leaked_public_key": LEAKED},
            {"inventory": {"all": {"hosts": {}}}},
            "No organization to search",
        ),
        (
            {"leaked_public_key": LEAKED, "revoke_leaked_key_hosts": "here"},
            {"inventory": GROUPS, "arguments": "--limit there"},
            "No organization to search",
        ),
        (
            {"leaked_public_key": None, "public_key": LEAKED, "leaked_hosts": "here"},
            {"inventory": GROUPS},
            "leaked_public_key is required",
        ),
        (
            {"leaked_public_key": LEAKED},
            {"inventory": {"all": {**GROUPS["all"], "vars": {"revoke_leaked_key_hosts": "here"}}}},
            "revoke_leaked_key_hosts is set in the inventory",
        ),
    ],
    ids=[
        "a private key",
        "no inventory",
        "a limit that excludes every host",
        "slips",
        "by inventory",
    ],
)
def test_a_search_without_a_valid_target_fails(
    awx: Awx, request: pytest.FixtureRequest, variables: Any, place: Any, messages: str
) -> None:
    name = request.node.callspec.id
    job = awx.job(name, "revoke_leaked_key", {}, variables, **place)
    assert job.run.code != 0
    assert messages in job.run.stdout
    assert not any(result.task == RECAP for result in job.run.results)


def test_no_output_has_a_secret(awx: Awx, world: World) -> None:
    """This is the last test, so that it sees the output of all jobs."""
    assert sum("/job_events/" in place for place in awx.places) > 100
    events = "".join(text for place, text in awx.places.items() if "/job_events/" in place)
    # Public text is found, so the search looked in the right place.
    assert client_id(ATLAS)[:10] in events or LEAKED in events
    hits = search(awx.places, awx.canaries)
    assert not hits, "\n".join(hits)
