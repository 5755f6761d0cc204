# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# The code is an action plugin of the same name; ansible-doc finds its documentation here.
DOCUMENTATION = r"""
module: read_variables
short_description: Read and check the variables of a playbook
version_added: 2.0.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Reads the variables that a file describes, checks them, and returns those that are set. This
    collection's playbooks and role use this module.
  - A variable that is null or an empty string, such as an unanswered question of an AWX survey,
    counts as unset. Use C(default(omit)) to pass a variable to a module.
  - The value of a text variable must be text. A number, boolean, date, list or dictionary is
    rejected, because it may not be what the user wrote. For example, YAML reads V(0042) as the
    number 34.
  - Booleans and numbers may be written as text, such as V(true) and V(60).
  - A list of strings may be written as text with one item per line.
options:
  spec:
    description:
      - The file that describes the variables, in the format of a role's C(meta/argument_specs.yml).
        It must have exactly one entry point.
      - A relative path is searched for in the C(vars) directories of the role and of the playbook.
      - V(connection) set to V(true) at the top level of the file adds the variables of
        C(connection.yml) in the same directory.
      - V(misspellings) at the top level of the file is a dictionary. If a variable that is named
        like one of its keys is set, the task fails and suggests the key's value.
    type: path
    required: true
  secrets:
    description:
      - The names of secret variables for which the file does not set C(no_log).
      - Before ansible-core 2.19, Ansible cannot validate an encrypted variable of a role if its
        specification sets C(no_log).
    type: list
    elements: str
    default: []
  deprecated:
    description:
      - Variables that will be removed in version 4.0.0, each with a sentence that says what to use
        instead.
      - If one of them is set, its value is returned, and Ansible shows a deprecation warning.
    type: dict
    default: {}
    version_added: 3.0.0
attributes:
  action:
    description: Runs on the control node.
    support: full
  check_mode:
    description: Runs in check mode and changes nothing.
    support: full
  diff_mode:
    description: Changes nothing, so there is no diff.
    support: none
notes:
  - The module sends no requests, so it needs no credential.
"""

EXAMPLES = r"""
- name: Read the variables of this playbook
  keysmith.mongodb.read_variables:
    spec: revoke_org_api_key.yml
  register: revoke_org_api_key_input

- name: Revoke the key
  keysmith.mongodb.org_api_key:
    api_user_id: "{{ revoke_org_api_key_input.variables.api_user_id | default(omit) }}"
    state: absent
"""

RETURN = r"""
variables:
  description:
    - The variables that are set or have a default, converted to their types.
    - If one of them is secret, the whole result is hidden in all output.
  returned: success
  type: dict
  sample: {api_user_id: 5f0d9a4e1c2b3a00112233e1, wait: true}
check_mode:
  description:
    - Whether the task runs in check mode. Unlike the variable C(ansible_check_mode), this includes
      the C(check_mode) keyword of the task, its block, its role or its play.
  returned: success
  type: bool
  sample: false
  version_added: 3.0.0
strategy:
  description: The name of the play's strategy, as written in the play or in Ansible's settings.
  returned: success
  type: str
  sample: linear
  version_added: 3.1.0
error:
  description: Why the task failed, for C(rescue) blocks. C(error.type) is C(options).
  returned: failure
  type: dict
  sample:
    type: options
    status: null
    code: null
    reason: null
    detail: null
    parameters: null
    method: null
    path: null
"""
