# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Valid public keys, and values that users set by mistake instead of one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator import Emulator
from tests.support import (
    PLATFORMS,
    PRIVATE_KEYS,
    Outcome,
    client_id,
    key_id,
    key_pair,
    run_as_owner,
    seed,
)


def run(emulator: Emulator, module: str, platform: str = "atlas", **options: Any) -> Outcome:
    return run_as_owner(module, emulator, platform, {**key_pair(platform), **options})


@pytest.mark.parametrize("name", ["a1-_+/=~", '"quoted"', "back\\s\\h", "AKEYABCZ", "a,b:c;d%"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_public_key_is_any_8_visible_characters(
    emulator: Emulator, platform: str, name: str
) -> None:
    data = seed()
    (organization,) = (o for o in data["organizations"] if o["product"] == platform)
    organization["api_keys"][0]["public_key"] = name
    organization["api_keys"][1]["public_key"] = victim = name[:-1] + "!"
    organization["api_keys"][2]["public_key"] = other = name[:-1] + "?"
    emulator.reset(data)
    # It authenticates, is found, and is recognized as that of the signing credential.
    credential_name = {"api_public_key": name}
    revoke = {"public_key": victim, "state": "absent"}
    assert run(emulator, "org_api_key", platform, **credential_name, **revoke).changed
    found = run(emulator, "org_api_key_info", platform, **credential_name, public_key=other)
    assert [key["id"] for key in found.result["org_api_keys"]] == [key_id(platform, 3)]
    both = {"public_keys": [victim, other], "state": "absent"}
    many = run(emulator, "org_api_keys", platform, **credential_name, **both)
    assert many.result["missing"] == [victim]
    assert [key["id"] for key in many.result["revoked"]] == [key_id(platform, 3)]
    own = run(emulator, "org_api_key", platform, **credential_name, public_key=name, state="absent")
    assert own.result["error"]["type"] == "own_credential"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (key_id("atlas", 1), "looks like an ID: use api_user_id"),
        (key_id("atlas", 1).upper(), "looks like an ID: use api_user_id"),
        (PRIVATE_KEYS["atlas"], "looks like a private key"),
        ("mdb_sa_sk_" + "x" * 40, "looks like a private key"),
        (client_id("atlas"), "looks like the client ID of a service account"),
        ("ab cdefg", "8 visible ASCII characters"),
        ("abcdefgh\n", "8 visible ASCII characters"),
        ("abcdefgü", "8 visible ASCII characters"),
        ("abcdefg", "8 visible ASCII characters"),
        ("abcdefghi", "8 visible ASCII characters"),
    ],
)
@pytest.mark.parametrize("module", ["org_api_key", "org_api_keys", "org_api_key_info"])
def test_a_wrong_public_key_is_recognized(
    emulator: Emulator, module: str, name: str, text: str
) -> None:
    is_many = module == "org_api_keys"
    options: dict[str, Any] = {"public_keys": [name]} if is_many else {"public_key": name}
    if module != "org_api_key_info":
        options["state"] = "absent"
    outcome = run(emulator, module, **options)
    assert outcome.result["error"]["type"] == "options"
    assert text.replace("api_user_id", "api_user_ids" if is_many else "api_user_id") in outcome.msg
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (key_id("atlas", 1), "looks like the ID of an API key"),
        (PRIVATE_KEYS["atlas"], "looks like a private key"),
        (client_id("atlas"), "client ID of a service account"),
        ("two word", "public key is not valid"),
        ('"akeyaaab"', "public key is not valid"),
    ],
)
def test_a_wrong_public_key_of_the_credential_is_recognized(
    emulator: Emulator, name: str, text: str
) -> None:
    outcome = run(emulator, "org_api_key_info", api_public_key=name)
    assert outcome.result["error"]["type"] == "options"
    assert text in outcome.msg
    assert emulator.requests == []
