from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError, connection, transaction

from accounts.audit.guards import grant


class Command(BaseCommand):
    help = "Leave a role no more than it needs of the audit trail (docs/audit.md). Run as the owner of the tables."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role")
        parser.add_argument("--print", action="store_true", dest="only_print", help="show the statements, do nothing")

    def handle(self, *args: Any, role: str, only_print: bool, **options: Any) -> None:
        statements = grant(role)
        if only_print:
            self.stdout.writelines(f"{statement};\n" for statement in statements)
            return
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        except ProgrammingError as error:
            raise CommandError(str(error).strip()) from None
        self.stdout.write(f"{role} may add to the audit trail, and neither change nor empty it.")
