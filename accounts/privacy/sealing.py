"""Copies are encrypted where they lie, piece by piece (accounts/sealing.py), under a key of each copy's own.

Each piece is bound to its place and to whether it is the last: none can be left out, moved or cut off unseen. Pure.
"""

from collections.abc import Iterator
from uuid import UUID

from accounts import sealing

PIECE = 256 * 1024  # bytes of plain text
_PURPOSE = b"accounts.privacy.export"


def seal(copy: UUID, number: int, data: bytes, *, is_last: bool) -> bytes:
    return sealing.seal(data, of=copy, purpose=_PURPOSE, place=_place(number, is_last))


def unseal(copy: UUID, number: int, sealed: bytes, *, is_last: bool) -> bytes:
    """Raises Unreadable."""
    return sealing.unseal(sealed, of=copy, purpose=_PURPOSE, place=_place(number, is_last))


def pieces_of(data: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """``data`` in pieces of PIECE bytes, each with whether it is the last. At least one, which may be empty."""
    kept = bytearray()
    for each in data:
        kept += each
        while len(kept) > PIECE:
            yield bytes(kept[:PIECE]), False
            del kept[:PIECE]
    yield bytes(kept), True


def _place(number: int, is_last: bool) -> bytes:
    return number.to_bytes(8, "big") + bytes([is_last])
