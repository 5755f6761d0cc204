# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lost response to a POST, without the library features that the client relies on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import requests
import urllib3

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _http
from tests.emulator import Emulator, Fault
from tests.unit.modules.test_org_api_key_present import ROLES, named, run


@pytest.fixture(
    params=[
        requests.exceptions.ConnectionError,
        requests.exceptions.ConnectTimeout,
        requests.exceptions.ProxyError,
        requests.exceptions.SSLError,
        lambda: urllib3.exceptions.ProtocolError("wraps nothing"),
        OSError,
        RuntimeError,
        None,
    ],
    ids=[
        "ConnectionError",
        "ConnectTimeout",
        "ProxyError",
        "SSLError",
        "ProtocolError",
        "OSError",
        "RuntimeError",
        "as raised",
    ],
)
def _libraries_without_details(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    error: Callable[[], Exception] | None = request.param
    send = requests.adapters.HTTPAdapter.send

    def send_and_hide(*arguments: Any, **more: Any) -> Any:
        with contextlib.suppress(Exception):
            return send(*arguments, **more)
        assert error
        raise error()

    monkeypatch.setattr(_http, "instrument_adapter", lambda *_arguments: None)
    if error:
        monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send_and_hide)


@pytest.mark.usefixtures("_libraries_without_details")
@pytest.mark.parametrize("is_done", [True, False])
def test_a_lost_creation_is_reported_and_not_sent_again(emulator: Emulator, is_done: bool) -> None:
    fault = "lost_after" if is_done else "lost_before"
    emulator.add_fault(Fault(fault, "POST", times=None))
    outcome = run(emulator, description="new one", roles=ROLES)
    posts = [request for request in emulator.requests if request.method == "POST"]
    assert len(posts) == 1
    left = [key.id for key in named(emulator, "new one")]
    assert len(left) == int(is_done)
    assert outcome.failed
    assert outcome.result["error"]["type"] == "orphan"
    assert outcome.result["error"]["parameters"] == left


@pytest.mark.usefixtures("_libraries_without_details")
def test_a_lost_change_is_not_sent_again(emulator: Emulator) -> None:
    emulator.add_fault(Fault("lost_after", "PATCH", times=None))
    outcome = run(emulator, description="victim", roles=["ORG_READ_ONLY"])
    assert [request.method for request in emulator.requests].count("PATCH") == 1
    assert outcome.changed, outcome.msg
