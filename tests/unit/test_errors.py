# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every failure has a type that programs can rely on."""

from __future__ import annotations

import pytest

from ansible_collections.keysmith.mongodb.plugins.module_utils import _errors
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ERROR_TYPES,
    ApiError,
    KeysmithError,
    OptionError,
    PartialError,
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
