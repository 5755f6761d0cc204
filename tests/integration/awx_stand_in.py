# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the API of AWX: as much of it as the modules of awx.awx call to set things up.

It is stricter than AWX: what it does not know it refuses. What AWX refuses in credential types,
surveys and job templates, it refuses too.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import threading
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

LOOPBACK = "127.0.0.1"
PREFIX = "/api/v2/"
_NOTHING_TO_ASK = "scm_branch diff_mode variables limit tags skip_tags job_type verbosity inventory"
# What objects consist of, with what AWX puts where nothing is given.
FIELDS: dict[str, dict[str, Any]] = {
    "organizations": {"name": None},
    "credentials": {"name": None, "credential_type": None},
    "execution_environments": {"name": None, "image": ""},
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
}
QUESTION_TYPES = {
    "text": str,
    "textarea": str,
    "password": str,
    "multiplechoice": str,
    "multiselect": str,
    "integer": int,
    "float": float,
}
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


class RefusedError(Exception):
    """What AWX answers with status 400."""


class AwxStandIn:
    """`with AwxStandIn(token, playbooks) as awx: awx.url`; ``objects`` is what there is."""

    def __init__(self, token: str, playbooks: Collection[str]) -> None:
        self.token = token
        self.playbooks = set(playbooks)
        self.objects: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in FIELDS}
        self.surveys: dict[int, dict[str, Any]] = {}
        self.credentials: dict[int, list[int]] = {}
        self.writes: list[tuple[str, str, Any]] = []
        self._ids = itertools.count(1)
        # Its log of requests is of no use, and would be part of what tests print.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server(LOOPBACK, 0, self._application, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
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
        found = {**FIELDS[kind], **values, "id": number, "url": url, "type": kind[:-1]}
        found["related"] = {"survey_spec": f"{url}survey_spec/"}
        # Where there is a project, AWX has begun to fetch it.
        found["summary_fields"] = {"current_update": {"id": 1}} if kind == "projects" else {}
        self.objects[kind][number] = found
        return found

    def named(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = (item for item in self.objects[kind].values() if item["name"] == name)
        return found

    def _application(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        try:
            status, body = self._answer(request)
        except RefusedError as error:
            status, body = 400, {"detail": str(error), "error": str(error)}
        except KeyError:
            status, body = 404, {"detail": "Not found."}
        text = "" if body is None else json.dumps(body)
        response = Response(text, status, content_type="application/json")
        response.headers["X-API-Product-Name"] = "AWX"
        response.headers["X-API-Product-Version"] = "24.6.1"
        return response(environ, start_response)

    def _answer(self, request: Request) -> tuple[int, Any]:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"detail": "Authentication credentials were not provided."}
        kind, *rest = request.path.removeprefix(PREFIX).strip("/").split("/")
        data = request.get_json() if request.method in {"POST", "PATCH"} else {}
        if data:
            self.writes.append((request.method, request.path, data))
        if kind == "project_updates":
            return 200, {"id": 1, "status": "successful"}
        objects = self.objects[kind]
        if not rest:
            if request.method == "GET":
                return 200, _page([item for item in objects.values() if _fits(item, request)])
            self._check(kind, data)
            return 201, self.add(kind, **data)
        item = objects[int(rest[0])]
        if rest[1:] == ["survey_spec"]:
            return self._survey(item["id"], data)
        if rest[1:] == ["credentials"]:
            return self._associations(self.credentials.setdefault(item["id"], []), data)
        if rest[1:]:
            raise KeyError(request.path)
        if data:
            self._check(kind, {**item, **data})
            item.update(data)
        return 200, item

    def _check(self, kind: str, values: dict[str, Any]) -> None:
        if kind == "credential_types":
            check_credential_type(values)
        if kind == "job_templates" and values["playbook"] not in self.playbooks:
            raise RefusedError(f"Playbook not found for project: {values['playbook']}")

    def _survey(self, number: int, data: dict[str, Any]) -> tuple[int, Any]:
        if not data:
            return 200, self.surveys.get(number, {})
        check_survey(data)
        self.surveys[number] = data
        return 200, None

    def _associations(self, ids: list[int], data: dict[str, Any]) -> tuple[int, Any]:
        if not data:
            return 200, _page([self.objects["credentials"][number] for number in ids])
        (ids.remove if data.get("disassociate") else ids.append)(data["id"])
        return 204, None


def _page(results: list[dict[str, Any]]) -> dict[str, Any]:
    return {"count": len(results), "next": None, "results": results}


def _fits(item: dict[str, Any], request: Request) -> bool:
    return all(str(item[name]) == value for name, value in request.args.items())


def check_credential_type(values: dict[str, Any]) -> None:
    """Refuse what AWX refuses, above all templates that use what is no input."""
    fields = values["inputs"]["fields"]
    for field in fields:
        # AWX would add the type, and then a second run would find a difference.
        if not {"id", "label", "type"} <= field.keys() <= INPUT_FIELDS:
            raise RefusedError(f"input {field}")
        if field["type"] not in {"string", "boolean"} or field["id"] == "tower":
            raise RefusedError(f"input {field}")
    ids = [field["id"] for field in fields]
    if len(set(ids)) < len(ids) or not set(values["inputs"]["required"]) <= set(ids):
        raise RefusedError("inputs are there twice, or not at all")
    injectors = values["injectors"]
    labels = [label.removeprefix("template.") for label in injectors.get("file", {})]
    filename = SimpleNamespace(**dict.fromkeys(labels, "x"))
    namespace = {**dict.fromkeys(ids, "EXAMPLE"), "tower": SimpleNamespace(filename=filename)}
    sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    for group in injectors.values():
        for name, template in group.items():
            if name.startswith("ANSIBLE_") or not str(template).isascii():
                raise RefusedError(f"injector {name}")
            try:
                sandbox.from_string(template).render(namespace)
            except TemplateError as error:
                raise RefusedError(f"injector {name}: {error}") from None


def check_survey(survey: dict[str, Any]) -> None:
    if not isinstance(survey["name"], str) or not isinstance(survey["description"], str):
        raise RefusedError("name or description of the survey")
    variables = [question["variable"] for question in survey["spec"]]
    if not variables or len(set(variables)) < len(variables):
        raise RefusedError("no question, or one that is asked twice")
    for question in survey["spec"]:
        kind, default = question["type"], question.get("default", "")
        if not re.fullmatch(r"[A-Za-z_]\w*", question["variable"]):
            raise RefusedError(f"variable {question['variable']}")
        if not isinstance(question["question_name"], str) or question["required"] not in {0, 1}:
            raise RefusedError(f"question {question}")
        if default != "" and not isinstance(default, QUESTION_TYPES[kind]):
            raise RefusedError(f"default of {question['variable']}")
        for limit in ("min", "max"):
            if not isinstance(question.get(limit, 0), int):
                raise RefusedError(f"{limit} of {question['variable']}")
        if kind in {"multiplechoice", "multiselect"}:
            if not all(isinstance(choice, str) for choice in question["choices"]):
                raise RefusedError(f"choices of {question['variable']}")
            if default not in {"", *question["choices"]}:
                raise RefusedError(f"default of {question['variable']}")
