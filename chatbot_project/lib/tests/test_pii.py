"""Personal data and secrets: what is taken out, what only looks alike and stays, and that no text takes long."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_project.lib.pii import DETECTORS, PLACEHOLDER, Detector, Kind, Span, find, redact
from chatbot_project.lib.tests.steps import growth

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("write to bob@example.org.", "write to [E-MAIL]."),
        ("<Bob.O'Neil+news@mail.example.co.uk>", "<[E-MAIL]>"),
        ("jürgen@müller.example, x@xn--mller-kva.example", "[E-MAIL], [E-MAIL]"),
        ("mailto:a@b.io?subject=x", "mailto:[E-MAIL]?subject=x"),
        ("a" * 100 + "@example.org", "a" * 36 + "[E-MAIL]"),
        ("call +49 (0)30 123456-78 now", "call [PHONE] now"),
        ("+4915112345678/+1 415 555 2671", "[PHONE]/[PHONE]"),
        ("0049 30 1234567 oder 0171/1234567", "[PHONE] oder [PHONE]"),
        ("(030) 901820", "[PHONE]"),
        ("01 23 45 67 89", "[PHONE]"),
        ("at 12:05 0171 1234567", "at 12:05 [PHONE]"),
        ("415-555-2671, (415) 555-2671, 1-415-555-2671", "[PHONE], [PHONE], [PHONE]"),
        ("my phone number is 5551234567", "my phone number is [PHONE]"),
        ("Telefon: 5551234", "Telefon: [PHONE]"),
        ("card 4111111111111111", "card [CARD]"),
        ("4111 1111 1111 1111 12/27 cvv", "[CARD] 12/27 cvv"),
        ("2 cards: 5500-0000-0000-0004, 3400 000000 00009", "2 cards: [CARD], [CARD]"),
        ("٤١١١١١١١١١١١١١١١", "[CARD]"),
        ("DE89 3704 0044 0532 0130 00 and then", "[IBAN] and then"),
        ("gb82west12345698765432.", "[IBAN]."),
        ("(NO93 8601 1117 947)", "([IBAN])"),
        ("from 203.0.113.9:443 to 2001:db8::1", "from [IP]:443 to [IP]"),
        ("::ffff:203.0.113.9", "[IP]"),
        (f"token {JWT} expired", "token [KEY] expired"),
        ("sk-proj-abcdefghijklmnop1234 and AKIAIOSFODNN7EXAMPLE", "[KEY] and [KEY]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz012345", "[KEY]"),
        ("Authorization: Bearer abcdefghijklmnop.1234", "Authorization: Bearer [KEY]"),
        ("my password: hunter22, my PIN = 4711", "my password: [KEY], my PIN = [KEY]"),
        ("Passwort ist: 'geheim!'", "Passwort ist: '[KEY]'"),
        ("postgres://me:s3cret@db.internal/x", "postgres://me:[KEY]/x"),
        ("postgres://me:s3cret@localhost/x", "postgres://me:[KEY]@localhost/x"),
        ("d41d8cd98f00b204e9800998ecf8427e", "[KEY]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII-x\n-----END RSA PRIVATE KEY-----\nthere", "[KEY]\nthere"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ", "[KEY]"),
        ("I am bob@example.org, +49 171 1234567", "I am [E-MAIL], [PHONE]"),
    ],
)
def test_is_taken_out(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "meet @noon, a@b, user@localhost, 5 @ 3.50",
        "1,234,567.89 or 0.000000001 or 12 345 678",
        "on 01.02.2024 1030, 2024-05-01 10:30:45, 05/06/2024",
        "order 1234567890123 and 20240501-123456789",
        "4111 1111 1111 1112",  # the checksum of a card does not hold
        "FAQ 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "NO93 8601 1117 948",  # the checksum of an IBAN does not hold
        "ZZ93 8601 1117 947, NO93860111179471",
        "v1.2.3.4, version 10.0.0.1, 1.2.3.4.5, 256.1.1.1, 127.0.0.1, ::1, 0.0.0.0",
        "std::string, a::b, 10:30:45",
        "550e8400-e29b-41d4-a716-446655440000",
        "reset_the_password_of_a_person_in_2024_or_later",
        "What is a password? Where is my token: [KEY]",
        "Bearer of bad news, basic questions",
        "https://example.org:8443/a?b=c",
        "Kann ich am 3. Mai um 14:00 Uhr kommen? Kosten: 1.200,50 €",
    ],
)
def test_only_looks_alike_and_stays(text: str) -> None:
    assert redact(text) == text


def test_finds_say_where_and_what_in_order_without_overlaps() -> None:
    text = "x@example.org, 4111111111111111"
    assert find(text) == [Span(0, 13, Kind.EMAIL), Span(15, 31, Kind.CARD)]


def test_overlapping_finds_are_one_so_that_no_part_of_either_is_left() -> None:
    detectors = [
        Detector(Kind.KEY, lambda text: [(3, 6)]),
        Detector(Kind.IP, lambda text: [(0, 4), (5, 8), (9, 9)]),
        Detector(Kind.PHONE, lambda text: [(8, 9)]),
    ]
    assert find("0123456789", detectors) == [Span(0, 8, Kind.KEY), Span(8, 9, Kind.PHONE)]
    assert redact("0123456789", detectors) == "[KEY][PHONE]9"


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_detector_and_a_placeholder_that_is_recognised(kind: Kind) -> None:
    assert kind in {detector.kind for detector in DETECTORS}
    assert PLACEHOLDER.fullmatch(kind.placeholder)


PIECES = [
    "bob@example.org", "+49 171 1234567", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "203.0.113.9", JWT,
    "password: hunter22", "7", "a", "@", "[KEY]", "[", ":", "und", "é",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("; ".join))
def test_redacting_again_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    assert not any(piece in once for piece in PIECES[:7])


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(st.characters(exclude_categories=[])))
def test_what_was_not_found_stays(text: str) -> None:
    spans = find(text)
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    expected, position = "", 0
    for span in spans:
        expected += text[position : span.start] + span.kind.placeholder
        position = span.end
    assert redact(text) == expected + text[position:]


@given(st.integers(0, 10**14), st.sampled_from(["4", "51", "2221", "6011"]), st.sampled_from(["", " ", "-"]))
def test_every_card_number_is_found_and_no_mistyped_one(number: int, issuer: str, gap: str) -> None:
    body = (issuer + f"{number:014}")[:15]
    valid = [body + digit for digit in "0123456789" if _luhn(body + digit)]
    assert len(valid) == 1
    for digit in "0123456789":
        card = body + digit
        shown = gap.join(card[i : i + 4] for i in range(0, 16, 4))
        assert (Span(0, len(shown), Kind.CARD) in find(shown)) == (card == valid[0])


def _luhn(card: str) -> bool:
    doubled = [sum(divmod(int(digit) * 2, 10)) for digit in card[-2::-2]]
    return (sum(doubled) + sum(map(int, card[-1::-2]))) % 10 == 0


@pytest.mark.parametrize(
    "piece",
    HOSTILE := [
        "a", "1", "1 ", "0", "0 ", "@", "a@", "a@a.", "1.1.", "::", "1:", "ab12", "DE89 ", "+1", "(0", "12 (3",
        "-----BEGIN PRIVATE KEY-----", "eyJaaaaaa.", "sk-", "a://", "ab://x:", "pin pass", "password: ", "tel ", "aA1",
        "12345678901 ", "0171 1234567 ", "+4915112345678 ", "a (at) ", "AB123456C ", "order 1234 ", "555 ", "call ",
    ],
)  # fmt: skip
def test_work_is_linear_in_the_text(piece: str) -> None:
    assert growth(find, piece, 10_000) < 2.5
