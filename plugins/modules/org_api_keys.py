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
  - Revokes all keys of an organization that fit a selection, or makes an organization have the
    keys that are declared, in MongoDB Atlas, Cloud Manager or Ops Manager.
  - All keys are read once, in one complete listing, and then changed several at the same time. For
    a hundred keys this is many times faster than a loop over M(keysmith.mongodb.org_api_key).
  - What happens to one key while keys are changed does not keep the others from being changed. The
    task fails in the end and tells what has become of each; when it is run again, it does the rest.
    Only a rate limit that lasts longer than O(retry_max_wait) ends it early. What cannot be read
    before (the listing, an access list that O(api_keys) declares) fails the task, and nothing is
    changed.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
options:
  state:
    description:
      - V(present) creates and changes keys so that they are as O(api_keys) declares them, and with
        O(purge) revokes all others.
      - V(absent) revokes all keys that are selected.
    type: str
    choices: [present, absent]
    default: present
  api_user_ids:
    description:
      - Selects the keys with these ids, each 24 hexadecimal digits, with O(state=absent).
      - A key is selected when it fits one value of each selector that is given. The selectors are
        O(api_user_ids), O(public_keys), O(descriptions), O(description_match), O(roles) and
        O(project_id). At least one has to be given; an empty list selects no key.
      - IDs, public keys, descriptions and a project that no key has are not a failure; RV(missing)
        lists them. A listed key that another selector excludes is (see O(on_unselected)).
      - An empty string or null is refused in a selector, since it would select more.
    type: list
    elements: str
  public_keys:
    description:
      - Selects the keys with these public keys, each 8 visible ASCII characters.
      - When one is not found, and the API does not tell the public keys of all keys, the task
        fails and changes nothing.
    type: list
    elements: str
  descriptions:
    description:
      - Selects the keys with exactly these descriptions, all keys where several have the same. Give
        a list; a text with a comma is refused.
      - If no key has one of them exactly, but look-alikes of it exist, the task fails and changes
        nothing (see O(look_alikes)).
    type: list
    elements: str
  description_match:
    description:
      - Selects the keys whose description as a whole fits one of these patterns. V(*) stands for
        any text, V(?) for any one character, V([ab]) for one of these and V([!ab]) for any other;
        upper and lower case differ. Give a list; a text with a comma is refused.
      - The task warns about a pattern that matches no key, and about keys that match only as
        look-alikes. Those are not selected.
      - No pattern selects a key without a description, not even V(*). The task warns about such a
        key, and RV(kept) lists it. Use O(api_user_ids) or O(public_keys) to select it.
    type: list
    elements: str
  roles:
    description:
      - Selects the keys that have at least one of these roles in the organization, such as
        C(ORG_OWNER).
    type: list
    elements: str
  project_id:
    description:
      - Selects the keys that are assigned to the project with this id, 24 hexadecimal digits.
    type: str
    aliases: [group_id]
  keep:
    description:
      - Keys that are never touched, whatever else is said of them. Each item is an id, a public
        key, a description, or a pattern as in O(description_match) for descriptions; what fits any
        of these ways is kept.
      - Give a list. A text with a comma, which Ansible would split there, is refused.
      - Prefer IDs. A description can be changed, and another key can be given the same one.
      - If a key that would be revoked or changed matches an item only as a look-alike, the task
        fails and changes nothing (see O(look_alikes)). It also fails if an item matches no key of
        the organization (see O(on_keep_missing)), and if a key declared in O(api_keys) is to be
        kept too.
    type: list
    elements: str
  api_keys:
    description:
      - The keys that shall exist, with O(state=present). Each is known by its description, which
        has to be different from that of all others here, and to be had by one key of the
        organization at most. Otherwise the task fails and changes nothing.
    type: list
    elements: dict
    suboptions:
      description:
        description:
          - The description of the key, in full, 1 to 250 characters.
        type: str
        required: true
        aliases: [desc]
      roles:
        description:
          - The roles of the key in the organization, all of them, at least one, as with
            O(keysmith.mongodb.org_api_key#module:roles). A key that does not exist yet needs them.
            Where they are not given, those of an existing key are left alone.
        type: list
        elements: str
      access_list:
        description:
          - The IP addresses and CIDR blocks in the key's access list, all of them. Entries that
            are not listed here are removed. Where it is not given, the access list is left alone,
            and not read.
          - A new key is created with the role C(ORG_MEMBER), then gets its access list, and then
            its roles. If the list or the roles fail, the key is revoked and its file deleted. The
            error says so, or which key is left. The list of an existing key is changed before its
            roles, too.
        type: list
        elements: str
      adopt:
        description:
          - Whether the task may add roles to this key if it exists, although O(credentials_dir)
            does not hold its key pair, as with O(keysmith.mongodb.org_api_key#module:adopt).
        type: bool
        default: false
        version_added: 2.0.0
      projects:
        description:
          - The projects that the key is assigned to, all of them. It is removed from those that
            are not listed here. Where they are not given, they are left alone.
          - If a project that it is to be removed from does not exist, the task warns, and there is
            nothing to change.
        type: list
        elements: dict
        suboptions:
          project_id:
            description: The id of the project, 24 hexadecimal digits.
            type: str
            required: true
            aliases: [group_id]
          roles:
            description: The roles of the key in the project, all of them, at least one.
            type: list
            elements: str
            required: true
  purge:
    description:
      - Whether to revoke all keys that O(api_keys) does not list, but for O(keep) and the key that
        signs the requests, with O(state=present).
      - These are revoked also when a declared key could not be created, so that a full organization
        gets room. Where a key replaces another, use O(fail_fast), or the role
        C(keysmith.mongodb.rotate_org_api_key).
      - With an empty list in O(api_keys), it also needs O(max_revocations), set by the task itself.
        Otherwise an empty variable would revoke every key.
      - A key without a description is never revoked this way. The task warns about it, and
        RV(kept) lists it.
    type: bool
    default: false
  credentials_dir:
    description:
      - A folder on the machine where the module runs. The pair of each key that is created is
        written at once to a file of its own there, named by the key's id (C(<id>.json)), as
        O(keysmith.mongodb.org_api_key#module:credentials_file) does. RV(created) has the path
        instead of the private key.
      - Before anything is created, the folder is proved to be writable. When a file cannot be
        written after all, its key is revoked to clean up.
    type: path
  max_revocations:
    description:
      - How many keys may be revoked at most, 0 or more. When it would be more, nothing at all is
        changed, and the error tells how many and which.
    type: int
    default: 50
  on_unselected:
    description:
      - What to do with keys that the task lists in O(api_user_ids), O(public_keys) or
        O(descriptions), but that another selector excludes, or that this task authenticates with.
        A key that O(keep) keeps is accounted for, and does not count.
      - V(fail) fails the task before any change. V(report) only lists them in RV(unselected).
    type: str
    choices: [fail, report]
    default: fail
    version_added: 2.0.0
  on_keep_missing:
    description:
      - What to do if an item of O(keep), a pattern or not, matches no key of the organization.
      - V(fail) fails the task before any change if a key would be revoked. V(warn) only warns, for
        one list that serves many organizations.
    type: str
    choices: [fail, warn]
    default: fail
    version_added: 2.0.0
  look_alikes:
    description:
      - What to do if no key has exactly a description, and one looks like it. Look-alikes differ
        only in case, whitespace of any kind, invisible characters or Unicode compatibility forms
        (NFKC).
      - With O(purge), a declared key is never created in place of its look-alike, whatever this
        option says.
      - V(refuse) fails the task and lists the look-alikes. V(ignore) treats them as different keys,
        for organizations that have both C(CI) and C(ci). An exact match always wins.
    type: str
    choices: [refuse, ignore]
    default: refuse
    version_added: 2.0.0
  allow_own_key:
    description:
      - Whether the key that signs the requests may be revoked, lose roles or projects, or have its
        access list changed. It goes last then, and only when all else is
        done; of its changes, that of its roles is the last.
      - By default it is not revoked although it is selected or not declared; RV(kept) lists it, and
        with O(state=absent) the task warns of it. If the task lists it explicitly, RV(unselected)
        has it instead (see O(on_unselected)). What O(api_keys) would take from it makes the
        task fail before anything is changed.
      - When the listing does not show it, and the API does not tell the public key of a key that
        would be revoked, that may be it, and the task fails before anything is changed.
    type: bool
    default: false
  concurrency:
    description:
      - How many keys are changed at the same time, 1 to 16. All of them obey one rate limiter.
    type: int
    default: 8
  fail_fast:
    description:
      - Whether to begin nothing more after the first failure. What has begun is brought to its
        end, and the rest is listed in RV(pending).
    type: bool
    default: false
  time_limit:
    description:
      - After how many seconds nothing more is begun and nothing waited for, more than 0 and up to
        86400. Requests that are on their way are brought to their end, and the task fails with all
        results so far. An answer may take three times O(timeout); where that to a change is lost,
        what has become of the change is still looked up, which takes further answers.
      - Use this rather than the C(timeout) of a task or C(async), which can tell no results. The
        first lets the module go on unseen; the second kills it.
      - The signals C(SIGTERM), C(SIGINT) and C(SIGHUP) have the same effect at any time.
    type: float
notes:
  - The task warns, in check mode too, if an access list becomes empty or comes to allow every
    address, as with M(keysmith.mongodb.org_api_key_access_list). With a service account or an
    access token, it warns if no key of the organization would have C(ORG_OWNER) any more.
  - Without O(credentials_dir), the result of a task that creates keys has their private keys, also
    when it fails. Use C(no_log).
  - For N keys to be revoked, N requests are sent, and one for each page of the listing (a page has
    500 keys; a listing of several pages is read until it comes out the same twice), and with a key
    pair one more, which is answered by a challenge that serves all the others.
seealso:
  - module: keysmith.mongodb.org_api_key
  - module: keysmith.mongodb.org_api_key_info
  - name: Atlas Administration API, programmatic API keys
    description: The API that is called for O(platform=atlas).
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-programmatic-api-keys
  - name: Ops Manager, organization API keys
    description: The API that is called for O(platform=ops_manager).
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/api-keys/org/
"""

EXAMPLES = r"""
- name: Revoke all keys of a stolen laptop, but for one that another team uses
  keysmith.mongodb.org_api_keys:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    state: absent
    description_match: ["laptop *"]
    keep: ["laptop of the build team"]

- name: Revoke keys whose public keys have leaked, whichever of them exist
  keysmith.mongodb.org_api_keys:
    api_public_key: "{{ atlas_public_key }}"
    api_private_key: "{{ atlas_private_key }}"
    org_id: "{{ org_id }}"
    state: absent
    public_keys: "{{ leaked_public_keys }}"
  register: revoked

- name: Tell what had leaked and was gone already
  ansible.builtin.debug:
    var: revoked.missing

- name: Revoke every owner key of a project, on Ops Manager, within five minutes
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

- name: Keep an organization's keys as code, and nothing beside them
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
"""

RETURN = r"""
revoked:
  description: The keys that were revoked, or would be in check mode, as they were, sorted.
  returned: always, unless nothing was tried
  type: list
  elements: dict
  sample:
    - id: 32b6e34b3d91647abb20e7b8
      public_key: zmmrboas
      description: laptop of Anna
      roles: [ORG_MEMBER]
      projects: []
created:
  description: The keys that were created, or would be in check mode, sorted.
  returned: always, unless nothing was tried
  type: list
  elements: dict
  sample:
    - id: 32b6e34b3d91647abb20e7b9
      public_key: qrsiktrc
      description: nightly backup
      roles: [ORG_MEMBER]
      projects:
        - project_id: 5e2211c17a3e5a48f5497de3
          roles: [GROUP_READ_ONLY]
      access_list: [192.0.2.0/24]
      credentials_file: keys/32b6e34b3d91647abb20e7b9.json
  contains:
    id:
      description: The id of the key, V(none) for one that would be created in check mode.
      returned: success
      type: str
      sample: 32b6e34b3d91647abb20e7b9
    public_key:
      description: The public key, V(none) where the API does not tell it.
      returned: success
      type: str
      sample: qrsiktrc
    description:
      description: The description of the key, an empty string if it has none.
      returned: success
      type: str
      sample: nightly backup
    roles:
      description: The names of its roles in this organization, sorted.
      returned: success
      type: list
      elements: str
      sample: [ORG_MEMBER]
    projects:
      description: The projects the key is assigned to, with its roles there, sorted by id.
      returned: success
      type: list
      elements: dict
      sample:
        - project_id: 5e2211c17a3e5a48f5497de3
          roles: [GROUP_READ_ONLY]
    access_list:
      description: The entries of its access list, sorted.
      returned: when O(api_keys) has an access list for the key
      type: list
      elements: str
      sample: [192.0.2.0/24]
    credentials_file:
      description: The file that holds the pair of the key.
      returned: with O(credentials_dir), not in check mode
      type: str
      sample: keys/32b6e34b3d91647abb20e7b9.json
    private_key:
      description: The private key, which cannot be read again later.
      returned: without O(credentials_dir), not in check mode
      type: str
      sample: 55c3bbb6-b4bb-40be-8e66-d20841f3e000
updated:
  description:
    - The keys that were changed, as they are now, or would be in check mode, with the values of
      RV(created[]).
  returned: always, unless nothing was tried
  type: list
  elements: dict
  sample: []
unchanged:
  description:
    - The keys that were as declared already, and those that were gone when their turn came.
  returned: always, unless nothing was tried
  type: list
  elements: dict
  sample: []
kept:
  description:
    - The keys that would have been revoked, but are not touched, with their C(id), C(public_key)
      and C(description), and the C(reason).
    - The reason is C(keep) for a key that O(keep) keeps, C(own_key) for the key that the task
      authenticates with, and C(no_description) for a key without a description that O(purge) or a
      pattern in O(description_match) would otherwise include.
  returned: always, unless nothing was tried
  type: list
  elements: dict
  sample:
    - id: 32b6e34b3d91647abb20e7c0
      public_key: aaaabbbb
      description: terraform
      reason: keep
unselected:
  description:
    - The existing keys that the task lists by ID, public key or exact description and does not
      revoke, with their C(id), C(public_key) and C(description), and the C(reason).
    - The reason is C(not_selected) for a key that another selector excludes, and C(own_key) for
      the key that the task authenticates with.
  returned: with O(state=absent), unless nothing was tried
  type: list
  elements: dict
  sample: []
  version_added: 2.0.0
missing:
  description: The ids, public keys and descriptions of the selection that no key has.
  returned: with O(state=absent), unless nothing was tried
  type: list
  elements: str
  sample: [deadbeefdeadbeefdeadbeef]
failures:
  description:
    - The keys that could not be changed, or not in everything, with their C(id), C(public_key) and
      C(description), the message C(msg), and an C(error) with the values of RV(error).
  returned: failure, when changes have begun
  type: list
  elements: dict
  sample:
    - id: 32b6e34b3d91647abb20e7b8
      public_key: zmmrboas
      description: laptop of Anna
      msg: "Could not revoke the API key 32b6e34b3d91647abb20e7b8 (zmmrboas): …"
      error:
        type: api
        status: 503
        code:
        reason: Service Unavailable
        detail:
        parameters: []
        method: DELETE
        path: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/32b6e34b3d91647abb20e7b8
pending:
  description:
    - The keys whose change was not begun, with their C(id), C(public_key) and C(description).
  returned: failure, when changes have begun
  type: list
  elements: dict
  sample: []
error:
  description:
    - What went wrong, for C(rescue) blocks; the first failure where there are several. A value
      that is not known is V(none).
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
    path: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/32b6e34b3d91647abb20e7b8
  contains:
    type:
      description:
        - The kind of failure, for programs. One of C(own_credential), C(ambiguous), C(missing),
          C(orphan), C(options), C(api), C(transport), C(unexpected_response), C(timeout),
          C(cancelled), C(limit), C(guard) and C(internal).
      returned: failure
      type: str
      sample: api
      version_added: 2.0.0
    status:
      description: The HTTP status, V(none) where there was no answer.
      returned: failure
      type: int
      sample: 503
    code:
      description: The API's own error code.
      returned: failure
      type: str
      sample: USER_UNAUTHORIZED
    reason:
      description: The HTTP reason phrase, or what broke where there was no answer.
      returned: failure
      type: str
      sample: Service Unavailable
    detail:
      description: The API's own words.
      returned: failure
      type: str
      sample: Current user is not authorized to perform this action.
    parameters:
      description:
        - What the API's words speak of, such as an id or a path; the ids of all keys that would be
          revoked where O(max_revocations) forbids it.
      returned: failure
      type: list
      elements: raw
      sample: []
    method:
      description: The method of the request that failed.
      returned: failure
      type: str
      sample: DELETE
    path:
      description: The path of the request that failed.
      returned: failure
      type: str
      sample: /api/atlas/v2/orgs/5980cfdf0b6d97029d82f86e/apiKeys/32b6e34b3d91647abb20e7b8
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
            f"concurrency is {params['concurrency']}; it must be from 1 to {MAX_THREADS}"
        )
    if params["max_revocations"] < 0:
        raise OptionError(f"max_revocations is {params['max_revocations']}; it must be 0 or more")
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
    more = wanted.more()
    try:
        more["warnings"] += _key_sets.check_guards(params, keys, wanted)
    except GuardError as error:
        error.results = more
        raise
    _key_sets.warn_of_dangers(params, api, keys, wanted)
    if check_mode or not any(change.plan.is_change for change in wanted.changes):
        return {**_changes.planned(wanted.changes), **more}
    work = _bulk.Work(
        api=api,
        org_id=org_id,
        known_ids={key.id for key in keys},
        access_list_name=_key_sets.access_list_name(params, api, keys, wanted.changes),
        credentials_dir=params["credentials_dir"],
        concurrency=params["concurrency"],
        fail_fast=params["fail_fast"],
    )
    outcomes, warnings = work.do(wanted.changes)
    more["warnings"] += warnings
    return _bulk.reported(work, wanted.changes, outcomes, more)


def main() -> None:
    _module.execute(ARGUMENT_SPEC, check, run, filters=_key_sets.SELECTORS)


if __name__ == "__main__":
    main()
