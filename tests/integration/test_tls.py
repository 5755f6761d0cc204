# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS with a private certificate authority, client certificates, proxies and netrc.

Most tests run the module in this process; three tasks are real ones.
"""

from __future__ import annotations

import base64
import os
import ssl
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.emulator import Emulator, Fault
from tests.integration.peers import LOOPBACK, Authority, ForwardProxy, dead_port, private_pem
from tests.integration.playbook import MODULE, AnsibleSandbox
from tests.support import (
    Outcome,
    fetch_token,
    key_id,
    key_pair,
    org_id,
    run_module,
    seed,
    service_account,
)

PLATFORM = "atlas"
VICTIM = key_id(PLATFORM, 2)
# A name that DNS cannot resolve: only a proxy can connect to it.
ELSEWHERE = "http://opsmanager.invalid:8080"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that signed the server's certificate, and files that must not work."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.issue("server")
    authority.issue("wrong-host", "opsmanager.example.com")
    authority.issue("expired", days=-1)
    authority.issue("client", "client.example.com")
    Authority(folder, "other-ca").issue("other-client", "client.example.com")
    return authority


@pytest.fixture(scope="module")
def servers(authority: Authority) -> Iterator[dict[str, Emulator]]:
    """Running emulators by the name of their certificate; two require a client certificate."""
    files = {name: _files(authority, name) for name in ("server", "wrong-host", "expired")}
    files["mutual"] = (*files["server"], authority.file)
    servers = {name: Emulator(seed(), tls=tls) for name, tls in files.items()}
    older = Emulator(seed(), tls=files["mutual"])
    assert older.tls
    older.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    servers["mutual, TLS 1.2"] = older
    try:
        for server in servers.values():
            server.start()
        yield servers
    finally:
        for server in servers.values():
            server.stop()


@pytest.fixture
def server(servers: dict[str, Emulator]) -> Emulator:
    return _fresh(servers["server"])


@pytest.fixture
def mutual(servers: dict[str, Emulator]) -> Emulator:
    return _fresh(servers["mutual"])


def _fresh(emulator: Emulator) -> Emulator:
    emulator.reset()
    return emulator


def _files(authority: Authority, name: str) -> tuple[Any, ...]:
    return authority.folder / f"{name}.pem", authority.folder / f"{name}.key"


def options(url: str, **more: Any) -> dict[str, Any]:
    credentials: Mapping[str, Any] = key_pair(PLATFORM)
    if "client_id" in more or "access_token" in more:
        credentials = {}
    return {
        "state": "absent",
        "base_url": url,
        "org_id": org_id(PLATFORM),
        "api_user_id": VICTIM,
        "retries": 0,
        **credentials,
        **more,
    }


def revoke(url: str, environ: Mapping[str, str] | None = None, **more: Any) -> Outcome:
    given = {name: str(v) if isinstance(v, Path) else v for name, v in more.items()}
    return run_module("org_api_key", options(url, **given), environ=environ)


def is_revoked(emulator: Emulator) -> bool:
    return VICTIM not in emulator.state.organizations[org_id(PLATFORM)].api_keys


def test_server_is_trusted_with_ca_file(server: Emulator, authority: Authority) -> None:
    outcome = revoke(server.url, ca_path=authority.file)
    assert outcome.changed, outcome.msg
    assert is_revoked(server)
    assert server.connections == 1


def test_server_is_trusted_with_ca_directory_of_hashed_names(
    server: Emulator, authority: Authority, tmp_path: Path
) -> None:
    folder = authority.hashed(tmp_path / "authorities")
    if folder is None:
        pytest.skip("openssl, which creates the hashed names, is not installed")
    outcome = revoke(server.url, ca_path=folder)
    assert outcome.changed, outcome.msg


def test_ca_directory_without_hashed_names_is_refused_before_any_request(
    server: Emulator, authority: Authority
) -> None:
    outcome = revoke(server.url, ca_path=authority.folder)
    assert outcome.failed
    assert "ca_path" in outcome.msg
    assert "openssl rehash" in outcome.msg
    assert server.connections == 0


def test_missing_ca_file_is_refused_before_any_request(server: Emulator, tmp_path: Path) -> None:
    outcome = revoke(server.url, ca_path=tmp_path / "none.pem")
    assert outcome.failed
    assert f"ca_path is {tmp_path / 'none.pem'}" in outcome.msg
    assert server.connections == 0


@pytest.mark.parametrize("name", ["KEYSMITH_MONGODB_CA_PATH", "REQUESTS_CA_BUNDLE"])
def test_server_is_trusted_with_ca_of_the_environment(
    server: Emulator, authority: Authority, name: str
) -> None:
    outcome = revoke(server.url, {name: str(authority.file)})
    assert outcome.changed, outcome.msg


@pytest.mark.parametrize(
    "name", ["KEYSMITH_MONGODB_CA_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
)
def test_ca_path_overrides_ca_of_the_environment(
    server: Emulator, authority: Authority, name: str
) -> None:
    other = str(authority.folder / "other-ca.pem")
    assert revoke(server.url, {name: other}).failed
    outcome = revoke(server.url, {name: other}, ca_path=authority.file)
    assert outcome.changed, outcome.msg


def test_variable_of_the_collection_overrides_ca_bundle_of_other_tools(
    server: Emulator, authority: Authority
) -> None:
    environ = {
        "KEYSMITH_MONGODB_CA_PATH": str(authority.file),
        "REQUESTS_CA_BUNDLE": str(authority.folder / "other-ca.pem"),
    }
    outcome = revoke(server.url, environ)
    assert outcome.changed, outcome.msg


@pytest.mark.parametrize("ca_path", [None, "other-ca.pem"])
def test_unknown_authority_fails_and_names_ca_path(
    server: Emulator, authority: Authority, ca_path: str | None
) -> None:
    more: dict[str, Any] = {"ca_path": authority.folder / ca_path} if ca_path else {}
    outcome = revoke(server.url, **more)
    assert outcome.failed
    assert "ca_path" in outcome.msg
    assert outcome.result["error"]["reason"] == "TLS failed"
    assert not server.requests


@pytest.mark.parametrize(
    ("name", "advice"), [("wrong-host", "Check base_url"), ("expired", "certificate renewed")]
)
def test_invalid_certificate_fails_and_says_why(
    servers: dict[str, Emulator], authority: Authority, name: str, advice: str
) -> None:
    emulator = _fresh(servers[name])
    outcome = revoke(emulator.url, ca_path=authority.file)
    assert outcome.failed
    assert advice in outcome.msg
    assert not emulator.requests


@pytest.mark.parametrize(
    ("more", "environ"),
    [({"validate_certs": False}, {}), ({}, {"KEYSMITH_MONGODB_VALIDATE_CERTS": "no"})],
    ids=["option", "variable"],
)
def test_disabled_verification_accepts_any_certificate_with_one_warning(
    servers: dict[str, Emulator], more: dict[str, Any], environ: dict[str, str]
) -> None:
    emulator = _fresh(servers["wrong-host"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = revoke(emulator.url, environ, **more)
    assert outcome.changed, outcome.msg
    assert [str(w.message) for w in caught if "nsecure" in type(w.message).__name__] == []
    (warning,) = outcome.result["warnings"]
    assert "Certificates are not verified" in str(warning)


def test_validate_certs_overrides_its_variable(server: Emulator) -> None:
    environ = {"KEYSMITH_MONGODB_VALIDATE_CERTS": "false"}
    outcome = revoke(server.url, environ, validate_certs=True)
    assert outcome.failed
    assert "ca_path" in outcome.msg


def test_client_certificate_is_sent(mutual: Emulator, authority: Authority) -> None:
    cert, key = _files(authority, "client")
    outcome = revoke(mutual.url, ca_path=authority.file, client_cert=cert, client_key=key)
    assert outcome.changed, outcome.msg


def test_client_certificate_and_key_may_be_one_file(mutual: Emulator, authority: Authority) -> None:
    both = authority.folder / "client.both.pem"
    outcome = revoke(mutual.url, ca_path=authority.file, client_cert=both)
    assert outcome.changed, outcome.msg


def test_client_certificate_comes_from_the_environment(
    mutual: Emulator, authority: Authority
) -> None:
    cert, key = _files(authority, "client")
    environ = {
        "KEYSMITH_MONGODB_CA_PATH": str(authority.file),
        "KEYSMITH_MONGODB_CLIENT_CERT": str(cert),
        "KEYSMITH_MONGODB_CLIENT_KEY": str(key),
    }
    outcome = revoke(mutual.url, environ)
    assert outcome.changed, outcome.msg


@pytest.mark.parametrize("client", [None, "other-client"], ids=["none", "of-another-authority"])
@pytest.mark.parametrize("name", ["mutual", "mutual, TLS 1.2"])
def test_refused_client_certificate_fails_and_names_client_cert(
    servers: dict[str, Emulator], authority: Authority, name: str, client: str | None
) -> None:
    emulator = _fresh(servers[name])
    more: dict[str, Any] = {}
    if client:
        more = dict(zip(("client_cert", "client_key"), _files(authority, client)))
    # With TLS 1.3, the server's alert and the request race: the alert arrives in time, or the
    # connection breaks. Several attempts show both.
    for _round in range(10):
        outcome = revoke(emulator.url, ca_path=authority.file, **more)
        assert outcome.failed
        assert "client_cert" in outcome.msg
    assert not emulator.requests


def test_connection_that_breaks_immediately_over_tls_names_client_cert(
    server: Emulator, authority: Authority
) -> None:
    """The client sees only this if the connection is closed before the alert above arrives."""
    server.add_fault(Fault("reset", "GET", anonymous=True))
    outcome = revoke(server.url, ca_path=authority.file)
    assert outcome.failed
    assert "client_cert" in outcome.msg


@pytest.mark.parametrize("old", [False, True], ids=["pkcs8", "traditional"])
def test_encrypted_client_key_is_refused_before_any_request(
    mutual: Emulator, authority: Authority, tmp_path: Path, old: bool
) -> None:
    cert, key = _files(authority, "client")
    plain: Any = load_pem_private_key(key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(private_pem(plain, "passphrase", old=old))
    outcome = revoke(mutual.url, ca_path=authority.file, client_cert=cert, client_key=encrypted)
    assert outcome.failed
    assert "encrypted" in outcome.msg
    assert str(encrypted) in outcome.msg
    assert mutual.connections == 0


def test_client_key_without_certificate_is_refused_before_any_request(
    mutual: Emulator, authority: Authority
) -> None:
    outcome = revoke(mutual.url, client_key=authority.folder / "client.key")
    assert outcome.failed
    assert "client_cert" in outcome.msg
    assert mutual.connections == 0


def test_certificate_without_key_is_refused_before_any_request(
    mutual: Emulator, authority: Authority
) -> None:
    outcome = revoke(mutual.url, client_cert=authority.folder / "client.pem")
    assert outcome.failed
    assert "client_key" in outcome.msg
    assert mutual.connections == 0


def test_https_to_a_server_without_tls_fails_and_names_base_url(emulator: Emulator) -> None:
    outcome = revoke(emulator.url.replace("http://", "https://"), validate_certs=False)
    assert outcome.failed
    assert "base_url" in outcome.msg
    assert "does not use TLS" in outcome.msg


@pytest.mark.parametrize("kind", ["access_token", "service_account"])
def test_netrc_does_not_replace_credentials(emulator: Emulator, tmp_path: Path, kind: str) -> None:
    (tmp_path / ".netrc").write_text(f"machine {LOOPBACK} login user password word\n", "utf-8")
    environ = {"HOME": str(tmp_path)}
    with mock.patch.dict(os.environ, environ, clear=True):
        # This shows that the test can fail: by default, requests uses the credential in that file.
        requests.get(emulator.url, headers={"Authorization": "Bearer x"}, timeout=10)
    assert emulator.requests[-1].headers["Authorization"].startswith("Basic ")
    credentials = (
        service_account(PLATFORM)
        if kind == "service_account"
        else {"access_token": fetch_token(emulator.url, PLATFORM)}
    )
    emulator.requests.clear()
    outcome = revoke(emulator.url, environ, **credentials)
    assert outcome.changed, outcome.msg
    signed = [r.headers["Authorization"] for r in emulator.requests if "/orgs/" in r.path]
    assert len(signed) == 2
    assert all(value.startswith("Bearer ") for value in signed)


@pytest.mark.parametrize("source", ["option", "variable"])
@pytest.mark.parametrize("start", ["http://user:pr0xy-canary@", "http://"])
def test_unreachable_proxy_is_named_without_its_password(
    emulator: Emulator, source: str, start: str
) -> None:
    with dead_port() as port:
        proxy = f"{start}{LOOPBACK}:{port}"
        if source == "option":
            outcome = revoke(emulator.url, http_proxy=proxy)
        else:
            outcome = revoke(emulator.url, {"http_proxy": proxy})
    assert outcome.failed
    assert "cannot be reached" in outcome.msg
    assert f"{LOOPBACK}:{port}" in outcome.msg
    assert "pr0xy-canary" not in outcome.output
    assert not emulator.requests


@pytest.mark.parametrize("source", ["option", "http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_server_is_reached_through_the_proxy(emulator: Emulator, source: str) -> None:
    with ForwardProxy(emulator.port) as proxy:
        url = proxy.url.replace("//", "//user:p%40ss@")
        if source == "option":
            # The option applies to every host.
            outcome = revoke(ELSEWHERE, {"no_proxy": "*"}, http_proxy=url)
        else:
            outcome = revoke(ELSEWHERE, {source: url})
    assert outcome.changed, outcome.msg
    assert is_revoked(emulator)
    assert len(proxy.heads) == 1  # one connection
    assert proxy.heads[0].startswith(f"GET {ELSEWHERE}/api/atlas/v2/orgs/")
    basic = base64.b64encode(b"user:p@ss").decode()
    assert f"Proxy-Authorization: Basic {basic}\r\n" in proxy.heads[0]


@pytest.mark.parametrize("source", ["option", "variable"])
def test_proxy_without_its_scheme_is_refused(emulator: Emulator, source: str) -> None:
    address = f"user:pr0xy-canary@{LOOPBACK}:{emulator.port}"
    if source == "option":
        outcome = revoke(ELSEWHERE, http_proxy=address)
    else:
        outcome = revoke(ELSEWHERE, {"http_proxy": address})
    assert outcome.failed
    assert outcome.result["error"]["type"] == "options"
    assert "not the address of an http or https proxy" in outcome.msg
    assert "pr0xy-canary" not in outcome.output
    assert not emulator.requests


def test_host_that_no_proxy_exempts_needs_no_supported_proxy(emulator: Emulator) -> None:
    environ = {"ALL_PROXY": f"socks5://{LOOPBACK}:9"}
    outcome = revoke(emulator.url, environ)
    assert "is a SOCKS proxy" in outcome.msg
    assert outcome.result["error"]["type"] == "options"
    outcome = revoke(emulator.url, {**environ, "NO_PROXY": LOOPBACK})
    assert outcome.changed, outcome.msg


# requests changes the spelling of each before it looks up the connections of the proxy.
SPELLINGS = [
    "http://LocalHost:{port}",
    "HTTP://127.0.0.1:{port}",
    "http://user:p%2fw@127.0.0.1:{port}",
    "http://user:p^w@127.0.0.1:{port}",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_lost_response_behind_proxy_creates_one_key_for_any_spelling_of_the_proxy(
    emulator: Emulator, spelling: str
) -> None:
    emulator.add_fault(Fault("lost_after", "POST", "*/apiKeys"))
    wanted = {"description": "new", "roles": ["ORG_MEMBER"], "state": "present"}
    with ForwardProxy(emulator.port) as proxy:
        more = {**wanted, "http_proxy": spelling.format(port=proxy.port), "retries": 5}
        given = {**options(ELSEWHERE, **more), "api_user_id": None}
        outcome = run_module("org_api_key", given)
    assert outcome.failed
    keys = emulator.state.organizations[org_id(PLATFORM)].api_keys.values()
    made = [key.id for key in keys if key.description == "new"]
    assert len(made) == 1
    assert f"New API keys with this description: {made[0]}" in outcome.msg


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_response_behind_proxy_must_end_in_time_for_any_spelling_of_the_proxy(
    emulator: Emulator, spelling: str
) -> None:
    emulator.add_fault(Fault("drip", "GET", interval=0.02))
    with ForwardProxy(emulator.port) as proxy:
        address = spelling.format(port=proxy.port)
        outcome = revoke(ELSEWHERE, http_proxy=address, timeout=0.2)
    assert outcome.failed
    assert "did not arrive in time" in outcome.msg


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_no_proxy_bypasses_the_proxy_of_the_environment(emulator: Emulator, name: str) -> None:
    with dead_port() as port:
        environ = {"http_proxy": f"http://{LOOPBACK}:{port}", name: f"example.com,{LOOPBACK}"}
        outcome = revoke(emulator.url, environ)
    assert outcome.changed, outcome.msg


@pytest.mark.parametrize("source", ["option", "https_proxy"])
def test_proxy_tunnels_tls(server: Emulator, authority: Authority, source: str) -> None:
    with ForwardProxy(server.port) as proxy:
        url = proxy.url.replace("//", "//user:p%40ss@")
        if source == "option":
            outcome = revoke(server.url, ca_path=authority.file, http_proxy=url)
        else:
            outcome = revoke(server.url, {source: url}, ca_path=authority.file)
    assert outcome.changed, outcome.msg
    assert len(proxy.heads) == 1
    assert proxy.heads[0].startswith(f"CONNECT {LOOPBACK}:{server.port} HTTP/1.")
    assert "Proxy-Authorization: Basic " in proxy.heads[0]
    # The credentials for the proxy are not sent through the tunnel.
    assert all("Proxy-Authorization" not in r.headers for r in server.requests)


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        ("407 Proxy Authentication Required", "password"),
        ("403 Forbidden", "lets this host connect"),
    ],
)
def test_proxy_that_refuses_to_connect_is_reported(
    server: Emulator, authority: Authority, refusal: str, advice: str
) -> None:
    with ForwardProxy(refusal=refusal) as proxy:
        outcome = revoke(
            server.url,
            ca_path=authority.file,
            http_proxy=proxy.url.replace("//", "//user:pr0xy-canary@"),
        )
    assert outcome.failed
    assert f"{LOOPBACK}:{proxy.port} refused to connect: {refusal}" in outcome.msg
    assert advice in outcome.msg
    assert "pr0xy-canary" not in outcome.output
    assert len(proxy.heads) == 1
    assert not server.requests


def test_proxy_that_refuses_a_plain_request_is_reported(emulator: Emulator) -> None:
    with ForwardProxy(refusal="407 Proxy Authentication Required") as proxy:
        outcome = revoke(emulator.url, http_proxy=proxy.url)
    assert outcome.failed
    assert outcome.result["error"]["status"] == 407
    assert f"the proxy {LOOPBACK}:{proxy.port} refused the request: 407" in outcome.msg
    assert "http_proxy" in outcome.msg
    assert len(proxy.heads) == 1


def test_tasks_of_a_playbook_use_the_authority(
    tmp_path: Path, collections: Path, server: Emulator, authority: Authority
) -> None:
    def task(name: str, environ: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "environment": environ or {},
            "ignore_errors": True,
            MODULE: {**options(server.url), **more},
        }

    ca_path = str(authority.file)
    tasks = [
        task("Unknown authority"),
        task("No check", validate_certs=False, api_user_id=key_id(PLATFORM, 3)),
        task("By variable", {"KEYSMITH_MONGODB_CA_PATH": ca_path}, api_user_id=key_id(PLATFORM, 4)),
        task("By option", {"REQUESTS_CA_BUNDLE": "/none"}, ca_path=ca_path),
    ]
    workshop = AnsibleSandbox(tmp_path / "run", collections)
    run = workshop.playbook([{"hosts": "localhost", "tasks": tasks}], "-vvv")
    refused = run.result("Unknown authority")
    assert refused.failed
    assert "ca_path" in refused.msg
    for name in ("No check", "By variable", "By option"):
        assert run.result(name).changed, run.output
    assert len(server.writes) == 3
    assert "InsecureRequestWarning" not in run.output


@pytest.mark.parametrize("signer", [key_pair(PLATFORM), service_account(PLATFORM)])
@pytest.mark.parametrize("way", ["http", "https", "http proxy", "https proxy"])
def test_a_path_is_sent_with_its_own_percent_encoding(
    emulator: Emulator,
    server: Emulator,
    authority: Authority,
    signer: Mapping[str, str],
    way: str,
) -> None:
    """The signature of a key pair covers the path as it is sent."""
    called = server if "https" in way else emulator
    task = {
        "base_url": called.url,
        "path": "/orgs/%61%2f%2F:b%3a[\N{LATIN SMALL LETTER E WITH ACUTE}] '|~;",
        "method": "GET",
        "ca_path": str(authority.file),
        **signer,
    }
    with ForwardProxy(called.port) as proxy:
        more = {"http_proxy": proxy.url} if "proxy" in way else {}
        outcome = run_module("api_request", {**task, **more})
    # The API has accepted the credential.
    assert outcome.code == "PATH_PARAM_PARSE_ERROR", outcome.msg
    paths = {r.path for r in called.requests if r.method == "GET"}
    assert paths == {"/api/atlas/v2/orgs/%61%2f%2F:b%3a%5B%C3%A9%5D%20'%7C~;"}
    assert bool(proxy.heads) == ("proxy" in way)
