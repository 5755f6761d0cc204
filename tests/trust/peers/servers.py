# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apache, squid, tinyproxy, nginx and stunnel, each with its own configuration."""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.installed import find
from tests.integration.peers import LOOPBACK
from tests.trust.peers.processes import free_port, open_folder, serving

# In this header, Apache passes on the user that it has authenticated.
CHECKED_USER = "X-Checked-User"
_APACHE_MODULES = (
    "mpm_event authn_core authn_file authz_core authz_user auth_digest headers proxy proxy_http"
).split()
_BALANCER_MODULES = (
    "mpm_event authz_core headers proxy proxy_http proxy_balancer lbmethod_byrequests slotmem_shm"
).split()
# The cookie that keeps a client on its node.
STICKY_COOKIE = "ROUTEID"
# On Debian and Red Hat and their derivatives.
_APACHE_FOLDERS = [Path("/usr/lib/apache2/modules"), Path("/usr/lib64/httpd/modules")]
_SQUID_HELPERS = [Path("/usr/lib/squid"), Path("/usr/lib64/squid"), Path("/usr/libexec/squid")]


@dataclass(frozen=True)
class Server:
    """A running server: its port, more ports by name, and the log of its requests."""

    port: int
    log: Path
    errors: Path
    ports: Mapping[str, int]

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def lines(self) -> list[str]:
        return self.log.read_text("utf-8", "replace").splitlines()

    def complaints(self) -> list[str]:
        return self.errors.read_text("utf-8", "replace").splitlines()


def _module(folders: Sequence[Path], name: str, program: str) -> Path:
    found = [folder / name for folder in folders if (folder / name).exists()]
    return found[0] if found else pytest.skip(f"{name} of {program} is not installed")


def _other_user() -> str:
    """Return a user for servers that refuse to run as root."""
    users = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("www-data", "apache", "nobody") if name in users)


@contextmanager
def apache(
    tmp_path: Path, upstream: int, users: Mapping[str, str], *, lifetime: int
) -> Iterator[Server]:
    """Apache that authenticates by Digest, with nonces of this lifetime, and forwards requests.

    A line of its log is status, user, method, path, and the challenge that it sent.
    """
    # The prefork module would kill its process group, which includes the tests.
    program, port, realm = find("apache2"), free_port(), "Staff, only"
    with open_folder(tmp_path) as folder:
        lines = [
            f"{user}:{realm}:" + hashlib.md5(f"{user}:{realm}:{word}".encode()).hexdigest()
            for user, word in users.items()
        ]
        (folder / "users").write_text("\n".join([*lines, ""]), "utf-8")
        config = folder / "apache.conf"
        config.write_text(
            f"""
{_apache_basics(folder, port, _APACHE_MODULES)}
LogLevel warn auth_digest:info
LogFormat "%>s\\t%u\\t%m\\t%U\\t%{{WWW-Authenticate}}o" plain
CustomLog {folder}/access.log plain
# The address of an access list's entry has a slash in it.
AllowEncodedSlashes NoDecode
ProxyPass / http://{LOOPBACK}:{upstream}/ nocanon
<Location />
    AuthType Digest
    AuthName "{realm}"
    AuthDigestProvider file
    AuthUserFile {folder}/users
    AuthDigestQop auth
    AuthDigestNonceLifetime {lifetime}
    Require valid-user
    RequestHeader unset Authorization
    RequestHeader set {CHECKED_USER} expr=%{{REMOTE_USER}}
</Location>
""",
            "utf-8",
        )
        with serving([program, "-f", config, "-D", "FOREGROUND"], [port], folder):
            yield Server(port, folder / "access.log", folder / "error.log", {})


@contextmanager
def balancer(tmp_path: Path, nodes: Sequence[Server]) -> Iterator[Server]:
    """Apache in front of several nodes, chosen in turn or by the client's cookie.

    A line of its log is status, method, path, node, cookie received, and cookie set.
    """
    program, port = find("apache2"), free_port()
    members = [
        f"    BalancerMember {node.url} route={number}" for number, node in enumerate(nodes, 1)
    ]
    with open_folder(tmp_path) as folder:
        config = folder / "apache.conf"
        config.write_text(
            f"""
{_apache_basics(folder, port, _BALANCER_MODULES)}
LogFormat "%>s\\t%m\\t%U\\t%{{BALANCER_WORKER_ROUTE}}e\\t%{{Cookie}}i\\t%{{Set-Cookie}}o" plain
CustomLog {folder}/access.log plain
AllowEncodedSlashes NoDecode
Header add Set-Cookie "{STICKY_COOKIE}=.%{{BALANCER_WORKER_ROUTE}}e; path=/" \
    env=BALANCER_ROUTE_CHANGED
<Proxy "balancer://nodes">
{chr(10).join(members)}
    ProxySet stickysession={STICKY_COOKIE} lbmethod=byrequests
</Proxy>
ProxyPass / balancer://nodes/ nocanon
""",
            "utf-8",
        )
        with serving([program, "-f", config, "-D", "FOREGROUND"], [port], folder):
            yield Server(port, folder / "access.log", folder / "error.log", {})


def _apache_basics(folder: Path, port: int, names: Sequence[str]) -> str:
    modules = [
        f"LoadModule {name}_module {_module(_APACHE_FOLDERS, f'mod_{name}.so', 'Apache')}"
        for name in names
    ]
    user = "" if os.geteuid() else f"User {_other_user()}\nGroup #{_group(_other_user())}"
    return f"""
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ServerName {LOOPBACK}
Listen {LOOPBACK}:{port}
{chr(10).join(modules)}
{user}
ErrorLog {folder}/error.log
"""


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


@contextmanager
def squid(tmp_path: Path, user: str, password: str) -> Iterator[Server]:
    """Squid with two ports: ``open`` without authentication, ``closed`` for one user.

    A line of its log is the port, user, status, method and URL of a request.
    """
    program, ports = find("squid"), {"open": free_port(), "closed": free_port()}
    helper = _module(_SQUID_HELPERS, "basic_ncsa_auth", "squid")
    with open_folder(tmp_path) as folder:
        (folder / "users").write_text(f"{user}:{_crypted(password)}\n", "utf-8")
        config = folder / "squid.conf"
        config.write_text(
            f"""
http_port {LOOPBACK}:{ports["open"]}
http_port {LOOPBACK}:{ports["closed"]}
auth_param basic program {helper} {folder}/users
auth_param basic children 2 startup=1
auth_param basic realm proxy
acl open_port localport {ports["open"]}
acl known proxy_auth REQUIRED
http_access allow open_port
http_access allow known
http_access deny all
visible_hostname localhost
logformat plain %>lp %un %>Hs %rm %ru
access_log stdio:{folder}/access.log plain
cache_log {folder}/cache.log
coredump_dir {folder}
pid_filename none
cache deny all
pinger_enable off
netdb_filename none
shutdown_lifetime 0 seconds
""",
            "utf-8",
        )
        with serving([program, "-N", "-f", config], list(ports.values()), folder):
            yield Server(ports["open"], folder / "access.log", folder / "cache.log", ports)


def _crypted(password: str) -> str:
    command = [find("openssl"), "passwd", "-apr1", "-stdin"]
    done = subprocess.run(command, input=password, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def tinyproxy(tmp_path: Path, user: str = "", password: str = "") -> Iterator[Server]:
    """Tinyproxy, without authentication or for one user. Its log includes each request."""
    program, port = find("tinyproxy"), free_port()
    with open_folder(tmp_path) as folder:
        config = folder / "tinyproxy.conf"
        log = folder / "tiny.log"
        config.write_text(
            f"""
Port {port}
Listen {LOOPBACK}
Timeout 60
LogFile "{log}"
LogLevel Connect
MaxClients 50
Allow {LOOPBACK}
"""
            + (f"BasicAuth {user} {password}\n" if user else ""),
            "utf-8",
        )
        with serving([program, "-d", "-c", config], [port], folder):
            yield Server(port, log, log, {})


@contextmanager
def nginx(tmp_path: Path, upstream: int, sites: Mapping[str, str]) -> Iterator[Server]:
    """nginx with TLS; each site has its own port and configuration."""
    program, ports = find("nginx"), {name: free_port() for name in sites}
    with open_folder(tmp_path) as folder:
        servers = [
            f"server {{ listen {LOOPBACK}:{ports[name]} ssl; {lines} "
            f"location / {{ proxy_pass http://{LOOPBACK}:{upstream}; proxy_http_version 1.1; }} }}"
            for name, lines in sites.items()
        ]
        temporary = "\n".join(
            f"{name}_temp_path {folder};" for name in "client_body proxy fastcgi uwsgi scgi".split()
        )
        config = folder / "nginx.conf"
        config.write_text(
            f"""
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
log_format plain "$server_port $ssl_protocol $status $request_method $request_uri";
access_log {folder}/access.log plain;
{temporary}
{chr(10).join(servers)}
}}
""",
            "utf-8",
        )
        command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(config)]
        with serving(command, list(ports.values()), folder):
            yield Server(0, folder / "access.log", folder / "error.log", ports)


@contextmanager
def stunnel(tmp_path: Path, upstream: int, sites: Mapping[str, str]) -> Iterator[Server]:
    """Stunnel in front of a port; each site has its own port and configuration."""
    program, ports = find("stunnel4"), {name: free_port() for name in sites}
    with open_folder(tmp_path) as folder:
        config, log = folder / "stunnel.conf", folder / "tunnel.log"
        services = [
            f"[{name}]\naccept = {LOOPBACK}:{ports[name]}\nconnect = {LOOPBACK}:{upstream}\n{lines}"
            for name, lines in sites.items()
        ]
        config.write_text(
            "\n".join(["foreground = yes", "pid =", f"output = {log}", "debug = 6", *services]),
            "utf-8",
        )
        with serving([program, config], list(ports.values()), folder):
            yield Server(0, log, log, ports)
