# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded responses of Atlas, each processed by the modules.

The recordings are not part of this collection: KEYSMITH_RECORDINGS names a JSON file with a list
of ``answers``, each with method, path, status, headers and body. Without it the tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support import API_PATHS, Outcome, created_at, run_module

VARIABLE = "KEYSMITH_RECORDINGS"
PREFIX = API_PATHS["atlas"]
ORGS, ORG, KEYS, KEY, LIST, ENTRY, PROJECT_KEYS, PROJECT_KEY = PLACES = (
    "/orgs",
    "/orgs/{id}",
    "/orgs/{id}/apiKeys",
    "/orgs/{id}/apiKeys/{id}",
    "/orgs/{id}/apiKeys/{id}/accessList",
    "/orgs/{id}/apiKeys/{id}/accessList/{entry}",
    "/groups/{id}/apiKeys",
    "/groups/{id}/apiKeys/{id}",
)
# All the successes in the file. Errors come from other endpoints too.
SUCCESSES = {
    ("GET", ORGS, 200),
    ("GET", ORG, 200),
    ("GET", KEYS, 200),
    ("GET", KEY, 200),
    ("GET", LIST, 200),
    ("GET", PROJECT_KEYS, 200),
    ("POST", KEYS, 200),
    ("POST", LIST, 200),
    ("POST", PROJECT_KEYS, 200),
    ("PATCH", KEY, 200),
    ("PATCH", PROJECT_KEY, 200),
    ("DELETE", KEY, 204),
    ("DELETE", ENTRY, 204),
    ("DELETE", PROJECT_KEY, 204),
}
ERROR_STATUSES = {400, 401, 404, 409, 500}
JSON_TYPE = "application/vnd.atlas.2023-01-01+json;charset=utf-8"
ORG_ID, KEY_ID, PROJECT_ID = "5a" * 12, "5b" * 12, "5c" * 12
ADDRESS = "203.0.113.9"


@dataclass(frozen=True)
class Recording:
    """A recorded response, and the request it belongs to."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def place(self) -> str:
        return self.path.removeprefix(PREFIX)

    @property
    def is_error(self) -> bool:
        return self.status >= 400

    @property
    def content(self) -> Any:
        return json.loads(self.body) if self.body else {}

    @property
    def bytes(self) -> bytes:
        """The response as it was sent, with a new length, since addresses were replaced."""
        body = self.body.encode()
        lines = [f"HTTP/1.1 {self.status} Recorded"]
        for name, value in self.headers.items():
            lines.append(f"{name}: {len(body) if name == 'Content-Length' else value}")
        return "\r\n".join([*lines, "", ""]).encode() + body


def load(text: str) -> list[Recording]:
    """Return the recordings in a file, and fail if it has none or one of an unknown kind."""
    recorded = json.loads(text)["answers"]
    assert recorded, "the file has no recorded responses"
    found = [Recording(**item) for item in recorded]
    for one in found:
        assert one.path.startswith(PREFIX), one.path
        is_known = (one.method, one.place, one.status) in SUCCESSES
        if one.is_error:
            is_known = one.status in ERROR_STATUSES and one.method in CALLS
        assert is_known, f"unknown kind of response: {one.method} {one.place} {one.status}"
    return found


def recordings() -> list[Any]:
    """Return the recordings as parameters of a test, or one that is skipped."""
    name = os.environ.get(VARIABLE)
    if not name:
        reason = f"the recorded responses of Atlas are missing ({VARIABLE})"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="none")]
    found = load(Path(name).read_text("utf-8"))
    names = (f"{n}-{one.method}-{one.place}-{one.status}" for n, one in enumerate(found))
    return [pytest.param(one, id=name) for name, one in zip(names, found)]


class Replay:
    """A server that sends a recording for one request, and fixed responses for all others.

    ``before`` and ``after`` are the responses to other requests until the recording is sent and
    after that: JSON, or None for a key that does not exist.
    """

    def __init__(
        self,
        recording: Recording,
        place: str | None = None,
        *,
        before: Mapping[tuple[str, str], Any] | None = None,
        after: Mapping[tuple[str, str], Any] | None = None,
        only_first: bool = False,
    ) -> None:
        self.recording = recording
        self.place = place or recording.place
        self.before = dict(before or {})
        self.after = {**self.before, **(after or {})}
        self.only_first = only_first
        self.authorizations: list[str] = []
        self.bodies: list[Any] = []
        self.sent = 0
        self.url = ""

    def respond(self, method: str, target: str, body: bytes, authorization: str) -> bytes:
        place = place_of(target)
        if (method, place) == (self.recording.method, self.place):
            self.authorizations.append(authorization)
            self.bodies.append(json.loads(body) if body else None)
            if not (self.only_first and self.sent):
                self.sent += 1
                return self.recording.bytes
        responses = self.after if self.sent else self.before
        assert (method, place) in responses, (method, target)
        content = responses[method, place]
        if method == "DELETE":
            gone = {KEY: None, ENTRY: page(), PROJECT_KEY: page()}[place]
            read = {KEY: KEY, ENTRY: LIST, PROJECT_KEY: PROJECT_KEYS}[place]
            self.before["GET", read] = self.after["GET", read] = gone
        if content is None:
            missing = {"error": 400, "errorCode": "API_KEY_NOT_FOUND", "parameters": [KEY_ID]}
            return response(400, json.dumps(missing))
        return response(200, json.dumps(content)) if content != "" else response(204, "")

    @contextmanager
    def serve(self) -> Iterator[Replay]:
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                authorization = self.headers.get("Authorization") or ""
                data = replay.respond(self.command, self.path, body, authorization)
                self.close_connection = b"\r\nConnection: close\r\n" in data
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = respond  # noqa: N815  the library's names

            def log_message(self, *_arguments: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


def response(status: int, body: str) -> bytes:
    length = "" if status == 204 else f"Content-Length: {len(body.encode())}\r\n"
    return f"HTTP/1.1 {status} OK\r\nContent-Type: {JSON_TYPE}\r\n{length}\r\n{body}".encode()


def place_of(target: str) -> str:
    """Return the endpoint of a request as the recordings write it."""
    path = target.partition("?")[0].removeprefix(PREFIX)
    path = re.sub("/[0-9a-f]{24}(?=/|$)", "/{id}", path)
    return re.sub("/accessList/.+", "/accessList/{entry}", path)


def page(*items: Any) -> dict[str, Any]:
    return {"links": [], "results": list(items), "totalCount": len(items)}


def org_of(key: Mapping[str, Any]) -> str:
    found = re.search("/orgs/([0-9a-f]{24})/", key["links"][0]["href"])
    assert found
    return found.group(1)


def key_json(roles: list[dict[str, str]] | None = None, **more: Any) -> dict[str, Any]:
    """Return a key that was not recorded."""
    return {
        "desc": "made up",
        "id": KEY_ID,
        "links": [{"href": f"https://h{PREFIX}/orgs/{ORG_ID}/apiKeys/{KEY_ID}", "rel": "self"}],
        "privateKey": "********-****-****-000000000000",
        "publicKey": "abcdefgh",
        "roles": [{"orgId": ORG_ID, "roleName": "ORG_MEMBER"}] if roles is None else roles,
        **more,
    }


def result_of(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return the key as a module must return it."""
    org, projects = org_of(key), dict[str, list[str]]()
    for role in key["roles"]:
        if "groupId" in role:
            projects.setdefault(role["groupId"], []).append(role["roleName"])
    return {
        "id": key["id"],
        "public_key": key["publicKey"],
        "created_at": created_at(key["id"]),
        "description": key["desc"],
        "roles": sorted(role["roleName"] for role in key["roles"] if role.get("orgId") == org),
        "projects": [
            {"project_id": name, "roles": sorted(roles)} for name, roles in sorted(projects.items())
        ],
    }


def masked(key: Mapping[str, Any]) -> dict[str, Any]:
    return {**key, "privateKey": f"********-****-****-{key['privateKey'][-12:]}"}


def run(replay: Replay, module: str, org_id: str | None = ORG_ID, **options: Any) -> Outcome:
    base: dict[str, Any] = {"base_url": replay.url, "org_id": org_id}
    if "api_public_key" not in options:
        base["access_token"] = "a-token-of-the-test"
    given = {name: value for name, value in {**base, **options}.items() if value is not None}
    return run_module(module, given)


# Successes, through the modules


def read_organizations(one: Recording) -> None:
    with Replay(one).serve() as replay:
        outcome = run(replay, "org_info", None)
    found = [{"id": org["id"], "name": org["name"]} for org in one.content["results"]]
    assert outcome.result["orgs"] == sorted(found, key=lambda org: org["name"])


def read_keys(one: Recording) -> None:
    keys = one.content["results"]
    with Replay(one).serve() as replay:
        outcome = run(replay, "org_api_key_info", org_of(keys[0]))
        many = run(
            replay, "org_api_keys", org_of(keys[0]), state="absent", public_keys=["zzzzzzzz"]
        )
    expected = sorted(map(result_of, keys), key=lambda key: (key["description"], key["id"]))
    assert len(expected) > 5
    assert outcome.result["org_api_keys"] == expected
    assert many.result["missing"] == ["zzzzzzzz"]
    assert not many.changed


def read_key(one: Recording) -> None:
    key = one.content
    with Replay(one).serve() as replay:
        named = {"api_user_id": key["id"]}
        found = run(replay, "org_api_key_info", org_of(key), **named).result["org_api_keys"]
        roles = [role["roleName"] for role in key["roles"] if "orgId" in role]
        same = run(replay, "org_api_key", org_of(key), roles=roles, **named)
    assert found == [result_of(key)]
    assert not same.failed
    assert not same.changed


def entries_of(one: Recording) -> list[str]:
    return sorted(entry["ipAddress"] for entry in one.content["results"])


def read_access_list(one: Recording) -> None:
    before = {("GET", KEY): key_json()}
    with Replay(one, before=before).serve() as replay:
        named = {"api_user_id": KEY_ID}
        listed = run(replay, "org_api_key_info", access_list=True, **named)
        same = run(replay, "org_api_key_access_list", entries=entries_of(one), purge=True, **named)
    assert listed.result["org_api_keys"][0]["access_list"] == entries_of(one)
    assert not same.failed
    assert not same.changed


def read_project_keys(one: Recording) -> None:
    group = re.search("/groups/([0-9a-f]{24})/", one.content["links"][0]["href"])
    assert group
    with Replay(one).serve() as replay:
        for key in one.content["results"]:
            roles = [r["roleName"] for r in key["roles"] if r.get("groupId") == group.group(1)]
            options = {"project_id": group.group(1), "api_user_id": key["id"], "roles": roles}
            outcome = run(replay, "project_api_key", org_of(key), **options)
            assert not outcome.failed, outcome.msg
            assert not outcome.changed
            assert outcome.result["project_api_key"]["roles"] == sorted(roles)


def create_key(one: Recording) -> None:
    key = one.content
    before, after = {("GET", KEYS): page()}, {("GET", KEYS): page(masked(key))}
    roles = [role["roleName"] for role in key["roles"]]
    with Replay(one, before=before, after=after).serve() as replay:
        outcome = run(replay, "org_api_key", org_of(key), description=key["desc"], roles=roles)
    assert replay.bodies == [{"desc": key["desc"], "roles": sorted(roles)}]
    assert outcome.changed
    assert outcome.result["org_api_key"] == result_of(key)
    assert outcome.result["private_key"] == key["privateKey"]
    created = datetime.fromisoformat(outcome.result["org_api_key"]["created_at"].rstrip("Z"))
    answered = parsedate_to_datetime(one.headers["Date"]).replace(tzinfo=None)
    assert abs(answered - created) <= timedelta(seconds=1)


def add_entries(one: Recording) -> None:
    before = {("GET", KEY): key_json(), ("GET", LIST): page()}
    after = {("GET", LIST): one.content}
    with Replay(one, before=before, after=after).serve() as replay:
        outcome = run(
            replay, "org_api_key_access_list", api_user_id=KEY_ID, entries=entries_of(one)
        )
    assert outcome.changed
    assert outcome.result["org_api_key_access_list"]["entries"] == entries_of(one)


def change_key(one: Recording) -> None:
    key = one.content
    before = {("GET", KEY): {**key, "desc": "before"}}
    named = {"api_user_id": key["id"], "new_description": key["desc"]}
    with Replay(one, before=before, after={("GET", KEY): key}).serve() as replay:
        outcome = run(replay, "org_api_key", org_of(key), **named)
    assert outcome.changed
    assert outcome.result["org_api_key"] == result_of(key)


def change_project_key(one: Recording) -> None:
    key = one.content
    (group,) = (role["groupId"] for role in key["roles"] if "groupId" in role)
    roles = [role["roleName"] for role in key["roles"] if "groupId" in role]
    other = {**key, "roles": [{"groupId": group, "roleName": "GROUP_OWNER"}]}
    before, after = ({("GET", PROJECT_KEYS): page(shown)} for shown in (other, key))
    with Replay(one, before=before, after=after).serve() as replay:
        options = {"project_id": group, "api_user_id": key["id"], "roles": roles}
        outcome = run(replay, "project_api_key", org_of(key), **options)
    assert outcome.changed
    assert replay.bodies == [{"roles": roles}]
    assert outcome.result["project_api_key"]["roles"] == roles


def revoke_key(one: Recording) -> None:
    before, after = {("GET", KEY): key_json()}, {("GET", KEY): None, ("GET", KEYS): page()}
    with Replay(one, before=before, after=after).serve() as replay:
        outcome = run(replay, "org_api_key", api_user_id=KEY_ID, state="absent")
        again = run(replay, "org_api_key", api_user_id=KEY_ID, state="absent")
    assert outcome.changed
    assert outcome.result["org_api_key"] == result_of(key_json())
    assert not again.failed
    assert not again.changed
    assert replay.sent == 1


def remove_entry(one: Recording) -> None:
    before = {("GET", KEY): key_json(), ("GET", LIST): page({"ipAddress": ADDRESS})}
    with Replay(one, before=before, after={("GET", LIST): page()}).serve() as replay:
        options = {"api_user_id": KEY_ID, "entries": [ADDRESS], "state": "absent"}
        outcome = run(replay, "org_api_key_access_list", **options)
    assert outcome.changed
    assert outcome.result["org_api_key_access_list"]["entries"] == []


def unassign_key(one: Recording) -> None:
    assigned = key_json([{"groupId": PROJECT_ID, "roleName": "GROUP_OWNER"}])
    before = {("GET", PROJECT_KEYS): page(assigned), ("GET", KEY): assigned}
    after = {("GET", PROJECT_KEYS): page(), ("GET", KEY): key_json([])}
    with Replay(one, before=before, after=after).serve() as replay:
        options = {"project_id": PROJECT_ID, "api_user_id": KEY_ID, "state": "absent"}
        outcome = run(replay, "project_api_key", **options)
        again = run(replay, "project_api_key", **options)
    assert outcome.changed
    assert not again.failed
    assert not again.changed
    assert replay.sent == 1


CHECKS: dict[tuple[str, str], Callable[[Recording], None]] = {
    ("GET", ORGS): read_organizations,
    ("GET", KEYS): read_keys,
    ("GET", KEY): read_key,
    ("GET", LIST): read_access_list,
    ("GET", PROJECT_KEYS): read_project_keys,
    ("POST", KEYS): create_key,
    ("POST", LIST): add_entries,
    ("PATCH", KEY): change_key,
    ("PATCH", PROJECT_KEY): change_project_key,
    ("DELETE", KEY): revoke_key,
    ("DELETE", ENTRY): remove_entry,
    ("DELETE", PROJECT_KEY): unassign_key,
}

# Errors, in place of every request that a module sends with the same method

NAMED = {"api_user_id": KEY_ID}
IN_PROJECT = {"project_id": PROJECT_ID, **NAMED}
CALLS: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "GET": [
        (ORGS, "org_info", {}),
        (KEYS, "org_api_key_info", {}),
        (KEYS, "org_api_key", {"description": "x", "state": "absent"}),
        (KEYS, "org_api_keys", {"state": "absent", "descriptions": ["x"]}),
        (KEY, "org_api_key", {**NAMED, "state": "absent"}),
        (LIST, "org_api_key_access_list", {**NAMED, "entries": [ADDRESS], "state": "absent"}),
        (PROJECT_KEYS, "project_api_key", {**IN_PROJECT, "state": "absent"}),
    ],
    "POST": [
        (KEYS, "org_api_key", {"description": "x", "roles": ["ORG_MEMBER"]}),
        (LIST, "org_api_key_access_list", {**NAMED, "entries": ["192.0.2.1"]}),
        (PROJECT_KEY, "project_api_key", {**IN_PROJECT, "roles": ["GROUP_OWNER"]}),
    ],
    "PATCH": [
        (KEY, "org_api_key", {**NAMED, "new_description": "x"}),
        (PROJECT_KEY, "project_api_key", {**IN_PROJECT, "roles": ["GROUP_OWNER"]}),
    ],
    "DELETE": [
        (KEY, "org_api_key", {**NAMED, "state": "absent"}),
        (ENTRY, "org_api_key_access_list", {**NAMED, "entries": [ADDRESS], "state": "absent"}),
        (PROJECT_KEY, "project_api_key", {**IN_PROJECT, "state": "absent"}),
    ],
}


def other_responses(method: str) -> dict[tuple[str, str], Any]:
    """Return the other responses: one key, which is in the project unless the task adds it."""
    roles = [{"orgId": ORG_ID, "roleName": "ORG_MEMBER"}]
    if method != "POST":
        roles.append({"groupId": PROJECT_ID, "roleName": "GROUP_READ_ONLY"})
    key = key_json(roles)
    return {
        ("GET", KEYS): page(key),
        ("GET", KEY): key,
        ("GET", LIST): page({"ipAddress": ADDRESS}),
        ("GET", PROJECT_KEYS): page(*([key] if method != "POST" else [])),
    }


def check_fields(one: Recording, fields: Mapping[str, Any]) -> None:
    """Check that ``error`` has everything that the API said."""
    content = one.content
    assert fields["status"] == one.status
    assert fields["method"] == one.method
    for name, in_body in (("code", "errorCode"), ("detail", "detail")):
        assert fields[name] == content.get(in_body), name
    assert fields["parameters"] == (content.get("parameters") or [])
    assert fields["reason"] == (content.get("reason") or "Recorded")


def check_error(one: Recording) -> None:
    for place, module, options in CALLS[one.method]:
        with Replay(one, place, before=other_responses(one.method)).serve() as replay:
            outcome = run(replay, module, None if module == "org_info" else ORG_ID, **options)
        assert replay.sent
        assert outcome.failed, (module, options)
        assert not outcome.changed
        error = outcome.result["error"]
        check_fields(one, error)
        is_in_doubt = one.status == 500 and (module, one.method) == ("org_api_key", "POST")
        assert error["type"] == ("orphan" if is_in_doubt else "api")
        assert place_of(error["path"]) == place


def check_challenge(one: Recording) -> None:
    """Check that a key pair answers the challenge, and that a second 401 is an error."""
    pair = {"api_public_key": "qrstuvwx", "api_private_key": "ca11ab1e-0000-4000-8000-0000000000a1"}
    (nonce,) = re.findall('nonce="([^"]+)"', one.headers["Www-Authenticate"])
    for place, module, options in CALLS[one.method]:
        org_id = None if module == "org_info" else ORG_ID
        before = other_responses(one.method)
        before |= {("GET", ORGS): page()}
        before |= {("DELETE", target): "" for target in (KEY, ENTRY, PROJECT_KEY)}
        with Replay(one, place, before=before, only_first=True).serve() as replay:
            outcome = run(replay, module, org_id, **pair, **options)
        assert not outcome.failed, (module, outcome.msg)
        assert replay.sent == 1
        unsigned, signed, *_more = replay.authorizations
        assert unsigned == ""
        assert signed.startswith("Digest ")
        for part in ('username="qrstuvwx"', f'nonce="{nonce}"', "nc=00000001"):
            assert part in signed
        with Replay(one, place, before=before).serve() as replay:
            outcome = run(replay, module, org_id, **pair, **options)
        assert outcome.result["error"]["type"] == "api"
        check_fields(one, outcome.result["error"])
        assert replay.sent > 1


@pytest.mark.parametrize("one", recordings())
def test_a_recorded_response_is_understood(one: Recording) -> None:
    if not one.is_error:
        # No module reads one organization, or creates a key in a project.
        if (one.method, one.place) not in {("GET", ORG), ("POST", PROJECT_KEYS)}:
            CHECKS[one.method, one.place](one)
        return
    check_error(one)
    if one.status == 401:
        check_challenge(one)


@pytest.mark.skipif(
    not os.environ.get(VARIABLE),
    reason=f"the recorded responses of Atlas are missing ({VARIABLE})",
)
def test_the_recordings_have_every_kind() -> None:
    found = load(Path(os.environ[VARIABLE]).read_text("utf-8"))
    kinds = {(one.method, one.place, one.status) for one in found}
    assert kinds >= SUCCESSES
    assert {one.status for one in found if one.is_error} == ERROR_STATUSES
    challenges = {one.body for one in found if one.status == 401}
    assert len(challenges) >= 3
