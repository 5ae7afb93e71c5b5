"""Load goes to this machine alone. Imports nothing of the product: programs that load it from outside use it, too."""

import argparse
import ipaddress
from urllib.parse import urlsplit


def loopback_url(word: str) -> str:
    """An argument's type: the http address of a server on this machine. Load is never sent anywhere else, nor is a
    name looked up: it could lead elsewhere."""
    parts = urlsplit(word)
    if parts.scheme != "http" or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{word} is no http:// address")
    if parts.hostname != "localhost" and not _is_loopback(parts.hostname):
        raise argparse.ArgumentTypeError(
            f"{parts.hostname} is not this machine: load goes to loopback alone (127.0.0.1, ::1, localhost)"
        )
    return word.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
