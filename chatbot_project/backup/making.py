"""Makes a backup: a folder that appears whole or not at all, of one moment of a database that goes on being used."""

import fcntl
import os
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from django.conf import settings
from psycopg import IsolationLevel

from chatbot_project.backup.contents import Contents, read_contents
from chatbot_project.backup.databases import connect, first_line, own_name
from chatbot_project.backup.errors import BackupError
from chatbot_project.backup.manifest import DUMP, ERASURES, MANIFEST, Manifest, part_of, read_manifest
from chatbot_project.backup.postgres_tools import tools_for

PARTIAL = ".partial"
# Milliseconds. A migration that waits for what was counted waits for the backup, and the backup for it: it gives up
# before the service, which waits behind them, is felt to stand still.
_LOCK_WAIT = 3_000


@dataclass(frozen=True, slots=True)
class Backup:
    """One that is whole, as far as its manifest tells."""

    folder: Path
    manifest: Manifest


def make_backup(place: Path) -> Backup:
    """A new backup below ``place``. Raises BackupError, and leaves nothing then."""
    with _one_at_a_time(place):
        for left in place.glob(f".*{PARTIAL}"):
            shutil.rmtree(left, ignore_errors=True)  # whoever was at it was killed: the lock is ours
        made_at = datetime.now(UTC)
        folder = _free_name(place, made_at)
        draft = place / f".{folder.name}{PARTIAL}"
        try:
            draft.mkdir(mode=0o700)
            manifest = _fill(draft, made_at)
            _write(draft / MANIFEST, manifest.as_json().encode())
            _sync(draft)
            draft.rename(folder)
            _sync(place)
        except OSError as error:
            raise BackupError(f"{error.filename or place} cannot be written: {error.strerror}.") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return Backup(folder, manifest)


def backups(place: Path) -> list[Backup]:
    """Those below ``place``, the newest first. What is no backup, or not this installation's, is passed over."""
    found = []
    for folder in place.glob("nono-*"):
        try:
            found.append(Backup(folder, read_manifest(folder)))
        except BackupError:
            continue
    return sorted(found, key=lambda each: each.manifest.made_at, reverse=True)


def prune(place: Path, *, keep: int, spared: Backup | None = None, failed: Sequence[Backup] = ()) -> list[Path]:
    """Remove all but the ``keep`` newest and ``spared``; those removed. Of ``failed``, which do not come back, only the
    newest of all counts. Raises BackupError."""
    gone = []
    with _one_at_a_time(place):
        found = backups(place)
        kept = [each for each in found if each == found[0] or each not in failed][:keep]
        for old in found:
            if old in kept or old == spared:
                continue
            try:
                # Under this name it is no backup any more, however much of it is left.
                draft = old.folder.rename(place / f".{old.folder.name}{PARTIAL}")
                shutil.rmtree(draft)
            except OSError as error:
                raise BackupError(f"{old.folder} cannot be removed: {error.strerror}.") from error
            gone.append(old.folder)
    return gone


def product_version() -> str:
    """This code's version."""
    with (Path(settings.BASE_DIR) / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def _fill(draft: Path, made_at: datetime) -> Manifest:
    """Dump, and count in the same snapshot what is dumped."""
    dump, erasures = draft / DUMP, draft / ERASURES
    with connect(own_name()) as session:
        tools = tools_for(session.info.server_version // 10000)
        session.isolation_level, session.read_only = IsolationLevel.REPEATABLE_READ, True
        try:
            (snapshot,) = session.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
            contents = read_contents(session)
            if not contents.migrations:
                raise BackupError(f"There is nothing of Nono's in the database “{own_name()}”.")
            tools.run(
                "pg_dump", "--format=custom", f"--file={dump}", f"--snapshot={snapshot}",
                f"--lock-wait-timeout={_LOCK_WAIT}", database=own_name(),
            )  # fmt: skip
        except psycopg.Error as error:
            raise BackupError(f"The database cannot be read: {first_line(error)}") from error
    _sync(dump)
    # After the dump: what it lacks of erasures done meanwhile, this copy knows.
    log = Path(settings.ERASURE_LOG)
    _write(erasures, log.read_bytes() if log.exists() else b"")
    return _manifest(contents, made_at=made_at, tools=tools.major, files=[dump, erasures])


def _manifest(contents: Contents, *, made_at: datetime, tools: int, files: list[Path]) -> Manifest:
    return Manifest(
        made_at=made_at,
        product=product_version(),
        server=contents.server,
        tools=tools,
        vector=contents.vector,
        database_bytes=contents.bytes,
        migrations=contents.migrations,
        roles=contents.roles,
        tables=contents.tables,
        parts={file.name: part_of(file) for file in files},
    )


@contextmanager
def _one_at_a_time(place: Path) -> Iterator[None]:
    """Hold the folder's lock, which it has from its first use on. Raises BackupError."""
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(place / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise BackupError(
            f"{place} cannot be written to: {error.strerror}. Set BACKUP_DIR to another folder."
        ) from error
    with os.fdopen(descriptor, "r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(f"Another backup is being made in {place}. Wait for its end.") from error
        yield


def _free_name(place: Path, made_at: datetime) -> Path:
    name = f"nono-{made_at:%Y%m%dT%H%M%SZ}"
    folder, number = place / name, 2
    while folder.exists():
        folder, number = place / f"{name}-{number}", number + 1
    return folder


def _write(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(path: Path) -> None:
    """What is in the file, or which files are in the folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
