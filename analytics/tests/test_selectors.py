"""The figures are those that counting the rows one by one gives."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.models import User
from accounts.tests.factories import make_user
from analytics import rollups
from analytics.dashboard import dashboard
from analytics.figures import Figures, FirstToken
from analytics.period import Period, start_of
from analytics.selectors import report
from analytics.tests.history import make_history
from conversations.models import Conversation, Message
from conversations.tests.factories import make_exchange, make_persona

pytestmark = pytest.mark.django_db

ZONES = ["UTC", "Europe/Berlin", "America/Havana", "Pacific/Kiritimati", "Asia/Kathmandu"]


def persona_of(row) -> str:
    return (row if hasattr(row, "persona_version") else row.conversation).persona_version.persona.slug


@pytest.mark.parametrize("seed", range(5))
def test_one_persons_totals_days_and_personas_are_as_counted_one_by_one(seed: int, django_assert_num_queries) -> None:
    people = [make_user() for _ in range(4)]
    zone = ZoneInfo(ZONES[seed])
    # The clocks change in Berlin on 29 March, in Havana on the 8th.
    start = datetime(2026, 3, 29 if zone.key != "America/Havana" else 8, tzinfo=zone) - timedelta(days=2)
    history = make_history(seed, people, [make_persona() for _ in range(3)], start.astimezone(UTC), 4.5, size=50)
    period = Period(start.date() + timedelta(days=1), start.date() + timedelta(days=4), zone)

    def day_of(row) -> date:
        return row.created_at.astimezone(zone).date()

    for person in people[:2]:

        def within(row, who=person) -> bool:
            return period.first <= day_of(row) <= period.last and row.owner_id == who.pk

        with django_assert_num_queries(3):
            found = report(period, person=person)
        assert found.totals == history.figures(within)
        assert [each.day for each in found.days] == period.days
        for each in found.days:
            assert each.figures == history.figures(lambda row, day=each.day: within(row) and day_of(row) == day)
        talked_with = {persona_of(row) for row in [*history.conversations, *history.messages] if within(row)}
        assert {each.persona for each in found.personas} == talked_with
        for each in found.personas:
            counted = history.figures(lambda row, slug=each.persona: within(row) and persona_of(row) == slug)
            assert each.figures == counted


@pytest.mark.parametrize("seed", range(3))
def test_the_dashboard_is_what_counting_one_by_one_gives(seed: int, settings) -> None:
    settings.REPORT_TIME_ZONE = ZONES[seed]
    zone = ZoneInfo(ZONES[seed])
    start = datetime(2026, 3, 29 if zone.key != "America/Havana" else 8, tzinfo=zone) - timedelta(days=2)
    people = [make_user() for _ in range(15)]
    history = make_history(seed, people, [make_persona() for _ in range(3)], start.astimezone(UTC), 4.5, size=90)
    rollups.rebuild()
    period = Period(start.date() + timedelta(days=1), start.date() + timedelta(days=4), zone)
    found = dashboard(period)

    def day_of(row) -> date:
        return row.created_at.astimezone(zone).date()

    def within(row) -> bool:
        return period.first <= day_of(row) <= period.last

    same(found.totals, history.figures(within))
    assert [each.day for each in found.days] == period.days
    for each in found.days:
        same(each.figures, history.figures(lambda row, day=each.day: day_of(row) == day))
    assert len(found.personas) == 3
    for each in found.personas:
        same(each.figures, history.figures(lambda row, slug=each.persona: within(row) and persona_of(row) == slug))


def same(found: Figures, counted: Figures) -> None:
    """Percentiles are of histograms: what they are off is test_rollups.py's."""
    untimed = FirstToken(counted.first_token.replies)
    assert found._replace(first_token=untimed) == counted._replace(first_token=untimed)
    assert found.first_token.replies == counted.first_token.replies
    assert (found.first_token.median is None) == (counted.first_token.median is None)


def test_midnight_is_of_the_day_that_it_begins(owner: User) -> None:
    make_persona()
    zone = ZoneInfo("Europe/Berlin")
    day = date(2026, 3, 29)
    for moment in (start_of(day, zone), start_of(day + timedelta(days=1), zone)):
        accepted = make_exchange(owner)
        Conversation.objects.filter(pk=accepted.conversation.pk).update(created_at=moment)
        Message.objects.filter(conversation=accepted.conversation).update(created_at=moment)
    found = report(Period(day, day, zone), person=owner)
    assert (found.totals.conversations, found.totals.questions) == (1, 1)
    assert found.days[0].figures == found.totals


def test_a_period_without_anything_is_all_zeros(owner: User) -> None:
    period = Period(date(2026, 1, 1), date(2026, 1, 3), ZoneInfo("UTC"))
    for found in (report(period, person=owner), dashboard(period)):
        assert found.totals == Figures()
        assert [each.figures for each in found.days] == [Figures()] * 3
        assert found.personas == []


def test_a_persona_that_is_not_published_has_no_name(owner: User) -> None:
    persona = make_persona(slug="gone")
    make_history(1, [owner], [persona], datetime(2026, 1, 1, tzinfo=UTC), 1)
    persona.published = None
    persona.save()
    (found,) = report(Period(date(2026, 1, 1), date(2026, 1, 3), ZoneInfo("UTC")), person=owner).personas
    assert (found.persona, found.name) == ("gone", "")
