"""Every write to personas. Each function locks the persona first, so that two at once take turns.

``actor`` is who did it, or ``None`` for the system. Invalid fields raise Django's ValidationError by field; what the
state does not allow raises ApplicationError. Callers check permissions.
"""

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError, NotFound
from personas.models import CONTENT_FIELDS, Persona, PersonaVersion


class VersionFields(TypedDict, total=False):
    """The content of a version; what is left out stays as it is, or at its default."""

    name: str
    description: str
    emoji: str
    colour: str
    greeting: str
    suggestions: list[str]
    system_prompt: str
    model: str
    temperature: float
    max_reply_tokens: int
    context_budget: int
    visibility: str
    faq_mode: str
    faq_categories: list[str]
    unknown_offers: list[str]
    contact: str
    personal_data: str
    flag_from: float
    block_from: float
    cache_hours: int


def fill(version: PersonaVersion, fields: Mapping[str, Any]) -> PersonaVersion:
    """Set content fields on ``version``, tidied, and check all of them. Raises ValidationError. Saves nothing."""
    unknown = set(fields) - set(CONTENT_FIELDS)
    if unknown:
        raise TypeError(f"not fields of a persona version: {sorted(unknown)}")
    for name, value in fields.items():
        setattr(version, name, _tidy(value))
    version.full_clean(exclude=["persona", "author"], validate_unique=False, validate_constraints=False)
    return version


def _tidy(value: Any) -> Any:
    """Line ends as ``\\n``, no space around a text: as browsers send and editors leave them, they mean nothing."""
    if isinstance(value, str):
        return value.replace("\r\n", "\n").replace("\r", "\n").strip()
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    return value


def lock_persona(persona: Persona) -> Persona:
    """The persona as stored now, with its published version, locked until the transaction ends. Raises NotFound where
    it is gone."""
    found = Persona.objects.select_for_update(of=("self",)).with_published().filter(pk=persona.pk).first()
    if found is None:
        raise NotFound(_("This persona is gone."))
    return found


@transaction.atomic
def create_persona(
    *, slug: str, actor: User | None, position: int = 0, **fields: Unpack[VersionFields]
) -> PersonaVersion:
    """A new persona with its first draft, which is returned. Nobody sees it before it is published."""
    persona = Persona(slug=slug, position=position)
    persona.full_clean(exclude=["published"])
    persona.save()
    draft = fill(PersonaVersion(persona=persona, author=actor), fields)
    draft.save()
    return draft


@transaction.atomic
def move_persona(*, persona: Persona, position: int) -> Persona:
    """Put a persona at another place in the list."""
    persona = lock_persona(persona)
    persona.position = position
    persona.full_clean(exclude=["published"], validate_unique=False)
    persona.save(update_fields=["position"])
    return persona


@transaction.atomic
def edit_draft(*, persona: Persona, actor: User | None, **fields: Unpack[VersionFields]) -> PersonaVersion:
    """Change the draft, which is begun from the published version where there is none."""
    persona = lock_persona(persona)
    draft = persona.versions.drafts().first()
    if draft is None:
        published = persona.published
        draft = PersonaVersion(persona=persona, **(published.content if published else {}))
    draft.author = actor
    fill(draft, fields)
    draft.save()
    return draft


@transaction.atomic
def discard_draft(*, persona: Persona) -> None:
    """Forget the draft, if there is one. The persona that was never published goes with it."""
    persona = lock_persona(persona)
    persona.versions.drafts().delete()
    if not persona.versions.exists():
        persona.delete()


@transaction.atomic
def publish_draft(*, persona: Persona, actor: User | None) -> PersonaVersion:
    """Put the draft in force. Conversations that began under an earlier version stay with it.

    Raises ApplicationError ``no_draft`` (409), also for the second of two who publish at once, and ``archived`` (409).
    """
    persona = lock_persona(persona)
    draft = persona.versions.drafts().first()
    if draft is None:
        raise ApplicationError("no_draft", _("There is no draft to publish."), status=409)
    return _publish(persona, draft, actor, {})


@transaction.atomic
def publish_content(*, persona: Persona, actor: User | None, **fields: Unpack[VersionFields]) -> PersonaVersion | None:
    """Put exactly this content in force, past the draft, which stays. ``None`` where it is in force already."""
    persona = lock_persona(persona)
    version = fill(PersonaVersion(persona=persona, author=actor), fields)
    if persona.published and persona.published.content == version.content:
        return None
    return _publish(persona, version, actor, {})


@transaction.atomic
def roll_back(*, persona: Persona, version: PersonaVersion, actor: User | None) -> PersonaVersion:
    """Publish a copy of an earlier version under a new number: the history stays a line. The draft stays as it is.

    Raises ApplicationError ``not_a_past_version`` (409) for a draft, the version in force or another persona's, and
    ``archived`` (409).
    """
    persona = lock_persona(persona)
    past = persona.versions.published().filter(pk=version.pk).first()
    if past is None or past == persona.published:
        raise ApplicationError("not_a_past_version", _("Choose an earlier version of this persona."), status=409)
    copy = fill(PersonaVersion(persona=persona, author=actor), past.content)
    return _publish(persona, copy, actor, {"copy_of": past.number})


def _publish(persona: Persona, version: PersonaVersion, actor: User | None, details: dict[str, Any]) -> PersonaVersion:
    """Number and publish ``version`` of the locked ``persona``, which becomes its one published version."""
    if persona.archived_at:
        raise ApplicationError("archived", _("Restore this persona first."), status=409)
    fill(version, {})  # what was valid when it was drafted need not be now: a provider may be gone
    last = persona.versions.published().order_by("-number").values_list("number", flat=True).first()
    version.number = (last or 0) + 1
    version.published_at = timezone.now()
    version.save()
    persona.published = version
    persona.save(update_fields=["published"])
    record_audit(actor=actor, action="persona.published", obj=persona, details={"number": version.number} | details)
    return version


@transaction.atomic
def archive(*, persona: Persona, actor: User | None) -> Persona:
    """Offer it for no new conversation; those that have it go on. Nothing happens where it is archived already."""
    persona = lock_persona(persona)
    if persona.archived_at is None:
        persona.archived_at = timezone.now()
        persona.save(update_fields=["archived_at"])
        record_audit(actor=actor, action="persona.archived", obj=persona)
    return persona


@transaction.atomic
def restore(*, persona: Persona, actor: User | None) -> Persona:
    """Undo ``archive``. Nothing happens where it is not archived."""
    persona = lock_persona(persona)
    if persona.archived_at is not None:
        persona.archived_at = None
        persona.save(update_fields=["archived_at"])
        record_audit(actor=actor, action="persona.restored", obj=persona)
    return persona
