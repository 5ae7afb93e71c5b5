"""``GET analytics/dashboard`` and ``analytics/user/{id}``: who may see which figures, and of which days."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts import services
from accounts.models import AuditEvent, User
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import make_admin, make_moderator, make_user
from analytics import rollups
from analytics.models import RollupState
from analytics.tests.history import make_history
from conversations.models import Conversation, Message
from conversations.purging import purge
from conversations.tests.factories import make_exchange, make_persona
from personas.models import Persona

pytestmark = pytest.mark.django_db

DASHBOARD = "analytics/dashboard"
MARCH = "from=2026-03-01&to=2026-03-31"


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona(slug="support", name="Support")


def at(user: User, moment: datetime) -> None:
    """A question that was asked and answered then."""
    accepted = make_exchange(user)
    Conversation.objects.filter(pk=accepted.conversation.pk).update(created_at=moment)
    Message.objects.filter(conversation=accepted.conversation).update(created_at=moment)


# --- the dashboard


def test_moderators_and_admins_see_the_figures_of_all(
    moderator: User, admin: User, owner: User, other: User, persona: Persona
) -> None:
    for person in (owner, owner, other, *(make_user() for _ in range(4))):
        make_exchange(person, persona=persona)
    rollups.refresh()
    body = ApiClient.of(moderator).get(DASHBOARD).json()
    assert ApiClient.of(admin).get(DASHBOARD).json() == body
    assert ApiClient.with_key(moderator, Scope.STAFF).get(DASHBOARD).json() == body
    totals = body["totals"]
    assert (totals["conversations"], totals["questions"], totals["active_people"]) == (7, 7, 6)
    assert totals["replies"] == {"completed": 7, "stopped": 0, "interrupted": 0, "failed": 0, "live": 0}
    assert body["days"][-1] == {"day": body["to"], "figures": totals}
    assert body["personas"] == [{"persona": "support", "name": "Support", "suppressed": False, "figures": totals}]
    assert datetime.fromisoformat(body["counted_until"]) == RollupState.objects.get().counted_until


def test_a_personas_figures_are_not_told_where_they_are_of_few(moderator: User, owner: User, persona: Persona) -> None:
    make_exchange(owner, persona=persona)
    rollups.refresh()
    body = ApiClient.of(moderator).get(DASHBOARD).json()
    assert body["totals"]["questions"] == 1, "of the whole organisation"
    assert body["personas"] == [{"persona": "support", "name": "Support", "suppressed": True, "figures": None}]


def test_others_do_not(moderator: User, owner: User, guest: User) -> None:
    assert refusal(ApiClient().get(DASHBOARD)) == (401, "signed_out")
    assert refusal(ApiClient.of(owner).get(DASHBOARD)) == (403, "forbidden")
    assert refusal(ApiClient.of(guest).get(DASHBOARD)) == (403, "forbidden")
    assert refusal(ApiClient.with_key(owner, *Scope).get(DASHBOARD)) == (403, "forbidden")
    reading = ApiClient.with_key(moderator, Scope.READ, Scope.WRITE, Scope.CHAT)
    assert refusal(reading.get(DASHBOARD)) == (403, "scope_missing")
    client = ApiClient.of(moderator)
    services.set_suspended(actor=make_admin(), user=moderator, suspended=True, reason="x")
    assert refusal(client.get(DASHBOARD)) == (401, "invalid_token")


def test_it_is_of_the_last_thirty_days_unless_others_are_asked_for(moderator: User) -> None:
    client, today = ApiClient.of(moderator), timezone.now().date()
    body = client.get(DASHBOARD).json()
    assert (body["from"], body["to"]) == (str(today - timedelta(days=29)), str(today))
    assert body["timezone"] == "UTC"
    assert len(body["days"]) == 30
    named = client.get(f"{DASHBOARD}?to=2026-03-31").json()
    assert (named["from"], named["to"]) == ("2026-03-02", "2026-03-31")
    begun = client.get(f"{DASHBOARD}?from={today - timedelta(days=9)}").json()
    assert (len(begun["days"]), begun["to"]) == (10, str(today))
    assert client.get(f"{DASHBOARD}?from=2020-01-01").json()["to"] == "2020-12-31", "as many as there can be"
    future = client.get(f"{DASHBOARD}?from=2199-12-31").json()
    assert (future["from"], future["to"], future["totals"]["questions"]) == ("2199-12-31", "2199-12-31", 0)
    year = client.get(f"{DASHBOARD}?from=2024-01-01&to=2024-12-31").json()
    assert len(year["days"]) == 366


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-01-02&to=2026-01-01", "from"),
        ("from=2023-12-31&to=2024-12-31", "from"),
        ("from=", "from"),
        ("from=20260101", "from"),
        ("from=2026-W01-1", "from"),
        ("from=2026-02-30", "from"),
        ("from=0001-01-01&to=0001-01-02", "from"),
        ("to=9999-12-31", "to"),
        ("to=yesterday", "to"),
        ("to=２０２６-01-01", "to"),
        ("to=2026-01-01T00:00:00Z", "to"),
    ],
)
def test_days_that_cannot_be_asked_for_are_named(moderator: User, query: str, field: str) -> None:
    client = ApiClient.of(moderator)
    for path in (DASHBOARD, f"analytics/user/{moderator.pk}"):
        answer = client.get(f"{path}?{query}")
        assert refusal(answer) == (400, "invalid")
        assert list(answer.json()["fields"]) == [field]


@pytest.mark.parametrize(
    ("zone", "day"), [("", "2026-03-29"), ("Europe/Berlin", "2026-03-30"), ("no/zone", "2026-03-29")]
)
def test_a_persons_days_are_those_of_the_callers_time_zone(persona: Persona, zone: str, day: str) -> None:
    caller = make_moderator(timezone=zone)
    at(caller, datetime(2026, 3, 29, 22, 30, tzinfo=UTC))  # half past midnight in Berlin, on its first day of summer
    body = ApiClient.of(caller).get(f"analytics/user/{caller.pk}?{MARCH}").json()
    assert [each["day"] for each in body["days"] if each["figures"]["questions"]] == [day]
    assert body["timezone"] == (zone if zone == "Europe/Berlin" else "UTC")


def test_the_dashboards_days_are_the_organisations_whoever_asks(owner: User, persona: Persona, settings: Any) -> None:
    settings.REPORT_TIME_ZONE = "Europe/Berlin"
    at(owner, datetime(2026, 3, 29, 22, 30, tzinfo=UTC))
    rollups.refresh()
    for zone in ("", "America/New_York"):
        body = ApiClient.of(make_moderator(timezone=zone)).get(f"{DASHBOARD}?{MARCH}").json()
        assert [each["day"] for each in body["days"] if each["figures"]["questions"]] == ["2026-03-30"]
        assert body["timezone"] == "Europe/Berlin"


def test_a_years_figures_take_as_few_queries_as_a_days(
    moderator: User, owner: User, other: User, django_assert_max_num_queries
) -> None:
    personas = [make_persona() for _ in range(5)]
    make_history(7, [owner, other], personas, datetime(2025, 6, 1, tzinfo=UTC), 300, size=60)
    rollups.rebuild()
    client = ApiClient.of(moderator)
    for query in ("from=2025-06-01&to=2025-06-01", "from=2025-04-01&to=2026-03-31"):
        with django_assert_max_num_queries(22):
            body = client.get(f"{DASHBOARD}?{query}").json()
    assert len(body["personas"]) == 5
    assert sum(each["figures"]["questions"] for each in body["days"]) == body["totals"]["questions"] > 60


# --- one person


def test_a_person_sees_their_own_figures_and_nobody_elses(
    owner: User, other: User, guest: User, persona: Persona
) -> None:
    make_exchange(owner)
    make_exchange(other)
    make_exchange(guest)
    for person in (owner, guest):
        body = ApiClient.of(person).get(f"analytics/user/{person.pk}").json()
        assert body["user"]["id"] == str(person.pk)
        assert (body["totals"]["questions"], body["totals"]["active_people"]) == (1, 1)
    assert ApiClient.with_key(owner, Scope.READ).get(f"analytics/user/{owner.pk}").status_code == 200
    assert refusal(ApiClient.with_key(owner, Scope.CHAT).get(f"analytics/user/{owner.pk}")) == (403, "scope_missing")
    assert refusal(ApiClient().get(f"analytics/user/{owner.pk}")) == (401, "signed_out")


@pytest.mark.parametrize("query", ["", "?from=nonsense"])
def test_anothers_figures_answer_as_an_absent_persons_and_that_is_recorded(
    owner: User, other: User, guest: User, query: str
) -> None:
    for client in (ApiClient.of(other), ApiClient.of(guest), ApiClient.with_key(other, *Scope)):
        anothers = client.get(f"analytics/user/{owner.pk}{query}")
        assert refusal(anothers) == (404, "not_found")
        assert anothers.content == client.get(f"analytics/user/{uuid4()}{query}").content
    events = AuditEvent.objects.on(owner).filter(action="figures.refused")
    assert sorted(events.values_list("actor__person", flat=True)) == sorted([other.pk, guest.pk])


def test_moderators_and_admins_see_anyones(moderator: User, admin: User, owner: User, persona: Persona) -> None:
    make_exchange(owner)
    for client in (ApiClient.of(moderator), ApiClient.of(admin), ApiClient.with_key(moderator, Scope.STAFF)):
        body = client.get(f"analytics/user/{owner.pk}").json()
        assert body["totals"]["questions"] == 1
        assert set(body["user"]) == {"id", "username", "role", "is_guest", "created_at"}
        assert refusal(client.get(f"analytics/user/{uuid4()}")) == (404, "not_found")
    reading = ApiClient.with_key(moderator, Scope.READ)
    assert refusal(reading.get(f"analytics/user/{owner.pk}")) == (403, "scope_missing")
    assert reading.get(f"analytics/user/{moderator.pk}").status_code == 200
    assert not AuditEvent.objects.filter(action="figures.refused").exists()


def test_one_persons_figures_take_few_queries(
    moderator: User, owner: User, persona: Persona, django_assert_max_num_queries
) -> None:
    make_history(3, [owner], [persona], datetime(2026, 3, 1, tzinfo=UTC), 20, size=40)
    client = ApiClient.of(moderator)
    with django_assert_max_num_queries(6):
        body: dict[str, Any] = client.get(f"analytics/user/{owner.pk}?{MARCH}").json()
    assert body["totals"]["conversations"] == 40


def test_what_was_asked_in_passing_deleted_or_removed_counts(moderator: User, owner: User, persona: Persona) -> None:
    passing, deleted = make_exchange(owner).conversation, make_exchange(owner).conversation
    Conversation.objects.filter(pk=passing.pk).update(expires_at=timezone.now())
    Conversation.objects.filter(pk=deleted.pk).update(deleted_at=timezone.now())
    client = ApiClient.of(moderator)
    rollups.refresh()
    before = client.get(DASHBOARD).json()
    assert before["totals"]["questions"] == 2
    purge([deleted.pk])
    rollups.rebuild()
    assert client.get(DASHBOARD).json() | {"counted_until": ""} == before | {"counted_until": ""}


def test_answers_hold_nothing_of_what_was_said(moderator: User, owner: User, persona: Persona) -> None:
    make_exchange(owner, "A secret question", "A secret answer")
    client = ApiClient.of(moderator)
    for path in (DASHBOARD, f"analytics/user/{owner.pk}", "analytics/conversations"):
        assert b"secret" not in client.get(path).content


def test_a_name_in_the_address_that_is_no_id_is_absent(moderator: User) -> None:
    assert refusal(ApiClient.of(moderator).get("analytics/user/me")) == (404, "not_found")
