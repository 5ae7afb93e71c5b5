"""Ids of what is made up: fixed ones of what there is once, drawn ones of the rest. Pure."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid5

_SPACE = UUID("6a5f1d0e-5d0b-4c58-9a55-64656d6f0000")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def fixed(name: str) -> UUID:
    """The id of what is called ``name``, the same in every installation: by it, and nothing else, it is found again."""
    return uuid5(_SPACE, name)


def uuid7_at(at: datetime, chance: Random) -> UUID:
    """A UUIDv7 of that moment whose random bits are drawn from ``chance``."""
    milliseconds, rest = divmod((at - _EPOCH) // timedelta(microseconds=1), 1000)
    fraction = (rest << 12) // 1000
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | chance.getrandbits(62))
