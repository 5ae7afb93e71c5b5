"""The pages of figures in a real browser, on the running product."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import User
from accounts.tests.factories import agree, make_moderator, make_user
from analytics import rollups
from analytics.tests.history import make_history
from conversations.tests.browser import (  # noqa: F401  fixtures
    OpenTab,
    Tab,
    apart,
    chromium,
    open_tab,
    overflow,
    violations,
)
from personas.tests.factories import make_persona

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: Set to a directory, the pages are kept there as pictures to look at.
PICTURES = os.environ.get("NONO_PICTURES", "")
LOOKS = [(1280, "light"), (1280, "dark"), (375, "light"), (375, "dark")]


def picture(tab: Tab, name: str) -> None:
    if PICTURES:
        tab.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def make_reader(days: int = 8) -> User:
    """Somebody who may see figures, and a history of a dozen people to see."""
    people = [make_user() for _number in range(12)]
    start = timezone.now() - timedelta(days=days)
    make_history(5, people, [make_persona(), make_persona()], start, days - 1, size=12 * days)
    rollups.rebuild()
    return agree(make_moderator())


def test_every_range_fits_and_reads_in_both_themes(open_tab: OpenTab) -> None:  # noqa: F811
    staff = apart(lambda: make_reader(days=20))
    today = timezone.localdate()
    ranges = {"month": "?range=30", "year": "?range=365", "day": f"?from={today}&to={today}"}
    for width, scheme in LOOKS:
        tab = open_tab(staff, "/accounts/profile/", viewport={"width": width, "height": 800}, color_scheme=scheme)
        for name, query in ranges.items():
            if name != "month" and (width == 1280) == (scheme == "dark"):
                continue  # half of the looks are enough for what has the same parts
            tab.open(f"/analytics/{query}")
            expect(tab.page.locator("[data-live]")).to_have_attribute("data-state", "open")
            picture(tab, f"overview-{name}-{width}-{scheme}")
            assert overflow(tab) == 0, (name, width)
            if name == "month":
                assert violations(tab) == [], (width, scheme)


def test_an_organisation_without_figures_sees_what_will_be_here(open_tab: OpenTab) -> None:  # noqa: F811
    staff = apart(lambda: agree(make_moderator()))
    for width, scheme in (LOOKS[0], LOOKS[3]):
        tab = open_tab(staff, "/analytics/", viewport={"width": width, "height": 800}, color_scheme=scheme)
        expect(tab.page.get_by_role("heading", name="Here figures will stand")).to_be_visible()
        picture(tab, f"overview-empty-{width}-{scheme}")
        assert overflow(tab) == 0
        assert violations(tab) == []


def test_days_and_filters_are_chosen_without_script_and_tables_open(open_tab: OpenTab) -> None:  # noqa: F811
    staff = apart(make_reader)
    tab = open_tab(staff, "/analytics/", java_script_enabled=False)
    tab.page.get_by_role("link", name="365 days").click()
    questions = tab.page.locator("figure", has=tab.page.get_by_role("heading", name="Questions", exact=True))
    expect(questions.get_by_role("img", name="Questions")).to_be_visible()
    questions.get_by_text("As a table").click()
    expect(questions.get_by_role("table")).to_be_visible()
    tab.page.get_by_role("combobox", name="Channel").select_option("api")
    tab.page.get_by_role("button", name="Show", exact=True).click()
    assert "channel=api" in tab.page.url
    assert "range=365" in tab.page.url
    expect(tab.page.get_by_role("combobox", name="Channel")).to_have_value("api")


def test_the_tile_follows_who_comes_and_goes(open_tab: OpenTab) -> None:  # noqa: F811
    staff = apart(lambda: agree(make_moderator()))
    tab = open_tab(staff, "/analytics/")
    people = tab.page.locator("[data-live-people]")
    expect(people).to_have_text("0")
    chat = open_tab(apart(lambda: agree(make_user())))
    expect(people).to_have_text("1")
    chat.page.close()
    expect(people).to_have_text("0")


def test_the_admin_tells_of_the_last_days_and_leads_on(open_tab: OpenTab) -> None:  # noqa: F811
    staff = apart(make_reader)
    tab = open_tab(staff, "/accounts/profile/").open("/admin/")
    expect(tab.page.get_by_role("heading", name="The last seven days")).to_be_visible()
    picture(tab, "admin-index")
    tab.page.get_by_role("link", name="All figures").click()
    expect(tab.page.get_by_role("heading", name="Analytics", exact=True)).to_be_visible()
