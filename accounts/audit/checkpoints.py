"""Signed notes of how far the chain had come. Whoever keeps one elsewhere can tell a chain that was cut or redone."""

import base64
import binascii
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts.audit.chain import SEALER_LOCK, canonical, seal
from accounts.models import AuditCheckpoint, AuditLink
from chatbot_project.lib.lines import remove_cut_line

log = structlog.get_logger(__name__)

SALT = b"nono.audit.checkpoints:"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``hash`` of link ``number``, and by which key it was signed when."""

    number: int
    hash: bytes
    at: datetime
    public_key: bytes
    signature: bytes

    @property
    def message(self) -> bytes:
        """What is signed."""
        at = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        return canonical({"audit_checkpoint": 1, "number": self.number, "hash": self.hash.hex(), "at": at})

    @property
    def is_signed(self) -> bool:
        """Whether one of this installation's keys has signed it."""
        if self.public_key not in {public_bytes(key) for key in signing_keys()}:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(self.signature, self.message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def as_line(self) -> str:
        """One line of JSON, as files hold it."""
        return json.dumps(
            {
                "number": self.number,
                "hash": self.hash.hex(),
                "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
                "public_key": self.public_key.hex(),
                "signature": base64.b64encode(self.signature).decode(),
            }
        )

    @classmethod
    def from_line(cls, line: str) -> "Checkpoint":
        """What ``as_line`` wrote. Raises ValueError for anything else."""
        try:
            found: dict[str, Any] = json.loads(line)
            return cls(
                number=int(found["number"]),
                hash=bytes.fromhex(found["hash"]),
                at=datetime.fromisoformat(found["at"]),
                public_key=bytes.fromhex(found["public_key"]),
                signature=base64.b64decode(found["signature"], validate=True),
            )
        except (KeyError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
            raise ValueError("not a checkpoint") from error

    @classmethod
    def from_row(cls, row: AuditCheckpoint) -> "Checkpoint":
        return cls(row.number, bytes(row.hash), row.at, bytes(row.public_key), bytes(row.signature))


def signing_keys() -> list[Ed25519PrivateKey]:
    """The keys made from AUDIT_SIGNING_KEYS or, in the local environment, from SECRET_KEY; the first signs."""
    secrets = settings.AUDIT_SIGNING_KEYS or [settings.SECRET_KEY]
    seeds = [hashlib.sha256(SALT + secret.encode()).digest() for secret in secrets]
    return [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of its public key."""
    return key.public_key().public_bytes_raw()


def default_file() -> Path:
    """Where this installation writes its checkpoints."""
    return Path(settings.VAR_DIR) / "audit" / "checkpoints.jsonl"


def make_checkpoint() -> Checkpoint | None:
    """Seal what waits, then sign how far the chain has come: kept in the database, in the file, and logged.

    ``None`` where nothing has been added since the last one. Raises OSError where the file cannot be written: the
    checkpoint is kept in the database then, and the next one brings the file up to date.
    """
    seal()
    with transaction.atomic():
        _wait_for_sealer()
        last = AuditLink.objects.order_by("-number").first()
        if last is None or AuditCheckpoint.objects.filter(number__gte=last.number).exists():
            made = None
        else:
            made = _sign(last)
            AuditCheckpoint.objects.create(
                number=made.number, hash=made.hash, at=made.at, public_key=made.public_key, signature=made.signature
            )
    if made is not None:
        log.info("audit.checkpoint", number=made.number, hash=made.hash.hex(), signature=made.signature.hex())
    remove_cut_off(default_file())
    write_missing(default_file())
    return made


def _sign(link: AuditLink) -> Checkpoint:
    key = signing_keys()[0]
    unsigned = Checkpoint(link.number, bytes(link.hash), timezone.now(), public_bytes(key), b"")
    return Checkpoint(unsigned.number, unsigned.hash, unsigned.at, unsigned.public_key, key.sign(unsigned.message))


def _wait_for_sealer() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SEALER_LOCK])


def write_missing(file: Path) -> int:
    """Append the database's checkpoints that ``file`` lacks. Returns how many. Raises OSError, ValueError."""
    kept = {checkpoint.number for checkpoint in read_file(file)} if file.exists() else set()
    missing = [
        Checkpoint.from_row(row)
        for row in AuditCheckpoint.objects.filter(number__gt=max(kept, default=0)).order_by("number")
    ]
    if missing:
        file.parent.mkdir(parents=True, exist_ok=True)
        append(file, missing)
    return len(missing)


def remove_cut_off(file: Path) -> None:
    """Remove from ``file`` what a crash has left of a checkpoint, which the database has. Raises OSError."""
    if file.exists():
        with file.open("rb+") as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            remove_cut_line(out)


def append(file: Path, checkpoints: Iterable[Checkpoint]) -> None:
    """Add lines to ``file`` and have them on the disk. Raises OSError."""
    with file.open("a", encoding="utf-8") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        out.writelines(f"{checkpoint.as_line()}\n" for checkpoint in checkpoints)
        out.flush()
        os.fsync(out.fileno())


def read_file(file: Path) -> list[Checkpoint]:
    """The checkpoints of a file, in its order. Raises OSError; ValueError names the line that is none."""
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                found.append(Checkpoint.from_line(line))
            except ValueError:
                raise ValueError(f"{file}, line {number}: not a checkpoint") from None
    return found
