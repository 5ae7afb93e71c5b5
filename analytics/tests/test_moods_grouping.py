"""Cells of few people are merged or left out, so that no sum or difference is of few."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from analytics.moods.grouping import Cell, Talks, merge_small
from analytics.moods.sentiment import Sentiment

LEAST = 5
NEGATIVE, NEUTRAL, POSITIVE, UNKNOWN = Sentiment
DESK, SHOP = UUID(int=1), UUID(int=2)
MONEY, CARDS, BILLS, TRAVEL = (UUID(int=number) for number in range(11, 15))
PARENTS = {MONEY: None, CARDS: MONEY, BILLS: MONEY, TRAVEL: None}


def talks(*people: int, number: int | None = None) -> Talks:
    return Talks({UUID(int=person) for person in people}, len(people) if number is None else number)


def merged(cells: dict[Cell, Talks]) -> dict[Cell, int]:
    return merge_small(cells, PARENTS, least=LEAST)


def test_five_people_are_enough_and_four_are_not() -> None:
    assert merged({Cell(DESK, CARDS, NEUTRAL): talks(*range(5))}) == {Cell(DESK, CARDS, NEUTRAL): 5}
    assert merged({Cell(DESK, CARDS, NEUTRAL): talks(*range(4))}) == {}


def test_it_is_people_that_count_not_conversations() -> None:
    assert merged({Cell(DESK, CARDS, NEUTRAL): talks(1, 2, 3, 4, number=400)}) == {}


def test_few_join_the_topic_above_and_then_the_others() -> None:
    cells = {
        Cell(DESK, CARDS, NEGATIVE): talks(1, 2, 3),
        Cell(DESK, BILLS, NEGATIVE): talks(3, 4, 5),
        Cell(DESK, TRAVEL, NEGATIVE): talks(6, 7),
        Cell(DESK, None, NEGATIVE): talks(8, 9, 10),
    }
    assert merged(cells) == {Cell(DESK, MONEY, NEGATIVE): 6, Cell(DESK, None, NEGATIVE): 5}


def test_few_of_a_sentiment_are_no_longer_told_by_it_and_few_of_a_persona_not_by_that() -> None:
    cells = {
        Cell(DESK, CARDS, NEGATIVE): talks(1, 2),
        Cell(DESK, CARDS, POSITIVE): talks(3, 4, 5),
        Cell(SHOP, None, POSITIVE): talks(6, 7, 8),
        Cell(None, None, UNKNOWN): talks(9, 10),
    }
    assert merged(cells) == {Cell(DESK, None, UNKNOWN): 5, Cell(None, None, UNKNOWN): 5}


def test_topics_in_a_ring_come_to_an_end() -> None:
    ring = {CARDS: BILLS, BILLS: CARDS}
    cells = {Cell(DESK, CARDS, NEGATIVE): talks(1, 2, 3), Cell(DESK, BILLS, NEGATIVE): talks(4, 5)}
    assert merge_small(cells, ring, least=LEAST) == {Cell(DESK, None, NEGATIVE): 5}


cells_strategy = st.dictionaries(
    st.builds(Cell, st.sampled_from([DESK, SHOP]), st.sampled_from([None, *PARENTS]), st.sampled_from(Sentiment)),
    st.sets(st.integers(0, 30), min_size=1, max_size=9),
    max_size=20,
)


@given(cells_strategy)
def test_every_number_is_of_five_people_or_more_and_every_conversation_in_one_at_most(
    people: dict[Cell, set[int]],
) -> None:
    """Each conversation is told by its own power of two, so that a sum tells which ones are in it."""
    number, whose = 0, {}
    cells: dict[Cell, Talks] = {}
    for cell, members in people.items():
        for person in members:
            whose[number] = person
            cells.setdefault(cell, Talks()).add(Talks({UUID(int=person)}, 2**number))
            number += 1
    kept = merged(cells)
    inside = [[bit for bit in range(number) if total >> bit & 1] for total in kept.values()]
    assert all(len({whose[bit] for bit in bits}) >= LEAST for bits in inside)
    bits = [bit for one in inside for bit in one]
    assert len(bits) == len(set(bits))
    left_out = {whose[bit] for bit in set(range(number)) - set(bits)}
    assert len(left_out) < LEAST
