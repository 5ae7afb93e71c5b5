"""Puts a backup back: into a database beside the product's, which takes its place once all of it has proved right.

Until then nothing of what is there is touched, and whatever fails, or is killed, leaves it as it was.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import transaction
from django.db.migrations.loader import MigrationLoader
from redis.exceptions import RedisError

from accounts.audit.chain import seal
from accounts.audit.checkpoints import Checkpoint, append, default_file, read_file, remove_cut_off
from accounts.audit.verifying import verify as verify_audit
from accounts.models import AuditCheckpoint, AuditEvent
from accounts.privacy import erasure_log, erasures
from accounts.privacy.registry import redis_keys
from accounts.services import record_audit
from chatbot_project.backup import databases
from chatbot_project.backup.contents import differences, read_contents
from chatbot_project.backup.endings import Endings, end_again, read_endings, sign_everybody_out
from chatbot_project.backup.errors import BackupError
from chatbot_project.backup.making import Backup
from chatbot_project.backup.manifest import DUMP, ERASURES, read_manifest, refuse_damaged
from chatbot_project.backup.postgres_tools import tools_for
from chatbot_project.embedded.bootstrap import migrate, pending_migrations
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.models import TaskRecord

#: What ``--accept`` goes on in spite of.
OTHER_KEY, LOST_LOG, BROKEN_AUDIT = "other-key", "lost-erasures", "broken-audit"
EXCUSES = (OTHER_KEY, LOST_LOG, BROKEN_AUDIT)
# Workers declare their queues once, when they start.
_KEPT_KEYS = {"_kombu.binding.*"}
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Run:
    """A backup that is being put back or checked."""

    backup: Backup
    accepted: Collection[str]
    say: Say

    def refuse(self, problem: str, excuse: str) -> None:
        """Raises BackupError unless the operator has accepted it."""
        if excuse not in self.accepted:
            raise BackupError(f"{problem} --accept {excuse} goes on all the same.")
        self.say(f"Accepted: {problem}")


def restore(
    folder: Path,
    *,
    say: Say,
    replace: bool = False,
    keep_replaced: bool = False,
    undo_endings: bool = False,
    accepted: Collection[str] = (),
) -> None:
    """Make the database what it was at the backup, without whoever was erased since, with this version's tables. What
    ended since stays ended, unless ``undo_endings``.

    Says what it does. Raises BackupError; the database is as it was then.
    """
    run = _checked(folder, accepted, say)
    with databases.keeper() as session:
        _refuse_unfit(session, run)
        own = databases.own_name()
        is_there = databases.exists(session, own)
        is_empty = not is_there or databases.is_empty(own)
        if not replace and not is_empty:
            raise BackupError(f"The database “{own}” is not empty: --replace puts the backup in its place.")
        _bring_back_log(run)
        with databases.scratch(session) as name:
            _fill(name, run)
            endings = None if is_empty or undo_endings else _endings_of(own, run)
            with databases.using(name):
                newest = _finish(run, endings)
            replaced = databases.name_beside(f"replaced_{datetime.now(UTC):%Y%m%d%H%M%S%f}")
            databases.swap(session, name, replaced=replaced)
        say(f"The database “{own}” is that of {run.backup.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC.")
        _replay(say)  # of whom was erased in the old one until just now
        if is_there and keep_replaced:
            say(f"What was there is kept as the database “{replaced}”.")
        elif is_there:
            databases.drop(session, replaced)
        for left in databases.names_of(session, databases.name_beside("replaced")):
            if not (is_there and left == replaced):
                say(f"The database “{left}” is left of an earlier restore: drop it when nobody needs it.")
    _set_aside_checkpoints(newest, say)
    _forget_redis(say)


def check_backup(folder: Path, *, say: Say, accepted: Collection[str] = ()) -> None:
    """Put the backup into a database of its own, hold it against its manifest, and remove that again. Raises
    BackupError where it cannot be restored, or comes back otherwise than it was."""
    run = _checked(folder, accepted, say)
    with databases.keeper() as session:
        _refuse_unfit(session, run)
        with databases.scratch(session) as name:
            _fill(name, run)
            with databases.using(name):
                _migrate(run)
                _look_at_audit(run)
    with transaction.atomic():
        record_audit(actor=None, action="backup.verified", obj=TaskRecord, details=_details(run))
    say("It can be restored.")


def newest_proved(found: Iterable[Backup]) -> Backup | None:
    """The first of ``found`` that the audit trail knows to have come back as it was, checked or restored."""
    proved = _told_of("backup.verified", "backup.restored")
    return next((each for each in found if each.manifest.parts[DUMP].sha256 in proved), None)


def known_to_fail(found: Iterable[Backup]) -> list[Backup]:
    """Those of ``found`` that the audit trail knows to have failed a check, and not to have come back."""
    failed = _told_of("backup.failed") - _told_of("backup.verified", "backup.restored")
    return [each for each in found if each.manifest.parts[DUMP].sha256 in failed]


def _told_of(*actions: str) -> set[str]:
    events = AuditEvent.objects.filter(action__in=actions)
    return {details["sha256"] for details in events.values_list("details", flat=True)}


# --- Before anything is touched


def _checked(folder: Path, accepted: Collection[str], say: Say) -> _Run:
    manifest = read_manifest(folder, any_key=OTHER_KEY in accepted)
    refuse_damaged(folder, manifest)
    say(f"{folder.name}: {manifest.bytes / 1e6:.1f} MB, Nono {manifest.product}, whole by its SHA-256.")
    return _Run(Backup(folder, manifest), accepted, say)


def _refuse_unfit(session: databases.Session, run: _Run) -> None:
    manifest = run.backup.manifest
    server = session.info.server_version // 10000
    if server < manifest.server:
        raise BackupError(f"It was made of PostgreSQL {manifest.server}; this server is {server}. Use a newer one.")
    tools_for(server, dumped_with=manifest.tools)
    found = session.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'").fetchone()
    if found is None:
        raise BackupError("The extension “vector” (pgvector) is not installed on this server.")
    if _numbers(found[0]) < _numbers(manifest.vector):
        raise BackupError(f"It holds vectors of pgvector {manifest.vector}; this server has {found[0]}. Update that.")
    loader = MigrationLoader(None)
    apps = {app for app, _name in loader.disk_migrations}
    known = {".".join(key) for key in loader.disk_migrations}
    known |= {".".join(key) for migration in loader.replacements.values() for key in migration.replaces}
    unknown = [name for name in manifest.migrations if name not in known and name.partition(".")[0] in apps]
    if unknown:
        raise BackupError(
            f"It was made by Nono {manifest.product} with migrations that this version lacks, such as {unknown[0]}. "
            "Restore it with that version or a newer one."
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _bring_back_log(run: _Run) -> None:
    """Raises BackupError where the log of erasures knows less than the backup's copy of it."""
    try:
        lost = erasure_log.lacking(run.backup.folder / ERASURES)
        if lost:
            run.refuse(
                f"The log of erasures ({settings.ERASURE_LOG}) lacks {len(lost)} that the backup knows of: whoever was "
                "erased after the backup would come back.",
                LOST_LOG,
            )
            erasure_log.bring_back(lost)
    except erasure_log.LogUnreadable as error:
        raise BackupError(str(error)) from error
    except OSError as error:
        raise BackupError(f"{settings.ERASURE_LOG} cannot be used: {error.strerror}.") from error


# --- In the new database


def _fill(name: str, run: _Run) -> None:
    """Restore into the empty database, and hold every table against the manifest."""
    manifest = run.backup.manifest
    with databases.connect(name, autocommit=True) as session:
        try:
            # Not all dumps have it: pg_dump takes that of an embedded cluster, made with it, for PostgreSQL's own.
            session.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            raise BackupError(f"pgvector cannot be set up: {databases.first_line(error)}") from error
        server = session.info.server_version // 10000
        found = session.execute(
            "SELECT r FROM unnest(%s::text[]) r WHERE to_regrole(r) IS NULL", [list(manifest.roles)]
        )
        strangers = [role for (role,) in found.fetchall()]
    options = ["--no-owner", "--no-comments"]
    if strangers:
        options.append("--no-privileges")
        run.say(f"There is no role {', '.join(strangers)}: no rights are granted. See `manage.py grant_audit`.")
    tools = tools_for(server, dumped_with=manifest.tools)
    tools.restore(run.backup.folder / DUMP, *options, database=name, server=server)
    try:
        with databases.connect(name) as session:
            wrong = differences(manifest.tables, read_contents(session).tables)
            session.execute("ANALYZE")  # or queries would be planned blindly until autovacuum comes round
    except psycopg.Error as error:
        raise BackupError(f"The restored database cannot be read: {databases.first_line(error)}") from error
    if wrong:
        raise BackupError(f"What came back is not what was backed up: {'; '.join(wrong[:5])}.")
    run.say(f"{len(manifest.tables)} tables with {manifest.rows} rows came back as they were.")


def _endings_of(database: str, run: _Run) -> Endings | None:
    try:
        return read_endings(database, run.backup.manifest.made_at)
    except (psycopg.Error, BackupError) as error:
        run.say(f"What ended since the backup cannot be read ({databases.first_line(error)}): it is undone.")
        return None


def _finish(run: _Run, endings: Endings | None) -> int:
    """What the new database needs before people may use it; the number of its newest checkpoint."""
    _migrate(run)
    _replay(run.say)
    sign_everybody_out()
    run.say("Everybody is signed out, but guests, who could not come back.")
    ended = end_again(endings) if endings else {}
    if ended:
        run.say(f"Ended since, and so again: {', '.join(f'{count} {what}' for what, count in ended.items())}.")
    _look_at_audit(run)
    newest = _newest_checkpoint()
    undone = max((each.number for each in _in_file() if each.number > newest), default=None)
    made_at = run.backup.manifest.made_at
    with transaction.atomic():
        # The backup itself was noted only after its moment.
        noted = {
            "started_at": made_at,
            "finished_at": made_at,
            "succeeded_at": made_at,
            "outcome": TaskRecord.Outcome.DONE,
        }
        TaskRecord.objects.update_or_create(name="backup", defaults=noted)
        details = _details(run) | {"accepted": sorted(run.accepted), "undone_checkpoint": undone, "ended": ended}
        record_audit(actor=None, action="backup.restored", obj=TaskRecord, details=details)
    return newest


def _migrate(run: _Run) -> None:
    if pending := pending_migrations():
        migrate()
        run.say(f"{pending} migrations applied.")


def _replay(say: Say) -> None:
    try:
        people = sum(found for _line, found in erasures.replay())
    except (erasure_log.LogUnreadable, RedisError, OSError) as error:
        raise BackupError(f"Erasures cannot be done again: {databases.first_line(error)}") from error
    if people:
        say(f"{people} people who were erased since are erased again.")


def _look_at_audit(run: _Run) -> None:
    """Seal what waited when the backup was made, and verify the trail; of the checkpoints' file against those of its
    time, as later ones vouch for what is undone."""
    seal()
    newest = _newest_checkpoint()
    verdict = verify_audit([each for each in _in_file() if each.number <= newest])
    if not verdict.is_whole:
        run.refuse(f"The audit trail is not whole: {verdict.problems[0]}.", BROKEN_AUDIT)
    else:
        run.say(f"The audit trail is whole: {verdict.links} links, {verdict.checkpoints} checkpoints.")


def _newest_checkpoint() -> int:
    return AuditCheckpoint.objects.order_by("-number").values_list("number", flat=True).first() or 0


def _in_file() -> list[Checkpoint]:
    file = default_file()
    try:
        remove_cut_off(file)
        return read_file(file) if file.exists() else []
    except (OSError, ValueError) as error:
        raise BackupError(f"The checkpoints of the audit trail cannot be read: {error}") from error


def _details(run: _Run) -> dict[str, Any]:
    manifest = run.backup.manifest
    return {"made_at": manifest.made_at.isoformat(), "rows": manifest.rows, "sha256": manifest.parts[DUMP].sha256}


# --- After it


def _set_aside_checkpoints(newest: int, say: Say) -> None:
    """The file's checkpoints after the number ``newest`` are of a time that is undone, and the chain goes on
    differently: they go to a file of their own."""
    file, found = default_file(), _in_file()
    if all(each.number <= newest for each in found):
        return
    aside = file.with_name(f"checkpoints-undone-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.jsonl")
    try:
        file.rename(aside)
        append(file, [each for each in found if each.number <= newest])
    except OSError as error:
        raise BackupError(f"The database is restored, but {file} cannot be set aside: {error.strerror}.") from error
    say(f"Checkpoints of the audit trail from after the backup are kept in {aside}.")


def _forget_redis(say: Say) -> None:
    """Nothing in Redis is worth keeping, and what is there tells of the database that was replaced."""
    client = blocking_redis()
    try:
        for family in redis_keys():
            if family.pattern not in _KEPT_KEYS:
                for key in client.scan_iter(match=family.pattern, count=1000):
                    client.unlink(key)
    except RedisError as error:
        raise BackupError(
            f"The database is restored, but Redis could not be emptied ({databases.first_line(error)}): empty it "
            "before anything starts (redis-cli FLUSHDB)."
        ) from error
    say("Redis is emptied of what told of the database before.")
