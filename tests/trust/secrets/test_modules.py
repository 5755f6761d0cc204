# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module, with every kind of failure: no output contains a canary secret.

One run of ansible-runner and one of ansible-playbook, each at -vvvv with diffs, all logging on, and
the journal or syslog recorded; see sitecustomize.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.keysmith.mongodb.plugins.module_utils import _errors
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    AdvisedError,
    CancelledError,
    KeysmithError,
    TransportError,
)
from tests.integration.playbook import AnsibleSandbox
from tests.integration.secret_search import search, without_documented
from tests.support import MODULES, client_id, public_key
from tests.trust.secrets.cases import life, revocations
from tests.trust.secrets.matrix import HOMES, SPECIAL_HOMES, matrix
from tests.trust.secrets.runs import (
    Listened,
    act,
    check_planted,
    plays,
    prepare,
    run_playbook,
    run_runner,
    secret_variables,
    shown_keys,
    switched_on,
)
from tests.trust.secrets.world import (
    ATLAS,
    FILED,
    LOST,
    UNSEEN,
    Case,
    canaries,
    created_keys,
    open_world,
)

MASK = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
SECRETS_OF_A_TASK = {
    "api_private_key",
    "client_secret",
    "access_token",
    "token",
    "http_proxy",
    "mark_key",
    "new_private_key",
}
SHOWING = {
    "change-create",
    "change-create-account",
    "change-create-many",
    "change-secret",
    "make-meets-nothing",
    "make-account-meets-nothing",
    "make-secret-meets-nothing",
}


@dataclass(frozen=True)
class Searched:
    listened: Listened
    cases: dict[str, Case]
    canaries: dict[str, str]
    # The private keys in results, and those of all created keys.
    shown: dict[str, str]
    created: dict[str, str]


def test_playbook_run_shows_no_secret(tmp_path: Path, collections: Path) -> None:
    searched = _run(tmp_path, collections, with_runner=False)
    _check(searched)
    # Modules log their options, and public ones stay readable.
    syslog = searched.listened.heard("syslog")
    assert syslog.count("Invoked with ") == _logging(searched)
    assert f"api_public_key={public_key(ATLAS, 6)}" in syslog
    assert "api_private_key=NOT_LOGGING_PARAMETER" in syslog


def test_runner_run_shows_no_secret(tmp_path: Path, collections: Path) -> None:
    searched = _run(tmp_path, collections, with_runner=True)
    _check(searched)
    journal = searched.listened.heard("journal")
    assert journal.count("Invoked with ") == _logging(searched)
    assert f"'API_PUBLIC_KEY': '{public_key(ATLAS, 6)}'" in journal
    places = searched.listened.places
    assert sum("/job_events/" in name for name in places) > 3 * len(searched.cases)
    _check_no_unasked_traceback(searched)


def _put_together(*parts: dict[str, Case]) -> dict[str, Case]:
    cases = {name: case for part in parts for name, case in part.items()}
    assert len(cases) == sum(map(len, parts))
    return cases


def _run(folder: Path, collections: Path, *, with_runner: bool) -> Searched:
    sandbox = AnsibleSandbox(folder / "run", collections, own_python=True)
    with open_world(folder / "files", [*HOMES, *SPECIAL_HOMES]) as world:
        others, table = {**revocations(world), **life(world)}, matrix(world)
        if not with_runner:
            table = {name: case for name, case in table.items() if name.startswith("ends-in-")}
        cases = _put_together(others, table)
        playbook, inventory = sandbox.write(plays(cases), prepare(world, cases))
        environ = {
            **switched_on(sandbox.folder, journal=with_runner),
            **secret_variables(world),
        }
        if with_runner:
            # This run must not show tracebacks.
            del environ["ANSIBLE_DISPLAY_TRACEBACK"]
            listened = run_runner(sandbox, str(playbook), inventory, environ)
        else:
            listened = run_playbook(sandbox, [str(playbook), "-i", str(inventory)], environ)
        assert listened.run.code == 0, listened.run.output
        every = canaries(world)
        shown, created = shown_keys(world, cases), created_keys(world)
    return Searched(listened, cases, every, shown, created)


def _check(searched: Searched) -> None:
    _check_ends(searched)
    _check_that_the_search_would_find(searched)
    _check_masks(searched)
    places = {
        place: _without_documented(place, text, searched.shown)
        for place, text in searched.listened.places.items()
    }
    hits = search(places, searched.canaries)
    assert not hits, f"{len(hits)} hits\n" + "\n".join(hits[:60])


def _without_documented(place: str, text: str, shown: Mapping[str, str]) -> str:
    """Remove the documented private key from the results of its own host, and only there."""
    if place == "the callback's lines":
        parts = text.splitlines()
    elif place == "stdout" or place.endswith("/job/stdout"):
        # A result is a line with its host, and the indented lines below.
        parts = re.split(r"(?m)^(?=\S)", text)
    elif "/job_events/" in place:
        parts = [text]
    else:
        return text
    for name, secret in shown.items():
        marks = (f": [{name}] => ", f'"host": "{name}"')
        parts = [
            without_documented(part, {name: secret}) if any(m in part for m in marks) else part
            for part in parts
        ]
    return "\n".join(parts)


def _check_ends(searched: Searched) -> None:
    """Check that tasks end as expected: otherwise the search would prove little."""
    wrong = []
    for name, case in searched.cases.items():
        result = act(searched.listened.run, name)
        # A creation whose response is lost still creates a key.
        is_changed = case.is_changed or (
            case.error is None and (name.startswith(("revoke", "change-")) or case.messages == LOST)
        )
        expected = (bool(case.messages), is_changed)
        if (result.failed, result.changed) != expected:
            wrong.append(f"{name}: {result.status}, changed={result.changed}: {result.msg}")
        wrong += [
            f"{name}: no {w!r} in {result.msg!r}" for w in case.messages if w not in result.msg
        ]
        is_mistake = case.error is _errors.InternalError
        if "Traceback" in result.msg or ("Internal error" in result.msg) is not is_mistake:
            wrong.append(f"{name}: {result.msg}")
    assert not wrong, "\n".join(wrong)


def _check_that_the_search_would_find(searched: Searched) -> None:
    """Check that each place has output, including what is shown on purpose."""
    listened = searched.listened
    check_planted(listened)
    # Verbosity and logging work.
    assert any("ESTABLISH LOCAL CONNECTION" in text for text in listened.places.values())
    logged = listened.heard("stderr")
    assert logged.count("DEBUG:urllib3.connectionpool:Starting new HTTP connection") > 30
    assert "DEBUG:urllib3.connectionpool:http://127.0.0.1:" in logged
    assert set(searched.shown) == SHOWING & set(searched.cases)
    for name, secret in searched.shown.items():
        values = act(listened.run, name).values
        (shown,) = values.get("created") or [values]
        assert shown.get("client_secret", shown.get("private_key")) == secret
        assert search(listened.places, {name: secret})
    # Keys of failed creations count too.
    assert {"create with no_log", "create with a file", "create lost"} <= set(searched.created)
    assert {FILED, UNSEEN} <= set(searched.created)
    assert len([name for name in searched.canaries if name.startswith("token ")]) > 10


def _check_masks(searched: Searched) -> None:
    """Check that invocations mask secret options, but not public ones."""
    seen = set()
    for name, case in searched.cases.items():
        values = act(searched.listened.run, name).values
        if case.no_log:
            assert "invocation" not in values
            continue
        arguments = values["invocation"]["module_args"]
        for option in SECRETS_OF_A_TASK & set(case.options):
            assert arguments[option] == MASK, f"{name}: {option}"
            seen.add(option)
    assert seen == SECRETS_OF_A_TASK
    result = act(searched.listened.run, "role-too-low")
    assert public_key(ATLAS, 6) in result.msg
    assert result.values["invocation"]["module_args"]["api_public_key"] == public_key(ATLAS, 6)
    assert client_id(ATLAS) in act(searched.listened.run, "wrong-client-secret").msg


def _check_no_unasked_traceback(searched: Searched) -> None:
    """Before ansible-core 2.19, fail_json within an `except` shows a traceback at -vvv."""
    failed = [name for name, case in searched.cases.items() if case.messages]
    results = [act(searched.listened.run, name) for name in failed]
    assert not [r.host for r in results if " File " in str(r.values.get("exception", ""))]


def _logging(searched: Searched) -> int:
    """Return how many tasks log their options: not those with no_log or invalid options."""
    results = [act(searched.listened.run, n) for n, c in searched.cases.items() if not c.no_log]
    return sum("unable to convert" not in result.msg for result in results)


def test_every_module_and_every_error_has_a_case(tmp_path: Path) -> None:
    with open_world(tmp_path / "files", [*HOMES, *SPECIAL_HOMES]) as world:
        cases = matrix(world)
    modules = {case.module.rpartition(".")[2] for case in cases.values()}
    assert modules == set(MODULES)
    family = {
        item
        for item in vars(_errors).values()
        if isinstance(item, type) and issubclass(item, KeysmithError)
    }
    errors = {case.error for case in cases.values()} - {None}
    # A signal cancels a task in the same way as its time limit does.
    bases = {KeysmithError, TransportError, AdvisedError}
    assert errors == family - bases - {CancelledError}
