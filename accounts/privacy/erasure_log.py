"""The log of erasures: which were done, without whose they were, so that none comes undone when a backup is restored.

Each erasure has a line of JSON in a file (ERASURE_LOG), written to disk before anything is erased, and a row in the
database. Ids and addresses are in it as keyed hashes (HMAC-SHA256 under SECRET_KEY). Entries that are in the file and
not in the database were made after the backup that the database comes from: ``manage.py replay_erasures`` erases those
people again, and until then ``/readyz`` says that the installation is not ready. Keep the file where restoring the
database does not touch it, and where all hosts reach it.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.audit.chain import canonical
from accounts.audit.checkpoints import public_bytes, signing_keys
from accounts.models import ErasureEntry, User
from chatbot_project.lib.lines import remove_cut_line

_SALT = "accounts.privacy.erasures"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file."""

    id: UUID
    person: str
    address: str
    begun_at: datetime


class LogUnreadable(Exception):
    """The file is not what was written to it."""


def hashes_of(text: str) -> list[str]:
    """The keyed hashes of an id or an address: the present key's first, then those of keys before it. Pure."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [salted_hmac(_SALT, text, secret=secret, algorithm="sha256").hexdigest() for secret in secrets]


def note_begun(entry_id: UUID, person: User) -> ErasureEntry:
    """Note that an erasure begins: in the file, on disk, and then in the database, in the caller's transaction. Noting
    it again changes nothing. Raises OSError where the file cannot be written: nothing may be erased then."""
    row = ErasureEntry(
        id=entry_id,
        person_hash=hashes_of(str(person.pk))[0],
        address_hash=hashes_of(person.email)[0] if person.email else "",
        begun_at=timezone.now(),
    )
    if entry_id not in {line.id for line in lines()}:
        _append(Line(row.pk, row.person_hash, row.address_hash, row.begun_at))
    found, _is_new = ErasureEntry.objects.get_or_create(
        pk=row.pk,
        defaults={"person_hash": row.person_hash, "address_hash": row.address_hash, "begun_at": row.begun_at},
    )
    return found


def lines(file: Path | None = None) -> list[Line]:
    """The lines of the log, or of a copy of it, in order; a line that a crash cut off at the end was never acted upon
    and is left out, in the midst of a character or not. None where there is no file.

    Raises LogUnreadable for anything else that is no line, OSError where the file is there and cannot be read.
    """
    path = file or Path(settings.ERASURE_LOG)
    if not path.exists():
        return []
    *whole, _cut = path.read_bytes().split(b"\n")
    return [_line(text, path) for text in whole if text]


def lacking(copy: Path) -> list[Line]:
    """What a copy of the log holds that the log does not: part of the log was lost. Raises as ``lines``."""
    known = {line.id for line in lines()}
    return [line for line in lines(copy) if line.id not in known]


def bring_back(found: Iterable[Line]) -> None:
    """Put lines of a copy back into the log, on disk. Raises OSError."""
    for line in found:
        _append(line)


def unreplayed() -> list[Line]:
    """What the file knows of and the database does not. Raises as ``lines``. One query where there is any line."""
    found = lines()
    if not found:
        return []
    known = set(ErasureEntry.objects.filter(pk__in=[line.id for line in found]).values_list("pk", flat=True))
    return [line for line in found if line.id not in known]


def people_of(line: Line) -> Iterator[User]:
    """Whom ``line`` is about, where they are in the database. Reads everybody's id and address."""
    for pk, email in User.objects.values_list("pk", "email").iterator(chunk_size=2000):
        is_person = line.person in hashes_of(str(pk))
        is_address = bool(line.address and email) and line.address in hashes_of(email or "")
        if is_person or is_address:
            yield User.objects.get(pk=pk)


# --- Receipts


def sign_receipt(entry: ErasureEntry, *, counts: dict[str, int], at: datetime) -> dict[str, Any]:
    """What the person keeps: which erasure it was, when, and what went, signed with the installation's key (Ed25519).
    Whoever has the id or address can check that it was theirs (``is_receipt_of``)."""
    content = {
        "erasure": str(entry.pk),
        "person": entry.person_hash,
        "address": entry.address_hash,
        "begun_at": entry.begun_at.isoformat(),
        "done_at": at.isoformat(),
        "erased": counts,
    }
    key = signing_keys()[0]
    return {**content, "key": public_bytes(key).hex(), "signature": key.sign(canonical(content)).hex()}


def is_genuine(receipt: dict[str, Any]) -> bool:
    """Whether this installation has signed ``receipt``, and nobody changed it since."""
    content = {name: value for name, value in receipt.items() if name not in ("key", "signature")}
    try:
        key, signature = bytes.fromhex(receipt["key"]), bytes.fromhex(receipt["signature"])
        if key not in {public_bytes(each) for each in signing_keys()}:
            return False
        Ed25519PublicKey.from_public_bytes(key).verify(signature, canonical(content))
    except (KeyError, ValueError, TypeError, InvalidSignature):
        return False
    return True


def is_receipt_of(receipt: dict[str, Any], address: str) -> bool:
    """Whether a genuine receipt is that of whoever had ``address``."""
    return is_genuine(receipt) and receipt["address"] in hashes_of(address)


def _append(line: Line) -> None:
    path = Path(settings.ERASURE_LOG)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {"id": str(line.id), "person": line.person, "address": line.address, "begun_at": line.begun_at.isoformat()}
    )
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        remove_cut_line(file)  # its erasure did not begin
        file.write(f"{text}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def _line(text: bytes, path: Path) -> Line:
    try:
        found: dict[str, Any] = json.loads(text)
        return Line(UUID(found["id"]), found["person"], found["address"], datetime.fromisoformat(found["begun_at"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LogUnreadable(f"{path} holds a line that is none.") from error
