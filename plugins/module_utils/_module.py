# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module: read its options, build a client, and report its result or error.

No other file uses AnsibleModule.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.parameters import remove_values

from ansible_collections.keysmith.mongodb.plugins.module_utils import (
    _argspec,
    _input,
    _requests,
)
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
    secret_forms,
    withheld_forms,
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


@dataclass(frozen=True)
class Redaction:
    """How to hide the secrets in options with JSON.

    ``redacted`` returns JSON without them, and ``secret_texts`` returns them.
    """

    options: Collection[str]
    redacted: Callable[[Any], Any]
    secret_texts: Callable[[Any], Iterator[str]]


NO_REDACTION = Redaction((), redacted=dict, secret_texts=iter)


def execute(
    argument_spec: _argspec.Spec,
    check: Check,
    run: Run,
    *,
    filters: Collection[str] = (),
    needs_org: bool = True,
    ignores_token: Callable[[Mapping[str, Any]], bool] = lambda _params: False,
    redaction: Redaction = NO_REDACTION,
    **rules: Any,
) -> None:
    """Run a module, from reading its options to exiting.

    ``check(params)`` refuses invalid options before a client exists. ``run(params, client,
    check_mode)`` returns the result. In both, ``org_id`` and ``platform`` are resolved,
    ``task_org_id`` is the ``org_id`` that the task sets, and ``task_options`` has the names of the
    options that it sets. The result's ``warnings`` become warnings of the task.

    ``filters`` are the options that select objects, and so must not be empty; if ``org_id`` is one
    of them, no organization is required. ``needs_org``: whether the task needs an organization.
    ``ignores_token(params)`` returns whether the task does not authenticate with an access token.
    ``redaction`` hides secrets from output; ``run`` gets the options as they are. ``rules`` are
    those of AnsibleModule, such as ``required_one_of``.
    """
    module = _Module({**_argspec.CONNECTION_OPTIONS, **argument_spec}, filters, redaction, rules)
    module.mask_secrets()
    module.needs_org = needs_org and "org_id" not in filters
    module.ignores_token = ignores_token(module.params)
    has_failed, result = _outcome(module, check, run)
    if not module._diff:
        result.pop("diff", None)
    for name in ("json", "diff"):
        module.mask_names(result, name)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    # Within "except", Ansible would add the traceback.
    if has_failed:
        module.fail_json(**result)
    module.mask_original_names()
    module.exit_json(**result)


class _Module(AnsibleModule):  # type: ignore[misc]
    """An AnsibleModule that registers all secrets before Ansible validates or logs options."""

    needs_org: bool
    ignores_token: bool
    refusal: OptionError | None = None

    def __init__(
        self,
        spec: _argspec.Spec,
        filters: Collection[str],
        redaction: Redaction,
        rules: dict[str, Any],
    ) -> None:
        self.filters = filters
        self._redaction = redaction
        super().__init__(argument_spec=spec, supports_check_mode=True, **rules)

    def _load_params(self) -> None:
        """Read the task's options, and check them before Ansible converts them."""
        super()._load_params()
        self.refusal = _input.refuse(self.params, self.argument_spec, self.filters)
        if self.refusal:
            _input.drop_refused(self.params, self.argument_spec)
        _input.drop_empty(self.params, self.argument_spec)
        self.task_options = frozenset(self.params)
        # Ansible logs and returns the options in ``params``.
        names = self.task_options.intersection(self._redaction.options)
        self.originals = {name: self.params[name] for name in names}
        self.params.update(self._redaction.redacted(self.originals))

    def add_no_log(self, secrets: set[str]) -> None:
        self.no_log_values.update(secrets)

    def mask_secrets(self) -> None:
        """Register the secrets of options and environment for masking."""
        masked, withheld = find_secrets(self.params, os.environ)
        self.add_no_log(masked)
        withhold(withheld | withheld_forms(self._redaction.secret_texts(self.originals)))

    def mask_names(self, shown: dict[str, Any], name: str) -> None:
        """Mask secrets in the names of fields: Ansible masks only values."""
        names = "\n".join(map(str, _names(shown.get(name))))
        if any(secret in names for secret in self.no_log_values):
            shown[name] = _masked_names(shown[name], self.no_log_values)

    def mask_original_names(self) -> None:
        for name in self.originals:
            self.mask_names(self.params, name)

    def _log_invocation(self) -> None:
        """Log the options without secrets.

        Ansible masks the values of secret options, but not a secret in another option, such as
        one of two swapped keys.
        """
        self.mask_secrets()
        super()._log_invocation()

    def warn(self, warning: str, **kwargs: Any) -> None:
        """Warn without secrets, which ansible-core 2.19 and later do not mask in warnings."""
        super().warn(printable(remove_values(warning, self.no_log_values)), **kwargs)

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        """Fail with an ``error`` field, even if Ansible's own validation fails."""
        self.mask_secrets()
        self.mask_original_names()
        if "error" not in kwargs:
            # Ansible quotes values of any length. Mask secrets before truncating the message.
            msg = sanitize(remove_values(msg, self.no_log_values), 2000)
            error = OptionError("Ansible rejected the arguments", hint="")
            if self.refusal:
                error, msg = self.refusal, self.refusal.message()
            kwargs["error"] = error.fields()
        super().fail_json(msg, **kwargs)
        raise AssertionError("fail_json returned")


def _names(value: Any) -> set[str]:
    """Return the names of all fields in JSON."""
    names: set[str] = set()
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            names.update(item)
            left += item.values()
        elif isinstance(item, list):
            left += item
    return names


def _masked_names(value: Any, secrets: set[str]) -> Any:
    """Return JSON without secrets in names. Ansible's own function skips names with a prefix."""
    if isinstance(value, dict):
        return {
            remove_values(str(name), secrets): _masked_names(item, secrets)
            for name, item in value.items()
        }
    return [_masked_names(item, secrets) for item in value] if isinstance(value, list) else value


def _outcome(module: _Module, check: Check, run: Run) -> tuple[bool, dict[str, Any]]:
    """Return whether the module failed, and its result."""
    try:
        if not _requests.HAS_REQUESTS:
            raise OptionError(
                missing_required_lib("requests"),
                hint=f"The import failed: {sanitize(_requests.WHY_NOT)}.",
            )
        if module.refusal:
            raise module.refusal
        connection = resolve(module.params, os.environ, ignores_token=module.ignores_token)
        params = {
            **module.params,
            **module.originals,
            "task_org_id": module.params["org_id"],
            "task_options": module.task_options,
            "org_id": connection.org_id,
            "platform": connection.platform.name,
        }
        if connection.org_id is not None:
            name = "org_id" if params["task_org_id"] else connection.platform.env_org_id
            _argspec.check_id(name, connection.org_id)
        elif module.needs_org:
            raise OptionError(
                "No organization is set",
                hint="Set org_id, or the environment variable that platform reads it from "
                "(MONGODB_ATLAS_ORG_ID, or MCLI_ORG_ID).",
            )
        _argspec.check_shared(params)
        check(params)
        with _client(connection, module) as client:
            if params.get("time_limit") is not None:
                client.cancellation.set_limit(params["time_limit"])
            return False, run(params, client, module.check_mode)
    except KeysmithError as error:
        return True, _failure(error)
    except Exception as error:
        # A traceback would expose values of variables in logs and events.
        return True, _failure(internal_error(error))


def _failure(error: KeysmithError) -> dict[str, Any]:
    return {**error.results, "msg": error.message(), "error": error.fields()}


@contextmanager
def _client(connection: Connection, module: _Module) -> Iterator[Client]:
    def add_no_log(secret: str) -> None:
        # Masking shorter secrets would also mask parts of other words.
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
