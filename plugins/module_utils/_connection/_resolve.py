# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of a task and its environment to one connection.

The task comes first, then the environment, then the default.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from ansible_collections.keysmith.mongodb.plugins.module_utils._argspec import (
    _CLIENT_ID,
    CONNECTION_OPTIONS,
    check_id,
    check_seconds,
    given,
    is_public_key,
    looks_secret,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    AccessToken,
    Credentials,
    KeyPair,
    ServiceAccount,
    is_header_safe,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._http_settings import (
    HttpSettings,
    is_sent_in_clear,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    PLATFORMS,
    Platform,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    OptionError,
    truncate_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._requests import requests
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import (
    is_id,
    quoted,
)

# An underscore is in no name by the rules, and in many by custom.
_HOST = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_MAX_HOST = 254
_ENV_PLATFORM = "KEYSMITH_MONGODB_PLATFORM"
_ENV_VALIDATE_CERTS = "KEYSMITH_MONGODB_VALIDATE_CERTS"
_ENV_CA_PATH = "KEYSMITH_MONGODB_CA_PATH"
_ENV_CLIENT_CERT = "KEYSMITH_MONGODB_CLIENT_CERT"
_ENV_CLIENT_KEY = "KEYSMITH_MONGODB_CLIENT_KEY"
# In the order of curl and requests.
_ENV_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SYSTEM_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",  # older RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)


@dataclass(frozen=True)
class Connection:
    """Everything that is needed to reach an API. Secrets are in no ``repr``.

    ``warnings``: what the user should know of it.
    """

    platform: Platform
    base_url: str
    org_id: str | None
    credentials: Credentials
    http: HttpSettings
    envelope: bool
    warnings: tuple[str, ...] = ()


def resolve(params: Mapping[str, Any], environ: Mapping[str, str]) -> Connection:
    """Return the connection that a task and its environment name.

    Raises OptionError where they name none, two, or something that cannot work.
    """
    params = {name: given(params.get(name)) for name in CONNECTION_OPTIONS}
    platform = _platform(params, environ)
    base_url = _base_url(params, environ, platform)
    org_id = params["org_id"] or given(environ.get(platform.env_org_id))
    if org_id is not None:
        check_id("org_id" if params["org_id"] else platform.env_org_id, org_id)
    credentials = _credentials(params, environ, platform)
    http = _http_settings(params, environ, base_url)
    return Connection(
        platform=platform,
        base_url=base_url,
        org_id=org_id,
        credentials=credentials,
        http=http,
        envelope=params["envelope"],
        warnings=(
            *_credential_warnings(credentials, base_url),
            *_verification_warnings(params, http, base_url),
        ),
    )


def _credential_warnings(credentials: Credentials, base_url: str) -> Iterator[str]:
    # A key pair signs, and its private key is not sent.
    if not isinstance(credentials, KeyPair) and is_sent_in_clear(base_url):
        yield f"{credentials} is sent in clear, because base_url is http and not https."


def _verification_warnings(
    params: Mapping[str, Any], http: HttpSettings, base_url: str
) -> Iterator[str]:
    if http.verify is False:
        yield (
            f"Certificates are not verified, because {_validation(params)} is false. Anyone "
            f"between this host and {urlsplit(base_url).hostname} can read and change everything "
            "that is sent. Use ca_path to trust your own certificate authority."
        )


def _validation(params: Mapping[str, Any]) -> str:
    """Return what decides whether certificates are verified."""
    if params["validate_certs"] is None:
        return f"the environment variable {_ENV_VALIDATE_CERTS}"
    return "validate_certs"


def _platform(params: Mapping[str, Any], environ: Mapping[str, str]) -> Platform:
    name = params["platform"] or given(environ.get(_ENV_PLATFORM)) or "atlas"
    if name not in PLATFORMS:
        raise OptionError(
            f"The environment variable {_ENV_PLATFORM} is {quoted(name, 80)}",
            hint=f"It has to be one of {', '.join(PLATFORMS)}.",
        )
    return PLATFORMS[name]


def _base_url(params: Mapping[str, Any], environ: Mapping[str, str], platform: Platform) -> str:
    source, url = "base_url", cast("str | None", params["base_url"])
    if url is None and given(environ.get(platform.env_base_url)):
        source = f"The environment variable {platform.env_base_url}"
        url = environ[platform.env_base_url]
    if url is None:
        url = platform.default_base_url
    if url is None:
        raise OptionError(
            f"{platform.title} has no default address",
            hint=f"Set base_url, or the environment variable {platform.env_base_url}.",
        )
    url = url.strip()
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OptionError(
            f"{source} is no http or https address",
            hint="It looks like https://opsmanager.example.com:8443.",
        )
    if parts.username is not None:
        raise OptionError(
            f"{source} has a user or a password in it",
            hint="Give credentials by their own options.",
        )
    if "?" in url or "#" in url:
        raise OptionError(f"{source} has a query or a fragment", hint="Leave them away.")
    path = parts.path.rstrip("/")
    for other in PLATFORMS.values():
        if path.endswith(other.api_path):
            if other.api_path != platform.api_path:
                names = [p.name for p in PLATFORMS.values() if p.api_path == other.api_path]
                raise OptionError(
                    f"{source} ends in {other.api_path}, which is not the API of {platform.title}",
                    hint=f"Leave the path away, or set platform to {' or '.join(names)}.",
                )
            path = path[: -len(other.api_path)].rstrip("/")
            break
    return f"{parts.scheme}://{parts.netloc}{path}"


def _split(url: str) -> Any:
    """Return the parts of a URL, None where it cannot be one."""
    # urllib3 and Python disagree on what a backslash ends, and so on which host is meant.
    if not is_header_safe(url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        has_good_port = parts.port is None or parts.port > 0
        is_host = not parts.hostname or _is_host(parts.hostname)
    except ValueError:
        return None
    return parts if has_good_port and is_host else None


def _is_host(name: str) -> bool:
    """Whether a name can be that of a host: urllib3 has errors of its own for others."""
    if ":" not in name:
        return bool(_HOST.fullmatch(name)) and len(name) <= _MAX_HOST
    return bool(ipaddress.IPv6Address(name))


def _credentials(
    params: Mapping[str, Any], environ: Mapping[str, str], platform: Platform
) -> Credentials:
    found = list(_task_credentials(params)) or list(_env_credentials(environ, platform))
    if not found:
        variables = ", ".join(_credential_variables(platform))
        raise OptionError(
            "No credential is set",
            hint=(
                "Set api_public_key and api_private_key"
                + (", client_id and client_secret, or access_token" if _has_oauth(platform) else "")
                + f", or the environment variables of {platform.title} ({variables}) where the "
                "module runs."
            ),
        )
    if len(found) > 1:
        raise OptionError(
            f"Two kinds of credentials are set: {', and '.join(dict(found))}",
            hint="Set exactly one.",
        )
    source, credentials = found[0]
    _check_credentials(source, credentials, platform)
    return credentials


def _task_credentials(params: Mapping[str, Any]) -> Iterator[tuple[str, Credentials]]:
    kinds: tuple[tuple[Callable[..., Credentials], tuple[str, str]], ...] = (
        (KeyPair, ("api_public_key", "api_private_key")),
        (ServiceAccount, ("client_id", "client_secret")),
    )
    for kind, names in kinds:
        values = [params[name] for name in names]
        if any(values):
            _check_whole(names, values, "option")
            yield f"{names[0]} with {names[1]}", kind(*values)
    if params["access_token"]:
        yield "access_token", AccessToken(params["access_token"])


def _env_credentials(
    environ: Mapping[str, str], platform: Platform
) -> Iterator[tuple[str, Credentials]]:
    for names in platform.env_key_pairs:
        values = [environ.get(name) for name in names]
        if any(values):
            _check_whole(names, values, "environment variable")
            yield f"{names[0]} with {names[1]}", KeyPair(*map(str, values))
            break  # The other names are older ones of the same kind.
    if platform.env_service_account:
        names = platform.env_service_account
        values = [environ.get(name) for name in names]
        if any(values):
            _check_whole(names, values, "environment variable")
            yield f"{names[0]} with {names[1]}", ServiceAccount(*map(str, values))
    token = platform.env_access_token
    if token and environ.get(token):
        yield token, AccessToken(environ[token])


def _check_whole(names: tuple[str, str], values: list[Any], what: str) -> None:
    for name, other, value in zip(names, reversed(names), values):
        if not value:
            raise OptionError(
                f"The {what} {other} is set, and {name} is not",
                hint=f"Set {name} too: both must come from the same source.",
            )


def _check_credentials(source: str, credentials: Credentials, platform: Platform) -> None:
    _check_not_mistaken(source, credentials, platform)
    if isinstance(credentials, KeyPair):
        if is_id(credentials.public_key):
            raise OptionError(
                f"{source}: the public key looks like the ID of an API key",
                hint="Set it to the public key, which has 8 characters.",
            )
        has_quotes = '"' in credentials.public_key and not is_public_key(credentials.public_key)
        if not is_header_safe(credentials.public_key) or has_quotes:
            raise OptionError(
                f"{source}: the public key has characters that no public key has",
                hint="Look for blanks, line ends and quotes around it.",
            )
        if not is_header_safe(credentials.private_key):
            raise OptionError(
                f"{source}: the private key has characters that no private key has",
                hint="Look for blanks and line ends around it; the filter trim takes them away.",
            )
        return
    if not _has_oauth(platform):
        raise OptionError(
            f"{platform.title} has no service accounts and no access tokens",
            hint="Use api_public_key and api_private_key, or set platform.",
        )
    if isinstance(credentials, AccessToken):
        if not is_header_safe(credentials.token):
            raise OptionError(
                f"{source}: the token has blanks, line ends or other characters that no token has",
                hint="Give it without the word Bearer, and trim it.",
            )
    elif not _CLIENT_ID.fullmatch(credentials.client_id):
        raise OptionError(
            f"{source}: the client id is no id of a service account",
            hint="It is mdb_sa_id_ and 24 hexadecimal digits. An API key is given by "
            "api_public_key and api_private_key.",
        )
    elif not is_header_safe(credentials.client_secret):
        raise OptionError(
            f"{source}: the client secret has blanks, line ends or other characters that no "
            "secret has",
            hint="Trim it, with the filter trim for one.",
        )


def _check_not_mistaken(source: str, credentials: Credentials, platform: Platform) -> None:
    """Refuse a part of one kind of credential in place of another, without showing it."""
    if isinstance(credentials, KeyPair):
        parts = {"public_key": credentials.public_key, "private_key": credentials.private_key}
    elif isinstance(credentials, ServiceAccount):
        parts = {"client_id": credentials.client_id, "client_secret": credentials.client_secret}
    else:
        parts = {"token": credentials.token}
    for part, value in parts.items():
        kind = _kind_of_secret(value)
        if kind in {"", part}:
            continue
        if kind in parts:
            hint = "Are the two swapped?"
        elif kind == "private_key":
            hint = "An API key is given by api_public_key and api_private_key."
        elif _has_oauth(platform):
            hint = "Use client_id and client_secret."
        else:
            hint = f"{platform.title} has no service accounts: give the keys of an API key."
        place = part.replace("client_id", "client ID").replace("_", " ")
        raise OptionError(f"{source}: the {place} looks like {_KINDS[kind]}", hint=hint)


# What a part of a credential is called in messages.
_KINDS = {
    "private_key": "a private key",
    "client_id": "the client ID of a service account",
    "client_secret": "the client secret of a service account",
}


def _kind_of_secret(value: str) -> str:
    """Return which part of a credential a value can only be, one of _KINDS; "" if that is open."""
    value = value.strip()
    if value.startswith("mdb_sa_id_"):
        return "client_id"
    if value.startswith("mdb_sa_sk_"):
        return "client_secret"
    return "private_key" if looks_secret(value) else ""


def _has_oauth(platform: Platform) -> bool:
    return platform.has_service_accounts


def _credential_variables(platform: Platform) -> Iterator[str]:
    yield " and ".join(platform.env_key_pairs[0])
    if platform.env_service_account:
        yield " and ".join(platform.env_service_account)
    if platform.env_access_token:
        yield platform.env_access_token


def _http_settings(
    params: Mapping[str, Any], environ: Mapping[str, str], base_url: str
) -> HttpSettings:
    check_seconds("timeout", params["timeout"], zero=False)
    check_seconds("retry_max_wait", params["retry_max_wait"], zero=True)
    if params["retries"] < 0:
        raise OptionError(f"retries is {params['retries']}; it has to be 0 or more")
    proxy, no_proxy = _proxy(params, environ, base_url)
    return HttpSettings(
        verify=_verify(params, environ),
        cert=_client_certificate(params, environ),
        proxy=proxy,
        no_proxy=no_proxy,
        timeout=params["timeout"],
        retries=params["retries"],
        retry_max_wait=params["retry_max_wait"],
    )


def _proxy(
    params: Mapping[str, Any], environ: Mapping[str, str], base_url: str
) -> tuple[str | None, str | None]:
    """Return the proxy and the hosts that go without it; an option goes for every host."""
    source, proxy, no_proxy = "http_proxy", params["http_proxy"], None
    is_variable = proxy is None
    if proxy is None:
        for name in (f"{urlsplit(base_url).scheme}_proxy", "all_proxy"):
            # In lower case first, as curl and requests have it.
            source = next((n for n in (name, name.upper()) if environ.get(n)), "")
            if source:
                proxy = environ[source]
                no_proxy = environ.get("no_proxy") or environ.get("NO_PROXY")
                source = f"The environment variable {source}"
                break
    if proxy is None:
        return None, None
    proxy = proxy.strip()
    # What is not used is not judged: another program may have use for it.
    if no_proxy is None or not requests.utils.should_bypass_proxies(base_url, no_proxy):
        _check_proxy(source, proxy, urlsplit(base_url).hostname if is_variable else None)
    return proxy, no_proxy


def _check_proxy(source: str, proxy: str, host: str | None) -> None:
    """Refuse what is no http or https proxy; ``host`` is the one that NO_PROXY could exempt."""
    if "://" not in proxy:
        raise OptionError(
            f"{source} has the address of a proxy without a scheme",
            hint="Write http:// or https:// in front of it, as in http://proxy.example.com:3128.",
        )
    if proxy.lower().startswith("socks"):
        told, instead = "", ""
        if host is not None:
            told, instead = f", and NO_PROXY does not exempt {host}", f", or add {host} to NO_PROXY"
        raise OptionError(
            f"{source} names a SOCKS proxy, which is not supported{told}",
            hint=f"Name an http or https proxy{instead}.",
        )
    parts = _split(proxy)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OptionError(
            f"{source} is no address of an http or https proxy",
            hint="It looks like http://proxy.example.com:3128.",
        )


def _verify(params: Mapping[str, Any], environ: Mapping[str, str]) -> bool | str:
    """Return what requests takes as ``verify``: False, True (its own bundle), or a path."""
    validate = params["validate_certs"]
    if validate is None:
        validate = _env_bool(environ, _ENV_VALIDATE_CERTS, default=True)
    if not validate:
        if params["ca_path"] is not None:
            raise OptionError(
                f"ca_path is set, and {_validation(params)} is false, so that no certificate would "
                "be verified",
                hint="Remove one of them. With ca_path alone, certificates are verified.",
            )
        return False
    source, path = "ca_path", cast("str | None", params["ca_path"])
    for name in (_ENV_CA_PATH, *_ENV_CA_BUNDLES):
        if path is None and environ.get(name):
            source = f"The environment variable {name}"
            path = os.path.expanduser(environ[name])
    if path is None:
        return _system_ca()
    if os.path.isdir(path):
        try:
            has_hashed_names = _has_hashed_names(path)
        except OSError as error:
            raise OptionError(
                f"{source} is the folder {path}, which cannot be read ({error.strerror})",
                hint="Its certificates have to be readable for the user whom the module runs as.",
            ) from None
        if not has_hashed_names:
            raise OptionError(
                f"{source} is the folder {path}, and no certificate in it has a hashed name",
                hint="Run `openssl rehash` on it, or name a file with all certificates.",
            )
    else:
        _check_readable(source, path)
    return path


def _system_ca() -> bool | str:
    """Return the system's CA bundle, as Ansible's own modules use it, or True for requests'."""
    defaults = ssl.get_default_verify_paths()  # knows SSL_CERT_FILE and SSL_CERT_DIR
    for path in (defaults.cafile, *_SYSTEM_CA_BUNDLES):
        if path and os.path.isfile(path):
            return path
    with suppress(OSError):
        if defaults.capath and _has_hashed_names(defaults.capath):
            return defaults.capath
    return True


def _has_hashed_names(folder: str) -> bool:
    return any(re.fullmatch(r"[0-9a-f]{8}\.\d+", name) for name in os.listdir(folder))


def _client_certificate(
    params: Mapping[str, Any], environ: Mapping[str, str]
) -> str | tuple[str, str] | None:
    """Return what requests takes as ``cert``: a file with both, or certificate and key."""
    names = ("client_cert", "client_key")
    cert, key = params["client_cert"], params["client_key"]
    if cert is None and key is None:
        cert, key = (
            os.path.expanduser(environ[name]) if environ.get(name) else None
            for name in (_ENV_CLIENT_CERT, _ENV_CLIENT_KEY)
        )
        names = (_ENV_CLIENT_CERT, _ENV_CLIENT_KEY)
    if cert is None:
        if key is not None:
            raise OptionError(f"{names[1]} is given without {names[0]}", hint="Give both.")
        return None
    _check_readable(names[0], cert)
    if key is not None:
        _check_readable(names[1], key)
    with open(key or cert, "rb") as file:
        pem = file.read(1024 * 1024)
    # OpenSSL would ask for the password on a terminal that a task does not have.
    if b"BEGIN ENCRYPTED PRIVATE KEY" in pem or b"Proc-Type: 4,ENCRYPTED" in pem:
        raise OptionError(
            f"The private key in {key or cert} is encrypted, which is not supported",
            hint="Give a key without a password, in a file that only its user can read.",
        )
    if b"PRIVATE KEY-----" not in pem:
        raise OptionError(
            f"There is no private key in {key or cert}",
            hint=f"Name the file that has it in {names[1]}." if key is None else "",
        )
    return (cert, key) if key else cert


def _check_readable(source: str, path: str) -> None:
    try:
        # A pipe would be waited for without end, and a device read without end.
        why = "is no regular file"
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb"):
                return
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
    except ValueError:
        why = "cannot be read (it has a NUL, which no path has)"
    raise OptionError(
        f"{source} is {truncate_path(path)}, which {why}",
        hint="The file has to be on the machine where the module runs.",
    )


def _env_bool(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = environ.get(name, "").strip().lower()
    if value in {"1", "true", "yes", "on", "y", "t"}:
        return True
    if value in {"0", "false", "no", "off", "n", "f"}:
        return False
    if value == "":
        return default
    raise OptionError(
        f"The environment variable {name} is {quoted(value, 40)}", hint="Set it to true or false."
    )
