"""Removing personas that were made up for a demo. Real ones are archived, never removed."""

from collections.abc import Collection
from uuid import UUID

from django.db import connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from personas.models import Persona, PersonaVersion

# Published versions are guarded by a trigger; only the owner of the table may let it rest, and only in a transaction.
_GUARD = "ALTER TABLE personas_personaversion {} TRIGGER personas_published_is_immutable"


@transaction.atomic
def remove_made_up(ids: Collection[UUID]) -> list[str]:
    """Remove these personas with all versions. Those that conversations stand on are archived instead, and named.

    The database's role has to own the tables, as it does where migrations are run by it.
    """
    kept = []
    for persona in Persona.objects.filter(pk__in=ids).order_by("slug"):
        try:
            with transaction.atomic():
                _remove(persona)
        except ProtectedError:
            Persona.objects.filter(pk=persona.pk, archived_at=None).update(archived_at=timezone.now())
            kept.append(persona.slug)
    return kept


def _remove(persona: Persona) -> None:
    versions = PersonaVersion.objects.filter(persona=persona)
    Persona.objects.filter(pk=persona.pk).update(published=None)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(_GUARD.format("DISABLE"))
        versions.delete()
        cursor.execute(_GUARD.format("ENABLE"))
    Persona.objects.filter(pk=persona.pk).delete()
