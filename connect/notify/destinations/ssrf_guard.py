"""Refuses private addresses where a connection is made, whatever a name resolved to before or an address looks like."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

#: IANA, "Special-Purpose Address Registry" of IPv4 and of IPv6: networks that are not global, where releases of Python
#: differ or say nothing. Exceptions inside these networks serve no notification, so they are refused too.
_NOT_GLOBAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20"),
    )
)
#: All addresses of IPv6 that are routed globally, except those that represent IPv4 addresses.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_TEREDO = ipaddress.ip_network("2001::/32")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: NAT64 within one network; releases of Python differ in what they call it.
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class PrivateAddressError(OSError):
    """A destination resolves to an address that is not allowed. The text names the kind of address, not the address."""


def refusal(address: str) -> str | None:
    """Why nothing may be sent to an IP address, or None. IPv4 inside IPv6 is looked at too."""
    try:
        found: _Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "no IP address"
    return next((why for each in _effective_addresses(found) if (why := _kind(each)) is not None), None)


def _effective_addresses(address: _Address) -> list[_Address]:
    """The address, or those that packets to it end at."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or address in _NAT64:
        return [last]
    inside = [each for each in (address.sixtofour, *(address.teredo or ())) if each is not None]
    return [*inside, address]  # what is inside tells more: some releases of Python call all of 2002::/16 private


def _kind(address: _Address) -> str | None:
    if address in _LOCAL_NAT64:
        return "reserved"
    for kind in ("unspecified", "loopback", "link_local", "multicast", "site_local", "private", "reserved"):
        if getattr(address, f"is_{kind}", False):
            return kind.replace("_", "-")
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return "not public"
    if address not in _TEREDO and any(address in network for network in _NOT_GLOBAL):
        return "not public"
    return None if address.is_global else "not public"


def guarded_socket(info: Any) -> socket.socket:
    """For aiohttp's `socket_factory`: the socket of an address that may be connected to. Raises PrivateAddress."""
    family, kind, protocol, _, address = info
    why = refusal(str(address[0]))
    if why is not None:
        raise PrivateAddressError(f"it leads to an address that is {why}; allow_private: true allows that")
    return socket.socket(family, kind, protocol)
