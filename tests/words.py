# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What failures say, word by word: tests/words.txt has every text that the tests meet.

A text that is not there fails the test that met it. `make words` writes the file anew; what has
changed in it is to be read aloud before it is committed.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from tests import json_lines

FILE = Path(__file__).with_name("words.txt")
# Names a file that gets the texts, which are then not compared.
VARIABLE = "TESTS_WRITE_WORDS"
# What is another in each run, and what stands for it.
_PASSING = (
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:(port)"),
    (re.compile(r"[^\s'\",]*/pytest-of-[^/]+/pytest-\d+/(popen-gw\d+/)?[^\s/'\",]+"), "(folder)"),
    # The ids that the emulator makes, and the public keys beside them; those of the tests are made
    # of few digits.
    (re.compile(r"\b(?![0-9a-f]*0{6})(?!(?:[0-9a-f]{8})?deadbeef)[0-9a-f]{24}\b"), "(new id)"),
    (re.compile(r"(?<=\(new id\) \()[a-z]{8}\b"), "newpublk"),
    (re.compile(r'(?<=\(new id\)", "public_key": ")[a-z]{8}\b'), "newpublk"),
    (re.compile(r"\b[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\b"), "(private key)"),
    (re.compile(r"\b\w+\.py:\d+"), "(file):(line)"),
)


def text(error: Any) -> str:
    """Return the two lines of an error: its message, and what else is known of it.

    Of long fields only the beginning, and how long they are.
    """
    known = {"kind": type(error).__name__, **error.fields(), "results": error.results}
    if not getattr(error, "transient", True):
        known["transient"] = False
    shown = {name: value for name, value in known.items() if value not in (None, [], {})}
    more = _short(_lasting(json.dumps(shown, ensure_ascii=False)))
    return f"{_lasting(error.message())}\n    {more}"


def _lasting(text: str) -> str:
    for pattern, name in _PASSING:
        text = pattern.sub(name, text)
    return text


def _short(text: str) -> str:
    return text if len(text) <= 400 else f"{text[:400]}… ({len(text)} characters)"


@functools.cache
def known() -> frozenset[str]:
    """The texts that were agreed on."""
    return frozenset(FILE.read_text("utf-8").strip().split("\n\n"))


def record(found: str) -> None:
    """Add a text to those that are being written. Processes may do so at the same time."""
    json_lines.append(os.environ[VARIABLE], found)


def main(recorded: str) -> None:
    texts = {json.loads(line) for line in Path(recorded).read_text("utf-8").splitlines()}
    FILE.write_text("\n\n".join(sorted(texts)) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
