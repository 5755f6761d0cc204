# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the part of the AWX API that the modules of awx.awx call to set things up.

It syncs projects, keeps the inputs of credential types that are in use and refuses surveys as AWX
24.6.1 does. It rejects unknown paths and fields.
"""

from __future__ import annotations

import copy
import itertools
import json
import logging
import threading
from collections.abc import Collection
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

LOOPBACK = "127.0.0.1"
PREFIX = "/api/v2/"
_PROMPTS = (
    "scm_branch diff_mode variables limit tags skip_tags job_type verbosity inventory credential"
)


def _fields(names: str, **defaults: Any) -> dict[str, Any]:
    """Return the defaults of an object's fields: None for IDs and names, "" for other text."""
    nothing = {"organization", "project", "inventory", "execution_environment", "host_filter"}
    nothing |= {"name", "credential_type", "default_environment", "kind", "finished"}
    return {**{name: None if name in nothing else "" for name in names.split()}, **defaults}


# The fields of objects, with the defaults of AWX.
FIELDS: dict[str, dict[str, Any]] = {
    "organizations": _fields("name"),
    "credentials": _fields("name credential_type organization", inputs={}),
    "execution_environments": _fields("name image pull"),
    "credential_types": _fields("name description kind", inputs={}, injectors={}, managed=False),
    "projects": _fields(
        "name description organization scm_type scm_url scm_branch default_environment "
        "scm_revision",
        status="never updated",
    ),
    "inventories": _fields("name description organization host_filter variables", kind=""),
    "job_templates": _fields(
        "name description organization inventory project playbook execution_environment extra_vars",
        job_type="run",
        forks=0,
        job_slice_count=1,
        survey_enabled=False,
        allow_simultaneous=False,
        **{f"ask_{name}_on_launch": False for name in _PROMPTS.split()},
    ),
    "project_updates": _fields(
        "name project finished scm_revision",
        status="pending",
        failed=False,
        event_processing_finished=False,
    ),
}
# A change of one of these starts a sync of the project.
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


_INPUT_FIELDS = set("id label type help_text choices default secret multiline format".split())


class RefusedError(Exception):
    """A request that AWX rejects with status 400, and the field that the response blames."""

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
    """`with AwxStandIn(token, playbooks) as awx: awx.url`; ``objects`` holds its objects.

    ``playbooks`` and ``revision`` describe the repository of all projects. A sync fails unless
    ``has_repository``. Without ``is_administrator``, the token belongs to an administrator of
    the organization, not of the system.
    """

    def __init__(self, token: str, playbooks: Collection[str]) -> None:
        self.token = token
        self.playbooks = set(playbooks)
        self.revision = "1" * 40
        self.has_repository = True
        self.is_administrator = True
        self.objects: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in FIELDS}
        self.surveys: dict[int, dict[str, Any]] = {}
        self.credentials: dict[int, list[int]] = {}
        # The playbooks found by the last successful sync of each project.
        self.synced: dict[int, set[str]] = {}
        self.writes: list[tuple[str, str, Any]] = []
        self._ids = itertools.count(1)
        # Its request log would clutter the output of tests.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server(LOOPBACK, 0, self._application, threaded=True)
        # By default, shutting down takes half a second.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def copy(self) -> AwxStandIn:
        """Return another AWX with the same objects."""
        other = AwxStandIn(self.token, self.playbooks)
        for name in ("revision", "objects", "surveys", "credentials", "synced"):
            setattr(other, name, copy.deepcopy(getattr(self, name)))
        other._ids = itertools.count(next(self._ids))
        return other

    def __enter__(self) -> AwxStandIn:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def add(self, kind: str, /, **values: Any) -> dict[str, Any]:
        """Create an object, and return it as AWX shows it."""
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
        """Return the status and body of the response to a request."""
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
        """Finish a sync when a client polls it: a client that does not wait never sees it."""
        if update["finished"]:
            return
        project = self.objects["projects"][update["project"]]
        if self.has_repository:
            self.synced[project["id"]] = set(self.playbooks)
            project["scm_revision"] = self.revision
        status = "successful" if self.has_repository else "failed"
        project["status"] = status
        update.update(
            status=status,
            failed=not self.has_repository,
            finished="2026-01-01T00:00:00Z",
            event_processing_finished=True,
            scm_revision=project["scm_revision"],
        )

    def _check(self, kind: str, values: dict[str, Any]) -> None:
        if kind == "credential_types":
            if not self.is_administrator:
                raise ForbiddenError("You do not have permission to perform this action.")
            check_credential_type(values)
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
    """Reject unknown properties, and templates that use anything but inputs."""
    fields = values.get("inputs", {}).get("fields", [])
    for position, field in enumerate(fields):
        if unknown := sorted(field.keys() - _INPUT_FIELDS):
            place = f"Schema validation error in relative path ['fields', {position}]"
            raise RefusedError(f"{place} ({unknown[0]!r} was unexpected)", "inputs")
    ids = [field["id"] for field in fields]
    if len({*ids}) < len(ids):
        raise RefusedError(f"field IDs must be unique ({ids})", "inputs")
    if unknown := sorted(values["injectors"].keys() - {"file", "env", "extra_vars"}):
        raise RefusedError(f"{unknown[0]!r} was unexpected", "injectors")
    sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    # A file is named after its template: `template.ca` is `tower.filename.ca`.
    files = {
        name.partition(".")[2]: "EXAMPLE_FILENAME" for name in values["injectors"].get("file", {})
    }
    known = {**dict.fromkeys(ids, "EXAMPLE"), "tower": {"filename": files}}
    for group, templates in values["injectors"].items():
        for name, template in templates.items():
            if group == "env" and name.startswith("ANSIBLE_"):
                raise RefusedError(f"{name} may affect Ansible configuration", "injectors")
            try:
                sandbox.from_string(template).render(known)
            except TemplateError as error:
                raise RefusedError(f"{name} in {group}: {error}", "injectors") from None


def check_survey(survey: dict[str, Any]) -> None:
    """Reject the questions that AWX rejects."""
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
