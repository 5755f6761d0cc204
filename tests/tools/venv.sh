#!/bin/sh
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# venv.sh FOLDER REQUIREMENTS: makes a virtual environment, or adds to it. Quiet unless it fails.
set -eu

folder=$1
requirements=$2

# A candidate is run, not only found: version managers put names on the PATH that lead nowhere, and some
# systems ship a Python without the means to make a virtual environment.
find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python3.14}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "No suitable Python: this needs Python 3.10 or newer with its venv module" >&2
    echo "(Debian and Ubuntu: apt install python3-venv; or: make PYTHON=/path/to/python3.12 ...)." >&2
    exit 1
}

if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Setting up $folder (once)…"
    # A half-made or outdated one (its Python has gone, say) is replaced.
    rm -rf "$folder"
    "$python" -m venv "$folder"
else
    echo "Adding to $folder (once): $requirements…"
fi
# -qq leaves errors, and drops hints and warnings that are of no use here.
"$folder/bin/python" -m pip install -qq --disable-pip-version-check --no-input -r "$requirements"
