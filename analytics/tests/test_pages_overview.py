"""The overview of figures: who sees it, and what it shows."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from accounts.models import User
from analytics import rollups
from analytics.metrics import METRICS
from analytics.tests.history import make_history
from personas.tests.factories import make_persona

pytestmark = pytest.mark.django_db

PAGE = "/analytics/"
HTML = {"Accept": "text/html"}


def browser_of(person: User | None) -> Client:
    browser = Client(headers=HTML)
    if person:
        browser.force_login(person)
    return browser


@pytest.fixture
def history(owner: User) -> None:
    make_history(3, [owner], [make_persona()], timezone.now() - timedelta(days=6), 5)
    rollups.rebuild()


@pytest.mark.parametrize("who", ["moderator", "admin"])
def test_staff_see_every_figure(who: str, history: None, request: pytest.FixtureRequest) -> None:
    answer = browser_of(request.getfixturevalue(who)).get(PAGE)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert [name for name, metric in METRICS.items() if escape(str(metric.label)) not in text] == []
    assert "<style" not in text
    assert " style=" not in text
    assert "Counted until" in text


@pytest.mark.parametrize("who", ["owner", "guest"])
def test_others_are_refused(who: str, request: pytest.FixtureRequest) -> None:
    person = request.getfixturevalue(who)
    answer = browser_of(person).get(PAGE)
    if person.is_guest:
        assert answer.headers["Location"].startswith("/accounts/sign-in/")
    else:
        assert answer.status_code == 403
        assert b"forbidden" in answer.content


def test_nobody_is_asked_to_sign_in_and_comes_back() -> None:
    answer = browser_of(None).get(f"{PAGE}?range=7")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/accounts/sign-in/?next=/analytics/%3Frange%3D7"


def test_staff_without_their_second_factor_show_it_first(moderator: User, settings: Any) -> None:
    settings.REQUIRE_STAFF_2FA = True
    answer = browser_of(moderator).get(PAGE)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/accounts/second-factor/")


def test_an_address_that_makes_no_sense_is_an_error_page(moderator: User) -> None:
    answer = browser_of(moderator).get(f"{PAGE}?from=yesterday")
    assert answer.status_code == 400
    assert "A day is written like 2026-03-31." in answer.content.decode()


def test_the_menu_leads_staff_here_and_nobody_else(moderator: User, owner: User) -> None:
    assert b'href="/analytics/"' in browser_of(moderator).get("/accounts/profile/").content
    assert b'href="/analytics/"' not in browser_of(owner).get("/accounts/profile/").content
