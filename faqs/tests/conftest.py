"""Fixtures of the browser tests."""

from .browser import open_page, server  # noqa: F401  fixtures
