# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IP access lists: addresses to networks and back, read, add, remove."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Union
from urllib.parse import quote

from ansible_collections.keysmith.mongodb.plugins.module_utils._client._client import (
    Call,
    Client,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._client._responses import (
    UnreadableError,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._connection._platform import ATLAS
from ansible_collections.keysmith.mongodb.plugins.module_utils._errors import (
    ApiError,
    CancelledError,
    KeysmithError,
    OptionError,
    is_about_path,
    sanitize,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    SETTLE_TIME,
    Backoff,
    Obj,
    Objects,
    Resource,
    contradicted,
    delete_known,
    find_by_id,
    missing_if_proved,
    poll,
    retry_unknown,
    says_missing,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._text import quoted

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Networks = frozenset[Network]

_ALREADY_THERE = frozenset({"ADDRESS_ALREADY_IN_ACCESS_LIST", "ADDRESS_ALREADY_IN_WHITELIST"})
_CALLER_STAYS = frozenset(
    {"CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST", "CANNOT_REMOVE_CALLER_FROM_WHITELIST"}
)
_ENTRY = "an entry of the access list"


@dataclass(frozen=True)
class Goal:
    """What a task wants of a list: these entries in it, not in it, or (``purge``) nothing else."""

    entries: Networks
    is_present: bool = True
    purge: bool = False

    def of(self, current: Networks) -> Networks:
        """Return what a list has to become."""
        if not self.is_present:
            return current - self.entries
        return self.entries if self.purge else current | self.entries


@dataclass(frozen=True)
class AccessLists(Generic[Obj]):
    """The access lists of a resource's objects.

    ``result_name``: what results call one. ``identity``: what identifies the owner in results.
    ``gone``: the codes that say that an entry does not exist. ``name``: what the path calls one,
    and ``old_name``, what Ops Manager called it before 5.0.
    """

    resource: Resource[Obj]
    result_name: str
    identity: Callable[[Obj], Mapping[str, Any]]
    gone: frozenset[str]
    name: str = "accessList"
    old_name: str | None = None


@dataclass(frozen=True)
class AccessList(Generic[Obj]):
    """The access list of an object, as a task has found it and as it is now, so far as is known.

    Changes by others in between are in both. ``name`` is what the path calls it; ``spellings`` are
    the API's own words for each entry, several if others have written one network in several ways.
    """

    lists: AccessLists[Obj]
    owners: Objects[Obj]
    owner: Obj
    name: str
    spellings: Mapping[Network, Sequence[str]]
    before: Networks
    now: Networks

    def call(self, operation: str, role: str, *parts: str) -> Call:
        """Return a call of the list's path, or of one below it. ``doing``: for example "read"."""
        operation = f"{operation} the access list of the {self.shown}"
        return self.owners.call(operation, role, self.owner.id, self.name, *parts)

    @property
    def shown(self) -> str:
        """Return the owner as messages name it."""
        return f"{self.owners.resource.noun} {self.owner}"

    @property
    def is_changed(self) -> bool:
        return self.before != self.now

    def result(self) -> dict[str, Any]:
        """Return the result of a task that has brought the list from ``before`` to ``now``."""
        before, after = ({"entries": in_order(entries)} for entries in (self.before, self.now))
        return {
            "changed": self.is_changed,
            self.lists.result_name: {**self.lists.identity(self.owner), **after},
            "diff": {"before": before, "after": after},
        }


def normalize(entries: Iterable[str], option: str = "entries") -> Networks:
    """Return the networks that a task names, each once. Raises OptionError."""
    return frozenset(_normalize(entry, option) for entry in entries)


def _normalize(entry: str, option: str) -> Network:
    shown = quoted(entry, 80)
    try:
        network = _network(entry)
    except ValueError:
        raise OptionError(
            f"{option} has {shown}, which is no IP address and no CIDR block",
            hint=(
                "An entry is an IPv4 or IPv6 address, or a block of them, such as 192.0.2.7, "
                "192.0.2.0/24 or 2001:db8::/32, without blanks."
            ),
        ) from None
    address = entry.partition("/")[0]
    if ipaddress.ip_address(address) != network.network_address:
        raise OptionError(
            f"{option} has {shown}, whose address has bits beyond the length of its network",
            hint=f"Give the network it belongs to, {network}, or the single address {address}.",
        )
    return network


def _network(text: str) -> Network:
    """Return the network that a text is, host bits aside. Raises ValueError."""
    # A zone ("fe80::1%eth0") means something on the host itself only.
    return ipaddress.ip_network("" if "%" in text else text, strict=False)


def show(network: Network) -> str:
    """Return a network as results have it: a single address without its length."""
    is_address = network.prefixlen == network.max_prefixlen
    return str(network.network_address if is_address else network)


def spell(network: Network) -> str:
    """Return a network as requests have it, without "::" (docs/apis.md: Access lists)."""
    if network.version == 4:
        return show(network)
    groups = network.network_address.exploded.split(":")
    address = ":".join(f"{int(group, 16):x}" for group in groups)
    return address if network.prefixlen == 128 else f"{address}/{network.prefixlen}"


def in_order(networks: Iterable[Network]) -> list[str]:
    """Return networks as results have them, IPv4 first and in the order of their numbers."""
    return [show(network) for network in sorted(networks, key=_place)]


def _place(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def parse_entry(data: Any) -> tuple[Network, str] | None:
    """Return the network that an entry's JSON describes, and the API's own word for it.

    Shape: UserAccessListResponse: a block, a single address, or an address with its block beside
    it. The word is what a DELETE names it by. Returns None if it is not an object, and raises
    UnreadableError.
    """
    if not isinstance(data, dict):
        return None
    block, address = data.get("cidrBlock"), data.get("ipAddress")
    if not isinstance(block, (str, type(None))):
        raise UnreadableError(_ENTRY, "cidrBlock", block)
    if not isinstance(address, (str, type(None))):
        raise UnreadableError(_ENTRY, "ipAddress", address)
    name, value = ("cidrBlock", block) if block else ("ipAddress", address)
    try:
        # What others have put there is not ours to refuse: host bits are.
        network = _network(value or "")
        is_address = network.prefixlen == network.max_prefixlen
        name, value = "ipAddress", address
        # It becomes a part of a path: what is no address could lead elsewhere, to the key itself.
        if is_address and address and _network(address) != network:
            raise ValueError(address)
    except ValueError:
        raise UnreadableError(_ENTRY, name, value) from None
    return network, (address if address and is_address else block) or str(address)


def beyond(networks: Networks, limits: Networks) -> Networks | None:
    """Return which networks an access list allows beyond another one, None if there are none.

    An empty list allows every address, so it goes beyond each that is not empty; the result is an
    empty set then.
    """
    if not limits:
        return None
    by_version: dict[int, list[Any]] = {4: [], 6: []}
    for limit in limits:
        by_version[limit.version].append(limit)
    blocks = {
        version: [*ipaddress.collapse_addresses(entries)] for version, entries in by_version.items()
    }
    wider = frozenset(
        network
        for network in networks
        if not any(network.subnet_of(block) for block in blocks[network.version])
    )
    return wider if wider or not networks else None


def warn_of_opening(
    api: Client, resource: Resource[Obj], which: str, before: Networks | None, after: Networks
) -> None:
    """Warn if an access list becomes empty or comes to allow every address.

    ``which`` identifies the object; ``before`` is None for one that does not exist yet.
    """
    which, noun = f"{resource.noun} {which}", resource.noun
    if not after and before != after:
        api.warnings.append(
            f"The access list of {which} becomes empty. If the organization requires an API access "
            f"list, the {noun} can then no longer be used. Otherwise it can be used from any "
            f"address, unless the organization applies its UI access list to {noun}s, which the "
            "API does not show."
        )
    opened = _unlimited(after) - _unlimited(before or ())
    if opened:
        versions = " and ".join(f"IPv{version}" for version in sorted(opened))
        api.warnings.append(
            f"The access list of {which} comes to allow every {versions} address, and no longer "
            "limits where the key can be used from."
        )


def _unlimited(networks: Iterable[Network]) -> set[int]:
    """Return the versions of IP of which a list covers every address, also with several entries."""
    by_version: dict[int, list[Any]] = {4: [], 6: []}
    for network in networks:
        by_version[network.version].append(network)
    return {
        version
        for version, entries in by_version.items()
        if any(block.prefixlen == 0 for block in ipaddress.collapse_addresses(entries))
    }


def read(api: Client, lists: AccessLists[Obj], org_id: str, owner: Obj) -> AccessList[Obj]:
    """Return the access list of an object, under the name by which the API knows it.

    Raises MissingError if the object turns out to be gone.
    """
    try:
        return _read(api, of_new(lists, org_id, owner, lists.name))
    except ApiError as error:
        is_atlas = api.endpoint.platform == ATLAS
        if not _is_unknown_path(error) or is_atlas or not lists.old_name:
            raise
        try:
            return _read(api, of_new(lists, org_id, owner, lists.old_name))
        except ApiError as other:
            # Neither name is known: that the current one is not says more.
            raise error if _is_unknown_path(other) else other from None


def name_for_new(api: Client, lists: AccessLists[Obj], org_id: str, existing: Sequence[Obj]) -> str:
    """Return what the API calls the access lists of new objects, as it does those of existing ones.

    Ops Manager before 5.0 differs.
    """
    if existing and lists.old_name and api.endpoint.platform != ATLAS:
        return read(api, lists, org_id, existing[0]).name
    return lists.name


def of_new(lists: AccessLists[Obj], org_id: str, owner: Obj, name: str) -> AccessList[Obj]:
    """Return the access list of an object that was just created, which has no entries yet."""
    return AccessList(lists, lists.resource.of(org_id), owner, name, {}, frozenset(), frozenset())


def change(api: Client, found: AccessList[Obj], goal: Goal) -> AccessList[Obj]:
    """Bring a list to its goal and return what has become of it: additions first, in one request.

    An error's ``results`` tell what exists now.
    """
    access_list = _add(api, found, goal)
    for entry in in_order(access_list.now - goal.of(access_list.now)):
        try:
            api.cancellation.check()
        except CancelledError as error:
            return _after_unclear(api, access_list, error, access_list.now)
        access_list = _remove(api, access_list, ipaddress.ip_network(entry))
    return access_list


def _read(api: Client, access_list: AccessList[Obj]) -> AccessList[Obj]:
    call = access_list.call("read", access_list.owners.resource.reader)
    try:
        entries = api.pages(call, parse_entry, lambda entry: entry[1])
    except ApiError as error:
        raise _explained(error, access_list) from None
    spellings: dict[Network, list[str]] = {}
    for network, word in entries:
        spellings.setdefault(network, []).append(word)
    return replace(
        access_list, spellings=spellings, before=frozenset(spellings), now=frozenset(spellings)
    )


def _add(api: Client, access_list: AccessList[Obj], goal: Goal) -> AccessList[Obj]:
    """Add what is missing; where others were faster, read the list again and add the rest."""
    backoff = Backoff(api, deadline=api.clock.now() + SETTLE_TIME)
    while True:
        missing = goal.of(access_list.now) - access_list.now
        if not missing:
            return access_list
        try:
            _post(api, access_list, missing)
        except KeysmithError as error:
            if error.code not in _ALREADY_THERE or backoff.is_over:
                return _after_unclear(api, access_list, error, access_list.now | missing)
            # The list may show only later what the error names already.
            named = {network for network in missing if _is_named(network, error.parameters)}
            try:
                backoff.wait()
                fresh = _read(api, access_list)
            except KeysmithError as failure:
                return _after_unclear(api, access_list, failure, access_list.now)
            access_list = replace(fresh, before=fresh.before | named, now=fresh.now | named)
        else:
            return replace(access_list, now=access_list.now | missing)


def _parse_list(data: Any, resource: Resource[Obj], added: Networks) -> bool | None:
    """Accept a list with all that was added: a POST is answered with the list, or a page of it."""
    if not isinstance(data, dict) or not isinstance(data.get("results"), list):
        return None
    entries = [parse_entry(item) for item in data["results"]]
    total = data.get("totalCount", len(entries))
    if None in entries or not isinstance(total, int) or total > len(entries):
        return True
    missing = added - {entry[0] for entry in entries if entry}
    if missing:
        raise contradicted(resource, f"shows a list without {_shown(in_order(missing))}")
    return True


def _post(api: Client, access_list: AccessList[Obj], networks: Networks) -> None:
    words = [spell(network) for network in sorted(networks, key=_place)]
    body = [{"cidrBlock" if "/" in word else "ipAddress": word} for word in words]
    resource = access_list.owners.resource
    call = access_list.call(f"add {_shown(in_order(networks))} to", resource.manager)

    def send() -> None:
        api.post(call, body, lambda data: _parse_list(data, resource, networks))

    try:
        retry_unknown(api, resource, access_list.owner, send)
    except ApiError as error:
        raise _explained(error, access_list) from None


def _remove(api: Client, access_list: AccessList[Obj], network: Network) -> AccessList[Obj]:
    """Remove an entry; one that others have removed before was not there for this task either."""
    left = access_list.now - {network}
    was_there = False
    for word in access_list.spellings[network]:
        try:
            _delete(api, access_list, network, word)
        except KeysmithError as error:
            if error.code not in access_list.lists.gone or error.status not in {400, 404}:
                error = _explained(error, access_list)
                return _after_unclear(api, access_list, error, left)
            was_there |= error.outcome_unknown
        else:
            was_there = True
    before = access_list.before if was_there else access_list.before - {network}
    return replace(access_list, before=before, now=left)


def _delete(api: Client, access_list: AccessList[Obj], network: Network, word: str) -> None:
    """Delete an entry; that the owner of the list is missing counts only after a second look."""
    resource, owner = access_list.owners.resource, access_list.owner
    refusals: list[KeysmithError] = []
    call = access_list.call(f"remove {show(network)} from", resource.manager, quote(word, safe=""))

    def says_owner_missing(error: KeysmithError) -> bool:
        refusals.append(error)
        return isinstance(error, ApiError) and says_missing(error, resource, owner.id)

    def is_owner_shown() -> bool:
        if find_by_id(api, access_list.owners, owner.id) is None:
            refusal = refusals[-1]
            refusal.state_after = (
                f"Read again some seconds later, the {resource.noun} is still missing."
            )
            raise refusal
        return True

    delete_known(api, lambda: api.delete(call), says_owner_missing, is_owner_shown)


def _after_unclear(
    api: Client, access_list: AccessList[Obj], error: KeysmithError, expected: Networks
) -> AccessList[Obj]:
    """Return the list where a request has done its work although it ended in an error.

    ``expected`` is what the list has become then. Otherwise raises the error, and it says what
    exists now. Nothing is sent again: a list that lacks a change may only not show it yet.
    """
    in_question = access_list.now ^ expected
    if error.outcome_unknown:
        with api.cancellation.completing():
            shown = _look(api, access_list, lambda now: in_question & now == in_question & expected)
        if shown is None:
            error.state_after = (
                f"Before this request the access list had {_shown(in_order(access_list.now))}. "
                f"Whether {_shown(in_order(in_question))} was changed is not known, since the list "
                "cannot be read now. Run the task again to find out; that is safe."
            )
            error.results, error.now = access_list.result(), access_list
            raise error
        # Only what is in question: other changes of this task may not be shown yet.
        access_list = replace(access_list, now=access_list.now - in_question | shown & in_question)
        if access_list.now == expected:
            return access_list
    error.results, error.now = access_list.result(), access_list
    if error.outcome_unknown or access_list.is_changed:
        error.state_after = (
            f"{'Read again, the' if error.outcome_unknown else 'The'} access list now has "
            f"{_shown(in_order(access_list.now))}. Run the task again to do the rest; that is safe."
        )
    raise error


def _look(
    api: Client, access_list: AccessList[Obj], is_done: Callable[[Networks], bool]
) -> Networks | None:
    """Read a list until a change is seen or it is time to give up; None if it cannot be read."""
    try:
        return poll(api, lambda: _read(api, access_list).now, is_done)
    except KeysmithError:
        return None


def _explained(error: KeysmithError, access_list: AccessList[Obj]) -> KeysmithError:
    """Return an error with what it means for an access list."""
    resource = access_list.owners.resource
    if error.code in _CALLER_STAYS:
        error.hint = (
            f"The API keeps {resource.a_noun} from cutting itself off: this request comes from an "
            "address that no other entry of the list covers. Have an entry in the list that covers "
            "it, or remove this one with another credential or from another address."
        )
    hint = f"An access list is deleted with its {resource.noun}."
    return missing_if_proved(error, resource, access_list.owner, hint)


def _is_unknown_path(error: ApiError) -> bool:
    return (
        error.status == 404
        and error.code == "RESOURCE_NOT_FOUND"
        and is_about_path(error.parameters)
    )


def _is_named(network: Network, parameters: Iterable[Any]) -> bool:
    words = {str(network), show(network), spell(network)}
    return any(str(item) in words for item in parameters)


def _shown(entries: list[str]) -> str:
    return sanitize(", ".join(entries)) or "no entries"
