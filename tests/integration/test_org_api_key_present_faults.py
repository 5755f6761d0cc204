# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key: lost responses to creations and changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.support import key_id
from tests.unit.modules.test_org_api_key_present import FAULTS, ROLES, keys, named, run


@pytest.mark.parametrize("with_file", [False, True])
@pytest.mark.parametrize("case", FAULTS)
def test_a_creation_with_a_lost_response_is_never_repeated(
    emulator: Emulator, tmp_path: Path, case: tuple[str, dict[str, Any], bool], with_file: bool
) -> None:
    fault, arguments, done = case
    emulator.add_fault(Fault(fault, "POST", **arguments))
    wanted: dict[str, Any] = {"description": "new one", "roles": ROLES}
    if with_file:
        wanted["credentials_file"] = str(tmp_path / "pair.json")
    outcome = run(emulator, **wanted)
    assert outcome.failed
    left = named(emulator, "new one")
    assert len(left) == int(done)
    posts = [request for request in emulator.requests if request.method == "POST"]
    assert len(posts) == 1
    assert outcome.result["error"]["parameters"] == [key.id for key in left]
    assert ("private key is lost" in outcome.msg) is done
    assert list(tmp_path.iterdir()) == []
    for key in left:
        assert key.id in outcome.msg
        assert key.private_key not in outcome.output
        assert run(emulator, api_user_id=key.id, state="absent").changed
    assert run(emulator, **wanted).changed
    assert len(named(emulator, "new one")) == 1


@pytest.mark.parametrize(("fault", "arguments", "done"), FAULTS)
def test_a_change_with_a_lost_response_is_looked_up(
    emulator: Emulator, fault: str, arguments: dict[str, Any], done: bool
) -> None:
    emulator.add_fault(Fault(fault, "PATCH", **arguments))
    wanted = {"description": "victim", "roles": ["ORG_READ_ONLY"]}
    outcome = run(emulator, **wanted)
    assert outcome.failed is not done
    assert outcome.changed is done
    if not done:
        assert "ORG_GROUP_CREATOR" in outcome.msg
    again = run(emulator, **wanted)
    assert again.changed is not done
    assert set(keys(emulator)[key_id("atlas", 2)].roles) == {"ORG_READ_ONLY"}
