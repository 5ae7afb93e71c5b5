"""``manage.py restore``: the database as it was at a backup, without whoever was erased since."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from chatbot_project.backup.errors import BackupError
from chatbot_project.backup.making import backups
from chatbot_project.backup.restoring import EXCUSES, check_backup, restore
from chatbot_project.embedded.processes import ending_in_order


class Command(BaseCommand):
    help = (
        "Restores a backup into a database beside the present one, migrates it, erases again whoever was erased since, "
        "verifies it, and then has the two change places. Whatever fails before that changes nothing. Stop Nono's "
        "processes first: what they store meanwhile is replaced. --verify only checks that it could be restored."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("backup", help="the backup's folder, or “latest” of BACKUP_DIR")
        parser.add_argument("--replace", action="store_true", help="in the place of a database that is not empty")
        parser.add_argument("--keep-replaced", action="store_true", help="keep that one under another name")
        parser.add_argument(
            "--undo-endings", action="store_true", help="also undo what ended since: see docs/backup.md"
        )
        parser.add_argument("--verify", action="store_true", help="restore it beside, compare, and remove that again")
        parser.add_argument(
            "--accept", action="append", default=[], choices=EXCUSES, metavar="WHAT",
            help=f"go on in spite of what would stop it: {', '.join(EXCUSES)}; repeatable",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore or check, saying each step. Raises CommandError; the database is as it was then."""
        say, accepted = self.stdout.write, options["accept"]
        try:
            with ending_in_order():
                folder = chosen(options["backup"])
                if options["verify"]:
                    check_backup(folder, say=say, accepted=accepted)
                    return
                restore(
                    folder, say=say, accepted=accepted,
                    replace=options["replace"], keep_replaced=options["keep_replaced"],
                    undo_endings=options["undo_endings"],
                )  # fmt: skip
        except BackupError as error:
            raise CommandError(str(error)) from error


def chosen(name: str) -> Path:
    """The folder that is meant, by its path or its name below BACKUP_DIR. Raises CommandError."""
    if name != "latest":
        below = Path(settings.BACKUP_DIR) / name
        return Path(name) if Path(name).exists() or not below.exists() else below
    found = backups(settings.BACKUP_DIR)
    if not found:
        raise CommandError(f"There is no backup in {settings.BACKUP_DIR}.")
    return found[0].folder
