"""The page of moods and topics in a real browser: on a desk and on a telephone, in both themes."""

import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.tests.factories import make_moderator
from analytics.moods.models import Mood, MoodWeek
from analytics.moods.sentiment import Sentiment
from faqs.tests.browser import PHONE, WIDE, OpenPage, needs_browser, overflow, session_of, violations
from faqs.tests.factories import make_category
from personas.tests.factories import make_persona

pytestmark = needs_browser

#: Set to a directory, the pages are kept there as pictures to look at.
PICTURES = os.environ.get("NONO_PICTURES", "")
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSATION_INSIGHTS", "1")


@pytest.fixture
def numbers(transactional_db: None) -> None:
    """Nine weeks of two personas and three topics, one week not counted."""
    chance = random.Random(1)
    above = make_category("account", name="Account")
    topics = [None, above.pk, make_category("cards", name="Cards", parent=above).pk, make_category("x", name=LONG).pk]
    personas = [make_persona(name="Library desk").pk, make_persona(name="Shop").pk]
    monday = timezone.now().astimezone(UTC).date()
    monday -= timedelta(days=monday.weekday())
    for number in (1, 2, 3, 4, 6, 7, 8, 9, 10):
        start = datetime.combine(monday - timedelta(days=7 * number), datetime.min.time(), UTC)
        week = MoodWeek.objects.create(start=start, time_zone="UTC", is_sample=number == 2)
        Mood.objects.bulk_create(
            Mood(
                week=week, persona=persona, topic=topic, sentiment=sentiment,
                conversations=chance.randrange(5, {"neutral": 200, "unknown": 15}.get(sentiment, 50)),
            )
            for persona in personas for topic in topics for sentiment in Sentiment.values
        )  # fmt: skip


def test_the_page_fits_and_reads_in_both_themes(numbers: None, open_page: OpenPage) -> None:
    session = session_of(make_moderator())
    for size in (WIDE, PHONE):
        for scheme in ("light", "dark"):
            page = open_page(
                "/analytics/moods/?range=90", session=session, viewport=size, color_scheme=scheme,
                locale="de-DE" if size is PHONE else "en-GB",
            )  # fmt: skip
            assert page.locator(".chart-picture rect").count() >= 27
            if PICTURES:
                page.screenshot(path=Path(PICTURES) / f"moods-{size['width']}-{scheme}.png", full_page=True)
            assert violations(page) == []
            assert overflow(page) <= 0
            page.close()
