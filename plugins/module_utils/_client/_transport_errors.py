# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What requests, urllib3, ssl, sockets and proxies say instead of an answer, as errors."""

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
    LostAnswerError,
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

# Of exceptions that wrap one another; the libraries use five.
_MAX_DEPTH = 20

# Why OpenSSL does not accept a certificate: X509_V_ERR_* of its x509_vfy.h. Python has no names.
_UNABLE_TO_GET_ISSUER_CERT = 2
_CERT_NOT_YET_VALID = 9
_CERT_HAS_EXPIRED = 10
_DEPTH_ZERO_SELF_SIGNED_CERT = 18
_SELF_SIGNED_CERT_IN_CHAIN = 19
_UNABLE_TO_GET_ISSUER_CERT_LOCALLY = 20
_UNABLE_TO_VERIFY_LEAF_SIGNATURE = 21
_INVALID_CA_BEFORE_OPENSSL_3 = 24
_CERT_UNTRUSTED = 27
_KEYUSAGE_NO_CERTSIGN = 32
_HOSTNAME_MISMATCH = 62
_IP_ADDRESS_MISMATCH = 64
_EE_KEY_TOO_SMALL = 66
_CA_KEY_TOO_SMALL = 67
_CA_MD_TOO_WEAK = 68
_SIGNATURE_ALGORITHM_INCONSISTENCY = 78
_EC_KEY_EXPLICIT_PARAMS = 94

_UNKNOWN_AUTHORITY = frozenset(
    {
        _UNABLE_TO_GET_ISSUER_CERT,
        _SELF_SIGNED_CERT_IN_CHAIN,
        _UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        _UNABLE_TO_VERIFY_LEAF_SIGNATURE,
        _CERT_UNTRUSTED,
    }
)
_WEAK_CERTIFICATE = frozenset({_EE_KEY_TOO_SMALL, _CA_KEY_TOO_SMALL, _CA_MD_TOO_WEAK})
# The numbers between these two are those of VERIFY_X509_STRICT, the default since Python 3.13.
_NOT_STRICT = frozenset(
    {
        _INVALID_CA_BEFORE_OPENSSL_3,
        _KEYUSAGE_NO_CERTSIGN,
        *range(_SIGNATURE_ALGORITHM_INCONSISTENCY, _EC_KEY_EXPLICIT_PARAMS + 1),
    }
)

# Reasons of OpenSSL for other errors of TLS. Those of a certificate are about the client's own:
# about the server's, the number says so.
_WEAK_CLIENT_CERTIFICATE = frozenset({"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"})
_NOTHING_IN_COMMON = frozenset(
    {
        "INAPPROPRIATE_FALLBACK",
        "NO_CIPHERS_AVAILABLE",
        "NO_PROTOCOLS_AVAILABLE",
        "TLSV1_ALERT_INAPPROPRIATE_FALLBACK",
        "TLSV1_ALERT_INSUFFICIENT_SECURITY",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "UNSUPPORTED_PROTOCOL",
        "UNSUPPORTED_SSL_VERSION",
        "VERSION_TOO_LOW",
    }
)


def redact_url(url: str) -> str:
    """Return scheme, host and path of a URL: where it leads, without user, query or fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
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
            "Redirects are not followed, because what answers there may not be the API. Check "
            f"base_url, it is {request.base_url}: http where https is meant, or a sign-on page "
            "in between?"
        ),
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it wraps, the outermost first."""
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
    """Whether an exception, followed down to its root causes, proves that no request was sent.

    The type of an exception that only wraps others proves nothing: urllib3 raises its ProxyError
    and SSLError after a request has arrived, too. Everything that is not known here, from another
    version of a library for example, counts as no proof.
    """
    return _is_before_connecting(error) or _proves_unsent(error, is_connecting=False)


def _is_before_connecting(error: BaseException) -> bool:
    """Whether requests refused the request itself, or the TLS files, before it opened a socket."""
    if _is_invalid_address(error):
        return True
    return _is_bare(error) and _raised_in(error) == ("requests.adapters", "cert_verify")


def _is_invalid_address(error: BaseException) -> bool:
    # Not InvalidHeader, which requests also raises for the header of a response.
    return isinstance(
        error,
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            urllib3.exceptions.LocationValueError,
        ),
    )


def _proves_unsent(error: BaseException, *, is_connecting: bool, depth: int = 0) -> bool:
    """``is_connecting``: urllib3 has raised this while it was opening the connection."""
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
    # A connection that is open may report these, too.
    if is_connecting and isinstance(error, (ConnectionRefusedError, TimeoutError, socket.timeout)):
        return True
    wrapped = _wrapped(error)
    if not wrapped and is_new_connection and error.__context__:
        wrapped = [error.__context__]  # urllib3 1.26 gives it no explicit cause
    return (
        bool(wrapped)
        and depth < _MAX_DEPTH
        and all(
            _proves_unsent(cause, is_connecting=is_new_connection, depth=depth + 1)
            for cause in wrapped
        )
    )


def _host_name_errors() -> tuple[type[BaseException], ...]:
    # Where it comes from depends on the version; its connections have it in all of them.
    kind = getattr(getattr(urllib3, "connection", None), "CertificateError", None)
    return (kind,) if kind else ()


def _is_refused_tunnel(error: BaseException) -> bool:
    """Whether a proxy has refused a CONNECT: raised by the function that sends it, and only there.

    The request itself follows only after that function has returned.
    """
    return _is_bare(error) and _raised_in(error) in {
        ("http.client", "_tunnel"),
        ("urllib3.connection", "_tunnel"),
    }


def _is_bare(error: BaseException) -> bool:
    """Whether Python code has raised an OSError of its own, and not the system or a socket."""
    sockets = (ConnectionError, TimeoutError, socket.timeout, ssl.SSLError)
    return isinstance(error, OSError) and error.errno is None and not isinstance(error, sockets)


def _raised_in(error: BaseException) -> tuple[str, str]:
    """Return the module and the name of the function that raised an exception."""
    where: TracebackType | None = error.__traceback__
    if where is None:
        return "", ""
    while where.tb_next:
        where = where.tb_next
    return str(where.tb_frame.f_globals.get("__name__")), where.tb_frame.f_code.co_name


def _wrapped(error: BaseException) -> list[BaseException]:
    """Return what an exception says that it wraps."""
    found = [*error.args, getattr(error, "reason", None), error.__cause__]
    return [cause for cause in found if isinstance(cause, BaseException)]


def transport_error(
    error: BaseException, request: Request, settings: HttpSettings, via_proxy: bool
) -> TransportError:
    """Describe what was raised instead of a response, and whether the request was sent."""
    failure = _describe(error, request, settings, via_proxy)
    failure.never_sent = proves_unsent(error)
    return failure


def _describe(
    error: BaseException, request: Request, settings: HttpSettings, via_proxy: bool
) -> TransportError:
    causes = list(_causes(error))
    names = {type(cause).__name__ for cause in causes}
    host = urlsplit(request.base_url).netloc
    if _is_invalid_address(error):
        invalid = ConnectError(
            f"{sanitize(request.base_url, 200)} cannot be used as an address",
            request=request,
            reason="invalid address",
            hint="Check base_url and http_proxy.",
        )
        invalid.transient = False
        return invalid
    proxy = _proxy_host(settings) if via_proxy else ""
    tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if "ProxyError" in names:
        failure = _proxy_error(causes, request, settings)
        if failure:
            return failure
    ended = isinstance(tls, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    if (tls and not ended) or (isinstance(error, requests.exceptions.SSLError) and not ended):
        return _tls_error(causes, request, settings, host)
    if names & {"ConnectTimeoutError", "ConnectTimeout"}:
        return ConnectError(
            f"no connection to {proxy or host} within {settings.timeout:g} s",
            request=request,
            reason="connect timeout",
            hint="Check base_url, the firewall and http_proxy, or raise timeout.",
        )
    if "NewConnectionError" in names or "NameResolutionError" in names:
        return _connect_error(causes, request, host)
    # On Python 3.9 socket.timeout is no TimeoutError yet.
    if names & {"ReadTimeout", "ReadTimeoutError"} or any(
        isinstance(cause, (TimeoutError, socket.timeout)) for cause in causes
    ):
        return DeadlineError(
            f"the answer did not come or did not end in time (timeout is {settings.timeout:g} s, "
            f"{settings.timeout * DEADLINE_FACTOR:g} s for a whole answer)",
            request=request,
            reason="timeout",
            hint="Check the network to the API, or raise timeout.",
        )
    if isinstance(error, OSError) and not isinstance(
        error, (ConnectionError, requests.exceptions.RequestException)
    ):
        # requests checks the files of verify and cert when it connects.
        return TlsError(
            f"TLS could not be prepared: {sanitize(error.strerror or str(error), 200)}",
            request=request,
            reason="TLS failed",
            hint="Check ca_path, client_cert and client_key.",
        )
    if any(
        isinstance(cause, http.client.HTTPException)
        and not isinstance(cause, (http.client.RemoteDisconnected, http.client.IncompleteRead))
        for cause in causes
    ):
        return LostAnswerError(
            f"what {host} answers is not HTTP",
            request=request,
            reason="not HTTP",
            hint="Check base_url: its port, and http or https.",
        )
    return LostAnswerError(
        f"the connection to {host} broke before the answer ended",
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
            unknown = ConnectError(
                f"cannot resolve the host name {host}",
                request=request,
                reason="unknown host",
                hint=(
                    "Check base_url and DNS on the machine where the module runs. If it reaches "
                    "the API through a proxy, set http_proxy or HTTPS_PROXY."
                ),
            )
            # "No such name" is an answer; "try again" (EAI_AGAIN) and others are not.
            unknown.transient = cause.errno != socket.EAI_NONAME
            return unknown
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
    causes: list[BaseException], request: Request, settings: HttpSettings
) -> ProxyError | None:
    """Return the error of a proxy that lets nothing through; None where it had done so already.

    urllib3 calls everything that breaks on the way through a proxy an error of the proxy.
    """
    proxy = _proxy_host(settings)
    for cause in causes:
        if _is_refused_tunnel(cause):
            status = re.search(r"\b\d{3}\b.*", str(cause))
            refusal = sanitize(status.group() if status else str(cause), 80)
            return proxy_refusal("to connect", refusal, request, settings)
    refused = _refused_certificate(causes)
    if refused:
        failure = ProxyError(
            f"the certificate of the proxy {proxy} is not accepted: {_verify_message(refused)}",
            request=request,
            reason="proxy not trusted",
            hint=_certificate_advice(refused, "http_proxy"),
        )
        failure.transient = False
        return failure
    names = {type(cause).__name__ for cause in causes}
    if names & {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"}:
        return ProxyError(
            f"the proxy {proxy} cannot be reached",
            request=request,
            reason="proxy unreachable",
            hint="Check http_proxy, or the proxy variables of the environment.",
        )
    return None


def is_of_proxy(response: Any, request: Request) -> bool:
    """Whether the answer to a request that a proxy can read is a refusal of the proxy itself.

    Some (tinyproxy) say 401, in HTML, to a wrong password, where the standard has 407.
    """
    if not request.base_url.startswith("http://"):
        return False
    offers = response.headers.get("WWW-Authenticate", "").strip().lower()
    media_type = response.headers.get("Content-Type", "").lower()
    return response.status_code == 407 or (
        response.status_code == 401 and offers.startswith("basic") and "json" not in media_type
    )


def proxy_refusal(what: str, refusal: str, request: Request, settings: HttpSettings) -> ProxyError:
    failure = ProxyError(
        f"the proxy {_proxy_host(settings)} refused {what}: {refusal}",
        request=request,
        reason="proxy refused",
        hint=(
            "Check the proxy's user and password, in http_proxy or the environment."
            if refusal.startswith(("401", "407"))
            else "Check that the proxy lets this host connect to the API."
        ),
    )
    failure.transient = refusal[:3] in {"500", "502", "503", "504"}
    # Nothing was done, whether the proxy or a server behind it refuses with 401 or 407, and a
    # CONNECT comes before the request.
    failure.never_sent = True
    return failure


def _tls_error(
    causes: list[BaseException], request: Request, settings: HttpSettings, host: str
) -> TlsError:
    refused = _refused_certificate(causes)
    if refused:
        hint = _certificate_advice(refused, "base_url")
        what = f"the certificate of {host} is not accepted: {_verify_message(refused)}"
    else:
        tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
        why = getattr(tls, "reason", None) or ""
        what = f"TLS with {host} failed" + (f": {why.lower().replace('_', ' ')}" if why else "")
        if "WRONG_VERSION_NUMBER" in why or "HTTP_REQUEST" in why:
            hint = "The server does not speak TLS on this port: check base_url, http or https."
        elif why in _NOTHING_IN_COMMON:
            hint = (
                "The server and this host have no version of TLS, or no cipher, in common: one of "
                "the two is too old. The server must offer TLS 1.2 or newer."
            )
        elif why == "UNSAFE_LEGACY_RENEGOTIATION_DISABLED":
            hint = (
                "The server is too old for this host: it does not support secure renegotiation "
                "(RFC 5746). Its TLS software must be updated."
            )
        elif why == "DH_KEY_TOO_SMALL":
            hint = (
                "The Diffie-Hellman parameters of the server are too weak for this host: the "
                "server must use stronger ones, or ECDHE."
            )
        elif why in _WEAK_CLIENT_CERTIFICATE:
            hint = f"This is about client_cert. {_REISSUE_STRONGER}"
        elif "CERTIFICATE_REQUIRED" in why or "HANDSHAKE_FAILURE" in why:
            hint = "The server may ask for a client certificate: set client_cert and client_key."
        elif "ALERT" in why and settings.cert:
            hint = "The server does not accept the client certificate: check client_cert."
        else:
            hint = "Check base_url, ca_path, client_cert and client_key."
    return TlsError(what, request=request, reason="TLS failed", hint=hint)


def client_certificate_hint(request: Request, settings: HttpSettings) -> str:
    if not request.base_url.startswith("https://"):
        return ""
    if settings.cert:
        return " The server may not accept the client certificate: check client_cert."
    return " The server may ask for a client certificate: set client_cert and client_key."


def _refused_certificate(causes: list[BaseException]) -> BaseException | None:
    kinds: tuple[type[BaseException], ...] = (ssl.SSLCertVerificationError, *_host_name_errors())
    return next((cause for cause in causes if isinstance(cause, kinds)), None)


def _verify_message(refused: BaseException) -> str:
    # urllib3 1.26 compares host names itself, and its error has a text and nothing else.
    why = getattr(refused, "verify_message", "") or "".join(map(str, refused.args))
    return sanitize(why, 200).rstrip(".")


_REISSUE_STRONGER = (
    "The certificate, or that of an authority above it, has a key or a signature that is too weak "
    "for this host: it must be reissued, for example with RSA 2048 and SHA-256."
)


def _certificate_advice(refused: BaseException, option: str) -> str:
    """``option`` has the address of the server whose certificate is not accepted."""
    # Without a number it is Python, not OpenSSL, that has compared names: urllib3 1.26 does so.
    number = getattr(refused, "verify_code", _HOSTNAME_MISMATCH)
    if number in {_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH}:
        # OpenSSL has the same number for both, and Python does not show the certificate.
        return (
            f"Check {option}: it must name the host as the certificate does in its subjectAltName. "
            "A certificate without subjectAltName, which has only a common name, must be reissued."
        )
    if number in {_CERT_HAS_EXPIRED, _CERT_NOT_YET_VALID}:
        return "The server's certificate has to be renewed; check this host's clock too."
    if number in _WEAK_CERTIFICATE:
        return _REISSUE_STRONGER
    if number in _NOT_STRICT:
        return (
            "The certificate, or that of an authority above it, lacks what newer Pythons demand: "
            "it must be reissued."
        )
    unchecked = "(validate_certs: false switches the check off, and with it the protection.)"
    if number == _DEPTH_ZERO_SELF_SIGNED_CERT:
        return (
            "No authority signed it but itself: get a copy from whoever runs the server, and name "
            f"its file in ca_path. {unchecked}"
        )
    if number in _UNKNOWN_AUTHORITY:
        return f"Name the file or folder of the authority that signed it in ca_path. {unchecked}"
    return "Check the server's certificate, and the file or folder in ca_path."
