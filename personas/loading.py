"""Bringing the personas of a file into force, all of them or none."""

from collections.abc import Sequence
from typing import NamedTuple

from django.db import transaction

from accounts.models import User
from personas import services
from personas.files import PersonaSpec
from personas.models import Persona


class Loaded(NamedTuple):
    """What loading did with one persona: the number it published, or ``None`` where its content was in force."""

    slug: str
    number: int | None
    is_new: bool


@transaction.atomic
def load_personas(*, specs: Sequence[PersonaSpec], actor: User | None, dry_run: bool = False) -> list[Loaded]:
    """Make the personas of ``specs`` what they say, and publish each whose content differs; others stay untouched.

    An archived persona is restored, as the file offers it. With ``dry_run`` the same is done and undone.
    """
    loaded = [_load(spec, actor) for spec in specs]
    if dry_run:
        transaction.set_rollback(True)
    return loaded


def _load(spec: PersonaSpec, actor: User | None) -> Loaded:
    persona, is_new = Persona.objects.get_or_create(slug=spec.slug, defaults={"position": spec.position})
    if persona.archived_at:
        persona = services.restore(persona=persona, actor=actor)
    if persona.position != spec.position:
        persona = services.move_persona(persona=persona, position=spec.position)
    # Fields that the file leaves out have their defaults, not what an earlier version had.
    version = services.publish_content(persona=persona, actor=actor, **spec.content)
    return Loaded(spec.slug, version.number if version else None, is_new)
