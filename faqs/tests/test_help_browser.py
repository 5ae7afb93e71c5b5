"""The help pages in a real browser: search as you type, whether it helped, and how they fit and read."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from accounts.tests.factories import make_user
from faqs.models import FAQ
from faqs.tests.browser import NARROW, PHONE, WIDE, OpenPage, needs_browser, overflow, session_of, violations
from faqs.tests.factories import make_category, make_faq, make_index

pytestmark = needs_browser

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
RICH = (
    "1. Open **Settings**\n2. Choose *Security*\n\n> At once.\n\n```python\nsession.end(all_devices=True)\n```\n\n"
    f"| Plan | Price |\n|---|---:|\n| Free | 0 |\n\n{LONG * 3} [the manual](https://example.org/) `{LONG}`"
)


@pytest.fixture
def faqs(transactional_db: None) -> dict[str, FAQ]:
    """A small tree, an answer with everything in it, long words, and two languages."""
    account = make_category("account", name="Account")
    wide = make_category("wide", name=LONG, description=LONG, parent=account)
    made = {
        "password": make_faq(
            "How do I change my password?", RICH, category=account, tags=["security", "x" * 40],
            phrasings=["I forgot my login"],
        ),
        "refund": make_faq("How long does a refund take?", "Five days.", category=wide),
        "long": make_faq(f"What is a {LONG}{LONG}?", LONG * 5, category=wide),
        "german": make_faq("Wie kündige ich?", "Schriftlich.", language="de"),
    }  # fmt: skip
    make_index()
    return made


def found(page: Page) -> Any:
    return page.locator(".help-line > a")


def listen(page: Page) -> None:
    """Note what a screen reader is told."""
    page.evaluate(
        """() => {
          window.heard = [];
          const region = document.querySelector('[data-announcer]');
          new MutationObserver(() => window.heard.push(region.textContent)).observe(region, {childList: true});
        }"""
    )


# --- search ---------------------------------------------------------------------------------------------------------
def test_search_as_you_type_shows_says_and_keeps_the_address(open_page: OpenPage, faqs: dict[str, FAQ]) -> None:
    page = open_page("/help/")
    listen(page)
    field = page.get_by_role("searchbox", name="Search for an answer")
    field.press_sequentially("passw")
    expect(found(page)).to_have_text(["How do I change my password?"])
    expect(page).to_have_url(re.compile(r"/help/\?q=passw$"))
    expect(page.locator("[data-announcer]")).to_have_text("1 answer for “passw”")
    expect(field).to_be_focused()
    field.fill("zzqqxx")
    expect(page.get_by_role("heading", name="Nothing found for “zzqqxx”")).to_be_visible()
    field.fill("money back after how many days")
    expect(found(page).first).to_have_text("How long does a refund take?")
    field.fill("")
    expect(page.get_by_role("link", name="Account", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(r"/help/$"))
    assert page.evaluate("window.heard.includes('Nothing found for “zzqqxx”')")


def test_an_older_answer_never_replaces_a_newer_one(open_page: OpenPage, faqs: dict[str, FAQ]) -> None:
    page = open_page("/help/")
    held: list[Route] = []
    page.route(re.compile(r"q=refund$"), lambda route: held.append(route))
    field = page.get_by_role("searchbox")
    with page.expect_request(re.compile(r"q=refund$")) as slow:
        field.fill("refund")
    with page.expect_event("requestfailed", lambda request: request == slow.value):
        field.fill("password")  # the older request is given up
    expect(found(page)).to_have_text(["How do I change my password?"])
    expect(page).to_have_url(re.compile("q=password$"))
    expect(page.locator("[data-results]")).not_to_have_attribute("aria-busy", "true")
    assert len(held) == 1


def test_typing_asks_once_for_a_word_not_for_each_letter(open_page: OpenPage, faqs: dict[str, FAQ]) -> None:
    page = open_page("/help/")
    asked: list[str] = []
    page.on("request", lambda request: "?q=" in request.url and asked.append(request.url))
    page.evaluate(
        """() => {
          const field = document.querySelector('input[name=q]');
          for (const text of ['p', 'pa', 'pas', 'pass', 'passw', 'passwo', 'password']) {
            field.value = text;
            field.dispatchEvent(new Event('input', {bubbles: true}));
          }
        }"""
    )
    expect(found(page)).to_have_text(["How do I change my password?"])
    assert len(asked) == 1


def test_a_found_answer_opens_and_the_way_back_shows_the_search_again(
    open_page: OpenPage, faqs: dict[str, FAQ]
) -> None:
    page = open_page("/help/category/account/")
    field = page.get_by_role("searchbox", name="Search in Account")
    field.press_sequentially("refund")
    expect(found(page)).to_have_text(["How long does a refund take?"])
    found(page).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("How long does a refund take?")
    page.go_back()
    expect(found(page)).to_have_text(["How long does a refund take?"])
    expect(field).to_have_value("refund")


def test_the_search_works_without_scripts(open_page: OpenPage, faqs: dict[str, FAQ]) -> None:
    page = open_page("/help/", java_script_enabled=False)
    page.get_by_role("searchbox").fill("password")
    page.get_by_role("searchbox").press("Enter")
    expect(found(page)).to_have_text(["How do I change my password?"])
    found(page).first.click()
    page.get_by_role("button", name="No").click()
    expect(page.locator("[data-feedback-said]")).to_contain_text("sorry")
    page.get_by_label("What was missing?").fill("Pictures")
    page.get_by_role("button", name="Send the comment").click()
    expect(page.get_by_label("What was missing?")).to_have_value("Pictures")


def test_a_server_that_is_away_is_said_and_what_was_found_stays(open_page: OpenPage, faqs: dict[str, FAQ]) -> None:
    page = open_page("/help/?q=password", expected="429")
    body = '{"code": "too_many_tries", "detail": "Wait a <b>little</b>."}'
    page.route(re.compile(r"\?q=refund$"), lambda route: route.fulfill(status=429, body=body))
    page.get_by_role("searchbox").fill("refund")
    expect(page.locator("[data-results] > .notice")).to_have_text("Wait a <b>little</b>.")
    expect(found(page)).to_have_text(["How do I change my password?"])


# --- did this help? -------------------------------------------------------------------------------------------------
def test_one_says_whether_it_helped_changes_it_and_adds_why(open_page: OpenPage, faqs: dict[str, FAQ]) -> None:
    page = open_page(f"/help/faq/{faqs['password'].pk}/")
    page.evaluate("window.notReloaded = true")
    said = page.locator("[data-feedback-said]")
    page.get_by_role("button", name="Yes").click()
    expect(said).to_have_text("Thank you. Good to know.")
    expect(said).to_be_focused()
    expect(page.get_by_role("button", name="Yes")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="No").click()
    expect(said).to_contain_text("sorry")
    page.get_by_label("What was missing?").fill("A picture <b>of it</b>")
    page.get_by_role("button", name="Send the comment").click()
    expect(page.get_by_role("button", name="Change the comment")).to_be_visible()
    assert page.evaluate("window.notReloaded")
    page.reload()
    expect(page.get_by_role("button", name="No")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("What was missing?")).to_have_value("A picture <b>of it</b>")
    assert violations(page) == []


# --- how they fit and read ------------------------------------------------------------------------------------------
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(open_page: OpenPage, faqs: dict[str, FAQ]) -> None:
    paths = [
        "/help/", "/help/?q=how", "/help/?q=zzqqxx", "/help/category/account/", "/help/category/wide/",
        *(f"/help/faq/{faq.pk}/" for faq in faqs.values()),
    ]  # fmt: skip
    page = open_page("/help/")
    root = page.url.removesuffix("/help/")
    backgrounds = set()
    for path in paths:
        page.goto(root + path)
        for viewport in (WIDE, PHONE, NARROW):
            page.set_viewport_size(viewport)
            assert overflow(page) == 0, (viewport, path)
            for scheme in ("light", "dark") if viewport != NARROW else ():
                page.emulate_media(color_scheme=scheme)
                assert violations(page) == [], (viewport, path, scheme)
                backgrounds.add((scheme, page.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert len(backgrounds) == 2, "the scheme was looked at in its own colours"


def test_a_signed_in_reader_goes_from_the_chat_to_help_and_back(open_page: OpenPage, faqs: dict[str, FAQ]) -> None:
    session = session_of(make_user())
    page = open_page("/accounts/profile/", session=session)
    page.get_by_role("link", name="Help", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What would you like to know?")
    expect(page.get_by_role("link", name="To the chat")).to_have_attribute("href", "/")


def test_a_reader_chooses_the_language_that_comes_first(open_page: OpenPage, faqs: dict[str, FAQ]) -> None:
    page = open_page("/help/?q=ich")
    expect(page.locator(".help-language")).to_have_text(["Deutsch"])
    page.get_by_role("button", name="Deutsch").click()
    expect(page).to_have_url(re.compile(r"/help/\?q=ich$"))
    expect(page.locator(".help-language")).to_have_count(0)
