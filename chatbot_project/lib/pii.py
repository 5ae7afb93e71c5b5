"""Personal data and secrets in what people write, found by their form and taken out. Pure, without I/O.

Each kind has one Detector; another kind, library or locale is one more entry of ``DETECTORS``. What has a checksum
is believed only if it holds, so that order numbers and amounts stay. Names and addresses have no form of their own:
they are not found here. Every detector takes time linear in the text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple


class Kind(StrEnum):
    """What was found; its placeholder is the value in brackets."""

    EMAIL = "E-MAIL"
    PHONE = "PHONE"
    CARD = "CARD"
    IBAN = "IBAN"
    IP = "IP"
    KEY = "KEY"

    @property
    def placeholder(self) -> str:
        return f"[{self.value}]"


class Span(NamedTuple):
    """``text[start:end]`` is of this kind."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Detector:
    """``spans(text)`` gives the start and end of everything of one kind, in any order, overlapping or not."""

    kind: Kind
    spans: Callable[[str], Iterable[tuple[int, int]]]


PLACEHOLDER = re.compile(rf"\[(?:{'|'.join(kind.value for kind in Kind)})\]")


# --- E-mail addresses -------------------------------------------------------------------------------------------------
# Read outwards from each @, within the lengths of RFC 5321: a run of letters without one is passed over once.
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
_DOMAIN = re.compile(r"@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})(?!\w)", re.I)


def _emails(text: str) -> Iterator[tuple[int, int]]:
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text[max(0, at - 64) : at])
        domain = _DOMAIN.match(text, at)
        if local and domain:
            yield at - len(local[0].lstrip(".'`")), domain.end()
        at = text.find("@", at + 1)


# --- Cards ------------------------------------------------------------------------------------------------------------
_GAP = r"[ \t\u00a0\u2009\u202f.\-\u2010-\u2013]{1,3}"
_DIGIT_GROUPS = re.compile(rf"\d+(?:{_GAP}\d+)*")
_DIGITS = re.compile(r"\d+")
# First digits of the networks that issue cards to people (ISO/IEC 7812).
_ISSUERS = re.compile(r"4|5[0-8]|6[0-9]|2[2-7]|3[0-9]")
_CARD_LENGTHS = range(13, 20)
_MAX_CARD_GROUPS = 6


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        number = int(character) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _cards(text: str) -> Iterator[tuple[int, int]]:
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
        if len(digits) in _CARD_LENGTHS and _ISSUERS.match(digits.translate(_ASCII)) and _passes_luhn(digits):
            ends = index
    return ends


class _AsciiDigits(dict[int, int]):
    def __missing__(self, code: int) -> int:
        return ord("0") + int(chr(code))


_ASCII = _AsciiDigits()


# --- International bank account numbers -------------------------------------------------------------------------------
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


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper())
        if length is None:
            continue
        iban, end = match[0], match.end()
        while len(iban) < length and (following := _IBAN_CHARACTER.match(text, end)):
            iban, end = iban + following[1], following.end()
        if len(iban) == length and not text[end : end + 1].isalnum() and _passes_mod_97(iban):
            yield match.start(), end


# --- IP addresses -----------------------------------------------------------------------------------------------------
# Not after "v" or "version", nor as a part of something longer: 1.2.3.4.5 is no address.
_IPV4 = re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w]|\.[0-9])")
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-f:]{4,39}(?:(?<=:)(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![\w:])", re.I)
_VERSION = re.compile(r"\b(?:v|version|release)[ .:]?\Z", re.I)


def _ips(text: str) -> Iterator[tuple[int, int]]:
    for match in _IPV4.finditer(text):
        if _is_somebodys(IPv4Address, match[0]) and not _VERSION.search(
            text[max(0, match.start() - 10) : match.start()]
        ):
            yield match.span()
    for match in _IPV6.finditer(text):
        # With a digit and at least three parts: a::b is more often code than an address.
        if match[0].count(":") >= 2 and any(c.isdigit() for c in match[0]) and _is_somebodys(IPv6Address, match[0]):
            yield match.span()


def _is_somebodys(parse: type[IPv4Address] | type[IPv6Address], written: str) -> bool:
    """True for an address; the loopback and the unspecified one are everybody's."""
    try:
        address = parse(written)
    except AddressValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


# --- Telephone numbers ------------------------------------------------------------------------------------------------
# A number counts with its country code (+49 …, 0049 …), with a trunk prefix (0171 …), as North America writes it
# (415-555-2671), or after a word that says so. Lengths by ITU-T E.164: at most 15 digits with the country code.
_MORE = r"(?:[ \t\u00a0\u202f./()\-\u2010-\u2013]{0,3}[0-9])"
_PHONES = (
    re.compile(rf"(?<!\+)(?:\(\+|\+\(?)[1-9]{_MORE}{{7,14}}(?!\w)"),
    re.compile(rf"(?<![\w.,])00[ ]?[1-9]{_MORE}{{8,14}}(?!\w)"),
    re.compile(rf"(?<![\w.,/:+-])\(?0[1-9]{_MORE}{{7,10}}(?!\w)"),
    re.compile(
        r"(?<![\w.,-])(?:1[-. ])?(?:\([2-9][0-9]{2}\)[-. ]?|[2-9][0-9]{2}[-. ])[2-9][0-9]{2}[-. ][0-9]{4}"
        r"(?!\w|-[0-9])"
    ),
    re.compile(
        r"\b(?:(?:tele)?phone|tel|mobile|cell|whatsapp|fax|handy|telefon|mobil|ruf|téléphone|portable|móvil|teléfono"
        r"|cellulare|telefono)(?:[ -]?(?:number|no|nr|nummer))?\.?(?: (?:is|was|ist|lautet|war|es|est|è))?[ :]{0,3}"
        rf"(?P<number>\(?[0-9]{_MORE}{{6,14}})(?!\w)",
        re.I,
    ),
)
_DATE = re.compile(r"[0-9]{1,2}([./-])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2})(?![0-9])")


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for pattern in _PHONES:
        group = "number" if "number" in pattern.groupindex else 0
        for match in pattern.finditer(text):
            if not _DATE.match(match[group]):
                yield match.span(group)


# --- Keys, tokens and passwords ---------------------------------------------------------------------------------------
_KEYS = (
    # PEM, whole; without its end, what there is of it.
    re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----))*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"),
    # JSON Web Tokens (RFC 7519): a header that begins with {" in base64.
    re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*){0,3}", re.A),
    # Prefixes that providers give their keys, so that they are found.
    re.compile(
        r"(?<![\w-])(?:sk|pk|rk)[-_](?:live|test|proj|ant|or)?[\w-]{16,}|(?<![\w-])(?:"
        r"gh[pousr]_|github_pat_|glpat-|gldt-|xox[abeoprs]-|xapp-|hf_|nvapi-|npm_|pypi-|dop_v1_|shpat_|whsec_|AIza|ya29\.|SG\."
        r")[\w.-]{16,}|(?<![\w-])A(?:KIA|SIA)[A-Z0-9]{16}(?![\w-])",
        re.A,
    ),
)
# Only the secret itself: what it was a secret of stays readable.
_NAMED_SECRET = re.compile(
    r"\b(?:password|passwort|kennwort|passphrase|pass|pwd|pin|tan|otp|secret|token|api[ _-]?key|access[ _-]?key"
    r"|mot de passe|contraseña)(?: is| ist| lautet| est| es)?[ ]?[:=][ ]?[\"']?((?![\[\"'])[^\s\"',;]{4,200})",
    re.I,
)
_BEARER = re.compile(r"\b(?:bearer|basic)[ ]+([\w.~+/=-]{16,})", re.I | re.A)
_URL_PASSWORD = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,100}:([^\s/@]{1,200})(?=@)", re.I)
_LONG_WORD = re.compile(r"(?<![\w-])\w{32,}(?![\w-])", re.A)
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")


def _keys(text: str) -> Iterator[tuple[int, int]]:
    for pattern in _KEYS:
        yield from (match.span() for match in pattern.finditer(text))
    for pattern in (_NAMED_SECRET, _BEARER, _URL_PASSWORD):
        yield from (match.span(1) for match in pattern.finditer(text))
    yield from (match.span() for match in _LONG_WORD.finditer(text) if _looks_random(match[0]))


def _looks_random(word: str) -> bool:
    """Digits scattered among letters of both cases, or hexadecimal ones: no long name is written so."""
    if word.isdigit() or word.isalpha() or len(_DIGITS.findall(word)) < 3:
        return False
    return _HEX.fullmatch(word) is not None or (word.lower() != word and word.upper() != word)


# --- All of them ------------------------------------------------------------------------------------------------------
#: In this order: where two overlap, the text both cover counts as the earlier one's.
DETECTORS: tuple[Detector, ...] = (
    Detector(Kind.KEY, _keys),
    Detector(Kind.EMAIL, _emails),
    Detector(Kind.IBAN, _ibans),
    Detector(Kind.CARD, _cards),
    Detector(Kind.IP, _ips),
    Detector(Kind.PHONE, _phones),
)


def find(text: str, detectors: Sequence[Detector] = DETECTORS) -> list[Span]:
    """What ``detectors`` find, by position; never overlapping: overlapping finds are one, of the first one's kind."""
    found = [
        (start, end, rank)
        for rank, detector in enumerate(detectors)
        for start, end in detector.spans(text)
        if start < end
    ]
    merged: list[tuple[int, int, int]] = []
    for start, end, rank in sorted(found):
        if merged and start < merged[-1][1]:
            before = merged.pop()
            start, end, rank = before[0], max(end, before[1]), min(rank, before[2])
        merged.append((start, end, rank))
    return [Span(start, end, detectors[rank].kind) for start, end, rank in merged]


def redact(text: str, detectors: Sequence[Detector] = DETECTORS) -> str:
    """``text`` with a placeholder such as ``[E-MAIL]`` for each find. Placeholders in it stay."""
    parts: list[str] = []
    position = 0
    for start, end, kind in find(text, detectors):
        parts += [text[position:start], kind.placeholder]
        position = end
    return "".join([*parts, text[position:]])
