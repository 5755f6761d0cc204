# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API keys of an organization: paths, JSON to values, find, revoke, wait."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from ansible_collections.keysmith.mongodb.plugins.module_utils._answers import UnreadableError
from ansible_collections.keysmith.mongodb.plugins.module_utils._client import Client
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    API_KEY_NOT_FOUND,
    AmbiguousError,
    ApiError,
    KeysmithError,
    MissingError,
    OrphanError,
    OwnKeyError,
    StoppedError,
    UnexpectedAnswerError,
    WaitTimeoutError,
    is_about_path,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._http_settings import (
    is_sent_in_clear,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import (
    normalize_description,
    quoted,
)

ORG_OWNER = "Organization Owner"
ORG_MEMBER = "Organization Member"

FIRST_POLL = 0.25
LONGEST_POLL = 2.0
# How long a new key may take to show up in the listing.
ORPHAN_PATIENCE = 10.0
# How long the API may take to know a key that it has shown, and to show a change.
SETTLE_TIME = 10.0
# How long after the first look a second one decides that something is gone.
SECOND_LOOK = 3.0
_DELETE_ATTEMPTS = 3
# How many keys a message names where there may be very many.
SHOWN = 20
_ID = re.compile(r"[a-f0-9]{24}")
# The APIs have 8 letters there. It stands in messages, so it must be short and visible at least.
_PUBLIC_KEY = re.compile(r"[!-~]{0,64}")
# What look-alikes are, in messages.
LOOK_ALIKES = "Look-alikes differ only in case, whitespace, invisible characters or Unicode forms."
ADOPTION_ADVICE = (
    "Nothing was changed. Anyone who may create keys in a project can give a key this description. "
    "Check that the key is yours; then restore its file, use the key's ID, or set adopt to true."
)
_OWNER_ROLES = frozenset({"ORG_OWNER", "GROUP_OWNER"})
_JSON_NAMES = {"description": "desc", "roles": "roles"}
_CONTRADICTION_ADVICE = (
    "Another task may have changed the key at the same time, or something between this task and "
    "the API may have changed the request or the response."
)


T = TypeVar("T")
# Pairs of a project's id and the roles there, sorted.
Projects = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class OrgApiKey:
    """A programmatic API key.

    A key may have no description and no roles; the text and the tuple are empty then. Nobody can
    mean such a key by a description or a pattern.
    """

    id: str
    description: str
    public_key: str | None
    roles: tuple[str, ...]
    projects: Projects

    def __str__(self) -> str:
        return f"{self.id} ({self.public_key or 'public key not readable'})"

    def writable(self) -> dict[str, Any]:
        """Return what a user can set, for plans and diffs."""
        return {
            "description": self.description,
            "roles": list(self.roles),
            "projects": show_projects(self.projects),
        }

    def result(self) -> dict[str, Any]:
        """Return the value of ``org_api_key``."""
        return {"id": self.id, "public_key": self.public_key, **self.writable()}


def from_result(result: Mapping[str, Any]) -> OrgApiKey:
    """Return the key that a result shows."""
    projects = ((p["project_id"], tuple(p["roles"])) for p in result["projects"])
    return OrgApiKey(
        id=result["id"],
        description=result["description"],
        public_key=result["public_key"],
        roles=tuple(result["roles"]),
        projects=tuple(projects),
    )


def show_projects(projects: Projects) -> list[dict[str, Any]]:
    """Return projects as results have them."""
    return [{"project_id": project_id, "roles": list(roles)} for project_id, roles in projects]


def with_project(key: OrgApiKey, project_id: str, roles: tuple[str, ...] | None) -> OrgApiKey:
    """Return the key with these roles in a project; None stands for not assigned to it."""
    projects = {**dict(key.projects), project_id: roles}
    kept = ((name, roles) for name, roles in sorted(projects.items()) if roles is not None)
    return replace(key, projects=tuple(kept))


@dataclass(frozen=True)
class CreatedKey:
    """A key at the one moment at which its private key can be seen."""

    key: OrgApiKey
    private_key: str = field(repr=False)


def parse(data: Any, org_id: str | None = None) -> OrgApiKey | None:
    """Return the key that the API's JSON describes, None if it is not an object with content.

    Shape: ApiKeyUserDetails. Neither ``desc`` nor ``roles`` is required. A role names an
    organization, a project, or neither; only those of the organization ``org_id`` (None: of any)
    count as roles of the key there. The private key, masked or not, is never taken over. Raises
    UnreadableError.
    """
    if not isinstance(data, dict) or not data:
        return None
    key_id, description, public_key = data.get("id"), data.get("desc"), data.get("publicKey")
    if not (isinstance(key_id, str) and is_id(key_id)):
        raise UnreadableError("an API key without a readable ID", "id", key_id)
    owner = f"API key {key_id}"
    if not isinstance(description, (str, type(None))):
        raise UnreadableError(owner, "desc", description)
    if not (public_key is None or _is_public_key(public_key)):
        raise UnreadableError(owner, "publicKey", public_key)
    org_roles, projects = _parse_roles(owner, data.get("roles"), org_id)
    return OrgApiKey(
        id=key_id,
        description=description or "",
        public_key=public_key or None,
        roles=tuple(sorted(org_roles)),
        projects=tuple((group, tuple(sorted(names))) for group, names in sorted(projects.items())),
    )


def _parse_roles(
    owner: str, roles: Any, org_id: str | None
) -> tuple[set[str], dict[str, set[str]]]:
    """Return the roles in the organization, and those in each project. Raises UnreadableError."""
    if not isinstance(roles, (list, type(None))):
        raise UnreadableError(owner, "roles", roles)
    org_roles: set[str] = set()
    projects: dict[str, set[str]] = {}
    for number, role in enumerate(roles or ()):
        place = f"roles[{number}]"
        if not isinstance(role, dict):
            raise UnreadableError(owner, place, role)
        name, role_org, group_id = role.get("roleName"), role.get("orgId"), role.get("groupId")
        if not isinstance(name, str):
            raise UnreadableError(owner, f"{place}.roleName", name)
        for field_name, value in (("orgId", role_org), ("groupId", group_id)):
            if not (value is None or (isinstance(value, str) and is_id(value))):
                raise UnreadableError(owner, f"{place}.{field_name}", value)
        if group_id is not None:
            projects.setdefault(group_id, set()).add(name)
        elif role_org is not None and org_id in {None, role_org}:
            org_roles.add(name)
    return org_roles, projects


def find_by_id(
    api: Client, org_id: str, api_user_id: str, until: float | None = None
) -> OrgApiKey | None:
    """Return the key with this id, None where the API proves that there is none."""
    path = _path(org_id, api_user_id)
    doing = f"read the API key {api_user_id}"

    def parse_this(data: Any) -> OrgApiKey | None:
        key = parse(data, org_id)
        return key if key and key.id == api_user_id else None

    try:
        return api.get(path, parse_this, doing=doing, role=ORG_MEMBER, until=until)
    except ApiError as error:
        if not _is_missing(api, org_id, api_user_id, error):
            raise
        return None


def find_by_public_key(api: Client, org_id: str, public_key: str) -> OrgApiKey | None:
    """Return the key with this public key, None where a complete listing lacks it.

    Raises AmbiguousError where the listing has keys whose public key it does not tell.
    """
    keys = list_all(api, org_id)
    which = f"public key {public_key}"
    found = _only(org_id, which, [key for key in keys if key.public_key == public_key])
    if not found:
        check_public_keys_told(org_id, keys, [public_key], "Name the key with api_user_id.")
    return found


def check_public_keys_told(
    org_id: str, keys: Collection[OrgApiKey], public_keys: Collection[str], instead: str
) -> None:
    """Refuse to take public keys for missing where the API hides some; raises AmbiguousError.

    ``instead`` tells what to do about it.
    """
    told = {key.public_key for key in keys}
    lost = [name for name in public_keys if name not in told]
    if lost and None in told:
        hidden = names([key for key in keys if key.public_key is None])
        raise AmbiguousError(
            f"No API key of organization {org_id} is known to have the public key "
            f"{', '.join(lost)}, but the API does not tell the public key of {hidden}",
            check=f"Nothing was changed. {instead}",
        )


def find_by_description(
    api: Client, org_id: str, description: str, *, look_alikes: str = "refuse"
) -> OrgApiKey | None:
    """Return the key with exactly this description, None if the full list of keys lacks it.

    Raises what ``pick_by_description`` does.
    """
    keys = list_all(api, org_id)
    return pick_by_description(keys, org_id, description, look_alikes=look_alikes)


def pick_by_description(
    keys: Sequence[OrgApiKey], org_id: str, description: str, *, look_alikes: str = "refuse"
) -> OrgApiKey | None:
    """Return the one of the keys that has exactly this description.

    Descriptions are not unique. Raises AmbiguousError if several keys have this one, or, unless
    ``look_alikes`` is ``ignore``, if none has it and others look like it.
    """
    which = f"description {quoted(description)}"
    found = _only(org_id, which, [key for key in keys if key.description == description])
    if found is None and look_alikes == "refuse":
        check_look_alikes(keys, org_id, description)
    return found


def check_look_alikes(keys: Iterable[OrgApiKey], org_id: str, description: str) -> None:
    """Refuse a description that no key has if keys look like it. Raises AmbiguousError."""
    wanted = normalize_description(description)
    similar = [
        key for key in keys if key.description and normalize_description(key.description) == wanted
    ]
    if similar:
        raise AmbiguousError(
            f"No API key of organization {org_id} has exactly the description "
            f"{quoted(description)}, but these look like it: {described(similar)}",
            check=f"Nothing was changed. {LOOK_ALIKES} Use the exact description or the key's ID, "
            "or set look_alikes to ignore if they are different keys.",
        )


def by_normalized(keys: Iterable[OrgApiKey]) -> dict[str, list[OrgApiKey]]:
    """Return the keys by what their look-alikes have in common, to look up many quickly.

    Keys without a description are left out.
    """
    groups: dict[str, list[OrgApiKey]] = {}
    for key in filter(lambda key: key.description, keys):
        groups.setdefault(normalize_description(key.description), []).append(key)
    return groups


def find(api: Client, org_id: str, params: Mapping[str, Any]) -> OrgApiKey | None:
    """Return the key that a task names, None where it is proved missing."""
    if params["api_user_id"]:
        return find_by_id(api, org_id, params["api_user_id"])
    if params["public_key"]:
        return find_by_public_key(api, org_id, params["public_key"])
    return find_by_description(
        api, org_id, params["description"], look_alikes=params["look_alikes"]
    )


def list_all(api: Client, org_id: str) -> list[OrgApiKey]:
    """Return every key of the organization, in the API's order."""
    return api.pages(
        _path(org_id),
        lambda data: parse(data, org_id),
        lambda key: key.id,
        doing=f"list the API keys of organization {org_id}",
        role=ORG_MEMBER,
    )


def create(
    api: Client, org_id: str, description: str, roles: Collection[str], known_ids: Collection[str]
) -> CreatedKey:
    """Create a key. ``known_ids``: those of a complete listing before.

    The answer is the only place where the private key ever is. When it is lost, the request is
    not sent again: keys of this description that were not there before are looked for, and
    OrphanError names them. A key that is not as asked for is revoked, since it may have rights
    that nobody wanted.
    """
    body = {"desc": description, "roles": sorted(roles)}
    wanted = {"description": description, "roles": roles}
    doing = f"create the API key {quoted(description)}"

    def parse_new(data: Any) -> tuple[CreatedKey, str] | None:
        created = parse_created(data, org_id)
        if created is None or created.key.id in known_ids:
            return None
        key, contradiction = _compare(data, created.key, wanted)
        if not contradiction and key.projects:
            contradiction = f"{_state(key)}, and projects"
        return replace(created, key=key), contradiction

    try:
        created, contradiction = api.post(
            _path(org_id), body, parse_new, doing=doing, role=ORG_OWNER
        )
    except KeysmithError as error:
        if not error.unclear:
            raise
        cause = error
    else:
        if not contradiction:
            return created
        return _check_created(api, org_id, created, wanted, contradiction)
    raise _orphan(api, org_id, description, known_ids, cause)


def _check_created(
    api: Client,
    org_id: str,
    created: CreatedKey,
    wanted: Mapping[str, Any],
    contradiction: str,
) -> CreatedKey:
    """Return a created key if the API shows it as wanted after all; otherwise revoke it."""
    key = created.key
    try:
        with api.stop.completing():
            now = poll(
                api,
                lambda: find_by_id(api, org_id, key.id),
                lambda now: now is not None and not now.projects and _is_as_wanted(now, wanted),
            )
    except KeysmithError:
        now = None
    if now and not now.projects and _is_as_wanted(now, wanted):
        return replace(created, key=now)
    error = UnexpectedAnswerError(
        f"The API created the API key {key} as {contradiction}, but the task asked for "
        f"{_asked(wanted)}",
        check=_CONTRADICTION_ADVICE,
    )
    raise undo_creation(api, org_id, key, error)


def undo_creation(
    api: Client, org_id: str, key: OrgApiKey, error: KeysmithError, loss: str = ""
) -> KeysmithError:
    """Revoke a key that this task has created, and return the error that says what is left.

    Only a DELETE that the API carries out counts: that it does not know the key may mean that it
    does not know it yet. An error about a key that is left has the type ``orphan``. ``loss`` says
    what has become of the private key of that.
    """
    try:
        with api.stop.completing():
            _delete_created(api, org_id, key)
    except KeysmithError as failure:
        left = error if error.type == "orphan" else _as_orphan(error)
        left.parameters = [key.id]
        left.results = {"changed": True, "org_api_key": key.result()}
        left.aftermath = (
            f"The new key could not be revoked to clean up, so API key {key} may be left. "
            f"{loss or 'Its private key is lost.'} Revoke the key by its ID. {failure.message()}"
        )
        return left
    error.results = {}
    error.aftermath = "The new key was revoked to clean up: nothing is left."
    return error


def _delete_created(api: Client, org_id: str, key: OrgApiKey) -> None:
    doing = f"revoke the API key {key}"
    path = _path(org_id, key.id)
    try:
        retry_unknown_key(api, key, lambda: api.delete(path, doing=doing, role=ORG_OWNER))
    except ApiError as error:
        # An attempt whose response was lost has done it.
        if not (error.unclear and is_proof_of_absence(error, key.id)):
            raise


def is_id(value: str) -> bool:
    """Whether a text is an id: 24 hexadecimal digits. Ids become parts of paths and file names."""
    return bool(_ID.fullmatch(value))


def _is_public_key(value: Any) -> bool:
    return isinstance(value, str) and bool(_PUBLIC_KEY.fullmatch(value))


def parse_created(data: Any, org_id: str | None = None) -> CreatedKey | None:
    """Return the created key that the API's JSON describes, with its private key in clear.

    Otherwise as ``parse``.
    """
    key = parse(data, org_id)
    private_key = data.get("privateKey") if key else None
    if key is None or key.public_key is None or not isinstance(private_key, str):
        return None
    return CreatedKey(key, private_key) if private_key and "*" not in private_key else None


def twin_warnings(
    api: Client, org_id: str, created: Collection[OrgApiKey], known_ids: Collection[str]
) -> list[str]:
    """Say which keys of the same descriptions others have created meanwhile; never raises.

    The new keys' private keys must reach their user, whatever happens here.
    """
    ids = {key.id for key in created}
    try:
        # Not before the API shows the new keys, so that what follows this task finds them.
        found = _await_new(api, org_id, {key.description for key in created}, known_ids, ids)
    except KeysmithError as error:
        return [
            f"Created: {names(created)}. Whether another run made the same meanwhile could not be "
            f"checked: {error.message()}"
        ]
    return [
        f"API key {key} was created, and another run made {twin} with the same description "
        "meanwhile: revoke one of them by its id."
        for key in created
        for twin in found
        if twin.description == key.description and twin.id not in ids
    ]


def update(api: Client, org_id: str, key: OrgApiKey, changes: Mapping[str, Any]) -> OrgApiKey:
    """Set the description or the roles of a key, and return it as it is then.

    If the response is lost or contradicts the request, the key is read again, since it may be as it
    should be. An error's ``results`` say what exists then.
    """
    body = {_JSON_NAMES[name]: value for name, value in changes.items()}

    def parse_this(data: Any) -> OrgApiKey | None:
        changed = parse(data, org_id)
        if changed is None or changed.id != key.id:
            return None
        # What the response leaves out and the task did not ask for is as it was.
        asked = {"description": key.description, "roles": key.roles, **changes}
        filled, _unasked = _compare(data, changed, asked)
        _same, contradiction = _compare(data, changed, changes)
        if contradiction:
            raise contradicted(f"shows the key as {contradiction} instead of {_asked(changes)}")
        return filled

    def send() -> OrgApiKey:
        doing = f"change the API key {key}"
        return api.patch(_path(org_id, key.id), body, parse_this, doing=doing, role=ORG_OWNER)

    try:
        return retry_unknown_key(api, key, send)
    except KeysmithError as failure:
        error = missing_if_proved(failure, key, "Only a key that exists can be changed.")
        if not error.unclear:
            raise error from None
        wanted = {"description": key.description, **changes}

        def is_done(now: OrgApiKey | None) -> bool:
            return now is not None and _is_as_wanted(now, wanted)

        try:
            with api.stop.completing():
                now = poll(api, lambda: find_by_id(api, org_id, key.id), is_done)
        except KeysmithError:
            # That the key cannot be read now says less than that it may have been changed.
            raise error from None
        if now and is_done(now):
            return now
        error.aftermath = f"The API shows the key as {_state(now) if now else 'missing'} now."
        if now:
            error.results = {
                "changed": (now.description, now.roles) != (key.description, key.roles),
                "org_api_key": now.result(),
            }
        raise error from None


def retry_unknown_key(api: Client, key: OrgApiKey, send: Callable[[], T]) -> T:
    """Send a request about a key that this task has seen, until the API knows the key.

    The APIs are eventually consistent: what shows a key and what takes a change may differ for some
    seconds. API_KEY_NOT_FOUND is a refusal, so nothing was done, and sending again is safe.
    """
    until = api.clock.now() + SETTLE_TIME
    pause, tries, waited = FIRST_POLL, 1, 0.0
    while True:
        try:
            return send()
        except ApiError as error:
            if error.unclear or not is_proof_of_absence(error, key.id):
                raise
            if api.clock.now() + pause > until:
                error.tries, error.waited = tries, waited
                raise
            _pause(api, pause, error, "The API refused the request, and nothing was changed by it.")
        tries, waited = tries + 1, waited + pause
        pause = min(pause * 2, LONGEST_POLL)


def delete_known(
    api: Client,
    send: Callable[[], None],
    says_missing: Callable[[KeysmithError], bool],
    is_shown: Callable[[], bool],
) -> bool:
    """Delete something that this task has seen; return whether this call did it.

    The APIs are eventually consistent. So that something is missing which was there counts only if
    a second look some seconds later agrees; if it is shown again, it is deleted again.
    """
    is_done, attempts = False, 0
    while True:
        attempts += 1
        try:
            send()
        except KeysmithError as error:
            # An earlier DELETE may have done it, whatever becomes of this one.
            error.unclear = is_done = is_done or error.unclear
            with api.stop.completing():
                if not _carrying(error, partial(says_missing, error)):
                    raise
                open_ = "The API does not find it any more. Whether that is final was not checked."
                _pause(api, SECOND_LOOK, error, open_)
                try:
                    is_there = _carrying(error, is_shown)
                except KeysmithError as failure:
                    failure.aftermath = failure.aftermath or open_
                    raise
            if is_there and attempts == _DELETE_ATTEMPTS:
                error.aftermath = "Read again, it still exists. Run the task again later."
                raise
            if not is_there:
                return is_done
        else:
            return True


def _carrying(error: KeysmithError, look: Callable[[], T]) -> T:
    """Return what a look shows; if it fails, that error is as unclear as the one before."""
    try:
        return look()
    except KeysmithError as failure:
        failure.unclear = failure.unclear or error.unclear
        raise


def _pause(api: Client, seconds: float, error: KeysmithError, state: str) -> None:
    """Wait before trying again; a task that is told to stop says what it was about."""
    try:
        api.stop.pause(seconds)
    except StoppedError as stopped:
        stopped.request, stopped.aftermath = error.request, state
        stopped.unclear = error.unclear
        raise


def poll(api: Client, look: Callable[[], T], is_done: Callable[[T], bool]) -> T:
    """Return what a look shows, as soon as it is as expected, or after SETTLE_TIME."""
    until = api.clock.now() + SETTLE_TIME
    pause = FIRST_POLL
    while True:
        seen = look()
        if is_done(seen) or api.clock.now() + pause > until:
            return seen
        try:
            api.stop.pause(pause)
        except StoppedError:
            return seen
        pause = min(pause * 2, LONGEST_POLL)


def contradicted(what: str) -> UnexpectedAnswerError:
    """Return the error of a response that accepts a change and shows something else.

    The change may have been made all the same.
    """
    error = UnexpectedAnswerError(
        f"the API accepted the request, but its response {what}", check=_CONTRADICTION_ADVICE
    )
    error.unclear = True
    return error


def _compare(data: Any, shown: OrgApiKey, wanted: Mapping[str, Any]) -> tuple[OrgApiKey, str]:
    """Return the key in a response with what the response leaves out, and how it contradicts.

    The comparison is the one that decides whether a key has to be changed at all.
    """
    given: dict[str, Any] = {}
    if data.get("desc") is None and "description" in wanted:
        given["description"] = wanted["description"]
    if data.get("roles") is None and "roles" in wanted:
        given["roles"] = tuple(sorted(wanted["roles"]))
    key = replace(shown, **given)
    return key, "" if _is_as_wanted(key, wanted) else _state(key)


def _is_as_wanted(key: OrgApiKey, wanted: Mapping[str, Any]) -> bool:
    description = wanted.get("description", key.description)
    return has_roles(key, wanted.get("roles")) and key.description == description


def _state(key: OrgApiKey) -> str:
    return f"{quoted(key.description)} with the roles {', '.join(key.roles) or 'none'}"


def _asked(wanted: Mapping[str, Any]) -> str:
    parts = []
    if "description" in wanted:
        parts.append(quoted(wanted["description"]))
    if "roles" in wanted:
        parts.append(f"the roles {', '.join(sorted(wanted['roles']))}")
    return " with ".join(parts)


def warn_of_new_private_key(api: Client) -> None:
    """Warn if the private key of a new API key would be returned without TLS."""
    if is_sent_in_clear(api.endpoint.base_url):
        api.warnings.append(
            "The private key of each new API key is sent in clear, because base_url is http and "
            "not https."
        )


def warn_of_last_owner(
    api: Client, org_id: str, before: Iterable[OrgApiKey], owner_ids: Collection[str]
) -> None:
    """Warn if no API key would be left that owns the organization, and none authenticates.

    ``owner_ids``: the keys that would still have ORG_OWNER. A key pair that authenticates is such
    a key itself, unless the task says that it may lose its access.
    """
    last = [key for key in before if "ORG_OWNER" in key.roles]
    if api.endpoint.public_key is None and last and not owner_ids:
        api.warnings.append(
            f"No API key of organization {org_id} would have the role ORG_OWNER any more. The last "
            f"is {described(last)}. Then only users and service accounts own the organization."
        )


def warn_if_last_owner(api: Client, org_id: str, key: OrgApiKey) -> None:
    """Warn if a key that is to lose ORG_OWNER is the last one; lists the keys to find out."""
    if api.endpoint.public_key is not None or "ORG_OWNER" not in key.roles:
        return
    try:
        keys = list_all(api, org_id)
    except StoppedError:
        raise
    except KeysmithError as error:
        # A key that has leaked must be revocable although the list cannot be read.
        api.warnings.append(
            f"Whether API key {key} is the last one with the role ORG_OWNER could not be checked: "
            f"{error.message()}"
        )
        return
    owner_ids = [other.id for other in keys if "ORG_OWNER" in other.roles and other.id != key.id]
    warn_of_last_owner(api, org_id, [key], owner_ids)


def is_owner(roles: Iterable[tuple[str, str]]) -> bool:
    """Whether pairs of a project ID ("" for none) and a role make a key an owner."""
    return any(role in _OWNER_ROLES for _project_id, role in roles)


def owner_warning(key: OrgApiKey, gains: Iterable[tuple[str, str]]) -> str:
    """Say that a key selected by description becomes an owner of an organization or a project."""
    gained = ", ".join(
        f"{role} in project {project_id}" if project_id else role
        for project_id, role in sorted(gains)
        if role in _OWNER_ROLES
    )
    return (
        f"API key {key} is identified by its description, {quoted(key.description)}, and gains "
        f"{gained}. Anyone who may create keys in a project can give a key this description: "
        "identify owner keys by ID."
    )


def has_roles(key: OrgApiKey, roles: Collection[str] | None) -> bool:
    """Whether a key has these roles in its organization; None stands for any.

    An ORG_MEMBER beside them is one that the API has added by itself, and no difference.
    """
    return roles is None or set(roles) <= set(key.roles) <= {*roles, "ORG_MEMBER"}


def _orphan(
    api: Client, org_id: str, description: str, known_ids: Collection[str], cause: KeysmithError
) -> OrphanError:
    """Find out what a creation whose answer was lost has left behind."""
    found: list[OrgApiKey] = []
    try:
        with api.stop.completing():
            found = _await_new(api, org_id, {description}, known_ids)
    except KeysmithError as failure:
        left = (
            f"Whether it was created could not be found out either: {failure.message()} Look for "
            "keys of this description before running the task again."
        )
    else:
        left = (
            f"No new key of this description has shown up in {ORPHAN_PATIENCE:.0f} s. Look once "
            "more before running the task again."
        )
        if found:
            left = (
                f"New keys of this description: {names(found)}. Unless it is another run's, this "
                "is what the task has left, and its private key is lost: revoke it by its id, and "
                "run the task again."
            )
    error = _as_orphan(cause)
    error.parameters, error.aftermath = [key.id for key in found], left
    error.results = {"changed": True} if found else {}
    return error


def _as_orphan(cause: KeysmithError) -> OrphanError:
    """Return an error as one about a key that is left, or may be."""
    error = OrphanError(
        cause.what,
        check=cause.check,
        request=cause.request,
        status=cause.status,
        code=cause.code,
        reason=cause.reason,
        detail=cause.detail,
    )
    error.tries, error.waited = cause.tries, cause.waited
    return error


def _await_new(
    api: Client,
    org_id: str,
    descriptions: Collection[str],
    known_ids: Collection[str],
    expected_ids: Collection[str] = (),
) -> list[OrgApiKey]:
    """Return the new keys of descriptions: once there are any, or, better, all that are expected.

    Returns what there is after ORPHAN_PATIENCE.
    """
    clock = api.clock
    until = clock.now() + ORPHAN_PATIENCE
    pause = FIRST_POLL
    while True:
        found = [
            key
            for key in list_all(api, org_id)
            if key.description in descriptions and key.id not in known_ids
        ]
        is_seen = found and {key.id for key in found}.issuperset(expected_ids)
        if is_seen or clock.now() + pause > until:
            return found
        api.stop.pause(pause)
        pause = min(pause * 2, LONGEST_POLL)


def check_not_own(
    api: Client, key: OrgApiKey, *, allowed: bool, loss: str, is_own_seen: bool = False
) -> bool:
    """Return whether the key is the one that signs the requests; raises unless that is allowed.

    ``loss`` completes "if … is meant". ``is_own_seen``: a listing shows the own key, so that none
    whose public key is hidden can be it. Only a key pair is a key; tokens and service accounts have
    none.
    """
    own = api.endpoint.public_key
    if own is None or (is_own_seen and key.public_key != own):
        return False
    if key.public_key is None and not allowed:
        raise OwnKeyError(
            f"The API does not tell the public key of the API key {key.id}, so it may be the one "
            "that signs the requests, and nothing was changed",
            check=f"Set allow_own_key to true if {loss} is meant all the same.",
        )
    if key.public_key == own and not allowed:
        raise OwnKeyError(
            f"The API key {key} is the one that signs the requests, and nothing was changed",
            check=(
                "Use another credential of the organization, or set allow_own_key to true if "
                f"{loss} is meant."
            ),
        )
    return key.public_key in {own, None}


def revoke(api: Client, org_id: str, key: OrgApiKey) -> bool:
    """Revoke a key that this task has seen; return whether this call did it.

    If the response to an earlier attempt was lost and a later one finds no such key, this call did
    it. Otherwise it was gone before.
    """
    if key.public_key is not None and key.public_key == api.endpoint.public_key:
        api.expect_own_end()
    path, doing = _path(org_id, key.id), f"revoke the API key {key}"
    return delete_known(
        api,
        lambda: api.delete(path, doing=doing, role=ORG_OWNER),
        lambda error: isinstance(error, ApiError) and _is_missing(api, org_id, key.id, error),
        lambda: find_by_id(api, org_id, key.id) is not None,
    )


def await_absence(api: Client, org_id: str, key: OrgApiKey, timeout: float) -> None:
    """Return when two looks in a row agree that a revoked key is missing. ``timeout``: seconds.

    Raises WaitTimeoutError after the time; whatever it raises says what is known.
    """
    clock = api.clock
    until = clock.now() + timeout
    pause = FIRST_POLL
    was_missing = False
    try:
        while True:
            is_missing = find_by_id(api, org_id, key.id, until) is None
            if is_missing and was_missing:
                return
            if clock.now() + pause > until:
                if is_missing and all(other.id != key.id for other in list_all(api, org_id)):
                    return
                raise WaitTimeoutError(
                    f"The API still shows the API key {key} {timeout:g} s after its revocation",
                    check="Run the task again to see whether it is gone, or raise wait_timeout.",
                )
            was_missing = is_missing
            api.stop.pause(pause)
            pause = min(pause * 2, LONGEST_POLL)
    except KeysmithError as error:
        error.aftermath = (
            "The API accepted the revocation. Whether the key still works is not known."
        )
        raise


def is_proof_of_absence(error: ApiError, api_user_id: str) -> bool:
    """Whether an error proves that this key does not exist (docs/apis.md: Absence).

    The code is the proof, with 400 as the APIs send it, or 404; and it has to speak of this key.
    """
    return (
        error.code == API_KEY_NOT_FOUND
        and error.status in {400, 404}
        and (not error.parameters or api_user_id in error.parameters)
    )


def missing_if_proved(error: KeysmithError, key: OrgApiKey, check: str) -> KeysmithError:
    """Return MissingError if the API does not find a key that this task has seen, else the error.

    That does not prove that another user has revoked the key.
    """
    if not isinstance(error, ApiError) or not is_proof_of_absence(error, key.id):
        return error
    missing = MissingError(
        f"The API does not find the API key {key}, which this task has seen: it was revoked in the "
        "meantime, or is still propagating",
        check=check,
    )
    missing.unclear = error.unclear
    missing.tries, missing.waited = error.tries, error.waited
    return missing


def _is_missing(api: Client, org_id: str, api_user_id: str, error: ApiError) -> bool:
    """Whether a key is missing, for which an error may be a proof, a hint, or nothing.

    After a hint the whole listing is asked. A key that is in there was not found for some other
    reason, which the error tells.
    """
    if is_proof_of_absence(error, api_user_id):
        return True
    if not _hints_at_absence(error):
        return False
    return all(key.id != api_user_id for key in list_all(api, org_id))


def _hints_at_absence(error: ApiError) -> bool:
    if error.status == 404 and error.code == "RESOURCE_NOT_FOUND":
        return not is_about_path(error.parameters)
    return error.code in {API_KEY_NOT_FOUND, "INVALID_KEY_ID"} and error.status in {400, 404}


def _only(org_id: str, which: str, keys: list[OrgApiKey]) -> OrgApiKey | None:
    if len(keys) > 1:
        raise AmbiguousError(
            f"{len(keys)} API keys of organization {org_id} have the {which}: {names(keys)}",
            check="Nothing was changed. Use api_user_id to pick one.",
        )
    return keys[0] if keys else None


def names(keys: Collection[OrgApiKey]) -> str:
    """Return the keys as errors list them."""
    return ", ".join(str(key) for key in sorted(keys, key=lambda key: key.id))


def described(keys: Sequence[OrgApiKey]) -> str:
    """Return as many of the keys as errors have room for, with their descriptions."""
    shown = sorted(keys, key=lambda key: key.id)[:SHOWN]
    rest = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(f"{key} {quoted(key.description)}" for key in shown) + rest


def first_names(keys: Sequence[OrgApiKey]) -> str:
    """Return so many of the keys as errors have room for."""
    rest = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return names(keys[:SHOWN]) + rest


def _path(org_id: str, api_user_id: str = "") -> str:
    return f"/orgs/{org_id}/apiKeys" + (f"/{api_user_id}" if api_user_id else "")
