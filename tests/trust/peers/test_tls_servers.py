# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS with nginx and stunnel: certificate authorities, invalid certificates, versions, client
certificates. The module runs in this process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.integration.peers import LOOPBACK, Authority
from tests.support import Outcome, key_id, key_pair, org_id, run_module, seed
from tests.trust.peers.servers import Server, nginx, stunnel

PLATFORM = "atlas"
VICTIM = key_id(PLATFORM, 2)
VERSIONS = {"1.2": "TLSv1.2", "1.3": "TLSv1.3"}
# Options with files in the directory of the authority.
CA, FOLDER = {"ca_path": "ca.pem"}, {"ca_path": "hashed"}
CLIENT = {**CA, "client_cert": "client.pem", "client_key": "client.key"}
IN_ONE = {**CA, "client_cert": "client.both.pem"}
OTHER = {**CA, "client_cert": "other-client.pem", "client_key": "other-client.key"}


@dataclass(frozen=True)
class Case:
    """A site with options; ``messages`` are in the message, or empty if the task succeeds.

    With TLS 1.3, alert and request race, so failures differ: ``rounds`` repeats the case to see
    all of them.
    """

    peer: str
    site: str
    options: dict[str, str]
    messages: tuple[str, ...] = ()
    rounds: int = 1


ADVICE = ("client_cert", "client_key")
NGINX = {
    "authority by file": Case("nginx", "good", CA),
    "authority by directory": Case("nginx", "good", FOLDER),
    "unknown authority": Case("nginx", "good", {}, ("ca_path",)),
    "expired": Case("nginx", "expired", CA, ("expired", "certificate renewed")),
    "wrong host": Case("nginx", "wrong-host", CA, ("Check base_url",)),
    "TLS 1.2 only": Case("nginx", "only-1.2", CA),
    "TLS 1.3 only": Case("nginx", "only-1.3", CA),
    **{
        f"{name}, TLS {version}": Case("nginx", f"mutual-{version}", options, messages)
        for version in VERSIONS
        for name, options, messages in (
            ("client certificate", CLIENT, ()),
            ("client certificate in one file", IN_ONE, ()),
            ("no client certificate", CA, ADVICE),
            ("another authority's client certificate", OTHER, ADVICE),
        )
    },
}
STUNNEL = {
    "authority by directory": Case("stunnel", "only-1.3", FOLDER),
    **{
        f"{name}, TLS {version}": Case("stunnel", f"{site}-{version}", options, messages, rounds)
        for version in VERSIONS
        for name, site, options, messages, rounds in (
            ("only", "only", CA, (), 1),
            ("client certificate", "mutual", CLIENT, (), 1),
            ("no client certificate", "mutual", CA, ADVICE, 8),
            ("another authority's client certificate", "mutual", OTHER, ("client_cert",), 8),
        )
    },
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.issue("good")
    authority.issue("expired", days=-1)
    authority.issue("wrong-host", "opsmanager.example.com")
    authority.issue("client", "client.example.com")
    Authority(folder, "other-ca").issue("other-client", "client.example.com")
    if authority.hashed(folder / "hashed") is None:
        pytest.skip("openssl, which creates the hashed names, is not installed")
    return authority


@pytest.fixture(scope="module")
def upstream() -> Iterator[Emulator]:
    with Emulator(seed()) as emulator:
        yield emulator


def test_nginx(tmp_path: Path, upstream: Emulator, authority: Authority) -> None:
    def certificate(name: str) -> str:
        folder = authority.folder
        return f"ssl_certificate {folder}/{name}.pem; ssl_certificate_key {folder}/{name}.key;"

    sites = {name: certificate(name) for name in ("good", "expired", "wrong-host")}
    for version, protocol in VERSIONS.items():
        only = f"{certificate('good')} ssl_protocols {protocol};"
        sites[f"only-{version}"] = only
        asks = f"ssl_client_certificate {authority.file}; ssl_verify_client on;"
        sites[f"mutual-{version}"] = f"{only} {asks}"
    with nginx(tmp_path, upstream.port, sites) as server:
        check_all(NGINX, server, upstream, authority)
        lines = [line.split() for line in server.lines()]
    for version, protocol in VERSIONS.items():
        ports = {str(server.ports[f"{kind}-{version}"]) for kind in ("only", "mutual")}
        assert {line[1] for line in lines if line[0] in ports} == {protocol}


def test_nginx_without_tls(tmp_path: Path, upstream: Emulator, authority: Authority) -> None:
    files = f"ssl_certificate {authority.folder}/good.pem; "
    files += f"ssl_certificate_key {authority.folder}/good.key;"
    with nginx(tmp_path, upstream.port, {"good": files}) as server:
        outcome = revoke(f"http://{LOOPBACK}:{server.ports['good']}", authority, {})
    assert outcome.failed
    assert "base_url" in outcome.msg
    assert "client_cert" not in outcome.msg


def test_stunnel(tmp_path: Path, upstream: Emulator, authority: Authority) -> None:
    sites = {}
    for version, protocol in VERSIONS.items():
        only = f"cert = {authority.folder}/good.pem\nkey = {authority.folder}/good.key\n"
        only += f"sslVersion = {protocol}\n"
        sites[f"only-{version}"] = only
        sites[f"mutual-{version}"] = f"{only}verifyChain = yes\nCAfile = {authority.file}\n"
    with stunnel(tmp_path, upstream.port, sites) as server:
        check_all(STUNNEL, server, upstream, authority)
        negotiated = [line for line in server.lines() if "ciphersuite:" in line]
    for protocol in VERSIONS.values():
        assert [line for line in negotiated if protocol in line]


def check_all(
    cases: dict[str, Case], server: Server, upstream: Emulator, authority: Authority
) -> None:
    for name, case in cases.items():
        for _round in range(case.rounds):
            upstream.reset()
            url = f"https://{LOOPBACK}:{server.ports[case.site]}"
            outcome = revoke(url, authority, case.options)
            left = upstream.state.organizations[org_id(PLATFORM)].api_keys
            assert outcome.failed == bool(case.messages), (name, outcome.msg)
            assert outcome.changed == (VICTIM not in left) == (not case.messages), name
            assert [text for text in case.messages if text not in outcome.msg] == [], outcome.msg
            # The emulator gets no request that nginx or stunnel rejected.
            assert bool(upstream.requests) == (not case.messages), name


def revoke(url: str, authority: Authority, given: dict[str, str]) -> Outcome:
    options: dict[str, Any] = {
        "state": "absent",
        "base_url": url,
        "org_id": org_id(PLATFORM),
        "api_user_id": VICTIM,
        "retries": 0,
        **key_pair(PLATFORM),
    }
    files = {name: str(authority.folder / value) for name, value in given.items()}
    return run_module("org_api_key", {**options, **files})
