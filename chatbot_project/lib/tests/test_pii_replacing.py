"""Placeholders for one request to a model: the same value has the same number, and what the model says gets it back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_project.lib.pii import PLACEHOLDER, Kind, Pseudonyms, find

ADDRESS, PHONE, CARD = "bob@example.org", "+49 171 1234567", "4111 1111 1111 1111"


def test_the_same_value_has_the_same_number_however_it_is_written() -> None:
    names = Pseudonyms()
    assert names.take_out(f"{ADDRESS} or jo@example.org, {PHONE}") == "[E-MAIL 1] or [E-MAIL 2], [PHONE 1]"
    assert names.take_out("BOB@example.org, +491711234567 or +49 171 7654321") == "[E-MAIL 1], [PHONE 1] or [PHONE 2]"
    assert names.put_back("Write to [E-MAIL 1], call [PHONE 2].") == f"Write to {ADDRESS}, call +49 171 7654321."


def test_addresses_that_differ_in_a_dot_are_two() -> None:
    assert Pseudonyms().take_out("a.b@example.org, ab@example.org") == "[E-MAIL 1], [E-MAIL 2]"


def test_keys_that_differ_in_a_sign_are_two() -> None:
    assert Pseudonyms().take_out("password: hunter-22, password: hunter_22, password: HUNTER_22").count("[KEY") == 3
    assert "[KEY 3]" in Pseudonyms().take_out("password: hunter-22, password: hunter_22, password: HUNTER_22")


def test_where_nothing_is_found_nothing_changes_and_nobody_is_told() -> None:
    names = Pseudonyms()
    assert names.take_out("Where is my order 1234? [1] [E-MAIL]") == "Where is my order 1234? [1] [E-MAIL]"
    assert not names
    assert names.note == ""
    assert names.restorer() is None


def test_the_model_is_told_of_placeholders_by_one_that_it_sees() -> None:
    names = Pseudonyms()
    names.take_out(f"call {PHONE}")
    assert "[PHONE 1]" in names.note


def test_a_placeholder_that_somebody_wrote_is_given_nobody_elses_value() -> None:
    names = Pseudonyms()
    sent = names.take_out(f"{ADDRESS} and [E-MAIL 1] and [E-MAIL 7]")
    assert sent == "[E-MAIL 1] and [E-MAIL 2] and [E-MAIL 3]"
    assert names.put_back(sent) == f"{ADDRESS} and [E-MAIL 1] and [E-MAIL 7]"


def test_a_placeholder_that_the_model_made_up_stays() -> None:
    names = Pseudonyms()
    names.take_out(ADDRESS)
    assert names.put_back("[E-MAIL 2] [PHONE 1] [E-MAIL 01] [E-MAIL]") == "[E-MAIL 2] [PHONE 1] [E-MAIL 01] [E-MAIL]"


PIECES = [
    ADDRESS, PHONE, CARD, "DE89 3704 0044 0532 0130 00", "203.0.113.9", "password: a[E-MAIL", "[E-MAIL 1]", "[", "]",
    "[E-MAIL", "[PHONE 1", " ", "[1]", "und", "[CARD 1]", "[[E-MAIL 1]]", "\n",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=10).map(" ".join)


@given(st.lists(TEXTS, max_size=4))
def test_what_was_taken_out_is_put_back_as_it_was(texts: list[str]) -> None:
    names = Pseudonyms()
    sent = [names.take_out(text) for text in texts]
    assert [names.put_back(text) for text in sent] == texts
    for value in (ADDRESS, CARD, "203.0.113.9"):
        assert not any(value in text for text in sent)


@given(TEXTS, st.data())
def test_pieces_give_the_same_as_the_whole_wherever_it_is_split(told: str, data: st.DataObject) -> None:
    names = Pseudonyms()
    names.take_out(f"{ADDRESS}, {PHONE}, {CARD}, [E-MAIL 9]")
    said = "".join(data.draw(st.lists(st.sampled_from([*names.values, *PIECES]), max_size=8)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(said)), max_size=8)))
    restorer = names.restorer()
    assert restorer is not None
    shown, longest = "", max(map(len, names.values))
    for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
        shown += restorer.feed(said[start:end])
        assert len(restorer.held) < longest
        assert any(placeholder.startswith(restorer.held) for placeholder in names.values)
    assert shown + restorer.close() == names.put_back(said)


@pytest.mark.parametrize("cut", range(len("x [E-MAIL 1] y")))
def test_a_placeholder_is_put_back_at_every_split_into_two_and_into_single_characters(cut: int) -> None:
    names = Pseudonyms()
    said = f"x {names.take_out(ADDRESS)} y"
    for pieces in ([said[:cut], said[cut:]], list(said)):
        restorer = names.restorer()
        assert restorer is not None
        assert "".join(map(restorer.feed, pieces)) + restorer.close() == f"x {ADDRESS} y"


def test_text_that_cannot_become_a_placeholder_is_never_held_back() -> None:
    names = Pseudonyms()
    names.take_out(ADDRESS)
    restorer = names.restorer()
    assert restorer is not None
    assert restorer.feed("see [") == "see "
    assert restorer.feed("the page") == "[the page"
    assert restorer.feed("[E-MAIL 12") == "[E-MAIL 12"
    assert restorer.feed("](") == "]("
    assert restorer.feed("[E-MAIL 1") == ""
    assert restorer.close() == "[E-MAIL 1"
    assert restorer.close() == ""


@pytest.mark.parametrize("kind", Kind)
def test_a_numbered_placeholder_is_recognised_as_one_and_holds_nothing_to_find(kind: Kind) -> None:
    numbered = f"[{kind.value} 12]"
    assert PLACEHOLDER.fullmatch(numbered)
    assert find(numbered) == []
