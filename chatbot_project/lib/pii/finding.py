"""All detectors together."""

from collections.abc import Sequence

from .emails import emails
from .ids import ids
from .keys import keys
from .kinds import Detector, Kind, Span
from .network import ips
from .payment import cards, ibans
from .phones import phones

#: In this order: where two overlap, the text both cover counts as the earlier one's.
DETECTORS: tuple[Detector, ...] = (
    Detector(Kind.KEY, keys),
    Detector(Kind.EMAIL, emails),
    Detector(Kind.IBAN, ibans),
    Detector(Kind.CARD, cards),
    Detector(Kind.ID, ids),
    Detector(Kind.IP, ips),
    Detector(Kind.PHONE, phones),
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
