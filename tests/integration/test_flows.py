# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault at each single request of each flow of each module.

The requests of a flow are counted in a run where nothing goes wrong. Then each of them meets each
fault once, on Atlas; on the other platforms, it meets the one that is the hardest to see through.
The task reaches the same state, or it fails; a second run converges; no key is made twice; no
secret is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.samples import Sample, others
from tests.support import (
    PLATFORMS,
    PRIVATE_KEYS,
    Outcome,
    key_id,
    key_pair,
    org_id,
    project_id,
    run_module,
    seed,
)

FAULTS: dict[str, dict[str, Any]] = {
    "lost_before": {},
    "lost_after": {},
    "garbage": {"after_write": True},
    "429": {"status": 429, "retry_after": 1},
    "500": {"status": 500},
    "500-done": {"status": 500, "after_write": True},
}


LOST = {"lost_after": FAULTS["lost_after"]}


@dataclass(frozen=True)
class Flow:
    """A task whose second run changes nothing; numbers of keys are those of tests.support."""

    name: str
    module: str
    options: Callable[[str], dict[str, Any]]
    # A creation whose answer is lost leaves a key whose private key nobody has: after it is
    # revoked, as the error says, a rerun makes one.
    creates: str = ""
    writes: bool = True
    defaults: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


FLOWS = [
    Flow(
        "revoke by id",
        "org_api_key",
        lambda p: {"api_user_id": key_id(p, 2), "state": "absent"},
    ),
    Flow(
        "revoke by description and wait",
        "org_api_key",
        lambda _p: {"description": "victim", "state": "absent", "wait": True},
    ),
    Flow(
        "create",
        "org_api_key",
        lambda _p: {"description": "new one", "roles": ["ORG_MEMBER"]},
        creates="new one",
    ),
    Flow(
        "change roles",
        "org_api_key",
        lambda _p: {"description": "victim", "roles": ["ORG_READ_ONLY"]},
    ),
    Flow(
        "rename",
        "org_api_key",
        lambda _p: {"description": "victim", "new_description": "renamed"},
    ),
    Flow(
        "set an access list",
        "org_api_key_access_list",
        lambda p: {
            "api_user_id": key_id(p, 7),
            "entries": ["10.0.0.0/8", "2001:db8::1"],
            "purge": True,
        },
    ),
    Flow(
        "take an address away",
        "org_api_key_access_list",
        lambda p: {"api_user_id": key_id(p, 7), "entries": ["192.0.2.0/24"], "state": "absent"},
    ),
    Flow(
        "assign to a project",
        "project_api_key",
        lambda p: {
            "project_id": project_id(p),
            "api_user_id": key_id(p, 3),
            "roles": ["GROUP_READ_ONLY"],
        },
    ),
    Flow(
        "change roles in a project",
        "project_api_key",
        lambda p: {
            "project_id": project_id(p),
            "description": "victim",
            "roles": ["GROUP_READ_ONLY"],
        },
    ),
    Flow(
        "take from a project",
        "project_api_key",
        lambda p: {"project_id": project_id(p), "description": "victim", "state": "absent"},
    ),
    Flow(
        "revoke many",
        "org_api_keys",
        lambda _p: {"description_match": ["*"], "keep": ["signs"], "state": "absent"},
    ),
    Flow(
        "change many",
        "org_api_keys",
        lambda p: {
            "api_keys": [
                {"description": "victim", "projects": [], "access_list": ["192.0.2.1"]},
                {"description": "member", "roles": ["ORG_READ_ONLY"]},
                {
                    "description": "ünïcode ☃ key",
                    "projects": [{"project_id": project_id(p), "roles": ["GROUP_OWNER"]}],
                },
            ],
            "purge": True,
        },
    ),
    Flow(
        "create as declared",
        "org_api_keys",
        lambda _p: {"api_keys": [{"description": "new one", "roles": ["ORG_MEMBER"]}]},
        creates="new one",
    ),
    Flow(
        "read keys and their access lists",
        "org_api_key_info",
        lambda _p: {"access_list": True},
        writes=False,
    ),
    Flow("read organizations", "org_info", lambda _p: {}, writes=False),
]


def of_sample(module: str, sample: Sample) -> Flow:
    return Flow(
        module,
        module,
        lambda p: sample.options({"api_user_id": key_id(p, 2)}, project_id(p)),
        writes=sample.writes,
    )


# Each phase of a rotation is cut off at each request in its unit tests.
FLOWS += [of_sample(*item) for item in others(flow.module for flow in FLOWS).items()]


def run(emulator: Emulator, platform: str, flow: Flow) -> Outcome:
    common = {"platform": platform, "base_url": emulator.url, "org_id": org_id(platform)}
    return run_module(flow.module, {**common, **key_pair(platform), **flow.options(platform)})


def state(emulator: Emulator, platform: str) -> list[tuple[Any, ...]]:
    """The keys of the organization, without what differs from run to run."""
    keys = emulator.state.organizations[org_id(platform)].api_keys.values()
    return sorted(
        (
            key.description,
            tuple(sorted(key.roles)),
            tuple(sorted((p, tuple(sorted(roles))) for p, roles in key.projects.items())),
            tuple(sorted(key.access_list)),
        )
        for key in keys
    )


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("flow", FLOWS, ids=str)
def test_each_request_of_a_flow_may_fail(
    emulator: Emulator, tmp_path: Path, flow: Flow, platform: str
) -> None:
    started = state(emulator, platform)
    undisturbed = run(emulator, platform, flow)
    assert undisturbed.changed is flow.writes, undisturbed.msg
    wanted = state(emulator, platform)
    assert (wanted != started) is flow.writes
    count = len([request for request in emulator.requests if request.status != 401])
    assert count > 0
    for number in range(count):
        for fault, arguments in FAULTS.items() if platform == "atlas" else LOST.items():
            emulator.reset(seed())
            name = fault if fault.isidentifier() else "status"
            emulator.add_fault(Fault(name, after=number, times=1, **arguments))
            check_faulty_run(emulator, platform, flow, wanted)


def check_faulty_run(
    emulator: Emulator, platform: str, flow: Flow, wanted: list[tuple[Any, ...]]
) -> None:
    started = state(emulator, platform)
    first = run(emulator, platform, flow)
    assert "Internal error" not in first.msg
    assert PRIVATE_KEYS[platform] not in first.output
    if not first.failed:
        # A creation may also succeed without the listing of duplicates.
        assert state(emulator, platform) == wanted
    assert first.changed is (state(emulator, platform) != started), first.msg
    posts = [r for r in emulator.requests if r.method == "POST" and r.status not in {401, 429}]
    assert len({(r.path, r.body) for r in posts}) == len(posts), "a POST was repeated"
    keys = emulator.state.organizations[org_id(platform)].api_keys
    made = [key for key in keys.values() if flow.creates and key.description == flow.creates]
    assert len(made) <= 1
    if first.failed and made:
        (key,) = made
        assert key.private_key not in first.output
        assert first.result["error"]["parameters"] == [key.id]
        del keys[key.id]
    again = run(emulator, platform, flow)
    assert not again.failed, again.msg
    assert state(emulator, platform) == wanted
    if not first.failed:
        assert not again.changed
