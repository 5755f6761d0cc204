# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task of each module, for tables of tests that have no specific task for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.support import PLATFORMS, key_pair, service_account


@dataclass(frozen=True)
class Sample:
    """A task that succeeds, and whose second run changes nothing.

    ``options`` gets the options that identify a key, whose description is ``victim``, and the ID of
    a project that the key is not in. Service accounts are identified by the name ``victim``; the
    platforms without them refuse the task. Without ``key_pair``, only a client secret can sign it.
    """

    options: Callable[[dict[str, Any], str], dict[str, Any]]
    writes: bool = True
    platforms: tuple[str, ...] = PLATFORMS
    key_pair: bool = True

    def signer(self, platform: str) -> dict[str, str]:
        return key_pair(platform) if self.key_pair else service_account(platform)


WITH_ACCOUNTS = ("atlas", "cloud_manager")
ACCOUNT = {"name": "victim"}
SAMPLES = {
    # The token does not work.
    "access_token": Sample(
        lambda _key, _project: {"state": "absent", "token": "t0ken-of-yesterday-0123456789"},
        writes=False,
        platforms=WITH_ACCOUNTS,
        key_pair=False,
    ),
    "api_request": Sample(lambda _key, _project: {"path": "/orgs"}, writes=False),
    "org_api_key": Sample(lambda key, _project: {**key, "roles": ["ORG_READ_ONLY"]}),
    "org_api_key_access_list": Sample(lambda key, _project: {**key, "entries": ["192.0.2.1"]}),
    "org_api_key_info": Sample(lambda _key, _project: {}, writes=False),
    # A token cannot sign marks, so the task needs a mark key.
    "org_api_key_rotation": Sample(
        lambda key, _project: {**key, "phase": "roll_back", "mark_key": "canary-of-the-marks"},
        writes=False,
    ),
    "org_api_keys": Sample(lambda _k, _p: {"state": "absent", "descriptions": ["victim"]}),
    "org_info": Sample(lambda _key, _project: {}, writes=False),
    "project_api_key": Sample(
        lambda key, project: {**key, "project_id": project, "roles": ["GROUP_READ_ONLY"]}
    ),
    "project_service_account": Sample(
        lambda _key, project: {**ACCOUNT, "project_id": project, "roles": ["GROUP_READ_ONLY"]},
        platforms=WITH_ACCOUNTS,
    ),
    "service_account": Sample(
        lambda _key, _project: {**ACCOUNT, "roles": ["ORG_READ_ONLY"]}, platforms=WITH_ACCOUNTS
    ),
    "service_account_access_list": Sample(
        lambda _key, _project: {**ACCOUNT, "entries": ["192.0.2.1"]}, platforms=WITH_ACCOUNTS
    ),
    "service_account_info": Sample(
        lambda _key, _project: {}, writes=False, platforms=WITH_ACCOUNTS
    ),
    "service_account_secret": Sample(
        lambda _key, _project: {**ACCOUNT, "secret_expires_after_hours": 720},
        platforms=WITH_ACCOUNTS,
    ),
}
VICTIM = {"description": "victim"}


# Modules whose tasks only a client secret can sign.
ONLY_ACCOUNTS = {module for module, sample in SAMPLES.items() if not sample.key_pair}


def others(modules: Iterable[str]) -> dict[str, Sample]:
    """Return the samples of the modules for which a table has no task.

    Modules that a key pair cannot sign are left out.
    """
    known = {*modules, *ONLY_ACCOUNTS}
    return {module: sample for module, sample in SAMPLES.items() if module not in known}
