# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resolve the options of a task and its environment into one connection.

Options override environment variables, which override defaults.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    AccessToken,
    Credentials,
    KeyPair,
    ServiceAccount,
    is_client_id,
    is_header_safe,
    is_public_key,
    looks_secret,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._http_settings import (
    HttpSettings,
    is_sent_in_clear,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    CREDENTIAL_OPTIONS,
    PLATFORMS,
    CredentialNames,
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

# Host names must not contain underscores, but many do.
_HOST = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_MAX_HOST = 254
_ENV_PLATFORM = "KEYSMITH_MONGODB_PLATFORM"
_ENV_VALIDATE_CERTS = "KEYSMITH_MONGODB_VALIDATE_CERTS"
# In the order of curl and requests.
_ENV_CA_PATHS = ("KEYSMITH_MONGODB_CA_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CLIENT_CERT_OPTIONS = ("client_cert", "client_key")
_ENV_CLIENT_CERT = ("KEYSMITH_MONGODB_CLIENT_CERT", "KEYSMITH_MONGODB_CLIENT_KEY")
_SYSTEM_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",  # older RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)
# How messages describe a value in the wrong place.
_KINDS = {
    "api_user_id": "the ID of an API key",
    "private_key": "a private key",
    "client_id": "the client ID of a service account",
    "client_secret": "the client secret of a service account",
}
_USE_KEY_PAIR = "For an API key, use api_public_key and api_private_key."
_TRIM = "Remove spaces and line breaks around it, for example with the trim filter."
_FORMATS = {
    "public_key": "Remove spaces, line breaks and quotes around it.",
    "private_key": _TRIM,
    "client_id": f"It must be mdb_sa_id_ and 24 hexadecimal digits. {_USE_KEY_PAIR}",
    "client_secret": _TRIM,
    "token": "Remove the word Bearer, spaces and line breaks.",
}


@dataclass(frozen=True)
class Connection:
    """Everything needed to reach an API. No secret is in its ``repr``."""

    platform: Platform
    base_url: str
    org_id: str | None
    credentials: Credentials
    http: HttpSettings
    envelope: bool
    warnings: tuple[str, ...] = ()


def resolve(
    params: Mapping[str, Any], environ: Mapping[str, str], *, ignores_token: bool = False
) -> Connection:
    """Return the connection that a task and its environment describe.

    ``ignores_token``: an access token is not a credential, and neither is a client ID next to it.
    Raises OptionError if credentials or addresses are missing, ambiguous or unusable.
    """
    source, name = _setting("platform", params, environ, _ENV_PLATFORM)
    if (name or "atlas") not in PLATFORMS:
        raise OptionError(
            f"{source} is {quoted(name, 80)}", hint=f"Set it to one of {', '.join(PLATFORMS)}."
        )
    platform = PLATFORMS[name or "atlas"]
    base_url = _base_url(params, environ, platform)
    credentials = _credentials(params, environ, platform, ignores_token)
    http = _http_settings(params, environ, base_url)
    return Connection(
        platform=platform,
        base_url=base_url,
        org_id=params["org_id"] or environ.get(platform.env_org_id) or None,
        credentials=credentials,
        http=http,
        envelope=params["envelope"],
        warnings=tuple(_warnings(params, environ, credentials, http, base_url)),
    )


def _setting(
    option: str, params: Mapping[str, Any], environ: Mapping[str, str], *variables: str
) -> tuple[str, Any]:
    """Return the source of an option, as text, and its value; None if it is not set."""
    if params[option] is None:
        for name in variables:
            if environ.get(name):
                return f"The environment variable {name}", environ[name]
    return option, params[option]


def _warnings(
    params: Mapping[str, Any],
    environ: Mapping[str, str],
    credentials: Credentials,
    http: HttpSettings,
    base_url: str,
) -> Iterator[str]:
    # Digest does not send the private key.
    if not isinstance(credentials, KeyPair) and is_sent_in_clear(base_url):
        yield f"{credentials} is sent unencrypted, because base_url uses http, not https."
    if http.verify is False:
        yield (
            f"Certificates are not verified: {_validation(params, environ)[0]} is false. Anyone "
            f"between this host and {urlsplit(base_url).hostname} can read and change everything "
            "that is sent. Use ca_path to trust your own certificate authority."
        )


def _validation(params: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[str, bool]:
    """Return the source of the certificate verification setting, and its value."""
    source, value = _setting("validate_certs", params, environ, _ENV_VALIDATE_CERTS)
    word = "" if value is None else str(value).strip().lower()
    if word in {"", "1", "true", "yes", "on", "y", "t"}:
        return source, True
    if word in {"0", "false", "no", "off", "n", "f"}:
        return source, False
    raise OptionError(f"{source} is {quoted(word, 40)}", hint="Set it to true or false.")


def _base_url(params: Mapping[str, Any], environ: Mapping[str, str], platform: Platform) -> str:
    source, url = _setting("base_url", params, environ, platform.env_base_url)
    url = url or platform.default_base_url
    if url is None:
        raise OptionError(
            f"{platform.title} has no default address",
            hint=f"Set base_url, or the environment variable {platform.env_base_url}.",
        )
    url = url.strip()
    parts = _split(url)
    if parts is None:
        raise OptionError(
            f"{source} is not a valid http or https URL",
            hint="Example: https://opsmanager.example.com:8443.",
        )
    if parts.username is not None:
        raise OptionError(
            f"{source} contains a username or password",
            hint="Set credentials with their own options.",
        )
    if "?" in url or "#" in url:
        raise OptionError(f"{source} contains a query or a fragment", hint="Remove it.")
    path = parts.path.rstrip("/")
    for other in PLATFORMS.values():
        if other.api_path != platform.api_path and path.endswith(other.api_path):
            names = [p.name for p in PLATFORMS.values() if p.api_path == other.api_path]
            raise OptionError(
                f"{source} ends in {other.api_path}, which is not the API of {platform.title}",
                hint=f"Remove the path, or set platform to {' or '.join(names)}.",
            )
    if path.endswith(platform.api_path):
        path = path[: -len(platform.api_path)].rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _split(url: str) -> Any:
    """Return the parts of an http or https URL, None if it is not valid."""
    # urllib3 and Python disagree on which host a URL with a backslash has.
    if not is_header_safe(url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.port != 0 and _is_host(parts.hostname or ""):
            return parts
    except ValueError:
        pass
    return None


def _is_host(name: str) -> bool:
    """Return whether urllib3 accepts a host name."""
    if ":" not in name:
        return bool(_HOST.fullmatch(name)) and len(name) <= _MAX_HOST
    return bool(ipaddress.IPv6Address(name))


def _credentials(
    params: Mapping[str, Any],
    environ: Mapping[str, str],
    platform: Platform,
    ignores_token: bool,
) -> Credentials:
    if ignores_token:
        params = _without_token(CREDENTIAL_OPTIONS, params)
        environ = _without_token(platform.env_credentials, environ)
    found = _find_credentials(CREDENTIAL_OPTIONS, params, "option") or _find_credentials(
        platform.env_credentials, environ, "environment variable"
    )
    if not found and ignores_token:
        raise OptionError(
            "No client ID and client secret are set",
            hint="Set client_id and client_secret. This task does not authenticate with an access "
            "token.",
        )
    if not found:
        preferred: dict[Any, str] = {}
        for kind, names in platform.env_credentials:
            preferred.setdefault(kind, " and ".join(names))
        variables = ", ".join(preferred.values())
        others = ", client_id and client_secret, or access_token"
        raise OptionError(
            "No credential is set",
            hint=(
                "Set api_public_key and api_private_key"
                + (others if platform.has_service_accounts else "")
                + f", or the environment variables of {platform.title} ({variables}) where the "
                "module runs."
            ),
        )
    if len(found) > 1:
        raise OptionError(
            f"Two kinds of credentials are set: {', and '.join(found)}", hint="Set exactly one."
        )
    source, credentials = next(iter(found.items()))
    if isinstance(credentials, AccessToken) and credentials.owner is None:
        credentials = _with_secret(credentials, environ, platform)
    if not isinstance(credentials, KeyPair) and not platform.has_service_accounts:
        raise OptionError(
            f"{platform.title} has no service accounts and no access tokens",
            hint="Use api_public_key and api_private_key, or set platform.",
        )
    check_credential(source, credentials, platform)
    return credentials


def check_credential(source: str, credentials: Credentials, platform: Platform) -> None:
    """Refuse a credential with an invalid part, without showing it. Raises OptionError."""
    parts = {name: part for name, part in vars(credentials).items() if part is not None}
    for part, value in parts.items():
        _check_not_mistaken(source, part, value, parts, platform)
    for part, value in parts.items():
        _check_format(source, part, value)


def _find_credentials(
    known: CredentialNames, values: Mapping[str, Any], what: str
) -> dict[str, Credentials]:
    """Return the credentials that are set, by their names; one of each kind."""
    found: dict[str, Credentials] = {}
    # With a token, a service account is the one that the token belongs to. Its secret is optional.
    owner: list[str] = []
    for kind, names in known:
        parts = [values.get(name) for name in names]
        if kind is ServiceAccount and parts[0] and _has_token(known, values):
            owner = [name for name in names if values.get(name)]
            continue
        if not any(parts) or any(isinstance(other, kind) for other in found.values()):
            continue
        if not all(parts):
            present, missing = names if parts[0] else names[::-1]
            raise OptionError(
                f"The {what} {present} is set, and {missing} is not",
                hint=f"Set {missing} too: both must come from the same source.",
            )
        used = [*names, *owner] if kind is AccessToken else [*names]
        found[" with ".join(used)] = kind(*(str(values[name]) for name in used))
    return found


def _has_token(known: CredentialNames, values: Mapping[str, Any]) -> bool:
    return any(values.get(names[0]) for kind, names in known if kind is AccessToken)


def _with_secret(token: AccessToken, environ: Mapping[str, str], platform: Platform) -> AccessToken:
    """Return a token with its owner's secret, if the environment has it."""
    for kind, names in platform.env_credentials:
        if kind is ServiceAccount and token.client_id and token.client_id == environ.get(names[0]):
            return replace(token, client_secret=environ.get(names[1]) or None)
    return token


def _without_token(known: CredentialNames, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values without access tokens, and without a client ID that only names their owner."""
    ignored = {name for kind, names in known if kind is AccessToken for name in names}
    for kind, names in known:
        if kind is ServiceAccount and _has_token(known, values) and not values.get(names[1]):
            ignored.add(names[0])
    return {name: value for name, value in values.items() if name not in ignored}


def _check_not_mistaken(
    source: str, part: str, value: str, parts: Mapping[str, str], platform: Platform
) -> None:
    """Refuse a part of a credential in place of another, without showing it."""
    kind = _kind_of(part, value.strip())
    if kind in {"", part}:
        return
    if kind in parts:
        hint = "Are the two swapped?"
    elif kind == "api_user_id":
        hint = "Use the public key, which has 8 characters."
    elif kind == "private_key":
        hint = _USE_KEY_PAIR
    elif platform.has_service_accounts:
        hint = "Use client_id and client_secret."
    else:
        hint = f"{platform.title} has no service accounts: use the key pair of an API key."
    raise OptionError(f"{source}: the {_noun(part)} looks like {_KINDS[kind]}", hint=hint)


def _kind_of(part: str, value: str) -> str:
    """Return the only kind that a value can be, a key of _KINDS; "" if it can be several."""
    if value.startswith("mdb_sa_id_"):
        return "client_id"
    if value.startswith("mdb_sa_sk_"):
        return "client_secret"
    if part == "public_key" and is_id(value):
        return "api_user_id"
    return "private_key" if looks_secret(value) else ""


def _check_format(source: str, part: str, value: str) -> None:
    is_valid = is_client_id(value) if part == "client_id" else is_header_safe(value)
    if part == "public_key" and '"' in value:
        is_valid = is_public_key(value)
    if not is_valid:
        raise OptionError(f"{source}: the {_noun(part)} is not valid", hint=_FORMATS[part])


def _noun(part: str) -> str:
    return part.replace("_id", " ID").replace("_", " ")


def _http_settings(
    params: Mapping[str, Any], environ: Mapping[str, str], base_url: str
) -> HttpSettings:
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
    """Return the proxy, and the hosts that bypass it; none bypass a proxy that the task sets."""
    name = f"{urlsplit(base_url).scheme}_proxy"
    # Lowercase first, like curl and requests.
    variables = (name, name.upper(), "all_proxy", "ALL_PROXY")
    source, proxy = _setting("http_proxy", params, environ, *variables)
    if proxy is None:
        return None, None
    proxy, no_proxy, exempt = proxy.strip(), None, ""
    if source != "http_proxy":
        no_proxy = environ.get("no_proxy") or environ.get("NO_PROXY")
        exempt = urlsplit(base_url).hostname or ""
        if no_proxy is not None and requests.utils.should_bypass_proxies(base_url, no_proxy):
            return proxy, no_proxy
    if proxy.lower().startswith("socks"):
        raise OptionError(
            f"{source} is a SOCKS proxy, which is not supported"
            + (f", and NO_PROXY does not exempt {exempt}" if exempt else ""),
            hint="Set an http or https proxy"
            + (f", or add {exempt} to NO_PROXY." if exempt else "."),
        )
    if _split(proxy) is None:
        raise OptionError(
            f"{source} is not the address of an http or https proxy",
            hint="Example: http://proxy.example.com:3128.",
        )
    return proxy, no_proxy


def _verify(params: Mapping[str, Any], environ: Mapping[str, str]) -> bool | str:
    """Return the ``verify`` argument for requests: False, True (its own bundle), or a path."""
    switch, is_validating = _validation(params, environ)
    if not is_validating:
        if params["ca_path"] is not None:
            raise OptionError(
                f"{switch} is false, so ca_path would have no effect",
                hint="Remove one of them. With ca_path alone, certificates are verified.",
            )
        return False
    source, found = _setting("ca_path", params, environ, *_ENV_CA_PATHS)
    if found is None:
        return _system_ca()
    path = os.path.expanduser(str(found))
    if not os.path.isdir(path):
        _check_readable(source, path)
        return path
    try:
        is_usable = _has_hashed_names(path)
    except OSError as error:
        raise OptionError(
            f"{source} is the directory {path}, which cannot be read ({error.strerror})",
            hint="The user that runs the module must be able to read the certificates in it.",
        ) from None
    if not is_usable:
        raise OptionError(
            f"{source} is the directory {path}, in which no certificate has a hashed name",
            hint="Run `openssl rehash` on it, or use a file with all certificates.",
        )
    return path


def _system_ca() -> bool | str:
    """Return the system's CA bundle, which Ansible's own modules use, or True for requests'."""
    defaults = ssl.get_default_verify_paths()  # reads SSL_CERT_FILE and SSL_CERT_DIR
    for path in (defaults.cafile, *_SYSTEM_CA_BUNDLES):
        if path and os.path.isfile(path):
            return path
    with suppress(OSError):
        if defaults.capath and _has_hashed_names(defaults.capath):
            return defaults.capath
    return True


def _has_hashed_names(directory: str) -> bool:
    return any(re.fullmatch(r"[0-9a-f]{8}\.\d+", name) for name in os.listdir(directory))


def _client_certificate(
    params: Mapping[str, Any], environ: Mapping[str, str]
) -> str | tuple[str, str] | None:
    """Return the ``cert`` argument for requests: a file with both, or certificate and key."""
    names, values = _CLIENT_CERT_OPTIONS, params
    if params["client_cert"] is None and params["client_key"] is None:
        names, values = _ENV_CLIENT_CERT, environ
    cert, key = (os.path.expanduser(values.get(name) or "") for name in names)
    if not cert:
        if key:
            raise OptionError(f"{names[1]} is set without {names[0]}", hint="Set both.")
        return None
    _check_readable(names[0], cert)
    if key:
        _check_readable(names[1], key)
    with open(key or cert, "rb") as file:
        pem = file.read(1024 * 1024)
    # OpenSSL would wait for a password on a terminal that a task does not have.
    if b"BEGIN ENCRYPTED PRIVATE KEY" in pem or b"Proc-Type: 4,ENCRYPTED" in pem:
        raise OptionError(
            f"The private key in {key or cert} is encrypted, which is not supported",
            hint="Use a key without a password, in a file that only its user can read.",
        )
    if b"PRIVATE KEY-----" not in pem:
        raise OptionError(
            f"There is no private key in {key or cert}",
            hint="" if key else f"Set {names[1]} to the file that has it.",
        )
    return (cert, key) if key else cert


def _check_readable(source: str, path: str) -> None:
    try:
        # Reading a pipe or a device might never end.
        why = "is not a regular file"
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb"):
                return
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
    except ValueError:
        why = "cannot be read (it contains a NUL character)"
    raise OptionError(
        f"{source} is {truncate_path(path)}, which {why}",
        hint="The file must be on the machine where the module runs.",
    )
