"""Which fault comes when, from a seed alone: the same seed gives the same schedule. Pure."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_LINK = ("slow", "throttled", "torn", "reset", "stalled", "half_open", "refused")

#: What may happen to which part. The parts with an arrow are links, cut by a proxy between the two.
KINDS: Mapping[str, Sequence[str]] = {
    "web": ("term", "kill", "freeze"),
    "worker": ("term", "kill", "freeze"),
    "redis": ("restart", "kill", "flush", "freeze"),
    "postgres": ("restart", "crash", "cut"),
    "model": (
        *("refused", "status_500", "status_429", "html", "unfinished", "stalled"),
        *("cut_eof", "cut_close", "cut_reset", "malformed", "error_event"),
    ),
    "browser>web": _LINK,
    "product>postgres": _LINK,
    "product>redis": _LINK,
    "worker>model": _LINK,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. It comes ``pause`` seconds after the one before it is over and lasts ``seconds``, or a moment.

    ``which`` chooses among several processes of a part, by remainder; ``amount``, from 0 to 1, is for the kind to read:
    how slow, after how many tokens.
    """

    number: int
    part: str
    kind: str
    pause: float
    seconds: float
    which: int
    amount: float

    @property
    def is_momentary(self) -> bool:
        """Whether it is over as soon as it is done."""
        return self.kind in ("flush", "cut", "reset")

    @property
    def leaves_part_up(self) -> bool:
        """Whether the part is there all the time, though what it had, or connections to it, are gone."""
        return self.is_momentary or self.kind == "torn"

    def __str__(self) -> str:
        return f"#{self.number} {self.part}: {self.kind} for {self.seconds:.2f} s"


def schedule(seed: int, count: int, parts: Sequence[str] = tuple(KINDS)) -> list[Fault]:
    """``count`` faults of ``parts``. Each part comes as often as any other, and within it each kind, give or take one;
    a longer schedule begins with the shorter one of the same seed and parts."""
    chance = random.Random(seed)
    draw = _parts(chance, parts)
    kinds = {part: _decks(chance, KINDS[part]) for part in parts}
    faults = []
    for number in range(1, count + 1):
        part = next(draw)
        faults.append(
            Fault(
                number=number,
                part=part,
                kind=next(kinds[part]),
                pause=round(chance.uniform(0.1, 1.0), 3),
                seconds=round(chance.triangular(0.1, 5.0, 0.8), 3),
                which=chance.randrange(1 << 16),
                amount=round(chance.random(), 3),
            )
        )
    return faults


def _parts(chance: random.Random, parts: Sequence[str]) -> Iterator[str]:
    unknown = sorted(set(parts) - set(KINDS))
    if unknown or not parts:
        raise ValueError(f"no such part: {', '.join(unknown) or 'none given'}; there are {', '.join(KINDS)}")
    return _decks(chance, parts)


def _decks(chance: random.Random, cards: Sequence[str]) -> Iterator[str]:
    """All ``cards`` in a random order, then all of them in another, and so on."""
    while True:
        deck = list(cards)
        chance.shuffle(deck)
        yield from deck
