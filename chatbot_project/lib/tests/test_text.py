"""What people write, made safe: properties of any text."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from chatbot_project.lib.text import clean_text, shorten

FORBIDDEN = [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
anything = st.text(st.characters(exclude_categories=[]), max_size=300)  # lone surrogates too


@given(anything)
def test_the_result_can_be_stored_and_shown(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode()  # no lone surrogate
    assert not {ord(character) for character in cleaned} & {*FORBIDDEN, 0x0D}
    assert unicodedata.is_normalized("NFC", cleaned)


@given(anything)
def test_cleaning_again_changes_nothing(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=200).map(
    lambda text: unicodedata.normalize("NFC", text)
))  # fmt: skip
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert clean_text(text) == text


def test_lines_tabs_marks_of_direction_and_joined_emoji_stay() -> None:
    text = "a\n\tb \u200f\u05e9\u05dc\u05d5\u05dd \U0001f469\u200d\U0001f467 e\u0323"
    assert clean_text(text) == unicodedata.normalize("NFC", text)
    assert clean_text("a\r\nb\rc") == "a\nb\nc"
    assert clean_text("cafe\u0301") == "caf\u00e9"


def test_a_flood_of_combining_marks_is_bounded() -> None:
    assert len(clean_text("Z" + "\u0300\u0323" * 8000)) <= 9
    assert len(clean_text(("e" + "\u0301\u0327" * 100) * 5000)) <= 9 * 5000


@given(anything, st.integers(2, 80))
def test_a_shortened_text_is_one_line_within_the_limit(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert short == " ".join(short.split())
    line = " ".join(text.split())
    assert short == line if len(line) <= limit else short.endswith("…")
    assert line.startswith(short.removesuffix("…"))


def test_words_are_kept_whole_where_that_leaves_enough() -> None:
    assert shorten("The quick brown fox jumps", 18) == "The quick brown…"
    assert shorten("a " + "x" * 50, 20) == "a " + "x" * 17 + "…"
