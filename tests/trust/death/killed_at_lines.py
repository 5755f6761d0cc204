# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module repeatedly and kill it before each executed line of a file in turn.

killed_at_lines.py COLLECTIONS MODULE FILE OPTIONS: in the options, which are JSON, ``{point}`` is
replaced by the number of the line. Prints the number of lines.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from typing import Any

sys.path.insert(0, sys.argv[1])

from tests.support import run_module


def run(module: str, file: str, options: dict[str, Any], point: int) -> None:
    """Run a module and kill this process before the line with this number."""
    left = point

    def trace(frame: Any, event: str, _argument: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(file):
            return None
        if event == "line":
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return trace

    sys.settrace(trace)
    outcome = run_module(module, options)
    sys.settrace(None)
    assert not outcome.failed, outcome.msg


def main() -> None:
    module, file, options = sys.argv[2:]
    # Import everything before the first fork.
    run_module(module, {"org_id": "none"})
    for point in itertools.count():
        child = os.fork()
        if not child:
            run(module, file, json.loads(options.replace("{point}", str(point))), point)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != -signal.SIGKILL:
            assert code == 0, f"point {point} ended with {code}"
            sys.stdout.write(f"{point}\n")
            return


if __name__ == "__main__":
    main()
