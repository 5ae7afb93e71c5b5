"""The pages about one's keys and sessions in a real browser: by keyboard, narrow, in both themes, without scripts."""

import re

import pytest
from playwright.sync_api import expect

from accounts import api_keys
from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.factories import make_user
from personas.models import Persona

from .browser import NARROW, OpenTab, Tab, apart, focus_by_tab, overflow, violations
from .client import session_key
from .factories import make_conversation

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

KEYS, SESSIONS = "/accounts/keys/", "/accounts/sessions/"
LONG = "Rindfleischetikettierungsüberwachungsaufgabenübertragungsge"


def make_key(owner: User, name: str = LONG) -> None:
    apart(api_keys.create_key, user=owner, name=name, scopes=[Scope.READ, Scope.WRITE, Scope.CHAT])


def test_a_key_is_made_copied_and_revoked_by_keyboard(open_tab: OpenTab, owner: User) -> None:
    tab = open_tab(owner, KEYS, permissions=["clipboard-read", "clipboard-write"])
    press = tab.page.keyboard.press
    tab.page.get_by_label("Name", exact=True).focus()
    tab.page.keyboard.type("laptop")
    press("Tab")
    press("Space")  # no longer `read`
    press("Tab")
    press("Space")  # `write` instead
    focus_by_tab(tab, "Make a key")
    press("Enter")
    field = tab.page.get_by_label("Your new key “laptop”")
    expect(field).to_be_focused()
    text = field.input_value()
    focus_by_tab(tab, "Copy")
    press("Enter")
    expect(tab.page.get_by_role("button", name="Copied")).to_be_focused()
    assert tab.page.evaluate("navigator.clipboard.readText()") == text
    key = apart(api_keys.find_key, text)
    assert (key.user_id, key.scopes) == (owner.pk, ["chat", "write"])

    tab.open(KEYS)
    assert text not in tab.page.content()
    focus_by_tab(tab, "Revoke laptop")
    press("Enter")
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Revoke “laptop”?")
    focus_by_tab(tab, "Revoke")
    press("Enter")
    expect(tab.page.get_by_text("The key is revoked.")).to_be_visible()
    expect(tab.page.locator(".entry")).to_have_count(0)


def test_without_scripts_a_key_is_made_and_revoked(open_tab: OpenTab, owner: User) -> None:
    tab = open_tab(owner, KEYS, java_script_enabled=False)
    tab.page.get_by_label("Name", exact=True).fill("laptop")
    tab.button("Make a key").click()
    expect(tab.page.get_by_label("Your new key “laptop”")).to_have_value(re.compile(r"nono_sk_[\w-]{43}"))
    expect(tab.button("Copy")).to_be_hidden()
    tab.page.get_by_role("link", name="Revoke laptop").click()
    tab.button("Revoke").click()
    expect(tab.page.get_by_text("You have no keys yet.")).to_be_visible()


def test_another_browser_is_signed_out_from_here(open_tab: OpenTab, owner: User) -> None:
    elsewhere = open_tab(owner, SESSIONS)
    tab = open_tab(owner, SESSIONS)
    expect(tab.page.locator(".entry")).to_have_count(2)
    tab.page.get_by_role("button", name="End").click()
    expect(tab.page.get_by_text("That session has ended.")).to_be_visible()
    expect(tab.page.locator(".entry")).to_have_count(1)
    elsewhere.open(SESSIONS)
    expect(elsewhere.page.get_by_role("heading", level=1)).to_have_text("Sign in")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_320_pixels_are_enough(open_tab: OpenTab, owner: User, scheme: str) -> None:
    make_key(owner)
    session_key(owner)
    tab = open_tab(owner, KEYS, color_scheme=scheme, viewport=NARROW)
    fits(tab)
    tab.page.get_by_label("Name", exact=True).fill("another")
    tab.button("Make a key").click()
    expect(tab.page.get_by_label("Your new key “another”")).to_be_focused()
    fits(tab)
    tab.page.get_by_role("link", name=f"Revoke {LONG}").click()
    fits(tab)
    fits(tab.open(SESSIONS))


def fits(tab: Tab) -> None:
    assert violations(tab) == [], tab.page.url
    assert overflow(tab) == 0, tab.page.url


def test_the_language_is_chosen_from_the_menu_by_keyboard(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    conversation = apart(make_conversation, owner, persona=persona)
    tab = open_tab(owner)
    tab.page.get_by_role("link", name="Question 1").click()
    tab.page.wait_for_url(f"**/c/{conversation.pk}/")  # without the page being loaded anew
    tab.page.locator(".user-button").focus()
    tab.page.keyboard.press("Enter")
    press_until(tab, "ArrowDown", "Deutsch")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("html")).to_have_attribute("lang", "de")
    assert tab.conversation == str(conversation.pk)
    tab.page.locator(".user-button").click()
    expect(tab.button("Deutsch")).to_have_attribute("aria-pressed", "true")
    assert violations(tab) == []


def test_a_visitor_reaches_the_language_on_the_first_page(open_tab: OpenTab, persona: Persona) -> None:
    tab = open_tab(viewport=NARROW)
    fits(tab)
    tab.button("Deutsch").click()
    expect(tab.page.locator("html")).to_have_attribute("lang", "de")
    tab.page.locator(".site-header .button-primary").click()
    expect(tab.page.locator("html")).to_have_attribute("lang", "de")
    fits(tab)


def press_until(tab: Tab, key: str, name: str) -> None:
    """Press a key until the element with that text has the focus."""
    for _ in range(20):
        tab.page.keyboard.press(key)
        if tab.page.evaluate("document.activeElement.textContent.trim()") == name:
            return
    pytest.fail(f"{name!r} is not reached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_notice_of_an_unconfirmed_address_is_sent_away_by_keyboard(
    open_tab: OpenTab, persona: Persona, scheme: str
) -> None:
    user = make_user(email_verified_at=None)
    conversation = apart(make_conversation, user, persona=persona)
    tab = open_tab(user, f"/c/{conversation.pk}/", viewport=NARROW, color_scheme=scheme)
    notice = tab.page.get_by_text("Your e-mail address is not confirmed yet")
    expect(notice).to_be_in_viewport()
    expect(tab.field).to_be_in_viewport()
    fits(tab)
    focus_by_tab(tab, "Close")
    with tab.page.expect_response("**/accounts/confirm/later/"):
        tab.page.keyboard.press("Enter")
    expect(notice).to_have_count(0)
    expect(tab.field).to_be_focused()
    tab.page.reload()
    expect(tab.field).to_be_visible()
    expect(notice).to_have_count(0)
