# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How api_request checks what it sends, and compares JSON."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _endpoints
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    PLATFORMS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.modules import api_request
from tests.support import ROOT

ATLAS, OPS_MANAGER = PLATFORMS["atlas"], PLATFORMS["ops_manager"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ""),
        ("/api/atlas/v2", ""),
        ("/api/atlas/v2/orgs", "/orgs"),
        ("/orgs", "/orgs"),
        ("/groups/5a/serviceAccounts/x:invite", "/groups/5a/serviceAccounts/x:invite"),
        ("/orgs/5a/accessList/192.0.2.0%2F24", "/orgs/5a/accessList/192.0.2.0%2F24"),
        ("/users/CN=a%2CO=b", "/users/CN=a%2CO=b"),
        ("/groups/5a/what%3Fever", "/groups/5a/what%3Fever"),
        ("/groups/a..b/...", "/groups/a..b/..."),
        ("/users/J%C3%BCrgen", "/users/J%C3%BCrgen"),
        ("/users/a%252Fb", "/users/a%252Fb"),
        ("/apis/v2", "/apis/v2"),
        ("/groups/X", "/groups/X"),
        ("/" + "a" * 3999, "/" + "a" * 3999),
    ],
)
def test_a_path_may_begin_with_the_path_of_the_api(path: str, expected: str) -> None:
    assert _endpoints.relative_path(path, ATLAS) == expected


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "begin with /"),
        ("orgs", "begin with /"),
        ("https://cloud.mongodb.com/orgs", "begin with /"),
        ("//evil.example/orgs", "//"),
        ("/orgs//apiKeys", "'/orgs//apiKeys', which contains //. "),
        ("//" + "a" * 150 + " " + "b" * 100, "a' …, which contains //"),
        ("/api/" + "a" * 150 + " " + "b" * 100, "a' …, which is not below /api/atlas/v2"),
        ("/orgs/", "ends with /"),
        ("/orgs?pageNum=1", "query"),
        ("/orgs#top", "%23"),
        ("/orgs/../users", ".."),
        ("/orgs/..", ".."),
        ("/orgs/./users", ".."),
        ("/orgs/%2e%2E/users", ".."),
        ("/orgs/.%2e/users", ".."),
        ("/orgs/%252e%252e/users", ".."),
        ("/orgs/%25252e./users", ".."),
        ("/orgs/x%2F..%2Fusers", ".."),
        ("/orgs/x%5c..%5cusers", ".."),
        ("/orgs/..;a/users", ".."),
        ("/orgs/%c0%ae%c0%ae/users", "UTF-8"),
        ("/orgs/%25c0%25ae./users", "UTF-8"),
        ("/orgs/%EF%BC%8E%EF%BC%8E/users", ".."),
        ("/orgs/\u2025/users", ".."),
        (f"/orgs/%{'25' * 9}2e./users", "five times"),
        (f"/orgs/%{'25' * 9}41/users", "five times"),
        ("/orgs\n", "control"),
        ("/orgs/a\x00", "control"),
        ("/orgs/a%00", "control"),
        ("/orgs/a%250d", "control"),
        ("/orgs/a ", "control"),
        ("/orgs/%zz", "%"),
        ("/orgs/100%", "%"),
        ("/api/public/v1.0/orgs", "not below /api/atlas/v2"),
        ("/API/atlas/v2/orgs", "not below /api/atlas/v2"),
        ("/orgs/" + "a" * 4000, "longer than 4000"),
    ],
)
def test_refuses_a_path_that_may_lead_elsewhere(path: str, why: str) -> None:
    with pytest.raises(OptionError) as caught:
        _endpoints.relative_path(path, ATLAS)
    assert why in caught.value.message()


def test_a_refused_path_does_not_show_a_secret() -> None:
    with pytest.raises(OptionError) as caught:
        _endpoints.relative_path("/orgs?secret=mdb_sa_sk_canary", ATLAS)
    assert "canary" not in caught.value.message()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (10**400, "1" + "0" * 400),
        (1.5, "1.5"),
        ("True", "True"),
        ([1, False, "a"], ["1", "false", "a"]),
    ],
    ids=str,
)
def test_a_query_keeps_its_types(value: Any, expected: Any) -> None:
    assert _endpoints.query_texts({"name": value}) == {"name": expected}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"a": None}, "'a' in query is null. Leave it out"),
        ({"a": {}}, "'a' in query is not text, a number or a boolean. Leave it out"),
        ({"a": [[]]}, "an item of 'a' in query is empty. Leave it out"),
        ({"a": float("nan")}, "'a' in query is not text, a number or a boolean. Leave it out"),
        ({"b": 1, "a": ""}, "'a' in query is empty. Leave it out"),
        ({"a": []}, "'a' in query is empty. Leave it out"),
        ({"a": ["b", ""]}, "an item of 'a' in query is empty. Leave it out"),
        ({"envelope": True}, "'envelope' in query is not allowed. Use the option envelope"),
        ({"n" * 60 + " " + "m" * 40: ""}, f"'{'n' * 60}' … in query is empty"),
    ],
    ids=str,
)
def test_refuses_a_query_that_cannot_be_sent(query: dict[str, Any], why: str) -> None:
    with pytest.raises(OptionError) as refused:
        _endpoints.query_texts(query)
    assert refused.value.message().startswith(why)


@pytest.mark.parametrize(
    ("method", "body", "why"),
    [
        ("GET", None, None),
        ("GET", {}, "body is set, but method is GET. Set parameters with query"),
        ("POST", None, None),
        ("POST", [], None),
        ("POST", '{"a": 1}', "body is not a dictionary or a list. Write the JSON as YAML"),
        ("PATCH", None, "body is not set, but method is PATCH. "),
        ("PUT", None, "body is not set, but method is PUT. "),
        ("PUT", {"a": [{"b": 1.5}]}, None),
        ("PUT", {"a": [{"b": float("inf")}]}, "body contains a number that JSON does not"),
        ("DELETE", None, None),
    ],
)
def test_a_body_must_fit_the_method(method: str, body: Any, why: str | None) -> None:
    if why is None:
        _endpoints.check_body(method, body)
        return
    with pytest.raises(OptionError) as refused:
        _endpoints.check_body(method, body)
    assert refused.value.message().startswith(why)


@pytest.mark.parametrize(
    ("version", "platform", "expected"),
    [
        (None, ATLAS, "2025-03-12"),
        ("2024-08-05", ATLAS, "2024-08-05"),
        ("preview", ATLAS, "preview"),
    ],
)
def test_a_version_is_a_date_or_preview(version: Any, platform: Any, expected: str) -> None:
    assert _endpoints.check_version(version, platform) == expected


@pytest.mark.parametrize(
    ("version", "platform", "why"),
    [
        ("2024-13-05", ATLAS, "api_version is '2024-13-05'. It must be a date, such as"),
        ("20240805", ATLAS, "api_version is '20240805'. It must be a date, such as"),
        ("latest", ATLAS, "api_version is 'latest'. It must be a date, such as"),
        ("v" * 30 + " " + "w" * 20, ATLAS, f"api_version is '{'v' * 30}' …. It must be a date"),
        (
            "2024-08-05",
            OPS_MANAGER,
            "api_version is set, but the API of MongoDB Ops Manager has no versions. Leave it out",
        ),
    ],
)
def test_refuses_another_version(version: Any, platform: Any, why: str) -> None:
    with pytest.raises(OptionError) as refused:
        _endpoints.check_version(version, platform)
    assert refused.value.message().startswith(why)


def test_the_documentation_names_the_default_version() -> None:
    guide = ROOT / "docs" / "docsite" / "rst" / "guide_any_endpoint.rst"
    for text in (api_request.DOCUMENTATION, guide.read_text("utf-8")):
        assert _endpoints.DEFAULT_VERSION in text


@pytest.mark.parametrize(
    "name",
    """password clientSecret apiToken privateKey datadogApiKey serviceKey pwd scramSha256Creds
    storedKey X-Api-Key webhook_url Authorization sslKey pass smtpPass db_pass jwt masterKey
    hmacKey""".split(),
)
def test_texts_under_secret_names_are_hidden(name: str) -> None:
    body = {"a": [{name: "canary", "plain": "seen"}], name: {"value": ["canary"], "n": 720}}
    shown = _endpoints.redacted(body)
    assert shown == {
        "a": [{name: "hidden", "plain": "seen"}],
        name: {"value": ["hidden"], "n": 720},
    }
    assert list(_endpoints.secret_texts(body)) == ["canary", "canary"]


@pytest.mark.parametrize(
    ("login", "password"), [("u:canary@", "canary"), (":canary@", "canary"), ("u:c%40y@", "c@y")]
)
def test_a_url_with_a_password_is_hidden(login: str, password: str) -> None:
    body = {"uri": f"mongodb://{login}h:27017/?a=b", "seen": ["https://u@h:80/a@b", "a:b@c"]}
    assert _endpoints.redacted(body) == {**body, "uri": "hidden"}
    assert list(_endpoints.secret_texts(body)) == [body["uri"], password]


def test_the_content_of_the_key_file_is_hidden() -> None:
    body = {"auth": {"key": "canary", "keyfile": "/k"}, "tags": [{"key": "env", "value": "a"}]}
    assert _endpoints.redacted(body) == {**body, "auth": {"key": "hidden", "keyfile": "/k"}}
    assert list(_endpoints.secret_texts(body)) == ["canary"]


@pytest.mark.parametrize(
    "name", ["apiKeyId", "apiKeyIds", "publicKey", "keyName", "roles", "bypass"]
)
def test_texts_under_other_names_are_shown(name: str) -> None:
    assert _endpoints.redacted({name: "seen"}) == {name: "seen"}


def test_a_number_under_a_secret_name_is_shown() -> None:
    body = {"maxServiceAccountSecretValidityInHours": 720, "secret": ""}
    assert _endpoints.redacted(body) == body


@pytest.mark.parametrize(
    ("wanted", "current", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 1}, False),
        ({"a": None}, {}, False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ({"a": {"b": 1}}, {"a": [1]}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "id": 2}]}, True),
        ({"a": 1, "id": 5}, {"a": 1, "id": 6}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": [0]}, {"a": [False]}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({}, [], False),
        ({"a": {}}, {"a": {"b": 1}}, False),
        ({"a": {}}, {"a": {"id": 1}}, True),
        ([{"b": 1}], [{"b": 1}], True),
        ([], {}, False),
    ],
    ids=str,
)
def test_whether_json_has_the_wanted_values(wanted: Any, current: Any, expected: bool) -> None:
    assert _endpoints.is_there(wanted, current, {"id"}) == expected


def test_a_diff_has_only_the_fields_of_the_body() -> None:
    current = {
        "a": {"b": 1, "c": 2},
        "d": [{"id": 1, "e": 2}],
        "f": 3,
        "h": {"i": {"id": 1, "j": 1}},
        "k": [1],
    }
    wanted = {"a": {"b": 5}, "d": [], "g": 1, "h": {}, "k": {"l": 1}}
    part = _endpoints.shared_part(wanted, current, {"id"})
    assert part == {"a": {"b": 1}, "d": [{"e": 2}], "h": {"i": {"j": 1}}, "k": [1]}
