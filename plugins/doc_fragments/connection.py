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
      - The product that is called.
      - V(atlas) is MongoDB Atlas and its Admin API v2, V(cloud_manager) and V(ops_manager) are the
        products of these names and their Public API v1.0.
      - When not given, the environment variable E(KEYSMITH_MONGODB_PLATFORM) decides, and without
        it V(atlas) is taken.
    type: str
    choices: [atlas, cloud_manager, ops_manager]
  base_url:
    description:
      - The address of the product, such as V(https://opsmanager.example.com:8443). A slash or the
        path of the API at its end makes no difference.
      - When not given, E(MONGODB_ATLAS_BASE_URL) is taken for Atlas and E(MCLI_OPS_MANAGER_URL) for
        the others, and without it V(https://cloud.mongodb.com) for Atlas and Cloud Manager. Ops
        Manager has no default.
      - Atlas for Government is at V(https://cloud.mongodbgov.com).
      - With V(http), the module warns if it sends a client secret or a token, or if a new private
        key would come back, in clear, except on the machine itself (V(localhost) and loopback
        addresses).
      - Redirects are never followed; a task that meets one fails and names where it points.
    type: str
  org_id:
    description:
      - The id of the organization, 24 hexadecimal digits. A credential belongs to one organization,
        so this can be set together with it.
      - When not given, E(MONGODB_ATLAS_ORG_ID) is taken for Atlas, E(MCLI_ORG_ID) for the others.
    type: str
  api_public_key:
    description:
      - The public key of the API key that signs the requests, with HTTP Digest.
      - Exactly one kind of credential has to be given, by the task or by the environment of the
        machine where the module runs. That is the target, or the control node (in AWX the
        execution environment) with C(connection=local). What the task gives beats every
        variable, of another kind too.
      - When the task gives no credential, E(MONGODB_ATLAS_PUBLIC_API_KEY) or the older
        E(MONGODB_ATLAS_PUBLIC_KEY) is taken for Atlas, E(MCLI_PUBLIC_API_KEY) for the others.
    type: str
  api_private_key:
    description:
      - The private key that belongs to O(api_public_key).
      - When the task gives no credential, E(MONGODB_ATLAS_PRIVATE_API_KEY) or the older
        E(MONGODB_ATLAS_PRIVATE_KEY) is taken for Atlas, E(MCLI_PRIVATE_API_KEY) for the others.
    type: str
  client_id:
    description:
      - The client id of a service account, which begins with C(mdb_sa_id_). Ops Manager has no
        service accounts.
      - An access token is fetched for the task and revoked at its end.
      - When the task gives no credential, E(MONGODB_ATLAS_CLIENT_ID) is taken for Atlas.
    type: str
  client_secret:
    description:
      - The client secret that belongs to O(client_id).
      - When the task gives no credential, E(MONGODB_ATLAS_CLIENT_SECRET) is taken for Atlas.
    type: str
  access_token:
    description:
      - A ready access token of a service account, without the word C(Bearer). It is used as it is
        and not revoked.
      - When the task gives no credential, E(MONGODB_ATLAS_ACCESS_TOKEN) is taken for Atlas.
    type: str
  validate_certs:
    description:
      - Whether the server's certificate is checked. V(false) gives the protection of TLS away; use
        O(ca_path) for a certificate of your own authority instead.
      - With V(false), from the environment too, the module warns. It fails if the task also sets
        O(ca_path).
      - When not given, E(KEYSMITH_MONGODB_VALIDATE_CERTS) decides, and without it V(true) is taken.
    type: bool
  ca_path:
    description:
      - A file with the certificates of trusted authorities (PEM), or a folder with such files under
        their hashed names, as C(openssl rehash) makes them.
      - When not given, E(KEYSMITH_MONGODB_CA_PATH) is taken, then E(REQUESTS_CA_BUNDLE), then
        E(CURL_CA_BUNDLE), then the system's bundle (or E(SSL_CERT_FILE)), then the one that comes
        with C(requests).
    type: path
  client_cert:
    description:
      - A file with the client certificate (PEM), for servers that ask for one. It may hold the
        private key too.
      - When neither O(client_cert) nor O(client_key) is given, E(KEYSMITH_MONGODB_CLIENT_CERT) is
        taken.
    type: path
  client_key:
    description:
      - A file with the private key of O(client_cert) (PEM), without a password.
      - When neither O(client_cert) nor O(client_key) is given, E(KEYSMITH_MONGODB_CLIENT_KEY) is
        taken.
    type: path
  http_proxy:
    description:
      - The address of a proxy for all requests, such as V(http://user:password@proxy.example.com:3128).
        It must begin with C(http://) or C(https://); SOCKS is not supported.
      - It is hidden in all output, since it may hold a password.
      - When not given, the environment decides, by E(HTTPS_PROXY), E(HTTP_PROXY) and E(ALL_PROXY),
        in lower case first, and E(NO_PROXY). A SOCKS proxy is refused there, except for a host that
        E(NO_PROXY) exempts.
    type: str
  timeout:
    description:
      - How long to wait for a connection, and for each next part of an answer, in seconds, more
        than 0. A whole answer may take three times as long, and a listing of several pages ten
        times as long, not counting waits before a request is sent again.
    type: float
    default: 30
  retries:
    description:
      - How often a request is sent again, 0 or more, if the connection breaks or the server has a
        problem (status 502, 503 and 504, and at most twice 500). Only requests that can be sent
        twice without harm are sent again.
      - A request that exceeds a rate limit (status 429) holds back all requests of the task, and is
        sent again for as long as O(retry_max_wait) allows. V(0) disables that too.
      - A request that the API refuses without a reason (status 401) after it has accepted the key
        pair in the same task is sent again up to four times, unless this is V(0).
    type: int
    default: 5
  retry_max_wait:
    description:
      - How long a task waits before it sends requests again, in seconds, 0 or more, while none of
        its requests is accepted. A task that makes progress may wait longer in all. Rate limits are
        refilled about once a minute. If the server asks to wait longer than what is left, the task
        fails immediately.
    type: float
    default: 120
  envelope:
    description:
      - Whether to ask the API to put the status of each answer into its body too, for networks that
        hide it. An answer that comes so is understood in any case.
    type: bool
    default: false
requirements:
  - requests >= 2.25
notes:
  - On the signals C(SIGTERM), C(SIGINT) and C(SIGHUP), a module completes and reports what it has
    begun, and starts nothing more. It fails with C(error.type=cancelled) if something is left to
    do. A signal that is already ignored, such as C(SIGHUP) by C(nohup), stays ignored. After
    Ctrl+C, Ansible itself may end before it shows the result, so write new private keys to a file.
  - An empty string or null counts as not set, like an unanswered question of an AWX survey, except
    where that would do more than the task asks for. These options then refuse both, and suggest
    C(default(omit, true)) - C(state), C(keep), C(credentials_file),
    C(credentials_dir), filters and selectors, O(org_id) next to a credential that the task
    itself sets, and one half of a pair of credentials.
  - Options for text refuse numbers, booleans, lists and dictionaries. YAML and Jinja turn unquoted
    text such as C(0042), C(1.10) or C(yes) into these, so put it in quotes. A date or time that
    Ansible itself has turned into text, such as an unquoted C(2026-01-31), cannot be detected.
  - Options refuse text that contains a mask of Ansible (eight asterisks, or
    C(VALUE_SPECIFIED_IN_NO_LOG_PARAMETER), instead of a secret), since it is not the original text.
    Identify a key whose description really contains one by its ID.
  - Secrets in variables and in the environment are hidden in all output of the module. Ansible
    itself shows what is written on the command line of an ad-hoc C(ansible) call when the call
    fails, and the values of a task's C(environment) keyword with C(-vvv).
"""
