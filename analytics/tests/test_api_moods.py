"""Mood and topics over the API."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from accounts.models import User
from accounts.tests.api_client import ApiClient
from analytics.moods.models import Mood, MoodWeek
from faqs.tests.factories import make_category
from personas.models import Persona
from personas.tests.factories import make_persona

pytestmark = pytest.mark.django_db

MOODS = "analytics/moods?from=2026-03-08&to=2026-03-31"
GONE = UUID(int=7)


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona()


@pytest.fixture
def numbers(persona: Persona) -> None:
    topic = make_category("cards").pk
    week = MoodWeek.objects.create(start=datetime(2026, 3, 2, tzinfo=UTC), time_zone="UTC", is_sample=True)
    MoodWeek.objects.create(start=datetime(2026, 2, 23, tzinfo=UTC), time_zone="UTC")
    Mood.objects.create(week=week, persona=persona.pk, topic=topic, sentiment="negative", conversations=12)
    Mood.objects.create(week=week, persona=GONE, topic=GONE, sentiment="neutral", conversations=5)
    Mood.objects.create(week=week, sentiment="unknown", conversations=31)


def item(persona: str | None, topic: str | None, sentiment: str, conversations: int) -> dict[str, Any]:
    names = {"persona": persona, "topic": topic, "sentiment": sentiment}
    return {"week": "2026-03-02", **names, "conversations": conversations}


def test_staff_read_every_number_of_the_weeks_that_the_days_touch(
    numbers: None, persona: Persona, moderator: User
) -> None:
    body = ApiClient.of(moderator).get(MOODS).json()
    items = body.pop("items")
    assert body == {
        "from": "2026-03-08",
        "to": "2026-03-31",
        "timezone": "UTC",
        "is_on": False,
        "weeks": [{"start": "2026-03-02", "is_sample": True, "is_demo": False}],
    }
    assert sorted(items, key=lambda each: each["conversations"]) == [
        item(str(GONE), str(GONE), "neutral", 5),
        item(persona.slug, "cards", "negative", 12),
        item(None, None, "unknown", 31),
    ]


def test_it_is_narrowed_to_a_persona(numbers: None, persona: Persona, moderator: User) -> None:
    api = ApiClient.of(moderator)
    assert api.get(f"{MOODS}&persona={persona.slug}").json()["items"] == [item(persona.slug, "cards", "negative", 12)]
    refused = api.get(f"{MOODS}&persona=nobody")
    assert (refused.status_code, [*refused.json()["fields"]]) == (400, ["persona"])


def test_it_comes_as_csv_too(numbers: None, persona: Persona, moderator: User) -> None:
    lines = ApiClient.of(moderator).get(f"{MOODS}&format=csv").content.decode().splitlines()
    assert lines[0] == "week,persona,topic,sentiment,conversations"
    assert f"2026-03-02,{persona.slug},cards,negative,12" in lines
    assert "2026-03-02,,,unknown,31" in lines


def test_others_are_refused(owner: User, guest: User) -> None:
    assert ApiClient.of(owner).get(MOODS).status_code == 403
    assert ApiClient.of(guest).get(MOODS).status_code == 403
    assert ApiClient().get(MOODS).status_code == 401
