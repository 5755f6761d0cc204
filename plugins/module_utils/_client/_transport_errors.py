# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn proxy refusals and the exceptions of requests, urllib3, ssl and sockets into errors."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._http_settings import (
    DEADLINE_FACTOR,
    HttpSettings,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ConnectError,
    DeadlineError,
    LostResponseError,
    ProxyError,
    RedirectError,
    Request,
    TlsError,
    TransportError,
    sanitize,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._requests import (
    requests,
    urllib3,
)

# Limits how deep exceptions may wrap one another; the libraries use five levels.
_MAX_DEPTH = 20

# Verification errors of OpenSSL (X509_V_ERR_* of x509_vfy.h), for which Python has no names.
_SELF_SIGNED = 18
# Unable to get the issuer's certificate (also locally), self-signed in the chain, unable to verify
# the first certificate, untrusted.
_UNKNOWN_AUTHORITY = frozenset({2, 19, 20, 21, 27})
_NOT_YET_VALID_OR_EXPIRED = frozenset({9, 10})
_NAME_MISMATCH = 62
_IP_ADDRESS_MISMATCH = 64
# The key of the server or of a CA is too small, or the signature of a CA is too weak.
_TOO_WEAK = frozenset({66, 67, 68})
# Checks of VERIFY_X509_STRICT, the default since Python 3.13. Before OpenSSL 3, an invalid CA
# had the number 24.
_NOT_STRICT = frozenset({24, 32, *range(78, 95)})
_CHECK_OFF = (
    "(validate_certs: false disables this check, and TLS no longer protects the connection.)"
)

# OpenSSL's reasons for a handshake without a common version or cipher.
_NOTHING_IN_COMMON = re.compile(
    "INAPPROPRIATE_FALLBACK|NO_(CIPHERS|PROTOCOLS)_AVAILABLE|INSUFFICIENT_SECURITY|"
    "PROTOCOL_VERSION|UNSUPPORTED_(PROTOCOL|SSL_VERSION)|VERSION_TOO_LOW"
)


def redact_url(url: str) -> str:
    """Return scheme, host and path of a URL, without user, query and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an invalid address"
    host = f"[{host}]" if ":" in host else host
    path = parts.path if len(parts.path) <= 100 else "/…"
    return sanitize(f"{parts.scheme}://{host}{port}{path}" if host else path)


def redirect(status: int, location: str, request: Request) -> RedirectError:
    return RedirectError(
        f"the server redirects ({status}) to {redact_url(location)}",
        request=request,
        status=status,
        reason="redirect",
        hint=(
            "Redirects are not followed, because the target may not be the API. Check base_url "
            f"({request.base_url}): should it use https instead of http, or does a login page or "
            "gateway intercept the request?"
        ),
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and everything that it wraps, outermost first."""
    queue: list[Any] = [error]
    seen: set[int] = set()
    while queue:
        current = queue.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        queue += [*_wrapped(current), current.__context__]


def proves_unsent(error: BaseException) -> bool:
    """Return whether the root causes of an exception prove that no request was sent.

    The type of a wrapping exception proves nothing: urllib3 raises its ProxyError and SSLError also
    after a request has arrived. An unknown exception, for example from another version of a
    library, does not prove it either.
    """
    return _is_before_connecting(error) or _proves_unsent(error, is_connecting=False)


def _is_before_connecting(error: BaseException) -> bool:
    """Return whether requests rejected the request or the TLS files before it opened a socket."""
    if _is_invalid_address(error):
        return True
    return _is_bare(error) and _raised_in(error) == ("requests.adapters", "cert_verify")


def _is_invalid_address(error: BaseException) -> bool:
    # InvalidHeader is missing here: requests raises it for headers of responses, too.
    return isinstance(
        error,
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            urllib3.exceptions.LocationValueError,
        ),
    )


def _proves_unsent(error: BaseException, *, is_connecting: bool, depth: int = 0) -> bool:
    """``is_connecting``: urllib3 raised this while it opened the connection."""
    is_new_connection = isinstance(error, urllib3.exceptions.NewConnectionError)
    if isinstance(error, (socket.gaierror, ssl.SSLCertVerificationError)) or _is_refused_tunnel(
        error
    ):
        return True
    # urllib3 1.26 compares host names itself, before it sends anything.
    if isinstance(error, _host_name_errors()):
        return True
    # In urllib3 1.26, NewConnectionError derives from ConnectTimeoutError.
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not is_new_connection:
        return True
    # An open connection can report these, too.
    if is_connecting and isinstance(error, (ConnectionRefusedError, TimeoutError, socket.timeout)):
        return True
    wrapped = _wrapped(error)
    if not wrapped and is_new_connection and error.__context__:
        wrapped = [error.__context__]  # urllib3 1.26 sets no explicit cause
    return (
        bool(wrapped)
        and depth < _MAX_DEPTH
        and all(
            _proves_unsent(cause, is_connecting=is_new_connection, depth=depth + 1)
            for cause in wrapped
        )
    )


def _host_name_errors() -> tuple[type[BaseException], ...]:
    # The module that defines it depends on the version; urllib3.connection always imports it.
    kind = getattr(getattr(urllib3, "connection", None), "CertificateError", None)
    return (kind,) if kind else ()


def _is_refused_tunnel(error: BaseException) -> bool:
    """Return whether a proxy refused a CONNECT.

    Only the function that sends the CONNECT raises this, and the request itself follows later.
    """
    return _is_bare(error) and _raised_in(error) in {
        ("http.client", "_tunnel"),
        ("urllib3.connection", "_tunnel"),
    }


def _is_bare(error: BaseException) -> bool:
    """Return whether Python code, not the system or a socket, raised an OSError."""
    sockets = (ConnectionError, TimeoutError, socket.timeout, ssl.SSLError)
    return isinstance(error, OSError) and error.errno is None and not isinstance(error, sockets)


def _raised_in(error: BaseException) -> tuple[str, str]:
    """Return the module and name of the function that raised an exception."""
    where: TracebackType | None = error.__traceback__
    if where is None:
        return "", ""
    while where.tb_next:
        where = where.tb_next
    return str(where.tb_frame.f_globals.get("__name__")), where.tb_frame.f_code.co_name


def _wrapped(error: BaseException) -> list[BaseException]:
    """Return the exceptions that an exception explicitly wraps."""
    found = [*error.args, getattr(error, "reason", None), error.__cause__]
    return [cause for cause in found if isinstance(cause, BaseException)]


def transport_error(
    error: BaseException, request: Request, settings: HttpSettings, via_proxy: bool
) -> TransportError:
    """Describe an exception, and whether the request was sent."""
    failure = _describe(error, request, settings, via_proxy)
    return failure.with_context(never_sent=proves_unsent(error))


def _describe(
    error: BaseException, request: Request, settings: HttpSettings, via_proxy: bool
) -> TransportError:
    causes = list(_causes(error))
    names = {type(cause).__name__ for cause in causes}
    host = urlsplit(request.base_url).netloc
    if _is_invalid_address(error):
        return ConnectError(
            f"{sanitize(request.base_url, 200)} is not a valid address",
            request=request,
            reason="invalid address",
            hint="Check base_url and http_proxy.",
        ).with_context(transient=False)
    if "ProxyError" in names:
        failure = _proxy_error(causes, names, request, settings)
        if failure:
            return failure
    tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    is_cut_off = isinstance(tls, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    if (tls or isinstance(error, requests.exceptions.SSLError)) and not is_cut_off:
        return _tls_error(causes, tls, request, settings, host)
    if names & {"ConnectTimeoutError", "ConnectTimeout"}:
        return ConnectError(
            f"no connection to {_proxy_host(settings) if via_proxy else host} within "
            f"{settings.timeout:g} s",
            request=request,
            reason="connect timeout",
            hint="Check base_url, the firewall and http_proxy, or raise timeout.",
        )
    if names & {"NewConnectionError", "NameResolutionError"}:
        return _connect_error(causes, request, host)
    # On Python 3.9, socket.timeout is not a TimeoutError.
    if names & {"ReadTimeout", "ReadTimeoutError"} or any(
        isinstance(cause, (TimeoutError, socket.timeout)) for cause in causes
    ):
        return DeadlineError(
            f"the response did not arrive in time (timeout is {settings.timeout:g} s, and "
            f"{settings.timeout * DEADLINE_FACTOR:g} s for the whole response)",
            request=request,
            reason="timeout",
            hint="Check the network to the API, or raise timeout.",
        )
    if isinstance(error, OSError) and not isinstance(
        error, (ConnectionError, requests.exceptions.RequestException)
    ):
        # requests checks the files of verify and cert when it connects.
        return TlsError(
            f"TLS could not be set up: {sanitize(error.strerror or str(error), 200)}",
            request=request,
            reason="TLS failed",
            hint="Check ca_path, client_cert and client_key.",
        )
    if any(
        isinstance(cause, http.client.HTTPException)
        and not isinstance(cause, (http.client.RemoteDisconnected, http.client.IncompleteRead))
        for cause in causes
    ):
        return LostResponseError(
            f"the response from {host} is not HTTP",
            request=request,
            reason="not HTTP",
            hint="Check the port in base_url, and whether it must be http or https.",
        )
    return LostResponseError(
        f"the connection to {host} broke before the response was complete",
        request=request,
        reason="connection broken",
        hint="Check the network to the API.",
    )


def _proxy_host(settings: HttpSettings) -> str:
    """Return host and port of the proxy, without its user and password."""
    return urlsplit(settings.proxy or "").netloc.rpartition("@")[2]


def _connect_error(causes: list[BaseException], request: Request, host: str) -> ConnectError:
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            # "No such name" is final; "try again" (EAI_AGAIN) and others are not.
            return ConnectError(
                f"cannot resolve the host name {host}",
                request=request,
                reason="unknown host",
                hint=(
                    "Check base_url and DNS on the machine where the module runs. If it reaches "
                    "the API through a proxy, set http_proxy or HTTPS_PROXY."
                ),
            ).with_context(transient=cause.errno != socket.EAI_NONAME)
        if isinstance(cause, ConnectionRefusedError):
            return ConnectError(
                f"{host} refuses connections",
                request=request,
                reason="connection refused",
                hint="Check the host and port of base_url, and that the server is up.",
            )
    reasons = [cause.strerror for cause in causes if isinstance(cause, OSError)]
    why = next(filter(None, reasons), None)
    return ConnectError(
        f"no connection to {host}" + (f" ({sanitize(why, 80)})" if why else ""),
        request=request,
        reason="no connection",
        hint="Check base_url, the network and http_proxy.",
    )


def _proxy_error(
    causes: list[BaseException], names: set[str], request: Request, settings: HttpSettings
) -> ProxyError | None:
    """Return the error of a proxy that did not let the request through, otherwise None.

    urllib3 calls every failure on the way through a proxy a ProxyError.
    """
    proxy = _proxy_host(settings)
    for cause in causes:
        if _is_refused_tunnel(cause):
            status = re.search(r"\b\d{3}\b.*", str(cause))
            refusal = sanitize(status.group() if status else str(cause), 80)
            return proxy_refusal("to connect", refusal, request, settings)
    rejected = _rejected_certificate(causes)
    if rejected:
        return ProxyError(
            f"the certificate of the proxy {proxy} is not accepted: {_verify_message(rejected)}",
            request=request,
            reason="proxy not trusted",
            hint=_certificate_advice(rejected, "http_proxy"),
        ).with_context(transient=False)
    if names & {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"}:
        return ProxyError(
            f"the proxy {proxy} cannot be reached",
            request=request,
            reason="proxy unreachable",
            hint="Check http_proxy, or the proxy variables of the environment.",
        )
    return None


def is_of_proxy(raw: Any, request: Request) -> bool:
    """Return whether a response to a request over plain HTTP is a refusal of the proxy itself.

    Some proxies (tinyproxy) reject a wrong password with 401 and HTML instead of 407.
    """
    if not request.base_url.startswith("http://"):
        return False
    offers = raw.headers.get("WWW-Authenticate", "").strip().lower()
    media_type = raw.headers.get("Content-Type", "").lower()
    return raw.status_code == 407 or (
        raw.status_code == 401 and offers.startswith("basic") and "json" not in media_type
    )


def proxy_refusal(what: str, refusal: str, request: Request, settings: HttpSettings) -> ProxyError:
    """Return the error of a proxy that refused ``what``. ``refusal``: its status and reason.

    Nothing was done, whether the proxy or a server behind it returned the 401 or 407; and a
    CONNECT comes before the request.
    """
    return ProxyError(
        f"the proxy {_proxy_host(settings)} refused {what}: {refusal}",
        request=request,
        reason="proxy refused",
        hint=(
            "Check the proxy's user and password, in http_proxy or the environment."
            if refusal.startswith(("401", "407"))
            else "Check that the proxy lets this host connect to the API."
        ),
    ).with_context(never_sent=True, transient=refusal[:3] in {"500", "502", "503", "504"})


def _tls_error(
    causes: list[BaseException],
    tls: BaseException | None,
    request: Request,
    settings: HttpSettings,
    host: str,
) -> TlsError:
    rejected = _rejected_certificate(causes)
    why = getattr(tls, "reason", None) or ""
    summary = f"TLS with {host} failed" + (f": {why.lower().replace('_', ' ')}" if why else "")
    if rejected:
        summary = f"the certificate of {host} is not accepted: {_verify_message(rejected)}"
        hint = _certificate_advice(rejected, "base_url")
    elif "WRONG_VERSION_NUMBER" in why or "HTTP_REQUEST" in why:
        hint = (
            "The server does not use TLS on this port: check the port and the scheme in base_url."
        )
    elif _NOTHING_IN_COMMON.search(why):
        hint = (
            "The server and this host have no TLS version or cipher in common; one of them is too "
            "old. The server must offer TLS 1.2 or newer."
        )
    elif "RENEGOTIATION" in why:
        hint = (
            "The server is too old for this host: it does not support secure renegotiation (RFC "
            "5746). Its TLS software must be updated."
        )
    elif "CERTIFICATE_REQUIRED" in why or "HANDSHAKE_FAILURE" in why:
        hint = "The server may require a client certificate: set client_cert and client_key."
    elif "ALERT" in why and settings.cert:
        hint = "The server does not accept the client certificate: check client_cert."
    else:
        hint = "Check base_url, ca_path, client_cert and client_key."
    return TlsError(summary, request=request, reason="TLS failed", hint=hint)


def client_certificate_hint(request: Request, settings: HttpSettings) -> str:
    """Return advice: with TLS 1.3, a missing client certificate may break the connection."""
    if not request.base_url.startswith("https://"):
        return ""
    if settings.cert:
        return " The server may not accept the client certificate: check client_cert."
    return " The server may require a client certificate: set client_cert and client_key."


def _rejected_certificate(causes: list[BaseException]) -> BaseException | None:
    kinds: tuple[type[BaseException], ...] = (ssl.SSLCertVerificationError, *_host_name_errors())
    return next((cause for cause in causes if isinstance(cause, kinds)), None)


def _verify_message(rejected: BaseException) -> str:
    # urllib3 1.26 compares host names itself, and its error has only text.
    why = getattr(rejected, "verify_message", "") or "".join(map(str, rejected.args))
    return sanitize(why, 200).rstrip(".")


def _certificate_advice(rejected: BaseException, option: str) -> str:
    """Return what to check for a certificate. ``option`` has the address of its server."""
    # urllib3 1.26 compares names itself, and its error has no number.
    number = getattr(rejected, "verify_code", _NAME_MISMATCH)
    if number in {_NAME_MISMATCH, _IP_ADDRESS_MISMATCH}:
        # OpenSSL has one number for both cases, and Python does not show the certificate.
        return (
            f"Check {option}: its host must be in the certificate's subjectAltName. A certificate "
            "without subjectAltName, which has only a common name, must be reissued."
        )
    if number in _NOT_YET_VALID_OR_EXPIRED:
        return "Have the server's certificate renewed. Also check this host's clock."
    if number in _TOO_WEAK | _NOT_STRICT:
        return (
            "The certificate or a CA certificate above it does not meet this host's requirements: "
            "its key or signature is too weak, or it lacks an extension that Python 3.13 requires. "
            "Have it reissued."
        )
    if number == _SELF_SIGNED:
        return (
            "The certificate is self-signed. Get a copy from the administrator of the server, and "
            f"set ca_path to it. {_CHECK_OFF}"
        )
    if number in _UNKNOWN_AUTHORITY:
        return f"Set ca_path to the file or directory of the CA certificate. {_CHECK_OFF}"
    return "Check the server's certificate, and the file or directory in ca_path."
