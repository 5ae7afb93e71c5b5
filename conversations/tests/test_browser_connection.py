"""The chat page in a real browser while its connection comes and goes: nothing is sent twice or lost."""

import json
import re

import pytest
from playwright.sync_api import WebSocketRoute, expect

from accounts.models import User
from conversations.models import Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer

from .browser import OpenTab, Tab, held, says
from .stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def tab(open_tab: OpenTab, owner: User, persona: Persona) -> Tab:
    """The owner at a new chat."""
    return open_tab(owner)


def test_an_unsent_message_waits_for_the_network_and_is_sent_once(tab: Tab, fake_model: FakeModelServer) -> None:
    tab.ask("Before")
    tab.ends()
    tab.page.context.set_offline(True)
    expect(tab.page.locator("[data-connection]")).to_have_text("You are offline")
    tab.ask("While offline")
    expect(tab.question).to_contain_text("Will be sent as soon as the connection is back.")
    assert Message.objects.filter(text="While offline").count() == 0
    says(fake_model, "Here it is.")
    tab.page.context.set_offline(False)
    expect(tab.text).to_have_text("Here it is.")
    tab.ends()
    expect(tab.page.locator("[data-connection]")).to_be_hidden()
    assert Message.objects.filter(text="While offline").count() == 1
    tab.complaints[:] = [each for each in tab.complaints if "ERR_INTERNET_DISCONNECTED" not in each]


def test_an_unsent_message_survives_a_reload_and_is_sent_once(tab: Tab) -> None:
    tab.ask("Before")
    tab.ends()
    tab.page.route_web_socket(re.compile("/ws/chat/"), lambda socket: socket.close())
    tab.page.reload()
    tab.ask("Kept over a reload")
    expect(tab.question).to_contain_text("Will be sent")
    # The route is the page's: a new page of the same tab storage stands for the reload after it.
    kept = tab.page.evaluate("sessionStorage.getItem('nono:outbox')")
    again = tab.page.context.new_page()
    again.add_init_script(f"sessionStorage.getItem('nono:outbox') ?? sessionStorage.setItem('nono:outbox', {kept!r})")
    second = Tab(again, tab.url, tab.complaints).open(f"/c/{tab.conversation}/")
    expect(second.question.locator("[data-body]")).to_have_text("Kept over a reload")
    second.ends()
    second.page.reload()
    expect(second.messages).to_have_count(4)
    assert Message.objects.filter(text="Kept over a reload").count() == 1


@pytest.mark.slow
def test_a_server_that_restarts_in_mid_reply_is_met_again(
    open_tab: OpenTab, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    with Stack(fake_model.base_url) as stack:
        tab = open_tab(owner, url=stack.url)
        gate = held(fake_model)
        tab.ask("Through a restart")
        gate.release(2)
        expect(tab.text).to_have_text("tok0 tok1")
        stack.web[0].stop()
        expect(tab.page.locator("[data-connection]")).to_have_text("Connection lost. Reconnecting …")
        gate.release(2)
        tab.field.fill("Kept meanwhile")
        stack.web[0].start()
        stack.wait_web(stack.ports[0])
        expect(tab.page.locator("[data-connection]")).to_be_hidden(timeout=40_000)
        expect(tab.text).to_have_text("tok0 tok1 tok2 tok3")
        gate.release()
        tab.ends()
        expect(tab.text).to_have_text(Message.objects.get(role="assistant").text.strip())
        expect(tab.field).to_have_value("Kept meanwhile")
        tab.page.close()  # it would go on looking for the server that ends now
    tab.complaints[:] = [each for each in tab.complaints if "ERR_CONNECTION_REFUSED" not in each]


def test_a_signed_out_tab_says_so(tab: Tab, owner: User) -> None:
    tab.ask("Before")
    tab.ends()
    second = tab.another()
    second.page.locator(".user-button").click()
    second.button("Sign out").click()
    expect(tab.page.locator("[data-connection]")).to_have_text("You are signed out. Sign in to go on.")
    expect(tab.button("Sign in", tab.toast)).to_be_visible()


def test_a_connection_that_is_never_ready_is_given_up_for_another(tab: Tab) -> None:
    tries: list[WebSocketRoute] = []

    def stand_between(socket: WebSocketRoute) -> None:
        tries.append(socket)
        if len(tries) > 1:
            socket.connect_to_server()

    tab.page.route_web_socket(re.compile("/ws/chat/"), stand_between)
    tab.page.clock.install()
    tab.page.reload()
    tab.ask("Kept meanwhile")
    expect(tab.question).to_contain_text("Will be sent")
    tab.page.clock.fast_forward(20_000)
    tab.ends()
    assert len(tries) == 2


def answer_the_first_stop(tab: Tab, code: str, times: int = 1) -> list[str]:
    """From the tab's next page on, its first stop is answered with so many errors. The types of what the page sends."""
    sent: list[str] = []

    def stand_between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(frame: str | bytes) -> None:
            kind = json.loads(frame)["type"]
            sent.append(kind)
            if kind == "reply.stop" and sent.count(kind) == 1:
                for _ in range(times):
                    socket.send(json.dumps({"type": "error", "code": code, "detail": "Not now.", "client_id": ""}))
            else:
                server.send(frame)

        socket.on_message(pass_on)

    tab.page.route_web_socket(re.compile("/ws/chat/"), stand_between)
    return sent


def test_a_stop_that_could_not_be_stored_is_sent_again_once(tab: Tab, fake_model: FakeModelServer) -> None:
    sent = answer_the_first_stop(tab, "unavailable", times=3)
    tab.page.reload()
    gate = held(fake_model)
    tab.ask("Stop this")
    gate.release(2)
    expect(tab.text).to_have_text("tok0 tok1")
    tab.button("Stop the reply").click()
    tab.ends("stopped")
    assert sent[sent.index("reply.stop") :] == ["reply.stop", "conversation.follow", "reply.stop"]


def test_a_stop_that_was_refused_can_be_asked_for_again(tab: Tab, fake_model: FakeModelServer) -> None:
    sent = answer_the_first_stop(tab, "internal_error")
    tab.page.reload()
    gate = held(fake_model)
    tab.ask("Stop this")
    gate.release(2)
    expect(tab.text).to_have_text("tok0 tok1")
    tab.button("Stop the reply").click()
    expect(tab.toast).to_contain_text("Not now.")
    tab.button("Stop the reply").click()
    tab.ends("stopped")
    assert sent.count("reply.stop") == 2
