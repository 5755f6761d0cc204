# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that succeed or fail, with secrets in unusual places."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from tests.emulator import Fault
from tests.integration.peers import LOOPBACK
from tests.integration.playbook import (
    ACCESS_TOKEN,
    API_REQUEST,
    ROTATION,
    SERVICE_ACCOUNT,
)
from tests.support import (
    PRIVATE_KEYS,
    client_id,
    key_id,
    key_pair,
    org_id,
    public_key,
)
from tests.trust.secrets.world import (
    ACCOUNT,
    ATLAS,
    BODY_SECRET,
    CLIENT_SECRET,
    CLOUD,
    CREATED,
    ECHO,
    FILED,
    LOST,
    MARK_KEY,
    MEMBER_PRIVATE_KEY,
    OPS,
    PROXY_PASSWORD,
    SHOWN,
    UNSEEN,
    URL_PASSWORD,
    WRONG_PRIVATE_KEY,
    Case,
    World,
)


def revocations(world: World) -> dict[str, Case]:
    token = {"access_token": world.token}
    with_user = world.emulator.url.replace("//", f"//user:{quote(URL_PASSWORD)}@")
    return {
        "revoke-key-whose-description-is-secret": Case(world.options(api_user_id=key_id(ATLAS, 3))),
        "wrong-private-key": Case(
            world.options(api_public_key=public_key(ATLAS, 1), api_private_key=WRONG_PRIVATE_KEY),
            ("Check the API key",),
        ),
        "wrong-client-secret": Case(
            world.options(client_id=client_id(ATLAS), client_secret=CLIENT_SECRET + "x"),
            ("invalid_client",),
        ),
        "role-too-low": Case(
            world.options(api_public_key=public_key(ATLAS, 6), api_private_key=MEMBER_PRIVATE_KEY),
            ("USER_UNAUTHORIZED", "Organization Owner"),
        ),
        "echo-of-token-endpoint": Case(world.options(base_url=world.echoing.url, **ACCOUNT), ECHO),
        "key-that-echoes": world.faulty(
            Fault("json", "GET", body={"id": world.token, "desc": CLIENT_SECRET}),
            "cannot be read",
            **ACCOUNT,
        ),
        "dead-proxy": Case(world.options(http_proxy=world.dead_proxy), ("cannot be reached",)),
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
        "password-in-base-url": Case(world.options(base_url=with_user), ("username or password",)),
        "token-in-base-url": Case(
            world.options(base_url=with_user.replace("user:", "")), ("username or password",)
        ),
        "secret-of-the-environment-in-a-name": Case(
            world.options(api_user_id="", description=f"goes with {PRIVATE_KEYS[ATLAS]}, it says")
        ),
        "no-number": Case(world.options(timeout="soon", **ACCOUNT), ("timeout",)),
    }


def life(world: World) -> dict[str, Case]:
    """Return creations and rotations.

    The responses to creations are lost on Ops Manager, and echo the request on Cloud Manager.
    """
    return {
        "change-create": world.creation(ATLAS, CREATED + "shown"),
        "change-create-account": world.creation(
            ATLAS, CREATED + "shown with an account", **ACCOUNT
        ),
        "change-create-no-log": replace(
            world.creation(ATLAS, CREATED + "with no_log"), no_log=True
        ),
        "change-token-no-log": replace(
            world.other(ACCESS_TOKEN, **ACCOUNT, token="", state="present"), no_log=True
        ),
        # The response shows what was sent.
        "change-settings-no-log": replace(
            world.other(
                API_REQUEST,
                method="PATCH",
                path=f"/orgs/{org_id(ATLAS)}/settings",
                body={"notifications": {"apiToken": BODY_SECRET}},
                compare=True,
            ),
            no_log=True,
        ),
        "change-create-file": world.creation(
            ATLAS, CREATED + "with a file", **world.file("kept.json")
        ),
        "create-lost": world.creation(OPS, CREATED + "lost", *LOST),
        "create-echo": world.creation(CLOUD, CREATED + PRIVATE_KEYS[CLOUD], *ECHO),
        "change-create-many": world.many(ATLAS, CREATED + "shown as one of many"),
        "change-create-many-files": world.many(
            ATLAS, CREATED + "with a directory", credentials_dir=str(world.files), **ACCOUNT
        ),
        "create-many-echo": world.many(CLOUD, CREATED + "as one of many, with an echo", *ECHO),
        "change-secret": world.new_secret(SHOWN),
        "change-secret-file": world.new_secret(FILED, **world.file("secret.json"), **ACCOUNT),
        "secret-lost": replace(
            world.new_secret(UNSEEN, "New secrets of the account", "its value is lost"),
            is_changed=True,
        ),
        "account-echo": world.other(
            SERVICE_ACCOUNT,
            CLOUD,
            *ECHO,
            name=f"{CREATED}account, with an echo",
            roles=["ORG_MEMBER"],
            secret_expires_after_hours=720,
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
    }
