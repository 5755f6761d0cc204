# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write a file of any size, completely or not at all, and only if its content differs."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from ansible_collections.keysmith.mongodb.plugins.module_utils import _secret_file
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    OptionError,
    truncate_path,
)

_AT_ONCE = 1024 * 1024


class Download:
    """The receiver of a file. Nothing is written to ``path`` before ``finish``.

    The new content is in a file next to it with mode 0600. In check mode, only its checksum is
    computed. Raises OptionError.
    """

    def __init__(self, path: str, *, check_mode: bool) -> None:
        self._path = path
        self._old = self._old_file()
        self._new = _secret_file.hidden_beside(_secret_file.resolve(path))
        self._check_mode = check_mode
        self._file: BinaryIO | None = None
        self._sum = hashlib.sha256()
        directory = os.path.dirname(self._new)
        what = f"dest {truncate_path(path)} is in {truncate_path(directory)}, which"
        _secret_file.check_directory(what, directory, check_mode=check_mode)

    def restart(self) -> None:
        self._sum = hashlib.sha256()
        if self._check_mode:
            return
        with self._errors():
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                self._file = os.fdopen(os.open(self._new, flags, 0o600), "wb")
            self._file.seek(0)
            self._file.truncate()

    def write(self, part: bytes) -> None:
        self._sum.update(part)
        if self._file:
            with self._errors():
                self._file.write(part)

    def finish(self) -> bool:
        """Replace the file if its content differs, and return whether it did."""
        with self._errors():
            is_changed = self._old is None or _checksum(self._path) != self._sum.digest()
            if is_changed and self._file:
                self._file.flush()
                number = self._file.fileno()
                if self._old:
                    # By descriptor, because another user may have put a link at the path. Only
                    # root may change the owner, but others may choose one of their groups.
                    for owner, group in ((-1, self._old.st_gid), (self._old.st_uid, -1)):
                        with suppress(OSError):
                            os.fchown(number, owner, group)
                    os.fchmod(number, self._old.st_mode & 0o777)
                os.fsync(number)
                os.replace(self._new, self._path)
        return is_changed

    def close(self) -> None:
        """Delete the new content unless it has replaced the file."""
        if self._file:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                os.unlink(self._new)

    def _old_file(self) -> os.stat_result | None:
        """Return the status of the existing file, None if there is none."""
        name = truncate_path(self._path)
        try:
            status = os.lstat(self._path)
        except FileNotFoundError:
            if os.path.basename(self._path) in {"", os.curdir, os.pardir}:
                hint = "Use the path of a file in an existing directory."
                raise OptionError(f"dest {name} is not the path of a file", hint=hint) from None
            return None
        except (OSError, ValueError):
            hint = "Check the path, and the permissions of its directory."
            raise OptionError(f"dest {name} cannot be accessed", hint=hint) from None
        if not stat.S_ISREG(status.st_mode):
            hint = "Use another path, or remove what is there."
            raise OptionError(f"dest {name} is not a regular file", hint=hint)
        return status

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OptionError(
                f"dest {truncate_path(self._path)} could not be written ({error.strerror}), and "
                "was not changed",
                hint="Check its directory, and the free space on the disk.",
            ) from None


def _checksum(path: str) -> bytes:
    """Return the checksum of a file, b"" if it is missing or not a regular file by now."""
    checksum = hashlib.sha256()
    with suppress(FileNotFoundError), open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return b""
        for part in iter(lambda: file.read(_AT_ONCE), b""):
            checksum.update(part)
        return checksum.digest()
    return b""


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for a writer, as for a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)
