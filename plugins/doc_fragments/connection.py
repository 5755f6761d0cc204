# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The connection options; mirrors ``CONNECTION_OPTIONS`` of ``module_utils/_argspec.py``."""

    DOCUMENTATION = r"""
options:
  platform:
    description:
      - The product to call.
      - V(atlas) is MongoDB Atlas with its Admin API v2.
      - V(cloud_manager) and V(ops_manager) are Cloud Manager and Ops Manager with their Public API
        v1.0.
      - If unset, defaults to the value of E(KEYSMITH_MONGODB_PLATFORM), and then to V(atlas).
    type: str
    choices: [atlas, cloud_manager, ops_manager]
  base_url:
    description:
      - The address of the product, such as V(https://opsmanager.example.com:8443). A trailing slash
        or the path of the API is ignored.
      - Ops Manager has no default. Atlas and Cloud Manager default to
        V(https://cloud.mongodb.com).
      - For Atlas for Government, set V(https://cloud.mongodbgov.com).
      - With V(http), the module warns if it sends a client secret or a token unencrypted, or would
        receive a new private key that way. This does not apply to V(localhost) and loopback
        addresses.
      - Redirects are never followed. A task that receives one fails and shows the target.
      - If unset, defaults to the value of E(MONGODB_ATLAS_BASE_URL) for Atlas and of
        E(MCLI_OPS_MANAGER_URL) for the others.
    type: str
  org_id:
    description:
      - The ID of the organization, 24 lowercase hexadecimal digits.
      - Each credential belongs to one organization, so set both together.
      - If unset, defaults to the value of E(MONGODB_ATLAS_ORG_ID) for Atlas and of E(MCLI_ORG_ID)
        for the others.
    type: str
  api_public_key:
    description:
      - The public key of the API key to authenticate with. Requests are signed with HTTP Digest.
      - Set exactly one kind of credential, either in the task or in the environment. The kinds are
        O(api_public_key) with O(api_private_key), O(client_id) with O(client_secret), and
        O(access_token), optionally with O(client_id) and O(client_secret).
      - Options set in the task override all environment variables, even those for another kind of
        credential.
      - Environment variables are read on the host where the module runs. With C(connection=local),
        this is the control node (in AWX, the execution environment).
      - If the task sets no credential, defaults to the value of E(MONGODB_ATLAS_PUBLIC_API_KEY) or
        the older E(MONGODB_ATLAS_PUBLIC_KEY) for Atlas, and of E(MCLI_PUBLIC_API_KEY) for the
        others.
    type: str
  api_private_key:
    description:
      - The private key that belongs to O(api_public_key).
      - If the task sets no credential, defaults to the value of E(MONGODB_ATLAS_PRIVATE_API_KEY) or
        the older E(MONGODB_ATLAS_PRIVATE_KEY) for Atlas, and of E(MCLI_PRIVATE_API_KEY) for the
        others.
    type: str
  client_id:
    description:
      - The client ID of the service account to authenticate with. It begins with C(mdb_sa_id_).
      - With O(client_secret), the task fetches an access token and revokes it at the end.
      - With O(access_token), this is the account that owns the token. Tasks that manage service
        accounts then protect only this account.
      - Ops Manager has no service accounts. Cloud Manager has no environment variables for them.
      - If the task sets no credential, defaults to the value of E(MONGODB_ATLAS_CLIENT_ID) for
        Atlas.
    type: str
  client_secret:
    description:
      - The client secret that belongs to O(client_id).
      - If the task sets no credential, defaults to the value of E(MONGODB_ATLAS_CLIENT_SECRET) for
        Atlas.
    type: str
  access_token:
    description:
      - An access token of a service account, without the word C(Bearer). The task does not revoke
        it.
      - To identify the account that the token belongs to, also set O(client_id). Tasks that delete
        service accounts or their secrets need this information.
      - If O(client_secret) is also set and the token has expired, the task fetches its own token
        and continues. If O(client_secret) is not set, the task uses the one in the environment
        variables, but only if they contain the same O(client_id).
      - If the task sets no credential, defaults to the value of E(MONGODB_ATLAS_ACCESS_TOKEN) for
        Atlas.
    type: str
  validate_certs:
    description:
      - Whether to verify the server's certificate.
      - With V(false), TLS no longer protects the connection, and the module warns. For a private
        CA, set O(ca_path) instead.
      - A task that sets O(ca_path) fails if verification is disabled.
      - If unset, defaults to the value of E(KEYSMITH_MONGODB_VALIDATE_CERTS), and then to V(true).
    type: bool
  ca_path:
    description:
      - A file with the CA certificates to trust (PEM), or a directory of such files with hashed
        names, as C(openssl rehash) creates them.
      - If unset, defaults to the first of the following that is available.
      - The value of E(KEYSMITH_MONGODB_CA_PATH).
      - The value of E(REQUESTS_CA_BUNDLE).
      - The value of E(CURL_CA_BUNDLE).
      - The system's CA bundle, or the value of E(SSL_CERT_FILE).
      - The CA bundle of C(requests).
    type: path
  client_cert:
    description:
      - A file with the client certificate (PEM), for servers that require one. It may also contain
        the private key.
      - If both O(client_cert) and O(client_key) are unset, defaults to the value of
        E(KEYSMITH_MONGODB_CLIENT_CERT).
    type: path
  client_key:
    description:
      - A file with the private key of O(client_cert) (PEM), without a password.
      - If both O(client_cert) and O(client_key) are unset, defaults to the value of
        E(KEYSMITH_MONGODB_CLIENT_KEY).
    type: path
  http_proxy:
    description:
      - The address of a proxy for all requests, such as
        V(http://user:password@proxy.example.com:3128).
      - It must begin with C(http://) or C(https://). SOCKS is not supported.
      - It is hidden in all output, because it can contain a password.
      - If unset, defaults to the value of E(HTTPS_PROXY) (E(HTTP_PROXY) if O(base_url) is C(http)),
        and then of E(ALL_PROXY). Lowercase names take precedence.
      - E(NO_PROXY) exempts hosts from these variables. The module rejects a SOCKS proxy in them
        unless E(NO_PROXY) exempts the host.
    type: str
  timeout:
    description:
      - How many seconds to wait for a connection and for each subsequent part of a response, more
        than 0.
      - A whole response may take three times as long. A list of several pages may take ten times as
        long, not counting the waits between retries.
    type: float
    default: 30
  retries:
    description:
      - The maximum number of retries per request, 0 or more.
      - If repeating the request is safe, it is retried when the connection breaks or the server
        returns 502, 503 or 504. After a 500, it is retried at most twice.
      - A rate limit (429) pauses all requests of the task. O(retry_max_wait), not this option,
        limits the pause. However, V(0) disables these retries too.
      - The API sometimes returns a 401, without giving a reason, after it has accepted the same key
        pair. Such a request is retried up to four times, unless this is V(0).
    type: int
    default: 5
  retry_max_wait:
    description:
      - How many seconds a task may wait between retries while none of its requests succeeds, 0 or
        more.
      - A task that makes progress may wait longer in total.
      - Rate limits are refilled about once a minute.
      - If the server asks for a longer wait than is left, the task fails immediately.
    type: float
    default: 120
  envelope:
    description:
      - Whether to ask the API to repeat the HTTP status in the body of each response, for networks
        that hide HTTP status codes.
      - The module understands enveloped responses even with V(false).
    type: bool
    default: false
requirements:
  - requests >= 2.25
seealso:
  - name: Authentication
    description: The guide to credentials, roles and access lists.
    link: https://github.com/keysmith/keysmith.mongodb/blob/main/docs/docsite/rst/guide_authentication.rst
  - name: Errors
    description: Every error, with its causes and what to do.
    link: https://github.com/keysmith/keysmith.mongodb/blob/main/docs/docsite/rst/guide_errors.rst
notes:
  - The signing credential is the API key, service account or access token that a task authenticates
    with. An API key works on all platforms. Service accounts and access tokens work on Atlas and
    Cloud Manager only.
  - An empty string or null, such as an unanswered question of an AWX survey, counts as unset.
  - If an empty value would make the task do more than intended, the option rejects it. This applies
    to C(state), C(keep), C(credentials_file), C(credentials_dir), filters, selectors, and one half
    of a credential. It also applies to O(org_id) if the task sets a credential.
  - To pass a variable that may be empty, use the filter C(default) with C(omit) and C(true).
  - Text options reject numbers, booleans, lists and dictionaries. Put text such as C(0042), C(1.10)
    or C(yes) in quotes, because YAML and Jinja convert it. The module cannot detect a date that
    Ansible has converted back to text, such as an unquoted C(2026-01-31).
  - Options reject text that Ansible has masked (eight asterisks, or
    C(VALUE_SPECIFIED_IN_NO_LOG_PARAMETER)). If a key's description really contains such text,
    identify the key by its ID.
  - Secrets from options and environment variables are hidden in the module's output. Ansible itself
    prints ad-hoc arguments when the command fails, and a task's C(environment) with C(-vvv).
  - On C(SIGTERM), C(SIGINT) or C(SIGHUP), a module completes and reports the requests in progress
    and starts no others. It fails with C(error.type=cancelled) if something is left to do. A signal
    that is already ignored, such as C(SIGHUP) under C(nohup), stays ignored.
  - After Ctrl+C, Ansible may exit before it shows the result. Write new private keys to a file.
"""
