"""Fixtures of the browser tests."""

from .browser import module_server, open_page, server  # noqa: F401  fixtures
