# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file that takes a created key pair, which the API shows only once.

It may be the only copy of a key pair, so nothing is ever written over that is not proved to be
worthless: the pair of a key that is gone, of the same organization and description.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CredentialsFileError,
    KeysmithError,
    OptionError,
    internal_error,
    truncate_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _resource
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._org_api_keys import (
    API_KEYS,
    CreatedKey,
    OrgApiKey,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import is_id

_FIELDS = ("org_id", "api_user_id", "description", "public_key", "private_key")
_MAX_SIZE = 64 * 1024
_NAME_A_FILE = "Use the path of a file in an existing directory."


@dataclass(frozen=True)
class CredentialsFile:
    """A path and whose key pair it holds: None where there is no file or an empty one."""

    path: str
    owner: Mapping[str, Any] | None

    def holds(self, key: OrgApiKey, org_id: str) -> bool:
        """Whether it is the key pair of exactly this key. Files of a rotation may lack org_id."""
        return self.owner is not None and (
            (self.owner["api_user_id"], self.owner["public_key"]) == (key.id, key.public_key)
            and self.owner["org_id"] in {"", org_id}
        )


def inspect(path: str) -> CredentialsFile:
    """Look at a file without changing anything.

    Raises OptionError where something is there that this collection has not written: a link, a
    folder, another format.
    """
    try:
        place = _resolved(path)
        status = os.lstat(place)
    except FileNotFoundError:
        if os.path.basename(path) in {"", os.curdir, os.pardir}:
            raise _refusal(path, "is a directory that does not exist", _NAME_A_FILE) from None
        return CredentialsFile(path, None)
    except OSError as error:
        hint = "Check the permissions of its directory, on the machine where the module runs."
        raise _refusal(path, f"cannot be accessed ({error.strerror})", hint) from None
    except ValueError:
        raise _refusal(path, "has a NUL character, which no path has", _NAME_A_FILE) from None
    if stat.S_ISDIR(status.st_mode):
        raise _refusal(path, "is a directory", _NAME_A_FILE)
    if not stat.S_ISREG(status.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
        raise _refusal(path, f"is {what}", _NAME_A_FILE)
    if status.st_size == 0:
        return CredentialsFile(path, None)
    try:
        with open(place, encoding="utf-8") as file:
            owner = json.loads(file.read(_MAX_SIZE))
    except OSError as error:
        hint = "It may be the only copy of a key pair. Check its permissions, or use another file."
        raise _refusal(path, f"cannot be read ({error.strerror})", hint) from None
    except (ValueError, RecursionError):
        owner = None
    is_pair = isinstance(owner, dict) and all(isinstance(owner.get(f), str) for f in _FIELDS)
    if not is_pair or not is_id(owner["api_user_id"]):
        raise _refusal(path, "holds something other than a key pair of this module")
    return CredentialsFile(path, owner)


def check_free(
    file: CredentialsFile, org_id: str, description: str, existing_ids: Collection[str]
) -> None:
    """Refuse to create a key whose pair would replace one that may still be of use.

    ``existing_ids`` are those of a complete listing. Raises OptionError.
    """
    owner = file.owner
    if owner is None:
        return
    is_same = (owner["org_id"], owner["description"]) == (org_id, description)
    if not is_same or owner["api_user_id"] in existing_ids:
        raise _refusal(file.path, f"holds the key pair of another API key, {owner['api_user_id']}")


def warnings(file: CredentialsFile | None, key: OrgApiKey, org_id: str) -> list[str]:
    """Say what is wrong with the file of a key that exists, whose pair cannot be read again."""
    if file is None or file.holds(key, org_id):
        return []
    what = "does not exist"
    if file.owner:
        what = f"holds the key pair of another API key, {file.owner['api_user_id']}"
    return [
        f"API key {key.id} exists, and credentials_file {file.path} {what}. A private key cannot "
        "be read again: restore the file from a backup, or revoke the key and create a new one."
    ]


def check_writable(path: str, *, check_mode: bool) -> None:
    """Prove that a file can be made; in check mode only ask. Raises OptionError."""
    # As the task names it, links and all.
    folder = os.path.dirname(os.path.abspath(path))
    what = f"credentials_file {truncate_path(path)} is in {truncate_path(folder)}, which"
    check_folder(what, os.path.dirname(_resolved(path)), check_mode)


def check_folder(what: str, folder: str, check_mode: bool) -> None:
    """Prove that files can be made in a folder; in check mode only ask. Raises OptionError.

    ``what`` begins the sentence of the error.
    """
    why = _why_unfit(folder, check_mode)
    if why:
        raise OptionError(
            f"{what} {why}, and nothing was created",
            hint="Use an existing directory on the machine where the module runs.",
        )


def _why_unfit(folder: str, check_mode: bool) -> str:
    try:
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            return "is not a directory"
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "is not a directory"
    except OSError as error:
        return f"cannot be entered ({error.strerror})"
    if check_mode:
        return "" if os.access(folder, os.W_OK | os.X_OK) else "cannot be written to"
    try:
        _prove_writable(folder)
    except OSError as error:
        return f"cannot be written to ({error.strerror})"
    return ""


def folder_warnings(folder: str, keys: Sequence[OrgApiKey], org_id: str) -> list[str]:
    """Say which existing keys have no key pair in a directory for many."""
    lacking = [key.id for key in keys if not holds_in(folder, key, org_id)]
    if not lacking:
        return []
    return [
        f"credentials_dir {folder} has no key pairs of these existing API keys: "
        f"{', '.join(lacking)}. A private key cannot be read again: restore the files from a "
        "backup, or revoke the keys and create new ones."
    ]


def holds_in(folder: str, key: OrgApiKey, org_id: str) -> bool:
    """Whether a directory for many has the key pair of exactly this key."""
    try:
        return inspect(path_in(folder, key.id)).holds(key, org_id)
    except OptionError:
        return False


def path_in(folder: str, api_user_id: str) -> str:
    """Return the file of a key in a folder for many: named by what no two keys share."""
    return os.path.join(folder, f"{api_user_id}.json")


def new_in(folder: str, api_user_id: str) -> CredentialsFile:
    """Return the file of a new key in a folder for many, where nothing is."""
    return CredentialsFile(path_in(folder, api_user_id), None)


def store(api: Client, org_id: str, created: CreatedKey, file: CredentialsFile) -> None:
    """Write a new pair down; where that fails, revoke the key, since nobody has its private key.

    ``file``: as it was found before. Raises CredentialsFileError; its ``results`` tell of a key
    that is left.
    """
    key, path = created.key, file.path
    error: KeysmithError
    try:
        write(
            file,
            {
                "org_id": org_id,
                "api_user_id": key.id,
                "description": key.description,
                "public_key": str(key.public_key),
                "private_key": created.private_key,
            },
        )
        return
    except FileExistsError:
        error = CredentialsFileError(
            f"The new API key {key} could not be written to {path}: something else, such as "
            "another run of this task, has written there in the meantime",
            hint="It may be the only copy of a key pair. Run the task again.",
        )
    except OSError as failure:
        error = CredentialsFileError(
            f"The new API key {key} could not be written to {path} ({failure.strerror})",
            hint="Check the folder and its disk.",
        )
    except Exception as failure:
        # Of any kind: a key whose private key is lost must not be left without being reported.
        error = internal_error(failure)
    raise _resource.undo_creation(api, API_KEYS.of(org_id), key, error)


def discard(file: CredentialsFile, key: OrgApiKey, org_id: str) -> str:
    """Delete the file of a key that was revoked right after its creation; return what became of it.

    A file that holds something else by now is left alone.
    """
    try:
        if not inspect(file.path).holds(key, org_id):
            return f"{file.path} no longer has its key pair, and was not changed."
        os.unlink(_resolved(file.path))
    except (OptionError, OSError):
        return f"{file.path} could not be deleted: the key pair in it is of no use any more."
    return f"{file.path}, which had its key pair, was deleted."


def write(file: CredentialsFile, content: Mapping[str, str]) -> None:
    """Write a key pair as JSON, mode 0600, at once or not at all, and over nothing but ``file``.

    ``content`` has the five fields that ``inspect`` expects. Raises OSError: FileExistsError where
    something else is there by now.
    """
    data = f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode()
    try:
        _write_nameless(file, data)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system, and not every machine, has nameless files.
        _write_named(file, data)


def _write_nameless(file: CredentialsFile, data: bytes) -> None:
    """Write to a file that has no name before it is whole: whoever is killed leaves nothing."""
    place = _resolved(file.path)
    descriptor = _open_nameless(os.path.dirname(place))
    try:
        _fill(descriptor, data)
        source = f"/proc/self/fd/{descriptor}"
        try:
            # That it is given makes Python follow the link in /proc; it is no folder.
            os.link(source, place, src_dir_fd=descriptor)
        except FileExistsError:
            _check_same(file)
            os.unlink(place)
            os.link(source, place, src_dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _open_nameless(folder: str) -> int:
    # Without the flag this fails: no folder can be opened for writing.
    return os.open(folder, getattr(os, "O_TMPFILE", 0) | os.O_WRONLY, 0o600)


def _write_named(file: CredentialsFile, data: bytes) -> None:
    # mkstemp makes it readable by its owner only, from the first byte on.
    place = _resolved(file.path)
    descriptor, temporary = tempfile.mkstemp(prefix=".keysmith-", dir=os.path.dirname(place))
    try:
        try:
            _fill(descriptor, data)
        finally:
            os.close(descriptor)
        try:
            # Unlike a renaming, this never takes the place of anything.
            os.link(temporary, place)
        except OSError:
            # It has a file, or the file system has no links.
            _check_same(file)
            os.replace(temporary, place)
        else:
            os.unlink(temporary)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _fill(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _check_same(file: CredentialsFile) -> None:
    """Refuse a file that holds what it did not hold before: a pair that another run has written."""
    try:
        is_same = inspect(file.path) in (file, CredentialsFile(file.path, None))
    except OptionError:
        is_same = False
    if not is_same:
        raise FileExistsError(file.path)


def _prove_writable(folder: str) -> None:
    """Make a file and take it away again; raises OSError."""
    try:
        os.close(_open_nameless(folder))
    except OSError:
        descriptor, temporary = tempfile.mkstemp(prefix=".keysmith-", dir=folder)
        os.close(descriptor)
        os.unlink(temporary)


def _resolved(path: str) -> str:
    """Return a path whose folder has no links and no dots: it is the same to every call."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def _refusal(
    path: str,
    why: str,
    hint: str = "It may be the only copy of a key pair: move it away, or use another file.",
) -> OptionError:
    return OptionError(
        f"credentials_file {truncate_path(path)} {why}, and nothing was created", hint=hint
    )
