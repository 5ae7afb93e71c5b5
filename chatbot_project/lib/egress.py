"""Where this server may connect to, judged by the resolved address at the moment of connecting.

A name may resolve to anything, and to something else the next time it is asked for, so a check of the URL alone keeps
nobody in. Two kinds of places are told apart:

- what the operator has set (model servers, a translation service's own address) may be on this machine or in a private
  network, as models mostly are;
- anything else (an address of a public service, of a hook) may not.

Neither may be a cloud's metadata service or an address that is nobody's. Redirects are followed by no client of ours.
"""

import errno
import ipaddress
import re
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressInfo = tuple[int, int, int, str, tuple[str | int, ...]]

# Metadata services outside the link-local networks: Amazon's over IPv6, Alibaba's.
METADATA = {ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # carries an IPv4 address in its last 32 bits


class ForbiddenAddress(OSError):
    """The name resolves to an address that is not connected to."""


class BadURL(ValueError):
    """The URL is none to connect to; the text says why, without the URL."""


def is_forbidden(address: Address) -> bool:
    """Whether nothing may be sent there, whoever asks for it. IPv4 within IPv6 is judged by the IPv4 address."""
    if (inner := _ipv4_within(address)) is not None:
        return is_forbidden(inner)
    if address.version == 6 and address.is_loopback:
        return False  # lies within what IPv6 reserves
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or address in METADATA
    )


def is_private(address: Address) -> bool:
    """Whether it is this machine or a network that is not the internet."""
    inner = _ipv4_within(address)
    return not (address if inner is None else inner).is_global


def _ipv4_within(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]


def socket_guard(*, private: bool) -> Callable[[AddressInfo], socket.socket]:
    """What makes the sockets of an aiohttp connector; ``private`` addresses are allowed or not.

    It is asked with the very address that is connected to next, so nothing can change in between. The sockets are
    refused with ``ForbiddenAddress``.
    """

    def make(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _name, target = info
        address = ipaddress.ip_address(str(target[0]).partition("%")[0])
        if is_forbidden(address) or (not private and is_private(address)):
            raise ForbiddenAddress(errno.EACCES, f"{address} is not connected to")
        return socket.socket(family=family, type=kind, proto=protocol)

    return make


def check_url(url: str) -> None:
    """Raise ``BadURL`` for one that nobody should send a key to: of another scheme than http and https, with a user or
    password, a query, odd characters, or an address that is written oddly or always forbidden.

    Says nothing of where a name leads: that is ``socket_guard``'s.
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise BadURL("the URL does not parse") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise BadURL("the URL must start with http:// or https:// and name a host")
    if "@" in parts.netloc:
        raise BadURL("the URL must not hold a user name or password; use api_key")
    if parts.query or parts.fragment or any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        raise BadURL("the URL must be a plain base address such as https://host/v1")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # 0x7f.1, 2130706433 and 0177.0.0.1 are addresses to a resolver and names to everything that checks them.
        if re.fullmatch(r"(0x[0-9a-f]*|\d+)", host.rstrip(".").rpartition(".")[2]):
            raise BadURL("write the address as four decimal numbers") from None
    else:
        if is_forbidden(address):
            raise BadURL("this address is reserved and never a model server")
