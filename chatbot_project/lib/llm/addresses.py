"""Addresses that no model server has, refused at the moment of connecting, after the name was resolved.

The machine's own and private networks stay allowed: that is where an operator's models run. What is refused is what a
name in a provider's URL could be pointed at to reach a cloud's metadata service or nobody at all.
"""

import ipaddress
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Metadata services outside the link-local networks: Amazon's over IPv6, Alibaba's.
METADATA = {ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")}


class ForbiddenAddress(OSError):
    """The name resolves to an address that is never a model server."""


def is_forbidden(address: Address) -> bool:
    """Whether nothing may be sent there. IPv4 within IPv6 is judged by the IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return is_forbidden(inner)
        # The translation prefix of NAT64 carries an IPv4 address in its last 32 bits.
        if address in ipaddress.ip_network("64:ff9b::/96"):
            return is_forbidden(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.is_loopback:
            return False
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or address in METADATA
    )


def guarded_socket(info: "tuple[int, int, int, str, tuple[str | int, ...]]") -> socket.socket:
    """A socket for a resolved address, as aiohttp's connector asks for it. Raises ``ForbiddenAddress``."""
    family, kind, protocol, _, target = info
    address = ipaddress.ip_address(str(target[0]).partition("%")[0])
    if is_forbidden(address):
        raise ForbiddenAddress(f"{address} is never a model server")
    return socket.socket(family=family, type=kind, proto=protocol)
