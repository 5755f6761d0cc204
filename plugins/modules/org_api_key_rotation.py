#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: org_api_key_rotation
short_description: Replace a programmatic API key of an organization in safe steps
version_added: 3.0.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Replaces an API key in three steps, in MongoDB Atlas, Cloud Manager or Ops Manager.
  - O(phase=begin) creates a replacement with the same roles, projects and access list. Your own
    tasks then store its key pair.
  - O(phase=finish) verifies the key pair and revokes the old key immediately or after a grace
    period.
  - O(phase=roll_back) revokes the replacement, for example if its key pair could not be stored. The
    old key keeps working.
  - The role P(keysmith.mongodb.rotate_org_api_key#role) runs the three phases around your tasks.
  - The state of a rotation is kept in a mark at the end of the replacement's description, so any
    host can continue it. The notes list the states.
  - Marks are authenticated. A mark has an HMAC over the organization, the IDs of both keys, the
    phase, the time and the description.
  - The module never acts on a mark that does not verify. Anyone who can create keys in a project
    can give a key any description.
  - Do not run two rotations of the same key at the same time.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
options:
  phase:
    description:
      - The step to take.
      - V(begin) checks everything first. It then revokes any replacement that an interrupted run
        has left, if its key pair cannot be in use. Finally, it creates the replacement and returns
        its key pair.
      - If the rotation is past this step, V(begin) changes nothing, and RV(state) is V(waiting) or
        V(due).
      - V(finish) verifies the new key pair and records the end of O(grace_period). As soon as this
        time has passed, it revokes the old key and gives the replacement the old key's description.
      - V(roll_back) revokes a replacement whose key pair is not verified yet.
    type: str
    choices: [begin, finish, roll_back]
    required: true
  api_user_id:
    description:
      - The ID of the old key, 24 lowercase hexadecimal digits.
      - Exactly one of O(api_user_id), O(public_key) and O(description) identifies the old key.
        Prefer the ID, because another key can get the same description in the meantime.
    type: str
    aliases: [id]
  public_key:
    description:
      - The public key of the old key, 8 visible ASCII characters.
      - If a run is interrupted after it has revoked the old key, this public key no longer
        identifies the rotation. RV(left) reports the replacement, and O(phase=finish) continues
        with O(successor_id).
    type: str
  description:
    description:
      - The full description of the old key.
      - If the rotation has begun, the replacement's mark contains the ID of the old key. If the
        mark verifies but that key now has another description, the task fails and does not change
        it.
      - After a rotation, the replacement has this description. Each O(phase=begin) that finds no
        rotation to finish therefore starts another one.
    type: str
    aliases: [desc]
  look_alikes:
    description:
      - What to do if no key has exactly the given description, but one looks like it.
      - Look-alikes differ only in case, whitespace, invisible characters or Unicode compatibility
        forms (NFKC).
      - V(refuse) fails the task and lists the look-alikes. V(ignore) treats them as different keys.
      - An exact match always wins.
    type: str
    choices: [refuse, ignore]
    default: refuse
  successor_id:
    description:
      - The ID of the replacement, for O(phase=finish) and O(phase=roll_back). It is
        C(id) in RV(org_api_key) of O(phase=begin).
      - Required to roll back a replacement whose key pair was handed over, and to continue with a
        replacement whose mark does not verify.
    type: str
  credentials_file:
    description:
      - A file on the host where the module runs, for the new key pair.
      - O(phase=begin) writes it in the format of
        O(keysmith.mongodb.org_api_key#module:credentials_file), and leaves out RV(key_pair).
        O(phase=finish) reads the key pair from it.
      - The file must not exist, or must hold the key pair of a deleted key with the same
        description.
      - If the file cannot be written, the replacement is revoked.
    type: path
  new_private_key:
    description:
      - The private key of the replacement, for O(phase=finish).
      - This or O(credentials_file) is required until the key pair is verified. After that, only a
        rotation of the signing credential requires it.
    type: str
  grace_period:
    description:
      - How many seconds O(phase=finish) keeps the old key after it has verified the new key pair,
        at most 366 days.
      - The module does not wait. The first O(phase=finish) after that time revokes the old key.
      - The end is recorded in the mark, so a later value has no effect.
      - An empty value is rejected, because it would revoke the old key immediately.
    type: int
    default: 0
  mark_key:
    description:
      - The secret that authenticates marks, at least 16 characters. All runs of a rotation must use
        the same one.
      - If unset, defaults to the private key or client secret that the task authenticates with.
        With an access token, it defaults to O(client_secret), and then to the private key or client
        secret in the environment variables. If there is none, this option is required.
      - If this default is the private key of the old key, it authenticates marks until
        O(phase=finish) has verified the new key pair. From then on, the new private key
        authenticates them. During the grace period, authenticate with the new key pair or pass it
        to O(phase=finish).
      - Anyone who can list the keys can read the marks and try to guess this secret offline. Use a
        random value.
    type: str
  ignore_marks:
    description:
      - Whether O(phase=begin) creates a replacement even if other keys look like replacements of
        the old key and their marks do not verify.
      - The module reports these keys in RV(left) and never changes them.
    type: bool
    default: false
  allow_own_key:
    description:
      - Whether the old key may be the signing credential. The new key pair is then used to revoke
        the old key.
    type: bool
    default: false
  verify_timeout:
    description:
      - The maximum number of seconds to wait until the API accepts the new key pair, more than 0
        and up to 86400.
      - A new key works only after a delay. RV(verification) shows how long it took.
    type: float
    default: 60
  wait_timeout:
    description:
      - The maximum number of seconds to wait until the API confirms that a revoked key is gone,
        more than 0 and up to 86400.
    type: float
    default: 60
seealso:
  - module: keysmith.mongodb.org_api_key
  - name: Replacing API keys
    description: The guide to rotations, with and without a grace period.
    link: https://github.com/keysmith/keysmith.mongodb/blob/main/docs/docsite/rst/guide_rotation.rst
notes:
  - The signing credential needs the role Organization Owner (C(ORG_OWNER)).
  - All platforms behave the same, except that the signing credential on Ops Manager is always a key
    pair.
  - An interrupted run leaves the replacement in one of the following four states. The next run
    recognizes the state by the first word of the mark.
  - In the state C(creating), the key was just created and must have no rights yet. The next
    O(phase=begin) revokes it if it is the only key with this mark and was created within ten
    minutes after the mark's time. Otherwise it reports the key in RV(left).
  - In the state C(created), the key gets its access list and projects, and its key pair has not
    been handed over. The next O(phase=begin) revokes it as long as it lacks the old key's roles in
    the organization and the old key is unchanged. Otherwise it reports the key in RV(left).
  - In the state C(issued), the key pair may be in use. O(phase=finish) continues if it has the key
    pair. The next O(phase=begin) creates another replacement and reports this one in RV(left).
  - In the state C(verified), the key pair was verified, and the old key is kept until the mark's
    time. Then O(phase=finish) revokes the old key and renames the replacement.
  - A replacement whose key pair may be in use is never revoked automatically.
  - A project administrator can remove a key's roles in the project and restore an older mark. If
    the old key has no organization role except C(ORG_MEMBER), O(phase=begin) therefore revokes no
    replacement of an earlier run. It reports them and creates another one.
  - O(phase=finish) rejects a replacement whose roles or projects differ from those of the old key.
    Until it has recorded the verification, it also rejects one whose access list allows more
    addresses.
  - If the API refuses a request only because of the new key's role or access list, this verifies
    the key pair too. RV(verification.refusal) has the error code.
"""

EXAMPLES = r"""
- name: Replace a key and keep the old one for a day
  block:
    - name: Create the replacement
      keysmith.mongodb.org_api_key_rotation:
        phase: begin
        org_id: "{{ org_id }}"
        api_user_id: "{{ api_user_id }}"
        mark_key: "{{ mark_key }}"
        credentials_file: "{{ credentials_file }}"
      register: begun

    - name: Verify the new key pair
      keysmith.mongodb.org_api_key_rotation:
        phase: finish
        org_id: "{{ org_id }}"
        api_user_id: "{{ api_user_id }}"
        mark_key: "{{ mark_key }}"
        credentials_file: "{{ credentials_file }}"
        # The first run of this task after this time revokes the old key.
        grace_period: 86400
  rescue:
    - name: Revoke the replacement
      keysmith.mongodb.org_api_key_rotation:
        phase: roll_back
        org_id: "{{ org_id }}"
        api_user_id: "{{ api_user_id }}"
        mark_key: "{{ mark_key }}"
        successor_id: "{{ begun.org_api_key.id }}"
      when: begun.state | default('') == 'begun'

    - name: Report the failure
      ansible.builtin.fail:
        msg: The key was not replaced.
"""

RETURN = r"""
state:
  description:
    - The state of the rotation after the task, or as it would be in check mode.
    - V(begun) means that the replacement exists and its key pair must be stored.
    - V(waiting) means that the new key pair is verified and the grace period has not ended.
    - V(due) means that O(phase=finish) is next, because the grace period has ended or the old key
      is gone. Only O(phase=begin) returns this state.
    - V(rotated) means that the old key is revoked and the replacement has its description.
    - V(rolled_back) means that the replacement was revoked.
    - V(none) means that there was nothing to finish or to roll back.
  returned: success
  type: str
  sample: begun
old_api_user_id:
  description: The ID of the old key. V(none) if it is not known.
  returned: success
  type: str
  sample: 6718e34b3d91647abb20e7b8
old_until:
  description: When the old key will be revoked. V(none) if the new key pair is not verified.
  returned: success
  type: str
  sample: "2026-11-29T05:40:00Z"
org_api_key:
  description:
    - The replacement as it is now, or as it would be in check mode. V(none) if there is none.
    - It has the fields of RV(keysmith.mongodb.org_api_key#module:org_api_key). Its description
      includes the mark until the rotation is finished.
    - With O(phase=roll_back), the key that was revoked, if O(successor_id) identified it.
  returned: success
  type: dict
  sample:
    id: 6928f1c03d91647abb20e7b9
    public_key: zmmrboas
    created_at: "2025-11-28T00:50:08Z"
    description: backup of the billing cluster
    roles: [ORG_MEMBER]
    projects:
      - project_id: 5e2211c17a3e5a48f5497de3
        roles: [GROUP_READ_ONLY]
key_pair:
  description:
    - The new key pair, which cannot be read again. Set C(no_log), or use O(credentials_file)
      instead.
  returned: when O(phase=begin) has created a replacement without O(credentials_file)
  type: dict
  sample:
    org_id: 5980cfdf0b6d97029d82f86e
    api_user_id: 6928f1c03d91647abb20e7b9
    description: backup of the billing cluster
    public_key: zmmrboas
    private_key: 55c3bbb6-b4bb-40be-8e66-d20841f3e000
actions:
  description:
    - The steps that the task has taken, or would take in check mode, in order.
    - Each has C(action) and the C(api_user_id) of the key, which is V(none) for a new key.
    - The actions are C(revoke_leftover), C(create_replacement), C(verify_key_pair),
      C(record_verification), C(revoke_old_key), C(rename_replacement) and C(revoke_replacement).
  returned: success
  type: list
  elements: dict
  sample:
    - action: create_replacement
      api_user_id: null
left:
  description:
    - Other keys that look like replacements, which the task has not changed.
    - Each has C(id), C(public_key), C(created_at), C(description) and a C(reason).
    - The reason is V(unverified_mark), V(may_be_in_use), or one of the following.
    - V(unclear_origin) means that the key has a C(creating) mark that may come from another run or
      user.
    - V(old_key_missing) means an unfinished rotation of a key that no longer exists.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 6928f1c03d91647abb20e7ba
      public_key: qwertzui
      created_at: "2025-11-28T00:50:08Z"
      description: "backup (successor of 6718e34b3d91647abb20e7b8: created)"
      reason: unverified_mark
verification:
  description: How the API accepted the new key pair. V(none) if the task did not test it.
  returned: success
  type: dict
  sample:
    waited: 1.5
    refusal: null
  contains:
    waited:
      description: How many seconds it took until the API accepted the key pair.
      returned: success
      type: float
      sample: 1.5
    refusal:
      description:
        - The API's error code, if it accepted the key pair but refused the request because of the
          key's role or access list. V(none) otherwise.
      returned: success
      type: str
      sample: IP_ADDRESS_NOT_ON_ACCESS_LIST
error:
  description:
    - Why the task failed, for C(rescue) blocks. RV(keysmith.mongodb.org_api_key#module:error)
      describes the fields. C(error.parameters) has the IDs of the keys that the message is about.
    - C(error.type) is C(guard) if a mark does not verify, the old key was changed, or a replacement
      may be in use. It is also C(guard) if the replacement has other rights or a wider access list.
    - C(error.type) is C(missing) if the old key does not exist, and C(timeout) if the API did not
      accept the new key pair in time.
  returned: failure
  type: dict
  sample:
    type: guard
    status: null
    code: null
    reason: null
    detail: null
    parameters: [6928f1c03d91647abb20e7ba]
    method: null
    path: null
"""

# Must come first: a Python that is too old cannot import the rest.
from ansible_collections.keysmith.mongodb.plugins.module_utils import _python  # pylint: disable=unused-import  # noqa: F401  isort: skip

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _module,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection import _resolve
from ansible_collections.keysmith.mongodb.plugins.module_utils._rotation import _rotation_steps

ARGUMENT_SPEC: _argspec.Spec = {
    "phase": {"type": "str", "choices": ["begin", "finish", "roll_back"], "required": True},
    **_argspec.KEY,
    "successor_id": {"type": "str"},
    "credentials_file": {"type": "path", "no_log": False},
    "new_private_key": {"type": "str", "no_log": True},
    "grace_period": {"type": "int", "default": 0},
    "mark_key": {"type": "str", "no_log": True},
    "ignore_marks": {"type": "bool", "default": False},
    **_argspec.ALLOW_OWN_KEY,
    "verify_timeout": {"type": "float", "default": 60},
    "wait_timeout": {"type": "float", "default": 60},
}


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    # The new key pair is verified over a connection with the same settings.
    connection = _resolve.resolve(params, os.environ)
    return _rotation_steps.run(params, api, connection, os.environ, check_mode)


def main() -> None:
    _module.execute(ARGUMENT_SPEC, _rotation_steps.check, run, **_argspec.ONE_KEY)


if __name__ == "__main__":
    main()
