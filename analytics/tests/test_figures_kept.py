"""A number that was reported does not change, whichever way conversations go."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from accounts import services
from accounts.models import User
from accounts.privacy.registry import personal_data
from accounts.tasks import expire_guests
from accounts.tests.factories import make_guest, make_user
from analytics import rollups
from analytics.dashboard import dashboard
from analytics.period import Period
from analytics.selectors import Report, report
from analytics.tests.history import make_history
from conversations import keeping, tasks
from conversations.models import Citation, Conversation, Feedback, HandOver, Message, Tally
from conversations.purging import purge
from conversations.tests.factories import make_persona

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 28, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/Havana", "Pacific/Kiritimati", "Asia/Kathmandu"]


def reports(people: list[User]) -> list[Report]:
    """Of all once they are added up again, and of single people as they are told in five time zones."""
    periods = [Period(date(2026, 3, 27), date(2026, 4, 3), ZoneInfo(zone)) for zone in ZONES]
    rollups.rebuild()
    return [dashboard(periods[0]), *(report(period, person=person) for period in periods for person in people)]


@pytest.fixture
def people() -> list[User]:
    return [make_user() for _ in range(4)]


def written_about(*people: User) -> None:
    make_history(7, list(people), [make_persona() for _ in range(3)], START, 4.5)


@pytest.mark.parametrize("seed", range(4))
def test_removing_any_of_them_changes_no_figure(seed: int, people: list[User]) -> None:
    make_history(seed, people, [make_persona() for _ in range(3)], START, 4.5)
    before = reports(people)
    ids = list(Conversation.objects.order_by("pk").values_list("pk", flat=True))
    for part in (ids[seed::3], ids):
        purge(part)
        assert reports(people) == before
    for model in (Conversation, Message, Feedback, Citation, HandOver):
        assert not model.objects.exists()


def test_the_purge_of_what_was_deleted_changes_no_figure(people: list[User]) -> None:
    written_about(*people)
    keeping.clear_conversations(user=people[0])  # which stops what is still being written
    before = reports(people)
    Conversation.objects.filter(owner=people[0]).update(deleted_at=timezone.now() - timedelta(days=2))
    tasks.purge_deleted_conversations()
    assert not Conversation.objects.filter(owner=people[0]).exists()
    assert reports(people) == before


def test_guests_that_expire_change_no_figure(people: list[User]) -> None:
    guests = [make_guest(last_seen_at=timezone.now() - timedelta(days=400)) for _ in range(3)]
    written_about(*people, *guests)
    before = reports(people)
    assert expire_guests() == 3
    assert reports(people) == before
    assert not Tally.objects.filter(person__in=[guest.pk for guest in guests]).exists()


def test_an_erasure_changes_no_figure_and_leaves_no_id(people: list[User]) -> None:
    written_about(*people)
    gone, others = people[0], people[1:]
    before = reports(others)
    erase = {entry.model: entry.erase for entry in personal_data()}
    for model in (Tally, Conversation):  # in whichever order
        while erase[model](gone):
            pass
    assert not Conversation.objects.filter(owner=gone).exists()
    gone_id = gone.pk
    gone.delete()
    assert reports(others) == before
    assert not Tally.objects.filter(person=gone_id).exists()
    assert Tally.objects.values("person").distinct().count() == 1, "one person still"


def test_what_a_guest_had_counts_for_the_account_that_takes_over(people: list[User]) -> None:
    guest, user = make_guest(), people[0]
    written_about(guest)
    whole = report(Period(date(2026, 3, 27), date(2026, 4, 3), ZoneInfo("UTC")), person=guest)
    purge(list(Conversation.objects.values_list("pk", flat=True)[:10]))
    services.merge_guest(guest=guest, user=user)
    assert report(whole.period, person=user).totals == whole.totals


def test_what_is_left_holds_nothing_that_was_written(people: list[User]) -> None:
    written_about(*people)
    ids = set(Conversation.objects.values_list("pk", flat=True)) | set(Message.objects.values_list("pk", flat=True))
    purge(list(Conversation.objects.values_list("pk", flat=True)))
    for line in Tally.objects.values():
        assert line["at"].minute % 15 == line["at"].second == line["at"].microsecond == 0
        assert not {value for value in line.values() if isinstance(value, UUID)} & ids
        words = {value for value in line.values() if isinstance(value, str)}
        assert words <= {
            *("", "user", "assistant", *Message.Status.values, *Message.Source.values),
            *("acme/big", "acme/small", "spare/big", *Conversation.Channel.values, "de", "en"),
        }


def test_nothing_to_remove_is_no_work(django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        assert purge([]) == 0
