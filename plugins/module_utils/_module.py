# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only file that knows AnsibleModule: from parameters to a client, from errors to fail_json."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.parameters import remove_values

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _input,
    _requests,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._argspec import CONNECTION_OPTIONS
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._auth import choose_auth
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import (
    Client,
    Endpoint,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._clock import Clock
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._http import Http
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._resolve import (
    Connection,
    resolve,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._secrets import (
    MIN_MASKED,
    find_secrets,
    find_short_secrets,
    secret_forms,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    KeysmithError,
    OptionError,
    internal_error,
    printable,
    sanitize,
    withhold,
)

Run = Callable[[Mapping[str, Any], Client, bool], dict[str, Any]]
Check = Callable[[Mapping[str, Any]], None]


def execute(
    argument_spec: dict[str, dict[str, Any]],
    check: Check,
    run: Run,
    *,
    filters: Collection[str] = (),
) -> None:
    """Run a module from its parameters to its exit.

    ``check(params)`` refuses bad input before a client is made; ``run(params, client,
    check_mode)`` returns the result. Both get the module's parameters with empty strings as None,
    and with ``org_id`` and ``platform`` resolved (``task_org_id`` is as the task has it,
    ``task_texts`` are the options that are texts there, which Ansible makes other values of, and
    ``task_options`` the names of those that are set there and not by default). A result's
    ``diff`` is shown where the user asked for diffs; its ``warnings`` are given as such.
    ``filters`` are the options that select what the task is about, and so must not be empty.
    """
    module = _Module({**CONNECTION_OPTIONS, **argument_spec}, filters)
    module.conceal_given()
    has_failed, result = _outcome(module, check, run)
    if not module._diff:
        result.pop("diff", None)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    # Outside of any "except", where Ansible would add the traceback.
    if has_failed:
        module.fail_json(**result)
    module.exit_json(**result)


class _Module(AnsibleModule):  # type: ignore[misc]
    """An AnsibleModule that hides every secret before it logs, or fails in its own validation."""

    def __init__(self, spec: dict[str, dict[str, Any]], filters: Collection[str]) -> None:
        self.filters = filters
        self.refusal: OptionError | None = None
        super().__init__(argument_spec=spec, supports_check_mode=True)

    def _load_params(self) -> None:
        """Read the task's parameters, and judge them before Ansible converts them.

        An empty string counts as not set, as do the unanswered questions of a survey.
        """
        super()._load_params()
        self.refusal = _input.refuse(self.params, self.argument_spec, self.filters)
        if self.refusal:
            _input.drop_refused(self.params, self.argument_spec)
        _input.drop_url_user(self.params)
        _input.drop_empty(self.params, self.argument_spec)
        # Ansible itself would fail with a traceback when it logs them.
        self.broken = sorted(name for name, value in self.params.items() if _is_broken(value))
        for name in self.broken:
            self.params[name] = _strip_surrogates(self.params[name])
        self.task_options = frozenset(self.params)
        self.texts = {name: value for name, value in self.params.items() if isinstance(value, str)}

    def add_no_log(self, secrets: set[str]) -> None:
        self.no_log_values.update(secrets)

    def conceal_given(self) -> None:
        """Hide the secrets of options and environment."""
        self.add_no_log(find_secrets(self.params, os.environ))
        withhold(find_short_secrets(self.params, os.environ))

    def _log_invocation(self) -> None:
        """Log to syslog or journal what the task says, as every module does.

        Ansible hides the values of secret options there, and not a secret that has come into
        another one: halves of a pair that are swapped, say.
        """
        self.conceal_given()
        super()._log_invocation()

    def warn(self, warning: str, **kwargs: Any) -> None:
        """Warn without secrets, which ansible-core 2.19 and later hide in all but warnings."""
        super().warn(printable(remove_values(warning, self.no_log_values)), **kwargs)

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        """Fail with an ``error``, in Ansible's own validation of arguments too."""
        self.conceal_given()
        if "error" not in kwargs:
            # Ansible quotes what it refuses, of any length; secrets are hidden before it is cut.
            msg = sanitize(remove_values(msg, self.no_log_values), 2000)
            error = OptionError("Ansible refuses the arguments")
            if self.refusal:
                error, msg = self.refusal, self.refusal.message()
            kwargs["error"] = error.fields()
        super().fail_json(msg, **kwargs)
        raise AssertionError("fail_json returned")


def _is_broken(value: Any) -> bool:
    return bool(value != _strip_surrogates(value))


def _strip_surrogates(value: Any) -> Any:
    """Return a value without halves of UTF-16 pairs, which no text has."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_strip_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_strip_surrogates(key): _strip_surrogates(item) for key, item in value.items()}
    return value


def _outcome(module: _Module, check: Check, run: Run) -> tuple[bool, dict[str, Any]]:
    """Return whether the module failed, and its result."""
    try:
        if not _requests.HAS_REQUESTS:
            raise OptionError(
                missing_required_lib("requests").rstrip("."),
                hint=f"The import failed: {sanitize(_requests.WHY_NOT)}.",
            )
        if module.refusal:
            raise module.refusal
        if module.broken:
            raise OptionError(
                f"{', '.join(module.broken)}: what is given has characters that no text has",
                hint="Is it binary data, or in another encoding than UTF-8?",
            )
        params = dict(module.params)
        connection = resolve(module.params, os.environ)
        # What the task itself names, where that means something else than where to act.
        params["task_org_id"] = params["org_id"]
        params["task_texts"] = module.texts
        params["task_options"] = module.task_options
        params["org_id"] = connection.org_id
        params["platform"] = connection.platform.name
        check(params)
        with _client(connection, module) as client:
            return False, run(params, client, module.check_mode)
    except KeysmithError as error:
        return True, _failure(error)
    except Exception as error:
        # A traceback would reach logs and events, with the values of variables in it.
        return True, _failure(internal_error(error))


def _failure(error: KeysmithError) -> dict[str, Any]:
    return {**error.results, "msg": error.message(), "error": error.fields()}


@contextmanager
def _client(connection: Connection, module: _Module) -> Iterator[Client]:
    def add_no_log(secret: str) -> None:
        # As with options: what is too short would be hidden in every other word.
        if len(secret) >= MIN_MASKED:
            module.add_no_log(secret_forms(secret))

    platform, credentials = connection.platform, connection.credentials
    for warning in connection.warnings:
        module.warn(warning)
    http = Http(connection.http, Clock(), connection.base_url)
    http.cancellation.install_signal_handlers()
    client = Client(
        http,
        choose_auth(credentials, http, connection.base_url, platform.title, add_no_log),
        Endpoint(connection.base_url, platform, credentials, connection.envelope),
        add_no_log,
    )
    try:
        yield client
    finally:
        client.close()
        for warning in dict.fromkeys(client.warnings):
            module.warn(warning)


def require_org_id(params: Mapping[str, Any]) -> None:
    """Refuse a task that names no organization. Raises OptionError."""
    if params["org_id"] is None:
        raise OptionError(
            "No organization is set",
            hint="Set org_id, or the environment variable that platform reads it from "
            "(MONGODB_ATLAS_ORG_ID, or MCLI_ORG_ID).",
        )
