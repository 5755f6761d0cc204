# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages that users see most often, compared in full.

Each is the message of a real task. If you change a message, change it here too. All other tests
check ``error.type`` and the names that a message must contain.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, Fault
from tests.integration.peers import LOOPBACK, Authority, ForwardProxy, dead_port
from tests.support import (
    MISSING_ID,
    client_id,
    key_id,
    key_pair,
    org_id,
    run_module,
    seed,
    service_account,
)

KEY, KEYS, ACCESS_LIST = "org_api_key", "org_api_keys", "org_api_key_access_list"
INFO, ROTATION = "org_api_key_info", "org_api_key_rotation"
VICTIM = {"api_user_id": key_id("atlas", 2)}
REVOKE = {**VICTIM, "state": "absent"}
NEW = {"description": "new one", "roles": ["ORG_MEMBER"]}
NO_KEY_PAIR = {"api_public_key": None, "api_private_key": None}
REQUEST = "api_request"
POST = {
    "path": f"/orgs/{org_id('atlas')}/apiKeys",
    "method": "POST",
    "body": {"desc": "new one", "roles": ["ORG_MEMBER"]},
}
WRONG = "00000009-1111-4111-8111-000000000000"
UNKNOWN_HOST = "opsmanager.example.com"
TOKEN_PATH = "/api/oauth/token"


def lasting(name: str, method: str = "*", path: str = "*", **arguments: Any) -> Fault:
    """A fault that affects every request."""
    return Fault(name, method, path, times=None, **arguments)


@dataclass(frozen=True)
class Case:
    """A task that fails, and its message.

    In the text, {host} stands for a loopback address, {folder} for the test's own directory and
    {new} for the key that the task created. In options, {url} and {host} stand for the emulator,
    {tls}, {proxy} and {dead} for the other places.
    """

    name: str
    text: str
    options: dict[str, Any]
    module: str = KEY
    fault: Fault | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


CASES = [
    # How a key is identified
    Case(
        "the key to change does not exist",
        (
            "No API key of organization 5a0000000000000000000001 has the ID "
            "deadbeefdeadbeefdeadbeef. Nothing was changed. To create a key, identify it by "
            "description."
        ),
        {"api_user_id": MISSING_ID, "roles": ["ORG_MEMBER"]},
    ),
    Case(
        "a new key has no roles",
        "API key 'new one' does not exist. To create it, set roles.",
        {"description": "new one"},
    ),
    Case(
        "the key for an access list does not exist",
        (
            "No API key of organization 5a0000000000000000000001 has the description 'nobody'. "
            "Nothing was changed. Create the key with org_api_key first. In check mode, a key that "
            "an earlier task would create does not exist."
        ),
        {"description": "nobody", "entries": ["192.0.2.7"]},
        ACCESS_LIST,
    ),
    Case(
        "two keys have the description",
        (
            "2 API keys of organization 5a0000000000000000000001 have the description 'twin': "
            "5ae000000000000000000004 (akeyaaae), 5ae000000000000000000005 (akeyaaaf). Nothing "
            "was changed. Use api_user_id to pick one."
        ),
        {"description": "twin", "state": "absent"},
    ),
    Case(
        "a key differs only in case",
        (
            "No API key of organization 5a0000000000000000000001 has exactly the description "
            "'Victim', but these look like it: 5ae000000000000000000002 (akeyaaac) 'victim'. "
            "Nothing was changed. Look-alikes differ only in case, whitespace, invisible "
            "characters or Unicode forms. Use the exact description or the API key's "
            "ID, or set look_alikes to ignore if they are different API keys."
        ),
        {"description": "Victim", "state": "absent"},
    ),
    Case(
        "a key differs only in whitespace",
        (
            "No API key of organization 5a0000000000000000000001 has exactly the description "
            "'victim ', but these look like it: 5ae000000000000000000002 (akeyaaac) 'victim'. "
            "Nothing was changed. Look-alikes differ only in case, whitespace, invisible "
            "characters or Unicode forms. Use the exact description or the API key's "
            "ID, or set look_alikes to ignore if they are different API keys."
        ),
        {"description": "victim ", "state": "absent"},
    ),
    Case(
        "no key is identified",
        "one of the following is required: api_user_id, public_key, description",
        {"state": "absent"},
    ),
    Case(
        "an ID is not valid",
        (
            "api_user_id is '83', which is not a valid ID. An ID is 24 lowercase hexadecimal "
            "digits; quote one that is all digits."
        ),
        {"api_user_id": "83", "state": "absent"},
    ),
    Case(
        "a description was read as a number",
        (
            "description is a number (2024), and must be text. YAML and Jinja turn unquoted text "
            "such as 0042, 1.10, yes or 2026-01-31 into values of other types: put it in quotes. "
            "If it comes from a template, use `| string` at its source, not here, where the "
            "original text is already lost."
        ),
        {"description": 2024, "state": "absent"},
    ),
    Case(
        "a private key is set as public_key",
        (
            "public_key is not a valid public key. It looks like a private key, which is a "
            "secret and cannot identify a key."
        ),
        {"public_key": "00000002-1111-4111-8111-000000000000", "state": "absent"},
    ),
    Case(
        "an empty value would widen the scope of the task",
        (
            "credentials_file is empty. If it counted as unset, the private key would become part "
            "of the result. Set a value. If a variable may be empty and that is what you "
            "want, use `default(omit, true)`."
        ),
        {**NEW, "credentials_file": ""},
    ),
    # Guards
    Case(
        "the key is the signing credential",
        (
            "The API key 5ae000000000000000000001 (akeyaaab) is the one that this task "
            "authenticates with, and nothing was changed. Use another credential of the "
            "organization, or set allow_own_key to true to allow revoking it and losing this "
            "access."
        ),
        {"api_user_id": key_id("atlas", 1), "state": "absent"},
    ),
    Case(
        "more keys would be revoked than is allowed",
        (
            "6 API keys of organization 5a0000000000000000000001 would be revoked, and "
            "max_revocations is 2: 5ae000000000000000000002 (akeyaaac), 5ae000000000000000000003 "
            "(akeyaaad), 5ae000000000000000000004 (akeyaaae), 5ae000000000000000000005 "
            "(akeyaaaf), 5ae000000000000000000006 (akeyaaag), 5ae000000000000000000007 "
            "(akeyaaah). Nothing was changed. Select fewer keys, or increase max_revocations if "
            "you want to revoke all of them; error.parameters lists all IDs."
        ),
        {"api_keys": [], "purge": True, "max_revocations": 2},
        KEYS,
    ),
    Case(
        "purge without a list",
        (
            "No keys are declared. Set api_keys. For an organization without keys, set it to [] "
            "together with purge and max_revocations."
        ),
        {"purge": True},
        KEYS,
    ),
    Case(
        "an item of keep matches no key",
        (
            "keep: 'signz' matches no API key of organization "
            "5a0000000000000000000001, and 6 API keys would be revoked: 5ae000000000000000000002 "
            "(akeyaaac) 'victim', 5ae000000000000000000003 (akeyaaad) 'ünïcode ☃ key', "
            "5ae000000000000000000004 (akeyaaae) 'twin', 5ae000000000000000000005 (akeyaaaf) "
            "'twin', 5ae000000000000000000006 (akeyaaag) 'member', 5ae000000000000000000007 "
            "(akeyaaah) 'listed elsewhere'. Nothing was changed. Correct or remove the item, or "
            "set on_keep_missing to warn if one list serves many organizations."
        ),
        {"state": "absent", "description_match": ["*"], "keep": ["signz"]},
        KEYS,
    ),
    Case(
        "an item of keep matches a key except for case",
        (
            "keep: 'Victim' does not match these API keys of organization "
            "5a0000000000000000000001 exactly, but they look like it: 5ae000000000000000000002 "
            "(akeyaaac) 'victim'. Nothing was changed. Look-alikes differ only in case, "
            "whitespace, invisible characters or Unicode forms. Correct the item or use the key's "
            "ID to keep the key, or set look_alikes to ignore if they are different keys."
        ),
        {"state": "absent", "description_match": ["*"], "keep": ["Victim"]},
        KEYS,
    ),
    Case(
        "one of many keys fails",
        (
            "Only some changes were made in organization 5a0000000000000000000001: 1 done, 1 "
            'failed. See "failures" and "pending" in the result. Run the task again to finish. '
            "The first failure: Could not revoke the API key "
            "5ae000000000000000000006 (akeyaaag): the API returned 403 USER_UNAUTHORIZED, "
            '"Emulated failure". The API key akeyaaab does not have the required role '
            "(Organization Owner)."
        ),
        {"state": "absent", "descriptions": ["victim", "member"], "concurrency": 1},
        KEYS,
        lasting(
            "status", "DELETE", f"*/{key_id('atlas', 6)}", status=403, code="USER_UNAUTHORIZED"
        ),
    ),
    Case(
        "an access list entry is not valid",
        ("entries has '10.0.0.1/8', which has host bits set. Use 10.0.0.0/8 or 10.0.0.1."),
        {**VICTIM, "entries": ["10.0.0.1/8"]},
        ACCESS_LIST,
    ),
    # Credentials
    Case(
        "a key pair is rejected",
        (
            "Could not read the API key 5ae000000000000000000002: the API returned 401 "
            'UNEXPECTED_ERROR, "You are not authorized for this resource". Check the API key '
            "akeyaaab: it may be wrong, expired or revoked, or belong to another organization. If "
            "it is new, wait a few seconds and try again. Also check base_url (http://{host})."
        ),
        {**REVOKE, "api_private_key": WRONG},
    ),
    Case(
        "an access token is rejected",
        (
            "Could not read the API key 5ae000000000000000000002: the API returned 401 "
            'UNEXPECTED_ERROR, "You are not authorized for this resource". The access token has '
            "expired or was revoked, or it is not valid for the API at http://{host}. A token is "
            "valid for one hour. Fetch a new one with the module access_token."
        ),
        {**REVOKE, "access_token": "t0ken-of-yesterday-0123456789", **NO_KEY_PAIR},
    ),
    Case(
        "a key pair cannot fetch a token",
        (
            "An API key cannot fetch or revoke access tokens. Set client_id and client_secret in "
            "this task. If module_defaults or the environment sets another credential, remove it "
            "for this task."
        ),
        {},
        "access_token",
    ),
    Case(
        "there is no credential",
        (
            "No credential is set. Set api_public_key and api_private_key, client_id and "
            "client_secret, or access_token, or the environment variables of MongoDB Atlas "
            "(MONGODB_ATLAS_PUBLIC_API_KEY and MONGODB_ATLAS_PRIVATE_API_KEY, "
            "MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET, "
            "MONGODB_ATLAS_ACCESS_TOKEN) where the module runs."
        ),
        {**REVOKE, **NO_KEY_PAIR},
    ),
    Case(
        "two kinds of credentials",
        (
            "Two kinds of credentials are set: api_public_key with api_private_key, and "
            "client_id with client_secret. Set exactly one."
        ),
        {**REVOKE, "client_id": client_id("atlas"), "client_secret": "mdb_sa_sk_wrong"},
    ),
    Case(
        "the address is not on the access list",
        (
            "Could not read the API key 5ae000000000000000000002: the API returned 403 "
            'IP_ADDRESS_NOT_ON_ACCESS_LIST, "IP address 127.0.0.1 is not allowed to access this '
            'resource". The API saw the request come from 127.0.0.1. Before you add this address '
            "to a list, check whose it is: an internal or shared address may be that of a load "
            "balancer or proxy, and listing it admits every host behind it. If it is this host's "
            "own, add it to the API access list of the API key akeyaaah (a project's IP access "
            "list does not count here). Otherwise, run the task from a listed address."
        ),
        {**REVOKE, **key_pair("atlas", 7)},
    ),
    Case(
        "the role is too low",
        (
            "Could not create the API key 'new one': the API returned 401 USER_UNAUTHORIZED, "
            '"Current user is not authorized to perform this action". The API key akeyaaag does '
            "not have the required role (Organization Owner)."
        ),
        {**NEW, **key_pair("atlas", 6)},
    ),
    Case(
        "the organization is unknown",
        (
            "Could not read the API key 5ae000000000000000000002: the API returned 404 "
            'ORG_NOT_FOUND, "No organization with ID deadbeefdeadbeefdeadbeef exists". Check '
            "org_id: there is no active organization with this ID at http://{host}. This does not "
            "prove that anything is missing."
        ),
        {**REVOKE, "org_id": MISSING_ID},
    ),
    # Connections to the API
    Case(
        "the address is not that of the API",
        (
            'Could not list the organizations: the API returned 404 RESOURCE_NOT_FOUND, "Cannot '
            'find resource /nothing/api/atlas/v2/orgs". There is no MongoDB Atlas API at '
            "http://{host}/nothing/api/atlas/v2/orgs. Check base_url and platform. This does not "
            "prove that anything is missing."
        ),
        {"base_url": "{url}/nothing", "org_id": None},
        "org_info",
    ),
    Case(
        "a login page",
        (
            "Could not read the API key 5ae000000000000000000002: the response (200 OK) is an "
            "HTML page, not the expected object. Check that base_url (http://{host}) is the "
            "address of MongoDB Atlas, and that no login page or proxy intercepts the request."
        ),
        REVOKE,
        KEY,
        lasting("html", status=200),
    ),
    Case(
        "a redirect",
        (
            "Could not read the API key 5ae000000000000000000002: the server redirects (302) to "
            "https://sso.example.com/login. Redirects are not followed, because the target may "
            "not be the API. Check base_url (http://{host}): should it use https instead of http, "
            "or does a login page or gateway intercept the request?"
        ),
        REVOKE,
        KEY,
        lasting("redirect"),
    ),
    Case(
        "nothing listens at the address",
        (
            "Could not read the API key 5ae000000000000000000002: {host} refuses connections (6 "
            "attempts, 17 s of waiting). Check the host and port of base_url, and that the server "
            "is up."
        ),
        {**REVOKE, "base_url": "http://{dead}"},
    ),
    Case(
        "the host name cannot be resolved",
        (
            "Could not read the API key 5ae000000000000000000002: cannot resolve the host name "
            "opsmanager.example.com. Check base_url and DNS on the machine where the module "
            "runs. If it reaches the API through a proxy, set http_proxy or HTTPS_PROXY."
        ),
        {**REVOKE, "base_url": f"http://{UNKNOWN_HOST}"},
    ),
    Case(
        "https to a server without TLS",
        (
            "Could not read the API key 5ae000000000000000000002: TLS with {host} failed: wrong "
            "version number. The server does not use TLS on this port: check the port and the "
            "scheme in base_url."
        ),
        {**REVOKE, "base_url": "https://{host}"},
    ),
    Case(
        "the certificate is from a private authority",
        (
            "Could not read the API key 5ae000000000000000000002: the certificate of {host} is "
            "not accepted: unable to get local issuer certificate. Set ca_path to the file or "
            "directory of the CA certificate. (validate_certs: false disables this check, and TLS "
            "no longer protects the connection.)"
        ),
        {**REVOKE, "base_url": "{tls}"},
    ),
    Case(
        "the proxy requires a password",
        (
            "Could not read the API key 5ae000000000000000000002: the proxy {host} refused the "
            "request: 407 Proxy Authentication Required. Check the proxy's user and password, in "
            "http_proxy or the environment."
        ),
        {**REVOKE, "http_proxy": "{proxy}"},
    ),
    Case(
        "the proxy is down",
        (
            "Could not read the API key 5ae000000000000000000002: the proxy {host} cannot be "
            "reached (6 attempts, 17 s of waiting). Check http_proxy, or the proxy variables of "
            "the environment."
        ),
        {**REVOKE, "http_proxy": "http://{dead}"},
    ),
    Case(
        "the server has a problem",
        (
            "Could not read the API key 5ae000000000000000000002: the API returned 503 Service "
            'Unavailable, "Emulated failure" (6 attempts, 17 s of waiting). The API has an '
            "internal problem. Try again later."
        ),
        REVOKE,
        KEY,
        lasting("status", status=503),
    ),
    Case(
        "the rate limit is exceeded",
        (
            "Could not read the API key 5ae000000000000000000002: the API returned 429 "
            'RATE_LIMITED, "Emulated failure", and asks to wait 3600 s. The rate limit was '
            "exceeded. It resets about once a minute: run fewer tasks at the same time, try "
            "again later, or raise retry_max_wait."
        ),
        REVOKE,
        KEY,
        lasting("status", status=429, code="RATE_LIMITED", retry_after=3600),
    ),
    Case(
        "the limit of token requests is exceeded",
        (
            "Could not get an access token for the service account "
            "mdb_sa_id_5a0000000000000000000001: the API returned 429 RATE_LIMITED, "
            '"Emulated failure". The API reports a limit of 50 tokens in 1 min. Each task with '
            "client_id and client_secret fetches an access token. Fetch one token with the module "
            "access_token, and set the option access_token in all other tasks, for example with "
            "module_defaults."
        ),
        {**REVOKE, **NO_KEY_PAIR, **service_account("atlas"), "retry_max_wait": 30},
        KEY,
        lasting(
            "status",
            path=TOKEN_PATH,
            status=429,
            code="RATE_LIMITED",
            parameters=[TOKEN_PATH, 50, 1],
        ),
    ),
    Case(
        "the response to a POST is lost",
        (
            "Could not send POST /api/atlas/v2/orgs/5a0000000000000000000001/apiKeys: the "
            "connection to {host} broke before the response was complete. Check the network to the "
            "API. The request may have been carried out. Check what exists before you run the task "
            "again, because the task would send the request again."
        ),
        POST,
        REQUEST,
        lasting("lost_after", "POST"),
    ),
    Case(
        "the response to a POST with unique_by is lost",
        (
            "Could not send POST /api/atlas/v2/orgs/5a0000000000000000000001/apiKeys: the "
            "connection to {host} broke before the response was complete. Check the network to the "
            "API. An item with these values exists now: {new}. Unless another run created it, this "
            "task did. If the response contained a secret that is shown only once, the secret is "
            "lost: delete the item, then run the task again."
        ),
        {**POST, "unique_by": ["desc"]},
        REQUEST,
        lasting("lost_after", "POST"),
    ),
    Case(
        "a DELETE finds nothing",
        (
            "Could not send DELETE /api/atlas/v2/groups/deadbeefdeadbeefdeadbeef/clusters/shop: "
            'the API returned 404 RESOURCE_NOT_FOUND, "Emulated failure". The path or something in '
            "it does not exist, or the credential has no access to it. Check path, and also "
            "platform and base_url (http://{host}). To accept that the object does not exist, add "
            "RESOURCE_NOT_FOUND to missing_codes."
        ),
        {"path": f"/groups/{MISSING_ID}/clusters/shop", "method": "DELETE"},
        REQUEST,
        lasting("status", status=404, code="RESOURCE_NOT_FOUND", parameters=["shop"]),
    ),
    Case(
        "a response is not JSON",
        (
            "Could not send GET /api/atlas/v2/orgs/invoices: the response (200 OK) is not JSON "
            "(text/csv), not the expected JSON. Check that base_url (http://{host}) is the address "
            "of MongoDB Atlas, and that no login page or proxy intercepts the request. To save a "
            "response that is not JSON in a file, set dest."
        ),
        {"path": "/orgs/invoices"},
        REQUEST,
        lasting("status", status=200, body="a,b", headers={"Content-Type": "text/csv"}),
    ),
    Case(
        "a path has a host",
        (
            "path is 'https://cloud.mongodb.com/orgs', which does not begin with /. Set the host "
            "with base_url and parameters with query."
        ),
        {"path": "https://cloud.mongodb.com/orgs"},
        REQUEST,
    ),
    Case(
        "the time limit is reached",
        (
            "Could not list the API keys of organization 5a0000000000000000000001: the time limit "
            "was reached (time_limit: 5 s). The last response was 503 Service Unavailable. "
            "Increase time_limit, or run the task again to continue."
        ),
        {"time_limit": 5},
        INFO,
        lasting("status", status=503),
    ),
    # Lost responses
    Case(
        "the response to a creation is lost",
        (
            "Could not create the API key 'new one': the connection to {host} broke before the "
            "response was complete. Check the network to the API. New API keys with this "
            "description: {new}. Unless another run created it, this task did, and its private key "
            "is lost: revoke it by its ID, then run the task again."
        ),
        NEW,
        KEY,
        lasting("lost_after", "POST"),
    ),
    Case(
        "the response to a creation is lost and no key shows up",
        (
            "Could not create the API key 'new one': the connection to {host} broke before the "
            "response was complete. Check the network to the API. No new API key with this "
            "description has appeared within 10 s. Look again before you run the task again."
        ),
        NEW,
        KEY,
        lasting("lost_before", "POST"),
    ),
    Case(
        "a revoked key does not disappear",
        (
            "The API still shows the API key 5ae000000000000000000002 (akeyaaac) 10 s after the "
            "task revoked it. Run the task again to check whether it is gone, or increase "
            "wait_timeout. The API accepted the request to revoke it. Whether the API key still "
            "works is not known."
        ),
        {**REVOKE, "wait": True, "wait_timeout": 10},
        settings={"visibility_delay": 100},
    ),
    # Files for new private keys
    Case(
        "the directory of the credentials file does not exist",
        (
            "credentials_file {folder}/none/key.json is in {folder}/none, which is not a "
            "directory, and nothing was created. Use an existing directory on the machine where "
            "the module runs."
        ),
        {**NEW, "credentials_file": "{folder}/none/key.json"},
    ),
    Case(
        "the credentials file is a directory",
        (
            "credentials_file {folder}/ is a directory, and nothing was created. Use the path of "
            "a file in an existing directory."
        ),
        {**NEW, "credentials_file": "{folder}/"},
    ),
    Case(
        "the credentials file holds something else",
        (
            "credentials_file {folder}/other.json holds something other than a key pair of this "
            "module, and nothing was created. It may be the only copy of a key pair. Move it "
            "away, or use another file."
        ),
        {**NEW, "credentials_file": "{folder}/other.json"},
    ),
    # Rotation
    Case(
        "the rotation to finish has not begun",
        (
            "API key 5ae000000000000000000002 (akeyaaac) has no replacement whose key pair was "
            "handed over. Nothing was changed. Run phase begin first."
        ),
        {**VICTIM, "phase": "finish"},
        ROTATION,
    ),
    Case(
        "the key to rotate is the signing credential",
        (
            "The API key 5ae000000000000000000001 (akeyaaab) is the one that this task "
            "authenticates with, and nothing was changed. Use another credential of the "
            "organization, or set allow_own_key to true to allow rotating it."
        ),
        {"api_user_id": key_id("atlas", 1), "phase": "begin"},
        ROTATION,
    ),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    with (
        Emulator(seed(), tls=authority.issue("server")) as tls,
        ForwardProxy(refusal="407 Proxy Authentication Required") as proxy,
        dead_port() as port,
    ):
        yield {"tls": tls.url, "proxy": proxy.url, "dead": f"{LOOPBACK}:{port}"}


@pytest.fixture(autouse=True)
def _no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def look_up_known(host: Any, *arguments: Any, **more: Any) -> Any:
        if host == UNKNOWN_HOST:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_known)


def fill(value: Any, known: dict[str, str]) -> Any:
    return value.format(**known) if isinstance(value, str) else value


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_message_is_the_agreed_one(
    emulator: Emulator, tmp_path: Path, places: dict[str, str], case: Case
) -> None:
    for name, value in case.settings.items():
        setattr(emulator.settings, name, value)
    if case.fault:
        emulator.add_fault(case.fault)
    (tmp_path / "other.json").write_text("{}", "utf-8")
    keys = emulator.state.organizations[org_id("atlas")].api_keys
    before = {*keys}
    known = {"url": emulator.url, "host": emulator.url.removeprefix("http://"), **places}
    common = {"base_url": emulator.url, "org_id": org_id("atlas"), **key_pair("atlas")}
    options = {
        name: value for name, value in {**common, **case.options}.items() if value is not None
    }
    outcome = run_module(
        case.module,
        {name: fill(value, {**known, "folder": str(tmp_path)}) for name, value in options.items()},
    )
    assert outcome.failed, outcome.result
    said = re.sub(rf"{re.escape(LOOPBACK)}:\d+", "{host}", outcome.msg)
    said = said.replace(str(tmp_path), "{folder}")
    for key in [key for name, key in keys.items() if name not in before]:
        said = said.replace(f"{key.id} ({key.public_key})", "{new}")
        said = said.replace(f"'{key.id}'", "{new}")
    assert said == case.text
