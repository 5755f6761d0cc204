# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that does something dangerous, perhaps on purpose, warns once, in check mode too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.integration.peers import ForwardProxy
from tests.support import Outcome, key_id, key_pair, org_id, run_module, service_account

ORG = org_id("atlas")
VICTIM, LISTED = key_id("atlas", 2), key_id("atlas", 7)
OWNERS = (key_id("atlas", 1), LISTED)
ACCOUNT = service_account("atlas")
CHECKS = pytest.mark.parametrize("check", [False, True])
LIST_EMPTIES, LIST_OPENS = "becomes empty", "will allow every"
NEW = {"description": "new one", "roles": ["ORG_MEMBER"]}


def run(emulator: Emulator, module: str, **options: Any) -> Outcome:
    environ, check = options.pop("environ", {}), options.pop("check", False)
    credential = {} if "client_id" in options else key_pair("atlas")
    base = {"base_url": emulator.url, "org_id": ORG, **credential}
    return run_module(module, {**base, **options}, environ=environ, check=check)


def warnings(outcome: Outcome) -> list[str]:
    """Return the warnings as text; since ansible-core 2.19 some are objects."""
    return [str(text) for text in outcome.result.get("warnings", [])]


# Verification and http


@CHECKS
@pytest.mark.parametrize(
    ("options", "environ", "what"),
    [
        ({"validate_certs": False}, {}, "validate_certs is false"),
        (
            {},
            {"KEYSMITH_MONGODB_VALIDATE_CERTS": "no"},
            "The environment variable KEYSMITH_MONGODB_VALIDATE_CERTS is false",
        ),
    ],
)
def test_disabled_verification_gives_a_warning(
    emulator: Emulator, options: dict[str, Any], environ: dict[str, str], what: str, check: bool
) -> None:
    outcome = run(emulator, "org_info", environ=environ, check=check, **options)
    assert not outcome.failed
    (warning,) = warnings(outcome)
    assert f"Certificates are not verified: {what}" in warning


@pytest.mark.parametrize(
    ("options", "environ"),
    [({"validate_certs": False}, {}), ({}, {"KEYSMITH_MONGODB_VALIDATE_CERTS": "0"})],
)
def test_verification_cannot_be_disabled_if_the_task_sets_ca_path(
    emulator: Emulator, options: dict[str, Any], environ: dict[str, str]
) -> None:
    outcome = run(emulator, "org_info", ca_path="/etc/ssl", environ=environ, **options)
    assert outcome.failed
    assert outcome.result["error"]["type"] == "options"
    assert "so ca_path would have no effect" in outcome.msg
    assert emulator.requests == []
    # A ca_path in the environment is ignored.
    beside = {"KEYSMITH_MONGODB_CA_PATH": "/etc/ssl", **environ}
    assert not run(emulator, "org_info", environ=beside, **options).failed


@CHECKS
@pytest.mark.parametrize(
    ("module", "options", "expected"),
    [
        ("org_info", ACCOUNT, ["the service account"]),
        ("org_info", {}, []),
        ("org_api_key", NEW, ["private key of each new API key"]),
        ("org_api_key", {**NEW, **ACCOUNT}, ["the service account", "private key of each new"]),
        ("org_api_key", {"api_user_id": VICTIM, "roles": ["ORG_MEMBER"]}, []),
        (
            "org_api_keys",
            {"api_keys": [NEW, {**NEW, "description": "new two"}]},
            ["private key of each new API key"],
        ),
        ("org_api_keys", {"state": "absent", "api_user_ids": [VICTIM]}, []),
    ],
)
def test_secrets_sent_unencrypted_give_a_warning(
    emulator: Emulator, module: str, options: dict[str, Any], expected: list[str], check: bool
) -> None:
    with ForwardProxy(emulator.port) as proxy:
        more = {**options, "base_url": "http://ops.example.com", "http_proxy": proxy.url}
        outcome = run(emulator, module, check=check, **more)
    assert not outcome.failed
    found = [text for text in warnings(outcome) if "is sent unencrypted" in text]
    assert len(found) == len(expected)
    assert all(any(message in text for text in found) for message in expected)
    # There is no warning for loopback addresses.
    emulator.reset()
    assert not any(
        "is sent unencrypted" in text for text in warnings(run(emulator, module, **options))
    )


# Access lists


HALVES = ["0.0.0.0/1", "128.0.0.0/1"]


@CHECKS
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"entries": [], "purge": True}, [LIST_EMPTIES]),
        ({"entries": ["192.0.2.0/24"], "state": "absent"}, [LIST_EMPTIES]),
        ({"entries": ["0.0.0.0/0"]}, [f"{LIST_OPENS} IPv4 address"]),
        ({"entries": ["::/0"]}, [f"{LIST_OPENS} IPv6 address"]),
        ({"entries": ["::/0", *HALVES]}, [f"{LIST_OPENS} IPv4 and IPv6 address"]),
        ({"entries": HALVES, "purge": True}, [f"{LIST_OPENS} IPv4 address"]),
        ({"entries": ["0.0.0.0/1", "128.0.0.0/2"]}, []),
        ({"entries": ["192.0.2.1"], "purge": True}, []),
        ({"entries": ["192.0.2.1"], "state": "absent"}, []),
    ],
)
def test_opening_an_access_list_gives_a_warning(
    emulator: Emulator, options: dict[str, Any], expected: list[str], check: bool
) -> None:
    task = {"api_user_id": LISTED, **options}
    outcome = run(emulator, "org_api_key_access_list", check=check, **task)
    assert not outcome.failed
    found = warnings(outcome)
    assert len(found) == len(expected)
    assert all(message in text and LISTED in text for message, text in zip(expected, found))
    if not check:
        # The second run opens nothing.
        assert warnings(run(emulator, "org_api_key_access_list", **task)) == []


def test_an_opened_list_gives_a_warning_even_if_the_task_fails(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", "DELETE", status=403, times=None))
    options = {"api_user_id": LISTED, "entries": ["0.0.0.0/0"], "purge": True}
    outcome = run(emulator, "org_api_key_access_list", **options)
    assert outcome.failed
    assert outcome.changed
    assert [LIST_OPENS in text for text in warnings(outcome)] == [True]


@CHECKS
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"api_user_id": LISTED, "access_list": []}, [LIST_EMPTIES]),
        ({"api_user_id": LISTED, "access_list": HALVES}, [f"{LIST_OPENS} IPv4 address"]),
        ({"api_user_id": LISTED, "access_list": ["192.0.2.1"]}, []),
        ({"api_user_id": LISTED}, []),
        ({**NEW, "access_list": []}, [LIST_EMPTIES]),
        ({**NEW, "access_list": ["::/0"]}, [f"{LIST_OPENS} IPv6 address"]),
        ({**NEW, "access_list": ["192.0.2.1"]}, []),
    ],
)
def test_org_api_key_warns_of_a_list_that_it_opens(
    emulator: Emulator, options: dict[str, Any], expected: list[str], check: bool
) -> None:
    outcome = run(emulator, "org_api_key", check=check, **options)
    assert not outcome.failed, outcome.msg
    found = warnings(outcome)
    assert len(found) == len(expected)
    assert all(message in text for message, text in zip(expected, found))


@CHECKS
def test_org_api_keys_warns_of_each_list_that_it_opens(emulator: Emulator, check: bool) -> None:
    api_keys = [
        {"description": "listed elsewhere", "access_list": []},
        {"description": "victim", "access_list": HALVES},
        {"description": "member", "access_list": ["192.0.2.1"]},
        {**NEW, "access_list": []},
        {**NEW, "description": "new two", "access_list": ["::/0"]},
        {**NEW, "description": "new three"},
        # These are empty already.
        {"description": "signs", "access_list": []},
        {"description": "ünïcode ☃ key", "roles": ["ORG_MEMBER"], "access_list": []},
    ]
    outcome = run(emulator, "org_api_keys", api_keys=api_keys, check=check)
    assert not outcome.failed
    found = "\n".join(warnings(outcome))
    assert len(warnings(outcome)) == 4
    for key, message in (
        (LISTED, LIST_EMPTIES),
        (VICTIM, f"{LIST_OPENS} IPv4"),
        ("'new one'", LIST_EMPTIES),
        ("'new two'", f"{LIST_OPENS} IPv6"),
    ):
        assert any(key in text and message in text for text in found.splitlines()), found
    if not check:
        assert warnings(run(emulator, "org_api_keys", api_keys=api_keys)) == []


# The last owner


def one_owner(emulator: Emulator) -> None:
    keys = emulator.state.organizations[ORG].api_keys
    del keys[OWNERS[0]]


def last_owner(outcome: Outcome) -> list[str]:
    return [text for text in warnings(outcome) if "ORG_OWNER" in text]


@CHECKS
@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("org_api_key", {"api_user_id": LISTED, "state": "absent"}),
        ("org_api_key", {"description": "listed elsewhere", "state": "absent"}),
        ("org_api_key", {"api_user_id": LISTED, "roles": ["ORG_MEMBER"]}),
        ("org_api_keys", {"state": "absent", "api_user_ids": [LISTED]}),
        ("org_api_keys", {"state": "absent", "description_match": ["*"]}),
        (
            "org_api_keys",
            {"api_keys": [{"description": "listed elsewhere", "roles": ["ORG_MEMBER"]}]},
        ),
        ("org_api_keys", {"api_keys": [NEW], "purge": True}),
    ],
)
def test_the_loss_of_the_last_owner_gives_a_warning(
    emulator: Emulator, module: str, options: dict[str, Any], check: bool
) -> None:
    one_owner(emulator)
    outcome = run(emulator, module, check=check, **ACCOUNT, **options)
    assert outcome.changed, outcome.msg
    (warning,) = last_owner(outcome)
    missing = f"No API key of organization {ORG} would have the role ORG_OWNER after this change."
    assert missing in warning
    assert LISTED in warning


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("org_api_key", {"api_user_id": VICTIM, "state": "absent"}),
        ("org_api_key", {"api_user_id": LISTED, "roles": ["ORG_OWNER", "ORG_READ_ONLY"]}),
        ("org_api_key", {"api_user_id": LISTED, "new_description": "renamed"}),
        ("org_api_keys", {"state": "absent", "api_user_ids": [VICTIM]}),
        (
            "org_api_keys",
            {"api_keys": [{**NEW, "roles": ["ORG_OWNER"]}], "purge": True},
        ),
        ("org_api_keys", {"api_keys": [{"description": "victim", "roles": ["ORG_MEMBER"]}]}),
    ],
)
def test_there_is_no_warning_while_an_owner_is_left(
    emulator: Emulator, module: str, options: dict[str, Any]
) -> None:
    one_owner(emulator)
    outcome = run(emulator, module, **ACCOUNT, **options)
    assert outcome.changed, outcome.msg
    assert last_owner(outcome) == []


def test_the_signing_key_pair_counts_as_an_owner(emulator: Emulator) -> None:
    outcome = run(emulator, "org_api_key", api_user_id=LISTED, state="absent")
    assert outcome.changed
    assert last_owner(outcome) == []
    # It takes no extra listing.
    assert not [r for r in emulator.requests if r.path.endswith("/apiKeys")]


@pytest.mark.parametrize(
    ("module", "selected"),
    [("org_api_key", {"api_user_id": LISTED}), ("org_api_keys", {"api_user_ids": [LISTED]})],
)
def test_another_owner_key_takes_one_listing_and_gives_no_warning(
    emulator: Emulator, module: str, selected: dict[str, Any]
) -> None:
    outcome = run(emulator, module, state="absent", **selected, **ACCOUNT)
    assert outcome.changed
    assert last_owner(outcome) == []
    assert len([r for r in emulator.requests if r.path.endswith("/apiKeys")]) == 1


def test_an_owner_is_revoked_even_if_keys_cannot_be_listed(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", "GET", "*/apiKeys", status=403, times=None))
    outcome = run(emulator, "org_api_key", api_user_id=LISTED, state="absent", **ACCOUNT)
    assert outcome.changed
    (warning,) = last_owner(outcome)
    assert "Could not check whether" in warning
