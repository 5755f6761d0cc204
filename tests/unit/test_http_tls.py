# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to check where TLS fails, with servers and certificates that are real."""

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
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import Http
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

UNCHECKED = "(validate_certs: false switches the check off, and with it the protection.)"
NAMES = (
    "Check base_url: it must name the host as the certificate does in its subjectAltName. A "
    "certificate without subjectAltName, which has only a common name, must be reissued."
)
AUTHORITY = f"Name the file or folder of the authority that signed it in ca_path. {UNCHECKED}"
ADVICE = {
    "wrong-host": NAMES,
    "no-name": NAMES,
    "expired": "The server's certificate has to be renewed; check this host's clock too.",
    "weak": "it must be reissued, for example with RSA 2048 and SHA-256.",
    "unknown": AUTHORITY,
    "unknown-chain": AUTHORITY,
    "self": f"No authority signed it but itself: get a copy from whoever runs the server, and name "
    f"its file in ca_path. {UNCHECKED}",
}
TOO_OLD = (
    "The server and this host have no version of TLS, or no cipher, in common: one of the two is "
    "too old. The server must offer TLS 1.2 or newer."
)
NO_RENEGOTIATION = (
    "The server is too old for this host: it does not support secure renegotiation (RFC 5746). Its "
    "TLS software must be updated."
)
# Records of TLS 1.0: a server hello that chooses this version, and an alert that refuses all that
# the client offers.
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
    """Play with one connection."""
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
            http.send(request, None, read=lambda answer: answer, headers={})
    return caught.value


def showing(certificate: Path) -> Play:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # So that this end accepts a weak certificate.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    def play(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    return play


# urllib3 1.26 has words of its own for a host name.
@pytest.mark.parametrize("name", ADVICE)
def test_the_advice_is_about_what_is_wrong_with_the_certificate(
    authority: Authority, name: str
) -> None:
    if name == "weak" and sys.version_info < (3, 10):
        pytest.skip("older Pythons leave the security level to the system")
    error = fail(showing(authority.folder / f"{name}.pem"), authority.file)
    assert error.message().endswith(ADVICE[name])
    assert error.never_sent


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the security level is the system's")
def test_a_weak_client_certificate_is_not_taken_for_a_fault_of_the_server(
    authority: Authority,
) -> None:
    weak = authority.folder / "weak.pem"
    cert = (str(weak), str(weak.with_suffix(".key")))
    message = fail(showing(weak), authority.file, cert).message()
    assert "This is about client_cert. The certificate, or that of" in message


def test_a_host_name_that_urllib3_compares_itself_gets_the_same_advice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """urllib3 1.26 has an error of its own for that, which has neither number nor reason."""
    kind = type("CertificateError", (ValueError,), {})
    monkeypatch.setattr(_transport_errors, "_host_name_errors", lambda: (kind,))
    error = requests.exceptions.SSLError(urllib3.exceptions.SSLError(kind("in other words")))
    request = Request("GET", "https://host.example", "/path", "read it")
    failure = _transport_errors.transport_error(error, request, HttpSettings(), via_proxy=False)
    assert failure.message().endswith(f" of host.example is not accepted: in other words. {NAMES}")
    assert failure.never_sent


def test_a_server_without_secure_renegotiation_is_named() -> None:
    cause = ssl.SSLError(1, "in other words")
    cause.reason = "UNSAFE_LEGACY_RENEGOTIATION_DISABLED"
    error = requests.exceptions.SSLError(urllib3.exceptions.SSLError(cause))
    request = Request("GET", "https://host.example", "/path", "read it")
    failure = _transport_errors.transport_error(error, request, HttpSettings(), via_proxy=False)
    assert failure.message().endswith(f"unsafe legacy renegotiation disabled. {NO_RENEGOTIATION}")


# Where urllib3 1.26 and the system let TLS 1.0 in, the server fails for what else it lacks.
@pytest.mark.parametrize("name", OLD_SERVERS)
def test_a_server_that_is_too_old_is_not_taken_for_a_wrong_port(
    authority: Authority, name: str
) -> None:
    def play(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(OLD_SERVERS[name])
        # Until the client has gone.
        connection.recv(65536)
        connection.recv(65536)

    message = fail(play, authority.file).message()
    assert message.endswith((TOO_OLD, NO_RENEGOTIATION))
