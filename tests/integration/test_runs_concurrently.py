# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two ansible-playbook processes that revoke the same key at the same moment."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.emulator import Emulator, Fault
from tests.integration.playbook import MODULE, AnsibleSandbox
from tests.support import key_id, key_pair, org_id, seed

pytestmark = pytest.mark.slow

# How long one process may wait for the other, in seconds.
LONGEST = 60


def test_one_of_two_runs_revokes_when_both_saw_the_key(tmp_path: Path, collections: Path) -> None:
    platform = "atlas"
    # Both DELETEs have to be there before either is carried out: then both have seen the key.
    both = threading.Barrier(2, timeout=LONGEST)
    with Emulator(seed(), sleep=lambda _seconds: both.wait()) as emulator:
        emulator.add_fault(Fault("slow", "DELETE", times=2))
        options = {
            "state": "absent",
            "platform": platform,
            "base_url": emulator.url,
            "org_id": org_id(platform),
            "api_user_id": key_id(platform, 2),
            "timeout": LONGEST,
            **key_pair(platform),
        }
        play = {"hosts": "localhost", "tasks": [{"name": "Revoke", MODULE: options}]}
        workshops = [AnsibleSandbox(tmp_path / name, collections) for name in ("first", "second")]
        processes = [workshop.start([play]) for workshop in workshops]
        runs = [workshop.finish(p) for workshop, p in zip(workshops, processes)]
        assert key_id(platform, 2) not in emulator.state.organizations[org_id(platform)].api_keys
    assert [run.code for run in runs] == [0, 0], runs[0].output + runs[1].output
    results = [run.result("Revoke") for run in runs]
    assert sorted(result.changed for result in results) == [False, True]
    for result in results:
        assert (result.key is not None) is result.changed
