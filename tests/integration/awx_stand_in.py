# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the API of AWX: as much of it as the modules of awx.awx call to set things up.

It accepts and refuses credential types, surveys, projects, job templates, credentials and launches
as AWX 24.6.1 does. It refuses anything that it does not know.
"""

from __future__ import annotations

import copy
import itertools
import json
import logging
import re
import threading
from collections.abc import Collection
from typing import Any

from jinja2 import StrictUndefined, TemplateError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

LOOPBACK = "127.0.0.1"
PREFIX = "/api/v2/"
_NOTHING_TO_ASK = "scm_branch diff_mode variables limit tags skip_tags job_type verbosity inventory"
# What objects consist of, with what AWX puts where nothing is given.
FIELDS: dict[str, dict[str, Any]] = {
    "organizations": {"name": None},
    "credentials": {"name": None, "credential_type": None, "organization": None, "inputs": {}},
    "execution_environments": {"name": None, "image": "", "pull": ""},
    "credential_types": {
        "name": None,
        "description": "",
        "kind": None,
        "inputs": {},
        "injectors": {},
        "managed": False,
    },
    "projects": {
        "name": None,
        "description": "",
        "organization": None,
        "scm_type": "",
        "scm_url": "",
        "scm_branch": "",
        "default_environment": None,
        "scm_revision": "",
        "status": "never updated",
    },
    "inventories": {
        "name": None,
        "description": "",
        "organization": None,
        "kind": "",
        "host_filter": None,
        "variables": "",
    },
    "job_templates": {
        "name": None,
        "description": "",
        "organization": None,
        "job_type": "run",
        "inventory": None,
        "project": None,
        "playbook": "",
        "execution_environment": None,
        "forks": 0,
        "job_slice_count": 1,
        "extra_vars": "",
        "survey_enabled": False,
        "allow_simultaneous": False,
        **{f"ask_{name}_on_launch": False for name in _NOTHING_TO_ASK.split()},
        "ask_credential_on_launch": False,
    },
    "project_updates": {
        "name": "",
        "project": None,
        "status": "pending",
        "failed": False,
        "finished": None,
        "event_processing_finished": False,
        "scm_revision": "",
    },
    "jobs": {
        "name": "",
        "status": "pending",
        "failed": False,
        "job_explanation": "",
        "extra_vars": "",
        "credentials": [],
    },
}
# A project that gets another value in one of these is synced.
_SYNCED_FIELDS = ("scm_type", "scm_url", "scm_branch")
QUESTION_TYPES: dict[str, Any] = {
    "text": str,
    "textarea": str,
    "password": str,
    "multiplechoice": str,
    "multiselect": str,
    "integer": int,
    "float": (int, float),
}
_NUMBERS = {"integer", "float"}
_CHOICES = {"multiplechoice", "multiselect"}
INPUT_FIELDS = {
    "id",
    "label",
    "type",
    "help_text",
    "choices",
    "default",
    "secret",
    "multiline",
    "format",
    "ask_at_runtime",
}
_INPUT_TYPES = {"string": str, "boolean": bool}
_FOR_STRINGS_ONLY = ("choices", "multiline", "format", "secret")
_NAME = re.compile(r"[a-zA-Z_]+[a-zA-Z0-9_]*")
_FILE = re.compile(r"template(\.[a-zA-Z_]+[a-zA-Z0-9_]*)?")
_KEPT_VARIABLES = {"PATH", "PYTHONPATH", "VIRTUAL_ENV", "JOB_ID", "INVENTORY_ID", "AWX_HOST"}


class RefusedError(Exception):
    """A request that AWX refuses with status 400, and the field that it names in the response."""

    status = 400

    def __init__(self, text: str, field: str = "detail") -> None:
        super().__init__(text)
        self.field = field

    @property
    def body(self) -> dict[str, Any]:
        text = str(self)
        return {self.field: text if self.field in {"detail", "error"} else [text]}


class ForbiddenError(RefusedError):
    status = 403


class AwxStandIn:
    """`with AwxStandIn(token, playbooks) as awx: awx.url`; ``objects`` is what there is.

    ``playbooks`` and ``revision`` are the repository of all projects. A sync fails unless
    ``repository_answers``. Without ``is_administrator``, the token is that of an administrator of
    the organization and not of the system.
    """

    def __init__(self, token: str, playbooks: Collection[str]) -> None:
        self.token = token
        self.playbooks = set(playbooks)
        self.revision = "1" * 40
        self.repository_answers = True
        self.is_administrator = True
        self.objects: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in FIELDS}
        self.surveys: dict[int, dict[str, Any]] = {}
        self.credentials: dict[int, list[int]] = {}
        # The playbooks that the last successful sync of each project brought.
        self.synced: dict[int, set[str]] = {}
        self.writes: list[tuple[str, str, Any]] = []
        self._ids = itertools.count(1)
        # Its log of requests is of no use, and would be part of what tests print.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server(LOOPBACK, 0, self._application, threaded=True)
        # A client in this process does not wait half a second for the end.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def __enter__(self) -> AwxStandIn:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def add(self, kind: str, /, **values: Any) -> dict[str, Any]:
        """Put an object there, as AWX shows it."""
        if unknown := values.keys() - FIELDS[kind].keys():
            raise RefusedError(f"{kind} has no {sorted(unknown)}")
        number = next(self._ids)
        url = f"{PREFIX}{kind}/{number}/"
        found = {**copy.deepcopy(FIELDS[kind]), **values, "id": number, "url": url}
        found["type"] = kind[:-1]
        found["related"] = {"survey_spec": f"{url}survey_spec/", "update": f"{url}update/"}
        found["summary_fields"] = {}
        self.objects[kind][number] = found
        return found

    def named(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = (item for item in self.objects[kind].values() if item["name"] == name)
        return found

    def request(self, method: str, path: str, data: Any = None) -> tuple[int, Any]:
        """Respond to a request: the status and the body."""
        try:
            return self._respond(method, path.removeprefix(PREFIX), data or {})
        except RefusedError as error:
            return error.status, error.body
        except KeyError:
            return 404, {"detail": "Not found."}

    def _application(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        has_body = request.method in {"POST", "PATCH"}
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            status: int = 401
            body: Any = {"detail": "Authentication credentials were not provided."}
        else:
            data = request.get_json() if has_body else dict(request.args)
            status, body = self.request(request.method, request.path, data)
        text = "" if body is None else json.dumps(body)
        response = Response(text, status, content_type="application/json")
        response.headers["X-API-Product-Name"] = "AWX"
        response.headers["X-API-Product-Version"] = "24.6.1"
        return response(environ, start_response)

    def _respond(self, method: str, path: str, data: dict[str, Any]) -> tuple[int, Any]:
        kind, *rest = path.strip("/").split("/")
        is_write = method in {"POST", "PATCH"}
        if is_write:
            self.writes.append((method, f"{PREFIX}{path}", data))
        objects = self.objects[kind]
        if not rest:
            if is_write:
                return 201, self._create(kind, data)
            return 200, _page([self._shown(item) for item in objects.values() if _fits(item, data)])
        item = objects[int(rest[0])]
        if not rest[1:]:
            if is_write:
                self._update(kind, item, data)
            elif kind == "project_updates":
                self._finish_sync(item)
            return 200, self._shown(item)
        name = f"{kind}/{rest[1]}" if len(rest) == 2 else ""
        if name == "job_templates/survey_spec":
            return self._survey(item["id"], data) if is_write else self._survey_of(item["id"])
        if name == "job_templates/credentials":
            return self._associations(self.credentials.setdefault(item["id"], []), data, is_write)
        if name == "job_templates/launch" and method == "POST":
            return 201, self._launch(item, data)
        if name == "projects/update" and method == "POST":
            return 202, self._shown(self._start_sync(item))
        raise KeyError(path)

    def _create(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        self._check(kind, {**copy.deepcopy(FIELDS[kind]), **data})
        item = self.add(kind, **_completed(kind, data))
        if kind == "projects" and item["scm_type"]:
            self._start_sync(item)
        return self._shown(item)

    def _update(self, kind: str, item: dict[str, Any], data: dict[str, Any]) -> None:
        data = _completed(kind, data)
        self._check(kind, {**item, **data})
        if kind == "credential_types" and data.get("inputs", item["inputs"]) != item["inputs"]:
            credentials = self.objects["credentials"].values()
            if any(credential["credential_type"] == item["id"] for credential in credentials):
                raise ForbiddenError(
                    "Modifications to inputs are not allowed for credential types that are in use"
                )
        is_moved = any(data.get(name, item.get(name)) != item.get(name) for name in _SYNCED_FIELDS)
        item.update(data)
        if kind == "projects" and is_moved and item["scm_type"]:
            self._start_sync(item)

    def _shown(self, item: dict[str, Any]) -> dict[str, Any]:
        if item["type"] != "project":
            return item
        running = [
            {"id": update["id"], "status": update["status"]}
            for update in self.objects["project_updates"].values()
            if update["project"] == item["id"] and not update["finished"]
        ]
        return {**item, "summary_fields": {"current_update": running[-1]} if running else {}}

    def _start_sync(self, project: dict[str, Any]) -> dict[str, Any]:
        return self.add("project_updates", name=project["name"], project=project["id"])

    def _finish_sync(self, update: dict[str, Any]) -> None:
        """End a sync as soon as a client asks for it: a client that does not wait sees none."""
        if update["finished"]:
            return
        project = self.objects["projects"][update["project"]]
        if self.repository_answers:
            self.synced[project["id"]] = set(self.playbooks)
            project["scm_revision"] = self.revision
        status = "successful" if self.repository_answers else "failed"
        project["status"] = status
        update.update(
            status=status,
            failed=not self.repository_answers,
            finished="2026-01-01T00:00:00Z",
            event_processing_finished=True,
            scm_revision=project["scm_revision"],
        )

    def _check(self, kind: str, values: dict[str, Any]) -> None:
        if kind == "credential_types":
            if not self.is_administrator:
                raise ForbiddenError("You do not have permission to perform this action.")
            check_credential_type(values)
        if kind == "credentials":
            check_credential(self.objects["credential_types"][values["credential_type"]], values)
        known = self.synced.get(values.get("project") or 0, set())
        if kind == "job_templates" and values["playbook"] not in known:
            raise RefusedError("Playbook not found for project.", "playbook")

    def _survey(self, number: int, data: dict[str, Any]) -> tuple[int, Any]:
        check_survey(data)
        self.surveys[number] = data
        return 200, None

    def _survey_of(self, number: int) -> tuple[int, Any]:
        return 200, self.surveys.get(number, {})

    def _associations(
        self, ids: list[int], data: dict[str, Any], is_write: bool
    ) -> tuple[int, Any]:
        if not is_write:
            return 200, _page([self.objects["credentials"][number] for number in ids])
        (ids.remove if data.get("disassociate") else ids.append)(data["id"])
        return 204, None

    def _launch(self, template: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        answers = data.get("extra_vars") or {}
        answers = json.loads(answers) if isinstance(answers, str) else dict(answers)
        spec = self.surveys.get(template["id"], {}).get("spec", [])
        questions = {question["variable"]: question for question in spec}
        if not template["survey_enabled"]:
            questions = {}
        ignored = {}
        if not template["ask_variables_on_launch"]:
            ignored = {name: answers.pop(name) for name in list(answers) if name not in questions}
        problems = [text for item in questions.values() for text in check_answer(item, answers)]
        if problems:
            raise RefusedError("; ".join(problems), "variables_needed_to_start")
        credentials = self._launch_credentials(template, data)
        variables = json.loads(template["extra_vars"] or "{}")
        # A default counts for a question that is not required only: the others have an answer here.
        variables |= {
            name: question["default"]
            for name, question in questions.items()
            if question.get("default") is not None
        }
        missing = [text for number in credentials for text in self._missing_inputs(number)]
        job = self.add(
            "jobs",
            name=template["name"],
            status="failed" if missing else "pending",
            failed=bool(missing),
            job_explanation="; ".join(missing),
            extra_vars=json.dumps({**variables, **answers}),
            credentials=credentials,
        )
        return {**job, "job": job["id"], "ignored_fields": {"extra_vars": ignored}}

    def _launch_credentials(self, template: dict[str, Any], data: dict[str, Any]) -> list[int]:
        own = self.credentials.get(template["id"], [])
        if "credentials" not in data or not template["ask_credential_on_launch"]:
            return list(own)
        chosen = [self.objects["credentials"][number] for number in data["credentials"]]
        kinds = [credential["credential_type"] for credential in chosen]
        if len(set(kinds)) < len(kinds):
            raise RefusedError("Cannot assign multiple credentials of one type.", "credentials")
        for number in own:
            credential = self.objects["credentials"][number]
            if credential not in chosen and credential["credential_type"] not in kinds:
                raise RefusedError(
                    "Removing credentials at launch time without replacement is not supported. "
                    f"Provided list lacked credential(s): {credential['name']}.",
                    "credentials",
                )
        return [credential["id"] for credential in chosen]

    def _missing_inputs(self, number: int) -> list[str]:
        credential = self.objects["credentials"][number]
        inputs = self.objects["credential_types"][credential["credential_type"]]["inputs"]
        return [
            f"{credential['name']}: required field missing: {name}"
            for name in inputs.get("required", [])
            if name not in credential["inputs"]
        ]


def _page(results: list[dict[str, Any]]) -> dict[str, Any]:
    return {"count": len(results), "next": None, "results": results}


def _fits(item: dict[str, Any], query: dict[str, str]) -> bool:
    return all(str(item[name]) == value for name, value in query.items())


def _completed(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return what AWX saves: an input without a type gets one."""
    if kind != "credential_types" or "fields" not in data.get("inputs", {}):
        return data
    fields = [{"type": "string", **field} for field in data["inputs"]["fields"]]
    return {**data, "inputs": {**data["inputs"], "fields": fields}}


def check_credential_type(values: dict[str, Any]) -> None:
    """Refuse what AWX refuses, above all templates that use what is no input."""
    fields = values.get("inputs", {}).get("fields", [])
    ids: list[str] = []
    for position, field in enumerate(fields):
        _check_input(position, field)
        if field["id"] in ids:
            raise RefusedError(f"field IDs must be unique ({field['id']})", "inputs")
        ids.append(field["id"])
    _check_injectors(values.get("injectors", {}), ids)


def _check_input(position: int, field: dict[str, Any]) -> None:
    place = f"Schema validation error in relative path ['fields', {position}]"
    for name in sorted(field.keys() - INPUT_FIELDS):
        raise RefusedError(
            f"{place} (Additional properties are not allowed ('{name}' was unexpected))", "inputs"
        )
    for name in ("id", "label"):
        if not isinstance(field.get(name), str):
            raise RefusedError(f"{place} ('{name}' is a required property)", "inputs")
    number, kind = field["id"], field.get("type", "string")
    if kind not in _INPUT_TYPES:
        raise RefusedError(f"{place} ('{kind}' is not one of ['string', 'boolean'])", "inputs")
    if not _NAME.fullmatch(number):
        raise RefusedError(f"{number} is an invalid variable name", "inputs")
    if number == "tower":
        raise RefusedError("'tower' is a reserved field name", "inputs")
    for name in _FOR_STRINGS_ONLY:
        if name in field and kind != "string":
            raise RefusedError(f"{name} not allowed for {kind} type ({number})", "inputs")
    if "default" in field and type(field["default"]) is not _INPUT_TYPES[kind]:
        raise RefusedError(f"{field['default']} is not a {kind}", "inputs")


class _Files:
    """What ``tower.filename`` is; only a file without a name can be used as a text."""

    def __str__(self) -> str:
        raise UndefinedError(
            "Must define unnamed file injector in order to reference `tower.filename`."
        )


class _Tower:
    filename: Any

    def __str__(self) -> str:
        raise UndefinedError("Cannot directly reference reserved `tower` namespace container.")


def _check_injectors(injectors: dict[str, Any], ids: list[str]) -> None:
    _check_names(injectors)
    tower = _Tower()
    tower.filename = _Files()
    labels = list(injectors.get("file", {}))
    if "template" in labels:
        tower.filename = "EXAMPLE_FILENAME"
        if len(labels) > 1:
            text = "Must use multi-file syntax when injecting multiple files"
            raise RefusedError(text, "injectors")
    else:
        for label in labels:
            setattr(tower.filename, label.partition(".")[2], "EXAMPLE_FILENAME")
    namespace = {**dict.fromkeys(ids, "EXAMPLE"), "tower": tower}
    for group, items in injectors.items():
        for name, template in items.items():
            _check_template(group, name, template, namespace)


def _check_names(injectors: dict[str, Any]) -> None:
    place = "Schema validation error in relative path"
    for name in sorted(injectors.keys() - {"file", "env", "extra_vars"}):
        raise RefusedError(
            f"{place} [] (Additional properties are not allowed ('{name}' was unexpected))",
            "injectors",
        )
    for group, items in injectors.items():
        pattern = _FILE if group == "file" else _NAME
        for name, template in items.items():
            if not pattern.fullmatch(name):
                raise RefusedError(
                    f"{place} ['{group}'] ('{name}' does not match any of the regexes: "
                    f"'^{pattern.pattern}$')",
                    "injectors",
                )
            is_text = isinstance(template, str)
            if not is_text and (group != "extra_vars" or not isinstance(template, (list, dict))):
                found = type(template).__name__
                raise RefusedError(
                    f"{found} provided in relative path ['{group}', '{name}'], expected string",
                    "injectors",
                )
            if group == "env":
                _check_variable(name, template)


def _check_variable(name: str, template: str) -> None:
    if not template.isascii():
        raise RefusedError(f"{template!r} does not match '^[\\x00-\\x7f]*$'", "injectors")
    if name.startswith("ANSIBLE_"):
        raise RefusedError(
            f"Environment variable {name} may affect Ansible configuration so its use is not "
            "allowed in credentials.",
            "injectors",
        )
    if name in _KEPT_VARIABLES:
        raise RefusedError(
            f"Environment variable {name} is not allowed to be used in credentials.", "injectors"
        )


def _check_template(group: str, name: str, template: Any, namespace: dict[str, Any]) -> None:
    if isinstance(template, (dict, list)):
        items = template.values() if isinstance(template, dict) else template
        for item in items:
            _check_template(group, name, item, namespace)
        return
    sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    try:
        sandbox.from_string(template).render(namespace)
    except UndefinedError as error:
        text = f"{name} uses an undefined field ({error})"
        raise RefusedError(text, "injectors") from None
    except TemplateError as error:
        text = f"Syntax error rendering template for {name} inside of {group} ({error})"
        raise RefusedError(text, "injectors") from None


def check_credential(kind: dict[str, Any], values: dict[str, Any]) -> None:
    """Refuse inputs that the type does not have.

    AWX accepts a credential without a required input that has a default; its jobs fail.
    """
    fields = {field["id"]: field for field in kind["inputs"].get("fields", [])}
    for name in sorted(values["inputs"].keys() - fields.keys()):
        raise RefusedError(
            f"Additional properties are not allowed ('{name}' was unexpected)", "inputs"
        )
    for name in kind["inputs"].get("required", []):
        if name not in values["inputs"] and "default" not in fields[name]:
            raise RefusedError(f"required for {kind['name']}: {name}", "inputs")


def check_survey(survey: dict[str, Any]) -> None:
    for name, expected, noun in (
        ("name", str, "string"),
        ("description", str, "string"),
        ("spec", list, "list of items"),
    ):
        if not isinstance(survey.get(name), expected):
            found = type(survey.get(name)).__name__
            text = f"Expected {noun} for field '{name}', received {found} type."
            raise RefusedError(text, "error")
    if not survey["spec"]:
        raise RefusedError("'spec' doesn't contain any items.", "error")
    variables: set[str] = set()
    for position, question in enumerate(survey["spec"]):
        if text := _survey_problem(position, question, variables):
            raise RefusedError(text, "error")
        variables.add(question["variable"])


def _survey_problem(position: int, question: dict[str, Any], variables: set[str]) -> str:
    for name in ("type", "question_name", "variable", "required"):
        if name not in question:
            return f"'{name}' missing from survey question {position}"
        expected, noun = (bool, "boolean") if name == "required" else (str, "string")
        if not isinstance(question[name], expected):
            return f"'{name}' in survey question {position} expected to be {noun}."
    kind, default = question["type"], question.get("default", "")
    if question["variable"] in variables:
        return f"'variable' '{question['variable']}' duplicated in survey question {position}."
    if kind not in QUESTION_TYPES:
        allowed = ", ".join(QUESTION_TYPES)
        return (
            f"'{kind}' in survey question {position} is not one of '{allowed}' allowed question "
            "types."
        )
    if default != "" and not isinstance(default, QUESTION_TYPES[kind]):
        noun = kind if kind in _NUMBERS else "string"
        return f"Default value {default} in survey question {position} expected to be {noun}."
    for name in ("min", "max"):
        if not isinstance(question.get(name), (int, type(None))):
            return f"The {name} limit in survey question {position} expected to be integer."
    if kind in _CHOICES:
        if "choices" not in question:
            return f"Survey question {position} of type {kind} must specify choices."
        if any(line not in question["choices"] for line in default.splitlines() if line.strip()):
            return "Default choice must be answered from the choices listed."
    return ""


def check_answer(question: dict[str, Any], answers: dict[str, Any]) -> list[str]:
    """Return why AWX refuses the answer to a question at launch; its default does not count."""
    name, kind = question["variable"], question["type"]
    if name not in answers:
        return [f"'{name}' value missing"] if question["required"] else []
    answer = answers[name]
    if kind in _CHOICES:
        choices = question["choices"]
        choices = choices.splitlines() if isinstance(choices, str) else choices
        if kind == "multiselect" and not isinstance(answer, list):
            return [f"'{name}' value is expected to be a list."]
        return [
            f"Value {item} for '{name}' expected to be one of {choices}."
            for item in (answer if kind == "multiselect" else [answer])
            if item not in choices
        ]
    expected = {"integer": (int,), "float": (int, float)}.get(kind, (str,))
    # A boolean is not a number to AWX.
    if type(answer) not in expected:
        noun = "an integer" if kind == "integer" else "a number" if kind == "float" else "a string"
        return [f"Value {answer} for '{name}' expected to be {noun}."]
    size = len(answer) if isinstance(answer, str) else answer
    least, most = question.get("min"), question.get("max")
    if least not in {"", None} and size < least:
        return [f"'{name}' value {answer} is too small (must be at least {least})."]
    if most not in {"", None} and size > most:
        return [f"'{name}' value {answer} is too large (must be no more than {most})."]
    return []
