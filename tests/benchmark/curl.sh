#!/bin/sh
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Revokes the keys with these IDs, with one curl process per key: curl.sh URL-OF-THE-KEYS USER:PASSWORD ID...
set -eu

url=$1
pair=$2
shift 2
for id in "$@"; do
    status=$(curl --silent --digest --user "$pair" --request DELETE --output /dev/null --write-out '%{http_code}' \
        --header 'Accept: application/vnd.atlas.2023-01-01+json' "$url/$id")
    test "$status" = 204
done
