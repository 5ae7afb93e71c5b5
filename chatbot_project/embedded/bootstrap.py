"""What a database needs before people can use it: its tables, personas to talk to, answers they may give,
and someone who may administer.

Unlike the rest of this package these functions need Django set up and the database running.
"""

import secrets
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from chatbot_project.embedded.services import kept_secret

ADMIN_EMAIL = "admin@nono.local"


def pending_migrations() -> int:
    """How many migrations the database lacks. Queries: the table of those it has."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def migrate() -> None:
    """Bring the database's tables to what the code expects."""
    call_command("migrate", interactive=False, verbosity=0)


def has_personas() -> bool:
    """True if there is any persona, so that the starters are no longer wanted."""
    from personas.models import Persona  # models load only once Django is set up

    return Persona.objects.exists()


def has_knowledge() -> bool:
    """True if there is any FAQ, or was: the starters are not brought back to those who deleted them."""
    from faqs.models import FAQ, KnowledgeState  # models load only once Django is set up

    was_published = KnowledgeState.objects.filter(revision__gt=1)
    return FAQ.objects.exists() or was_published.exists()


def ensure_admin(password_file: Path) -> str:
    """Make the admin account if there is no admin at all; its password is made once and kept in `password_file`.

    Returns the password if the account was made just now, else "".
    """
    people = get_user_model().objects
    if people.filter(role="admin").exists():
        return ""
    password, _ = kept_secret(password_file, lambda: secrets.token_urlsafe(12))
    people.create_superuser(ADMIN_EMAIL, password)
    return password


def disconnect() -> None:
    """Close the database connections and the threads of their pool: what follows forks."""
    connection.close()
    close_pool = getattr(connection, "close_pool", None)
    if close_pool is not None:
        close_pool()
