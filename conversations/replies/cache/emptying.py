"""Taking out of the cache what nobody is to get any more."""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError
from conversations.models import Message
from conversations.replies.cache.models import CachedReply


def empty_cache(*, actor: User | None, persona: str = "") -> int:
    """Let nobody get any kept reply any more, or none of the ``persona`` (its slug); how many went. What a model says
    at the moment is not kept either. Without an ``actor`` it is the operator's doing.

    Raises ApplicationError ``not_allowed`` (403).
    """
    if actor is not None and not actor.has_perm("conversations.delete_cachedreply"):
        raise ApplicationError("not_allowed", _("You may not do that."), status=403)
    kept = CachedReply.objects.all()
    if persona:
        kept = kept.filter(persona_version__persona__slug=persona)
    with transaction.atomic():
        gone, _by_model = kept.delete()
        details = {"replies": gone, "persona": persona}
        record_audit(actor=actor, action="response_cache.emptied", obj=CachedReply, details=details)
    return gone


def forget_reply(reply: Message) -> None:
    """Let nobody get what ``reply`` says any more: it was found wrong. Nothing, where it is not kept."""
    if reply.cache_key:
        CachedReply.objects.filter(key=reply.cache_key).delete()
