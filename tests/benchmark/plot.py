# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the times of the benchmark against the number of keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

# Distinguishable even without colors.
STYLES = [("o", "-"), ("s", "--"), ("^", "--"), ("D", "-."), ("v", ":")]


def plot(
    counts: Sequence[int],
    drawn: Sequence[tuple[float, Mapping[str, Sequence[float]]]],
    path: Path,
) -> None:
    """Draw one plot per latency, side by side, on log axes."""
    mpl.rcParams["svg.hashsalt"] = "keysmith"
    figure, axes = plt.subplots(
        1, len(drawn), figsize=(6 * len(drawn), 4.6), sharey=True, squeeze=False
    )
    for axis, (latency, curves) in zip(axes[0], drawn, strict=True):
        for (marker, line), (name, seconds) in zip(STYLES, curves.items(), strict=True):
            axis.plot(counts, seconds, marker=marker, linestyle=line, label=name)
        axis.set(xscale="log", yscale="log", xlabel="keys to revoke")
        axis.set_title(f"{latency * 1000:.0f} ms per round trip")
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
        axis.grid(visible=True, color="0.9")
    axes[0][0].set_ylabel("seconds")
    axes[0][0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    lines = path.read_text("utf-8").splitlines()
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines), "utf-8")
