"""Reports are made once, keep their numbers, and show nothing of few people."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.tests.concurrency import at_a_lock
from accounts.tests.factories import make_user
from analytics import reports, rollups, tasks
from analytics.metrics import METRICS
from analytics.models import Report, RollupState
from analytics.period import Period
from analytics.reports.making import compute_report, make_due, make_report
from analytics.reports.periods import CATCH_UP, last_over, one_before
from analytics.tests.history import make_history
from analytics.totals import read_totals
from conversations.models import Conversation
from conversations.tests.factories import make_persona
from faqs.tests.factories import make_faq
from personas.models import Persona

pytestmark = pytest.mark.django_db


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona()


def add_history(period: Period, persona: Persona, *, people: int = 8, size: int = 60) -> None:
    """Something said in ``period`` and a little before it."""
    begin = period.start - timedelta(days=2)
    make_history(1, [make_user() for _ in range(people)], [persona], begin, len(period.days) + 2, size=size)


def add_up() -> None:
    rollups.refresh()
    RollupState.objects.update(counted_until=timezone.now() + timedelta(days=1))


@pytest.fixture
def week(persona: Persona) -> Period:
    """The last one, with something said in it and before it, added up."""
    period = last_over("week", timezone.now())
    add_history(period, persona)
    add_up()
    return period


def test_it_keeps_all_figures_beside_those_of_the_week_before(week: Period) -> None:
    report = make_report("week", week)
    assert report is not None
    assert report.start == week.bounds[0]
    assert set(report.figures) == set(METRICS)
    questions = [read_totals(week).questions, read_totals(one_before("week", week)).questions]
    assert report.figures["questions"] == questions
    assert questions[0] > 0


@pytest.mark.parametrize("grain", ["day", "week", "month"])
def test_what_its_days_or_hours_come_to_is_what_it_comes_to(persona: Persona, grain: str, settings: Any) -> None:
    settings.REPORT_TIME_ZONE = "Europe/Berlin"
    period = last_over(grain, timezone.now())
    add_history(period, persona)
    add_up()
    report = make_report(grain, period)
    assert report is not None
    table = report.content["tables"]["hours" if grain == "day" else "days"]
    if grain == "day":
        assert all(period.start.date() <= timezone.datetime.fromisoformat(row["name"]).date() for row in table["rows"])
        return
    assert [row["name"] for row in table["rows"]] == [day.isoformat() for day in period.days]
    place = table["columns"].index("questions")
    assert sum(row["values"][place] for row in table["rows"]) == report.figures["questions"][0]


def test_before_it_is_added_up_there_is_none(week: Period) -> None:
    RollupState.objects.update(counted_until=week.bounds[-1])
    assert make_report("week", week) is None
    assert not Report.objects.exists()


def test_its_numbers_stay_whatever_comes_or_goes_later(week: Period, persona: Persona) -> None:
    first = make_report("week", week)
    add_history(week, persona)
    rollups.rebuild()
    Conversation.objects.all().delete()
    again = make_report("week", week)
    assert first is not None
    assert again is not None
    assert (again.pk, again.figures, again.content) == (first.pk, first.figures, first.content)


def test_a_run_makes_what_was_missed_and_no_more_than_that(week: Period) -> None:
    now = timezone.now()
    for _time in range(2):
        for grain in CATCH_UP:
            make_due(grain, now)
    assert {grain: Report.objects.filter(grain=grain).count() for grain in CATCH_UP} == CATCH_UP


def test_a_report_of_one_persona_is_one_of_its_own(week: Period, persona: Persona) -> None:
    other = make_persona(slug="other")
    of_all, of_one, of_other = (make_report("week", week, each) for each in (None, persona, other))
    assert of_all is not None
    assert of_one is not None
    assert of_other is not None
    assert of_one.figures["questions"] == of_all.figures["questions"]
    assert of_one.content["persona"]["slug"] == persona.slug
    assert of_one.figures["gap_questions"] == [None, None]  # not known by persona
    assert of_other.figures["questions"][0] == 0
    assert "personas" not in of_one.content["tables"]


def test_figures_of_few_people_stand_nowhere_in_the_report_of_a_persona(persona: Persona) -> None:
    period = last_over("week", timezone.now())
    add_history(period, persona, people=8)
    add_history(period, make_persona(slug="other"), people=3)
    add_up()
    report = make_report("week", period, Persona.objects.get(slug="other"))
    assert report is not None
    assert report.figures["questions"][0] == "suppressed"
    assert reports.shown(METRICS["questions"], report.figures["questions"][0]) == "< 5"
    tables = report.content["tables"].values()
    shown = [value for table in tables for row in table["rows"] for value in row["values"]]
    assert {value for value in shown if isinstance(value, int) and value} == set()


def test_it_names_approved_questions_alone_and_how_many_gaps_there_are(week: Period, persona: Persona) -> None:
    from analytics.models import FAQUsage

    approved, taken_back, rare = (make_faq(f"Question {n}?") for n in range(3))
    type(approved).objects.filter(pk=taken_back.pk).update(status="archived")
    for faq, cited in ((approved, 9), (taken_back, 8), (rare, 4)):
        FAQUsage.objects.create(start=week.bounds[0], faq=faq.pk, cited=cited, direct=1, helpful=2, not_helpful=0)
    report = make_report("week", week)
    assert report is not None
    assert report.content["tables"]["faqs"]["rows"] == [{"name": "Question 0?", "values": [9, 1, 2, 0]}]
    assert report.content["gaps"] == 0


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("questions", 12345, "12,345"),
        ("active_daily", 3.14, "3.1"),
        ("satisfaction", 0.5, "50.0 %"),
        ("first_token_p95", 1.234, "1.23 s"),
        ("cost", 2.5, "2.50 USD"),
        ("cost", None, "–"),
    ],
)
def test_figures_are_shown_as_people_read_them(name: str, value: float | None, text: str) -> None:
    assert reports.shown(METRICS[name], value) == text


def test_money_is_in_the_currency_of_its_time(week: Period, settings: Any) -> None:
    settings.PRICE_CURRENCY = "EUR"
    report = make_report("week", week)
    settings.PRICE_CURRENCY = "USD"
    assert report is not None
    assert report.content["currency"] == "EUR"


def test_what_is_computed_and_not_kept_is_stored_nowhere(week: Period) -> None:
    assert compute_report("week", week).pk is None
    assert not Report.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_make_each_once_and_mail_it_once(
    settings: Any, mailoutbox: list[Any], persona: Persona
) -> None:
    settings.REPORT_MAIL = ["head@example.org"]
    period = last_over("week", timezone.now())
    add_history(period, persona, size=10)
    add_up()

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("LOCK analytics_report IN ACCESS EXCLUSIVE MODE")

    at_a_lock(2, hold, lambda number: tasks.send_reports())
    assert {grain: Report.objects.filter(grain=grain).count() for grain in CATCH_UP} == CATCH_UP
    assert [mail.to for mail in mailoutbox] == [["head@example.org"]]
