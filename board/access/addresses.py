"""Where a request comes from, behind reverse proxies too."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from board.settings import Network

_MOST_HOPS = 20


def peer_of(scope: Scope) -> str:
    """The address at the other end of the connection, IPv4 in its own notation; `unknown` where the server does not
    say."""
    client = scope.get("client")
    given = str(client[0]) if client else "unknown"
    found = _parsed(given)
    return given if found is None else str(found)


def within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of some networks. IPv4 in IPv6 notation counts as IPv4."""
    found = _parsed(address)
    return found is not None and any(found in network for network in networks)


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """The address of the client. `X-Forwarded-For` counts only as far as trusted proxies have written it: the first
    address from the right that is none of them."""
    address = peer_of(scope)
    if not within(address, trusted):
        return address
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    for each in reversed(forwarded[-_MOST_HOPS:]):
        found = _parsed(_without_port(each.strip()))
        if found is None:
            return address
        address = str(found)
        if not within(address, trusted):
            return address
    return address


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """An address; IPv4 in IPv6 notation is IPv4."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    mapped: IPv4Address | None = getattr(found, "ipv4_mapped", None)
    return mapped or found


def _without_port(hop: str) -> str:
    """`192.0.2.1:4711` and `[2001:db8::1]:4711`, as some proxies write them."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
