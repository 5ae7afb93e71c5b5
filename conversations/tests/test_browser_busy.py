"""When everybody asks at once, in a real browser: who waits sees where and for how long, who is turned away keeps their
question, and it is sent again."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from playwright.sync_api import expect

from accounts.models import User
from accounts.tests.factories import make_user
from conversations.models import Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer

from .browser import NARROW, WIDE, OpenTab, Tab, apart, overflow, violations
from .factories import make_persona
from .stack import SLOW_MODEL, Stack, slow_provider, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def narrow_stack(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    """One question may wait, and nobody answers it: no worker knows its provider."""
    slow = slow_provider(fake_model_session.base_url)
    with Stack(fake_model_session.base_url, workers=0, BUSY_QUEUE="1", **slow) as stack:
        yield stack


@pytest.fixture
def line(narrow_stack: Stack, live_stack: Stack) -> Iterator[str]:
    """Where the line is, while nobody else's workers answer either."""
    live_stack.pause_workers()
    yield narrow_stack.url
    live_stack.resume_workers()


@pytest.fixture
def persona(transactional_db: None) -> Persona:
    """Asks the provider that no worker knows."""
    return make_persona(model=SLOW_MODEL)


def is_taken(tab: Tab) -> bool:
    """Whether the question is, which is sent again otherwise. The line is read once a second: until then people are
    turned away for somebody who has left it."""
    again = tab.button("Try again", within=tab.question)
    if again.is_visible():
        with suppress(PlaywrightTimeoutError):  # it went with the press before
            again.click(timeout=500)
    return tab.reply.count() > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_who_is_turned_away_keeps_the_question_and_sends_it_again(
    line: str, open_tab: OpenTab, owner: User, persona: Persona, scheme: str
) -> None:
    waiting = open_tab(owner, url=line, color_scheme=scheme)
    waiting.ask("Me first")
    wait_until(lambda: is_taken(waiting), "the first question to be taken")
    expect(waiting.reply.locator("[data-state-text]")).to_have_text("Next in line …")
    away = open_tab(apart(make_user), url=line, color_scheme=scheme)
    away.ask("And me?")
    state = away.question.locator("[data-state-text]")
    expect(state).to_contain_text("You would be number 2 in line.")
    expect(state).to_contain_text("Your question is kept and will be sent again by itself.")
    for size in (WIDE, NARROW):
        away.page.set_viewport_size(size)
        assert overflow(away) == 0
    assert violations(away) == []
    away.page.reload()
    expect(state).to_contain_text("You would be number 2 in line.")
    assert apart(Message.objects.filter(role="user").count) == 1

    waiting.button("Stop the reply").click()
    expect(waiting.reply).to_have_attribute("data-status", "stopped")

    wait_until(lambda: is_taken(away), "the question to be taken")
    expect(away.reply.locator("[data-state-text]")).to_have_text("Next in line …")
