# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only file that knows AnsibleModule: from parameters to a client, from errors to fail_json."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.keysmith.mongodb.plugins.module_utils import _requests
from ansible_collections.keysmith.mongodb.plugins.module_utils._auth import KeyPair, choose_auth
from ansible_collections.keysmith.mongodb.plugins.module_utils._client import Client, Endpoint
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    KeysmithError,
    OptionError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._http import Clock, Http
from ansible_collections.keysmith.mongodb.plugins.module_utils._options import (
    CONNECTION_OPTIONS,
    Connection,
    find_secrets,
    given,
    resolve,
    secret_forms,
)

Run = Callable[[Mapping[str, Any], Client, bool], dict[str, Any]]
Check = Callable[[Mapping[str, Any]], None]


def execute(argument_spec: dict[str, dict[str, Any]], check: Check, run: Run) -> None:
    """Run a module from its parameters to its exit.

    ``check(params)`` refuses bad input before a client is made; ``run(params, client,
    check_mode)`` returns the result. Both get the module's parameters with ``org_id`` resolved
    and empty strings as None. A result's ``diff`` is shown where the user asked for diffs.
    """
    module = AnsibleModule(
        argument_spec={**CONNECTION_OPTIONS, **argument_spec}, supports_check_mode=True
    )
    module.no_log_values.update(find_secrets(module.params, os.environ))
    if _requests.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("requests"), exception=_requests.IMPORT_ERROR)
    try:
        params = {name: given(value) for name, value in module.params.items()}
        connection = resolve(module.params, os.environ)
        params["org_id"] = connection.org_id
        check(params)
        with _client(connection, module) as client:
            result = run(params, client, module.check_mode)
    except KeysmithError as error:
        module.fail_json(msg=error.message(), error=error.fields())
    except Exception as error:
        # A traceback would reach logs and events, with the values of variables in it.
        module.fail_json(**_internal_error(error))
    if not module._diff:
        result.pop("diff", None)
    module.exit_json(**result)


@contextmanager
def _client(connection: Connection, module: AnsibleModule) -> Iterator[Client]:
    def conceal(secret: str) -> None:
        module.no_log_values.update(secret_forms(secret))

    platform, credentials = connection.platform, connection.credentials
    if connection.base_url.startswith("http://") and not isinstance(credentials, KeyPair):
        module.warn(f"{credentials} is sent in clear, because base_url is http and not https.")
    http = Http(connection.http, Clock(), connection.base_url)
    client = Client(
        http,
        choose_auth(credentials, http, connection.base_url, platform.title, conceal),
        Endpoint(
            base_url=connection.base_url,
            api_path=platform.api_path,
            media_type=platform.media_type,
            platform=platform.title,
            signer=str(credentials),
            public_key=credentials.public_key if isinstance(credentials, KeyPair) else None,
            envelope=connection.envelope,
        ),
    )
    try:
        yield client
    finally:
        client.close()


def require_org_id(params: Mapping[str, Any]) -> None:
    """Refuse a task that names no organization. Raises OptionError."""
    if params["org_id"] is None:
        raise OptionError(
            "No organization is given",
            check="Set org_id, or the environment variable that platform reads it from "
            "(MONGODB_ATLAS_ORG_ID, or MCLI_ORG_ID).",
        )


def _internal_error(error: Exception) -> dict[str, Any]:
    """Describe a mistake of ours without its traceback, which may hold values of variables."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(where.filename)}:{where.lineno}"
    return {
        "msg": (
            f"Internal error of keysmith.mongodb: {type(error).__name__} at {place}. Something may "
            "have been changed; run the task again to find out. Please report this."
        ),
        "error": KeysmithError("").fields(),
    }
