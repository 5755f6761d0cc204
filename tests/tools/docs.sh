#!/bin/sh
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# `make docs`: the pages of the installed collection, as antsibull-docs makes them for docs.ansible.com.
set -eu

cd "$(dirname "$0")/../.."
folder=.cache/docs
log=.cache/docs.log
PATH=$PWD/.venv/bin:$PATH
ANSIBLE_COLLECTIONS_PATH=$PWD/.cache/collections
ANSIBLE_CONFIG=$PWD/tests/tools/ansible.cfg
# Error and warning lines are looked for in the log.
NO_COLOR=1
export PATH ANSIBLE_COLLECTIONS_PATH ANSIBLE_CONFIG NO_COLOR

rm -rf "$folder"
mkdir -p "$folder"
chmod go-w "$folder" # antsibull-docs refuses a folder that others can write to
{
    antsibull-docs sphinx-init --use-current --squash-hierarchy --lenient --fail-on-error \
        --project keysmith.mongodb --title keysmith.mongodb --html-short-title keysmith.mongodb \
        --copyright "The keysmith.mongodb authors" --dest-dir "$folder" keysmith.mongodb
    # What --extra-conf cannot say, since it knows text only.
    echo "html_static_path, html_css_files = ['../../tests/tools/docs.css'], ['docs.css']" >>"$folder/conf.py"
    # Other projects' indexes, for links into them, are fetched from their sites: without those the
    # pages are the same but for such links.
    (cd "$folder" && ./build.sh)
} >"$log" 2>&1 || {
    cat "$log"
    exit 1
}
python tests/tools/docs_warnings.py "$log"
echo "$folder/build/html/index.html"
