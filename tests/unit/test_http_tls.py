# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Advice for TLS failures, with real servers and certificates."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import urllib3

from ansible_collections.keysmith.mongodb.plugins.module_utils._client import _transport_errors
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import (
    Auth,
    Http,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._http_settings import (
    HttpSettings,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    Request,
    TlsError,
)
from tests.integration.peers import LOOPBACK, Authority, private_pem
from tests.support import VirtualClock

Play = Callable[[socket.socket], None]

UNCHECKED = (
    "(validate_certs: false disables this check, and TLS no longer protects the connection.)"
)
NAMES = (
    "Check base_url: its host must be in the certificate's subjectAltName. A "
    "certificate without subjectAltName, which has only a common name, must be reissued."
)
AUTHORITY = f"Set ca_path to the file or directory of the CA certificate. {UNCHECKED}"
ADVICE = {
    "wrong-host": NAMES,
    "no-name": NAMES,
    "expired": "Have the server's certificate renewed. Also check this host's clock.",
    "weak": "or it lacks an extension that Python 3.13 requires. Have it reissued.",
    "unknown": AUTHORITY,
    "unknown-chain": AUTHORITY,
    "self": "The certificate is self-signed. Get a copy from the administrator of the server, and "
    f"set ca_path to it. {UNCHECKED}",
}
TOO_OLD = (
    "The server and this host have no TLS version or cipher in common; one of them is too old. The "
    "server must offer TLS 1.2 or newer."
)
NO_RENEGOTIATION = (
    "The server is too old for this host: it does not support secure renegotiation (RFC 5746). Its "
    "TLS software must be updated."
)
# Records of TLS 1.0: a server hello that chooses this version, and an alert that refuses all
# versions of the client.
HELLO = b"\x02\x00\x00\x26\x03\x01" + bytes(32) + b"\x00\x00\x2f\x00"
OLD_SERVERS = {
    "chooses": b"\x16\x03\x01" + len(HELLO).to_bytes(2, "big") + HELLO,
    "refuses": b"\x15\x03\x01\x00\x02\x02\x46",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.issue("wrong-host", "opsmanager.example.com")
    authority.issue("no-name", "")
    authority.issue("expired", days=-1)
    authority.issue("weak", rsa_bits=1024)
    other = Authority(folder, "other-ca")
    other.issue("unknown")
    chain = other.issue("unknown-chain")[0]
    chain.write_bytes(chain.read_bytes() + other.file.read_bytes())
    itself = Authority(folder, "self")
    (folder / "self.key").write_bytes(private_pem(itself._key))
    return authority


@contextlib.contextmanager
def serving(play: Play) -> Iterator[int]:
    """Accept one connection and run ``play`` with it."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _address = listener.accept()
                with connection:
                    connection.settimeout(10)
                    play(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def fail(play: Play, ca_file: Path, cert: tuple[str, str] | None = None) -> TlsError:
    time = VirtualClock()
    clock = Clock(time.now, time.sleep, time.random)
    with serving(play) as port:
        url = f"https://{LOOPBACK}:{port}"
        settings = HttpSettings(retries=0, timeout=5.0, verify=str(ca_file), cert=cert)
        http = Http(settings, clock, url)
        request = Request("GET", url, "/path", "read it", platform="MongoDB Atlas")
        with contextlib.closing(http), pytest.raises(TlsError) as caught:
            http.send(request, Auth(), parse_response=lambda answer: answer, headers={})
    return caught.value


def showing(certificate: Path) -> Play:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Let the server load a weak certificate.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    def play(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    return play


# urllib3 1.26 has its own text for a host name.
@pytest.mark.parametrize("name", ADVICE)
def test_certificate_advice_fits_the_problem(authority: Authority, name: str) -> None:
    if name == "weak" and sys.version_info < (3, 10):
        pytest.skip("older Pythons leave the security level to the system")
    error = fail(showing(authority.folder / f"{name}.pem"), authority.file)
    assert error.message().endswith(ADVICE[name])
    assert error.never_sent


def test_a_host_name_error_of_urllib3_has_the_same_advice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error of urllib3 1.26 has neither number nor reason."""
    kind = type("CertificateError", (ValueError,), {})
    monkeypatch.setattr(_transport_errors, "_host_name_errors", lambda: (kind,))
    error = requests.exceptions.SSLError(urllib3.exceptions.SSLError(kind("in other words")))
    request = Request("GET", "https://host.example", "/path", "read it")
    failure = _transport_errors.transport_error(error, request, HttpSettings(), via_proxy=False)
    assert failure.message().endswith(f" of host.example is not accepted: in other words. {NAMES}")
    assert failure.never_sent


def test_a_server_without_secure_renegotiation_is_reported() -> None:
    cause = ssl.SSLError(1, "in other words")
    cause.reason = "UNSAFE_LEGACY_RENEGOTIATION_DISABLED"
    error = requests.exceptions.SSLError(urllib3.exceptions.SSLError(cause))
    request = Request("GET", "https://host.example", "/path", "read it")
    failure = _transport_errors.transport_error(error, request, HttpSettings(), via_proxy=False)
    assert failure.message().endswith(NO_RENEGOTIATION)


# If urllib3 1.26 and the system allow TLS 1.0, the handshake fails later.
@pytest.mark.parametrize("name", OLD_SERVERS)
def test_an_old_server_is_not_reported_as_a_wrong_port(authority: Authority, name: str) -> None:
    def play(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(OLD_SERVERS[name])
        # Wait until the client has closed the connection.
        connection.recv(65536)
        connection.recv(65536)

    message = fail(play, authority.file).message()
    assert message.endswith((TOO_OLD, NO_RENEGOTIATION))
