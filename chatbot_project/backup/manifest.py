"""The manifest of a backup: what is in it, whether all of it is there unharmed, and that this installation made it."""

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac

from accounts.audit.chain import canonical
from chatbot_project.backup.contents import Table
from chatbot_project.backup.errors import BackupError

FORMAT = 1
MANIFEST = "manifest.json"
DUMP = "database.dump"
ERASURES = "erasures.jsonl"
PARTS = {DUMP, ERASURES}
_SALT, _KEY_SALT = "chatbot_project.backup", "chatbot_project.backup.key"


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the backup."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``server`` and ``tools`` are PostgreSQL's major versions; ``migrations`` those of the database, ``app.name``;
    ``roles`` have rights in it."""

    made_at: datetime
    product: str
    server: int
    tools: int
    vector: str
    database_bytes: int
    migrations: tuple[str, ...]
    roles: tuple[str, ...]
    tables: dict[str, Table]
    parts: dict[str, Part]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts.values())

    def as_json(self) -> str:
        """With the seal under the present SECRET_KEY."""
        content = {"format": FORMAT, **asdict(self), "made_at": self.made_at.isoformat(), "key": _keys_told()[0]}
        return json.dumps(content | {"seal": _seal(content, settings.SECRET_KEY)}, indent=1)


def read_manifest(folder: Path, *, any_key: bool = False) -> Manifest:
    """The manifest of the backup in ``folder``.

    Raises BackupError where there is none, it was changed, or another key made it, unless ``any_key``.
    """
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        told = content["format"]
    except OSError as error:
        raise BackupError(f"{folder} is no backup: its {MANIFEST} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{folder / MANIFEST} is damaged: it is no manifest.") from error
    if told != FORMAT:
        raise BackupError(f"{folder} is of format {told}; this version reads {FORMAT}. Use the version that made it.")
    _refuse_other_seal(folder, content, any_key=any_key)
    try:
        return _from(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{folder / MANIFEST} is damaged: something is missing in it.") from error


def refuse_damaged(folder: Path, manifest: Manifest) -> None:
    """Raises BackupError unless every part is there as the manifest says. Reads all of it."""
    if set(manifest.parts) != PARTS:
        raise BackupError(f"{folder / MANIFEST} names other parts than a backup has.")
    for name, part in manifest.parts.items():
        file = folder / name
        try:
            found = part_of(file)
        except OSError as error:
            raise BackupError(f"{file} cannot be read ({error.strerror}): the backup is not whole.") from error
        if found.bytes != part.bytes:
            raise BackupError(f"{file} is damaged: {found.bytes} bytes instead of {part.bytes}.")
        if found.sha256 != part.sha256:
            raise BackupError(f"{file} is damaged: its SHA-256 is not that of the manifest.")


def part_of(file: Path) -> Part:
    """Reads the file. Raises OSError."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return Part(stream.tell(), digest)


def _refuse_other_seal(folder: Path, content: dict[str, Any], *, any_key: bool) -> None:
    seal, told = str(content.pop("seal", "")), content.get("key")
    keys = dict(zip(_keys_told(), _secrets(), strict=True))
    if told not in keys:
        if any_key:
            return
        raise BackupError(
            f"{folder} was made under another SECRET_KEY, without which erasures cannot be done again and secrets "
            "cannot be read. Put that key into SECRET_KEY_FALLBACKS; --accept other-key goes on where it is lost."
        )
    if not hmac.compare_digest(seal, _seal(content, keys[told])):
        raise BackupError(f"{folder / MANIFEST} was changed since the backup was made.")


def _secrets() -> tuple[str, ...]:
    return (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


def _keys_told() -> list[str]:
    """By what a key is recognised, without telling it: the present one's first."""
    return [salted_hmac(_KEY_SALT, "", secret=key, algorithm="sha256").hexdigest()[:16] for key in _secrets()]


def _seal(content: dict[str, Any], secret: str) -> str:
    return salted_hmac(_SALT, canonical(content), secret=secret, algorithm="sha256").hexdigest()


def _from(content: dict[str, Any]) -> Manifest:
    return Manifest(
        made_at=datetime.fromisoformat(content["made_at"]),
        product=str(content["product"]),
        server=int(content["server"]),
        tools=int(content["tools"]),
        vector=str(content["vector"]),
        database_bytes=int(content["database_bytes"]),
        migrations=tuple(map(str, content["migrations"])),
        roles=tuple(map(str, content["roles"])),
        tables={name: Table(int(table["rows"]), str(table["digest"])) for name, table in content["tables"].items()},
        parts={name: Part(int(part["bytes"]), str(part["sha256"])) for name, part in content["parts"].items()},
    )
