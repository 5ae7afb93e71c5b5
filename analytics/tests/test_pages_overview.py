"""The overview of figures: who sees it, and what it shows."""

import csv
import re
from datetime import timedelta
from io import StringIO
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from accounts.models import User
from accounts.tests.factories import make_user
from analytics import rollups
from analytics.metrics import METRICS, values
from analytics.models import FAQUsage, Price, Usage
from analytics.pages.asking import read_asked
from analytics.pages.sections import Overview
from analytics.pages.tables import csv_response
from analytics.rollups import reporting_zone
from analytics.tests.history import History, make_history
from analytics.totals import last_days, read_totals
from conversations.models import Conversation, Message
from faqs.models import Gap
from faqs.tests.factories import make_faq
from personas.models import Persona
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
def persona(db: None) -> Persona:
    return make_persona()


@pytest.fixture
def history(persona: Persona) -> History:
    people = [make_user() for _number in range(12)]
    made = make_history(3, people, [persona, make_persona()], timezone.now() - timedelta(days=6), 5, size=120)
    rollups.rebuild()
    return made


@pytest.fixture
def page(history: History, moderator: User) -> Any:
    """The overview as a moderator gets it, for a query."""
    browser = browser_of(moderator)

    def get(**query: str) -> str:
        answer = browser.get(f"{PAGE}?{urlencode(query)}")
        assert answer.status_code == 200, answer.content[:500]
        return answer.content.decode()

    return get


def sheet(text: str) -> list[list[str]]:
    return list(csv.reader(StringIO(text.removeprefix("\ufeff"))))


# --- who


def test_staff_see_every_figure(page: Any) -> None:
    text = page()
    assert [name for name, metric in METRICS.items() if escape(str(metric.label)) not in text] == []
    assert "<style" not in text
    assert " style=" not in text
    assert "Counted until" in text


@pytest.mark.parametrize("who", ["owner", "guest"])
def test_others_are_refused(who: str, request: pytest.FixtureRequest) -> None:
    person = request.getfixturevalue(who)
    for address in (PAGE, f"{PAGE}?format=csv"):
        answer = browser_of(person).get(address)
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


def test_the_menu_leads_staff_here_and_nobody_else(moderator: User, owner: User) -> None:
    assert b'href="/analytics/"' in browser_of(moderator).get("/accounts/profile/").content
    assert b'href="/analytics/"' not in browser_of(owner).get("/accounts/profile/").content


def test_prices_are_linked_for_those_who_may_see_them(history: History, moderator: User, admin: User) -> None:
    link = b'href="/admin/analytics/price/"'
    assert link in browser_of(admin).get(PAGE).content
    assert link not in browser_of(moderator).get(PAGE).content


def test_the_admin_tells_staff_of_the_last_days(history: History, moderator: User) -> None:
    text = browser_of(moderator).get("/admin/").content.decode()
    assert "The last seven days" in text
    assert 'href="/analytics/?range=7"' in text


# --- what


def test_an_address_that_makes_no_sense_is_an_error_page(moderator: User) -> None:
    answer = browser_of(moderator).get(f"{PAGE}?from=yesterday")
    assert answer.status_code == 400
    assert "A day is written like 2026-03-31." in answer.content.decode()


def test_an_organisation_without_figures_is_told_what_will_be_here(moderator: User) -> None:
    text = browser_of(moderator).get(PAGE).content.decode()
    assert "Here figures will stand" in text
    assert "manage.py seed_demo" in text
    assert "Nothing has been counted yet." in text


def test_every_range_is_a_page(page: Any) -> None:
    for days in ("7", "90", "365", "last-month"):
        assert f'range={days}" aria-current="true"' in page(range=days)


def test_one_day_is_told_by_hours_where_there_are_enough_people(page: Any) -> None:
    today = timezone.now().astimezone(reporting_zone()).date()
    text = page(**{"from": (today - timedelta(days=1)).isoformat(), "to": today.isoformat()})
    assert "Points of fewer than five people are left out." in text
    assert "When people ask" not in text


def test_a_chart_leads_from_a_day_to_its_hours_and_from_a_week_to_its_days(page: Any) -> None:
    today = timezone.now().astimezone(reporting_zone()).date()
    assert f'href="?from={today}&amp;to={today}"' in page(range="7")
    monday = today - timedelta(days=today.weekday())
    assert f'href="?from={monday}&amp;to={today}"' in page(range="365")


def test_each_line_leads_to_the_page_narrowed_to_it(page: Any, persona: Persona) -> None:
    text = page(range="30")
    assert f'href="/analytics/personas/{persona.slug}/?range=30"' in text
    for part in ("language=de", "language=unknown", "channel=api", "model=acme%2Fbig"):
        assert f'href="?range=30&amp;{part}"' in text
    narrowed = page(range="30", persona=str(persona.pk))
    assert f"range=30&amp;persona={persona.pk}&amp;version=" in narrowed  # its versions instead of the personas
    assert "Rights of people" not in narrowed


def test_the_page_leads_to_the_lists_behind_it(page: Any, moderator: User) -> None:
    text = page(range="7")
    links = re.findall(r'href="(/admin/[^"]+)"', text)
    assert any("conversations/moderationitem" in link for link in links)
    conversations = [link for link in links if link.startswith("/admin/conversations/conversation/")]
    assert len(conversations) == 2
    for link in conversations:
        assert browser_of(moderator).get(link.replace("&amp;", "&")).status_code == 200
    for name, value in (("channel", "web"), ("language", "en")):
        narrowed = page(range="7", **{name: value})
        assert re.search(rf'href="/admin/conversations/conversation/[^"]+&amp;{name}={value}"', narrowed)


def test_faqs_and_gaps_stand_in_their_lists(history: History, moderator: User) -> None:
    used, old, unused = (make_faq(question=f"{word}?") for word in ("Used", "Old", "Unused"))
    long_ago = timezone.now() - timedelta(days=300)
    type(old).objects.filter(pk__in=[old.pk, unused.pk]).update(updated_at=long_ago, published_at=long_ago)
    start = last_days(1, timezone.now().astimezone(reporting_zone()).date(), reporting_zone()).bounds[0]
    for faq, cited, helpful in ((used, 9, 8), (old, 4, 1)):
        FAQUsage.objects.create(start=start, faq=faq.pk, cited=cited, direct=1, helpful=helpful, not_helpful=4)
    Gap.objects.create(question="Where is the pool?", language="en", count=7)
    browser = browser_of(moderator)

    def names(part: str) -> list[str]:
        return [line[0] for line in sheet(browser.get(f"{PAGE}?format=csv&part={part}").content.decode())[1:]]

    assert names("faqs-cited") == ["Used?", "Old?"]
    assert names("faqs-disliked") == ["Old?", "Used?"]
    assert names("faqs-stale") == ["Old?"]
    assert names("faqs-unused") == ["Unused?"]
    assert names("gaps") == ["Where is the pool?"]


def test_cost_is_told_where_there_is_a_price(page: Any, history: History) -> None:
    assert "None of these models has a price on the list." in page()
    Price.objects.create(model="acme/*", valid_from="2020-01-01", prompt=1000, completion=2000)
    assert "None of these models has a price on the list." not in page()


def test_people_are_told_with_those_who_come_back(page: Any) -> None:
    text = page(range="90")
    assert "Who comes back" in text
    assert 'id="active-title"' in text


# --- few people


def test_figures_of_too_few_people_are_not_shown(history: History, persona: Persona, page: Any, owner: User) -> None:
    alone = make_persona()
    at = timezone.now() - timedelta(days=2)
    conversation = Conversation.objects.create(owner=owner, persona_version=alone.published, title="x", created_at=at)
    Message.objects.create(conversation=conversation, owner=owner, role="user", status="sent", text="?", created_at=at)
    rollups.rebuild()
    narrowed = page(persona=str(alone.pk))
    assert "Too few people" in narrowed
    assert "figure-value" not in narrowed
    line = next(line for line in sheet(page(format="csv", part="by-persona")) if line[1] == "under 5 people")
    assert line[2:] == ["", "", ""]
    figures = sheet(page(format="csv", persona=str(alone.pk)))
    assert {line[2] for line in figures[1:]} == {"under 5 people"}


# --- as a file


def test_all_figures_as_csv_are_those_of_the_rollups(page: Any) -> None:
    zone = reporting_zone()
    told = values(read_totals(last_days(30, timezone.now().astimezone(zone).date(), zone)))
    rows = sheet(page(format="csv"))
    assert rows[0] == ["name", "Figure", "Value", "Before", "Unit"]
    assert {row[0]: row[2] for row in rows[1:]} == {
        name: "" if value is None else str(value) for name, value in told.items()
    }


def test_whatever_is_shown_can_be_fetched(history: History, moderator: User) -> None:
    sheets = Overview(read_asked({"range": "30"}), prices=False).sheets()
    assert set(sheets) == {
        *("figures", "active", "retention", "questions", "conversations", "rhythm", "by-persona", "by-language"),
        *("by-channel", "first-token", "whole", "endings", "trouble", "sources", "thumbs", "satisfaction", "cost"),
        *("tokens", "tokens-by-model", "by-model", "faqs-cited", "faqs-disliked", "faqs-stale", "faqs-unused", "gaps"),
    }
    for part in sheets.values():
        rows = sheet(csv_response(part.key, part.sheet()).content.decode())
        assert rows[0][0]
        assert {len(row) for row in rows} == {len(rows[0])}


def test_the_csv_of_a_chart_adds_up(page: Any, history: History) -> None:
    rows = sheet(page(range="7", format="csv", part="questions"))
    assert [row[0] for row in rows[1:]] == [
        day.isoformat()
        for day in last_days(7, timezone.now().astimezone(reporting_zone()).date(), reporting_zone()).days
    ]
    counted = Usage.objects.filter(grain="day", start__gte=timezone.now() - timedelta(days=8))
    assert sum(int(row[1]) for row in rows[1:]) <= sum(usage.questions for usage in counted)
    assert sum(int(row[1]) for row in rows[1:]) > 0


def test_a_part_that_there_is_not_is_absent(moderator: User) -> None:
    assert browser_of(moderator).get(f"{PAGE}?format=csv&part=none").status_code == 404


def test_a_file_calculates_nothing() -> None:
    answer = csv_response("x", [["=cmd|' /C calc'!A0", "+1", -2, 0.5, None, "ok\n@SUM(1)"]])
    assert sheet(answer.content.decode()) == [["'=cmd|' /C calc'!A0", "'+1", "-2", "0.5", "", "ok\n'@SUM(1)"]]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="x.csv"'


# --- how much it asks of the database


def test_a_page_takes_a_fixed_number_of_queries(page: Any, django_assert_max_num_queries: Any) -> None:
    page()
    with django_assert_max_num_queries(62):  # two of them for the tokens by model
        page(range="365")


def test_what_was_made_is_shown_until_figures_are_counted_again(page: Any, django_assert_max_num_queries: Any) -> None:
    first = told(page(range="365"))
    with django_assert_max_num_queries(40):
        assert told(page(range="365")) == first
    Message.objects.filter(role="user").delete()
    rollups.rebuild()
    assert told(page(range="365")) != first


def test_without_the_cache_the_page_is_made_each_time(page: Any, settings: Any) -> None:
    first = told(page(range="365"))
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    assert told(page(range="365")) == first


def told(text: str) -> list[str]:
    return re.findall(r'<dd class="figure-value[^>]*>([^<]*)<', text)
