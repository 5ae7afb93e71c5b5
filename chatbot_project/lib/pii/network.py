"""IP addresses."""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

# Not after "v" or "version", nor as a part of something longer: 1.2.3.4.5 is no address.
_IPV4 = re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w]|\.[0-9])")
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-f:]{4,39}(?:(?<=:)(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![\w:])", re.I)
_VERSION = re.compile(r"\b(?:v|version|release)[ .:]?\Z", re.I)


def ips(text: str) -> Iterator[tuple[int, int]]:
    """Addresses of somebody's machine, not those that are everybody's."""
    for match in _IPV4.finditer(text):
        if _is_somebodys(IPv4Address, match[0]) and not _VERSION.search(
            text[max(0, match.start() - 10) : match.start()]
        ):
            yield match.span()
    for match in _IPV6.finditer(text):
        # With a digit and at least three parts: a::b is more often code than an address.
        if match[0].count(":") >= 2 and any(c.isdigit() for c in match[0]) and _is_somebodys(IPv6Address, match[0]):
            yield match.span()


def _is_somebodys(parse: type[IPv4Address] | type[IPv6Address], written: str) -> bool:
    """True for an address; the loopback and the unspecified one are everybody's."""
    try:
        address = parse(written)
    except AddressValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)
