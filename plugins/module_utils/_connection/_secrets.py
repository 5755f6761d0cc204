# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets of a task and its environment, in every form in which they may occur."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from ansible_collections.keysmith.mongodb.plugins.module_utils._argspec import looks_secret
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    ServiceAccount,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    PLATFORMS,
)

# What is shorter is not masked in results: there it would be a part of names and descriptions, and
# what is masked there is lost.
MIN_MASKED = 8
# What is shorter is not kept out of what servers say either: it would spoil every other word.
MIN_SECRET = 4
# Options for text that people choose freely.
_DESCRIPTIONS = frozenset(
    {"description", "desc", "new_description", "descriptions", "description_match", "keep", "name"}
)
_SECRET_OPTIONS = ("api_private_key", "client_secret", "access_token")
_ENV_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def find_secrets(params: Mapping[str, Any], environ: Mapping[str, str]) -> set[str]:
    """Return every secret to mask, in each form in which it may occur: from MIN_MASKED on."""
    return _forms(secret for secret in _secrets(params, environ) if len(secret) >= MIN_MASKED)


def find_short_secrets(params: Mapping[str, Any], environ: Mapping[str, str]) -> set[str]:
    """Return every shorter secret, from MIN_SECRET on: no server is to be quoted with one."""
    return _forms(
        secret for secret in _secrets(params, environ) if MIN_SECRET <= len(secret) < MIN_MASKED
    )


def _forms(secrets: Iterable[str]) -> set[str]:
    return {form for secret in secrets for form in secret_forms(secret)}


def _secrets(params: Mapping[str, Any], environ: Mapping[str, str]) -> set[str]:
    found = {params.get(name) for name in _SECRET_OPTIONS}
    # Put in the wrong place, a private key or a client secret is a secret all the same.
    values = [params, *(environ.get(name) for name in _public_variables())]
    found.update(item for item in _leaves(values) if looks_secret(item))
    accounts = [(params.get("client_id"), params.get("client_secret"))]
    for platform in PLATFORMS.values():
        found.update(environ.get(private) for _public, private in platform.env_key_pairs)
        if platform.env_access_token:
            found.add(environ.get(platform.env_access_token))
        if platform.env_service_account:
            client_id, client_secret = map(environ.get, platform.env_service_account)
            accounts.append((client_id, client_secret))
    for client_id, client_secret in accounts:
        found.add(client_secret)
        if client_id and client_secret:
            found.add(ServiceAccount(str(client_id), str(client_secret)).basic())
    urls = [params.get("http_proxy"), params.get("base_url")]
    urls += [value for name, value in environ.items() if name.lower() in _ENV_PROXIES]
    urls += [environ.get(platform.env_base_url) for platform in PLATFORMS.values()]
    for url in filter(None, urls):
        found.update(_url_secrets(str(url)))
    return {str(secret) for secret in found if secret}


def secret_forms(secret: str) -> set[str]:
    """Return a secret as it is, as it stands in a URL or a form, and as Base64.

    Servers and proxies may say it in any of these, whatever they were sent.
    """
    # The environment may hold bytes that are no text; hiding them must not fail.
    data = secret.encode("utf-8", "surrogateescape")
    escaped = {quote(data, safe=""), quote(data), quote_plus(data)}
    lowered = {re.sub("%..", lambda found: found[0].lower(), form) for form in escaped}
    packed = {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()}
    return {secret, *escaped, *lowered, *packed, *(form.rstrip("=") for form in packed)}


def _leaves(value: Any) -> Iterator[Any]:
    """Yield everything in lists and dictionaries that is neither, except for descriptions.

    A UUID is a description like any other: hiding it would hide which key is meant.
    """
    if isinstance(value, dict):
        value = [
            item for name, item in value.items() if name not in _DESCRIPTIONS or not _is_text(item)
        ]
    if not isinstance(value, list):
        yield value
        return
    for item in value:
        yield from _leaves(item)


def _is_text(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) for item in items)


def _public_variables() -> Iterator[str]:
    for platform in PLATFORMS.values():
        yield from (public for public, _private in platform.env_key_pairs)
        yield platform.env_org_id
        if platform.env_service_account:
            yield platform.env_service_account[0]


def _url_secrets(url: str) -> Iterator[str]:
    """Yield the password in a URL, as it stands, decoded, and as Basic would carry it."""
    userinfo, at, _rest = (
        url.partition("://")[2].rpartition("@") if "://" in url else (url.rpartition("@"))
    )
    user, colon, password = userinfo.partition(":")
    if at and not colon:
        yield userinfo  # a token, perhaps
    if at and colon and password:
        yield password
        yield unquote(password)
        pair = f"{unquote(user)}:{unquote(password)}"
        yield base64.b64encode(pair.encode(errors="surrogateescape")).decode()
