"""``/status/`` while there is no database: pytest-django lets no query of these tests through."""

from collections.abc import Iterator

import pytest
from django.test import Client

from chatbot_project import status


@pytest.fixture(autouse=True)
def looked_at_anew() -> Iterator[None]:
    status.WATCH.forget()
    yield
    status.WATCH.forget()


def test_it_says_so_also_to_who_was_signed_in() -> None:
    browser = Client()
    browser.cookies["sessionid"] = "x" * 32
    page = browser.get("/status/")
    assert page.status_code == 200
    assert "Something does not work just now" in page.content.decode()
    parts = {part["name"]: part["state"] for part in browser.get("/status.json").json()["parts"]}
    assert parts == {"service": "away", "replies": "away"}
