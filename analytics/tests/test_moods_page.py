"""The page of moods and topics: who sees it, and what it shows."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import User
from analytics.moods.figures import read_moods
from analytics.moods.models import Mood, MoodWeek
from analytics.moods.sentiment import Sentiment
from analytics.period import Period
from analytics.rollups import reporting_zone
from faqs.tests.factories import make_category
from personas.models import Persona
from personas.tests.factories import make_persona

pytestmark = pytest.mark.django_db

DAYS = "?from=2026-03-01&to=2026-03-18"
PAGE, FILE = f"/analytics/moods/{DAYS}", f"/analytics/moods/{DAYS}&format=csv"
NOW = datetime(2026, 3, 18, 9, tzinfo=UTC)
NEGATIVE, NEUTRAL, POSITIVE, UNKNOWN = Sentiment


def browser_of(person: User | None) -> Client:
    browser = Client(headers={"Accept": "text/html"})
    if person:
        browser.force_login(person)
    return browser


@pytest.fixture(autouse=True)
def _on(settings: Any) -> None:
    settings.CONVERSATION_INSIGHTS = True


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona(name="=Desk")


@pytest.fixture
def numbers(persona: Persona) -> None:
    """Two weeks; one of a persona that is gone."""
    cards = make_category("cards", name="Cards", parent=make_category("library", name="Library"))
    first = MoodWeek.objects.create(start=datetime(2026, 3, 2, tzinfo=UTC), time_zone="UTC")
    second = MoodWeek.objects.create(start=datetime(2026, 3, 9, tzinfo=UTC), time_zone="UTC")
    rows = [
        (first, persona.pk, cards.pk, NEGATIVE, 10),
        (first, persona.pk, cards.pk, NEUTRAL, 30),
        (first, persona.pk, None, UNKNOWN, 7),
        (second, persona.pk, cards.pk, POSITIVE, 1200),
        (second, uuid4(), uuid4(), NEUTRAL, 5),
        (second, None, None, UNKNOWN, 6),
    ]
    Mood.objects.bulk_create(
        Mood(week=week, persona=of, topic=topic, sentiment=sentiment, conversations=number)
        for week, of, topic, sentiment, number in rows
    )


def text_of(page: bytes) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.decode()).split())


@pytest.mark.parametrize("who", ["moderator", "admin"])
def test_staff_see_weeks_topics_and_personas(who: str, numbers: None, request: pytest.FixtureRequest) -> None:
    answer = browser_of(request.getfixturevalue(who)).get(PAGE)
    text = text_of(answer.content)
    assert answer.status_code == 200
    assert "week of March 2, 2026 10 30 0 7" in text
    assert "week of March 9, 2026 0 5 1,200 6" in text
    assert "Library › Cards 10 30 1,200 0 1,240 0.8 %" in text
    assert "a topic that was removed 0 5 0 0 5 0.0 % other topics 0 0 0 13 13 –" in text
    assert "=Desk 10 30 1,200 7 1,247 0.8 %" in text
    assert "several personas together 0 0 0 6 6 –" in text
    assert "English 60.0 %" in text
    assert "<style" not in answer.content.decode()
    assert " style=" not in answer.content.decode()


@pytest.mark.parametrize("address", [PAGE, FILE])
def test_others_are_refused(address: str, numbers: None, owner: User, guest: User) -> None:
    assert browser_of(owner).get(address).status_code == 403
    for person in (guest, None):
        assert browser_of(person).get(address).headers["Location"].startswith("/accounts/sign-in/")


def test_it_is_narrowed_to_a_persona_and_to_days(numbers: None, persona: Persona) -> None:
    zone = reporting_zone()
    found = read_moods(Period(date(2026, 3, 8), date(2026, 3, 8), zone), persona.pk)
    assert found.weeks == {date(2026, 3, 2): {NEGATIVE: 10, NEUTRAL: 30, UNKNOWN: 7}}
    assert [(row.label, row.total) for row in found.topics] == [("Library › Cards", 40), ("other topics", 7)]
    assert read_moods(Period(date(2026, 3, 16), date(2026, 3, 18), zone)).total.total == 0
    assert len(read_moods(Period(date(2026, 3, 8), date(2026, 3, 9), zone)).weeks) == 2


def test_only_persona_and_days_are_offered_to_narrow_it(numbers: None, moderator: User) -> None:
    page = browser_of(moderator).get(PAGE).content.decode()
    assert 'name="from"' in page
    for name in ("version", "model", "language", "channel"):
        assert f'name="{name}"' not in page


def test_the_file_holds_the_same_numbers_and_no_formula(numbers: None, moderator: User) -> None:
    answer = browser_of(moderator).get(FILE)
    lines = answer.content.decode("utf-8-sig").splitlines()
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert lines[0] == "week,persona,topic,sentiment,conversations"
    assert "2026-03-02,'=Desk,Library › Cards,negative,10" in lines
    assert len(lines) == 7
    topics = browser_of(moderator).get(f"{FILE}&part=topics").content.decode("utf-8-sig").splitlines()
    assert topics[:2] == [
        "Topic,negative,neutral,positive,not told,all together,share of negative",
        "Library › Cards,10,30,1200,0,1240,0.008064516129032258",
    ]
    weeks = browser_of(moderator).get(f"{FILE}&part=mood").content.decode("utf-8-sig").splitlines()
    assert weeks[1:3] == ["2026-02-23,,,,", "2026-03-02,10,30,0,7"]
    assert browser_of(moderator).get(f"{FILE}&part=x").status_code == 404


def test_where_it_is_off_the_page_says_so(moderator: User, settings: Any) -> None:
    settings.CONVERSATION_INSIGHTS = False
    page = browser_of(moderator).get(PAGE).content.decode()
    assert "CONVERSATION_INSIGHTS" in page
    assert "How exact this is" not in page
    MoodWeek.objects.create(start=NOW - timedelta(days=9), time_zone="UTC")
    assert "How exact this is" in browser_of(moderator).get(PAGE).content.decode()


def test_weeks_of_a_sample_say_so(moderator: User, numbers: None) -> None:
    assert "random sample" not in browser_of(moderator).get(PAGE).content.decode()
    MoodWeek.objects.update(is_sample=True)
    assert "random sample" in browser_of(moderator).get(PAGE).content.decode()


def test_the_page_takes_as_many_queries_for_a_year_as_for_a_week(numbers: None, django_assert_num_queries: Any) -> None:
    zone = reporting_zone()
    for days in (7, 365):
        with django_assert_num_queries(6):
            read_moods(Period(NOW.date() - timedelta(days=days), NOW.date(), zone))
