"""Debian's chromium on the running product, and a page object for the chat."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from django.conf import settings
from django.db import connection
from playwright.sync_api import Browser, BrowserContext, Locator, Page, WebSocketRoute, expect, sync_playwright

from accounts.models import User
from chatbot_project.lib.tests.axe import serious_violations
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Gate, Script

from .client import session_key
from .stack import Stack, wait_until

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# What htmx says of a list that is asked for anew before it came (hx-sync), and after what it names more exactly.
REPLACED = ("htmx:sendAbort,", "htmx:afterRequest,")
WIDE = {"width": 1280, "height": 800}
expect.set_options(timeout=30_000)
NARROW = {"width": 320, "height": 640}


class Tab:
    """One tab with the chat. ``complaints`` are console errors and requests to elsewhere; no test may leave any."""

    def __init__(self, page: Page, url: str, complaints: list[str]) -> None:
        self.page, self.url, self.complaints = page, url, complaints
        page.on("console", self._said)
        page.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
        page.on("request", self._requested)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(REPLACED):
            self.complaints.append(f"console {message.type}: {message.text}")

    def _requested(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.complaints.append(f"request to {request.url}")

    def open(self, path: str = "/") -> "Tab":
        self.page.goto(self.url + path)
        return self

    def another(self, path: str = "/") -> "Tab":
        """A second tab of the same browser, which hears what is told from now on."""
        page, heard = self.page.context.new_page(), list[str]()
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(str(frame))))
        tab = Tab(page, self.url, self.complaints).open(path)
        wait_until(lambda: page.wait_for_timeout(10) or any('"ready"' in frame for frame in heard), "its connection")
        return tab

    # --- what is on the page ------------------------------------------------------------------------------------------

    @property
    def field(self) -> Locator:
        return self.page.get_by_label("Message", exact=True)

    @property
    def messages(self) -> Locator:
        return self.page.locator("[data-messages] > [data-message]")

    @property
    def question(self) -> Locator:
        """The last question."""
        return self.page.locator("[data-messages] > [data-role=user]").last

    @property
    def reply(self) -> Locator:
        """The last reply."""
        return self.page.locator("[data-messages] > [data-role=assistant]").last

    @property
    def text(self) -> Locator:
        """The last reply's text."""
        return self.reply.locator("[data-body]")

    @property
    def titles(self) -> Locator:
        """The lines of the list."""
        return self.page.locator("#conversation-list [data-title]")

    @property
    def toast(self) -> Locator:
        return self.page.locator(".toast").last

    def button(self, name: str, within: Locator | None = None) -> Locator:
        return (within or self.page).get_by_role("button", name=name, exact=True)

    # --- what a person does -------------------------------------------------------------------------------------------

    def ask(self, text: str) -> None:
        self.field.wait_for()
        self.page.wait_for_load_state()  # the scripts run
        self.field.fill(text)
        self.field.press("Enter")
        expect(self.question.locator("[data-body]")).to_have_text(text)

    def ends(self, status: str = "completed") -> None:
        """Wait for the end of the last reply."""
        expect(self.reply).to_have_attribute("data-status", status)

    def choose(self, action: str) -> None:
        """Pick from the menu of the conversation that is shown."""
        self.page.bring_to_front()  # a tab behind another draws once a second
        self.page.locator(".panel-head [data-menu-button]").click()
        self.page.locator("#conversation-menu").get_by_role("button", name=action, exact=True).click()

    @property
    def conversation(self) -> str:
        """The id in the address, which is there once the conversation is stored."""
        self.page.wait_for_url(re.compile("/c/"))
        return self.page.url.rstrip("/").rpartition("/")[2]


OpenTab = Callable[..., Tab]
T = TypeVar("T")


def apart(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """``work()`` in a thread that has no event loop, as Playwright's is one that services may not ring doorbells in."""

    def run() -> T:
        try:
            return work(*args, **kwargs)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def held(fake_model: FakeModelServer, tokens: int = 8) -> Gate:
    """The next reply says as many tokens as the gate lets through."""
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=tokens, gate=gate))
    return gate


def says(fake_model: FakeModelServer, *texts: str) -> None:
    """The next replies, in this order."""
    for text in texts:
        fake_model.enqueue(Script(tokens=[text]))


def hold_snapshots(tab: Tab, told: list[str] | None = None, *, before: str = "") -> list[Callable[[], None]]:
    """From the tab's next page on, what lets through each conversation's state that is on its way to the page.

    ``told`` gets the types of the events that reached it. What is held is let through ahead of an event of type
    ``before``.
    """
    held: list[Callable[[], None]] = []
    seen = told if told is not None else []

    def stand_between(socket: WebSocketRoute) -> None:
        def let_through(frame: str | bytes) -> None:
            seen.append(json.loads(frame)["type"])
            socket.send(frame)

        def tell(frame: str | bytes) -> None:
            kind = json.loads(frame)["type"]
            if kind == "conversation.snapshot":
                held.append(lambda: let_through(frame))
                return
            while kind == before and held:
                held.pop(0)()
            let_through(frame)

        socket.connect_to_server().on_message(tell)

    tab.page.route_web_socket(re.compile("/ws/chat/"), stand_between)
    return held


def violations(tab: Tab) -> list[str]:
    """What axe finds that is serious or critical."""
    return serious_violations(tab.page)


def overflow(tab: Tab) -> int:
    """By how much the page is wider than its window."""
    root = tab.page.locator("html")  # awaited: there is none for a moment while a page is left for another
    width: int = root.evaluate("root => root.scrollWidth - innerWidth")
    return width


def focus_by_tab(tab: Tab, name: str, most: int = 40) -> None:
    """Press Tab until the element with this accessible name has the focus."""
    for _ in range(most):
        tab.page.keyboard.press("Tab")
        if tab.page.evaluate(
            "name => [document.activeElement.ariaLabel, document.activeElement.textContent.trim()].includes(name)", name
        ):
            return
    pytest.fail(f"{name!r} cannot be reached by Tab")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not os.path.exists(CHROMIUM):
        pytest.skip("no chromium: apt-get install chromium")
    # Playwright's synchronous interface runs a loop in this thread, in which Django refuses the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            yield browser
            browser.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def open_tab(live_stack: Stack, chromium: Browser) -> Iterator[OpenTab]:
    """``open_tab(user, path, **context options)``: a tab in a browser of its own, signed in where there is a user."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def start(user: User | None = None, path: str = "/", url: str = live_stack.url, **options: Any) -> Tab:
        context = chromium.new_context(**{"viewport": WIDE, "locale": "en-GB", "reduced_motion": "reduce"} | options)
        context.set_default_timeout(30_000)
        context.set_default_navigation_timeout(60_000)  # the first one of a process makes the templates
        contexts.append(context)
        if user is not None:
            name = settings.SESSION_COOKIE_NAME
            context.add_cookies([{"name": name, "value": session_key(user), "url": url}])
        return Tab(context.new_page(), url, complaints).open(path)

    yield start
    for context in contexts:
        context.close()
    assert not complaints, complaints
