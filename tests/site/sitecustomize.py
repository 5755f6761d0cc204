# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs first in every Python process that has this directory on PYTHONPATH."""

import os
import sys

import archives
import compiled

archives.begin()
compiled.begin()
# Ansible passes this on as ansible_playbook_python, with which tests and playbooks run modules.
sys.executable = os.environ.get("MODULE_PYTHON", sys.executable)
