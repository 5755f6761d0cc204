# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Store a new secret, which the API returns only once, in a file with mode 0600.

The file may be the only copy of a secret. It is replaced only if its content has not changed since
its inspection and the caller knows that it is no longer needed.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    CredentialsFileError,
    OptionError,
    truncate_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import is_id

_MAX_SIZE = 64 * 1024
_USE_A_FILE = "Use the path of a file in an existing directory."


@dataclass(frozen=True)
class SecretFormat:
    """A JSON object of strings.

    ``label``: the term for the secret in messages, such as "key pair". ``noun``: the term for its
    owner. ``id_field``: the field that holds the owner's ID. ``is_id``: whether a text can be that
    ID.
    """

    label: str
    noun: str
    id_field: str
    fields: tuple[str, ...]
    is_id: Callable[[str], bool] = is_id


@dataclass(frozen=True)
class SecretFile:
    """A file as it was found. ``content``: None if there is no file or an empty one.

    ``empty``: what identifies an empty file, None if there is no file or it has content.
    """

    path: str
    format: SecretFormat
    content: Mapping[str, str] | None = None
    empty: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def state(self) -> str:
        """Describe the file in words that follow its path in a message."""
        if self.content is None:
            return "does not exist"
        owner_id = self.content[self.format.id_field]
        return f"holds the {self.format.label} of another {self.format.noun}, {owner_id}"


def inspect(path: str, secret: SecretFormat) -> SecretFile:
    """Read a file without changing anything.

    Raises OptionError if something is there that this collection did not write, such as a link,
    a directory or another format.
    """
    only_copy = f"It may be the only copy of a {secret.label}."
    try:
        status = os.lstat(resolve(path))
    except FileNotFoundError:
        if os.path.basename(path) in {"", os.curdir, os.pardir}:
            raise _refusal(path, "is a directory that does not exist", _USE_A_FILE) from None
        return SecretFile(path, secret)
    except OSError as error:
        hint = "Check the permissions of its directory, on the machine where the module runs."
        raise _refusal(path, f"cannot be accessed ({error.strerror})", hint) from None
    except ValueError:
        raise _refusal(path, "contains a NUL character", _USE_A_FILE) from None
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link"}
        kind = kinds.get(stat.S_IFMT(status.st_mode), "not a regular file")
        raise _refusal(path, f"is {kind}", _USE_A_FILE)
    if status.st_size == 0:
        return SecretFile(path, secret, empty=_identity(status))
    try:
        with open(resolve(path), encoding="utf-8") as file:
            content = json.loads(file.read(_MAX_SIZE))
    except OSError as error:
        hint = f"{only_copy} Check its permissions, or use another file."
        raise _refusal(path, f"cannot be read ({error.strerror})", hint) from None
    except (ValueError, RecursionError):
        content = None
    is_secret = isinstance(content, dict) and all(
        isinstance(content.get(name), str) for name in secret.fields
    )
    if not is_secret or not secret.is_id(content[secret.id_field]):
        why = f"holds something other than a {secret.label} of this module"
        raise _refusal(path, why, f"{only_copy} Move it away, or use another file.")
    return SecretFile(path, secret, content)


def check_free(file: SecretFile, existing_ids: Collection[str], **same: str) -> None:
    """Refuse to replace a secret that may still be needed. Raises OptionError.

    It is no longer needed if its fields match ``same`` and its owner no longer exists.
    ``existing_ids``: the IDs in the full list.
    """
    if file.content is None:
        return
    is_same = all(file.content[name] == value for name, value in same.items())
    if not is_same or file.content[file.format.id_field] in existing_ids:
        hint = "It may be the only copy of it. Move the file away, or use another one."
        raise _refusal(file.path, file.state, hint)


def check_writable(path: str, *, check_mode: bool) -> None:
    """Check that a file can be created, as ``check_directory`` does. Raises OptionError."""
    directory = os.path.dirname(os.path.abspath(path))
    what = f"credentials_file {truncate_path(path)} is in {truncate_path(directory)}, which"
    check_directory(what, os.path.dirname(resolve(path)), check_mode=check_mode)


def check_directory(what: str, directory: str, *, check_mode: bool) -> None:
    """Check that files can be created in a directory. Raises OptionError.

    In check mode, only the permissions are checked. Otherwise, a test file is created and deleted.
    ``what`` starts the error message.
    """
    hint = "Check its permissions, on the machine where the module runs."
    try:
        is_directory = stat.S_ISDIR(os.stat(directory).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        is_directory = False
    except OSError as error:
        why = f"cannot be accessed ({error.strerror})"
        raise OptionError(f"{what} {why}, and nothing was created", hint=hint) from None
    why = ""
    if not is_directory:
        why = "is not a directory"
        hint = "Use an existing directory on the machine where the module runs."
    elif check_mode:
        why = "" if os.access(directory, os.W_OK | os.X_OK) else "cannot be written to"
    else:
        try:
            tempfile.TemporaryFile(dir=directory).close()
        except OSError as error:
            why = f"cannot be written to ({error.strerror})"
    if why:
        raise OptionError(f"{what} {why}, and nothing was created", hint=hint)


def write(file: SecretFile, content: Mapping[str, str], owner: str) -> SecretFile:
    """Write a secret as JSON in place of what was found, and return the file.

    ``owner``: the term for the secret's owner in messages. Raises CredentialsFileError, also if
    the file has changed in the meantime.
    """
    data = f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode()
    failed = (
        f"The {file.format.label} of {owner} could not be written to {truncate_path(file.path)}"
    )
    try:
        if _make_room(file):
            _replace(resolve(file.path), data)
        else:
            _create(resolve(file.path), data)
    except FileExistsError:
        raise CredentialsFileError(
            f"{failed}: another process wrote to it in the meantime, so it was not overwritten",
            hint="Run the task again.",
        ) from None
    except OSError as error:
        raise CredentialsFileError(
            f"{failed} ({error.strerror})", hint="Check the directory and its disk."
        ) from None
    return replace(file, content=content)


def discard(written: SecretFile) -> str:
    """Delete the file of a secret that no longer works, and return what became of the file.

    A file that has changed in the meantime is left alone.
    """
    path, label = written.path, written.format.label
    try:
        if inspect(path, written.format) != written:
            return f"{path} no longer has its {label}, and was not changed."
        os.unlink(resolve(path))
    except (OptionError, OSError):
        return f"{path} could not be deleted. The {label} in it no longer works."
    return f"{path}, which had its {label}, was deleted."


def _make_room(file: SecretFile) -> bool:
    """Delete an empty file. Return whether there is a file with content, which can be replaced.

    Raises FileExistsError if the file is not as it was when it was inspected. An empty file that
    has appeared since then will have the secret of another process.
    """
    try:
        now = inspect(file.path, file.format)
        is_same = now in (file, replace(file, content=None)) and now.empty in (None, file.empty)
    except OptionError:
        is_same = False
    if not is_same:
        raise FileExistsError(file.path)
    if now.empty:
        _delete_empty(resolve(file.path), now.empty)
    return now.content is not None


def hidden_beside(path: str) -> str:
    """Return the path of a new hidden file in the directory of a file."""
    directory, name = os.path.split(path)
    # A name has at most 255 bytes, and a character up to four.
    return os.path.join(directory, f".{name[:60]}.{os.urandom(4).hex()}")


def _delete_empty(path: str, identity: tuple[int, int]) -> None:
    """Delete an empty file. Raises FileExistsError if another one has just taken its place."""
    aside = hidden_beside(path)
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    status = os.lstat(aside)
    if status.st_size or _identity(status) != identity:
        os.rename(aside, path)
        raise FileExistsError(path)
    os.unlink(aside)


def _identity(status: os.stat_result) -> tuple[int, int]:
    # The number alone may be that of a file that was deleted.
    return status.st_ino, status.st_mtime_ns


def _replace(path: str, data: bytes) -> None:
    """Replace a file in one step, so that its readers always find a complete secret."""
    # If the process is killed, this file has the only copy of the new secret. No later run uses it.
    new = hidden_beside(path)
    _create(new, data)
    try:
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise


def _create(path: str, data: bytes) -> None:
    """Create a new file. Only this file ever has the secret, even if the process is killed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


def resolve(path: str) -> str:
    """Resolve the directory of a path, so that all system calls use the same directory."""
    # Not abspath, which would take the parent of a link for that of its target.
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


def _refusal(path: str, why: str, hint: str) -> OptionError:
    return OptionError(
        f"credentials_file {truncate_path(path)} {why}, and nothing was created", hint=hint
    )
