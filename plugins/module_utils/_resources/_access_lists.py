# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parse, read and change IP access lists."""

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
    LimitError,
    OptionError,
    is_about_path,
    sanitize,
)
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources import _resource
from ansible_collections.keysmith.mongodb.plugins.module_utils._resources._resource import (
    ORG_OWNER,
    Obj,
    Objects,
    Resource,
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
    """The desired state of the entries: in the list, not in it, or (``purge``) the only ones."""

    entries: Networks
    is_present: bool = True
    purge: bool = False

    def of(self, current: Networks) -> Networks:
        """Return the desired list for the current one."""
        if not self.is_present:
            return current - self.entries
        return self.entries if self.purge else current | self.entries


@dataclass(frozen=True)
class AccessLists(Generic[Obj]):
    """The access lists of a resource's objects.

    ``result_name``: its name in results. ``identity``: what identifies the owner in results.
    ``missing``: the codes that say that an entry does not exist, none if they are not known.
    ``name``: the name in the path. ``old_name``: the name in the path of Ops Manager before 5.0.
    ``max_entries``: how many entries a list can have, None if that is not known.
    """

    resource: Resource[Obj]
    result_name: str
    identity: Callable[[Obj], Mapping[str, Any]]
    missing: frozenset[str]
    name: str = "accessList"
    old_name: str | None = None
    max_entries: int | None = None


@dataclass(frozen=True)
class AccessList(Generic[Obj]):
    """The access list of an object, as the task found it, and its last known state.

    ``before`` and ``now`` include changes by others in the meantime. ``texts``: the API's texts for
    each entry; there are several if others have added the same network in different notations.
    """

    lists: AccessLists[Obj]
    owners: Objects[Obj]
    owner: Obj
    name: str
    texts: Mapping[Network, Sequence[str]]
    before: Networks
    now: Networks

    def call(self, operation: str, role: str, *parts: str) -> Call:
        """Return a call to the list's path or a path below it. ``operation`` is such as "read"."""
        operation = f"{operation} the access list of the {self.owners.resource.noun} {self.owner}"
        return self.owners.call(operation, role, self.owner.id, self.name, *parts)

    @property
    def is_changed(self) -> bool:
        return self.before != self.now

    def result(self) -> dict[str, Any]:
        """Return the result of a task that has changed the list."""
        before, after = ({"entries": in_order(entries)} for entries in (self.before, self.now))
        return {
            "changed": self.is_changed,
            self.lists.result_name: {**self.lists.identity(self.owner), **after},
            "diff": {"before": before, "after": after},
        }


def normalize(entries: Iterable[str], option: str = "entries") -> Networks:
    """Return the networks of a task's entries. Raises OptionError."""
    return frozenset(_normalize(entry, option) for entry in entries)


def _normalize(entry: str, option: str) -> Network:
    text = quoted(entry, 80)
    try:
        network = _network(entry)
    except ValueError:
        raise OptionError(
            f"{option} has {text}, which is not an IP address or CIDR block",
            hint=(
                "An entry is an IPv4 or IPv6 address or a block of addresses, such as 192.0.2.7, "
                "192.0.2.0/24 or 2001:db8::/32, without spaces."
            ),
        ) from None
    address = entry.partition("/")[0]
    if ipaddress.ip_address(address) != network.network_address:
        raise OptionError(
            f"{option} has {text}, which has host bits set",
            hint=f"Use {network} or {address}.",
        )
    return network


def _network(text: str) -> Network:
    """Return the network of a text, which may have host bits set. Raises ValueError."""
    # A zone ("fe80::1%eth0") is meaningful only on its own host.
    return ipaddress.ip_network("" if "%" in text else text, strict=False)


def to_display(network: Network) -> str:
    """Return a network as results show it: a single address without a prefix length."""
    is_address = network.prefixlen == network.max_prefixlen
    return str(network.network_address if is_address else network)


def to_api(network: Network) -> str:
    """Return a network as requests need it, without "::" (docs/apis.md: Access lists)."""
    if network.version == 4:
        return to_display(network)
    groups = network.network_address.exploded.split(":")
    address = ":".join(f"{int(group, 16):x}" for group in groups)
    return address if network.prefixlen == 128 else f"{address}/{network.prefixlen}"


def in_order(networks: Iterable[Network]) -> list[str]:
    """Return networks as results show them, in numerical order with IPv4 first."""
    return [to_display(network) for network in sorted(networks, key=_sort_key)]


def _sort_key(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def parse_entry(data: Any) -> tuple[Network, str] | None:
    """Return the network that an entry's JSON describes, and the text that a DELETE needs.

    Schema: UserAccessListResponse: a block, an address, or an address and its block. Returns None
    if the JSON is not an object. Raises UnreadableError.
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
        # Others may have added an entry with host bits set.
        network = _network(value or "")
        is_address = network.prefixlen == network.max_prefixlen
        name, value = "ipAddress", address
        # It becomes part of a path: anything but an address could lead to another object.
        if is_address and address and _network(address) != network:
            raise ValueError(address)
    except ValueError:
        raise UnreadableError(_ENTRY, name, value) from None
    return network, (address if address and is_address else block) or str(address)


def check_size(planned: AccessList[Obj]) -> None:
    """Refuse a change that would give a list too many entries. Raises LimitError.

    Entries are added before others are removed, so that the list is never empty.
    """
    count, most = len(planned.before | planned.now), planned.lists.max_entries
    if most is not None and planned.now - planned.before and count > most:
        until = " until others are removed" if planned.before - planned.now else ""
        raise LimitError(
            f"The access list of {planned.owners.resource.noun} {planned.owner} would have {count} "
            f"entries{until}, but the API allows {most}. Nothing was changed",
            hint="Use CIDR blocks that cover several addresses, or remove entries first.",
        )


def beyond(networks: Networks, limits: Networks) -> Networks | None:
    """Return the networks that a list allows and another one does not, None if there are none.

    An empty list allows every address. If it goes beyond the other one, return an empty set.
    """
    if not limits:
        return None
    blocks = _collapse(limits)
    wider = frozenset(
        network
        for network in networks
        if not any(network.subnet_of(block) for block in blocks[network.version])
    )
    return wider if wider or not networks else None


def _collapse(networks: Iterable[Network]) -> dict[int, list[Any]]:
    """Return the largest blocks that a list covers, by IP version."""
    by_version: dict[int, list[Any]] = {4: [], 6: []}
    for network in networks:
        by_version[network.version].append(network)
    return {number: [*ipaddress.collapse_addresses(some)] for number, some in by_version.items()}


def warn_of_opening(
    api: Client, resource: Resource[Obj], which: str, before: Networks | None, after: Networks
) -> None:
    """Warn if an access list becomes empty or will allow every address.

    ``which``: identifies the object. ``before``: None for an object that does not exist yet.
    """
    noun = resource.noun
    if not after and before != after:
        api.warnings.append(
            f"The access list of {noun} {which} becomes empty. If the organization requires an API "
            f"access list, the {noun} can no longer be used. Otherwise it can be used from any "
            f"address, unless the organization applies its UI access list to {noun}s, which the "
            "API does not show."
        )
    opened = _unlimited(after) - _unlimited(before or ())
    if opened:
        versions = " and ".join(f"IPv{version}" for version in sorted(opened))
        api.warnings.append(
            f"The access list of {noun} {which} will allow every {versions} address, so it no "
            f"longer limits where the {noun} can be used from."
        )


def _unlimited(networks: Iterable[Network]) -> set[int]:
    """Return the IP versions for which a list covers every address."""
    blocks = _collapse(networks)
    return {number for number, some in blocks.items() if any(b.prefixlen == 0 for b in some)}


def read(api: Client, lists: AccessLists[Obj], org_id: str, owner: Obj) -> AccessList[Obj]:
    """Return the access list of an object, under the name that the API uses.

    Raises MissingError if the API no longer finds the object.
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
            # If neither name is known, the error about the current one helps more.
            raise error if _is_unknown_path(other) else other from None


def name_for_new(api: Client, lists: AccessLists[Obj], org_id: str, existing: Sequence[Obj]) -> str:
    """Return the name of the access lists of new objects, which is that of existing ones."""
    if existing and lists.old_name and api.endpoint.platform != ATLAS:
        return read(api, lists, org_id, existing[0]).name
    return lists.name


def of_new(lists: AccessLists[Obj], org_id: str, owner: Obj, name: str) -> AccessList[Obj]:
    """Return the empty access list of a new object."""
    return AccessList(lists, lists.resource.of(org_id), owner, name, {}, frozenset(), frozenset())


def change(api: Client, found: AccessList[Obj], goal: Goal) -> AccessList[Obj]:
    """Change a list to its goal, with all additions first in one request, and return it.

    An error's ``results`` show what exists now.
    """
    access_list = _add(api, found, goal)
    for entry in in_order(access_list.now - goal.of(access_list.now)):
        try:
            api.cancellation.check()
        except CancelledError as error:
            raise _changed(access_list, error) from None
        access_list = _remove(api, access_list, ipaddress.ip_network(entry))
    return access_list


def _read(api: Client, access_list: AccessList[Obj]) -> AccessList[Obj]:
    call = access_list.call("read", access_list.owners.reader)
    try:
        entries = api.pages(call, parse_entry, lambda entry: entry[1])
    except ApiError as error:
        raise _explained(error, access_list) from None
    texts: dict[Network, list[str]] = {}
    for network, text in entries:
        texts.setdefault(network, []).append(text)
    return replace(access_list, texts=texts, before=frozenset(texts), now=frozenset(texts))


def _add(api: Client, access_list: AccessList[Obj], goal: Goal) -> AccessList[Obj]:
    """Add what is missing. After a concurrent change, read the list again and add the rest."""
    backoff = _resource.Backoff(api, deadline=api.clock.now() + _resource.SETTLE_TIME)
    while True:
        missing = goal.of(access_list.now) - access_list.now
        if not missing:
            return access_list
        try:
            _post(api, access_list, missing)
        except KeysmithError as error:
            if error.code not in _ALREADY_THERE or backoff.is_over:
                return _resolve_outcome(api, access_list, error, access_list.now | missing)
            try:
                backoff.wait()
                access_list = _read(api, access_list)
            except KeysmithError as failure:
                raise _changed(access_list, failure) from None
        else:
            return replace(access_list, now=access_list.now | missing)


def _parse_list(data: Any, resource: Resource[Obj], added: Networks) -> bool | None:
    """Accept the list with everything that was added, or a page of a longer list."""
    if not isinstance(data, dict) or not isinstance(data.get("results"), list):
        return None
    entries = [parse_entry(item) for item in data["results"]]
    total = data.get("totalCount", len(entries))
    if None in entries or not isinstance(total, int) or total > len(entries):
        return True
    missing = added - {entry[0] for entry in entries if entry}
    if missing:
        raise _resource.contradicted(resource, f"shows a list without {_to_text(missing)}")
    return True


def _post(api: Client, access_list: AccessList[Obj], networks: Networks) -> None:
    texts = [to_api(network) for network in sorted(networks, key=_sort_key)]
    body = [{"cidrBlock" if "/" in text else "ipAddress": text} for text in texts]
    resource = access_list.owners.resource
    call = access_list.call(f"add {_to_text(networks)} to", ORG_OWNER)

    def send() -> None:
        api.post(call, body, lambda data: _parse_list(data, resource, networks))

    try:
        _resource.retry_unknown(api, resource, access_list.owner.id, send)
    except ApiError as error:
        raise _explained(error, access_list) from None


def _remove(api: Client, access_list: AccessList[Obj], network: Network) -> AccessList[Obj]:
    """Remove an entry. If others have removed it, it was not there before either."""
    left = access_list.now - {network}
    is_done = False
    for text in access_list.texts[network]:
        try:
            _delete(api, access_list, text)
        except KeysmithError as error:
            if not _is_gone(api, access_list, network, error):
                error = _explained(error, access_list)
                return _resolve_outcome(api, access_list, error, left)
            is_done |= error.outcome_unknown
        else:
            is_done = True
    before = access_list.before if is_done else access_list.before - {network}
    return replace(access_list, before=before, now=left)


def _is_gone(
    api: Client, access_list: AccessList[Obj], network: Network, error: KeysmithError
) -> bool:
    """Whether an error proves that an entry does not exist.

    If the codes are not known, any error that is not about the path may mean this. Then the list
    decides.
    """
    codes = access_list.lists.missing
    if not isinstance(error, ApiError) or error.status not in {400, 404}:
        return False
    if codes or _is_unknown_path(error):
        return error.code in codes
    try:
        return network not in _read(api, access_list).now
    except KeysmithError:
        return False


def _delete(api: Client, access_list: AccessList[Obj], text: str) -> None:
    """Delete an entry. Raises MissingError if a second read confirms that the owner is missing."""
    resource, owner = access_list.owners.resource, access_list.owner
    call = access_list.call(f"remove {text} from", ORG_OWNER, quote(text, safe=""))

    def is_owner_shown() -> bool:
        if _resource.find_by_id(api, access_list.owners, owner.id) is None:
            state = (
                f"A second read some seconds later shows that the {resource.noun} is still missing."
            )
            error = _resource.missing_error(resource, owner, _explanation(resource))
            raise error.with_context(state_after=state)
        return True

    _resource.delete_known(
        api,
        lambda: api.delete(call),
        lambda error: _resource.says_missing(error, resource, owner.id),
        is_owner_shown,
    )


def _resolve_outcome(
    api: Client, access_list: AccessList[Obj], error: KeysmithError, expected: Networks
) -> AccessList[Obj]:
    """Return the list if a request took effect although it ended in an error.

    ``expected``: what the list has then. Otherwise raises the error with what exists now. The
    request is not repeated, because the API may not show a change yet.
    """
    if not error.outcome_unknown:
        raise _changed(access_list, error)
    affected = access_list.now ^ expected
    try:
        read_now = _resource.poll_after(
            api,
            lambda: _read(api, access_list).now,
            lambda now: affected & now == affected & expected,
        )
    except KeysmithError:
        raise error.with_context(
            state_after=f"Before this request the access list had {_to_text(access_list.now)}. "
            f"Whether {_to_text(affected)} was changed is not known, because the list cannot be "
            "read now. Run the task again to find out; that is safe.",
            results=access_list.result(),
            now=access_list,
        ) from None
    # Other changes of this task may not be shown yet.
    access_list = replace(access_list, now=access_list.now - affected | read_now & affected)
    if access_list.now == expected:
        return access_list
    raise _changed(access_list, error)


def _changed(access_list: AccessList[Obj], error: KeysmithError) -> KeysmithError:
    """Return an error with what exists now."""
    state = error.state_after
    if error.outcome_unknown or access_list.is_changed:
        state = (
            f"The access list {'was read again and ' if error.outcome_unknown else ''}now has "
            f"{_to_text(access_list.now)}. Run the task again to do the rest; that is safe."
        )
    return error.with_context(results=access_list.result(), now=access_list, state_after=state)


def _explained(error: KeysmithError, access_list: AccessList[Obj]) -> KeysmithError:
    """Explain what an error means for an access list."""
    resource = access_list.owners.resource
    if error.code in _CALLER_STAYS:
        error = error.with_context(
            hint=f"The API does not let {resource.a_noun} remove its own access: this request "
            "comes from an address that no other entry of the list covers. Add an entry that "
            "covers it, or remove this one with another credential or from another address."
        )
    return _resource.as_missing_error(error, resource, access_list.owner, _explanation(resource))


def _explanation(resource: Resource[Obj]) -> str:
    return f"An access list is deleted with its {resource.noun}."


def _is_unknown_path(error: ApiError) -> bool:
    return (
        error.status == 404
        and error.code == "RESOURCE_NOT_FOUND"
        and is_about_path(error.parameters)
    )


def _to_text(networks: Iterable[Network]) -> str:
    return sanitize(", ".join(in_order(networks))) or "no entries"
