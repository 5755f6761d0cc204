#!/bin/sh
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Takes the place of a Python interpreter whose peak memory is measured.
exec "$BENCHMARK_PYTHON" "${0%.sh}.py" "$@"
