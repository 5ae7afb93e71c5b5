"""Telephone and identity numbers: what a form, a checksum and the words around it show."""

import importlib

import pytest

from chatbot_project.lib.pii import Kind, find, redact
from chatbot_project.lib.pii.ids import _OWN, SHAPES


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("My SSN is 856-45-6789.", "My SSN is [ID]."),
        ("ssn 856456789", "ssn [ID]"),
        ("AB 12 34 56 C and jg103759a", "[ID] and [ID]"),
        ("NHS number 943 476 5919", "NHS number [ID]"),
        ("65 170839 J 003, Steuer-ID 36 574 261 809", "[ID], Steuer-ID [ID]"),
        ("2 95 10 99 126 111 93", "[ID]"),
        ("DNI 54362315-K, NIE x-2482300-w", "DNI [ID], NIE [ID]"),
        ("rccmnl83s18d969h", "[ID]"),
        ("BSN 111222333 of 1112.22.333", "BSN [ID] of [ID]"),
        ("PESEL: 44051401359", "PESEL: [ID]"),
        ("personnummer 880320-0016, 8803200016", "personnummer [ID], [ID]"),
        ("131052-308T", "[ID]"),
        ("756.9217.0769.85", "[ID]"),
        ("390.533.447-05", "[ID]"),
        ("85.07.30-033.28", "[ID]"),
    ],
)
def test_identity_numbers_are_taken_out(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "order 44051401359", "Bestellung 36574261809", "111222333 of them", "rccmnl83s18d969x",
        "DNI 54362315-A", "DX 12 34 56 C", "ISBN 978-3-16-148410-0", "2024-05-01 10:30", "123456-7890",
    ],
)  # fmt: skip
def test_what_fails_its_check_or_is_called_something_else_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Call 612 345 678 or 415 555 2671", "Call [PHONE] or [PHONE]"),
        ("(415) 555-2671 x123 is mine", "[PHONE] is mine"),
        ("tel. +49 (0) 9141 777631, order 777631", "tel. [PHONE], order 777631"),
        ("My number is 3420837783.", "My number is [PHONE]."),
        ("08-170 669 07", "[PHONE]"),
        ("(11) 91234-5678", "[PHONE]"),
        ("Zadzwoń: 609 141 777", "Zadzwoń: [PHONE]"),
    ],
)
def test_telephone_numbers_are_taken_out(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "order 0201600344", "EAN 0064162208322", "612 345 678 €", "1980-1932", "#747204", "0.73450629",
        "Meine Kundennummer ist 0711321683.", "from 12/2013 on", "IMEI 490154203237518", "Order 4111111111111111",
    ],
)  # fmt: skip
def test_what_is_called_something_else_is_no_telephone_and_no_card(text: str) -> None:
    assert redact(text) == text


def test_a_word_says_nothing_of_a_number_beyond_its_sentence_or_behind_another_one() -> None:
    assert redact("The order came. 0171 1234567 is free") == "The order came. [PHONE] is free"
    assert redact("order 12345\n0171 1234567") == "order 12345\n[PHONE]"
    assert redact("order 1234567, 0171 1234567") == "order 1234567, [PHONE]"


@pytest.mark.parametrize("check", sorted({scheme.check for shape in SHAPES for scheme in shape.schemes} - set(_OWN)))
def test_every_check_is_a_module_of_stdnum(check: str) -> None:
    assert importlib.import_module(f"stdnum.{check}").is_valid("1") is False


@pytest.mark.parametrize("text", ["jo [at] example.org", "jo(at)example(dot)org", "JO [AT] EXAMPLE.ORG"])
def test_addresses_that_are_spelt_against_harvesters_are_taken_out(text: str) -> None:
    assert redact(text) == "[E-MAIL]"


@pytest.mark.parametrize("number", ["9780473300746", "9781584253723", "978-1-58425-372-3"])
def test_the_number_of_a_book_is_nobodys_telephone_even_beside_a_word_for_one(number: str) -> None:
    assert find(f"Call me about the book {number}") == []


def test_a_dutch_telephone_is_named_as_one() -> None:
    text = "Telefoon: (0159)-339423 Mijn kaart is geweigerd"
    assert [(text[start:end], kind) for start, end, kind in find(text)] == [("(0159)-339423", Kind.PHONE)]
