"""Maintenance of running processes."""

import io
import urllib.error
import urllib.request

from django.core.management import call_command

from .stack import Stack, wait_until


def page_of(stack: Stack) -> int:
    """The status that the landing page is answered with."""
    request = urllib.request.Request(stack.url, headers={"Accept": "text/html"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)


def maintenance(stack: Stack, state: str) -> None:
    """Begin or end it, and wait until the web process knows."""
    call_command("maintenance", state, stdout=io.StringIO())
    wait_until(lambda: page_of(stack) == (503 if state == "on" else 200), f"maintenance {state}")
