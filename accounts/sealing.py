"""Encrypting what lies in the database: AES-256-GCM under a key of each owner's own.

The key is made of SECRET_KEY and the owner's id (HKDF-SHA256), so that a dump of the database alone reads nothing. What
SECRET_KEY_FALLBACKS sealed is read still. Pure.
"""

import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

NONCE = 12  # bytes


class Unreadable(Exception):
    """It is not what was sealed, or not under a SECRET_KEY that is known still."""


def seal(data: bytes, *, of: UUID, purpose: bytes, place: bytes = b"") -> bytes:
    """``data`` sealed for its owner ``of``. It is read back for the same owner, purpose and place alone."""
    nonce = os.urandom(NONCE)
    return nonce + _cipher(of, purpose, settings.SECRET_KEY).encrypt(nonce, data, place)


def unseal(sealed: bytes, *, of: UUID, purpose: bytes, place: bytes = b"") -> bytes:
    """Raises Unreadable."""
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            return _cipher(of, purpose, secret).decrypt(sealed[:NONCE], sealed[NONCE:], place)
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            continue
    raise Unreadable(f"{purpose.decode()} of {of}")


def _cipher(of: UUID, purpose: bytes, secret: str | bytes) -> AESGCM:
    kdf = HKDF(algorithm=SHA256(), length=32, salt=of.bytes, info=purpose)
    return AESGCM(kdf.derive(secret.encode() if isinstance(secret, str) else secret))
