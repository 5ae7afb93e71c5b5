"""The admin's pages of a persona in a real browser: nothing in the console, and the side chat sends, streams, stops."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect, sync_playwright
from psycopg.conninfo import make_conninfo

from accounts.tests.factories import make_admin
from personas.tests.factories import make_draft
from stress_tests.fake_model import FakeModelServer, Script

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed"),
]


@pytest.fixture
def server(transactional_db: None, fake_model: FakeModelServer) -> Iterator[str]:
    """The product's pages from a process of their own, on the test's database, asking the fake model."""
    database = connection.settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    environment = os.environ | {
        "DATABASE_URL": make_conninfo(**{key: database[name] for key, name in names.items() if database[name]}),
        "LLM_PROVIDERS": json.dumps({"fake": {"base_url": fake_model.base_url}}),
    }
    # The socket is made here: browsers can connect before the process is up, and wait.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = ["-m", "uvicorn", "chatbot_project.asgi:application", "--fd", str(listener.fileno())]
        web = subprocess.Popen(
            [sys.executable, *arguments, "--log-level", "warning"],
            env=environment, cwd=django_settings.BASE_DIR, pass_fds=[listener.fileno()],
        )  # fmt: skip
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        urlopen(f"{address}/healthz", timeout=120).close()
        yield address
        web.terminate()
        web.wait(20)


@pytest.fixture
def signed_in(server: str, settings: Any) -> tuple[str, str]:
    """The address of a draft's side chat, and the session of an admin."""
    settings.LLM_PROVIDERS = {"fake": None}
    draft = make_draft(name="Draft", suggestions=["Who are you?"], model="fake/x")
    client = Client()
    client.force_login(make_admin())
    address = server + reverse("admin:personas_persona_side_chat", args=[draft.persona_id])
    return address, client.cookies[django_settings.SESSION_COOKIE_NAME].value


# After ``signed_in``: while Playwright runs, this thread has an event loop, and Django refuses it the database.
@pytest.fixture
def page(signed_in: tuple[str, str]) -> Iterator[Page]:
    """An admin's page of a draft's side chat. Fails on anything that the browser's console calls an error."""
    address, session = signed_in
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_navigation_timeout(60_000)  # the first one makes the templates
        cookie = {"name": django_settings.SESSION_COOKIE_NAME, "value": session, "domain": "127.0.0.1", "path": "/"}
        page.context.add_cookies([cookie])
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        yield page
        browser.close()
    assert errors == []


def test_a_reply_streams_in_and_ends_formatted(page: Page, fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["**bold**", " <b x-init=alert(1)>", " end"], gate=gate))
    page.get_by_label("Message", exact=True).fill("Hello")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    gate.release(1)
    log = page.get_by_role("log")
    expect(log).to_contain_text("**bold**")
    gate.release()
    expect(log.locator("strong", has_text="bold")).to_be_visible()
    expect(log).to_contain_text("<b x-init=alert(1)> end")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    fake_model.enqueue(Script(tokens=["Again."]))
    page.get_by_role("button", name="Who are you?").click()
    expect(log).to_contain_text("Again.")
    contents = [message["content"] for message in fake_model.requests[-1].messages]
    assert contents == ["You are a helper.", "Hello", "**bold** <b x-init=alert(1)> end", "Who are you?"]


def test_stop_keeps_what_came_and_start_again_clears_it(page: Page, fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["partial", " never"], gate=gate))
    gate.release(1)
    page.get_by_label("Message", exact=True).fill("Hello")
    page.get_by_role("button", name="Send").click()
    log = page.get_by_role("log")
    expect(log).to_contain_text("partial")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status").filter(has_text="Stopped.")).to_be_visible()
    fake_model.wait_disconnected()
    expect(log).to_contain_text("partial")
    page.get_by_role("button", name="Start again").click()
    expect(log).to_have_text("")


def test_a_model_that_refuses_gives_the_question_back(page: Page, fake_model: FakeModelServer) -> None:
    fake_model.default = Script(status=400)
    page.get_by_label("Message", exact=True).fill("Hello")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status").filter(has_text="fake/x")).to_be_visible()
    expect(page.get_by_role("log")).to_have_text("")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Hello")


def test_from_the_side_chat_a_draft_is_edited_compared_and_published(page: Page) -> None:
    page.get_by_role("link", name="Edit the draft").click()
    page.get_by_label("Greeting").fill("Good day!")
    with page.expect_navigation():
        page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("You are editing the draft.")).to_be_visible()
    page.get_by_role("link", name="Versions and publishing").click()
    page.get_by_role("button", name="Publish the draft").click()
    expect(page.get_by_text("The draft is published.")).to_be_visible()
    expect(page.get_by_role("row", name="v1 · in force")).to_be_visible()
    page.get_by_role("link", name="Edit the draft").click()
    expect(page.get_by_label("Greeting")).to_have_value("Good day!")
