"""Removing conversations for good, and what is left of them: lines that count, without text, title or id.

Whoever removes a conversation does it here, so that no figure that was reported ever changes.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID, uuid4

from django.db import connection, models, transaction

from accounts.models import User
from conversations.models import Conversation, Message, Tally
from conversations.replies.cache.models import CachedReply

# A quarter of an hour: days of every time zone begin with one.
_KEEP_MESSAGES = """
INSERT INTO conversations_tally
  (at, persona, version, channel, language, person, role, status, source, model, prompt_tokens, completion_tokens,
   usage_estimated, feedback, commented, handed_over, fell_back, cached, first_token, whole, waited, faqs)
SELECT date_bin('15 minutes', m.created_at, 'epoch'), v.persona_id, v.id, c.channel, c.language, m.owner_id, m.role,
       m.status, m.source, m.model, m.prompt_tokens, m.completion_tokens, m.usage_estimated, f.value,
       coalesce(f.comment <> '', false), h.id IS NOT NULL,
       m.model <> '' AND split_part(m.model, '/', 1) <> m.provider,
       m.cached_at IS NOT NULL,
       extract(epoch FROM m.first_token_at - m.queued_at)::float8,
       extract(epoch FROM m.finished_at - m.queued_at)::float8,
       extract(epoch FROM m.started_at - m.queued_at)::float8,
       (SELECT array_agg(DISTINCT ci.faq_id) FROM conversations_citation ci
        WHERE ci.message_id = m.id AND ci.faq_id IS NOT NULL)
FROM conversations_message m
JOIN conversations_conversation c ON c.id = m.conversation_id
JOIN personas_personaversion v ON v.id = c.persona_version_id
LEFT JOIN conversations_feedback f ON f.message_id = m.id
LEFT JOIN conversations_handover h ON h.message_id = m.id
WHERE m.conversation_id = ANY(%s)
"""
_KEEP_CONVERSATIONS = """
INSERT INTO conversations_tally
  (at, persona, version, channel, language, person, role, status, usage_estimated, turns)
SELECT date_bin('15 minutes', c.created_at, 'epoch'), v.persona_id, v.id, c.channel, c.language, c.owner_id, '', '',
       false, (SELECT count(*) FROM conversations_message m WHERE m.conversation_id = c.id AND m.role = 'user')
FROM conversations_conversation c JOIN personas_personaversion v ON v.id = c.persona_version_id
WHERE c.id = ANY(%s)
"""


def purge(ids: Collection[UUID]) -> int:
    """Remove the conversations ``ids`` with all that hangs on them, leaving what counts; how many messages went.

    In one transaction, the caller's if there is one. Lock them first where somebody else may be at work on them.
    """
    if not ids:
        return 0
    messages = Message.objects.filter(conversation__in=ids)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_KEEP_MESSAGES, [list(ids)])
            gone: int = cursor.rowcount
            cursor.execute(_KEEP_CONVERSATIONS, [list(ids)])
        _forget_kept(messages)
        _delete(messages)
        _delete(Conversation.objects.filter(pk__in=ids))
    return gone


def _forget_kept(messages: "models.QuerySet[Message]") -> None:
    """Let nobody get the replies any more that were made in ``messages``; the cache holds no longer than what it came
    of."""
    made = messages.filter(cached_at=None, cache_key__isnull=False)
    CachedReply.objects.filter(key__in=made.values("cache_key")).delete()


def forget_counted(people: Collection[UUID]) -> int:
    """Let what counts lead to nobody: each of ``people`` becomes a number of chance, so that how many people there were
    stays as reported. How many lines there were."""
    return sum(Tally.objects.filter(person=person).update(person=uuid4()) for person in people)


def purge_people(people: Collection[UUID]) -> None:
    """Remove all conversations of ``people``, and let what counts lead to none of them. In the caller's transaction."""
    purge(list(Conversation.objects.filter(owner__in=people).values_list("pk", flat=True)))
    forget_counted(people)


def forget_made_up(people: Collection[UUID]) -> None:
    """Remove all conversations of ``people`` and all that counts of them: for people of a demo, who never were. In the
    caller's transaction."""
    _forget_kept(Message.objects.filter(owner__in=people))
    _delete(Message.objects.filter(owner__in=people))
    _delete(Conversation.objects.filter(owner__in=people))
    Tally.objects.filter(person__in=people).delete()


def counted_times(person: User) -> list[datetime]:
    """When, to the hour in UTC, the person asked or was answered, removed or not."""
    hours = {
        at
        for model, field, whose in ((Message, "created_at", "owner"), (Tally, "at", "person"))
        for at in model._default_manager.filter(**{whose: person.pk}).datetimes(field, "hour", tzinfo=UTC)
    }
    return sorted(hours)


def hand_over_counted(*, guest: User, user: User) -> None:
    """What counted for a guest counts for the account that took them over."""
    Tally.objects.filter(person=guest.pk).update(person=user.pk)


def _delete(rows: "models.QuerySet[models.Model]") -> None:
    """Delete ``rows`` and what hangs on them as their models say, in one statement a table: Django's own way reads
    every row first."""
    for relation in rows.model._meta.get_fields(include_hidden=True):
        if not isinstance(relation, models.ManyToOneRel) or relation.related_model is rows.model:
            continue  # a message's answers go with it
        hanging = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": rows.values("pk")})
        if relation.on_delete is models.CASCADE:
            _delete(hanging)
        elif relation.on_delete is models.SET_NULL:
            hanging.update(**{relation.field.name: None})
        elif relation.on_delete is not models.DO_NOTHING and hanging.exists():
            raise models.ProtectedError(f"{relation.related_model._meta.label} keeps it", set(hanging[:10]))
    rows._raw_delete(rows.db)
