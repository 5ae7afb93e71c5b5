"""Reasons are free text, so they are kept encrypted under the key of the person whom they are about.

The chain covers the ciphertext. With the person's identity the key goes, and the reason with it; nothing in the trail
changes. Pure.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from accounts.models import AuditEvent, AuditIdentity

NONCE = 12  # bytes
ABOUT, BY = b"s", b"a"  # under whose key: the subject's, the actor's


def seal_reason(reason: str, *, subject: bytes | None, actor: bytes | None) -> bytes:
    """``reason`` under the subject's key or, without one, the actor's. b"" without either: it could never be erased."""
    key, whose = (subject, ABOUT) if subject else (actor, BY)
    if not reason or not key:
        return b""
    nonce = os.urandom(NONCE)
    return whose + nonce + AESGCM(key).encrypt(nonce, reason.encode(), whose)


def reason_of(event: AuditEvent) -> str:
    """The reason of an event read ``with_people``. "" where there is none, or nobody can read it any more."""
    sealed = bytes(event.sealed_reason)
    if not sealed:
        return str(event.details.get("reason", ""))  # about nobody
    whose, nonce, text = sealed[:1], sealed[1 : 1 + NONCE], sealed[1 + NONCE :]
    identity: AuditIdentity | None = event.subject if whose == ABOUT else event.actor
    if identity is None:
        return ""
    try:
        return AESGCM(bytes(identity.key)).decrypt(nonce, text, whose).decode()
    except InvalidTag:
        return ""  # changed: verify_audit names the event
