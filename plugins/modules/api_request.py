#!/usr/bin/python
# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: api_request
short_description: Send a request to any endpoint of the API
version_added: 3.1.0
author: The keysmith.mongodb authors (@keysmith)
description:
  - Sends a request with the same connection options, retries and error messages as the other
    modules of this collection. Use it for endpoints that have no module.
  - By default, a V(GET) reports no change. Every other method always sends the request and reports
    a change. With O(compare), O(unique_by) or O(missing_codes), the task changes only what is
    needed. With O(dest), a V(GET) reports whether the file changed.
  - In check mode, the task sends only GET requests. It reports a change if it would send a request
    with another method. RV(status) and RV(json) are then V(none).
  - B(The response is returned as it is.) If it contains a secret, such as the private key of a new
    API key, set C(no_log=true) for the task.
extends_documentation_fragment:
  - keysmith.mongodb.attributes
  - keysmith.mongodb.connection
options:
  path:
    description:
      - The path of the endpoint, such as V(/orgs). It may begin with the API's own path, as in
        V(/api/atlas/v2/orgs).
      - Encode each name in it with the filter C(urlencode), and then replace C(/) in the name with
        C(%2F).
    type: str
    required: true
  method:
    description:
      - The HTTP method of the request.
      - The task retries V(GET) and V(DELETE). It retries the other methods only if it is certain
        that the API did not carry out the request.
    type: str
    choices: [GET, POST, PUT, PATCH, DELETE]
    default: GET
  query:
    description:
      - The query parameters. Booleans are sent as C(true) and C(false). A list repeats the
        parameter. Values must not be empty, because a filter without a value matches everything.
      - URLs with a password, and texts in fields with names of secrets, such as C(token), are
        hidden from output.
    type: dict
  body:
    description:
      - The data to send as JSON, a dictionary or a list.
      - URLs with a password, and texts in fields with names of secrets, such as C(password), are
        hidden from output and diffs, but are sent.
      - Required if O(method) is V(PUT) or V(PATCH). Not allowed if it is V(GET).
    type: raw
  api_version:
    description:
      - The version of the Atlas Administration API to request, a date or V(preview).
      - If it is not set, the task requests C(2025-03-12).
      - If the API marks the version as deprecated, the task warns.
      - The APIs of Cloud Manager and Ops Manager have no versions.
    type: str
  all_pages:
    description:
      - Read every page of a list, and return all items as RV(json). The list is read again if its
        pages are inconsistent.
      - A plain list without pages is returned as it is.
      - Only if O(method) is V(GET).
    type: bool
    default: false
  dest:
    description:
      - The file to save the response in, on the host where the module runs. The response may be of
        any size. The directory must exist.
      - The file is written completely or not at all, and only if its content differs.
      - A new file has the mode 0600. An existing one keeps its mode and, if possible, its owner and
        group.
      - The whole response must arrive within three times O(timeout). Increase it for large files.
      - Only a response with status 200 is saved. O(envelope) is ignored.
      - Only if O(method) is V(GET).
    type: path
  accept_format:
    description:
      - The format of the response to save in O(dest).
      - If it is not set, the task requests V(json). If the API returns 406, it requests V(gzip) and
        then V(csv).
    type: str
    choices: [json, gzip, csv]
  compare:
    description:
      - Read the object at O(path) first, and send nothing if it already has all values in O(body).
      - Fields of the object that are not in O(body) are not compared, unless O(body) contains an
        empty dictionary in their place. A list must be equal as a whole.
      - Only if O(method) is V(PATCH) or V(PUT).
    type: bool
    default: false
  ignore:
    description:
      - Names of fields that O(compare) does not compare, at any depth. Use it for secrets, which
        the API does not return, and for fields that the API adds to the items of a list.
      - If only these fields differ, nothing is sent. If others differ, these are sent too.
    type: list
    elements: str
  unique_by:
    description:
      - Names of the fields of O(body) that identify an object. The task first reads the list at
        O(path). If one item has the same values in these fields, the task sends nothing and returns
        the item as RV(json).
      - If several items have the same values, the task fails.
      - Only if O(method) is V(POST).
    type: list
    elements: str
  missing_codes:
    description:
      - Error codes that mean that the object does not exist. If the API returns one of them with
        status 400 or 404, the task reports no change.
      - Without this option, every error fails the task. A status alone never means that an object
        is missing, and neither does C(RESOURCE_NOT_FOUND) if its parameter is a path, or if it has
        no parameter.
      - In check mode, the task reads O(path) to check whether the object exists.
      - Only if O(method) is V(DELETE).
    type: list
    elements: str
  allow_own_key:
    description:
      - Whether the task may change or delete the API key that it authenticates with.
      - By default, such a task fails, even in check mode. Before a request to C(…/apiKeys/<id>), it
        reads that path or its list, and compares the public key.
    type: bool
    default: false
  allow_own_account:
    description:
      - Whether the task may change or delete the service account that it authenticates with.
      - By default, a task whose path contains the account's client ID fails, even in check mode.
      - If O(access_token) is set without O(client_id), it fails for the path of every service
        account, because the token may belong to that account.
    type: bool
    default: false
attributes:
  check_mode:
    description: Sends only GET requests. Does not check whether another request would succeed.
  diff_mode:
    description: Shows O(body) and, with O(compare), the current values of the same fields.
  idempotent:
    description: A GET changes nothing. Other methods are idempotent with O(compare), O(unique_by)
      or O(missing_codes).
    support: partial
notes:
  - If the API carries out a request later, it returns status 202. To wait until it is done, read
    the object in a task with C(until).
  - The module does not use O(org_id).
seealso:
  - ref: ansible_collections.keysmith.mongodb.docsite.any_endpoint
    description: The guide to this module, with complete plays.
  - name: Atlas Administration API
    description: The endpoints of Atlas.
    link: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/
  - name: Ops Manager Public API
    description: The endpoints of Ops Manager.
    link: https://www.mongodb.com/docs/ops-manager/current/reference/api/
"""

EXAMPLES = r"""
- name: List the projects
  keysmith.mongodb.api_request:
    path: /groups
    all_pages: true
  register: projects

- name: List the clusters of a project with an older version of the API
  keysmith.mongodb.api_request:
    path: /groups/{{ project_id }}/clusters
    api_version: 2024-08-05
    all_pages: true

- name: Limit the lifetime of client secrets to 30 days
  keysmith.mongodb.api_request:
    method: PATCH
    path: /orgs/{{ org_id }}/settings
    body:
      maxServiceAccountSecretValidityInHours: 720
    compare: true

- name: Create a project unless one with this name exists
  keysmith.mongodb.api_request:
    method: POST
    path: /groups
    body:
      name: shop
      orgId: "{{ org_id }}"
    unique_by: [name, orgId]

- name: Turn off an alert configuration
  keysmith.mongodb.api_request:
    method: PATCH
    path: /groups/{{ project_id }}/alertConfigs/{{ alert_id }}
    body:
      enabled: false
    compare: true

- name: Delete an alert configuration
  keysmith.mongodb.api_request:
    method: DELETE
    path: /groups/{{ project_id }}/alertConfigs/{{ alert_id }}
    missing_codes: [ALERT_CONFIG_NOT_FOUND]

- name: Save an invoice in a file
  keysmith.mongodb.api_request:
    path: /orgs/{{ org_id }}/invoices/{{ invoice_id }}/csv
    dest: "{{ invoices_dir }}/{{ invoice_id }}.csv"
    accept_format: csv

- name: Create a global API key in Ops Manager
  keysmith.mongodb.api_request:
    platform: ops_manager
    method: POST
    path: /admin/apiKeys
    body:
      desc: monitoring
      roles: [GLOBAL_READ_ONLY]
    unique_by: [desc]
  register: key
  # The response contains the private key.
  no_log: true
"""

RETURN = r"""
status:
  description:
    - The status of the response. V(none) if check mode did not send the request.
    - If no change was needed, this is the status of the last request, which only read.
  returned: success
  type: int
  sample: 200
json:
  description:
    - The response, without an envelope. With O(all_pages), the items of all pages.
    - V(none) if the response is empty or was saved in O(dest), or if check mode did not send the
      request.
  returned: success
  type: raw
  sample:
    id: 5e2211c17a3e5a48f5497de3
    name: shop
dest:
  description: The path of the file. V(none) if the response was not saved, because its status is
    not 200.
  returned: success, if O(dest) is set
  type: str
  sample: /var/backups/invoice.csv
headers:
  description:
    - The headers C(RateLimit-*), C(Deprecation) and C(Sunset) of the last response. Their names are
      in lowercase, with underscores.
  returned: success
  type: dict
  sample:
    ratelimit_limit: "100"
    ratelimit_remaining: "99"
error:
  description:
    - Why the task failed, for C(rescue) blocks. RV(keysmith.mongodb.org_api_key#module:error)
      describes the fields.
  returned: failure
  type: dict
  sample:
    type: api
    status: 404
    code: GROUP_NOT_FOUND
    reason: Not Found
    detail: No group with ID 5e2211c17a3e5a48f5497de3 exists.
    parameters: [5e2211c17a3e5a48f5497de3]
    method: GET
    path: /api/atlas/v2/groups/5e2211c17a3e5a48f5497de3
"""

# Must come first: a Python that is too old cannot import the rest.
from ansible_collections.keysmith.mongodb.plugins.module_utils import _python  # pylint: disable=unused-import  # noqa: F401  isort: skip

from collections.abc import Mapping
from typing import Any

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _endpoints,
    _module,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import (
    PLATFORMS,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import OptionError
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _any_object
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted

ARGUMENT_SPEC: _argspec.Spec = {
    "path": {"type": "str", "required": True},
    "method": {
        "type": "str",
        "choices": ["GET", "POST", "PUT", "PATCH", "DELETE"],
        "default": "GET",
    },
    "query": {"type": "dict"},
    "body": {"type": "raw"},
    "api_version": {"type": "str"},
    "all_pages": {"type": "bool", "default": False},
    "dest": {"type": "path"},
    "accept_format": {"type": "str", "choices": ["json", "gzip", "csv"]},
    "compare": {"type": "bool", "default": False},
    "ignore": {"type": "list", "elements": "str"},
    "unique_by": {"type": "list", "elements": "str"},
    "missing_codes": {"type": "list", "elements": "str"},
    **_argspec.ALLOW_OWN_KEY,
    "allow_own_account": {"type": "bool", "default": False, "no_log": False},
}
# The methods for which an option is allowed.
METHODS = {
    "all_pages": ("GET",),
    "dest": ("GET",),
    "compare": ("PATCH", "PUT"),
    "unique_by": ("POST",),
    "missing_codes": ("DELETE",),
}
# The query parameters that the client sets when it reads a whole list.
PAGING = ("itemsPerPage", "pageNum", "includeCount")


def check(params: Mapping[str, Any]) -> None:
    """Refuse an invalid request, and options that do not fit the method. Raises OptionError."""
    platform, method = PLATFORMS[params["platform"]], params["method"]
    _endpoints.relative_path(params["path"], platform)
    _endpoints.check_version(params["api_version"], platform)
    query = _endpoints.query_texts(params["query"])
    _endpoints.check_body(method, params["body"])
    for name, methods in METHODS.items():
        if params[name] and method not in methods:
            raise OptionError(
                f"{name} is set, but method is {method}",
                hint=f"It is only for {' and '.join(methods)}. Leave it out, or set method.",
            )
    for name in ("ignore", "unique_by", "missing_codes"):
        _argspec.check_items(name, params[name] or ())
    if params["ignore"] and not params["compare"]:
        raise OptionError("ignore is set, but compare is not", hint="Set compare to true.")
    if params["accept_format"] and not params["dest"]:
        raise OptionError("accept_format is set, but dest is not", hint="Set dest to a file.")
    if params["all_pages"] and params["dest"]:
        raise OptionError(
            "all_pages and dest are both set",
            hint="Set only one of them, because a file can hold only one page.",
        )
    paging = [name for name in PAGING if name in query]
    if paging and (params["all_pages"] or params["unique_by"]):
        raise OptionError(
            f"{', '.join(paging)} in query is not allowed when the task reads the whole list",
            hint="Leave it out.",
        )
    _check_unique_by(params["unique_by"], params["body"])


def _check_unique_by(fields: Any, body: Any) -> None:
    if fields == []:
        raise OptionError(
            "unique_by is an empty list", hint="List the fields of body that identify an item."
        )
    missing = [name for name in fields or () if not isinstance(body, Mapping) or name not in body]
    if missing:
        names = ", ".join(quoted(name, 80) for name in missing)
        raise OptionError(
            f"{names} in unique_by is not a field of body",
            hint="List fields of body that identify an item.",
        )


def run(params: Mapping[str, Any], api: Client, check_mode: bool) -> dict[str, Any]:
    platform = api.endpoint.platform
    task = _any_object.Task(
        api,
        params,
        path=_endpoints.relative_path(params["path"], platform),
        version=_endpoints.check_version(params["api_version"], platform),
    )
    return _any_object.perform(task, check_mode)


def main() -> None:
    redaction = _module.Redaction(("query", "body"), _endpoints.redacted, _endpoints.secret_texts)
    _module.execute(ARGUMENT_SPEC, check, run, needs_org=False, redaction=redaction)


if __name__ == "__main__":
    main()
