"""What the address of a page of figures asks for."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from analytics import rollups
from analytics.pages.asking import MOST_DAYS, read_asked
from analytics.tests.history import make_history
from analytics.totals import By, Filters
from chatbot_project.lib.errors import ApplicationError
from conversations.models import Conversation
from personas.models import Persona
from personas.tests.factories import make_persona

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)  # in Berlin it is the first of April


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch, settings: Any) -> date:
    settings.REPORT_TIME_ZONE = "Europe/Berlin"
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    return date(2026, 4, 1)


@pytest.fixture
def persona(owner: User) -> Persona:
    persona = make_persona()
    make_history(1, [owner], [persona, make_persona()], NOW - timedelta(days=20), 10)
    rollups.rebuild()
    return persona


@pytest.mark.parametrize(
    ("query", "first", "last", "grain"),
    [
        ({}, "2026-03-03", "2026-04-01", By.DAY),
        ({"range": "7"}, "2026-03-26", "2026-04-01", By.DAY),
        ({"range": "90"}, "2026-01-02", "2026-04-01", By.DAY),
        ({"range": "365"}, "2025-04-02", "2026-04-01", By.WEEK),
        ({"range": "month"}, "2026-04-01", "2026-04-01", By.HOUR),
        ({"range": "last-month"}, "2026-03-01", "2026-03-31", By.DAY),
        ({"from": "2026-03-29", "to": "2026-03-29"}, "2026-03-29", "2026-03-29", By.HOUR),
        ({"from": "2026-03-01", "to": "2027-01-01"}, "2026-03-01", "2026-04-01", By.DAY),
        ({"range": "7", "from": "2026-02-01", "to": "2026-02-03"}, "2026-02-01", "2026-02-03", By.DAY),
        ({"to": "2026-02-28"}, "2026-01-30", "2026-02-28", By.DAY),
        ({"range": "", "persona": "", "from": ""}, "2026-03-03", "2026-04-01", By.DAY),
    ],
)
def test_days_are_those_of_the_organisation(query: dict[str, str], first: str, last: str, grain: By) -> None:
    asked = read_asked(query)
    assert (asked.period.first.isoformat(), asked.period.last.isoformat()) == (first, last)
    assert asked.grain == grain
    assert asked.before.last == asked.period.first - timedelta(days=1)
    assert len(asked.before.days) == len(asked.period.days)


@pytest.mark.parametrize(
    "query",
    [
        {"range": "8"},
        {"range": "month'"},
        {"from": "2026-02-30"},
        {"from": "yesterday"},
        {"from": "20260301"},
        {"to": "0001-01-01"},
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "2026-04-02"},
        {"from": "2020-01-01", "to": "2026-01-01"},
        {"persona": "x"},
        {"persona": "0198c0de-0000-7000-8000-000000000000"},
        {"version": "\x00"},
        {"model": "acme/none"},
        {"language": "xx"},
        {"channel": "post"},
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(persona: Persona, query: dict[str, str]) -> None:
    with pytest.raises(ApplicationError) as caught:
        read_asked(query)
    assert (caught.value.code, caught.value.status) == ("invalid", 400)
    assert caught.value.detail.endswith(".")


def test_as_many_days_as_there_may_be() -> None:
    first = date(2026, 4, 1) - timedelta(days=MOST_DAYS - 1)
    assert read_asked({"from": first.isoformat()}).days == MOST_DAYS


def test_filters_name_what_there_are_figures_of(persona: Persona) -> None:
    query = {
        "persona": str(persona.pk), "version": str(persona.published_id),
        "model": "acme/big", "language": "unknown", "channel": "api",
    }  # fmt: skip
    asked = read_asked(query)
    assert asked.filters == Filters(persona.pk, persona.published_id, "acme/big", "", "api")
    assert asked.parameters == {"range": "30", **query}
    assert read_asked(asked.parameters).filters == asked.filters
    assert {choice.value for choice in asked.choices["model"]} == {"acme/big", "acme/small", "spare/big"}
    assert {choice.value for choice in asked.choices["channel"]} == set(Conversation.Channel.values)
    assert [choice.value for choice in asked.choices["version"]] == [str(persona.published_id)]


def test_versions_are_those_of_the_persona_that_is_asked_for(persona: Persona) -> None:
    other = Persona.objects.exclude(pk=persona.pk).get()
    with pytest.raises(ApplicationError):
        read_asked({"persona": str(other.pk), "version": str(persona.published_id)})
    assert read_asked({}).choices["version"] == []


def test_a_page_of_one_persona_is_narrowed_without_saying_so_in_its_address(persona: Persona) -> None:
    asked = read_asked({"model": "acme/big"}, fixed=Filters(persona=persona.pk))
    assert asked.filters == Filters(persona=persona.pk, model="acme/big")
    assert asked.query == "range=30&model=acme%2Fbig"
    assert "persona" not in [name for name, *_rest in asked.selects]


def test_every_hour_of_a_day_is_a_point_also_where_the_clocks_change() -> None:
    assert [point.label[-5:] for point in read_asked({"from": "2026-03-29", "to": "2026-03-29"}).points][:4] == [
        "00:00", "01:00", "03:00", "04:00",
    ]  # fmt: skip
    assert len(read_asked({"from": "2025-10-26", "to": "2025-10-26"}).points) == 25


def test_every_day_and_every_week_is_a_point() -> None:
    month = read_asked({"range": "last-month"})
    assert [point.day for point in month.points] == month.period.days
    year = read_asked({"range": "365"})
    assert len(year.points) == 53
    assert all(point.day.weekday() == 0 for point in year.points)


def test_choices_take_few_queries(persona: Persona, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(3):
        read_asked({"persona": str(persona.pk)})
