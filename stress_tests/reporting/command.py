"""What all stress commands have in common: bounded arguments, loopback alone, three files, one meaning of exit codes.

0: nothing was lost or doubled. 1: something was, or with ``--strict`` a figure was missed. 2: it could not run.
"""

import argparse
import ipaddress
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .page import report_page
from .report import Report
from .text import report_text

Parameters = argparse.Namespace
DEFAULT_DIRECTORY = Path("var/stress")


def between(least: float, most: float, kind: Callable[[str], Any] = int) -> Callable[[str], Any]:
    """An argument's type: a number from ``least`` to ``most``."""

    def bounded(word: str) -> Any:
        value = kind(word)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{word} is not between {least:g} and {most:g}")
        return value

    bounded.__name__ = kind.__name__
    return bounded


def at_least(least: int) -> Callable[[str], int]:
    """An argument's type: a whole number not below ``least``."""
    return between(least, 10**9)


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


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--out`` and ``--strict``."""
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=DEFAULT_DIRECTORY,
        help=f"for the files (default {DEFAULT_DIRECTORY})",
    )
    parser.add_argument("--strict", action="store_true", help="fail where a figure was missed as well")


def finish(report: Report, options: Parameters) -> int:
    """Print the report, write ``NAME.json`` and ``NAME.html``; returns the exit code."""
    print(report_text(report))
    options.out.mkdir(parents=True, exist_ok=True)
    as_json, page = options.out / f"{report.name}.json", options.out / f"{report.name}.html"
    as_json.write_text(json.dumps(report.as_json(), indent=1, ensure_ascii=False) + "\n")
    page.write_text(report_page(report))
    print(f"\n{as_json}\n{page}")
    return 0 if report.is_sound and (report.is_reached or not options.strict) else 1


def say(what: str) -> None:
    """Progress, apart from the result."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


def raise_file_limit() -> None:
    """As many descriptors as this process may have: a socket is one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
