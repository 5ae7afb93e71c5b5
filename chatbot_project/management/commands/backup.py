"""``manage.py backup``: all that PostgreSQL holds, of one moment, as a folder that can be restored."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, transaction

from accounts.services import record_audit
from chatbot_project.backup.errors import BackupError
from chatbot_project.backup.making import Backup, backups, make_backup, prune
from chatbot_project.backup.manifest import DUMP
from chatbot_project.backup.restoring import check_backup, known_to_fail, newest_proved
from chatbot_project.embedded.processes import ending_in_order
from chatbot_project.models import TaskRecord
from chatbot_project.task_records import recorded


class Command(BaseCommand):
    help = (
        "Writes a backup of the database into a folder of its own below BACKUP_DIR, while everything goes on running. "
        "It appears once it is whole. manage.py restore puts it back; docs/backup.md tells what else to keep."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", type=Path, default=settings.BACKUP_DIR, help="the folder for backups (BACKUP_DIR)")
        parser.add_argument("--keep", type=at_least_one, metavar="N", help="then remove all but the N newest there")
        parser.add_argument("--verify", action="store_true", help="restore it into a database beside, and compare")
        parser.add_argument("--list", action="store_true", help="only tell of the backups that are there")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it and tell where it is. Raises CommandError where it cannot be made, leaving nothing."""
        place = options["to"]
        if options["list"]:
            for each in backups(place):
                self.stdout.write(told(each))
            return
        try:
            with ending_in_order(), recorded("backup"):
                self._make(place, options["keep"], verify=options["verify"])
        except BackupError as error:
            raise CommandError(str(error)) from error

    def _make(self, place: Path, keep: int | None, *, verify: bool) -> None:
        made = make_backup(place)
        manifest = made.manifest
        details = {"rows": manifest.rows, "bytes": manifest.bytes, "sha256": manifest.parts[DUMP].sha256}
        with transaction.atomic():
            record_audit(actor=None, action="backup.made", obj=TaskRecord, details=details)
        self.stdout.write(told(made))
        try:
            if verify:
                check_backup(made.folder, say=self.stdout.write)
        except Exception:
            # Or nights that fail one after the other, by whatever, would fill the disk.
            try:
                with transaction.atomic():
                    record_audit(actor=None, action="backup.failed", obj=TaskRecord, details=details)
                found = backups(place)
                self._prune(place, keep, spared=newest_proved(found), failed=known_to_fail(found))
            except (BackupError, DatabaseError) as error:
                self.stderr.write(str(error))  # the first one is what has to be told
            raise
        self._prune(place, keep)

    def _prune(
        self, place: Path, keep: int | None, *, spared: Backup | None = None, failed: Sequence[Backup] = ()
    ) -> None:
        if keep is not None:
            for folder in prune(place, keep=keep, spared=spared, failed=failed):
                self.stdout.write(f"{folder.name} is removed.")


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("a whole number from 1")
    return int(text)


def told(backup: Backup) -> str:
    manifest = backup.manifest
    return (
        f"{backup.folder}: {manifest.bytes / 1e6:.1f} MB, {len(manifest.tables)} tables, {manifest.rows} rows, "
        f"Nono {manifest.product}, PostgreSQL {manifest.server}"
    )
