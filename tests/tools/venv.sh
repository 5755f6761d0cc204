#!/bin/sh
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# venv.sh DIRECTORY REQUIREMENTS: create a virtual environment, or install into it. Prints nothing on success.
set -eu

folder=$1
requirements=$2

# Run each candidate: version managers put commands on the PATH that do not work, and the Python of some systems cannot
# create a virtual environment.
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
    # Replace an incomplete environment, or one whose Python no longer exists.
    rm -rf "$folder"
    "$python" -m venv "$folder"
else
    echo "Adding to $folder (once): $requirements…"
fi
# -qq shows only errors.
pip_install() {
    "$folder/bin/python" -m pip install -qq --disable-pip-version-check --no-input "$@"
}

# uv is faster, but it does not run everywhere, and ignores the settings of pip. It gets the address of the index,
# because otherwise it would try to reach pypi.org for minutes.
uv_install() {
    "$folder/bin/python" -m uv --version || pip_install uv || return
    # Variables come first in the list.
    index=$("$folder/bin/python" -m pip config list |
        sed -nE "s/^(:env:|global|install)\.index-url='(.*)'\$/\2/p" | head -n 1)
    if [ -n "$index" ]; then
        export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    fi
    "$folder/bin/python" -m uv pip install --python "$folder/bin/python" "$@"
}

uv_install -r "$requirements" >/dev/null 2>&1 || pip_install -r "$requirements"
