"""Who is turned away when too many wait, in which order, and what they are told."""

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from accounts.roles import Role
from accounts.tests.factories import make_guest, make_user
from chatbot_project.lib.metrics.registry import REGISTRY
from conversations import busy, services
from conversations.busy import Busy, Lines, about, counted_in, known_lines, note_lines, patience_of, refuse_if_busy
from conversations.models import Message
from conversations.replies import queue
from personas.models import Persona

from .factories import ask, make_persona

PROVIDER = "fake"


@pytest.fixture(autouse=True)
def lines() -> Iterator[None]:
    yield
    note_lines(Lines({}, {}))


def shed(kind: str) -> float:
    return REGISTRY.get_sample_value("nono_questions_shed_total", {"kind": kind}) or 0.0


def person(kind: str) -> Any:
    """One of each kind, as far as it matters; nobody is stored."""
    ages = {"new guest": timedelta(0), "guest": timedelta(days=1)}
    return SimpleNamespace(
        is_guest=kind in ages, is_staff=kind == "staff", created_at=timezone.now() - ages.get(kind, timedelta(days=1))
    )


def test_what_is_accepted_while_the_lines_are_read_goes_on_being_counted() -> None:
    for _question in range(2):
        refuse_if_busy(person("user"), 0, PROVIDER)
    before = counted_in()
    refuse_if_busy(person("user"), 0, PROVIDER)
    note_lines(Lines({(PROVIDER, 1): 2}, {}), before=before)
    assert known_lines().length(PROVIDER) == 3
    note_lines(Lines({(PROVIDER, 1): 3}, {}), before=counted_in())
    assert known_lines().length(PROVIDER) == 3


KINDS = ("new guest", "guest", "user", "staff")


def is_taken(who: Any, live: int, lines: Lines) -> bool:
    note_lines(Lines(lines.waiting, lines.paces))
    try:
        refuse_if_busy(who, live, PROVIDER)
    except Busy:
        return False
    return True


some_lines = st.builds(
    Lines,
    st.dictionaries(st.tuples(st.sampled_from([PROVIDER, "other"]), st.integers(1, 6)), st.integers(0, 5000)),
    st.dictionaries(st.sampled_from([PROVIDER, "other"]), st.floats(0, 50)),
)


@given(lines=some_lines, live=st.integers(0, 19))
def test_newest_guests_are_turned_away_first_and_staff_last(lines: Lines, live: int) -> None:
    taken = [is_taken(person(kind), live, lines) for kind in KINDS]
    assert taken == sorted(taken)


@given(lines=some_lines, one=st.sampled_from(KINDS), other=st.sampled_from(KINDS), several=st.integers(2, 19))
def test_who_has_nothing_under_way_is_taken_before_anybody_who_has_several(
    lines: Lines, one: str, other: str, several: int
) -> None:
    if is_taken(person(other), several, lines):
        assert is_taken(person(one), 0, lines)


@given(lines=some_lines, kind=st.sampled_from(KINDS))
def test_nobody_is_taken_with_more_under_way_who_is_not_with_less(lines: Lines, kind: str) -> None:
    taken = [is_taken(person(kind), live, lines) for live in range(5)]
    assert taken == sorted(taken, reverse=True)


@given(lines=some_lines, kind=st.sampled_from(KINDS), live=st.integers(0, 19))
def test_who_is_turned_away_is_told_when_to_come_back(lines: Lines, kind: str, live: int) -> None:
    note_lines(lines)
    refusal: Busy | None = None
    try:
        refuse_if_busy(person(kind), live, PROVIDER)
    except Busy as error:
        refusal = error
    if refusal is not None:
        assert refusal.retry_after is not None
        assert busy.SHORTEST_RETRY <= refusal.retry_after <= busy.LONGEST_RETRY * (1 + busy.JITTER) + 1
        assert refusal.position == lines.place(PROVIDER, live)
        estimate = lines.wait(PROVIDER, refusal.position)
        assert (refusal.wait is None) == (estimate is None or estimate >= busy.LONGEST_WAIT)


def test_nobody_is_let_into_a_line_that_stands_still_but_into_one_that_nobody_has_measured() -> None:
    assert not is_taken(person("staff"), 0, Lines({(PROVIDER, 1): 1}, {PROVIDER: 0.0}))
    assert is_taken(person("new guest"), 0, Lines({(PROVIDER, 1): 1}, {"other": 0.0}))


def test_those_who_come_back_do_not_come_back_together() -> None:
    note_lines(Lines({(PROVIDER, 1): 4000}, {PROVIDER: 20.0}))
    told = set()
    for _ in range(50):
        with pytest.raises(Busy) as refusal:
            refuse_if_busy(person("user"), 0, PROVIDER)
        told.add(refusal.value.retry_after)
    assert len(told) > 5
    assert 80 <= min(told) < max(told) <= 102


def test_patience_of_a_guest_grows_for_an_hour() -> None:
    def guest(minutes: float) -> Any:
        return SimpleNamespace(is_guest=True, created_at=timezone.now() - timedelta(minutes=minutes))

    grown = [round(patience_of(guest(minutes), 0), 3) for minutes in (0, 30, 60, 600)]
    assert grown == [0.25, 0.375, 0.5, 0.5]


def test_an_estimate_is_told_no_more_exactly_than_it_is() -> None:
    assert [about(seconds) for seconds in (0.2, 9, 12, 61, 299, 301)] == [1, 9, 15, 75, 300, 360]
    assert (about(None), about(busy.LONGEST_WAIT)) == (None, None)


# --- what is stored, on the real queue


@pytest.mark.django_db
def test_lines_count_every_turn_of_every_person_by_provider(owner: User, other: User, persona: Persona) -> None:
    local = make_persona(model="local/small")
    for _ in range(3):
        ask(owner)
    queue.claim("w", {PROVIDER: 1}, 0, 30.0)
    ask(other)
    ask(other, persona=local)
    assert queue.lines() == {(PROVIDER, 1): 1, (PROVIDER, 2): 1, (PROVIDER, 3): 1, ("local", 2): 1}


@pytest.mark.django_db
def test_places_are_counted_by_provider(owner: User, other: User, persona: Persona) -> None:
    local = make_persona(model="local/small")
    here, there = ask(owner).reply.pk, ask(other, persona=local).reply.pk
    assert queue.positions([here, there]) == {here: (PROVIDER, 1), there: ("local", 1)}


@pytest.mark.django_db
def test_the_place_that_is_told_is_the_place_that_would_be_had(owner: User, other: User, persona: Persona) -> None:
    for _ in range(3):
        ask(owner)
    ask(other)
    foreseen = Lines(queue.lines(), {}).place(PROVIDER, 1)
    reply = ask(other).reply.pk
    assert queue.positions([reply])[reply].place == foreseen


@pytest.mark.django_db
def test_a_question_that_is_turned_away_is_not_stored_and_counted_by_whose_it_was(
    owner: User, persona: Persona
) -> None:
    note_lines(Lines({(PROVIDER, 1): 200}, {PROVIDER: 1.0}))
    guest, admin = make_guest(), make_user(role=Role.ADMIN)
    before = shed("guest"), shed("user"), shed("staff")
    for who in (guest, owner):
        with pytest.raises(Busy) as refusal:
            ask(who)
        assert (refusal.value.status, refusal.value.position, refusal.value.wait) == (503, 201, 210)
    ask(admin)
    assert set(Message.objects.values_list("owner", flat=True)) == {admin.pk}
    assert (shed("guest"), shed("user"), shed("staff")) == (before[0] + 1, before[1] + 1, before[2])


@pytest.mark.django_db
def test_what_was_acknowledged_is_never_turned_away(owner: User, persona: Persona) -> None:
    arguments: dict[str, Any] = {"user": owner, "client_id": "once", "text": "Hi", "persona_slug": persona.slug}
    stored = services.send_message(**arguments)
    note_lines(Lines({(PROVIDER, 1): 100_000}, {PROVIDER: 0.1}))
    again = services.send_message(**arguments)
    assert (again.reply.pk, again.again) == (stored.reply.pk, True)
    assert [claim.reply for claim in queue.claim("w", {PROVIDER: 1}, 0, 30.0)] == [stored.reply.pk]


@pytest.mark.django_db
def test_a_line_of_unknown_pace_is_bounded_by_its_length(settings: Any, owner: User, persona: Persona) -> None:
    settings.BUSY_QUEUE = 3
    note_lines(Lines({}, {}))
    for _ in range(3):
        ask(make_user())
    with pytest.raises(Busy) as refusal:
        ask(owner)
    assert (refusal.value.position, refusal.value.wait) == (4, None)
    assert known_lines().length(PROVIDER) == 3
