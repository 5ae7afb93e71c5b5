"""The editors' pages in a real browser: the preview and the likenesses while writing, and the ask-it box."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.tests.factories import make_moderator
from faqs.models import FAQ
from faqs.services import edit_faq, give_faq_feedback
from faqs.tests.browser import PHONE, WIDE, OpenPage, needs_browser, overflow, session_of, violations
from faqs.tests.factories import make_category, make_faq, make_index

pytestmark = needs_browser


@pytest.fixture
def session(transactional_db: None) -> str:
    """A moderator's, with two FAQs that are published."""
    make_faq("How do I change my password?", "In the settings.", phrasings=["I forgot my login"])
    make_faq("Which browsers are supported?", "All new ones.")
    make_index()
    return session_of(make_moderator())


def test_an_faq_is_written_with_a_preview_and_a_warning_and_published(open_page: OpenPage, session: str) -> None:
    page = open_page("/admin/faqs/faq/add/", session=session)
    page.get_by_label("Question").fill("how can I change the password")
    same = page.locator("[data-similar] a")
    expect(same).to_have_text(["How do I change my password?"])
    expect(page.locator("[data-similar]")).to_contain_text("likeness")
    page.get_by_label("Question").fill("How do I pay?")
    expect(same).to_have_count(0)
    preview = page.locator("[data-preview]")
    page.get_by_role("textbox", name="Answer").fill("By **card** <script>alert(1)</script>")
    expect(preview.locator("strong")).to_have_text("card")
    expect(preview).to_contain_text("<script>alert(1)</script>")
    page.get_by_label("Other ways to ask it").fill("paying\ncan I pay")
    page.get_by_role("button", name="Save and publish").click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    expect(page.locator(".faq-cell").first).to_have_text("How do I pay?")


def test_the_preview_shows_at_once_what_is_stored(open_page: OpenPage, session: str) -> None:
    faq = FAQ.objects.get(question__startswith="How")
    page = open_page(f"/admin/faqs/faq/{faq.pk}/change/", session=session)
    expect(page.locator("[data-preview]")).to_have_text("In the settings.")
    expect(page.locator("[data-similar]")).to_contain_text("None.")
    assert violations(page) == []


def test_ask_it_answers_in_place(open_page: OpenPage, session: str) -> None:
    page = open_page("/admin/faqs/faq/", session=session)
    page.get_by_label("Ask it", exact=True).fill("I forgot my login")
    page.get_by_role("button", name="See what the assistant would retrieve").click()
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("How do I change my password?")
    page.evaluate("window.notReloaded = true")
    page.get_by_label("Question").fill("what browsers do you support")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(row).to_contain_text("Which browsers are supported?")
    expect(page).to_have_url(re.compile("q=what\\+browsers"))
    page.get_by_label("Question").fill("cooking rice with saffron")
    page.get_by_label("Asked by").select_option("staff")
    expect(page.locator(".faq-verdict")).to_contain_text("does not know")
    assert page.evaluate("window.notReloaded")
    assert violations(page) == []


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_the_list_fits_a_window_of_1280_pixels(open_page: OpenPage, session: str, locale: str) -> None:
    now = timezone.now()
    category = make_category("a", name="Payments and refunds")
    make_faq("Is this question, which is asked at some length, over?", category=category)
    FAQ.objects.filter(category=category).update(valid_until=now - timedelta(days=1), owner=make_moderator())
    helped = make_faq("May I see it?", category=category)
    for number in range(12):
        give_faq_feedback(faq=helped, user=None, visitor=str(number), helpful=number < 10, comment="")
    FAQ.objects.filter(pk=helped.pk).update(valid_from=now + timedelta(days=1))
    page = open_page("/admin/faqs/faq/", session=session, viewport=WIDE, locale=locale)
    expect(page.locator("#result_list tbody tr")).to_have_count(4)
    table = page.locator("#result_list")
    frame = page.locator(".simplebar-content-wrapper", has=table)
    assert frame.evaluate("frame => frame.scrollWidth - frame.clientWidth") <= 0
    assert table.evaluate("table => table.getBoundingClientRect().right <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_versions_fit_a_phone_and_are_compared(open_page: OpenPage, session: str, scheme: str) -> None:
    faq = FAQ.objects.get(question__startswith="How")
    for number in range(2):
        edit_faq(
            faq=faq, actor=make_moderator(), note="A note of some length", answer=f"In the settings, part {number}."
        )
    page = open_page(f"/admin/faqs/faq/{faq.pk}/versions/", session=session, viewport=PHONE, color_scheme=scheme)
    expect(page.locator("del")).to_have_text("In the settings, part 0.")
    assert overflow(page) == 0
    assert violations(page) == []
    page.get_by_label("Compare from v1").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("del")).to_have_text("In the settings.")
    expect(page.locator("ins")).to_have_text("In the settings, part 1.")
