"""Payment cards and bank accounts: numbers with a checksum."""

import re
from collections.abc import Iterator, Sequence

from .cues import Cue, cue_for

# --- Cards
_GAP = r"[ \t\u00a0\u2009\u202f.\-\u2010-\u2013]{1,3}"
_DIGIT_GROUPS = re.compile(rf"\d+(?:{_GAP}\d+)*")
_DIGITS = re.compile(r"\d+")
# First digits and lengths of the networks that issue cards to people (ISO/IEC 7812 and the networks' own ranges): Visa,
# Mastercard, American Express, Diners, JCB, Discover, UnionPay, Maestro.
_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|(?:3[47]\d\d|2131|1800)\d{11}|3(?:0[0-5]|[689]\d)\d{11}"
    r"|35\d{14}|6(?:011|4[4-9]\d|5\d\d)\d{12}|62\d{14,17}|(?:5018|5020|5038|5[6-8]\d\d|6304|6390|0604|67\d\d)\d{8,15}",
    re.A,
)
_CARD_LENGTHS = range(12, 20)
_MAX_CARD_GROUPS = 6


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        number = int(character) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Card numbers, as one group or in groups as they are printed; other numbers may stand right beside them."""
    for run in _DIGIT_GROUPS.finditer(text):
        groups = [match.span() for match in _DIGITS.finditer(text, *run.span())]
        first = 0
        while first < len(groups):
            # After a plus it is a telephone number, one in ten of which passes the checksum as well.
            plus = text[groups[first][0] - 1 : groups[first][0]] == "+"
            last = None if plus else _card_from(text, groups, first)
            if last is not None:
                yield groups[first][0], groups[last][1]
                first = last
            first += 1


def _card_from(text: str, groups: Sequence[tuple[int, int]], first: int) -> int | None:
    """The index of the group that ends the longest card number beginning with group ``first``."""
    digits, ends = "", None
    for index in range(first, min(first + _MAX_CARD_GROUPS, len(groups))):
        start, end = groups[index]
        if end - start > _CARD_LENGTHS[-1]:
            break
        digits += text[start:end]
        if index == first and end - start not in {4, 6} and end - start not in _CARD_LENGTHS:
            break
        if (
            len(digits) not in _CARD_LENGTHS
            or not _CARD.fullmatch(digits.translate(_ASCII))
            or not _passes_luhn(digits)
        ):
            continue
        # An ungrouped number beside "order" or "IMEI" is that: one in ten of them passes the checksum, too.
        if index > first or cue_for(text, start, end) is not Cue.OTHER:
            ends = index
    return ends


class _AsciiDigits(dict[int, int]):
    def __missing__(self, code: int) -> int:
        return ord("0") + int(chr(code))


_ASCII = _AsciiDigits()


# --- International bank account numbers
# Lengths by country, from the IBAN registry (ISO 13616, SWIFT).
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC",
        32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN_START = re.compile(r"(?<![^\W_])(?i:[a-z]{2})[0-9]{2}(?=[ \u00a0.-]?[0-9A-Za-z])")
_IBAN_CHARACTER = re.compile(r"[ \u00a0.-]?([0-9A-Za-z])")


def _passes_mod_97(iban: str) -> bool:
    """ISO 7064 as ISO 13616 uses it."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


def ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper())
        if length is None:
            continue
        iban, end = match[0], match.end()
        while len(iban) < length and (following := _IBAN_CHARACTER.match(text, end)):
            iban, end = iban + following[1], following.end()
        if len(iban) == length and not text[end : end + 1].isalnum() and _passes_mod_97(iban):
            yield match.start(), end
