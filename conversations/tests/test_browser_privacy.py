"""The pages about one's own data in a real browser: by keyboard, narrow, in both themes."""

import os
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from accounts import restriction
from accounts.models import Consent, User
from accounts.privacy.tasks import tend_requests
from accounts.tests.factories import PASSWORD, agree, make_user
from personas.models import Persona

from .browser import OpenTab, Tab, apart, focus_by_tab, overflow, violations
from .factories import make_conversation
from .stack import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PRIVACY = "/privacy/"
#: Set to a directory, the pages are kept there as pictures to look at.
PICTURES = os.environ.get("NONO_PICTURES", "")


def picture(tab: Tab, name: str) -> None:
    if PICTURES:
        tab.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def decisions() -> list[tuple[bool, str]]:
    return apart(lambda: list(Consent.objects.order_by("id").values_list("granted", "source")))


def test_a_new_policy_is_asked_once_in_the_chat_by_keyboard(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    tab = open_tab(owner)
    notice = tab.page.get_by_role("complementary", name="Let editors learn")
    expect(notice).to_be_visible()
    picture(tab, "notice-wide-light")
    assert violations(tab) == []
    focus_by_tab(tab, "I agree")
    tab.page.keyboard.press("Enter")
    expect(notice).to_have_count(0)
    wait_until(lambda: decisions() == [(True, "notice")], "the decision", 10)
    expect(tab.open().page.locator("[data-notice]")).to_have_count(0)


def test_one_click_agrees_and_one_withdraws(open_tab: OpenTab, owner: User) -> None:
    tab = open_tab(owner, PRIVACY)
    tab.button("I agree").click()
    expect(tab.page.get_by_text("You agreed:")).to_be_visible()
    tab.button("Withdraw").click()
    expect(tab.page.get_by_text("You declined:")).to_be_visible()
    assert decisions() == [(True, "page"), (False, "page")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_fits_and_reads_in_both_themes(open_tab: OpenTab, persona: Persona, scheme: str, width: int) -> None:
    owner = apart(lambda: agree(make_user()))
    tab = open_tab(owner, PRIVACY, viewport={"width": width, "height": 800}, color_scheme=scheme)
    picture(tab, f"privacy-{width}-{scheme}")
    assert overflow(tab) == 0
    assert violations(tab) == []


@pytest.mark.parametrize("width", [375, 1280])
def test_the_notice_leaves_the_chat_its_room(open_tab: OpenTab, owner: User, persona: Persona, width: int) -> None:
    tab = open_tab(owner, viewport={"width": width, "height": 700}, color_scheme="dark")
    expect(tab.page.locator("[data-notice]")).to_be_visible()
    picture(tab, f"notice-{width}-dark")
    assert overflow(tab) == 0
    expect(tab.field).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_pausing_is_said_in_the_chat_refuses_a_question_and_is_lifted_by_keyboard(
    open_tab: OpenTab, persona: Persona, scheme: str, width: int
) -> None:
    owner = apart(lambda: agree(make_user()))
    tab = open_tab(owner, viewport={"width": width, "height": 800}, color_scheme=scheme)
    apart(lambda: restriction.restrict(actor=owner, user=owner))  # while the tab is open
    tab.field.fill("Hello?")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_text("Processing of your data is paused.").first).to_be_visible()
    picture(tab, f"paused-refused-{width}-{scheme}")
    notice = tab.open().page.get_by_role("complementary", name="Processing is paused")
    expect(notice).to_be_visible()
    expect(tab.field).to_be_in_viewport()
    picture(tab, f"paused-chat-{width}-{scheme}")
    assert (violations(tab), overflow(tab)) == ([], 0)
    focus_by_tab(tab, "Lift the pause")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/privacy/#restriction")
    picture(tab, f"paused-page-{width}-{scheme}")
    assert (violations(tab), overflow(tab)) == ([], 0)
    tab.button("Lift the pause").focus()
    tab.page.keyboard.press("Enter")
    expect(tab.button("Pause processing")).to_be_visible()
    assert not apart(lambda: list(User.objects.exclude(restricted_at=None)))


def test_signing_up_offers_the_box_and_says_what_it_means(open_tab: OpenTab) -> None:
    tab = open_tab(None, "/accounts/sign-up/", viewport={"width": 375, "height": 800})
    tab.page.get_by_text("What this means").click()
    expect(tab.page.get_by_text("Everything else works the same.")).to_be_visible()
    picture(tab, "sign-up-375")
    assert tab.page.get_by_role("checkbox").is_checked() is False
    assert overflow(tab) == 0
    assert violations(tab) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_a_copy_is_asked_for_and_fetched_and_an_account_closed_and_opened_again(
    open_tab: OpenTab, persona: Persona, scheme: str, width: int
) -> None:
    owner = apart(lambda: agree(make_user("ada@example.org", PASSWORD)))
    apart(make_conversation, owner, persona=persona)
    tab = open_tab(owner, PRIVACY, viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.button("Ask for a copy").click()
    expect(tab.page.get_by_text("Your copy is being made.")).to_be_visible()
    apart(tend_requests)
    tab.page.reload()
    looks_well(tab, f"copy-ready-{width}-{scheme}")
    tab.page.get_by_role("link", name="Fetch my data").click()
    looks_well(tab, f"copy-{width}-{scheme}")
    with tab.page.expect_download() as download:
        tab.button("Fetch my data").click()
    with zipfile.ZipFile(download.value.path()) as file:
        assert "Question 1" in file.read("data/messages.json").decode()

    tab.open(PRIVACY)
    tab.page.get_by_role("link", name="See what would go").click()
    looks_well(tab, f"erase-{width}-{scheme}")
    tab.page.get_by_label("Password").fill(PASSWORD)
    tab.button("Delete my account").click()
    expect(tab.page.get_by_text("Your account is closed, and your data will be erased.")).to_be_visible()
    tab.page.get_by_label("E-mail").fill("ada@example.org")
    tab.page.get_by_label("Password").fill(PASSWORD)
    tab.page.locator("main").get_by_role("button", name="Sign in").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Your account is closed")
    looks_well(tab, f"closed-{width}-{scheme}")
    tab.button("Open my account again").click()
    expect(tab.page.get_by_text("Your account is open again.")).to_be_visible()


def looks_well(tab: Tab, name: str) -> None:
    picture(tab, name)
    assert overflow(tab) == 0, name
    assert violations(tab) == [], name
