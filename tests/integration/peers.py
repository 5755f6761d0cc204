# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority, a forward proxy and a closed port for tests of connections."""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Union

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"
PEM = serialization.Encoding.PEM
PrivateKey = Union[ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey]


class Authority:
    """A certificate authority that writes NAME.pem, NAME.key and NAME.both.pem to a directory."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.file = folder / f"{name}.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Test authority {name}")])
        builder = _builder(self._name, self._name, self._key.public_key(), self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        usage = dict.fromkeys(_USAGES, False)
        usage["key_cert_sign"] = usage["crl_sign"] = True
        certificate = builder.add_extension(x509.KeyUsage(**usage), True).sign(
            self._key, hashes.SHA256()
        )
        self.file.write_bytes(certificate.public_bytes(PEM))

    def issue(
        self,
        name: str,
        host: str = LOOPBACK,
        *,
        days: int = 30,
        password: str = "",
        rsa_bits: int = 0,
    ) -> tuple[Path, Path]:
        """Write a certificate for a host and its key, and return their paths.

        A negative number of ``days`` means that it has expired. Without a host, it has no
        subjectAltName. If ``rsa_bits`` is set, the key is an RSA key.
        """
        key: PrivateKey = ec.generate_private_key(ec.SECP256R1())
        if rsa_bits:
            key = rsa.generate_private_key(65537, rsa_bits)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key.public_key(), self._key.public_key(), days)
        if host:
            names = x509.SubjectAlternativeName([_general_name(host)])
            builder = builder.add_extension(names, False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        certificate = builder.sign(self._key, hashes.SHA256())
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(PEM))
        files[1].write_bytes(private_pem(key, password))
        (self.folder / f"{name}.both.pem").write_bytes(
            files[0].read_bytes() + files[1].read_bytes()
        )
        return files

    def hashed(self, folder: Path) -> Path | None:
        """Fill a directory as `openssl rehash` does; return None if openssl is not installed."""
        openssl = shutil.which("openssl")
        if not openssl:
            return None
        command = [openssl, "x509", "-hash", "-noout", "-in", str(self.file)]
        name = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
        folder.mkdir()
        shutil.copy(self.file, folder / f"{name}.0")
        return folder


_USAGES = (
    "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
    "key_cert_sign crl_sign encipher_only decipher_only"
).split()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    days: int = 30,
) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        # Python 3.13 refuses certificates without these two.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), False)
    )


def private_pem(key: PrivateKey, password: str = "", *, old: bool = False) -> bytes:
    """Return a private key as PKCS #8, or in OpenSSL's older format."""
    form = serialization.PrivateFormat
    return key.private_bytes(
        PEM,
        form.TraditionalOpenSSL if old else form.PKCS8,
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption(),
    )


class ForwardProxy:
    """A forward proxy that connects all hosts to one local port and records request heads.

    With ``refusal``, a status and its reason, it rejects every request.
    """

    def __init__(self, port: int = 0, refusal: str = "") -> None:
        self.heads: list[str] = []
        self._target = port
        self._refusal = refusal
        self._open: list[socket.socket] = []
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            # Leave the body in the socket, to be forwarded.
            rbufsize = 0

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    proxy._handle(self)

        self._server = socketserver.ThreadingTCPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> ForwardProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in self._open:
            connection.close()

    def _handle(self, handler: socketserver.StreamRequestHandler) -> None:
        client = handler.connection
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = handler.rfile.readline(65536)
            if not line:
                return
            head += line
        self.heads.append(head.decode("latin-1"))
        if self._refusal:
            client.sendall(f"HTTP/1.1 {self._refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        server = socket.create_connection((LOOPBACK, self._target))
        self._open += [client, server]
        if head.startswith(b"CONNECT "):
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            server.sendall(head)  # servers accept an absolute URL too (RFC 9112, 3.2.2)
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def dead_port() -> Iterator[int]:
    """Reserve a port on which no server listens."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        yield taken.getsockname()[1]
