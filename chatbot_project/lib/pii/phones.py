"""Telephone numbers: written with a country code, in a shape that only they have, valid by phonenumbers' metadata
with a trunk prefix, or after a word that says so.
"""

import functools
import re
from collections.abc import Iterator, Sequence

import phonenumbers
from stdnum import isbn

from .cues import Cue, cue_for

_GAP = "[ \t\u00a0\u2009\u202f./()\\-\u2010-\u2013]{1,4}"
_RUN = re.compile(rf"\(?\+?\(?[0-9]+(?:{_GAP}[0-9]+)*")
_GROUP = re.compile(r"[0-9]+")
_EXTENSION = re.compile(r" ?(?:x|ext\.?|dw|durchwahl|poste|int\.) ?[0-9]{1,6}(?!\w)", re.I)
_MAX_DIGITS = 16  # ITU-T E.164: 15 with the country code, and a zero in brackets that is not dialled
_MIN_DIGITS = 6
_MAX_GROUPS = 9
# A day with its time, in either order of its parts.
_DATE = re.compile(
    r"(?:[0-9]{1,2}([./-]) ?[0-9]{1,2}\1 ?(?:[0-9]{4}|[0-9]{2})|[0-9]{4}([./-])[0-9]{1,2}\2[0-9]{1,2}"
    r"|[0-9]{1,2}[./-](?:19|20)[0-9]{2}|(?:19|20)[0-9]{2} ?[-–] ?(?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))(?![0-9])"
)
# Groups of digits as no amount and no order is written: North America, Spain, Brazil.
_SHAPES = re.compile(
    r"(?:1[-. ])?(?:\([2-9][0-9]{2}\)[-. ]?|[2-9][0-9]{2}([-.]))[2-9][0-9]{2}(?(1)\1|[-. ])[0-9]{4}"
    r"|[6-9][0-9]{2} [0-9]{2} [0-9]{2} [0-9]{2}"
    r"|[1-9][0-9] [0-9]{3} [0-9]{2} [0-9]{2}"
    r"|(?:\([1-9][0-9]\)|[1-9][0-9]) 9?[0-9]{4}-[0-9]{4}"
)
_NANP_SPACED = re.compile(r"(?:1 )?[2-9][0-9]{2} [2-9][0-9]{2} [0-9]{4}")
_NINE = re.compile(r"[5-9][0-9]{2} [0-9]{3} [0-9]{3}")
_UNIT = re.compile(r"\s?(?:[^\W\d_]|[€$£%¥])")
_AMOUNT = re.compile(r"[.,][0-9]{1,2}(?![0-9])|\s?(?:[€$£¥]|(?:EUR|USD|CHF|GBP|PLN|SEK|BRL|zł|kr)\b)")
_DECIMAL = re.compile(r"[0-9]+[.,][0-9]+")
_MARKED = re.compile(r"\(0[0-9]{1,5}\)|0[0-9]{1,5}(?:/|-| ?- ?)[0-9]")

# Where people write a number with a leading zero for calls within the country. Of Italy the zero is part of it.
TRUNK_REGIONS = ("DE", "GB", "FR", "NL", "AT", "CH", "BE", "SE", "FI", "IE", "DK", "NO", "TR", "AU", "JP", "IN", "ZA")
NINE_DIGIT_REGIONS = ("ES", "PL", "PT")


@functools.cache
def _national(regions: Sequence[str]) -> "re.Pattern[str]":
    """The numbers of ``regions`` without a trunk prefix, by phonenumbers' metadata, as one pattern: a parse for each
    region would take a hundred times as long."""
    patterns = []
    for region in regions:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
        if metadata is not None and metadata.general_desc is not None:
            patterns.append(metadata.general_desc.national_number_pattern)
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def phones(text: str) -> Iterator[tuple[int, int]]:
    """Telephone numbers with their extensions. Other numbers may stand right before and behind."""
    for run in _RUN.finditer(text):
        if run.end() - run.start() < _MIN_DIGITS or sum(map(str.isdigit, run[0][:200])) < _MIN_DIGITS:
            continue
        groups = [match.span() for match in _GROUP.finditer(text, *run.span())]
        cue = cue_for(text, *run.span())
        first = 0
        while first < len(groups):
            if date := _DATE.match(text, groups[first][0]):
                first = next((i for i in range(first, len(groups)) if groups[i][0] >= date.end()), len(groups))
                continue
            found = _phone_from(text, run.start(), groups, first, cue)
            if found is None:
                first += 1
                continue
            start, last = found
            end = groups[last][1]
            extension = _EXTENSION.match(text, end)
            yield start, extension.end() if extension else end
            first = last + 1


def _phone_from(
    text: str, floor: int, groups: Sequence[tuple[int, int]], first: int, cue: Cue | None
) -> tuple[int, int] | None:
    """Where the longest number that begins with group ``first`` begins, and the index of its last group."""
    start = groups[first][0]
    floor = floor if first == 0 else groups[first - 1][1]
    while start > floor and text[start - 1] in "(+":
        start -= 1
    plus = "+" in text[start : groups[first][0]]
    before = text[start - 1 : start]
    if before.isalnum() or before in ("_", "+", "#") or (not plus and before and before in ".,/:-"):
        return None
    lasts, digits = [], 0
    for index in range(first, min(first + _MAX_GROUPS, len(groups))):
        digits += groups[index][1] - groups[index][0]
        if digits > _MAX_DIGITS:
            break
        if digits >= _MIN_DIGITS:
            lasts.append(index)
    if not lasts:
        return None
    for last in reversed(lasts):
        end = groups[last][1]
        behind = text[end : end + 1]
        is_open = behind.isalpha() and not _EXTENSION.match(text, end)
        if is_open or behind == "_" or (behind in ("-", "/") and text[end + 1 : end + 2].isdigit() and not plus):
            continue
        written = text[start:end]
        if _is_international(written) if plus else _is_national(text, start, end, cue):
            return start, last
    return None


def _is_international(written: str) -> bool:
    digits = "".join(_GROUP.findall(written.replace("(0)", "")))
    if not written.lstrip("(").startswith("+"):
        digits = digits[2:]
    if not 8 <= len(digits) <= 15 or digits.startswith("0"):
        return False
    try:
        number = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(number)) or len(digits) >= 9


def _is_national(text: str, start: int, end: int, cue: Cue | None) -> bool:
    written = text[start:end].lstrip("(")
    digits = "".join(_GROUP.findall(written))
    if (cue is not None and cue is not Cue.PHONE) or _AMOUNT.match(text, end) or _DECIMAL.fullmatch(written):
        return False
    if digits.startswith(("978", "979")) and isbn.is_valid(digits):
        return False
    if cue is Cue.PHONE or (written.startswith("00") and _is_international(written)):
        return len(digits) <= _MAX_DIGITS
    if _SHAPES.fullmatch(text[start:end]) or _SHAPES.fullmatch(written) or _NANP_SPACED.fullmatch(written):
        return True
    if _NINE.fullmatch(written):
        return not _UNIT.match(text, end) and _national(NINE_DIGIT_REGIONS).fullmatch(digits) is not None
    if digits[0] != "0" or digits[1] == "0" or len(digits) > 13 or _first_group(written) < 2:
        return False
    if len(digits) >= 8 and _MARKED.match(text[start:end]):
        return True
    # In one group, fewer or more digits are too often something else.
    likely = range(10, 12) if written.isdigit() else range(8, 14)
    return len(digits) in likely and _national(TRUNK_REGIONS).fullmatch(digits[1:]) is not None


def _first_group(written: str) -> int:
    match = _GROUP.search(written)
    return len(match[0]) if match else 0
