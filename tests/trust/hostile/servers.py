# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that sends given bytes, and the responses that the API would send."""

from __future__ import annotations

import json
import os
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Union
from urllib.parse import unquote

from hypothesis import HealthCheck, Phase, settings

from tests.support import MISSING_ID, org_id, project_id

LOOPBACK = "127.0.0.1"
# The fraction of the usual number of examples.
FACTOR = float(os.environ.get("TRUST_EXAMPLES", "1"))

KEY_ID = MISSING_ID
NEW_ID = "c0ffee" * 4
OTHER_ID = "feedfeedfeedfeedfeedfeed"
ORG, PROJECT = org_id("atlas"), project_id("atlas")
PRIVATE_KEY = "ca11ab1e-0000-4000-8000-0000000000d1"
ACCOUNT_ID, SECRET_ID = f"mdb_sa_id_{KEY_ID}", "5ec7e7" * 4
CLIENT_SECRET = "mdb_sa_sk_canary-of-a-hostile-server"
CHALLENGE = 'Digest realm="MMS Public API", domain="", nonce="abc", algorithm=MD5, qop="auth"'


def examples(number: int) -> settings:
    """Return settings for this number of examples, the same ones in every run."""
    return settings(
        max_examples=max(1, int(number * FACTOR)),
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True)
class Asked:
    """A received request; ``number`` counts the requests of a server from 0."""

    number: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


Pieces = Union[bytes, Iterable[bytes]]
Respond = Callable[[Asked], Pieces]


def http(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + body


def as_json(status: int, data: Any, *headers: str) -> bytes:
    content_type = "Content-Type: application/json"
    return http(f"{status} Whatever", json.dumps(data).encode(), content_type, *headers)


class Server:
    """Responds to every request with the result of a function, sent piece by piece."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self.asked: list[Asked] = []
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._socket = socket.create_server((LOOPBACK, 0))
        self.url = f"http://{LOOPBACK}:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._respond_all, args=(connection,), daemon=True).start()

    def _respond_all(self, connection: socket.socket) -> None:
        # The client may close the connection early.
        with connection, suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = connection.makefile("rb")
            while asked := self._read(stream):
                try:
                    pieces = self._respond(asked)
                except BaseException as error:
                    self.errors.append(error)
                    raise
                for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                    connection.sendall(piece)
                if not isinstance(pieces, bytes) or not _is_whole(pieces):
                    return

    def _read(self, stream: Any) -> Asked | None:
        line = stream.readline(65536).decode("latin-1")
        if not line.strip():
            return None
        method, target = line.split(" ")[:2]
        headers: dict[str, str] = {}
        while (field := stream.readline(65536).decode("latin-1").strip("\r\n")) != "":
            name, _colon, value = field.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", "0")))
        with self._lock:
            asked = Asked(len(self.asked), method, target, headers, body)
            self.asked.append(asked)
        return asked

    def sent(self, method: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method]

    def close(self) -> None:
        # This wakes the thread in accept.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _is_whole(response: bytes) -> bool:
    """Whether a response comes from ``http`` and is complete, so that another may follow.

    After a status such as 100, the client waits for another one, so nothing may keep it waiting.
    """
    head, blank, body = response.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    marked = len(lines) > 1 and lines[1] == b"Content-Length: %d" % len(body)
    is_last = b"\r\nConnection: close" in head or head[8:10] == b" 1"
    return bool(blank) and marked and not is_last


@contextmanager
def serving(respond: Respond) -> Iterator[Server]:
    server = Server(respond)
    try:
        yield server
    finally:
        server.close()
    assert not server.errors


# The objects in right responses.
ROLES = [
    {"orgId": ORG, "roleName": "ORG_MEMBER"},
    {"groupId": PROJECT, "roleName": "GROUP_READ_ONLY"},
]
KEY = {"id": KEY_ID, "desc": "victim", "publicKey": "abcdefgh", "roles": ROLES, "links": []}
OTHER = {"id": OTHER_ID, "desc": "other", "publicKey": "hgfedcba", "roles": ROLES[:1], "links": []}
ENTRIES = [
    {"cidrBlock": "192.0.2.0/24", "count": 0},
    {"cidrBlock": "198.51.100.7/32", "ipAddress": "198.51.100.7"},
]
ORGANIZATION = {"id": ORG, "name": "Shop", "isDeleted": False, "links": []}
NOT_FOUND = {
    "error": 400,
    "errorCode": "API_KEY_NOT_FOUND",
    "detail": "There is no such key.",
    "parameters": [KEY_ID],
    "reason": "Bad Request",
}
DATES = {"createdAt": "2026-01-01T00:00:00Z", "expiresAt": "2099-01-01T00:00:00Z"}
SECRET = {**DATES, "id": SECRET_ID, "lastUsedAt": None, "maskedSecretValue": "mdb_sa_sk_..."}
ACCOUNT = {
    "clientId": ACCOUNT_ID,
    "createdAt": DATES["createdAt"],
    "name": "victim",
    "description": "",
    "roles": ["ORG_MEMBER"],
    "secrets": [SECRET],
    "systemManaged": False,
}
OTHER_ACCOUNT = {"clientId": f"mdb_sa_id_{OTHER_ID}", "name": "other"}
ACCOUNT_NOT_FOUND = {
    **NOT_FOUND,
    "error": 404,
    "errorCode": "SERVICE_ACCOUNT_NOT_FOUND",
    "parameters": [ACCOUNT_ID],
}


def page(items: list[Any]) -> dict[str, Any]:
    return {"results": items, "totalCount": len(items), "links": []}


def faithful(asked: Asked) -> tuple[int, Any]:
    """Return the right status and JSON for a request to either API; None means no body."""
    path = unquote(asked.path)
    if path.startswith("/api/oauth/"):
        token = {"access_token": "t0ken-" + "x" * 40, "expires_in": 3600, "token_type": "Bearer"}
        return 200, token if path.endswith("token") else {}
    if asked.method == "DELETE":
        return 204, None
    if "accessList" in path or "whitelist" in path:
        return 200, page(ENTRIES + (json.loads(asked.body) if asked.method == "POST" else []))
    if "/serviceAccounts" in path:
        return _of_accounts(asked, path)
    if asked.method == "POST" and path.endswith("/apiKeys"):
        wish = json.loads(asked.body)
        name = wish["desc"]
        new_id = NEW_ID if name == "new" else f"{zlib.crc32(name.encode()):024x}"
        roles = [{"orgId": ORG, "roleName": role} for role in wish["roles"]]
        created = {"id": new_id, "desc": name, "roles": roles, "privateKey": PRIVATE_KEY}
        return 200, {**OTHER, **created}
    if asked.method in {"POST", "PATCH"}:
        return 200, _changed(path, json.loads(asked.body))
    if path.endswith("/apiKeys"):
        return 200, page([KEY, OTHER])
    if path.endswith("/orgs"):
        return 200, page([ORGANIZATION])
    return 200, KEY


def _of_accounts(asked: Asked, path: str) -> tuple[int, Any]:
    is_in_project = "/groups/" in path
    account = {**ACCOUNT, "roles": ["GROUP_READ_ONLY"]} if is_in_project else ACCOUNT
    if asked.method == "GET":
        if path.endswith("/groups"):
            return 200, page([{"groupId": PROJECT, "roles": ["GROUP_READ_ONLY"]}])
        return 200, page([account, OTHER_ACCOUNT]) if path.endswith("Accounts") else account
    wish = json.loads(asked.body)
    new_secret = {**DATES, "id": NEW_ID, "secret": CLIENT_SECRET}
    if path.endswith("/secrets"):
        return 201, new_secret
    if path.endswith("/serviceAccounts"):
        texts = {name: wish[name] for name in ("name", "description", "roles")}
        secrets = [new_secret] if "secretExpiresAfterHours" in wish else []
        return 201, {**ACCOUNT, "clientId": f"mdb_sa_id_{NEW_ID}", **texts, "secrets": secrets}
    return 200, {**account, **wish}


def _changed(path: str, wish: Any) -> dict[str, Any]:
    """Return the key after a change to it or to its roles in the project."""
    wish = wish[0] if isinstance(wish, list) else wish
    place = {"groupId": PROJECT} if "/groups/" in path else {"orgId": ORG}
    others = [role for role in ROLES if not role.keys() & place.keys()]
    changed = [{**place, "roleName": role} for role in wish.get("roles", ())]
    roles = [*others, *changed] if "roles" in wish else ROLES
    return {
        **KEY,
        "id": path.rpartition("/")[2],
        "desc": wish.get("desc", "victim"),
        "roles": roles,
    }


def encoded(status: int, data: Any, *headers: str) -> bytes:
    return http(f"{status} OK", b"", *headers) if data is None else as_json(status, data, *headers)


def is_challenged(asked: Asked) -> bool:
    """Whether a request has no credential."""
    return "authorization" not in asked.headers
