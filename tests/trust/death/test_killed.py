# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook in which every module for keys writes is killed a hundred times and run again.

TRUST_BATCHES sets the number of batches of twenty kills; CI, which has less time, runs one.

The points are random. If a test fails, it shows the seed; TRUST_SEED sets another one.
"""

from __future__ import annotations

import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.integration.playbook import AnsibleSandbox, Finished
from tests.trust.death.kills import (
    ANSWERED,
    DONE,
    MODES,
    MOMENT,
    Point,
    run_until_killed,
)
from tests.trust.death.mixed import (
    CREATED,
    KINDS,
    Files,
    Kind,
    check_files,
    check_state,
    keys_in,
    play,
    start,
)

SEED = os.environ.get("TRUST_SEED", "1")
BATCHES = int(os.environ.get("TRUST_BATCHES", "5"))
LATENCY = 0.003

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="kills processes through /proc"
)


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run: its requests, its writes, and the seconds to the last write."""

    requests: int
    writes: int
    seconds: float


_wholes: dict[Kind, Whole] = {}


def whole(kind: Kind, folder: Path, collections: Path) -> Whole:
    """Measure a run of this kind, once per process."""
    if kind in _wholes:
        return _wholes[kind]
    files = Files.below(folder / "whole")
    sandbox = AnsibleSandbox(folder / "whole" / "shop", collections, own_python=True)
    with Emulator(start(kind), LATENCY) as emulator:
        begun = last = time.monotonic()
        done = 0
        process = sandbox.start([play(kind, emulator.url, files, random.Random(SEED))])
        while process.poll() is None:
            if len(emulator.writes) != done:
                done, last = len(emulator.writes), time.monotonic()
            time.sleep(0.005)
        run = sandbox.finish(process)
        assert run.code == 0, run.output
        check_state(emulator, kind)
        assert check_files(emulator, kind, files, run.results) == []
        requests = [request for request in emulator.requests if request.status != 401]
        _wholes[kind] = Whole(len(requests), len(emulator.writes), last - begun)
    return _wholes[kind]


def draw(mode: str, usual: Whole, chance: random.Random) -> Point:
    """Draw a random point. The first and last requests write little, so only MOMENT tries them."""
    if mode == MOMENT:
        return Point(mode, delay=chance.uniform(0, usual.seconds))
    if mode == DONE and chance.random() < 0.5:
        # Only these kills lose something permanently: a private key that was never stored.
        return Point(mode, chance.randrange(4), "POST", "*/orgs/*/apiKeys")
    delay = chance.uniform(0, 0.05) if mode == ANSWERED else 0.0
    return Point(mode, chance.randrange(6, usual.requests - 6), delay=delay)


@dataclass(frozen=True)
class Death:
    """A run that is killed, and the runs after it."""

    kind: Kind
    usual: Whole
    folder: Path
    collections: Path

    def sandbox(self, name: str) -> AnsibleSandbox:
        return AnsibleSandbox(self.folder / name, self.collections, own_python=name == "killed")

    def die_and_finish(self, mode: str, chance: random.Random, with_check: bool) -> int:
        """Return the number of writes until the kill."""
        files = Files.below(self.folder)
        with Emulator(start(self.kind), LATENCY) as emulator:
            plays = [play(self.kind, emulator.url, files, chance)]
            point = draw(mode, self.usual, chance)
            sys.stdout.write(f"{self.kind}: killed at {point}, seed {SEED}\n")
            writes = run_until_killed(self.sandbox("killed"), plays, emulator, point)
            done = len(emulator.writes)
            again = self.sandbox("again").playbook(plays)
            self._check(emulator, again, files)
            lost = check_files(emulator, self.kind, files, again.results)
            # No write is repeated.
            assert len(emulator.writes) - done <= self.usual.writes
            for key in lost:
                assert done > 0, f"no run created {key}"
            if with_check:
                self._check_third(emulator, plays, files, lost)
        return writes

    def _check(self, emulator: Emulator, run: Finished, files: Files) -> None:
        assert run.code == 0, run.output
        check_state(emulator, self.kind)
        for key in keys_in(emulator, self.kind):
            if key.description not in CREATED:
                continue
            held = [path for path in files.all() if key.private_key in path.read_text("utf-8")]
            assert len(held) <= 1
            for path in sorted(self.folder.rglob("*")):
                if path.is_file() and path not in held:
                    assert key.private_key.encode() not in path.read_bytes(), path

    def _check_third(
        self, emulator: Emulator, plays: list[dict[str, Any]], files: Files, lost: list[Any]
    ) -> None:
        writes = len(emulator.writes)
        third = self.sandbox("third").playbook(plays, "--check", "--diff")
        self._check(emulator, third, files)
        assert not [result for result in third.results if result.changed]
        assert len(emulator.writes) == writes
        # The warning stays until the key is revoked.
        assert check_files(emulator, self.kind, files, third.results) == lost


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_killed_run_is_finished_by_the_next(
    tmp_path: Path, collections: Path, kind: Kind, batch: int
) -> None:
    chance = random.Random(f"{SEED} {kind} {batch}")
    usual = whole(kind, tmp_path, collections)
    in_the_middle = 0
    for number, mode in enumerate(chance.sample(MODES, len(MODES))):
        death = Death(kind, usual, tmp_path / str(number), collections)
        # A third run warns of what is lost and changes nothing; a few are enough.
        writes = death.die_and_finish(mode, chance, with_check=number == 0 and batch < 2)
        in_the_middle += 0 < writes < usual.writes
    assert in_the_middle > len(MODES) / 2, "most kills came too early or too late"
