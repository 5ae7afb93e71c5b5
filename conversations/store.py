"""The hot path of accepting a message and of answering with its reply, in statements below the ORM.

``make bench`` showed that it binds: five statements through the ORM cost 3.3 ms of CPU per message.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import connection, models
from psycopg.types.json import Jsonb

from accounts.restriction import MAY_PROCESS_SQL, ProcessingRestricted
from accounts.retention.policies import Class, days_sql, kept_since_sql
from chatbot_project.lib.db import fetch_prepared
from conversations.models import Conversation, Feedback, Message
from conversations.safety.scores import POINTS_SQL
from personas.models import Persona, PersonaVersion

M = TypeVar("M", bound=models.Model)


KEPT_SINCE = kept_since_sql(Class.CONTENT)


def _columns(model: type[models.Model], alias: str, names: Sequence[str]) -> str:
    columns = {field.name: field.column for field in model._meta.concrete_fields}
    return ", ".join(f"{alias}.{columns[name]}" for name in names)


_UNREAD = {"summary", "metadata", "instructions"}
_CONVERSATION = [field.name for field in Conversation._meta.concrete_fields if field.name not in _UNREAD]
_VERSION = ["id", "persona", "name", "emoji", "model"]
_PERSONA = ["id", "slug"]
_LEAF = ["id", "conversation", "owner", "parent", "role", "status"]
_LOCK = f"""
    SELECT (SELECT count(*) FROM conversations_message live
            WHERE live.owner_id = c.owner_id AND live.status IN ('queued', 'streaming')),
           {POINTS_SQL.format(owner="c.owner_id")},
           {_columns(Conversation, "c", _CONVERSATION)}, {_columns(PersonaVersion, "v", _VERSION)},
           {_columns(Persona, "p", _PERSONA)}, {_columns(Message, "leaf", _LEAF)}
    FROM conversations_conversation c
    JOIN personas_personaversion v ON v.id = c.persona_version_id
    JOIN personas_persona p ON p.id = v.persona_id
    LEFT JOIN conversations_message leaf ON leaf.id = c.active_leaf_id
    WHERE c.id = %s AND c.owner_id = %s AND c.deleted_at IS NULL
      AND (c.expires_at IS NULL OR c.expires_at > statement_timestamp()) AND c.updated_at > {KEPT_SINCE}
    FOR UPDATE OF c
"""  # noqa: S608  names of columns, no input
_PUBLISHED = f"""
    SELECT (SELECT count(*) FROM conversations_message WHERE owner_id = %s AND status IN ('queued', 'streaming')),
           {POINTS_SQL.format(owner="%s")}, {days_sql(Class.PASSING)},
           {_columns(PersonaVersion, "v", _VERSION)}, {_columns(Persona, "p", _PERSONA)}
    FROM personas_persona p JOIN personas_personaversion v ON v.id = p.published_id
    WHERE p.archived_at IS NULL AND v.visibility = ANY(%s) AND (p.slug = %s OR %s)
    ORDER BY p.position, p.slug LIMIT 1
"""  # noqa: S608  names of columns, no input

_SHOWN = [field.name for field in Conversation._meta.concrete_fields if field.name not in {"summary", "instructions"}]
_MESSAGE = [field.name for field in Message._meta.concrete_fields]
_FEEDBACK = [field.name for field in Feedback._meta.concrete_fields]
_EXCHANGE = f"""
    SELECT {_columns(Conversation, "c", _SHOWN)}, {_columns(PersonaVersion, "v", _VERSION)},
           {_columns(Persona, "p", _PERSONA)}, {_columns(Message, "q", _MESSAGE)}, {_columns(Message, "r", _MESSAGE)},
           {_columns(Feedback, "given", _FEEDBACK)}
    FROM conversations_message r
    JOIN conversations_message q ON q.id = r.parent_id
    JOIN conversations_conversation c ON c.id = r.conversation_id
    JOIN personas_personaversion v ON v.id = c.persona_version_id
    JOIN personas_persona p ON p.id = v.persona_id
    LEFT JOIN conversations_feedback given ON given.message_id = r.id
    WHERE r.id = %s AND r.owner_id = %s AND c.deleted_at IS NULL
      AND (c.expires_at IS NULL OR c.expires_at > statement_timestamp()) AND c.updated_at > {KEPT_SINCE}
"""  # noqa: S608  names of columns, no input


class Room(NamedTuple):
    """What says whether a person may ask: how many of their replies are ``live``, and the ``points`` of their
    violations; and for how many days what a program asks ``in_passing`` is kept, where it can be such."""

    live: int
    points: int
    in_passing: int = 0


def find_persona_version(
    owner_id: UUID, visibilities: Sequence[str], slug: str | None
) -> tuple[PersonaVersion, Room] | None:
    """The published version of the persona ``slug``, or of the first one, and whether the person may ask; None where it
    is not meant for these ``visibilities``. Fields that accepting does not need load when read."""
    rows = fetch_prepared(
        _PUBLISHED,
        [owner_id, owner_id, settings.MODERATION_SCORE_DAYS, list(visibilities), slug or "", not slug],
    )
    if not rows:
        return None
    values = iter(rows[0][3:])
    version = _instance(PersonaVersion, _VERSION, values)
    version.persona = _instance(Persona, _PERSONA, values)
    return version, Room(*rows[0][:3])


def lock_conversation(owner_id: UUID, conversation_id: UUID) -> tuple[Conversation, Room] | None:
    """The person's conversation, its row locked, and whether the person may ask.

    Its persona version, persona and active leaf are set with what accepting needs; other fields load when read.
    """
    rows = fetch_prepared(_LOCK, [settings.MODERATION_SCORE_DAYS, conversation_id, owner_id])
    if not rows:
        return None
    row = rows[0]
    values = iter(row[2:])
    conversation = _instance(Conversation, _CONVERSATION, values)
    version = _instance(PersonaVersion, _VERSION, values)
    version.persona = _instance(Persona, _PERSONA, values)
    conversation.persona_version = version
    leaf = _instance(Message, _LEAF, values)
    if conversation.active_leaf_id is None:
        conversation.active_leaf = None
    elif leaf.pk == conversation.active_leaf_id:
        conversation.active_leaf = leaf
    else:
        # Another transaction moved the leaf while this one waited for the lock, and the join still saw the old one.
        conversation.active_leaf = Message.objects.get(pk=conversation.active_leaf_id)
    return conversation, Room(*row[:2])


def find_exchange(owner_id: UUID, reply_id: UUID) -> Message | None:
    """The person's reply with its feedback, its question as ``parent`` and its conversation with persona version and
    persona, of which fields that are not shown load when read. None where there is none."""
    rows = fetch_prepared(_EXCHANGE, [reply_id, owner_id])
    if not rows:
        return None
    values = iter(rows[0])
    conversation = _instance(Conversation, _SHOWN, values)
    version = _instance(PersonaVersion, _VERSION, values)
    version.persona = _instance(Persona, _PERSONA, values)
    conversation.persona_version = version
    question, reply = _instance(Message, _MESSAGE, values), _instance(Message, _MESSAGE, values)
    reply.parent = question
    reply.conversation = question.conversation = conversation
    given = _instance(Feedback, _FEEDBACK, values)
    for message, feedback in ((reply, given if given.pk else None), (question, None)):  # a question has none
        Message.feedback.related.set_cached_value(message, feedback)
    return reply


def _instance(model: type[M], names: Sequence[str], values: Iterator[Any]) -> M:
    """A row's columns as an instance whose other fields are deferred."""
    attributes = {field.name: field.attname for field in model._meta.concrete_fields}
    return model.from_db("default", [attributes[name] for name in names], [next(values) for _name in names])


def _insert(rows: Sequence[models.Model]) -> tuple[str, list[Any]]:
    """An INSERT of whole rows of one model for who ``may``, and its parameters. What is null in all of them is left
    out, and elsewhere said in the statement: psycopg keeps no parsed one of more than 50 parameters."""
    meta = rows[0]._meta
    fields = [f for f in meta.concrete_fields if any(getattr(row, f.attname) is not None for row in rows)]
    columns = ", ".join(str(field.column) for field in fields)
    values: list[str] = []
    parameters: list[Any] = []
    for row in rows:
        held = [getattr(row, field.attname) for field in fields]
        marks = ("NULL" if value is None else "%s" for value in held)
        casts = (f"{mark}::{_type_of(field)}" for mark, field in zip(marks, fields, strict=True))
        values.append(f"({', '.join(casts)})")
        parameters += [Jsonb(v) if isinstance(v, (dict, list)) else v for v in held if v is not None]
    sql = (
        f"INSERT INTO {meta.db_table} ({columns}) "  # noqa: S608  names, no input
        f"SELECT v.* FROM (VALUES {', '.join(values)}) v CROSS JOIN may"
    )
    return sql, parameters


def _type_of(field: "models.Field[Any, Any]") -> str:
    """Its type in SQL without a length: a cast to one would cut off what is too long."""
    return str(field.db_type(connection)).partition("(")[0]


def insert_conversation(conversation: Conversation, messages: Sequence[Message]) -> None:
    """Insert a conversation and its first messages.

    Raises IntegrityError where a ``client_id`` was used before, ProcessingRestricted where the owner's processing was
    paused in this very moment.
    """
    first, parameters = _insert([conversation])
    second, more = _insert(messages)
    sql = f"WITH may AS ({MAY_PROCESS_SQL}), first AS ({first}) {second} RETURNING 1"
    if not fetch_prepared(sql, [conversation.owner_id, *parameters, *more]):
        raise ProcessingRestricted
    _mark_stored([conversation, *messages])


_HISTORY = """
    INSERT INTO conversations_message (
        id, conversation_id, owner_id, parent_id, role, status, text, created_at, finished_at, epoch,
        provider, worker, stop_requested, model, finish_reason, error_code, usage_estimated)
    SELECT v.id, %s, %s, v.parent, v.role, v.status, v.text, v.at, CASE WHEN v.role = 'assistant' THEN v.at END,
           v.epoch, '', '', false, '', '', '', false
    FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::int[])
        AS v(id, parent, role, status, text, at, epoch)
"""


def insert_history(conversation: Conversation, messages: Sequence[Message]) -> None:
    """Insert messages that were said elsewhere, however many in one plan. Their conversation may follow in the same
    transaction."""
    rows = [(m.pk, m.parent_id, m.role, m.status, m.text, m.created_at, m.epoch) for m in messages]
    fetch_prepared(_HISTORY, [conversation.pk, conversation.owner_id, *map(list, zip(*rows, strict=True))])
    _mark_stored(messages)


_TOUCH = """
    UPDATE conversations_conversation SET active_leaf_id = %s, updated_at = %s, revision = %s FROM may
    WHERE conversations_conversation.id = %s RETURNING 1
"""


def insert_messages(conversation: Conversation, messages: Sequence[Message]) -> None:
    """Insert ``messages`` and store the conversation's new leaf, activity and revision.

    Raises as ``insert_conversation``.
    """
    insert, parameters = _insert(messages)
    touched = [conversation.active_leaf_id, conversation.updated_at, conversation.revision, conversation.pk]
    sql = f"WITH may AS ({MAY_PROCESS_SQL}), new AS ({insert}) {_TOUCH}"
    if not fetch_prepared(sql, [conversation.owner_id, *parameters, *touched]):
        raise ProcessingRestricted
    _mark_stored(messages)


def _mark_stored(rows: Sequence[models.Model]) -> None:
    for row in rows:
        row._state.adding, row._state.db = False, "default"
