"""How the page of maintenance, the status page and pages of errors look."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from .browser import Tab, apart, overflow, violations
from .maintaining import maintenance
from .stack import Stack

LOOKS = [
    ({"width": 1280, "height": 800}, "light"), ({"width": 1280, "height": 800}, "dark"),
    ({"width": 375, "height": 720}, "light"), ({"width": 375, "height": 720}, "dark"),
]  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_the_pages_are_accessible_in_every_look(
    live_stack: Stack, open_tab: Callable[..., Tab], size: Any, scheme: str
) -> None:
    tab = open_tab(path="/status/", viewport=size, color_scheme=scheme)
    expect(tab.page.locator("h1")).to_be_visible()
    seen = [(violations(tab), overflow(tab))]
    tab.page.goto(live_stack.url + "/nothing-here")
    expect(tab.page.locator("h1")).to_have_text("Nothing here")
    seen.append((violations(tab), overflow(tab)))
    apart(maintenance, live_stack, "on")
    try:
        tab.page.goto(live_stack.url)
        expect(tab.page.locator("h1")).to_have_text("The service is being worked on")
        seen.append((violations(tab), overflow(tab)))
    finally:
        apart(maintenance, live_stack, "off")
    assert seen == [([], 0)] * 3
    tab.complaints.clear()  # the browser says of each page that it was answered with 404 or 503
