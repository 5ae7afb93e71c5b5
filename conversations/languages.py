"""Which language a conversation is in: found afterwards, so that asking costs nothing."""

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from faqs.languages import LANGUAGES, detect_language

BATCH = 500
# Whoever asked a moment ago may not have committed yet.
SETTLED = timedelta(seconds=5)

_UNKNOWN = """
    SELECT c.id, first.text
    FROM conversations_conversation c
    JOIN accounts_user u ON u.id = c.owner_id AND u.restricted_at IS NULL
    CROSS JOIN LATERAL (
        SELECT left(m.text, 500) AS text FROM conversations_message m
        WHERE m.conversation_id = c.id AND m.role = 'user' ORDER BY m.created_at, m.id LIMIT 1
    ) first
    WHERE c.language IS NULL AND c.created_at >= %s AND c.created_at < %s
    ORDER BY c.created_at, c.id LIMIT %s
"""
_NOTE = """
    UPDATE conversations_conversation c SET language = v.language
    FROM unnest(%s::uuid[], %s::text[]) AS v(id, language) WHERE c.id = v.id
"""


def note_languages(since: datetime) -> int:
    """Find and keep the language of every conversation begun ``since`` that has a question and none yet; how many.

    "" where the question does not tell: it is too short, or in no language that is known. People whose processing is
    paused are left out.
    """
    found = 0
    while rows := _unknown(since):
        languages = [detect_language(text, among=LANGUAGES, default="") for _id, text in rows]
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, [[pk for pk, _text in rows], languages])
        found += len(rows)
    return found


def _unknown(since: datetime) -> list[tuple[object, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_UNKNOWN, [since, timezone.now() - SETTLED, BATCH])
        rows: list[tuple[object, str]] = cursor.fetchall()
        return rows
