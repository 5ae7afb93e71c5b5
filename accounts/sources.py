"""Where a request comes from, for limits only."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The client's IP address as the outermost trusted proxy saw it; ``"unknown"`` where nothing tells.

    ``TRUSTED_PROXY_HOPS`` proxies of ours stand in front, each of which appends the address it was called from to
    X-Forwarded-For. That many entries from the right are true; what stands left of them is the client's word.
    """
    return _seen_by_proxies(request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", ""))


def _seen_by_proxies(peer: str, header: str) -> str:
    hops: int = settings.TRUSTED_PROXY_HOPS
    if hops:
        forwarded = [part.strip() for part in header.split(",")]
        if len(forwarded) >= hops:
            peer = forwarded[-hops]
    return peer if _parsed(peer) else "unknown"


def client_source(request: HttpRequest) -> str:
    """What limits count as one source: an IPv4 address, or the /64 that one IPv6 subscriber owns."""
    return _source(client_address(request))


def scope_source(scope: Mapping[str, Any]) -> str:
    """``client_source`` of an ASGI connection, such as a socket's."""
    # Headers of one name are one list, as in the request of an HTTP server.
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    peer = scope.get("client") or ("", 0)
    return _source(_seen_by_proxies(str(peer[0]), forwarded))


def _source(text: str) -> str:
    address = _parsed(text)
    if address is None:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
