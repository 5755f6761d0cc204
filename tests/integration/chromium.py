# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page in headless Chromium, driven by its DevTools protocol over a pair of pipes.

This needs neither a driver nor a library: a message is JSON followed by a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COMMANDS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
# It reads from descriptor 3 and writes to 4.
LAUNCHER = """
import os, sys
to_read, to_write, *command = sys.argv[1:]
os.dup2(int(to_read), 3)
os.dup2(int(to_write), 4)
os.execv(command[0], command)
"""
# The deadline for starting on a busy machine, and for each response.
TIMEOUT = 120


def find() -> str | None:
    """Return the path of Chromium, if it is installed."""
    return next(filter(None, map(shutil.which, COMMANDS)), None)


def _pipe() -> tuple[int, int]:
    """Return a pipe whose descriptors do not collide with those of Chromium."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


class Chromium:
    """A process with its own profile and one page: `with Chromium(find()) as page: ...`."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.profile = tempfile.mkdtemp(prefix="chromium-")
        self.buffer = b""
        self.last_id = 0
        self.session = ""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Chromium:
        (to_read, self.to_write), (self.to_read, to_write) = _pipe(), _pipe()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", LAUNCHER, str(to_read), str(to_write)),
                *(self.command, *FLAGS, "--remote-debugging-pipe"),
                *(f"--user-data-dir={self.profile}", "about:blank"),
            ],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
            self.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.to_write)
        try:
            # It exits when its pipe is closed.
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to_read)
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; keep the events that arrive before it."""
        self.last_id += 1
        message: dict[str, Any] = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_write, json.dumps(message).encode() + b"\0")
        while True:
            response = self._read()
            if "method" in response:
                self.events.append(response)
            elif response.get("id") == self.last_id:
                assert "error" not in response, (method, response["error"])
                return dict(response["result"])

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT
        while b"\0" not in self.buffer:
            ready = select.select([self.to_read], [], [], max(0.0, deadline - time.monotonic()))[0]
            data = os.read(self.to_read, 1 << 20) if ready else b""
            assert data, "Chromium has exited or does not respond"
            self.buffer += data
        message, _zero, self.buffer = self.buffer.partition(b"\0")
        return dict(json.loads(message))

    def resize(self, width: int, height: int) -> None:
        """Emulate a phone or a desktop screen."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if width < 600 else 1}
        self.call("Emulation.setDeviceMetricsOverride", mobile=width < 600, **metrics)

    def prefer(self, scheme: str) -> None:
        """Emulate a preference for light or dark pages."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def open(self, path: Path) -> None:
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        self.wait_for("document.readyState === 'complete'")

    def wait_for(self, expression: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.05)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, regardless of the page's content security policy."""
        response = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in response, (expression, response["exceptionDetails"])
        return response["result"].get("value")

    def click(self, selector: str, number: int = 0) -> None:
        """Click an element."""
        x, y = self.evaluate(
            f"(() => {{ const e = document.querySelectorAll({json.dumps(selector)})[{number}];"
            " e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for event in ("mousePressed", "mouseReleased"):
            values = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=event, **values)

    def press_enter(self) -> None:
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        for event in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=event, **key)

    def complaints(self) -> list[str]:
        """Return what the console shows: errors, policy violations, exceptions."""
        self.evaluate("0")
        names = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [json.dumps(event) for event in self.events if event["method"] in names]

    def requested(self) -> list[str]:
        """Return the URLs that the page has requested."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, path: Path) -> bytes:
        data = base64.b64decode(self.call("Page.captureScreenshot")["data"])
        path.write_bytes(data)
        return data

    def print(self, path: Path) -> bytes:
        response = self.call("Page.printToPDF", preferCSSPageSize=True)
        data = base64.b64decode(response["data"])
        path.write_bytes(data)
        return data
