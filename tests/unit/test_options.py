# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection options: where each value comes from, and what is refused before any request."""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import yaml

from ansible_collections.keysmith.mongodb.plugins.doc_fragments.connection import ModuleDocFragment
from ansible_collections.keysmith.mongodb.plugins.module_utils import _argspec
from ansible_collections.keysmith.mongodb.plugins.module_utils._argspec import CONNECTION_OPTIONS
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import Http
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection import (
    _resolve,
    _secrets,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    AccessToken,
    KeyPair,
    ServiceAccount,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._resolve import resolve
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError

ORG = "5980cfdf0b6d97029d82f86e"
CLIENT_ID = "mdb_sa_id_5980cfdf0b6d97029d82f86e"
UUID = "ca11ab1e-0000-4000-8000-0000000000a1"
PAIR = {"api_public_key": "abcdefgh", "api_private_key": "private"}
ACCOUNT = {"client_id": CLIENT_ID, "client_secret": "mdb_sa_sk_secret"}
TOKEN = {"access_token": "token"}
ENV_PAIR = {
    "MONGODB_ATLAS_PUBLIC_API_KEY": "envpublc",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "envprivate",
}
ENV_OLD_PAIR = {"MONGODB_ATLAS_PUBLIC_KEY": "oldpublc", "MONGODB_ATLAS_PRIVATE_KEY": "oldprivate"}
ENV_ACCOUNT = {"MONGODB_ATLAS_CLIENT_ID": CLIENT_ID, "MONGODB_ATLAS_CLIENT_SECRET": "envsecret"}
ENV_TOKEN = {"MONGODB_ATLAS_ACCESS_TOKEN": "envtoken"}
ENV_MCLI = {"MCLI_PUBLIC_API_KEY": "mclpublc", "MCLI_PRIVATE_API_KEY": "mclprivate"}
# 254 characters.
LONGEST_HOST = ".".join(["x" * 61] * 4) + ".xxxxx."
OPS_UNSET = {"platform": "ops_manager"}
OPS = {"platform": "ops_manager", "base_url": "https://om.example.com"}


def params(**given: Any) -> dict[str, Any]:
    """Return all connection options as AnsibleModule passes them on."""
    unset = {name: spec.get("default") for name, spec in CONNECTION_OPTIONS.items()}
    assert given.keys() <= unset.keys()
    return {**unset, **given}


def test_doc_fragment_and_spec_are_equal() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    spec = {
        name: {key: value for key, value in option.items() if key != "no_log"}
        for name, option in CONNECTION_OPTIONS.items()
    }
    for option in documented.values():
        assert option.pop("description")
    assert documented == spec


def refusal(options: dict[str, Any], environ: dict[str, str]) -> str:
    with pytest.raises(OptionError) as caught:
        resolve(params(**options), environ)
    return caught.value.message()


def masked(options: dict[str, Any], environ: dict[str, str]) -> set[str]:
    return _secrets.find_secrets(options, environ)[0]


def test_secret_options_have_no_log() -> None:
    hidden = {name for name, option in CONNECTION_OPTIONS.items() if option.get("no_log")}
    assert hidden == {"api_private_key", "client_secret", "access_token", "http_proxy"}


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        (PAIR, {}, KeyPair("abcdefgh", "private")),
        (ACCOUNT, {}, ServiceAccount(CLIENT_ID, "mdb_sa_sk_secret")),
        (TOKEN, {}, AccessToken("token")),
        # A public key may have any length, and quotes if it has 8 characters.
        (
            {"api_public_key": "any-length", "api_private_key": 'with"quote'},
            {},
            KeyPair("any-length", 'with"quote'),
        ),
        ({**PAIR, "api_public_key": 'abc"efgh'}, {}, KeyPair('abc"efgh', "private")),
        ({}, ENV_PAIR, KeyPair("envpublc", "envprivate")),
        ({}, ENV_OLD_PAIR, KeyPair("oldpublc", "oldprivate")),
        ({}, {**ENV_OLD_PAIR, **ENV_PAIR}, KeyPair("envpublc", "envprivate")),
        ({}, ENV_ACCOUNT, ServiceAccount(CLIENT_ID, "envsecret")),
        ({}, ENV_TOKEN, AccessToken("envtoken")),
        # Options override the environment, even with another kind of credential.
        (PAIR, {**ENV_ACCOUNT, **ENV_TOKEN}, KeyPair("abcdefgh", "private")),
        (TOKEN, ENV_PAIR, AccessToken("token")),
        # With a token, a service account is the owner of the token.
        ({**TOKEN, "client_id": CLIENT_ID}, ENV_PAIR, AccessToken("token", CLIENT_ID)),
        ({**TOKEN, **ACCOUNT}, {}, AccessToken("token", CLIENT_ID, "mdb_sa_sk_secret")),
        ({}, {**ENV_TOKEN, **ENV_ACCOUNT}, AccessToken("envtoken", CLIENT_ID, "envsecret")),
        # The owner's secret may be in the environment, but that of another account is of no use.
        (
            {**TOKEN, "client_id": CLIENT_ID},
            {**ENV_ACCOUNT, **ENV_PAIR},
            AccessToken("token", CLIENT_ID, "envsecret"),
        ),
        (TOKEN, ENV_ACCOUNT, AccessToken("token")),
        (
            {**TOKEN, "client_id": CLIENT_ID[:-1] + "f"},
            ENV_ACCOUNT,
            AccessToken("token", CLIENT_ID[:-1] + "f"),
        ),
        (
            ACCOUNT,
            {"MONGODB_ATLAS_PUBLIC_KEY": "half"},
            ServiceAccount(CLIENT_ID, ACCOUNT["client_secret"]),
        ),
        ({}, {**ENV_PAIR, "MONGODB_ATLAS_ACCESS_TOKEN": ""}, KeyPair("envpublc", "envprivate")),
        # Each platform reads only its own variables.
        (OPS, {**ENV_MCLI, **ENV_PAIR, **ENV_TOKEN}, KeyPair("mclpublc", "mclprivate")),
        (
            {"platform": "cloud_manager"},
            {**ENV_MCLI, **ENV_ACCOUNT},
            KeyPair("mclpublc", "mclprivate"),
        ),
        ({}, {**ENV_MCLI, **ENV_PAIR}, KeyPair("envpublc", "envprivate")),
        (
            {"platform": "cloud_manager", **ACCOUNT},
            {},
            ServiceAccount(CLIENT_ID, "mdb_sa_sk_secret"),
        ),
    ],
)
def test_credentials_come_from_task_then_environment(
    options: dict[str, Any], environ: dict[str, str], expected: object
) -> None:
    assert resolve(params(**options), environ).credentials == expected


@pytest.mark.parametrize(
    ("options", "environ", "message"),
    [
        ({}, {}, "No credential is set.*MONGODB_ATLAS_PUBLIC_API_KEY"),
        (
            OPS,
            {**ENV_PAIR, **ENV_TOKEN},
            "No credential is set. Set api_public_key and api_private_key, or the environment "
            r"variables of MongoDB Ops Manager \(MCLI_PUBLIC_API_KEY",
        ),
        ({}, ENV_MCLI, "No credential is set"),
        (
            {"api_public_key": "abcdefgh"},
            {},
            "The option api_public_key is set, and api_private_key is not",
        ),
        ({"api_private_key": "x"}, ENV_PAIR, "api_private_key is set, and api_public_key is not"),
        ({"client_id": CLIENT_ID}, {}, "client_id is set, and client_secret is not"),
        ({"client_secret": "x", **PAIR}, {}, "client_secret is set, and client_id is not"),
        ({"client_secret": "x", **TOKEN}, {}, "client_secret is set, and client_id is not"),
        (
            {},
            {"MONGODB_ATLAS_PUBLIC_API_KEY": "x"},
            "The environment variable MONGODB_ATLAS_PUBLIC_API_KEY is set, and "
            "MONGODB_ATLAS_PRIVATE_API_KEY is not",
        ),
        (
            {},
            {"MONGODB_ATLAS_PRIVATE_KEY": "x"},
            "MONGODB_ATLAS_PRIVATE_KEY is set, and MONGODB_ATLAS_PUBLIC_KEY is not",
        ),
        # New and old names are not combined.
        (
            {},
            {"MONGODB_ATLAS_PUBLIC_API_KEY": "x", "MONGODB_ATLAS_PRIVATE_KEY": "y"},
            "MONGODB_ATLAS_PRIVATE_API_KEY is not",
        ),
        ({}, {"MONGODB_ATLAS_CLIENT_ID": CLIENT_ID}, "MONGODB_ATLAS_CLIENT_SECRET is not"),
        (OPS, {"MCLI_PUBLIC_API_KEY": "x"}, "MCLI_PRIVATE_API_KEY is not"),
        ({**PAIR, **TOKEN}, {}, "Two kinds.*api_public_key.*access_token"),
        ({**PAIR, **ACCOUNT}, {}, "Two kinds"),
        ({}, {**ENV_PAIR, **ENV_TOKEN}, "Two kinds.*MONGODB_ATLAS_ACCESS_TOKEN"),
        ({}, {**ENV_ACCOUNT, **ENV_OLD_PAIR}, "Two kinds"),
        (
            {"api_public_key": CLIENT_ID, "api_private_key": "x"},
            {},
            "client ID of a service account.*Use client_id and client_secret",
        ),
        (
            {"client_id": "abcdefgh", "client_secret": "x"},
            {},
            "client ID is not valid.*24 hexadecimal",
        ),
        ({**OPS, **ACCOUNT}, {}, "Ops Manager has no service accounts"),
        ({**OPS, **TOKEN}, {}, "Ops Manager has no service accounts"),
        ({"api_public_key": UUID, "api_private_key": "abcdefgh"}, {}, "Are the two swapped"),
        ({"api_public_key": "a\nb", "api_private_key": "x"}, {}, "public key is not valid"),
        ({"api_public_key": 'a"b', "api_private_key": "x"}, {}, "public key is not valid"),
        ({**PAIR, "api_private_key": "x\n"}, {}, "private key is not valid"),
        (
            {**PAIR, "api_public_key": ORG},
            {},
            "public key looks like the ID of an API key. Use the public key",
        ),
        ({"access_token": "Bearer x"}, {}, "token is not valid.*Bearer"),
        ({"access_token": "x\r\nX-Evil: 1"}, {}, "token is not valid.*Bearer"),
        ({"client_id": CLIENT_ID, "client_secret": "a b"}, {}, "client secret is not valid"),
        (PAIR, {"KEYSMITH_MONGODB_PLATFORM": "cosmos"}, "cosmos.*one of atlas"),
        (PAIR, {"KEYSMITH_MONGODB_VALIDATE_CERTS": "perhaps"}, "true or false"),
        (PAIR, {"KEYSMITH_MONGODB_VALIDATE_CERTS": "x" * 20 + " " + "y" * 20}, "'x{20}' …"),
        ({**PAIR, "http_proxy": "socks5://proxy:1080"}, {}, "http_proxy is a SOCKS proxy"),
        (
            {**PAIR, "http_proxy": "socks5://proxy:1080"},
            {"NO_PROXY": "*"},
            r"http_proxy is a SOCKS proxy, which is not supported\. Set an http or https proxy\.$",
        ),
        (
            PAIR,
            {"all_proxy": "socks5h://proxy:1080"},
            "variable all_proxy is a SOCKS.*NO_PROXY does not exempt cloud.mongodb.com",
        ),
        (
            PAIR,
            {"ALL_PROXY": "SOCKS4://proxy:1080", "NO_PROXY": "localhost"},
            "variable ALL_PROXY is a SOCKS.*add cloud.mongodb.com to NO_PROXY",
        ),
        ({**PAIR, "http_proxy": "ftp://proxy"}, {}, "not the address"),
        ({**PAIR, "http_proxy": "http://"}, {}, "not the address"),
        (
            PAIR,
            {"MONGODB_ATLAS_BASE_URL": "x"},
            "variable MONGODB_ATLAS_BASE_URL is not a valid http",
        ),
        (PAIR, {"KEYSMITH_MONGODB_PLATFORM": "x" * 50 + " " + "y" * 30}, "'x{50}' …"),
        (
            {**PAIR, "validate_certs": False, "ca_path": "/ca"},
            {},
            "validate_certs is false, so ca_path would have no effect. Remove one of them",
        ),
        (
            {**PAIR, "ca_path": "/ca"},
            {"KEYSMITH_MONGODB_VALIDATE_CERTS": "no"},
            "variable KEYSMITH_MONGODB_VALIDATE_CERTS is false, so ca_path would have no effect",
        ),
    ],
)
def test_refuses_invalid_connection(
    options: dict[str, Any], environ: dict[str, str], message: str
) -> None:
    assert re.search(message, refusal(options, environ), re.DOTALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0.0}, r"timeout is 0\. It must be .* more than 0 and up to 86400"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"timeout": float("inf")}, "timeout is inf"),
        ({"time_limit": 0.0}, "time_limit is 0"),
        ({"wait_timeout": 86400.1}, "wait_timeout is 86400.1"),
        ({"verify_timeout": -1.0}, "verify_timeout is -1"),
        ({"retries": -1}, "retries is -1"),
        ({"retry_max_wait": -1.0}, "retry_max_wait is -1.* from 0 up to"),
        ({"api_user_id": "x"}, "api_user_id is 'x', which is not a valid ID"),
        ({"project_id": "x"}, "project_id is 'x', which is not a valid ID"),
        ({"public_key": "x"}, "public_key is not a valid public key"),
    ],
)
def test_refuses_invalid_shared_option(options: dict[str, Any], message: str) -> None:
    limits = {"timeout": float(_argspec.MAX_SECONDS), "retries": 0, "retry_max_wait": 0.0}
    _argspec.check_shared({**params(), **limits})
    with pytest.raises(OptionError) as caught:
        _argspec.check_shared({**params(), **options})
    assert re.match(message, caught.value.message())


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({}, {}, "https://cloud.mongodb.com"),
        ({"platform": "cloud_manager"}, {}, "https://cloud.mongodb.com"),
        ({"base_url": "https://cloud.mongodbgov.com/"}, {}, "https://cloud.mongodbgov.com"),
        ({"base_url": "https://cloud.mongodb.com/api/atlas/v2"}, {}, "https://cloud.mongodb.com"),
        ({"base_url": "https://cloud.mongodb.com/api/atlas/v2//"}, {}, "https://cloud.mongodb.com"),
        ({**OPS, "base_url": "http://om:8080/api/public/v1.0/"}, {}, "http://om:8080"),
        ({**OPS, "base_url": "https://om/prefix/"}, {}, "https://om/prefix"),
        ({**OPS, "base_url": "https://[::1]:8443"}, {}, "https://[::1]:8443"),
        ({**OPS, "base_url": " https://om\n"}, {}, "https://om"),
        (OPS_UNSET, {"MCLI_OPS_MANAGER_URL": "http://om.example:80/"}, "http://om.example:80"),
        ({"base_url": "HTTP://a.example"}, {}, "http://a.example"),
        ({"base_url": "https://api/atlas/v2"}, {}, "https://api/atlas/v2"),
        ({}, {"MONGODB_ATLAS_BASE_URL": "https://a.example"}, "https://a.example"),
        ({}, {"MCLI_OPS_MANAGER_URL": "https://om.example"}, "https://cloud.mongodb.com"),
        ({"base_url": "https://b"}, {"MONGODB_ATLAS_BASE_URL": "https://a"}, "https://b"),
        ({"base_url": "https://h/X/"}, {}, "https://h/X"),
        ({"base_url": "https://h/X//api/atlas/v2"}, {}, "https://h/X"),
        ({"base_url": f"https://{LONGEST_HOST}"}, {}, f"https://{LONGEST_HOST}"),
        ({"base_url": "https://[fe80::1%25eth0]"}, {}, "https://[fe80::1%25eth0]"),
    ],
)
def test_base_url_comes_from_task_environment_or_platform(
    options: dict[str, Any], environ: dict[str, str], expected: str
) -> None:
    assert resolve(params(**{**PAIR, **options}), environ).base_url == expected


@pytest.mark.parametrize(
    ("platform", "url", "message"),
    [
        ("ops_manager", None, "no default address.*MCLI_OPS_MANAGER_URL"),
        (
            "atlas",
            "ftp://x",
            r"not a valid http or https URL\. Example: https://opsmanager\.example\.com:8443\.$",
        ),
        ("atlas", "cloud.mongodb.com", "not a valid http or https"),
        ("atlas", "https://", "not a valid http or https"),
        ("atlas", "https://user:secret@x", "username or password"),
        ("atlas", "https://x?y=1", "query or a fragment"),
        ("atlas", "https://x:99999", "not a valid http or https"),
        ("atlas", "https://x\n.evil", "not a valid http or https"),
        ("atlas", "https://x y", "not a valid http or https"),
        ("atlas", "https://x:0", "not a valid http or https"),
        ("atlas", f"https://x{LONGEST_HOST}", "not a valid http or https"),
        ("atlas", "https://[::1::]", "not a valid http or https"),
        ("atlas", "https://x/a\\b", "not a valid http or https"),
        ("atlas", "https://:secret@x", "username or password"),
        ("atlas", "https://x?", "query or a fragment"),
        ("atlas", "https://x#y", "query or a fragment"),
        (
            "atlas",
            "https://x/api/public/v1.0",
            "base_url ends in /api/public/v1.0, .* MongoDB Atlas.* to cloud_manager or ops_manager",
        ),
        ("ops_manager", "https://x/api/atlas/v2/", "platform to atlas"),
    ],
)
def test_refuses_invalid_base_url(platform: str, url: str | None, message: str) -> None:
    refused = refusal({**PAIR, "platform": platform, "base_url": url}, {})
    assert re.search(message, refused, re.DOTALL)
    assert "secret" not in refused


def test_platform_comes_from_task_then_environment_then_is_atlas() -> None:
    environ = {"KEYSMITH_MONGODB_PLATFORM": "cloud_manager"}
    assert resolve(params(**PAIR), {}).platform.name == "atlas"
    assert resolve(params(**PAIR), environ).platform.name == "cloud_manager"
    assert resolve(params(**PAIR, platform="atlas"), environ).platform.name == "atlas"


def test_org_id_comes_from_the_variable_of_the_platform() -> None:
    environ = {"MONGODB_ATLAS_ORG_ID": "a" * 24, "MCLI_ORG_ID": "b" * 24}
    assert resolve(params(**PAIR), environ).org_id == "a" * 24
    assert resolve(params(**PAIR, **OPS), environ).org_id == "b" * 24
    assert resolve(params(**PAIR, org_id=ORG), environ).org_id == ORG
    assert resolve(params(**PAIR), {}).org_id is None


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({}, {}, (None, None)),
        (
            {"http_proxy": "http://p:1"},
            {"https_proxy": "http://q:2", "no_proxy": "*"},
            ("http://p:1", None),
        ),
        ({}, {"HTTPS_PROXY": "http://q:2", "http_proxy": "http://r:3"}, ("http://q:2", None)),
        ({}, {"https_proxy": "http://l:1", "HTTPS_PROXY": "http://u:2"}, ("http://l:1", None)),
        ({}, {"ALL_PROXY": "http://p:1", "NO_PROXY": "x"}, ("http://p:1", "x")),
        ({"base_url": "http://a"}, {"HTTPS_PROXY": "http://q:2"}, (None, None)),
        ({"base_url": "http://a"}, {"http_proxy": "http://r:3"}, ("http://r:3", None)),
        ({"http_proxy": "https://p:1"}, {}, ("https://p:1", None)),
    ],
)
def test_proxy_comes_from_task_then_environment(
    options: dict[str, Any], environ: dict[str, str], expected: tuple[str | None, str | None]
) -> None:
    http = resolve(params(**PAIR, **options), environ).http
    assert (http.proxy, http.no_proxy) == expected


@pytest.mark.parametrize("proxy", ["socks5://u:canary@p:1", "u:canary@p:1", "ftp://p"])
@pytest.mark.parametrize("no_proxy", ["NO_PROXY", "no_proxy"])
def test_ignores_invalid_proxy_if_no_proxy_exempts_the_host(proxy: str, no_proxy: str) -> None:
    environ = {"ALL_PROXY": proxy, no_proxy: "localhost,.mongodb.com"}
    connection = resolve(params(**PAIR), environ)
    assert not Http(connection.http, Clock(), connection.base_url)._proxies


@pytest.mark.parametrize("proxy", ["proxy.example.com:3128", "u:canary@p:1", "//p:1"])
@pytest.mark.parametrize("source", ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_refuses_proxy_without_scheme(proxy: str, source: str) -> None:
    options, environ = ({source: proxy}, {}) if source == "http_proxy" else ({}, {source: proxy})
    message = refusal({**PAIR, **options}, environ)
    name = source if source == "http_proxy" else f"The environment variable {source}"
    assert message.startswith(f"{name} is not the address of an http or https proxy")
    assert "u:" not in message
    assert message.endswith(" Example: http://proxy.example.com:3128.")


SERVICE_SECRET = "mdb_sa_sk_canary"


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("api_private_key", SERVICE_SECRET, "private key .* client secret .* Use client_id and"),
        ("api_private_key", CLIENT_ID, "private key .* client ID .* Use client_id and"),
        ("api_public_key", SERVICE_SECRET, "public key .* client secret .* Use client_id and"),
        ("api_public_key", CLIENT_ID, "public key .* client ID .* Use client_id and"),
        ("api_public_key", UUID, "public key looks like a private key. Are the two swapped"),
        ("client_id", SERVICE_SECRET, "client ID looks like the client secret.* swapped"),
        ("client_id", UUID, "client ID looks like a private key.* api_public_key and"),
        ("client_secret", CLIENT_ID, "client secret looks like the client ID.* swapped"),
        ("client_secret", UUID, "client secret looks like a private key.* api_public_key and"),
        ("access_token", SERVICE_SECRET, "token looks like the client secret.* Use client_id and"),
        ("access_token", CLIENT_ID, "token looks like the client ID.* Use client_id and"),
        ("access_token", UUID, "token looks like a private key.* api_public_key and"),
    ],
)
@pytest.mark.parametrize("source", ["task", "environment"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_credential_in_the_wrong_place_is_identified_and_not_shown(
    part: str, value: str, message: str, source: str, end: str
) -> None:
    whole = next(kind for kind in (PAIR, ACCOUNT, TOKEN) if part in kind)
    values = {**whole, part: value + end}
    variables = {
        "api_public_key": "MONGODB_ATLAS_PUBLIC_API_KEY",
        "api_private_key": "MONGODB_ATLAS_PRIVATE_API_KEY",
        "client_id": "MONGODB_ATLAS_CLIENT_ID",
        "client_secret": "MONGODB_ATLAS_CLIENT_SECRET",
        "access_token": "MONGODB_ATLAS_ACCESS_TOKEN",
    }
    environ = {variables[name]: text for name, text in values.items()}
    refused = refusal(*((values, {}) if source == "task" else ({}, environ)))
    assert re.search(message, refused)
    assert (part if source == "task" else variables[part]) in refused
    assert not any(secret in refused for secret in (SERVICE_SECRET, UUID, CLIENT_ID))


def test_does_not_advise_a_service_account_on_ops_manager() -> None:
    message = refusal({**OPS, **PAIR, "api_private_key": SERVICE_SECRET}, {})
    assert "Ops Manager has no service accounts: use the key pair of an API key" in message


def test_ca_comes_from_task_then_environment_then_system(tmp_path: Path) -> None:
    files = {name: str(tmp_path / name) for name in ("option", "own", "requests", "curl")}
    for path in files.values():
        Path(path).write_text("certificate")
    environ = {
        "KEYSMITH_MONGODB_CA_PATH": files["own"],
        "REQUESTS_CA_BUNDLE": files["requests"],
        "CURL_CA_BUNDLE": files["curl"],
    }
    assert resolve(params(**PAIR, ca_path=files["option"]), environ).http.verify == files["option"]
    for name, expected in zip(environ.copy(), ("own", "requests", "curl")):
        assert resolve(params(**PAIR), environ).http.verify == files[expected]
        del environ[name]
    directory = tmp_path / "hashed"
    directory.mkdir()
    (directory / "0a1b2c3d.0").touch()
    assert resolve(params(**PAIR, ca_path=str(directory)), {}).http.verify == str(directory)
    system = resolve(params(**PAIR), {}).http.verify
    assert system is True or Path(str(system)).exists()


def test_refuses_unreadable_ca_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "listdir", mock.Mock(side_effect=PermissionError(13, "Not you")))
    message = refusal({**PAIR, "ca_path": str(tmp_path)}, {})
    assert f"ca_path is the directory {tmp_path}, which cannot be read (Not you)" in message
    # An unreadable system directory is ignored, because requests has its own bundle.
    monkeypatch.setattr(_resolve, "_SYSTEM_CA_BUNDLES", ())
    paths = SimpleNamespace(cafile=None, capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert resolve(params(**PAIR), {}).http.verify is True


def test_finds_ca_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, hashed, other = (tmp_path / name for name in ("bundle.pem", "hashed", "other"))
    bundle.touch()
    for directory, name in ((hashed, "0a1b2c3d.0"), (other, "ca.pem")):
        directory.mkdir()
        (directory / name).touch()
    monkeypatch.setattr(_resolve, "_SYSTEM_CA_BUNDLES", (str(tmp_path / "nowhere"),))
    for cafile, capath, expected in (
        (str(bundle), str(hashed), str(bundle)),
        (str(tmp_path / "nowhere"), str(hashed), str(hashed)),
        (None, str(hashed), str(hashed)),
        (None, str(other), True),
        (None, str(tmp_path / "nowhere"), True),
        (None, None, True),
    ):
        paths = SimpleNamespace(cafile=cafile, capath=capath)
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda paths=paths: paths)
        assert resolve(params(**PAIR), {}).http.verify == expected
    monkeypatch.setattr(_resolve, "_SYSTEM_CA_BUNDLES", (str(bundle),))
    assert resolve(params(**PAIR), {}).http.verify == str(bundle)


def test_validate_certs_comes_from_task_then_environment() -> None:
    off = {"KEYSMITH_MONGODB_VALIDATE_CERTS": "no"}
    on = resolve(params(**PAIR, validate_certs=True), off)
    assert on.http.verify is not False
    assert on.warnings == ()
    variable = "The environment variable KEYSMITH_MONGODB_VALIDATE_CERTS"
    for source, connection in (
        (variable, resolve(params(**PAIR), off)),
        ("validate_certs", resolve(params(**PAIR, validate_certs=False), {})),
    ):
        assert connection.http.verify is False
        (warning,) = connection.warnings
        assert f"not verified: {source} is false." in warning
        assert "between this host and cloud.mongodb.com can" in warning


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *((word, True) for word in ("1", "true", "yes", "on", "y", "t", " TRUE ", "", " ")),
        *((word, False) for word in ("0", "false", "no", "off", "n", "f", "Off\n")),
    ],
)
def test_environment_accepts_ansible_booleans(word: str, expected: bool) -> None:
    environ = {"KEYSMITH_MONGODB_VALIDATE_CERTS": word}
    assert (resolve(params(**PAIR), environ).http.verify is not False) is expected


@pytest.mark.parametrize("envelope", [True, False])
def test_envelope_comes_from_the_task(envelope: bool) -> None:
    assert resolve(params(**PAIR, envelope=envelope), {}).envelope is envelope


def test_limits_reach_the_transport() -> None:
    limits = {"timeout": 7.0, "retries": 0, "retry_max_wait": 0.0}
    http = resolve(params(**PAIR, **limits), {}).http
    assert (http.timeout, http.retries, http.retry_max_wait) == tuple(limits.values())


def test_description_has_1_to_250_characters() -> None:
    for text in ("x", "x" * 250):
        _argspec.check_description("description", text)
    for text in ("", "x" * 251):
        with pytest.raises(OptionError, match=f"has {len(text)} characters"):
            _argspec.check_description("description", text)


def test_lists_all_unknown_roles() -> None:
    with pytest.raises(OptionError, match="'ORG_EMPEROR', 'ORG_KING' in roles is not"):
        _argspec.check_roles("atlas", ["ORG_EMPEROR", "ORG_OWNER", "ORG_KING"])


@pytest.mark.parametrize(
    ("check", "roles", "message"),
    [
        (partial(_argspec.check_roles, "atlas"), [], "but a key must have"),
        (partial(_argspec.check_roles, "atlas"), ["GROUP_OWNER"], "with project_api_key\\.$"),
        (_argspec.check_project_roles, [], "a key in .* the key .*, use project_api_key with"),
        (_argspec.check_project_roles, ["ORG_OWNER"], "with org_api_key\\.$"),
        (_argspec.check_org_role_names, ["GROUP_OWNER"], "find the keys of"),
    ],
)
def test_wrong_roles_of_a_key_name_the_module_to_use(
    check: Callable[[list[str]], None], roles: list[str], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        check(roles)
    assert re.search(message, caught.value.message())


def test_refuses_unusable_tls_files(tmp_path: Path) -> None:
    plain, encrypted, empty = (tmp_path / name for name in ("plain.pem", "encrypted.pem", "empty"))
    plain.write_text("-----BEGIN PRIVATE KEY-----\n")
    encrypted.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    empty.write_text("")
    missing = str(tmp_path / "missing")
    cases = [
        ({"ca_path": missing}, {}, "ca_path is .*cannot be read"),
        ({"ca_path": str(tmp_path)}, {}, "openssl rehash"),
        ({"ca_path": "/dev/null"}, {}, "which is not a regular file"),
        ({"ca_path": "a\0b"}, {}, "contains a NUL character"),
        ({}, {"KEYSMITH_MONGODB_CA_PATH": missing}, "variable KEYSMITH_MONGODB_CA_PATH"),
        ({"client_key": str(plain)}, {}, "without client_cert"),
        (
            {},
            {"KEYSMITH_MONGODB_CLIENT_KEY": str(plain)},
            "KEYSMITH_MONGODB_CLIENT_KEY is set without KEYSMITH_MONGODB_CLIENT_CERT",
        ),
        ({"client_cert": missing}, {}, "client_cert is .*cannot be read"),
        ({"client_cert": str(empty), "client_key": str(encrypted)}, {}, "encrypted"),
        ({"client_cert": str(encrypted)}, {}, "encrypted"),
        ({"client_cert": str(empty)}, {}, "no private key.*client_key"),
        ({"client_cert": str(plain), "client_key": missing}, {}, "client_key is .*cannot be read"),
        ({"client_cert": str(plain), "client_key": str(empty)}, {}, r"private key in \S*empty\.$"),
    ]
    for options, environ, message in cases:
        assert re.search(message, refusal({**PAIR, **options}, environ))


def test_client_certificate_is_one_file_or_two_of_the_same_source(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text("-----BEGIN PRIVATE KEY-----\n")
    path = str(both)
    assert resolve(params(**PAIR, client_cert=path), {}).http.cert == path
    assert resolve(params(**PAIR, client_cert=path, client_key=path), {}).http.cert == (path, path)
    environ = {"KEYSMITH_MONGODB_CLIENT_CERT": path, "KEYSMITH_MONGODB_CLIENT_KEY": path}
    assert resolve(params(**PAIR), environ).http.cert == (path, path)
    assert resolve(params(**PAIR, client_cert=path), environ).http.cert == path


def test_finds_secrets_in_options_and_environment() -> None:
    options = params(
        api_private_key="secrets/1",
        client_id=CLIENT_ID,
        client_secret="secrets2",
        access_token="secrets3",
        http_proxy="http://user:secrets%2F4@proxy",
        base_url="https://user:secrets5@host",
    )
    # The token that the module access_token revokes.
    options["token"] = "secrets/6"
    environ = {
        "MONGODB_ATLAS_PRIVATE_API_KEY": "environ1",
        "MONGODB_ATLAS_PRIVATE_KEY": "environ2",
        "MONGODB_ATLAS_CLIENT_ID": "id",
        "MONGODB_ATLAS_CLIENT_SECRET": "environ3",
        "MONGODB_ATLAS_ACCESS_TOKEN": "environ4",
        "MCLI_PRIVATE_API_KEY": "environ5",
        "HTTPS_PROXY": "user:environ6@proxy",
        "MCLI_OPS_MANAGER_URL": "https://user:environ7@host",
        # Too short to be masked.
        "ALL_PROXY": "http://user:backup1@proxy",
        # Not used by the module.
        "FTP_PROXY": "http://user:other@proxy",
    }
    found = masked(options, environ)
    basic = [f"{CLIENT_ID}:secrets2", "id:environ3", "user:secrets/4", "user:environ6"]
    assert found >= {
        "secrets/1",
        "secrets%2F1",
        "secrets2",
        "secrets3",
        "secrets%2F4",
        "secrets/4",
        "secrets5",
        "secrets%2F6",
    }
    assert found >= {f"environ{number}" for number in range(1, 8)}
    assert found >= {base64.b64encode(text.encode()).decode() for text in basic}
    assert not found & {"", "backup1", "user", "id", "other", CLIENT_ID, "abcdefgh"}


def test_short_secrets_are_withheld_from_messages_and_not_masked() -> None:
    for number in range(1, 12):
        secret = "backupwords"[:number]
        environ = {"HTTPS_PROXY": f"https://user:{secret}@host"}
        found, withheld = _secrets.find_secrets(params(), environ)
        assert (secret in found) == (number >= 8)
        assert (secret in withheld) == (4 <= number < 8)
        assert base64.b64encode(f"user:{secret}".encode()).decode() in found


@pytest.mark.parametrize(
    "options",
    [
        *({name: UUID} for name in ("api_public_key", "org_id", "client_id", "base_url")),
        {"org_id": "mdb_sa_sk_abc"},
        {"org_id": f"{UUID}\n"},
        {"api_keys": [{"description": "x", "projects": [{"project_id": UUID}]}]},
    ],
)
def test_finds_secret_in_the_wrong_option(options: dict[str, Any]) -> None:
    assert {UUID, "mdb_sa_sk_abc", f"{UUID}\n"} & masked({**params(), **options}, {})


@pytest.mark.parametrize(
    "place",
    [
        {"description": "{}"},
        {"keep": ["{}"]},
        {"descriptions": ["a", "{}"]},
        {"api_keys": [{"description": "{}"}]},
        {"body": {"jobs": [{"id": "{}"}]}},
        {"query": {"id": "{}"}},
    ],
    ids=str,
)
def test_free_text_may_be_a_uuid_but_not_a_client_secret(place: dict[str, Any]) -> None:
    text = json.dumps(place)
    assert not masked({**params(), **json.loads(text.replace("{}", UUID))}, {})
    for value in ("mdb_sa_sk_1", " mdb_sa_sk_1"):
        found = masked({**params(), **json.loads(text.replace("{}", value))}, {})
        assert found == _secrets.secret_forms(value)


def test_withheld_secrets_have_forms_for_json_and_for_each_line() -> None:
    found = _secrets.withheld_forms(['a "b"\nline', "abc"])
    parts = ['a "b"\nline', 'a "b"', "line", r"a \"b\"\nline", r"a \"b\""]
    assert found == {form for part in parts for form in _secrets.secret_forms(part)}


def test_a_secret_has_forms_for_urls_html_forms_and_base64() -> None:
    of_urls = {"a%20/b%3F~", "a%20%2Fb%3F~", "a%20%2fb%3f~", "a%20/b%3f~"}
    of_forms = {"a+%2Fb%3F~", "a+%2fb%3f~"}
    packed = {"YSAvYj9+", "YSAvYj9-"}
    assert _secrets.secret_forms("a /b?~") == {"a /b?~", *of_urls, *of_forms, *packed}
    assert _secrets.secret_forms("pass") == {"pass", "cGFzcw==", "cGFzcw"}


def test_client_secret_alone_has_no_basic_form() -> None:
    secret = "mdb_sa_sk_2"
    assert masked(params(client_secret=secret), {}) == _secrets.secret_forms(secret)


@pytest.mark.parametrize(
    ("scheme", "password"),
    [("http://", "p@ss:word"), ("", "p@ss:word"), ("http://", "pass://word")],
)
def test_password_in_a_url_may_contain_delimiters(scheme: str, password: str) -> None:
    basic = base64.b64encode(f"user:{password}".encode()).decode()
    found = masked(params(), {"HTTPS_PROXY": f"{scheme}user:{password}@proxy"})
    assert found == {form for secret in (password, basic) for form in _secrets.secret_forms(secret)}


@pytest.mark.parametrize("url", ["http://proxy:3128", "proxy:3128", "http://user:@proxy", "@x"])
def test_url_without_a_secret_masks_nothing(url: str) -> None:
    assert masked(params(), {"HTTPS_PROXY": url}) == set()


def test_user_in_a_url_may_be_a_token() -> None:
    assert "a-token-" in masked(params(base_url="https://a-token-@host"), {})


def test_finds_secrets_that_are_not_valid_text() -> None:
    environ = {
        "MONGODB_ATLAS_CLIENT_ID": "\udcff",
        "MONGODB_ATLAS_CLIENT_SECRET": "environ\udcfe",
        "MONGODB_ATLAS_PRIVATE_KEY": "environ\udcfd",
        "HTTPS_PROXY": "http://\udcfc:environ\udcfb@proxy",
    }
    found = masked(params(), environ)
    assert all(secret in found for secret in ("environ\udcfe", "environ\udcfd", "environ\udcfb"))


def test_repr_has_no_secret() -> None:
    for secret in ("api_private_key", "client_secret", "access_token"):
        kind = next(kind for kind in (PAIR, ACCOUNT, TOKEN) if secret in kind)
        options = params(**{**kind, secret: "canary"}, http_proxy="http://u:canary@p")
        assert "canary" not in repr(resolve(options, {}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("abcdefgh", "looks like a public key: use public_key"),
        (CLIENT_ID, "client ID of a service account"),
        ("ABCDEF", "24 lowercase hexadecimal digits"),
        (UUID, "api_user_id is hidden"),
        ("../../../orgs", "24 lowercase hexadecimal digits"),
        (ORG + "\n", "24 lowercase hexadecimal digits"),
        ("x" * 50 + " " + "y" * 30, "api_user_id is 'x{50}' …, which"),
    ],
)
def test_refuses_invalid_id(value: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        _argspec.check_id("api_user_id", value)
    assert re.search(message, caught.value.message())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("abcdefgh", "service_account_id is 'abcdefgh', .* mdb_sa_id_ .* modules for API keys"),
        (ORG, f"service_account_id is '{ORG}', .* use the modules for API keys"),
        (UUID, "service_account_id is hidden, which is not"),
        ("builds", "service_account_id is 'builds', .* To use a name, set name.$"),
        ("x" * 50 + " " + "y" * 30, "service_account_id is 'x{50}' …, which"),
    ],
)
def test_refuses_an_invalid_client_id(value: str, message: str) -> None:
    account = {"platform": "atlas", "name": None, "service_account_id": value}
    with pytest.raises(OptionError) as caught:
        _argspec.check_account(account)
    assert re.search(message, caught.value.message())


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "name has 0"), ("n" * 65, "name has 65"), ("a/b+c", "name contains '\\+', '/'")],
)
def test_refuses_an_invalid_name_of_an_account(text: str, message: str) -> None:
    account = {"platform": "atlas", "name": "n" * 64, "service_account_id": None}
    _argspec.check_account(account)
    with pytest.raises(OptionError, match=message):
        _argspec.check_account({**account, "name": text})


def test_refuses_a_lifetime_that_no_secret_can_have() -> None:
    for hours in (None, 8, 8760):
        _argspec.check_hours("secret_expires_after_hours", hours)
    for hours in (7, 8761):
        with pytest.raises(OptionError, match=f"secret_expires_after_hours is {hours}"):
            _argspec.check_hours("secret_expires_after_hours", hours)


@pytest.mark.parametrize(
    ("host", "has_warning"),
    [
        ("ops.example.com", True),
        ("10.0.0.7", True),
        ("[2001:db8::1]", True),
        ("localhost.example.com", True),
        ("notlocalhost", True),
        ("128.0.0.1", True),
        ("localhost", False),
        ("LocalHost.", False),
        ("ops.localhost", False),
        ("127.0.0.1", False),
        ("127.8.9.10:8080", False),
        ("[::1]:8080", False),
    ],
)
def test_warns_of_unencrypted_credential(host: str, has_warning: bool) -> None:
    for credentials in (ACCOUNT, TOKEN):
        connection = resolve(params(**credentials, base_url=f"http://{host}"), {})
        assert bool(connection.warnings) == has_warning
        assert resolve(params(**credentials, base_url=f"https://{host}"), {}).warnings == ()
    assert resolve(params(**PAIR, base_url=f"http://{host}"), {}).warnings == ()
