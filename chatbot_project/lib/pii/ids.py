"""National identification, insurance and tax numbers of people, by their check digits (python-stdnum).

Each is one Scheme, listed under the shape that it is written in. What a form and a check digit show is weighed
against what else is written so: one of eleven digits passes some country's check far too often to be believed
beside the word "order".
"""

import functools
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from .cues import Cue, cue_for


class Trust(Enum):
    """When a number that passes its check is believed."""

    ALWAYS = "always"  # its form is its own
    ALONE = "alone"  # unless the words around it say otherwise
    NAMED = "named"  # only where they say so


@dataclass(frozen=True, slots=True)
class Scheme:
    """``check`` is a module of python-stdnum, or the name of a check of this module; empty where form is all."""

    check: str
    trust: Trust


@dataclass(frozen=True, slots=True)
class Shape:
    """A way to write numbers, and the schemes that write them so. ``pattern`` matches at a digit's or letter's
    beginning."""

    pattern: str
    schemes: tuple[Scheme, ...]


def _shape(pattern: str, **checks: str) -> Shape:
    """``checks`` names modules by how far they are trusted: ``alone="pl.pesel de.idnr"``."""
    return Shape(pattern, tuple(Scheme(c, Trust(trust)) for trust, names in checks.items() for c in names.split()))


SHAPES = (
    # Italy, Mexico: codice fiscale, CURP.
    _shape(r"[A-Za-z]{6}\d\d[A-Za-z]\d\d[A-Za-z]\d{3}[A-Za-z]", always="it.codicefiscale"),
    _shape(
        r"[A-Z]{6}\d\d ?\d\d[A-Z]\d\d ?[A-Z]\d{3}[A-Z]|[A-Z]{3} [A-Z]{3} \d\d[A-Z]\d\d [A-Z]\d{3}[A-Z]",
        always="it.codicefiscale",
    ),
    _shape(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z\d]\d", always="mx.curp"),
    # United Kingdom: national insurance number, which has no check digit.
    _shape(
        r"(?![DFIQUVdfiquv]|.[DFIOQUVdfioquv]|(?i:bg|gb|kn|nk|nt|tn|zz))[A-Za-z]{2} ?\d\d ?\d\d ?\d\d ?[A-Da-d]",
        alone="form",
    ),
    _shape(r"\d{3}[ -]\d{3}[ -]\d{4}", named="gb.nhs"),
    # Germany: pension insurance, health insurance, tax.
    _shape(r"\d\d ?\d{6} ?[A-Za-z] ?\d{3}", always="pension"),
    _shape(r"[A-Z]\d{9}|[A-Z] ?\d{3} ?\d{3} ?\d{3}", named="health"),
    _shape(r"\d\d \d{3} \d{3} \d{3}", alone="de.idnr"),
    # France, Spain.
    _shape(r"[12] ?\d\d ?\d\d ?(?:\d\d|2[ABab]) ?\d{3} ?\d{3}[ /]?\d\d", alone="fr.nir"),
    _shape(r"(?:\d{8}|\d{2}\.\d{3}\.\d{3})[- ]?[A-Za-z]", always="es.dni"),
    _shape(r"[XYZxyz][- ]?\d{7}[- ]?[A-Za-z]", always="es.nie"),
    _shape(r"\d\d[ /-]?\d{8}[ /-]?\d\d", named="digits"),
    # Switzerland, Austria, Belgium.
    _shape(r"756\.?\d{4}\.?\d{4}\.?\d\d|756 \d{4} \d{4} \d\d", alone="ch.ssn"),
    _shape(r"\d{4}[ -]\d{6}", alone="at.vnr"),
    _shape(r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", always="be.nn"),
    _shape(r"\d{6}-\d{3}-?\d\d", alone="be.nn"),
    # The North.
    _shape(r"(?:\d{2})?\d{6}[-+]\d{4}", alone="se.personnummer dk.cpr"),
    _shape(r"\d{6}[-+A-FU-Ya-fu-y]\d{3}[0-9A-FHJ-NPR-Ya-fhj-npr-y]", always="fi.hetu"),
    _shape(r"\d{6} \d{5}", alone="no.fodselsnummer"),
    # United States, Canada, Brazil, Chile, India, Ireland.
    _shape(r"\d{3}-\d\d-\d{4}", alone="us.ssn us.itin"),
    _shape(r"\d{3} \d\d \d{4}", named="us.ssn us.itin"),
    _shape(r"\d{3}[ -]\d{3}[ -]\d{3}", named="ca.sin nl.bsn pt.nif au.tfn"),
    _shape(r"\d{4}\.\d\d\.\d{3}", alone="nl.bsn"),
    _shape(r"\d{4} \d\d \d{3}", named="nl.bsn"),
    _shape(r"\d{3}\.\d{3}\.\d{3}-\d\d", always="br.cpf"),
    _shape(r"\d{1,2}\.\d{3}\.\d{3}-[\dKk]", always="cl.rut"),
    _shape(r"[A-Z]{5}\d{4}[A-Z]", alone="in_.pan"),
    _shape(r"\d{4} \d{4} \d{4}", named="in_.aadhaar"),
    _shape(r"\d{7} ?[A-W][A-IW]?", alone="ie.pps"),
    # The East.
    _shape(r"\d{6}/\d{3,4}", alone="cz.rc"),
    _shape(r"\d{6}-\d{5}", alone="lv.pvn"),
    _shape(r"\d{6}-\d{7}", alone="kr.rrn"),
    _shape(r"\d{17}[\dXx]", alone="cn.ric"),
    # Nothing but digits.
    _shape(r"\d{9}", named="nl.bsn us.ssn us.itin ca.sin pt.nif au.tfn"),
    _shape(r"\d{10}", alone="se.personnummer at.vnr bg.egn", named="gb.nhs cz.rc dk.cpr"),
    _shape(
        r"\d{11}",
        alone="pl.pesel de.idnr no.fodselsnummer be.nn tr.tckimlik ee.ik lt.asmens br.cpf",
        named="hr.oib lv.pvn",
    ),
    _shape(r"\d{12}", alone="se.personnummer", named="in_.aadhaar"),
    _shape(r"(?!97[89])\d{13}", alone="ro.cnp za.idnr"),
)

# The digit comes first for speed: words without one are passed over in one step.
_ANY = re.compile(
    r"(?<![\w.-])(?=[A-Za-z -]{0,9}\d)(?:"
    + "|".join(f"(?P<s{i}>{s.pattern})" for i, s in enumerate(SHAPES))
    + r")(?![\w-]|[.,/]\d)",
    re.A,
)
_DIALLED = re.compile(r"\+[0-9() .-]{1,10}\Z|\+\Z")
_PARTS = [re.compile(s.pattern, re.A) for s in SHAPES]


def ids(text: str) -> Iterator[tuple[int, int]]:
    """Numbers of the schemes above."""
    for match in _ANY.finditer(text):
        written = match[0]
        if _DIALLED.search(text[max(0, match.start() - 12) : match.start()]):
            continue
        cue = cue_for(text, *match.span())
        first = int(str(match.lastgroup)[1:])
        if any(
            _believed(scheme.trust, cue, written) and _passes(scheme.check, written)
            for shape, whole in zip(SHAPES[first:], _PARTS[first:], strict=True)
            if whole.fullmatch(written)
            for scheme in shape.schemes
        ):
            yield match.span()


def _believed(trust: Trust, cue: Cue | None, written: str) -> bool:
    if trust is Trust.ALWAYS or cue is Cue.ID:
        return True
    # What a telephone number looks like is a matter of digits and spaces alone.
    is_own = cue is None or (cue in (Cue.PHONE, Cue.CARD) and not written.replace(" ", "").isdigit())
    return trust is Trust.ALONE and is_own


def _passes(check: str, written: str) -> bool:
    own = _OWN.get(check)
    return own(written) if own else bool(_module(check).is_valid(written))


@functools.cache
def _module(name: str):  # type: ignore[no-untyped-def]
    return importlib.import_module(f"stdnum.{name}")


def _digit_sum(number: int) -> int:
    return sum(divmod(number, 10))


def _pension(written: str) -> bool:
    """The check digit of a German pension insurance number (§ 4 VKVV)."""
    plain = re.sub(r"\W", "", written).upper()
    spelt = f"{plain[:8]}{ord(plain[8]) - 64:02}{plain[9:11]}"
    factors = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    total = sum(_digit_sum(int(digit) * factor) for digit, factor in zip(spelt, factors, strict=True))
    day = int(plain[2:4])
    return total % 10 == int(plain[11]) and day > 0 and int(plain[4:6]) in range(1, 13)


def _health(written: str) -> bool:
    """The check digit of a German health insurance number (§ 290 SGB V)."""
    plain = re.sub(r"\W", "", written)
    spelt = f"{ord(plain[0]) - 64:02}{plain[1:9]}"
    total = sum(_digit_sum(int(digit) * (1 + place % 2)) for place, digit in enumerate(spelt))
    return total % 10 == int(plain[9])


def _spanish_insurance(written: str) -> bool:
    """The control digits of a Spanish social security number: what the rest leaves modulo 97."""
    plain = re.sub(r"\D", "", written)
    return int(plain[:10]) % 97 == int(plain[10:])


_OWN = {"form": lambda written: True, "pension": _pension, "health": _health, "digits": _spanish_insurance}
