"""The pages of a persona, of FAQs and of a person in a real browser: they fit, read, and lead on."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import User
from accounts.tests.factories import make_moderator, make_user
from analytics import rollups
from analytics.tests.talks import replies
from faqs.models import FAQ, FAQVersion, Gap, GapQuestion
from faqs.tests.browser import PHONE, WIDE, OpenPage, needs_browser, overflow, session_of, violations
from faqs.tests.factories import make_faq
from personas.tests.factories import make_persona, republish

pytestmark = needs_browser

#: Set to a directory, the pages are kept there as pictures to look at.
PICTURES = os.environ.get("NONO_PICTURES", "")


@pytest.fixture
def world(transactional_db: None) -> dict[str, Any]:
    """Two versions of a persona, of which the newer one is better; FAQs that are used, old or disliked."""
    people = [make_user() for _number in range(12)]
    persona = make_persona(slug="desk", name="Library desk")
    first = persona.published
    assert first is not None
    faqs = [make_faq(f"How long may I keep {what}?") for what in ("a book", "a film", "=the reading room's key")]
    now = timezone.now()
    for day in range(24, 0, -1):
        if day == 12:
            second = republish(persona, description="Better.")
        version, good = (first, 3) if day > 12 else (second, 7)
        at = now - timedelta(days=day)
        replies(version, people[: 6 + day % 6], at, up=good, down=3, faq=faqs[day % 2], seconds=3 / good)
        replies(version, people[: 8 - good], at, status="failed", source="unknown", model="")
    aged(FAQ, "updated_at", now - timedelta(days=200), faqs[0].pk)
    aged(type(first), "published_at", now - timedelta(days=26), first.pk)
    aged(type(first), "published_at", now - timedelta(days=12, hours=6), second.pk)
    FAQVersion.objects.create(faq=faqs[0], number=2, content={}, created_at=now - timedelta(days=8))
    gap = Gap.objects.create(question="May I keep a book over the summer?", language="en", count=4)
    GapQuestion.objects.create(gap=gap, text="?", source="did_not_help", faq=faqs[0])
    rollups.rebuild()
    return {"person": people[0], "faq": faqs[0], "staff": session_of(make_moderator()), "own": session_of(people[0])}


def aged(model: Any, field: str, at: Any, pk: Any) -> None:
    """Published versions are guarded by a trigger, which rests meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        model.objects.filter(pk=pk).update(**{field: at})
        cursor.execute("SET session_replication_role = DEFAULT")


def looked_at(page: Page, name: str) -> None:
    """On a desk in light and on a telephone in dark, nothing is cut off, unreadable or unnamed."""
    page.wait_for_load_state()
    for size, scheme in ((WIDE, "light"), (PHONE, "dark")):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"{name}-{size['width']}-{scheme}.png", full_page=True)
        assert overflow(page) <= 0, f"{name} at {size['width']}"
        assert violations(page) == [], f"{name}, {scheme}"
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light")


def test_pages_fit_read_and_lead_on(open_page: OpenPage, world: dict[str, Any]) -> None:
    person: User = world["person"]
    page = open_page("/analytics/personas/desk/", session=world["staff"])
    expect(page.get_by_role("row", name="completed").locator(".verdict").first).to_have_text("better")
    looked_at(page, "persona")
    page.get_by_label("Older version").select_option("2")
    page.get_by_label("Newer version").select_option("1")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".verdict.verdict-worse").first).to_be_visible()
    page.get_by_role("link", name="7 days").click()
    expect(page.get_by_text("v1 gave no reply in these days.")).to_be_visible()

    page.get_by_role("link", name="FAQs", exact=True).click()
    looked_at(page, "faqs")
    page.get_by_role("link", name="Old but used").click()
    page.get_by_role("link", name="How long may I keep a book?").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("How long may I keep a book?")
    looked_at(page, "faq")

    page.goto(page.url.split("/analytics/")[0] + f"/analytics/people/{person.pk}/")
    looked_at(page, "reason")
    page.get_by_label("Reason").fill("They asked why it is slow.")
    page.get_by_role("button", name="Record the reason").click()
    looked_at(page, "person")
    page.get_by_role("button", name="7 days").click()
    expect(page.get_by_role("button", name="7 days")).to_have_attribute("aria-current", "true")


def test_a_person_finds_their_own_figures(open_page: OpenPage, world: dict[str, Any]) -> None:
    page = open_page("/accounts/profile/", session=world["own"])
    page.get_by_role("link", name="How you use this site, in figures").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your figures")
    looked_at(page, "own")
