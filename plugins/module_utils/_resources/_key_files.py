# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of key pairs: one file for one key, or a directory with one file per key."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._writes import Created
from ansible_collections.keysmith.mongodb.plugins.module_utils._secret_file import (
    SecretFile,
    SecretFormat,
)

KEY_PAIR = SecretFormat(
    label="key pair",
    noun="API key",
    id_field="api_user_id",
    fields=("org_id", "api_user_id", "description", "public_key", "private_key"),
)


def inspect(path: str) -> SecretFile:
    return _secret_file.inspect(path, KEY_PAIR)


def content(org_id: str, created: Created[OrgApiKey]) -> dict[str, str]:
    """Return the content of the file of a new key."""
    key = created.found
    return {
        "org_id": org_id,
        "api_user_id": key.id,
        "description": key.description,
        "public_key": str(key.public_key),
        "private_key": created.secret,
    }


def holds(file: SecretFile, key: OrgApiKey, org_id: str) -> bool:
    """Return whether a file has the key pair of exactly this key.

    Files that the role wrote may have an empty org_id.
    """
    pair = file.content
    return pair is not None and (
        (pair["api_user_id"], pair["public_key"]) == (key.id, key.public_key)
        and pair["org_id"] in {"", org_id}
    )


def warnings(file: SecretFile | None, key: OrgApiKey, org_id: str) -> list[str]:
    """Warn if the file of an existing key does not hold its key pair."""
    if file is None or holds(file, key, org_id):
        return []
    return [
        f"API key {key.id} exists, and credentials_file {file.path} {file.state}. A private key "
        "cannot be read again: restore the file from a backup, or revoke the key and create a new "
        "one."
    ]


def directory_warnings(directory: str, keys: Sequence[OrgApiKey], org_id: str) -> list[str]:
    """Warn about existing keys that have no file in a directory."""
    missing = [key.id for key in keys if not is_in(directory, key, org_id)]
    if not missing:
        return []
    return [
        f"credentials_dir {directory} has no key pairs of these existing API keys: "
        f"{', '.join(missing)}. A private key cannot be read again: restore the files from a "
        "backup, or revoke the keys and create new ones."
    ]


def is_in(directory: str, key: OrgApiKey, org_id: str) -> bool:
    """Return whether a directory has the key pair of exactly this key."""
    try:
        return holds(inspect(new_in(directory, key).path), key, org_id)
    except OptionError:
        return False


def new_in(directory: str, key: OrgApiKey) -> SecretFile:
    """Return the file of a new key in a directory."""
    return SecretFile(os.path.join(directory, f"{key.id}.json"), KEY_PAIR)
