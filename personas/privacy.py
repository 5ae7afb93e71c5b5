"""What personas hold of people: who wrote which version."""

from typing import Any

from django.utils.translation import gettext_noop

from accounts.privacy.registry import Basis, DataClass, Erasure, Nothing, PersonalData, Retention, declare
from personas.models import Persona, PersonaVersion

BATCH = 200


def _leave_versions(person: Any) -> int:
    mine = PersonaVersion.objects.filter(author=person.pk).values("pk")[:BATCH]
    return PersonaVersion.objects.filter(pk__in=mine).update(author=None)


declare(
    PersonalData(
        model=PersonaVersion,
        about=gettext_noop("Versions of personas: who wrote them"),
        data_class=DataClass.AUTHORSHIP,
        purpose="Letting moderators see who changed a persona.",
        basis=Basis.INTEREST,
        of="author",
        erasure=Erasure.ANONYMISE,
        erasure_note="The text is the organisation's and stays; its author is emptied.",
        retention=Retention("As long as the persona."),
        section="persona_versions",
        exported=("id", "persona", "number", "name", "created_at", "published_at"),
        fixed=(
            *("name", "description", "emoji", "greeting", "suggestions", "system_prompt", "model", "contact"),
            *("faq_categories", "unknown_offers"),
        ),
        erase=_leave_versions,
    ),
    Nothing(Persona, "The organisation's words."),
)
