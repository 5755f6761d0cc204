# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write and verify the marks that keep a rotation's state in descriptions. Pure: no I/O.

Anyone who may rename a key can write text that looks like a mark, or copy a mark. So a mark has an
HMAC of everything that it states and of the ID of its key. Text without a valid HMAC is reported,
and never acted on.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import hashlib
import hmac
import re
import time
from dataclasses import dataclass

VERSION = 1
# In the order of a rotation.
CREATING = "creating"  # in the POST that creates the key, when its ID is not known yet
CREATED = "created"  # only the run that created the key has its key pair
ISSUED = "issued"  # the key pair was handed over and may be in use
VERIFIED = "verified"  # the key pair was verified; the time is the end of the grace period
PHASES = (CREATING, CREATED, ISSUED, VERIFIED)

# The purposes of HMACs, so that an HMAC for one purpose is not valid for another.
_KEY_PURPOSE = b"keysmith.mongodb rotation, key of marks"
_MARK_PURPOSE = b"keysmith.mongodb rotation, mark"
_TAG_PURPOSE = b"keysmith.mongodb rotation, old key"
TAG_SIZE = 8
MAC_SIZE = 16
_TIME = "%Y%m%dT%H%M%SZ"
# Matches the marks of all versions, and other text that looks like a mark.
_LOOKS_LIKE = re.compile(
    r"(?P<base>.*) \(successor of (?P<old>[0-9a-f]{24}): (?P<rest>[^()]*)\)", re.DOTALL
)
_REST = re.compile(
    rf"(?P<phase>{'|'.join(PHASES)}) (?P<time>[0-9]{{8}}T[0-9]{{6}}Z) "
    rf"{VERSION}\.(?P<token>[A-Za-z0-9_-]{{32}})"
)
# The longest mark. The token is TAG_SIZE and MAC_SIZE bytes in base64.
LENGTH = len(f" (successor of {24 * '0'}: {VERIFIED} 20260101T000000Z {VERSION}.{32 * '0'})")


@dataclass(frozen=True)
class Mark:
    """The state of a rotation in the description of a replacement.

    ``new_id`` is the ID of the key with the mark, None while it is being created. ``tag`` describes
    the old key (see ``tag_of``), and is random for ``CREATING``. ``base`` is the description that
    the replacement finally gets.
    """

    phase: str
    org_id: str
    old_id: str
    new_id: str | None
    time: int
    tag: bytes
    base: str


@dataclass(frozen=True)
class RawMark:
    """Text that looks like a mark. ``phase`` is "" unless it has the form of this version."""

    base: str
    old_id: str
    phase: str = ""
    time: int = 0
    tag: bytes = b""
    mac: bytes = b""


def key_of(secret: str) -> bytes:
    """Derive the key of marks from a secret. The secret cannot be computed from it."""
    return hmac.new(
        secret.encode("utf-8", "surrogateescape"), _KEY_PURPOSE, hashlib.sha256
    ).digest()


def tag_of(key: bytes, *facts: str) -> bytes:
    """Return a short tag of facts about a key, to detect later changes."""
    return _hmac(key, _TAG_PURPOSE, *map(_bytes, facts))[:TAG_SIZE]


def describe(mark: Mark, key: bytes) -> str:
    """Return the description of a key with this mark."""
    token = base64.urlsafe_b64encode(mark.tag + _mac(mark, key)).decode()
    moment = time.strftime(_TIME, time.gmtime(mark.time))
    return f"{mark.base} (successor of {mark.old_id}: {mark.phase} {moment} {VERSION}.{token})"


def read(description: str) -> RawMark | None:
    """Parse the text at the end of a description that looks like a mark. Never raises."""
    found = _LOOKS_LIKE.fullmatch(description)
    if not found:
        return None
    raw = RawMark(found["base"], found["old"])
    rest = _REST.fullmatch(found["rest"])
    if not rest:
        return raw
    try:
        moment = calendar.timegm(time.strptime(rest["time"], _TIME))
        token = base64.urlsafe_b64decode(rest["token"])
    except (ValueError, OverflowError, binascii.Error):
        return raw
    tag, mac = token[:TAG_SIZE], token[TAG_SIZE:]
    return RawMark(raw.base, raw.old_id, rest["phase"], moment, tag, mac)


def verify(raw: RawMark, key: bytes, org_id: str, carrier_id: str) -> Mark | None:
    """Return the mark if its HMAC is valid for this key, organization and ID of the carrier."""
    if not raw.phase:
        return None
    new_id = None if raw.phase == CREATING else carrier_id
    mark = Mark(raw.phase, org_id, raw.old_id, new_id, raw.time, raw.tag, raw.base)
    return mark if hmac.compare_digest(_mac(mark, key), raw.mac) else None


def _mac(mark: Mark, key: bytes) -> bytes:
    facts = (str(VERSION), mark.phase, mark.org_id, mark.old_id, mark.new_id or "", str(mark.time))
    texts = (*map(_bytes, facts), mark.tag, _bytes(mark.base))
    return _hmac(key, _MARK_PURPOSE, *texts)[:MAC_SIZE]


def _bytes(text: str) -> bytes:
    # JSON may contain lone surrogates, which must not make reading fail.
    return text.encode("utf-8", "surrogatepass")


def _hmac(key: bytes, *parts: bytes) -> bytes:
    """Return the HMAC of parts, each after its length, so that they cannot run together."""
    data = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.new(key, data, hashlib.sha256).digest()
