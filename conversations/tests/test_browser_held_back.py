"""What was held back, in a real browser: the chat says why, and its person objects by keyboard."""

import pytest
from playwright.sync_api import expect

from accounts.models import User
from accounts.tests.factories import make_moderator
from conversations import doorbell
from conversations.models import ModerationItem, ModerationRule
from personas.models import Persona

from .browser import NARROW, WIDE, OpenTab, apart, focus_by_tab, overflow, violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGE = "/held-back/"


def make_rule() -> None:
    apart(ModerationRule.objects.create, phrase="quokka trap", action="block", category="violence")
    apart(doorbell.tell_rules_changed)


def test_the_chat_says_why_and_the_person_objects_by_keyboard(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    make_rule()
    tab = open_tab(owner)
    tab.page.get_by_role("textbox").first.fill("Where can I buy a quokka trap?")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("[data-state-text]").last).to_contain_text("so it is not answered")
    expect(tab.page.get_by_role("button", name="Continue")).to_have_count(0)
    tab.open(PAGE)
    tab.page.get_by_label("Why you object").focus()
    tab.page.keyboard.type("It is the name of a band")
    focus_by_tab(tab, "Object")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_text("You objected. A moderator will look at it again.")).to_be_visible()
    expect(tab.page.get_by_role("button", name="Object")).to_have_count(0)
    assert apart(ModerationItem.objects.get).appeal == "It is the name of a band"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_and_break_no_accessibility_rule(
    open_tab: OpenTab, owner: User, persona: Persona, scheme: str
) -> None:
    make_rule()
    tab = open_tab(owner, color_scheme=scheme)
    tab.page.get_by_role("textbox").first.fill("quokka trap")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("[data-state-text]").last).to_contain_text("so it is not answered")
    item = apart(ModerationItem.objects.get)
    tab.open(PAGE)
    staff = open_tab(
        apart(make_moderator), f"/admin/conversations/moderationitem/{item.pk}/decide/", color_scheme=scheme
    )
    for size in (WIDE, NARROW):
        for each in (tab, staff):
            each.page.set_viewport_size(size)
            assert overflow(each) == 0
        assert violations(tab) == []
