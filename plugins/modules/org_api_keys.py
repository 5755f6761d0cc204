#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: org_api_keys
short_description: Manage many programmatic API keys of an organization in one task
version_added: 1.2.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Revokes every key of an organization that matches a selection, or makes the organization's keys
    match a declared list.
  - Works with MongoDB Atlas, Cloud Manager and Ops Manager.
  - The module reads the full list of keys once and then changes several keys at the same time. For
    a hundred keys, this is many times faster than a loop over M(keysmith.mongodb.org_api_key).
  - If the list of keys or a declared key's access list cannot be read at the start, the task fails
    and changes nothing.
  - After that, a failure of one key does not stop the others. The task fails at the end and reports
    the outcome of each key. Run it again to finish.
  - If a rate limit lasts longer than O(retry_max_wait), the task stops early.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
  - keysmith.mongodb.look_alikes
options:
  state:
    description:
      - What to do with the keys.
      - V(present) creates and changes keys to match O(api_keys). With O(purge), it also revokes all
        other keys.
      - V(absent) revokes all selected keys.
    type: str
    choices: [present, absent]
    default: present
  api_user_ids:
    description:
      - The IDs of keys to select, each 24 lowercase hexadecimal digits. Selectors require
        O(state=absent).
      - The selectors are O(api_user_ids), O(public_keys), O(descriptions), O(description_match),
        O(roles) and O(project_id). At least one is required.
      - A key is selected if it matches one value of each selector that is set. An empty list
        selects no key.
      - Values that match no key do not fail the task; RV(missing) lists them. If another selector
        excludes a listed key, the task fails. See O(on_unselected).
      - Selectors reject an empty string and null, because these would select more keys.
    type: list
    elements: str
  public_keys:
    description:
      - The public keys of keys to select, each 8 visible ASCII characters.
      - If one is not found and the API does not return the public keys of all keys, the task fails
        and changes nothing.
    type: list
    elements: str
  descriptions:
    description:
      - The exact descriptions of keys to select. If several keys have the same description, all of
        them are selected.
      - If no key has a description exactly but look-alikes exist, the task fails and changes
        nothing. See O(look_alikes).
      - Use a list. A string with a comma is rejected.
    type: list
    elements: str
  description_match:
    description:
      - Patterns for the descriptions of keys to select. A pattern must match the whole description
        and is case-sensitive.
      - V(*) matches any text, V(?) any single character, V([ab]) one of these characters, and
        V([!ab]) any other.
      - The task warns about a pattern that matches no key. It also warns about keys that match only
        as look-alikes, and does not select them.
      - No pattern matches a key without a description, not even V(*). The task warns about such a
        key, and RV(kept) lists it. Use O(api_user_ids) or O(public_keys) to select it.
      - Use a list. A string with a comma is rejected.
    type: list
    elements: str
  roles:
    description:
      - Roles in the organization, such as C(ORG_OWNER). A key is selected if it has at least one of
        them.
    type: list
    elements: str
  project_id:
    description:
      - The ID of a project, 24 lowercase hexadecimal digits. Selects the keys that are assigned to
        it.
    type: str
    aliases: [group_id]
  keep:
    description:
      - Keys that are never revoked or changed, whatever the other options say.
      - Each item is an ID, a public key, a description, or a pattern for descriptions as in
        O(description_match). A key that matches in any of these ways is kept.
      - Prefer IDs. A description can be changed, and another key can get the same one.
      - If a key to revoke or change matches an item only as a look-alike, the task fails and
        changes nothing. See O(look_alikes).
      - The task also fails if an item matches no key (see O(on_keep_missing)), or if a key in
        O(api_keys) matches an item.
      - Use a list. A string with a comma, which Ansible would split, is rejected.
    type: list
    elements: str
  api_keys:
    description:
      - The keys that should exist, with O(state=present).
      - Keys are identified by description. Each description must be unique in this list and must
        match at most one key of the organization. Otherwise the task fails and changes nothing.
    type: list
    elements: dict
    suboptions:
      description:
        description:
          - The full description of the key, 1 to 250 characters.
        type: str
        required: true
        aliases: [desc]
      roles:
        description:
          - All roles of the key in the organization, at least one.
            O(keysmith.mongodb.org_api_key#module:roles) lists them.
          - A new key requires roles. If this option is unset, an existing key keeps its roles.
        type: list
        elements: str
      access_list:
        description:
          - All IP addresses and CIDR blocks on the key's access list. The task removes other
            entries.
          - If this option is unset, the list is neither read nor changed.
          - A new key is created with the role C(ORG_MEMBER), then gets its access list, and then
            its roles. If setting the list or the roles fails, the key is revoked and its file is
            deleted. The error says so, or identifies the key that is left.
          - An existing key gets its access list before its roles.
        type: list
        elements: str
      adopt:
        description:
          - Whether the task may add roles to this key if it exists and O(credentials_dir) does not
            hold its key pair. See O(keysmith.mongodb.org_api_key#module:adopt).
        type: bool
        default: false
        version_added: 2.0.0
      projects:
        description:
          - All projects that the key is assigned to. The task removes the key from other projects.
          - If this option is unset, assignments are not changed.
          - If the task would remove the key from a project that does not exist, it only warns.
        type: list
        elements: dict
        suboptions:
          project_id:
            description: The ID of the project, 24 lowercase hexadecimal digits.
            type: str
            required: true
            aliases: [group_id]
          roles:
            description: All roles of the key in the project, at least one.
            type: list
            elements: str
            required: true
  purge:
    description:
      - Whether to revoke all keys that O(api_keys) does not list, with O(state=present). Keys in
        O(keep), the signing credential and keys without a description are never revoked this way.
      - The task warns about a key without a description, and RV(kept) lists it.
      - A declared key is never created in place of its look-alike, whatever O(look_alikes) says.
      - Keys are revoked even if a declared key could not be created, to make room in a full
        organization. If a key replaces another, set O(fail_fast) or use the role
        C(keysmith.mongodb.rotate_org_api_key).
      - If O(api_keys) is empty, the task itself must set O(max_revocations). Otherwise an empty
        variable would revoke every key.
    type: bool
    default: false
  credentials_dir:
    description:
      - A directory, on the host where the module runs, for the key pairs of new keys. Each is
        written to its own file, C(<id>.json), in the format of
        O(keysmith.mongodb.org_api_key#module:credentials_file).
      - RV(created) then contains the path instead of the private key.
      - Before creating any key, the module checks that the directory is writable. If a file cannot
        be written, its key is revoked.
    type: path
  max_revocations:
    description:
      - The maximum number of keys to revoke, 0 or more.
      - If the task would revoke more, it changes nothing, and the error lists these keys.
    type: int
    default: 50
  on_unselected:
    description:
      - What to do about a key that the task lists but does not revoke. It is listed in
        O(api_user_ids), O(public_keys) or O(descriptions), but another selector excludes it, or it
        is the signing credential.
      - V(fail) fails the task before any change. V(report) only lists the key in RV(unselected).
      - Keys that match an item of O(keep) do not count.
    type: str
    choices: [fail, report]
    default: fail
    version_added: 2.0.0
  on_keep_missing:
    description:
      - What to do if an item of O(keep) matches no key of the organization. This includes patterns.
      - V(fail) fails the task before any change if it would revoke a key.
      - V(warn) only warns. Use it if one list serves many organizations.
    type: str
    choices: [fail, warn]
    default: fail
    version_added: 2.0.0
  allow_own_key:
    description:
      - Whether the task may revoke its signing credential, remove roles or projects from it, or
        change its access list.
      - It is then changed last, after everything else has succeeded. Its roles are changed last of
        all.
      - By default, it is kept even if it is selected or not declared. RV(kept) lists it, and
        O(state=absent) warns. If the task lists it explicitly, RV(unselected) lists it instead. See
        O(on_unselected).
      - By default, the task fails before any change if O(api_keys) would remove anything from it.
      - If the list does not show the signing credential, a key whose public key is hidden could be
        that credential. A task that would revoke such a key then fails before any change.
      - Only a key pair (O(api_public_key)) is an API key, so this option has no effect with other
        credentials.
    type: bool
    default: false
  concurrency:
    description:
      - How many keys are changed at the same time, 1 to 16. All of them share one rate limiter.
    type: int
    default: 8
  fail_fast:
    description:
      - Whether to stop after the first failure. Changes in progress are completed, and RV(pending)
        lists the rest.
    type: bool
    default: false
  time_limit:
    description:
      - The number of seconds after which the task starts no more requests and stops waiting, more
        than 0 and up to 86400. It completes requests in progress, and fails with all results so
        far.
      - A response can take up to three times O(timeout). If the response to a change is lost, the
        module still checks whether the change was made, which takes further requests.
      - Prefer this to a task's C(timeout) or C(async), which return no results. With C(timeout),
        the module continues in the background; C(async) kills it.
      - The signals C(SIGTERM), C(SIGINT) and C(SIGHUP) stop the task in the same way.
    type: float
seealso:
  - module: keysmith.mongodb.org_api_key
  - module: keysmith.mongodb.org_api_key_info
  - name: Atlas Administration API, programmatic API keys
    description: The API of O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-programmatic-api-keys
  - name: Ops Manager, organization API keys
    description: The API of O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/api-keys/org/
notes:
  - The signing credential needs the role Organization Owner (C(ORG_OWNER)). To change
    O(api_keys[].projects), it also needs a role in each project. See
    M(keysmith.mongodb.project_api_key). In check mode, a revocation needs only Organization Member
    (C(ORG_MEMBER)).
  - Which roles exist depends on the platform. See O(keysmith.mongodb.org_api_key#module:roles) and
    M(keysmith.mongodb.project_api_key).
  - The task warns, even in check mode, if an access list becomes empty or allows every address, as
    M(keysmith.mongodb.org_api_key_access_list) does. With a service account or an access token, it
    warns if no key of the organization would keep C(ORG_OWNER).
  - Without O(credentials_dir), a task that creates keys returns their private keys, even if it
    fails. Set C(no_log).
  - The module sends one request per revoked key and one per page of the list, which has up to 500
    keys. A list of several pages is read until two consecutive readings match. With a key pair, one
    more request fetches the challenge that all others share.
"""

EXAMPLES = r"""
- name: Revoke all laptop keys except the build team's
  keysmith.mongodb.org_api_keys:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    state: absent
    description_match: ["laptop *"]
    keep: ["laptop of the build team"]

- name: Make the organization's keys match this list
  keysmith.mongodb.org_api_keys:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    api_keys:
      - description: nightly backup
        roles: [ORG_MEMBER]
        access_list: [192.0.2.0/24]
        projects:
          - project_id: "{{ project_id }}"
            roles: [GROUP_READ_ONLY]
      - description: billing report
        roles: [ORG_BILLING_READ_ONLY]
    purge: true
    keep: ["terraform *"]
    credentials_dir: "{{ credentials_dir }}"

- name: Revoke leaked keys by their public keys
  keysmith.mongodb.org_api_keys:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    state: absent
    public_keys: "{{ leaked_public_keys }}"
  register: revoked

- name: Show the leaked keys that did not exist
  ansible.builtin.debug:
    var: revoked.missing

- name: Revoke all owner keys in a project of Ops Manager
  keysmith.mongodb.org_api_keys:
    platform: ops_manager
    base_url: "{{ ops_manager_url }}"
    ca_path: "{{ ops_manager_ca }}"
    api_public_key: "{{ ops_manager_public_key }}"
    api_private_key: "{{ ops_manager_private_key }}"
    org_id: "{{ ops_manager_org_id }}"
    state: absent
    roles: [ORG_OWNER]
    project_id: "{{ project_id }}"
    time_limit: 300
"""

RETURN = r"""
revoked:
  description: The keys that were revoked, or would be in check mode, as they were before, sorted.
  returned: success, and failure when changes have begun
  type: list
  elements: dict
  sample:
    - id: 6718e34b3d91647abb20e7b8
      public_key: zmmrboas
      created_at: "2024-10-23T11:51:07Z"
      description: laptop of Anna
      roles: [ORG_MEMBER]
      projects: []
created:
  description:
    - The keys that were created, or would be in check mode, sorted.
    - Each has the fields of RV(keysmith.mongodb.org_api_key#module:org_api_key) and the following.
  returned: success, and failure when changes have begun
  type: list
  elements: dict
  sample:
    - id: 6718e34b3d91647abb20e7b9
      public_key: qrsiktrc
      created_at: "2024-10-23T11:51:07Z"
      description: nightly backup
      roles: [ORG_MEMBER]
      projects:
        - project_id: 5e2211c17a3e5a48f5497de3
          roles: [GROUP_READ_ONLY]
      access_list: [192.0.2.0/24]
      credentials_file: keys/6718e34b3d91647abb20e7b9.json
  contains:
    access_list:
      description: The entries of the key's access list, sorted.
      returned: when O(api_keys) has an access list for the key
      type: list
      elements: str
      sample: [192.0.2.0/24]
    credentials_file:
      description: The file that holds the key pair.
      returned: with O(credentials_dir), not in check mode
      type: str
      sample: keys/6718e34b3d91647abb20e7b9.json
    private_key:
      description: The private key, which cannot be read again.
      returned: without O(credentials_dir), not in check mode
      type: str
      sample: 55c3bbb6-b4bb-40be-8e66-d20841f3e000
updated:
  description:
    - The keys that were changed, as they are now, or as they would be in check mode. They have the
      fields of RV(keysmith.mongodb.org_api_key#module:org_api_key).
  returned: success, and failure when changes have begun
  type: list
  elements: dict
  sample: []
unchanged:
  description:
    - The keys that needed no change, including those that another run has revoked in the meantime.
  returned: success, and failure when changes have begun
  type: list
  elements: dict
  sample: []
kept:
  description:
    - The keys that would have been revoked but were kept, with C(id), C(public_key),
      C(created_at), C(description) and C(reason).
    - The reason is C(keep) for a key in O(keep), and C(own_key) for the signing credential.
    - The reason is C(no_description) for a key without a description that O(purge) or
      O(description_match) would otherwise include.
  returned: success, when changes have begun, and when O(on_unselected), O(on_keep_missing) or
    O(max_revocations) stops the task
  type: list
  elements: dict
  sample:
    - id: 6718e34b3d91647abb20e7c0
      public_key: aaaabbbb
      created_at: "2024-10-23T11:51:07Z"
      description: terraform
      reason: keep
unselected:
  description:
    - The existing keys that the task lists by ID, public key or exact description but does not
      revoke, with C(id), C(public_key), C(created_at), C(description) and C(reason).
    - The reason is C(not_selected) for a key that another selector excludes, and C(own_key) for the
      signing credential.
  returned: with O(state=absent), in the same cases as RV(kept)
  type: list
  elements: dict
  sample: []
  version_added: 2.0.0
missing:
  description: The IDs, public keys and descriptions in the selection that match no key.
  returned: with O(state=absent), in the same cases as RV(kept)
  type: list
  elements: str
  sample: [deadbeefdeadbeefdeadbeef]
failures:
  description:
    - The keys for which a change failed, with C(id), C(public_key), C(created_at),
      C(description), the message C(msg), and C(error) with the fields of RV(error).
  returned: failure, when changes have begun
  type: list
  elements: dict
  sample:
    - id: 6718e34b3d91647abb20e7b8
      public_key: zmmrboas
      created_at: "2024-10-23T11:51:07Z"
      description: laptop of Anna
      msg: "Could not revoke the API key 6718e34b3d91647abb20e7b8 (zmmrboas): …"
      error:
        type: api
        status: 503
        code:
        reason: Service Unavailable
        detail:
        parameters: []
        method: DELETE
        path: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/6718e34b3d91647abb20e7b8
pending:
  description:
    - The keys whose changes were not started, with C(id), C(public_key),
      C(created_at) and C(description).
  returned: failure, when changes have begun
  type: list
  elements: dict
  sample: []
error:
  description:
    - Why the task failed, for C(rescue) blocks, or the first of several failures.
      RV(keysmith.mongodb.org_api_key#module:error) describes the fields.
    - If O(max_revocations) is exceeded, C(error.parameters) has the IDs of all keys that would be
      revoked.
  returned: failure
  type: dict
  sample:
    type: api
    status: 503
    code:
    reason: Service Unavailable
    detail:
    parameters: []
    method: DELETE
    path: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/6718e34b3d91647abb20e7b8
"""

# Must come first: a Python that is too old cannot import the rest.
from ansible_collections.keysmith.mongodb.plugins.module_utils import _python  # pylint: disable=unused-import  # noqa: F401  isort: skip

from collections.abc import Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _module,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._bulk import (
    _bulk,
    _changes,
    _key_sets,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import MAX_THREADS
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    GuardError,
    OptionError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import (
    _org_api_keys,
    _resource,
)

ARGUMENT_SPEC: _argspec.Spec = {
    **_argspec.STATE,
    "api_user_ids": {"type": "list", "elements": "str"},
    "public_keys": {"type": "list", "elements": "str", "no_log": False},
    "descriptions": {"type": "list", "elements": "str"},
    "description_match": {"type": "list", "elements": "str"},
    "roles": {"type": "list", "elements": "str"},
    "project_id": {"type": "str", "aliases": ["group_id"]},
    "keep": {"type": "list", "elements": "str"},
    "api_keys": {
        "type": "list",
        "elements": "dict",
        "no_log": False,
        "options": {
            "description": {"type": "str", "required": True, "aliases": ["desc"]},
            "roles": {"type": "list", "elements": "str"},
            "access_list": {"type": "list", "elements": "str"},
            "adopt": {"type": "bool", "default": False},
            "projects": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "project_id": {"type": "str", "required": True, "aliases": ["group_id"]},
                    "roles": {"type": "list", "elements": "str", "required": True},
                },
            },
        },
    },
    "purge": {"type": "bool", "default": False},
    "credentials_dir": {"type": "path"},
    "max_revocations": {"type": "int", "default": 50},
    **_argspec.LOOK_ALIKES,
    "on_unselected": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
    "on_keep_missing": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
    **_argspec.ALLOW_OWN_KEY,
    "concurrency": {"type": "int", "default": 8},
    "fail_fast": {"type": "bool", "default": False},
    **_argspec.TIME_LIMIT,
}


def check(params: Mapping[str, Any]) -> None:
    if not 1 <= params["concurrency"] <= MAX_THREADS:
        raise OptionError(
            f"concurrency is {params['concurrency']}", hint=f"It must be from 1 to {MAX_THREADS}."
        )
    if params["max_revocations"] < 0:
        raise OptionError(
            f"max_revocations is {params['max_revocations']}", hint="It must be 0 or more."
        )
    _argspec.check_items("keep", params["keep"] or [])
    if params["state"] == "absent":
        _key_sets.check_selection(params)
    else:
        _key_sets.check_declaration(params)


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    org_id = params["org_id"]
    keys = _resource.list_all(api, _org_api_keys.API_KEYS.of(org_id))
    if params["state"] == "absent":
        wanted = _key_sets.selected(params, api, keys)
    else:
        wanted = _key_sets.as_declared(params, api, keys, check_mode)
    extra_results = wanted.extra_results()
    try:
        extra_results["warnings"] += _key_sets.check_guards(params, keys, wanted)
    except GuardError as error:
        raise error.with_context(results=extra_results) from None
    _key_sets.warn_of_dangers(params, api, keys, wanted)
    if check_mode or not any(change.is_change for change in wanted.changes):
        return {**_changes.planned(wanted.changes), **extra_results}
    work = _bulk.Work(
        api=api,
        org_id=org_id,
        known_ids={key.id for key in keys},
        access_list_name=_key_sets.access_list_name(params, api, keys, wanted.changes),
        credentials_dir=params["credentials_dir"],
        concurrency=params["concurrency"],
        fail_fast=params["fail_fast"],
    )
    runs, warnings = work.apply(wanted.changes)
    extra_results["warnings"] += warnings
    return _bulk.report(work, runs, extra_results)


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, filters=_key_sets.SELECTORS)


if __name__ == "__main__":
    main()
