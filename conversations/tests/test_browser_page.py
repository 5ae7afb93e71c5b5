"""The chat page in a real browser: the list, the keyboard, narrow screens, and what a screen reader meets."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from accounts.models import User
from conversations import keeping
from conversations.models import Conversation
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .browser import NARROW, OpenTab, Tab, apart, focus_by_tab, hold_snapshots, overflow, violations
from .factories import make_conversation, make_persona
from .stack import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

RICH = (
    "# A heading\n\nSome **bold** text with `code` and a [link](https://example.org/).\n\n"
    "| Name | Speed |\n|---|---:|\n| socket | fast |\n\n"
    "```python\ndef f(x: int) -> str:\n    return f'{x}'  # text\n```\n\n"
    "> quoted\n\n1. one\n2. two\n"
)


@pytest.fixture
def tab(open_tab: OpenTab, owner: User, persona: Persona) -> Tab:
    return open_tab(owner)


def titled(owner: User, persona: Persona, *titles: str) -> list[Conversation]:
    made = []
    for title in titles:
        conversation = make_conversation(owner, persona=persona)
        made.append(keeping.change_conversation(user=owner, conversation_id=conversation.pk, title=title))
    return made


# --- the list -------------------------------------------------------------------------------------------------------


def test_rename_pin_archive_delete_and_undo_show_in_both_tabs(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    old, _new = apart(titled, owner, persona, "Old", "New")
    tab = open_tab(owner, f"/c/{old.pk}/")
    second = tab.another()
    expect(second.titles).to_have_text(["New", "Old"])

    tab.choose("Rename")
    title = tab.page.get_by_label("Title", exact=True)
    title.fill("Renamed")
    title.press("Enter")
    expect(second.titles).to_have_text(["New", "Renamed"])
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Renamed")

    tab.choose("Pin")
    expect(second.titles).to_have_text(["Renamed", "New"])
    tab.choose("Unpin")
    expect(second.titles).to_have_text(["New", "Renamed"])

    tab.choose("Archive")
    expect(second.titles).to_have_text(["New"])
    tab.button("Undo", tab.toast).click()
    expect(second.titles).to_have_text(["New", "Renamed"])

    tab.choose("Delete")
    expect(tab.page).to_have_url(f"{tab.url}/")
    expect(second.titles).to_have_text(["New"])
    tab.button("Undo", tab.toast).click()
    expect(second.titles).to_have_text(["New", "Renamed"])
    expect(tab.titles).to_have_text(["New", "Renamed"])
    assert Conversation.objects.get(pk=old.pk).deleted_at is None


def test_a_conversation_deleted_in_another_tab_is_left(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    (conversation,) = apart(titled, owner, persona, "Gone")
    tab = open_tab(owner, f"/c/{conversation.pk}/")
    second = tab.another(f"/c/{conversation.pk}/")
    second.choose("Delete")
    expect(tab.page).to_have_url(f"{tab.url}/")
    expect(tab.titles).to_have_count(0)


def test_an_empty_conversation_takes_its_first_question(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    empty = apart(keeping.create_conversation, user=owner)
    tab = open_tab(owner, f"/c/{empty.pk}/")
    expect(tab.titles).to_have_text(["New chat"])
    tab.ask("What is nono?")
    expect(tab.titles).to_have_text(["What is nono?"])
    expect(tab.page).to_have_url(f"{tab.url}/c/{empty.pk}/")


def test_conversations_that_were_all_cleared_are_left(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    old, kept = apart(titled, owner, persona, "Old", "Kept")
    apart(keeping.change_conversation, user=owner, conversation_id=old.pk, archived=True)
    tab = open_tab(owner, f"/c/{kept.pk}/")
    archived = tab.another(f"/c/{old.pk}/")
    apart(keeping.clear_conversations, user=owner, archived_only=True)
    expect(archived.page).to_have_url(f"{tab.url}/")
    expect(tab.titles).to_have_text(["Kept"])
    expect(tab.page).to_have_url(f"{tab.url}/c/{kept.pk}/")
    apart(keeping.clear_conversations, user=owner)
    expect(tab.page).to_have_url(f"{tab.url}/")
    expect(tab.titles).to_have_count(0)


def test_a_conversation_that_is_cleared_while_it_is_being_loaded_is_left(
    open_tab: OpenTab, owner: User, persona: Persona
) -> None:
    """Its state, read before it went, comes after the news that made the page ask again."""
    made = apart(titled, owner, persona, "Old")[0]
    tab = open_tab(owner)
    told: list[str] = []
    waiting = hold_snapshots(tab, told, before="error")
    tab.page.goto(f"{tab.url}/c/{made.pk}/")
    wait_until(lambda: tab.page.wait_for_timeout(50) or waiting, "its state is on its way")
    apart(keeping.clear_conversations, user=owner)
    expect(tab.page).to_have_url(f"{tab.url}/")
    assert told[-3:] == ["conversations.cleared", "conversation.snapshot", "error"]
    expect(tab.page.get_by_text("This conversation was deleted.")).to_be_visible()


def test_search_as_you_type_and_the_archive(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    made = apart(titled, owner, persona, "Bread", "Crete in May", "History of Crete")
    apart(keeping.change_conversation, user=owner, conversation_id=made[0].pk, archived=True)
    tab = open_tab(owner)
    search = tab.page.get_by_role("searchbox", name="Search titles")
    search.press_sequentially("crete may")
    expect(tab.titles).to_have_text(["Crete in May"])
    search.fill("nothing at all")
    expect(tab.page.get_by_text("No title has these words.")).to_be_visible()
    search.fill("")
    expect(tab.titles).to_have_text(["History of Crete", "Crete in May"])
    tab.button("Archived").click()
    expect(tab.titles).to_have_text(["Bread"])


def test_more_of_a_long_list_comes_as_it_is_scrolled(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    apart(titled, owner, persona, *(f"Number {n}" for n in range(35)))
    tab = open_tab(owner, viewport={"width": 1280, "height": 500})
    expect(tab.titles).to_have_count(30)
    tab.page.locator("[data-list]").evaluate("list => list.scrollTo(0, list.scrollHeight)")
    expect(tab.titles).to_have_count(35)
    expect(tab.page.locator("[data-list-more]")).to_have_count(0)


def test_moving_between_conversations_follows_what_is_live(tab: Tab, fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=4, gate=gate))
    tab.page.evaluate("window.notReloaded = true")
    tab.ask("The slow one")
    gate.release(1)
    expect(tab.text).to_have_text("tok0")
    slow = tab.page.url
    tab.page.get_by_role("link", name="New chat").click()
    expect(tab.page.locator("[data-messages] > [data-role=user]")).to_have_count(0)
    tab.ask("The quick one")
    tab.ends()
    line = tab.page.locator("#conversation-list li", has_text="The slow one")
    expect(line.locator("[data-live]")).to_be_visible()
    gate.release()
    expect(line.locator("[data-live]")).to_be_hidden()
    tab.page.go_back()
    expect(tab.page).to_have_url(slow)
    tab.ends()
    expect(tab.text).to_have_text("tok0 tok1 tok2 tok3")
    assert tab.page.evaluate("window.notReloaded")


# --- keyboard -------------------------------------------------------------------------------------------------------


def test_a_whole_chat_by_keyboard_alone(tab: Tab, fake_model: FakeModelServer) -> None:
    press = tab.page.keyboard.press
    tab.page.locator(".brand").focus()
    press("Shift+Tab")
    expect(tab.page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    press("Enter")
    expect(tab.page.locator("#main")).to_be_focused()
    press("Shift+Escape")
    expect(tab.field).to_be_focused()
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=4, gate=gate), Script(tokens=["Again"]), Script(tokens=["Edited"]))
    tab.page.keyboard.type("By keyboard")
    press("Enter")
    gate.release(2)
    expect(tab.text).to_have_text("tok0 tok1")
    expect(tab.field).to_be_focused()
    press("Escape")
    tab.ends("stopped")
    press("ArrowUp")
    tab.page.keyboard.type(", edited")
    press("Enter")
    expect(tab.text).to_have_text("Again")
    tab.ends()
    press("Shift+Escape")
    tab.page.locator("[data-scroller]").focus()
    focus_by_tab(tab, "Another reply")
    press("Enter")
    expect(tab.text).to_have_text("Edited")
    tab.ends()

    focused = tab.page.locator(":focus")
    tab.page.locator(".panel-head [data-menu-button]").focus()
    press("Enter")
    expect(focused).to_have_text("Rename")
    press("ArrowDown")
    expect(focused).to_contain_text("Pin")
    press("Escape")
    expect(focused).to_have_attribute("aria-label", "Actions for this conversation")
    press("Enter")
    press("Enter")
    tab.page.keyboard.type("Named by keyboard")
    press("Enter")
    expect(tab.titles).to_have_text(["Named by keyboard"])
    expect(focused).to_have_attribute("aria-label", "Actions for this conversation")

    press("Control+/")
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    press("Escape")
    expect(tab.page.get_by_role("dialog")).to_be_hidden()
    press("Control+k")
    expect(tab.page.get_by_role("searchbox")).to_be_focused()
    press("Control+Shift+O")
    expect(tab.page.locator("[data-picker]")).to_be_visible()
    expect(tab.field).to_be_focused()


def test_escape_closes_a_menu_before_it_stops_a_reply(tab: Tab, fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=4, gate=gate))
    tab.ask("Go on")
    gate.release(1)
    expect(tab.text).to_have_text("tok0")
    tab.page.locator(".panel-head [data-menu-button]").click()
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator("#conversation-menu")).to_be_hidden()
    gate.release()
    tab.ends("completed")


# --- a screen reader ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame_ms", [0, 1500])
def test_a_reply_is_announced_once_when_it_is_whole(
    tab: Tab, fake_model: FakeModelServer, persona: Persona, frame_ms: int
) -> None:
    """Even one that began and ended between two frames."""
    if frame_ms:
        tab.page.evaluate("ms => { requestAnimationFrame = (draw) => setTimeout(draw, ms); }", frame_ms)
    tab.page.evaluate(
        """() => {
          window.heard = [];
          const region = document.querySelector('[data-announcer]');
          new MutationObserver(() => window.heard.push(region.textContent)).observe(region, {childList: true});
        }"""
    )
    fake_model.enqueue(Script(tokens=["One ", "**two** ", "three."], token_ms=60))
    tab.ask("Say it")
    tab.ends()
    assert persona.published is not None
    name = persona.published.name
    wait_until(lambda: f"{name} replied: One two three." in tab.page.evaluate("window.heard"), "the announcement")
    assert [line for line in tab.page.evaluate("window.heard") if "One" in line] == [f"{name} replied: One two three."]
    expect(tab.field).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_chat(
    open_tab: OpenTab, owner: User, fake_model: FakeModelServer, scheme: str
) -> None:
    make_persona(slug="one", colour="teal", greeting="Hi, **you**.")
    make_persona(slug="two", colour="pink")
    tab = open_tab(owner, color_scheme=scheme)
    tab.page.wait_for_load_state()
    assert violations(tab) == []
    fake_model.enqueue(
        Script(tokens=[RICH]), Script(tokens=["cut ", "off"], cut_after=1, cut="reset"), Script(status=400)
    )
    tab.ask("Everything")
    tab.ends()
    assert violations(tab) == []
    tab.ask("Cut")
    tab.ends("interrupted")
    tab.ask("Fail")
    tab.ends("failed")
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=4, gate=gate))
    tab.field.fill("a draft")
    tab.ask("Live")
    gate.release(2)
    expect(tab.text).to_have_text("tok0 tok1")
    assert violations(tab) == []
    gate.release()
    tab.ends()
    tab.page.locator(".panel-head [data-menu-button]").click()
    assert violations(tab) == []
    tab.page.keyboard.press("Escape")
    tab.button("Help and shortcuts").click()
    assert violations(tab) == []
    tab.page.keyboard.press("Escape")
    tab.field.press("ArrowUp")
    assert violations(tab) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_other_pages(
    open_tab: OpenTab, owner: User, persona: Persona, scheme: str
) -> None:
    tab = open_tab(color_scheme=scheme)
    for path in ("/", "/accounts/sign-in/", "/accounts/sign-up/", "/accounts/password/forgot/"):
        tab.open(path)
        assert violations(tab) == [], path
    tab = open_tab(owner, color_scheme=scheme)
    for path in ("/accounts/profile/", "/accounts/password/", "/accounts/email/"):
        tab.open(path)
        assert violations(tab) == [], path


def test_axe_finds_nothing_serious_on_a_narrow_page_with_its_list_open(
    open_tab: OpenTab, owner: User, persona: Persona
) -> None:
    apart(titled, owner, persona, "One", "Two")
    tab = open_tab(owner, viewport=NARROW)
    tab.button("Open the list").click()
    assert violations(tab) == []


# --- looks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/accounts/sign-in/", "/accounts/sign-up/"])
def test_no_page_scrolls_sideways_at_320_pixels(open_tab: OpenTab, persona: Persona, path: str) -> None:
    assert overflow(open_tab(None, path, viewport=NARROW)) == 0


def test_the_chat_fits_320_pixels_and_wide_things_scroll_by_themselves(
    open_tab: OpenTab, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    tab = open_tab(owner, viewport=NARROW)
    wide = (
        "```\n" + "x" * 300 + "\n```\n\n|" + "wide column|" * 9 + "\n|" + "-|" * 9 + "\n|" + "value value|" * 9 + "\n\n"
    )
    fake_model.enqueue(Script(tokens=[wide + "y" * 300]))
    tab.ask("w" * 200)
    tab.ends()
    assert overflow(tab) == 0
    scroller = tab.page.locator("[data-scroller]")
    assert scroller.evaluate("s => s.scrollWidth - s.clientWidth") == 0
    assert tab.page.locator(".code-block pre").evaluate("e => e.scrollWidth > e.clientWidth")


def test_on_a_narrow_page_the_list_lies_over_the_chat_and_holds_the_focus(
    open_tab: OpenTab, owner: User, persona: Persona
) -> None:
    apart(titled, owner, persona, "One", "Two")
    tab = open_tab(owner, viewport=NARROW)
    expect(tab.page.get_by_role("link", name="One")).to_be_hidden()
    tab.button("Open the list").click()
    expect(tab.button("Close the list")).to_be_focused()
    for _ in range(20):
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate("document.querySelector('[data-sidebar]').contains(document.activeElement)")
    tab.page.keyboard.press("Escape")
    expect(tab.button("Open the list")).to_be_focused()
    tab.button("Open the list").click()
    tab.page.get_by_role("link", name="One").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("One")
    expect(tab.page.get_by_role("link", name="Two")).to_be_hidden()


def background(tab: Tab) -> str:
    colour: str = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def test_the_theme_follows_the_system_until_one_is_chosen_which_is_remembered(
    open_tab: OpenTab, persona: Persona
) -> None:
    tab = open_tab(color_scheme="dark")
    dark = background(tab)
    tab.page.emulate_media(color_scheme="light")
    wait_until(lambda: background(tab) != dark, "the page is light")
    light = background(tab)
    button = tab.page.locator("[data-theme-toggle]")
    button.click()  # light
    button.click()  # dark
    wait_until(lambda: background(tab) == dark, "the page is dark")
    expect(button).to_have_attribute("aria-label", "Appearance: dark")
    tab.page.reload()
    assert background(tab) == dark
    button.click()  # as the system has it
    wait_until(lambda: background(tab) == light, "the page is light again")


def test_times_are_local_and_their_whole_date_is_told(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    conversation = apart(make_conversation, owner, persona=persona)
    tab = open_tab(owner, f"/c/{conversation.pk}/", timezone_id="Pacific/Kiritimati")
    time = tab.reply.locator("time.message-time")
    shown: dict[str, Any] = time.evaluate(
        "t => ({text: t.textContent, title: t.title, hour: new Date(t.dateTime).getHours() % 12 || 12})"
    )
    assert re.match(rf"{shown['hour']}:\d\d", shown["text"])
    assert re.search(r"\d{4}", shown["title"])
