# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the secrets of a task and its environment, in every form that may occur."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    ServiceAccount,
    is_client_secret,
    looks_secret,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    CREDENTIAL_OPTIONS,
    PLATFORMS,
)

# Masking shorter secrets would also mask parts of names and descriptions in results.
MIN_MASKED = 8
# Removing shorter secrets from server text would remove parts of other words.
_MIN_WITHHELD = 4
# Options for free text. A UUID in them is not masked: messages must show which key they are about.
# A client secret is masked everywhere.
_DESCRIPTIONS = frozenset(
    {"description", "desc", "new_description", "descriptions", "description_match", "keep", "name"}
)
# Options with JSON of any kind. A UUID in them is more likely an ID, which results must show.
_JSON = frozenset({"body", "query"})
_ENV_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def find_secrets(
    params: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[set[str], set[str]]:
    """Return the secrets to mask in all output, and the shorter ones to keep out of messages."""
    secrets = {str(secret) for secret in _secrets(params, environ) if secret}
    masked = {secret for secret in secrets if len(secret) >= MIN_MASKED}
    withheld = {secret for secret in secrets - masked if len(secret) >= _MIN_WITHHELD}
    return _all_forms(masked), _all_forms(withheld)


def withheld_forms(texts: Iterable[str]) -> set[str]:
    """Return the forms in which a server may quote these secrets, or a line of one."""
    secrets = {part for text in texts for part in (text, *text.splitlines())}
    secrets |= {json.dumps(secret)[1:-1] for secret in secrets}
    return _all_forms({secret for secret in secrets if len(secret) >= _MIN_WITHHELD})


def _all_forms(secrets: set[str]) -> set[str]:
    return {form for secret in secrets for form in secret_forms(secret)}


def secret_forms(secret: str) -> set[str]:
    """Return a secret as it is, as it occurs in a URL or a form, and as Base64.

    Servers and proxies may use any of these in a response.
    """
    # The environment may contain bytes that are not valid text.
    data = secret.encode("utf-8", "surrogateescape")
    escaped = {quote(data, safe=""), quote(data), quote_plus(data)}
    lowered = {re.sub("%..", lambda found: found[0].lower(), form) for form in escaped}
    packed = {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()}
    return {secret, *escaped, *lowered, *packed, *(form.rstrip("=") for form in packed)}


def _secrets(params: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Any]:
    sources = [(params, CREDENTIAL_OPTIONS)]
    sources += [(environ, platform.env_credentials) for platform in PLATFORMS.values()]
    for values, known in sources:
        for kind, names in known:
            parts = [values.get(name) for name in names]
            yield parts[-1]
            if kind is ServiceAccount and all(parts):
                yield ServiceAccount(*map(str, parts)).basic()
    # The token that a task revokes.
    yield params.get("token")
    # A private key or a client secret may be in the wrong option.
    yield from filter(looks_secret, leaves(params, _DESCRIPTIONS | _JSON))
    yield from filter(is_client_secret, leaves(params))
    urls = [params.get("http_proxy"), params.get("base_url")]
    urls += [value for name, value in environ.items() if name.lower() in _ENV_PROXIES]
    urls += [environ.get(platform.env_base_url) for platform in PLATFORMS.values()]
    for url in filter(None, urls):
        yield from _url_secrets(str(url))


def leaves(value: Any, others: Collection[str] = ()) -> Iterator[Any]:
    """Yield all scalars in nested lists and dictionaries, except in fields named in ``others``."""
    if isinstance(value, Mapping):
        value = [item for name, item in value.items() if name not in others]
    if not isinstance(value, (list, tuple)):
        yield value
        return
    for item in value:
        yield from leaves(item, others)


def _url_secrets(url: str) -> Iterator[str]:
    """Yield the password in a URL: as it is, decoded, and as the value of HTTP Basic."""
    userinfo, at, _host = (url.partition("://")[2] if "://" in url else url).rpartition("@")
    user, colon, password = userinfo.partition(":")
    if at and not colon:
        yield userinfo  # may be a token
    if at and password:
        yield password
        yield unquote(password)
        pair = f"{unquote(user)}:{unquote(password)}"
        yield base64.b64encode(pair.encode(errors="surrogateescape")).decode()
