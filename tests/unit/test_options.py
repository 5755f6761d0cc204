# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options: what is taken from where, and what is refused before any request."""

from __future__ import annotations

import base64
import os
import re
import ssl
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
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._secrets import (
    find_secrets,
    find_short_secrets,
)
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
# Two hundred and fifty-four characters.
LONGEST_HOST = ".".join(["x" * 61] * 4) + ".xxxxx."
OPS = {"platform": "ops_manager", "base_url": "https://om.example.com"}


def params(**given: Any) -> dict[str, Any]:
    """All connection options as AnsibleModule hands them over, with these given."""
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


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", None), ([""], [""]), (None, None), ([], []), ("x", "x"), (0, 0), (False, False)],
)
def test_what_an_unanswered_survey_sends_is_not_given(value: Any, expected: Any) -> None:
    assert _argspec.given(value) == expected
    assert type(_argspec.given(value)) is type(expected)


def test_no_option_has_a_fallback() -> None:
    assert not [name for name, option in CONNECTION_OPTIONS.items() if "fallback" in option]


def test_every_secret_option_has_no_log() -> None:
    hidden = {name for name, option in CONNECTION_OPTIONS.items() if option.get("no_log")}
    assert hidden == {"api_private_key", "client_secret", "access_token", "http_proxy"}


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        (PAIR, {}, KeyPair("abcdefgh", "private")),
        (ACCOUNT, {}, ServiceAccount(CLIENT_ID, "mdb_sa_sk_secret")),
        (TOKEN, {}, AccessToken("token")),
        ({}, ENV_PAIR, KeyPair("envpublc", "envprivate")),
        ({}, ENV_OLD_PAIR, KeyPair("oldpublc", "oldprivate")),
        ({}, {**ENV_OLD_PAIR, **ENV_PAIR}, KeyPair("envpublc", "envprivate")),
        ({}, ENV_ACCOUNT, ServiceAccount(CLIENT_ID, "envsecret")),
        ({}, ENV_TOKEN, AccessToken("envtoken")),
        # The task beats the environment, of another kind too, however much is in there.
        (PAIR, {**ENV_ACCOUNT, **ENV_TOKEN}, KeyPair("abcdefgh", "private")),
        (TOKEN, ENV_PAIR, AccessToken("token")),
        (
            ACCOUNT,
            {"MONGODB_ATLAS_PUBLIC_KEY": "half"},
            ServiceAccount(CLIENT_ID, ACCOUNT["client_secret"]),
        ),
        # Empty strings are not given.
        (
            {**PAIR, "client_id": "", "client_secret": "", "access_token": ""},
            {},
            KeyPair("abcdefgh", "private"),
        ),
        ({"api_public_key": "", "api_private_key": ""}, ENV_TOKEN, AccessToken("envtoken")),
        ({}, {**ENV_PAIR, "MONGODB_ATLAS_ACCESS_TOKEN": ""}, KeyPair("envpublc", "envprivate")),
        # Each platform reads its own variables and never another's.
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
    ("options", "environ", "words"),
    [
        ({}, {}, "No credential is set.*MONGODB_ATLAS_PUBLIC_API_KEY"),
        (OPS, {**ENV_PAIR, **ENV_TOKEN}, "No credential is set.*MCLI_PUBLIC_API_KEY"),
        ({}, ENV_MCLI, "No credential is set"),
        ({"api_public_key": "abcdefgh"}, {}, "api_public_key is set, and api_private_key is not"),
        ({"api_private_key": "x"}, ENV_PAIR, "api_private_key is set, and api_public_key is not"),
        ({"client_id": CLIENT_ID}, {}, "client_id is set, and client_secret is not"),
        ({"client_secret": "x", **PAIR}, {}, "client_secret is set, and client_id is not"),
        (
            {},
            {"MONGODB_ATLAS_PUBLIC_API_KEY": "x"},
            "MONGODB_ATLAS_PUBLIC_API_KEY is set, and MONGODB_ATLAS_PRIVATE_API_KEY is not",
        ),
        (
            {},
            {"MONGODB_ATLAS_PRIVATE_KEY": "x"},
            "MONGODB_ATLAS_PRIVATE_KEY is set, and MONGODB_ATLAS_PUBLIC_KEY is not",
        ),
        # Halves of the new and of the old names are no pair.
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
        ({"client_id": "abcdefgh", "client_secret": "x"}, {}, "no id of a service account"),
        ({**OPS, **ACCOUNT}, {}, "Ops Manager has no service accounts"),
        ({**OPS, **TOKEN}, {}, "Ops Manager has no service accounts"),
        ({"api_public_key": UUID, "api_private_key": "abcdefgh"}, {}, "Are the two swapped"),
        ({"api_public_key": "a\nb", "api_private_key": "x"}, {}, "public key has characters"),
        ({"api_public_key": 'a"b', "api_private_key": "x"}, {}, "public key has characters"),
        (
            {"api_public_key": "abcdefgh", "api_private_key": "x\n"},
            {},
            "private key has characters",
        ),
        ({"access_token": "Bearer x"}, {}, "without the word Bearer"),
        ({"access_token": "x\r\nX-Evil: 1"}, {}, "without the word Bearer"),
        ({"client_id": CLIENT_ID, "client_secret": "a b"}, {}, "client secret has blanks"),
        (
            {**PAIR, "org_id": "5980CFDF0b6d97029d82f86e"},
            {},
            "org_id is .*valid ID.*lowercase",
        ),
        ({**PAIR, "org_id": "../../x"}, {}, "not a valid ID"),
        ({**PAIR, "org_id": ORG + "\n"}, {}, "not a valid ID"),
        (PAIR, {"MONGODB_ATLAS_ORG_ID": "nonsense"}, "MONGODB_ATLAS_ORG_ID is .*not a valid ID"),
        ({**PAIR, "timeout": 0.0}, {}, "timeout is 0"),
        ({**PAIR, "timeout": float("nan")}, {}, "timeout is nan"),
        ({**PAIR, "timeout": float("inf")}, {}, "timeout is inf"),
        ({**PAIR, "retries": -1}, {}, "retries is -1"),
        ({**PAIR, "retry_max_wait": -1.0}, {}, "retry_max_wait is -1"),
        (PAIR, {"KEYSMITH_MONGODB_PLATFORM": "cosmos"}, "cosmos.*one of atlas"),
        (PAIR, {"KEYSMITH_MONGODB_VALIDATE_CERTS": "perhaps"}, "true or false"),
        (PAIR, {"KEYSMITH_MONGODB_VALIDATE_CERTS": "x" * 20 + " " + "y" * 20}, "'x{20}' …"),
        ({**PAIR, "http_proxy": "socks5://proxy:1080"}, {}, "http_proxy names a SOCKS proxy"),
        (
            {**PAIR, "http_proxy": "socks5://proxy:1080"},
            {"NO_PROXY": "*"},
            "http_proxy names a SOCKS proxy, which is not supported. Name an http or https proxy.",
        ),
        (
            PAIR,
            {"all_proxy": "socks5h://proxy:1080"},
            "variable all_proxy names a SOCKS.*NO_PROXY does not exempt cloud.mongodb.com",
        ),
        (
            PAIR,
            {"ALL_PROXY": "SOCKS4://proxy:1080", "NO_PROXY": "localhost"},
            "variable ALL_PROXY names a SOCKS.*add cloud.mongodb.com to NO_PROXY",
        ),
        ({**PAIR, "http_proxy": "ftp://proxy"}, {}, "no address"),
        ({**PAIR, "http_proxy": "http://"}, {}, "no address"),
        (PAIR, {"MONGODB_ATLAS_BASE_URL": "x"}, "variable MONGODB_ATLAS_BASE_URL is no http"),
        (PAIR, {"KEYSMITH_MONGODB_PLATFORM": "x" * 50 + " " + "y" * 30}, "'x{50}' …"),
    ],
)
def test_bad_input_is_refused(options: dict[str, Any], environ: dict[str, str], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        resolve(params(**options), environ)
    assert_says(caught.value, words)


def assert_says(error: OptionError, words: str) -> None:
    import re

    assert re.search(words, error.message(), re.DOTALL), error.message()


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
        ({"base_url": "HTTP://a.example"}, {}, "http://a.example"),
        ({"base_url": "https://api/atlas/v2"}, {}, "https://api/atlas/v2"),
        ({}, {"MONGODB_ATLAS_BASE_URL": "https://a.example"}, "https://a.example"),
        ({}, {"MCLI_OPS_MANAGER_URL": "https://om.example"}, "https://cloud.mongodb.com"),
        (
            {**OPS, "base_url": ""},
            {"MCLI_OPS_MANAGER_URL": "http://om.example:80/"},
            "http://om.example:80",
        ),
        ({"base_url": "https://b"}, {"MONGODB_ATLAS_BASE_URL": "https://a"}, "https://b"),
        ({"base_url": "https://h/X/"}, {}, "https://h/X"),
        ({"base_url": "https://h/X//api/atlas/v2"}, {}, "https://h/X"),
        ({"base_url": f"https://{LONGEST_HOST}"}, {}, f"https://{LONGEST_HOST}"),
        ({"base_url": "https://[fe80::1%25eth0]"}, {}, "https://[fe80::1%25eth0]"),
    ],
)
def test_base_url_is_found(options: dict[str, Any], environ: dict[str, str], expected: str) -> None:
    assert resolve(params(**{**PAIR, **options}), environ).base_url == expected


@pytest.mark.parametrize(
    ("platform", "url", "words"),
    [
        ("ops_manager", None, "no default address.*MCLI_OPS_MANAGER_URL"),
        ("ops_manager", "", "no default address"),
        ("atlas", "ftp://x", "no http or https"),
        ("atlas", "cloud.mongodb.com", "no http or https"),
        ("atlas", "https://", "no http or https"),
        ("atlas", "https://user:secret@x", "user or a password"),
        ("atlas", "https://@x", "user or a password"),
        ("atlas", "https://x?y=1", "query or a fragment"),
        ("atlas", "https://x#", "query or a fragment"),
        ("atlas", "https://x:99999", "no http or https"),
        ("atlas", "https://x:port", "no http or https"),
        ("atlas", "https://x\n.evil", "no http or https"),
        ("atlas", "https://x y", "no http or https"),
        ("atlas", "https://x:0", "no http or https"),
        ("atlas", f"https://x{LONGEST_HOST}", "no http or https"),
        ("atlas", "https://[::1::]", "no http or https"),
        ("atlas", "https://x/a\\b", "no http or https"),
        ("atlas", "https://:secret@x", "user or a password"),
        ("atlas", "https://x?", "query or a fragment"),
        ("atlas", "https://x/api/public/v1.0", "platform to cloud_manager or ops_manager"),
        ("ops_manager", "https://x/api/atlas/v2/", "platform to atlas"),
    ],
)
def test_bad_base_url_is_refused(platform: str, url: str | None, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        resolve(params(**PAIR, platform=platform, base_url=url), {})
    assert_says(caught.value, words)
    assert "secret" not in caught.value.message()


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
        ({"http_proxy": ""}, {"https_proxy": "http://q:2"}, ("http://q:2", None)),
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
def test_a_proxy_is_not_judged_for_a_host_that_is_exempt(proxy: str, no_proxy: str) -> None:
    environ = {"ALL_PROXY": proxy, no_proxy: "localhost,.mongodb.com"}
    connection = resolve(params(**PAIR), environ)
    assert not Http(connection.http, Clock(), connection.base_url)._proxies


@pytest.mark.parametrize("proxy", ["proxy.example.com:3128", "u:canary@p:1", "p", "//p:1"])
@pytest.mark.parametrize("source", ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_without_a_scheme_is_refused_by_its_source(proxy: str, source: str) -> None:
    options, environ = ({source: proxy}, {}) if source == "http_proxy" else ({}, {source: proxy})
    with pytest.raises(OptionError) as caught:
        resolve(params(**PAIR, **options), environ)
    message = caught.value.message()
    name = source if source == "http_proxy" else f"The environment variable {source}"
    assert message.startswith(f"{name} has the address of a proxy without a scheme")
    assert "Write http:// or https:// in front of it" in message
    assert "canary" not in message
    assert "u:" not in message


SERVICE_SECRET = "mdb_sa_sk_canary"


@pytest.mark.parametrize(
    ("part", "value", "words"),
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
def test_a_credential_in_place_of_another_is_told_and_not_shown(
    part: str, value: str, words: str, source: str, end: str
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
    with pytest.raises(OptionError) as caught:
        resolve(*((params(**values), {}) if source == "task" else (params(), environ)))
    assert_says(caught.value, words)
    message = caught.value.message()
    assert (part if source == "task" else variables[part]) in message
    assert not any(secret in message for secret in (SERVICE_SECRET, UUID, CLIENT_ID))


def test_a_service_account_is_not_advised_where_there_is_none() -> None:
    options = {**OPS, **PAIR, "api_private_key": SERVICE_SECRET}
    with pytest.raises(OptionError) as caught:
        resolve(params(**options), {})
    assert_says(caught.value, "Ops Manager has no service accounts: give the keys of an API key")


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
    system = resolve(params(**PAIR), {}).http.verify
    assert system is True or Path(str(system)).exists()


def test_a_folder_of_authorities_that_may_not_be_looked_into_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listdir", mock.Mock(side_effect=PermissionError(13, "Not you")))
    words = f"ca_path is the folder {tmp_path}, which cannot be read (Not you)"
    with pytest.raises(OptionError, match=re.escape(words)):
        resolve(params(**PAIR, ca_path=str(tmp_path)), {})
    # The system's may be no use to the module, and requests has its own.
    monkeypatch.setattr(_resolve, "_SYSTEM_CA_BUNDLES", ())
    paths = SimpleNamespace(cafile=None, capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert resolve(params(**PAIR), {}).http.verify is True


def test_ca_of_the_system_is_a_file_or_a_folder_of_hashed_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, hashed, other = (tmp_path / name for name in ("bundle.pem", "hashed", "other"))
    bundle.touch()
    for folder, name in ((hashed, "0a1b2c3d.0"), (other, "ca.pem")):
        folder.mkdir()
        (folder / name).touch()
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
    assert resolve(params(**PAIR), off).http.verify is False
    assert resolve(params(**PAIR, validate_certs=False), {}).http.verify is False
    assert resolve(params(**PAIR, validate_certs=True), off).http.verify is not False


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *((word, True) for word in ("1", "true", "yes", "on", "y", "t", " TRUE ", "", " ")),
        *((word, False) for word in ("0", "false", "no", "off", "n", "f", "Off\n")),
    ],
)
def test_the_environment_says_yes_and_no_in_ansible_s_words(word: str, expected: bool) -> None:
    environ = {"KEYSMITH_MONGODB_VALIDATE_CERTS": word}
    assert (resolve(params(**PAIR), environ).http.verify is not False) is expected


def test_all_limits_reach_the_transport() -> None:
    limits = {"timeout": float(_argspec.MAX_SECONDS), "retries": 0, "retry_max_wait": 0.0}
    http = resolve(params(**PAIR, **limits), {}).http
    assert (http.timeout, http.retries, http.retry_max_wait) == tuple(limits.values())
    assert resolve(params(**PAIR, retry_max_wait=7.0), {}).http.retry_max_wait == 7


def test_a_description_has_1_to_250_characters() -> None:
    for text in ("x", "x" * 250):
        _argspec.check_description("description", text)
    for text in ("", "x" * 251):
        with pytest.raises(
            OptionError, match=f"has {len(text)} characters; it has to have 1 to 250"
        ):
            _argspec.check_description("description", text)


def test_all_roles_that_are_none_are_named() -> None:
    with pytest.raises(OptionError, match="'ORG_EMPEROR', 'ORG_KING' in roles is no"):
        _argspec.check_roles("atlas", ["ORG_EMPEROR", "ORG_OWNER", "ORG_KING"])


def test_bad_tls_files_are_refused(tmp_path: Path) -> None:
    plain, encrypted, empty = (tmp_path / name for name in ("plain.pem", "encrypted.pem", "empty"))
    plain.write_text("-----BEGIN PRIVATE KEY-----\n")
    encrypted.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    empty.write_text("")
    missing = str(tmp_path / "missing")
    cases = [
        ({"ca_path": missing}, {}, "ca_path is .*cannot be read"),
        ({"ca_path": str(tmp_path)}, {}, "openssl rehash"),
        ({"ca_path": "/dev/null"}, {}, "which is no regular file"),
        ({"ca_path": "a\0b"}, {}, "it has a NUL, which no path has"),
        ({}, {"KEYSMITH_MONGODB_CA_PATH": missing}, "variable KEYSMITH_MONGODB_CA_PATH"),
        ({"client_key": str(plain)}, {}, "without client_cert"),
        (
            {},
            {"KEYSMITH_MONGODB_CLIENT_KEY": str(plain)},
            "KEYSMITH_MONGODB_CLIENT_KEY is given without KEYSMITH_MONGODB_CLIENT_CERT",
        ),
        ({"client_cert": missing}, {}, "client_cert is .*cannot be read"),
        ({"client_cert": str(empty), "client_key": str(encrypted)}, {}, "encrypted"),
        ({"client_cert": str(encrypted)}, {}, "encrypted"),
        ({"client_cert": str(empty)}, {}, "no private key.*client_key"),
        ({"client_cert": str(plain), "client_key": missing}, {}, "client_key is .*cannot be read"),
        ({"client_cert": str(plain), "client_key": str(empty)}, {}, r"private key in \S*empty\.$"),
    ]
    for options, environ, words in cases:
        with pytest.raises(OptionError) as caught:
            resolve(params(**PAIR, **options), environ)
        assert_says(caught.value, words)


def test_client_certificate_is_one_file_or_two(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text("-----BEGIN PRIVATE KEY-----\n")
    path = str(both)
    assert resolve(params(**PAIR, client_cert=path), {}).http.cert == path
    assert resolve(params(**PAIR, client_cert=path, client_key=path), {}).http.cert == (path, path)
    environ = {"KEYSMITH_MONGODB_CLIENT_CERT": path, "KEYSMITH_MONGODB_CLIENT_KEY": path}
    assert resolve(params(**PAIR), environ).http.cert == (path, path)
    # A certificate of the task is not mixed with a key of the environment.
    assert resolve(params(**PAIR, client_cert=path), environ).http.cert == path


def test_secrets_are_found_wherever_they_are() -> None:
    options = params(
        api_private_key="secrets/1",
        client_id=CLIENT_ID,
        client_secret="secrets2",
        access_token="secrets3",
        http_proxy="http://user:secrets%2F4@proxy",
        base_url="https://user:secrets5@host",
    )
    environ = {
        "MONGODB_ATLAS_PRIVATE_API_KEY": "environ1",
        "MONGODB_ATLAS_PRIVATE_KEY": "environ2",
        "MONGODB_ATLAS_CLIENT_ID": "id",
        "MONGODB_ATLAS_CLIENT_SECRET": "environ3",
        "MONGODB_ATLAS_ACCESS_TOKEN": "environ4",
        "MCLI_PRIVATE_API_KEY": "environ5",
        "HTTPS_PROXY": "user:environ6@proxy",
        "MCLI_OPS_MANAGER_URL": "https://user:environ7@host",
        # Too short to be masked: every result that has such a word would be spoilt.
        "ALL_PROXY": "http://user:backup1@proxy",
        # Of no use here.
        "FTP_PROXY": "http://user:other@proxy",
    }
    found = find_secrets(options, environ)
    basic = [f"{CLIENT_ID}:secrets2", "id:environ3", "user:secrets/4", "user:environ6"]
    assert found >= {
        "secrets/1",
        "secrets%2F1",
        "secrets2",
        "secrets3",
        "secrets%2F4",
        "secrets/4",
        "secrets5",
    }
    assert found >= {f"environ{number}" for number in range(1, 8)}
    assert found >= {base64.b64encode(text.encode()).decode() for text in basic}
    assert not found & {"", "backup1", "user", "id", "other", CLIENT_ID, "abcdefgh"}


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "MCLI_OPS_MANAGER_URL"])
def test_a_short_secret_is_kept_out_of_messages_and_not_masked(name: str) -> None:
    for number in range(1, 12):
        secret = "backupwords"[:number]
        environ = {name: f"https://user:{secret}@host", "MONGODB_ATLAS_PRIVATE_KEY": secret}
        found, short = find_secrets(params(), environ), find_short_secrets(params(), environ)
        assert (secret in found) == (number >= 8)
        assert (secret in short) == (4 <= number < 8)
        # The value of Basic is no word that anybody uses.
        assert base64.b64encode(f"user:{secret}".encode()).decode() in found


@pytest.mark.parametrize("option", ["api_public_key", "org_id", "client_id", "base_url"])
@pytest.mark.parametrize("secret", [UUID, "mdb_sa_sk_abc", f"{UUID}\n"])
def test_a_secret_in_the_wrong_place_is_one_too(option: str, secret: str) -> None:
    assert secret in find_secrets(params(**{option: secret}), {})


@pytest.mark.parametrize(
    "name", ["MONGODB_ATLAS_PUBLIC_API_KEY", "MCLI_PUBLIC_API_KEY", "MONGODB_ATLAS_CLIENT_ID"]
)
def test_a_secret_in_the_wrong_variable_is_one_too(name: str) -> None:
    assert UUID in find_secrets(params(), {name: UUID})


def test_a_secret_within_other_options_is_one_too() -> None:
    api_keys = [{"description": "x", "projects": [{"project_id": UUID}]}]
    assert UUID in find_secrets({**params(), "api_keys": api_keys}, {})


def test_a_secret_stands_in_urls_in_forms_and_as_base64() -> None:
    # With a slash kept or not, and with escapes in capitals or not.
    of_urls = {"a%20/b%3F~", "a%20%2Fb%3F~", "a%20%2fb%3f~", "a%20/b%3f~"}
    of_forms = {"a+%2Fb%3F~", "a+%2fb%3f~"}
    packed = {"YSAvYj9+", "YSAvYj9-"}
    assert _secrets.secret_forms("a /b?~") == {"a /b?~", *of_urls, *of_forms, *packed}
    assert _secrets.secret_forms("pass") == {"pass", "cGFzcw==", "cGFzcw"}


def test_half_a_service_account_makes_no_other_secret() -> None:
    secret = "mdb_sa_sk_2"
    assert find_secrets(params(client_secret=secret), {}) == _secrets.secret_forms(secret)


@pytest.mark.parametrize(
    ("scheme", "password"),
    [("http://", "p@ss:word"), ("", "p@ss:word"), ("http://", "pass://word")],
)
def test_a_password_in_a_url_may_have_what_parts_urls(scheme: str, password: str) -> None:
    basic = base64.b64encode(f"user:{password}".encode()).decode()
    found = find_secrets(params(), {"HTTPS_PROXY": f"{scheme}user:{password}@proxy"})
    assert found == {form for secret in (password, basic) for form in _secrets.secret_forms(secret)}


@pytest.mark.parametrize("url", ["http://proxy:3128", "proxy:3128", "http://user:@proxy", "@x"])
def test_a_url_may_have_no_secret(url: str) -> None:
    assert find_secrets(params(), {"HTTPS_PROXY": url}) == set()


def test_a_user_in_a_url_may_be_a_token() -> None:
    assert "a-token-" in find_secrets(params(base_url="https://a-token-@host"), {})


def test_bytes_that_are_no_text_are_hidden_too() -> None:
    environ = {
        "MONGODB_ATLAS_CLIENT_ID": "\udcff",
        "MONGODB_ATLAS_CLIENT_SECRET": "environ\udcfe",
        "MONGODB_ATLAS_PRIVATE_KEY": "environ\udcfd",
        "HTTPS_PROXY": "http://\udcfc:environ\udcfb@proxy",
    }
    found = find_secrets(params(), environ)
    assert all(secret in found for secret in ("environ\udcfe", "environ\udcfd", "environ\udcfb"))


def test_secrets_are_in_no_repr() -> None:
    for secret in ("api_private_key", "client_secret", "access_token"):
        kind = next(kind for kind in (PAIR, ACCOUNT, TOKEN) if secret in kind)
        options = params(**{**kind, secret: "canary"}, http_proxy="http://u:canary@p")
        assert "canary" not in repr(resolve(options, {}))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("abcdefgh", "looks like a public key: use public_key"),
        (CLIENT_ID, "client id of a service account"),
        ("ABCDEF", "24 lowercase hexadecimal digits"),
        (UUID, "api_user_id is hidden"),
        ("../../../orgs", "24 lowercase hexadecimal digits"),
        (ORG + "\n", "24 lowercase hexadecimal digits"),
        ("x" * 50 + " " + "y" * 30, "api_user_id is 'x{50}' …, which"),
    ],
)
def test_an_id_that_is_none_is_told_what_it_looks_like(value: str, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        _argspec.check_id("api_user_id", value)
    assert_says(caught.value, words)


@pytest.mark.parametrize(
    ("host", "is_warned_of"),
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
def test_a_credential_in_clear_is_warned_of(host: str, is_warned_of: bool) -> None:
    for credentials in (ACCOUNT, TOKEN):
        connection = resolve(params(**credentials, base_url=f"http://{host}"), {})
        assert bool(connection.warnings) == is_warned_of
        assert resolve(params(**credentials, base_url=f"https://{host}"), {}).warnings == ()
    assert resolve(params(**PAIR, base_url=f"http://{host}"), {}).warnings == ()
