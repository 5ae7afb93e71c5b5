"""Judging a reply in a real browser, by keyboard alone and without a script; on a desk and on a telephone, in both
themes."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.tests.factories import make_moderator, make_user
from analytics.quality.models import QualityReview
from analytics.tests.replies import judged, make_item, make_reply
from conversations.models import Citation
from conversations.tests.browser import apart
from faqs.tests.browser import PHONE, WIDE, OpenPage, needs_browser, overflow, session_of, violations
from faqs.tests.factories import make_faq
from personas.tests.factories import make_persona

pytestmark = needs_browser

#: Set to a directory, the pages are kept there as pictures to look at.
PICTURES = os.environ.get("NONO_PICTURES", "")
TEXT = "The library is open **from 9 to 18** [1]. Write to desk@example.org."


@pytest.fixture
def queue(transactional_db: None) -> None:
    """Six replies: four judged by two, of whom one pair disagrees."""
    persona, reviewers = make_persona(name="Library desk"), [make_moderator(), make_moderator()]
    faq = make_faq("When is the library open?", "From **9 to 18**, on Saturdays to 13.")
    for number in range(6):
        reply = make_reply(make_user(), persona, timezone.now() - timedelta(hours=6 - number), "And today?", text=TEXT)
        Citation.objects.create(message=reply, number=1, faq=faq, question=faq.question, score=0.6)
        make_item(reply, chance_random=0.5, chance_unsure=1.0)
        if number < 4:
            judged(reviewers[0], "yes")
            judged(reviewers[1], "no" if number == 3 else "yes")


def picture(page: Any, name: str, width: int, scheme: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}-{width}-{scheme}.png", full_page=True)


def test_the_pages_fit_and_read_in_both_themes(queue: None, open_page: OpenPage) -> None:
    session = session_of(make_moderator())
    for size in (WIDE, PHONE):
        for scheme in ("light", "dark"):
            page = open_page(
                "/analytics/quality/", session=session, viewport=size, color_scheme=scheme,
                locale="de-DE" if size is PHONE else "en-GB",
            )  # fmt: skip
            for name in ("quality", "quality-review"):
                picture(page, name, size["width"], scheme)
                assert violations(page) == []
                assert overflow(page) <= 0
                if name == "quality":
                    page.locator(".quality-queue .button-primary").click()
                    page.wait_for_url("**/reviews/**")
            page.close()


def test_a_reply_is_judged_by_keyboard(queue: None, open_page: OpenPage) -> None:
    page = open_page("/analytics/quality/", session=session_of(make_moderator()), viewport=WIDE)
    page.locator(".quality-queue .button-primary").click()
    page.wait_for_url("**/reviews/**")
    page.locator("input[name=correct]").first.focus()
    for _criterion in range(5):
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
    page.keyboard.type("Fine.")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/quality/")
    mine = QualityReview.objects.filter(comment__text="Fine.", correct="yes", safe="yes")
    assert apart(mine.count) == 1
