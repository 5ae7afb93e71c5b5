"""Demo data: believable, whole, marked, and gone again without a trace."""

import html
from datetime import UTC, date, datetime
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Sum
from django.test import Client

from accounts.models import User
from accounts.tests.api_client import ApiClient
from analytics import rollups
from analytics.demo.people import draw_people
from analytics.demo.rhythm import days_before
from analytics.demo.talks import Talk, draw_talks
from analytics.models import Report
from analytics.moods.counting import count_week
from analytics.moods.models import Mood, MoodWeek
from analytics.moods.sentiment import Sentiment
from analytics.reports.periods import period_of
from analytics.rollups import reporting_zone
from analytics.tests.history import make_history
from conversations.models import Conversation, Feedback, Message, Tally
from conversations.purging import purge
from conversations.tests.factories import make_persona
from conversations.transcript import branch_ids
from personas.models import Persona, PersonaVersion

pytestmark = pytest.mark.django_db
ZONE = ZoneInfo("Europe/Berlin")
# Only added to, or a counter: the trail and its queue, the knowledge's revision, the rollups' own state.
GROWS = {
    "accounts_auditevent", "accounts_auditwaiting", "faqs_knowledgestate", "analytics_rollupstate",
    "analytics_occurrence", "analytics_stalehour",
}  # fmt: skip


def seed(*more: str) -> None:
    call_command("seed_demo", "--days", "30", "--users", "40", "--yes", *more)


def contents() -> dict[str, list[Any]]:
    """All rows of all tables."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.django_table_names(only_existing=True):
            row = "to_jsonb(each)"
            if table.startswith("analytics_"):  # rollups are made anew: the same figures in new rows
                row += " - 'id'"
            cursor.execute(f'SELECT ({row})::text FROM "{table}" each ORDER BY 1')
            found[table] = cursor.fetchall()
    return {table: rows for table, rows in found.items() if table not in GROWS}


def drawn(seed: int = 1, users: int = 60) -> list[Talk]:
    days, chance = days_before(date(2026, 4, 20), 60), Random(seed)
    return list(draw_talks(draw_people(users, days, chance), days, ZONE, datetime(2026, 4, 21, tzinfo=UTC), chance))


def test_removing_it_leaves_every_table_as_it_was(owner: User, other: User) -> None:
    make_history(3, [owner, other], [make_persona()], datetime(2026, 11, 1, tzinfo=UTC), 9)
    rollups.rebuild()
    kept = {"grain": "week", "time_zone": "UTC", "figures": {}}
    Report.objects.create(start=datetime(2026, 11, 2, tzinfo=UTC), **kept)
    before = contents()
    seed()
    Report.objects.create(start=datetime(2026, 11, 9, tzinfo=UTC), **kept)  # of figures that are made up
    assert contents() != before
    call_command("seed_demo", "--remove", "--yes")
    after = contents()
    assert [table for table in before if after[table] != before[table]] == []
    assert not Tally.objects.exists()


def test_its_weeks_have_moods_and_topics_beside_what_is_counted_of_real_people(moderator: User, settings: Any) -> None:
    settings.CONVERSATION_INSIGHTS = True
    seed("--days", "60", "--users", "150")
    weeks = MoodWeek.objects.order_by("start")
    assert weeks
    assert all(week.is_demo for week in weeks)
    demo = Mood.objects.aggregate(n=Sum("conversations"))["n"]
    assert 0 < demo <= Conversation.objects.count()
    assert set(Mood.objects.values_list("sentiment", flat=True)) == set(Sentiment.values)
    assert Mood.objects.exclude(topic=None).exists()

    last = weeks.last()
    real = count_week(period_of("week", last.start.astimezone(reporting_zone()).date()))
    assert real is not None, "a demo's week does not stand in the way of a real one"
    assert not real.moods.exists(), "nobody of the demo has agreed to anything"
    Mood.objects.create(week=real, sentiment="neutral", conversations=7)
    body = ApiClient.of(moderator).get(f"analytics/moods?from={last.start:%Y-%m-%d}").json()
    assert {week["is_demo"] for week in body["weeks"]} == {True}
    assert len({week["start"] for week in body["weeks"]}) == len(body["weeks"])
    rows = [(each["week"], each["persona"], each["topic"], each["sentiment"]) for each in body["items"]]
    assert len(set(rows)) == len(rows), "a week that was counted twice is told once"

    call_command("seed_demo", "--remove", "--yes")
    assert list(MoodWeek.objects.all()) == [real]
    assert Mood.objects.get().conversations == 7


def test_what_was_purged_meanwhile_counts_no_more_either() -> None:
    seed()
    purge(list(Conversation.objects.values_list("pk", flat=True)[:20]))
    assert Tally.objects.exists()
    call_command("seed_demo", "--remove", "--yes")
    assert not Tally.objects.exists()


def test_a_second_run_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    seed()
    before = contents()
    seed("--seed", "2")
    assert "there already" in capsys.readouterr().out
    assert contents() == before


def test_the_same_seed_and_day_give_the_same_history() -> None:
    assert drawn() == drawn()
    assert drawn() != drawn(seed=2)


def test_each_conversation_is_a_tree_that_its_leaf_is_part_of() -> None:
    seed()
    for conversation in Conversation.objects.all()[:60]:
        branch = branch_ids(conversation.pk, conversation.active_leaf_id)
        assert branch[0] == conversation.messages.order_by("created_at").values_list("pk", flat=True)[0]
        assert conversation.active_leaf_id == branch[-1]
        assert conversation.active_leaf.role == "assistant"
    assert not Message.objects.filter(status__in=Message.LIVE).exists()
    assert set(Message.objects.replies().values_list("source", flat=True)) >= {None, "model", "faq", "unknown"}
    assert Feedback.objects.exists()


def test_a_conversation_opens_in_the_chat_page(client: Client) -> None:
    seed()
    conversation = Conversation.objects.select_related("owner").latest("updated_at")
    client.force_login(conversation.owner)
    page = client.get(f"/c/{conversation.pk}/")
    assert page.status_code == 200
    assert conversation.title in html.unescape(page.content.decode())


def test_nobody_can_sign_in_as_one_of_them_and_all_are_marked() -> None:
    seed()
    people = User.objects.all()
    assert people
    assert all(user.email.endswith("@demo.invalid") and user.username.endswith("demo") for user in people)
    assert not any(user.has_usable_password() for user in people)
    assert all("(demo)" in version.name for version in PersonaVersion.objects.all())


def test_a_persona_that_others_talk_with_is_archived_not_removed(owner: User) -> None:
    seed()
    persona = Persona.objects.get(slug="demo-study-coach")
    kept = Conversation.objects.create(owner=owner, persona_version=persona.published, title="Mine")
    call_command("seed_demo", "--remove", "--yes")
    assert list(Persona.objects.values_list("slug", flat=True)) == [persona.slug]
    assert Persona.objects.get().archived_at is not None
    assert list(Conversation.objects.all()) == [kept]


def test_published_versions_are_guarded_again_afterwards() -> None:
    seed()
    call_command("seed_demo", "--remove", "--yes")
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgenabled FROM pg_trigger WHERE tgname = 'personas_published_is_immutable'")
        assert cursor.fetchall() == [("O",)]


@pytest.mark.django_db(transaction=True)
def test_the_trail_verifies_afterwards() -> None:
    seed()
    call_command("verify_audit")
    call_command("seed_demo", "--remove", "--yes")
    call_command("verify_audit")


def test_it_refuses_a_production_installation(settings: Any) -> None:
    settings.IS_LOCAL = settings.DEBUG = False
    with pytest.raises(CommandError, match="production"):
        seed()
    assert not User.objects.exists()


def test_more_is_asked_in_working_hours_and_by_ever_more_people() -> None:
    talks = drawn(users=200)
    local = [talk.began_at.astimezone(ZONE) for talk in talks]
    assert sum(9 <= at.hour < 17 for at in local) > len(local) / 2
    assert sum(at.weekday() >= 5 for at in local) < len(local) / 5
    half = date(2026, 3, 22)
    assert sum(at.date() >= half for at in local) > 1.3 * sum(at.date() < half for at in local)
