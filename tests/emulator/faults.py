# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of servers and connections, by name: `Fault("lost_after", "DELETE", times=1)`."""

from __future__ import annotations

import fnmatch
import inspect
import json
import shlex
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .responses import JSON, Response, api_error

if TYPE_CHECKING:
    from .server import Exchange

HTML = "text/html; charset=utf-8"
SIGN_ON_URL = "https://sso.example.com/login?return_to=%2F&access_token=eyJhbGciOi.c2VjcmV0.c2ln"
NOT_FOUND_PAGE = b"""<!DOCTYPE html>
<html><head><title>404 Not Found</title></head>
<body><h1>Not Found</h1><p>The page you asked for is not on this server.</p></body></html>
"""
SIGN_ON_PAGE = b"""<!DOCTYPE html>
<html><head><title>Sign in</title></head>
<body><form method="post" action="/sso"><input name="user"><input name="password"></form></body>
</html>
"""


class Fault:
    """A named fault for requests that match; see FAULTS for the names and their arguments.

    It skips the first `after` matches. Then it occurs `times` times (None: no limit), at every
    `every`-th match. Only requests that passed authentication and OAuth requests count, unless
    `anonymous`. With `after_write`, the server carries out the request before it fails.
    """

    def __init__(
        self,
        name: str,
        method: str = "*",
        path: str = "*",
        after: int = 0,
        times: int | None = 1,
        *,
        every: int = 1,
        anonymous: bool = False,
        after_write: bool = False,
        **arguments: Any,
    ) -> None:
        if name not in FAULTS:
            raise ValueError(f"unknown fault {name!r} (known: {', '.join(FAULTS)})")
        known = list(inspect.signature(FAULTS[name]).parameters)[1:]
        unknown = sorted(set(arguments) - set(known))
        if unknown:
            expected = ", ".join(known) or "none"
            raise ValueError(f"fault {name}: unknown {', '.join(unknown)} (known: {expected})")
        self.name = name
        self.method = method
        self.path = path
        self.after = after
        self.times = times
        self.every = every
        self.anonymous = anonymous
        self.after_write = after_write
        self.arguments = arguments

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Parse 'NAME [METHOD [PATH]] [argument=value ...]', with JSON or plain text as value."""
        names = iter(("name", "method", "path"))
        values: dict[str, Any] = {}
        for word in shlex.split(text):
            name, is_argument, value = word.partition("=")
            if is_argument:
                values[name] = parse_value(value)
            else:
                values[next(names, "")] = word
        if "name" not in values or "" in values:
            raise ValueError(f"fault {text!r}: expected NAME [METHOD [PATH]] [argument=value ...]")
        return cls(**values)

    def matches(self, method: str, path: str) -> bool:
        return fnmatch.fnmatchcase(method, self.method) and fnmatch.fnmatchcase(path, self.path)

    def play(self, exchange: Exchange) -> None:
        if self.after_write:
            exchange.perform()
        FAULTS[self.name](exchange, **self.arguments)

    def __repr__(self) -> str:
        return f"Fault({self.name!r}, {self.method!r}, {self.path!r}, {self.arguments})"


def parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class Faults:
    """The current faults, and how often each has matched and occurred."""

    def __init__(self) -> None:
        self._entries: list[tuple[Fault, list[int]]] = []

    def add(self, fault: Fault) -> None:
        self._entries.append((fault, [0, 0]))

    def clear(self) -> None:
        self._entries.clear()

    def pick(self, method: str, path: str, anonymous: bool) -> Fault | None:
        """Return the first fault due for this request. All matching faults count it."""
        picked = None
        for fault, counts in self._entries:
            if not fault.matches(method, path) or (anonymous and not fault.anonymous):
                continue
            counts[0] += 1
            number = counts[0] - fault.after
            is_due = number > 0 and number % fault.every == 0
            is_due = is_due and (fault.times is None or counts[1] < fault.times)
            if picked is None and is_due:
                counts[1] += 1
                picked = fault
        return picked


def _lost_before(exchange: Exchange) -> None:
    exchange.close()


def _lost_after(exchange: Exchange) -> None:
    exchange.perform()
    exchange.close()


def _reset(exchange: Exchange) -> None:
    exchange.reset()


def _garbage(exchange: Exchange) -> None:
    exchange.write(b"\x00\x15\xff\xfe this is not HTTP \x80\x81\r\n\r\n" * 4)
    exchange.close()


def _html(exchange: Exchange, status: int = 404) -> None:
    page = NOT_FOUND_PAGE if status >= 400 else SIGN_ON_PAGE
    exchange.send(Response(status, content_type=HTML, raw=page))


def _redirect(exchange: Exchange, status: int = 302, location: str = SIGN_ON_URL) -> None:
    exchange.send(Response(status, content_type=HTML, raw=b"", headers={"Location": location}))


def _slow(exchange: Exchange, seconds: float = 60.0) -> None:
    exchange.sleep(seconds)
    exchange.send(exchange.perform())


def _drip(
    exchange: Exchange, interval: float = 0.1, headers: bool = False, forever: bool = False
) -> None:
    response = _with_body(exchange.perform())
    body = response.body()
    head = response.head(10**9 if forever else len(body))
    exchange.record_status(response.status)
    if headers:
        exchange.drip(head, interval)
    else:
        exchange.write(head)
    exchange.drip(body, interval)
    while forever:
        exchange.drip(b" ", interval)


def _truncated(exchange: Exchange, keep: int | None = None) -> None:
    """Send half of the body, or its first `keep` bytes."""
    response = _with_body(exchange.perform())
    body = response.body()
    exchange.record_status(response.status)
    exchange.write(response.head(len(body) + 100))
    exchange.write(body[: len(body) // 2 if keep is None else keep])
    exchange.close()


def _endless(exchange: Exchange, status: int = 200) -> None:
    exchange.record_status(status)
    exchange.write(Response(status, headers={"Transfer-Encoding": "chunked"}).head(None))
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    while True:
        exchange.write(chunk)


def _gzip_bomb(exchange: Exchange, status: int = 200, megabytes: int = 100) -> None:
    """Send a compressed body of whitespace and an empty object."""
    packer = zlib.compressobj(wbits=31)
    spaces = b" " * 2**20
    body = b"".join(packer.compress(spaces) for _round in range(megabytes))
    body += packer.compress(b"{}") + packer.flush()
    exchange.send(Response(status, raw=body, headers={"Content-Encoding": "gzip"}))


def _status(
    exchange: Exchange,
    status: int = 500,
    *,
    code: str | None = None,
    detail: str = "Emulated failure.",
    parameters: list[Any] | None = None,
    retry_after: int | str | None = None,
    headers: dict[str, str] | None = None,
    body: str | None = None,
) -> None:
    is_public = not exchange.recorded.path.startswith("/api/atlas/")
    response = api_error(status, code, detail, parameters, is_public=is_public)
    if body is not None:
        response = Response(status, raw=body.encode())
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    for name, value in (headers or {}).items():
        if name.lower() == "content-type":
            response.content_type = value
        else:
            response.headers[name] = value
    exchange.send(exchange.wrap(response))


def _json(exchange: Exchange, body: Any = None, status: int = 200) -> None:
    exchange.send(Response(status, raw=json.dumps(body).encode()))


def _echo(exchange: Exchange, status: int = 400) -> None:
    recorded = exchange.recorded
    lines = [f"{name}: {value}" for name, value in recorded.headers.items()]
    detail = "\n".join([*lines, "", recorded.body.decode("utf-8", "replace")])
    exchange.send(exchange.wrap(api_error(status, "UNEXPECTED_ERROR", detail, [])))


def _null_error(exchange: Exchange, status: int = 404, code: str | None = None) -> None:
    """Send an error of Atlas with null parameters, and by default a null code."""
    response = api_error(status, code, "Could not find the requested link.", [])
    content = {**response.content, "errorCode": code, "parameters": None}
    response.content = dict(sorted(content.items()))
    exchange.send(exchange.wrap(response))


def _spurious_401(exchange: Exchange) -> None:
    """Challenge a request whose Digest is right and fresh."""
    exchange.send(exchange.challenge())


def _closing(exchange: Exchange) -> None:
    """Send a response with `Connection: close`."""
    response = exchange.perform()
    exchange.handler.close_connection = True
    exchange.send(response)


def _with_body(response: Response) -> Response:
    """Replace a 204, which has no body, by a 200 with an empty object."""
    return response if response.body() else Response(200, {}, response.headers, JSON)


FAULTS: dict[str, Callable[..., None]] = {
    "lost_before": _lost_before,
    "lost_after": _lost_after,
    "reset": _reset,
    "garbage": _garbage,
    "html": _html,
    "redirect": _redirect,
    "slow": _slow,
    "drip": _drip,
    "truncated": _truncated,
    "endless": _endless,
    "gzip_bomb": _gzip_bomb,
    "status": _status,
    "json": _json,
    "echo": _echo,
    "null_error": _null_error,
    "spurious_401": _spurious_401,
    "closing": _closing,
}
