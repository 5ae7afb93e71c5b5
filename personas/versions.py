"""Which version of a persona is meant. Nothing here writes."""

from personas.models import Persona, PersonaVersion

DRAFT = "draft"


def working_version(persona: Persona) -> PersonaVersion | None:
    """What editors edit and try: the draft, or where there is none the published version."""
    return persona.versions.drafts().first() or persona.published


def version_key(version: PersonaVersion) -> str:
    """How an address names a version: by its number, or ``draft``."""
    return DRAFT if version.number is None else str(version.number)


def find_version(persona: Persona, key: str) -> PersonaVersion | None:
    """The version of ``persona`` that ``key`` names."""
    if key == DRAFT:
        return persona.versions.drafts().first()
    is_number = key.isascii() and key.isdigit() and len(key) < 9
    return persona.versions.published().filter(number=key).first() if is_number else None
