"""Copies are encrypted where they lie: AES-256-GCM, piece by piece, under a key of each copy's own.

The key is made of SECRET_KEY and the copy's id (HKDF-SHA256), so that a dump of the database alone reads nothing. Each
piece is bound to its place and to whether it is the last: none can be left out, moved or cut off unseen. Pure.
"""

import os
from collections.abc import Iterator
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PIECE = 256 * 1024  # bytes of plain text
NONCE = 12  # bytes


class Unreadable(Exception):
    """A piece is not what was sealed, or SECRET_KEY has changed since."""


def seal(copy: UUID, number: int, data: bytes, *, is_last: bool) -> bytes:
    nonce = os.urandom(NONCE)  # random, as a copy that was broken off is made again under the same key
    return nonce + _cipher(copy, settings.SECRET_KEY).encrypt(nonce, data, _place(number, is_last))


def unseal(copy: UUID, number: int, sealed: bytes, *, is_last: bool) -> bytes:
    """Raises Unreadable."""
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            return _cipher(copy, secret).decrypt(sealed[:NONCE], sealed[NONCE:], _place(number, is_last))
        except InvalidTag:
            continue
    raise Unreadable(f"piece {number} of {copy}")


def pieces_of(data: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """``data`` in pieces of PIECE bytes, each with whether it is the last. At least one, which may be empty."""
    kept = bytearray()
    for each in data:
        kept += each
        while len(kept) > PIECE:
            yield bytes(kept[:PIECE]), False
            del kept[:PIECE]
    yield bytes(kept), True


def _cipher(copy: UUID, secret: str | bytes) -> AESGCM:
    kdf = HKDF(algorithm=SHA256(), length=32, salt=copy.bytes, info=b"accounts.privacy.export")
    return AESGCM(kdf.derive(secret.encode() if isinstance(secret, str) else secret))


def _place(number: int, is_last: bool) -> bytes:
    return number.to_bytes(8, "big") + bytes([is_last])
