"""Maintenance on running processes: known within seconds, no reply is lost, questions are refused; and how its page,
the status page and pages of errors look."""

import io
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import expect

from accounts.models import User
from chatbot_project.lib.db import run_db
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer, Script

from .browser import Tab, apart, overflow, violations
from .client import ChatClient, session_key
from .stack import Stack, wait_until

LOOKS = [
    ({"width": 1280, "height": 800}, "light"), ({"width": 1280, "height": 800}, "dark"),
    ({"width": 375, "height": 720}, "light"), ({"width": 375, "height": 720}, "dark"),
]  # fmt: skip


def page_of(stack: Stack) -> int:
    """The status that the landing page is answered with."""
    request = urllib.request.Request(stack.url, headers={"Accept": "text/html"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)


def maintenance(stack: Stack, state: str) -> None:
    """Begin or end it, and wait until the web process knows."""
    call_command("maintenance", state, stdout=io.StringIO())
    wait_until(lambda: page_of(stack) == (503 if state == "on" else 200), f"maintenance {state}")


async def test_a_running_reply_ends_and_a_new_question_is_refused_until_it_is_over(
    live_stack: Stack, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=6, gate=gate))
    key = await run_db(session_key, owner)
    async with ChatClient(live_stack.url, key) as client:
        accepted = await client.ask("Does this end?", persona=persona.slug)
        gate.release(2)
        await run_db(maintenance, live_stack, "on")
        await client.send(type="message.send", client_id="refused", text="And this?", persona=persona.slug)
        refused = await client.until(lambda: client.errors.get("refused"), "a refusal")
        assert (refused["type"], refused["code"]) == ("error", "maintenance")
        assert refused["retry_after"] == 300
        gate.release()
        assert (await client.ended(accepted["reply"]["id"])).status == "reply.completed"
        await run_db(maintenance, live_stack, "off")
        again = await client.ask("And this?", persona=persona.slug)
        assert (await client.ended(again["reply"]["id"])).status == "reply.completed"


@pytest.mark.browser
@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_the_pages_are_accessible_in_every_look(
    live_stack: Stack, open_tab: Callable[..., Tab], size: Any, scheme: str
) -> None:
    tab = open_tab(path="/status/", viewport=size, color_scheme=scheme)
    expect(tab.page.locator("h1")).to_be_visible()
    seen = [(violations(tab), overflow(tab))]
    tab.page.goto(live_stack.url + "/nothing-here")
    expect(tab.page.locator("h1")).to_have_text("Nothing here")
    seen.append((violations(tab), overflow(tab)))
    apart(maintenance, live_stack, "on")
    try:
        tab.page.goto(live_stack.url)
        expect(tab.page.locator("h1")).to_have_text("The service is being worked on")
        seen.append((violations(tab), overflow(tab)))
    finally:
        apart(maintenance, live_stack, "off")
    assert seen == [([], 0)] * 3
    tab.complaints.clear()  # the browser says of each page that it was answered with 404 or 503
