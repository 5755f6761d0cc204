# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start an emulator: `python -m tests.emulator --seed FILE`."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

from . import FAULTS, Emulator, Fault, SeedError, Settings
from .faults import parse_value

SETTINGS = [field.name for field in fields(Settings)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.emulator",
        description="Emulates the MongoDB Atlas Admin API v2 and the Public API v1.0 of Ops "
        "Manager and Cloud Manager on 127.0.0.1. Prints one line when it is ready.",
        epilog="For other processes: GET /_emulator/state, GET /_emulator/stats, and POST "
        "/_emulator/reset with a seed.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free port")
    parser.add_argument("--seed", type=Path, metavar="FILE", help="the initial state, as JSON")
    parser.add_argument(
        "--latency", type=float, default=0.0, metavar="SECONDS", help="the time of one round trip"
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="'NAME [METHOD [PATH]] [ARGUMENT=VALUE ...]'",
        help="may be repeated; for example 'lost_after DELETE /api/* times=2'; the names: "
        + ", ".join(FAULTS),
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="a setting, may be repeated; the names: " + ", ".join(SETTINGS),
    )
    return parser


def _settings(parser: argparse.ArgumentParser, texts: list[str]) -> dict[str, Any]:
    settings = {}
    for text in texts:
        name, _equals, value = text.partition("=")
        if name not in SETTINGS:
            parser.error(f"--set {text}: unknown setting (known: {', '.join(SETTINGS)})")
        settings[name] = parse_value(value)
    return settings


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    settings = {"latency": options.latency, **_settings(parser, options.settings)}
    try:
        seed = json.loads(options.seed.read_text("utf-8")) if options.seed else None
        faults = [Fault.parse(text) for text in options.fault]
        emulator = Emulator(seed, port=options.port, **settings)
    except (OSError, SeedError, TypeError, ValueError) as error:
        parser.error(str(error))
    for fault in faults:
        emulator.add_fault(fault)

    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    with emulator:
        print(f"listening on {emulator.url}", flush=True)
        done.wait()


if __name__ == "__main__":
    main()
