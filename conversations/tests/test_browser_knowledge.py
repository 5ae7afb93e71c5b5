"""Replies that come of the FAQ in a real browser: their sources, what is offered, the way on to a person, and how a
question that nobody could answer becomes an FAQ that does."""

import re

import pytest
from playwright.sync_api import expect

from accounts.models import Consent, User
from accounts.tests.factories import make_moderator
from conversations.models import HandOver
from faqs.models import FAQ, Gap
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .browser import OpenTab, Tab, apart
from .knowledge_stack import PIN_ANSWER, make_knowing_persona, make_knowledge
from .stack import CeleryWorker, Stack, wait_until
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
    # The page's Content-Security-Policy ends whatever Playwright would have it ask again and again.
    wait_until(lambda: f"Sources: {PIN}" in " ".join(tab.page.evaluate("window.heard")), "the sources in what is heard")


def ask_and_open_the_source(guest: Tab, question: str, source: str, answer: str) -> None:
    """Ask, and read the approved answer on the page that the reply's only citation opens."""
    guest.ask(question)
    guest.ends()
    link = guest.reply.locator("[data-citations]").get_by_role("link")
    expect(link).to_have_text([source])
    with guest.page.context.expect_page() as opened:
        link.click()
    faq = Tab(opened.value, guest.url, guest.complaints)
    expect(faq.page.get_by_role("heading", name=source, level=1)).to_be_visible()
    expect(faq.page.locator("main")).to_contain_text(answer)
    assert violations(faq) == []
    faq.page.close()


def test_what_nobody_knew_becomes_an_faq_that_answers_it(
    open_tab: OpenTab, live_stack: Stack, fake_model: FakeModelServer
) -> None:
    """A guest asks, is not answered, a moderator writes the answer, and the guest is answered."""
    make_knowledge()
    make_knowing_persona()
    moderator = make_moderator()
    with CeleryWorker(live_stack):
        guest = open_tab()
        guest.button("Try it without an account").click()
        guest.button("I agree").click()
        wait_until(lambda: apart(Consent.objects.filter(granted=True).exists), "the consent", 10)
        fake_model.enqueue(Script(tokens=["Choose ", "Reset PIN ", "[1]."]))
        ask_and_open_the_source(guest, PIN, PIN, "choose Cards, then Reset PIN")

        guest.ask(OFF_TOPIC)
        guest.ends()
        expect(guest.text).to_contain_text("I do not know")
        offers = guest.reply.locator("[data-offers]")
        expect(offers.get_by_role("button")).to_have_text(["Ask in other words", "Ask for a person"])
        expect(offers.get_by_role("link", name="help@example.com")).to_be_visible()
        expect(guest.reply.locator("[data-citations]")).to_be_hidden()
        assert violations(guest) == []

        # Noted in the background; then an editor sees it, and never who asked.
        wait_until(lambda: apart(Gap.objects.exists), "the question in the editors' list", 30)
        editor = open_tab(moderator, "/admin/faqs/gap/")
        editor.page.get_by_role("link", name=OFF_TOPIC).click()
        expect(editor.page.get_by_text("No good match (1)")).to_be_visible()
        expect(editor.page.locator(".editor-page")).not_to_contain_text("uest-")
        editor.button("Draft an FAQ from this").click()
        drafted = editor.page.get_by_role("region", name=OFF_TOPIC)
        expect(drafted).to_contain_text("drafted by fake/echo, to be checked")
        assert violations(editor) == []
        drafted.get_by_role("link", name=OFF_TOPIC).click()
        editor.page.get_by_role("textbox", name="Answer").fill("**Grindavik**, on the 12th of January.")
        expect(editor.page.locator("[data-preview] strong")).to_have_text("Grindavik")
        editor.button("Save").click()
        expect(editor.page.get_by_text("was changed successfully")).to_be_visible()
        assert apart(FAQ.objects.get, question=OFF_TOPIC).status == FAQ.Status.DRAFT

        # Not yet: what is not published answers nobody.
        guest.ask("Which volcano erupted on Iceland last winter?")
        guest.ends()
        expect(guest.text).to_contain_text("I do not know")
        wait_until(lambda: apart(Gap.objects.filter(count=2).exists), "both questions in one line of the list", 30)

        editor.open(f"/admin/faqs/gap/{apart(Gap.objects.get, question=OFF_TOPIC).pk}/change/")
        editor.button("Publish the FAQ and ask again").click()
        expect(editor.page.get_by_text("2 of 2 would be answered now.")).to_be_visible()
        expect(editor.page.locator("tbody tr", has_text="yes")).to_have_count(2)
        assert violations(editor) == []
        expect(editor.page.locator(".faq-facts")).to_contain_text("Answered")

        fake_model.enqueue(Script(tokens=["It was ", "Grindavik ", "[1]."]))
        ask_and_open_the_source(guest, "Which volcano was it that erupted on Iceland?", OFF_TOPIC, "12th of January")
        expect(guest.text).to_contain_text("Grindavik")
        # The first list of what is to be done is empty again.
        editor.open("/admin/faqs/gap/")
        expect(editor.page.get_by_role("link", name=OFF_TOPIC)).to_have_count(0)
