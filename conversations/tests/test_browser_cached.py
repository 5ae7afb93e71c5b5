"""A reply that was given before, in a real browser: it says so, and the model can be asked anew."""

import pytest
from playwright.sync_api import expect

from accounts.models import User
from stress_tests.fake_model import FakeModelServer

from .browser import OpenTab, Tab, hold_snapshots, overflow, violations
from .factories import make_persona
from .stack import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
QUESTION = "What is a tree?"


def pressable(tab: Tab) -> list[tuple[str, dict[str, float] | None]]:
    """Where the last reply's buttons are."""
    return [(button.inner_text(), button.bounding_box()) for button in tab.reply.get_by_role("button").all()]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_a_cached_reply_says_so_and_can_be_asked_anew(
    open_tab: OpenTab, owner: User, other: User, fake_model: FakeModelServer, width: int, scheme: str
) -> None:
    make_persona(cache_hours=24)
    first = open_tab(other)
    first.ask(QUESTION)
    # The first question of a worker waits for the model that compares questions to be loaded.
    expect(first.reply).to_have_attribute("data-status", "completed", timeout=30_000)
    expect(first.reply.locator("[data-cached]")).to_be_hidden()
    tab = open_tab(owner, viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.ask(QUESTION)
    tab.ends()
    for _loaded in range(2):  # as it was told, and as the server renders it
        told = tab.reply.locator("[data-cached]")
        expect(told).to_contain_text("Answered before:")
        expect(told.locator("time")).not_to_be_empty()
        assert violations(tab) == []
        assert overflow(tab) <= 0
        tab.page.reload()
    assert len(fake_model.requests) == 1
    snapshots = hold_snapshots(tab)
    tab.page.reload()
    before = pressable(tab)
    wait_until(lambda: tab.page.wait_for_timeout(10) or snapshots, "the snapshot")
    snapshots.pop()()
    wait_until(lambda: tab.reply.evaluate("reply => Boolean(reply.shown)"), "the page as the snapshot has it")
    assert pressable(tab) == before, "nothing that somebody may be about to press moves when the page is connected"
    tab.button("Ask the model anew", tab.reply).click()
    expect(told).to_be_hidden()
    tab.ends()
    assert len(fake_model.requests) == 2
