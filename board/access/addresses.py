"""Where a request comes from, behind reverse proxies too."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from board.settings import Network

_MOST_HOPS = 20


def peer_of(scope: Scope) -> str:
    """The address at the other end of the connection; `unknown` where the server does not say."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of some networks. IPv4 in IPv6 notation counts as IPv4."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in networks)


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """The address of the client. `X-Forwarded-For` counts only as far as trusted proxies have written it: the first
    address from the right that is none of them."""
    address = peer_of(scope)
    if not within(address, trusted):
        return address
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    for each in reversed(forwarded[-_MOST_HOPS:]):
        hop = each.strip()
        try:
            address = str(ip_address(hop))
        except ValueError:
            return address
        if not within(address, trusted):
            return address
    return address
