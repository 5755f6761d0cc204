# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for AWX accepts and refuses what AWX 24.6.1 was seen to accept and refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.awx_stand_in import PREFIX, AwxStandIn

pytestmark = pytest.mark.slow

URL = "https://git.example.com/one.git"
FIELD = {"id": "a", "label": "A", "type": "string"}
TEMPLATE = "{{ a }}"
QUESTION = {"variable": "a", "question_name": "A", "required": False, "type": "text"}
CHOICE = {**QUESTION, "type": "multiplechoice", "choices": ["x", "y"]}
MANY = {**CHOICE, "type": "multiselect"}
UNDEFINED = "A uses an undefined field"
SCHEMA = "Schema validation error in relative path"


def fields(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"fields": [{**FIELD, **change} for change in changes], "required": []}


def env(value: Any, variable: str = "A", **files: str) -> dict[str, Any]:
    found: dict[str, Any] = {"env": {variable: value}}
    if files:
        found["file"] = {name.replace("__", "."): text for name, text in files.items()}
    return found


GOOD = {"inputs": fields({}), "injectors": env(TEMPLATE)}
# What is saved, and what the response says about it: nothing if it is accepted.
TYPES: dict[str, tuple[dict[str, Any], str]] = {
    "good": (GOOD, ""),
    "no required": ({"inputs": {"fields": [FIELD]}}, ""),
    "no type": ({"inputs": {"fields": [{"id": "a", "label": "A"}], "required": []}}, ""),
    "no fields": ({"inputs": {}}, ""),
    "undefined": ({"injectors": env("{{ b }}")}, f"{UNDEFINED} ('b' is undefined)"),
    "filename unnamed": ({"injectors": env("{{ tower.filename }}", template=TEMPLATE)}, ""),
    "filename named": ({"injectors": env("{{ tower.filename.x }}", template__x=TEMPLATE)}, ""),
    "filename both": (
        {"injectors": env("", template=TEMPLATE, template__x=TEMPLATE)},
        "Must use multi-file syntax when injecting multiple files",
    ),
    "filename unknown": (
        {"injectors": env("{{ tower.filename.y }}", template__x=TEMPLATE)},
        f"{UNDEFINED} (",
    ),
    "filename without a file": ({"injectors": env("{{ tower.filename }}")}, f"{UNDEFINED} ("),
    "file odd label": (
        {"injectors": env("", foo=TEMPLATE)},
        f"{SCHEMA} ['file'] ('foo' does not match",
    ),
    "ANSIBLE_X": (
        {"injectors": env("", "ANSIBLE_X")},
        "ANSIBLE_X may affect Ansible configuration",
    ),
    "PATH env": ({"injectors": env("", "PATH")}, "PATH is not allowed to be used in credentials."),
    "lower env": ({"injectors": env("", "a b")}, f"{SCHEMA} ['env'] ('a b' does not match"),
    "env number": (
        {"injectors": env(1)},
        "int provided in relative path ['env', 'A'], expected string",
    ),
    "non ascii template": (
        {"injectors": env("\u00fc {{ a }}")},
        "does not match '^[\\x00-\\x7f]*$'",
    ),
    "non ascii label": ({"inputs": fields({"label": "\u00fc"})}, ""),
    "extra_vars": ({"injectors": {"extra_vars": {"a": TEMPLATE}}}, ""),
    "extra_vars nested": ({"injectors": {"extra_vars": {"a": {"b": [TEMPLATE]}}}}, ""),
    "unknown injector": ({"injectors": {"foo": {}}}, "('foo' was unexpected)"),
    "boolean secret": (
        {"inputs": fields({"type": "boolean", "secret": True})},
        "secret not allowed for boolean type (a)",
    ),
    "choices and secret": ({"inputs": fields({"choices": ["x"], "secret": True})}, ""),
    "default not in choices": ({"inputs": fields({"choices": ["x"], "default": "y"})}, ""),
    "default secret": ({"inputs": fields({"secret": True, "default": "x"})}, ""),
    "unknown key of a field": (
        {"inputs": fields({"foo": 1})},
        f"{SCHEMA} ['fields', 0] (Additional properties are not allowed ('foo' was unexpected))",
    ),
    "id with dash": ({"inputs": fields({}, {"id": "a-b"})}, "a-b is an invalid variable name"),
    "id tower": ({"inputs": fields({}, {"id": "tower"})}, "'tower' is a reserved field name"),
    "required unknown": ({"inputs": {"fields": [FIELD], "required": ["b"]}}, ""),
    "twice": ({"inputs": fields({}, {})}, "field IDs must be unique (a)"),
    "syntax error": (
        {"injectors": env("{% if %}")},
        "Syntax error rendering template for A inside of env (",
    ),
    "default None": ({"inputs": fields({"default": None})}, "None is not a string"),
    "multiline boolean": (
        {"inputs": fields({"type": "boolean", "multiline": True})},
        "multiline not allowed for boolean type (a)",
    ),
}
SURVEYS: dict[str, tuple[dict[str, Any], str]] = {
    "good": ({"spec": [QUESTION]}, ""),
    "empty spec": ({"spec": []}, "'spec' doesn't contain any items."),
    "no description": (
        {"description": None, "spec": [QUESTION]},
        "Expected string for field 'description', received NoneType type.",
    ),
    "twice": (
        {"spec": [QUESTION, QUESTION]},
        "'variable' 'a' duplicated in survey question 1.",
    ),
}
# Of a survey with one question.
QUESTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "required 0": (
        {**QUESTION, "required": 0},
        "'required' in survey question 0 expected to be boolean.",
    ),
    "variable blank": ({**QUESTION, "variable": "a b"}, ""),
    "variable dash": ({**QUESTION, "variable": "a-b"}, ""),
    "variable empty": ({**QUESTION, "variable": ""}, ""),
    "default int in text": (
        {**QUESTION, "default": 1},
        "Default value 1 in survey question 0 expected to be string.",
    ),
    "default empty in int": ({**QUESTION, "type": "integer", "default": ""}, ""),
    "default None": (
        {**QUESTION, "default": None},
        "Default value None in survey question 0 expected to be string.",
    ),
    "default float": ({**QUESTION, "type": "float", "default": 1}, ""),
    "min text": (
        {**QUESTION, "min": "1"},
        "The min limit in survey question 0 expected to be integer.",
    ),
    "min None": ({**QUESTION, "min": None}, ""),
    "min True": ({**QUESTION, "min": True}, ""),
    "min > max": ({**QUESTION, "min": 2, "max": 1}, ""),
    "default too short": ({**QUESTION, "min": 2, "default": "x"}, ""),
    "default out of range": ({**QUESTION, "type": "integer", "max": 1, "default": 2}, ""),
    "choices text": ({**CHOICE, "choices": "x\ny"}, ""),
    "choices list": (CHOICE, ""),
    "choices bool": ({**CHOICE, "choices": [True, False]}, ""),
    "choices missing": (
        {**QUESTION, "type": "multiplechoice"},
        "Survey question 0 of type multiplechoice must specify choices.",
    ),
    "choice default other": (
        {**CHOICE, "default": "z"},
        "Default choice must be answered from the choices listed.",
    ),
    "choice no default": ({**CHOICE, "default": ""}, ""),
    "unknown type": (
        {**QUESTION, "type": "foo"},
        "'foo' in survey question 0 is not one of 'text, textarea, password, multiplechoice, "
        "multiselect, integer, float' allowed question types.",
    ),
    "multiselect list default": (
        {**MANY, "default": ["x", "y"]},
        "Default value ['x', 'y'] in survey question 0 expected to be string.",
    ),
    "multiselect text default": ({**MANY, "default": "x\ny"}, ""),
    "password default": ({**QUESTION, "type": "password", "default": "x"}, ""),
    "unknown key": ({**QUESTION, "foo": 1}, ""),
    "no question_name": (
        {**QUESTION, "question_name": None},
        "'question_name' in survey question 0 expected to be string.",
    ),
}
SURVEYS |= {name: ({"spec": [question]}, said) for name, (question, said) in QUESTIONS.items()}


class Client:
    """Calls the stand-in without a network."""

    def __init__(self, awx: AwxStandIn) -> None:
        self.awx = awx

    def get(self, path: str) -> Any:
        status, body = self.awx.request("GET", f"{PREFIX}{path}")
        assert status == 200, body
        return body

    def send(self, method: str, path: str, data: Any, expected: int) -> Any:
        status, body = self.awx.request(method, f"{PREFIX}{path}", data)
        assert status == expected, body
        return body

    def project(self, **values: Any) -> dict[str, Any]:
        data = {"name": "p", "scm_type": "git", "scm_url": URL, **values}
        return dict(self.send("POST", "projects/", data, 201))

    def wait(self, project: int) -> dict[str, Any]:
        """Follow the running sync of a project to its end."""
        update = self.get(f"projects/{project}/")["summary_fields"]["current_update"]
        return dict(self.get(f"project_updates/{update['id']}/"))

    def template(self, *questions: dict[str, Any], **values: Any) -> int:
        """Make a job template with a survey; its project is synced."""
        project = self.project()["id"]
        self.wait(project)
        data = {"name": "t", "project": project, "playbook": "a.yml", "survey_enabled": True}
        made = self.send("POST", "job_templates/", {**data, **values}, 201)
        if questions:
            survey = {"name": "s", "description": "", "spec": list(questions)}
            self.send("POST", f"job_templates/{made['id']}/survey_spec/", survey, 200)
        return int(made["id"])

    def launch(self, template: int, expected: int = 201, **data: Any) -> Any:
        return self.send("POST", f"job_templates/{template}/launch/", data, expected)


@pytest.fixture
def client() -> Iterator[Client]:
    with AwxStandIn("token", {"a.yml"}) as awx:
        yield Client(awx)


@pytest.mark.parametrize("name", TYPES)
def test_credential_type(client: Client, name: str) -> None:
    change, said = TYPES[name]
    injectors = GOOD["injectors"] if change.get("inputs") else {}
    values = {"name": "n", "kind": "cloud", **GOOD, "injectors": injectors, **change}
    body = client.send("POST", "credential_types/", values, 400 if said else 201)
    if said:
        assert said in json.loads(json.dumps(body))[next(iter(change))][0]
    else:
        # AWX completes an input that has no type, so that a client sees a difference.
        assert all(field["type"] for field in body["inputs"].get("fields", []))


@pytest.mark.parametrize("name", SURVEYS)
def test_survey(client: Client, name: str) -> None:
    change, said = SURVEYS[name]
    values = {"name": "n", "description": "d", **change}
    path = f"job_templates/{client.template()}/survey_spec/"
    body = client.send("POST", path, values, 400 if said else 200)
    assert body == ({"error": said} if said else None)


def test_type_in_use_keeps_its_inputs(client: Client) -> None:
    made = client.send("POST", "credential_types/", {"name": "n", "kind": "cloud", **GOOD}, 201)
    path = f"credential_types/{made['id']}/"
    more = {"inputs": fields({}, {"id": "b"})}
    client.send("PATCH", path, more, 200)
    data = {"name": "c", "credential_type": made["id"], "inputs": {"a": "x"}}
    client.send("POST", "credentials/", data, 201)
    assert "in use" in client.send("PATCH", path, {"inputs": GOOD["inputs"]}, 403)["detail"]
    # The same inputs and other injectors are no matter.
    client.send("PATCH", path, {**more, "injectors": env("{{ b }}")}, 200)


def test_only_an_administrator_of_the_system_makes_types(client: Client) -> None:
    client.awx.is_administrator = False
    client.send("POST", "credential_types/", {"name": "n", "kind": "cloud", **GOOD}, 403)


def test_project_is_synced_when_it_is_made_or_moved(client: Client) -> None:
    made = client.project()
    assert made["summary_fields"]["current_update"]
    assert client.wait(made["id"])["status"] == "successful"
    path = f"projects/{made['id']}/"
    assert client.get(path)["summary_fields"] == {}
    unchanged = {"scm_url": URL, "description": "another"}
    assert client.send("PATCH", path, unchanged, 200)["summary_fields"] == {}
    for moved in ({"scm_url": f"{URL}2"}, {"scm_branch": "2.0.0"}):
        client.awx.revision = str(moved)
        assert client.send("PATCH", path, moved, 200)["summary_fields"]["current_update"]
        client.wait(made["id"])
        assert client.get(path)["scm_revision"] == str(moved)


def test_failed_sync_is_not_made_good_by_saving(client: Client) -> None:
    client.awx.repository_answers = False
    made = client.project()
    assert client.wait(made["id"])["failed"]
    client.awx.repository_answers = True
    path = f"projects/{made['id']}/"
    saved = client.send("PATCH", path, {"scm_url": URL}, 200)
    assert (saved["status"], saved["scm_revision"], saved["summary_fields"]) == ("failed", "", {})
    client.send("POST", f"{path}update/", {}, 202)
    assert client.wait(made["id"])["scm_revision"] == client.awx.revision
    assert client.get(path)["status"] == "successful"


def test_playbook_has_to_be_in_the_last_sync(client: Client) -> None:
    made = client.project()
    data = {"name": "t", "project": made["id"], "playbook": "a.yml"}
    refused = {"playbook": ["Playbook not found for project."]}
    # Nobody has waited for the sync.
    assert client.send("POST", "job_templates/", data, 400) == refused
    client.wait(made["id"])
    client.send("POST", "job_templates/", data, 201)
    client.awx.playbooks.add("b.yml")
    data = {"name": "u", "project": made["id"], "playbook": "b.yml"}
    assert client.send("POST", "job_templates/", data, 400) == refused
    client.send("POST", f"projects/{made['id']}/update/", {}, 202)
    client.wait(made["id"])
    client.send("POST", "job_templates/", data, 201)


NUMBER = {**QUESTION, "type": "integer", "min": 1, "max": 9}


@pytest.mark.parametrize(
    ("question", "answers", "said"),
    [
        ({**QUESTION, "min": 0}, {"a": ""}, ""),
        ({**QUESTION, "min": 1}, {"a": ""}, "'a' value  is too small"),
        ({**QUESTION, "max": 1}, {"a": "xy"}, "'a' value xy is too large"),
        (QUESTION, {"a": 1}, "Value 1 for 'a' expected to be a string."),
        (QUESTION, {}, ""),
        ({**QUESTION, "required": True}, {}, "'a' value missing"),
        ({**QUESTION, "required": True, "default": "x"}, {}, "'a' value missing"),
        ({**QUESTION, "required": True, "default": "x"}, {"a": ""}, ""),
        (NUMBER, {"a": 5}, ""),
        (NUMBER, {"a": ""}, "Value  for 'a' expected to be an integer."),
        (NUMBER, {"a": True}, "Value True for 'a' expected to be an integer."),
        (NUMBER, {"a": 10}, "'a' value 10 is too large"),
        (CHOICE, {"a": "x"}, ""),
        (CHOICE, {"a": ""}, "Value  for 'a' expected to be one of ['x', 'y']."),
        ({**CHOICE, "choices": ["true"]}, {"a": True}, "Value True for 'a' expected to be one of"),
        (MANY, {"a": ["x", "z"]}, "Value z for 'a' expected to be one of ['x', 'y']."),
        (MANY, {"a": "x"}, "'a' value is expected to be a list."),
    ],
)
def test_answers_at_launch(client: Client, question: Any, answers: Any, said: str) -> None:
    template = client.template(question)
    body = client.launch(template, 400 if said else 201, extra_vars=answers)
    if said:
        assert body["variables_needed_to_start"][0].startswith(said)
    else:
        assert json.loads(body["extra_vars"]).items() >= answers.items()


def test_default_is_for_a_question_that_is_not_required(client: Client) -> None:
    template = client.template({**QUESTION, "default": "x"})
    assert json.loads(client.launch(template)["extra_vars"]) == {"a": "x"}
    # A variable that is not asked for is dropped, and the response says so.
    body = client.launch(template, extra_vars={"b": 1})
    assert body["ignored_fields"] == {"extra_vars": {"b": 1}}


def test_launch_names_the_credentials_of_the_template_too(client: Client) -> None:
    kinds = [client.awx.add("credential_types", name=f"k{n}", inputs={})["id"] for n in range(2)]
    one, other, same = (
        client.awx.add("credentials", name=f"c{n}", credential_type=kinds[kind])["id"]
        for n, kind in enumerate((0, 1, 0))
    )
    template = client.template(ask_credential_on_launch=True)
    client.send("POST", f"job_templates/{template}/credentials/", {"id": one}, 204)
    assert client.launch(template)["credentials"] == [one]
    refused = client.launch(template, 400, credentials=[other])
    assert "lacked credential(s): c0." in refused["credentials"][0]
    assert client.launch(template, credentials=[one, other])["credentials"] == [one, other]
    # One of the same type stands for it; two of one type are refused.
    assert client.launch(template, credentials=[same])["credentials"] == [same]
    client.launch(template, 400, credentials=[one, same])


def test_credential_without_an_input_that_has_a_default_fails_its_jobs(client: Client) -> None:
    inputs = {**fields({}, {"id": "b", "default": "x"}), "required": ["a", "b"]}
    values = {"name": "n", "kind": "cloud", "inputs": inputs, "injectors": {}}
    kind = client.send("POST", "credential_types/", values, 201)["id"]
    data = {"name": "c", "credential_type": kind}
    client.send("POST", "credentials/", {**data, "inputs": {"b": "y"}}, 400)
    client.send("POST", "credentials/", {**data, "inputs": {"a": "y", "c": "z"}}, 400)
    credential = client.send("POST", "credentials/", {**data, "inputs": {"a": "y"}}, 201)["id"]
    template = client.template(ask_credential_on_launch=True)
    job = client.launch(template, credentials=[credential])
    assert job["failed"]
    assert "required field missing: b" in job["job_explanation"]
