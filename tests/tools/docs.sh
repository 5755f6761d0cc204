#!/bin/sh
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# `make docs`: build the documentation of the installed collection, as for docs.ansible.com.
set -eu

cd "$(dirname "$0")/../.."
folder=.cache/docs
log=.cache/docs.log
PATH=$PWD/.venv/bin:$PATH
ANSIBLE_COLLECTIONS_PATH=$PWD/.cache/collections
ANSIBLE_CONFIG=$PWD/tests/tools/ansible.cfg
# The log is searched for lines with errors and warnings.
NO_COLOR=1
export PATH ANSIBLE_COLLECTIONS_PATH ANSIBLE_CONFIG NO_COLOR

rm -rf "$folder"
mkdir -p "$folder"
chmod go-w "$folder" # antsibull-docs rejects a directory that others can write to
{
    antsibull-docs sphinx-init --use-current --squash-hierarchy --lenient --fail-on-error \
        --project keysmith.mongodb --title keysmith.mongodb --html-short-title keysmith.mongodb \
        --copyright "The keysmith.mongodb authors" --dest-dir "$folder" keysmith.mongodb
    # --extra-conf supports only text values.
    echo "html_static_path, html_css_files = ['../../tests/tools/docs.css'], ['docs.css']" >>"$folder/conf.py"
    # Sphinx downloads the indexes of other projects for links to them. Without network access, only these links are
    # missing.
    (cd "$folder" && ./build.sh)
} >"$log" 2>&1 || {
    cat "$log"
    exit 1
}
python tests/tools/docs_warnings.py "$log"
echo "$folder/build/html/index.html"
