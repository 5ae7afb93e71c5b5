"""`manage.py runlocal`: everything Nono needs, on this machine, with one command."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from chatbot_project.embedded.services import var_paths
from chatbot_project.embedded.supervisor import Supervisor


class Command(BaseCommand):
    help = "Start everything Nono needs on this machine, keep it up, and stop it in order at Ctrl-C."
    requires_system_checks: list[str] = []  # its children check; here it would only take time

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=settings.PORT, help="the web server's port (PORT)")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        if not settings.IS_LOCAL:
            raise CommandError("runlocal is for NONO_ENV=local. In production each process is started by itself.")
        supervisor = Supervisor(
            paths=var_paths(os.environ),
            port=port,
            default_model=settings.DEFAULT_MODEL,
            providers=set(settings.LLM_PROVIDERS),
            environment=os.environ,
        )
        sys.exit(supervisor.run())
