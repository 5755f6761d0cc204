# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that hold client secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._credential import (
    is_client_id,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._service_accounts import (
    Secret,
    ServiceAccount,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._secret_file import (
    SecretFile,
    SecretFormat,
)

CLIENT_SECRET = SecretFormat(
    label="client secret",
    noun="service account",
    id_field="client_id",
    fields=("org_id", "client_id", "name", "secret_id", "client_secret", "expires_at"),
    is_id=is_client_id,
)


def inspect(params: Mapping[str, Any]) -> SecretFile | None:
    """Read the file of a task, None if it has none."""
    path = params["credentials_file"]
    return _secret_file.inspect(path, CLIENT_SECRET) if path else None


def content(org_id: str, account: ServiceAccount, secret: Secret, value: str) -> dict[str, str]:
    """Return the content of the file for a new secret."""
    return {
        "org_id": org_id,
        "client_id": account.id,
        "name": account.name,
        "secret_id": secret.id,
        "client_secret": value,
        "expires_at": secret.expires_at,
    }


def warnings(file: SecretFile | None, account: ServiceAccount, org_id: str) -> list[str]:
    """Warn if the file of an existing account does not hold one of its secrets."""
    if file is None or held_id(file, account, org_id) is not None:
        return []
    return [
        f"Service account {account} exists, so no secret was created for it, and credentials_file "
        f"{file.path} {file.state}. To write a new secret to the file, use service_account_secret."
    ]


def held_id(file: SecretFile | None, account: ServiceAccount, org_id: str) -> str | None:
    """Return the ID of the secret in a file, None if it is not a secret of this account."""
    found = (file and file.content) or {}
    is_same = (found.get("client_id"), found.get("org_id")) == (account.id, org_id)
    return found["secret_id"] if is_same else None
