"""The chat page in a real browser, on the real processes and the fake model server: the main job."""

import re

import pytest
from playwright.sync_api import expect

from accounts import tokens
from accounts.models import SignUp, User
from accounts.tests.factories import PASSWORD
from conversations.models import Conversation, Feedback, Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .browser import OpenTab, Tab, apart, held, hold_snapshots, says
from .factories import make_conversation, make_persona
from .stack import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def tab(open_tab: OpenTab, owner: User, persona: Persona) -> Tab:
    """The owner at a new chat."""
    return open_tab(owner)


# --- coming in ------------------------------------------------------------------------------------------------------


def test_a_guest_chats_at_once(open_tab: OpenTab, persona: Persona, fake_model: FakeModelServer) -> None:
    gate = held(fake_model)
    tab = open_tab()
    tab.button("Try it without an account").click()
    tab.ask("Hello there")
    gate.release(2)
    expect(tab.text).to_have_text("tok0 tok1")
    expect(tab.reply).to_have_attribute("data-status", "streaming")
    gate.release()
    tab.ends()
    expect(tab.titles).to_have_text(["Hello there"])
    assert tab.page.title() == "Hello there · Nono"
    stored = Message.objects.get(conversation=tab.conversation, role="assistant")
    assert stored.text.startswith("tok0 tok1 ")
    expect(tab.text).to_have_text(stored.text.strip())


def test_signing_up_keeps_the_guests_conversation(open_tab: OpenTab, persona: Persona) -> None:
    tab = open_tab()
    tab.button("Try it without an account").click()
    tab.ask("From a guest")
    tab.ends()
    tab.page.locator(".user-button").click()
    tab.page.get_by_role("link", name="Sign up").click()
    tab.page.get_by_label("E-mail").fill("new@example.org")
    tab.page.get_by_label("Password", exact=True).fill(PASSWORD)
    tab.button("Sign up").click()
    tab.page.get_by_role("heading", name="Check your mail").wait_for()
    waiting = wait_until(lambda: SignUp.objects.filter(email="new@example.org").first(), "the sign-up is stored")
    tab.open(f"/accounts/link/sign-up/{tokens.sign_up_token(waiting)}/")
    tab.button("Confirm and go on").click()
    expect(tab.titles).to_have_text(["From a guest"])
    expect(tab.page.locator(".user-name")).to_have_text("new")


# --- a reply in the making --------------------------------------------------------------------------------------------


def test_a_reload_in_the_middle_loses_nothing(tab: Tab, fake_model: FakeModelServer) -> None:
    gate = held(fake_model)
    tab.ask("Long one")
    gate.release(3)
    expect(tab.text).to_have_text("tok0 tok1 tok2")
    tab.page.reload()
    expect(tab.text).to_have_text("tok0 tok1 tok2")
    gate.release(2)
    expect(tab.text).to_have_text("tok0 tok1 tok2 tok3 tok4")
    gate.release()
    tab.ends()
    expect(tab.text).to_have_text(Message.objects.get(role="assistant").text.strip())
    expect(tab.messages).to_have_count(2)


def test_two_tabs_show_the_same(tab: Tab, fake_model: FakeModelServer) -> None:
    second = tab.another()
    gate = held(fake_model)
    tab.ask("For two tabs")
    gate.release(2)
    second.page.get_by_role("link", name="For two tabs").click()
    expect(second.text).to_have_text("tok0 tok1")
    gate.release()
    tab.ends()
    second.ends()
    assert second.text.inner_html() == tab.text.inner_html()
    second.ask("And back")
    expect(tab.question.locator("[data-body]")).to_have_text("And back")
    tab.ends()
    second.ends()
    expect(tab.messages).to_have_count(4)
    assert tab.text.inner_html() == second.text.inner_html()


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_stop_keeps_what_is_there_and_continue_goes_on(tab: Tab, fake_model: FakeModelServer, how: str) -> None:
    gate = held(fake_model)
    tab.ask("Stop me")
    gate.release(2)
    expect(tab.text).to_have_text("tok0 tok1")
    if how == "button":
        tab.button("Stop the reply").click()
    else:
        tab.page.keyboard.press("Escape")
    tab.ends("stopped")
    expect(tab.text).to_have_text("tok0 tok1")
    expect(tab.reply).to_contain_text("You stopped this reply.")
    expect(tab.field).to_be_focused()
    says(fake_model, "and on.")
    tab.button("Continue").click()
    tab.ends()
    expect(tab.text).to_have_text("tok0 tok1 and on.")


def test_an_interrupted_reply_says_so_and_continues(tab: Tab, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(tokens=["One ", "two ", "three"], cut_after=2, cut="reset"))
    tab.ask("Count")
    tab.ends("interrupted")
    expect(tab.reply).to_contain_text("This reply was interrupted. What arrived is kept.")
    tab.page.reload()
    says(fake_model, "and three.")
    tab.button("Continue").click()
    tab.ends()
    expect(tab.text).to_have_text("One two and three.")


def test_a_failed_reply_says_why_and_is_tried_again(tab: Tab, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(status=400))
    tab.ask("Fail once")
    tab.ends("failed")
    expect(tab.reply.locator("[data-state-text]")).not_to_be_empty()
    says(fake_model, "Now it works.")
    tab.button("Try again", tab.reply).click()
    tab.ends()
    expect(tab.text).to_have_text("Now it works.")


def test_blocks_are_rendered_while_the_rest_is_still_open(tab: Tab, fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    tokens = ["**One** 👩‍🚀\n\n", "- a\n- b\n\nThen:\n\n", "*tw", "o*"]
    fake_model.enqueue(Script(tokens=tokens, gate=gate))
    tab.ask("Blocks")
    gate.release(3)
    expect(tab.text.locator("strong")).to_have_text("One")
    expect(tab.text.locator("li")).to_have_text(["a", "b"])
    expect(tab.text.locator(".tail")).to_have_text("*tw")
    gate.release()
    tab.ends()
    expect(tab.text.locator("em")).to_have_text("two")


def test_what_a_model_says_is_inert(tab: Tab, fake_model: FakeModelServer) -> None:
    evil = (
        "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\n\n"
        "![pixel](https://tracker.example/p.png) [click](javascript:document.title='owned') "
        "<svg onload=\"document.title='owned'\"></svg>\n\n[ok](https://fine.example/)\n\nend"
    )
    fake_model.enqueue(Script(tokens=[evil[i : i + 7] for i in range(0, len(evil), 7)], token_ms=5))
    tab.ask("<img src=x onerror=\"document.title='owned'\">")
    tab.ends()
    assert tab.page.title().startswith("<img")
    assert tab.text.locator("img, script, svg, [onerror], [onload]").count() == 0
    assert tab.text.locator('a[href^="javascript"]').count() == 0
    link = tab.text.get_by_role("link", name="ok")
    expect(link).to_have_attribute("rel", re.compile("noopener"))
    tab.page.reload()
    expect(tab.question.locator("img")).to_have_count(0)


# --- branches -------------------------------------------------------------------------------------------------------


def test_edit_and_regenerate_make_branches_that_the_arrows_reach(tab: Tab, fake_model: FakeModelServer) -> None:
    says(fake_model, "First reply", "Second reply", "Edited reply")
    tab.ask("First wording")
    tab.ends()
    tab.button("Another reply", tab.reply).click()
    expect(tab.text).to_have_text("Second reply")
    expect(tab.reply.locator("[data-branch-label]")).to_have_text("2/2")
    tab.button("Earlier version", tab.reply).click()
    expect(tab.text).to_have_text("First reply")
    expect(tab.button("Earlier version", tab.reply)).to_be_disabled()
    expect(tab.button("Later version", tab.reply)).to_be_focused()

    tab.question.hover()
    tab.button("Edit", tab.question).click()
    editor = tab.page.get_by_label("Your question in other words")
    expect(editor).to_be_focused()
    editor.fill("Second wording")
    editor.press("Enter")
    expect(tab.text).to_have_text("Edited reply")
    expect(tab.question.locator("[data-branch-label]")).to_have_text("2/2")
    tab.button("Earlier version", tab.question).click()
    expect(tab.question.locator("[data-body]")).to_have_text("First wording")
    expect(tab.reply.locator("[data-branch-label]")).to_have_text("2/2")  # its newest reply
    tab.page.reload()
    expect(tab.question.locator("[data-branch-label]")).to_have_text("1/2")


def test_what_is_pressed_before_the_page_is_connected_is_done_when_it_is(tab: Tab) -> None:
    tab.ask("As it was")
    tab.ends()
    waiting = hold_snapshots(tab)
    tab.page.reload()
    tab.question.hover()
    tab.button("Edit", tab.question).click()
    editor = tab.page.get_by_label("Your question in other words")
    wait_until(lambda: tab.page.wait_for_timeout(50) or waiting, "a snapshot")
    expect(editor).to_have_count(0)
    waiting.pop()()
    expect(editor).to_be_focused()
    expect(editor).to_have_value("As it was")


def test_escape_leaves_a_question_as_it_was(tab: Tab) -> None:
    tab.ask("As it was")
    tab.ends()
    tab.field.press("ArrowUp")
    editor = tab.page.get_by_label("Your question in other words")
    editor.fill("Something else")
    editor.press("Escape")
    expect(editor).to_have_count(0)
    expect(tab.question.locator("[data-body]")).to_have_text("As it was")
    assert Message.objects.filter(role="user").count() == 1


# --- writing --------------------------------------------------------------------------------------------------------


def test_shift_enter_starts_a_line_and_the_field_grows(tab: Tab) -> None:
    height = tab.field.bounding_box()["height"]  # type: ignore[index]
    tab.field.press_sequentially("one")
    for _ in range(4):
        tab.field.press("Shift+Enter")
    tab.field.press_sequentially("two")
    assert tab.field.bounding_box()["height"] > height + 40  # type: ignore[index]
    expect(tab.messages).to_have_count(0)
    tab.field.press("Enter")
    tab.ends()
    assert Message.objects.get(role="user").text == "one\n\n\n\ntwo"
    expect(tab.field).to_have_value("")


def test_enter_that_ends_a_composition_does_not_send(tab: Tab) -> None:
    tab.field.fill("にほ")
    tab.field.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True})
    expect(tab.field).to_have_value("にほ")
    expect(tab.messages).to_have_count(0)


def test_a_draft_is_kept_for_each_conversation_and_over_a_reload(tab: Tab) -> None:
    tab.ask("Conversation one")
    tab.ends()
    tab.field.fill("half a thought")
    tab.page.get_by_role("link", name="New chat").click()
    expect(tab.page.locator("[data-picker]")).to_be_visible()
    expect(tab.field).to_have_value("")
    tab.field.fill("another")
    tab.page.get_by_role("link", name="Conversation one").click()
    expect(tab.field).to_have_value("half a thought")
    tab.page.reload()
    expect(tab.field).to_have_value("half a thought")


def test_what_is_written_during_a_reply_waits(tab: Tab, fake_model: FakeModelServer) -> None:
    gate = held(fake_model)
    tab.ask("First")
    gate.release(1)
    expect(tab.text).to_have_text("tok0")
    tab.field.fill("Too early")
    tab.field.press("Enter")
    expect(tab.field).to_have_value("Too early")
    gate.release()
    tab.ends()
    tab.field.press("Enter")
    expect(tab.question.locator("[data-body]")).to_have_text("Too early")
    wait_until(lambda: Message.objects.filter(role="user").count() == 2, "the second question in the database")
    tab.ends()


def test_a_suggestion_starts_the_chat_with_the_chosen_persona(open_tab: OpenTab, owner: User) -> None:
    make_persona(slug="first", name="First")
    make_persona(slug="second", name="Second", greeting="I am **the second**.", suggestions=["Who are you?"])
    tab = open_tab(owner)
    tab.page.get_by_role("radio", name="Second").check(force=True)
    expect(tab.page.get_by_text("I am the second.")).to_be_visible()
    tab.button("Who are you?").click()
    tab.ends()
    assert Conversation.objects.get().persona_version.name == "Second"
    expect(tab.page.get_by_text("I am the second.")).to_be_visible()
    expect(tab.page.locator("[data-picker]")).to_be_hidden()


# --- feedback -------------------------------------------------------------------------------------------------------


def test_thumbs_and_a_comment_are_kept(tab: Tab) -> None:
    tab.ask("Rate me")
    tab.ends()
    tab.button("Helpful", tab.reply).click()
    expect(tab.button("Helpful", tab.reply)).to_have_attribute("aria-pressed", "true")
    tab.button("Not helpful", tab.reply).click()
    tab.page.get_by_label("Comment (optional)").fill("Too short")
    tab.page.get_by_role("dialog").get_by_role("button", name="Send").click()
    expect(tab.button("Not helpful", tab.reply)).to_have_attribute("aria-pressed", "true")
    tab.page.reload()
    expect(tab.button("Not helpful", tab.reply)).to_have_attribute("aria-pressed", "true")
    stored = Feedback.objects.get()
    assert (stored.value, stored.comment) == (-1, "Too short")


def test_copying_a_reply_and_its_code(
    open_tab: OpenTab, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    says(fake_model, "Run **this**:\n\n```python\nprint('hi')\n```\n")
    tab = open_tab(owner, permissions=["clipboard-read", "clipboard-write"])
    tab.ask("Code please")
    tab.ends()
    tab.button("Copy", tab.page.locator(".code-block")).click()
    assert tab.page.evaluate("navigator.clipboard.readText()") == "print('hi')\n"
    tab.button("Copy", tab.reply.locator("[data-actions]")).click()
    wait_until(lambda: "Run **this**" in tab.page.evaluate("navigator.clipboard.readText()"), "the reply is copied")


# --- reading --------------------------------------------------------------------------------------------------------


def test_the_page_follows_a_reply_until_the_reader_scrolls_up(tab: Tab, fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=[f"Paragraph {n}.\n\n" for n in range(80)], gate=gate))
    tab.ask("At length")
    scroller = tab.page.locator("[data-scroller]")
    gate.release(40)
    expect(tab.text).to_contain_text("Paragraph 39.")
    end = "s => s.scrollHeight - s.scrollTop - s.clientHeight"
    wait_until(lambda: scroller.evaluate(end) < 64, "it stays at the end")
    scroller.hover()
    tab.page.mouse.wheel(0, -500)
    expect(tab.button("Jump to latest")).to_be_visible()
    place = "s => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(s.scrollTop))))"
    wait_until(lambda: scroller.evaluate(place) == scroller.evaluate(place), "an end of the wheel's scrolling")
    before = scroller.evaluate("s => s.scrollTop")
    gate.release()
    expect(tab.text).to_contain_text("Paragraph 79.")
    tab.ends()
    assert abs(scroller.evaluate("s => s.scrollTop") - before) < 2
    tab.button("Jump to latest").click()
    wait_until(lambda: scroller.evaluate(end) < 64, "it is at the end again")
    expect(tab.button("Jump to latest")).to_be_hidden()


def test_earlier_messages_come_above_without_moving_what_is_read(
    open_tab: OpenTab, owner: User, persona: Persona
) -> None:
    conversation = apart(make_conversation, owner, turns=30, persona=persona)
    tab = open_tab(owner, f"/c/{conversation.pk}/")
    expect(tab.messages).to_have_count(50)
    scroller = tab.page.locator("[data-scroller]")
    wait_until(lambda: scroller.evaluate("s => s.scrollHeight - s.scrollTop - s.clientHeight") < 64, "it is at the end")
    scroller.evaluate("s => (s.scrollTop = 0)")
    expect(tab.button("Jump to latest")).to_be_visible()
    first = tab.messages.first
    expect(first).to_contain_text("Question 6")
    handle = first.element_handle()
    top = "e => e.getBoundingClientRect().top - e.closest('[data-scroller]').getBoundingClientRect().top"
    before = handle.evaluate(top)  # type: ignore[union-attr]
    tab.button("Earlier messages").click()
    expect(tab.messages).to_have_count(60)
    assert abs(handle.evaluate(top) - before) < 80  # type: ignore[union-attr]  the button above it went away
    expect(tab.messages.first).to_contain_text("Question 1")
    expect(tab.button("Earlier messages")).to_be_hidden()
    expect(tab.page.get_by_text("Hello!")).to_be_visible()


def test_earlier_messages_come_too_where_they_are_asked_for_before_the_page_is_connected(
    open_tab: OpenTab, owner: User, persona: Persona
) -> None:
    conversation = apart(make_conversation, owner, turns=30, persona=persona)
    tab = open_tab(owner)
    waiting = hold_snapshots(tab)
    tab.page.goto(f"{tab.url}/c/{conversation.pk}/")
    tab.button("Earlier messages").click()
    wait_until(lambda: tab.page.wait_for_timeout(50) or waiting, "a snapshot")
    expect(tab.messages).to_have_count(50)
    waiting.pop()()
    expect(tab.messages).to_have_count(60)
