# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of every module, in good and in bad luck, with secrets wherever they may be."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from tests.emulator import Fault
from tests.integration.peers import LOOPBACK
from tests.integration.playbook import (
    ACCESS_LIST,
    KEYS,
    KEYS_INFO,
    MODULE,
    ORGS_INFO,
    PROJECT_KEY,
    ROTATION,
)
from tests.support import (
    MISSING_ID,
    PRIVATE_KEYS,
    client_id,
    key_id,
    key_pair,
    org_id,
    project_id,
    public_key,
)
from tests.trust.secrets.world import (
    ACCOUNT,
    ATLAS,
    CLIENT_SECRET,
    CLOUD,
    CREATED,
    ECHO,
    LOST,
    MARK_KEY,
    MEMBER_PRIVATE_KEY,
    OPS,
    PROXY_PASSWORD,
    URL_PASSWORD,
    WRONG_PRIVATE_KEY,
    Case,
    World,
)


def revocations(world: World) -> dict[str, Case]:
    token = {"access_token": world.token}
    # A server that sends the credential along to where it redirects.
    away = f"https://sso.example.com/{PRIVATE_KEYS[ATLAS]}?token={PRIVATE_KEYS[ATLAS]}"
    with_user = world.emulator.url.replace("//", f"//user:{quote(URL_PASSWORD)}@")
    https = world.emulator.url.replace("http:", "https:")
    return {
        "revoke": Case(world.options()),
        "revoke-key-pair-of-variables": Case(
            world.options(
                platform=OPS,
                org_id=org_id(OPS),
                api_user_id=key_id(OPS, 2),
                **key_pair(OPS),
            )
        ),
        "revoke-service-account": Case(world.options(**ACCOUNT)),
        "revoke-token": Case(world.options(**token)),
        "revoke-key-whose-description-is-secret": Case(world.options(api_user_id=key_id(ATLAS, 3))),
        "revoke-by-description": Case(
            {**world.options(**ACCOUNT, api_user_id=""), "description": "victim"}
        ),
        "missing": Case(world.options(api_user_id=MISSING_ID)),
        "missing-service-account": Case(world.options(api_user_id=MISSING_ID, **ACCOUNT)),
        "wrong-private-key": Case(
            world.options(api_public_key=public_key(ATLAS, 1), api_private_key=WRONG_PRIVATE_KEY),
            ("Check the API key",),
        ),
        "wrong-client-secret": Case(
            world.options(client_id=client_id(ATLAS), client_secret=CLIENT_SECRET + "x"),
            ("invalid_client",),
        ),
        "wrong-token": Case(world.options(access_token=world.token + "x"), ("401",)),
        "role-too-low": Case(
            world.options(api_public_key=public_key(ATLAS, 6), api_private_key=MEMBER_PRIVATE_KEY),
            ("USER_UNAUTHORIZED", "Organization Owner"),
        ),
        "echo-key-pair": world.faulty(Fault("echo", "GET"), *ECHO),
        "echo-delete": world.faulty(Fault("echo", "DELETE"), *ECHO),
        "echo-service-account": world.faulty(Fault("echo", "GET"), *ECHO, **ACCOUNT),
        "echo-token": world.faulty(Fault("echo", "DELETE"), *ECHO, **token),
        "echo-of-token-endpoint": Case(world.options(base_url=world.echoing.url, **ACCOUNT), ECHO),
        "echo-unauthorized": world.faulty(Fault("echo", "GET", status=401), *ECHO, **token),
        "key-that-echoes": world.faulty(
            Fault("json", "GET", body={"id": world.token, "desc": CLIENT_SECRET}),
            "cannot be read",
            **ACCOUNT,
        ),
        "redirect": world.faulty(Fault("redirect", "GET", location=away), "sso.example.com"),
        "redirect-delete": world.faulty(Fault("redirect", "DELETE"), "sso.example.com"),
        "lost-before": world.faulty(Fault("lost_before", "GET"), "broke"),
        "lost-after": world.faulty(Fault("lost_after", "DELETE"), "may have been carried out"),
        "reset": world.faulty(Fault("reset", "GET"), "broke", **ACCOUNT),
        "garbage": world.faulty(Fault("garbage", "GET"), "not HTTP", **token),
        "html": world.faulty(Fault("html", "GET"), "HTML page"),
        "sign-on-page": world.faulty(Fault("html", "DELETE", status=200), "HTML page", **ACCOUNT),
        "no-tls": Case(world.options(base_url=https, **ACCOUNT), ("does not use TLS",)),
        "dead-proxy": Case(world.options(http_proxy=world.dead_proxy), ("cannot be reached",)),
        "refusing-proxy": Case(
            world.options(base_url=https, http_proxy=world.refusing_proxy), ("refused to connect",)
        ),
        "refusing-plain-proxy": Case(world.options(http_proxy=world.refusing_proxy), ("407",)),
        "broken-proxy": Case(
            world.options(
                http_proxy=f"socks5://user:{quote(PROXY_PASSWORD, safe='')}@{LOOPBACK}:9"
            ),
            ("http_proxy",),
        ),
        "two-kinds": Case(
            world.options(**key_pair(ATLAS), **ACCOUNT, **token), ("Two kinds of credentials",)
        ),
        "half-a-pair": Case(
            world.options(api_private_key=PRIVATE_KEYS[ATLAS]), ("api_public_key is not",)
        ),
        "private-key-with-a-line-end": Case(
            world.options(
                api_public_key=public_key(ATLAS, 1), api_private_key=PRIVATE_KEYS[ATLAS] + "\n"
            ),
            ("line ends",),
        ),
        "token-with-its-scheme": Case(
            world.options(access_token=f"Bearer {world.token}"), ("without the word Bearer",)
        ),
        "password-in-base-url": Case(world.options(base_url=with_user), ("user or a password",)),
        "token-in-base-url": Case(
            world.options(base_url=with_user.replace("user:", "")), ("user or a password",)
        ),
        "secret-of-the-environment-in-a-name": Case(
            world.options(api_user_id="", description=f"goes with {PRIVATE_KEYS[ATLAS]}, it says")
        ),
        "no-id": Case(world.options(api_user_id="x", **ACCOUNT), ("api_user_id",)),
        "no-number": Case(world.options(timeout="soon", **ACCOUNT), ("timeout",)),
    }


def life(world: World) -> dict[str, Case]:
    """Creations, and what else belongs to a key's whole life.

    All creations of Ops Manager lose their answer, all those of Cloud Manager meet an echo.
    """
    unlucky = key_id(ATLAS, 2)
    project = {"project_id": project_id(ATLAS)}
    return {
        "change-create": world.creation(ATLAS, CREATED + "shown"),
        "change-create-account": world.creation(
            ATLAS, CREATED + "shown with an account", **ACCOUNT
        ),
        "change-create-no-log": replace(
            world.creation(ATLAS, CREATED + "with no_log"), no_log=True
        ),
        "change-create-file": world.creation(
            ATLAS, CREATED + "with a file", **world.file("kept.json")
        ),
        "create-lost": world.creation(OPS, CREATED + "lost", *LOST),
        "create-lost-file": world.creation(
            OPS, CREATED + "lost with a file", *LOST, **world.file("lost.json")
        ),
        "create-echo": world.creation(CLOUD, CREATED + PRIVATE_KEYS[CLOUD], *ECHO),
        "create-echo-file": world.creation(
            CLOUD, CREATED + "and meet an echo", *ECHO, **world.file("echo.json")
        ),
        "change-create-many": world.many(ATLAS, CREATED + "shown as one of many"),
        "change-create-many-files": world.many(
            ATLAS, CREATED + "with a folder", credentials_dir=str(world.files), **ACCOUNT
        ),
        "create-many-lost": world.many(OPS, CREATED + "lost as one of many", *LOST),
        "create-many-echo": world.many(CLOUD, CREATED + "as one of many, meeting an echo", *ECHO),
        "revoke-many": world.other(
            KEYS, state="absent", api_user_ids=[key_id(ATLAS, next(world.numbers))]
        ),
        "change-roles": world.other(
            MODULE, roles=["ORG_READ_ONLY"], api_user_id=key_id(ATLAS, next(world.numbers))
        ),
        "change-access-list": world.other(
            ACCESS_LIST, entries=["192.0.2.7"], api_user_id=key_id(ATLAS, next(world.numbers))
        ),
        "access-list-echo": world.other(
            ACCESS_LIST, ATLAS, *ECHO, entries=["192.0.2.7"], api_user_id=unlucky, **ACCOUNT
        ),
        "change-project": world.other(
            PROJECT_KEY,
            roles=["GROUP_OWNER"],
            api_user_id=key_id(ATLAS, next(world.numbers)),
            **project,
        ),
        "project-echo": world.other(
            PROJECT_KEY, ATLAS, *ECHO, roles=["GROUP_OWNER"], api_user_id=unlucky, **project
        ),
        "change-rotate": world.other(
            ROTATION,
            phase="begin",
            mark_key=MARK_KEY,
            api_user_id=key_id(ATLAS, next(world.numbers)),
            **world.file("rotated.json"),
        ),
        "rotate-lost": world.other(
            ROTATION,
            OPS,
            "was revoked to clean up",
            phase="begin",
            mark_key=MARK_KEY,
            api_user_id=key_id(OPS, next(world.numbers)),
        ),
        "rotate-echo": world.other(
            ROTATION,
            CLOUD,
            *ECHO,
            phase="begin",
            mark_key=MARK_KEY,
            api_user_id=key_id(CLOUD, next(world.numbers)),
        ),
        "rotate-nothing": world.other(
            ROTATION,
            ATLAS,
            "has no replacement",
            phase="finish",
            mark_key=MARK_KEY,
            new_private_key=WRONG_PRIVATE_KEY,
            api_user_id=key_id(ATLAS, next(world.numbers)),
            **ACCOUNT,
        ),
        "read-keys": world.other(KEYS_INFO, access_list=True, **ACCOUNT),
        "read-keys-echo": world.other(KEYS_INFO, ATLAS, *ECHO, api_user_id=unlucky),
        "read-organizations": world.other(ORGS_INFO, **ACCOUNT),
    }
