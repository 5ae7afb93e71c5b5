"""Replies that come of the FAQ in a real browser: their sources, what is offered, and the way on to a person."""

import re

import pytest
from playwright.sync_api import expect

from accounts.models import User
from conversations.models import HandOver
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .browser import OpenTab, Tab
from .knowledge_stack import PIN_ANSWER, make_knowing_persona, make_knowledge
from .test_browser_page import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PIN, OFF_TOPIC = "How do I reset the PIN of my card?", "Which volcano on Iceland erupted last winter?"


@pytest.fixture
def tab(open_tab: OpenTab, owner: User) -> Tab:
    make_knowledge()
    make_knowing_persona()
    return open_tab(owner)


def test_sources_stand_below_a_reply_and_open_the_faq(tab: Tab, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(tokens=["Choose ", "**Reset PIN** ", "[1]."], token_ms=40))
    tab.ask(PIN)
    tab.ends()
    for _loaded in range(2):  # as it streamed, and as the server renders it
        sources = tab.reply.locator("[data-citations]")
        expect(sources).to_be_visible()
        expect(sources.get_by_role("listitem")).to_have_count(1)
        expect(sources.get_by_role("link", name=PIN)).to_have_attribute(
            "href", re.compile(r"^/help/faq/[0-9a-f-]{36}/$")
        )
        expect(tab.text).to_contain_text("[1]")
        expect(tab.reply.locator("[data-source]")).to_be_hidden()
        expect(tab.reply.locator("[data-offers]")).to_be_hidden()
        assert violations(tab) == []
        tab.page.reload()
    with tab.page.context.expect_page() as opened:
        tab.reply.locator("[data-citations]").get_by_role("link", name=PIN).click()
    expect(opened.value.get_by_role("heading", name=PIN)).to_be_visible()


def test_what_is_not_known_offers_other_words_a_contact_and_a_person(tab: Tab, fake_model: FakeModelServer) -> None:
    tab.ask(OFF_TOPIC)
    tab.ends()
    expect(tab.text).to_contain_text("I do not know")
    offers = tab.reply.locator("[data-offers]")
    link = offers.get_by_role("link", name="help@example.com")
    expect(link).to_have_attribute("href", "mailto:help@example.com")
    assert violations(tab) == []
    second = tab.another(f"/c/{tab.conversation}/")
    expect(second.button("Ask for a person", second.reply)).to_be_visible()
    tab.page.bring_to_front()
    tab.button("Ask for a person", offers).press("Enter")
    for each in (tab, second):
        told = each.reply.locator("[data-handed]")
        expect(told).to_be_visible()
        expect(each.button("Ask for a person", each.reply)).to_be_hidden()
    assert HandOver.objects.count() == 1
    tab.page.reload()
    expect(tab.reply.locator("[data-handed]")).to_be_visible()
    fake_model.enqueue(Script(tokens=["Here [1]"]))
    tab.page.wait_for_load_state()
    tab.button("Ask in other words", tab.reply).click()
    field = tab.page.get_by_label("Your question in other words")
    expect(field).to_be_focused()
    field.fill(PIN)
    field.press("Enter")
    expect(tab.reply.locator("[data-citations]").get_by_role("link")).to_have_count(1)
    expect(tab.reply.locator("[data-offers]")).to_be_hidden()


def test_an_approved_answer_says_so_also_where_the_assistant_is_offline(tab: Tab, fake_model: FakeModelServer) -> None:
    fake_model.default = Script(status=400)
    tab.ask(PIN)
    tab.ends()
    for _loaded in range(2):
        expect(tab.reply.locator("[data-source]")).to_have_text("Approved answer, assistant offline")
        expect(tab.text).to_contain_text(PIN_ANSWER[:12])
        expect(tab.reply.locator("[data-state]")).to_be_hidden()
        assert violations(tab) == []
        tab.page.reload()


def test_sources_are_announced_with_the_reply(tab: Tab, fake_model: FakeModelServer) -> None:
    tab.page.evaluate(
        """() => {
          window.heard = [];
          const region = document.querySelector('[data-announcer]');
          new MutationObserver(() => window.heard.push(region.textContent)).observe(region, {childList: true});
        }"""
    )
    fake_model.enqueue(Script(tokens=["Choose ", "it [1]."], token_ms=60))
    tab.ask(PIN)
    tab.ends()
    tab.page.wait_for_function(f"window.heard.some((line) => line.includes('Sources: {PIN}'))")
