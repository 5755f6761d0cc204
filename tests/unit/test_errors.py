# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every failure has a type that programs can rely on, and says what to check."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _errors
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ERROR_TYPES,
    ApiError,
    KeysmithError,
    OptionError,
    PartialError,
    Request,
    TimeLimitError,
)

ERRORS = [
    kind
    for kind in vars(_errors).values()
    if isinstance(kind, type) and issubclass(kind, KeysmithError) and kind is not PartialError
]
NAMES = {"type", "status", "code", "reason", "detail", "parameters", "method", "path"}


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_a_documented_type(kind: type[KeysmithError]) -> None:
    fields = kind("It failed", hint="Try again.").fields()
    assert fields["type"] in ERROR_TYPES
    assert fields.keys() == NAMES


@pytest.mark.parametrize("kind", ERRORS)
def test_context_is_added_to_a_copy(kind: type[KeysmithError]) -> None:
    error = kind("It failed", hint="Try again.")
    copy = error.with_context(state_after="Nothing is left.")
    assert (type(copy), str(copy)) == (kind, "It failed")
    assert copy.message() == "It failed. Try again. Nothing is left."
    assert error.message() == "It failed. Try again."


@pytest.mark.parametrize(("status", "kind"), [(429, "limit"), (400, "api"), (503, "api")])
def test_a_rate_limit_is_a_limit(status: int, kind: str) -> None:
    assert ApiError("It failed", status=status).fields()["type"] == kind


@pytest.mark.parametrize(
    "cause",
    [
        OptionError("x", hint="y"),
        TimeLimitError("x"),
        ApiError("x", status=429, code="X", parameters=["y"]),
    ],
)
def test_a_partial_error_has_the_fields_of_its_cause(cause: KeysmithError) -> None:
    error = PartialError("2 of 3 changes were not made")
    error.cause = cause
    assert error.fields() == cause.fields()


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"waited": 5.0}, "It failed."),
        ({"attempts": 2, "waited": 5.0}, "It failed (2 attempts, 5 s of waiting)."),
        ({"attempts": 3}, "It failed (3 attempts, 0 s of waiting)."),
    ],
)
def test_several_attempts_are_reported(details: dict[str, Any], message: str) -> None:
    assert KeysmithError("It failed", **details).message() == message


def test_an_error_keeps_what_it_is_given() -> None:
    error = KeysmithError("It failed", detail="the API's text", state_after="A key is left.")
    assert error.fields()["detail"] == "the API's text"
    assert error.message() == "It failed. A key is left."


def test_the_longest_secrets_are_removed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_errors, "_withheld", [])
    _errors.withhold({"bcde", "abcdef"})
    assert _errors.sanitize("of abcdef and bcde!") == "of … and …!"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\x00two", "one two"),
        ("one two four", "one two …"),
        ("incomprehensible", "…"),
        # The last of the 40 characters that are read may be in the middle of a word.
        ("one two" + " " * 31 + "six", "one two …"),
        (" " * 38 + "six", "…"),
    ],
)
def test_server_text_is_truncated_between_words(text: str, expected: str) -> None:
    assert _errors.sanitize(text, 10) == expected


ORG_KEY = "/api/atlas/v2/orgs/5a/apiKeys/5ae1"
TOKEN_LIMIT = "The API reports a limit of 10 tokens in 5 min. Each task with client_id"
FETCH_FEWER = "Each task with client_id"
UNPROVED = "This does not prove that the key is gone. Run"


@pytest.mark.parametrize(
    ("status", "code", "parameters", "path", "advice"),
    [
        (429, "RATE_LIMITED", [_errors.TOKEN_PATH, 10, 5], _errors.TOKEN_PATH, TOKEN_LIMIT),
        (429, "RATE_LIMITED", [_errors.TOKEN_PATH, 10, "5"], _errors.TOKEN_PATH, FETCH_FEWER),
        (429, "RATE_LIMITED", ["", 10, 5, "x"], _errors.TOKEN_PATH, FETCH_FEWER),
        (429, "RATE_LIMITED", ["", 10, -1], _errors.TOKEN_PATH, FETCH_FEWER),
        (429, "RATE_LIMITED", [], ORG_KEY, "The rate limit was exceeded."),
        (401, None, [], _errors.TOKEN_PATH, "Check the credential: "),
        (403, "NOT_ORG_OWNER", [], ORG_KEY, "The credential does not have the required role."),
        (400, "API_KEY_NOT_FOUND", ["5ae1"], f"{ORG_KEY}/accessList", UNPROVED),
        (404, "API_KEY_NOT_FOUND", [], ORG_KEY, UNPROVED),
        (409, "API_KEY_NOT_FOUND", [], ORG_KEY, "The API reports a missing key with status 400"),
        (
            404,
            "API_KEY_NOT_FOUND",
            ["5ae2", 7, "x" * 40 + " " + "y" * 40],
            ORG_KEY,
            f"The error is about 5ae2, 7, {'x' * 40} …, not about this key",
        ),
    ],
    ids=str,
)
def test_advice_follows_the_error_of_the_api(
    status: int, code: str | None, parameters: list[Any], path: str, advice: str
) -> None:
    request = Request("GET", "https://h", path, "read")
    assert _errors.api_advice(status, code, parameters, request).startswith(advice)
