"""The product's pages from a process of their own, and a browser that complains of whatever its console calls wrong."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from urllib.request import urlopen

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from playwright.sync_api import Page, expect, sync_playwright
from psycopg.conninfo import make_conninfo

from accounts.models import User
from chatbot_project.lib.tests.axe import serious_violations

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium"),
]
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 740}
NARROW = {"width": 320, "height": 640}
START_SECONDS = 120  # a process that starts has to share its processors with all others
OpenPage = Callable[..., Page]
violations = serious_violations
expect.set_options(timeout=30_000)  # the first search of a process loads its models


@pytest.fixture(scope="module")
def module_server(django_db_setup: None) -> Iterator[str]:
    """The address of a web process on the tests' database, for all tests of a module."""
    database = connection.settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    environment = os.environ | {
        "DATABASE_URL": make_conninfo(**{key: database[name] for key, name in names.items() if database[name]}),
    }
    # The socket is made here: what connects before the process is up waits.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = ["-m", "uvicorn", "chatbot_project.asgi:application", "--fd", str(listener.fileno())]
        web = subprocess.Popen(
            [sys.executable, *arguments, "--log-level", "warning"],
            env=environment, cwd=settings.BASE_DIR, pass_fds=[listener.fileno()],
        )  # fmt: skip
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        urlopen(f"{address}/healthz", timeout=START_SECONDS).close()
        yield address
        web.terminate()
        web.wait(20)


@pytest.fixture
def server(module_server: str, transactional_db: None) -> str:
    """The address of a web process on the test's database."""
    return module_server


@pytest.fixture
def open_page(server: str) -> Iterator[OpenPage]:
    """``open_page(path, session=…, expected=…, **context options)``: a page in a browser of its own, whose console may
    complain of what is ``expected`` alone. Make what it needs in the database before the first call: while Playwright
    runs, this thread has an event loop, which Django refuses."""
    complaints: list[str] = []
    running = []

    def start(path: str = "/help/", session: str = "", expected: str = "nothing", **options: object) -> Page:
        if not running:
            playwright = sync_playwright().start()
            running.extend([playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])])
        context = running[1].new_context(**{"viewport": WIDE, "locale": "en-GB", "reduced_motion": "reduce"} | options)
        context.set_default_timeout(30_000)
        context.set_default_navigation_timeout(60_000)  # the first one makes the templates
        if session:
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": server}])
        page = context.new_page()
        page.on(
            "console",
            lambda said: (
                said.type in ("error", "warning") and expected not in said.text and complaints.append(said.text)
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith((server, "data:")) or complaints.append(asked.url))
        page.goto(server + path)
        return page

    yield start
    if running:
        running[1].close()
        running[0].stop()
    assert complaints == []


def session_of(person: User) -> str:
    """The cookie of a browser in which ``person`` is signed in."""
    client = Client()
    client.force_login(person)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    width: int = page.locator("html").evaluate("root => root.scrollWidth - innerWidth")
    return width
