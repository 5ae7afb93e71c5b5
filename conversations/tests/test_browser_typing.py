"""That one writes in one tab shows in one's others."""

import json
from typing import Any

import pytest
from playwright.sync_api import WebSocketRoute, expect

from accounts.models import User
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer

from .browser import OpenTab, Tab, apart, violations
from .factories import make_conversation
from .stack import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NOON = "2030-01-01T12:00:00Z"


@pytest.fixture
def tab(open_tab: OpenTab, owner: User, persona: Persona) -> Tab:
    """A tab with a conversation."""
    conversation = apart(make_conversation, owner, persona=persona)
    return open_tab(owner, f"/c/{conversation.pk}/")


def elsewhere(tab: Tab) -> Any:
    """The line that says so."""
    return tab.page.locator("[data-elsewhere]")


def note(tab: Tab, kind: str, direction: str = "framesent") -> list[dict[str, Any]]:
    """The frames of that type that cross the tab's socket from its next page on."""
    noted: list[dict[str, Any]] = []

    def look(frame: str | bytes) -> None:
        content = json.loads(frame)
        if content["type"] == kind:
            noted.append(content)

    tab.page.on("websocket", lambda socket: socket.on(direction, look))
    return noted


def write(tab: Tab, text: str) -> None:
    tab.page.bring_to_front()
    tab.page.wait_for_load_state()
    tab.field.press_sequentially(text)


def test_writing_shows_in_the_other_tab_of_the_conversation_and_passes(tab: Tab) -> None:
    second = tab.another(tab.page.url.removeprefix(tab.url))
    new_chat = tab.another()
    sent, echoed = note(second, "typing"), note(second, "typing.seen", "framereceived")
    second.page.reload()
    wait_until(lambda: write(second, "x") or sent, "the tab is connected and says that it is written in")
    expect(elsewhere(tab)).to_be_visible()
    expect(elsewhere(tab)).to_have_text("You are writing in another tab …")
    expect(tab.page.locator("[data-announcer]")).to_have_text("You are writing in another tab …")
    assert violations(tab) == []
    wait_until(lambda: echoed, "the server has told the writing tab, too")
    expect(elsewhere(second)).to_be_hidden()
    expect(elsewhere(new_chat)).to_be_hidden()
    expect(elsewhere(tab)).to_be_hidden(timeout=20_000)
    expect(tab.page.get_by_text("Replies can be wrong: check what matters.")).to_be_visible()


def test_the_line_goes_when_it_is_sent(tab: Tab, fake_model: FakeModelServer) -> None:
    tab.page.clock.install()
    tab.page.reload()
    tab.page.wait_for_load_state()
    second = tab.another(tab.page.url.removeprefix(tab.url))
    wait_until(lambda: write(second, "x") or elsewhere(tab).is_visible(), "the line is there")
    tab.page.clock.pause_at("2100-01-01T00:00:00Z")
    wait_until(lambda: write(second, "x") or elsewhere(tab).is_visible(), "the line is there for good")
    second.field.press("Enter")
    expect(elsewhere(tab)).to_be_hidden()


def test_it_is_told_once_in_three_seconds(tab: Tab) -> None:
    sent = note(tab, "typing")
    tab.page.clock.set_fixed_time(NOON)
    tab.page.reload()
    wait_until(lambda: write(tab, "x") or sent, "the tab is connected and says that it is written in")
    write(tab, "a sentence of some length")
    tab.page.clock.set_fixed_time("2030-01-01T12:00:02.999Z")
    write(tab, "and more")
    assert len(sent) == 1
    tab.page.clock.set_fixed_time("2030-01-01T12:00:03Z")
    write(tab, "and more")
    wait_until(lambda: len(sent) > 1, "it is told again")
    assert sent == [{"type": "typing", "conversation": tab.conversation}] * 2


def test_a_new_chat_and_an_empty_field_tell_nothing(tab: Tab) -> None:
    sent = note(tab, "typing")
    tab.page.reload()
    write(tab, "   ")
    wait_until(lambda: write(tab, "x") or sent, "the tab is connected")
    tab.page.get_by_role("link", name="New chat").click()
    expect(tab.page.locator("[data-picker]")).to_be_visible()
    write(tab, "to whom it may concern")
    assert len(sent) == 1


def test_where_it_is_refused_it_is_not_tried_again_and_nobody_is_bothered(tab: Tab) -> None:
    """As a socket is refused it that was let in by a key without the scope `chat`."""
    refused: list[str] = []

    def answer(socket: WebSocketRoute, frame: str) -> None:
        if '"typing"' in frame:
            refused.append(frame)
            named = {"client_id": "", "conversation": tab.conversation}
            socket.send(json.dumps({"type": "error", "code": "scope_missing", "detail": "No.", **named}))
            socket.send(json.dumps({"type": "typing.seen", "conversation": tab.conversation}))

    def stand_between(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        socket.on_message(lambda frame: answer(socket, str(frame)))

    tab.page.route_web_socket("**/ws/chat/", stand_between)
    tab.page.clock.set_fixed_time(NOON)
    tab.page.reload()
    wait_until(lambda: write(tab, "x") or refused, "it is refused")
    tab.page.clock.set_fixed_time("2030-01-01T13:00:00Z")
    write(tab, "and an hour later")
    expect(tab.page.locator(".toast")).to_have_count(0)
    assert len(refused) == 1
