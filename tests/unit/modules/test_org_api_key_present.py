# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""org_api_key with state=present through its main(), against the emulator over real sockets."""

from __future__ import annotations

import json
import stat
import tempfile
import unicodedata
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from tests.emulator import Emulator, Fault
from tests.support import (
    MISSING_ID,
    PLATFORMS,
    Outcome,
    VirtualClock,
    created_at,
    key_id,
    key_pair,
    org_id,
    public_key,
    run_as_owner,
    service_account,
)

ROLES = ["ORG_MEMBER", "ORG_GROUP_CREATOR"]


def run(emulator: Emulator, platform: str = "atlas", **options: Any) -> Outcome:
    return run_as_owner("org_api_key", emulator, platform, options)


def keys(emulator: Emulator, platform: str = "atlas") -> dict[str, Any]:
    return emulator.state.organizations[org_id(platform)].api_keys


def named(emulator: Emulator, description: str, platform: str = "atlas") -> list[Any]:
    return [key for key in keys(emulator, platform).values() if key.description == description]


@pytest.mark.parametrize("kind", ["pair", "account"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_key_is_created_once(emulator: Emulator, platform: str, kind: str) -> None:
    if kind == "account" and platform == "ops_manager":
        return
    credential_name = key_pair(platform) if kind == "pair" else service_account(platform)
    wanted = {"description": "new one", "roles": ROLES, **credential_name}
    checked = run(emulator, platform, **wanted, check=True, diff=True)
    assert emulator.writes == []
    real = run(emulator, platform, **wanted, diff=True)
    again = run(emulator, platform, **wanted, diff=True)
    assert [checked.changed, real.changed, again.changed] == [True, True, False]
    after = {"description": "new one", "roles": sorted(ROLES)}
    assert checked.result["diff"] == real.result["diff"] == {"before": {}, "after": after}
    assert again.result["diff"] == {"before": after, "after": after}
    (key,) = named(emulator, "new one", platform)
    assert real.result["private_key"] == key.private_key
    assert real.result["org_api_key"] == again.result["org_api_key"]
    assert real.result["org_api_key"] == {
        "id": key.id,
        "public_key": key.public_key,
        "created_at": created_at(key.id),
        "projects": [],
        **after,
    }
    assert checked.result["org_api_key"] == {
        **real.result["org_api_key"],
        "id": None,
        "public_key": None,
        "created_at": None,
    }
    assert "private_key" not in checked.result
    assert "private_key" not in again.result
    assert key.private_key not in again.output
    assert len(emulator.writes) == 1


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("option", ["api_user_id", "public_key", "description"])
def test_roles_are_changed_once(emulator: Emulator, platform: str, option: str) -> None:
    name = {"api_user_id": key_id(platform, 2), "public_key": public_key(platform, 2)}
    wanted = {option: name.get(option, "victim"), "roles": ["ORG_READ_ONLY", "ORG_MEMBER"]}
    checked = run(emulator, platform, **wanted, check=True, diff=True)
    assert emulator.writes == []
    real = run(emulator, platform, **wanted, diff=True)
    again = run(emulator, platform, **wanted)
    assert [checked.changed, real.changed, again.changed] == [True, True, False]
    assert checked.result["diff"] == real.result["diff"]
    assert checked.result["org_api_key"] == real.result["org_api_key"]
    assert real.result["diff"]["after"]["roles"] == ["ORG_MEMBER", "ORG_READ_ONLY"]
    (write,) = emulator.writes
    assert json.loads(write.body) == {"roles": ["ORG_MEMBER", "ORG_READ_ONLY"]}
    # Roles in projects are not touched.
    assert real.result["org_api_key"]["projects"]


def test_a_member_role_that_the_api_adds_does_not_matter(emulator: Emulator) -> None:
    emulator.settings.adds_org_member = True
    wanted = {"description": "new one", "roles": ["ORG_READ_ONLY"]}
    assert run(emulator, **wanted).changed
    assert set(named(emulator, "new one")[0].roles) == {"ORG_READ_ONLY", "ORG_MEMBER"}
    assert not run(emulator, **wanted).changed


@pytest.mark.parametrize("empty", [{}, {"roles": ""}, {"new_description": "", "roles": ""}])
def test_unset_options_change_nothing(emulator: Emulator, empty: dict[str, str]) -> None:
    outcome = run(emulator, api_user_id=key_id("atlas", 2), **empty)
    assert not outcome.failed
    assert not outcome.changed
    assert outcome.result["org_api_key"]["description"] == "victim"


@pytest.mark.parametrize("name", [{"api_user_id": MISSING_ID}, {"public_key": "zzzzzzzz"}])
def test_an_id_or_a_public_key_never_creates_a_key(
    emulator: Emulator, name: dict[str, str]
) -> None:
    outcome = run(emulator, **name, roles=ROLES)
    assert outcome.failed
    assert "Nothing was changed" in outcome.msg
    assert emulator.writes == []


@pytest.mark.parametrize("description", ["twin", "victim\n"])
def test_an_ambiguous_description_changes_and_creates_nothing(
    emulator: Emulator, description: str
) -> None:
    outcome = run(emulator, description=description, roles=["ORG_OWNER"])
    assert outcome.result["error"]["type"] == "ambiguous"
    assert emulator.writes == []


def test_a_uuid_is_a_description_like_any_other(emulator: Emulator) -> None:
    description = "5f0d9a4e-1c2b-4a00-8223-3011aabbccdd"
    outcome = run(emulator, diff=True, description=description, roles=ROLES)
    assert outcome.changed
    assert json.loads(emulator.writes[0].body)["desc"] == description
    assert outcome.result["org_api_key"]["description"] == description


def test_a_key_is_renamed_once(emulator: Emulator) -> None:
    wanted = {"description": "victim", "new_description": "renamed"}
    assert run(emulator, **wanted, check=True).changed
    first, again = run(emulator, **wanted), run(emulator, **wanted)
    assert [first.changed, again.changed] == [True, False]
    assert again.result["org_api_key"]["id"] == key_id("atlas", 2)
    assert json.loads(emulator.writes[0].body) == {"desc": "renamed"}
    by_id = run(emulator, api_user_id=key_id("atlas", 3), new_description="by id")
    assert by_id.changed


@pytest.mark.parametrize(
    ("old", "new"),
    [("nightly  backup ", "nightly backup"), ("clé", unicodedata.normalize("NFD", "clé"))],
)
def test_a_key_is_renamed_to_a_look_alike_of_its_description(
    emulator: Emulator, old: str, new: str
) -> None:
    key = emulator.state.organizations[org_id("atlas")].api_keys[key_id("atlas", 2)]
    key.description = old
    wanted = {"description": old, "new_description": new}
    first, again = run(emulator, **wanted), run(emulator, **wanted)
    assert [first.changed, again.changed] == [True, False]
    assert again.result["org_api_key"]["id"] == key_id("atlas", 2)
    assert json.loads(emulator.writes[0].body) == {"desc": new}


def test_a_key_is_not_renamed_to_a_look_alike_of_another(emulator: Emulator) -> None:
    outcome = run(emulator, description="victim", new_description="member ")
    assert outcome.result["error"]["type"] == "ambiguous"
    assert key_id("atlas", 6) in outcome.msg
    assert emulator.writes == []


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("nobody", "no one", "has the description"),
        ("victim", "member", "has the old description and"),
        ("nobody", "twin", "2 API keys"),
        ("nobody", "nobody", "has the description"),
    ],
)
def test_an_ambiguous_renaming_changes_nothing(
    emulator: Emulator, old: str, new: str, text: str
) -> None:
    outcome = run(emulator, description=old, new_description=new, roles=ROLES)
    assert outcome.failed
    assert text in outcome.msg
    assert emulator.writes == []


@pytest.mark.parametrize(
    ("platform", "options", "text"),
    [
        ("atlas", {"description": "x" * 251}, "251 characters"),
        ("atlas", {"new_description": "x" * 251}, "251 characters"),
        ("atlas", {"roles": []}, "at least one role"),
        ("atlas", {"roles": ["ORG_KING"]}, "'ORG_KING' in roles is not an organization role"),
        ("atlas", {"roles": ["GROUP_OWNER"]}, "'GROUP_OWNER' in roles is not an organization role"),
        ("atlas", {"roles": ["ORG_OWNER "]}, "'ORG_OWNER ' in roles is not an organization role"),
        ("atlas", {"roles": ["ORG_OWNER", " "]}, "roles has an empty item"),
        ("cloud_manager", {"roles": ["ORG_STREAM_PROCESSING_ADMIN"]}, "not an organization role"),
        ("ops_manager", {"roles": ["ORG_BILLING_ADMIN"]}, "not an organization role"),
        ("atlas", {"credentials_file": "/"}, "is a directory"),
    ],
)
def test_bad_input_is_refused_before_any_request(
    emulator: Emulator, platform: str, options: dict[str, Any], text: str
) -> None:
    outcome = run(emulator, platform, **{"description": "new one", "roles": ROLES, **options})
    assert outcome.failed
    assert text in outcome.msg
    assert emulator.requests == []


def test_a_role_is_not_removed_from_the_signing_credential(emulator: Emulator) -> None:
    wanted = {"description": "signs", "roles": ["ORG_READ_ONLY"]}
    for check in (True, False):
        outcome = run(emulator, **wanted, check=check)
        assert outcome.failed
        assert "allow_own_key" in outcome.msg
    assert emulator.writes == []
    # An additional role removes nothing.
    assert run(emulator, description="signs", roles=["ORG_OWNER", "ORG_READ_ONLY"]).changed
    assert run(emulator, **wanted, allow_own_key=True).changed


class TestCredentialsFile:
    """A key pair is saved in its file, and nowhere else."""

    wanted: ClassVar = {"description": "new one", "roles": ROLES}

    def test_a_key_pair_is_in_its_file_only(
        self, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "pair.json"
        with monkeypatch.context() as patch:
            # Check mode does not write to the directory.
            patch.setattr(tempfile, "TemporaryFile", Mock(side_effect=OSError(28, "No space")))
            checked = run(emulator, **self.wanted, credentials_file=str(path), check=True)
        assert checked.changed
        assert not path.exists()
        outcome = run(emulator, **self.wanted, credentials_file=str(path))
        (key,) = named(emulator, "new one")
        assert json.loads(path.read_text("utf-8")) == {
            "org_id": org_id("atlas"),
            "api_user_id": key.id,
            "description": "new one",
            "public_key": key.public_key,
            "private_key": key.private_key,
        }
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "private_key" not in outcome.result
        assert key.private_key not in outcome.output
        again = run(emulator, **self.wanted, credentials_file=str(path))
        assert not again.changed
        assert "warnings" not in again.result

    @pytest.mark.parametrize(
        "name", [{"description": "victim"}, {"api_user_id": key_id("atlas", 2)}], ids=str
    )
    def test_a_missing_file_is_a_warning(
        self, emulator: Emulator, tmp_path: Path, name: dict[str, str]
    ) -> None:
        outcome = run(emulator, **name, credentials_file=str(tmp_path / "none"))
        assert not outcome.changed
        assert "cannot be read again" in str(outcome.result["warnings"])

    def test_the_file_of_a_revoked_key_with_the_same_description_is_replaced(
        self, emulator: Emulator, tmp_path: Path
    ) -> None:
        path = tmp_path / "pair.json"
        run(emulator, **self.wanted, credentials_file=str(path))
        assert run(emulator, description="new one", state="absent").changed
        assert run(emulator, **self.wanted, credentials_file=str(path)).changed
        assert (
            json.loads(path.read_text("utf-8"))["api_user_id"] == named(emulator, "new one")[0].id
        )

    @pytest.mark.parametrize("revoking_fails", [False, True])
    def test_a_key_whose_file_cannot_be_written_is_revoked(
        self,
        emulator: Emulator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        revoking_fails: bool,
    ) -> None:
        def full(*_arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(_secret_file, "_create", full)
        if revoking_fails:
            emulator.add_fault(Fault("status", "DELETE", times=None, status=503))
        outcome = run(emulator, **self.wanted, credentials_file=str(tmp_path / "pair.json"))
        assert outcome.failed
        assert "No space left on device" in outcome.msg
        left = named(emulator, "new one")
        assert bool(left) is revoking_fails
        assert outcome.result["error"]["parameters"] == [key.id for key in left]
        assert outcome.changed is revoking_fails
        for key in left:
            assert key.id in outcome.msg
            assert key.private_key not in outcome.output


FAULTS = [
    ("lost_before", {}, False),
    ("lost_after", {}, True),
    ("reset", {"after_write": True}, True),
    ("garbage", {"after_write": True}, True),
    ("truncated", {}, True),
    ("html", {"status": 200, "after_write": True}, True),
    ("status", {"status": 500, "after_write": True}, True),
    ("status", {"status": 503}, False),
    ("redirect", {}, False),
    ("json", {"body": {"id": 1}, "after_write": True}, True),
]


def test_a_lost_key_that_shows_up_late_is_found(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 4.0
    emulator.add_fault(Fault("lost_after", "POST"))
    outcome = run(emulator, description="new one", roles=ROLES, clock=clock)
    assert named(emulator, "new one")[0].id in outcome.msg


def test_a_key_that_is_not_shown_in_time_is_created(emulator: Emulator) -> None:
    clock = VirtualClock()
    emulator.clock, emulator.settings.visibility_delay = clock.now, 300.0
    created = run(emulator, description="new one", roles=ROLES, clock=clock)
    assert created.result["private_key"]
    assert clock.time - 1000 <= 10


@pytest.mark.parametrize("status", [429, 400, 401, 403])
def test_a_refused_creation_leaves_nothing(emulator: Emulator, status: int) -> None:
    emulator.add_fault(Fault("status", "POST", status=status, code="REFUSED"))
    outcome = run(emulator, description="new one", roles=ROLES)
    assert outcome.failed is (status != 429)
    assert len(named(emulator, "new one")) == int(status == 429)


def test_a_listing_that_fails_after_a_creation_loses_no_private_key(emulator: Emulator) -> None:
    emulator.add_fault(Fault("status", "GET", after=1, times=None, status=403, code="X"))
    outcome = run(emulator, description="new one", roles=ROLES)
    assert outcome.changed
    assert outcome.result["private_key"] == named(emulator, "new one")[0].private_key
    assert "could not be checked" in str(outcome.result["warnings"])


def test_a_creation_sends_few_requests(emulator: Emulator) -> None:
    run(emulator, description="new one", roles=ROLES)
    asked = [f"{request.method} {request.status}" for request in emulator.requests]
    # The challenge, the listing before, the creation, the listing after.
    assert asked == ["GET 401", "GET 200", "POST 200", "GET 200"]
    assert emulator.connections == 1


class TestAccessList:
    """A key gets its access list before its roles. If either fails, a new key is revoked."""

    entries: ClassVar = ["2001:db8::/32", "192.0.2.0/24", "198.51.100.7"]
    in_order: ClassVar = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]
    wanted: ClassVar = {"description": "new one", "roles": ["ORG_OWNER"], "access_list": entries}

    @pytest.mark.parametrize("platform", PLATFORMS)
    def test_a_new_key_gets_its_list_and_then_its_roles(
        self, emulator: Emulator, platform: str
    ) -> None:
        checked = run(emulator, platform, **self.wanted, check=True, diff=True)
        assert emulator.writes == []
        real = run(emulator, platform, **self.wanted, diff=True)
        again = run(emulator, platform, **self.wanted, diff=True)
        assert [checked.changed, real.changed, again.changed] == [True, True, False]
        sent = [(write.method, json.loads(write.body)) for write in emulator.writes]
        assert [method for method, _body in sent] == ["POST", "POST", "PATCH"]
        assert sent[0][1]["roles"] == ["ORG_MEMBER"]
        assert sent[2][1] == {"roles": ["ORG_OWNER"]}
        (key,) = named(emulator, "new one", platform)
        assert key.roles == ["ORG_OWNER"]
        assert len(key.access_list) == 3
        assert real.result["private_key"] == key.private_key
        after = {"description": "new one", "roles": ["ORG_OWNER"], "access_list": self.in_order}
        assert checked.result["diff"] == real.result["diff"] == {"before": {}, "after": after}
        assert again.result["diff"] == {"before": after, "after": after}
        assert real.result["org_api_key"] == again.result["org_api_key"]
        ids = {"id": None, "public_key": None, "created_at": None}
        assert checked.result["org_api_key"] == {**real.result["org_api_key"], **ids}
        assert real.result["org_api_key"]["access_list"] == self.in_order

    @pytest.mark.parametrize(
        ("roles", "entries", "requests"),
        [
            (["ORG_MEMBER"], ["192.0.2.1"], ["POST", "POST"]),
            (["ORG_OWNER"], [], ["POST"]),
            (["ORG_MEMBER"], [], ["POST"]),
        ],
    )
    def test_a_request_that_would_change_nothing_is_not_sent(
        self, emulator: Emulator, roles: list[str], entries: list[str], requests: list[str]
    ) -> None:
        wanted = {"description": "new one", "roles": roles, "access_list": entries}
        assert run(emulator, **wanted).changed
        assert [write.method for write in emulator.writes] == requests
        assert not run(emulator, **wanted).changed

    def test_a_new_key_of_an_old_ops_manager_gets_its_whitelist(self, emulator: Emulator) -> None:
        emulator.settings.legacy_whitelist = True
        assert run(emulator, "ops_manager", **self.wanted).changed
        assert len(named(emulator, "new one", "ops_manager")[0].access_list) == 3

    @pytest.mark.parametrize("platform", PLATFORMS)
    def test_an_existing_key_gets_its_list_and_then_its_roles(
        self, emulator: Emulator, platform: str
    ) -> None:
        keys(emulator, platform)[key_id(platform, 2)].access_list.append("10.0.0.0/8")
        wanted = {**self.wanted, "description": "victim"}
        checked = run(emulator, platform, **wanted, check=True, diff=True)
        assert emulator.writes == []
        real = run(emulator, platform, **wanted, diff=True)
        again = run(emulator, platform, **wanted, diff=True)
        assert [checked.changed, real.changed, again.changed] == [True, True, False]
        assert [write.method for write in emulator.writes] == ["POST", "DELETE", "PATCH"]
        assert checked.result["diff"] == real.result["diff"]
        assert real.result["diff"]["before"]["access_list"] == ["10.0.0.0/8"]
        assert real.result["diff"]["after"]["access_list"] == self.in_order
        assert checked.result["org_api_key"] == real.result["org_api_key"]

    def test_an_unset_list_is_not_read(self, emulator: Emulator) -> None:
        outcome = run(emulator, api_user_id=key_id("atlas", 2), roles=["ORG_READ_ONLY"])
        assert "access_list" not in outcome.result["org_api_key"]
        assert not [r for r in emulator.requests if r.path.endswith("accessList")]

    def test_the_list_of_the_signing_credential_is_guarded(self, emulator: Emulator) -> None:
        wanted = {"description": "signs", "access_list": ["127.0.0.0/8"]}
        for check in (True, False):
            outcome = run(emulator, **wanted, check=check)
            assert outcome.result["error"]["type"] == "own_credential"
            assert "changing its own access list" in outcome.msg
        assert emulator.writes == []
        assert run(emulator, **wanted, allow_own_key=True).changed
        # The list is already like this.
        assert not run(emulator, **wanted).failed
        refused = run(emulator, **{**wanted, "access_list": ["10.0.0.0/8"]}, allow_own_key=True)
        assert refused.result["error"]["code"] == "CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST"
        # Earlier additions are reported.
        assert refused.result["org_api_key"]["access_list"] == ["10.0.0.0/8", "127.0.0.0/8"]

    @pytest.mark.parametrize("entry", ["", "x", "192.0.2.7/24"])
    def test_an_invalid_entry_is_refused_before_any_request(
        self, emulator: Emulator, entry: str
    ) -> None:
        outcome = run(emulator, **{**self.wanted, "access_list": ["192.0.2.1", entry]})
        assert outcome.result["error"]["type"] == "options"
        assert "access_list has " in outcome.msg
        assert emulator.requests == []

    @pytest.mark.parametrize("with_file", [True, False])
    @pytest.mark.parametrize("request_", [("POST", "*/accessList"), ("PATCH", "*/apiKeys/*")])
    @pytest.mark.parametrize(
        "trouble",
        [
            ("status", {"status": 403, "code": "X"}),
            ("status", {"status": 500}),
            ("lost_before", {}),
            ("html", {"status": 200}),
        ],
    )
    def test_a_new_key_is_revoked_if_its_list_or_roles_cannot_be_set(
        self,
        emulator: Emulator,
        tmp_path: Path,
        request_: tuple[str, str],
        trouble: tuple[str, dict[str, Any]],
        with_file: bool,
    ) -> None:
        (method, path), (fault, arguments) = request_, trouble
        file = tmp_path / "pair.json"
        more = {"credentials_file": str(file)} if with_file else {}
        before = set(keys(emulator))
        emulator.add_fault(Fault(fault, method, path, times=None, **arguments))
        outcome = run(emulator, **self.wanted, **more)
        assert outcome.failed
        assert not outcome.changed
        assert "org_api_key" not in outcome.result
        assert set(keys(emulator)) == before
        assert "The new API key was revoked to clean up: nothing is left." in outcome.msg
        assert outcome.result["error"]["method"] == method
        assert not file.exists()
        if with_file:
            assert f"{file}, which had its key pair, was deleted" in outcome.msg
        emulator.clear_faults()
        assert run(emulator, **self.wanted, **more).changed

    @pytest.mark.parametrize("with_file", [True, False])
    @pytest.mark.parametrize(
        ("method", "path"), [("POST", "*/accessList"), ("PATCH", "*/apiKeys/*")]
    )
    def test_a_key_that_cannot_be_revoked_is_reported(
        self, emulator: Emulator, tmp_path: Path, method: str, path: str, with_file: bool
    ) -> None:
        file = tmp_path / "pair.json"
        more = {"credentials_file": str(file)} if with_file else {}
        emulator.add_fault(Fault("status", method, path, times=None, status=403, code="X"))
        emulator.add_fault(Fault("status", "DELETE", times=None, status=503))
        outcome = run(emulator, **self.wanted, **more)
        (key,) = named(emulator, "new one")
        # It never had more than this.
        assert key.roles == ["ORG_MEMBER"]
        assert outcome.failed
        assert outcome.changed
        error = outcome.result["error"]
        assert (error["type"], error["parameters"]) == ("orphan", [key.id])
        assert key.id in outcome.msg
        assert key.private_key not in outcome.output
        assert file.exists() is with_file
        said = f"{file} has its key pair" if with_file else "Its private key is lost"
        assert said in outcome.msg

    def test_a_lost_creation_leaves_a_key_with_the_lowest_role(self, emulator: Emulator) -> None:
        emulator.add_fault(Fault("lost_after", "POST", "*/apiKeys"))
        outcome = run(emulator, **self.wanted)
        (key,) = named(emulator, "new one")
        assert outcome.result["error"]["type"] == "orphan"
        assert outcome.result["error"]["parameters"] == [key.id]
        assert key.roles == ["ORG_MEMBER"]

    def test_a_list_that_stays_the_same_is_not_written(self, emulator: Emulator) -> None:
        victim = keys(emulator)[key_id("atlas", 2)]
        victim.access_list.append("0.0.0.0/0")
        wanted = {"description": "victim", "access_list": ["0.0.0.0/0"], "roles": ROLES}
        outcome = run(emulator, **wanted, new_description="renamed")
        assert [write.method for write in emulator.writes] == ["PATCH"]
        # The list allowed every address before.
        assert "warnings" not in outcome.result
        emulator.add_fault(Fault("status", "PATCH", status=403, code="X"))
        refused = run(emulator, **{**wanted, "description": "renamed", "roles": ["ORG_OWNER"]})
        assert refused.failed
        assert "org_api_key" not in refused.result

    @pytest.mark.parametrize(
        ("fault", "arguments"), [("status", {"status": 403, "code": "X"}), ("lost_before", {})]
    )
    def test_a_change_of_the_list_alone_is_reported(
        self, emulator: Emulator, fault: str, arguments: dict[str, Any]
    ) -> None:
        emulator.add_fault(Fault(fault, "PATCH", times=None, **arguments))
        outcome = run(emulator, **{**self.wanted, "description": "victim"}, diff=True)
        assert outcome.failed
        assert outcome.changed
        shown = outcome.result["org_api_key"]
        assert shown["access_list"] == self.in_order
        assert shown["roles"] == ["ORG_GROUP_CREATOR", "ORG_MEMBER"]
        assert outcome.result["diff"]["after"]["roles"] == shown["roles"]
        assert outcome.result["diff"]["before"]["access_list"] == []
