"""Figures of fewer than five persons are not shown where they could be one's, nor told by what is left of a total."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.forms import model_to_dict
from django.utils import translation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from accounts.tests.factories import make_user
from analytics import rollups
from analytics.metrics import METRICS
from analytics.models import Cohort, Grain, RollupState
from analytics.period import Period, start_of
from analytics.persons import persons_by
from analytics.suppression import (
    FEWEST_PEOPLE,
    SUPPRESSED,
    hidden_cells,
    hidden_keys,
    is_shown,
    shown_cohorts,
    shown_groups,
    shown_people_by,
    shown_tokens_by_model,
    shown_totals,
    shown_values,
)
from analytics.tests.history import History, make_history
from analytics.totals import By, Filters, people_by, read_groups
from conversations.models import Conversation, Message
from conversations.tests.factories import make_persona
from personas.models import Persona, PersonaVersion

UTC_ZONE = ZoneInfo("UTC")
MARCH = Period(date(2026, 3, 1), date(2026, 3, 31), UTC_ZONE)
START = datetime(2026, 3, 9, 12, tzinfo=UTC)


def ask(person: User, persona: Persona, at: datetime = START, *, model: str = "acme/big", **of: Any) -> None:
    conversation = Conversation.objects.create(
        owner=person, persona_version=persona.published, title="x", created_at=at, updated_at=at, **of
    )
    common = {"conversation": conversation, "owner": person, "created_at": at}
    question = Message.objects.create(role="user", status="sent", text="?", **common)
    Message.objects.create(role="assistant", parent=question, status="completed", queued_at=at, model=model, **common)


@pytest.fixture
def people(db: None) -> list[User]:
    return [make_user() for _ in range(12)]


# --- the rule, pure


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.integers(0, 4)), st.frozensets(st.integers(0, 12), max_size=8), max_size=10
    )
)
def test_of_a_table_no_line_and_no_column_leaves_a_single_cell_or_few_people(
    cells: dict[tuple[str, int], frozenset[int]],
) -> None:
    hidden = hidden_cells({cell: len(people) for cell, people in cells.items()})
    assert {cell for cell, people in cells.items() if len(people) < FEWEST_PEOPLE} <= hidden
    for way in (0, 1):
        for of in {cell[way] for cell in cells}:
            line = {cell for cell in cells if cell[way] == of}
            rest = line & hidden
            if rest and rest != line:
                assert len(rest) > 1
                assert len(frozenset().union(*(cells[cell] for cell in rest))) >= FEWEST_PEOPLE
    if all(len(people) >= FEWEST_PEOPLE for people in cells.values()):
        assert not hidden


@given(st.lists(st.frozensets(st.integers(0, 30), max_size=12), max_size=12))
def test_what_is_left_of_a_total_is_nobodys_and_no_single_cell(cells: list[frozenset[int]]) -> None:
    """Cells as sets of persons: who sees the total and the cells that are shown knows their differences alone, so that
    the rest is one cell only where one alone is hidden."""
    persons = {number: len(cell) for number, cell in enumerate(cells)}
    hidden = hidden_keys(persons)
    assert {key for key, number in persons.items() if number < FEWEST_PEOPLE} <= hidden
    rest = frozenset().union(*(cells[key] for key in hidden))
    if hidden and len(hidden) < len(cells):
        assert len(hidden) > 1
        assert len(rest) >= FEWEST_PEOPLE


def test_the_smallest_of_the_others_goes_with_it() -> None:
    assert hidden_keys({"a": 4, "b": 50, "c": 5, "d": 60}) == {"a", "c"}
    assert hidden_keys({"a": 5, "b": 50}) == set()
    assert hidden_keys({}) == set()


# --- how many persons there are


def persons_of(history: History, key: Any) -> Mapping[Any, set[Any]]:
    found = defaultdict(set)
    for message in history.messages:
        if (of := key(message)) is not None:
            found[of].add(message.owner_id)
    return found


KEYS = {
    By.PERSONA: lambda m: m.conversation.persona_version.persona_id,
    By.VERSION: lambda m: m.conversation.persona_version_id,
    By.MODEL: lambda m: m.model,
    By.LANGUAGE: lambda m: m.conversation.language or "",
    By.CHANNEL: lambda m: m.conversation.channel or "web",
    By.HOUR: lambda m: m.created_at.replace(minute=0, second=0, microsecond=0),
    By.DAY: lambda m: start_of(m.created_at.date(), UTC_ZONE),
    By.HOUR_OF_WEEK: lambda m: m.created_at.weekday() * 24 + m.created_at.hour,
}  # fmt: skip


@pytest.mark.django_db
@given(seed=st.integers(0, 10_000), long=st.booleans())
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_never_more_persons_are_told_than_there_are_and_nothing_shown_is_of_few(
    people: list[User], seed: int, long: bool
) -> None:
    for model in (Conversation, RollupState):
        model.objects.all().delete()
    personas = [make_persona() for _ in range(2)]
    begin = START - timedelta(days=100 * long)
    history = make_history(seed, people, personas, begin, 100 if long else 2, size=40)
    rollups.rebuild()
    period = Period(begin.date(), START.date() + timedelta(days=4), UTC_ZONE)
    for by, key in KEYS.items():
        wanted = persons_of(history, key)
        told = persons_by(period, by)
        assert all(number <= len(wanted[of]) for of, number in told.items()), by
        if by == By.HOUR and not long:
            assert told == {of: len(persons) for of, persons in wanted.items()}, by
        groups = shown_groups(period, by)
        assert groups.keys() == read_groups(period, by).keys()
        if by in (By.DAY, By.HOUR_OF_WEEK):
            continue
        hidden = {of for of, totals in groups.items() if totals is SUPPRESSED}
        assert all(len(wanted[of]) >= FEWEST_PEOPLE for of in groups.keys() - hidden), by
        if by != By.HOUR:
            narrowed = {of for of in groups if of is not None and not is_shown(period, Filters(**{by.value: of}))}
            assert narrowed == hidden, by
        if hidden and hidden != groups.keys():
            assert len(hidden) > 1
            assert len(set().union(*(wanted[of] for of in hidden))) >= FEWEST_PEOPLE, by


# --- readings


@pytest.mark.django_db
def test_the_whole_organisation_is_shown_however_few_ask(people: list[User]) -> None:
    ask(people[0], make_persona())
    rollups.rebuild()
    day = Period(START.date(), START.date(), UTC_ZONE)
    assert shown_totals(day).questions == 1
    for by in (By.DAY, By.WEEK, By.MONTH):
        assert [totals.questions for totals in shown_groups(day, by).values()] == [1]
    assert list(shown_groups(day, By.HOUR).values()) == [SUPPRESSED]
    assert list(shown_groups(day, By.HOUR_OF_WEEK).values()) == [SUPPRESSED]
    assert [totals.questions for totals in shown_groups(MARCH, By.HOUR_OF_WEEK).values()] == [1]


@pytest.mark.django_db
def test_a_filter_shows_no_more_than_the_breakdown_that_it_is_of(people: list[User]) -> None:
    rare, next_rare, busy = (make_persona() for _ in range(3))
    for persona, number in ((rare, 1), (next_rare, 5), (busy, 12)):
        for person in people[:number]:
            ask(person, persona)
    rollups.rebuild()
    groups = shown_groups(MARCH, By.PERSONA)
    assert {key for key, totals in groups.items() if totals is SUPPRESSED} == {rare.pk, next_rare.pk}
    for persona, totals in groups.items():
        filters = Filters(persona=persona)
        assert is_shown(MARCH, filters) == (totals is not SUPPRESSED)
        assert (shown_totals(MARCH, filters) is SUPPRESSED) == (totals is SUPPRESSED)
    assert set(shown_groups(MARCH, By.DAY, Filters(persona=next_rare.pk)).values()) == {SUPPRESSED}
    assert set(shown_people_by(MARCH, Grain.DAY, Filters(persona=rare.pk)).values()) == {(SUPPRESSED, SUPPRESSED)}
    assert shown_totals(MARCH, Filters(persona=busy.pk)).questions == 12


@pytest.mark.django_db
@pytest.mark.parametrize("second", [{"language": "de"}, {"channel": "api"}, {"model": "acme/small"}])
def test_two_filters_together_single_nobody_out(people: list[User], second: dict[str, str]) -> None:
    """Each alone shows many; both are one person's."""
    mine, yours = make_persona(), make_persona()
    other = {"language": "en"} | second
    for person in people[:6]:
        ask(person, mine)
        ask(person, yours, **other)
    ask(people[0], mine, **other)
    rollups.rebuild()
    assert is_shown(MARCH, Filters(persona=mine.pk))
    assert is_shown(MARCH, Filters(**second))
    assert not is_shown(MARCH, Filters(persona=mine.pk, **second))
    assert not is_shown(MARCH, Filters(persona=yours.pk, **second)), "all of that filter less this is the one"


@pytest.mark.django_db
def test_versions_are_judged_within_their_persona(people: list[User]) -> None:
    """A hidden version would else be the rest of its persona, while the version hidden with it is another's."""
    first, second = make_persona(), make_persona()
    for person in people[:6]:
        ask(person, first)
    for person in people:
        ask(person, second)
    old = first.published
    newer = model_to_dict(old, exclude=["persona", "author"]) | {"number": 2, "published_at": START}
    first.published = PersonaVersion.objects.create(persona=first, **newer)
    ask(people[0], first)
    rollups.rebuild()
    groups = shown_groups(MARCH, By.VERSION)
    assert {key for key, totals in groups.items() if totals is SUPPRESSED} == {old.pk, first.published.pk}
    assert groups[second.published.pk].questions == 12


@pytest.mark.django_db
def test_where_nothing_was_counted_there_is_none_and_that_is_not_the_same(people: list[User]) -> None:
    persona = make_persona()
    for person in people:
        ask(person, persona)
    rollups.rebuild()
    assert shown_totals(MARCH, Filters(language="xx")).questions == 0
    assert shown_groups(MARCH, By.DAY, Filters(language="xx")) == {}
    values = shown_values(shown_totals(MARCH), names=["cost_per_reply"])
    assert values == {"cost_per_reply": METRICS["cost_per_reply"].of(shown_totals(MARCH))}
    assert set(shown_values(SUPPRESSED).values()) == {SUPPRESSED}
    with translation.override("en"):
        assert str(SUPPRESSED) == "under 5 people"


@pytest.mark.django_db
def test_narrowed_figures_that_count_few_people_are_not_shown(people: list[User]) -> None:
    persona = make_persona()
    for person in people[:6]:
        ask(person, persona, START - timedelta(days=7), language="de")
    ask(people[0], persona, language="de")
    ask(people[7], persona, START - timedelta(days=7, hours=1), language="de")
    rollups.rebuild()
    names = ["active_daily", "active_weekly", "active_monthly", "new_people", "returning_daily"]
    period = Period(date(2026, 3, 1), START.date(), UTC_ZONE)
    german = Filters(language="de")
    values = shown_values(shown_totals(period, german), german, names)
    assert values["active_weekly"] is SUPPRESSED
    assert values["active_monthly"] == 7
    assert values["new_people"] is SUPPRESSED, "only one came back: seven are new"
    assert values["returning_daily"] is SUPPRESSED
    assert shown_values(shown_totals(period), names=names)["active_weekly"] == 1, "of the whole organisation"
    told = shown_people_by(period, Grain.DAY, german)
    assert list(told.values()) == [(SUPPRESSED, SUPPRESSED)] * 2
    assert list(people_by(period, Grain.DAY, german).values()) == [(7, 7), (1, 0)]


@pytest.mark.django_db
def test_nothing_is_told_of_a_cohort_of_few_nor_from_the_rest() -> None:
    weeks = [datetime(2026, 3, 2, tzinfo=UTC) + timedelta(weeks=number) for number in range(4)]
    numbers = {(0, 0): 20, (0, 1): 9, (0, 2): 2, (1, 1): 3, (1, 2): 1, (2, 2): 30, (2, 3): 8}
    for (began, start), number in numbers.items():
        Cohort.objects.create(grain=Grain.WEEK, began=weeks[began], start=weeks[start], people=number)
    found = shown_cohorts(Grain.WEEK, weeks[0], weeks[3] + timedelta(days=1))
    assert found == {
        weeks[0]: {weeks[0]: 20, weeks[1]: SUPPRESSED, weeks[2]: SUPPRESSED, weeks[3]: 0},
        weeks[1]: {weeks[1]: SUPPRESSED, weeks[2]: SUPPRESSED, weeks[3]: SUPPRESSED},
        weeks[2]: {weeks[2]: SUPPRESSED, weeks[3]: 8},
    }


@pytest.mark.django_db
def test_a_breakdown_takes_few_queries(people: list[User], django_assert_max_num_queries: Any) -> None:
    make_history(1, people, [make_persona(), make_persona()], START, 2)
    rollups.rebuild()
    for by, most in ((By.PERSONA, 5), (By.MODEL, 5), (By.VERSION, 11)):
        with django_assert_max_num_queries(most):
            shown_groups(MARCH, by)
    with django_assert_max_num_queries(12):
        shown_totals(MARCH, Filters(channel="api"))


@pytest.mark.parametrize("grain", [By.DAY, By.WEEK])
def test_tokens_of_a_model_are_told_by_day_and_week_where_five_used_it(people: list[User], grain: By) -> None:
    persona = make_persona()
    for number, person in enumerate(people):
        for day in (0, 2, 3):
            ask(person, persona, START + timedelta(days=day))
        ask(person, persona, START + timedelta(days=1), model="acme/big" if number < 6 else "acme/small")
        ask(person, persona, START + timedelta(days=14), model="acme/small")
    ask(people[0], persona, START + timedelta(days=14), model="acme/rare")
    Message.objects.filter(role="assistant").update(prompt_tokens=10, completion_tokens=1, finished_at=START)
    rollups.rebuild()
    tokens = shown_tokens_by_model(MARCH, grain)
    days = {
        model: {start.day: of for start, of in points.items()} for model, points in tokens.items()
    }  # fmt: skip
    big, small, rare = (days[f"acme/{name}"] for name in ("big", "small", "rare"))
    if grain == By.DAY:
        assert (big, small, rare) == (
            {9: SUPPRESSED, 10: SUPPRESSED, 11: 132, 12: 132},
            {10: SUPPRESSED, 23: SUPPRESSED},
            {23: SUPPRESSED},
        ), "what one person's model took is told by no day and by no model, nor by what is left of their totals"
    else:
        assert (big, small, rare) == (
            {9: SUPPRESSED},
            {9: SUPPRESSED, 23: SUPPRESSED},
            {23: SUPPRESSED},
        )
