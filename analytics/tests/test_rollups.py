"""Rollups are what a count of the rows themselves gives, whatever happened before, after and in between."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import combinations
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import services as accounts
from accounts.models import User
from accounts.privacy.registry import personal_data
from accounts.tests.factories import make_guest, make_user
from analytics import cuboids, rollups
from analytics.histograms import percentile
from analytics.metrics import METRICS
from analytics.models import Cohort, FAQUsage, Grain, Occurrence, People, Price, RollupState, StaleHour, Usage
from analytics.period import Period, start_of
from analytics.tests.history import History, make_history
from analytics.totals import By, Filters, before, people_by, read_groups, read_totals
from analytics.usage import COUNTERS, HISTOGRAMS
from conversations import hand_over, services
from conversations.models import Conversation, Feedback, Message
from conversations.purging import purge
from conversations.tests.browser import apart
from conversations.tests.factories import make_persona

pytestmark = pytest.mark.django_db

# Three days around the night on which the clocks of Europe go forward.
START = datetime(2026, 3, 28, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/Havana", "Pacific/Kiritimati", "Asia/Kathmandu"]
ROLLUPS = (Usage, FAQUsage, People, Cohort, Occurrence)


def around(zone: str, first: date = date(2026, 3, 25), last: date = date(2026, 4, 5)) -> Period:
    return Period(first, last, ZoneInfo(zone))


def kept() -> dict[str, list[dict]]:
    """All that the rollups hold, apart from the rows' own numbers and the order in histograms."""
    return {
        model.__name__: sorted(
            (
                {name: value for name, value in row.items() if name != "id"}
                for row in map(in_order, model.objects.values())
            ),
            key=repr,
        )
        for model in ROLLUPS
    }


def in_order(row: dict) -> dict:
    for kind in HISTOGRAMS if "turns_buckets" in row else ():
        pairs = sorted(zip(row.pop(f"{kind}_buckets"), row.pop(f"{kind}_counts"), strict=True))
        row[kind] = pairs
    return row


def counted(history: History, wanted) -> dict[str, int]:
    """What the rows that are ``wanted`` come to, one by one."""
    messages = [message for message in history.messages if wanted(message)]
    replies = [message for message in messages if message.role == "assistant"]
    endings, sources = Counter(r.status for r in replies), Counter(r.source for r in replies)
    given = Counter(history.feedback.get(reply.pk) for reply in replies)
    return {
        "conversations": sum(map(wanted, history.conversations)),
        "questions": len(messages) - len(replies),
        **{status: endings[status] for status in ("completed", "stopped", "interrupted", "failed")},
        "live": endings["queued"] + endings["streaming"],
        "from_model": sources["model"],
        "from_faq": sources["faq"],
        "from_faq_offline": sources["faq_offline"],
        "unknown": sources["unknown"],
        "prompt_tokens": sum(r.prompt_tokens or 0 for r in replies),
        "completion_tokens": sum(r.completion_tokens or 0 for r in replies),
        "prompt_estimated": sum(r.prompt_tokens or 0 for r in replies if r.usage_estimated),
        "completion_estimated": sum(r.completion_tokens or 0 for r in replies if r.usage_estimated),
        "helpful": given[1],
        "not_helpful": given[-1],
        "comments": 0,
        "handed_over": 0,
        "fell_back": sum(r.model != "" and r.model.partition("/")[0] != r.provider for r in replies),
        "from_cache": sum(r.cached_at is not None for r in replies),
    }


@pytest.fixture
def people() -> list[User]:
    return [make_user() for _ in range(4)]


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_they_are_what_the_rows_come_to_one_by_one(zone: str, people: list[User], seed: int, settings) -> None:
    settings.REPORT_TIME_ZONE = zone
    for model in (Conversation, RollupState, *ROLLUPS):
        model.objects.all().delete()
    personas = [make_persona() for _ in range(2)]
    history = make_history(seed, people, personas, START, 4.5)
    rollups.rebuild()
    period = around(zone)
    at = lambda row: row.created_at.astimezone(period.zone)  # noqa: E731
    whole = read_totals(period)
    assert dict(whole.counts) == counted(history, lambda row: True)
    days = read_groups(period, By.DAY)
    for day in period.days:
        wanted = counted(history, lambda row, day=day: at(row).date() == day)
        found = days.get(start_of(day, period.zone))
        assert (dict(found.counts) if found else dict.fromkeys(wanted, 0)) == wanted
    assert whole.histograms["asked"] == Counter(
        at(row).weekday() * 24 + at(row).hour for row in history.messages if row.role == "user"
    )
    language = read_totals(period, Filters(persona=personas[0].pk, language="de"))
    assert dict(language.counts) == counted(
        history, lambda row: (of := getattr(row, "conversation", row)).language == "de"
        and of.persona_version.persona_id == personas[0].pk,
    )  # fmt: skip
    asked = {(at(m).date(), m.owner_id) for m in history.messages if m.role == "user"}
    found_people = people_by(period, Grain.DAY)
    assert {day: active for day, (active, _new) in found_people.items()} == {
        start_of(day, period.zone): number for day, number in Counter(day for day, _ in asked).items()
    }
    assert whole.persons.daily == len(asked)


def test_percentiles_are_at_most_two_percent_off(people: list[User]) -> None:
    history = make_history(3, people, [make_persona()], START, 4.5, size=200)
    rollups.rebuild()
    waits = sorted(
        (r.first_token_at - r.queued_at).total_seconds()
        for r in history.messages
        if r.first_token_at and r.first_token_at > r.queued_at
    )
    histogram = dict(read_totals(around("UTC")).histograms["first_token"])
    histogram.pop(min(histogram), None)  # those of no time at all
    for share in (0.5, 0.95, 0.99):
        exact = waits[max(0, -(-len(waits) * share // 1).__int__() - 1)]
        assert percentile(histogram, share) == pytest.approx(exact, rel=0.021)


def test_nothing_changes_when_all_is_added_up_again_or_removed(people: list[User]) -> None:
    history = make_history(5, people, [make_persona() for _ in range(2)], START, 4.5)
    rollups.rebuild()
    first = kept()
    assert first["Usage"]
    assert first["People"]
    assert first["Cohort"]
    rollups.rebuild(date(2026, 3, 29))
    assert kept() == first
    ids = [conversation.pk for conversation in history.conversations]
    purge(ids[::3])
    rollups.rebuild()
    assert kept() == first
    purge(ids)
    rollups.rebuild()
    assert kept() == first


def test_an_erasure_changes_nothing(people: list[User]) -> None:
    make_history(6, people, [make_persona()], START, 4.5)
    rollups.rebuild()
    first = kept()
    for entry in personal_data():
        if entry.model is Conversation:
            while entry.erase(people[0]):
                pass
    rollups.rebuild()
    assert kept() == first


def test_a_refresh_adds_up_what_has_changed_since_the_last_one(people: list[User]) -> None:
    persona = make_persona()
    now = timezone.now()
    make_history(1, people, [persona], now - timedelta(days=90), 60)
    assert rollups.refresh() > 20
    make_history(2, people, [persona], now - timedelta(minutes=1), 0.0001, size=3)
    rollups.refresh()
    after = kept()
    rollups.rebuild()
    assert kept() == after


def test_a_thumb_for_an_old_reply_counts_and_is_taken_back(people: list[User]) -> None:
    now = timezone.now()
    history = make_history(1, people, [make_persona()], now - timedelta(days=90), 1)
    Feedback.objects.all().delete()
    Conversation.objects.update(deleted_at=None, expires_at=None)
    rollups.refresh()
    reply = next(m for m in history.messages if m.role == "assistant")
    period = Period((now - timedelta(days=95)).date(), now.date(), ZoneInfo("UTC"))
    for value, helpful in ((1, 1), (0, 0)):
        services.give_feedback(user=reply.owner, message_id=reply.pk, value=value)
        assert StaleHour.objects.count() == 1
        rollups.refresh()
        assert read_totals(period).helpful == helpful
        assert not StaleHour.objects.exists()


def test_a_person_who_is_asked_for_below_an_old_reply_counts(people: list[User]) -> None:
    now = timezone.now()
    ask(people[0], make_persona(), now - timedelta(days=90), offers=[{"kind": "handover", "text": "", "done": False}])
    rollups.refresh()
    reply = Message.objects.get(role="assistant")
    hand_over.request_person(user=people[0], reply_id=reply.pk)
    rollups.refresh()
    period = Period((now - timedelta(days=95)).date(), now.date(), ZoneInfo("UTC"))
    assert read_totals(period).handed_over == 1


def test_what_a_guest_said_counts_for_the_account_that_takes_over(people: list[User]) -> None:
    now, user = timezone.now(), people[0]
    guest = make_guest()
    make_history(1, [guest, user], [make_persona()], now - timedelta(days=80), 3)
    rollups.refresh()
    accounts.merge_guest(guest=guest, user=user)
    rollups.refresh()
    merged = kept()
    assert max(row["active"] for row in merged["People"]) == 1
    rollups.rebuild()
    assert kept() == merged


def test_another_time_zone_adds_up_all_anew(people: list[User], settings) -> None:
    make_history(1, people, [make_persona()], START, 4)
    rollups.refresh()
    settings.REPORT_TIME_ZONE = "Asia/Kathmandu"
    rollups.refresh()
    found = kept()
    rollups.rebuild()
    assert kept() == found
    assert {row["start"].minute for row in found["Usage"]} == {15}


@pytest.mark.django_db(transaction=True)
def test_a_run_beside_another_one_does_nothing() -> None:
    RollupState.objects.create(pk=1)
    with transaction.atomic():
        RollupState.objects.select_for_update().get(pk=1)
        with ThreadPoolExecutor(1) as other:
            assert other.submit(apart, rollups.refresh).result(timeout=30) == 0
    assert rollups.refresh() == 1


def test_figures_of_people_who_come_and_stay(people: list[User]) -> None:
    persona = make_persona()
    ask(people[0], persona, datetime(2026, 3, 2, 12, tzinfo=UTC))  # a Monday
    ask(people[0], persona, datetime(2026, 3, 3, 12, tzinfo=UTC))
    ask(people[1], persona, datetime(2026, 3, 3, 13, tzinfo=UTC))
    ask(people[0], persona, datetime(2026, 3, 10, 12, tzinfo=UTC))
    rollups.rebuild()
    week = Period(date(2026, 3, 2), date(2026, 3, 8), ZoneInfo("UTC"))
    persons = read_totals(week).persons
    assert (persons.daily, persons.new, persons.weekly, persons.monthly) == (3, 2, 2, 2)
    assert METRICS["active_daily"].of(read_totals(week)) == pytest.approx(3 / 7)
    began = datetime(2026, 3, 2, tzinfo=UTC)
    cohorts = {(row.began, row.start): row.people for row in Cohort.objects.filter(grain=Grain.WEEK)}
    assert cohorts == {(began, began): 2, (began, began + timedelta(days=7)): 1}


def test_cost_is_of_the_price_of_the_day(people: list[User]) -> None:
    persona = make_persona()
    Price.objects.create(model="acme/*", valid_from=date(2026, 1, 1), prompt=100, completion=200)
    Price.objects.create(model="acme/big", valid_from=date(2026, 3, 3), prompt=1000, completion=2000)
    for day, model, estimated in (
        (2, "acme/big", False),
        (3, "acme/big", False),
        (3, "acme/small", True),
        (3, "x/y", False),
    ):
        ask(people[0], persona, datetime(2026, 3, day, 12, tzinfo=UTC), model=model, usage_estimated=estimated)
    rollups.rebuild()
    totals = read_totals(Period(date(2026, 3, 1), date(2026, 3, 31), ZoneInfo("UTC")))
    assert totals.cost.exact == Decimal("0.002") + Decimal("0.02")  # 10 read and 5 written each
    assert totals.cost.estimated == Decimal("0.002")
    assert totals.cost.unknown == 15
    assert METRICS["cost"].of(totals) == Decimal("0.024")


def test_a_year_is_read_from_its_months(people: list[User]) -> None:
    persona = make_persona()
    make_history(9, people, [persona], datetime(2025, 1, 10, tzinfo=UTC), 400, size=120)
    rollups.rebuild()
    for first, last in ((date(2025, 1, 1), date(2025, 12, 31)), (date(2025, 2, 13), date(2025, 11, 2))):
        period = Period(first, last, ZoneInfo("UTC"))
        whole, days = read_totals(period), read_groups(period, By.DAY).values()
        assert dict(whole.counts) == {name: sum(day.counts[name] for day in days) for name in whole.counts}
        assert whole.questions
        for kind in HISTOGRAMS:
            assert sum(whole.histograms[kind].values()) == sum(sum(day.histograms[kind].values()) for day in days)


def test_sums_kept_ready_are_those_of_the_rows_that_tell_everything_apart(people: list[User]) -> None:
    personas = [make_persona() for _ in range(2)]
    make_history(9, people, personas, datetime(2025, 1, 10, tzinfo=UTC), 120, size=120)
    Price.objects.create(model="acme/*", valid_from=date(2025, 1, 1), prompt=100, completion=200)
    Price.objects.create(model="acme/*", valid_from=date(2025, 3, 17), prompt=300, completion=400)
    rollups.rebuild()
    period = Period(date(2025, 1, 5), date(2025, 5, 3), ZoneInfo("UTC"))
    told = Usage.objects.filter(grain=Grain.DAY, cuboid=cuboids.EVERYTHING, start__in=period.bounds[:-1])
    assert told.exists()
    for names in [(), *combinations(cuboids.DIMENSIONS, 1), *combinations(cuboids.DIMENSIONS, 2)]:
        row = told.exclude(model="").values(*names).order_by(*names).last() if names else {}
        filters = Filters(**row)
        exact = {name: sum(day[name] for day in told.filter(**row).values(name)) for name in COUNTERS}
        whole = read_totals(period, filters)
        assert dict(whole.counts) == exact
        assert whole.cost.exact == sum(day.cost.exact for day in read_groups(period, By.DAY, filters).values())
        for by in set(By) - {By.HOUR, By.HOUR_OF_WEEK}:
            groups = read_groups(period, by, filters).values()
            assert {name: sum(group.counts[name] for group in groups) for name in COUNTERS} == exact
            assert sum(sum(group.histograms["whole"].values()) for group in groups) == sum(
                whole.histograms["whole"].values()
            )
            assert sum(group.cost.exact for group in groups) == pytest.approx(whole.cost.exact)
    assert read_totals(period).cost.exact


def test_the_smallest_rows_are_read_that_tell_what_is_asked_for() -> None:
    assert cuboids.dimensions_of(cuboids.cuboid_of(["version"])) == ["persona", "version"]
    assert cuboids.smallest("month", []) == cuboids.NOTHING
    assert cuboids.smallest("month", ["model", "version"]) == cuboids.cuboid_of(["persona", "version", "model"])
    assert cuboids.smallest("day", ["model", "language"]) == cuboids.EVERYTHING
    assert cuboids.smallest("week", ["model", "language"]) is None


def test_the_command_takes_a_day_and_refuses_anything_else(people: list[User]) -> None:
    make_history(1, people, [make_persona()], timezone.now() - timedelta(days=3), 1)
    out = StringIO()
    call_command("rebuild_rollups", "--quiet", stdout=out)
    assert "days added up" in out.getvalue()
    with pytest.raises(CommandError, match="YYYY-MM-DD"):
        call_command("rebuild_rollups", "--since", "yesterday")


def test_the_period_before_is_as_long_and_ends_where_it_begins() -> None:
    period = around("UTC", date(2026, 3, 10), date(2026, 3, 16))
    assert before(period) == around("UTC", date(2026, 3, 3), date(2026, 3, 9))


def ask(person: User, persona, at: datetime, **reply) -> None:
    conversation = Conversation.objects.create(
        owner=person, persona_version=persona.published, title="x", created_at=at, updated_at=at
    )
    question = Message.objects.create(
        conversation=conversation, owner=person, role="user", status="sent", text="?", created_at=at
    )
    Message.objects.create(
        conversation=conversation, owner=person, parent=question, role="assistant", status="completed", created_at=at,
        queued_at=at, prompt_tokens=10, completion_tokens=5, **reply,
    )  # fmt: skip
